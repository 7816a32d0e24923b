/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte-pair encoding of text (Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units", 2016),
 * over bytes: tokens 0 to 255 are the bytes, each further one joins two before it, so any text can be written and comes back to
 * the bit. Pairs are joined within words only: letters or digits with the space before them, other signs with the space
 * before them, or white space. Training takes the most frequent pair, of equally frequent ones that with the smallest
 * tokens, so it depends on the text alone.
 */
#ifndef ASSAY_DATA_BPE_H
#define ASSAY_DATA_BPE_H

#include "base/json.h"

enum { ASSAY_BPE_BYTES = 256, ASSAY_BPE_VOCABULARY = 32768 };

struct assay_bpe {
    int n_tokens; /* 256 … ASSAY_BPE_VOCABULARY */
    struct assay_bpe_token {
        int left, right; /* what it joins; -1 for a byte */
        int n_bytes;
        unsigned char *text; /* n_bytes, owned */
    } * tokens;
    struct assay_bpe_table *ranks; /* pair -> token */
};

/* Fewer tokens than wanted where no pair occurs twice. ASSAY_INVALID: n_tokens out of range, or 2 GiB of text and more. */
enum assay_status assay_bpe_train(struct assay_bpe *bpe, const char *text, size_t n, int n_tokens, struct assay_error *err);
void assay_bpe_release(struct assay_bpe *bpe);

/* The text's tokens, at most n of them, one after another into `to`; gives how many. */
size_t assay_bpe_encode(const struct assay_bpe *bpe, const char *text, size_t n, int32_t *to);

/* {"pairs": [[left, right], …]}. Reading refuses what is no such table. */
json_t *assay_bpe_json(const struct assay_bpe *bpe);
enum assay_status assay_bpe_from_json(struct assay_bpe *bpe, const json_t *json, struct assay_error *err);

#endif
