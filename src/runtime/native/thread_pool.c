/* SPDX-License-Identifier: Apache-2.0 */
/* See thread_pool.h. Workers wait for the number of the job to change: first by looking at it, then in a futex. */
#include "runtime/native/thread_pool.h"

#include "base/arena.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Some ten microseconds: longer than the gap between two steps of a program, shorter than a time slice. */
enum { SPINS = 4000 };

struct worker {
    pthread_t thread;
    struct native_pool *pool;
    int index, cpu; /* cpu -1 = any */
};

struct native_pool {
    int n_threads;
    struct worker *workers; /* [n_threads]; the first is the caller's place */
    void (*work)(void *context, int part, int thread);
    void *context;
    int n_parts;
    bool stop;
    cpu_set_t allowed;
    bool pinned;
    _Alignas(64) atomic_uint job; /* its number; even those who sleep look at it */
    atomic_int n_sleeping;
    _Alignas(64) atomic_int next_part;
    _Alignas(64) atomic_int n_busy;
};

/* Of a thread that pools have pinned: the CPUs that it might use before, which its own mask no longer tells the next pool. */
static _Thread_local struct {
    cpu_set_t allowed;
    int n_pools;
} caller;

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void sleep_while(atomic_uint *word, unsigned value) { syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); }

static void wake_all(atomic_uint *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0); }

/* OpenMP's number of threads is a property of the calling thread. libgomp comes with oneDNN; without it there is nothing to do.
 */
static void silence_openmp(void)
{
    void (*set_num_threads)(int);
    void *symbol = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    memcpy(&set_num_threads, &symbol, sizeof symbol);
    if (symbol)
        set_num_threads(1);
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void take_parts(struct native_pool *pool, int thread)
{
    int n = pool->n_parts;
    for (int part = thread; part < n; part = atomic_fetch_add_explicit(&pool->next_part, 1, memory_order_relaxed))
        pool->work(pool->context, part, thread);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct native_pool *pool = worker->pool;
    unsigned seen = 0;
    if (worker->cpu >= 0)
        pin(worker->cpu);
    else if (CPU_COUNT(&pool->allowed) > 0)
        sched_setaffinity(0, sizeof pool->allowed, &pool->allowed);
    silence_openmp();
    for (;;) {
        int spins = 0;
        unsigned now;
        while ((now = atomic_load_explicit(&pool->job, memory_order_acquire)) == seen) {
            if (++spins < SPINS) {
                relax();
                continue;
            }
            atomic_fetch_add(&pool->n_sleeping, 1);
            if (atomic_load(&pool->job) == seen)
                sleep_while(&pool->job, seen);
            atomic_fetch_sub(&pool->n_sleeping, 1);
        }
        seen = now;
        if (pool->stop)
            return NULL;
        take_parts(pool, worker->index);
        atomic_fetch_sub_explicit(&pool->n_busy, 1, memory_order_release);
    }
}

static void start_job(struct native_pool *pool)
{
    atomic_fetch_add(&pool->job, 1);
    if (atomic_load(&pool->n_sleeping) > 0)
        wake_all(&pool->job);
}

void native_pool_run(struct native_pool *pool, int n_parts, void (*work_function)(void *context, int part, int thread),
                     void *context)
{
    if (pool->n_threads == 1 || n_parts == 1) {
        for (int part = 0; part < n_parts; part++)
            work_function(context, part, 0);
        return;
    }
    pool->work = work_function;
    pool->context = context;
    pool->n_parts = n_parts;
    atomic_store_explicit(&pool->next_part, pool->n_threads, memory_order_relaxed);
    atomic_store_explicit(&pool->n_busy, pool->n_threads - 1, memory_order_relaxed);
    start_job(pool);
    take_parts(pool, 0);
    for (int spins = 0; atomic_load_explicit(&pool->n_busy, memory_order_acquire) > 0; spins++) {
        if (spins < SPINS)
            relax();
        else
            sched_yield();
    }
}

/* The CPUs that we may use, one for each thread, if there are just as many: cpus[n]; else -1. */
static void choose_cpus(struct native_pool *pool)
{
    int n = 0;
    if (caller.n_pools > 0)
        pool->allowed = caller.allowed;
    else if (sched_getaffinity(0, sizeof pool->allowed, &pool->allowed) != 0)
        CPU_ZERO(&pool->allowed);
    if (CPU_COUNT(&pool->allowed) != pool->n_threads)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE && n < pool->n_threads; cpu++)
        if (CPU_ISSET(cpu, &pool->allowed))
            pool->workers[n++].cpu = cpu;
    pool->pinned = pool->n_threads > 1;
}

static void pin_caller(const struct native_pool *pool)
{
    if (caller.n_pools++ == 0)
        caller.allowed = pool->allowed;
    pin(pool->workers[0].cpu);
}

static void unpin_caller(void)
{
    if (caller.n_pools > 0 && --caller.n_pools == 0)
        sched_setaffinity(0, sizeof caller.allowed, &caller.allowed);
}

static void stop(struct native_pool *pool, int n_started)
{
    pool->stop = true;
    start_job(pool);
    for (int i = 1; i < n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
}

enum assay_status native_pool_open(int n_threads, struct native_pool **result, struct assay_error *err)
{
    struct native_pool *pool = aligned_alloc(64, (sizeof *pool + 63) / 64 * 64);
    if (!pool)
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for a thread pool");
    memset(pool, 0, sizeof *pool);
    pool->n_threads = n_threads;
    pool->workers = assay_alloc((size_t)n_threads * sizeof *pool->workers);
    for (int i = 0; i < n_threads; i++)
        pool->workers[i] = (struct worker){.pool = pool, .index = i, .cpu = -1};
    choose_cpus(pool);
    silence_openmp();
    for (int i = 1; i < n_threads; i++) {
        int number = pthread_create(&pool->workers[i].thread, NULL, work, &pool->workers[i]);
        if (number) {
            stop(pool, i);
            free(pool->workers);
            free(pool);
            return assay_error_set(err, ASSAY_NO_MEMORY, "thread %d of %d could not be started: %s", i + 1, n_threads,
                                   strerror(number));
        }
    }
    if (pool->pinned)
        pin_caller(pool);
    *result = pool;
    return ASSAY_OK;
}

void native_pool_close(struct native_pool *pool)
{
    if (!pool)
        return;
    stop(pool, pool->n_threads);
    if (pool->pinned)
        unpin_caller();
    free(pool->workers);
    free(pool);
}

int native_pool_threads(const struct native_pool *pool) { return pool->n_threads; }
