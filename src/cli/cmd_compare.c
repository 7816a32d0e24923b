/* SPDX-License-Identifier: Apache-2.0 */
/* assay compare: two sets of rows, case by case, with an interval for each difference. The statistics are in stats/. */
#include "cli/compare_side.h"

#include "bench/measure.h"
#include "stats/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const fail_words[] = {"slower", "difference", NULL};

static const struct assay_cli_option options[] = {
    {"by", ASSAY_OPTION_TEXTS, "LIST",
     "Columns that must be equal for two rows to be the same case [model_id, mode, scenario, precision, batch, shape, threads, "
     "platform, isa, without what A and B set to different values].",
     NULL},
    {"level", ASSAY_OPTION_REAL, "SHARE", "Level of the intervals, 0.5 to 0.9999 [0.95].", NULL},
    {"between-run-sd", ASSAY_OPTION_REAL, "SHARE",
     "Where a side has one run of a case: how much medians vary from run to run on this machine, as relative standard deviation "
     "[0.02; 0.14 where the run was noisy].",
     NULL},
    {"threshold", ASSAY_OPTION_REAL, "SHARE", "Differences below this share count as none [0].", NULL},
    {"fail-on", ASSAY_OPTION_CHOICE, "VERDICT",
     "Exit with 1 if B is slower in a case, or if there is any difference: slower, difference.", fail_words},
    ASSAY_OPTION_LAKE,
    ASSAY_OPTION_FORMAT,
    ASSAY_OPTION_END,
};

enum { COLUMN_A = ASSAY_SIDE_N_SHOWN, COLUMN_B, RATIO, LOW, HIGH, P_VALUE, VERDICT, RUNS_A, RUNS_B, PROVENANCE, NOTE };

static const struct assay_table_heading columns[] = {
    {"median A", "a_median_ns", true},   {"median B", "b_median_ns", true}, {"B/A", "ratio", true},
    {"from", "ratio_low", true},         {"to", "ratio_high", true},        {"p", "p_value", true},
    {"B is", "verdict", false},          {"runs A", "a_runs", true},        {"runs B", "b_runs", true},
    {"provenance", "provenance", false}, {"note", "note", false},
};

static void add_columns(struct assay_table *t)
{
    for (size_t i = 0; i < ASSAY_SIDE_N_SHOWN; i++) {
        const struct assay_column_info *column = &assay_columns[assay_side_shown[i]];
        assay_table_column(t, column->name, column->name, column->kind == ASSAY_COLUMN_INT);
    }
    assay_table_columns(t, columns, ASSAY_COUNT(columns));
    t->wraps = true;
}

/* ---- the samples of one side of a case, each row a run */

struct series {
    double *samples;
    int *runs;
    size_t n;
    int n_runs, n_noisy, n_cases;
    double median_ns; /* geometric mean of the runs' medians */
};

static void series_release(struct series *s)
{
    free(s->samples);
    free(s->runs);
}

static enum assay_status gather(struct assay_side_row **rows, size_t n_rows, struct series *s, struct assay_error *err)
{
    double logs = 0, median = NAN;
    size_t n = 0;
    *s = (struct series){0};
    for (size_t i = 0; i < n_rows; i++)
        n += rows[i]->n_samples;
    s->samples = malloc((n + 1) * sizeof *s->samples);
    s->runs = malloc((n + 1) * sizeof *s->runs);
    if (!s->samples || !s->runs)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for %zu samples: compare fewer rows", n);
    for (size_t i = 0; i < n_rows; i++) {
        bool seen = false;
        if (rows[i]->n_samples == 0)
            continue;
        memcpy(s->samples + s->n, rows[i]->samples_ns, rows[i]->n_samples * sizeof *s->samples);
        for (size_t k = 0; k < rows[i]->n_samples; k++)
            s->runs[s->n++] = s->n_runs;
        median = assay_stats_median(rows[i]->samples_ns, rows[i]->n_samples);
        logs += log(median);
        for (size_t k = 0; k < i && !seen; k++)
            seen = rows[k]->n_samples && strcmp(rows[k]->case_id, rows[i]->case_id) == 0;
        s->n_cases += !seen;
        s->n_noisy += rows[i]->noisy;
        s->n_runs++;
    }
    s->median_ns = s->n_runs > 1 ? exp(logs / s->n_runs) : median;
    return ASSAY_OK;
}

