/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pad: modes constant, reflect, edge, wrap. A negative pad crops; what is left is then padded. All dtypes: only bytes move.
 *
 * The modes that repeat the tensor fill the output axis by axis, from the last to the first: along an axis, each padding slice is
 * a copy of a slice that is there already, whole in the axes after it.
 */
#include "graph/ops/move.h"
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

#include <inttypes.h>

enum mode { CONSTANT, REFLECT, EDGE, WRAP, N_MODES };
static const char *const mode_words[N_MODES] = {"constant", "reflect", "edge", "wrap"};

static enum assay_status pad_mode(const struct assay_node *node, enum mode *mode, struct assay_error *err)
{
    const char *word = assay_node_string(node, "mode", "constant");
    for (*mode = CONSTANT; *mode < N_MODES; (*mode)++)
        if (strcmp(word, mode_words[*mode]) == 0)
            return ASSAY_OK;
    return assay_error_set(err, ASSAY_INVALID, "mode %s is not one of constant, reflect, edge, wrap", word);
}

/* pads of each dimension: before and after. */
struct pads {
    int64_t before[ASSAY_MAX_RANK], after[ASSAY_MAX_RANK];
};

/* The dimensions that the list of pads speaks of, as a list; all of them if input 3 is not given. */
static enum assay_status padded_axes(const struct assay_op_call *call, int rank, int64_t *axes, size_t *n, bool *known,
                                     struct assay_error *err)
{
    *known = true;
    *n = (size_t)rank;
    for (int d = 0; d < rank; d++)
        axes[d] = d;
    if (!assay_rule_has_input(call, 3))
        return ASSAY_OK;
    const struct assay_tensor *list = assay_rule_data(call, 3);
    *known = list != NULL;
    if (!list)
        return ASSAY_OK;
    enum assay_status st = assay_rule_ints(list, axes, ASSAY_MAX_RANK, n, err);
    unsigned mask;
    return st ? st : assay_rule_axes(axes, *n, rank, &mask, err);
}

static enum assay_status read_pads(const struct assay_op_call *call, int rank, struct pads *pads, bool *known,
                                   struct assay_error *err)
{
    int64_t axes[ASSAY_MAX_RANK], list[2 * ASSAY_MAX_RANK];
    size_t n_axes, n;
    *pads = (struct pads){0};
    enum assay_status st = padded_axes(call, rank, axes, &n_axes, known, err);
    const struct assay_tensor *tensor = assay_rule_data(call, 1);
    *known &= tensor != NULL;
    if (st || !*known)
        return st;
    st = assay_rule_ints(tensor, list, ASSAY_COUNT(list), &n, err);
    if (st)
        return st;
    if (n != 2 * n_axes)
        return assay_error_set(err, ASSAY_INVALID, "there are %zu pads for %zu axes", n, n_axes);
    for (size_t k = 0; k < n_axes; k++) {
        int64_t axis = axes[k] + (axes[k] < 0 ? rank : 0);
        pads->before[axis] = list[k];
        pads->after[axis] = list[n_axes + k];
    }
    return ASSAY_OK;
}

static int64_t positive(int64_t pad) { return pad > 0 ? pad : 0; }
static int64_t negative(int64_t pad) { return pad < 0 ? pad : 0; }

/* The padded length of a dimension, and what the crops leave of it. */
static enum assay_status padded_dim(int64_t dim, int64_t before, int64_t after, enum mode mode, int64_t *padded,
                                    struct assay_error *err)
{
    int64_t left = dim + negative(before);
    if (left < 0 || negative(after) < -left)
        return assay_error_set(err, ASSAY_INVALID, "pads %" PRId64 " and %" PRId64 " crop more than a dimension of %" PRId64,
                               before, after, dim);
    left += negative(after);
    if (__builtin_add_overflow(left, positive(before), padded) || __builtin_add_overflow(*padded, positive(after), padded))
        return assay_error_set(err, ASSAY_INVALID, "pads %" PRId64 " and %" PRId64 " overflow", before, after);
    if (mode != CONSTANT && left == 0 && *padded > 0)
        return assay_error_set(err, ASSAY_INVALID, "mode %s has nothing to repeat along a dimension of 0", mode_words[mode]);
    return ASSAY_OK;
}

