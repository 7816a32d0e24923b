/* SPDX-License-Identifier: Apache-2.0 */
/* See row.h: the column table, the cells and the rules of a row. JSON is in row_json.c. */
#include "row/row.h"

#include <math.h>
#include <string.h>

const struct assay_column_info assay_columns[ASSAY_N_COLUMNS] = {
#define X(name, kind, unit, doc) [ASSAY_ROW_##name] = {#name, ASSAY_COLUMN_##kind, unit, doc},
    ASSAY_COLUMNS(X)
#undef X
};

enum assay_column assay_column_find(const char *name)
{
    int i = 0;
    while (i < ASSAY_N_COLUMNS && strcmp(assay_columns[i].name, name) != 0)
        i++;
    return (enum assay_column)i;
}

/* In the order of enum assay_column_kind. */
static const struct {
    const char *word, *sql;
} kinds[] = {
    [ASSAY_COLUMN_TEXT] = {"text", "VARCHAR"},
    [ASSAY_COLUMN_INT] = {"integer", "BIGINT"},
    [ASSAY_COLUMN_REAL] = {"real", "DOUBLE"},
    [ASSAY_COLUMN_BOOL] = {"boolean", "BOOLEAN"},
    [ASSAY_COLUMN_TIME] = {"time", "TIMESTAMP"},
    [ASSAY_COLUMN_REALS] = {"list of reals", "DOUBLE[]"},
    [ASSAY_COLUMN_INTS] = {"list of integers", "BIGINT[]"},
    [ASSAY_COLUMN_MAP_REAL] = {"map of reals", "MAP(VARCHAR, DOUBLE)"},
    [ASSAY_COLUMN_MAP_REALS] = {"map of lists of reals", "MAP(VARCHAR, DOUBLE[])"},
    [ASSAY_COLUMN_MAP_TEXT] = {"map of texts", "MAP(VARCHAR, VARCHAR)"},
};

const char *assay_column_kind_word(enum assay_column_kind kind) { return kinds[kind].word; }
const char *assay_column_kind_sql(enum assay_column_kind kind) { return kinds[kind].sql; }

void assay_row_init(struct assay_row *row)
{
    memset(row, 0, sizeof *row);
    assay_arena_init(&row->arena);
}

void assay_row_release(struct assay_row *row)
{
    if (row)
        assay_arena_release(&row->arena);
}

void assay_row_clear(struct assay_row *row)
{
    assay_arena_clear(&row->arena);
    memset(row->cells, 0, sizeof row->cells);
}

/* ---- UTF-8 */

/* Bytes of the well-formed code point at p (n bytes left), 0 if it is none: overlong forms, surrogates and what lies above
 * U+10FFFF are not (The Unicode Standard, table 3-7). */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t length = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
    if (!length || length > n)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

/* A copy in which each byte that is not UTF-8 is U+FFFD: JSON and Parquet hold nothing else. */
static char *copy_text(struct assay_arena *arena, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = strlen(text), n_bad = 0;
    for (size_t i = 0; i < n;) {
        size_t length = utf8_length(p + i, n - i);
        n_bad += !length;
        i += length ? length : 1;
    }
    if (!n_bad)
        return assay_arena_strndup(arena, text, n);
    char *copy = assay_arena_alloc(arena, n + 2 * n_bad + 1), *out = copy;
    for (size_t i = 0; i < n;) {
        size_t length = utf8_length(p + i, n - i);
        memcpy(out, length ? (const char *)p + i : "\xef\xbf\xbd", length ? length : 3);
        out += length ? length : 3;
        i += length ? length : 1;
    }
    return copy;
}

/* ---- setters */

static struct assay_cell *cell_of(struct assay_row *row, enum assay_column column, enum assay_column_kind kind)
{
    ASSAY_ASSERT((int)column >= 0 && column < ASSAY_N_COLUMNS);
    ASSAY_ASSERT(assay_columns[column].kind == kind);
    return &row->cells[column];
}

void assay_row_set_text(struct assay_row *row, enum assay_column column, const char *text)
{
    struct assay_cell *cell = cell_of(row, column, ASSAY_COLUMN_TEXT);
    *cell = (struct assay_cell){.set = text != NULL, .text = text ? copy_text(&row->arena, text) : NULL};
}

void assay_row_set_int(struct assay_row *row, enum assay_column column, int64_t value)
{
    ASSAY_ASSERT((int)column >= 0 && column < ASSAY_N_COLUMNS);
    enum assay_column_kind kind = assay_columns[column].kind;
    ASSAY_ASSERT(kind == ASSAY_COLUMN_INT || kind == ASSAY_COLUMN_BOOL || kind == ASSAY_COLUMN_TIME);
    row->cells[column] = (struct assay_cell){.set = true, .i = kind == ASSAY_COLUMN_BOOL ? value != 0 : value};
}

