/* SPDX-License-Identifier: Apache-2.0 */
/* See conformance.h: one test. Many tests, in a worker process, are in conformance_worker.c. */
#include "bench/conformance.h"

#include "base/fs.h"
#include "bench/conformance_data.h"
#include "bench/conformance_parts.h"
#include "bench/plain_data.h"
#include "graph/infer.h"
#include "graph/onnx.h"
#include "graph/op.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One unit in the last place of bf16, at most: ONNX's test data are truncated where its standard rounds. */
static const double BF16_UNIT = 1.0 / 128;

/* A test in execution: one data set of it. */
struct session {
    const char *folder, *set; /* set: "" in the safetensors layout, the prefix of its tensors' names in Transformers' */
    const struct assay_conformance_folder *files; /* of Transformers' layout; else NULL */
    const char *note;                             /* of its inputs; "" if there is none */
    const struct assay_conformance_options *options;
    struct assay_arena *arena;
    struct assay_conformance_result *result;
    struct assay_graph *graph; /* with this data set's dimensions */
    struct assay_program *program;
    struct assay_tensor *inputs;      /* [n_inputs] */
    struct assay_tensor *wanted;      /* [n_outputs]; those without data are not compared */
    struct assay_safetensors in, out; /* of the safetensors layout with a model.onnx, which the tensors borrow */
};

/* ---- the model */

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static size_t count_nodes(const struct assay_graph *graph)
{
    size_t n = (size_t)graph->n_nodes;
    for (const struct assay_graph *body = graph->first_body; body; body = body->next_body)
        n += count_nodes(body);
    return n;
}

static void list_ops(const struct assay_graph *graph, const char **ops, size_t *n)
{
    for (int i = 0; i < graph->n_nodes; i++)
        ops[(*n)++] = graph->nodes[i]->type;
    for (const struct assay_graph *body = graph->first_body; body; body = body->next_body)
        list_ops(body, ops, n);
}

static void note_ops(struct assay_conformance_result *result, const struct assay_graph *graph, struct assay_arena *arena)
{
    size_t n = 0;
    const char **ops = assay_alloc((count_nodes(graph) + 1) * sizeof *ops);
    list_ops(graph, ops, &n);
    qsort(ops, n, sizeof *ops, by_text);
    result->ops = assay_arena_array(arena, n, sizeof *result->ops);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(ops[i], ops[i - 1]) != 0)
            result->ops[result->n_ops++] = assay_arena_strdup(arena, ops[i]);
    free(ops);
}

/* A node that draws random numbers, itself or in a body. */
static bool is_random(const struct assay_graph *graph, const struct assay_node *node)
{
    if (assay_op_is_random(graph, node))
        return true;
    for (int i = 0; i < node->n_attrs; i++) {
        const struct assay_graph *body = node->attrs[i].graph;
        for (int k = 0; body && k < body->n_nodes; k++)
            if (is_random(body, body->nodes[k]))
                return true;
    }
    return false;
}

/* random[n_values]: values that depend on random numbers. The graph is sorted. */
static void spread_random(const struct assay_graph *graph, bool *random)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        bool found = is_random(graph, node);
        for (int k = 0; k < node->n_inputs; k++)
            found |= node->inputs[k] >= 0 && random[node->inputs[k]];
        for (int k = 0; k < node->n_outputs; k++)
            if (node->outputs[k] >= 0)
                random[node->outputs[k]] = found;
    }
}

/* ---- the data */

/* PREFIX_0.pb, PREFIX_1.pb … as far as there are any. */
static enum assay_status load_numbered(const struct session *s, const char *prefix, struct assay_tensor *tensors, int n,
                                       struct assay_error *err)
{
    for (int i = 0; i <= n; i++) {
        const char *name = assay_arena_printf(s->arena, "%s/%s_%d.pb", s->set, prefix, i);
        const char *path = assay_path_join(s->arena, s->folder, name);
        if (!assay_fs_exists(path))
            return ASSAY_OK;
        if (i == n)
            return assay_error_set(err, ASSAY_INVALID, "%s belongs to no %s: the model has %d", name, prefix, n);
        enum assay_status st = assay_onnx_load_tensor(path, &tensors[i], err);
        if (st)
            return st;
    }
    return ASSAY_OK;
}

