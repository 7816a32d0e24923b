/* SPDX-License-Identifier: Apache-2.0 */
/* Writing: rows go in chunks into a table of an in-memory database, and from there as one Parquet file into the lake. */
#include "lake/internal.h"

#include "base/clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A chunk goes to DuckDB when it has this many bytes of lists and texts, however few its rows: one row may hold a million
 * samples. */
enum { CHUNK_BYTES = 16 << 20 };

/* ---- cells into vectors */

/* Room for n more elements of a list vector; gives the entry for the row and where they start. */
static idx_t add_list(duckdb_vector vector, idx_t row, size_t n)
{
    idx_t start = duckdb_list_vector_get_size(vector);
    ((duckdb_list_entry *)duckdb_vector_get_data(vector))[row] = (duckdb_list_entry){.offset = start, .length = n};
    duckdb_list_vector_reserve(vector, start + n);
    duckdb_list_vector_set_size(vector, start + n);
    return start;
}

/* Lists of doubles and of int64 alike: 8 bytes an element. */
static size_t put_list(duckdb_vector vector, idx_t row, const void *values, size_t n)
{
    idx_t start = add_list(vector, row, n);
    char *data = duckdb_vector_get_data(duckdb_list_vector_get_child(vector));
    if (n)
        memcpy(data + start * sizeof(double), values, n * sizeof(double));
    return n * sizeof(double);
}

static size_t put_map(duckdb_vector vector, idx_t row, const struct assay_cell *cell, enum assay_column_kind kind)
{
    idx_t start = add_list(vector, row, cell->n);
    duckdb_vector pairs = duckdb_list_vector_get_child(vector);
    duckdb_vector keys = duckdb_struct_vector_get_child(pairs, 0), values = duckdb_struct_vector_get_child(pairs, 1);
    size_t size = 0;
    for (size_t i = 0; i < cell->n; i++) {
        const struct assay_map_entry *entry = &cell->map[i];
        duckdb_vector_assign_string_element(keys, start + i, entry->key);
        size += 64 + strlen(entry->key);
        if (kind == ASSAY_COLUMN_MAP_TEXT) {
            duckdb_vector_assign_string_element(values, start + i, entry->text);
            size += strlen(entry->text);
        } else if (kind == ASSAY_COLUMN_MAP_REAL) {
            ((double *)duckdb_vector_get_data(values))[start + i] = entry->real;
        } else {
            size += put_list(values, start + i, entry->reals, entry->n);
        }
    }
    return size;
}

/* Returns roughly how many bytes it took. */
static size_t put_cell(duckdb_vector vector, idx_t row, const struct assay_cell *cell, enum assay_column_kind kind)
{
    if (!cell->set) {
        duckdb_vector_ensure_validity_writable(vector);
        duckdb_validity_set_row_invalid(duckdb_vector_get_validity(vector), row);
        if (kind == ASSAY_COLUMN_REALS || kind == ASSAY_COLUMN_INTS || kind >= ASSAY_COLUMN_MAP_REAL)
            add_list(vector, row, 0);
        return 0;
    }
    void *data = duckdb_vector_get_data(vector);
    switch (kind) {
    case ASSAY_COLUMN_TEXT:
        duckdb_vector_assign_string_element(vector, row, cell->text);
        return strlen(cell->text);
    case ASSAY_COLUMN_INT:
    case ASSAY_COLUMN_TIME:
        ((int64_t *)data)[row] = cell->i;
        return sizeof(int64_t);
    case ASSAY_COLUMN_BOOL:
        ((bool *)data)[row] = cell->i != 0;
        return 1;
    case ASSAY_COLUMN_REAL:
        ((double *)data)[row] = cell->real;
        return sizeof(double);
    case ASSAY_COLUMN_REALS:
        return put_list(vector, row, cell->reals, cell->n);
    case ASSAY_COLUMN_INTS:
        return put_list(vector, row, cell->ints, cell->n);
    default:
        return put_map(vector, row, cell, kind);
    }
}

/* ---- staging */

static enum assay_status appender_failed(struct assay_lake_staging *staging, struct assay_error *err)
{
    return assay_lake_db_error(DUCKDB_ERROR_INVALID_INPUT, duckdb_appender_error(staging->appender), err);
}

