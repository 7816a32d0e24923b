/* SPDX-License-Identifier: Apache-2.0 */
/* Running a statement and walking its rows: see lake.h. How a single cell is read is in cell.c. */
#include "lake/internal.h"

#include "lake/cell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct column {
    char *name;               /* owned */
    duckdb_logical_type type; /* owned */
    enum assay_column in_row; /* ASSAY_N_COLUMNS if the row has none of this name */
};

struct assay_query {
    duckdb_result result;
    bool has_result;
    duckdb_data_chunk chunk; /* NULL at the start and at the end */
    idx_t row, n_rows;       /* in the chunk; row is one ahead of the current one */
    struct column *columns;
    int n_columns;
    /* of a paged query; db NULL otherwise */
    struct assay_lake_db *db;
    char *table;
    int64_t next_rowid, n_total;
    struct assay_error failure; /* status ASSAY_OK while all goes well */
};

enum { PAGE_ROWS = 2048 };

static enum assay_status take_columns(struct assay_query *query, struct assay_error *err)
{
    query->n_columns = (int)duckdb_column_count(&query->result);
    query->columns = assay_alloc((size_t)query->n_columns * sizeof *query->columns);
    for (int i = 0; i < query->n_columns; i++) {
        struct column *column = &query->columns[i];
        column->name = assay_strdup(duckdb_column_name(&query->result, (idx_t)i));
        column->type = duckdb_column_logical_type(&query->result, (idx_t)i);
        column->in_row = assay_column_find(column->name);
    }
    for (int i = 0; i < query->n_columns; i++) {
        enum assay_status st = assay_cell_check_type(query->columns[i].type, query->columns[i].name, err);
        if (st)
            return st;
    }
    return ASSAY_OK;
}

enum assay_status assay_lake_query_all(struct assay_lake_db *db, const char *sql, struct assay_query **query,
                                       duckdb_error_type *type, struct assay_error *err)
{
    struct assay_query *q = assay_alloc(sizeof *q);
    enum assay_status st = ASSAY_OK;
    q->has_result = true;
    *query = NULL;
    if (duckdb_query(db->connection, sql, &q->result) == DuckDBError) {
        duckdb_error_type found = duckdb_result_error_type(&q->result);
        if (type)
            *type = found;
        st = assay_lake_db_error(found, duckdb_result_error(&q->result), err);
    }
    if (!st)
        st = take_columns(q, err);
    if (st)
        assay_query_close(q);
    else
        *query = q;
    return st;
}

/* Puts the next page into q->result; its columns are those of the first. */
static enum assay_status read_page(struct assay_query *q, struct assay_error *err)
{
    char sql[160];
    snprintf(sql, sizeof sql, "SELECT * FROM %s WHERE rowid >= %lld AND rowid < %lld", q->table, (long long)q->next_rowid,
             (long long)q->next_rowid + PAGE_ROWS);
    q->next_rowid += PAGE_ROWS;
    if (q->has_result)
        duckdb_destroy_result(&q->result);
    q->has_result = true;
    if (duckdb_query(q->db->connection, sql, &q->result) == DuckDBError)
        return assay_lake_db_error(duckdb_result_error_type(&q->result), duckdb_result_error(&q->result), err);
    return ASSAY_OK;
}

enum assay_status assay_lake_query_paged(struct assay_lake_db *db, const char *sql, struct assay_query **query,
                                         struct assay_error *err)
{
    struct assay_query *q = assay_alloc(sizeof *q);
    struct assay_arena arena;
    *query = NULL;
    assay_arena_init(&arena);
    enum assay_status st =
        assay_lake_db_run(db, assay_arena_printf(&arena, "CREATE TEMP TABLE paged_%p AS %s", (void *)q, sql), NULL, err);
    if (!st) {
        q->db = db;
        q->table = assay_strdup(assay_arena_printf(&arena, "temp.paged_%p", (void *)q));
        st = assay_lake_db_int(db, assay_arena_printf(&arena, "SELECT count(*) FROM %s", q->table), &q->n_total, err);
    }
    if (!st)
        st = read_page(q, err);
    if (!st)
        st = take_columns(q, err);
    if (st)
        assay_query_close(q);
    else
        *query = q;
    assay_arena_release(&arena);
    return st;
}

enum assay_status assay_lake_query_failed(const struct assay_query *query, struct assay_error *err)
{
    return query->failure.status ? assay_error_set(err, query->failure.status, "%s", query->failure.message) : ASSAY_OK;
}

void assay_query_close(struct assay_query *query)
{
    if (!query)
        return;
    if (query->chunk)
        duckdb_destroy_data_chunk(&query->chunk);
    for (int i = 0; i < query->n_columns; i++) {
        duckdb_destroy_logical_type(&query->columns[i].type);
        free(query->columns[i].name);
    }
    free(query->columns);
    if (query->has_result)
        duckdb_destroy_result(&query->result);
    if (query->table) {
        char sql[80];
        snprintf(sql, sizeof sql, "DROP TABLE %s", query->table);
        assay_lake_db_run(query->db, sql, NULL, NULL);
        free(query->table);
    }
    free(query);
}

int assay_query_n_columns(const struct assay_query *query) { return query->n_columns; }

const char *assay_query_column_name(const struct assay_query *query, int column)
{
    ASSAY_ASSERT(column >= 0 && column < query->n_columns);
    return query->columns[column].name;
}

bool assay_query_next(struct assay_query *query)
{
    while (query->row == query->n_rows) {
        if (query->chunk)
            duckdb_destroy_data_chunk(&query->chunk);
        query->row = query->n_rows = 0;
        query->chunk = duckdb_fetch_chunk(query->result);
        if (!query->chunk && query->next_rowid < query->n_total && !query->failure.status &&
            read_page(query, &query->failure) == ASSAY_OK)
            query->chunk = duckdb_fetch_chunk(query->result);
        if (!query->chunk)
            return false;
        query->n_rows = duckdb_data_chunk_get_size(query->chunk);
    }
    query->row++;
    return true;
}

static duckdb_vector vector_of(struct assay_query *query, int column)
{
    ASSAY_ASSERT(column >= 0 && column < query->n_columns && query->chunk && query->row);
    return duckdb_data_chunk_get_vector(query->chunk, (idx_t)column);
}

json_t *assay_query_json(struct assay_query *query, int column)
{
    return assay_cell_json(vector_of(query, column), query->columns[column].type, query->row - 1);
}

char *assay_query_text(struct assay_query *query, int column, struct assay_arena *arena)
{
    json_t *value = assay_query_json(query, column);
    char *text = assay_cell_text(value, arena);
    json_decref(value);
    return text;
}

enum assay_status assay_query_row(struct assay_query *query, struct assay_row *row, struct assay_error *err)
{
    assay_row_clear(row);
    json_t *rest = json_object();
    for (int i = 0; i < query->n_columns; i++) {
        const struct column *column = &query->columns[i];
        if (column->in_row == ASSAY_N_COLUMNS)
            continue;
        duckdb_vector vector = vector_of(query, i);
        if (!assay_cell_to_row(vector, column->type, query->row - 1, row, column->in_row))
            json_object_set_new(rest, column->name, assay_cell_json(vector, column->type, query->row - 1));
    }
    enum assay_status st = assay_row_from_json(row, rest, err);
    json_decref(rest);
    return st;
}
