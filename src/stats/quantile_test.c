/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/stats.h"

#include "base/test.h"

ASSAY_TEST(the_mean_is_compensated)
{
    /* Neumaier's own example: a plain sum gives 0. */
    const double x[] = {1, 1e100, 1, -1e100};
    CHECK_NEAR(assay_stats_mean(x, 4), 0.5, 0);
}

ASSAY_TEST(mean_deviation_and_correlation_agree_with_nist_numacc4)
{
    /* NIST Statistical Reference Datasets, NumAcc4: certified mean 10000000.2, deviation 0.1, lag-1 autocorrelation -0.999. The
     * data themselves are only good to 2e-9 in double, a part in 5e7 of the deviation. */
    double x[1001] = {10000000.2};
    for (int i = 1; i < 1001; i++)
        x[i] = i % 2 ? 10000000.1 : 10000000.3;
    CHECK_NEAR(assay_stats_mean(x, 1001), 10000000.2, 2e-9);
    CHECK_NEAR(assay_stats_deviation(x, 1001), 0.1, 1e-8);
    CHECK_NEAR(assay_stats_autocorrelation(x, 1001), -0.999, 1e-6);
}

ASSAY_TEST(quantiles_are_type_7)
{
    /* Python 3.11, statistics.quantiles(x, n=10, method="inclusive"), which is Hyndman & Fan's type 7. */
    const double x[] = {3.1, 1.2, 5.5, 2.0, 9.7, 4.4, 8.1};
    const double deciles[] = {1.68, 2.22, 2.88, 3.62, 4.4, 5.06, 6.02, 7.58, 8.74};
    for (int i = 0; i < 9; i++)
        CHECK_NEAR(assay_stats_quantile(x, 7, (i + 1) / 10.0), deciles[i], 1e-12);
    CHECK_NEAR(assay_stats_quantile(x, 7, 0), 1.2, 0);
    CHECK_NEAR(assay_stats_quantile(x, 7, 1), 9.7, 0);
    CHECK_NEAR(assay_stats_median(x, 6), 3.75, 1e-12);
    CHECK_NEAR(assay_stats_median(x, 1), 3.1, 0);
}

ASSAY_TEST(quantiles_of_many_equal_values_are_right)
{
    enum { N = 100000 };
    double *x = malloc(N * sizeof *x);
    for (int i = 0; i < N; i++)
        x[i] = i % 10 < 6 ? 5 : i % 10 < 8 ? 4 : 6;
    CHECK_NEAR(assay_stats_quantile(x, N, 0.1999), 4, 0);
    CHECK_NEAR(assay_stats_median(x, N), 5, 0);
    CHECK_NEAR(assay_stats_quantile(x, N, 0.8001), 6, 0);
    free(x);
}

ASSAY_TEST(the_median_absolute_deviation_is_that_of_r)
{
    /* R, help(mad): mad(c(1:9)) = 2.9652. */
    const double x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    CHECK_NEAR(assay_stats_mad(x, 9), 2.9652, 1e-12);
}

ASSAY_TEST(a_percentile_needs_ten_samples_beyond_it)
{
    CHECK(assay_stats_supports(20, 0.5) && !assay_stats_supports(19, 0.5));
    CHECK(assay_stats_supports(100, 0.9) && !assay_stats_supports(99, 0.9));
    CHECK(assay_stats_supports(1000, 0.99) && !assay_stats_supports(999, 0.99));
    CHECK(assay_stats_supports(10000, 0.999) && !assay_stats_supports(1000000, 1));
}

ASSAY_TEST(intervals_are_the_order_statistics_of_the_binomial_table)
{
    /* l, u and level from exact rational arithmetic of the binomial distribution; those of the median stand in every table of the
     * sign test. */
    static const struct {
        size_t n;
        double p, l, u, level;
    } known[] = {{6, 0.5, 1, 6, 0.96875},
                 {10, 0.5, 2, 9, 0.978515625},
                 {20, 0.5, 6, 15, 0.9586105346679688},
                 {101, 0.5, 41, 61, 0.9539559330706572},
                 {100, 0.9, 84, 96, 0.955690107191223}};
    double x[101];
    for (int i = 0; i < 101; i++)
        x[i] = i + 1;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct assay_interval interval = assay_stats_quantile_interval(x, known[i].n, known[i].p, 0.95);
        CHECK(interval.exists);
        CHECK_NEAR(interval.low, known[i].l, 0);
        CHECK_NEAR(interval.high, known[i].u, 0);
        CHECK_NEAR(interval.level, known[i].level, 1e-12);
    }
    CHECK(!assay_stats_quantile_interval(x, 5, 0.5, 0.95).exists);
    CHECK(!assay_stats_quantile_interval(x, 20, 0.99, 0.95).exists);
    CHECK(!assay_stats_quantile_interval(x, 0, 0.5, 0.95).exists);
}

