/* SPDX-License-Identifier: Apache-2.0 */
/* What was saved comes back bit by bit; what was damaged, in every way that can be thought of, does not come back at all. */
#include "train/train_checkpoint.h"

#include "base/rng.h"
#include "base/test.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N_WEIGHTS = 300 };
static const char model_hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct fixture {
    struct assay_arena arena;
    char *folder;
    float weights[N_WEIGHTS], moments[N_WEIGHTS];
    char warnings[2048];
    struct assay_error err;
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){0};
    CHECK_OK(assay_fs_temporary_folder(&f->arena, &f->folder, &f->err), f->err);
}

static void teardown(struct fixture *f)
{
    CHECK_OK(assay_fs_remove(f->folder, &f->err), f->err);
    assay_arena_release(&f->arena);
}

static struct assay_safetensors_entry entry(const char *name, float *values, int64_t n)
{
    struct assay_safetensors_entry e = {.name = name};
    struct assay_type type = assay_type_make(ASSAY_F32, 1, &n);
    assay_tensor_borrow(&e.tensor, &type, values);
    return e;
}

/* Values that tell the step: NaN and -0 are among them, as bits. */
static void fill(struct fixture *f, int64_t step)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 1, (uint64_t)step);
    for (int i = 0; i < N_WEIGHTS; i++) {
        uint32_t bits = assay_rng_u32(&rng);
        memcpy(&f->weights[i], &bits, sizeof bits);
        f->moments[i] = -0.0f + (float)step;
    }
}

static enum assay_status save_with(struct fixture *f, int64_t step, double metric)
{
    fill(f, step);
    struct assay_safetensors_entry parameters[] = {entry("dense.weight", f->weights, N_WEIGHTS - 1),
                                                   entry("dense.bias", f->weights + N_WEIGHTS - 1, 1)};
    struct assay_safetensors_entry optimizer = entry("dense.weight/m", f->moments, N_WEIGHTS);
    struct assay_training_state state = {
        .step = step,
        .epoch = step / 10,
        .seed = UINT64_MAX - 1,
        .model_hash = model_hash,
        .has_metric = isfinite(metric),
        .metric = metric,
        .data = json_pack("{s:[i,i], s:I}", "order", 3, 4, "offset", (json_int_t)1 << 53),
        .metrics = json_pack("[f, f]", 0.1, 1.0 / 3),
    };
    enum assay_status st = assay_training_checkpoint_save(f->folder, &state, parameters, 2, &optimizer, 1, &f->err);
    json_decref(state.data);
    json_decref(state.metrics);
    return st;
}

static void save(struct fixture *f, int64_t step) { CHECK_OK(save_with(f, step, NAN), f->err); }

static void note(void *context, const char *sentence)
{
    struct fixture *f = context;
    size_t n = strlen(f->warnings);
    snprintf(f->warnings + n, sizeof f->warnings - n, "%s\n", sentence);
}

static enum assay_status open_newest(struct fixture *f, struct assay_training_checkpoint *c)
{
    f->warnings[0] = 0;
    return assay_training_checkpoint_open_newest(f->folder, model_hash, note, f, c, &f->err);
}

/* The newest that opens is that of `step`, whole. */
static void check_newest(struct fixture *f, int64_t step)
{
    struct assay_training_checkpoint c;
    CHECK_OK(open_newest(f, &c), f->err);
    int64_t got = c.state.step;
    fill(f, step);
    const struct assay_tensor *weight = assay_safetensors_find(&c.parameters, "dense.weight");
    const struct assay_tensor *moment = assay_safetensors_find(&c.optimizer, "dense.weight/m");
    bool is_same = weight && moment && memcmp(weight->data, f->weights, (N_WEIGHTS - 1) * sizeof(float)) == 0 &&
                   memcmp(moment->data, f->moments, sizeof f->moments) == 0;
    assay_training_checkpoint_release(&c);
    CHECK_INT(got, step);
    CHECK(is_same);
}

static char *file_of(struct fixture *f, int64_t step, const char *name)
{
    return assay_arena_printf(&f->arena, "%s/step-%08lld/%s", f->folder, (long long)step, name);
}

static void put(const char *path, const char *text, size_t n)
{
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(text, 1, n, file) == n && fclose(file) == 0);
}

static bool has(struct fixture *f, int64_t step) { return assay_fs_exists(file_of(f, step, "state.json")); }

