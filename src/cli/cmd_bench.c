/* SPDX-License-Identifier: Apache-2.0 */
/* assay bench: from a command line or a suite to rows in the lake and a table. The work is in bench/; here it is wired to the
 * lake and to a person. */
#include "base/fs.h"
#include "base/range.h"
#include "bench/run.h"
#include "bench/suite.h"
#include "cli/batch_sweep.h"
#include "cli/bench_report.h"
#include "cli/cli.h"
#include "lake/lake.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROUNDS = 1 << 20 };

static const char *const scenario_words[] = {"single-stream", "multi-stream", "offline", "server", NULL};

static const struct assay_cli_option options[] = {
    {"suite", ASSAY_OPTION_TEXT, "FILE", "Run the cases of a suite (YAML); options given here replace the suite's.", NULL},
    {"platform", ASSAY_OPTION_TEXTS, "LIST", "Where to run: names as `assay devices` lists them [cpu/native,cpu/onnxruntime].",
     NULL},
    {"mode", ASSAY_OPTION_TEXTS, "LIST",
     "inference, training: a run is one training step then, forward, backward and update [inference].", NULL},
    {"optimizer", ASSAY_OPTION_TEXT, "TEXT",
     "Mode training: sgd, adam or adamw, with options as in sgd:momentum=0.9:nesterov:weight-decay=5e-4 [adamw].", NULL},
    {"loss", ASSAY_OPTION_TEXT, "OUTPUT[:KIND]",
     "Mode training, for ONNX files: minimise this output, or its cross-entropy or mse to an input that is added, as in "
     "logits:cross-entropy [the model's own loss].",
     NULL},
    {"scenario", ASSAY_OPTION_TEXTS, "LIST",
     "single-stream, multi-stream, offline or server, as MLPerf defines them [single-stream].", scenario_words},
    {"precision", ASSAY_OPTION_TEXTS, "LIST",
     "f32, f16, bf16, f64, int8, w8a32, w4a32: an f32 model is converted to f16 and bf16, and then compared with itself in f32; "
     "its "
     "weights are quantized to 8 or 4 bits (w8a32, w4a32), and then it is compared with the reference's run of that; otherwise "
     "only models that are so [the file's own].",
     NULL},
    {"batch", ASSAY_OPTION_INTS, "LIST", "Samples in one run [1].", NULL},
    {"threads", ASSAY_OPTION_INTS, "LIST",
     "Threads of the runtime, pinned to as many CPUs; at most 4 for each CPU that is here: more of them take turns [1].", NULL},
    {"new-tokens", ASSAY_OPTION_INTS, "LIST",
     "Let the model generate so many tokens for each sample, greedily and past its end token: a run is one whole request then; 0 "
     "= "
     "one forward pass [0]. Scenario server: requests per second.",
     NULL},
    {"isa", ASSAY_OPTION_TEXTS, "LIST", "Instruction set tiers, for runtimes that have them [the best].", NULL},
    {"shape", ASSAY_OPTION_ENTRIES, "INPUT=DIMS", "Shape of an input, N being the batch: x=Nx3x640x640; once for each input.",
     NULL},
    {"dim", ASSAY_OPTION_ENTRIES, "NAME=VALUE", "A symbolic dimension of the model: sequence=128.", NULL},
    {"input", ASSAY_OPTION_ENTRIES, "INPUT=KIND",
     "What an input holds: normal, uniform, image, audio, tokens:N, mask, zeros, ones, constant:X, range, file:PATH.pb [by name, "
     "dtype and use].",
     NULL},
    {"seed", ASSAY_OPTION_INT, "N", "Of the inputs' random numbers [1].", NULL},
    {"min-time", ASSAY_OPTION_REAL, "SECONDS", "Measure at least this long [0.5].", NULL},
    {"max-time", ASSAY_OPTION_REAL, "SECONDS", "Stop measuring a case after this long [10].", NULL},
    {"warmup-time", ASSAY_OPTION_REAL, "SECONDS", "Warm up at most this long [a quarter of max-time, at least 0.5].", NULL},
    {"interval", ASSAY_OPTION_REAL, "SHARE",
     "Stop when the median's 95 % interval is within ± this share of it; 0 = run until max-time [0.01].", NULL},
    {"latency-bound", ASSAY_OPTION_REAL, "SECONDS", "Scenario server: what the p99 may be [10 times the median run].", NULL},
    {"time-limit", ASSAY_OPTION_REAL, "SECONDS",
     "End a case's process after this long, as `timeout` [60 + 4 max-time, and 5 for 1e9 FLOPs].", NULL},
    {"memory-limit", ASSAY_OPTION_BYTES, "SIZE", "End a case's process above this, as `no_memory` [90 % of the machine's].",
     NULL},
    {"tolerance", ASSAY_OPTION_REAL, "SHARE", "Largest error over a tensor's largest magnitude [by precision: f32 1e-4].", NULL},
    {"no-check", ASSAY_OPTION_FLAG, NULL, "Do not compare outputs with the reference; the row says so.", NULL},
    {"optimization", ASSAY_OPTION_INT, "LEVEL", "Graph optimisation of the runtime, 0 to 3 [3].", NULL},
    {"option", ASSAY_OPTION_ENTRIES, "NAME=VALUE", "An option of the runtime; onnxruntime: session.KEY, ep.KEY, cpu-fallback.",
     NULL},
    {"ep-library", ASSAY_OPTION_TEXT, "FILE", "A plug-in execution provider for onnxruntime.", NULL},
    {"env", ASSAY_OPTION_ENTRIES, "NAME=VALUE", "Set a variable for the case's process; the row records it.", NULL},
    {"rounds", ASSAY_OPTION_INT, "N", "Run all cases N times in turn, a row each [1].", NULL},
    {"profile", ASSAY_OPTION_FLAG, NULL, "Show the time of each op, with its share of the roofline.", NULL},
    {"plot", ASSAY_OPTION_TEXT, "FILE",
     "With three batches and more: write throughput over the batch as SVG, with the knee and where memory ends.", NULL},
    {"trace", ASSAY_OPTION_TEXT, "FILE", "With --profile: write the last run as a Chrome trace.", NULL},
    {"resume", ASSAY_OPTION_FLAG, NULL, "Go on with the newest unfinished run of the same cases.", NULL},
    {"plan", ASSAY_OPTION_FLAG, NULL, "Only print the cases.", NULL},
    {"no-ceilings", ASSAY_OPTION_FLAG, NULL, "Do not measure this machine's peaks if they are not known yet.", NULL},
    ASSAY_OPTION_LAKE,
    ASSAY_OPTION_FORMAT,
    ASSAY_OPTION_END,
};

