/* SPDX-License-Identifier: Apache-2.0 */
/* See child.h. */
#include "bench/child.h"

#include "base/clock.h"
#include "bench/correctness.h"
#include "bench/inputs.h"
#include "bench/measure.h"
#include "bench/profile.h"
#include "device/device.h"
#include "graph/infer.h"
#include "model/model.h"
#include "runtime/registry.h"
#include "stats/stats.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double NOISY_SHARE = 0.05;
static const double PROFILE_TIME = 1.0; /* s */

/* A case in execution. */
struct session {
    const struct assay_case *c;
    struct assay_arena arena;
    struct assay_row *row;
    struct assay_graph *graph;
    struct assay_tensor *inputs;
    struct assay_platform platform;
    const struct assay_runtime *runtime;
    struct assay_program *program;
    struct assay_samples samples;
    struct assay_server_result server;
    struct assay_noise before, after;
    double energy_j; /* of one run; NaN if nothing meters it */
    bool is_server;
};

/* The first `threads` CPUs that we may use, and no others: what the runtime starts stays there. */
static void pin(const struct assay_case *c, struct assay_row *row)
{
    cpu_set_t allowed, chosen;
    char list[256] = "";
    int n = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    CPU_ZERO(&chosen);
    for (int cpu = 0; cpu < CPU_SETSIZE && n < c->threads; cpu++)
        if (CPU_ISSET(cpu, &allowed)) {
            CPU_SET(cpu, &chosen);
            size_t at = strlen(list);
            snprintf(list + at, sizeof list - at, "%s%d", n++ ? "," : "", cpu);
        }
    if (sched_setaffinity(0, sizeof chosen, &chosen) == 0)
        assay_row_map_text(row, ASSAY_ROW_environment, "affinity", list);
}

static enum assay_status load(struct session *s, struct assay_error *err)
{
    const struct assay_case *c = s->c;
    enum assay_status st = assay_model_open(c->model_path, NULL, &s->graph, NULL, err);
    if (st)
        return st;
    struct assay_binding *bindings = assay_arena_array(&s->arena, c->n_inputs * ASSAY_MAX_RANK, sizeof *bindings);
    size_t n = 0;
    for (size_t i = 0; i < c->n_inputs; i++)
        for (int d = 0; d < c->inputs[i].type.rank; d++)
            bindings[n++] =
                (struct assay_binding){assay_arena_printf(&s->arena, "%s:%d", c->inputs[i].name, d), c->inputs[i].type.dims[d]};
    return assay_graph_bind(s->graph, bindings, n, err);
}

static enum assay_status make_inputs(struct session *s, struct assay_error *err)
{
    s->inputs = assay_arena_array(&s->arena, (size_t)s->graph->n_inputs, sizeof *s->inputs);
    for (int i = 0; i < s->graph->n_inputs; i++) {
        const char *name = s->graph->values[s->graph->inputs[i]].name;
        size_t k = 0;
        while (k < s->c->n_inputs && strcmp(s->c->inputs[k].name, name) != 0)
            k++;
        if (k == s->c->n_inputs)
            return assay_error_set(err, ASSAY_INVALID, "the case says nothing of the model's input '%s'", name);
        enum assay_status st = assay_input_make(&s->c->inputs[k], (uint64_t)s->c->seed, &s->inputs[i], err);
        if (st)
            return st;
    }
    return ASSAY_OK;
}

static enum assay_status compile(struct session *s, bool profile, struct assay_program **program, struct assay_error *err)
{
    struct assay_compile_options options = {
        .platform = &s->platform,
        .n_threads = (int)s->c->threads,
        .isa = s->c->isa ? s->c->isa : "",
        .profile = profile,
        .optimization = (int)s->c->optimization,
        .ep_library = s->c->ep_library,
        .options = s->c->options,
        .n_options = s->c->n_options,
    };
    enum assay_status st = s->runtime->compile(s->graph, &options, program, err);
    if (!st)
        st = s->runtime->bind(*program, s->inputs, err);
    return st;
}

static enum assay_status run_program(void *context, struct assay_error *err)
{
    struct session *s = context;
    return s->runtime->run(s->program, err);
}

static enum assay_status prepare(struct session *s, struct assay_error *err)
{
    int64_t start = assay_clock_ns();
    enum assay_status st = load(s, err);
    int64_t loaded = assay_clock_ns();
    if (!st)
        st = make_inputs(s, err);
    int64_t made = assay_clock_ns();
    if (!st)
        st = compile(s, false, &s->program, err);
    int64_t compiled = assay_clock_ns();
    if (st)
        return st;
    assay_row_set_real(s->row, ASSAY_ROW_load_ns, (double)(loaded - start + compiled - made));
    assay_row_map_real(s->row, ASSAY_ROW_metrics, "read_ns", (double)(loaded - start));
    assay_row_map_real(s->row, ASSAY_ROW_metrics, "compile_ns", (double)(compiled - made));
    return ASSAY_OK;
}

