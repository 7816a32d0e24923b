/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

static const double one_to_four[] = {1, 2, 3, 4};

/* x [1, 1, 1, 4] and either scales or a size of the last dimension. */
static void start(struct fixture *f, const char *mode, const char *transformation, double scale, double size)
{
    fixture_init(f, "Resize");
    fixture_string(f, "mode", mode);
    fixture_string(f, "coordinate_transformation_mode", transformation);
    fixture_input(f, ASSAY_F32, "1,1,1,4", one_to_four);
    fixture_no_input(f);
    if (scale > 0) {
        fixture_input(f, ASSAY_F32, "4", VALUES(1, 1, 1, scale));
    } else {
        fixture_no_input(f);
        fixture_input(f, ASSAY_I64, "4", VALUES(1, 1, 1, size));
    }
}

ASSAY_TEST(linear_interpolation_between_pixel_centres)
{
    struct fixture f;
    start(&f, "linear", "half_pixel", 2, 0);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,1,8", 0, 1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4);
    fixture_release(&f);
}

ASSAY_TEST(aligned_corners_stay)
{
    struct fixture f;
    start(&f, "linear", "align_corners", 0, 7);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,1,7", 0, 1, 1.5, 2, 2.5, 3, 3.5, 4);
    fixture_release(&f);
}

ASSAY_TEST(two_dimensions_are_interpolated_one_after_the_other)
{
    struct fixture f;
    fixture_init(&f, "Resize");
    fixture_string(&f, "mode", "linear");
    fixture_string(&f, "coordinate_transformation_mode", "align_corners");
    fixture_input(&f, ASSAY_F32, "1,1,2,2", one_to_four);
    fixture_no_input(&f);
    fixture_no_input(&f);
    fixture_input(&f, ASSAY_I64, "4", VALUES(1, 1, 3, 3));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,3,3", 0, 1, 1.5, 2, 2, 2.5, 3, 3, 3.5, 4);
    fixture_release(&f);
}

ASSAY_TEST(a_cubic_reproduces_a_line_inside)
{
    struct fixture f;
    fixture_init(&f, "Resize");
    fixture_string(&f, "mode", "cubic");
    fixture_float(&f, "cubic_coeff_a", -0.5F); /* Keys: exact for polynomials up to degree two */
    fixture_input(&f, ASSAY_F32, "8", VALUES(0, 1, 4, 9, 16, 25, 36, 49));
    fixture_no_input(&f);
    fixture_input(&f, ASSAY_F32, "1", VALUES(2));
    CHECK_OK(fixture_run(&f), f.err);
    for (int i = 4; i < 12; i++) {
        double x = (i + 0.5) / 2 - 0.5;
        CHECK_NEAR(assay_tensor_real(&f.results[0], i), x * x, 2e-6); /* one rounding to f32 of numbers up to 36 */
    }
    fixture_release(&f);
}

ASSAY_TEST(nearest_rounds_as_it_is_told)
{
    static const char *const modes[] = {"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"};
    static const double wanted[][8] = {{1, 1, 2, 2, 3, 3, 4, 4}, /* coordinates 0, 0.5, 1, … 3.5 */
                                       {1, 2, 2, 3, 3, 4, 4, 4},
                                       {1, 1, 2, 2, 3, 3, 4, 4},
                                       {1, 2, 2, 3, 3, 4, 4, 4}};
    for (int i = 0; i < 4; i++) {
        struct fixture f;
        start(&f, "nearest", "asymmetric", 2, 0);
        fixture_string(&f, "nearest_mode", modes[i]);
        CHECK_OK(fixture_run(&f), f.err);
        for (int k = 0; k < 8; k++)
            CHECK_NEAR(assay_tensor_real(&f.results[0], k), wanted[i][k], 0);
        fixture_release(&f);
    }
}

ASSAY_TEST(nearest_moves_any_dtype_in_any_dimension)
{
    static const enum assay_dtype dtypes[] = {ASSAY_U8, ASSAY_I16, ASSAY_BOOL, ASSAY_I64, ASSAY_F64, ASSAY_BF16};
    for (size_t i = 0; i < ASSAY_COUNT(dtypes); i++) {
        struct fixture f;
        fixture_init(&f, "Resize");
        fixture_input(&f, dtypes[i], "2,2", VALUES(1, 0, 0, 1));
        fixture_no_input(&f);
        fixture_input(&f, ASSAY_F32, "2", VALUES(2, 1.5));
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, dtypes[i], "4,3", 0, 1, 1, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1);
        fixture_release(&f);
    }
}

