/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops that write elements by index into a copy of a tensor: ScatterElements (and Scatter, its old name), ScatterND, with
 * reductions none, add, mul, max, min. All dtypes; bool without arithmetic. Elements that are named more than once are combined
 * in the order of the updates. Integers wrap, and NaN stays NaN.
 */
#include "graph/ops/index.h"
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

#include <math.h>

enum reduction { NONE, ADD, MUL, MAX, MIN, N_REDUCTIONS };
static const char *const reduction_words[N_REDUCTIONS] = {"none", "add", "mul", "max", "min"};

static enum assay_status read_reduction(const struct assay_op_call *call, enum reduction *reduction, struct assay_error *err)
{
    const char *word = assay_node_string(call->node, "reduction", "none");
    for (*reduction = NONE; *reduction < N_REDUCTIONS; (*reduction)++)
        if (strcmp(word, reduction_words[*reduction]) == 0)
            break;
    if (*reduction == N_REDUCTIONS)
        return assay_error_set(err, ASSAY_INVALID, "reduction %s is not one of none, add, mul, max, min", word);
    if (*reduction != NONE && call->inputs[0].dtype == ASSAY_BOOL)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "reduction %s of dtype bool is not supported", word);
    return ASSAY_OK;
}

/* ---- data[positions[i]] = data[positions[i]] combined with updates[i] */

static void overwrite(char *data, const int64_t *positions, const char *updates, int64_t n, size_t size)
{
    switch (size) {
#define CASE(bytes)                                                                                                              \
    case bytes:                                                                                                                  \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            memcpy(data + positions[i] * bytes, updates + i * bytes, bytes);                                                     \
        break;
        CASE(1)
        CASE(2)
        CASE(4)
        CASE(8)
#undef CASE
    default:
        ASSAY_ASSERT(!"an element size that a dtype has");
    }
}

/* The four reductions of one dtype: READ and WRITE convert between what is stored and `type`, which wraps or is a float. */
#define COMBINE(word, stored, type, READ, WRITE, ADDED, MULTIPLIED, IS_NAN)                                                      \
    static void combine_##word(enum reduction reduction, stored *data, const int64_t *positions, const stored *updates,          \
                               int64_t n)                                                                                        \
    {                                                                                                                            \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            type a = READ(data[positions[i]]), b = READ(updates[i]);                                                             \
            type result = a;                                                                                                     \
            if (reduction == ADD)                                                                                                \
                result = ADDED;                                                                                                  \
            else if (reduction == MUL)                                                                                           \
                result = MULTIPLIED;                                                                                             \
            else if (IS_NAN || (reduction == MAX && b > a) || (reduction == MIN && b < a))                                       \
                result = b;                                                                                                      \
            data[positions[i]] = WRITE(result);                                                                                  \
        }                                                                                                                        \
    }
#define SAME(x) (x)
#define REAL(word, stored, type, READ, WRITE) COMBINE(word, stored, type, READ, WRITE, a + b, a * b, isnan(b))
#define INTEGER(word, type)                                                                                                      \
    COMBINE(word, type, type, SAME, SAME, (type)((uint64_t)a + (uint64_t)b), (type)((uint64_t)a * (uint64_t)b), false)
REAL(f32, float, float, SAME, SAME)
REAL(f64, double, double, SAME, SAME)
REAL(f16, uint16_t, float, assay_f16_to_f32, assay_f32_to_f16)
REAL(bf16, uint16_t, float, assay_bf16_to_f32, assay_f32_to_bf16)
INTEGER(i8, int8_t)
INTEGER(u8, uint8_t)
INTEGER(i16, int16_t)
INTEGER(u16, uint16_t)
INTEGER(i32, int32_t)
INTEGER(u32, uint32_t)
INTEGER(i64, int64_t)
INTEGER(u64, uint64_t)

static void combine(enum assay_dtype dtype, enum reduction reduction, void *data, const int64_t *positions, const void *updates,
                    int64_t n)
{
    if (reduction == NONE) {
        overwrite(data, positions, updates, n, assay_dtype_size(dtype));
        return;
    }
    switch (dtype) {
#define CASE(name, word)                                                                                                         \
    case name:                                                                                                                   \
        combine_##word(reduction, data, positions, updates, n);                                                                  \
        break;
        CASE(ASSAY_F32, f32)
        CASE(ASSAY_F64, f64)
        CASE(ASSAY_F16, f16)
        CASE(ASSAY_BF16, bf16)
        CASE(ASSAY_I8, i8)
        CASE(ASSAY_U8, u8)
        CASE(ASSAY_I16, i16)
        CASE(ASSAY_U16, u16)
        CASE(ASSAY_I32, i32)
        CASE(ASSAY_U32, u32)
        CASE(ASSAY_I64, i64)
        CASE(ASSAY_U64, u64)
#undef CASE
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets pass");
    }
}

