/* SPDX-License-Identifier: Apache-2.0 */
/* A row as a JSON object and back: see row.h. Times are ISO 8601 in UTC, lists arrays, maps objects. */
#include "row/row.h"

#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- out */

static json_t *reals_to_json(const double *values, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_real(values[i]));
    return array;
}

static json_t *map_to_json(const struct assay_cell *cell, enum assay_column_kind kind)
{
    json_t *object = json_object();
    for (size_t i = 0; i < cell->n; i++) {
        const struct assay_map_entry *entry = &cell->map[i];
        json_t *value = kind == ASSAY_COLUMN_MAP_TEXT   ? json_string(entry->text)
                        : kind == ASSAY_COLUMN_MAP_REAL ? json_real(entry->real)
                                                        : reals_to_json(entry->reals, entry->n);
        json_object_set_new(object, entry->key, value);
    }
    return object;
}

static json_t *cell_to_json(const struct assay_cell *cell, enum assay_column_kind kind)
{
    char text[ASSAY_UTC_TEXT_SIZE];
    switch (kind) {
    case ASSAY_COLUMN_TEXT:
        return json_string(cell->text);
    case ASSAY_COLUMN_INT:
        return json_integer(cell->i);
    case ASSAY_COLUMN_REAL:
        return json_real(cell->real);
    case ASSAY_COLUMN_BOOL:
        return json_boolean(cell->i);
    case ASSAY_COLUMN_TIME:
        assay_clock_utc_text(cell->i, text);
        return json_string(text);
    case ASSAY_COLUMN_REALS:
        return reals_to_json(cell->reals, cell->n);
    case ASSAY_COLUMN_INTS: {
        json_t *array = json_array();
        for (size_t i = 0; i < cell->n; i++)
            json_array_append_new(array, json_integer(cell->ints[i]));
        return array;
    }
    default:
        return map_to_json(cell, kind);
    }
}

json_t *assay_row_to_json(const struct assay_row *row, bool with_nulls)
{
    json_t *object = json_object();
    for (int i = 0; i < ASSAY_N_COLUMNS; i++) {
        if (row->cells[i].set)
            json_object_set_new(object, assay_columns[i].name, cell_to_json(&row->cells[i], assay_columns[i].kind));
        else if (with_nulls)
            json_object_set_new(object, assay_columns[i].name, json_null());
    }
    return object;
}

/* ---- in */

/* n decimal digits at *text as a number, -1 if they are not all digits. */
static int digits(const char **text, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return -1;
        value = value * 10 + (**text - '0');
    }
    return value;
}

static bool skip(const char **text, const char *any_of)
{
    if (!**text || !strchr(any_of, **text))
        return false;
    (*text)++;
    return true;
}

/* "2026-11-22T15:04:05.123456Z"; a space for the T, and no fraction or no Z, are fine: times are UTC anyway. */
static bool parse_time(const char *text, int64_t *utc_us)
{
    struct tm tm = {0};
    bool good = (tm.tm_year = digits(&text, 4)) >= 1970 && skip(&text, "-") && (tm.tm_mon = digits(&text, 2)) >= 1 &&
                skip(&text, "-") && (tm.tm_mday = digits(&text, 2)) >= 1 && skip(&text, "T ") &&
                (tm.tm_hour = digits(&text, 2)) >= 0 && skip(&text, ":") && (tm.tm_min = digits(&text, 2)) >= 0 &&
                skip(&text, ":") && (tm.tm_sec = digits(&text, 2)) >= 0 && tm.tm_hour < 24 && tm.tm_min < 60 && tm.tm_sec < 60;
    if (!good)
        return false;
    int64_t fraction = 0;
    if (skip(&text, ".")) {
        int n = 0;
        for (; *text >= '0' && *text <= '9'; text++, n++) {
            if (n < 6)
                fraction = fraction * 10 + (*text - '0');
        }
        if (n == 0)
            return false;
        for (; n < 6; n++)
            fraction *= 10;
    }
    skip(&text, "Z");
    int day = tm.tm_mday, month = tm.tm_mon -= 1;
    tm.tm_year -= 1900;
    int64_t seconds = timegm(&tm);
    *utc_us = seconds * 1000000 + fraction;
    return !*text && tm.tm_mday == day && tm.tm_mon == month;
}

static enum assay_status wrong(const char *name, const char *wanted, struct assay_error *err)
{
    return assay_error_set(err, ASSAY_INVALID, "%s is not %s.", name, wanted);
}

/* A number as double; an integer beyond 2^53 would change silently and is refused. */
static bool json_to_real(const json_t *value, double *real)
{
    if (json_is_integer(value)) {
        json_int_t i = json_integer_value(value);
        *real = (double)i;
        return i >= -(1LL << 53) && i <= 1LL << 53;
    }
    *real = json_real_value(value);
    return json_is_real(value) && isfinite(*real);
}

/* An integer, also one written as 8.0 or 1e3. */
static bool json_to_int(const json_t *value, int64_t *i)
{
    *i = json_integer_value(value);
    if (json_is_integer(value))
        return true;
    double real = json_real_value(value);
    if (!json_is_real(value) || real != floor(real) || fabs(real) > 9007199254740992.0)
        return false;
    *i = (int64_t)real;
    return true;
}

