/* SPDX-License-Identifier: Apache-2.0 */
/* See arena.h. Blocks form a list, each at least twice the size of the one before up to 1 MiB. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 16, FIRST_BLOCK = 4096, LARGEST_STEP = 1 << 20 };

struct assay_arena_block {
    struct assay_arena_block *before;
    size_t used, size;
    _Alignas(ALIGNMENT) unsigned char data[];
};

static noreturn void out_of_memory(size_t size_bytes)
{
    fprintf(stderr, "assay: out of memory for %zu bytes of bookkeeping\n", size_bytes);
    abort();
}

void *assay_alloc(size_t size_bytes)
{
    void *p = calloc(1, size_bytes ? size_bytes : 1);
    if (!p)
        out_of_memory(size_bytes);
    return p;
}

void *assay_realloc(void *old, size_t size_bytes)
{
    void *p = realloc(old, size_bytes ? size_bytes : 1);
    if (!p)
        out_of_memory(size_bytes);
    return p;
}

char *assay_strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    return memcpy(assay_alloc(n), text, n);
}

void assay_arena_init(struct assay_arena *arena) { arena->last = NULL; }

void assay_arena_release(struct assay_arena *arena)
{
    if (arena)
        assay_arena_clear(arena);
}

void assay_arena_clear(struct assay_arena *arena)
{
    while (arena->last) {
        struct assay_arena_block *before = arena->last->before;
        free(arena->last);
        arena->last = before;
    }
}

void *assay_arena_alloc(struct assay_arena *arena, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX / 2)
        out_of_memory(size_bytes);
    size_t size = (size_bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct assay_arena_block *block = arena->last;
    if (!block || block->size - block->used < size) {
        size_t step = block ? block->size * 2 : FIRST_BLOCK;
        if (step > LARGEST_STEP)
            step = LARGEST_STEP;
        if (step < size)
            step = size;
        struct assay_arena_block *fresh = assay_alloc(sizeof *fresh + step);
        fresh->size = step;
        fresh->before = block;
        arena->last = block = fresh;
    }
    void *p = block->data + block->used;
    block->used += size;
    return p;
}

void *assay_arena_array(struct assay_arena *arena, size_t n, size_t size_bytes)
{
    size_t total;
    if (__builtin_mul_overflow(n, size_bytes, &total))
        out_of_memory(SIZE_MAX);
    return assay_arena_alloc(arena, total);
}

void *assay_arena_grow(struct assay_arena *arena, const void *old, size_t n_old, size_t n_new, size_t size_bytes)
{
    void *p = assay_arena_array(arena, n_new, size_bytes);
    if (n_old)
        memcpy(p, old, n_old * size_bytes);
    return p;
}

char *assay_arena_strndup(struct assay_arena *arena, const char *text, size_t n)
{
    char *p = assay_arena_alloc(arena, n + 1);
    memcpy(p, text, n);
    return p;
}

char *assay_arena_strdup(struct assay_arena *arena, const char *text) { return assay_arena_strndup(arena, text, strlen(text)); }

void *assay_arena_memdup(struct assay_arena *arena, const void *data, size_t size_bytes)
{
    void *p = assay_arena_alloc(arena, size_bytes);
    if (size_bytes)
        memcpy(p, data, size_bytes);
    return p;
}

char *assay_arena_printf(struct assay_arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSAY_ASSERT(n >= 0);
    char *p = assay_arena_alloc(arena, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return p;
}
