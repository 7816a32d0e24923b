/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

#include "base/rng.h"

/* Runs op over [2,3] = 1 … 6 (as dtype) with axes as an input. */
static enum assay_status run(struct fixture *f, const char *op, enum assay_dtype dtype, int n_axes, const double *axes)
{
    char dims[8];
    snprintf(dims, sizeof dims, "%d", n_axes);
    fixture_init(f, op);
    fixture_int(f, "keepdims", 0);
    fixture_input(f, dtype, "2,3", VALUES(1, 2, 3, 4, 5, 6));
    fixture_input(f, ASSAY_I64, dims, axes);
    return fixture_run(f);
}

ASSAY_TEST(each_reduction_has_its_formula)
{
    static const struct {
        const char *op;
        double wanted[2];
    } known[] = {
        {"ReduceSum", {6, 15}},
        {"ReduceMean", {2, 5}},
        {"ReduceMax", {3, 6}},
        {"ReduceMin", {1, 4}},
        {"ReduceProd", {6, 120}},
        {"ReduceL1", {6, 15}},
        {"ReduceL2", {3.7416573867739413, 8.774964387392123}},
        {"ReduceSumSquare", {14, 77}},
        {"ReduceLogSum", {1.791759469228055, 2.70805020110221}},
        {"ReduceLogSumExp", {3.4076059644443806, 6.4076059644443806}},
    };
    for (size_t i = 0; i < ASSAY_COUNT(known); i++) {
        struct fixture f;
        CHECK_OK(run(&f, known[i].op, ASSAY_F64, 1, VALUES(-1)), f.err);
        CHECK_RESULT(&f, 0, ASSAY_F64, "2", 1e-14, known[i].wanted[0], known[i].wanted[1]);
        fixture_release(&f);
        CHECK_OK(run(&f, known[i].op, ASSAY_F32, 1, VALUES(1)), f.err);
        CHECK_RESULT(&f, 0, ASSAY_F32, "2", 1e-6, known[i].wanted[0], known[i].wanted[1]);
        fixture_release(&f);
    }
}

ASSAY_TEST(axes_come_in_any_order_or_not_at_all)
{
    struct fixture f;
    CHECK_OK(run(&f, "ReduceSum", ASSAY_I32, 1, VALUES(0)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "3", 0, 5, 7, 9);
    fixture_release(&f);
    CHECK_OK(run(&f, "ReduceSum", ASSAY_U64, 2, VALUES(1, -2)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_U64, "", 0, 21);
    fixture_release(&f);
    CHECK_OK(run(&f, "ReduceMax", ASSAY_I8, 0, NULL), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I8, "", 0, 6);
    fixture_release(&f);
    int64_t axes[] = {0};
    fixture_init(&f, "ReduceMean");
    fixture_ints(&f, "axes", axes, 1);
    fixture_input(&f, ASSAY_F32, "2,2", VALUES(1, 2, 3, 5));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,2", 0, 2, 3.5);
    fixture_release(&f);
}

ASSAY_TEST(reductions_agree_with_a_loop_over_indices)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 5, assay_rng_stream("reduce"));
    for (int trial = 0; trial < 200; trial++) {
        int64_t dims[4], count = 1;
        double values[6 * 6 * 6 * 20], sums[6 * 6 * 6 * 20] = {0}, axes[4];
        int n_axes = 0;
        unsigned mask = (unsigned)assay_rng_below(&rng, 15) + 1;
        char text[64], axes_dims[16];
        for (int d = 0; d < 4; d++) {
            dims[d] = 1 + (int64_t)assay_rng_below(&rng, d == 3 ? 20 : 6);
            count *= dims[d];
            if (mask >> d & 1)
                axes[n_axes++] = d;
        }
        snprintf(text, sizeof text, "%d,%d,%d,%d", (int)dims[0], (int)dims[1], (int)dims[2], (int)dims[3]);
        snprintf(axes_dims, sizeof axes_dims, "%d", n_axes);
        int64_t n = 0;
        for (int64_t i = 0; i < count; i++) {
            int64_t to = 0, stride = 1, left = i;
            for (int d = 3; d >= 0; d--) {
                if (!(mask >> d & 1)) {
                    to += left % dims[d] * stride;
                    stride *= dims[d];
                }
                left /= dims[d];
            }
            n = stride;
            values[i] = (double)assay_rng_below(&rng, 2000) - 1000;
            sums[to] += values[i];
        }
        struct fixture f;
        fixture_init(&f, "ReduceSum");
        fixture_int(&f, "keepdims", 0);
        fixture_input(&f, ASSAY_F32, text, values);
        fixture_input(&f, ASSAY_I64, axes_dims, axes);
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_INT(assay_tensor_count(&f.results[0]), n);
        for (int64_t i = 0; i < n; i++)
            CHECK_NEAR(assay_tensor_real(&f.results[0], i), sums[i], 0); /* integers: exact */
        fixture_release(&f);
    }
}

