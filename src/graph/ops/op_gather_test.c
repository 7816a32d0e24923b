/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values: numpy.take, take_along_axis and compress, and the standard's examples of GatherND. */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

ASSAY_TEST(gather_takes_rows_along_any_axis_from_both_ends)
{
    struct fixture f;
    fixture_init(&f, "Gather");
    fixture_input(&f, ASSAY_BF16, "2,3", VALUES(1, 2, 3, 4, 5, 6));
    fixture_input(&f, ASSAY_I32, "2,2", VALUES(0, -1, 2, 0));
    fixture_int(&f, "axis", 1);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BF16, "2,2,2", 0, 1, 3, 3, 1, 4, 6, 6, 4);
    ((int32_t *)f.tensors[1].data)[0] = 3;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "index 3");
    ((int32_t *)f.tensors[1].data)[0] = INT32_MIN;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "index -2147483648");
    fixture_release(&f);

    fixture_init(&f, "Gather");
    fixture_input(&f, ASSAY_F64, "2,3", VALUES(1, 2, 3, 4, 5, 6));
    fixture_input(&f, ASSAY_I64, "", VALUES(1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "3", 0, 4, 5, 6);
    fixture_release(&f);
}

ASSAY_TEST(nothing_is_gathered_from_nothing)
{
    struct fixture f;
    fixture_init(&f, "Gather");
    fixture_input(&f, ASSAY_F32, "0,3", VALUES(0));
    fixture_input(&f, ASSAY_I64, "0", VALUES(0));
    CHECK_OK(fixture_run(&f), f.err);
    fixture_release(&f);
    fixture_init(&f, "Gather");
    fixture_input(&f, ASSAY_F32, "0,3", VALUES(0));
    fixture_input(&f, ASSAY_I64, "1", VALUES(0));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "dimension of 0");
    f.node.type = "GatherElements";
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "rank 1");
    fixture_release(&f);
    fixture_init(&f, "GatherElements");
    fixture_input(&f, ASSAY_F32, "0", VALUES(0));
    fixture_input(&f, ASSAY_I64, "1", VALUES(0));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "dimension of 0");
    f.node.type = "GatherND";
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "dimension of 0");
    fixture_release(&f);
}

ASSAY_TEST(gather_elements_takes_one_index_an_element)
{
    struct fixture f;
    fixture_init(&f, "GatherElements");
    fixture_input(&f, ASSAY_F32, "3,3", VALUES(1, 2, 3, 4, 5, 6, 7, 8, 9));
    fixture_input(&f, ASSAY_I32, "2,2", VALUES(1, -1, 2, 0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,2", 0, 4, 8, 7, 2);
    fixture_int(&f, "axis", 1);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,2", 0, 2, 3, 6, 4);
    ((int32_t *)f.tensors[1].data)[3] = -4;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "index -4");
    fixture_release(&f);
    fixture_init(&f, "GatherElements");
    fixture_input(&f, ASSAY_F32, "1,3", VALUES(1, 2, 3));
    fixture_input(&f, ASSAY_I64, "2,1", VALUES(0, 0));
    fixture_int(&f, "axis", 1);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "dimension 0 of the indices is 2");
    fixture_release(&f);
}

ASSAY_TEST(gather_nd_takes_elements_slices_and_batches)
{
    struct fixture f;
    fixture_init(&f, "GatherND");
    fixture_input(&f, ASSAY_I32, "2,2", VALUES(0, 1, 2, 3));
    fixture_input(&f, ASSAY_I64, "2,2", VALUES(0, 0, 1, -1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "2", 0, 0, 3);
    ((int64_t *)f.tensors[1].data)[3] = 2;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "index 2");
    fixture_release(&f);

    fixture_init(&f, "GatherND");
    fixture_input(&f, ASSAY_F16, "2,2,2", VALUES(0, 1, 2, 3, 4, 5, 6, 7));
    fixture_input(&f, ASSAY_I64, "2,1", VALUES(1, 0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F16, "2,2,2", 0, 4, 5, 6, 7, 0, 1, 2, 3);
    fixture_int(&f, "batch_dims", 1);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F16, "2,2", 0, 2, 3, 4, 5);
    f.attrs[0].i = 2;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "batch_dims is 2");
    fixture_release(&f);
}

