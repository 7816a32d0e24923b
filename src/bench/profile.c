/* SPDX-License-Identifier: Apache-2.0 */
/* See profile.h. */
#include "bench/profile.h"

#include "base/fs.h"
#include "model/analysis.h"
#include "stats/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One op of the compiled program, over all runs. */
struct line {
    const char *name, *type;
    int node, n;
    double *ns; /* [n_runs]: time in each run */
    double median_ns;
};

/* Time without that of the ops inside (a body's, within its node's): children follow their parent when sorted by start, longest
 * first. */
static int by_start(const void *a, const void *b)
{
    const struct assay_op_time *x = a, *y = b;
    if (x->run != y->run)
        return x->run < y->run ? -1 : 1;
    if (x->start_ns != y->start_ns)
        return x->start_ns < y->start_ns ? -1 : 1;
    return (x->wall_ns < y->wall_ns) - (x->wall_ns > y->wall_ns);
}

static struct assay_op_time *self_times(const struct assay_op_time *times, int n, struct assay_arena *arena)
{
    struct assay_op_time *sorted = assay_arena_memdup(arena, times, (size_t)n * sizeof *sorted);
    int *open = assay_arena_array(arena, (size_t)n + 1, sizeof *open), depth = 0;
    qsort(sorted, (size_t)n, sizeof *sorted, by_start);
    int64_t *ends = assay_arena_array(arena, (size_t)n, sizeof *ends);
    for (int i = 0; i < n; i++) {
        ends[i] = sorted[i].start_ns + sorted[i].wall_ns;
        while (depth && (sorted[open[depth - 1]].run != sorted[i].run || ends[open[depth - 1]] < ends[i]))
            depth--;
        if (depth)
            sorted[open[depth - 1]].wall_ns -= sorted[i].wall_ns;
        open[depth++] = i;
    }
    return sorted;
}

static struct line *find_line(struct line *lines, int *n_lines, int *hint, const struct assay_op_time *t,
                              struct assay_arena *arena, int n_runs)
{
    /* Runs repeat the same order, so the next line is nearly always the one after the last. */
    for (int k = 0; k < *n_lines; k++) {
        struct line *l = &lines[(*hint + k) % *n_lines];
        if (l->node == t->node && strcmp(l->name, t->name) == 0 && strcmp(l->type, t->type) == 0) {
            *hint = (int)(l - lines + 1);
            return l;
        }
    }
    struct line *l = &lines[(*n_lines)++];
    *l = (struct line){t->name, t->type, t->node, 0, assay_arena_array(arena, (size_t)n_runs, sizeof *l->ns), 0};
    *hint = *n_lines;
    return l;
}

static int slowest_first(const void *a, const void *b)
{
    double x = ((const struct line *)a)->median_ns, y = ((const struct line *)b)->median_ns;
    return (x < y) - (x > y);
}

static void add_roofline(json_t *entry, const struct assay_case *c, const struct assay_cost *cost, double median_ns)
{
    double bytes = cost->bytes_read + cost->bytes_written;
    json_object_set_new(entry, "flops", json_real(cost->flops));
    json_object_set_new(entry, "bytes", json_real(bytes));
    if (!(c->peak_flops > 0) || !(c->peak_bytes > 0) || median_ns <= 0)
        return;
    double compute_ns = cost->flops / c->peak_flops * 1e9, memory_ns = bytes / c->peak_bytes * 1e9;
    json_object_set_new(entry, "roofline_share", json_real(fmax(compute_ns, memory_ns) / median_ns));
    json_object_set_new(entry, "bound", json_string(compute_ns > memory_ns ? "compute" : "memory"));
}

static json_t *entry_of(const struct assay_case *c, const struct assay_analysis *analysis, const struct line *l, double run_ns)
{
    json_t *entry = json_pack("{s:s, s:s, s:i, s:f, s:f}", "name", l->name, "type", l->type, "count", l->n, "median_ns",
                              l->median_ns, "share", run_ns > 0 ? l->median_ns / run_ns : 0);
    if (l->node >= 0 && l->node < analysis->n_nodes) {
        const struct assay_cost *cost = &analysis->node_costs[l->node];
        if (cost->flops + cost->bytes_read + cost->bytes_written > 0)
            add_roofline(entry, c, cost, l->median_ns);
    }
    return entry;
}

