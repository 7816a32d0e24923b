/* SPDX-License-Identifier: Apache-2.0 */
/* Products with a constant matrix become assay.Linear, with the transpose of the weight and the bias that is added. */
#include "graph/infer.h"
#include "graph/match.h"
#include "graph/pass.h"

#include <string.h>

/* The matrix behind a Transpose of both dimensions, or the value itself. */
static int behind_transpose(const struct assay_match *match, int value, bool *transposed)
{
    int maker = assay_match_maker(match, value, "Transpose");
    *transposed = false;
    if (maker < 0 || !assay_match_constant(match, match->graph->nodes[maker]->inputs[0]))
        return value;
    size_t n;
    const int64_t *perm = assay_node_ints(match->graph->nodes[maker], "perm", &n);
    if (match->graph->values[value].type.rank != 2 || (perm && (n != 2 || perm[0] != 1 || perm[1] != 0)))
        return value;
    *transposed = true;
    return match->graph->nodes[maker]->inputs[0];
}

/* The Add that alone reads `value`, if its other side is a constant vector of as many numbers as the rows have. */
static int bias_of(const struct assay_match *match, int value, int64_t n, int *bias)
{
    const struct assay_graph *graph = match->graph;
    int reader = assay_match_sole_reader(match, value);
    const struct assay_node *add = reader >= 0 ? graph->nodes[reader] : NULL;
    if (!add || strcmp(add->type, "Add") != 0 || *add->domain)
        return -1;
    *bias = add->inputs[0] == value ? add->inputs[1] : add->inputs[0];
    const struct assay_tensor *t = assay_match_constant(match, *bias);
    return t && t->type.rank == 1 && t->type.dims[0] == n ? reader : -1;
}

static bool fuse(struct assay_match *match, int index)
{
    struct assay_graph *graph = match->graph;
    const struct assay_node *product = graph->nodes[index];
    if (strcmp(product->type, "MatMul") != 0 || *product->domain)
        return false;
    bool transposed;
    int weight = behind_transpose(match, product->inputs[1], &transposed), bias = -1, y = product->outputs[0];
    const struct assay_tensor *w = assay_match_constant(match, weight);
    if (!w || w->type.rank != 2 || graph->values[product->inputs[0]].type.rank < 1)
        return false;
    int add = bias_of(match, y, w->type.dims[transposed ? 0 : 1], &bias);
    if (add >= 0)
        y = graph->nodes[add]->outputs[0];
    int inputs[] = {product->inputs[0], weight, bias};
    const char *name = product->name;
    assay_graph_drop_node(graph, index);
    if (add >= 0)
        assay_graph_drop_node(graph, add);
    struct assay_node *linear = assay_graph_add_node(graph, "Linear", "assay", add >= 0 ? 3 : 2, inputs, 1, &y);
    linear->name = name;
    assay_node_set_int(graph, linear, "trans_weight", transposed);
    return true;
}

static enum assay_status run(struct assay_graph *graph, int *n_changes, struct assay_error *err)
{
    struct assay_match match;
    int n = graph->n_nodes;
    assay_match_open(&match, graph);
    for (int i = 0; i < n; i++)
        if (graph->nodes[i])
            *n_changes += fuse(&match, i);
    assay_match_close(&match);
    if (!*n_changes)
        return ASSAY_OK;
    assay_graph_sweep(graph);
    enum assay_status st = assay_graph_sort(graph, err);
    return st ? st : assay_graph_infer(graph, err);
}

const struct assay_pass assay_pass_linear = {
    .name = "linear", .about = "MatMul with a constant matrix, its Transpose and its bias become assay.Linear", .run = run};
