/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax, LogSoftmax and Hardmax along one axis (the meaning since opset 13). Sums are in double. */
#include "graph/gradient.h"
#include "graph/ops/util.h"

#include <math.h>
#include <stdlib.h>

static enum assay_status infer_softmax(struct assay_op_call *call, struct assay_error *err)
{
    int axis;
    enum assay_status st = assay_rule_same(call, ASSAY_SET_FLOAT, err);
    if (!st && call->inputs[0].rank >= 0)
        st = assay_rule_axis(assay_node_int(call->node, "axis", -1), call->inputs[0].rank, &axis, err);
    return st;
}

/* Along a contiguous axis: a row at a time. `of` is the exponential of the type. */
#define ROWS(type, of)                                                                                                           \
    static void softmax_rows_##type(const type *from, type *to, int64_t rows, int64_t n, bool logarithm)                         \
    {                                                                                                                            \
        for (int64_t r = 0; r < rows; r++, from += n, to += n) {                                                                 \
            type maximum = from[0];                                                                                              \
            for (int64_t i = 1; i < n; i++)                                                                                      \
                maximum = from[i] > maximum ? from[i] : maximum;                                                                 \
            double sum = 0;                                                                                                      \
            for (int64_t i = 0; i < n; i++) {                                                                                    \
                to[i] = of(from[i] - maximum);                                                                                   \
                sum += to[i];                                                                                                    \
            }                                                                                                                    \
            double scale = 1 / sum, shift = log(sum);                                                                            \
            for (int64_t i = 0; i < n; i++)                                                                                      \
                to[i] = (type)(logarithm ? (double)from[i] - maximum - shift : to[i] * scale);                                   \
        }                                                                                                                        \
    }
ROWS(float, expf)
ROWS(double, exp)

/* Along any other axis: the columns of one [n, inner] plane together, row by row; maximum and sum hold one number a column. */
#define PLANE(type, of)                                                                                                          \
    static void softmax_plane_##type(const type *from, type *to, int64_t n, int64_t inner, bool logarithm, double *maximum,      \
                                     double *sum)                                                                                \
    {                                                                                                                            \
        for (int64_t i = 0; i < inner; i++) {                                                                                    \
            maximum[i] = from[i];                                                                                                \
            sum[i] = 0;                                                                                                          \
        }                                                                                                                        \
        for (int64_t k = 1; k < n; k++)                                                                                          \
            for (int64_t i = 0; i < inner; i++)                                                                                  \
                maximum[i] = from[k * inner + i] > maximum[i] ? from[k * inner + i] : maximum[i];                                \
        for (int64_t k = 0; k < n; k++)                                                                                          \
            for (int64_t i = 0; i < inner; i++) {                                                                                \
                type e = of(from[k * inner + i] - (type)maximum[i]);                                                             \
                to[k * inner + i] = e;                                                                                           \
                sum[i] += e;                                                                                                     \
            }                                                                                                                    \
        for (int64_t i = 0; i < inner; i++)                                                                                      \
            sum[i] = logarithm ? log(sum[i]) : 1 / sum[i];                                                                       \
        for (int64_t k = 0; k < n; k++)                                                                                          \
            for (int64_t i = 0; i < inner; i++) {                                                                                \
                int64_t at = k * inner + i;                                                                                      \
                to[at] = (type)(logarithm ? from[at] - maximum[i] - sum[i] : to[at] * sum[i]);                                   \
            }                                                                                                                    \
    }
PLANE(float, expf)
PLANE(double, exp)

static enum assay_status run_any_softmax(struct assay_op_call *call, bool logarithm, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", -1), in->rank, &axis, err);
    if (st || assay_type_count(in) == 0)
        return st;
    struct assay_split s = assay_split_at(in, axis);
    const void *from = call->data[0]->data;
    void *to = call->results[0].data;
    if (s.inner == 1) {
        if (in->dtype == ASSAY_F64)
            softmax_rows_double(from, to, s.outer, s.n, logarithm);
        else
            softmax_rows_float(from, to, s.outer, s.n, logarithm);
        return ASSAY_OK;
    }
    double *scratch = malloc(2 * (size_t)s.inner * sizeof *scratch);
    if (!scratch)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for %lld sums", (long long)s.inner);
    for (int64_t o = 0; o < s.outer; o++) {
        int64_t at = o * s.n * s.inner;
        if (in->dtype == ASSAY_F64)
            softmax_plane_double((const double *)from + at, (double *)to + at, s.n, s.inner, logarithm, scratch,
                                 scratch + s.inner);
        else
            softmax_plane_float((const float *)from + at, (float *)to + at, s.n, s.inner, logarithm, scratch, scratch + s.inner);
    }
    free(scratch);
    return ASSAY_OK;
}

static enum assay_status run_softmax(struct assay_op_call *call, struct assay_error *err)
{
    return run_any_softmax(call, false, err);
}

static enum assay_status run_log_softmax(struct assay_op_call *call, struct assay_error *err)
{
    return run_any_softmax(call, true, err);
}

/* 1 at the first of the largest elements, 0 elsewhere. */
#define HARDMAX(type)                                                                                                            \
    for (int64_t o = 0; o < s.outer; o++)                                                                                        \
        for (int64_t i = 0; i < s.inner; i++) {                                                                                  \
            const type *from = (const type *)call->data[0]->data + o * s.n * s.inner + i;                                        \
            type *to = (type *)call->results[0].data + o * s.n * s.inner + i;                                                    \
            int64_t best = 0;                                                                                                    \
            for (int64_t k = 1; k < s.n; k++)                                                                                    \
                best = from[k * s.inner] > from[best * s.inner] ? k : best;                                                      \
            for (int64_t k = 0; k < s.n; k++)                                                                                    \
                to[k * s.inner] = k == best;                                                                                     \
        }

static enum assay_status run_hardmax(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", -1), in->rank, &axis, err);
    if (st || assay_type_count(in) == 0)
        return st;
    struct assay_split s = assay_split_at(in, axis);
    if (in->dtype == ASSAY_F64)
        HARDMAX(double)
    else
        HARDMAX(float)
    return ASSAY_OK;
}

/* Subtract, exponential, sum, scale: four an element, and one more for the maximum. */
static void cost_softmax(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = 5 * (double)assay_type_count(&call->inputs[0]);
}

static void gradient_softmax(struct assay_gradient *g)
{
    bool logarithm = strcmp(g->node->type, "LogSoftmax") == 0;
    g->in[0] = e_own(g->e, logarithm ? "LogSoftmaxGradient" : "SoftmaxGradient", E_VALUES(g->out[0], g_output(g, 0)));
    e_set_int(g->e, "axis", assay_node_int(g->node, "axis", -1));
}

const struct assay_op assay_ops_softmax[] = {
    {"Hardmax", "", 1, 1, ASSAY_OP_VIA_F32 | ASSAY_OP_FLAT, infer_softmax, run_hardmax, assay_cost_per_input},
    {"LogSoftmax", "", 1, 1, ASSAY_OP_VIA_F32, infer_softmax, run_log_softmax, cost_softmax, gradient_softmax},
    {"Softmax", "", 1, 1, ASSAY_OP_VIA_F32, infer_softmax, run_softmax, cost_softmax, gradient_softmax},
    {0},
};
