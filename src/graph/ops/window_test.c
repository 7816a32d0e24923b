/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/ops/window.h"

#include "graph/ops/fixture.h"

static void init(struct fixture *f, struct assay_window *window, const char *x)
{
    struct assay_type type = fixture_type(ASSAY_F32, x);
    f->call.node = &f->node;
    CHECK_OK(assay_window_init(window, &f->call, &type, NULL, &f->err), f->err);
}

ASSAY_TEST(sizes_follow_the_standards_formula)
{
    struct fixture f;
    struct assay_window w;
    fixture_init(&f, "MaxPool");
    fixture_ints(&f, "kernel_shape", (int64_t[]){3, 2}, 2);
    fixture_ints(&f, "strides", (int64_t[]){2, 3}, 2);
    fixture_ints(&f, "dilations", (int64_t[]){2, 1}, 2);
    fixture_ints(&f, "pads", (int64_t[]){1, 0, 2, 1}, 4);
    init(&f, &w, "1,1,10,9");
    CHECK_OK(assay_window_slide(&w, &f.call, false, &f.err), f.err);
    CHECK_INT(w.output[0], 1);
    CHECK_INT(w.output[1], 5); /* floor((10 + 3 - 5) / 2) + 1 */
    CHECK_INT(w.output[2], 3); /* floor((9 + 1 - 2) / 3) + 1 */
    CHECK_OK(assay_window_slide(&w, &f.call, true, &f.err), f.err);
    CHECK_INT(w.output[2], 3); /* ceil(8 / 3) + 1 = 4 would begin at 9, behind the input */
    fixture_release(&f);
}

ASSAY_TEST(ceil_mode_has_no_window_that_begins_behind_the_input)
{
    struct fixture f;
    struct assay_window w;
    fixture_init(&f, "MaxPool");
    fixture_ints(&f, "kernel_shape", (int64_t[]){1}, 1);
    fixture_ints(&f, "strides", (int64_t[]){2}, 1);
    fixture_ints(&f, "pads", (int64_t[]){0, 1}, 2);
    init(&f, &w, "1,1,3");
    CHECK_OK(assay_window_slide(&w, &f.call, true, &f.err), f.err);
    CHECK_INT(w.output[2], 2); /* ceil(3 / 2) + 1 = 3 would begin at 4 */
    fixture_release(&f);
}

ASSAY_TEST(same_padding_goes_to_the_end_or_to_the_beginning)
{
    static const char *const modes[] = {"SAME_UPPER", "SAME_LOWER"};
    for (int i = 0; i < 2; i++) {
        struct fixture f;
        struct assay_window w;
        fixture_init(&f, "MaxPool");
        fixture_ints(&f, "kernel_shape", (int64_t[]){2}, 1);
        fixture_string(&f, "auto_pad", modes[i]);
        init(&f, &w, "1,1,5");
        CHECK_OK(assay_window_slide(&w, &f.call, false, &f.err), f.err);
        CHECK_INT(w.output[2], 5);
        CHECK_INT(w.pad_begin[2], i);
        CHECK_INT(w.pad_end[2], 1 - i);
        fixture_release(&f);
    }
}

/* The two answers about what lies inside, against the position that defines them. */
static void check_inside(const struct assay_window *w)
{
    for (int64_t o = 0; o < w->output[2]; o++) {
        for (int64_t tap = 0; tap < w->kernel[2]; tap++) {
            int64_t from, to, at = assay_window_position(w, 2, o, tap);
            bool inside = at >= 0 && at < w->input[2];
            assay_window_reach(w, 2, tap, &from, &to);
            CHECK((o >= from && o < to) == inside);
            assay_window_taps(w, 2, o, &from, &to);
            CHECK((tap >= from && tap < to) == inside);
        }
    }
}

ASSAY_TEST(reach_and_taps_agree_with_the_positions)
{
    for (int i = 0; i < 3 * 3 * 4 * 4 * 6; i++) {
        struct assay_window w = {.n_dims = 1};
        w.stride[2] = 1 + i % 3;
        w.dilation[2] = 1 + i / 3 % 3;
        w.kernel[2] = 1 + i / 9 % 4;
        w.pad_begin[2] = i / 36 % 4;
        w.input[2] = i / 144;
        w.output[2] = 7;
        check_inside(&w);
    }
}

ASSAY_TEST(absurd_attributes_are_refused)
{
    static const int64_t absurd[] = {0, -1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < ASSAY_COUNT(absurd); i++) {
        struct fixture f;
        struct assay_window w;
        struct assay_type x = fixture_type(ASSAY_F32, "1,1,5");
        int64_t stride = absurd[i];
        fixture_init(&f, "MaxPool");
        fixture_ints(&f, "kernel_shape", (int64_t[]){2}, 1);
        fixture_ints(&f, "strides", &stride, 1);
        f.call.node = &f.node;
        CHECK_FAILS(assay_window_init(&w, &f.call, &x, NULL, &f.err), ASSAY_INVALID, f, "strides");
        fixture_release(&f);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(sizes_follow_the_standards_formula),
                ASSAY_TEST_ENTRY(ceil_mode_has_no_window_that_begins_behind_the_input),
                ASSAY_TEST_ENTRY(same_padding_goes_to_the_end_or_to_the_beginning),
                ASSAY_TEST_ENTRY(reach_and_taps_agree_with_the_positions), ASSAY_TEST_ENTRY(absurd_attributes_are_refused))
