/* SPDX-License-Identifier: Apache-2.0 */
/* See window.h. */
#include "graph/ops/window.h"

#include <inttypes.h>

/* Beyond this a stride, dilation, kernel or padding is no sensible model's, and below it no sum or product overflows. */
static const int64_t LIMIT = (int64_t)1 << 30;

/* Attribute `name`: n numbers in [low, LIMIT] into the last n of `to`; left as it is where missing. */
static enum assay_status read_ints(const struct assay_op_call *call, const char *name, int n, int64_t low, int64_t *to,
                                   struct assay_error *err)
{
    size_t count;
    const int64_t *values = assay_node_ints(call->node, name, &count);
    if (!values)
        return ASSAY_OK;
    if (count != (size_t)n)
        return assay_error_set(err, ASSAY_INVALID, "attribute %s has %zu numbers where %d are needed", name, count, n);
    for (int i = 0; i < n; i++) {
        if (values[i] < low || values[i] > LIMIT)
            return assay_error_set(err, ASSAY_INVALID,
                                   "attribute %s has the value %" PRId64 ", which is outside of [%" PRId64 ", %" PRId64 "]", name,
                                   values[i], low, LIMIT);
        to[i] = values[i];
    }
    return ASSAY_OK;
}

static enum assay_status read_kernel(struct assay_window *w, const struct assay_op_call *call, const struct assay_type *weights,
                                     struct assay_error *err)
{
    int n = w->n_dims, first = ASSAY_WINDOW_DIMS - n;
    bool listed = assay_node_attr(call->node, "kernel_shape") != NULL;
    if (!weights && !listed)
        return assay_error_set(err, ASSAY_INVALID, "attribute kernel_shape is missing");
    int64_t from_weights[ASSAY_WINDOW_DIMS] = {1, 1, 1};
    for (int i = 0; i < n; i++)
        w->kernel[first + i] = from_weights[first + i] = weights && weights->rank >= 0 ? weights->dims[2 + i] : -1;
    enum assay_status st = read_ints(call, "kernel_shape", n, 1, w->kernel + first, err);
    for (int i = first; i < ASSAY_WINDOW_DIMS && !st; i++) {
        if (from_weights[i] != -1 && from_weights[i] != w->kernel[i])
            st = assay_error_set(err, ASSAY_INVALID, "kernel_shape and the weights disagree");
        else if (w->kernel[i] == 0 || w->kernel[i] > LIMIT)
            st = assay_error_set(err, ASSAY_INVALID, "a kernel of size %" PRId64 " cannot be", w->kernel[i]);
    }
    return st;
}

enum assay_status assay_window_init(struct assay_window *w, const struct assay_op_call *call, const struct assay_type *x,
                                    const struct assay_type *weights, struct assay_error *err)
{
    int n = x->rank - 2, first = ASSAY_WINDOW_DIMS - n;
    if (n < 1)
        return assay_error_set(err, ASSAY_INVALID, "an input of rank %d has no spatial dimensions", x->rank);
    if (n > ASSAY_WINDOW_DIMS)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "%d spatial dimensions are not supported, only up to %d", n,
                               (int)ASSAY_WINDOW_DIMS);
    if (weights && weights->rank >= 0 && weights->rank != x->rank)
        return assay_error_set(err, ASSAY_INVALID, "the input has rank %d and the weights %d", x->rank, weights->rank);
    *w = (struct assay_window){.n_dims = n};
    for (int i = 0; i < ASSAY_WINDOW_DIMS; i++) {
        w->input[i] = i < first ? 1 : x->dims[2 + i - first];
        w->output[i] = i < first ? 1 : -1;
        w->kernel[i] = w->stride[i] = w->dilation[i] = 1;
        if (w->input[i] > INT64_MAX / 8)
            return assay_error_set(err, ASSAY_INVALID, "a dimension of %" PRId64 " cannot be", w->input[i]);
    }
    int64_t pads[2 * ASSAY_WINDOW_DIMS] = {0};
    enum assay_status st = read_kernel(w, call, weights, err);
    if (!st)
        st = read_ints(call, "strides", n, 1, w->stride + first, err);
    if (!st)
        st = read_ints(call, "dilations", n, 1, w->dilation + first, err);
    if (!st)
        st = read_ints(call, "pads", 2 * n, 0, pads, err);
    memcpy(w->pad_begin + first, pads, (size_t)n * sizeof *pads);
    memcpy(w->pad_end + first, pads + n, (size_t)n * sizeof *pads);
    return st;
}

/* How many inputs the taps of one window span. */
static int64_t span(const struct assay_window *w, int d) { return (w->kernel[d] - 1) * w->dilation[d] + 1; }

