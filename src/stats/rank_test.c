/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/stats.h"

#include "base/test.h"

ASSAY_TEST(small_samples_without_ties_get_the_exact_p)
{
    /* R, help(wilcox.test), permeability constants of Hollander & Wolfe (1973, 69f.): W = 35, one-sided exact p 0.1272. */
    const double x[] = {0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}, y[] = {1.15, 0.88, 0.90, 0.74, 1.21};
    CHECK_NEAR(assay_stats_rank_test(x, 10, y, 5), 2 * 0.1272, 1e-4);
    /* scipy.stats.mannwhitneyu's documentation: exact p 0.1111111111111111. */
    const double males[] = {19, 22, 16, 29, 24}, females[] = {20, 11, 17, 12};
    CHECK_NEAR(assay_stats_rank_test(males, 5, females, 4), 0.1111111111111111, 1e-12);
}

ASSAY_TEST(three_against_three_apart_give_two_of_twenty)
{
    const double a[] = {1, 2, 3}, b[] = {4, 5, 6};
    CHECK_NEAR(assay_stats_rank_test(a, 3, b, 3), 0.1, 1e-15);
    CHECK_NEAR(assay_stats_rank_test(b, 3, a, 3), 0.1, 1e-15);
}

ASSAY_TEST(ties_get_the_normal_with_corrections)
{
    /* U = 6.5 and the formula of Lehmann, Nonparametrics (1975), 1.4, evaluated in Python. */
    const double a[] = {1, 2, 2, 3, 5}, b[] = {2, 3, 4, 4, 6, 7};
    CHECK_NEAR(assay_stats_rank_test(a, 5, b, 6), 0.13862587987892772, 1e-12);
}

ASSAY_TEST(equal_or_empty_samples_show_no_difference)
{
    const double a[] = {1, 1, 1};
    CHECK_NEAR(assay_stats_rank_test(a, 3, a, 3), 1, 0);
    CHECK_NEAR(assay_stats_rank_test(a, 3, a, 0), 1, 0);
}

ASSAY_TEST(p_is_uniform_when_there_is_no_difference)
{
    enum { TRIALS = 2000, N = 60 };
    struct assay_rng rng;
    assay_rng_init(&rng, 3, 0);
    int n_small = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        double x[2 * N];
        for (int i = 0; i < 2 * N; i++)
            x[i] = assay_rng_exponential(&rng);
        n_small += assay_stats_rank_test(x, N, x + N, N) <= 0.05;
    }
    CHECK_NEAR((double)n_small / TRIALS, 0.05, 4 * sqrt(0.05 * 0.95 / TRIALS));
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(small_samples_without_ties_get_the_exact_p),
                ASSAY_TEST_ENTRY(three_against_three_apart_give_two_of_twenty),
                ASSAY_TEST_ENTRY(ties_get_the_normal_with_corrections),
                ASSAY_TEST_ENTRY(equal_or_empty_samples_show_no_difference),
                ASSAY_TEST_ENTRY(p_is_uniform_when_there_is_no_difference))
