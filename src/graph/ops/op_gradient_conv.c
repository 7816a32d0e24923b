/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gradients of Conv, with Conv's attributes:
 *
 *     ConvGradientInput(dy, w) {input_shape} -> dx, of that whole shape
 *     ConvGradientWeight(x, dy) {kernel_shape} -> dw [m, channels / group, kernel …]; dy may have fewer points than the window
 *     fits into x: those behind them then count as zero
 *
 * The bias's gradient is a plain sum. Kernels are in convolve.h; the first expands to ConvTranspose, the second to a Conv in
 * which images and channels have changed places.
 */
#include "graph/ops/convolve.h"
#include "graph/ops/rules.h"

#include <inttypes.h>

enum { TYPES = ASSAY_SET_FLOAT };

/* Attribute `name` as dimensions, 0 … 2³². */
static enum assay_status read_shape(const struct assay_op_call *call, const char *name, size_t low, size_t high,
                                    const int64_t **dims, size_t *n, struct assay_error *err)
{
    *dims = assay_node_ints(call->node, name, n);
    if (!*dims || *n < low || *n > high)
        return assay_error_set(err, ASSAY_INVALID, "attribute %s must have %zu to %zu dimensions", name, low, high);
    for (size_t d = 0; d < *n; d++)
        if ((*dims)[d] < 0 || (*dims)[d] > (int64_t)1 << 32)
            return assay_error_set(err, ASSAY_INVALID, "dimension %zu of %s is %" PRId64, d, name, (*dims)[d]);
    return ASSAY_OK;
}

/* The convolution of x and w to dy, as far as it is known, and that the three fit: all but the pointers. */
static enum assay_status make_convolution(const struct assay_op_call *call, const struct assay_type *x,
                                          const struct assay_type *w, const struct assay_type *dy, bool may_be_fewer,
                                          struct assay_convolution *c, struct assay_error *err)
{
    *c = (struct assay_convolution){.groups = assay_node_int(call->node, "group", 1), .x_type = x->dtype, .w_type = x->dtype};
    enum assay_status st = assay_window_init(&c->window, call, x, w, err);
    if (!st)
        st = assay_window_slide(&c->window, call, false, err);
    if (st)
        return st;
    if (dy->rank != x->rank || w->rank != x->rank)
        return assay_error_set(err, ASSAY_INVALID, "input, weights and gradient have the ranks %d, %d and %d", x->rank, w->rank,
                               dy->rank);
    int64_t batch = x->dims[0], n_out = w->dims[0];
    st = assay_rule_merge_dim(&batch, dy->dims[0], "the batch", err);
    if (!st)
        st = assay_rule_merge_dim(&n_out, dy->dims[1], "the number of output channels", err);
    for (int i = 0; i < c->window.n_dims && !st; i++) {
        int64_t *points = &c->window.output[ASSAY_WINDOW_DIMS - c->window.n_dims + i], given = dy->dims[2 + i];
        if (*points >= 0 && given >= 0 && (given > *points || (given < *points && !may_be_fewer)))
            st = assay_error_set(err, ASSAY_INVALID, "the gradient has %" PRId64 " points where the window has %" PRId64, given,
                                 *points);
        if (given >= 0)
            *points = given;
    }
    if (st)
        return st;
    if (c->groups < 1 || (n_out >= 0 && n_out % c->groups != 0) || (x->dims[1] >= 0 && x->dims[1] % c->groups != 0) ||
        (x->dims[1] >= 0 && w->dims[1] >= 0 && x->dims[1] / c->groups != w->dims[1]))
        return assay_error_set(err, ASSAY_INVALID,
                               "%" PRId64 " channels and weights of [%" PRId64 ", %" PRId64 "] do not go together in %" PRId64
                               " groups",
                               x->dims[1], n_out, w->dims[1], c->groups);
    c->batch = batch;
    c->n_in = x->dims[1] < 0 ? -1 : x->dims[1] / c->groups;
    c->n_out = n_out < 0 ? -1 : n_out / c->groups;
    return ASSAY_OK;
}

/* ---- ConvGradientInput */

