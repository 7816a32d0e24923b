/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops that read a shape (Shape, Size) or give a tensor another one without touching its bytes (Identity, Reshape, Flatten,
 * Squeeze, Unsqueeze; and two identities of our own: StopGradient, which has no
 * gradient, and Barrier(x, after), which is not computed before `after` is, graph/recompute.h). All dtypes. The kernels of Shape
 * and Size use the input's type alone, so that they also run where its contents are not known.
 */
#include "graph/gradient.h"
#include "graph/ops/util.h"

#include <inttypes.h>

static void cost_nothing(const struct assay_op_call *call, struct assay_cost *cost)
{
    (void)call;
    *cost = (struct assay_cost){0};
}

static enum assay_status run_view(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    assay_tensor_release(&call->results[0]);
    assay_tensor_view(&call->results[0], call->data[0], &call->outputs[0]);
    return ASSAY_OK;
}

static enum assay_status infer_identity(struct assay_op_call *call, struct assay_error *err)
{
    return assay_rule_same(call, ASSAY_SET_ANY, err);
}

/* ---- Shape, Size */

/* Attributes start and end of Shape as a range [*from, *to) of the input's dimensions: out of range is clamped. */
static void shape_range(const struct assay_op_call *call, int *from, int *to)
{
    int rank = call->inputs[0].rank;
    int64_t ends[2] = {assay_node_int(call->node, "start", 0), assay_node_int(call->node, "end", rank)};
    for (int i = 0; i < 2; i++) {
        ends[i] += ends[i] < 0 ? rank : 0;
        ends[i] = ends[i] < 0 ? 0 : ends[i] > rank ? rank : ends[i];
    }
    *from = (int)ends[0];
    *to = (int)(ends[1] < ends[0] ? ends[0] : ends[1]);
}

static enum assay_status infer_shape(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    int64_t n = -1;
    if (call->inputs[0].rank >= 0) {
        int from, to;
        shape_range(call, &from, &to);
        n = to - from;
    }
    call->outputs[0] = assay_type_make(ASSAY_I64, 1, &n);
    return ASSAY_OK;
}

static enum assay_status run_shape(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    int from, to;
    shape_range(call, &from, &to);
    memcpy(call->results[0].data, call->inputs[0].dims + from, (size_t)(to - from) * sizeof(int64_t));
    return ASSAY_OK;
}

static enum assay_status infer_size(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    call->outputs[0] = assay_type_make(ASSAY_I64, 0, NULL);
    return ASSAY_OK;
}

static enum assay_status run_size(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    *(int64_t *)call->results[0].data = assay_type_count(&call->inputs[0]);
    return ASSAY_OK;
}

/* ---- Reshape */

/* The output as far as it follows from the length of a shape whose contents are not known. */
static enum assay_status infer_rank_of_list(struct assay_op_call *call, int list, int more, struct assay_error *err)
{
    const struct assay_type *type = &call->inputs[list];
    struct assay_type *out = &call->outputs[0];
    if (type->rank != 1 || type->dims[0] < 0)
        return ASSAY_OK;
    if (type->dims[0] + more > ASSAY_MAX_RANK || type->dims[0] > ASSAY_MAX_RANK)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "a tensor of rank %" PRId64 " is not supported, %d is the limit",
                               type->dims[0] + more, ASSAY_MAX_RANK);
    out->rank = (int)type->dims[0] + more;
    for (int d = 0; d < out->rank; d++)
        out->dims[d] = -1;
    return ASSAY_OK;
}

/* Dimension `hole` of out (written as -1 in the model): what is left of the input's elements. An unknown dimension that is copied
 * to its own place stands on both sides and cancels out. */
