/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activation functions, element by element, with their attributes; and Clip. Formulas are written so that a NaN stays a NaN and
 * nothing overflows on the way to a finite result.
 */
#include "graph/ops/util.h"

#include <float.h>
#include <math.h>

static enum assay_status infer_float(struct assay_op_call *call, struct assay_error *err)
{
    return assay_rule_same(call, ASSAY_SET_FLOAT, err);
}

static enum assay_status infer_relu(struct assay_op_call *call, struct assay_error *err)
{
    return assay_rule_same(call, ASSAY_SET_FLOAT | ASSAY_SET_SIGNED, err);
}

static enum assay_status infer_shrink(struct assay_op_call *call, struct assay_error *err)
{
    /* An integer plus a float attribute is calculated in f64, which doesn't hold every 64-bit integer. */
    unsigned wide = ASSAY_DTYPE_BIT(ASSAY_I64) | ASSAY_DTYPE_BIT(ASSAY_U64);
    return assay_rule_same(call, ASSAY_SET_NUMBER & ~wide, err);
}

static enum assay_status infer_gelu(struct assay_op_call *call, struct assay_error *err)
{
    const char *approximate = assay_node_string(call->node, "approximate", "none");
    if (strcmp(approximate, "none") != 0 && strcmp(approximate, "tanh") != 0)
        return assay_error_set(err, ASSAY_INVALID, "approximate must be none or tanh, not '%s'", approximate);
    return assay_rule_same(call, ASSAY_SET_FLOAT, err);
}

#define MAP(type, expression)                                                                                                    \
    do {                                                                                                                         \
        const type *restrict from = call->data[0]->data;                                                                         \
        type *restrict to = call->results[0].data;                                                                               \
        int64_t n = assay_tensor_count(call->data[0]);                                                                           \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            type x = from[i];                                                                                                    \
            to[i] = (type)(expression);                                                                                          \
        }                                                                                                                        \
    } while (0)

/* log(1 + exp(x)) */
static float softplus_f32(float x) { return log1pf(expf(-fabsf(x))) + (x < 0 ? 0 : x); }
static double softplus_f64(double x) { return log1p(exp(-fabs(x))) + (x < 0 ? 0 : x); }

static float hard_sigmoid_f32(float x, float a, float b)
{
    float y = a * x + b;
    return y < 0 ? 0 : y > 1 ? 1 : y;
}

static double hard_sigmoid_f64(double x, double a, double b)
{
    double y = a * x + b;
    return y < 0 ? 0 : y > 1 ? 1 : y;
}

/* 0.5 x (1 + erf(x / √2)), by erfc so that the tail at negative x keeps its digits. */
static float gelu_f32(float x) { return 0.5f * x * erfcf(-x * (float)M_SQRT1_2); }
static double gelu_f64(double x) { return 0.5 * x * erfc(-x * M_SQRT1_2); }
/* 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))) */
static double gelu_tanh(double x) { return 0.5 * x * (1 + tanh(M_SQRT2 * 0.5 * M_2_SQRTPI * (x + 0.044715 * x * x * x))); }

