/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector operations: what an elementwise program (runtime/native/elementwise.h) is made of. Each works on one block of elements
 * that lies in the first cache; an argument is a block, or one element that stands for all.
 *
 * Between operations a value is one of three kinds: f32, i64, or bool (a byte of 0 or 1). Loads bring other element types to
 * them, stores bring them back. To add an operation: its line here, its text in simd_vector.c.
 */
#ifndef ASSAY_RUNTIME_NATIVE_VECTOR_H
#define ASSAY_RUNTIME_NATIVE_VECTOR_H

#include <stdint.h>

enum native_kind { NATIVE_F, NATIVE_I, NATIVE_B, NATIVE_N_KINDS };

/* X(NAME, arguments, kind of the arguments, kind of the result). a, b: parameters. */
#define NATIVE_VECTOR_OPS(X)                                                                                                     \
    X(COPY_F, 1, NATIVE_F, NATIVE_F)                                                                                             \
    X(NEG, 1, NATIVE_F, NATIVE_F)                                                                                                \
    X(ABS, 1, NATIVE_F, NATIVE_F)                                                                                                \
    X(SIGN, 1, NATIVE_F, NATIVE_F)                                                                                               \
    X(SQRT, 1, NATIVE_F, NATIVE_F)                                                                                               \
    X(SQUARE, 1, NATIVE_F, NATIVE_F)                                                                                             \
    X(CUBE, 1, NATIVE_F, NATIVE_F)                                                                                               \
    X(RECIPROCAL, 1, NATIVE_F, NATIVE_F)                                                                                         \
    X(FLOOR, 1, NATIVE_F, NATIVE_F)                                                                                              \
    X(CEIL, 1, NATIVE_F, NATIVE_F)                                                                                               \
    X(ROUND, 1, NATIVE_F, NATIVE_F)                                                                                              \
    X(EXP, 1, NATIVE_F, NATIVE_F)                                                                                                \
    X(LOG, 1, NATIVE_F, NATIVE_F)                                                                                                \
    X(SIN, 1, NATIVE_F, NATIVE_F)                                                                                                \
    X(COS, 1, NATIVE_F, NATIVE_F)                                                                                                \
    X(ERF, 1, NATIVE_F, NATIVE_F)                                                                                                \
    X(TANH, 1, NATIVE_F, NATIVE_F)                                                                                               \
    X(SIGMOID, 1, NATIVE_F, NATIVE_F)                                                                                            \
    X(SOFTPLUS, 1, NATIVE_F, NATIVE_F)                                                                                           \
    X(SOFTSIGN, 1, NATIVE_F, NATIVE_F)                                                                                           \
    X(MISH, 1, NATIVE_F, NATIVE_F)                                                                                               \
    X(GELU, 1, NATIVE_F, NATIVE_F)                                                                                               \
    X(GELU_TANH, 1, NATIVE_F, NATIVE_F)                                                                                          \
    X(RELU, 1, NATIVE_F, NATIVE_F)                                                                                               \
    X(HARD_SWISH, 1, NATIVE_F, NATIVE_F)                                                                                         \
    X(SWISH, 1, NATIVE_F, NATIVE_F)        /* x sigmoid(a x) */                                                                  \
    X(LEAKY_RELU, 1, NATIVE_F, NATIVE_F)   /* x < 0 ? a x : x */                                                                 \
    X(ELU, 1, NATIVE_F, NATIVE_F)          /* x < 0 ? a (exp(x) - 1) : x */                                                      \
    X(HARD_SIGMOID, 1, NATIVE_F, NATIVE_F) /* a x + b, within 0 and 1 */                                                         \
    X(CLIP, 1, NATIVE_F, NATIVE_F)         /* x within a and b */                                                                \
    X(LINEAR, 1, NATIVE_F, NATIVE_F)       /* a x + b */                                                                         \
    X(ADD, 2, NATIVE_F, NATIVE_F)                                                                                                \
    X(SUB, 2, NATIVE_F, NATIVE_F)                                                                                                \
    X(MUL, 2, NATIVE_F, NATIVE_F)                                                                                                \
    X(DIV, 2, NATIVE_F, NATIVE_F)                                                                                                \
    X(MAX, 2, NATIVE_F, NATIVE_F)                                                                                                \
    X(MIN, 2, NATIVE_F, NATIVE_F)                                                                                                \
    X(POW, 2, NATIVE_F, NATIVE_F)                                                                                                \
    X(FMOD, 2, NATIVE_F, NATIVE_F)                                                                                               \
    X(PRELU, 2, NATIVE_F, NATIVE_F)                                                                                              \
    X(SWIGLU, 2, NATIVE_F, NATIVE_F) /* x sigmoid(x) y */                                                                        \
    X(EQUAL, 2, NATIVE_F, NATIVE_B)                                                                                              \
    X(LESS, 2, NATIVE_F, NATIVE_B)                                                                                               \
    X(LESS_EQUAL, 2, NATIVE_F, NATIVE_B)                                                                                         \
    X(IS_NAN, 1, NATIVE_F, NATIVE_B)                                                                                             \
    X(MULADD, 3, NATIVE_F, NATIVE_F)  /* x y + z */                                                                              \
    X(WHERE_F, 3, NATIVE_F, NATIVE_F) /* its first argument is bool */                                                           \
    X(COPY_I, 1, NATIVE_I, NATIVE_I)                                                                                             \
    X(NEG_I, 1, NATIVE_I, NATIVE_I)                                                                                              \
    X(ABS_I, 1, NATIVE_I, NATIVE_I)                                                                                              \
    X(ADD_I, 2, NATIVE_I, NATIVE_I)                                                                                              \
    X(SUB_I, 2, NATIVE_I, NATIVE_I)                                                                                              \
    X(MUL_I, 2, NATIVE_I, NATIVE_I)                                                                                              \
    X(MAX_I, 2, NATIVE_I, NATIVE_I)                                                                                              \
    X(MIN_I, 2, NATIVE_I, NATIVE_I)                                                                                              \
    X(EQUAL_I, 2, NATIVE_I, NATIVE_B)                                                                                            \
    X(LESS_I, 2, NATIVE_I, NATIVE_B)                                                                                             \
    X(LESS_EQUAL_I, 2, NATIVE_I, NATIVE_B)                                                                                       \
    X(WHERE_I, 3, NATIVE_I, NATIVE_I)                                                                                            \
    X(COPY_B, 1, NATIVE_B, NATIVE_B)                                                                                             \
    X(NOT, 1, NATIVE_B, NATIVE_B)                                                                                                \
    X(AND, 2, NATIVE_B, NATIVE_B)                                                                                                \
    X(OR, 2, NATIVE_B, NATIVE_B)                                                                                                 \
    X(XOR, 2, NATIVE_B, NATIVE_B)                                                                                                \
    X(EQUAL_B, 2, NATIVE_B, NATIVE_B)                                                                                            \
    X(WHERE_B, 3, NATIVE_B, NATIVE_B)                                                                                            \
    X(F_TO_I, 1, NATIVE_F, NATIVE_I) /* towards zero, to the nearest bound, NaN to 0 */                                          \
    X(F_TO_B, 1, NATIVE_F, NATIVE_B) /* not zero */                                                                              \
    X(I_TO_F, 1, NATIVE_I, NATIVE_F)                                                                                             \
    X(I_TO_B, 1, NATIVE_I, NATIVE_B)                                                                                             \
    X(B_TO_F, 1, NATIVE_B, NATIVE_F)                                                                                             \
    X(B_TO_I, 1, NATIVE_B, NATIVE_I)                                                                                             \
    /* Loads: the argument has another element type. */                                                                          \
    X(LOAD_BF16, 1, NATIVE_F, NATIVE_F)                                                                                          \
    X(LOAD_F16, 1, NATIVE_F, NATIVE_F)                                                                                           \
    X(LOAD_I32, 1, NATIVE_I, NATIVE_I)                                                                                           \
    X(LOAD_I16, 1, NATIVE_I, NATIVE_I)                                                                                           \
    X(LOAD_I8, 1, NATIVE_I, NATIVE_I)                                                                                            \
    X(LOAD_U32, 1, NATIVE_I, NATIVE_I)                                                                                           \
    X(LOAD_U16, 1, NATIVE_I, NATIVE_I)                                                                                           \
    X(LOAD_U8, 1, NATIVE_I, NATIVE_I)                                                                                            \
    X(F_OF_I32, 1, NATIVE_I, NATIVE_F)                                                                                           \
    X(F_OF_I8, 1, NATIVE_I, NATIVE_F)                                                                                            \
    X(F_OF_U8, 1, NATIVE_I, NATIVE_F)                                                                                            \
    X(DEQUANTIZE_I8, 1, NATIVE_I, NATIVE_F) /* (x - b) a */                                                                      \
    X(DEQUANTIZE_U8, 1, NATIVE_I, NATIVE_F)                                                                                      \
    /* Stores: so has the result. */                                                                                             \
    X(STORE_BF16, 1, NATIVE_F, NATIVE_F)                                                                                         \
    X(STORE_F16, 1, NATIVE_F, NATIVE_F)                                                                                          \
    X(STORE_I32, 1, NATIVE_I, NATIVE_I)                                                                                          \
    X(STORE_I16, 1, NATIVE_I, NATIVE_I)                                                                                          \
    X(STORE_I8, 1, NATIVE_I, NATIVE_I)                                                                                           \
    X(QUANTIZE_I8, 1, NATIVE_F, NATIVE_B) /* x / a, rounded to nearest even, plus b, saturated */                                \
    X(QUANTIZE_U8, 1, NATIVE_F, NATIVE_B)

enum native_vector_op {
#define X(name, n_args, from, to) NATIVE_V_##name,
    NATIVE_VECTOR_OPS(X)
#undef X
        NATIVE_N_VECTOR_OPS,
    NATIVE_V_NONE = NATIVE_N_VECTOR_OPS
};

/* One operation. Places are numbers of addresses in a list that goes with it. */
struct native_vector {
    enum native_vector_op op;
    int y, x[3];
    unsigned scalars; /* bit k: x[k] is one element. Not all arguments at once, but see `one` */
    int one;          /* all arguments are one element, and so is the result */
    float a, b;
};

#endif
