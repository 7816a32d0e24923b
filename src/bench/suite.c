/* SPDX-License-Identifier: Apache-2.0 */
/* See suite.h. The schema below is the one list of a suite's keys; what libcyaml loads is copied into the suite's arena and freed
 * at once. */
#include "bench/suite.h"

#include "base/fs.h"
#include "model/presets.h"

#include <cyaml/cyaml.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUITE_LIMIT_BYTES = 1 << 20 };

/* A spec as YAML has it: what is missing is NULL. */
struct raw_spec {
    char *name, *ep_library, *optimizer, *loss;
    char **model, **platform, **mode, **scenario, **precision, **isa, **shape, **dim, **input, **option;
    unsigned n_model, n_platform, n_mode, n_scenario, n_precision, n_isa, n_shape, n_dim, n_input, n_option;
    int64_t *batch, *threads, *new_tokens;
    unsigned n_batch, n_threads, n_new_tokens;
    int64_t *seed, *optimization, *memory_limit;
    double *min_time, *max_time, *warmup_time, *interval, *latency_bound, *time_limit, *tolerance;
    bool *check;
};

struct raw_suite {
    char *name, *about;
    struct raw_spec *defaults;
    struct raw_spec *cases;
    unsigned n_cases;
};

static const cyaml_schema_value_t text_value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED)};
static const cyaml_schema_value_t int_value = {CYAML_VALUE_INT(CYAML_FLAG_DEFAULT, int64_t)};

#define TEXTS(key, member)                                                                                                       \
    CYAML_FIELD_SEQUENCE_COUNT(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_spec, member, n_##member, &text_value,  \
                               1, CYAML_UNLIMITED)
#define INTS(key, member)                                                                                                        \
    CYAML_FIELD_SEQUENCE_COUNT(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_spec, member, n_##member, &int_value,   \
                               1, CYAML_UNLIMITED)
#define TEXT(key, structure, member)                                                                                             \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, member, 0, CYAML_UNLIMITED)
#define INT(key, member) CYAML_FIELD_INT_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_spec, member)
#define REAL(key, member) CYAML_FIELD_FLOAT_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_spec, member)

static const cyaml_schema_field_t spec_fields[] = {
    TEXT("name", struct raw_spec, name),
    TEXT("ep-library", struct raw_spec, ep_library),
    TEXT("optimizer", struct raw_spec, optimizer),
    TEXT("loss", struct raw_spec, loss),
    TEXTS("model", model),
    TEXTS("platform", platform),
    TEXTS("mode", mode),
    TEXTS("scenario", scenario),
    TEXTS("precision", precision),
    TEXTS("isa", isa),
    TEXTS("shape", shape),
    TEXTS("dim", dim),
    TEXTS("input", input),
    TEXTS("option", option),
    INTS("batch", batch),
    INTS("threads", threads),
    INTS("new-tokens", new_tokens),
    INT("seed", seed),
    INT("optimization", optimization),
    INT("memory-limit", memory_limit),
    REAL("min-time", min_time),
    REAL("max-time", max_time),
    REAL("warmup-time", warmup_time),
    REAL("interval", interval),
    REAL("latency-bound", latency_bound),
    REAL("time-limit", time_limit),
    REAL("tolerance", tolerance),
    CYAML_FIELD_BOOL_PTR("check", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_spec, check),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t spec_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_spec, spec_fields)};

static const cyaml_schema_field_t suite_fields[] = {
    TEXT("name", struct raw_suite, name),
    TEXT("about", struct raw_suite, about),
    CYAML_FIELD_MAPPING_PTR("defaults", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_suite, defaults, spec_fields),
    CYAML_FIELD_SEQUENCE_COUNT("cases", CYAML_FLAG_POINTER, struct raw_suite, cases, n_cases, &spec_value, 0, CYAML_UNLIMITED),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t suite_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_suite, suite_fields)};

/* libcyaml tells what is wrong line by line, the cause first; a person gets the cause with its place. */
struct complaint {
    char text[400];
};

