/* SPDX-License-Identifier: Apache-2.0 */
#include "device/internal.h"

#include "base/fs.h"
#include "base/test.h"

/* One CPU, little memory and one feature at most, so that a sweep is short: what the cache does is the same. */
static void init_bare(struct assay_machine *machine)
{
    assay_machine_init(machine);
    machine->n_isa = machine->n_isa ? 1 : 0;
    machine->cpu_quota = 1;
    machine->memory_limit_bytes = (int64_t)24 << 20;
}

static void count_calls(void *context, const char *what)
{
    CHECK(what[0]);
    ++*(int *)context;
}

static char *only_file(struct assay_arena *arena, const char *folder)
{
    struct assay_error err;
    char **names;
    size_t n;
    CHECK_OK(assay_fs_list(folder, arena, &names, &n, &err), err);
    CHECK_INT(n, 1);
    return assay_path_join(arena, folder, names[0]);
}

ASSAY_TEST(ceilings_are_cached_and_a_damaged_cache_is_measured_again)
{
    struct assay_arena arena;
    struct assay_error err;
    struct assay_machine machine;
    struct assay_ceilings first, second;
    char *folder;
    int n_calls = 0;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    setenv("ASSAY_CACHE", folder, 1);
    init_bare(&machine);

    CHECK_OK(assay_ceilings_get(&first, &machine, false, count_calls, &n_calls, &err), err);
    CHECK(!first.from_cache && n_calls >= first.n && first.n >= 2 && first.measured_us > 0);
    CHECK_OK(assay_ceilings_get(&second, &machine, false, count_calls, &n_calls, &err), err);
    CHECK(second.from_cache && second.n == first.n && second.measured_us == first.measured_us);
    for (int i = 0; i < first.n; i++) {
        CHECK_TEXT(second.items[i].precision, first.items[i].precision);
        CHECK_TEXT(second.items[i].isa, first.items[i].isa);
        CHECK_INT(second.items[i].n_threads, first.items[i].n_threads);
        CHECK_NEAR(second.items[i].rate, first.items[i].rate, first.items[i].rate * 1e-14);
        CHECK(first.items[i].rate > 1e7 && first.items[i].spread >= 0);
    }
    CHECK(assay_ceilings_rate(&second, "memory", 1) > 1e8);
    CHECK_NEAR(assay_ceilings_rate(&second, "f128", 1), 0, 0);
    assay_ceilings_release(&second);

    const char *path = only_file(&arena, folder);
    char *good;
    size_t size;
    CHECK_OK(assay_fs_read(path, 1 << 20, &arena, &good, &size, &err), err);
    const char *const damaged[] = {
        "",
        "{",
        "[]",
        "null",
        "{\"format\": 1, \"measured_us\": 1, \"items\": []}",
        "{\"format\": 2, \"measured_us\": 1, \"items\": [7]}",
        "{\"format\": 2, \"measured_us\": 1, \"items\": [{\"precision\": \"f32\", \"isa\": \"x\", \"n_threads\": 1, \"rate\": "
        "-1, "
        "\"spread\": 0}]}",
        "{\"format\": 2, \"measured_us\": 1, \"items\": [{\"precision\": 3, \"isa\": \"x\", \"n_threads\": 1, \"rate\": 1, "
        "\"spread\": 0}]}",
        assay_arena_strndup(&arena, good, size / 2),
    };
    for (size_t i = 0; i < ASSAY_COUNT(damaged); i++) {
        CHECK_OK(assay_fs_write(path, damaged[i], strlen(damaged[i]), &err), err);
        CHECK_OK(assay_ceilings_get(&second, &machine, false, NULL, NULL, &err), err);
        CHECK(!second.from_cache && second.n == first.n);
        assay_ceilings_release(&second);
    }
    assay_ceilings_release(&first);
    assay_ceilings_release(NULL);
    assay_machine_release(&machine);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST(without_a_place_for_the_cache_they_are_measured_and_it_is_said)
{
    struct assay_machine machine;
    struct assay_ceilings ceilings;
    struct assay_error err;
    int n_calls = 0;
    init_bare(&machine);
    machine.n_isa = 0;
    setenv("ASSAY_CACHE", "/proc/nowhere", 1);
    CHECK_OK(assay_ceilings_get(&ceilings, &machine, false, count_calls, &n_calls, &err), err);
    CHECK(ceilings.n >= 1 && n_calls > ceilings.n);
    assay_ceilings_release(&ceilings);
    assay_machine_release(&machine);
}

ASSAY_TEST(the_nearest_number_of_threads_not_above_is_taken)
{
    struct assay_ceiling items[] = {{"f32", "sse", 1, 10, 0},
                                    {"f32", "avx2", 1, 40, 0},
                                    {"f32", "sse", 4, 35, 0},
                                    {"f32", "avx2", 4, 150, 0},
                                    {"f64", "avx2", 4, 70, 0}};
    struct assay_ceilings ceilings = {.items = items, .n = 5};
    CHECK_NEAR(assay_ceilings_rate(&ceilings, "f32", 1), 40, 0);
    CHECK_NEAR(assay_ceilings_rate(&ceilings, "f32", 3), 40, 0);
    CHECK_NEAR(assay_ceilings_rate(&ceilings, "f32", 64), 150, 0);
    CHECK_NEAR(assay_ceilings_rate(&ceilings, "f64", 2), 0, 0);
}

/* Work of 1 unit each 100 us. */
static double idle_step(void *context, int thread)
{
    (void)context;
    (void)thread;
    volatile double x = 1;
    for (int i = 0; i < 10000; i++)
        x = x * 1.0000001;
    return 1;
}
static bool refuse(void *context, int thread)
{
    (void)context;
    return thread != 1;
}

ASSAY_TEST(workers_measure_or_give_up_together)
{
    int cpus[2] = {0, 0};
    double rates[3];
    struct assay_worker_task work = {.step = idle_step};
    CHECK(assay_workers_measure(&work, cpus, 2, 2000000, 3, rates));
    for (int i = 0; i < 3; i++)
        CHECK(rates[i] > 0);
    work.prepare = refuse;
    CHECK(!assay_workers_measure(&work, cpus, 2, 2000000, 3, rates));
    CHECK(assay_workers_measure(&work, cpus, 1, 2000000, 3, rates));
}

ASSAY_TEST(every_kernel_that_the_machine_has_runs)
{
    struct assay_machine machine;
    assay_machine_init(&machine);
    int n_run = 0;
    for (int k = 0; k < assay_n_peak_kernels; k++) {
        const struct assay_peak_kernel *kernel = &assay_peak_kernels[k];
        char features[64], *rest = features;
        bool usable = true;
        snprintf(features, sizeof features, "%s", kernel->features);
        for (char *name; (name = strtok_r(rest, " ", &rest));)
            usable = usable && assay_machine_has_isa(&machine, name);
        if (!usable || (kernel->prepare && !kernel->prepare()))
            continue;
        kernel->run(0);
        kernel->run(1000);
        n_run++;
    }
    assay_machine_release(&machine);
    CHECK(n_run >= 2);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(ceilings_are_cached_and_a_damaged_cache_is_measured_again),
                ASSAY_TEST_ENTRY(without_a_place_for_the_cache_they_are_measured_and_it_is_said),
                ASSAY_TEST_ENTRY(the_nearest_number_of_threads_not_above_is_taken),
                ASSAY_TEST_ENTRY(workers_measure_or_give_up_together), ASSAY_TEST_ENTRY(every_kernel_that_the_machine_has_runs))
