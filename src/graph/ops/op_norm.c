/* SPDX-License-Identifier: Apache-2.0 */
/* Normalizations with learned scales: BatchNormalization, InstanceNormalization, GroupNormalization, LayerNormalization,
 * RMSNormalization. Means and variances are of two passes in double. LRN and others without parameters are in op_lrn.c. */
#include "graph/gradient.h"
#include "graph/ops/sums.h"
#include "graph/ops/util.h"

#include <inttypes.h>
#include <math.h>

/* ---- runs of elements */

struct moments {
    double mean, variance; /* of the population */
};

#define RUN_FUNCTIONS(type)                                                                                                      \
    static void scale_##type(const type *x, type *y, int64_t n, double mean, double scale, double bias)                          \
    {                                                                                                                            \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            y[i] = (type)(((double)x[i] - mean) * scale + bias);                                                                 \
    }                                                                                                                            \
    static void scale_each_##type(const type *x, type *y, int64_t n, double mean, double factor, const double *scale,            \
                                  const double *bias)                                                                            \
    {                                                                                                                            \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            y[i] = (type)(((double)x[i] - mean) * factor * scale[i] + (bias ? bias[i] : 0));                                     \
    }
RUN_FUNCTIONS(float)
RUN_FUNCTIONS(double)

/* The same of elements at … at + n of an f32 or f64 tensor. */
static void run_scale(const struct assay_tensor *x, struct assay_tensor *y, int64_t at, int64_t n, double mean, double scale,
                      double bias)
{
    if (x->type.dtype == ASSAY_F32)
        scale_float((const float *)x->data + at, (float *)y->data + at, n, mean, scale, bias);
    else
        scale_double((const double *)x->data + at, (double *)y->data + at, n, mean, scale, bias);
}

static void run_scale_each(const struct assay_tensor *x, struct assay_tensor *y, int64_t at, int64_t n, double mean,
                           double factor, const double *scale, const double *bias)
{
    if (x->type.dtype == ASSAY_F32)
        scale_each_float((const float *)x->data + at, (float *)y->data + at, n, mean, factor, scale, bias);
    else
        scale_each_double((const double *)x->data + at, (double *)y->data + at, n, mean, factor, scale, bias);
}

static struct moments run_moments(const struct assay_tensor *x, int64_t at, int64_t n)
{
    struct moments m = {.mean = assay_run_sum(x, at, n) / (double)n};
    m.variance = assay_run_product(x, x, at, n, m.mean, m.mean) / (double)n;
    return m;
}

/* ---- parameters, as doubles */

enum { MAX_PARAMETERS = 4 };

struct parameters {
    struct assay_tensor tensors[MAX_PARAMETERS]; /* f64 */
};

static const double *parameter(const struct parameters *p, int i) { return p->tensors[i].data; }

static void parameters_release(struct parameters *p)
{
    for (int i = 0; i < MAX_PARAMETERS; i++)
        assay_tensor_release(&p->tensors[i]);
}

/* Inputs 1 … n of the node (where given), each of `length` elements; any number if it is -1. */
static enum assay_status parameters_init(struct parameters *p, const struct assay_op_call *call, int n, int64_t length,
                                         struct assay_error *err)
{
    *p = (struct parameters){0};
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < n && !st; i++) {
        const struct assay_tensor *tensor = assay_rule_data(call, 1 + i);
        if (!tensor)
            continue;
        if (length >= 0 && assay_tensor_count(tensor) != length)
            st = assay_error_set(err, ASSAY_INVALID, "input %d has %" PRId64 " elements, but there are %" PRId64 " channels",
                                 1 + i, assay_tensor_count(tensor), length);
        else
            st = assay_tensor_convert(&p->tensors[i], tensor, ASSAY_F64, err);
    }
    if (st)
        parameters_release(p);
    return st;
}

static double epsilon_of(const struct assay_op_call *call) { return (double)assay_node_float(call->node, "epsilon", 1e-5F); }

/* Two operations to center and scale, two to scale and shift, and four for the moments where they are taken here. */
static void cost_with_moments(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = 8 * (double)assay_type_count(&call->inputs[0]);
}

