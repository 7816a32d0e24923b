/* SPDX-License-Identifier: Apache-2.0 */
/* See step.h. */
#include "train/step.h"

#include "graph/gradient.h"
#include "graph/infer.h"
#include "graph/precision.h"
#include "graph/recompute.h"
#include "train/normalization.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is folded of shapes and the like; weights are inputs by then. */
static const int64_t fold_limit_bytes = 1 << 20;

/* Everything that is decided on the way, in the arena of the step's graph. */
struct making {
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

static bool matches(const char *pattern, const char *name)
{
    const char *star = strchr(pattern, '*');
    if (!star)
        return strcmp(pattern, name) == 0;
    size_t head = (size_t)(star - pattern), tail = strlen(star + 1), n = strlen(name);
    return n >= head + tail && memcmp(pattern, name, head) == 0 && strcmp(name + n - tail, star + 1) == 0;
}

static bool is_frozen(const struct assay_step_options *options, const char *name)
{
    for (size_t i = 0; options->frozen && options->frozen[i]; i++)
        if (matches(options->frozen[i], name))
            return true;
    return false;
}

/* A pattern that freezes nothing is a misspelled one. */
static enum assay_status check_frozen(const struct assay_graph *graph, const struct assay_step_options *options,
                                      struct assay_error *err)
{
    for (size_t i = 0; options->frozen && options->frozen[i]; i++) {
        bool found = false;
        for (int v = 0; v < graph->n_values && !found; v++)
            found = graph->values[v].constant.data && matches(options->frozen[i], graph->values[v].name);
        if (!found)
            return assay_error_set(err, ASSAY_INVALID, "the model has no parameter '%s' to freeze", options->frozen[i]);
    }
    return ASSAY_OK;
}

/* ---- what is learned */

static bool says_what_it_learns(const struct assay_graph *graph)
{
    for (int i = 0; i < graph->n_metadata; i++)
        if (strncmp(graph->metadata[i].name, ASSAY_TRAINING_PARAMETER, strlen(ASSAY_TRAINING_PARAMETER)) == 0)
            return true;
    return false;
}

/* Running statistics of graphs that say nothing. */
static void mark_statistics(const struct assay_graph *graph, bool *is_statistic)
{
    for (int k = 0; k < graph->n_nodes; k++) {
        const struct assay_node *node = graph->nodes[k];
        for (int i = 3; i < 5 && strcmp(node->type, "BatchNormalization") == 0 && i < node->n_inputs; i++)
            if (node->inputs[i] >= 0)
                is_statistic[node->inputs[i]] = true;
    }
}

static void find_candidates(struct making *m)
{
    struct assay_graph *graph = m->graph;
    bool says = says_what_it_learns(graph);
    bool *is_statistic = assay_arena_array(&graph->arena, (size_t)graph->n_values, sizeof *is_statistic);
    m->values = assay_arena_array(&graph->arena, (size_t)graph->n_values, sizeof *m->values);
    mark_statistics(graph, is_statistic);
    for (int v = 0; v < graph->n_values; v++) {
        const struct assay_value *value = &graph->values[v];
        if (!value->constant.data || value->is_inferred || value->type.dtype != ASSAY_F32 || is_frozen(m->options, value->name))
            continue;
        const char *word = assay_graph_metadata(graph, ASSAY_TRAINING_PARAMETER, value->name);
        if (says ? word && strcmp(word, "trained") == 0 : assay_type_count(&value->type) > 1 && !is_statistic[v])
            m->values[m->n++] = v;
    }
    m->gradients = assay_arena_array(&graph->arena, (size_t)m->n + 1, sizeof *m->gradients);
    m->initials = assay_arena_array(&graph->arena, (size_t)m->n + 1, sizeof *m->initials);
}

static void become_input(struct assay_graph *graph, int value, struct assay_tensor *initial)
{
    struct assay_value *v = &graph->values[value];
    assay_tensor_share(initial, &v->constant);
    assay_tensor_release(&v->constant);
    assay_graph_add_input(graph, value);
}

/* What the loss does not depend on stays a constant. */
static void become_constant(struct assay_graph *graph, int value, struct assay_tensor *initial)
{
    struct assay_value *v = &graph->values[value];
    int n = 0;
    for (int i = 0; i < graph->n_inputs; i++)
        if (graph->inputs[i] != value)
            graph->inputs[n++] = graph->inputs[i];
    graph->n_inputs = n;
    v->is_input = false;
    assay_tensor_share(&v->constant, initial);
    assay_tensor_release(initial);
}

/* ---- the update */

static int add_scalar(struct assay_graph *graph, const char *name, int *position)
{
    struct assay_type type = assay_type_make(ASSAY_F32, 0, NULL);
    int value = assay_graph_add_value(graph, name, &type);
    *position = graph->n_inputs;
    assay_graph_add_input(graph, value);
    return value;
}

static void add_scalars(struct making *m)
{
    struct assay_training_step *s = m->step;
    bool has_moments = m->options->optimizer.kind != ASSAY_OPTIMIZER_SGD;
    s->learning_rate = s->correction1 = s->correction2 = s->loss_scale = s->accumulated = -1;
    m->rate = m->correction1 = m->correction2 = m->loss_scale = m->accumulated = -1;
    m->unscale = m->scale = m->finite = -1;
    if (m->options->update)
        m->rate = add_scalar(m->graph, "learning_rate", &s->learning_rate);
    if (m->options->update && has_moments) {
        m->correction1 = add_scalar(m->graph, "bias_correction1", &s->correction1);
        m->correction2 = add_scalar(m->graph, "bias_correction2", &s->correction2);
    }
    if (m->options->loss_scale)
        m->loss_scale = add_scalar(m->graph, "loss_scale", &s->loss_scale);
    if (s->accumulate > 1)
        m->accumulated = add_scalar(m->graph, "accumulated", &s->accumulated);
}

static int output_position(struct assay_graph *graph, int value)
{
    assay_graph_add_output(graph, value);
    return graph->n_outputs - 1;
}

/* ---- parts of a batch */

/* A sum over the runs since the last update: an input that the first of them does not read. */
static int accumulate(struct making *m, int i, int value)
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

static void add_accumulation(struct making *m, int *loss_sum)
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
static void add_norm(struct making *m)
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
static void add_skip(struct making *m)
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

static void add_gradient_outputs(struct making *m)
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

static enum assay_status add_state(struct making *m, const char *name, enum assay_step_role role, int input, int output,
                                   const struct assay_tensor *initial)
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
static void update_node(struct making *m, int i, int n_moments, const int *moments, int *outputs)
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

static enum assay_status add_update(struct making *m, int i)
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
static enum assay_status add_buffers(struct making *m, const int *outputs, int n_outputs)
{
    struct assay_graph *graph = m->graph;
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < n_outputs && !st; i++) {
        const char *name = assay_graph_metadata(graph, ASSAY_TRAINING_UPDATE, graph->values[outputs[i]].name);
        int constant = name ? assay_graph_find(graph, name) : -1;
        struct assay_tensor initial = {0};
        if (constant < 0 || !graph->values[constant].constant.data)
            continue;
        become_input(graph, constant, &initial);
        int next = m->finite >= 0 ? e_where(&m->e, m->finite, outputs[i], constant) : outputs[i];
        st = assay_emit_finish(&m->e);
        if (!st)
            st = add_state(m, graph->values[constant].name, ASSAY_STEP_BUFFER, constant, next, &initial);
        assay_tensor_release(&initial);
    }
    return st;
}

