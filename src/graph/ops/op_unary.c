/* SPDX-License-Identifier: Apache-2.0 */
/* Ops of one input, element by element, without parameters: the elementary functions, rounding, sign, and tests of floats. */
#include "graph/ops/util.h"

#include <math.h>

static enum assay_status infer_float(struct assay_op_call *call, struct assay_error *err)
{
    return assay_rule_same(call, ASSAY_SET_FLOAT, err);
}

static enum assay_status infer_number(struct assay_op_call *call, struct assay_error *err)
{
    return assay_rule_same(call, ASSAY_SET_NUMBER, err);
}

static enum assay_status infer_signed(struct assay_op_call *call, struct assay_error *err)
{
    return assay_rule_same(call, ASSAY_SET_FLOAT | ASSAY_SET_SIGNED, err);
}

static enum assay_status infer_integer(struct assay_op_call *call, struct assay_error *err)
{
    return assay_rule_same(call, ASSAY_SET_INTEGER, err);
}

static enum assay_status infer_not(struct assay_op_call *call, struct assay_error *err)
{
    return assay_rule_same(call, ASSAY_SET_BOOL, err);
}

static enum assay_status infer_float_test(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = assay_rule_same(call, ASSAY_SET_FLOAT, err);
    call->outputs[0].dtype = ASSAY_BOOL;
    return st;
}

/* to[i] = expression in x, for all elements. */
#define MAP(type_in, type_out, expression)                                                                                       \
    do {                                                                                                                         \
        const type_in *restrict from = call->data[0]->data;                                                                      \
        type_out *restrict to = call->results[0].data;                                                                           \
        int64_t n = assay_tensor_count(call->data[0]);                                                                           \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            type_in x = from[i];                                                                                                 \
            to[i] = (type_out)(expression);                                                                                      \
        }                                                                                                                        \
    } while (0)

/* X(Op, expression for f32, expression for f64). rint rounds half to even, as nobody changes the rounding mode. */
#define FLOAT_FUNCTIONS(X)                                                                                                       \
    X(Acos, acosf(x), acos(x))                                                                                                   \
    X(Acosh, acoshf(x), acosh(x))                                                                                                \
    X(Asin, asinf(x), asin(x))                                                                                                   \
    X(Asinh, asinhf(x), asinh(x))                                                                                                \
    X(Atan, atanf(x), atan(x))                                                                                                   \
    X(Atanh, atanhf(x), atanh(x))                                                                                                \
    X(Ceil, ceilf(x), ceil(x))                                                                                                   \
    X(Cos, cosf(x), cos(x))                                                                                                      \
    X(Cosh, coshf(x), cosh(x))                                                                                                   \
    X(Erf, erff(x), erf(x))                                                                                                      \
    X(Exp, expf(x), exp(x))                                                                                                      \
    X(Floor, floorf(x), floor(x))                                                                                                \
    X(Log, logf(x), log(x))                                                                                                      \
    X(Reciprocal, 1.0f / x, 1.0 / x)                                                                                             \
    X(Round, rintf(x), rint(x))                                                                                                  \
    X(Sin, sinf(x), sin(x))                                                                                                      \
    X(Sinh, sinhf(x), sinh(x))                                                                                                   \
    X(Sqrt, sqrtf(x), sqrt(x))                                                                                                   \
    X(Tan, tanf(x), tan(x))                                                                                                      \
    X(Tanh, tanhf(x), tanh(x))

#define RUN(op, f32_expression, f64_expression)                                                                                  \
    static enum assay_status run_##op(struct assay_op_call *call, struct assay_error *err)                                       \
    {                                                                                                                            \
        (void)err;                                                                                                               \
        if (call->inputs[0].dtype == ASSAY_F64)                                                                                  \
            MAP(double, double, f64_expression);                                                                                 \
        else                                                                                                                     \
            MAP(float, float, f32_expression);                                                                                   \
        return ASSAY_OK;                                                                                                         \
    }
FLOAT_FUNCTIONS(RUN)
#undef RUN

