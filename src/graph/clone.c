/* SPDX-License-Identifier: Apache-2.0 */
/* Deep copies of graphs (graph.h). Constants' bytes are shared. */
#include "graph/graph.h"

#include <stdlib.h>

static struct assay_graph *clone_into(struct assay_graph *outer, const struct assay_graph *from);

static struct assay_attr clone_attr(struct assay_graph *to, const struct assay_attr *from)
{
    struct assay_arena *arena = &to->arena;
    struct assay_attr attr = *from;
    attr.name = assay_arena_strdup(arena, from->name);
    if (from->s)
        attr.s = assay_arena_memdup(arena, from->s, from->n + 1);
    if (from->ints)
        attr.ints = assay_arena_memdup(arena, from->ints, from->n * sizeof *from->ints);
    if (from->floats)
        attr.floats = assay_arena_memdup(arena, from->floats, from->n * sizeof *from->floats);
    if (from->strings) {
        attr.strings = assay_arena_array(arena, from->n, sizeof *from->strings);
        for (size_t i = 0; i < from->n; i++)
            attr.strings[i] = assay_arena_strdup(arena, from->strings[i]);
    }
    if (from->tensor.data)
        assay_tensor_share(&attr.tensor, &from->tensor);
    if (from->graph)
        attr.graph = clone_into(to, from->graph);
    return attr;
}

/* Room as node.c expects it: the next power of two. */
static struct assay_attr *clone_attrs(struct assay_graph *to, const struct assay_attr *from, int n)
{
    size_t room = 1;
    while (room < (size_t)n)
        room *= 2;
    struct assay_attr *attrs = n ? assay_arena_array(&to->arena, room, sizeof *attrs) : NULL;
    for (int i = 0; i < n; i++)
        attrs[i] = clone_attr(to, &from[i]);
    return attrs;
}

static void *clone_list(struct assay_graph *to, const void *from, int n, size_t size_bytes)
{
    size_t room = 1;
    while (room < (size_t)n)
        room *= 2;
    return n ? assay_arena_grow(&to->arena, from, (size_t)n, room, size_bytes) : NULL;
}

static void clone_value(struct assay_graph *to, const struct assay_value *from)
{
    int number = assay_graph_add_value(to, from->name, &from->type);
    struct assay_value *value = &to->values[number];
    value->is_input = from->is_input;
    value->is_output = from->is_output;
    value->is_inferred = from->is_inferred;
    value->outer = from->outer;
    value->producer = from->producer;
    if (from->constant.data)
        assay_tensor_share(&value->constant, &from->constant);
    if (from->dim_names) {
        value->dim_names = assay_arena_array(&to->arena, ASSAY_MAX_RANK, sizeof *value->dim_names);
        for (int i = 0; i < ASSAY_MAX_RANK; i++)
            if (from->dim_names[i])
                value->dim_names[i] = assay_arena_strdup(&to->arena, from->dim_names[i]);
    }
}

static struct assay_graph *clone_into(struct assay_graph *outer, const struct assay_graph *from)
{
    struct assay_graph *to = outer ? assay_graph_open_body(outer, from->name) : assay_graph_open(from->name);
    to->producer = assay_arena_strdup(&to->arena, from->producer);
    to->doc = assay_arena_strdup(&to->arena, from->doc);
    to->opset = from->opset;
    to->ir_version = from->ir_version;
    for (int i = 0; i < from->n_values; i++)
        clone_value(to, &from->values[i]);
    for (int i = 0; i < from->n_nodes; i++) {
        const struct assay_node *node = from->nodes[i];
        if (!node)
            continue;
        struct assay_node *copy =
            assay_graph_add_node(to, node->type, node->domain, node->n_inputs, node->inputs, node->n_outputs, node->outputs);
        copy->name = assay_arena_strdup(&to->arena, node->name);
        copy->attrs = clone_attrs(to, node->attrs, node->n_attrs);
        copy->n_attrs = node->n_attrs;
    }
    to->inputs = clone_list(to, from->inputs, from->n_inputs, sizeof *from->inputs);
    to->n_inputs = from->n_inputs;
    to->outputs = clone_list(to, from->outputs, from->n_outputs, sizeof *from->outputs);
    to->n_outputs = from->n_outputs;
    to->states = clone_list(to, from->states, from->n_states, sizeof *from->states);
    to->n_states = from->n_states;
    to->metadata = clone_attrs(to, from->metadata, from->n_metadata);
    to->n_metadata = from->n_metadata;
    return to;
}

struct assay_node *assay_graph_copy_node(struct assay_graph *graph, const struct assay_node *from, const int *numbers)
{
    size_t n_in = (size_t)from->n_inputs, n_out = (size_t)from->n_outputs;
    int *inputs = assay_alloc(n_in * sizeof *inputs), *outputs = assay_alloc(n_out * sizeof *outputs);
    for (size_t i = 0; i < n_in; i++)
        inputs[i] = from->inputs[i] < 0 ? -1 : numbers[from->inputs[i]];
    for (size_t i = 0; i < n_out; i++)
        outputs[i] = from->outputs[i] < 0 ? -1 : numbers[from->outputs[i]];
    struct assay_node *node =
        assay_graph_add_node(graph, from->type, from->domain, from->n_inputs, inputs, from->n_outputs, outputs);
    free(outputs);
    free(inputs);
    node->name = assay_arena_strdup(&graph->arena, from->name);
    node->attrs = clone_attrs(graph, from->attrs, from->n_attrs);
    node->n_attrs = from->n_attrs;
    for (int i = 0; i < node->n_attrs; i++) {
        struct assay_graph *body = node->attrs[i].graph;
        for (int v = 0; body && v < body->n_values; v++)
            if (body->values[v].outer >= 0)
                body->values[v].outer = numbers[body->values[v].outer];
    }
    return node;
}

struct assay_graph *assay_graph_clone(const struct assay_graph *graph)
{
    ASSAY_ASSERT(!graph->outer);
    return clone_into(NULL, graph);
}
