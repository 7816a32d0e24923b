/* SPDX-License-Identifier: Apache-2.0 */
/* See normalization.h. */
#include "train/normalization.h"

#include "graph/gradient.h"
#include "graph/infer.h"

#include <string.h>

enum { MEAN = 3, VARIANCE = 4, N_INPUTS = 5 };

static bool is_candidate(const struct assay_graph *graph, const struct assay_node *node)
{
    if (strcmp(node->type, "BatchNormalization") != 0 || *node->domain || node->n_inputs != N_INPUTS ||
        assay_node_int(node, "training_mode", 0))
        return false;
    for (int i = MEAN; i < N_INPUTS; i++) {
        const struct assay_value *value = node->inputs[i] < 0 ? NULL : &graph->values[node->inputs[i]];
        if (!value || !value->constant.data || value->is_inferred || value->type.dtype != ASSAY_F32)
            return false;
    }
    return assay_type_is_known(&graph->values[node->inputs[0]].type);
}

/* The node's output i, of the type of input `like`. */
static int add_output(struct assay_graph *graph, struct assay_node *node, int i, int like)
{
    struct assay_type type = graph->values[node->inputs[like]].type;
    node->outputs[i] = assay_graph_add_value(graph, graph->values[node->inputs[like]].name, &type);
    return node->outputs[i];
}

static void becomes(struct assay_graph *graph, int statistic, int next)
{
    assay_graph_add_output(graph, next);
    assay_graph_add_metadata(graph, assay_arena_printf(&graph->arena, "%s%s", ASSAY_TRAINING_UPDATE, graph->values[next].name),
                             graph->values[statistic].name);
}

static void change(struct assay_emit *e, struct assay_node *node)
{
    struct assay_graph *graph = e->graph;
    const struct assay_type x = graph->values[node->inputs[0]].type;
    double momentum = assay_node_float(node, "momentum", 0.9F), channels = x.rank > 1 ? (double)x.dims[1] : 1;
    double n = (double)assay_type_count(&x) / channels;
    int *outputs = assay_arena_array(&graph->arena, 3, sizeof *outputs), variance = node->inputs[VARIANCE];
    if (!(n > 1)) {
        e_fail(e, ASSAY_INVALID,
               "node '%s' (BatchNormalization) has one element a channel, which has no variance: train with "
               "a larger batch",
               node->name);
        return;
    }
    outputs[0] = node->outputs[0];
    node->outputs = outputs;
    node->n_outputs = 3;
    assay_node_set_int(graph, node, "training_mode", 1);
    becomes(graph, node->inputs[MEAN], add_output(graph, node, 1, MEAN));
    int next = add_output(graph, node, 2, VARIANCE), kept = e_scale(e, variance, momentum);
    int unbiased = e_add(e, kept, e_scale(e, e_sub(e, next, kept), n / (n - 1)));
    if (!assay_emit_finish(e))
        becomes(graph, variance, unbiased);
}

enum assay_status assay_graph_train_normalization(struct assay_graph *graph, int *n_changed, struct assay_error *err)
{
    struct assay_emit e = assay_emit_make(graph, "", err);
    int n_nodes = graph->n_nodes;
    *n_changed = 0;
    for (int k = 0; k < n_nodes && !e.status; k++)
        if (is_candidate(graph, graph->nodes[k])) {
            change(&e, graph->nodes[k]);
            ++*n_changed;
        }
    enum assay_status st = assay_emit_finish(&e);
    if (!st)
        st = assay_graph_sort(graph, err);
    return st ? st : assay_graph_infer(graph, err);
}
