/* SPDX-License-Identifier: Apache-2.0 */
/* See models.h: the tables of `assay models`, and what is told beside them. */
#include "cli/models.h"

#include "model/family.h"
#include "model/presets.h"

#include <stdlib.h>
#include <string.h>

static json_t *text_or_null(const char *text)
{
    json_t *value = text ? json_string(text) : NULL; /* NULL also where it is no UTF-8 */
    return value ? value : json_null();
}

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
    FAMILY_SURE,
    FAMILY_WHY,
    MODALITY,
    MODALITY_SURE,
    MODALITY_WHY,
    ARCHITECTURE,
    PARAMETERS,
    PARAMETERS_WHY,
    WEIGHTS,
    PRECISION,
    FLOPS,
    BYTES,
    INTENSITY,
    COST_WHY,
    ACTIVATIONS,
    PEAK_NODE,
    ARENA,
    IN_PLACE_PEAK,
    IN_PLACE_ARENA,
    KEPT,
    INPUT_BYTES,
    CACHE_TOKEN,
    MEMORY,
    N_NODES,
    N_UNKNOWN,
    OPSET,
    PRODUCER,
    INPUTS,
    OUTPUTS,
    OPS,
    NODES,
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
    [FAMILY_SURE] = {"how sure", "family_sure", false, false},
    [FAMILY_WHY] = {"why", "family_why", false, false},
    [MODALITY] = {"modality", "modality", false, true},
    [MODALITY_SURE] = {"how sure", "modality_sure", false, false},
    [MODALITY_WHY] = {"why", "modality_why", false, false},
    [ARCHITECTURE] = {"architecture", "architecture", false, false},
    [PARAMETERS] = {"parameters", "parameters", true, true},
    [PARAMETERS_WHY] = {"counted", "parameters_why", false, false},
    [WEIGHTS] = {"weights", "weight_bytes", true, true},
    [PRECISION] = {"precision", "precision", false, true},
    [FLOPS] = {"FLOPs", "flops", true, true},
    [BYTES] = {"bytes", "bytes", true, true},
    [INTENSITY] = {"FLOP/byte", "intensity", true, true},
    [COST_WHY] = {"cost absent", "cost_why", false, false},
    [ACTIVATIONS] = {"activations", "activation_peak_bytes", true, true},
    [PEAK_NODE] = {"peak at", "activation_peak_node", false, false},
    [ARENA] = {"arena", "activation_arena_bytes", true, false},
    [IN_PLACE_PEAK] = {"peak in place", "activation_in_place_peak_bytes", true, false},
    [IN_PLACE_ARENA] = {"arena in place", "activation_in_place_arena_bytes", true, false},
    [KEPT] = {"kept for training", "training_kept_bytes", true, false},
    [INPUT_BYTES] = {"bytes of inputs", "input_bytes", true, false},
    [CACHE_TOKEN] = {"cache a token", "cache_token_bytes", true, false},
    [MEMORY] = {"memory", "memory", false, false},
    [N_NODES] = {"nodes", "n_nodes", true, true},
    [N_UNKNOWN] = {"cost not known", "n_unknown", true, false},
    [OPSET] = {"opset", "opset", true, false},
    [PRODUCER] = {"producer", "producer", false, false},
    [INPUTS] = {"inputs", "inputs", false, true},
    [OUTPUTS] = {"outputs", "outputs", false, false},
    [OPS] = {"ops", "ops", false, false},
    [NODES] = {"costs of nodes", "nodes", false, false},
    [REASON] = {"reason", "reason", false, false},
};

