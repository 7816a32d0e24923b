/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SoftmaxGradient(dy, y) {axis} -> dx: y (dy - Σ dy y); LogSoftmaxGradient: dy - exp(y) Σ dy; sums along the axis, in double.
 * y is the result of the softmax.
 */
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

#include <math.h>

static enum assay_status infer_softmax_gradient(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *dy = &call->inputs[0], *y = &call->inputs[1];
    int axis;
    enum assay_status st = assay_rule_same(call, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_same_dtype(call, 0, 1, err);
    if (st || dy->rank < 0 || y->rank < 0)
        return st;
    if (dy->rank != y->rank)
        return assay_error_set(err, ASSAY_INVALID, "dy has rank %d, y %d", dy->rank, y->rank);
    for (int d = 0; d < y->rank && !st; d++)
        st = assay_rule_merge_dim(&call->outputs[0].dims[d], y->dims[d], "a dimension of dy and y", err);
    return st ? st : assay_rule_axis(assay_node_int(call->node, "axis", -1), y->rank, &axis, err);
}

/* One line along the axis. */
#define LINE(type)                                                                                                               \
    static void line_##type(const type *dy, const type *y, type *dx, int64_t n, int64_t step, bool logarithm)                    \
    {                                                                                                                            \
        double sum = 0;                                                                                                          \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            sum += logarithm ? (double)dy[i * step] : (double)dy[i * step] * (double)y[i * step];                                \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            double d = (double)dy[i * step], at = (double)y[i * step];                                                           \
            dx[i * step] = (type)(logarithm ? d - exp(at) * sum : at * (d - sum));                                               \
        }                                                                                                                        \
    }
LINE(float)
LINE(double)

static enum assay_status run_any(struct assay_op_call *call, bool logarithm, struct assay_error *err)
{
    const struct assay_type *type = &call->outputs[0];
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", -1), type->rank, &axis, err);
    if (st || assay_type_count(type) == 0)
        return st;
    struct assay_split s = assay_split_at(type, axis);
    const void *dy = call->data[0]->data, *y = call->data[1]->data;
    void *dx = call->results[0].data;
    for (int64_t i = 0; i < s.outer * s.inner; i++) {
        int64_t at = i / s.inner * s.n * s.inner + i % s.inner;
        if (type->dtype == ASSAY_F64)
            line_double((const double *)dy + at, (const double *)y + at, (double *)dx + at, s.n, s.inner, logarithm);
        else
            line_float((const float *)dy + at, (const float *)y + at, (float *)dx + at, s.n, s.inner, logarithm);
    }
    return ASSAY_OK;
}

static enum assay_status run_softmax_gradient(struct assay_op_call *call, struct assay_error *err)
{
    return run_any(call, false, err);
}

static enum assay_status run_log_softmax_gradient(struct assay_op_call *call, struct assay_error *err)
{
    return run_any(call, true, err);
}

static void cost_softmax_gradient(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = 4 * (double)assay_type_count(&call->inputs[0]);
}

static void expand_softmax_gradient(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    int dy = node->inputs[0], y = node->inputs[1];
    outputs[0] = e_mul(e, y, e_sub(e, dy, e_sum_along(e, e_mul(e, dy, y), assay_node_int(node, "axis", -1))));
}

static void expand_log_softmax_gradient(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    int dy = node->inputs[0], y = node->inputs[1];
    outputs[0] = e_sub(e, dy, e_mul(e, e_unary(e, "Exp", y), e_sum_along(e, dy, assay_node_int(node, "axis", -1))));
}

const struct assay_op assay_ops_gradient_softmax[] = {
    {"SoftmaxGradient", "assay", 2, 2, ASSAY_OP_VIA_F32, infer_softmax_gradient, run_softmax_gradient, cost_softmax_gradient,
     NULL, expand_softmax_gradient},
    {"LogSoftmaxGradient", "assay", 2, 2, ASSAY_OP_VIA_F32, infer_softmax_gradient, run_log_softmax_gradient,
     cost_softmax_gradient, NULL, expand_log_softmax_gradient},
    {0},
};
