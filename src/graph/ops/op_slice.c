/* SPDX-License-Identifier: Apache-2.0 */
/* Ops that join and cut tensors along axes: Concat, Split, Slice. All dtypes: only bytes move. */
#include "graph/ops/move.h"
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

#include <inttypes.h>

/* ---- Concat */

static enum assay_status infer_concat(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *out = &call->outputs[0];
    int axis = -1;
    bool known = true;
    enum assay_status st = assay_rule_all_given(call, 0, err);
    if (st)
        return st;
    for (int i = 0; i < call->n_inputs; i++) {
        const struct assay_type *in = &call->inputs[i];
        st = assay_rule_same_dtype(call, 0, i, err);
        if (st)
            return st;
        if (out->dtype == ASSAY_NO_DTYPE)
            out->dtype = in->dtype;
        if (in->rank < 0) {
            known = false;
            continue;
        }
        if (axis < 0) {
            st = assay_rule_axis(assay_node_int(call->node, "axis", 0), in->rank, &axis, err);
            if (st)
                return st;
            enum assay_dtype dtype = out->dtype;
            *out = *in;
            out->dtype = dtype;
            continue;
        }
        if (in->rank != out->rank)
            return assay_error_set(err, ASSAY_INVALID, "input %d has rank %d, others have %d", i, in->rank, out->rank);
        for (int d = 0; d < in->rank; d++) {
            int64_t *dim = &out->dims[d];
            if (d != axis)
                st = assay_rule_merge_dim(dim, in->dims[d], "a dimension beside the axis", err);
            else if (*dim < 0 || in->dims[d] < 0)
                *dim = -1;
            else if (__builtin_add_overflow(*dim, in->dims[d], dim))
                st = assay_error_set(err, ASSAY_INVALID, "the sum of the dimensions overflows");
            if (st)
                return st;
        }
    }
    if (!known && axis >= 0)
        out->dims[axis] = -1;
    return ASSAY_OK;
}

/* The bytes before which the next step along the axis begins, for each of the outer steps. */
static int64_t bytes_from(const struct assay_type *type, int axis)
{
    return assay_dims_product(type, axis, type->rank) * (int64_t)assay_dtype_size(type->dtype);
}

static enum assay_status run_concat(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *type = &call->outputs[0];
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", 0), type->rank, &axis, err);
    if (st || assay_type_count(type) == 0)
        return st;
    int64_t outer = assay_dims_product(type, 0, axis), step = bytes_from(type, axis);
    char *to = call->results[0].data;
    for (int i = 0; i < call->n_inputs; i++) {
        if (assay_tensor_count(call->data[i]) == 0)
            continue;
        int64_t part = bytes_from(&call->data[i]->type, axis);
        const char *from = call->data[i]->data;
        for (int64_t k = 0; k < outer; k++)
            memcpy(to + k * step, from + k * part, (size_t)part);
        to += part;
    }
    return ASSAY_OK;
}

/* ---- Split */

/* The length of part i where none is given: equal parts; with num_outputs the last one may be shorter. */
static enum assay_status equal_part(const struct assay_op_call *call, int64_t dim, int i, int64_t *part, struct assay_error *err)
{
    int64_t n = call->n_outputs;
    bool uneven = assay_node_attr(call->node, "num_outputs") != NULL;
    if (uneven && assay_node_int(call->node, "num_outputs", n) != n)
        return assay_error_set(err, ASSAY_INVALID, "num_outputs is %" PRId64 ", but the node has %" PRId64 " outputs",
                               assay_node_int(call->node, "num_outputs", n), n);
    int64_t whole = dim / n + (dim % n != 0);
    if (dim % n && (!uneven || whole * (n - 1) > dim))
        return assay_error_set(err, ASSAY_INVALID, "a dimension of %" PRId64 " does not split into %" PRId64 " parts", dim, n);
    *part = i < n - 1 ? whole : dim - whole * (n - 1);
    return ASSAY_OK;
}

