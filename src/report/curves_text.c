/* SPDX-License-Identifier: Apache-2.0 */
/* See curves.h: the drawing for a terminal. A cell of braille is 2 dots wide and 4 high (Unicode's block U+2800); without UTF-8
 * it is one character. */
#include "report/curves.h"

#include "report/curves_scale.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEWEST_COLUMNS = 40, MOST_COLUMNS = 400, FEWEST_ROWS = 3, MOST_ROWS = 100, LABEL = 9, AXIS_STEP = 14, ANSI_RED = 31 };

static const int ansi_colours[] = {34, 33, 32, 35, 36}; /* blue, yellow, green, magenta, cyan */
static const char line_marks[] = "*+x#@%", point_marks[] = "oOsdvw";

struct cell {
    unsigned char dots;    /* of braille */
    unsigned char mark;    /* 0, or the number of the curve + 1 whose mark stands here */
    unsigned char colour;  /* index of the curve drawn last */
    unsigned char is_line; /* some curve runs here */
    unsigned char is_target;
};

struct drawing {
    const struct assay_curves *c;
    const struct assay_curves_terminal *t;
    FILE *out;
    struct assay_arena arena;
    struct assay_curves_scale steps;
    int width, height; /* in cells, of the panel being drawn */
    struct cell *cells;
};

/* ---- text */

/* Without control characters, at most `room` characters; returns how many columns were written. */
static int put_text(const struct drawing *d, const char *text, int room)
{
    int n = 0;
    for (; *text; text++) {
        bool is_start = ((unsigned char)*text & 0xc0) != 0x80;
        if (is_start && n == room)
            break;
        n += is_start;
        bool is_plain = (unsigned char)*text >= ' ' && *text != 0x7f && (d->t->is_utf8 || (unsigned char)*text < 0x80);
        if (is_plain)
            fputc(*text, d->out);
        else if (is_start)
            fputc('?', d->out);
    }
    return n;
}

static void set_colour(const struct drawing *d, int colour)
{
    if (d->t->is_coloured)
        fprintf(d->out, "\x1b[%dm", colour);
}

static int colour_of(const struct assay_curve *curve)
{
    return ansi_colours[(size_t)(unsigned)curve->colour % ASSAY_COUNT(ansi_colours)];
}

/* What marks the curve: as UTF-8 or as ASCII, a line or a point. */
static const char *mark_of(const struct drawing *d, const struct assay_curve *curve, size_t index, char text[2])
{
    if (d->t->is_utf8)
        return curve->kind == ASSAY_CURVE_SPARSE ? "●" : "──";
    text[0] = (curve->kind == ASSAY_CURVE_SPARSE ? point_marks : line_marks)[index % (sizeof line_marks - 1)];
    text[1] = 0;
    return text;
}

static const char *target_mark(const struct drawing *d) { return d->t->is_utf8 ? "╌" : "'"; }

static bool is_empty(const struct cell *cell) { return !cell->mark && !cell->is_line && !cell->is_target; }

/* ---- drawing into cells */

static void set_dot(struct drawing *d, int x, int y, size_t index)
{
    static const unsigned char bits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    if (x < 0 || y < 0 || x >= d->width * 2 || y >= d->height * 4)
        return;
    struct cell *cell = &d->cells[y / 4 * d->width + x / 2];
    cell->dots |= bits[y % 4][x % 2];
    cell->colour = (unsigned char)index;
    cell->is_line = 1;
}

static int dot_of(double place, int n)
{
    double at = floor(place * n);
    return at < 0 ? 0 : at >= n ? n - 1 : (int)at;
}

/* The target, dashed, below all else. */
static void draw_target(struct drawing *d, const struct assay_curves_panel *panel, const struct assay_curves_scale *scale)
{
    int y = d->height - 1 - dot_of(assay_curves_place(scale, panel->target), d->height);
    for (int x = 0; x < d->width; x += 2)
        d->cells[y * d->width + x].is_target = 1;
}

/* From one point to the next, a dot for each column and all between in it. */
static void draw_stroke(struct drawing *d, int x1, int y1, int x2, int y2, size_t index)
{
    for (int x = x1; x <= x2; x++) {
        double from = x2 > x1 ? y1 + (y2 - y1) * (x - 0.5 - x1) / (x2 - x1) : y1;
        double to = x2 > x1 ? y1 + (y2 - y1) * (x + 0.5 - x1) / (x2 - x1) : y2;
        double least = fmax(fmin(from, to), fmin(y1, y2)), most = fmin(fmax(from, to), fmax(y1, y2));
        for (int y = (int)round(least); y <= (int)round(most); y++)
            set_dot(d, x, y, index);
    }
}

