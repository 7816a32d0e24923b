/* SPDX-License-Identifier: Apache-2.0 */
/* See match.h. Patterns are in match_pattern.c. */
#include "graph/match.h"

#include "graph/infer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void count_use(struct assay_match *match, int value, int node)
{
    if (value < 0)
        return;
    match->n_uses[value]++;
    match->a_reader[value] = node;
}

void assay_match_open(struct assay_match *match, struct assay_graph *graph)
{
    *match = (struct assay_match){.graph = graph, .n_values = graph->n_values};
    match->n_uses = assay_alloc(((size_t)graph->value_room + 1) * sizeof *match->n_uses);
    match->a_reader = assay_alloc(((size_t)graph->value_room + 1) * sizeof *match->a_reader);
    for (int v = 0; v < graph->n_values; v++)
        match->a_reader[v] = -1;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        for (int k = 0; node && k < node->n_inputs; k++)
            count_use(match, node->inputs[k], i);
    }
    for (const struct assay_graph *body = graph->first_body; body; body = body->next_body)
        for (int v = 0; v < body->n_values; v++)
            count_use(match, body->values[v].outer, -1);
    for (int i = 0; i < graph->n_outputs; i++)
        count_use(match, graph->outputs[i], -1);
}

void assay_match_close(struct assay_match *match)
{
    free(match->n_uses);
    free(match->a_reader);
    free(match->same);
    *match = (struct assay_match){0};
}

int assay_match_maker(const struct assay_match *match, int value, const char *type)
{
    const struct assay_graph *graph = match->graph;
    int maker = value >= 0 && !graph->values[value].is_input ? graph->values[value].producer : -1;
    const struct assay_node *node = maker >= 0 ? graph->nodes[maker] : NULL;
    if (!node || node->n_outputs < 1 || node->outputs[0] != value)
        return -1;
    return assay_match_is(match, maker, type) ? maker : -1;
}

bool assay_match_is(const struct assay_match *match, int index, const char *type)
{
    const struct assay_node *node = index >= 0 ? match->graph->nodes[index] : NULL;
    if (!node || node->n_outputs < 1 || node->outputs[0] < 0)
        return false;
    const char *dot = strchr(type, '.');
    if (!dot)
        return strcmp(node->type, type) == 0 && !*node->domain;
    size_t n = (size_t)(dot - type);
    return strncmp(node->domain, type, n) == 0 && node->domain[n] == '\0' && strcmp(node->type, dot + 1) == 0;
}

int assay_match_sole_maker(const struct assay_match *match, int value, const char *type)
{
    return value >= 0 && value < match->n_values && match->n_uses[value] == 1 ? assay_match_maker(match, value, type) : -1;
}

int assay_match_sole_reader(const struct assay_match *match, int value)
{
    int reader = value >= 0 && value < match->n_values && match->n_uses[value] == 1 ? match->a_reader[value] : -1;
    return reader >= 0 && match->graph->nodes[reader] ? reader : -1;
}

const struct assay_tensor *assay_match_constant(const struct assay_match *match, int value)
{
    return value >= 0 && match->graph->values[value].constant.data ? &match->graph->values[value].constant : NULL;
}

bool assay_match_scalar(const struct assay_match *match, int value, double *number)
{
    const struct assay_tensor *t = assay_match_constant(match, value);
    if (!t || assay_tensor_count(t) != 1 || !assay_dtype_is_float(t->type.dtype))
        return false;
    *number = assay_tensor_real(t, 0);
    return true;
}

bool assay_match_is_scalar(const struct assay_match *match, int value, double number, double tolerance)
{
    double found;
    return assay_match_scalar(match, value, &found) && fabs(found - number) <= tolerance;
}

bool assay_match_with_scalar(const struct assay_match *match, int node, double *number, int *other)
{
    const struct assay_node *n = node >= 0 ? match->graph->nodes[node] : NULL;
    if (!n || n->n_inputs != 2)
        return false;
    for (int k = 0; k < 2; k++)
        if (assay_match_scalar(match, n->inputs[k], number)) {
            *other = n->inputs[!k];
            return true;
        }
    return false;
}

int assay_match_ints(const struct assay_match *match, int value, int64_t *numbers, int room)
{
    const struct assay_tensor *t = assay_match_constant(match, value);
    if (!t || t->type.rank > 1 || (t->type.dtype != ASSAY_I64 && t->type.dtype != ASSAY_I32) || assay_tensor_count(t) > room)
        return -1;
    int n = (int)assay_tensor_count(t);
    for (int i = 0; i < n; i++)
        numbers[i] = assay_tensor_int(t, i);
    return n;
}

