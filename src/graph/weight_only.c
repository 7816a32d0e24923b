/* SPDX-License-Identifier: Apache-2.0 */
/* See weight_only.h. Weights are quantized one at a time, and each f32 form goes when nothing reads it any more. */
#include "graph/weight_only.h"

#include "graph/precision.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    GROUP = ASSAY_WEIGHT_GROUP,
    LEAST_ELEMENTS = 4096, /* smaller ones are no bytes worth saving */
    TILE = 64,             /* columns at a time, so that neighbours' codes are written while their line is in cache */
    OPSET_OF_BLOCKS = 21,
    IR_OF_FOUR_BITS = 10,
};

enum assay_dtype assay_weight_only_dtype(const char *precision)
{
    if (precision && strcmp(precision, "w8a32") == 0)
        return ASSAY_I8;
    return precision && strcmp(precision, "w4a32") == 0 ? ASSAY_I4 : ASSAY_NO_DTYPE;
}

/* ---- newer forms */

static void add_input(struct assay_graph *graph, struct assay_node *node, int value)
{
    int *inputs = assay_arena_array(&graph->arena, (size_t)node->n_inputs + 1, sizeof *inputs);
    memcpy(inputs, node->inputs, (size_t)node->n_inputs * sizeof *inputs);
    inputs[node->n_inputs] = value;
    node->inputs = inputs;
    node->n_inputs++;
}

static enum assay_status move_axes(struct assay_graph *graph, struct assay_node *node, struct assay_error *err)
{
    size_t n;
    const int64_t *axes = assay_node_ints(node, "axes", &n);
    struct assay_tensor tensor;
    if (!axes || node->n_inputs != 1)
        return ASSAY_OK;
    struct assay_type type = assay_type_make(ASSAY_I64, 1, (const int64_t[]){(int64_t)n});
    enum assay_status st = assay_tensor_alloc(&tensor, &type, err);
    if (st)
        return st;
    memcpy(tensor.data, axes, n * sizeof *axes);
    add_input(graph, node, assay_graph_add_constant(graph, "axes", &tensor));
    assay_tensor_release(&tensor);
    assay_node_remove_attr(node, "axes");
    return ASSAY_OK;
}

/* What opsets 18 to 21 write in another form than 17. */
static enum assay_status raise_node(struct assay_graph *graph, struct assay_node *node, struct assay_error *err)
{
    const char *mode = assay_node_string(node, "mode", "");
    if (*node->domain)
        return ASSAY_OK;
    if (strncmp(node->type, "Reduce", 6) == 0)
        return move_axes(graph, node, err);
    if (strcmp(node->type, "Split") == 0 && node->n_inputs == 1 && !assay_node_attr(node, "num_outputs"))
        assay_node_set_int(graph, node, "num_outputs", node->n_outputs);
    if (strcmp(node->type, "GridSample") == 0 && strcmp(mode, "bilinear") == 0)
        assay_node_set_string(graph, node, "mode", "linear");
    if (strcmp(node->type, "GridSample") == 0 && strcmp(mode, "bicubic") == 0)
        assay_node_set_string(graph, node, "mode", "cubic");
    if (strcmp(node->type, "DFT") == 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "the model has a DFT (node '%s'), which opset 21 writes otherwise",
                               node->name);
    return ASSAY_OK;
}

static enum assay_status raise_opset(struct assay_graph *graph, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    if (graph->opset >= OPSET_OF_BLOCKS)
        return ASSAY_OK;
    for (int i = 0; i < graph->n_nodes && !st; i++)
        st = raise_node(graph, graph->nodes[i], err);
    for (struct assay_graph *body = graph->first_body; body && !st; body = body->next_body)
        st = raise_opset(body, err);
    if (!st)
        graph->opset = OPSET_OF_BLOCKS;
    return st;
}

/* ---- one weight */

/* Where a product's weight is: [k, n] by strides. */
struct weight {
    int value;        /* the constant */
    bool transposed;  /* it is [n, k] */
    bool keeps_shape; /* so are its codes: Gemm's transB says it */
    int64_t k, n;
};

static const struct assay_node *maker_of(const struct assay_graph *graph, int value)
{
    int producer = value < 0 ? -1 : graph->values[value].producer;
    return producer < 0 || producer >= graph->n_nodes ? NULL : graph->nodes[producer];
}

