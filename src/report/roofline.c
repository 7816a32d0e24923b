/* SPDX-License-Identifier: Apache-2.0 */
/* See roofline.h: scales, then roofs, points and labels. Labels are placed one by one where they cover nothing. */
#include "report/roofline.h"

#include "base/arena.h"
#include "report/svg.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 900, HEIGHT = 620, LEFT = 84, RIGHT = 640, TOP = 64, BOTTOM = 508, LEGEND = 654, MAX_BOXES = 256, MAX_ROOFS = 4 };

static const char *const colours[] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d31", "#6a51a3"};
static const char ink[] = "#222222", pale[] = "#d9d9d9", grey[] = "#7a7a7a", measured_colour[] = "#c00000";

struct box {
    double left, top, right, bottom;
};

struct plot {
    const struct assay_roofline *r;
    FILE *out;
    double x_low, x_high, y_low, y_high; /* decimal logarithms */
    struct box boxes[MAX_BOXES];         /* what labels may not cover */
    int n_boxes;
};

/* ---- scales */

static double x_of(const struct plot *p, double intensity)
{
    return LEFT + (log10(intensity) - p->x_low) / (p->x_high - p->x_low) * (RIGHT - LEFT);
}
static double y_of(const struct plot *p, double rate)
{
    return BOTTOM - (log10(rate) - p->y_low) / (p->y_high - p->y_low) * (BOTTOM - TOP);
}

static double bound(const struct assay_roofline_roof *roof, double intensity)
{
    return fmin(roof->flops, intensity * roof->bytes);
}

static bool is_place(double value) { return isfinite(value) && value > 0; }

static bool is_drawn(const struct assay_roofline_point *point)
{
    bool is_free = point->kind == ASSAY_ROOFLINE_OP || point->kind == ASSAY_ROOFLINE_NODE;
    return is_place(point->intensity) && (is_free || is_place(point->rate));
}

static double rate_of(const struct plot *p, const struct assay_roofline_point *point)
{
    bool is_bound = point->kind == ASSAY_ROOFLINE_OP || point->kind == ASSAY_ROOFLINE_NODE;
    return is_bound ? bound(&p->r->roofs[0], point->intensity) : point->rate;
}

/* From a decade below what matters to room for labels above the ridge. */
static void find_scales(struct plot *p)
{
    double low = INFINITY, high = 0, y_low = INFINITY, y_high = 0;
    for (size_t i = 0; i < p->r->n_roofs; i++) {
        double ridge = p->r->roofs[i].flops / p->r->roofs[i].bytes;
        low = fmin(low, ridge / 10);
        high = fmax(high, ridge * 30);
        y_high = fmax(y_high, p->r->roofs[i].flops);
    }
    for (size_t i = 0; i < p->r->n_points; i++) {
        if (!is_drawn(&p->r->points[i]))
            continue;
        low = fmin(low, p->r->points[i].intensity / 2);
        high = fmax(high, p->r->points[i].intensity * 2);
        y_low = fmin(y_low, rate_of(p, &p->r->points[i]));
        y_high = fmax(y_high, rate_of(p, &p->r->points[i]));
    }
    /* Points that are hundreds of decades away would leave no room for the rest. */
    p->x_low = fmax(log10(low), -6);
    p->x_high = fmin(log10(high), 9);
    p->y_high = log10(y_high) + 0.35;
    p->y_low = fmin(log10(fmin(y_low, y_high)) - 0.6, p->y_high - 2);
    p->y_low = fmax(p->y_low, p->y_high - 12);
}

/* ---- frame */

/* "10 G" for a power of ten. */
static const char *power_text(int power, char text[32])
{
    static const char *const prefixes[] = {"", " k", " M", " G", " T", " P", " E"};
    int group = power < 0 ? 0 : power / 3 > 6 ? 6 : power / 3;
    if (power < 0)
        snprintf(text, 32, "%.*f", -power > 9 ? 9 : -power, pow(10, power));
    else
        snprintf(text, 32, "%.0f%s", pow(10, power - 3 * group), prefixes[group]);
    return text;
}

static void draw_line(const struct plot *p, double x1, double y1, double x2, double y2, const char *attributes)
{
    fprintf(p->out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2, attributes);
}

