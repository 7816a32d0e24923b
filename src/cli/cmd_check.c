/* SPDX-License-Identifier: Apache-2.0 */
/* assay check: conformance tests on one or more platforms. The running is in bench/conformance.h; here it becomes tables and an
 * exit code. */
#include "base/fs.h"
#include "base/range.h"
#include "bench/conformance.h"
#include "cli/cli.h"
#include "device/device.h"
#include "runtime/registry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_UNSUPPORTED = 3 };
static const double ROUNDING = 1e-4; /* what bench/ allows outputs in f32 */

static const struct assay_cli_option options[] = {
    {"platform", ASSAY_OPTION_TEXTS, "LIST", "Where to run: names as `assay devices` lists them [cpu/reference,cpu/native].",
     NULL},
    {"mode", ASSAY_OPTION_TEXT, "MODE",
     "inference, or training: losses, gradients and updates against the folder's train.safetensors [inference].", NULL},
    {"all", ASSAY_OPTION_FLAG, NULL, "Run every test below DIR, and print a table for each op and what did not pass.", NULL},
    {"rtol", ASSAY_OPTION_REAL, "SHARE",
     "Allowed error of an element, as a share of the wanted value [1e-3, as ONNX's own tests].", NULL},
    {"atol", ASSAY_OPTION_REAL, "ERROR", "Allowed error of an element beside rtol [1e-7, as ONNX's own tests].", NULL},
    {"tolerance", ASSAY_OPTION_REAL, "SHARE",
     "Of a model with a config.json: allowed error as a share of the tensor's largest magnitude [2e-5, of training 1e-5].", NULL},
    {"threads", ASSAY_OPTION_INT, "N",
     "Threads of the runtime, or as many as it can use if those are fewer; at most 4 for each CPU that is here [1].", NULL},
    {"isa", ASSAY_OPTION_TEXT, "TIER", "Instruction set tier, for runtimes that have them [the best].", NULL},
    {"min-pass", ASSAY_OPTION_REAL, "SHARE", "With --all: fail also if fewer than this share of the tests pass [0].", NULL},
    {"time-limit", ASSAY_OPTION_REAL, "SECONDS", "End a test after this long, as `timeout` [60].", NULL},
    {"memory-limit", ASSAY_OPTION_BYTES, "SIZE", "End a test above this, as `no_memory` [4GiB].", NULL},
    ASSAY_OPTION_FORMAT,
    ASSAY_OPTION_END,
};

/* One test on one platform. */
struct outcome {
    size_t test, platform;
    struct assay_conformance_result result; /* in the check's arena */
};

struct check {
    struct assay_cli *cli;
    const char *root, **tests;
    size_t n_tests;
    const char **platforms;
    size_t n_platforms, platform; /* the one that runs */
    struct outcome *outcomes;     /* [n_platforms, n_tests] */
    size_t n_outcomes;
};

/* ---- running */

static const char *name_of(const struct check *check, size_t test)
{
    size_t n = strlen(check->root);
    const char *path = check->tests[test];
    if (strncmp(path, check->root, n) != 0 || !path[n])
        return path;
    path += n;
    return path + strspn(path, "/");
}

static void keep(struct check *check, size_t test, const struct assay_conformance_result *from)
{
    struct assay_arena *arena = &check->cli->arena;
    struct outcome *to = &check->outcomes[check->n_outcomes++];
    *to = (struct outcome){.test = test, .platform = check->platform, .result = *from};
    to->result.reason = assay_arena_strdup(arena, from->reason);
    to->result.ops = assay_arena_memdup(arena, from->ops, from->n_ops * sizeof *from->ops);
    to->result.outputs = assay_arena_memdup(arena, from->outputs, from->n_outputs * sizeof *from->outputs);
    for (size_t i = 0; i < from->n_ops; i++)
        to->result.ops[i] = assay_arena_strdup(arena, from->ops[i]);
    for (size_t i = 0; i < from->n_outputs; i++) {
        struct assay_conformance_output *output = &to->result.outputs[i];
        output->set = assay_arena_strdup(arena, output->set);
        output->name = assay_arena_strdup(arena, output->name);
        output->note = assay_arena_strdup(arena, output->note);
    }
}

