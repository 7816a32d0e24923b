/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows from a file of JSON lines, CSV or Parquet into the lake, all or none: see lake.h. Rows are checked one by one and gathered
 * in the in-memory database, which spills what does not fit; those that the lake lacks are then committed as one file.
 */
#include "lake/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_LINE = 64 << 20 };

struct import {
    const char *path, *file;
    struct assay_lake *lake;
    struct assay_lake_staging staging;
    struct assay_row row;
    struct assay_arena arena;
    char *host, *run; /* of the first row; "several" hosts where they differ */
    int64_t time_us;
};

/* Takes import->row. */
static enum assay_status take_row(struct import *import, struct assay_error *err)
{
    struct assay_row *row = &import->row;
    if (row->cells[ASSAY_ROW_schema_version].set)
        assay_row_set_int(row, ASSAY_ROW_schema_version, ASSAY_SCHEMA_VERSION);
    enum assay_status st = assay_row_check(row, err);
    if (st)
        return st;
    const char *host = assay_lake_path_part(assay_row_text(row, ASSAY_ROW_host, NULL), &row->arena);
    if (!import->host) {
        import->host = assay_arena_strdup(&import->arena, host);
        import->run = assay_lake_path_part(assay_row_text(row, ASSAY_ROW_run_id, NULL), &import->arena);
        import->time_us = assay_row_int(row, ASSAY_ROW_time, 0);
    } else if (strcmp(import->host, host) != 0) {
        import->host = "several";
    }
    return assay_lake_staging_append(&import->staging, row, err);
}

static enum assay_status take_object(struct import *import, const json_t *object, struct assay_error *err)
{
    assay_row_clear(&import->row);
    enum assay_status st = assay_row_from_json(&import->row, object, err);
    return st ? st : take_row(import, err);
}

/* ---- JSON lines */

/* One line without its end into *line (grown as needed); false at the end of the file. */
static bool read_line(FILE *in, char **line, size_t *room, size_t *n, bool *too_long)
{
    int c;
    *n = 0;
    *too_long = false;
    while ((c = getc_unlocked(in)) != EOF && c != '\n') {
        if (*n == LARGEST_LINE) {
            *too_long = true;
            return true;
        }
        if (*n == *room) {
            *room = *room ? 2 * *room : 4096;
            *line = assay_realloc(*line, *room);
        }
        (*line)[(*n)++] = (char)c;
    }
    return c != EOF || *n;
}

static enum assay_status import_jsonl(struct import *import, FILE *in, struct assay_error *err)
{
    char *line = NULL;
    size_t room = 0, n;
    bool too_long;
    enum assay_status st = ASSAY_OK;
    for (int64_t number = 1; !st && read_line(in, &line, &room, &n, &too_long); number++) {
        if (too_long) {
            st = assay_error_set(err, ASSAY_INVALID, "%s line %lld is longer than 64 MiB", import->file, (long long)number);
            break;
        }
        size_t blank = 0;
        while (blank < n && strchr(" \t\r", line[blank]) && line[blank])
            blank++;
        if (blank == n)
            continue;
        json_error_t where;
        json_t *object = json_loadb(line, n, JSON_REJECT_DUPLICATES, &where);
        if (object)
            st = take_object(import, object, err);
        else
            st = assay_error_set(err, ASSAY_INVALID, "not JSON at column %d: %s", where.column, where.text);
        json_decref(object);
        if (st)
            assay_error_prefix(err, st, "%s line %lld", import->file, (long long)number);
    }
    if (!st && ferror(in))
        st = assay_error_set(err, ASSAY_IO, "cannot read %s", import->file);
    free(line);
    return st;
}

/* ---- CSV */

/* A field as the JSON that its column wants; NULL if it does not fit. A number is written as in JSON. */
static json_t *field_json(const char *text, bool quoted, enum assay_column column)
{
    bool is_text = column == ASSAY_N_COLUMNS || assay_columns[column].kind == ASSAY_COLUMN_TEXT;
    if (!text[0] && (!quoted || !is_text))
        return json_null();
    if (is_text || assay_columns[column].kind == ASSAY_COLUMN_TIME)
        return json_string(text);
    return json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
}

static enum assay_status csv_record(struct import *import, const struct assay_csv *csv, const struct assay_csv *header,
                                    struct assay_error *err)
{
    if (csv->n_fields != header->n_fields)
        return assay_error_set(err, ASSAY_INVALID, "it has %zu fields, the header has %zu", csv->n_fields, header->n_fields);
    json_t *object = json_object();
    enum assay_status st = ASSAY_OK;
    for (size_t i = 0; i < csv->n_fields && !st; i++) {
        const char *name = header->text + header->fields[i].start;
        json_t *value = field_json(csv->text + csv->fields[i].start, csv->fields[i].quoted, assay_column_find(name));
        if (!value || json_object_set_new(object, name, value) != 0)
            st = assay_error_set(err, ASSAY_INVALID, "the field of column \"%.60s\" cannot be read", name);
    }
    if (!st)
        st = take_object(import, object, err);
    json_decref(object);
    return st;
}

static enum assay_status import_csv(struct import *import, FILE *in, struct assay_error *err)
{
    struct assay_csv header, csv;
    bool end;
    assay_csv_init(&header, in);
    enum assay_status st = assay_csv_read(&header, &end, err);
    csv = (struct assay_csv){.file = in, .next_line = header.next_line};
    if (!st && end)
        st = assay_error_set(err, ASSAY_INVALID, "it is empty: the first line must name the columns");
    if (st)
        assay_error_prefix(err, st, "%s", import->file);
    while (!st) {
        st = assay_csv_read(&csv, &end, err);
        if (st)
            assay_error_prefix(err, st, "%s", import->file);
        if (st || end)
            break;
        if (csv.n_fields == 1 && csv.fields[0].length == 0 && !csv.fields[0].quoted)
            continue;
        st = csv_record(import, &csv, &header, err);
        if (st)
            assay_error_prefix(err, st, "%s line %lld", import->file, (long long)csv.line);
    }
    assay_csv_release(&header);
    assay_csv_release(&csv);
    return st;
}

