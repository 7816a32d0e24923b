/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products: MatMul, Gemm, and the quantized MatMulInteger and QLinearMatMul. The product itself is gemm.h's; here are
 * shapes, broadcasting, and the integer types for which double is too small. */
#include "graph/gradient.h"
#include "graph/ops/gemm.h"
#include "graph/ops/requantize.h"
#include "graph/ops/util.h"

#include <stdlib.h>

/* ---- shapes */

/* NumPy's matmul, of types with any dimensions unknown: [batch a, m, k] · [batch b, k, n]; a vector is a matrix whose other
 * dimension is left out of the result. */
static enum assay_status matmul_shape(const struct assay_type *a, const struct assay_type *b, struct assay_type *out,
                                      struct assay_error *err)
{
    out->rank = -1;
    if (a->rank == 0 || b->rank == 0)
        return assay_error_set(err, ASSAY_INVALID, "a scalar is no matrix");
    if (a->rank < 0 || b->rank < 0)
        return ASSAY_OK;
    struct assay_type batch_a = *a, batch_b = *b;
    batch_a.rank = a->rank > 2 ? a->rank - 2 : 0;
    batch_b.rank = b->rank > 2 ? b->rank - 2 : 0;
    int64_t k = a->dims[a->rank - 1];
    enum assay_status st =
        assay_rule_merge_dim(&k, b->dims[b->rank > 1 ? b->rank - 2 : 0], "the inner dimension of the product", err);
    if (!st)
        st = assay_rule_broadcast(&batch_a, &batch_b, out, err);
    if (st)
        return st;
    if (a->rank > 1)
        out->dims[out->rank++] = a->dims[a->rank - 2];
    if (b->rank > 1)
        out->dims[out->rank++] = b->dims[b->rank - 1];
    return ASSAY_OK;
}

/* A batched product at known types. */
struct product {
    int64_t m, n, k;
    struct assay_type batch_a, batch_b, batch; /* the leading dimensions of A, B and the result */
};

static struct product product_of(const struct assay_type *a, const struct assay_type *b, const struct assay_type *out)
{
    struct product p = {.m = a->rank > 1 ? a->dims[a->rank - 2] : 1, .n = b->rank > 1 ? b->dims[b->rank - 1] : 1};
    p.k = a->dims[a->rank - 1];
    p.batch_a = *a;
    p.batch_b = *b;
    p.batch = *out;
    p.batch_a.rank = a->rank > 2 ? a->rank - 2 : 0;
    p.batch_b.rank = b->rank > 2 ? b->rank - 2 : 0;
    p.batch.rank = out->rank - (a->rank > 1) - (b->rank > 1);
    /* One B for all of A's batch: one tall product. */
    if (assay_type_count(&p.batch_b) == 1 && assay_type_count(&p.batch_a) == assay_type_count(&p.batch)) {
        p.m *= assay_type_count(&p.batch);
        p.batch_a.rank = p.batch_b.rank = p.batch.rank = 0;
    }
    return p;
}

/* ---- i32, u32, i64, u64: sums wrap around, as two's complement does */

/* result[m, n] = A · B + add; strides as in struct assay_gemm. */
#define INTEGER_PRODUCT(name, type)                                                                                              \
    static void name(const struct assay_gemm *g)                                                                                 \
    {                                                                                                                            \
        const type *a = g->a.data, *b = g->b.data, *add = g->add.data;                                                           \
        for (int64_t i = 0; i < g->m; i++) {                                                                                     \
            type *c = (type *)g->c + i * g->c_row_stride;                                                                        \
            for (int64_t j = 0; j < g->n; j++) {                                                                                 \
                uint64_t sum = add ? (uint64_t)add[i * g->add.row_stride + j * g->add.column_stride] : 0;                        \
                for (int64_t p = 0; p < g->k; p++)                                                                               \
                    sum += (uint64_t)a[i * g->a.row_stride + p * g->a.column_stride] *                                           \
                           (uint64_t)b[p * g->b.row_stride + j * g->b.column_stride];                                            \
                c[j] = (type)sum;                                                                                                \
            }                                                                                                                    \
        }                                                                                                                        \
    }
