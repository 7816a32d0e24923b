/* SPDX-License-Identifier: Apache-2.0 */
/* Counters that tell whether the machine was quiet, and the process's memory; see device.h. */
#include "device/internal.h"

#include "base/clock.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

void assay_noise_read(struct assay_noise *noise)
{
    *noise = (struct assay_noise){0};
    char text[4096]; /* the line wanted is the first */
    long ticks = sysconf(_SC_CLK_TCK);
    if (assay_proc_read("/proc/stat", text, sizeof text))
        assay_proc_stat(text, 1000000000 / (ticks > 0 ? ticks : 100), noise);
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        noise->voluntary_switches = usage.ru_nvcsw;
        noise->involuntary_switches = usage.ru_nivcsw;
        noise->major_faults = usage.ru_majflt;
    }
    if (getloadavg(&noise->load1, 1) != 1)
        noise->load1 = 0;
    noise->own_cpu_ns = assay_clock_cpu_ns();
    noise->wall_ns = assay_clock_ns();
}

static int64_t grown(int64_t before, int64_t after) { return after > before ? after - before : 0; }

/* Part of all CPUs' time. The kernel counts in ticks (10 ms): what is too short for one has share 0. */
static double share(const struct assay_noise *before, const struct assay_noise *after, int64_t part_ns)
{
    int64_t total = grown(before->busy_ns, after->busy_ns) + grown(before->idle_ns, after->idle_ns) +
                    grown(before->steal_ns, after->steal_ns);
    double value = total > 0 ? (double)part_ns / (double)total : 0;
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

double assay_noise_steal_share(const struct assay_noise *before, const struct assay_noise *after)
{
    return share(before, after, grown(before->steal_ns, after->steal_ns));
}

double assay_noise_other_share(const struct assay_noise *before, const struct assay_noise *after)
{
    return share(before, after, grown(before->busy_ns, after->busy_ns) - grown(before->own_cpu_ns, after->own_cpu_ns));
}

static int64_t status_bytes(const char *text, const char *key)
{
    char value[64];
    int64_t kib;
    bool found = assay_proc_field(text, key, value, sizeof value) && assay_proc_integer(value, &kib) && kib < INT64_MAX / 1024;
    return found ? kib * 1024 : 0;
}

void assay_memory_resident(int64_t *now_bytes, int64_t *peak_bytes)
{
    char text[8192];
    assay_proc_read("/proc/self/status", text, sizeof text);
    *now_bytes = status_bytes(text, "VmRSS");
    *peak_bytes = status_bytes(text, "VmHWM");
    struct rusage usage;
    if (*peak_bytes == 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        *peak_bytes = (int64_t)usage.ru_maxrss * 1024;
    if (*peak_bytes < *now_bytes)
        *peak_bytes = *now_bytes;
}
