/* SPDX-License-Identifier: Apache-2.0 */
/* Counting and verifying a lake: see lake.h. Compaction is in compact.c, backup in backup.c. */
#include "lake/internal.h"

#include <string.h>

static void count_files(const struct assay_lake_files *files, struct assay_lake_stat *stat)
{
    for (size_t i = 0; i < files->n_files; i++) {
        const struct assay_lake_file *file = &files->files[i];
        stat->n_damaged += !file->good;
        if (!assay_lake_file_is_read(file))
            continue;
        stat->n_files++;
        stat->size_bytes += file->size_bytes;
    }
}

static enum assay_status count_rows(struct assay_lake *lake, struct assay_lake_stat *stat, struct assay_error *err)
{
    static const char sql[] = "SELECT count(*), count(DISTINCT run_id), count(DISTINCT host), count(DISTINCT model), "
                              "count(DISTINCT platform), epoch_us(min(time)), epoch_us(max(time)) FROM results";
    int64_t *const counts[] = {&stat->n_rows,      &stat->n_runs,   &stat->n_hosts, &stat->n_models,
                               &stat->n_platforms, &stat->first_us, &stat->last_us};
    struct assay_query *query;
    enum assay_status st = assay_lake_query(lake, sql, &query, err);
    if (st)
        return st;
    if (assay_query_next(query)) {
        for (size_t i = 0; i < ASSAY_COUNT(counts); i++) {
            json_t *cell = assay_query_json(query, (int)i);
            *counts[i] = json_integer_value(cell);
            json_decref(cell);
        }
    }
    assay_query_close(query);
    return ASSAY_OK;
}

enum assay_status assay_lake_stat(const char *path, struct assay_lake_stat *stat, assay_lake_warning *warn, void *context,
                                  struct assay_error *err)
{
    *stat = (struct assay_lake_stat){0};
    struct assay_lake *lake;
    enum assay_status st = assay_lake_open(&lake, path, false, warn, context, err);
    if (st)
        return st;
    st = count_rows(lake, stat, err);
    count_files(&lake->files, stat);
    assay_lake_close(lake);
    return st;
}

/* ---- verify */

struct verification {
    struct assay_lake *lake;
    assay_lake_warning *warn;
    void *context;
    int64_t n_found;
};

static void report(struct verification *v, const char *file, const char *reason)
{
    v->n_found++;
    if (v->warn)
        v->warn(v->context, file, reason);
}

/* Every row of a file against the rules; at most one report a file. */
static void verify_rows(struct verification *v, const char *path)
{
    struct assay_arena arena;
    struct assay_row row;
    struct assay_error err = {0};
    struct assay_query *query = NULL;
    int64_t n = 0;
    assay_arena_init(&arena);
    assay_row_init(&row);
    enum assay_status st = assay_lake_query_paged(&v->lake->db, assay_lake_sql_read(&path, 1, &arena), &query, &err);
    while (!st && assay_query_next(query)) {
        n++;
        st = assay_query_row(query, &row, &err);
        if (!st)
            st = assay_row_check(&row, &err);
        if (st)
            assay_error_prefix(&err, st, "row %lld", (long long)n);
    }
    if (!st)
        st = assay_lake_query_failed(query, &err);
    if (st)
        report(v, path, err.message);
    assay_query_close(query);
    assay_row_release(&row);
    assay_arena_release(&arena);
}

static enum assay_status verify_ids(struct verification *v, struct assay_error *err)
{
    int64_t n = 0;
    enum assay_status st = assay_lake_db_int(&v->lake->db, "SELECT count(*) - count(DISTINCT result_id) FROM results", &n, err);
    if (st || !n)
        return st;
    struct assay_error reason;
    assay_error_set(&reason, ASSAY_MISMATCH, "%lld results are there more than once: `assay lake compact` leaves one of each",
                    (long long)n);
    report(v, v->lake->path, reason.message);
    return ASSAY_OK;
}

enum assay_status assay_lake_verify(const char *path, struct assay_lake_stat *stat, assay_lake_warning *warn, void *context,
                                    struct assay_error *err)
{
    *stat = (struct assay_lake_stat){0};
    struct verification v = {.warn = warn, .context = context};
    enum assay_status st = assay_lake_open(&v.lake, path, true, warn, context, err);
    if (st)
        return st;
    for (size_t i = 0; i < v.lake->files.n_files; i++) {
        if (assay_lake_file_is_read(&v.lake->files.files[i]))
            verify_rows(&v, v.lake->files.files[i].path);
    }
    st = verify_ids(&v, err);
    if (!st)
        st = count_rows(v.lake, stat, err);
    count_files(&v.lake->files, stat);
    int64_t n_found = v.n_found + stat->n_damaged;
    if (!st && n_found)
        st = assay_error_set(err, ASSAY_MISMATCH, "%lld damaged or wrong file%s in the lake %s: restore them from a backup",
                             (long long)n_found, n_found == 1 ? "" : "s", path);
    assay_lake_close(v.lake);
    return st;
}
