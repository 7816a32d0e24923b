/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opset upgrade: nodes that were written for an opset before 17, rewritten to mean the same in opset 17.
 *
 * The loader calls it node by node, as files list them, so that types of what comes before are known where the rewriting depends
 * on them (the rank of what a Softmax of opset 11 flattens). Where they are not known, the rewriting asks at run time, with Shape
 * nodes that fold away once shapes are bound. To add a rule: a function and a line in the table of upgrade.c.
 */
#ifndef ASSAY_GRAPH_UPGRADE_H
#define ASSAY_GRAPH_UPGRADE_H

#include "graph/graph.h"

/* No rule for nodes of this opset or a later one looks at types. */
enum { ASSAY_UPGRADE_NEEDS_TYPES_BELOW = 13 };

/* Rewrites a node of ONNX's own domain, written for `opset`. Nodes that are needed before or after it are appended to the graph,
 * which wants sorting then. ASSAY_UNSUPPORTED: a form with no equivalent. */
enum assay_status assay_upgrade_node(struct assay_graph *graph, struct assay_node *node, int opset, struct assay_error *err);
/* Finds what types it can of the results of nodes first, first + 1, …, as far as they are unknown; never fails. */
void assay_upgrade_infer(struct assay_graph *graph, int first);

#endif
