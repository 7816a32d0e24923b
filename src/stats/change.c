/* SPDX-License-Identifier: Apache-2.0 */
/* Where a series changes its level: the end of a warm-up, and change points in a history of results; see stats.h. */
#include "stats/stats.h"
#include "stats/select.h"

#include "base/arena.h"

#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- warm-up */

/* Fewer samples than this cannot show that they are steady. */
enum { STEADY_SHORTEST = 8 };

struct split {
    size_t at; /* 0 = none */
    double z;
};

/* Takes a straight line out of y, in place. */
static void remove_line(double *y, size_t n)
{
    double mean = assay_stats_mean(y, n), middle = ((double)n - 1) / 2, products = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        products += ((double)i - middle) * (y[i] - mean);
        squares += ((double)i - middle) * ((double)i - middle);
    }
    double slope = squares > 0 ? products / squares : 0;
    for (size_t i = 0; i < n; i++)
        y[i] -= mean + slope * ((double)i - middle);
}

/* Lag-1 correlation of the noise: of what remains of the ranks after a line through either side of the split, so that neither a
 * step nor a slope, which are what is looked for, counts as correlation. Overwrites the ranks. */
static double noise_correlation(double *ranks, size_t n, size_t at)
{
    remove_line(ranks, at);
    remove_line(ranks + at, n - at);
    return assay_stats_autocorrelation(ranks, n);
}

/* The split of x with the largest standardized rank sum (Pettitt 1979). Autocorrelated noise has fewer independent samples than
 * values, so the deviation grows by the variance factor of an AR(1), (1 + r) / (1 - r). */
static struct split best_split(const double *x, size_t n, double *ranks)
{
    struct split best = {0};
    double total = (double)n, ties = assay_stats_ranks(x, n, ranks), sum = 0;
    double variance = (total + 1 - ties / (total * (total - 1))) / 12;
    if (!(variance > 1e-9 * total))
        return best;
    for (size_t k = 1; k < n; k++) {
        sum += ranks[k - 1];
        double m = (double)k, distance = fabs(sum - m * (total + 1) / 2);
        double z = distance / sqrt(variance * m * (total - m));
        if (z > best.z)
            best = (struct split){k, z};
    }
    if (best.at) {
        double r = fmin(fmax(noise_correlation(ranks, n, best.at), 0), 0.9);
        best.z *= sqrt((1 - r) / (1 + r));
    }
    return best;
}

/* Index of the last change of level: binary segmentation that follows the right part. The threshold is that of one test among the
 * n possible places (Bonferroni), at 1 %. */
static size_t last_change(const double *x, size_t n, double *ranks)
{
    size_t from = 0;
    while (n - from >= STEADY_SHORTEST) {
        struct split split = best_split(x + from, n - from, ranks);
        if (!split.at || split.z < gsl_cdf_ugaussian_Qinv(0.005 / (double)(n - from)))
            break;
        from += split.at;
    }
    return from;
}

/* How far two levels may be apart and still count as the same: 1 %, or the noise itself. */
static double tolerated_difference(const double *x, size_t n)
{
    return fmax(0.01 * fabs(assay_stats_median(x, n)), assay_stats_mad(x, n));
}

size_t assay_stats_steady_from(const double *x, size_t n)
{
    if (n < STEADY_SHORTEST)
        return n;
    double *ranks = assay_alloc(n * sizeof *ranks);
    size_t from = last_change(x, n, ranks), end = from;
    /* Changes too small to matter are taken back, from the last one to the first. */
    while (end > 0 && n - from >= STEADY_SHORTEST / 2) {
        size_t before = last_change(x, end, ranks);
        double difference = fabs(assay_stats_median(x + before, end - before) - assay_stats_median(x + from, n - from));
        if (difference > tolerated_difference(x + from, n - from))
            break;
        from = end = before;
    }
    free(ranks);
    /* Ranks cannot tell a change of one or two samples; first runs that are far out (Tukey's outer fence) are warm-up too. */
    size_t n_left = n - from;
    double low = assay_stats_quantile(x + from, n_left, 0.25), high = assay_stats_quantile(x + from, n_left, 0.75);
    double reach = fmax(3 * (high - low), 0.01 * fabs(high));
    while (from < n && (x[from] > high + reach || x[from] < low - reach))
        from++;
    size_t needed = n / 4 > STEADY_SHORTEST ? n / 4 : STEADY_SHORTEST;
    return n - from >= needed ? from : n;
}
