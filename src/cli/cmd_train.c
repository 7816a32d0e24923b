/* SPDX-License-Identifier: Apache-2.0 */
/* assay train: a training run, the same twice, or with several seeds. The running is in train/run.h; here options become its
 * options, and results tables. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/range.h"
#include "cli/cli.h"
#include "cli/train_report.h"
#include "device/device.h"
#include "graph/recompute.h"
#include "runtime/registry.h"
#include "train/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SEEDS = 1000, MOST_PARTS = 1 << 20, MOST_SEGMENTS = 10000 };

static const char *const precisions[] = {"f32", "bf16", "f16", NULL};
static const struct assay_cli_option options[] = {
    {"data", ASSAY_OPTION_TEXT, "DATASET", "What to train on: fashion-mnist, bible:bpe=1024 … (--list-datasets).", NULL},
    {"list-datasets", ASSAY_OPTION_FLAG, NULL, "List the datasets with their options, and do nothing else.", NULL},
    {"config", ASSAY_OPTION_ENTRIES, "NAME=VALUE", "A field of the model's config, instead of its own; weights are random.",
     NULL},
    {"random", ASSAY_OPTION_FLAG, NULL, "Begin with random weights also where the model has some.", NULL},
    {"input", ASSAY_OPTION_ENTRIES, "INPUT=TENSOR", "Which tensor of the dataset an input gets [by its name].", NULL},
    {"batch", ASSAY_OPTION_INT, "N", "Samples of a step [32].", NULL},
    {"accumulate", ASSAY_OPTION_INT, "N",
     "Compute each batch in N parts of equal size, whose gradients are added up: less memory [1].", NULL},
    {"recompute", ASSAY_OPTION_TEXT, "N",
     "Hold the activations of N segments of the model one at a time, and compute them again for the backward pass: less memory; "
     "auto = the square root of the number of layers [hold all].",
     NULL},
    {"freeze", ASSAY_OPTION_TEXTS, "NAMES", "Parameters that stay as they are; a * stands for any letters: bert.embeddings.*.",
     NULL},
    {"epochs", ASSAY_OPTION_REAL, "N", "Length of the run [1].", NULL},
    {"steps", ASSAY_OPTION_INT, "N", "Length of the run in steps, instead of epochs.", NULL},
    {"optimizer", ASSAY_OPTION_TEXT, "TEXT", "sgd, adam or adamw with options: sgd:momentum=0.9:nesterov [adamw].", NULL},
    {"learning-rate", ASSAY_OPTION_REAL, "RATE", "The largest of the schedule [0.1 for sgd, else 0.001].", NULL},
    {"schedule", ASSAY_OPTION_TEXT, "TEXT", "constant, linear or cosine with options: cosine:warmup=5% [constant].", NULL},
    {"clip-norm", ASSAY_OPTION_REAL, "NORM", "Gradients whose norm is larger are scaled down to it [no clipping].", NULL},
    {"precision", ASSAY_OPTION_CHOICE, "DTYPE", "f32, bf16 or f16, with parameters in f32; f16 with dynamic loss scaling [f32].",
     precisions},
    {"augment", ASSAY_OPTION_TEXT, "TEXT",
     "Pictures are moved and mirrored, features of speech moved in time: height=2:width=2:mirror [nothing].", NULL},
    {"no-dropout", ASSAY_OPTION_FLAG, NULL, "Train without dropout.", NULL},
    {"seed", ASSAY_OPTION_INT, "N", "Of weights, order of the data, augmentation and dropout [1].", NULL},
    {"validate-every", ASSAY_OPTION_INT, "N", "Steps from validation to validation [an epoch].", NULL},
    {"no-test", ASSAY_OPTION_FLAG, NULL, "Leave out the test split, which is measured at the end.", NULL},
    {"target", ASSAY_OPTION_TEXT, "METRIC=VALUE",
     "End when validation reaches it: accuracy=0.9, bits-per-byte=2.4, loss=1; exit code 1 if it does not.", NULL},
    {"output", ASSAY_OPTION_TEXT, "DIR", "Where checkpoints, the model, curves and TensorBoard's events go [nothing is kept].",
     NULL},
    {"histograms", ASSAY_OPTION_FLAG, NULL,
     "Also the distributions of parameters and gradients in TensorBoard's events, with each validation.", NULL},
    {"checkpoint-every", ASSAY_OPTION_INT, "N", "Steps from checkpoint to checkpoint [with each validation].", NULL},
    {"keep", ASSAY_OPTION_INT, "N", "Checkpoints that stay [3].", NULL},
    {"resume", ASSAY_OPTION_FLAG, NULL,
     "Go on from the newest whole checkpoint of --output, if there is one; the learning rate, the schedule, --clip-norm and the "
     "length may be others than before.",
     NULL},
    {"reproduce", ASSAY_OPTION_FLAG, NULL, "Run twice, and compare every parameter bit by bit.", NULL},
    {"seeds", ASSAY_OPTION_INT, "N", "Run with N seeds from --seed on, and print the spread of what they reach.", NULL},
    {"platform", ASSAY_OPTION_TEXT, "NAME", "Where to train [cpu/native].", NULL},
    {"threads", ASSAY_OPTION_INT, "N",
     "Threads of the runtime, or as many as it can use if those are fewer; at most 4 for each CPU that is here [1].", NULL},
    ASSAY_OPTION_FORMAT,
    ASSAY_OPTION_END,
};

struct train {
    struct assay_cli *cli;
    struct assay_run_options options;
    struct assay_platform platform;
    struct assay_dataset *dataset;
    int64_t told_ns; /* of the last plain line */
};

