/* SPDX-License-Identifier: Apache-2.0 */
/* See conformance_data.h. */
#include "bench/conformance_data.h"

#include "base/fs.h"
#include "data/audio.h"
#include "data/vision.h"
#include "model/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double tolerance = 1e-4;

/* The most clips or pictures that a case is given. */
enum { MOST = 64 };

/* A folder that is read. */
struct folder {
    json_t *config;
    struct assay_safetensors in, out;
    struct assay_arena *arena;
    struct assay_conformance_result *result;
};

/* A case of it: what its processor works on, and what comes of it. */
struct trial {
    const struct folder *folder;
    const char *name;
    const json_t *config;
    bool is_sound;
    struct assay_audio_processor audio;
    struct assay_vision_processor vision;
    const struct assay_tensor *inputs[MOST]; /* those of its kind */
    int64_t n_inputs, n_wanted;              /* n_wanted: so many at once */
};

/* What a processor made, by the names that the model takes it under. */
struct made {
    struct assay_audio_batch audio;
    struct assay_vision_batch vision;
};

/* ---- the folder */

/* An object of objects that each name a class. */
static bool is_data(const json_t *config)
{
    const char *name;
    json_t *value;
    if (!json_is_object(config) || json_object_size(config) == 0)
        return false;
    json_object_foreach((json_t *)config, name, value)
    {
        if (!json_is_string(json_object_get(value, "feature_extractor_type")) &&
            !json_is_string(json_object_get(value, "image_processor_type")))
            return false;
    }
    return true;
}

bool assay_conformance_is_data(const char *folder)
{
    struct assay_arena arena;
    json_t *config = NULL;
    assay_arena_init(&arena);
    enum assay_status st = assay_json_read(assay_path_join(&arena, folder, "config.json"), &config, NULL);
    bool found = !st && is_data(config);
    json_decref(config);
    assay_arena_release(&arena);
    return found;
}

/* ---- inputs */

/* N of PREFIX.N; -1 if the name is none. */
static int64_t number_of(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    if (strncmp(name, prefix, n) != 0 || name[n] != '.' || name[n + 1] < '0' || name[n + 1] > '9')
        return -1;
    char *end;
    long number = strtol(name + n + 1, &end, 10);
    return *end || number >= MOST ? -1 : number;
}

/* Those of the sounds' rate, or the pictures, in the order of their numbers. */
static enum assay_status take_inputs(struct trial *t, struct assay_error *err)
{
    const struct assay_safetensors *file = &t->folder->in;
    char prefix[64] = "image";
    if (t->is_sound)
        snprintf(prefix, sizeof prefix, "audio%lldk", (long long)t->audio.rate / 1000);
    for (int64_t k = 0; k < MOST; k++)
        for (size_t i = 0; i < file->n; i++) {
            const struct assay_type *type = &file->entries[i].tensor.type;
            if (number_of(file->entries[i].name, prefix) != k)
                continue;
            bool fits = t->is_sound ? type->dtype == ASSAY_F32 && type->rank == 1
                                    : type->dtype == ASSAY_U8 && type->rank == 3 && type->dims[2] == 3;
            if (!fits)
                return assay_error_set(err, ASSAY_INVALID, "inputs.safetensors: '%s' is no %s", file->entries[i].name,
                                       t->is_sound ? "sound, f32 of one dimension" : "picture, u8 [height, width, 3]");
            t->inputs[t->n_inputs++] = &file->entries[i].tensor;
        }
    return t->n_inputs ? ASSAY_OK
                       : assay_error_set(err, ASSAY_INVALID, "inputs.safetensors has no '%s.0', which case \"%s\" needs", prefix,
                                         t->name);
}

static const struct assay_tensor *wanted(const struct trial *t, const char *name)
{
    return assay_safetensors_find(&t->folder->out, assay_arena_printf(t->folder->arena, "%s.%s", t->name, name));
}

/* ---- processing */