/* Floats in all inputs, and the output's type that of the input. */
static enum assay_status infer_floats(struct assay_op_call *call, int lowest_rank, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < call->n_inputs && !st; i++)
        st = assay_rule_dtype(call, i, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_rank(call, 0, lowest_rank, ASSAY_MAX_RANK, err);
    call->outputs[0] = call->inputs[0];
    return st;
}

/* ---- BatchNormalization */

static bool is_training(const struct assay_op_call *call) { return assay_node_int(call->node, "training_mode", 0) != 0; }

static enum assay_status infer_batch(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = infer_floats(call, 1, err);
    if (st)
        return st;
    for (int i = 1; i < call->n_outputs; i++) {
        if (assay_rule_has_output(call, i) && (!is_training(call) || i > 2))
            return assay_error_set(err, ASSAY_UNSUPPORTED, "output %d is not supported%s", i,
                                   is_training(call) ? "" : " without training_mode");
        if (i <= 2 && is_training(call))
            call->outputs[i] = call->inputs[2 + i];
    }
    return ASSAY_OK;
}

enum { SCALE, BIAS, MEAN, VARIANCE };

/* The channel's moments over all images, and with them the running ones into outputs 1 and 2. */
static struct moments batch_moments(struct assay_op_call *call, const struct parameters *p, int64_t channel, int64_t n_channels,
                                    int64_t inner)
{
    const struct assay_tensor *x = call->data[0];
    int64_t batch = x->type.dims[0];
    struct moments m = {0};
    for (int64_t i = 0; i < batch; i++)
        m.mean += assay_run_sum(x, (i * n_channels + channel) * inner, inner);
    m.mean /= (double)(batch * inner);
    for (int64_t i = 0; i < batch; i++)
        m.variance += assay_run_product(x, x, (i * n_channels + channel) * inner, inner, m.mean, m.mean);
    m.variance /= (double)(batch * inner);
    double momentum = (double)assay_node_float(call->node, "momentum", 0.9F);
    double mean = parameter(p, MEAN)[channel] * momentum + m.mean * (1 - momentum);
    double variance = parameter(p, VARIANCE)[channel] * momentum + m.variance * (1 - momentum);
    if (call->n_outputs > 1)
        assay_tensor_set_real(&call->results[1], channel, mean);
    if (call->n_outputs > 2)
        assay_tensor_set_real(&call->results[2], channel, variance);
    return m;
}

static enum assay_status run_batch(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0];
    struct parameters p;
    bool has_channels = x->type.rank > 1, training = is_training(call);
    int64_t n_channels = has_channels ? x->type.dims[1] : 1;
    enum assay_status st = parameters_init(&p, call, 4, n_channels, err);
    if (st)
        return st;
    if (assay_tensor_count(x) == 0) {
        if (training)
            st = assay_error_set(err, ASSAY_INVALID, "a batch without elements has no mean");
        goto done;
    }
    int64_t inner = has_channels ? assay_dims_product(&x->type, 2, x->type.rank) : 1;
    for (int64_t c = 0; c < n_channels; c++) {
        struct moments m = {.mean = parameter(&p, MEAN)[c], .variance = parameter(&p, VARIANCE)[c]};
        if (training)
            m = batch_moments(call, &p, c, n_channels, inner);
        double scale = parameter(&p, SCALE)[c] / sqrt(m.variance + epsilon_of(call));
        for (int64_t i = 0; i < x->type.dims[0]; i++)
            run_scale(x, &call->results[0], (i * n_channels + c) * inner, inner, m.mean, scale, parameter(&p, BIAS)[c]);
    }
done:
    parameters_release(&p);
    return st;
}

static void cost_batch(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = (is_training(call) ? 8 : 4) * (double)assay_type_count(&call->inputs[0]);
}

/* ---- InstanceNormalization, GroupNormalization: each [image, group] by itself */

static enum assay_status infer_instance(struct assay_op_call *call, struct assay_error *err)
{
    return infer_floats(call, 2, err);
}

