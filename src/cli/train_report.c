/* SPDX-License-Identifier: Apache-2.0 */
/* See train_report.h. */
#include "cli/train_report.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/version.h"
#include "bench/case.h"
#include "report/curves.h"
#include "stats/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- rows */

enum { SEED, STEPS, TRAIN_LOSS, METRIC, VALIDATION, BEST, BEST_STEP, TEST, TIME, RATE, DATA, PARAMETERS, N_COLUMNS };
enum { REACHED = N_COLUMNS, TARGET_STEP, TARGET_TIME };
enum { WHAT, N_OF, MEAN, LOW, HIGH, DEVIATION, LEAST, MOST };

static const struct assay_table_heading run_columns[] = {
    [SEED] = {"seed", "seed", true},
    [STEPS] = {"steps", "steps", true},
    [TRAIN_LOSS] = {"train loss", "train_loss", true},
    [METRIC] = {"metric", "metric", false},
    [VALIDATION] = {"validation", "validation", true},
    [BEST] = {"best", "best", true},
    [BEST_STEP] = {"best at step", "best_step", true},
    [TEST] = {"test", "test", true},
    [TIME] = {"time", "wall_s", true},
    [RATE] = {"throughput", "samples_per_s", true},
    [DATA] = {"waiting for data", "data_share", true},
    [PARAMETERS] = {"parameters", "parameters", true},
    [REACHED] = {"target reached", "reached", false},
    [TARGET_STEP] = {"at step", "target_step", true},
    [TARGET_TIME] = {"time to target", "time_to_target_s", true},
};

static const struct assay_table_heading spread_columns[] = {
    [WHAT] = {"of the runs", "what", false}, [N_OF] = {"runs", "n", true},    [MEAN] = {"mean", "mean", true},
    [LOW] = {"95 % from", "low", true},      [HIGH] = {"to", "high", true},   [DEVIATION] = {"deviation", "deviation", true},
    [LEAST] = {"least", "least", true},      [MOST] = {"most", "most", true},
};

void assay_train_report_init(struct assay_train_report *report, struct assay_cli *cli, const struct assay_run_options *options,
                             const char *dataset)
{
    *report = (struct assay_train_report){.cli = cli, .options = options, .dataset = dataset, .start_us = assay_clock_utc_us()};
    assay_table_init(&report->runs);
    assay_table_init(&report->spread);
    assay_table_columns(&report->runs, run_columns, options->has_target ? ASSAY_COUNT(run_columns) : N_COLUMNS);
    report->folder_column = options->folder ? report->runs.n_columns : -1;
    if (options->folder)
        assay_table_column(&report->runs, "kept in", "output", false);
    assay_table_columns(&report->spread, spread_columns, ASSAY_COUNT(spread_columns));
}

void assay_train_report_release(struct assay_train_report *report)
{
    assay_table_release(&report->runs);
    assay_table_release(&report->spread);
}

static void set_real(struct assay_table *table, int column, double value, int digits)
{
    if (isfinite(value))
        assay_table_real(table, column, value, digits);
}

static void set_seconds(struct assay_table *table, int column, double seconds)
{
    char text[32];
    assay_clock_duration_text(seconds * 1e9, text, sizeof text);
    assay_table_set(table, column, text, json_real(seconds));
}

void assay_train_report_run(struct assay_train_report *report, const struct assay_run_result *r, uint64_t seed,
                            const char *folder)
{
    struct assay_table *table = &report->runs;
    if (r->changes)
        report->changes = assay_arena_strdup(&report->cli->arena, r->changes);
    assay_table_row(table);
    assay_table_int(table, SEED, (int64_t)seed);
    assay_table_int(table, STEPS, r->n_steps);
    set_real(table, TRAIN_LOSS, r->loss, 4);
    assay_table_text(table, METRIC, r->metric_name);
    set_real(table, VALIDATION, r->final, 4);
    set_real(table, BEST, r->best, 4);
    if (isfinite(r->best))
        assay_table_int(table, BEST_STEP, r->best_step);
    set_real(table, TEST, r->test, 4);
    set_seconds(table, TIME, r->wall_s);
    if (r->samples_per_s > 0)
        assay_table_set(table, RATE, assay_text_si(&table->arena, r->samples_per_s, "samples/s"), json_real(r->samples_per_s));
    if (r->n_steps > r->first_step)
        assay_table_set(table, DATA, assay_arena_printf(&table->arena, "%.1f %%", 100 * r->data_share), json_real(r->data_share));
    assay_table_int(table, PARAMETERS, r->parameters);
    if (folder)
        assay_table_text(table, report->folder_column, folder);
    if (!report->options->has_target)
        return;
    assay_table_set(table, REACHED, r->reached ? "yes" : "no", json_boolean(r->reached));
    if (r->reached) {
        assay_table_int(table, TARGET_STEP, r->target_step);
        set_seconds(table, TARGET_TIME, r->time_to_target_s);
    }
}

