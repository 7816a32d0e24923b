/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread pool of a program: the calling thread and n - 1 workers, pinned, that wait between runs without a system call for a
 * short while, then asleep. oneDNN's own OpenMP threads are switched off in all of them: work is cut into parts here, and each
 * part calls the library on one thread, so that there is one pool, which ThreadSanitizer can follow.
 */
#ifndef ASSAY_RUNTIME_NATIVE_THREAD_POOL_H
#define ASSAY_RUNTIME_NATIVE_THREAD_POOL_H

#include "base/status.h"

struct native_pool;

/* n_threads ≥ 1. If this process may use just n_threads CPUs, each thread gets one of them for itself. ASSAY_NO_MEMORY: no thread
 * could be started. */
enum assay_status native_pool_open(int n_threads, struct native_pool **pool, struct assay_error *err);
void native_pool_close(struct native_pool *pool);
int native_pool_threads(const struct native_pool *pool);

/* Calls work(context, part, thread) for each part from 0 to n_parts - 1 and returns when all are done. Part i < threads begins on
 * thread i, so that the same data is met by the same core again; the others go to whoever is free. From one thread at a time. */
void native_pool_run(struct native_pool *pool, int n_parts, void (*work)(void *context, int part, int thread), void *context);

#endif