/* [{"batch", "mode", "precision", "optimizer", "weight_bytes", …, "total_bytes", "provenance"}] */
static json_t *needs_to_json(const struct assay_models_item *model)
{
    json_t *needs = json_array();
    for (int b = 0; b < model->n_needs; b++)
        for (int i = 0; i < model->needs[b].n; i++) {
            const struct assay_memory_need *need = &model->needs[b].items[i];
            json_array_append_new(
                needs, json_pack("{s:I, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "batch",
                                 (json_int_t)model->needs[b].batch, "mode", need->mode, "precision", need->precision, "optimizer",
                                 text_or_null(need->optimizer), "weight_bytes", (json_int_t)need->weight_bytes, "input_bytes",
                                 (json_int_t)need->input_bytes, "activation_bytes", (json_int_t)need->activation_bytes,
                                 "cache_bytes", (json_int_t)need->cache_bytes, "gradient_bytes", (json_int_t)need->gradient_bytes,
                                 "optimizer_bytes", (json_int_t)need->optimizer_bytes, "total_bytes",
                                 (json_int_t)need->total_bytes, "provenance", "estimated by plan"));
        }
    return needs;
}

static void add_memory(struct assay_table *table, const int *place, const struct assay_models_item *model)
{
    const struct assay_memory_use *use = &model->use;
    assay_table_set(table, place[ACTIVATIONS], assay_text_bytes(&table->arena, (double)use->peak_bytes),
                    json_integer(use->peak_bytes));
    if (place[ARENA] < 0)
        return;
    assay_table_int(table, place[ARENA], use->arena_bytes);
    assay_table_int(table, place[IN_PLACE_PEAK], use->in_place_peak_bytes);
    assay_table_int(table, place[IN_PLACE_ARENA], use->in_place_arena_bytes);
    assay_table_int(table, place[KEPT], use->kept_bytes);
    assay_table_int(table, place[INPUT_BYTES], use->input_bytes);
    assay_table_int(table, place[CACHE_TOKEN], model->cache_token_bytes);
    assay_table_set(table, place[MEMORY], NULL, needs_to_json(model));
}

