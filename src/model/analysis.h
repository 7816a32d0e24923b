/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a graph is and costs: parameters, FLOPs and bytes per op and in all, precision, family and modality.
 *
 * The graph's types must be inferred at the shapes of interest. What cannot be known is counted as such, never guessed into a
 * sum.
 *
 * Weights are constants (initializers, Constant nodes, in bodies too) that stand where an op takes weights, or that are of a
 * float type, have more than one element, and are used as an operand; scales and zero points of quantization, sizes, limits and
 * the like are none. Parameters are their elements, without the running statistics of BatchNormalization; but where the graph's
 * maker states their number (metadata "parameters", as Assay's own models do), that is it, since no rule tells all tables from
 * weights.
 *
 * Costs are those of the ops (graph/op.h), node by node, without fusion: bytes are an upper bound of what a runtime must move. A
 * node whose results are known before the run (a transposed weight: assay_graph_is_fixed) costs nothing; an If whose condition is
 * not known costs the dearer of its branches, or the only one that the shapes allow; a Scan its body times the sequence's length;
 * the cost of a Loop is not known.
 */
#ifndef ASSAY_MODEL_ANALYSIS_H
#define ASSAY_MODEL_ANALYSIS_H

#include "graph/op.h"

struct assay_op_count {
    const char *type, *domain;
    int64_t n;           /* nodes, those of bodies too */
    int64_t n_unknown;   /* of them, those whose cost is not known */
    double flops, bytes; /* of one run of the graph */
};

struct assay_analysis {
    struct assay_arena arena;
    int64_t parameters, weight_bytes;
    const char *parameters_why;    /* "stated by the file" or "counted" */
    double flops, bytes;           /* of one run; NaN if no node's cost is known */
    int64_t n_nodes, n_unknown;    /* nodes; those whose cost is not known at these shapes (not in the sums) */
    const char *unknown_op;        /* the op of the first of them, NULL if there is none */
    struct assay_cost *node_costs; /* [n_nodes], of the main graph's nodes; zeros where not known */
    struct assay_op_count *ops;    /* histogram, most FLOPs first */
    int n_ops;
    const char *precision; /* "f32", "f16", "bf16", "int8", … by weights and quantized ops; NULL if nothing tells */
    /* NULL if not recognised. sure: certain (the file says so), likely (all that the family is told by is there), perhaps
     * (something usual is missing, or a name alone tells). why: one sentence that begins with it. */
    const char *family, *family_sure, *family_why;
    const char *modality, *modality_sure, *modality_why; /* text, vision, audio, multimodal */
};

void assay_analysis_init(struct assay_analysis *analysis, const struct assay_graph *graph);
void assay_analysis_release(struct assay_analysis *analysis);

#endif
