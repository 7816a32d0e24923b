/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of results, printed for a person (aligned), as JSON (an array with a line for each row), CSV (RFC 4180, but lines end
 * in LF alone) or Markdown.
 *
 * A cell has a text for people ("1.23 ms") and may have a JSON value beside it (1230000.0) for the machine formats; a cell
 * without either is absent: "—" for people, null in JSON, empty in CSV. Control characters, which could steer a terminal, are
 * shown as spaces. Ownership: a table owns its texts and values.
 */
#ifndef ASSAY_REPORT_TABLE_H
#define ASSAY_REPORT_TABLE_H

#include "base/arena.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdio.h>

enum assay_format { ASSAY_FORMAT_TABLE, ASSAY_FORMAT_JSON, ASSAY_FORMAT_CSV, ASSAY_FORMAT_MARKDOWN };

struct assay_table_heading {
    const char *header, *name; /* for people; JSON member and CSV header */
    bool right;
};

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
    bool upright; /* for people: a line for each cell instead of each row, for tables of one row */
    bool wraps;   /* for people: long texts of the last column go on below it */
    /* of a table that is streamed; stream is NULL otherwise */
    FILE *stream;
    enum assay_format stream_format;
    struct assay_arena row_arena;
    size_t n_printed;
};

void assay_table_init(struct assay_table *table);
void assay_table_release(struct assay_table *table);
/* Before the first row. */
void assay_table_column(struct assay_table *table, const char *header, const char *name, bool right);
/* The n columns of a constant list. */
void assay_table_columns(struct assay_table *table, const struct assay_table_heading *headings, size_t n);
/* For results of any length: each row is printed when the next begins, and not kept; assay_table_print, to the same file and in
 * the same format, then prints what is left. After the columns, before the first row. A table for people is kept whole
 * nevertheless, since its widths need all rows. */
void assay_table_stream(struct assay_table *table, enum assay_format format, FILE *out);
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
enum assay_status assay_table_print(struct assay_table *table, enum assay_format format, FILE *out, struct assay_error *err);
/* All rows as an array of objects; new reference. */
json_t *assay_table_to_json(const struct assay_table *table);
/* JSON on one line, numbers with as many digits as tell them apart from all others. */
void assay_json_print(const json_t *value, FILE *out);

/* "1.23 G" and the like: 3 significant digits with an SI prefix, a space before it. */
char *assay_text_si(struct assay_arena *arena, double value, const char *unit);
/* "1.5 MiB". */
char *assay_text_bytes(struct assay_arena *arena, double bytes);

#endif
