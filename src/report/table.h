/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of results in memory, printed for a person (aligned), as JSON, CSV (RFC 4180) or Markdown.
 *
 * A cell has a text for people ("1.23 ms") and may have a JSON value beside it (1230000.0) for the machine formats; a cell
 * without either is absent: "—" for people, null in JSON, empty in CSV. Ownership: a table owns its texts and values.
 */
#ifndef ASSAY_REPORT_TABLE_H
#define ASSAY_REPORT_TABLE_H

#include "base/arena.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdio.h>

enum assay_format { ASSAY_FORMAT_TABLE, ASSAY_FORMAT_JSON, ASSAY_FORMAT_CSV, ASSAY_FORMAT_MARKDOWN };

struct assay_table_cell {
    const char *text; /* NULL = from value */
    json_t *value;    /* NULL = the text */
};

struct assay_table {
    struct assay_arena arena;
    const char **headers; /* for people */
    const char **names;   /* JSON members and CSV header */
    bool *right;          /* numbers are set flush right */
    int n_columns;
    struct assay_table_cell *cells; /* [n_rows, n_columns] */
    size_t n_rows, room;
};

void assay_table_init(struct assay_table *table);
void assay_table_release(struct assay_table *table);
/* Before the first row. */
void assay_table_column(struct assay_table *table, const char *header, const char *name, bool right);
/* Begins a row of absent cells. */
void assay_table_row(struct assay_table *table);
/* Sets a cell of the last row. text may be NULL; value is a new reference that the table takes over, or NULL. */
void assay_table_set(struct assay_table *table, int column, const char *text, json_t *value);
void assay_table_text(struct assay_table *table, int column, const char *text);
void assay_table_int(struct assay_table *table, int column, int64_t value);
/* A number shown with `digits` significant digits. */
void assay_table_real(struct assay_table *table, int column, double value, int digits);
/* Nanoseconds, shown as "1.23 ms". */
void assay_table_ns(struct assay_table *table, int column, double ns);

/* ASSAY_IO if `out` refuses. */
enum assay_status assay_table_print(const struct assay_table *table, enum assay_format format, FILE *out,
                                    struct assay_error *err);

/* "1.23 G" and the like: 3 significant digits with an SI prefix, a space before it. */
char *assay_text_si(struct assay_arena *arena, double value, const char *unit);
/* "1.5 MiB". */
char *assay_text_bytes(struct assay_arena *arena, double bytes);

#endif
