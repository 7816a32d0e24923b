/* SPDX-License-Identifier: Apache-2.0 */
/* See task.h. */
#include "train/task.h"

#include "base/fs.h"
#include "graph/emit.h"
#include "graph/infer.h"
#include "model/family.h"
#include "model/presets.h"
#include "train/initial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char loss_name[] = "assay.loss";

/* ---- the model */

/* A file that is there and no model is none of the command line's faults. */
static enum assay_status as_unreadable(enum assay_status st, struct assay_error *err)
{
    if (st == ASSAY_INVALID && err)
        err->status = ASSAY_IO;
    return st == ASSAY_INVALID ? ASSAY_IO : st;
}

static enum assay_status find_config(struct assay_task *task, const struct assay_task_options *o, struct assay_error *err)
{
    const struct assay_preset *preset = assay_preset_find(o->model);
    const struct assay_architecture *architecture;
    if (assay_model_is_folder(o->model))
        return as_unreadable(assay_json_read(assay_path_join(&task->arena, o->model, "config.json"), &task->config, err), err);
    if (assay_fs_exists(o->model))
        return ASSAY_OK;
    if (preset)
        task->config = assay_preset_config(preset);
    else if (assay_family_find(o->model, &architecture))
        task->config = json_pack("{ss s[s]}", "model_type", architecture->model_type, "architectures", architecture->name);
    else
        return assay_error_set(err, ASSAY_ABSENT,
                               "there is no file '%s', and no known model or architecture of that name; `assay models --known` "
                               "lists those that there are",
                               o->model);
    return ASSAY_OK;
}

/* As many classes as the dataset has, or tokens, unless somebody said how many. */
static void set_sizes(struct assay_task *task)
{
    const struct assay_dataset *dataset = task->dataset;
    const char *name = dataset->kind->n_bytes ? "vocab_size" : "num_labels";
    if (dataset->n_classes > 0)
        json_object_set_new(task->config, name, json_integer(dataset->n_classes));
    if (!dataset->kind->n_bytes) {
        json_object_del(task->config, "id2label");
        json_object_del(task->config, "label2id");
    }
}

static enum assay_status set_fields(struct assay_task *task, const struct assay_task_options *o, struct assay_error *err)
{
    for (size_t i = 0; i < o->n_fields; i++) {
        if (!strchr(o->fields[i], '=') || strchr(o->fields[i], ' '))
            return assay_error_set(err, ASSAY_INVALID, "'%s' is no field of a config: write NAME=VALUE without spaces",
                                   o->fields[i]);
        assay_preset_set(task->config, o->fields[i]);
    }
    return ASSAY_OK;
}

static enum assay_status open_model(struct assay_task *task, const struct assay_task_options *o, bool training,
                                    struct assay_graph **graph, struct assay_error *err)
{
    struct assay_model_options options = {.training = training,
                                          .no_dropout = o->no_dropout,
                                          .seed = o->seed,
                                          .weights = o->random ? ASSAY_WEIGHTS_RANDOM : ASSAY_WEIGHTS_AUTO};
    bool is_folder = assay_model_is_folder(o->model);
    bool from_config = task->config && (o->n_fields || o->random || !is_folder);
    enum assay_status st = from_config ? assay_model_build(task->config, o->model, &options, graph, &task->info, err)
                                       : as_unreadable(assay_model_open(o->model, &options, graph, &task->info, err), err);
    if (!st && strcmp(task->info.weights, "random") == 0)
        task->is_random = true;
    return st;
}

/* ---- inputs */

static const char *const usual_names[][2] = {
    {"pixel_values", "image"}, {"x", "image"},        {"input", "image"},  {"data", "image"},
    {"x", "features"},         {"input", "features"}, {"labels", "label"}, {"input_features", "features"},
    {"input_values", "audio"}, {"x", "audio"},        {"target", "label"},
};