ASSAY_TEST(an_interval_of_very_many_samples_is_right)
{
    /* 1e6 samples: the normal approximation gives 500000 -+ 1.96 * 500 = 499020 and 500980. */
    enum { N = 1000000 };
    double *x = malloc(N * sizeof *x);
    for (int i = 0; i < N; i++)
        x[i] = i + 1;
    struct assay_interval interval = assay_stats_quantile_interval(x, N, 0.5, 0.95);
    free(x);
    CHECK_NEAR(interval.low, 499020, 2);
    CHECK_NEAR(interval.high, 500980, 3);
}

ASSAY_TEST(the_interval_covers_as_often_as_it_says)
{
    enum { TRIALS = 2000, N = 101 };
    struct assay_rng rng;
    assay_rng_init(&rng, 7, 0);
    int n_covered = 0;
    double level = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        double x[N]; /* log-normal: skewed, median 1 */
        for (int i = 0; i < N; i++)
            x[i] = exp(assay_rng_normal(&rng));
        struct assay_interval interval = assay_stats_quantile_interval(x, N, 0.5, 0.95);
        n_covered += interval.low <= 1 && 1 <= interval.high;
        level = interval.level;
    }
    /* Four standard errors of a share of 2,000. */
    CHECK_NEAR((double)n_covered / TRIALS, level, 4 * sqrt(0.95 * 0.05 / TRIALS));
}

ASSAY_TEST(constant_data_have_no_correlation)
{
    double x[100];
    for (int i = 0; i < 100; i++)
        x[i] = 0.1;
    CHECK_NEAR(assay_stats_autocorrelation(x, 100), 0, 0);
    CHECK_NEAR(assay_stats_deviation(x, 100), 0, 1e-17);
    CHECK_NEAR(assay_stats_deviation(x, 1), 0, 0);
}

ASSAY_TEST(the_interval_of_a_mean_is_students)
{
    /* Two-sided 95 % points of t from NIST/SEMATECH, e-Handbook of Statistical Methods, 1.3.6.7.2, to three digits behind the
     * point. Of the values ±1, and 0 for an odd number, the deviation is known by formula. */
    static const struct {
        size_t n;
        double t;
    } rows[] = {{2, 12.706}, {3, 4.303}, {5, 2.776}, {6, 2.571}, {11, 2.228}, {31, 2.042}, {101, 1.984}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        double x[101] = {0};
        size_t n = rows[r].n;
        for (size_t i = 0; i < n / 2 * 2; i++)
            x[i] = i % 2 ? 1 : -1;
        double deviation = sqrt((double)(n / 2 * 2) / (double)(n - 1));
        struct assay_interval interval = assay_stats_mean_interval(x, n, 0.95);
        CHECK(interval.exists);
        CHECK_NEAR(interval.high * sqrt((double)n) / deviation, rows[r].t, 5e-4);
        CHECK_NEAR(interval.low, -interval.high, 1e-12);
    }
    CHECK(!assay_stats_mean_interval((const double[]){1}, 1, 0.95).exists);
}

ASSAY_TEST(the_interval_of_a_mean_covers_as_often_as_it_says)
{
    enum { N = 4, TRIALS = 2000 };
    struct assay_rng rng;
    int n_covered = 0;
    assay_rng_init(&rng, 3, assay_rng_stream("mean interval"));
    for (int trial = 0; trial < TRIALS; trial++) {
        double x[N];
        for (int i = 0; i < N; i++) {
            x[i] = -6; /* twelve of even distribution are normal as near as matters here */
            for (int k = 0; k < 12; k++)
                x[i] += (double)assay_rng_below(&rng, 1u << 24) / (1u << 24);
        }
        struct assay_interval interval = assay_stats_mean_interval(x, N, 0.95);
        n_covered += interval.low <= 0 && 0 <= interval.high;
    }
    /* Four standard errors of a share of 2,000. */
    CHECK_NEAR((double)n_covered / TRIALS, 0.95, 4 * sqrt(0.95 * 0.05 / TRIALS));
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(the_mean_is_compensated),
                ASSAY_TEST_ENTRY(mean_deviation_and_correlation_agree_with_nist_numacc4), ASSAY_TEST_ENTRY(quantiles_are_type_7),
                ASSAY_TEST_ENTRY(quantiles_of_many_equal_values_are_right),
                ASSAY_TEST_ENTRY(the_median_absolute_deviation_is_that_of_r),
                ASSAY_TEST_ENTRY(a_percentile_needs_ten_samples_beyond_it),
                ASSAY_TEST_ENTRY(intervals_are_the_order_statistics_of_the_binomial_table),
                ASSAY_TEST_ENTRY(an_interval_of_very_many_samples_is_right),
                ASSAY_TEST_ENTRY(the_interval_covers_as_often_as_it_says), ASSAY_TEST_ENTRY(the_interval_of_a_mean_is_students),
                ASSAY_TEST_ENTRY(the_interval_of_a_mean_covers_as_often_as_it_says),
                ASSAY_TEST_ENTRY(constant_data_have_no_correlation))
