/* SPDX-License-Identifier: Apache-2.0 */
/* Runs that are killed and resumed end with the bits of one that was not: each run is a process of its own, as a person's is. */
#include "train/run_keep.h"
#include "train/run_testing.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/test.h"
#include "train/train_checkpoint.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { N_STEPS = 60, N_KILLS = 20 };
static const char data[] = "synthetic:x=f32[3,8,8]:label=i64[]<4:train=64:validation=16:test=8";
static const char *const fields[] = {"hidden_sizes=[4,8]", "strides=[1,2]", "embedding_size=4"};

static volatile sig_atomic_t stop;

struct warnings {
    int n;
    char last[600];
};

static void on_warning(void *context, const char *sentence)
{
    struct warnings *w = context;
    w->n++;
    snprintf(w->last, sizeof w->last, "%s", sentence);
}

static void stop_at_step_seven(void *context, const struct assay_run_progress *progress)
{
    (void)context;
    stop = progress->step >= 7;
}

static struct assay_run_options usual(const char *folder)
{
    struct assay_run_options o = {
        .task = {.model = "PlainResNetForImageClassification", .fields = fields, .n_fields = 3, .batch = 8, .seed = 3},
        .learning_rate = 0.01,
        .n_steps = N_STEPS,
        .validate_every = 16,
        .save_every = 1,
        .keep = 2,
        .folder = folder,
        .resume = true};
    CHECK(!assay_optimizer_parse("adamw", &o.optimizer, NULL));
    CHECK(!assay_schedule_parse("cosine:warmup=5", &o.schedule, NULL));
    return o;
}

/* The child's: a byte for each step that is done. */
static void write_byte(void *context, const struct assay_run_progress *progress)
{
    if (progress->stage == ASSAY_RUN_STEPPED && write(*(int *)context, "", 1) != 1)
        _exit(2);
}

/* In a child; *steps: where its bytes come from. */
static pid_t start(const char *folder, const char *platform, int *steps)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    *steps = ends[0];
    if (child != 0) {
        close(ends[1]);
        return child;
    }
    close(ends[0]);
    struct assay_run_options o = usual(folder);
    struct assay_run_result result;
    struct assay_error err = {0};
    o.progress = write_byte;
    o.context = &ends[1];
    enum assay_status st = run_on(&o, platform, data, false, &result, &err);
    if (st)
        fprintf(stderr, "%s\n", err.message);
    _exit(st == ASSAY_OK ? 0 : 1);
}

