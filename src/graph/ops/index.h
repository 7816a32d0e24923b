/* SPDX-License-Identifier: Apache-2.0 */
/* Index tensors of the gather and scatter ops: read as i64, and wrapped, since -1 means the last element. */
#ifndef ASSAY_GRAPH_OPS_INDEX_H
#define ASSAY_GRAPH_OPS_INDEX_H

#include "graph/tensor.h"

#include <inttypes.h>

/* *to: the same numbers as i64, shared or converted; the caller's to release. */
static inline enum assay_status assay_index_read(struct assay_tensor *to, const struct assay_tensor *from,
                                                 struct assay_error *err)
{
    if (from->type.dtype != ASSAY_I64)
        return assay_tensor_convert(to, from, ASSAY_I64, err);
    assay_tensor_share(to, from);
    return ASSAY_OK;
}

/* Whether the index, in [-dim, dim), exists; it is wrapped into [0, dim). */
static inline bool assay_index_wrap(int64_t *index, int64_t dim)
{
    *index += *index < 0 ? dim : 0;
    return *index >= 0 && *index < dim;
}

static inline enum assay_status assay_index_refuse(int64_t index, int64_t dim, struct assay_error *err)
{
    return assay_error_set(err, ASSAY_INVALID, "index %" PRId64 " lies outside of a dimension of %" PRId64, index, dim);
}

#endif
