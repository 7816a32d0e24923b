/* SPDX-License-Identifier: Apache-2.0 */
/* See static.h: the nodes of a quantized model. */
#include "quant/static_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int add_number(struct assay_graph *graph, const char *base, const char *what, enum assay_dtype dtype, double number)
{
    struct assay_type type = {.dtype = dtype};
    struct assay_tensor tensor;
    ASSAY_ASSERT(assay_tensor_alloc(&tensor, &type, NULL) == ASSAY_OK);
    assay_tensor_set_real(&tensor, 0, number);
    int value = assay_graph_add_constant(graph, assay_arena_printf(&graph->arena, "%s_%s", base, what), &tensor);
    assay_tensor_release(&tensor);
    return value;
}

static int add_linear(struct assay_graph *graph, const char *op, const char *base, int x, int scale, int zero, int axis)
{
    const char *what = *op == 'Q' ? "quantized" : "dequantized";
    int y = assay_graph_add_value(graph, assay_arena_printf(&graph->arena, "%s_%s", base, what), NULL);
    struct assay_node *node = assay_graph_add_node(graph, op, "", 3, (const int[]){x, scale, zero}, 1, &y);
    node->name = assay_arena_printf(&graph->arena, "%s_%s", base, op);
    if (axis >= 0)
        assay_node_set_int(graph, node, "axis", axis);
    return y;
}

/* ---- activations */

struct codes {
    int scale, zero; /* values; -1 = not made yet */
};

/* 0 is a code, so that padding is exact. */
static void add_parameters(struct assay_graph *graph, int value, const struct assay_quant_value *range, struct codes *codes)
{
    const char *base = graph->values[value].name;
    float scale = (range->high - range->low) / 255;
    scale = isfinite(scale) && scale > 1e-30f ? scale : 1; /* a value that is always zero */
    double zero = rint(-(double)range->low / (double)scale);
    codes->scale = add_number(graph, base, "scale", ASSAY_F32, (double)scale);
    codes->zero = add_number(graph, base, "zero_point", ASSAY_U8, fmin(fmax(zero, 0), 255));
}

/* Everybody reads the codes' value from now on. */
static void insert_codes(struct assay_graph *graph, int value, const struct codes *codes)
{
    const char *base = graph->values[value].name;
    int held = assay_graph_add_value(graph, base, NULL);
    assay_graph_replace_uses(graph, value, held);
    int quantized = add_linear(graph, "QuantizeLinear", base, value, codes->scale, codes->zero, -1);
    struct assay_node *node =
        assay_graph_add_node(graph, "DequantizeLinear", "", 3, (const int[]){quantized, codes->scale, codes->zero}, 1, &held);
    node->name = assay_arena_printf(&graph->arena, "%s_DequantizeLinear", base);
}

/* ---- weights */

/* [outer, n, inner] along an axis. */
static float *channel_scales(const struct assay_tensor *w, int axis, struct assay_tensor *scales)
{
    int64_t n = w->type.dims[axis], inner = 1;
    struct assay_type type = assay_type_make(ASSAY_F32, 1, &n);
    if (assay_tensor_alloc(scales, &type, NULL))
        return NULL;
    float *scale = scales->data;
    memset(scale, 0, (size_t)n * sizeof *scale);
    for (int d = axis + 1; d < w->type.rank; d++)
        inner *= w->type.dims[d];
    for (int64_t i = 0; i < assay_tensor_count(w); i++) {
        float x = fabsf(((const float *)w->data)[i]), *s = &scale[i / inner % n];
        *s = x > *s ? x : *s;
    }
    for (int64_t c = 0; c < n; c++)
        scale[c] = isfinite(scale[c]) && scale[c] > 1e-30f ? scale[c] / 127 : 1;
    return scale;
}