INTEGER_PRODUCT(multiply_i32, int32_t)
INTEGER_PRODUCT(multiply_u32, uint32_t)
INTEGER_PRODUCT(multiply_i64, int64_t)
INTEGER_PRODUCT(multiply_u64, uint64_t)

static enum assay_status multiply(const struct assay_gemm *g, struct assay_error *err)
{
    switch (g->a_type) {
    case ASSAY_I32:
        multiply_i32(g);
        return ASSAY_OK;
    case ASSAY_U32:
        multiply_u32(g);
        return ASSAY_OK;
    case ASSAY_I64:
        multiply_i64(g);
        return ASSAY_OK;
    case ASSAY_U64:
        multiply_u64(g);
        return ASSAY_OK;
    default:
        return assay_gemm_run(g, err);
    }
}

enum {
    MATMUL_TYPES = ASSAY_SET_FLOAT | ASSAY_DTYPE_BIT(ASSAY_I32) | ASSAY_DTYPE_BIT(ASSAY_U32) | ASSAY_DTYPE_BIT(ASSAY_I64) |
                   ASSAY_DTYPE_BIT(ASSAY_U64)
};

/* ---- MatMul */

static enum assay_status infer_matmul(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = assay_rule_dtype(call, 0, MATMUL_TYPES, err);
    if (!st)
        st = assay_rule_same_dtype(call, 0, 1, err);
    call->outputs[0].dtype = call->inputs[0].dtype;
    return st ? st : matmul_shape(&call->inputs[0], &call->inputs[1], &call->outputs[0], err);
}

/* The products of a whole batch into `out`, contiguous; `g` has types and zero points, and here gets the rest. */
static enum assay_status multiply_batch(const struct product *p, struct assay_gemm *g, const struct assay_tensor *a,
                                        const struct assay_tensor *b, void *out, size_t out_size, struct assay_error *err)
{
    size_t a_size = assay_dtype_size(a->type.dtype), b_size = assay_dtype_size(b->type.dtype);
    const struct assay_type *batches[] = {&p->batch_a, &p->batch_b};
    g->m = p->m;
    g->n = p->n;
    g->k = p->k;
    g->a = (struct assay_matrix){.row_stride = p->k, .column_stride = 1};
    g->b = (struct assay_matrix){.row_stride = p->n, .column_stride = 1};
    g->c = out;
    g->c_row_stride = p->n;
    struct assay_walk walk;
    for (assay_walk_broadcast(&walk, &p->batch, 2, batches); walk.more; assay_walk_next(&walk)) {
        for (int64_t i = 0; i < walk.n; i++) {
            int64_t at_a = (walk.offset[0] + i * walk.step[0]) * p->m * p->k;
            int64_t at_b = (walk.offset[1] + i * walk.step[1]) * p->k * p->n;
            g->a.data = (const char *)a->data + (size_t)at_a * a_size;
            g->b.data = (const char *)b->data + (size_t)at_b * b_size;
            enum assay_status st = multiply(g, err);
            if (st)
                return st;
            g->c = (char *)g->c + (size_t)(p->m * p->n) * out_size;
        }
    }
    return ASSAY_OK;
}

static enum assay_status run_matmul(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *a = call->data[0], *b = call->data[1];
    struct assay_tensor *y = &call->results[0];
    if (assay_tensor_count(y) == 0)
        return ASSAY_OK;
    struct product p = product_of(&a->type, &b->type, &y->type);
    struct assay_gemm g = {.a_type = a->type.dtype, .b_type = b->type.dtype, .alpha = 1};
    return multiply_batch(&p, &g, a, b, y->data, assay_dtype_size(y->type.dtype), err);
}

static void cost_matmul(const struct assay_op_call *call, struct assay_cost *cost)
{
    const struct assay_type *a = &call->inputs[0];
    cost->flops = 2 * (double)assay_type_count(&call->outputs[0]) * (double)a->dims[a->rank - 1];
}

/* ---- Gemm */