static int wait_for(pid_t child)
{
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static void check_same_file(struct assay_arena *arena, const char *a, const char *b, const char *name)
{
    char *x, *y;
    size_t n, m;
    struct assay_error err;
    CHECK_OK(assay_fs_read(assay_path_join(arena, a, name), 1 << 24, arena, &x, &n, &err), err);
    CHECK_OK(assay_fs_read(assay_path_join(arena, b, name), 1 << 24, arena, &y, &m, &err), err);
    CHECK_INT(n, m);
    CHECK(memcmp(x, y, n) == 0);
}

/* Steps that the newest checkpoint has; *n_hidden: folders of checkpoints that were half written, or half removed. */
static int steps_kept(const char *folder, int *n_hidden)
{
    struct assay_arena arena;
    char **names;
    size_t n = 0;
    int newest = 0;
    *n_hidden = 0;
    assay_arena_init(&arena);
    if (!assay_fs_list(folder, &arena, &names, &n, NULL))
        for (size_t i = 0; i < n; i++) {
            int step = strncmp(names[i], "step-", 5) == 0 ? atoi(names[i] + 5) : 0;
            newest = step > newest ? step : newest;
            *n_hidden += strncmp(names[i], ".step-", 6) == 0;
        }
    assay_arena_release(&arena);
    return newest;
}

/* A child that goes on to `step` at least and is killed that much later; whether that came before its end. */
static bool kill_at(const char *folder, const char *platform, int step, uint64_t delay_us)
{
    int steps, n_hidden, done = steps_kept(folder, &n_hidden);
    char byte;
    pid_t child = start(folder, platform, &steps);
    while (done < step && read(steps, &byte, 1) == 1)
        done++;
    nanosleep(&(struct timespec){(time_t)(delay_us / 1000000), (long)(delay_us % 1000000) * 1000}, NULL);
    kill(child, SIGKILL);
    close(steps);
    return WIFSIGNALED(wait_for(child));
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* A run that nobody kills; *step_us: the median time from step to step. */
static void run_whole(const char *folder, const char *platform, uint64_t *step_us)
{
    double times_us[N_STEPS];
    int steps;
    size_t n = 0;
    char byte;
    pid_t child = start(folder, platform, &steps);
    int64_t before_ns = assay_clock_ns();
    for (int64_t now_ns; n < N_STEPS && read(steps, &byte, 1) == 1; before_ns = now_ns) {
        now_ns = assay_clock_ns();
        times_us[n++] = (double)(now_ns - before_ns) / 1e3;
    }
    qsort(times_us, n, sizeof *times_us, compare_doubles);
    *step_us = n ? (uint64_t)times_us[n / 2] : 1;
    close(steps);
    CHECK_INT(wait_for(child), 0);
}

/* Kills are spread evenly at random over the run, one in each twentieth of its steps and anywhere in the time of such a step, so
 * that they hit computing as well as validation and the writing and removing of checkpoints, which is most of a step here. */
static void kill_and_resume(const char *platform)
{
    struct assay_arena arena;
    struct assay_error err;
    struct assay_rng rng;
    char *root;
    uint64_t step_us, seed = 17;
    int n_killed = 0, n_in_writing = 0, n_hidden;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &root, &err), err);
    char *whole = assay_path_join(&arena, root, "whole"), *killed = assay_path_join(&arena, root, "killed");
    run_whole(whole, platform, &step_us);
    assay_rng_init(&rng, seed, assay_rng_stream(platform));
    printf("  %s, seed %llu, killed after step", platform, (unsigned long long)seed);
    for (int i = 0; i < N_KILLS; i++) {
        /* One of each of as many equal parts of the run. */
        int step = 1 + (int)((i * (N_STEPS - 1) + (int)assay_rng_below(&rng, N_STEPS - 1)) / N_KILLS);
        n_killed += kill_at(killed, platform, step, assay_rng_below(&rng, step_us + 1));
        printf(" %d", steps_kept(killed, &n_hidden));
        n_in_writing += n_hidden > 0;
    }
    printf("; %d while a checkpoint was written or removed\n", n_in_writing);
    CHECK(n_killed >= N_KILLS * 3 / 4); /* on a busy machine some come after the end */
    run_whole(killed, platform, &step_us);
    CHECK_INT(steps_kept(killed, &n_hidden), N_STEPS);
    CHECK_INT(n_hidden, 0);
    const char *last = assay_arena_printf(&arena, "step-%08d", N_STEPS);
    static const char *const files[] = {"parameters.safetensors", "optimizer.safetensors"};
    for (size_t i = 0; i < ASSAY_COUNT(files); i++)
        check_same_file(&arena, assay_path_join(&arena, whole, last), assay_path_join(&arena, killed, last), files[i]);
    CHECK_OK(assay_fs_remove(root, &err), err);
    assay_arena_release(&arena);
}

static void require(const char *name)
{
    struct assay_arena arena;
    struct assay_platform platform;
    const struct assay_runtime *runtime;
    static struct assay_error err;
    assay_arena_init(&arena);
    enum assay_status st = assay_platform_find(&arena, name, &platform, &runtime, &err);
    assay_arena_release(&arena);
    if (st)
        SKIP("%s", err.message);
}

ASSAY_TEST(a_run_killed_twenty_times_ends_with_the_same_bits_on_reference) { kill_and_resume("cpu/reference"); }

ASSAY_TEST(a_run_killed_twenty_times_ends_with_the_same_bits_on_native)
{
    require("cpu/native");
    kill_and_resume("cpu/native");
}

ASSAY_TEST(a_run_killed_twenty_times_ends_with_the_same_bits_on_onnxruntime)
{
    require("cpu/onnxruntime");
    kill_and_resume("cpu/onnxruntime");
}