static enum assay_status infer_pad(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *out = &call->outputs[0];
    *out = call->inputs[0];
    enum mode mode;
    enum assay_status st = pad_mode(call->node, &mode, err);
    if (!st && assay_rule_has_input(call, 2))
        st = assay_rule_same_dtype(call, 0, 2, err);
    const struct assay_tensor *value = assay_rule_data(call, 2);
    if (!st && value && assay_tensor_count(value) != 1)
        st = assay_error_set(err, ASSAY_INVALID, "the constant value must be a scalar");
    if (st || out->rank < 0)
        return st;
    struct pads pads;
    bool known;
    st = read_pads(call, out->rank, &pads, &known, err);
    for (int d = 0; d < out->rank && !st; d++) {
        int64_t dim = call->inputs[0].dims[d];
        if (!known || (dim < 0 && (pads.before[d] || pads.after[d])))
            out->dims[d] = -1;
        else if (dim >= 0)
            st = padded_dim(dim, pads.before[d], pads.after[d], mode, &out->dims[d], err);
    }
    return st;
}

/* Where in the inner part [0, n) the element at `index` (outside of it) comes from. */
static int64_t source_index(enum mode mode, int64_t index, int64_t n)
{
    if (mode == EDGE || n == 1)
        return index < 0 ? 0 : n - 1;
    int64_t period = mode == WRAP ? n : 2 * (n - 1);
    int64_t at = index % period;
    at += at < 0 ? period : 0;
    return at < n ? at : period - at;
}

/* Fills the paddings along `axis` in all dense `out`. dims: what is filled so far; grows along the axis. */
static void repeat_axis(const struct assay_move_side *out, int rank, int axis, int64_t *dims, int64_t *start, int64_t padded,
                        enum mode mode)
{
    int64_t n = dims[axis], stride = out->strides[axis];
    struct assay_move_side to = *out, from = *out;
    char *inner = out->data;
    for (int d = 0; d < rank; d++)
        inner += start[d] * out->strides[d];
    dims[axis] = 1;
    for (int64_t i = -start[axis]; i < padded - start[axis]; i++) {
        if (i == 0) {
            i += n - 1;
            continue;
        }
        to.data = inner + i * stride;
        from.data = inner + source_index(mode, i, n) * stride;
        assay_move(&to, &from, rank, dims, (size_t)out->strides[rank - 1]);
    }
    dims[axis] = padded;
    start[axis] = 0;
}

static enum assay_status run_pad(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0], *value = assay_rule_data(call, 2);
    struct assay_tensor *out = &call->results[0];
    int rank = in->type.rank;
    int64_t count = assay_tensor_count(out);
    size_t size = assay_dtype_size(in->type.dtype);
    enum mode mode;
    struct pads pads;
    bool known;
    enum assay_status st = pad_mode(call->node, &mode, err);
    if (!st)
        st = read_pads(call, rank, &pads, &known, err);
    if (st || count == 0)
        return st;
    struct assay_move_side whole, to, from;
    assay_move_dense(&whole, out->data, rank, out->type.dims, size);
    assay_move_dense(&from, in->data, rank, in->type.dims, size);
    if (mode == CONSTANT) {
        const uint64_t zero = 0;
        struct assay_move_side all = {.data = out->data, .strides = {(int64_t)size}};
        struct assay_move_side one = {.data = value ? value->data : (void *)&zero};
        assay_move(&all, &one, 1, &count, size);
    }
    int64_t dims[ASSAY_MAX_RANK], start[ASSAY_MAX_RANK];
    bool empty = false;
    for (int d = 0; d < rank; d++) {
        dims[d] = in->type.dims[d] + negative(pads.before[d]) + negative(pads.after[d]);
        start[d] = positive(pads.before[d]);
        empty |= dims[d] == 0;
    }
    if (empty)
        return ASSAY_OK;
    to = whole;
    for (int d = 0; d < rank; d++) {
        to.data += start[d] * whole.strides[d];
        from.data -= negative(pads.before[d]) * from.strides[d];
    }
    assay_move(&to, &from, rank, dims, size);
    for (int d = rank - 1; d >= 0 && mode != CONSTANT; d--)
        repeat_axis(&whole, rank, d, dims, start, out->type.dims[d], mode);
    return ASSAY_OK;
}

