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

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_series_without_change_is_steady_from_its_start),
                ASSAY_TEST_ENTRY(the_end_of_a_warm_up_is_found),
                ASSAY_TEST_ENTRY(a_warm_up_that_decays_ends_where_it_is_lost_in_the_noise),
                ASSAY_TEST_ENTRY(a_late_change_means_not_steady), ASSAY_TEST_ENTRY(single_outliers_do_not_end_a_steady_state),
                ASSAY_TEST_ENTRY(too_few_or_equal_samples_are_answered))
