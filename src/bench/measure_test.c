/* SPDX-License-Identifier: Apache-2.0 */
/* Work of a known length on a clock of its own, so that nothing here depends on how busy the machine is. */
#include "bench/measure.h"

#include "base/test.h"
#include "stats/stats.h"

struct spinner {
    int64_t (*length_ns)(const struct spinner *);
    int n, fails_at; /* runs so far; the run that fails, 0 = none */
    int64_t now_ns;
};

static enum assay_status spin(void *context, struct assay_error *err)
{
    struct spinner *s = context;
    if (++s->n == s->fails_at)
        return assay_error_set(err, ASSAY_CRASHED, "run %d failed", s->n);
    s->now_ns += s->length_ns(s);
    return ASSAY_OK;
}

/* Reading the clock takes a moment too, or nothing would ever end by time. */
static int64_t now_ns(void *context) { return ((struct spinner *)context)->now_ns += 20; }

static void wait_until(void *context, int64_t when_ns)
{
    struct spinner *s = context;
    s->now_ns = when_ns > s->now_ns ? when_ns : s->now_ns;
}

static int64_t no_time(const struct spinner *s) { return s->n * 0; }
static int64_t constant(const struct spinner *s) { return 200000 + s->n * 0; }
static int64_t falling(const struct spinner *s) { return (int64_t)fmax(100e3, 4e6 * pow(0.8, s->n)); }
static int64_t growing(const struct spinner *s) { return (int64_t)(50e3 * pow(1.1, s->n)); }
static int64_t stalling(const struct spinner *s) { return s->n % 1000 == 300 ? 50000000 : 100000; }

ASSAY_TEST(warm_up_ends_before_its_time_once_the_series_is_steady)
{
    struct spinner s = {constant, 0, 0, 0};
    struct assay_samples samples = {0};
    struct assay_measure_options options = {.warmup_time = 30};
    struct assay_error err;
    CHECK_OK(assay_measure_warmup(&(struct assay_work){spin, &s, now_ns, wait_until}, &options, &samples, &err), err);
    CHECK(samples.steady);
    CHECK_INT(samples.n_warmup, s.n);
    CHECK(samples.n_warmup >= 5); /* the first run, and four that can be looked at */
    CHECK(samples.first_ns >= 200000);
    CHECK(s.now_ns < INT64_C(30000000000));
    CHECK_INT(samples.n, 0);
    assay_samples_release(&samples);
}

ASSAY_TEST(a_series_that_still_falls_is_not_called_steady)
{
    struct spinner s = {falling, 0, 0, 0};
    struct assay_samples samples = {0};
    struct assay_measure_options options = {.warmup_time = 30};
    struct assay_error err;
    CHECK_OK(assay_measure_warmup(&(struct assay_work){spin, &s, now_ns, wait_until}, &options, &samples, &err), err);
    CHECK(samples.steady);
    CHECK(samples.n_warmup > 16); /* the 17th run is the first of the final length */
    assay_samples_release(&samples);
}

ASSAY_TEST(a_series_that_never_settles_ends_by_time_and_is_not_steady)
{
    struct spinner s = {growing, 0, 0, 0};
    struct assay_samples samples = {0};
    struct assay_measure_options options = {.warmup_time = 0.3};
    struct assay_error err;
    CHECK_OK(assay_measure_warmup(&(struct assay_work){spin, &s, now_ns, wait_until}, &options, &samples, &err), err);
    CHECK(!samples.steady);
    CHECK(samples.n_warmup > 20);
    assay_samples_release(&samples);
}

ASSAY_TEST(samples_are_what_the_runs_took)
{
    struct spinner s = {constant, 0, 0, 0};
    struct assay_samples samples = {0};
    struct assay_measure_options options = {.min_time = 0.02, .max_time = 5, .interval = 0.02};
    struct assay_error err;
    CHECK_OK(assay_measure_runs(&(struct assay_work){spin, &s, now_ns, wait_until}, &options, &samples, &err), err);
    CHECK_INT(samples.n, s.n);
    CHECK(assay_stats_quantile(samples.ns, samples.n, 0) >= 200000);
    double sum = assay_stats_mean(samples.ns, samples.n) * (double)samples.n;
    CHECK((double)samples.wall_ns >= sum);
    CHECK(samples.wall_ns >= 20000000);
    /* It stopped since the median was known as asked, or by its time. */
    struct assay_interval i = assay_stats_median_interval(samples.ns, samples.n, 0.95);
    double median = assay_stats_median(samples.ns, samples.n);
    CHECK((i.exists && i.high - i.low <= 2 * 0.02 * median) || samples.wall_ns >= INT64_C(5000000000));
    assay_samples_release(&samples);
}

