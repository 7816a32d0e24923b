/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of passes: graphs of a line a node, run on the reference kernels before and after one pass. */
#ifndef ASSAY_GRAPH_PASSES_TESTING_H
#define ASSAY_GRAPH_PASSES_TESTING_H

#include "graph/pass.h"
#include "graph/testing.h"

enum { TESTING_OUTPUTS = 8 };

/* f32 numbers between -1 and 1, the same for the same seed. */
static inline struct assay_tensor testing_noise(const struct assay_type *type, uint64_t seed)
{
    struct assay_tensor tensor;
    struct assay_rng rng;
    assay_rng_init(&rng, seed, assay_rng_stream("noise"));
    CHECK_INT(assay_tensor_alloc(&tensor, type, NULL), ASSAY_OK);
    for (int64_t i = 0; i < assay_tensor_count(&tensor); i++)
        assay_tensor_set_real(&tensor, i,
                              type->dtype == ASSAY_F32 ? (double)assay_rng_below(&rng, 2001) / 1000 - 1
                                                       : (double)assay_rng_below(&rng, 2));
    return tensor;
}

#define DIMS(...)                                                                                                                \
    (int)ASSAY_COUNT(((const int64_t[]){__VA_ARGS__})), (const int64_t[]) { __VA_ARGS__ }

/* A constant of noise; `scale` and `shift` for what must be positive. */
static inline int testing_weight(struct assay_graph *graph, const char *name, int rank, const int64_t *dims, double scale,
                                 double shift)
{
    struct assay_type type = assay_type_make(ASSAY_F32, rank, dims);
    struct assay_tensor tensor = testing_noise(&type, (uint64_t)graph->n_values);
    for (int64_t i = 0; i < assay_tensor_count(&tensor); i++)
        assay_tensor_set_real(&tensor, i, assay_tensor_real(&tensor, i) * scale + shift);
    int value = assay_graph_add_constant(graph, name, &tensor);
    assay_tensor_release(&tensor);
    return value;
}

static inline int testing_number(struct assay_graph *graph, double number)
{
    struct assay_type type = assay_type_make(ASSAY_F32, 0, NULL);
    struct assay_tensor tensor;
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    assay_tensor_set_real(&tensor, 0, number);
    int value = assay_graph_add_constant(graph, "number", &tensor);
    assay_tensor_release(&tensor);
    return value;
}

static inline int testing_ints(struct assay_graph *graph, int n, const int64_t *numbers)
{
    double values[ASSAY_MAX_RANK];
    for (int i = 0; i < n; i++)
        values[i] = (double)numbers[i];
    return testing_constant(graph, "ints", ASSAY_I64, values, n);
}

static inline int testing_reshape(struct assay_graph *graph, int x, int n, const int64_t *dims)
{
    return testing_node(graph, "Reshape", NUMBERS(x, testing_ints(graph, n, dims)), "reshaped");
}

static inline int testing_transpose(struct assay_graph *graph, int x, int n, const int64_t *order)
{
    int y = testing_node(graph, "Transpose", NUMBERS(x), "turned");
    assay_node_set_ints(graph, testing_last(graph), "perm", order, (size_t)n);
    return y;
}

static inline int testing_count(const struct assay_graph *graph, const char *domain, const char *type)
{
    int n = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        n += strcmp(graph->nodes[i]->type, type) == 0 && strcmp(graph->nodes[i]->domain, domain) == 0;
    return n;
}

/* Runs the graph on noise, then the pass (NULL: all), then again: outputs must be as near as f32 allows (1e-6 of the largest,
 * for other orders of the same sums), with their names. Graph inputs need known dimensions; with `open` the pass sees batches
 * open, and lengths where there are three.
 */
static inline void testing_pass(struct assay_graph *graph, const char *pass, bool open)
{
    const char *only[] = {pass, NULL};
    struct assay_error err;
    struct assay_tensor inputs[8], before[TESTING_OUTPUTS], after[TESTING_OUTPUTS];
    char names[TESTING_OUTPUTS][32];
    for (int i = 0; i < graph->n_inputs; i++) {
        struct assay_type *type = &graph->values[graph->inputs[i]].type;
        inputs[i] = testing_noise(type, 100 + (uint64_t)i);
        for (int d = 0; d < type->rank && open; d++)
            type->dims[d] = type->rank > 2 && d < 5 - type->rank ? -1 : type->dims[d];
    }
    for (int i = 0; i < graph->n_outputs; i++)
        snprintf(names[i], sizeof names[i], "%s", graph->values[graph->outputs[i]].name);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(testing_run(graph, inputs, before, &err), err);
    CHECK_OK(assay_graph_optimize(graph, &(struct assay_pass_options){.only = pass ? only : NULL}, &err), err);
    CHECK_OK(testing_run(graph, inputs, after, &err), err);
    for (int i = 0; i < graph->n_outputs; i++) {
        struct assay_difference difference = assay_tensor_compare(&after[i], &before[i], 1e-6, 1e-5);
        CHECK_TEXT(graph->values[graph->outputs[i]].name, names[i]);
        CHECK(difference.same_type);
        CHECK(difference.max_rel <= 1e-6);
        assay_tensor_release(&before[i]);
        assay_tensor_release(&after[i]);
    }
    for (int i = 0; i < graph->n_inputs; i++)
        assay_tensor_release(&inputs[i]);
}

#endif
