/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes: a graph becomes another that computes the same and runs faster. What they fuse becomes ops of later ONNX opsets where
 * the standard has one (Gelu, RMSNormalization, RotaryEmbedding, Attention), else of the domain "assay" (graph/ops/op_fused.c
 * says what each means); all have reference kernels, so that a graph after any pass can be run and compared with the one before.
 *
 * To add one: a file passes/pass_NAME.c with a const struct assay_pass, and its line in the table of pass.c, whose order is the
 * order in which they run.
 */
#ifndef ASSAY_GRAPH_PASS_H
#define ASSAY_GRAPH_PASS_H

#include "graph/graph.h"

struct assay_pass {
    const char *name;  /* "fold-batch-norm" */
    const char *about; /* one sentence: what becomes what */
    /* Of a sorted graph with inferred types, whose dimensions may be open; leaves it sorted, swept and inferred, if it changed
     * anything. n_changes: how many places. Takes time in proportion to the nodes. */
    enum assay_status (*run)(struct assay_graph *graph, int *n_changes, struct assay_error *err);
    bool is_last; /* once, when the rounds of the others are over: it takes in nodes that others look for */
};

/* i from 0 until NULL. */
const struct assay_pass *assay_pass_at(int i);

/* Called after each pass; borrowed for the call. */
typedef void assay_on_pass(void *context, const struct assay_pass *pass, const struct assay_graph *graph, int n_changes);

struct assay_pass_options {
    const char *const *only, *const *without; /* names, each ended by NULL; NULL = all, none */
    enum assay_dtype precision; /* f16, bf16: what an f32 graph becomes between the rounds and the last passes; 0 = it stays */
    assay_on_pass *on_pass;     /* may be NULL */
    void *context;
};
/* Runs the passes in order, over and over until none changes anything (at most a few rounds), then the last ones. ASSAY_INVALID:
 * no such pass. options may be NULL. */
enum assay_status assay_graph_optimize(struct assay_graph *graph, const struct assay_pass_options *options,
                                       struct assay_error *err);

/* Batch norm, factors and terms of a channel, and a Pad of zeros go into the Conv beside them, which stays ONNX's own. Of a sorted
 * graph with inferred types; leaves it so. */
enum assay_status assay_graph_fold_affine(struct assay_graph *graph, struct assay_error *err);

#endif
