/* SPDX-License-Identifier: Apache-2.0 */
/* Content hashes: BLAKE2b-256 (libsodium), written as 64 hexadecimal digits. */
#ifndef ASSAY_BASE_HASH_H
#define ASSAY_BASE_HASH_H

#include "base/status.h"

#include <sodium/crypto_generichash.h>
#include <stddef.h>
#include <stdint.h>

enum { ASSAY_HASH_TEXT_SIZE = 65 };

struct assay_hash {
    crypto_generichash_state state;
};

void assay_hash_init(struct assay_hash *hash);
void assay_hash_update(struct assay_hash *hash, const void *data, size_t size_bytes);
/* A length-prefixed piece, so that ("ab","c") and ("a","bc") differ. */
void assay_hash_piece(struct assay_hash *hash, const void *data, size_t size_bytes);
void assay_hash_text(struct assay_hash *hash, const char *text); /* a piece */
void assay_hash_u64(struct assay_hash *hash, uint64_t value);
/* Writes 64 digits and a NUL. */
void assay_hash_final(struct assay_hash *hash, char text[ASSAY_HASH_TEXT_SIZE]);
enum assay_status assay_hash_file(const char *path, char text[ASSAY_HASH_TEXT_SIZE], struct assay_error *err);

#endif