ASSAY_TEST(a_sum_in_f32_does_not_stall)
{
    /* 2^24 + 1 + 1 … : in f32 arithmetic each 1 would be lost. */
    enum { N = 1001 };
    static double values[N];
    values[0] = 16777216;
    for (int i = 1; i < N; i++)
        values[i] = 1;
    struct fixture f;
    fixture_init(&f, "ReduceSum");
    fixture_input(&f, ASSAY_F32, "1001", values);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1", 0, 16778216);
    fixture_release(&f);
}

static void check_empty(const char *op, enum assay_dtype dtype, double wanted)
{
    struct fixture f;
    fixture_init(&f, op);
    fixture_input(&f, dtype, "2,0", NULL);
    fixture_input(&f, ASSAY_I64, "1", VALUES(1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, dtype, "2,1", 0, wanted, wanted);
    fixture_release(&f);
}

ASSAY_TEST(a_reduction_of_nothing_is_the_neutral_element)
{
    check_empty("ReduceSum", ASSAY_F32, 0);
    check_empty("ReduceProd", ASSAY_I64, 1);
    check_empty("ReduceMax", ASSAY_F32, -INFINITY);
    check_empty("ReduceMin", ASSAY_F64, INFINITY);
    check_empty("ReduceMax", ASSAY_I8, -128);
    check_empty("ReduceMin", ASSAY_U16, 65535);
    check_empty("ReduceMax", ASSAY_BOOL, 0);
    check_empty("ReduceMin", ASSAY_BOOL, 1);
    check_empty("ReduceL2", ASSAY_F32, 0);
    check_empty("ReduceLogSum", ASSAY_F32, -INFINITY);
    check_empty("ReduceLogSumExp", ASSAY_F32, -INFINITY);
    check_empty("ReduceMean", ASSAY_F32, NAN);
    struct fixture f;
    fixture_init(&f, "ReduceMean");
    fixture_input(&f, ASSAY_I32, "0", NULL);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "mean");
    fixture_release(&f);
}

ASSAY_TEST(log_sum_exp_neither_overflows_nor_loses_infinities)
{
    struct fixture f;
    fixture_init(&f, "ReduceLogSumExp");
    fixture_input(&f, ASSAY_F32, "4,2", VALUES(1000, 1000, -INFINITY, -INFINITY, INFINITY, 1, NAN, 1));
    fixture_input(&f, ASSAY_I64, "1", VALUES(1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "4,1", 1e-4, 1000.6931471805599, -INFINITY, INFINITY, NAN);
    fixture_release(&f);
}

ASSAY_TEST(a_nan_among_many_wins)
{
    double values[20];
    for (int at = 0; at < 20; at++) {
        for (int i = 0; i < 20; i++)
            values[i] = i == at ? NAN : i;
        struct fixture f;
        fixture_init(&f, "ReduceMax");
        fixture_input(&f, ASSAY_F32, "20", values);
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, ASSAY_F32, "1", 0, NAN);
        fixture_release(&f);
    }
}

ASSAY_TEST(noop_with_empty_axes_returns_the_input_or_says_unsupported)
{
    struct fixture f;
    fixture_init(&f, "ReduceSum");
    fixture_int(&f, "noop_with_empty_axes", 1);
    fixture_input(&f, ASSAY_F32, "2", VALUES(-1, 2));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2", 0, -1, 2);
    fixture_release(&f);
    fixture_init(&f, "ReduceL1");
    fixture_int(&f, "noop_with_empty_axes", 1);
    fixture_input(&f, ASSAY_F32, "2", VALUES(-1, 2));
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "noop_with_empty_axes");
    fixture_release(&f);
}

