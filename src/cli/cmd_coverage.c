/* SPDX-License-Identifier: Apache-2.0 */
/* assay coverage: which families ran where, in which mode and precision, from the lake; each cell without a row says why. */
#include "base/clock.h"
#include "cli/rows.h"
#include "model/family.h"
#include "runtime/registry.h"

#include <stdio.h>
#include <string.h>

static const struct assay_cli_option options[] = {
    ASSAY_OPTIONS_FILTER,
    {"all", ASSAY_OPTION_FLAG, NULL, "In a table, also lines without any row, and platforms that are absent.", NULL},
    ASSAY_OPTION_LAKE,
    ASSAY_OPTION_FORMAT,
    ASSAY_OPTION_END,
};

enum axis { FAMILY, PLATFORM, MODE, PRECISION, N_AXES };
static const char *const axis_names[N_AXES] = {"family", "platform", "mode", "precision"};
static const char not_recognised[] = "(not recognised)";
/* The numbers and texts of a group, as the statement has them after the axes. */
enum figure {
    PROVENANCE,
    N_ROWS,
    N_MODELS,
    N_HOSTS,
    MEDIAN,
    LAST,
    N_OK,
    N_MISMATCH,
    N_UNSUPPORTED,
    N_NO_MEMORY,
    N_TIMEOUT,
    N_CRASHED,
    REASON,
    N_REASONS,
    N_FIGURES
};
static const char *const figure_names[N_FIGURES] = {"provenance", "n_rows",    "n_models",   "n_hosts",       "latency_median_ns",
                                                    "last",       "n_ok",      "n_mismatch", "n_unsupported", "n_no_memory",
                                                    "n_timeout",  "n_crashed", "reason",     "n_reasons"};
/* In the order in which a cell's state is the first that any of its rows has. */
static const struct {
    enum figure count;
    const char *word;
} states[] = {{N_MISMATCH, "mismatch"},   {N_CRASHED, "crashed"}, {N_TIMEOUT, "timeout"},
              {N_NO_MEMORY, "no_memory"}, {N_OK, "ok"},           {N_UNSUPPORTED, "unsupported"}};

/* The rows of one cell and one provenance: figures of different provenance are never mixed. */
struct group {
    const char *at[N_AXES];
    json_t *figures[N_FIGURES];
};

struct words {
    const char **items;
    size_t n, room;
};

struct coverage {
    struct assay_cli *cli;
    struct assay_arena *arena;
    struct assay_filter filter;
    bool is_filtered; /* by more than the axes */
    struct words axes[N_AXES];
    struct assay_platform_list platforms;
    struct group *groups;
    size_t n_groups, room;
    struct words notes; /* sentences that cells of the matrix refer to, by number */
};

/* ---- the axes */

