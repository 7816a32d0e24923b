/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

ASSAY_TEST(lrn_sums_over_neighbouring_channels)
{
    struct fixture f;
    fixture_init(&f, "LRN");
    fixture_int(&f, "size", 2); /* this channel and the next */
    fixture_float(&f, "alpha", 2);
    fixture_float(&f, "beta", 1);
    fixture_float(&f, "bias", 1);
    fixture_input(&f, ASSAY_F64, "1,3,1", VALUES(1, 2, 3));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "1,3,1", 1e-15, 1.0 / 6, 2.0 / 14, 3.0 / 10);
    fixture_release(&f);
}

ASSAY_TEST(mean_and_variance_are_of_the_named_axes)
{
    struct fixture f;
    fixture_init(&f, "MeanVarianceNormalization");
    fixture_ints(&f, "axes", (int64_t[]){0, -1}, 2);
    fixture_input(&f, ASSAY_F64, "2,2,1", VALUES(1, 10, 3, 30));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "2,2,1", 2e-9, -1, -1, 1, 1); /* the standard adds 1e-9 to the deviation */
    fixture_release(&f);
}

ASSAY_TEST(axes_that_do_not_exist_are_refused)
{
    struct fixture f;
    fixture_init(&f, "MeanVarianceNormalization"); /* axes 0, 2, 3 */
    fixture_input(&f, ASSAY_F32, "1,1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "axis 2");
    fixture_release(&f);
}

ASSAY_TEST(lines_are_divided_by_their_norm)
{
    for (int p = 1; p <= 2; p++) {
        struct fixture f;
        fixture_init(&f, "LpNormalization");
        fixture_int(&f, "p", p);
        fixture_int(&f, "axis", 0);
        fixture_input(&f, ASSAY_F64, "2,2", VALUES(3, 0, -4, 0));
        CHECK_OK(fixture_run(&f), f.err);
        double norm = p == 1 ? 7 : 5;
        CHECK_RESULT(&f, 0, ASSAY_F64, "2,2", 1e-15, 3 / norm, 0, -4 / norm, 0);
        fixture_release(&f);
    }
}

ASSAY_TEST(a_norm_of_another_order_is_refused)
{
    struct fixture f;
    fixture_init(&f, "LpNormalization");
    fixture_int(&f, "p", 3);
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "p must be 1 or 2");
    fixture_release(&f);
}

ASSAY_TEST(normalizations_without_parameters_have_gradients)
{
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "2,5,2,2", 0.3, 2), y = e_unary(&p.e, "LpNormalization", x);
        e_set_int(&p.e, "axis", (int64_t)seed - 2);
        e_set_int(&p.e, "p", (int64_t)(seed & 1) + 1);
        probe_output(&p, y);
        y = e_unary(&p.e, "LRN", x);
        e_set_int(&p.e, "size", (int64_t)seed + 1);
        e_set_float(&p.e, "alpha", 0.5);
        probe_output(&p, y);
        y = e_unary(&p.e, "MeanVarianceNormalization", x);
        if (seed & 1)
            e_set_ints(&p.e, "axes", E_INTS(1, 2));
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(lrn_sums_over_neighbouring_channels), ASSAY_TEST_ENTRY(mean_and_variance_are_of_the_named_axes),
                ASSAY_TEST_ENTRY(axes_that_do_not_exist_are_refused), ASSAY_TEST_ENTRY(lines_are_divided_by_their_norm),
                ASSAY_TEST_ENTRY(a_norm_of_another_order_is_refused),
                ASSAY_TEST_ENTRY(normalizations_without_parameters_have_gradients))
