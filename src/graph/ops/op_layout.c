/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops that put the elements of a tensor in another order: Transpose, DepthToSpace, SpaceToDepth, ReverseSequence; and Trilu,
 * which leaves half of them out. All dtypes: only bytes move.
 */
#include "graph/gradient.h"
#include "graph/ops/move.h"
#include "graph/ops/util.h"

#include <inttypes.h>

/* out[i…] = in at strides (bytes); `out` is dense over dims. */
static void gather_strided(void *out, const void *in, int rank, const int64_t *dims, const int64_t *strides, size_t size)
{
    struct assay_move_side to, from = {.data = (char *)in};
    assay_move_dense(&to, out, rank, dims, size);
    memcpy(from.strides, strides, (size_t)rank * sizeof *strides);
    assay_move(&to, &from, rank, dims, size);
}

/* ---- Transpose */

/* perm of a tensor of that rank; the default reverses the dimensions. */
static enum assay_status permutation(const struct assay_op_call *call, int rank, int *perm, struct assay_error *err)
{
    size_t n;
    const int64_t *given = assay_node_ints(call->node, "perm", &n);
    for (int d = 0; d < rank; d++)
        perm[d] = rank - 1 - d;
    if (!given)
        return ASSAY_OK;
    if (n != (size_t)rank)
        return assay_error_set(err, ASSAY_INVALID, "perm has %zu numbers for a tensor of rank %d", n, rank);
    unsigned seen = 0;
    for (int d = 0; d < rank; d++) {
        if (given[d] < 0 || given[d] >= rank || (seen >> given[d] & 1))
            return assay_error_set(err, ASSAY_INVALID, "perm is no permutation of 0 to %d", rank - 1);
        seen |= 1u << given[d];
        perm[d] = (int)given[d];
    }
    return ASSAY_OK;
}

static enum assay_status infer_transpose(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    struct assay_type *out = &call->outputs[0];
    *out = *in;
    if (in->rank < 0)
        return ASSAY_OK;
    int perm[ASSAY_MAX_RANK];
    enum assay_status st = permutation(call, in->rank, perm, err);
    for (int d = 0; d < in->rank && !st; d++)
        out->dims[d] = in->dims[perm[d]];
    return st;
}

static enum assay_status run_transpose(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0];
    int rank = in->type.rank, perm[ASSAY_MAX_RANK];
    size_t size = assay_dtype_size(in->type.dtype);
    enum assay_status st = permutation(call, rank, perm, err);
    if (st)
        return st;
    struct assay_move_side from;
    assay_move_dense(&from, in->data, rank, in->type.dims, size);
    int64_t strides[ASSAY_MAX_RANK];
    for (int d = 0; d < rank; d++)
        strides[d] = from.strides[perm[d]];
    gather_strided(call->results[0].data, in->data, rank, call->outputs[0].dims, strides, size);
    return ASSAY_OK;
}

/* ---- DepthToSpace, SpaceToDepth */

static enum assay_status block_size(const struct assay_op_call *call, int64_t *block, struct assay_error *err)
{
    *block = assay_node_int(call->node, "blocksize", 0);
    if (*block < 1 || *block > INT32_MAX)
        return assay_error_set(err, ASSAY_INVALID, "blocksize is %" PRId64, *block);
    return assay_rule_rank(call, 0, 4, 4, err);
}

static enum assay_status is_divisible(int64_t dim, int64_t by, struct assay_error *err)
{
    if (dim >= 0 && dim % by)
        return assay_error_set(err, ASSAY_INVALID, "a dimension of %" PRId64 " is no multiple of %" PRId64, dim, by);
    return ASSAY_OK;
}

static enum assay_status multiply_dim(int64_t *dim, int64_t by, struct assay_error *err)
{
    if (*dim >= 0 && __builtin_mul_overflow(*dim, by, dim))
        return assay_error_set(err, ASSAY_INVALID, "a dimension overflows");
    return ASSAY_OK;
}

static bool depth_is_outer(const struct assay_node *node) { return strcmp(assay_node_string(node, "mode", "DCR"), "DCR") == 0; }

static enum assay_status infer_depth_to_space(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *out = &call->outputs[0];
    *out = call->inputs[0];
    int64_t block;
    enum assay_status st = block_size(call, &block, err);
    if (st || out->rank < 0)
        return st;
    if (!depth_is_outer(call->node) && strcmp(assay_node_string(call->node, "mode", ""), "CRD") != 0)
        return assay_error_set(err, ASSAY_INVALID, "mode must be DCR or CRD");
    st = is_divisible(out->dims[1], block * block, err);
    if (!st && out->dims[1] >= 0)
        out->dims[1] /= block * block;
    for (int d = 2; d < 4 && !st; d++)
        st = multiply_dim(&out->dims[d], block, err);
    return st;
}

