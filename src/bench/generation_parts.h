/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of generation share: the generator's insides, and a request in execution. */
#ifndef ASSAY_BENCH_GENERATION_PARTS_H
#define ASSAY_BENCH_GENERATION_PARTS_H

#include "bench/beams.h"
#include "bench/generation.h"

/* What the decode graph is given at an input. */
enum assay_generation_role {
    ROLE_TOKENS,
    ROLE_MASK,
    ROLE_POSITIONS,
    ROLE_STATE,
    ROLE_PROMPT,  /* the prompt, embedded already, instead of its tokens; nothing later */
    ROLE_ENCODED, /* an output of the encode graph */
    ROLE_REQUEST, /* an input of the request */
};

struct assay_generation_phase {
    struct assay_graph *graph;
    struct assay_program *program;
    struct assay_tensor *inputs; /* [n_inputs] */
};

/* Room that is taken once for many requests. */
struct assay_generation_room {
    void *data;
    size_t size_bytes;
};

struct assay_generator {
    struct assay_arena arena;
    const struct assay_runtime *runtime;
    struct assay_model_info info;
    struct assay_generation_phase encode, decode;   /* encode.graph NULL: there is none */
    enum assay_generation_role *roles;              /* [decode inputs] */
    int *encoded;                                   /* [decode inputs]: output of the encode graph; -1 = none */
    int logits, prompt_mask;                        /* outputs of the decode and the encode graph; prompt_mask -1 = none */
    struct assay_generation_room ones;              /* the encode graph's mask, where the request has none */
    struct assay_generation_room tokens, positions; /* int64 [rows, places that the next run reads] */
    struct assay_generation_room mask;              /* int64 [rows, all places] */
    struct assay_generation_room n_seen;            /* int64 [rows]: ones in the mask */
    struct assay_generation_room ended;             /* bool [batch] */
    struct assay_generation_room widened;           /* the encode graph's outputs, a row for each beam */
    /* Reordered for beams; turn about, since the last may still be read when the next is made. */
    struct assay_generation_room states[2];
};

/* One request in execution. */
struct assay_generation {
    struct assay_generator *g;
    const struct assay_request *request;
    struct assay_answer *answer;
    int64_t batch, beams, rows; /* rows: batch, and from the first choice on batch * beams */
    int64_t n_tokens, n_places; /* that the next run reads, and up to there */
    int64_t step, run_ns;       /* run_ns: the decode graph's last run alone */
    int turn;                   /* of the rooms of states */
    bool *ended;                /* [batch] */
    struct assay_beams *search; /* NULL: greedy, or not begun */
};

/* At least n times `size` bytes, uninitialised. */
enum assay_status assay_generation_take_room(struct assay_generation_room *room, int64_t n, int64_t size,
                                             struct assay_error *err);
/* What an ended row goes on with. */
int64_t assay_generation_pad_token(const struct assay_model_generation *generation);
/* From logits [rows, vocabulary] to the beams' next tokens, in their table; states and what came with the request follow the
 * beams. */
enum assay_status assay_generation_step_beams(struct assay_generation *run, const float *logits, struct assay_error *err);

static inline const char *assay_generation_input_name(const struct assay_graph *graph, int i)
{
    return graph->values[graph->inputs[i]].name;
}

#endif
