/* SPDX-License-Identifier: Apache-2.0 */
/* Ops that repeat a tensor: Expand (along dimensions of 1) and Tile (along any). All dtypes: only bytes move. */
#include "graph/gradient.h"
#include "graph/ops/move.h"
#include "graph/ops/util.h"

#include <inttypes.h>

/* Every element of the output is written, but only the input's are read. */
static void cost_of_input(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->bytes_read = (double)assay_type_bytes(&call->inputs[0]);
    cost->bytes_written = (double)assay_type_bytes(&call->outputs[0]);
}

/* ---- Expand */

static enum assay_status infer_expand(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0], *list = &call->inputs[1];
    struct assay_type *out = &call->outputs[0];
    out->dtype = in->dtype;
    const struct assay_tensor *shape = assay_rule_data(call, 1);
    struct assay_type wanted = {.rank = -1};
    if (shape) {
        size_t n;
        enum assay_status st = assay_rule_ints(shape, wanted.dims, ASSAY_MAX_RANK, &n, err);
        if (st)
            return st;
        wanted.rank = (int)n;
        for (int d = 0; d < wanted.rank; d++)
            if (wanted.dims[d] < 0)
                return assay_error_set(err, ASSAY_INVALID, "dimension %d of the shape is %" PRId64, d, wanted.dims[d]);
        return assay_rule_broadcast(in, &wanted, out, err);
    }
    if (in->rank < 0 || list->rank != 1 || list->dims[0] < 0 || list->dims[0] > ASSAY_MAX_RANK)
        return ASSAY_OK;
    int more = (int)list->dims[0] - in->rank;
    out->rank = more > 0 ? (int)list->dims[0] : in->rank;
    for (int d = 0; d < out->rank; d++) {
        int from = more > 0 ? d - more : d;
        out->dims[d] = from >= 0 && in->dims[from] > 1 ? in->dims[from] : -1;
    }
    return ASSAY_OK;
}

static enum assay_status run_expand(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    const struct assay_tensor *in = call->data[0];
    const struct assay_type *out = &call->outputs[0];
    size_t size = assay_dtype_size(out->dtype);
    int more = out->rank - in->type.rank;
    struct assay_move_side to, from = {.data = in->data}, dense;
    assay_move_dense(&to, call->results[0].data, out->rank, out->dims, size);
    assay_move_dense(&dense, in->data, in->type.rank, in->type.dims, size);
    for (int d = 0; d < out->rank; d++)
        from.strides[d] = d < more || in->type.dims[d - more] == 1 ? 0 : dense.strides[d - more];
    assay_move(&to, &from, out->rank, out->dims, size);
    return ASSAY_OK;
}

/* ---- Tile */

static enum assay_status infer_tile(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *out = &call->outputs[0];
    *out = call->inputs[0];
    const struct assay_tensor *list = assay_rule_data(call, 1);
    if (out->rank < 0)
        return ASSAY_OK;
    int64_t repeats[ASSAY_MAX_RANK];
    size_t n = 0;
    enum assay_status st = list ? assay_rule_ints(list, repeats, ASSAY_MAX_RANK, &n, err) : ASSAY_OK;
    if (st)
        return st;
    if (list && n != (size_t)out->rank)
        return assay_error_set(err, ASSAY_INVALID, "there are %zu repeats for a tensor of rank %d", n, out->rank);
    for (int d = 0; d < out->rank; d++) {
        if (!list || out->dims[d] < 0)
            out->dims[d] = -1;
        else if (repeats[d] < 0 || __builtin_mul_overflow(out->dims[d], repeats[d], &out->dims[d]))
            return assay_error_set(err, ASSAY_INVALID, "dimension %d cannot be repeated %" PRId64 " times", d, repeats[d]);
    }
    return ASSAY_OK;
}

static enum assay_status run_tile(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    const struct assay_tensor *in = call->data[0];
    const struct assay_type *out = &call->outputs[0];
    if (assay_type_count(out) == 0)
        return ASSAY_OK;
    size_t size = assay_dtype_size(out->dtype);
    struct assay_move_side to, from = {.data = in->data}, dense;
    assay_move_dense(&dense, in->data, out->rank, in->type.dims, size);
    int64_t dims[ASSAY_MOVE_RANK]; /* each dimension as [repeats, dim] */
    for (int d = 0; d < out->rank; d++) {
        dims[2 * d] = out->dims[d] / in->type.dims[d];
        dims[2 * d + 1] = in->type.dims[d];
        from.strides[2 * d] = 0;
        from.strides[2 * d + 1] = dense.strides[d];
    }
    assay_move_dense(&to, call->results[0].data, 2 * out->rank, dims, size);
    assay_move(&to, &from, 2 * out->rank, dims, size);
    return ASSAY_OK;
}

/* ---- gradients: the sum over the repeats */

static void gradient_expand(struct assay_gradient *g) { g_set(g, 0, g->out[0]); }

/* One dimension after another as [repeats, dimension]. */
static void gradient_tile(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    struct assay_type x = *g_type(g, 0), y = *e_type(e, g->out[0]);
    int dx = g->out[0];
    for (int d = 0; d < x.rank && !e->status; d++) {
        if (x.dims[d] == y.dims[d])
            continue;
        int64_t before = assay_dims_product(&x, 0, d), inner = x.dims[d] * assay_dims_product(&y, d + 1, y.rank);
        if (assay_type_count(&y) == 0) {
            dx = e_full(e, 0, g_input(g, 0));
            break;
        }
        dx = e_reshape(e, dx, E_INTS(before, y.dims[d] / x.dims[d], inner));
        dx = e_reduce(e, "ReduceSum", dx, false, E_INTS(1));
    }
    g->in[0] = e_reshape_like(e, dx, g_input(g, 0));
}

const struct assay_op assay_ops_repeat[] = {
    {"Expand", "", 2, 2, 0, infer_expand, run_expand, cost_of_input, gradient_expand},
    {"Tile", "", 2, 2, 0, infer_tile, run_tile, cost_of_input, gradient_tile},
    {0},
};
