/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Automatic differentiation, reverse mode, as a transformation of graphs: nodes are added that compute, from a scalar loss, its
 * gradients with respect to any values. What is added is ONNX again, so it runs wherever ONNX runs.
 *
 * Each op has its rule beside its kernel, in graph/ops/: given the gradients of a node's outputs it emits those of the inputs
 * that are wanted. Rules use standard ops where these run well, and else ops of the domain "assay" (graph/ops/op_gradient_*.c),
 * each of which can be expanded into standard ones for runtimes that lack it (assay_graph_expand).
 *
 * Shapes are known when a graph is differentiated: free dimensions are bound first.
 */
#ifndef ASSAY_GRAPH_GRADIENT_H
#define ASSAY_GRAPH_GRADIENT_H

#include "graph/emit.h"
#include "graph/op.h"

/* Metadata of a graph that is to be trained: PARAMETER + a constant's name = "trained" or "frozen"; UPDATE + an output's name =
 * the name of the constant (a buffer, such as a running mean) that the output is the next value of. */
#define ASSAY_TRAINING_PARAMETER "assay.training.parameter."
#define ASSAY_TRAINING_UPDATE "assay.training.update."

/* What a rule sees of one node, and its answer. Borrowed for the call; e->scope names the node. */
struct assay_gradient {
    struct assay_emit *e;
    const struct assay_node *node;
    const int *out;     /* [n_outputs]: gradients of the outputs, of their shapes and dtypes; -1 = zero. At least one is given */
    const bool *wanted; /* [n_inputs] */
    int *in; /* [n_inputs], -1 before. The answer: a value of the input's shape and dtype; -1 = zero. Those not wanted may
                stay -1 */
};

/* For rules. */

/* Input and output of the node as values of the graph, -1 if not given. */
int g_input(const struct assay_gradient *g, int i);
int g_output(const struct assay_gradient *g, int i);
/* An optional output that the node does not have yet is added, so that the backward pass can use it: mean and deviation of a
 * normalisation, indices of a maximum. */
int g_need_output(struct assay_gradient *g, int i);
const struct assay_type *g_type(const struct assay_gradient *g, int i); /* of input i */
bool g_wants(const struct assay_gradient *g, int i);
/* Sums a gradient of a broadcast result back to the shape of input i, and sets in[i]: the end of most rules. */
void g_set(struct assay_gradient *g, int i, int gradient);
/* `gradient` summed over the dimensions in which `like` was broadcast. */
int g_sum_to(struct assay_emit *e, int gradient, int like);
/* Contents of input i if it never changes, or NULL. */
const struct assay_tensor *g_constant(const struct assay_gradient *g, int i);

/* Adds to a sorted graph whose types are inferred the gradients of `loss` (f32, one element) with respect to wrt[n]:
 * gradients[n], -1 where the loss does not depend on it. `seed`: a value of the loss's shape that the gradients are multiplied
 * by, for loss scaling; -1 = 1. New nodes stand behind the old ones, in an order that runs. ASSAY_UNSUPPORTED names an op
 * without a rule, on the way from a wrt to the loss; ASSAY_INVALID a shape on it that is not known. */
enum assay_status assay_graph_differentiate(struct assay_graph *graph, int loss, int seed, int n, const int *wrt, int *gradients,
                                            struct assay_error *err);

/* Replaces each op of the domain "assay", and BatchNormalization in training mode, that `keep` does not want by standard ops of
 * any runtime; keep NULL = all. ASSAY_UNSUPPORTED names one that cannot be expanded. */
enum assay_status assay_graph_expand(struct assay_graph *graph, bool (*keep)(const struct assay_node *node),
                                     struct assay_error *err);

#endif
