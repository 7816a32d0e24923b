/* SPDX-License-Identifier: Apache-2.0 */
/* Normalizations without parameters: LRN over neighbouring channels, MeanVarianceNormalization over a set of axes, and
 * LpNormalization over one. Sums are in double. */
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

#include <math.h>
#include <stdlib.h>

/* Two operations an element for the sums, two to normalize. */
static void cost_normalization(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = 4 * (double)assay_type_count(&call->inputs[0]);
}

static enum assay_status infer_normalization(struct assay_op_call *call, struct assay_error *err)
{
    return assay_rule_same(call, ASSAY_SET_FLOAT, err);
}

/* ---- LRN */

static enum assay_status infer_lrn(struct assay_op_call *call, struct assay_error *err)
{
    int64_t size = assay_node_int(call->node, "size", 0);
    enum assay_status st = assay_rule_rank(call, 0, 2, ASSAY_MAX_RANK, err);
    if (!st && (size < 1 || size > 1 << 30))
        st = assay_error_set(err, ASSAY_INVALID, "size = %lld is no number of channels", (long long)size);
    return st ? st : infer_normalization(call, err);
}

struct lrn {
    int64_t n_channels, inner, before, after;
    double alpha, beta, bias; /* alpha: over size */
};

#define LRN_IMAGE(name, type)                                                                                                    \
    static void name(const struct lrn *lrn, const type *x, type *y, double *sums)                                                \
    {                                                                                                                            \
        int64_t inner = lrn->inner, last = lrn->n_channels - 1;                                                                  \
        for (int64_t c = 0; c <= last; c++) {                                                                                    \
            memset(sums, 0, (size_t)inner * sizeof *sums);                                                                       \
            int64_t from = c < lrn->before ? 0 : c - lrn->before, to = c + lrn->after > last ? last : c + lrn->after;            \
            for (int64_t k = from; k <= to; k++)                                                                                 \
                for (int64_t i = 0; i < inner; i++)                                                                              \
                    sums[i] += (double)x[k * inner + i] * (double)x[k * inner + i];                                              \
            for (int64_t i = 0; i < inner; i++)                                                                                  \
                y[c * inner + i] = (type)((double)x[c * inner + i] / pow(lrn->bias + lrn->alpha * sums[i], lrn->beta));          \
        }                                                                                                                        \
    }
LRN_IMAGE(lrn_f32, float)
LRN_IMAGE(lrn_f64, double)

static enum assay_status run_lrn(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0];
    struct assay_tensor *y = &call->results[0];
    int64_t size = assay_node_int(call->node, "size", 1);
    if (assay_tensor_count(x) == 0)
        return ASSAY_OK;
    struct lrn lrn = {.n_channels = x->type.dims[1], .before = (size - 1) / 2, .after = size / 2};
    lrn.inner = assay_dims_product(&x->type, 2, x->type.rank);
    lrn.alpha = (double)assay_node_float(call->node, "alpha", 1e-4F) / (double)size;
    lrn.beta = (double)assay_node_float(call->node, "beta", 0.75F);
    lrn.bias = (double)assay_node_float(call->node, "bias", 1);
    double *sums = malloc((size_t)lrn.inner * sizeof *sums);
    if (!sums)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for the sums of %lld points", (long long)lrn.inner);
    for (int64_t i = 0; i < x->type.dims[0]; i++) {
        int64_t at = i * lrn.n_channels * lrn.inner;
        if (x->type.dtype == ASSAY_F32)
            lrn_f32(&lrn, (const float *)x->data + at, (float *)y->data + at, sums);
        else
            lrn_f64(&lrn, (const double *)x->data + at, (double *)y->data + at, sums);
    }
    free(sums);
    return ASSAY_OK;
}

/* A multiply-add for each channel of the region. */
static void cost_lrn(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = (2 * (double)assay_node_int(call->node, "size", 1) + 4) * (double)assay_type_count(&call->inputs[0]);
}

/* ---- MeanVarianceNormalization */

/* The axes as a mask; those that the input does not have are wrong. */
static enum assay_status mvn_axes(const struct assay_op_call *call, int rank, unsigned *mask, struct assay_error *err)
{
    static const int64_t usual[] = {0, 2, 3};
    size_t n;
    const int64_t *axes = assay_node_ints(call->node, "axes", &n);
    return assay_rule_axes(axes ? axes : usual, axes ? n : ASSAY_COUNT(usual), rank, mask, err);
}

static enum assay_status infer_mvn(struct assay_op_call *call, struct assay_error *err)
{
    unsigned mask;
    enum assay_status st = ASSAY_OK;
    if (call->inputs[0].rank >= 0)
        st = mvn_axes(call, call->inputs[0].rank, &mask, err);
    return st ? st : infer_normalization(call, err);
}

