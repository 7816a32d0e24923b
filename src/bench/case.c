/* SPDX-License-Identifier: Apache-2.0 */
/* See case.h. */
#include "bench/case.h"

#include "base/hash.h"
#include "graph/weight_only.h"

#include <math.h>
#include <string.h>

/* ---- JSON: a setter and a getter for each kind of field */

static void put_TEXT(json_t *object, const char *name, const char *value)
{
    if (value)
        json_object_set_new(object, name, json_string(value));
}
static void put_INT(json_t *object, const char *name, int64_t value) { json_object_set_new(object, name, json_integer(value)); }
static void put_REAL(json_t *object, const char *name, double value)
{
    if (isfinite(value))
        json_object_set_new(object, name, json_real(value));
}
static void put_BOOL(json_t *object, const char *name, bool value) { json_object_set_new(object, name, json_boolean(value)); }

static enum assay_status get_TEXT(const json_t *object, const char *name, const char **value, struct assay_arena *arena,
                                  struct assay_error *err)
{
    enum assay_status st = assay_json_text(object, name, NULL, value, err);
    if (!st && *value)
        *value = assay_arena_strdup(arena, *value);
    return st;
}
static enum assay_status get_INT(const json_t *object, const char *name, int64_t *value, struct assay_arena *arena,
                                 struct assay_error *err)
{
    (void)arena;
    return assay_json_int(object, name, 0, value, err);
}
static enum assay_status get_REAL(const json_t *object, const char *name, double *value, struct assay_arena *arena,
                                  struct assay_error *err)
{
    (void)arena;
    return assay_json_real(object, name, NAN, value, err);
}
static enum assay_status get_BOOL(const json_t *object, const char *name, bool *value, struct assay_arena *arena,
                                  struct assay_error *err)
{
    (void)arena;
    return assay_json_bool(object, name, false, value, err);
}

json_t *assay_case_to_json(const struct assay_case *c)
{
    json_t *object = json_object(), *inputs = json_array(), *options = json_array();
#define X(kind, name) put_##kind(object, #name, c->name);
    ASSAY_CASE_FIELDS(X)
#undef X
    for (size_t i = 0; i < c->n_inputs; i++) {
        json_t *dims = json_array();
        for (int d = 0; d < c->inputs[i].type.rank; d++)
            json_array_append_new(dims, json_integer(c->inputs[i].type.dims[d]));
        json_array_append_new(inputs, json_pack("{s:s, s:s, s:s, s:o}", "name", c->inputs[i].name, "kind", c->inputs[i].kind,
                                                "dtype", assay_dtype_word((int)c->inputs[i].type.dtype), "dims", dims));
    }
    for (size_t i = 0; i < c->n_options; i++)
        json_array_append_new(options, json_pack("{s:s, s:s}", "name", c->options[i].name, "value", c->options[i].value));
    json_object_set_new(object, "inputs", inputs);
    json_object_set_new(object, "options", options);
    return object;
}

static enum assay_status read_input(struct assay_case_input *input, const json_t *object, struct assay_arena *arena,
                                    struct assay_error *err)
{
    const char *dtype = "";
    enum assay_status st = get_TEXT(object, "name", &input->name, arena, err);
    if (!st)
        st = get_TEXT(object, "kind", &input->kind, arena, err);
    if (!st)
        st = assay_json_text(object, "dtype", "", &dtype, err);
    if (st)
        return st;
    const json_t *dims = json_object_get(object, "dims");
    input->type.dtype = assay_dtype_from_word(dtype);
    input->type.rank = (int)json_array_size(dims);
    if (!input->name || !input->kind || input->type.dtype == ASSAY_NO_DTYPE || json_array_size(dims) > ASSAY_MAX_RANK)
        return assay_error_set(err, ASSAY_INVALID, "a case's input lacks its name, kind, dtype or dims");
    for (int d = 0; d < input->type.rank; d++)
        input->type.dims[d] = json_integer_value(json_array_get(dims, (size_t)d));
    return ASSAY_OK;
}