void assay_train_report_spread(struct assay_train_report *report, const char *what, const double *x, size_t n, int64_t n_runs)
{
    struct assay_table *table = &report->spread;
    report->n_spread++;
    assay_table_row(table);
    assay_table_text(table, WHAT, what);
    assay_table_set(table, N_OF, assay_arena_printf(&table->arena, "%zu of %lld", n, (long long)n_runs),
                    json_integer((json_int_t)n));
    if (n == 0)
        return;
    struct assay_interval interval = assay_stats_mean_interval(x, n, 0.95);
    assay_table_real(table, MEAN, assay_stats_mean(x, n), 5);
    if (interval.exists) {
        assay_table_real(table, LOW, interval.low, 5);
        assay_table_real(table, HIGH, interval.high, 5);
        assay_table_real(table, DEVIATION, assay_stats_deviation(x, n), 3);
    }
    assay_table_real(table, LEAST, assay_stats_quantile(x, n, 0), 5);
    assay_table_real(table, MOST, assay_stats_quantile(x, n, 1), 5);
}

/* ---- what repeats them */

/* What a run computes does not depend on these. */
static bool is_of_presentation(const char *option)
{
    static const char *const names[] = {"resume", "output", "keep", "checkpoint-every", "histograms", "format"};
    for (size_t i = 0; i < ASSAY_COUNT(names); i++)
        if (strcmp(option, names[i]) == 0)
            return true;
    return false;
}

/* As few digits as read back the same. */
static const char *shortest(struct assay_arena *arena, double value)
{
    const char *text = assay_arena_printf(arena, "%.15g", value);
    return strtod(text, NULL) == value ? text : assay_arena_printf(arena, "%.17g", value);
}

static const char *values_of(struct assay_cli *cli, const struct assay_cli_option *option)
{
    struct assay_arena *arena = &cli->arena;
    bool is_list = option->kind == ASSAY_OPTION_ENTRIES || option->kind == ASSAY_OPTION_TEXTS;
    const char *name = option->name, *line = "";
    size_t n = 0;
    const char **texts = is_list ? assay_cli_texts(cli, name, &n) : NULL;
    for (size_t k = 0; k < n; k++)
        line = assay_arena_printf(arena, "%s --%s %s", line, name, assay_shell_word(arena, texts[k]));
    if (is_list)
        return line;
    if (option->kind == ASSAY_OPTION_FLAG)
        return assay_arena_printf(arena, " --%s", name);
    if (option->kind == ASSAY_OPTION_INT)
        return assay_arena_printf(arena, " --%s %lld", name, (long long)assay_cli_int(cli, name, 0));
    if (option->kind == ASSAY_OPTION_REAL)
        return assay_arena_printf(arena, " --%s %s", name, shortest(arena, assay_cli_real(cli, name, 0)));
    return assay_arena_printf(arena, " --%s %s", name, assay_shell_word(arena, assay_cli_text(cli, name, "")));
}

const char *assay_train_report_command(struct assay_cli *cli)
{
    const char *line = assay_arena_printf(&cli->arena, "assay train %s", assay_shell_word(&cli->arena, cli->arguments[0]));
    for (const struct assay_cli_option *option = cli->verb->options; option->name; option++)
        if (assay_cli_given(cli, option->name) && !is_of_presentation(option->name))
            line = assay_arena_printf(&cli->arena, "%s%s", line, values_of(cli, option));
    return line;
}

