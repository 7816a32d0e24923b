/* SPDX-License-Identifier: Apache-2.0 */
/* A query's result as a file of JSON lines, CSV or Parquet: see lake.h. */
#include "lake/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum assay_status assay_lake_format_of(const char *file, enum assay_lake_format *format, struct assay_error *err)
{
    static const char *const endings[] = {
        [ASSAY_LAKE_JSONL] = ".jsonl", [ASSAY_LAKE_CSV] = ".csv", [ASSAY_LAKE_PARQUET] = ".parquet"};
    const char *end = strrchr(assay_path_name(file), '.');
    for (size_t i = 0; end && i < ASSAY_COUNT(endings); i++) {
        if (strcmp(end, endings[i]) == 0) {
            *format = (enum assay_lake_format)i;
            return ASSAY_OK;
        }
    }
    return assay_error_set(err, ASSAY_INVALID, "the format of %s is unknown: name it .jsonl, .csv or .parquet", file);
}

static enum assay_status export_parquet(struct assay_lake *lake, const char *sql, const char *file, int64_t *n_rows,
                                        struct assay_error *err)
{
    struct assay_atomic_file f;
    enum assay_status st = assay_atomic_open_path(&f, file, err);
    if (st)
        return st;
    st = assay_lake_copy(&lake->db, sql, f.temporary_path, "", n_rows, err);
    if (!st)
        st = assay_atomic_commit(&f, err);
    assay_atomic_abandon(&f);
    return st;
}

static bool write_json_line(struct assay_query *query, FILE *out)
{
    json_t *object = json_object();
    for (int i = 0; i < assay_query_n_columns(query); i++)
        json_object_set_new(object, assay_query_column_name(query, i), assay_query_json(query, i));
    bool good = json_dumpf(object, out, JSON_COMPACT) == 0 && putc('\n', out) != EOF;
    json_decref(object);
    return good;
}

static bool write_csv_line(struct assay_query *query, bool header, FILE *out)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    for (int i = 0; i < assay_query_n_columns(query); i++) {
        if (i)
            putc(',', out);
        assay_csv_write_field(out, header ? assay_query_column_name(query, i) : assay_query_text(query, i, &arena));
    }
    putc('\n', out);
    assay_arena_release(&arena);
    return !ferror(out);
}

static enum assay_status export_text(struct assay_lake *lake, const char *sql, enum assay_lake_format format, const char *file,
                                     int64_t *n_rows, struct assay_error *err)
{
    struct assay_atomic_file f = {0};
    struct assay_query *query;
    enum assay_status st = assay_lake_query_paged(&lake->db, sql, &query, err);
    if (!st)
        st = assay_atomic_open(&f, file, err);
    bool good = true;
    if (!st && format == ASSAY_LAKE_CSV)
        good = write_csv_line(query, true, f.file);
    while (!st && good && assay_query_next(query)) {
        good = format == ASSAY_LAKE_CSV ? write_csv_line(query, false, f.file) : write_json_line(query, f.file);
        ++*n_rows;
    }
    if (!st && !good)
        st = assay_fs_error(err, errno, "cannot write %s", file);
    if (!st)
        st = assay_lake_query_failed(query, err);
    if (!st)
        st = assay_atomic_commit(&f, err);
    assay_atomic_abandon(&f);
    assay_query_close(query);
    return st;
}

enum assay_status assay_lake_export(struct assay_lake *lake, const char *sql, const char *file, int64_t *n_rows,
                                    struct assay_error *err)
{
    enum assay_lake_format format;
    *n_rows = 0;
    enum assay_status st = assay_lake_format_of(file, &format, err);
    if (st)
        return st;
    /* A statement that ends in a semicolon could not stand inside another. */
    size_t n = strlen(sql);
    while (n && strchr("; \t\r\n", sql[n - 1]))
        n--;
    char *bare = assay_strdup(sql);
    bare[n] = '\0';
    st = format == ASSAY_LAKE_PARQUET ? export_parquet(lake, bare, file, n_rows, err)
                                      : export_text(lake, bare, format, file, n_rows, err);
    free(bare);
    return st;
}
