/* SPDX-License-Identifier: Apache-2.0 */
/* ConvTranspose, of one to three dimensions: the gradient of Conv with respect to its input, used as a layer. The work is
 * convolve.h's; here are the rules. */
#include "graph/ops/convolve.h"
#include "graph/ops/rules.h"

#include <inttypes.h>

/* Below, a window is that of the convolution whose gradient this is: its `input` is our output, and the other way round. */
struct transposed {
    struct assay_window window;
    int64_t groups, n_in, n_out; /* channels of one group */
};

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

static enum assay_status run_conv_transpose(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *bias = assay_rule_data(call, 2);
    struct assay_tensor *y = &call->results[0];
    struct transposed t;
    if (assay_tensor_count(y) == 0)
        return ASSAY_OK;
    enum assay_status st = measure(call, &t, err);
    if (st)
        return st;
    struct assay_convolution c = {.window = t.window, .batch = y->type.dims[0], .groups = t.groups};
    c.n_in = t.n_out;
    c.n_out = t.n_in;
    c.x_type = c.w_type = y->type.dtype;
    c.y = call->data[0]->data;
    c.w = call->data[1]->data;
    c.bias = bias ? bias->data : NULL;
    return assay_convolve_transposed(&c, y->data, err);
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

/* The result of a Conv over the output's gradient is as long as x, or longer where output_padding reaches a whole stride. */
static void gradient_conv_transpose(struct assay_gradient *g)
{
    struct assay_op_call call = e_call(g->e, g->node);
    struct transposed t;
    struct assay_error err;
    struct assay_type x = *g_type(g, 0);
    int dy = g->out[0];
    if (!e_take(g->e, measure(&call, &t, &err), &err))
        return;
    if (g_wants(g, 0)) {
        int dx = e_op(g->e, "Conv", E_VALUES(dy, g_input(g, 1)));
        assay_window_set(g->e, &t.window);
        e_set_int(g->e, "group", t.groups);
        for (int d = 2; d < x.rank; d++)
            if (!g->e->status && e_type(g->e, dx)->dims[d] != x.dims[d])
                dx = e_slice(g->e, dx, d, 0, x.dims[d]);
        g->in[0] = dx;
    }
    if (g_wants(g, 1)) {
        g->in[1] = e_own(g->e, "ConvGradientWeight", E_VALUES(dy, g_input(g, 0)));
        assay_window_set(g->e, &t.window);
        e_set_int(g->e, "group", t.groups);
    }
    if (g_wants(g, 2))
        g->in[2] = assay_sum_channels(g->e, dy);
}

const struct assay_op assay_ops_conv_transpose[] = {
    {"ConvTranspose", "", 2, 3, ASSAY_OP_VIA_F32, infer_conv_transpose, run_conv_transpose, cost_conv_transpose,
     gradient_conv_transpose},
    {0},
};
