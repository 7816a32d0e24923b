/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention (ONNX opset 23): softmax(scale · q kᵀ + mask) v, a head at a time.
 *
 *     q [batch, length, q_num_heads * d], k and v [batch, length, kv_num_heads * d], or all three [batch, heads, length, d];
 *     attn_mask: added, or bool (true = look), broadcast to [batch, heads, q length, all length];
 *     past_key, past_value [batch, kv heads, past, d] come before k and v, and all together are present_key, present_value.
 *
 * A group of q_num_heads / kv_num_heads queries shares a key. is_causal counts the queries from the first key on, as the text
 * of opset 23 has it; together with past keys, where later opsets read otherwise, it is not supported. The products are summed
 * in double, rounded to f32 at the scores, the probabilities, and the result.
 */
#include "graph/ops/gemm.h"
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { Q, K, V, MASK, PAST_KEY, PAST_VALUE };
enum { TYPES = ASSAY_SET_FLOAT16 | ASSAY_DTYPE_BIT(ASSAY_F32) };

/* [batch, heads, length, d], whatever of it is known, of inputs Q, K, V. */
struct side {
    int64_t batch, heads, length, d;
};

static enum assay_status read_side(const struct assay_op_call *call, int i, const char *attribute, struct side *side,
                                   struct assay_error *err)
{
    const struct assay_type *t = &call->inputs[i];
    int64_t heads = assay_node_int(call->node, attribute, 0);
    *side = (struct side){-1, -1, -1, -1};
    if (t->rank == 4) {
        *side = (struct side){t->dims[0], t->dims[1], t->dims[2], t->dims[3]};
        return ASSAY_OK;
    }
    if (heads < 1)
        return assay_error_set(err, ASSAY_INVALID, "inputs of rank 3 need %s, which must be positive", attribute);
    if (t->rank < 0) {
        side->heads = heads;
        return ASSAY_OK;
    }
    if (t->dims[2] >= 0 && t->dims[2] % heads != 0)
        return assay_error_set(err, ASSAY_INVALID, "input %d has %" PRId64 " numbers, which %" PRId64 " heads cannot share", i,
                               t->dims[2], heads);
    *side = (struct side){t->dims[0], heads, t->dims[1], t->dims[2] < 0 ? -1 : t->dims[2] / heads};
    return ASSAY_OK;
}

struct attention {
    struct side q, k, v;
    int64_t past, all; /* lengths; -1 = unknown */
};

static enum assay_status check_flags(const struct assay_op_call *call, struct assay_error *err)
{
    bool past = assay_rule_has_input(call, PAST_KEY);
    if (past != assay_rule_has_input(call, PAST_VALUE))
        return assay_error_set(err, ASSAY_INVALID, "past_key and past_value go together");
    if (assay_rule_has_output(call, 3))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "output 3, the product of queries and keys, is not supported");
    if (past && assay_node_int(call->node, "is_causal", 0))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "is_causal with past keys is not supported");
    return ASSAY_OK;
}

static enum assay_status read_past(const struct assay_op_call *call, struct attention *a, struct assay_error *err)
{
    a->all = a->k.length;
    if (!assay_rule_has_input(call, PAST_KEY))
        return ASSAY_OK;
    const struct assay_type *key = &call->inputs[PAST_KEY], *value = &call->inputs[PAST_VALUE];
    a->past = key->rank == 4 ? key->dims[2] : -1;
    enum assay_status st = value->rank == 4 ? assay_rule_merge_dim(&a->past, value->dims[2], "the past length", err) : ASSAY_OK;
    for (int i = 0; i < 2 && !st; i++) {
        const struct assay_type *t = i ? value : key;
        struct side *s = i ? &a->v : &a->k;
        if (t->rank != 4)
            continue;
        st = assay_rule_merge_dim(&s->batch, t->dims[0], "the batch of past and new keys or values", err);
        if (!st)
            st = assay_rule_merge_dim(&s->heads, t->dims[1], "the number of past and new heads", err);
        if (!st)
            st = assay_rule_merge_dim(&s->d, t->dims[3], "the size of a past and a new head", err);
    }
    if (a->all < 0 || a->past < 0)
        a->all = -1;
    else if (__builtin_add_overflow(a->all, a->past, &a->all))
        st = assay_error_set(err, ASSAY_INVALID, "the lengths overflow");
    return st;
}

