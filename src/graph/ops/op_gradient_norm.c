/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gradients of normalizations that learn a scale, each with the attributes of its op:
 *
 *     BatchNormalizationGradient(dy, x, scale) {epsilon} -> dx, dscale, dbias          of training_mode = 1
 *     GroupNormalizationGradient(dy, x, scale) {epsilon, num_groups} -> dx, dscale, dbias    one scale a channel;
 *                                                                InstanceNormalization has as many groups as channels
 *     LayerNormalizationGradient(dy, x, scale, mean, inv_std) {axis} -> dx, dscale, dbias    the scale's elements repeat
 *     RMSNormalizationGradient(dy, x, scale) {axis, epsilon} -> dx, dscale
 *
 * With h = (x - mean) / deviation and g = dy · scale: dscale = Σ dy h, dbias = Σ dy, dx = (g - mean(g) - h mean(g h)) /
 * deviation; without the mean for RMSNormalization. Sums are in double.
 */
#include "graph/gradient.h"
#include "graph/ops/sums.h"
#include "graph/ops/util.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { DY, X, SCALE, MEAN, INVERSE };
enum { DX, DSCALE, DBIAS };

/* ---- shape rules */

static enum assay_status infer_gradient(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < call->n_inputs && !st; i++)
        st = assay_rule_dtype(call, i, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_same_dtype(call, DY, X, err);
    call->outputs[DX] = call->inputs[X];
    for (int i = DSCALE; i < call->n_outputs && i <= DBIAS; i++)
        call->outputs[i] = call->inputs[SCALE];
    const struct assay_type *dy = &call->inputs[DY], *x = &call->inputs[X];
    if (st || dy->rank < 0 || x->rank < 0)
        return st;
    if (dy->rank != x->rank)
        return assay_error_set(err, ASSAY_INVALID, "dy has rank %d, x %d", dy->rank, x->rank);
    for (int d = 0; d < x->rank && !st; d++)
        st = assay_rule_merge_dim(&call->outputs[DX].dims[d], dy->dims[d], "a dimension of dy and x", err);
    return st;
}

/* A scale for each channel. */
static enum assay_status infer_by_channel(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = infer_gradient(call, err);
    if (!st)
        st = assay_rule_rank(call, X, 2, ASSAY_MAX_RANK, err);
    if (!st)
        st = assay_rule_rank(call, SCALE, 1, 1, err);
    if (st || call->inputs[X].rank < 0 || call->inputs[SCALE].rank < 0)
        return st;
    int64_t n_channels = call->inputs[X].dims[1];
    return assay_rule_merge_dim(&n_channels, call->inputs[SCALE].dims[0], "the number of channels", err);
}

static enum assay_status infer_group(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = infer_by_channel(call, err);
    const struct assay_type *x = &call->inputs[X];
    int64_t n = assay_node_int(call->node, "num_groups", 0);
    if (!st && (n < 1 || (x->rank > 1 && x->dims[1] >= 0 && x->dims[1] % n != 0)))
        return assay_error_set(err, ASSAY_INVALID, "the channels cannot be split into num_groups = %" PRId64, n);
    return st;
}

static bool is_rms(const struct assay_node *node) { return *node->type == 'R'; }

static enum assay_status infer_layer(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = infer_gradient(call, err);
    const struct assay_type *x = &call->inputs[X];
    int axis;
    if (!st)
        st = assay_rule_rank(call, X, 1, ASSAY_MAX_RANK, err);
    if (!st && x->rank >= 0)
        st = assay_rule_axis(assay_node_int(call->node, "axis", -1), x->rank, &axis, err);
    if (st || !assay_type_is_known(x))
        return st;
    int64_t n = assay_dims_product(x, axis, x->rank), rows = assay_dims_product(x, 0, axis);
    const struct assay_type *scale = &call->inputs[SCALE];
    int64_t n_scale = assay_type_is_known(scale) ? assay_type_count(scale) : 1;
    if (assay_type_count(x) > 0 && (n_scale < 1 || n % n_scale != 0))
        return assay_error_set(err, ASSAY_INVALID, "a scale of %" PRId64 " elements does not repeat in rows of %" PRId64, n_scale,
                               n);
    for (int i = MEAN; i < call->n_inputs; i++)
        if (assay_type_is_known(&call->inputs[i]) && assay_type_count(x) > 0 && assay_type_count(&call->inputs[i]) != rows)
            return assay_error_set(err, ASSAY_INVALID, "input %d must have one number for each of %" PRId64 " rows", i, rows);
    return ASSAY_OK;
}

