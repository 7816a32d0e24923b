/* SPDX-License-Identifier: Apache-2.0 */
/* The figure's and the text's own words are read back: what they say of a curve, where its points lie, and what they cannot draw.
 */
#include "report/curves.h"

#include "base/rng.h"
#include "report/curves_scale.h"

#include "base/test.h"

#include <float.h>

enum { N = 1000, N_CHECKS = 5 };

struct fixture {
    double steps[N], loss[N];
    double check_steps[N_CHECKS], accuracy[N_CHECKS];
    struct assay_curve curves[2];
    struct assay_curves_panel panels[2];
    struct assay_curves c;
};

static void setup(struct fixture *f)
{
    static const double accuracy[N_CHECKS] = {0.5, 0.8, 0.92, 0.95, 0.93};
    *f = (struct fixture){0};
    for (int i = 0; i < N; i++) {
        f->steps[i] = i;
        f->loss[i] = 0.5 + 2 * exp(-i / 100.0);
    }
    for (int i = 0; i < N_CHECKS; i++) {
        f->check_steps[i] = 199 + 200 * i;
        f->accuracy[i] = accuracy[i];
    }
    f->curves[0] = (struct assay_curve){"train", f->steps, f->loss, N, ASSAY_CURVE_NOISY, 0};
    f->curves[1] = (struct assay_curve){"validation", f->check_steps, f->accuracy, N_CHECKS, ASSAY_CURVE_SPARSE, 1};
    f->panels[0] = (struct assay_curves_panel){.label = "loss", .curves = &f->curves[0], .n_curves = 1, .weight = 1};
    f->panels[1] = (struct assay_curves_panel){.label = "accuracy",
                                               .curves = &f->curves[1],
                                               .n_curves = 1,
                                               .weight = 1,
                                               .best = ASSAY_CURVES_LARGEST,
                                               .has_target = true,
                                               .target = 0.9};
    f->c = (struct assay_curves){.title = "a <b> & \"c\"", .subtitle = "d", .panels = f->panels, .n_panels = 2};
}

static char *draw_text(const struct fixture *f, int n_columns, bool is_utf8, bool is_coloured)
{
    const struct assay_curves_terminal terminal = {n_columns, 8, is_utf8, is_coloured};
    return assay_curves_text(&f->c, &terminal);
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        n++;
    return n;
}

/* Columns of the widest line: characters, escape sequences left out. */
static int widest(const char *text)
{
    int most = 0, n = 0;
    for (; *text; text++) {
        if (*text == '\x1b')
            text = strchr(text, 'm');
        else if (*text == '\n')
            n = 0;
        else
            n += ((unsigned char)*text & 0xc0) != 0x80;
        most = n > most ? n : most;
    }
    return most;
}

ASSAY_TEST(the_figure_is_escaped_and_every_element_is_closed)
{
    struct fixture f;
    setup(&f);
    f.curves[0].label = "</svg><script>\x01";
    char *svg = assay_curves_svg(&f.c);
    CHECK(strstr(svg, "a &lt;b&gt; &amp; &quot;c&quot;") && !strstr(svg, "<script>") && !strchr(svg, 1));
    CHECK_INT(count(svg, "<text"), count(svg, "</text>"));
    CHECK_INT(count(svg, "<svg"), 1);
    CHECK_INT(count(svg, "</svg>"), 1);
    free(svg);
}

ASSAY_TEST(figure_and_text_say_the_last_the_best_and_the_target)
{
    struct fixture f;
    setup(&f);
    char *svg = assay_curves_svg(&f.c), *text = draw_text(&f, 80, true, false);
    CHECK_CONTAINS(svg, "line: mean of 21 points");
    CHECK_CONTAINS(svg, "best 0.95 at step 799");
    CHECK_CONTAINS(svg, "last 0.93");
    CHECK_CONTAINS(svg, "0.9 reached at step 599");
    CHECK_CONTAINS(text, "validation 0.93, best 0.95 at step 799");
    CHECK_CONTAINS(text, "target 0.9 reached at step 599");
    CHECK_CONTAINS(text, "╌ ╌ ╌ ╌ ╌ ╌ ╌ ╌"); /* its line */
    CHECK_CONTAINS(text, "(mean of 21)");
    free(svg);
    free(text);
    f.panels[1].target = 0.99;
    text = draw_text(&f, 80, true, false);
    CHECK_CONTAINS(text, "target 0.99 not reached");
    free(text);
}