static enum assay_status read_call(const struct assay_op_call *call, struct attention *a, struct assay_error *err)
{
    *a = (struct attention){0};
    enum assay_status st = check_flags(call, err);
    for (int i = Q; i <= V && !st; i++)
        st = assay_rule_rank(call, i, 3, 4, err);
    if (!st)
        st = read_side(call, Q, "q_num_heads", &a->q, err);
    if (!st)
        st = read_side(call, K, "kv_num_heads", &a->k, err);
    if (!st)
        st = read_side(call, V, "kv_num_heads", &a->v, err);
    if (!st)
        st = assay_rule_merge_dim(&a->q.batch, a->k.batch, "the batch", err);
    if (!st)
        st = assay_rule_merge_dim(&a->q.batch, a->v.batch, "the batch", err);
    if (!st)
        st = assay_rule_merge_dim(&a->k.length, a->v.length, "the length of keys and values", err);
    if (!st)
        st = assay_rule_merge_dim(&a->k.heads, a->v.heads, "the number of heads of keys and values", err);
    if (!st)
        st = read_past(call, a, err);
    if (!st)
        st = assay_rule_merge_dim(&a->q.d, a->k.d, "the size of a head of queries and keys", err);
    if (!st && a->q.heads >= 0 && a->k.heads >= 0 && (a->k.heads == 0 || a->q.heads % a->k.heads != 0))
        return assay_error_set(err, ASSAY_INVALID, "%" PRId64 " heads of queries cannot share %" PRId64 " of keys", a->q.heads,
                               a->k.heads);
    return st;
}

static struct assay_type present_type(const struct assay_op_call *call, const struct attention *a, const struct side *side)
{
    return assay_type_make(call->inputs[Q].dtype, 4, (const int64_t[]){side->batch, side->heads, a->all, side->d});
}

/* That the mask broadcasts to the scores. */
static enum assay_status check_mask(const struct assay_op_call *call, const struct attention *a, struct assay_error *err)
{
    if (!assay_rule_has_input(call, MASK))
        return ASSAY_OK;
    const struct assay_type *mask = &call->inputs[MASK];
    const int64_t dims[] = {a->q.batch, a->q.heads, a->q.length, a->all};
    if (mask->dtype != ASSAY_BOOL && mask->dtype != ASSAY_F32 && mask->dtype != call->inputs[Q].dtype &&
        mask->dtype != ASSAY_NO_DTYPE)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "a mask must be bool, f32, or of the dtype of the queries");
    enum assay_status st = assay_rule_rank(call, MASK, 0, 4, err);
    for (int d = 0; d < mask->rank && !st; d++) {
        int64_t wanted = dims[4 - mask->rank + d], have = mask->dims[d];
        if (have >= 0 && wanted >= 0 && have != 1 && have != wanted)
            st =
                assay_error_set(err, ASSAY_INVALID,
                                "dimension %d of the mask is %" PRId64 ", which does not broadcast to %" PRId64, d, have, wanted);
    }
    return st;
}

static enum assay_status infer_attention(struct assay_op_call *call, struct assay_error *err)
{
    struct attention a;
    enum assay_status st = assay_rule_dtype(call, Q, TYPES, err);
    if (!st)
        st = assay_rule_same_dtype(call, Q, K, err);
    if (!st)
        st = assay_rule_same_dtype(call, Q, V, err);
    call->outputs[0].dtype = call->inputs[Q].dtype;
    if (!st)
        st = read_call(call, &a, err);
    if (!st)
        st = check_mask(call, &a, err);
    if (st)
        return st;
    int rank = call->inputs[Q].rank;
    int64_t wide = -1;
    if (a.q.heads >= 0 && a.v.d >= 0 && __builtin_mul_overflow(a.q.heads, a.v.d, &wide))
        return assay_error_set(err, ASSAY_INVALID, "the size of the heads together overflows");
    if (rank == 3)
        call->outputs[0] = assay_type_make(call->inputs[Q].dtype, 3, (const int64_t[]){a.q.batch, a.q.length, wide});
    if (rank == 4)
        call->outputs[0] = assay_type_make(call->inputs[Q].dtype, 4, (const int64_t[]){a.q.batch, a.q.heads, a.q.length, a.v.d});
    if (call->n_outputs > 1)
        call->outputs[1] = present_type(call, &a, &a.k);
    if (call->n_outputs > 2)
        call->outputs[2] = present_type(call, &a, &a.v);
    return ASSAY_OK;
}