static void on_result(void *context, size_t test, const struct assay_conformance_result *result)
{
    struct check *check = context;
    struct assay_log *log = &check->cli->log;
    keep(check, test, result);
    const char *line = NULL;
    if (result->status != ASSAY_OK && result->status != ASSAY_UNSUPPORTED)
        line = assay_arena_printf(&check->cli->arena, "%s on %s: %s: %s", name_of(check, test), check->platforms[check->platform],
                                  assay_status_word(result->status), result->reason);
    if (log->terminal)
        assay_progress_step(log, line);
    else if (line && check->n_tests > 1)
        assay_log_line(log, ASSAY_LOG_INFO, "%s", line);
    if (test + 1 < check->n_tests)
        assay_progress_label(log, "%s", name_of(check, test + 1));
}

static bool is_training(struct assay_cli *cli) { return strcmp(assay_cli_text(cli, "mode", "inference"), "training") == 0; }

static enum assay_status run_platforms(struct check *check, struct assay_error *err)
{
    struct assay_cli *cli = check->cli;
    struct assay_conformance_limits limits = {.time_ns = (int64_t)(1e9 * assay_cli_real(cli, "time-limit", 60)),
                                              .memory_bytes = assay_cli_int(cli, "memory-limit", (int64_t)4 << 30),
                                              .stop = &assay_cli_stop};
    struct assay_conformance_options run = {.threads = (int)assay_cli_int(cli, "threads", 1),
                                            .isa = assay_cli_text(cli, "isa", ""),
                                            .rtol = assay_cli_real(cli, "rtol", 1e-3),
                                            .atol = assay_cli_real(cli, "atol", 1e-7),
                                            .training = is_training(cli)};
    run.tolerance = assay_cli_real(cli, "tolerance", run.training ? 1e-5 : 2e-5);
    check->outcomes = assay_arena_array(&cli->arena, check->n_platforms * check->n_tests, sizeof *check->outcomes);
    assay_cli_catch_signals();
    enum assay_status st = ASSAY_OK;
    for (size_t i = 0; i < check->n_platforms && !st; i++) {
        struct assay_platform platform;
        st = assay_platform_find(&cli->arena, check->platforms[i], &platform, &run.runtime, err);
        if (st)
            break;
        run.platform = &platform;
        check->platform = i;
        if (cli->log.terminal && check->n_tests > 1)
            assay_progress_start(&cli->log, (int)check->n_tests);
        st = assay_conformance_run_all(check->tests, check->n_tests, &run, &limits, on_result, check, err);
        assay_progress_stop(&cli->log);
    }
    return st;
}

/* ---- printing */

static bool is_readable(enum assay_format format) { return format == ASSAY_FORMAT_TABLE || format == ASSAY_FORMAT_MARKDOWN; }

/* An error: as a number in JSON, where it is finite; infinite ones as a text. */
static void set_error(struct assay_table *table, int column, double value)
{
    if (isfinite(value))
        assay_table_real(table, column, value, 3);
    else
        assay_table_text(table, column, "inf");
}

static const struct assay_table_heading output_columns[] = {
    {"test", "test", false}, /* where there are several */
    {"platform", "platform", false},  {"data set", "set", false},         {"output", "output", false},
    {"elements", "n_elements", true}, {"max abs error", "max_abs", true}, {"max rel error", "max_rel", true},
    {"wrong", "n_wrong", true},       {"status", "status", false},        {"note", "reason", false},
};

