/* SPDX-License-Identifier: Apache-2.0 */
/* See step_update.h: sums over the parts of a batch, the norm and the scale, the optimizer's nodes, and the states that all of
 * them keep. */
#include "train/step_update.h"

#include "graph/gradient.h"

#include <float.h>
#include <stdlib.h>

void assay_step_become_input(struct assay_graph *graph, int value, struct assay_tensor *initial)
{
    struct assay_value *v = &graph->values[value];
    assay_tensor_share(initial, &v->constant);
    assay_tensor_release(&v->constant);
    assay_graph_add_input(graph, value);
}

static int output_position(struct assay_graph *graph, int value)
{
    assay_graph_add_output(graph, value);
    return graph->n_outputs - 1;
}

/* ---- parts of a batch */

/* A sum over the runs since the last update: an input that the first of them does not read. */
static int accumulate(struct assay_step_making *m, int i, int value)
{
    struct assay_emit *e = &m->e;
    struct assay_graph *graph = m->graph;
    struct assay_type type = *e_type(e, value);
    int first = e_op(e, "Less", E_VALUES(m->accumulated, e_float(e, 0.5)));
    if (e->status)
        return -1;
    m->accumulators[i] = assay_graph_add_value(graph, "accumulated", &type);
    e->scope =
        assay_arena_printf(&graph->arena, "update/%s",
                           graph->values[m->accumulators[i]].name); /* tells the nodes apart, since their outputs are renamed */
    assay_graph_add_input(graph, m->accumulators[i]);
    int sum = e_add(e, e_where(e, first, e_float(e, 0), m->accumulators[i]), value);
    e->scope = "";
    return sum;
}

static void add_accumulation(struct assay_step_making *m, int *loss_sum)
{
    struct assay_emit *e = &m->e;
    m->accumulators = assay_arena_array(&m->graph->arena, (size_t)m->n + 1, sizeof *m->accumulators);
    if (m->accumulated < 0)
        return;
    for (int i = 0; i < m->n; i++)
        if (m->gradients[i] >= 0)
            m->gradients[i] = accumulate(m, i, m->gradients[i]);
    *loss_sum = accumulate(m, m->n, m->loss);
    e->scope = "update/mean";
    int mean = e_div(e, *loss_sum, e_add(e, m->accumulated, e_float(e, 1)));
    e->scope = "";
    if (e->status)
        return;
    const char *name = m->graph->values[m->loss].name;
    assay_graph_rename(m->graph, m->loss, assay_arena_printf(&m->graph->arena, "%s.part", name));
    assay_graph_rename(m->graph, mean, name);
    m->loss = mean;
}

/* ---- norm and scale */

/* The norm over all gradients, as if there were no loss scale, and the factor that clips and unscales them. */
static void add_norm(struct assay_step_making *m)
{
    struct assay_emit *e = &m->e;
    e->scope = "update/norm";
    int *gradients = assay_arena_array(&m->graph->arena, (size_t)m->n, sizeof *gradients), n = 0;
    int share = e_float(e, 1.0 / m->step->accumulate);
    if (m->loss_scale >= 0)
        m->unscale = e_div(e, share, m->loss_scale);
    else if (m->accumulated >= 0)
        m->unscale = share;
    m->scale = m->unscale;
    if (m->options->clip_norm <= 0 && !m->options->gradient_norm && m->loss_scale < 0) {
        e->scope = "";
        return;
    }
    for (int i = 0; i < m->n; i++)
        if (m->gradients[i] >= 0)
            gradients[n++] = m->gradients[i];
    int squares = e_own(e, "SumSquares", n, gradients), norm = e_unary(e, "Sqrt", squares);
    if (m->loss_scale >= 0)
        m->finite = e_op(e, "LessOrEqual", E_VALUES(squares, e_float(e, FLT_MAX)));
    if (m->unscale >= 0)
        norm = e_mul(e, norm, m->unscale);
    if (m->options->clip_norm > 0) {
        /* As torch.nn.utils.clip_grad_norm_: max_norm / (norm + 1e-6), at most 1. */
        int room = e_div(e, e_float(e, m->options->clip_norm), e_add(e, norm, e_float(e, 1e-6)));
        int factor = e_op(e, "Min", E_VALUES(room, e_float(e, 1)));
        m->scale = m->scale >= 0 ? e_mul(e, factor, m->scale) : factor;
    }
    if (m->options->gradient_norm && !e->status) {
        assay_graph_rename(m->graph, norm, "gradient_norm");
        m->step->gradient_norm = output_position(m->graph, norm);
    }
    e->scope = "";
}

