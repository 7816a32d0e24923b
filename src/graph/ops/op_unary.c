/* SPDX-License-Identifier: Apache-2.0 */
/* Ops of one input, element by element, without parameters: the elementary functions, rounding, sign, and tests of floats. */
#include "graph/ops/rules.h"
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

/* X(Op, expression for f32, expression for f64, flags, gradient). rint rounds half to even, as nobody changes the rounding mode.
 */
#define FLOAT_FUNCTIONS(X)                                                                                                       \
    X(Acos, acosf(x), acos(x), 0, gradient_acos)                                                                                 \
    X(Acosh, acoshf(x), acosh(x), 0, gradient_acosh)                                                                             \
    X(Asin, asinf(x), asin(x), 0, gradient_asin)                                                                                 \
    X(Asinh, asinhf(x), asinh(x), 0, gradient_asinh)                                                                             \
    X(Atan, atanf(x), atan(x), 0, gradient_atan)                                                                                 \
    X(Atanh, atanhf(x), atanh(x), 0, gradient_atanh)                                                                             \
    X(Ceil, ceilf(x), ceil(x), ASSAY_OP_FLAT, NULL)                                                                              \
    X(Cos, cosf(x), cos(x), 0, gradient_cos)                                                                                     \
    X(Cosh, coshf(x), cosh(x), 0, gradient_cosh)                                                                                 \
    X(Erf, erff(x), erf(x), 0, gradient_erf)                                                                                     \
    X(Exp, expf(x), exp(x), 0, gradient_exp)                                                                                     \
    X(Floor, floorf(x), floor(x), ASSAY_OP_FLAT, NULL)                                                                           \
    X(Log, logf(x), log(x), 0, gradient_log)                                                                                     \
    X(Reciprocal, 1.0f / x, 1.0 / x, 0, gradient_reciprocal)                                                                     \
    X(Round, rintf(x), rint(x), ASSAY_OP_FLAT, NULL)                                                                             \
    X(Sin, sinf(x), sin(x), 0, gradient_sin)                                                                                     \
    X(Sinh, sinhf(x), sinh(x), 0, gradient_sinh)                                                                                 \
    X(Sqrt, sqrtf(x), sqrt(x), 0, gradient_sqrt)                                                                                 \
    X(Tan, tanf(x), tan(x), 0, gradient_tan)                                                                                     \
    X(Tanh, tanhf(x), tanh(x), 0, gradient_tanh)

#define RUN(op, f32_expression, f64_expression, more_flags, gradient)                                                            \
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

/* ---- gradients */

#define RULE(op, expression)                                                                                                     \
    static void gradient_##op(struct assay_gradient *g)                                                                          \
    {                                                                                                                            \
        struct assay_emit *e = g->e;                                                                                             \
        int x = g_input(g, 0), y = g_output(g, 0), dy = g->out[0];                                                               \
        (void)x;                                                                                                                 \
        (void)y;                                                                                                                 \
        g->in[0] = expression;                                                                                                   \
    }
RULE(abs, e_mul(e, dy, e_unary(e, "Sign", x)))
RULE(acos, e_unary(e, "Neg", e_div(e, dy, e_unary(e, "Sqrt", e_from(e, 1, e_square(e, x))))))
RULE(acosh, e_div(e, dy, e_unary(e, "Sqrt", e_plus(e, e_square(e, x), -1))))
RULE(asin, e_div(e, dy, e_unary(e, "Sqrt", e_from(e, 1, e_square(e, x)))))
RULE(asinh, e_div(e, dy, e_unary(e, "Sqrt", e_plus(e, e_square(e, x), 1))))
RULE(atan, e_div(e, dy, e_plus(e, e_square(e, x), 1)))
RULE(atanh, e_div(e, dy, e_from(e, 1, e_square(e, x))))
RULE(cos, e_unary(e, "Neg", e_mul(e, dy, e_unary(e, "Sin", x))))
RULE(cosh, e_mul(e, dy, e_unary(e, "Sinh", x)))
RULE(erf, e_mul(e, dy, e_scale(e, e_unary(e, "Exp", e_unary(e, "Neg", e_square(e, x))), M_2_SQRTPI)))
RULE(exp, e_mul(e, dy, y))
RULE(log, e_div(e, dy, x))
RULE(neg, e_unary(e, "Neg", dy))
RULE(reciprocal, e_unary(e, "Neg", e_mul(e, dy, e_square(e, y))))
RULE(sin, e_mul(e, dy, e_unary(e, "Cos", x)))
RULE(sinh, e_mul(e, dy, e_unary(e, "Cosh", x)))
RULE(sqrt, e_div(e, e_scale(e, dy, 0.5), y))
RULE(tan, e_mul(e, dy, e_plus(e, e_square(e, y), 1)))
RULE(tanh, e_mul(e, dy, e_from(e, 1, e_square(e, y))))

const struct assay_op assay_ops_unary[] = {
#define X(op, f32_expression, f64_expression, more_flags, gradient)                                                              \
    {#op, "", 1, 1, ASSAY_OP_VIA_F32 | (more_flags), infer_float, run_##op, assay_cost_per_output, gradient},
    FLOAT_FUNCTIONS(X)
#undef X
        {"Abs", "", 1, 1, ASSAY_OP_VIA_F32, infer_number, run_abs, assay_cost_per_output, gradient_abs},
    {"BitwiseNot", "", 1, 1, 0, infer_integer, run_bitwise_not, assay_cost_per_output},
    {"IsInf", "", 1, 1, ASSAY_OP_VIA_F32, infer_float_test, run_is_inf, assay_cost_per_output},
    {"IsNaN", "", 1, 1, ASSAY_OP_VIA_F32, infer_float_test, run_is_nan, assay_cost_per_output},
    {"Neg", "", 1, 1, ASSAY_OP_VIA_F32, infer_signed, run_neg, assay_cost_per_output, gradient_neg},
    {"Not", "", 1, 1, 0, infer_not, run_not, assay_cost_per_output},
    {"Sign", "", 1, 1, ASSAY_OP_VIA_F32 | ASSAY_OP_FLAT, infer_number, run_sign, assay_cost_per_output},
    {0},
};
