/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops of two inputs that broadcast: arithmetic, comparison, logic and bits; and PRelu. Integer arithmetic wraps, as in NumPy, but
 * what has no result (x / 0, the smallest integer / -1, 0 to a negative power) is ASSAY_INVALID.
 */
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

#include <math.h>

static enum assay_status infer_same_dtype(struct assay_op_call *call, unsigned set, struct assay_error *err)
{
    enum assay_status st = assay_rule_dtype(call, 0, set, err);
    if (!st)
        st = assay_rule_same_dtype(call, 0, 1, err);
    if (!st)
        st = assay_rule_broadcast(&call->inputs[0], &call->inputs[1], &call->outputs[0], err);
    call->outputs[0].dtype = call->inputs[0].dtype ? call->inputs[0].dtype : call->inputs[1].dtype;
    return st;
}

static enum assay_status infer_arithmetic(struct assay_op_call *call, struct assay_error *err)
{
    return infer_same_dtype(call, ASSAY_SET_NUMBER, err);
}

static enum assay_status infer_logic(struct assay_op_call *call, struct assay_error *err)
{
    return infer_same_dtype(call, ASSAY_SET_BOOL, err);
}

static enum assay_status infer_bits(struct assay_op_call *call, struct assay_error *err)
{
    return infer_same_dtype(call, ASSAY_SET_INTEGER, err);
}

static enum assay_status infer_compare(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = infer_same_dtype(call, ASSAY_SET_NUMBER, err);
    call->outputs[0].dtype = ASSAY_BOOL;
    return st;
}

static enum assay_status infer_equal(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = infer_same_dtype(call, ASSAY_SET_ANY, err);
    call->outputs[0].dtype = ASSAY_BOOL;
    return st;
}

static enum assay_status infer_mod(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_dtype dtype = call->inputs[0].dtype;
    if (dtype != ASSAY_NO_DTYPE && assay_dtype_is_float(dtype) && !assay_node_int(call->node, "fmod", 0))
        return assay_error_set(err, ASSAY_INVALID, "fmod must be 1 for %s", assay_dtype_word((int)dtype));
    return infer_same_dtype(call, ASSAY_SET_NUMBER, err);
}

static enum assay_status infer_shift(struct assay_op_call *call, struct assay_error *err)
{
    const char *direction = assay_node_string(call->node, "direction", "");
    if (strcmp(direction, "LEFT") != 0 && strcmp(direction, "RIGHT") != 0)
        return assay_error_set(err, ASSAY_INVALID, "direction must be LEFT or RIGHT, not '%s'", direction);
    return infer_same_dtype(call, ASSAY_SET_UNSIGNED, err);
}

/*
 * The frame of every kernel here: calculates `expression` in x and y, one inner loop at a time. In an inner loop of a broadcast,
 * an operand either moves on by one or stands still, and both stand still only where there is but one element.
 */
#define EACH(type_a, type_b, type_out, expression)                                                                               \
    do {                                                                                                                         \
        const struct assay_type *types[2] = {&call->data[0]->type, &call->data[1]->type};                                        \
        type_out *restrict to = call->results[0].data;                                                                           \
        struct assay_walk walk;                                                                                                  \
        for (assay_walk_broadcast(&walk, &call->outputs[0], 2, types); walk.more; assay_walk_next(&walk)) {                      \
            const type_a *restrict a = (const type_a *)call->data[0]->data + walk.offset[0];                                     \
            const type_b *restrict b = (const type_b *)call->data[1]->data + walk.offset[1];                                     \
            if (walk.step[0] == 0) {                                                                                             \
                type_a x = a[0];                                                                                                 \
                for (int64_t i = 0; i < walk.n; i++) {                                                                           \
                    type_b y = b[i];                                                                                             \
                    to[i] = (type_out)(expression);                                                                              \
                }                                                                                                                \
            } else if (walk.step[1] == 0) {                                                                                      \
                type_b y = b[0];                                                                                                 \
                for (int64_t i = 0; i < walk.n; i++) {                                                                           \
                    type_a x = a[i];                                                                                             \
                    to[i] = (type_out)(expression);                                                                              \
                }                                                                                                                \
            } else {                                                                                                             \
                for (int64_t i = 0; i < walk.n; i++) {                                                                           \
                    type_a x = a[i];                                                                                             \
                    type_b y = b[i];                                                                                             \
                    to[i] = (type_out)(expression);                                                                              \
                }                                                                                                                \
            }                                                                                                                    \
            to += walk.n;                                                                                                        \
        }                                                                                                                        \
    } while (0)

