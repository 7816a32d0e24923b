/* SPDX-License-Identifier: Apache-2.0 */
/* What each output coordinate of a Resize is made of, for other kernels than the reference's. */
#ifndef ASSAY_GRAPH_OPS_RESIZE_H
#define ASSAY_GRAPH_OPS_RESIZE_H

#include "graph/op.h"

enum { ASSAY_RESIZE_TAPS = 4 };

struct assay_resize_taps {
    int n; /* 0: outside, the extrapolation value */
    int64_t index[ASSAY_RESIZE_TAPS];
    double weight[ASSAY_RESIZE_TAPS];
};

/* Of dimension d, for a call whose sizes or scales are known: taps[the output's size], nearest as one tap of weight 1.
 * ASSAY_UNSUPPORTED: they are not known. */
enum assay_status assay_resize_find_taps(const struct assay_op_call *call, int d, struct assay_resize_taps *taps,
                                         struct assay_error *err);

#endif
