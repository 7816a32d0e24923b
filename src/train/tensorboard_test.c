/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums against RFC 3720's, and files taken apart by a reader of the framing; what the events say is read by tests/train. */
#include "train/tensorboard.h"

#include "base/arena.h"
#include "base/fs.h"
#include "base/test.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* RFC 3720 (iSCSI), appendix B.4. */
ASSAY_TEST(checksums_equal_those_of_the_rfc)
{
    unsigned char zeros[32] = {0}, ones[32], up[32], down[32];
    const unsigned char command[48] = {0x01, 0xc0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0,
                                       0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 2,    0, 0, 0, 0, 0, 0, 0};
    for (int i = 0; i < 32; i++) {
        ones[i] = 0xff;
        up[i] = (unsigned char)i;
        down[i] = (unsigned char)(31 - i);
    }
    CHECK_INT(assay_tensorboard_crc(zeros, 32), 0x8a9136aau);
    CHECK_INT(assay_tensorboard_crc(ones, 32), 0x62a8ab43u);
    CHECK_INT(assay_tensorboard_crc(up, 32), 0x46dd794eu);
    CHECK_INT(assay_tensorboard_crc(down, 32), 0x113fdb5cu);
    CHECK_INT(assay_tensorboard_crc(command, 48), 0xd9963a56u);
    CHECK_INT(assay_tensorboard_crc("123456789", 9), 0xe3069283u);
    CHECK_INT(assay_tensorboard_crc("", 0), 0);
}