static enum assay_status run_abs(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    switch (call->inputs[0].dtype) {
    case ASSAY_F32:
        MAP(float, float, fabsf(x));
        break;
    case ASSAY_F64:
        MAP(double, double, fabs(x));
        break;
#define X(name, type, wide)                                                                                                      \
    case ASSAY_##name:                                                                                                           \
        MAP(type, type, x < 0 ? (wide)0 - (wide)x : (wide)x);                                                                    \
        break;
        ASSAY_SIGNED_TYPES(X)
#undef X
    default: /* unsigned: nothing to do */
        memcpy(call->results[0].data, call->data[0]->data, (size_t)assay_tensor_bytes(call->data[0]));
    }
    return ASSAY_OK;
}

static enum assay_status run_neg(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    switch (call->inputs[0].dtype) {
    case ASSAY_F32:
        MAP(float, float, -x);
        break;
    case ASSAY_F64:
        MAP(double, double, -x);
        break;
#define X(name, type, wide)                                                                                                      \
    case ASSAY_##name:                                                                                                           \
        MAP(type, type, (wide)0 - (wide)x);                                                                                      \
        break;
        ASSAY_SIGNED_TYPES(X)
#undef X
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets through");
    }
    return ASSAY_OK;
}

static enum assay_status run_sign(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    switch (call->inputs[0].dtype) {
#define X(name, type, wide)                                                                                                      \
    case ASSAY_##name:                                                                                                           \
        MAP(type, type, x != x ? x : (type)((x > 0) - (x < 0)));                                                                 \
        break;
        ASSAY_REAL_TYPES(X)
#undef X
#define X(name, type, wide)                                                                                                      \
    case ASSAY_##name:                                                                                                           \
        MAP(type, type, (x > 0) - (x < 0));                                                                                      \
        break;
        ASSAY_SIGNED_TYPES(X)
#undef X
#define X(name, type, wide)                                                                                                      \
    case ASSAY_##name:                                                                                                           \
        MAP(type, type, x > 0);                                                                                                  \
        break;
        ASSAY_UNSIGNED_TYPES(X)
#undef X
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets through");
    }
    return ASSAY_OK;
}

static enum assay_status run_bitwise_not(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    switch (call->inputs[0].dtype) {
#define X(name, type, wide)                                                                                                      \
    case ASSAY_##name:                                                                                                           \
        MAP(type, type, ~(wide)x);                                                                                               \
        break;
        ASSAY_SIGNED_TYPES(X)
        ASSAY_UNSIGNED_TYPES(X)
#undef X
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets through");
    }
    return ASSAY_OK;
}

static enum assay_status run_not(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    MAP(uint8_t, uint8_t, x == 0);
    return ASSAY_OK;
}

static enum assay_status run_is_nan(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    if (call->inputs[0].dtype == ASSAY_F64)
        MAP(double, uint8_t, x != x);
    else
        MAP(float, uint8_t, x != x);
    return ASSAY_OK;
}

static enum assay_status run_is_inf(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    bool positive = assay_node_int(call->node, "detect_positive", 1), negative = assay_node_int(call->node, "detect_negative", 1);
    if (call->inputs[0].dtype == ASSAY_F64)
        MAP(double, uint8_t, (positive & (x == HUGE_VAL)) | (negative & (x == -HUGE_VAL)));
    else
        MAP(float, uint8_t, (positive & (x == HUGE_VALF)) | (negative & (x == -HUGE_VALF)));
    return ASSAY_OK;
}

const struct assay_op assay_ops_unary[] = {
#define X(op, f32_expression, f64_expression) {#op, "", 1, 1, ASSAY_OP_VIA_F32, infer_float, run_##op, assay_cost_per_output},
    FLOAT_FUNCTIONS(X)
#undef X
        {"Abs", "", 1, 1, ASSAY_OP_VIA_F32, infer_number, run_abs, assay_cost_per_output},
    {"BitwiseNot", "", 1, 1, 0, infer_integer, run_bitwise_not, assay_cost_per_output},
    {"IsInf", "", 1, 1, ASSAY_OP_VIA_F32, infer_float_test, run_is_inf, assay_cost_per_output},
    {"IsNaN", "", 1, 1, ASSAY_OP_VIA_F32, infer_float_test, run_is_nan, assay_cost_per_output},
    {"Neg", "", 1, 1, ASSAY_OP_VIA_F32, infer_signed, run_neg, assay_cost_per_output},
    {"Not", "", 1, 1, 0, infer_not, run_not, assay_cost_per_output},
    {"Sign", "", 1, 1, ASSAY_OP_VIA_F32, infer_number, run_sign, assay_cost_per_output},
    {0},
};
