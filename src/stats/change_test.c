/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/stats.h"

#include "base/test.h"

enum { N = 200 };

/* Log-normal noise of 1 % about 1, with correlation r between neighbours. */
static void fill_noise(double *x, int n, double r, struct assay_rng *rng)
{
    double state = assay_rng_normal(rng);
    for (int i = 0; i < n; i++) {
        x[i] = exp(0.01 * state);
        state = r * state + sqrt(1 - r * r) * assay_rng_normal(rng);
    }
}

ASSAY_TEST(a_series_without_change_is_steady_from_its_start)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 1, 0);
    for (int correlated = 0; correlated < 2; correlated++) {
        int n_steady = 0;
        for (int trial = 0; trial < 200; trial++) {
            double x[N];
            fill_noise(x, N, correlated ? 0.5 : 0, &rng);
            n_steady += assay_stats_steady_from(x, N) == 0;
        }
        CHECK(n_steady >= 190);
    }
}

ASSAY_TEST(the_end_of_a_warm_up_is_found)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 2, 0);
    static const int ends[] = {1, 2, 5, 20, 60, 120};
    for (size_t i = 0; i < 6; i++) {
        double x[N];
        fill_noise(x, N, 0, &rng);
        for (int k = 0; k < ends[i]; k++)
            x[k] *= 1.3;
        size_t from = assay_stats_steady_from(x, N);
        CHECK(from >= (size_t)ends[i] && from <= (size_t)ends[i] + 3);
    }
}

ASSAY_TEST(a_warm_up_that_decays_ends_where_it_is_lost_in_the_noise)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 3, 0);
    double x[N];
    fill_noise(x, N, 0, &rng);
    for (int i = 0; i < N; i++)
        x[i] *= 1 + 0.5 * exp(-i / 10.0);
    /* The excess is 2 % of the level, twice the noise, at 32 and 0.1 % at 62. */
    size_t from = assay_stats_steady_from(x, N);
    CHECK(from >= 20 && from <= 75);
}

ASSAY_TEST(a_late_change_means_not_steady)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 4, 0);
    double x[N];
    fill_noise(x, N, 0, &rng);
    for (int i = 180; i < N; i++)
        x[i] *= 1.2;
    CHECK_INT(assay_stats_steady_from(x, N), N);
    for (int i = 0; i < N; i++) /* a steady slope */
        x[i] = 1 + 0.01 * i;
    CHECK_INT(assay_stats_steady_from(x, N), N);
}

ASSAY_TEST(single_outliers_do_not_end_a_steady_state)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 5, 0);
    double x[N];
    fill_noise(x, N, 0, &rng);
    for (int i = 30; i < N; i += 31)
        x[i] *= 10;
    CHECK_INT(assay_stats_steady_from(x, N), 0);
}

ASSAY_TEST(too_few_or_equal_samples_are_answered)
{
    double x[N];
    for (int i = 0; i < N; i++)
        x[i] = 3;
    CHECK_INT(assay_stats_steady_from(x, 0), 0);
    CHECK_INT(assay_stats_steady_from(x, 7), 7);
    CHECK_INT(assay_stats_steady_from(x, 8), 0);
    CHECK_INT(assay_stats_steady_from(x, N), 0);
}

ASSAY_TEST(changes_of_level_and_of_spread_are_placed)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 6, 0);
    double x[120];
    size_t points[10];
    for (int i = 0; i < 120; i++)
        x[i] = 100 + assay_rng_normal(&rng) + (i >= 40 ? 5 : 0) - (i >= 90 ? 3 : 0);
    CHECK_INT(assay_stats_change_points(x, 120, 0.01, 1, points, 10), 2);
    CHECK_NEAR((double)points[0], 40, 1);
    CHECK_NEAR((double)points[1], 90, 2);
    CHECK_INT(assay_stats_change_points(x, 120, 0.01, 1, points, 1), 1);
    CHECK_NEAR((double)points[0], 40, 1);
    for (int i = 0; i < 120; i++)
        x[i] = assay_rng_normal(&rng) * (i >= 60 ? 10 : 1);
    CHECK_INT(assay_stats_change_points(x, 120, 0.01, 1, points, 10), 1);
    CHECK_NEAR((double)points[0], 60, 10); /* the first wide values may happen to be small */
}

ASSAY_TEST(a_history_without_change_has_points_as_seldom_as_alpha_says)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 8, 0);
    int n_false = 0;
    for (int trial = 0; trial < 200; trial++) {
        double x[40];
        size_t points[10];
        for (int i = 0; i < 40; i++)
            x[i] = exp(assay_rng_normal(&rng));
        n_false += assay_stats_change_points(x, 40, 0.05, (uint64_t)trial, points, 10) > 0;
    }
    CHECK(n_false <= 22); /* 10 wanted, four standard errors of 3.1 above */
}

ASSAY_TEST(long_short_and_constant_histories_are_answered)
{
    enum { LONG = 5000 };
    static double x[LONG];
    size_t points[10];
    struct assay_rng rng;
    assay_rng_init(&rng, 9, 0);
    CHECK_INT(assay_stats_change_points(x, 0, 0.05, 1, points, 10), 0);
    CHECK_INT(assay_stats_change_points(x, 5, 0.05, 1, points, 10), 0);
    CHECK_INT(assay_stats_change_points(x, LONG, 0.05, 1, points, 10), 0);
    for (int i = 0; i < LONG; i++)
        x[i] = assay_rng_normal(&rng) + (i >= 3000);
    CHECK_INT(assay_stats_change_points(x, LONG, 0.01, 1, points, 10), 1);
    CHECK_NEAR((double)points[0], 3000, 30);
    CHECK_INT(assay_stats_change_points(x, LONG, 0.01, 1, points, 0), 0);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_series_without_change_is_steady_from_its_start),
                ASSAY_TEST_ENTRY(the_end_of_a_warm_up_is_found),
                ASSAY_TEST_ENTRY(a_warm_up_that_decays_ends_where_it_is_lost_in_the_noise),
                ASSAY_TEST_ENTRY(a_late_change_means_not_steady), ASSAY_TEST_ENTRY(single_outliers_do_not_end_a_steady_state),
                ASSAY_TEST_ENTRY(too_few_or_equal_samples_are_answered),
                ASSAY_TEST_ENTRY(changes_of_level_and_of_spread_are_placed),
                ASSAY_TEST_ENTRY(a_history_without_change_has_points_as_seldom_as_alpha_says),
                ASSAY_TEST_ENTRY(long_short_and_constant_histories_are_answered))
