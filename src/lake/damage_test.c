/* SPDX-License-Identifier: Apache-2.0 */
/* Damage: files cut short, bytes flipped, files that vanish. Nothing damaged is read as good, and every damaged file is named. */
#include "lake/test_fixture.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Gives the file another time of change, as if it had been written long before the next look at it. */
static void age(const char *path)
{
    struct timespec times[2] = {{.tv_sec = 1700000000}, {.tv_sec = 1700000000}};
    CHECK(utimensat(AT_FDCWD, path, times, 0) == 0);
}

static int64_t size_of(const char *path)
{
    struct stat info;
    CHECK(stat(path, &info) == 0);
    return info.st_size;
}

static void flip_byte(const char *path, int64_t at)
{
    int fd = open(path, O_RDWR);
    unsigned char byte;
    CHECK(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= (unsigned char)(1 + at % 255);
    CHECK(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

ASSAY_TEST(bytes_flipped_anywhere_are_found_and_the_other_files_are_read)
{
    struct fixture f;
    set_up(&f);
    write_rows(&f, "good", 0, 10, NULL);
    struct assay_rng rng;
    assay_rng_init(&rng, 50, assay_rng_stream("flips"));
    for (int seed = 0; seed < 50; seed++) {
        char *file = write_rows(&f, "bad", 100, 10, NULL);
        flip_byte(file, (int64_t)assay_rng_below(&rng, (uint64_t)size_of(file)));
        age(file);
        f.n_warnings = 0;
        struct assay_lake *lake = open_lake(&f);
        CHECK_INT(f.n_warnings, 1);
        CHECK_CONTAINS(f.warning, file);
        check_rows_of(&f, lake, "good", 0, 10);
        assay_lake_close(lake);
        CHECK_OK(assay_fs_remove(file, &f.err), f.err);
    }
    tear_down(&f);
}

ASSAY_TEST(a_file_cut_anywhere_is_found)
{
    struct fixture f;
    set_up(&f);
    write_rows(&f, "good", 0, 10, NULL);
    struct assay_rng rng;
    assay_rng_init(&rng, 20, assay_rng_stream("cuts"));
    for (int seed = 0; seed < 20; seed++) {
        char *file = write_rows(&f, "bad", 100, 10, NULL);
        int64_t size = size_of(file), length = seed == 0   ? 0
                                               : seed == 1 ? size - 1
                                                           : (int64_t)assay_rng_below(&rng, (uint64_t)size);
        CHECK(truncate(file, length) == 0);
        age(file);
        f.n_warnings = 0;
        struct assay_lake *lake = open_lake(&f);
        CHECK_INT(f.n_warnings, 1);
        CHECK_CONTAINS(f.warning, file);
        CHECK_CONTAINS(f.warning, "end is missing");
        check_rows_of(&f, lake, "good", 0, 10);
        assay_lake_close(lake);
        CHECK_OK(assay_fs_remove(file, &f.err), f.err);
    }
    tear_down(&f);
}

ASSAY_TEST(a_verdict_is_kept_only_for_the_unchanged_file)
{
    struct fixture f;
    struct stat info;
    struct assay_lake_name name;
    set_up(&f);
    char *file = write_rows(&f, "run", 0, 10, NULL);
    CHECK(assay_lake_name_parse(file, &name));
    /* Fresh files get no verdict, so it is waited until this one is settled. */
    usleep(2100000);
    assay_lake_close(open_lake(&f));
    CHECK(stat(file, &info) == 0);
    char *root = realpath(f.lake, NULL);
    struct assay_lake_verdicts *verdicts = assay_lake_verdicts_load(root, &f.arena);
    CHECK(assay_lake_verdicts_good(verdicts, name.hash, &info));
    CHECK(!assay_lake_verdicts_good(verdicts, "0123456789abcdef", &info));
    struct stat other = info;
    other.st_ctim.tv_nsec ^= 1;
    CHECK(!assay_lake_verdicts_good(verdicts, name.hash, &other));
    /* The same size and time of modification, set back: the time of change tells. */
    flip_byte(file, 300);
    struct timespec times[2] = {info.st_atim, info.st_mtim};
    CHECK(utimensat(AT_FDCWD, file, times, 0) == 0);
    struct assay_lake *lake = open_lake(&f);
    CHECK_INT(f.n_warnings, 1);
    assay_lake_close(lake);
    free(root);
    tear_down(&f);
}

ASSAY_TEST(a_damaged_cache_of_verdicts_is_not_believed)
{
    struct fixture f;
    set_up(&f);
    write_rows(&f, "run", 0, 1, NULL);
    usleep(2100000);
    assay_lake_close(open_lake(&f));
    char **names, *cache = getenv("ASSAY_CACHE"), *text, *root = realpath(f.lake, NULL);
    size_t n, size;
    CHECK_OK(assay_fs_list(cache, &f.arena, &names, &n, &f.err), f.err);
    CHECK_INT(n, 1);
    char *path = assay_path_join(&f.arena, cache, names[0]);
    CHECK_OK(assay_fs_read(path, 1 << 20, &f.arena, &text, &size, &f.err), f.err);
    struct stat info;
    struct assay_lake_name name;
    struct assay_lake *lake = open_lake(&f);
    name = lake->files.files[0].name;
    CHECK(stat(lake->files.files[0].path, &info) == 0);
    assay_lake_close(lake);
    for (size_t i = 0; i <= size; i++) {
        struct assay_arena arena;
        assay_arena_init(&arena);
        char *copy = assay_arena_memdup(&arena, text, size);
        if (i < size)
            copy[i] ^= 1;
        CHECK_OK(assay_fs_write(path, copy, size, &f.err), f.err);
        CHECK_INT(assay_lake_verdicts_good(assay_lake_verdicts_load(root, &arena), name.hash, &info), i == size);
        assay_arena_release(&arena);
    }
    free(root);
    tear_down(&f);
}

ASSAY_TEST(a_file_damaged_while_the_lake_is_open_is_left_out_with_a_warning_or_read_unchanged)
{
    struct fixture f;
    set_up(&f);
    write_rows(&f, "good", 0, 10, NULL);
    char *file = write_rows(&f, "worse", 100, 3000, NULL);
    struct assay_lake *lake = open_lake(&f);
    CHECK_TEXT(ask(&f, lake, "SELECT count(*) FROM results"), "3010");
    CHECK(truncate(file, size_of(file) / 2) == 0);
    age(file);
    CHECK_TEXT(ask(&f, lake, "SELECT count(samples_ns) FROM results"), "10");
    CHECK_INT(f.n_warnings, 1);
    CHECK_CONTAINS(f.warning, file);
    assay_lake_close(lake);
    tear_down(&f);
}

ASSAY_TEST(a_file_that_assay_did_not_write_is_named_and_left_out)
{
    struct fixture f;
    set_up(&f);
    char *file = write_rows(&f, "good", 0, 10, NULL), *folder = assay_path_folder(&f.arena, file);
    struct assay_map map;
    CHECK_OK(assay_map_open(&map, file, &f.err), f.err);
    CHECK_OK(assay_fs_write(assay_path_join(&f.arena, folder, "stray.parquet"), map.data, map.size_bytes, &f.err), f.err);
    CHECK_OK(assay_fs_write(assay_path_join(&f.arena, folder, "notes.txt"), "hello", 5, &f.err), f.err);
    CHECK_OK(assay_fs_write(assay_path_join(&f.arena, folder, ".run.parquet.1.2.tmp"), "PAR1", 4, &f.err), f.err);
    assay_map_release(&map);
    struct assay_lake *lake = open_lake(&f);
    CHECK_INT(f.n_warnings, 1);
    CHECK_CONTAINS(f.warning, "stray.parquet");
    CHECK_CONTAINS(f.warning, "assay import");
    check_rows_of(&f, lake, "good", 0, 10);
    assay_lake_close(lake);
    tear_down(&f);
}

ASSAY_TEST(verify_and_stat_count_and_name_what_is_damaged)
{
    struct fixture f;
    struct assay_lake_stat stat;
    set_up(&f);
    write_rows(&f, "run-1", 0, 10, NULL);
    write_rows(&f, "run-2", 20, 10, "other-host");
    CHECK_OK(assay_lake_verify(f.lake, &stat, remember, &f, &f.err), f.err);
    CHECK_INT(stat.n_files, 2);
    CHECK_INT(stat.n_rows, 20);
    CHECK_INT(stat.n_runs, 2);
    CHECK_INT(stat.n_hosts, 2);
    CHECK_INT(stat.n_models, 4);
    CHECK_INT(stat.n_platforms, 2);
    CHECK_INT(stat.n_damaged, 0);
    CHECK_INT(stat.last_us - stat.first_us, 29);
    CHECK_INT(f.n_warnings, 0);
    char *file = write_rows(&f, "run-3", 40, 10, NULL);
    flip_byte(file, size_of(file) / 2);
    CHECK_INT(assay_lake_verify(f.lake, &stat, remember, &f, &f.err), ASSAY_MISMATCH);
    CHECK_INT(stat.n_damaged, 1);
    CHECK_INT(f.n_warnings, 1);
    CHECK_CONTAINS(f.warning, file);
    CHECK_OK(assay_lake_stat(f.lake, &stat, NULL, NULL, &f.err), f.err);
    CHECK_INT(stat.n_damaged, 1);
    CHECK_INT(stat.n_rows, 20);
    CHECK_OK(assay_fs_remove(file, &f.err), f.err);
    /* The same results twice: possible only by hand, and told. */
    write_rows(&f, "run-1", 0, 10, "a-third");
    CHECK_INT(assay_lake_verify(f.lake, &stat, remember, &f, &f.err), ASSAY_MISMATCH);
    CHECK_CONTAINS(f.warning, "more than once");
    tear_down(&f);
}

ASSAY_TEST(a_full_disk_is_an_error_and_loses_nothing)
{
    struct fixture f;
    set_up(&f);
    char *disk = assay_path_join(&f.arena, f.folder, "disk");
    CHECK_OK(assay_fs_make_folder(disk, &f.err), f.err);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=512k") != 0) {
        tear_down(&f);
        SKIP("a small tmpfs cannot be mounted here");
    }
    f.lake = assay_path_join(&f.arena, disk, "lake");
    struct assay_row rows[20];
    size_t n_committed = 0;
    enum assay_status st = ASSAY_OK;
    for (int round = 0; round < 100 && !st; round++) {
        for (int i = 0; i < 20; i++) {
            assay_row_init(&rows[i]);
            test_row_fill(&rows[i], "run", n_committed + (uint64_t)i, 20);
            double samples[1000];
            struct assay_rng rng;
            assay_rng_init(&rng, (uint64_t)(round * 20 + i), 7);
            for (int j = 0; j < 1000; j++)
                samples[j] = assay_rng_uniform(&rng);
            assay_row_map_reals(&rows[i], ASSAY_ROW_series, "noise", samples, 1000);
        }
        st = assay_lake_write(f.lake, rows, 20, &f.arena, NULL, &f.err);
        n_committed += st ? 0 : 20;
        for (int i = 0; i < 20; i++)
            assay_row_release(&rows[i]);
    }
    struct assay_lake *lake = open_lake(&f);
    char *n_rows = ask(&f, lake, "SELECT count(*) FROM results");
    assay_lake_close(lake);
    bool unmounted = umount(disk) == 0;
    CHECK_INT(st, ASSAY_IO);
    CHECK_CONTAINS(f.err.message, "space");
    CHECK(n_committed >= 20);
    CHECK_INT(atoll(n_rows), n_committed);
    CHECK_INT(f.n_warnings, 0);
    CHECK(unmounted);
    tear_down(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(bytes_flipped_anywhere_are_found_and_the_other_files_are_read),
                ASSAY_TEST_ENTRY(a_file_cut_anywhere_is_found), ASSAY_TEST_ENTRY(a_verdict_is_kept_only_for_the_unchanged_file),
                ASSAY_TEST_ENTRY(a_damaged_cache_of_verdicts_is_not_believed),
                ASSAY_TEST_ENTRY(a_file_damaged_while_the_lake_is_open_is_left_out_with_a_warning_or_read_unchanged),
                ASSAY_TEST_ENTRY(a_file_that_assay_did_not_write_is_named_and_left_out),
                ASSAY_TEST_ENTRY(verify_and_stat_count_and_name_what_is_damaged),
                ASSAY_TEST_ENTRY(a_full_disk_is_an_error_and_loses_nothing))
