/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations from the steps that exporters write them in: Gelu (ONNX opset 20), exact and by tanh; Swish (opset 24), of which
 * SiLU and QuickGelu are cases; HardSwish; Mish.
 */
#include "graph/match.h"
#include "graph/pass.h"

#include <string.h>

#define HALF_OF(x) "[Mul(" x ", 0.5)|Div(" x ", 2)]"
#define CUBE "[Pow(x, 3)|Mul(Mul(x, x), x)|Mul(Pow(x, 2), x)]"
/* x · (1 + f) / 2 in all orders. */
#define HALF_ONE_PLUS(f)                                                                                                         \
    "[Mul(Mul(Add(" f ", 1), x), 0.5)|Div(Mul(Add(" f ", 1), x), 2)|Mul(Add(" f                                                  \
    ", 1), " HALF_OF("x") ")|Mul(" HALF_OF("Add(" f ", 1)") ", x)|Mul(Add(" HALF_OF(f) ", 0.5), x)]"

static const struct {
    const char *pattern, *argument;      /* argument: what t of the pattern is made of; NULL = it has none */
    const char *type, *attribute, *word; /* word "$a": the number; NULL = no attribute */
} forms[] = {
    {HALF_ONE_PLUS("Erf(t)"), "[Div(x, 1.4142135623731)|Mul(x, 0.70710678118655)]", "Gelu", NULL, NULL},
    {HALF_ONE_PLUS("Tanh(t)"),
     "[Mul(Add(Mul(" CUBE ", 0.044715), x), 0.79788456080287)|"
     "Mul(Mul(x, 0.79788456080287), Add(Mul([Mul(x, x)|Pow(x, 2)], 0.044715), 1))|"
     "Mul(Mul(x, 0.79788456080287), Add(Mul(Mul(x, 0.044715), x), 1))]",
     "Gelu", "approximate", "tanh"},
    {"Mul(Sigmoid(x), x)", NULL, "Swish", NULL, NULL},
    {"Mul(Sigmoid(Mul(x, $a)), x)", NULL, "Swish", "alpha", "$a"},
    {"Div(x, Add(Exp(Neg(x)), 1))", NULL, "Swish", NULL, NULL},
    {"[Div(Mul(Clip(Add(x, 3), 0, 6), x), 6)|Mul(Div(Clip(Add(x, 3), 0, 6), 6), x)|"
     "Mul(Mul(Clip(Add(x, 3), 0, 6), x), 0.16666666666667)|Mul(Mul(Clip(Add(x, 3), 0, 6), 0.16666666666667), x)]",
     NULL, "HardSwish", NULL, NULL},
    {"Mul(h:HardSigmoid(x), x)", NULL, "HardSwish", NULL, NULL},
    {"Mul(Tanh(Softplus(x)), x)", NULL, "Mish", NULL, NULL},
};

/* HardSigmoid with the slope and the height that HardSwish has. */
static bool is_six(const struct assay_node *node)
{
    float alpha = assay_node_float(node, "alpha", 0.2f), beta = assay_node_float(node, "beta", 0.5f);
    return alpha > 0.166666f && alpha < 0.166667f && beta == 0.5f;
}

static bool fuse(struct assay_match *match, int index)
{
    struct assay_graph *graph = match->graph;
    const struct assay_node *root = graph->nodes[index];
    if (*root->domain || (strcmp(root->type, "Mul") != 0 && strcmp(root->type, "Div") != 0))
        return false;
    for (size_t i = 0; i < ASSAY_COUNT(forms); i++) {
        struct assay_found found;
        int y = root->outputs[0];
        if (!assay_match_pattern(match, y, forms[i].pattern, &found) ||
            (forms[i].argument && !assay_match_further(match, 't', forms[i].argument, &found)))
            continue;
        int x = assay_found_value(&found, 'x');
        const struct assay_node *gate = assay_found_node(match, &found, 'h');
        /* Constants of a higher rank than x would make the result larger. */
        if (graph->values[x].type.rank < 0 || graph->values[x].type.rank != graph->values[y].type.rank || (gate && !is_six(gate)))
            continue;
        struct assay_node *node = assay_match_remake(match, y, forms[i].type, "", 1, &x);
        if (forms[i].word && strcmp(forms[i].word, "$a") == 0)
            assay_node_set_float(graph, node, forms[i].attribute, (float)assay_found_number(&found, 'a'));
        else if (forms[i].word)
            assay_node_set_string(graph, node, forms[i].attribute, forms[i].word);
        return true;
    }
    return false;
}

static enum assay_status run(struct assay_graph *graph, int *n_changes, struct assay_error *err)
{
    return assay_match_each(graph, fuse, n_changes, err);
}

const struct assay_pass assay_pass_activation = {
    .name = "activation", .about = "the steps of GELU, SiLU, hard-swish and Mish become one node each", .run = run};
