/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the dataset spoken-commands: which words which voices speak (the plan, dataset_speech_plan.c), making them with
 * espeak-ng (dataset_speech_make.c), and mixing them with noise into samples of one second (dataset_speech_mix.c).
 */
#ifndef ASSAY_DATA_DATASET_SPEECH_H
#define ASSAY_DATA_DATASET_SPEECH_H

#include "base/rng.h"
#include "data/dataset.h"
#include "data/mfcc.h"

enum { SPEECH_RATE = 16000, SPEECH_FRAMES = 49, SPEECH_COEFFICIENTS = 10, SPEECH_FEATURES = SPEECH_FRAMES * SPEECH_COEFFICIENTS };

/* One word, spoken once. */
struct speech_clip {
    enum assay_split split;
    int label, rendering;
    const char *word, *voice; /* voice: a variant of espeak-ng */
};

/* A second of sound: a clip, or none, in noise. */
struct speech_sample {
    int64_t clip; /* -1: noise alone */
    int label;
    int variant;
};

struct speech_plan {
    const char *words; /* 10, 12, 20 or digits */
    int64_t voices, renderings, variants;
    uint64_t seed;
    const char *const *class_names;
    int n_classes;
    struct speech_clip *clips;
    int64_t n_clips;
    struct speech_sample *samples; /* train, then validation, then test */
    int64_t n_samples, first[ASSAY_N_SPLITS], n[ASSAY_N_SPLITS];
};

/* words, voices, renderings, variants and seed are set; the rest is filled from the arena. ASSAY_INVALID: no such words. */
enum assay_status speech_plan_fill(struct speech_plan *plan, struct assay_arena *arena, struct assay_error *err);

/* What speaks and how, for the name of the cache's file; ASSAY_ABSENT without espeak-ng. */
enum assay_status speech_version(struct assay_arena *arena, char **version, struct assay_error *err);

/* All clips of a plan as the cache folder keeps them, and their features. */
struct speech_store {
    int64_t *begins; /* n_clips + 1: where a clip's samples begin */
    int16_t *pcm;
    float *features;                                                  /* f32[n_samples, 49, 10] */
    double mean[SPEECH_COEFFICIENTS], deviation[SPEECH_COEFFICIENTS]; /* of the training features */
};

/* Speaks all clips: begins and pcm, by malloc. */
enum assay_status speech_make_clips(const struct speech_plan *plan, const struct assay_dataset_progress *progress,
                                    struct speech_store *store, struct assay_error *err);
/* From clips to features (by malloc), mean and deviation. */
enum assay_status speech_make_features(const struct speech_plan *plan, const struct assay_dataset_progress *progress,
                                       struct speech_store *store, struct assay_error *err);

/* f32[16000] of a sample, the same on every machine: all its arithmetic is exact or rounded as IEEE 754 says. */
void speech_mix(const struct speech_plan *plan, const struct speech_store *store, int64_t sample, float *to);

/* Calls work(context, thread's own, index) for 0 … n - 1 in some threads, one of `makers` each; stops at the first failure, or
 * with ASSAY_INTERRUPTED where progress says so. */
struct speech_work {
    enum assay_status (*run)(void *context, void *own, int64_t index, struct assay_error *err);
    void *context;
    void *const *owns; /* n_threads of them */
    int n_threads;
    const char *what;
};
enum assay_status speech_each(const struct speech_work *work, int64_t n, const struct assay_dataset_progress *progress,
                              struct assay_error *err);
int speech_threads(void);

#endif