ASSAY_TEST(a_damaged_checkpoint_is_named_and_the_one_before_it_used)
{
    struct assay_arena arena;
    struct assay_error err;
    struct assay_run_result result;
    struct warnings warnings = {0};
    char *folder, *text;
    size_t n;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    struct assay_run_options o = usual(folder);
    o.n_steps = 6;
    CHECK_OK(run_on(&o, "cpu/reference", data, false, &result, &err), err);
    assay_run_result_release(&result);
    char *path = assay_path_join(&arena, folder, "step-00000006/parameters.safetensors");
    CHECK_OK(assay_fs_read(path, 1 << 24, &arena, &text, &n, &err), err);
    text[n / 2] ^= 1;
    CHECK_OK(assay_fs_write(path, text, n, &err), err);
    o.warn = on_warning;
    o.context = &warnings;
    CHECK_OK(run_on(&o, "cpu/reference", data, false, &result, &err), err);
    CHECK_INT(result.first_step, 5);
    CHECK_INT(warnings.n, 1);
    CHECK_CONTAINS(warnings.last, "step-00000006");
    assay_run_result_release(&result);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST(a_stopped_run_leaves_a_checkpoint_of_its_last_step_and_a_fresh_one_is_refused)
{
    struct assay_arena arena;
    struct assay_error err;
    struct assay_run_result result;
    char *folder;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    struct assay_run_options o = usual(folder);
    stop = 0;
    o.n_steps = 12;
    o.save_every = 100;
    o.stop = &stop;
    o.progress = stop_at_step_seven;
    CHECK(run_on(&o, "cpu/reference", data, false, &result, &err) == ASSAY_INTERRUPTED);
    assay_run_result_release(&result);
    o.progress = NULL;
    o.stop = NULL;
    o.resume = false;
    CHECK(run_on(&o, "cpu/reference", data, false, &result, &err) == ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "--resume");
    assay_run_result_release(&result);
    o.resume = true;
    CHECK_OK(run_on(&o, "cpu/reference", data, false, &result, &err), err);
    CHECK_INT(result.first_step, 7);
    CHECK_INT(result.n_steps, 12);
    assay_run_result_release(&result);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

static void stop_in_validation_at_four(void *context, const struct assay_run_progress *progress)
{
    (void)context;
    stop |= progress->stage == ASSAY_RUN_MEASURING && progress->split == ASSAY_SPLIT_VALIDATION && progress->step == 4;
}

static void stop_in_test(void *context, const struct assay_run_progress *progress)
{
    (void)context;
    stop |= progress->stage == ASSAY_RUN_MEASURING && progress->split == ASSAY_SPLIT_TEST;
}

/* The oracle: a run that nobody stopped. */
ASSAY_TEST(a_run_stopped_in_a_validation_or_in_the_test_goes_on_to_the_same_figures)
{
    struct assay_arena arena;
    struct assay_error err;
    struct assay_run_result whole, stopped;
    char *folder;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    struct assay_run_options o = usual(NULL);
    o.n_steps = 6;
    o.validate_every = 4;
    o.test = true;
    o.task.eval_batch = 4; /* several batches of each split, between which it can be stopped */
    CHECK_OK(run_on(&o, "cpu/reference", data, false, &whole, &err), err);
    CHECK_INT(whole.n_validations, 2);
    o.folder = folder;
    o.stop = &stop;
    stop = 0;
    o.progress = stop_in_validation_at_four;
    CHECK(run_on(&o, "cpu/reference", data, false, &stopped, &err) == ASSAY_INTERRUPTED);
    CHECK_CONTAINS(err.message, "while the validation split was measured, after step 4 of 6");
    CHECK_INT(stopped.n_validations, 0);
    assay_run_result_release(&stopped);
    stop = 0;
    o.progress = stop_in_test;
    CHECK(run_on(&o, "cpu/reference", data, false, &stopped, &err) == ASSAY_INTERRUPTED);
    CHECK_INT(stopped.first_step, 4);
    CHECK_INT(stopped.n_validations, 2);
    for (int i = 0; i < 2; i++)
        CHECK(stopped.validations[i].loss == whole.validations[i].loss &&
              stopped.validations[i].step == whole.validations[i].step);
    CHECK(isnan(stopped.test));
    CHECK(assay_fs_exists(assay_path_join(&arena, folder, "model.safetensors")));
    assay_run_result_release(&stopped);
    stop = 0;
    o.progress = NULL;
    CHECK_OK(run_on(&o, "cpu/reference", data, false, &stopped, &err), err);
    CHECK(stopped.test_loss == whole.test_loss && stopped.loss == whole.loss && stopped.final == whole.final);
    assay_run_result_release(&stopped);
    assay_run_result_release(&whole);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

/* The state that the newest checkpoint of a folder has, as text. */
static char *read_state(struct assay_arena *arena, const char *folder, int step)
{
    char *text;
    size_t n;
    struct assay_error err;
    const char *path = assay_arena_printf(arena, "%s/step-%08d/state.json", folder, step);
    CHECK_OK(assay_fs_read(path, 1 << 24, arena, &text, &n, &err), err);
    return text;
}

ASSAY_TEST(a_resume_may_change_learning_rate_schedule_clip_and_length_and_says_so)
{
    struct assay_arena arena;
    struct assay_error err;
    struct assay_run_result result;
    struct warnings warnings = {0};
    char *folder;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    struct assay_run_options o = usual(folder);
    o.n_steps = 4;
    o.warn = on_warning;
    o.context = &warnings;
    CHECK_OK(run_on(&o, "cpu/reference", data, false, &result, &err), err);
    CHECK(!result.changes);
    assay_run_result_release(&result);
    CHECK(!strstr(read_state(&arena, folder, 4), "changes"));
    o.learning_rate = 0.5;
    o.clip_norm = 1;
    o.n_steps = 6;
    CHECK_OK(run_on(&o, "cpu/reference", data, false, &result, &err), err);
    static const char said[] =
        "--learning-rate 0.5 instead of 0.01 after step 4, --clip-norm 1 instead of 0 after step 4, --steps "
        "or --epochs 6 instead of 4 after step 4";
    CHECK_INT(warnings.n, 1);
    CHECK_CONTAINS(warnings.last, said);
    CHECK_TEXT(result.changes, said);
    CHECK_NEAR(result.points[0].learning_rate, 0.01 / 6, 1e-12);
    CHECK(result.points[5].learning_rate > 0.1);
    assay_run_result_release(&result);
    CHECK_CONTAINS(read_state(&arena, folder, 6), "\"changes\"");
    /* The same command again: nothing new, and what was told stays. */
    CHECK_OK(run_on(&o, "cpu/reference", data, false, &result, &err), err);
    CHECK_INT(warnings.n, 1);
    CHECK_TEXT(result.changes, said);
    assay_run_result_release(&result);
    CHECK(!assay_schedule_parse("constant", &o.schedule, NULL));
    o.n_steps = 8;
    CHECK_OK(run_on(&o, "cpu/reference", data, false, &result, &err), err);
    CHECK_INT(warnings.n, 2);
    CHECK_CONTAINS(warnings.last, "step-00000006 goes on with --schedule constant instead of cosine:warmup=5 after step 6");
    CHECK_CONTAINS(result.changes, said);
    assay_run_result_release(&result);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST(a_resume_that_changes_nothing_more_or_something_else_is_refused_with_what_to_do)
{
    struct assay_arena arena;
    struct assay_error err;
    struct assay_run_result result;
    char *folder;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    struct assay_run_options first = usual(folder), o = first;
    first.n_steps = 4;
    CHECK_OK(run_on(&first, "cpu/reference", data, false, &result, &err), err);
    assay_run_result_release(&result);
    o = first;
    o.learning_rate = 0.5;
    CHECK(run_on(&o, "cpu/reference", data, false, &result, &err) == ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "is the end of its run, where another --learning-rate changes nothing: ask for more --steps");
    assay_run_result_release(&result);
    o.n_steps = 6;
    o.holds_settings = true;
    CHECK(run_on(&o, "cpu/reference", data, false, &result, &err) == ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "runs that are compared");
    assay_run_result_release(&result);
    o = first;
    o.augments = true;
    o.shift.height = 1;
    CHECK(run_on(&o, "cpu/reference", data, false, &result, &err) == ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "another --augment");
    assay_run_result_release(&result);
    o = first;
    CHECK(!assay_optimizer_parse("sgd", &o.optimizer, NULL));
    CHECK(run_on(&o, "cpu/reference", data, false, &result, &err) == ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "optimizer");
    assay_run_result_release(&result);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

/* As docs/training.md says: a run that was lost goes on from its last good checkpoint. */
ASSAY_TEST(a_run_whose_loss_was_no_number_goes_on_with_a_smaller_learning_rate)
{
    struct assay_arena arena;
    struct assay_error err;
    struct assay_run_result result;
    char *folder;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    struct assay_run_options o = usual(folder);
    CHECK(!assay_optimizer_parse("sgd", &o.optimizer, NULL));
    o.n_steps = 4;
    CHECK_OK(run_on(&o, "cpu/reference", data, false, &result, &err), err);
    assay_run_result_release(&result);
    o.n_steps = 12;
    o.learning_rate = 1e30;
    CHECK(run_on(&o, "cpu/reference", data, false, &result, &err) == ASSAY_MISMATCH);
    CHECK_CONTAINS(err.message, "--resume goes on from the checkpoint of step 5 with what you change");
    assay_run_result_release(&result);
    /* The first such step left numbers, but no model. */
    CHECK_OK(assay_fs_remove(assay_path_join(&arena, folder, "step-00000005"), &err), err);
    o.learning_rate = 1e-3;
    o.clip_norm = 1;
    CHECK_OK(run_on(&o, "cpu/reference", data, false, &result, &err), err);
    CHECK_INT(result.first_step, 4);
    CHECK_INT(result.n_steps, 12);
    CHECK(isfinite(result.loss));
    assay_run_result_release(&result);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST(of_a_checkpoint_with_very_many_changes_the_first_are_told)
{
    enum { N_CHANGES = 20000 };
    struct assay_run_options o = usual(NULL);
    struct assay_run_result result = {0};
    struct assay_error err = {0};
    assay_arena_init(&result.arena);
    struct run run = {.o = &o, .result = &result, .has_checkpoint = true, .n_steps = N_STEPS};
    json_t *before = assay_run_settings(&run), *changes = json_array();
    for (int i = 0; i < N_CHANGES; i++)
        json_array_append_new(changes,
                              json_pack("{sI ss sf sf}", "step", (json_int_t)i, "name", "learning_rate", "from", 0.1, "to", 0.2));
    json_object_set_new(before, "changes", changes);
    run.checkpoint.path = run.checkpoint.name = "step-00000001";
    run.checkpoint.state.schedule = before;
    CHECK_OK(assay_run_settle(&run, &err), err);
    CHECK_INT(json_array_size(run.changes), N_CHANGES);
    CHECK(strlen(result.changes) < 10000);
    CHECK_CONTAINS(result.changes, "--learning-rate 0.2 instead of 0.1 after step 99, and 19900 more");
    json_decref(before);
    json_decref(run.changes);
    assay_arena_release(&result.arena);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(of_a_checkpoint_with_very_many_changes_the_first_are_told),
                ASSAY_TEST_ENTRY(a_run_killed_twenty_times_ends_with_the_same_bits_on_reference),
                ASSAY_TEST_ENTRY(a_run_killed_twenty_times_ends_with_the_same_bits_on_native),
                ASSAY_TEST_ENTRY(a_run_killed_twenty_times_ends_with_the_same_bits_on_onnxruntime),
                ASSAY_TEST_ENTRY(a_damaged_checkpoint_is_named_and_the_one_before_it_used),
                ASSAY_TEST_ENTRY(a_stopped_run_leaves_a_checkpoint_of_its_last_step_and_a_fresh_one_is_refused),
                ASSAY_TEST_ENTRY(a_run_stopped_in_a_validation_or_in_the_test_goes_on_to_the_same_figures),
                ASSAY_TEST_ENTRY(a_resume_may_change_learning_rate_schedule_clip_and_length_and_says_so),
                ASSAY_TEST_ENTRY(a_resume_that_changes_nothing_more_or_something_else_is_refused_with_what_to_do),
                ASSAY_TEST_ENTRY(a_run_whose_loss_was_no_number_goes_on_with_a_smaller_learning_rate))
