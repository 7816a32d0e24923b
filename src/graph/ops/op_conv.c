/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions of one to three dimensions: Conv, and the quantized ConvInteger and QLinearConv. The work is convolve.h's; here
 * are the rules. ConvTranspose is in op_conv_transpose.c. */
#include "graph/ops/convolve.h"
#include "graph/ops/requantize.h"
#include "graph/ops/rules.h"

#include <inttypes.h>

enum { CONV_TYPES = ASSAY_SET_FLOAT16 | ASSAY_DTYPE_BIT(ASSAY_F32) | ASSAY_DTYPE_BIT(ASSAY_F64) };

/* That x [batch, channel …], w [m, channel / groups …] and `groups` go together, where they are known. */
static enum assay_status check_channels(const struct assay_type *x, const struct assay_type *w, int64_t groups,
                                        struct assay_error *err)
{
    int64_t n_in = x->dims[1], n_out = w->dims[0], per_group = w->dims[1];
    if (groups < 1 || (n_out >= 0 && n_out % groups != 0))
        return assay_error_set(err, ASSAY_INVALID, "%" PRId64 " output channels cannot be split into %" PRId64 " groups", n_out,
                               groups);
    if (n_in >= 0 && per_group >= 0 && (n_in % groups != 0 || n_in / groups != per_group))
        return assay_error_set(err, ASSAY_INVALID,
                               "the input has %" PRId64 " channels, but the weights want %" PRId64 " in each of %" PRId64
                               " groups",
                               n_in, per_group, groups);
    return ASSAY_OK;
}

/* The type of the output but its dtype, from inputs x and w; the window too if `window` is given. */
static enum assay_status conv_shape(struct assay_op_call *call, int x_index, int w_index, struct assay_window *window,
                                    struct assay_error *err)
{
    const struct assay_type *x = &call->inputs[x_index], *w = &call->inputs[w_index];
    struct assay_type *y = &call->outputs[0];
    struct assay_window local;
    enum assay_status st = assay_rule_rank(call, x_index, 3, 2 + ASSAY_WINDOW_DIMS, err);
    if (st || x->rank < 0)
        return st;
    st = assay_window_init(&local, call, x, w, err);
    if (!st)
        st = assay_window_slide(&local, call, false, err);
    if (!st && w->rank >= 0)
        st = check_channels(x, w, assay_node_int(call->node, "group", 1), err);
    if (st)
        return st;
    y->rank = 2;
    y->dims[0] = x->dims[0];
    y->dims[1] = w->rank >= 0 ? w->dims[0] : -1;
    assay_window_append(&local, y);
    if (window)
        *window = local;
    return ASSAY_OK;
}

/* `count` numbers, one an output channel, where both are known. */
static enum assay_status check_bias(const struct assay_op_call *call, int i, struct assay_error *err)
{
    if (!assay_rule_has_input(call, i))
        return ASSAY_OK;
    const struct assay_type *bias = &call->inputs[i], *y = &call->outputs[0];
    enum assay_status st = assay_rule_rank(call, i, 1, 1, err);
    int64_t n = y->rank > 1 ? y->dims[1] : -1;
    if (st || bias->rank < 0)
        return st;
    return assay_rule_merge_dim(&n, bias->dims[0], "the number of output channels", err);
}

/* Everything but the bias, the zero points and y. */
static enum assay_status make_convolution(struct assay_op_call *call, int x, int w, struct assay_convolution *c,
                                          struct assay_error *err)
{
    *c = (struct assay_convolution){0};
    enum assay_status st = conv_shape(call, x, w, &c->window, err);
    if (st)
        return st;
    c->groups = assay_node_int(call->node, "group", 1);
    c->batch = call->inputs[x].dims[0];
    c->n_in = call->inputs[x].dims[1] / c->groups;
    c->n_out = call->inputs[w].dims[0] / c->groups;
    c->x_type = call->inputs[x].dtype;
    c->w_type = call->inputs[w].dtype;
    c->x = call->data[x]->data;
    c->w = call->data[w]->data;
    return ASSAY_OK;
}

