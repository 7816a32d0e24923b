/* SPDX-License-Identifier: Apache-2.0 */
/* Activations, element by element. */
#include "runtime/native/simd/simd_inside.h"

#define EACH(expression)                                                                                                         \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                                                                          \
    {                                                                                                                            \
        float v = x[i];                                                                                                          \
        y[i] = expression;                                                                                                       \
    }

void SIMD(relu)(float *y, const float *x, int64_t n) { EACH(v > 0 || v != v ? v : 0) }
void SIMD(sigmoid)(float *y, const float *x, int64_t n) { EACH(simd_sigmoid(v)) }
void SIMD(tanh)(float *y, const float *x, int64_t n) { EACH(simd_tanh(v)) }
void SIMD(exp)(float *y, const float *x, int64_t n) { EACH(simd_exp(v)) }
void SIMD(erf)(float *y, const float *x, int64_t n) { EACH(simd_erf(v)) }
void SIMD(gelu)(float *y, const float *x, int64_t n) { EACH(simd_gelu(v)) }
void SIMD(gelu_tanh)(float *y, const float *x, int64_t n) { EACH(simd_gelu_tanh(v)) }
void SIMD(swish)(float *y, const float *x, float alpha, int64_t n) { EACH(v * simd_sigmoid(alpha * v)) }
void SIMD(hard_swish)(float *y, const float *x, int64_t n) { EACH(v * simd_bounded(v * (1.0f / 6) + 0.5f, 0, 1)) }

void SIMD(lstm_cell)(float *h, float *c, const float *gates, int64_t n)
{
    const float *in = gates, *out = gates + n, *forget = gates + 2 * n, *cell = gates + 3 * n;
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++)
    {
        float next = simd_sigmoid(forget[i]) * c[i] + simd_sigmoid(in[i]) * simd_tanh(cell[i]);
        c[i] = next;
        h[i] = simd_sigmoid(out[i]) * simd_tanh(next);
    }
}

void SIMD(from_bf16)(float *y, const uint16_t *x, int64_t n)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = simd_of_bf16(x[i]);
}

void SIMD(to_bf16)(uint16_t *y, const float *x, int64_t n)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = simd_bf16_of(x[i]);
}
