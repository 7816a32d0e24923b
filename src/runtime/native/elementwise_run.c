/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise programs, running: from block to block. */
#include "runtime/native/elementwise_inside.h"

#include <string.h>

/* A walk over blocks: where in the outer dimensions it is, and each operand's first element there. */
struct walk {
    int n_outer;
    int64_t at[ASSAY_MAX_RANK];
    int64_t offsets[NATIVE_MAP_OPERANDS];
    int64_t piece, n_pieces; /* of the rows, or of the row */
    int64_t out;             /* the block's first element in the outputs */
    int64_t spread_from[NATIVE_MAP_OPERANDS], spread_rows[NATIVE_MAP_OPERANDS];
};

static void begin(const struct native_map *map, struct walk *w, int64_t block)
{
    bool many = map->many;
    w->n_outer = map->rank - 1 - many;
    int64_t n = map->dims[map->rank - 1], rows = many ? map->dims[map->rank - 2] : 1;
    w->n_pieces = many ? (rows + map->rows - 1) / map->rows : (n + map->block - 1) / map->block;
    w->piece = block % w->n_pieces;
    int64_t rest = block / w->n_pieces;
    w->out = rest * rows * n + w->piece * (many ? map->rows * n : map->block);
    memset(w->offsets, 0, sizeof w->offsets);
    for (int d = w->n_outer - 1; d >= 0; d--) {
        w->at[d] = rest % map->dims[d];
        rest /= map->dims[d];
        for (int k = 0; k < map->n_operands; k++)
            w->offsets[k] += w->at[d] * map->operands[k].strides[d];
    }
    for (int k = 0; k < map->n_operands; k++)
        w->spread_from[k] = -1;
}

static void next(const struct native_map *map, struct walk *w)
{
    if (++w->piece < w->n_pieces)
        return;
    w->piece = 0;
    for (int d = w->n_outer - 1; d >= 0; d--) {
        for (int k = 0; k < map->n_operands; k++)
            w->offsets[k] += map->operands[k].strides[d];
        if (++w->at[d] < map->dims[d])
            return;
        w->at[d] = 0;
        for (int k = 0; k < map->n_operands; k++)
            w->offsets[k] -= map->operands[k].strides[d] * map->dims[d];
    }
}

#define SPREAD(type)                                                                                                             \
    for (int64_t r = 0; r < rows; r++)                                                                                           \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            ((type *)to)[r * n + i] = ((const type *)from)[r * row_step + i * step];

/* Rows of any steps, one after another. */
static void spread(char *to, const char *from, int64_t rows, int64_t n, int64_t row_step, int64_t step, int64_t size)
{
    if (step == 1 && n * size >= ASSAY_MAX_RANK) {
        for (int64_t r = 0; r < rows; r++)
            memcpy(to + r * n * size, from + r * row_step * size, (size_t)(n * size));
    } else if (size == 4) {
        SPREAD(uint32_t)
    } else if (size == 2) {
        SPREAD(uint16_t)
    } else if (size == 8) {
        SPREAD(uint64_t)
    } else {
        SPREAD(uint8_t)
    }
}

static char *find_operand(const struct native_map *map, struct walk *w, int k, const char *base, unsigned char *scratch,
                          int64_t rows, int64_t n)
{
    const struct native_map_operand *o = &map->operands[k];
    int last = map->rank - 1;
    bool many = map->many;
    int64_t row_step = many ? o->strides[last - 1] : 0;
    int64_t first = w->offsets[k] + (many ? w->piece * map->rows * row_step : w->piece * map->block * o->strides[last]);
    if (o->mode != NATIVE_SPREAD)
        return (char *)base + first * o->size;
    char *to = (char *)scratch + o->offset;
    if (first != w->spread_from[k] || rows > w->spread_rows[k] || !many) {
        spread(to, base + first * o->size, rows, n, row_step, o->strides[last], o->size);
        w->spread_from[k] = first;
        w->spread_rows[k] = rows;
    }
    return to;
}

void native_map_run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct native_map *map = args->kernel->data;
    const char *bases[NATIVE_MAP_OPERANDS];
    char **at = (char **)(void *)scratch;
    int64_t first, end;
    struct walk w;
    for (int i = 0; i < map->n_places; i++)
        at[i] = (char *)scratch + map->places[i].offset;
    for (int k = 0; k < map->n_operands; k++)
        bases[k] = map->operands[k].input >= 0 ? args->in[map->operands[k].input]->data : map->operands[k].data;
    native_share(map->n_blocks, 1, part, args->kernel->n_parts, &first, &end);
    if (first >= end)
        return;
    begin(map, &w, first);
    bool many = map->many;
    int64_t n = map->dims[map->rank - 1], all_rows = many ? map->dims[map->rank - 2] : 1;
    for (int64_t block = first; block < end; block++, next(map, &w)) {
        int64_t rows = 1, columns = n;
        if (many)
            rows = all_rows - w.piece * map->rows < map->rows ? all_rows - w.piece * map->rows : map->rows;
        else
            columns = n - w.piece * map->block < map->block ? n - w.piece * map->block : map->block;
        for (int k = 0; k < map->n_operands; k++)
            at[map->operands[k].place] = find_operand(map, &w, k, bases[k], scratch, rows, columns);
        for (int k = 0; k < map->n_outputs; k++)
            at[map->outputs[k]] = (char *)args->out[k]->data + w.out * map->out_sizes[k];
        map->simd->vector(map->ops, map->n_ops, at, rows * columns);
        w.out += rows * columns;
    }
}