/* ---- what a person sees meanwhile */

static void on_warning(void *context, const char *sentence)
{
    struct train *t = context;
    assay_log_line(&t->cli->log, ASSAY_LOG_WARNING, "%s", sentence);
}

/* A line on a terminal is written over, so that it may come often. */
static bool is_time_to_tell(struct train *t)
{
    enum { LINE_NS = 1000000000 };
    int64_t now_ns = assay_clock_ns();
    if (now_ns - t->told_ns < (t->cli->log.terminal ? LINE_NS / 5 : 10LL * LINE_NS))
        return false;
    t->told_ns = now_ns;
    return true;
}

/* A line that the next one is written over, on a terminal. */
static void tell_passing(struct train *t, const char *line)
{
    struct assay_log *log = &t->cli->log;
    if (!is_time_to_tell(t))
        return;
    if (log->terminal && log->level >= ASSAY_LOG_INFO)
        fprintf(log->out, "\r\033[K%s\r", line);
    else
        assay_log_line(log, ASSAY_LOG_INFO, "%s", line);
}

static void on_progress(void *context, const struct assay_run_progress *p)
{
    struct train *t = context;
    struct assay_log *log = &t->cli->log;
    char left[32] = "", rate[48] = "", line[200];
    if (p->left_ns > 0)
        assay_clock_duration_text(p->left_ns, left, sizeof left);
    if (p->samples_per_s > 0)
        snprintf(rate, sizeof rate, ", %.4g samples/s", p->samples_per_s);
    if (p->stage == ASSAY_RUN_STARTS && p->step > 0)
        assay_log_line(log, ASSAY_LOG_INFO, "going on after step %lld", (long long)p->step);
    if (p->stage == ASSAY_RUN_VALIDATED)
        assay_log_line(log, ASSAY_LOG_INFO, "step %lld: validation %s %.4g, loss %.4g", (long long)p->step, p->metric_name,
                       p->metric, p->metric_loss);
    if (p->stage != ASSAY_RUN_STEPPED && p->stage != ASSAY_RUN_MEASURING)
        return;
    if (p->stage == ASSAY_RUN_STEPPED)
        snprintf(line, sizeof line, "step %lld of %lld: loss %.4f%s%s%s", (long long)p->step, (long long)p->n_steps, p->loss,
                 rate, *left ? ", left " : "", left);
    else
        snprintf(line, sizeof line, "step %lld of %lld: %s, %lld of %lld samples", (long long)p->step, (long long)p->n_steps,
                 assay_split_word(p->split), (long long)p->n_measured, (long long)p->n_to_measure);
    tell_passing(t, line);
}

static void on_dataset(void *context, const char *what, int64_t n_done, int64_t n_all)
{
    struct train *t = context;
    char line[200];
    snprintf(line, sizeof line, "%s: %lld of %lld", what, (long long)n_done, (long long)n_all);
    if (n_done < n_all)
        tell_passing(t, line);
    else
        assay_log_line(&t->cli->log, ASSAY_LOG_INFO, "%s", line);
}

/* ---- options */

