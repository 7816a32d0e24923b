/* SPDX-License-Identifier: Apache-2.0 */
/* See plan.h. */
#include "bench/plan.h"

#include "base/fs.h"
#include "bench/inputs.h"
#include "bench/request.h"
#include "bench/training.h"
#include "graph/infer.h"
#include "graph/weight_only.h"
#include "model/analysis.h"
#include "runtime/registry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void assay_plan_init(struct assay_plan *plan)
{
    memset(plan, 0, sizeof *plan);
    assay_arena_init(&plan->arena);
}

void assay_plan_release(struct assay_plan *plan)
{
    if (plan)
        assay_arena_release(&plan->arena);
}

static void add_sentence(struct assay_plan *plan, const char ***list, size_t *n, const char *sentence)
{
    for (size_t i = 0; i < *n; i++)
        if (strcmp((*list)[i], sentence) == 0)
            return;
    *list = assay_arena_grow(&plan->arena, *list, *n, *n + 1, sizeof **list);
    (*list)[(*n)++] = sentence;
}

static void leave_out(struct assay_plan *plan, const char *sentence)
{
    add_sentence(plan, &plan->left_out, &plan->n_left_out, sentence);
}

/* Cases travel and are kept as JSON, which takes nothing else. */
static bool is_utf8(const char *text)
{
    json_t *string = json_string(text);
    json_decref(string);
    return string != NULL;
}

enum { USUAL_PROMPT = 128 }; /* tokens, where nobody says how long */

/* A case's inputs at one batch. *has_batch: whether any dimension follows the batch. */
static enum assay_status make_inputs(struct assay_plan *plan, const struct assay_spec *spec, const struct assay_open_inputs *open,
                                     int64_t batch, struct assay_case *c, bool *has_batch, struct assay_error *err)
{
    struct assay_arena *arena = &plan->arena;
    const struct assay_shape_request request = {spec->shapes, spec->dims, batch, NULL};
    struct assay_type *types = assay_arena_array(arena, open->n, sizeof *types);
    c->n_inputs = open->n;
    c->inputs = assay_arena_array(arena, c->n_inputs, sizeof *c->inputs);
    *has_batch = false;
    enum assay_status st = assay_shape_bind_all(&request, open, c->new_tokens ? USUAL_PROMPT : 0, types, has_batch, err);
    if (st)
        return st;
    for (size_t i = 0; i < open->n; i++) {
        const struct assay_open_input *from = &open->items[i];
        const struct assay_value *v = &from->graph->values[from->value];
        const char *kind = assay_entry_find(&spec->inputs, v->name);
        struct assay_case_input *input = &c->inputs[i];
        input->name = assay_arena_strdup(arena, v->name);
        input->type = types[i];
        if (!assay_shape_is_whole(&input->type))
            return assay_error_set(err, ASSAY_INVALID, "the shape of input '%s' is open: give --shape %s=%s with numbers",
                                   v->name, v->name, assay_shape_hint(&input->type, arena));
        if (assay_dtype_size(input->type.dtype) == 0)
            return assay_error_set(err, ASSAY_UNSUPPORTED, "input '%s' is %s, which nothing here makes", v->name,
                                   assay_dtype_word((int)input->type.dtype));
        input->kind = kind ? assay_arena_strdup(arena, kind) : assay_input_guess(from->graph, from->value, arena);
        if (!is_utf8(input->name) || !is_utf8(input->kind))
            return assay_error_set(err, ASSAY_INVALID, "the name or kind of input %zu is not UTF-8", i);
    }
    return ASSAY_OK;
}

/* ---- models */

/* A model in planning. Graphs are closed when its cases are made. */
struct model {
    const char *path;
    struct assay_graph *graph;
    const char *loss; /* the output that training minimises; NULL where it cannot be trained, which the child then says */
    struct assay_model_info info;
    struct assay_phases phases; /* opened when first needed */
    struct assay_open_inputs inputs, request;
    bool has_phases;
};

