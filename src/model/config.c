/* SPDX-License-Identifier: Apache-2.0 */
/* See config.h. The fields common to all of Transformers' configs, and the getters. */
#include "model/config.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What a config may say whatever its family: the fields of Transformers' PretrainedConfig, and others that many families have and
 * inference doesn't depend on. Where a family gives one of them a meaning it asks for it, and this table isn't looked at.
 * A trailing or leading '*' stands for any text. */
enum common { IRRELEVANT, MUST_BE_EMPTY /* null, false, 0, "", [] or {} */ };
static const struct {
    const char *pattern;
    enum common kind;
} common_fields[] = {
    /* about the file */
    {"_name_or_path", IRRELEVANT},
    {"_commit_hash", IRRELEVANT},
    {"_attn_implementation", IRRELEVANT},
    {"_attn_implementation_autoset", IRRELEVANT},
    {"attn_implementation", IRRELEVANT},
    {"architectures", IRRELEVANT},
    {"model_type", IRRELEVANT},
    {"transformers_version", IRRELEVANT},
    {"torch_dtype", IRRELEVANT},
    {"dtype", IRRELEVANT},
    {"tokenizer_class", IRRELEVANT},
    {"finetuning_task", IRRELEVANT},
    {"task_specific_params", IRRELEVANT},
    {"problem_type", IRRELEVANT},
    {"id2label", IRRELEVANT},
    {"label2id", IRRELEVANT},
    {"num_labels", IRRELEVANT},
    {"_num_labels", IRRELEVANT},
    {"xla_device", IRRELEVANT},
    {"language", IRRELEVANT},
    {"name", IRRELEVANT},
    /* how Transformers returns and runs things */
    {"return_dict", IRRELEVANT},
    {"output_attentions", IRRELEVANT},
    {"output_hidden_states", IRRELEVANT},
    {"output_past", IRRELEVANT},
    {"torchscript", IRRELEVANT},
    {"use_bfloat16", IRRELEVANT},
    {"use_cache", IRRELEVANT},
    {"chunk_size_feed_forward", IRRELEVANT},
    {"gradient_checkpointing", IRRELEVANT},
    {"tf_legacy_loss", IRRELEVANT},
    {"is_encoder_decoder", IRRELEVANT},
    {"cross_attention_hidden_size", IRRELEVANT},
    {"bos_token_id", IRRELEVANT},
    {"eos_token_id", IRRELEVANT},
    {"pad_token_id", IRRELEVANT},
    {"sep_token_id", IRRELEVANT},
    {"decoder_start_token_id", IRRELEVANT},
    /* training alone */
    {"initializer_range", IRRELEVANT},
    {"initializer_factor", IRRELEVANT},
    {"*dropout", IRRELEVANT},
    {"dropout_rate", IRRELEVANT},
    {"*dropout_prob", IRRELEVANT},
    {"*_pdrop", IRRELEVANT},
    {"*layerdrop", IRRELEVANT},
    /* generation */
    {"max_length", IRRELEVANT},
    {"min_length", IRRELEVANT},
    {"max_new_tokens", IRRELEVANT},
    {"do_sample", IRRELEVANT},
    {"early_stopping", IRRELEVANT},
    {"num_beams", IRRELEVANT},
    {"num_beam_groups", IRRELEVANT},
    {"num_return_sequences", IRRELEVANT},
    {"diversity_penalty", IRRELEVANT},
    {"length_penalty", IRRELEVANT},
    {"repetition_penalty", IRRELEVANT},
    {"exponential_decay_length_penalty", IRRELEVANT},
    {"no_repeat_ngram_size", IRRELEVANT},
    {"encoder_no_repeat_ngram_size", IRRELEVANT},
    {"bad_words_ids", IRRELEVANT},
    {"begin_suppress_tokens", IRRELEVANT},
    {"suppress_tokens", IRRELEVANT},
    {"forced_bos_token_id", IRRELEVANT},
    {"forced_eos_token_id", IRRELEVANT},
    {"forced_decoder_ids", IRRELEVANT},
    {"prefix", IRRELEVANT},
    {"remove_invalid_values", IRRELEVANT},
    {"return_dict_in_generate", IRRELEVANT},
    {"output_scores", IRRELEVANT},
    {"temperature", IRRELEVANT},
    {"top_k", IRRELEVANT},
    {"top_p", IRRELEVANT},
    {"typical_p", IRRELEVANT},
    /* what changes the graph */
    {"is_decoder", MUST_BE_EMPTY},
    {"add_cross_attention", MUST_BE_EMPTY},
    {"tie_encoder_decoder", MUST_BE_EMPTY},
    {"pruned_heads", MUST_BE_EMPTY},
    {"auto_map", MUST_BE_EMPTY},
    {"quantization_config", MUST_BE_EMPTY},
};

