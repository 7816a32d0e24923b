/* SPDX-License-Identifier: Apache-2.0 */
/* GatherGradient(dy, indices) {axis, input_shape} -> dx: the rows of dy summed at the indices that Gather read them from. */
#include "graph/emit.h"
#include "graph/ops/index.h"
#include "graph/ops/util.h"

/* The shape of what was gathered from; ASSAY_INVALID where attributes, dy and indices do not fit. */
static enum assay_status infer_gather_gradient(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *dx = &call->outputs[0];
    const struct assay_type *dy = &call->inputs[0], *indices = &call->inputs[1];
    size_t n;
    int axis;
    const int64_t *dims = assay_node_ints(call->node, "input_shape", &n);
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_SET_INDEX, err);
    if (!st && (!dims || n < 1 || n > ASSAY_MAX_RANK))
        st = assay_error_set(err, ASSAY_INVALID, "input_shape must have 1 to %d dimensions", ASSAY_MAX_RANK);
    for (size_t d = 0; !st && d < n; d++)
        if (dims[d] < 0)
            st = assay_error_set(err, ASSAY_INVALID, "dimension %zu of input_shape is %" PRId64, d, dims[d]);
    if (!st)
        st = assay_rule_axis(assay_node_int(call->node, "axis", 0), (int)n, &axis, err);
    if (st)
        return st;
    *dx = assay_type_make(dy->dtype, (int)n, dims);
    if (dy->rank < 0 || indices->rank < 0)
        return ASSAY_OK;
    if (dy->rank != dx->rank + indices->rank - 1)
        return assay_error_set(err, ASSAY_INVALID, "dy has rank %d where it should have %d", dy->rank,
                               dx->rank + indices->rank - 1);
    for (int d = 0; d < dy->rank && !st; d++) {
        int64_t dim = d < axis ? dims[d] : d < axis + indices->rank ? indices->dims[d - axis] : dims[d - indices->rank + 1];
        st = assay_rule_merge_dim(&dim, dy->dims[d], "a dimension of dy", err);
    }
    return st;
}

#define ADD_ROWS(type)                                                                                                           \
    for (int64_t k = 0; k < split.outer; k++)                                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            const type *from = (const type *)call->data[0]->data + (k * n + i) * split.inner;                                    \
            double *to = sum + (k * split.n + list[i]) * split.inner;                                                            \
            for (int64_t j = 0; j < split.inner; j++)                                                                            \
                to[j] += from[j];                                                                                                \
        }

static enum assay_status run_gather_gradient(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_tensor indices = {0}, sums = {0}, *dx = &call->results[0];
    struct assay_type type = dx->type;
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", 0), type.rank, &axis, err);
    type.dtype = ASSAY_F64;
    if (!st)
        st = assay_tensor_alloc(&sums, &type, err);
    if (!st)
        st = assay_tensor_convert(&indices, call->data[1], ASSAY_I64, err);
    if (st)
        goto done;
    memset(sums.data, 0, (size_t)assay_tensor_bytes(&sums));
    int64_t *list = indices.data, n = assay_tensor_count(&indices);
    for (int64_t i = 0; i < n && !st; i++)
        if (!assay_index_wrap(&list[i], type.dims[axis]))
            st = assay_index_refuse(assay_tensor_int(call->data[1], i), type.dims[axis], err);
    double *sum = sums.data;
    int64_t count = assay_tensor_count(dx);
    if (!st && count > 0) {
        struct assay_split split = assay_split_at(&type, axis);
        if (dx->type.dtype == ASSAY_F64)
            ADD_ROWS(double)
        else
            ADD_ROWS(float)
    }
    for (int64_t i = 0; i < count && !st; i++)
        if (dx->type.dtype == ASSAY_F64)
            ((double *)dx->data)[i] = sum[i];
        else
            ((float *)dx->data)[i] = (float)sum[i];
done:
    assay_tensor_release(&indices);
    assay_tensor_release(&sums);
    return st;
}

static void cost_gather_gradient(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = (double)assay_type_count(&call->inputs[0]);
}

/* ScatterElements, since ONNX Runtime's ScatterND adds to the same element from several threads at once. */
static void expand_gather_gradient(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    size_t n;
    int axis, dy = node->inputs[0];
    const int64_t *dims = assay_node_ints(node, "input_shape", &n);
    struct assay_type x = assay_type_make(e_type(e, dy)->dtype, (int)n, dims);
    if (e->status || assay_rule_axis(assay_node_int(node, "axis", 0), (int)n, &axis, NULL))
        return;
    int64_t outer = assay_dims_product(&x, 0, axis), inner = assay_dims_product(&x, axis + 1, x.rank);
    int64_t picked = assay_type_count(e_type(e, node->inputs[1]));
    if (picked < 0) {
        e_fail(e, ASSAY_UNSUPPORTED, "the shape of its indices is not known");
        return;
    }
    int zeros = e_expand(e, e_number(e, 0, dy), e_ints(e, E_INTS(outer, x.dims[axis], inner)));
    int places = e_reshape(e, node->inputs[1], E_INTS(1, picked, 1));
    places = e_expand(e, places, e_ints(e, E_INTS(outer, picked, inner)));
    int dx = e_op(e, "ScatterElements", E_VALUES(zeros, places, e_reshape(e, dy, E_INTS(outer, picked, inner))));
    e_set_int(e, "axis", 1);
    e_set_text(e, "reduction", "add");
    outputs[0] = e_reshape(e, dx, n, dims);
}

const struct assay_op assay_ops_gradient_gather[] = {
    {"GatherGradient", "assay", 2, 2, ASSAY_OP_VIA_F32, infer_gather_gradient, run_gather_gradient, cost_gather_gradient, NULL,
     expand_gather_gradient},
    {0},
};
