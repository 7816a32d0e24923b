/* SPDX-License-Identifier: Apache-2.0 */
/* See models.h: which models there are, their shapes, and their figures. */
#include "cli/models.h"

#include "base/fs.h"
#include "bench/shape.h"
#include "graph/infer.h"
#include "graph/precision.h"
#include "graph/weight_only.h"
#include "model/presets.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- which files */

static void add_model(struct assay_models *models, const char *path)
{
    struct assay_arena *arena = &models->cli->arena;
    if (models->n == models->room) {
        size_t room = 2 * models->room + 16;
        models->items = assay_arena_grow(arena, models->items, models->n, room, sizeof *models->items);
        models->room = room;
    }
    struct assay_models_item *model = &models->items[models->n++];
    const char *name = assay_path_name(path);
    size_t n = strlen(name);
    model->path = assay_arena_strdup(arena, path);
    model->name = assay_arena_strndup(arena, name, n > 5 && strcmp(name + n - 5, ".onnx") == 0 ? n - 5 : n);
}

static enum assay_status visit(void *context, const char *path, struct assay_error *err)
{
    size_t n = strlen(path);
    (void)err;
    if (n > 5 && strcmp(path + n - 5, ".onnx") == 0)
        add_model(context, path);
    return ASSAY_OK;
}

enum assay_status assay_models_find(struct assay_models *models, struct assay_error *err)
{
    struct assay_cli *cli = models->cli;
    for (int i = 0; i < cli->n_arguments; i++) {
        size_t before = models->n;
        if (!assay_fs_is_folder(cli->arguments[i]) || assay_model_is_folder(cli->arguments[i])) {
            add_model(models, cli->arguments[i]);
            continue;
        }
        enum assay_status st = assay_fs_walk(cli->arguments[i], visit, models, err);
        if (st)
            return st;
        if (models->n == before)
            return assay_error_set(err, ASSAY_ABSENT, "there is no .onnx file in %s or below", cli->arguments[i]);
    }
    return ASSAY_OK;
}

/* ---- shapes */

/* Marks the entry of `entries` with that name as used by a model. */
static void mark_used(const struct assay_text_list *entries, const char *name, bool *used)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < entries->n; i++)
        if (strncmp(entries->items[i], name, length) == 0 && entries->items[i][length] == '=')
            used[i] = true;
}

/* Gives an input's free dimensions what the options say. */
static enum assay_status bind_input(struct assay_models *models, const struct assay_graph *graph, struct assay_value *input,
                                    int64_t batch, bool *follows_batch, struct assay_error *err)
{
    struct assay_shape_request request = {.batch = batch, .graph = graph};
    request.shapes.items = assay_cli_texts(models->cli, "shape", &request.shapes.n);
    request.dims.items = assay_cli_texts(models->cli, "dim", &request.dims.n);
    mark_used(&request.shapes, input->name, models->used);
    for (int d = 0; input->dim_names && d < input->type.rank; d++)
        if (input->dim_names[d])
            mark_used(&request.dims, input->dim_names[d], models->used + request.shapes.n);
    return assay_shape_bind(&request, input, &input->type, follows_batch, err);
}

/* ---- one model */

/* "f32[batch=1,3,height,?]" */
static const char *type_text(const struct assay_value *value, struct assay_arena *arena)
{
    const struct assay_type *type = &value->type;
    const char *text =
        assay_arena_printf(arena, "%s[%s", type->dtype ? assay_dtype_word(type->dtype) : "?", type->rank < 0 ? "…" : "");
    for (int d = 0; d < type->rank; d++) {
        const char *name = value->dim_names ? value->dim_names[d] : NULL, *comma = d ? "," : "";
        if (type->dims[d] < 0)
            text = assay_arena_printf(arena, "%s%s%s", text, comma, name ? name : "?");
        else
            text = assay_arena_printf(arena, "%s%s%s%s%lld", text, comma, name ? name : "", name ? "=" : "",
                                      (long long)type->dims[d]);
    }
    return assay_arena_printf(arena, "%s]", text);
}