/* ---- the frame */

void assay_config_init(struct assay_config *config, const json_t *object, const char *where, struct assay_arena *arena,
                       struct assay_error *err)
{
    *config = (struct assay_config){.object = object, .path = assay_arena_strdup(arena, where), .arena = arena, .err = err};
    if (object && !json_is_object(object)) {
        config->object = NULL;
        assay_config_fail(config, ASSAY_INVALID, "it is no JSON object");
    }
}

static struct assay_config *outermost(struct assay_config *config)
{
    while (config->parent)
        config = config->parent;
    return config;
}

enum assay_status assay_config_status(const struct assay_config *config)
{
    return outermost((struct assay_config *)config)->status;
}

void assay_config_fail(struct assay_config *config, enum assay_status status, const char *format, ...)
{
    struct assay_config *root = outermost(config);
    if (root->status)
        return;
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    root->status = assay_error_set(root->err, status, "%s: %s", config->path, text);
}

static bool matches(const char *pattern, const char *name)
{
    size_t n = strlen(pattern), m = strlen(name);
    if (*pattern == '*')
        return m >= n - 1 && strcmp(name + m - (n - 1), pattern + 1) == 0;
    if (n && pattern[n - 1] == '*')
        return strncmp(name, pattern, n - 1) == 0;
    return strcmp(name, pattern) == 0;
}