static int find_tensor(const struct assay_dataset *dataset, const char *name, size_t n)
{
    for (int i = 0; i < dataset->n_tensors; i++)
        if (strlen(dataset->tensors[i].name) == n && strncmp(dataset->tensors[i].name, name, n) == 0)
            return i;
    return -1;
}

/* The tensor for an input: the one asked for, of the same name, or of a name that means it; -1 = none, -2 = an unknown one. */
static int tensor_for(const struct assay_dataset *dataset, const struct assay_task_options *o, const char *input)
{
    size_t n = strlen(input);
    for (size_t i = 0; i < o->n_inputs; i++)
        if (strncmp(o->inputs[i], input, n) == 0 && o->inputs[i][n] == '=') {
            int found = find_tensor(dataset, o->inputs[i] + n + 1, strlen(o->inputs[i] + n + 1));
            return found >= 0 ? found : -2;
        }
    int found = find_tensor(dataset, input, n);
    for (size_t i = 0; i < ASSAY_COUNT(usual_names) && found < 0; i++)
        if (strcmp(usual_names[i][0], input) == 0)
            found = find_tensor(dataset, usual_names[i][1], strlen(usual_names[i][1]));
    return found;
}

static const char *tensor_names(struct assay_task *task)
{
    const char *list = "";
    for (int i = 0; i < task->dataset->n_tensors; i++)
        list = assay_arena_printf(&task->arena, "%s%s%s", list, i ? ", " : "", task->dataset->tensors[i].name);
    return list;
}

/* The type of a batch of a dataset's tensor. */
static struct assay_type batched(const struct assay_type *sample, int64_t batch)
{
    struct assay_type type = *sample;
    memmove(type.dims + 1, sample->dims, (size_t)sample->rank * sizeof *type.dims);
    type.dims[0] = batch;
    type.rank++;
    return type;
}

static enum assay_status set_type(struct assay_task *task, struct assay_value *value, int tensor, int64_t batch,
                                  struct assay_error *err)
{
    struct assay_type type = batched(&task->dataset->tensors[tensor].type, batch);
    bool fits = value->type.dtype == type.dtype && value->type.rank == type.rank;
    for (int d = 0; fits && d < type.rank; d++)
        fits = value->type.dims[d] < 0 || value->type.dims[d] == type.dims[d];
    if (!fits) {
        char wanted[200], got[200];
        return assay_error_set(err, ASSAY_INVALID, "input '%s' of the model is %s, and '%s' of the dataset is %s in a batch",
                               value->name, assay_type_text(&value->type, wanted, sizeof wanted),
                               task->dataset->tensors[tensor].name, assay_type_text(&type, got, sizeof got));
    }
    value->type = type;
    return ASSAY_OK;
}

/* Dimensions of inputs that no tensor feeds, by the names that they share with those that one does. */
static int64_t dim_named(const struct assay_graph *graph, const struct assay_feed *feeds, const char *name)
{
    for (int i = 0; i < graph->n_inputs && name; i++) {
        const struct assay_value *v = &graph->values[graph->inputs[i]];
        for (int d = 0; feeds[i].tensor >= 0 && v->dim_names && d < v->type.rank; d++)
            if (v->dim_names[d] && strcmp(v->dim_names[d], name) == 0)
                return v->type.dims[d];
    }
    return -1;
}

static enum assay_status make_constant(struct assay_task *task, struct assay_graph *graph, struct assay_feed *feeds, int i,
                                       struct assay_error *err)
{
    struct assay_value *v = &graph->values[graph->inputs[i]];
    bool is_mask = strstr(v->name, "mask") != NULL, is_types = strcmp(v->name, "token_type_ids") == 0;
    bool is_seed = strcmp(v->name, "dropout_seed") == 0;
    for (int d = 0; d < v->type.rank; d++)
        if (v->type.dims[d] < 0)
            v->type.dims[d] = dim_named(graph, feeds, v->dim_names ? v->dim_names[d] : NULL);
    if (!(is_mask || is_types || is_seed) || !assay_type_is_known(&v->type))
        return assay_error_set(err, ASSAY_INVALID,
                               "no tensor of the dataset (%s) is for input '%s' of the model: give --input %s=TENSOR",
                               tensor_names(task), v->name, v->name);
    feeds[i].kind = is_seed ? ASSAY_FEED_SEED : ASSAY_FEED_CONSTANT;
    enum assay_status st = assay_tensor_alloc(&feeds[i].constant, &v->type, err);
    for (int64_t k = 0; !st && k < assay_type_count(&v->type); k++)
        assay_tensor_set_real(&feeds[i].constant, k, is_mask);
    return st;
}