static json_t *text_or_null(const char *text)
{
    json_t *value = text ? json_string(text) : NULL; /* NULL also where it is no UTF-8 */
    return value ? value : json_null();
}

/* {"name": "x", "dtype": "f32", "shape": [1, 3, null, null], "dim_names": ["batch", null, "height", "width"]} */
static json_t *value_to_json(const struct assay_value *value)
{
    json_t *shape = value->type.rank < 0 ? json_null() : json_array(), *names = json_array();
    for (int d = 0; d < value->type.rank; d++) {
        json_array_append_new(shape, value->type.dims[d] < 0 ? json_null() : json_integer(value->type.dims[d]));
        json_array_append_new(names, text_or_null(value->dim_names ? value->dim_names[d] : NULL));
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "name", text_or_null(value->name), "dtype",
                     text_or_null(value->type.dtype ? assay_dtype_word(value->type.dtype) : NULL), "shape", shape, "dim_names",
                     names);
}

static void describe_interface(struct assay_models_item *model, const struct assay_graph *graph, struct assay_arena *arena)
{
    enum { MOST_INPUTS = 4 };
    model->inputs = json_array();
    model->outputs = json_array();
    model->inputs_text = "";
    for (int i = 0; i < graph->n_inputs; i++) {
        const struct assay_value *value = &graph->values[graph->inputs[i]];
        json_array_append_new(model->inputs, value_to_json(value));
        if (i < MOST_INPUTS)
            model->inputs_text =
                assay_arena_printf(arena, "%s%s%s %s", model->inputs_text, i ? ", " : "", value->name, type_text(value, arena));
    }
    if (graph->n_inputs > MOST_INPUTS)
        model->inputs_text = assay_arena_printf(arena, "%s, and %d more", model->inputs_text, graph->n_inputs - MOST_INPUTS);
    for (int i = 0; i < graph->n_outputs; i++)
        json_array_append_new(model->outputs, value_to_json(&graph->values[graph->outputs[i]]));
}

/* Why costs are absent: free dimensions first, since a person can give them. */
static const char *explain_cost(const struct assay_models_item *model, const struct assay_graph *graph, struct assay_arena *arena)
{
    const struct assay_analysis *analysis = &model->analysis;
    const char *list = "";
    int n = 0;
    if (analysis->n_unknown == 0)
        return NULL;
    for (int i = 0; i < graph->n_inputs; i++) {
        const struct assay_value *value = &graph->values[graph->inputs[i]];
        bool is_free = value->type.rank < 0;
        for (int d = 0; d < value->type.rank; d++)
            is_free |= value->type.dims[d] < 0;
        if (is_free && n++ < 4)
            list = assay_arena_printf(arena, "%s%s%s %s", list, *list ? ", " : "", value->name, type_text(value, arena));
    }
    if (*list)
        return assay_arena_printf(arena, "dimensions of %s are free: give --shape INPUT=DIMS or --dim NAME=VALUE", list);
    return assay_arena_printf(arena,
                              "the cost of %lld of %lld nodes is not known: %s is no op of Assay, or data decides what it costs",
                              (long long)analysis->n_unknown, (long long)analysis->n_nodes, analysis->unknown_op);
}

/* ---- opening */

/* A known name that the given one may have meant: one that contains it, or the least edits away. */
static const char *nearest_preset(const char *name)
{
    const char *best = NULL;
    int distance = (int)strlen(name) / 3 + 1;
    for (int i = 0; assay_preset_at(i); i++) {
        const char *known = assay_preset_at(i)->name;
        int d = strlen(name) >= 3 && strcasestr(known, name) ? 0 : assay_cli_edit_distance(name, known);
        if (d < distance) {
            distance = d;
            best = known;
        }
    }
    return best;
}

static const char *const phase_words[] = {"whole", "encode", "decode"};