static enum assay_status run_depth_to_space(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    const struct assay_tensor *in = call->data[0];
    int64_t b = assay_node_int(call->node, "blocksize", 0), h = in->type.dims[2], w = in->type.dims[3];
    int64_t c = call->outputs[0].dims[1], size = (int64_t)assay_dtype_size(in->type.dtype);
    if (assay_tensor_count(in) == 0)
        return ASSAY_OK;
    int64_t plane = h * w * size;
    bool dcr = depth_is_outer(call->node);
    /* Output [n, c, h, block row, w, block column]; input channels are [block row, block column, c] or [c, row, column]. */
    int64_t dims[6] = {in->type.dims[0], c, h, b, w, b};
    int64_t strides[6] = {c * b * b * plane,      dcr ? plane : b * b * plane, w * size, dcr ? b * c * plane : b * plane, size,
                          dcr ? c * plane : plane};
    gather_strided(call->results[0].data, in->data, 6, dims, strides, (size_t)size);
    return ASSAY_OK;
}

static enum assay_status infer_space_to_depth(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *out = &call->outputs[0];
    *out = call->inputs[0];
    int64_t block;
    enum assay_status st = block_size(call, &block, err);
    if (st || out->rank < 0)
        return st;
    for (int d = 2; d < 4 && !st; d++) {
        st = is_divisible(out->dims[d], block, err);
        if (!st && out->dims[d] >= 0)
            out->dims[d] /= block;
    }
    return st ? st : multiply_dim(&out->dims[1], block * block, err);
}

static enum assay_status run_space_to_depth(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    const struct assay_tensor *in = call->data[0];
    int64_t b = assay_node_int(call->node, "blocksize", 0), size = (int64_t)assay_dtype_size(in->type.dtype);
    int64_t c = in->type.dims[1], h = call->outputs[0].dims[2], w = call->outputs[0].dims[3];
    if (assay_tensor_count(in) == 0)
        return ASSAY_OK;
    int64_t row = w * b * size, plane = h * b * row;
    /* Output [n, block row, block column, c, h, w]. */
    int64_t dims[6] = {in->type.dims[0], b, b, c, h, w};
    int64_t strides[6] = {c * plane, row, size, plane, b * row, b * size};
    gather_strided(call->results[0].data, in->data, 6, dims, strides, (size_t)size);
    return ASSAY_OK;
}

/* ---- ReverseSequence */

static enum assay_status infer_reverse_sequence(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    call->outputs[0] = *in;
    int64_t batch = assay_node_int(call->node, "batch_axis", 1), time = assay_node_int(call->node, "time_axis", 0);
    if (batch < 0 || batch > 1 || time != 1 - batch)
        return assay_error_set(err, ASSAY_INVALID, "batch_axis and time_axis must be 0 and 1, or 1 and 0");
    enum assay_status st = assay_rule_rank(call, 0, 2, ASSAY_MAX_RANK, err);
    if (!st)
        st = assay_rule_rank(call, 1, 1, 1, err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_DTYPE_BIT(ASSAY_I64), err);
    if (st || in->rank < 0 || call->inputs[1].rank < 0)
        return st;
    return assay_rule_merge_dim(&call->outputs[0].dims[batch], call->inputs[1].dims[0], "the number of sequences", err);
}

static enum assay_status run_reverse_sequence(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0];
    int batch = (int)assay_node_int(call->node, "batch_axis", 1);
    int64_t n_batches = in->type.dims[batch], n_times = in->type.dims[1 - batch];
    const int64_t *lengths = call->data[1]->data;
    for (int64_t b = 0; b < n_batches; b++)
        if (lengths[b] < 0 || lengths[b] > n_times)
            return assay_error_set(err, ASSAY_INVALID, "sequence %" PRId64 " has length %" PRId64 " of %" PRId64, b, lengths[b],
                                   n_times);
    if (assay_tensor_count(in) == 0)
        return ASSAY_OK;
    int64_t row = assay_dims_product(&in->type, 2, in->type.rank) * (int64_t)assay_dtype_size(in->type.dtype);
    int64_t batch_step = batch == 0 ? n_times * row : row, time_step = batch == 0 ? row : n_batches * row;
    char *to = call->results[0].data;
    const char *from = in->data;
    for (int64_t b = 0; b < n_batches; b++)
        for (int64_t t = 0; t < n_times; t++) {
            int64_t other = t < lengths[b] ? lengths[b] - 1 - t : t;
            memcpy(to + b * batch_step + t * time_step, from + b * batch_step + other * time_step, (size_t)row);
        }
    return ASSAY_OK;
}

