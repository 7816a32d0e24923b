/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of a training step as programs of their own: the forward pass alone, and with the backward pass but no update. What a
 * step's time is made of is told from them, and gradients are looked at.
 *
 * Parameters are inputs of a part, as of a step: a runtime cannot prepare them beforehand.
 */
#ifndef ASSAY_BENCH_TRAINING_PART_H
#define ASSAY_BENCH_TRAINING_PART_H

#include "bench/training.h"

/* A model in training on a runtime: all borrowed. */
struct assay_training_subject {
    const struct assay_case *c;
    const struct assay_runtime *runtime;
    const struct assay_compile_options *compile;
    const struct assay_graph *graph; /* bound and inferred, in its own precision */
    const char *loss;                /* its output */
    const struct assay_tensor *data; /* [graph->n_inputs] */
    struct assay_arena *arena;
};

struct assay_training_part {
    const struct assay_training_subject *subject;
    struct assay_training_step *step; /* outputs: the loss, then the gradients */
    struct assay_program *program;
    struct assay_tensor *inputs; /* [inputs of the step's graph] */
    struct assay_tensor scale;
    double loss_scale; /* that gradients are larger by */
};

/* backward false: the loss alone. */
enum assay_status assay_training_part_open(struct assay_training_part *part, const struct assay_training_subject *subject,
                                           bool backward, struct assay_error *err);
void assay_training_part_close(struct assay_training_part *part);
enum assay_status assay_training_part_run(struct assay_training_part *part, struct assay_error *err);
/* Median of runs for about so many seconds, at least one after one that warms up. */
enum assay_status assay_training_part_time(struct assay_training_part *part, double seconds, double *median_ns,
                                           struct assay_error *err);
/* Bytes that values between the nodes take at most, by the memory plan of a part with the backward pass; without the gradients of
 * parameters. */
int64_t assay_training_part_activations(const struct assay_training_part *part);

#endif