/* Cases of a switch over the dtype: CASE(NAME, type, type to calculate in, operator). */
#define REAL_CASES(CASE, op)                                                                                                     \
    CASE(F32, float, float, op)                                                                                                  \
    CASE(F64, double, double, op)
#define SIGNED_CASES(CASE, op)                                                                                                   \
    CASE(I8, int8_t, uint32_t, op)                                                                                               \
    CASE(I16, int16_t, uint32_t, op)                                                                                             \
    CASE(I32, int32_t, uint32_t, op)                                                                                             \
    CASE(I64, int64_t, uint64_t, op)
#define UNSIGNED_CASES(CASE, op)                                                                                                 \
    CASE(U8, uint8_t, uint32_t, op)                                                                                              \
    CASE(U16, uint16_t, uint32_t, op)                                                                                            \
    CASE(U32, uint32_t, uint32_t, op)                                                                                            \
    CASE(U64, uint64_t, uint64_t, op)
#define INTEGER_CASES(CASE, op) SIGNED_CASES(CASE, op) UNSIGNED_CASES(CASE, op)
#define NUMBER_CASES(CASE, op) REAL_CASES(CASE, op) INTEGER_CASES(CASE, op)
#define BOOL_CASES(CASE, op) CASE(BOOL, uint8_t, uint8_t, op)

#define ARITHMETIC(name, type, wide, op)                                                                                         \
    case ASSAY_##name:                                                                                                           \
        EACH(type, type, type, (wide)x op(wide) y);                                                                              \
        break;
#define COMPARE(name, type, wide, op)                                                                                            \
    case ASSAY_##name:                                                                                                           \
        EACH(type, type, uint8_t, x op y);                                                                                       \
        break;
#define LOGIC(name, type, wide, op)                                                                                              \
    case ASSAY_##name:                                                                                                           \
        EACH(type, type, type, (x != 0) op(y != 0));                                                                             \
        break;

#define RUN(name, cases)                                                                                                         \
    static enum assay_status run_##name(struct assay_op_call *call, struct assay_error *err)                                     \
    {                                                                                                                            \
        (void)err;                                                                                                               \
        switch (call->inputs[0].dtype) {                                                                                         \
            cases;                                                                                                               \
        default:                                                                                                                 \
            ASSAY_ASSERT(!"a dtype that the rule lets through");                                                                 \
        }                                                                                                                        \
        return ASSAY_OK;                                                                                                         \
    }

RUN(add, NUMBER_CASES(ARITHMETIC, +))
RUN(sub, NUMBER_CASES(ARITHMETIC, -))
RUN(mul, NUMBER_CASES(ARITHMETIC, *))
RUN(and, BOOL_CASES(LOGIC, &))
RUN(or, BOOL_CASES(LOGIC, |))
RUN(xor, BOOL_CASES(LOGIC, ^))
RUN(bitwise_and, INTEGER_CASES(ARITHMETIC, &))
RUN(bitwise_or, INTEGER_CASES(ARITHMETIC, |))
RUN(bitwise_xor, INTEGER_CASES(ARITHMETIC, ^))
RUN(equal, NUMBER_CASES(COMPARE, ==) BOOL_CASES(LOGIC, ==))
RUN(greater, NUMBER_CASES(COMPARE, >))
RUN(greater_or_equal, NUMBER_CASES(COMPARE, >=))
RUN(less, NUMBER_CASES(COMPARE, <))
RUN(less_or_equal, NUMBER_CASES(COMPARE, <=))