static size_t n_names(struct fixture *f)
{
    char **names;
    size_t n;
    CHECK_OK(assay_fs_list(f->folder, &f->arena, &names, &n, &f->err), f->err);
    return n;
}

ASSAY_TEST(what_was_saved_comes_back_bit_by_bit)
{
    struct fixture f;
    struct assay_training_checkpoint c;
    setup(&f);
    CHECK(open_newest(&f, &c) == ASSAY_ABSENT);
    CHECK_OK(save_with(&f, 7, 0.25), f.err);
    check_newest(&f, 7);
    CHECK_TEXT(f.warnings, "");
    CHECK_OK(open_newest(&f, &c), f.err);
    CHECK_TEXT(c.name, "step-00000007");
    CHECK_INT(c.state.epoch, 0);
    CHECK(c.state.seed == UINT64_MAX - 1 && c.state.has_metric && c.state.metric == 0.25 && c.state.schedule == NULL);
    CHECK_TEXT(c.state.model_hash, model_hash);
    CHECK(c.assay_version[0] != 0);
    CHECK(json_integer_value(json_object_get(c.state.data, "offset")) == (json_int_t)1 << 53);
    CHECK(json_real_value(json_array_get(c.state.metrics, 1)) == 1.0 / 3);
    CHECK_INT(c.parameters.n, 2);
    assay_training_checkpoint_release(&c);
    teardown(&f);
}

ASSAY_TEST(no_tensors_are_a_checkpoint_too)
{
    struct fixture f;
    struct assay_training_checkpoint c;
    setup(&f);
    struct assay_training_state state = {.model_hash = model_hash};
    CHECK_OK(assay_training_checkpoint_save(f.folder, &state, NULL, 0, NULL, 0, &f.err), f.err);
    CHECK_OK(open_newest(&f, &c), f.err);
    CHECK_INT(c.parameters.n + c.optimizer.n, 0);
    assay_training_checkpoint_release(&c);
    teardown(&f);
}

ASSAY_TEST(the_newest_is_the_one_of_the_highest_step)
{
    struct fixture f;
    setup(&f);
    save(&f, 99999999);
    save(&f, 100000000);
    save(&f, 5);
    check_newest(&f, 100000000);
    teardown(&f);
}

ASSAY_TEST(a_checkpoint_takes_the_place_of_one_of_the_same_step)
{
    struct fixture f;
    setup(&f);
    save(&f, 3);
    put(file_of(&f, 3, "parameters.safetensors"), "x", 1);
    save(&f, 3);
    check_newest(&f, 3);
    CHECK_INT(n_names(&f), 1);
    teardown(&f);
}

/* Every byte of every file, one bit at a time: none may go unseen, but for the blanks of state.json, which say nothing. */
ASSAY_TEST(a_flipped_bit_anywhere_is_seen_and_the_one_before_is_used)
{
    static const char *const files[] = {"parameters.safetensors", "optimizer.safetensors", "state.json"};
    struct fixture f;
    struct assay_rng rng;
    setup(&f);
    assay_rng_init(&rng, 3, 0);
    save(&f, 10);
    save(&f, 20);
    for (size_t i = 0; i < ASSAY_COUNT(files); i++) {
        const char *path = file_of(&f, 20, files[i]);
        char *text;
        size_t n;
        CHECK_OK(assay_fs_read(path, 1 << 20, &f.arena, &text, &n, &f.err), f.err);
        for (size_t at = 0; at < n; at += 1 + assay_rng_below(&rng, 12)) {
            char kept = text[at];
            if (kept == ' ' || kept == '\n')
                continue;
            text[at] = (char)(kept ^ 1 << assay_rng_below(&rng, 8));
            put(path, text, n);
            text[at] = kept;
            check_newest(&f, 10);
            CHECK_CONTAINS(f.warnings, "checkpoint step-00000020 is refused: ");
        }
        put(path, text, n);
        check_newest(&f, 20);
    }
    teardown(&f);
}

