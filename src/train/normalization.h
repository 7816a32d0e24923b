/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batch normalization of files that were exported for inference, made to train: it takes mean and variance of the batch, and the
 * running ones become buffers (ASSAY_TRAINING_UPDATE, graph/gradient.h) that a step moves as PyTorch does, with the variance of
 * the population (n - 1), where ONNX has that of the n elements.
 */
#ifndef ASSAY_TRAIN_NORMALIZATION_H
#define ASSAY_TRAIN_NORMALIZATION_H

#include "graph/graph.h"

/* Of a bound, inferred graph; leaves it sorted and inferred. n_changed: nodes. Those whose statistics are not constants stay.
 * ASSAY_INVALID names one that has a single element a channel: its variance is not known. */
enum assay_status assay_graph_train_normalization(struct assay_graph *graph, int *n_changed, struct assay_error *err);

#endif
