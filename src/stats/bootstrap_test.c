/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/stats.h"

#include "base/clock.h"
#include "base/test.h"

/* Log-normal, so skewed, with median `median` and correlation r between neighbours. */
static void fill(double *x, int n, double median, double deviation, double r, struct assay_rng *rng)
{
    double state = assay_rng_normal(rng);
    for (int i = 0; i < n; i++) {
        x[i] = median * exp(deviation * state);
        state = r * state + sqrt(1 - r * r) * assay_rng_normal(rng);
    }
}

ASSAY_TEST(the_median_interval_covers_with_and_without_correlation)
{
    enum { TRIALS = 2000, N = 100 };
    struct assay_rng rng;
    assay_rng_init(&rng, 11, 0);
    static const double correlations[] = {0, 0.3, 0.5};
    for (int c = 0; c < 3; c++) {
        int n_covered = 0;
        for (int trial = 0; trial < TRIALS; trial++) {
            double x[N];
            fill(x, N, 1, 0.5, correlations[c], &rng);
            struct assay_interval interval = assay_stats_median_interval(x, N, 0.95);
            n_covered += interval.exists && interval.low <= 1 && 1 <= interval.high;
        }
        double share = (double)n_covered / TRIALS;
        CHECK(share >= 0.925 && share <= 0.975);
    }
}

ASSAY_TEST(the_ratio_of_a_thing_with_itself_covers_one_under_correlated_noise)
{
    enum { TRIALS = 1000, N = 100 };
    struct assay_rng rng;
    assay_rng_init(&rng, 12, 0);
    int n_covered = 0, n_small_p = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        double a[N], b[N];
        fill(a, N, 2, 0.1, 0.5, &rng);
        fill(b, N, 2, 0.1, 0.5, &rng);
        struct assay_ratio ratio = assay_stats_ratio_of_medians(a, N, b, N, 0.95, 1000, 1);
        n_covered += ratio.interval.exists && ratio.interval.low <= 1 && 1 <= ratio.interval.high;
        n_small_p += ratio.p_value < 0.05;
    }
    CHECK((double)n_covered / TRIALS >= 0.93);
    CHECK((double)n_small_p / TRIALS <= 0.07);
}

ASSAY_TEST(a_real_difference_is_seen_and_its_size_covered)
{
    enum { TRIALS = 300, N = 200 };
    struct assay_rng rng;
    assay_rng_init(&rng, 13, 0);
    int n_covered = 0, n_seen = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        double a[N], b[N];
        fill(a, N, 1, 0.05, 0, &rng);
        fill(b, N, 1.03, 0.05, 0, &rng);
        struct assay_ratio ratio = assay_stats_ratio_of_medians(a, N, b, N, 0.95, 500, 1);
        n_covered += ratio.interval.low <= 1.03 && 1.03 <= ratio.interval.high;
        n_seen += ratio.interval.low > 1 && ratio.p_value < 0.05;
    }
    /* The ratio's standard error is 1.2533 · 0.05 · sqrt(2 / 200) = 0.63 %: 3 % is 4.8 of them. */
    CHECK(n_seen >= 290);
    CHECK(n_covered >= 270);
}

ASSAY_TEST(the_same_seed_gives_the_same_interval)
{
    double a[50], b[60];
    struct assay_rng rng;
    assay_rng_init(&rng, 14, 0);
    fill(a, 50, 1, 0.1, 0, &rng);
    fill(b, 60, 1, 0.1, 0, &rng);
    struct assay_ratio one = assay_stats_ratio_of_medians(a, 50, b, 60, 0.95, 2000, 5);
    struct assay_ratio two = assay_stats_ratio_of_medians(a, 50, b, 60, 0.95, 2000, 5);
    CHECK_NEAR(one.interval.low, two.interval.low, 0);
    CHECK_NEAR(one.interval.high, two.interval.high, 0);
    CHECK(one.interval.low < one.ratio && one.ratio < one.interval.high);
}

ASSAY_TEST(constant_and_two_valued_clocks_are_answered)
{
    double a[40], b[40];
    for (int i = 0; i < 40; i++)
        a[i] = 5, b[i] = 10;
    struct assay_ratio ratio = assay_stats_ratio_of_medians(a, 40, b, 40, 0.95, 1000, 1);
    CHECK_NEAR(ratio.ratio, 2, 0);
    CHECK(ratio.interval.exists && ratio.p_value < 0.01);
    CHECK_NEAR(ratio.interval.low, 2, 0);
    /* 19 ticks of 1 and 21 of 2: either can be the median. */
    for (int i = 0; i < 40; i++)
        a[i] = (i * 7) % 40 < 19 ? 1 : 2;
    struct assay_interval interval = assay_stats_median_interval(a, 40, 0.95);
    CHECK(interval.exists);
    CHECK_NEAR(interval.low, 1, 0);
    CHECK_NEAR(interval.high, 2, 0);
}