static enum assay_status infer_input(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_convolution c;
    const int64_t *dims;
    size_t n;
    enum assay_status st = assay_rule_dtype(call, 0, TYPES, err);
    if (!st)
        st = assay_rule_same_dtype(call, 0, 1, err);
    if (!st)
        st = read_shape(call, "input_shape", 3, 2 + ASSAY_WINDOW_DIMS, &dims, &n, err);
    if (st)
        return st;
    call->outputs[0] = assay_type_make(call->inputs[0].dtype, (int)n, dims);
    if (call->inputs[0].rank < 0 || call->inputs[1].rank < 0)
        return ASSAY_OK;
    return make_convolution(call, &call->outputs[0], &call->inputs[1], &call->inputs[0], false, &c, err);
}

static enum assay_status run_input(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_convolution c;
    struct assay_tensor *dx = &call->results[0];
    if (assay_tensor_count(dx) == 0)
        return ASSAY_OK;
    enum assay_status st = make_convolution(call, &dx->type, &call->inputs[1], &call->inputs[0], false, &c, err);
    if (st)
        return st;
    c.y = call->data[0]->data;
    c.w = call->data[1]->data;
    return assay_convolve_transposed(&c, dx->data, err);
}

/* A multiply-add for each point of dy and weight of its channel. */
static void cost_of(const struct assay_type *dy, const struct assay_type *w, struct assay_cost *cost)
{
    cost->flops = 2 * (double)assay_type_count(dy);
    for (int d = 1; d < w->rank; d++)
        cost->flops *= (double)w->dims[d];
}

static void cost_input(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost_of(&call->inputs[0], &call->inputs[1], cost);
}

/* The convolution of a node that is to be expanded; false after a failure. */
static bool convolution_of(struct assay_emit *e, const struct assay_node *node, const struct assay_type *x,
                           const struct assay_type *w, const struct assay_type *dy, struct assay_convolution *c)
{
    struct assay_op_call call = e_call(e, node);
    struct assay_error err;
    if (e->status)
        return false;
    if (!assay_type_is_known(x) || !assay_type_is_known(w) || !assay_type_is_known(dy)) {
        e_fail(e, ASSAY_UNSUPPORTED, "the shapes of its inputs are not known");
        return false;
    }
    return e_take(e, make_convolution(&call, x, w, dy, true, c, &err), &err);
}

static void expand_input(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    struct assay_convolution c;
    struct assay_type dy = *e_type(e, node->inputs[0]), w_type = *e_type(e, node->inputs[1]);
    struct assay_type x = *e_type(e, node->outputs[0]);
    if (!convolution_of(e, node, &x, &w_type, &dy, &c))
        return;
    const struct assay_window *w = &c.window;
    int first = ASSAY_WINDOW_DIMS - w->n_dims;
    int64_t rest[ASSAY_WINDOW_DIMS]; /* inputs that the stride leaves over at the end */
    for (int d = first; d < ASSAY_WINDOW_DIMS; d++)
        rest[d] = w->input[d] + w->pad_begin[d] + w->pad_end[d] -
                  ((w->output[d] - 1) * w->stride[d] + (w->kernel[d] - 1) * w->dilation[d] + 1);
    outputs[0] = e_op(e, "ConvTranspose", E_VALUES(node->inputs[0], node->inputs[1]));
    assay_window_set(e, w);
    e_set_int(e, "group", c.groups);
    e_set_ints(e, "output_padding", (size_t)w->n_dims, rest + first);
}

/* ---- ConvGradientWeight */

/* The weights' type, from x, dy and the attributes. */
static enum assay_status weight_type(const struct assay_op_call *call, struct assay_type *w, struct assay_error *err)
{
    const struct assay_type *x = &call->inputs[0], *dy = &call->inputs[1];
    const int64_t *kernel;
    size_t n;
    int64_t groups = assay_node_int(call->node, "group", 1);
    enum assay_status st = read_shape(call, "kernel_shape", 1, ASSAY_WINDOW_DIMS, &kernel, &n, err);
    if (st)
        return st;
    if (groups < 1)
        return assay_error_set(err, ASSAY_INVALID, "group = %" PRId64 " cannot be", groups);
    *w = (struct assay_type){.dtype = x->dtype, .rank = 2 + (int)n, .dims = {-1, -1}};
    w->dims[0] = dy->rank > 1 ? dy->dims[1] : -1;
    w->dims[1] = x->rank > 1 && x->dims[1] >= 0 ? x->dims[1] / groups : -1;
    memcpy(w->dims + 2, kernel, n * sizeof *kernel);
    return ASSAY_OK;
}

