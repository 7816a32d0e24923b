/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts: how dimensions lie in memory, and the way between the two. */
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

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
    const struct native_simd *simd;
    int64_t batch, rows, columns, size;
};
enum { TILE = 16 };

/* Threads share what there is more of. */
static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct reorder *r = args->kernel->data;
    int64_t row = 0, row_end = r->rows, column = 0, column_end = r->columns, bytes = r->rows * r->columns * r->size;
    (void)scratch;
    if (r->rows > r->columns)
        native_share(r->rows, TILE, part, args->kernel->n_parts, &row, &row_end);
    else
        native_share(r->columns, TILE, part, args->kernel->n_parts, &column, &column_end);
    for (int64_t b = 0; b < r->batch; b++) {
        const char *in = (const char *)args->in[0]->data + b * bytes + (row * r->columns + column) * r->size;
        char *out = (char *)args->out[0]->data + b * bytes + (column * r->rows + row) * r->size;
        r->simd->transpose(out, in, row_end - row, column_end - column, r->rows, r->columns, (int)r->size);
    }
}

struct native_kernel native_reorder_kernel(const struct assay_type *type, enum native_layout from, enum native_layout to,
                                           int n_threads, enum native_isa isa, struct assay_arena *arena)
{
    struct reorder *r = assay_arena_alloc(arena, sizeof *r);
    int64_t spatial = 1, channels = type->dims[1];
    ASSAY_ASSERT(from != to && type->rank >= 2);
    for (int d = 2; d < type->rank; d++)
        spatial *= type->dims[d];
    *r = (struct reorder){.simd = native_simd_of(isa),
                          .batch = type->dims[0],
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
