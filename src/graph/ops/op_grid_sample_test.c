/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/ops/fixture.h"

/* One row of four points, sampled at three: their coordinates in the row are -1, 0.5 and 3.25 for corners that are points. */
static void start(struct fixture *f, const char *mode, const char *padding)
{
    double at[6] = {0};
    static const double coordinates[] = {-1, 0.5, 3.25};
    for (int i = 0; i < 3; i++)
        at[2 * i] = coordinates[i] / 3 * 2 - 1;
    fixture_init(f, "GridSample");
    fixture_string(f, "mode", mode);
    fixture_string(f, "padding_mode", padding);
    fixture_int(f, "align_corners", 1);
    fixture_input(f, ASSAY_F64, "1,1,1,4", VALUES(1, 2, 3, 4));
    fixture_input(f, ASSAY_F64, "1,1,3,2", at);
}

ASSAY_TEST(bilinear_samples_fade_into_the_padding)
{
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    static const double wanted[][3] = {{0, 1.5, 3}, {1, 1.5, 4}, {2, 1.5, 3.75}};
    for (int i = 0; i < 3; i++) {
        struct fixture f;
        start(&f, "bilinear", paddings[i]);
        CHECK_OK(fixture_run(&f), f.err);
        for (int k = 0; k < 3; k++)
            CHECK_NEAR(assay_tensor_real(&f.results[0], k), wanted[i][k], 1e-14);
        fixture_release(&f);
    }
}

ASSAY_TEST(nearest_takes_the_closest_point)
{
    struct fixture f;
    start(&f, "nearest", "zeros");
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "1,1,1,3", 0, 0, 1, 4); /* 0.5 is a tie, and 0 is even */
    fixture_release(&f);
}

ASSAY_TEST(bicubic_between_points_of_a_line_lies_on_it)
{
    struct fixture f;
    fixture_init(&f, "GridSample");
    fixture_string(&f, "mode", "bicubic");
    fixture_int(&f, "align_corners", 1);
    fixture_string(&f, "padding_mode", "border");
    fixture_input(&f, ASSAY_F64, "1,1,1,4", VALUES(1, 2, 3, 4));
    fixture_input(&f, ASSAY_F64, "1,1,1,2", VALUES(0, 0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "1,1,1,1", 1e-14, 2.5);
    fixture_release(&f);
}

ASSAY_TEST(coordinates_that_are_no_numbers_are_outside)
{
    struct fixture f;
    fixture_init(&f, "GridSample");
    fixture_input(&f, ASSAY_F32, "1,1,1,1", VALUES(5));
    fixture_input(&f, ASSAY_F32, "1,1,3,2", VALUES(NAN, 0, INFINITY, 0, 0, -1e38));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,1,3", 0, 0, 0, 0);
    fixture_release(&f);
}

ASSAY_TEST(volumes_are_unsupported)
{
    struct fixture f;
    fixture_init(&f, "GridSample");
    fixture_input(&f, ASSAY_F32, "1,1,1,1,1", VALUES(5));
    fixture_input(&f, ASSAY_F32, "1,1,1,1,3", VALUES(0, 0, 0));
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "rank 4");
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(bilinear_samples_fade_into_the_padding), ASSAY_TEST_ENTRY(nearest_takes_the_closest_point),
                ASSAY_TEST_ENTRY(bicubic_between_points_of_a_line_lies_on_it),
                ASSAY_TEST_ENTRY(coordinates_that_are_no_numbers_are_outside), ASSAY_TEST_ENTRY(volumes_are_unsupported))
