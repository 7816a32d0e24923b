/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question asked in a forked child process: for a driver or library that can crash, hang, print, start threads or open
 * devices, none of which may happen to a program that only wants to know. For whole programs see subprocess.h.
 */
#ifndef ASSAY_BASE_ISOLATE_H
#define ASSAY_BASE_ISOLATE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Calls work(context, answer) in a child whose standard streams lead nowhere, and brings `answer` (size_bytes, no pointers) back.
 * The caller must have no other threads that hold locks. ASSAY_CRASHED, ASSAY_TIMEOUT: the child died or did not answer in time.
 */
enum assay_status assay_isolate(void (*work)(const void *context, void *answer), const void *context, void *answer,
                                size_t size_bytes, int64_t time_limit_ns, struct assay_error *err);

#endif