/* A line for each output of each test; and, where they do not tell it, one with the test's status. */
static enum assay_status print_outputs(const struct check *check, enum assay_format format, struct assay_error *err)
{
    struct assay_table table;
    assay_table_init(&table);
    bool several = check->n_tests > 1 || !is_readable(format);
    assay_table_columns(&table, output_columns + !several, ASSAY_COUNT(output_columns) - !several);
    table.wraps = true;
    for (size_t i = 0; i < check->n_outcomes; i++) {
        const struct outcome *outcome = &check->outcomes[i];
        const struct assay_conformance_result *result = &outcome->result;
        bool is_told = result->status == ASSAY_OK || (result->status == ASSAY_MISMATCH && result->n_outputs);
        for (size_t k = 0; k < result->n_outputs + !is_told; k++) {
            int column = 0;
            assay_table_row(&table);
            if (several)
                assay_table_text(&table, column++, name_of(check, outcome->test));
            assay_table_text(&table, column++, check->platforms[outcome->platform]);
            if (k >= result->n_outputs) {
                assay_table_text(&table, column + 6, assay_status_word(result->status));
                assay_table_text(&table, column + 7, result->reason);
                continue;
            }
            const struct assay_conformance_output *output = &result->outputs[k];
            assay_table_text(&table, column++, *output->set || !is_training(check->cli) ? output->set : "steps");
            assay_table_text(&table, column++, output->name);
            assay_table_int(&table, column++, output->n_elements);
            if (output->n_wrong && !(output->max_abs > 0))
                column += 2;
            else {
                set_error(&table, column++, output->max_abs);
                set_error(&table, column++, output->max_rel);
            }
            assay_table_int(&table, column++, output->n_wrong);
            assay_table_text(&table, column++, assay_status_word(output->n_wrong ? ASSAY_MISMATCH : ASSAY_OK));
            assay_table_text(&table, column++, output->note);
        }
    }
    enum assay_status st = assay_table_print(&table, format, stdout, err);
    assay_table_release(&table);
    return st;
}

/* How many tests with an op ended how. */
struct op_line {
    const char *op;
    size_t platform;
    int n_tests, n_of[ASSAY_N_STATUSES];
};

static int by_op(const void *a, const void *b)
{
    const struct op_line *x = a, *y = b;
    int order = strcmp(x->op, y->op);
    return order ? order : (x->platform > y->platform) - (x->platform < y->platform);
}

static size_t sum_ops(const struct check *check, struct op_line **lines)
{
    size_t n = 0, n_sums = 0;
    for (size_t i = 0; i < check->n_outcomes; i++)
        n += check->outcomes[i].result.n_ops + 1;
    struct op_line *all = assay_arena_array(&check->cli->arena, n, sizeof *all);
    n = 0;
    for (size_t i = 0; i < check->n_outcomes; i++) {
        const struct outcome *outcome = &check->outcomes[i];
        for (size_t k = 0; k < outcome->result.n_ops || (k == 0 && outcome->result.n_ops == 0); k++) {
            const char *op = outcome->result.n_ops ? outcome->result.ops[k] : "(not loaded)";
            all[n] = (struct op_line){.op = op, .platform = outcome->platform, .n_tests = 1};
            all[n++].n_of[outcome->result.status] = 1;
        }
    }
    qsort(all, n, sizeof *all, by_op);
    for (size_t i = 0; i < n; i++) {
        if (n_sums == 0 || by_op(&all[n_sums - 1], &all[i]) != 0) {
            all[n_sums++] = all[i];
            continue;
        }
        all[n_sums - 1].n_tests++;
        for (int k = 0; k < ASSAY_N_STATUSES; k++)
            all[n_sums - 1].n_of[k] += all[i].n_of[k];
    }
    *lines = all;
    return n_sums;
}

static enum assay_status print_ops(const struct check *check, enum assay_format format, struct assay_error *err)
{
    struct op_line *lines;
    size_t n = sum_ops(check, &lines);
    struct assay_table table;
    assay_table_init(&table);
    assay_table_column(&table, "op", "op", false);
    if (check->n_platforms > 1)
        assay_table_column(&table, "platform", "platform", false);
    int first = table.n_columns;
    static const char *const headers[] = {"tests with it", "passed", "unsupported", "wrong", "invalid", "failed"};
    for (size_t i = 0; i < ASSAY_COUNT(headers); i++)
        assay_table_column(&table, headers[i], headers[i], true);
    for (size_t i = 0; i < n; i++) {
        const struct op_line *line = &lines[i];
        int others = line->n_tests - line->n_of[ASSAY_OK] - line->n_of[ASSAY_UNSUPPORTED] - line->n_of[ASSAY_MISMATCH] -
                     line->n_of[ASSAY_INVALID];
        int counts[] = {line->n_tests,
                        line->n_of[ASSAY_OK],
                        line->n_of[ASSAY_UNSUPPORTED],
                        line->n_of[ASSAY_MISMATCH],
                        line->n_of[ASSAY_INVALID],
                        others};
        assay_table_row(&table);
        assay_table_text(&table, 0, line->op);
        if (check->n_platforms > 1)
            assay_table_text(&table, 1, check->platforms[line->platform]);
        for (int k = 0; k < (int)ASSAY_COUNT(counts); k++)
            if (counts[k] || k < 2)
                assay_table_int(&table, first + k, counts[k]);
            else
                assay_table_text(&table, first + k, "");
    }
    enum assay_status st = assay_table_print(&table, format, stdout, err);
    assay_table_release(&table);
    return st;
}

