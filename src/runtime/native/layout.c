/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts: how dimensions lie in memory, and the way between the two. */
#include "runtime/native/native.h"

#include <string.h>

enum { PART_BYTES = 1 << 15 /* less is not worth waking a thread for */ };

int native_parts(int64_t size_bytes, int n_threads)
{
    int64_t parts = size_bytes / PART_BYTES;
    return parts < 1 ? 1 : parts > n_threads ? n_threads : (int)parts;
}

void native_memory_dims(const struct assay_type *type, enum native_layout layout, int64_t *dims)
{
    memcpy(dims, type->dims, (size_t)type->rank * sizeof *dims);
    if (layout != NATIVE_NHWC)
        return;
    for (int d = 2; d < type->rank; d++)
        dims[d - 1] = type->dims[d];
    dims[type->rank - 1] = type->dims[1];
}

/* A batch of transposes: [batch, rows, columns] becomes [batch, columns, rows]. */
struct reorder {
    int64_t batch, rows, columns, size;
};
enum { TILE = 16 };

/* One tile at a time, so that both sides stay in cache lines. */
#define TRANSPOSE(type)                                                                                                          \
    static void transpose_##type(const struct reorder *r, const type *in, type *out, int64_t begin, int64_t end)                 \
    {                                                                                                                            \
        for (int64_t r0 = begin; r0 < end; r0 += TILE)                                                                           \
            for (int64_t c0 = 0; c0 < r->columns; c0 += TILE)                                                                    \
                for (int64_t c = c0; c < c0 + TILE && c < r->columns; c++)                                                       \
                    for (int64_t row = r0; row < r0 + TILE && row < end; row++)                                                  \
                        out[c * r->rows + row] = in[row * r->columns + c];                                                       \
    }
TRANSPOSE(uint8_t)
TRANSPOSE(uint16_t)
TRANSPOSE(uint32_t)
TRANSPOSE(uint64_t)

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct reorder *r = args->kernel->data;
    int64_t begin, end, bytes = r->rows * r->columns * r->size;
    (void)scratch;
    native_share(r->rows, TILE, part, args->kernel->n_parts, &begin, &end);
    for (int64_t b = 0; b < r->batch; b++) {
        const unsigned char *in = (const unsigned char *)args->in[0]->data + b * bytes;
        unsigned char *out = (unsigned char *)args->out[0]->data + b * bytes;
        if (r->size == 4)
            transpose_uint32_t(r, (const void *)in, (void *)out, begin, end);
        else if (r->size == 2)
            transpose_uint16_t(r, (const void *)in, (void *)out, begin, end);
        else if (r->size == 8)
            transpose_uint64_t(r, (const void *)in, (void *)out, begin, end);
        else
            transpose_uint8_t(r, in, out, begin, end);
    }
}

struct native_kernel native_reorder_kernel(const struct assay_type *type, enum native_layout from, enum native_layout to,
                                           int n_threads, struct assay_arena *arena)
{
    struct reorder *r = assay_arena_alloc(arena, sizeof *r);
    int64_t spatial = 1, channels = type->dims[1];
    ASSAY_ASSERT(from != to && type->rank >= 2);
    for (int d = 2; d < type->rank; d++)
        spatial *= type->dims[d];
    *r = (struct reorder){.batch = type->dims[0],
                          .rows = from == NATIVE_PLAIN ? channels : spatial,
                          .columns = from == NATIVE_PLAIN ? spatial : channels,
                          .size = (int64_t)assay_dtype_size(type->dtype)};
    return (struct native_kernel){.name = from == NATIVE_PLAIN ? "to channels last" : "to channels first",
                                  .run = run,
                                  .n_parts = native_parts(assay_type_bytes(type), n_threads),
                                  .in_place = -1,
                                  .is_view = r->rows == 1 || r->columns == 1,
                                  .data = r};
}
