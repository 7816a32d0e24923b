/* SPDX-License-Identifier: Apache-2.0 */
/* From the gradients to the next states: the second half of making a training step. Only for step.c and step_update.c. */
#ifndef ASSAY_TRAIN_STEP_UPDATE_H
#define ASSAY_TRAIN_STEP_UPDATE_H

#include "graph/emit.h"
#include "train/step.h"

/* Everything that is decided on the way, in the arena of the step's graph. */
struct assay_step_making {
    struct assay_graph *graph;
    const struct assay_step_options *options;
    struct assay_training_step *step;
    struct assay_emit e;
    int loss;
    int n;          /* candidates */
    int *values;    /* [n] */
    int *gradients; /* [n]; -1 = the loss does not depend on it */
    struct assay_tensor *initials;
    int rate, correction1, correction2, loss_scale, accumulated; /* values; -1 = none */
    int unscale;       /* makes of the sum of scaled gradients the mean of gradients; -1 = 1 */
    int scale;         /* what the update multiplies gradients by; -1 = 1 */
    int finite;        /* whether gradients are; -1 = not asked */
    bool skips;        /* a scale of 0 means no update */
    int *accumulators; /* [n + 1]: the last one is the loss's */
};

/* A constant becomes an input, and *initial its contents. */
void assay_step_become_input(struct assay_graph *graph, int value, struct assay_tensor *initial);

/* To a graph that has the gradients and no outputs: the loss, what was asked for of the norm and the gradients, and the states'
 * next values. outputs[n_outputs]: the model's, of which the metadata tells which are buffers. */
enum assay_status assay_step_add_update(struct assay_step_making *m, const int *outputs, int n_outputs);

#endif