enum assay_status assay_lake_staging_open(struct assay_lake_staging *staging, struct assay_lake_db *db, struct assay_error *err)
{
    *staging = (struct assay_lake_staging){.db = db};
    struct assay_arena arena;
    assay_arena_init(&arena);
    enum assay_status st = assay_lake_db_run(
        db, assay_arena_printf(&arena, "CREATE OR REPLACE TABLE staged (%s)", assay_lake_sql_columns(&arena)), NULL, err);
    assay_arena_release(&arena);
    if (st)
        return st;
    if (duckdb_appender_create(db->connection, NULL, "staged", &staging->appender) == DuckDBError) {
        st = appender_failed(staging, err);
        assay_lake_staging_close(staging);
        return st;
    }
    duckdb_logical_type types[ASSAY_N_COLUMNS];
    for (int i = 0; i < ASSAY_N_COLUMNS; i++)
        types[i] = duckdb_appender_column_type(staging->appender, (idx_t)i);
    staging->chunk = duckdb_create_data_chunk(types, ASSAY_N_COLUMNS);
    for (int i = 0; i < ASSAY_N_COLUMNS; i++)
        duckdb_destroy_logical_type(&types[i]);
    return ASSAY_OK;
}

static enum assay_status flush_chunk(struct assay_lake_staging *staging, struct assay_error *err)
{
    duckdb_data_chunk_set_size(staging->chunk, staging->n_in_chunk);
    if (staging->n_in_chunk && duckdb_append_data_chunk(staging->appender, staging->chunk) == DuckDBError)
        return appender_failed(staging, err);
    duckdb_data_chunk_reset(staging->chunk);
    staging->n_in_chunk = staging->chunk_bytes = 0;
    return ASSAY_OK;
}

enum assay_status assay_lake_staging_append(struct assay_lake_staging *staging, const struct assay_row *row,
                                            struct assay_error *err)
{
    for (int i = 0; i < ASSAY_N_COLUMNS; i++)
        staging->chunk_bytes += put_cell(duckdb_data_chunk_get_vector(staging->chunk, (idx_t)i), staging->n_in_chunk,
                                         &row->cells[i], assay_columns[i].kind);
    staging->n_in_chunk++;
    staging->n_rows++;
    return staging->n_in_chunk == duckdb_vector_size() || staging->chunk_bytes > CHUNK_BYTES ? flush_chunk(staging, err)
                                                                                             : ASSAY_OK;
}

enum assay_status assay_lake_staging_finish(struct assay_lake_staging *staging, struct assay_error *err)
{
    enum assay_status st = flush_chunk(staging, err);
    if (!st && duckdb_appender_close(staging->appender) == DuckDBError)
        st = appender_failed(staging, err);
    return st;
}

void assay_lake_staging_close(struct assay_lake_staging *staging)
{
    if (staging->chunk)
        duckdb_destroy_data_chunk(&staging->chunk);
    if (staging->appender)
        duckdb_appender_destroy(&staging->appender);
    *staging = (struct assay_lake_staging){0};
}

/* ---- committing */

char *assay_lake_folder(const char *lake_path, const char *host, int64_t time_us, struct assay_arena *arena)
{
    char date[ASSAY_UTC_TEXT_SIZE];
    assay_clock_utc_text(time_us, date);
    return assay_arena_printf(arena, "%s/v1/host=%s/date=%.10s", lake_path, assay_lake_path_part(host, arena), date);
}

/* Folders that were just made must be on the disk too, from the lake down to the one that the commit itself syncs. */
static void sync_parents(const char *lake_path, const char *folder, struct assay_arena *arena)
{
    size_t n = strlen(lake_path);
    for (char *parent = assay_path_folder(arena, folder);
         strlen(parent) >= n && strcmp(parent, ".") != 0 && strcmp(parent, "/") != 0; parent = assay_path_folder(arena, parent)) {
        int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return;
        fsync(fd);
        close(fd);
    }
}

/* One thread and small row groups: with several threads DuckDB, to keep the order, holds finished row groups in memory without
 * limit (3 GB for a million rows), and is no faster, since one thread writes in the end. */