/* ---- printing */

static json_t *to_json(struct assay_train_report *report, const char *command)
{
    const struct assay_run_options *o = report->options;
    char time[40];
    assay_clock_utc_text(report->start_us, time);
    json_t *json = json_object();
    json_object_set_new(json, "assay_version", json_string(ASSAY_VERSION));
    json_object_set_new(json, "provenance", json_string("measured"));
    json_object_set_new(json, "time", json_string(time));
    json_object_set_new(json, "model", json_string(o->task.model));
    json_object_set_new(json, "dataset", json_string(report->dataset));
    json_object_set_new(json, "platform", json_string(o->compile.platform->name));
    json_object_set_new(json, "platform_version", json_string(o->compile.platform->version));
    json_object_set_new(json, "threads", json_integer(o->compile.n_threads));
    json_object_set_new(json, "batch", json_integer(o->task.batch));
    json_object_set_new(json, "precision", json_string(o->precision == ASSAY_NO_DTYPE ? "f32" : assay_dtype_word(o->precision)));
    json_object_set_new(json, "target",
                        o->has_target ? json_pack("{ss sf}", "metric", o->target_metric, "value", o->target) : json_null());
    json_object_set_new(json, "repro_command", report->changes ? json_null() : json_string(command));
    json_object_set_new(json, "changes", report->changes ? json_string(report->changes) : json_null());
    json_object_set_new(json, "runs", assay_table_to_json(&report->runs));
    json_object_set_new(json, "spread", assay_table_to_json(&report->spread));
    return json;
}

int assay_train_report_print(struct assay_train_report *report, int code)
{
    struct assay_cli *cli = report->cli;
    const char *command = assay_train_report_command(cli);
    enum assay_format format = assay_cli_format(cli);
    int printed = ASSAY_EXIT_OK;
    if (format == ASSAY_FORMAT_JSON) {
        json_t *json = to_json(report, command);
        assay_json_print(json, stdout);
        putchar('\n');
        json_decref(json);
        printed = fflush(stdout) || ferror(stdout) ? ASSAY_EXIT_FAILED : ASSAY_EXIT_OK;
    } else {
        report->runs.upright = report->runs.n_rows == 1 && !report->n_spread;
        printed = assay_cli_print(cli, &report->runs);
        if (!printed && report->n_spread && format != ASSAY_FORMAT_CSV) { /* CSV is one table */
            putchar('\n');
            printed = assay_cli_print(cli, &report->spread);
        }
    }
    if (report->changes)
        assay_log_line(&cli->log, ASSAY_LOG_INFO, "no one command repeats it: it went on with %s", report->changes);
    else
        assay_log_line(&cli->log, ASSAY_LOG_INFO, "repeat it: %s", command);
    return printed ? printed : code;
}

/* ---- curves */

struct columns {
    double *steps, *losses, *rates, *validated, *metrics, *validation_losses;
};

static struct columns split(struct assay_cli *cli, const struct assay_run_result *r)
{
    size_t n = (size_t)r->n_points, m = (size_t)r->n_validations;
    struct columns c;
    double **of_points[] = {&c.steps, &c.losses, &c.rates};
    double **of_validations[] = {&c.validated, &c.metrics, &c.validation_losses};
    for (size_t i = 0; i < 3; i++) {
        *of_points[i] = assay_arena_array(&cli->arena, n + 1, sizeof(double));
        *of_validations[i] = assay_arena_array(&cli->arena, m + 1, sizeof(double));
    }
    for (size_t i = 0; i < n; i++) {
        c.steps[i] = r->points[i].step;
        c.losses[i] = r->points[i].loss;
        c.rates[i] = r->points[i].learning_rate;
    }
    for (size_t i = 0; i < m; i++) {
        c.validated[i] = r->validations[i].step;
        c.metrics[i] = r->validations[i].metric;
        c.validation_losses[i] = r->validations[i].loss;
    }
    return c;
}

