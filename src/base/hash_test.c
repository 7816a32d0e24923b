/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include "base/fs.h"
#include "base/test.h"

static struct assay_error err;

static void hash_of(const char *text, char *digits)
{
    struct assay_hash hash;
    assay_hash_init(&hash);
    assay_hash_update(&hash, text, strlen(text));
    assay_hash_final(&hash, digits);
}

ASSAY_TEST(digests_are_those_of_b2sum)
{
    /* From `printf abc | b2sum -l 256` of GNU coreutils. */
    char digits[ASSAY_HASH_TEXT_SIZE];
    hash_of("", digits);
    CHECK_TEXT(digits, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    hash_of("abc", digits);
    CHECK_TEXT(digits, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

ASSAY_TEST(pieces_keep_their_borders)
{
    char one[ASSAY_HASH_TEXT_SIZE], other[ASSAY_HASH_TEXT_SIZE];
    struct assay_hash hash;
    assay_hash_init(&hash);
    assay_hash_text(&hash, "ab");
    assay_hash_text(&hash, "c");
    assay_hash_final(&hash, one);
    assay_hash_init(&hash);
    assay_hash_text(&hash, "a");
    assay_hash_text(&hash, "bc");
    assay_hash_final(&hash, other);
    CHECK(strcmp(one, other) != 0);
}

ASSAY_TEST(a_file_hashes_as_its_content)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    char *folder, *path, wanted[ASSAY_HASH_TEXT_SIZE], got[ASSAY_HASH_TEXT_SIZE];
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    path = assay_path_join(&arena, folder, "a");
    enum { SIZE = 1000000 };
    char *data = assay_arena_alloc(&arena, SIZE + 1);
    for (int i = 0; i < SIZE; i++)
        data[i] = (char)('a' + i % 26);
    CHECK_OK(assay_fs_write(path, data, SIZE, &err), err);
    hash_of(data, wanted);
    CHECK_OK(assay_hash_file(path, got, &err), err);
    CHECK_TEXT(got, wanted);
    CHECK(assay_hash_file(folder, got, &err) == ASSAY_INVALID);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    CHECK(assay_hash_file(path, got, &err) == ASSAY_ABSENT);
    assay_arena_release(&arena);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(digests_are_those_of_b2sum), ASSAY_TEST_ENTRY(pieces_keep_their_borders),
                ASSAY_TEST_ENTRY(a_file_hashes_as_its_content))
