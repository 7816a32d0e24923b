/* SPDX-License-Identifier: Apache-2.0 */
/* See conformance_parts.h: the data sets of Transformers' layout, and those that say what is generated. */
#include "bench/conformance_parts.h"
#include "bench/plain_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USUAL_BEAMS = 3, MOST_NEW_TOKENS = 1 << 16 };

/* ---- data sets */

const char *assay_conformance_name_in(const char *name, const char *set)
{
    size_t n = strlen(set);
    if (n == 0)
        return name;
    return strncmp(name, set, n) == 0 && name[n] == '.' ? name + n + 1 : NULL;
}

bool assay_conformance_is_input_of(const char *name, const char *set)
{
    const char *rest = assay_conformance_name_in(name, set);
    return rest && !strchr(rest, '.');
}

const char *assay_conformance_set_of(const struct assay_conformance_folder *folder, const char *name)
{
    const char *longest = NULL;
    for (size_t i = 0; i < folder->n_sets; i++)
        if (assay_conformance_name_in(name, folder->sets[i]) && (!longest || strlen(folder->sets[i]) > strlen(longest)))
            longest = folder->sets[i];
    return longest;
}

/* The tensor "SET.NAME"; NULL if there is none. */
static const struct assay_tensor *find(const struct assay_safetensors *file, const char *set, const char *name)
{
    for (size_t i = 0; i < file->n; i++) {
        const char *rest = assay_conformance_name_in(file->entries[i].name, set);
        if (rest && strcmp(rest, name) == 0)
            return &file->entries[i].tensor;
    }
    return NULL;
}

bool assay_conformance_generates(const struct assay_conformance_folder *folder, const char *set)
{
    return find(&folder->out, set, "sequences") != NULL;
}

static bool has_inputs(const struct assay_conformance_folder *folder, const char *set)
{
    for (size_t i = 0; i < folder->in.n; i++)
        if (assay_conformance_is_input_of(folder->in.entries[i].name, set))
            return true;
    return false;
}

/* The set whose inputs a set has: itself, or else the longest that its name begins with; NULL if there is none. */
static const char *inputs_of(const struct assay_conformance_folder *folder, const char *set)
{
    const char *longest = NULL;
    for (size_t i = 0; i < folder->n_sets; i++) {
        const char *other = folder->sets[i];
        if (strncmp(set, other, strlen(other)) == 0 && has_inputs(folder, other) && (!longest || strlen(other) > strlen(longest)))
            longest = other;
    }
    return longest;
}

bool assay_conformance_only_generates(const struct assay_conformance_folder *folder, const char *set)
{
    bool used = false;
    for (size_t i = 0; i < folder->out.n; i++) {
        const char *other = assay_conformance_set_of(folder, folder->out.entries[i].name);
        if (other && strcmp(other, set) == 0)
            return false;
    }
    for (size_t i = 0; i < folder->n_sets; i++)
        if (assay_conformance_generates(folder, folder->sets[i])) {
            const char *inputs = inputs_of(folder, folder->sets[i]);
            used |= inputs && strcmp(inputs, set) == 0;
        }
    return used;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* The set "leftpad" of "leftpad.input_ids", "" of "input_ids". */
static void add_set(struct assay_conformance_folder *folder, struct assay_arena *arena, const char *name)
{
    const char *dot = strrchr(name, '.'), *set = dot ? assay_arena_strndup(arena, name, (size_t)(dot - name)) : "";
    for (size_t i = 0; i < folder->n_sets; i++)
        if (strcmp(folder->sets[i], set) == 0)
            return;
    folder->sets[folder->n_sets++] = set;
}

enum assay_status assay_conformance_open_folder(const char *path, struct assay_arena *arena,
                                                struct assay_conformance_folder *folder, struct assay_error *err)
{
    *folder = (struct assay_conformance_folder){.path = path};
    enum assay_status st = assay_safetensors_open(&folder->in, assay_path_join(arena, path, "inputs.safetensors"), err);
    if (!st)
        st = assay_safetensors_open(&folder->out, assay_path_join(arena, path, "outputs.safetensors"), err);
    if (st)
        return st;
    assay_plain_data(path, &folder->in, &folder->out);
    folder->sets = assay_arena_array(arena, folder->in.n + folder->out.n, sizeof *folder->sets);
    for (size_t i = 0; i < folder->in.n; i++)
        add_set(folder, arena, folder->in.entries[i].name);
    for (size_t i = 0; i < folder->out.n; i++) {
        const char *name = folder->out.entries[i].name, *dot = strrchr(name, '.');
        if (strcmp(dot ? dot + 1 : name, "sequences") == 0)
            add_set(folder, arena, name);
    }
    qsort(folder->sets, folder->n_sets, sizeof *folder->sets, by_text);
    if (!assay_json_read(assay_path_join(arena, path, "meta.json"), &folder->meta_file, NULL))
        folder->meta = json_object_get(folder->meta_file, "info");
    return ASSAY_OK;
}

void assay_conformance_close_folder(struct assay_conformance_folder *folder)
{
    assay_safetensors_release(&folder->in);
    assay_safetensors_release(&folder->out);
    json_decref(folder->meta_file);
}

/* ---- what is generated */

/* info.SET.NAME of meta.json; 0 if it is not there. */
static int64_t meta_number(const struct assay_conformance_folder *folder, const char *set, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(folder->meta, set), name));
}