/* ---- from options to specs */

static struct assay_text_list texts(const struct assay_cli *cli, const char *option)
{
    struct assay_text_list list;
    list.items = assay_cli_texts(cli, option, &list.n);
    return list;
}

static struct assay_int_list ints(const struct assay_cli *cli, const char *option)
{
    struct assay_int_list list;
    list.items = assay_cli_ints(cli, option, &list.n);
    return list;
}

static void read_spec(const struct assay_cli *cli, struct assay_spec *spec)
{
    assay_spec_init(spec);
    spec->models = (struct assay_text_list){cli->arguments, (size_t)cli->n_arguments};
    spec->platforms = texts(cli, "platform");
    spec->modes = texts(cli, "mode");
    spec->scenarios = texts(cli, "scenario");
    spec->precisions = texts(cli, "precision");
    spec->isas = texts(cli, "isa");
    spec->shapes = texts(cli, "shape");
    spec->dims = texts(cli, "dim");
    spec->inputs = texts(cli, "input");
    spec->options = texts(cli, "option");
    spec->batches = ints(cli, "batch");
    spec->threads = ints(cli, "threads");
    spec->new_tokens = ints(cli, "new-tokens");
    spec->seed = assay_cli_int(cli, "seed", ASSAY_SPEC_UNSET);
    spec->optimization = assay_cli_int(cli, "optimization", ASSAY_SPEC_UNSET);
    spec->memory_limit = assay_cli_int(cli, "memory-limit", 0);
    spec->min_time = assay_cli_real(cli, "min-time", NAN);
    spec->max_time = assay_cli_real(cli, "max-time", NAN);
    spec->warmup_time = assay_cli_real(cli, "warmup-time", NAN);
    spec->interval = assay_cli_real(cli, "interval", NAN);
    spec->latency_bound = assay_cli_real(cli, "latency-bound", NAN);
    spec->time_limit = assay_cli_real(cli, "time-limit", NAN);
    spec->tolerance = assay_cli_real(cli, "tolerance", NAN);
    spec->no_check = assay_cli_flag(cli, "no-check");
    spec->profile = assay_cli_flag(cli, "profile");
    spec->trace_path = assay_cli_text(cli, "trace", NULL);
    spec->ep_library = assay_cli_text(cli, "ep-library", NULL);
    spec->optimizer = assay_cli_text(cli, "optimizer", NULL);
    spec->loss = assay_cli_text(cli, "loss", NULL);
}