/* Tensors of a safetensors file, borrowed, in the order of the graph's values `numbers`. */
static enum assay_status load_named(const struct session *s, const struct assay_safetensors *file, const char *name,
                                    const int *numbers, int n, struct assay_tensor *tensors, struct assay_error *err)
{
    size_t n_used = 0;
    for (int i = 0; i < n; i++) {
        const struct assay_tensor *found = assay_safetensors_find(file, s->graph->values[numbers[i]].name);
        if (found) {
            assay_tensor_borrow(&tensors[i], &found->type, found->data);
            n_used++;
        }
    }
    for (size_t k = 0; k < file->n && n_used < file->n; k++) {
        bool known = false;
        for (int i = 0; i < n; i++)
            known |= strcmp(s->graph->values[numbers[i]].name, file->entries[k].name) == 0;
        if (!known)
            return assay_error_set(err, ASSAY_INVALID, "the model has nothing named '%s', which %s holds", file->entries[k].name,
                                   name);
    }
    return ASSAY_OK;
}

/* ---- Transformers' layout: several data sets in one file, told by prefixes of the inputs' names */

static enum assay_status take_inputs(const struct session *s, struct assay_error *err)
{
    const struct assay_graph *graph = s->graph;
    for (int i = 0; i < graph->n_inputs; i++) {
        const char *name = graph->values[graph->inputs[i]].name;
        const char *full = *s->set ? assay_arena_printf(s->arena, "%s.%s", s->set, name) : name;
        const struct assay_tensor *found = assay_safetensors_find(&s->files->in, full);
        if (!found)
            return assay_error_set(err, ASSAY_INVALID, "inputs.safetensors has no '%s', which the model needs", full);
        enum assay_dtype given = found->type.dtype, declared = graph->values[graph->inputs[i]].type.dtype;
        assay_tensor_borrow(&s->inputs[i], &found->type, found->data);
        /* PyTorch takes masks and token ids of any integer type, and of booleans. */
        if (given != declared && !assay_dtype_is_float(given) && !assay_dtype_is_float(declared)) {
            enum assay_status st = assay_tensor_convert(&s->inputs[i], found, declared, err);
            if (st)
                return st;
        }
    }
    return ASSAY_OK;
}

static void take_outputs(const struct session *s)
{
    const struct assay_graph *graph = s->graph;
    for (size_t k = 0; k < s->files->out.n; k++) {
        const struct assay_safetensors_entry *entry = &s->files->out.entries[k];
        const char *set = assay_conformance_set_of(s->files, entry->name);
        bool found = false;
        if (!set || strcmp(set, s->set) != 0)
            continue;
        const char *name = assay_conformance_name_in(entry->name, set);
        for (int i = 0; i < graph->n_outputs && !found; i++) {
            found = strcmp(graph->values[graph->outputs[i]].name, name) == 0;
            if (found)
                assay_tensor_borrow(&s->wanted[i], &entry->tensor.type, entry->tensor.data);
        }
        if (!found)
            assay_conformance_skip(s->result, s->arena, s->set, name, &entry->tensor, "not compared: the model does not give it");
    }
}

static enum assay_status load_safetensors(struct session *s, struct assay_error *err)
{
    if (s->files) {
        take_outputs(s);
        return take_inputs(s, err);
    }
    enum assay_status st = assay_safetensors_open(&s->in, assay_path_join(s->arena, s->folder, "inputs.safetensors"), err);
    if (!st)
        st = assay_safetensors_open(&s->out, assay_path_join(s->arena, s->folder, "outputs.safetensors"), err);
    if (!st)
        st = load_named(s, &s->in, "inputs.safetensors", s->graph->inputs, s->graph->n_inputs, s->inputs, err);
    if (!st)
        st = load_named(s, &s->out, "outputs.safetensors", s->graph->outputs, s->graph->n_outputs, s->wanted, err);
    return st == ASSAY_ABSENT ? assay_error_set(err, ASSAY_INVALID,
                                                "%s has no test data: neither test_data_set_0 nor inputs.safetensors "
                                                "and outputs.safetensors",
                                                s->folder)
                              : st;
}

