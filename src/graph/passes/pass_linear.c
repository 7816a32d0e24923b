/* SPDX-License-Identifier: Apache-2.0 */
/* Products with a constant matrix, or with one behind a DequantizeLinear in blocks, become assay.Linear, with what follows: bias,
 * residual, activation. */
#include "graph/match.h"
#include "graph/pass.h"
#include "graph/passes/epilogue.h"

#include <string.h>

struct product {
    int x, weight, bias, residual, y; /* values; -1 = none */
    bool transposed;                  /* the weight is [n, k] */
    int64_t n;
    int scale; /* of weights that are codes, in blocks of `block` along k; -1 = they are numbers */
    int64_t block;
};

/* The matrix behind a Transpose of both dimensions, or the value itself. */
static int behind_transpose(const struct assay_match *match, int value, bool *transposed)
{
    int maker = assay_match_maker(match, value, "Transpose");
    int from = maker < 0 ? -1 : match->graph->nodes[maker]->inputs[0];
    if (maker < 0 || (!assay_match_constant(match, from) && assay_match_maker(match, from, "DequantizeLinear") < 0))
        return value;
    size_t n;
    const int64_t *perm = assay_node_ints(match->graph->nodes[maker], "perm", &n);
    if (match->graph->values[value].type.rank != 2 || (perm && (n != 2 || perm[0] != 1 || perm[1] != 0)))
        return value;
    *transposed = !*transposed;
    return match->graph->nodes[maker]->inputs[0];
}

/* The codes behind a DequantizeLinear with a scale for each block along k and no zero points. */
static void look_behind_codes(const struct assay_match *match, struct product *p)
{
    int maker = assay_match_maker(match, p->weight, "DequantizeLinear");
    const struct assay_node *node = maker < 0 ? NULL : match->graph->nodes[maker];
    if (!node || (node->n_inputs > 2 && node->inputs[2] >= 0) || assay_node_int(node, "block_size", 0) < 1)
        return;
    const struct assay_tensor *codes = assay_match_constant(match, node->inputs[0]);
    const struct assay_tensor *scale = assay_match_constant(match, node->inputs[1]);
    int64_t axis = assay_node_int(node, "axis", 1);
    if (!codes || codes->type.rank != 2 || !scale || scale->type.dtype != ASSAY_F32 || scale->type.rank != 2 ||
        (axis < 0 ? axis + 2 : axis) != p->transposed)
        return;
    p->weight = node->inputs[0];
    p->scale = node->inputs[1];
    p->block = assay_node_int(node, "block_size", 0);
}

/* A constant of n numbers in its last dimension and no others, as a vector. */
static int as_vector(struct assay_match *match, int value, int64_t n)
{
    const struct assay_tensor *t = assay_match_constant(match, value);
    if (!t || t->type.rank < 1 || t->type.dims[t->type.rank - 1] != n || assay_tensor_count(t) != n)
        return -1;
    if (t->type.rank == 1)
        return value;
    struct assay_type type = assay_type_make(t->type.dtype, 1, &n);
    struct assay_tensor vector;
    assay_tensor_view(&vector, t, &type);
    int result = assay_match_add_constant(match, match->graph->values[value].name, &vector);
    assay_tensor_release(&vector);
    return result;
}

static bool is_plain_gemm(const struct assay_node *node)
{
    return assay_node_int(node, "transA", 0) == 0 && assay_node_float(node, "alpha", 1) == 1 &&
           (node->n_inputs < 3 || node->inputs[2] < 0 || assay_node_float(node, "beta", 1) == 1);
}

