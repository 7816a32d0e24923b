/* SPDX-License-Identifier: Apache-2.0 */
/* What a run's options do to what is learned, and what a run does when something goes wrong. */
#include "train/run_testing.h"

#include "base/fs.h"
#include "base/test.h"
#include "graph/recompute.h"
#include "train/train_checkpoint.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

static const char data[] = "synthetic:pixel_values=f32[3,8,8]:label=i64[]<4:train=32:validation=16:test=16";
/* Without batch statistics, which are not the same in parts of a batch. */
static const char *const fields[] = {"image_size=8",        "patch_size=4",          "hidden_size=16",
                                     "num_hidden_layers=2", "num_attention_heads=2", "intermediate_size=32"};

static struct assay_run_options usual(void)
{
    struct assay_run_options o = {
        .task = {.model = "ViTForImageClassification", .fields = fields, .n_fields = ASSAY_COUNT(fields), .batch = 16, .seed = 5},
        .learning_rate = 3e-3,
        .n_steps = 60,
        .keep = 2};
    CHECK(!assay_optimizer_parse("adamw", &o.optimizer, NULL));
    CHECK(!assay_schedule_parse("constant", &o.schedule, NULL));
    return o;
}

static void run_well(struct assay_run_options *o, const char *platform, struct assay_run_result *result)
{
    struct assay_error err = {0};
    CHECK_OK(run_on(o, platform, data, true, result, &err), err);
}

/* Random labels of 32 pictures, learned by heart: from ln 4 to less than half of it. */
static void check_learns(struct assay_run_options *o, const char *platform)
{
    struct assay_run_result result;
    run_well(o, platform, &result);
    CHECK(result.points[0].loss > 1.2);
    CHECK(result.loss < 0.69);
    assay_run_result_release(&result);
}

ASSAY_TEST(a_run_learns_in_each_precision)
{
    static const enum assay_dtype precisions[] = {ASSAY_NO_DTYPE, ASSAY_BF16, ASSAY_F16};
    for (size_t i = 0; i < ASSAY_COUNT(precisions); i++) {
        struct assay_run_options o = usual();
        o.precision = precisions[i];
        check_learns(&o, "cpu/native");
    }
}

ASSAY_TEST(a_run_learns_with_parts_and_recomputing)
{
    struct assay_run_options o = usual();
    o.accumulate = 4;
    o.recompute = ASSAY_RECOMPUTE_AUTO;
    check_learns(&o, "cpu/native");
    o.precision = ASSAY_F16;
    o.clip_norm = 1;
    check_learns(&o, "cpu/native");
}

/* The largest difference between states of the same name, over the largest magnitude. */
static double difference(const struct assay_run_result *a, const struct assay_run_result *b)
{
    double largest = 0, magnitude = 0;
    int n_common = 0;
    for (int i = 0; i < a->n_states; i++)
        for (int k = 0; k < b->n_states; k++) {
            if (strcmp(a->states[i].name, b->states[k].name) != 0)
                continue;
            n_common++;
            for (int64_t e = 0; e < assay_tensor_count(&a->states[i].tensor); e++) {
                double x = assay_tensor_real(&a->states[i].tensor, e), y = assay_tensor_real(&b->states[k].tensor, e);
                largest = fmax(largest, fabs(x - y));
                magnitude = fmax(magnitude, fabs(x));
            }
        }
    CHECK(n_common > 10);
    return largest / magnitude;
}

ASSAY_TEST(a_batch_in_parts_gives_what_the_whole_gives)
{
    struct assay_run_result whole, parts;
    struct assay_run_options o = usual();
    /* Gradients are sums of the same terms in another order: twenty plain steps keep that near rounding. */
    CHECK(!assay_optimizer_parse("sgd:momentum=0.9", &o.optimizer, NULL));
    o.learning_rate = 0.02;
    o.n_steps = 20;
    run_well(&o, "cpu/reference", &whole);
    o.accumulate = 4;
    run_well(&o, "cpu/reference", &parts);
    CHECK_INT(parts.n_steps, 20);
    CHECK(difference(&whole, &parts) < 1e-5);
    CHECK_NEAR(parts.loss, whole.loss, 1e-5 * whole.loss);
    assay_run_result_release(&parts);
    o.accumulate = 1;
    o.recompute = 2;
    run_well(&o, "cpu/reference", &parts);
    CHECK(difference(&whole, &parts) == 0); /* recomputing changes no bit there */
    assay_run_result_release(&parts);
    o.recompute = 0;
    o.accumulate = 5;
    struct assay_error err;
    CHECK(run_on(&o, "cpu/reference", data, true, &parts, &err) == ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "5 parts");
    assay_run_result_release(&parts);
    assay_run_result_release(&whole);
}

