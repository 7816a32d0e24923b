/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for a graph's values, planned ahead: which are alive when, and where in one arena each can lie.
 *
 * A value is alive from the node that makes it to the last that uses it, in the order of the nodes; a graph output to the end.
 * What needs no room of its own has no buffer: inputs and constants (the caller's, the weights), values whose contents are known
 * before the run, outputs that nobody wants, and views (Reshape, Squeeze, Unsqueeze, Flatten, Identity, …), which share the
 * buffer of what they look at, or have none where that has none. What kernels need beside their outputs is not counted.
 */
#ifndef ASSAY_GRAPH_PLAN_MEMORY_H
#define ASSAY_GRAPH_PLAN_MEMORY_H

#include "graph/graph.h"

struct assay_memory_buffer {
    int value;       /* that is written first; -1: what the bodies of node `first` need while it runs */
    int first, last; /* nodes, both included; last is n_nodes where the buffer must outlive the run */
    int64_t size_bytes;
    int64_t offset; /* in the arena, a multiple of the alignment */
};

struct assay_memory_plan {
    struct assay_memory_buffer *buffers;
    int n_buffers;
    int *buffer_of;      /* [n_values of the graph]; -1 = none, see above */
    int64_t peak_bytes;  /* alive together at most: no arena can be smaller */
    int peak_node;       /* where first; -1 if nothing is ever alive */
    int64_t arena_bytes; /* that the offsets need */
    int n_unknown;       /* values whose size is not known: they have no buffer, and the figures are too small */
};

struct assay_memory_plan_options {
    bool folds; /* what assay_graph_is_fixed has no buffer: the runtime computes it once, before the first run */
    /* An elementwise op may write over an input of the same size that nobody needs after it. */
    bool in_place;
    int64_t alignment;   /* of offsets, a power of two; 0 = 64 */
    int64_t float_bytes; /* what an f32 element takes, to ask what another precision would need; 0 = 4 */
};

/* Whether a value follows from constants alone in few steps (three ops of up to four inputs each), such as a transposed weight;
 * not by DequantizeLinear or a random op. */
bool assay_graph_is_fixed(const struct assay_graph *graph, int value);
/* Of a sorted graph whose types are inferred; options may be NULL. Never fails; a size beyond what an int64_t holds is not known.
 */
void assay_graph_plan_memory(struct assay_memory_plan *plan, const struct assay_graph *graph,
                             const struct assay_memory_plan_options *options);
/* Offsets alone, for buffers whose times and sizes the caller knows: sets each offset, returns the arena's bytes. */
int64_t assay_memory_place(struct assay_memory_buffer *buffers, int n, int64_t alignment);
void assay_memory_plan_release(struct assay_memory_plan *plan);

#endif
