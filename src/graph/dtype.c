/* SPDX-License-Identifier: Apache-2.0 */
/* See dtype.h. */
#include "graph/dtype.h"

#include "base/status.h"

size_t assay_dtype_size(enum assay_dtype dtype)
{
    switch (dtype) {
#define X(name, number, word, size, type)                                                                                        \
    case ASSAY_##name:                                                                                                           \
        return size;
        ASSAY_DTYPES(X)
#undef X
    default:
        return 0;
    }
}

const char *assay_dtype_word(int dtype)
{
    /* ONNX's names of the types that we do not have, in the order of their numbers; ours are filled in from the list. */
    static const char *const words[] = {
        [0] = "unknown",       [8] = "string",          [14] = "complex64",  [15] = "complex128",
        [17] = "float8e4m3fn", [18] = "float8e4m3fnuz", [19] = "float8e5m2", [20] = "float8e5m2fnuz",
        [21] = "uint4",        [22] = "int4",           [23] = "float4e2m1",
#define X(name, number, word, size, type) [number] = word,
        ASSAY_DTYPES(X)
#undef X
    };
    return dtype >= 0 && (size_t)dtype < ASSAY_COUNT(words) && words[dtype] ? words[dtype] : "unknown";
}

enum assay_dtype assay_dtype_from_word(const char *word)
{
#define X(name, number, its_word, size, type)                                                                                    \
    if (strcmp(word, its_word) == 0)                                                                                             \
        return ASSAY_##name;
    ASSAY_DTYPES(X)
#undef X
    return ASSAY_NO_DTYPE;
}

bool assay_dtype_is_float(enum assay_dtype dtype)
{
    return dtype == ASSAY_F32 || dtype == ASSAY_F64 || dtype == ASSAY_F16 || dtype == ASSAY_BF16;
}

bool assay_dtype_is_integer(enum assay_dtype dtype)
{
    return dtype == ASSAY_U8 || dtype == ASSAY_I8 || dtype == ASSAY_U16 || dtype == ASSAY_I16 || dtype == ASSAY_I32 ||
           dtype == ASSAY_I64 || dtype == ASSAY_U32 || dtype == ASSAY_U64;
}

static uint32_t f32_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static float f32_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint16_t assay_f32_to_bf16(float f)
{
    uint32_t bits = f32_bits(f);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40); /* a quiet NaN: rounding could carry it into an infinity */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

float assay_f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    uint32_t exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
    if (exponent == 0x1f)
        return f32_from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return f32_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t assay_f32_to_f16(float f)
{
    uint32_t bits = f32_bits(f);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00 | (bits >> 13 & 0x1ff));
    if (bits >= 0x477ff000u) /* 65520 and above round to infinity */
        return sign | 0x7c00;
    if (bits < 0x38800000u) {
        /* Below the smallest normal: adding 0.5 puts the last bit of a subnormal (2^-24) at the last bit of a float in [0.5, 1),
         * so that the hardware rounds to nearest even. */
        return (uint16_t)(sign | (f32_bits(f32_from_bits(bits) + 0.5f) - 0x3f000000u));
    }
    bits += 0xfffu + (bits >> 13 & 1);
    return (uint16_t)(sign | (bits - 0x38000000u) >> 13);
}
