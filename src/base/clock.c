/* SPDX-License-Identifier: Apache-2.0 */
/* See clock.h. */
#include "base/clock.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t assay_clock_ns(void) { return read_clock(CLOCK_MONOTONIC); }
int64_t assay_clock_cpu_ns(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }
int64_t assay_clock_utc_us(void) { return read_clock(CLOCK_REALTIME) / 1000; }

void assay_clock_sleep_until(int64_t when_ns)
{
    struct timespec t = {.tv_sec = when_ns / 1000000000, .tv_nsec = when_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
    }
}

void assay_clock_utc_text(int64_t utc_us, char *text)
{
    int64_t microseconds = utc_us % 1000000;
    if (microseconds < 0)
        microseconds += 1000000;
    time_t seconds = (time_t)(utc_us / 1000000 - (utc_us % 1000000 < 0));
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(text, ASSAY_UTC_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, ASSAY_UTC_TEXT_SIZE - n, ".%06dZ", (int)microseconds);
}

void assay_clock_duration_text(double ns, char *text, size_t size)
{
    static const struct {
        double ns;
        const char *unit;
    } units[] = {{3600e9, "h"}, {60e9, "min"}, {1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
    /* Hours and minutes from two on; below, the next unit where three digits would round up to it. */
    size_t i = 0;
    while (i < 5 && fabs(ns) < units[i].ns * (i < 2 ? 2 : 0.9995))
        i++;
    double value = ns / units[i].ns;
    int digits = fabs(value) >= 99.95 ? 0 : fabs(value) >= 9.995 ? 1 : 2;
    snprintf(text, size, "%.*f %s", digits, value, units[i].unit);
}