static enum assay_status read_augment(struct train *t, const char *text, struct assay_error *err)
{
    char *words = assay_arena_strdup(&t->cli->arena, text), *rest = NULL;
    struct assay_augment_shift *s = &t->options.shift;
    t->options.augments = true;
    for (char *word = strtok_r(words, ":", &rest); word; word = strtok_r(NULL, ":", &rest)) {
        char *end = NULL, *equals = strchr(word, '=');
        int64_t value = equals ? strtoll(equals + 1, &end, 10) : 0;
        bool is_number = equals && end != equals + 1 && !*end && value >= 0 && value <= 10000;
        if (strcmp(word, "mirror") == 0)
            s->mirror = true;
        else if (is_number && strncmp(word, "height=", 7) == 0)
            s->height = value;
        else if (is_number && strncmp(word, "width=", 6) == 0)
            s->width = value;
        else
            return assay_error_set(err, ASSAY_INVALID,
                                   "--augment: '%s' is not understood; there are height=N, width=N and mirror", word);
    }
    return ASSAY_OK;
}

static enum assay_status read_target(struct train *t, const char *text, struct assay_error *err)
{
    const char *equals = strchr(text, '=');
    char *end = NULL;
    double value = equals ? strtod(equals + 1, &end) : 0;
    if (!equals || end == equals + 1 || *end || !isfinite(value))
        return assay_error_set(err, ASSAY_INVALID, "--target %s: write METRIC=NUMBER, as accuracy=0.9", text);
    t->options.target_metric = assay_arena_strndup(&t->cli->arena, text, (size_t)(equals - text));
    t->options.has_target = true;
    t->options.target = value;
    return ASSAY_OK;
}

static enum assay_status read_recompute(struct train *t, const char *text, struct assay_error *err)
{
    char *end = NULL;
    long n = strtol(text, &end, 10);
    bool is_number = end != text && !*end && n >= 2 && n <= MOST_SEGMENTS;
    if (!is_number && strcmp(text, "auto") != 0)
        return assay_error_set(err, ASSAY_INVALID, "--recompute %s: write a number of segments from 2, or auto", text);
    t->options.recompute = is_number ? (int)n : ASSAY_RECOMPUTE_AUTO;
    return ASSAY_OK;
}

/* The list, ended by NULL. */
static const char *const *read_frozen(struct assay_cli *cli)
{
    size_t n;
    const char **names = assay_cli_texts(cli, "freeze", &n);
    const char **ended = assay_arena_array(&cli->arena, n + 1, sizeof *ended);
    for (size_t i = 0; i < n; i++)
        ended[i] = names[i];
    ended[n] = NULL;
    return ended;
}

static enum assay_status read_texts(struct train *t, struct assay_error *err)
{
    struct assay_cli *cli = t->cli;
    struct assay_run_options *o = &t->options;
    const char *precision = assay_cli_text(cli, "precision", "f32");
    enum assay_status st = assay_optimizer_parse(assay_cli_text(cli, "optimizer", "adamw"), &o->optimizer, err);
    if (!st)
        st = assay_schedule_parse(assay_cli_text(cli, "schedule", "constant"), &o->schedule, err);
    if (!st && assay_cli_given(cli, "augment"))
        st = read_augment(t, assay_cli_text(cli, "augment", ""), err);
    if (!st && assay_cli_given(cli, "target"))
        st = read_target(t, assay_cli_text(cli, "target", ""), err);
    if (!st && assay_cli_given(cli, "recompute"))
        st = read_recompute(t, assay_cli_text(cli, "recompute", ""), err);
    o->precision = strcmp(precision, "bf16") == 0 ? ASSAY_BF16 : strcmp(precision, "f16") == 0 ? ASSAY_F16 : ASSAY_NO_DTYPE;
    o->learning_rate = assay_cli_real(cli, "learning-rate", o->optimizer.kind == ASSAY_OPTIMIZER_SGD ? 0.1 : 1e-3);
    return st;
}

