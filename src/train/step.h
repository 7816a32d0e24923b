/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The training step: a model's graph becomes one that computes a loss, its gradients and the parameters after an update. What was
 * a constant, and is learned, becomes an input with a declared state, and so do the optimizer's moments and running statistics: a
 * runtime keeps them from step to step, and any runtime that runs ONNX can train.
 *
 * What is learned: the model says it in its metadata (graph/gradient.h; families write it when asked for a model to train); a
 * graph that says nothing learns all float constants that the loss depends on, of more than one element or in the place of a
 * weight, bias or slope, but for the running statistics of BatchNormalization and for constants of the bodies of If, Loop and
 * Scan, which stay as they are also where a known If gives way to its branch.
 *
 * Ownership: a step owns its graph; tensors are shared. Threads: as a graph.
 */
#ifndef ASSAY_TRAIN_STEP_H
#define ASSAY_TRAIN_STEP_H

#include "graph/graph.h"
#include "train/optimizer.h"

struct assay_step_options {
    const char *loss; /* name of the graph's output that is minimised, one element; NULL = "loss" */
    struct assay_optimizer optimizer;
    double clip_norm;           /* the gradients' norm is scaled down to it; 0 = no clipping */
    enum assay_dtype precision; /* ASSAY_F16, ASSAY_BF16: computed in it, parameters kept in f32; ASSAY_NO_DTYPE = f32 */
    bool loss_scale; /* an input "loss_scale": gradients are computed that much larger, and divided again (loss_scale.h). An
                        output "gradients_finite": 1, or 0 where they are not, and then the step leaves all states as they are */
    int accumulate;  /* n > 1: an update every n runs, each on a part of the batch, for the mean of their gradients: needs the
                        memory of a part, and of one sum of gradients. 0 and 1: each run is an update */
    int recompute;   /* segments whose activations are computed again (graph/recompute.h), ASSAY_RECOMPUTE_AUTO; 0 = none */
    bool train_normalization;  /* BatchNormalization that a file has in inference mode takes the statistics of the batch, and
                                  its running ones become buffers (normalization.h) */
    bool gradient_norm;        /* an output "gradient_norm", before clipping */
    bool gradients;            /* outputs "gradient.PARAMETER", before clipping and without the loss scale: for checks */
    bool update;               /* false: no update, as when only gradients are looked at */
    const char *const *frozen; /* names or patterns with one '*' of parameters that stay as they are; ended by NULL; may be NULL.
                                  One that no parameter has is ASSAY_INVALID */
};

/* Of an ACCUMULATOR nothing is left after an update: its next value is written before it is read. */
enum assay_step_role { ASSAY_STEP_PARAMETER, ASSAY_STEP_MOMENT, ASSAY_STEP_BUFFER, ASSAY_STEP_ACCUMULATOR };

struct assay_step_state {
    const char *name; /* the parameter's; of a moment: the parameter's and ".momentum_buffer", ".exp_avg", ".exp_avg_sq"; of an
                         accumulator: the parameter's or the loss's and ".accumulated" */
    enum assay_step_role role;
    int input, output; /* positions in graph->inputs and graph->outputs */
    struct assay_tensor initial;
};

struct assay_training_step {
    struct assay_graph *graph; /* inputs: the model's, then the scalars below, then the states. Outputs: loss, then … */
    int n_data;                /* inputs of the model */
    int learning_rate, correction1, correction2, loss_scale; /* positions of f32 scalar inputs; -1 = there is none */
    int accumulated; /* position of a further such input: runs since the last update; -1 = each run is one */
    int accumulate;  /* runs of an update, at least 1 */
    int loss, gradient_norm, gradients_finite; /* positions of outputs; -1 = there is none. The loss and the norm are those of
                                                  the mean over the runs since the last update */
    struct assay_step_state *states;
    int n_states;
    int n_parameters;       /* tensors that are trained */
    int64_t parameters;     /* elements */
    const char **gradients; /* [n_gradients]: names of parameters whose gradients are outputs, from first_gradient on */
    int n_gradients, first_gradient;
    struct assay_optimizer optimizer;
};

/* Of a bound, inferred graph, which is not changed. ASSAY_INVALID: no such loss, nothing to train; ASSAY_UNSUPPORTED: an op that
 * cannot be differentiated. Options that make no update have no accumulation. */
enum assay_status assay_training_step_make(const struct assay_graph *model, const struct assay_step_options *options,
                                           struct assay_training_step **step, struct assay_error *err);
void assay_training_step_close(struct assay_training_step *step);

/* Gives the states' initial values back, once a session has them: only their types stay. A run that goes on for long need not
 * hold a second copy of the parameters. */
void assay_training_step_release_initials(struct assay_training_step *step);

/* The scalars of update number `number` (from 1), but for `accumulated`, into inputs[n_inputs of the graph] (tensors of one f32
 * that the caller has). */
void assay_training_step_scalars(const struct assay_training_step *step, int64_t number, double learning_rate, double loss_scale,
                                 struct assay_tensor *inputs);

#endif