/* ---- one case */

struct comparison {
    struct assay_cli *cli;
    struct assay_table *table;
    double level, between_run_sd, threshold;
    int n_faster, n_slower, n_same, n_unknown, n_unmatched, n_noisy, n_mixed;
};

/* What the rows of one side have in a column; NULL if there are none. */
static const char *side_shown(struct assay_side_row **rows, size_t n, int column)
{
    for (size_t i = 1; i < n; i++)
        if (strcmp(rows[i]->shown[column], rows[0]->shown[column]) != 0)
            return "several";
    return n ? rows[0]->shown[column] : NULL;
}

/* "a", or "a → b" where the sides differ. */
static void set_shown(struct comparison *cmp, const struct assay_side_case *c)
{
    struct assay_table *t = cmp->table;
    for (int i = 0; i < ASSAY_SIDE_N_SHOWN; i++) {
        const char *a = side_shown(c->rows[0], c->n[0], i), *b = side_shown(c->rows[1], c->n[1], i);
        const char *text = !a ? b : !b || strcmp(a, b) == 0 ? a : assay_arena_printf(&t->arena, "%s \xe2\x86\x92 %s", a, b);
        char *end;
        int64_t number = strtoll(text, &end, 10);
        bool is_number = assay_columns[assay_side_shown[i]].kind == ASSAY_COLUMN_INT && *text && !*end;
        assay_table_set(t, i, text, is_number ? json_integer(number) : NULL);
    }
}

static void add_note(struct comparison *cmp, const char **note, const char *text)
{
    *note = **note ? assay_arena_printf(&cmp->table->arena, "%s; %s", *note, text) : text;
}

static const char *noise_note(struct comparison *cmp, const char *side, const struct series *s)
{
    return assay_arena_printf(&cmp->table->arena, "%s noisy in %d of %d", side, s->n_noisy, s->n_runs);
}

static void set_notes(struct comparison *cmp, const struct series *a, const struct series *b, bool too_few)
{
    const char *note = too_few ? "too few samples for an interval" : "";
    if (a->n_noisy)
        add_note(cmp, &note, noise_note(cmp, "A", a));
    if (b->n_noisy)
        add_note(cmp, &note, noise_note(cmp, "B", b));
    if (a->n_cases > 1 || b->n_cases > 1)
        add_note(cmp, &note, "several cases in one (host, inputs or options differ)");
    cmp->n_noisy += a->n_noisy || b->n_noisy;
    cmp->n_mixed += a->n_cases > 1 || b->n_cases > 1;
    assay_table_text(cmp->table, NOTE, note);
}

static const char *judge(struct comparison *cmp, const struct assay_ratio *r)
{
    double least = 1 + cmp->threshold;
    if (!r->interval.exists) {
        cmp->n_unknown++;
        return "unknown";
    }
    if (r->interval.low > 1 && r->ratio > least) {
        cmp->n_slower++;
        return "slower";
    }
    if (r->interval.high < 1 && r->ratio < 1 / least) {
        cmp->n_faster++;
        return "faster";
    }
    cmp->n_same++;
    return "no difference";
}

static void compare_series(struct comparison *cmp, const struct series *a, const struct series *b)
{
    enum { N_RESAMPLES = 2000, SEED = 1 };
    struct assay_table *t = cmp->table;
    bool noisy = (a->n_runs == 1 && a->n_noisy) || (b->n_runs == 1 && b->n_noisy);
    double sd = isnan(cmp->between_run_sd) ? assay_measure_between_run_sd(noisy) : cmp->between_run_sd;
    struct assay_ratio r =
        assay_stats_ratio_of_runs(a->samples, a->runs, a->n, b->samples, b->runs, b->n, sd, cmp->level, N_RESAMPLES, SEED);
    assay_table_real(t, RATIO, r.ratio, 4);
    if (r.interval.exists) {
        assay_table_real(t, LOW, r.interval.low, 4);
        assay_table_real(t, HIGH, r.interval.high, 4);
        assay_table_real(t, P_VALUE, r.p_value, 2);
    }
    assay_table_text(t, VERDICT, judge(cmp, &r));
    set_notes(cmp, a, b, !r.interval.exists);
}

