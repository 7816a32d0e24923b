/* SPDX-License-Identifier: Apache-2.0 */
/* See step.h: what is learned, and the backward pass. What the gradients are used for is in step_update.c. */
#include "train/step.h"

#include "graph/gradient.h"
#include "graph/infer.h"
#include "graph/precision.h"
#include "graph/recompute.h"
#include "train/normalization.h"
#include "train/step_update.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is folded of shapes and the like; weights are inputs by then. */
static const int64_t fold_limit_bytes = 1 << 20;

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

/* Where an op takes weights, biases and slopes, which are learned also where they are one number: the bias of a single score. Any
 * other number stands for itself, as an epsilon does. */
static void mark_single_parameters(const struct assay_graph *graph, bool *is_parameter)
{
    static const struct {
        const char *type;
        int from, to;
    } places[] = {{"Conv", 1, 2},
                  {"ConvTranspose", 1, 2},
                  {"Gemm", 1, 2},
                  {"MatMul", 1, 1},
                  {"BatchNormalization", 1, 2},
                  {"InstanceNormalization", 1, 2},
                  {"GroupNormalization", 1, 2},
                  {"LayerNormalization", 1, 2},
                  {"PRelu", 1, 1}};
    static const char *const shapers[] = {"Unsqueeze", "Squeeze", "Reshape", "Transpose", "Identity"};
    for (int k = graph->n_nodes - 1; k >= 0; k--) {
        const struct assay_node *node = graph->nodes[k];
        if (*node->domain || node->n_inputs < 1 || node->n_outputs < 1) /* nothing is known of other domains' ops */
            continue;
        for (size_t i = 0; i < ASSAY_COUNT(shapers); i++)
            if (strcmp(node->type, shapers[i]) == 0 && node->outputs[0] >= 0 && node->inputs[0] >= 0 &&
                is_parameter[node->outputs[0]])
                is_parameter[node->inputs[0]] = true;
        for (size_t p = 0; p < ASSAY_COUNT(places); p++)
            for (int i = places[p].from; i <= places[p].to && i < node->n_inputs && !strcmp(node->type, places[p].type); i++)
                if (node->inputs[i] >= 0)
                    is_parameter[node->inputs[i]] = true;
    }
}

static void find_candidates(struct assay_step_making *m)
{
    struct assay_graph *graph = m->graph;
    bool says = says_what_it_learns(graph);
    bool *is_statistic = assay_arena_array(&graph->arena, (size_t)graph->n_values, sizeof *is_statistic);
    bool *is_parameter = assay_arena_array(&graph->arena, (size_t)graph->n_values, sizeof *is_parameter);
    m->values = assay_arena_array(&graph->arena, (size_t)graph->n_values, sizeof *m->values);
    mark_statistics(graph, is_statistic);
    mark_single_parameters(graph, is_parameter);
    for (int v = 0; v < graph->n_values; v++) {
        const struct assay_value *value = &graph->values[v];
        if (!value->constant.data || value->is_inferred || value->type.dtype != ASSAY_F32 || is_frozen(m->options, value->name))
            continue;
        const char *word = assay_graph_metadata(graph, ASSAY_TRAINING_PARAMETER, value->name);
        bool is_usual = (assay_type_count(&value->type) > 1 || is_parameter[v]) && !is_statistic[v];
        if (says ? word && strcmp(word, "trained") == 0 : is_usual)
            m->values[m->n++] = v;
    }
    m->gradients = assay_arena_array(&graph->arena, (size_t)m->n + 1, sizeof *m->gradients);
    m->initials = assay_arena_array(&graph->arena, (size_t)m->n + 1, sizeof *m->initials);
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

/* ---- inputs of the update */

static int add_scalar(struct assay_graph *graph, const char *name, int *position)
{
    struct assay_type type = assay_type_make(ASSAY_F32, 0, NULL);
    int value = assay_graph_add_value(graph, name, &type);
    *position = graph->n_inputs;
    assay_graph_add_input(graph, value);
    return value;
}

static void add_scalars(struct assay_step_making *m)
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

static void forget_outputs(struct assay_graph *graph)
{
    for (int i = 0; i < graph->n_outputs; i++)
        graph->values[graph->outputs[i]].is_output = false;
    graph->n_outputs = 0;
}

/* ---- the whole */

static enum assay_status find_loss(struct assay_step_making *m, struct assay_error *err)
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
static enum assay_status differentiate(struct assay_step_making *m, struct assay_error *err)
{
    struct assay_graph *graph = m->graph;
    find_candidates(m);
    if (m->n == 0)
        return assay_error_set(err, ASSAY_INVALID, "the model has no parameters to train");
    for (int i = 0; i < m->n; i++)
        assay_step_become_input(graph, m->values[i], &m->initials[i]);
    enum assay_status st = assay_graph_infer(graph, err);
    if (!st && graph->first_body) /* an If whose condition is known by now gives way to its branch, which has gradients */
        st = assay_graph_fold(graph, fold_limit_bytes, err);
    if (!st && graph->first_body)
        st = assay_graph_infer(graph, err);
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

static enum assay_status add_backward(struct assay_step_making *m, struct assay_error *err)
{
    struct assay_graph *graph = m->graph;
    struct assay_training_step *s = m->step;
    int n_outputs = graph->n_outputs;
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
    return assay_step_add_update(m, outputs, n_outputs);
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
    struct assay_step_making m = {.graph = graph, .options = options, .step = s, .e = assay_emit_make(graph, "", err)};
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