static bool swaps_two(const struct assay_node *node)
{
    size_t n;
    const int64_t *perm = assay_node_ints(node, "perm", &n);
    return strcmp(node->type, "Transpose") == 0 && !*node->domain && (!perm || (n == 2 && perm[0] == 1 && perm[1] == 0));
}

/* The weight of a MatMul or Gemm, if it can be quantized. */
static bool find_weight(const struct assay_graph *graph, const struct assay_node *node, struct weight *w)
{
    bool is_gemm = strcmp(node->type, "Gemm") == 0;
    if (*node->domain || (!is_gemm && strcmp(node->type, "MatMul") != 0) || node->n_inputs < 2)
        return false;
    bool swapped = is_gemm && assay_node_int(node, "transB", 0);
    *w = (struct weight){.value = node->inputs[1], .transposed = swapped, .keeps_shape = swapped};
    const struct assay_node *maker = maker_of(graph, w->value);
    if (maker && maker->n_inputs == 1 && swaps_two(maker)) {
        w->value = maker->inputs[0];
        w->transposed = !w->transposed;
    }
    const struct assay_value *value = w->value >= 0 ? &graph->values[w->value] : NULL;
    if (!value || !value->constant.data || value->is_inferred || value->is_input || value->type.dtype != ASSAY_F32 ||
        value->constant.type.rank != 2 || assay_tensor_count(&value->constant) < LEAST_ELEMENTS)
        return false;
    w->k = value->constant.type.dims[w->transposed];
    w->n = value->constant.type.dims[!w->transposed];
    return w->k % GROUP == 0;
}

/* The next number at or above x (positive) that bf16 holds. */
static float round_up(float x)
{
    uint32_t bits = assay_f32_bits(x), rounded = (bits + 0xffffu) & 0xffff0000u;
    return rounded < 0x7f800000u ? assay_f32_from_bits(rounded) : assay_f32_from_bits(0x7f7f0000u);
}

/* The codes of a group, and the sum of squares that they are off. */
static float code(const float *x, float scale, float low, float high, float *codes)
{
    float wrong = 0, inverse = 1 / scale;
    for (int i = 0; i < GROUP; i++) {
        float q = rintf(x[i] * inverse);
        q = q < low ? low : q > high ? high : q;
        float d = q * scale - x[i];
        wrong += d * d;
        codes[i] = q;
    }
    return wrong;
}

/* 8 bits: -127 to 127. 4 bits: -8 to 7, with the largest magnitude at 7 or at 8, whichever is nearer on the whole. */
static float quantize_group(const float *x, bool is_four, float *codes)
{
    float largest = 0, other[GROUP];
    for (int i = 0; i < GROUP; i++)
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    if (!(largest >= 0x1p-100F)) { /* nothing to tell apart; and the inverse of the scale must be a number */
        memset(codes, 0, GROUP * sizeof *codes);
        return 1;
    }
    float scale = round_up(largest / (is_four ? 7 : 127));
    float wrong = code(x, scale, is_four ? -8 : -127, is_four ? 7 : 127, codes);
    if (!is_four)
        return scale;
    float narrow = round_up(largest / 8);
    if (code(x, narrow, -8, 7, other) >= wrong)
        return scale;
    memcpy(codes, other, sizeof other);
    return narrow;
}

static bool is_finite(const struct assay_tensor *tensor)
{
    const float *x = tensor->data;
    bool finite = true;
    for (int64_t i = 0, n = assay_tensor_count(tensor); i < n; i++)
        finite &= isfinite(x[i]) != 0;
    return finite;
}

struct made {
    struct assay_tensor codes, scales;
    bool is_four;
    int64_t code_strides[2], scale_strides[2]; /* by k (groups of it), by n */
};

static void put_code(const struct made *m, int64_t at, float code)
{
    if (!m->is_four) {
        ((int8_t *)m->codes.data)[at] = (int8_t)code;
        return;
    }
    unsigned char *byte = (unsigned char *)m->codes.data + at / 2;
    int shift = (int)(at % 2 * 4);
    *byte = (unsigned char)((*byte & ~(15 << shift)) | ((int)code & 15) << shift);
}

