/* SPDX-License-Identifier: Apache-2.0 */
/* Compaction and backup: whatever state a kill or a copy leaves, each row is read once. Kills are in tests/lake. */
#include "lake/test_fixture.h"

#include <unistd.h>

static char *copy_of(struct fixture *f, const char *folder)
{
    static int n;
    char *to = assay_arena_printf(&f->arena, "%s/copy-%d", f->folder, n++);
    int64_t n_copied;
    CHECK_OK(assay_lake_backup(folder, to, &n_copied, NULL, NULL, &f->err), f->err);
    return to;
}

/* Puts every file of the lake `from` into `to` as a file copy does, knowing nothing of lakes. */
static const char *pour_from, *pour_to;
static enum assay_status pour_file(void *context, const char *path, struct assay_error *err)
{
    struct fixture *f = context;
    struct assay_map map;
    char *to = assay_arena_printf(&f->arena, "%s%s", pour_to, path + strlen(pour_from));
    enum assay_status st = assay_fs_make_folder(assay_path_folder(&f->arena, to), err);
    if (!st)
        st = assay_map_open(&map, path, err);
    if (st)
        return st;
    st = assay_fs_write(to, map.data, map.size_bytes, err);
    assay_map_release(&map);
    return st;
}

static void pour(struct fixture *f, const char *from, const char *to)
{
    pour_from = from;
    pour_to = to;
    CHECK_OK(assay_fs_walk(from, pour_file, f, &f->err), f->err);
}

static void compact(struct fixture *f, const char *folder, int64_t files_before, int64_t files_after)
{
    struct assay_lake_stat before, after;
    CHECK_OK(assay_lake_compact(folder, &before, &after, remember, f, &f->err), f->err);
    CHECK_INT(before.n_files, files_before);
    CHECK_INT(after.n_files, files_after);
    CHECK_INT(before.n_rows, after.n_rows);
}

static int64_t count(struct fixture *f, const char *folder)
{
    struct assay_lake_stat stat;
    CHECK_OK(assay_lake_verify(folder, &stat, remember, f, &f->err), f->err);
    return stat.n_rows;
}

ASSAY_TEST(the_files_of_each_host_and_day_become_one_with_the_same_rows)
{
    struct fixture f;
    set_up(&f);
    for (uint64_t i = 0; i < 5; i++)
        write_rows(&f, "run", i * 10, 10, NULL);
    struct assay_lake *lake = open_lake(&f);
    compact(&f, f.lake, 5, 1);
    /* A reader that was open all the time finds the merged file by itself. */
    check_rows_of(&f, lake, "run", 0, 50);
    assay_lake_close(lake);
    write_rows(&f, "run", 50, 10, NULL);
    write_rows(&f, "elsewhere", 0, 10, "other");
    compact(&f, f.lake, 3, 2);
    compact(&f, f.lake, 2, 2);
    CHECK_INT(count(&f, f.lake), 70);
    CHECK_INT(f.n_warnings, 0);
    tear_down(&f);
}

ASSAY_TEST(a_compaction_that_ended_before_the_old_files_went_doubles_nothing)
{
    struct fixture f;
    set_up(&f);
    char *old[4];
    for (uint64_t i = 0; i < 4; i++)
        old[i] = write_rows(&f, "run", i * 10, 10, NULL);
    char *kept = copy_of(&f, f.lake);
    compact(&f, f.lake, 4, 1);
    for (int n_left = 4; n_left >= 0; n_left--) {
        pour(&f, kept, f.lake);
        for (int i = n_left; i < 4; i++)
            CHECK(unlink(old[i]) == 0);
        CHECK_INT(count(&f, f.lake), 40);
        struct assay_lake *lake = open_lake(&f);
        check_rows_of(&f, lake, "run", 0, 40);
        assay_lake_close(lake);
    }
    pour(&f, kept, f.lake);
    compact(&f, f.lake, 1, 1);
    CHECK(!assay_fs_exists(old[0]));
    /* What was merged and merged again still counts as replaced. */
    write_rows(&f, "run", 40, 10, NULL);
    compact(&f, f.lake, 2, 1);
    pour(&f, kept, f.lake);
    CHECK_INT(count(&f, f.lake), 50);
    CHECK_INT(f.n_warnings, 0);
    tear_down(&f);
}

ASSAY_TEST(a_damaged_merged_file_replaces_nothing)
{
    struct fixture f;
    set_up(&f);
    write_rows(&f, "run", 0, 10, NULL);
    write_rows(&f, "run", 10, 10, NULL);
    char *kept = copy_of(&f, f.lake);
    compact(&f, f.lake, 2, 1);
    struct assay_lake *lake = open_lake(&f);
    char *merged = assay_arena_strdup(&f.arena, lake->files.files[0].path);
    assay_lake_close(lake);
    CHECK_CONTAINS(merged, ".merged.parquet");
    CHECK(truncate(merged, 1000) == 0);
    pour(&f, kept, f.lake);
    lake = open_lake(&f);
    CHECK_INT(f.n_warnings, 1);
    check_rows_of(&f, lake, "run", 0, 20);
    assay_lake_close(lake);
    struct assay_lake_stat before, after;
    CHECK_OK(assay_lake_compact(f.lake, &before, &after, NULL, NULL, &f.err), f.err);
    CHECK(assay_fs_exists(merged));
    CHECK_INT(after.n_rows, 20);
    CHECK_INT(after.n_damaged, 1);
    tear_down(&f);
}

