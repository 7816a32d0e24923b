/* SPDX-License-Identifier: Apache-2.0 */
/* Rates and times left against those of made-up steps. */
#include "train/progress.h"

#include "base/test.h"

static const int64_t ms = 1000000;

ASSAY_TEST(nothing_is_said_before_two_steps_have_ended)
{
    struct assay_progress progress;
    assay_progress_init(&progress);
    CHECK_NEAR(assay_progress_rate(&progress), 0, 0);
    assay_progress_step(&progress, 5 * ms, 8);
    CHECK_NEAR(assay_progress_rate(&progress), 0, 0);
    CHECK_NEAR(assay_progress_left_ns(&progress, 100), 0, 0);
    assay_progress_step(&progress, 5 * ms, 8);
    CHECK_NEAR(assay_progress_rate(&progress), 0, 0);
}

/* A slow first step, then 10 ms a step of 32 samples: 3200 samples a second. */
ASSAY_TEST(the_first_step_does_not_count)
{
    struct assay_progress progress;
    assay_progress_init(&progress);
    for (int i = 0; i < 5; i++)
        assay_progress_step(&progress, 900 * ms + i * 10 * ms, 32);
    CHECK_NEAR(assay_progress_rate(&progress), 3200, 1e-9);
    CHECK_NEAR(assay_progress_step_ns(&progress), 10e6, 1e-6);
    CHECK_NEAR(assay_progress_left_ns(&progress, 100), 1e9, 1e-3);
    CHECK_NEAR(assay_progress_left_ns(&progress, 0), 0, 0);
}

ASSAY_TEST(the_rate_is_that_of_the_last_steps)
{
    struct assay_progress progress;
    assay_progress_init(&progress);
    int64_t now = 0;
    for (int i = 0; i < 1000; i++)
        assay_progress_step(&progress, now += 50 * ms, 32);
    for (int i = 0; i < ASSAY_PROGRESS_WINDOW; i++)
        assay_progress_step(&progress, now += 20 * ms, 32);
    CHECK_NEAR(assay_progress_rate(&progress), 1600, 1e-9);
}

/* Each ten steps of 10 ms a validation of 50 ms: half as long again. */
ASSAY_TEST(pauses_leave_the_rate_alone_and_lengthen_the_time_left)
{
    struct assay_progress progress;
    assay_progress_init(&progress);
    int64_t now = 0;
    assay_progress_step(&progress, now, 8);
    for (int i = 1; i <= 200; i++) {
        assay_progress_step(&progress, now += 10 * ms, 8);
        if (i % 10 == 0) {
            now += 50 * ms;
            assay_progress_pause(&progress, 50 * ms);
        }
    }
    CHECK_NEAR(assay_progress_rate(&progress), 800, 1e-9);
    CHECK_NEAR(assay_progress_left_ns(&progress, 100), 1.5e9, 1e-3);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(nothing_is_said_before_two_steps_have_ended), ASSAY_TEST_ENTRY(the_first_step_does_not_count),
                ASSAY_TEST_ENTRY(the_rate_is_that_of_the_last_steps),
                ASSAY_TEST_ENTRY(pauses_leave_the_rate_alone_and_lengthen_the_time_left))
