/* SPDX-License-Identifier: Apache-2.0 */
/* Comma-separated values as RFC 4180 has them; lines may end in LF or CR LF. See internal.h. */
#include "lake/internal.h"

#include <stdlib.h>
#include <string.h>

enum { LARGEST_RECORD = 64 << 20, MOST_FIELDS = 4096 };

void assay_csv_init(struct assay_csv *csv, FILE *file)
{
    *csv = (struct assay_csv){.file = file, .next_line = 1};
    /* The byte order mark that spreadsheets put first. */
    static const unsigned char mark[] = {0xef, 0xbb, 0xbf};
    unsigned char head[3];
    size_t n = fread(head, 1, sizeof head, file);
    if (n < sizeof head || memcmp(head, mark, sizeof mark) != 0)
        rewind(file);
}

void assay_csv_release(struct assay_csv *csv)
{
    free(csv->text);
    free(csv->fields);
    *csv = (struct assay_csv){0};
}

static void put(struct assay_csv *csv, char c)
{
    if (csv->size == csv->room) {
        csv->room = csv->room ? 2 * csv->room : 4096;
        csv->text = assay_realloc(csv->text, csv->room);
    }
    csv->text[csv->size++] = c;
}

static void begin_field(struct assay_csv *csv)
{
    if (csv->n_fields == csv->fields_room) {
        csv->fields_room = csv->fields_room ? 2 * csv->fields_room : 64;
        csv->fields = assay_realloc(csv->fields, csv->fields_room * sizeof *csv->fields);
    }
    csv->fields[csv->n_fields++] = (struct assay_csv_field){.start = csv->size};
}

static void end_field(struct assay_csv *csv)
{
    struct assay_csv_field *field = &csv->fields[csv->n_fields - 1];
    field->length = csv->size - field->start;
    put(csv, '\0');
}

/* The rest of a quoted field, up to and with its closing quote. */
static enum assay_status read_quoted(struct assay_csv *csv, struct assay_error *err)
{
    for (;;) {
        int c = getc_unlocked(csv->file);
        if (c == '"') {
            c = getc_unlocked(csv->file);
            if (c != '"') {
                ungetc(c, csv->file);
                return ASSAY_OK;
            }
        }
        if (c == EOF)
            return assay_error_set(err, ASSAY_INVALID, "line %lld: a quote is not closed", (long long)csv->line);
        if (c == 0)
            return assay_error_set(err, ASSAY_INVALID, "line %lld: a NUL byte", (long long)csv->line);
        if (csv->size >= LARGEST_RECORD)
            return assay_error_set(err, ASSAY_INVALID, "line %lld: a record is larger than 64 MiB", (long long)csv->line);
        csv->next_line += c == '\n';
        put(csv, (char)c);
    }
}

enum assay_status assay_csv_read(struct assay_csv *csv, bool *end, struct assay_error *err)
{
    csv->size = csv->n_fields = 0;
    csv->line = csv->next_line;
    int c = getc_unlocked(csv->file);
    *end = c == EOF;
    if (*end)
        return ferror(csv->file) ? assay_error_set(err, ASSAY_IO, "line %lld: the file cannot be read", (long long)csv->line)
                                 : ASSAY_OK;
    ungetc(c, csv->file);
    begin_field(csv);
    for (;;) {
        c = getc_unlocked(csv->file);
        if (c == '\r') {
            c = getc_unlocked(csv->file);
            if (c != '\n') {
                ungetc(c, csv->file);
                c = '\r';
            }
        }
        if (c == EOF || c == '\n') {
            csv->next_line++;
            end_field(csv);
            return ASSAY_OK;
        }
        struct assay_csv_field *field = &csv->fields[csv->n_fields - 1];
        if (c == ',') {
            end_field(csv);
            if (csv->n_fields == MOST_FIELDS)
                return assay_error_set(err, ASSAY_INVALID, "line %lld: more than %d fields", (long long)csv->line, MOST_FIELDS);
            begin_field(csv);
        } else if (c == '"' && !field->quoted && csv->size == field->start) {
            field->quoted = true;
            enum assay_status st = read_quoted(csv, err);
            if (st)
                return st;
        } else if (c == 0 || field->quoted) {
            return assay_error_set(err, ASSAY_INVALID, "line %lld: a %s", (long long)csv->line,
                                   c ? "closing quote is followed by text" : "NUL byte");
        } else if (csv->size >= LARGEST_RECORD) {
            return assay_error_set(err, ASSAY_INVALID, "line %lld: a record is larger than 64 MiB", (long long)csv->line);
        } else {
            put(csv, (char)c);
        }
    }
}

void assay_csv_write_field(FILE *out, const char *text)
{
    if (!text)
        return;
    size_t n = strlen(text);
    bool bare = n && !strpbrk(text, "\",\r\n") && text[0] != ' ' && text[n - 1] != ' ';
    if (bare) {
        fputs(text, out);
        return;
    }
    putc('"', out);
    for (; *text; text++) {
        if (*text == '"')
            putc('"', out);
        putc(*text, out);
    }
    putc('"', out);
}
