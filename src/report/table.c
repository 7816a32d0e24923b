/* SPDX-License-Identifier: Apache-2.0 */
/* See table.h. */
#include "report/table.h"

#include "base/clock.h"
#include "base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char absent[] = "\xe2\x80\x94"; /* an em dash */

void assay_table_init(struct assay_table *table)
{
    memset(table, 0, sizeof *table);
    assay_arena_init(&table->arena);
}

void assay_table_release(struct assay_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->n_rows * (size_t)table->n_columns; i++)
        json_decref(table->cells[i].value);
    assay_arena_release(&table->arena);
}

void assay_table_column(struct assay_table *table, const char *header, const char *name, bool right)
{
    size_t n = (size_t)table->n_columns++;
    ASSAY_ASSERT(table->n_rows == 0);
    table->headers = assay_arena_grow(&table->arena, table->headers, n, n + 1, sizeof *table->headers);
    table->names = assay_arena_grow(&table->arena, table->names, n, n + 1, sizeof *table->names);
    table->right = assay_arena_grow(&table->arena, table->right, n, n + 1, sizeof *table->right);
    table->headers[n] = assay_arena_strdup(&table->arena, header);
    table->names[n] = assay_arena_strdup(&table->arena, name);
    table->right[n] = right;
}

void assay_table_row(struct assay_table *table)
{
    size_t n = (size_t)table->n_columns;
    if (table->n_rows == table->room) {
        size_t room = table->room ? 2 * table->room : 16;
        table->cells = assay_arena_grow(&table->arena, table->cells, table->n_rows * n, room * n, sizeof *table->cells);
        table->room = room;
    }
    table->n_rows++;
}

static struct assay_table_cell *cell(const struct assay_table *table, size_t row, int column)
{
    return &table->cells[row * (size_t)table->n_columns + (size_t)column];
}

void assay_table_set(struct assay_table *table, int column, const char *text, json_t *value)
{
    ASSAY_ASSERT(table->n_rows > 0 && column >= 0 && column < table->n_columns);
    struct assay_table_cell *c = cell(table, table->n_rows - 1, column);
    json_decref(c->value);
    c->text = text ? assay_arena_strdup(&table->arena, text) : NULL;
    c->value = value;
}

void assay_table_text(struct assay_table *table, int column, const char *text) { assay_table_set(table, column, text, NULL); }

void assay_table_int(struct assay_table *table, int column, int64_t value)
{
    assay_table_set(table, column, assay_arena_printf(&table->arena, "%lld", (long long)value), json_integer(value));
}

void assay_table_real(struct assay_table *table, int column, double value, int digits)
{
    if (isfinite(value))
        assay_table_set(table, column, assay_arena_printf(&table->arena, "%.*g", digits, value), json_real(value));
}

void assay_table_ns(struct assay_table *table, int column, double ns)
{
    char text[32];
    if (!isfinite(ns))
        return;
    assay_clock_duration_text(ns, text, sizeof text);
    assay_table_set(table, column, text, json_real(ns));
}

/* ---- printing */

static char *value_text(const json_t *value)
{
    if (json_is_string(value))
        return assay_strdup(json_string_value(value));
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
}

/* What people read; newlines would break the table. From malloc. */
static char *shown(const struct assay_table_cell *c, const char *otherwise)
{
    char *text = c->text                               ? assay_strdup(c->text)
                 : c->value && !json_is_null(c->value) ? value_text(c->value)
                                                       : assay_strdup(otherwise);
    for (char *p = text; *p; p++)
        if (*p == '\n' || *p == '\r' || *p == '\t')
            *p = ' ';
    return text;
}

static void pad(FILE *out, const char *text, int width, bool right, bool last)
{
    int spaces = width - assay_text_width(text);
    if (right)
        fprintf(out, "%*s%s", spaces > 0 ? spaces : 0, "", text);
    else
        fprintf(out, "%s%*s", text, spaces > 0 && !last ? spaces : 0, "");
}

