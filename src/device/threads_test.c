/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device.h"

#include "base/test.h"

#include <sched.h>

/* The oracle is the kernel's own count. */
static int count_cpus(void)
{
    cpu_set_t set;
    CHECK_INT(sched_getaffinity(0, sizeof set, &set), 0);
    return CPU_COUNT(&set);
}

ASSAY_TEST(threads_far_above_the_cpus_are_refused_with_their_number)
{
    struct assay_error err = {0};
    char most[64];
    int n = count_cpus(), n_cpus = 0;
    snprintf(most, sizeof most, "from 1 to %d", 4 * n);
    CHECK_INT(assay_threads_check(4 * n, &err), ASSAY_OK);
    CHECK_INT(assay_threads_check(4 * n + 1, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, most);
    CHECK_INT(assay_threads_check(0, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, most);
    CHECK(!assay_threads_share(n, &n_cpus));
    CHECK_INT(n_cpus, n);
    CHECK(assay_threads_share(n + 1, &n_cpus));
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(threads_far_above_the_cpus_are_refused_with_their_number))