/* Positions are handed to combine in chunks, so that its dispatch costs nothing. */
enum { CHUNK = 256 };

/* ---- ScatterElements */

static enum assay_status infer_scatter_elements(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0], *indices = &call->inputs[1], *updates = &call->inputs[2];
    call->outputs[0] = *in;
    enum reduction reduction;
    enum assay_status st = read_reduction(call, &reduction, err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_SET_INDEX, err);
    if (!st)
        st = assay_rule_same_dtype(call, 0, 2, err);
    if (!st)
        st = assay_rule_rank(call, 0, 1, ASSAY_MAX_RANK, err);
    if (st || in->rank < 0 || indices->rank < 0 || updates->rank < 0)
        return st;
    if (in->rank != indices->rank || in->rank != updates->rank)
        return assay_error_set(err, ASSAY_INVALID, "data, indices and updates have ranks %d, %d and %d", in->rank, indices->rank,
                               updates->rank);
    int axis;
    st = assay_rule_axis(assay_node_int(call->node, "axis", 0), in->rank, &axis, err);
    for (int d = 0; d < in->rank && !st; d++) {
        int64_t dim = indices->dims[d];
        st = assay_rule_merge_dim(&dim, updates->dims[d], "a dimension of indices and updates", err);
        if (!st && d != axis && in->dims[d] >= 0 && dim > in->dims[d])
            st = assay_error_set(err, ASSAY_INVALID, "dimension %d of the indices is %" PRId64 ", that of the data %" PRId64, d,
                                 dim, in->dims[d]);
    }
    return st;
}

static enum assay_status run_scatter_elements(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0];
    char *out = call->results[0].data;
    memcpy(out, in->data, (size_t)assay_tensor_bytes(in));
    enum reduction reduction;
    int rank = in->type.rank, axis;
    enum assay_status st = read_reduction(call, &reduction, err);
    if (!st)
        st = assay_rule_axis(assay_node_int(call->node, "axis", 0), rank, &axis, err);
    if (st || assay_tensor_count(call->data[1]) == 0)
        return st;
    if (assay_tensor_count(in) == 0)
        return assay_error_set(err, ASSAY_INVALID, "there is nothing that indices could point at: the data is empty");
    struct assay_tensor indices;
    st = assay_index_read(&indices, call->data[1], err);
    if (st)
        return st;
    int64_t strides[2][ASSAY_MAX_RANK], dim = in->type.dims[axis];
    assay_dims_strides(&indices.type, strides[0]);
    assay_dims_strides(&in->type, strides[1]);
    int64_t axis_stride = strides[1][axis];
    strides[1][axis] = 0;
    size_t size = assay_dtype_size(in->type.dtype);
    const int64_t *list = indices.data;
    const char *updates = call->data[2]->data;
    struct assay_walk walk;
    for (assay_walk_strided(&walk, rank, indices.type.dims, 2, strides); walk.more && !st; assay_walk_next(&walk)) {
        for (int64_t i = 0; i < walk.n && !st; i += CHUNK) {
            int64_t positions[CHUNK], n = walk.n - i < CHUNK ? walk.n - i : CHUNK, at = walk.offset[0] + i;
            for (int64_t k = 0; k < n && !st; k++) {
                int64_t index = list[at + k];
                if (assay_index_wrap(&index, dim))
                    positions[k] = walk.offset[1] + (i + k) * walk.step[1] + index * axis_stride;
                else
                    st = assay_index_refuse(list[at + k], dim, err);
            }
            if (!st)
                combine(in->type.dtype, reduction, out, positions, updates + (size_t)at * size, n);
        }
    }
    assay_tensor_release(&indices);
    return st;
}

/* ---- ScatterND */

static enum assay_status infer_scatter_nd(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0], *indices = &call->inputs[1], *updates = &call->inputs[2];
    call->outputs[0] = *in;
    enum reduction reduction;
    enum assay_status st = read_reduction(call, &reduction, err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_DTYPE_BIT(ASSAY_I64), err);
    if (!st)
        st = assay_rule_same_dtype(call, 0, 2, err);
    for (int i = 0; i < 2 && !st; i++)
        st = assay_rule_rank(call, i, 1, ASSAY_MAX_RANK, err);
    if (st || in->rank < 0 || indices->rank < 0 || indices->dims[indices->rank - 1] < 0)
        return st;
    int64_t tuple = indices->dims[indices->rank - 1];
    if (tuple < 1 || tuple > in->rank)
        return assay_error_set(err, ASSAY_INVALID, "an index of %" PRId64 " numbers does not point into rank %d", tuple,
                               in->rank);
    if (updates->rank < 0)
        return ASSAY_OK;
    int places = indices->rank - 1, rest = in->rank - (int)tuple;
    if (updates->rank != places + rest)
        return assay_error_set(err, ASSAY_INVALID, "updates have rank %d instead of %d", updates->rank, places + rest);
    for (int d = 0; d < updates->rank && !st; d++) {
        int64_t dim = d < places ? indices->dims[d] : in->dims[tuple + d - places];
        st = assay_rule_merge_dim(&dim, updates->dims[d], "a dimension of the updates", err);
    }
    return st;
}

