/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The move: copies elements between two strided arrays of one shape. Transpose, Concat, Slice, Pad, Tile, Expand and their like
 * are moves with different strides; here they become as few and as long runs of contiguous bytes as the strides allow.
 */
#ifndef ASSAY_GRAPH_OPS_MOVE_H
#define ASSAY_GRAPH_OPS_MOVE_H

#include "graph/tensor.h"

/* Tile and DepthToSpace split each dimension in two. */
enum { ASSAY_MOVE_RANK = 2 * ASSAY_MAX_RANK };

/* One side of a move: where element (0, …, 0) is, and strides in bytes, which may be zero (read only) or negative. */
struct assay_move_side {
    char *data;
    int64_t strides[ASSAY_MOVE_RANK];
};

/* Strides in bytes of a row-major array without gaps. With a dimension of 0 they are not meant to be used. */
void assay_move_dense(struct assay_move_side *side, void *data, int rank, const int64_t *dims, size_t element_bytes);

/* to[i…] = from[i…] for all i… in dims. The two must not overlap. from->data is only read. */
void assay_move(const struct assay_move_side *to, const struct assay_move_side *from, int rank, const int64_t *dims,
                size_t element_bytes);

#endif