ASSAY_TEST(compress_keeps_what_the_condition_names)
{
    struct fixture f;
    char text[64];
    fixture_init(&f, "Compress");
    fixture_input(&f, ASSAY_F32, "3,2", VALUES(1, 2, 3, 4, 5, 6));
    fixture_input(&f, ASSAY_BOOL, "5", VALUES(0, 1, 0, 0, 1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2", 0, 2, 5);
    fixture_int(&f, "axis", 0);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "index 4");
    ((bool *)f.tensors[1].data)[4] = false;
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,2", 0, 3, 4);
    f.data[1] = NULL;
    CHECK_OK(fixture_infer(&f), f.err);
    CHECK_TEXT(assay_type_text(&f.outputs[0], text, sizeof text), "f32[?,2]");
    fixture_release(&f);
}

ASSAY_TEST(gather_reads_only_what_it_picks)
{
    struct fixture f;
    struct assay_cost cost;
    fixture_init(&f, "Gather");
    fixture_unknown_input(&f, ASSAY_F32, "50000,768");
    fixture_unknown_input(&f, ASSAY_I64, "1,128");
    CHECK_OK(fixture_infer(&f), f.err);
    assay_op_cost(f.node.op, &f.call, &cost);
    CHECK_NEAR(cost.bytes_read, 128 * 768 * 4 + 128 * 8, 0);
    CHECK_NEAR(cost.bytes_written, 128 * 768 * 4, 0);
    CHECK_NEAR(cost.flops, 0, 0);
    fixture_release(&f);
}

ASSAY_TEST(gathered_elements_have_the_sum_of_their_uses_as_gradient)
{
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "3,3,3", -1, 1), one = probe_constant(&p, ASSAY_I64, "", VALUES(-1));
        int some = probe_constant(&p, seed ? ASSAY_I64 : ASSAY_I32, "2,2", VALUES(0, 2, -1, 2));
        int64_t axis = (int64_t)seed - 1;
        probe_output(&p, e_gather(&p.e, x, axis, some));
        probe_output(&p, e_gather(&p.e, x, axis, one));
        int all = probe_constant(&p, ASSAY_I64, "3,1,2", VALUES(0, 2, -1, 1, 1, 1));
        int y = e_op(&p.e, "GatherElements", E_VALUES(x, all));
        e_set_int(&p.e, "axis", axis);
        probe_output(&p, y);
        probe_output(&p, e_op(&p.e, "GatherND", E_VALUES(x, probe_constant(&p, ASSAY_I64, "2,2", VALUES(0, -1, 0, 2)))));
        y = e_op(&p.e, "GatherND", E_VALUES(x, probe_constant(&p, ASSAY_I64, "3,2,1", VALUES(0, -1, 1, 2, 0, 0))));
        e_set_int(&p.e, "batch_dims", 1);
        probe_output(&p, y);
        y = e_op(&p.e, "Compress", E_VALUES(x, probe_constant(&p, ASSAY_BOOL, "3", VALUES(1, 0, 1))));
        if (seed)
            e_set_int(&p.e, "axis", axis);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(a_gather_gradient_that_does_not_fit_is_refused)
{
    static const struct {
        int64_t axis, dims[2];
        double index;
        const char *dy, *message;
    } cases[] = {{2, {3, 2}, 0, "2,2", "axis"},
                 {0, {-3, 2}, 0, "2,2", "input_shape"},
                 {0, {3, 2}, 3, "2,2", "index 3"},
                 {0, {3, 2}, 0, "2,2,2", "rank"},
                 {0, {3, 2}, 0, "2,3", "dimension of dy"}};
    for (size_t k = 0; k < ASSAY_COUNT(cases); k++) {
        struct fixture f;
        int64_t dims[2] = {cases[k].dims[0], cases[k].dims[1]};
        fixture_init(&f, "GatherGradient");
        f.node.domain = "assay";
        fixture_input(&f, ASSAY_F32, cases[k].dy, VALUES(1, 2, 3, 4, 5, 6, 7, 8));
        fixture_input(&f, ASSAY_I64, "2", VALUES(cases[k].index, 0));
        fixture_int(&f, "axis", cases[k].axis);
        fixture_ints(&f, "input_shape", dims, 2);
        CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, cases[k].message);
        fixture_release(&f);
    }
}

ASSAY_TEST(rows_gathered_twice_get_both_gradients_in_every_float)
{
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_F64, ASSAY_F16, ASSAY_BF16};
    for (size_t k = 0; k < ASSAY_COUNT(dtypes); k++) {
        struct fixture f;
        int64_t dims[] = {3, 2};
        fixture_init(&f, "GatherGradient");
        f.node.domain = "assay";
        fixture_input(&f, dtypes[k], "3,2", VALUES(1, 2, 3, 4, 5, 6));
        fixture_input(&f, ASSAY_I32, "3", VALUES(1, -2, 0));
        fixture_ints(&f, "input_shape", dims, 2);
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, dtypes[k], "3,2", 0, 5, 6, 4, 6, 0, 0);
        fixture_release(&f);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(gather_takes_rows_along_any_axis_from_both_ends),
                ASSAY_TEST_ENTRY(nothing_is_gathered_from_nothing), ASSAY_TEST_ENTRY(gather_elements_takes_one_index_an_element),
                ASSAY_TEST_ENTRY(gather_nd_takes_elements_slices_and_batches),
                ASSAY_TEST_ENTRY(compress_keeps_what_the_condition_names), ASSAY_TEST_ENTRY(gather_reads_only_what_it_picks),
                ASSAY_TEST_ENTRY(gathered_elements_have_the_sum_of_their_uses_as_gradient),
                ASSAY_TEST_ENTRY(a_gather_gradient_that_does_not_fit_is_refused),
                ASSAY_TEST_ENTRY(rows_gathered_twice_get_both_gradients_in_every_float))
