/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arena: memory for the small things of one lifetime (a graph, a case, a query), freed all at once.
 *
 * Everything returned is zeroed, aligned to 16 bytes, and lives until clear or release. Memory for small host structures
 * that cannot be had stops the program (STYLE: errors, kind 3), so nothing here fails. Tensors and anything of a size that
 * a file decides do not belong here: see graph/tensor.h.
 * Threads: one arena, one thread at a time.
 */
#ifndef ASSAY_BASE_ARENA_H
#define ASSAY_BASE_ARENA_H

#include "base/status.h"

#include <stddef.h>

struct assay_arena {
    struct assay_arena_block *last; /* NULL when empty */
};

void assay_arena_init(struct assay_arena *arena);
void assay_arena_release(struct assay_arena *arena);
/* Frees all that was taken; the arena is empty and reusable. */
void assay_arena_clear(struct assay_arena *arena);

void *assay_arena_alloc(struct assay_arena *arena, size_t size_bytes);
/* n elements of `size_bytes` each; an overflowing product stops the program. */
void *assay_arena_array(struct assay_arena *arena, size_t n, size_t size_bytes);
/* A grown copy of `old` (n_old elements) with room for n_new; the old one stays valid until the arena goes. */
void *assay_arena_grow(struct assay_arena *arena, const void *old, size_t n_old, size_t n_new, size_t size_bytes);
char *assay_arena_strdup(struct assay_arena *arena, const char *text);
char *assay_arena_strndup(struct assay_arena *arena, const char *text, size_t n);
char *assay_arena_printf(struct assay_arena *arena, const char *format, ...) ASSAY_PRINTF(2, 3);
void *assay_arena_memdup(struct assay_arena *arena, const void *data, size_t size_bytes);

/* malloc, calloc and realloc that stop the program when there is no memory: for small host structures only. */
void *assay_alloc(size_t size_bytes);
void *assay_realloc(void *old, size_t size_bytes);
char *assay_strdup(const char *text);

#endif