static enum assay_status infer_group(struct assay_op_call *call, struct assay_error *err)
{
    int64_t n = assay_node_int(call->node, "num_groups", 0);
    enum assay_status st = infer_floats(call, 2, err);
    if (st)
        return st;
    const struct assay_type *x = &call->inputs[0];
    if (n < 1 || (x->rank > 1 && x->dims[1] >= 0 && x->dims[1] % n != 0))
        return assay_error_set(err, ASSAY_INVALID, "%" PRId64 " channels cannot be split into num_groups = %" PRId64,
                               x->rank > 1 ? x->dims[1] : -1, n);
    return ASSAY_OK;
}

/* Groups of `width` channels; scale and bias of each channel, or of each group (GroupNormalization before opset 21). */
static enum assay_status normalize_groups(struct assay_op_call *call, int64_t n_groups, bool by_group, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0];
    struct parameters p;
    int64_t n_channels = x->type.dims[1];
    if (assay_tensor_count(x) == 0)
        return ASSAY_OK;
    enum assay_status st = parameters_init(&p, call, 2, by_group ? n_groups : n_channels, err);
    if (st)
        return st;
    int64_t width = n_channels / n_groups, inner = assay_dims_product(&x->type, 2, x->type.rank);
    for (int64_t i = 0; i < x->type.dims[0] * n_groups; i++) {
        struct moments m = run_moments(x, i * width * inner, width * inner);
        double factor = 1 / sqrt(m.variance + epsilon_of(call));
        for (int64_t c = 0; c < width; c++) {
            int64_t channel = by_group ? i % n_groups : i % n_groups * width + c;
            run_scale(x, &call->results[0], (i * width + c) * inner, inner, m.mean, factor * parameter(&p, SCALE)[channel],
                      parameter(&p, BIAS)[channel]);
        }
    }
    parameters_release(&p);
    return ASSAY_OK;
}

static enum assay_status run_instance(struct assay_op_call *call, struct assay_error *err)
{
    return normalize_groups(call, call->inputs[0].dims[1], false, err);
}

static enum assay_status run_group(struct assay_op_call *call, struct assay_error *err)
{
    int64_t n_groups = assay_node_int(call->node, "num_groups", 0);
    bool by_group = call->opset < 21 && assay_type_count(&call->inputs[1]) == n_groups;
    return normalize_groups(call, n_groups, by_group, err);
}

/* ---- LayerNormalization, RMSNormalization: over the last dimensions */

static bool is_rms(const struct assay_op_call *call) { return strcmp(call->node->type, "RMSNormalization") == 0; }

static enum assay_status infer_layer(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *x = &call->inputs[0];
    int axis = 0;
    enum assay_status st = infer_floats(call, 1, err);
    if (!st && x->rank >= 0)
        st = assay_rule_axis(assay_node_int(call->node, "axis", -1), x->rank, &axis, err);
    if (!st && assay_node_int(call->node, "stash_type", ASSAY_F32) != ASSAY_F32)
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "a stash_type other than 1 (f32) is not supported");
    for (int i = 1; i < call->n_outputs && i < 3 && !st; i++) {
        call->outputs[i] = *x;
        call->outputs[i].dtype = ASSAY_F32;
        for (int d = axis; d < x->rank; d++)
            call->outputs[i].dims[d] = 1;
    }
    return st;
}

/* Whether a scale or bias is the same for each run of its elements in the normalized dimensions, from `axis`. */
static bool repeats_in(const struct assay_type *parameter_type, const struct assay_type *x, int axis)
{
    int rank = parameter_type->rank;
    const int64_t *dims = parameter_type->dims;
    for (; rank > 0 && *dims == 1; rank--)
        dims++;
    return rank <= x->rank - axis && memcmp(dims, x->dims + x->rank - rank, (size_t)rank * sizeof *dims) == 0;
}

static enum assay_status check_layer_parameters(const struct assay_op_call *call, int axis, struct assay_error *err)
{
    for (int i = 1; i < call->n_inputs; i++) {
        char text[128];
        if (assay_rule_has_input(call, i) && !repeats_in(&call->inputs[i], &call->inputs[0], axis))
            return assay_error_set(err, ASSAY_UNSUPPORTED, "input %d of type %s does not have the normalized dimensions", i,
                                   assay_type_text(&call->inputs[i], text, sizeof text));
    }
    return ASSAY_OK;
}