/* A walk over the input and what is kept of it, an element for each place in the axes that are not normalized. */
static void start_walk(struct assay_walk *walk, const struct assay_type *x, const struct assay_type *kept)
{
    assay_walk_broadcast(walk, x, 2, (const struct assay_type *const[]){x, kept});
}

#define MVN(name, type)                                                                                                          \
    static void name(const type *x, type *y, const struct assay_type *shape, const struct assay_type *kept, double n,            \
                     double *mean, double *variance)                                                                             \
    {                                                                                                                            \
        struct assay_walk w;                                                                                                     \
        for (start_walk(&w, shape, kept); w.more; assay_walk_next(&w))                                                           \
            for (int64_t i = 0; i < w.n; i++)                                                                                    \
                mean[w.offset[1] + i * w.step[1]] += (double)x[w.offset[0] + i * w.step[0]] / n;                                 \
        for (start_walk(&w, shape, kept); w.more; assay_walk_next(&w)) {                                                         \
            for (int64_t i = 0; i < w.n; i++) {                                                                                  \
                double difference = (double)x[w.offset[0] + i * w.step[0]] - mean[w.offset[1] + i * w.step[1]];                  \
                variance[w.offset[1] + i * w.step[1]] += difference * difference / n;                                            \
            }                                                                                                                    \
        }                                                                                                                        \
        for (start_walk(&w, shape, kept); w.more; assay_walk_next(&w)) {                                                         \
            for (int64_t i = 0; i < w.n; i++) {                                                                                  \
                int64_t at = w.offset[0] + i * w.step[0], from = w.offset[1] + i * w.step[1];                                    \
                y[at] = (type)(((double)x[at] - mean[from]) / (sqrt(variance[from]) + 1e-9)); /* as the standard's function */   \
            }                                                                                                                    \
        }                                                                                                                        \
    }
MVN(mvn_f32, float)
MVN(mvn_f64, double)

static enum assay_status run_mvn(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0];
    struct assay_tensor *y = &call->results[0];
    struct assay_type kept = x->type;
    unsigned mask;
    enum assay_status st = mvn_axes(call, x->type.rank, &mask, err);
    if (st || assay_tensor_count(x) == 0)
        return st;
    double n = 1;
    for (int d = 0; d < kept.rank; d++) {
        if (mask >> d & 1) {
            n *= (double)kept.dims[d];
            kept.dims[d] = 1;
        }
    }
    size_t count = (size_t)assay_type_count(&kept);
    double *mean = calloc(count, 2 * sizeof *mean);
    if (!mean)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for %zu means", count);
    if (x->type.dtype == ASSAY_F32)
        mvn_f32(x->data, y->data, &x->type, &kept, n, mean, mean + count);
    else
        mvn_f64(x->data, y->data, &x->type, &kept, n, mean, mean + count);
    free(mean);
    return ASSAY_OK;
}

/* ---- LpNormalization */

static enum assay_status infer_lp(struct assay_op_call *call, struct assay_error *err)
{
    int64_t p = assay_node_int(call->node, "p", 2);
    int axis;
    enum assay_status st = ASSAY_OK;
    if (p != 1 && p != 2)
        st = assay_error_set(err, ASSAY_INVALID, "p must be 1 or 2, but is %lld", (long long)p);
    if (!st && call->inputs[0].rank >= 0)
        st = assay_rule_axis(assay_node_int(call->node, "axis", -1), call->inputs[0].rank, &axis, err);
    return st ? st : infer_normalization(call, err);
}

/* One line along the axis. Where the norm is zero, so is the result (opset 22 says so, 1 to 21 nothing). */
#define LP_LINE(name, type)                                                                                                      \
    static void name(const type *x, type *y, int64_t n, int64_t step, bool absolute)                                             \
    {                                                                                                                            \
        double sum = 0;                                                                                                          \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            sum += absolute ? fabs((double)x[i * step]) : (double)x[i * step] * (double)x[i * step];                             \
        double norm = absolute ? sum : sqrt(sum);                                                                                \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            y[i * step] = norm == 0 ? 0 : (type)((double)x[i * step] / norm);                                                    \
    }
LP_LINE(lp_line_f32, float)
LP_LINE(lp_line_f64, double)