ASSAY_TEST(without_a_wanted_interval_it_measures_until_max_time)
{
    struct spinner s = {constant, 0, 0, 0};
    struct assay_samples samples = {0};
    struct assay_measure_options options = {.max_time = 0.1};
    struct assay_error err;
    CHECK_OK(assay_measure_runs(&(struct assay_work){spin, &s, now_ns, wait_until}, &options, &samples, &err), err);
    CHECK(samples.wall_ns >= 100000000);
    assay_samples_release(&samples);
}

ASSAY_TEST(one_run_longer_than_max_time_is_one_sample)
{
    struct spinner s = {constant, 0, 0, 0};
    struct assay_samples samples = {0};
    struct assay_measure_options options = {.min_time = 10, .max_time = 1e-6, .interval = 0.01};
    struct assay_error err;
    CHECK_OK(assay_measure_runs(&(struct assay_work){spin, &s, now_ns, wait_until}, &options, &samples, &err), err);
    CHECK_INT(samples.n, 1);
    assay_samples_release(&samples);
}

ASSAY_TEST(samples_are_bounded)
{
    struct spinner s = {no_time, 0, 0, 0};
    struct assay_samples samples = {0};
    struct assay_measure_options options = {.max_time = 600};
    struct assay_error err;
    CHECK_OK(assay_measure_runs(&(struct assay_work){spin, &s, now_ns, wait_until}, &options, &samples, &err), err);
    CHECK_INT(samples.n, ASSAY_MAX_SAMPLES);
    assay_samples_release(&samples);
}

ASSAY_TEST(a_run_that_fails_ends_warm_up_and_measuring_with_its_sentence)
{
    for (int fails_at = 1; fails_at < 12; fails_at++) {
        struct spinner s = {constant, 0, fails_at, 0};
        struct assay_samples samples = {0};
        struct assay_measure_options options = {.warmup_time = 0.002, .max_time = 10};
        struct assay_error err = {0};
        enum assay_status st = assay_measure_warmup(&(struct assay_work){spin, &s, now_ns, wait_until}, &options, &samples, &err);
        if (!st)
            st = assay_measure_runs(&(struct assay_work){spin, &s, now_ns, wait_until}, &options, &samples, &err);
        CHECK_INT(st, ASSAY_CRASHED);
        CHECK_CONTAINS(err.message, "failed");
        assay_samples_release(&samples);
    }
}

/* M/D/1 queue: the mean time in system is service · (1 + ρ / (2 (1 - ρ))), here with a standard error of some 5 % over 1,000
 * queries. */
ASSAY_TEST(server_latencies_contain_the_wait_of_an_m_d_1_queue)
{
    struct spinner s = {constant, 0, 0, 0};
    struct assay_server_result result;
    struct assay_error err;
    CHECK_OK(assay_measure_server(&(struct assay_work){spin, &s, now_ns, wait_until}, 200000, 1, 0.7, 1, &result, &err), err);
    CHECK_INT(result.rate, 0); /* a bound of 1 ns holds at no rate */
    CHECK_INT(result.n_tried, 1);
    CHECK_NEAR(result.latency_rate, 2500, 1e-6);
    CHECK_INT(result.latencies.n, 1000);
    CHECK_NEAR(assay_stats_mean(result.latencies.ns, result.latencies.n), 1.5 * 200000, 0.25 * 200000);
    CHECK(assay_stats_quantile(result.latencies.ns, result.latencies.n, 0) >= 200000);
    assay_server_result_release(&result);
}

ASSAY_TEST(server_finds_a_rate_that_holds_a_wide_bound)
{
    struct spinner s = {constant, 0, 0, 0};
    struct assay_server_result result;
    struct assay_error err;
    CHECK_OK(assay_measure_server(&(struct assay_work){spin, &s, now_ns, wait_until}, 200000, 10e9, 20, 1, &result, &err), err);
    CHECK(result.rate > 0.8 * 5000);
    CHECK(result.rate < 5000);
    for (size_t i = 0; i < result.n_tried; i++)
        CHECK(result.p99s[i] <= 10e9);
    assay_server_result_release(&result);
}

