/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolutions and products between DequantizeLinear and QuantizeLinear become QLinearConv and assay.QuantizedLinear; a product
 * that no QuantizeLinear follows becomes the latter with a result in f32. A Relu before a QuantizeLinear whose codes end at zero
 * goes, since saturating does the same. Ops that only move data, MaxPool and Concat work on the codes; where a product of what
 * varies reads them in the end, they are turned into numbers before they are moved, as the pass `attention` looks for them.
 */
#include "graph/infer.h"
#include "graph/match.h"
#include "graph/pass.h"

#include <math.h>
#include <string.h>

/* What a DequantizeLinear says. */
struct codes {
    int value, scale, zero; /* zero -1 = none */
    enum assay_dtype dtype;
    int64_t n_scales, axis; /* axis of several scales, from 0 */
};

static const struct assay_node *maker_of(const struct assay_match *match, int value, const char *type)
{
    int maker = assay_match_maker(match, value, type);
    return maker >= 0 ? match->graph->nodes[maker] : NULL;
}

/* Of 8 bits (or a bias of 32), with constant parameters. */
static bool read_codes(const struct assay_match *match, const struct assay_node *node, struct codes *c)
{
    const struct assay_graph *graph = match->graph;
    c->value = node->inputs[0];
    c->scale = node->inputs[1];
    c->zero = node->n_inputs > 2 ? node->inputs[2] : -1;
    const struct assay_tensor *scale = assay_match_constant(match, c->scale);
    const struct assay_type *type = &graph->values[c->value].type;
    if (!scale || scale->type.dtype != ASSAY_F32 || (c->zero >= 0 && !assay_match_constant(match, c->zero)) ||
        assay_node_int(node, "block_size", 0) != 0 || type->rank < 0)
        return false;
    c->dtype = type->dtype;
    c->n_scales = assay_tensor_count(scale);
    c->axis = assay_node_int(node, "axis", 1);
    c->axis += c->axis < 0 ? type->rank : 0;
    for (int64_t i = 0; i < c->n_scales; i++)
        if (!isfinite(((const float *)scale->data)[i]) || ((const float *)scale->data)[i] == 0)
            return false;
    return scale->type.rank <= 1 && (c->zero < 0 || assay_tensor_count(assay_match_constant(match, c->zero)) == c->n_scales);
}

static bool is_eight_bit(const struct codes *c) { return c->dtype == ASSAY_U8 || c->dtype == ASSAY_I8; }

/* The codes behind a value of f32: of one scale, or, where `axis` is not negative, of one for each place along it. */
static bool behind(const struct assay_match *match, int value, int64_t axis, struct codes *c)
{
    const struct assay_node *node = maker_of(match, value, "DequantizeLinear");
    return node && read_codes(match, node, c) && is_eight_bit(c) && (c->n_scales == 1 || c->axis == axis);
}

static double scale_at(const struct assay_match *match, const struct codes *c, int64_t i)
{
    return assay_tensor_real(assay_match_constant(match, c->scale), c->n_scales == 1 ? 0 : i);
}

/* The zero point of an op that must have one. */
static int zero_of(struct assay_match *match, const struct codes *c)
{
    struct assay_tensor zero;
    if (c->zero >= 0)
        return c->zero;
    struct assay_type type = assay_type_make(c->dtype, c->n_scales == 1 ? 0 : 1, &c->n_scales);
    if (assay_tensor_alloc(&zero, &type, NULL))
        return -1;
    memset(zero.data, 0, (size_t)assay_tensor_bytes(&zero));
    int value = assay_match_add_constant(match, "zero_point", &zero);
    assay_tensor_release(&zero);
    return value;
}

/* n numbers of f32 that never change, given as such or as codes; false if there are none. */
static bool read_bias(const struct assay_match *match, int value, int64_t n, struct assay_tensor *bias)
{
    const struct assay_tensor *given = assay_match_constant(match, value);
    struct codes c;
    const struct assay_node *node = given ? NULL : maker_of(match, value, "DequantizeLinear");
    if (node && (!read_codes(match, node, &c) || (c.n_scales != 1 && c.n_scales != n)))
        return false;
    const struct assay_tensor *codes = node ? assay_match_constant(match, c.value) : given;
    if (!codes || assay_tensor_count(codes) != n || codes->type.rank != 1 || (!node && codes->type.dtype != ASSAY_F32))
        return false;
    struct assay_type type = assay_type_make(ASSAY_F32, 1, &n);
    if (assay_tensor_alloc(bias, &type, NULL))
        return false;
    const struct assay_tensor *zero = node && c.zero >= 0 ? assay_match_constant(match, c.zero) : NULL;
    for (int64_t i = 0; i < n; i++) {
        double number = assay_tensor_real(codes, i) - (zero ? assay_tensor_real(zero, c.n_scales == 1 ? 0 : i) : 0);
        ((float *)bias->data)[i] = (float)(node ? number * scale_at(match, &c, i) : number);
    }
    return true;
}