/* A scale of 0 where this run makes no update: others of its batch are to come, or its gradients are not finite. */
static void add_skip(struct assay_step_making *m)
{
    struct assay_emit *e = &m->e;
    int goes = m->finite;
    if (m->finite >= 0) {
        e->scope = "update/finite";
        int number = e_cast(e, m->finite, ASSAY_F32);
        e->scope = "";
        if (e->status)
            return;
        assay_graph_rename(m->graph, number, "gradients_finite");
        m->step->gradients_finite = output_position(m->graph, number);
    }
    if (m->accumulated >= 0) {
        int last = e_op(e, "Greater", E_VALUES(m->accumulated, e_float(e, m->step->accumulate - 1.5)));
        goes = goes >= 0 ? e_op(e, "And", E_VALUES(goes, last)) : last;
    }
    m->skips = goes >= 0;
    if (m->skips)
        m->scale = e_where(e, goes, m->scale, e_float(e, 0));
}

/* ---- outputs, states and the optimizer's nodes */

static void add_gradient_outputs(struct assay_step_making *m)
{
    struct assay_training_step *s = m->step;
    struct assay_graph *graph = m->graph;
    s->first_gradient = graph->n_outputs;
    s->gradients = assay_arena_array(&graph->arena, (size_t)m->n + 1, sizeof *s->gradients);
    for (int i = 0; i < m->n && m->options->gradients && !m->e.status; i++) {
        if (m->gradients[i] < 0)
            continue;
        const char *name = graph->values[m->values[i]].name;
        m->e.scope = name; /* tells the nodes apart, since their outputs are renamed */
        /* A value of its own: one may be the gradient of two. */
        int output = m->unscale >= 0 ? e_mul(&m->e, m->gradients[i], m->unscale) : e_unary(&m->e, "Identity", m->gradients[i]);
        if (m->e.status)
            return;
        m->e.scope = "";
        assay_graph_rename(graph, output, assay_arena_printf(&graph->arena, "gradient.%s", name));
        s->gradients[s->n_gradients++] = name;
        output_position(graph, output);
    }
}

/* Moments begin as pages that take no memory until they are written: a runtime has a copy of its own. */
static enum assay_status make_zeros(struct assay_tensor *tensor, const struct assay_type *type, struct assay_error *err)
{
    int64_t bytes = assay_type_bytes(type);
    void *zeros = bytes >= 0 ? calloc(1, (size_t)bytes + 1) : NULL;
    if (!zeros)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for %lld bytes of an optimizer's state", (long long)bytes);
    assay_tensor_adopt(tensor, type, zeros, free, zeros);
    return ASSAY_OK;
}

static enum assay_status add_state(struct assay_step_making *m, const char *name, enum assay_step_role role, int input,
                                   int output, const struct assay_tensor *initial)
{
    struct assay_training_step *s = m->step;
    struct assay_graph *graph = m->graph;
    struct assay_step_state *state = &s->states[s->n_states++];
    *state = (struct assay_step_state){.name = name, .role = role};
    for (int i = 0; i < graph->n_inputs; i++)
        if (graph->inputs[i] == input)
            state->input = i;
    assay_graph_rename(graph, output, assay_arena_printf(&graph->arena, "next.%s", name));
    state->output = output_position(graph, output);
    assay_graph_add_state(graph, state->output, state->input);
    if (initial) {
        assay_tensor_share(&state->initial, initial);
        return ASSAY_OK;
    }
    return make_zeros(&state->initial, &graph->values[input].type, m->e.err);
}

static void set_number(struct assay_emit *e, const char *name, double value)
{
    if (value != 0)
        e_set_float(e, name, value);
}

/* The node that updates parameter i; outputs[0] its next value, the others those of its moments. */
static void update_node(struct assay_step_making *m, int i, int n_moments, const int *moments, int *outputs)
{
    const struct assay_optimizer *o = &m->options->optimizer;
    int p = m->values[i], g = m->gradients[i];
    if (o->kind == ASSAY_OPTIMIZER_SGD) {
        e_many(&m->e, "SGD", "assay", 5, (const int[]){p, g, m->rate, m->scale, n_moments ? moments[0] : -1}, 1 + n_moments,
               outputs);
        set_number(&m->e, "momentum", o->momentum);
        if (o->nesterov)
            e_set_int(&m->e, "nesterov", 1);
    } else {
        e_many(&m->e, "Adam", "assay", 8,
               (const int[]){p, g, m->rate, m->scale, moments[0], moments[1], m->correction1, m->correction2}, 3, outputs);
        e_set_float(&m->e, "beta1", o->beta1);
        e_set_float(&m->e, "beta2", o->beta2);
        e_set_float(&m->e, "epsilon", o->epsilon);
        e_set_int(&m->e, "decoupled", o->kind == ASSAY_OPTIMIZER_ADAMW);
    }
    set_number(&m->e, "weight_decay", o->weight_decay);
    if (m->skips)
        e_set_int(&m->e, "skips", 1);
}

