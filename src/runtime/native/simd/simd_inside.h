/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of simd/ share: names per tier, and elementary functions that inline into vector loops. */
#ifndef ASSAY_RUNTIME_NATIVE_SIMD_INSIDE_H
#define ASSAY_RUNTIME_NATIVE_SIMD_INSIDE_H

#include "runtime/native/simd/simd.h"

#include <string.h>

#define SIMD_JOIN2(name, tier) native_##name##_##tier
#define SIMD_JOIN(name, tier) SIMD_JOIN2(name, tier)
#define SIMD(name) SIMD_JOIN(name, NATIVE_TIER)
#define X(type, name, arguments) type SIMD(name) arguments;
NATIVE_SIMD_FUNCTIONS(X)
#undef X

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

/* e^x to 1 unit in the last place or so: 2^round(x / ln 2) times a polynomial (Cephes' expf) in the rest, which is reduced in two
 * steps (Cody and Waite). Below -87.3 it is 0, above 88.7 infinite; NaN stays. */
static inline float simd_exp(float x)
{
    float clamped = x < -88.0f ? -88.0f : x > 88.8f ? 88.8f : x;
    float shifted = clamped * 1.44269504088896341f + 12582912.0f, n = shifted - 12582912.0f;
    float r = clamped - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t half = (int32_t)n / 2, rest = (int32_t)n - half;
    float scale = simd_from_bits((uint32_t)(half + 127) << 23) * p * simd_from_bits((uint32_t)(rest + 127) << 23);
    return x != x ? x : x < -87.33f ? 0.0f : scale;
}

static inline float simd_sigmoid(float x) { return 1.0f / (1.0f + simd_exp(-x)); }

/* tanh by e^2x away from 0, by an odd polynomial (Cephes' tanhf) near it, where the former cancels. */
static inline float simd_tanh(float x)
{
    float a = x < 0 ? -x : x, s = x * x, p = -5.70498872745e-3f;
    p = p * s + 2.06390887954e-2f;
    p = p * s - 5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s - 3.33332819422e-1f;
    float near = p * s * x + x, far = 1.0f - 2.0f / (simd_exp(2.0f * a) + 1.0f);
    return a < 0.625f ? near : x < 0 ? -far : x != x ? x : far;
}

/* erf by Abramowitz and Stegun 7.1.26-like rational forms loses digits near 0; this is the pair of polynomials of Eigen's and
 * XLA's f32 erf: x P(x²) / Q(x²) on [-4, 4], within 4 units in the last place. */
static inline float simd_erf(float x)
{
    float c = x < -4.0f ? -4.0f : x > 4.0f ? 4.0f : x, s = c * c;
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
    return x != x ? x : c * p / q;
}

static inline float simd_of_bf16(uint16_t x) { return simd_from_bits((uint32_t)x << 16); }

static inline uint16_t simd_bf16_of(float x)
{
    uint32_t bits = simd_to_bits(x);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)(x != x ? (bits >> 16 | 0x40u) : rounded);
}

#endif