static void draw_ticks(const struct plot *p)
{
    char text[32], attributes[96];
    snprintf(attributes, sizeof attributes, "stroke=\"%s\" stroke-width=\"1\"", pale);
    for (int power = (int)ceil(p->x_low); power <= (int)floor(p->x_high); power++) {
        double x = x_of(p, pow(10, power));
        draw_line(p, x, TOP, x, BOTTOM, attributes);
        assay_svg_label(p->out, x, BOTTOM + 18, "text-anchor=\"middle\"", power_text(power, text));
    }
    for (int power = (int)ceil(p->y_low); power <= (int)floor(p->y_high); power++) {
        double y = y_of(p, pow(10, power));
        draw_line(p, LEFT, y, RIGHT, y, attributes);
        assay_svg_label(p->out, LEFT - 8, y + 4, "text-anchor=\"end\"", power_text(power, text));
    }
}

static void draw_frame(const struct plot *p)
{
    FILE *out = p->out;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
            "font-family=\"DejaVu Sans, Verdana, Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"%s\">\n"
            "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT, ink, WIDTH, HEIGHT);
    assay_svg_label(out, LEFT, 28, "font-size=\"18\" font-weight=\"bold\"", p->r->title);
    assay_svg_label(out, LEFT, 48, "font-size=\"13\" fill=\"#555555\"", p->r->subtitle);
    draw_ticks(p);
    fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"%s\"/>\n", LEFT, TOP, RIGHT - LEFT,
            BOTTOM - TOP, ink);
    assay_svg_label(out, (LEFT + RIGHT) / 2.0, BOTTOM + 40, "text-anchor=\"middle\" font-size=\"13\"",
                    "arithmetic intensity (FLOP/byte)");
    fprintf(out, "<text transform=\"translate(22 %d) rotate(-90)\" text-anchor=\"middle\" font-size=\"13\">FLOP/s</text>\n",
            (TOP + BOTTOM) / 2);
    for (size_t i = 0; i < p->r->n_notes && i < 4; i++)
        assay_svg_label(out, LEFT, BOTTOM + 62 + 15 * (double)i, "font-size=\"11\" fill=\"#555555\"", p->r->notes[i]);
}

/* ---- roofs */

static void reserve(struct plot *p, struct box box)
{
    if (p->n_boxes < MAX_BOXES)
        p->boxes[p->n_boxes++] = box;
}

static void draw_roof(const struct plot *p, const struct assay_roofline_roof *roof, bool is_first)
{
    double ridge = roof->flops / roof->bytes, start = fmax(pow(10, p->x_low), pow(10, p->y_low) / roof->bytes);
    double x = x_of(p, ridge), y = y_of(p, roof->flops);
    fprintf(p->out, "<polyline points=\"%.1f,%.1f %.1f,%.1f %d,%.1f\" stroke=\"%s\" stroke-width=\"%s\" fill=\"none\"/>\n",
            x_of(p, start), y_of(p, start * roof->bytes), x, y, RIGHT, y, is_first ? ink : grey, is_first ? "2.5" : "1.2");
    if (is_first)
        draw_line(p, x, y, x, BOTTOM, "stroke=\"#8a8a8a\" stroke-width=\"1\" stroke-dasharray=\"2 4\"");
}

static bool overlap(const struct box *a, const struct box *b)
{
    return a->left < b->right && b->left < a->right && a->top < b->bottom && b->top < a->bottom;
}

static int n_overlaps(const struct plot *p, const struct box *box)
{
    int n = 0;
    for (int i = 0; i < p->n_boxes; i++)
        n += overlap(&p->boxes[i], box);
    return n;
}

/* Whether a roof runs through a box: its curve is looked at every few pixels. */
static bool crosses_roof(const struct plot *p, const struct box *box)
{
    for (size_t i = 0; i < p->r->n_roofs; i++)
        for (double x = box->left; x <= box->right; x += 4) {
            double intensity = pow(10, p->x_low + (x - LEFT) / (RIGHT - LEFT) * (p->x_high - p->x_low));
            double y = y_of(p, bound(&p->r->roofs[i], intensity));
            if (y > box->top - 2 && y < box->bottom + 2)
                return true;
        }
    return false;
}

