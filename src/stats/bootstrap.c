/* SPDX-License-Identifier: Apache-2.0 */
/* Intervals for medians of series and for the ratio of two medians; see stats.h for the methods. */
#include "stats/stats.h"
#include "stats/select.h"

#include "base/arena.h"

#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A median's sampling distribution: that of the sorted samples at the position 0.5 + t · error. */
struct position {
    double *sorted; /* owned */
    size_t n;
    double error, freedom;
};

/* Lags beyond this are not looked at: a correlation that long is drift, which no interval of one run can cover. */
enum { LARGEST_LAG = 200, QUIET_LAGS = 5 };

static double autocovariance(const double *y, size_t n, double mean, size_t lag)
{
    double sum = 0;
    for (size_t i = lag; i < n; i++)
        sum += (y[i] - mean) * (y[i - lag] - mean);
    return sum / (double)n;
}

/* Raises *variance to the flat-top estimate where that is larger, and lowers *freedom. Bandwidth: twice the last lag before
 * QUIET_LAGS insignificant ones (Politis 2003). */
static void raise_to_flat_top(const double *y, size_t n, double mean, double *variance, double *freedom)
{
    double covariance[LARGEST_LAG + 1], threshold = 2 * sqrt(log10((double)n) / (double)n);
    size_t n_lags = n / 4 < LARGEST_LAG ? n / 4 : LARGEST_LAG, known = 0, quiet = 0, last = 0;
    covariance[0] = autocovariance(y, n, mean, 0);
    for (size_t lag = 1; lag <= n_lags && (quiet < QUIET_LAGS || lag <= 2 * last); lag++) {
        covariance[lag] = autocovariance(y, n, mean, lag);
        known = lag;
        if (quiet == QUIET_LAGS)
            continue;
        quiet = fabs(covariance[lag]) < threshold * covariance[0] ? quiet + 1 : 0;
        last = quiet ? last : lag;
    }
    if (last == 0)
        return;
    double width = 2 * (double)last, sum = covariance[0];
    for (size_t lag = 1; lag <= known && (double)lag < width; lag++)
        sum += 2 * fmin(1, 2 * (1 - (double)lag / width)) * covariance[lag];
    /* Taking out the mean made each covariance too small by sum/n; the weights add up to 1.5 · width. */
    sum /= fmax(1 - 1.5 * width / (double)n, 0.3);
    *variance = fmax(*variance, sum);
    *freedom = fmin(*freedom, fmax(0.75 * (double)n / width, 3));
}

/* Long-run variance of the indicator y, and Student's degrees of freedom that its uncertainty is worth. */
static double long_run_variance(const double *y, size_t n, double *freedom)
{
    double mean = assay_stats_mean(y, n), plain = autocovariance(y, n, mean, 0) * (double)n / (double)(n - 1);
    double r = assay_stats_autocorrelation(y, n);
    r += (1 + 3 * r) / (double)n; /* its bias (Kendall 1954) */
    r = fmin(fmax(r, 0), 0.95);
    double variance = plain * (1 + r) / (1 - r);
    *freedom = fmax((double)(n - 1) * (1 - r) / (1 + r), 3);
    raise_to_flat_top(y, n, mean, &variance, freedom);
    return variance;
}

static struct position position_of_median(const double *x, size_t n)
{
    struct position position = {.sorted = assay_stats_sorted(x, n), .n = n, .error = 1, .freedom = 3};
    if (n < 4)
        return position;
    double median = assay_stats_sorted_quantile(position.sorted, n, 0.5), largest = -1;
    double *indicator = assay_alloc(n * sizeof *indicator);
    /* Where samples equal the median, below it and not above it differ: the more variable counts. */
    for (int equal = 0; equal < 2; equal++) {
        for (size_t i = 0; i < n; i++)
            indicator[i] = x[i] < median || (equal && x[i] == median);
        double freedom, variance = long_run_variance(indicator, n, &freedom);
        if (variance > largest) {
            largest = variance;
            position.freedom = freedom;
        }
    }
    position.error = sqrt(largest / (double)n);
    free(indicator);
    return position;
}

