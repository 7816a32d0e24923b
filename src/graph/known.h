/* SPDX-License-Identifier: Apache-2.0 */
/* What inference, folding and the rules of gradients share: calls of which all is known at compile time. */
#ifndef ASSAY_GRAPH_KNOWN_H
#define ASSAY_GRAPH_KNOWN_H

#include "graph/op.h"

/* Makes the call of a node from what the graph knows, its arrays in `scratch`. True if the node could run now: an op of ours, not
 * random, without bodies, all inputs known. */
bool assay_graph_known_call(struct assay_op_call *call, const struct assay_graph *graph, const struct assay_node *node,
                            struct assay_arena *scratch);
/* Gives a body's captures the types and contents that the graph around it knows by now. */
void assay_graph_refresh_captures(struct assay_graph *body);

#endif
