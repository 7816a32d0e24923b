/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of simd/ share: names per tier, and elementary functions that inline into vector loops. */
#ifndef ASSAY_RUNTIME_NATIVE_SIMD_INSIDE_H
#define ASSAY_RUNTIME_NATIVE_SIMD_INSIDE_H

#include "graph/dtype.h"
#include "runtime/native/simd/simd.h"

#include <math.h>
#include <string.h>

#define SIMD_JOIN2(name, tier) native_##name##_##tier
#define SIMD_JOIN(name, tier) SIMD_JOIN2(name, tier)
#define SIMD(name) SIMD_JOIN(name, NATIVE_TIER)
#define X(type, name, arguments) type SIMD(name) arguments;
NATIVE_SIMD_FUNCTIONS(X)
#undef X

/* Of a loop of constant and few turns, so that what it indexes can be registers. */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

static inline float simd_from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t simd_to_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* x within bounds, NaN if it is: one instruction each, as long as the compiler does not know the bounds; else it makes branches
 * of them, as masks. So they are constants of another file. */
static inline float simd_bounded(float x, float low, float high)
{
    float above = low > x ? low : x;
    return high < above ? high : above;
}

/* e^x to 2 units in the last place: 2^n, n = round(x / ln 2), times a polynomial in the rest, which is reduced in two steps (Cody
 * and Waite); its coefficients are those of least relative error (3e-9, before they are rounded). Adding 1.5 2^23 rounds, and
 * leaves n + 126 in the last bits, the exponent of 2^(n - 1): the other factor 2 is in the polynomial, so that what is just below
 * the largest float does not overflow on the way. Below -87 it is 0, above 88.73 infinite; NaN stays. */
static inline float simd_exp(float x)
{
    float c = simd_bounded(x, native_simd_bounds.exp_low, native_simd_bounds.exp_high);
    float shifted = c * 1.44269504088896341f + 12583038.0f, n = shifted - 12583038.0f;
    float r = (c - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 2.762908e-3f;
    p = p * r + 1.673749e-2f;
    p = p * r + 8.333678e-2f;
    p = p * r + 3.3333042e-1f;
    p = p * r + 9.999999e-1f;
    p = p * r + 2.0f;
    p = p * r + 2.0f;
    return p * simd_from_bits(simd_to_bits(shifted) << 23);
}

static inline float simd_sigmoid(float x) { return 1.0f / (1.0f + simd_exp(-x)); }

/* tanh as x P(x²) / Q(x²) on [-7.9, 7.9], beyond which it is ±1: the coefficients of Eigen's and XLA's f32 tanh. Near 0 it is x,
 * since the first coefficients do not cancel to the last bit. */
static inline float simd_tanh(float x)
{
    float c = simd_bounded(x, -native_simd_bounds.tanh, native_simd_bounds.tanh), s = c * c;
    float p = -2.76076847742355e-16f, q = 1.19825839466702e-06f;
    p = p * s + 2.00018790482477e-13f;
    p = p * s - 8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-08f;
    p = p * s + 1.48572235717979e-05f;
    p = p * s + 6.37261928875436e-04f;
    p = p * s + 4.89352455891786e-03f;
    q = q * s + 1.18534705686654e-04f;
    q = q * s + 2.26843463243900e-03f;
    q = q * s + 4.89352518554385e-03f;
    float y = c * p / q;
    return s < 1.6e-7f ? x : y;
}

/* erf by Abramowitz and Stegun 7.1.26-like rational forms loses digits near 0; this is the pair of polynomials of Eigen's and
 * XLA's f32 erf: x P(x²) / Q(x²) on [-4, 4], within 4 units in the last place. */
static inline float simd_erf(float x)
{
    float c = simd_bounded(x, -native_simd_bounds.erf, native_simd_bounds.erf), s = c * c;
    float p = -2.72614225801306e-10f, q = -1.45660718464996e-05f;
    p = p * s + 2.77068142495902e-08f;
    p = p * s - 2.10102402082508e-06f;
    p = p * s - 5.69250639462346e-05f;
    p = p * s - 7.34990630326855e-04f;
    p = p * s - 2.95459980854025e-03f;
    p = p * s - 1.60960333262415e-02f;
    q = q * s - 2.13374055278905e-04f;
    q = q * s - 1.68282697438203e-03f;
    q = q * s - 7.37332916720468e-03f;
    q = q * s - 1.42647390514189e-02f;
    return c * p / q;
}

/* Natural logarithm: the exponent times ln 2 in two parts, plus Cephes' logf polynomial on [√½, √2). Of 0 it is -infinite, of
 * negative numbers NaN; subnormals are scaled up first. */
static inline float simd_log(float x)
{
    float scaled = x < 1.17549435e-38f ? x * 16777216.0f : x, down = x < 1.17549435e-38f ? 24.0f : 0.0f;
    uint32_t bits = simd_to_bits(scaled), shifted = bits - 0x3f3504f3u; /* √½ */
    float e = (float)((int32_t)shifted >> 23) - down;
    float r = simd_from_bits((shifted & 0x007fffffu) + 0x3f3504f3u) - 1.0f, s = r * r;
    float p = 7.0376836292e-2f;
    p = p * r - 1.1514610310e-1f;
    p = p * r + 1.1676998740e-1f;
    p = p * r - 1.2420140846e-1f;
    p = p * r + 1.4249322787e-1f;
    p = p * r - 1.6668057665e-1f;
    p = p * r + 2.0000714765e-1f;
    p = p * r - 2.4999993993e-1f;
    p = p * r + 3.3333331174e-1f;
    float y = (p * r * s + e * -2.12194440e-4f - 0.5f * s) + r + e * 0.693359375f;
    y = x == 0.0f ? simd_from_bits(0xff800000u) : y;
    y = x < 0.0f ? simd_from_bits(0x7fc00000u) : y;
    return x != x || x == simd_from_bits(0x7f800000u) ? x : y;
}

static inline float simd_gelu(float x) { return 0.5f * x * (1.0f + simd_erf(x * 0.70710678118654752f)); }

static inline float simd_gelu_tanh(float x)
{
    return 0.5f * x * (1.0f + simd_tanh(0.79788456080286536f * (x + 0.044715f * x * x * x)));
}

static inline float simd_of_bf16(uint16_t x) { return simd_from_bits((uint32_t)x << 16); }

static inline uint16_t simd_bf16_of(float x)
{
    uint32_t bits = simd_to_bits(x);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)(x != x ? (bits >> 16 | 0x40u) : rounded);
}

