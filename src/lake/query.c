/* SPDX-License-Identifier: Apache-2.0 */
/* Running a statement and walking its rows: see lake.h. How a single cell is read is in cell.c. */
#include "lake/internal.h"

#include "lake/cell.h"

#include <stdlib.h>
#include <string.h>

struct column {
    const char *name;         /* borrowed from the result */
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
};

static enum assay_status take_columns(struct assay_query *query, struct assay_error *err)
{
    query->n_columns = (int)duckdb_column_count(&query->result);
    query->columns = assay_alloc((size_t)query->n_columns * sizeof *query->columns);
    for (int i = 0; i < query->n_columns; i++) {
        struct column *column = &query->columns[i];
        column->name = duckdb_column_name(&query->result, (idx_t)i);
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

enum assay_status assay_lake_query_stream(struct assay_lake_db *db, const char *sql, struct assay_query **query,
                                          struct assay_error *err)
{
    struct assay_query *q = assay_alloc(sizeof *q);
    duckdb_prepared_statement statement = NULL;
    duckdb_pending_result pending = NULL;
    enum assay_status st = ASSAY_OK;
    *query = NULL;
    if (duckdb_prepare(db->connection, sql, &statement) == DuckDBError)
        st = assay_lake_db_error(DUCKDB_ERROR_INVALID_INPUT, duckdb_prepare_error(statement), err);
    else if (duckdb_pending_prepared_streaming(statement, &pending) == DuckDBError)
        st = assay_lake_db_error(DUCKDB_ERROR_INVALID_INPUT, duckdb_pending_error(pending), err);
    else {
        q->has_result = true;
        if (duckdb_execute_pending(pending, &q->result) == DuckDBError)
            st = assay_lake_db_error(duckdb_result_error_type(&q->result), duckdb_result_error(&q->result), err);
    }
    duckdb_destroy_pending(&pending);
    duckdb_destroy_prepare(&statement);
    if (!st)
        st = take_columns(q, err);
    if (st)
        assay_query_close(q);
    else
        *query = q;
    return st;
}

enum assay_status assay_lake_query_failed(struct assay_query *query, struct assay_error *err)
{
    const char *message = duckdb_result_error(&query->result);
    if (!message || !message[0])
        return ASSAY_OK;
    return assay_lake_db_error(duckdb_result_error_type(&query->result), message, err);
}

void assay_query_close(struct assay_query *query)
{
    if (!query)
        return;
    if (query->chunk)
        duckdb_destroy_data_chunk(&query->chunk);
    for (int i = 0; i < query->n_columns; i++)
        duckdb_destroy_logical_type(&query->columns[i].type);
    free(query->columns);
    if (query->has_result)
        duckdb_destroy_result(&query->result);
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
