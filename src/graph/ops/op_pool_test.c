/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
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

/* Distinct numbers far enough apart that no central difference changes which is the largest. */
static int spread_input(struct probe *p, const char *dims)
{
    int x = probe_input(p, dims, 0, 1);
    struct assay_tensor *tensor = &p->tensors[p->n_inputs - 1];
    for (int64_t i = 0; i < assay_tensor_count(tensor); i++)
        assay_tensor_set_real(tensor, i, 0.01 * (double)((i * 37 + 11) % 1009) + 0.001 * probe_random(p, 0, 1));
    return x;
}

ASSAY_TEST(pools_have_gradients)
{
    static const char *const auto_pads[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    for (uint64_t seed = 0; seed < 48; seed++) {
        struct probe p;
        char dims[64];
        int64_t kernel[3], strides[3], dilations[3], pads[6];
        probe_init(&p, seed);
        int n_dims = 1 + (int)(seed % 3), at = snprintf(dims, sizeof dims, "2,2"), choice = seed < 32 ? 0 : (int)(seed % 4);
        size_t n = (size_t)n_dims;
        for (int d = 0; d < n_dims; d++) {
            int64_t size = 4 + (int64_t)assay_rng_below(&p.rng, 4);
            kernel[d] = 2 + (int64_t)assay_rng_below(&p.rng, 2);
            strides[d] = 1 + (int64_t)assay_rng_below(&p.rng, 3);
            dilations[d] = choice == 0 && kernel[d] == 2 ? 1 + (int64_t)assay_rng_below(&p.rng, 2) : 1;
            pads[d] = (int64_t)assay_rng_below(&p.rng, 2);
            pads[n_dims + d] = (int64_t)assay_rng_below(&p.rng, 2);
            at += snprintf(dims + at, sizeof dims - (size_t)at, ",%d", (int)size);
        }
        bool max = seed / 3 % 2;
        int y = e_op(&p.e, max ? "MaxPool" : "AveragePool", E_VALUES(spread_input(&p, dims)));
        e_set_ints(&p.e, "kernel_shape", n, kernel);
        e_set_ints(&p.e, "strides", n, strides);
        if (choice == 0) {
            e_set_ints(&p.e, "pads", 2 * n, pads);
            e_set_ints(&p.e, "dilations", n, dilations);
        }
        e_set_text(&p.e, "auto_pad", auto_pads[choice]);
        e_set_int(&p.e, "ceil_mode", (int64_t)(seed / 6 % 2));
        if (max)
            e_set_int(&p.e, "storage_order", (int64_t)(seed / 12 % 2));
        else
            e_set_int(&p.e, "count_include_pad", (int64_t)(seed / 12 % 2));
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(global_pools_have_gradients)
{
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int x = spread_input(&p, seed & 1 ? "2,3,5" : "2,3,2,4");
        probe_output(&p, e_unary(&p.e, seed & 2 ? "GlobalMaxPool" : "GlobalAveragePool", x));
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(gradients_of_pools_have_their_known_values_in_every_float)
{
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_F64, ASSAY_F16};
    int64_t shape[] = {1, 1, 4}, kernel[] = {3}, pads[] = {1, 1};
    for (size_t k = 0; k < ASSAY_COUNT(dtypes); k++) {
        struct fixture f;
        fixture_init(&f, "MaxPoolGradient");
        f.node.domain = "assay";
        fixture_ints(&f, "input_shape", shape, 3);
        fixture_input(&f, dtypes[k], "1,1,3", VALUES(1, 2, 4));
        fixture_input(&f, ASSAY_I64, "1,1,3", VALUES(1, 3, 1));
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, dtypes[k], "1,1,4", 0, 0, 5, 0, 2);
        fixture_release(&f);
        for (int count = 0; count < 2; count++) {
            fixture_init(&f, "AveragePoolGradient");
            f.node.domain = "assay";
            fixture_ints(&f, "input_shape", shape, 3);
            fixture_ints(&f, "kernel_shape", kernel, 1);
            fixture_ints(&f, "pads", pads, 2);
            fixture_int(&f, "count_include_pad", count);
            fixture_input(&f, dtypes[k], "1,1,4", VALUES(6, 12, 24, 48));
            CHECK_OK(fixture_run(&f), f.err);
            if (count)
                CHECK_RESULT(&f, 0, dtypes[k], "1,1,4", 0, 6, 14, 28, 24);
            else
                CHECK_RESULT(&f, 0, dtypes[k], "1,1,4", 0, 7, 15, 36, 32);
            fixture_release(&f);
        }
    }
}

ASSAY_TEST(a_pool_gradient_that_does_not_fit_is_refused)
{
    int64_t shape[] = {1, 1, 4}, negative[] = {1, -1, 4}, kernel[] = {2};
    struct fixture f;
    fixture_init(&f, "MaxPoolGradient");
    f.node.domain = "assay";
    fixture_ints(&f, "input_shape", shape, 3);
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_I64, "2", VALUES(1, 4));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "index 4");
    f.attrs[0].ints = negative;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "is -1");
    fixture_release(&f);
    fixture_init(&f, "MaxPoolGradient");
    f.node.domain = "assay";
    fixture_ints(&f, "input_shape", shape, 3);
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_I64, "3", VALUES(1, 2, 3));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "dy and indices");
    fixture_release(&f);
    fixture_init(&f, "AveragePoolGradient");
    f.node.domain = "assay";
    fixture_ints(&f, "input_shape", shape, 3);
    fixture_ints(&f, "kernel_shape", kernel, 1);
    fixture_input(&f, ASSAY_F32, "1,1,4", VALUES(1, 2, 3, 4));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "dimension 2 of dy");
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(maxima_and_where_they_are), ASSAY_TEST_ENTRY(storage_order_counts_columns),
                ASSAY_TEST_ENTRY(padding_is_never_the_maximum), ASSAY_TEST_ENTRY(dilations_skip_elements),
                ASSAY_TEST_ENTRY(a_nan_is_the_maximum), ASSAY_TEST_ENTRY(averages_leave_padding_out_unless_it_counts),
                ASSAY_TEST_ENTRY(in_ceil_mode_the_last_window_is_cut_off), ASSAY_TEST_ENTRY(norms_of_order_one_two_and_three),
                ASSAY_TEST_ENTRY(global_pools_take_any_rank), ASSAY_TEST_ENTRY(a_pool_without_kernel_shape_is_refused),
                ASSAY_TEST_ENTRY(pools_have_gradients), ASSAY_TEST_ENTRY(global_pools_have_gradients),
                ASSAY_TEST_ENTRY(gradients_of_pools_have_their_known_values_in_every_float),
                ASSAY_TEST_ENTRY(a_pool_gradient_that_does_not_fit_is_refused))