static enum assay_status load_data(struct session *s, struct assay_error *err)
{
    const struct assay_graph *graph = s->graph;
    s->inputs = assay_arena_array(s->arena, (size_t)graph->n_inputs, sizeof *s->inputs);
    s->wanted = assay_arena_array(s->arena, (size_t)graph->n_outputs, sizeof *s->wanted);
    enum assay_status st;
    if (*s->set && !s->files) {
        st = load_numbered(s, "input", s->inputs, graph->n_inputs, err);
        if (!st)
            st = load_numbered(s, "output", s->wanted, graph->n_outputs, err);
    } else {
        st = load_safetensors(s, err);
    }
    if (st)
        return st;
    for (int i = 0; i < graph->n_inputs; i++)
        if (!s->inputs[i].data)
            return assay_error_set(err, ASSAY_INVALID, "there is no data for input '%s'", graph->values[graph->inputs[i]].name);
    for (int i = 0; i < graph->n_outputs; i++)
        if (s->wanted[i].data)
            return ASSAY_OK;
    return assay_error_set(err, ASSAY_INVALID, "there is no output to compare with");
}

/* ONNX's test data stores bf16 as u16, since numpy has no bf16: the bits are meant. */
static void read_as(struct assay_tensor *tensor, enum assay_dtype dtype)
{
    if (tensor->data && tensor->type.dtype == ASSAY_U16 && dtype == ASSAY_BF16)
        tensor->type.dtype = ASSAY_BF16;
}

/* Gives the graph's inputs the data's types. A shape that contradicts the model's is noted, not refused: some of ONNX's own tests
 * declare one and give another. */
static enum assay_status set_types(struct session *s, struct assay_error *err)
{
    struct assay_graph *graph = s->graph;
    for (int i = 0; i < graph->n_inputs; i++) {
        struct assay_value *value = &graph->values[graph->inputs[i]];
        struct assay_type declared = value->type;
        char given_text[256], declared_text[256];
        if (declared.dtype)
            read_as(&s->inputs[i], declared.dtype);
        const struct assay_type *given = &s->inputs[i].type;
        assay_type_text(given, given_text, sizeof given_text);
        assay_type_text(&declared, declared_text, sizeof declared_text);
        if (declared.dtype && declared.dtype != given->dtype)
            return assay_error_set(err, ASSAY_INVALID, "input '%s' is %s in the data, but %s in the model", value->name,
                                   given_text, declared_text);
        bool fits = declared.rank < 0 || declared.rank == given->rank;
        for (int d = 0; fits && d < declared.rank; d++)
            fits = declared.dims[d] < 0 || declared.dims[d] == given->dims[d];
        if (!fits)
            s->note = assay_arena_printf(s->arena, "input '%s' is %s in the data, %s in the model", value->name, given_text,
                                         declared_text);
        if (declared.rank != given->rank)
            value->dim_names = NULL;
        value->type = *given;
    }
    return assay_graph_bind(graph, NULL, 0, err);
}

/* ---- the run */

static enum assay_status run_program(struct session *s, struct assay_error *err)
{
    const struct assay_runtime *runtime = s->options->runtime;
    int threads = s->options->threads;
    if (runtime->max_threads && threads > runtime->max_threads)
        threads = runtime->max_threads;
    struct assay_compile_options options = {
        .platform = s->options->platform, .n_threads = threads, .isa = s->options->isa ? s->options->isa : "", .optimization = 3};
    enum assay_status st = runtime->compile(s->graph, &options, &s->program, err);
    if (!st)
        st = runtime->bind(s->program, s->inputs, err);
    if (!st)
        st = runtime->run(s->program, err);
    return st;
}

void assay_conformance_skip(struct assay_conformance_result *result, struct assay_arena *arena, const char *set, const char *name,
                            const struct assay_tensor *wanted, const char *note)
{
    result->outputs = assay_arena_grow(arena, result->outputs, result->n_outputs, result->n_outputs + 1, sizeof *result->outputs);
    result->outputs[result->n_outputs++] = (struct assay_conformance_output){.set = assay_arena_strdup(arena, set),
                                                                             .name = assay_arena_strdup(arena, name),
                                                                             .n_elements = assay_tensor_count(wanted),
                                                                             .note = note};
}

