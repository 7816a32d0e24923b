/* SPDX-License-Identifier: Apache-2.0 */
/* assay.Fused: a node whose body is a graph of elementwise ops, as one program in one walk over memory. */
#include "runtime/native/elementwise.h"

static int value_of(struct native_map *map, const struct assay_graph *body, int number, int *values)
{
    const struct assay_tensor *constant = number >= 0 ? &body->values[number].constant : NULL;
    if (number >= 0 && values[number] < 0 && constant->data)
        values[number] = native_map_constant(map, &constant->type, constant->data);
    return number >= 0 ? values[number] : -1;
}

static int apply(struct native_map *map, const struct assay_graph *body, const struct assay_node *node, int *values)
{
    struct assay_arena *arena = native_map_arena(map);
    int *arguments = assay_arena_array(arena, (size_t)node->n_inputs, sizeof *arguments);
    const struct assay_tensor **constants = assay_arena_array(arena, (size_t)node->n_inputs, sizeof *constants);
    for (int k = 0; k < node->n_inputs; k++) {
        int number = node->inputs[k];
        constants[k] = number >= 0 && body->values[number].constant.data ? &body->values[number].constant : NULL;
    }
    for (int k = 0; k < node->n_inputs; k++)
        arguments[k] = native_map_is_parameter(node, k, constants) ? -1 : value_of(map, body, node->inputs[k], values);
    return native_map_node(map, node, arguments, constants);
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    const struct assay_graph *body = assay_node_graph(b->node, "body");
    if (!body || body->n_inputs != b->n_inputs || body->n_outputs != b->n_outputs)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its body does not fit");
    struct native_map *map = native_map_open(b);
    int *values = assay_arena_array(b->arena, (size_t)body->n_values, sizeof *values);
    int *results = assay_arena_array(b->arena, (size_t)b->n_outputs, sizeof *results);
    for (int v = 0; v < body->n_values; v++)
        values[v] = -1;
    for (int k = 0; k < b->n_inputs; k++)
        values[body->inputs[k]] = native_map_input(map, k);
    for (int i = 0; i < body->n_nodes; i++) {
        const struct assay_node *node = body->nodes[i];
        if (node->n_outputs != 1 || node->outputs[0] < 0)
            return assay_error_set(err, ASSAY_UNSUPPORTED, "its body has a node '%s' that is not elementwise", node->type);
        values[node->outputs[0]] = apply(map, body, node, values);
    }
    for (int k = 0; k < b->n_outputs; k++)
        results[k] = value_of(map, body, body->outputs[k], values);
    return native_map_finish(map, results, err);
}

const struct native_maker native_makers_fused[] = {
    {.type = "Fused", .domain = "assay", .make = make},
    {0},
};
