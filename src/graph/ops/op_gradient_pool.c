/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gradients of pools:
 *
 *     MaxPoolGradient(dy, indices) {input_shape} -> dx     indices: MaxPool's second output, row-major; -1 = nowhere
 *     AveragePoolGradient(dy) {AveragePool's attributes, input_shape} -> dx
 *
 * Sums are in double.
 */
#include "graph/ops/rules.h"
#include "graph/ops/window.h"

#include <inttypes.h>
#include <stdlib.h>

/* The output's type, from dy's dtype and the attribute. */
static enum assay_status read_shape(struct assay_op_call *call, struct assay_error *err)
{
    size_t n;
    const int64_t *dims = assay_node_ints(call->node, "input_shape", &n);
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT, err);
    if (!st && (!dims || n < 3 || n > ASSAY_MAX_RANK))
        st = assay_error_set(err, ASSAY_INVALID, "input_shape must have 3 to %d dimensions", ASSAY_MAX_RANK);
    for (size_t d = 0; !st && d < n; d++)
        if (dims[d] < 0 || dims[d] > (int64_t)1 << 32)
            st = assay_error_set(err, ASSAY_INVALID, "dimension %zu of input_shape is %" PRId64, d, dims[d]);
    if (!st)
        call->outputs[0] = assay_type_make(call->inputs[0].dtype, (int)n, dims);
    return st;
}

static enum assay_status make_sums(double **sums, int64_t n, struct assay_error *err)
{
    *sums = calloc((size_t)n + 1, sizeof **sums);
    if (!*sums)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for the sums of %" PRId64 " elements", n);
    return ASSAY_OK;
}

static void store_sums(struct assay_tensor *dx, int64_t at, const double *sums, int64_t n)
{
    if (dx->type.dtype == ASSAY_F64)
        memcpy((double *)dx->data + at, sums, (size_t)n * sizeof *sums);
    else
        for (int64_t i = 0; i < n; i++)
            ((float *)dx->data)[at + i] = (float)sums[i];
}

/* ---- MaxPoolGradient */

static enum assay_status infer_max(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *dy = &call->inputs[0], *indices = &call->inputs[1];
    enum assay_status st = read_shape(call, err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_DTYPE_BIT(ASSAY_I64), err);
    if (!st && assay_type_is_known(dy) && assay_type_is_known(indices) && assay_type_count(dy) != assay_type_count(indices))
        st = assay_error_set(err, ASSAY_INVALID, "dy and indices have %" PRId64 " and %" PRId64 " elements", assay_type_count(dy),
                             assay_type_count(indices));
    return st;
}

static enum assay_status run_max(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_tensor *dx = &call->results[0];
    const struct assay_tensor *dy = call->data[0];
    const int64_t *indices = call->data[1]->data;
    int64_t count = assay_tensor_count(dx);
    double *sums;
    enum assay_status st = make_sums(&sums, count, err);
    for (int64_t i = 0; i < assay_tensor_count(dy) && !st; i++) {
        if (indices[i] < -1 || indices[i] >= count)
            st = assay_error_set(err, ASSAY_INVALID, "index %" PRId64 " lies outside of an input of %" PRId64 " elements",
                                 indices[i], count);
        else if (indices[i] >= 0)
            sums[indices[i]] +=
                dy->type.dtype == ASSAY_F64 ? ((const double *)dy->data)[i] : (double)((const float *)dy->data)[i];
    }
    if (!st)
        store_sums(dx, 0, sums, count);
    free(sums);
    return st;
}

static void expand_max(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    size_t n;
    int dy = node->inputs[0];
    const int64_t *dims = assay_node_ints(node, "input_shape", &n);
    struct assay_type x = *e_type(e, node->outputs[0]), y = *e_type(e, dy);
    if (e->status)
        return;
    if (!assay_type_is_known(&x) || !assay_type_is_known(&y)) {
        e_fail(e, ASSAY_UNSUPPORTED, "the shapes of its inputs are not known");
        return;
    }
    int64_t n_x = assay_type_count(&x), n_y = assay_type_count(&y);
    int zeros = e_expand(e, e_number(e, 0, dy), e_ints(e, E_INTS(n_x)));
    int dx =
        e_op(e, "ScatterElements", E_VALUES(zeros, e_reshape(e, node->inputs[1], E_INTS(n_y)), e_reshape(e, dy, E_INTS(n_y))));
    e_set_int(e, "axis", 0);
    e_set_text(e, "reduction", "add");
    outputs[0] = e_reshape(e, dx, n, dims);
}