enum assay_status assay_conformance_compare(struct assay_conformance_result *result, struct assay_arena *arena,
                                            const struct assay_conformance_measure *measure, const char *set, const char *name,
                                            const char *note, const struct assay_tensor *got, const struct assay_tensor *wanted,
                                            struct assay_error *err)
{
    assay_conformance_skip(result, arena, set, name, wanted, note);
    struct assay_conformance_output *output = &result->outputs[result->n_outputs - 1];
    if (!assay_type_equal(&got->type, &wanted->type)) {
        char a[256], b[256];
        output->n_wrong = output->n_elements ? output->n_elements : 1;
        output->note = assay_arena_printf(arena, "it is %s, wanted %s", assay_type_text(&got->type, a, sizeof a),
                                          assay_type_text(&wanted->type, b, sizeof b));
        return assay_error_set(err, ASSAY_MISMATCH, "output '%s': %s", output->name, output->note);
    }
    bool exact = !assay_dtype_is_float(wanted->type.dtype);
    double atol = measure->atol, rtol = measure->rtol;
    if (wanted->type.dtype == ASSAY_BF16 && rtol < BF16_UNIT)
        rtol = BF16_UNIT;
    if (measure->tolerance > 0) {
        /* The measure is the tensor's largest magnitude: an element near 0 has the errors of what it is the sum of. */
        struct assay_difference scale = assay_tensor_compare(got, wanted, 0, 0);
        atol = isfinite(scale.max_abs) && scale.max_rel > 0 ? measure->tolerance * scale.max_abs / scale.max_rel : 0;
        rtol = 0;
    }
    atol = fmax(atol, measure->noise);
    struct assay_difference d = assay_tensor_compare(got, wanted, exact ? 0 : atol, exact ? 0 : rtol);
    output->max_abs = d.max_abs;
    output->max_rel = d.max_rel;
    output->n_wrong = d.n_wrong;
    if (d.n_wrong == 0)
        return ASSAY_OK;
    return assay_error_set(err, ASSAY_MISMATCH, "output '%s': %lld of %lld elements are wrong; element %lld is %.9g, wanted %.9g",
                           output->name, (long long)d.n_wrong, (long long)output->n_elements, (long long)d.index,
                           assay_tensor_real(got, d.index), assay_tensor_real(wanted, d.index));
}

/* Compares output i; a difference becomes the result's status, but does not end the comparison. */
static enum assay_status compare_output(struct session *s, int i, bool random, struct assay_error *err)
{
    struct assay_tensor *wanted = &s->wanted[i], got;
    enum assay_status st = s->options->runtime->output(s->program, i, &got, err);
    if (st)
        return st;
    read_as(wanted, got.type.dtype);
    const char *name = s->graph->values[s->graph->outputs[i]].name, *note = s->note;
    if (random && assay_type_equal(&got.type, &wanted->type)) {
        assay_conformance_skip(s->result, s->arena, s->set, name, wanted, "random: dtype and shape alone are compared");
        return ASSAY_OK;
    }
    struct assay_conformance_measure measure = {
        .rtol = s->options->rtol, .atol = s->options->atol, .tolerance = s->files ? s->options->tolerance : 0};
    return assay_conformance_compare(s->result, s->arena, &measure, s->set, name, note, &got, wanted, err);
}

static enum assay_status compare(struct session *s, struct assay_error *err)
{
    const struct assay_graph *graph = s->graph;
    bool *random = assay_alloc(((size_t)graph->n_values + 1) * sizeof *random);
    spread_random(graph, random);
    enum assay_status first = ASSAY_OK;
    for (int i = 0; i < graph->n_outputs; i++) {
        struct assay_error local;
        if (!s->wanted[i].data)
            continue;
        enum assay_status st = compare_output(s, i, random[graph->outputs[i]], &local);
        if (st && !first) {
            first = st;
            *err = local;
        }
    }
    free(random);
    return first;
}

