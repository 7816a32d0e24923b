/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values by hand, in the order in which the standard's loop writes. */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

ASSAY_TEST(scatter_elements_writes_along_any_axis)
{
    struct fixture f;
    fixture_init(&f, "ScatterElements");
    fixture_input(&f, ASSAY_F32, "3,3", (const double[9]){0});
    fixture_input(&f, ASSAY_I64, "2,3", VALUES(1, 0, 2, 0, -1, 1));
    fixture_input(&f, ASSAY_F32, "2,3", VALUES(1, 2, 3, 4, 5, 6));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3,3", 0, 4, 2, 0, 1, 0, 6, 0, 5, 3);
    fixture_int(&f, "axis", -1);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3,3", 0, 2, 1, 3, 4, 6, 5, 0, 0, 0);
    CHECK_NEAR(assay_tensor_real(&f.tensors[0], 0), 0, 0); /* the input is not written */
    ((int64_t *)f.tensors[1].data)[5] = INT64_MAX;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "index 9223372036854775807");
    f.node.type = "Scatter";
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "Scatter");
    fixture_release(&f);
}

/* [5, 5, 5] with updates 2 and 3 at index 1 and 7 at index 0. */
static void check_reduction(enum assay_dtype dtype, const char *reduction, const double *wanted)
{
    for (int nd = 0; nd < 2; nd++) {
        struct fixture f;
        fixture_init(&f, nd ? "ScatterND" : "ScatterElements");
        fixture_input(&f, dtype, "3", VALUES(5, 5, 5));
        fixture_input(&f, ASSAY_I64, nd ? "3,1" : "3", VALUES(1, 1, -3));
        fixture_input(&f, dtype, "3", VALUES(2, 3, 7));
        fixture_string(&f, "reduction", reduction);
        CHECK_OK(fixture_run(&f), f.err);
        fixture_check(&f, 0, dtype, "3", 0, wanted, 3, __FILE__, __LINE__);
        fixture_release(&f);
    }
}

ASSAY_TEST(reductions_combine_all_updates_of_an_element)
{
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_F64, ASSAY_F16, ASSAY_BF16, ASSAY_I8,  ASSAY_U8,
                                              ASSAY_I16, ASSAY_U16, ASSAY_I32, ASSAY_U32,  ASSAY_I64, ASSAY_U64};
    for (size_t i = 0; i < ASSAY_COUNT(dtypes); i++) {
        check_reduction(dtypes[i], "none", VALUES(7, 3, 5));
        check_reduction(dtypes[i], "add", VALUES(12, 10, 5));
        check_reduction(dtypes[i], "mul", VALUES(35, 30, 5));
        check_reduction(dtypes[i], "max", VALUES(7, 5, 5));
        check_reduction(dtypes[i], "min", VALUES(5, 2, 5));
    }
}

ASSAY_TEST(integers_wrap_and_nan_stays)
{
    struct fixture f;
    fixture_init(&f, "ScatterElements");
    fixture_input(&f, ASSAY_I32, "1", VALUES(INT32_MAX));
    fixture_input(&f, ASSAY_I64, "1", VALUES(0));
    fixture_input(&f, ASSAY_I32, "1", VALUES(1));
    fixture_string(&f, "reduction", "add");
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "1", 0, INT32_MIN);
    fixture_release(&f);

    fixture_init(&f, "ScatterElements");
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, NAN));
    fixture_input(&f, ASSAY_I64, "2", VALUES(0, 1));
    fixture_input(&f, ASSAY_F32, "2", VALUES(NAN, 1));
    fixture_string(&f, "reduction", "max");
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2", 0, NAN, NAN);
    f.attrs[0].s = "median";
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "median");
    fixture_release(&f);
}

ASSAY_TEST(scatter_nd_writes_whole_slices)
{
    struct fixture f;
    double data[600], updates[300], wanted[600];
    for (int i = 0; i < 600; i++)
        data[i] = wanted[i] = 1;
    for (int i = 0; i < 300; i++) {
        updates[i] = i;
        wanted[300 + i] += i;
    }
    fixture_init(&f, "ScatterND");
    fixture_input(&f, ASSAY_I16, "2,300", data);
    fixture_input(&f, ASSAY_I64, "1", VALUES(1));
    fixture_input(&f, ASSAY_I16, "300", updates);
    fixture_string(&f, "reduction", "add");
    CHECK_OK(fixture_run(&f), f.err);
    fixture_check(&f, 0, ASSAY_I16, "2,300", 0, wanted, 600, __FILE__, __LINE__);
    ((int64_t *)f.tensors[1].data)[0] = -3;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "index -3");
    fixture_release(&f);
}

ASSAY_TEST(shapes_that_do_not_go_together_are_refused)
{
    struct fixture f;
    fixture_init(&f, "ScatterND");
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_I64, "1,2", VALUES(0, 0));
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "an index of 2 numbers");
    fixture_release(&f);
    fixture_init(&f, "ScatterND");
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_I64, "1,1", VALUES(0));
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 2));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "a dimension of the updates");
    fixture_release(&f);
    fixture_init(&f, "ScatterElements");
    fixture_input(&f, ASSAY_BOOL, "0", VALUES(0));
    fixture_input(&f, ASSAY_I64, "1", VALUES(0));
    fixture_input(&f, ASSAY_BOOL, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "the data is empty");
    fixture_string(&f, "reduction", "add");
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "bool");
    fixture_release(&f);
}

ASSAY_TEST(scatters_have_gradients_of_data_and_updates)
{
    for (uint64_t seed = 0; seed < 4; seed++) {
        const char *reduction = seed & 1 ? "add" : "none";
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "3,4", -1, 1), u = probe_input(&p, "2,3", -1, 1), rows = probe_input(&p, "2,4", -1, 1);
        int indices = probe_constant(&p, ASSAY_I64, "2,3", VALUES(0, 1, -1, 2, 0, 1));
        int y = e_op(&p.e, "ScatterElements", E_VALUES(x, indices, u));
        e_set_int(&p.e, "axis", seed & 2 ? 0 : 1);
        e_set_text(&p.e, "reduction", reduction);
        probe_output(&p, y);
        y = e_op(&p.e, "ScatterND", E_VALUES(x, probe_constant(&p, ASSAY_I64, "2,1", VALUES(2, -3)), rows));
        e_set_text(&p.e, "reduction", reduction);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(scatter_elements_writes_along_any_axis),
                ASSAY_TEST_ENTRY(reductions_combine_all_updates_of_an_element), ASSAY_TEST_ENTRY(integers_wrap_and_nan_stays),
                ASSAY_TEST_ENTRY(scatter_nd_writes_whole_slices), ASSAY_TEST_ENTRY(shapes_that_do_not_go_together_are_refused),
                ASSAY_TEST_ENTRY(scatters_have_gradients_of_data_and_updates))
