/* SPDX-License-Identifier: Apache-2.0 */
/* What follows a product or a convolution and can be done while its result is at hand: for pass_linear.c and pass_conv.c. */
#ifndef ASSAY_GRAPH_PASSES_EPILOGUE_H
#define ASSAY_GRAPH_PASSES_EPILOGUE_H

#include "graph/match.h"

struct assay_epilogue {
    int y;                  /* what comes out in the end */
    int residual;           /* added before the activation; -1 = none */
    const char *activation; /* as op_fused.c lists them; "" = none */
    float alpha, beta;
    int n_nodes; /* how many it takes in */
};

/* Of what alone reads `y`: an Add of another value of the same shape, unless there is a residual already, then an activation. */
void assay_epilogue_find(const struct assay_match *match, int y, bool with_residual, struct assay_epilogue *epilogue);
void assay_epilogue_set(struct assay_graph *graph, struct assay_node *node, const struct assay_epilogue *epilogue);

#endif