static enum assay_status make_plan(const struct assay_cli *cli, struct assay_plan *plan, struct assay_suite *suite,
                                   struct assay_error *err)
{
    struct assay_spec spec;
    const char *file = assay_cli_text(cli, "suite", NULL);
    read_spec(cli, &spec);
    if (!file)
        return assay_plan_add(plan, &spec, err);
    enum assay_status st = assay_suite_open(suite, file, err);
    for (size_t i = 0; !st && i < suite->n_specs; i++) {
        assay_spec_override(&suite->specs[i], &spec);
        st = assay_plan_add(plan, &suite->specs[i], err);
        if (st)
            assay_error_prefix(err, st, "%s", file);
    }
    return st;
}

static int64_t most_threads(const struct assay_plan *plan)
{
    int64_t most = 1;
    for (size_t i = 0; i < plan->n_cases; i++)
        most = plan->cases[i].threads > most ? plan->cases[i].threads : most;
    return most;
}

/* ---- a run */

struct bench {
    struct assay_cli *cli;
    const char *lake;
    struct assay_table table;
    struct profiled { /* one for each case with a profile */
        const char *label, *words;
        struct assay_table table;
    } * profiles;
    size_t n_profiles;
    struct assay_sweep sweep;
    struct assay_arena arena;
    const char **done; /* case ids of the run that is resumed, one for each row */
    size_t n_done;
    int n_failed, n_noisy, n_rows;
    const char *last_command;
    const char *note; /* of figures: where and when */
};

/* Whether this round of a case is among the resumed run's rows. */
static bool is_done(void *context, const char *case_id, int round)
{
    struct bench *b = context;
    int n = 0;
    for (size_t i = 0; i < b->n_done; i++)
        n += strcmp(b->done[i], case_id) == 0;
    if (round >= n)
        return false;
    assay_progress_label(&b->cli->log, "measured before");
    assay_progress_step(&b->cli->log, NULL);
    return true;
}

/* Whether memory ended at a smaller batch: the sweep of batches is over. */
static bool skips(void *context, const struct assay_case *c)
{
    struct bench *b = context;
    if (!assay_sweep_is_over(&b->sweep, c))
        return false;
    assay_progress_step(&b->cli->log, assay_arena_printf(&b->arena, "left out  %s: memory ended at a smaller batch",
                                                         assay_case_label(c, &b->arena)));
    return true;
}

static void on_start(void *context, const struct assay_case *c, int index, int total)
{
    struct bench *b = context;
    (void)index, (void)total;
    assay_progress_label(&b->cli->log, "%s", assay_case_label(c, &b->arena));
}

