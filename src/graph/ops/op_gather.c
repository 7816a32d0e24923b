/* SPDX-License-Identifier: Apache-2.0 */
/* Ops that pick elements by index or condition: Gather, GatherElements, GatherND, Compress. All dtypes: only bytes move. */
#include "graph/ops/index.h"
#include "graph/ops/move.h"
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

/* What is picked is read once, besides the indices. */
static void cost_of_picked(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->bytes_written = (double)assay_type_bytes(&call->outputs[0]);
    cost->bytes_read = cost->bytes_written + (double)assay_type_bytes(&call->inputs[1]);
}

/* The type of the output whose rank may turn out too large. */
static enum assay_status check_rank(int64_t rank, struct assay_error *err)
{
    if (rank <= ASSAY_MAX_RANK)
        return ASSAY_OK;
    return assay_error_set(err, ASSAY_UNSUPPORTED, "a tensor of rank %" PRId64 " is not supported, %d is the limit", rank,
                           ASSAY_MAX_RANK);
}

/* ---- Gather */

static enum assay_status infer_gather(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0], *indices = &call->inputs[1];
    struct assay_type *out = &call->outputs[0];
    out->dtype = in->dtype;
    enum assay_status st = assay_rule_dtype(call, 1, ASSAY_SET_INDEX, err);
    if (!st)
        st = assay_rule_rank(call, 0, 1, ASSAY_MAX_RANK, err);
    if (st || in->rank < 0)
        return st;
    int axis;
    st = assay_rule_axis(assay_node_int(call->node, "axis", 0), in->rank, &axis, err);
    if (!st && indices->rank >= 0)
        st = check_rank(in->rank + indices->rank - 1, err);
    if (st || indices->rank < 0)
        return st;
    for (int d = 0; d < axis; d++)
        out->dims[d] = in->dims[d];
    for (int d = 0; d < indices->rank; d++)
        out->dims[axis + d] = indices->dims[d];
    for (int d = axis + 1; d < in->rank; d++)
        out->dims[indices->rank + d - 1] = in->dims[d];
    out->rank = in->rank + indices->rank - 1;
    return ASSAY_OK;
}

/* to[i] = from[indices[i]], in elements of `size` bytes. */
static void gather_rows(char *to, const char *from, const int64_t *indices, int64_t n, size_t size)
{
    switch (size) {
#define CASE(bytes)                                                                                                              \
    case bytes:                                                                                                                  \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            memcpy(to + i * bytes, from + indices[i] * bytes, bytes);                                                            \
        break;
        CASE(1)
        CASE(2)
        CASE(4)
        CASE(8)
#undef CASE
    default:
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * (int64_t)size, from + indices[i] * (int64_t)size, size);
    }
}

static enum assay_status run_gather(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0];
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", 0), in->type.rank, &axis, err);
    if (st || assay_type_count(&call->outputs[0]) == 0)
        return st;
    struct assay_tensor indices;
    st = assay_tensor_convert(&indices, call->data[1], ASSAY_I64, err);
    if (st)
        return st;
    int64_t *list = indices.data, n = assay_tensor_count(&indices), dim = in->type.dims[axis];
    for (int64_t i = 0; i < n && !st; i++)
        if (!assay_index_wrap(&list[i], dim))
            st = assay_index_refuse(assay_tensor_int(call->data[1], i), dim, err);
    if (!st) {
        struct assay_split split = assay_split_at(&in->type, axis); /* not empty: the output is not, and an index was right */
        int64_t row = split.inner * (int64_t)assay_dtype_size(in->type.dtype);
        for (int64_t k = 0; k < split.outer; k++)
            gather_rows((char *)call->results[0].data + k * n * row, (const char *)in->data + k * dim * row, list, n,
                        (size_t)row);
    }
    assay_tensor_release(&indices);
    return st;
}

/* ---- GatherElements */

static enum assay_status infer_gather_elements(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0], *indices = &call->inputs[1];
    call->outputs[0] = *indices;
    call->outputs[0].dtype = in->dtype;
    enum assay_status st = assay_rule_dtype(call, 1, ASSAY_SET_INDEX, err);
    if (!st)
        st = assay_rule_rank(call, 0, 1, ASSAY_MAX_RANK, err);
    if (st || in->rank < 0 || indices->rank < 0)
        return st;
    if (in->rank != indices->rank)
        return assay_error_set(err, ASSAY_INVALID, "indices have rank %d, the data %d", indices->rank, in->rank);
    int axis;
    st = assay_rule_axis(assay_node_int(call->node, "axis", 0), in->rank, &axis, err);
    for (int d = 0; d < in->rank && !st; d++)
        if (d != axis && in->dims[d] >= 0 && indices->dims[d] > in->dims[d])
            st = assay_error_set(err, ASSAY_INVALID, "dimension %d of the indices is %" PRId64 ", that of the data %" PRId64, d,
                                 indices->dims[d], in->dims[d]);
    return st;
}