/* Weights change nothing of the figures, so where there are none they are declared only. */
enum assay_status assay_models_open_as_is(const struct assay_cli *cli, const char *path, enum assay_model_weights weights,
                                          struct assay_graph **graph, struct assay_model_info *info, struct assay_error *err)
{
    struct assay_model_options how = {.weights = weights};
    const char *phase = assay_cli_text(cli, "phase", "whole");
    for (size_t i = 0; i < ASSAY_COUNT(phase_words); i++)
        if (strcmp(phase, phase_words[i]) == 0)
            how.phase = (enum assay_model_phase)i;
    enum assay_status st = assay_model_open(path, &how, graph, info, err);
    const char *precision = assay_cli_text(cli, "precision", "f32");
    if (!st && assay_weight_only_dtype(precision)) { /* which no pass does */
        st = assay_graph_convert(*graph, precision, err);
        if (st)
            assay_graph_close(*graph);
        return st;
    }
    const char *nearest = st == ASSAY_ABSENT ? nearest_preset(path) : NULL;
    if (!nearest)
        return st;
    struct assay_error why = *err;
    return assay_error_set(err, st, "%s (did you mean %s? --known lists all)", why.message, nearest);
}

enum assay_dtype assay_models_precision(const struct assay_cli *cli)
{
    const char *precision = assay_cli_text(cli, "precision", "f32");
    return strcmp(precision, "f32") == 0 ? ASSAY_NO_DTYPE : assay_dtype_from_word(precision);
}

enum assay_status assay_models_open(const struct assay_cli *cli, const char *path, enum assay_model_weights weights,
                                    struct assay_graph **graph, struct assay_model_info *info, struct assay_error *err)
{
    enum assay_dtype precision = assay_models_precision(cli);
    enum assay_status st = assay_models_open_as_is(cli, path, weights, graph, info, err);
    if (st || !precision)
        return st;
    st = assay_graph_set_precision(*graph, precision, err);
    if (st)
        assay_graph_close(*graph);
    return st;
}

/* ---- figures */

/* [{"name", "type", "flops", "bytes"}], numbers null where not known. */
static json_t *nodes_to_json(const struct assay_graph *graph, const struct assay_analysis *analysis)
{
    json_t *nodes = json_array();
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_cost *cost = &analysis->node_costs[i];
        json_array_append_new(nodes, json_pack("{s:o, s:o, s:f, s:f}", "name", text_or_null(graph->nodes[i]->name), "type",
                                               text_or_null(graph->nodes[i]->type), "flops", cost->flops, "bytes",
                                               cost->bytes_read + cost->bytes_written));
    }
    return nodes;
}

/* "ids=1x128 mask=1x128" */
static const char *shape_text(const struct assay_graph *graph, struct assay_arena *arena)
{
    const char *text = "";
    enum { MOST = 3 };
    for (int i = 0; i < graph->n_inputs && i < MOST; i++) {
        const struct assay_value *value = &graph->values[graph->inputs[i]];
        text = assay_arena_printf(arena, "%s%s%.24s %s", text, i ? ", " : "", value->name, assay_shape_hint(&value->type, arena));
    }
    return graph->n_inputs > MOST ? assay_arena_printf(arena, "%s, …", text) : text;
}

/* Binds and infers at a batch. `free_types`: the inputs as the model declares them. */
static enum assay_status set_shapes(struct assay_models *models, struct assay_graph *graph, const struct assay_type *free_types,
                                    int64_t batch, bool *follows_batch, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < graph->n_inputs && !st; i++) {
        struct assay_value *input = &graph->values[graph->inputs[i]];
        input->type = free_types[i];
        st = bind_input(models, graph, input, batch, follows_batch, err);
    }
    if (!st)
        st = assay_graph_bind(graph, NULL, 0, err);
    return st ? st : assay_graph_infer(graph, err);
}

/* Bytes that a cached token takes; 0 for what generates nothing. */
static int64_t cache_token(const struct assay_models_item *item, const struct assay_graph *graph,
                           const struct assay_model_info *info)
{
    const struct assay_model_options how = {.weights = ASSAY_WEIGHTS_DECLARED, .phase = ASSAY_PHASE_DECODE};
    struct assay_graph *decode;
    struct assay_error err;
    if (graph->n_states > 0 || !info->generation.generates)
        return assay_memory_cache_token(graph);
    if (assay_model_open(item->path, &how, &decode, NULL, &err))
        return 0;
    int64_t bytes = assay_memory_cache_token(decode);
    assay_graph_close(decode);
    return bytes;
}

