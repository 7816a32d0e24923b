/* SPDX-License-Identifier: Apache-2.0 */
/* See curves.h: the figure. */
#include "report/curves.h"

#include "report/curves_scale.h"
#include "report/svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 900, LEFT = 92, RIGHT = 676, TOP = 72, LEGEND = 694, PANEL_HEIGHT = 190, GAP = 22, MOST_NOTES = 12 };

static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};
static const char ink[] = "#222222", pale[] = "#e3e3e3", soft[] = "#555555", warning[] = "#c00000";

struct figure {
    const struct assay_curves *c;
    const char *step_label;
    FILE *out;
    struct assay_arena arena;
    struct assay_curves_scale steps;
    int height;
};

struct place {
    const struct assay_curves_panel *panel;
    struct assay_curves_scale scale;
    double top, bottom;
};

static const char *colour_of(const struct assay_curve *curve)
{
    return colours[(size_t)(unsigned)curve->colour % ASSAY_COUNT(colours)];
}

static double x_of(const struct figure *f, double step) { return LEFT + assay_curves_place(&f->steps, step) * (RIGHT - LEFT); }
static double y_of(const struct place *p, double value)
{
    return p->bottom - assay_curves_place(&p->scale, value) * (p->bottom - p->top);
}

static double panel_height(const struct assay_curves_panel *panel) { return fmax(PANEL_HEIGHT * panel->weight, 60); }

/* ---- frame */

static void draw_head(const struct figure *f)
{
    fprintf(f->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
            "font-family=\"DejaVu Sans, Verdana, Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"%s\">\n"
            "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
            WIDTH, f->height, WIDTH, f->height, ink, WIDTH, f->height);
    assay_svg_label(f->out, LEFT, 30, "font-size=\"18\" font-weight=\"bold\"", f->c->title);
    assay_svg_label(f->out, LEFT, 51, "font-size=\"13\" fill=\"#555555\"", f->c->subtitle);
}

static void draw_line(const struct figure *f, double x1, double y1, double x2, double y2, const char *attributes)
{
    fprintf(f->out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2, attributes);
}

static void draw_frame(const struct figure *f, const struct place *p, bool is_last)
{
    struct assay_curves_tick ticks[ASSAY_CURVES_MAX_TICKS];
    char grid[64];
    snprintf(grid, sizeof grid, "stroke=\"%s\" stroke-width=\"1\"", pale);
    int n = assay_curves_ticks(&f->steps, 8, ticks);
    for (int i = 0; i < n; i++) {
        double x = x_of(f, ticks[i].value);
        draw_line(f, x, p->top, x, p->bottom, grid);
        if (is_last)
            assay_svg_label(f->out, x, p->bottom + 18, "text-anchor=\"middle\"", ticks[i].text);
    }
    n = assay_curves_ticks(&p->scale, p->bottom - p->top < 120 ? 3 : 5, ticks);
    for (int i = 0; i < n; i++) {
        double y = y_of(p, ticks[i].value);
        draw_line(f, LEFT, y, RIGHT, y, grid);
        assay_svg_label(f->out, LEFT - 8, y + 4, "text-anchor=\"end\"", ticks[i].text);
    }
    fprintf(f->out, "<text transform=\"translate(20 %.1f) rotate(-90)\" text-anchor=\"middle\" font-size=\"13\">",
            (p->top + p->bottom) / 2);
    assay_svg_text(f->out, p->panel->label);
    fputs("</text>\n", f->out);
}

static void draw_border(const struct figure *f, const struct place *p)
{
    fprintf(f->out, "<path d=\"M%d %.1fV%.1fH%d\" fill=\"none\" stroke=\"%s\" stroke-width=\"1\"/>\n", LEFT, p->top, p->bottom,
            RIGHT, ink);
}

/* ---- curves */

/* A path through the points, broken where they are not finite. Of many within a pixel, those at its ends and the least and the
 * largest are drawn, which looks the same. */
struct path {
    const struct figure *f;
    const struct place *p;
    bool is_down;                  /* the pen */
    double column;                 /* the pixel of the points that wait */
    double least, largest, last_y; /* of them */
    bool has_waiting;
};

static void path_to(struct path *path, double x, double y)
{
    fprintf(path->f->out, "%c%.1f %.1f", path->is_down ? 'L' : 'M', x, y);
    path->is_down = true;
}

