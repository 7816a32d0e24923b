/* SPDX-License-Identifier: Apache-2.0 */
/* See plan.h. */
#include "bench/plan.h"

#include "base/fs.h"
#include "bench/inputs.h"
#include "graph/infer.h"
#include "model/analysis.h"
#include "model/model.h"
#include "runtime/registry.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char *const scenarios[] = {"single-stream", "multi-stream", "offline", "server"};

void assay_spec_init(struct assay_spec *spec)
{
    *spec = (struct assay_spec){.seed = -1,
                                .optimization = -1,
                                .min_time = NAN,
                                .max_time = NAN,
                                .warmup_time = NAN,
                                .interval = NAN,
                                .latency_bound = NAN,
                                .time_limit = NAN,
                                .tolerance = NAN};
}

void assay_spec_override(struct assay_spec *spec, const struct assay_spec *over)
{
    static const size_t texts[] = {offsetof(struct assay_spec, models),     offsetof(struct assay_spec, platforms),
                                   offsetof(struct assay_spec, modes),      offsetof(struct assay_spec, scenarios),
                                   offsetof(struct assay_spec, precisions), offsetof(struct assay_spec, isas),
                                   offsetof(struct assay_spec, shapes),     offsetof(struct assay_spec, dims),
                                   offsetof(struct assay_spec, inputs),     offsetof(struct assay_spec, options)};
    static const size_t ints[] = {offsetof(struct assay_spec, batches), offsetof(struct assay_spec, threads)};
    static const size_t reals[] = {offsetof(struct assay_spec, min_time),      offsetof(struct assay_spec, max_time),
                                   offsetof(struct assay_spec, warmup_time),   offsetof(struct assay_spec, interval),
                                   offsetof(struct assay_spec, latency_bound), offsetof(struct assay_spec, time_limit),
                                   offsetof(struct assay_spec, tolerance)};
    for (size_t i = 0; i < ASSAY_COUNT(texts); i++) {
        const struct assay_text_list *from = (const void *)((const char *)over + texts[i]);
        if (from->n)
            *(struct assay_text_list *)(void *)((char *)spec + texts[i]) = *from;
    }
    for (size_t i = 0; i < ASSAY_COUNT(ints); i++) {
        const struct assay_int_list *from = (const void *)((const char *)over + ints[i]);
        if (from->n)
            *(struct assay_int_list *)(void *)((char *)spec + ints[i]) = *from;
    }
    for (size_t i = 0; i < ASSAY_COUNT(reals); i++) {
        double from = *(const double *)(const void *)((const char *)over + reals[i]);
        if (!isnan(from))
            *(double *)(void *)((char *)spec + reals[i]) = from;
    }
    if (over->name)
        spec->name = over->name;
    if (over->ep_library)
        spec->ep_library = over->ep_library;
    if (over->suite)
        spec->suite = over->suite;
    if (over->trace_path)
        spec->trace_path = over->trace_path;
    if (over->seed >= 0)
        spec->seed = over->seed;
    if (over->optimization >= 0)
        spec->optimization = over->optimization;
    if (over->memory_limit)
        spec->memory_limit = over->memory_limit;
    spec->no_check |= over->no_check;
    spec->profile |= over->profile;
}

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

static void leave_out(struct assay_plan *plan, const char *sentence)
{
    for (size_t i = 0; i < plan->n_left_out; i++)
        if (strcmp(plan->left_out[i], sentence) == 0)
            return;
    plan->left_out =
        assay_arena_grow(&plan->arena, plan->left_out, plan->n_left_out, plan->n_left_out + 1, sizeof *plan->left_out);
    plan->left_out[plan->n_left_out++] = sentence;
}

/* ---- "name=value" lists */

static enum assay_status check_entries(const struct assay_text_list *list, const char *option, struct assay_error *err)
{
    for (size_t i = 0; i < list->n; i++)
        if (!strchr(list->items[i], '=') || list->items[i][0] == '=')
            return assay_error_set(err, ASSAY_INVALID, "--%s '%s' is not NAME=VALUE", option, list->items[i]);
    return ASSAY_OK;
}

/* Cases travel and are kept as JSON, which takes nothing else. */
static bool is_utf8(const char *text)
{
    json_t *string = json_string(text);
    json_decref(string);
    return string != NULL;
}

