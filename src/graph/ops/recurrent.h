/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel and the expansion of RNNGradient, GRUGradient and LSTMGradient share. All three have one list of inputs, in
 * which RNN and GRU leave initial_c, P and dY_c out, and of outputs:
 *
 *     (X, W, R, B?, sequence_lens?, initial_h?, initial_c?, P?, Y, dY?, dY_h?, dY_c?) -> dX, dW, dR, dB, dinitial_h, dinitial_c,
 *     dP
 *
 * with the attributes of the op itself but layout, which is 0. Y tells each step's hidden state, so that all products with the
 * weights of the forward pass are made at once.
 */
#ifndef ASSAY_GRAPH_OPS_RECURRENT_H
#define ASSAY_GRAPH_OPS_RECURRENT_H

#include "graph/emit.h"
#include "graph/ops/cell.h"

enum assay_recurrent_input {
    ASSAY_RECURRENT_X,
    ASSAY_RECURRENT_W,
    ASSAY_RECURRENT_R,
    ASSAY_RECURRENT_B,
    ASSAY_RECURRENT_LENGTHS,
    ASSAY_RECURRENT_H,
    ASSAY_RECURRENT_C,
    ASSAY_RECURRENT_P,
    ASSAY_RECURRENT_Y,
    ASSAY_RECURRENT_DY,
    ASSAY_RECURRENT_DY_H,
    ASSAY_RECURRENT_DY_C,
    ASSAY_RECURRENT_INPUTS,
    ASSAY_RECURRENT_OUTPUTS = 7,
};

enum assay_recurrent_kind { ASSAY_RNN, ASSAY_GRU, ASSAY_LSTM };

/* Sizes of a gradient node. */
struct assay_recurrent {
    enum assay_recurrent_kind kind;
    int n_gates, n_directions, n_activations;
    bool reverse; /* of direction 0 */
    int64_t steps, batch, inputs, hidden;
};

/* From the node and the types of its inputs, known ones of which must fit; sizes -1 if X, W or R are not known. */
enum assay_status assay_recurrent_measure(struct assay_recurrent *r, const struct assay_node *node, int n_inputs,
                                          const struct assay_type *inputs, struct assay_error *err);
/* The cell of one direction but its peepholes and biases. */
enum assay_status assay_recurrent_cell(struct assay_cell *cell, const struct assay_recurrent *r, const struct assay_node *node,
                                       int direction, struct assay_error *err);
/* An op's expansion: unrolled over time. */
void assay_recurrent_unroll(struct assay_emit *e, const struct assay_node *node, int *outputs);

#endif
