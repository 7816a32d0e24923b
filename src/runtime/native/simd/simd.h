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
#include "runtime/native/simd/vector.h"

#include <stdbool.h>
#include <stdint.h>

enum native_reduction { NATIVE_SUM, NATIVE_SUM_SQUARES, NATIVE_SUM_ABS, NATIVE_MAX, NATIVE_MIN };

/* What an update does, gathered once for all its elements. */
struct native_sgd {
    float scale, decay, momentum, rate;
    bool nesterov;
};
/* p = keep p - rate m / (sqrt(v) root + epsilon); the corrections are in rate and root. */
struct native_adam {
    float scale, decay, keep, beta1, rest1, beta2, rest2, rate, root, epsilon;
};
/* Numbers of a mask (graph/ops/dropout.h), and what is kept is multiplied by. */
struct native_drop {
    uint64_t k1, k2, threshold;
    float factor;
};
/* A group of a row of f32 as whole numbers of 16 bits (simd_coded.c): x = scale whole = scale (256 high + low). */
enum { NATIVE_CODED_GROUP = 32, NATIVE_CODED_PANEL = 64 };
struct native_coded {
    int16_t whole[NATIVE_CODED_GROUP];
    int8_t high[NATIVE_CODED_GROUP], low[NATIVE_CODED_GROUP];
    float scale;
    int32_t offset; /* what the weights' zero adds to a sum */
};
/* A panel of weights is groups, one after another: unsigned codes of 8 bits [GROUP / 4, PANEL, 4], or of 4 bits
 * [GROUP / 8, PANEL, 4], of each 8 rows the first 4 in the lower halves of bytes; then scales [PANEL], bf16, or f32 if wide. */
static inline int64_t native_coded_group_bytes(int bits, bool wide)
{
    return NATIVE_CODED_PANEL * (NATIVE_CODED_GROUP * bits / 8 + (wide ? 4 : 2));
}

/* y [m, n] = a [m, k] · b + bias (+ residual), held within bounds; low -infinity, high infinity where there are none. Columns of
 * all that b is a part of lie in panels [ceil(n / PANEL)] [depth, PANEL], the last of as many columns as a multiple of ALIGN has;
 * b is their rows from `skip` on. The bias has as many, or is NULL. */
enum { NATIVE_FILTER_PANEL = 64, NATIVE_FILTER_ALIGN = 16 };
struct native_filter {
    const float *panels, *bias;
    int64_t lda, k, n, depth, skip;
    float low, high;
};

/* Points whose channels are each a weighted sum of their own, n numbers each: y[p] = the sum over rows r and taps t of
 * x[r][position pitch] w[r][w_at + t w_tap], where position = at + p x_step + t x_tap is in [0, length), + bias (+ residual),
 * held within bounds. Weights and bias may be read up to 15 numbers beyond n; bias and residual NULL = none, y_step is the
 * residual's too. */
struct native_depthwise {
    const float *const *x, *const *w; /* [n_rows] */
    const float *bias;
    int64_t at, x_step, x_tap, length, pitch, w_at, w_tap, y_step, n_rows, n_taps, n;
    float low, high;
};

/* A matrix b [k, n] of 16 bits in panels of columns [ceil(n / PANEL)] [k / 2, width, 2], rows two and two: where (row, column)
 * is. The last panel is as wide as a multiple of 16 columns needs. */