/* SAME: as many outputs as strides begin in the input; the padding that this takes goes to both ends, an odd one to the end
 * (SAME_UPPER) or to the beginning (SAME_LOWER). */
static void slide_same(struct assay_window *w, int d, bool upper)
{
    w->output[d] = (w->input[d] + w->stride[d] - 1) / w->stride[d];
    int64_t total = (w->output[d] - 1) * w->stride[d] + span(w, d) - w->input[d];
    if (total < 0)
        total = 0;
    w->pad_begin[d] = upper ? total / 2 : total - total / 2;
    w->pad_end[d] = total - w->pad_begin[d];
}

static enum assay_status slide_padded(struct assay_window *w, int d, bool ceil_mode, struct assay_error *err)
{
    int64_t room = w->input[d] + w->pad_begin[d] + w->pad_end[d] - span(w, d);
    if (room < 0)
        return assay_error_set(err, ASSAY_INVALID,
                               "a window of %" PRId64 " does not fit into an input of %" PRId64 " with its padding", span(w, d),
                               w->input[d]);
    w->output[d] = room / w->stride[d] + 1;
    if (ceil_mode && room % w->stride[d] && w->output[d] * w->stride[d] < w->input[d] + w->pad_begin[d])
        w->output[d]++;
    return ASSAY_OK;
}

enum assay_status assay_window_slide(struct assay_window *w, const struct assay_op_call *call, bool ceil_mode,
                                     struct assay_error *err)
{
    const char *mode = assay_node_string(call->node, "auto_pad", "NOTSET");
    bool upper = strcmp(mode, "SAME_UPPER") == 0, lower = strcmp(mode, "SAME_LOWER") == 0, valid = strcmp(mode, "VALID") == 0;
    if (!upper && !lower && !valid && strcmp(mode, "NOTSET") != 0 && *mode)
        return assay_error_set(err, ASSAY_INVALID, "auto_pad = '%.40s' does not exist", mode);
    enum assay_status st = ASSAY_OK;
    for (int d = ASSAY_WINDOW_DIMS - w->n_dims; d < ASSAY_WINDOW_DIMS && !st; d++) {
        if (valid)
            w->pad_begin[d] = w->pad_end[d] = 0;
        if (w->input[d] < 0 || w->kernel[d] < 0)
            w->output[d] = -1;
        else if (upper || lower)
            slide_same(w, d, upper);
        else
            st = slide_padded(w, d, ceil_mode, err);
    }
    return st;
}

void assay_window_append(const struct assay_window *w, struct assay_type *type)
{
    for (int d = ASSAY_WINDOW_DIMS - w->n_dims; d < ASSAY_WINDOW_DIMS; d++)
        type->dims[type->rank++] = w->output[d];
}

static int64_t ceil_div(int64_t a, int64_t b) { return a <= 0 ? 0 : (a + b - 1) / b; }
static int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

void assay_window_reach(const struct assay_window *w, int d, int64_t tap, int64_t *from, int64_t *to)
{
    int64_t offset = tap * w->dilation[d] - w->pad_begin[d]; /* of the input that output 0 meets */
    *to = clamp(ceil_div(w->input[d] - offset, w->stride[d]), 0, w->output[d]);
    *from = clamp(ceil_div(-offset, w->stride[d]), 0, *to);
}

void assay_window_taps(const struct assay_window *w, int d, int64_t at, int64_t *from, int64_t *to)
{
    int64_t start = at * w->stride[d] - w->pad_begin[d];
    *to = clamp(ceil_div(w->input[d] - start, w->dilation[d]), 0, w->kernel[d]);
    *from = clamp(ceil_div(-start, w->dilation[d]), 0, *to);
}

void assay_window_set(struct assay_emit *e, const struct assay_window *w)
{
    int first = ASSAY_WINDOW_DIMS - w->n_dims;
    size_t n = (size_t)w->n_dims;
    int64_t pads[2 * ASSAY_WINDOW_DIMS];
    memcpy(pads, w->pad_begin + first, n * sizeof *pads);
    memcpy(pads + n, w->pad_end + first, n * sizeof *pads);
    e_set_ints(e, "kernel_shape", n, w->kernel + first);
    e_set_ints(e, "strides", n, w->stride + first);
    e_set_ints(e, "dilations", n, w->dilation + first);
    e_set_ints(e, "pads", 2 * n, pads);
}

int assay_sum_channels(struct assay_emit *e, int x)
{
    int rank = e_type(e, x)->rank;
    int64_t axes[ASSAY_MAX_RANK] = {0};
    for (int d = 2; d < rank; d++)
        axes[d - 1] = d;
    return rank < 2 ? e_reduce(e, "ReduceSum", x, true, 1, axes) : e_reduce(e, "ReduceSum", x, false, (size_t)rank - 1, axes);
}
