/* SPDX-License-Identifier: Apache-2.0 */
/* The plot's text is read back: what is drawn, what is not, and whether labels lie over one another. */
#include "report/roofline.h"

#include "base/test.h"

#include <math.h>
#include <stdlib.h>

static const struct assay_roofline_roof roofs[] = {
    {"f32, 2 threads: 500 GFLOP/s", "memory, 2 threads: 50 GB/s", 500e9, 50e9},
    {"f32, 1 thread: 250 GFLOP/s", "memory, 1 thread: 40 GB/s", 250e9, 40e9},
};
static const char *const notes[] = {"a note"};

static char *draw(const struct assay_roofline_point *points, size_t n)
{
    const struct assay_roofline roofline = {.title = "a <b> & \"c\"",
                                            .subtitle = "x 1x3",
                                            .notes = notes,
                                            .n_notes = 1,
                                            .roofs = roofs,
                                            .n_roofs = 2,
                                            .points = points,
                                            .n_points = n};
    return assay_roofline_svg(&roofline);
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        n++;
    return n;
}

ASSAY_TEST(text_is_escaped_and_every_element_is_closed)
{
    const struct assay_roofline_point point = {
        .kind = ASSAY_ROOFLINE_OP, .label = "</svg><script>\x01", .intensity = 3, .share = 1};
    char *svg = draw(&point, 1);
    CHECK(strstr(svg, "a &lt;b&gt; &amp; &quot;c&quot;") && !strstr(svg, "<script>") && !strchr(svg, 1));
    CHECK_INT(count(svg, "<text"), count(svg, "</text>"));
    CHECK_INT(count(svg, "<svg"), 1);
    CHECK_INT(count(svg, "</svg>"), 1);
    free(svg);
}

/* The measured mark is there only where a measured point was given; the legend says so. */
ASSAY_TEST(nothing_is_drawn_that_was_not_given)
{
    struct assay_roofline_point points[] = {
        {.kind = ASSAY_ROOFLINE_MODEL, .label = "bound", .intensity = 20, .rate = 300e9},
        {.kind = ASSAY_ROOFLINE_MEASURED, .label = "measured", .detail = "cpu/native", .intensity = 20, .rate = 200e9},
    };
    char *svg = draw(points, 1);
    CHECK(strstr(svg, "no measured row") && !strstr(svg, "#c00000"));
    free(svg);
    svg = draw(points, 2);
    CHECK(!strstr(svg, "no measured row") && strstr(svg, "#c00000") && strstr(svg, "cpu/native"));
    free(svg);
}

ASSAY_TEST(points_without_a_place_are_left_out)
{
    const struct assay_roofline_point points[] = {
        {.kind = ASSAY_ROOFLINE_OP, .label = "placeless", .intensity = NAN, .share = 1},
        {.kind = ASSAY_ROOFLINE_OP, .label = "placeless", .intensity = 0, .share = 1},
        {.kind = ASSAY_ROOFLINE_MODEL, .label = "placeless", .intensity = INFINITY, .rate = 1},
        {.kind = ASSAY_ROOFLINE_MEASURED, .label = "placeless", .intensity = 1, .rate = -1},
        {.kind = ASSAY_ROOFLINE_NODE, .intensity = 1e300},
        {.kind = ASSAY_ROOFLINE_NODE, .intensity = 1e-300},
    };
    char *svg = draw(points, ASSAY_COUNT(points));
    CHECK(!strstr(svg, "placeless") && !strstr(svg, "nan") && !strstr(svg, "inf"));
    free(svg);
}

/* Twelve heavy ops at one place. Boxes by the width that the plot itself reckons with, 0.56 of the font's size a letter. */
ASSAY_TEST(labels_do_not_lie_over_one_another)
{
    struct assay_roofline_point points[12];
    struct {
        double left, right, y;
    } boxes[64];
    size_t n = 0;
    for (size_t i = 0; i < ASSAY_COUNT(points); i++)
        points[i] = (struct assay_roofline_point){.kind = ASSAY_ROOFLINE_OP,
                                                  .label = "BatchNormalization",
                                                  .intensity = 2 + 0.01 * (double)i,
                                                  .share = 0.08,
                                                  .colour = (int)i};
    char *svg = draw(points, ASSAY_COUNT(points));
    for (const char *at = svg; (at = strstr(at, "<text x=\"")); at++) {
        double x, y;
        if (sscanf(at, "<text x=\"%lf\" y=\"%lf\" font-size=\"11\">BatchNormalization", &x, &y) != 2 || x > 640 ||
            !strstr(at, "BatchNormalization") || strstr(at, "BatchNormalization") > strstr(at, "</text>"))
            continue;
        for (size_t i = 0; i < n; i++)
            CHECK(fabs(boxes[i].y - y) >= 12 || x >= boxes[i].right || x + 18 * 6.1 <= boxes[i].left);
        CHECK(x >= 84 && x + 18 * 6.1 <= 640 && n < ASSAY_COUNT(boxes));
        boxes[n].left = x;
        boxes[n].right = x + 18 * 6.1;
        boxes[n++].y = y;
    }
    CHECK(n >= 6);
    free(svg);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(text_is_escaped_and_every_element_is_closed),
                ASSAY_TEST_ENTRY(nothing_is_drawn_that_was_not_given), ASSAY_TEST_ENTRY(points_without_a_place_are_left_out),
                ASSAY_TEST_ENTRY(labels_do_not_lie_over_one_another))
