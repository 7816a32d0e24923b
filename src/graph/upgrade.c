/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The opset upgrade's table, and the pieces that its rules are made of (upgrade.h). The table follows ONNX's changelog
 * (docs/Changelog.md of onnx 1.12): it has each op of which the form or the meaning changed between opset 1 and 17. Versions that
 * only added types, or attributes with a default that means what was before, need no rule.
 */
#include "graph/upgrade.h"
#include "graph/known.h"
#include "graph/upgrade_rules.h"

#include <stdio.h>

static const struct {
    const char *type;
    int version; /* the rule is for nodes of an earlier opset */
    assay_upgrade_rule *rule;
} rules[] = {
    /* of one op, in the order of versions */
    {"Add", 7, assay_upgrade_broadcast_7},
    {"And", 7, assay_upgrade_broadcast_7},
    {"BatchNormalization", 9, assay_upgrade_batchnorm_9},
    {"BatchNormalization", 14, assay_upgrade_batchnorm_14},
    {"Cast", 6, assay_upgrade_cast_6},
    {"Clip", 11, assay_upgrade_clip_11},
    {"Concat", 4, assay_upgrade_concat_4},
    {"Constant", 1000, assay_upgrade_constant_12}, /* both forms are allowed from 12 on; here is one */
    {"Div", 7, assay_upgrade_broadcast_7},
    {"Dropout", 7, assay_upgrade_dropout_7},
    {"Dropout", 12, assay_upgrade_dropout_12},
    {"Equal", 7, assay_upgrade_broadcast_7},
    {"GRU", 7, assay_upgrade_recurrent_7},
    {"Gemm", 7, assay_upgrade_gemm_7},
    {"GlobalLpPool", 2, assay_upgrade_lp_2},
    {"Greater", 7, assay_upgrade_broadcast_7},
    {"Hardmax", 13, assay_upgrade_softmax_13},
    {"LSTM", 7, assay_upgrade_recurrent_7},
    {"Less", 7, assay_upgrade_broadcast_7},
    {"LogSoftmax", 13, assay_upgrade_softmax_13},
    {"LpPool", 2, assay_upgrade_lp_2},
    {"MeanVarianceNormalization", 9, assay_upgrade_mvn_9},
    {"Mul", 7, assay_upgrade_broadcast_7},
    {"Or", 7, assay_upgrade_broadcast_7},
    {"PRelu", 7, assay_upgrade_prelu_7},
    {"Pad", 2, assay_upgrade_pad_2},
    {"Pad", 11, assay_upgrade_pad_11},
    {"Pow", 7, assay_upgrade_broadcast_7},
    {"RNN", 7, assay_upgrade_recurrent_7},
    {"ReduceSum", 13, assay_upgrade_axes_1},
    {"Reshape", 5, assay_upgrade_reshape_5},
    {"Resize", 11, assay_upgrade_resize_11},
    {"RoiAlign", 16, assay_upgrade_roialign_16},
    {"Scan", 9, assay_upgrade_scan_9},
    {"Scatter", 11, assay_upgrade_scatter_11},
    {"Selu", 6, assay_upgrade_selu_6},
    {"Slice", 10, assay_upgrade_slice_10},
    {"Softmax", 13, assay_upgrade_softmax_13},
    {"Split", 13, assay_upgrade_split_13},
    {"Squeeze", 13, assay_upgrade_axes_1},
    {"Sub", 7, assay_upgrade_broadcast_7},
    {"Tile", 6, assay_upgrade_tile_6},
    {"TopK", 10, assay_upgrade_topk_10},
    {"Unsqueeze", 13, assay_upgrade_axes_1},
    {"Upsample", 7, assay_upgrade_upsample_7},
    {"Upsample", 9, assay_upgrade_upsample_9},
    {"Upsample", 10, assay_upgrade_upsample_10},
    {"Xor", 7, assay_upgrade_broadcast_7},
};

enum assay_status assay_upgrade_node(struct assay_graph *graph, struct assay_node *node, int opset, struct assay_error *err)
{
    struct assay_upgrade u = {graph, node, opset, err};
    const char *type = node->type; /* a rule may change it */
    if (opset < 6)
        assay_node_remove_attr(node, "consumed_inputs"); /* in-place hints of opset 1 */
    for (size_t i = 0; i < ASSAY_COUNT(rules); i++)
        if (opset < rules[i].version && strcmp(rules[i].type, type) == 0) {
            enum assay_status st = rules[i].rule(&u);
            if (st)
                return st;
        }
    return ASSAY_OK;
}

/* ---- types */

/* Bodies are left to the file's own declarations: their nodes have been seen already. */
static bool has_body(const struct assay_node *node)
{
    for (int i = 0; i < node->n_attrs; i++)
        if (node->attrs[i].graph)
            return true;
    return false;
}

static void infer_node(struct assay_graph *graph, const struct assay_node *node, struct assay_arena *scratch)
{
    struct assay_op_call call;
    if (!node->op || has_body(node))
        return;
    assay_graph_known_call(&call, graph, node, scratch);
    if (assay_op_infer(node->op, &call, NULL))
        return;
    for (int i = 0; i < node->n_outputs; i++) {
        if (node->outputs[i] < 0)
            continue;
        struct assay_type *type = &graph->values[node->outputs[i]].type;
        if (type->dtype == ASSAY_NO_DTYPE)
            type->dtype = call.outputs[i].dtype;
        if (type->rank < 0)
            *type = assay_type_make(type->dtype, call.outputs[i].rank, call.outputs[i].dims);
    }
}