static const char *model_name(const struct assay_spec *spec, const char *path, struct assay_arena *arena)
{
    if (spec->name && spec->models.n == 1)
        return assay_arena_strdup(arena, spec->name);
    const char *name = assay_path_name(path);
    size_t length = strlen(name);
    if (length > 5 && strcmp(name + length - 5, ".onnx") == 0)
        length -= 5;
    return assay_arena_strndup(arena, name, length);
}

/* What the model is, at the case's shapes and in its own precision. */
static void describe(struct assay_plan *plan, const struct assay_graph *bound, struct assay_case *c)
{
    struct assay_analysis analysis;
    assay_analysis_init(&analysis, bound);
    c->parameters = analysis.parameters;
    c->flops = analysis.n_unknown ? NAN : analysis.flops; /* a part of a sum is no sum */
    c->bytes = analysis.n_unknown ? NAN : analysis.bytes;
    c->model_precision = assay_arena_strdup(&plan->arena, analysis.precision ? analysis.precision : "f32");
    c->family = analysis.family ? assay_arena_strdup(&plan->arena, analysis.family) : NULL;
    c->modality = analysis.modality ? assay_arena_strdup(&plan->arena, analysis.modality) : NULL;
    assay_analysis_release(&analysis);
}

/* A copy at the case's shapes. */
static enum assay_status bind_graph(struct assay_plan *plan, const struct assay_graph *graph, const struct assay_case *c,
                                    struct assay_graph **bound, struct assay_error *err)
{
    struct assay_binding *bindings = assay_arena_array(&plan->arena, c->n_inputs * ASSAY_MAX_RANK, sizeof *bindings);
    size_t n = 0;
    for (size_t i = 0; i < c->n_inputs; i++)
        for (int d = 0; d < c->inputs[i].type.rank; d++)
            bindings[n++] = (struct assay_binding){assay_arena_printf(&plan->arena, "%s:%d", c->inputs[i].name, d),
                                                   c->inputs[i].type.dims[d]};
    *bound = assay_graph_clone(graph);
    enum assay_status st = assay_graph_bind(*bound, bindings, n, err);
    return st ? st : assay_graph_infer(*bound, err);
}

/* ---- the product */

static double or_default(double value, double otherwise) { return isnan(value) ? otherwise : value; }

static void set_measuring(struct assay_case *c, const struct assay_spec *spec)
{
    c->seed = spec->seed != ASSAY_SPEC_UNSET ? spec->seed : 1;
    c->optimization = spec->optimization != ASSAY_SPEC_UNSET ? spec->optimization : 3;
    c->min_time = or_default(spec->min_time, 0.5);
    c->max_time = or_default(spec->max_time, 10);
    c->warmup_time = or_default(spec->warmup_time, fmax(0.5, 0.25 * c->max_time));
    c->interval = or_default(spec->interval, 0.01);
    c->latency_bound = or_default(spec->latency_bound, 0);
    c->time_limit = or_default(spec->time_limit, NAN); /* by the cost, where a person sets none */
    c->tolerance = or_default(spec->tolerance, 0);
    c->memory_limit = spec->memory_limit;
    c->check = !spec->no_check;
    c->profile = spec->profile;
    c->trace_path = spec->trace_path;
    c->ep_library = spec->ep_library;
    c->suite = spec->suite;
    c->peak_flops = c->peak_f32 = c->peak_bf16 = c->peak_int8 = c->peak_bytes = NAN;
}

static enum assay_status set_options(struct assay_case *c, const struct assay_spec *spec, struct assay_arena *arena,
                                     struct assay_error *err)
{
    c->n_options = spec->options.n;
    c->options = assay_arena_array(arena, c->n_options, sizeof *c->options);
    for (size_t i = 0; i < c->n_options; i++) {
        const char *text = spec->options.items[i];
        size_t length = strcspn(text, "=");
        c->options[i] =
            (struct assay_option){assay_arena_strndup(arena, text, length), assay_arena_strdup(arena, text + length + 1)};
        if (!is_utf8(text))
            return assay_error_set(err, ASSAY_INVALID, "--option %s is not UTF-8", text);
    }
    return ASSAY_OK;
}

