/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A product of which both sides may change from run to run, as training has them; of the domain "assay", made by a pass
 * (graph/passes/pass_product.c):
 *
 *     MatMul(a, b, bias [n]?) {perm_a, perm_b, perm_y: ints; alpha; to} -> y
 *         y = Transpose(alpha · Transpose(a, perm_a) · Transpose(b, perm_b) + bias, perm_y), the product being MatMul's of
 *         operands of two dimensions or more; a permutation that is not given changes nothing.
 *         `to` = f32: so is y, not rounded to the dtype of the sides.
 */
#include "graph/ops/gemm.h"
#include "graph/ops/util.h"

#include <string.h>

/* The permutation of that name, which must be one of `rank` dimensions. */
static enum assay_status read_perm(const struct assay_node *node, const char *name, int rank, int perm[ASSAY_MAX_RANK],
                                   struct assay_error *err)
{
    size_t n;
    unsigned seen = 0;
    const int64_t *given = assay_node_ints(node, name, &n);
    for (int d = 0; d < rank; d++)
        perm[d] = d;
    if (!given)
        return ASSAY_OK;
    for (size_t d = 0; d < n && n == (size_t)rank; d++) {
        if (given[d] < 0 || given[d] >= rank)
            break;
        perm[d] = (int)given[d];
        seen |= 1u << given[d];
    }
    if (n != (size_t)rank || seen != (1u << rank) - 1)
        return assay_error_set(err, ASSAY_INVALID, "%s does not permute %d dimensions", name, rank);
    return ASSAY_OK;
}

static enum assay_status permuted(const struct assay_node *node, const char *name, const struct assay_type *from,
                                  struct assay_type *to, int perm[ASSAY_MAX_RANK], struct assay_error *err)
{
    enum assay_status st = read_perm(node, name, from->rank, perm, err);
    struct assay_type result = *from;
    for (int d = 0; d < from->rank && !st; d++)
        result.dims[d] = from->dims[perm[d]];
    *to = result;
    return st;
}

/* The operands as the product sees them, and its result before perm_y. */
struct sides {
    struct assay_type a, b, y;
    int perm_a[ASSAY_MAX_RANK], perm_b[ASSAY_MAX_RANK], perm_y[ASSAY_MAX_RANK];
};

static enum assay_status find_sides(const struct assay_op_call *call, struct sides *s, struct assay_error *err)
{
    const struct assay_node *node = call->node;
    enum assay_status st = permuted(node, "perm_a", &call->inputs[0], &s->a, s->perm_a, err);
    if (!st)
        st = permuted(node, "perm_b", &call->inputs[1], &s->b, s->perm_b, err);
    if (st)
        return st;
    struct assay_type left = s->a, right = s->b;
    left.rank -= 2;
    right.rank -= 2;
    s->y = s->a;
    int64_t k = s->a.dims[s->a.rank - 1], n = s->b.dims[s->b.rank - 1];
    st = assay_rule_merge_dim(&k, s->b.dims[s->b.rank - 2], "the inner dimension of the product", err);
    if (!st)
        st = assay_rule_broadcast(&left, &right, &s->y, err);
    if (st)
        return st;
    s->y.dims[s->y.rank++] = s->a.dims[s->a.rank - 2];
    s->y.dims[s->y.rank++] = n;
    if (assay_rule_has_input(call, 2) && call->inputs[2].rank >= 0) {
        st = assay_rule_rank(call, 2, 1, 1, err);
        if (!st)
            st = assay_rule_merge_dim(&n, call->inputs[2].dims[0], "the length of the bias", err);
    }
    return st ? st : read_perm(node, "perm_y", s->y.rank, s->perm_y, err);
}

static enum assay_status infer_product(struct assay_op_call *call, struct assay_error *err)
{
    struct sides s;
    struct assay_type *y = &call->outputs[0];
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT16 | ASSAY_DTYPE_BIT(ASSAY_F32), err);
    if (!st)
        st = assay_rule_same_dtype(call, 0, 1, err);
    if (!st && assay_rule_has_input(call, 2))
        st = assay_rule_same_dtype(call, 0, 2, err);
    for (int i = 0; i < 2 && !st; i++)
        st = assay_rule_rank(call, i, 2, ASSAY_MAX_RANK, err);
    int64_t to = assay_node_int(call->node, "to", 0);
    if (!st && to && to != ASSAY_F32)
        st = assay_error_set(err, ASSAY_INVALID, "the result may be f32 or of the dtype of its sides, not of dtype %lld",
                             (long long)to);
    y->dtype = to ? ASSAY_F32 : call->inputs[0].dtype;
    y->rank = -1;
    if (st || call->inputs[0].rank < 0 || call->inputs[1].rank < 0)
        return st;
    st = find_sides(call, &s, err);
    if (st)
        return st;
    y->rank = s.y.rank;
    for (int d = 0; d < y->rank; d++)
        y->dims[d] = s.y.dims[s.perm_y[d]];
    return ASSAY_OK;
}