static enum assay_status add_accumulators(struct making *m, int loss_sum)
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

static void forget_outputs(struct assay_graph *graph)
{
    for (int i = 0; i < graph->n_outputs; i++)
        graph->values[graph->outputs[i]].is_output = false;
    graph->n_outputs = 0;
}

/* ---- the whole */

static enum assay_status find_loss(struct making *m, struct assay_error *err)
{
    const char *name = m->options->loss ? m->options->loss : "loss";
    for (int i = 0; i < m->graph->n_outputs; i++)
        if (strcmp(m->graph->values[m->graph->outputs[i]].name, name) == 0) {
            m->loss = m->graph->outputs[i];
            return ASSAY_OK;
        }
    return assay_error_set(err, ASSAY_INVALID, "the model has no output '%s' to minimise", name);
}

/* Parameters become inputs, so that folding leaves them alone; then the backward pass, at the precision asked for. */
static enum assay_status differentiate(struct making *m, struct assay_error *err)
{
    struct assay_graph *graph = m->graph;
    find_candidates(m);
    if (m->n == 0)
        return assay_error_set(err, ASSAY_INVALID, "the model has no parameters to train");
    for (int i = 0; i < m->n; i++)
        become_input(graph, m->values[i], &m->initials[i]);
    enum assay_status st = assay_graph_infer(graph, err);
    if (!st && m->options->precision != ASSAY_NO_DTYPE)
        st = assay_graph_set_precision(graph, m->options->precision, err);
    int n_forward = graph->n_nodes, seed = m->loss_scale;
    if (!st && seed >= 0 && graph->values[m->loss].type.rank > 0) { /* of the loss's shape */
        seed = e_reshape_like(&m->e, seed, m->loss);
        st = assay_emit_finish(&m->e);
    }
    if (!st)
        st = assay_graph_differentiate(graph, m->loss, seed, m->n, m->values, m->gradients, err);
    if (!st && m->options->recompute)
        st = assay_graph_recompute(graph, n_forward, m->step->n_data, m->options->recompute, NULL, err);
    return st;
}

