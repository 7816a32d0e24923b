/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the reference runtime computed, kept in the cache folder: it is slow. An entry is a list of tensors under a hash of all
 * that they depend on, and of Assay's version; the oldest go when there is more than 1 GiB of them. A cache that cannot be read
 * or written only costs time.
 */
#ifndef ASSAY_BENCH_REFERENCE_CACHE_H
#define ASSAY_BENCH_REFERENCE_CACHE_H

#include "base/arena.h"
#include "base/hash.h"
#include "graph/tensor.h"

/* Begins a hash with what every entry depends on; add the rest, tensors with assay_reference_hash_tensor. */
void assay_reference_hash_init(struct assay_hash *hash, const char *model_id);
void assay_reference_hash_tensor(struct assay_hash *hash, const struct assay_tensor *tensor);
/* The entry's file, its folder made; NULL if there can be no cache. From the arena. */
const char *assay_reference_path(struct assay_hash *hash, struct assay_arena *arena);
/* All n tensors, owned by the caller, or false and none. path may be NULL. */
bool assay_reference_read(const char *path, struct assay_tensor *tensors, size_t n);
void assay_reference_write(const char *path, const struct assay_tensor *tensors, size_t n);

#endif
