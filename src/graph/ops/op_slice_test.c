/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values by hand, and as NumPy gives them. */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

ASSAY_TEST(concat_joins_along_any_axis_and_skips_empty_parts)
{
    struct fixture f;
    fixture_init(&f, "Concat");
    fixture_int(&f, "axis", -1);
    fixture_input(&f, ASSAY_I8, "2,2", VALUES(1, 2, 3, 4));
    fixture_input(&f, ASSAY_I8, "2,0", VALUES(0));
    fixture_input(&f, ASSAY_I8, "2,1", VALUES(5, 6));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I8, "2,3", 0, 1, 2, 5, 3, 4, 6);
    f.attrs[0].i = 0;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "beside the axis");
    f.attrs[0].i = 2;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "axis 2");
    f.attrs[0].i = 1;
    fixture_input(&f, ASSAY_F32, "2,1", VALUES(5, 6));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "one dtype");
    fixture_release(&f);
}

ASSAY_TEST(concat_of_open_dimensions_leaves_the_axis_open)
{
    struct fixture f;
    char text[64];
    fixture_init(&f, "Concat");
    fixture_int(&f, "axis", 1);
    fixture_unknown_input(&f, ASSAY_F32, "?,2,4");
    fixture_unknown_input(&f, ASSAY_F32, "3,?,?");
    CHECK_OK(fixture_infer(&f), f.err);
    CHECK_TEXT(assay_type_text(&f.outputs[0], text, sizeof text), "f32[3,?,4]");
    f.inputs[0].dims[1] = f.inputs[1].dims[1] = INT64_MAX;
    CHECK_FAILS(fixture_infer(&f), ASSAY_INVALID, f, "overflows");
    fixture_release(&f);
}

ASSAY_TEST(split_takes_given_parts_equal_parts_and_a_shorter_last_one)
{
    struct fixture f;
    fixture_init(&f, "Split");
    f.node.n_outputs = 2;
    fixture_input(&f, ASSAY_F32, "2,3", VALUES(1, 2, 3, 4, 5, 6));
    fixture_int(&f, "axis", 1);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "does not split");
    fixture_int(&f, "num_outputs", 2);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,2", 0, 1, 2, 4, 5);
    CHECK_RESULT(&f, 1, ASSAY_F32, "2,1", 0, 3, 6);
    fixture_input(&f, ASSAY_I64, "2", VALUES(0, 3));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 1, ASSAY_F32, "2,3", 0, 1, 2, 3, 4, 5, 6);
    ((int64_t *)f.tensors[1].data)[0] = 1;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "sum up to 4, not 3");
    ((int64_t *)f.tensors[1].data)[0] = -1;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "length -1");
    ((int64_t *)f.tensors[1].data)[0] = INT64_MAX;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "part 1");
    fixture_release(&f);
}

/* x[start:end:step] of 0 … 4. */
static void check_slice(int64_t start, int64_t end, int64_t step, size_t n, const double *wanted)
{
    struct fixture f;
    char dims[16];
    fixture_init(&f, "Slice");
    fixture_input(&f, ASSAY_U16, "5", VALUES(0, 1, 2, 3, 4));
    fixture_input_bytes(&f, ASSAY_I64, "1", &start);
    fixture_input_bytes(&f, ASSAY_I64, "1", &end);
    fixture_no_input(&f);
    fixture_input_bytes(&f, ASSAY_I64, "1", &step);
    CHECK_OK(fixture_run(&f), f.err);
    snprintf(dims, sizeof dims, "%zu", n);
    fixture_check(&f, 0, ASSAY_U16, dims, 0, wanted, n, __FILE__, __LINE__);
    fixture_release(&f);
}

ASSAY_TEST(slices_are_clamped_as_the_standard_says)
{
    check_slice(1, 4, 1, 3, VALUES(1, 2, 3));
    check_slice(-2, INT64_MAX, 1, 2, VALUES(3, 4));
    check_slice(INT64_MIN, INT64_MAX, 2, 3, VALUES(0, 2, 4));
    check_slice(3, 1, 1, 0, VALUES(0));
    check_slice(4, 0, -1, 4, VALUES(4, 3, 2, 1));
    check_slice(INT64_MAX, INT64_MIN, -1, 5, VALUES(4, 3, 2, 1, 0));
    check_slice(INT64_MAX, INT64_MIN, -2, 3, VALUES(4, 2, 0));
    check_slice(2, INT64_MIN, INT64_MIN, 1, VALUES(2));
    check_slice(1, INT64_MAX, INT64_MAX, 1, VALUES(1));
    check_slice(9, 20, 1, 0, VALUES(0));
}

