/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests for generated text, before anything runs: which inputs a request has, what it costs, and a model's decode graph at a
 * given place of an answer. The phases are those of model.h; what runs them is generation.h.
 *
 * Costs follow from the graphs alone. The prompt is one pass (of the encode graph and of the decode graph over the prompt); each
 * further token is one pass of the decode graph over what came before. FLOPs and bytes of such a pass grow linearly with the
 * length (a token attends to each one before it once), so two lengths tell the sum.
 */
#ifndef ASSAY_BENCH_REQUEST_H
#define ASSAY_BENCH_REQUEST_H

#include "bench/case.h"
#include "bench/shape.h"
#include "model/model.h"

struct assay_phases {
    struct assay_graph *encode; /* NULL = there is none */
    struct assay_graph *decode;
    struct assay_model_generation generation;
};

/* ASSAY_UNSUPPORTED: the model generates nothing. */
enum assay_status assay_phases_open(struct assay_phases *phases, const char *path, enum assay_model_weights weights,
                                    struct assay_error *err);
void assay_phases_release(struct assay_phases *phases);

/* The inputs of a request: those of the encode graph, and, where the prompt is input_ids, the decode graph's input_ids and
 * attention_mask. From the arena. */
struct assay_open_inputs assay_phases_inputs(const struct assay_phases *phases, struct assay_arena *arena);

/* Binds the encode graph to a case's inputs; before the next two. */
enum assay_status assay_phases_bind(struct assay_phases *phases, const struct assay_case *c, struct assay_arena *arena,
                                    struct assay_error *err);
/* A copy of the decode graph, bound and inferred, for `sequence` tokens after `past` others, in the case's precision if
 * `converted`. ASSAY_UNSUPPORTED: the shape of what it needs of the encode graph depends on the data. */
enum assay_status assay_phases_decode_at(const struct assay_phases *phases, const struct assay_case *c, int64_t past,
                                         int64_t sequence, bool converted, struct assay_arena *arena, struct assay_graph **graph,
                                         struct assay_error *err);
/* Sets prompt_tokens, flops, bytes and step_bytes of a case whose inputs, precision and new_tokens are set; NaN where it cannot
 * be known. */
enum assay_status assay_phases_cost(struct assay_phases *phases, struct assay_case *c, struct assay_arena *arena,
                                    struct assay_error *err);

#endif
