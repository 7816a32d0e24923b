/* SPDX-License-Identifier: Apache-2.0 */
/* assay help: help of a verb or of all, and the two pages of docs/ that are made from tables: the manual and the row reference.
 */
#include "cli/cli.h"

#include "row/row.h"

#include <string.h>

static const struct assay_cli_option options[] = {
    {"markdown", ASSAY_OPTION_FLAG, NULL, "Print the manual of all verbs as Markdown (docs/cli.md).", NULL},
    {"row-reference", ASSAY_OPTION_FLAG, NULL, "Print the columns of a result row as Markdown (docs/row-reference.md).", NULL},
    ASSAY_OPTION_END,
};

static void print_row_reference(void)
{
    printf(
        "# The result row\n\nMade from the list of columns by `assay help --row-reference`; `tools/docs.sh` writes it anew.\n\n"
        "One row is one result, complete in itself. A cell that is null was not measured; it never means 0. Columns are only "
        "ever\n"
        "added. The names are those of the lake's Parquet files, of the view `results` in `assay query`, and of JSON and CSV.\n"
        "This is schema version %d.\n\n"
        "| column | type | SQL type | unit | what it says |\n| --- | --- | --- | --- | --- |\n",
        ASSAY_SCHEMA_VERSION);
    for (int i = 0; i < ASSAY_N_COLUMNS; i++) {
        const struct assay_column_info *column = &assay_columns[i];
        printf("| `%s` | %s | `%s` | %s | %s |\n", column->name, assay_column_kind_word(column->kind),
               assay_column_kind_sql(column->kind), column->unit, column->doc);
    }
}

static int run(struct assay_cli *cli)
{
    const struct assay_verb *verb = NULL;
    if (assay_cli_flag(cli, "markdown")) {
        assay_cli_manual();
        return ASSAY_EXIT_OK;
    }
    if (assay_cli_flag(cli, "row-reference")) {
        print_row_reference();
        return ASSAY_EXIT_OK;
    }
    if (cli->n_arguments && !(verb = assay_cli_find_verb(cli, cli->arguments[0])))
        return ASSAY_EXIT_USAGE;
    assay_cli_help(verb);
    return ASSAY_EXIT_OK;
}

const struct assay_verb assay_verb_help = {
    .name = "help",
    .summary = "print the help of a verb, or the manual",
    .usage = "[VERB] [--markdown] [--row-reference]",
    .description = "Prints what `assay VERB --help` prints, or a page of the documentation.",
    .examples = "  assay help bench\n"
                "  assay help --markdown > docs/cli.md\n",
    .options = options,
    .max_arguments = 1,
    .run = run,
};