enum assay_status assay_case_from_json(struct assay_case *c, const json_t *object, struct assay_arena *arena,
                                       struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    memset(c, 0, sizeof *c);
    if (!json_is_object(object))
        return assay_error_set(err, ASSAY_INVALID, "a case is a JSON object");
#define X(kind, name)                                                                                                            \
    if (!st)                                                                                                                     \
        st = get_##kind(object, #name, &c->name, arena, err);
    ASSAY_CASE_FIELDS(X)
#undef X
    const json_t *inputs = json_object_get(object, "inputs"), *options = json_object_get(object, "options");
    c->n_inputs = json_array_size(inputs);
    c->n_options = json_array_size(options);
    c->inputs = assay_arena_array(arena, c->n_inputs, sizeof *c->inputs);
    c->options = assay_arena_array(arena, c->n_options, sizeof *c->options);
    for (size_t i = 0; !st && i < c->n_inputs; i++)
        st = read_input(&c->inputs[i], json_array_get(inputs, i), arena, err);
    for (size_t i = 0; !st && i < c->n_options; i++) {
        st = get_TEXT(json_array_get(options, i), "name", &c->options[i].name, arena, err);
        if (!st)
            st = get_TEXT(json_array_get(options, i), "value", &c->options[i].value, arena, err);
        if (!st && (!c->options[i].name || !c->options[i].value))
            st = assay_error_set(err, ASSAY_INVALID, "a case's option lacks its name or value");
    }
    if (!st && (!c->model_path || !c->platform || !c->scenario || c->threads < 1))
        st = assay_error_set(err, ASSAY_INVALID, "a case lacks its model_path, platform, scenario or threads");
    return st;
}

bool assay_case_converts(const struct assay_case *c)
{
    return c->precision && c->model_precision && strcmp(c->precision, c->model_precision) != 0;
}

bool assay_case_quantizes(const struct assay_case *c)
{
    return assay_case_converts(c) && assay_weight_only_dtype(c->precision) != ASSAY_NO_DTYPE;
}

/* ---- texts */

static const char *dims_text(const struct assay_type *type, struct assay_arena *arena)
{
    const char *text = "";
    for (int d = 0; d < type->rank; d++)
        text = assay_arena_printf(arena, "%s%s%lld", text, d ? "x" : "", (long long)type->dims[d]);
    return text;
}

const char *assay_case_shape(const struct assay_case *c, struct assay_arena *arena)
{
    const char *text = "";
    for (size_t i = 0; i < c->n_inputs; i++)
        text =
            assay_arena_printf(arena, "%s%s%s=%s", text, i ? " " : "", c->inputs[i].name, dims_text(&c->inputs[i].type, arena));
    return c->new_tokens ? assay_arena_printf(arena, "%s new_tokens=%lld", text, (long long)c->new_tokens) : text;
}

const char *assay_case_inputs(const struct assay_case *c, struct assay_arena *arena)
{
    const char *text = "";
    for (size_t i = 0; i < c->n_inputs; i++)
        text = assay_arena_printf(arena, "%s%s=%s ", text, c->inputs[i].name, c->inputs[i].kind);
    return assay_arena_printf(arena, "%sseed=%lld philox4x32-10", text, (long long)c->seed);
}

const char *assay_case_id(const struct assay_case *c, const char *host, struct assay_arena *arena)
{
    struct assay_hash hash;
    char text[ASSAY_HASH_TEXT_SIZE];
    const char *const texts[] = {host,
                                 c->platform,
                                 c->model_id,
                                 c->mode,
                                 c->scenario,
                                 c->precision,
                                 assay_case_shape(c, arena),
                                 c->isa,
                                 c->ep_library,
                                 assay_case_inputs(c, arena)};
    assay_hash_init(&hash);
    for (size_t i = 0; i < ASSAY_COUNT(texts); i++)
        assay_hash_text(&hash, texts[i] ? texts[i] : "");
    assay_hash_u64(&hash, (uint64_t)c->batch);
    assay_hash_u64(&hash, (uint64_t)c->threads);
    assay_hash_u64(&hash, (uint64_t)c->optimization);
    if (c->optimizer)
        assay_hash_text(&hash, c->optimizer);
    for (size_t i = 0; i < c->n_options; i++) {
        assay_hash_text(&hash, c->options[i].name);
        assay_hash_text(&hash, c->options[i].value);
    }
    assay_hash_final(&hash, text);
    return assay_arena_strndup(arena, text, 32);
}

const char *assay_shell_word(struct assay_arena *arena, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:=,+@%-";
    if (*word && strspn(word, plain) == strlen(word))
        return word;
    char *text = assay_arena_alloc(arena, 4 * strlen(word) + 3), *p = text;
    *p++ = '\'';
    for (; *word; word++) {
        if (*word == '\'')
            p = (char *)memcpy(p, "'\\''", 4) + 4;
        else
            *p++ = *word;
    }
    *p = '\'';
    return text;
}

