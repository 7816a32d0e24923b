/* SPDX-License-Identifier: Apache-2.0 */
/* One step of a recurrent cell for one sequence: the elementwise part of RNN, GRU and LSTM, in double. The products with the
 * weights are op_recurrent.c's. */
#ifndef ASSAY_GRAPH_OPS_CELL_H
#define ASSAY_GRAPH_OPS_CELL_H

#include "graph/ops/util.h"

enum assay_activation_kind {
    ASSAY_RELU,
    ASSAY_TANH,
    ASSAY_SIGMOID,
    ASSAY_AFFINE,
    ASSAY_LEAKY_RELU,
    ASSAY_THRESHOLDED_RELU,
    ASSAY_SCALED_TANH,
    ASSAY_HARD_SIGMOID,
    ASSAY_ELU,
    ASSAY_SOFTSIGN,
    ASSAY_SOFTPLUS,
};

struct assay_activation {
    enum assay_activation_kind kind;
    double alpha, beta;
};

enum { ASSAY_CELL_ACTIVATIONS = 3 }; /* f, g, h of the standard */

struct assay_cell {
    int64_t hidden;
    struct assay_activation activation[ASSAY_CELL_ACTIVATIONS];
    double clip;              /* of what goes into an activation; INFINITY = none */
    bool linear_before_reset; /* GRU */
    bool input_forget;        /* LSTM */
    const double *peepholes;  /* LSTM: [3 · hidden] of i, o, f, or NULL */
    const double *reset_bias; /* GRU with linear_before_reset: [hidden], or NULL */
};

/* The node's activations for direction `direction` of n_directions, n of them each, or the defaults. ASSAY_UNSUPPORTED: an
 * activation that the standard does not have, or whose parameters it does not say. */
enum assay_status assay_cell_read_activations(struct assay_cell *cell, const struct assay_node *node, int n, int direction,
                                              int n_directions, struct assay_error *err);

/* Activation i (0 = f, 1 = g, 2 = h) at x, clipped, and its slope there, y being its value. */
double assay_cell_activate(const struct assay_cell *cell, int i, double x);
double assay_cell_slope(const struct assay_cell *cell, int i, double x, double y);

/*
 * x: what comes from the input, biases included; r: what comes from the hidden state. Both [gates · hidden] in the standard's
 * order. h (and c) [hidden] are replaced.
 */
void assay_cell_rnn(const struct assay_cell *cell, const double *x, const double *r, double *h);
/* False if the cell state went beyond `clip`: the standard clips what goes into its activation, its runtimes do not. */
bool assay_cell_lstm(const struct assay_cell *cell, const double *x, const double *r, double *h, double *c);
/* GRU in two halves. The first makes gates z and r, in r; without linear_before_reset also gated [hidden] = r · h, whose product
 * with the weights must be put in the third part of r before the second, which replaces h. */
void assay_cell_gru_gates(const struct assay_cell *cell, const double *x, double *r, const double *h, double *gated);
void assay_cell_gru(const struct assay_cell *cell, const double *x, const double *r, double *h);

#endif