/* X(Op, name and default of parameter a, name and default of b, expression for f32, for f64). "" = no such parameter. */
#define ACTIVATIONS(X)                                                                                                           \
    X(Celu, "alpha", 1, "", 0, x > 0 ? x : a * expm1f(x / a), x > 0 ? x : a * expm1(x / a))                                      \
    X(Elu, "alpha", 1, "", 0, x < 0 ? a * expm1f(x) : x, x < 0 ? a * expm1(x) : x)                                               \
    X(HardSigmoid, "alpha", 0.2f, "beta", 0.5f, hard_sigmoid_f32(x, a, b), hard_sigmoid_f64(x, a, b))                            \
    X(HardSwish, "", 1, "", 0, x *hard_sigmoid_f32(x, 1 / 6.f, 0.5f), x *hard_sigmoid_f64(x, 1 / 6., 0.5))                       \
    X(LeakyRelu, "alpha", 0.01f, "", 0, x < 0 ? a * x : x, x < 0 ? a * x : x)                                                    \
    X(Mish, "", 1, "", 0, x *tanhf(softplus_f32(x)), x *tanh(softplus_f64(x)))                                                   \
    X(Selu, "alpha", 1.67326319217681884765625f, "gamma", 1.05070102214813232421875f, b *(x > 0 ? x : a * expm1f(x)),            \
      b *(x > 0 ? x : a * expm1(x)))                                                                                             \
    X(Sigmoid, "", 1, "", 0, 1 / (1 + expf(-x)), 1 / (1 + exp(-x)))                                                              \
    X(Softplus, "", 1, "", 0, softplus_f32(x), softplus_f64(x))                                                                  \
    X(Softsign, "", 1, "", 0, x / (1 + fabsf(x)), x / (1 + fabs(x)))                                                             \
    X(Swish, "alpha", 1, "", 0, x / (1 + expf(-a * x)), x / (1 + exp(-a * x)))                                                   \
    X(ThresholdedRelu, "alpha", 1, "", 0, x > a ? x : 0, x > a ? x : 0)

#define RUN(op, a_name, a_default, b_name, b_default, f32_expression, f64_expression)                                            \
    static enum assay_status run_##op(struct assay_op_call *call, struct assay_error *err)                                       \
    {                                                                                                                            \
        (void)err;                                                                                                               \
        float a = assay_node_float(call->node, a_name, a_default);                                                               \
        float b = assay_node_float(call->node, b_name, b_default);                                                               \
        (void)a;                                                                                                                 \
        (void)b;                                                                                                                 \
        if (call->inputs[0].dtype == ASSAY_F64)                                                                                  \
            MAP(double, f64_expression);                                                                                         \
        else                                                                                                                     \
            MAP(float, f32_expression);                                                                                          \
        return ASSAY_OK;                                                                                                         \
    }
ACTIVATIONS(RUN)
#undef RUN

static enum assay_status run_gelu(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    bool by_tanh = strcmp(assay_node_string(call->node, "approximate", "none"), "tanh") == 0;
    bool f64 = call->inputs[0].dtype == ASSAY_F64;
    if (by_tanh && f64)
        MAP(double, gelu_tanh(x));
    else if (by_tanh)
        MAP(float, gelu_tanh(x));
    else if (f64)
        MAP(double, gelu_f64(x));
    else
        MAP(float, gelu_f32(x));
    return ASSAY_OK;
}

static enum assay_status run_relu(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    switch (call->inputs[0].dtype) {
#define X(name, type, wide)                                                                                                      \
    case ASSAY_##name:                                                                                                           \
        MAP(type, x < 0 ? 0 : x);                                                                                                \
        break;
        ASSAY_REAL_TYPES(X)
        ASSAY_SIGNED_TYPES(X)
#undef X
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets through");
    }
    return ASSAY_OK;
}