/* ---- kernels */

#define RUN_FUNCTIONS(type)                                                                                                      \
    static void finish_##type(const type *dy, const type *x, type *dx, double mean, double a, double b, double c, int64_t n)     \
    {                                                                                                                            \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            dx[i] = (type)(a * (double)dy[i] + b * ((double)x[i] - mean) + c);                                                   \
    }                                                                                                                            \
    static void row_sums_##type(const type *dy, const type *x, const double *scale, int64_t n_scale, int64_t n, double mean,     \
                                double inverse, double *dscale, double *dbias, double sums[2])                                   \
    {                                                                                                                            \
        for (int64_t at = 0; at < n; at += n_scale)                                                                              \
            for (int64_t k = 0; k < n_scale; k++) {                                                                              \
                double g = (double)dy[at + k], h = ((double)x[at + k] - mean) * inverse;                                         \
                sums[0] += g * scale[k];                                                                                         \
                sums[1] += g * scale[k] * h;                                                                                     \
                dscale[k] += g * h;                                                                                              \
                dbias[k] += g;                                                                                                   \
            }                                                                                                                    \
    }                                                                                                                            \
    static void finish_row_##type(const type *dy, const type *x, type *dx, const double *scale, int64_t n_scale, int64_t n,      \
                                  double mean, double inverse, double g_mean, double gh_mean)                                    \
    {                                                                                                                            \
        for (int64_t at = 0; at < n; at += n_scale)                                                                              \
            for (int64_t k = 0; k < n_scale; k++) {                                                                              \
                double g = (double)dy[at + k] * scale[k], h = ((double)x[at + k] - mean) * inverse;                              \
                dx[at + k] = (type)((g - g_mean - h * gh_mean) * inverse);                                                       \
            }                                                                                                                    \
    }
RUN_FUNCTIONS(float)
RUN_FUNCTIONS(double)

/* A call's tensors, and the sums for the scale and bias; the tensors of numbers are f64 and owned. */
struct work {
    const struct assay_tensor *dy, *x;
    struct assay_tensor *dx;
    bool wide; /* f64 */
    struct assay_tensor numbers[INVERSE + 1];
    double *dscale, *dbias;
};

static const double *numbers(const struct work *w, int i) { return w->numbers[i].data; }

static void work_release(struct work *w)
{
    for (int i = 0; i <= INVERSE; i++)
        assay_tensor_release(&w->numbers[i]);
    free(w->dscale);
    free(w->dbias);
}

static enum assay_status work_init(struct work *w, struct assay_op_call *call, struct assay_error *err)
{
    *w = (struct work){.dy = call->data[DY], .x = call->data[X], .dx = &call->results[DX]};
    w->wide = w->x->type.dtype == ASSAY_F64;
    enum assay_status st = ASSAY_OK;
    for (int i = SCALE; i < call->n_inputs && !st; i++)
        st = assay_tensor_convert(&w->numbers[i], call->data[i], ASSAY_F64, err);
    size_t n = (size_t)assay_tensor_count(call->data[SCALE]);
    w->dscale = calloc(n + 1, sizeof *w->dscale);
    w->dbias = calloc(n + 1, sizeof *w->dbias);
    if (!st && (!w->dscale || !w->dbias))
        st = assay_error_set(err, ASSAY_NO_MEMORY, "no memory for the sums of %zu scales", n);
    if (st)
        work_release(w);
    return st;
}

