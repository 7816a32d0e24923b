/* SPDX-License-Identifier: Apache-2.0 */
/* See forward.h. */
#include "train/forward.h"

#include <stdlib.h>
#include <string.h>

struct assay_forward {
    struct assay_graph *graph;
    const struct assay_runtime *runtime;
    struct assay_program *program;
    struct assay_tensor *inputs; /* [inputs of the graph]: borrowed for a run */
    int *states;                 /* [n_states]: of the step, in the order of the inputs behind the data */
    int n_data, n_states;
};

/* The constant that a state is the value of; -1 if this model has none. */
static int constant_of(const struct assay_graph *graph, const struct assay_step_state *state)
{
    int value = state->role == ASSAY_STEP_MOMENT ? -1 : assay_graph_find(graph, state->name);
    return value >= 0 && graph->values[value].constant.data ? value : -1;
}

static enum assay_status take_states(struct assay_forward *f, const struct assay_training_step *step, struct assay_error *err)
{
    f->states = assay_alloc((size_t)(step->n_states + 1) * sizeof *f->states);
    for (int i = 0; i < step->n_states; i++) {
        const struct assay_step_state *state = &step->states[i];
        int value = constant_of(f->graph, state);
        if (value < 0)
            continue;
        struct assay_value *v = &f->graph->values[value];
        if (!assay_type_equal(&v->type, &state->initial.type))
            return assay_error_set(err, ASSAY_INVALID, "'%s' has another shape or dtype in the step than in the model",
                                   state->name);
        assay_tensor_release(&v->constant);
        assay_graph_add_input(f->graph, value);
        f->states[f->n_states++] = i;
    }
    if (f->n_states == 0)
        return assay_error_set(err, ASSAY_INVALID, "the model has no constant that the training step changes");
    return ASSAY_OK;
}

enum assay_status assay_forward_open(const struct assay_graph *model, const struct assay_training_step *step,
                                     const struct assay_runtime *runtime, const struct assay_compile_options *options,
                                     struct assay_forward **forward, struct assay_error *err)
{
    struct assay_forward *f = assay_alloc(sizeof *f);
    *f = (struct assay_forward){.graph = assay_graph_clone(model), .runtime = runtime, .n_data = model->n_inputs};
    enum assay_status st = take_states(f, step, err);
    f->inputs = assay_alloc((size_t)(f->graph->n_inputs + 1) * sizeof *f->inputs);
    if (!st)
        st = runtime->compile(f->graph, options, &f->program, err);
    if (st)
        assay_forward_close(f);
    else
        *forward = f;
    return st;
}

void assay_forward_close(struct assay_forward *forward)
{
    if (!forward)
        return;
    forward->runtime->release(forward->program);
    assay_graph_close(forward->graph);
    free(forward->inputs);
    free(forward->states);
    free(forward);
}

enum assay_status assay_forward_run(struct assay_forward *forward, struct assay_training_session *session,
                                    const struct assay_tensor *data, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < forward->n_data; i++)
        forward->inputs[i] = data[i];
    for (int i = 0; i < forward->n_states && !st; i++)
        st = assay_training_session_state(session, forward->states[i], &forward->inputs[forward->n_data + i], err);
    if (!st)
        st = forward->runtime->bind(forward->program, forward->inputs, err);
    return st ? st : forward->runtime->run(forward->program, err);
}

enum assay_status assay_forward_output(struct assay_forward *forward, int index, struct assay_tensor *tensor,
                                       struct assay_error *err)
{
    return forward->runtime->output(forward->program, index, tensor, err);
}

int assay_forward_find_output(const struct assay_forward *forward, const char *name)
{
    for (int i = 0; i < forward->graph->n_outputs; i++)
        if (strcmp(forward->graph->values[forward->graph->outputs[i]].name, name) == 0)
            return i;
    return -1;
}
