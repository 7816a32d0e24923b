/* SPDX-License-Identifier: Apache-2.0 */
/* See model.h and family.h: which family a config belongs to, and the way from a folder to a graph. */
#include "model/model.h"

#include "base/fs.h"
#include "graph/onnx.h"
#include "model/family.h"
#include "model/generation_config.h"
#include "model/plain.h"
#include "model/presets.h"

#include <stdio.h>
#include <string.h>

/* ---- the table */

#define ASSAY_FAMILY(name) extern const struct assay_family assay_family_##name;
#include "model/family_table.def"
#undef ASSAY_FAMILY
static const struct assay_family *const families[] = {
#define ASSAY_FAMILY(name) &assay_family_##name,
#include "model/family_table.def"
#undef ASSAY_FAMILY
    NULL};

const struct assay_family *assay_family_at(int i) { return i >= 0 && i < (int)ASSAY_COUNT(families) ? families[i] : NULL; }

const struct assay_family *assay_family_find(const char *architecture, const struct assay_architecture **found)
{
    for (int i = 0; families[i]; i++)
        for (const struct assay_architecture *a = families[i]->architectures; a->name; a++)
            if (strcmp(a->name, architecture) == 0) {
                *found = a;
                return families[i];
            }
    return NULL;
}

/* ---- which architecture */

static bool has_tensor(const struct assay_checkpoint *checkpoint, const char *pattern)
{
    size_t n = strlen(pattern);
    bool front = *pattern == '*', back = n > 1 && pattern[n - 1] == '*';
    for (size_t i = 0; i < checkpoint->n; i++) {
        const char *name = checkpoint->entries[i]->name;
        size_t m = strlen(name);
        if (front  ? m >= n - 1 && strcmp(name + m - (n - 1), pattern + 1) == 0
            : back ? strncmp(name, pattern, n - 1) == 0
                   : strcmp(name, pattern) == 0)
            return true;
    }
    return false;
}

/* The first architecture of the model type that the weights fit. */
static const struct assay_family *guess(const char *model_type, const struct assay_checkpoint *checkpoint,
                                        const struct assay_architecture **found)
{
    for (int i = 0; families[i]; i++)
        for (const struct assay_architecture *a = families[i]->architectures; a->name; a++)
            if (strcmp(a->model_type, model_type) == 0 && (!a->told_by || (checkpoint && has_tensor(checkpoint, a->told_by)))) {
                *found = a;
                return families[i];
            }
    return NULL;
}

static bool is_model_type(const char *model_type)
{
    for (int i = 0; families[i]; i++)
        for (const struct assay_architecture *a = families[i]->architectures; a->name; a++)
            if (strcmp(a->model_type, model_type) == 0)
                return true;
    return false;
}

static enum assay_status choose(const json_t *config, const char *where, const struct assay_model_options *options,
                                const struct assay_checkpoint *checkpoint, const struct assay_family **family,
                                const struct assay_architecture **architecture, struct assay_error *err)
{
    const char *model_type, *named = options->architecture;
    if (!json_is_object(config))
        return assay_error_set(err, ASSAY_INVALID, "%s: it is no JSON object", where);
    enum assay_status st = assay_json_text(config, "model_type", NULL, &model_type, err);
    if (st)
        return assay_error_prefix(err, st, "%s", where);
    const json_t *list = json_object_get(config, "architectures");
    if (!named && list && !json_is_null(list) && !json_is_array(list))
        return assay_error_set(err, ASSAY_INVALID, "%s: \"architectures\" must be a list of texts", where);
    if (!named && json_array_size(list) > 0) {
        named = json_string_value(json_array_get(list, 0));
        if (!named)
            return assay_error_set(err, ASSAY_INVALID, "%s: \"architectures\" must be a list of texts", where);
    }
    if (model_type && !is_model_type(model_type))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "%s: Assay does not build models of the type \"%s\"", where, model_type);
    if (named) {
        *family = assay_family_find(named, architecture);
        if (!*family)
            return assay_error_set(err, ASSAY_UNSUPPORTED, "%s: Assay does not build the architecture \"%s\"", where, named);
        if (model_type && strcmp((*architecture)->model_type, model_type) != 0)
            return assay_error_set(err, ASSAY_INVALID, "%s: the architecture \"%s\" is none of the model type \"%s\"", where,
                                   named, model_type);
        return ASSAY_OK;
    }
    if (!model_type)
        return assay_error_set(err, ASSAY_INVALID, "%s has neither \"architectures\" nor \"model_type\"", where);
    *family = guess(model_type, checkpoint, architecture);
    return *family ? ASSAY_OK
                   : assay_error_set(err, ASSAY_UNSUPPORTED,
                                     "%s names no architecture, and none of \"%s\" is told by its tensors", where, model_type);
}

