/* SPDX-License-Identifier: Apache-2.0 */
#include "report/scaling.h"

#include "base/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct assay_scaling_point rising[] = {
    {1, 100, 1 << 20, false}, {2, 190, 1 << 21, false}, {4, 200, 1 << 22, false}, {8, NAN, 1 << 23, true}};

ASSAY_TEST(knee_and_the_end_of_memory_are_marked_once)
{
    const struct assay_scaling_curve curve = {"a <model>", "samples/s", rising, 4, 1};
    char *svg = assay_scaling_svg(&curve, 1, "host");
    CHECK_CONTAINS(svg, ">knee<");
    CHECK_CONTAINS(svg, ">memory ends<");
    CHECK_CONTAINS(svg, "a &lt;model&gt; — knee at 2: 190 samples/s, 2.0 MiB; memory ends at 8");
    CHECK_CONTAINS(svg, ">host<");
    CHECK_CONTAINS(svg, "</svg>");
    CHECK(strstr(strstr(svg, ">knee<") + 1, ">knee<") == NULL);
    free(svg);
}

ASSAY_TEST(a_curve_without_a_knee_says_so)
{
    const struct assay_scaling_curve curve = {"a", "samples/s", rising, 2, 2};
    char *svg = assay_scaling_svg(&curve, 1, NULL);
    CHECK_CONTAINS(svg, "a — no knee");
    CHECK(strstr(svg, ">knee<") == NULL);
    CHECK(strstr(svg, "memory ends") == NULL);
    free(svg);
}

ASSAY_TEST(curves_in_another_unit_are_told_and_not_drawn)
{
    const struct assay_scaling_curve curves[] = {{"a", "samples/s", rising, 4, 1}, {"b", "tokens/s", rising, 4, 1}};
    char *svg = assay_scaling_svg(curves, 2, NULL);
    CHECK_CONTAINS(svg, "1 more: not drawn");
    CHECK(strstr(svg, "b — ") == NULL);
    free(svg);
}

ASSAY_TEST(a_short_range_has_equal_steps)
{
    const struct assay_scaling_point flat[] = {{1, 16300, -1, false}, {2, 16800, -1, false}, {4, 15900, -1, false}};
    const struct assay_scaling_curve curve = {"a", "samples/s", flat, 3, 0};
    char *svg = assay_scaling_svg(&curve, 1, NULL);
    CHECK_CONTAINS(svg, ">14000<");
    CHECK_CONTAINS(svg, ">16000<");
    CHECK_CONTAINS(svg, ">18000<");
    CHECK_CONTAINS(svg, ">throughput (samples/s)<");
    free(svg);
}

ASSAY_TEST(nothing_to_draw_is_no_figure)
{
    const struct assay_scaling_point none[] = {
        {1, NAN, -1, true}, {2, NAN, -1, false}, {0, 5, -1, false}, {4, INFINITY, -1, false}};
    const struct assay_scaling_curve curve = {"a", "samples/s", none, 4, 4};
    CHECK(assay_scaling_svg(&curve, 1, NULL) == NULL);
    CHECK(assay_scaling_svg(NULL, 0, NULL) == NULL);
}

ASSAY_TEST(no_place_is_off_the_figure_whatever_the_numbers)
{
    const struct assay_scaling_point points[] = {{1, 1e-300, -1, false}, {INT64_MAX, 1e300, -1, false}};
    const struct assay_scaling_curve curve = {"a", "samples/s", points, 2, 2};
    char *svg = assay_scaling_svg(&curve, 1, NULL);
    CHECK(strstr(svg, "nan") == NULL);
    CHECK(strstr(svg, "inf") == NULL);
    free(svg);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_short_range_has_equal_steps), ASSAY_TEST_ENTRY(knee_and_the_end_of_memory_are_marked_once),
                ASSAY_TEST_ENTRY(a_curve_without_a_knee_says_so), ASSAY_TEST_ENTRY(curves_in_another_unit_are_told_and_not_drawn),
                ASSAY_TEST_ENTRY(nothing_to_draw_is_no_figure), ASSAY_TEST_ENTRY(no_place_is_off_the_figure_whatever_the_numbers))
