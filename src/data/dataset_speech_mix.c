/* SPDX-License-Identifier: Apache-2.0 */
/* Clips in noise, and their features (dataset_speech.h). */
#include "data/dataset_speech.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum noise { WHITE, PINK, BROWN, N_NOISES };

/* About normal, mean 0 and variance 1, without any function of the C library: the sum of four uniform numbers. */
static double white(struct assay_rng *rng)
{
    uint32_t a = assay_rng_u32(rng), b = assay_rng_u32(rng);
    double sum = (double)(a >> 16) + (double)(a & 0xffff) + (double)(b >> 16) + (double)(b & 0xffff);
    return (sum / 65536.0 - 2.0) * 1.7320508075688772;
}

/* A second of noise of root mean square 1. Pink: Paul Kellet's sum of three first-order filters; brown: one leaky integrator. */
static void make_noise(struct assay_rng *rng, enum noise kind, double *to)
{
    double a = 0, b = 0, c = 0, squares = 0;
    for (int i = 0; i < SPEECH_RATE; i++) {
        double w = white(rng), x = w;
        if (kind == PINK) {
            a = 0.99765 * a + 0.0990460 * w;
            b = 0.96300 * b + 0.2965164 * w;
            c = 0.57000 * c + 1.0526913 * w;
            x = a + b + c + 0.1848 * w;
        } else if (kind == BROWN) {
            x = a = 0.98 * a + 0.2 * w;
        }
        to[i] = x;
        squares += x * x;
    }
    double scale = 1 / sqrt(squares / SPEECH_RATE);
    for (int i = 0; i < SPEECH_RATE; i++)
        to[i] *= scale;
}

/* The clip as if someone else had said it: played faster or slower, which moves pitch and formants together (speed perturbation,
 * Ko et al. 2015), and through a filter of one pole and one zero, as voices differ in how much of them is treble. Gives its
 * length. */
static int64_t disguise(struct assay_rng *rng, const int16_t *pcm, int64_t n, double *to)
{
    double speed = 0.85 + 0.35 * assay_rng_uniform(rng), zero = 1.2 * assay_rng_uniform(rng) - 0.6;
    double pole = 1.25 * assay_rng_uniform(rng) - 0.3, slowest = (double)n / SPEECH_RATE, before = 0, y = 0;
    speed = fmax(speed, slowest);
    int64_t n_to = n > 1 ? (int64_t)((double)(n - 1) / speed) : 0;
    for (int64_t i = 0; i < n_to; i++) {
        double place = (double)i * speed;
        int64_t at = (int64_t)place;
        double x = pcm[at] + (place - (double)at) * (pcm[at + 1] - pcm[at]);
        to[i] = y = x + zero * before + pole * y;
        before = x;
    }
    return n_to;
}

/* Adds the clip about the middle of the second, up to 100 ms early or late; gives the root mean square of what it added. */
static double add_clip(struct assay_rng *rng, const double *clip, int64_t n, double *to)
{
    int64_t room = SPEECH_RATE - n, shift = (int64_t)assay_rng_below(rng, 3201) - 1600, at = room / 2 + shift;
    at = at < 0 ? 0 : at > room ? room : at;
    double peak = 1, squares = 0;
    for (int64_t i = 0; i < n; i++)
        peak = fmax(peak, fabs(clip[i]));
    double gain = (0.1 + 0.8 * assay_rng_uniform(rng)) / peak;
    for (int64_t i = 0; i < n; i++) {
        double x = gain * clip[i];
        to[at + i] += x;
        squares += x * x;
    }
    return n ? sqrt(squares / (double)n) : 0;
}