/* Enough for what ends, by a wide margin: the reference, which the outputs are checked with, may need seconds for 1e9 FLOPs of
 * decoding on a busy machine. */
static double usual_time_limit(const struct assay_case *c)
{
    const double seconds_per_flop = assay_case_trains(c) ? 2.5e-8 : 5e-9, day = 86400; /* several steps are compared */
    return fmin(day, 60 + 4 * c->max_time + (c->flops > 0 ? seconds_per_flop * c->flops : 0));
}

static void add_case(struct assay_plan *plan, const struct assay_case *c)
{
    if (plan->n_cases == plan->room) {
        size_t room = plan->room ? 2 * plan->room : 16;
        plan->cases = assay_arena_grow(&plan->arena, plan->cases, plan->n_cases, room, sizeof *plan->cases);
        plan->room = room;
    }
    plan->cases[plan->n_cases] = *c;
    plan->cases[plan->n_cases].time_limit = or_default(c->time_limit, usual_time_limit(c));
    plan->n_cases++;
}

static const char *one_text[] = {""};
static const char *default_platforms[] = {"cpu/native", "cpu/onnxruntime"};
static const char *default_scenarios[] = {"single-stream"};
static const char *default_modes[] = {"inference"};
static int64_t one[] = {1}, none[] = {0};

static struct assay_text_list texts_or(const struct assay_text_list *list, const char **otherwise, size_t n)
{
    return list->n ? *list : (struct assay_text_list){otherwise, n};
}

static struct assay_int_list ints_or(const struct assay_int_list *list, int64_t *otherwise)
{
    return list->n ? *list : (struct assay_int_list){otherwise, 1};
}

/* A platform that a spec names, looked for once a plan: that can take seconds. */
struct assay_plan_platform {
    struct assay_platform platform;
    const struct assay_runtime *runtime;
    const char *absent; /* why; NULL if it is here */
    struct assay_plan_platform *next;
};

static enum assay_status find_platform(struct assay_plan *plan, const char *name, const struct assay_plan_platform **found,
                                       struct assay_error *err)
{
    for (*found = plan->platforms; *found; *found = (*found)->next)
        if (strcmp((*found)->platform.name, name) == 0)
            return ASSAY_OK;
    struct assay_plan_platform *p = assay_arena_array(&plan->arena, 1, sizeof *p);
    enum assay_status st = assay_platform_find(&plan->arena, name, &p->platform, &p->runtime, err);
    if (st && st != ASSAY_ABSENT)
        return st;
    if (st) {
        p->platform.name = assay_arena_strdup(&plan->arena, name);
        p->absent = assay_arena_strdup(&plan->arena, err->message);
    }
    p->next = plan->platforms;
    plan->platforms = p;
    *found = p;
    return ASSAY_OK;
}

/* A step is no query: it is run back to back. */
static bool leave_out_scenario(struct assay_plan *plan, const struct assay_case *base, const char *scenario)
{
    if (!assay_case_trains(base) || strcmp(scenario, "single-stream") == 0)
        return false;
    leave_out(plan, assay_arena_printf(&plan->arena, "%s in mode training and scenario %s: training is single-stream",
                                       base->model, scenario));
    return true;
}