static void path_flush(struct path *path)
{
    if (!path->has_waiting)
        return;
    path->has_waiting = false;
    if (path->least != path->last_y)
        path_to(path, path->column, path->least);
    if (path->largest != path->last_y)
        path_to(path, path->column, path->largest);
    path_to(path, path->column, path->last_y);
}

static void path_add(struct path *path, double step, double value)
{
    if (!isfinite(value)) {
        path_flush(path);
        path->is_down = false;
        return;
    }
    double x = round(x_of(path->f, step) * 2) / 2, y = y_of(path->p, value);
    if (path->has_waiting && x != path->column)
        path_flush(path);
    if (!path->has_waiting) {
        path->column = x;
        path->least = path->largest = y;
        path->has_waiting = true;
    }
    path->least = fmin(path->least, y);
    path->largest = fmax(path->largest, y);
    path->last_y = y;
}

static void draw_path(const struct figure *f, const struct place *p, const struct assay_curve *curve, const double *values,
                      const char *attributes)
{
    struct path path = {.f = f, .p = p};
    fputs("<path d=\"", f->out);
    for (size_t i = 0; i < curve->n; i++)
        path_add(&path, curve->steps[i], values[i]);
    path_flush(&path);
    fprintf(f->out, "\" fill=\"none\" stroke=\"%s\" stroke-linejoin=\"round\" %s/>\n", colour_of(curve), attributes);
}

static void draw_dot(const struct figure *f, double x, double y, double r, const char *fill, const char *stroke)
{
    fprintf(f->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" stroke=\"%s\" stroke-width=\"1.5\"/>\n", x, y, r,
            fill, stroke);
}

static void draw_marks(const struct figure *f, const struct place *p, const struct assay_curve *curve)
{
    size_t broken = assay_curves_broken_index(curve), best = assay_curves_best_index(curve, p->panel->best);
    double pixels = curve->n ? (RIGHT - LEFT) / (double)curve->n : 0;
    for (size_t i = 0; i < curve->n && curve->kind == ASSAY_CURVE_SPARSE && pixels >= 7; i++)
        if (isfinite(curve->values[i]))
            draw_dot(f, x_of(f, curve->steps[i]), y_of(p, curve->values[i]), 2.6, "#ffffff", colour_of(curve));
    if (curve->kind == ASSAY_CURVE_SPARSE && best < curve->n)
        draw_dot(f, x_of(f, curve->steps[best]), y_of(p, curve->values[best]), 4.5, colour_of(curve), "#ffffff");
    if (broken < curve->n) {
        double x = x_of(f, curve->steps[broken]), y = p->top + 8;
        fprintf(f->out, "<path d=\"M%.1f %.1fl8 8m0 -8l-8 8\" stroke=\"%s\" stroke-width=\"2\"/>\n", x - 4, y - 4, warning);
    }
}

static void draw_curve(const struct figure *f, const struct place *p, const struct assay_curve *curve)
{
    double *average = assay_curves_average(curve);
    if (average) {
        draw_path(f, p, curve, curve->values, "stroke-width=\"1\" stroke-opacity=\"0.28\"");
        draw_path(f, p, curve, average, "stroke-width=\"2\"");
    } else {
        draw_path(f, p, curve, curve->values, "stroke-width=\"2\"");
    }
    free(average);
    draw_marks(f, p, curve);
}

static void draw_target(const struct figure *f, const struct place *p)
{
    double y = y_of(p, p->panel->target), step;
    draw_line(f, LEFT, y, RIGHT, y, "stroke=\"#222222\" stroke-width=\"1.2\" stroke-dasharray=\"6 4\"");
    if (!assay_curves_reached(p->panel, &step))
        return;
    double x = x_of(f, step);
    draw_line(f, x, y, x, p->bottom, "stroke=\"#222222\" stroke-width=\"1\" stroke-dasharray=\"2 4\"");
}

/* ---- legend, beside each panel */

static double legend_line(const struct figure *f, double y, const char *colour, const char *text)
{
    char attributes[64];
    snprintf(attributes, sizeof attributes, "font-size=\"11\" fill=\"%s\"", colour);
    assay_svg_label(f->out, LEGEND + 26, y, attributes, text);
    return y + 15;
}

