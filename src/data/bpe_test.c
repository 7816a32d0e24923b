/* SPDX-License-Identifier: Apache-2.0 */
#include "data/bpe.h"

#include "base/rng.h"
#include "base/test.h"

static struct assay_error err;

static void expect_round_trip(const struct assay_bpe *bpe, const char *text, size_t n)
{
    int32_t tokens[4096];
    size_t n_tokens = assay_bpe_encode(bpe, text, n, tokens), at = 0;
    CHECK(n_tokens <= n);
    for (size_t i = 0; i < n_tokens; i++) {
        CHECK(tokens[i] >= 0 && tokens[i] < bpe->n_tokens);
        const struct assay_bpe_token *token = &bpe->tokens[tokens[i]];
        CHECK(at + (size_t)token->n_bytes <= n);
        CHECK(memcmp(text + at, token->text, (size_t)token->n_bytes) == 0);
        at += (size_t)token->n_bytes;
    }
    CHECK_INT(at, n);
}

/* The example of the paper: low 5, lower 2, newest 6, widest 3; "e s" and "s t" are both met nine times, and "es" comes first in
 * order. Words end by a newline here, and its "w e" and "n e" lose to later joins as counted by hand. */
ASSAY_TEST(the_most_frequent_pairs_are_joined_first)
{
    char text[512] = "";
    static const struct {
        const char *word;
        int n;
    } words[] = {{"low", 5}, {"lower", 2}, {"newest", 6}, {"widest", 3}};
    for (size_t w = 0; w < 4; w++)
        for (int i = 0; i < words[w].n; i++) {
            strcat(text, words[w].word);
            strcat(text, "\n");
        }
    struct assay_bpe bpe;
    CHECK_OK(assay_bpe_train(&bpe, text, strlen(text), 260, &err), err);
    CHECK_INT(bpe.n_tokens, 260);
    CHECK(memcmp(bpe.tokens[256].text, "es", 2) == 0);  /* 9, as "st": the smaller tokens win */
    CHECK(memcmp(bpe.tokens[257].text, "est", 3) == 0); /* 9 */
    CHECK(memcmp(bpe.tokens[258].text, "lo", 2) == 0);  /* 7 */
    CHECK(memcmp(bpe.tokens[259].text, "low", 3) == 0); /* 7 */
    int32_t tokens[8];
    CHECK_INT(assay_bpe_encode(&bpe, "lowest", 6, tokens), 2);
    CHECK_INT(tokens[0], 259);
    CHECK_INT(tokens[1], 257);
    assay_bpe_release(&bpe);
}

ASSAY_TEST(any_bytes_come_back)
{
    static const char sample[] =
        "In the beginning God created the heaven and the earth.\n\nAnd the earth was  without form,\tand void;";
    struct assay_bpe bpe;
    CHECK_OK(assay_bpe_train(&bpe, sample, sizeof sample - 1, 300, &err), err);
    CHECK(bpe.n_tokens > 256);
    expect_round_trip(&bpe, sample, sizeof sample - 1);
    expect_round_trip(&bpe, "", 0);
    struct assay_rng rng;
    assay_rng_init(&rng, 5, 0);
    for (int round = 0; round < 300; round++) {
        char text[1024];
        size_t n = assay_rng_below(&rng, sizeof text);
        for (size_t i = 0; i < n; i++)
            text[i] = (char)(round % 3 ? "the and  \n,."[assay_rng_below(&rng, 12)] : (char)assay_rng_u32(&rng));
        expect_round_trip(&bpe, text, n);
    }
    assay_bpe_release(&bpe);
}

ASSAY_TEST(a_vocabulary_survives_json_and_damaged_ones_are_refused)
{
    static const char *const damaged[] = {"{}",
                                          "{\"pairs\": 3}",
                                          "{\"pairs\": [3]}",
                                          "{\"pairs\": [[1]]}",
                                          "{\"pairs\": [[1, 256]]}",
                                          "{\"pairs\": [[-1, 2]]}",
                                          "{\"pairs\": [[1, 2.5]]}",
                                          "{\"pairs\": [[1, 2], [1, 2]]}",
                                          "{\"pairs\": [[1,1],[256,256],[257,257],[258,258],[259,259],[260,260],[261,261]]}"};
    static const char sample[] = "the cat and the hat and the bat";
    struct assay_bpe bpe, again;
    CHECK_OK(assay_bpe_train(&bpe, sample, sizeof sample - 1, 265, &err), err);
    json_t *json = assay_bpe_json(&bpe);
    CHECK_OK(assay_bpe_from_json(&again, json, &err), err);
    CHECK_INT(again.n_tokens, bpe.n_tokens);
    for (int i = 0; i < bpe.n_tokens; i++) {
        CHECK_INT(again.tokens[i].n_bytes, bpe.tokens[i].n_bytes);
        CHECK(memcmp(again.tokens[i].text, bpe.tokens[i].text, (size_t)bpe.tokens[i].n_bytes) == 0);
    }
    json_decref(json);
    assay_bpe_release(&again);
    assay_bpe_release(&bpe);
    for (size_t i = 0; i < ASSAY_COUNT(damaged); i++) {
        CHECK_OK(assay_json_parse(damaged[i], strlen(damaged[i]), "damaged", &json, &err), err);
        CHECK_INT(assay_bpe_from_json(&bpe, json, &err), ASSAY_INVALID);
        json_decref(json);
    }
    CHECK_INT(assay_bpe_train(&bpe, sample, 4, 255, &err), ASSAY_INVALID);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(the_most_frequent_pairs_are_joined_first), ASSAY_TEST_ENTRY(any_bytes_come_back),
                ASSAY_TEST_ENTRY(a_vocabulary_survives_json_and_damaged_ones_are_refused))