/* Each validation is a ring at its step: the places are read back from the figure and lie where the axis says. */
ASSAY_TEST(points_lie_where_their_values_are)
{
    struct fixture f;
    setup(&f);
    char *svg = assay_curves_svg(&f.c);
    double x[N_CHECKS + 2], y[N_CHECKS + 2];
    int n = 0;
    for (const char *at = svg; (at = strstr(at, "<circle cx=\"")) && n < N_CHECKS; at++)
        n += sscanf(at, "<circle cx=\"%lf\" cy=\"%lf\"", &x[n], &y[n]) == 2;
    free(svg);
    CHECK_INT(n, N_CHECKS);
    /* Written with one digit after the point. */
    for (int i = 1; i < N_CHECKS; i++) {
        CHECK_NEAR((x[i] - x[0]) / (x[4] - x[0]), i / 4.0, 1e-3);
        CHECK_NEAR((y[i] - y[0]) / (y[3] - y[0]), (f.accuracy[i] - 0.5) / 0.45, 2e-3);
    }
    CHECK(y[3] < y[0]);
}

ASSAY_TEST(what_is_not_finite_breaks_the_curve_and_is_told)
{
    struct fixture f;
    setup(&f);
    f.loss[700] = NAN;
    f.loss[701] = INFINITY;
    f.accuracy[2] = -INFINITY;
    char *svg = assay_curves_svg(&f.c), *text = draw_text(&f, 60, false, false);
    CHECK_CONTAINS(svg, "not finite at step 700");
    CHECK_CONTAINS(svg, "not finite at step 599");
    CHECK_CONTAINS(text, "not finite at step 700");
    CHECK(!strstr(svg, "nan") && !strstr(svg, "inf") && !strstr(text, "nan") && !strstr(text, "inf"));
    free(svg);
    free(text);
}

ASSAY_TEST(nothing_to_draw_is_drawn_as_nothing)
{
    struct fixture f;
    setup(&f);
    for (int i = 0; i < N; i++)
        f.loss[i] = NAN;
    f.curves[1].n = 0;
    char *svg = assay_curves_svg(&f.c), *text = draw_text(&f, 80, true, true);
    CHECK(!strstr(svg, "nan") && !strstr(text, "nan"));
    CHECK_CONTAINS(text, "train");
    free(svg);
    free(text);
    f.c.n_panels = 0;
    svg = assay_curves_svg(&f.c);
    text = draw_text(&f, 80, true, true);
    CHECK_CONTAINS(svg, "</svg>");
    CHECK_TEXT(text, "");
    free(svg);
    free(text);
}

ASSAY_TEST(no_line_is_wider_than_the_terminal)
{
    struct fixture f;
    setup(&f);
    f.curves[0].label = "a curve with a name that is longer than many a terminal is wide, \xc3\xa4 included, and then some";
    f.loss[3] = NAN;
    for (int n = 40; n < 200; n += 13)
        for (int kind = 0; kind < 4; kind++) {
            char *text = draw_text(&f, n, kind & 1, kind & 2);
            CHECK(widest(text) <= n);
            free(text);
        }
    char *text = draw_text(&f, -5, true, true);
    CHECK(widest(text) <= 40);
    free(text);
}

ASSAY_TEST(without_utf8_and_colour_the_text_is_plain_ascii)
{
    struct fixture f;
    setup(&f);
    f.panels[0].label = "l\xc3\xb6ss\x1b[31m";
    char *text = draw_text(&f, 80, false, false);
    for (const char *at = text; *at; at++)
        CHECK(*at == '\n' || (*at >= ' ' && *at < 0x7f));
    CHECK_CONTAINS(text, "l?ss?[31m");
    free(text);
}

/* A rising line from corner to corner: its marks rise from the lowest row on the left to the highest on the right. */
ASSAY_TEST(a_rising_line_rises_in_the_terminal)
{
    struct fixture f;
    setup(&f);
    for (int i = 0; i < N; i++)
        f.loss[i] = i;
    f.curves[0].kind = ASSAY_CURVE_EXACT;
    f.c.n_panels = 1;
    char *text = draw_text(&f, 60, false, false);
    int last = 1000, n_rows = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *mark = strchr(line, '*');
        if (!mark || strstr(line, "train"))
            continue;
        CHECK((int)(mark - line) < last);
        last = (int)(mark - line);
        n_rows++;
    }
    CHECK_INT(n_rows, 8);
    free(text);
}

