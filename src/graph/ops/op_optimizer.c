/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The optimizers of ai.onnx.preview.training: Adagrad, Adam, Momentum, as that domain's schemas write them. Inputs are R (the
 * learning rate), T (the number of updates so far), then all parameters X, all gradients G, and all states; outputs all new X,
 * then all new states. Arithmetic is in double.
 */
#include "graph/ops/util.h"

#include <math.h>

enum { MOST_STATES = 2 };

/* n_states: tensors of state a parameter. */
static enum assay_status infer_optimizer(struct assay_op_call *call, int n_states, struct assay_error *err)
{
    int kinds = 2 + n_states, n = (call->n_inputs - 2) / kinds;
    if (n * kinds != call->n_inputs - 2 || call->n_outputs > n * (1 + n_states))
        return assay_error_set(err, ASSAY_INVALID, "%d inputs and %d outputs don't match %d tensors a parameter", call->n_inputs,
                               call->n_outputs, kinds);
    unsigned set = ASSAY_DTYPE_BIT(ASSAY_F32) | ASSAY_DTYPE_BIT(ASSAY_F64);
    enum assay_status st = assay_rule_dtype(call, 0, set, err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_DTYPE_BIT(ASSAY_I64), err);
    for (int i = 0; !st && i < 2; i++)
        if (assay_rule_data(call, i) && assay_tensor_count(assay_rule_data(call, i)) != 1)
            st = assay_error_set(err, ASSAY_INVALID, "input %d must be a scalar", i);
    for (int k = 0; !st && k < n * kinds; k++) {
        const struct assay_type *x = &call->inputs[2 + k % n], *other = &call->inputs[2 + k];
        if (!assay_rule_has_input(call, 2 + k))
            return assay_error_set(err, ASSAY_INVALID, "input %d is missing in the list", 2 + k);
        st = assay_rule_dtype(call, 2 + k, set, err);
        if (!st && assay_type_is_known(x) && assay_type_is_known(other) && !assay_type_equal(x, other))
            st = assay_error_set(err, ASSAY_INVALID, "parameter %d, its gradient and its state must be of one type", k % n);
    }
    for (int k = 0; !st && k < call->n_outputs; k++)
        call->outputs[k] = call->inputs[2 + k % n];
    return st;
}

static enum assay_status infer_one_state(struct assay_op_call *call, struct assay_error *err)
{
    return infer_optimizer(call, 1, err);
}

static enum assay_status infer_adam(struct assay_op_call *call, struct assay_error *err)
{
    if (!assay_node_attr(call->node, "epsilon"))
        return assay_error_set(err, ASSAY_UNSUPPORTED,
                               "Adam without an epsilon is not supported: the standard's default (1e-6) and its test "
                               "data (1e-2) disagree");
    return infer_optimizer(call, 2, err);
}

/* The step's numbers, from inputs and attributes. */
struct step {
    double rate, norm, norm_after, alpha, beta, epsilon;
    bool nesterov;
};

static void adagrad(const struct step *s, double *x, double g, double *state)
{
    g += s->norm * *x;
    state[0] += g * g;
    *x -= s->rate * g / (sqrt(state[0]) + s->epsilon);
}

static void adam(const struct step *s, double *x, double g, double *state)
{
    g += s->norm * *x;
    state[0] = s->alpha * state[0] + (1 - s->alpha) * g;
    state[1] = s->beta * state[1] + (1 - s->beta) * g * g;
    *x = (1 - s->norm_after) * (*x - s->rate * state[0] / (sqrt(state[1]) + s->epsilon));
}

static void momentum(const struct step *s, double *x, double g, double *state)
{
    g += s->norm * *x;
    state[0] = s->alpha * state[0] + s->beta * g;
    *x -= s->rate * (s->nesterov ? g + s->alpha * state[0] : state[0]);
}

static void put(struct assay_op_call *call, int output, int64_t i, double value)
{
    if (output >= call->n_outputs)
        return;
    struct assay_tensor *to = &call->results[output];
    if (to->type.dtype == ASSAY_F64)
        ((double *)to->data)[i] = value;
    else
        ((float *)to->data)[i] = (float)value;
}