static enum assay_status run_gather_elements(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0];
    int rank = in->type.rank, axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", 0), rank, &axis, err);
    if (st || assay_type_count(&call->outputs[0]) == 0)
        return st;
    struct assay_tensor indices;
    st = assay_index_read(&indices, call->data[1], err);
    if (st)
        return st;
    int64_t strides[2][ASSAY_MAX_RANK], dim = in->type.dims[axis], size = (int64_t)assay_dtype_size(in->type.dtype);
    assay_dims_strides(&indices.type, strides[0]);
    if (assay_tensor_count(in) == 0) /* strides of nothing are not needed: every index is refused */
        memset(strides[1], 0, sizeof strides[1]);
    else
        assay_dims_strides(&in->type, strides[1]);
    int64_t axis_stride = strides[1][axis];
    strides[1][axis] = 0;
    const int64_t *list = indices.data;
    const char *from = in->data;
    char *to = call->results[0].data;
    struct assay_walk walk;
    for (assay_walk_strided(&walk, rank, indices.type.dims, 2, strides); walk.more && !st; assay_walk_next(&walk)) {
        for (int64_t i = 0; i < walk.n && !st; i++) {
            int64_t at = walk.offset[0] + i * walk.step[0], index = list[at];
            if (assay_index_wrap(&index, dim))
                gather_rows(to + at * size, from, &(int64_t){walk.offset[1] + i * walk.step[1] + index * axis_stride}, 1,
                            (size_t)size);
            else
                st = assay_index_refuse(list[at], dim, err);
        }
    }
    assay_tensor_release(&indices);
    return st;
}

/* ---- GatherND */

static enum assay_status infer_gather_nd(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0], *indices = &call->inputs[1];
    struct assay_type *out = &call->outputs[0];
    out->dtype = in->dtype;
    enum assay_status st = assay_rule_dtype(call, 1, ASSAY_DTYPE_BIT(ASSAY_I64), err);
    for (int i = 0; i < 2 && !st; i++)
        st = assay_rule_rank(call, i, 1, ASSAY_MAX_RANK, err);
    if (st || in->rank < 0 || indices->rank < 0)
        return st;
    int64_t batch = assay_node_int(call->node, "batch_dims", 0), tuple = indices->dims[indices->rank - 1];
    if (batch < 0 || batch >= in->rank || batch >= indices->rank)
        return assay_error_set(err, ASSAY_INVALID, "batch_dims is %" PRId64 " for ranks %d and %d", batch, in->rank,
                               indices->rank);
    if (tuple < 0)
        return ASSAY_OK;
    if (tuple < 1 || tuple > in->rank - batch)
        return assay_error_set(err, ASSAY_INVALID, "an index of %" PRId64 " numbers does not point into rank %" PRId64, tuple,
                               in->rank - batch);
    int rest = in->rank - (int)(batch + tuple);
    st = check_rank(indices->rank - 1 + rest, err);
    if (st)
        return st;
    out->rank = indices->rank - 1 + rest;
    for (int d = 0; d < indices->rank - 1; d++)
        out->dims[d] = indices->dims[d];
    for (int d = 0; d < batch && !st; d++)
        st = assay_rule_merge_dim(&out->dims[d], in->dims[d], "a batch dimension", err);
    for (int d = 0; d < rest; d++)
        out->dims[indices->rank - 1 + d] = in->dims[batch + tuple + d];
    return st;
}

