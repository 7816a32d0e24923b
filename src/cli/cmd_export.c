/* SPDX-License-Identifier: Apache-2.0 */
/* assay export: rows of the lake, or an SQL result, into a file. */
#include "cli/rows.h"

static const struct assay_cli_option options[] = {
    ASSAY_OPTIONS_FILTER,
    {"sql", ASSAY_OPTION_TEXT, "STATEMENT", "Export the result of this statement on the view `results` instead.", NULL},
    ASSAY_OPTION_LAKE,
    ASSAY_OPTION_END,
};

static int run(struct assay_cli *cli)
{
    struct assay_error err;
    struct assay_lake *lake = NULL;
    struct assay_filter filter;
    int64_t n_rows = 0;
    const char *file = cli->arguments[0], *sql = assay_cli_text(cli, "sql", NULL);
    if (sql && assay_rows_is_filtered(cli))
        return assay_cli_usage(cli, "give either --sql or filters: what filters do is WHERE in SQL");
    enum assay_status st = assay_rows_filter(cli, &filter, &err);
    if (!st && !sql)
        sql = assay_filter_sql(&filter, "*", &cli->arena);
    if (!st)
        st = assay_rows_open(cli, &lake, &err);
    if (!st)
        st = assay_lake_export(lake, sql, file, &n_rows, &err);
    if (!st)
        assay_log_line(&cli->log, ASSAY_LOG_INFO, "%lld row%s in %s", (long long)n_rows, n_rows == 1 ? "" : "s", file);
    assay_lake_close(lake);
    return st ? assay_cli_fail(cli, &err) : ASSAY_EXIT_OK;
}

const struct assay_verb assay_verb_export = {
    .name = "export",
    .summary = "write rows of the lake to a file",
    .usage = "FILE [OPTIONS]",
    .description =
        "Writes the rows that pass all filters given, or the result of an SQL statement (DuckDB's), to a file whose ending "
        "says the format: .jsonl, .csv or .parquet. The file is there as a whole or not at all. `assay import` reads it "
        "back, if it has all columns.",
    .examples = "  assay export all.parquet\n"
                "  assay export bert.csv --model 'bert*' --latest\n"
                "  assay export medians.jsonl --sql \"SELECT model, latency_median_ns FROM results\"\n",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
