/* SPDX-License-Identifier: Apache-2.0 */
#include "base/isolate.h"

#include "base/clock.h"
#include "base/test.h"

#include <signal.h>
#include <unistd.h>

static void twice(const void *context, void *answer)
{
    puts("this must not be seen");
    *(int *)answer = 2 * *(const int *)context;
}

static void crash(const void *context, void *answer)
{
    (void)context, (void)answer;
    signal(SIGABRT, SIG_DFL);
    abort();
}

static void hang(const void *context, void *answer)
{
    (void)context, (void)answer;
    for (;;)
        pause();
}

ASSAY_TEST(an_answer_comes_back)
{
    int question = 21, answer = 0;
    struct assay_error err;
    CHECK_OK(assay_isolate(twice, &question, &answer, sizeof answer, INT64_C(10000000000), &err), err);
    CHECK_INT(answer, 42);
}

ASSAY_TEST(a_crash_and_a_hang_stay_in_the_child)
{
    int answer = 7;
    struct assay_error err;
    CHECK_INT(assay_isolate(crash, NULL, &answer, sizeof answer, INT64_C(10000000000), &err), ASSAY_CRASHED);
    int64_t start = assay_clock_ns();
    CHECK_INT(assay_isolate(hang, NULL, &answer, sizeof answer, 50000000, &err), ASSAY_TIMEOUT);
    CHECK(assay_clock_ns() - start >= 40000000);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(an_answer_comes_back), ASSAY_TEST_ENTRY(a_crash_and_a_hang_stay_in_the_child))