void assay_row_set_real(struct assay_row *row, enum assay_column column, double value)
{
    struct assay_cell *cell = cell_of(row, column, ASSAY_COLUMN_REAL);
    *cell = isfinite(value) ? (struct assay_cell){.set = true, .real = value} : (struct assay_cell){.set = false};
}

static bool all_finite(const double *values, size_t n)
{
    size_t i = 0;
    while (i < n && isfinite(values[i]))
        i++;
    return i == n;
}

void assay_row_set_reals(struct assay_row *row, enum assay_column column, const double *values, size_t n)
{
    struct assay_cell *cell = cell_of(row, column, ASSAY_COLUMN_REALS);
    *cell = (struct assay_cell){.set = false};
    if (all_finite(values, n))
        *cell = (struct assay_cell){.set = true, .n = n, .reals = assay_arena_memdup(&row->arena, values, n * sizeof *values)};
}

void assay_row_set_ints(struct assay_row *row, enum assay_column column, const int64_t *values, size_t n)
{
    struct assay_cell *cell = cell_of(row, column, ASSAY_COLUMN_INTS);
    *cell = (struct assay_cell){.set = true, .n = n, .ints = assay_arena_memdup(&row->arena, values, n * sizeof *values)};
}

/* The entry of a key, added if it is new. Room doubles whenever the count reaches a power of two. */
static struct assay_map_entry *map_entry(struct assay_row *row, struct assay_cell *cell, const char *key)
{
    char *copy = copy_text(&row->arena, key);
    for (size_t i = 0; i < cell->n; i++) {
        if (strcmp(cell->map[i].key, copy) == 0)
            return &cell->map[i];
    }
    if ((cell->n & (cell->n - 1)) == 0)
        cell->map = assay_arena_grow(&row->arena, cell->map, cell->n, cell->n ? 2 * cell->n : 1, sizeof *cell->map);
    cell->set = true;
    struct assay_map_entry *entry = &cell->map[cell->n++];
    *entry = (struct assay_map_entry){.key = copy};
    return entry;
}

void assay_row_map_real(struct assay_row *row, enum assay_column column, const char *key, double value)
{
    struct assay_cell *cell = cell_of(row, column, ASSAY_COLUMN_MAP_REAL);
    if (isfinite(value))
        map_entry(row, cell, key)->real = value;
}

void assay_row_map_reals(struct assay_row *row, enum assay_column column, const char *key, const double *values, size_t n)
{
    struct assay_cell *cell = cell_of(row, column, ASSAY_COLUMN_MAP_REALS);
    if (!all_finite(values, n))
        return;
    struct assay_map_entry *entry = map_entry(row, cell, key);
    entry->reals = assay_arena_memdup(&row->arena, values, n * sizeof *values);
    entry->n = n;
}

void assay_row_map_text(struct assay_row *row, enum assay_column column, const char *key, const char *text)
{
    struct assay_cell *cell = cell_of(row, column, ASSAY_COLUMN_MAP_TEXT);
    if (text)
        map_entry(row, cell, key)->text = copy_text(&row->arena, text);
}

/* ---- getters */

static const struct assay_cell *set_cell(const struct assay_row *row, enum assay_column column)
{
    ASSAY_ASSERT((int)column >= 0 && column < ASSAY_N_COLUMNS);
    return row->cells[column].set ? &row->cells[column] : NULL;
}

const char *assay_row_text(const struct assay_row *row, enum assay_column column, const char *otherwise)
{
    const struct assay_cell *cell = set_cell(row, column);
    ASSAY_ASSERT(assay_columns[column].kind == ASSAY_COLUMN_TEXT);
    return cell ? cell->text : otherwise;
}

int64_t assay_row_int(const struct assay_row *row, enum assay_column column, int64_t otherwise)
{
    const struct assay_cell *cell = set_cell(row, column);
    enum assay_column_kind kind = assay_columns[column].kind;
    ASSAY_ASSERT(kind == ASSAY_COLUMN_INT || kind == ASSAY_COLUMN_BOOL || kind == ASSAY_COLUMN_TIME);
    return cell ? cell->i : otherwise;
}

double assay_row_real(const struct assay_row *row, enum assay_column column, double otherwise)
{
    const struct assay_cell *cell = set_cell(row, column);
    ASSAY_ASSERT(assay_columns[column].kind == ASSAY_COLUMN_REAL);
    return cell ? cell->real : otherwise;
}