static enum assay_status infer_gemm(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *a = &call->inputs[0], *b = &call->inputs[1];
    struct assay_type *y = &call->outputs[0];
    enum assay_status st = assay_rule_dtype(call, 0, MATMUL_TYPES, err);
    for (int i = 0; i < 2 && !st; i++)
        st = assay_rule_rank(call, i, 2, 2, err);
    for (int i = 1; i < call->n_inputs && !st; i++)
        st = assay_rule_same_dtype(call, 0, i, err);
    if (st)
        return st;
    if (assay_dtype_is_integer(a->dtype) &&
        (assay_node_float(call->node, "alpha", 1) != 1 || assay_node_float(call->node, "beta", 1) != 1))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "alpha and beta other than 1 are not supported for integers");
    int trans_a = assay_node_int(call->node, "transA", 0) != 0, trans_b = assay_node_int(call->node, "transB", 0) != 0;
    *y = assay_type_make(a->dtype, 2, (int64_t[]){-1, -1});
    int64_t k = -1;
    if (a->rank == 2) {
        y->dims[0] = a->dims[trans_a];
        k = a->dims[!trans_a];
    }
    if (b->rank == 2) {
        y->dims[1] = b->dims[!trans_b];
        st = assay_rule_merge_dim(&k, b->dims[trans_b], "the inner dimension of the product", err);
    }
    if (st || !assay_rule_has_input(call, 2) || !assay_type_is_known(y) || !assay_type_is_known(&call->inputs[2]))
        return st;
    struct assay_type all = {0};
    st = assay_rule_broadcast(y, &call->inputs[2], &all, err);
    if (!st && (all.rank != 2 || all.dims[0] != y->dims[0] || all.dims[1] != y->dims[1]))
        st = assay_error_set(err, ASSAY_INVALID, "input 2 does not broadcast to the product of the others");
    return st;
}

static enum assay_status run_gemm(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *a = call->data[0], *b = call->data[1], *add = assay_rule_data(call, 2);
    struct assay_tensor *y = &call->results[0];
    if (assay_tensor_count(y) == 0)
        return ASSAY_OK;
    bool trans_a = assay_node_int(call->node, "transA", 0) != 0, trans_b = assay_node_int(call->node, "transB", 0) != 0;
    struct assay_gemm g = {.m = y->type.dims[0], .n = y->type.dims[1], .k = a->type.dims[trans_a ? 0 : 1]};
    g.a_type = g.b_type = a->type.dtype;
    g.a = (struct assay_matrix){a->data, trans_a ? 1 : g.k, trans_a ? g.m : 1};
    g.b = (struct assay_matrix){b->data, trans_b ? 1 : g.n, trans_b ? g.k : 1};
    g.alpha = (double)assay_node_float(call->node, "alpha", 1);
    g.beta = (double)assay_node_float(call->node, "beta", 1);
    if (add) {
        const struct assay_type *type = &add->type;
        int64_t columns = type->rank > 0 ? type->dims[type->rank - 1] : 1, rows = type->rank > 1 ? type->dims[0] : 1;
        g.add = (struct assay_matrix){add->data, rows == 1 ? 0 : columns, columns == 1 ? 0 : 1};
    }
    g.c = y->data;
    g.c_row_stride = g.n;
    return multiply(&g, err);
}

static void cost_gemm(const struct assay_op_call *call, struct assay_cost *cost)
{
    bool trans_a = assay_node_int(call->node, "transA", 0) != 0;
    double count = (double)assay_type_count(&call->outputs[0]);
    cost->flops = 2 * count * (double)call->inputs[0].dims[trans_a ? 0 : 1] + (assay_rule_has_input(call, 2) ? count : 0);
}

/* ---- MatMulInteger, QLinearMatMul */

static enum assay_status infer_matmul_integer(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_8BIT, err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_SET_8BIT, err);
    for (int i = 0; i < 2 && !st; i++)
        if (assay_rule_has_input(call, 2 + i))
            st = assay_rule_same_dtype(call, i, 2 + i, err);
    call->outputs[0].dtype = ASSAY_I32;
    return st ? st : matmul_shape(&call->inputs[0], &call->inputs[1], &call->outputs[0], err);
}

/* Zero points of rows of A and columns of B go with the rows and columns of one matrix, so a batch of A must not be folded into
 * its rows then. */
static struct product integer_product_of(const struct assay_op_call *call, int b, const struct assay_quant *left)
{
    struct product p = product_of(&call->inputs[0], &call->inputs[b], &call->outputs[0]);
    const struct assay_type *a = &call->inputs[0];
    if (a->rank > 2 && (left->zero_stride || left->scale_stride) && p.m != a->dims[a->rank - 2]) {
        p.m = a->dims[a->rank - 2];
        p.batch_a = p.batch_b = p.batch = *a;
        p.batch_a.rank = p.batch.rank = a->rank - 2;
        p.batch_b.rank = 0;
    }
    return p;
}

