/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speaking clips with espeak-ng (dataset_speech.h): a process for each, its accent, speed and pitch drawn from the plan's seed;
 * its WAV brought from 22.05 to 16 kHz, without the silence around the word.
 */
#include "data/dataset_speech.h"

#include "base/subprocess.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char program[] = "/usr/bin/espeak-ng";
/* What the environment says must not decide how a word sounds. */
static const char *const environment[] = {"LC_ALL=C.UTF-8", NULL};
static const char *const accents[] = {"en-us",  "en-gb",          "en-gb-scotland", "en-gb-x-rp",
                                      "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc"};
enum { SPOKEN_RATE = 22050, UP = 320, DOWN = 441, TAPS = 64, LONGEST_WAV = 4 << 20 };
static const int64_t time_limit_ns = 20000000000;

/* ---- work in threads */

int speech_threads(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 16 ? 16 : (int)n;
}

struct crew {
    const struct speech_work *work;
    const struct assay_dataset_progress *progress;
    pthread_mutex_t mutex;
    int64_t n, next, n_done;
    enum assay_status status;
    struct assay_error error;
};

struct worker {
    struct crew *crew;
    void *own;
    pthread_t thread;
};

static void fail(struct crew *crew, enum assay_status st, const struct assay_error *error)
{
    if (crew->status)
        return;
    crew->status = st;
    crew->error = *error;
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    struct crew *crew = worker->crew;
    const struct assay_dataset_progress *progress = crew->progress;
    pthread_mutex_lock(&crew->mutex);
    while (!crew->status && crew->next < crew->n) {
        struct assay_error error;
        int64_t index = crew->next++;
        pthread_mutex_unlock(&crew->mutex);
        enum assay_status st = progress->stop && *progress->stop
                                   ? assay_error_set(&error, ASSAY_INTERRUPTED, "the making of the dataset was stopped")
                                   : crew->work->run(crew->work->context, worker->own, index, &error);
        pthread_mutex_lock(&crew->mutex);
        if (st)
            fail(crew, st, &error);
        crew->n_done++;
        if (progress->report)
            progress->report(progress->context, crew->work->what, crew->n_done, crew->n);
    }
    pthread_mutex_unlock(&crew->mutex);
    return NULL;
}

enum assay_status speech_each(const struct speech_work *work, int64_t n, const struct assay_dataset_progress *progress,
                              struct assay_error *err)
{
    struct crew crew = {.work = work, .progress = progress, .mutex = PTHREAD_MUTEX_INITIALIZER, .n = n};
    struct worker *workers = assay_alloc((size_t)work->n_threads * sizeof *workers);
    int n_started = 1;
    for (int i = 0; i < work->n_threads; i++)
        workers[i] = (struct worker){.crew = &crew, .own = work->owns ? work->owns[i] : NULL};
    while (n_started < work->n_threads && pthread_create(&workers[n_started].thread, NULL, run_worker, &workers[n_started]) == 0)
        n_started++;
    run_worker(&workers[0]);
    for (int i = 1; i < n_started; i++)
        pthread_join(workers[i].thread, NULL);
    free(workers);
    pthread_mutex_destroy(&crew.mutex);
    return crew.status ? assay_error_set(err, crew.status, "%s", crew.error.message) : ASSAY_OK;
}

/* ---- one clip */

enum assay_status speech_version(struct assay_arena *arena, char **version, struct assay_error *err)
{
    const char *const argv[] = {program, "--version", NULL};
    struct assay_subprocess_options options = {.argv = argv, .environment = environment, .time_limit_ns = time_limit_ns};
    struct assay_subprocess_outcome outcome;
    enum assay_status st = assay_subprocess_run(&options, arena, &outcome, err);
    if (st == ASSAY_ABSENT)
        return assay_error_set(err, st, "%s is not here; install Debian's package espeak-ng", program);
    if (st)
        return st;
    if (outcome.status || outcome.exit_code || !*outcome.output)
        return assay_error_set(err, ASSAY_CRASHED, "%s --version fails; install Debian's package espeak-ng anew", program);
    *version = outcome.output;
    return ASSAY_OK;
}

