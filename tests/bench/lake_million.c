/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One million synthetic rows of 20 samples each in a temporary lake: what writing, compacting, opening and querying take.
 *   bench.lake_million [ROWS [ROWS_PER_FILE]]
 * The lake and its cache of verdicts are below a temporary folder, which is removed at the end.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "lake/lake.h"
#include "lake/test_rows.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { SAMPLES = 20, REPETITIONS = 5, MODELS = 40 };

static const char by_platform[] =
    "SELECT model, platform, count(*), median(latency_median_ns), quantile_cont(latency_median_ns, 0.99) "
    "FROM results GROUP BY model, platform";
static const char of_samples[] =
    "SELECT model, platform, count(*), median(s), quantile_cont(s, 0.99) FROM (SELECT model, platform, "
    "unnest(samples_ns) AS s FROM results) GROUP BY model, platform";
static const char newest[] =
    "SELECT model, platform, latency_median_ns FROM results WHERE model = 'model-7' ORDER BY time DESC LIMIT 20";

static int64_t peak_resident_mb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss / 1024;
}

static void line(const char *what, double ns)
{
    char text[32];
    assay_clock_duration_text(ns, text, sizeof text);
    printf("%-44s %12s   %6lld MiB\n", what, text, (long long)peak_resident_mb());
    fflush(stdout);
}

static void fill(struct assay_row *row, uint64_t number)
{
    char text[32];
    test_row_fill(row, "synthetic", number, SAMPLES);
    snprintf(text, sizeof text, "model-%d", (int)(number % MODELS));
    assay_row_set_text(row, ASSAY_ROW_model, text);
    assay_row_set_text(row, ASSAY_ROW_case_id, text);
}

static enum assay_status write_all(const char *lake, uint64_t n_rows, uint64_t rows_per_file, int64_t *write_ns,
                                   struct assay_error *err)
{
    struct assay_row *rows = assay_alloc(rows_per_file * sizeof *rows);
    struct assay_arena arena;
    enum assay_status st = ASSAY_OK;
    assay_arena_init(&arena);
    *write_ns = 0;
    for (uint64_t first = 0; first < n_rows && !st; first += rows_per_file) {
        uint64_t n = n_rows - first < rows_per_file ? n_rows - first : rows_per_file;
        for (uint64_t i = 0; i < n; i++) {
            assay_row_init(&rows[i]);
            fill(&rows[i], first + i);
        }
        int64_t start = assay_clock_ns();
        st = assay_lake_write(lake, rows, n, &arena, NULL, err);
        *write_ns += assay_clock_ns() - start;
        for (uint64_t i = 0; i < n; i++)
            assay_row_release(&rows[i]);
    }
    assay_arena_release(&arena);
    free(rows);
    return st;
}

/* The median of a few runs, each walked to its end; *n gets the number of rows. */
static enum assay_status time_query(struct assay_lake *lake, const char *sql, double *ns, int *n, struct assay_error *err)
{
    double times[REPETITIONS];
    for (int i = 0; i < REPETITIONS; i++) {
        struct assay_query *query;
        int64_t start = assay_clock_ns();
        enum assay_status st = assay_lake_query(lake, sql, &query, err);
        if (st)
            return st;
        for (*n = 0; assay_query_next(query); ++*n)
            json_decref(assay_query_json(query, assay_query_n_columns(query) - 1));
        assay_query_close(query);
        times[i] = (double)(assay_clock_ns() - start);
        for (int j = i; j && times[j] < times[j - 1]; j--) {
            double other = times[j];
            times[j] = times[j - 1];
            times[j - 1] = other;
        }
    }
    *ns = times[REPETITIONS / 2];
    return ASSAY_OK;
}

static enum assay_status time_queries(const char *path, const char *when, struct assay_error *err)
{
    static const struct {
        const char *name, *sql;
    } queries[] = {
        {"model x platform: median, p99", by_platform},
        {"the same over all samples", of_samples},
        {"newest 20 of a model", newest},
    };
    struct assay_lake *lake;
    char text[96];
    for (int again = 0; again < 2; again++) {
        int64_t start = assay_clock_ns();
        enum assay_status st = assay_lake_open(&lake, path, !again, NULL, NULL, err);
        if (st)
            return st;
        snprintf(text, sizeof text, "%s: open, %s", when, again ? "verdicts kept" : "hashing all");
        line(text, (double)(assay_clock_ns() - start));
        if (!again)
            assay_lake_close(lake);
    }
    enum assay_status st = ASSAY_OK;
    for (size_t i = 0; i < ASSAY_COUNT(queries) && !st; i++) {
        double ns;
        int n;
        st = time_query(lake, queries[i].sql, &ns, &n, err);
        snprintf(text, sizeof text, "%s: %s", when, queries[i].name);
        if (!st)
            line(text, ns);
    }
    assay_lake_close(lake);
    return st;
}

static enum assay_status run(const char *path, uint64_t n_rows, uint64_t rows_per_file, struct assay_error *err)
{
    int64_t write_ns;
    struct assay_lake_stat before, after;
    printf("%llu rows, %d samples each, %llu rows a file\n%-44s %12s   %10s\n", (unsigned long long)n_rows, SAMPLES,
           (unsigned long long)rows_per_file, "", "time", "peak so far");
    enum assay_status st = write_all(path, n_rows, rows_per_file, &write_ns, err);
    if (st)
        return st;
    line("write, checked, synced and hashed", (double)write_ns);
    /* Verdicts are kept for files that have rested for two seconds. */
    assay_clock_sleep_until(assay_clock_ns() + INT64_C(2100000000));
    st = time_queries(path, "before", err);
    if (st)
        return st;
    int64_t start = assay_clock_ns();
    st = assay_lake_compact(path, &before, &after, NULL, NULL, err);
    if (st)
        return st;
    line("compact, verified", (double)(assay_clock_ns() - start));
    assay_clock_sleep_until(assay_clock_ns() + INT64_C(2100000000));
    st = time_queries(path, "after", err);
    printf("files %lld -> %lld, size %.1f -> %.1f MB (%.0f bytes a row)\n", (long long)before.n_files, (long long)after.n_files,
           (double)before.size_bytes / 1e6, (double)after.size_bytes / 1e6, (double)after.size_bytes / (double)after.n_rows);
    if (!st && after.n_rows != (int64_t)n_rows)
        st = assay_error_set(err, ASSAY_MISMATCH, "%lld rows of %llu are there", (long long)after.n_rows,
                             (unsigned long long)n_rows);
    return st;
}

int main(int argc, char **argv)
{
    struct assay_arena arena;
    struct assay_error err;
    char *folder;
    uint64_t n_rows = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t rows_per_file = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000;
    if (!n_rows || !rows_per_file) {
        fprintf(stderr, "usage: bench.lake_million [ROWS [ROWS_PER_FILE]]\n");
        return 2;
    }
    assay_arena_init(&arena);
    enum assay_status st = assay_fs_temporary_folder(&arena, &folder, &err);
    if (!st) {
        setenv("ASSAY_CACHE", assay_path_join(&arena, folder, "cache"), 1);
        st = run(assay_path_join(&arena, folder, "lake"), n_rows, rows_per_file, &err);
        assay_fs_remove(folder, NULL);
    }
    if (st)
        fprintf(stderr, "bench.lake_million: %s\n", err.message);
    assay_arena_release(&arena);
    return st != ASSAY_OK;
}
