/* SPDX-License-Identifier: Apache-2.0 */
/* See cell.h. */
#include "lake/cell.h"

#include "base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 16 };

/* ---- types */

static bool readable(duckdb_logical_type type, int depth)
{
    duckdb_logical_type inner = NULL;
    bool good = depth < DEEPEST;
    switch (duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_BOOLEAN:
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_SMALLINT:
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_USMALLINT:
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_UBIGINT:
    case DUCKDB_TYPE_HUGEINT:
    case DUCKDB_TYPE_UHUGEINT:
    case DUCKDB_TYPE_FLOAT:
    case DUCKDB_TYPE_DOUBLE:
    case DUCKDB_TYPE_DECIMAL:
    case DUCKDB_TYPE_VARCHAR:
    case DUCKDB_TYPE_ENUM:
    case DUCKDB_TYPE_BLOB:
    case DUCKDB_TYPE_DATE:
    case DUCKDB_TYPE_TIME:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
    case DUCKDB_TYPE_INTERVAL:
    case DUCKDB_TYPE_UUID:
    case DUCKDB_TYPE_SQLNULL:
        return true;
    case DUCKDB_TYPE_LIST:
        inner = duckdb_list_type_child_type(type);
        break;
    case DUCKDB_TYPE_ARRAY:
        inner = duckdb_array_type_child_type(type);
        break;
    case DUCKDB_TYPE_MAP: {
        duckdb_logical_type key = duckdb_map_type_key_type(type);
        good = good && readable(key, depth + 1);
        duckdb_destroy_logical_type(&key);
        inner = duckdb_map_type_value_type(type);
        break;
    }
    case DUCKDB_TYPE_STRUCT:
        for (idx_t i = 0; i < duckdb_struct_type_child_count(type) && good; i++) {
            duckdb_logical_type member = duckdb_struct_type_child_type(type, i);
            good = readable(member, depth + 1);
            duckdb_destroy_logical_type(&member);
        }
        return good;
    default:
        return false;
    }
    good = good && readable(inner, depth + 1);
    duckdb_destroy_logical_type(&inner);
    return good;
}

enum assay_status assay_cell_check_type(duckdb_logical_type type, const char *column, struct assay_error *err)
{
    if (readable(type, 0))
        return ASSAY_OK;
    return assay_error_set(err, ASSAY_UNSUPPORTED, "column \"%.80s\" is of a type that cannot be shown: cast it to VARCHAR",
                           column);
}

/* ---- values */