static void print_aligned(const struct assay_table *t, FILE *out)
{
    int *widths = assay_alloc((size_t)t->n_columns * sizeof *widths);
    for (int c = 0; c < t->n_columns; c++) {
        widths[c] = assay_text_width(t->headers[c]);
        for (size_t r = 0; r < t->n_rows; r++) {
            char *text = shown(cell(t, r, c), absent);
            int width = assay_text_width(text);
            widths[c] = width > widths[c] ? width : widths[c];
            free(text);
        }
    }
    for (int c = 0; c < t->n_columns; c++) {
        pad(out, t->headers[c], widths[c], t->right[c], c == t->n_columns - 1);
        fputs(c < t->n_columns - 1 ? "  " : "\n", out);
    }
    for (int c = 0; c < t->n_columns; c++) {
        for (int i = 0; i < widths[c]; i++)
            fputs("\xe2\x94\x80", out);
        fputs(c < t->n_columns - 1 ? "  " : "\n", out);
    }
    for (size_t r = 0; r < t->n_rows; r++)
        for (int c = 0; c < t->n_columns; c++) {
            char *text = shown(cell(t, r, c), absent);
            pad(out, text, widths[c], t->right[c], c == t->n_columns - 1);
            fputs(c < t->n_columns - 1 ? "  " : "\n", out);
            free(text);
        }
    free(widths);
}

static void print_json(const struct assay_table *t, FILE *out)
{
    json_t *array = json_array();
    for (size_t r = 0; r < t->n_rows; r++) {
        json_t *object = json_object();
        for (int c = 0; c < t->n_columns; c++) {
            const struct assay_table_cell *one = cell(t, r, c);
            json_object_set_new(object, t->names[c],
                                one->value  ? json_incref(one->value)
                                : one->text ? json_string(one->text)
                                            : json_null());
        }
        json_array_append_new(array, object);
    }
    json_dumpf(array, out, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
    fputc('\n', out);
    json_decref(array);
}

/* RFC 4180: quoted where it holds a comma, a quote or a line break. */
static void print_field(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void print_csv(const struct assay_table *t, FILE *out)
{
    for (int c = 0; c < t->n_columns; c++) {
        print_field(out, t->names[c]);
        fputs(c < t->n_columns - 1 ? "," : "\r\n", out);
    }
    for (size_t r = 0; r < t->n_rows; r++)
        for (int c = 0; c < t->n_columns; c++) {
            const struct assay_table_cell *one = cell(t, r, c);
            char *text =
                one->value && !json_is_null(one->value) ? value_text(one->value) : assay_strdup(one->text ? one->text : "");
            print_field(out, text);
            fputs(c < t->n_columns - 1 ? "," : "\r\n", out);
            free(text);
        }
}

static void print_markdown(const struct assay_table *t, FILE *out)
{
    for (int c = 0; c < t->n_columns; c++)
        fprintf(out, "| %s ", t->headers[c]);
    fputs("|\n", out);
    for (int c = 0; c < t->n_columns; c++)
        fputs(t->right[c] ? "| ---: " : "| --- ", out);
    fputs("|\n", out);
    for (size_t r = 0; r < t->n_rows; r++) {
        for (int c = 0; c < t->n_columns; c++) {
            char *text = shown(cell(t, r, c), absent);
            fputs("| ", out);
            for (const char *p = text; *p; p++) {
                if (*p == '|')
                    fputc('\\', out);
                fputc(*p, out);
            }
            fputc(' ', out);
            free(text);
        }
        fputs("|\n", out);
    }
}

enum assay_status assay_table_print(const struct assay_table *table, enum assay_format format, FILE *out, struct assay_error *err)
{
    static void (*const printers[])(const struct assay_table *, FILE *) = {print_aligned, print_json, print_csv, print_markdown};
    printers[format](table, out);
    if (fflush(out) != 0 || ferror(out))
        return assay_error_set(err, ASSAY_IO, "results could not be written: the output is full or closed");
    return ASSAY_OK;
}

char *assay_text_si(struct assay_arena *arena, double value, const char *unit)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    size_t i = 0;
    while (fabs(value) >= 999.5 && i + 1 < ASSAY_COUNT(prefixes)) {
        value /= 1000;
        i++;
    }
    int digits = fabs(value) >= 99.95 || value == floor(value) ? 0 : fabs(value) >= 9.995 ? 1 : 2;
    const char *space = *unit || i ? " " : "";
    return assay_arena_printf(arena, "%.*f%s%s%s", digits, value, space, prefixes[i], unit);
}

char *assay_text_bytes(struct assay_arena *arena, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;
    while (fabs(bytes) >= 1023.5 && i + 1 < ASSAY_COUNT(units)) {
        bytes /= 1024;
        i++;
    }
    int digits = i == 0 || fabs(bytes) >= 99.95 ? 0 : 1;
    return assay_arena_printf(arena, "%.*f %s", digits, bytes, units[i]);
}
