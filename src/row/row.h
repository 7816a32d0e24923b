/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The result row: all that is kept of one case. columns.h is the one list of its columns; from it come this struct, the Parquet
 * schema, JSON, CSV and docs/row-reference.md. A row is complete in itself: nothing else need be read to understand it.
 *
 * A cell that is not set is null: not measured. 0 is a number like others.
 * Ownership: a row owns its texts, lists and maps through its arena. Setters copy.
 */
#ifndef ASSAY_ROW_ROW_H
#define ASSAY_ROW_ROW_H

#include "base/arena.h"
#include "base/json.h"
#include "row/columns.h"

#include <stdbool.h>
#include <stdint.h>

enum { ASSAY_SCHEMA_VERSION = 1, ASSAY_ROW_MAP_LIMIT = 4096 }; /* the latter: entries of a map that comes from outside */
#define ASSAY_ROW_LAST_TIME_US INT64_C(253402300799999999)     /* the end of the year 9999 */

enum assay_column_kind {
    ASSAY_COLUMN_TEXT,
    ASSAY_COLUMN_INT,  /* int64 */
    ASSAY_COLUMN_REAL, /* double */
    ASSAY_COLUMN_BOOL,
    ASSAY_COLUMN_TIME,      /* microseconds UTC; text form in JSON and CSV */
    ASSAY_COLUMN_REALS,     /* list of double */
    ASSAY_COLUMN_INTS,      /* list of int64 */
    ASSAY_COLUMN_MAP_REAL,  /* text -> double */
    ASSAY_COLUMN_MAP_REALS, /* text -> list of double */
    ASSAY_COLUMN_MAP_TEXT,  /* text -> text */
};

enum assay_column {
#define X(name, kind, unit, doc) ASSAY_ROW_##name,
    ASSAY_COLUMNS(X)
#undef X
        ASSAY_N_COLUMNS
};

struct assay_column_info {
    const char *name; /* "latency_median_ns" */
    enum assay_column_kind kind;
    const char *unit; /* "ns", "" if it has none */
    const char *doc;  /* one sentence */
};
extern const struct assay_column_info assay_columns[ASSAY_N_COLUMNS];
/* ASSAY_N_COLUMNS if there is none. */
enum assay_column assay_column_find(const char *name);
/* The word for a kind in docs: "text", "integer", … and DuckDB's type: "VARCHAR", "BIGINT", "MAP(VARCHAR, DOUBLE)" … */
const char *assay_column_kind_word(enum assay_column_kind kind);
const char *assay_column_kind_sql(enum assay_column_kind kind);

struct assay_map_entry {
    const char *key;
    const char *text;    /* MAP_TEXT */
    double real;         /* MAP_REAL */
    const double *reals; /* MAP_REALS */
    size_t n;
};

struct assay_cell {
    bool set;
    size_t n; /* of a list or map */
    union {
        const char *text;
        int64_t i; /* INT, BOOL, TIME */
        double real;
        const double *reals;
        const int64_t *ints;
        struct assay_map_entry *map; /* in order of first setting */
    };
};

struct assay_row {
    struct assay_arena arena;
    struct assay_cell cells[ASSAY_N_COLUMNS];
};

void assay_row_init(struct assay_row *row);
void assay_row_release(struct assay_row *row);
void assay_row_clear(struct assay_row *row);

/* The kind must be the column's (asserted). A NULL text, a NaN or infinite number, and a list with one make the cell null (in a
 * map: leave the key out). Bytes that are not UTF-8 become U+FFFD. Setting a map key again replaces it. */
void assay_row_set_text(struct assay_row *row, enum assay_column column, const char *text);
void assay_row_set_int(struct assay_row *row, enum assay_column column, int64_t value); /* INT, BOOL, TIME */
void assay_row_set_real(struct assay_row *row, enum assay_column column, double value);
void assay_row_set_reals(struct assay_row *row, enum assay_column column, const double *values, size_t n);
void assay_row_set_ints(struct assay_row *row, enum assay_column column, const int64_t *values, size_t n);
void assay_row_map_real(struct assay_row *row, enum assay_column column, const char *key, double value);
void assay_row_map_reals(struct assay_row *row, enum assay_column column, const char *key, const double *values, size_t n);
void assay_row_map_text(struct assay_row *row, enum assay_column column, const char *key, const char *text);

/* The otherwise-value where the cell is null. */
const char *assay_row_text(const struct assay_row *row, enum assay_column column, const char *otherwise);
int64_t assay_row_int(const struct assay_row *row, enum assay_column column, int64_t otherwise);
double assay_row_real(const struct assay_row *row, enum assay_column column, double otherwise);
const struct assay_map_entry *assay_row_map_find(const struct assay_row *row, enum assay_column column, const char *key);

/* New reference; null cells as null where `with_nulls`, else left out. */
json_t *assay_row_to_json(const struct assay_row *row, bool with_nulls);
/* The row must be empty. Unknown members, wrong types and numbers out of range are ASSAY_INVALID with the member's name; members
 * of a newer schema version are ignored if `schema_version` says so. */
enum assay_status assay_row_from_json(struct assay_row *row, const json_t *object, struct assay_error *err);
/* What every row of the lake must have (identity, provenance, status; `source` if published; a reason if not ok; no timing if
 * mismatch or emulated): ASSAY_INVALID names what lacks. */
enum assay_status assay_row_check(const struct assay_row *row, struct assay_error *err);

#endif