/* ---- phases */

static bool generates(const struct assay_family *family, const struct assay_architecture *architecture)
{
    for (const char *const *name = family->generators; name && *name; name++)
        if (strcmp(*name, architecture->name) == 0)
            return true;
    return false;
}

static enum assay_status check_phase(enum assay_model_phase phase, const struct assay_family *family,
                                     const struct assay_architecture *architecture, const char *where, struct assay_error *err)
{
    if (phase != ASSAY_PHASE_WHOLE && !generates(family, architecture))
        return assay_error_set(err, ASSAY_UNSUPPORTED,
                               "%s: the architecture \"%s\" generates no text, so it is run as a whole only", where,
                               architecture->name);
    if (phase == ASSAY_PHASE_ENCODE && !family->encodes)
        return assay_error_set(err, ASSAY_UNSUPPORTED,
                               "%s: the architecture \"%s\" is a decoder alone: there is nothing to encode before it", where,
                               architecture->name);
    return ASSAY_OK;
}

/* ---- building */

/* folder: where a generation_config.json may be; NULL = nowhere. */
static enum assay_status build(const json_t *json, const char *where, const char *folder, struct assay_checkpoint *checkpoint,
                               const struct assay_model_options *options, struct assay_graph **graph,
                               struct assay_model_info *info, struct assay_error *err)
{
    const struct assay_family *family;
    const struct assay_architecture *architecture;
    struct assay_model_generation generation = {.start_token = -1, .pad_token = -1};
    *graph = NULL;
    enum assay_status st = choose(json, where, options, checkpoint, &family, &architecture, err);
    if (!st)
        st = check_phase(options->phase, family, architecture, where, err);
    if (!st && generates(family, architecture)) {
        generation.generates = true;
        generation.encodes = family->encodes;
        st = assay_generation_read(json, where, &generation, err);
        if (!st && folder)
            st = assay_generation_read_folder(folder, &generation, err);
    }
    if (st)
        return st;
    struct assay_arena arena;
    struct assay_config config;
    struct assay_builder b;
    struct assay_error build_error = {0};
    assay_arena_init(&arena);
    assay_config_init(&config, json, where, &arena, err);
    assay_builder_init(&b, architecture->name, options, checkpoint, &build_error);
    family->build(&b, &config, architecture);
    /* The config first: what it says wrongly makes tensors not fit. */
    st = assay_config_finish(&config);
    if (!st) {
        st = assay_builder_finish(&b, graph);
        if (st)
            assay_error_set(err, st, "%s: %s", where, build_error.message);
    }
    const char *weights = checkpoint ? "file" : options->weights >= ASSAY_WEIGHTS_FILE_OR_DECLARED ? "declared" : "random";
    if (!st) {
        (*graph)->producer = "assay";
        assay_graph_add_metadata(*graph, "family", family->name);
        assay_graph_add_metadata(*graph, "architecture", architecture->name);
        assay_graph_add_metadata(*graph, "weights", weights);
        assay_graph_add_metadata(*graph, "parameters", assay_arena_printf(&arena, "%lld", (long long)b.n_parameters));
    }
    if (info)
        *info = (struct assay_model_info){.family = family->name,
                                          .architecture = architecture->name,
                                          .weights = weights,
                                          .parameters = b.n_parameters,
                                          .generation = generation};
    assay_builder_release(&b);
    assay_arena_release(&arena);
    return st;
}

