/* SPDX-License-Identifier: Apache-2.0 */
/* How many threads a person may ask for here (device.h). */
#include "device/internal.h"

#include "base/range.h"

enum { MOST_PER_CPU = 4 };

enum assay_status assay_threads_check(int64_t n_threads, struct assay_error *err)
{
    int cpu, n_cpus = assay_machine_cpu_order(&cpu, 0);
    enum assay_status st = assay_range_check_int("threads", n_threads, 1, (int64_t)MOST_PER_CPU * n_cpus, err);
    if (st && n_threads > n_cpus)
        return assay_error_set(err, st, "--threads %lld is out of range: it is from 1 to %d, %d for each CPU that is here (%d)",
                               (long long)n_threads, MOST_PER_CPU * n_cpus, MOST_PER_CPU, n_cpus);
    return st;
}

bool assay_threads_share(int64_t n_threads, int *n_cpus)
{
    int cpu;
    *n_cpus = assay_machine_cpu_order(&cpu, 0);
    return n_threads > *n_cpus;
}
