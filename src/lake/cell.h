/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One cell of a DuckDB result as JSON, as text, or in a result row. Times are UTC, "2026-11-22T15:04:05.123456Z"; whole numbers
 * that 64 bits do not hold are reals; NaN and infinity, which JSON lacks, are the texts "NaN", "Infinity" and "-Infinity", so
 * that they are not taken for null. A map's keys are texts.
 */
#ifndef ASSAY_LAKE_CELL_H
#define ASSAY_LAKE_CELL_H

#include "row/row.h"

#include <duckdb.h>

/* ASSAY_UNSUPPORTED for a type (or one inside it) that is not read; the sentence names the column and says to cast it. */
enum assay_status assay_cell_check_type(duckdb_logical_type type, const char *column, struct assay_error *err);
/* New reference. */
json_t *assay_cell_json(duckdb_vector vector, duckdb_logical_type type, idx_t row);
/* A JSON value as in a table or CSV: NULL for null, texts bare, reals with as many digits as they need, lists and maps as JSON.
 */
char *assay_cell_text(const json_t *value, struct assay_arena *arena);
/* Sets the row's cell where the type is just the column's; false, and nothing done, where it must go by way of JSON. */
bool assay_cell_to_row(duckdb_vector vector, duckdb_logical_type type, idx_t row, struct assay_row *to, enum assay_column column);

#endif
