/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A training step (step.h) on a runtime: parameters, moments and running statistics live there from update to update.
 *
 * Ownership: a session borrows its step. It belongs to one thread.
 */
#ifndef ASSAY_TRAIN_SESSION_H
#define ASSAY_TRAIN_SESSION_H

#include "runtime/runtime.h"
#include "train/step.h"

struct assay_training_session;

/* Compiles the step and puts the states' initial values there. A runtime that lacks ops of the domain "assay" gets standard ones
 * in their place, by itself. */
enum assay_status assay_training_session_open(const struct assay_training_step *step, const struct assay_runtime *runtime,
                                              const struct assay_compile_options *options,
                                              struct assay_training_session **session, struct assay_error *err);
void assay_training_session_close(struct assay_training_session *session);

/* From the next update on, this is the value of state i (of step->states); borrowed until the run after it. For going on from
 * a checkpoint. */
void assay_training_session_set_state(struct assay_training_session *session, int i, const struct assay_tensor *tensor);
/* Number of updates made, which the bias corrections count by; the next run begins a batch. */
void assay_training_session_set_count(struct assay_training_session *session, int64_t n_updates);
int64_t assay_training_session_count(const struct assay_training_session *session);

/* One run on data[n_data of the step], in the order of the graph's inputs, borrowed for the call. Each is an update, unless the
 * step accumulates n parts of a batch: then each n-th is. loss_scale: 1 unless the step has one. */
enum assay_status assay_training_session_run(struct assay_training_session *session, const struct assay_tensor *data,
                                             double learning_rate, double loss_scale, struct assay_error *err);

/* Whether the last run made an update: not where parts of its batch are to come, or gradients were not finite. */
bool assay_training_session_has_updated(const struct assay_training_session *session);
/* Whether the gradients of the last run were finite; true where the step does not tell (step->gradients_finite). */
bool assay_training_session_is_finite(const struct assay_training_session *session);

/* Of the last run. Tensors are borrowed until the next. */
enum assay_status assay_training_session_output(struct assay_training_session *session, int index, struct assay_tensor *tensor,
                                                struct assay_error *err);
/* Output `index` as a number: the loss, the gradients' norm. */
enum assay_status assay_training_session_number(struct assay_training_session *session, int index, double *number,
                                                struct assay_error *err);
/* State i: what the last run made of it, or what it was set to since. */
enum assay_status assay_training_session_state(struct assay_training_session *session, int i, struct assay_tensor *tensor,
                                               struct assay_error *err);
/* The runtime's program, for profiles and memory. */
struct assay_program *assay_training_session_program(struct assay_training_session *session);

#endif
