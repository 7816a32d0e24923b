/* SPDX-License-Identifier: Apache-2.0 */
/* See child.h. */
#include "bench/child.h"

#include "bench/child_session.h"
#include "runtime/registry.h"
#include "stats/stats.h"

#include <math.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static const double NOISY_SHARE = 0.05;

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

static enum assay_status measure(struct session *s, struct assay_error *err)
{
    const struct assay_case *c = s->c;
    struct assay_work work = {.run = s->subject->run, .context = s};
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
    assay_memory_resident(&now, &peak);
    assay_row_set_int(s->row, ASSAY_ROW_peak_memory_bytes, peak);
    s->subject->set_memory(s);
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

/* Samples, or the tokens of whole requests. */
static void set_throughput(struct session *s, double run_ns)
{
    const struct assay_case *c = s->c;
    struct assay_row *row = s->row;
    double amount = (double)c->batch * (c->new_tokens ? (double)c->new_tokens : 1);
    assay_row_set_text(row, ASSAY_ROW_throughput_unit, s->is_server ? "queries/s" : c->new_tokens ? "tokens/s" : "samples/s");
    if (s->is_server) {
        assay_row_set_real(row, ASSAY_ROW_throughput, s->server.rate > 0 ? s->server.rate : NAN);
        assay_row_map_real(row, ASSAY_ROW_metrics, "latency_bound_ns", s->server.bound_ns);
        assay_row_map_real(row, ASSAY_ROW_metrics, "latency_rate_per_s", s->server.latency_rate);
        assay_row_map_real(row, ASSAY_ROW_metrics, "service_median_ns", run_ns);
        assay_row_map_reals(row, ASSAY_ROW_series, "server_rate_per_s", s->server.rates, s->server.n_tried);
        assay_row_map_reals(row, ASSAY_ROW_series, "server_p99_ns", s->server.p99s, s->server.n_tried);
    } else if (strcmp(c->scenario, "offline") == 0) {
        assay_row_set_real(row, ASSAY_ROW_throughput, amount * (double)s->samples.n / (double)s->samples.wall_ns * 1e9);
    } else {
        assay_row_set_real(row, ASSAY_ROW_throughput, amount / run_ns * 1e9);
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
    set_throughput(s, run_ns);
    s->subject->set_figures(s);
}

static enum assay_status check(struct session *s, struct assay_error *err)
{
    struct assay_correctness k = {0};
    enum assay_status st = s->subject->check(s, &k, err);
    assay_row_set_text(s->row, ASSAY_ROW_check_note, k.note);
    if (k.checked) {
        assay_row_set_text(s->row, ASSAY_ROW_check_against, "cpu/reference");
        assay_row_set_real(s->row, ASSAY_ROW_error_max_abs, k.max_abs);
        assay_row_set_real(s->row, ASSAY_ROW_error_max_rel, k.max_rel);
        assay_row_set_real(s->row, ASSAY_ROW_tolerance, k.tolerance);
    }
    return st;
}

/* Time by op type goes into the row, and the share of the run that is in ops; the rest of the profile is for the person who
 * asked. */
static void set_profile(struct assay_row *row, const json_t *profile)
{
    size_t i;
    double in_ops = 0;
    json_t *entry;
    json_array_foreach(profile, i, entry)
    {
        const char *type = json_string_value(json_object_get(entry, "type"));
        const char *key = assay_arena_printf(&row->arena, "op_%s_ns", *type ? type : "outside");
        const struct assay_map_entry *old = assay_row_map_find(row, ASSAY_ROW_metrics, key);
        assay_row_map_real(row, ASSAY_ROW_metrics, key,
                           (old ? old->real : 0) + json_number_value(json_object_get(entry, "mean_ns")));
        in_ops += *type ? json_number_value(json_object_get(entry, "share")) : 0;
    }
    if (json_array_size(profile))
        assay_row_map_real(row, ASSAY_ROW_metrics, "ops_share", in_ops);
}

static void release(struct session *s)
{
    s->subject->release(s);
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
    struct session s = {.c = c,
                        .subject = assay_case_trains(c) ? &subject_train
                                   : c->new_tokens      ? &subject_generate
                                                        : &subject_forward,
                        .row = row,
                        .energy_j = NAN,
                        .is_server = strcmp(c->scenario, "server") == 0};
    struct assay_error err = {0};
    int64_t now, peak;
    *json = NULL;
    assay_arena_init(&s.arena);
    assay_memory_resident(&now, &peak);
    assay_row_set_int(row, ASSAY_ROW_base_memory_bytes, now);
    pin(c, row);
    enum assay_status st = assay_platform_find(&s.arena, c->platform, &s.platform, &s.runtime, &err);
    if (!st)
        st = s.subject->prepare(&s, &err);
    if (!st)
        st = measure(&s, &err);
    if (!st) {
        set_memory(&s);
        set_noise(&s);
        st = check(&s, &err);
    }
    if (!st) {
        set_figures(&s);
        if (c->profile && s.subject->profile(&s, json, &err))
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