ASSAY_TEST(slices_along_two_axes_mix_directions)
{
    struct fixture f;
    fixture_init(&f, "Slice");
    fixture_input(&f, ASSAY_F32, "3,4", VALUES(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
    fixture_input(&f, ASSAY_I32, "2", VALUES(3, 0));
    fixture_input(&f, ASSAY_I32, "2", VALUES(-5, 2));
    fixture_input(&f, ASSAY_I32, "2", VALUES(-1, 0));
    fixture_input(&f, ASSAY_I32, "2", VALUES(-2, 1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,2", 0, 3, 1, 7, 5);
    ((int32_t *)f.tensors[4].data)[1] = 0;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "step along axis 0 is 0");
    ((int32_t *)f.tensors[3].data)[1] = 1;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "twice");
    fixture_release(&f);
}

ASSAY_TEST(axes_alone_tell_which_dimensions_stay)
{
    struct fixture f;
    char text[64];
    fixture_init(&f, "Slice");
    fixture_unknown_input(&f, ASSAY_F32, "3,4,?");
    fixture_unknown_input(&f, ASSAY_I64, "1");
    fixture_unknown_input(&f, ASSAY_I64, "1");
    fixture_input(&f, ASSAY_I64, "1", VALUES(-2));
    CHECK_OK(fixture_infer(&f), f.err);
    CHECK_TEXT(assay_type_text(&f.outputs[0], text, sizeof text), "f32[3,?,?]");
    fixture_release(&f);
}

ASSAY_TEST(concat_split_and_slice_have_gradients)
{
    for (uint64_t seed = 0; seed < 6; seed++) {
        int64_t axis = (int64_t)(seed % 3) - (seed < 3 ? 0 : 3);
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "2,3,2", -1, 1), y = probe_input(&p, "2,3,2", -1, 1);
        int z = e_concat(&p.e, axis, 3, (const int[]){x, y, x}), parts[3] = {0, seed % 2 ? 0 : -1, 0};
        int64_t n = e_type(&p.e, z)->dims[seed % 3];
        e_many(&p.e, "Split", "", E_VALUES(z, e_ints(&p.e, E_INTS(1, n - 2, 1))), 3, parts);
        e_set_int(&p.e, "axis", axis);
        for (int i = 0; i < 3; i += 2)
            probe_output(&p, parts[i]);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(slices_of_any_steps_have_gradients)
{
    static const int64_t cases[][6] = {/* start, end, step, of two axes of 7 and 4 */
                                       {1, 5, 1, 0, 4, 1},     {0, 7, 2, 1, 4, 2},       {1, 7, 3, -1, -9, -1},
                                       {-1, -8, -2, 3, 0, -2}, {6, 0, -4, 2, 3, 1},      {5, 2, 1, 0, 4, 1},
                                       {2, 3, 9, 0, 9, 3},     {6, -99, -6, 3, -99, -3}, {-7, INT64_MAX, 5, 0, INT64_MAX, 1}};
    for (uint64_t seed = 0; seed < ASSAY_COUNT(cases); seed++) {
        const int64_t *c = cases[seed];
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "7,2,4", -1, 1);
        int starts = e_ints(&p.e, E_INTS(c[0], c[3])), ends = e_ints(&p.e, E_INTS(c[1], c[4]));
        int steps = e_ints(&p.e, E_INTS(c[2], c[5])), axes = e_ints(&p.e, E_INTS(0, -1));
        probe_output(&p, e_op(&p.e, "Slice", E_VALUES(x, starts, ends, axes, steps)));
        probe_output(&p, x);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(concat_joins_along_any_axis_and_skips_empty_parts),
                ASSAY_TEST_ENTRY(concat_of_open_dimensions_leaves_the_axis_open),
                ASSAY_TEST_ENTRY(split_takes_given_parts_equal_parts_and_a_shorter_last_one),
                ASSAY_TEST_ENTRY(slices_are_clamped_as_the_standard_says), ASSAY_TEST_ENTRY(slices_along_two_axes_mix_directions),
                ASSAY_TEST_ENTRY(axes_alone_tell_which_dimensions_stay), ASSAY_TEST_ENTRY(concat_split_and_slice_have_gradients),
                ASSAY_TEST_ENTRY(slices_of_any_steps_have_gradients))
