/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An op of the domain "assay" that the pass `quantize` makes (graph/pass.h):
 *
 *     QuantizedLinear(a [.., k], a_scale, a_zero?, w [k, n], w_scale, w_zero?, bias [n] f32?, y_scale?, y_zero?) -> y [.., n]
 *         y = a_scale · w_scale · (a - a_zero) · (w - w_zero) + bias, the product in integers; f32, or, with y_scale, quantized
 *         as QuantizeLinear does to y_zero's dtype. trans_weight = 1: w is [n, k]. a and y have one scale each, w one or n.
 */
#include "graph/ops/gemm.h"
#include "graph/ops/requantize.h"

#include <math.h>

enum { A, A_SCALE, A_ZERO, W, W_SCALE, W_ZERO, BIAS, Y_SCALE, Y_ZERO };

static bool is_transposed(const struct assay_op_call *call) { return assay_node_int(call->node, "trans_weight", 0) != 0; }

static enum assay_status infer_linear(struct assay_op_call *call, struct assay_error *err)
{
    static const int eight_bit[] = {A, A_ZERO, W, W_ZERO, Y_ZERO}, floats[] = {A_SCALE, W_SCALE, BIAS, Y_SCALE};
    const struct assay_type *a = &call->inputs[A], *w = &call->inputs[W];
    struct assay_type *y = &call->outputs[0];
    enum assay_status st = assay_rule_rank(call, W, 2, 2, err);
    if (!st)
        st = assay_rule_dtypes(call, ASSAY_COUNT(eight_bit), eight_bit, ASSAY_SET_8BIT, err);
    if (!st)
        st = assay_rule_dtypes(call, ASSAY_COUNT(floats), floats, ASSAY_DTYPE_BIT(ASSAY_F32), err);
    if (st)
        return st;
    if (assay_rule_has_input(call, Y_SCALE) != assay_rule_has_input(call, Y_ZERO))
        return assay_error_set(err, ASSAY_INVALID, "y_scale and y_zero are given together");
    if (a->rank == 0)
        return assay_error_set(err, ASSAY_INVALID, "a scalar is no matrix");
    *y = *a;
    y->dtype = assay_rule_has_input(call, Y_ZERO) ? call->inputs[Y_ZERO].dtype : ASSAY_F32;
    if (a->rank < 0)
        return ASSAY_OK;
    int64_t k = a->dims[a->rank - 1];
    y->dims[y->rank - 1] = w->rank == 2 ? w->dims[!is_transposed(call)] : -1;
    return w->rank == 2 ? assay_rule_merge_dim(&k, w->dims[is_transposed(call)], "the inner dimension of the product", err)
                        : ASSAY_OK;
}

/* From sums to the output's numbers. */
static void finish(struct assay_op_call *call, const int32_t *sums, int64_t n, const struct assay_quant *a,
                   const struct assay_quant *w, const struct assay_quant *y)
{
    struct assay_tensor *to = &call->results[0];
    const struct assay_tensor *bias = assay_rule_data(call, BIAS);
    for (int64_t i = 0; i < assay_tensor_count(to); i++) {
        double value = (double)sums[i] * (assay_quant_scale(a, 0) * assay_quant_scale(w, i % n));
        value += bias ? (double)((const float *)bias->data)[i % n] : 0;
        if (to->type.dtype == ASSAY_F32) {
            ((float *)to->data)[i] = (float)value;
            continue;
        }
        struct assay_int_range range = assay_int_range(to->type.dtype);
        value = rint(value / assay_quant_scale(y, 0)) + assay_quant_zeros(y)[0];
        value = fmin(fmax(value, range.low), range.high);
        if (to->type.dtype == ASSAY_I8)
            ((int8_t *)to->data)[i] = (int8_t)value;
        else
            ((uint8_t *)to->data)[i] = (uint8_t)value;
    }
}

static enum assay_status run_linear(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[A], *weight = call->data[W];
    struct assay_quant a = {0}, w = {0}, y = {0};
    struct assay_tensor sums = {0};
    struct assay_type sum_type = call->outputs[0];
    bool transposed = is_transposed(call);
    int64_t k = weight->type.dims[transposed], n = weight->type.dims[!transposed];
    sum_type.dtype = ASSAY_I32;
    if (assay_tensor_count(&call->results[0]) == 0)
        return ASSAY_OK;
    enum assay_status st = assay_quant_init(&a, call, A_SCALE, A_ZERO, 1, "a", err);
    if (!st)
        st = assay_quant_init(&w, call, W_SCALE, W_ZERO, n, "w", err);
    if (!st && assay_rule_has_input(call, Y_SCALE))
        st = assay_quant_init(&y, call, Y_SCALE, Y_ZERO, 1, "y", err);
    if (!st)
        st = assay_tensor_alloc(&sums, &sum_type, err);
    struct assay_gemm g = {
        .a_type = x->type.dtype,
        .b_type = weight->type.dtype,
        .m = assay_tensor_count(&sums) / n,
        .n = n,
        .k = k,
        .a = {.data = x->data, .row_stride = k, .column_stride = 1},
        .b = {.data = weight->data, .row_stride = transposed ? 1 : n, .column_stride = transposed ? k : 1},
        .a_zero = assay_quant_zeros(&a),
        .b_zero = assay_quant_zeros(&w),
        .b_zero_stride = w.zero_stride,
        .c = sums.data,
        .c_row_stride = n,
    };
    if (!st)
        st = assay_gemm_run(&g, err);
    if (!st)
        finish(call, sums.data, n, &a, &w, &y);
    assay_quant_release(&a);
    assay_quant_release(&w);
    assay_quant_release(&y);
    assay_tensor_release(&sums);
    return st;
}

static void cost_linear(const struct assay_op_call *call, struct assay_cost *cost)
{
    const struct assay_type *a = &call->inputs[A];
    cost->flops = 2 * (double)assay_type_count(&call->outputs[0]) * (double)a->dims[a->rank - 1];
}

const struct assay_op assay_ops_quantized[] = {
    {"QuantizedLinear", "assay", 5, 9, 0, infer_linear, run_linear, cost_linear},
    {0},
};
