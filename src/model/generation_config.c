/* SPDX-License-Identifier: Apache-2.0 */
/* See generation_config.h. */
#include "model/generation_config.h"

#include "base/fs.h"

#include <string.h>

enum { NONE = -1 };

/* What Transformers' config classes say where a config doesn't; those that it does not list say nothing. A T5 without a start
 * token starts with its padding. */
static const struct {
    const char *model_type;
    bool starts; /* has a decoder of its own, which begins with a token that is not the request's */
    int64_t start_token, pad_token, eos_token;
} classes[] = {
    {"gpt2", false, NONE, NONE, 50256},
    {"llama", false, NONE, NONE, 2},
    {"mistral", false, NONE, NONE, 2},
    {"t5", true, NONE, 0, 1},
    {"whisper", true, 50257, 50256, 50256},
};

static enum assay_status read_token(const json_t *value, const char *name, const char *where, int64_t *token,
                                    struct assay_error *err)
{
    if (!json_is_integer(value) || json_integer_value(value) > INT32_MAX)
        return assay_error_set(err, ASSAY_INVALID, "%s: \"%s\" must be the number of a token", where, name);
    *token = json_integer_value(value) < 0 ? NONE : json_integer_value(value);
    return ASSAY_OK;
}

/* A missing field leaves *token as it is; null, or a number below 0, makes it none. */
static enum assay_status read_one(const json_t *object, const char *name, const char *where, int64_t *token,
                                  struct assay_error *err)
{
    const json_t *value = json_object_get(object, name);
    if (json_is_null(value))
        *token = NONE;
    return !value || json_is_null(value) ? ASSAY_OK : read_token(value, name, where, token, err);
}

static enum assay_status read_ends(const json_t *object, const char *where, struct assay_model_generation *g,
                                   struct assay_error *err)
{
    static const char name[] = "eos_token_id";
    const json_t *value = json_object_get(object, name);
    if (!value)
        return ASSAY_OK;
    size_t n = json_is_null(value) ? 0 : json_is_array(value) ? json_array_size(value) : 1;
    if (n > ASSAY_MAX_EOS_TOKENS)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "%s: \"%s\" lists %zu tokens; Assay takes up to %d", where, name, n,
                               ASSAY_MAX_EOS_TOKENS);
    g->n_eos_tokens = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t token;
        enum assay_status st = read_token(json_is_array(value) ? json_array_get(value, i) : value, name, where, &token, err);
        if (st)
            return st;
        if (token != NONE)
            g->eos_tokens[g->n_eos_tokens++] = token;
    }
    return ASSAY_OK;
}

static const char *type_of(const json_t *config, const char *otherwise)
{
    const char *type = json_string_value(json_object_get(config, "model_type"));
    return type ? type : otherwise;
}

static enum assay_status read_object(const json_t *config, const char *model_type, const char *where,
                                     struct assay_model_generation *g, struct assay_error *err)
{
    bool starts = false;
    g->start_token = g->pad_token = NONE;
    g->n_eos_tokens = 0;
    for (size_t i = 0; i < ASSAY_COUNT(classes); i++)
        if (strcmp(classes[i].model_type, model_type) == 0) {
            starts = classes[i].starts;
            g->start_token = classes[i].start_token;
            g->pad_token = classes[i].pad_token;
            g->eos_tokens[0] = classes[i].eos_token;
            g->n_eos_tokens = 1;
        }
    enum assay_status st = read_one(config, "pad_token_id", where, &g->pad_token, err);
    if (!st)
        st = read_ends(config, where, g, err);
    if (!st && starts)
        st = read_one(config, "decoder_start_token_id", where, &g->start_token, err);
    if (!st && starts && g->start_token == NONE)
        g->start_token = g->pad_token == NONE ? 0 : g->pad_token;
    return st;
}

enum assay_status assay_generation_read(const json_t *config, const char *where, struct assay_model_generation *generation,
                                        struct assay_error *err)
{
    enum assay_status st = read_object(config, type_of(config, ""), where, generation, err);
    const char *outer_type = type_of(config, "");
    bool has_text = strcmp(outer_type, "llava") == 0 || strcmp(outer_type, "llava_next") == 0;
    if (st || !has_text)
        return st;
    const json_t *text = json_object_get(config, "text_config");
    struct assay_model_generation inner = {0};
    st = read_object(json_is_object(text) ? text : NULL, type_of(text, "llama"), where, &inner, err);
    if (st)
        return st;
    if (generation->pad_token == NONE)
        generation->pad_token = inner.pad_token;
    if (generation->n_eos_tokens == 0) {
        memcpy(generation->eos_tokens, inner.eos_tokens, sizeof inner.eos_tokens);
        generation->n_eos_tokens = inner.n_eos_tokens;
    }
    return ASSAY_OK;
}

enum assay_status assay_generation_read_folder(const char *folder, struct assay_model_generation *generation,
                                               struct assay_error *err)
{
    struct assay_arena arena;
    json_t *file = NULL;
    enum assay_status st = ASSAY_OK;
    assay_arena_init(&arena);
    const char *where = assay_path_join(&arena, folder, "generation_config.json");
    if (!assay_fs_exists(where))
        goto done;
    st = assay_json_read(where, &file, err);
    if (!st && !json_is_object(file))
        st = assay_error_set(err, ASSAY_INVALID, "%s: it is no JSON object", where);
    if (st)
        goto done;
    generation->pad_token = NONE;
    generation->n_eos_tokens = 0;
    st = read_one(file, "pad_token_id", where, &generation->pad_token, err);
    if (!st)
        st = read_ends(file, where, generation, err);
    if (!st && generation->start_token != NONE && !json_is_null(json_object_get(file, "decoder_start_token_id")))
        st = read_one(file, "decoder_start_token_id", where, &generation->start_token, err);
done:
    json_decref(file);
    assay_arena_release(&arena);
    return st;
}