/* Shifting by the width or more leaves nothing, where C says nothing. */
#define SHIFT(name, type, wide, op)                                                                                              \
    case ASSAY_##name:                                                                                                           \
        EACH(type, type, type, y < 8 * sizeof(type) ? (wide)x op y : 0);                                                         \
        break;
RUN(shift_left, UNSIGNED_CASES(SHIFT, <<))
RUN(shift_right, UNSIGNED_CASES(SHIFT, >>))

static enum assay_status run_shift(struct assay_op_call *call, struct assay_error *err)
{
    bool left = strcmp(assay_node_string(call->node, "direction", ""), "LEFT") == 0;
    return left ? run_shift_left(call, err) : run_shift_right(call, err);
}

/* Integer division and its remainders; what doesn't exist sets *bad. `floor_mod` has the sign of the divisor, as Python's,
 * `trunc_mod` that of the dividend, as C's. */
#define X(name, type, wide)                                                                                                      \
    static inline type div_##name(type x, type y, bool *bad)                                                                     \
    {                                                                                                                            \
        bool overflows = y == -1 && x < 0 && x == (type)((wide)0 - (wide)x);                                                     \
        if (y == 0 || overflows) {                                                                                               \
            *bad = true;                                                                                                         \
            return 0;                                                                                                            \
        }                                                                                                                        \
        return (type)(x / y);                                                                                                    \
    }                                                                                                                            \
    static inline type trunc_mod_##name(type x, type y, bool *bad)                                                               \
    {                                                                                                                            \
        *bad |= y == 0;                                                                                                          \
        return y == 0 || y == -1 ? 0 : (type)(x % y);                                                                            \
    }                                                                                                                            \
    static inline type floor_mod_##name(type x, type y, bool *bad)                                                               \
    {                                                                                                                            \
        type r = trunc_mod_##name(x, y, bad);                                                                                    \
        return r != 0 && (r < 0) != (y < 0) ? (type)(r + y) : r;                                                                 \
    }
ASSAY_SIGNED_TYPES(X)
#undef X
#define X(name, type, wide)                                                                                                      \
    static inline type div_##name(type x, type y, bool *bad)                                                                     \
    {                                                                                                                            \
        *bad |= y == 0;                                                                                                          \
        return y == 0 ? 0 : (type)(x / y);                                                                                       \
    }                                                                                                                            \
    static inline type trunc_mod_##name(type x, type y, bool *bad)                                                               \
    {                                                                                                                            \
        *bad |= y == 0;                                                                                                          \
        return y == 0 ? 0 : (type)(x % y);                                                                                       \
    }                                                                                                                            \
    static inline type floor_mod_##name(type x, type y, bool *bad) { return trunc_mod_##name(x, y, bad); }
ASSAY_UNSIGNED_TYPES(X)
#undef X

#define CHECKED(name, type, wide, function)                                                                                      \
    case ASSAY_##name:                                                                                                           \
        EACH(type, type, type, function##_##name(x, y, &bad));                                                                   \
        break;

static enum assay_status run_div(struct assay_op_call *call, struct assay_error *err)
{
    bool bad = false;
    switch (call->inputs[0].dtype) {
        REAL_CASES(ARITHMETIC, /)
        INTEGER_CASES(CHECKED, div)
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets through");
    }
    if (bad)
        return assay_error_set(err, ASSAY_INVALID, "an integer is divided by zero, or the smallest one by -1");
    return ASSAY_OK;
}

static enum assay_status run_mod(struct assay_op_call *call, struct assay_error *err)
{
    bool bad = false, sign_of_dividend = assay_node_int(call->node, "fmod", 0);
    enum assay_dtype dtype = call->inputs[0].dtype;
    if (dtype == ASSAY_F32)
        EACH(float, float, float, fmodf(x, y));
    else if (dtype == ASSAY_F64)
        EACH(double, double, double, fmod(x, y));
    else if (sign_of_dividend)
        switch (dtype) {
            INTEGER_CASES(CHECKED, trunc_mod)
        default:
            ASSAY_ASSERT(!"a dtype that the rule lets through");
        }
    else
        switch (dtype) {
            INTEGER_CASES(CHECKED, floor_mod)
        default:
            ASSAY_ASSERT(!"a dtype that the rule lets through");
        }
    if (bad)
        return assay_error_set(err, ASSAY_INVALID, "the remainder of a division by integer zero does not exist");
    return ASSAY_OK;
}

static enum assay_status infer_pow(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT | ASSAY_SET_INDEX, err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_SET_NUMBER, err);
    if (!st)
        st = assay_rule_broadcast(&call->inputs[0], &call->inputs[1], &call->outputs[0], err);
    call->outputs[0].dtype = call->inputs[0].dtype;
    return st;
}