/* On the flat part: where it covers least, close to the line before farther off, from its right end to the ridge. */
static void label_flat(struct plot *p, const struct assay_roofline_roof *roof, const char *colour)
{
    static const double levels[] = {-6, 14, -22, 30, -38};
    double width = assay_svg_text_width(roof->flops_label, 11), ridge = p->r->roofs[0].flops / p->r->roofs[0].bytes;
    double left_end = fmin(x_of(p, ridge) + 8, RIGHT - 6 - width), y = y_of(p, roof->flops);
    double best_x = RIGHT - 6 - width, best_y = y - 6;
    int fewest = MAX_BOXES;
    for (size_t level = 0; level < ASSAY_COUNT(levels); level++)
        for (double x = RIGHT - 6 - width; x >= left_end; x -= 10) {
            double at = y + levels[level];
            struct box box = {x, at - 10, x + width, at + 3};
            int n = n_overlaps(p, &box) + crosses_roof(p, &box);
            if (n >= fewest || at < TOP + 12)
                continue;
            fewest = n;
            best_x = x;
            best_y = at;
        }
    fprintf(p->out, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"11\" fill=\"%s\">", best_x, best_y, colour);
    assay_svg_text(p->out, roof->flops_label);
    fputs("</text>\n", p->out);
    reserve(p, (struct box){best_x - 3, best_y - 11, best_x + width + 3, best_y + 4});
}

/* Along the slope and above it: where it covers least, from the lower end up. Left out where the slope is too short. */
static void label_slope(struct plot *p, const struct assay_roofline_roof *roof)
{
    double ridge = roof->flops / roof->bytes, start = fmax(pow(10, p->x_low), pow(10, p->y_low) / roof->bytes);
    double x1 = x_of(p, start), y1 = y_of(p, start * roof->bytes), x2 = x_of(p, ridge), y2 = y_of(p, roof->flops);
    double length = assay_svg_text_width(roof->bytes_label, 11), whole = hypot(x2 - x1, y2 - y1), best = -1;
    double ux = (x2 - x1) / whole, uy = (y2 - y1) / whole;
    int fewest = MAX_BOXES;
    for (double at = 12; at + length < whole; at += 10) {
        int n = 0;
        for (double along = at; along < at + length; along += 10) {
            double x = x1 + along * ux + 10 * uy, y = y1 + along * uy - 10 * ux;
            n += n_overlaps(p, &(struct box){x - 7, y - 7, x + 7, y + 7});
        }
        if (n < fewest) {
            fewest = n;
            best = at;
        }
    }
    if (best < 0)
        return;
    fprintf(p->out, "<text transform=\"translate(%.1f %.1f) rotate(%.2f)\" font-size=\"11\">", x1 + best * ux + 7 * uy,
            y1 + best * uy - 7 * ux, atan2(uy, ux) * 180 / M_PI);
    assay_svg_text(p->out, roof->bytes_label);
    fputs("</text>\n", p->out);
    for (double along = best; along < best + length; along += 8) {
        double x = x1 + along * ux + 10 * uy, y = y1 + along * uy - 10 * ux;
        reserve(p, (struct box){x - 7, y - 7, x + 7, y + 7});
    }
}

static void label_roofs(struct plot *p)
{
    const struct assay_roofline_roof *roof = &p->r->roofs[0];
    double x = x_of(p, roof->flops / roof->bytes);
    char text[64];
    snprintf(text, sizeof text, "ridge: %.3g FLOP/byte", roof->flops / roof->bytes);
    bool is_left = x + 10 + assay_svg_text_width(text, 11) > RIGHT;
    assay_svg_label(p->out, is_left ? x - 5 : x + 5, BOTTOM - 8,
                    is_left ? "font-size=\"11\" fill=\"#555555\" text-anchor=\"end\"" : "font-size=\"11\" fill=\"#555555\"",
                    text);
    double left = is_left ? x - 10 - assay_svg_text_width(text, 11) : x;
    reserve(p, (struct box){left, BOTTOM - 20, left + 10 + assay_svg_text_width(text, 11), BOTTOM});
    for (size_t i = 0; i < p->r->n_roofs; i++)
        label_flat(p, &p->r->roofs[i], i == 0 ? ink : grey);
    label_slope(p, roof);
}

/* ---- points */

static double radius_of(const struct assay_roofline_point *point)
{
    switch (point->kind) {
    case ASSAY_ROOFLINE_OP:
        return 4 + 16 * sqrt(fmin(fmax(point->share, 0), 1));
    case ASSAY_ROOFLINE_NODE:
        return 2.2;
    default:
        return 7;
    }
}