static struct assay_interval position_interval(const struct position *p, double level)
{
    double reach = gsl_cdf_tdist_Qinv((1 - level) / 2, p->freedom) * p->error;
    /* As for independent samples, five cannot bound a median, however alike they are. */
    if (!(reach < 0.5) || p->n < 6)
        return (struct assay_interval){0};
    return (struct assay_interval){.low = assay_stats_sorted_quantile(p->sorted, p->n, 0.5 - reach),
                                   .high = assay_stats_sorted_quantile(p->sorted, p->n, 0.5 + reach),
                                   .level = level,
                                   .exists = true};
}

struct assay_interval assay_stats_median_interval(const double *x, size_t n, double level)
{
    if (n == 0 || !(level > 0 && level < 1))
        return (struct assay_interval){0};
    struct position position = position_of_median(x, n);
    struct assay_interval interval = position_interval(&position, level);
    free(position.sorted);
    return interval;
}

/* Draws n medians: the middles of n equal slices of the distribution, in random order, which is less noisy than plain draws. */
static void draw_medians(const struct position *p, size_t n, struct assay_rng *rng, double *medians)
{
    for (size_t i = 0; i < n; i++) {
        double t = gsl_cdf_tdist_Pinv(((double)i + 0.5) / (double)n, p->freedom);
        medians[i] = assay_stats_sorted_quantile(p->sorted, p->n, 0.5 + t * p->error);
    }
    for (size_t i = n - 1; i > 0; i--) {
        size_t k = assay_rng_below(rng, i + 1);
        double t = medians[i];
        medians[i] = medians[k];
        medians[k] = t;
    }
}

/* Percentile interval and p of median(b)/median(a) from n draws of each. */
static void bootstrap_ratio(const struct position *a, const struct position *b, double level, size_t n, uint64_t seed,
                            struct assay_ratio *ratio)
{
    struct assay_rng rng;
    assay_rng_init(&rng, seed, assay_rng_stream("ratio of medians"));
    double *draws_a = assay_alloc(2 * n * sizeof *draws_a), *draws_b = draws_a + n;
    draw_medians(a, n, &rng, draws_a);
    draw_medians(b, n, &rng, draws_b);
    size_t n_not_above = 0, n_not_below = 0;
    for (size_t i = 0; i < n; i++) {
        n_not_above += draws_b[i] <= draws_a[i];
        n_not_below += draws_b[i] >= draws_a[i];
        draws_a[i] = draws_b[i] / draws_a[i];
    }
    ratio->interval.low = assay_stats_quantile(draws_a, n, (1 - level) / 2);
    ratio->interval.high = assay_stats_quantile(draws_a, n, (1 + level) / 2);
    ratio->interval.level = level;
    ratio->interval.exists = isfinite(ratio->interval.high);
    size_t n_smaller = n_not_above < n_not_below ? n_not_above : n_not_below;
    ratio->p_value = fmin(2 * (double)(n_smaller + 1) / (double)(n + 1), 1);
    free(draws_a);
}

struct assay_ratio assay_stats_ratio_of_medians(const double *a, size_t n_a, const double *b, size_t n_b, double level,
                                                int n_resamples, uint64_t seed)
{
    struct assay_ratio ratio = {.ratio = 1, .p_value = 1};
    if (n_a == 0 || n_b == 0 || !(level > 0 && level < 1))
        return ratio;
    struct position of_a = position_of_median(a, n_a), of_b = position_of_median(b, n_b);
    double median_a = assay_stats_sorted_quantile(of_a.sorted, n_a, 0.5);
    double median_b = assay_stats_sorted_quantile(of_b.sorted, n_b, 0.5);
    if (of_a.sorted[0] > 0 && of_b.sorted[0] > 0) {
        ratio.ratio = median_b / median_a;
        if (position_interval(&of_a, level).exists && position_interval(&of_b, level).exists)
            bootstrap_ratio(&of_a, &of_b, level, n_resamples < 200 ? 200 : (size_t)n_resamples, seed, &ratio);
    }
    free(of_a.sorted);
    free(of_b.sorted);
    return ratio;
}

/* ---- several runs a side */

struct side {
    int n_runs;
    bool valid;       /* all samples are positive, and a lone run has enough of them */
    double log_level; /* mean of the logarithms of the runs' medians */
    double variance;  /* of log_level */
    double freedom;
};

/* Standard error of the logarithm of one run's median, and its degrees of freedom. */
static double log_median_error(const double *x, size_t n, double *freedom, bool *exists)
{
    struct position p = position_of_median(x, n);
    double low = assay_stats_sorted_quantile(p.sorted, n, 0.5 - p.error);
    double high = assay_stats_sorted_quantile(p.sorted, n, 0.5 + p.error);
    *freedom = p.freedom;
    *exists = n >= 6 && p.error < 0.5;
    free(p.sorted);
    return log(high / low) / 2;
}