const char *assay_case_command(const struct assay_case *c, struct assay_arena *arena)
{
    const char *text = assay_arena_printf(arena, "assay bench %s --platform %s --scenario %s --batch %lld --threads %lld",
                                          assay_shell_word(arena, c->model_path), c->platform, c->scenario, (long long)c->batch,
                                          (long long)c->threads);
    for (size_t i = 0; i < c->n_inputs; i++) {
        const struct assay_case_input *in = &c->inputs[i];
        const char *shape = assay_arena_printf(arena, "%s=%s", in->name, dims_text(&in->type, arena));
        const char *kind = assay_arena_printf(arena, "%s=%s", in->name, in->kind);
        text = assay_arena_printf(arena, "%s --shape %s --input %s", text, assay_shell_word(arena, shape),
                                  assay_shell_word(arena, kind));
    }
    if (assay_case_converts(c))
        text = assay_arena_printf(arena, "%s --precision %s", text, c->precision);
    if (c->new_tokens)
        text = assay_arena_printf(arena, "%s --new-tokens %lld", text, (long long)c->new_tokens);
    if (c->optimizer)
        text = assay_arena_printf(arena, "%s --mode %s --optimizer %s", text, c->mode, assay_shell_word(arena, c->optimizer));
    if (c->loss)
        text = assay_arena_printf(arena, "%s --loss %s", text, assay_shell_word(arena, c->loss));
    if (c->isa && *c->isa)
        text = assay_arena_printf(arena, "%s --isa %s", text, assay_shell_word(arena, c->isa));
    if (c->ep_library)
        text = assay_arena_printf(arena, "%s --ep-library %s", text, assay_shell_word(arena, c->ep_library));
    if (c->optimization != 3)
        text = assay_arena_printf(arena, "%s --optimization %lld", text, (long long)c->optimization);
    if (strcmp(c->scenario, "server") == 0 && c->latency_bound > 0)
        text = assay_arena_printf(arena, "%s --latency-bound %g", text, c->latency_bound);
    for (size_t i = 0; i < c->n_options; i++)
        text = assay_arena_printf(
            arena, "%s --option %s", text,
            assay_shell_word(arena, assay_arena_printf(arena, "%s=%s", c->options[i].name, c->options[i].value)));
    if (!c->check)
        text = assay_arena_printf(arena, "%s --no-check", text);
    if (c->tolerance > 0)
        text = assay_arena_printf(arena, "%s --tolerance %g", text, c->tolerance);
    return assay_arena_printf(arena, "%s --warmup-time %g --min-time %g --max-time %g --interval %g --seed %lld", text,
                              c->warmup_time, c->min_time, c->max_time, c->interval, (long long)c->seed);
}

const char *assay_case_label(const struct assay_case *c, struct assay_arena *arena)
{
    const char *scenario = strcmp(c->scenario, "single-stream") == 0 ? "" : c->scenario;
    const char *text =
        assay_arena_printf(arena, "%s %s%s%s, batch %lld, %lld thread%s", c->model, c->platform, *scenario ? " " : "", scenario,
                           (long long)c->batch, (long long)c->threads, c->threads == 1 ? "" : "s");
    if (assay_case_converts(c))
        text = assay_arena_printf(arena, "%s, %s", text, c->precision);
    if (c->optimizer)
        text = assay_arena_printf(arena, "%s, training", text);
    if (c->new_tokens)
        text = assay_arena_printf(arena, "%s, %lld new token%s", text, (long long)c->new_tokens, c->new_tokens == 1 ? "" : "s");
    return text;
}

void assay_case_fill_row(const struct assay_case *c, const char *host, struct assay_row *row)
{
    struct assay_arena *arena = &row->arena;
    assay_row_set_text(row, ASSAY_ROW_case_id, assay_case_id(c, host, arena));
    assay_row_set_text(row, ASSAY_ROW_repro_command, assay_case_command(c, arena));
    assay_row_set_text(row, ASSAY_ROW_model, c->model);
    assay_row_set_text(row, ASSAY_ROW_model_id, c->model_id);
    assay_row_set_text(row, ASSAY_ROW_family, c->family);
    assay_row_set_text(row, ASSAY_ROW_modality, c->modality);
    assay_row_set_int(row, ASSAY_ROW_parameters, c->parameters);
    assay_row_set_real(row, ASSAY_ROW_flops, c->flops);
    assay_row_set_real(row, ASSAY_ROW_bytes, c->bytes);
    assay_row_set_text(row, ASSAY_ROW_weights, c->weights);
    assay_row_set_text(row, ASSAY_ROW_mode, c->mode);
    assay_row_set_text(row, ASSAY_ROW_scenario, c->scenario);
    assay_row_set_text(row, ASSAY_ROW_precision, c->precision);
    assay_row_set_int(row, ASSAY_ROW_batch, c->batch);
    assay_row_set_text(row, ASSAY_ROW_shape, assay_case_shape(c, arena));
    assay_row_set_int(row, ASSAY_ROW_threads, c->threads);
    if (c->new_tokens)
        assay_row_set_int(row, ASSAY_ROW_new_tokens, c->new_tokens);
    assay_row_set_text(row, ASSAY_ROW_optimizer, c->optimizer);
    assay_row_set_text(row, ASSAY_ROW_isa, c->isa && *c->isa ? c->isa : NULL);
    assay_row_set_text(row, ASSAY_ROW_suite, c->suite);
    assay_row_set_text(row, ASSAY_ROW_inputs, assay_case_inputs(c, arena));
}
