/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values: numpy.nonzero and numpy.unique, and the standard's own examples. */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

ASSAY_TEST(one_hot_takes_indices_of_any_dtype_and_leaves_out_those_out_of_range)
{
    static const enum assay_dtype dtypes[] = {ASSAY_I64, ASSAY_I8, ASSAY_F32, ASSAY_F16};
    for (size_t i = 0; i < ASSAY_COUNT(dtypes); i++) {
        struct fixture f;
        fixture_init(&f, "OneHot");
        fixture_input(&f, dtypes[i], "4", VALUES(0, -1, 3, -4));
        fixture_input(&f, ASSAY_F32, "1", VALUES(3));
        fixture_input(&f, ASSAY_I16, "2", VALUES(5, 9));
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, ASSAY_I16, "4,3", 0, 9, 5, 5, 5, 5, 9, 5, 5, 5, 5, 5, 5);
        fixture_int(&f, "axis", 0);
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, ASSAY_I16, "3,4", 0, 9, 5, 5, 5, 5, 5, 5, 5, 5, 9, 5, 5);
        ((float *)f.tensors[1].data)[0] = -1;
        CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "depth is -1");
        fixture_release(&f);
    }
}

ASSAY_TEST(one_hot_refuses_no_index_however_odd)
{
    struct fixture f;
    fixture_init(&f, "OneHot");
    fixture_input(&f, ASSAY_F64, "3", VALUES(NAN, INFINITY, 1e300));
    fixture_input(&f, ASSAY_I64, "", VALUES(2));
    fixture_input(&f, ASSAY_F32, "2", VALUES(0, 1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3,2", 0, 0, 0, 0, 0, 0, 0);
    fixture_release(&f);
    fixture_init(&f, "OneHot");
    fixture_input_bytes(&f, ASSAY_U64, "1", &(uint64_t){UINT64_MAX});
    fixture_input(&f, ASSAY_I64, "", VALUES(2));
    fixture_input(&f, ASSAY_F32, "2", VALUES(0, 1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,2", 0, 0, 0);
    fixture_release(&f);
}

ASSAY_TEST(non_zero_lists_coordinates_of_every_dtype)
{
#define X(name, number, word, size, type) ASSAY_##name,
    static const enum assay_dtype dtypes[] = {ASSAY_DTYPES(X)};
#undef X
    for (size_t i = 0; i < ASSAY_COUNT(dtypes); i++) {
        struct fixture f;
        fixture_init(&f, "NonZero");
        fixture_input(&f, dtypes[i], "2,3", VALUES(0, 1, 0, 1, 0, 1));
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, ASSAY_I64, "2,3", 0, 0, 1, 1, 1, 0, 2);
        fixture_release(&f);
    }
}

ASSAY_TEST(non_zero_knows_that_minus_zero_is_zero_and_nan_is_not)
{
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_F64, ASSAY_F16, ASSAY_BF16};
    for (size_t i = 0; i < ASSAY_COUNT(dtypes); i++) {
        struct fixture f;
        fixture_init(&f, "NonZero");
        fixture_input(&f, dtypes[i], "2", VALUES(-0., NAN));
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, ASSAY_I64, "1,1", 0, 1);
        fixture_release(&f);
    }
    struct fixture f;
    fixture_init(&f, "NonZero");
    fixture_input(&f, ASSAY_F32, "", VALUES(3));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_INT(f.results[0].type.dims[0], 0);
    CHECK_INT(f.results[0].type.dims[1], 1);
    fixture_release(&f);
}

ASSAY_TEST(unique_sorts_or_keeps_the_order_of_first_occurrence)
{
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_I64, ASSAY_U8, ASSAY_BF16, ASSAY_F16, ASSAY_F64};
    for (size_t i = 0; i < ASSAY_COUNT(dtypes); i++) {
        struct fixture f;
        fixture_init(&f, "Unique");
        f.node.n_outputs = 4;
        fixture_input(&f, dtypes[i], "2,3", VALUES(2, 1, 1, 3, 4, 3));
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, dtypes[i], "4", 0, 1, 2, 3, 4);
        CHECK_RESULT(&f, 1, ASSAY_I64, "4", 0, 1, 0, 3, 4);
        CHECK_RESULT(&f, 2, ASSAY_I64, "6", 0, 1, 0, 0, 2, 3, 2);
        CHECK_RESULT(&f, 3, ASSAY_I64, "4", 0, 2, 1, 2, 1);
        fixture_int(&f, "sorted", 0);
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, dtypes[i], "4", 0, 2, 1, 3, 4);
        CHECK_RESULT(&f, 1, ASSAY_I64, "4", 0, 0, 1, 3, 4);
        CHECK_RESULT(&f, 2, ASSAY_I64, "6", 0, 0, 1, 1, 2, 3, 2);
        CHECK_RESULT(&f, 3, ASSAY_I64, "4", 0, 1, 2, 2, 1);
        fixture_release(&f);
    }
}