ASSAY_TEST(lakes_compacted_apart_and_copied_together_double_nothing)
{
    struct fixture f;
    set_up(&f);
    char *a = f.lake, *b = assay_path_join(&f.arena, f.folder, "b");
    write_rows(&f, "run", 0, 10, NULL);
    write_rows(&f, "run", 10, 10, NULL);
    pour(&f, a, b);
    /* The same two files merged on both sides. */
    compact(&f, a, 2, 1);
    compact(&f, b, 2, 1);
    pour(&f, a, b);
    CHECK_INT(count(&f, b), 20);
    /* Each side merges something of its own too: the merged files overlap. */
    write_rows(&f, "run", 20, 10, NULL);
    compact(&f, a, 2, 1);
    f.lake = b;
    write_rows(&f, "run", 30, 10, NULL);
    compact(&f, b, 2, 1);
    pour(&f, a, b);
    CHECK_INT(count(&f, b), 40);
    struct assay_lake *lake = open_lake(&f);
    check_rows_of(&f, lake, "run", 0, 40);
    assay_lake_close(lake);
    compact(&f, b, 2, 1);
    lake = open_lake(&f);
    check_rows_of(&f, lake, "run", 0, 40);
    assay_lake_close(lake);
    CHECK_INT(f.n_warnings, 0);
    tear_down(&f);
}

ASSAY_TEST(results_that_are_there_twice_are_one_after_compaction)
{
    struct fixture f;
    struct assay_lake_stat before, after;
    set_up(&f);
    write_rows(&f, "run", 0, 10, NULL);
    write_rows(&f, "run", 5, 10, NULL);
    CHECK_OK(assay_lake_compact(f.lake, &before, &after, NULL, NULL, &f.err), f.err);
    CHECK_INT(before.n_rows, 20);
    CHECK_INT(after.n_rows, 15);
    struct assay_lake *lake = open_lake(&f);
    check_rows_of(&f, lake, "run", 0, 15);
    assay_lake_close(lake);
    tear_down(&f);
}

ASSAY_TEST(a_backup_copies_what_is_missing_mends_what_is_damaged_and_restores)
{
    struct fixture f;
    int64_t n;
    set_up(&f);
    char *first = write_rows(&f, "run", 0, 10, NULL), *to = assay_path_join(&f.arena, f.folder, "backup");
    write_rows(&f, "run", 10, 10, NULL);
    CHECK_OK(assay_lake_backup(f.lake, to, &n, NULL, NULL, &f.err), f.err);
    CHECK_INT(n, 2);
    CHECK_OK(assay_lake_backup(f.lake, to, &n, NULL, NULL, &f.err), f.err);
    CHECK_INT(n, 0);
    char *copy = assay_arena_printf(&f.arena, "%s%s", to, first + strlen(f.lake));
    CHECK(truncate(copy, 100) == 0);
    CHECK_OK(assay_lake_backup(f.lake, to, &n, NULL, NULL, &f.err), f.err);
    CHECK_INT(n, 1);
    CHECK_INT(count(&f, to), 20);
    /* Damage in the lake does not go into the backup, and comes back from it. */
    CHECK(truncate(first, 100) == 0);
    CHECK_OK(assay_lake_backup(f.lake, to, &n, remember, &f, &f.err), f.err);
    CHECK_INT(n, 0);
    CHECK_INT(f.n_warnings, 1);
    CHECK_OK(assay_lake_backup(to, f.lake, &n, remember, &f, &f.err), f.err);
    CHECK_INT(n, 1);
    CHECK_INT(count(&f, f.lake), 20);
    /* A backup that has a merged file of these rows needs no more. */
    compact(&f, to, 2, 1);
    CHECK_OK(assay_lake_backup(f.lake, to, &n, NULL, NULL, &f.err), f.err);
    CHECK_INT(n, 0);
    CHECK_INT(assay_lake_backup(f.lake, assay_path_join(&f.arena, f.lake, "v1/x"), &n, NULL, NULL, &f.err), ASSAY_INVALID);
    CHECK_INT(assay_lake_backup(f.lake, f.lake, &n, NULL, NULL, &f.err), ASSAY_INVALID);
    CHECK_INT(assay_lake_backup(assay_path_join(&f.arena, f.folder, "none"), to, &n, NULL, NULL, &f.err), ASSAY_ABSENT);
    tear_down(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(the_files_of_each_host_and_day_become_one_with_the_same_rows),
                ASSAY_TEST_ENTRY(a_compaction_that_ended_before_the_old_files_went_doubles_nothing),
                ASSAY_TEST_ENTRY(a_damaged_merged_file_replaces_nothing),
                ASSAY_TEST_ENTRY(lakes_compacted_apart_and_copied_together_double_nothing),
                ASSAY_TEST_ENTRY(results_that_are_there_twice_are_one_after_compaction),
                ASSAY_TEST_ENTRY(a_backup_copies_what_is_missing_mends_what_is_damaged_and_restores))