/* See conformance.h. */
static int64_t beams_of(const struct assay_conformance_folder *folder, const char *set, const char *inputs)
{
    const char *word = strstr(set, "beam");
    int64_t n = meta_number(folder, set, "beams");
    if (n > 0 && (word || strcmp(set, inputs) != 0))
        return n;
    if (!word)
        return find(&folder->out, set, "sequences_scores") ? USUAL_BEAMS : 1;
    for (word += 4; *word == 's' || *word == '_'; word++)
        ;
    n = strtoll(word, NULL, 10);
    if (n <= 0)
        n = meta_number(folder, inputs, "beams");
    return n > 0 ? n : USUAL_BEAMS;
}

/* own: the inputs are the set's own, so that a decoder's prompt among them is meant. */
static bool takes(const struct assay_generator *generator, const char *name, bool own)
{
    const struct assay_graph *encode = assay_generator_graph(generator, ASSAY_PHASE_ENCODE);
    for (int i = 0; encode && i < encode->n_inputs; i++)
        if (strcmp(encode->values[encode->inputs[i]].name, name) == 0)
            return true;
    if (assay_generator_info(generator)->generation.start_token >= 0)
        return own && (strcmp(name, "decoder_input_ids") == 0 || strcmp(name, "decoder_attention_mask") == 0);
    return !encode && (strcmp(name, "input_ids") == 0 || strcmp(name, "attention_mask") == 0);
}

/* What generation does not take is left, and told in a note: position_ids follow from the mask, and another set's inputs are
 * those of a run of the whole. */
static struct assay_request_input *take_inputs(const struct assay_conformance_folder *folder, const char *set, bool own,
                                               const struct assay_generator *generator, struct assay_arena *arena, size_t *n,
                                               const char **note)
{
    struct assay_request_input *inputs = assay_arena_array(arena, folder->in.n + 2, sizeof *inputs);
    *n = 0;
    *note = "";
    for (size_t i = 0; i < folder->in.n; i++) {
        const struct assay_safetensors_entry *entry = &folder->in.entries[i];
        const char *name = assay_conformance_name_in(entry->name, set);
        if (!assay_conformance_is_input_of(entry->name, set))
            continue;
        if (!takes(generator, name, own)) {
            *note = assay_arena_printf(arena, "generation takes no '%s'", name);
            continue;
        }
        inputs[*n].name = name;
        assay_tensor_borrow(&inputs[(*n)++].tensor, &entry->tensor.type, entry->tensor.data);
    }
    return inputs;
}

static const struct assay_tensor *given(const struct assay_request_input *inputs, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(inputs[i].name, name) == 0)
            return &inputs[i].tensor;
    return NULL;
}

/* As Transformers does where no mask is given: tokens that are padding, and no end, are not looked at. `inputs` has room for one
 * more; *mask is the caller's to release. */
