/* SPDX-License-Identifier: Apache-2.0 */
/* See profile.h. */
#include "bench/profile.h"

#include "base/fs.h"
#include "model/analysis.h"
#include "stats/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One op of the compiled program. */
struct line {
    const char *name, *type;
    int node, n;
    double ns, flops, bytes; /* sums over the runs that count */
    enum assay_dtype dtype;
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

static struct line *find_line(struct line *lines, int *n_lines, int *hint, const struct assay_op_time *t)
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
    *l = (struct line){.name = t->name, .type = t->type, .node = t->node, .dtype = t->dtype};
    *hint = *n_lines;
    return l;
}

static int slowest_first(const void *a, const void *b)
{
    double x = ((const struct line *)a)->ns, y = ((const struct line *)b)->ns;
    return (x < y) - (x > y);
}

/* Of the type that an op computes in, where it is known; else of the case's precision. */
static double peak_of(const struct assay_case *c, enum assay_dtype dtype)
{
    double peak = dtype == ASSAY_I8 || dtype == ASSAY_U8 ? c->peak_int8
                  : dtype == ASSAY_BF16                  ? c->peak_bf16
                  : dtype == ASSAY_F32                   ? c->peak_f32
                                                         : NAN;
    return peak > 0 ? peak : c->peak_flops;
}

static void add_roofline(json_t *entry, const struct assay_case *c, const struct line *l, double n_runs)
{
    double peak = peak_of(c, l->dtype), flops = l->flops / n_runs, bytes = l->bytes / n_runs, ns = l->ns / n_runs;
    json_object_set_new(entry, "flops", json_real(flops));
    json_object_set_new(entry, "bytes", json_real(bytes));
    if (!(peak > 0) || !(c->peak_bytes > 0) || ns <= 0)
        return;
    double compute_ns = flops / peak * 1e9, memory_ns = bytes / c->peak_bytes * 1e9;
    json_object_set_new(entry, "roofline_share", json_real(fmax(compute_ns, memory_ns) / ns));
    json_object_set_new(entry, "bound", json_string(compute_ns > memory_ns ? "compute" : "memory"));
}

static json_t *entry_of(const struct assay_case *c, const struct line *l, double run_ns, double n_runs)
{
    double ns = l->ns / n_runs;
    json_t *entry = json_pack("{s:s, s:s, s:i, s:f, s:f}", "name", l->name, "type", l->type, "count", l->n, "mean_ns", ns,
                              "share", run_ns > 0 ? ns / run_ns : 0);
    if (l->flops + l->bytes > 0)
        add_roofline(entry, c, l, n_runs);
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

/* The fastest quarter of the runs that count, at least one. Returns their number, and the sum of their walls. */
static int keep_fastest(const double *run_ns, int n_runs, bool *kept, int *fastest, double *sum_ns, struct assay_arena *arena)
{
    double *walls = assay_arena_array(arena, (size_t)n_runs, sizeof *walls);
    int n_walls = 0, n = 0;
    for (int r = 0; r < n_runs; r++)
        if (!isnan(run_ns[r]))
            walls[n_walls++] = run_ns[r];
    double limit = n_walls ? assay_stats_quantile(walls, (size_t)n_walls, 0.25) : 0;
    *fastest = -1;
    *sum_ns = 0;
    for (int r = 0; r < n_runs; r++) {
        kept[r] = run_ns[r] <= limit; /* not of NaN */
        n += kept[r];
        *sum_ns += kept[r] ? run_ns[r] : 0;
        if (kept[r] && (*fastest < 0 || run_ns[r] < run_ns[*fastest]))
            *fastest = r;
    }
    return n;
}

/* The walls of the runs without what recording took; NaN stays. */
static double *walls_of(const struct assay_op_time *times, int n_times, const double *run_ns, int n_runs,
                        struct assay_arena *arena)
{
    double *walls = assay_arena_memdup(arena, run_ns, (size_t)n_runs * sizeof *walls);
    for (int i = 0; i < n_times; i++)
        if (!*times[i].type && times[i].run < n_runs)
            walls[times[i].run] -= (double)times[i].wall_ns;
    return walls;
}

static void add_time(struct line *l, const struct assay_op_time *t, const struct assay_analysis *analysis)
{
    bool tells = t->flops + t->bytes > 0, is_node = !tells && t->node >= 0 && t->node < analysis->n_nodes;
    l->ns += (double)t->wall_ns;
    l->flops += is_node ? analysis->node_costs[t->node].flops : t->flops;
    l->bytes += is_node ? analysis->node_costs[t->node].bytes_read + analysis->node_costs[t->node].bytes_written : t->bytes;
}

enum assay_status assay_profile_make(const struct assay_case *c, const struct assay_graph *graph,
                                     const struct assay_op_time *times, int n_times, const double *run_ns, int n_runs,
                                     json_t **profile, struct assay_error *err)
{
    struct assay_arena arena;
    struct assay_analysis analysis;
    int n_lines = 0, hint = 0, fastest;
    double in_ops_ns = 0, sum_ns;
    assay_arena_init(&arena);
    assay_analysis_init(&analysis, graph);
    bool *kept = assay_arena_array(&arena, (size_t)n_runs, sizeof *kept);
    const double *walls = walls_of(times, n_times, run_ns, n_runs, &arena);
    int n_kept = keep_fastest(walls, n_runs, kept, &fastest, &sum_ns, &arena);
    struct line *lines = assay_arena_array(&arena, (size_t)n_times + 1, sizeof *lines);
    const struct assay_op_time *self = self_times(times, n_times, &arena);
    for (int i = 0; i < n_times; i++) {
        if (self[i].run >= n_runs || !kept[self[i].run] || !*self[i].type)
            continue;
        struct line *l = find_line(lines, &n_lines, &hint, &self[i]);
        add_time(l, &self[i], &analysis);
        l->n += self[i].run == fastest;
        in_ops_ns += (double)self[i].wall_ns;
    }
    if (sum_ns > in_ops_ns)
        lines[n_lines++] = (struct line){.name = "(outside ops)", .type = "", .node = -1, .n = 1, .ns = sum_ns - in_ops_ns};
    qsort(lines, (size_t)n_lines, sizeof *lines, slowest_first);
    *profile = json_array();
    for (int k = 0; k < n_lines; k++)
        json_array_append_new(*profile, entry_of(c, &lines[k], sum_ns / n_kept, n_kept));
    enum assay_status st = c->trace_path ? write_trace(c, times, n_times, fastest, err) : ASSAY_OK;
    assay_analysis_release(&analysis);
    assay_arena_release(&arena);
    return st;
}