/* Samples whose mask is 1 in row i of what wav2vec2 wants. */
static int64_t length_by_mask(const struct trial *t, int64_t i, int64_t n)
{
    const struct assay_tensor *mask = wanted(t, "attention_mask");
    if (t->audio.kind != ASSAY_AUDIO_WAV2VEC2 || !mask || mask->type.dtype != ASSAY_I64 || mask->type.rank != 2 ||
        i >= mask->type.dims[0])
        return n;
    int64_t length = 0;
    for (int64_t k = 0; k < mask->type.dims[1]; k++)
        length += assay_tensor_int(mask, i * mask->type.dims[1] + k) == 1;
    return length < n ? length : n;
}

static enum assay_status process_sounds(const struct trial *t, int64_t first, struct made *made, struct assay_error *err)
{
    struct assay_clip clips[MOST];
    for (int64_t i = 0; i < t->n_wanted; i++) {
        const struct assay_tensor *input = t->inputs[first + i];
        clips[i] = (struct assay_clip){input->data, length_by_mask(t, i, input->type.dims[0])};
    }
    return assay_audio_process(&t->audio, clips, t->n_wanted, 1, &made->audio, err);
}

static enum assay_status upside_down(struct assay_tensor *to, const struct assay_tensor *image, struct assay_error *err)
{
    int64_t height = image->type.dims[0];
    size_t row = (size_t)image->type.dims[1] * 3;
    enum assay_status st = assay_image_alloc(to, height, image->type.dims[1], err);
    for (int64_t y = 0; !st && y < height; y++)
        memcpy((uint8_t *)to->data + (size_t)y * row, (const uint8_t *)image->data + (size_t)(height - 1 - y) * row, row);
    return st;
}

/* With `turned`, all frames are the first picture, every other one upside down. */
static enum assay_status process_pictures(const struct trial *t, int64_t first, bool turned, struct made *made,
                                          struct assay_error *err)
{
    struct assay_tensor images[MOST], other = {0};
    enum assay_status st = turned ? upside_down(&other, t->inputs[first], err) : ASSAY_OK;
    for (int64_t i = 0; i < t->n_wanted; i++)
        images[i] = turned ? (i % 2 ? other : *t->inputs[first]) : *t->inputs[first + i];
    if (!st)
        st = assay_vision_process(&t->vision, images, t->n_wanted, &made->vision, err);
    assay_tensor_release(&other);
    return st;
}

static void release(struct made *made)
{
    assay_audio_batch_release(&made->audio);
    assay_vision_batch_release(&made->vision);
    *made = (struct made){0};
}

/* *filters as f32, by the suffix of the output's name. */
static enum assay_status make_filters(const struct trial *t, const char *name, struct assay_tensor *filters,
                                      struct assay_error *err)
{
    struct assay_mel mel = t->audio.mel;
    struct assay_tensor real;
    if (strcmp(name, "mel_filters_slaney") == 0)
        mel.scale = ASSAY_MEL_SLANEY;
    else if (strcmp(name, "mel_filters_htk") == 0)
        mel.scale = ASSAY_MEL_HTK;
    enum assay_status st = assay_mel_filters(&mel, &real, err);
    if (st)
        return st;
    st = assay_tensor_convert(filters, &real, ASSAY_F32, err);
    assay_tensor_release(&real);
    return st;
}

/* The tensor of that name; NULL if the processor makes none. */
static const struct assay_tensor *find(const struct trial *t, const struct made *made, const char *name)
{
    const struct {
        const char *name;
        const struct assay_tensor *tensor;
    } known[] = {
        {t->is_sound && t->audio.kind == ASSAY_AUDIO_WAV2VEC2 ? "input_values" : "input_features", &made->audio.features},
        {"attention_mask", &made->audio.mask},
        {"is_longer", &made->audio.is_longer},
        {"pixel_values", &made->vision.pixels},
        {"pixel_mask", &made->vision.mask},
        {"image_sizes", &made->vision.sizes},
    };
    for (size_t i = 0; i < ASSAY_COUNT(known); i++)
        if (strcmp(known[i].name, name) == 0 && known[i].tensor->data)
            return known[i].tensor;
    return NULL;
}

/* ---- comparing */