/* ---- Conv */

/* The bias in units of the sums, as QLinearConv has it. */
static bool quantize_bias(struct assay_match *match, const struct assay_tensor *bias, const struct codes *x,
                          const struct codes *w, int *value)
{
    struct assay_tensor codes;
    int64_t n = assay_tensor_count(bias);
    struct assay_type type = assay_type_make(ASSAY_I32, 1, &n);
    if (assay_tensor_alloc(&codes, &type, NULL))
        return false;
    bool fits = true;
    for (int64_t i = 0; i < n && fits; i++) {
        double number = rint((double)((const float *)bias->data)[i] / (scale_at(match, x, 0) * scale_at(match, w, i)));
        fits = fabs(number) <= (double)INT32_MAX;
        ((int32_t *)codes.data)[i] = fits ? (int32_t)number : 0;
    }
    if (fits)
        *value = assay_match_add_constant(match, "bias_codes", &codes);
    assay_tensor_release(&codes);
    return fits;
}

static bool fuse_conv(struct assay_match *match, int y, int made, const struct codes *out)
{
    struct assay_graph *graph = match->graph;
    const struct assay_node *conv = graph->nodes[made];
    struct codes x, w;
    struct assay_tensor bias = {0};
    if (!behind(match, conv->inputs[0], -1, &x) || !behind(match, conv->inputs[1], 0, &w) ||
        !assay_match_constant(match, w.value))
        return false;
    int inputs[] = {x.value, x.scale, -1, w.value, w.scale, -1, out->scale, -1, -1};
    bool biased = conv->n_inputs > 2 && conv->inputs[2] >= 0;
    if (biased && !read_bias(match, conv->inputs[2], graph->values[w.value].type.dims[0], &bias))
        return false;
    bool fits = !biased || quantize_bias(match, &bias, &x, &w, &inputs[8]);
    assay_tensor_release(&bias);
    if (!fits)
        return false;
    inputs[2] = zero_of(match, &x);
    inputs[5] = zero_of(match, &w);
    inputs[7] = zero_of(match, out);
    struct assay_attr *attrs = conv->attrs;
    int n_attrs = conv->n_attrs;
    struct assay_node *node = assay_match_remake(match, y, "QLinearConv", "", biased ? 9 : 8, inputs);
    node->attrs = attrs;
    node->n_attrs = n_attrs;
    return true;
}

/* ---- MatMul, Gemm */

struct product {
    int a, w, bias; /* values of f32; -1 = none */
    bool transposed;
};

static bool read_product(const struct assay_match *match, const struct assay_node *node, struct product *p)
{
    *p = (struct product){.a = node->inputs[0], .w = node->inputs[1], .bias = -1};
    if (strcmp(node->type, "MatMul") == 0)
        return true;
    p->transposed = assay_node_int(node, "transB", 0) != 0;
    p->bias = node->n_inputs > 2 ? node->inputs[2] : -1;
    return !assay_node_int(node, "transA", 0) && assay_node_float(node, "alpha", 1) == 1 &&
           (p->bias < 0 || assay_node_float(node, "beta", 1) == 1) && match->graph->values[p->a].type.rank == 2;
}

/* out NULL: f32. `added`: a value that is added to the product, -1 = none. */
static bool fuse_product(struct assay_match *match, int y, const struct assay_node *node, int added, const struct codes *out)
{
    struct assay_graph *graph = match->graph;
    struct product p;
    struct codes a, w;
    struct assay_tensor bias = {0};
    if (!read_product(match, node, &p) || (added >= 0 && p.bias >= 0) || !behind(match, p.a, -1, &a) ||
        !behind(match, p.w, !p.transposed, &w) || !assay_match_constant(match, w.value) ||
        graph->values[w.value].type.rank != 2 || graph->values[p.a].type.rank < 1)
        return false;
    p.bias = added >= 0 ? added : p.bias;
    int inputs[] = {a.value, a.scale, a.zero, w.value, w.scale, w.zero, -1, out ? out->scale : -1, -1};
    if (p.bias >= 0) {
        if (!read_bias(match, p.bias, graph->values[w.value].type.dims[!p.transposed], &bias))
            return false;
        inputs[6] = assay_match_add_constant(match, "bias", &bias);
        assay_tensor_release(&bias);
    }
    if (out)
        inputs[8] = zero_of(match, out);
    struct assay_node *made = assay_match_remake(match, y, "QuantizedLinear", "assay", out ? 9 : 7, inputs);
    assay_node_set_int(graph, made, "trans_weight", p.transposed);
    return true;
}

