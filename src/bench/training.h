/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a case of mode training runs: the model with its loss, and the step made of it (train/step.h). For the plan, which counts
 * its cost, and for the child, which runs it.
 *
 * Models that Assay builds have their own loss. An ONNX file has none, unless one is told:
 *   OUTPUT                 an output of one element, which is minimised as it is
 *   OUTPUT:cross-entropy   mean cross-entropy of scores, with an input "labels" (int64) added: scores [n, classes], [n, length,
 *                          classes], or [n, classes, height, width …]. Where a Softmax makes the output, its input is taken
 *   OUTPUT:mse             mean squared error, with an input "target" of the output's type added
 */
#ifndef ASSAY_BENCH_TRAINING_H
#define ASSAY_BENCH_TRAINING_H

#include "bench/case.h"
#include "graph/infer.h"
#include "model/model.h"
#include "train/step.h"

/* Whether a case is of mode training. */
bool assay_case_trains(const struct assay_case *c);

/* ASSAY_INVALID: no such kind of loss. */
enum assay_status assay_training_check_loss(const char *loss, struct assay_error *err);
/* The model with its loss, not bound. loss NULL = the model's own. *output is the name of the output that is minimised, the
 * graph's. info may be NULL. ASSAY_UNSUPPORTED: there is no loss, or this one cannot be added; the sentence says what to give. */
enum assay_status assay_training_open(const char *path, const char *loss, struct assay_graph **graph, const char **output,
                                      struct assay_model_info *info, struct assay_error *err);
/* The same at the case's shapes, inferred; bindings as of session_bindings. */
enum assay_status assay_training_open_bound(const struct assay_case *c, const struct assay_binding *bindings, size_t n_bindings,
                                            struct assay_graph **graph, const char **output, struct assay_error *err);
/* Options of the case's step in `precision` (ASSAY_NO_DTYPE = f32), which updates; `loss` is borrowed. */
enum assay_status assay_training_options(const struct assay_case *c, const char *loss, enum assay_dtype precision,
                                         struct assay_step_options *options, struct assay_error *err);
/* The case's precision, as step options have it. */
enum assay_dtype assay_training_precision(const struct assay_case *c);
/* FLOPs and bytes of the case's step on a bound, inferred graph; NaN where not all ops tell theirs. */
enum assay_status assay_training_cost(const struct assay_graph *graph, const char *loss, struct assay_case *c,
                                      struct assay_error *err);

/* "forward", "backward" or "update": what a node of a step is part of, by the name that a runtime gives it, which begins with the
 * node's own where it was fused or expanded. NULL: the runtime made the node up. */
const char *assay_training_phase(const struct assay_graph *step, const char *node);

/* What the first updates use: small, so that the loss does not leave the neighbourhood of where it began, whose kinks and
 * normalizations over a few values part runtimes that round differently; large enough that an update that fails is seen. After
 * them, while a step is timed, the rate is 0: a step does the same work, and thousands of them on one batch leave the numbers as
 * ordinary as they were. */
double assay_training_rate(const struct assay_training_step *step);
enum { ASSAY_TRAINING_LOSS_SCALE = 128 }; /* of f16 */

#endif
