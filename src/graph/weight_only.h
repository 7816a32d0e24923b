/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weight-only quantization by graph transformation: weights of products are stored in 8 or 4 bits with a scale for each group of
 * 32 along the inner dimension, and DequantizeLinear (opset 21, block_size) stands between them and their MatMul or Gemm. What
 * is computed stays f32.
 */
#ifndef ASSAY_GRAPH_WEIGHT_ONLY_H
#define ASSAY_GRAPH_WEIGHT_ONLY_H

#include "graph/graph.h"

enum { ASSAY_WEIGHT_GROUP = 32 };

/* "w8a32" and "w4a32" (weights of 8 and 4 bits, activations of 32): ASSAY_I8, ASSAY_I4; ASSAY_NO_DTYPE for any other word. */
enum assay_dtype assay_weight_only_dtype(const char *precision);
/* Of a sorted graph; ASSAY_I8 or ASSAY_I4. Symmetric: scales are positive and hold in bf16, so that kernels may keep them in 2
 * bytes. A weight that is read by something else too (a tied embedding, of which Gather takes rows) stays beside its codes.
 * ASSAY_UNSUPPORTED: there is no such weight. */
enum assay_status assay_graph_quantize_weights(struct assay_graph *graph, enum assay_dtype dtype, struct assay_error *err);
/* The same of weights that are declared only: codes and scales are zeros that take no memory. For counting, not for running. */
enum assay_status assay_graph_declare_weights(struct assay_graph *graph, enum assay_dtype dtype, struct assay_error *err);
/* To whatever precision has that word: f16 and bf16 (precision.h), w8a32 and w4a32. */
enum assay_status assay_graph_convert(struct assay_graph *graph, const char *precision, struct assay_error *err);

/* The same, to count what the result reads and writes. */
enum assay_status assay_graph_convert_for_counting(struct assay_graph *graph, const char *precision, struct assay_error *err);

#endif
