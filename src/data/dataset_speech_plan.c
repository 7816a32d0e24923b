/* SPDX-License-Identifier: Apache-2.0 */
/* Which words, which voices, in which split (dataset_speech.h). */
#include "data/dataset_speech.h"

#include <string.h>

/* The ten commands of Google's Speech Commands in the order of its twelve classes (Warden, arXiv 1804.03209), then the rest. */
static const char *const twelve[] = {"down",  "go",   "left", "no",  "off",       "on",
                                     "right", "stop", "up",   "yes", "_silence_", "_unknown_"};
static const char *const twenty[] = {"down", "go",  "left", "no",    "off",  "on",   "right", "stop",  "up",    "yes",
                                     "zero", "one", "two",  "three", "four", "five", "six",   "seven", "eight", "nine"};
static const char *const others[] = {"bed", "bird", "cat", "dog", "happy", "house", "marvin", "sheila", "tree", "wow"};
enum { COMMANDS = 10, DIGITS = 10, OTHERS = 10 };

/* Variants of espeak-ng that speak like different people: nobody's near double (gene2, steph3 …) is in another split. */
static const char *const train_voices[] = {
    "m1",         "f1",      "m2",     "f2",      "m3",      "f3",      "m4",      "Andrea",   "m5",    "Alicia", "m6",
    "Annie",      "adam",    "aunty",  "Alex",    "belinda", "caleb",   "grandma", "boris",    "david", "Denis",  "Hugo",
    "miguel",     "norbert", "Andy",   "antonio", "Diogo",   "Gene",    "gustave", "Henrique", "iven",  "Jacky",  "john",
    "kaukovalta", "Lee",     "Marco",  "Mario",   "Michael", "Mike",    "Nguyen",  "pablo",    "paul",  "pedro",  "quincy",
    "sandro",     "shelby",  "victor", "zac",     "ed",      "marcelo", "croak",   "grandpa"};
static const char *const validation_voices[] = {"m7", "f4", "benjamin", "linda"};
static const char *const test_voices[] = {"m8", "f5", "max", "steph", "robert", "anika", "michel", "travis"};

static const struct {
    const char *const *voices;
    int n;
} splits[ASSAY_N_SPLITS] = {{train_voices, ASSAY_COUNT(train_voices)},
                            {validation_voices, ASSAY_COUNT(validation_voices)},
                            {test_voices, ASSAY_COUNT(test_voices)}};

static enum assay_status find_classes(struct speech_plan *plan, struct assay_error *err)
{
    static const struct {
        const char *words;
        const char *const *names;
        int n;
    } sets[] = {{"10", twelve, COMMANDS},
                {"12", twelve, COMMANDS + 2},
                {"20", twenty, COMMANDS + DIGITS},
                {"digits", twenty + COMMANDS, DIGITS}};
    for (size_t i = 0; i < ASSAY_COUNT(sets); i++)
        if (strcmp(plan->words, sets[i].words) == 0) {
            plan->class_names = sets[i].names;
            plan->n_classes = sets[i].n;
            return ASSAY_OK;
        }
    return assay_error_set(err, ASSAY_INVALID,
                           "words=%s; it can be 10 (commands), 12 (with silence and unknown words), 20 "
                           "(commands and digits) or digits",
                           plan->words);
}

/* The word that a clip of a class says: any other word where the class is the unknown ones. */
static const char *class_word(const struct speech_plan *plan, int label, const char *voice, int rendering)
{
    if (strcmp(plan->class_names[label], "_unknown_") != 0)
        return plan->class_names[label];
    struct assay_rng rng;
    assay_rng_init(&rng, plan->seed, assay_rng_stream(voice) + (uint64_t)rendering);
    uint64_t i = assay_rng_below(&rng, DIGITS + OTHERS);
    return i < DIGITS ? twenty[COMMANDS + i] : others[i - DIGITS];
}

static void add_clips(struct speech_plan *plan, enum assay_split split)
{
    int64_t n_variants = split == ASSAY_SPLIT_TRAIN ? plan->variants : 1;
    plan->first[split] = plan->n_samples;
    for (int v = 0; v < splits[split].n && v < plan->voices; v++)
        for (int r = 0; r < plan->renderings; r++)
            for (int label = 0; label < plan->n_classes; label++) {
                const char *voice = splits[split].voices[v];
                int64_t clip = -1;
                if (strcmp(plan->class_names[label], "_silence_") != 0) {
                    clip = plan->n_clips++;
                    plan->clips[clip] = (struct speech_clip){.split = split,
                                                             .label = label,
                                                             .rendering = r,
                                                             .voice = voice,
                                                             .word = class_word(plan, label, voice, r)};
                }
                for (int k = 0; k < n_variants; k++)
                    plan->samples[plan->n_samples++] = (struct speech_sample){.clip = clip, .label = label, .variant = k};
            }
    plan->n[split] = plan->n_samples - plan->first[split];
}

enum assay_status speech_plan_fill(struct speech_plan *plan, struct assay_arena *arena, struct assay_error *err)
{
    enum assay_status st = find_classes(plan, err);
    if (st)
        return st;
    size_t n_voices = 0;
    for (int split = 0; split < ASSAY_N_SPLITS; split++)
        n_voices += (size_t)splits[split].n;
    size_t most = n_voices * (size_t)plan->renderings * (size_t)plan->n_classes;
    plan->clips = assay_arena_array(arena, most, sizeof *plan->clips);
    plan->samples = assay_arena_array(arena, most * (size_t)plan->variants, sizeof *plan->samples);
    for (int split = 0; split < ASSAY_N_SPLITS; split++)
        add_clips(plan, (enum assay_split)split);
    return ASSAY_OK;
}
