/* SPDX-License-Identifier: Apache-2.0 */
/* assay query: rows of the lake by SQL or by filters, as they are for programs and in readable units for people. */
#include "cli/rows.h"

#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct assay_cli_option options[] = {
    ASSAY_OPTIONS_FILTER,
    {"columns", ASSAY_OPTION_TEXTS, "LIST",
     "Columns to show, of docs/row-reference.md, or SQL expressions of them [a readable set; all in json and csv].", NULL},
    ASSAY_OPTION_LAKE,
    ASSAY_OPTION_FORMAT,
    ASSAY_OPTION_END,
};

/* What people see of a row if they ask for nothing else. */
static const char readable_columns[] =
    "time, host, model, platform, mode, scenario, precision, batch, threads, status, latency_median_ns, latency_low_ns, "
    "latency_high_ns, latency_p99_ns, throughput, throughput_unit, peak_memory_bytes, provenance, noisy, run_id";

enum { READABLE_LIMIT = 100 };

static bool is_for_people(const struct assay_cli *cli)
{
    enum assay_format format = assay_cli_format(cli);
    return format == ASSAY_FORMAT_TABLE || format == ASSAY_FORMAT_MARKDOWN;
}

/* ---- units: a column's name ends in its unit, and so can the name that a person's SQL gives */

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), n_end = strlen(end);
    return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

/* "latency_median_ns" -> "latency_median", since the cell has the unit. */
static const char *header_of(const char *name, struct assay_arena *arena)
{
    static const char *const ends[] = {"_ns", "_bytes", "_hz"};
    for (size_t i = 0; i < ASSAY_COUNT(ends); i++)
        if (ends_in(name, ends[i]) && strlen(name) > strlen(ends[i]))
            return assay_arena_strndup(arena, name, strlen(name) - strlen(ends[i]));
    return name;
}

/* Text for people; NULL where the value's own will do. */
static const char *readable(const char *name, const json_t *value, struct assay_arena *arena)
{
    double number = json_number_value(value);
    if (json_is_string(value) && strcmp(name, "time") == 0) {
        /* "2026-11-22T15:04:05.123456Z" to the second */
        const char *text = json_string_value(value);
        return strlen(text) == 27 ? assay_arena_printf(arena, "%.10s %.8s", text, text + 11) : NULL;
    }
    if (!json_is_number(value))
        return NULL;
    if (ends_in(name, "_ns")) {
        char text[32];
        assay_clock_duration_text(number, text, sizeof text);
        return assay_arena_strdup(arena, text);
    }
    if (ends_in(name, "_bytes"))
        return assay_text_bytes(arena, number);
    if (ends_in(name, "_hz"))
        return assay_text_si(arena, number, "Hz");
    if (ends_in(name, "_share"))
        return assay_arena_printf(arena, "%.1f %%", 100 * number);
    if (json_is_real(value))
        return fabs(number) >= 1e5 ? assay_text_si(arena, number, "") : assay_arena_printf(arena, "%.5g", number);
    return NULL;
}

/* ---- running it */

static enum assay_status filter_sql(struct assay_cli *cli, int64_t *limit, const char **sql, struct assay_error *err)
{
    struct assay_filter filter;
    size_t n_columns = 0;
    const char **names = assay_cli_texts(cli, "columns", &n_columns), *columns = "";
    enum assay_status st = assay_rows_filter(cli, &filter, err);
    if (st)
        return st;
    for (size_t i = 0; i < n_columns; i++)
        columns = assay_arena_printf(&cli->arena, "%s%s%s", columns, i ? ", " : "", names[i]);
    if (n_columns == 0)
        columns = is_for_people(cli) ? readable_columns : "*";
    /* A row more than is shown tells whether there are more. */
    *limit = 0;
    if (is_for_people(cli) && !assay_cli_given(cli, "limit")) {
        *limit = READABLE_LIMIT;
        filter.limit = READABLE_LIMIT + 1;
    }
    *sql = assay_filter_sql(&filter, columns, &cli->arena);
    return ASSAY_OK;
}

