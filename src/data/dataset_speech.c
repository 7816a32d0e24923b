/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spoken commands: words said by espeak-ng in many voices, accents, speeds and pitches, in noise; a sample is a second of sound
 * at 16 kHz, or the coefficients of it that DS-CNN takes. The voices of validation and test are never heard in training. What is
 * made lies in one file of the cache folder, named by the hash of all that it depends on, with the hash of its content inside: a
 * file that does not match is made anew.
 */
#include "data/dataset_speech.h"

#include "base/fs.h"

#include <stdlib.h>
#include <string.h>

static const char magic[8] = "ASSAYSP1";

struct head {
    char magic[8];
    char hash[ASSAY_HASH_TEXT_SIZE - 1]; /* of all that follows */
    int64_t n_clips, n_samples, n_pcm;
    double mean[SPEECH_COEFFICIENTS], deviation[SPEECH_COEFFICIENTS];
};
_Static_assert(sizeof(struct head) == 256, "what follows the head in the file is aligned");

struct speech {
    struct speech_plan plan;
    struct speech_store store;
    struct assay_map map; /* holds the store where it came from the cache; else the store's parts are malloc's */
    bool wants_audio;
    float scale[SPEECH_COEFFICIENTS], shift[SPEECH_COEFFICIENTS]; /* to mean 0 and deviation 1 */
};

static enum assay_status file_name(const struct speech_plan *plan, struct assay_arena *arena, char **path,
                                   struct assay_error *err)
{
    struct assay_hash hash;
    char digits[ASSAY_HASH_TEXT_SIZE], *version;
    enum assay_status st = speech_version(arena, &version, err);
    if (st)
        return st;
    assay_hash_init(&hash);
    assay_hash_text(&hash, "speech 4");
    assay_hash_text(&hash, version);
    assay_hash_u64(&hash, plan->seed);
    assay_hash_u64(&hash, (uint64_t)plan->variants);
    for (int64_t i = 0; i < plan->n_clips; i++) {
        assay_hash_u64(&hash, (uint64_t)plan->clips[i].split << 32 | (uint64_t)plan->clips[i].rendering);
        assay_hash_text(&hash, plan->clips[i].word);
        assay_hash_text(&hash, plan->clips[i].voice);
    }
    for (int64_t i = 0; i < plan->n_samples; i++)
        assay_hash_u64(&hash, (uint64_t)plan->samples[i].clip);
    assay_hash_final(&hash, digits);
    return assay_dataset_cache(arena, assay_arena_printf(arena, "speech-%.32s.bin", digits), path, err);
}

static void hash_content(const struct head *head, const struct speech_store *store, char digits[ASSAY_HASH_TEXT_SIZE])
{
    struct assay_hash hash;
    const char *numbers = (const char *)head + offsetof(struct head, n_clips);
    assay_hash_init(&hash);
    assay_hash_update(&hash, numbers, sizeof *head - offsetof(struct head, n_clips));
    assay_hash_update(&hash, store->begins, (size_t)(head->n_clips + 1) * sizeof *store->begins);
    assay_hash_update(&hash, store->features, (size_t)head->n_samples * SPEECH_FEATURES * sizeof *store->features);
    assay_hash_update(&hash, store->pcm, (size_t)head->n_pcm * sizeof *store->pcm);
    assay_hash_final(&hash, digits);
}

static bool clips_are_right(const int64_t *begins, int64_t n, int64_t n_pcm)
{
    bool is_right = begins[0] == 0 && begins[n] == n_pcm;
    for (int64_t i = 0; is_right && i < n; i++)
        is_right = begins[i + 1] >= begins[i] && begins[i + 1] - begins[i] <= SPEECH_RATE;
    return is_right;
}