static enum assay_status bind(struct assay_task *task, const struct assay_task_options *o, struct assay_graph *graph,
                              int64_t batch, struct assay_feed *feeds, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < graph->n_inputs && !st; i++) {
        struct assay_value *v = &graph->values[graph->inputs[i]];
        feeds[i] = (struct assay_feed){.kind = ASSAY_FEED_TENSOR, .tensor = tensor_for(task->dataset, o, v->name)};
        if (feeds[i].tensor == -2)
            st = assay_error_set(err, ASSAY_INVALID, "--input %s: the dataset has no such tensor, only %s", v->name,
                                 tensor_names(task));
        else if (feeds[i].tensor >= 0)
            st = set_type(task, v, feeds[i].tensor, batch, err);
    }
    for (int i = 0; i < graph->n_inputs && !st; i++)
        if (feeds[i].tensor < 0)
            st = make_constant(task, graph, feeds, i, err);
    if (!st)
        st = assay_graph_bind(graph, NULL, 0, err);
    if (!st)
        st = assay_graph_sort(graph, err);
    if (st)
        return st;
    st = assay_graph_infer(graph, err);
    return st ? assay_error_prefix(err, st, "the model does not take the dataset's shapes") : ASSAY_OK;
}

/* ---- the loss */

static int output_named(const struct assay_graph *graph, const char *name)
{
    for (int i = 0; i < graph->n_outputs; i++)
        if (strcmp(graph->values[graph->outputs[i]].name, name) == 0)
            return graph->outputs[i];
    return -1;
}

/* The scores of each label; -1 where there are none. */
static int find_scores(const struct assay_task *task, const struct assay_graph *graph)
{
    int scores = output_named(graph, "logits");
    if (scores < 0 && graph->n_outputs > 0 && output_named(graph, "loss") < 0)
        scores = graph->outputs[0];
    if (scores < 0 || task->label < 0 || task->dataset->n_classes <= 0)
        return -1;
    const struct assay_type *type = &graph->values[scores].type;
    const struct assay_type *label = &task->dataset->tensors[task->label].type;
    bool fits = type->rank == label->rank + 2 && label->dtype == ASSAY_I64;
    for (int d = 0; fits && d < label->rank; d++)
        fits = type->dims[d + 1] == label->dims[d];
    return fits && type->dims[type->rank - 1] >= task->dataset->n_classes ? scores : -1;
}

static int find_labels(struct assay_task *task, struct assay_graph *graph, struct assay_feed **feeds, int64_t batch)
{
    struct assay_type type = batched(&task->dataset->tensors[task->label].type, batch);
    for (int i = 0; i < graph->n_inputs; i++)
        if ((*feeds)[i].kind == ASSAY_FEED_TENSOR && (*feeds)[i].tensor == task->label)
            return graph->inputs[i];
    int value = assay_graph_add_value(graph, "labels", &type);
    *feeds = assay_arena_grow(&task->arena, *feeds, (size_t)graph->n_inputs, (size_t)graph->n_inputs + 1, sizeof **feeds);
    (*feeds)[graph->n_inputs] = (struct assay_feed){.kind = ASSAY_FEED_TENSOR, .tensor = task->label};
    assay_graph_add_input(graph, value);
    return value;
}

