/* SPDX-License-Identifier: Apache-2.0 */
/* Simple filters as SQL: see lake.h. */
#include "lake/internal.h"

#include <string.h>

/* "column = 'x'", or LIKE where the text holds *. */
static char *text_condition(const char *column, const char *text, struct assay_arena *arena)
{
    if (!strchr(text, '*'))
        return assay_arena_printf(arena, "%s = %s", column, assay_lake_sql_text(text, arena));
    char *pattern = assay_arena_alloc(arena, 2 * strlen(text) + 1), *out = pattern;
    for (const char *p = text; *p; p++) {
        if (strchr("%_\\", *p))
            *out++ = '\\';
        *out++ = *p == '*' ? '%' : *p;
    }
    return assay_arena_printf(arena, "%s LIKE %s ESCAPE '\\'", column, assay_lake_sql_text(pattern, arena));
}

static char *and_then(char *sql, const char *condition, struct assay_arena *arena)
{
    return assay_arena_printf(arena, "%s%s%s", sql, sql[0] ? " AND " : "WHERE ", condition);
}

char *assay_filter_sql(const struct assay_filter *filter, const char *columns, struct assay_arena *arena)
{
    const struct {
        const char *column, *text;
    } texts[] = {
        {"model", filter->model},       {"platform", filter->platform},     {"mode", filter->mode},
        {"scenario", filter->scenario}, {"precision", filter->precision},   {"status", filter->status},
        {"host", filter->host},         {"suite", filter->suite},           {"run_id", filter->run_id},
        {"family", filter->family},     {"provenance", filter->provenance},
    };
    char *where = "";
    for (size_t i = 0; i < ASSAY_COUNT(texts); i++) {
        if (texts[i].text)
            where = and_then(where, text_condition(texts[i].column, texts[i].text, arena), arena);
    }
    if (filter->batch)
        where = and_then(where, assay_arena_printf(arena, "batch = %lld", (long long)filter->batch), arena);
    if (filter->threads)
        where = and_then(where, assay_arena_printf(arena, "threads = %lld", (long long)filter->threads), arena);
    if (filter->since)
        where = and_then(
            where, assay_arena_printf(arena, "time >= CAST(%s AS TIMESTAMP)", assay_lake_sql_text(filter->since, arena)), arena);
    if (filter->until) {
        /* A date without a time of day means up to its end. */
        bool date = strlen(filter->until) <= strlen("2026-11-22");
        char *literal = assay_lake_sql_text(filter->until, arena);
        where = and_then(
            where, assay_arena_printf(arena, "time %s CAST(%s AS TIMESTAMP) + INTERVAL %d DAY", date ? "<" : "<=", literal, date),
            arena);
    }
    const char *latest = filter->latest ? " QUALIFY row_number() OVER (PARTITION BY host, coalesce(case_id, result_id) ORDER BY "
                                          "time DESC, result_id) = 1"
                                        : "";
    const char *limit = filter->limit ? assay_arena_printf(arena, " LIMIT %lld", (long long)filter->limit) : "";
    return assay_arena_printf(arena, "SELECT %s FROM (SELECT * FROM results %s%s) ORDER BY time DESC, result_id%s", columns,
                              where, latest, limit);
}
