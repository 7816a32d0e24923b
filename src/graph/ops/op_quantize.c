/* SPDX-License-Identifier: Apache-2.0 */
/* QuantizeLinear, per tensor or along an axis; DequantizeLinear, in blocks along an axis too (opset 21); DynamicQuantizeLinear.
 */
#include "graph/ops/requantize.h"

#include <inttypes.h>
#include <math.h>

enum {
    NARROW = ASSAY_SET_8BIT | ASSAY_DTYPE_BIT(ASSAY_I16) | ASSAY_DTYPE_BIT(ASSAY_U16),
    FOUR_BITS = ASSAY_DTYPE_BIT(ASSAY_U4) | ASSAY_DTYPE_BIT(ASSAY_I4),
    DEQUANTIZED = NARROW | FOUR_BITS | ASSAY_DTYPE_BIT(ASSAY_I32)
};

/* x and its parameters as [outer, n, inner], n = 1 for one scale. */
struct layout {
    struct assay_split split;
    int64_t scale_stride; /* along n */
};

static enum assay_status check_blocks(const struct assay_op_call *call, struct assay_error *err)
{
    if (assay_node_int(call->node, "block_size", 0) != 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "quantization in blocks (block_size) is not supported");
    return ASSAY_OK;
}

static enum assay_status layout_of(const struct assay_op_call *call, struct layout *layout, struct assay_error *err)
{
    const struct assay_type *x = &call->inputs[0], *scale = &call->inputs[1];
    int axis;
    if (assay_type_count(scale) == 1 && scale->rank <= 1) {
        *layout = (struct layout){.split = {1, 1, assay_type_count(x)}};
        return ASSAY_OK;
    }
    if (scale->rank != 1)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "a scale of rank %d is not supported", scale->rank);
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", 1), x->rank, &axis, err);
    if (st)
        return st;
    if (scale->dims[0] != x->dims[axis])
        return assay_error_set(err, ASSAY_INVALID, "there are %" PRId64 " scales for %" PRId64 " places along axis %d",
                               scale->dims[0], x->dims[axis], axis);
    *layout = (struct layout){assay_split_at(x, axis), 1};
    return ASSAY_OK;
}

/* Scales and zero points, as many of the one as of the other. */
static enum assay_status read_quant(const struct assay_op_call *call, struct assay_quant *quant, struct assay_error *err)
{
    if (assay_rule_has_input(call, 2) && assay_type_count(&call->inputs[1]) != assay_type_count(&call->inputs[2]))
        return assay_error_set(err, ASSAY_INVALID, "there are %" PRId64 " scales, but %" PRId64 " zero points",
                               assay_type_count(&call->inputs[1]), assay_type_count(&call->inputs[2]));
    return assay_quant_init(quant, call, 1, 2, assay_type_count(&call->inputs[1]), "x", err);
}

/* ---- QuantizeLinear */

static enum assay_status infer_quantize(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_dtype dtype = ASSAY_U8;
    enum assay_status st = check_blocks(call, err);
    if (!st)
        st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT | ASSAY_DTYPE_BIT(ASSAY_I32), err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_dtype(call, 2, NARROW, err);
    if (!st)
        st = assay_rule_dtype_attr(call, "output_dtype", ASSAY_NO_DTYPE, NARROW, &dtype, err);
    call->outputs[0] = call->inputs[0];
    if (assay_rule_has_input(call, 2))
        call->outputs[0].dtype = call->inputs[2].dtype;
    else
        call->outputs[0].dtype = dtype == ASSAY_NO_DTYPE ? ASSAY_U8 : dtype;
    return st;
}

/* to[i] = saturate(round to even(from[i] / scale) + zero). The quotient is that of f32, as the standard has it, so that a tie
 * falls as it does elsewhere. */
#define QUANTIZE_RUN(name, from_type, to_type, wide)                                                                             \
    static void name(const from_type *from, to_type *to, int64_t n, wide scale, int32_t zero, struct assay_int_range range)      \
    {                                                                                                                            \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            wide quotient = (wide)from[i] / scale;                                                                               \
            to[i] = (to_type)fmin(fmax(rint((double)quotient) + zero, range.low), range.high);                                   \
        }                                                                                                                        \
    }