static enum assay_status fill_hole(const struct assay_type *in, struct assay_type *out, int hole, unsigned copied,
                                   struct assay_error *err)
{
    int64_t have = 1, taken = 1;
    bool overflow = false;
    for (int d = 0; d < in->rank; d++) {
        if (copied >> d & 1)
            continue;
        if (in->dims[d] < 0)
            return ASSAY_OK;
        overflow |= __builtin_mul_overflow(have, in->dims[d], &have);
    }
    for (int d = 0; d < out->rank; d++)
        if (d != hole && !(copied >> d & 1))
            overflow |= __builtin_mul_overflow(taken, out->dims[d], &taken);
    if (overflow)
        return assay_error_set(err, ASSAY_INVALID, "the number of elements overflows");
    if (taken == 0 || have % taken)
        return assay_error_set(err, ASSAY_INVALID, "%" PRId64 " elements cannot be spread over rows of %" PRId64, have, taken);
    out->dims[hole] = have / taken;
    return ASSAY_OK;
}

static enum assay_status infer_reshape(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    struct assay_type *out = &call->outputs[0];
    out->dtype = in->dtype;
    const struct assay_tensor *list = assay_rule_data(call, 1);
    if (!list)
        return infer_rank_of_list(call, 1, 0, err);
    int64_t wanted[ASSAY_MAX_RANK];
    size_t n;
    enum assay_status st = assay_rule_ints(list, wanted, ASSAY_MAX_RANK, &n, err);
    if (st)
        return st;
    bool allow_zero = assay_node_int(call->node, "allowzero", 0) != 0, zero = false;
    int hole = -1;
    unsigned copied = 0;
    out->rank = (int)n;
    for (int d = 0; d < out->rank; d++) {
        out->dims[d] = wanted[d];
        if (wanted[d] == -1) {
            if (hole >= 0)
                return assay_error_set(err, ASSAY_INVALID, "more than one dimension of the shape is -1");
            hole = d;
        } else if (wanted[d] < 0) {
            return assay_error_set(err, ASSAY_INVALID, "dimension %d of the shape is %" PRId64, d, wanted[d]);
        } else if (wanted[d] == 0 && !allow_zero && in->rank >= 0) {
            if (d >= in->rank)
                return assay_error_set(err, ASSAY_INVALID, "dimension %d is to be copied from a tensor of rank %d", d, in->rank);
            out->dims[d] = in->dims[d];
            copied |= 1u << d;
        } else if (wanted[d] == 0 && !allow_zero) {
            out->dims[d] = -1;
        }
        zero |= wanted[d] == 0;
    }
    if (allow_zero && zero && hole >= 0)
        return assay_error_set(err, ASSAY_INVALID, "allowzero does not go with both 0 and -1 in the shape");
    if (hole >= 0 && in->rank >= 0) {
        st = fill_hole(in, out, hole, copied, err);
        if (st)
            return st;
    }
    int64_t before = assay_type_count(in), after = assay_type_count(out);
    if (before >= 0 && after >= 0 && before != after)
        return assay_error_set(err, ASSAY_INVALID, "%" PRId64 " elements do not fit a shape of %" PRId64, before, after);
    return ASSAY_OK;
}

/* ---- Flatten, Squeeze, Unsqueeze */

static enum assay_status infer_flatten(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    int64_t dims[2] = {-1, -1};
    if (in->rank >= 0) {
        int64_t axis = assay_node_int(call->node, "axis", 1);
        if (axis < -in->rank || axis > in->rank)
            return assay_error_set(err, ASSAY_INVALID, "axis %" PRId64 " does not exist in a tensor of rank %d", axis, in->rank);
        int at = (int)(axis < 0 ? axis + in->rank : axis);
        struct assay_type left = assay_type_make(in->dtype, at, in->dims);
        struct assay_type right = assay_type_make(in->dtype, in->rank - at, in->dims + at);
        dims[0] = assay_type_count(&left);
        dims[1] = assay_type_count(&right);
    }
    call->outputs[0] = assay_type_make(in->dtype, 2, dims);
    return ASSAY_OK;
}