static int cross_entropy(struct assay_emit *e, int scores, int labels, const char *reduction)
{
    int y = e_op(e, "SoftmaxCrossEntropyLoss", E_VALUES(scores, labels));
    e_set_int(e, "ignore_index", ASSAY_LABEL_IGNORED);
    e_set_text(e, "reduction", reduction);
    return y;
}

/* A loss of one element for training; for validation a loss and a class for each label. */
static enum assay_status add_loss(struct assay_task *task, bool training, int scores, int64_t batch, struct assay_error *err)
{
    struct assay_graph *graph = training ? task->training : task->eval;
    int labels = find_labels(task, graph, training ? &task->training_feeds : &task->eval_feeds, batch);
    struct assay_emit e = assay_emit_make(graph, "assay", err);
    int64_t n = graph->values[scores].type.dims[graph->values[scores].type.rank - 1];
    int rows = e_reshape(&e, scores, E_INTS(-1, n)), flat = e_reshape(&e, labels, E_INTS(-1)), classes = -1;
    int loss = cross_entropy(&e, rows, flat, training ? "mean" : "none");
    if (!training) {
        classes = e_op(&e, "ArgMax", E_VALUES(rows));
        e_set_int(&e, "axis", 1);
        e_set_int(&e, "keepdims", 0);
        for (int i = 0; i < graph->n_outputs; i++)
            graph->values[graph->outputs[i]].is_output = false;
        graph->n_outputs = 0;
    }
    enum assay_status st = assay_emit_finish(&e);
    if (st)
        return st;
    assay_graph_rename(graph, loss, loss_name);
    assay_graph_add_output(graph, loss);
    if (classes >= 0)
        assay_graph_add_output(graph, classes);
    assay_graph_sweep(graph);
    st = assay_graph_sort(graph, err);
    return st ? st : assay_graph_infer(graph, err);
}

/* A model of fewer classes has its own loss, perhaps, but no score for some of the labels. */
static enum assay_status check_classes(const struct assay_task *task, struct assay_error *err)
{
    int scores = output_named(task->training, "logits");
    if (scores < 0 || task->label < 0 || task->dataset->n_classes <= 0)
        return ASSAY_OK;
    const struct assay_type *type = &task->training->values[scores].type;
    bool is_of_labels = type->rank == task->dataset->tensors[task->label].type.rank + 2;
    int64_t n = is_of_labels ? type->dims[type->rank - 1] : task->dataset->n_classes;
    if (n >= task->dataset->n_classes)
        return ASSAY_OK;
    return assay_error_set(err, ASSAY_INVALID, "the model has %lld classes, and the dataset %lld%s", (long long)n,
                           (long long)task->dataset->n_classes,
                           task->config ? ": --random begins anew with as many as the dataset has" : "");
}

static enum assay_status choose_loss(struct assay_task *task, const struct assay_task_options *o, struct assay_error *err)
{
    enum assay_status fits = check_classes(task, err);
    if (fits)
        return fits;
    int scores = find_scores(task, task->training), of_eval = find_scores(task, task->eval);
    task->has_scores = scores >= 0 && of_eval >= 0;
    task->metric = !task->has_scores ? "loss" : task->dataset->kind->n_bytes ? "bits-per-byte" : "accuracy";
    task->larger_is_better = strcmp(task->metric, "accuracy") == 0;
    task->loss = task->has_scores ? loss_name : "loss";
    if (!task->has_scores && output_named(task->training, "loss") < 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED,
                               "the model has no loss of its own, and no output 'logits' with a score for each of the dataset's "
                               "%lld classes",
                               (long long)task->dataset->n_classes);
    if (!task->has_scores)
        return ASSAY_OK;
    enum assay_status st = add_loss(task, true, scores, o->batch, err);
    return st ? st : add_loss(task, false, of_eval, o->eval_batch, err);
}

/* ---- the whole */

