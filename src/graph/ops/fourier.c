/* SPDX-License-Identifier: Apache-2.0 */
/* See fourier.h. */
#include "graph/ops/fourier.h"

#include <math.h>

static void multiply(double *a, const double *b)
{
    double re = a[0] * b[0] - a[1] * b[1];
    a[1] = a[0] * b[1] + a[1] * b[0];
    a[0] = re;
}

/* Forward transform of x[m, 2], decimation in time. */
static void radix2(double *x, int64_t m, const double *twiddle)
{
    for (int64_t i = 1, j = 0; i < m; i++) {
        int64_t bit = m >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j |= bit;
        if (i >= j)
            continue;
        for (int k = 0; k < 2; k++) {
            double swap = x[2 * i + k];
            x[2 * i + k] = x[2 * j + k];
            x[2 * j + k] = swap;
        }
    }
    for (int64_t half = 1; half < m; half *= 2)
        for (int64_t start = 0; start < m; start += 2 * half)
            for (int64_t k = 0; k < half; k++) {
                double *a = x + 2 * (start + k), *b = a + 2 * half;
                double odd[2] = {b[0], b[1]};
                multiply(odd, twiddle + 2 * (k * (m / 2 / half)));
                b[0] = a[0] - odd[0];
                b[1] = a[1] - odd[1];
                a[0] += odd[0];
                a[1] += odd[1];
            }
}

/* exp(-πi numerator/denominator), exact where it is 1, -i or -1. */
static void unit_root(double *z, int64_t numerator, int64_t denominator)
{
    numerator %= 2 * denominator;
    double angle = M_PI * (double)numerator / (double)denominator;
    z[0] = 2 * numerator == denominator ? 0 : cos(angle);
    z[1] = numerator == 0 || numerator == denominator ? 0 : -sin(angle);
}

enum assay_status assay_fourier_init(struct assay_fourier *fourier, int64_t n, struct assay_error *err)
{
    *fourier = (struct assay_fourier){.n = n, .m = 1};
    ASSAY_ASSERT(n >= 1);
    if (n > (int64_t)1 << 28)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "a Fourier transform of length %lld is not supported", (long long)n);
    bool is_power = (n & (n - 1)) == 0;
    while (fourier->m < (is_power ? n : 2 * n - 1))
        fourier->m *= 2;
    int64_t m = fourier->m;
    struct assay_type type = assay_type_make(ASSAY_F64, 1, (int64_t[]){2 * (m + m / 2 + (is_power ? 0 : n + m))});
    enum assay_status st = assay_tensor_alloc(&fourier->memory, &type, err);
    if (st)
        return st;
    fourier->work = fourier->memory.data;
    fourier->twiddle = fourier->work + 2 * m;
    for (int64_t k = 0; k < m / 2; k++)
        unit_root(fourier->twiddle + 2 * k, 2 * k, m);
    if (is_power)
        return ASSAY_OK;
    fourier->chirp = fourier->twiddle + 2 * (m / 2);
    fourier->filter = fourier->chirp + 2 * n;
    memset(fourier->filter, 0, 2 * (size_t)m * sizeof(double));
    for (int64_t k = 0; k < n; k++) {
        double *chirp = fourier->chirp + 2 * k;
        unit_root(chirp, k * k, n);
        double *ends[2] = {fourier->filter + 2 * k, fourier->filter + 2 * ((m - k) % m)};
        for (int e = 0; e < 2; e++) {
            ends[e][0] = chirp[0];
            ends[e][1] = -chirp[1];
        }
    }
    radix2(fourier->filter, m, fourier->twiddle);
    return ASSAY_OK;
}

void assay_fourier_release(struct assay_fourier *fourier) { assay_tensor_release(&fourier->memory); }

static void conjugate(double *x, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        x[2 * k + 1] = -x[2 * k + 1];
}

/* x[k] = chirp[k] · Σ_j (x[j] · chirp[j]) · conj(chirp[k - j]), the sum as a cyclic convolution of length m. */
static void bluestein(struct assay_fourier *fourier, double *line)
{
    int64_t n = fourier->n, m = fourier->m;
    double *work = fourier->work;
    memcpy(work, line, 2 * (size_t)n * sizeof *work);
    memset(work + 2 * n, 0, 2 * (size_t)(m - n) * sizeof *work);
    for (int64_t k = 0; k < n; k++)
        multiply(work + 2 * k, fourier->chirp + 2 * k);
    radix2(work, m, fourier->twiddle);
    for (int64_t k = 0; k < m; k++)
        multiply(work + 2 * k, fourier->filter + 2 * k);
    /* The inverse by conjugation. */
    conjugate(work, m);
    radix2(work, m, fourier->twiddle);
    conjugate(work, m);
    for (int64_t k = 0; k < n; k++) {
        line[2 * k] = work[2 * k] / (double)m;
        line[2 * k + 1] = work[2 * k + 1] / (double)m;
        multiply(line + 2 * k, fourier->chirp + 2 * k);
    }
}

void assay_fourier_run(struct assay_fourier *fourier, double *line, bool inverse)
{
    int64_t n = fourier->n;
    if (inverse)
        conjugate(line, n);
    if (fourier->chirp)
        bluestein(fourier, line);
    else
        radix2(line, n, fourier->twiddle);
    for (int64_t k = 0; inverse && k < n; k++) {
        line[2 * k] /= (double)n;
        line[2 * k + 1] /= -(double)n;
    }
}