static int64_t rows_of(const struct assay_type *a) { return a->rank > 1 ? a->dims[a->rank - 2] : 1; }
static int64_t columns_of(const struct assay_type *b) { return b->rank > 1 ? b->dims[b->rank - 1] : 1; }

/* A · B in integers, into `sums`. */
static enum assay_status multiply_quantized(const struct assay_op_call *call, int b, const struct assay_quant *left,
                                            const struct assay_quant *right, int32_t *sums, struct assay_error *err)
{
    struct product p = integer_product_of(call, b, left);
    struct assay_gemm g = {.a_type = call->inputs[0].dtype, .b_type = call->inputs[b].dtype};
    g.a_zero = assay_quant_zeros(left);
    g.b_zero = assay_quant_zeros(right);
    g.a_zero_stride = left->zero_stride;
    g.b_zero_stride = right->zero_stride;
    return multiply_batch(&p, &g, call->data[0], call->data[b], sums, sizeof *sums, err);
}

static enum assay_status run_matmul_integer(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_quant left = {0}, right = {0};
    enum assay_status st = ASSAY_OK;
    if (assay_tensor_count(&call->results[0]) == 0)
        return ASSAY_OK;
    st = assay_quant_init(&left, call, -1, 2, rows_of(&call->inputs[0]), "A", err);
    if (!st)
        st = assay_quant_init(&right, call, -1, 3, columns_of(&call->inputs[1]), "B", err);
    if (!st)
        st = multiply_quantized(call, 1, &left, &right, call->results[0].data, err);
    assay_quant_release(&left);
    assay_quant_release(&right);
    return st;
}

enum { QLINEAR_A, QLINEAR_A_SCALE, QLINEAR_A_ZERO, QLINEAR_B, QLINEAR_B_SCALE, QLINEAR_B_ZERO, QLINEAR_Y_SCALE, QLINEAR_Y_ZERO };