enum assay_status assay_lake_copy(struct assay_lake_db *db, const char *select, const char *path, const char *metadata,
                                  int64_t *n_rows, struct assay_error *err)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    char *sql = assay_arena_printf(&arena,
                                   "SET threads = 1; COPY (%s\n) TO %s (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480, "
                                   "USE_TMP_FILE false%s)",
                                   select, assay_lake_sql_text(path, &arena), metadata);
    enum assay_status st = assay_lake_db_run(db, sql, n_rows, err);
    assay_lake_db_run(db, "RESET threads", NULL, NULL);
    assay_arena_release(&arena);
    return st;
}

enum assay_status assay_lake_commit_file(struct assay_lake_db *db, const struct assay_lake_commit *commit,
                                         struct assay_arena *arena, char **file, struct assay_error *err)
{
    struct assay_atomic_file f = {0};
    char hash[ASSAY_HASH_TEXT_SIZE];
    int64_t n_written = 0;
    enum assay_status st = assay_fs_make_folder(commit->folder, err);
    if (!st)
        st = assay_atomic_open_path(&f, assay_path_join(arena, commit->folder, commit->stem), err);
    if (st)
        return st;
    const char *metadata = "";
    if (commit->replaces)
        metadata = assay_arena_printf(arena, ", KV_METADATA {assay_replaces: %s}", assay_lake_sql_text(commit->replaces, arena));
    st = assay_lake_copy(db, commit->select, f.temporary_path, metadata, &n_written, err);
    if (!st && n_written != commit->n_rows)
        st = assay_error_set(err, ASSAY_IO, "%lld rows were written to %s instead of %lld: nothing was committed",
                             (long long)n_written, commit->folder, (long long)commit->n_rows);
    if (!st)
        st = assay_hash_file(f.temporary_path, hash, err);
    if (st)
        goto done;
    char *name = assay_arena_printf(arena, "%s.%.*s%s.parquet", commit->stem, ASSAY_LAKE_HASH_DIGITS, hash,
                                    commit->replaces ? ".merged" : "");
    assay_atomic_set_name(&f, name);
    st = assay_atomic_commit(&f, err);
    if (!st)
        sync_parents(commit->lake_path, commit->folder, arena);
    *file = assay_path_join(arena, commit->folder, name);
done:
    assay_atomic_abandon(&f);
    return st;
}

static enum assay_status check_rows(const struct assay_row *rows, size_t n_rows, struct assay_error *err)
{
    for (size_t i = 0; i < n_rows; i++) {
        enum assay_status st = assay_row_check(&rows[i], err);
        if (st)
            return assay_error_prefix(err, st, "row %zu of %zu", i + 1, n_rows);
    }
    return ASSAY_OK;
}

enum assay_status assay_lake_write(const char *path, const struct assay_row *rows, size_t n_rows, struct assay_arena *arena,
                                   char **file, struct assay_error *err)
{
    struct assay_lake_db db = {0};
    struct assay_lake_staging staging = {0};
    if (file)
        *file = NULL;
    enum assay_status st = check_rows(rows, n_rows, err);
    if (st || !n_rows)
        return st;
    st = assay_lake_db_open(&db, err);
    if (!st)
        st = assay_lake_staging_open(&staging, &db, err);
    const char *host = assay_row_text(&rows[0], ASSAY_ROW_host, NULL);
    for (size_t i = 0; i < n_rows && !st; i++) {
        const char *other = assay_row_text(&rows[i], ASSAY_ROW_host, NULL);
        if (strcmp(other ? other : "", host ? host : "") != 0)
            host = "several";
        st = assay_lake_staging_append(&staging, &rows[i], err);
    }
    if (!st)
        st = assay_lake_staging_finish(&staging, err);
    if (st)
        goto done;
    const char *run = assay_lake_path_part(assay_row_text(&rows[0], ASSAY_ROW_run_id, NULL), arena);
    struct assay_lake_commit commit = {
        .lake_path = path,
        .folder = assay_lake_folder(path, host, assay_row_int(&rows[0], ASSAY_ROW_time, 0), arena),
        .stem = assay_arena_printf(arena, "%s-%lld", run, (long long)assay_clock_utc_us()),
        .select = "SELECT * FROM staged",
        .n_rows = (int64_t)n_rows,
    };
    char *made;
    st = assay_lake_commit_file(&db, &commit, arena, &made, err);
    if (!st && file)
        *file = made;
done:
    assay_lake_staging_close(&staging);
    assay_lake_db_close(&db);
    return st;
}
