/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RotaryEmbedding (ONNX opset 23): pairs of numbers of each head are turned by the angle of their position.
 *
 *     x [batch, length, num_heads * d] or [batch, heads, length, d]; cos and sin [batch, length, r / 2], or [positions, r / 2]
 *     with position_ids [batch, length]. r = rotary_embedding_dim, 0 = d: what lies behind the first r numbers stays. Beyond the
 *     standard, a batch or a length of 1 in the tables is broadcast.
 *
 * The pairs are (i, i + r / 2), or (2i, 2i + 1) with interleaved = 1.
 */
#include "graph/gradient.h"
#include "graph/ops/util.h"

#include <inttypes.h>

enum { X, COSINE, SINE, POSITIONS };

struct rotation {
    int64_t batch, heads, length, d, half; /* -1 = unknown */
    int64_t head_stride, length_stride;    /* of x, in elements */
};

static enum assay_status read_call(const struct assay_op_call *call, struct rotation *r, struct assay_error *err)
{
    const struct assay_type *x = &call->inputs[X];
    int64_t heads = assay_node_int(call->node, "num_heads", 0), turned = assay_node_int(call->node, "rotary_embedding_dim", 0);
    *r = (struct rotation){-1, -1, -1, -1, -1, 0, 0};
    enum assay_status st = assay_rule_rank(call, X, 3, 4, err);
    if (st || x->rank < 0)
        return st;
    if (x->rank == 4) {
        *r = (struct rotation){x->dims[0], x->dims[1], x->dims[2], x->dims[3], -1, x->dims[2] * x->dims[3], x->dims[3]};
    } else {
        if (heads < 1 || (x->dims[2] >= 0 && x->dims[2] % heads != 0))
            return assay_error_set(err, ASSAY_INVALID, "an input of rank 3 needs num_heads, which must share its last dimension");
        int64_t d = x->dims[2] < 0 ? -1 : x->dims[2] / heads;
        *r = (struct rotation){x->dims[0], heads, x->dims[1], d, -1, d, x->dims[2]};
    }
    if (turned < 0 || (r->d >= 0 && turned > r->d) || (turned ? turned : r->d < 0 ? 0 : r->d) % 2 != 0)
        return assay_error_set(err, ASSAY_INVALID, "%" PRId64 " numbers of a head of %" PRId64 " cannot be turned in pairs",
                               turned, r->d);
    r->half = turned ? turned / 2 : r->d < 0 ? -1 : r->d / 2;
    return ASSAY_OK;
}

/* Both tables: [batch, length, half], or [positions, half] where positions are given. */
static enum assay_status check_tables(const struct assay_op_call *call, const struct rotation *r, struct assay_error *err)
{
    bool by_position = assay_rule_has_input(call, POSITIONS);
    enum assay_status st = ASSAY_OK;
    for (int i = COSINE; i <= SINE && !st; i++) {
        const struct assay_type *t = &call->inputs[i];
        int rank = by_position ? 2 : 3;
        int64_t half = r->half, batch = r->batch, length = r->length;
        st = assay_rule_rank(call, i, rank, rank, err);
        if (st || t->rank < 0)
            continue;
        st = assay_rule_merge_dim(&half, t->dims[rank - 1], "the number of angles", err);
        if (!st && !by_position && t->dims[0] != 1)
            st = assay_rule_merge_dim(&batch, t->dims[0], "the batch of the angles", err);
        if (!st && !by_position && t->dims[1] != 1)
            st = assay_rule_merge_dim(&length, t->dims[1], "the length of the angles", err);
    }
    return st;
}

static enum assay_status infer_rotary(struct assay_op_call *call, struct assay_error *err)
{
    struct rotation r;
    enum assay_status st = assay_rule_dtype(call, X, ASSAY_SET_FLOAT, err);
    for (int i = COSINE; i <= SINE && !st; i++)
        st = assay_rule_same_dtype(call, X, i, err);
    if (!st && assay_rule_has_input(call, POSITIONS))
        st = assay_rule_dtype(call, POSITIONS, ASSAY_DTYPE_BIT(ASSAY_I64), err);
    if (!st)
        st = read_call(call, &r, err);
    if (!st)
        st = check_tables(call, &r, err);
    call->outputs[0] = call->inputs[X];
    return st;
}