static void keep_complaint(cyaml_log_t level, void *context, const char *format, va_list args)
{
    struct complaint *complaint = context;
    char line[200];
    if (level < CYAML_LOG_ERROR)
        return;
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\n")] = 0;
    const char *from = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
    if (strncmp(from, "Backtrace", 9) == 0)
        return;
    while (*from == ' ')
        from++;
    size_t at = strlen(complaint->text);
    snprintf(complaint->text + at, sizeof complaint->text - at, "%s%s", at ? "; " : "", from);
}

/* ---- from the raw struct to a spec */

static struct assay_text_list copy_texts(struct assay_arena *arena, char **items, unsigned n)
{
    struct assay_text_list list = {assay_arena_array(arena, n, sizeof *list.items), n};
    for (unsigned i = 0; i < n; i++)
        list.items[i] = assay_arena_strdup(arena, items[i] ? items[i] : "");
    return list;
}

static struct assay_int_list copy_ints(struct assay_arena *arena, const int64_t *items, unsigned n)
{
    return (struct assay_int_list){n ? assay_arena_memdup(arena, items, n * sizeof *items) : NULL, n};
}

static void copy_spec(struct assay_arena *arena, const struct raw_spec *raw, const char *folder, struct assay_spec *spec)
{
    assay_spec_init(spec);
    spec->name = raw->name ? assay_arena_strdup(arena, raw->name) : NULL;
    spec->ep_library = raw->ep_library ? assay_arena_strdup(arena, raw->ep_library) : NULL;
    spec->optimizer = raw->optimizer ? assay_arena_strdup(arena, raw->optimizer) : NULL;
    spec->loss = raw->loss ? assay_arena_strdup(arena, raw->loss) : NULL;
    spec->models = copy_texts(arena, raw->model, raw->n_model);
    for (size_t i = 0; i < spec->models.n; i++) {
        const char *path = assay_path_join(arena, folder, spec->models.items[i]);
        if (!assay_preset_find(spec->models.items[i]) || assay_fs_exists(path))
            spec->models.items[i] = path; /* else a known model's name, which is no path */
    }
    spec->platforms = copy_texts(arena, raw->platform, raw->n_platform);
    spec->modes = copy_texts(arena, raw->mode, raw->n_mode);
    spec->scenarios = copy_texts(arena, raw->scenario, raw->n_scenario);
    spec->precisions = copy_texts(arena, raw->precision, raw->n_precision);
    spec->isas = copy_texts(arena, raw->isa, raw->n_isa);
    spec->shapes = copy_texts(arena, raw->shape, raw->n_shape);
    spec->dims = copy_texts(arena, raw->dim, raw->n_dim);
    spec->inputs = copy_texts(arena, raw->input, raw->n_input);
    spec->options = copy_texts(arena, raw->option, raw->n_option);
    spec->batches = copy_ints(arena, raw->batch, raw->n_batch);
    spec->threads = copy_ints(arena, raw->threads, raw->n_threads);
    spec->new_tokens = copy_ints(arena, raw->new_tokens, raw->n_new_tokens);
    spec->seed = raw->seed ? *raw->seed : ASSAY_SPEC_UNSET;
    spec->optimization = raw->optimization ? *raw->optimization : ASSAY_SPEC_UNSET;
    spec->memory_limit = raw->memory_limit ? *raw->memory_limit : 0;
    spec->min_time = raw->min_time ? *raw->min_time : NAN;
    spec->max_time = raw->max_time ? *raw->max_time : NAN;
    spec->warmup_time = raw->warmup_time ? *raw->warmup_time : NAN;
    spec->interval = raw->interval ? *raw->interval : NAN;
    spec->latency_bound = raw->latency_bound ? *raw->latency_bound : NAN;
    spec->time_limit = raw->time_limit ? *raw->time_limit : NAN;
    spec->tolerance = raw->tolerance ? *raw->tolerance : NAN;
    spec->no_check = raw->check && !*raw->check;
}