static enum assay_status run_set(struct session *s, const struct assay_graph *model, struct assay_error *err)
{
    s->graph = assay_graph_clone(model);
    enum assay_status st = load_data(s, err);
    if (!st)
        st = set_types(s, err);
    if (!st)
        st = run_program(s, err);
    if (!st)
        st = compare(s, err);
    s->options->runtime->release(s->program);
    for (int i = 0; s->inputs && i < s->graph->n_inputs; i++)
        assay_tensor_release(&s->inputs[i]);
    for (int i = 0; s->wanted && i < s->graph->n_outputs; i++)
        assay_tensor_release(&s->wanted[i]);
    assay_safetensors_release(&s->in);
    assay_safetensors_release(&s->out);
    assay_graph_close(s->graph);
    return st;
}

/* ---- Transformers' layout, all sets */

/* Flags of a data set, as keyword arguments that were true when Transformers ran: meta.json, info.extra_kwargs.SET. */
static const char **flags_of(const struct session *s, size_t *n)
{
    const char *name;
    json_t *value, *set = json_object_get(json_object_get(s->files->meta, "extra_kwargs"), s->set);
    const char **flags = assay_arena_array(s->arena, json_object_size(set) + 1, sizeof *flags);
    *n = 0;
    json_object_foreach(set, name, value)
    {
        if (json_is_true(value))
            flags[(*n)++] = name;
    }
    return flags;
}

/* One data set: the model is built with just the inputs that the set has, and all its outputs. */
static enum assay_status run_config_set(struct session *s, struct assay_error *err)
{
    static const char *const all[] = {"*"};
    const struct assay_safetensors *in = &s->files->in;
    const char **inputs = assay_arena_array(s->arena, in->n + 1, sizeof *inputs);
    struct assay_model_options options = {.inputs = inputs, .outputs = all, .n_outputs = 1};
    struct assay_graph *model;
    for (size_t i = 0; i < in->n; i++)
        if (assay_conformance_is_input_of(in->entries[i].name, s->set))
            inputs[options.n_inputs++] = assay_conformance_name_in(in->entries[i].name, s->set);
    options.flags = flags_of(s, &options.n_flags);
    enum assay_status st = assay_model_open(s->folder, &options, &model, NULL, err);
    if (st)
        return st;
    if (s->result->n_ops == 0)
        note_ops(s->result, model, s->arena);
    st = run_set(s, model, err);
    assay_graph_close(model);
    return st;
}

static enum assay_status generate_set(const struct session *s, struct assay_generator **generator, struct assay_error *err)
{
    enum assay_status st = assay_conformance_generate(s->files, s->set, s->options, generator, s->arena, s->result, err);
    if (*generator && s->result->n_ops == 0)
        note_ops(s->result, assay_generator_graph(*generator, ASSAY_PHASE_DECODE), s->arena);
    return st;
}

/* The sets in turn: the first failure decides, and ends them. */
static enum assay_status run_config(const char *path, const struct assay_conformance_options *options, struct assay_arena *arena,
                                    struct assay_conformance_result *result, struct assay_error *err)
{
    struct assay_conformance_folder folder;
    struct assay_generator *generator = NULL;
    enum assay_status st = assay_conformance_open_folder(path, arena, &folder, err);
    for (size_t k = 0; k < folder.n_sets && !st; k++) {
        struct session s = {.folder = path,
                            .set = folder.sets[k],
                            .note = "",
                            .files = &folder,
                            .options = options,
                            .arena = arena,
                            .result = result};
        if (assay_conformance_generates(&folder, s.set))
            st = generate_set(&s, &generator, err);
        else if (!assay_conformance_only_generates(&folder, s.set))
            st = run_config_set(&s, err);
    }
    for (size_t k = 0; k < folder.out.n && !st; k++)
        if (!assay_conformance_set_of(&folder, folder.out.entries[k].name))
            assay_conformance_skip(result, arena, "", folder.out.entries[k].name, &folder.out.entries[k].tensor,
                                   "not compared: there are no inputs for it");
    assay_generator_close(generator);
    assay_conformance_close_folder(&folder);
    return st;
}