static struct assay_conformance_output compare(const struct trial *t, const char *name, const struct assay_tensor *got,
                                               const struct assay_tensor *want)
{
    struct assay_arena *arena = t->folder->arena;
    struct assay_conformance_output output = {.set = assay_arena_strdup(arena, t->name),
                                              .name = assay_arena_strdup(arena, name),
                                              .n_elements = assay_tensor_count(want),
                                              .note = "(no runtime)"};
    if (!got) {
        output.n_wrong = output.n_elements;
        output.note = "(no runtime) the processor does not give it";
        return output;
    }
    struct assay_difference d = assay_tensor_compare(got, want, 0, 0);
    if (!d.same_type) {
        char one[128], other[128];
        output.n_wrong = output.n_elements;
        output.note = assay_arena_printf(arena, "(no runtime) it is %s, wanted %s", assay_type_text(&got->type, one, sizeof one),
                                         assay_type_text(&want->type, other, sizeof other));
        return output;
    }
    double largest = d.max_rel > 0 && isfinite(d.max_abs) ? d.max_abs / d.max_rel : 0;
    double allowed = assay_dtype_is_float(want->type.dtype) ? tolerance * fmin(largest, 1) : 0;
    d = assay_tensor_compare(got, want, allowed, 0);
    output.max_abs = d.max_abs;
    output.max_rel = d.max_rel;
    output.n_wrong = d.n_wrong;
    return output;
}

/* All outputs of the case into outputs[]; returns the wrong elements. */
static int64_t compare_all(const struct trial *t, const struct made *made, struct assay_conformance_output *outputs,
                           size_t *n_outputs)
{
    const struct assay_safetensors *file = &t->folder->out;
    size_t n = strlen(t->name);
    int64_t n_wrong = 0;
    *n_outputs = 0;
    for (size_t i = 0; i < file->n; i++) {
        const char *name = file->entries[i].name + n + 1;
        if (strncmp(file->entries[i].name, t->name, n) != 0 || file->entries[i].name[n] != '.')
            continue;
        struct assay_tensor filters = {0};
        bool is_filters = t->is_sound && strncmp(name, "mel_filters", 11) == 0;
        bool has_filters = is_filters && !make_filters(t, name, &filters, NULL);
        const struct assay_tensor *got = has_filters ? &filters : find(t, made, name);
        outputs[*n_outputs] = compare(t, name, got, &file->entries[i].tensor);
        n_wrong += outputs[(*n_outputs)++].n_wrong;
        assay_tensor_release(&filters);
    }
    return n_wrong;
}

/* ---- a case */

static enum assay_status read_processor(struct trial *t, struct assay_error *err)
{
    t->is_sound = json_is_string(json_object_get(t->config, "feature_extractor_type")) &&
                  !json_is_string(json_object_get(t->config, "image_processor_type"));
    enum assay_status st = t->is_sound ? assay_audio_processor_read(&t->audio, t->config, err)
                                       : assay_vision_processor_read(&t->vision, t->config, err);
    return st ? assay_error_prefix(err, st, "config.json: case \"%s\"", t->name) : ASSAY_OK;
}

/* How many inputs at once the wanted tensors tell. */
static enum assay_status count_wanted(struct trial *t, struct assay_error *err)
{
    static const char *const names[] = {"pixel_values", "input_features", "input_values"};
    const struct assay_tensor *want = NULL;
    for (size_t i = 0; i < ASSAY_COUNT(names) && !want; i++)
        want = wanted(t, names[i]);
    int axis = !t->is_sound && t->vision.video ? 1 : 0;
    if (!want || want->type.rank <= axis)
        return assay_error_set(err, ASSAY_INVALID, "outputs.safetensors has no '%s.%s'", t->name,
                               t->is_sound ? "input_features" : "pixel_values");
    t->n_wanted = want->type.dims[axis];
    if (t->n_wanted < 1 || t->n_wanted > MOST)
        return assay_error_set(err, ASSAY_INVALID, "outputs.safetensors: case \"%s\" is of %lld inputs; 1 to %d can be checked",
                               t->name, (long long)t->n_wanted, MOST);
    return ASSAY_OK;
}

