/* SPDX-License-Identifier: Apache-2.0 */
/* See session.h. */
#include "train/session.h"

#include <stdlib.h>

struct assay_training_session {
    const struct assay_training_step *step;
    const struct assay_runtime *runtime;
    struct assay_program *program;
    struct assay_tensor *inputs; /* [n_inputs of the graph]; of a state only while it waits to be set */
    int64_t n_updates;
    int n_parts; /* runs since the last update */
    bool has_updated, is_finite;
};

static bool is_scalar(const struct assay_training_step *step, int i)
{
    return i == step->learning_rate || i == step->correction1 || i == step->correction2 || i == step->loss_scale ||
           i == step->accumulated;
}

enum assay_status assay_training_session_open(const struct assay_training_step *step, const struct assay_runtime *runtime,
                                              const struct assay_compile_options *options,
                                              struct assay_training_session **session, struct assay_error *err)
{
    struct assay_training_session *s = assay_alloc(sizeof *s);
    int n_inputs = step->graph->n_inputs;
    *s = (struct assay_training_session){.step = step, .runtime = runtime, .is_finite = true};
    s->inputs = assay_alloc((size_t)n_inputs * sizeof *s->inputs);
    for (int i = 0; i < n_inputs; i++)
        s->inputs[i] = (struct assay_tensor){0};
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < n_inputs && !st; i++)
        if (is_scalar(step, i))
            st = assay_tensor_alloc(&s->inputs[i], &step->graph->values[step->graph->inputs[i]].type, err);
    for (int i = 0; i < step->n_states; i++)
        assay_tensor_share(&s->inputs[step->states[i].input], &step->states[i].initial);
    if (!st)
        st = runtime->compile(step->graph, options, &s->program, err);
    if (st)
        assay_training_session_close(s);
    else
        *session = s;
    return st;
}

void assay_training_session_close(struct assay_training_session *session)
{
    if (!session)
        return;
    session->runtime->release(session->program);
    for (int i = 0; i < session->step->graph->n_inputs; i++)
        assay_tensor_release(&session->inputs[i]);
    free(session->inputs);
    free(session);
}

void assay_training_session_set_state(struct assay_training_session *session, int i, const struct assay_tensor *tensor)
{
    struct assay_tensor *input = &session->inputs[session->step->states[i].input];
    assay_tensor_release(input);
    assay_tensor_share(input, tensor);
}

void assay_training_session_set_count(struct assay_training_session *session, int64_t n_updates)
{
    session->n_updates = n_updates;
    session->n_parts = 0;
}

int64_t assay_training_session_count(const struct assay_training_session *session) { return session->n_updates; }

bool assay_training_session_has_updated(const struct assay_training_session *session) { return session->has_updated; }

bool assay_training_session_is_finite(const struct assay_training_session *session) { return session->is_finite; }

/* After a run. A sum that is not finite stays so to the end of its batch, whose update is skipped. */
static enum assay_status count_run(struct assay_training_session *session, struct assay_error *err)
{
    const struct assay_training_step *step = session->step;
    double finite = 1;
    enum assay_status st = ASSAY_OK;
    if (step->gradients_finite >= 0)
        st = assay_training_session_number(session, step->gradients_finite, &finite, err);
    session->n_parts = (session->n_parts + 1) % step->accumulate;
    session->is_finite = finite != 0;
    session->has_updated = session->is_finite && session->n_parts == 0;
    session->n_updates += session->has_updated;
    return st;
}

enum assay_status assay_training_session_run(struct assay_training_session *session, const struct assay_tensor *data,
                                             double learning_rate, double loss_scale, struct assay_error *err)
{
    const struct assay_training_step *step = session->step;
    for (int i = 0; i < step->n_data; i++)
        session->inputs[i] = data[i];
    assay_training_step_scalars(step, session->n_updates + 1, learning_rate, loss_scale, session->inputs);
    if (step->accumulated >= 0)
        assay_tensor_set_real(&session->inputs[step->accumulated], 0, session->n_parts);
    enum assay_status st = session->runtime->bind(session->program, session->inputs, err);
    if (!st)
        st = session->runtime->run(session->program, err);
    for (int i = 0; i < step->n_data; i++)
        session->inputs[i] = (struct assay_tensor){0}; /* the caller's */
    if (st)
        return st;
    for (int i = 0; i < step->n_states; i++) /* the runtime has them now */
        assay_tensor_release(&session->inputs[step->states[i].input]);
    return count_run(session, err);
}

enum assay_status assay_training_session_output(struct assay_training_session *session, int index, struct assay_tensor *tensor,
                                                struct assay_error *err)
{
    return session->runtime->output(session->program, index, tensor, err);
}

enum assay_status assay_training_session_number(struct assay_training_session *session, int index, double *number,
                                                struct assay_error *err)
{
    struct assay_tensor tensor;
    enum assay_status st = assay_training_session_output(session, index, &tensor, err);
    if (!st)
        *number = assay_tensor_real(&tensor, 0);
    return st;
}

enum assay_status assay_training_session_state(struct assay_training_session *session, int i, struct assay_tensor *tensor,
                                               struct assay_error *err)
{
    const struct assay_step_state *state = &session->step->states[i];
    if (session->inputs[state->input].data) {
        *tensor = session->inputs[state->input];
        return ASSAY_OK;
    }
    return session->runtime->output(session->program, state->output, tensor, err);
}

struct assay_program *assay_training_session_program(struct assay_training_session *session) { return session->program; }
