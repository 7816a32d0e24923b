/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters to begin a training with, drawn as PyTorch and Transformers draw those of the same layers. The random weights of the
 * builder (model/builder.h) are for measuring: they repeat themselves, and no layer has its own law.
 */
#ifndef ASSAY_TRAIN_INITIAL_H
#define ASSAY_TRAIN_INITIAL_H

#include "graph/graph.h"

/* Gives each parameter that the graph says is trained (graph/gradient.h) new contents; norms and what else is of rank 1 stay as
 * they are, but for recurrent layers. A value is a function of the seed, the parameter's name and the element alone.
 *   convolution    normal, variance 2 / (inputs of an output): He et al., "Delving deep into rectifiers" (2015)
 *   LSTM, GRU, RNN uniform in ±1/sqrt(hidden), biases too: torch.nn.LSTM
 *   transformers   (a graph with layer norms or RMS norms) normal, deviation 0.02; residual projections "c_proj" divided by
 *                  sqrt(their number): GPT-2
 *   else           matrices uniform in ±1/sqrt(inputs): torch.nn.Linear; tables normal, deviation 1: torch.nn.Embedding */
enum assay_status assay_initial_weights(struct assay_graph *graph, uint64_t seed, struct assay_error *err);

#endif
