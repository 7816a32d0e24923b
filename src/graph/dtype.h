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

enum assay_dtype {
    ASSAY_NO_DTYPE = 0, /* unknown, or no tensor */
#define X(name, number, word, size, type) ASSAY_##name = number,
    ASSAY_DTYPES(X)
#undef X
};

/* 0 for a number that is no type of ours. */
size_t assay_dtype_size(enum assay_dtype dtype);
/* "f32"; for a number that is no type of ours, ONNX's name of it ("string", "float8e4m3fn") or "unknown". Static. */
const char *assay_dtype_word(int dtype);
/* ASSAY_NO_DTYPE if there is none. */
enum assay_dtype assay_dtype_from_word(const char *word);
bool assay_dtype_is_float(enum assay_dtype dtype);   /* f16 bf16 f32 f64 */
bool assay_dtype_is_integer(enum assay_dtype dtype); /* signed and unsigned, not bool */

static inline float assay_bf16_to_f32(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float f;
    memcpy(&f, &wide, sizeof f);
    return f;
}
uint16_t assay_f32_to_bf16(float f);
float assay_f16_to_f32(uint16_t bits);
uint16_t assay_f32_to_f16(float f);

#endif