/* Row `row` of n elements, in runs over which scale and bias are written out. */
static void normalize_row(struct assay_op_call *call, const struct parameters *p, int64_t row, int64_t n, bool rms)
{
    const struct assay_tensor *x = call->data[0];
    struct moments m = {0};
    if (rms)
        m.variance = assay_run_product(x, x, row * n, n, 0, 0) / (double)n;
    else
        m = run_moments(x, row * n, n);
    double factor = 1 / sqrt(m.variance + epsilon_of(call));
    const struct assay_tensor *scale = &p->tensors[SCALE], *bias = &p->tensors[BIAS];
    int64_t n_scale = assay_tensor_count(scale), n_bias = bias->data ? assay_tensor_count(bias) : n_scale;
    int64_t run = n_scale < n_bias ? n_scale : n_bias;
    for (int64_t i = 0; i < n; i += run)
        run_scale_each(x, &call->results[0], row * n + i, run, m.mean, factor, parameter(p, SCALE) + i % n_scale,
                       bias->data ? parameter(p, BIAS) + i % n_bias : NULL);
    if (!rms && call->n_outputs > 1)
        assay_tensor_set_real(&call->results[1], row, m.mean);
    if (!rms && call->n_outputs > 2)
        assay_tensor_set_real(&call->results[2], row, factor);
}

static enum assay_status run_layer(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0];
    struct parameters p;
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", -1), x->type.rank, &axis, err);
    if (!st)
        st = check_layer_parameters(call, axis, err);
    if (st)
        return st;
    int64_t n = assay_dims_product(&x->type, axis, x->type.rank);
    if (assay_tensor_count(x) == 0) {
        if (call->n_outputs > 1 && assay_tensor_count(&call->results[1]) > 0)
            return assay_error_set(err, ASSAY_INVALID, "rows without elements have no mean");
        return ASSAY_OK;
    }
    st = parameters_init(&p, call, 2, -1, err);
    for (int64_t row = 0; !st && row < assay_tensor_count(x) / n; row++)
        normalize_row(call, &p, row, n, is_rms(call));
    parameters_release(&p);
    return st;
}

/* ---- gradients */

/* Other outputs than the first are for the running statistics and for the backward pass itself. */
static bool only_first(struct assay_gradient *g)
{
    for (int i = 1; i < g->node->n_outputs; i++)
        if (g->out[i] >= 0)
            return e_fail(g->e, ASSAY_UNSUPPORTED, "a loss that depends on output %d has no gradient", i) >= 0;
    return true;
}

/* An op of our own with outputs dx, dscale and dbias (n_outputs 2: without), those that are wanted; the epsilon is the node's. */
static void emit_gradient(struct assay_gradient *g, const char *type, int n_inputs, const int *inputs, int n_outputs)
{
    int outputs[3];
    for (int i = 0; i < n_outputs; i++)
        outputs[i] = g_wants(g, i) ? 0 : -1;
    e_many(g->e, type, "assay", n_inputs, inputs, n_outputs, outputs);
    for (int i = 0; i < n_outputs && i < g->node->n_inputs; i++)
        g->in[i] = outputs[i];
}

static bool wants_any(const struct assay_gradient *g, int n)
{
    for (int i = 0; i < n; i++)
        if (g_wants(g, i))
            return true;
    return false;
}

static void set_epsilon(struct assay_gradient *g)
{
    e_set_float(g->e, "epsilon", (double)assay_node_float(g->node, "epsilon", 1e-5F));
}

/* A parameter as [1, channel, 1 …], of x's dtype. */
static int by_channel(struct assay_gradient *g, int i)
{
    struct assay_type x = *g_type(g, 0);
    int64_t dims[ASSAY_MAX_RANK];
    for (int d = 0; d < x.rank; d++)
        dims[d] = d == 1 ? x.dims[1] : 1;
    return e_cast(g->e, e_reshape(g->e, g_input(g, i), (size_t)x.rank, dims), x.dtype);
}