ASSAY_TEST(a_crop_takes_what_is_outside_from_the_attribute)
{
    struct fixture f;
    fixture_init(&f, "Resize");
    fixture_string(&f, "mode", "linear");
    fixture_string(&f, "coordinate_transformation_mode", "tf_crop_and_resize");
    fixture_float(&f, "extrapolation_value", 9);
    fixture_input(&f, ASSAY_F32, "3", VALUES(10, 20, 30));
    fixture_input(&f, ASSAY_F32, "2", VALUES(0.25, 1.25));
    fixture_no_input(&f);
    fixture_input(&f, ASSAY_I64, "1", VALUES(3)); /* coordinates 0.5, 1.5, 2.5 */
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3", 0, 15, 25, 9);
    fixture_release(&f);
}

ASSAY_TEST(axes_name_the_dimensions_meant)
{
    struct fixture f;
    fixture_init(&f, "Resize");
    fixture_ints(&f, "axes", (int64_t[]){-1}, 1);
    fixture_input(&f, ASSAY_F32, "2,2", one_to_four);
    fixture_no_input(&f);
    fixture_input(&f, ASSAY_F32, "1", VALUES(2));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,4", 0, 1, 1, 2, 2, 3, 3, 4, 4);
    fixture_release(&f);
}

ASSAY_TEST(what_is_ambiguous_or_absurd_is_refused)
{
    struct fixture f;
    start(&f, "linear", "align_corners", 0.6, 0);
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "align_corners");
    fixture_release(&f);
    start(&f, "nearest", "half_pixel", 1e30, 0);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "scale");
    fixture_release(&f);
    start(&f, "nearest", "half_pixel", 0, -2);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "size");
    fixture_release(&f);
    start(&f, "linear", "no such", 2, 0);
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "no such");
    fixture_release(&f);
}

ASSAY_TEST(sizes_that_are_not_known_yet_leave_the_rank)
{
    struct fixture f;
    fixture_init(&f, "Resize");
    fixture_unknown_input(&f, ASSAY_F32, "1,3,?,5");
    fixture_no_input(&f);
    fixture_no_input(&f);
    fixture_unknown_input(&f, ASSAY_I64, "4");
    CHECK_OK(fixture_infer(&f), f.err);
    CHECK_INT(f.outputs[0].rank, 4);
    CHECK_INT(f.outputs[0].dims[3], -1);
    fixture_release(&f);
}

ASSAY_TEST(upsample_repeats)
{
    struct fixture f;
    fixture_init(&f, "Upsample");
    fixture_input(&f, ASSAY_F32, "1,1,2,2", one_to_four);
    fixture_input(&f, ASSAY_F32, "4", VALUES(1, 1, 1, 2));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,2,4", 0, 1, 1, 2, 2, 3, 3, 4, 4);
    fixture_release(&f);
}

ASSAY_TEST(resized_tensors_have_gradients)
{
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    static const char *const transformations[] = {"half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"};
    static const int64_t sizes[][2] = {{6, 8}, {5, 4}, {2, 7}, {3, 4}};
    for (uint64_t seed = 0; seed < 48; seed++) {
        const int64_t *size = sizes[seed / 12];
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "2,1,3,4", -1, 1), shape = e_ints(&p.e, E_INTS(2, 1, size[0], size[1]));
        int y = e_op(&p.e, "Resize", E_VALUES(x, -1, -1, shape));
        e_set_text(&p.e, "mode", modes[seed % 3]);
        e_set_text(&p.e, "coordinate_transformation_mode", transformations[seed / 3 % 4]);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(linear_interpolation_between_pixel_centres), ASSAY_TEST_ENTRY(aligned_corners_stay),
                ASSAY_TEST_ENTRY(two_dimensions_are_interpolated_one_after_the_other),
                ASSAY_TEST_ENTRY(a_cubic_reproduces_a_line_inside), ASSAY_TEST_ENTRY(nearest_rounds_as_it_is_told),
                ASSAY_TEST_ENTRY(nearest_moves_any_dtype_in_any_dimension),
                ASSAY_TEST_ENTRY(a_crop_takes_what_is_outside_from_the_attribute),
                ASSAY_TEST_ENTRY(axes_name_the_dimensions_meant), ASSAY_TEST_ENTRY(what_is_ambiguous_or_absurd_is_refused),
                ASSAY_TEST_ENTRY(sizes_that_are_not_known_yet_leave_the_rank), ASSAY_TEST_ENTRY(upsample_repeats),
                ASSAY_TEST_ENTRY(resized_tensors_have_gradients))
