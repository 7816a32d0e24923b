/* SPDX-License-Identifier: Apache-2.0 */
/* assay import: rows from files into the lake. */
#include "cli/rows.h"

static const struct assay_cli_option options[] = {ASSAY_OPTION_LAKE, ASSAY_OPTION_END};

static int run(struct assay_cli *cli)
{
    struct assay_error err;
    char *path = NULL;
    if (assay_rows_path(cli, &path, &err))
        return assay_cli_fail(cli, &err);
    for (int i = 0; i < cli->n_arguments; i++) {
        int64_t n_rows = 0, n_skipped = 0;
        if (assay_lake_import(path, cli->arguments[i], &n_rows, &n_skipped, &err))
            return assay_cli_fail(cli, &err);
        assay_log_line(&cli->log, ASSAY_LOG_INFO, "%s: %lld rows imported, %lld were there already", cli->arguments[i],
                       (long long)n_rows, (long long)n_skipped);
    }
    return ASSAY_EXIT_OK;
}

const struct assay_verb assay_verb_import = {
    .name = "import",
    .summary = "take rows from files into the lake",
    .usage = "FILE... [OPTIONS]",
    .description =
        "Takes the rows of files that end in .jsonl, .csv or .parquet, with the columns of docs/row-reference.md, into the "
        "lake. Every row is checked; at the first bad one nothing of its file is imported, nor of those after it. Rows "
        "that the lake has already (by result_id) are skipped, so importing twice is harmless.",
    .examples = "  assay import results.jsonl\n"
                "  assay import laptop.parquet phone.parquet --lake /srv/lake\n",
    .options = options,
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run,
};