/* A case's inputs at one batch. *has_batch: whether any dimension follows the batch. */
static enum assay_status make_inputs(struct assay_plan *plan, const struct assay_spec *spec, const struct assay_graph *graph,
                                     int64_t batch, struct assay_case *c, bool *has_batch, struct assay_error *err)
{
    struct assay_arena *arena = &plan->arena;
    c->n_inputs = (size_t)graph->n_inputs;
    c->inputs = assay_arena_array(arena, c->n_inputs, sizeof *c->inputs);
    const struct assay_shape_request request = {spec->shapes, spec->dims, batch, graph};
    *has_batch = false;
    for (int i = 0; i < graph->n_inputs; i++) {
        const struct assay_value *v = &graph->values[graph->inputs[i]];
        const char *kind = assay_entry_find(&spec->inputs, v->name);
        struct assay_case_input *input = &c->inputs[i];
        input->name = assay_arena_strdup(arena, v->name);
        enum assay_status st = assay_shape_bind(&request, v, &input->type, has_batch, err);
        if (st)
            return st;
        if (!assay_shape_is_whole(&input->type))
            return assay_error_set(err, ASSAY_INVALID, "the shape of input '%s' is open: give --shape %s=%s with numbers",
                                   v->name, v->name, assay_shape_hint(&input->type, arena));
        if (assay_dtype_size(input->type.dtype) == 0)
            return assay_error_set(err, ASSAY_UNSUPPORTED, "input '%s' is %s, which nothing here makes", v->name,
                                   assay_dtype_word((int)input->type.dtype));
        input->kind = kind ? assay_arena_strdup(arena, kind) : assay_input_guess(graph, graph->inputs[i], arena);
        if (!is_utf8(input->name) || !is_utf8(input->kind))
            return assay_error_set(err, ASSAY_INVALID, "the name or kind of input %d is not UTF-8", i);
    }
    return ASSAY_OK;
}

/* ---- models */

/* What the plan keeps of a model; the graph is closed when its cases are made. */
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

static enum assay_status describe(struct assay_plan *plan, const struct assay_graph *graph, struct assay_case *c,
                                  struct assay_error *err)
{
    struct assay_analysis analysis;
    struct assay_graph *bound = assay_graph_clone(graph);
    struct assay_binding *bindings = assay_arena_array(&plan->arena, c->n_inputs * ASSAY_MAX_RANK, sizeof *bindings);
    size_t n = 0;
    for (size_t i = 0; i < c->n_inputs; i++)
        for (int d = 0; d < c->inputs[i].type.rank; d++)
            bindings[n++] = (struct assay_binding){assay_arena_printf(&plan->arena, "%s:%d", c->inputs[i].name, d),
                                                   c->inputs[i].type.dims[d]};
    enum assay_status st = assay_graph_bind(bound, bindings, n, err);
    if (!st)
        st = assay_graph_infer(bound, err);
    if (!st) {
        assay_analysis_init(&analysis, bound);
        c->parameters = analysis.parameters;
        c->flops = analysis.n_unknown ? NAN : analysis.flops; /* a part of a sum is no sum */
        c->bytes = analysis.n_unknown ? NAN : analysis.bytes;
        c->precision = assay_arena_strdup(&plan->arena, analysis.precision ? analysis.precision : "f32");
        c->family = analysis.family ? assay_arena_strdup(&plan->arena, analysis.family) : NULL;
        c->modality = analysis.modality ? assay_arena_strdup(&plan->arena, analysis.modality) : NULL;
        assay_analysis_release(&analysis);
    }
    assay_graph_close(bound);
    return st;
}

/* ---- the product */

static double or_default(double value, double otherwise) { return isnan(value) ? otherwise : value; }