static enum assay_status add_backward(struct making *m, struct assay_error *err)
{
    struct assay_graph *graph = m->graph;
    struct assay_training_step *s = m->step;
    int n_outputs = graph->n_outputs, loss_sum = -1;
    int *outputs = assay_arena_array(&graph->arena, (size_t)n_outputs, sizeof *outputs);
    s->n_data = graph->n_inputs;
    add_scalars(m);
    enum assay_status st = differentiate(m, err);
    memcpy(outputs, graph->outputs, (size_t)n_outputs * sizeof *outputs);
    for (int i = 0; i < m->n && !st; i++)
        if (m->gradients[i] < 0)
            become_constant(graph, m->values[i], &m->initials[i]);
        else
            s->parameters += assay_type_count(&graph->values[m->values[i]].type), s->n_parameters++;
    if (!st && s->n_parameters == 0)
        st = assay_error_set(err, ASSAY_INVALID, "the loss does not depend on any parameter");
    if (st)
        return st;
    s->states = assay_arena_array(&graph->arena, (size_t)(4 * m->n + 1 + n_outputs), sizeof *s->states);
    forget_outputs(graph);
    add_accumulation(m, &loss_sum);
    s->loss = output_position(graph, m->loss);
    add_norm(m);
    if (m->options->update)
        add_skip(m);
    add_gradient_outputs(m);
    for (int i = 0; i < m->n && m->options->update && !st; i++)
        if (m->gradients[i] >= 0)
            st = add_update(m, i);
    if (!st && m->options->update)
        st = add_buffers(m, outputs, n_outputs);
    if (!st)
        st = add_accumulators(m, loss_sum);
    return st ? st : assay_emit_finish(&m->e);
}

static enum assay_status settle(struct assay_graph *graph, struct assay_error *err)
{
    enum assay_status st = assay_graph_sort(graph, err);
    if (!st)
        st = assay_graph_infer(graph, err);
    if (!st)
        st = assay_graph_fold(graph, fold_limit_bytes, err);
    if (!st)
        st = assay_graph_infer(graph, err);
    if (!st)
        assay_graph_schedule(graph);
    return st;
}

enum assay_status assay_training_step_make(const struct assay_graph *model, const struct assay_step_options *options,
                                           struct assay_training_step **step, struct assay_error *err)
{
    struct assay_graph *graph = assay_graph_clone(model);
    struct assay_training_step *s = assay_alloc(sizeof *s);
    *s = (struct assay_training_step){
        .graph = graph, .gradient_norm = -1, .gradients_finite = -1, .optimizer = options->optimizer, .accumulate = 1};
    if (options->update && options->accumulate > 1)
        s->accumulate = options->accumulate;
    struct making m = {.graph = graph, .options = options, .step = s, .e = assay_emit_make(graph, "", err)};
    int n_normalizations;
    enum assay_status st = find_loss(&m, err);
    if (!st)
        st = check_frozen(graph, options, err);
    if (!st && options->train_normalization)
        st = assay_graph_train_normalization(graph, &n_normalizations, err);
    if (!st)
        st = add_backward(&m, err);
    if (!st)
        st = settle(graph, err);
    for (int i = 0; i < m.n; i++)
        assay_tensor_release(&m.initials[i]);
    if (st)
        assay_training_step_close(s);
    else
        *step = s;
    return st;
}

void assay_training_step_close(struct assay_training_step *step)
{
    if (!step)
        return;
    for (int i = 0; i < step->n_states; i++)
        assay_tensor_release(&step->states[i].initial);
    assay_graph_close(step->graph);
    free(step);
}

void assay_training_step_release_initials(struct assay_training_step *step)
{
    for (int i = 0; i < step->n_states; i++) {
        struct assay_type type = step->states[i].initial.type;
        assay_tensor_release(&step->states[i].initial);
        step->states[i].initial.type = type;
    }
}

static void set_scalar(struct assay_tensor *inputs, int position, double value)
{
    if (position >= 0)
        assay_tensor_set_real(&inputs[position], 0, value);
}

void assay_training_step_scalars(const struct assay_training_step *step, int64_t number, double learning_rate, double loss_scale,
                                 struct assay_tensor *inputs)
{
    set_scalar(inputs, step->learning_rate, learning_rate);
    set_scalar(inputs, step->correction1, 1 - pow(step->optimizer.beta1, (double)number));
    set_scalar(inputs, step->correction2, 1 - pow(step->optimizer.beta2, (double)number));
    set_scalar(inputs, step->loss_scale, loss_scale);
}