static enum assay_status measure(struct session *s, struct assay_error *err)
{
    const struct assay_case *c = s->c;
    struct assay_work work = {.run = run_program, .context = s};
    struct assay_measure_options options = {c->warmup_time, c->min_time, c->max_time, c->interval};
    double energy_before = 0, energy_after = 0;
    enum assay_status st = assay_measure_warmup(&work, &options, &s->samples, err);
    if (st)
        return st;
    assay_row_set_real(s->row, ASSAY_ROW_frequency_before_hz, assay_device_frequency());
    bool metered = assay_energy_read(s->platform.device, &energy_before, NULL) == ASSAY_OK;
    assay_noise_read(&s->before);
    if (s->is_server) { /* a short look at the service time gives the rates to try */
        options.max_time = fmin(1, 0.1 * c->max_time);
        options.min_time = 0;
    }
    st = assay_measure_runs(&work, &options, &s->samples, err);
    if (!st && s->is_server)
        st = assay_measure_server(&work, assay_stats_median(s->samples.ns, s->samples.n), c->latency_bound * 1e9, c->max_time,
                                  (uint64_t)c->seed, &s->server, err);
    assay_noise_read(&s->after);
    if (metered && !s->is_server && assay_energy_read(s->platform.device, &energy_after, NULL) == ASSAY_OK && s->samples.n)
        s->energy_j = (energy_after - energy_before) / (double)s->samples.n;
    assay_row_set_real(s->row, ASSAY_ROW_frequency_after_hz, assay_device_frequency());
    return st;
}

/* ---- the row's figures */

static void set_memory(struct session *s)
{
    int64_t now, peak;
    struct assay_runtime_memory memory = {-1, -1, -1};
    assay_memory_resident(&now, &peak);
    assay_row_set_int(s->row, ASSAY_ROW_peak_memory_bytes, peak);
    if (s->runtime->memory)
        s->runtime->memory(s->program, &memory);
    if (memory.peak_bytes >= 0)
        assay_row_set_int(s->row, ASSAY_ROW_runtime_memory_bytes, memory.peak_bytes);
    if (memory.weights_bytes >= 0)
        assay_row_map_real(s->row, ASSAY_ROW_metrics, "runtime_weights_bytes", (double)memory.weights_bytes);
    if (memory.workspace_bytes >= 0)
        assay_row_map_real(s->row, ASSAY_ROW_metrics, "runtime_workspace_bytes", (double)memory.workspace_bytes);
}

static void set_noise(struct session *s)
{
    double steal = assay_noise_steal_share(&s->before, &s->after), other = assay_noise_other_share(&s->before, &s->after);
    double wall = (double)(s->after.wall_ns - s->before.wall_ns);
    assay_row_set_real(s->row, ASSAY_ROW_noise_steal_share, steal);
    assay_row_set_real(s->row, ASSAY_ROW_noise_other_cpu_share, other);
    assay_row_set_real(s->row, ASSAY_ROW_cpu_wall_ratio, (double)(s->after.own_cpu_ns - s->before.own_cpu_ns) / wall);
    assay_row_set_int(s->row, ASSAY_ROW_context_switches, s->after.involuntary_switches - s->before.involuntary_switches);
    assay_row_set_real(s->row, ASSAY_ROW_load_before, s->before.load1);
    assay_row_set_int(s->row, ASSAY_ROW_noisy, steal > NOISY_SHARE || other > NOISY_SHARE);
}

static void set_latency(struct assay_row *row, const struct assay_samples *samples)
{
    const double *x = samples->ns;
    size_t n = samples->n;
    struct assay_interval interval = assay_stats_median_interval(x, n, 0.95);
    assay_row_set_reals(row, ASSAY_ROW_samples_ns, x, n);
    assay_row_set_int(row, ASSAY_ROW_n_samples, (int64_t)n);
    assay_row_set_real(row, ASSAY_ROW_latency_median_ns, assay_stats_median(x, n));
    assay_row_set_real(row, ASSAY_ROW_latency_mean_ns, assay_stats_mean(x, n));
    assay_row_set_real(row, ASSAY_ROW_latency_min_ns, assay_stats_quantile(x, n, 0));
    if (interval.exists) {
        assay_row_set_real(row, ASSAY_ROW_latency_low_ns, interval.low);
        assay_row_set_real(row, ASSAY_ROW_latency_high_ns, interval.high);
    }
    if (assay_stats_supports(n, 0.9))
        assay_row_set_real(row, ASSAY_ROW_latency_p90_ns, assay_stats_quantile(x, n, 0.9));
    if (assay_stats_supports(n, 0.99))
        assay_row_set_real(row, ASSAY_ROW_latency_p99_ns, assay_stats_quantile(x, n, 0.99));
}