static void add_needs(struct assay_models *models, struct assay_models_item *item, const struct assay_graph *graph, int64_t batch)
{
    struct assay_memory_request request = {
        .graph = graph,
        .precision = item->analysis.precision,
        .parameters = item->analysis.parameters,
        .batch = batch,
        .cache_tokens = assay_cli_int(models->cli, "context", 1024),
        .cache_token_bytes = item->cache_token_bytes,
    };
    item->needs[item->n_needs].batch = batch;
    item->needs[item->n_needs].n = assay_memory_needs(&request, item->needs[item->n_needs].items);
    item->n_needs += item->needs[item->n_needs].n > 0;
}

static void find_needs(struct assay_models *models, struct assay_models_item *item, struct assay_graph *graph,
                       const struct assay_type *free_types, bool has_batch, const struct assay_model_info *info)
{
    static const int64_t others[] = {1, 8, 32};
    struct assay_error err;
    assay_memory_use_find(&item->use, graph, 4);
    if (item->use.peak_node >= 0 && item->use.peak_node < graph->n_nodes)
        item->peak_node = assay_arena_printf(&models->cli->arena, "%s '%s'", graph->nodes[item->use.peak_node]->type,
                                             graph->nodes[item->use.peak_node]->name);
    item->cache_token_bytes = cache_token(item, graph, info);
    add_needs(models, item, graph, item->batch);
    for (size_t i = 0; i < ASSAY_COUNT(others) && has_batch && item->n_needs > 0; i++)
        if (others[i] != item->batch && item->n_needs < ASSAY_MODELS_BATCHES &&
            !set_shapes(models, graph, free_types, others[i], &has_batch, &err))
            add_needs(models, item, graph, others[i]);
}

void assay_models_read(struct assay_models *models, struct assay_models_item *item)
{
    struct assay_arena *arena = &models->cli->arena;
    struct assay_graph *graph;
    struct assay_model_info info;
    enum assay_format format = assay_cli_format(models->cli);
    item->status = assay_models_open(models->cli, item->path, ASSAY_WEIGHTS_FILE_OR_DECLARED, &graph, &info, &item->err);
    if (item->status)
        return;
    if (strcmp(info.weights, "file") == 0)
        assay_graph_hash(graph, item->id); /* without weights it is no model yet */
    item->opset = graph->opset;
    item->producer = assay_arena_strdup(arena, graph->producer);
    item->architecture = info.architecture;
    item->batch = assay_cli_int(models->cli, "batch", 1);
    struct assay_type *free_types = assay_arena_array(arena, (size_t)graph->n_inputs, sizeof *free_types);
    for (int i = 0; i < graph->n_inputs; i++)
        free_types[i] = graph->values[graph->inputs[i]].type;
    bool has_batch = false;
    item->status = set_shapes(models, graph, free_types, item->batch, &has_batch, &item->err);
    if (!item->status) {
        assay_analysis_init(&item->analysis, graph);
        describe_interface(item, graph, arena);
        item->shape_text = shape_text(graph, arena);
        item->cost_why = explain_cost(item, graph, arena);
        if (format == ASSAY_FORMAT_JSON || format == ASSAY_FORMAT_CSV || assay_cli_given(models->cli, "roofline"))
            item->nodes = nodes_to_json(graph, &item->analysis);
        find_needs(models, item, graph, free_types, has_batch, &info);
    }
    assay_graph_close(graph);
}

void assay_models_release(struct assay_models *models)
{
    for (size_t i = 0; i < models->n; i++) {
        assay_analysis_release(&models->items[i].analysis);
        json_decref(models->items[i].inputs);
        json_decref(models->items[i].outputs);
        json_decref(models->items[i].nodes);
    }
}