/* Why a case has no verdict: a side lacks it, or has no timing of it. */
static void set_uncompared(struct comparison *cmp, const struct assay_side_case *c, const struct series *a)
{
    struct assay_table *t = cmp->table;
    cmp->n_unmatched++;
    if (c->n[0] == 0 || c->n[1] == 0) {
        assay_table_text(t, VERDICT, c->n[0] ? "only in A" : "only in B");
        return;
    }
    int side = a->n_runs ? 1 : 0;
    const struct assay_side_row *row = c->rows[side][0];
    assay_table_text(t, VERDICT, "not compared");
    assay_table_text(t, NOTE,
                     strcmp(row->status, "ok") == 0
                         ? assay_arena_printf(&t->arena, "%c has no samples", 'A' + side)
                         : assay_arena_printf(&t->arena, "%c: %s: %s", 'A' + side, row->status, row->reason));
}

static void set_provenance(struct comparison *cmp, const struct assay_side_case *c)
{
    const char *a = c->n[0] ? c->rows[0][0]->provenance : "", *b = c->n[1] ? c->rows[1][0]->provenance : "";
    bool same = !*a || !*b || strcmp(a, b) == 0;
    assay_table_text(cmp->table, PROVENANCE,
                     same ? *a ? a : b : assay_arena_printf(&cmp->table->arena, "%s \xe2\x86\x92 %s", a, b));
}

static enum assay_status add_case(struct comparison *cmp, const struct assay_side_case *c, struct assay_error *err)
{
    struct series a, b = {0};
    enum assay_status st = gather(c->rows[0], c->n[0], &a, err);
    if (!st)
        st = gather(c->rows[1], c->n[1], &b, err);
    if (st)
        goto done;
    assay_table_row(cmp->table);
    set_shown(cmp, c);
    set_provenance(cmp, c);
    assay_table_ns(cmp->table, COLUMN_A, a.median_ns);
    assay_table_ns(cmp->table, COLUMN_B, b.median_ns);
    assay_table_int(cmp->table, RUNS_A, a.n_runs);
    assay_table_int(cmp->table, RUNS_B, b.n_runs);
    if (a.n_runs && b.n_runs)
        compare_series(cmp, &a, &b);
    else
        set_uncompared(cmp, c, &a);
done:
    series_release(&a);
    series_release(&b);
    return st;
}

/* ---- all of them */

static void tell_outcome(struct comparison *cmp, const enum assay_column *keys, size_t n_keys)
{
    struct assay_log *log = &cmp->cli->log;
    const char *list = "";
    for (size_t i = 0; i < n_keys; i++)
        list = assay_arena_printf(&cmp->table->arena, "%s%s%s", list, i ? ", " : "", assay_columns[keys[i]].name);
    assay_log_line(log, ASSAY_LOG_INFO, "B against A: %d faster, %d slower, %d no difference, %d unknown, %d not compared",
                   cmp->n_faster, cmp->n_slower, cmp->n_same, cmp->n_unknown, cmp->n_unmatched);
    assay_log_line(log, ASSAY_LOG_INFO, "A = %s, B = %s, matched by %s", cmp->cli->arguments[0], cmp->cli->arguments[1],
                   *list ? list : "nothing");
    if (cmp->n_noisy)
        assay_log_line(log, ASSAY_LOG_WARNING,
                       "the machine was busy while %d of these cases were measured: repeat them when it is quiet", cmp->n_noisy);
    if (cmp->n_mixed)
        assay_log_line(log, ASSAY_LOG_WARNING, "%d of these put different cases together: give more in A and B, or in --by",
                       cmp->n_mixed);
}

