/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops of the domain "assay", which passes make (graph/pass.h) and no file brings:
 *
 *     Linear(x [.., k], weight [k, n], bias [n]?, residual [.., n]?) -> y [.., n]
 *         y = activation(x · weight + bias + residual); trans_weight = 1: the weight is [n, k].
 *
 * activation: "" (none), Relu, Gelu, GeluTanh, Swish (alpha), Sigmoid, Tanh, HardSwish, Clip (alpha to beta), LeakyRelu (alpha).
 */
#include "graph/ops/gemm.h"
#include "graph/ops/util.h"

#include <math.h>
#include <string.h>

/* ---- activations */

static double identity(double x, double a, double b)
{
    (void)a, (void)b;
    return x;
}
static double relu(double x, double a, double b)
{
    (void)a, (void)b;
    return x < 0 ? 0 : x;
}
static double gelu(double x, double a, double b)
{
    (void)a, (void)b;
    return 0.5 * x * erfc(-x * M_SQRT1_2);
}
static double gelu_tanh(double x, double a, double b)
{
    (void)a, (void)b;
    return 0.5 * x * (1 + tanh(M_SQRT2 * 0.5 * M_2_SQRTPI * (x + 0.044715 * x * x * x)));
}
static double swish(double x, double a, double b)
{
    (void)b;
    return x / (1 + exp(-a * x));
}
static double sigmoid(double x, double a, double b)
{
    (void)a, (void)b;
    return 1 / (1 + exp(-x));
}
static double hyperbolic_tangent(double x, double a, double b)
{
    (void)a, (void)b;
    return tanh(x);
}
static double hard_swish(double x, double a, double b)
{
    (void)a, (void)b;
    double gate = x / 6 + 0.5;
    return x * (gate < 0 ? 0 : gate > 1 ? 1 : gate);
}
static double clip(double x, double a, double b) { return x < a ? a : x > b ? b : x; }
static double leaky_relu(double x, double a, double b)
{
    (void)b;
    return x < 0 ? a * x : x;
}

typedef double activation(double x, double a, double b);
static const struct {
    const char *name;
    activation *function;
} activations[] = {
    {"", identity},
    {"Relu", relu},
    {"Gelu", gelu},
    {"GeluTanh", gelu_tanh},
    {"Swish", swish},
    {"Sigmoid", sigmoid},
    {"Tanh", hyperbolic_tangent},
    {"HardSwish", hard_swish},
    {"Clip", clip},
    {"LeakyRelu", leaky_relu},
};

static activation *find_activation(const struct assay_node *node, struct assay_error *err)
{
    const char *name = assay_node_string(node, "activation", "");
    for (size_t i = 0; i < ASSAY_COUNT(activations); i++)
        if (strcmp(activations[i].name, name) == 0)
            return activations[i].function;
    assay_error_set(err, ASSAY_INVALID, "there is no activation '%s'", name);
    return NULL;
}

/* y = activation(y + residual), in place. */
static enum assay_status finish(struct assay_op_call *call, int residual, struct assay_error *err)
{
    const struct assay_node *node = call->node;
    activation *f = find_activation(node, err);
    if (!f)
        return ASSAY_INVALID;
    const float *add = call->n_inputs > residual && call->data[residual] ? call->data[residual]->data : NULL;
    float *y = call->results[0].data;
    double a = assay_node_float(node, "alpha", 1), b = assay_node_float(node, "beta", 0);
    int64_t n = assay_tensor_count(&call->results[0]);
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)f((double)y[i] + (add ? (double)add[i] : 0), a, b);
    return ASSAY_OK;
}

/* ---- Linear */

static enum assay_status infer_linear(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *x = &call->inputs[0], *w = &call->inputs[1];
    struct assay_type *y = &call->outputs[0];
    int transposed = assay_node_int(call->node, "trans_weight", 0) != 0;
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT16 | ASSAY_DTYPE_BIT(ASSAY_F32), err);
    if (!st)
        st = assay_rule_same_dtype(call, 0, 1, err);
    if (!st)
        st = assay_rule_rank(call, 1, 2, 2, err);
    if (!st && !find_activation(call->node, err))
        st = ASSAY_INVALID;
    if (st)
        return st;
    *y = *x;
    if (x->rank == 0)
        return assay_error_set(err, ASSAY_INVALID, "a scalar is no matrix");
    if (x->rank < 0)
        return ASSAY_OK;
    int64_t k = x->dims[x->rank - 1];
    y->dims[y->rank - 1] = w->rank == 2 ? w->dims[!transposed] : -1;
    return w->rank == 2 ? assay_rule_merge_dim(&k, w->dims[transposed], "the inner dimension of the product", err) : ASSAY_OK;
}

static enum assay_status run_linear(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0], *w = call->data[1];
    struct assay_tensor *y = &call->results[0];
    bool transposed = assay_node_int(call->node, "trans_weight", 0) != 0;
    int64_t k = w->type.dims[transposed], n = w->type.dims[!transposed];
    if (assay_tensor_count(y) == 0)
        return ASSAY_OK;
    struct assay_gemm g = {
        .a_type = ASSAY_F32,
        .b_type = ASSAY_F32,
        .m = assay_tensor_count(y) / n,
        .n = n,
        .k = k,
        .alpha = 1,
        .a = {.data = x->data, .row_stride = k, .column_stride = 1},
        .b = {.data = w->data, .row_stride = transposed ? 1 : n, .column_stride = transposed ? k : 1},
        .c = y->data,
        .c_row_stride = n,
    };
    if (call->n_inputs > 2 && call->data[2]) {
        g.add = (struct assay_matrix){.data = call->data[2]->data, .row_stride = 0, .column_stride = 1};
        g.beta = 1;
    }
    enum assay_status st = assay_gemm_run(&g, err);
    return st ? st : finish(call, 3, err);
}

static void cost_linear(const struct assay_op_call *call, struct assay_cost *cost)
{
    const struct assay_type *x = &call->inputs[0];
    cost->flops = 2 * (double)assay_type_count(&call->outputs[0]) * (double)x->dims[x->rank - 1];
}

const struct assay_op assay_ops_fused[] = {
    {"Linear", "assay", 2, 4, ASSAY_OP_VIA_F32, infer_linear, run_linear, cost_linear},
    {0},
};
