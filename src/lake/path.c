/* SPDX-License-Identifier: Apache-2.0 */
/* Where the lake is, the names of its files, and text in SQL: see lake.h and internal.h. */
#include "lake/internal.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST_PART = 64 };

enum assay_status assay_lake_path(const char *option, struct assay_arena *arena, char **path, struct assay_error *err)
{
    const char *given = option ? option : getenv("ASSAY_LAKE");
    if (option && !option[0])
        return assay_error_set(err, ASSAY_INVALID, "the path of the lake is empty: give a folder");
    if (given && given[0]) {
        *path = assay_arena_strdup(arena, given);
        return ASSAY_OK;
    }
    char *data;
    enum assay_status st = assay_path_data(arena, &data, err);
    if (!st)
        *path = assay_path_join(arena, data, "lake");
    return st;
}

bool assay_lake_name_parse(const char *path, struct assay_lake_name *name)
{
    static const char plain[] = ".parquet", merged[] = ".merged.parquet";
    const char *base = assay_path_name(path);
    size_t n = strlen(base), end = sizeof merged - 1;
    name->merged = n > end && strcmp(base + n - end, merged) == 0;
    if (!name->merged)
        end = sizeof plain - 1;
    if (n < end + ASSAY_LAKE_HASH_DIGITS + 2 || strcmp(base + n - strlen(plain), plain) != 0)
        return false;
    const char *hash = base + n - end - ASSAY_LAKE_HASH_DIGITS;
    if (hash[-1] != '.' || strspn(hash, "0123456789abcdef") != ASSAY_LAKE_HASH_DIGITS)
        return false;
    memcpy(name->hash, hash, ASSAY_LAKE_HASH_DIGITS);
    name->hash[ASSAY_LAKE_HASH_DIGITS] = '\0';
    return true;
}

char *assay_lake_path_part(const char *text, struct assay_arena *arena)
{
    if (!text || !text[0])
        return assay_arena_strdup(arena, "none");
    size_t n = strlen(text);
    char *part = assay_arena_strndup(arena, text, n < LONGEST_PART ? n : LONGEST_PART);
    for (char *p = part; *p; p++) {
        bool fine = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("._-", *p);
        if (!fine || (p == part && *p == '.'))
            *p = '_';
    }
    return part;
}

/* Appends `text` at `out` inside an SQL literal; wild cards of paths as one-character sets. Returns the new end. */
static char *put_literal(char *out, const char *text, bool is_path)
{
    *out++ = '\'';
    for (; *text; text++) {
        if (is_path && strchr("*?[", *text)) {
            *out++ = '[';
            *out++ = *text;
            *out++ = ']';
            continue;
        }
        if (*text == '\'')
            *out++ = '\'';
        *out++ = *text;
    }
    *out++ = '\'';
    return out;
}

char *assay_lake_sql_text(const char *text, struct assay_arena *arena)
{
    char *sql = assay_arena_alloc(arena, 2 * strlen(text) + 3);
    put_literal(sql, text, false);
    return sql;
}

char *assay_lake_sql_paths(const char *const *paths, size_t n_paths, struct assay_arena *arena)
{
    size_t size = 3;
    for (size_t i = 0; i < n_paths; i++)
        size += 3 * strlen(paths[i]) + 3;
    char *sql = assay_arena_alloc(arena, size), *out = sql;
    *out++ = '[';
    for (size_t i = 0; i < n_paths; i++) {
        if (i)
            *out++ = ',';
        out = put_literal(out, paths[i], true);
    }
    *out = ']';
    return sql;
}
