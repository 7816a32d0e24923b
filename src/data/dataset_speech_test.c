/* SPDX-License-Identifier: Apache-2.0 */
#include "data/dataset_speech.h"
#include "data/dataset_testing.h"

static struct assay_error err;
static const char tiny[] = "spoken-commands:words=12:voices=1:renderings=1:variants=2";

ASSAY_TEST(no_voice_is_in_two_splits)
{
    struct assay_arena arena = {0};
    struct speech_plan plan = {.words = "20", .voices = 52, .renderings = 2, .variants = 3};
    CHECK_OK(speech_plan_fill(&plan, &arena, &err), err);
    CHECK_INT(plan.n_clips, (52 + 4 + 8) * 2 * 20);
    CHECK_INT(plan.n[ASSAY_SPLIT_TRAIN], 52 * 2 * 20 * 3);
    CHECK_INT(plan.n[ASSAY_SPLIT_VALIDATION], 4 * 2 * 20);
    CHECK_INT(plan.n[ASSAY_SPLIT_TEST], 8 * 2 * 20);
    for (int64_t i = 0; i < plan.n_clips; i++)
        for (int64_t j = 0; j < i; j++)
            CHECK(strcmp(plan.clips[i].voice, plan.clips[j].voice) != 0 || plan.clips[i].split == plan.clips[j].split);
    assay_arena_release(&arena);
}

/* Each class equally often in each split. */
ASSAY_TEST(classes_are_balanced)
{
    struct assay_arena arena = {0};
    struct speech_plan plan = {.words = "12", .voices = 52, .renderings = 3, .variants = 2};
    CHECK_OK(speech_plan_fill(&plan, &arena, &err), err);
    for (int split = 0; split < ASSAY_N_SPLITS; split++) {
        int64_t counts[12] = {0};
        for (int64_t i = 0; i < plan.n[split]; i++)
            counts[plan.samples[plan.first[split] + i].label]++;
        for (int k = 0; k < 12; k++)
            CHECK_INT(counts[k], plan.n[split] / 12);
    }
    assay_arena_release(&arena);
}

/* Voices of validation and test are mixed as they spoke; a training clip comes as it is once, and then as if others said it. */
ASSAY_TEST(only_training_clips_are_disguised)
{
    enum { N = 4000 };
    static int16_t pcm[N];
    static float sound[SPEECH_RATE], other[SPEECH_RATE];
    int64_t begins[] = {0, N};
    for (int i = 0; i < N; i++)
        pcm[i] = (int16_t)(i % 100 * 100 - 5000);
    struct speech_store store = {.begins = begins, .pcm = pcm};
    struct speech_sample samples[] = {{.clip = 0}, {.clip = 0, .variant = 1}};
    struct speech_plan plan = {.samples = samples, .n_samples = 2};
    for (int64_t s = 0; s < 2; s++) {
        int64_t loudest = 0, n_alike = 0;
        speech_mix(&plan, &store, s, sound);
        speech_mix(&plan, &store, s, other);
        CHECK(memcmp(sound, other, sizeof sound) == 0);
        for (int64_t i = 0; i < SPEECH_RATE; i++)
            loudest = fabsf(sound[i]) > fabsf(sound[loudest]) ? i : loudest;
        /* The clip has a period of 100 samples; a disguised one has another. */
        for (int64_t i = SPEECH_RATE / 2 - 500; i < SPEECH_RATE / 2 + 300; i++)
            n_alike += fabsf(sound[i] - sound[i + 100]) < 0.75F * fabsf(sound[loudest]);
        CHECK_INT(n_alike > 780, s == 0);
    }
    struct speech_plan all = {.words = "12", .voices = 52, .renderings = 1, .variants = 6};
    struct assay_arena arena = {0};
    CHECK_OK(speech_plan_fill(&all, &arena, &err), err);
    for (int64_t i = all.n[ASSAY_SPLIT_TRAIN]; i < all.n_samples; i++)
        CHECK_INT(all.samples[i].variant, 0);
    assay_arena_release(&arena);
}

static void count_reports(void *context, const char *what, int64_t n_done, int64_t n_all)
{
    CHECK(what != NULL && n_done <= n_all);
    ++*(int *)context;
}

