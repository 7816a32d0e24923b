/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/ops/fixture.h"

static const double counting[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void start(struct fixture *f, const char *op, int64_t *kernel, int64_t *strides)
{
    fixture_init(f, op);
    fixture_ints(f, "kernel_shape", kernel, 2);
    fixture_ints(f, "strides", strides, 2);
}

ASSAY_TEST(maxima_and_where_they_are)
{
    struct fixture f;
    start(&f, "MaxPool", (int64_t[]){2, 2}, (int64_t[]){2, 2});
    fixture_input(&f, ASSAY_F32, "1,1,4,4", counting);
    f.node.n_outputs = 2;
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,2,2", 0, 6, 8, 14, 16);
    CHECK_RESULT(&f, 1, ASSAY_I64, "1,1,2,2", 0, 5, 7, 13, 15);
    fixture_release(&f);
}

ASSAY_TEST(storage_order_counts_columns)
{
    struct fixture f;
    start(&f, "MaxPool", (int64_t[]){1, 2}, (int64_t[]){1, 1});
    fixture_int(&f, "storage_order", 1);
    fixture_input(&f, ASSAY_F32, "1,1,2,3", counting);
    f.node.n_outputs = 2;
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,2,2", 0, 2, 3, 5, 6);
    CHECK_RESULT(&f, 1, ASSAY_I64, "1,1,2,2", 0, 2, 4, 3, 5); /* column · 2 rows + row */
    fixture_release(&f);
}

ASSAY_TEST(padding_is_never_the_maximum)
{
    struct fixture f;
    start(&f, "MaxPool", (int64_t[]){2, 2}, (int64_t[]){1, 1});
    fixture_ints(&f, "pads", (int64_t[]){1, 1, 0, 0}, 4);
    fixture_input(&f, ASSAY_I8, "1,1,2,2", VALUES(-5, -6, -7, -8));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I8, "1,1,2,2", 0, -5, -5, -5, -5);
    fixture_release(&f);
}

ASSAY_TEST(dilations_skip_elements)
{
    struct fixture f;
    start(&f, "MaxPool", (int64_t[]){2, 2}, (int64_t[]){1, 1});
    fixture_ints(&f, "dilations", (int64_t[]){2, 2}, 2);
    fixture_input(&f, ASSAY_F64, "1,1,4,4", counting);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "1,1,2,2", 0, 11, 12, 15, 16);
    fixture_release(&f);
}

ASSAY_TEST(a_nan_is_the_maximum)
{
    struct fixture f;
    start(&f, "MaxPool", (int64_t[]){1, 3}, (int64_t[]){1, 1});
    fixture_input(&f, ASSAY_F32, "1,1,1,3", VALUES(1, NAN, 2));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,1,1", 0, NAN);
    fixture_release(&f);
}

ASSAY_TEST(averages_leave_padding_out_unless_it_counts)
{
    for (int count = 0; count < 2; count++) {
        struct fixture f;
        start(&f, "AveragePool", (int64_t[]){2, 2}, (int64_t[]){2, 2});
        fixture_ints(&f, "pads", (int64_t[]){1, 1, 1, 1}, 4);
        fixture_int(&f, "count_include_pad", count);
        fixture_input(&f, ASSAY_F32, "1,1,2,2", VALUES(4, 8, 12, 16));
        CHECK_OK(fixture_run(&f), f.err);
        double share = count ? 0.25 : 1;
        CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,2,2", 0, 4 * share, 8 * share, 12 * share, 16 * share);
        fixture_release(&f);
    }
}

ASSAY_TEST(in_ceil_mode_the_last_window_is_cut_off)
{
    struct fixture f;
    start(&f, "AveragePool", (int64_t[]){3, 3}, (int64_t[]){2, 2});
    fixture_int(&f, "ceil_mode", 1);
    fixture_int(&f, "count_include_pad", 1);
    fixture_input(&f, ASSAY_F32, "1,1,4,4", counting);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,2,2", 0, 6, 7.5, 12, 13.5); /* what PyTorch gives */
    fixture_release(&f);
}

ASSAY_TEST(norms_of_order_one_two_and_three)
{
    static const double wanted[] = {7, 5, 4.497941445275415}; /* (3³ + 4³)^(1/3) */
    for (int p = 1; p <= 3; p++) {
        struct fixture f;
        start(&f, "LpPool", (int64_t[]){1, 2}, (int64_t[]){1, 1});
        fixture_int(&f, "p", p);
        fixture_input(&f, ASSAY_F64, "1,1,1,2", VALUES(-3, 4));
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_NEAR(assay_tensor_real(&f.results[0], 0), wanted[p - 1], 1e-14); /* a few roundings of a double */
        fixture_release(&f);
    }
}

ASSAY_TEST(global_pools_take_any_rank)
{
    static const char *const ops[] = {"GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"};
    static const double wanted[] = {4.5, 8, 14.2828568570857}; /* √204 */
    for (int i = 0; i < 3; i++) {
        struct fixture f;
        fixture_init(&f, ops[i]);
        fixture_input(&f, ASSAY_F64, "1,2,2,1,2,2", counting);
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_INT(f.results[0].type.rank, 6);
        CHECK_INT(assay_tensor_count(&f.results[0]), 2);
        CHECK_NEAR(assay_tensor_real(&f.results[0], 0), wanted[i], 1e-13);
        fixture_release(&f);
    }
}

ASSAY_TEST(a_pool_without_kernel_shape_is_refused)
{
    struct fixture f;
    fixture_init(&f, "MaxPool");
    fixture_input(&f, ASSAY_F32, "1,1,4,4", counting);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "kernel_shape");
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(maxima_and_where_they_are), ASSAY_TEST_ENTRY(storage_order_counts_columns),
                ASSAY_TEST_ENTRY(padding_is_never_the_maximum), ASSAY_TEST_ENTRY(dilations_skip_elements),
                ASSAY_TEST_ENTRY(a_nan_is_the_maximum), ASSAY_TEST_ENTRY(averages_leave_padding_out_unless_it_counts),
                ASSAY_TEST_ENTRY(in_ceil_mode_the_last_window_is_cut_off), ASSAY_TEST_ENTRY(norms_of_order_one_two_and_three),
                ASSAY_TEST_ENTRY(global_pools_take_any_rank), ASSAY_TEST_ENTRY(a_pool_without_kernel_shape_is_refused))
