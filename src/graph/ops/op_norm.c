/* SPDX-License-Identifier: Apache-2.0 */
/* Normalizations with learned scales: BatchNormalization, InstanceNormalization, GroupNormalization, LayerNormalization,
 * RMSNormalization. Means and variances are of two passes in double. LRN and others without parameters are in op_lrn.c. */
#include "graph/ops/util.h"

#include <inttypes.h>
#include <math.h>

/* ---- runs of elements */

struct moments {
    double mean, variance; /* of the population */
};

#define RUN_FUNCTIONS(type)                                                                                                      \
    static double sum_##type(const type *x, int64_t n)                                                                           \
    {                                                                                                                            \
        double sum = 0;                                                                                                          \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            sum += (double)x[i];                                                                                                 \
        return sum;                                                                                                              \
    }                                                                                                                            \
    static double square_sum_##type(const type *x, int64_t n, double mean)                                                       \
    {                                                                                                                            \
        double sum = 0;                                                                                                          \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            sum += ((double)x[i] - mean) * ((double)x[i] - mean);                                                                \
        return sum;                                                                                                              \
    }                                                                                                                            \
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
static double run_sum(const struct assay_tensor *x, int64_t at, int64_t n)
{
    return x->type.dtype == ASSAY_F32 ? sum_float((const float *)x->data + at, n) : sum_double((const double *)x->data + at, n);
}

static double run_square_sum(const struct assay_tensor *x, int64_t at, int64_t n, double mean)
{
    return x->type.dtype == ASSAY_F32 ? square_sum_float((const float *)x->data + at, n, mean)
                                      : square_sum_double((const double *)x->data + at, n, mean);
}

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
    struct moments m = {.mean = run_sum(x, at, n) / (double)n};
    m.variance = run_square_sum(x, at, n, m.mean) / (double)n;
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
        m.mean += run_sum(x, (i * n_channels + channel) * inner, inner);
    m.mean /= (double)(batch * inner);
    for (int64_t i = 0; i < batch; i++)
        m.variance += run_square_sum(x, (i * n_channels + channel) * inner, inner, m.mean);
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
        m.variance = run_square_sum(x, row * n, n, 0) / (double)n;
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

const struct assay_op assay_ops_norm[] = {
    {"BatchNormalization", "", 5, 5, ASSAY_OP_VIA_F32, infer_batch, run_batch, cost_batch},
    {"InstanceNormalization", "", 3, 3, ASSAY_OP_VIA_F32, infer_instance, run_instance, cost_with_moments},
    {"GroupNormalization", "", 3, 3, ASSAY_OP_VIA_F32, infer_group, run_group, cost_with_moments},
    {"LayerNormalization", "", 2, 3, ASSAY_OP_VIA_F32, infer_layer, run_layer, cost_with_moments},
    {"RMSNormalization", "", 2, 2, ASSAY_OP_VIA_F32, infer_layer, run_layer, cost_with_moments},
    {0},
};
