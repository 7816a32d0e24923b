/* SPDX-License-Identifier: Apache-2.0 */
/* See weights.h: a constant is a weight by the places where nodes use it. */
#include "model/weights.h"

#include "base/arena.h"

#include <stdlib.h>

/* What uses make of a constant; the strongest wins. */
enum use { USE_NONE, USE_SETTING, USE_OPERAND, USE_STATISTIC, USE_WEIGHT };

/* What the inputs of an op are, a letter each, the last one for all that follow: w weight, s setting (a scale, zero point, size,
 * limit: never a weight), t running statistic, o operand. Ops that are not here take operands. */
static const struct {
    const char *type, *inputs;
} input_kinds[] = {
    {"BatchNormalization", "owwtt"},
    {"Clip", "os"},
    {"ConstantOfShape", "s"},
    {"Conv", "oww"},
    {"ConvInteger", "owss"},
    {"ConvTranspose", "oww"},
    {"DequantizeLinear", "wss"},
    {"Expand", "os"},
    {"Gemm", "oww"},
    {"GroupNormalization", "oww"},
    {"GRU", "owwwso"},
    {"InstanceNormalization", "oww"},
    {"LSTM", "owwwsoow"},
    {"LayerNormalization", "oww"},
    {"MatMulInteger", "owss"},
    {"NonMaxSuppression", "oos"},
    {"OneHot", "s"},
    {"Pad", "os"},
    {"PRelu", "ow"},
    {"QLinearConv", "osswssssw"},
    {"QLinearMatMul", "osswss"},
    {"QuantizeLinear", "wss"},
    {"RMSNormalization", "ow"},
    {"RNN", "owwwso"},
    {"Range", "s"},
    {"Reshape", "os"},
    {"Resize", "os"},
    {"Slice", "os"},
    {"Tile", "os"},
    {"TopK", "os"},
};

static enum use use_of(const struct assay_node *node, int input)
{
    if (*node->domain)
        return USE_OPERAND;
    for (size_t i = 0; i < ASSAY_COUNT(input_kinds); i++) {
        if (strcmp(input_kinds[i].type, node->type) != 0)
            continue;
        size_t n = strlen(input_kinds[i].inputs), at = (size_t)input < n ? (size_t)input : n - 1;
        switch (input_kinds[i].inputs[at]) {
        case 'w':
            return USE_WEIGHT;
        case 's':
            return USE_SETTING;
        case 't':
            return USE_STATISTIC;
        default:
            return USE_OPERAND;
        }
    }
    return USE_OPERAND;
}

const struct assay_tensor *assay_weights_constant(const struct assay_graph *graph, int value)
{
    while (value >= 0) {
        const struct assay_value *v = &graph->values[value];
        if (v->outer >= 0) {
            value = v->outer;
            graph = graph->outer;
            continue;
        }
        if (v->constant.data && !v->is_inferred)
            return &v->constant;
        if (v->producer < 0 || v->producer >= graph->n_nodes)
            return NULL;
        const struct assay_node *node = graph->nodes[v->producer];
        const struct assay_attr *attr = assay_node_attr(node, "value");
        bool is_constant = strcmp(node->type, "Constant") == 0 && !*node->domain && attr && attr->kind == ASSAY_ATTR_TENSOR;
        return is_constant && attr->tensor.data ? &attr->tensor : NULL;
    }
    return NULL;
}

static bool is_weight(enum use use, const struct assay_tensor *constant)
{
    if (use == USE_OPERAND)
        return assay_dtype_is_float(constant->type.dtype) && assay_tensor_count(constant) > 1;
    return use >= USE_STATISTIC;
}

/* Visits the graph's own constants, after its bodies have said what use they make of them; tells `outer_uses` of the graph
 * around. */
static void visit_graph(const struct assay_graph *graph, enum use *outer_uses,
                        void (*visit)(void *context, const struct assay_tensor *weight, bool is_parameter), void *context)
{
    enum use *uses = assay_alloc(((size_t)graph->n_values + 1) * sizeof *uses);
    for (const struct assay_graph *body = graph->first_body; body; body = body->next_body)
        visit_graph(body, uses, visit, context);
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        for (int k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] >= 0 && uses[node->inputs[k]] < use_of(node, k))
                uses[node->inputs[k]] = use_of(node, k);
    }
    for (int i = 0; i < graph->n_values; i++) {
        int outer = graph->values[i].outer;
        if (outer >= 0) {
            if (outer_uses && outer_uses[outer] < uses[i])
                outer_uses[outer] = uses[i];
            continue;
        }
        const struct assay_tensor *constant = uses[i] ? assay_weights_constant(graph, i) : NULL;
        if (constant && is_weight(uses[i], constant))
            visit(context, constant, uses[i] != USE_STATISTIC);
    }
    free(uses);
}

void assay_weights_visit(const struct assay_graph *graph,
                         void (*visit)(void *context, const struct assay_tensor *weight, bool is_parameter), void *context)
{
    visit_graph(graph, NULL, visit, context);
}