ASSAY_TEST(speech_is_the_same_when_made_twice_and_when_its_file_is_damaged)
{
    struct assay_arena arena = {0};
    char hashes[4][ASSAY_HASH_TEXT_SIZE], *folder = own_cache(&arena), **names;
    float first[490] = {0};
    for (int i = 0; i < 4; i++) {
        int n_reports = 0;
        struct assay_dataset_progress progress = {.report = count_reports, .context = &n_reports};
        struct assay_dataset *dataset;
        enum assay_status st = assay_dataset_open(tiny, &progress, &dataset, &err);
        if (st == ASSAY_ABSENT)
            SKIP("%s", err.message);
        CHECK_OK(st, err);
        CHECK_INT(dataset->n[ASSAY_SPLIT_TRAIN], 24);
        CHECK_INT(n_reports > 0, i != 1); /* the second comes from the cache */
        float features[490];
        int64_t label;
        void *to[] = {features, &label};
        CHECK_OK(assay_dataset_read(dataset, ASSAY_SPLIT_TEST, 3, to, &err), err);
        CHECK_INT(label, 3);
        CHECK(i == 0 || memcmp(first, features, sizeof first) == 0);
        memcpy(first, features, sizeof first);
        memcpy(hashes[i], dataset->hash, sizeof hashes[i]);
        assay_dataset_close(dataset);
        size_t n_names, size;
        char *cache = assay_path_join(&arena, folder, "datasets"), *bytes;
        CHECK_OK(assay_fs_list(cache, &arena, &names, &n_names, &err), err);
        CHECK_INT(n_names, 1);
        char *path = assay_path_join(&arena, cache, names[0]);
        CHECK_OK(assay_fs_read(path, 1 << 24, &arena, &bytes, &size, &err), err);
        bytes[size / 2] ^= 1;
        if (i == 1)
            CHECK_OK(assay_fs_write(path, bytes, size, &err), err);
        if (i == 2)
            CHECK_OK(assay_fs_write(path, bytes, 300, &err), err);
    }
    for (int i = 1; i < 4; i++)
        CHECK_TEXT(hashes[i], hashes[0]);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

/* What the ear would say of a word, as numbers: it is loud, and its level stays within the range of a sample; features are those
 * of the sound. */
ASSAY_TEST(features_are_those_of_the_sound)
{
    struct assay_arena arena = {0};
    char *folder = own_cache(&arena);
    struct assay_dataset *features = open_or_skip(tiny);
    struct assay_dataset *sound = open_or_skip("spoken-commands:words=12:voices=1:renderings=1:variants=2:audio");
    struct assay_mfcc mfcc;
    static float audio[SPEECH_RATE], own[490], given[490];
    double sums[2][10] = {{0}};
    CHECK_OK(assay_mfcc_init(&mfcc, &assay_mfcc_keywords, &err), err);
    CHECK_TEXT(sound->tensors[0].name, "audio");
    for (int64_t i = 0; i < features->n[ASSAY_SPLIT_TRAIN]; i++) {
        int64_t label, other;
        double loudest = 0;
        CHECK_OK(assay_dataset_read(features, ASSAY_SPLIT_TRAIN, i, (void *[]){given, &label}, &err), err);
        CHECK_OK(assay_dataset_read(sound, ASSAY_SPLIT_TRAIN, i, (void *[]){audio, &other}, &err), err);
        CHECK_INT(label, other);
        for (int j = 0; j < SPEECH_RATE; j++)
            loudest = fmax(loudest, fabs((double)audio[j]));
        CHECK(loudest <= 1 && loudest > (strcmp(features->class_names[label], "_silence_") ? 0.09 : 0.001));
        assay_mfcc_run(&mfcc, audio, SPEECH_RATE, own);
        /* One line through all points of a coefficient: mean 0 and deviation 1 over the training split, in float. */
        for (int j = 0; j < 490; j++) {
            sums[0][j % 10] += (double)given[j];
            sums[1][j % 10] += (double)given[j] * (double)given[j];
        }
        double scale = ((double)given[10] - (double)given[0]) / ((double)own[10] - (double)own[0]);
        for (int frame = 2; frame < 49; frame++)
            CHECK_NEAR((double)given[frame * 10] - (double)given[0], scale * ((double)own[frame * 10] - (double)own[0]), 1e-2);
    }
    double n = (double)features->n[ASSAY_SPLIT_TRAIN] * 49;
    for (int k = 0; k < 10; k++) {
        CHECK_NEAR(sums[0][k] / n, 0, 1e-5);
        CHECK_NEAR(sums[1][k] / n, 1, 1e-5);
    }
    assay_mfcc_release(&mfcc);
    assay_dataset_close(features);
    assay_dataset_close(sound);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST(making_can_be_stopped)
{
    struct assay_arena arena = {0};
    char *folder = own_cache(&arena);
    const volatile sig_atomic_t stop = 1;
    struct assay_dataset_progress progress = {.stop = &stop};
    struct assay_dataset *dataset;
    enum assay_status st = assay_dataset_open("spoken-commands", &progress, &dataset, &err);
    if (st == ASSAY_ABSENT)
        SKIP("%s", err.message);
    CHECK_INT(st, ASSAY_INTERRUPTED);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(no_voice_is_in_two_splits), ASSAY_TEST_ENTRY(classes_are_balanced),
                ASSAY_TEST_ENTRY(only_training_clips_are_disguised),
                ASSAY_TEST_ENTRY(speech_is_the_same_when_made_twice_and_when_its_file_is_damaged),
                ASSAY_TEST_ENTRY(features_are_those_of_the_sound), ASSAY_TEST_ENTRY(making_can_be_stopped))
