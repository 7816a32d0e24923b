/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The measuring loop: warm up until steady, then time runs until the median is known well enough.
 *
 * Steady (the criterion of docs/methodology.md): the median of the last quarter of the warm-up runs differs from that of the
 * quarter before by less than 2 %, or by less than their scatter (MAD); looked at each time that the number of runs has doubled,
 * from 4 on. Enough: the 95 % interval of the median (assay_stats_median_interval) is narrower than ± `interval` of it, after at
 * least min_time and 5 runs; or max_time is over. Looked at each time that n has grown by a quarter, so that looking costs
 * nothing.
 */
#ifndef ASSAY_BENCH_MEASURE_H
#define ASSAY_BENCH_MEASURE_H

#include "bench/case.h"

/* What is measured: a program, or anything that does one unit of work a call. */
struct assay_work {
    enum assay_status (*run)(void *context, struct assay_error *err);
    void *context;
    /* The clock to measure by, both or neither; NULL = this machine's. Tests give one of their own, in which nothing is noisy. */
    int64_t (*now_ns)(void *context);
    void (*wait_until)(void *context, int64_t when_ns);
};

enum { ASSAY_MAX_SAMPLES = 100000 };

struct assay_samples {
    double *ns; /* [n], from malloc; release with assay_samples_release */
    size_t n, room;
    int64_t wall_ns;  /* from the start of the first timed run to the end of the last, without looking at the samples */
    int64_t n_warmup; /* runs before */
    bool steady;
    double first_ns;
};
void assay_samples_release(struct assay_samples *samples);

/* Times in seconds, as in the case. */
struct assay_measure_options {
    double warmup_time, min_time, max_time;
    double interval; /* relative half-width wanted of the median's 95 % interval; 0 = run until max_time */
};

/* The first run and the warm-up: fills first_ns, n_warmup, steady. */
enum assay_status assay_measure_warmup(const struct assay_work *work, const struct assay_measure_options *options,
                                       struct assay_samples *samples, struct assay_error *err);
/* Back-to-back runs. */
enum assay_status assay_measure_runs(const struct assay_work *work, const struct assay_measure_options *options,
                                     struct assay_samples *samples, struct assay_error *err);

/* How much the medians of runs of one case vary from run to run, as relative standard deviation, where there is a single run and
 * it cannot be seen. Measured by tests/bench/aa.sh on a virtual machine of two CPUs: 0.7 % (robustly) while nothing disturbs; 14
 * % with other processes on both CPUs, since whole seconds are then slower by half. `noisy`: as the row says. */
double assay_measure_between_run_sd(bool noisy);

/* Scenario server. Queries arrive as a Poisson process, wait in one queue, and are served one at a time; latency counts from the
 * scheduled arrival, so that a stall is felt by all who wait behind it (no coordinated omission). */
struct assay_server_result {
    struct assay_samples latencies; /* at the highest rate that held the bound; if none did, at the lowest tried */
    double latency_rate;            /* of them, queries a second */
    double rate;                    /* the highest that held the bound; 0 if none did */
    double bound_ns;
    double *rates, *p99s; /* [n_tried], every rate tried in order, and its p99; from malloc */
    size_t n_tried;
};
/* bound_ns 0 = ten times the median service time. Tries rates by bisection between 5 % and 100 % of 1 / service time until they
 * are 5 % apart or max_time is over; each rate gets the ~1,000 queries that a p99 needs. ASSAY_TIMEOUT if max_time does not
 * suffice for a single rate: the sentence says how much would. */
enum assay_status assay_measure_server(const struct assay_work *work, double service_ns, double bound_ns, double max_time,
                                       uint64_t seed, struct assay_server_result *result, struct assay_error *err);
void assay_server_result_release(struct assay_server_result *result);

#endif
