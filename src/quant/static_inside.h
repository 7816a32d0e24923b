/* SPDX-License-Identifier: Apache-2.0 */
/* Static quantization: what static.c, which decides, and static_insert.c, which writes, share. */
#ifndef ASSAY_QUANT_STATIC_INSIDE_H
#define ASSAY_QUANT_STATIC_INSIDE_H

#include "graph/match.h"
#include "quant/static.h"

/* Of each value of the graph. */
struct assay_quant_value {
    bool marked;     /* gets codes */
    int same_as;     /* the value whose scale it has; -1 = its own */
    int instead;     /* what its maker, a Relu or Clip, reads: that stands for it, the maker goes; -1 = the maker stays */
    float low, high; /* seen; low ≤ 0 ≤ high */
};

/* Products with constant weights, by what their inputs mean. */
enum assay_quant_product { ASSAY_QUANT_NONE, ASSAY_QUANT_CONV, ASSAY_QUANT_MATMUL, ASSAY_QUANT_GEMM };
enum assay_quant_product assay_quant_product_of(const struct assay_match *match, const struct assay_node *node);

#endif