static void draw_mark(const struct plot *p, const struct assay_roofline_point *point, double x, double y)
{
    const char *colour = colours[(size_t)point->colour % ASSAY_COUNT(colours)];
    double r = radius_of(point);
    switch (point->kind) {
    case ASSAY_ROOFLINE_OP:
        fprintf(
            p->out,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" fill-opacity=\"0.35\" stroke=\"%s\" stroke-width=\"1.5\"/>\n",
            x, y, r, colour, colour);
        break;
    case ASSAY_ROOFLINE_NODE:
        fprintf(p->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"/>\n", x, y, r, colour);
        break;
    case ASSAY_ROOFLINE_MODEL:
        fprintf(
            p->out,
            "<path d=\"M%.1f %.1f l%.1f %.1f l%.1f %.1f l%.1f %.1f z\" fill=\"#ffffff\" stroke=\"%s\" stroke-width=\"2.5\"/>\n",
            x, y - r - 1, r + 1, r + 1, -r - 1, r + 1, -r - 1, -r - 1, ink);
        break;
    case ASSAY_ROOFLINE_MEASURED:
        fprintf(p->out,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"10\" height=\"10\" fill=\"%s\" stroke=\"#ffffff\" stroke-width=\"1.2\"/>\n",
                x - 5, y - 5, measured_colour);
        break;
    }
}

static bool is_free(const struct plot *p, const struct box *box)
{
    if (box->left < LEFT + 2 || box->right > RIGHT - 2 || box->top < TOP + 2 || box->bottom > BOTTOM - 2 || crosses_roof(p, box))
        return false;
    return n_overlaps(p, box) == 0;
}

/* The nearest free place around a mark, below the roof before above it; the label is left out where there is none (the legend
 * has it too). */
static void draw_point_label(struct plot *p, const struct assay_roofline_point *point, double x, double y)
{
    static const double turns[] = {35, 0, 60, 90, -20, 120, 150, 180, -45, -90, -135, 200};
    bool bold = point->kind == ASSAY_ROOFLINE_MEASURED || point->kind == ASSAY_ROOFLINE_MODEL;
    double width = assay_svg_text_width(point->label, 11) * (bold ? 1.12 : 1), r = radius_of(point);
    char attributes[96];
    for (double away = r + 6; away < r + 190; away += 8)
        for (size_t i = 0; i < ASSAY_COUNT(turns); i++) {
            double dx = cos(turns[i] * M_PI / 180), dy = sin(turns[i] * M_PI / 180), cx = x + away * dx, cy = y + away * dy;
            struct box box = {dx >= 0 ? cx : cx - width, cy - 8, dx >= 0 ? cx + width : cx, cy + 6};
            if (!is_free(p, &box))
                continue;
            bool is_far = away > r + 12;
            if (is_far)
                draw_line(p, x + r * dx, y + r * dy, dx >= 0 ? box.left - 2 : box.right + 2, cy,
                          "stroke=\"#8a8a8a\" stroke-width=\"0.8\"");
            snprintf(attributes, sizeof attributes, "font-size=\"11\"%s",
                     point->kind == ASSAY_ROOFLINE_MEASURED ? " fill=\"#c00000\" font-weight=\"bold\""
                     : point->kind == ASSAY_ROOFLINE_MODEL  ? " font-weight=\"bold\""
                                                            : "");
            assay_svg_label(p->out, box.left, cy + 4, attributes, point->label);
            reserve(p, (struct box){box.left - 3, box.top - 1, box.right + 3, box.bottom + 1});
            return;
        }
}

/* Kinds of op that are neither much work nor much time are in the legend alone. */
static bool is_heavy(const struct assay_roofline_point *point) { return point->share >= 0.01 || point->time_share >= 0.01; }

static void draw_points(struct plot *p, enum assay_roofline_kind kind, bool labels)
{
    for (size_t i = 0; i < p->r->n_points; i++) {
        const struct assay_roofline_point *point = &p->r->points[i];
        if (point->kind != kind || !is_drawn(point))
            continue;
        double x = x_of(p, point->intensity), y = y_of(p, rate_of(p, point)), r = radius_of(point);
        if (x < LEFT || x > RIGHT || y < TOP || y > BOTTOM)
            continue;
        if (!labels)
            draw_mark(p, point, x, y);
        else if (point->label && *point->label && (kind != ASSAY_ROOFLINE_OP || is_heavy(point)))
            draw_point_label(p, point, x, y);
        if (!labels)
            reserve(p, (struct box){x - r, y - r, x + r, y + r});
    }
}

/* ---- legend */

static double legend_row(const struct plot *p, const struct assay_roofline_point *point, double y, const char *text)
{
    draw_mark(p, point, LEGEND + 8, y - 4);
    assay_svg_label(p->out, LEGEND + 24, y, "font-size=\"11\"", text);
    return y + 20;
}