/* Trace event format: complete events of one run, microseconds. */
static enum assay_status write_trace(const struct assay_case *c, const struct assay_op_time *times, int n_times, int run,
                                     struct assay_error *err)
{
    json_t *events = json_array();
    for (int i = 0; i < n_times; i++)
        if (times[i].run == run)
            json_array_append_new(events, json_pack("{s:s, s:s, s:s, s:f, s:f, s:i, s:i}", "name",
                                                    *times[i].name ? times[i].name : times[i].type, "cat", times[i].type, "ph",
                                                    "X", "ts", (double)times[i].start_ns / 1e3, "dur",
                                                    (double)times[i].wall_ns / 1e3, "pid", 1, "tid", 1));
    json_t *trace = json_pack("{s:o, s:s, s:{s:s, s:s, s:I}}", "traceEvents", events, "displayTimeUnit", "ns", "otherData",
                              "model", c->model, "platform", c->platform, "threads", (json_int_t)c->threads);
    char *text = json_dumps(trace, JSON_COMPACT | JSON_REAL_PRECISION(9));
    enum assay_status st = assay_fs_write(c->trace_path, text, strlen(text), err);
    free(text);
    json_decref(trace);
    return st;
}

/* The fastest quarter of the runs, at least one: kept[run] = its place among them, else -1. Returns their number and the median
 * of their walls. */
static int keep_fastest(const double *run_ns, int n_runs, int *kept, int *fastest, double *median_ns, struct assay_arena *arena)
{
    double *walls = assay_arena_array(arena, (size_t)n_runs, sizeof *walls),
           limit = assay_stats_quantile(run_ns, (size_t)n_runs, 0.25);
    int n = 0;
    *fastest = 0;
    for (int r = 0; r < n_runs; r++) {
        kept[r] = run_ns[r] <= limit ? n : -1;
        if (run_ns[r] <= limit)
            walls[n++] = run_ns[r];
        if (run_ns[r] < run_ns[*fastest])
            *fastest = r;
    }
    *median_ns = assay_stats_median(walls, (size_t)n);
    return n;
}

enum assay_status assay_profile_make(const struct assay_case *c, const struct assay_graph *graph,
                                     const struct assay_op_time *times, int n_times, const double *run_ns, int n_runs,
                                     json_t **profile, struct assay_error *err)
{
    struct assay_arena arena;
    struct assay_analysis analysis;
    int n_lines = 0, hint = 0, fastest;
    double sum = 0, median_ns;
    assay_arena_init(&arena);
    assay_analysis_init(&analysis, graph);
    int *kept = assay_arena_array(&arena, (size_t)n_runs, sizeof *kept);
    int n_kept = keep_fastest(run_ns, n_runs, kept, &fastest, &median_ns, &arena);
    struct line *lines = assay_arena_array(&arena, (size_t)n_times + 1, sizeof *lines);
    const struct assay_op_time *self = self_times(times, n_times, &arena);
    for (int i = 0; i < n_times; i++) {
        if (self[i].run >= n_runs || kept[self[i].run] < 0)
            continue;
        struct line *l = find_line(lines, &n_lines, &hint, &self[i], &arena, n_kept);
        l->ns[kept[self[i].run]] += (double)self[i].wall_ns;
        l->n += self[i].run == fastest;
    }
    for (int k = 0; k < n_lines; k++) {
        lines[k].median_ns = assay_stats_median(lines[k].ns, (size_t)n_kept);
        sum += lines[k].median_ns;
    }
    if (median_ns > sum)
        lines[n_lines++] = (struct line){"(outside ops)", "", -1, 1, NULL, median_ns - sum};
    qsort(lines, (size_t)n_lines, sizeof *lines, slowest_first);
    *profile = json_array();
    for (int k = 0; k < n_lines; k++)
        json_array_append_new(*profile, entry_of(c, &analysis, &lines[k], median_ns));
    enum assay_status st = c->trace_path ? write_trace(c, times, n_times, fastest, err) : ASSAY_OK;
    assay_analysis_release(&analysis);
    assay_arena_release(&arena);
    return st;
}