/* ---- AveragePoolGradient */

/* The window over an input of input_shape, whose outputs are as many as dy's where these are known. */
static enum assay_status make_window(struct assay_op_call *call, const struct assay_type *x, struct assay_window *w,
                                     struct assay_error *err)
{
    const struct assay_type *dy = &call->inputs[0];
    enum assay_status st = assay_window_init(w, call, x, NULL, err);
    if (!st)
        st = assay_window_slide(w, call, assay_node_int(call->node, "ceil_mode", 0) != 0, err);
    if (st || dy->rank < 0)
        return st;
    if (dy->rank != x->rank)
        return assay_error_set(err, ASSAY_INVALID, "dy has rank %d, and input_shape %d", dy->rank, x->rank);
    for (int d = 0; d < x->rank; d++) {
        int64_t wanted = d < 2 ? x->dims[d] : w->output[ASSAY_WINDOW_DIMS - w->n_dims + d - 2];
        if (dy->dims[d] >= 0 && wanted >= 0 && dy->dims[d] != wanted)
            return assay_error_set(err, ASSAY_INVALID, "dimension %d of dy is %" PRId64 " where the pool has %" PRId64, d,
                                   dy->dims[d], wanted);
    }
    return ASSAY_OK;
}

static enum assay_status infer_average(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_window w;
    enum assay_status st = read_shape(call, err);
    return st ? st : make_window(call, &call->outputs[0], &w, err);
}

/* How many taps of output `at` count in dimension d: those in the input, or also those in its padding. */
static int64_t count_taps(const struct assay_window *w, int d, int64_t at, bool padding)
{
    int64_t from, to, room = w->input[d] + w->pad_end[d] - assay_window_position(w, d, at, 0);
    assay_window_taps(w, d, at, &from, &to);
    int64_t n = (room + w->dilation[d] - 1) / w->dilation[d];
    return !padding ? to - from : n < w->kernel[d] ? n : w->kernel[d];
}

/* One plane's sums, from its gradients in double. */
static void spread_plane(const struct assay_window *w, bool padding, const double *dy, double *sums)
{
    const int64_t *in = w->input, *out = w->output;
    for (int64_t o = 0; o < assay_window_volume(out); o++) {
        int64_t at[] = {o / out[2] / out[1], o / out[2] % out[1], o % out[2]}, from[3], to[3];
        double n = 1;
        for (int d = 0; d < ASSAY_WINDOW_DIMS; d++) {
            assay_window_taps(w, d, at[d], &from[d], &to[d]);
            n *= (double)count_taps(w, d, at[d], padding);
        }
        for (int64_t kd = from[0]; kd < to[0]; kd++)
            for (int64_t kh = from[1]; kh < to[1]; kh++) {
                int64_t d = assay_window_position(w, 0, at[0], kd), h = assay_window_position(w, 1, at[1], kh);
                double *row = sums + (d * in[1] + h) * in[2];
                for (int64_t kw = from[2]; kw < to[2]; kw++)
                    row[assay_window_position(w, 2, at[2], kw)] += dy[o] / n;
            }
    }
}

static enum assay_status run_average(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_tensor *dx = &call->results[0], wide = {0};
    struct assay_window w;
    double *sums = NULL;
    bool padding = assay_node_int(call->node, "count_include_pad", 0) != 0;
    if (assay_tensor_count(dx) == 0)
        return ASSAY_OK;
    enum assay_status st = make_window(call, &dx->type, &w, err);
    if (st)
        return st;
    int64_t n_in = assay_window_volume(w.input), n_out = assay_window_volume(w.output);
    st = assay_tensor_convert(&wide, call->data[0], ASSAY_F64, err);
    if (!st)
        st = make_sums(&sums, n_in, err);
    for (int64_t i = 0; i < dx->type.dims[0] * dx->type.dims[1] && !st; i++) {
        memset(sums, 0, (size_t)n_in * sizeof *sums);
        spread_plane(&w, padding, (const double *)wide.data + i * n_out, sums);
        store_sums(dx, i * n_in, sums, n_in);
    }
    assay_tensor_release(&wide);
    free(sums);
    return st;
}

