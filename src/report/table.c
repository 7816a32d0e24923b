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
    assay_arena_init(&table->row_arena);
}

static void drop_values(struct assay_table *table)
{
    for (size_t i = 0; i < table->n_rows * (size_t)table->n_columns; i++)
        json_decref(table->cells[i].value);
}

void assay_table_release(struct assay_table *table)
{
    if (!table)
        return;
    drop_values(table);
    assay_arena_release(&table->arena);
    assay_arena_release(&table->row_arena);
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

void assay_table_columns(struct assay_table *table, const struct assay_table_heading *headings, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assay_table_column(table, headings[i].header, headings[i].name, headings[i].right);
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
    c->text = text ? assay_arena_strdup(table->stream ? &table->row_arena : &table->arena, text) : NULL;
    c->value = value;
}

void assay_table_text(struct assay_table *table, int column, const char *text) { assay_table_set(table, column, text, NULL); }

void assay_table_int(struct assay_table *table, int column, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    assay_table_set(table, column, text, json_integer(value));
}

void assay_table_real(struct assay_table *table, int column, double value, int digits)
{
    char text[48];
    if (!isfinite(value))
        return;
    snprintf(text, sizeof text, "%.*g", digits, value);
    assay_table_set(table, column, text, json_real(value));
}

void assay_table_ns(struct assay_table *table, int column, double ns)
{
    char text[32];
    if (!isfinite(ns))
        return;
    assay_clock_duration_text(ns, text, sizeof text);
    assay_table_set(table, column, text, json_real(ns));
}

/* ---- JSON */

/* The shortest of 15 to 17 digits that reads back as the same number, and as a real one. */
static void print_real(double value, FILE *out)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    fprintf(out, strpbrk(text, ".e") ? "%s" : "%s.0", text);
}

static void print_string(const char *text, size_t n, FILE *out)
{
    json_t *string = json_stringn(text, n);
    json_dumpf(string, out, JSON_ENCODE_ANY);
    json_decref(string);
}

void assay_json_print(const json_t *value, FILE *out)
{
    if (json_is_real(value)) {
        print_real(json_real_value(value), out);
    } else if (json_is_array(value)) {
        fputc('[', out);
        for (size_t i = 0; i < json_array_size(value); i++) {
            fputs(i ? "," : "", out);
            assay_json_print(json_array_get(value, i), out);
        }
        fputc(']', out);
    } else if (json_is_object(value)) {
        bool first = true;
        fputc('{', out);
        for (void *i = json_object_iter((json_t *)value); i; i = json_object_iter_next((json_t *)value, i)) {
            fputs(first ? "" : ",", out);
            print_string(json_object_iter_key(i), strlen(json_object_iter_key(i)), out);
            fputc(':', out);
            assay_json_print(json_object_iter_value(i), out);
            first = false;
        }
        fputc('}', out);
    } else {
        json_dumpf(value, out, JSON_ENCODE_ANY);
    }
}

static json_t *row_to_json(const struct assay_table *t, size_t row)
{
    json_t *object = json_object();
    for (int c = 0; c < t->n_columns; c++) {
        const struct assay_table_cell *one = cell(t, row, c);
        json_object_set_new(object, t->names[c],
                            one->value  ? json_incref(one->value)
                            : one->text ? json_string(one->text)
                                        : json_null());
    }
    return object;
}

json_t *assay_table_to_json(const struct assay_table *table)
{
    json_t *array = json_array();
    for (size_t r = 0; r < table->n_rows; r++)
        json_array_append_new(array, row_to_json(table, r));
    return array;
}

/* ---- texts of cells */

/* A value as text: strings bare, all else as JSON. From malloc. */
static char *value_text(const json_t *value)
{
    if (json_is_string(value))
        return assay_strdup(json_string_value(value));
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    ASSAY_ASSERT(memory);
    assay_json_print(value, memory);
    fclose(memory);
    return text;
}

/* Control characters of ASCII and of C1 (two bytes in UTF-8) become spaces. */
static void make_harmless(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++) {
        if (*p == 0xC2 && p[1] >= 0x80 && p[1] < 0xA0)
            p[0] = p[1] = ' ';
        else if (*p < 0x20 || *p == 0x7F)
            *p = ' ';
    }
}