ASSAY_TEST(unique_compares_whole_rows_along_an_axis)
{
    struct fixture f;
    fixture_init(&f, "Unique");
    f.node.n_outputs = 4;
    fixture_input(&f, ASSAY_F32, "2,4,2", VALUES(1, 1, 0, 1, 2, 1, 0, 1, 1, 1, 0, 1, 2, 1, 0, 1));
    fixture_int(&f, "axis", 1);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,3,2", 0, 0, 1, 1, 1, 2, 1, 0, 1, 1, 1, 2, 1);
    CHECK_RESULT(&f, 1, ASSAY_I64, "3", 0, 1, 0, 2);
    CHECK_RESULT(&f, 2, ASSAY_I64, "4", 0, 1, 0, 2, 0);
    CHECK_RESULT(&f, 3, ASSAY_I64, "3", 0, 2, 1, 1);
    f.attrs[0].i = 3;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "axis 3");
    fixture_release(&f);
}

ASSAY_TEST(unique_of_nans_and_of_nothing)
{
    struct fixture f;
    fixture_init(&f, "Unique");
    f.node.n_outputs = 4;
    fixture_input(&f, ASSAY_F32, "4", VALUES(NAN, 1, NAN, -0.));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3", 0, 0, 1, NAN);
    CHECK_RESULT(&f, 3, ASSAY_I64, "3", 0, 1, 1, 2);
    fixture_release(&f);
    for (int axis = -1; axis < 2; axis++) {
        fixture_init(&f, "Unique");
        f.node.n_outputs = 4;
        fixture_input(&f, ASSAY_F32, "0,3", VALUES(0));
        if (axis >= 0)
            fixture_int(&f, "axis", axis);
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_INT(assay_tensor_count(&f.results[0]), 0);
        CHECK_INT(assay_tensor_count(&f.results[2]), axis == 1 ? 3 : 0);
        fixture_release(&f);
    }
}

ASSAY_TEST(the_values_of_one_hot_have_a_gradient)
{
    struct probe p;
    probe_init(&p, 1);
    int values = probe_input(&p, "2", -1, 1), indices = probe_constant(&p, ASSAY_I64, "3", VALUES(1, -1, 7));
    int y = e_op(&p.e, "OneHot", E_VALUES(indices, e_int(&p.e, 4), values));
    e_set_int(&p.e, "axis", 0);
    probe_output(&p, y);
    probe_check(&p);
    probe_release(&p);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(one_hot_takes_indices_of_any_dtype_and_leaves_out_those_out_of_range),
                ASSAY_TEST_ENTRY(one_hot_refuses_no_index_however_odd),
                ASSAY_TEST_ENTRY(non_zero_lists_coordinates_of_every_dtype),
                ASSAY_TEST_ENTRY(non_zero_knows_that_minus_zero_is_zero_and_nan_is_not),
                ASSAY_TEST_ENTRY(unique_sorts_or_keeps_the_order_of_first_occurrence),
                ASSAY_TEST_ENTRY(unique_compares_whole_rows_along_an_axis), ASSAY_TEST_ENTRY(unique_of_nans_and_of_nothing),
                ASSAY_TEST_ENTRY(the_values_of_one_hot_have_a_gradient))
