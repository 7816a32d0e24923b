/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inputs of a training graph that no file holds, since the host works them out of the others: DETR's targets, matched anew before
 * each update (train/detr_matching.h), from train.safetensors' labels.I.class_labels, .boxes and .masks; and what the model for
 * inference gives as an output of the same name (LLaVA-NeXT's merged.position_ids).
 */
#ifndef ASSAY_BENCH_CONFORMANCE_HOSTED_H
#define ASSAY_BENCH_CONFORMANCE_HOSTED_H

#include "base/arena.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "train/forward.h"

struct assay_hosted;

/* What it works with; all borrowed until close. */
struct assay_hosted_source {
    const char *path;                          /* of the folder */
    const struct assay_model_options *options; /* of the training graph: its inputs that are no labels are the model's */
    const struct assay_safetensors *in, *wanted;
    const struct assay_runtime *runtime;
    const struct assay_compile_options *compile;
    struct assay_arena *arena;
};

/* *hosted stays NULL if the graph, which is not bound, reads no such input. */
enum assay_status assay_hosted_open(const struct assay_hosted_source *source, const struct assay_graph *graph,
                                    struct assay_hosted **hosted, struct assay_error *err);
void assay_hosted_close(struct assay_hosted *hosted);
/* The value of an input, of the right shape before the first update already; NULL if it is none of these. Borrowed until the
 * next update. */
const struct assay_tensor *assay_hosted_find(const struct assay_hosted *hosted, const char *name);
/* To be called when a session is open, and before each of its steps. hosted may be NULL. */
enum assay_status assay_hosted_begin(struct assay_hosted *hosted, const struct assay_training_step *step,
                                     struct assay_error *err);
enum assay_status assay_hosted_update(struct assay_hosted *hosted, struct assay_training_session *session,
                                      struct assay_error *err);

#endif
