/* SPDX-License-Identifier: Apache-2.0 */
#include "data/bpe.h"
#include "data/dataset_bible_text.h"
#include "data/dataset_testing.h"

#include "base/rng.h"

static struct assay_error err;
static const char path[] = "/usr/lib/bible.data";

static void read_text(struct assay_arena *arena, char **text, size_t *n)
{
    enum assay_status st = assay_bible_text(path, arena, text, n, &err);
    if (st == ASSAY_ABSENT)
        SKIP("%s", err.message);
    CHECK_OK(st, err);
}

/* The King James Version has 31 102 verses; the bytes are those that gzip -d makes of the windows. */
ASSAY_TEST(the_text_has_its_verses)
{
    static const char *const verses[] = {
        "\nGe1:1 In the beginning God created the heaven and the earth.\n",
        "\nJohn11:35 Jesus wept.\n",
        "\nPsa23:1 The LORD is my shepherd; I shall not want.\n",
        "\nRev22:21 The grace of our Lord Jesus Christ be with you all. Amen.\n",
    };
    struct assay_arena arena = {0};
    char *text;
    size_t n, n_lines = 0;
    read_text(&arena, &text, &n);
    CHECK_INT(n, 4404475);
    for (size_t i = 0; i < n; i++)
        n_lines += text[i] == '\n';
    CHECK_INT(n_lines, 31102 + 1);
    for (size_t i = 0; i < ASSAY_COUNT(verses); i++)
        CHECK(strstr(text, verses[i]) != NULL);
    assay_arena_release(&arena);
}

ASSAY_TEST(byte_pairs_give_all_text_back)
{
    struct assay_arena arena = {0};
    struct assay_bpe bpe;
    char *text;
    size_t n, at = 0;
    read_text(&arena, &text, &n);
    CHECK_OK(assay_bpe_train(&bpe, text, n / 4, 400, &err), err);
    CHECK_INT(bpe.n_tokens, 400);
    int32_t *tokens = assay_alloc(n * sizeof *tokens);
    size_t n_tokens = assay_bpe_encode(&bpe, text, n, tokens);
    for (size_t i = 0; i < n_tokens; i++) {
        const struct assay_bpe_token *token = &bpe.tokens[tokens[i]];
        CHECK(at + (size_t)token->n_bytes <= n && memcmp(text + at, token->text, (size_t)token->n_bytes) == 0);
        at += (size_t)token->n_bytes;
    }
    CHECK_INT(at, n);
    free(tokens);
    assay_bpe_release(&bpe);
    assay_arena_release(&arena);
}

/* As FNV-1a over all samples' ids, and the bytes that labels stand for. */
static void walk(const struct assay_dataset *dataset, uint64_t *hash, int64_t *n_bytes)
{
    int64_t sequence = dataset->tensors[0].type.dims[0], *ids = assay_alloc((size_t)sequence * 16), *labels = ids + sequence;
    void *to[] = {ids, labels};
    *hash = 0xcbf29ce484222325u;
    *n_bytes = 0;
    for (int split = 0; split < ASSAY_N_SPLITS; split++)
        for (int64_t i = 0; i < dataset->n[split]; i++) {
            int64_t last = labels[sequence - 1];
            CHECK_OK(assay_dataset_read(dataset, (enum assay_split)split, i, to, &err), err);
            CHECK(i == 0 || ids[0] == last);
            for (int64_t j = 0; j < sequence; j++) {
                CHECK(ids[j] >= 0 && ids[j] < dataset->n_classes);
                CHECK(j + 1 == sequence || labels[j] == ids[j + 1]);
                *hash = (*hash ^ (uint64_t)ids[j]) * 0x100000001b3u;
            }
            *n_bytes += assay_dataset_bytes(dataset, (enum assay_split)split, i);
        }
    free(ids);
}

/* Of the text, references and one byte a verse for the space after them go, an empty line for each of 1189 chapters comes; all of
 * it but what fills no sample is in one of the splits. */