/* What people read. From malloc. */
static char *shown(const struct assay_table_cell *c, const char *otherwise)
{
    char *text = c->text                               ? assay_strdup(c->text)
                 : c->value && !json_is_null(c->value) ? value_text(c->value)
                                                       : assay_strdup(otherwise);
    make_harmless(text);
    return text;
}

/* ---- aligned, for people */

static void pad(FILE *out, const char *text, int width, bool right, bool last)
{
    int spaces = width - assay_text_width(text);
    if (right)
        fprintf(out, "%*s%s", spaces > 0 ? spaces : 0, "", text);
    else
        fprintf(out, "%s%*s", text, spaces > 0 && !last ? spaces : 0, "");
}

enum { WRAP_WIDTH = 100 };

/* How many bytes of a text go on one line: as many words as fit, at least one; *width is what they take. */
static int line_length(const char *text, int *width)
{
    int length = 0;
    *width = 0;
    for (int end, to_end; text[length]; length = end, *width = to_end) {
        end = length + (text[length] == ' ');
        end += (int)strcspn(text + end, " ");
        to_end = *width;
        for (int i = length; i < end; i++)
            to_end += ((unsigned char)text[i] & 0xC0) != 0x80;
        if (length && to_end > WRAP_WIDTH)
            break;
    }
    return length;
}

static int wrapped_width(const char *text)
{
    int widest = 0, width;
    while (*text) {
        text += line_length(text, &width);
        text += *text == ' ';
        widest = width > widest ? width : widest;
    }
    return widest;
}

static void print_wrapped(FILE *out, const char *text, int indent)
{
    int width, length = line_length(text, &width);
    fprintf(out, "%.*s", length, text);
    for (text += length; *text == ' ' && text[1]; text += length) {
        length = line_length(++text, &width);
        fprintf(out, "\n%*s%.*s", indent, "", length, text);
    }
}

static void print_aligned(const struct assay_table *t, FILE *out)
{
    int *widths = assay_alloc((size_t)t->n_columns * sizeof *widths);
    char **texts = assay_alloc(t->n_rows * (size_t)t->n_columns * sizeof *texts);
    int indent = 0;
    for (int c = 0; c < t->n_columns; c++)
        widths[c] = assay_text_width(t->headers[c]);
    for (size_t i = 0; i < t->n_rows * (size_t)t->n_columns; i++) {
        size_t c = i % (size_t)t->n_columns;
        texts[i] = shown(&t->cells[i], absent);
        bool wraps = t->wraps && c + 1 == (size_t)t->n_columns;
        int width = wraps ? wrapped_width(texts[i]) : assay_text_width(texts[i]);
        widths[c] = width > widths[c] ? width : widths[c];
    }
    for (int c = 0; c < t->n_columns; c++) {
        pad(out, t->headers[c], widths[c], t->right[c], c == t->n_columns - 1);
        fputs(c < t->n_columns - 1 ? "  " : "\n", out);
    }
    for (int c = 0; c + 1 < t->n_columns; c++)
        indent += widths[c] + 2;
    for (int c = 0; c < t->n_columns; c++) {
        for (int i = 0; i < widths[c]; i++)
            fputs("\xe2\x94\x80", out);
        fputs(c < t->n_columns - 1 ? "  " : "\n", out);
    }
    for (size_t i = 0; i < t->n_rows * (size_t)t->n_columns; i++) {
        int c = (int)(i % (size_t)t->n_columns);
        if (t->wraps && c == t->n_columns - 1)
            print_wrapped(out, texts[i], indent);
        else
            pad(out, texts[i], widths[c], t->right[c], c == t->n_columns - 1);
        fputs(c < t->n_columns - 1 ? "  " : "\n", out);
        free(texts[i]);
    }
    free(texts);
    free(widths);
}

static void print_upright(const struct assay_table *t, FILE *out)
{
    int width = 0;
    for (int c = 0; c < t->n_columns; c++)
        width = assay_text_width(t->headers[c]) > width ? assay_text_width(t->headers[c]) : width;
    for (size_t i = 0; i < t->n_rows * (size_t)t->n_columns; i++) {
        char *text = shown(&t->cells[i], absent);
        pad(out, t->headers[i % (size_t)t->n_columns], width, false, false);
        fprintf(out, "  %s\n", text);
        free(text);
    }
}

