/* SPDX-License-Identifier: Apache-2.0 */
/* See spec.h. */
#include "bench/spec.h"

#include "base/range.h"
#include "device/device.h"
#include "graph/weight_only.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const char *const scenarios[] = {"single-stream", "multi-stream", "offline", "server"};

void assay_spec_init(struct assay_spec *spec)
{
    *spec = (struct assay_spec){.seed = ASSAY_SPEC_UNSET,
                                .optimization = ASSAY_SPEC_UNSET,
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
    static const size_t ints[] = {offsetof(struct assay_spec, batches), offsetof(struct assay_spec, threads),
                                  offsetof(struct assay_spec, new_tokens)};
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
    if (over->optimizer)
        spec->optimizer = over->optimizer;
    if (over->loss)
        spec->loss = over->loss;
    if (over->suite)
        spec->suite = over->suite;
    if (over->trace_path)
        spec->trace_path = over->trace_path;
    if (over->seed != ASSAY_SPEC_UNSET)
        spec->seed = over->seed;
    if (over->optimization != ASSAY_SPEC_UNSET)
        spec->optimization = over->optimization;
    if (over->memory_limit)
        spec->memory_limit = over->memory_limit;
    spec->no_check |= over->no_check;
    spec->profile |= over->profile;
}

/* ---- "name=value" lists */

static enum assay_status check_entries(const struct assay_text_list *list, const char *option, struct assay_error *err)
{
    for (size_t i = 0; i < list->n; i++)
        if (!strchr(list->items[i], '=') || list->items[i][0] == '=')
            return assay_error_set(err, ASSAY_INVALID, "--%s '%s' is not NAME=VALUE", option, list->items[i]);
    return ASSAY_OK;
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
        if (!isnan(numbers[i].value) &&
            assay_range_check_real(numbers[i].option, numbers[i].value, numbers[i].least, numbers[i].most, err))
            return ASSAY_INVALID;
    if (spec->memory_limit < 0)
        return assay_error_set(err, ASSAY_INVALID, "--memory-limit must be above 0");
    if (spec->seed != ASSAY_SPEC_UNSET && assay_range_check_int("seed", spec->seed, 0, INT64_MAX, err))
        return ASSAY_INVALID;
    return spec->optimization == ASSAY_SPEC_UNSET ? ASSAY_OK
                                                  : assay_range_check_int("optimization", spec->optimization, 0, 3, err);
}

static enum assay_status check_counts(const struct assay_spec *spec, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (size_t i = 0; !st && i < spec->batches.n; i++)
        st = assay_range_check_int("batch", spec->batches.items[i], 1, ASSAY_MAX_DIM, err);
    for (size_t i = 0; !st && i < spec->threads.n; i++)
        st = assay_threads_check(spec->threads.items[i], err);
    for (size_t i = 0; !st && i < spec->new_tokens.n; i++)
        st = assay_range_check_int("new-tokens", spec->new_tokens.items[i], 0, ASSAY_MAX_NEW_TOKENS, err);
    return st;
}

enum assay_status assay_spec_check(const struct assay_spec *spec, struct assay_error *err)
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
        if (strcmp(spec->modes.items[i], "inference") != 0 && strcmp(spec->modes.items[i], "training") != 0)
            return assay_error_set(err, ASSAY_INVALID, "there is no mode '%s'; there are: inference, training",
                                   spec->modes.items[i]);
    for (size_t i = 0; i < spec->scenarios.n; i++) {
        size_t k = 0;
        while (k < ASSAY_COUNT(scenarios) && strcmp(scenarios[k], spec->scenarios.items[i]) != 0)
            k++;
        if (k == ASSAY_COUNT(scenarios))
            return assay_error_set(err, ASSAY_INVALID,
                                   "there is no scenario '%s'; there are: single-stream, multi-stream, offline, server",
                                   spec->scenarios.items[i]);
    }
    for (size_t i = 0; i < spec->precisions.n; i++)
        if (assay_dtype_from_word(spec->precisions.items[i]) == ASSAY_NO_DTYPE &&
            strcmp(spec->precisions.items[i], "int8") != 0 && !assay_weight_only_dtype(spec->precisions.items[i]))
            return assay_error_set(err, ASSAY_INVALID,
                                   "there is no precision '%s'; there are: f32, f16, bf16, f64, int8, w8a32, w4a32",
                                   spec->precisions.items[i]);
    enum assay_status st = check_counts(spec, err);
    return st ? st : check_measuring(spec, err);
}