static void store_sums(struct assay_op_call *call, const struct work *w)
{
    const double *sums[] = {NULL, w->dscale, w->dbias};
    for (int i = DSCALE; i < call->n_outputs && i <= DBIAS; i++)
        for (int64_t k = 0; k < assay_tensor_count(&call->results[i]); k++)
            assay_tensor_set_real(&call->results[i], k, sums[i][k]);
}

/* dx = a dy + b (x - mean) + c */
static void finish(const struct work *w, int64_t at, double mean, double a, double b, double c, int64_t n)
{
    if (w->wide)
        finish_double((const double *)w->dy->data + at, (const double *)w->x->data + at, (double *)w->dx->data + at, mean, a, b,
                      c, n);
    else
        finish_float((const float *)w->dy->data + at, (const float *)w->x->data + at, (float *)w->dx->data + at, mean, a, b, c,
                     n);
}

static double epsilon_of(const struct assay_op_call *call) { return (double)assay_node_float(call->node, "epsilon", 1e-5F); }

static enum assay_status run_batch(struct assay_op_call *call, struct assay_error *err)
{
    struct work w;
    enum assay_status st = work_init(&w, call, err);
    if (st)
        return st;
    const struct assay_type *x = &w.x->type;
    int64_t batch = x->dims[0], n_channels = x->dims[1], inner = assay_dims_product(x, 2, x->rank);
    double count = (double)(batch * inner);
    for (int64_t c = 0; c < n_channels && assay_type_count(x) > 0; c++) {
        double mean = 0, variance = 0, dbias = 0, dscale = 0;
        for (int64_t b = 0; b < batch; b++) {
            mean += assay_run_sum(w.x, (b * n_channels + c) * inner, inner);
            dbias += assay_run_sum(w.dy, (b * n_channels + c) * inner, inner);
        }
        mean /= count;
        for (int64_t b = 0; b < batch; b++) {
            variance += assay_run_product(w.x, w.x, (b * n_channels + c) * inner, inner, mean, mean);
            dscale += assay_run_product(w.dy, w.x, (b * n_channels + c) * inner, inner, 0, mean);
        }
        double inverse = 1 / sqrt(variance / count + epsilon_of(call)), factor = numbers(&w, SCALE)[c] * inverse;
        w.dbias[c] = dbias;
        w.dscale[c] = dscale * inverse;
        for (int64_t b = 0; b < batch; b++)
            finish(&w, (b * n_channels + c) * inner, mean, factor, -factor * dscale * inverse * inverse / count,
                   -factor * dbias / count, inner);
    }
    store_sums(call, &w);
    work_release(&w);
    return ASSAY_OK;
}

/* One group of `width` channels from channel c on, whose elements begin at `at`. */
static void run_one_group(const struct assay_op_call *call, struct work *w, int64_t at, int64_t c, int64_t width, int64_t inner)
{
    double count = (double)(width * inner), mean = assay_run_sum(w->x, at, width * inner) / count;
    double variance = assay_run_product(w->x, w->x, at, width * inner, mean, mean) / count, g_sum = 0, gh_sum = 0;
    double inverse = 1 / sqrt(variance + epsilon_of(call));
    for (int64_t k = 0; k < width; k++) {
        double dbias = assay_run_sum(w->dy, at + k * inner, inner);
        double dscale = assay_run_product(w->dy, w->x, at + k * inner, inner, 0, mean) * inverse;
        w->dbias[c + k] += dbias;
        w->dscale[c + k] += dscale;
        g_sum += dbias * numbers(w, SCALE)[c + k];
        gh_sum += dscale * numbers(w, SCALE)[c + k];
    }
    for (int64_t k = 0; k < width; k++)
        finish(w, at + k * inner, mean, inverse * numbers(w, SCALE)[c + k], -inverse * inverse * gh_sum / count,
               -inverse * g_sum / count, inner);
}