static uint32_t little_endian(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The samples of a WAV of 22.05 kHz, mono, 16 bit; the length that a pipe's head tells is that of the longest file, so what is
 * there counts. False if it is no such thing. */
static bool wav_samples(const char *wav, size_t size, const char **samples, int64_t *n)
{
    const unsigned char *d = (const unsigned char *)wav;
    bool is_known = false;
    if (size < 12 || memcmp(d, "RIFF", 4) != 0 || memcmp(d + 8, "WAVE", 4) != 0)
        return false;
    for (size_t at = 12; at + 8 <= size;) {
        size_t length = little_endian(d + at + 4), rest = size - at - 8;
        if (memcmp(d + at, "data", 4) == 0) {
            *samples = wav + at + 8;
            *n = (int64_t)((length < rest ? length : rest) / 2);
            return is_known;
        }
        if (length > rest)
            return false;
        if (memcmp(d + at, "fmt ", 4) == 0)
            is_known = length >= 16 && little_endian(d + at + 8) == 0x00010001 && little_endian(d + at + 12) == SPOKEN_RATE &&
                       (little_endian(d + at + 20) >> 16) == 16;
        at += 8 + length;
    }
    return false;
}

/* From the first to the last sample above a 64th of the loudest, and 20 ms more on either side. */
static void trim(const int16_t **samples, int64_t *n)
{
    enum { MARGIN = SPOKEN_RATE / 50 };
    int loudest = 0;
    for (int64_t i = 0; i < *n; i++)
        loudest = abs((*samples)[i]) > loudest ? abs((*samples)[i]) : loudest;
    int64_t first = 0, last = *n - 1;
    while (first < last && abs((*samples)[first]) * 64 < loudest)
        first++;
    while (last > first && abs((*samples)[last]) * 64 < loudest)
        last--;
    first = first > MARGIN ? first - MARGIN : 0;
    last = last + MARGIN < *n ? last + MARGIN : *n - 1;
    *samples += first;
    *n = last - first + 1;
}

/* Taps of a sinc under a Hann window, for each of the UP places that an output sample can have between two input samples. */
static double *resampling_taps(void)
{
    const double pi = 3.14159265358979323846, cutoff = 0.92 * SPEECH_RATE / SPOKEN_RATE;
    double *taps = assay_alloc(sizeof(double) * UP * TAPS);
    for (int phase = 0; phase < UP; phase++) {
        double sum = 0, *row = taps + phase * TAPS;
        for (int i = 0; i < TAPS; i++) {
            double x = i - TAPS / 2 + 1 - (double)phase / UP, angle = pi * cutoff * x;
            row[i] = (fabs(x) < 1e-12 ? 1 : sin(angle) / angle) * (0.5 + 0.5 * cos(pi * x / (TAPS / 2)));
            sum += row[i];
        }
        for (int i = 0; i < TAPS; i++)
            row[i] /= sum;
    }
    return taps;
}

static int64_t resample(const double *taps, const int16_t *from, int64_t n, int16_t *to)
{
    int64_t n_to = n * UP / DOWN < SPEECH_RATE ? n * UP / DOWN : SPEECH_RATE;
    for (int64_t j = 0; j < n_to; j++) {
        int64_t first = j * DOWN / UP - TAPS / 2 + 1;
        const double *row = taps + j * DOWN % UP * TAPS;
        double sum = 0;
        for (int i = 0; i < TAPS; i++)
            if (first + i >= 0 && first + i < n)
                sum += row[i] * from[first + i];
        to[j] = (int16_t)fmin(fmax(rint(sum), -32768), 32767);
    }
    return n_to;
}

struct spoken {
    int16_t *pcm; /* n samples of 16 kHz, by malloc */
    int64_t n;
};

struct clips_work {
    const struct speech_plan *plan;
    const struct assay_dataset_progress *progress;
    struct spoken *spoken;
    const double *taps;
};

/* What espeak-ng gave, as a clip; a word lasts at least 50 ms. */
static enum assay_status keep(struct spoken *spoken, const double *taps, const struct assay_subprocess_outcome *outcome,
                              struct assay_arena *arena)
{
    const char *bytes;
    int64_t n;
    if (outcome->status || outcome->exit_code || !wav_samples(outcome->output, outcome->output_size_bytes, &bytes, &n) ||
        n < SPOKEN_RATE / 20)
        return ASSAY_CRASHED;
    int16_t *copy = assay_arena_array(arena, (size_t)n, sizeof *copy); /* aligned */
    memcpy(copy, bytes, (size_t)n * sizeof *copy);
    const int16_t *samples = copy;
    trim(&samples, &n);
    int16_t made[SPEECH_RATE];
    spoken->n = resample(taps, samples, n, made);
    spoken->pcm = malloc((size_t)spoken->n * sizeof *made + 1);
    if (!spoken->pcm)
        return ASSAY_NO_MEMORY;
    memcpy(spoken->pcm, made, (size_t)spoken->n * sizeof *made);
    return ASSAY_OK;
}

static enum assay_status speak(void *context, void *own, int64_t index, struct assay_error *err)
{
    (void)own;
    const struct clips_work *work = context;
    const struct speech_clip *clip = &work->plan->clips[index];
    struct assay_rng rng;
    struct assay_arena arena;
    struct assay_subprocess_outcome outcome;
    assay_arena_init(&arena);
    const char *name = assay_arena_printf(&arena, "%s %s %d", clip->voice, clip->word, clip->rendering);
    assay_rng_init(&rng, work->plan->seed, assay_rng_stream(name));
    const char *voice = assay_arena_printf(&arena, "%s+%s", accents[assay_rng_below(&rng, ASSAY_COUNT(accents))], clip->voice);
    const char *speed = assay_arena_printf(&arena, "%d", 120 + (int)assay_rng_below(&rng, 101));
    int spread = clip->split == ASSAY_SPLIT_TRAIN ? 40 : 25;
    const char *pitch = assay_arena_printf(&arena, "%d", 50 - spread + (int)assay_rng_below(&rng, 2 * (uint64_t)spread + 1));
    const char *const argv[] = {program, "--stdout", "-v", voice, "-s", speed, "-p", pitch, clip->word, NULL};
    struct assay_subprocess_options options = {.argv = argv,
                                               .environment = environment,
                                               .time_limit_ns = time_limit_ns,
                                               .output_limit_bytes = LONGEST_WAV,
                                               .stop = work->progress->stop};
    enum assay_status st = assay_subprocess_run(&options, &arena, &outcome, err);
    if (!st && outcome.status == ASSAY_INTERRUPTED)
        st = assay_error_set(err, ASSAY_INTERRUPTED, "the making of the dataset was stopped");
    else if (!st && (st = keep(&work->spoken[index], work->taps, &outcome, &arena)))
        assay_error_set(err, st, "%s could not speak \"%s\" with the voice %s (exit %d); install espeak-ng anew", program,
                        clip->word, voice, outcome.exit_code);
    assay_arena_release(&arena);
    return st;
}

static enum assay_status join_clips(const struct spoken *spoken, int64_t n_clips, struct speech_store *store,
                                    struct assay_error *err)
{
    store->begins = assay_alloc((size_t)(n_clips + 1) * sizeof *store->begins);
    for (int64_t i = 0; i < n_clips; i++)
        store->begins[i + 1] = store->begins[i] + spoken[i].n;
    store->pcm = malloc((size_t)store->begins[n_clips] * sizeof *store->pcm + 1);
    if (!store->pcm)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for %lld clips of speech", (long long)n_clips);
    for (int64_t i = 0; i < n_clips; i++)
        memcpy(store->pcm + store->begins[i], spoken[i].pcm, (size_t)spoken[i].n * sizeof *store->pcm);
    return ASSAY_OK;
}

enum assay_status speech_make_clips(const struct speech_plan *plan, const struct assay_dataset_progress *progress,
                                    struct speech_store *store, struct assay_error *err)
{
    double *taps = resampling_taps();
    struct spoken *spoken = assay_alloc((size_t)plan->n_clips * sizeof *spoken);
    struct clips_work context = {plan, progress, spoken, taps};
    struct speech_work work = {.run = speak, .context = &context, .n_threads = speech_threads(), .what = "speech"};
    enum assay_status st = speech_each(&work, plan->n_clips, progress, err);
    if (!st)
        st = join_clips(spoken, plan->n_clips, store, err);
    for (int64_t i = 0; i < plan->n_clips; i++)
        free(spoken[i].pcm);
    free(spoken);
    free(taps);
    return st;
}
