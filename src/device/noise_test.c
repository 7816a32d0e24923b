/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device.h"

#include "base/clock.h"
#include "base/test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

ASSAY_TEST(another_process_that_burns_a_cpu_is_seen)
{
    struct assay_noise before, after;
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(10);
        for (;;) {
        }
    }
    assay_clock_sleep_until(assay_clock_ns() + 50000000);
    assay_noise_read(&before);
    assay_clock_sleep_until(assay_clock_ns() + 500000000);
    assay_noise_read(&after);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    if (before.busy_ns == 0)
        SKIP("/proc/stat is not there");
    double other = assay_noise_other_share(&before, &after), steal = assay_noise_steal_share(&before, &after);
    CHECK(other > 0 && other <= 1);
    CHECK(steal >= 0 && steal <= 1);
    CHECK(after.wall_ns - before.wall_ns >= 500000000);
}

ASSAY_TEST(own_time_is_not_that_of_others)
{
    struct assay_noise before, after;
    assay_noise_read(&before);
    int64_t end = assay_clock_ns() + 300000000;
    while (assay_clock_ns() < end) {
    }
    assay_noise_read(&after);
    CHECK(after.own_cpu_ns - before.own_cpu_ns > 10000000);
    /* busy = own + others, but for two ticks of 10 ms a CPU. */
    double total = (double)(after.busy_ns - before.busy_ns + after.idle_ns - before.idle_ns + after.steal_ns - before.steal_ns);
    double own = (double)(after.own_cpu_ns - before.own_cpu_ns), busy = (double)(after.busy_ns - before.busy_ns);
    if (total > 0)
        CHECK_NEAR(assay_noise_other_share(&before, &after), busy > own ? (busy - own) / total : 0, 1e-9);
}

ASSAY_TEST(shares_are_clamped_whatever_the_counters_say)
{
    struct assay_noise none = {0}, odd = {.busy_ns = 100, .idle_ns = -50, .steal_ns = 1000, .own_cpu_ns = 5000};
    CHECK_NEAR(assay_noise_other_share(&none, &none), 0, 0);
    CHECK_NEAR(assay_noise_steal_share(&none, &none), 0, 0);
    CHECK_NEAR(assay_noise_other_share(&none, &odd), 0, 0);
    CHECK_NEAR(assay_noise_steal_share(&none, &odd), 1000.0 / 1100, 1e-12);
    CHECK_NEAR(assay_noise_steal_share(&odd, &none), 0, 0);
}

ASSAY_TEST(memory_that_is_touched_becomes_resident)
{
    enum { SIZE = 64 << 20 };
    int64_t before, after, peak_before, peak;
    assay_memory_resident(&before, &peak_before);
    char *memory = malloc(SIZE);
    CHECK(memory && before > 0 && peak_before >= before);
    memset(memory, 1, SIZE);
    __asm__ volatile("" ::"r"(memory) : "memory"); /* or the compiler leaves it out */
    assay_memory_resident(&after, &peak);
    free(memory);
    /* The kernel's counters of each CPU are summed lazily: a tolerance of 1/8. */
    CHECK(after - before > SIZE / 8 * 7 && peak >= after);
}

ASSAY_TEST(a_core_runs_between_half_and_eight_gigahertz)
{
    double hz = assay_device_frequency();
    CHECK(hz > 0.5e9 && hz < 8e9);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(another_process_that_burns_a_cpu_is_seen), ASSAY_TEST_ENTRY(own_time_is_not_that_of_others),
                ASSAY_TEST_ENTRY(shares_are_clamped_whatever_the_counters_say),
                ASSAY_TEST_ENTRY(memory_that_is_touched_becomes_resident),
                ASSAY_TEST_ENTRY(a_core_runs_between_half_and_eight_gigahertz))
