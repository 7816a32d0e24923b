/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A/A: how often does a comparison of a case with itself report a difference? The rows of a lake, all of one case and in the
 * order of time, are dealt out in turn to A and B, K runs to each side of a comparison, and judged as `assay compare` does. aa.sh
 * makes such a lake. Exit code 1 if more than 5 % report a difference.
 *
 *     bench.aa LAKE [BETWEEN_RUN_SD]
 */
#include "bench/measure.h"
#include "lake/lake.h"
#include "stats/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double LEVEL = 0.95, ALLOWED = 0.05;

struct run {
    double *ns;
    size_t n;
    double median;
    bool noisy;
};

struct runs {
    struct assay_arena arena;
    struct run *items;
    size_t n;
};

static void warn(void *context, const char *file, const char *reason)
{
    (void)context;
    fprintf(stderr, "%s: %s\n", file, reason);
}

static enum assay_status read_runs(const char *path, struct runs *runs, struct assay_error *err)
{
    struct assay_lake *lake = NULL;
    struct assay_query *query = NULL;
    enum assay_status st = assay_lake_open(&lake, path, false, warn, NULL, err);
    if (!st)
        st = assay_lake_query(lake, "SELECT samples_ns, noisy FROM results WHERE status = 'ok' ORDER BY time", &query, err);
    while (!st && assay_query_next(query)) {
        json_t *list = assay_query_json(query, 0);
        json_t *noisy = assay_query_json(query, 1);
        struct run run = {.n = json_array_size(list), .noisy = json_is_true(noisy)};
        run.ns = assay_arena_array(&runs->arena, run.n, sizeof *run.ns);
        for (size_t i = 0; i < run.n; i++)
            run.ns[i] = json_number_value(json_array_get(list, i));
        json_decref(list);
        json_decref(noisy);
        if (run.n == 0)
            continue;
        run.median = assay_stats_median(run.ns, run.n);
        if ((runs->n & (runs->n - 1)) == 0)
            runs->items = assay_arena_grow(&runs->arena, runs->items, runs->n, runs->n ? 2 * runs->n : 1, sizeof run);
        runs->items[runs->n++] = run;
    }
    assay_query_close(query);
    assay_lake_close(lake);
    return st;
}

/* One side of a comparison: every second run from `first`, k of them, one after the other. */
static size_t gather(const struct runs *runs, size_t first, int k, double **ns, int **group, struct assay_arena *arena)
{
    size_t n = 0, at = 0;
    for (int r = 0; r < k; r++)
        n += runs->items[first + 2 * (size_t)r].n;
    *ns = assay_arena_array(arena, n, sizeof **ns);
    *group = assay_arena_array(arena, n, sizeof **group);
    for (int r = 0; r < k; r++) {
        const struct run *run = &runs->items[first + 2 * (size_t)r];
        for (size_t i = 0; i < run->n; i++, at++) {
            (*ns)[at] = run->ns[i];
            (*group)[at] = r;
        }
    }
    return n;
}

/* The share of comparisons with k runs a side that report a difference; prints it. */
static double judge(const struct runs *runs, int k, double between_run_sd)
{
    size_t n = 0, n_different = 0, n_unknown = 0;
    double width = 0;
    for (size_t first = 0; first + 2 * (size_t)k <= runs->n; first += 2 * (size_t)k, n++) {
        struct assay_arena arena;
        double *a, *b;
        int *group_a, *group_b;
        assay_arena_init(&arena);
        size_t n_a = gather(runs, first, k, &a, &group_a, &arena), n_b = gather(runs, first + 1, k, &b, &group_b, &arena);
        bool noisy = runs->items[first].noisy || runs->items[first + 1].noisy; /* matters where k is 1 */
        double sd = isnan(between_run_sd) ? assay_measure_between_run_sd(noisy) : between_run_sd;
        struct assay_ratio r = assay_stats_ratio_of_runs(a, group_a, n_a, b, group_b, n_b, sd, LEVEL, 2000, 1);
        n_unknown += !r.interval.exists;
        n_different += r.interval.exists && (r.interval.low > 1 || r.interval.high < 1);
        width += r.interval.exists ? log(r.interval.high / r.interval.low) / 2 : 0;
        assay_arena_release(&arena);
    }
    if (n == 0)
        return 0;
    double share = (double)n_different / (double)n;
    printf("%d run%s a side: %zu comparisons, %zu report a difference (%.1f %%), %zu have no interval; mean half-width %.1f %%\n",
           k, k == 1 ? "" : "s", n, n_different, 100 * share, n_unknown,
           n > n_unknown ? 100 * width / (double)(n - n_unknown) : 0);
    return share;
}

/* How much medians vary from run to run: over all the time, and from one run to the next, robustly and not. */
static void print_spread(const struct runs *runs)
{
    double *logs = assay_alloc(runs->n * sizeof *logs), *steps = assay_alloc(runs->n * sizeof *steps);
    for (size_t i = 0; i < runs->n; i++) {
        logs[i] = log(runs->items[i].median);
        steps[i] = i ? (logs[i] - logs[i - 1]) / sqrt(2) : 0;
    }
    printf(
        "%zu runs, median of medians %.1f us; between-run sd %.2f %% (robust %.2f %%), from one run to the next %.2f %% (robust "
        "%.2f %%)\n",
        runs->n, exp(assay_stats_median(logs, runs->n)) / 1e3, 100 * assay_stats_deviation(logs, runs->n),
        100 * assay_stats_mad(logs, runs->n), 100 * assay_stats_deviation(steps + 1, runs->n - 1),
        100 * assay_stats_mad(steps + 1, runs->n - 1));
    free(logs);
    free(steps);
}

int main(int argc, char **argv)
{
    struct runs runs = {.n = 0};
    struct assay_error err;
    double between_run_sd = argc > 2 ? atof(argv[2]) : NAN;
    int failed = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: bench.aa LAKE [BETWEEN_RUN_SD]\n");
        return 2;
    }
    assay_arena_init(&runs.arena);
    if (read_runs(argv[1], &runs, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    if (runs.n >= 2)
        print_spread(&runs);
    static const int per_side[] = {1, 2, 3, 5};
    for (size_t i = 0; i < ASSAY_COUNT(per_side); i++)
        failed |= judge(&runs, per_side[i], between_run_sd) > ALLOWED;
    assay_arena_release(&runs.arena);
    return failed || runs.n < 2;
}