static double draw_legend_curve(struct figure *f, const struct place *p, const struct assay_curve *curve, double y)
{
    char value[ASSAY_CURVES_TICK_TEXT], step[ASSAY_CURVES_TICK_TEXT];
    size_t last = assay_curves_last_index(curve), best = assay_curves_best_index(curve, p->panel->best);
    size_t broken = assay_curves_broken_index(curve), span = assay_curves_span(curve);
    double *average = assay_curves_average(curve);
    fprintf(f->out, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"2.5\"/>\n", LEGEND, y - 4,
            LEGEND + 18, y - 4, colour_of(curve));
    if (curve->kind == ASSAY_CURVE_SPARSE)
        draw_dot(f, LEGEND + 9, y - 4, 2.6, "#ffffff", colour_of(curve));
    assay_svg_label(f->out, LEGEND + 26, y, "font-weight=\"bold\"", curve->label);
    y += 15;
    if (last < curve->n)
        y = legend_line(
            f, y, ink,
            assay_arena_printf(&f->arena, "last %s", assay_curves_number(average ? average[last] : curve->values[last], value)));
    if (average)
        y = legend_line(f, y, soft, assay_arena_printf(&f->arena, "line: mean of %zu points", span));
    if (curve->kind == ASSAY_CURVE_SPARSE && best < curve->n)
        y = legend_line(f, y, ink,
                        assay_arena_printf(&f->arena, "best %s at %s %s", assay_curves_number(curve->values[best], value),
                                           f->step_label, assay_curves_number(curve->steps[best], step)));
    if (broken < curve->n)
        y = legend_line(
            f, y, warning,
            assay_arena_printf(&f->arena, "not finite at %s %s", f->step_label, assay_curves_number(curve->steps[broken], step)));
    free(average);
    return y + 7;
}

static void draw_legend(struct figure *f, const struct place *p)
{
    double y = p->top + 10;
    for (size_t i = 0; i < p->panel->n_curves; i++)
        y = draw_legend_curve(f, p, &p->panel->curves[i], y);
    if (!p->panel->has_target)
        return;
    draw_line(f, LEGEND, y - 4, LEGEND + 18, y - 4, "stroke=\"#222222\" stroke-width=\"1.2\" stroke-dasharray=\"6 4\"");
    assay_svg_label(f->out, LEGEND + 26, y, "font-weight=\"bold\"", "target");
    legend_line(f, y + 15, ink, assay_curves_target_text(p->panel, f->step_label, &f->arena));
}

char *assay_curves_svg(const struct assay_curves *curves)
{
    char *text = NULL;
    size_t size = 0, n_notes = curves->n_notes < MOST_NOTES ? curves->n_notes : MOST_NOTES;
    struct figure f = {.c = curves,
                       .step_label = curves->step_label ? curves->step_label : "step",
                       .out = open_memstream(&text, &size),
                       .steps = assay_curves_step_scale(curves)};
    ASSAY_ASSERT(f.out);
    double top = TOP, bottom = TOP;
    for (size_t i = 0; i < curves->n_panels; i++)
        bottom += panel_height(&curves->panels[i]) + (i ? GAP : 0);
    f.height = (int)bottom + 56 + 15 * (int)n_notes;
    draw_head(&f);
    for (size_t i = 0; i < curves->n_panels; i++) {
        const struct assay_curves_panel *panel = &curves->panels[i];
        struct place p = {panel, assay_curves_value_scale(panel), top, top + panel_height(panel)};
        draw_frame(&f, &p, i + 1 == curves->n_panels);
        if (panel->has_target)
            draw_target(&f, &p);
        for (size_t c = 0; c < panel->n_curves; c++)
            draw_curve(&f, &p, &panel->curves[c]);
        draw_border(&f, &p);
        draw_legend(&f, &p);
        top = p.bottom + GAP;
    }
    assay_svg_label(f.out, (LEFT + RIGHT) / 2.0, bottom + 38, "text-anchor=\"middle\" font-size=\"13\"", f.step_label);
    for (size_t i = 0; i < n_notes; i++)
        assay_svg_label(f.out, LEFT, bottom + 58 + 15 * (double)i, "font-size=\"11\" fill=\"#555555\"", curves->notes[i]);
    fputs("</svg>\n", f.out);
    ASSAY_ASSERT(fclose(f.out) == 0);
    assay_arena_release(&f.arena);
    return text;
}