static void draw_line(struct drawing *d, const struct assay_curve *curve, const struct assay_curves_scale *scale, size_t index)
{
    double *average = assay_curves_average(curve);
    const double *values = average ? average : curve->values;
    int last_x = 0, last_y = 0;
    bool is_down = false;
    for (size_t i = 0; i < curve->n; i++) {
        if (!isfinite(values[i])) {
            is_down = false;
            continue;
        }
        int x = dot_of(assay_curves_place(&d->steps, curve->steps[i]), d->width * 2);
        int y = d->height * 4 - 1 - dot_of(assay_curves_place(scale, values[i]), d->height * 4);
        draw_stroke(d, is_down ? last_x : x, is_down ? last_y : y, x, y, index);
        is_down = true;
        last_x = x;
        last_y = y;
    }
    free(average);
}

static void draw_points(struct drawing *d, const struct assay_curve *curve, const struct assay_curves_scale *scale, size_t index)
{
    for (size_t i = 0; i < curve->n; i++) {
        if (!isfinite(curve->values[i]))
            continue;
        int x = dot_of(assay_curves_place(&d->steps, curve->steps[i]), d->width);
        int y = d->height - 1 - dot_of(assay_curves_place(scale, curve->values[i]), d->height);
        struct cell *cell = &d->cells[y * d->width + x];
        cell->mark = (unsigned char)(index + 1);
        cell->colour = (unsigned char)index;
    }
}

/* ---- printing */

static void print_cell(const struct drawing *d, const struct assay_curves_panel *panel, const struct cell *cell)
{
    char text[5] = " ";
    const char *shown = text;
    bool is_drawn = cell->mark || cell->is_line;
    const struct assay_curve *curve = is_drawn ? &panel->curves[cell->mark ? cell->mark - 1 : cell->colour] : NULL;
    if (!is_drawn && cell->is_target) {
        shown = target_mark(d);
    } else if (cell->mark || (cell->is_line && !d->t->is_utf8)) {
        shown = mark_of(d, curve, cell->mark ? cell->mark - 1u : cell->colour, text);
    } else if (cell->is_line) {
        text[0] = (char)0xe2;
        text[1] = (char)(0xa0 | cell->dots >> 6);
        text[2] = (char)(0x80 | (cell->dots & 0x3f));
        text[3] = 0;
    }
    if (curve)
        set_colour(d, colour_of(curve));
    fputs(shown, d->out);
    if (curve)
        set_colour(d, 0);
}

/* Labels at the rows that ticks fall on; of two on one row the first stands, and none that is too long. */
static void print_rows(const struct drawing *d, const struct assay_curves_panel *panel, const struct assay_curves_scale *scale)
{
    struct assay_curves_tick ticks[ASSAY_CURVES_MAX_TICKS];
    int n = assay_curves_ticks(scale, d->height < 6 ? 2 : d->height / 3, ticks);
    for (int row = 0; row < d->height; row++) {
        const char *label = "";
        for (int i = n; i-- > 0;)
            if (d->height - 1 - dot_of(ticks[i].place, d->height) == row && strlen(ticks[i].text) <= LABEL)
                label = ticks[i].text;
        fprintf(d->out, "%*s %s", LABEL, label, d->t->is_utf8 ? (*label ? "┤" : "│") : (*label ? "+" : "|"));
        int end = d->width;
        while (end > 0 && is_empty(&d->cells[row * d->width + end - 1]))
            end--;
        for (int i = 0; i < end; i++)
            print_cell(d, panel, &d->cells[row * d->width + i]);
        fputc('\n', d->out);
    }
}

static void print_axis(const struct drawing *d, const char *step_label)
{
    struct assay_curves_tick ticks[ASSAY_CURVES_MAX_TICKS];
    int n = assay_curves_ticks(&d->steps, d->width / AXIS_STEP > 2 ? d->width / AXIS_STEP : 2, ticks), at = 0;
    bool has_tick[MOST_COLUMNS] = {false};
    for (int i = 0; i < n; i++)
        has_tick[dot_of(ticks[i].place, d->width)] = true;
    fprintf(d->out, "%*s %s", LABEL, "", d->t->is_utf8 ? "└" : "+");
    for (int i = 0; i < d->width; i++)
        fputs(d->t->is_utf8 ? (has_tick[i] ? "┬" : "─") : (has_tick[i] ? "+" : "-"), d->out);
    fprintf(d->out, "\n%*s", LABEL + 2, "");
    for (int i = 0; i < n; i++) {
        int length = (int)strlen(ticks[i].text), start = dot_of(ticks[i].place, d->width) - length / 2;
        if (start < 0)
            start = 0;
        if (start + length > d->width)
            start = d->width - length;
        if (start < at + (at > 0))
            continue;
        fprintf(d->out, "%*s%s", start - at, "", ticks[i].text);
        at = start + length;
    }
    if (at + 1 + (int)strlen(step_label) <= d->width)
        fprintf(d->out, " %s", step_label);
    fputc('\n', d->out);
}