static enum assay_status infer_weight(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_convolution c;
    enum assay_status st = assay_rule_dtype(call, 0, TYPES, err);
    if (!st)
        st = assay_rule_same_dtype(call, 0, 1, err);
    if (!st)
        st = weight_type(call, &call->outputs[0], err);
    if (st || call->inputs[0].rank < 0 || call->inputs[1].rank < 0)
        return st;
    return make_convolution(call, &call->inputs[0], &call->outputs[0], &call->inputs[1], true, &c, err);
}

static enum assay_status run_weight(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_convolution c;
    struct assay_tensor *dw = &call->results[0];
    if (assay_tensor_count(dw) == 0)
        return ASSAY_OK;
    enum assay_status st = make_convolution(call, &call->inputs[0], &dw->type, &call->inputs[1], true, &c, err);
    if (st)
        return st;
    c.x = call->data[0]->data;
    c.y = call->data[1]->data;
    return assay_convolve_weights(&c, dw->data, err);
}

static void cost_weight(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost_of(&call->inputs[1], &call->outputs[0], cost);
}

/* x [batch, group, channel, …] as [channel, group · batch, …] and dy [batch, m, …] as [m, batch, …]: a Conv of these, whose
 * strides are our dilations and the other way round, gives dw [channel, m, kernel …]. */
static void expand_weight(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    struct assay_convolution c;
    struct assay_type x_type = *e_type(e, node->inputs[0]), dy_type = *e_type(e, node->inputs[1]);
    struct assay_type w_type = *e_type(e, node->outputs[0]);
    if (!convolution_of(e, node, &x_type, &w_type, &dy_type, &c))
        return;
    const struct assay_window *w = &c.window;
    int first = ASSAY_WINDOW_DIMS - w->n_dims, rank = 2 + w->n_dims;
    size_t n = (size_t)w->n_dims;
    int64_t split[ASSAY_MAX_RANK] = {c.batch, c.groups, c.n_in}, merged[ASSAY_MAX_RANK] = {c.n_in, c.groups * c.batch};
    int64_t order[ASSAY_MAX_RANK] = {2, 1, 0}, exchange[ASSAY_MAX_RANK] = {1, 0};
    for (int d = 0; d < w->n_dims; d++) {
        split[3 + d] = merged[2 + d] = w->input[first + d];
        order[3 + d] = 3 + d;
        exchange[2 + d] = 2 + d;
    }
    int x = e_reshape(e, node->inputs[0], (size_t)rank + 1, split);
    x = e_reshape(e, e_transpose(e, x, (size_t)rank + 1, order), (size_t)rank, merged);
    int dy = e_transpose(e, node->inputs[1], (size_t)rank, exchange);
    int dw = e_op(e, "Conv", E_VALUES(x, dy));
    assay_window_set(e, w);
    e_set_int(e, "group", c.groups);
    e_set_ints(e, "kernel_shape", n, w->output + first);
    e_set_ints(e, "strides", n, w->dilation + first);
    e_set_ints(e, "dilations", n, w->stride + first);
    for (int d = 0; d < w->n_dims; d++)
        if (!e->status && e_type(e, dw)->dims[2 + d] != w->kernel[first + d])
            dw = e_slice(e, dw, 2 + d, 0, w->kernel[first + d]);
    outputs[0] = e_transpose(e, dw, (size_t)rank, exchange);
}

const struct assay_op assay_ops_gradient_conv[] = {
    {"ConvGradientInput", "assay", 2, 2, ASSAY_OP_VIA_F32, infer_input, run_input, cost_input, NULL, expand_input},
    {"ConvGradientWeight", "assay", 2, 2, ASSAY_OP_VIA_F32, infer_weight, run_weight, cost_weight, NULL, expand_weight},
    {0},
};
