/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows: normalisation, softmax, reductions. Sums run in as many lanes as a register has, four registers at once, over chunks that
 * are added in double: so that the error stays small in rows of any length.
 */
#include "runtime/native/simd/simd_inside.h"

#include <math.h>

enum { LANES = 16, CHUNK = 4096, SHORT = 16 * LANES, TOGETHER = 4 };

/* Sums `expression` of v = x[i] (and of `mean`): in each chunk four parts, for as many chains of additions. */
#define SUMS(name, expression)                                                                                                   \
    static double name(const float *x, int64_t n, float mean)                                                                    \
    {                                                                                                                            \
        double total = 0;                                                                                                        \
        (void)mean;                                                                                                              \
        for (; n > 0; x += CHUNK, n -= CHUNK) {                                                                                  \
            int64_t m = n < CHUNK ? n : CHUNK, q = m / 4;                                                                        \
            float s0 = 0, s1 = 0, s2 = 0, s3 = 0;                                                                                \
            _Pragma("omp simd reduction(+ : s0, s1, s2, s3)") for (int64_t i = 0; i < q; i++)                                    \
            {                                                                                                                    \
                s0 += expression(x[i]);                                                                                          \
                s1 += expression(x[i + q]);                                                                                      \
                s2 += expression(x[i + 2 * q]);                                                                                  \
                s3 += expression(x[i + 3 * q]);                                                                                  \
            }                                                                                                                    \
            for (int64_t i = 4 * q; i < m; i++)                                                                                  \
                s0 += expression(x[i]);                                                                                          \
            total += (double)((s0 + s1) + (s2 + s3));                                                                            \
        }                                                                                                                        \
        return total;                                                                                                            \
    }
#define ITSELF(v) (v)
#define SQUARE(v) ((v) * (v))
#define ABSOLUTE(v) ((v) < 0 ? -(v) : (v))
#define DEVIATION(v) (((v)-mean) * ((v)-mean))
SUMS(sum, ITSELF)
SUMS(sum_squares, SQUARE)
SUMS(sum_abs, ABSOLUTE)
SUMS(sum_deviations, DEVIATION)

/* Infinite for no elements. A NaN may be lost: see has_nan. */
static float largest(const float *x, int64_t n) { return simd_largest(x, n, -INFINITY); }

static int has_nan(const float *x, int64_t n)
{
    int found = 0;
    _Pragma("omp simd reduction(| : found)") for (int64_t i = 0; i < n; i++) found |= x[i] != x[i];
    return found;
}

static float smallest(const float *x, int64_t n)
{
    int64_t half = n / 2;
    float a = INFINITY, b = INFINITY;
    _Pragma("omp simd reduction(min : a, b)") for (int64_t i = 0; i < half; i++)
    {
        a = x[i] < a ? x[i] : a;
        b = x[i + half] < b ? x[i + half] : b;
    }
    for (int64_t i = 2 * half; i < n; i++)
        a = x[i] < a ? x[i] : a;
    return a < b ? a : b;
}

void SIMD(moments)(const float *x, int64_t n, double *mean, double *variance)
{
    *mean = sum(x, n, 0) / (double)n;
    /* The mean as a float is off by its rounding; what that adds to the sum of squares is taken off again. */
    float rounded = (float)*mean;
    double error = *mean - (double)rounded;
    *variance = sum_deviations(x, n, rounded) / (double)n - error * error;
    if (*variance < 0)
        *variance = 0;
}

void SIMD(layer_norm)(float *y, const float *x, const float *scale, const float *bias, int64_t n, float epsilon)
{
    float mean = (float)(sum(x, n, 0) / (double)n);
    float factor = (float)(1 / sqrt(sum_deviations(x, n, mean) / (double)n + (double)epsilon));
    if (bias)
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * factor * scale[i] + bias[i];
    else
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * factor * scale[i];
}

void SIMD(rms_norm)(float *y, const float *x, const float *scale, int64_t n, float epsilon)
{
    float factor = (float)(1 / sqrt(sum_squares(x, n, 0) / (double)n + (double)epsilon));
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = x[i] * factor * scale[i];
}

void SIMD(linear)(float *y, const float *x, int64_t n, float a, float b)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = x[i] * a + b;
}

/* y = e^(x - most), and their sum; n is twice a multiple of LANES. */
static inline float exp_whole(float *y, const float *x, int64_t n, float most)
{
    float s0 = 0, s1 = 0;
    int64_t half = n / 2;
    _Pragma("omp simd reduction(+ : s0, s1)") for (int64_t i = 0; i < half; i++)
    {
        float e0 = simd_exp(x[i] - most), e1 = simd_exp(x[i + half] - most);
        y[i] = e0;
        y[i + half] = e1;
        s0 += e0;
        s1 += e1;
    }
    return s0 + s1;
}

/* As exp_whole for n < 2 LANES, under a mask: since one exponential costs as much as many. */
static inline float exp_rest(float *y, const float *x, int64_t n, float most)
{
    float sum = 0;
    int count = (int)n;
    _Pragma("omp simd reduction(+ : sum)") for (int i = 0; i < 2 * LANES; i++)
    {
        float e = 0;
        if (i < count) {
            e = simd_exp(x[i] - most);
            y[i] = e;
        }
        sum += e;
    }
    return sum;
}