/* Whether the lengths in input 1 are as many as the outputs and sum up to the dimension. */
static enum assay_status check_parts(const struct assay_op_call *call, int64_t dim, struct assay_error *err)
{
    const struct assay_tensor *list = call->data[1];
    if (!(ASSAY_DTYPE_BIT(list->type.dtype) & ASSAY_SET_INDEX) || assay_tensor_count(list) != call->n_outputs)
        return assay_error_set(err, ASSAY_INVALID, "split has %" PRId64 " numbers for %d outputs", assay_tensor_count(list),
                               call->n_outputs);
    int64_t sum = 0;
    for (int i = 0; i < call->n_outputs; i++) {
        int64_t length = assay_tensor_int(list, i);
        if (length < 0 || __builtin_add_overflow(sum, length, &sum))
            return assay_error_set(err, ASSAY_INVALID, "part %d of the split has length %" PRId64, i, length);
    }
    if (dim >= 0 && sum != dim)
        return assay_error_set(err, ASSAY_INVALID, "the parts of the split sum up to %" PRId64 ", not %" PRId64, sum, dim);
    return ASSAY_OK;
}

static enum assay_status infer_split(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    const struct assay_tensor *list = assay_rule_data(call, 1);
    int axis = 0;
    enum assay_status st = ASSAY_OK;
    if (in->rank >= 0)
        st = assay_rule_axis(assay_node_int(call->node, "axis", 0), in->rank, &axis, err);
    if (!st && list)
        st = check_parts(call, in->rank < 0 ? -1 : in->dims[axis], err);
    for (int i = 0; i < call->n_outputs && !st; i++) {
        call->outputs[i] = *in;
        if (in->rank < 0)
            continue;
        int64_t *part = &call->outputs[i].dims[axis], dim = in->dims[axis];
        *part = list ? assay_tensor_int(list, i) : -1;
        if (!assay_rule_has_input(call, 1) && dim >= 0)
            st = equal_part(call, dim, i, part, err);
    }
    return st;
}

static enum assay_status run_split(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *type = &call->data[0]->type;
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", 0), type->rank, &axis, err);
    if (st || assay_type_count(type) == 0)
        return st;
    int64_t outer = assay_dims_product(type, 0, axis), step = bytes_from(type, axis);
    const char *from = call->data[0]->data;
    for (int i = 0; i < call->n_outputs; i++) {
        int64_t part = bytes_from(&call->outputs[i], axis);
        char *to = call->results[i].data;
        for (int64_t k = 0; k < outer; k++)
            memcpy(to + k * part, from + k * step, (size_t)part);
        from += part;
    }
    return ASSAY_OK;
}

/* ---- Slice */

/* What a slice takes along each dimension of the input: n elements from start on, step apart. */
struct slice {
    int64_t start[ASSAY_MAX_RANK], step[ASSAY_MAX_RANK], n[ASSAY_MAX_RANK]; /* n = -1: not known */
};

/* The standard's clamping: forwards both ends into [0, dim]; backwards start into [0, dim-1], end into [-1, dim-1]. */
static void clamp_slice(int64_t dim, int64_t start, int64_t end, int64_t step, int64_t *from, int64_t *n)
{
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? dim - 1 : dim;
    start += start < 0 ? dim : 0;
    end += end < 0 ? dim : 0;
    start = start < low ? low : start > high ? high : start;
    end = end < low ? low : end > high ? high : end;
    if (step < 0 && start < 0) {
        /* Only elements before the first would be meant, and the standard clamps to the first; there is none if dim is 0. */
        start = dim > 0 ? 0 : -1;
    }
    *from = start;
    if (step > 0)
        *n = end > start ? (end - start - 1) / step + 1 : 0;
    else
        *n = start > end ? (start - end - 1) / -step + 1 : 0;
}

