/* SPDX-License-Identifier: Apache-2.0 */
/* Which table of vector loops a tier gets (simd.h). */
#include "runtime/native/simd/simd.h"

#if defined(__aarch64__)
extern const struct native_simd native_simd_neon;
#else
extern const struct native_simd native_simd_portable;
#endif
#if defined(__x86_64__)
extern const struct native_simd native_simd_sse41, native_simd_avx2, native_simd_avx512;
#endif

const struct native_simd_bounds native_simd_bounds = {
    .exp_low = -87.4f,
    .exp_high = 89.0f,
    .tanh = 7.90531110763549805f,
    .erf = 4.0f,
};

const struct native_simd *native_simd_of(enum native_isa isa)
{
#if defined(__x86_64__)
    if (isa >= NATIVE_ISA_AVX512)
        return &native_simd_avx512;
    if (isa >= NATIVE_ISA_AVX2)
        return &native_simd_avx2;
    if (isa >= NATIVE_ISA_SSE41)
        return &native_simd_sse41;
#endif
    (void)isa;
#if defined(__aarch64__)
    return &native_simd_neon;
#else
    return &native_simd_portable;
#endif
}