/* ---- the kernel */

/* Where a head's rows are. */
struct rows {
    float *data;
    int64_t stride;
};

static struct rows rows_of(const struct assay_tensor *t, const struct side *s, int64_t batch, int64_t head)
{
    if (t->type.rank == 4)
        return (struct rows){(float *)t->data + (batch * s->heads + head) * t->type.dims[2] * s->d, s->d};
    return (struct rows){(float *)t->data + (batch * t->type.dims[1] * s->heads + head) * s->d, s->heads * s->d};
}

/* Past and new keys or values one after another. */
static void join(const struct assay_op_call *call, const struct attention *a, int i, const struct side *s,
                 struct assay_tensor *present)
{
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t h = 0; h < s->heads; h++) {
            float *to = rows_of(present, s, b, h).data;
            struct rows from = rows_of(call->data[i], s, b, h);
            if (a->past > 0)
                memcpy(to, rows_of(call->data[PAST_KEY + i - K], s, b, h).data, (size_t)(a->past * s->d) * sizeof *to);
            for (int64_t t = 0; t < s->length; t++)
                memcpy(to + (a->past + t) * s->d, from.data + t * from.stride, (size_t)s->d * sizeof *to);
        }
}

struct mask {
    const struct assay_tensor *tensor; /* NULL = none */
    int64_t strides[4];                /* in elements, 0 where it is broadcast */
    int64_t past;                      /* causal: a query sees keys up to its own place; -1 = it sees all */
};

static struct mask read_mask(const struct assay_op_call *call)
{
    struct mask m = {.tensor = assay_rule_data(call, MASK), .past = assay_node_int(call->node, "is_causal", 0) ? 0 : -1};
    int64_t stride = 1;
    for (int d = m.tensor ? m.tensor->type.rank - 1 : -1; d >= 0; d--) {
        m.strides[4 - m.tensor->type.rank + d] = m.tensor->type.dims[d] == 1 ? 0 : stride;
        stride *= m.tensor->type.dims[d];
    }
    return m;
}

static double mask_at(const struct mask *m, int64_t b, int64_t h, int64_t query, int64_t key)
{
    if (m->past >= 0 && key > query + m->past)
        return -INFINITY;
    if (!m->tensor)
        return 0;
    int64_t at = b * m->strides[0] + h * m->strides[1] + query * m->strides[2] + key * m->strides[3];
    if (m->tensor->type.dtype == ASSAY_BOOL)
        return ((const unsigned char *)m->tensor->data)[at] ? 0 : -INFINITY;
    return (double)((const float *)m->tensor->data)[at];
}

/* A row of scores becomes probabilities. */
static void softmax(float *row, int64_t n)
{
    float most = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        most = row[i] > most ? row[i] : most;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)row[i] - (double)most);
    for (int64_t i = 0; i < n; i++)
        row[i] = (float)(exp((double)row[i] - (double)most) / sum);
}

struct head {
    const struct attention *a;
    struct mask mask;
    double scale, softcap;
    float *scores; /* [q length, all length] */
};

static enum assay_status run_head(const struct head *head, int64_t b, int64_t h, struct rows q, struct rows k, struct rows v,
                                  struct rows y, struct assay_error *err)
{
    const struct attention *a = head->a;
    struct assay_gemm g = {.m = a->q.length, .n = a->all, .k = a->q.d, .a_type = ASSAY_F32, .b_type = ASSAY_F32};
    g.alpha = head->scale;
    g.a = (struct assay_matrix){q.data, q.stride, 1};
    g.b = (struct assay_matrix){k.data, 1, k.stride};
    g.c = head->scores;
    g.c_row_stride = a->all;
    enum assay_status st = assay_gemm_run(&g, err);
    if (st)
        return st;
    for (int64_t i = 0; i < a->q.length; i++) {
        float *row = head->scores + i * a->all;
        for (int64_t t = 0; t < a->all; t++) {
            double score = (double)row[t];
            if (head->softcap > 0)
                score = head->softcap * tanh(score / head->softcap);
            row[t] = (float)(score + mask_at(&head->mask, b, h, i, t));
        }
        softmax(row, a->all);
    }
    g = (struct assay_gemm){.m = a->q.length, .n = a->v.d, .k = a->all, .a_type = ASSAY_F32, .b_type = ASSAY_F32, .alpha = 1};
    g.a = (struct assay_matrix){head->scores, a->all, 1};
    g.b = (struct assay_matrix){v.data, v.stride, 1};
    g.c = y.data;
    g.c_row_stride = y.stride;
    return assay_gemm_run(&g, err);
}

