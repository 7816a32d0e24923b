/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of vector.h: a switch for each block of elements, a vectorized loop behind each case. */
#include "runtime/native/simd/simd_inside.h"

#include <math.h>

#define LOOP(statement)                                                                                                          \
    {                                                                                                                            \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) { statement; }                                                       \
        break;                                                                                                                   \
    }
#define SERIAL(statement)                                                                                                        \
    {                                                                                                                            \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            statement;                                                                                                           \
        }                                                                                                                        \
        break;                                                                                                                   \
    }

#define UNARY(name, from, to, expression)                                                                                        \
    case NATIVE_V_##name: {                                                                                                      \
        const from *px = (const from *)at[op->x[0]];                                                                             \
        to *py = (to *)at[op->y];                                                                                                \
        LOOP(from x = px[i]; py[i] = (to)(expression))                                                                           \
    }
#define UNARY_SERIAL(name, from, to, expression)                                                                                 \
    case NATIVE_V_##name: {                                                                                                      \
        const from *px = (const from *)at[op->x[0]];                                                                             \
        to *py = (to *)at[op->y];                                                                                                \
        SERIAL(from x = px[i]; py[i] = (to)(expression))                                                                         \
    }
/* An argument that is one element stays in a register. */
#define BINARY_BY(LOOP_, name, from, to, expression)                                                                             \
    case NATIVE_V_##name: {                                                                                                      \
        const from *px = (const from *)at[op->x[0]], *pz = (const from *)at[op->x[1]];                                           \
        to *py = (to *)at[op->y];                                                                                                \
        if (op->scalars & 1) {                                                                                                   \
            from x = px[0];                                                                                                      \
            LOOP_(from z = pz[i]; py[i] = (to)(expression))                                                                      \
        } else if (op->scalars & 2) {                                                                                            \
            from z = pz[0];                                                                                                      \
            LOOP_(from x = px[i]; py[i] = (to)(expression))                                                                      \
        } else                                                                                                                   \
            LOOP_(from x = px[i]; from z = pz[i]; py[i] = (to)(expression))                                                      \
    }
#define BINARY(name, from, to, expression) BINARY_BY(LOOP, name, from, to, expression)
#define COPY(name, type)                                                                                                         \
    case NATIVE_V_##name: {                                                                                                      \
        const type *px = (const type *)at[op->x[0]];                                                                             \
        type *py = (type *)at[op->y];                                                                                            \
        if (op->scalars) {                                                                                                       \
            type x = px[0];                                                                                                      \
            LOOP(py[i] = x)                                                                                                      \
        }                                                                                                                        \
        memmove(py, px, (size_t)n * sizeof *py);                                                                                 \
        break;                                                                                                                   \
    }
#define WHERE(name, type)                                                                                                        \
    case NATIVE_V_##name: {                                                                                                      \
        const uint8_t *pc = (const uint8_t *)at[op->x[0]];                                                                       \
        const type *px = (const type *)at[op->x[1]], *pz = (const type *)at[op->x[2]];                                           \
        type *py = (type *)at[op->y];                                                                                            \
        if (op->scalars & 1) {                                                                                                   \
            const type *from = pc[0] ? px : pz;                                                                                  \
            unsigned bit = pc[0] ? 2 : 4;                                                                                        \
            if (op->scalars & bit)                                                                                               \
                LOOP(py[i] = from[0])                                                                                            \
            else                                                                                                                 \
                LOOP(py[i] = from[i])                                                                                            \
        } else if ((op->scalars & 6) == 6) {                                                                                     \
            type x = px[0], z = pz[0];                                                                                           \
            LOOP(py[i] = pc[i] ? x : z)                                                                                          \
        } else if (op->scalars & 2) {                                                                                            \
            type x = px[0];                                                                                                      \
            LOOP(type z = pz[i]; py[i] = pc[i] ? x : z)                                                                          \
        } else if (op->scalars & 4) {                                                                                            \
            type z = pz[0];                                                                                                      \
            LOOP(type x = px[i]; py[i] = pc[i] ? x : z)                                                                          \
        } else                                                                                                                   \
            LOOP(type x = px[i]; type z = pz[i]; py[i] = pc[i] ? x : z)                                                          \
    }