static enum assay_status read_options(struct train *t, struct assay_error *err)
{
    struct assay_cli *cli = t->cli;
    struct assay_run_options *o = &t->options;
    *o = (struct assay_run_options){
        .task = {.model = cli->arguments[0],
                 .random = assay_cli_flag(cli, "random"),
                 .batch = assay_cli_int(cli, "batch", 32),
                 .seed = (uint64_t)assay_cli_int(cli, "seed", 1),
                 .no_dropout = assay_cli_flag(cli, "no-dropout")},
        .clip_norm = assay_cli_real(cli, "clip-norm", 0),
        .accumulate = (int)assay_cli_int(cli, "accumulate", 1),
        .frozen = read_frozen(cli),
        .epochs = assay_cli_real(cli, "epochs", 1),
        .n_steps = assay_cli_int(cli, "steps", 0),
        .validate_every = assay_cli_int(cli, "validate-every", 0),
        .test = !assay_cli_flag(cli, "no-test"),
        .folder = assay_cli_text(cli, "output", NULL),
        .histograms = assay_cli_flag(cli, "histograms"),
        .save_every = assay_cli_int(cli, "checkpoint-every", 0),
        .keep = (int)assay_cli_int(cli, "keep", 3),
        .resume = assay_cli_flag(cli, "resume"),
        .stop = &assay_cli_stop,
        .progress = on_progress,
        .warn = on_warning,
        .context = t,
    };
    o->task.fields = assay_cli_texts(cli, "config", &o->task.n_fields);
    o->task.inputs = assay_cli_texts(cli, "input", &o->task.n_inputs);
    enum assay_status st = read_texts(t, err);
    if (!st)
        st = assay_platform_find(&cli->arena, assay_cli_text(cli, "platform", "cpu/native"), &t->platform, &o->runtime, err);
    if (!st && o->runtime->computes_nothing)
        st = assay_error_set(err, ASSAY_INVALID, "%s computes nothing, so nothing can be learned there", t->platform.name);
    if (st)
        return st;
    int threads = (int)assay_cli_int(cli, "threads", 1);
    if (o->runtime->max_threads && threads > o->runtime->max_threads)
        threads = o->runtime->max_threads;
    assay_cli_warn_threads(cli, threads);
    o->compile = (struct assay_compile_options){.platform = &t->platform, .n_threads = threads, .isa = "", .optimization = 3};
    return ASSAY_OK;
}

/* ---- one run, two, several */

static int finish_table(struct train *t, struct assay_table *table, int code)
{
    int printed = assay_cli_print(t->cli, table);
    assay_table_release(table);
    return printed ? printed : code;
}

static enum assay_status run_one(struct train *t, bool keep, struct assay_run_result *result, struct assay_error *err)
{
    enum assay_status st = assay_run(&t->options, t->dataset, keep, result, err);
    if (t->cli->log.terminal)
        fputs("\r\033[K", t->cli->log.out);
    return st;
}

/* What a person does next: where things are, and how to go on. */
static void tell_resume(struct train *t, const char *folder, int64_t n_steps)
{
    struct assay_log *log = &t->cli->log;
    if (folder && n_steps > 0)
        assay_log_line(log, ASSAY_LOG_INFO,
                       "checkpoints are in %s: the same command with --resume goes on, and ends with a model in that folder",
                       folder);
    else
        assay_log_line(log, ASSAY_LOG_INFO, "nothing was kept: %s", folder ? "no step was done" : "there was no --output");
}

static void tell_kept(struct train *t)
{
    const struct assay_run_options *o = &t->options;
    if (o->folder)
        assay_log_line(&t->cli->log, ASSAY_LOG_INFO, "kept in %s: the model, checkpoints, curves.svg, events for TensorBoard",
                       o->folder);
}

/* A target that was missed is a failure that is told. */
static int judge_target(struct train *t, const struct assay_run_result *r)
{
    const struct assay_run_options *o = &t->options;
    struct assay_error err;
    if (!o->has_target || r->reached)
        return ASSAY_EXIT_OK;
    if (isfinite(r->best))
        assay_error_set(&err, ASSAY_MISMATCH, "seed %llu did not reach %s %.6g in %lld steps: the best was %.6g, at step %lld",
                        (unsigned long long)o->task.seed, r->metric_name, o->target, (long long)r->n_steps, r->best,
                        (long long)r->best_step);
    else
        assay_error_set(&err, ASSAY_MISMATCH, "seed %llu did not reach %s %.6g: it was never validated",
                        (unsigned long long)o->task.seed, r->metric_name, o->target);
    return assay_cli_fail(t->cli, &err);
}