static void copy_suite(struct assay_suite *suite, const struct raw_suite *raw, const char *folder, const char *where)
{
    struct assay_arena *arena = &suite->arena;
    struct assay_spec defaults;
    suite->name = assay_arena_strdup(arena, raw->name ? raw->name : assay_path_name(where));
    suite->about = assay_arena_strdup(arena, raw->about ? raw->about : "");
    assay_spec_init(&defaults);
    if (raw->defaults)
        copy_spec(arena, raw->defaults, folder, &defaults);
    suite->n_specs = raw->n_cases;
    suite->specs = assay_arena_array(arena, suite->n_specs, sizeof *suite->specs);
    for (unsigned i = 0; i < raw->n_cases; i++) {
        struct assay_spec own;
        copy_spec(arena, &raw->cases[i], folder, &own);
        suite->specs[i] = defaults;
        assay_spec_override(&suite->specs[i], &own);
        suite->specs[i].suite = suite->name;
    }
}

/* The line where a second YAML document begins, 0 if none does: libcyaml reads the first, and would pass over the others in
 * silence.
 * "---" at the start of a line is a marker wherever it stands. */
static int second_document(const char *text, size_t size_bytes)
{
    bool content = false;
    int line = 1;
    for (size_t at = 0; at < size_bytes; line++) {
        const char *newline = memchr(text + at, '\n', size_bytes - at);
        size_t length = newline ? (size_t)(newline - text) - at : size_bytes - at;
        bool marker = length >= 3 && memcmp(text + at, "---", 3) == 0 && (length == 3 || strchr(" \t\r", text[at + 3]));
        if (marker && content)
            return line;
        content |= marker || (length > 0 && !strchr("#%\r", text[at]));
        at += length + 1;
    }
    return 0;
}

enum assay_status assay_suite_parse(struct assay_suite *suite, const char *text, size_t size_bytes, const char *folder,
                                    const char *where, struct assay_error *err)
{
    struct complaint complaint = {""};
    struct raw_suite *raw = NULL;
    cyaml_config_t config = {.log_fn = keep_complaint,
                             .log_ctx = &complaint,
                             .log_level = CYAML_LOG_ERROR,
                             .mem_fn = cyaml_mem,
                             .flags = CYAML_CFG_NO_ALIAS};
    assay_arena_init(&suite->arena);
    if (memchr(text, 0, size_bytes))
        return assay_error_set(err, ASSAY_INVALID, "%s: it holds a NUL byte and is no text", where);
    int second = second_document(text, size_bytes);
    if (second)
        return assay_error_set(err, ASSAY_INVALID, "%s: a second YAML document begins at line %d; a suite is one", where, second);
    cyaml_err_t failed = cyaml_load_data((const uint8_t *)text, size_bytes, &config, &suite_value, (cyaml_data_t **)&raw, NULL);
    if (failed == CYAML_OK && (!raw || raw->n_cases == 0)) {
        cyaml_free(&config, &suite_value, raw, 0);
        return assay_error_set(err, ASSAY_INVALID, "%s: it holds no case: a suite needs a list `cases`, each with a `model`",
                               where);
    }
    if (failed != CYAML_OK)
        return assay_error_set(err, ASSAY_INVALID, "%s: %s", where, *complaint.text ? complaint.text : cyaml_strerror(failed));
    copy_suite(suite, raw, folder, where);
    cyaml_free(&config, &suite_value, raw, 0);
    return ASSAY_OK;
}

enum assay_status assay_suite_open(struct assay_suite *suite, const char *path, struct assay_error *err)
{
    struct assay_arena arena;
    char *text = NULL;
    size_t size = 0;
    assay_arena_init(&arena);
    assay_arena_init(&suite->arena);
    enum assay_status st = assay_fs_read(path, SUITE_LIMIT_BYTES, &arena, &text, &size, err);
    if (!st)
        st = assay_suite_parse(suite, text, size, assay_path_folder(&arena, path), path, err);
    assay_arena_release(&arena);
    return st;
}

void assay_suite_release(struct assay_suite *suite)
{
    if (suite)
        assay_arena_release(&suite->arena);
}