/* 1 / how many taps count at each output, as a constant [output] of dy's dtype. */
static int emit_shares(struct assay_emit *e, const struct assay_window *w, bool padding, int dy)
{
    struct assay_tensor shares;
    struct assay_error err;
    int first = ASSAY_WINDOW_DIMS - w->n_dims;
    struct assay_type type = assay_type_make(e_type(e, dy)->dtype, w->n_dims, w->output + first);
    if (e->status)
        return -1;
    if (assay_tensor_alloc(&shares, &type, &err))
        return e_fail(e, err.status, "%s", err.message);
    for (int64_t o = 0; o < assay_tensor_count(&shares); o++) {
        int64_t at[] = {o / w->output[2] / w->output[1], o / w->output[2] % w->output[1], o % w->output[2]};
        double n = 1;
        for (int d = 0; d < ASSAY_WINDOW_DIMS; d++)
            n *= (double)count_taps(w, d, at[d], padding);
        assay_tensor_set_real(&shares, o, 1 / n);
    }
    int value = assay_graph_add_constant(e->graph, "shares", &shares);
    assay_tensor_release(&shares);
    return value;
}

/* A ConvTranspose of each plane, by ones. */
static void expand_average(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    struct assay_type x = *e_type(e, node->outputs[0]), y = *e_type(e, node->inputs[0]);
    struct assay_op_call call = e_call(e, node);
    struct assay_window w;
    struct assay_error err;
    bool padding = assay_node_int(node, "count_include_pad", 0) != 0;
    if (e->status)
        return;
    if (!assay_type_is_known(&y)) {
        e_fail(e, ASSAY_UNSUPPORTED, "the shape of its input is not known");
        return;
    }
    if (!e_take(e, make_window(&call, &x, &w, &err), &err))
        return;
    int first = ASSAY_WINDOW_DIMS - w.n_dims, shares = emit_shares(e, &w, padding, node->inputs[0]);
    size_t n = (size_t)w.n_dims;
    int64_t planes[ASSAY_MAX_RANK] = {x.dims[0] * x.dims[1], 1}, ones[ASSAY_MAX_RANK] = {1, 1}, beyond[ASSAY_WINDOW_DIMS];
    for (int d = first; d < ASSAY_WINDOW_DIMS; d++) {
        planes[2 + d - first] = w.output[d];
        ones[2 + d - first] = w.kernel[d];
        int64_t reach = (w.output[d] - 1) * w.stride[d] + (w.kernel[d] - 1) * w.dilation[d] + 1 - w.pad_begin[d];
        w.pad_end[d] = reach > w.input[d] ? reach - w.input[d] : 0;
        beyond[d] = reach < w.input[d] ? w.input[d] - reach : 0;
    }
    int dy = e_mul(e, e_reshape(e, node->inputs[0], n + 2, planes), shares);
    int dx = e_op(e, "ConvTranspose", E_VALUES(dy, e_expand(e, e_number(e, 1, dy), e_ints(e, n + 2, ones))));
    assay_window_set(e, &w);
    e_set_ints(e, "output_padding", n, beyond + first);
    outputs[0] = e_reshape(e, dx, (size_t)x.rank, x.dims);
}

static void cost_pool_gradient(const struct assay_op_call *call, struct assay_cost *cost)
{
    size_t n;
    const int64_t *kernel = assay_node_ints(call->node, "kernel_shape", &n);
    cost->flops = (double)assay_type_count(&call->inputs[0]);
    for (size_t d = 0; kernel && d < n; d++)
        cost->flops *= (double)kernel[d];
}

const struct assay_op assay_ops_gradient_pool[] = {
    {"MaxPoolGradient", "assay", 2, 2, ASSAY_OP_VIA_F32, infer_max, run_max, cost_pool_gradient, NULL, expand_max},
    {"AveragePoolGradient", "assay", 1, 1, ASSAY_OP_VIA_F32, infer_average, run_average, cost_pool_gradient, NULL,
     expand_average},
    {0},
};
