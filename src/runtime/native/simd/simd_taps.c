/* SPDX-License-Identifier: Apache-2.0 */
/* Points of a value that lies channels last, channel by channel: what pools and interpolation make of several, and affine maps. A
 * few points are read at a time, so that the result is stored and loaded less often. */
#include "runtime/native/simd/simd_inside.h"

/* The greater of two; NaN is greater than all. */
static inline float greater(float a, float b)
{
    float most = b > a ? b : a;
    return b != b ? b : most;
}

#define TAPS(suffix, type, load)                                                                                                 \
    void SIMD(max_taps##suffix)(float *y, const type *const *x, int n_taps, int64_t n)                                           \
    {                                                                                                                            \
        const type *first = x[0];                                                                                                \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = load(first[i]);                                               \
        for (int t = 1; t < n_taps; t += 3) {                                                                                    \
            const type *a = x[t], *b = x[t + 1 < n_taps ? t + 1 : t], *c = x[t + 2 < n_taps ? t + 2 : t];                        \
            _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                                                                  \
            {                                                                                                                    \
                y[i] = greater(greater(y[i], load(a[i])), greater(load(b[i]), load(c[i])));                                      \
            }                                                                                                                    \
        }                                                                                                                        \
    }                                                                                                                            \
    void SIMD(weigh_taps##suffix)(float *y, const type *const *x, const float *weight, int n_taps, int64_t n)                    \
    {                                                                                                                            \
        int t = 0;                                                                                                               \
        if (n_taps >= 4) {                                                                                                       \
            const type *a = x[0], *b = x[1], *c = x[2], *d = x[3];                                                               \
            float s = weight[0], u = weight[1], v = weight[2], w = weight[3];                                                    \
            _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                                                                  \
            {                                                                                                                    \
                y[i] = (load(a[i]) * s + load(b[i]) * u) + (load(c[i]) * v + load(d[i]) * w);                                    \
            }                                                                                                                    \
            t = 4;                                                                                                               \
        } else {                                                                                                                 \
            const type *a = x[0];                                                                                                \
            float s = weight[0];                                                                                                 \
            _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = load(a[i]) * s;                                           \
            t = 1;                                                                                                               \
        }                                                                                                                        \
        for (; t < n_taps; t++) {                                                                                                \
            const type *a = x[t];                                                                                                \
            float s = weight[t];                                                                                                 \
            _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] += load(a[i]) * s;                                          \
        }                                                                                                                        \
    }                                                                                                                            \
    void SIMD(add_points##suffix)(float *y, const type *x, int64_t n_points, int64_t stride, int64_t n)                          \
    {                                                                                                                            \
        int64_t p = 0;                                                                                                           \
        for (; p + 4 <= n_points; p += 4) {                                                                                      \
            const type *a = x + p * stride, *b = a + stride, *c = b + stride, *d = c + stride;                                   \
            _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                                                                  \
            {                                                                                                                    \
                y[i] += (load(a[i]) + load(b[i])) + (load(c[i]) + load(d[i]));                                                   \
            }                                                                                                                    \
        }                                                                                                                        \
        for (; p < n_points; p++) {                                                                                              \
            const type *a = x + p * stride;                                                                                      \
            _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] += load(a[i]);                                              \
        }                                                                                                                        \
    }                                                                                                                            \
    void SIMD(affine##suffix)(float *y, const type *x, const float *scale, const float *shift, int64_t n)                        \
    {                                                                                                                            \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = load(x[i]) * scale[i] + shift[i];                             \
    }

#define AS_IT_IS(v) (v)
TAPS(, float, AS_IT_IS)
TAPS(_bf16, uint16_t, simd_of_bf16)
