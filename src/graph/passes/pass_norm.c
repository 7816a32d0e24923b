/* SPDX-License-Identifier: Apache-2.0 */
/* Norms over the last dimension from their steps: LayerNormalization (ONNX opset 17), RMSNormalization (opset 23). */
#include "graph/match.h"
#include "graph/pass.h"

#include <string.h>

#define SQUARE(x) "[Pow(" x ", 2)|Mul(" x ", " x ")]"
#define DEVIATION(x) "Sqrt(Add(v:ReduceMean(" SQUARE(x) ", ...), $e))"
#define OVER_DEVIATION(x)                                                                                                        \
    "Mul([Reciprocal(" DEVIATION(x) ")|Div(1, " DEVIATION(x) ")|Pow(Add(v:ReduceMean(" SQUARE(x) ", ...), $e), -0.5)], " x ")"
#define NORMALIZED(x) "[Div(" x ", " DEVIATION(x) ")|" OVER_DEVIATION(x) "]"
#define CENTERED "d:Sub(x, m:ReduceMean(x, ...))"

/* d is bound where the pattern first comes by it: in the divisor of a product it stands second. */
#define LAYER                                                                                                                    \
    "[Div(" CENTERED ", " DEVIATION("d") ")|Mul(" CENTERED ", [Reciprocal(" DEVIATION("d") ")|Div(1, " DEVIATION("d") ")])]"

static const struct {
    const char *root, *pattern, *type;
} forms[] = {
    {"Add", "Add(Mul(" LAYER ", w), b)", "LayerNormalization"},
    {"Mul", "Mul(" NORMALIZED("x") ", w)", "RMSNormalization"},
};

/* A mean over the last dimension alone, which stays as one of size 1. */
static bool is_over_last(const struct assay_match *match, const struct assay_node *mean, int rank)
{
    int64_t axis[1];
    size_t n;
    const int64_t *axes = assay_node_ints(mean, "axes", &n);
    if (!axes && mean->n_inputs == 2 && assay_match_ints(match, mean->inputs[1], axis, 1) == 1) {
        axes = axis;
        n = 1;
    }
    return axes && n == 1 && (axes[0] == -1 || axes[0] == rank - 1) && assay_node_int(mean, "keepdims", 1) == 1;
}

/* A vector along the last dimension of x. */
static bool is_along(const struct assay_graph *graph, int value, int x)
{
    const struct assay_type *t = &graph->values[value].type, *of = &graph->values[x].type;
    return t->rank == 1 && t->dtype == of->dtype && of->rank > 0 && t->dims[0] > 0 && t->dims[0] == of->dims[of->rank - 1];
}

static bool fuse(struct assay_match *match, int index, size_t i)
{
    struct assay_graph *graph = match->graph;
    const struct assay_node *root = graph->nodes[index];
    struct assay_found found;
    int y = root->outputs[0];
    if (!assay_match_is(match, index, forms[i].root) || !assay_match_pattern(match, y, forms[i].pattern, &found))
        return false;
    int inputs[] = {assay_found_value(&found, 'x'), assay_found_value(&found, 'w'), assay_found_value(&found, 'b')};
    const struct assay_node *mean = assay_found_node(match, &found, 'm');
    int rank = graph->values[inputs[0]].type.rank, n = inputs[2] >= 0 ? 3 : 2;
    bool fits =
        rank > 0 && is_over_last(match, assay_found_node(match, &found, 'v'), rank) && (!mean || is_over_last(match, mean, rank));
    for (int k = 1; k < n; k++)
        fits = fits && is_along(graph, inputs[k], inputs[0]);
    if (!fits)
        return false;
    struct assay_node *node = assay_match_remake(match, y, forms[i].type, "", n, inputs);
    assay_node_set_int(graph, node, "axis", -1);
    assay_node_set_float(graph, node, "epsilon", (float)assay_found_number(&found, 'e'));
    return true;
}

static enum assay_status run(struct assay_graph *graph, int *n_changes, struct assay_error *err)
{
    struct assay_match match;
    int n = graph->n_nodes;
    assay_match_open(&match, graph);
    /* A layer norm has an RMS norm within, so it is looked for first. */
    for (size_t form = 0; form < ASSAY_COUNT(forms); form++)
        for (int i = 0; i < n; i++)
            if (graph->nodes[i])
                *n_changes += fuse(&match, i, form);
    return assay_match_finish(&match, *n_changes, err);
}

const struct assay_pass assay_pass_norm = {
    .name = "norm", .about = "the steps of layer norm and RMS norm become LayerNormalization and RMSNormalization", .run = run};
