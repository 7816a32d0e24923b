/* SPDX-License-Identifier: Apache-2.0 */
/* See move.h. */
#include "graph/ops/move.h"

void assay_move_dense(struct assay_move_side *side, void *data, int rank, const int64_t *dims, size_t element_bytes)
{
    ASSAY_ASSERT(rank <= ASSAY_MOVE_RANK);
    side->data = data;
    int64_t stride = (int64_t)element_bytes;
    for (int d = rank - 1; d >= 0; d--) {
        side->strides[d] = stride;
        if (dims[d] > 0 && __builtin_mul_overflow(stride, dims[d], &stride))
            stride = 0; /* only beside a dimension of 0: nothing moves */
    }
}

/* A move in its simplest form: no dimension of 1, none that continues its neighbour. */
struct plan {
    int rank;
    int64_t dims[ASSAY_MOVE_RANK], to[ASSAY_MOVE_RANK], from[ASSAY_MOVE_RANK]; /* strides in bytes */
    size_t size;                                                               /* bytes of a run */
};

static void copy_line(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t n, size_t size)
{
    switch (size) {
#define CASE(bytes)                                                                                                              \
    case bytes:                                                                                                                  \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            memcpy(to + i * to_step, from + i * from_step, bytes);                                                               \
        break;
        CASE(1)
        CASE(2)
        CASE(4)
        CASE(8)
        CASE(16)
#undef CASE
    default:
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * to_step, from + i * from_step, size);
    }
}

/* The last two dimensions, by tiles that stay in the first-level cache: one side is contiguous along rows, the other along
 * columns. */
static void copy_plane(char *to, const char *from, const struct plan *plan)
{
    enum { TILE = 32 };
    int r = plan->rank - 2, c = plan->rank - 1;
    for (int64_t i = 0; i < plan->dims[r]; i += TILE)
        for (int64_t j = 0; j < plan->dims[c]; j += TILE) {
            int64_t i_end = i + TILE < plan->dims[r] ? i + TILE : plan->dims[r];
            int64_t n = plan->dims[c] - j < TILE ? plan->dims[c] - j : TILE;
            for (int64_t k = i; k < i_end; k++)
                copy_line(to + k * plan->to[r] + j * plan->to[c], plan->to[c], from + k * plan->from[r] + j * plan->from[c],
                          plan->from[c], n, plan->size);
        }
}

/* Merges dimensions, and takes a contiguous last one into the size of a run. */
static void simplify(struct plan *plan, const struct assay_move_side *to, const struct assay_move_side *from, int rank,
                     const int64_t *dims)
{
    for (int d = 0; d < rank; d++) {
        if (dims[d] == 1)
            continue;
        int last = plan->rank - 1;
        if (last >= 0 && plan->to[last] == to->strides[d] * dims[d] && plan->from[last] == from->strides[d] * dims[d])
            plan->dims[last] *= dims[d];
        else
            plan->dims[++last] = dims[d];
        plan->rank = last + 1;
        plan->to[last] = to->strides[d];
        plan->from[last] = from->strides[d];
    }
    int last = plan->rank - 1;
    if (last >= 0 && plan->to[last] == (int64_t)plan->size && plan->from[last] == (int64_t)plan->size) {
        plan->size *= (size_t)plan->dims[last];
        plan->rank--;
    }
}

/* Puts the dimension along which `from` is contiguous next to last, if the last is another. Returns whether it is so. */
static bool order_for_tiles(struct plan *plan)
{
    int last = plan->rank - 1;
    if (last < 1 || plan->from[last] == (int64_t)plan->size || plan->from[last] == 0)
        return false;
    for (int d = last - 1; d >= 0; d--) {
        if (plan->from[d] != (int64_t)plan->size)
            continue;
        int64_t dim = plan->dims[d], to = plan->to[d], from = plan->from[d];
        for (; d < last - 1; d++) {
            plan->dims[d] = plan->dims[d + 1];
            plan->to[d] = plan->to[d + 1];
            plan->from[d] = plan->from[d + 1];
        }
        plan->dims[d] = dim;
        plan->to[d] = to;
        plan->from[d] = from;
        return true;
    }
    return false;
}

void assay_move(const struct assay_move_side *to, const struct assay_move_side *from, int rank, const int64_t *dims,
                size_t element_bytes)
{
    ASSAY_ASSERT(rank <= ASSAY_MOVE_RANK);
    for (int d = 0; d < rank; d++)
        if (dims[d] == 0)
            return;
    struct plan plan = {.size = element_bytes};
    simplify(&plan, to, from, rank, dims);
    bool tiles = order_for_tiles(&plan);
    int inner = tiles ? 2 : plan.rank > 0 ? 1 : 0, outer = plan.rank - inner;
    char *at_to = to->data;
    const char *at_from = from->data;
    int64_t at[ASSAY_MOVE_RANK] = {0};
    for (;;) {
        if (tiles)
            copy_plane(at_to, at_from, &plan);
        else if (inner)
            copy_line(at_to, plan.to[outer], at_from, plan.from[outer], plan.dims[outer], plan.size);
        else
            memcpy(at_to, at_from, plan.size);
        int d = outer - 1;
        for (; d >= 0; d--) {
            at_to += plan.to[d];
            at_from += plan.from[d];
            if (++at[d] < plan.dims[d])
                break;
            at_to -= plan.to[d] * plan.dims[d];
            at_from -= plan.from[d] * plan.dims[d];
            at[d] = 0;
        }
        if (d < 0)
            return;
    }
}
