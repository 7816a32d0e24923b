/* SPDX-License-Identifier: Apache-2.0 */
/* Between numbers and their 8-bit codes. */
#include "runtime/native/simd/simd_inside.h"

#define QUANTIZE(name, type, least, most)                                                                                        \
    void SIMD(quantize_##name)(type * y, const float *x, float scale, int32_t zero, int64_t n)                                   \
    {                                                                                                                            \
        float low = (float)(least - zero), high = (float)(most - zero);                                                          \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (type)(simd_code(x[i] / scale, low, high) + zero);            \
    }                                                                                                                            \
    void SIMD(requantize_##name)(type * y, const int32_t *x, const float *factor, const int32_t *add, int32_t zero, int64_t n)   \
    {                                                                                                                            \
        float low = (float)(least - zero), high = (float)(most - zero);                                                          \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] =                                                               \
            (type)(simd_code((float)(int32_t)((uint32_t)x[i] + (uint32_t)add[i]) * factor[i], low, high) + zero);                \
    }                                                                                                                            \
    void SIMD(dequantize_##name)(float *y, const type *x, float scale, int32_t zero, int64_t n)                                  \
    {                                                                                                                            \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (float)((int32_t)x[i] - zero) * scale;                        \
    }                                                                                                                            \
    void SIMD(widen_##name)(int16_t * y, const type *x, int64_t n)                                                               \
    {                                                                                                                            \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = x[i];                                                         \
    }                                                                                                                            \
    void SIMD(widen_less_##name)(int16_t * y, const type *x, int32_t zero, int64_t n)                                            \
    {                                                                                                                            \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (int16_t)(x[i] - zero);                                       \
    }                                                                                                                            \
    void SIMD(max_codes_##name)(type * y, const type *const *x, int n_taps, int64_t n)                                           \
    {                                                                                                                            \
        memcpy(y, x[0], (size_t)n);                                                                                              \
        for (int t = 1; t < n_taps; t++) {                                                                                       \
            const type *tap = x[t];                                                                                              \
            _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = tap[i] > y[i] ? tap[i] : y[i];                            \
        }                                                                                                                        \
    }                                                                                                                            \
    void SIMD(add_codes_##name)(int32_t * y, const type *x, int64_t n_points, int64_t stride, int64_t n)                         \
    {                                                                                                                            \
        for (int64_t p = 0; p < n_points; p++, x += stride)                                                                      \
            _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] += x[i];                                                    \
    }
QUANTIZE(u8, uint8_t, 0, 255)
QUANTIZE(i8, int8_t, -128, 127)

void SIMD(scale_sums)(float *y, const int32_t *x, const float *factor, const int32_t *add, int64_t n)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (float)(int32_t)((uint32_t)x[i] + (uint32_t)add[i]) * factor[i];
}