static enum assay_status open_graphs(struct assay_task *task, const struct assay_task_options *o, struct assay_error *err)
{
    struct assay_task_options quiet = *o;
    enum assay_status st = open_model(task, o, true, &task->training, err);
    if (!st && task->is_random)
        st = assay_initial_weights(task->training, o->seed, err);
    if (st)
        return st;
    task->training_feeds = assay_arena_array(&task->arena, (size_t)task->training->n_inputs, sizeof *task->training_feeds);
    st = bind(task, o, task->training, o->batch, task->training_feeds, err);
    if (st)
        return st;
    /* A model that is judged by its own loss is so as it is trained, but without dropout. */
    quiet.no_dropout = true;
    st = open_model(task, &quiet, find_scores(task, task->training) < 0, &task->eval, err);
    if (st)
        return st;
    task->eval_feeds = assay_arena_array(&task->arena, (size_t)task->eval->n_inputs, sizeof *task->eval_feeds);
    return bind(task, o, task->eval, o->eval_batch, task->eval_feeds, err);
}

enum assay_status assay_task_open(struct assay_task *task, const struct assay_task_options *options,
                                  const struct assay_dataset *dataset, struct assay_error *err)
{
    *task = (struct assay_task){.dataset = dataset, .label = -1};
    assay_arena_init(&task->arena);
    for (int i = 0; i < dataset->n_tensors && task->label < 0; i++)
        if (dataset->tensors[i].is_label)
            task->label = i;
    enum assay_status st = find_config(task, options, err);
    if (!st && options->random && !task->config)
        st = assay_error_set(err, ASSAY_INVALID, "%s has no config by which weights could be drawn", options->model);
    if (!st && options->n_fields && !task->config)
        st = assay_error_set(err, ASSAY_INVALID, "%s has no config whose fields could be set", options->model);
    if (!st && task->config && (options->n_fields || options->random || !assay_model_is_folder(options->model))) {
        set_sizes(task);
        st = set_fields(task, options, err);
    }
    if (!st)
        st = open_graphs(task, options, err);
    if (!st)
        st = choose_loss(task, options, err);
    if (st)
        assay_task_release(task);
    return st;
}

static void release_feeds(struct assay_feed *feeds, const struct assay_graph *graph)
{
    for (int i = 0; feeds && graph && i < graph->n_inputs; i++)
        assay_tensor_release(&feeds[i].constant);
}

void assay_task_release(struct assay_task *task)
{
    release_feeds(task->training_feeds, task->training);
    release_feeds(task->eval_feeds, task->eval);
    assay_graph_close(task->training);
    assay_graph_close(task->eval);
    json_decref(task->config);
    assay_arena_release(&task->arena);
    *task = (struct assay_task){0};
}

static void release_constant(struct assay_graph *graph, const char *name)
{
    int value = assay_graph_find(graph, name);
    if (value >= 0)
        assay_tensor_release(&graph->values[value].constant);
}

void assay_task_release_states(struct assay_task *task, const struct assay_training_step *step)
{
    for (int i = 0; i < step->n_states; i++)
        if (step->states[i].role == ASSAY_STEP_PARAMETER || step->states[i].role == ASSAY_STEP_BUFFER) {
            release_constant(task->training, step->states[i].name);
            release_constant(task->eval, step->states[i].name);
        }
}

void assay_task_feed(struct assay_task *task, bool training, const struct assay_batch *batch, uint64_t seed, int64_t step,
                     struct assay_tensor *data)
{
    struct assay_graph *graph = training ? task->training : task->eval;
    struct assay_feed *feeds = training ? task->training_feeds : task->eval_feeds;
    for (int i = 0; i < graph->n_inputs; i++) {
        data[i] = feeds[i].kind == ASSAY_FEED_TENSOR ? batch->tensors[feeds[i].tensor] : feeds[i].constant;
        if (feeds[i].kind != ASSAY_FEED_SEED)
            continue;
        struct assay_rng rng;
        assay_rng_init(&rng, seed, assay_rng_stream("dropout") + (uint64_t)step);
        int64_t drawn = (int64_t)(assay_rng_u64(&rng) >> 33);
        memcpy(feeds[i].constant.data, &drawn, sizeof drawn);
    }
}