static void fill(const struct weight *w, const float *x, const struct made *m)
{
    int64_t step = w->transposed ? 1 : w->n, across = w->transposed ? w->k : 1;
    for (int64_t tile = 0; tile < w->n; tile += TILE)
        for (int64_t g = 0; g < w->k / GROUP; g++)
            for (int64_t j = tile; j < w->n && j < tile + TILE; j++) {
                float group[GROUP], codes[GROUP];
                for (int i = 0; i < GROUP; i++)
                    group[i] = x[(g * GROUP + i) * step + j * across];
                ((float *)m->scales.data)[g * m->scale_strides[0] + j * m->scale_strides[1]] =
                    quantize_group(group, m->is_four, codes);
                for (int i = 0; i < GROUP; i++)
                    put_code(m, (g * GROUP + i) * m->code_strides[0] + j * m->code_strides[1], codes[i]);
            }
}

static void free_bytes(void *context) { free(context); }

/* Pages that nobody touches are no memory. */
static enum assay_status declare(struct assay_tensor *tensor, const struct assay_type *type, struct assay_error *err)
{
    void *zeros = calloc(1, (size_t)assay_type_bytes(type));
    if (!zeros)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory to declare weights");
    assay_tensor_adopt(tensor, type, zeros, free_bytes, zeros);
    return ASSAY_OK;
}

static enum assay_status make(const struct weight *w, const float *x, enum assay_dtype dtype, struct made *m,
                              struct assay_error *err)
{
    bool kept = w->keeps_shape;
    int64_t groups = w->k / GROUP;
    struct assay_type codes = assay_type_make(dtype, 2, (const int64_t[]){kept ? w->n : w->k, kept ? w->k : w->n});
    struct assay_type scales = assay_type_make(ASSAY_F32, 2, (const int64_t[]){kept ? w->n : groups, kept ? groups : w->n});
    *m = (struct made){.is_four = dtype == ASSAY_I4,
                       .code_strides = {kept ? 1 : w->n, kept ? w->k : 1},
                       .scale_strides = {kept ? 1 : w->n, kept ? groups : 1}};
    enum assay_status st = x ? assay_tensor_alloc(&m->codes, &codes, err) : declare(&m->codes, &codes, err);
    if (st)
        return st;
    st = x ? assay_tensor_alloc(&m->scales, &scales, err) : declare(&m->scales, &scales, err);
    if (st) {
        assay_tensor_release(&m->codes);
        return st;
    }
    if (!x)
        return ASSAY_OK;
    memset(m->codes.data, 0, (size_t)assay_tensor_bytes(&m->codes));
    fill(w, x, m);
    return ASSAY_OK;
}

/* Value of the weight in f32 behind its codes; -1 if it cannot be had. */
static int add_dequantized(struct assay_graph *graph, const struct weight *w, const struct made *m)
{
    struct assay_arena names;
    assay_arena_init(&names);
    const char *name = assay_arena_strdup(&names, graph->values[w->value].name);
    struct assay_type type = m->codes.type;
    type.dtype = ASSAY_F32;
    int inputs[] = {assay_graph_add_constant(graph, assay_arena_printf(&names, "%s_codes", name), &m->codes),
                    assay_graph_add_constant(graph, assay_arena_printf(&names, "%s_scales", name), &m->scales)};
    int output = assay_graph_add_value(graph, assay_arena_printf(&names, "%s_dequantized", name), &type);
    struct assay_node *node = assay_graph_add_node(graph, "DequantizeLinear", "", 2, inputs, 1, &output);
    assay_node_set_int(graph, node, "axis", w->keeps_shape ? 1 : 0);
    assay_node_set_int(graph, node, "block_size", GROUP);
    assay_arena_release(&names);
    return output;
}

/* ---- all of them */

static bool is_read(const struct assay_graph *graph, int value)
{
    for (int i = 0; i < graph->n_nodes; i++)
        for (int k = 0; k < graph->nodes[i]->n_inputs; k++)
            if (graph->nodes[i]->inputs[k] == value)
                return true;
    for (int i = 0; i < graph->n_outputs; i++)
        if (graph->outputs[i] == value)
            return true;
    for (const struct assay_graph *body = graph->first_body; body; body = body->next_body)
        for (int v = 0; v < body->n_values; v++)
            if (body->values[v].outer == value)
                return true;
    return false;
}