static enum assay_status print_not_passed(const struct check *check, enum assay_format format, struct assay_error *err)
{
    static const struct assay_table_heading columns[] = {
        {"not passed", "test", false}, {"platform", "platform", false}, {"status", "status", false}, {"reason", "reason", false}};
    struct assay_table table;
    assay_table_init(&table);
    assay_table_columns(&table, columns, ASSAY_COUNT(columns));
    table.wraps = true;
    for (size_t i = 0; i < check->n_outcomes; i++) {
        const struct outcome *outcome = &check->outcomes[i];
        if (outcome->result.status == ASSAY_OK)
            continue;
        assay_table_row(&table);
        assay_table_text(&table, 0, name_of(check, outcome->test));
        assay_table_text(&table, 1, check->platforms[outcome->platform]);
        assay_table_text(&table, 2, assay_status_word(outcome->result.status));
        assay_table_text(&table, 3, outcome->result.reason);
    }
    enum assay_status st = table.n_rows ? assay_table_print(&table, format, stdout, err) : ASSAY_OK;
    assay_table_release(&table);
    return st;
}

static void print_totals(const struct check *check)
{
    for (size_t p = 0; p < check->n_platforms; p++) {
        int n_of[ASSAY_N_STATUSES] = {0}, n = 0;
        for (size_t i = 0; i < check->n_outcomes; i++)
            if (check->outcomes[i].platform == p) {
                n_of[check->outcomes[i].result.status]++;
                n++;
            }
        printf("%s: %d of %d tests passed (%.1f %%)", check->platforms[p], n_of[ASSAY_OK], n, n ? 100.0 * n_of[ASSAY_OK] / n : 0);
        for (int k = 1; k < ASSAY_N_STATUSES; k++)
            if (n_of[k])
                printf(", %d %s", n_of[k], assay_status_word((enum assay_status)k));
        puts(n_of[ASSAY_MISMATCH] ? "" : ", none wrong");
    }
}

/* True if all outputs are within rounding of what is wanted: ONNX's rule has next to no tolerance for elements near 0 in a tensor
 * of large ones. */
static bool is_rounding(const struct assay_conformance_result *result)
{
    if (result->status != ASSAY_OK && result->status != ASSAY_MISMATCH)
        return false;
    for (size_t i = 0; i < result->n_outputs; i++)
        if (result->outputs[i].n_wrong && !(result->outputs[i].max_rel > 0 && result->outputs[i].max_rel <= ROUNDING))
            return false;
    return true;
}

/* Outcomes of a test on all platforms lie n_tests apart, if all have run. */
static void print_agreement(const struct check *check)
{
    int n_common = 0, n_agree = 0, n_close = 0;
    if (check->n_platforms < 2 || check->n_outcomes < check->n_platforms * check->n_tests)
        return;
    for (size_t i = 0; i < check->n_tests; i++) {
        bool supported = true, right = true, close = true;
        for (size_t p = 0; p < check->n_platforms; p++) {
            const struct assay_conformance_result *result = &check->outcomes[p * check->n_tests + i].result;
            supported &= result->status == ASSAY_OK || result->status == ASSAY_MISMATCH;
            right &= result->status == ASSAY_OK;
            close &= is_rounding(result);
        }
        n_common += supported;
        n_agree += supported && right;
        n_close += supported && !right && close;
    }
    printf("%d tests run on all %zu platforms: %d agree, %d differ by rounding (below %g of the output's largest magnitude), "
           "%d differ\n",
           n_common, check->n_platforms, n_agree, n_close, ROUNDING, n_common - n_agree - n_close);
}

