/* SPDX-License-Identifier: Apache-2.0 */
/* See scaling.h. Both axes are logarithmic: what scales perfectly is a straight line, and curves of slow and fast platforms are
 * seen together. */
#include "report/scaling.h"

#include "report/svg.h"
#include "report/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 900, LEFT = 96, RIGHT = 24, TOP = 56, PLOT_HEIGHT = 340, LEGEND_LINE = 20, MOST_CURVES = 8 };
static const char *const colours[MOST_CURVES] = {"#1f5fa8", "#c8501e", "#2e7d4f", "#8a3f8f",
                                                 "#a67c00", "#0f8a8a", "#b03060", "#555555"};

struct figure {
    FILE *out;
    struct assay_arena arena;
    const struct assay_scaling_curve *curves[MOST_CURVES];
    size_t n, n_left_out;
    double first, last; /* log2 of the batch */
    double low, high;   /* log10 of the throughput, whole or half steps */
};

static double place_x(const struct figure *f, double batch)
{
    return LEFT + (log2(batch) - f->first) / (f->last - f->first) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct figure *f, double throughput)
{
    return TOP + PLOT_HEIGHT - (log10(throughput) - f->low) / (f->high - f->low) * PLOT_HEIGHT;
}

static bool has_place(const struct assay_scaling_point *p)
{
    return p->batch > 0 && p->throughput > 0 && isfinite(p->throughput);
}

static void take(struct figure *f, const struct assay_scaling_curve *curve)
{
    bool any = false;
    for (size_t i = 0; i < curve->n_points; i++)
        any |= has_place(&curve->points[i]);
    if (!any)
        return;
    if (f->n == MOST_CURVES || (f->n && strcmp(f->curves[0]->unit, curve->unit) != 0))
        f->n_left_out++;
    else
        f->curves[f->n++] = curve;
}

static void set_scales(struct figure *f)
{
    double least = INFINITY, most = 0;
    f->first = INFINITY;
    f->last = -INFINITY;
    for (size_t k = 0; k < f->n; k++)
        for (size_t i = 0; i < f->curves[k]->n_points; i++) {
            const struct assay_scaling_point *p = &f->curves[k]->points[i];
            if (p->batch > 0 && (has_place(p) || p->no_memory)) {
                f->first = fmin(f->first, log2((double)p->batch));
                f->last = fmax(f->last, log2((double)p->batch));
            }
            if (has_place(p)) {
                least = fmin(least, p->throughput);
                most = fmax(most, p->throughput);
            }
        }
    f->first -= 0.25;
    f->last += 0.25;
    f->low = log10(least) - 0.1;
    f->high = log10(most) + 0.15;
}

static void draw_text(struct figure *f, double x, double y, const char *attributes, const char *text)
{
    assay_svg_label(f->out, x, y, attributes, text);
}