/* ASSAY_OK with `known` false if starts, ends, axes or steps are inputs whose contents are not known. */
static enum assay_status read_slice(const struct assay_op_call *call, struct slice *slice, bool *known, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    int64_t lists[4][ASSAY_MAX_RANK]; /* starts, ends, axes, steps */
    size_t n[4] = {0};
    *known = true;
    for (int i = 0; i < 4; i++) {
        if (i >= 2 && !assay_rule_has_input(call, i + 1)) {
            n[i] = n[0];
            for (size_t k = 0; k < n[0]; k++)
                lists[i][k] = i == 2 ? (int64_t)k : 1;
            continue;
        }
        const struct assay_tensor *list = assay_rule_data(call, i + 1);
        if (!list) {
            *known = false;
            return ASSAY_OK;
        }
        enum assay_status st = assay_rule_ints(list, lists[i], ASSAY_MAX_RANK, &n[i], err);
        if (st)
            return st;
        if (n[i] != n[0])
            return assay_error_set(err, ASSAY_INVALID, "starts, ends, axes and steps must be equally long");
    }
    unsigned mask;
    enum assay_status st = assay_rule_axes(lists[2], n[0], in->rank, &mask, err);
    if (st)
        return st;
    for (int d = 0; d < in->rank; d++) {
        slice->start[d] = 0;
        slice->step[d] = 1;
        slice->n[d] = in->dims[d];
    }
    for (size_t k = 0; k < n[0]; k++) {
        int64_t axis = lists[2][k] + (lists[2][k] < 0 ? in->rank : 0), dim = in->dims[axis], step = lists[3][k];
        if (step == 0)
            return assay_error_set(err, ASSAY_INVALID, "the step along axis %" PRId64 " is 0", axis);
        if (dim < 0) {
            slice->n[axis] = -1;
            continue;
        }
        /* A longer step than the dimension takes one element all the same, and can be negated. */
        step = step < -dim - 1 ? -dim - 1 : step;
        slice->step[axis] = step;
        clamp_slice(dim, lists[0][k], lists[1][k], step, &slice->start[axis], &slice->n[axis]);
    }
    return ASSAY_OK;
}

static enum assay_status infer_slice(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *out = &call->outputs[0];
    *out = call->inputs[0];
    if (out->rank < 0)
        return ASSAY_OK;
    struct slice slice;
    bool known;
    enum assay_status st = read_slice(call, &slice, &known, err);
    for (int d = 0; d < out->rank && !st; d++)
        out->dims[d] = known ? slice.n[d] : -1;
    const struct assay_tensor *axes = assay_rule_data(call, 3);
    if (st || known || !axes)
        return st;
    /* Axes alone tell which dimensions stay. */
    int64_t list[ASSAY_MAX_RANK];
    size_t n;
    unsigned mask = 0;
    st = assay_rule_ints(axes, list, ASSAY_MAX_RANK, &n, err);
    if (!st)
        st = assay_rule_axes(list, n, out->rank, &mask, err);
    for (int d = 0; d < out->rank && !st; d++)
        if (!(mask >> d & 1))
            out->dims[d] = call->inputs[0].dims[d];
    return st;
}

static enum assay_status run_slice(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0];
    int rank = in->type.rank;
    size_t size = assay_dtype_size(in->type.dtype);
    if (assay_type_count(&call->outputs[0]) == 0)
        return ASSAY_OK;
    struct slice slice;
    bool known;
    enum assay_status st = read_slice(call, &slice, &known, err);
    if (st)
        return st;
    struct assay_move_side to, from;
    assay_move_dense(&to, call->results[0].data, rank, slice.n, size);
    assay_move_dense(&from, in->data, rank, in->type.dims, size);
    for (int d = 0; d < rank; d++) {
        from.data += slice.start[d] * from.strides[d];
        from.strides[d] = slice.n[d] > 1 ? from.strides[d] * slice.step[d] : 0;
    }
    assay_move(&to, &from, rank, slice.n, size);
    return ASSAY_OK;
}

/* Only what is picked is read. */
static void cost_of_output(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->bytes_read = cost->bytes_written = (double)assay_type_bytes(&call->outputs[0]);
}

/* ---- gradients */

static int wrapped_axis(const struct assay_gradient *g)
{
    int64_t axis = assay_node_int(g->node, "axis", 0);
    return (int)(axis < 0 ? axis + g_type(g, 0)->rank : axis);
}

static void gradient_concat(struct assay_gradient *g)
{
    int axis = wrapped_axis(g);
    int64_t at = 0;
    for (int i = 0; i < g->node->n_inputs && !g->e->status; i++) {
        int64_t n = g_type(g, i)->dims[axis];
        if (g_wants(g, i))
            g->in[i] = g->node->n_inputs == 1 ? g->out[0] : e_slice(g->e, g->out[0], axis, at, at + n);
        at += n;
    }
}