#define QUANTIZE_TO(word, to_type)                                                                                               \
    QUANTIZE_RUN(quantize_f32_##word, float, to_type, float)                                                                     \
    QUANTIZE_RUN(quantize_f64_##word, double, to_type, double)                                                                   \
    QUANTIZE_RUN(quantize_i32_##word, int32_t, to_type, float)                                                                   \
    static void quantize_##word(const struct assay_tensor *x, struct assay_tensor *y, int64_t at, int64_t n, float scale,        \
                                int32_t zero)                                                                                    \
    {                                                                                                                            \
        struct assay_int_range range = assay_int_range(y->type.dtype);                                                           \
        to_type *to = (to_type *)y->data + at;                                                                                   \
        if (x->type.dtype == ASSAY_F32)                                                                                          \
            quantize_f32_##word((const float *)x->data + at, to, n, scale, zero, range);                                         \
        else if (x->type.dtype == ASSAY_F64)                                                                                     \
            quantize_f64_##word((const double *)x->data + at, to, n, (double)scale, zero, range);                                \
        else                                                                                                                     \
            quantize_i32_##word((const int32_t *)x->data + at, to, n, scale, zero, range);                                       \
    }
QUANTIZE_TO(i8, int8_t)
QUANTIZE_TO(u8, uint8_t)
QUANTIZE_TO(i16, int16_t)
QUANTIZE_TO(u16, uint16_t)

static enum assay_status run_quantize(struct assay_op_call *call, struct assay_error *err)
{
    struct layout layout;
    struct assay_quant quant;
    const struct assay_tensor *x = call->data[0];
    struct assay_tensor *y = &call->results[0];
    enum assay_status st = layout_of(call, &layout, err);
    if (st || assay_tensor_count(x) == 0)
        return st;
    st = read_quant(call, &quant, err);
    if (st)
        return st;
    int64_t inner = layout.split.inner;
    for (int64_t i = 0; i < layout.split.outer * layout.split.n; i++) {
        int64_t k = i % layout.split.n;
        float scale = (float)assay_quant_scale(&quant, k);
        int32_t zero = quant.zero.data ? assay_quant_zeros(&quant)[k * quant.zero_stride] : 0;
        if (y->type.dtype == ASSAY_I8)
            quantize_i8(x, y, i * inner, inner, scale, zero);
        else if (y->type.dtype == ASSAY_U8)
            quantize_u8(x, y, i * inner, inner, scale, zero);
        else if (y->type.dtype == ASSAY_I16)
            quantize_i16(x, y, i * inner, inner, scale, zero);
        else
            quantize_u16(x, y, i * inner, inner, scale, zero);
    }
    assay_quant_release(&quant);
    return ASSAY_OK;
}

static void cost_quantize(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = 2 * (double)assay_type_count(&call->inputs[0]);
}

/* ---- DequantizeLinear */

static enum assay_status check_block_size(const struct assay_op_call *call, struct assay_error *err)
{
    if (assay_node_int(call->node, "block_size", 0) < 0)
        return assay_error_set(err, ASSAY_INVALID, "its block_size is negative");
    return ASSAY_OK;
}

/* x as [outer, n, inner] around the axis, of which each `block` share a scale: scales are [outer, n_blocks, inner]. */
struct blocks {
    struct assay_split split;
    int64_t block, n_blocks;
};

/* Sides are compared as the standard has it: x's, but for the axis, where there is one scale for each block. */
static enum assay_status blocks_of(const struct assay_op_call *call, struct blocks *b, struct assay_error *err)
{
    const struct assay_type *x = &call->inputs[0], *scale = &call->inputs[1];
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", 1), x->rank, &axis, err);
    if (st)
        return st;
    b->split = assay_split_at(x, axis);
    b->block = assay_node_int(call->node, "block_size", 0);
    b->n_blocks = b->split.n / b->block + (b->split.n % b->block != 0);
    struct assay_type wanted = *x;
    wanted.dims[axis] = b->n_blocks;
    wanted.dtype = scale->dtype;
    char has[128], wants[128];
    if (!assay_type_equal(&wanted, scale))
        return assay_error_set(err, ASSAY_INVALID, "its scale is %s where blocks of %" PRId64 " along axis %d want %s",
                               assay_type_text(scale, has, sizeof has), b->block, axis,
                               assay_type_text(&wanted, wants, sizeof wants));
    return ASSAY_OK;
}

static enum assay_status infer_dequantize(struct assay_op_call *call, struct assay_error *err)
{
    struct blocks blocks;
    bool in_blocks = assay_node_int(call->node, "block_size", 0) > 0;
    enum assay_status st = check_block_size(call, err);
    if (!st)
        st = assay_rule_dtype(call, 0, DEQUANTIZED, err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_SET_FLOAT16 | ASSAY_DTYPE_BIT(ASSAY_F32), err);
    if (!st && assay_rule_has_input(call, 2))
        st = assay_rule_same_dtype(call, 0, 2, err);
    if (!st && in_blocks && assay_type_is_known(&call->inputs[0]) && assay_type_is_known(&call->inputs[1]))
        st = blocks_of(call, &blocks, err);
    call->outputs[0] = call->inputs[0];
    call->outputs[0].dtype = call->inputs[1].dtype;
    return st;
}

/* n codes from place `at` on. */
static void read_codes(const struct assay_tensor *x, int64_t at, int64_t n, int32_t *codes)
{
    switch (x->type.dtype) {
    case ASSAY_I8:
        for (int64_t i = 0; i < n; i++)
            codes[i] = ((const int8_t *)x->data)[at + i];
        break;
    case ASSAY_U8:
        for (int64_t i = 0; i < n; i++)
            codes[i] = ((const uint8_t *)x->data)[at + i];
        break;
    case ASSAY_I4:
    case ASSAY_U4:
        for (int64_t i = 0; i < n; i++)
            codes[i] = assay_four_bits(x, at + i);
        break;
    default:
        for (int64_t i = 0; i < n; i++)
            codes[i] = (int32_t)assay_tensor_int(x, at + i);
    }
}

enum { CODES = 256 };

/* n numbers from place `at` on; their scales and zero points from `place` on, one for each (stride 1) or one for all (0). */
static void dequantize_run(struct assay_op_call *call, int64_t at, int64_t n, int64_t place, int64_t stride)
{
    const struct assay_tensor *zeros = assay_rule_data(call, 2);
    const float *scales = call->data[1]->data;
    int32_t codes[CODES], zero[CODES] = {0};
    float *to = call->results[0].data;
    for (int64_t from = 0; from < n; from += CODES) {
        int64_t m = n - from < CODES ? n - from : CODES, first = place + from * stride;
        read_codes(call->data[0], at + from, m, codes);
        if (zeros)
            read_codes(zeros, first, stride ? m : 1, zero);
        for (int64_t i = 0; i < m; i++)
            to[at + from + i] = (float)(codes[i] - zero[i * stride]) * scales[first + i * stride];
    }
}

static void dequantize_blocks(struct assay_op_call *call, const struct blocks *b)
{
    int64_t n = b->split.n, inner = b->split.inner;
    for (int64_t i = 0; i < b->split.outer; i++)
        for (int64_t k = 0; k < b->n_blocks; k++) {
            int64_t first = k * b->block, end = n - first < b->block ? n : first + b->block,
                    place = (i * b->n_blocks + k) * inner;
            if (inner == 1)
                dequantize_run(call, i * n + first, end - first, place, 0);
            for (int64_t row = first; inner > 1 && row < end; row++)
                dequantize_run(call, (i * n + row) * inner, inner, place, 1);
        }
}

#define DEQUANTIZE_RUN(name, type)                                                                                               \
    static void name(const type *from, float *to, int64_t n, double scale, int32_t zero)                                         \
    {                                                                                                                            \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            to[i] = (float)(((double)from[i] - zero) * scale);                                                                   \
    }
DEQUANTIZE_RUN(dequantize_i8, int8_t)
DEQUANTIZE_RUN(dequantize_u8, uint8_t)
DEQUANTIZE_RUN(dequantize_i16, int16_t)
DEQUANTIZE_RUN(dequantize_u16, uint16_t)
DEQUANTIZE_RUN(dequantize_i32, int32_t)

static void dequantize(const struct assay_tensor *x, float *to, int64_t at, int64_t n, double scale, int32_t zero)
{
    switch (x->type.dtype) {
    case ASSAY_I8:
        dequantize_i8((const int8_t *)x->data + at, to + at, n, scale, zero);
        break;
    case ASSAY_U8:
        dequantize_u8((const uint8_t *)x->data + at, to + at, n, scale, zero);
        break;
    case ASSAY_I16:
        dequantize_i16((const int16_t *)x->data + at, to + at, n, scale, zero);
        break;
    case ASSAY_U16:
        dequantize_u16((const uint16_t *)x->data + at, to + at, n, scale, zero);
        break;
    default:
        dequantize_i32((const int32_t *)x->data + at, to + at, n, scale, zero);
    }
}

static enum assay_status run_dequantize(struct assay_op_call *call, struct assay_error *err)
{
    struct layout layout;
    struct blocks blocks;
    const struct assay_tensor *x = call->data[0], *scales = call->data[1], *zeros = assay_rule_data(call, 2);
    bool in_blocks = assay_node_int(call->node, "block_size", 0) > 0;
    enum assay_status st = in_blocks ? blocks_of(call, &blocks, err) : layout_of(call, &layout, err);
    if (st || assay_tensor_count(x) == 0)
        return st;
    if (zeros && assay_tensor_count(zeros) != assay_tensor_count(scales))
        return assay_error_set(err, ASSAY_INVALID, "there are %" PRId64 " scales, but %" PRId64 " zero points",
                               assay_tensor_count(scales), assay_tensor_count(zeros));
    if (in_blocks) {
        dequantize_blocks(call, &blocks);
        return ASSAY_OK;
    }
    for (int64_t i = 0; i < layout.split.outer * layout.split.n; i++) {
        int64_t k = i % layout.split.n * layout.scale_stride;
        if (assay_dtype_is_packed(x->type.dtype)) {
            dequantize_run(call, i * layout.split.inner, layout.split.inner, k, 0);
            continue;
        }
        int32_t zero = zeros ? (int32_t)assay_tensor_int(zeros, k) : 0;
        dequantize(x, call->results[0].data, i * layout.split.inner, layout.split.inner, assay_tensor_real(scales, k), zero);
    }
    return ASSAY_OK;
}

/* ---- DynamicQuantizeLinear */

static enum assay_status infer_dynamic(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_DTYPE_BIT(ASSAY_F32), err);
    call->outputs[0] = call->inputs[0];
    call->outputs[0].dtype = ASSAY_U8;
    if (call->n_outputs > 1)
        call->outputs[1] = (struct assay_type){.dtype = ASSAY_F32};
    if (call->n_outputs > 2)
        call->outputs[2] = (struct assay_type){.dtype = ASSAY_U8};
    return st;
}

/* In f32 throughout, as the standard's function: scale and zero point are part of the result. */
static enum assay_status run_dynamic(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0];
    const float *values = x->data;
    float low = 0, high = 0;
    for (int64_t i = 0; i < assay_tensor_count(x); i++) {
        if (!isfinite(values[i]))
            return assay_error_set(err, ASSAY_INVALID, "element %" PRId64 " is not finite, so that there is no range", i);
        low = fminf(low, values[i]);
        high = fmaxf(high, values[i]);
    }
    float scale = (high - low) / 255, zero = 0;
    if (!isfinite(scale))
        return assay_error_set(err, ASSAY_INVALID, "the range of the values overflows");
    if (scale > 0)
        zero = rintf(fminf(fmaxf(0 - low / scale, 0), 255));
    if (scale > 0)
        quantize_u8(x, &call->results[0], 0, assay_tensor_count(x), scale, (int32_t)zero);
    else
        memset(call->results[0].data, 0, (size_t)assay_tensor_bytes(&call->results[0]));
    if (call->n_outputs > 1)
        *(float *)call->results[1].data = scale;
    if (call->n_outputs > 2)
        *(uint8_t *)call->results[2].data = (uint8_t)zero;
    return ASSAY_OK;
}

/* Two comparisons, a division and an addition. */
static void cost_dynamic(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = 4 * (double)assay_type_count(&call->inputs[0]);
}

const struct assay_op assay_ops_quantize[] = {
    {"QuantizeLinear", "", 2, 3, ASSAY_OP_VIA_F32, infer_quantize, run_quantize, cost_quantize},
    {"DequantizeLinear", "", 2, 3, ASSAY_OP_VIA_F32 | ASSAY_OP_TAKES_4_BITS, infer_dequantize, run_dequantize, cost_quantize},
    {"DynamicQuantizeLinear", "", 1, 1, 0, infer_dynamic, run_dynamic, cost_dynamic},
    {0},
};