/* ---- Trilu */

static enum assay_status infer_trilu(struct assay_op_call *call, struct assay_error *err)
{
    call->outputs[0] = call->inputs[0];
    enum assay_status st = assay_rule_rank(call, 0, 2, ASSAY_MAX_RANK, err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_DTYPE_BIT(ASSAY_I64), err);
    const struct assay_tensor *k = assay_rule_data(call, 1);
    if (!st && k && assay_tensor_count(k) != 1)
        return assay_error_set(err, ASSAY_INVALID, "k must be a scalar");
    return st;
}

static enum assay_status run_trilu(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    const struct assay_tensor *in = call->data[0], *diagonal = assay_rule_data(call, 1);
    int64_t count = assay_tensor_count(in), size = (int64_t)assay_dtype_size(in->type.dtype);
    if (count == 0)
        return ASSAY_OK;
    int64_t rows = in->type.dims[in->type.rank - 2], columns = in->type.dims[in->type.rank - 1];
    int64_t k = diagonal ? assay_tensor_int(diagonal, 0) : 0;
    k = k < -rows ? -rows : k > columns ? columns : k;
    bool upper = assay_node_int(call->node, "upper", 1) != 0;
    char *to = call->results[0].data;
    const char *from = in->data;
    for (int64_t i = 0; i < count / columns; i++, to += columns * size, from += columns * size) {
        /* Columns [0, cut) are below the diagonal; with `lower` the diagonal belongs to them. */
        int64_t cut = i % rows + k + (upper ? 0 : 1);
        cut = cut < 0 ? 0 : cut > columns ? columns : cut;
        size_t left = (size_t)(cut * size), right = (size_t)((columns - cut) * size);
        if (upper) {
            memset(to, 0, left);
            memcpy(to + left, from + left, right);
        } else {
            memcpy(to, from, left);
            memset(to + left, 0, right);
        }
    }
    return ASSAY_OK;
}

/* ---- gradients: back to where they were */

static void gradient_transpose(struct assay_gradient *g)
{
    const struct assay_op_call call = {.node = g->node};
    int rank = g_type(g, 0)->rank, perm[ASSAY_MAX_RANK];
    int64_t back[ASSAY_MAX_RANK];
    if (g->e->status || permutation(&call, rank, perm, NULL))
        return;
    for (int d = 0; d < rank; d++)
        back[perm[d]] = d;
    g->in[0] = e_transpose(g->e, g->out[0], (size_t)rank, back);
}

static void gradient_depth_to_space(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int64_t b = assay_node_int(g->node, "blocksize", 1);
    struct assay_type x = *g_type(g, 0);
    if (e->status)
        return;
    if (depth_is_outer(g->node)) {
        g->in[0] = e_unary(e, "SpaceToDepth", g->out[0]);
        e_set_int(e, "blocksize", b);
        return;
    }
    int dx = e_reshape(e, g->out[0], E_INTS(x.dims[0], x.dims[1] / (b * b), x.dims[2], b, x.dims[3], b));
    g->in[0] = e_reshape_like(e, e_transpose(e, dx, E_INTS(0, 1, 3, 5, 2, 4)), g_input(g, 0));
}

static void gradient_space_to_depth(struct assay_gradient *g)
{
    g->in[0] = e_unary(g->e, "DepthToSpace", g->out[0]);
    e_set_int(g->e, "blocksize", assay_node_int(g->node, "blocksize", 1));
}

/* For what is linear and its own transpose. */
static void gradient_same(struct assay_gradient *g)
{
    g->in[0] = e_op(g->e, g->node->type, E_VALUES(g->out[0], g_input(g, 1)));
    e_set_like(g->e, g->node);
}

const struct assay_op assay_ops_layout[] = {
    {"Transpose", "", 1, 1, 0, infer_transpose, run_transpose, NULL, gradient_transpose},
    {"DepthToSpace", "", 1, 1, 0, infer_depth_to_space, run_depth_to_space, NULL, gradient_depth_to_space},
    {"SpaceToDepth", "", 1, 1, 0, infer_space_to_depth, run_space_to_depth, NULL, gradient_space_to_depth},
    {"ReverseSequence", "", 2, 2, 0, infer_reverse_sequence, run_reverse_sequence, NULL, gradient_same},
    {"Trilu", "", 1, 2, 0, infer_trilu, run_trilu, NULL, gradient_same},
    {0},
};