static float exp_row(float *y, const float *x, int64_t n, float most)
{
    int64_t whole = n / (2 * LANES) * (2 * LANES);
    float sum = 0;
    for (int64_t i = 0; i < whole; i += CHUNK)
        sum += exp_whole(y + i, x + i, whole - i < CHUNK ? whole - i : CHUNK, most);
    return whole < n ? sum + exp_rest(y + whole, x + whole, n - whole, most) : sum;
}

static void softmax_long(float *y, const float *x, int64_t n)
{
    float factor = 1.0f / exp_row(y, x, n, largest(x, n));
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] *= factor;
}

/* Rows of LANES <= n <= width columns, width a constant where this is inlined: the last vector begins before the one before it
 * ends, and its share in the sum leaves out what both have. So all passes are of whole vectors; and several rows go through each
 * pass, since one alone would wait for its reductions. */
static inline __attribute__((always_inline)) void softmax_short(float *y, const float *x, int64_t n, int rows, int width)
{
    static const float share[2 * LANES] = {[LANES] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const int whole = width - LANES;
    const float *counts = share + (n - whole);
    float row[TOGETHER][SHORT], most[TOGETHER], factor[TOGETHER];
    for (int r = 0; r < rows; r++) {
        float m = -INFINITY;
        memcpy(row[r], x + r * n, (size_t)whole * sizeof(float));
        memcpy(row[r] + whole, x + r * n + n - LANES, LANES * sizeof(float));
        _Pragma("omp simd reduction(max : m)") for (int i = 0; i < width; i++) m = row[r][i] > m ? row[r][i] : m;
        most[r] = m;
    }
    for (int r = 0; r < rows; r++) {
        float m = most[r];
        _Pragma("omp simd") for (int i = 0; i < width; i++) row[r][i] = simd_exp(row[r][i] - m);
    }
    for (int r = 0; r < rows; r++) {
        float sum = 0;
        _Pragma("omp simd reduction(+ : sum)") for (int i = 0; i < LANES; i++) sum += row[r][whole + i] * counts[i];
        _Pragma("omp simd reduction(+ : sum)") for (int i = 0; i < whole; i++) sum += row[r][i];
        factor[r] = 1.0f / sum;
    }
    for (int r = 0; r < rows; r++) {
        float f = factor[r];
        _Pragma("omp simd") for (int i = 0; i < width; i++) row[r][i] *= f;
        memcpy(y + r * n, row[r], (size_t)whole * sizeof(float));
        memcpy(y + r * n + n - LANES, row[r] + whole, LANES * sizeof(float));
    }
}

static inline __attribute__((always_inline)) void softmax_width(float *y, const float *x, int64_t n, int64_t rows, int width)
{
    for (; rows >= TOGETHER; rows -= TOGETHER, x += TOGETHER * n, y += TOGETHER * n)
        softmax_short(y, x, n, TOGETHER, width);
    for (; rows > 0; rows--, x += n, y += n)
        softmax_short(y, x, n, 1, width);
}

void SIMD(softmax)(float *y, const float *x, int64_t n, int64_t rows)
{
#define WIDTH(vectors)                                                                                                           \
    case vectors:                                                                                                                \
        softmax_width(y, x, n, rows, vectors *LANES);                                                                            \
        break;
    switch (n < LANES ? 0 : (n + LANES - 1) / LANES) {
        WIDTH(1)
        WIDTH(2)
        WIDTH(3)
        WIDTH(4)
        WIDTH(5)
        WIDTH(6)
        WIDTH(7)
        WIDTH(8)
    default:
        if (n >= LANES && n <= SHORT)
            softmax_width(y, x, n, rows, (int)((n + LANES - 1) / LANES * LANES));
        else
            for (int64_t r = 0; r < rows; r++)
                softmax_long(y + r * n, x + r * n, n);
    }
#undef WIDTH
}

void SIMD(log_softmax)(float *y, const float *x, int64_t n)
{
    float most = largest(x, n), total = 0, block[CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK)
        total += exp_row(block, x + i, n - i < CHUNK ? n - i : CHUNK, most);
    float rest = logf(total);
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = x[i] - most - rest;
}

double SIMD(reduce)(const float *x, int64_t n, enum native_reduction how)
{
    switch (how) {
    case NATIVE_SUM:
        return sum(x, n, 0);
    case NATIVE_SUM_SQUARES:
        return sum_squares(x, n, 0);
    case NATIVE_SUM_ABS:
        return sum_abs(x, n, 0);
    case NATIVE_MAX:
        return has_nan(x, n) ? NAN : (double)largest(x, n);
    default:
        return has_nan(x, n) ? NAN : (double)smallest(x, n);
    }
}

#define INTO(expression)                                                                                                         \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                                                                          \
    {                                                                                                                            \
        float v = x[i], w = y[i];                                                                                                \
        y[i] = expression;                                                                                                       \
    }                                                                                                                            \
    break;

void SIMD(reduce_into)(float *y, const float *x, int64_t n, enum native_reduction how)
{
    switch (how) {
    case NATIVE_SUM:
        INTO(w + v)
    case NATIVE_SUM_SQUARES:
        INTO(w + v * v)
    case NATIVE_SUM_ABS:
        INTO(w + ABSOLUTE(v))
    case NATIVE_MAX:
        INTO(v > w || v != v ? v : w)
    default:
        INTO(v < w || v != v ? v : w)
    }
}

int64_t SIMD(arg_max)(const float *x, int64_t n)
{
    int64_t i = 0;
    if (has_nan(x, n)) {
        while (x[i] == x[i])
            i++;
        return i;
    }
    float most = largest(x, n);
    while (i < n - 1 && x[i] != most)
        i++;
    return i;
}