/* A line for each platform, for which the table may be too long to see. */
static void tell_outputs(const struct check *check)
{
    for (size_t i = 0; i < check->n_outcomes; i++) {
        const struct assay_conformance_result *result = &check->outcomes[i].result;
        const struct assay_conformance_output *worst = NULL;
        size_t n_right = 0;
        for (size_t k = 0; k < result->n_outputs; k++) {
            const struct assay_conformance_output *output = &result->outputs[k];
            n_right += output->n_wrong == 0;
            worst = !worst || output->max_rel > worst->max_rel ? output : worst;
        }
        if (worst)
            assay_log_line(&check->cli->log, ASSAY_LOG_INFO,
                           "%s: %zu of %zu outputs are right; the largest relative error is %.3g, of %s%s%s",
                           check->platforms[check->outcomes[i].platform], n_right, result->n_outputs, worst->max_rel, worst->set,
                           *worst->set ? " " : "", worst->name);
    }
}

static enum assay_status print(const struct check *check, struct assay_error *err)
{
    enum assay_format format = assay_cli_format(check->cli);
    if (!is_readable(format) || !assay_cli_flag(check->cli, "all")) {
        enum assay_status printed = print_outputs(check, format, err);
        if (is_readable(format))
            tell_outputs(check);
        return printed;
    }
    enum assay_status st = print_ops(check, format, err);
    putchar('\n');
    if (!st)
        st = print_not_passed(check, format, err);
    putchar('\n');
    print_totals(check);
    print_agreement(check);
    return st;
}

/* ---- the verb */

static int exit_code(const struct check *check)
{
    bool all = assay_cli_flag(check->cli, "all"), unsupported = false;
    size_t n_passed = 0;
    for (size_t i = 0; i < check->n_outcomes; i++) {
        const struct outcome *outcome = &check->outcomes[i];
        n_passed += outcome->result.status == ASSAY_OK;
        unsupported |= outcome->result.status == ASSAY_UNSUPPORTED;
        if (outcome->result.status != ASSAY_OK && outcome->result.status != ASSAY_UNSUPPORTED)
            return ASSAY_EXIT_FAILED;
    }
    if (!all)
        return unsupported ? EXIT_UNSUPPORTED : ASSAY_EXIT_OK;
    double share = (double)n_passed / (double)check->n_outcomes;
    if (share >= assay_cli_real(check->cli, "min-pass", 0))
        return ASSAY_EXIT_OK;
    assay_log_line(&check->cli->log, ASSAY_LOG_ERROR,
                   "%.1f %% of the tests passed, fewer than the %.1f %% that --min-pass asks for", 100 * share,
                   100 * assay_cli_real(check->cli, "min-pass", 0));
    return ASSAY_EXIT_FAILED;
}

static enum assay_status check_numbers(const struct assay_cli *cli, struct assay_error *err)
{
    static const struct {
        const char *name;
        double most;
    } limits[] = {{"rtol", INFINITY}, {"atol", INFINITY}, {"tolerance", INFINITY}, {"time-limit", 1e9}, {"min-pass", 1}};
    enum assay_status st = assay_threads_check(assay_cli_int(cli, "threads", 1), err);
    for (size_t i = 0; !st && i < ASSAY_COUNT(limits); i++)
        st = assay_range_check_real(limits[i].name, assay_cli_real(cli, limits[i].name, 0), 0, limits[i].most, err);
    return st;
}

/* A tier that no runtime has is a slip of the pen. */
static enum assay_status check_tier(const struct check *check, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (size_t i = 0; i < check->n_platforms && !st; i++) {
        struct assay_platform platform;
        const struct assay_runtime *runtime;
        struct assay_compile_options asked = {.platform = &platform, .isa = assay_cli_text(check->cli, "isa", "")};
        if (!assay_platform_find(&check->cli->arena, check->platforms[i], &platform, &runtime, err) && runtime->check_options &&
            runtime->check_options(&asked, err) == ASSAY_INVALID)
            st = ASSAY_INVALID;
    }
    return st;
}

