/* SPDX-License-Identifier: Apache-2.0 */
/* assay lake: where the lake is, what it holds, and its maintenance. The work is in lake/. */
#include "cli/rows.h"

#include "base/clock.h"
#include "base/fs.h"

#include <string.h>

static const struct assay_cli_option options[] = {ASSAY_OPTION_LAKE, ASSAY_OPTION_FORMAT, ASSAY_OPTION_END};

static const struct {
    const char *header, *name;
} stat_columns[] = {
    {"lake", "lake"},
    {"files", "files"},
    {"rows", "rows"},
    {"runs", "runs"},
    {"hosts", "hosts"},
    {"models", "models"},
    {"platforms", "platforms"},
    {"size", "size_bytes"},
    {"first", "first_time"},
    {"last", "last_time"},
    {"damaged files", "damaged_files"},
};

static void set_time(struct assay_table *table, int column, int64_t us)
{
    char text[ASSAY_UTC_TEXT_SIZE];
    if (us == 0)
        return;
    assay_clock_utc_text(us, text);
    assay_table_text(table, column, text);
}

static int print_stat(struct assay_cli *cli, const char *path, const struct assay_lake_stat *stat)
{
    const int64_t counts[] = {stat->n_files, stat->n_rows, stat->n_runs, stat->n_hosts, stat->n_models, stat->n_platforms};
    struct assay_table table;
    assay_table_init(&table);
    table.upright = true;
    for (size_t i = 0; i < ASSAY_COUNT(stat_columns); i++)
        assay_table_column(&table, stat_columns[i].header, stat_columns[i].name, false);
    assay_table_row(&table);
    assay_table_text(&table, 0, path);
    for (size_t i = 0; i < ASSAY_COUNT(counts); i++)
        assay_table_int(&table, 1 + (int)i, counts[i]);
    assay_table_set(&table, 7, assay_text_bytes(&table.arena, (double)stat->size_bytes), json_integer(stat->size_bytes));
    set_time(&table, 8, stat->first_us);
    set_time(&table, 9, stat->last_us);
    assay_table_int(&table, 10, stat->n_damaged);
    int code = assay_cli_print(cli, &table);
    assay_table_release(&table);
    return code;
}

/* ---- the actions */

static int print_path(struct assay_cli *cli, const char *path)
{
    (void)cli;
    printf("%s\n", path);
    return ASSAY_EXIT_OK;
}

/* Naught is counted where nothing is: a mistyped folder would pass for an empty lake. */
static bool is_here(const struct assay_cli *cli, const char *path)
{
    struct assay_error err;
    if (assay_fs_exists(path))
        return true;
    assay_error_set(&err, ASSAY_ABSENT, "there is no lake at %s: `assay bench` and `assay import` make one", path);
    assay_cli_fail(cli, &err);
    return false;
}

static int show_stat(struct assay_cli *cli, const char *path)
{
    struct assay_lake_stat stat;
    struct assay_error err;
    return assay_lake_stat(path, &stat, assay_rows_warn, cli, &err) ? assay_cli_fail(cli, &err) : print_stat(cli, path, &stat);
}

static void warn_wrong(void *context, const char *file, const char *reason)
{
    assay_log_line(&((struct assay_cli *)context)->log, ASSAY_LOG_WARNING, "%s: %s", file, reason);
}

static int verify(struct assay_cli *cli, const char *path)
{
    struct assay_lake_stat stat;
    struct assay_error err;
    enum assay_status st = assay_lake_verify(path, &stat, warn_wrong, cli, &err);
    if (st && st != ASSAY_MISMATCH)
        return assay_cli_fail(cli, &err);
    int code = print_stat(cli, path, &stat);
    return st ? assay_cli_fail(cli, &err) : code;
}

static int compact(struct assay_cli *cli, const char *path)
{
    struct assay_lake_stat before, after;
    struct assay_error err;
    if (assay_lake_compact(path, &before, &after, assay_rows_warn, cli, &err))
        return assay_cli_fail(cli, &err);
    assay_log_line(&cli->log, ASSAY_LOG_INFO, "%lld files became %lld", (long long)before.n_files, (long long)after.n_files);
    return print_stat(cli, path, &after);
}

static int copy(struct assay_cli *cli, const char *from, const char *to)
{
    struct assay_error err;
    int64_t n_copied = 0;
    enum assay_status st = assay_lake_backup(from, to, &n_copied, assay_rows_warn, cli, &err);
    if (!st || n_copied)
        assay_log_line(&cli->log, ASSAY_LOG_INFO, "%lld file%s copied to %s", (long long)n_copied, n_copied == 1 ? "" : "s", to);
    return st ? assay_cli_fail(cli, &err) : ASSAY_EXIT_OK;
}

static int run(struct assay_cli *cli)
{
    static const struct {
        const char *word;
        int (*act)(struct assay_cli *, const char *path);
        bool needs_lake;
    } actions[] = {{"path", print_path, false}, {"stat", show_stat, true}, {"verify", verify, true}, {"compact", compact, true}};
    struct assay_error err;
    char *path = NULL;
    const char *word = cli->arguments[0], *folder = cli->arguments[1];
    bool is_backup = strcmp(word, "backup") == 0, is_restore = strcmp(word, "restore") == 0;
    if (assay_rows_path(cli, &path, &err))
        return assay_cli_fail(cli, &err);
    if ((is_backup || is_restore) && !folder)
        return assay_cli_usage(cli, "lake %s needs a folder", word);
    if (is_backup)
        return copy(cli, path, folder);
    if (is_restore)
        return copy(cli, folder, path);
    for (size_t i = 0; i < ASSAY_COUNT(actions); i++)
        if (strcmp(actions[i].word, word) == 0)
            return folder ? assay_cli_usage(cli, "lake %s does not take '%s'", word, folder)
                   : actions[i].needs_lake && !is_here(cli, path) ? ASSAY_EXIT_FAILED
                                                                  : actions[i].act(cli, path);
    return assay_cli_usage(cli, "lake does path, stat, verify, compact, backup and restore, not '%s'", word);
}

static const char *const words[] = {"path", "stat", "verify", "compact", "backup", "restore", NULL};

const struct assay_verb assay_verb_lake = {
    .name = "lake",
    .summary = "say where the lake is and what it holds; verify, compact, back up",
    .usage = "path|stat|verify|compact|backup DIR|restore DIR [OPTIONS]",
    .description =
        "path prints the lake's folder. stat counts what it holds. verify reads every file in full and compares it with the hash "
        "in "
        "its name, and every row with the rules; exit code 1 if one is damaged or wrong. compact merges the small files of each "
        "host and day into one; no row is lost or doubled, even when it is killed. backup copies what DIR lacks of the lake, and "
        "restore what the lake lacks of DIR, each file verified; nothing is ever deleted there.",
    .examples = "  assay lake stat\n"
                "  assay lake verify --lake /srv/lake\n"
                "  assay lake backup /mnt/backup/lake\n",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 2,
    .words = words,
    .run = run,
};
