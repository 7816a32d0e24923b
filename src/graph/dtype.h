/* SPDX-License-Identifier: Apache-2.0 */
/* Element types: ONNX's, with ONNX's numbers, and the conversions of the 16-bit floats (round to nearest even). */
#ifndef ASSAY_GRAPH_DTYPE_H
#define ASSAY_GRAPH_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* X(NAME, number in TensorProto.DataType, "word", size in bytes, C type that holds it). A string's element is a const char *. */
#define ASSAY_DTYPES(X)                                                                                                          \
    X(F32, 1, "f32", 4, float)                                                                                                   \
    X(U8, 2, "u8", 1, uint8_t)                                                                                                   \
    X(I8, 3, "i8", 1, int8_t)                                                                                                    \
    X(U16, 4, "u16", 2, uint16_t)                                                                                                \
    X(I16, 5, "i16", 2, int16_t)                                                                                                 \
    X(I32, 6, "i32", 4, int32_t)                                                                                                 \
    X(I64, 7, "i64", 8, int64_t)                                                                                                 \
    X(BOOL, 9, "bool", 1, bool)                                                                                                  \
    X(F16, 10, "f16", 2, uint16_t)                                                                                               \
    X(F64, 11, "f64", 8, double)                                                                                                 \
    X(U32, 12, "u32", 4, uint32_t)                                                                                               \
    X(U64, 13, "u64", 8, uint64_t)                                                                                               \
    X(BF16, 16, "bf16", 2, uint16_t)

/* Of 4 bits, two a byte, the earlier in the low bits. Weights are stored so; DequantizeLinear alone reads them. */
#define ASSAY_PACKED_DTYPES(X)                                                                                                   \
    X(U4, 21, "u4")                                                                                                              \
    X(I4, 22, "i4")

enum assay_dtype {
    ASSAY_NO_DTYPE = 0, /* unknown, or no tensor */
#define X(name, number, word, size, type) ASSAY_##name = number,
    ASSAY_DTYPES(X)
#undef X
#define X(name, number, word) ASSAY_##name = number,
        ASSAY_PACKED_DTYPES(X)
#undef X
};

/* 0 for a number that is no type of ours, and for those of 4 bits. */
size_t assay_dtype_size(enum assay_dtype dtype);
bool assay_dtype_is_packed(enum assay_dtype dtype); /* of 4 bits */
/* "f32"; for a number that is no type of ours, ONNX's name of it ("string", "float8e4m3fn") or "unknown". Static. */
const char *assay_dtype_word(int dtype);
/* ASSAY_NO_DTYPE if there is none. */
enum assay_dtype assay_dtype_from_word(const char *word);
bool assay_dtype_is_float(enum assay_dtype dtype);   /* f16 bf16 f32 f64 */
bool assay_dtype_is_integer(enum assay_dtype dtype); /* signed and unsigned, not bool */

/* The conversions are inline, and without branches where that is possible, since whole weights go through them. */

static inline uint32_t assay_f32_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float assay_f32_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline float assay_bf16_to_f32(uint16_t bits) { return assay_f32_from_bits((uint32_t)bits << 16); }

static inline uint16_t assay_f32_to_bf16(float f)
{
    uint32_t bits = assay_f32_bits(f);
    bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    /* A NaN is made quiet: rounding could carry it into an infinity. */
    uint32_t rounded = is_nan ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1);
    return (uint16_t)(rounded >> 16);
}

static inline float assay_f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
    /* Subnormals: the fraction as the last bits of a float of [1/2^14, 1/2^13), less that float's first bit. */
    uint32_t tiny = assay_f32_bits(assay_f32_from_bits(0x38800000u | fraction << 13) - 0x1p-14F);
    uint32_t normal = (exponent + (exponent == 0x1f ? 224 : 112)) << 23 | fraction << 13;
    return assay_f32_from_bits(sign | (exponent == 0 ? tiny : normal));
}

static inline uint16_t assay_f32_to_f16(float f)
{
    uint32_t bits = assay_f32_bits(f), sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffffu;
    /* Below the smallest normal: adding 0.5 puts the last bit of a subnormal (2^-24) at the last bit of a float in [0.5, 1), so
     * that the hardware rounds to nearest even. */
    uint32_t tiny = assay_f32_bits(assay_f32_from_bits(bits < 0x38800000u ? bits : 0) + 0.5F) - 0x3f000000u;
    uint32_t normal = (bits + 0xfffu + (bits >> 13 & 1) - 0x38000000u) >> 13;
    uint32_t nan = 0x7e00 | (bits >> 13 & 0x1ff);
    uint32_t found = bits < 0x38800000u ? tiny : normal;
    found = bits >= 0x477ff000u ? 0x7c00 : found; /* 65520 and above round to infinity */
    return (uint16_t)(sign | (bits > 0x7f800000u ? nan : found));
}

#endif