bool assay_match_same_shape(const struct assay_match *match, int a, int b)
{
    const struct assay_value *values = match->graph->values;
    return values[a].type.dtype == values[b].type.dtype && assay_match_same_dims(match, a, b);
}

bool assay_match_same_dims(const struct assay_match *match, int a, int b)
{
    const struct assay_type *x = &match->graph->values[a].type, *y = &match->graph->values[b].type;
    if (x->rank < 0 || x->rank != y->rank)
        return false;
    for (int d = 0; d < x->rank; d++) {
        bool both = x->dims[d] >= 0 && y->dims[d] >= 0;
        if (both ? x->dims[d] != y->dims[d] : x->dims[d] == 1 || y->dims[d] == 1)
            return false;
    }
    return true;
}

/* ---- changes */

static void make_room(struct assay_match *match)
{
    int n = match->graph->n_values;
    if (n <= match->n_values)
        return;
    /* The graph's own room doubles, so that these copies do too. */
    size_t room = (size_t)match->graph->value_room;
    match->n_uses = assay_realloc(match->n_uses, (room + 1) * sizeof *match->n_uses);
    match->a_reader = assay_realloc(match->a_reader, (room + 1) * sizeof *match->a_reader);
    if (match->same)
        match->same = assay_realloc(match->same, (room + 1) * sizeof *match->same);
    for (int v = match->n_values; v < n; v++) {
        match->n_uses[v] = 0;
        match->a_reader[v] = -1;
        if (match->same)
            match->same[v] = v;
    }
    match->n_values = n;
}

static bool is_dead(const struct assay_match *match, const struct assay_node *node)
{
    for (int k = 0; k < node->n_outputs; k++)
        if (node->outputs[k] >= 0 && match->n_uses[node->outputs[k]] > 0)
            return false;
    for (int k = 0; k < node->n_attrs; k++)
        if (node->attrs[k].graph)
            return false;
    return true;
}

/* Drops the node, and then all that is dead without it. */
static void drop(struct assay_match *match, int index)
{
    struct assay_graph *graph = match->graph;
    int n = 0, room = 64, *stack = assay_alloc((size_t)room * sizeof *stack);
    stack[n++] = index;
    while (n > 0) {
        int at = stack[--n];
        const struct assay_node *node = graph->nodes[at];
        assay_graph_drop_node(graph, at);
        if (n + node->n_inputs > room) {
            room = 2 * (n + node->n_inputs);
            stack = assay_realloc(stack, (size_t)room * sizeof *stack);
        }
        for (int k = 0; k < node->n_inputs; k++) {
            int value = node->inputs[k];
            if (value < 0 || --match->n_uses[value] > 0)
                continue;
            int maker = graph->values[value].producer;
            if (maker >= 0 && graph->nodes[maker] && is_dead(match, graph->nodes[maker]))
                stack[n++] = maker;
        }
    }
    free(stack);
}

/* After a node was appended: who makes and who reads. */
static void note_last(struct assay_match *match)
{
    struct assay_graph *graph = match->graph;
    int at = graph->n_nodes - 1;
    const struct assay_node *node = graph->nodes[at];
    make_room(match);
    for (int k = 0; k < node->n_inputs; k++)
        count_use(match, node->inputs[k], at);
    for (int k = 0; k < node->n_outputs; k++)
        if (node->outputs[k] >= 0)
            graph->values[node->outputs[k]].producer = at;
}

struct assay_node *assay_match_remake(struct assay_match *match, int value, const char *type, const char *domain, int n_inputs,
                                      const int *inputs)
{
    struct assay_graph *graph = match->graph;
    int old = graph->values[value].producer;
    const char *name = graph->nodes[old]->name;
    struct assay_node *node = assay_graph_add_node(graph, type, domain, n_inputs, inputs, 1, &value);
    node->name = name;
    note_last(match);
    drop(match, old);
    return node;
}

int assay_match_add(struct assay_match *match, const char *type, const char *domain, int n_inputs, const int *inputs,
                    const char *name, const struct assay_type *output)
{
    int value = assay_graph_add_value(match->graph, name, output);
    struct assay_node *node = assay_graph_add_node(match->graph, type, domain, n_inputs, inputs, 1, &value);
    node->name = match->graph->values[value].name;
    note_last(match);
    return value;
}

void assay_match_also_make(struct assay_match *match, int index, int n, const int *values)
{
    struct assay_graph *graph = match->graph;
    struct assay_node *node = graph->nodes[index];
    int *outputs = assay_arena_array(&graph->arena, 1 + (size_t)n, sizeof *outputs);
    outputs[0] = node->outputs[0];
    for (int k = 0; k < n; k++) {
        int old = graph->values[values[k]].producer;
        outputs[1 + k] = values[k];
        graph->values[values[k]].producer = index;
        drop(match, old);
    }
    node->outputs = outputs;
    node->n_outputs = 1 + n;
}