/* All data sets: the first failure decides. */
static enum assay_status run_sets(const char *folder, const struct assay_conformance_options *options, struct assay_arena *arena,
                                  struct assay_conformance_result *result, struct assay_error *err)
{
    struct assay_graph *model;
    char **names;
    size_t n_names;
    bool is_onnx = assay_fs_exists(assay_path_join(arena, folder, "model.onnx"));
    if (options->training)
        return assay_conformance_run_training(folder, options, arena, result, err);
    if (!is_onnx && assay_conformance_is_data(folder))
        return assay_conformance_run_data(folder, arena, result, err);
    if (!is_onnx && assay_model_is_folder(folder))
        return run_config(folder, options, arena, result, err);
    enum assay_status st = assay_onnx_load(assay_path_join(arena, folder, "model.onnx"), &model, err);
    if (st)
        return st;
    note_ops(result, model, arena);
    st = assay_fs_list(folder, arena, &names, &n_names, err);
    int n_sets = 0;
    for (size_t i = 0; i < n_names && !st; i++) {
        if (strncmp(names[i], "test_data_set_", 14) != 0 || !assay_fs_is_folder(assay_path_join(arena, folder, names[i])))
            continue;
        struct session s = {.folder = folder, .set = names[i], .note = "", .options = options, .arena = arena, .result = result};
        st = run_set(&s, model, err);
        n_sets++;
    }
    if (!st && n_sets == 0) {
        struct session s = {.folder = folder, .set = "", .note = "", .options = options, .arena = arena, .result = result};
        st = run_set(&s, model, err);
    }
    assay_graph_close(model);
    return st;
}

void assay_conformance_run(const char *folder, const struct assay_conformance_options *options, struct assay_arena *arena,
                           struct assay_conformance_result *result)
{
    struct assay_error err = {0};
    *result = (struct assay_conformance_result){.reason = ""};
    result->status = run_sets(folder, options, arena, result, &err);
    /* What is not there or cannot be read is a fault of the folder. */
    if (result->status == ASSAY_ABSENT || result->status == ASSAY_IO)
        result->status = ASSAY_INVALID;
    if (!result->status)
        return;
    size_t n = strlen(folder);
    bool repeats_folder = strncmp(err.message, folder, n) == 0 && err.message[n] == '/';
    result->reason = assay_arena_strdup(arena, repeats_folder ? err.message + n + 1 : err.message);
}

/* ---- trees */

struct found {
    bool training;
    struct assay_arena *arena;
    const char **folders;
    size_t n, room;
};

/* Of Transformers' layout, where no model.onnx stands beside. */
static bool is_config_test(const struct found *found, const char *path, const char *name)
{
    if (strcmp(name, "config.json") != 0)
        return false;
    const char *folder = assay_path_folder(found->arena, path);
    return !assay_fs_exists(assay_path_join(found->arena, folder, "model.onnx")) &&
           assay_fs_exists(assay_path_join(found->arena, folder, "inputs.safetensors"));
}

static enum assay_status note_folder(void *context, const char *path, struct assay_error *err)
{
    struct found *found = context;
    (void)err;
    const char *name = assay_path_name(path);
    if (found->training ? strcmp(name, "train.safetensors") != 0
                        : strcmp(name, "model.onnx") != 0 && !is_config_test(found, path, name))
        return ASSAY_OK;
    if (found->n == found->room) {
        size_t room = 2 * found->room + 64;
        found->folders = assay_arena_grow(found->arena, found->folders, found->n, room, sizeof *found->folders);
        found->room = room;
    }
    found->folders[found->n++] = assay_path_folder(found->arena, path);
    return ASSAY_OK;
}

enum assay_status assay_conformance_find(const char *root, bool training, struct assay_arena *arena, const char ***folders,
                                         size_t *n, struct assay_error *err)
{
    struct found found = {.training = training, .arena = arena};
    enum assay_status st = assay_fs_walk(root, note_folder, &found, err);
    if (st)
        return st;
    if (found.n == 0)
        return assay_error_set(err, ASSAY_ABSENT, "there is no test in %s or below", root);
    qsort(found.folders, found.n, sizeof *found.folders, by_text);
    *folders = found.folders;
    *n = found.n;
    return ASSAY_OK;
}
