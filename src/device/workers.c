/* SPDX-License-Identifier: Apache-2.0 */
/* Pinned threads that repeat a piece of work for a given time; see internal.h. */
#include "device/internal.h"

#include "base/clock.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { WAIT, GO, CANCEL };

struct crew {
    const struct assay_worker_task *work;
    int64_t window_ns;
    int n_repetitions;
    atomic_int state, n_failed;
    pthread_barrier_t barrier;
};

struct worker {
    struct crew *crew;
    pthread_t thread;
    int index, cpu;
    double *rates; /* [repetition] of this thread */
};

static void pin(int cpu)
{
    cpu_set_t *set = CPU_ALLOC((size_t)cpu + 1);
    if (!set)
        return;
    size_t size = CPU_ALLOC_SIZE((size_t)cpu + 1);
    CPU_ZERO_S(size, set);
    CPU_SET_S((size_t)cpu, size, set);
    pthread_setaffinity_np(pthread_self(), size, set); /* where it is refused, the scheduler's choice is as good */
    CPU_FREE(set);
}

static int64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Every thread works for the window, and its work is divided by its own CPU time: none waits for the last piece of another, and a
 * busy neighbour that takes the CPU away does not lower what is to be a ceiling. */
static void *work_loop(void *argument)
{
    struct worker *worker = argument;
    struct crew *crew = worker->crew;
    const struct assay_worker_task *work = crew->work;
    pin(worker->cpu);
    while (atomic_load(&crew->state) == WAIT)
        sched_yield();
    if (atomic_load(&crew->state) == CANCEL)
        return NULL;
    if (work->prepare && !work->prepare(work->context, worker->index))
        atomic_fetch_add(&crew->n_failed, 1);
    pthread_barrier_wait(&crew->barrier);
    if (atomic_load(&crew->n_failed))
        return NULL;
    work->step(work->context, worker->index); /* pages, caches and clocks get warm */
    for (int r = 0; r < crew->n_repetitions; r++) {
        pthread_barrier_wait(&crew->barrier);
        double done = 0;
        int64_t end = assay_clock_ns() + crew->window_ns, start_cpu = thread_cpu_ns();
        do
            done += work->step(work->context, worker->index);
        while (assay_clock_ns() < end);
        int64_t cpu = thread_cpu_ns() - start_cpu;
        worker->rates[r] = cpu > 0 ? done * 1e9 / (double)cpu : 0;
    }
    return NULL;
}

bool assay_workers_measure(const struct assay_worker_task *work, const int *cpus, int n_threads, int64_t window_ns,
                           int n_repetitions, double *rates)
{
    struct crew crew = {.work = work, .window_ns = window_ns, .n_repetitions = n_repetitions};
    if (pthread_barrier_init(&crew.barrier, NULL, (unsigned)n_threads) != 0)
        return false;
    struct worker *workers = assay_alloc((size_t)n_threads * sizeof *workers);
    double *all_rates = assay_alloc((size_t)n_threads * (size_t)n_repetitions * sizeof *all_rates);
    int n_started = 0;
    for (; n_started < n_threads; n_started++) {
        struct worker *worker = &workers[n_started];
        *worker = (struct worker){
            .crew = &crew, .index = n_started, .cpu = cpus[n_started], .rates = all_rates + n_started * n_repetitions};
        if (pthread_create(&worker->thread, NULL, work_loop, worker) != 0)
            break;
    }
    bool complete = n_started == n_threads;
    atomic_store(&crew.state, complete ? GO : CANCEL);
    for (int i = 0; i < n_started; i++)
        pthread_join(workers[i].thread, NULL);
    complete = complete && atomic_load(&crew.n_failed) == 0;
    for (int r = 0; r < n_repetitions; r++) {
        rates[r] = 0;
        for (int i = 0; complete && i < n_threads; i++)
            rates[r] += workers[i].rates[r];
    }
    free(all_rates);
    free(workers);
    pthread_barrier_destroy(&crew.barrier);
    return complete;
}