void assay_upgrade_infer(struct assay_graph *graph, int first)
{
    struct assay_arena scratch;
    /* A rule appends what goes before the node behind it: the second round sees it. */
    int n_rounds = graph->n_nodes - first > 1 ? 2 : 1;
    assay_arena_init(&scratch);
    for (int round = 0; round < n_rounds; round++)
        for (int i = first; i < graph->n_nodes; i++)
            infer_node(graph, graph->nodes[i], &scratch);
    assay_arena_release(&scratch);
}

/* ---- pieces */

static int add_constant(struct assay_upgrade *u, const char *name, const struct assay_type *type, const void *bytes, size_t size)
{
    struct assay_tensor tensor = {0};
    /* Bounded by an attribute's length; as bookkeeping that cannot be had stops the program, so does this. */
    ASSAY_ASSERT(assay_tensor_alloc(&tensor, type, NULL) == ASSAY_OK);
    if (size)
        memcpy(tensor.data, bytes, size);
    char text[64];
    snprintf(text, sizeof text, "%s_%s", u->node->type, name);
    int number = assay_graph_add_constant(u->graph, text, &tensor);
    assay_tensor_release(&tensor);
    return number;
}

int assay_upgrade_ints(struct assay_upgrade *u, const char *name, const int64_t *values, size_t n)
{
    int64_t length = (int64_t)n;
    struct assay_type type = assay_type_make(ASSAY_I64, 1, &length);
    return add_constant(u, name, &type, values, n * sizeof *values);
}

int assay_upgrade_floats(struct assay_upgrade *u, const char *name, const float *values, size_t n)
{
    int64_t length = (int64_t)n;
    struct assay_type type = assay_type_make(ASSAY_F32, 1, &length);
    return add_constant(u, name, &type, values, n * sizeof *values);
}

int assay_upgrade_scalar(struct assay_upgrade *u, const char *name, float f)
{
    struct assay_type type = assay_type_make(ASSAY_F32, 0, NULL);
    return add_constant(u, name, &type, &f, sizeof f);
}

int assay_upgrade_scalar_like(struct assay_upgrade *u, const char *name, float f, int like)
{
    enum assay_dtype dtype = u->graph->values[like].type.dtype;
    struct assay_type type = assay_type_make(dtype, 0, NULL);
    if (dtype == ASSAY_F16 || dtype == ASSAY_BF16) {
        uint16_t bits = dtype == ASSAY_F16 ? assay_f32_to_f16(f) : assay_f32_to_bf16(f);
        return add_constant(u, name, &type, &bits, sizeof bits);
    }
    if (dtype == ASSAY_F64) {
        double d = f;
        return add_constant(u, name, &type, &d, sizeof d);
    }
    int number = assay_upgrade_scalar(u, name, f);
    return dtype == ASSAY_F32 ? number : assay_upgrade_emit(u, "CastLike", number, like, -1);
}

int assay_upgrade_emit(struct assay_upgrade *u, const char *type, int input_a, int input_b, int input_c)
{
    char name[64];
    snprintf(name, sizeof name, "%.30s_%.30s", u->node->type, type);
    int inputs[] = {input_a, input_b, input_c}, n = 3, output = assay_graph_add_value(u->graph, name, NULL);
    while (n > 0 && inputs[n - 1] < 0)
        n--;
    assay_graph_add_node(u->graph, type, "", n, inputs, 1, &output);
    return output;
}

struct assay_node *assay_upgrade_last(struct assay_upgrade *u) { return u->graph->nodes[u->graph->n_nodes - 1]; }

void assay_upgrade_set_input(struct assay_upgrade *u, int index, int value)
{
    struct assay_node *node = u->node;
    if (index >= node->n_inputs) {
        node->inputs = assay_arena_grow(&u->graph->arena, node->inputs, (size_t)node->n_inputs, (size_t)index + 1, sizeof(int));
        while (node->n_inputs <= index)
            node->inputs[node->n_inputs++] = -1;
    }
    node->inputs[index] = value;
}

int assay_upgrade_detour(struct assay_upgrade *u, int index, int *old)
{
    char name[64];
    snprintf(name, sizeof name, "%.40s_before", u->node->type);
    *old = u->node->outputs[index];
    u->node->outputs[index] = assay_graph_add_value(u->graph, name, NULL);
    return u->node->outputs[index];
}

void assay_upgrade_retype(struct assay_node *node, const char *type)
{
    node->type = type;
    node->op = assay_op_find("", type);
}

void assay_upgrade_ints_to_input(struct assay_upgrade *u, const char *name, int index)
{
    const struct assay_attr *attr = assay_node_attr(u->node, name);
    if (!attr)
        return;
    if (attr->kind == ASSAY_ATTR_INTS)
        assay_upgrade_set_input(u, index, assay_upgrade_ints(u, name, attr->ints, attr->n));
    else if (attr->kind == ASSAY_ATTR_INT)
        assay_upgrade_set_input(u, index, assay_upgrade_ints(u, name, &attr->i, 1));
    assay_node_remove_attr(u->node, name);
}

int assay_upgrade_rank(const struct assay_upgrade *u, int value) { return value < 0 ? -1 : u->graph->values[value].type.rank; }

int assay_upgrade_input(const struct assay_upgrade *u, int index)
{
    return index < u->node->n_inputs ? u->node->inputs[index] : -1;
}

enum assay_status assay_upgrade_fail(struct assay_upgrade *u, enum assay_status st, const char *why)
{
    return assay_error_set(u->err, st, "node '%s' (%s of opset %d) %s", u->node->name, u->node->type, u->opset, why);
}