/* False where the file is not there, or not what it should be. */
static bool load(struct speech *speech, const char *path, struct assay_dataset *dataset)
{
    const struct speech_plan *plan = &speech->plan;
    struct head head;
    char digits[ASSAY_HASH_TEXT_SIZE];
    if (assay_map_open(&speech->map, path, NULL))
        return false;
    struct speech_store *store = &speech->store;
    size_t begins_bytes = (size_t)(plan->n_clips + 1) * sizeof *store->begins;
    size_t features_bytes = (size_t)plan->n_samples * SPEECH_FEATURES * sizeof *store->features;
    size_t size = speech->map.size_bytes, fixed = sizeof head + begins_bytes + features_bytes;
    bool is_right = size >= fixed && (size - fixed) % sizeof *store->pcm == 0;
    if (is_right) {
        memcpy(&head, speech->map.data, sizeof head);
        /* The map is only read: these pointers are not const because making writes through them. */
        store->begins = (int64_t *)(uintptr_t)(speech->map.data + sizeof head);
        store->features = (float *)(uintptr_t)(speech->map.data + sizeof head + begins_bytes);
        store->pcm = (int16_t *)(uintptr_t)(speech->map.data + fixed);
        is_right = memcmp(head.magic, magic, sizeof magic) == 0 && head.n_clips == plan->n_clips &&
                   head.n_samples == plan->n_samples && head.n_pcm == (int64_t)((size - fixed) / sizeof *store->pcm) &&
                   clips_are_right(store->begins, plan->n_clips, head.n_pcm);
    }
    if (is_right) {
        hash_content(&head, store, digits);
        is_right = memcmp(digits, head.hash, sizeof head.hash) == 0;
    }
    if (!is_right) {
        assay_map_release(&speech->map);
        speech->map = (struct assay_map){0};
        *store = (struct speech_store){0};
        return false;
    }
    memcpy(store->mean, head.mean, sizeof store->mean);
    memcpy(store->deviation, head.deviation, sizeof store->deviation);
    memcpy(dataset->hash, digits, sizeof digits);
    return true;
}

/* A cache that cannot be written is no failure: what was made is used from memory. */
static void save(const char *path, const struct head *head, const struct speech_store *store)
{
    struct assay_atomic_file f = {0};
    if (assay_atomic_open(&f, path, NULL))
        return;
    size_t n_features = (size_t)head->n_samples * SPEECH_FEATURES;
    bool is_written =
        fwrite(head, sizeof *head, 1, f.file) == 1 &&
        fwrite(store->begins, sizeof *store->begins, (size_t)head->n_clips + 1, f.file) == (size_t)head->n_clips + 1 &&
        fwrite(store->features, sizeof *store->features, n_features, f.file) == n_features &&
        fwrite(store->pcm, sizeof *store->pcm, (size_t)head->n_pcm, f.file) == (size_t)head->n_pcm;
    if (is_written)
        assay_atomic_commit(&f, NULL);
    else
        assay_atomic_abandon(&f);
}

static enum assay_status make(struct assay_dataset *dataset, struct speech *speech, const char *path,
                              const struct assay_dataset_progress *progress, struct assay_error *err)
{
    const struct speech_plan *plan = &speech->plan;
    struct speech_store *store = &speech->store;
    enum assay_status st = speech_make_clips(plan, progress, store, err);
    if (!st)
        st = speech_make_features(plan, progress, store, err);
    if (st)
        return st;
    struct head head = {.n_clips = plan->n_clips, .n_samples = plan->n_samples, .n_pcm = store->begins[plan->n_clips]};
    memcpy(head.magic, magic, sizeof magic);
    memcpy(head.mean, store->mean, sizeof head.mean);
    memcpy(head.deviation, store->deviation, sizeof head.deviation);
    hash_content(&head, store, dataset->hash);
    memcpy(head.hash, dataset->hash, sizeof head.hash);
    save(path, &head, store);
    return ASSAY_OK;
}

static enum assay_status read_options(struct speech *speech, struct assay_dataset_options *options, struct assay_error *err)
{
    struct speech_plan *plan = &speech->plan;
    int64_t seed;
    plan->words = assay_dataset_option_text(options, "words", "12");
    speech->wants_audio = assay_dataset_option_word(options, "audio");
    enum assay_status st = assay_dataset_option_int(options, "voices", 52, 1, 52, &plan->voices, err);
    if (!st)
        st = assay_dataset_option_int(options, "renderings", 6, 1, 64, &plan->renderings, err);
    if (!st)
        st = assay_dataset_option_int(options, "variants", 6, 1, 64, &plan->variants, err);
    if (!st)
        st = assay_dataset_option_int(options, "seed", 0, 0, INT64_MAX, &seed, err);
    plan->seed = st ? 0 : (uint64_t)seed;
    return st;
}

