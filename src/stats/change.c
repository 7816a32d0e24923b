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

/* ---- change points */

enum { LEVEL_SHORTEST = 3, KNOTS = 64, PERMUTATIONS = 499 };

/* A segment as the knot interval that each value lies in, and the width of each interval. In one dimension the energy distance of
 * two samples is 2 ∫ (F - G)² dx (Székely 2003), here a sum over the knots. */
struct binned {
    unsigned char *bin;
    size_t n;
    double width[KNOTS];
    int n_bins;
};

static void bin_values(const double *x, size_t n, struct binned *binned)
{
    double *sorted = assay_stats_sorted(x, n), knots[KNOTS];
    int n_knots = 0;
    for (int k = 0; k < KNOTS; k++) {
        double knot = sorted[n <= KNOTS ? (size_t)k % n : (size_t)k * (n - 1) / (KNOTS - 1)];
        if (n_knots == 0 || knot > knots[n_knots - 1])
            knots[n_knots++] = knot;
    }
    free(sorted);
    binned->n = n;
    binned->n_bins = n_knots;
    for (int k = 0; k < n_knots; k++)
        binned->width[k] = k + 1 < n_knots ? knots[k + 1] - knots[k] : 0;
    for (size_t i = 0; i < n; i++) {
        int low = 0, high = n_knots - 1;
        while (low < high) { /* the last knot not above the value */
            int middle = (low + high + 1) / 2;
            if (knots[middle] <= x[i])
                low = middle;
            else
                high = middle - 1;
        }
        binned->bin[i] = (unsigned char)low;
    }
}

/* The largest scaled energy distance of the two sides over all splits, and where. */
static double largest_energy(const struct binned *binned, size_t *at)
{
    double all[KNOTS] = {0}, left[KNOTS] = {0}, n = (double)binned->n, best = 0;
    for (size_t i = 0; i < binned->n; i++)
        all[binned->bin[i]]++;
    *at = 0;
    for (size_t k = 1; k + LEVEL_SHORTEST <= binned->n; k++) {
        left[binned->bin[k - 1]]++;
        if (k < LEVEL_SHORTEST)
            continue;
        double below_left = 0, below_all = 0, sum = 0, m = (double)k;
        for (int b = 0; b < binned->n_bins; b++) {
            below_left += left[b];
            below_all += all[b];
            double difference = below_left / m - (below_all - below_left) / (n - m);
            sum += binned->width[b] * difference * difference;
        }
        double energy = 2 * sum * m * (n - m) / n;
        if (energy > best) {
            best = energy;
            *at = k;
        }
    }
    return best;
}

/* Where x[0..n) changes most, if a random order of its values would seldom change as much; 0 if not. */
static size_t significant_change(const double *x, size_t n, double alpha, struct assay_rng *rng)
{
    if (n < 2 * LEVEL_SHORTEST)
        return 0;
    struct binned binned = {.bin = assay_alloc(n)};
    bin_values(x, n, &binned);
    size_t at, ignored;
    double energy = largest_energy(&binned, &at);
    int n_allowed = (int)(alpha * (PERMUTATIONS + 1)) - 1, n_larger = 0;
    for (int p = 0; at && p < PERMUTATIONS && n_larger <= n_allowed; p++) {
        for (size_t i = n - 1; i > 0; i--) {
            size_t k = assay_rng_below(rng, i + 1);
            unsigned char t = binned.bin[i];
            binned.bin[i] = binned.bin[k];
            binned.bin[k] = t;
        }
        n_larger += largest_energy(&binned, &ignored) >= energy * (1 - 1e-12);
    }
    free(binned.bin);
    return n_larger <= n_allowed ? at : 0;
}

size_t assay_stats_change_points(const double *x, size_t n, double alpha, uint64_t seed, size_t *points, size_t limit)
{
    struct assay_rng rng;
    assay_rng_init(&rng, seed, assay_rng_stream("change points"));
    size_t n_points = 0, from = 0;
    /* Left to right: the segment from `from` to the next known point (or the end) is split until it no longer can be. `points`
     * holds those to the left, which are final, and `pending` those to the right. */
    size_t n_pending = 1, *pending = assay_alloc((n + 1) * sizeof *pending);
    pending[0] = n;
    while (n_pending && n_points < limit) {
        size_t end = pending[n_pending - 1], at = significant_change(x + from, end - from, alpha, &rng);
        if (at) {
            pending[n_pending++] = from + at;
            continue;
        }
        n_pending--;
        from = end;
        if (end < n)
            points[n_points++] = end;
    }
    free(pending);
    return n_points;
}