/* By squaring, modulo 2^64. A negative power of 1 and -1 exists, of 0 it doesn't, of others it is rounded towards 0. */
static int64_t power(int64_t base, int64_t exponent, bool *bad)
{
    if (exponent < 0) {
        *bad |= base == 0;
        return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
    }
    uint64_t result = 1, square = (uint64_t)base;
    for (uint64_t left = (uint64_t)exponent; left > 0; left >>= 1) {
        if (left & 1)
            result *= square;
        square *= square;
    }
    return (int64_t)result;
}

/* An integer to the power of a real number, rounded towards 0; *bad if it isn't below 2^bits. */
static int64_t real_power(int64_t base, double exponent, int bits, bool *bad)
{
    double result = trunc(pow((double)base, exponent)), limit = ldexp(1, bits);
    if (!(result >= -limit && result < limit)) {
        *bad = true;
        return 0;
    }
    return (int64_t)result;
}

/* The exponent comes as f32, f64 or i64. */
static enum assay_status power_kernel(struct assay_op_call *call, struct assay_error *err)
{
    bool bad = false;
    enum assay_dtype base = call->data[0]->type.dtype, exponent = call->data[1]->type.dtype;
    bool square = exponent == ASSAY_F32 && assay_tensor_count(call->data[1]) == 1 && assay_tensor_real(call->data[1], 0) == 2;
    if (base == ASSAY_F32 && square)
        EACH(float, float, float, ((void)y, x * x));
    else if (base == ASSAY_F32 && exponent == ASSAY_F32)
        EACH(float, float, float, powf(x, y));
    else if (base == ASSAY_F32 && exponent == ASSAY_F64)
        EACH(float, double, float, pow(x, y));
    else if (base == ASSAY_F32)
        EACH(float, int64_t, float, pow(x, (double)y));
    else if (base == ASSAY_F64 && exponent == ASSAY_F32)
        EACH(double, float, double, pow(x, y));
    else if (base == ASSAY_F64 && exponent == ASSAY_F64)
        EACH(double, double, double, pow(x, y));
    else if (base == ASSAY_F64)
        EACH(double, int64_t, double, pow(x, (double)y));
    else if (base == ASSAY_I32 && exponent == ASSAY_I64)
        EACH(int32_t, int64_t, int32_t, power(x, y, &bad));
    else if (base == ASSAY_I64 && exponent == ASSAY_I64)
        EACH(int64_t, int64_t, int64_t, power(x, y, &bad));
    else if (base == ASSAY_I32 && exponent == ASSAY_F32)
        EACH(int32_t, float, int32_t, real_power(x, y, 31, &bad));
    else if (base == ASSAY_I64 && exponent == ASSAY_F32)
        EACH(int64_t, float, int64_t, real_power(x, y, 63, &bad));
    else if (base == ASSAY_I32)
        EACH(int32_t, double, int32_t, real_power(x, y, 31, &bad));
    else
        EACH(int64_t, double, int64_t, real_power(x, y, 63, &bad));
    if (bad)
        return assay_error_set(err, ASSAY_INVALID, "0 to a negative power, or a power that is no %s",
                               assay_dtype_word((int)base));
    return ASSAY_OK;
}

