/* SPDX-License-Identifier: Apache-2.0 */
/* Making and changing graphs (graph.h). Attributes are in node.c, order and sweeping in sort.c, copies in clone.c. */
#include "graph/graph.h"

#include "graph/op.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct assay_graph *assay_graph_open(const char *name)
{
    struct assay_graph *graph = assay_alloc(sizeof *graph);
    assay_arena_init(&graph->arena);
    graph->name = assay_arena_strdup(&graph->arena, name);
    graph->producer = graph->doc = "";
    graph->opset = ASSAY_OPSET;
    graph->ir_version = 8; /* the one that came with opset 17 */
    return graph;
}

struct assay_graph *assay_graph_open_body(struct assay_graph *outer, const char *name)
{
    struct assay_graph *body = assay_graph_open(name);
    body->opset = outer->opset;
    body->ir_version = outer->ir_version;
    body->outer = outer;
    body->next_body = outer->first_body;
    outer->first_body = body;
    return body;
}

static void unlink_body(struct assay_graph *body)
{
    struct assay_graph **at = &body->outer->first_body;
    while (*at != body)
        at = &(*at)->next_body;
    *at = body->next_body;
}

void assay_graph_close(struct assay_graph *graph)
{
    if (!graph)
        return;
    if (graph->outer)
        unlink_body(graph);
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i])
            assay_graph_drop_node(graph, i);
    while (graph->first_body)
        assay_graph_close(graph->first_body);
    for (int i = 0; i < graph->n_values; i++)
        assay_tensor_release(&graph->values[i].constant);
    assay_arena_release(&graph->arena);
    free(graph);
}

/* A grown copy of an arena's array when it is full: room doubles, so that all copies together cost no more than the last. */
static void *room_for_one(struct assay_graph *graph, void *array, int n, int *room, size_t size_bytes)
{
    if (n < *room)
        return array;
    ASSAY_ASSERT(n < INT_MAX / 2);
    *room = n ? 2 * n : 16;
    return assay_arena_grow(&graph->arena, array, (size_t)n, (size_t)*room, size_bytes);
}