static enum assay_status run_group(struct assay_op_call *call, struct assay_error *err)
{
    struct work w;
    enum assay_status st = work_init(&w, call, err);
    if (st)
        return st;
    const struct assay_type *x = &w.x->type;
    int64_t n_groups = assay_node_int(call->node, "num_groups", 0), width = x->dims[1] / n_groups;
    int64_t inner = assay_dims_product(x, 2, x->rank);
    for (int64_t i = 0; i < x->dims[0] * n_groups && assay_type_count(x) > 0; i++)
        run_one_group(call, &w, i * width * inner, i % n_groups * width, width, inner);
    store_sums(call, &w);
    work_release(&w);
    return ASSAY_OK;
}

/* One row of n elements. */
static void run_row(const struct assay_op_call *call, struct work *w, int64_t row, int64_t n, bool rms)
{
    const double *scale = numbers(w, SCALE);
    int64_t n_scale = assay_tensor_count(&w->numbers[SCALE]), at = row * n;
    double mean = rms ? 0 : numbers(w, MEAN)[row], inverse, sums[2] = {0};
    inverse =
        rms ? 1 / sqrt(assay_run_product(w->x, w->x, at, n, 0, 0) / (double)n + epsilon_of(call)) : numbers(w, INVERSE)[row];
    if (w->wide) {
        const double *dy = (const double *)w->dy->data + at, *x = (const double *)w->x->data + at;
        row_sums_double(dy, x, scale, n_scale, n, mean, inverse, w->dscale, w->dbias, sums);
        finish_row_double(dy, x, (double *)w->dx->data + at, scale, n_scale, n, mean, inverse, rms ? 0 : sums[0] / (double)n,
                          sums[1] / (double)n);
    } else {
        const float *dy = (const float *)w->dy->data + at, *x = (const float *)w->x->data + at;
        row_sums_float(dy, x, scale, n_scale, n, mean, inverse, w->dscale, w->dbias, sums);
        finish_row_float(dy, x, (float *)w->dx->data + at, scale, n_scale, n, mean, inverse, rms ? 0 : sums[0] / (double)n,
                         sums[1] / (double)n);
    }
}

static enum assay_status run_layer(struct assay_op_call *call, struct assay_error *err)
{
    struct work w;
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", -1), call->inputs[X].rank, &axis, err);
    if (!st)
        st = work_init(&w, call, err);
    if (st)
        return st;
    const struct assay_type *x = &w.x->type;
    int64_t count = assay_type_count(x), n = assay_dims_product(x, axis, x->rank);
    for (int64_t row = 0; count > 0 && row < count / n; row++)
        run_row(call, &w, row, n, is_rms(call->node));
    store_sums(call, &w);
    work_release(&w);
    return ASSAY_OK;
}

static void cost_gradient(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = 12 * (double)assay_type_count(&call->inputs[X]);
}

/* ---- in standard ops */

static int wanted(const struct assay_node *node, int i) { return i < node->n_outputs && node->outputs[i] >= 0; }

/* dx from h, g = dy · scale and 1 / deviation, with means over `axes`. */
static int emit_dx(struct assay_emit *e, int g, int h, int inverse, bool centered, size_t n, const int64_t *axes)
{
    int dx = e_sub(e, g, e_mul(e, h, e_reduce(e, "ReduceMean", e_mul(e, g, h), true, n, axes)));
    if (centered)
        dx = e_sub(e, dx, e_reduce(e, "ReduceMean", g, true, n, axes));
    return e_mul(e, dx, inverse);
}

/* 1 / sqrt(x + epsilon) */
static int emit_inverse(struct assay_emit *e, const struct assay_node *node, int x)
{
    int epsilon = e_number(e, (double)assay_node_float(node, "epsilon", 1e-5F), x);
    return e_unary(e, "Reciprocal", e_unary(e, "Sqrt", e_add(e, x, epsilon)));
}