static enum assay_status show(struct assay_cli *cli, const struct assay_curves *curves, const char *folder, bool shows,
                              struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    if (folder) {
        char *svg = assay_curves_svg(curves);
        st = assay_fs_write(assay_path_join(&cli->arena, folder, "curves.svg"), svg, strlen(svg), err);
        free(svg);
    }
    if (cli->log.terminal && shows) {
        struct winsize size;
        bool is_known = ioctl(fileno(cli->log.out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
        struct assay_curves_terminal terminal = {
            .n_columns = is_known ? size.ws_col : 80, .n_rows = 8, .is_utf8 = true, .is_coloured = cli->log.colour};
        char *text = assay_curves_text(curves, &terminal);
        fputs(text, cli->log.out);
        free(text);
    }
    return st;
}

/* Lines of at most MOST letters, cut between words. */
static const char *const *wrapped(struct assay_arena *arena, const char *text, size_t *n)
{
    enum { MOST_LETTERS = 116 };
    const char **lines = assay_arena_array(arena, strlen(text) + 1, sizeof *lines);
    for (*n = 0; *text;) {
        size_t length = strlen(text);
        if (length > MOST_LETTERS) {
            for (length = MOST_LETTERS; length > 0 && text[length] != ' '; length--) {
            }
            length = length ? length : MOST_LETTERS;
        }
        lines[(*n)++] = assay_arena_strndup(arena, text, length);
        text += length + (text[length] == ' ');
    }
    return lines;
}

enum assay_status assay_train_report_curves(struct assay_cli *cli, const struct assay_run_result *r,
                                            const struct assay_run_options *o, const char *dataset, bool shows,
                                            struct assay_error *err)
{
    struct columns c = split(cli, r);
    size_t n = (size_t)r->n_points, m = (size_t)r->n_validations;
    struct assay_curve losses[] = {{"train", c.steps, c.losses, n, ASSAY_CURVE_NOISY, 0},
                                   {"validation", c.validated, c.validation_losses, m, ASSAY_CURVE_SPARSE, 1}};
    struct assay_curve metric = {"validation", c.validated, c.metrics, m, ASSAY_CURVE_SPARSE, 1};
    struct assay_curve rate = {"learning rate", c.steps, c.rates, n, ASSAY_CURVE_EXACT, 2};
    struct assay_curves_panel panels[] = {
        {.label = strcmp(r->metric_name, "loss") == 0 ? "loss" : "loss (nats)", /* a cross-entropy */
         .curves = losses,
         .n_curves = m ? 2 : 1,
         .weight = 1,
         .best = ASSAY_CURVES_SMALLEST,
         .may_be_logarithmic = true},
        {.label = strcmp(r->metric_name, "bits-per-byte") == 0 ? "bits per byte" : r->metric_name,
         .curves = &metric,
         .n_curves = 1,
         .weight = 1,
         .best = r->larger_is_better ? ASSAY_CURVES_LARGEST : ASSAY_CURVES_SMALLEST,
         .has_target = o->has_target,
         .target = o->target},
        {.label = "learning rate", .curves = &rate, .n_curves = 1, .weight = 0.5, .from_zero = true},
    };
    bool has_metric = m > 0 && strcmp(r->metric_name, "loss") != 0;
    if (!has_metric)
        panels[1] = panels[2];
    char length[32];
    assay_clock_duration_text(r->wall_s * 1e9, length, sizeof length);
    const char *command = assay_train_report_command(cli);
    struct assay_curves curves = {
        .title =
            assay_arena_printf(&cli->arena, "%s on %.*s", assay_path_name(o->task.model), (int)strcspn(dataset, ":"), dataset),
        .subtitle = assay_arena_printf(&cli->arena, "%s, %d thread%s, batch %lld, seed %llu, %s", o->compile.platform->name,
                                       o->compile.n_threads, o->compile.n_threads == 1 ? "" : "s", (long long)o->task.batch,
                                       (unsigned long long)o->task.seed, length),
        .step_label = "step",
        .panels = panels,
        .n_panels = has_metric ? 3 : 2};
    curves.notes = wrapped(&cli->arena, assay_arena_printf(&cli->arena, "assay %s: %s", ASSAY_VERSION, command), &curves.n_notes);
    return n ? show(cli, &curves, o->folder, shows, err) : ASSAY_OK;
}
