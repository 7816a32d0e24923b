/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generating text: a request (prompt, picture, sound) goes in, tokens come out one by one, as servers of language models do it:
 * the encode graph once, the decode graph on the whole prompt, then on each new token, with keys and values kept by the runtime.
 *
 * Greedy: the token of the largest logit, the first of several. A row that has ended goes on with the pad token, as in
 * Transformers. Left padding is told by the attention mask: positions count its ones.
 * Ownership: a generator owns its graphs and programs, and belongs to one thread.
 */
#ifndef ASSAY_BENCH_GENERATION_H
#define ASSAY_BENCH_GENERATION_H

#include "model/model.h"
#include "runtime/runtime.h"

struct assay_generator;

struct assay_generator_options {
    const struct assay_model_options *model; /* phase is set here; NULL = the usual */
    const struct assay_runtime *runtime;
    struct assay_compile_options compile;
    /* Called on each graph before it is compiled: a change of precision. May be NULL. */
    enum assay_status (*transform)(void *context, struct assay_graph *graph, struct assay_error *err);
    void *context;
};

/* ASSAY_UNSUPPORTED: the model generates nothing, or the runtime cannot run it. */
enum assay_status assay_generator_open(const char *path, const struct assay_generator_options *options,
                                       struct assay_generator **generator, struct assay_error *err);
/* The same of graphs that are there: the generator's from now on, also when this fails. encode NULL = there is none. */
enum assay_status assay_generator_open_graphs(struct assay_graph *encode, struct assay_graph *decode,
                                              const struct assay_model_info *info, const struct assay_generator_options *options,
                                              struct assay_generator **generator, struct assay_error *err);
void assay_generator_close(struct assay_generator *generator);
/* The graph of a phase; NULL if the model has none such. Borrowed. */
const struct assay_graph *assay_generator_graph(const struct assay_generator *generator, enum assay_model_phase phase);
/* Its program, which has run once a step, the prompt's being a request's first; NULL if there is none. Borrowed. */
struct assay_program *assay_generator_program(const struct assay_generator *generator, enum assay_model_phase phase);
const struct assay_model_info *assay_generator_info(const struct assay_generator *generator);

struct assay_request_input {
    const char *name;
    struct assay_tensor tensor; /* borrowed */
};

/* Inputs are those of the encode graph, or, without one, the decode graph's input_ids and attention_mask [batch, prompt]. A model
 * with a start token begins with it alone, or with decoder_input_ids (and decoder_attention_mask) where the request has them.
 * Masks may be missing: all ones. */
struct assay_request {
    const struct assay_request_input *inputs; /* attention_mask may be missing: all ones */
    size_t n_inputs;
    int64_t max_new_tokens;
    bool ignore_eos; /* always max_new_tokens: for measuring */
    bool keep_logits;
    int64_t beams; /* 0 or 1 = greedy; more: beam search as Transformers' (length penalty 1, no early stopping) */
};

/* From malloc. Zeroed before the first run; the next may be given the same, and uses its room again. */
struct assay_answer {
    int64_t batch, n_tokens, vocabulary;
    int64_t *tokens; /* [batch, n_tokens], new ones only; n_tokens < max_new_tokens where all rows ended before */
    float *logits;   /* [batch, n_tokens, vocabulary], if kept (greedy only) */
    double *scores;  /* [batch], of beam search: mean log probability; NULL for greedy */
    /* Times of the steps in ns: [0] from the request to its first token (encode, prompt, choice), then each token's. [n_tokens];
     * a beam search may have taken more steps than its best text has tokens. */
    double *step_ns;
    double *choice_ns;         /* of that, what is before and after the decode graph's run: its inputs, choosing tokens */
    int64_t room, logits_room; /* elements of tokens, step_ns and choice_ns, and of logits */
};
void assay_answer_release(struct assay_answer *answer);

enum assay_status assay_generator_run(struct assay_generator *generator, const struct assay_request *request,
                                      struct assay_answer *answer, struct assay_error *err);

#endif