static enum assay_status infer_qlinear_matmul(struct assay_op_call *call, struct assay_error *err)
{
    static const int eight_bit[] = {QLINEAR_A, QLINEAR_A_ZERO, QLINEAR_B, QLINEAR_B_ZERO, QLINEAR_Y_ZERO};
    static const int scales[] = {QLINEAR_A_SCALE, QLINEAR_B_SCALE, QLINEAR_Y_SCALE};
    enum assay_status st = assay_rule_dtypes(call, ASSAY_COUNT(eight_bit), eight_bit, ASSAY_SET_8BIT, err);
    if (!st)
        st = assay_rule_dtypes(call, ASSAY_COUNT(scales), scales, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_same_dtype(call, QLINEAR_A, QLINEAR_A_ZERO, err);
    if (!st)
        st = assay_rule_same_dtype(call, QLINEAR_B, QLINEAR_B_ZERO, err);
    call->outputs[0].dtype = call->inputs[QLINEAR_Y_ZERO].dtype;
    return st ? st : matmul_shape(&call->inputs[QLINEAR_A], &call->inputs[QLINEAR_B], &call->outputs[0], err);
}

static enum assay_status run_qlinear_matmul(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_tensor *y = &call->results[0], sums = {0};
    struct assay_quant left = {0}, right = {0}, out = {0};
    if (assay_tensor_count(y) == 0)
        return ASSAY_OK;
    int64_t m = rows_of(&call->inputs[QLINEAR_A]), n = columns_of(&call->inputs[QLINEAR_B]);
    struct assay_type sum_type = y->type;
    sum_type.dtype = ASSAY_I32;
    enum assay_status st = assay_quant_init(&left, call, QLINEAR_A_SCALE, QLINEAR_A_ZERO, m, "a", err);
    if (!st)
        st = assay_quant_init(&right, call, QLINEAR_B_SCALE, QLINEAR_B_ZERO, n, "b", err);
    if (!st)
        st = assay_quant_init(&out, call, QLINEAR_Y_SCALE, QLINEAR_Y_ZERO, 1, "y", err);
    if (!st)
        st = assay_tensor_alloc(&sums, &sum_type, err);
    if (!st)
        st = multiply_quantized(call, QLINEAR_B, &left, &right, sums.data, err);
    for (int64_t row = 0; !st && row < assay_tensor_count(y) / n; row++)
        assay_requantize(y->data, y->type.dtype, row * n, (const int32_t *)sums.data + row * n, n,
                         assay_quant_scale(&left, row % m) / assay_quant_scale(&out, 0), right.scale.data, right.scale_stride,
                         assay_quant_zeros(&out)[0]);
    assay_quant_release(&left);
    assay_quant_release(&right);
    assay_quant_release(&out);
    assay_tensor_release(&sums);
    return st;
}

/* ---- gradients */

/* y = a · b: da = dy · bᵀ, db = aᵀ · dy, summed where batch dimensions were broadcast. Where b is one matrix for a whole batch of
 * a, the batch is one long dimension of the product, instead of a sum over many. */
static void gradient_matmul(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int a = g_input(g, 0), b = g_input(g, 1), dy = g->out[0];
    struct assay_type ta = *g_type(g, 0), tb = *g_type(g, 1);
    if (tb.rank == 1) {
        b = e_unsqueeze(e, b, E_INTS(1));
        dy = e_unsqueeze(e, dy, E_INTS(-1));
    }
    if (ta.rank == 1) {
        a = e_unsqueeze(e, a, E_INTS(0));
        dy = e_unsqueeze(e, dy, E_INTS(-2));
    }
    int rank_b = e_type(e, b)->rank, rank_a = e_type(e, a)->rank;
    if (g_wants(g, 0)) {
        int da = e_matmul(e, dy, e_transpose_last(e, b));
        g->in[0] = ta.rank == 1 ? e_reshape_like(e, g_sum_to(e, da, a), g_input(g, 0)) : g_sum_to(e, da, a);
    }
    if (!g_wants(g, 1))
        return;
    if (rank_b == 2 && rank_a > 2) {
        const struct assay_type *d = e_type(e, dy);
        int64_t k = e_type(e, a)->dims[rank_a - 1], n = d->dims[d->rank - 1];
        a = e_reshape(e, a, E_INTS(-1, k));
        dy = e_reshape(e, dy, E_INTS(-1, n));
    }
    int db = e_matmul(e, e_transpose_last(e, a), dy);
    g->in[1] = e_reshape_like(e, g_sum_to(e, db, b), g_input(g, 1));
}

static int gemm(struct assay_emit *e, int a, int b, bool trans_a, bool trans_b, double alpha)
{
    int y = e_op(e, "Gemm", E_VALUES(a, b));
    e_set_int(e, "transA", trans_a);
    e_set_int(e, "transB", trans_b);
    e_set_float(e, "alpha", alpha);
    return y;
}

/* y = alpha op(a) · op(b) + beta c, op being a transpose or nothing. */
static void gradient_gemm(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int a = g_input(g, 0), b = g_input(g, 1), dy = g->out[0];
    bool ta = assay_node_int(g->node, "transA", 0), tb = assay_node_int(g->node, "transB", 0);
    double alpha = assay_node_float(g->node, "alpha", 1), beta = assay_node_float(g->node, "beta", 1);
    if (g_wants(g, 0))
        g->in[0] = ta ? gemm(e, b, dy, tb, true, alpha) : gemm(e, dy, b, false, !tb, alpha);
    if (g_wants(g, 1))
        g->in[1] = tb ? gemm(e, dy, a, true, ta, alpha) : gemm(e, a, dy, !ta, false, alpha);
    if (g_wants(g, 2))
        g_set(g, 2, e_scale(e, dy, beta));
}

const struct assay_op assay_ops_matmul[] = {
    {"MatMul", "", 2, 2, ASSAY_OP_VIA_F32, infer_matmul, run_matmul, cost_matmul, gradient_matmul},
    {"Gemm", "", 2, 3, ASSAY_OP_VIA_F32, infer_gemm, run_gemm, cost_gemm, gradient_gemm},
    {"MatMulInteger", "", 2, 4, 0, infer_matmul_integer, run_matmul_integer, cost_matmul},
    {"QLinearMatMul", "", 8, 8, ASSAY_OP_VIA_F32, infer_qlinear_matmul, run_qlinear_matmul, cost_matmul},
    {0},
};