/* ---- Parquet */

/* A column that no row has is an error, unless the file says that it is of a newer schema. */
static enum assay_status check_columns(struct assay_lake_db *db, struct assay_query *query, const char *from,
                                       struct assay_arena *arena, struct assay_error *err)
{
    const char *unknown = NULL;
    bool has_version = false;
    for (int i = 0; i < assay_query_n_columns(query); i++) {
        const char *name = assay_query_column_name(query, i);
        has_version |= strcmp(name, "schema_version") == 0;
        if (assay_column_find(name) == ASSAY_N_COLUMNS)
            unknown = name;
    }
    int64_t version = 0;
    if (!unknown)
        return ASSAY_OK;
    enum assay_status st = ASSAY_OK;
    if (has_version)
        st = assay_lake_db_int(db, assay_arena_printf(arena, "SELECT max(try_cast(schema_version AS BIGINT)) FROM %s", from),
                               &version, err);
    if (!st && version <= ASSAY_SCHEMA_VERSION)
        st = assay_error_set(err, ASSAY_INVALID, "\"%.60s\" is no column of a row (docs/row-reference.md lists them)", unknown);
    return st;
}

static enum assay_status import_parquet(struct import *import, struct assay_error *err)
{
    struct assay_lake_db *db = &import->lake->db;
    struct assay_query *query = NULL;
    struct assay_arena *arena = &import->arena;
    int64_t number = 0;
    char *from =
        assay_arena_printf(arena, "read_parquet(%s, hive_partitioning = false)", assay_lake_sql_paths(&import->file, 1, arena));
    enum assay_status st = assay_lake_query_paged(db, assay_arena_printf(arena, "SELECT * FROM %s", from), &query, err);
    if (!st)
        st = check_columns(db, query, from, arena, err);
    while (!st && assay_query_next(query)) {
        number++;
        st = assay_query_row(query, &import->row, err);
        if (!st)
            st = take_row(import, err);
        if (st)
            assay_error_prefix(err, st, "row %lld", (long long)number);
    }
    if (!st)
        st = assay_lake_query_failed(query, err);
    if (st)
        assay_error_prefix(err, st, "%s", import->file);
    assay_query_close(query);
    return st;
}

/* ---- all of it */

static enum assay_status read_file(struct import *import, enum assay_lake_format format, struct assay_error *err)
{
    if (format == ASSAY_LAKE_PARQUET)
        return assay_fs_exists(import->file) ? import_parquet(import, err)
                                             : assay_error_set(err, ASSAY_ABSENT, "there is no file %s", import->file);
    FILE *in = fopen(import->file, "rbe");
    if (!in)
        return assay_fs_error(err, errno, "cannot open %s", import->file);
    enum assay_status st = format == ASSAY_LAKE_CSV ? import_csv(import, in, err) : import_jsonl(import, in, err);
    fclose(in);
    return st;
}

/* Commits the staged rows that the lake lacks, each result once. */
static enum assay_status commit_new(struct import *import, int64_t *n_rows, struct assay_error *err)
{
    static const char select[] = "SELECT staged.* FROM staged ANTI JOIN results USING (result_id) QUALIFY row_number() OVER "
                                 "(PARTITION BY staged.result_id ORDER BY staged.rowid) = 1";
    int64_t n_new;
    enum assay_status st =
        assay_lake_db_int(&import->lake->db,
                          "SELECT count(DISTINCT staged.result_id) FROM staged ANTI JOIN results USING (result_id)", &n_new, err);
    if (st || !n_new)
        return st;
    struct assay_lake_commit commit = {
        .lake_path = import->path,
        .folder = assay_lake_folder(import->path, import->host, import->time_us, &import->arena),
        .stem = assay_arena_printf(&import->arena, "%s-%lld", import->run, (long long)assay_clock_utc_us()),
        .select = select,
        .n_rows = n_new,
    };
    char *file;
    st = assay_lake_commit_file(&import->lake->db, &commit, &import->arena, &file, err);
    if (!st)
        *n_rows = n_new;
    return st;
}

enum assay_status assay_lake_import(const char *path, const char *file, int64_t *n_rows, int64_t *n_skipped,
                                    struct assay_error *err)
{
    struct import import = {.path = path, .file = file};
    enum assay_lake_format format;
    int lock = -1;
    *n_rows = *n_skipped = 0;
    enum assay_status st = assay_lake_format_of(file, &format, err);
    if (!st)
        st = assay_lake_lock(path, &lock, err);
    if (st)
        return st;
    assay_row_init(&import.row);
    assay_arena_init(&import.arena);
    st = assay_lake_open(&import.lake, path, false, NULL, NULL, err);
    if (!st)
        st = assay_lake_staging_open(&import.staging, &import.lake->db, err);
    if (!st)
        st = read_file(&import, format, err);
    if (!st)
        st = assay_lake_staging_finish(&import.staging, err);
    if (!st)
        st = commit_new(&import, n_rows, err);
    if (!st)
        *n_skipped = import.staging.n_rows - *n_rows;
    assay_lake_staging_close(&import.staging);
    assay_lake_close(import.lake);
    assay_row_release(&import.row);
    assay_arena_release(&import.arena);
    assay_lake_unlock(lock);
    return st;
}
