/* SPDX-License-Identifier: Apache-2.0 */
/* See batch_sweep.h. */
#include "cli/batch_sweep.h"

#include "bench/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST = 3 }; /* batches that make a series */
static const double KNEE_GAIN = 0.1;

static const char *series_of(const struct assay_case *c, struct assay_arena *arena)
{
    const char *label = assay_case_label(c, arena), *batch = assay_arena_printf(arena, ", batch %lld,", (long long)c->batch),
               *at = strstr(label, batch);
    size_t head = at ? (size_t)(at - label) : strlen(label);
    return assay_arena_printf(arena, "%.*s%s%s%s", (int)head, label, at ? "," : "", at ? at + strlen(batch) : "",
                              c->isa && *c->isa ? assay_arena_printf(arena, ", %s", c->isa) : "");
}

void assay_sweep_add(struct assay_sweep *sweep, const struct assay_case *c, const struct assay_row *row)
{
    if (sweep->n == sweep->room) {
        size_t room = sweep->room ? 2 * sweep->room : 32;
        sweep->points = assay_arena_grow(sweep->arena, sweep->points, sweep->n, room, sizeof *sweep->points);
        sweep->room = room;
    }
    const char *status = assay_row_text(row, ASSAY_ROW_status, "");
    sweep->points[sweep->n++] = (struct assay_sweep_point){
        .series = series_of(c, sweep->arena),
        .unit = assay_arena_strdup(sweep->arena, assay_row_text(row, ASSAY_ROW_throughput_unit, "")),
        .at = {.batch = c->batch,
               .memory_bytes = assay_row_int(row, ASSAY_ROW_peak_memory_bytes, -1),
               .throughput = strcmp(status, "ok") == 0 ? assay_row_real(row, ASSAY_ROW_throughput, NAN) : NAN,
               .no_memory = strcmp(status, "no_memory") == 0},
    };
}

bool assay_sweep_is_over(const struct assay_sweep *sweep, const struct assay_case *c)
{
    if (!assay_case_trains(c))
        return false;
    const char *series = series_of(c, sweep->arena);
    for (size_t i = 0; i < sweep->n; i++)
        if (sweep->points[i].at.no_memory && sweep->points[i].at.batch < c->batch && strcmp(sweep->points[i].series, series) == 0)
            return true;
    return false;
}

static int by_series_and_batch(const void *a, const void *b)
{
    const struct assay_sweep_point *x = a, *y = b;
    int order = strcmp(x->series, y->series);
    if (!order)
        order = (x->at.batch > y->at.batch) - (x->at.batch < y->at.batch);
    return order ? order : (x->round > y->round) - (x->round < y->round);
}

/* Of throughput from a point to a later one, for a doubling of the batch; NaN where either has none. */
static double gain(const struct assay_scaling_point *from, const struct assay_scaling_point *to)
{
    return pow(to->throughput / from->throughput, 1 / log2((double)to->batch / (double)from->batch)) - 1;
}

/* The first point that no later one is worth leaving for; n: each is, or is not known to be none. */
static size_t knee_of(const struct assay_scaling_point *points, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) {
        bool any = false, all = true;
        for (size_t k = i + 1; k < n; k++) {
            double gained = gain(&points[i], &points[k]);
            any |= isfinite(gained);
            all &= !(gained >= KNEE_GAIN);
        }
        if (any && all)
            return i;
    }
    return n;
}

/* Of rows of one series, one point for each batch: of several rounds the last. */
static struct assay_scaling_curve curve_of(const struct assay_sweep *sweep, const struct assay_sweep_point *points, size_t n)
{
    struct assay_scaling_point *kept = assay_arena_array(sweep->arena, n, sizeof *kept);
    struct assay_scaling_curve curve = {.label = points[0].series, .unit = "", .points = kept};
    for (size_t i = 0; i < n; i++) {
        if (curve.n_points && kept[curve.n_points - 1].batch == points[i].at.batch)
            curve.n_points--;
        kept[curve.n_points++] = points[i].at;
        if (*points[i].unit)
            curve.unit = points[i].unit;
    }
    curve.knee = knee_of(kept, curve.n_points);
    return curve;
}

const struct assay_scaling_curve *assay_sweep_curves(const struct assay_sweep *sweep, size_t *n)
{
    struct assay_sweep_point *points = assay_arena_memdup(sweep->arena, sweep->points, sweep->n * sizeof *points);
    struct assay_scaling_curve *curves = assay_arena_array(sweep->arena, sweep->n / LEAST + 1, sizeof *curves);
    *n = 0;
    for (size_t i = 0; i < sweep->n; i++)
        points[i].round = i;
    qsort(points, sweep->n, sizeof *points, by_series_and_batch);
    for (size_t from = 0, to; from < sweep->n; from = to) {
        for (to = from; to < sweep->n && strcmp(points[to].series, points[from].series) == 0;)
            to++;
        struct assay_scaling_curve curve = curve_of(sweep, points + from, to - from);
        if (curve.n_points >= LEAST)
            curves[(*n)++] = curve;
    }
    return curves;
}

enum { CASE, BATCH, THROUGHPUT, GAIN, MEMORY, NOTE };

static const struct assay_table_heading columns[] = {
    [CASE] = {"case", "case", false},
    [BATCH] = {"batch", "batch", true},
    [THROUGHPUT] = {"throughput", "throughput", true},
    [GAIN] = {"a doubling gains", "gain", true},
    [MEMORY] = {"memory", "peak_memory_bytes", true},
    [NOTE] = {"note", "note", false},
};

static void add_curve(struct assay_table *table, const struct assay_scaling_curve *curve)
{
    for (size_t i = 0; i < curve->n_points; i++) {
        const struct assay_scaling_point *p = &curve->points[i];
        double gained = i ? gain(p - 1, p) : NAN;
        assay_table_row(table);
        assay_table_text(table, CASE, curve->label);
        assay_table_int(table, BATCH, p->batch);
        if (isfinite(p->throughput))
            assay_table_text(table, THROUGHPUT, assay_text_si(&table->arena, p->throughput, curve->unit));
        if (isfinite(gained))
            assay_table_text(table, GAIN, assay_arena_printf(&table->arena, "%+.0f %%", 100 * gained));
        if (p->memory_bytes >= 0)
            assay_table_text(table, MEMORY, assay_text_bytes(&table->arena, (double)p->memory_bytes));
        assay_table_text(table, NOTE, i == curve->knee ? "knee" : p->no_memory ? "memory ends" : "");
    }
}

bool assay_sweep_table(const struct assay_sweep *sweep, struct assay_table *table)
{
    size_t n;
    const struct assay_scaling_curve *curves = assay_sweep_curves(sweep, &n);
    if (n == 0)
        return false;
    assay_table_init(table);
    assay_table_columns(table, columns, ASSAY_COUNT(columns));
    for (size_t k = 0; k < n; k++)
        add_curve(table, &curves[k]);
    return true;
}
