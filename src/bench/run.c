/* SPDX-License-Identifier: Apache-2.0 */
/* See run.h. */
#include "bench/run.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/subprocess.h"
#include "base/version.h"
#include "bench/environment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

const char *assay_run_id(struct assay_arena *arena, const char *plan_id)
{
    char text[ASSAY_UTC_TEXT_SIZE];
    int64_t now = assay_clock_utc_us();
    assay_clock_utc_text(now, text);
    return assay_arena_printf(arena, "%.4s%.2s%.2sT%.2s%.2s%.2sZ-%04x-%s", text, text + 5, text + 8, text + 11, text + 14,
                              text + 17, (unsigned)((uint64_t)now * 2654435761u + (unsigned)getpid()) & 0xffff, plan_id);
}

/* ---- the row's identity and place */

static void set_machine(const struct assay_machine *m, struct assay_row *row)
{
    assay_row_set_text(row, ASSAY_ROW_host, m->host);
    assay_row_set_text(row, ASSAY_ROW_device_name, m->cpu_name);
    assay_row_set_text(row, ASSAY_ROW_device_kind, "cpu");
    assay_row_set_text(row, ASSAY_ROW_device_vendor, m->cpu_vendor);
    assay_row_set_int(row, ASSAY_ROW_device_cores, m->n_cores);
    assay_row_set_int(row, ASSAY_ROW_device_memory_bytes, m->memory_bytes);
    assay_row_set_text(row, ASSAY_ROW_device_isa, assay_machine_isa_text((struct assay_machine *)m));
    assay_row_set_text(row, ASSAY_ROW_driver_version, m->kernel);
    assay_row_set_text(row, ASSAY_ROW_virtualization, m->virtualization);
}

/* A GPU's own facts, where the platform is one; those of the CPU would be wrong. */
static void set_device(const struct assay_machine *m, const struct assay_platform *platform, struct assay_row *row)
{
    set_machine(m, row);
    if (strcmp(platform->device, "cpu") == 0)
        return;
    const struct assay_gpu_info *gpu = m->n_gpus ? &m->gpus[0] : NULL;
    static const enum assay_column cpus[] = {ASSAY_ROW_device_name,         ASSAY_ROW_device_vendor, ASSAY_ROW_device_cores,
                                             ASSAY_ROW_device_memory_bytes, ASSAY_ROW_device_isa,    ASSAY_ROW_driver_version};
    for (size_t i = 0; i < ASSAY_COUNT(cpus); i++)
        row->cells[cpus[i]].set = false;
    assay_row_set_text(row, ASSAY_ROW_device_kind, "gpu");
    if (gpu) {
        assay_row_set_text(row, ASSAY_ROW_device_name, gpu->name);
        assay_row_set_text(row, ASSAY_ROW_device_vendor, gpu->vendor);
        assay_row_set_int(row, ASSAY_ROW_device_memory_bytes, gpu->memory_bytes);
        assay_row_set_text(row, ASSAY_ROW_driver_version, gpu->driver);
    }
}

static void set_identity(const struct assay_run_options *options, const struct assay_case *c, int64_t start_us,
                         struct assay_row *row)
{
    struct assay_hash hash;
    char text[ASSAY_HASH_TEXT_SIZE];
    assay_case_fill_row(c, options->machine->host, row);
    assay_hash_init(&hash);
    assay_hash_text(&hash, options->run_id);
    assay_hash_text(&hash, assay_row_text(row, ASSAY_ROW_case_id, ""));
    assay_hash_u64(&hash, (uint64_t)start_us);
    assay_hash_u64(&hash, (uint64_t)getpid());
    assay_hash_final(&hash, text);
    text[32] = 0;
    assay_row_set_text(row, ASSAY_ROW_result_id, text);
    assay_row_set_text(row, ASSAY_ROW_run_id, options->run_id);
    assay_row_set_int(row, ASSAY_ROW_schema_version, ASSAY_SCHEMA_VERSION);
    assay_row_set_int(row, ASSAY_ROW_time, start_us);
    assay_row_set_text(row, ASSAY_ROW_assay_version, ASSAY_VERSION);
    assay_row_set_text(row, ASSAY_ROW_provenance, "measured");
}

static void set_platform(const struct assay_machine *machine, const struct assay_case *c, struct assay_row *row)
{
    const struct assay_platform *platform = c->found;
    assay_row_set_text(row, ASSAY_ROW_platform, c->platform);
    if (!platform)
        return;
    assay_row_set_text(row, ASSAY_ROW_device, platform->device);
    assay_row_set_text(row, ASSAY_ROW_runtime, platform->runtime);
    assay_row_set_text(row, ASSAY_ROW_runtime_version, platform->version);
    assay_row_set_text(row, ASSAY_ROW_variant, *platform->variant ? platform->variant : NULL);
    set_device(machine, platform, row);
}

/* ---- one case */

static const char *last_line(const char *text, struct assay_arena *arena)
{
    size_t end = strlen(text);
    while (end && (text[end - 1] == '\n' || text[end - 1] == '\r'))
        end--;
    size_t start = end;
    while (start && text[start - 1] != '\n')
        start--;
    return assay_arena_strndup(arena, text + start, end - start > 300 ? 300 : end - start);
}