/* One platform's cases for a model at one batch. */
static void add_platform_cases(struct assay_plan *plan, const struct assay_spec *spec, const struct assay_case *base,
                               const struct assay_runtime *runtime)
{
    struct assay_text_list scenario_list = texts_or(&spec->scenarios, default_scenarios, 1),
                           isas = texts_or(&spec->isas, one_text, 1);
    struct assay_int_list threads = ints_or(&spec->threads, one);
    for (size_t s = 0; s < scenario_list.n; s++)
        for (size_t k = 0; k < isas.n; k++)
            for (size_t t = 0; t < threads.n; t++) {
                struct assay_case c = *base;
                if (leave_out_scenario(plan, base, scenario_list.items[s]))
                    continue;
                if (runtime->max_threads && threads.items[t] > runtime->max_threads) {
                    leave_out(plan, assay_arena_printf(&plan->arena, "%s with %lld threads: it has %d", base->platform,
                                                       (long long)threads.items[t], runtime->max_threads));
                    continue;
                }
                c.scenario = scenario_list.items[s];
                c.isa = isas.items[k];
                c.threads = threads.items[t];
                add_case(plan, &c);
            }
}

/* A tier or an option that there is not is a slip of the pen; one that cannot be had here is a row that says so. */
static enum assay_status check_options(const struct assay_spec *spec, const struct assay_case *base,
                                       const struct assay_plan_platform *found, struct assay_error *err)
{
    struct assay_text_list isas = texts_or(&spec->isas, one_text, 1);
    for (size_t i = 0; i < isas.n && found->runtime->check_options; i++) {
        struct assay_compile_options options = {
            .platform = &found->platform, .isa = isas.items[i], .options = base->options, .n_options = base->n_options};
        if (found->runtime->check_options(&options, err) == ASSAY_INVALID)
            return assay_error_prefix(err, ASSAY_INVALID, "%s", found->platform.name);
    }
    return ASSAY_OK;
}

static enum assay_status add_platforms(struct assay_plan *plan, const struct assay_spec *spec, struct assay_case *base,
                                       struct assay_error *err)
{
    struct assay_text_list platforms = texts_or(&spec->platforms, default_platforms, ASSAY_COUNT(default_platforms));
    for (size_t p = 0; p < platforms.n; p++) {
        const struct assay_plan_platform *found;
        enum assay_status st = find_platform(plan, platforms.items[p], &found, err);
        if (st)
            return st;
        if (found->absent) {
            leave_out(plan, found->absent);
            continue;
        }
        st = check_options(spec, base, found, err);
        if (st)
            return st;
        base->platform = platforms.items[p];
        base->found = &found->platform;
        add_platform_cases(plan, spec, base, found->runtime);
    }
    return ASSAY_OK;
}

/* The cases in one precision: the model's own, or one that it is converted to. */
static enum assay_status add_precision(struct assay_plan *plan, const struct assay_spec *spec, struct model *model,
                                       const struct assay_graph *bound, const struct assay_case *base, const char *precision,
                                       struct assay_error *err)
{
    struct assay_case c = *base;
    enum assay_status st = ASSAY_OK;
    c.precision = precision;
    bool can_be = strcmp(base->model_precision, "f32") == 0 &&
                  (strcmp(precision, "f16") == 0 || strcmp(precision, "bf16") == 0 || assay_weight_only_dtype(precision));
    if (assay_case_converts(&c) && !can_be) {
        leave_out(plan, assay_arena_printf(&plan->arena,
                                           "%s in %s: the model is %s; only f32 is converted, to f16, bf16, w8a32 or w4a32",
                                           base->model, precision, base->model_precision));
        return ASSAY_OK;
    }
    if (assay_case_trains(&c)) {
        c.flops = c.bytes = NAN;
        if (model->loss && assay_training_cost(bound, model->loss, &c, err) == ASSAY_NO_MEMORY)
            st = ASSAY_NO_MEMORY; /* any other reason is the row's */
    } else if (c.new_tokens) {
        st = assay_phases_cost(&model->phases, &c, &plan->arena, err);
    } else if (assay_case_converts(&c)) {
        struct assay_graph *converted = assay_graph_clone(bound);
        st = assay_graph_convert_for_counting(converted, precision, err);
        if (!st)
            st = assay_graph_infer(converted, err);
        if (!st) { /* FLOPs are the model's: casts are a cost, and no work */
            struct assay_analysis analysis;
            assay_analysis_init(&analysis, converted);
            c.bytes = analysis.n_unknown ? NAN : analysis.bytes;
            assay_analysis_release(&analysis);
        }
        assay_graph_close(converted);
    }
    if (st == ASSAY_UNSUPPORTED) {
        leave_out(plan, assay_arena_printf(&plan->arena, "%s in %s: %s", base->model, precision, err->message));
        return ASSAY_OK;
    }
    return st ? assay_error_prefix(err, st, "%s", base->model) : add_platforms(plan, spec, &c, err);
}