/* Numbers as codes of a dtype at zero point 0; scales along the axis. */
static enum assay_status encode(const struct assay_tensor *x, int axis, const float *scale, enum assay_dtype dtype,
                                struct assay_tensor *codes, struct assay_error *err)
{
    struct assay_type type = x->type;
    double most = dtype == ASSAY_I8 ? 127 : (double)INT32_MAX;
    int64_t n = x->type.dims[axis], inner = 1;
    type.dtype = dtype;
    enum assay_status st = assay_tensor_alloc(codes, &type, err);
    for (int d = axis + 1; d < type.rank; d++)
        inner *= type.dims[d];
    for (int64_t i = 0; i < assay_tensor_count(x) && !st; i++) {
        double number = rint((double)((const float *)x->data)[i] / (double)scale[i / inner % n]);
        number = fmin(fmax(number, -most), most); /* NaN becomes the lower */
        if (dtype == ASSAY_I8)
            ((int8_t *)codes->data)[i] = (int8_t)number;
        else
            ((int32_t *)codes->data)[i] = (int32_t)number;
    }
    return st;
}

/* *value: what constant codes stand for. */
static enum assay_status add_coded(struct assay_graph *graph, const char *base, const struct assay_tensor *codes,
                                   const struct assay_tensor *scales, int axis, int *value, struct assay_error *err)
{
    struct assay_type type = scales->type;
    struct assay_tensor zeros;
    type.dtype = codes->type.dtype;
    enum assay_status st = assay_tensor_alloc(&zeros, &type, err);
    if (st)
        return st;
    memset(zeros.data, 0, (size_t)assay_tensor_bytes(&zeros));
    int code = assay_graph_add_constant(graph, assay_arena_printf(&graph->arena, "%s_codes", base), codes);
    int scale = assay_graph_add_constant(graph, assay_arena_printf(&graph->arena, "%s_scale", base), scales);
    int zero = assay_graph_add_constant(graph, assay_arena_printf(&graph->arena, "%s_zero_point", base), &zeros);
    assay_tensor_release(&zeros);
    *value = add_linear(graph, "DequantizeLinear", base, code, scale, zero, axis);
    return ASSAY_OK;
}

/* The bias in units of the sums: scale of x times scale of the channel. */
static enum assay_status code_bias(struct assay_graph *graph, struct assay_node *node, double x_scale,
                                   const struct assay_tensor *w_scales, struct assay_error *err)
{
    const struct assay_value *value = &graph->values[node->inputs[2]];
    struct assay_tensor scales = {0}, codes = {0};
    const char *base = value->name;
    if (assay_tensor_count(&value->constant) != assay_tensor_count(w_scales))
        return ASSAY_OK; /* one for all channels stays as it is */
    enum assay_status st = assay_tensor_copy(&scales, w_scales, err);
    for (int64_t c = 0; c < assay_tensor_count(w_scales) && !st; c++)
        ((float *)scales.data)[c] *= (float)x_scale;
    if (!st)
        st = encode(&value->constant, 0, scales.data, ASSAY_I32, &codes, err);
    if (!st)
        st = add_coded(graph, base, &codes, &scales, 0, &node->inputs[2], err);
    assay_tensor_release(&scales);
    assay_tensor_release(&codes);
    return st;
}

/* A bias must fit in 31 bits of its channel's units, also where the weights are next to nothing. */
static void make_room(const struct assay_tensor *bias, double x_scale, struct assay_tensor *scales)
{
    int64_t n = assay_tensor_count(scales);
    for (int64_t c = 0; c < n && assay_tensor_count(bias) == n; c++) {
        float least = (float)(fabs((double)((const float *)bias->data)[c]) / (x_scale * 0x1p30)), *scale = scales->data;
        scale[c] = least > scale[c] && isfinite(least) ? least : scale[c];
    }
}

