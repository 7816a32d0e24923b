/* SPDX-License-Identifier: Apache-2.0 */
/* See measure.h. */
#include "bench/measure.h"

#include "base/clock.h"
#include "stats/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_RUNS = 5, MIN_WARMUP_RUNS = 4 };
static const double STEADY_DIFFERENCE = 0.02;

void assay_samples_release(struct assay_samples *samples)
{
    if (!samples)
        return;
    free(samples->ns);
    samples->ns = NULL;
    samples->n = samples->room = 0;
}

static void add_sample(struct assay_samples *samples, double ns)
{
    if (samples->n == samples->room) {
        samples->room = samples->room ? 2 * samples->room : 1024;
        samples->ns = assay_realloc(samples->ns, samples->room * sizeof *samples->ns);
    }
    samples->ns[samples->n++] = ns;
}

static int64_t now_ns(const struct assay_work *work) { return work->now_ns ? work->now_ns(work->context) : assay_clock_ns(); }

static enum assay_status timed_run(const struct assay_work *work, double *ns, struct assay_error *err)
{
    int64_t start = now_ns(work);
    enum assay_status st = work->run(work->context, err);
    *ns = (double)(now_ns(work) - start);
    return st;
}

static bool is_steady(const struct assay_samples *s)
{
    size_t quarter = s->n / 4;
    const double *last = s->ns + s->n - quarter, *before = last - quarter;
    double a = assay_stats_median(before, quarter), b = assay_stats_median(last, quarter);
    double difference = fabs(a - b),
           scatter = quarter > 1 ? fmin(assay_stats_mad(before, quarter), assay_stats_mad(last, quarter)) : 0;
    return difference < STEADY_DIFFERENCE * a || difference < scatter;
}

enum assay_status assay_measure_warmup(const struct assay_work *work, const struct assay_measure_options *options,
                                       struct assay_samples *samples, struct assay_error *err)
{
    struct assay_samples warm = {0};
    double ns;
    int64_t end = now_ns(work) + (int64_t)(options->warmup_time * 1e9); /* a first run that takes as long is warm-up enough */
    enum assay_status st = timed_run(work, &samples->first_ns, err);
    size_t look_at = MIN_WARMUP_RUNS;
    samples->n_warmup = 1;
    samples->steady = false;
    while (!st && !samples->steady && warm.n < ASSAY_MAX_SAMPLES && now_ns(work) < end) {
        st = timed_run(work, &ns, err);
        add_sample(&warm, ns);
        if (warm.n == look_at) {
            samples->steady = is_steady(&warm);
            look_at *= 2;
        }
    }
    samples->n_warmup += (int64_t)warm.n;
    assay_samples_release(&warm);
    return st;
}

/* Whether the median's interval is as narrow as asked. The one that allows for autocorrelation is what the row will show; it is
 * hardly ever the narrower one, and dear, so the plain one is asked first. */
static bool is_narrow(const struct assay_samples *s, double interval)
{
    double wanted = 2 * interval * assay_stats_median(s->ns, s->n);
    struct assay_interval i = assay_stats_quantile_interval(s->ns, s->n, 0.5, 0.95);
    if (!i.exists || i.high - i.low > wanted)
        return false;
    i = assay_stats_median_interval(s->ns, s->n, 0.95);
    return i.exists && i.high - i.low <= wanted;
}

enum assay_status assay_measure_runs(const struct assay_work *work, const struct assay_measure_options *options,
                                     struct assay_samples *samples, struct assay_error *err)
{
    int64_t start = now_ns(work), earliest = start + (int64_t)(options->min_time * 1e9),
            latest = start + (int64_t)(options->max_time * 1e9);
    int64_t end = start, looking_ns = 0;
    size_t look_at = MIN_RUNS;
    enum assay_status st = ASSAY_OK;
    bool enough = false;
    while (!st && !enough && samples->n < ASSAY_MAX_SAMPLES) {
        int64_t t0 = now_ns(work);
        st = work->run(work->context, err);
        int64_t t1 = now_ns(work);
        add_sample(samples, (double)(t1 - t0));
        end = t1;
        if (t1 >= latest) {
            enough = true;
        } else if (samples->n >= look_at) {
            look_at = samples->n + samples->n / 4 + 1;
            enough = options->interval > 0 && t1 >= earliest && is_narrow(samples, options->interval);
            looking_ns += enough ? 0 : now_ns(work) - t1;
        }
    }
    samples->wall_ns = end - start - looking_ns;
    return st;
}