static enum assay_status run_pow(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *exponent = call->data[1];
    enum assay_dtype dtype = exponent->type.dtype;
    if (dtype == ASSAY_F32 || dtype == ASSAY_F64 || dtype == ASSAY_I64)
        return power_kernel(call, err);
    /* A u64 beyond i64's range would turn negative; as f64 it keeps its size, which is all that matters to a float. */
    bool to_f64 = dtype == ASSAY_U64 && assay_dtype_is_float(call->inputs[0].dtype);
    if (dtype == ASSAY_U64 && !to_f64)
        for (int64_t i = 0, n = assay_tensor_count(exponent); i < n; i++)
            if (((const uint64_t *)exponent->data)[i] > INT64_MAX)
                return assay_error_set(err, ASSAY_UNSUPPORTED, "an integer to a power of 2^63 or more is not supported");
    struct assay_tensor converted = {0};
    const struct assay_tensor *data[2] = {call->data[0], &converted};
    struct assay_op_call inner = *call;
    inner.data = data;
    enum assay_status st = assay_tensor_convert(&converted, exponent, to_f64 ? ASSAY_F64 : ASSAY_I64, err);
    if (!st)
        st = power_kernel(&inner, err);
    assay_tensor_release(&converted);
    return st;
}

static enum assay_status infer_prelu(struct assay_op_call *call, struct assay_error *err)
{
    unsigned set = ASSAY_SET_FLOAT | ASSAY_SET_INDEX | ASSAY_DTYPE_BIT(ASSAY_U32) | ASSAY_DTYPE_BIT(ASSAY_U64);
    enum assay_status st = infer_same_dtype(call, set, err);
    const struct assay_type *x = &call->inputs[0], *shape = &call->outputs[0];
    if (!st && assay_type_is_known(shape) && assay_type_is_known(x) && !assay_type_equal(x, shape))
        st = assay_error_set(err, ASSAY_INVALID, "the slope must broadcast to the shape of the input");
    if (!st)
        call->outputs[0] = *x;
    return st;
}

#define PRELU(name, type, wide, op)                                                                                              \
    case ASSAY_##name:                                                                                                           \
        EACH(type, type, type, x < 0 ? (wide)x * (wide)y : (wide)x);                                                             \
        break;
#define FIRST(name, type, wide, op)                                                                                              \
    case ASSAY_##name:                                                                                                           \
        EACH(type, type, type, ((void)y, x));                                                                                    \
        break;
RUN(prelu, REAL_CASES(PRELU, ) SIGNED_CASES(PRELU, ) UNSIGNED_CASES(FIRST, ))

/* ---- gradients */

static void gradient_add(struct assay_gradient *g)
{
    g_set(g, 0, g->out[0]);
    g_set(g, 1, g->out[0]);
}

static void gradient_sub(struct assay_gradient *g)
{
    g_set(g, 0, g->out[0]);
    if (g_wants(g, 1))
        g_set(g, 1, e_unary(g->e, "Neg", g->out[0]));
}

static void gradient_mul(struct assay_gradient *g)
{
    if (g_wants(g, 0))
        g_set(g, 0, e_mul(g->e, g->out[0], g_input(g, 1)));
    if (g_wants(g, 1))
        g_set(g, 1, e_mul(g->e, g->out[0], g_input(g, 0)));
}

/* d(a/b) = da/b - (a/b) db/b */
static void gradient_div(struct assay_gradient *g)
{
    int share = e_div(g->e, g->out[0], g_input(g, 1));
    g_set(g, 0, share);
    if (g_wants(g, 1))
        g_set(g, 1, e_unary(g->e, "Neg", e_mul(g->e, share, g_output(g, 0))));
}

