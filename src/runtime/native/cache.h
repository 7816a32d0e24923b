/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and values of attention that grow from run to run: a state of the program whose bytes stay where they are. New rows are
 * appended in room that was reserved, and ONNX's row-major tensor is made only for those who ask for it.
 *
 * A cache belongs to a state, and takes the place of its tensor as soon as a kernel that knows of it runs.
 */
#ifndef ASSAY_RUNTIME_NATIVE_CACHE_H
#define ASSAY_RUNTIME_NATIVE_CACHE_H

#include "graph/tensor.h"

enum { NATIVE_PANEL = 64 }; /* keys */

/* [batch, heads, length, dim], f32 or bf16. As columns: [batch, heads, length / 64, dim, 64], so that the products of a query
 * with 64 keys are sums of vectors. Rows: [batch, heads, capacity, dim]. */
struct native_cache {
    enum assay_dtype dtype;
    bool in_columns;
    bool holds; /* the state's value is here; else in its tensor */
    int64_t batch, heads, dim, length;
    int64_t capacity; /* a multiple of NATIVE_PANEL */
    unsigned char *bytes;
};

/* Room for `length` rows in all, with those that are there kept. */
enum assay_status native_cache_reserve(struct native_cache *cache, int64_t length, struct assay_error *err);
/* Takes over a tensor [batch, heads, length, dim] of its dtype, with room for `more`. */
enum assay_status native_cache_load(struct native_cache *cache, const struct assay_tensor *tensor, int64_t more,
                                    struct assay_error *err);
/* The tensor of the first `length` rows, for the caller to release. */
enum assay_status native_cache_store(const struct native_cache *cache, struct assay_tensor *tensor, struct assay_error *err);
void native_cache_release(struct native_cache *cache);

static inline int64_t native_cache_size(const struct native_cache *c) { return c->dtype == ASSAY_BF16 ? 2 : 4; }
static inline unsigned char *native_cache_head(const struct native_cache *c, int64_t batch, int64_t head)
{
    return c->bytes + (batch * c->heads + head) * c->capacity * c->dim * native_cache_size(c);
}
/* Writes n rows of `dim` numbers, whose starts are `stride` bytes apart, from row `at`. */
void native_cache_write(struct native_cache *cache, int64_t batch, int64_t head, int64_t at, int64_t n, const void *rows,
                        int64_t stride);

#endif
