/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dropout(x, seed) {ratio, stream} -> y, of the domain "assay": each element is dropped with probability `ratio`, the others
 * are divided by 1 - ratio. The mask depends on seed (an int64 scalar), stream (which tells the layers of a model apart) and
 * the element's place alone (dropout.h), so that a step can be repeated on any runtime, and the gradient is the same op. ONNX's
 * own Dropout, whose mask each runtime draws for itself, is in op_random.c.
 */
#include "graph/gradient.h"
#include "graph/ops/dropout.h"
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

static double ratio_of(const struct assay_node *node) { return (double)assay_node_float(node, "ratio", 0.5F); }

static enum assay_status infer_dropout(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *seed = &call->inputs[1];
    enum assay_status st = assay_rule_same(call, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_DTYPE_BIT(ASSAY_I64), err);
    if (!st && assay_type_is_known(seed) && assay_type_count(seed) != 1)
        st = assay_error_set(err, ASSAY_INVALID, "the seed must be a scalar");
    if (!st && !(ratio_of(call->node) >= 0 && ratio_of(call->node) < 1))
        st = assay_error_set(err, ASSAY_INVALID, "the ratio must be in [0, 1), not %g", ratio_of(call->node));
    return st;
}

#define DROP(type)                                                                                                               \
    static void drop_##type(const struct assay_dropout *d, const type *x, type *y, int64_t n, type factor)                       \
    {                                                                                                                            \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            y[i] = assay_dropout_keeps(d, (uint64_t)i) ? x[i] * factor : 0;                                                      \
    }
DROP(float)
DROP(double)

static enum assay_status run_dropout(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    const struct assay_tensor *x = call->data[0];
    double ratio = ratio_of(call->node), factor = 1 / (1 - ratio);
    struct assay_dropout d =
        assay_dropout_make(assay_tensor_int(call->data[1], 0), assay_node_int(call->node, "stream", 0), ratio);
    if (x->type.dtype == ASSAY_F64)
        drop_double(&d, x->data, call->results[0].data, assay_tensor_count(x), factor);
    else
        drop_float(&d, x->data, call->results[0].data, assay_tensor_count(x), (float)factor);
    return ASSAY_OK;
}

static void cost_dropout(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = (double)assay_type_count(&call->inputs[0]); /* the mask is integer work */
}

static void gradient_dropout(struct assay_gradient *g)
{
    g->in[0] = e_own(g->e, "Dropout", E_VALUES(g->out[0], g_input(g, 1)));
    e_set_like(g->e, g->node);
}

/* ---- in standard ops */

static int emit_mod(struct assay_emit *e, int x, int64_t n) { return e_op(e, "Mod", E_VALUES(x, e_int(e, n))); }

static int emit_mix(struct assay_emit *e, int x)
{
    x = emit_mod(e, x, ASSAY_DROPOUT_PRIME);
    int square = emit_mod(e, e_mul(e, x, x), ASSAY_DROPOUT_PRIME);
    int fourth = emit_mod(e, e_mul(e, square, square), ASSAY_DROPOUT_PRIME);
    return emit_mod(e, e_mul(e, fourth, x), ASSAY_DROPOUT_PRIME);
}

static void expand_dropout(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    struct assay_type type = *e_type(e, node->inputs[0]);
    const int64_t p = ASSAY_DROPOUT_PRIME;
    struct assay_dropout d = assay_dropout_make(0, 0, ratio_of(node));
    int64_t count = assay_type_count(&type), stream = assay_node_int(node, "stream", 0) % p;
    if (!e->status && count < 0)
        e_fail(e, ASSAY_UNSUPPORTED, "the shape of its input is not known");
    int seed = emit_mod(e, e_reshape(e, node->inputs[1], 0, &p), (int64_t)1 << 62);
    int k1 = emit_mix(e, e_add(e, emit_mod(e, seed, p), e_int(e, ASSAY_DROPOUT_LOW)));
    k1 = emit_mix(e, e_add(e, k1, e_int(e, stream < 0 ? stream + p : stream)));
    int high = emit_mod(e, e_div(e, seed, e_int(e, p)), p);
    int k2 = emit_mix(e, e_add(e, e_add(e, k1, high), e_int(e, ASSAY_DROPOUT_HIGH)));
    int places = emit_mod(e, e_op(e, "Range", E_VALUES(e_int(e, 0), e_int(e, count), e_int(e, 1))), p);
    int hash = emit_mix(e, e_add(e, emit_mix(e, e_add(e, places, k1)), k2));
    int dropped = e_op(e, "Less", E_VALUES(hash, e_int(e, (int64_t)d.threshold)));
    dropped = e_reshape(e, dropped, (size_t)type.rank, type.dims);
    outputs[0] = e_drop(e, dropped, e_scale(e, node->inputs[0], 1 / (1 - ratio_of(node))));
}

const struct assay_op assay_ops_dropout[] = {
    {"Dropout", "assay", 2, 2, ASSAY_OP_VIA_F32, infer_dropout, run_dropout, cost_dropout, gradient_dropout, expand_dropout},
    {0},
};