/* The phases of a model that generates; *here is false, and the reason told, where it doesn't. */
static enum assay_status need_phases(struct assay_plan *plan, struct model *model, const char *name, bool *here,
                                     struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    *here = model->has_phases;
    if (model->has_phases)
        return ASSAY_OK;
    if (model->info.generation.generates)
        st = assay_phases_open(&model->phases, model->path, ASSAY_WEIGHTS_DECLARED, err);
    else
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "the model generates no text");
    if (st) {
        leave_out(plan, assay_arena_printf(&plan->arena, "%s with new tokens: %s", name, err->message));
        return ASSAY_OK;
    }
    model->request = assay_phases_inputs(&model->phases, &plan->arena);
    *here = model->has_phases = true;
    return ASSAY_OK;
}

static enum assay_status check_entries_of(const struct assay_spec *spec, const struct assay_open_inputs *inputs,
                                          struct assay_error *err)
{
    enum assay_status st = assay_shape_check_inputs(&spec->shapes, "shape", inputs, err);
    if (!st)
        st = assay_shape_check_inputs(&spec->inputs, "input", inputs, err);
    return st ? st : assay_shape_check_dims(&spec->dims, inputs, err);
}

/* The cases at one batch and number of new tokens. */
static enum assay_status add_batch(struct assay_plan *plan, const struct assay_spec *spec, struct model *model,
                                   struct assay_case *base, struct assay_error *err)
{
    bool has_batch = false;
    struct assay_graph *bound = NULL;
    struct assay_open_inputs *inputs = base->new_tokens ? &model->request : &model->inputs;
    enum assay_status st = check_entries_of(spec, inputs, err);
    if (!st)
        st = make_inputs(plan, spec, inputs, base->batch, base, &has_batch, err);
    if (st)
        return assay_error_prefix(err, st, "%s", base->model);
    if (!has_batch && base->batch != 1) {
        leave_out(plan, assay_arena_printf(&plan->arena, "%s at batch %lld: the model fixes its batch", base->model,
                                           (long long)base->batch));
        return ASSAY_OK;
    }
    if (base->new_tokens)
        describe(plan, model->graph, base);
    else if (!(st = bind_graph(plan, model->graph, base, &bound, err)))
        describe(plan, bound, base);
    struct assay_text_list precisions = texts_or(&spec->precisions, &base->model_precision, 1);
    if (st)
        assay_error_prefix(err, st, "%s", base->model);
    for (size_t i = 0; !st && i < precisions.n; i++)
        st = add_precision(plan, spec, model, bound, base, precisions.items[i], err);
    assay_graph_close(bound);
    return st;
}

static enum assay_status add_cases(struct assay_plan *plan, const struct assay_spec *spec, struct model *model,
                                   struct assay_case *base, struct assay_error *err)
{
    struct assay_int_list batches = ints_or(&spec->batches, one), tokens = ints_or(&spec->new_tokens, none);
    if (assay_case_trains(base))
        tokens = (struct assay_int_list){none, 1};
    enum assay_status st = ASSAY_OK;
    for (size_t t = 0; !st && t < tokens.n; t++) {
        bool here = true;
        base->new_tokens = tokens.items[t];
        if (base->new_tokens)
            st = need_phases(plan, model, base->model, &here, err);
        for (size_t b = 0; here && !st && b < batches.n; b++) {
            base->batch = batches.items[b];
            st = add_batch(plan, spec, model, base, err);
        }
    }
    return st;
}