static enum assay_status add_update(struct assay_step_making *m, int i)
{
    static const char *const moment_names[2][2] = {{"momentum_buffer"}, {"exp_avg", "exp_avg_sq"}};
    const struct assay_optimizer *o = &m->options->optimizer;
    struct assay_graph *graph = m->graph;
    bool is_sgd = o->kind == ASSAY_OPTIMIZER_SGD;
    int n_moments = is_sgd ? o->momentum > 0 : 2, moments[2] = {-1, -1}, outputs[3] = {0, 0, 0};
    const char *name = graph->values[m->values[i]].name, *names[2];
    for (int k = 0; k < n_moments; k++) {
        names[k] = assay_arena_printf(&graph->arena, "%s.%s", name, moment_names[!is_sgd][k]);
        moments[k] = assay_graph_add_value(graph, names[k], &graph->values[m->values[i]].type);
        assay_graph_add_input(graph, moments[k]);
    }
    m->e.scope = assay_arena_printf(&graph->arena, "update/%s", name);
    update_node(m, i, n_moments, moments, outputs);
    enum assay_status st = assay_emit_finish(&m->e);
    m->e.scope = "";
    if (!st)
        st = add_state(m, name, ASSAY_STEP_PARAMETER, m->values[i], outputs[0], &m->initials[i]);
    for (int k = 0; k < n_moments && !st; k++)
        st = add_state(m, names[k], ASSAY_STEP_MOMENT, moments[k], outputs[1 + k], NULL);
    return st;
}

/* Running statistics: what the model says is the next value of a constant. */
static enum assay_status add_buffers(struct assay_step_making *m, const int *outputs, int n_outputs)
{
    struct assay_graph *graph = m->graph;
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < n_outputs && !st; i++) {
        const char *name = assay_graph_metadata(graph, ASSAY_TRAINING_UPDATE, graph->values[outputs[i]].name);
        int constant = name ? assay_graph_find(graph, name) : -1;
        struct assay_tensor initial = {0};
        if (constant < 0 || !graph->values[constant].constant.data)
            continue;
        assay_step_become_input(graph, constant, &initial);
        int next = m->finite >= 0 ? e_where(&m->e, m->finite, outputs[i], constant) : outputs[i];
        st = assay_emit_finish(&m->e);
        if (!st)
            st = add_state(m, graph->values[constant].name, ASSAY_STEP_BUFFER, constant, next, &initial);
        assay_tensor_release(&initial);
    }
    return st;
}

static enum assay_status add_accumulators(struct assay_step_making *m, int loss_sum)
{
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i <= m->n && m->accumulated >= 0 && !st; i++) {
        int sum = i < m->n ? m->gradients[i] : loss_sum;
        if (sum < 0)
            continue;
        const char *of = m->graph->values[i < m->n ? m->values[i] : m->loss].name;
        const char *name = assay_arena_printf(&m->graph->arena, "%s.accumulated", of);
        assay_graph_rename(m->graph, m->accumulators[i], name);
        st = add_state(m, name, ASSAY_STEP_ACCUMULATOR, m->accumulators[i], sum, NULL);
    }
    return st;
}

/* ---- the whole */

enum assay_status assay_step_add_update(struct assay_step_making *m, const int *outputs, int n_outputs)
{
    bool updates = m->options->update;
    int loss_sum = -1;
    enum assay_status st = ASSAY_OK;
    add_accumulation(m, &loss_sum);
    m->step->loss = output_position(m->graph, m->loss);
    add_norm(m);
    if (updates)
        add_skip(m);
    add_gradient_outputs(m);
    for (int i = 0; i < m->n && updates && !st; i++)
        if (m->gradients[i] >= 0)
            st = add_update(m, i);
    if (!st && updates)
        st = add_buffers(m, outputs, n_outputs);
    if (!st)
        st = add_accumulators(m, loss_sum);
    return st ? st : assay_emit_finish(&m->e);
}