static void set_flops(const struct assay_case *c, struct assay_row *row, double run_ns)
{
    if (!isfinite(c->flops) || c->flops <= 0)
        return;
    double achieved = c->flops / run_ns * 1e9;
    assay_row_set_real(row, ASSAY_ROW_achieved_flops, achieved);
    if (c->peak_flops > 0) {
        assay_row_set_real(row, ASSAY_ROW_peak_flops, c->peak_flops);
        assay_row_set_real(row, ASSAY_ROW_peak_share, achieved / c->peak_flops);
    }
}

static void set_figures(struct session *s)
{
    const struct assay_case *c = s->c;
    struct assay_row *row = s->row;
    double run_ns = assay_stats_median(s->samples.ns, s->samples.n);
    assay_row_set_real(row, ASSAY_ROW_first_run_ns, s->samples.first_ns);
    assay_row_set_int(row, ASSAY_ROW_warmup_runs, s->samples.n_warmup);
    assay_row_set_int(row, ASSAY_ROW_steady, s->samples.steady);
    set_latency(row, s->is_server ? &s->server.latencies : &s->samples);
    set_flops(c, row, run_ns);
    assay_row_set_real(row, ASSAY_ROW_energy_j, s->energy_j);
    assay_row_set_text(row, ASSAY_ROW_throughput_unit, s->is_server ? "queries/s" : "samples/s");
    if (s->is_server) {
        assay_row_set_real(row, ASSAY_ROW_throughput, s->server.rate > 0 ? s->server.rate : NAN);
        assay_row_map_real(row, ASSAY_ROW_metrics, "latency_bound_ns", s->server.bound_ns);
        assay_row_map_real(row, ASSAY_ROW_metrics, "latency_rate_per_s", s->server.latency_rate);
        assay_row_map_real(row, ASSAY_ROW_metrics, "service_median_ns", run_ns);
        assay_row_map_reals(row, ASSAY_ROW_series, "server_rate_per_s", s->server.rates, s->server.n_tried);
        assay_row_map_reals(row, ASSAY_ROW_series, "server_p99_ns", s->server.p99s, s->server.n_tried);
    } else if (strcmp(c->scenario, "offline") == 0) {
        assay_row_set_real(row, ASSAY_ROW_throughput, (double)c->batch * (double)s->samples.n / (double)s->samples.wall_ns * 1e9);
    } else {
        assay_row_set_real(row, ASSAY_ROW_throughput, (double)c->batch / run_ns * 1e9);
    }
}

static enum assay_status check(struct session *s, struct assay_error *err)
{
    struct assay_correctness k;
    enum assay_status st = assay_correctness_check(s->c, s->graph, s->inputs, s->runtime, s->program, &s->arena, &k, err);
    assay_row_set_text(s->row, ASSAY_ROW_check_note, k.note);
    if (k.checked) {
        assay_row_set_text(s->row, ASSAY_ROW_check_against, "cpu/reference");
        assay_row_set_real(s->row, ASSAY_ROW_error_max_abs, k.max_abs);
        assay_row_set_real(s->row, ASSAY_ROW_error_max_rel, k.max_rel);
        assay_row_set_real(s->row, ASSAY_ROW_tolerance, k.tolerance);
    }
    return st;
}

/* ---- profile: a second program, since recording costs time */

enum { PROFILE_RUNS = 1000 };

/* Runs for PROFILE_TIME, at least 4 times; the wall time of each. */
static enum assay_status profile_runs(struct session *s, struct assay_program *program, double *run_ns, int *n_runs,
                                      struct assay_error *err)
{
    int64_t end = assay_clock_ns() + (int64_t)(PROFILE_TIME * 1e9);
    enum assay_status st = ASSAY_OK;
    for (*n_runs = 0; !st && *n_runs < PROFILE_RUNS && (*n_runs < 4 || assay_clock_ns() < end); ++*n_runs) {
        int64_t start = assay_clock_ns();
        st = s->runtime->run(program, err);
        run_ns[*n_runs] = (double)(assay_clock_ns() - start);
    }
    return st;
}