void speech_mix(const struct speech_plan *plan, const struct speech_store *store, int64_t sample, float *to)
{
    /* 10^(-dB/20) for 40, 30, 25, 20 and 15 dB of signal over noise. */
    static const double ratios[] = {0.01, 0.0316227766, 0.0562341325, 0.1, 0.177827941};
    const struct speech_sample *s = &plan->samples[sample];
    double noise[SPEECH_RATE], clip[SPEECH_RATE], sound[SPEECH_RATE] = {0};
    struct assay_rng rng;
    assay_rng_init(&rng, plan->seed, assay_rng_stream("mix") + (uint64_t)sample);
    make_noise(&rng, (enum noise)assay_rng_below(&rng, N_NOISES), noise);
    double level = assay_rng_uniform(&rng);
    level = 0.001 + 0.1 * level * level;
    if (s->clip >= 0) {
        int64_t begin = store->begins[s->clip];
        double ratio = ratios[assay_rng_below(&rng, ASSAY_COUNT(ratios))];
        int64_t n = store->begins[s->clip + 1] - begin;
        if (s->variant > 0) /* of training alone */
            n = disguise(&rng, store->pcm + begin, n, clip);
        else
            for (int64_t i = 0; i < n; i++)
                clip[i] = store->pcm[begin + i];
        level = ratio * add_clip(&rng, clip, n, sound);
    }
    for (int i = 0; i < SPEECH_RATE; i++) {
        double x = rint((sound[i] + level * noise[i]) * 32768);
        to[i] = (float)(fmin(fmax(x, -32768), 32767) / 32768);
    }
}

struct features_work {
    const struct speech_plan *plan;
    const struct speech_store *store;
};

static enum assay_status make_feature(void *context, void *own, int64_t index, struct assay_error *err)
{
    (void)err;
    const struct features_work *work = context;
    float sound[SPEECH_RATE];
    speech_mix(work->plan, work->store, index, sound);
    assay_mfcc_run(own, sound, SPEECH_RATE, work->store->features + index * SPEECH_FEATURES);
    return ASSAY_OK;
}

/* Of the training split's coefficients. */
static void find_scale(const struct speech_plan *plan, struct speech_store *store)
{
    int64_t n_frames = plan->n[ASSAY_SPLIT_TRAIN] * SPEECH_FRAMES;
    for (int k = 0; k < SPEECH_COEFFICIENTS; k++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < n_frames; i++)
            sum += (double)store->features[i * SPEECH_COEFFICIENTS + k];
        store->mean[k] = sum / (double)n_frames;
        for (int64_t i = 0; i < n_frames; i++) {
            double x = (double)store->features[i * SPEECH_COEFFICIENTS + k] - store->mean[k];
            squares += x * x;
        }
        store->deviation[k] = sqrt(squares / (double)n_frames) + 1e-9;
    }
}

enum assay_status speech_make_features(const struct speech_plan *plan, const struct assay_dataset_progress *progress,
                                       struct speech_store *store, struct assay_error *err)
{
    struct features_work context = {plan, store};
    int n_threads = speech_threads();
    struct assay_mfcc *makers = assay_alloc((size_t)n_threads * sizeof *makers);
    void **owns = assay_alloc((size_t)n_threads * sizeof *owns);
    enum assay_status st = ASSAY_OK;
    store->features = malloc((size_t)plan->n_samples * SPEECH_FEATURES * sizeof *store->features);
    if (!store->features)
        st = assay_error_set(err, ASSAY_NO_MEMORY, "no memory for the features of %lld samples", (long long)plan->n_samples);
    for (int i = 0; !st && i < n_threads; i++) {
        owns[i] = &makers[i];
        st = assay_mfcc_init(&makers[i], &assay_mfcc_keywords, err);
    }
    struct speech_work work = {
        .run = make_feature, .context = &context, .owns = owns, .n_threads = n_threads, .what = "features of speech"};
    if (!st)
        st = speech_each(&work, plan->n_samples, progress, err);
    if (!st)
        find_scale(plan, store);
    for (int i = 0; i < n_threads; i++)
        assay_mfcc_release(&makers[i]);
    free(makers);
    free(owns);
    return st;
}