static inline float bounded(float x, float low, float high) { return x < low ? low : x > high ? high : x; }
/* NaN if either is. */
static inline float larger(float x, float z) { return x > z || x != x ? x : z; }
static inline float smaller(float x, float z) { return x < z || x != x ? x : z; }
/* log(1 + e^x), by the small side of e^-|x|, where 1 + e would lose digits by its series. */
static inline float softplus(float x)
{
    float e = simd_exp(x < 0 ? x : -x), u = 1.0f + e, d = u - 1.0f;
    float log1p = d == 0 ? e : simd_log(u) * (e / d);
    return log1p + (x < 0 ? 0 : x);
}
/* e^x - 1 for x ≤ 0: near 0 by Taylor's series, where the difference would cancel. */
static inline float expm1_below(float x)
{
    float c = x < 0 ? x : 0, p = 1 / 40320.f;
    p = p * c + 1 / 5040.f;
    p = p * c + 1 / 720.f;
    p = p * c + 1 / 120.f;
    p = p * c + 1 / 24.f;
    p = p * c + 1 / 6.f;
    p = p * c + 0.5f;
    float near = p * c * c + c;
    return x > -0.5f ? near : simd_exp(x) - 1.0f;
}
static inline int64_t integer_of(float x)
{
    return x >= 9223372036854775808.f ? INT64_MAX : x <= -9223372036854775808.f ? INT64_MIN : x != x ? 0 : (int64_t)x;
}

static void run_real(const struct native_vector *op, char *const *at, int64_t n)
{
    float a = op->a, b = op->b;
    switch (op->op) {
        COPY(COPY_F, float)
        UNARY(NEG, float, float, -x)
        UNARY(ABS, float, float, fabsf(x))
        UNARY(SIGN, float, float, x > 0 ? 1.0f : x < 0 ? -1.0f : x)
        UNARY(SQRT, float, float, sqrtf(x))
        UNARY(SQUARE, float, float, x *x)
        UNARY(CUBE, float, float, x *x *x)
        UNARY(RECIPROCAL, float, float, 1.0f / x)
        UNARY(FLOOR, float, float, floorf(x))
        UNARY(CEIL, float, float, ceilf(x))
        UNARY(ROUND, float, float, rintf(x))
        UNARY(EXP, float, float, simd_exp(x))
        UNARY(LOG, float, float, simd_log(x))
        UNARY_SERIAL(SIN, float, float, sinf(x))
        UNARY_SERIAL(COS, float, float, cosf(x))
        UNARY(ERF, float, float, simd_erf(x))
        UNARY(TANH, float, float, simd_tanh(x))
        UNARY(SIGMOID, float, float, simd_sigmoid(x))
        UNARY(SOFTPLUS, float, float, softplus(x))
        UNARY(SOFTSIGN, float, float, x / (1.0f + fabsf(x)))
        UNARY(MISH, float, float, x *simd_tanh(softplus(x)))
        UNARY(GELU, float, float, simd_gelu(x))
        UNARY(GELU_TANH, float, float, simd_gelu_tanh(x))
        UNARY(RELU, float, float, x < 0 ? 0 : x)
        UNARY(HARD_SWISH, float, float, x *bounded(x * (1 / 6.f) + 0.5f, 0, 1))
        UNARY(SWISH, float, float, x *simd_sigmoid(a * x))
        UNARY(LEAKY_RELU, float, float, x < 0 ? a * x : x)
        UNARY(ELU, float, float, x < 0 ? a * expm1_below(x) : x)
        UNARY(HARD_SIGMOID, float, float, bounded(a * x + b, 0, 1))
        UNARY(CLIP, float, float, simd_bounded(x, a, b))
        UNARY(LINEAR, float, float, a *x + b)
        UNARY(IS_NAN, float, uint8_t, x != x)
        BINARY(ADD, float, float, x + z)
        BINARY(SUB, float, float, x - z)
        BINARY(MUL, float, float, x *z)
        BINARY(DIV, float, float, x / z)
        BINARY(MAX, float, float, larger(x, z))
        BINARY(MIN, float, float, smaller(x, z))
        BINARY_BY(SERIAL, POW, float, float, powf(x, z))
        BINARY_BY(SERIAL, FMOD, float, float, fmodf(x, z))
        BINARY(PRELU, float, float, x < 0 ? x * z : x)
        BINARY(SWIGLU, float, float, x *simd_sigmoid(x) * z)
        BINARY(EQUAL, float, uint8_t, x == z)
        BINARY(LESS, float, uint8_t, x < z)
        BINARY(LESS_EQUAL, float, uint8_t, x <= z)
        WHERE(WHERE_F, float)
    case NATIVE_V_MULADD: {
        const float *px = (const float *)at[op->x[0]], *pz = (const float *)at[op->x[1]], *pw = (const float *)at[op->x[2]];
        float *py = (float *)at[op->y], z = pz[0], w = pw[0];
        switch (op->scalars) {
        case 6:
            LOOP(py[i] = px[i] * z + w)
        case 4:
            LOOP(py[i] = px[i] * pz[i] + w)
        case 2:
            LOOP(py[i] = px[i] * z + pw[i])
        default:
            LOOP(py[i] = px[i] * pz[i] + pw[i])
        }
        break;
    }
    default:
        break;
    }
}

