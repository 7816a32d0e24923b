/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cast and CastLike. Rules, the standard's where it has one:
 *   float → integer        towards zero; out of range, which the standard leaves open, the nearest bound; NaN is 0
 *   integer → integer      the low bits
 *   anything → bool        not zero (NaN too)
 *   anything → f32 f16 …   rounded once, to the nearest, ties to even; out of range is infinity
 *
 * Elements go in blocks through an intermediate that holds every source exactly: double for floats, int64 or uint64 for the rest.
 */
#include "graph/gradient.h"
#include "graph/ops/util.h"

#include <math.h>

enum { BLOCK = 512 };

struct block {
    enum { REAL, SIGNED, UNSIGNED } kind;
    union {
        double real[BLOCK];
        int64_t integer[BLOCK];
        uint64_t natural[BLOCK];
    } as;
};

static void load(struct block *block, const struct assay_tensor *from, int64_t at, int64_t n)
{
    switch (from->type.dtype) {
#define X(name, type, kind_, member, expression)                                                                                 \
    case ASSAY_##name:                                                                                                           \
        block->kind = kind_;                                                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            type x = ((const type *)from->data)[at + i];                                                                         \
            block->as.member[i] = expression;                                                                                    \
        }                                                                                                                        \
        break;
        X(F32, float, REAL, real, (double)x)
        X(F64, double, REAL, real, x)
        X(F16, uint16_t, REAL, real, (double)assay_f16_to_f32(x))
        X(BF16, uint16_t, REAL, real, (double)assay_bf16_to_f32(x))
        X(I8, int8_t, SIGNED, integer, x)
        X(I16, int16_t, SIGNED, integer, x)
        X(I32, int32_t, SIGNED, integer, x)
        X(I64, int64_t, SIGNED, integer, x)
        X(U8, uint8_t, UNSIGNED, natural, x)
        X(U16, uint16_t, UNSIGNED, natural, x)
        X(U32, uint32_t, UNSIGNED, natural, x)
        X(U64, uint64_t, UNSIGNED, natural, x)
        X(BOOL, uint8_t, UNSIGNED, natural, x != 0)
#undef X
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets through");
    }
}

/* The f32 next to x towards zero, its last bit set if anything was cut ("round to odd"): rounding that to a shorter format gives
 * what rounding x at once would (Boldo and Melquiond 2008). */
