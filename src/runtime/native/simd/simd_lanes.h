/* SPDX-License-Identifier: Apache-2.0 */
/* A vector of f32 as wide as the tier's registers, for loops that must say which sums are registers. */
#ifndef ASSAY_RUNTIME_NATIVE_SIMD_LANES_H
#define ASSAY_RUNTIME_NATIVE_SIMD_LANES_H

#include "runtime/native/simd/simd_inside.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
typedef float vector __attribute__((vector_size(LANES * 4)));

static inline vector load(const float *p)
{
    vector v;
    memcpy(&v, p, sizeof v);
    return v;
}

#if defined(__AVX2__) && !defined(__AVX512F__)
static inline __m256i first_lanes(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

/* The first n ≤ LANES of them; under a mask, since a call for each would force the sums out of registers. */
static inline vector load_some(const float *p, int n)
{
#if defined(__AVX512F__)
    return (vector)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(__AVX2__)
    return (vector)_mm256_maskload_ps(p, first_lanes(n));
#else
    vector v = {0};
    for (int i = 0; i < LANES; i++)
        v[i] = i < n ? p[i] : 0;
    return v;
#endif
}

static inline void store_some(float *p, vector v, int n)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif defined(__AVX2__)
    _mm256_maskstore_ps(p, first_lanes(n), (__m256)v);
#else
    for (int i = 0; i < LANES; i++)
        if (i < n)
            p[i] = v[i];
#endif
}

/* NaN stays: these instructions give the second operand then. */
static inline vector bounded(vector v, vector low, vector high)
{
#if defined(__AVX512F__)
    return (vector)_mm512_min_ps((__m512)high, _mm512_max_ps((__m512)low, (__m512)v));
#elif defined(__AVX2__)
    return (vector)_mm256_min_ps((__m256)high, _mm256_max_ps((__m256)low, (__m256)v));
#elif defined(__x86_64__)
    return (vector)_mm_min_ps((__m128)high, _mm_max_ps((__m128)low, (__m128)v));
#else
    for (int i = 0; i < LANES; i++)
        v[i] = simd_bounded(v[i], low[i], high[i]);
    return v;
#endif
}

#endif