#define TURN(type)                                                                                                               \
    static void turn_##type(const struct rotation *r, bool interleaved, const type *x, const type *cosine, const type *sine,     \
                            type *y)                                                                                             \
    {                                                                                                                            \
        for (int64_t i = 0; i < r->half; i++) {                                                                                  \
            int64_t a = interleaved ? 2 * i : i, b = interleaved ? a + 1 : i + r->half;                                          \
            y[a] = cosine[i] * x[a] - sine[i] * x[b];                                                                            \
            y[b] = sine[i] * x[a] + cosine[i] * x[b];                                                                            \
        }                                                                                                                        \
        memcpy(y + 2 * r->half, x + 2 * r->half, (size_t)(r->d - 2 * r->half) * sizeof *y);                                      \
    }
TURN(float)
TURN(double)

/* Where the table's row for a place in the batch begins, in elements. */
static enum assay_status row_of(const struct assay_op_call *call, const struct rotation *r, int table, int64_t b, int64_t t,
                                int64_t *row, struct assay_error *err)
{
    const struct assay_tensor *positions = assay_rule_data(call, POSITIONS);
    const struct assay_type *type = &call->inputs[table];
    int64_t at;
    if (positions) {
        at = ((const int64_t *)positions->data)[b * r->length + t];
        if (at < 0 || at >= type->dims[0])
            return assay_error_set(err, ASSAY_INVALID, "position %" PRId64 " is outside of the tables", at);
    } else {
        at = (type->dims[0] == 1 ? 0 : b) * type->dims[1] + (type->dims[1] == 1 ? 0 : t);
    }
    *row = at * r->half;
    return ASSAY_OK;
}

static enum assay_status run_rotary(struct assay_op_call *call, struct assay_error *err)
{
    struct rotation r;
    enum assay_status st = read_call(call, &r, err);
    const void *x = call->data[X]->data, *cosines = call->data[COSINE]->data, *sines = call->data[SINE]->data;
    void *y = call->results[0].data;
    bool wide = call->inputs[X].dtype == ASSAY_F64, interleaved = assay_node_int(call->node, "interleaved", 0) != 0;
    const struct assay_tensor *positions = assay_rule_data(call, POSITIONS);
    if (st || assay_tensor_count(call->data[X]) == 0)
        return st;
    if (positions && assay_tensor_count(positions) != r.batch * r.length)
        return assay_error_set(err, ASSAY_INVALID, "position_ids must be [batch, length]");
    for (int64_t b = 0; b < r.batch; b++)
        for (int64_t t = 0; t < r.length; t++) {
            int64_t cosine, sine;
            st = row_of(call, &r, COSINE, b, t, &cosine, err);
            if (!st)
                st = row_of(call, &r, SINE, b, t, &sine, err);
            if (st)
                return st;
            for (int64_t h = 0; h < r.heads; h++) {
                int64_t at = b * r.heads * r.length * r.d + h * r.head_stride + t * r.length_stride;
                if (wide)
                    turn_double(&r, interleaved, (const double *)x + at, (const double *)cosines + cosine,
                                (const double *)sines + sine, (double *)y + at);
                else
                    turn_float(&r, interleaved, (const float *)x + at, (const float *)cosines + cosine,
                               (const float *)sines + sine, (float *)y + at);
            }
        }
    return ASSAY_OK;
}

static void cost_rotary(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = 3 * (double)assay_type_count(&call->inputs[X]);
}

/* Turned back by the same angles. */
static void gradient_rotary(struct assay_gradient *g)
{
    if (g_wants(g, COSINE) || g_wants(g, SINE)) {
        e_fail(g->e, ASSAY_UNSUPPORTED, "angles that depend on what is trained have no gradient");
        return;
    }
    int back = e_unary(g->e, "Neg", g_input(g, SINE));
    g->in[X] = e_op(g->e, "RotaryEmbedding", E_VALUES(g->out[0], g_input(g, COSINE), back, g_input(g, POSITIONS)));
    e_set_like(g->e, g->node);
}

const struct assay_op assay_ops_rotary[] = {
    {"RotaryEmbedding", "", 3, 4, ASSAY_OP_VIA_F32, infer_rotary, run_rotary, cost_rotary, gradient_rotary},
    {0},
};