static enum assay_status run_gather_nd(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->data[0]->type, *indices = &call->data[1]->type;
    if (assay_type_count(&call->outputs[0]) == 0)
        return ASSAY_OK;
    int batch = (int)assay_node_int(call->node, "batch_dims", 0), tuple = (int)indices->dims[indices->rank - 1];
    bool empty = assay_type_count(in) == 0; /* then every index is refused below */
    int64_t size = (int64_t)assay_dtype_size(in->dtype), strides[ASSAY_MAX_RANK] = {0};
    if (!empty)
        assay_dims_strides(in, strides);
    int64_t n_batches = assay_dims_product(indices, 0, batch), n = assay_dims_product(indices, batch, indices->rank - 1);
    int64_t row = empty ? 0 : assay_dims_product(in, batch + tuple, in->rank) * size;
    int64_t part = empty ? 0 : assay_dims_product(in, batch, in->rank) * size;
    const int64_t *index = call->data[1]->data;
    const char *from = call->data[0]->data;
    char *to = call->results[0].data;
    for (int64_t b = 0; b < n_batches; b++, from += part)
        for (int64_t i = 0; i < n; i++, index += tuple, to += row) {
            int64_t at = 0;
            for (int k = 0; k < tuple; k++) {
                int64_t one = index[k];
                if (!assay_index_wrap(&one, in->dims[batch + k]))
                    return assay_index_refuse(index[k], in->dims[batch + k], err);
                at += one * strides[batch + k];
            }
            memcpy(to, from + at * size, (size_t)row);
        }
    return ASSAY_OK;
}

/* ---- Compress */

/* The axis, and the input's shape with everything on one axis where none is given. */
static enum assay_status compress_view(const struct assay_op_call *call, struct assay_type *in, int *axis,
                                       struct assay_error *err)
{
    *in = call->inputs[0];
    *axis = 0;
    const struct assay_attr *attr = assay_node_attr(call->node, "axis");
    if (attr)
        return in->rank < 0 ? ASSAY_OK : assay_rule_axis(attr->i, in->rank, axis, err);
    int64_t count = assay_type_count(in);
    *in = assay_type_make(in->dtype, 1, &count);
    return ASSAY_OK;
}

static enum assay_status infer_compress(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = assay_rule_dtype(call, 1, ASSAY_SET_BOOL, err);
    if (!st)
        st = assay_rule_rank(call, 1, 1, 1, err);
    struct assay_type in;
    int axis;
    if (!st)
        st = compress_view(call, &in, &axis, err);
    if (st)
        return st;
    struct assay_type *out = &call->outputs[0];
    *out = in;
    if (out->rank < 0)
        return ASSAY_OK;
    out->dims[axis] = -1;
    const struct assay_tensor *condition = assay_rule_data(call, 1);
    if (!condition || in.dims[axis] < 0)
        return ASSAY_OK;
    const bool *keep = condition->data;
    int64_t n = 0;
    for (int64_t i = 0; i < condition->type.dims[0]; i++) {
        n += keep[i];
        if (keep[i] && i >= in.dims[axis])
            return assay_index_refuse(i, in.dims[axis], err);
    }
    out->dims[axis] = n;
    return ASSAY_OK;
}

static enum assay_status run_compress(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type in;
    int axis;
    enum assay_status st = compress_view(call, &in, &axis, err);
    if (st || assay_type_count(&call->outputs[0]) == 0)
        return st;
    struct assay_split split = assay_split_at(&in, axis);
    const struct assay_tensor *condition = call->data[1];
    int64_t row = split.inner * (int64_t)assay_dtype_size(in.dtype);
    const bool *keep = condition->data;
    const char *from = call->data[0]->data;
    char *to = call->results[0].data;
    for (int64_t k = 0; k < split.outer; k++, from += split.n * row)
        for (int64_t i = 0; i < condition->type.dims[0]; i++)
            if (keep[i]) {
                memcpy(to, from + i * row, (size_t)row);
                to += row;
            }
    return ASSAY_OK;
}

/* ---- gradients: what was picked gets the sum of what it was picked for */

static int wrapped_axis(const struct assay_gradient *g)
{
    int64_t axis = assay_node_int(g->node, "axis", 0);
    return (int)(axis < 0 ? axis + g_type(g, 0)->rank : axis);
}

/* One constant index: zeros around it, instead of a scatter. */
static int pad_around(struct assay_gradient *g, int axis, int64_t index)
{
    const struct assay_type x = *g_type(g, 0);
    int64_t pads[2 * ASSAY_MAX_RANK] = {0};
    index += index < 0 ? x.dims[axis] : 0;
    pads[axis] = index;
    pads[x.rank + axis] = x.dims[axis] - 1 - index;
    int dx = e_unsqueeze(g->e, g->out[0], E_INTS(axis));
    return x.dims[axis] == 1 ? dx : e_op(g->e, "Pad", E_VALUES(dx, e_ints(g->e, 2 * (size_t)x.rank, pads)));
}

static int gather_gradient(struct assay_emit *e, int dy, int indices, int64_t axis, const struct assay_type *x)
{
    int dx = e_own(e, "GatherGradient", E_VALUES(dy, indices));
    e_set_int(e, "axis", axis);
    e_set_ints(e, "input_shape", (size_t)x->rank, x->dims);
    return dx;
}