ASSAY_TEST(bytes_are_all_in_one_of_the_splits)
{
    struct assay_dataset *dataset = open_or_skip("bible:sequence=100");
    struct assay_arena arena = {0};
    char *text;
    size_t n, n_wanted = 1189 - ASSAY_N_SPLITS;
    read_text(&arena, &text, &n);
    for (char *line = strchr(text, '\n') + 1; *line; line = strchr(line, '\n') + 1)
        n_wanted += (size_t)(strchr(line, '\n') - strchr(line, ' '));
    uint64_t hash;
    int64_t n_bytes;
    walk(dataset, &hash, &n_bytes);
    CHECK(n_bytes <= (int64_t)n_wanted && n_bytes > (int64_t)n_wanted - ASSAY_N_SPLITS * 101);
    CHECK_INT(dataset->n_classes, 256);
    int64_t all = dataset->n[0] + dataset->n[1] + dataset->n[2];
    CHECK_NEAR((double)dataset->n[ASSAY_SPLIT_TEST] / (double)all, 0.05, 0.01);
    CHECK_NEAR((double)dataset->n[ASSAY_SPLIT_VALIDATION] / (double)all, 0.05, 0.01);
    assay_dataset_close(dataset);
    assay_arena_release(&arena);
}

ASSAY_TEST(byte_pairs_are_the_same_made_and_from_the_cache)
{
    struct assay_arena arena = {0};
    char *folder = own_cache(&arena), **names;
    size_t n_names;
    uint64_t hashes[3];
    int64_t n_bytes[3];
    char contents[3][ASSAY_HASH_TEXT_SIZE];
    for (int i = 0; i < 3; i++) {
        struct assay_dataset *dataset = open_or_skip("bible:bpe=512:sequence=64");
        CHECK_INT(dataset->n_classes, 512);
        memcpy(contents[i], dataset->hash, sizeof contents[i]);
        walk(dataset, &hashes[i], &n_bytes[i]);
        /* Twice as many bytes as tokens, at the least, is what 512 byte pairs make of English. */
        CHECK(n_bytes[i] > 2 * 64 * (dataset->n[0] + dataset->n[1] + dataset->n[2]) * 9 / 10);
        assay_dataset_close(dataset);
        char *cache = assay_path_join(&arena, folder, "datasets");
        CHECK_OK(assay_fs_list(cache, &arena, &names, &n_names, &err), err);
        CHECK_INT(n_names, 1);
        if (i == 1)
            CHECK_OK(assay_fs_write(assay_path_join(&arena, cache, names[0]), "{\"pairs\": [[1, 999]]}", 21, &err), err);
    }
    CHECK(hashes[0] == hashes[1] && hashes[0] == hashes[2]);
    CHECK_TEXT(contents[1], contents[0]);
    CHECK_TEXT(contents[2], contents[0]);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

static enum assay_status open_copy(const char *copy, const void *bytes, size_t n)
{
    struct assay_arena arena = {0};
    struct assay_dataset *dataset;
    CHECK_OK(assay_fs_write(copy, bytes, n, &err), err);
    enum assay_status st = assay_dataset_open(assay_arena_printf(&arena, "bible:file=%s", copy), NULL, &dataset, &err);
    assay_dataset_close(dataset);
    assay_arena_release(&arena);
    return st;
}

ASSAY_TEST(damaged_texts_are_refused_or_read_but_never_crash)
{
    struct assay_arena arena = {0};
    struct assay_map map;
    if (!assay_fs_exists(path))
        SKIP("%s is not here", path);
    CHECK_OK(assay_map_open(&map, path, &err), err);
    char *folder = own_cache(&arena), *copy = assay_path_join(&arena, folder, "bible.data");
    unsigned char *bytes = assay_arena_memdup(&arena, map.data, map.size_bytes);
    struct assay_rng rng;
    assay_rng_init(&rng, 17, 0);
    CHECK_INT(open_copy(copy, bytes, map.size_bytes), ASSAY_OK);
    static const size_t cuts[] = {0, 3, 91, 92, 300, 372, 100000};
    for (size_t i = 0; i < ASSAY_COUNT(cuts); i++) {
        CHECK_INT(open_copy(copy, bytes, cuts[i]), ASSAY_INVALID);
        CHECK_CONTAINS(err.message, "bible.data");
    }
    for (int round = 0; round < 24; round++) {
        size_t at = assay_rng_below(&rng, round % 2 ? 400 : map.size_bytes);
        unsigned char kept = bytes[at];
        bytes[at] = (unsigned char)assay_rng_u32(&rng);
        enum assay_status st = open_copy(copy, bytes, map.size_bytes);
        CHECK(st == ASSAY_OK || st == ASSAY_INVALID);
        bytes[at] = kept;
    }
    assay_map_release(&map);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(the_text_has_its_verses), ASSAY_TEST_ENTRY(byte_pairs_give_all_text_back),
                ASSAY_TEST_ENTRY(bytes_are_all_in_one_of_the_splits),
                ASSAY_TEST_ENTRY(byte_pairs_are_the_same_made_and_from_the_cache),
                ASSAY_TEST_ENTRY(damaged_texts_are_refused_or_read_but_never_crash))