static enum assay_status run_lp(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0];
    struct assay_tensor *y = &call->results[0];
    bool absolute = assay_node_int(call->node, "p", 2) == 1;
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", -1), x->type.rank, &axis, err);
    if (st || assay_tensor_count(x) == 0)
        return st;
    struct assay_split split = assay_split_at(&x->type, axis);
    for (int64_t i = 0; i < split.outer * split.inner; i++) {
        int64_t at = i / split.inner * split.n * split.inner + i % split.inner;
        if (x->type.dtype == ASSAY_F32)
            lp_line_f32((const float *)x->data + at, (float *)y->data + at, split.n, split.inner, absolute);
        else
            lp_line_f64((const double *)x->data + at, (double *)y->data + at, split.n, split.inner, absolute);
    }
    return ASSAY_OK;
}

/* ---- gradients */

/* y = x / norm: (dy - slope Σ dy y) / norm, slope being that of the norm; 0 where the norm is. */
static void gradient_lp(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    bool absolute = assay_node_int(g->node, "p", 2) == 1;
    int64_t axis = assay_node_int(g->node, "axis", -1);
    int x = g_input(g, 0), y = g_output(g, 0), dy = g->out[0];
    int norm = e_reduce(e, absolute ? "ReduceL1" : "ReduceL2", x, true, E_INTS(axis));
    int dot = e_sum_along(e, e_mul(e, dy, y), axis);
    int dx = e_div(e, e_sub(e, dy, e_mul(e, absolute ? e_unary(e, "Sign", x) : y, dot)), norm);
    g->in[0] = e_drop(e, e_compare(e, "Equal", norm, 0), dx);
}

/* y = (x - mean) / d, d = σ + 1e-9: (dy - mean(dy)) / d - y mean(dy y) / σ */
static void gradient_mvn(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    const int64_t usual[] = {0, 2, 3};
    size_t n;
    const int64_t *given = assay_node_ints(g->node, "axes", &n), *axes = given ? given : usual;
    n = given ? n : ASSAY_COUNT(usual);
    int x = g_input(g, 0), y = g_output(g, 0), dy = g->out[0];
    int centered = e_sub(e, x, e_reduce(e, "ReduceMean", x, true, n, axes));
    int deviation = e_unary(e, "Sqrt", e_reduce(e, "ReduceMean", e_square(e, centered), true, n, axes));
    int straight = e_div(e, e_sub(e, dy, e_reduce(e, "ReduceMean", dy, true, n, axes)), e_plus(e, deviation, 1e-9));
    int dot = e_div(e, e_reduce(e, "ReduceMean", e_mul(e, dy, y), true, n, axes), deviation);
    g->in[0] = e_sub(e, straight, e_mul(e, y, dot));
}

/* Sums over the neighbouring channels, as means by a pool over [n, 1, c, rest]. */
static int window_mean(struct assay_emit *e, int x, int64_t size, int64_t before, int64_t after)
{
    const struct assay_type type = *e_type(e, x);
    if (e->status)
        return -1;
    int64_t rest = assay_dims_product(&type, 2, type.rank);
    int y = e_unary(e, "AveragePool", e_reshape(e, x, E_INTS(type.dims[0], 1, type.dims[1], rest)));
    e_set_ints(e, "kernel_shape", E_INTS(size, 1));
    e_set_ints(e, "pads", E_INTS(before, 0, after, 0));
    e_set_int(e, "count_include_pad", 1);
    return e_reshape_like(e, y, x);
}

/* y = x s^-β, s = bias + α window mean(x²): dx = dy s^-β - 2 α β x window mean'(dy y / s), whose windows are turned round. */
static void gradient_lrn(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int64_t size = assay_node_int(g->node, "size", 1), before = (size - 1) / 2, after = size - 1 - before;
    double alpha = assay_node_float(g->node, "alpha", 0.0001f), beta = assay_node_float(g->node, "beta", 0.75f);
    double bias = assay_node_float(g->node, "bias", 1);
    int x = g_input(g, 0), y = g_output(g, 0), dy = g->out[0];
    int s = e_plus(e, e_scale(e, window_mean(e, e_square(e, x), size, before, after), alpha), bias);
    int direct = e_mul(e, dy, e_op(e, "Pow", E_VALUES(s, e_number(e, -beta, x))));
    int across = window_mean(e, e_div(e, e_mul(e, dy, y), s), size, after, before);
    g->in[0] = e_sub(e, direct, e_mul(e, e_scale(e, x, 2 * alpha * beta), across));
}

const struct assay_op assay_ops_lrn[] = {
    {"LRN", "", 1, 1, ASSAY_OP_VIA_F32, infer_lrn, run_lrn, cost_lrn, gradient_lrn},
    {"MeanVarianceNormalization", "", 1, 1, ASSAY_OP_VIA_F32, infer_mvn, run_mvn, cost_normalization, gradient_mvn},
    {"LpNormalization", "", 1, 1, ASSAY_OP_VIA_F32, infer_lp, run_lp, cost_normalization, gradient_lp},
    {0},
};