/* ---- CSV and Markdown */

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

static void print_csv_row(const struct assay_table *t, size_t row, FILE *out)
{
    for (int c = 0; c < t->n_columns; c++) {
        const struct assay_table_cell *one = cell(t, row, c);
        char *text = one->value && !json_is_null(one->value) ? value_text(one->value) : assay_strdup(one->text ? one->text : "");
        print_field(out, text);
        fputs(c < t->n_columns - 1 ? "," : "\n", out);
        free(text);
    }
}

static void print_markdown_text(const char *text, FILE *out)
{
    fputs("| ", out);
    for (; *text; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc(' ', out);
}

static void print_markdown_row(const struct assay_table *t, size_t row, FILE *out)
{
    for (int c = 0; c < t->n_columns; c++) {
        char *text = shown(cell(t, row, c), absent);
        if (t->upright)
            print_markdown_text(t->headers[c], out);
        print_markdown_text(text, out);
        fputs(t->upright || c == t->n_columns - 1 ? "|\n" : "", out);
        free(text);
    }
}

static void print_markdown_header(const struct assay_table *t, FILE *out)
{
    if (t->upright) {
        fputs("| | |\n| --- | --- |\n", out);
        return;
    }
    for (int c = 0; c < t->n_columns; c++)
        print_markdown_text(t->headers[c], out);
    fputs("|\n", out);
    for (int c = 0; c < t->n_columns; c++)
        fputs(t->right[c] ? "| ---: " : "| --- ", out);
    fputs("|\n", out);
}

/* ---- all formats but the aligned one, row by row */

static void print_header(const struct assay_table *t, enum assay_format format, FILE *out)
{
    if (format == ASSAY_FORMAT_MARKDOWN)
        print_markdown_header(t, out);
    for (int c = 0; format == ASSAY_FORMAT_CSV && c < t->n_columns; c++) {
        print_field(out, t->names[c]);
        fputs(c < t->n_columns - 1 ? "," : "\n", out);
    }
}

/* The header if nothing was printed so far, and the rows in memory. */
static void print_some(struct assay_table *t, enum assay_format format, FILE *out)
{
    if (t->n_printed == 0)
        print_header(t, format, out);
    for (size_t r = 0; r < t->n_rows; r++, t->n_printed++) {
        if (format == ASSAY_FORMAT_JSON) {
            json_t *object = row_to_json(t, r);
            fputs(t->n_printed ? ",\n " : "[\n ", out);
            assay_json_print(object, out);
            json_decref(object);
        } else if (format == ASSAY_FORMAT_CSV) {
            print_csv_row(t, r, out);
        } else {
            print_markdown_row(t, r, out);
        }
    }
}

void assay_table_stream(struct assay_table *table, enum assay_format format, FILE *out)
{
    ASSAY_ASSERT(table->n_rows == 0);
    table->stream_format = format;
    table->stream = format == ASSAY_FORMAT_TABLE ? NULL : out;
}

void assay_table_row(struct assay_table *table)
{
    size_t n = (size_t)table->n_columns;
    if (table->stream && table->n_rows == 1) {
        print_some(table, table->stream_format, table->stream);
        drop_values(table);
        assay_arena_clear(&table->row_arena);
        memset(table->cells, 0, n * sizeof *table->cells);
        return;
    }
    if (table->n_rows == table->room) {
        size_t room = table->room ? 2 * table->room : 16;
        table->cells = assay_arena_grow(&table->arena, table->cells, table->n_rows * n, room * n, sizeof *table->cells);
        table->room = room;
    }
    table->n_rows++;
}

enum assay_status assay_table_print(struct assay_table *table, enum assay_format format, FILE *out, struct assay_error *err)
{
    if (format != ASSAY_FORMAT_TABLE)
        print_some(table, format, out);
    else if (table->upright)
        print_upright(table, out);
    else
        print_aligned(table, out);
    if (format == ASSAY_FORMAT_JSON)
        fputs(table->n_printed ? "\n]\n" : "[]\n", out);
    table->n_printed = 0;
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