struct assay_node *assay_match_added(const struct assay_match *match) { return match->graph->nodes[match->graph->n_nodes - 1]; }

int assay_match_add_constant(struct assay_match *match, const char *name, const struct assay_tensor *tensor)
{
    int value = assay_graph_add_constant(match->graph, name, tensor);
    make_room(match);
    return value;
}

int assay_match_add_ints(struct assay_match *match, const char *name, const int64_t *numbers, int64_t n)
{
    struct assay_type type = assay_type_make(ASSAY_I64, 1, &n);
    struct assay_tensor tensor;
    ASSAY_ASSERT(n <= ASSAY_MAX_RANK && assay_tensor_alloc(&tensor, &type, NULL) == ASSAY_OK);
    memcpy(tensor.data, numbers, (size_t)n * sizeof *numbers);
    int value = assay_match_add_constant(match, name, &tensor);
    assay_tensor_release(&tensor);
    return value;
}

/* ---- aliases */

static int resolve(struct assay_match *match, int value)
{
    int *same = match->same, last = value;
    while (same[last] != last)
        last = same[last];
    while (same[value] != last) {
        int next = same[value];
        same[value] = last;
        value = next;
    }
    return last;
}

static void stand_for(struct assay_match *match, int value, int other)
{
    match->same[value] = other;
    if (match->n_uses[value] > 0)
        match->a_reader[other] = match->a_reader[value];
    match->n_uses[other] += match->n_uses[value];
    match->n_uses[value] = 0;
}

bool assay_match_alias(struct assay_match *match, int node, int value, int other)
{
    struct assay_graph *graph = match->graph;
    if (!match->same) {
        match->same = assay_alloc(((size_t)graph->value_room + 1) * sizeof *match->same);
        for (int v = 0; v < graph->n_values; v++)
            match->same[v] = v;
    }
    other = resolve(match, other);
    if (value == other)
        return false;
    if (!graph->values[value].is_output) {
        stand_for(match, value, other);
        drop(match, node);
        return true;
    }
    /* The maker of the other one makes the graph's output at once. */
    const struct assay_value *o = &graph->values[other];
    int maker = o->producer;
    if (o->is_output || o->is_input || o->outer >= 0 || (o->constant.data && !o->is_inferred) || maker < 0 ||
        !graph->nodes[maker])
        return false;
    match->n_uses[value]++; /* it must not die with the node */
    assay_graph_drop_node(graph, node);
    match->n_uses[other]--;
    for (int k = 0; k < graph->nodes[maker]->n_outputs; k++)
        if (graph->nodes[maker]->outputs[k] == other)
            graph->nodes[maker]->outputs[k] = value;
    graph->values[value].producer = maker;
    graph->values[other].producer = -1;
    stand_for(match, other, value);
    match->n_uses[value]--;
    return true;
}

void assay_match_renew(struct assay_match *match, int index)
{
    struct assay_node *node = match->graph->nodes[index];
    for (int k = 0; match->same && k < node->n_inputs; k++)
        if (node->inputs[k] >= 0)
            node->inputs[k] = resolve(match, node->inputs[k]);
}

static void renew_all(struct assay_match *match)
{
    struct assay_graph *graph = match->graph;
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i])
            assay_match_renew(match, i);
    for (struct assay_graph *body = graph->first_body; match->same && body; body = body->next_body)
        for (int v = 0; v < body->n_values; v++)
            if (body->values[v].outer >= 0)
                body->values[v].outer = resolve(match, body->values[v].outer);
}

enum assay_status assay_match_finish(struct assay_match *match, int n_changes, struct assay_error *err)
{
    struct assay_graph *graph = match->graph;
    if (n_changes)
        renew_all(match);
    assay_match_close(match);
    if (!n_changes)
        return ASSAY_OK;
    assay_graph_sweep(graph);
    enum assay_status st = assay_graph_sort(graph, err);
    return st ? st : assay_graph_infer(graph, err);
}

enum assay_status assay_match_each(struct assay_graph *graph, bool (*change)(struct assay_match *match, int index),
                                   int *n_changes, struct assay_error *err)
{
    struct assay_match match;
    int n = graph->n_nodes;
    assay_match_open(&match, graph);
    for (int i = 0; i < n; i++)
        if (graph->nodes[i])
            *n_changes += change(&match, i);
    return assay_match_finish(&match, *n_changes, err);
}