/* MatMul, Gemm, or a Linear of an earlier round that may yet take something in. */
static bool find_product(struct assay_match *match, int index, struct product *p)
{
    struct assay_graph *graph = match->graph;
    const struct assay_node *node = graph->nodes[index];
    bool is_gemm = assay_match_is(match, index, "Gemm"), is_linear = assay_match_is(match, index, "assay.Linear");
    if (!is_gemm && !is_linear && !assay_match_is(match, index, "MatMul"))
        return false;
    *p = (struct product){node->inputs[0], node->inputs[1], -1, -1, node->outputs[0], false, 0, -1, 0};
    if (is_linear && *assay_node_string(node, "activation", ""))
        return false;
    if (is_gemm && !is_plain_gemm(node))
        return false;
    p->transposed = assay_node_int(node, is_gemm ? "transB" : "trans_weight", 0) != 0;
    if (is_linear && node->n_inputs > 4) {
        p->scale = node->inputs[4];
        p->block = assay_node_int(node, "block_size", 0);
    } else {
        p->weight = behind_transpose(match, p->weight, &p->transposed);
        look_behind_codes(match, p);
    }
    const struct assay_tensor *w = assay_match_constant(match, p->weight);
    enum assay_dtype dtype = w ? w->type.dtype : ASSAY_NO_DTYPE;
    bool is_float = dtype == ASSAY_F32 || dtype == ASSAY_F16 || dtype == ASSAY_BF16;
    bool is_code = dtype == ASSAY_I8 || dtype == ASSAY_U8 || dtype == ASSAY_I4 || dtype == ASSAY_U4;
    if (!(p->scale >= 0 ? is_code && graph->values[p->x].type.dtype == ASSAY_F32 : is_float) || w->type.rank != 2 ||
        graph->values[p->x].type.rank < 1)
        return false;
    p->n = w->type.dims[p->transposed ? 0 : 1];
    if (is_gemm && node->n_inputs > 2 && node->inputs[2] >= 0) {
        p->bias = as_vector(match, node->inputs[2], p->n);
        return p->bias >= 0;
    }
    p->bias = is_linear && node->n_inputs > 2 ? node->inputs[2] : -1;
    p->residual = is_linear && node->n_inputs > 3 ? node->inputs[3] : -1;
    return true;
}

/* The Add that alone reads the product, if its other side is one number a column. */
static bool take_bias(struct assay_match *match, struct product *p)
{
    const struct assay_graph *graph = match->graph;
    int reader = assay_match_sole_reader(match, p->y);
    if (p->bias >= 0 || p->residual >= 0 || !assay_match_is(match, reader, "Add"))
        return false;
    const struct assay_node *add = graph->nodes[reader];
    int other = add->inputs[0] == p->y ? add->inputs[1] : add->inputs[0], rank = graph->values[p->y].type.rank;
    const struct assay_tensor *t = assay_match_constant(match, other);
    if (!t || rank < 1 || t->type.rank > rank)
        return false;
    int bias = as_vector(match, other, p->n);
    if (bias < 0)
        return false;
    p->bias = bias;
    p->y = add->outputs[0];
    return true;
}

static bool fuse(struct assay_match *match, int index)
{
    struct assay_graph *graph = match->graph;
    struct product p;
    struct assay_epilogue e;
    if (!find_product(match, index, &p))
        return false;
    bool has_bias = take_bias(match, &p);
    assay_epilogue_find(match, p.y, p.residual < 0, &e);
    if (assay_match_is(match, index, "assay.Linear") && !has_bias && e.n_nodes == 0)
        return false;
    int residual = p.residual >= 0 ? p.residual : e.residual;
    int inputs[] = {p.x, p.weight, p.bias, residual, p.scale};
    const char *name = graph->nodes[index]->name;
    struct assay_node *linear = assay_match_remake(match, e.y, "Linear", "assay",
                                                   p.scale >= 0    ? 5
                                                   : residual >= 0 ? 4
                                                   : p.bias >= 0   ? 3
                                                                   : 2,
                                                   inputs);
    linear->name = name;
    assay_node_set_int(graph, linear, "trans_weight", p.transposed);
    if (p.scale >= 0) {
        assay_node_set_int(graph, linear, "axis", p.transposed);
        assay_node_set_int(graph, linear, "block_size", p.block);
    }
    assay_epilogue_set(graph, linear, &e);
    return true;
}

static enum assay_status run(struct assay_graph *graph, int *n_changes, struct assay_error *err)
{
    return assay_match_each(graph, fuse, n_changes, err);
}

const struct assay_pass assay_pass_linear = {
    .name = "linear",
    .about = "MatMul and Gemm with a constant matrix, with bias, residual and activation, become assay.Linear",
    .run = run};