/* Names of SQL need not differ, those of JSON's members must. */
static const char *unique_name(struct assay_table *table, const char *name)
{
    const char *unique = name;
    for (int c = 0, n = 1; c < table->n_columns; c++)
        if (strcmp(table->names[c], unique) == 0) {
            unique = assay_arena_printf(&table->arena, "%s_%d", name, ++n);
            c = -1;
        }
    return unique;
}

static int print_rows(struct assay_cli *cli, struct assay_query *query, int64_t limit)
{
    struct assay_table table;
    struct assay_arena scratch;
    bool people = is_for_people(cli);
    int n_columns = assay_query_n_columns(query);
    int64_t n = 0;
    assay_table_init(&table);
    assay_arena_init(&scratch);
    for (int c = 0; c < n_columns; c++) {
        const char *name = unique_name(&table, assay_query_column_name(query, c));
        assay_table_column(&table, people ? header_of(name, &scratch) : name, name, false);
    }
    assay_table_stream(&table, assay_cli_format(cli), stdout);
    while (assay_query_next(query) && (limit == 0 || n++ < limit)) {
        assay_table_row(&table);
        for (int c = 0; c < n_columns; c++) {
            json_t *value = assay_query_json(query, c);
            table.right[c] |= json_is_number(value);
            assay_table_set(&table, c, people ? readable(table.names[c], value, &scratch) : NULL, value);
        }
        assay_arena_clear(&scratch);
    }
    int code = assay_cli_print(cli, &table);
    if (limit && n > limit)
        assay_log_line(&cli->log, ASSAY_LOG_INFO, "these are the newest %lld rows of more: --limit 0 shows all",
                       (long long)limit);
    assay_arena_release(&scratch);
    assay_table_release(&table);
    return code;
}

static int run(struct assay_cli *cli)
{
    struct assay_error err;
    struct assay_lake *lake = NULL;
    struct assay_query *query = NULL;
    const char *sql = cli->n_arguments ? cli->arguments[0] : NULL;
    int64_t limit = 0;
    int code;
    if (sql && (assay_rows_is_filtered(cli) || assay_cli_given(cli, "columns")))
        return assay_cli_usage(cli, "give either SQL or filters: what filters do is WHERE in SQL");
    if (sql && strspn(sql, " \t\r\n;") == strlen(sql))
        return assay_cli_usage(cli, "the statement is empty");
    enum assay_status st = sql ? ASSAY_OK : filter_sql(cli, &limit, &sql, &err);
    if (!st)
        st = assay_rows_open(cli, &lake, &err);
    if (!st)
        st = assay_lake_query(lake, sql, &query, &err);
    code = st ? assay_cli_fail(cli, &err) : print_rows(cli, query, limit);
    assay_query_close(query);
    assay_lake_close(lake);
    return code;
}

const struct assay_verb assay_verb_query = {
    .name = "query",
    .summary = "show rows of the lake, by filters or by SQL",
    .usage = "[\"SELECT ...\"] [OPTIONS]",
    .description =
        "Shows rows of the lake, the newest first: those that pass all filters given, or the result of an SQL statement "
        "(DuckDB's) "
        "on the view `results`. In a table, numbers whose column name ends in _ns, _bytes, _hz or _share are shown in readable "
        "units, whatever statement they come from, and without --limit a table ends after 100 rows; json and csv have the "
        "numbers "
        "as they are in the lake, and all rows.",
    .examples = "  assay query --latest --platform 'cpu/*'\n"
                "  assay query --model bert --since 2026-11-01 --columns time,threads,latency_median_ns\n"
                "  assay query --run 20261122T161755Z-0f55-2a45c481 --format json\n"
                "  assay query \"SELECT model, platform, median(latency_median_ns) AS median_ns FROM results GROUP BY ALL\"\n",
    .options = options,
    .max_arguments = 1,
    .run = run,
};