static uint64_t little_endian(const unsigned char *bytes, int n)
{
    uint64_t value = 0;
    for (int i = n; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static uint32_t unmasked(uint32_t crc)
{
    crc -= 0xa282ead8u;
    return crc << 15 | crc >> 17;
}

/* The number of whole records that a file consists of, -1 if it does not. */
static int count_records(const char *path)
{
    struct assay_map map;
    struct assay_error err;
    CHECK_OK(assay_map_open(&map, path, &err), err);
    int n = 0;
    size_t at = 0;
    while (n >= 0 && at < map.size_bytes) {
        const unsigned char *p = map.data + at;
        uint64_t left = map.size_bytes - at, length = left >= 16 ? little_endian(p, 8) : UINT64_MAX;
        bool is_whole = left >= 16 && length <= left - 16 &&
                        unmasked((uint32_t)little_endian(p + 8, 4)) == assay_tensorboard_crc(p, 8) &&
                        unmasked((uint32_t)little_endian(p + 12 + length, 4)) == assay_tensorboard_crc(p + 12, length);
        n = is_whole ? n + 1 : -1;
        at += is_whole ? length + 16 : 0;
    }
    assay_map_release(&map);
    return n;
}

struct fixture {
    struct assay_arena arena;
    char *folder;
    struct assay_tensorboard *writer;
    struct assay_error err;
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){0};
    CHECK_OK(assay_fs_temporary_folder(&f->arena, &f->folder, &f->err), f->err);
}

static void teardown(struct fixture *f)
{
    CHECK_OK(assay_tensorboard_close(f->writer, &f->err), f->err);
    CHECK_OK(assay_fs_remove(f->folder, &f->err), f->err);
    assay_arena_release(&f->arena);
}

/* What a kill would leave is looked at while the file is open. */
ASSAY_TEST(each_event_is_in_the_file_when_its_call_returns)
{
    struct fixture f;
    setup(&f);
    CHECK_OK(assay_tensorboard_open(f.folder, 0, &f.writer, &f.err), f.err);
    const char *path = assay_tensorboard_path(f.writer);
    CHECK_INT(count_records(path), 2); /* the version, and where the run begins */
    for (int i = 0; i < 100; i++) {
        CHECK_OK(assay_tensorboard_scalar(f.writer, "loss/train", i, 1.0 / (i + 1), &f.err), f.err);
        CHECK_INT(count_records(path), 3 + i);
    }
    const float values[] = {-1, 0, NAN, INFINITY, 3e38f, 1e-20f};
    CHECK_OK(assay_tensorboard_histogram(f.writer, "weights", 100, values, ASSAY_COUNT(values), &f.err), f.err);
    CHECK_OK(assay_tensorboard_histogram(f.writer, "none", 100, values, 0, &f.err), f.err);
    CHECK_INT(count_records(path), 104);
    teardown(&f);
}

ASSAY_TEST(two_writers_of_one_folder_have_files_of_their_own)
{
    struct fixture f;
    setup(&f);
    struct assay_tensorboard *other;
    char **names;
    size_t n;
    CHECK_OK(assay_tensorboard_open(f.folder, 0, &f.writer, &f.err), f.err);
    CHECK_OK(assay_tensorboard_open(f.folder, 50, &other, &f.err), f.err);
    CHECK_INT(count_records(assay_tensorboard_path(other)), 2); /* the version, and where the run goes on */
    CHECK_OK(assay_tensorboard_close(other, &f.err), f.err);
    CHECK_OK(assay_fs_list(f.folder, &f.arena, &names, &n, &f.err), f.err);
    CHECK_INT(n, 2);
    CHECK(strncmp(names[0], "events.out.tfevents.", 20) == 0);
    teardown(&f);
}

ASSAY_TEST(tags_that_no_reader_takes_are_refused)
{
    struct fixture f;
    setup(&f);
    CHECK_OK(assay_tensorboard_open(f.folder, 0, &f.writer, &f.err), f.err);
    char *longest = assay_arena_alloc(&f.arena, 1002);
    memset(longest, 'x', 1001);
    const char *const bad[] = {"", "\xff\xfe", longest};
    for (size_t i = 0; i < ASSAY_COUNT(bad); i++)
        CHECK(assay_tensorboard_scalar(f.writer, bad[i], 0, 1, &f.err) == ASSAY_INVALID);
    CHECK_INT(count_records(assay_tensorboard_path(f.writer)), 2);
    teardown(&f);
}

/* The limit on a file's size stands for a full disk: both cut a write short. */
ASSAY_TEST(an_event_that_a_full_disk_cuts_is_taken_back)
{
    struct fixture f;
    setup(&f);
    CHECK_OK(assay_tensorboard_open(f.folder, 0, &f.writer, &f.err), f.err);
    struct stat info;
    CHECK(stat(assay_tensorboard_path(f.writer), &info) == 0);
    struct rlimit kept, limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &kept) == 0);
    limit = kept;
    limit.rlim_cur = (rlim_t)info.st_size + 20;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    enum assay_status st = assay_tensorboard_scalar(f.writer, "loss", 1, 0.5, &f.err);
    CHECK(setrlimit(RLIMIT_FSIZE, &kept) == 0);
    signal(SIGXFSZ, handler);
    CHECK(st == ASSAY_IO);
    CHECK_CONTAINS(f.err.message, "could not be written");
    CHECK_INT(count_records(assay_tensorboard_path(f.writer)), 2);
    CHECK_OK(assay_tensorboard_scalar(f.writer, "loss", 1, 0.5, &f.err), f.err);
    CHECK_INT(count_records(assay_tensorboard_path(f.writer)), 3);
    teardown(&f);
}

ASSAY_TEST(a_folder_that_cannot_be_made_is_an_error)
{
    struct assay_tensorboard *writer;
    struct assay_error err;
    CHECK(assay_tensorboard_open("/dev/null/logs", 0, &writer, &err) != ASSAY_OK);
    CHECK(writer == NULL);
    CHECK_OK(assay_tensorboard_close(NULL, &err), err);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(checksums_equal_those_of_the_rfc),
                ASSAY_TEST_ENTRY(each_event_is_in_the_file_when_its_call_returns),
                ASSAY_TEST_ENTRY(two_writers_of_one_folder_have_files_of_their_own),
                ASSAY_TEST_ENTRY(tags_that_no_reader_takes_are_refused),
                ASSAY_TEST_ENTRY(an_event_that_a_full_disk_cuts_is_taken_back),
                ASSAY_TEST_ENTRY(a_folder_that_cannot_be_made_is_an_error))