/* ---- gradient */

static bool pads_of(const struct assay_gradient *g, enum mode *mode, struct pads *pads)
{
    bool known = false;
    struct assay_op_call call = e_call(g->e, g->node);
    enum assay_status st = pad_mode(g->node, mode, NULL);
    if (!st)
        st = read_pads(&call, call.inputs[0].rank, pads, &known, NULL);
    return e_take_known(g->e, st, &known, "its pads must be constant");
}

/* Crops what was padded, pads with zeros what was cropped. */
static int pad_back(struct assay_gradient *g, const struct pads *pads)
{
    struct assay_emit *e = g->e;
    int rank = g_type(g, 0)->rank;
    int64_t starts[ASSAY_MAX_RANK], ends[ASSAY_MAX_RANK], axes[ASSAY_MAX_RANK], back[2 * ASSAY_MAX_RANK];
    size_t n = 0;
    bool crops = false;
    for (int d = 0; d < rank; d++) {
        back[d] = -pads->before[d];
        back[rank + d] = -pads->after[d];
        crops |= pads->before[d] < 0 || pads->after[d] < 0;
        if (pads->before[d] || pads->after[d]) {
            starts[n] = pads->before[d];
            ends[n] = pads->before[d] + g_type(g, 0)->dims[d];
            axes[n++] = d;
        }
    }
    if (crops)
        return e_op(e, "Pad", E_VALUES(g->out[0], e_ints(e, 2 * (size_t)rank, back)));
    return n ? e_op(e, "Slice", E_VALUES(g->out[0], e_ints(e, n, starts), e_ints(e, n, ends), e_ints(e, n, axes))) : g->out[0];
}

/* Dimension d of the padded is dimension d of the original at a list of indices. */
static int gather_back(struct assay_emit *e, int dy, int d, int64_t dim, int64_t before, int64_t after, enum mode mode)
{
    struct assay_type shape = *e_type(e, dy), list = assay_type_make(ASSAY_I64, 1, &shape.dims[d]);
    struct assay_tensor indices;
    int64_t n = dim + negative(before) + negative(after);
    struct assay_error err;
    if (e->status)
        return -1;
    if (assay_tensor_alloc(&indices, &list, &err))
        return e_fail(e, err.status, "%s", err.message);
    for (int64_t i = 0; i < shape.dims[d]; i++) {
        int64_t at = i - positive(before);
        ((int64_t *)indices.data)[i] = (at < 0 || at >= n ? source_index(mode, at, n) : at) - negative(before);
    }
    int places = assay_graph_add_constant(e->graph, "pad/indices", &indices);
    assay_tensor_release(&indices);
    shape.dims[d] = dim;
    int dx = e_own(e, "GatherGradient", E_VALUES(dy, places));
    e_set_int(e, "axis", d);
    e_set_ints(e, "input_shape", (size_t)shape.rank, shape.dims);
    return dx;
}

static void gradient_pad(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    struct pads pads;
    enum mode mode;
    const struct assay_type x = *g_type(g, 0);
    if (!pads_of(g, &mode, &pads))
        return;
    int dx = g->out[0];
    for (int d = 0; d < x.rank && mode != CONSTANT; d++)
        if (pads.before[d] || pads.after[d])
            dx = gather_back(e, dx, d, x.dims[d], pads.before[d], pads.after[d], mode);
    g->in[0] = mode == CONSTANT ? pad_back(g, &pads) : dx;
    if (g_wants(g, 2) && mode == CONSTANT) { /* what does not go to x goes to the constant */
        int outside = e_sub(e, e_unary(e, "ReduceSum", g->out[0]), e_unary(e, "ReduceSum", g->in[0]));
        g->in[2] = e_reshape_like(e, outside, g_input(g, 2));
    }
}

const struct assay_op assay_ops_pad[] = {
    {"Pad", "", 2, 4, 0, infer_pad, run_pad, NULL, gradient_pad},
    {0},
};