enum assay_status assay_model_build(const json_t *config, const char *where, const struct assay_model_options *options,
                                    struct assay_graph **graph, struct assay_model_info *info, struct assay_error *err)
{
    return build(config, where, NULL, NULL, options, graph, info, err);
}

bool assay_model_is_folder(const char *path)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    bool found = assay_fs_is_folder(path) && assay_fs_exists(assay_path_join(&arena, path, "config.json"));
    assay_arena_release(&arena);
    return found;
}

/* A folder without config.json is no model; one of a training run is none yet. */
static enum assay_status no_config(const char *path, struct assay_arena *arena, struct assay_error *err)
{
    char **names;
    size_t n = 0;
    bool is_run = false;
    if (!assay_fs_list(path, arena, &names, &n, NULL))
        for (size_t i = 0; i < n && !is_run; i++)
            is_run = strncmp(names[i], "step-", 5) == 0;
    return assay_error_set(err, ASSAY_INVALID,
                           is_run ? "%s holds checkpoints of a training run that has not ended, and no model yet: the `assay "
                                    "train` that made it goes on with --resume"
                                  : "%s has no config.json, so it is no model",
                           path);
}

static enum assay_status open_folder(const char *path, const struct assay_model_options *options, struct assay_graph **graph,
                                     struct assay_model_info *info, struct assay_error *err)
{
    struct assay_arena arena;
    struct assay_checkpoint checkpoint = {0};
    bool has_weights = false;
    json_t *config = NULL;
    assay_arena_init(&arena);
    const char *where = assay_path_join(&arena, path, "config.json");
    enum assay_status st = assay_fs_exists(where) ? assay_json_read(where, &config, err) : no_config(path, &arena, err);
    if (!st && (options->weights == ASSAY_WEIGHTS_AUTO || options->weights == ASSAY_WEIGHTS_FILE_OR_DECLARED)) {
        st = assay_checkpoint_open(&checkpoint, path, err);
        has_weights = !st;
        bool pickled = assay_fs_exists(assay_path_join(&arena, path, "pytorch_model.bin")) ||
                       assay_fs_exists(assay_path_join(&arena, path, "pytorch_model.bin.index.json"));
        if (st == ASSAY_ABSENT && !pickled)
            st = ASSAY_OK;
    }
    json_t *plain = has_weights ? assay_plain_config(config, &checkpoint) : NULL;
    if (plain) {
        json_decref(config);
        config = plain;
    }
    if (!st)
        st = build(config, where, path, has_weights ? &checkpoint : NULL, options, graph, info, err);
    if (has_weights)
        assay_checkpoint_release(&checkpoint);
    json_decref(config);
    assay_arena_release(&arena);
    return st;
}

enum assay_status assay_model_open(const char *path, const struct assay_model_options *options, struct assay_graph **graph,
                                   struct assay_model_info *info, struct assay_error *err)
{
    static const struct assay_model_options usual = {0};
    *graph = NULL;
    if (info)
        *info = (struct assay_model_info){.family = "",
                                          .architecture = "",
                                          .weights = "file",
                                          .parameters = -1,
                                          .generation = {.start_token = -1, .pad_token = -1}};
    if (assay_fs_is_folder(path))
        return open_folder(path, options ? options : &usual, graph, info, err);
    const struct assay_preset *preset = assay_preset_find(path);
    if (preset && !assay_fs_exists(path))
        return assay_preset_open(preset, options, graph, info, err);
    if (!assay_fs_exists(path) && !strchr(path, '/') && !strchr(path, '.'))
        return assay_error_set(err, ASSAY_ABSENT, "there is no file '%s', and no known model of that name", path);
    if (options && options->phase != ASSAY_PHASE_WHOLE)
        return assay_error_set(err, ASSAY_UNSUPPORTED,
                               "%s: an ONNX file is run as it is; only folders with a config.json and presets have phases", path);
    return assay_onnx_load(path, graph, err);
}