static json_t *real_json(double value)
{
    if (isfinite(value))
        return json_real(value);
    return json_string(isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
}

/* JSON texts are UTF-8, and what DuckDB holds as VARCHAR is too. */
static json_t *string_json(const duckdb_string_t *string)
{
    json_t *value = json_stringn(duckdb_string_t_data((duckdb_string_t *)string), duckdb_string_t_length(*string));
    return value ? value : json_string("\xef\xbf\xbd");
}

static json_t *blob_json(const duckdb_string_t *string)
{
    size_t n = duckdb_string_t_length(*string);
    const unsigned char *bytes = (const unsigned char *)duckdb_string_t_data((duckdb_string_t *)string);
    char *text = assay_alloc(2 * n + 1);
    for (size_t i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    json_t *value = json_string(text);
    free(text);
    return value;
}

static json_t *huge_json(duckdb_hugeint value)
{
    if ((value.upper == 0 && value.lower <= INT64_MAX) || (value.upper == -1 && value.lower > INT64_MAX))
        return json_integer((int64_t)value.lower);
    return real_json(duckdb_hugeint_to_double(value));
}

static json_t *unsigned_json(uint64_t value)
{
    return value <= INT64_MAX ? json_integer((int64_t)value) : real_json((double)value);
}

static json_t *decimal_json(const void *data, duckdb_logical_type type, idx_t row)
{
    duckdb_decimal decimal = {.width = duckdb_decimal_width(type), .scale = duckdb_decimal_scale(type)};
    int64_t small = 0;
    switch (duckdb_decimal_internal_type(type)) {
    case DUCKDB_TYPE_SMALLINT:
        small = ((const int16_t *)data)[row];
        break;
    case DUCKDB_TYPE_INTEGER:
        small = ((const int32_t *)data)[row];
        break;
    case DUCKDB_TYPE_BIGINT:
        small = ((const int64_t *)data)[row];
        break;
    default:
        decimal.value = ((const duckdb_hugeint *)data)[row];
        return real_json(duckdb_decimal_to_double(decimal));
    }
    decimal.value = (duckdb_hugeint){.lower = (uint64_t)small, .upper = small < 0 ? -1 : 0};
    return real_json(duckdb_decimal_to_double(decimal));
}

static json_t *enum_json(const void *data, duckdb_logical_type type, idx_t row)
{
    duckdb_type width = duckdb_enum_internal_type(type);
    idx_t index = width == DUCKDB_TYPE_UTINYINT    ? ((const uint8_t *)data)[row]
                  : width == DUCKDB_TYPE_USMALLINT ? ((const uint16_t *)data)[row]
                                                   : ((const uint32_t *)data)[row];
    char *word = duckdb_enum_dictionary_value(type, index);
    json_t *value = json_string(word);
    duckdb_free(word);
    return value;
}

static json_t *uuid_json(duckdb_hugeint value)
{
    /* DuckDB flips the sign bit so that UUIDs sort as numbers. */
    uint64_t high = (uint64_t)value.upper ^ (UINT64_C(1) << 63);
    char text[40];
    snprintf(text, sizeof text, "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%012" PRIx64, high >> 32,
             high >> 16 & 0xffff, high & 0xffff, value.lower >> 48, value.lower & UINT64_C(0xffffffffffff));
    return json_string(text);
}

static json_t *time_json(int64_t us)
{
    char text[64];
    duckdb_timestamp timestamp = {us};
    if (!duckdb_is_finite_timestamp(timestamp))
        return json_string(us > 0 ? "Infinity" : "-Infinity");
    duckdb_timestamp_struct t = duckdb_from_timestamp(timestamp);
    snprintf(text, sizeof text, "%04" PRId32 "-%02d-%02dT%02d:%02d:%02d.%06" PRId32 "Z", t.date.year, t.date.month, t.date.day,
             t.time.hour, t.time.min, t.time.sec, t.time.micros);
    return json_string(text);
}

static json_t *scaled_time_json(int64_t value, int64_t us)
{
    int64_t scaled;
    return __builtin_mul_overflow(value, us, &scaled) ? json_string(value > 0 ? "Infinity" : "-Infinity") : time_json(scaled);
}

static json_t *date_json(duckdb_date date)
{
    char text[32];
    if (!duckdb_is_finite_date(date))
        return json_string(date.days > 0 ? "Infinity" : "-Infinity");
    duckdb_date_struct d = duckdb_from_date(date);
    snprintf(text, sizeof text, "%04" PRId32 "-%02d-%02d", d.year, d.month, d.day);
    return json_string(text);
}

static json_t *time_of_day_json(duckdb_time time)
{
    char text[32];
    duckdb_time_struct t = duckdb_from_time(time);
    snprintf(text, sizeof text, "%02d:%02d:%02d.%06" PRId32, t.hour, t.min, t.sec, t.micros);
    return json_string(text);
}

static json_t *interval_json(duckdb_interval interval)
{
    char text[80];
    snprintf(text, sizeof text, "%" PRId32 " months %" PRId32 " days %" PRId64 " us", interval.months, interval.days,
             interval.micros);
    return json_string(text);
}

/* ---- nested */

static json_t *list_json(duckdb_vector child, duckdb_logical_type type, idx_t start, idx_t n)
{
    json_t *array = json_array();
    for (idx_t i = 0; i < n; i++)
        json_array_append_new(array, assay_cell_json(child, type, start + i));
    return array;
}

static json_t *map_json(duckdb_vector vector, duckdb_logical_type type, duckdb_list_entry entry)
{
    duckdb_vector pairs = duckdb_list_vector_get_child(vector);
    duckdb_vector keys = duckdb_struct_vector_get_child(pairs, 0), values = duckdb_struct_vector_get_child(pairs, 1);
    duckdb_logical_type key_type = duckdb_map_type_key_type(type), value_type = duckdb_map_type_value_type(type);
    struct assay_arena arena;
    assay_arena_init(&arena);
    json_t *object = json_object();
    for (idx_t i = entry.offset; i < entry.offset + entry.length; i++) {
        json_t *key = assay_cell_json(keys, key_type, i);
        const char *text = assay_cell_text(key, &arena);
        json_object_set_new(object, text ? text : "", assay_cell_json(values, value_type, i));
        json_decref(key);
    }
    assay_arena_release(&arena);
    duckdb_destroy_logical_type(&key_type);
    duckdb_destroy_logical_type(&value_type);
    return object;
}

static json_t *struct_json(duckdb_vector vector, duckdb_logical_type type, idx_t row)
{
    json_t *object = json_object();
    for (idx_t i = 0; i < duckdb_struct_type_child_count(type); i++) {
        char *name = duckdb_struct_type_child_name(type, i);
        duckdb_logical_type member = duckdb_struct_type_child_type(type, i);
        json_object_set_new(object, name, assay_cell_json(duckdb_struct_vector_get_child(vector, i), member, row));
        duckdb_destroy_logical_type(&member);
        duckdb_free(name);
    }
    return object;
}

static json_t *nested_json(duckdb_vector vector, duckdb_logical_type type, idx_t row)
{
    const duckdb_list_entry *entries = duckdb_vector_get_data(vector);
    duckdb_logical_type inner;
    json_t *value;
    switch (duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_LIST:
        inner = duckdb_list_type_child_type(type);
        value = list_json(duckdb_list_vector_get_child(vector), inner, entries[row].offset, entries[row].length);
        duckdb_destroy_logical_type(&inner);
        return value;
    case DUCKDB_TYPE_ARRAY: {
        idx_t n = duckdb_array_type_array_size(type);
        inner = duckdb_array_type_child_type(type);
        value = list_json(duckdb_array_vector_get_child(vector), inner, row * n, n);
        duckdb_destroy_logical_type(&inner);
        return value;
    }
    case DUCKDB_TYPE_MAP:
        return map_json(vector, type, entries[row]);
    default:
        return struct_json(vector, type, row);
    }
}

static bool is_null(duckdb_vector vector, idx_t row)
{
    uint64_t *validity = duckdb_vector_get_validity(vector);
    return validity && !duckdb_validity_row_is_valid(validity, row);
}

json_t *assay_cell_json(duckdb_vector vector, duckdb_logical_type type, idx_t row)
{
    if (is_null(vector, row))
        return json_null();
    const void *data = duckdb_vector_get_data(vector);
    switch (duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_BOOLEAN:
        return json_boolean(((const bool *)data)[row]);
    case DUCKDB_TYPE_TINYINT:
        return json_integer(((const int8_t *)data)[row]);
    case DUCKDB_TYPE_SMALLINT:
        return json_integer(((const int16_t *)data)[row]);
    case DUCKDB_TYPE_INTEGER:
        return json_integer(((const int32_t *)data)[row]);
    case DUCKDB_TYPE_BIGINT:
        return json_integer(((const int64_t *)data)[row]);
    case DUCKDB_TYPE_UTINYINT:
        return json_integer(((const uint8_t *)data)[row]);
    case DUCKDB_TYPE_USMALLINT:
        return json_integer(((const uint16_t *)data)[row]);
    case DUCKDB_TYPE_UINTEGER:
        return json_integer(((const uint32_t *)data)[row]);
    case DUCKDB_TYPE_UBIGINT:
        return unsigned_json(((const uint64_t *)data)[row]);
    case DUCKDB_TYPE_HUGEINT:
        return huge_json(((const duckdb_hugeint *)data)[row]);
    case DUCKDB_TYPE_UHUGEINT: {
        duckdb_uhugeint huge = ((const duckdb_uhugeint *)data)[row];
        return huge.upper ? real_json(duckdb_uhugeint_to_double(huge)) : unsigned_json(huge.lower);
    }
    case DUCKDB_TYPE_FLOAT:
        return real_json((double)((const float *)data)[row]);
    case DUCKDB_TYPE_DOUBLE:
        return real_json(((const double *)data)[row]);
    case DUCKDB_TYPE_DECIMAL:
        return decimal_json(data, type, row);
    case DUCKDB_TYPE_VARCHAR:
        return string_json(&((const duckdb_string_t *)data)[row]);
    case DUCKDB_TYPE_BLOB:
        return blob_json(&((const duckdb_string_t *)data)[row]);
    case DUCKDB_TYPE_ENUM:
        return enum_json(data, type, row);
    case DUCKDB_TYPE_UUID:
        return uuid_json(((const duckdb_hugeint *)data)[row]);
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
        return time_json(((const int64_t *)data)[row]);
    case DUCKDB_TYPE_TIMESTAMP_S:
        return scaled_time_json(((const int64_t *)data)[row], 1000000);
    case DUCKDB_TYPE_TIMESTAMP_MS:
        return scaled_time_json(((const int64_t *)data)[row], 1000);
    case DUCKDB_TYPE_TIMESTAMP_NS:
        return time_json(((const int64_t *)data)[row] / 1000);
    case DUCKDB_TYPE_DATE:
        return date_json(((const duckdb_date *)data)[row]);
    case DUCKDB_TYPE_TIME:
        return time_of_day_json(((const duckdb_time *)data)[row]);
    case DUCKDB_TYPE_INTERVAL:
        return interval_json(((const duckdb_interval *)data)[row]);
    case DUCKDB_TYPE_SQLNULL:
        return json_null();
    default:
        return nested_json(vector, type, row);
    }
}

/* ---- text */

/* The fewest digits that read back as the same number. */
static char *real_text(double value, struct assay_arena *arena)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return assay_arena_strdup(arena, text);
}

char *assay_cell_text(const json_t *value, struct assay_arena *arena)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return NULL;
    case JSON_STRING:
        return assay_arena_strndup(arena, json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
        return assay_arena_printf(arena, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_REAL:
        return real_text(json_real_value(value), arena);
    case JSON_TRUE:
        return assay_arena_strdup(arena, "true");
    case JSON_FALSE:
        return assay_arena_strdup(arena, "false");
    default: {
        char *dumped = json_dumps(value, JSON_COMPACT), *text = assay_arena_strdup(arena, dumped ? dumped : "");
        free(dumped);
        return text;
    }
    }
}

/* ---- rows */

static bool reals_to_row(duckdb_vector vector, idx_t row, struct assay_row *to, enum assay_column column)
{
    duckdb_list_entry entry = ((const duckdb_list_entry *)duckdb_vector_get_data(vector))[row];
    duckdb_vector child = duckdb_list_vector_get_child(vector);
    uint64_t *validity = duckdb_vector_get_validity(child);
    for (idx_t i = 0; validity && i < entry.length; i++) {
        if (!duckdb_validity_row_is_valid(validity, entry.offset + i))
            return false;
    }
    const double *values = entry.length ? (const double *)duckdb_vector_get_data(child) + entry.offset : NULL;
    for (idx_t i = 0; i < entry.length; i++) {
        if (!isfinite(values[i]))
            return false;
    }
    assay_row_set_reals(to, column, values, entry.length);
    return true;
}

bool assay_cell_to_row(duckdb_vector vector, duckdb_logical_type type, idx_t row, struct assay_row *to, enum assay_column column)
{
    if (is_null(vector, row))
        return true;
    const void *data = duckdb_vector_get_data(vector);
    enum assay_column_kind kind = assay_columns[column].kind;
    switch (duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_BIGINT:
        if (kind == ASSAY_COLUMN_INT)
            assay_row_set_int(to, column, ((const int64_t *)data)[row]);
        return kind == ASSAY_COLUMN_INT;
    case DUCKDB_TYPE_BOOLEAN:
        if (kind == ASSAY_COLUMN_BOOL)
            assay_row_set_int(to, column, ((const bool *)data)[row]);
        return kind == ASSAY_COLUMN_BOOL;
    case DUCKDB_TYPE_TIMESTAMP: {
        int64_t us = ((const int64_t *)data)[row];
        if (kind != ASSAY_COLUMN_TIME || us < 0 || us > ASSAY_ROW_LAST_TIME_US)
            return false;
        assay_row_set_int(to, column, us);
        return true;
    }
    case DUCKDB_TYPE_DOUBLE: {
        double value = ((const double *)data)[row];
        if (kind != ASSAY_COLUMN_REAL || !isfinite(value))
            return false;
        assay_row_set_real(to, column, value);
        return true;
    }
    case DUCKDB_TYPE_LIST: {
        duckdb_logical_type inner = duckdb_list_type_child_type(type);
        bool reals = duckdb_get_type_id(inner) == DUCKDB_TYPE_DOUBLE;
        duckdb_destroy_logical_type(&inner);
        return reals && kind == ASSAY_COLUMN_REALS && reals_to_row(vector, row, to, column);
    }
    default:
        return false;
    }
}
