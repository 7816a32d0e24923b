/* SPDX-License-Identifier: Apache-2.0 */
#include "device/internal.h"

#include "base/test.h"

#include <unistd.h>

ASSAY_TEST(the_description_makes_sense)
{
    struct assay_machine machine;
    assay_machine_init(&machine);
    CHECK(machine.host[0] && machine.kernel[0] && machine.architecture[0] && machine.os[0] && machine.cpu_name[0]);
    CHECK(machine.n_sockets >= 1 && machine.n_cores >= machine.n_sockets && machine.n_threads >= machine.n_cores);
    CHECK(machine.n_numa_nodes >= 1);
    CHECK(machine.n_allowed_cpus >= 1 && machine.n_allowed_cpus <= (int)sysconf(_SC_NPROCESSORS_CONF));
    CHECK(machine.memory_bytes > (int64_t)64 << 20);
    CHECK(machine.memory_limit_bytes < machine.memory_bytes && machine.cpu_quota >= 0);
    for (int i = 0; i < machine.n_caches; i++) {
        const struct assay_cache_info *cache = &machine.caches[i];
        CHECK(cache->level >= 1 && cache->level <= 5 && strchr("diu", cache->kind));
        CHECK(cache->size_bytes >= 4096 && cache->size_bytes <= (int64_t)4 << 30);
        CHECK(cache->shared_by >= 1 && cache->shared_by <= machine.n_threads);
    }
    for (int i = 0; i < machine.n_gpus; i++)
        CHECK(machine.gpus[i].name[0] && machine.gpus[i].api[0]);
    CHECK(machine.n_sensors >= 1);
    for (int i = 0; i < machine.n_sensors; i++)
        CHECK(machine.sensors[i].name[0] && machine.sensors[i].available == !machine.sensors[i].reason[0]);
    for (int i = 0; i < machine.n_notes; i++)
        CHECK(machine.notes[i][strlen(machine.notes[i]) - 1] == '.');
    assay_machine_release(&machine);
    assay_machine_release(NULL);
}

#if defined(__x86_64__)
ASSAY_TEST(features_agree_with_the_kernel)
{
    /* The kernel's names, where they are not ours. */
    static const char *const names[][2] = {{"sse4.1", "sse4_1"}, {"sse4.2", "sse4_2"}, {"avx512_vbmi", "avx512vbmi"}};
    static const char *const all[] = {"sse2",     "ssse3",       "sse4.1",      "sse4.2",      "avx",
                                      "f16c",     "fma",         "avx2",        "avx_vnni",    "avx512f",
                                      "avx512dq", "avx512bw",    "avx512vl",    "avx512_vbmi", "avx512_vnni",
                                      "amx_tile", "avx512_bf16", "avx512_fp16", "amx_int8",    "amx_bf16"};
    static char text[65536], flags[16384];
    if (!assay_proc_read("/proc/cpuinfo", text, sizeof text) || !assay_proc_field(text, "flags", flags + 1, sizeof flags - 2))
        SKIP("/proc/cpuinfo has no flags");
    flags[0] = ' ';
    strcat(flags, " ");
    struct assay_machine machine;
    assay_machine_init(&machine);
    CHECK(assay_machine_has_isa(&machine, "sse2") && !assay_machine_has_isa(&machine, "neon"));
    for (size_t i = 0; i < ASSAY_COUNT(all); i++) {
        const char *name = all[i];
        for (size_t k = 0; k < ASSAY_COUNT(names); k++)
            name = strcmp(names[k][0], all[i]) == 0 ? names[k][1] : name;
        char wanted[32];
        snprintf(wanted, sizeof wanted, " %s ", name);
        if (assay_machine_has_isa(&machine, all[i]) != (strstr(flags, wanted) != NULL))
            fprintf(stderr, "%s differs\n", all[i]);
        CHECK(assay_machine_has_isa(&machine, all[i]) == (strstr(flags, wanted) != NULL));
    }
    CHECK_CONTAINS(assay_machine_isa_text(&machine), "sse2 ");
    assay_machine_release(&machine);
}
#else
ASSAY_TEST(features_agree_with_the_kernel) { SKIP("the kernel's names are only written down for x86"); }
#endif

ASSAY_TEST(cpus_in_order_are_the_allowed_ones_each_once)
{
    int cpus[1024], n = assay_machine_cpu_order(cpus, 1024);
    CHECK(n >= 1);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            CHECK(cpus[i] != cpus[k]);
    CHECK_INT(assay_machine_cpu_order(cpus, 1), 1);
    if (n < 1024)
        CHECK_INT(assay_machine_cpu_order(NULL, 0), n);
}

ASSAY_TEST(an_absent_energy_counter_is_said_with_its_reason)
{
    struct assay_error err;
    double energy_j = -1;
    enum assay_status st = assay_energy_read("cpu", &energy_j, &err);
    CHECK(st == ASSAY_OK ? energy_j >= 0 : st == ASSAY_ABSENT);
    if (st)
        CHECK_CONTAINS(err.message, "No energy counter for cpu");
    CHECK_INT(assay_energy_read("cuda:x", &energy_j, &err), ASSAY_INVALID);
    CHECK_INT(assay_energy_read("toaster", &energy_j, &err), ASSAY_ABSENT);
    st = assay_energy_read("cuda:1000", &energy_j, &err);
    CHECK_INT(st, ASSAY_ABSENT);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(the_description_makes_sense), ASSAY_TEST_ENTRY(features_agree_with_the_kernel),
                ASSAY_TEST_ENTRY(cpus_in_order_are_the_allowed_ones_each_once),
                ASSAY_TEST_ENTRY(an_absent_energy_counter_is_said_with_its_reason))
