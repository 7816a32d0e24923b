/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/native/thread_pool.h"

#include "base/test.h"

#include <sched.h>
#include <stdatomic.h>

static cpu_set_t own_mask(void)
{
    cpu_set_t mask;
    CHECK_INT(sched_getaffinity(0, sizeof mask, &mask), 0);
    return mask;
}

static struct native_pool *open_pool(int n_threads)
{
    struct native_pool *pool = NULL;
    struct assay_error err = {0};
    CHECK_OK(native_pool_open(n_threads, &pool, &err), err);
    return pool;
}

static void count_part(void *context, int part, int thread)
{
    atomic_int *counts = context;
    (void)thread;
    atomic_fetch_add(&counts[part], 1);
}

ASSAY_TEST(each_part_is_done_once)
{
    for (int n_threads = 1; n_threads <= 4; n_threads++) {
        struct native_pool *pool = open_pool(n_threads);
        atomic_int counts[17] = {0};
        for (int run = 0; run < 100; run++)
            native_pool_run(pool, 17, count_part, counts);
        for (int i = 0; i < 17; i++)
            CHECK_INT(counts[i], 100);
        native_pool_close(pool);
    }
}

/* A part of a thread's own is begun by it, so part i tells where thread i may run. */
static void note_mask(void *context, int part, int thread)
{
    CHECK_INT(part, thread);
    ((cpu_set_t *)context)[part] = own_mask();
}

ASSAY_TEST(threads_of_a_second_pool_have_a_cpu_each)
{
    cpu_set_t before = own_mask(), after, masks[CPU_SETSIZE];
    int n = CPU_COUNT(&before);
    struct native_pool *first = open_pool(n), *second = open_pool(n);
    native_pool_run(second, n, note_mask, masks);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            CHECK(!CPU_EQUAL(&masks[i], &masks[k]));
    struct native_pool *third = open_pool(n + 1);
    native_pool_run(third, n + 1, note_mask, masks);
    for (int i = 1; i < n + 1; i++)
        CHECK(CPU_EQUAL(&masks[i], &before));
    native_pool_close(first);
    native_pool_close(third);
    native_pool_close(second);
    after = own_mask();
    CHECK(CPU_EQUAL(&before, &after));
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(each_part_is_done_once), ASSAY_TEST_ENTRY(threads_of_a_second_pool_have_a_cpu_each))