/* A multiply-add for each tap, and the bias. */
static void cost_of(const struct assay_op_call *call, int w, int bias, struct assay_cost *cost)
{
    const struct assay_type *weights = &call->inputs[w];
    double count = (double)assay_type_count(&call->outputs[0]), taps = 1;
    for (int d = 1; d < weights->rank; d++)
        taps *= (double)weights->dims[d];
    cost->flops = count * (2 * taps + (assay_rule_has_input(call, bias) ? 1 : 0));
}

/* ---- Conv */

static enum assay_status infer_conv(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = assay_rule_dtype(call, 0, CONV_TYPES, err);
    for (int i = 1; i < call->n_inputs && !st; i++)
        st = assay_rule_same_dtype(call, 0, i, err);
    call->outputs[0].dtype = call->inputs[0].dtype;
    if (!st)
        st = conv_shape(call, 0, 1, NULL, err);
    return st ? st : check_bias(call, 2, err);
}

static enum assay_status run_conv(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_convolution c;
    const struct assay_tensor *bias = assay_rule_data(call, 2);
    if (assay_tensor_count(&call->results[0]) == 0)
        return ASSAY_OK;
    enum assay_status st = make_convolution(call, 0, 1, &c, err);
    if (st)
        return st;
    c.bias = bias ? bias->data : NULL;
    c.y = call->results[0].data;
    return assay_convolve(&c, err);
}

static void cost_conv(const struct assay_op_call *call, struct assay_cost *cost) { cost_of(call, 1, 2, cost); }

/* Gradients take Conv's attributes with the padding written out, whatever auto_pad says. */
static void gradient_conv(struct assay_gradient *g)
{
    struct assay_op_call call = e_call(g->e, g->node);
    struct assay_window window;
    struct assay_error err;
    int dy = g->out[0];
    if (!e_take(g->e, conv_shape(&call, 0, 1, &window, &err), &err))
        return;
    if (g_wants(g, 0)) {
        struct assay_type x = *g_type(g, 0);
        g->in[0] = e_own(g->e, "ConvGradientInput", E_VALUES(dy, g_input(g, 1)));
        assay_window_set(g->e, &window);
        e_set_int(g->e, "group", assay_node_int(g->node, "group", 1));
        e_set_ints(g->e, "input_shape", (size_t)x.rank, x.dims);
    }
    if (g_wants(g, 1)) {
        g->in[1] = e_own(g->e, "ConvGradientWeight", E_VALUES(g_input(g, 0), dy));
        assay_window_set(g->e, &window);
        e_set_int(g->e, "group", assay_node_int(g->node, "group", 1));
    }
    if (g_wants(g, 2))
        g->in[2] = assay_sum_channels(g->e, dy);
}

/* ---- ConvInteger */

static enum assay_status infer_conv_integer(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < 2 && !st; i++) {
        st = assay_rule_dtype(call, i, ASSAY_SET_8BIT, err);
        if (!st && assay_rule_has_input(call, 2 + i))
            st = assay_rule_same_dtype(call, i, 2 + i, err);
    }
    call->outputs[0].dtype = ASSAY_I32;
    return st ? st : conv_shape(call, 0, 1, NULL, err);
}

/* The sums of the integers, without the bias. */
static enum assay_status convolve_quantized(struct assay_op_call *call, int x, int w, const struct assay_quant *x_quant,
                                            const struct assay_quant *w_quant, int32_t *sums, struct assay_error *err)
{
    struct assay_convolution c;
    enum assay_status st = make_convolution(call, x, w, &c, err);
    if (st)
        return st;
    c.x_zero = assay_quant_zeros(x_quant);
    c.w_zero = assay_quant_zeros(w_quant);
    c.w_zero_stride = w_quant->zero_stride;
    c.y = sums;
    return assay_convolve(&c, err);
}

static enum assay_status run_conv_integer(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_quant x = {0}, w = {0};
    if (assay_tensor_count(&call->results[0]) == 0)
        return ASSAY_OK;
    enum assay_status st = assay_quant_init(&x, call, -1, 2, 1, "x", err);
    if (!st)
        st = assay_quant_init(&w, call, -1, 3, call->inputs[1].dims[0], "w", err);
    if (!st)
        st = convolve_quantized(call, 0, 1, &x, &w, call->results[0].data, err);
    assay_quant_release(&x);
    assay_quant_release(&w);
    return st;
}

