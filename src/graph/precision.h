/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Precision by graph transformation: an f32 graph becomes one that computes in f16 or bf16 where that is customary (the lists of
 * automatic mixed precision in PyTorch), f32 elsewhere, with Casts between. Inputs and outputs keep their types.
 */
#ifndef ASSAY_GRAPH_PRECISION_H
#define ASSAY_GRAPH_PRECISION_H

#include "graph/graph.h"

/* Of a sorted graph whose input types are known; dtype ASSAY_F16 or ASSAY_BF16. Weights that only low-precision ops read are
 * stored in it, half as large. States keep their pairs, and are kept in the low precision. ASSAY_UNSUPPORTED: the graph is
 * quantized or already in another precision. */
enum assay_status assay_graph_set_precision(struct assay_graph *graph, enum assay_dtype dtype, struct assay_error *err);
/* The same of a graph that passes have fused (graph/pass.h), for a runtime whose kernels read and write the low precision and
 * sum in f32 between: so norms, softmax and what was fused are low where what feeds them is. */
enum assay_status assay_graph_set_precision_fused(struct assay_graph *graph, enum assay_dtype dtype, struct assay_error *err);
/* ASSAY_UNSUPPORTED: the graph, of which no pass has changed anything yet, is quantized or already in another precision. */
enum assay_status assay_graph_check_precision(const struct assay_graph *graph, enum assay_dtype dtype, struct assay_error *err);

#endif
