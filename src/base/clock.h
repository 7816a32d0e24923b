/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks. Durations come from CLOCK_MONOTONIC, which neither steps nor stops; moments from CLOCK_REALTIME, in UTC. */
#ifndef ASSAY_BASE_CLOCK_H
#define ASSAY_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds since an arbitrary start, for differences. */
int64_t assay_clock_ns(void);
/* CPU time of all threads of this process, in ns. */
int64_t assay_clock_cpu_ns(void);
/* Microseconds since 1970-01-01T00:00:00Z. */
int64_t assay_clock_utc_us(void);
/* Sleeps until assay_clock_ns() reaches `when_ns`; returns at once if it has. */
void assay_clock_sleep_until(int64_t when_ns);

enum { ASSAY_UTC_TEXT_SIZE = 32 };
/* "2026-11-22T15:04:05.123456Z" into text[ASSAY_UTC_TEXT_SIZE]. */
void assay_clock_utc_text(int64_t utc_us, char *text);
/* "1.23 ms", "4.5 s", three significant digits, into text[32]. */
void assay_clock_duration_text(double ns, char *text, size_t size);

#endif