static enum assay_status run_heads(struct assay_op_call *call, struct head *head, const struct assay_tensor *key,
                                   const struct assay_tensor *value, struct assay_error *err)
{
    const struct attention *a = head->a;
    int64_t group = a->q.heads / a->k.heads;
    struct side out = a->q;
    out.d = a->v.d;
    enum assay_status st = ASSAY_OK;
    for (int64_t b = 0; b < a->q.batch; b++)
        for (int64_t h = 0; h < a->q.heads && !st; h++)
            st = run_head(head, b, h, rows_of(call->data[Q], &a->q, b, h), rows_of(key, &a->k, b, h / group),
                          rows_of(value, &a->v, b, h / group), rows_of(&call->results[0], &out, b, h), err);
    return st;
}

static enum assay_status run_attention(struct assay_op_call *call, struct assay_error *err)
{
    struct attention a;
    struct assay_tensor present[2] = {0}, scores = {0};
    enum assay_status st = read_call(call, &a, err);
    bool joined = call->n_outputs > 1 || assay_rule_has_input(call, PAST_KEY);
    for (int i = 0; i < 2 && joined && !st; i++) {
        const struct side *s = i ? &a.v : &a.k;
        struct assay_type type = present_type(call, &a, s);
        if (call->n_outputs > 1 + i)
            assay_tensor_share(&present[i], &call->results[1 + i]);
        else
            st = assay_tensor_alloc(&present[i], &type, err);
        if (!st && assay_tensor_count(&present[i]) > 0)
            join(call, &a, K + i, s, &present[i]);
    }
    if (st || assay_tensor_count(&call->results[0]) == 0)
        goto done;
    struct assay_type type = assay_type_make(ASSAY_F32, 2, (const int64_t[]){a.q.length, a.all});
    st = assay_tensor_alloc(&scores, &type, err);
    if (st)
        goto done;
    struct head head = {.a = &a, .mask = read_mask(call), .scores = scores.data};
    head.scale = (double)assay_node_float(call->node, "scale", (float)(1 / sqrt((double)a.q.d)));
    head.softcap = (double)assay_node_float(call->node, "softcap", 0);
    st = run_heads(call, &head, joined ? &present[0] : call->data[K], joined ? &present[1] : call->data[V], err);
done:
    assay_tensor_release(&scores);
    assay_tensor_release(&present[0]);
    assay_tensor_release(&present[1]);
    return st;
}

/* Two products, and five operations a score: mask, maximum, exponential, sum, division. */
static void cost_attention(const struct assay_op_call *call, struct assay_cost *cost)
{
    struct attention a;
    if (read_call(call, &a, NULL))
        return;
    double scores = (double)a.q.batch * (double)a.q.heads * (double)a.q.length * (double)a.all;
    cost->flops = scores * (2 * (double)(a.q.d + a.v.d) + 5);
}

/* ---- gradients, in standard ops: the scores are made once more */

/* An input or gradient as [batch, heads, length, d]. */
static int by_head(struct assay_emit *e, int x, int64_t heads)
{
    struct assay_type t = *e_type(e, x);
    if (e->status || t.rank == 4)
        return x;
    x = e_reshape(e, x, E_INTS(t.dims[0], t.dims[1], heads, t.dims[2] / heads));
    return e_transpose(e, x, E_INTS(0, 2, 1, 3));
}

/* The way back, for input i. */
static int as_input(struct assay_gradient *g, int i, int x)
{
    if (g_type(g, i)->rank == 4)
        return x;
    return e_reshape_like(g->e, e_transpose(g->e, x, E_INTS(0, 2, 1, 3)), g_input(g, i));
}

/* Each head of keys or values as often as queries share it; and the sum of their gradients. */
static int repeat_heads(struct assay_emit *e, int x, int64_t group)
{
    struct assay_type t = *e_type(e, x);
    if (e->status || group == 1)
        return x;
    x = e_expand(e, e_unsqueeze(e, x, E_INTS(2)), e_ints(e, E_INTS(t.dims[0], t.dims[1], group, t.dims[2], t.dims[3])));
    return e_reshape(e, x, E_INTS(t.dims[0], t.dims[1] * group, t.dims[2], t.dims[3]));
}

