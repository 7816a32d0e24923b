/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activation functions, element by element, with their attributes; and Clip. Formulas are written so that a NaN stays a NaN and
 * nothing overflows on the way to a finite result.
 */
#include "graph/ops/rules.h"
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

/* ---- gradients. Where a function has a kink, PyTorch's choice is ours too. Results that have the sign of x stand for it, so
 * that x need not be kept; conditions are written as arithmetic where the op is a common one, since that fuses into one loop. */

static double parameter(const struct assay_gradient *g, const char *name, float otherwise)
{
    return assay_node_float(g->node, name, otherwise);
}

/* f(x) = x above zero, alpha (exp(x) - 1) below: f' = f + alpha there. */
static void gradient_Elu(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int y = g_output(g, 0), dy = g->out[0];
    double alpha = parameter(g, "alpha", 1);
    if (alpha == 1)
        g->in[0] = e_mul(e, dy, e_plus(e, e_op(e, "Min", E_VALUES(y, e_number(e, 0, y))), 1));
    else
        g->in[0] = e_where(e, e_compare(e, "Greater", g_input(g, 0), 0), dy, e_mul(e, dy, e_plus(e, y, alpha)));
}

static void gradient_Celu(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int y = g_output(g, 0), dy = g->out[0];
    double alpha = parameter(g, "alpha", 1);
    g->in[0] = e_where(e, e_compare(e, "Greater", g_input(g, 0), 0), dy, e_mul(e, dy, e_plus(e, e_scale(e, y, 1 / alpha), 1)));
}

static void gradient_Selu(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int x = g_input(g, 0), y = g_output(g, 0);
    double alpha = parameter(g, "alpha", 1.67326319217681884765625f), gamma = parameter(g, "gamma", 1.05070102214813232421875f);
    int step = e_step(e, alpha >= 0 && gamma > 0 ? y : x), below = e_mul(e, e_plus(e, y, alpha * gamma), e_from(e, 1, step));
    g->in[0] = e_mul(e, g->out[0], e_add(e, e_scale(e, step, gamma), below));
}

static void gradient_HardSigmoid(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int y = g_output(g, 0), inside = e_mul(e, e_unary(e, "Sign", y), e_unary(e, "Sign", e_from(e, 1, y)));
    g->in[0] = e_mul(e, g->out[0], e_scale(e, inside, parameter(g, "alpha", 0.2f)));
}

/* x (x / 6 + 1/2) from -3 to 3: x / 3 + 1/2 there, 0 before, 1 behind. */
static void gradient_HardSwish(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int x = g_input(g, 0), step = e_step(e, e_plus(e, x, 3)), behind = e_step(e, e_plus(e, x, -3));
    int near = e_op(e, "Clip", E_VALUES(x, e_number(e, -3, x), e_number(e, 3, x)));
    int inner = e_sub(e, e_plus(e, e_scale(e, near, 1 / 3.0), 0.5), e_scale(e, behind, 0.5));
    g->in[0] = e_mul(e, g->out[0], e_mul(e, step, inner));
}

static void gradient_LeakyRelu(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    double alpha = parameter(g, "alpha", 0.01f);
    int step = e_step(e, alpha >= 0 ? g_output(g, 0) : g_input(g, 0));
    g->in[0] = e_mul(e, g->out[0], e_plus(e, e_scale(e, step, 1 - alpha), alpha));
}

/* x t, t = tanh(softplus(x)): t + x (1 - t²) sigmoid(x) */
static void gradient_Mish(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int x = g_input(g, 0), t = e_unary(e, "Tanh", e_unary(e, "Softplus", x));
    int slope = e_mul(e, e_mul(e, x, e_unary(e, "Sigmoid", x)), e_from(e, 1, e_square(e, t)));
    g->in[0] = e_mul(e, g->out[0], e_add(e, t, slope));
}

static void gradient_Sigmoid(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int y = g_output(g, 0);
    g->in[0] = e_mul(e, g->out[0], e_mul(e, y, e_from(e, 1, y)));
}

static void gradient_Softplus(struct assay_gradient *g)
{
    g->in[0] = e_mul(g->e, g->out[0], e_unary(g->e, "Sigmoid", g_input(g, 0)));
}

static void gradient_Softsign(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    g->in[0] = e_div(e, g->out[0], e_square(e, e_plus(e, e_unary(e, "Abs", g_input(g, 0)), 1)));
}

/* x s, s = sigmoid(a x): s + a x s (1 - s) */
static void gradient_Swish(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int x = e_scale(e, g_input(g, 0), parameter(g, "alpha", 1)), s = e_unary(e, "Sigmoid", x);
    g->in[0] = e_mul(e, g->out[0], e_mul(e, s, e_plus(e, e_mul(e, x, e_from(e, 1, s)), 1)));
}

