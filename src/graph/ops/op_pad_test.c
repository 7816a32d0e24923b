/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values: numpy.pad (since 1.25, which mended wrap beyond one period), and crops by hand. */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

static void pad(struct fixture *f, const char *mode, double before, double after)
{
    fixture_init(f, "Pad");
    fixture_string(f, "mode", mode);
    fixture_input(f, ASSAY_I32, "4", VALUES(1, 2, 3, 4));
    fixture_input(f, ASSAY_I64, "2", VALUES(before, after));
}

ASSAY_TEST(each_mode_repeats_in_its_way_even_beyond_one_period)
{
    struct fixture f;
    pad(&f, "reflect", 5, 4);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "13", 0, 2, 3, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1, 2);
    fixture_release(&f);
    pad(&f, "edge", 2, 1);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "7", 0, 1, 1, 1, 2, 3, 4, 4);
    fixture_release(&f);
    pad(&f, "wrap", 5, 1);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "10", 0, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1);
    fixture_release(&f);
    pad(&f, "constant", 1, 2);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "7", 0, 0, 1, 2, 3, 4, 0, 0);
    fixture_release(&f);
}

ASSAY_TEST(negative_pads_crop_before_the_rest_is_padded)
{
    struct fixture f;
    pad(&f, "constant", -1, 2);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "5", 0, 2, 3, 4, 0, 0);
    fixture_release(&f);
    pad(&f, "edge", 2, -3);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "3", 0, 1, 1, 1);
    fixture_release(&f);
    pad(&f, "constant", -4, 1);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "1", 0, 0);
    fixture_release(&f);
    pad(&f, "edge", -4, 1);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "nothing to repeat");
    fixture_release(&f);
    pad(&f, "constant", -3, -2);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "crop more");
    fixture_release(&f);
}

ASSAY_TEST(two_axes_are_padded_corners_too)
{
    struct fixture f;
    fixture_init(&f, "Pad");
    fixture_string(&f, "mode", "reflect");
    fixture_input(&f, ASSAY_F32, "2,3", VALUES(1, 2, 3, 4, 5, 6));
    fixture_input(&f, ASSAY_I64, "4", VALUES(1, 0, 0, 2));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3,5", 0, 4, 5, 6, 5, 4, 1, 2, 3, 2, 1, 4, 5, 6, 5, 4);
    fixture_release(&f);
}

ASSAY_TEST(axes_and_a_constant_value_are_taken)
{
    struct fixture f;
    fixture_init(&f, "Pad");
    fixture_input(&f, ASSAY_F16, "2,1", VALUES(1, 2));
    fixture_input(&f, ASSAY_I64, "2", VALUES(1, 0));
    fixture_input(&f, ASSAY_F16, "", VALUES(7));
    fixture_input(&f, ASSAY_I64, "1", VALUES(-1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F16, "2,2", 0, 7, 1, 7, 2);
    ((int64_t *)f.tensors[3].data)[0] = 2;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "axis 2");
    fixture_release(&f);
}

ASSAY_TEST(pads_that_make_no_sense_are_refused)
{
    struct fixture f;
    pad(&f, "mirror", 1, 1);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "mode mirror");
    fixture_release(&f);
    pad(&f, "constant", 0, 0);
    ((int64_t *)f.tensors[1].data)[0] = INT64_MAX;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "overflow");
    ((int64_t *)f.tensors[1].data)[0] = INT64_MIN;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "crop more");
    fixture_release(&f);
    fixture_init(&f, "Pad");
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_I64, "4", VALUES(0, 0, 0, 0));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "4 pads for 1 axes");
    fixture_release(&f);
}

ASSAY_TEST(pads_have_gradients_in_every_mode)
{
    static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
    static const int64_t pads[][4] = {{1, 2, 0, 3}, {0, 0, 2, 0}, {-1, 2, 1, -2}, {-1, 0, 0, -1}, {0, 0, 0, 0}};
    for (uint64_t seed = 0; seed < 20; seed++) {
        const int64_t *c = pads[seed / 4];
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "3,4", -1, 1), outside = seed % 4 ? -1 : probe_input(&p, "", -1, 1);
        int y = e_op(&p.e, "Pad", E_VALUES(x, e_ints(&p.e, E_INTS(c[0], c[1], c[2], c[3])), outside));
        e_set_text(&p.e, "mode", modes[seed % 4]);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(each_mode_repeats_in_its_way_even_beyond_one_period),
                ASSAY_TEST_ENTRY(negative_pads_crop_before_the_rest_is_padded), ASSAY_TEST_ENTRY(two_axes_are_padded_corners_too),
                ASSAY_TEST_ENTRY(axes_and_a_constant_value_are_taken), ASSAY_TEST_ENTRY(pads_that_make_no_sense_are_refused),
                ASSAY_TEST_ENTRY(pads_have_gradients_in_every_mode))
