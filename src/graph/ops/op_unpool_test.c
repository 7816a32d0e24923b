/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/ops/fixture.h"

static void start_unpool(struct fixture *f, const double *indices)
{
    static int64_t twos[] = {2, 2};
    fixture_init(f, "MaxUnpool");
    fixture_ints(f, "kernel_shape", twos, 2);
    fixture_ints(f, "strides", twos, 2);
    fixture_input(f, ASSAY_F32, "1,1,1,2", VALUES(5, 7));
    fixture_input(f, ASSAY_I64, "1,1,1,2", indices);
}

ASSAY_TEST(maxima_return_to_their_places)
{
    struct fixture f;
    start_unpool(&f, VALUES(1, 6));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,2,4", 0, 0, 5, 0, 0, 0, 0, 7, 0);
    fixture_release(&f);
}

ASSAY_TEST(an_index_outside_of_the_output_is_refused)
{
    static const double outside[] = {-1, 8};
    for (int i = 0; i < 2; i++) {
        struct fixture f;
        start_unpool(&f, VALUES(0, outside[i]));
        CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "outside of the output");
        fixture_release(&f);
    }
}

ASSAY_TEST(another_output_shape_is_unsupported)
{
    struct fixture f;
    start_unpool(&f, VALUES(1, 6));
    fixture_input(&f, ASSAY_I64, "4", VALUES(1, 1, 3, 4));
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "output_shape");
    fixture_release(&f);
}

ASSAY_TEST(regions_are_pooled_on_a_grid)
{
    struct fixture f;
    fixture_init(&f, "MaxRoiPool");
    fixture_ints(&f, "pooled_shape", (int64_t[]){2, 2}, 2);
    fixture_float(&f, "spatial_scale", 0.5F);
    fixture_input(&f, ASSAY_F32, "1,1,3,4", VALUES(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
    fixture_input(&f, ASSAY_F32, "2,5", VALUES(0, 0, 0, 6, 2, 0, 2, 2, 2, 2)); /* all of rows 0 … 1; the point (1, 1) */
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,1,2,2", 0, 2, 4, 6, 8, 6, 6, 6, 6);
    fixture_release(&f);
}

ASSAY_TEST(a_region_of_no_image_is_refused)
{
    struct fixture f;
    fixture_init(&f, "MaxRoiPool");
    fixture_ints(&f, "pooled_shape", (int64_t[]){1, 1}, 2);
    fixture_input(&f, ASSAY_F32, "1,1,1,1", VALUES(1));
    fixture_input(&f, ASSAY_F32, "1,5", VALUES(1, 0, 0, 0, 0));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "region 0");
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(maxima_return_to_their_places), ASSAY_TEST_ENTRY(an_index_outside_of_the_output_is_refused),
                ASSAY_TEST_ENTRY(another_output_shape_is_unsupported), ASSAY_TEST_ENTRY(regions_are_pooled_on_a_grid),
                ASSAY_TEST_ENTRY(a_region_of_no_image_is_refused))
