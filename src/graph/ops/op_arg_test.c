/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

#include "base/rng.h"

ASSAY_TEST(arg_max_takes_the_first_or_the_last_of_equals)
{
    for (int last = 0; last < 2; last++) {
        struct fixture f;
        fixture_init(&f, "ArgMax");
        fixture_int(&f, "axis", 1);
        fixture_int(&f, "select_last_index", last);
        fixture_input(&f, ASSAY_F32, "2,3", VALUES(2, 2, 1, 3, 10, 10));
        CHECK_OK(fixture_run(&f), f.err);
        if (last)
            CHECK_RESULT(&f, 0, ASSAY_I64, "2,1", 0, 1, 2);
        else
            CHECK_RESULT(&f, 0, ASSAY_I64, "2,1", 0, 0, 1);
        fixture_release(&f);
    }
}

ASSAY_TEST(arg_min_along_an_outer_axis)
{
    struct fixture f;
    fixture_init(&f, "ArgMin");
    fixture_int(&f, "keepdims", 0);
    fixture_input(&f, ASSAY_U8, "3,2", VALUES(5, 1, 4, 2, 4, 0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I64, "2", 0, 1, 2);
    fixture_release(&f);
}

ASSAY_TEST(arg_max_of_nothing_is_invalid)
{
    struct fixture f;
    fixture_init(&f, "ArgMax");
    fixture_input(&f, ASSAY_F32, "0,2", NULL);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "no elements");
    fixture_release(&f);
    fixture_init(&f, "ArgMax");
    fixture_int(&f, "axis", 2);
    fixture_input(&f, ASSAY_F32, "1,2", VALUES(1, 2));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "axis 2");
    fixture_release(&f);
}

static enum assay_status top_k(struct fixture *f, enum assay_dtype dtype, const char *dims, const double *values, double k,
                               int largest)
{
    fixture_init(f, "TopK");
    fixture_int(f, "largest", largest);
    f->node.n_outputs = 2;
    fixture_input(f, dtype, dims, values);
    fixture_input(f, ASSAY_I64, "1", &k);
    return fixture_run(f);
}

ASSAY_TEST(top_k_is_sorted_with_the_lower_index_first)
{
    struct fixture f;
    CHECK_OK(top_k(&f, ASSAY_F32, "2,4", VALUES(1, 3, 3, 2, -1, 0.5, -0.0, 0), 3, 1), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,3", 0, 3, 3, 2, 0.5, 0, 0);
    CHECK_RESULT(&f, 1, ASSAY_I64, "2,3", 0, 1, 2, 3, 1, 2, 3);
    fixture_release(&f);
    CHECK_OK(top_k(&f, ASSAY_I8, "5", VALUES(-3, 100, -128, 0, -3), 4, 0), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I8, "4", 0, -128, -3, -3, 0);
    CHECK_RESULT(&f, 1, ASSAY_I64, "4", 0, 2, 0, 4, 3);
    fixture_release(&f);
}

ASSAY_TEST(top_k_orders_every_dtype)
{
#define X(name, number, word, size, type) ASSAY_##name,
    static const enum assay_dtype all[] = {ASSAY_DTYPES(X)};
#undef X
    for (size_t i = 0; i < ASSAY_COUNT(all); i++) {
        if (all[i] == ASSAY_BOOL)
            continue;
        struct fixture f;
        CHECK_OK(top_k(&f, all[i], "4", VALUES(3, 100, 0, 7), 4, 1), f.err);
        CHECK_RESULT(&f, 0, all[i], "4", 0, 100, 7, 3, 0);
        CHECK_RESULT(&f, 1, ASSAY_I64, "4", 0, 1, 3, 0, 2);
        fixture_release(&f);
        if (!assay_dtype_is_float(all[i]))
            continue;
        CHECK_OK(top_k(&f, all[i], "4", VALUES(-INFINITY, -1, NAN, INFINITY), 4, 0), f.err);
        CHECK_RESULT(&f, 0, all[i], "4", 0, -INFINITY, -1, INFINITY, NAN);
        fixture_release(&f);
    }
}

ASSAY_TEST(top_k_along_an_outer_axis_agrees_with_counting)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 7, assay_rng_stream("topk"));
    enum { N = 50, INNER = 3, K = 11 };
    double values[N * INNER];
    for (int i = 0; i < N * INNER; i++)
        values[i] = (double)assay_rng_below(&rng, 40);
    struct fixture f;
    fixture_init(&f, "TopK");
    fixture_int(&f, "axis", 0);
    f.node.n_outputs = 2;
    fixture_input(&f, ASSAY_F64, "50,3", values);
    fixture_input(&f, ASSAY_I64, "1", VALUES(K));
    CHECK_OK(fixture_run(&f), f.err);
    for (int i = 0; i < INNER; i++)
        for (int k = 0; k < K; k++) {
            int64_t index = assay_tensor_int(&f.results[1], k * INNER + i);
            double x = values[index * INNER + i];
            int before = 0; /* elements that rank above it */
            for (int j = 0; j < N; j++)
                before += values[j * INNER + i] > x || (values[j * INNER + i] == x && j < index);
            CHECK_INT(before, k);
            CHECK_NEAR(assay_tensor_real(&f.results[0], k * INNER + i), x, 0);
        }
    fixture_release(&f);
}