/* C's conversion (towards zero) of what is in range, the nearest bound of what is not. */
static double within(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

static double shrink(double x, double lambd, double bias)
{
    return x < -lambd ? x + bias : x > lambd ? x - bias : x != x ? x : 0;
}

static enum assay_status run_shrink(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    double lambd = assay_node_float(call->node, "lambd", 0.5f), bias = assay_node_float(call->node, "bias", 0);
    if (bias != bias)
        return assay_error_set(err, ASSAY_INVALID, "bias is not a number");
    switch (call->inputs[0].dtype) {
    case ASSAY_F32:
        MAP(float, shrink(x, lambd, bias));
        break;
    case ASSAY_F64:
        MAP(double, shrink(x, lambd, bias));
        break;
    case ASSAY_I8:
        MAP(int8_t, within(shrink(x, lambd, bias), INT8_MIN, INT8_MAX));
        break;
    case ASSAY_I16:
        MAP(int16_t, within(shrink(x, lambd, bias), INT16_MIN, INT16_MAX));
        break;
    case ASSAY_I32:
        MAP(int32_t, within(shrink(x, lambd, bias), INT32_MIN, INT32_MAX));
        break;
    case ASSAY_U8:
        MAP(uint8_t, within(shrink(x, lambd, bias), 0, UINT8_MAX));
        break;
    case ASSAY_U16:
        MAP(uint16_t, within(shrink(x, lambd, bias), 0, UINT16_MAX));
        break;
    case ASSAY_U32:
        MAP(uint32_t, within(shrink(x, lambd, bias), 0, UINT32_MAX));
        break;
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets through");
    }
    return ASSAY_OK;
}

static enum assay_status infer_clip(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = assay_rule_same(call, ASSAY_SET_NUMBER, err);
    for (int i = 1; !st && i < call->n_inputs; i++) {
        if (!assay_rule_has_input(call, i))
            continue;
        st = assay_rule_same_dtype(call, 0, i, err);
        if (!st && call->inputs[i].rank > 0 && assay_type_count(&call->inputs[i]) > 1)
            st = assay_error_set(err, ASSAY_INVALID, "input %d (a bound) must be a scalar", i);
        if (!st && assay_rule_data(call, i) && assay_tensor_count(assay_rule_data(call, i)) != 1)
            st = assay_error_set(err, ASSAY_INVALID, "input %d (a bound) must have one element", i);
    }
    return st;
}

/* Lower bound first, so that the upper one wins where they cross, as the standard says. */
#define CLIP(type, lowest, highest)                                                                                              \
    do {                                                                                                                         \
        type low = low_tensor ? *(const type *)low_tensor->data : (lowest);                                                      \
        type high = high_tensor ? *(const type *)high_tensor->data : (highest);                                                  \
        const type *restrict from = call->data[0]->data;                                                                         \
        type *restrict to = call->results[0].data;                                                                               \
        int64_t n = assay_tensor_count(call->data[0]);                                                                           \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            type x = from[i] < low ? low : from[i];                                                                              \
            to[i] = x > high ? high : x;                                                                                         \
        }                                                                                                                        \
    } while (0)

static enum assay_status run_clip(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    const struct assay_tensor *low_tensor = assay_rule_data(call, 1), *high_tensor = assay_rule_data(call, 2);
    switch (call->inputs[0].dtype) {
    case ASSAY_F32:
        CLIP(float, -FLT_MAX, FLT_MAX);
        break;
    case ASSAY_F64:
        CLIP(double, -DBL_MAX, DBL_MAX);
        break;
    case ASSAY_I8:
        CLIP(int8_t, INT8_MIN, INT8_MAX);
        break;
    case ASSAY_I16:
        CLIP(int16_t, INT16_MIN, INT16_MAX);
        break;
    case ASSAY_I32:
        CLIP(int32_t, INT32_MIN, INT32_MAX);
        break;
    case ASSAY_I64:
        CLIP(int64_t, INT64_MIN, INT64_MAX);
        break;
    case ASSAY_U8:
        CLIP(uint8_t, 0, UINT8_MAX);
        break;
    case ASSAY_U16:
        CLIP(uint16_t, 0, UINT16_MAX);
        break;
    case ASSAY_U32:
        CLIP(uint32_t, 0, UINT32_MAX);
        break;
    case ASSAY_U64:
        CLIP(uint64_t, 0, UINT64_MAX);
        break;
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets through");
    }
    return ASSAY_OK;
}

const struct assay_op assay_ops_activation[] = {
#define X(op, a_name, a_default, b_name, b_default, f32_expression, f64_expression)                                              \
    {#op, "", 1, 1, ASSAY_OP_VIA_F32, infer_float, run_##op, assay_cost_per_output},
    ACTIVATIONS(X)
#undef X
        {"Clip", "", 1, 3, ASSAY_OP_VIA_F32, infer_clip, run_clip, assay_cost_per_output},
    {"Gelu", "", 1, 1, ASSAY_OP_VIA_F32, infer_gelu, run_gelu, assay_cost_per_output},
    {"Relu", "", 1, 1, ASSAY_OP_VIA_F32, infer_relu, run_relu, assay_cost_per_output},
    {"Shrink", "", 1, 1, ASSAY_OP_VIA_F32, infer_shrink, run_shrink, assay_cost_per_output},
    {0},
};