static bool is_product(const struct assay_node *node)
{
    return node && !*node->domain && (strcmp(node->type, "MatMul") == 0 || strcmp(node->type, "Gemm") == 0);
}

/* A product, or one to which a constant is added, behind `x`, for `y`; where a QuantizeLinear follows, nobody else reads x. */
static bool fuse_products(struct assay_match *match, int y, int maker, const struct codes *out)
{
    const struct assay_graph *graph = match->graph;
    const struct assay_node *node = graph->nodes[maker];
    if (is_product(node))
        return fuse_product(match, y, node, -1, out);
    for (int k = 0; k < 2 && strcmp(node->type, "Add") == 0 && !*node->domain; k++) {
        int made = assay_match_sole_maker(match, node->inputs[k], "MatMul");
        if (made >= 0 && fuse_product(match, y, graph->nodes[made], node->inputs[!k], out))
            return true;
    }
    return false;
}

/* ---- what works on codes */

static bool is_mover(const struct assay_node *node)
{
    static const char *const types[] = {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice"};
    for (size_t i = 0; i < ASSAY_COUNT(types); i++)
        if (strcmp(node->type, types[i]) == 0)
            return !*node->domain && node->n_outputs == 1;
    return false;
}

static double zero_number(const struct assay_match *match, const struct codes *c)
{
    return c->zero >= 0 ? assay_tensor_real(assay_match_constant(match, c->zero), 0) : 0;
}

/* Of one scale each, and the same. */
static bool same_codes(const struct assay_match *match, const struct codes *a, const struct codes *b)
{
    return a->dtype == b->dtype && a->n_scales == 1 && b->n_scales == 1 && scale_at(match, a, 0) == scale_at(match, b, 0) &&
           zero_number(match, a) == zero_number(match, b);
}

/* `y` is made of other inputs by the same kind of node. */
static void remake_like(struct assay_match *match, int y, const struct assay_node *like, int n_inputs, const int *inputs)
{
    struct assay_attr *attrs = like->attrs;
    int n_attrs = like->n_attrs;
    struct assay_node *node = assay_match_remake(match, y, like->type, "", n_inputs, inputs);
    node->attrs = attrs;
    node->n_attrs = n_attrs;
}

enum { MOST_JOINED = 64 };

/* Codes with other parameters are made anew, which is what the QuantizeLinear behind would have done with them. */
static bool fuse_concat(struct assay_match *match, int y, const struct assay_node *concat, const struct codes *out)
{
    int inputs[MOST_JOINED], n = concat->n_inputs, n_same = 0;
    struct codes parts[MOST_JOINED];
    for (int k = 0; k < n && k < MOST_JOINED; k++)
        if (concat->inputs[k] < 0 || !behind(match, concat->inputs[k], -1, &parts[k]) || parts[k].n_scales != 1)
            return false;
        else
            n_same += same_codes(match, &parts[k], out);
    if (n > MOST_JOINED || n_same == 0)
        return false;
    for (int k = 0; k < n; k++) {
        inputs[k] = parts[k].value;
        if (same_codes(match, &parts[k], out))
            continue;
        int coding[] = {concat->inputs[k], out->scale, zero_of(match, out)};
        struct assay_type type = match->graph->values[parts[k].value].type;
        type.dtype = out->dtype;
        inputs[k] = assay_match_add(match, "QuantizeLinear", "", 3, coding, "codes", &type);
    }
    remake_like(match, y, concat, n, inputs);
    return true;
}

static bool fuse_mover(struct assay_match *match, int y, const struct assay_node *node, const struct codes *out)
{
    int inputs[8];
    struct codes in;
    bool is_max = strcmp(node->type, "MaxPool") == 0 && !*node->domain && node->n_outputs == 1;
    if ((!is_mover(node) && !is_max) || node->n_inputs < 1 || node->n_inputs > 8 || !behind(match, node->inputs[0], -1, &in) ||
        !same_codes(match, &in, out))
        return false;
    memcpy(inputs, node->inputs, (size_t)node->n_inputs * sizeof *inputs);
    inputs[0] = in.value;
    remake_like(match, y, node, node->n_inputs, inputs);
    return true;
}

/* DequantizeLinear of what was moved, for a product of two values that vary: before it is moved. */
static bool turn_early(struct assay_match *match, int index)
{
    struct assay_graph *graph = match->graph;
    const struct assay_node *node = graph->nodes[index];
    int y = node->outputs[0], reader = assay_match_sole_reader(match, y), inputs[8];
    struct codes c;
    if (reader < 0 || strcmp(graph->nodes[reader]->type, "MatMul") != 0 || !read_codes(match, node, &c) || c.n_scales != 1)
        return false;
    bool changed = false;
    for (;;) {
        const struct assay_node *coding = maker_of(match, y, "DequantizeLinear");
        int from = coding->inputs[0], maker = graph->values[from].producer;
        const struct assay_node *mover = maker >= 0 && !graph->values[from].is_input ? graph->nodes[maker] : NULL;
        if (!mover || !is_mover(mover) || mover->n_inputs > 8 || match->n_uses[from] != 1)
            return changed;
        struct assay_type type = graph->values[mover->inputs[0]].type;
        type.dtype = ASSAY_F32;
        int parameters[] = {mover->inputs[0], c.scale, zero_of(match, &c)};
        memcpy(inputs, mover->inputs, (size_t)mover->n_inputs * sizeof *inputs);
        inputs[0] = assay_match_add(match, "DequantizeLinear", "", 3, parameters, "numbers", &type);
        remake_like(match, y, mover, mover->n_inputs, inputs);
        y = inputs[0];
        changed = true;
    }
}

/* ---- the pass */

static bool ends_at_zero(const struct assay_match *match, const struct codes *out)
{
    const struct assay_tensor *zero = out->zero >= 0 ? assay_match_constant(match, out->zero) : NULL;
    return (zero ? assay_tensor_int(zero, 0) : 0) == (out->dtype == ASSAY_U8 ? 0 : -128) && scale_at(match, out, 0) > 0;
}

static int sole_maker(const struct assay_match *match, int value)
{
    static const char *const types[] = {"Conv", "MatMul", "Gemm", "Add"};
    for (size_t i = 0; i < ASSAY_COUNT(types); i++) {
        int maker = assay_match_sole_maker(match, value, types[i]);
        if (maker >= 0)
            return maker;
    }
    return -1;
}

static bool fuse_quantized(struct assay_match *match, const struct assay_node *quantize)
{
    struct codes out;
    int x = quantize->inputs[0], y = quantize->outputs[0];
    if (!read_codes(match, quantize, &out) || out.n_scales != 1)
        return false;
    out.dtype = match->graph->values[y].type.dtype;
    if (!is_eight_bit(&out))
        return false;
    int moved = x >= 0 && !match->graph->values[x].is_input ? match->graph->values[x].producer : -1;
    const struct assay_node *mover = moved >= 0 ? match->graph->nodes[moved] : NULL;
    if (mover && strcmp(mover->type, "Concat") == 0 && match->n_uses[x] == 1 && fuse_concat(match, y, mover, &out))
        return true;
    if (mover && match->n_uses[x] == 1 && fuse_mover(match, y, mover, &out))
        return true;
    int relu = assay_match_sole_maker(match, x, "Relu");
    if (relu >= 0 && ends_at_zero(match, &out))
        x = match->graph->nodes[relu]->inputs[0];
    int maker = sole_maker(match, x);
    if (maker < 0)
        return false;
    if (strcmp(match->graph->nodes[maker]->type, "Conv") == 0)
        return fuse_conv(match, y, maker, &out);
    return fuse_products(match, y, maker, &out);
}

static bool fuse(struct assay_match *match, int index, int round)
{
    const struct assay_node *node = match->graph->nodes[index];
    if (!node || *node->domain || node->n_outputs < 1 || node->outputs[0] < 0)
        return false;
    if (round == 2)
        return strcmp(node->type, "DequantizeLinear") == 0 && turn_early(match, index);
    if (round == 0)
        return strcmp(node->type, "QuantizeLinear") == 0 && fuse_quantized(match, node);
    return (is_product(node) || strcmp(node->type, "Add") == 0) && fuse_products(match, node->outputs[0], index, NULL);
}

static enum assay_status run(struct assay_graph *graph, int *n_changes, struct assay_error *err)
{
    struct assay_match match;
    int n = graph->n_nodes;
    assay_match_open(&match, graph);
    for (int round = 0; round < 3; round++)
        for (int i = n - 1; i >= 0; i--)
            *n_changes += fuse(&match, i, round);
    return assay_match_finish(&match, *n_changes, err);
}

const struct assay_pass assay_pass_quantize = {
    .name = "quantize",
    .about = "Conv, MatMul and Gemm between DequantizeLinear and QuantizeLinear become products of 8-bit integers",
    .run = run};