ASSAY_TEST(what_is_frozen_is_not_trained_and_stays_in_the_model)
{
    static const char *const frozen[] = {"vit.embeddings.*", NULL}, *const nothing[] = {"bert.*", NULL};
    struct assay_arena arena;
    struct assay_error err = {0};
    struct assay_run_result result;
    struct assay_safetensors model;
    char *folder;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    struct assay_run_options o = usual();
    o.n_steps = 3;
    o.frozen = frozen;
    o.folder = folder;
    run_well(&o, "cpu/reference", &result);
    CHECK(result.n_states > 10);
    for (int i = 0; i < result.n_states; i++)
        CHECK(strncmp(result.states[i].name, "vit.embeddings.", 15) != 0);
    assay_run_result_release(&result);
    CHECK_OK(assay_safetensors_open(&model, assay_path_join(&arena, folder, "model.safetensors"), &err), err);
    CHECK(assay_safetensors_find(&model, "vit.embeddings.cls_token") != NULL);
    CHECK(assay_safetensors_find(&model, "classifier.weight") != NULL);
    assay_safetensors_release(&model);
    o.folder = NULL;
    o.frozen = nothing;
    CHECK(run_on(&o, "cpu/reference", data, true, &result, &err) == ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "'bert.*'");
    assay_run_result_release(&result);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST(a_loss_that_is_no_number_ends_the_run_and_leaves_the_last_good_checkpoint)
{
    struct assay_arena arena;
    struct assay_error err = {0};
    struct assay_run_result result;
    struct assay_training_checkpoint checkpoint;
    char *folder;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    struct assay_run_options o = usual();
    CHECK(!assay_optimizer_parse("sgd", &o.optimizer, NULL));
    CHECK(!assay_schedule_parse("linear:warmup=30", &o.schedule, NULL));
    o.learning_rate = 1e9;
    o.folder = folder;
    o.save_every = 1;
    o.keep = 100;
    CHECK(run_on(&o, "cpu/reference", data, true, &result, &err) == ASSAY_MISMATCH);
    CHECK_CONTAINS(err.message, "no longer");
    CHECK_CONTAINS(err.message, "--learning-rate");
    assay_run_result_release(&result);
    enum assay_status st = assay_training_checkpoint_open_newest(folder, NULL, NULL, NULL, &checkpoint, &err);
    CHECK(!st || st == ASSAY_ABSENT);
    for (size_t i = 0; !st && i < checkpoint.parameters.n; i++)
        for (int64_t k = 0; k < assay_tensor_count(&checkpoint.parameters.entries[i].tensor); k++)
            CHECK(isfinite(assay_tensor_real(&checkpoint.parameters.entries[i].tensor, k)));
    if (!st)
        assay_training_checkpoint_release(&checkpoint);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

/* A limit on a file's size stands for a full disk, from step 4 to step 7. */
struct disk {
    struct rlimit usual;
    int n_warnings;
    char first[600];
};

static void fill_disk(void *context, const struct assay_run_progress *p)
{
    struct disk *disk = context;
    struct rlimit full = {1000, disk->usual.rlim_max};
    if (p->stage == ASSAY_RUN_STEPPED)
        CHECK(setrlimit(RLIMIT_FSIZE, p->step >= 4 && p->step < 8 ? &full : &disk->usual) == 0);
}

static void note_warning(void *context, const char *sentence)
{
    struct disk *disk = context;
    if (disk->n_warnings++ == 0)
        snprintf(disk->first, sizeof disk->first, "%s", sentence);
}

ASSAY_TEST(a_full_disk_is_told_and_the_run_goes_on)
{
    struct assay_arena arena;
    struct assay_error err = {0};
    struct assay_run_result result;
    struct disk disk = {0};
    char *folder;
    assay_arena_init(&arena);
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &disk.usual) == 0);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    struct assay_run_options o = usual();
    o.n_steps = 10;
    o.folder = folder;
    o.save_every = 2;
    o.keep = 10;
    o.progress = fill_disk;
    o.warn = note_warning;
    o.context = &disk;
    run_well(&o, "cpu/reference", &result);
    CHECK(disk.n_warnings >= 2);
    assay_run_result_release(&result);
    for (int step = 2; step <= 10; step += 2)
        CHECK_INT(assay_fs_exists(assay_arena_printf(&arena, "%s/step-%08d", folder, step)), step != 4 && step != 6);
    /* Full to the end: told, and what was there stays. */
    o.n_steps = 6;
    char *second = assay_path_join(&arena, folder, "second");
    o.folder = second;
    CHECK(run_on(&o, "cpu/reference", data, true, &result, &err) == ASSAY_IO);
    CHECK(setrlimit(RLIMIT_FSIZE, &disk.usual) == 0);
    CHECK_CONTAINS(err.message, "step 6");
    CHECK_INT(result.n_steps, 6);
    CHECK(assay_fs_exists(assay_path_join(&arena, second, "step-00000002")));
    assay_run_result_release(&result);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_run_learns_in_each_precision), ASSAY_TEST_ENTRY(a_run_learns_with_parts_and_recomputing),
                ASSAY_TEST_ENTRY(a_batch_in_parts_gives_what_the_whole_gives),
                ASSAY_TEST_ENTRY(what_is_frozen_is_not_trained_and_stays_in_the_model),
                ASSAY_TEST_ENTRY(a_loss_that_is_no_number_ends_the_run_and_leaves_the_last_good_checkpoint),
                ASSAY_TEST_ENTRY(a_full_disk_is_told_and_the_run_goes_on))