static int compare(struct comparison *cmp, struct assay_side sides[2])
{
    struct assay_cli *cli = cmp->cli;
    struct assay_error err;
    struct assay_lake *lake = NULL;
    enum assay_column keys[ASSAY_N_COLUMNS];
    size_t n_keys = 0, n_cases = 0, n_by = 0;
    const char *const *by = assay_cli_texts(cli, "by", &n_by);
    const char *fail_on = assay_cli_text(cli, "fail-on", "");
    enum assay_status st = assay_side_keys(&sides[0], &sides[1], by, n_by, keys, &n_keys, &err);
    if (!st)
        st = assay_rows_open(cli, &lake, &err);
    for (int s = 0; !st && s < 2; s++)
        st = assay_side_read(&sides[s], lake, cli->arguments[s], keys, n_keys, &err);
    assay_lake_close(lake);
    struct assay_side_case *cases = st ? NULL : assay_side_match(&sides[0], &sides[1], &cli->arena, &n_cases);
    for (size_t i = 0; !st && i < n_cases; i++)
        st = add_case(cmp, &cases[i], &err);
    if (st)
        return assay_cli_fail(cli, &err);
    int code = assay_cli_print(cli, cmp->table);
    tell_outcome(cmp, keys, n_keys);
    if (!code && (size_t)cmp->n_unmatched == n_cases) {
        assay_error_set(&err, ASSAY_ABSENT, "no case could be compared");
        code = assay_cli_fail(cli, &err);
    }
    bool failed = (*fail_on && cmp->n_slower) || (strcmp(fail_on, "difference") == 0 && cmp->n_faster);
    return code ? code : failed ? ASSAY_EXIT_FAILED : ASSAY_EXIT_OK;
}

static int run(struct assay_cli *cli)
{
    struct assay_error err;
    struct assay_table table;
    struct assay_side sides[2] = {0};
    struct comparison cmp = {.cli = cli,
                             .table = &table,
                             .level = assay_cli_real(cli, "level", 0.95),
                             .between_run_sd = assay_cli_real(cli, "between-run-sd", NAN),
                             .threshold = assay_cli_real(cli, "threshold", 0)};
    if (cmp.level < 0.5 || cmp.level > 0.9999)
        return assay_cli_usage(cli, "--level is between 0.5 and 0.9999");
    if (cmp.between_run_sd < 0 || cmp.between_run_sd > 1 || cmp.threshold < 0)
        return assay_cli_usage(cli, "--between-run-sd is between 0 and 1, --threshold at least 0");
    assay_table_init(&table);
    add_columns(&table);
    enum assay_status st = assay_side_init(&sides[0], cli->arguments[0], &err);
    if (!st)
        st = assay_side_init(&sides[1], cli->arguments[1], &err);
    int code = st ? assay_cli_fail(cli, &err) : compare(&cmp, sides);
    assay_side_release(&sides[0]);
    assay_side_release(&sides[1]);
    assay_table_release(&table);
    return code;
}

const struct assay_verb assay_verb_compare = {
    .name = "compare",
    .summary = "compare two sets of rows: ratio of medians, interval, verdict",
    .usage = "A B [OPTIONS]",
    .description =
        "Compares, case by case, the timings of B with those of A. Each of them is a run id or its beginning, a date (UTC), or "
        "filters as NAME=VALUE,... with the names of `assay query`'s filter options. Two rows are the same case if the columns "
        "of "
        "--by are equal in them. The ratio B/A is that of the medians: below 1, B is faster. With several runs on a side (rows "
        "of "
        "the same case) it is the spread between runs that the interval, from --level, comes from; with one run it is the spread "
        "of its samples and --between-run-sd. Cases that only one side has are listed as such. Exit code 1 if nothing could be "
        "compared, or as --fail-on says.",
    .examples = "  assay compare 20261121T101500Z 20261122T161755Z --fail-on slower\n"
                "  assay compare 2026-11-21 2026-11-22\n"
                "  assay compare platform=cpu/reference,threads=1 platform=cpu/onnxruntime,threads=2,latest=1\n"
                "  assay compare run=20261121T101500Z*,model=bert* run=20261122T161755Z*,model=bert* --threshold 0.03\n",
    .options = options,
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run,
};