static enum assay_status mask_padding(const struct assay_generator *generator, struct assay_request_input *inputs, size_t *n,
                                      struct assay_tensor *mask, struct assay_error *err)
{
    const struct assay_model_generation *generation = &assay_generator_info(generator)->generation;
    const struct assay_tensor *ids = given(inputs, *n, "input_ids");
    bool is_end = false;
    for (int i = 0; i < generation->n_eos_tokens; i++)
        is_end |= generation->eos_tokens[i] == generation->pad_token;
    if (!ids || ids->type.dtype != ASSAY_I64 || is_end || generation->pad_token < 0 || given(inputs, *n, "attention_mask") ||
        !takes(generator, "attention_mask", true))
        return ASSAY_OK;
    enum assay_status st = assay_tensor_alloc(mask, &ids->type, err);
    if (st)
        return st;
    for (int64_t i = 0; i < assay_tensor_count(ids); i++)
        ((int64_t *)mask->data)[i] = ((const int64_t *)ids->data)[i] != generation->pad_token;
    inputs[*n].name = "attention_mask";
    assay_tensor_borrow(&inputs[(*n)++].tensor, &mask->type, mask->data);
    return ASSAY_OK;
}

static enum assay_status open_generator(const char *path, const struct assay_conformance_options *options,
                                        struct assay_generator **generator, struct assay_error *err)
{
    const struct assay_runtime *runtime = options->runtime;
    int threads = options->threads;
    if (runtime->max_threads && threads > runtime->max_threads)
        threads = runtime->max_threads;
    struct assay_generator_options open = {
        .runtime = runtime,
        .compile = {
            .platform = options->platform, .n_threads = threads, .isa = options->isa ? options->isa : "", .optimization = 3}};
    return assay_generator_open(path, &open, generator, err);
}

/* One data set in comparison. */
struct comparison {
    const struct assay_conformance_folder *folder;
    const char *set;
    const struct assay_conformance_options *options;
    struct assay_arena *arena;
    struct assay_conformance_result *result;
    const struct assay_tensor *prompt; /* NULL: the start token */
    int64_t start_token, n_prompt;
    const struct assay_answer *answer;
    bool is_greedy;
    const char *note; /* of its inputs; "" if there is none */
};

/* i64 [batch, prompt and new tokens]. */
static enum assay_status join(const struct comparison *c, struct assay_tensor *all, struct assay_error *err)
{
    const struct assay_answer *answer = c->answer;
    struct assay_type type = assay_type_make(ASSAY_I64, 2, (const int64_t[]){answer->batch, c->n_prompt + answer->n_tokens});
    enum assay_status st = assay_tensor_alloc(all, &type, err);
    if (st)
        return st;
    for (int64_t r = 0; r < answer->batch; r++) {
        int64_t *row = (int64_t *)all->data + r * type.dims[1];
        for (int64_t i = 0; i < c->n_prompt; i++)
            row[i] = c->prompt ? ((const int64_t *)c->prompt->data)[r * c->n_prompt + i] : c->start_token;
        memcpy(row + c->n_prompt, answer->tokens + r * answer->n_tokens, (size_t)answer->n_tokens * sizeof *row);
    }
    return ASSAY_OK;
}

/* What was generated under a name; without data if nothing was. */
static enum assay_status take_generated(const struct comparison *c, const char *name, struct assay_tensor *got,
                                        struct assay_error *err)
{
    const struct assay_answer *answer = c->answer;
    *got = (struct assay_tensor){.data = NULL};
    if (strcmp(name, "sequences") == 0)
        return join(c, got, err);
    if (strcmp(name, "logits") == 0 && c->is_greedy) {
        struct assay_type type =
            assay_type_make(ASSAY_F32, 3, (const int64_t[]){answer->batch, answer->n_tokens, answer->vocabulary});
        assay_tensor_borrow(got, &type, answer->logits);
    }
    if (strcmp(name, "sequences_scores") == 0 && answer->scores) {
        struct assay_type type = assay_type_make(ASSAY_F32, 1, &answer->batch);
        enum assay_status st = assay_tensor_alloc(got, &type, err);
        for (int64_t r = 0; !st && r < answer->batch; r++)
            assay_tensor_set_real(got, r, answer->scores[r]);
        return st;
    }
    return ASSAY_OK;
}

