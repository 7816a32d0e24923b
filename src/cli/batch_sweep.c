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
        .batch = c->batch,
        .memory_bytes = assay_row_int(row, ASSAY_ROW_peak_memory_bytes, -1),
        .throughput = strcmp(status, "ok") == 0 ? assay_row_real(row, ASSAY_ROW_throughput, NAN) : NAN,
        .unit = assay_arena_strdup(sweep->arena, assay_row_text(row, ASSAY_ROW_throughput_unit, "")),
        .no_memory = strcmp(status, "no_memory") == 0,
    };
}

bool assay_sweep_is_over(const struct assay_sweep *sweep, const struct assay_case *c)
{
    if (!assay_case_trains(c))
        return false;
    const char *series = series_of(c, sweep->arena);
    for (size_t i = 0; i < sweep->n; i++)
        if (sweep->points[i].no_memory && sweep->points[i].batch < c->batch && strcmp(sweep->points[i].series, series) == 0)
            return true;
    return false;
}

static int by_series_and_batch(const void *a, const void *b)
{
    const struct assay_sweep_point *x = a, *y = b;
    int order = strcmp(x->series, y->series);
    return order ? order : (x->batch > y->batch) - (x->batch < y->batch);
}

/* Rows of one series, one for each batch: of several rounds the last. Returns their number. */
static size_t one_a_batch(struct assay_sweep_point *points, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept && points[kept - 1].batch == points[i].batch)
            kept--;
        points[kept++] = points[i];
    }
    return kept;
}

/* Of point i over the one before, for a doubling; NaN where either has no throughput. */
static double gain(const struct assay_sweep_point *points, size_t i)
{
    if (i == 0)
        return NAN;
    double doublings = log2((double)points[i].batch / (double)points[i - 1].batch);
    return pow(points[i].throughput / points[i - 1].throughput, 1 / doublings) - 1;
}

static void add_series(struct assay_table *table, const struct assay_sweep_point *points, size_t n)
{
    bool has_knee = false;
    for (size_t i = 0; i < n; i++) {
        double gained = gain(points, i), next = i + 1 < n ? gain(points, i + 1) : NAN;
        bool is_knee = !has_knee && next < KNEE_GAIN; /* not of NaN */
        has_knee |= is_knee;
        assay_table_row(table);
        assay_table_text(table, 0, points[i].series);
        assay_table_int(table, 1, points[i].batch);
        if (isfinite(points[i].throughput))
            assay_table_text(table, 2, assay_text_si(&table->arena, points[i].throughput, points[i].unit));
        if (isfinite(gained))
            assay_table_text(table, 3, assay_arena_printf(&table->arena, "%+.0f %%", 100 * gained));
        if (points[i].memory_bytes >= 0)
            assay_table_text(table, 4, assay_text_bytes(&table->arena, (double)points[i].memory_bytes));
        assay_table_text(table, 5, is_knee ? "knee" : points[i].no_memory ? "memory ends" : "");
    }
}

bool assay_sweep_table(const struct assay_sweep *sweep, struct assay_table *table)
{
    bool any = false;
    if (sweep->n < LEAST)
        return false;
    struct assay_sweep_point *points = assay_arena_memdup(sweep->arena, sweep->points, sweep->n * sizeof *points);
    qsort(points, sweep->n, sizeof *points, by_series_and_batch);
    for (size_t from = 0, to; from < sweep->n; from = to) {
        for (to = from; to < sweep->n && strcmp(points[to].series, points[from].series) == 0;)
            to++;
        size_t n = one_a_batch(points + from, to - from);
        if (n < LEAST)
            continue;
        if (!any) {
            assay_table_init(table);
            assay_table_column(table, "case", "case", false);
            assay_table_column(table, "batch", "batch", true);
            assay_table_column(table, "throughput", "throughput", true);
            assay_table_column(table, "a doubling gains", "gain", true);
            assay_table_column(table, "memory", "peak_memory_bytes", true);
            assay_table_column(table, "", "mark", false);
        }
        any = true;
        add_series(table, points + from, n);
    }
    return any;
}