/* The outputs of the first inputs that fit, else those that fit best. */
static enum assay_status try_inputs(struct trial *t, struct assay_conformance_output *best, size_t *n_best,
                                    struct assay_error *err)
{
    struct assay_conformance_output *outputs = assay_arena_array(t->folder->arena, t->folder->out.n + 1, sizeof *outputs);
    int64_t least = INT64_MAX;
    enum assay_status first_failure = ASSAY_OK;
    bool is_video = !t->is_sound && t->vision.video;
    for (int turned = 0; turned <= is_video; turned++)
        for (int64_t first = 0; least && first + (turned ? 1 : t->n_wanted) <= t->n_inputs; first++) {
            struct made made = {0};
            struct assay_error local;
            size_t n = 0;
            enum assay_status st =
                t->is_sound ? process_sounds(t, first, &made, &local) : process_pictures(t, first, turned, &made, &local);
            int64_t n_wrong = st ? INT64_MAX : compare_all(t, &made, outputs, &n);
            release(&made);
            if (st && !first_failure) {
                first_failure = st;
                *err = local;
            }
            if (n_wrong >= least)
                continue;
            least = n_wrong;
            memcpy(best, outputs, n * sizeof *outputs);
            *n_best = n;
        }
    if (least < INT64_MAX)
        return ASSAY_OK;
    if (first_failure)
        return assay_error_prefix(err, first_failure, "case \"%s\"", t->name);
    return assay_error_set(err, ASSAY_INVALID, "inputs.safetensors has %lld inputs for case \"%s\", which is of %lld",
                           (long long)t->n_inputs, t->name, (long long)t->n_wanted);
}

static enum assay_status run_case(const struct folder *f, const char *name, const json_t *config, struct assay_error *err)
{
    struct trial t = {.folder = f, .name = name, .config = config};
    struct assay_conformance_result *result = f->result;
    struct assay_conformance_output *outputs = assay_arena_array(f->arena, f->out.n + 1, sizeof *outputs);
    size_t n = 0;
    enum assay_status st = read_processor(&t, err);
    if (!st)
        st = take_inputs(&t, err);
    if (!st)
        st = count_wanted(&t, err);
    if (!st)
        st = try_inputs(&t, outputs, &n, err);
    if (st)
        return st;
    result->outputs =
        assay_arena_grow(f->arena, result->outputs, result->n_outputs, result->n_outputs + n, sizeof *result->outputs);
    for (size_t i = 0; i < n; i++) {
        result->outputs[result->n_outputs++] = outputs[i];
        if (outputs[i].n_wrong && !st)
            st = assay_error_set(err, ASSAY_MISMATCH, "case \"%s\": %lld of %lld elements of '%s' are wrong%s", name,
                                 (long long)outputs[i].n_wrong, (long long)outputs[i].n_elements, outputs[i].name,
                                 t.n_inputs > t.n_wanted ? ", whichever inputs are taken" : "");
    }
    return st;
}

enum assay_status assay_conformance_run_data(const char *folder, struct assay_arena *arena,
                                             struct assay_conformance_result *result, struct assay_error *err)
{
    struct folder f = {.arena = arena, .result = result};
    enum assay_status st = assay_json_read(assay_path_join(arena, folder, "config.json"), &f.config, err);
    if (!st)
        st = assay_safetensors_open(&f.in, assay_path_join(arena, folder, "inputs.safetensors"), err);
    if (!st)
        st = assay_safetensors_open(&f.out, assay_path_join(arena, folder, "outputs.safetensors"), err);
    if (!st && !is_data(f.config))
        st = assay_error_set(err, ASSAY_INVALID, "%s/config.json is none of preprocessing", folder);
    const char *name;
    json_t *config;
    enum assay_status first = st;
    if (!st)
        json_object_foreach(f.config, name, config)
        {
            struct assay_error local;
            st = run_case(&f, name, config, &local);
            if (st && !first) {
                first = st;
                *err = local;
            }
        }
    assay_safetensors_release(&f.in);
    assay_safetensors_release(&f.out);
    json_decref(f.config);
    return first;
}
