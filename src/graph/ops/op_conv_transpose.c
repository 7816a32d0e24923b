/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ConvTranspose, of one to three dimensions: the gradient of Conv with respect to its input, used as a layer. Each input point
 * adds its products with the weights to the outputs that a convolution would have read it from: one matrix product makes these
 * for a tile of input points, and they are added up in double.
 */
#include "graph/ops/gemm.h"
#include "graph/ops/window.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    SUM_ELEMENTS = 1 << 22, /* outputs that are summed at a time, at least one channel: 32 MiB */
    TILE_ELEMENTS = 1 << 18,
    TILE_LEAST = 64
};

/* Below, a window is that of the convolution whose gradient this is: its `input` is our output, and the other way round. */
struct transposed {
    struct assay_window window;
    int64_t groups, n_in, n_out; /* channels of one group */
};

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/* One dimension's output size, and the padding where output_shape or auto_pad decide it. `wanted` is -1 if output_shape is not
 * given. */
static enum assay_status size_dimension(struct assay_window *w, int d, int64_t wanted, int64_t extra, const char *mode,
                                        struct assay_error *err)
{
    bool upper = strcmp(mode, "SAME_UPPER") == 0, same = upper || strcmp(mode, "SAME_LOWER") == 0;
    if (w->output[d] < 0 || w->kernel[d] < 0) {
        w->input[d] = wanted;
        return ASSAY_OK;
    }
    if (w->output[d] == 0 || w->output[d] > (int64_t)1 << 30)
        return assay_error_set(err, ASSAY_INVALID, "an input of size %" PRId64 " in a spatial dimension cannot be", w->output[d]);
    if (strcmp(mode, "VALID") == 0)
        w->pad_begin[d] = w->pad_end[d] = 0;
    int64_t full = (w->output[d] - 1) * w->stride[d] + (w->kernel[d] - 1) * w->dilation[d] + 1 + extra;
    if (same && wanted < 0)
        wanted = w->output[d] * w->stride[d];
    if (wanted >= 0) {
        int64_t total = full - wanted;
        if (total < 0)
            return assay_error_set(err, ASSAY_UNSUPPORTED,
                                   "an output of %" PRId64 ", where input and kernel reach %" PRId64
                                   " only, is not supported: implementations differ on where it begins",
                                   wanted, full);
        w->pad_begin[d] = upper ? total / 2 : total - total / 2;
        w->pad_end[d] = total - w->pad_begin[d];
        w->input[d] = wanted;
        return ASSAY_OK;
    }
    w->input[d] = full - w->pad_begin[d] - w->pad_end[d];
    if (w->input[d] < 0)
        return assay_error_set(err, ASSAY_INVALID, "the padding is larger than the output");
    return ASSAY_OK;
}

/* The last n_dims numbers of attribute `name`, in [0, 2³⁰]; some tools write batch and channels in front. */
static enum assay_status trailing_ints(const struct assay_op_call *call, const char *name, int n_dims, const int64_t **values,
                                       struct assay_error *err)
{
    size_t n;
    *values = assay_node_ints(call->node, name, &n);
    if (!*values)
        return ASSAY_OK;
    if (n != (size_t)n_dims && n != (size_t)n_dims + 2)
        return assay_error_set(err, ASSAY_INVALID, "attribute %s has %zu numbers where %d are needed", name, n, n_dims);
    *values += n - (size_t)n_dims;
    for (int i = 0; i < n_dims; i++)
        if ((*values)[i] < 0 || (*values)[i] > (int64_t)1 << 30)
            return assay_error_set(err, ASSAY_INVALID, "attribute %s has the value %" PRId64, name, (*values)[i]);
    return ASSAY_OK;
}