/* '*' stands for any text, as in the lake's filters. */
static bool fits(const char *pattern, const char *text)
{
    const char *star = NULL, *from = text;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            from = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

/* The index of a word, which is added if it is new. */
static size_t index_of(struct words *words, const char *word, struct assay_arena *arena)
{
    for (size_t i = 0; i < words->n; i++)
        if (strcmp(words->items[i], word) == 0)
            return i;
    if (words->n == words->room) {
        size_t room = 2 * words->room + 16;
        words->items = assay_arena_grow(arena, words->items, words->n, room, sizeof *words->items);
        words->room = room;
    }
    words->items[words->n] = word;
    return words->n++;
}

static void add_word(struct coverage *c, enum axis axis, const char *word)
{
    const char *const patterns[N_AXES] = {c->filter.family, c->filter.platform, c->filter.mode, c->filter.precision};
    if (!patterns[axis] || fits(patterns[axis], word))
        index_of(&c->axes[axis], word, c->arena);
}

/* What this program knows of; what only the lake has follows. */
static void add_known(struct coverage *c)
{
    static const char *const precisions[] = {"f32", "f16", "bf16", "int8"};
    for (int i = 0; assay_family_at(i); i++)
        add_word(c, FAMILY, assay_family_at(i)->name);
    assay_platforms_list(c->arena, &c->platforms);
    for (int i = 0; i < c->platforms.n; i++)
        if (!c->platforms.items[i].is_test)
            add_word(c, PLATFORM, c->platforms.items[i].name);
    for (size_t i = 0; assay_mode_words[i]; i++)
        add_word(c, MODE, assay_mode_words[i]);
    for (size_t i = 0; i < ASSAY_COUNT(precisions); i++)
        add_word(c, PRECISION, precisions[i]);
}

/* ---- the lake */

static const char *statement(struct coverage *c)
{
    return assay_arena_printf(
        c->arena,
        "SELECT coalesce(family, '%s'), platform, mode, coalesce(precision, '?'), provenance, count(*), count(DISTINCT model), "
        "count(DISTINCT host), median(latency_median_ns) FILTER (status = 'ok'), strftime(max(time), '%%Y-%%m-%%d'), "
        "count(*) FILTER (status = 'ok'), count(*) FILTER (status = 'mismatch'), count(*) FILTER (status = 'unsupported'), "
        "count(*) FILTER (status = 'no_memory'), count(*) FILTER (status = 'timeout'), count(*) FILTER (status = 'crashed'), "
        "arg_max(reason, time) FILTER (status <> 'ok'), count(DISTINCT reason) FILTER (status <> 'ok') "
        "FROM (%s) GROUP BY ALL ORDER BY ALL",
        not_recognised, assay_filter_sql(&c->filter, "*", c->arena));
}

static enum assay_status read_groups(struct coverage *c, struct assay_error *err)
{
    struct assay_lake *lake = NULL;
    struct assay_query *query = NULL;
    enum assay_status st = assay_rows_open(c->cli, &lake, err);
    if (!st)
        st = assay_lake_query(lake, statement(c), &query, err);
    while (!st && assay_query_next(query)) {
        if (c->n_groups == c->room) {
            size_t room = 2 * c->room + 64;
            c->groups = assay_arena_grow(c->arena, c->groups, c->n_groups, room, sizeof *c->groups);
            c->room = room;
        }
        struct group *group = &c->groups[c->n_groups++];
        for (int i = 0; i < N_AXES; i++) {
            const char *text = assay_query_text(query, i, c->arena);
            group->at[i] = text ? text : "?";
            add_word(c, i, group->at[i]);
        }
        for (int i = 0; i < N_FIGURES; i++)
            group->figures[i] = assay_query_json(query, N_AXES + i);
    }
    assay_query_close(query);
    assay_lake_close(lake);
    return st;
}

/* ---- cells */

/* The group of a cell after `group` (NULL = the first); NULL if there is none. */
static const struct group *next_group(const struct coverage *c, const char *const *at, const struct group *group)
{
    for (size_t i = group ? (size_t)(group - c->groups) + 1 : 0; i < c->n_groups; i++) {
        bool same = true;
        for (int k = 0; k < N_AXES; k++)
            same &= strcmp(c->groups[i].at[k], at[k]) == 0;
        if (same)
            return &c->groups[i];
    }
    return NULL;
}

static const char *state_of(const struct group *group)
{
    for (size_t i = 0; i < ASSAY_COUNT(states); i++)
        if (json_integer_value(group->figures[states[i].count]) > 0)
            return states[i].word;
    return "?";
}

/* Whether f32 models can be run in it. */
static bool is_converted(const char *precision) { return strcmp(precision, "f16") == 0 || strcmp(precision, "bf16") == 0; }

/* Why a cell has no row. */
static const char *absent_reason(const struct coverage *c, const char *const *at)
{
    const struct assay_platform *platform = NULL;
    for (int i = 0; i < c->platforms.n; i++)
        if (strcmp(c->platforms.items[i].name, at[PLATFORM]) == 0)
            platform = &c->platforms.items[i];
    if (!platform)
        return "this program has no such platform: its rows come from elsewhere";
    if (!platform->available)
        return assay_arena_printf(c->arena, "platform absent: %s", platform->reason);
    if (strcmp(at[PRECISION], "int8") == 0)
        return strcmp(at[MODE], "training") == 0 ? "no row in this lake: integers have no gradient"
                                                 : "no row in this lake, and models are not quantized here yet";
    if (c->is_filtered)
        return "no row in this lake passes the filters";
    if (strcmp(at[MODE], "training") == 0)
        return assay_arena_printf(c->arena, "no row in this lake: assay bench MODEL --mode training%s%s makes one",
                                  is_converted(at[PRECISION]) ? " --precision " : "",
                                  is_converted(at[PRECISION]) ? at[PRECISION] : "");
    if (is_converted(at[PRECISION]))
        return assay_arena_printf(c->arena, "no row in this lake: assay bench MODEL --precision %s makes one", at[PRECISION]);
    return "no row in this lake";
}

/* " [2]": the number of the note that says why. */
static const char *note(struct coverage *c, const char *sentence)
{
    return assay_arena_printf(c->arena, " [%zu]", index_of(&c->notes, sentence, c->arena) + 1);
}

/* "ok 1.50 ms (4 rows, measured)", "ok 1.50 ms, 1 mismatch [1] (5 rows, measured)", "unsupported [2] (2 rows, measured)". */
static const char *group_text(struct coverage *c, const struct group *group)
{
    struct assay_arena *arena = c->arena;
    const char *text = "", *reason = json_string_value(group->figures[REASON]);
    json_int_t n_reasons = json_integer_value(group->figures[N_REASONS]), n_rows = json_integer_value(group->figures[N_ROWS]);
    if (json_integer_value(group->figures[N_OK]) > 0) {
        char median[32] = "";
        if (json_is_number(group->figures[MEDIAN]))
            assay_clock_duration_text(json_number_value(group->figures[MEDIAN]), median, sizeof median);
        text = assay_arena_printf(arena, "ok%s%s", *median ? " " : "", median);
    }
    for (size_t i = 0; i < ASSAY_COUNT(states); i++) {
        json_int_t n = json_integer_value(group->figures[states[i].count]);
        if (n == n_rows && states[i].count != N_OK)
            text = states[i].word;
        else if (n > 0 && states[i].count != N_OK)
            text = assay_arena_printf(arena, "%s%s%lld %s", text, *text ? ", " : "", (long long)n, states[i].word);
    }
    if (reason && n_reasons > 1)
        reason = assay_arena_printf(arena, "%s (and %lld more reasons)", reason, (long long)n_reasons - 1);
    const char *provenance = json_string_value(group->figures[PROVENANCE]);
    return assay_arena_printf(arena, "%s%s (%lld row%s, %s)", text, reason ? note(c, reason) : "", (long long)n_rows,
                              n_rows == 1 ? "" : "s", provenance ? provenance : "?");
}

static const char *cell_text(struct coverage *c, const char *const *at)
{
    const char *text = "";
    for (const struct group *group = next_group(c, at, NULL); group; group = next_group(c, at, group))
        text = assay_arena_printf(c->arena, "%s%s%s", text, *text ? "; " : "", group_text(c, group));
    return *text ? text : assay_arena_printf(c->arena, "absent%s", note(c, absent_reason(c, at)));
}

/* ---- for people: a line for each family, mode and precision, a column for each platform */

static bool is_wholly_absent(const struct coverage *c, const char **at)
{
    for (size_t p = 0; p < c->axes[PLATFORM].n; p++) {
        at[PLATFORM] = c->axes[PLATFORM].items[p];
        if (next_group(c, at, NULL))
            return false;
    }
    return true;
}

/* Whether it has no row and is not on this machine: such a platform is a sentence, not a column. */
static const char *left_out(const struct coverage *c, const char *platform)
{
    const char *reason = NULL;
    for (int i = 0; i < c->platforms.n; i++)
        if (strcmp(c->platforms.items[i].name, platform) == 0 && !c->platforms.items[i].available)
            reason = c->platforms.items[i].reason;
    for (size_t i = 0; i < c->n_groups; i++)
        if (strcmp(c->groups[i].at[PLATFORM], platform) == 0)
            return NULL;
    return assay_cli_flag(c->cli, "all") ? NULL : reason;
}

static void add_line(struct coverage *c, const char **at, struct assay_table *table)
{
    assay_table_row(table);
    assay_table_text(table, 0, at[FAMILY]);
    assay_table_text(table, 1, at[MODE]);
    assay_table_text(table, 2, at[PRECISION]);
    for (int p = 0; p < table->n_columns - 3; p++) {
        at[PLATFORM] = table->names[3 + p];
        assay_table_text(table, 3 + p, cell_text(c, at));
    }
}

static void print_notes(const struct coverage *c)
{
    for (size_t i = 0; i < c->notes.n; i++)
        printf("%s[%zu] %s\n", i ? "" : "\n", i + 1, c->notes.items[i]);
}

static int print_matrix(struct coverage *c)
{
    struct assay_table table;
    const char *at[N_AXES];
    bool all = assay_cli_flag(c->cli, "all"), is_known;
    size_t n_left_out = 0;
    assay_table_init(&table);
    assay_table_column(&table, "family", "family", false);
    assay_table_column(&table, "mode", "mode", false);
    assay_table_column(&table, "precision", "precision", false);
    for (size_t p = 0; p < c->axes[PLATFORM].n; p++)
        if (!left_out(c, c->axes[PLATFORM].items[p]))
            assay_table_column(&table, c->axes[PLATFORM].items[p], c->axes[PLATFORM].items[p], false);
    for (size_t f = 0; f < c->axes[FAMILY].n; f++)
        for (size_t m = 0; m < c->axes[MODE].n; m++)
            for (size_t p = 0; p < c->axes[PRECISION].n; p++) {
                at[FAMILY] = c->axes[FAMILY].items[f];
                at[MODE] = c->axes[MODE].items[m];
                at[PRECISION] = c->axes[PRECISION].items[p];
                is_known = strcmp(at[MODE], "inference") == 0 && strcmp(at[PRECISION], "f32") == 0;
                if (all || is_known || !is_wholly_absent(c, at))
                    add_line(c, at, &table);
                else
                    n_left_out++;
            }
    int code = assay_cli_print(c->cli, &table);
    print_notes(c);
    for (size_t p = 0; p < c->axes[PLATFORM].n; p++) {
        const char *reason = left_out(c, c->axes[PLATFORM].items[p]);
        if (reason)
            assay_log_line(&c->cli->log, ASSAY_LOG_INFO, "%s is left out, since it is absent: %s", c->axes[PLATFORM].items[p],
                           reason);
    }
    if (n_left_out)
        assay_log_line(&c->cli->log, ASSAY_LOG_INFO,
                       "%zu lines without any row are left out (assay bench --mode training and --precision f16,bf16 fill "
                       "them): --all shows them",
                       n_left_out);
    assay_table_release(&table);
    return code;
}

/* ---- for programs: a row for each cell, or for each provenance in it */

static void add_cell(const struct coverage *c, const char *const *at, const struct group *group, struct assay_table *table)
{
    int column = N_AXES;
    assay_table_row(table);
    for (int i = 0; i < N_AXES; i++)
        assay_table_text(table, i, at[i]);
    assay_table_text(table, column++, group ? state_of(group) : "absent");
    for (int i = 0; i < N_FIGURES; i++, column++) {
        if (group)
            assay_table_set(table, column, NULL, json_incref(group->figures[i]));
        else if (i == REASON)
            assay_table_text(table, column, absent_reason(c, at));
        else if (i == N_ROWS)
            assay_table_int(table, column, 0);
    }
}

static void add_cells(const struct coverage *c, const char **at, int axis, struct assay_table *table)
{
    if (axis == N_AXES) {
        const struct group *group = next_group(c, at, NULL);
        do
            add_cell(c, at, group, table);
        while (group && (group = next_group(c, at, group)));
        return;
    }
    for (size_t i = 0; i < c->axes[axis].n; i++) {
        at[axis] = c->axes[axis].items[i];
        add_cells(c, at, axis + 1, table);
    }
}

static int print_cells(const struct coverage *c)
{
    struct assay_table table;
    const char *at[N_AXES];
    assay_table_init(&table);
    for (int i = 0; i < N_AXES; i++)
        assay_table_column(&table, axis_names[i], axis_names[i], false);
    assay_table_column(&table, "state", "state", false);
    for (int i = 0; i < N_FIGURES; i++)
        assay_table_column(&table, figure_names[i], figure_names[i], false);
    add_cells(c, at, 0, &table);
    int code = assay_cli_print(c->cli, &table);
    assay_table_release(&table);
    return code;
}

static int run(struct assay_cli *cli)
{
    struct assay_error err;
    struct coverage c = {.cli = cli, .arena = &cli->arena};
    enum assay_format format = assay_cli_format(cli);
    enum assay_status st = assay_rows_filter(cli, &c.filter, &err);
    int code;
    if (!st) {
        const struct assay_filter *f = &c.filter;
        c.is_filtered = f->model || f->scenario || f->status || f->host || f->suite || f->run_id || f->provenance || f->since ||
                        f->until || f->batch || f->threads || f->limit;
        add_known(&c);
        st = read_groups(&c, &err);
    }
    if (st)
        code = assay_cli_fail(cli, &err);
    else if (format == ASSAY_FORMAT_TABLE || format == ASSAY_FORMAT_MARKDOWN)
        code = print_matrix(&c);
    else
        code = print_cells(&c);
    for (size_t i = 0; i < c.n_groups; i++)
        for (int k = 0; k < N_FIGURES; k++)
            json_decref(c.groups[i].figures[k]);
    return code;
}

const struct assay_verb assay_verb_coverage = {
    .name = "coverage",
    .summary = "show which model families ran on which platforms, and why others did not",
    .usage = "[OPTIONS]",
    .description =
        "Prints the matrix of family, platform, mode and precision from the rows of the lake that pass all filters given. A cell "
        "with rows has their median, statuses, number and provenance (figures of different provenance are never mixed; the "
        "median "
        "is that of the rows' medians, whatever their models and hosts); a cell without rows says why it is absent. In a table, "
        "reasons are notes below it, by number, "
        "lines without any row are left out unless they are inference in f32, and so are platforms that are absent; json and csv "
        "have each cell as a row, with the "
        "state: ok, absent, or what went wrong in any of its rows.",
    .examples = "assay coverage\n"
                "assay coverage --platform 'cpu/*' --latest\n"
                "assay coverage --family 'llava*' --all --format markdown\n"
                "assay bench --suite suites/families.yaml && assay coverage --suite families --format json\n"
                "assay bench bert-tiny --dim sequence=64 --precision f32,f16,bf16; assay coverage --family bert\n",
    .options = options,
    .max_arguments = 0,
    .run = run,
};