static void gradient_ThresholdedRelu(struct assay_gradient *g)
{
    g->in[0] = e_keep(g->e, e_compare(g->e, "Greater", g_input(g, 0), parameter(g, "alpha", 1)), g->out[0]);
}

static void gradient_relu(struct assay_gradient *g) { g->in[0] = e_mul(g->e, g->out[0], e_unary(g->e, "Sign", g_output(g, 0))); }

static void gradient_shrink(struct assay_gradient *g)
{
    int size = e_unary(g->e, "Abs", g_input(g, 0));
    g->in[0] = e_keep(g->e, e_compare(g->e, "Greater", size, parameter(g, "lambd", 0.5f)), g->out[0]);
}

/* (1 + erf(x / √2)) / 2 + x exp(-x² / 2) / √(2π) */
static int gelu_slope(struct assay_emit *e, int x)
{
    int share = e_plus(e, e_scale(e, e_unary(e, "Erf", e_scale(e, x, M_SQRT1_2)), 0.5), 0.5);
    int density = e_scale(e, e_unary(e, "Exp", e_scale(e, e_square(e, x), -0.5)), 0.5 * M_SQRT1_2 * M_2_SQRTPI);
    return e_add(e, share, e_mul(e, x, density));
}

/* With t = tanh(c (x + 0.044715 x³)): (1 + t) / 2 + x (1 - t²) c (1 + 3 · 0.044715 x²) / 2 */
static int gelu_tanh_slope(struct assay_emit *e, int x)
{
    double c = M_SQRT2 * 0.5 * M_2_SQRTPI;
    int square = e_square(e, x);
    int t = e_unary(e, "Tanh", e_mul(e, x, e_plus(e, e_scale(e, square, c * 0.044715), c)));
    int inner = e_mul(e, x, e_plus(e, e_scale(e, square, 1.5 * c * 0.044715), 0.5 * c));
    return e_add(e, e_plus(e, e_scale(e, t, 0.5), 0.5), e_mul(e, inner, e_from(e, 1, e_square(e, t))));
}

static void gradient_gelu(struct assay_gradient *g)
{
    bool by_tanh = strcmp(assay_node_string(g->node, "approximate", "none"), "tanh") == 0;
    int x = g_input(g, 0);
    g->in[0] = e_mul(g->e, g->out[0], by_tanh ? gelu_tanh_slope(g->e, x) : gelu_slope(g->e, x));
}

/* With two constant bounds it is taken for PyTorch's hardtanh or relu6: nothing passes on a bound, and x need not be kept. Else
 * it is clamp: on a bound the gradient passes, beyond it goes to the bound; to the upper one where they cross. */
static void gradient_clip(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int x = g_input(g, 0), low = g_input(g, 1), high = g_input(g, 2), dy = g->out[0], y = g_output(g, 0);
    if (g_constant(g, 1) && g_constant(g, 2))
        g->in[0] = e_mul(e, dy, e_mul(e, e_unary(e, "Sign", e_sub(e, y, low)), e_unary(e, "Sign", e_sub(e, high, y))));
    else
        g->in[0] = e_mul(e, dy, e_equality(e, x, y));
    if (g_wants(g, 1)) {
        int below = e_op(e, "Less", E_VALUES(x, low));
        if (high >= 0)
            below = e_and(e, below, e_op(e, "LessOrEqual", E_VALUES(low, high)));
        g_set(g, 1, e_keep(e, below, dy));
    }
    if (g_wants(g, 2)) {
        int raised = low >= 0 ? e_op(e, "Max", E_VALUES(x, low)) : x;
        g_set(g, 2, e_keep(e, e_op(e, "Greater", E_VALUES(raised, high)), dy));
    }
}

const struct assay_op assay_ops_activation[] = {
#define X(op, a_name, a_default, b_name, b_default, f32_expression, f64_expression)                                              \
    {#op, "", 1, 1, ASSAY_OP_VIA_F32, infer_float, run_##op, assay_cost_per_output, gradient_##op},
    ACTIVATIONS(X)
#undef X
        {"Clip", "", 1, 3, ASSAY_OP_VIA_F32, infer_clip, run_clip, assay_cost_per_output, gradient_clip},
    {"Gelu", "", 1, 1, ASSAY_OP_VIA_F32, infer_gelu, run_gelu, assay_cost_per_output, gradient_gelu},
    {"Relu", "", 1, 1, ASSAY_OP_VIA_F32, infer_relu, run_relu, assay_cost_per_output, gradient_relu},
    {"Shrink", "", 1, 1, ASSAY_OP_VIA_F32, infer_shrink, run_shrink, assay_cost_per_output, gradient_shrink},
    {0},
};