ASSAY_TEST(too_few_or_impossible_samples_have_no_interval)
{
    const double a[] = {1, 2, 3}, bad[] = {0, -1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    CHECK(!assay_stats_median_interval(a, 3, 0.95).exists);
    CHECK(!assay_stats_median_interval(a, 0, 0.95).exists);
    CHECK(!assay_stats_ratio_of_medians(a, 3, a, 3, 0.95, 100, 1).interval.exists);
    CHECK_NEAR(assay_stats_ratio_of_medians(a, 3, a, 3, 0.95, 100, 1).ratio, 1, 0);
    CHECK(!assay_stats_ratio_of_medians(bad, 12, bad, 12, 0.95, 100, 1).interval.exists);
    CHECK(!assay_stats_ratio_of_medians(a, 0, a, 3, 0.95, 100, 1).interval.exists);
}

ASSAY_TEST(runs_agree_with_welch_by_hand)
{
    /* Medians e^0, e^0.02, e^0.04 and e^0.10, e^0.14 of runs without spread. By hand: means 0.02, 0.12; variances 4e-4/3 and
     * 8e-4/2; standard error 0.0230940; freedom 1.6842; t = 4.3301. p and the reach of the
     * interval, 5.17623 standard errors, by numerical integration of Student's density in Python. */
    double a[30], b[20];
    int group_a[30], group_b[20];
    for (int i = 0; i < 30; i++)
        group_a[i] = i / 10, a[i] = exp(0.02 * group_a[i]);
    for (int i = 0; i < 20; i++)
        group_b[i] = i / 10, b[i] = exp(0.10 + 0.04 * group_b[i]);
    struct assay_ratio ratio = assay_stats_ratio_of_runs(a, group_a, 30, b, group_b, 20, 0, 0.95, 1000, 1);
    CHECK_NEAR(log(ratio.ratio), 0.1, 1e-12);
    CHECK_NEAR(ratio.p_value, 0.06649603373922663, 1e-6);
    CHECK_NEAR(log(ratio.interval.high), 0.1 + 0.11953994871105306, 1e-6);
    CHECK_NEAR(log(ratio.interval.low), 0.1 - 0.11953994871105306, 1e-6);
}

ASSAY_TEST(the_spread_between_runs_counts)
{
    enum { TRIALS = 400, RUNS = 4, N = 50 };
    struct assay_rng rng;
    assay_rng_init(&rng, 15, 0);
    int n_covered = 0, n_pooled = 0, group[RUNS * N];
    for (int trial = 0; trial < TRIALS; trial++) {
        double a[RUNS * N], b[RUNS * N];
        for (int r = 0; r < RUNS; r++) {
            fill(a + r * N, N, exp(0.02 * assay_rng_normal(&rng)), 0.01, 0, &rng);
            fill(b + r * N, N, exp(0.02 * assay_rng_normal(&rng)), 0.01, 0, &rng);
        }
        for (int i = 0; i < RUNS * N; i++)
            group[i] = i / N;
        struct assay_ratio runs = assay_stats_ratio_of_runs(a, group, RUNS * N, b, group, RUNS * N, 0, 0.95, 500, 1);
        n_covered += runs.interval.low <= 1 && 1 <= runs.interval.high;
        struct assay_ratio first = assay_stats_ratio_of_runs(a, group, N, b, group, N, 0.02, 0.95, 500, 1);
        n_pooled += first.interval.low <= 1 && 1 <= first.interval.high;
    }
    CHECK(n_covered >= 0.92 * TRIALS);
    CHECK(n_pooled >= 0.92 * TRIALS); /* one run each, widened by what is known of the machine */
}

ASSAY_TEST(a_million_samples_are_compared_in_seconds)
{
    enum { N = 1000000 };
    double *x = malloc(2 * N * sizeof *x);
    struct assay_rng rng;
    assay_rng_init(&rng, 16, 0);
    fill(x, 2 * N, 1, 0.1, 0.5, &rng);
    int64_t start = assay_clock_ns();
    struct assay_ratio ratio = assay_stats_ratio_of_medians(x, N, x + N, N, 0.95, 2000, 1);
    int64_t large_ns = assay_clock_ns() - start;
    start = assay_clock_ns();
    assay_stats_ratio_of_medians(x, 1000, x + N, 1000, 0.95, 2000, 1);
    int64_t small_ns = assay_clock_ns() - start;
    printf("ratio of medians: %.1f ms for 2 x 1,000,000, %.2f ms for 2 x 1,000\n", (double)large_ns * 1e-6,
           (double)small_ns * 1e-6);
    free(x);
    CHECK(ratio.interval.exists && ratio.interval.high - ratio.interval.low < 0.003);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(the_median_interval_covers_with_and_without_correlation),
                ASSAY_TEST_ENTRY(the_ratio_of_a_thing_with_itself_covers_one_under_correlated_noise),
                ASSAY_TEST_ENTRY(a_real_difference_is_seen_and_its_size_covered),
                ASSAY_TEST_ENTRY(the_same_seed_gives_the_same_interval),
                ASSAY_TEST_ENTRY(constant_and_two_valued_clocks_are_answered),
                ASSAY_TEST_ENTRY(too_few_or_impossible_samples_have_no_interval), ASSAY_TEST_ENTRY(runs_agree_with_welch_by_hand),
                ASSAY_TEST_ENTRY(the_spread_between_runs_counts), ASSAY_TEST_ENTRY(a_million_samples_are_compared_in_seconds))