static enum assay_status profile(struct session *s, json_t **json, struct assay_error *err)
{
    struct assay_program *program = NULL;
    const struct assay_op_time *times = NULL;
    int n_times = 0, n_runs = 0;
    double *run_ns = assay_arena_array(&s->arena, PROFILE_RUNS, sizeof *run_ns);
    if (!s->runtime->profile)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "%s gives no times per op", s->platform.name);
    enum assay_status st = compile(s, true, &program, err);
    if (!st)
        st = profile_runs(s, program, run_ns, &n_runs, err);
    if (!st)
        st = s->runtime->profile(program, &times, &n_times, err);
    if (!st)
        st = assay_graph_infer(s->graph, err);
    if (!st)
        st = assay_profile_make(s->c, s->graph, times, n_times, run_ns, n_runs, json, err);
    s->runtime->release(program);
    return st;
}

/* Time by op type goes into the row; the rest of the profile is for the person who asked. */
static void set_profile(struct assay_row *row, const json_t *profile)
{
    size_t i;
    json_t *entry;
    json_array_foreach(profile, i, entry)
    {
        const char *type = json_string_value(json_object_get(entry, "type"));
        const char *key = assay_arena_printf(&row->arena, "op_%s_ns", *type ? type : "outside");
        const struct assay_map_entry *old = assay_row_map_find(row, ASSAY_ROW_metrics, key);
        assay_row_map_real(row, ASSAY_ROW_metrics, key,
                           (old ? old->real : 0) + json_number_value(json_object_get(entry, "median_ns")));
    }
}

static void release(struct session *s)
{
    if (s->runtime)
        s->runtime->release(s->program);
    for (int i = 0; s->inputs && i < s->graph->n_inputs; i++)
        assay_tensor_release(&s->inputs[i]);
    assay_graph_close(s->graph);
    assay_samples_release(&s->samples);
    assay_server_result_release(&s->server);
    assay_arena_release(&s->arena);
}

/* What has no place among a row's statuses becomes the nearest of them. */
static enum assay_status outcome(enum assay_status st)
{
    switch (st) {
    case ASSAY_ABSENT:
    case ASSAY_INVALID:
        return ASSAY_UNSUPPORTED;
    case ASSAY_IO:
    case ASSAY_INTERRUPTED:
        return ASSAY_CRASHED;
    default:
        return st;
    }
}

void assay_case_measure(const struct assay_case *c, struct assay_row *row, json_t **json)
{
    struct session s = {.c = c, .row = row, .energy_j = NAN, .is_server = strcmp(c->scenario, "server") == 0};
    struct assay_error err = {0};
    int64_t now, peak;
    *json = NULL;
    assay_arena_init(&s.arena);
    assay_memory_resident(&now, &peak);
    assay_row_set_int(row, ASSAY_ROW_base_memory_bytes, now);
    pin(c, row);
    enum assay_status st = assay_platform_find(&s.arena, c->platform, &s.platform, &s.runtime, &err);
    if (!st)
        st = prepare(&s, &err);
    if (!st)
        st = measure(&s, &err);
    if (!st) {
        set_memory(&s);
        set_noise(&s);
        st = check(&s, &err);
    }
    if (!st) {
        set_figures(&s);
        if (c->profile && profile(&s, json, &err))
            assay_row_map_text(row, ASSAY_ROW_environment, "profile", err.message);
        set_profile(row, *json);
    }
    assay_row_set_text(row, ASSAY_ROW_status, assay_status_word(outcome(st)));
    if (st)
        assay_row_set_text(row, ASSAY_ROW_reason, err.message);
    release(&s);
}

/* ---- the process */

static enum assay_status read_case(struct assay_case *c, struct assay_arena *arena, struct assay_error *err)
{
    json_error_t where;
    json_t *object = json_loadf(stdin, JSON_REJECT_DUPLICATES, &where);
    if (!object)
        return assay_error_set(err, ASSAY_INVALID, "standard input is no case: %s", where.text);
    enum assay_status st = assay_case_from_json(c, object, arena, err);
    json_decref(object);
    return st;
}

int assay_child_main(void)
{
    struct assay_case c;
    struct assay_arena arena;
    struct assay_error err;
    struct assay_row row;
    json_t *profile_json = NULL, *answer = json_object();
    int out = dup(STDOUT_FILENO);
    assay_arena_init(&arena);
    assay_row_init(&row);
    if (out < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return 1;
    enum assay_status st = read_case(&c, &arena, &err);
    if (!st) {
        assay_case_measure(&c, &row, &profile_json);
        json_object_set_new(answer, "row", assay_row_to_json(&row, false));
        if (profile_json)
            json_object_set_new(answer, "profile", profile_json);
    } else {
        fprintf(stderr, "assay: %s\n", err.message);
    }
    int code = st || json_dumpfd(answer, out, JSON_REAL_PRECISION(12)) != 0 || close(out) != 0;
    json_decref(answer);
    assay_row_release(&row);
    assay_arena_release(&arena);
    return code;
}