/* Drops the Transposes of the weight that nothing reads any more, and with the last reader the weight. */
static void forget(struct assay_graph *graph, int value)
{
    for (int i = graph->n_nodes - 1; i >= 0; i--) {
        struct assay_node *node = graph->nodes[i];
        if (node->n_inputs == 1 && node->inputs[0] == value && node->n_outputs == 1 && swaps_two(node) &&
            !is_read(graph, node->outputs[0]))
            node->inputs[0] = node->outputs[0] = -1; /* leads nowhere: the sweep takes it */
    }
    if (!is_read(graph, value))
        assay_tensor_release(&graph->values[value].constant);
}

/* Each product that reads the weight gets its codes, made once for a form, or only declared. */
static enum assay_status quantize(struct assay_graph *graph, int n_nodes, int value, enum assay_dtype dtype, bool declared,
                                  struct assay_error *err)
{
    int made[2][2] = {{-1, -1}, {-1, -1}};
    struct assay_tensor x;
    assay_tensor_share(&x, &graph->values[value].constant);
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < n_nodes && !st; i++) {
        struct weight w;
        struct made m;
        if (!find_weight(graph, graph->nodes[i], &w) || w.value != value)
            continue;
        int *form = &made[w.transposed][w.keeps_shape];
        if (*form < 0) {
            st = make(&w, declared ? NULL : x.data, dtype, &m, err);
            if (st)
                break;
            *form = add_dequantized(graph, &w, &m);
            assay_tensor_release(&m.codes);
            assay_tensor_release(&m.scales);
        }
        graph->nodes[i]->inputs[1] = *form;
    }
    assay_tensor_release(&x);
    return st;
}

static enum assay_status quantize_all(struct assay_graph *graph, enum assay_dtype dtype, bool declared, struct assay_error *err)
{
    ASSAY_ASSERT(dtype == ASSAY_I8 || dtype == ASSAY_I4);
    int n_nodes = graph->n_nodes, n_quantized = 0;
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < n_nodes && !st; i++) {
        struct weight w;
        if (!find_weight(graph, graph->nodes[i], &w))
            continue;
        if (!declared && !is_finite(&graph->values[w.value].constant))
            return assay_error_set(err, ASSAY_UNSUPPORTED, "the weight '%s' has numbers that are not finite: it has no scales",
                                   graph->values[w.value].name);
        st = quantize(graph, n_nodes, w.value, dtype, declared, err);
        if (!st)
            forget(graph, w.value);
        n_quantized++;
    }
    if (st)
        return st;
    if (n_quantized == 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED,
                               "the model has no weight to quantize: no MatMul or Gemm with a constant f32 matrix of %d elements "
                               "or more, and an inner dimension that is a multiple of %d",
                               LEAST_ELEMENTS, GROUP);
    st = raise_opset(graph, err);
    if (st)
        return st;
    graph->ir_version = graph->ir_version > IR_OF_FOUR_BITS ? graph->ir_version : IR_OF_FOUR_BITS;
    assay_graph_sweep(graph);
    return assay_graph_sort(graph, err);
}

enum assay_status assay_graph_quantize_weights(struct assay_graph *graph, enum assay_dtype dtype, struct assay_error *err)
{
    return quantize_all(graph, dtype, false, err);
}

enum assay_status assay_graph_declare_weights(struct assay_graph *graph, enum assay_dtype dtype, struct assay_error *err)
{
    return quantize_all(graph, dtype, true, err);
}

enum assay_status assay_graph_convert(struct assay_graph *graph, const char *precision, struct assay_error *err)
{
    enum assay_dtype codes = assay_weight_only_dtype(precision);
    if (codes)
        return assay_graph_quantize_weights(graph, codes, err);
    return assay_graph_set_precision(graph, assay_dtype_from_word(precision), err);
}

enum assay_status assay_graph_convert_for_counting(struct assay_graph *graph, const char *precision, struct assay_error *err)
{
    enum assay_dtype codes = assay_weight_only_dtype(precision);
    return codes ? assay_graph_declare_weights(graph, codes, err) : assay_graph_convert(graph, precision, err);
}