static int train_once(struct train *t)
{
    struct assay_error err;
    struct assay_run_result result;
    struct assay_train_report report;
    assay_train_report_init(&report, t->cli, &t->options, t->dataset->spec);
    enum assay_status st = run_one(t, false, &result, &err);
    int code = st ? assay_cli_fail(t->cli, &err) : ASSAY_EXIT_OK;
    if (!st || st == ASSAY_INTERRUPTED || (st == ASSAY_IO && result.n_steps > 0)) {
        if (!st && assay_train_report_curves(t->cli, &result, &t->options, t->dataset->spec, true, &err))
            code = assay_cli_fail(t->cli, &err);
        if (!st && !code)
            tell_kept(t);
        if (!st && !code)
            code = judge_target(t, &result);
        assay_train_report_run(&report, &result, t->options.task.seed, t->options.folder);
        code = assay_train_report_print(&report, code);
        if (st == ASSAY_INTERRUPTED)
            tell_resume(t, t->options.folder, result.n_steps);
    }
    assay_run_result_release(&result);
    assay_train_report_release(&report);
    return code;
}

static int64_t count_differences(const struct assay_run_result *a, const struct assay_run_result *b, int64_t *n_elements,
                                 const char **first)
{
    int64_t n = 0;
    for (int i = 0; i < a->n_states; i++) {
        const struct assay_tensor *x = &a->states[i].tensor, *y = &b->states[i].tensor;
        size_t size = (size_t)assay_dtype_size(x->type.dtype);
        for (int64_t k = 0; k < assay_tensor_count(x); k++)
            if (memcmp((char *)x->data + (size_t)k * size, (char *)y->data + (size_t)k * size, size) != 0) {
                *first = *first ? *first : a->states[i].name;
                n++;
            }
        *n_elements += assay_tensor_count(x);
    }
    return n;
}

static int reproduce(struct train *t)
{
    struct assay_error err;
    struct assay_run_result a, b;
    struct assay_table table;
    const char *first = NULL;
    int64_t n_elements = 0, n = 0;
    enum assay_status st = run_one(t, true, &a, &err);
    if (st) {
        assay_run_result_release(&a);
        return assay_cli_fail(t->cli, &err);
    }
    st = run_one(t, true, &b, &err);
    if (!st)
        n = count_differences(&a, &b, &n_elements, &first);
    if (!st) {
        assay_table_init(&table);
        assay_table_column(&table, "steps", "steps", true);
        assay_table_column(&table, "tensors", "tensors", true);
        assay_table_column(&table, "elements", "elements", true);
        assay_table_column(&table, "different", "different", true);
        assay_table_column(&table, "first", "first_tensor", false);
        assay_table_row(&table);
        assay_table_int(&table, 0, a.n_steps);
        assay_table_int(&table, 1, a.n_states);
        assay_table_int(&table, 2, n_elements);
        assay_table_int(&table, 3, n);
        if (first)
            assay_table_text(&table, 4, first);
    }
    int code = st ? assay_cli_fail(t->cli, &err) : finish_table(t, &table, n ? ASSAY_EXIT_FAILED : ASSAY_EXIT_OK);
    assay_run_result_release(&a);
    assay_run_result_release(&b);
    return code;
}

/* What the runs with several seeds reached. */
struct envelope {
    double *values, *tests, *times, *steps; /* [runs] */
    size_t n, n_tests, n_times;
    int64_t n_runs;
    const char *metric;
};

static void add_to_envelope(struct envelope *e, const struct assay_run_result *r)
{
    e->n_runs++;
    if (isfinite(r->final))
        e->values[e->n++] = r->final;
    if (isfinite(r->test))
        e->tests[e->n_tests++] = r->test;
    if (r->reached) {
        e->steps[e->n_times] = (double)r->target_step;
        e->times[e->n_times++] = r->time_to_target_s;
    }
}

static void report_envelope(struct train *t, struct assay_train_report *report, const struct envelope *e)
{
    struct assay_arena *arena = &t->cli->arena;
    if (e->n)
        assay_train_report_spread(report, assay_arena_printf(arena, "validation %s", e->metric), e->values, e->n, e->n_runs);
    if (e->n_tests)
        assay_train_report_spread(report, assay_arena_printf(arena, "test %s", e->metric), e->tests, e->n_tests, e->n_runs);
    if (t->options.has_target && e->n_runs) {
        assay_train_report_spread(report, "seconds to the target", e->times, e->n_times, e->n_runs);
        assay_train_report_spread(report, "steps to the target", e->steps, e->n_times, e->n_runs);
    }
}

