/* SPDX-License-Identifier: Apache-2.0 */
/* Location, spread and quantiles of one set of samples; see stats.h. Comparisons are in bootstrap.c and rank.c. */
#include "stats/stats.h"
#include "stats/select.h"

#include "base/arena.h"

#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Neumaier 1974: Kahan's sum that also holds where a term is larger than the sum. */
static double compensated_sum(const double *x, size_t n)
{
    double sum = 0, lost = 0;
    for (size_t i = 0; i < n; i++) {
        double next = sum + x[i];
        lost += fabs(sum) >= fabs(x[i]) ? (sum - next) + x[i] : (x[i] - next) + sum;
        sum = next;
    }
    return sum + lost;
}

double assay_stats_mean(const double *x, size_t n)
{
    ASSAY_ASSERT(n >= 1);
    return compensated_sum(x, n) / (double)n;
}

double assay_stats_deviation(const double *x, size_t n)
{
    if (n < 2)
        return 0;
    double mean = assay_stats_mean(x, n), squares = 0, rest = 0;
    for (size_t i = 0; i < n; i++) {
        double d = x[i] - mean;
        squares += d * d;
        rest += d;
    }
    /* The second term takes back the rounding of the mean (Chan, Golub & LeVeque 1983). */
    double variance = (squares - rest * rest / (double)n) / (double)(n - 1);
    return variance > 0 ? sqrt(variance) : 0;
}

struct assay_interval assay_stats_mean_interval(const double *x, size_t n, double level)
{
    if (n < 2 || !(level > 0 && level < 1))
        return (struct assay_interval){0};
    double mean = assay_stats_mean(x, n);
    double reach = gsl_cdf_tdist_Qinv((1 - level) / 2, (double)(n - 1)) * assay_stats_deviation(x, n) / sqrt((double)n);
    return (struct assay_interval){.low = mean - reach, .high = mean + reach, .level = level, .exists = true};
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double *assay_stats_sorted(const double *x, size_t n)
{
    double *copy = assay_alloc(n * sizeof *copy);
    memcpy(copy, x, n * sizeof *copy);
    qsort(copy, n, sizeof *copy, compare_doubles);
    return copy;
}

static double between(double low, double high, double fraction) { return fraction > 0 ? low + fraction * (high - low) : low; }

double assay_stats_sorted_quantile(const double *sorted, size_t n, double p)
{
    double position = fmin(fmax(p, 0), 1) * (double)(n - 1);
    size_t k = (size_t)position;
    return between(sorted[k], sorted[k + 1 < n ? k + 1 : k], position - (double)k);
}

static void swap(double *a, double *b)
{
    double t = *a;
    *a = *b;
    *b = t;
}

/* Quickselect with a median-of-three pivot and a three-way split, so that many equal values (a coarse clock) stay linear. */
double assay_stats_select(double *x, size_t n, size_t k)
{
    size_t low = 0, high = n;
    while (high - low > 1) {
        double a = x[low], b = x[low + (high - low) / 2], c = x[high - 1];
        double pivot = fmax(fmin(a, b), fmin(fmax(a, b), c));
        size_t smaller = low, i = low, larger = high;
        while (i < larger) {
            if (x[i] < pivot)
                swap(&x[i++], &x[smaller++]);
            else if (x[i] > pivot)
                swap(&x[i], &x[--larger]);
            else
                i++;
        }
        if (k < smaller)
            high = smaller;
        else if (k >= larger)
            low = larger;
        else
            return pivot;
    }
    return x[k];
}

double assay_stats_quantile(const double *x, size_t n, double p)
{
    ASSAY_ASSERT(n >= 1);
    double *copy = assay_alloc(n * sizeof *copy);
    memcpy(copy, x, n * sizeof *copy);
    double position = fmin(fmax(p, 0), 1) * (double)(n - 1);
    size_t k = (size_t)position;
    double low = assay_stats_select(copy, n, k), high = low;
    if (k + 1 < n)
        high = assay_stats_select(copy + k + 1, n - k - 1, 0);
    free(copy);
    return between(low, high, position - (double)k);
}

double assay_stats_median(const double *x, size_t n) { return assay_stats_quantile(x, n, 0.5); }

double assay_stats_mad(const double *x, size_t n)
{
    double median = assay_stats_median(x, n);
    double *deviations = assay_alloc(n * sizeof *deviations);
    for (size_t i = 0; i < n; i++)
        deviations[i] = fabs(x[i] - median);
    double mad = assay_stats_median(deviations, n);
    free(deviations);
    return 1.4826 * mad;
}

/* A hair is given, so that 0.9 of 100, which is 10 but for rounding, counts. */
bool assay_stats_supports(size_t n, double p) { return (double)n * fmin(p, 1 - p) >= 10 * (1 - 1e-9); }

/* P(X <= k) for X binomial(n, p). Above 100,000 GSL's continued fraction may not converge, and the normal is exact to 1e-3. */
static double binomial_cdf(int64_t k, double p, size_t n)
{
    if (k < 0)
        return 0;
    if (k >= (int64_t)n)
        return 1;
    if (n <= 100000)
        return gsl_cdf_binomial_P((unsigned)k, p, (unsigned)n);
    double mean = (double)n * p;
    return gsl_cdf_ugaussian_P(((double)k + 0.5 - mean) / sqrt(mean * (1 - p)));
}

/* The smallest k in [0, n] with P(X <= k) >= probability. */
static int64_t binomial_quantile(double probability, double p, size_t n)
{
    int64_t low = 0, high = (int64_t)n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (binomial_cdf(middle, p, n) >= probability)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The l-th and u-th smallest (from 1), l the largest with P(X < l) <= tail and u the smallest with P(X >= u) <= tail, where X,
 * the number of samples below the true quantile, is binomial. */
struct assay_interval assay_stats_quantile_interval(const double *x, size_t n, double p, double level)
{
    struct assay_interval interval = {0};
    double tail = (1 - level) / 2;
    if (n < 1 || !(p > 0 && p < 1) || !(level > 0 && level < 1))
        return interval;
    int64_t l = binomial_quantile(tail, p, n);
    if (binomial_cdf(l, p, n) <= tail)
        l++;
    int64_t u = binomial_quantile(1 - tail, p, n) + 1;
    if (l < 1 || u > (int64_t)n)
        return interval;
    double *copy = assay_alloc(n * sizeof *copy);
    memcpy(copy, x, n * sizeof *copy);
    interval.low = assay_stats_select(copy, n, (size_t)l - 1);
    interval.high = assay_stats_select(copy, n, (size_t)u - 1);
    interval.level = binomial_cdf(u - 1, p, n) - binomial_cdf(l - 1, p, n);
    interval.exists = true;
    free(copy);
    return interval;
}

double assay_stats_autocorrelation(const double *x, size_t n)
{
    if (n < 3)
        return 0;
    double mean = assay_stats_mean(x, n), products = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        squares += (x[i] - mean) * (x[i] - mean);
        if (i > 0)
            products += (x[i] - mean) * (x[i - 1] - mean);
    }
    /* What rounding leaves of constant data is not variance. */
    double rounding = mean * 1e-12;
    return squares > (double)n * rounding * rounding ? products / squares : 0;
}