/* An array of numbers as doubles in the arena. */
static bool json_to_reals(const json_t *value, struct assay_arena *arena, double **reals, size_t *n)
{
    if (!json_is_array(value))
        return false;
    *n = json_array_size(value);
    *reals = assay_arena_array(arena, *n, sizeof **reals);
    for (size_t i = 0; i < *n; i++) {
        if (!json_to_real(json_array_get(value, i), &(*reals)[i]))
            return false;
    }
    return true;
}

/* A text without NUL inside, which would be cut short. */
static const char *json_to_text(const json_t *value)
{
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? text : NULL;
}

static enum assay_status map_from_json(struct assay_row *row, enum assay_column column, const json_t *value,
                                       struct assay_error *err)
{
    enum assay_column_kind kind = assay_columns[column].kind;
    const char *name = assay_columns[column].name;
    if (!json_is_object(value))
        return wrong(name, "an object", err);
    if (json_object_size(value) > ASSAY_ROW_MAP_LIMIT)
        return assay_error_set(err, ASSAY_INVALID, "%s has %zu entries; at most %d are taken.", name, json_object_size(value),
                               ASSAY_ROW_MAP_LIMIT);
    row->cells[column].set = true;
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)value, key, item)
    {
        double real, *reals;
        size_t n;
        if (kind == ASSAY_COLUMN_MAP_TEXT && json_to_text(item))
            assay_row_map_text(row, column, key, json_to_text(item));
        else if (kind == ASSAY_COLUMN_MAP_REAL && json_to_real(item, &real))
            assay_row_map_real(row, column, key, real);
        else if (kind == ASSAY_COLUMN_MAP_REALS && json_to_reals(item, &row->arena, &reals, &n))
            assay_row_map_reals(row, column, key, reals, n);
        else
            return assay_error_set(err, ASSAY_INVALID, "%s has an entry \"%.60s\" that does not fit a %s.", name, key,
                                   assay_column_kind_word(kind));
    }
    return ASSAY_OK;
}

static enum assay_status ints_from_json(struct assay_row *row, enum assay_column column, const json_t *value,
                                        struct assay_error *err)
{
    size_t n = json_array_size(value);
    int64_t *ints = assay_arena_array(&row->arena, n, sizeof *ints);
    for (size_t i = 0; i < n; i++) {
        if (!json_to_int(json_array_get(value, i), &ints[i]))
            return wrong(assay_columns[column].name, "a list of integers", err);
    }
    if (!json_is_array(value))
        return wrong(assay_columns[column].name, "a list of integers", err);
    assay_row_set_ints(row, column, ints, n);
    return ASSAY_OK;
}

static enum assay_status cell_from_json(struct assay_row *row, enum assay_column column, const json_t *value,
                                        struct assay_error *err)
{
    const char *name = assay_columns[column].name;
    double real, *reals;
    int64_t i;
    size_t n;
    switch (assay_columns[column].kind) {
    case ASSAY_COLUMN_TEXT:
        if (!json_to_text(value))
            return wrong(name, "a text", err);
        assay_row_set_text(row, column, json_to_text(value));
        return ASSAY_OK;
    case ASSAY_COLUMN_INT:
        if (!json_to_int(value, &i))
            return wrong(name, "an integer of 64 bits", err);
        assay_row_set_int(row, column, i);
        return ASSAY_OK;
    case ASSAY_COLUMN_REAL:
        if (!json_to_real(value, &real))
            return wrong(name, "a number that a double holds", err);
        assay_row_set_real(row, column, real);
        return ASSAY_OK;
    case ASSAY_COLUMN_BOOL:
        if (!json_is_boolean(value))
            return wrong(name, "true or false", err);
        assay_row_set_int(row, column, json_is_true(value));
        return ASSAY_OK;
    case ASSAY_COLUMN_TIME:
        if (!json_to_text(value) || !parse_time(json_to_text(value), &i))
            return wrong(name, "a UTC time like 2026-11-22T15:04:05.123456Z", err);
        assay_row_set_int(row, column, i);
        return ASSAY_OK;
    case ASSAY_COLUMN_REALS:
        if (!json_to_reals(value, &row->arena, &reals, &n))
            return wrong(name, "a list of numbers", err);
        assay_row_set_reals(row, column, reals, n);
        return ASSAY_OK;
    case ASSAY_COLUMN_INTS:
        return ints_from_json(row, column, value, err);
    default:
        return map_from_json(row, column, value, err);
    }
}

enum assay_status assay_row_from_json(struct assay_row *row, const json_t *object, struct assay_error *err)
{
    if (!json_is_object(object))
        return assay_error_set(err, ASSAY_INVALID, "A row must be a JSON object.");
    int64_t version = 0;
    json_to_int(json_object_get(object, "schema_version"), &version);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        enum assay_column column = assay_column_find(name);
        if (column == ASSAY_N_COLUMNS) {
            if (version > ASSAY_SCHEMA_VERSION)
                continue;
            return assay_error_set(err, ASSAY_INVALID, "\"%.60s\" is no column of a row (docs/row-reference.md lists them).",
                                   name);
        }
        if (json_is_null(value))
            continue;
        enum assay_status st = cell_from_json(row, column, value, err);
        if (st)
            return st;
    }
    return ASSAY_OK;
}
