/* SPDX-License-Identifier: Apache-2.0 */
/* What the quantized ops (QLinearMatMul, QLinearConv, MatMulInteger, ConvInteger, QuantizeLinear) share: their scales and zero
 * points, and the way from a number to a quantized one. */
#ifndef ASSAY_GRAPH_OPS_REQUANTIZE_H
#define ASSAY_GRAPH_OPS_REQUANTIZE_H

#include "graph/ops/util.h"

enum { ASSAY_SET_8BIT = ASSAY_DTYPE_BIT(ASSAY_I8) | ASSAY_DTYPE_BIT(ASSAY_U8) };

/* Scale and zero point of one operand: of the whole of it (stride 0), or of each row, column or channel (stride 1). */
struct assay_quant {
    struct assay_tensor scale, zero; /* f32, i32; owned; zero.data is NULL where no zero point is given */
    int64_t scale_stride, zero_stride;
};

/* Reads the inputs `scale` and `zero` of the node (-1 = the op has none), each of one element or of n; `what` names the operand.
 * ASSAY_UNSUPPORTED for another shape; ASSAY_INVALID for a scale that is zero or not a number. */
enum assay_status assay_quant_init(struct assay_quant *quant, const struct assay_op_call *call, int scale, int zero, int64_t n,
                                   const char *what, struct assay_error *err);
void assay_quant_release(struct assay_quant *quant);
static inline double assay_quant_scale(const struct assay_quant *quant, int64_t i)
{
    return (double)((const float *)quant->scale.data)[i * quant->scale_stride];
}
static inline const int32_t *assay_quant_zeros(const struct assay_quant *quant) { return (const int32_t *)quant->zero.data; }

/* The range of an integer dtype of up to 16 bits. */
struct assay_int_range {
    double low, high;
};
struct assay_int_range assay_int_range(enum assay_dtype dtype);

/* to[at + i] = saturate(round to even(from[i] · row_factor · column_factor[i · stride]) + zero), i < n, for i8 and u8. */
void assay_requantize(void *to, enum assay_dtype dtype, int64_t at, const int32_t *from, int64_t n, double row_factor,
                      const float *column_factor, int64_t stride, int32_t zero);

#endif