static void run_integer(const struct native_vector *op, char *const *at, int64_t n)
{
    switch (op->op) {
        COPY(COPY_I, int64_t)
        UNARY(NEG_I, uint64_t, uint64_t, 0 - x)
        UNARY(ABS_I, int64_t, uint64_t, x < 0 ? 0 - (uint64_t)x : (uint64_t)x)
        BINARY(ADD_I, uint64_t, uint64_t, x + z)
        BINARY(SUB_I, uint64_t, uint64_t, x - z)
        BINARY(MUL_I, uint64_t, uint64_t, x * z)
        BINARY(MAX_I, int64_t, int64_t, x > z ? x : z)
        BINARY(MIN_I, int64_t, int64_t, x < z ? x : z)
        BINARY(EQUAL_I, int64_t, uint8_t, x == z)
        BINARY(LESS_I, int64_t, uint8_t, x < z)
        BINARY(LESS_EQUAL_I, int64_t, uint8_t, x <= z)
        WHERE(WHERE_I, int64_t)
        COPY(COPY_B, uint8_t)
        UNARY(NOT, uint8_t, uint8_t, x == 0)
        BINARY(AND, uint8_t, uint8_t, (x != 0) & (z != 0))
        BINARY(OR, uint8_t, uint8_t, (x | z) != 0)
        BINARY(XOR, uint8_t, uint8_t, (x != 0) ^ (z != 0))
        BINARY(EQUAL_B, uint8_t, uint8_t, (x != 0) == (z != 0))
        WHERE(WHERE_B, uint8_t)
    default:
        break;
    }
}

static void convert(const struct native_vector *op, char *const *at, int64_t n)
{
    float a = op->a, b = op->b;
    int32_t zero = (int32_t)b;
    switch (op->op) {
        UNARY_SERIAL(F_TO_I, float, int64_t, integer_of(x))
        UNARY(F_TO_B, float, uint8_t, x != 0)
        UNARY(I_TO_F, int64_t, float, x)
        UNARY(I_TO_B, int64_t, uint8_t, x != 0)
        UNARY(B_TO_F, uint8_t, float, x != 0)
        UNARY(B_TO_I, uint8_t, int64_t, x != 0)
        UNARY(LOAD_BF16, uint16_t, float, simd_of_bf16(x))
        UNARY(LOAD_F16, uint16_t, float, assay_f16_to_f32(x))
        UNARY(LOAD_I32, int32_t, int64_t, x)
        UNARY(LOAD_I16, int16_t, int64_t, x)
        UNARY(LOAD_I8, int8_t, int64_t, x)
        UNARY(LOAD_U32, uint32_t, int64_t, x)
        UNARY(LOAD_U16, uint16_t, int64_t, x)
        UNARY(LOAD_U8, uint8_t, int64_t, x)
        UNARY(F_OF_I32, int32_t, float, x)
        UNARY(F_OF_I8, int8_t, float, x)
        UNARY(F_OF_U8, uint8_t, float, x)
        UNARY(DEQUANTIZE_I8, int8_t, float, ((float)x - b) * a)
        UNARY(DEQUANTIZE_U8, uint8_t, float, ((float)x - b) * a)
        UNARY(STORE_BF16, float, uint16_t, simd_bf16_of(x))
        UNARY(STORE_F16, float, uint16_t, assay_f32_to_f16(x))
        UNARY(STORE_I32, int64_t, uint32_t, x)
        UNARY(STORE_I16, int64_t, uint16_t, x)
        UNARY(STORE_I8, int64_t, uint8_t, x)
        UNARY(QUANTIZE_I8, float, int8_t, simd_code(x / a, -128 - b, 127 - b) + zero)
        UNARY(QUANTIZE_U8, float, uint8_t, simd_code(x / a, 0 - b, 255 - b) + zero)
    default:
        break;
    }
}

void SIMD(vector)(const struct native_vector *ops, int n_ops, char *const *at, int64_t n)
{
    for (int i = 0; i < n_ops; i++) {
        const struct native_vector *op = &ops[i];
        int64_t count = op->one ? 1 : n;
        if (op->op < NATIVE_V_COPY_I)
            run_real(op, at, count);
        else if (op->op < NATIVE_V_F_TO_I)
            run_integer(op, at, count);
        else
            convert(op, at, count);
    }
}
