/* SPDX-License-Identifier: Apache-2.0 */
/* Rates and times left against those of made-up steps. */
#include "train/throughput.h"

#include "base/test.h"

static const int64_t ms = 1000000;

ASSAY_TEST(nothing_is_said_before_two_steps_have_ended)
{
    struct assay_throughput throughput;
    assay_throughput_init(&throughput);
    CHECK_NEAR(assay_throughput_rate(&throughput), 0, 0);
    assay_throughput_step(&throughput, 5 * ms, 8);
    CHECK_NEAR(assay_throughput_rate(&throughput), 0, 0);
    CHECK_NEAR(assay_throughput_left_ns(&throughput, 100), 0, 0);
    assay_throughput_step(&throughput, 5 * ms, 8);
    CHECK_NEAR(assay_throughput_rate(&throughput), 0, 0);
}

/* A slow first step, then 10 ms a step of 32 samples: 3200 samples a second. */
ASSAY_TEST(the_first_step_does_not_count)
{
    struct assay_throughput throughput;
    assay_throughput_init(&throughput);
    for (int i = 0; i < 5; i++)
        assay_throughput_step(&throughput, 900 * ms + i * 10 * ms, 32);
    CHECK_NEAR(assay_throughput_rate(&throughput), 3200, 1e-9);
    CHECK_NEAR(assay_throughput_step_ns(&throughput), 10e6, 1e-6);
    CHECK_NEAR(assay_throughput_left_ns(&throughput, 100), 1e9, 1e-3);
    CHECK_NEAR(assay_throughput_left_ns(&throughput, 0), 0, 0);
}

ASSAY_TEST(the_rate_is_that_of_the_last_steps)
{
    struct assay_throughput throughput;
    assay_throughput_init(&throughput);
    int64_t now = 0;
    for (int i = 0; i < 1000; i++)
        assay_throughput_step(&throughput, now += 50 * ms, 32);
    for (int i = 0; i < ASSAY_THROUGHPUT_WINDOW; i++)
        assay_throughput_step(&throughput, now += 20 * ms, 32);
    CHECK_NEAR(assay_throughput_rate(&throughput), 1600, 1e-9);
}

/* Each ten steps of 10 ms a validation of 50 ms: half as long again. */
ASSAY_TEST(pauses_leave_the_rate_alone_and_lengthen_the_time_left)
{
    struct assay_throughput throughput;
    assay_throughput_init(&throughput);
    int64_t now = 0;
    assay_throughput_step(&throughput, now, 8);
    for (int i = 1; i <= 200; i++) {
        assay_throughput_step(&throughput, now += 10 * ms, 8);
        if (i % 10 == 0) {
            now += 50 * ms;
            assay_throughput_pause(&throughput, 50 * ms);
        }
    }
    CHECK_NEAR(assay_throughput_rate(&throughput), 800, 1e-9);
    CHECK_NEAR(assay_throughput_left_ns(&throughput, 100), 1.5e9, 1e-3);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(nothing_is_said_before_two_steps_have_ended), ASSAY_TEST_ENTRY(the_first_step_does_not_count),
                ASSAY_TEST_ENTRY(the_rate_is_that_of_the_last_steps),
                ASSAY_TEST_ENTRY(pauses_leave_the_rate_alone_and_lengthen_the_time_left))