static enum assay_status infer_squeeze(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    struct assay_type *out = &call->outputs[0];
    out->dtype = in->dtype;
    int64_t axes[ASSAY_MAX_RANK];
    size_t n;
    bool given, known;
    enum assay_status st = assay_rule_ints_of(call, "axes", 1, axes, ASSAY_MAX_RANK, &n, &given, &known, err);
    if (st || in->rank < 0)
        return st;
    if (given && !known) {
        const struct assay_type *list = &call->inputs[1];
        if (list->rank == 1 && list->dims[0] >= 0 && list->dims[0] <= in->rank) {
            out->rank = in->rank - (int)list->dims[0];
            for (int d = 0; d < out->rank; d++)
                out->dims[d] = -1;
        }
        return ASSAY_OK;
    }
    unsigned mask = 0;
    st = given ? assay_rule_axes(axes, n, in->rank, &mask, err) : ASSAY_OK;
    if (st)
        return st;
    int rank = 0;
    for (int d = 0; d < in->rank; d++) {
        if (!given && in->dims[d] == -1)
            return ASSAY_OK; /* it may be 1 */
        bool drop = given ? mask >> d & 1 : in->dims[d] == 1;
        if (drop && in->dims[d] != 1 && in->dims[d] != -1)
            return assay_error_set(err, ASSAY_INVALID, "dimension %d is %" PRId64 ", not 1", d, in->dims[d]);
        if (!drop)
            out->dims[rank++] = in->dims[d];
    }
    out->rank = rank;
    return ASSAY_OK;
}

static enum assay_status infer_unsqueeze(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    struct assay_type *out = &call->outputs[0];
    out->dtype = in->dtype;
    int64_t axes[ASSAY_MAX_RANK];
    size_t n;
    bool given, known;
    enum assay_status st = assay_rule_ints_of(call, "axes", 1, axes, ASSAY_MAX_RANK, &n, &given, &known, err);
    if (st || in->rank < 0)
        return st;
    if (!given)
        return assay_error_set(err, ASSAY_INVALID, "there are no axes");
    if (!known)
        return infer_rank_of_list(call, 1, in->rank, err);
    int rank = in->rank + (int)n;
    if (rank > ASSAY_MAX_RANK)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "a tensor of rank %d is not supported, %d is the limit", rank,
                               ASSAY_MAX_RANK);
    unsigned mask;
    st = assay_rule_axes(axes, n, rank, &mask, err);
    if (st)
        return st;
    out->rank = rank;
    for (int d = 0, from = 0; d < rank; d++)
        out->dims[d] = mask >> d & 1 ? 1 : in->dims[from++];
    return ASSAY_OK;
}

/* ---- gradients */

static void gradient_view(struct assay_gradient *g) { g->in[0] = e_reshape_like(g->e, g->out[0], g_input(g, 0)); }

/* A view that a runtime has no reason to see through (graph/recompute.h). */
static enum assay_status infer_barrier(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    call->outputs[0] = call->inputs[0];
    return ASSAY_OK;
}

static void expand_stop(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    outputs[0] = e_unary(e, "Identity", node->inputs[0]);
}

const struct assay_op assay_ops_shape[] = {
    {"Identity", "", 1, 1, ASSAY_OP_VIEW, infer_identity, run_view, cost_nothing, gradient_view},
    {"StopGradient", "assay", 1, 1, ASSAY_OP_VIEW | ASSAY_OP_FLAT, infer_identity, run_view, cost_nothing, NULL, expand_stop},
    {"Barrier", "assay", 2, 2, ASSAY_OP_VIEW | ASSAY_OP_FLAT, infer_barrier, run_view, cost_nothing, NULL, expand_stop},
    {"Shape", "", 1, 1, ASSAY_OP_FLAT, infer_shape, run_shape, cost_nothing},
    {"Size", "", 1, 1, ASSAY_OP_FLAT, infer_size, run_size, cost_nothing},
    {"Reshape", "", 2, 2, ASSAY_OP_VIEW, infer_reshape, run_view, cost_nothing, gradient_view},
    {"Flatten", "", 1, 1, ASSAY_OP_VIEW, infer_flatten, run_view, cost_nothing, gradient_view},
    {"Squeeze", "", 1, 2, ASSAY_OP_VIEW, infer_squeeze, run_view, cost_nothing, gradient_view},
    {"Unsqueeze", "", 1, 2, ASSAY_OP_VIEW, infer_unsqueeze, run_view, cost_nothing, gradient_view},
    {0},
};