static void add_profile(struct bench *b, const struct assay_case *c, const json_t *profile)
{
    b->profiles = assay_arena_grow(&b->arena, b->profiles, b->n_profiles, b->n_profiles + 1, sizeof *b->profiles);
    struct profiled *p = &b->profiles[b->n_profiles++];
    p->label = assay_case_label(c, &b->arena);
    p->words = assay_bench_profile_words(profile, &b->arena);
    assay_bench_profile_make(&p->table, profile);
}

static enum assay_status on_row(void *context, const struct assay_case *c, struct assay_row *row, const json_t *profile,
                                struct assay_error *err)
{
    struct bench *b = context;
    enum assay_status st = assay_lake_write(b->lake, row, 1, &b->arena, NULL, err);
    if (st)
        return st;
    b->n_rows++;
    b->n_failed += strcmp(assay_row_text(row, ASSAY_ROW_status, ""), "ok") != 0 &&
                   strcmp(assay_row_text(row, ASSAY_ROW_status, ""), "unsupported") != 0;
    b->n_noisy += assay_row_int(row, ASSAY_ROW_noisy, 0) != 0;
    b->last_command = assay_case_command(c, &b->arena);
    assay_bench_table_add(&b->table, row, assay_cli_format(b->cli));
    assay_sweep_add(&b->sweep, c, row);
    assay_progress_step(&b->cli->log, assay_bench_line(c, row, &b->arena));
    if (profile)
        add_profile(b, c, profile);
    if (c->profile && !profile && assay_row_map_find(row, ASSAY_ROW_environment, "profile"))
        assay_log_line(&b->cli->log, ASSAY_LOG_WARNING, "no profile: %s",
                       assay_row_map_find(row, ASSAY_ROW_environment, "profile")->text);
    return ASSAY_OK;
}

static void warn_damaged(void *context, const char *file, const char *reason)
{
    struct assay_cli *cli = context;
    assay_log_line(&cli->log, ASSAY_LOG_WARNING, "%s is left out: %s", file, reason);
}

/* What the resumed run has measured counts for the scaling with the batch as if it were of now. */
static void take_measured(struct bench *b, struct assay_plan *plan, const char *host, const struct assay_row *row)
{
    const char *id = assay_row_text(row, ASSAY_ROW_case_id, "");
    b->done = assay_arena_grow(&b->arena, b->done, b->n_done, b->n_done + 1, sizeof *b->done);
    b->done[b->n_done++] = assay_arena_strdup(&b->arena, id);
    for (size_t i = 0; i < plan->n_cases; i++)
        if (strcmp(assay_case_id(&plan->cases[i], host, &plan->arena), id) == 0) {
            assay_sweep_add(&b->sweep, &plan->cases[i], row);
            return;
        }
}

/* The newest run of this plan on this host, and what it has; run_id stays NULL if there is none. */
static enum assay_status find_run(struct bench *b, struct assay_plan *plan, const char *host, const char *plan_id,
                                  const char **run_id, struct assay_error *err)
{
    struct assay_lake *lake = NULL;
    struct assay_query *query = NULL;
    struct assay_row row;
    enum assay_status st = assay_lake_open(&lake, b->lake, false, warn_damaged, b->cli, err);
    if (st)
        return st;
    const char *sql =
        assay_arena_printf(&b->arena,
                           "SELECT run_id, case_id, status, throughput, throughput_unit, peak_memory_bytes FROM results "
                           "WHERE run_id = (SELECT max(run_id) FROM results WHERE run_id LIKE '%%-%s') ORDER BY time",
                           plan_id);
    assay_row_init(&row);
    st = assay_lake_query(lake, sql, &query, err);
    while (!st && assay_query_next(query)) {
        st = assay_query_row(query, &row, err);
        if (st)
            break;
        *run_id = assay_arena_strdup(&b->arena, assay_row_text(&row, ASSAY_ROW_run_id, ""));
        take_measured(b, plan, host, &row);
    }
    assay_row_release(&row);
    assay_query_close(query);
    assay_lake_close(lake);
    return st;
}

static void ceilings_progress(void *context, const char *what)
{
    struct assay_cli *cli = context;
    assay_log_line(&cli->log, ASSAY_LOG_DEBUG, "measuring %s", what);
}