/* Sums over all but the channels, as the gradient of a parameter. */
static void set_sum(struct assay_gradient *g, int i, int x)
{
    struct assay_type type = *g_type(g, 0);
    int64_t axes[ASSAY_MAX_RANK] = {0};
    if (!g_wants(g, i))
        return;
    for (int d = 2; d < type.rank; d++)
        axes[d - 1] = d;
    size_t n = type.rank > 1 ? (size_t)type.rank - 1 : 1;
    int sum = e_reshape_like(g->e, e_reduce(g->e, "ReduceSum", x, type.rank == 1, n, axes), g_input(g, i));
    g->in[i] = e_cast(g->e, sum, g_type(g, i)->dtype);
}

/* With the running statistics it is a scale and a shift of each channel: y = (x - mean) · scale / deviation + bias. */
static void gradient_batch_affine(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int dy = g->out[0], variance = by_channel(g, 1 + VARIANCE);
    int epsilon = e_number(e, (double)assay_node_float(g->node, "epsilon", 1e-5F), variance);
    int inverse = e_unary(e, "Reciprocal", e_unary(e, "Sqrt", e_add(e, variance, epsilon)));
    int factor = e_mul(e, by_channel(g, 1 + SCALE), inverse);
    g_set(g, 0, e_mul(e, dy, factor));
    set_sum(g, 1 + BIAS, dy);
    if (g_wants(g, 1 + MEAN))
        set_sum(g, 1 + MEAN, e_unary(e, "Neg", e_mul(e, dy, factor)));
    if (!g_wants(g, 1 + SCALE) && !g_wants(g, 1 + VARIANCE))
        return;
    int h = e_mul(e, dy, e_mul(e, e_sub(e, g_input(g, 0), by_channel(g, 1 + MEAN)), inverse));
    set_sum(g, 1 + SCALE, h);
    if (g_wants(g, 1 + VARIANCE))
        set_sum(g, 1 + VARIANCE, e_scale(e, e_mul(e, h, e_mul(e, factor, inverse)), -0.5));
}

static void gradient_batch(struct assay_gradient *g)
{
    if (!only_first(g))
        return;
    if (!assay_node_int(g->node, "training_mode", 0)) {
        gradient_batch_affine(g);
    } else if (g_type(g, 0)->rank < 2) {
        e_fail(g->e, ASSAY_UNSUPPORTED, "the gradient of a batch without channels is not supported");
    } else if (wants_any(g, 3)) {
        emit_gradient(g, "BatchNormalizationGradient", E_VALUES(g->out[0], g_input(g, 0), g_input(g, 1)), 3);
        set_epsilon(g);
    }
}

/* The training mode, which ONNX Runtime lacks: moments of the batch, by hand. */
static void expand_batch_training(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    const struct assay_type x = *e_type(e, node->inputs[0]);
    int64_t dims[ASSAY_MAX_RANK], axes[ASSAY_MAX_RANK];
    size_t n_axes = 0;
    for (int d = 0; d < x.rank; d++) {
        dims[d] = d == 1 ? -1 : 1;
        if (d != 1)
            axes[n_axes++] = d;
    }
    if (x.rank < 2) {
        e_fail(e, ASSAY_UNSUPPORTED, "a batch without channels cannot be written in standard ops");
        return;
    }
    int shape = e_ints(e, (size_t)x.rank, dims), flat = e_ints(e, E_INTS(-1)), moments[2];
    /* In double: a small gradient is the difference of large numbers, and rounding a channel's factor would move all of it. */
    int wide = e_cast(e, node->inputs[0], ASSAY_F64);
    moments[0] = e_reduce(e, "ReduceMean", wide, true, n_axes, axes);
    int distance = e_sub(e, wide, moments[0]);
    moments[1] = e_reduce(e, "ReduceMean", e_mul(e, distance, distance), true, n_axes, axes);
    int epsilon = e_number(e, (double)assay_node_float(node, "epsilon", 1e-5F), moments[1]);
    int scale = e_cast(e, e_reshape_to(e, node->inputs[1], shape), ASSAY_F64);
    int bias = e_cast(e, e_reshape_to(e, node->inputs[2], shape), ASSAY_F64);
    int factor = e_div(e, scale, e_unary(e, "Sqrt", e_add(e, moments[1], epsilon)));
    outputs[0] = e_cast(e, e_add(e, e_mul(e, distance, factor), bias), x.dtype);
    moments[0] = e_cast(e, moments[0], x.dtype);
    moments[1] = e_cast(e, moments[1], x.dtype);
    for (int i = 1; i < node->n_outputs; i++) {
        double momentum = (double)assay_node_float(node, "momentum", 0.9F);
        int kept = e_scale(e, node->inputs[2 + i], momentum);
        if (node->outputs[i] >= 0)
            outputs[i] = e_add(e, kept, e_scale(e, e_reshape_to(e, moments[i - 1], flat), 1 - momentum));
    }
}