static enum assay_status code_weights(struct assay_graph *graph, struct assay_node *node, enum assay_quant_product kind,
                                      double x_scale, struct assay_error *err)
{
    const struct assay_value *value = &graph->values[node->inputs[1]];
    struct assay_tensor scales = {0}, codes = {0};
    bool by_row = kind == ASSAY_QUANT_CONV || (kind == ASSAY_QUANT_GEMM && assay_node_int(node, "transB", 0) != 0);
    const char *base = value->name;
    if (!channel_scales(&value->constant, !by_row, &scales))
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for the scales of '%s'", base);
    bool biased = node->n_inputs > 2 && node->inputs[2] >= 0;
    if (biased)
        make_room(&graph->values[node->inputs[2]].constant, x_scale, &scales);
    enum assay_status st = encode(&value->constant, !by_row, scales.data, ASSAY_I8, &codes, err);
    if (!st)
        st = add_coded(graph, base, &codes, &scales, !by_row, &node->inputs[1], err);
    if (!st && biased)
        st = code_bias(graph, node, x_scale, &scales, err);
    assay_tensor_release(&scales);
    assay_tensor_release(&codes);
    return st;
}

/* ---- all */

static double scale_of(const struct assay_graph *graph, const struct codes *codes)
{
    return assay_tensor_real(&graph->values[codes->scale].constant, 0);
}

static enum assay_status code_products(struct assay_quant_static *quant, const struct codes *codes, struct assay_error *err)
{
    struct assay_match match;
    struct assay_graph *graph = quant->graph;
    enum assay_status st = ASSAY_OK;
    int n = graph->n_nodes;
    assay_match_open(&match, graph);
    enum assay_quant_product *kinds = assay_alloc(((size_t)n + 1) * sizeof *kinds);
    for (int i = 0; i < n; i++)
        kinds[i] = graph->nodes[i]->n_outputs == 1 ? assay_quant_product_of(&match, graph->nodes[i]) : ASSAY_QUANT_NONE;
    assay_match_close(&match);
    for (int i = 0; i < n && !st; i++)
        if (kinds[i] != ASSAY_QUANT_NONE)
            st = code_weights(graph, graph->nodes[i], kinds[i], scale_of(graph, &codes[graph->nodes[i]->inputs[0]]), err);
    free(kinds);
    return st;
}

/* Relu and Clip whose result is the codes' lower bound go. Their range becomes that of what they read. */
static void drop_saturation(struct assay_quant_static *quant, struct codes *codes, int value)
{
    struct assay_graph *graph = quant->graph;
    int x = quant->values[value].instead;
    codes[x] = codes[value];
    assay_graph_drop_node(graph, graph->values[value].producer);
    assay_graph_replace_uses(graph, value, x);
}

enum assay_status assay_quant_static_finish(struct assay_quant_static *quant, struct assay_error *err)
{
    struct assay_graph *graph = quant->graph;
    int n = quant->n_values;
    if (quant->n_samples < 1)
        return assay_error_set(err, ASSAY_INVALID, "ranges are not known: calibrate on a sample first");
    struct codes *codes = assay_alloc(((size_t)n + 1) * sizeof *codes);
    for (int v = 0; v < n; v++) {
        codes[v] = (struct codes){-1, -1};
        if (quant->values[v].marked && quant->values[v].same_as < 0)
            add_parameters(graph, v, &quant->values[v], &codes[v]);
    }
    for (int i = 0; i < graph->n_nodes; i++) /* in their order, so that chains of movers have it from their beginning */
        for (int k = 0; k < graph->nodes[i]->n_outputs; k++) {
            int v = graph->nodes[i]->outputs[k];
            if (v >= 0 && quant->values[v].marked && quant->values[v].same_as >= 0)
                codes[v] = codes[quant->values[v].same_as];
        }
    enum assay_status st = code_products(quant, codes, err);
    for (int v = 0; v < n && !st; v++) {
        if (!quant->values[v].marked)
            continue;
        int value = v;
        if (quant->values[v].instead >= 0) {
            drop_saturation(quant, codes, v);
            value = quant->values[v].instead;
        }
        insert_codes(graph, value, &codes[v]);
    }
    free(codes);
    assay_graph_sweep(graph);
    return st ? st : assay_graph_sort(graph, err);
}