static void gradient_gather(struct assay_gradient *g)
{
    const struct assay_tensor *indices = g_constant(g, 1);
    const struct assay_type x = *g_type(g, 0);
    int axis = wrapped_axis(g);
    if (g->e->status)
        return;
    if (indices && indices->type.rank == 0)
        g->in[0] = pad_around(g, axis, assay_tensor_int(indices, 0));
    else
        g->in[0] = gather_gradient(g->e, g->out[0], g_input(g, 1), axis, &x);
}

static void gradient_gather_elements(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int axis = wrapped_axis(g);
    g->in[0] = e_op(e, "ScatterElements", E_VALUES(e_full(e, 0, g_input(g, 0)), g_input(g, 1), g->out[0]));
    e_set_int(e, "axis", axis);
    e_set_text(e, "reduction", "add");
}

/* Index tuples, and the batch that they stand in, as places in x with its first dimensions made one: then it is a Gather. */
static int flat_places(struct assay_gradient *g, const struct assay_type *x, int batch, int tuple, int64_t n_batches)
{
    struct assay_emit *e = g->e;
    int64_t dims[ASSAY_MAX_RANK], strides[ASSAY_MAX_RANK], stride = 1;
    for (int k = tuple - 1; k >= 0; k--) {
        dims[k] = x->dims[batch + k];
        strides[k] = stride;
        stride *= dims[k];
    }
    int wrapped = e_op(e, "Mod", E_VALUES(g_input(g, 1), e_ints(e, (size_t)tuple, dims)));
    int places = e_reduce(e, "ReduceSum", e_mul(e, wrapped, e_ints(e, (size_t)tuple, strides)), false, E_INTS(-1));
    if (batch == 0)
        return e_reshape(e, places, E_INTS(-1));
    int number = e_op(e, "Range", E_VALUES(e_int(e, 0), e_int(e, n_batches * stride), e_int(e, stride)));
    places = e_reshape(e, places, E_INTS(n_batches, -1));
    return e_reshape(e, e_add(e, places, e_unsqueeze(e, number, E_INTS(1))), E_INTS(-1));
}

static void gradient_gather_nd(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    const struct assay_type x = *g_type(g, 0), indices = *g_type(g, 1), y = *e_type(e, g->out[0]);
    if (e->status)
        return;
    if (assay_type_count(&y) == 0) {
        g->in[0] = e_full(e, 0, g_input(g, 0));
        return;
    }
    int batch = (int)assay_node_int(g->node, "batch_dims", 0), tuple = (int)indices.dims[indices.rank - 1];
    int64_t n_batches = assay_dims_product(&x, 0, batch), inner = assay_dims_product(&x, batch + tuple, x.rank);
    struct assay_type flat = assay_type_make(x.dtype, 2, (int64_t[]){assay_type_count(&x) / inner, inner});
    int dy = e_reshape(e, g->out[0], E_INTS(-1, inner));
    int dx = gather_gradient(e, dy, flat_places(g, &x, batch, tuple, n_batches), 0, &flat);
    g->in[0] = e_reshape_like(e, dx, g_input(g, 0));
}

/* The places that are kept, then as a Gather. */
static void gradient_compress(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    struct assay_type x = *g_type(g, 0);
    const struct assay_attr *attr = assay_node_attr(g->node, "axis");
    int64_t axis = attr ? attr->i + (attr->i < 0 ? x.rank : 0) : 0;
    int64_t kept = e_type(e, g->out[0])->dims[axis];
    int places = e_reshape(e, e_unary(e, "NonZero", g_input(g, 1)), E_INTS(kept));
    if (!attr) {
        int64_t count = assay_type_count(&x);
        x = assay_type_make(x.dtype, 1, &count);
    }
    g->in[0] = e_reshape_like(e, gather_gradient(e, g->out[0], places, axis, &x), g_input(g, 0));
}

const struct assay_op assay_ops_gather[] = {
    {"Gather", "", 2, 2, 0, infer_gather, run_gather, cost_of_picked, gradient_gather},
    {"GatherElements", "", 2, 2, 0, infer_gather_elements, run_gather_elements, cost_of_picked, gradient_gather_elements},
    {"GatherND", "", 2, 2, 0, infer_gather_nd, run_gather_nd, cost_of_picked, gradient_gather_nd},
    {"Compress", "", 2, 2, 0, infer_compress, run_compress, cost_of_picked, gradient_compress},
    {0},
};