static void cost_conv_integer(const struct assay_op_call *call, struct assay_cost *cost) { cost_of(call, 1, 8, cost); }

/* ---- QLinearConv */

enum { X, X_SCALE, X_ZERO, W, W_SCALE, W_ZERO, Y_SCALE, Y_ZERO, BIAS };

static enum assay_status infer_qlinear_conv(struct assay_op_call *call, struct assay_error *err)
{
    static const int eight_bit[] = {X, X_ZERO, W, W_ZERO, Y_ZERO}, scales[] = {X_SCALE, W_SCALE, Y_SCALE};
    enum assay_status st = assay_rule_dtypes(call, ASSAY_COUNT(eight_bit), eight_bit, ASSAY_SET_8BIT, err);
    if (!st)
        st = assay_rule_dtypes(call, ASSAY_COUNT(scales), scales, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_dtype(call, BIAS, ASSAY_DTYPE_BIT(ASSAY_I32), err);
    if (!st)
        st = assay_rule_same_dtype(call, X, X_ZERO, err);
    if (!st)
        st = assay_rule_same_dtype(call, W, W_ZERO, err);
    call->outputs[0].dtype = call->inputs[Y_ZERO].dtype;
    if (!st)
        st = conv_shape(call, X, W, NULL, err);
    return st ? st : check_bias(call, BIAS, err);
}

/* The sums, and the biases (whose scale is that of the sums), as the output's numbers. */
static void requantize_channels(const struct assay_op_call *call, int32_t *sums, const struct assay_quant *x,
                                const struct assay_quant *w, const struct assay_quant *out)
{
    const struct assay_tensor *bias = assay_rule_data(call, BIAS);
    struct assay_tensor *y = &call->results[0];
    int64_t n_channels = y->type.dims[1], n = assay_dims_product(&y->type, 2, y->type.rank);
    const float one = 1;
    for (int64_t i = 0; i < y->type.dims[0] * n_channels; i++, sums += n) {
        int64_t channel = i % n_channels;
        uint32_t add = bias ? (uint32_t)((const int32_t *)bias->data)[channel] : 0;
        for (int64_t j = 0; j < n; j++)
            sums[j] = (int32_t)((uint32_t)sums[j] + add);
        double factor = assay_quant_scale(x, 0) * assay_quant_scale(w, channel) / assay_quant_scale(out, 0);
        assay_requantize(y->data, y->type.dtype, i * n, sums, n, factor, &one, 0, assay_quant_zeros(out)[0]);
    }
}

static enum assay_status run_qlinear_conv(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_quant x = {0}, w = {0}, out = {0};
    struct assay_tensor sums = {0};
    struct assay_type sum_type = call->outputs[0];
    sum_type.dtype = ASSAY_I32;
    if (assay_tensor_count(&call->results[0]) == 0)
        return ASSAY_OK;
    enum assay_status st = assay_quant_init(&x, call, X_SCALE, X_ZERO, 1, "x", err);
    if (!st)
        st = assay_quant_init(&w, call, W_SCALE, W_ZERO, call->inputs[W].dims[0], "w", err);
    if (!st)
        st = assay_quant_init(&out, call, Y_SCALE, Y_ZERO, 1, "y", err);
    if (!st)
        st = assay_tensor_alloc(&sums, &sum_type, err);
    if (!st)
        st = convolve_quantized(call, X, W, &x, &w, sums.data, err);
    if (!st)
        requantize_channels(call, sums.data, &x, &w, &out);
    assay_quant_release(&x);
    assay_quant_release(&w);
    assay_quant_release(&out);
    assay_tensor_release(&sums);
    return st;
}

static void cost_qlinear_conv(const struct assay_op_call *call, struct assay_cost *cost) { cost_of(call, W, BIAS, cost); }

const struct assay_op assay_ops_conv[] = {
    {"Conv", "", 2, 3, ASSAY_OP_VIA_F32, infer_conv, run_conv, cost_conv, gradient_conv},
    {"ConvInteger", "", 2, 4, 0, infer_conv_integer, run_conv_integer, cost_conv_integer},
    {"QLinearConv", "", 8, 9, ASSAY_OP_VIA_F32, infer_qlinear_conv, run_qlinear_conv, cost_qlinear_conv},
    {0},
};