static enum assay_status open_speech(struct assay_dataset *dataset, struct assay_dataset_options *options,
                                     const struct assay_dataset_progress *progress, struct assay_error *err)
{
    struct speech *speech = dataset->state = assay_arena_alloc(&dataset->arena, sizeof *speech);
    struct speech_plan *plan = &speech->plan;
    char *path;
    enum assay_status st = read_options(speech, options, err);
    if (!st)
        st = assay_dataset_options_end(dataset, options, err);
    if (!st)
        st = speech_plan_fill(plan, &dataset->arena, err);
    if (!st)
        st = file_name(plan, &dataset->arena, &path, err);
    if (!st && !load(speech, path, dataset))
        st = make(dataset, speech, path, progress, err);
    if (st)
        return st;
    for (int k = 0; k < SPEECH_COEFFICIENTS; k++) {
        speech->scale[k] = (float)(1 / speech->store.deviation[k]);
        speech->shift[k] = (float)(-speech->store.mean[k] / speech->store.deviation[k]);
    }
    memcpy(dataset->n, plan->n, sizeof dataset->n);
    dataset->n_classes = plan->n_classes;
    dataset->class_names = plan->class_names;
    if (speech->wants_audio)
        assay_dataset_add_tensor(dataset, "audio", assay_type_make(ASSAY_F32, 1, (const int64_t[]){SPEECH_RATE}), false, 0);
    else
        assay_dataset_add_tensor(dataset, "features",
                                 assay_type_make(ASSAY_F32, 3, (const int64_t[]){1, SPEECH_FRAMES, SPEECH_COEFFICIENTS}), false,
                                 0);
    assay_dataset_add_tensor(dataset, "label", assay_type_make(ASSAY_I64, 0, NULL), true, 0);
    return ASSAY_OK;
}

static enum assay_status read_speech(const struct assay_dataset *dataset, enum assay_split split, int64_t index, void *const *to,
                                     struct assay_error *err)
{
    (void)err;
    const struct speech *speech = dataset->state;
    int64_t sample = speech->plan.first[split] + index;
    float *out = to[0];
    if (speech->wants_audio) {
        speech_mix(&speech->plan, &speech->store, sample, out);
    } else {
        const float *from = speech->store.features + sample * SPEECH_FEATURES;
        for (int i = 0; i < SPEECH_FEATURES; i++)
            out[i] = from[i] * speech->scale[i % SPEECH_COEFFICIENTS] + speech->shift[i % SPEECH_COEFFICIENTS];
    }
    *(int64_t *)to[1] = speech->plan.samples[sample].label;
    return ASSAY_OK;
}

static void close_speech(struct assay_dataset *dataset)
{
    struct speech *speech = dataset->state;
    if (speech->map.data) {
        assay_map_release(&speech->map);
        return;
    }
    free(speech->store.begins);
    free(speech->store.features);
    free(speech->store.pcm);
}

const struct assay_dataset_kind assay_dataset_spoken_commands = {
    .name = "spoken-commands",
    .about = "words of Google's Speech Commands, spoken by espeak-ng in 64 voices and 8 accents, in noise 15 to 40 dB below",
    .options = "words=10, 12, 20 or digits (12), audio (the sound instead of its features), renderings=NUMBER (6, of a word by a "
               "voice), "
               "variants=NUMBER (6, of a training clip), voices=NUMBER (52, at most, of a split), seed=NUMBER (0)",
    .licence = "made here; espeak-ng is GPL version 3 or later, which does not extend to what it says",
    .source = "Debian's package espeak-ng; 52 voices for training, 4 others for validation, 8 others for the test",
    .open = open_speech,
    .read = read_speech,
    .close = close_speech,
};