static enum assay_status set_training(struct assay_case *c, const struct assay_spec *spec, struct assay_arena *arena,
                                      struct assay_error *err)
{
    struct assay_optimizer optimizer;
    char text[ASSAY_OPTIMIZER_TEXT_SIZE];
    enum assay_status st = assay_optimizer_parse(spec->optimizer ? spec->optimizer : "adamw", &optimizer, err);
    if (!st && spec->loss)
        st = assay_training_check_loss(spec->loss, err);
    if (st)
        return st;
    c->optimizer = assay_arena_strdup(arena, assay_optimizer_text(&optimizer, text));
    c->loss = spec->loss;
    return ASSAY_OK;
}

/* A model that cannot be trained is opened as it is: its cases are rows that say why. */
static enum assay_status open_model(struct model *model, const struct assay_case *c, struct assay_error *err)
{
    enum assay_status st = ASSAY_UNSUPPORTED;
    if (assay_case_trains(c))
        st = assay_training_open(model->path, c->loss, &model->graph, &model->loss, &model->info, err);
    return st == ASSAY_UNSUPPORTED ? assay_model_open(model->path, NULL, &model->graph, &model->info, err) : st;
}

static enum assay_status add_model(struct assay_plan *plan, const struct assay_spec *spec, const char *path, const char *mode,
                                   struct assay_error *err)
{
    struct model model = {.path = path};
    struct assay_case base = {.model_path = assay_arena_strdup(&plan->arena, path), .mode = mode};
    char *whole = realpath(path, NULL); /* the row's command works from any folder */
    if (whole)
        base.model_path = assay_arena_strdup(&plan->arena, whole);
    free(whole);
    char id[ASSAY_HASH_TEXT_SIZE];
    if (!is_utf8(base.model_path))
        return assay_error_set(err, ASSAY_INVALID, "the path of model '%s' is not UTF-8: give it another name", base.model_path);
    enum assay_status st = assay_case_trains(&base) ? set_training(&base, spec, &plan->arena, err) : ASSAY_OK;
    if (st)
        return st;
    st = open_model(&model, &base, err);
    if (st) {
        add_sentence(plan, &plan->unreadable, &plan->n_unreadable, assay_arena_strdup(&plan->arena, err->message));
        return ASSAY_OK;
    }
    model.inputs = assay_shape_inputs(model.graph, &plan->arena);
    assay_graph_hash(model.graph, id);
    base.model_id = assay_arena_strdup(&plan->arena, id);
    base.model = model_name(spec, path, &plan->arena);
    set_measuring(&base, spec);
    base.weights = model.info.weights;
    st = set_options(&base, spec, &plan->arena, err);
    if (!st)
        st = add_cases(plan, spec, &model, &base, err);
    assay_phases_release(&model.phases);
    assay_graph_close(model.graph);
    return st;
}

enum assay_status assay_plan_add(struct assay_plan *plan, const struct assay_spec *spec, struct assay_error *err)
{
    struct assay_text_list modes = texts_or(&spec->modes, default_modes, 1);
    enum assay_status st = assay_spec_check(spec, err);
    for (size_t i = 0; !st && i < spec->models.n; i++)
        for (size_t m = 0; !st && m < modes.n; m++)
            st = add_model(plan, spec, spec->models.items[i], modes.items[m], err);
    return st;
}

const char *assay_plan_id(struct assay_plan *plan, const char *host)
{
    struct assay_hash hash;
    char text[ASSAY_HASH_TEXT_SIZE];
    assay_hash_init(&hash);
    for (size_t i = 0; i < plan->n_cases; i++)
        assay_hash_text(&hash, assay_case_id(&plan->cases[i], host, &plan->arena));
    assay_hash_final(&hash, text);
    return assay_arena_strndup(&plan->arena, text, 8);
}