/* d(aᵇ) = b aᵇ⁻¹ da + aᵇ ln a db; the exponent may be of another dtype, and is rarely learned. */
static void gradient_pow(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int a = g_input(g, 0), b = e_cast(e, g_input(g, 1), g_type(g, 0)->dtype);
    if (g_wants(g, 0)) {
        int less = e_sub(e, b, e_number(e, 1, b));
        g_set(g, 0, e_mul(e, g->out[0], e_mul(e, b, e_op(e, "Pow", E_VALUES(a, less)))));
    }
    if (g_wants(g, 1)) {
        int d = e_mul(e, g->out[0], e_mul(e, g_output(g, 0), e_unary(e, "Log", a)));
        g_set(g, 1, e_cast(e, d, g_type(g, 1)->dtype));
    }
}

/* a mod b = a - b q, q a whole number that stays the same: db = -q da. */
static void gradient_mod(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    g_set(g, 0, g->out[0]);
    if (g_wants(g, 1)) {
        int whole = e_unary(e, "Round", e_div(e, e_sub(e, g_output(g, 0), g_input(g, 0)), g_input(g, 1)));
        g_set(g, 1, e_mul(e, g->out[0], whole));
    }
}

static void gradient_prelu(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int x = g_input(g, 0), dy = g->out[0], positive = e_compare(e, "Greater", x, 0);
    if (g_wants(g, 0))
        g->in[0] = e_where(e, positive, dy, e_mul(e, dy, g_input(g, 1)));
    if (g_wants(g, 1))
        g_set(g, 1, e_drop(e, positive, e_mul(e, dy, x)));
}

const struct assay_op assay_ops_binary[] = {
    {"Add", "", 2, 2, ASSAY_OP_VIA_F32, infer_arithmetic, run_add, assay_cost_per_output, gradient_add},
    {"And", "", 2, 2, 0, infer_logic, run_and, assay_cost_per_output},
    {"BitShift", "", 2, 2, 0, infer_shift, run_shift, assay_cost_per_output},
    {"BitwiseAnd", "", 2, 2, 0, infer_bits, run_bitwise_and, assay_cost_per_output},
    {"BitwiseOr", "", 2, 2, 0, infer_bits, run_bitwise_or, assay_cost_per_output},
    {"BitwiseXor", "", 2, 2, 0, infer_bits, run_bitwise_xor, assay_cost_per_output},
    {"Div", "", 2, 2, ASSAY_OP_VIA_F32, infer_arithmetic, run_div, assay_cost_per_output, gradient_div},
    {"Equal", "", 2, 2, ASSAY_OP_VIA_F32, infer_equal, run_equal, assay_cost_per_output},
    {"Greater", "", 2, 2, ASSAY_OP_VIA_F32, infer_compare, run_greater, assay_cost_per_output},
    {"GreaterOrEqual", "", 2, 2, ASSAY_OP_VIA_F32, infer_compare, run_greater_or_equal, assay_cost_per_output},
    {"Less", "", 2, 2, ASSAY_OP_VIA_F32, infer_compare, run_less, assay_cost_per_output},
    {"LessOrEqual", "", 2, 2, ASSAY_OP_VIA_F32, infer_compare, run_less_or_equal, assay_cost_per_output},
    {"Mod", "", 2, 2, ASSAY_OP_VIA_F32, infer_mod, run_mod, assay_cost_per_output, gradient_mod},
    {"Mul", "", 2, 2, ASSAY_OP_VIA_F32, infer_arithmetic, run_mul, assay_cost_per_output, gradient_mul},
    {"Or", "", 2, 2, 0, infer_logic, run_or, assay_cost_per_output},
    {"PRelu", "", 2, 2, ASSAY_OP_VIA_F32, infer_prelu, run_prelu, assay_cost_per_output, gradient_prelu},
    {"Pow", "", 2, 2, ASSAY_OP_VIA_F32, infer_pow, run_pow, assay_cost_per_output, gradient_pow},
    {"Sub", "", 2, 2, ASSAY_OP_VIA_F32, infer_arithmetic, run_sub, assay_cost_per_output, gradient_sub},
    {"Xor", "", 2, 2, 0, infer_logic, run_xor, assay_cost_per_output},
    {0},
};