static double ceiling(const struct assay_ceilings *ceilings, const char *what, int64_t n_threads)
{
    double rate = assay_ceilings_rate(ceilings, what, (int)n_threads);
    return rate > 0 ? rate : NAN;
}

/* The measured peaks that results are compared with. A machine that cannot be measured has none; the rows then have no share. */
static void set_ceilings(struct assay_cli *cli, const struct assay_machine *machine, struct assay_plan *plan)
{
    struct assay_ceilings ceilings;
    struct assay_error err;
    if (assay_cli_flag(cli, "no-ceilings"))
        return;
    assay_log_line(&cli->log, ASSAY_LOG_DEBUG, "this machine's peaks");
    if (assay_ceilings_get(&ceilings, machine, false, ceilings_progress, cli, &err)) {
        assay_log_line(&cli->log, ASSAY_LOG_WARNING, "no share of peak will be shown: %s", err.message);
        return;
    }
    for (size_t i = 0; i < plan->n_cases; i++) {
        struct assay_case *c = &plan->cases[i];
        if (strncmp(c->platform, "cpu/", 4) != 0)
            continue;
        c->peak_flops = ceiling(&ceilings, c->precision, c->threads);
        c->peak_f32 = ceiling(&ceilings, "f32", c->threads);
        c->peak_bf16 = ceiling(&ceilings, "bf16", c->threads);
        c->peak_int8 = ceiling(&ceilings, "int8", c->threads);
        c->peak_bytes = ceiling(&ceilings, "memory", c->threads);
    }
    assay_ceilings_release(&ceilings);
}

static enum assay_status run_plan(struct bench *b, struct assay_plan *plan, struct assay_error *err)
{
    struct assay_machine machine;
    struct assay_cli *cli = b->cli;
    size_t n_env = 0;
    const char **env = assay_cli_texts(cli, "env", &n_env);
    const char **set = assay_arena_array(&b->arena, n_env + 1, sizeof *set);
    for (size_t i = 0; i < n_env; i++)
        set[i] = env[i];
    assay_machine_init(&machine);
    struct assay_run_options run = {
        .program = cli->program,
        .machine = &machine,
        .set_environment = set,
        .rounds = (int)assay_cli_int(cli, "rounds", 1),
        .stop = &assay_cli_stop,
        .is_done = is_done,
        .skips = skips,
        .on_start = on_start,
        .context = b,
    };
    const char *plan_id = assay_plan_id(plan, machine.host);
    enum assay_status st = assay_cli_flag(cli, "resume") ? find_run(b, plan, machine.host, plan_id, &run.run_id, err) : ASSAY_OK;
    if (st)
        goto done;
    if (run.run_id)
        assay_log_line(&cli->log, ASSAY_LOG_INFO, "going on with run %s, which has %zu rows", run.run_id, b->n_done);
    else
        run.run_id = assay_run_id(&b->arena, plan_id);
    set_ceilings(cli, &machine, plan);
    b->note = assay_arena_printf(&b->arena, "%s, %s, run %s", machine.host, machine.cpu_name, run.run_id);
    assay_cli_catch_signals();
    assay_progress_start(&cli->log, run.rounds * (int)plan->n_cases);
    st = assay_plan_run(plan, &run, on_row, err);
    assay_progress_stop(&cli->log);
done:
    assay_machine_release(&machine);
    return st;
}

static enum assay_status print_plan(const struct assay_plan *plan, struct assay_arena *arena, enum assay_format format,
                                    struct assay_error *err)
{
    struct assay_table table;
    static const struct assay_table_heading columns[] = {{"case", "case", false}, {"command", "command", false}};
    assay_table_init(&table);
    assay_table_columns(&table, columns, ASSAY_COUNT(columns));
    for (size_t i = 0; i < plan->n_cases; i++) {
        assay_table_row(&table);
        assay_table_text(&table, 0, assay_case_label(&plan->cases[i], arena));
        assay_table_text(&table, 1, assay_case_command(&plan->cases[i], arena));
    }
    enum assay_status st = assay_table_print(&table, format, stdout, err);
    assay_table_release(&table);
    return st;
}

