/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elements of a tensor as C numbers, and whole tensors converted between dtypes (tensor.h).
 *
 * Where C leaves a cast undefined (a float beyond the integer's range, NaN), the nearest number of the range is taken, and 0 for
 * NaN, so that every machine gives the same.
 */
#include "graph/tensor.h"

#include <math.h>

/* The types that C has: X(NAME, type). The integers among them apart, with their ranges. */
#define INTEGERS(X)                                                                                                              \
    X(U8, uint8_t, 0, UINT8_MAX)                                                                                                 \
    X(I8, int8_t, INT8_MIN, INT8_MAX)                                                                                            \
    X(U16, uint16_t, 0, UINT16_MAX)                                                                                              \
    X(I16, int16_t, INT16_MIN, INT16_MAX)                                                                                        \
    X(I32, int32_t, INT32_MIN, INT32_MAX)                                                                                        \
    X(I64, int64_t, INT64_MIN, INT64_MAX)                                                                                        \
    X(U32, uint32_t, 0, UINT32_MAX)

static int64_t saturate(double x, int64_t min, int64_t max)
{
    if (isnan(x))
        return 0;
    if (x <= (double)min)
        return min;
    return x >= (double)max ? max : (int64_t)x;
}

static uint64_t saturate_u64(double x)
{
    if (isnan(x) || x <= 0)
        return 0;
    return x >= 0x1p64 ? UINT64_MAX : (uint64_t)x;
}

/* To the nearest float, inexact results to odd, so that rounding once more to 16 bits is the same as rounding once. */
static float to_odd_f32(double x)
{
    float f = (float)x;
    if (isnan(x) || (double)f == x)
        return f;
    uint32_t bits;
    if (fabs((double)f) > fabs(x))
        f = nextafterf(f, 0);
    memcpy(&bits, &f, sizeof bits);
    bits |= 1;
    memcpy(&f, &bits, sizeof f);
    return f;
}

double assay_tensor_real(const struct assay_tensor *tensor, int64_t index)
{
    switch (tensor->type.dtype) {
#define X(name, type, min, max)                                                                                                  \
    case ASSAY_##name:                                                                                                           \
        return (double)((const type *)tensor->data)[index];
        INTEGERS(X)
#undef X
    case ASSAY_U64:
        return (double)((const uint64_t *)tensor->data)[index];
    case ASSAY_BOOL:
        return ((const uint8_t *)tensor->data)[index] != 0;
    case ASSAY_F16:
        return assay_f16_to_f32(((const uint16_t *)tensor->data)[index]);
    case ASSAY_BF16:
        return assay_bf16_to_f32(((const uint16_t *)tensor->data)[index]);
    case ASSAY_F32:
        return ((const float *)tensor->data)[index];
    case ASSAY_F64:
        return ((const double *)tensor->data)[index];
    case ASSAY_U4:
    case ASSAY_I4:
        return (double)assay_four_bits(tensor, index);
    case ASSAY_NO_DTYPE:
        break;
    }
    ASSAY_ASSERT(!"an element of a tensor without a dtype");
    return 0;
}

int64_t assay_tensor_int(const struct assay_tensor *tensor, int64_t index)
{
    switch (tensor->type.dtype) {
#define X(name, type, min, max)                                                                                                  \
    case ASSAY_##name:                                                                                                           \
        return (int64_t)((const type *)tensor->data)[index];
        INTEGERS(X)
#undef X
    case ASSAY_U64:
        return (int64_t)((const uint64_t *)tensor->data)[index];
    default:
        return saturate(assay_tensor_real(tensor, index), INT64_MIN, INT64_MAX);
    }
}

static void set_four_bits(struct assay_tensor *tensor, int64_t index, int64_t code)
{
    unsigned char *byte = (unsigned char *)tensor->data + index / 2;
    int shift = (int)(index % 2 * 4);
    *byte = (unsigned char)((*byte & ~(15 << shift)) | (code & 15) << shift);
}

void assay_tensor_set_real(struct assay_tensor *tensor, int64_t index, double value)
{
    switch (tensor->type.dtype) {
#define X(name, type, min, max)                                                                                                  \
    case ASSAY_##name:                                                                                                           \
        ((type *)tensor->data)[index] = (type)saturate(value, min, max);                                                         \
        return;
        INTEGERS(X)
#undef X
    case ASSAY_U64:
        ((uint64_t *)tensor->data)[index] = saturate_u64(value);
        return;
    case ASSAY_BOOL:
        ((bool *)tensor->data)[index] = value != 0;
        return;
    case ASSAY_F16:
        ((uint16_t *)tensor->data)[index] = assay_f32_to_f16(to_odd_f32(value));
        return;
    case ASSAY_BF16:
        ((uint16_t *)tensor->data)[index] = assay_f32_to_bf16(to_odd_f32(value));
        return;
    case ASSAY_F32:
        ((float *)tensor->data)[index] = (float)value;
        return;
    case ASSAY_F64:
        ((double *)tensor->data)[index] = value;
        return;
    case ASSAY_U4:
        set_four_bits(tensor, index, saturate(value, 0, 15));
        return;
    case ASSAY_I4:
        set_four_bits(tensor, index, saturate(value, -8, 7));
        return;
    case ASSAY_NO_DTYPE:
        break;
    }
    ASSAY_ASSERT(!"an element of a tensor without a dtype");
}

/* from_TYPE: n elements of one C type to any dtype. Floats saturate in integers, integers wrap, as C has it. */
#define CASE(NAME, type, expression)                                                                                             \
    case ASSAY_##NAME:                                                                                                           \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            ((type *)to)[i] = (type)(expression);                                                                                \
        return;
#define FLOAT_CASES(odd)                                                                                                         \
    CASE(F32, float, from[i])                                                                                                    \
    CASE(F64, double, from[i])                                                                                                   \
    CASE(F16, uint16_t, assay_f32_to_f16(odd(from[i])))                                                                          \
    CASE(BF16, uint16_t, assay_f32_to_bf16(odd(from[i])))                                                                        \
    CASE(BOOL, bool, from[i] != 0)                                                                                               \
    case ASSAY_U4:                                                                                                               \
    case ASSAY_I4:                                                                                                               \
    case ASSAY_NO_DTYPE:                                                                                                         \
        break;

#define SATURATED(NAME, type, min, max) CASE(NAME, type, saturate((double)from[i], min, max))
#define WRAPPED(NAME, type, min, max) CASE(NAME, type, from[i])

#define FROM_FLOAT(name, its_type, odd)                                                                                          \
    static void from_##name(enum assay_dtype dtype, void *restrict to, const its_type *restrict from, int64_t n)                 \
    {                                                                                                                            \
        switch (dtype) {                                                                                                         \
            FLOAT_CASES(odd)                                                                                                     \
            INTEGERS(SATURATED)                                                                                                  \
            CASE(U64, uint64_t, saturate_u64((double)from[i]))                                                                   \
        }                                                                                                                        \
    }
#define FROM_INTEGER(name, its_type)                                                                                             \
    static void from_##name(enum assay_dtype dtype, void *restrict to, const its_type *restrict from, int64_t n)                 \
    {                                                                                                                            \
        switch (dtype) {                                                                                                         \
            FLOAT_CASES((float))                                                                                                 \
            INTEGERS(WRAPPED)                                                                                                    \
            CASE(U64, uint64_t, from[i])                                                                                         \
        }                                                                                                                        \
    }
FROM_FLOAT(F32, float, (float))
FROM_FLOAT(F64, double, to_odd_f32)
FROM_INTEGER(U8, uint8_t)
FROM_INTEGER(I8, int8_t)
FROM_INTEGER(U16, uint16_t)
FROM_INTEGER(I16, int16_t)
FROM_INTEGER(I32, int32_t)
FROM_INTEGER(I64, int64_t)
FROM_INTEGER(U32, uint32_t)
FROM_INTEGER(U64, uint64_t)

/* 16-bit floats go through a block of f32, which holds them exactly. */
static void from_half(enum assay_dtype from_dtype, enum assay_dtype dtype, char *to, const uint16_t *from, int64_t n)
{
    enum { BLOCK = 1024 };
    float block[BLOCK];
    size_t size = assay_dtype_size(dtype);
    for (int64_t at = 0; at < n; at += BLOCK) {
        int64_t m = n - at < BLOCK ? n - at : BLOCK;
        for (int64_t i = 0; i < m; i++)
            block[i] = from_dtype == ASSAY_F16 ? assay_f16_to_f32(from[at + i]) : assay_bf16_to_f32(from[at + i]);
        from_F32(dtype, to + (size_t)at * size, block, m);
    }
}

enum assay_status assay_tensor_convert(struct assay_tensor *to, const struct assay_tensor *from, enum assay_dtype dtype,
                                       struct assay_error *err)
{
    if (dtype == from->type.dtype)
        return assay_tensor_copy(to, from, err);
    struct assay_type type = from->type;
    type.dtype = dtype;
    struct assay_tensor made;
    enum assay_status st = assay_tensor_alloc(&made, &type, err);
    if (st)
        return st;
    int64_t n = assay_type_count(&type);
    switch (from->type.dtype) {
#define X(name, its_type, min, max)                                                                                              \
    case ASSAY_##name:                                                                                                           \
        from_##name(dtype, made.data, from->data, n);                                                                            \
        break;
        INTEGERS(X)
        X(U64, uint64_t, 0, 0)
        X(F32, float, 0, 0)
        X(F64, double, 0, 0)
#undef X
    case ASSAY_BOOL:
        from_U8(dtype, made.data, from->data, n);
        break;
    case ASSAY_F16:
    case ASSAY_BF16:
        from_half(from->type.dtype, dtype, made.data, from->data, n);
        break;
    case ASSAY_U4:
    case ASSAY_I4:
        for (int64_t i = 0; i < n; i++)
            assay_tensor_set_real(&made, i, assay_tensor_real(from, i));
        break;
    case ASSAY_NO_DTYPE:
        break;
    }
    *to = made;
    return ASSAY_OK;
}
