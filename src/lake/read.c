/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a lake for queries: the view `results` over its good files. See lake.h. */
#include "lake/internal.h"

#include "base/fs.h"

#include <stdlib.h>
#include <string.h>

char *assay_lake_sql_columns(struct assay_arena *arena)
{
    char *sql = "";
    for (int i = 0; i < ASSAY_N_COLUMNS; i++)
        sql = assay_arena_printf(arena, "%s%s\"%s\" %s", sql, i ? ", " : "", assay_columns[i].name,
                                 assay_column_kind_sql(assay_columns[i].kind));
    return sql;
}

char *assay_lake_sql_read(const char *const *paths, size_t n_paths, struct assay_arena *arena)
{
    return assay_arena_printf(arena, "SELECT * FROM read_parquet(%s, union_by_name = true, hive_partitioning = false)",
                              assay_lake_sql_paths(paths, n_paths, arena));
}

char *assay_lake_sql_read_list(const struct assay_lake_files *list, struct assay_arena *arena)
{
    const char **paths = assay_arena_array(arena, list->n_files, sizeof *paths);
    char *sql = assay_arena_strdup(arena, "SELECT * FROM assay.no_rows");
    for (int overlaps = 0; overlaps < 2; overlaps++) {
        size_t n = 0;
        for (size_t i = 0; i < list->n_files; i++) {
            if (assay_lake_file_is_read(&list->files[i]) && list->files[i].overlaps == overlaps)
                paths[n++] = list->files[i].path;
        }
        const char *once = overlaps ? " QUALIFY row_number() OVER (PARTITION BY result_id) = 1" : "";
        if (n)
            sql = assay_arena_printf(arena, "%s UNION ALL BY NAME (%s%s)", sql, assay_lake_sql_read(paths, n, arena), once);
    }
    return sql;
}

/* Makes the view and looks whether each column has its type there. */
static enum assay_status make_view(struct assay_lake_db *db, const char *select, struct assay_arena *arena,
                                   struct assay_error *err)
{
    struct assay_query *query = NULL;
    enum assay_status st =
        assay_lake_db_run(db, assay_arena_printf(arena, "CREATE OR REPLACE VIEW results AS %s", select), NULL, err);
    if (!st)
        st = assay_lake_query_all(db, "SELECT column_name, column_type FROM (DESCRIBE results)", &query, NULL, err);
    while (!st && assay_query_next(query)) {
        enum assay_column column = assay_column_find(assay_query_text(query, 0, arena));
        if (column == ASSAY_N_COLUMNS)
            continue;
        const char *type = assay_query_text(query, 1, arena), *wanted = assay_column_kind_sql(assay_columns[column].kind);
        if (strcmp(type, wanted) != 0)
            st = assay_error_set(err, ASSAY_INVALID, "its column %s is of type %s, not %s", assay_columns[column].name, type,
                                 wanted);
    }
    assay_query_close(query);
    return st;
}

/* Finds the files with which no view can be made, and leaves them out. */
static void leave_out_unreadable(struct assay_lake *lake, struct assay_arena *arena)
{
    for (size_t i = 0; i < lake->files.n_files; i++) {
        struct assay_lake_file *file = &lake->files.files[i];
        struct assay_error reason = {0};
        if (!assay_lake_file_is_read(file))
            continue;
        char *select = assay_arena_printf(arena, "SELECT * FROM assay.no_rows UNION ALL BY NAME (%s)",
                                          assay_lake_sql_read(&file->path, 1, arena));
        if (make_view(&lake->db, select, arena, &reason) == ASSAY_OK)
            continue;
        file->good = false;
        if (lake->warn)
            lake->warn(lake->context, file->path, reason.message);
    }
}

/* Whether a compaction removed a file between its listing and the view: what it held is in a merged file by now. */
static bool a_file_vanished(const struct assay_lake *lake)
{
    for (size_t i = 0; i < lake->files.n_files; i++)
        if (assay_lake_file_is_read(&lake->files.files[i]) && !assay_fs_exists(lake->files.files[i].path))
            return true;
    return false;
}

