/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model as it stands in the midst of its training: an inference graph whose learned constants are taken from a training session
 * (session.h) at each run. For validation, and for what a loss needs to know of the model before an update (detr_matching.h).
 *
 * The inference graph is one of the same model (assay_model_open without options.training, with the same names of constants) and
 * may have other shapes than the step, as for batches of another size. Where it has no dropout and running statistics in place of
 * those of a batch, so has what is computed here.
 *
 * Ownership: a forward owns its copy of the graph; tensors are shared. It belongs to one thread, that of the session.
 */
#ifndef ASSAY_TRAIN_FORWARD_H
#define ASSAY_TRAIN_FORWARD_H

#include "train/session.h"

struct assay_forward;

/* Of a bound, inferred graph, which is not changed. Its constants that have the name of a parameter or a buffer of the step come
 * from the session; the others stay. ASSAY_INVALID: one has another shape there, or none is of the step. step and runtime are
 * borrowed until close. */
enum assay_status assay_forward_open(const struct assay_graph *model, const struct assay_training_step *step,
                                     const struct assay_runtime *runtime, const struct assay_compile_options *options,
                                     struct assay_forward **forward, struct assay_error *err);
void assay_forward_close(struct assay_forward *forward);

/* On data[inputs of the model], in their order, with the session's states of now; all borrowed for the call. */
enum assay_status assay_forward_run(struct assay_forward *forward, struct assay_training_session *session,
                                    const struct assay_tensor *data, struct assay_error *err);
/* Output `index` of the model, from the last run; borrowed until the next. */
enum assay_status assay_forward_output(struct assay_forward *forward, int index, struct assay_tensor *tensor,
                                       struct assay_error *err);
/* The position of the output of that name; -1 if there is none. */
int assay_forward_find_output(const struct assay_forward *forward, const char *name);

#endif
