/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of graph/: small graphs built in a line a node, random ones, and a plain executor to run them. */
#ifndef ASSAY_GRAPH_TESTING_H
#define ASSAY_GRAPH_TESTING_H

#include "base/rng.h"
#include "base/test.h"
#include "graph/infer.h"
#include "graph/op.h"

#define NUMBERS(...)                                                                                                             \
    (int)ASSAY_COUNT(((const int[]){__VA_ARGS__})), (const int[]) { __VA_ARGS__ }

/* A tensor of one dimension. */
static inline struct assay_tensor testing_tensor(enum assay_dtype dtype, const double *values, int64_t n)
{
    struct assay_type type = assay_type_make(dtype, 1, &n);
    struct assay_tensor tensor;
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    for (int64_t i = 0; i < n; i++)
        assay_tensor_set_real(&tensor, i, values[i]);
    return tensor;
}

static inline int testing_constant(struct assay_graph *graph, const char *name, enum assay_dtype dtype, const double *values,
                                   int64_t n)
{
    struct assay_tensor tensor = testing_tensor(dtype, values, n);
    int number = assay_graph_add_constant(graph, name, &tensor);
    assay_tensor_release(&tensor);
    return number;
}

static inline int testing_input(struct assay_graph *graph, const char *name, enum assay_dtype dtype, int rank,
                                const int64_t *dims)
{
    struct assay_type type = assay_type_make(dtype, rank, dims);
    int number = assay_graph_add_value(graph, name, &type);
    assay_graph_add_input(graph, number);
    return number;
}

/* A node of one output, which is returned. */
static inline int testing_node(struct assay_graph *graph, const char *type, int n_inputs, const int *inputs, const char *output)
{
    int number = assay_graph_add_value(graph, output, NULL);
    assay_graph_add_node(graph, type, "", n_inputs, inputs, 1, &number);
    return number;
}

static inline struct assay_node *testing_last(const struct assay_graph *graph) { return graph->nodes[graph->n_nodes - 1]; }

/* Nodes of one and two inputs over f32[4] values: inputs x and y, two constants, and what was made before. Every fifth value or
 * so becomes an output. */
static inline struct assay_graph *testing_random_graph(struct assay_rng *rng, int n_nodes)
{
    static const char *const unary[] = {"Neg", "Abs", "Identity"}, *const binary[] = {"Add", "Sub", "Mul", "Max"};
    struct assay_graph *graph = assay_graph_open("random");
    int64_t four = 4;
    testing_input(graph, "x", ASSAY_F32, 1, &four);
    testing_input(graph, "y", ASSAY_F32, 1, &four);
    testing_constant(graph, "c", ASSAY_F32, (const double[]){0.5, -1, 0.25, 0.75}, 4);
    testing_constant(graph, "d", ASSAY_F32, (const double[]){-0.5, 0.125, 1, -0.25}, 4);
    for (int i = 0; i < n_nodes; i++) {
        int inputs[2];
        for (int k = 0; k < 2; k++)
            inputs[k] = (int)assay_rng_below(rng, (uint64_t)graph->n_values);
        bool two = assay_rng_below(rng, 2);
        const char *type = two ? binary[assay_rng_below(rng, 4)] : unary[assay_rng_below(rng, 3)];
        int made = testing_node(graph, type, two ? 2 : 1, inputs, "v");
        if (i + 1 == n_nodes || assay_rng_below(rng, 5) == 0)
            assay_graph_add_output(graph, made);
    }
    return graph;
}

enum { TESTING_ROOM = 32 }; /* inputs, and outputs, of a node */

/* Runs the nodes in order. outputs[n_outputs] are the caller's to release. */
static inline enum assay_status testing_run(const struct assay_graph *graph, const struct assay_tensor *inputs,
                                            struct assay_tensor *outputs, struct assay_error *err)
{
    struct assay_arena arena, scratch;
    assay_arena_init(&arena);
    assay_arena_init(&scratch);
    struct assay_tensor *values = assay_arena_array(&arena, (size_t)graph->n_values, sizeof *values);
    for (int i = 0; i < graph->n_values; i++)
        if (graph->values[i].constant.data && !graph->values[i].is_inferred)
            assay_tensor_share(&values[i], &graph->values[i].constant);
    for (int i = 0; i < graph->n_inputs; i++)
        assay_tensor_share(&values[graph->inputs[i]], &inputs[i]);
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < graph->n_nodes && !st; i++) {
        const struct assay_node *node = graph->nodes[i];
        struct assay_type in_types[TESTING_ROOM] = {0}, out_types[TESTING_ROOM];
        const struct assay_tensor *data[TESTING_ROOM] = {0};
        struct assay_tensor results[TESTING_ROOM];
        CHECK(node->op && node->n_inputs <= TESTING_ROOM && node->n_outputs <= TESTING_ROOM);
        for (int k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] < 0) {
                in_types[k] = (struct assay_type){.dtype = ASSAY_NO_DTYPE, .rank = -1};
            } else {
                data[k] = &values[node->inputs[k]];
                in_types[k] = data[k]->type;
            }
        struct assay_op_call call = {.node = node,
                                     .opset = graph->opset,
                                     .n_inputs = node->n_inputs,
                                     .n_outputs = node->n_outputs,
                                     .inputs = in_types,
                                     .data = data,
                                     .outputs = out_types,
                                     .results = results,
                                     .scratch = &scratch};
        st = assay_op_run(node->op, &call, err);
        for (int k = 0; k < node->n_outputs && !st; k++)
            if (node->outputs[k] >= 0)
                values[node->outputs[k]] = results[k];
            else
                assay_tensor_release(&results[k]);
        assay_arena_clear(&scratch);
    }
    for (int i = 0; i < graph->n_outputs && !st; i++)
        assay_tensor_share(&outputs[i], &values[graph->outputs[i]]);
    for (int i = 0; i < graph->n_values; i++)
        assay_tensor_release(&values[i]);
    assay_arena_release(&scratch);
    assay_arena_release(&arena);
    return st;
}

#endif