double assay_measure_between_run_sd(bool noisy) { return noisy ? 0.14 : 0.02; }

/* ---- server */

enum { QUERIES_FOR_P99 = 1000, RATES_ROOM = 32 };

/* Sleeps to within 100 us, then spins: the kernel wakes a sleeper some tens of microseconds late. */
static void wait_until(const struct assay_work *work, int64_t when_ns)
{
    if (work->wait_until) {
        work->wait_until(work->context, when_ns);
        return;
    }
    assay_clock_sleep_until(when_ns - 100000);
    while (assay_clock_ns() < when_ns) {
    }
}

/* One rate: QUERIES_FOR_P99 queries, or until latest_ns; then fewer. */
static enum assay_status serve_rate(const struct assay_work *work, double rate, struct assay_rng *rng, int64_t latest_ns,
                                    struct assay_samples *latencies, struct assay_error *err)
{
    int64_t start = now_ns(work);
    double arrival = (double)start + 1e6;
    latencies->n = 0;
    for (int i = 0; i < QUERIES_FOR_P99 && now_ns(work) < latest_ns; i++) {
        arrival += assay_rng_exponential(rng) * 1e9 / rate;
        wait_until(work, (int64_t)arrival);
        enum assay_status st = work->run(work->context, err);
        if (st)
            return st;
        add_sample(latencies, (double)now_ns(work) - arrival);
    }
    latencies->wall_ns = now_ns(work) - start;
    return ASSAY_OK;
}

enum assay_status assay_measure_server(const struct assay_work *work, double service_ns, double bound_ns, double max_time,
                                       uint64_t seed, struct assay_server_result *result, struct assay_error *err)
{
    double capacity = 1e9 / fmax(service_ns, 1), low = 0.05 * capacity, high = capacity, rate = 0.5 * capacity;
    int64_t latest = now_ns(work) + (int64_t)(max_time * 1e9);
    struct assay_samples tried = {0};
    struct assay_rng rng;
    enum assay_status st = ASSAY_OK;
    assay_rng_init(&rng, seed, assay_rng_stream("arrivals"));
    *result = (struct assay_server_result){.bound_ns = bound_ns > 0 ? bound_ns : 10 * service_ns};
    result->rates = assay_alloc(RATES_ROOM * sizeof *result->rates);
    result->p99s = assay_alloc(RATES_ROOM * sizeof *result->p99s);
    while (!st && result->n_tried < RATES_ROOM && high - low > 0.05 * high) {
        st = serve_rate(work, rate, &rng, latest, &tried, err);
        if (st || tried.n < QUERIES_FOR_P99)
            break;
        double p99 = assay_stats_quantile(tried.ns, tried.n, 0.99);
        bool held = p99 <= result->bound_ns;
        result->rates[result->n_tried] = rate;
        result->p99s[result->n_tried++] = p99;
        if (held || result->rate == 0) { /* while none has held, rates fall: the lowest is kept */
            struct assay_samples old = result->latencies;
            result->latencies = tried;
            tried = old;
            result->latency_rate = rate;
        }
        if (held)
            result->rate = rate;
        *(held ? &low : &high) = rate;
        rate = 0.5 * (low + high);
    }
    if (!st && result->n_tried == 0)
        st = assay_error_set(err, ASSAY_TIMEOUT,
                             "the %d queries that a p99 needs did not end within --max-time (%g s); at half of this model's rate "
                             "they take %.3g s and more",
                             QUERIES_FOR_P99, max_time, QUERIES_FOR_P99 / rate);
    assay_samples_release(&tried);
    return st;
}

void assay_server_result_release(struct assay_server_result *result)
{
    assay_samples_release(&result->latencies);
    free(result->rates);
    free(result->p99s);
    result->rates = result->p99s = NULL;
}
