/* SPDX-License-Identifier: Apache-2.0 */
/* See json.h. */
#include "base/json.h"

#include "base/arena.h"
#include "base/fs.h"

#include <string.h>

enum { LARGEST_FILE = 256 << 20 };

enum assay_status assay_json_parse(const char *text, size_t size_bytes, const char *where, json_t **value,
                                   struct assay_error *err)
{
    json_error_t error;
    *value = json_loadb(text, size_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (*value)
        return ASSAY_OK;
    if (json_error_code(&error) == json_error_out_of_memory)
        return assay_error_set(err, ASSAY_NO_MEMORY, "%s: no memory to read this JSON", where);
    bool has_nul = json_error_code(&error) == json_error_null_character;
    return assay_error_set(err, ASSAY_INVALID, "%s: line %d, column %d: %s", where, error.line, error.column,
                           has_nul ? "a text holds the character \\u0000, which is not taken" : error.text);
}

enum assay_status assay_json_read(const char *path, json_t **value, struct assay_error *err)
{
    *value = NULL;
    struct assay_arena arena;
    assay_arena_init(&arena);
    char *text;
    size_t size;
    enum assay_status st = assay_fs_read(path, LARGEST_FILE, &arena, &text, &size, err);
    if (!st)
        st = assay_json_parse(text, size, path, value, err);
    assay_arena_release(&arena);
    return st;
}

/* The member, or NULL if it is missing or null. */
static enum assay_status find(const json_t *object, const char *name, const json_t **member, struct assay_error *err)
{
    *member = NULL;
    if (object && !json_is_object(object))
        return assay_error_set(err, ASSAY_INVALID, "\"%s\" is looked for in something that is not an object", name);
    const json_t *found = json_object_get(object, name);
    if (!json_is_null(found))
        *member = found;
    return ASSAY_OK;
}

static enum assay_status wrong_type(struct assay_error *err, const char *name, const char *wanted)
{
    return assay_error_set(err, ASSAY_INVALID, "\"%s\" must be %s", name, wanted);
}

enum assay_status assay_json_text(const json_t *object, const char *name, const char *otherwise, const char **value,
                                  struct assay_error *err)
{
    const json_t *member;
    *value = otherwise;
    enum assay_status st = find(object, name, &member, err);
    if (st || !member)
        return st;
    if (!json_is_string(member))
        return wrong_type(err, name, "a string");
    *value = json_string_value(member);
    return ASSAY_OK;
}

enum assay_status assay_json_int(const json_t *object, const char *name, int64_t otherwise, int64_t *value,
                                 struct assay_error *err)
{
    const json_t *member;
    *value = otherwise;
    enum assay_status st = find(object, name, &member, err);
    if (st || !member)
        return st;
    if (!json_is_integer(member))
        return wrong_type(err, name, "an integer");
    *value = json_integer_value(member);
    return ASSAY_OK;
}

enum assay_status assay_json_real(const json_t *object, const char *name, double otherwise, double *value,
                                  struct assay_error *err)
{
    const json_t *member;
    *value = otherwise;
    enum assay_status st = find(object, name, &member, err);
    if (st || !member)
        return st;
    if (!json_is_number(member))
        return wrong_type(err, name, "a number");
    *value = json_number_value(member);
    return ASSAY_OK;
}

enum assay_status assay_json_bool(const json_t *object, const char *name, bool otherwise, bool *value, struct assay_error *err)
{
    const json_t *member;
    *value = otherwise;
    enum assay_status st = find(object, name, &member, err);
    if (st || !member)
        return st;
    if (!json_is_boolean(member))
        return wrong_type(err, name, "true or false");
    *value = json_is_true(member);
    return ASSAY_OK;
}