/* Strides of an operand's dimensions as the product sees them, where it is broadcast 0, aligned with the product's rank. */
static void strides_of(const struct assay_type *type, const int *perm, const struct assay_type *seen, int rank,
                       int64_t strides[ASSAY_MAX_RANK])
{
    int64_t own[ASSAY_MAX_RANK];
    int lead = rank - type->rank;
    assay_dims_strides(type, own);
    for (int d = 0; d < rank; d++)
        strides[d] = d < lead || (d < rank - 2 && seen->dims[d - lead] == 1) ? 0 : own[perm[d - lead]];
}

/* One matrix after another into `made` [batch, m, n]. */
static enum assay_status multiply(struct assay_op_call *call, const struct sides *s, float *made, struct assay_error *err)
{
    int rank = s->y.rank;
    int64_t strides[2][ASSAY_MAX_RANK];
    strides_of(&call->inputs[0], s->perm_a, &s->a, rank, strides[0]);
    strides_of(&call->inputs[1], s->perm_b, &s->b, rank, strides[1]);
    struct assay_gemm g = {
        .a_type = ASSAY_F32,
        .b_type = ASSAY_F32,
        .m = s->y.dims[rank - 2],
        .n = s->y.dims[rank - 1],
        .k = s->a.dims[s->a.rank - 1],
        .alpha = (double)assay_node_float(call->node, "alpha", 1),
        .a = {.row_stride = strides[0][rank - 2], .column_stride = strides[0][rank - 1]},
        .b = {.row_stride = strides[1][rank - 2], .column_stride = strides[1][rank - 1]},
        .c_row_stride = s->y.dims[rank - 1],
    };
    if (assay_rule_has_input(call, 2)) {
        g.add = (struct assay_matrix){.data = call->data[2]->data, .row_stride = 0, .column_stride = 1};
        g.beta = 1;
    }
    struct assay_walk w;
    for (assay_walk_strided(&w, rank - 2, s->y.dims, 2, strides); w.more; assay_walk_next(&w))
        for (int64_t i = 0; i < w.n; i++) {
            g.a.data = (const float *)call->data[0]->data + w.offset[0] + i * w.step[0];
            g.b.data = (const float *)call->data[1]->data + w.offset[1] + i * w.step[1];
            g.c = made;
            enum assay_status st = assay_gemm_run(&g, err);
            if (st)
                return st;
            made += g.m * g.n;
        }
    return ASSAY_OK;
}

static enum assay_status run_product(struct assay_op_call *call, struct assay_error *err)
{
    struct sides s;
    struct assay_tensor made, *y = &call->results[0];
    int64_t strides[1][ASSAY_MAX_RANK], own[ASSAY_MAX_RANK];
    enum assay_status st = find_sides(call, &s, err);
    if (st || assay_tensor_count(y) == 0)
        return st;
    st = assay_tensor_alloc(&made, &s.y, err);
    if (st)
        return st;
    st = multiply(call, &s, made.data, err);
    assay_dims_strides(&s.y, own);
    for (int d = 0; d < s.y.rank; d++)
        strides[0][d] = own[s.perm_y[d]];
    float *to = y->data;
    const float *from = made.data;
    struct assay_walk w;
    for (assay_walk_strided(&w, y->type.rank, y->type.dims, 1, strides); w.more && !st; assay_walk_next(&w))
        for (int64_t i = 0; i < w.n; i++)
            *to++ = from[w.offset[0] + i * w.step[0]];
    assay_tensor_release(&made);
    return st;
}

static void cost_product(const struct assay_op_call *call, struct assay_cost *cost)
{
    int perm[ASSAY_MAX_RANK];
    const struct assay_type *a = &call->inputs[0];
    if (read_perm(call->node, "perm_a", a->rank, perm, NULL) == ASSAY_OK)
        cost->flops = 2 * (double)assay_type_count(&call->outputs[0]) * (double)a->dims[perm[a->rank - 1]];
}

const struct assay_op assay_ops_product[] = {
    {"MatMul", "assay", 2, 3, ASSAY_OP_VIA_F32, infer_product, run_product, cost_product},
    {0},
};