ASSAY_TEST(each_kind_of_damage_is_refused_by_name)
{
    struct fixture f;
    setup(&f);
    static const struct {
        const char *file, *text, *sentence; /* text NULL: the file is removed */
    } cases[] = {
        {"parameters.safetensors", NULL, "parameters.safetensors cannot be read"},
        {"optimizer.safetensors", "", "optimizer.safetensors has 0 bytes"},
        {"state.json", NULL, "cannot open"},
        {"state.json", "", "state.json"},
        {"state.json", "{\"hash\": ", "line 1"},
        {"state.json", "[]", "holds no state"},
        {"state.json", "{\"hash\": 3, \"state\": {}}", "\"hash\" must be"},
        {"state.json", "{\"hash\": \"00\", \"state\": {}}", "its hash differs"},
    };
    save(&f, 1);
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        save(&f, 2);
        const char *path = file_of(&f, 2, cases[i].file);
        CHECK(unlink(path) == 0);
        if (cases[i].text)
            put(path, cases[i].text, strlen(cases[i].text));
        check_newest(&f, 1);
        CHECK_CONTAINS(f.warnings, "checkpoint step-00000002 is refused: ");
        CHECK_CONTAINS(f.warnings, cases[i].sentence);
        CHECK(strchr(f.warnings, '\n') == f.warnings + strlen(f.warnings) - 1);
    }
    teardown(&f);
}

ASSAY_TEST(a_file_cut_short_is_seen_at_every_length)
{
    struct fixture f;
    struct stat info;
    setup(&f);
    save(&f, 1);
    save(&f, 2);
    const char *path = file_of(&f, 2, "parameters.safetensors");
    CHECK(stat(path, &info) == 0);
    for (off_t size = info.st_size - 1; size >= 0; size -= 97) {
        CHECK(truncate(path, size) == 0);
        check_newest(&f, 1);
        CHECK_CONTAINS(f.warnings, "were written");
    }
    teardown(&f);
}

ASSAY_TEST(a_renamed_checkpoint_and_one_of_another_model_are_refused)
{
    struct fixture f;
    struct assay_training_checkpoint c;
    setup(&f);
    save(&f, 1);
    save(&f, 2);
    char *to = assay_arena_printf(&f.arena, "%s/step-00000009", f.folder);
    CHECK(rename(assay_path_folder(&f.arena, file_of(&f, 2, "x")), to) == 0);
    check_newest(&f, 1);
    CHECK_CONTAINS(f.warnings, "step-00000009 is refused: state.json is that of step 2");
    CHECK(assay_training_checkpoint_open_newest(f.folder, "another", NULL, NULL, &c, &f.err) == ASSAY_INVALID);
    CHECK_CONTAINS(f.err.message, "none of the 2 checkpoints");
    CHECK(assay_training_checkpoint_open(assay_path_folder(&f.arena, file_of(&f, 1, "x")), "another", &c, &f.err) ==
          ASSAY_INVALID);
    CHECK_CONTAINS(f.err.message, "step-00000001 is refused: it is of another model");
    CHECK_OK(assay_training_checkpoint_open(assay_path_folder(&f.arena, file_of(&f, 1, "x")), NULL, &c, &f.err), f.err);
    assay_training_checkpoint_release(&c);
    teardown(&f);
}

ASSAY_TEST(the_last_ones_and_the_best_are_kept)
{
    static const double metrics[] = {0.5, 0.9, 0.3, 0.9, 0.6, 0.2, 0.7};
    struct fixture f;
    setup(&f);
    for (int step = 1; step <= 7; step++)
        CHECK_OK(save_with(&f, step, metrics[step - 1]), f.err);
    CHECK_OK(assay_training_checkpoint_prune(f.folder, 6, 2, ASSAY_TRAINING_LARGEST, &f.err), f.err);
    /* 7 is later than the save that prunes; 2 was the first of two equals. */
    const bool wanted[] = {false, true, false, false, true, true, true};
    for (int step = 1; step <= 7; step++)
        CHECK_INT(has(&f, step), wanted[step - 1]);
    CHECK_INT(n_names(&f), 4);
    CHECK_OK(assay_training_checkpoint_prune(f.folder, 7, 1, ASSAY_TRAINING_SMALLEST, &f.err), f.err);
    CHECK(has(&f, 6) && has(&f, 7));
    CHECK_INT(n_names(&f), 2);
    CHECK_OK(assay_training_checkpoint_prune(f.folder, 7, 1, ASSAY_TRAINING_NO_BEST, &f.err), f.err);
    CHECK_INT(n_names(&f), 1);
    teardown(&f);
}

ASSAY_TEST(a_damaged_one_does_not_count_as_kept)
{
    struct fixture f;
    setup(&f);
    for (int step = 1; step <= 5; step++)
        save(&f, step);
    CHECK(unlink(file_of(&f, 4, "optimizer.safetensors")) == 0);
    CHECK_OK(assay_training_checkpoint_prune(f.folder, 5, 2, ASSAY_TRAINING_NO_BEST, &f.err), f.err);
    CHECK(has(&f, 5) && has(&f, 3) && !has(&f, 2) && !has(&f, 1));
    teardown(&f);
}