/* A stall of 50 ms at 5,000 queries a second and more keeps 250 and more behind it waiting; timing from the start of service
 * would see one. */
ASSAY_TEST(a_stall_is_felt_by_all_queries_behind_it)
{
    struct spinner s = {stalling, 0, 0, 0};
    struct assay_server_result result;
    struct assay_error err;
    size_t n_late = 0;
    CHECK_OK(assay_measure_server(&(struct assay_work){spin, &s, now_ns, wait_until}, 100000, 10e9, 60, 1, &result, &err), err);
    for (size_t i = 0; i < result.latencies.n; i++)
        n_late += result.latencies.ns[i] > 10e6;
    CHECK(n_late > 100);
    assay_server_result_release(&result);
}

ASSAY_TEST(server_says_how_much_time_a_single_rate_takes)
{
    struct spinner s = {constant, 0, 0, 0};
    struct assay_server_result result;
    struct assay_error err = {0};
    CHECK_INT(assay_measure_server(&(struct assay_work){spin, &s, now_ns, wait_until}, 200e6, 0, 0.01, 1, &result, &err),
              ASSAY_TIMEOUT);
    CHECK_CONTAINS(err.message, "400 s"); /* 1,000 queries at half of 5 a second */
    CHECK_CONTAINS(err.message, "--max-time");
    assay_server_result_release(&result);
}

ASSAY_TEST(arrivals_are_the_same_for_the_same_seed)
{
    double rates[2][2];
    for (int i = 0; i < 2; i++) {
        struct spinner s = {no_time, 0, 0, 0};
        struct assay_server_result result;
        struct assay_error err;
        CHECK_OK(assay_measure_server(&(struct assay_work){spin, &s, now_ns, wait_until}, 20000, 1e12, 1, 7, &result, &err), err);
        CHECK(result.n_tried >= 2);
        memcpy(rates[i], result.rates, sizeof rates[i]);
        assay_server_result_release(&result);
    }
    CHECK(memcmp(rates[0], rates[1], sizeof rates[0]) == 0);
}

ASSAY_TEST(server_of_work_that_takes_no_time_ends)
{
    struct spinner s = {no_time, 0, 0, 0};
    struct assay_server_result result;
    struct assay_error err = {0};
    enum assay_status st = assay_measure_server(&(struct assay_work){spin, &s, now_ns, wait_until}, 0, 0, 0.5, 1, &result, &err);
    CHECK(st == ASSAY_OK || st == ASSAY_TIMEOUT);
    for (size_t i = 0; i < result.n_tried; i++)
        CHECK(isfinite(result.rates[i]));
    assay_server_result_release(&result);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(warm_up_ends_before_its_time_once_the_series_is_steady),
                ASSAY_TEST_ENTRY(a_series_that_still_falls_is_not_called_steady),
                ASSAY_TEST_ENTRY(a_series_that_never_settles_ends_by_time_and_is_not_steady),
                ASSAY_TEST_ENTRY(samples_are_what_the_runs_took),
                ASSAY_TEST_ENTRY(without_a_wanted_interval_it_measures_until_max_time),
                ASSAY_TEST_ENTRY(one_run_longer_than_max_time_is_one_sample), ASSAY_TEST_ENTRY(samples_are_bounded),
                ASSAY_TEST_ENTRY(a_run_that_fails_ends_warm_up_and_measuring_with_its_sentence),
                ASSAY_TEST_ENTRY(server_latencies_contain_the_wait_of_an_m_d_1_queue),
                ASSAY_TEST_ENTRY(server_finds_a_rate_that_holds_a_wide_bound),
                ASSAY_TEST_ENTRY(a_stall_is_felt_by_all_queries_behind_it),
                ASSAY_TEST_ENTRY(server_says_how_much_time_a_single_rate_takes),
                ASSAY_TEST_ENTRY(arrivals_are_the_same_for_the_same_seed),
                ASSAY_TEST_ENTRY(server_of_work_that_takes_no_time_ends))