/* Window and channels of a node whose input has a known rank. */
static enum assay_status measure(const struct assay_op_call *call, struct transposed *t, struct assay_error *err)
{
    const struct assay_type *x = &call->inputs[0], *weights = &call->inputs[1];
    const char *mode = assay_node_string(call->node, "auto_pad", "NOTSET");
    struct assay_window *w = &t->window;
    const int64_t *shape = NULL, *extra = NULL;
    enum assay_status st = assay_window_init(w, call, x, weights, err);
    if (!st)
        st = trailing_ints(call, "output_shape", w->n_dims, &shape, err);
    if (!st)
        st = trailing_ints(call, "output_padding", w->n_dims, &extra, err);
    int first = ASSAY_WINDOW_DIMS - w->n_dims;
    memcpy(w->output, w->input, sizeof w->output);
    for (int i = 0; i < w->n_dims && !st; i++)
        st = size_dimension(w, first + i, shape ? shape[i] : -1, extra ? extra[i] : 0, mode, err);
    if (st)
        return st;
    t->groups = assay_node_int(call->node, "group", 1);
    int64_t n_in = x->dims[1];
    if (weights->rank >= 0 && assay_rule_merge_dim(&n_in, weights->dims[0], "the number of input channels", err))
        return ASSAY_INVALID;
    if (t->groups < 1 || (n_in >= 0 && n_in % t->groups != 0))
        return assay_error_set(err, ASSAY_INVALID, "%" PRId64 " input channels cannot be split into %" PRId64 " groups", n_in,
                               t->groups);
    t->n_in = n_in < 0 ? -1 : n_in / t->groups;
    t->n_out = weights->rank >= 0 ? weights->dims[1] : -1;
    return ASSAY_OK;
}

static enum assay_status infer_conv_transpose(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *x = &call->inputs[0];
    struct assay_type *y = &call->outputs[0];
    struct transposed t;
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT, err);
    for (int i = 1; i < call->n_inputs && !st; i++)
        st = assay_rule_same_dtype(call, 0, i, err);
    if (!st)
        st = assay_rule_rank(call, 0, 3, 2 + ASSAY_WINDOW_DIMS, err);
    y->dtype = x->dtype;
    if (st || x->rank < 0)
        return st;
    st = measure(call, &t, err);
    if (st)
        return st;
    y->rank = 2;
    y->dims[0] = x->dims[0];
    y->dims[1] = -1;
    if (t.n_out >= 0 && __builtin_mul_overflow(t.n_out, t.groups, &y->dims[1]))
        return assay_error_set(err, ASSAY_INVALID, "the number of output channels overflows");
    for (int d = ASSAY_WINDOW_DIMS - t.window.n_dims; d < ASSAY_WINDOW_DIMS; d++)
        y->dims[y->rank++] = t.window.input[d];
    if (!assay_rule_has_input(call, 2) || call->inputs[2].rank < 0)
        return ASSAY_OK;
    int64_t n_out = y->dims[1];
    st = assay_rule_rank(call, 2, 1, 1, err);
    return st ? st : assay_rule_merge_dim(&n_out, call->inputs[2].dims[0], "the number of output channels", err);
}

/* Adds one channel's products [kernel, n], of input points first … first + n, to its sums [output]. */
static void scatter(const struct assay_window *w, const double *products, int64_t first, int64_t n, double *sums)
{
    const int64_t *in = w->output, *out = w->input, *kernel = w->kernel;
    for (int64_t tap = 0; tap < assay_window_volume(kernel); tap++, products += n) {
        int64_t from, until, stride = w->stride[2], kw = tap % kernel[2];
        assay_window_reach(w, 2, kw, &from, &until);
        int64_t offset = kw * w->dilation[2] - w->pad_begin[2];
        for (int64_t i = 0, run; i < n; i += run) {
            int64_t at = (first + i) % in[2], row = (first + i) / in[2];
            int64_t d = assay_window_position(w, 0, row / in[1], tap / kernel[2] / kernel[1]);
            int64_t h = assay_window_position(w, 1, row % in[1], tap / kernel[2] % kernel[1]);
            run = min_i64(in[2] - at, n - i);
            if (d < 0 || d >= out[0] || h < 0 || h >= out[1])
                continue;
            double *to = sums + (d * out[1] + h) * out[2];
            const double *product = products + i - at;
            for (int64_t k = max_i64(from, at); k < min_i64(until, at + run); k++)
                to[k * stride + offset] += product[k];
        }
    }
}

/* Rounds one channel's sums, with its bias, into the output. */
static void finish(const double *sums, int64_t n, const struct assay_tensor *bias, int64_t channel, struct assay_tensor *y,
                   int64_t at)
{
    if (y->type.dtype == ASSAY_F32) {
        double add = bias ? (double)((const float *)bias->data)[channel] : 0;
        float *to = (float *)y->data + at;
        for (int64_t i = 0; i < n; i++)
            to[i] = (float)(sums[i] + add);
    } else {
        double add = bias ? ((const double *)bias->data)[channel] : 0;
        double *to = (double *)y->data + at;
        for (int64_t i = 0; i < n; i++)
            to[i] = sums[i] + add;
    }
}