static void set_measuring(struct assay_case *c, const struct assay_spec *spec)
{
    c->seed = spec->seed >= 0 ? spec->seed : 1;
    c->optimization = spec->optimization >= 0 ? spec->optimization : 3;
    c->min_time = or_default(spec->min_time, 0.5);
    c->max_time = or_default(spec->max_time, 10);
    c->warmup_time = or_default(spec->warmup_time, fmax(0.5, 0.25 * c->max_time));
    c->interval = or_default(spec->interval, 0.01);
    c->latency_bound = or_default(spec->latency_bound, 0);
    c->time_limit = or_default(spec->time_limit, 60 + 4 * c->max_time);
    c->tolerance = or_default(spec->tolerance, 0);
    c->memory_limit = spec->memory_limit;
    c->check = !spec->no_check;
    c->profile = spec->profile;
    c->trace_path = spec->trace_path;
    c->ep_library = spec->ep_library;
    c->suite = spec->suite;
    c->peak_flops = c->peak_bytes = NAN;
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

static void add_case(struct assay_plan *plan, const struct assay_case *c)
{
    if (plan->n_cases == plan->room) {
        size_t room = plan->room ? 2 * plan->room : 16;
        plan->cases = assay_arena_grow(&plan->arena, plan->cases, plan->n_cases, room, sizeof *plan->cases);
        plan->room = room;
    }
    plan->cases[plan->n_cases++] = *c;
}

/* One platform's cases for a model at one batch. */
static void add_platform_cases(struct assay_plan *plan, const struct assay_case *base, const struct assay_runtime *runtime,
                               const struct assay_text_list *isas, const struct assay_int_list *threads,
                               const struct assay_text_list *scenario_list)
{
    for (size_t s = 0; s < scenario_list->n; s++)
        for (size_t k = 0; k < isas->n; k++)
            for (size_t t = 0; t < threads->n; t++) {
                struct assay_case c = *base;
                if (runtime->max_threads && threads->items[t] > runtime->max_threads) {
                    leave_out(plan, assay_arena_printf(&plan->arena, "%s with %lld threads: it has %d", base->platform,
                                                       (long long)threads->items[t], runtime->max_threads));
                    continue;
                }
                c.scenario = scenario_list->items[s];
                c.isa = isas->items[k];
                c.threads = threads->items[t];
                add_case(plan, &c);
            }
}

static const char *one_text[] = {""};
static const char *default_platforms[] = {"cpu/reference", "cpu/onnxruntime"};
static const char *default_scenarios[] = {"single-stream"};

static struct assay_text_list texts_or(const struct assay_text_list *list, const char **otherwise, size_t n)
{
    return list->n ? *list : (struct assay_text_list){otherwise, n};
}

static enum assay_status add_batch(struct assay_plan *plan, const struct assay_spec *spec, const struct assay_graph *graph,
                                   struct assay_case *base, int64_t batch, struct assay_error *err)
{
    static int64_t one[] = {1};
    struct assay_text_list platforms = texts_or(&spec->platforms, default_platforms, ASSAY_COUNT(default_platforms));
    struct assay_text_list scenario_list = texts_or(&spec->scenarios, default_scenarios, 1),
                           isas = texts_or(&spec->isas, one_text, 1);
    struct assay_int_list threads = spec->threads.n ? spec->threads : (struct assay_int_list){one, 1};
    bool has_batch = false;
    base->batch = batch;
    enum assay_status st = make_inputs(plan, spec, graph, batch, base, &has_batch, err);
    if (st)
        return assay_error_prefix(err, st, "%s", base->model);
    if (!has_batch && batch != 1) {
        leave_out(plan,
                  assay_arena_printf(&plan->arena, "%s at batch %lld: the model fixes its batch", base->model, (long long)batch));
        return ASSAY_OK;
    }
    st = describe(plan, graph, base, err);
    if (st)
        return assay_error_prefix(err, st, "%s", base->model);
    for (size_t i = 0; i < spec->precisions.n; i++)
        if (strcmp(spec->precisions.items[i], base->precision) != 0)
            leave_out(plan, assay_arena_printf(&plan->arena, "%s in %s: the file is %s, and nothing here converts it",
                                               base->model, spec->precisions.items[i], base->precision));
    bool wanted = spec->precisions.n == 0;
    for (size_t i = 0; i < spec->precisions.n; i++)
        wanted |= strcmp(spec->precisions.items[i], base->precision) == 0;
    for (size_t p = 0; wanted && p < platforms.n; p++) {
        struct assay_platform platform;
        const struct assay_runtime *runtime = NULL;
        st = assay_platform_find(&plan->arena, platforms.items[p], &platform, &runtime, err);
        if (st == ASSAY_ABSENT) {
            leave_out(plan, assay_arena_strdup(&plan->arena, err->message));
            continue;
        }
        if (st)
            return st;
        base->platform = platforms.items[p];
        add_platform_cases(plan, base, runtime, &isas, &threads, &scenario_list);
    }
    return ASSAY_OK;
}

static enum assay_status add_model(struct assay_plan *plan, const struct assay_spec *spec, const char *path,
                                   struct assay_error *err)
{
    static int64_t one[] = {1};
    struct assay_int_list batches = spec->batches.n ? spec->batches : (struct assay_int_list){one, 1};
    struct assay_graph *graph = NULL;
    struct assay_case base = {.model_path = assay_arena_strdup(&plan->arena, path), .mode = "inference"};
    char *whole = realpath(path, NULL); /* the row's command works from any folder */
    if (whole)
        base.model_path = assay_arena_strdup(&plan->arena, whole);
    free(whole);
    char id[ASSAY_HASH_TEXT_SIZE];
    if (!is_utf8(base.model_path))
        return assay_error_set(err, ASSAY_INVALID, "the path of model '%s' is not UTF-8: give it another name", base.model_path);
    struct assay_model_info info;
    enum assay_status st = assay_model_open(path, NULL, &graph, &info, err);
    if (st)
        return st;
    assay_graph_hash(graph, id);
    base.model_id = assay_arena_strdup(&plan->arena, id);
    base.model = model_name(spec, path, &plan->arena);
    set_measuring(&base, spec);
    base.weights = info.weights;
    st = set_options(&base, spec, &plan->arena, err);
    if (!st)
        st = assay_shape_check_inputs(&spec->shapes, "shape", graph, err);
    if (!st)
        st = assay_shape_check_inputs(&spec->inputs, "input", graph, err);
    if (!st)
        st = assay_shape_check_dims(&spec->dims, graph, err);
    for (size_t b = 0; !st && b < batches.n; b++)
        st = add_batch(plan, spec, graph, &base, batches.items[b], err);
    assay_graph_close(graph);
    return st;
}

/* All in seconds or shares; a day is far more than any case needs, and far less than a clock's end. */
static enum assay_status check_measuring(const struct assay_spec *spec, struct assay_error *err)
{
    const double day = 86400;
    const struct {
        const char *option;
        double value, least, most;
    } numbers[] = {{"min-time", spec->min_time, 0, day},        {"max-time", spec->max_time, 1e-9, day},
                   {"warmup-time", spec->warmup_time, 0, day},  {"interval", spec->interval, 0, 1},
                   {"time-limit", spec->time_limit, 1e-3, day}, {"latency-bound", spec->latency_bound, 0, day},
                   {"tolerance", spec->tolerance, 0, 1e6}};
    for (size_t i = 0; i < ASSAY_COUNT(numbers); i++)
        if (numbers[i].value < numbers[i].least || numbers[i].value > numbers[i].most)
            return assay_error_set(err, ASSAY_INVALID, "--%s %g is not from %g to %g", numbers[i].option, numbers[i].value,
                                   numbers[i].least, numbers[i].most);
    if (spec->memory_limit < 0)
        return assay_error_set(err, ASSAY_INVALID, "--memory-limit must be above 0");
    if (spec->optimization > 3)
        return assay_error_set(err, ASSAY_INVALID, "--optimization %lld is not from 0 to 3", (long long)spec->optimization);
    return ASSAY_OK;
}

static enum assay_status check_spec(const struct assay_spec *spec, struct assay_error *err)
{
    const struct {
        const struct assay_text_list *list;
        const char *option;
    } entries[] = {{&spec->shapes, "shape"}, {&spec->dims, "dim"}, {&spec->inputs, "input"}, {&spec->options, "option"}};
    for (size_t i = 0; i < ASSAY_COUNT(entries); i++) {
        enum assay_status st = check_entries(entries[i].list, entries[i].option, err);
        if (st)
            return st;
    }
    if (spec->models.n == 0)
        return assay_error_set(err, ASSAY_INVALID, "no model is given");
    for (size_t i = 0; i < spec->modes.n; i++)
        if (strcmp(spec->modes.items[i], "inference") != 0)
            return assay_error_set(err, ASSAY_INVALID, "there is no mode '%s'; there is: inference", spec->modes.items[i]);
    for (size_t i = 0; i < spec->scenarios.n; i++) {
        size_t k = 0;
        while (k < ASSAY_COUNT(scenarios) && strcmp(scenarios[k], spec->scenarios.items[i]) != 0)
            k++;
        if (k == ASSAY_COUNT(scenarios))
            return assay_error_set(err, ASSAY_INVALID,
                                   "there is no scenario '%s'; there are: single-stream, multi-stream, offline, server",
                                   spec->scenarios.items[i]);
    }
    for (size_t i = 0; i < spec->batches.n; i++)
        if (spec->batches.items[i] < 1 || spec->batches.items[i] > ASSAY_MAX_DIM)
            return assay_error_set(err, ASSAY_INVALID, "batch %lld is not from 1 to %d", (long long)spec->batches.items[i],
                                   ASSAY_MAX_DIM);
    for (size_t i = 0; i < spec->threads.n; i++)
        if (spec->threads.items[i] < 1 || spec->threads.items[i] > 4096)
            return assay_error_set(err, ASSAY_INVALID, "%lld is no number of threads from 1 to 4096",
                                   (long long)spec->threads.items[i]);
    return check_measuring(spec, err);
}

enum assay_status assay_plan_add(struct assay_plan *plan, const struct assay_spec *spec, struct assay_error *err)
{
    enum assay_status st = check_spec(spec, err);
    for (size_t i = 0; !st && i < spec->models.n; i++)
        st = add_model(plan, spec, spec->models.items[i], err);
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