static const char *percent(double share, char text[16])
{
    snprintf(text, 16, share < 0.001 ? "<0.1" : "%.1f", 100 * share);
    return text;
}

static const double column_ends[] = {LEGEND + 158, LEGEND + 196, LEGEND + 240};

/* Name, share of FLOPs, share of time, intensity: right-aligned numbers. */
static void draw_op_row(const struct plot *p, const struct assay_roofline_point *point, double y)
{
    char name[24], cells[3][16];
    struct assay_roofline_point small = *point;
    small.share = 0.04;
    draw_mark(p, &small, LEGEND + 8, y - 4);
    snprintf(name, sizeof name, strlen(point->label) > 19 ? "%.17s…" : "%s", point->label);
    assay_svg_label(p->out, LEGEND + 20, y, "font-size=\"10\"", name);
    percent(point->share, cells[0]);
    percent(point->time_share, cells[1]);
    snprintf(cells[2], sizeof cells[2], "%.3g", point->intensity);
    for (int i = 0; i < 3; i++)
        assay_svg_label(p->out, column_ends[i], y, "font-size=\"11\" text-anchor=\"end\"", cells[i]);
}

static void draw_legend(const struct plot *p)
{
    static const struct assay_roofline_point model = {.kind = ASSAY_ROOFLINE_MODEL}, node = {.kind = ASSAY_ROOFLINE_NODE};
    static const char *const heads[] = {"FLOP %", "time %", "FLOP/B"};
    double y = legend_row(p, &model, TOP + 12, "whole model, predicted bound");
    bool has_measured = false, has_node = false;
    for (size_t i = 0; i < p->r->n_points; i++) {
        const struct assay_roofline_point *point = &p->r->points[i];
        has_node |= point->kind == ASSAY_ROOFLINE_NODE && is_drawn(point);
        if (point->kind != ASSAY_ROOFLINE_MEASURED || !is_drawn(point))
            continue;
        has_measured = true;
        y = legend_row(p, point, y, point->detail ? point->detail : "measured");
        if (point->date && *point->date) {
            char text[64];
            snprintf(text, sizeof text, "measured %s", point->date);
            assay_svg_label(p->out, LEGEND + 24, y - 5, "font-size=\"10\" fill=\"#555555\"", text);
            y += 12;
        }
    }
    if (!has_measured) {
        assay_svg_label(p->out, LEGEND + 24, y, "font-size=\"11\" fill=\"#555555\"", "(no measured row of it here)");
        y += 20;
    }
    if (has_node)
        y = legend_row(p, &node, y, "a node of its op's colour");
    y += 14;
    assay_svg_label(p->out, LEGEND, y, "font-size=\"11\" font-weight=\"bold\"", "Ops, by predicted bound");
    y += 18;
    for (int i = 0; i < 3; i++)
        assay_svg_label(p->out, column_ends[i], y, "font-size=\"10\" fill=\"#555555\" text-anchor=\"end\"", heads[i]);
    y += 20;
    for (size_t i = 0; i < p->r->n_points && y < BOTTOM; i++)
        if (p->r->points[i].kind == ASSAY_ROOFLINE_OP && is_drawn(&p->r->points[i])) {
            draw_op_row(p, &p->r->points[i], y);
            y += 20;
        }
}

char *assay_roofline_svg(const struct assay_roofline *roofline)
{
    char *text = NULL;
    size_t size = 0;
    struct plot p = {.r = roofline, .out = open_memstream(&text, &size)};
    ASSAY_ASSERT(p.out && roofline->n_roofs > 0);
    find_scales(&p);
    draw_frame(&p);
    for (size_t i = roofline->n_roofs; i-- > 0;)
        draw_roof(&p, &roofline->roofs[i], i == 0);
    static const enum assay_roofline_kind order[] = {ASSAY_ROOFLINE_OP, ASSAY_ROOFLINE_NODE, ASSAY_ROOFLINE_MEASURED,
                                                     ASSAY_ROOFLINE_MODEL};
    for (size_t i = 0; i < ASSAY_COUNT(order); i++)
        draw_points(&p, order[i], false);
    label_roofs(&p);
    for (size_t i = ASSAY_COUNT(order); i-- > 0;)
        draw_points(&p, order[i], true);
    draw_legend(&p);
    fputs("</svg>\n", p.out);
    ASSAY_ASSERT(fclose(p.out) == 0);
    return text;
}