ASSAY_TEST(axes_that_do_not_exist_are_invalid)
{
    struct fixture f;
    CHECK_FAILS(run(&f, "ReduceSum", ASSAY_F32, 1, VALUES(2)), ASSAY_INVALID, f, "axis 2");
    fixture_release(&f);
    CHECK_FAILS(run(&f, "ReduceSum", ASSAY_F32, 2, VALUES(1, -1)), ASSAY_INVALID, f, "twice");
    fixture_release(&f);
    double many[20] = {0};
    CHECK_FAILS(run(&f, "ReduceSum", ASSAY_F32, 20, many), ASSAY_INVALID, f, "20 integers");
    fixture_release(&f);
}

ASSAY_TEST(unknown_axes_leave_dimensions_unknown)
{
    struct fixture f;
    fixture_init(&f, "ReduceSum");
    fixture_unknown_input(&f, ASSAY_F32, "4,1,?");
    fixture_unknown_input(&f, ASSAY_I64, "1");
    CHECK_OK(fixture_infer(&f), f.err);
    struct assay_type wanted = fixture_type(ASSAY_F32, "?,1,?");
    CHECK(assay_type_equal(&f.outputs[0], &wanted));
    fixture_release(&f);
}

ASSAY_TEST(reductions_have_gradients)
{
    static const char *const types[] = {"ReduceL1",  "ReduceL2",   "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
                                        "ReduceMin", "ReduceMean", "ReduceProd",   "ReduceSum",       "ReduceSumSquare"};
    static const int64_t axes[][2] = {{1, 1}, {0, 2}, {-1, 0}};
    for (uint64_t seed = 0; seed < 60; seed++) {
        const char *type = types[seed % 10];
        struct probe p;
        probe_init(&p, seed);
        p.graph->opset = seed % 2 ? 17 : 18; /* axes as an attribute, and as an input */
        int x = probe_input(&p, "2,3,4", strcmp(type, "ReduceLogSum") == 0 ? 0.1 : -1.5, 1.5);
        const int64_t *of = axes[seed / 10 % 3];
        probe_output(&p, e_reduce(&p.e, type, x, seed < 30, of[0] == of[1] ? 1 : 2, of));
        probe_output(&p, e_unary(&p.e, type, x));
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(a_product_with_zeros_has_a_gradient)
{
    for (int zeros = 1; zeros < 3; zeros++) {
        struct probe p;
        probe_init(&p, 1);
        int x = probe_input(&p, "4", 0.5, 1);
        for (int i = 0; i < zeros; i++)
            assay_tensor_set_real(&p.tensors[0], i, 0);
        probe_output(&p, e_unary(&p.e, "ReduceProd", x));
        probe_check(&p);
        probe_release(&p);
    }
}

/* Two of four are the largest: central differences see half of the gradient at each, and so does PyTorch's amax. */
ASSAY_TEST(equal_elements_share_the_gradient_of_their_maximum)
{
    struct probe p;
    probe_init(&p, 1);
    int x = probe_input(&p, "4", 0, 1);
    assay_tensor_set_real(&p.tensors[0], 1, 2);
    assay_tensor_set_real(&p.tensors[0], 3, 2);
    probe_output(&p, e_unary(&p.e, "ReduceMax", x));
    probe_check(&p);
    probe_release(&p);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(each_reduction_has_its_formula), ASSAY_TEST_ENTRY(axes_come_in_any_order_or_not_at_all),
                ASSAY_TEST_ENTRY(reductions_agree_with_a_loop_over_indices), ASSAY_TEST_ENTRY(a_sum_in_f32_does_not_stall),
                ASSAY_TEST_ENTRY(a_reduction_of_nothing_is_the_neutral_element),
                ASSAY_TEST_ENTRY(log_sum_exp_neither_overflows_nor_loses_infinities), ASSAY_TEST_ENTRY(a_nan_among_many_wins),
                ASSAY_TEST_ENTRY(noop_with_empty_axes_returns_the_input_or_says_unsupported),
                ASSAY_TEST_ENTRY(axes_that_do_not_exist_are_invalid), ASSAY_TEST_ENTRY(unknown_axes_leave_dimensions_unknown),
                ASSAY_TEST_ENTRY(reductions_have_gradients), ASSAY_TEST_ENTRY(a_product_with_zeros_has_a_gradient),
                ASSAY_TEST_ENTRY(equal_elements_share_the_gradient_of_their_maximum))