static void gradient_group(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    bool is_group = strcmp(g->node->type, "GroupNormalization") == 0;
    int64_t n_channels = g_type(g, 0)->dims[1], n_groups = is_group ? assay_node_int(g->node, "num_groups", 0) : n_channels;
    int64_t n_scales = assay_type_count(g_type(g, 1));
    int scale = g_input(g, 1);
    if (!wants_any(g, 3))
        return;
    if (n_scales != n_channels) { /* one a group, before opset 21 */
        scale = e_expand(e, e_reshape(e, scale, E_INTS(n_groups, 1)), e_ints(e, E_INTS(n_groups, n_channels / n_groups)));
        scale = e_reshape(e, scale, E_INTS(n_channels));
    }
    emit_gradient(g, "GroupNormalizationGradient", E_VALUES(g->out[0], g_input(g, 0), scale), 3);
    set_epsilon(g);
    e_set_int(e, "num_groups", n_groups);
    for (int i = 1; i <= 2 && n_scales != n_channels; i++)
        if (g->in[i] >= 0)
            g->in[i] =
                e_reduce(e, "ReduceSum", e_reshape(e, g->in[i], E_INTS(n_groups, n_channels / n_groups)), false, E_INTS(1));
}

/* A bias of another shape than the scale's is summed by itself. */
static void gradient_layer(struct assay_gradient *g)
{
    bool rms = strcmp(g->node->type, "RMSNormalization") == 0;
    int64_t axis = assay_node_int(g->node, "axis", -1);
    if (!only_first(g))
        return;
    if (rms && wants_any(g, 2)) {
        emit_gradient(g, "RMSNormalizationGradient", E_VALUES(g->out[0], g_input(g, 0), g_input(g, 1)), 2);
        set_epsilon(g);
        e_set_int(g->e, "axis", axis);
    }
    if (rms || !wants_any(g, 3))
        return;
    bool alone = g_wants(g, 2) && !assay_type_equal(g_type(g, 1), g_type(g, 2));
    if (wants_any(g, 2) || !alone) {
        int mean = g_need_output(g, 1), inverse = g_need_output(g, 2);
        emit_gradient(g, "LayerNormalizationGradient", E_VALUES(g->out[0], g_input(g, 0), g_input(g, 1), mean, inverse),
                      alone ? 2 : 3);
        e_set_int(g->e, "axis", axis);
    }
    if (alone)
        g->in[2] = e_cast(g->e, g_sum_to(g->e, g->out[0], g_input(g, 2)), g_type(g, 2)->dtype);
}

const struct assay_op assay_ops_norm[] = {
    {"BatchNormalization", "", 5, 5, ASSAY_OP_VIA_F32, infer_batch, run_batch, cost_batch, gradient_batch, expand_batch_training},
    {"InstanceNormalization", "", 3, 3, ASSAY_OP_VIA_F32, infer_instance, run_instance, cost_with_moments, gradient_group},
    {"GroupNormalization", "", 3, 3, ASSAY_OP_VIA_F32, infer_group, run_group, cost_with_moments, gradient_group},
    {"LayerNormalization", "", 2, 3, ASSAY_OP_VIA_F32, infer_layer, run_layer, cost_with_moments, gradient_layer},
    {"RMSNormalization", "", 2, 2, ASSAY_OP_VIA_F32, infer_layer, run_layer, cost_with_moments, gradient_layer},
    {0},
};