/* Zeros of the shape of output i, which the node may not have. */
static int zeros_of_part(const struct assay_gradient *g, int i)
{
    struct assay_op_call call = e_call(g->e, g->node);
    const struct assay_type *part = &call.outputs[i];
    enum assay_status st = assay_op_infer(g->node->op, &call, NULL);
    bool known = assay_type_is_known(part);
    if (!e_take_known(g->e, st, &known, "its lengths must be constant"))
        return -1;
    return e_expand(g->e, e_number(g->e, 0, g_input(g, 0)), e_ints(g->e, (size_t)part->rank, part->dims));
}

static void gradient_split(struct assay_gradient *g)
{
    int n = g->node->n_outputs;
    int *parts = assay_arena_array(&g->e->graph->arena, (size_t)n, sizeof *parts);
    for (int i = 0; i < n; i++)
        parts[i] = g->out[i] >= 0 ? g->out[i] : zeros_of_part(g, i);
    g->in[0] = e_concat(g->e, wrapped_axis(g), n, parts);
}

/* What the node takes along each dimension. */
static void slice_of(const struct assay_gradient *g, struct slice *slice)
{
    bool known = false;
    struct assay_op_call call = e_call(g->e, g->node);
    *slice = (struct slice){0};
    e_take_known(g->e, read_slice(&call, slice, &known, NULL), &known, "its starts, ends, axes and steps must be constant");
}

/* Backwards slices are turned round; the elements of longer steps get zeros between them, as many as the step skips; then all is
 * padded, or cut where the last step leads beyond the end. */
static void gradient_slice(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    struct slice slice;
    int dx = g->out[0], rank = g_type(g, 0)->rank;
    struct assay_type x = *g_type(g, 0);
    int64_t pads[2 * ASSAY_MAX_RANK] = {0};
    slice_of(g, &slice);
    for (int d = 0; d < rank && !e->status; d++) {
        int64_t n = slice.n[d], step = slice.step[d] < 0 ? -slice.step[d] : slice.step[d], start = slice.start[d];
        if (n == 0) {
            g->in[0] = e_full(e, 0, g_input(g, 0));
            return;
        }
        if (slice.step[d] < 0 && n > 1) {
            dx = e_op(
                e, "Slice",
                E_VALUES(dx, e_ints(e, E_INTS(-1)), e_ints(e, E_INTS(INT64_MIN)), e_ints(e, E_INTS(d)), e_ints(e, E_INTS(-1))));
            start -= (n - 1) * step;
        }
        step = n > 1 ? step : 1;
        if (step > 1) {
            struct assay_type now = *e_type(e, dx), spread = assay_type_make(now.dtype, 3, (int64_t[]){1, n, 1});
            for (int k = 0; k < rank; k++)
                spread.dims[k < d ? 0 : 2] *= k == d ? 1 : now.dims[k];
            now.dims[d] *= step;
            dx = e_reshape(e, dx, 3, spread.dims);
            dx = e_op(e, "Pad", E_VALUES(dx, e_ints(e, E_INTS(0, 0, 0, 0, 0, (step - 1) * spread.dims[2]))));
            dx = e_reshape(e, dx, (size_t)rank, now.dims);
        }
        pads[d] = start;
        pads[rank + d] = x.dims[d] - start - n * step;
    }
    for (int i = 0; i < 2 * rank; i++)
        if (pads[i]) {
            dx = e_op(e, "Pad", E_VALUES(dx, e_ints(e, 2 * (size_t)rank, pads)));
            break;
        }
    g->in[0] = dx;
}

const struct assay_op assay_ops_slice[] = {
    {"Concat", "", 1, -1, 0, infer_concat, run_concat, NULL, gradient_concat},
    {"Split", "", 1, 2, 0, infer_split, run_split, NULL, gradient_split},
    {"Slice", "", 3, 5, 0, infer_slice, run_slice, cost_of_output, gradient_slice},
    {0},
};