static enum assay_status plot_sweep(struct bench *b, const struct assay_scaling_curve *curves, size_t n, struct assay_error *err)
{
    const char *path = assay_cli_text(b->cli, "plot", NULL);
    char *svg = path ? assay_scaling_svg(curves, n, b->note) : NULL;
    if (!path)
        return ASSAY_OK;
    if (!svg) {
        assay_log_line(&b->cli->log, ASSAY_LOG_WARNING, "no plot: no case has three batches with a throughput");
        return ASSAY_OK;
    }
    enum assay_status st = assay_fs_write(path, svg, strlen(svg), err);
    free(svg);
    return st;
}

static enum assay_status print_sweep(struct bench *b, enum assay_format format, struct assay_error *err)
{
    struct assay_table table;
    size_t n;
    const struct assay_scaling_curve *curves = assay_sweep_curves(&b->sweep, &n);
    enum assay_status st = plot_sweep(b, curves, n, err);
    if (!st && n && b->n_done)
        assay_log_line(&b->cli->log, ASSAY_LOG_INFO,
                       "the scaling with the batch includes the %zu row%s measured before this run was resumed", b->n_done,
                       b->n_done == 1 ? "" : "s");
    if (st || (format != ASSAY_FORMAT_TABLE && format != ASSAY_FORMAT_MARKDOWN) || !assay_sweep_table(&b->sweep, &table))
        return st;
    printf("%sScaling with the batch\n\n", b->n_rows ? "\n" : "");
    st = assay_table_print(&table, format, stdout, err);
    assay_table_release(&table);
    return st;
}

/* The end of a run: the table, what was profiled, where it is, how to repeat it. */
static enum assay_status print_results(struct bench *b, struct assay_error *err)
{
    enum assay_format format = assay_cli_format(b->cli);
    struct assay_log *log = &b->cli->log;
    enum assay_status st = b->n_rows ? assay_table_print(&b->table, format, stdout, err) : ASSAY_OK;
    if (!st)
        st = print_sweep(b, format, err);
    for (size_t i = 0; !st && i < b->n_profiles && (format == ASSAY_FORMAT_TABLE || format == ASSAY_FORMAT_MARKDOWN); i++) {
        printf("\nWhere the time goes: %s\n\n%s\n\n", b->profiles[i].label, b->profiles[i].words);
        st = assay_table_print(&b->profiles[i].table, format, stdout, err);
    }
    if (b->n_noisy)
        assay_log_line(
            log, ASSAY_LOG_WARNING,
            "the machine was busy during %d of %d cases (marked noisy): repeat them when it is quiet, or give --rounds 3 or more",
            b->n_noisy, b->n_rows);
    assay_log_line(log, ASSAY_LOG_INFO, "%d row%s in the lake %s", b->n_rows, b->n_rows == 1 ? "" : "s", b->lake);
    if (b->last_command)
        assay_log_line(log, ASSAY_LOG_INFO, "each row has its repro_command; the last: %s", b->last_command);
    return st;
}