static enum assay_status run_scatter_nd(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->data[0]->type, *indices = &call->data[1]->type;
    char *out = call->results[0].data;
    memcpy(out, call->data[0]->data, (size_t)assay_type_bytes(in));
    enum reduction reduction;
    enum assay_status st = read_reduction(call, &reduction, err);
    if (st || assay_tensor_count(call->data[2]) == 0)
        return st;
    if (assay_type_count(in) == 0)
        return assay_error_set(err, ASSAY_INVALID, "there is nothing that indices could point at: the data is empty");
    int tuple = (int)indices->dims[indices->rank - 1];
    int64_t strides[ASSAY_MAX_RANK], size = (int64_t)assay_dtype_size(in->dtype);
    assay_dims_strides(in, strides);
    int64_t n = assay_dims_product(indices, 0, indices->rank - 1), row = assay_dims_product(in, tuple, in->rank);
    const int64_t *index = call->data[1]->data;
    const char *updates = call->data[2]->data;
    for (int64_t i = 0; i < n; i++, index += tuple, updates += row * size) {
        int64_t at = 0;
        for (int k = 0; k < tuple; k++) {
            int64_t one = index[k];
            if (!assay_index_wrap(&one, in->dims[k]))
                return assay_index_refuse(index[k], in->dims[k], err);
            at += one * strides[k];
        }
        if (reduction == NONE) {
            memcpy(out + at * size, updates, (size_t)(row * size));
            continue;
        }
        for (int64_t from = 0; from < row; from += CHUNK) {
            int64_t positions[CHUNK], m = row - from < CHUNK ? row - from : CHUNK;
            for (int64_t k = 0; k < m; k++)
                positions[k] = at + from + k;
            combine(in->dtype, reduction, out, positions, updates + from * size, m);
        }
    }
    return ASSAY_OK;
}

static void cost_scatter(const struct assay_op_call *call, struct assay_cost *cost)
{
    if (strcmp(assay_node_string(call->node, "reduction", "none"), "none") != 0)
        cost->flops = (double)assay_type_count(&call->inputs[2]);
}

/* ---- gradients: data keeps those of its elements that were not overwritten, an update has that of its place */

static void gradient_scatter_by(struct assay_gradient *g, const char *pick, bool has_axis)
{
    struct assay_emit *e = g->e;
    const char *reduction = assay_node_string(g->node, "reduction", "none");
    bool overwrites = strcmp(reduction, "none") == 0;
    int indices = g_input(g, 1), dy = g->out[0];
    int64_t axis = assay_node_int(g->node, "axis", 0);
    if (!overwrites && strcmp(reduction, "add") != 0) {
        e_fail(e, ASSAY_UNSUPPORTED, "reduction %s has no gradient", reduction);
        return;
    }
    if (g_wants(g, 0) && overwrites) {
        g->in[0] = e_op(e, g->node->type, E_VALUES(dy, indices, e_full(e, 0, g_input(g, 2))));
        if (has_axis)
            e_set_int(e, "axis", axis);
    } else {
        g->in[0] = dy;
    }
    if (!g_wants(g, 2))
        return;
    g->in[2] = e_op(e, pick, E_VALUES(dy, indices));
    if (has_axis)
        e_set_int(e, "axis", axis);
}

static void gradient_scatter_elements(struct assay_gradient *g) { gradient_scatter_by(g, "GatherElements", true); }
static void gradient_scatter_nd(struct assay_gradient *g) { gradient_scatter_by(g, "GatherND", false); }

const struct assay_op assay_ops_scatter[] = {
    {"Scatter", "", 3, 3, 0, infer_scatter_elements, run_scatter_elements, cost_scatter, gradient_scatter_elements},
    {"ScatterElements", "", 3, 3, 0, infer_scatter_elements, run_scatter_elements, cost_scatter, gradient_scatter_elements},
    {"ScatterND", "", 3, 3, 0, infer_scatter_nd, run_scatter_nd, cost_scatter, gradient_scatter_nd},
    {0},
};