/* The limit on a file's size stands for a full disk: both cut a write short. */
ASSAY_TEST(on_a_full_disk_the_older_ones_stay)
{
    struct fixture f;
    struct rlimit kept, limit;
    setup(&f);
    save(&f, 1);
    CHECK(getrlimit(RLIMIT_FSIZE, &kept) == 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    int n_failed = 0;
    for (rlim_t size = 0; size < 2500; size += 100) {
        limit = kept;
        limit.rlim_cur = size;
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        enum assay_status st = save_with(&f, 2, NAN);
        CHECK(setrlimit(RLIMIT_FSIZE, &kept) == 0);
        if (st) {
            n_failed++;
            CHECK_CONTAINS(f.err.message, "the checkpoint of step 2 was not saved: ");
            CHECK_INT(n_names(&f), 1);
            check_newest(&f, 1);
        }
    }
    signal(SIGXFSZ, handler);
    CHECK(n_failed > 10);
    check_newest(&f, 2);
    teardown(&f);
}

/* A child saves, replaces and removes without end; wherever it is killed, the newest one is whole and none is refused. */
ASSAY_TEST(a_kill_at_any_moment_leaves_a_whole_newest_one)
{
    struct fixture f;
    setup(&f);
    struct assay_rng rng;
    assay_rng_init(&rng, 5, (uint64_t)getpid());
    save(&f, 1);
    for (int round = 0; round < 20; round++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            for (int64_t step = 2; save_with(&f, step, NAN) == ASSAY_OK; step = step % 7 + 1)
                if (assay_training_checkpoint_prune(f.folder, step, 2, ASSAY_TRAINING_NO_BEST, &f.err))
                    break;
            _exit(1);
        }
        usleep((useconds_t)assay_rng_below(&rng, 30000));
        CHECK(kill(child, SIGKILL) == 0);
        int status;
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        struct assay_training_checkpoint c;
        CHECK_OK(open_newest(&f, &c), f.err);
        int64_t step = c.state.step;
        assay_training_checkpoint_release(&c);
        CHECK_TEXT(f.warnings, "");
        check_newest(&f, step);
    }
    save(&f, 8);
    char **names;
    size_t n;
    CHECK_OK(assay_fs_list(f.folder, &f.arena, &names, &n, &f.err), f.err);
    CHECK(n > 0 && names[0][0] != '.'); /* what the killed ones left was removed */
    teardown(&f);
}

ASSAY_TEST(a_folder_that_cannot_be_written_is_an_error)
{
    struct fixture f = {.folder = (char[]){"/dev/null/run"}};
    CHECK(save_with(&f, 1, NAN) != ASSAY_OK);
    CHECK_CONTAINS(f.err.message, "was not saved");
    struct assay_training_checkpoint c;
    CHECK(open_newest(&f, &c) == ASSAY_ABSENT);
    assay_training_checkpoint_release(NULL);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(what_was_saved_comes_back_bit_by_bit), ASSAY_TEST_ENTRY(no_tensors_are_a_checkpoint_too),
                ASSAY_TEST_ENTRY(the_newest_is_the_one_of_the_highest_step),
                ASSAY_TEST_ENTRY(a_checkpoint_takes_the_place_of_one_of_the_same_step),
                ASSAY_TEST_ENTRY(a_flipped_bit_anywhere_is_seen_and_the_one_before_is_used),
                ASSAY_TEST_ENTRY(each_kind_of_damage_is_refused_by_name),
                ASSAY_TEST_ENTRY(a_file_cut_short_is_seen_at_every_length),
                ASSAY_TEST_ENTRY(a_renamed_checkpoint_and_one_of_another_model_are_refused),
                ASSAY_TEST_ENTRY(the_last_ones_and_the_best_are_kept), ASSAY_TEST_ENTRY(a_damaged_one_does_not_count_as_kept),
                ASSAY_TEST_ENTRY(on_a_full_disk_the_older_ones_stay),
                ASSAY_TEST_ENTRY(a_kill_at_any_moment_leaves_a_whole_newest_one),
                ASSAY_TEST_ENTRY(a_folder_that_cannot_be_written_is_an_error))
