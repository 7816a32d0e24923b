/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values: boxes by hand; RoiAlign on a plane z = x + 10y, which bilinear samples and their averages reproduce exactly. */
#include "graph/ops/fixture.h"

static void boxes(struct fixture *f, double limit, double iou, double score)
{
    fixture_init(f, "NonMaxSuppression");
    fixture_input(f, ASSAY_F32, "1,4,4", VALUES(0, 0, 1, 1, 0, 0.1, 1, 1.1, 0, 2, 1, 3, 0, 2.9, 1, 2));
    fixture_input(f, ASSAY_F32, "1,1,4", VALUES(0.5, 0.9, 0.6, 0.6));
    fixture_input(f, ASSAY_I64, "", &limit);
    fixture_input(f, ASSAY_F32, "", &iou);
    fixture_input(f, ASSAY_F32, "", &score);
}

ASSAY_TEST(the_best_box_suppresses_those_that_overlap_it)
{
    struct fixture f;
    boxes(&f, 10, 0.5, 0); /* 0 overlaps 1 by 0.9/1.1; 3 overlaps 2, which has the same score and comes first */
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I64, "2,3", 0, 0, 0, 1, 0, 0, 2);
    fixture_release(&f);
    boxes(&f, 10, 0.95, 0.55);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I64, "3,3", 0, 0, 0, 1, 0, 0, 2, 0, 0, 3);
    fixture_release(&f);
    boxes(&f, 1, 0.5, 0);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I64, "1,3", 0, 0, 0, 1);
    fixture_release(&f);
    boxes(&f, -1, 0.5, 0);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_INT(f.results[0].type.dims[0], 0);
    fixture_release(&f);
}

ASSAY_TEST(centres_and_sizes_mean_the_same_boxes)
{
    struct fixture f;
    fixture_init(&f, "NonMaxSuppression");
    fixture_input(&f, ASSAY_F32, "1,2,4", VALUES(0.5, 0.5, 1, 1, 0.5, 0.75, 1, 1));
    fixture_input(&f, ASSAY_F32, "1,2,2", VALUES(0.1, 0.2, 0.4, 0.3));
    fixture_input(&f, ASSAY_I64, "1", VALUES(5));
    fixture_input(&f, ASSAY_F32, "1", VALUES(0.55)); /* they overlap by 0.75/1.25 */
    fixture_int(&f, "center_point_box", 1);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I64, "2,3", 0, 0, 0, 1, 0, 1, 0);
    fixture_release(&f);
}

ASSAY_TEST(boxes_that_are_not_numbers_do_no_harm)
{
    struct fixture f;
    fixture_init(&f, "NonMaxSuppression");
    fixture_input(&f, ASSAY_F32, "1,2,4", VALUES(NAN, 0, 1, 1, INFINITY, -INFINITY, 1, 1));
    fixture_input(&f, ASSAY_F32, "1,1,2", VALUES(NAN, 1));
    fixture_input(&f, ASSAY_I64, "", VALUES(0x1p60));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I64, "1,3", 0, 0, 0, 1);
    fixture_release(&f);
    fixture_init(&f, "NonMaxSuppression");
    fixture_input(&f, ASSAY_F32, "1,2,4", (const double[8]){0});
    fixture_input(&f, ASSAY_F32, "1,1,3", (const double[3]){0});
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "the number of boxes");
    fixture_release(&f);
}

static void roi(struct fixture *f, enum assay_dtype dtype, const double *corners)
{
    double map[2 * 8 * 8];
    for (int i = 0; i < 128; i++)
        map[i] = i % 8 + 10 * (i / 8 % 8) + 100 * (i / 64);
    fixture_init(f, "RoiAlign");
    fixture_input(f, dtype, "1,2,8,8", map);
    fixture_input(f, dtype, "1,4", corners);
    fixture_input(f, ASSAY_I64, "1", VALUES(0));
    fixture_int(f, "output_height", 2);
    fixture_int(f, "output_width", 1);
}

ASSAY_TEST(regions_average_a_plane_at_the_centres_of_their_bins)
{
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_F64, ASSAY_F16};
    for (size_t i = 0; i < ASSAY_COUNT(dtypes); i++) {
        struct fixture f;
        roi(&f, dtypes[i], VALUES(1, 2, 4, 6)); /* x1 y1 x2 y2; centres x = 2.5, y = 3 and 5, less half a pixel */
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, dtypes[i], "1,2,2,1", 1e-5, 27, 47, 127, 147);
        fixture_string(&f, "coordinate_transformation_mode", "output_half_pixel");
        fixture_int(&f, "sampling_ratio", 3);
        fixture_float(&f, "spatial_scale", 0.5f);
        CHECK_OK(fixture_run(&f), f.err); /* centres x = 1.25, y = 1.5 and 2.5 */
        CHECK_RESULT(&f, 0, dtypes[i], "1,2,2,1", 1e-5, 16.25, 26.25, 116.25, 126.25);
        fixture_release(&f);
    }
}

ASSAY_TEST(max_takes_the_largest_weighted_neighbour)
{
    struct fixture f;
    roi(&f, ASSAY_F32, VALUES(2, 1, 4, 5)); /* one sample a bin column: x = 2.5, rows by twos */
    fixture_string(&f, "mode", "max");
    fixture_int(&f, "sampling_ratio", 1);
    CHECK_OK(fixture_run(&f), f.err);
    /* Sample (1.5, 2.5): neighbours 12, 13, 22, 23, each weighing a quarter; (3.5, 2.5): up to 43. */
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,2,2,1", 1e-5, 23 / 4., 43 / 4., 123 / 4., 143 / 4.);
    fixture_release(&f);
}

ASSAY_TEST(regions_off_the_map_are_zero_and_senseless_ones_refused)
{
    struct fixture f;
    roi(&f, ASSAY_F32, VALUES(100, 100, 104, 104));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,2,2,1", 0, 0, 0, 0, 0);
    ((float *)f.tensors[1].data)[2] = 1e30f;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "no map");
    ((float *)f.tensors[1].data)[0] = NAN;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "no map");
    ((int64_t *)f.tensors[2].data)[0] = 1;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "index 1");
    fixture_string(&f, "mode", "sum");
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "mode sum");
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(the_best_box_suppresses_those_that_overlap_it),
                ASSAY_TEST_ENTRY(centres_and_sizes_mean_the_same_boxes), ASSAY_TEST_ENTRY(boxes_that_are_not_numbers_do_no_harm),
                ASSAY_TEST_ENTRY(regions_average_a_plane_at_the_centres_of_their_bins),
                ASSAY_TEST_ENTRY(max_takes_the_largest_weighted_neighbour),
                ASSAY_TEST_ENTRY(regions_off_the_map_are_zero_and_senseless_ones_refused))
