/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics of samples: quantiles, intervals, comparisons. Nothing here knows of benchmarks. Functions sort copies, not their
 * input, and take an arena-free scratch of their own; n is small (≤ 1e7). Samples must be finite.
 */
#ifndef ASSAY_STATS_STATS_H
#define ASSAY_STATS_STATS_H

#include "base/rng.h"

#include <stdbool.h>
#include <stddef.h>

struct assay_interval {
    double low, high;
    double level; /* 0.95; the level really reached, which for order statistics can be higher than asked */
    bool exists;  /* n was large enough for one */
};

double assay_stats_mean(const double *x, size_t n);      /* n ≥ 1; compensated */
double assay_stats_deviation(const double *x, size_t n); /* sample standard deviation; 0 for n < 2 */
/* Interval for the mean of a few independent samples: Student's t with n - 1 degrees of freedom. Exact for normal ones; for
 * others better than a bootstrap, which is far too narrow below some twenty. exists = false for n < 2. */
struct assay_interval assay_stats_mean_interval(const double *x, size_t n, double level);
/* Quantile p in [0, 1], linear between order statistics (Hyndman & Fan 1996, type 7). n ≥ 1. */
double assay_stats_quantile(const double *x, size_t n, double p);
double assay_stats_median(const double *x, size_t n);
/* Median absolute deviation times 1.4826 (a robust standard deviation of normal data). */
double assay_stats_mad(const double *x, size_t n);

/* Whether n samples support the quantile p: at least 10 expected on its far side, n · min(p, 1-p) ≥ 10. So p90 takes 100, p99
 * 1,000. */
bool assay_stats_supports(size_t n, double p);

/* Distribution-free interval for quantile p from order statistics (binomial; Conover 1999, 3.2). exists = false if n is too small
 * for `level`. Assumes independent samples. */
struct assay_interval assay_stats_quantile_interval(const double *x, size_t n, double p, double level);
/* Interval for the median of a series with autocorrelation, which samples taken one after the other have: order statistics around
 * the median (Woodruff 1952), as far away as Student's t times the standard error of the share of samples below it. That error
 * comes from the long-run variance of the indicator "below the median": the largest of the plain one, that of an AR(1), and a
 * flat-top kernel estimate (Politis & Romano 1995, bandwidth of Politis 2003). In simulations it covers 0.93 to 0.96 for AR(1)
 * noise up to a correlation of 0.5 from 50 samples on, and 0.88 to 0.95 at 0.8. exists = false if n is too small (below about 7
 * independent samples). */
struct assay_interval assay_stats_median_interval(const double *x, size_t n, double level);
/* Lag-1 autocorrelation, 0 for n < 3 or constant data. */
double assay_stats_autocorrelation(const double *x, size_t n);

/* Ratio median(b)/median(a), of positive samples, with a bootstrap interval. */
struct assay_ratio {
    double ratio; /* 1 if a side is empty or a median is not positive; the interval does not exist then */
    struct assay_interval interval;
    double p_value; /* two-sided, of "no difference" */
};
/* Two independent series. The bootstrap draws each median from its own distribution, that of assay_stats_median_interval, so
 * autocorrelation counts; n_resamples below 200 means 200 (2,000 is a good number, and takes about 1 ms). The interval exists if
 * both medians' do. */
struct assay_ratio assay_stats_ratio_of_medians(const double *a, size_t n_a, const double *b, size_t n_b, double level,
                                                int n_resamples, uint64_t seed);
/* Several runs of each (a run = its own process, in which samples are alike): group_a[i] is the run of a[i], 0..n_runs-1. With
 * two runs or more on a side it is the runs' medians that count, so that the spread between runs does: ratio of their geometric
 * means, Welch's t on their logarithms (a bootstrap of two to ten runs would be far too narrow), and no less variance than the
 * samples within the runs imply. A side with one run has that run's own interval, widened by `between_run_sd` (relative, the
 * caller's knowledge of this machine; 0 = none). With one run on both sides it is assay_stats_ratio_of_medians, so widened;
 * n_resamples and seed are for that. */
struct assay_ratio assay_stats_ratio_of_runs(const double *a, const int *group_a, size_t n_a, const double *b, const int *group_b,
                                             size_t n_b, double between_run_sd, double level, int n_resamples, uint64_t seed);

/* Mann-Whitney U (Wilcoxon rank sum), two-sided p. Exact below 50 a side without ties, else normal with tie and
 * continuity correction, as R's wilcox.test. 1 if a side is empty. */
double assay_stats_rank_test(const double *a, size_t n_a, const double *b, size_t n_b);

/* Steady state of a warm-up: the first index from which the series shows no further change, by binary segmentation on ranks
 * (Pettitt 1979, corrected for autocorrelation); levels within 1 % or one robust deviation of the final one count as it, and far
 * outliers at the front are left out (Barrett et al., "Virtual machine warmup blows hot and cold", OOPSLA 2017, use the same
 * idea). n if it has not settled: fewer than max(8, n/4) steady samples at the end. */
size_t assay_stats_steady_from(const double *x, size_t n);
/* Change points of a series: indices at which a new level begins, increasing; at most `limit`. Returns their number. Energy
 * statistic with permutation test, each at level `alpha` ≥ 0.002 (E-divisive, Matteson & James 2014, used so by Daly et al. 2020
 * at MongoDB); a level lasts for three values at least. With more than 64 different values their distribution is looked at in 64
 * places, so that time grows as n. For histories of results, which are independent; a warm-up is for assay_stats_steady_from. */
size_t assay_stats_change_points(const double *x, size_t n, double alpha, uint64_t seed, size_t *points, size_t limit);

#endif