/* Of all outputs of the set. */
static enum assay_status compare(const struct comparison *c, struct assay_error *err)
{
    struct assay_conformance_measure measure = {
        .rtol = c->options->rtol, .atol = c->options->atol, .tolerance = c->options->tolerance};
    enum assay_status first = ASSAY_OK;
    for (size_t i = 0; i < c->folder->out.n; i++) {
        const struct assay_safetensors_entry *entry = &c->folder->out.entries[i];
        const char *set = assay_conformance_set_of(c->folder, entry->name);
        struct assay_error local;
        struct assay_tensor got;
        if (!set || strcmp(set, c->set) != 0)
            continue;
        const char *name = assay_conformance_name_in(entry->name, set);
        enum assay_status st = take_generated(c, name, &got, &local);
        if (!st && got.data)
            st = assay_conformance_compare(c->result, c->arena, &measure, c->set, name, c->note, &got, &entry->tensor, &local);
        else if (!st)
            assay_conformance_skip(c->result, c->arena, c->set, name, &entry->tensor,
                                   "not compared: generation does not give it");
        assay_tensor_release(&got);
        if (st && !first) {
            first = st;
            *err = local;
        }
    }
    return first;
}

/* The prompt that the sequences begin with, and how many tokens follow it. */
static enum assay_status measure_prompt(struct comparison *c, const struct assay_request *request,
                                        const struct assay_tensor *sequences, int64_t *n_new, struct assay_error *err)
{
    const char *name = c->start_token < 0 ? "input_ids" : "decoder_input_ids";
    c->prompt = given(request->inputs, request->n_inputs, name);
    if (c->prompt && (c->prompt->type.dtype != ASSAY_I64 || c->prompt->type.rank != 2))
        return assay_error_set(err, ASSAY_INVALID, "data set '%s': '%s' must be i64[batch,length]", c->set, name);
    c->n_prompt = c->prompt ? c->prompt->type.dims[1] : 1;
    *n_new = sequences->type.rank == 2 ? sequences->type.dims[1] - c->n_prompt : 0;
    if (sequences->type.dtype != ASSAY_I64 || *n_new < 1)
        return assay_error_set(err, ASSAY_INVALID,
                               "data set '%s': its sequences must be i64[batch,length], and longer than their prompt of %lld",
                               c->set, (long long)c->n_prompt);
    return ASSAY_OK;
}

enum assay_status assay_conformance_generate(const struct assay_conformance_folder *folder, const char *set,
                                             const struct assay_conformance_options *options, struct assay_generator **generator,
                                             struct assay_arena *arena, struct assay_conformance_result *result,
                                             struct assay_error *err)
{
    const char *inputs = inputs_of(folder, set);
    struct assay_answer answer = {.batch = 0};
    struct assay_tensor mask = {.data = NULL};
    struct comparison c = {.folder = folder, .set = set, .options = options, .arena = arena, .result = result, .answer = &answer};
    struct assay_request request = {.beams = 1};
    if (!inputs)
        return assay_error_set(err, ASSAY_INVALID, "inputs.safetensors has nothing that '%s.sequences' was made from", set);
    enum assay_status st = *generator ? ASSAY_OK : open_generator(folder->path, options, generator, err);
    if (st)
        return st;
    struct assay_request_input *taken =
        take_inputs(folder, inputs, strcmp(inputs, set) == 0, *generator, arena, &request.n_inputs, &c.note);
    request.inputs = taken;
    request.beams = beams_of(folder, set, inputs);
    request.keep_logits = c.is_greedy = request.beams == 1;
    c.start_token = assay_generator_info(*generator)->generation.start_token;
    st = measure_prompt(&c, &request, find(&folder->out, set, "sequences"), &request.max_new_tokens, err);
    /* All beams may have ended before the search would: that is not told by what it found. */
    int64_t told = meta_number(folder, inputs, "new_tokens");
    if (request.beams > 1 && told > request.max_new_tokens && told <= MOST_NEW_TOKENS)
        request.max_new_tokens = told;
    if (!st)
        st = mask_padding(*generator, taken, &request.n_inputs, &mask, err);
    if (!st)
        st = assay_generator_run(*generator, &request, &answer, err);
    if (!st)
        st = compare(&c, err);
    assay_tensor_release(&mask);
    assay_answer_release(&answer);
    return st;
}