/* x [batch, channel, …] in [batch, groups, width, inner], where batches are groups' own (group) or all one (batch). */
static void expand_by_channel(struct assay_emit *e, const struct assay_node *node, int *outputs, int64_t n_groups, size_t n,
                              const int64_t *axes, size_t n_sums, const int64_t *sums)
{
    struct assay_type type = *e_type(e, node->inputs[X]);
    if (e->status)
        return;
    if (!assay_type_is_known(&type)) {
        e_fail(e, ASSAY_UNSUPPORTED, "the shape of its input is not known");
        return;
    }
    int64_t width = type.dims[1] / n_groups, inner = assay_dims_product(&type, 2, type.rank);
    int x = e_cast(e, e_reshape(e, node->inputs[X], E_INTS(type.dims[0], n_groups, width, inner)), ASSAY_F64);
    int dy = e_cast(e, e_reshape(e, node->inputs[DY], E_INTS(type.dims[0], n_groups, width, inner)), ASSAY_F64);
    int scale = e_cast(e, e_reshape(e, node->inputs[SCALE], E_INTS(1, n_groups, width, 1)), ASSAY_F64);
    int centered = e_sub(e, x, e_reduce(e, "ReduceMean", x, true, n, axes));
    int inverse = emit_inverse(e, node, e_reduce(e, "ReduceMean", e_mul(e, centered, centered), true, n, axes));
    int h = e_mul(e, centered, inverse);
    if (wanted(node, DX))
        outputs[DX] =
            e_reshape_like(e, e_cast(e, emit_dx(e, e_mul(e, dy, scale), h, inverse, true, n, axes), type.dtype), node->inputs[X]);
    for (int i = DSCALE; i <= DBIAS; i++)
        if (wanted(node, i)) {
            int sum = e_reduce(e, "ReduceSum", i == DSCALE ? e_mul(e, dy, h) : dy, false, n_sums, sums);
            outputs[i] = e_cast(e, e_reshape_like(e, sum, node->inputs[SCALE]), e_type(e, node->inputs[SCALE])->dtype);
        }
}

static void expand_batch(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    expand_by_channel(e, node, outputs, 1, E_INTS(0, 3), E_INTS(0, 1, 3));
}

static void expand_group(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    expand_by_channel(e, node, outputs, assay_node_int(node, "num_groups", 1), E_INTS(2, 3), E_INTS(0, 3));
}

static void expand_layer(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    struct assay_type type = *e_type(e, node->inputs[X]);
    int64_t axes[ASSAY_MAX_RANK];
    size_t n = 0;
    int axis, inverse, x = node->inputs[X], dy = node->inputs[DY];
    if (e->status || assay_rule_axis(assay_node_int(node, "axis", -1), type.rank, &axis, NULL))
        return;
    for (int d = axis; d < type.rank; d++)
        axes[n++] = d;
    if (is_rms(node)) {
        inverse = emit_inverse(e, node, e_reduce(e, "ReduceMean", e_mul(e, x, x), true, n, axes));
    } else {
        x = e_sub(e, x, e_cast(e, node->inputs[MEAN], type.dtype));
        inverse = e_cast(e, node->inputs[INVERSE], type.dtype);
    }
    int h = e_mul(e, x, inverse), scale = node->inputs[SCALE];
    if (wanted(node, DX))
        outputs[DX] = emit_dx(e, e_mul(e, dy, e_cast(e, scale, type.dtype)), h, inverse, !is_rms(node), n, axes);
    for (int i = DSCALE; i <= DBIAS; i++)
        if (wanted(node, i))
            outputs[i] = e_cast(e, g_sum_to(e, i == DSCALE ? e_mul(e, dy, h) : dy, scale), e_type(e, scale)->dtype);
}

const struct assay_op assay_ops_gradient_norm[] = {
    {"BatchNormalizationGradient", "assay", 3, 3, ASSAY_OP_VIA_F32, infer_by_channel, run_batch, cost_gradient, NULL,
     expand_batch},
    {"GroupNormalizationGradient", "assay", 3, 3, ASSAY_OP_VIA_F32, infer_group, run_group, cost_gradient, NULL, expand_group},
    {"LayerNormalizationGradient", "assay", 5, 5, ASSAY_OP_VIA_F32, infer_layer, run_layer, cost_gradient, NULL, expand_layer},
    {"RMSNormalizationGradient", "assay", 3, 3, ASSAY_OP_VIA_F32, infer_layer, run_layer, cost_gradient, NULL, expand_layer},
    {0},
};