/* What a child that gave no row died of. */
static void set_death(const struct assay_case *c, const struct assay_subprocess_outcome *out, struct assay_row *row)
{
    enum assay_status st = out->status;
    const char *said = last_line(out->errors, &row->arena), *reason;
    if (st == ASSAY_TIMEOUT)
        reason = assay_arena_printf(&row->arena, "it had not ended after %g s (--time-limit)", c->time_limit);
    else if (st == ASSAY_NO_MEMORY)
        reason = assay_arena_printf(&row->arena, "it used more than %.0f MiB (--memory-limit)", (double)c->memory_limit / 0x1p20);
    else if (out->signal)
        reason = assay_arena_printf(&row->arena, "its process died of %s%s%s", assay_signal_text(out->signal),
                                    *said ? "; it last said: " : "", said);
    else
        reason = assay_arena_printf(&row->arena, "its process ended with code %d and no result%s%s", out->exit_code,
                                    *said ? "; it last said: " : "", said);
    assay_row_set_text(row, ASSAY_ROW_status, assay_status_word(st == ASSAY_OK ? ASSAY_CRASHED : st));
    assay_row_set_text(row, ASSAY_ROW_reason, reason);
    assay_row_set_int(row, ASSAY_ROW_peak_memory_bytes, out->peak_resident_bytes);
}

/* The child's answer; false if there is none that can be read. */
static bool read_answer(const struct assay_subprocess_outcome *out, struct assay_row *row, json_t **profile)
{
    json_t *answer = NULL;
    struct assay_error ignored;
    *profile = NULL;
    if (out->status != ASSAY_OK || out->exit_code != 0 ||
        assay_json_parse(out->output, out->output_size_bytes, "child", &answer, &ignored))
        return false;
    bool fine = assay_row_from_json(row, json_object_get(answer, "row"), &ignored) == ASSAY_OK;
    if (fine && json_is_array(json_object_get(answer, "profile")))
        *profile = json_incref(json_object_get(answer, "profile"));
    json_decref(answer);
    return fine;
}

static enum assay_status run_case(const struct assay_run_options *options, const struct assay_case *c, struct assay_row *row,
                                  json_t **profile, struct assay_error *err)
{
    struct assay_subprocess_outcome out;
    const char *const argv[] = {options->program, ASSAY_CHILD_VERB, NULL};
    json_t *json = assay_case_to_json(c);
    char *input = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17));
    const char *const *environment = assay_environment_make(environ, (int)c->threads, options->set_environment, &row->arena);
    struct assay_subprocess_options child = {
        .argv = argv,
        .environment = environment,
        .input = input,
        .input_size_bytes = strlen(input),
        .time_limit_ns = (int64_t)(c->time_limit * 1e9),
        .memory_limit_bytes = c->memory_limit,
        .stop = options->stop,
    };
    int64_t start_us = assay_clock_utc_us();
    enum assay_status st = assay_subprocess_run(&child, &row->arena, &out, err);
    free(input);
    json_decref(json);
    if (st)
        return st;
    if (out.status == ASSAY_INTERRUPTED || (options->stop && *options->stop))
        return assay_error_set(err, ASSAY_INTERRUPTED, "stopped by a person");
    if (!read_answer(&out, row, profile)) {
        struct assay_arena kept = row->arena; /* `out` lives in it */
        memset(row->cells, 0, sizeof row->cells);
        row->arena = kept;
        set_death(c, &out, row);
    }
    set_identity(options, c, start_us, row);
    set_platform(options->machine, c, row);
    assay_environment_record(environ, environment, row);
    return ASSAY_OK;
}

static enum assay_status run_one(const struct assay_run_options *options, const struct assay_case *c, assay_on_row *on_row,
                                 struct assay_error *err)
{
    struct assay_row row;
    json_t *profile = NULL;
    assay_row_init(&row);
    enum assay_status st = run_case(options, c, &row, &profile, err);
    if (!st)
        st = on_row(options->context, c, &row, profile, err);
    json_decref(profile);
    assay_row_release(&row);
    return st;
}

enum assay_status assay_plan_run(struct assay_plan *plan, const struct assay_run_options *options, assay_on_row *on_row,
                                 struct assay_error *err)
{
    int total = options->rounds * (int)plan->n_cases, index = 0;
    for (int round = 0; round < options->rounds; round++)
        for (size_t i = 0; i < plan->n_cases; i++, index++) {
            struct assay_case *c = &plan->cases[i];
            if (options->stop && *options->stop)
                return assay_error_set(err, ASSAY_INTERRUPTED, "stopped by a person");
            if (options->is_done &&
                options->is_done(options->context, assay_case_id(c, options->machine->host, &plan->arena), round))
                continue;
            if (options->skips && options->skips(options->context, c))
                continue;
            if (c->memory_limit == 0)
                c->memory_limit =
                    (int64_t)(0.9 * (double)(options->machine->memory_limit_bytes ? options->machine->memory_limit_bytes
                                                                                  : options->machine->memory_bytes));
            if (options->on_start)
                options->on_start(options->context, c, index, total);
            enum assay_status st = run_one(options, c, on_row, err);
            if (st)
                return st;
        }
    return ASSAY_OK;
}