static struct side measure_side(const double *x, const int *group, size_t n, double between_run_sd)
{
    struct side side = {.valid = n > 0, .freedom = 1};
    int last = 0;
    for (size_t i = 0; i < n; i++) {
        ASSAY_ASSERT(group[i] >= 0 && (size_t)group[i] < n);
        last = group[i] > last ? group[i] : last;
        side.valid = side.valid && x[i] > 0;
    }
    if (!side.valid)
        return side;
    double *logs = assay_alloc(2 * n * sizeof *logs), *run = logs + n, within = 0;
    for (int r = 0; r <= last; r++) {
        size_t n_run = 0;
        for (size_t i = 0; i < n; i++)
            if (group[i] == r)
                run[n_run++] = x[i];
        if (n_run == 0)
            continue;
        bool exists;
        double error = log_median_error(run, n_run, &side.freedom, &exists);
        within += exists ? error * error : 0;
        side.valid = exists;
        logs[side.n_runs++] = log(assay_stats_median(run, n_run));
    }
    double k = side.n_runs;
    side.log_level = assay_stats_mean(logs, (size_t)side.n_runs);
    if (side.n_runs >= 2) {
        double deviation = assay_stats_deviation(logs, (size_t)side.n_runs);
        side.variance = fmax(deviation * deviation, within / k) / k;
        side.freedom = k - 1;
        side.valid = true;
    } else {
        side.variance = within + between_run_sd * between_run_sd;
    }
    free(logs);
    return side;
}

/* Welch 1947: Student's t with the degrees of freedom of the two sides' variances together. */
static void welch(const struct side *a, const struct side *b, double level, struct assay_ratio *ratio)
{
    double difference = b->log_level - a->log_level, variance = a->variance + b->variance;
    ratio->ratio = exp(difference);
    if (!a->valid || !b->valid)
        return;
    double parts = a->variance * a->variance / a->freedom + b->variance * b->variance / b->freedom;
    double freedom = parts > 0 ? variance * variance / parts : 1, error = sqrt(variance);
    double reach = gsl_cdf_tdist_Qinv((1 - level) / 2, freedom) * error;
    ratio->interval =
        (struct assay_interval){.low = exp(difference - reach), .high = exp(difference + reach), .level = level, .exists = true};
    ratio->p_value = error > 0 ? 2 * gsl_cdf_tdist_Q(fabs(difference) / error, freedom) : difference == 0;
}

/* Adds the spread between runs, twice, to an interval that knows only of the samples; both are distances of logarithms. */
static void widen(struct assay_ratio *ratio, double between_run_sd, double level)
{
    if (!ratio->interval.exists || !(between_run_sd > 0))
        return;
    double z = gsl_cdf_ugaussian_Qinv((1 - level) / 2), extra = z * between_run_sd * sqrt(2), center = log(ratio->ratio);
    double below = hypot(center - log(ratio->interval.low), extra), above = hypot(log(ratio->interval.high) - center, extra);
    ratio->interval.low = exp(center - below);
    ratio->interval.high = exp(center + above);
    double error = (center > 0 ? below : above) / z;
    ratio->p_value = fmax(ratio->p_value, 2 * gsl_cdf_ugaussian_Q(fabs(center) / error));
}

struct assay_ratio assay_stats_ratio_of_runs(const double *a, const int *group_a, size_t n_a, const double *b, const int *group_b,
                                             size_t n_b, double between_run_sd, double level, int n_resamples, uint64_t seed)
{
    struct assay_ratio ratio = {.ratio = 1, .p_value = 1};
    if (n_a == 0 || n_b == 0 || !(level > 0 && level < 1))
        return ratio;
    struct side of_a = measure_side(a, group_a, n_a, between_run_sd), of_b = measure_side(b, group_b, n_b, between_run_sd);
    if (of_a.n_runs == 1 && of_b.n_runs == 1) {
        ratio = assay_stats_ratio_of_medians(a, n_a, b, n_b, level, n_resamples, seed);
        widen(&ratio, between_run_sd, level);
    } else if (of_a.n_runs && of_b.n_runs) {
        welch(&of_a, &of_b, level, &ratio);
    }
    return ratio;
}