/* "train 0.31 (mean of 41)", "validation 0.35, best 0.33 at step 900" */
static char *curve_text(struct drawing *d, const struct assay_curves_panel *panel, const struct assay_curve *curve,
                        const char *step_label)
{
    char value[ASSAY_CURVES_TICK_TEXT], step[ASSAY_CURVES_TICK_TEXT];
    size_t last = assay_curves_last_index(curve), best = assay_curves_best_index(curve, panel->best);
    double *average = assay_curves_average(curve);
    char *text = assay_arena_strdup(&d->arena, curve->label);
    if (last < curve->n)
        text = assay_arena_printf(&d->arena, "%s %s", text,
                                  assay_curves_number(average ? average[last] : curve->values[last], value));
    if (average)
        text = assay_arena_printf(&d->arena, "%s (mean of %zu)", text, assay_curves_span(curve));
    if (curve->kind == ASSAY_CURVE_SPARSE && best < curve->n)
        text = assay_arena_printf(&d->arena, "%s, best %s at %s %s", text, assay_curves_number(curve->values[best], value),
                                  step_label, assay_curves_number(curve->steps[best], step));
    free(average);
    return text;
}

static void print_legend_line(const struct drawing *d, const char *mark, int colour, const char *text)
{
    fprintf(d->out, "%*s", LABEL + 2, "");
    set_colour(d, colour);
    int n = put_text(d, mark, 2);
    set_colour(d, 0);
    fprintf(d->out, "%*s", 3 - n, "");
    put_text(d, text, d->width - 3);
    fputc('\n', d->out);
}

static void print_legend(struct drawing *d, const struct assay_curves_panel *panel, const char *step_label)
{
    char step[ASSAY_CURVES_TICK_TEXT], mark[2];
    for (size_t i = 0; i < panel->n_curves; i++) {
        const struct assay_curve *curve = &panel->curves[i];
        size_t broken = assay_curves_broken_index(curve);
        print_legend_line(d, mark_of(d, curve, i, mark), colour_of(curve), curve_text(d, panel, curve, step_label));
        if (broken < curve->n)
            print_legend_line(d, "!", ANSI_RED,
                              assay_arena_printf(&d->arena, "not finite at %s %s", step_label,
                                                 assay_curves_number(curve->steps[broken], step)));
    }
    if (panel->has_target)
        print_legend_line(d, target_mark(d), 0,
                          assay_arena_printf(&d->arena, "target %s", assay_curves_target_text(panel, step_label, &d->arena)));
}

static int within(int value, int low, int high) { return value < low ? low : value > high ? high : value; }

static void draw_panel(struct drawing *d, const struct assay_curves_panel *panel, bool is_last)
{
    const char *step_label = d->c->step_label ? d->c->step_label : "step";
    struct assay_curves_scale scale = assay_curves_value_scale(panel);
    d->height = within((int)round(fmin(d->t->n_rows * panel->weight, MOST_ROWS)), FEWEST_ROWS, MOST_ROWS);
    d->cells = assay_alloc((size_t)d->width * (size_t)d->height * sizeof *d->cells);
    memset(d->cells, 0, (size_t)d->width * (size_t)d->height * sizeof *d->cells);
    ASSAY_ASSERT(panel->n_curves < UINT8_MAX);
    for (size_t i = 0; i < panel->n_curves; i++)
        if (panel->curves[i].kind != ASSAY_CURVE_SPARSE)
            draw_line(d, &panel->curves[i], &scale, i);
    for (size_t i = 0; i < panel->n_curves; i++)
        if (panel->curves[i].kind == ASSAY_CURVE_SPARSE)
            draw_points(d, &panel->curves[i], &scale, i);
    if (panel->has_target)
        draw_target(d, panel, &scale);
    put_text(d, panel->label, d->width);
    fputc('\n', d->out);
    print_rows(d, panel, &scale);
    if (is_last)
        print_axis(d, step_label);
    print_legend(d, panel, step_label);
    free(d->cells);
}

char *assay_curves_text(const struct assay_curves *curves, const struct assay_curves_terminal *terminal)
{
    char *text = NULL;
    size_t size = 0;
    struct drawing d = {.c = curves,
                        .t = terminal,
                        .out = open_memstream(&text, &size),
                        .steps = assay_curves_step_scale(curves),
                        .width = within(terminal->n_columns, FEWEST_COLUMNS, MOST_COLUMNS) - LABEL - 2};
    ASSAY_ASSERT(d.out);
    for (size_t i = 0; i < curves->n_panels; i++)
        draw_panel(&d, &curves->panels[i], i + 1 == curves->n_panels);
    ASSAY_ASSERT(fclose(d.out) == 0);
    assay_arena_release(&d.arena);
    return text;
}