static bool is_empty(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) || (json_is_integer(value) && json_integer_value(value) == 0) ||
           (json_is_string(value) && !*json_string_value(value)) || (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

static bool is_known(const struct assay_config *config, const char *name)
{
    for (size_t i = 0; i < config->n_known; i++)
        if (strcmp(config->known[i], name) == 0)
            return true;
    return false;
}

static void check_field(struct assay_config *config, const char *name, const json_t *value)
{
    if (is_known(config, name))
        return;
    for (size_t i = 0; i < ASSAY_COUNT(common_fields); i++)
        if (matches(common_fields[i].pattern, name)) {
            if (common_fields[i].kind == IRRELEVANT || is_empty(value))
                return;
            assay_config_fail(config, ASSAY_UNSUPPORTED, "\"%s\" is set, which Assay does not build for this family", name);
            return;
        }
    assay_config_fail(config, ASSAY_UNSUPPORTED,
                      "\"%s\" is a field that Assay does not understand for this family, and it may change what is computed",
                      name);
}

enum assay_status assay_config_finish(struct assay_config *config)
{
    const char *name;
    json_t *value;
    if (config->object)
        json_object_foreach((json_t *)config->object, name, value) { check_field(config, name, value); }
    for (struct assay_config *sub = config->first_sub; sub; sub = sub->next_sub)
        assay_config_finish(sub);
    return assay_config_status(config);
}

/* ---- getters */

static void note(struct assay_config *config, const char *name)
{
    if (is_known(config, name))
        return;
    if (config->n_known == config->known_room) {
        size_t room = 2 * config->known_room + 32;
        config->known = assay_arena_grow(config->arena, config->known, config->n_known, room, sizeof *config->known);
        config->known_room = room;
    }
    config->known[config->n_known++] = assay_arena_strdup(config->arena, name);
}

bool c_has(const struct assay_config *config, const char *name)
{
    const json_t *value = config->object ? json_object_get(config->object, name) : NULL;
    return value && !json_is_null(value);
}

const json_t *c_json(struct assay_config *config, const char *name)
{
    note(config, name);
    return c_has(config, name) ? json_object_get(config->object, name) : NULL;
}

struct assay_config *c_sub(struct assay_config *config, const char *name)
{
    for (struct assay_config *sub = config->first_sub; sub; sub = sub->next_sub)
        if (strcmp(sub->name, name) == 0)
            return sub;
    const json_t *object = c_json(config, name);
    struct assay_config *sub = assay_arena_alloc(config->arena, sizeof *sub);
    if (object && !json_is_object(object)) {
        assay_config_fail(config, ASSAY_INVALID, "\"%s\" must be an object", name);
        object = NULL;
    }
    *sub = (struct assay_config){.object = object,
                                 .path = assay_arena_printf(config->arena, "%s: %s", config->path, name),
                                 .parent = config,
                                 .next_sub = config->first_sub,
                                 .name = assay_arena_strdup(config->arena, name),
                                 .arena = config->arena};
    config->first_sub = sub;
    return sub;
}

static int64_t get_int(struct assay_config *config, const char *name, int64_t otherwise, int64_t least, int64_t most)
{
    const json_t *value = c_json(config, name);
    if (!value)
        return otherwise;
    if (!json_is_integer(value)) {
        assay_config_fail(config, ASSAY_INVALID, "\"%s\" must be an integer", name);
        return otherwise;
    }
    int64_t number = json_integer_value(value);
    if (number >= least && number <= most)
        return number;
    assay_config_fail(config, ASSAY_INVALID, "\"%s\" is %lld; it must be between %lld and %lld", name, (long long)number,
                      (long long)least, (long long)most);
    return otherwise;
}

int64_t c_size(struct assay_config *config, const char *name, int64_t otherwise)
{
    return get_int(config, name, otherwise, 1, ASSAY_CONFIG_MAX_SIZE);
}

int64_t c_count(struct assay_config *config, const char *name, int64_t otherwise)
{
    return get_int(config, name, otherwise, 0, ASSAY_CONFIG_MAX_COUNT);
}

int64_t c_int(struct assay_config *config, const char *name, int64_t otherwise)
{
    return get_int(config, name, otherwise, INT32_MIN, INT32_MAX);
}

double c_real(struct assay_config *config, const char *name, double otherwise)
{
    const json_t *value = c_json(config, name);
    if (!value)
        return otherwise;
    if (json_is_number(value) && isfinite(json_number_value(value)))
        return json_number_value(value);
    assay_config_fail(config, ASSAY_INVALID, "\"%s\" must be a number", name);
    return otherwise;
}

bool c_bool(struct assay_config *config, const char *name, bool otherwise)
{
    const json_t *value = c_json(config, name);
    if (!value)
        return otherwise;
    if (json_is_boolean(value))
        return json_is_true(value);
    assay_config_fail(config, ASSAY_INVALID, "\"%s\" must be true or false", name);
    return otherwise;
}

const char *c_text(struct assay_config *config, const char *name, const char *otherwise)
{
    const json_t *value = c_json(config, name);
    if (!value)
        return otherwise;
    if (json_is_string(value))
        return json_string_value(value);
    assay_config_fail(config, ASSAY_INVALID, "\"%s\" must be a text", name);
    return otherwise;
}

int c_ints(struct assay_config *config, const char *name, const int64_t *otherwise, int n_otherwise, int64_t *values)
{
    const json_t *list = c_json(config, name);
    for (int i = 0; i < n_otherwise; i++)
        values[i] = otherwise[i];
    if (!list)
        return n_otherwise;
    size_t n = json_is_array(list) ? json_array_size(list) : 1;
    if (n > ASSAY_CONFIG_MAX_LIST) {
        assay_config_fail(config, ASSAY_INVALID, "\"%s\" has %zu entries, more than %d", name, n, ASSAY_CONFIG_MAX_LIST);
        return n_otherwise;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *entry = json_is_array(list) ? json_array_get(list, i) : list;
        int64_t number = json_integer_value(entry);
        if (!json_is_integer(entry) || number > ASSAY_CONFIG_MAX_SIZE || number < -ASSAY_CONFIG_MAX_SIZE) {
            assay_config_fail(config, ASSAY_INVALID, "\"%s\" must be a list of integers within ±%d", name, ASSAY_CONFIG_MAX_SIZE);
            return n_otherwise;
        }
        values[i] = number;
    }
    return (int)n;
}

static int64_t labels(struct assay_config *config, int64_t otherwise, int64_t least)
{
    const json_t *object = c_json(config, "id2label");
    if (!object)
        return get_int(config, "num_labels", otherwise, least, ASSAY_CONFIG_MAX_SIZE);
    if (json_is_object(object) && json_object_size(object) >= (size_t)least && json_object_size(object) <= ASSAY_CONFIG_MAX_SIZE)
        return (int64_t)json_object_size(object);
    assay_config_fail(config, ASSAY_INVALID, "\"id2label\" must be an object with the classes");
    return otherwise;
}

int64_t c_labels(struct assay_config *config, int64_t otherwise) { return labels(config, otherwise, 1); }

int64_t c_labels_or_none(struct assay_config *config, int64_t otherwise) { return labels(config, otherwise, 0); }

double c_dropout(struct assay_config *config, const char *name, double otherwise)
{
    const json_t *value = c_json(config, name);
    return !value ? otherwise : json_is_number(value) ? json_number_value(value) : NAN;
}

int64_t c_padding_row(struct assay_config *config, int64_t otherwise, int64_t n)
{
    bool is_named = config->object && json_object_get(config->object, "pad_token_id");
    int64_t row = c_int(config, "pad_token_id", is_named ? -1 - n : otherwise >= 0 ? otherwise : -1 - n);
    return row >= 0 ? row : row >= -n ? row + n : -1;
}

/* ---- requirements */

void c_require_bool(struct assay_config *config, const char *name, bool value)
{
    if (c_bool(config, name, value) != value)
        assay_config_fail(config, ASSAY_UNSUPPORTED, "\"%s\" is %s; Assay builds this family with %s only", name,
                          value ? "false" : "true", value ? "true" : "false");
}

void c_require_text(struct assay_config *config, const char *name, const char *value)
{
    const char *given = c_text(config, name, value);
    if (strcmp(given, value) != 0)
        assay_config_fail(config, ASSAY_UNSUPPORTED, "\"%s\" is \"%s\"; Assay builds this family with \"%s\" only", name, given,
                          value);
}

void c_require_int(struct assay_config *config, const char *name, int64_t value)
{
    int64_t given = c_int(config, name, value);
    if (given != value)
        assay_config_fail(config, ASSAY_UNSUPPORTED, "\"%s\" is %lld; Assay builds this family with %lld only", name,
                          (long long)given, (long long)value);
}

void c_require_null(struct assay_config *config, const char *name)
{
    const json_t *value = c_json(config, name);
    if (value && !is_empty(value))
        assay_config_fail(config, ASSAY_UNSUPPORTED, "\"%s\" is set, which Assay does not build for this family", name);
}

void c_ignore(struct assay_config *config, const char *name, ...)
{
    va_list args;
    va_start(args, name);
    for (; name; name = va_arg(args, const char *))
        note(config, name);
    va_end(args);
}
