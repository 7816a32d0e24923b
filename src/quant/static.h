/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Static quantization to int8: a model of f32 becomes one with QuantizeLinear and DequantizeLinear around its convolutions,
 * products, residual additions, pools and concatenations, as ONNX Runtime's quantize_static makes it.
 *
 *   activations   u8, asymmetric, one scale a value: the least and greatest number seen in calibration, and zero
 *   weights       i8, symmetric, a scale for each output channel
 *   biases        i32 of Conv and Gemm, in units of the sums
 *
 * Batch norms and factors of a channel go into weights first. Relu and Clip behind a convolution, product or addition go where
 * saturating does the same. Ops that only move data (and MaxPool) keep the scale of what they read. A product of two values that
 * both vary stays in f32, and so does an addition that broadcasts (a mask), but the bias of a MatMul.
 *
 * Use: open; calibrate, once for each sample; finish. The graph must not change between. The format is ONNX's own, opset 17.
 */
#ifndef ASSAY_QUANT_STATIC_H
#define ASSAY_QUANT_STATIC_H

#include "graph/graph.h"

struct assay_quant_static {
    struct assay_graph *graph;        /* borrowed */
    struct assay_quant_value *values; /* [n_values] */
    int n_values, n_marked, n_samples;
};

/* Decides which values get codes; folds what goes into weights. The graph's dimensions may be open. ASSAY_UNSUPPORTED: the model
 * is quantized already, or nothing in it is of the kind that is quantized. */
enum assay_status assay_quant_static_open(struct assay_quant_static *quant, struct assay_graph *graph, struct assay_error *err);
void assay_quant_static_close(struct assay_quant_static *quant);
/* Runs the model on inputs[n_inputs of the graph] on the reference runtime; ranges widen. */
enum assay_status assay_quant_static_calibrate(struct assay_quant_static *quant, const struct assay_tensor *inputs,
                                               struct assay_error *err);
/* Puts the codes in; after at least one sample. */
enum assay_status assay_quant_static_finish(struct assay_quant_static *quant, struct assay_error *err);

#endif
