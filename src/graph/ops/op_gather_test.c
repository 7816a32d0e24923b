/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values: numpy.take, take_along_axis and compress, and the standard's examples of GatherND. */
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

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(gather_takes_rows_along_any_axis_from_both_ends),
                ASSAY_TEST_ENTRY(nothing_is_gathered_from_nothing), ASSAY_TEST_ENTRY(gather_elements_takes_one_index_an_element),
                ASSAY_TEST_ENTRY(gather_nd_takes_elements_slices_and_batches),
                ASSAY_TEST_ENTRY(compress_keeps_what_the_condition_names), ASSAY_TEST_ENTRY(gather_reads_only_what_it_picks))
