/* SPDX-License-Identifier: Apache-2.0 */
/* See epilogue.h. */
#include "graph/passes/epilogue.h"

#include <math.h>
#include <string.h>

static bool find_clip(const struct assay_match *match, const struct assay_node *node, struct assay_epilogue *e)
{
    double bounds[2] = {-INFINITY, INFINITY};
    for (int k = 1; k < node->n_inputs; k++)
        if (node->inputs[k] >= 0 && !assay_match_scalar(match, node->inputs[k], &bounds[k - 1]))
            return false;
    e->alpha = (float)bounds[0];
    e->beta = (float)bounds[1];
    /* Clip takes what its dtype can hold for a missing bound, and so do we. */
    return bounds[0] <= bounds[1];
}

static bool find_activation(const struct assay_match *match, int index, struct assay_epilogue *e)
{
    static const char *const plain[] = {"Relu", "Sigmoid", "Tanh", "HardSwish"};
    const struct assay_node *node = match->graph->nodes[index];
    if (*node->domain || node->n_outputs < 1 || node->outputs[0] < 0)
        return false;
    for (size_t i = 0; i < ASSAY_COUNT(plain); i++)
        if (strcmp(node->type, plain[i]) == 0) {
            e->activation = plain[i];
            return true;
        }
    if (strcmp(node->type, "Gelu") == 0) {
        e->activation = strcmp(assay_node_string(node, "approximate", "none"), "tanh") == 0 ? "GeluTanh" : "Gelu";
        return true;
    }
    if (strcmp(node->type, "Swish") == 0 || strcmp(node->type, "LeakyRelu") == 0) {
        bool is_swish = strcmp(node->type, "Swish") == 0;
        e->activation = is_swish ? "Swish" : "LeakyRelu";
        e->alpha = assay_node_float(node, "alpha", is_swish ? 1 : 0.01f);
        return true;
    }
    if (strcmp(node->type, "Clip") != 0 || !find_clip(match, node, e))
        return false;
    e->activation = "Clip";
    return true;
}

void assay_epilogue_find(const struct assay_match *match, int y, bool with_residual, struct assay_epilogue *epilogue)
{
    const struct assay_graph *graph = match->graph;
    *epilogue = (struct assay_epilogue){.y = y, .residual = -1, .activation = "", .alpha = 1};
    int reader = assay_match_sole_reader(match, y);
    if (with_residual && assay_match_is(match, reader, "Add")) {
        const struct assay_node *add = graph->nodes[reader];
        int other = add->inputs[0] == y ? add->inputs[1] : add->inputs[0];
        if (other == y || assay_match_constant(match, other) || !assay_match_same_shape(match, y, other))
            return;
        epilogue->residual = other;
        epilogue->y = add->outputs[0];
        epilogue->n_nodes++;
        reader = assay_match_sole_reader(match, epilogue->y);
    }
    if (reader < 0 || !find_activation(match, reader, epilogue))
        return;
    epilogue->y = graph->nodes[reader]->outputs[0];
    epilogue->n_nodes++;
}

void assay_epilogue_set(struct assay_graph *graph, struct assay_node *node, const struct assay_epilogue *epilogue)
{
    if (!*epilogue->activation)
        return;
    assay_node_set_string(graph, node, "activation", epilogue->activation);
    assay_node_set_float(graph, node, "alpha", epilogue->alpha);
    assay_node_set_float(graph, node, "beta", epilogue->beta);
}
