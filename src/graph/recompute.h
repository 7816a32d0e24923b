/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activation checkpointing: a training step that holds fewer values of the forward pass at a time and computes the others again
 * when the backward pass needs them (Chen et al., "Training deep nets with sublinear memory cost", 2016).
 *
 * The forward pass is cut into segments, where little crosses. What crosses a cut is kept; the rest of each segment but the last
 * is computed again, by copies of its nodes that stand where the backward pass first asks for them. The copies read what was kept
 * through assay.Barrier(x, after), a view whose second input is a gradient that is ready by then: so no pass takes a copy for
 * the node that it is a copy of. A runtime that gets standard ops in its place (assay_graph_expand) may do that, and then needs
 * the memory of before. Results are the same, bit by bit where each node runs by itself (a runtime that fuses may round
 * otherwise).
 */
#ifndef ASSAY_GRAPH_RECOMPUTE_H
#define ASSAY_GRAPH_RECOMPUTE_H

#include "graph/graph.h"

enum { ASSAY_RECOMPUTE_AUTO = -1 }; /* as many segments as the square root of the number of layers */

/* Of a graph in the order of assay_graph_differentiate: the first n_forward nodes are the forward pass. Inputs from n_data on are
 * parameters and the like: what depends on them alone is kept. n_segments from 2, or ASSAY_RECOMPUTE_AUTO; 0 and 1 change
 * nothing. n_copies (may be NULL): nodes that are computed again. Leaves the graph sorted and inferred. */
enum assay_status assay_graph_recompute(struct assay_graph *graph, int n_forward, int n_data, int n_segments, int *n_copies,
                                        struct assay_error *err);

#endif
