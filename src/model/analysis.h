/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a graph is and costs: parameters, FLOPs and bytes per op and in all, precision, family and modality.
 *
 * The graph's types must be inferred at the shapes of interest. What cannot be known is counted as such, never guessed into a
 * sum.
 */
#ifndef ASSAY_MODEL_ANALYSIS_H
#define ASSAY_MODEL_ANALYSIS_H

#include "graph/op.h"

struct assay_op_count {
    const char *type, *domain;
    int64_t n;
    double flops, bytes;
};

struct assay_analysis {
    struct assay_arena arena;
    int64_t parameters, weight_bytes;
    double flops, bytes;           /* of one run; NaN if no node's cost is known */
    int64_t n_nodes, n_unknown;    /* nodes; those whose cost is not known at these shapes (not in the sums) */
    struct assay_cost *node_costs; /* [n_nodes], of the main graph's nodes; zeros where not known */
    struct assay_op_count *ops;    /* histogram, most FLOPs first */
    int n_ops;
    const char *precision;               /* "f32", "f16", "bf16", "int8", … by weights and quantized ops */
    const char *family, *family_why;     /* NULL if not recognised; why: one sentence, with how sure */
    const char *modality, *modality_why; /* text, vision, audio, multimodal; NULL if not recognised */
};

void assay_analysis_init(struct assay_analysis *analysis, const struct assay_graph *graph);
void assay_analysis_release(struct assay_analysis *analysis);

#endif