/* Output channels m … m + n_m of group `group` (counted over all images) into sums [n_m, output]. */
static enum assay_status sum_channels(const struct assay_op_call *call, const struct transposed *t, int64_t group, int64_t m,
                                      int64_t n_m, int64_t tile, double *products, double *sums, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0], *weights = call->data[1];
    size_t size = assay_dtype_size(x->type.dtype);
    int64_t volume = assay_window_volume(t->window.kernel), n_points = assay_window_volume(t->window.output);
    int64_t n_outputs = assay_window_volume(t->window.input), columns = t->n_out * volume;
    struct assay_gemm g = {.m = n_m * volume, .k = t->n_in, .a_type = x->type.dtype, .b_type = x->type.dtype, .alpha = 1};
    int64_t w_at = group % t->groups * t->n_in * columns + m * volume;
    g.a = (struct assay_matrix){(const char *)weights->data + (size_t)w_at * size, 1, columns};
    g.c = products;
    g.c_is_f64 = true;
    memset(sums, 0, (size_t)(n_m * n_outputs) * sizeof *sums);
    for (int64_t first = 0; first < n_points; first += tile) {
        g.n = min_i64(tile, n_points - first);
        g.c_row_stride = g.n;
        g.b = (struct assay_matrix){(const char *)x->data + (size_t)(group * t->n_in * n_points + first) * size, n_points, 1};
        enum assay_status st = assay_gemm_run(&g, err);
        if (st)
            return st;
        for (int64_t i = 0; i < n_m; i++)
            scatter(&t->window, products + i * volume * g.n, first, g.n, sums + i * n_outputs);
    }
    return ASSAY_OK;
}

static enum assay_status run_conv_transpose(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_tensor *y = &call->results[0];
    struct transposed t;
    if (assay_tensor_count(y) == 0)
        return ASSAY_OK;
    enum assay_status st = measure(call, &t, err);
    if (st)
        return st;
    int64_t volume = t.n_in > 0 ? assay_window_volume(t.window.kernel) : 0;
    int64_t n_points = assay_window_volume(t.window.output), n_outputs = assay_window_volume(t.window.input);
    int64_t chunk = min_i64(t.n_out, max_i64(1, SUM_ELEMENTS / n_outputs));
    int64_t tile = volume > 0 ? max_i64(TILE_LEAST, TILE_ELEMENTS / (chunk * volume)) : 0;
    tile = min_i64(tile, n_points);
    double *sums = calloc((size_t)(chunk * n_outputs), sizeof *sums);
    double *products = malloc((size_t)(chunk * volume * tile) * sizeof *products + 1);
    if (!sums || !products) {
        st = assay_error_set(err, ASSAY_NO_MEMORY, "no memory for the sums of a convolution (%lld bytes)",
                             (long long)(chunk * n_outputs + chunk * volume * tile) * (long long)sizeof *sums);
        goto done;
    }
    for (int64_t group = 0; group < y->type.dims[0] * t.groups; group++) {
        for (int64_t m = 0; m < t.n_out; m += chunk) {
            int64_t n_m = min_i64(chunk, t.n_out - m);
            if (volume > 0)
                st = sum_channels(call, &t, group, m, n_m, tile, products, sums, err);
            if (st)
                goto done;
            for (int64_t i = 0; i < n_m; i++)
                finish(sums + i * n_outputs, n_outputs, assay_rule_data(call, 2), group % t.groups * t.n_out + m + i, y,
                       (group * t.n_out + m + i) * n_outputs);
        }
    }
done:
    free(sums);
    free(products);
    return st;
}

/* A multiply-add for each input point and weight of its channel, and the bias. */
static void cost_conv_transpose(const struct assay_op_call *call, struct assay_cost *cost)
{
    const struct assay_type *weights = &call->inputs[1];
    double per_point = 2;
    for (int d = 1; d < weights->rank; d++)
        per_point *= (double)weights->dims[d];
    cost->flops = per_point * (double)assay_type_count(&call->inputs[0]);
    if (assay_rule_has_input(call, 2))
        cost->flops += (double)assay_type_count(&call->outputs[0]);
}

const struct assay_op assay_ops_conv_transpose[] = {
    {"ConvTranspose", "", 2, 3, ASSAY_OP_VIA_F32, infer_conv_transpose, run_conv_transpose, cost_conv_transpose},
    {0},
};