static uint32_t name_hash(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

/* The slot that holds `name`, or the free one where it belongs. */
static int *name_slot(const struct assay_graph *graph, const char *name)
{
    uint32_t mask = (uint32_t)graph->n_name_slots - 1;
    for (uint32_t at = name_hash(name) & mask;; at = (at + 1) & mask) {
        int *slot = &graph->name_slots[at];
        if (*slot == 0 || strcmp(graph->values[*slot - 1].name, name) == 0)
            return slot;
    }
}

static void index_all_names(struct assay_graph *graph, int n_slots)
{
    if (n_slots != graph->n_name_slots)
        graph->name_slots = assay_arena_array(&graph->arena, (size_t)n_slots, sizeof *graph->name_slots);
    else
        memset(graph->name_slots, 0, (size_t)n_slots * sizeof *graph->name_slots);
    graph->n_name_slots = n_slots;
    for (int i = 0; i < graph->n_values; i++)
        if (graph->values[i].name)
            *name_slot(graph, graph->values[i].name) = i + 1;
}

int assay_graph_find(const struct assay_graph *graph, const char *name)
{
    return graph->n_name_slots ? *name_slot(graph, name) - 1 : -1;
}

static const char *unique_name(struct assay_graph *graph, const char *name)
{
    if (!name || !*name)
        name = "value";
    if (assay_graph_find(graph, name) < 0)
        return assay_arena_strdup(&graph->arena, name);
    /* Counting on from the number of values finds a free suffix at once in a graph that is made of many such. */
    for (int suffix = graph->n_values;; suffix++) {
        char *tried = assay_arena_printf(&graph->arena, "%s_%d", name, suffix);
        if (assay_graph_find(graph, tried) < 0)
            return tried;
    }
}

int assay_graph_add_value(struct assay_graph *graph, const char *name, const struct assay_type *type)
{
    const char *unique = unique_name(graph, name);
    graph->values = room_for_one(graph, graph->values, graph->n_values, &graph->value_room, sizeof *graph->values);
    int number = graph->n_values++;
    struct assay_value *value = &graph->values[number];
    *value = (struct assay_value){.name = unique, .type = {.rank = -1}, .outer = -1, .producer = -1};
    if (type)
        value->type = *type;
    if (2 * graph->n_values > graph->n_name_slots)
        index_all_names(graph, graph->n_name_slots ? 2 * graph->n_name_slots : 64);
    else
        *name_slot(graph, unique) = number + 1;
    return number;
}

void assay_graph_rename(struct assay_graph *graph, int value, const char *name)
{
    graph->values[value].name = NULL;
    index_all_names(graph, graph->n_name_slots);
    graph->values[value].name = unique_name(graph, name);
    *name_slot(graph, graph->values[value].name) = value + 1;
}

int assay_graph_add_constant(struct assay_graph *graph, const char *name, const struct assay_tensor *tensor)
{
    int number = assay_graph_add_value(graph, name, &tensor->type);
    assay_tensor_share(&graph->values[number].constant, tensor);
    return number;
}

int assay_graph_capture(struct assay_graph *body, int outer_value)
{
    ASSAY_ASSERT(body->outer && outer_value >= 0 && outer_value < body->outer->n_values);
    for (int i = 0; i < body->n_values; i++)
        if (body->values[i].outer == outer_value)
            return i;
    const struct assay_value *outer = &body->outer->values[outer_value];
    int number = assay_graph_add_value(body, outer->name, &outer->type);
    body->values[number].outer = outer_value;
    return number;
}

static int *copy_numbers(struct assay_graph *graph, const int *numbers, int n)
{
    for (int i = 0; i < n; i++)
        ASSAY_ASSERT(numbers[i] >= -1 && numbers[i] < graph->n_values);
    return assay_arena_memdup(&graph->arena, numbers, (size_t)n * sizeof *numbers);
}

struct assay_node *assay_graph_add_node(struct assay_graph *graph, const char *type, const char *domain, int n_inputs,
                                        const int *inputs, int n_outputs, const int *outputs)
{
    struct assay_node *node = assay_arena_alloc(&graph->arena, sizeof *node);
    node->name = "";
    node->type = assay_arena_strdup(&graph->arena, type);
    node->domain = *domain ? assay_arena_strdup(&graph->arena, domain) : "";
    node->op = assay_op_find(domain, type);
    node->n_inputs = n_inputs;
    node->inputs = copy_numbers(graph, inputs, n_inputs);
    node->n_outputs = n_outputs;
    node->outputs = copy_numbers(graph, outputs, n_outputs);
    graph->nodes = room_for_one(graph, graph->nodes, graph->n_nodes, &graph->node_room, sizeof *graph->nodes);
    graph->nodes[graph->n_nodes++] = node;
    return node;
}

void assay_graph_drop_node(struct assay_graph *graph, int index)
{
    struct assay_node *node = graph->nodes[index];
    while (node->n_attrs > 0)
        assay_node_remove_attr(node, node->attrs[node->n_attrs - 1].name);
    graph->nodes[index] = NULL;
}

/* Lists that hold a handful grow at powers of two, without a count of their room. */
static void *append(struct assay_graph *graph, void *array, int n, size_t size_bytes)
{
    if (n & (n - 1))
        return array;
    return assay_arena_grow(&graph->arena, array, (size_t)n, n ? 2 * (size_t)n : 1, size_bytes);
}

void assay_graph_add_input(struct assay_graph *graph, int value)
{
    graph->inputs = append(graph, graph->inputs, graph->n_inputs, sizeof *graph->inputs);
    graph->inputs[graph->n_inputs++] = value;
    graph->values[value].is_input = true;
}

void assay_graph_add_output(struct assay_graph *graph, int value)
{
    graph->outputs = append(graph, graph->outputs, graph->n_outputs, sizeof *graph->outputs);
    graph->outputs[graph->n_outputs++] = value;
    graph->values[value].is_output = true;
}

void assay_graph_add_state(struct assay_graph *graph, int output, int input)
{
    ASSAY_ASSERT(output >= 0 && output < graph->n_outputs && input >= 0 && input < graph->n_inputs);
    graph->states = append(graph, graph->states, graph->n_states, sizeof *graph->states);
    graph->states[graph->n_states++] = (struct assay_state){.output = output, .input = input};
}

bool assay_graph_is_state(const struct assay_graph *graph, int input)
{
    for (int i = 0; i < graph->n_states; i++)
        if (graph->states[i].input == input)
            return true;
    return false;
}

void assay_graph_add_metadata(struct assay_graph *graph, const char *name, const char *value)
{
    graph->metadata = append(graph, graph->metadata, graph->n_metadata, sizeof *graph->metadata);
    graph->metadata[graph->n_metadata++] = (struct assay_attr){
        .name = assay_arena_strdup(&graph->arena, name),
        .kind = ASSAY_ATTR_STRING,
        .n = strlen(value),
        .s = assay_arena_strdup(&graph->arena, value),
    };
}

const char *assay_graph_metadata(const struct assay_graph *graph, const char *prefix, const char *name)
{
    size_t n = strlen(prefix);
    for (int i = 0; i < graph->n_metadata; i++)
        if (strncmp(graph->metadata[i].name, prefix, n) == 0 && strcmp(graph->metadata[i].name + n, name) == 0)
            return graph->metadata[i].s;
    return NULL;
}

static void replace_numbers(int *numbers, int n, int from, int to)
{
    for (int i = 0; i < n; i++)
        if (numbers[i] == from)
            numbers[i] = to;
}

static void swap_names(struct assay_graph *graph, int a, int b)
{
    int *slot_a = name_slot(graph, graph->values[a].name), *slot_b = name_slot(graph, graph->values[b].name);
    const char *name = graph->values[a].name;
    graph->values[a].name = graph->values[b].name;
    graph->values[b].name = name;
    *slot_a = b + 1;
    *slot_b = a + 1;
}

void assay_graph_replace_uses(struct assay_graph *graph, int from, int to)
{
    ASSAY_ASSERT(from >= 0 && from < graph->n_values && to >= 0 && to < graph->n_values);
    if (from == to)
        return;
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i])
            replace_numbers(graph->nodes[i]->inputs, graph->nodes[i]->n_inputs, from, to);
    for (struct assay_graph *body = graph->first_body; body; body = body->next_body)
        for (int i = 0; i < body->n_values; i++)
            if (body->values[i].outer == from)
                body->values[i].outer = to;
    if (!graph->values[from].is_output)
        return;
    if (!graph->values[to].is_output && !graph->values[to].is_input)
        swap_names(graph, from, to);
    replace_numbers(graph->outputs, graph->n_outputs, from, to);
    graph->values[from].is_output = false;
    graph->values[to].is_output = true;
}