/* One of the seeds, in a folder of its own. */
static int train_seed(struct train *t, struct assay_train_report *report, struct envelope *e, bool *goes_on)
{
    struct assay_error err;
    struct assay_run_result result;
    enum assay_status st = run_one(t, false, &result, &err);
    int code = st ? assay_cli_fail(t->cli, &err) : ASSAY_EXIT_OK;
    *goes_on = !st;
    if (!st) {
        e->metric = assay_arena_strdup(&t->cli->arena, result.metric_name);
        add_to_envelope(e, &result);
        assay_train_report_run(report, &result, t->options.task.seed, t->options.folder);
        if (assay_train_report_curves(t->cli, &result, &t->options, t->dataset->spec, false, &err))
            code = assay_cli_fail(t->cli, &err);
        if (!code)
            code = judge_target(t, &result);
    }
    assay_run_result_release(&result);
    return code;
}

static int train_seeds(struct train *t, int64_t n_seeds)
{
    struct assay_train_report report;
    struct envelope e = {.metric = ""};
    const char *folder = t->options.folder;
    int code = ASSAY_EXIT_OK;
    bool goes_on = true;
    double **columns[] = {&e.values, &e.tests, &e.times, &e.steps};
    for (size_t i = 0; i < ASSAY_COUNT(columns); i++)
        *columns[i] = assay_arena_array(&t->cli->arena, (size_t)n_seeds, sizeof(double));
    assay_train_report_init(&report, t->cli, &t->options, t->dataset->spec);
    t->options.holds_settings = true;
    for (int64_t i = 0; i < n_seeds && goes_on; i++, t->options.task.seed++) {
        if (folder)
            t->options.folder =
                assay_arena_printf(&t->cli->arena, "%s/seed-%llu", folder, (unsigned long long)t->options.task.seed);
        assay_log_line(&t->cli->log, ASSAY_LOG_INFO, "seed %llu, run %lld of %lld", (unsigned long long)t->options.task.seed,
                       (long long)i + 1, (long long)n_seeds);
        int of_run = train_seed(t, &report, &e, &goes_on);
        code = of_run ? of_run : code;
    }
    report_envelope(t, &report, &e);
    if (goes_on || e.n_runs)
        code = assay_train_report_print(&report, code);
    if (assay_cli_stop && !goes_on)
        tell_resume(t, folder, 1);
    assay_train_report_release(&report);
    return code;
}

/* ---- the verb */

static int list_datasets(struct assay_cli *cli)
{
    struct assay_table table;
    int n;
    const struct assay_dataset_kind *const *kinds = assay_dataset_kinds(&n);
    assay_table_init(&table);
    assay_table_column(&table, "dataset", "dataset", false);
    assay_table_column(&table, "what", "about", false);
    assay_table_column(&table, "options (default)", "options", false);
    for (int i = 0; i < n; i++) {
        assay_table_row(&table);
        assay_table_text(&table, 0, kinds[i]->name);
        assay_table_text(&table, 1, kinds[i]->about);
        assay_table_text(&table, 2, kinds[i]->options);
    }
    int code = assay_cli_print(cli, &table);
    assay_table_release(&table);
    return code;
}

static enum assay_status check_numbers(const struct assay_cli *cli, struct assay_error *err)
{
    static const struct {
        const char *name;
        int64_t least, most;
    } counts[] = {{"batch", 1, 1 << 20},
                  {"steps", 1, INT64_C(1) << 40},
                  {"validate-every", 1, INT64_C(1) << 40},
                  {"keep", 1, 1 << 20},
                  {"checkpoint-every", 1, INT64_C(1) << 40},
                  {"seeds", 1, MOST_SEEDS},
                  {"seed", 0, INT64_MAX - MOST_SEEDS},
                  {"accumulate", 1, MOST_PARTS}};
    static const struct {
        const char *name;
        double least, most;
    } rates[] = {{"epochs", 1e-6, 1e6}, {"learning-rate", 0, INFINITY}, {"clip-norm", 0, INFINITY}};
    enum assay_status st = assay_threads_check(assay_cli_int(cli, "threads", 1), err);
    for (size_t i = 0; !st && i < ASSAY_COUNT(counts); i++)
        st = assay_range_check_int(counts[i].name, assay_cli_int(cli, counts[i].name, counts[i].least), counts[i].least,
                                   counts[i].most, err);
    for (size_t i = 0; !st && i < ASSAY_COUNT(rates); i++)
        st = assay_range_check_real(rates[i].name, assay_cli_real(cli, rates[i].name, rates[i].least), rates[i].least,
                                    rates[i].most, err);
    return st;
}