static void draw_batches(struct figure *f)
{
    int from = (int)ceil(f->first), to = (int)floor(f->last), step = 1 + (to - from) / 16;
    for (int e = from; e <= to; e += step) {
        double x = place_x(f, exp2(e));
        fprintf(f->out, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#e4e4e4\"/>\n", x, TOP, x, TOP + PLOT_HEIGHT);
        draw_text(f, x, TOP + PLOT_HEIGHT + 18, "text-anchor=\"middle\" font-size=\"12\" fill=\"#444\"",
                  assay_arena_printf(&f->arena, "%.0f", exp2(e)));
    }
    draw_text(f, (LEFT + WIDTH - RIGHT) / 2.0, TOP + PLOT_HEIGHT + 40, "text-anchor=\"middle\" font-size=\"13\" fill=\"#222\"",
              "batch");
}

static void draw_rate(struct figure *f, double rate)
{
    double y = place_y(f, rate);
    if (log10(rate) < f->low || log10(rate) > f->high)
        return;
    fprintf(f->out, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#e4e4e4\"/>\n", LEFT, y, WIDTH - RIGHT, y);
    draw_text(f, LEFT - 8, y + 4, "text-anchor=\"end\" font-size=\"12\" fill=\"#444\"",
              assay_arena_printf(&f->arena, "%.12g", rate));
}

/* Equal steps of 1, 2 or 5 where the range is shorter than a decade, 1, 2, 5, 10 … up to three decades, else powers of ten. */
static void draw_rates(struct figure *f)
{
    static const double parts[] = {1, 2, 5};
    double decades = f->high - f->low, least = pow(10, f->low), most = pow(10, f->high), aim = (most - least) / 5;
    double step = pow(10, floor(log10(aim)));
    step *= aim >= 5 * step ? 5 : aim >= 2 * step ? 2 : 1;
    for (double k = ceil(least / step); decades < 1 && k * step <= most; k++)
        draw_rate(f, k * step);
    for (int e = (int)floor(f->low); decades >= 1 && e <= (int)ceil(f->high); e++)
        for (int k = 0; k < (decades > 3 ? 1 : 3); k++)
            draw_rate(f, parts[k] * pow(10, e));
    draw_text(f, LEFT, TOP - 12, "font-size=\"13\" fill=\"#222\"",
              assay_arena_printf(&f->arena, "throughput (%s)", f->curves[0]->unit));
}

static void draw_point(struct figure *f, const struct assay_scaling_point *p, bool is_knee, const char *colour, double last_y)
{
    double x = place_x(f, (double)p->batch);
    if (p->no_memory) { /* as high as the curve was */
        fprintf(f->out, "<path d=\"M%.1f %.1fl10 10m0 -10l-10 10\" stroke=\"%s\" stroke-width=\"2.5\"/>\n", x - 5, last_y - 5,
                colour);
        draw_text(f, x + 5, last_y + 20, "text-anchor=\"end\" font-size=\"11\" fill=\"#222\"", "memory ends");
        return;
    }
    double y = place_y(f, p->throughput);
    fprintf(f->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", x, y, colour);
    if (is_knee) {
        fprintf(f->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"9\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", x, y,
                colour);
        draw_text(f, x, y - 14, "text-anchor=\"middle\" font-size=\"11\" fill=\"#222\"", "knee");
    }
}

static void draw_curve(struct figure *f, const struct assay_scaling_curve *curve, const char *colour)
{
    double last_y = TOP + PLOT_HEIGHT;
    fprintf(f->out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colour);
    for (size_t i = 0; i < curve->n_points; i++)
        if (has_place(&curve->points[i]))
            fprintf(f->out, "%.1f,%.1f ", place_x(f, (double)curve->points[i].batch), place_y(f, curve->points[i].throughput));
    fputs("\"/>\n", f->out);
    for (size_t i = 0; i < curve->n_points; i++) {
        const struct assay_scaling_point *p = &curve->points[i];
        if (has_place(p))
            last_y = place_y(f, p->throughput);
        if (has_place(p) || (p->no_memory && p->batch > 0))
            draw_point(f, p, i == curve->knee, colour, last_y);
    }
}

/* "knee at 16: 210 samples/s, 300 MiB; memory ends at 64" */
static const char *summary(struct figure *f, const struct assay_scaling_curve *curve)
{
    const char *text = "no knee";
    if (curve->knee < curve->n_points) {
        const struct assay_scaling_point *p = &curve->points[curve->knee];
        text = assay_arena_printf(&f->arena, "knee at %lld: %s%s%s", (long long)p->batch,
                                  assay_text_si(&f->arena, p->throughput, curve->unit), p->memory_bytes >= 0 ? ", " : "",
                                  p->memory_bytes >= 0 ? assay_text_bytes(&f->arena, (double)p->memory_bytes) : "");
    }
    for (size_t i = 0; i < curve->n_points; i++)
        if (curve->points[i].no_memory)
            return assay_arena_printf(&f->arena, "%s; memory ends at %lld", text, (long long)curve->points[i].batch);
    return text;
}

static void draw_legend(struct figure *f, double y, const char *note)
{
    for (size_t k = 0; k < f->n; k++, y += LEGEND_LINE) {
        fprintf(f->out, "<rect x=\"%d\" y=\"%.1f\" width=\"14\" height=\"4\" fill=\"%s\"/>\n", LEFT, y - 6, colours[k]);
        const char *text = assay_arena_printf(&f->arena, "%s — %s", f->curves[k]->label, summary(f, f->curves[k]));
        double size = fmin(12, 12 * (WIDTH - LEFT - 22 - RIGHT) / assay_svg_text_width(text, 12)); /* a long one: small */
        draw_text(f, LEFT + 22, y, assay_arena_printf(&f->arena, "font-size=\"%.3g\" fill=\"#222\"", size), text);
    }
    if (f->n_left_out) {
        draw_text(f, LEFT, y, "font-size=\"12\" fill=\"#666\"",
                  assay_arena_printf(&f->arena, "%zu more: not drawn", f->n_left_out));
        y += LEGEND_LINE;
    }
    draw_text(f, LEFT, y, "font-size=\"12\" fill=\"#666\"", note ? note : "");
}

char *assay_scaling_svg(const struct assay_scaling_curve *curves, size_t n, const char *note)
{
    struct figure f = {0};
    char *text = NULL;
    size_t size = 0;
    for (size_t k = 0; k < n; k++)
        take(&f, &curves[k]);
    if (f.n == 0)
        return NULL;
    assay_arena_init(&f.arena);
    set_scales(&f);
    double legend = TOP + PLOT_HEIGHT + 68, height = legend + LEGEND_LINE * ((double)f.n + (f.n_left_out > 0) + 1);
    f.out = open_memstream(&text, &size);
    if (!f.out)
        goto done;
    fprintf(
        f.out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\" "
        "font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
        WIDTH, height, WIDTH, height);
    draw_text(&f, LEFT, 24, "font-size=\"16\" font-weight=\"bold\" fill=\"#111\"", "Scaling with the batch");
    draw_batches(&f);
    draw_rates(&f);
    for (size_t k = 0; k < f.n; k++)
        draw_curve(&f, f.curves[k], colours[k]);
    draw_legend(&f, legend, note);
    fputs("</svg>\n", f.out);
    fclose(f.out);
done:
    assay_arena_release(&f.arena);
    return text;
}