ASSAY_TEST(top_k_checks_k)
{
    struct fixture f;
    CHECK_FAILS(top_k(&f, ASSAY_F32, "2", VALUES(1, 2), 3, 1), ASSAY_INVALID, f, "K is 3");
    fixture_release(&f);
    CHECK_FAILS(top_k(&f, ASSAY_F32, "2", VALUES(1, 2), -1, 1), ASSAY_INVALID, f, "K must be");
    fixture_release(&f);
    CHECK_OK(top_k(&f, ASSAY_F32, "2", VALUES(1, 2), 0, 1), f.err);
    CHECK_INT(assay_tensor_count(&f.results[0]), 0);
    fixture_release(&f);
}

ASSAY_TEST(cum_sum_goes_both_ways_with_and_without_itself)
{
    static const double wanted[2][2][3] = {{{1, 3, 6}, {6, 5, 3}}, {{0, 1, 3}, {5, 3, 0}}};
    for (int exclusive = 0; exclusive < 2; exclusive++)
        for (int reverse = 0; reverse < 2; reverse++) {
            const double *w = wanted[exclusive][reverse];
            struct fixture f;
            fixture_init(&f, "CumSum");
            fixture_int(&f, "exclusive", exclusive);
            fixture_int(&f, "reverse", reverse);
            fixture_input(&f, ASSAY_I32, "3", VALUES(1, 2, 3));
            fixture_input(&f, ASSAY_I32, "", VALUES(0));
            CHECK_OK(fixture_run(&f), f.err);
            CHECK_RESULT(&f, 0, ASSAY_I32, "3", 0, w[0], w[1], w[2]);
            fixture_release(&f);
        }
    struct fixture f;
    fixture_init(&f, "CumSum");
    fixture_input(&f, ASSAY_F32, "2,2", VALUES(1, 2, 3, 4));
    fixture_input(&f, ASSAY_I64, "", VALUES(-2));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,2", 0, 1, 2, 4, 6);
    fixture_release(&f);
    fixture_init(&f, "CumSum");
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_I64, "", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "axis 1");
    fixture_release(&f);
}

ASSAY_TEST(top_k_and_cum_sum_have_gradients)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int64_t axis = seed & 4 ? 0 : -1;
        int x = probe_input(&p, "3,4", -1, 1), y = e_op(&p.e, "TopK", E_VALUES(x, e_ints(&p.e, E_INTS(2))));
        e_set_int(&p.e, "axis", axis);
        e_set_int(&p.e, "largest", seed & 1);
        probe_output(&p, y);
        y = e_op(&p.e, "CumSum", E_VALUES(x, e_int(&p.e, axis)));
        e_set_int(&p.e, "exclusive", seed & 1);
        e_set_int(&p.e, "reverse", (seed & 2) / 2);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(arg_max_takes_the_first_or_the_last_of_equals), ASSAY_TEST_ENTRY(arg_min_along_an_outer_axis),
                ASSAY_TEST_ENTRY(arg_max_of_nothing_is_invalid), ASSAY_TEST_ENTRY(top_k_is_sorted_with_the_lower_index_first),
                ASSAY_TEST_ENTRY(top_k_orders_every_dtype), ASSAY_TEST_ENTRY(top_k_along_an_outer_axis_agrees_with_counting),
                ASSAY_TEST_ENTRY(top_k_checks_k), ASSAY_TEST_ENTRY(cum_sum_goes_both_ways_with_and_without_itself),
                ASSAY_TEST_ENTRY(top_k_and_cum_sum_have_gradients))