static double get(const struct assay_tensor *from, int64_t i)
{
    return from->type.dtype == ASSAY_F64 ? ((const double *)from->data)[i] : (double)((const float *)from->data)[i];
}

/* Updates every element of every parameter; inlined for each optimizer, so that `update` is no call. */
static inline __attribute__((always_inline)) enum assay_status
run_optimizer(struct assay_op_call *call, const struct step *step, int n_states,
              void (*update)(const struct step *s, double *x, double g, double *state))
{
    int n = (call->n_inputs - 2) / (2 + n_states);
    for (int p = 0; p < n; p++) {
        const struct assay_tensor *const *data = &call->data[2 + p];
        for (int64_t i = 0, count = assay_tensor_count(data[0]); i < count; i++) {
            double x = get(data[0], i), state[MOST_STATES] = {0};
            for (int k = 0; k < n_states; k++)
                state[k] = get(data[(2 + k) * n], i);
            update(step, &x, get(data[n], i), state);
            put(call, p, i, x);
            for (int k = 0; k < n_states; k++)
                put(call, (1 + k) * n + p, i, state[k]);
        }
    }
    return ASSAY_OK;
}

static enum assay_status run_adagrad(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    const struct assay_node *node = call->node;
    double t = (double)assay_tensor_int(call->data[1], 0);
    struct step step = {
        .rate = assay_tensor_real(call->data[0], 0) / (1 + t * assay_node_float(node, "decay_factor", 0)),
        .norm = assay_node_float(node, "norm_coefficient", 0),
        .epsilon = assay_node_float(node, "epsilon", 1e-6f),
    };
    return run_optimizer(call, &step, 1, adagrad);
}

static enum assay_status run_adam(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    const struct assay_node *node = call->node;
    double t = (double)assay_tensor_int(call->data[1], 0);
    struct step step = {
        .rate = assay_tensor_real(call->data[0], 0),
        .norm = assay_node_float(node, "norm_coefficient", 0),
        .norm_after = assay_node_float(node, "norm_coefficient_post", 0),
        .alpha = assay_node_float(node, "alpha", 0.9f),
        .beta = assay_node_float(node, "beta", 0.999f),
        .epsilon = assay_node_float(node, "epsilon", 0), /* given: see infer_adam */
    };
    if (t > 0)
        step.rate *= sqrt(1 - pow(step.beta, t)) / (1 - pow(step.alpha, t));
    return run_optimizer(call, &step, 2, adam);
}

static enum assay_status run_momentum(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_node *node = call->node;
    const char *mode = assay_node_string(node, "mode", "");
    struct step step = {
        .rate = assay_tensor_real(call->data[0], 0),
        .norm = assay_node_float(node, "norm_coefficient", 0),
        .alpha = assay_node_float(node, "alpha", 0),
        .beta = assay_tensor_int(call->data[1], 0) > 0 ? assay_node_float(node, "beta", 0) : 1,
        .nesterov = strcmp(mode, "nesterov") == 0,
    };
    if (!step.nesterov && strcmp(mode, "standard") != 0)
        return assay_error_set(err, ASSAY_INVALID, "mode must be standard or nesterov, not '%s'", mode);
    return run_optimizer(call, &step, 1, momentum);
}

/* About a dozen operations an element of a parameter. */
static void cost_optimizer(const struct assay_op_call *call, struct assay_cost *cost)
{
    for (int i = 0; i < call->n_outputs; i++)
        cost->flops += 6 * (double)assay_type_count(&call->outputs[i]);
}

const struct assay_op assay_ops_optimizer[] = {
    {"Adagrad", "ai.onnx.preview.training", 3, -1, 0, infer_one_state, run_adagrad, cost_optimizer},
    {"Adam", "ai.onnx.preview.training", 3, -1, 0, infer_adam, run_adam, cost_optimizer},
    {"Momentum", "ai.onnx.preview.training", 3, -1, 0, infer_one_state, run_momentum, cost_optimizer},
    {0},
};