static float odd_f32(double x)
{
    float f = (float)x;
    if ((double)f == x || x != x)
        return f;
    if (fabs((double)f) > fabs(x))
        f = nextafterf(f, 0);
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    bits |= 1;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Likewise for 64-bit integers, as doubles. */
static double odd_f64(uint64_t x)
{
    if (x >> 53)
        x = (x & ~(uint64_t)0x7ff) | ((x & 0x7ff) ? 0x800 : 0);
    return (double)x;
}

static double odd_f64_signed(int64_t x) { return x < 0 ? -odd_f64(0 - (uint64_t)x) : odd_f64((uint64_t)x); }

/* Bounds are the powers of two around the range, since those are exact in every float. */
static int64_t to_signed(double x, int bits)
{
    double limit = ldexp(1, bits - 1);
    int64_t largest = (int64_t)(((uint64_t)1 << (bits - 1)) - 1);
    return x >= limit ? largest : x < -limit ? -largest - 1 : x != x ? 0 : (int64_t)x;
}

static uint64_t to_unsigned(double x, int bits)
{
    uint64_t largest = bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
    return x >= ldexp(1, bits) ? largest : x > 0 ? (uint64_t)x : 0;
}

static void store(const struct block *block, struct assay_tensor *to, int64_t at, int64_t n)
{
    /* Each dtype: from a real, from a signed and from an unsigned integer, all as x. */
    switch (to->type.dtype) {
#define X(name, type, from_real, from_signed, from_unsigned)                                                                     \
    case ASSAY_##name: {                                                                                                         \
        type *out = (type *)to->data + at;                                                                                       \
        if (block->kind == REAL)                                                                                                 \
            for (int64_t i = 0; i < n; i++) {                                                                                    \
                double x = block->as.real[i];                                                                                    \
                out[i] = (type)(from_real);                                                                                      \
            }                                                                                                                    \
        else if (block->kind == SIGNED)                                                                                          \
            for (int64_t i = 0; i < n; i++) {                                                                                    \
                int64_t x = block->as.integer[i];                                                                                \
                out[i] = (type)(from_signed);                                                                                    \
            }                                                                                                                    \
        else                                                                                                                     \
            for (int64_t i = 0; i < n; i++) {                                                                                    \
                uint64_t x = block->as.natural[i];                                                                               \
                out[i] = (type)(from_unsigned);                                                                                  \
            }                                                                                                                    \
        break;                                                                                                                   \
    }
        X(F32, float, x, x, x)
        X(F64, double, x, x, x)
        X(F16, uint16_t, assay_f32_to_f16(odd_f32(x)), assay_f32_to_f16(odd_f32(odd_f64_signed(x))),
          assay_f32_to_f16(odd_f32(odd_f64(x))))
        X(BF16, uint16_t, assay_f32_to_bf16(odd_f32(x)), assay_f32_to_bf16(odd_f32(odd_f64_signed(x))),
          assay_f32_to_bf16(odd_f32(odd_f64(x))))
        X(I8, int8_t, to_signed(x, 8), x, x)
        X(I16, int16_t, to_signed(x, 16), x, x)
        X(I32, int32_t, to_signed(x, 32), x, x)
        X(I64, int64_t, to_signed(x, 64), x, x)
        X(U8, uint8_t, to_unsigned(x, 8), x, x)
        X(U16, uint16_t, to_unsigned(x, 16), x, x)
        X(U32, uint32_t, to_unsigned(x, 32), x, x)
        X(U64, uint64_t, to_unsigned(x, 64), x, x)
        X(BOOL, uint8_t, x != 0, x != 0, x != 0)
#undef X
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets through");
    }
}

static enum assay_status run_cast(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *from = call->data[0];
    struct assay_tensor *to = &call->results[0];
    if (from->type.dtype == call->outputs[0].dtype) {
        assay_tensor_share(to, from);
        return ASSAY_OK;
    }
    enum assay_status st = assay_tensor_alloc(to, &call->outputs[0], err);
    if (st)
        return st;
    struct block block;
    int64_t count = assay_tensor_count(from);
    for (int64_t at = 0; at < count; at += BLOCK) {
        int64_t n = count - at < BLOCK ? count - at : BLOCK;
        load(&block, from, at, n);
        store(&block, to, at, n);
    }
    return ASSAY_OK;
}

static enum assay_status infer_cast(struct assay_op_call *call, struct assay_error *err)
{
    if (!assay_node_attr(call->node, "to"))
        return assay_error_set(err, ASSAY_INVALID, "attribute 'to' is missing");
    call->outputs[0] = call->inputs[0];
    enum assay_status st = assay_rule_dtype_attr(call, "to", ASSAY_NO_DTYPE, ASSAY_SET_ANY, &call->outputs[0].dtype, err);
    if (!st && call->outputs[0].dtype == ASSAY_NO_DTYPE)
        st = assay_error_set(err, ASSAY_INVALID, "attribute 'to' is no dtype");
    return st ? st : assay_rule_dtype(call, 0, ASSAY_SET_ANY, err);
}

static enum assay_status infer_cast_like(struct assay_op_call *call, struct assay_error *err)
{
    call->outputs[0] = call->inputs[0];
    call->outputs[0].dtype = call->inputs[1].dtype;
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_ANY, err);
    return st ? st : assay_rule_dtype(call, 1, ASSAY_SET_ANY, err);
}

/* Between floats: what the rounding changes is flat. */
static void gradient_cast(struct assay_gradient *g) { g->in[0] = e_cast(g->e, g->out[0], g_type(g, 0)->dtype); }

const struct assay_op assay_ops_cast[] = {
    {"Cast", "", 1, 1, ASSAY_OP_VIEW, infer_cast, run_cast, NULL, gradient_cast},
    {"CastLike", "", 2, 2, ASSAY_OP_VIEW, infer_cast_like, run_cast, NULL, gradient_cast},
    {0},
};