const struct assay_map_entry *assay_row_map_find(const struct assay_row *row, enum assay_column column, const char *key)
{
    const struct assay_cell *cell = set_cell(row, column);
    enum assay_column_kind kind = assay_columns[column].kind;
    ASSAY_ASSERT(kind == ASSAY_COLUMN_MAP_REAL || kind == ASSAY_COLUMN_MAP_REALS || kind == ASSAY_COLUMN_MAP_TEXT);
    for (size_t i = 0; cell && i < cell->n; i++) {
        if (strcmp(cell->map[i].key, key) == 0)
            return &cell->map[i];
    }
    return NULL;
}

/* ---- rules */

/* What says how fast: not to stand in a row whose outputs were wrong, nor in one that an emulator made. */
static const enum assay_column timings[] = {
    ASSAY_ROW_samples_ns,      ASSAY_ROW_latency_median_ns, ASSAY_ROW_latency_low_ns, ASSAY_ROW_latency_high_ns,
    ASSAY_ROW_latency_mean_ns, ASSAY_ROW_latency_p90_ns,    ASSAY_ROW_latency_p99_ns, ASSAY_ROW_latency_min_ns,
    ASSAY_ROW_throughput,      ASSAY_ROW_achieved_flops,    ASSAY_ROW_peak_share,     ASSAY_ROW_energy_j,
};

static enum assay_status check_no_timing(const struct assay_row *row, const char *why, struct assay_error *err)
{
    for (size_t i = 0; i < ASSAY_COUNT(timings); i++) {
        if (row->cells[timings[i]].set)
            return assay_error_set(err, ASSAY_INVALID, "%s is set though %s: leave timings out of such a row.",
                                   assay_columns[timings[i]].name, why);
    }
    return ASSAY_OK;
}

static enum assay_status check_word(const struct assay_row *row, enum assay_column column, const char *const *words,
                                    struct assay_error *err)
{
    const char *text = assay_row_text(row, column, "");
    for (; *words; words++) {
        if (strcmp(text, *words) == 0)
            return ASSAY_OK;
    }
    return assay_error_set(err, ASSAY_INVALID, "%s is \"%.40s\", which is none of its words (docs/row-reference.md).",
                           assay_columns[column].name, text);
}

enum assay_status assay_row_check(const struct assay_row *row, struct assay_error *err)
{
    static const enum assay_column required[] = {ASSAY_ROW_result_id, ASSAY_ROW_run_id,     ASSAY_ROW_schema_version,
                                                 ASSAY_ROW_time,      ASSAY_ROW_provenance, ASSAY_ROW_status};
    static const char *const provenances[] = {"measured", "emulated", "published", "predicted", NULL};
    static const char *const statuses[] = {"ok", "unsupported", "no_memory", "mismatch", "timeout", "crashed", NULL};
    for (size_t i = 0; i < ASSAY_COUNT(required); i++) {
        enum assay_column column = required[i];
        bool text = assay_columns[column].kind == ASSAY_COLUMN_TEXT;
        if (!row->cells[column].set || (text && !row->cells[column].text[0]))
            return assay_error_set(err, ASSAY_INVALID, "%s is missing: every row must have one.", assay_columns[column].name);
    }
    if (assay_row_int(row, ASSAY_ROW_schema_version, 0) < 1)
        return assay_error_set(err, ASSAY_INVALID, "schema_version is below 1.");
    int64_t time = assay_row_int(row, ASSAY_ROW_time, 0);
    if (time < 0 || time > ASSAY_ROW_LAST_TIME_US)
        return assay_error_set(err, ASSAY_INVALID, "time is not between the years 1970 and 9999.");
    enum assay_status st = check_word(row, ASSAY_ROW_provenance, provenances, err);
    if (!st)
        st = check_word(row, ASSAY_ROW_status, statuses, err);
    if (st)
        return st;
    const char *provenance = assay_row_text(row, ASSAY_ROW_provenance, ""), *status = assay_row_text(row, ASSAY_ROW_status, "");
    if (strcmp(provenance, "published") == 0 && !assay_row_text(row, ASSAY_ROW_source, "")[0])
        return assay_error_set(err, ASSAY_INVALID, "source is missing: a published figure must say where it was taken from.");
    if (strcmp(status, "ok") != 0 && !assay_row_text(row, ASSAY_ROW_reason, "")[0])
        return assay_error_set(err, ASSAY_INVALID, "reason is missing: a row whose status is %s must say why.", status);
    if (strcmp(status, "mismatch") == 0)
        return check_no_timing(row, "the outputs were wrong (status mismatch)", err);
    if (strcmp(provenance, "emulated") == 0)
        return check_no_timing(row, "an emulator has no true times (provenance emulated)", err);
    return ASSAY_OK;
}