static int run(struct assay_cli *cli)
{
    struct bench b = {.cli = cli};
    struct assay_plan plan;
    struct assay_suite suite = {0};
    struct assay_error err;
    char *lake = NULL;
    int code = ASSAY_EXIT_OK;
    if (cli->n_arguments == 0 && !assay_cli_given(cli, "suite"))
        return assay_cli_usage(cli, "bench needs a model file or --suite");
    if (assay_range_check_int("rounds", assay_cli_int(cli, "rounds", 1), 1, MOST_ROUNDS, &err))
        return assay_cli_usage(cli, "%s", err.message);
    assay_plan_init(&plan);
    assay_arena_init(&b.arena);
    b.sweep.arena = &b.arena;
    assay_table_init(&b.table);
    enum assay_status st = make_plan(cli, &plan, &suite, &err);
    if (!st)
        st = assay_lake_path(assay_cli_text(cli, "lake", NULL), &b.arena, &lake, &err);
    if (!st && assay_fs_exists(lake) && !assay_fs_is_folder(lake)) /* told before hours of measuring, not after */
        st = assay_error_set(&err, ASSAY_IO, "the lake %s is no folder", lake);
    if (st) {
        code = assay_cli_fail(cli, &err);
        goto done;
    }
    b.lake = lake;
    for (size_t i = 0; i < plan.n_left_out; i++)
        assay_log_line(&cli->log, ASSAY_LOG_INFO, "left out: %s", plan.left_out[i]);
    for (size_t i = 0; i < plan.n_unreadable && (plan.n_cases || plan.n_unreadable > 1); i++)
        assay_log_line(&cli->log, ASSAY_LOG_WARNING, "left out: %s", plan.unreadable[i]);
    if (plan.n_cases == 0) {
        assay_error_set(&err, ASSAY_ABSENT, "%s", plan.n_unreadable == 1 ? plan.unreadable[0] : "no case is left to run");
        code = assay_cli_fail(cli, &err);
        goto done;
    }
    assay_cli_warn_threads(cli, most_threads(&plan));
    assay_bench_table_columns(&b.table, assay_cli_format(cli), &plan);
    st = assay_cli_flag(cli, "plan") ? print_plan(&plan, &b.arena, assay_cli_format(cli), &err) : run_plan(&b, &plan, &err);
    if (st) {
        code = assay_cli_fail(cli, &err);
        if (st == ASSAY_INTERRUPTED)
            assay_log_line(&cli->log, ASSAY_LOG_INFO, "what was measured is kept; --resume goes on");
    }
    if (!assay_cli_flag(cli, "plan") && print_results(&b, &err))
        code = assay_cli_fail(cli, &err);
    if (!code && (b.n_failed || plan.n_unreadable))
        code = ASSAY_EXIT_FAILED;
done:
    assay_table_release(&b.table);
    for (size_t i = 0; i < b.n_profiles; i++)
        assay_table_release(&b.profiles[i].table);
    assay_plan_release(&plan);
    assay_suite_release(&suite);
    assay_arena_release(&b.arena);
    return code;
}

const struct assay_verb assay_verb_bench = {
    .name = "bench",
    .summary = "measure models on platforms, check their outputs, keep the rows",
    .usage = "[MODEL ...] [--suite FILE] [OPTIONS]",
    .description = "Measures every combination of the models and lists given: each case in a process of its own, warmed up until "
                   "steady, timed until its median is\n"
                   "known well enough, its outputs compared with the reference runtime's. Each result is one row of the lake, "
                   "with all samples and the command\n"
                   "that repeats it. Ctrl-C keeps what was measured. Exit code 1 if a case crashed, timed out, ran out of memory "
                   "or gave wrong outputs, or a model could not be read.\n"
                   "A model is an ONNX file, a folder with config.json, or a known name (assay models --known).",
    .examples = "  assay bench model.onnx\n"
                "  assay bench model.onnx --platform cpu/onnxruntime --threads 1,2 --batch 1..8:x2 --shape x=Nx3x224x224\n"
                "  assay bench model.onnx --platform cpu/onnxruntime --scenario server --latency-bound 0.05 --max-time 60\n"
                "  assay bench model.onnx --platform cpu/onnxruntime --profile --trace trace.json\n"
                "  assay bench bert-base-uncased --dim sequence=128 --precision f32,bf16\n"
                "  assay bench Qwen2-0.5B --new-tokens 32 --shape input_ids=Nx128\n"
                "  assay bench bert-tiny --mode training --dim sequence=64 --batch 1..64:x2 --platform cpu/native\n"
                "  assay bench model.onnx --mode training --loss logits:cross-entropy --optimizer sgd:momentum=0.9\n"
                "  assay bench --suite suites/first.yaml --rounds 3 --resume\n",
    .options = options,
    .max_arguments = -1,
    .run = run,
};
