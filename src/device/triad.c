/* SPDX-License-Identifier: Apache-2.0 */
/* Memory bandwidth by the triad of STREAM (McCalpin 1995), a = b + s · c: 24 bytes counted for each element, the reading of a's
 * line before it is written (write-allocate) not counted, as there. */
#include "device/internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

typedef double quad __attribute__((vector_size(32)));

struct triad {
    quad *a, *b, *c;
    bool nontemporal;
    size_t n_quads; /* of each array */
    int n_threads;
};

static void share_of(const struct triad *triad, int thread, size_t *from, size_t *to)
{
    size_t part = triad->n_quads / (size_t)triad->n_threads;
    *from = part * (size_t)thread;
    *to = *from + part;
}

/* The first to write a page decides on which NUMA node it lies. */
static bool touch(void *context, int thread)
{
    struct triad *triad = context;
    size_t from, to;
    share_of(triad, thread, &from, &to);
    for (size_t i = from; i < to; i++) {
        triad->a[i] = (quad){0, 0, 0, 0};
        triad->b[i] = (quad){1, 2, 3, 4};
        triad->c[i] = (quad){4, 3, 2, 1};
    }
    return true;
}

#if defined(__has_attribute)
#if __has_attribute(no_sanitize)
__attribute__((no_sanitize("address", "undefined", "thread")))
#endif
#endif
static double
triad_pass(void *context, int thread)
{
    struct triad *triad = context;
    size_t from, to;
    share_of(triad, thread, &from, &to);
    const quad s = {3, 3, 3, 3}, *b = triad->b, *c = triad->c;
    quad *a = triad->a;
    if (triad->nontemporal)
        assay_triad_nontemporal((double *)&a[from], (const double *)&b[from], (const double *)&c[from], s[0], (to - from) * 4);
    else
        for (size_t i = from; i < to; i++)
            a[i] = b[i] + s * c[i];
    __asm__ volatile("" ::"r"(a) : "memory");
    return (double)(to - from) * 3 * sizeof(quad);
}

/* Bytes of one array: four times all last-level caches over the three arrays, 128 MiB at least, and together no more than a
 * quarter of the memory that is free. */
static size_t array_bytes(const struct assay_machine *machine)
{
    int64_t last_level = 0, free_bytes = machine->memory_bytes / 2, kib;
    int deepest = 0;
    for (int i = 0; i < machine->n_caches; i++)
        if (machine->caches[i].kind != 'i' && machine->caches[i].level > deepest) {
            int instances = machine->n_threads / machine->caches[i].shared_by;
            deepest = machine->caches[i].level;
            last_level = machine->caches[i].size_bytes * (instances > 0 ? instances : 1);
        }
    char text[4096], value[64];
    if (assay_proc_read("/proc/meminfo", text, sizeof text) && assay_proc_field(text, "MemAvailable", value, sizeof value) &&
        assay_proc_integer(value, &kib) && kib < INT64_MAX / 1024)
        free_bytes = kib * 1024;
    if (machine->memory_limit_bytes && machine->memory_limit_bytes < free_bytes)
        free_bytes = machine->memory_limit_bytes;
    int64_t bytes = last_level / 3 * 4, smallest = (int64_t)128 << 20, largest = free_bytes / 4 / 3;
    bytes = bytes < smallest ? smallest : bytes;
    bytes = bytes > largest ? largest : bytes;
    return (size_t)bytes & ~(size_t)4095;
}

bool assay_triad_measure(const struct assay_machine *machine, bool nontemporal, const int *cpus, int n_threads, int64_t window_ns,
                         int n_repetitions, double *rates)
{
    size_t bytes = array_bytes(machine);
    if (bytes < (size_t)1 << 20 || (nontemporal && !assay_triad_nontemporal))
        return false;
    char *memory = mmap(NULL, 3 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    madvise(memory, 3 * bytes, MADV_HUGEPAGE); /* only a wish */
    struct triad triad = {.nontemporal = nontemporal,
                          .a = (quad *)memory,
                          .b = (quad *)(memory + bytes),
                          .c = (quad *)(memory + 2 * bytes),
                          .n_quads = bytes / sizeof(quad),
                          .n_threads = n_threads};
    struct assay_worker_task work = {.prepare = touch, .step = triad_pass, .context = &triad};
    bool measured = assay_workers_measure(&work, cpus, n_threads, window_ns, n_repetitions, rates);
    munmap(memory, 3 * bytes);
    return measured;
}