static int run(struct assay_cli *cli)
{
    static const char *default_platforms[] = {"cpu/reference", "cpu/native"};
    struct assay_error err;
    struct check check = {.cli = cli, .root = cli->arguments[0]};
    if (check_numbers(cli, &err))
        return assay_cli_usage(cli, "%s", err.message);
    if (!is_training(cli) && strcmp(assay_cli_text(cli, "mode", "inference"), "inference") != 0)
        return assay_cli_usage(cli, "--mode is inference or training");
    check.platforms = assay_cli_texts(cli, "platform", &check.n_platforms);
    if (check.n_platforms == 0) {
        check.platforms = default_platforms;
        check.n_platforms = ASSAY_COUNT(default_platforms);
    }
    enum assay_status st = ASSAY_OK;
    if (!assay_fs_exists(check.root))
        st = assay_error_set(&err, ASSAY_ABSENT, "there is no folder %s", check.root);
    else if (!assay_fs_is_folder(check.root))
        st = assay_error_set(
            &err, ASSAY_INVALID,
            "%s is no folder: check takes one that holds a model with its inputs and the outputs that it must give", check.root);
    else if (assay_cli_given(cli, "isa"))
        st = check_tier(&check, &err);
    if (st)
        return assay_cli_fail(cli, &err);
    if (assay_cli_flag(cli, "all")) {
        st = assay_conformance_find(check.root, is_training(cli), &cli->arena, &check.tests, &check.n_tests, &err);
    } else {
        check.tests = assay_arena_memdup(&cli->arena, &check.root, sizeof check.root);
        check.n_tests = 1;
    }
    if (!st)
        st = run_platforms(&check, &err);
    if (st && st != ASSAY_INTERRUPTED)
        return assay_cli_fail(cli, &err);
    if (print(&check, &err) || st)
        return assay_cli_fail(cli, &err);
    return exit_code(&check);
}

const struct assay_verb assay_verb_check = {
    .name = "check",
    .summary = "compare a model's outputs with what they must be",
    .usage = "DIR [--all] [OPTIONS]",
    .description =
        "Runs the test in DIR on a platform and prints each output's largest absolute error and, over the output's largest "
        "magnitude, its largest relative one. A test is a folder in ONNX's own layout (model.onnx, test_data_set_0/input_0.pb, "
        "output_0.pb, …) or one with model.onnx, inputs.safetensors and outputs.safetensors, whose tensors have the names of "
        "inputs and outputs; outputs that are not named are not compared; or a model as Hugging Face stores it, config.json and "
        "model.safetensors, with the same two files: tensors named SET.NAME are further data sets, and what is named "
        "SET.sequences is generated, greedily or, in a set like generate_beam, by beam search; or a folder of preprocessing, "
        "whose "
        "features are computed from its sounds and pictures on no platform. With --mode training the folder's train.safetensors "
        "has the labels, and the losses, gradients and parameters that PyTorch's training gave.\n\n"
        "An element is right if |got - wanted| <= atol + rtol |wanted|; integers and booleans must be equal; of a model with a "
        "config.json the measure is --tolerance times the largest magnitude of the output. Outputs that depend "
        "on "
        "random numbers are compared in dtype and shape only.\n\n"
        "With --all it runs every test below DIR, in a worker process, so that a crash or a hang costs that test only. JSON and "
        "CSV "
        "then have a line for each output.\n\n"
        "Exit code: 0 all right, 1 something is wrong, crashed or invalid, 2 usage, 3 (without --all) the platform does not "
        "support "
        "the model.",
    .examples = "assay check /usr/share/libonnx-testdata/data/node/test_softmax_axis_0\n"
                "assay check --all /usr/share/libonnx-testdata/data --platform cpu/reference,cpu/onnxruntime\n"
                "assay check mymodel --platform cpu/onnxruntime --rtol 1e-5 --format json\n"
                "assay check mymodel --mode training --platform cpu/reference,cpu/native,cpu/onnxruntime",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