static enum assay_status load(struct assay_lake *lake, struct assay_error *err)
{
    enum { MOST_LISTINGS = 100 };
    struct assay_arena arena;
    assay_arena_init(&arena);
    enum assay_status st = assay_lake_db_open(&lake->db, err);
    if (st)
        goto done;
    for (int i = 0; i < MOST_LISTINGS; i++) {
        assay_lake_files_release(&lake->files);
        st = assay_lake_files_list(&lake->files, lake->path, &lake->db, lake->check_hashes, lake->warn, lake->context, err);
        if (st)
            goto done;
        st = make_view(&lake->db, assay_lake_sql_read_list(&lake->files, &arena), &arena, err);
        if (!st || !a_file_vanished(lake))
            break;
    }
    if (st) {
        leave_out_unreadable(lake, &arena);
        st = make_view(&lake->db, assay_lake_sql_read_list(&lake->files, &arena), &arena, err);
    }
done:
    assay_arena_release(&arena);
    return st;
}

static void unload(struct assay_lake *lake)
{
    assay_lake_files_release(&lake->files);
    assay_lake_db_close(&lake->db);
}

enum assay_status assay_lake_open(struct assay_lake **lake, const char *path, bool check_hashes, assay_lake_warning *warn,
                                  void *context, struct assay_error *err)
{
    struct assay_lake *l = assay_alloc(sizeof *l);
    assay_arena_init(&l->arena);
    l->path = assay_arena_strdup(&l->arena, path);
    l->check_hashes = check_hashes;
    l->warn = warn;
    l->context = context;
    enum assay_status st = load(l, err);
    if (st) {
        assay_lake_close(l);
        l = NULL;
    }
    *lake = l;
    return st;
}

void assay_lake_close(struct assay_lake *lake)
{
    if (!lake)
        return;
    unload(lake);
    assay_arena_release(&lake->arena);
    free(lake);
}

/* Whether an error can come from a file that was removed (by a compaction) or damaged after the lake was opened, rather than from
 * the statement. */
static bool blames_a_file(duckdb_error_type type)
{
    switch (type) {
    case DUCKDB_ERROR_PARSER:
    case DUCKDB_ERROR_SYNTAX:
    case DUCKDB_ERROR_BINDER:
    case DUCKDB_ERROR_CATALOG:
    case DUCKDB_ERROR_CONVERSION:
    case DUCKDB_ERROR_MISMATCH_TYPE:
    case DUCKDB_ERROR_DIVIDE_BY_ZERO:
    case DUCKDB_ERROR_CONSTRAINT:
    case DUCKDB_ERROR_PERMISSION:
    case DUCKDB_ERROR_OUT_OF_MEMORY:
    case DUCKDB_ERROR_INTERRUPT:
        return false;
    default:
        return true;
    }
}

/* Whether a file that the view reads is gone or no longer what its name says. */
static bool a_file_changed(const struct assay_lake *lake)
{
    for (size_t i = 0; i < lake->files.n_files; i++) {
        const struct assay_lake_file *file = &lake->files.files[i];
        if (assay_lake_file_is_read(file) && assay_lake_file_check(file->path, &file->name, NULL))
            return true;
    }
    return false;
}

enum assay_status assay_lake_query(struct assay_lake *lake, const char *sql, struct assay_query **query, struct assay_error *err)
{
    duckdb_error_type type = DUCKDB_ERROR_INVALID;
    enum assay_status st = assay_lake_query_all(&lake->db, sql, query, &type, err);
    if (!st || !blames_a_file(type) || !a_file_changed(lake))
        return st;
    bool check_hashes = lake->check_hashes;
    unload(lake);
    lake->check_hashes = true;
    st = load(lake, err);
    lake->check_hashes = check_hashes;
    return st ? st : assay_lake_query_all(&lake->db, sql, query, NULL, err);
}
