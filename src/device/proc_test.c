/* SPDX-License-Identifier: Apache-2.0 */
#include "device/internal.h"

#include "base/fs.h"
#include "base/rng.h"
#include "base/test.h"

ASSAY_TEST(fields_are_found_by_their_whole_name)
{
    const char *text = "model\t\t: 17\nmodel name\t: AMD EPYC  \nempty :\nMemTotal:       24684084 kB\nlast 7";
    char value[32], tiny[4];
    CHECK(assay_proc_field(text, "model name", value, sizeof value));
    CHECK_TEXT(value, "AMD EPYC");
    CHECK(assay_proc_field(text, "MemTotal", value, sizeof value));
    CHECK_TEXT(value, "24684084 kB");
    CHECK(assay_proc_field(text, "last", value, sizeof value));
    CHECK_TEXT(value, "7");
    CHECK(assay_proc_field(text, "model name", tiny, sizeof tiny));
    CHECK_TEXT(tiny, "AMD");
    CHECK(!assay_proc_field(text, "mod", value, sizeof value) && !assay_proc_field(text, "empty", value, sizeof value));
    CHECK(!assay_proc_field("", "model", value, sizeof value));
}

ASSAY_TEST(integers_are_read_or_refused)
{
    int64_t value = -7;
    CHECK(assay_proc_integer(" 42 kB", &value) && value == 42);
    CHECK(!assay_proc_integer("max", &value) && !assay_proc_integer("-1", &value) && !assay_proc_integer("", &value));
    CHECK(!assay_proc_integer("99999999999999999999", &value));
}

ASSAY_TEST(the_cpu_line_is_summed_as_proc_5_says)
{
    /* user nice system idle iowait irq softirq steal guest guest_nice; guest is part of user. */
    struct assay_noise noise = {0};
    CHECK(assay_proc_stat("cpu  10 20 30 1000 100 1 2 7 5 5\ncpu0 1 1 1 1\n", 10, &noise));
    CHECK_INT(noise.busy_ns, 630);
    CHECK_INT(noise.idle_ns, 11000);
    CHECK_INT(noise.steal_ns, 70);
    CHECK(assay_proc_stat("cpu 1 2 3 4", 10, &noise)); /* kernels before 2.6 */
    CHECK_INT(noise.steal_ns, 0);
    static const char *const bad[] = {"",
                                      "cpu",
                                      "cpu0 1 2 3 4",
                                      "cpu 1 2 3",
                                      "cpu x",
                                      "cpu 1 2 3 -4",
                                      "cpu 1 2 3 99999999999999999999",
                                      "cpu 1 2 3 9223372036854775807"};
    for (size_t i = 0; i < ASSAY_COUNT(bad); i++)
        CHECK(!assay_proc_stat(bad[i], 10000000, &noise));
}

static void put(struct assay_arena *arena, const char *root, const char *group, const char *file, const char *text)
{
    struct assay_error err;
    const char *folder = assay_arena_printf(arena, "%s%s", root, group);
    CHECK_OK(assay_fs_make_folder(folder, &err), err);
    CHECK_OK(assay_fs_write(assay_path_join(arena, folder, file), text, strlen(text), &err), err);
}

ASSAY_TEST(the_lowest_limit_on_the_way_to_the_root_counts)
{
    struct assay_arena arena;
    struct assay_error err;
    struct assay_cgroup_limits limits;
    char *root;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &root, &err), err);

    assay_cgroup_read(root, "0::/a/b\n", &limits);
    CHECK(limits.cpu_quota == 0 && limits.memory_bytes == 0);

    put(&arena, root, "/a", "cpu.max", "150000 100000\n");
    put(&arena, root, "/a", "memory.max", "4000000\n");
    put(&arena, root, "/a/b", "cpu.max", "max 100000\n");
    put(&arena, root, "/a/b", "memory.max", "9000000\n");
    assay_cgroup_read(root, "0::/a/b\n", &limits);
    CHECK_NEAR(limits.cpu_quota, 1.5, 1e-12);
    CHECK_INT(limits.memory_bytes, 4000000);

    /* Version 1, several controllers in one, "no limit" as it is written there. */
    put(&arena, root, "/cpu/x", "cpu.cfs_quota_us", "50000\n");
    put(&arena, root, "/cpu/x", "cpu.cfs_period_us", "100000\n");
    put(&arena, root, "/memory", "memory.limit_in_bytes", "9223372036854771712\n");
    assay_cgroup_read(root, "4:memory:/x\n3:cpuacct,cpu:/x\n1:name=systemd:/\n", &limits);
    CHECK_NEAR(limits.cpu_quota, 0.5, 1e-12);
    CHECK_INT(limits.memory_bytes, 0);

    put(&arena, root, "/a", "cpu.max", "nonsense");
    put(&arena, root, "/a", "memory.max", "");
    put(&arena, root, "/cpu/x", "cpu.cfs_period_us", "0\n");
    assay_cgroup_read(root, "0::/a\n3:cpu:/x\n:::\n\n0\n0::a\n0::/../..\n4:cpu", &limits);
    CHECK(limits.cpu_quota == 0 && limits.memory_bytes == 0);

    CHECK_OK(assay_fs_remove(root, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST(no_text_makes_a_parser_fall)
{
    static const char letters[] = "cpu 0123456789:,-\n\tmemory/.x";
    struct assay_rng rng;
    assay_rng_init(&rng, 1, 0);
    for (int trial = 0; trial < 20000; trial++) {
        char text[96], value[16];
        int64_t integer;
        size_t length = assay_rng_below(&rng, sizeof text);
        for (size_t i = 0; i < length; i++)
            text[i] = letters[assay_rng_below(&rng, sizeof letters - 1)];
        text[length] = 0;
        struct assay_noise noise;
        struct assay_cgroup_limits limits;
        assay_proc_field(text, "cpu", value, sizeof value);
        assay_proc_integer(text, &integer);
        assay_proc_stat(text, 10000000, &noise);
        if (trial % 20 == 0)
            assay_cgroup_read("/nonexistent", text, &limits);
        CHECK(strlen(value) < sizeof value);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(fields_are_found_by_their_whole_name), ASSAY_TEST_ENTRY(integers_are_read_or_refused),
                ASSAY_TEST_ENTRY(the_cpu_line_is_summed_as_proc_5_says),
                ASSAY_TEST_ENTRY(the_lowest_limit_on_the_way_to_the_root_counts), ASSAY_TEST_ENTRY(no_text_makes_a_parser_fall))