enum { NATIVE_PAIRS_PANEL = 64, NATIVE_PAIRS_ALIGN = 16, NATIVE_WEIGHED_TAPS = 256 /* at most, of weigh_points */ };
static inline int64_t native_pairs_columns(int64_t n)
{
    return (n + NATIVE_PAIRS_ALIGN - 1) / NATIVE_PAIRS_ALIGN * NATIVE_PAIRS_ALIGN;
}
static inline int64_t native_pairs_width(int64_t left)
{
    return left < NATIVE_PAIRS_PANEL ? native_pairs_columns(left) : NATIVE_PAIRS_PANEL;
}
static inline int64_t native_pairs_place(int64_t row, int64_t column, int64_t k, int64_t n)
{
    int64_t panel = column / NATIVE_PAIRS_PANEL * NATIVE_PAIRS_PANEL;
    return panel * k + (row / 2 * native_pairs_width(n - panel) + column - panel) * 2 + row % 2;
}

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
    X(void, hard_swish, (float *y, const float *x, int64_t n))         /* x max(0, min(1, x / 6 + ½)) */                        \
    /* A step of an LSTM's units: gates [4, n], input, output, forget and cell, before their activations; c in place. */         \
    X(void, lstm_cell, (float *h, float *c, const float *gates, int64_t n))                                                      \
    /* Each operation in turn on n elements; `at` has the addresses of its places (vector.h). */                                 \
    X(void, vector, (const struct native_vector *ops, int n_ops, char *const *at, int64_t n))                                    \
    /* Of a row: normalised, times scale, plus bias (may be NULL); variance in a second pass. */                                 \
    X(void, layer_norm, (float *y, const float *x, const float *scale, const float *bias, int64_t n, float epsilon))             \
    X(void, rms_norm, (float *y, const float *x, const float *scale, int64_t n, float epsilon))                                  \
    X(void, moments, (const float *x, int64_t n, double *mean, double *variance))                                                \
    X(void, linear, (float *y, const float *x, int64_t n, float a, float b)) /* a x + b */                                       \
    X(void, softmax, (float *y, const float *x, int64_t n, int64_t rows))    /* rows of n, one after another */                  \
    X(void, log_softmax, (float *y, const float *x, int64_t n))                                                                  \
    X(double, reduce, (const float *x, int64_t n, enum native_reduction how))                                                    \
    X(void, reduce_into, (float *y, const float *x, int64_t n, enum native_reduction how)) /* y[i] with x[i] */                  \
    X(int64_t, arg_max, (const float *x, int64_t n)) /* the first of equals; the first NaN */                                    \
    /* y[c y_stride + r] = x[r x_stride + c] for r < n_rows, c < n_columns; elements of 1, 2, 4 or 8 bytes */                    \
    X(void, transpose,                                                                                                           \
      (void *y, const void *x, int64_t n_rows, int64_t n_columns, int64_t y_stride, int64_t x_stride, int size))                 \
    /* Points that lie channels last, n channels: the greatest of taps (NaN above all), their weighted sum, y + a sum of points, \
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
    X(void, to_bf16, (uint16_t * y, const float *x, int64_t n)) /* to nearest even; NaN stays NaN */                             \
    /* c [m, n] (+)= a [m, k] · b [k, n], with strides of rows; for what lies in cache */                                       \
    X(void, gemm,                                                                                                                \
      (float *c, int64_t ldc, const float *a, int64_t lda, const float *b, int64_t ldb, int64_t m, int64_t n, int64_t k,         \
       bool add))                                                                                                                \
    /* rows of a and y one after another, lda and n apart; residual (may be NULL) as y */                                        \
    X(void, filter, (const struct native_filter *filter, float *y, const float *a, const float *residual, int64_t m))            \
    X(void, depthwise, (const struct native_depthwise *what, float *y, const float *residual, int64_t n_points))                 \
    /* c [m, n] = a [m, k] · b: of b's rows two and two lie in turn, [k / 2, ldb, 2]; k is even, n a multiple of 64 */          \
    X(void, gemm_pairs,                                                                                                          \
      (float *c, int64_t ldc, const float *a, int64_t lda, const uint16_t *b, int64_t ldb, int64_t m, int64_t n, int64_t k))     \
    X(void, code_rows, (struct native_coded * to, const float *x, int64_t n_groups, int32_t zero))                               \
    /* y [m, PANEL] += rows x [m, n_groups] times a panel; the second where the CPU has VNNI */                                  \
    X(void, coded_panel,                                                                                                         \
      (float *y, const struct native_coded *x, int64_t m, int64_t n_groups, const unsigned char *panel, int bits, bool wide))    \
    X(void, coded_panel_vnni,                                                                                                    \
      (float *y, const struct native_coded *x, int64_t m, int64_t n_groups, const unsigned char *panel, int bits, bool wide))    \
    /* c [m, n] (+)= a [m, k] · b, whose rows lie in pairs, [k / 2, ldb]; k is even, n a multiple of 16. From avx512_bf16 on:   \
     * the table of avx512 has that instruction */                                                                               \
    X(void, gemm_bf16,                                                                                                           \
      (float *c, int64_t ldc, const uint16_t *a, int64_t lda, const uint32_t *b, int64_t ldb, int64_t m, int64_t n, int64_t k,   \
       bool add))                                                                                                                \
    X(void, pair, (uint32_t * y, const uint16_t *first, const uint16_t *second, int64_t n)) /* second NULL: zeros */             \
    X(void, mask_add, (float *y, const float *mask, int64_t n))                                                                  \
    X(void, mask_keep, (float *y, const unsigned char *keep, int64_t n)) /* where 0: -infinity */                                \
    /* x becomes e^(x - max), where max, begun with -infinity, and sum, begun with 0, go on from part to part of a row. Returns  \
     * by what sums of earlier parts are to be multiplied */                                                                     \
    X(float, softmax_part, (float *x, int64_t n, float *max, float *sum))                                                        \
    X(float, softmax_part_bf16, (uint16_t * y, const float *x, int64_t n, float *max, float *sum)) /* y: rounded */              \
    /* (a, b) become (a cos - b sin, a sin + b cos), b being half a row after a */                                               \
    X(void, rotate_halves, (float *y, const float *x, const float *cosine, const float *sine, int64_t half))                     \
    /* QuantizeLinear and DequantizeLinear of one scale and zero point */                                                        \
    X(void, quantize_u8, (uint8_t * y, const float *x, float scale, int32_t zero, int64_t n))                                    \
    X(void, quantize_i8, (int8_t * y, const float *x, float scale, int32_t zero, int64_t n))                                     \
    X(void, dequantize_u8, (float *y, const uint8_t *x, float scale, int32_t zero, int64_t n))                                   \
    X(void, dequantize_i8, (float *y, const int8_t *x, float scale, int32_t zero, int64_t n))                                    \
    /* (x + add) factor, rounded, plus zero, saturated; and before that in f32 */                                                \
    X(void, requantize_u8, (uint8_t * y, const int32_t *x, const float *factor, const int32_t *add, int32_t zero, int64_t n))    \
    X(void, requantize_i8, (int8_t * y, const int32_t *x, const float *factor, const int32_t *add, int32_t zero, int64_t n))     \
    X(void, scale_sums, (float *y, const int32_t *x, const float *factor, const int32_t *add, int64_t n))                        \
    X(void, max_codes_u8, (uint8_t * y, const uint8_t *const *x, int n_taps, int64_t n))                                         \
    X(void, max_codes_i8, (int8_t * y, const int8_t *const *x, int n_taps, int64_t n))                                           \
    X(void, add_codes_u8, (int32_t * y, const uint8_t *x, int64_t n_points, int64_t stride, int64_t n)) /* y + a sum */          \
    X(void, add_codes_i8, (int32_t * y, const int8_t *x, int64_t n_points, int64_t stride, int64_t n))                           \
    X(void, widen_u8, (int16_t * y, const uint8_t *x, int64_t n))                                                                \
    X(void, widen_i8, (int16_t * y, const int8_t *x, int64_t n))                                                                 \
    /* x less zero */                                                                                                            \
    X(void, widen_less_u8, (int16_t * y, const uint8_t *x, int32_t zero, int64_t n))                                             \
    X(void, widen_less_i8, (int16_t * y, const int8_t *x, int32_t zero, int64_t n))                                              \
    /* Updates (graph/ops/op_update.c says what they compute); p0, m0, v0: before it, which may be where the results go. m NULL: \
     * there are no moments */                                                                                                   \
    X(void, sgd,                                                                                                                 \
      (float *p, const float *p0, const float *g, float *m, const float *m0, int64_t n, const struct native_sgd *how))           \
    X(void, adam,                                                                                                                \
      (float *p, const float *p0, const float *g, float *m, const float *m0, float *v, const float *v0, int64_t n,               \
       const struct native_adam *how))                                                                                           \
    /* y: x times a factor, or 0 where the mask of elements from `begin` on drops it */                                          \
    X(void, drop, (float *y, const float *x, int64_t begin, int64_t n, const struct native_drop *how))                           \
    /* Where x is greater than y, or NaN, it takes its place, and `place` that of at */                                          \
    X(void, greatest_at, (float *y, int32_t *at, const float *x, int32_t place, int64_t n))                                      \
    X(void, normalise, (float *y, const float *x, const float *scale, const float *bias, int64_t n, float mean, float inverse))  \
    /* Gradients of rows. norm_gradient adds to dscale and dbias; centred: a mean was taken off */                               \
    X(void, softmax_gradient, (float *dx, const float *dy, const float *y, int64_t n))                                           \
    X(void, log_softmax_gradient, (float *dx, const float *dy, const float *y, int64_t n))                                       \
    X(void, exp_scaled, (float *y, const float *x, int64_t n, float factor)) /* e^x factor */                                    \
    X(void, add_scaled, (float *y, const float *x, float factor, int64_t n)) /* y + x factor */                                  \
    X(void, norm_gradient,                                                                                                       \
      (float *dx, const float *dy, const float *x, const float *scale, int64_t n, float mean, float inverse, bool centred,       \
       float *dscale, float *dbias))                                                                                             \
    /* Points channels last: adds to sums over points, by channel; normalises; its gradient */                                   \
    X(void, channel_moments, (const float *x, const float *shift, double *sums, double *squares, int64_t n_points, int64_t n))   \
    X(void, channel_sums,                                                                                                        \
      (const float *dy, const float *x, const float *mean, double *sums, double *products, int64_t n_points, int64_t n))         \
    X(void, channel_normalise,                                                                                                   \
      (float *y, const float *x, const float *mean, const float *a, const float *b, int64_t n_points, int64_t n))                \
    X(void, channel_gradient,                                                                                                    \
      (float *dx, const float *dy, const float *x, const float *dmean, const float *mean, const float *a, const float *b,        \
       int64_t n_points, int64_t n))                                                                                             \
    /* c [m, n] = a [m, k] · b of pairs in panels, as above; k is even, and rows of c have room for as many columns as b has */ \
    X(void, product_i16,                                                                                                         \
      (int32_t * c, int64_t ldc, const int16_t *a, int64_t lda, const int16_t *panels, int64_t m, int64_t n, int64_t k))         \
    /* y [n_points, n] = the sum over taps t of (x[t] + p step)[n] w[t][n], whole numbers less than 2^24; n a multiple of 16 */  \
    X(void, weigh_points,                                                                                                        \
      (int32_t * y, const float *const *x, int64_t step, const float *w, int n_taps, int64_t n, int64_t n_points))

struct native_simd {
#define X(type, name, arguments) type(*name) arguments;
    NATIVE_SIMD_FUNCTIONS(X)
#undef X
};

/* Where functions begin to be constant (simd_inside.h). */
struct native_simd_bounds {
    float exp_low, exp_high, tanh, erf;
};
extern const struct native_simd_bounds native_simd_bounds;

/* Of the best tier of this file set that `isa` has. */
const struct native_simd *native_simd_of(enum native_isa isa);

#endif
