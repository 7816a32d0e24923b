/* SPDX-License-Identifier: Apache-2.0 */
/* Loops of training: updates of parameters, and gradients of rows. */
#include "runtime/native/simd/simd_inside.h"

#include <math.h>

void SIMD(sgd)(float *p, const float *p0, const float *g, float *m, const float *m0, int64_t n, const struct native_sgd *how)
{
    float scale = how->scale, decay = how->decay, momentum = how->momentum, rate = how->rate;
    if (!m)
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) p[i] = p0[i] - rate * (scale * g[i] + decay * p0[i]);
    else if (how->nesterov)
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++)
        {
            float step = scale * g[i] + decay * p0[i];
            m[i] = momentum * m0[i] + step;
            p[i] = p0[i] - rate * (step + momentum * m[i]);
        }
    else
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++)
        {
            m[i] = momentum * m0[i] + (scale * g[i] + decay * p0[i]);
            p[i] = p0[i] - rate * m[i];
        }
}

void SIMD(adam)(float *p, const float *p0, const float *g, float *m, const float *m0, float *v, const float *v0, int64_t n,
                const struct native_adam *how)
{
    float scale = how->scale, decay = how->decay, keep = how->keep, beta1 = how->beta1, beta2 = how->beta2, rest1 = how->rest1,
          rest2 = how->rest2, rate = how->rate, root = how->root, epsilon = how->epsilon;
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++)
    {
        float step = scale * g[i] + decay * p0[i];
        float first = beta1 * m0[i] + rest1 * step, second = beta2 * v0[i] + rest2 * step * step;
        m[i] = first;
        v[i] = second;
        p[i] = keep * p0[i] - rate * first / (sqrtf(second) * root + epsilon);
    }
}

/* Where vectors are long, sums are taken in chunks. */
enum { CHUNK = 4096 };

static double dot(const float *x, const float *y, int64_t n)
{
    double total = 0;
    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t m = n - at < CHUNK ? n - at : CHUNK;
        const float *a = x + at, *b = y + at;
        float sum = 0;
        _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < m; i++) sum += a[i] * b[i];
        total += (double)sum;
    }
    return total;
}

void SIMD(softmax_gradient)(float *dx, const float *dy, const float *y, int64_t n)
{
    float sum = (float)dot(dy, y, n);
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - sum);
}

void SIMD(log_softmax_gradient)(float *dx, const float *dy, const float *y, int64_t n)
{
    float sum = (float)SIMD(reduce)(dy, n, NATIVE_SUM);
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) dx[i] = dy[i] - simd_exp(y[i]) * sum;
}

void SIMD(exp_scaled)(float *y, const float *x, int64_t n, float factor)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = simd_exp(x[i]) * factor;
}

void SIMD(norm_gradient)(float *dx, const float *dy, const float *x, const float *scale, int64_t n, float mean, float inverse,
                         bool centred, float *dscale, float *dbias)
{
    double sum = 0, product = 0;
    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t m = n - at < CHUNK ? n - at : CHUNK;
        const float *g = dy + at, *v = x + at, *s = scale + at;
        float *ds = dscale + at, *db = dbias + at, s0 = 0, s1 = 0;
        _Pragma("omp simd reduction(+ : s0, s1)") for (int64_t i = 0; i < m; i++)
        {
            float h = (v[i] - mean) * inverse, a = g[i] * s[i];
            s0 += a;
            s1 += a * h;
            ds[i] += g[i] * h;
            db[i] += g[i];
        }
        sum += (double)s0;
        product += (double)s1;
    }
    float a = centred ? (float)(sum / (double)n) : 0, b = (float)(product / (double)n);
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) dx[i] = (dy[i] * scale[i] - a - (x[i] - mean) * inverse * b) * inverse;
}

void SIMD(normalise)(float *y, const float *x, const float *scale, const float *bias, int64_t n, float mean, float inverse)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * inverse * scale[i] + bias[i];
}

/* Sums over points: four at a time are added pairwise, and those in double, since a gradient that nearly vanishes is what is left
 * of large numbers. */
void SIMD(channel_sums)(const float *dy, const float *x, const float *mean, double *sums, double *products, int64_t n_points,
                        int64_t n)
{
    int64_t k = 0;
    for (; k + 4 <= n_points; k += 4, x += 4 * n, dy += 4 * n) {
        const float *x1 = x + n, *x2 = x1 + n, *x3 = x2 + n, *g1 = dy + n, *g2 = g1 + n, *g3 = g2 + n;
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++)
        {
            float m = mean[i];
            sums[i] += (double)((dy[i] + g1[i]) + (g2[i] + g3[i]));
            products[i] += (double)((dy[i] * (x[i] - m) + g1[i] * (x1[i] - m)) + (g2[i] * (x2[i] - m) + g3[i] * (x3[i] - m)));
        }
    }
    for (; k < n_points; k++, x += n, dy += n)
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++)
        {
            sums[i] += (double)dy[i];
            products[i] += (double)(dy[i] * (x[i] - mean[i]));
        }
}

void SIMD(channel_moments)(const float *x, const float *shift, double *sums, double *squares, int64_t n_points, int64_t n)
{
    int64_t k = 0;
    for (; k + 4 <= n_points; k += 4, x += 4 * n) {
        const float *x1 = x + n, *x2 = x1 + n, *x3 = x2 + n;
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++)
        {
            float d0 = x[i] - shift[i], d1 = x1[i] - shift[i], d2 = x2[i] - shift[i], d3 = x3[i] - shift[i];
            sums[i] += (double)((d0 + d1) + (d2 + d3));
            squares[i] += (double)((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3));
        }
    }
    for (; k < n_points; k++, x += n)
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++)
        {
            float d = x[i] - shift[i];
            sums[i] += (double)d;
            squares[i] += (double)(d * d);
        }
}

/* y = a (x - mean) + b, each by channel. */
void SIMD(channel_normalise)(float *y, const float *x, const float *mean, const float *a, const float *b, int64_t n_points,
                             int64_t n)
{
    for (int64_t k = 0; k < n_points; k++, x += n, y += n)
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = a[i] * (x[i] - mean[i]) + b[i];
}

/* dx = a ((dy - dmean) - (x - mean) b), each by channel. */
void SIMD(channel_gradient)(float *dx, const float *dy, const float *x, const float *dmean, const float *mean, const float *a,
                            const float *b, int64_t n_points, int64_t n)
{
    for (int64_t k = 0; k < n_points; k++, x += n, dy += n, dx += n)
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) dx[i] = a[i] * ((dy[i] - dmean[i]) - (x[i] - mean[i]) * b[i]);
}

void SIMD(add_scaled)(float *y, const float *x, float factor, int64_t n)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] += x[i] * factor;
}

void SIMD(greatest_at)(float *y, int32_t *at, const float *x, int32_t place, int64_t n)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++)
    {
        int takes = x[i] > y[i] || x[i] != x[i];
        y[i] = takes ? x[i] : y[i];
        at[i] = takes ? place : at[i];
    }
}