static int sum_heads(struct assay_emit *e, int x, int64_t group)
{
    struct assay_type t = *e_type(e, x);
    if (e->status || group == 1)
        return x;
    x = e_reshape(e, x, E_INTS(t.dims[0], t.dims[1] / group, group, t.dims[2], t.dims[3]));
    return e_reduce(e, "ReduceSum", x, false, E_INTS(2));
}

static int range(struct assay_emit *e, int64_t n) { return e_op(e, "Range", E_VALUES(e_int(e, 0), e_int(e, n), e_int(e, 1))); }

/* Mask and causality. */
static int masked(struct assay_gradient *g, const struct attention *a, int scores)
{
    struct assay_emit *e = g->e;
    int mask = g_input(g, MASK), never = e_number(e, -(double)INFINITY, scores);
    if (mask >= 0 && g_type(g, MASK)->dtype == ASSAY_BOOL)
        scores = e_where(e, mask, scores, never);
    else if (mask >= 0)
        scores = e_add(e, scores, e_cast(e, mask, e_type(e, scores)->dtype));
    if (!assay_node_int(g->node, "is_causal", 0))
        return scores;
    int queries = e_reshape(e, range(e, a->q.length), E_INTS(a->q.length, 1));
    return e_where(e, e_op(e, "LessOrEqual", E_VALUES(range(e, a->all), queries)), scores, never);
}

/* All that is wanted, given what the node is. */
static void emit_gradients(struct assay_gradient *g, const struct attention *a)
{
    struct assay_emit *e = g->e;
    int64_t group = a->q.heads / a->k.heads;
    double scale = (double)assay_node_float(g->node, "scale", (float)(1 / sqrt((double)a->q.d)));
    double softcap = (double)assay_node_float(g->node, "softcap", 0);
    int q = by_head(e, g_input(g, Q), a->q.heads), dy = by_head(e, g->out[0], a->q.heads);
    int k = repeat_heads(e, by_head(e, g_input(g, K), a->k.heads), group);
    int v = repeat_heads(e, by_head(e, g_input(g, V), a->k.heads), group);
    int scores = e_scale(e, e_matmul(e, q, e_transpose_last(e, k)), scale), bent = -1;
    if (softcap > 0) {
        bent = e_unary(e, "Tanh", e_scale(e, scores, 1 / softcap));
        scores = e_scale(e, bent, softcap);
    }
    int p = e_softmax(e, masked(g, a, scores), -1);
    if (g_wants(g, V))
        g->in[V] = as_input(g, V, sum_heads(e, e_matmul(e, e_transpose_last(e, p), dy), group));
    int d = e_own(e, "SoftmaxGradient", E_VALUES(e_matmul(e, dy, e_transpose_last(e, v)), p));
    e_set_int(e, "axis", -1);
    if (g_wants(g, MASK))
        g->in[MASK] = e_cast(e, g_sum_to(e, d, g_input(g, MASK)), g_type(g, MASK)->dtype);
    if (bent >= 0)
        d = e_mul(e, d, e_from(e, 1, e_square(e, bent)));
    d = e_scale(e, d, scale);
    if (g_wants(g, Q))
        g->in[Q] = as_input(g, Q, e_matmul(e, d, k));
    if (g_wants(g, K))
        g->in[K] = as_input(g, K, sum_heads(e, e_matmul(e, e_transpose_last(e, d), q), group));
}

static void gradient_attention(struct assay_gradient *g)
{
    struct assay_op_call call = e_call(g->e, g->node);
    struct attention a;
    struct assay_error err;
    if (g_input(g, PAST_KEY) >= 0 || g->out[0] < 0 || (g->node->n_outputs > 1 && g->out[1] >= 0) ||
        (g->node->n_outputs > 2 && g->out[2] >= 0))
        e_fail(g->e, ASSAY_UNSUPPORTED, "the gradient of attention with past keys, or of its present ones, is not supported");
    else if (e_take(g->e, read_call(&call, &a, &err), &err))
        emit_gradients(g, &a);
}

const struct assay_op assay_ops_attention[] = {
    {"Attention", "", 3, 6, ASSAY_OP_VIA_F32, infer_attention, run_attention, cost_attention, gradient_attention},
    {0},
};