/* The average of each window added up anew; a spike of 1e30 leaves nothing behind. */
ASSAY_TEST(the_average_is_that_of_its_window)
{
    struct fixture f;
    struct assay_rng rng;
    setup(&f);
    assay_rng_init(&rng, 4, 0);
    for (size_t n = 100; n <= N; n += 83) {
        for (size_t i = 0; i < n; i++)
            f.loss[i] = assay_rng_normal(&rng);
        f.loss[n / 3] = 1e30;
        f.loss[n / 2] = NAN;
        f.curves[0].n = n;
        size_t half = assay_curves_span(&f.curves[0]) / 2;
        double *average = assay_curves_average(&f.curves[0]);
        CHECK(average || half == 0);
        for (size_t i = 0; i < n && average; i++) {
            double sum = 0, count_ = 0;
            for (size_t j = i > half ? i - half : 0; j <= i + half && j < n; j++)
                if (isfinite(f.loss[j])) {
                    sum += f.loss[j];
                    count_++;
                }
            if (i == n / 2)
                CHECK(isnan(average[i]));
            else
                CHECK_NEAR(average[i], sum / count_, 1e-12 * fmax(1, fabs(sum)));
        }
        free(average);
    }
}

ASSAY_TEST(ticks_are_few_round_and_in_order_on_any_scale)
{
    static const double ranges[][2] = {{0, 1},           {0.1, 0.11},      {-3, 5},         {1e-5, 3e-4}, {0, 1e6},
                                       {1e-300, 1e-299}, {1e300, 1.7e308}, {-1e308, 1e308}, {5, 5},       {1e15, 1e15 + 1}};
    struct assay_curves_tick ticks[ASSAY_CURVES_MAX_TICKS];
    for (size_t i = 0; i < ASSAY_COUNT(ranges); i++)
        for (int is_logarithmic = 0; is_logarithmic < 2; is_logarithmic++) {
            const double steps[] = {0, 1};
            struct assay_curve curve = {"c", steps, ranges[i], 2, ASSAY_CURVE_EXACT, 0};
            struct assay_curves_panel panel = {
                .label = "p", .curves = &curve, .n_curves = 1, .weight = 1, .may_be_logarithmic = is_logarithmic};
            struct assay_curves_scale scale = assay_curves_value_scale(&panel);
            CHECK(isfinite(scale.low) && isfinite(scale.high) && scale.low < scale.high);
            CHECK(assay_curves_place(&scale, ranges[i][0]) >= 0 && assay_curves_place(&scale, ranges[i][1]) <= 1);
            int n = assay_curves_ticks(&scale, 5, ticks);
            CHECK(n >= 1 && n <= 12);
            for (int t = 0; t < n; t++) {
                CHECK(ticks[t].place >= -1e-9 && ticks[t].place <= 1 + 1e-9);
                CHECK(t == 0 || (ticks[t].value > ticks[t - 1].value && strcmp(ticks[t].text, ticks[t - 1].text) != 0));
            }
        }
}

ASSAY_TEST(numbers_are_short)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},           {0.001, "0.001"}, {0.5, "0.5"},     {1e-7, "1e-7"},
                 {1.5e30, "1.5e30"}, {12345, "12345"}, {2000000, "2e6"}, {-3e-9, "-3e-9"}};
    char text[ASSAY_CURVES_TICK_TEXT];
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++)
        CHECK_TEXT(assay_curves_number(cases[i].value, text), cases[i].text);
}

ASSAY_TEST(a_long_curve_makes_no_long_figure)
{
    enum { MANY = 300000 };
    struct fixture f;
    struct assay_rng rng;
    setup(&f);
    assay_rng_init(&rng, 6, 0);
    double *steps = assay_alloc(MANY * sizeof *steps), *values = assay_alloc(MANY * sizeof *values);
    for (int i = 0; i < MANY; i++) {
        steps[i] = i;
        values[i] = assay_rng_normal(&rng);
    }
    f.curves[0] = (struct assay_curve){"train", steps, values, MANY, ASSAY_CURVE_NOISY, 0};
    char *svg = assay_curves_svg(&f.c);
    CHECK(strlen(svg) < 200000);
    free(svg);
    free(steps);
    free(values);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(the_figure_is_escaped_and_every_element_is_closed),
                ASSAY_TEST_ENTRY(figure_and_text_say_the_last_the_best_and_the_target),
                ASSAY_TEST_ENTRY(points_lie_where_their_values_are),
                ASSAY_TEST_ENTRY(what_is_not_finite_breaks_the_curve_and_is_told),
                ASSAY_TEST_ENTRY(nothing_to_draw_is_drawn_as_nothing), ASSAY_TEST_ENTRY(no_line_is_wider_than_the_terminal),
                ASSAY_TEST_ENTRY(without_utf8_and_colour_the_text_is_plain_ascii),
                ASSAY_TEST_ENTRY(a_rising_line_rises_in_the_terminal), ASSAY_TEST_ENTRY(the_average_is_that_of_its_window),
                ASSAY_TEST_ENTRY(ticks_are_few_round_and_in_order_on_any_scale), ASSAY_TEST_ENTRY(numbers_are_short),
                ASSAY_TEST_ENTRY(a_long_curve_makes_no_long_figure))