static void add_row(struct assay_table *table, const int *place, const struct assay_models_item *model)
{
    const struct assay_analysis *analysis = &model->analysis;
    const char *const texts[N_COLUMNS] = {
        [NAME] = model->name,
        [PATH] = model->path,
        [ID] = *model->id ? model->id : NULL,
        [FAMILY] = analysis->family,
        [FAMILY_SURE] = analysis->family_sure,
        [FAMILY_WHY] = analysis->family_why,
        [MODALITY] = analysis->modality,
        [MODALITY_SURE] = analysis->modality_sure,
        [MODALITY_WHY] = analysis->modality_why,
        [ARCHITECTURE] = model->architecture,
        [PARAMETERS_WHY] = model->status ? NULL : analysis->parameters_why,
        [PEAK_NODE] = model->peak_node,
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
    if (model->use.n_unknown == 0)
        add_memory(table, place, model);
    assay_table_set(table, place[INPUTS], model->inputs_text, json_incref(model->inputs));
    if (place[OPS] < 0)
        return;
    assay_table_int(table, place[N_UNKNOWN], analysis->n_unknown);
    assay_table_int(table, place[OPSET], model->opset);
    assay_table_set(table, place[OUTPUTS], NULL, json_incref(model->outputs));
    assay_table_set(table, place[OPS], NULL, ops_to_json(analysis));
    if (model->nodes)
        assay_table_set(table, place[NODES], NULL, json_incref(model->nodes));
}

enum assay_status assay_models_print(const struct assay_models *models, struct assay_error *err)
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

enum assay_status assay_models_print_ops(const struct assay_models_item *model, enum assay_format format, struct assay_error *err)
{
    const struct assay_analysis *analysis = &model->analysis;
    static const struct assay_table_heading headings[] = {{"op", "type", false},    {"domain", "domain", false},
                                                          {"nodes", "n", true},     {"cost not known", "n_unknown", true},
                                                          {"FLOPs", "flops", true}, {"of all", "flops_share", true},
                                                          {"bytes", "bytes", true}, {"FLOP/byte", "intensity", true}};
    struct assay_table table;
    assay_table_init(&table);
    assay_table_columns(&table, headings, ASSAY_COUNT(headings));
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

enum assay_status assay_models_print_memory(const struct assay_models_item *item, enum assay_format format,
                                            struct assay_error *err)
{
    struct assay_table table;
    assay_table_init(&table);
    assay_table_column(&table, "batch", "batch", true);
    assay_table_column(&table, "mode", "mode", false);
    assay_table_column(&table, "precision", "precision", false);
    assay_table_column(&table, "optimizer", "optimizer", false);
    static const char *const parts[][2] = {
        {"weights", "weight_bytes"}, {"inputs", "input_bytes"},       {"activations", "activation_bytes"},
        {"cache", "cache_bytes"},    {"gradients", "gradient_bytes"}, {"optimizer's", "optimizer_bytes"},
        {"in all", "total_bytes"}};
    for (size_t c = 0; c < ASSAY_COUNT(parts); c++)
        assay_table_column(&table, parts[c][0], parts[c][1], true);
    assay_table_column(&table, "provenance", "provenance", false);
    for (int b = 0; b < item->n_needs; b++)
        for (int i = 0; i < item->needs[b].n; i++) {
            const struct assay_memory_need *need = &item->needs[b].items[i];
            const int64_t bytes[] = {need->weight_bytes,   need->input_bytes,     need->activation_bytes, need->cache_bytes,
                                     need->gradient_bytes, need->optimizer_bytes, need->total_bytes};
            assay_table_row(&table);
            assay_table_int(&table, 0, item->needs[b].batch);
            assay_table_text(&table, 1, need->mode);
            assay_table_text(&table, 2, need->precision);
            assay_table_text(&table, 3, need->optimizer);
            for (size_t c = 0; c < ASSAY_COUNT(parts); c++)
                assay_table_set(&table, 4 + (int)c, bytes[c] ? assay_text_bytes(&table.arena, (double)bytes[c]) : "",
                                json_integer(bytes[c]));
            assay_table_text(&table, 4 + (int)ASSAY_COUNT(parts), "estimated by plan");
        }
    enum assay_status st = assay_table_print(&table, format, stdout, err);
    assay_table_release(&table);
    return st;
}

enum assay_status assay_models_print_known(enum assay_format format, struct assay_error *err)
{
    static const struct assay_table_heading headings[] = {{"name", "name", false},
                                                          {"family", "family", false},
                                                          {"architecture", "architecture", false},
                                                          {"parameters", "parameters", true},
                                                          {"weights in f32", "weight_bytes", true},
                                                          {"published count", "published", true},
                                                          {"published by", "source", false}};
    struct assay_table table;
    assay_table_init(&table);
    assay_table_columns(&table, headings, ASSAY_COUNT(headings));
    for (int i = 0; assay_preset_at(i); i++) {
        const struct assay_preset *preset = assay_preset_at(i);
        const struct assay_architecture *found;
        const struct assay_family *family = assay_family_find(preset->architecture, &found);
        assay_table_row(&table);
        assay_table_text(&table, 0, preset->name);
        assay_table_text(&table, 1, family ? family->name : NULL);
        assay_table_text(&table, 2, preset->architecture);
        assay_table_int(&table, 3, preset->parameters);
        assay_table_set(&table, 4, assay_text_bytes(&table.arena, 4.0 * (double)preset->parameters),
                        json_integer(4 * preset->parameters));
        if (*preset->published) /* else absent: nobody that we know of published a number */
            assay_table_text(&table, 5, preset->published);
        assay_table_text(&table, 6, preset->source);
    }
    enum assay_status st = assay_table_print(&table, format, stdout, err);
    assay_table_release(&table);
    return st;
}

/* What a table has no room for: what could not be read, guesses with how sure they are, why a cost is absent. */
bool assay_models_tell(const struct assay_models *models)
{
    struct assay_log *log = &models->cli->log;
    bool fine = true;
    for (size_t i = 0; i < models->n; i++) {
        const struct assay_models_item *model = &models->items[i];
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
