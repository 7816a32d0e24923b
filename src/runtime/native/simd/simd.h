/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops that the compiler vectorizes. Each file simd_*.c here is compiled once for each tier of instructions (CMakeLists.txt),
 * with the tier's flags and NATIVE_TIER as its name; what it defines are functions SIMD(name), listed below, which a table of the
 * tier gathers. Plain C with `#pragma omp simd`: so that the same text runs on SSE4.1, AVX2, AVX-512 and NEON. These files may
 * contract and reassociate float arithmetic (-ffp-contract=fast, omp simd reductions), but know infinities and NaN.
 *
 * To add a function: its line in NATIVE_SIMD_FUNCTIONS, its text in a file here.
 */
#ifndef ASSAY_RUNTIME_NATIVE_SIMD_H
#define ASSAY_RUNTIME_NATIVE_SIMD_H

#include "runtime/native/isa.h"

#include <stdint.h>

/* X(return type, name, arguments). Lengths are numbers of elements; bf16 are uint16_t. Outputs may be inputs (in place). */
#define NATIVE_SIMD_FUNCTIONS(X)                                                                                                 \
    X(void, relu, (float *y, const float *x, int64_t n))                                                                         \
    X(void, sigmoid, (float *y, const float *x, int64_t n))                                                                      \
    X(void, tanh, (float *y, const float *x, int64_t n))                                                                         \
    X(void, exp, (float *y, const float *x, int64_t n))                                                                          \
    X(void, erf, (float *y, const float *x, int64_t n))                                                                          \
    X(void, gelu, (float *y, const float *x, int64_t n))               /* x Φ(x) */                                             \
    X(void, gelu_tanh, (float *y, const float *x, int64_t n))          /* its tanh approximation */                              \
    X(void, swish, (float *y, const float *x, float alpha, int64_t n)) /* x sigmoid(alpha x) */                                  \
    /* Points that lie channels last, n channels: the greatest of taps (NaN above all), their weighted sum, y + a sum of points,  \
     * x scale + shift by channel. Results of bf16 are f32 too. */                                                               \
    X(void, max_taps, (float *y, const float *const *x, int n_taps, int64_t n))                                                  \
    X(void, weigh_taps, (float *y, const float *const *x, const float *weight, int n_taps, int64_t n))                           \
    X(void, add_points, (float *y, const float *x, int64_t n_points, int64_t stride, int64_t n))                                 \
    X(void, affine, (float *y, const float *x, const float *scale, const float *shift, int64_t n))                               \
    X(void, max_taps_bf16, (float *y, const uint16_t *const *x, int n_taps, int64_t n))                                          \
    X(void, weigh_taps_bf16, (float *y, const uint16_t *const *x, const float *weight, int n_taps, int64_t n))                   \
    X(void, add_points_bf16, (float *y, const uint16_t *x, int64_t n_points, int64_t stride, int64_t n))                         \
    X(void, affine_bf16, (float *y, const uint16_t *x, const float *scale, const float *shift, int64_t n))                       \
    X(void, from_bf16, (float *y, const uint16_t *x, int64_t n))                                                                 \
    X(void, to_bf16, (uint16_t * y, const float *x, int64_t n)) /* to nearest even; NaN stays NaN */

struct native_simd {
#define X(type, name, arguments) type(*name) arguments;
    NATIVE_SIMD_FUNCTIONS(X)
#undef X
};

/* Of the best tier of this file set that `isa` has. */
const struct native_simd *native_simd_of(enum native_isa isa);

#endif