static int run(struct assay_cli *cli)
{
    struct assay_error err;
    struct train t = {.cli = cli};
    if (assay_cli_flag(cli, "list-datasets"))
        return list_datasets(cli);
    if (cli->n_arguments == 0)
        return assay_cli_usage(cli, "say what to train: a model folder, an ONNX file, a preset or an architecture");
    if (!assay_cli_given(cli, "data"))
        return assay_cli_usage(cli, "say what to train on: --data DATASET (--list-datasets lists them)");
    if (check_numbers(cli, &err))
        return assay_cli_usage(cli, "%s", err.message);
    if (assay_cli_flag(cli, "resume") && !assay_cli_given(cli, "output"))
        return assay_cli_usage(cli, "--resume needs --output DIR, where the checkpoints are");
    if (assay_cli_flag(cli, "histograms") && !assay_cli_given(cli, "output"))
        return assay_cli_usage(cli, "--histograms needs --output DIR, where the events go");
    if (assay_cli_flag(cli, "reproduce") && assay_cli_given(cli, "output"))
        return assay_cli_usage(cli, "--reproduce keeps nothing, so it has no --output");
    if (assay_cli_flag(cli, "reproduce") && assay_cli_given(cli, "seeds"))
        return assay_cli_usage(cli, "--reproduce runs one seed twice, --seeds several once: ask for one of them");
    if (assay_cli_int(cli, "batch", 32) % assay_cli_int(cli, "accumulate", 1) != 0)
        return assay_cli_usage(cli, "--accumulate must divide --batch: parts are of equal size");
    assay_cli_catch_signals();
    if (read_options(&t, &err))
        return assay_cli_fail(cli, &err);
    struct assay_dataset_progress progress = {on_dataset, &t, &assay_cli_stop};
    if (assay_dataset_open(assay_cli_text(cli, "data", ""), &progress, &t.dataset, &err))
        return assay_cli_fail(cli, &err);
    int64_t n_seeds = assay_cli_int(cli, "seeds", 1);
    int code = assay_cli_flag(cli, "reproduce") ? reproduce(&t) : n_seeds > 1 ? train_seeds(&t, n_seeds) : train_once(&t);
    assay_dataset_close(t.dataset);
    return code;
}

const struct assay_verb assay_verb_train = {
    .name = "train",
    .summary = "train a model on a dataset",
    .usage = "MODEL --data DATASET [OPTIONS]",
    .description =
        "Trains a model, and prints what it reached: loss, accuracy or bits per byte on the validation split and on the test "
        "split, time, samples/s. MODEL is a folder with config.json (its weights are what training begins with), an ONNX file, "
        "the name of a known model, or of an architecture whose dimensions --config gives.\n\n"
        "With --output a checkpoint is written at each validation, whole or not at all; --resume goes on from the newest one as "
        "if the run had never stopped, to the last bit. At the end the folder is a model that every other verb reads (of an "
        "ONNX file: model.onnx in it). Ctrl-C writes a checkpoint and ends; so it does with --seeds, whose runs have a folder "
        "each.\n\n"
        "JSON is one object: how the figures came about, the command that repeats them, `runs` and, of --seeds, `spread`: mean, "
        "95 % interval (Student's t), deviation, least and most. CSV has the runs alone.\n\n"
        "Exit code: 0 done, 1 failed, stopped, or the target was not reached, 2 usage.",
    .examples = "assay train ds-cnn-s --data spoken-commands --epochs 20 --augment height=4 --output runs/commands\n"
                "assay train resnet-18 --data synthetic:image=f32[3,64,64]:label=i64[]<10 --steps 20\n"
                "assay train gpt2 --config n_layer=4 --config n_embd=192 --data bible:bpe=1024 --target bits-per-byte=2.3\n"
                "assay train ds-cnn-s --data spoken-commands --steps 50 --reproduce\n"
                "assay train ds-cnn-s --data spoken-commands --seeds 5 --target accuracy=0.9 --output runs/seeds --format json\n"
                "assay train runs/bible --data bible:bpe=1024 --batch 32 --accumulate 4 --precision bf16 --freeze "
                "'transformer.h.0.*'\n"
                "assay train --list-datasets",
    .options = options,
    .min_arguments = 0,
    .max_arguments = 1,
    .run = run,
};
