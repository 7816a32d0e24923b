/* SPDX-License-Identifier: Apache-2.0 */
/* The weights of a graph, by the rule that analysis.h states. */
#ifndef ASSAY_MODEL_WEIGHTS_H
#define ASSAY_MODEL_WEIGHTS_H

#include "graph/graph.h"

/* Calls visit for each weight of the graph and its bodies, once; is_parameter: not a running statistic. */
void assay_weights_visit(const struct assay_graph *graph,
                         void (*visit)(void *context, const struct assay_tensor *weight, bool is_parameter), void *context);
/* What an initializer or Constant node says of a value, borrowed; NULL if the value is no constant of the file. In a body, a
 * captured value's constant is found too. */
const struct assay_tensor *assay_weights_constant(const struct assay_graph *graph, int value);

#endif