#define SIMD_NEAREST 12582912.0f /* 1.5 · 2^23: what is added to it is rounded to an integer, ties to even, in the low bits */

/* The limits hold for the number before rounding as well as after, being integers less an integer; NaN becomes the lower. */
static inline int32_t simd_code(float v, float low, float high)
{
    v = v > low ? v : low;
    v = v < high ? v : high;
    return (int32_t)simd_to_bits(v + SIMD_NEAREST) - 0x4b400000;
}

/* Of x and `begin`, in two chains of registers; a NaN may be lost. */
static inline float simd_largest(const float *x, int64_t n, float begin)
{
    enum { LANES = 16 };
    int64_t half = n / (2 * LANES) * LANES;
    float a = begin, b = begin;
    _Pragma("omp simd reduction(max : a, b)") for (int64_t i = 0; i < half; i++)
    {
        a = x[i] > a ? x[i] : a;
        b = x[i + half] > b ? x[i + half] : b;
    }
    for (int64_t i = 2 * half; i < n; i++)
        a = x[i] > a ? x[i] : a;
    return a > b ? a : b;
}

/* Milakov and Gimelshein's online softmax (simd.h, softmax_part) into y, which may be x, or if `low` is not NULL rounded into
 * that: a constant where this is inlined. As long as all are -infinity there is nothing to sum. */
static inline __attribute__((always_inline)) float simd_softmax_part(float *y, uint16_t *low, const float *x, int64_t n,
                                                                     float *max, float *sum)
{
    float before = *max, largest = simd_largest(x, n, before), total = 0;
    if (largest == -INFINITY) {
        int64_t n_nan = 0;
        for (int64_t i = 0; i < n; i++) {
            n_nan += x[i] != x[i];
            if (low)
                low[i] = 0;
            else
                y[i] = 0;
        }
        if (n_nan)
            *sum = NAN;
        return 1;
    }
    _Pragma("omp simd reduction(+ : total)") for (int64_t i = 0; i < n; i++)
    {
        float e = simd_exp(x[i] - largest);
        total += e;
        if (low)
            low[i] = simd_bf16_of(e);
        else
            y[i] = e;
    }
    float factor = before == -INFINITY ? 0 : simd_exp(before - largest);
    *max = largest;
    *sum = *sum * factor + total;
    return factor;
}

#endif
