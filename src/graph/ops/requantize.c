/* SPDX-License-Identifier: Apache-2.0 */
/* See requantize.h. */
#include "graph/ops/requantize.h"

#include <inttypes.h>
#include <math.h>

static enum assay_status stride_of(const struct assay_tensor *tensor, int64_t n, const char *what, const char *which,
                                   int64_t *stride, struct assay_error *err)
{
    int64_t count = assay_tensor_count(tensor);
    *stride = count == 1 ? 0 : 1;
    if (count == 1 || (count == n && tensor->type.rank == 1))
        return ASSAY_OK;
    char text[128];
    return assay_error_set(err, ASSAY_UNSUPPORTED, "the %s of %s is %s, and only one or a list of %" PRId64 " is supported",
                           which, what, assay_type_text(&tensor->type, text, sizeof text), n);
}

enum assay_status assay_quant_init(struct assay_quant *quant, const struct assay_op_call *call, int scale, int zero, int64_t n,
                                   const char *what, struct assay_error *err)
{
    *quant = (struct assay_quant){0};
    const struct assay_tensor *scales = scale < 0 ? NULL : assay_rule_data(call, scale);
    const struct assay_tensor *zeros = zero < 0 ? NULL : assay_rule_data(call, zero);
    enum assay_status st = ASSAY_OK;
    if (scales) {
        st = stride_of(scales, n, what, "scale", &quant->scale_stride, err);
        if (!st)
            st = assay_tensor_convert(&quant->scale, scales, ASSAY_F32, err);
    }
    for (int64_t i = 0; !st && scales && i < assay_tensor_count(scales); i++) {
        float value = ((const float *)quant->scale.data)[i];
        if (!isfinite(value) || value == 0)
            st = assay_error_set(err, ASSAY_INVALID, "the scale of %s must be finite and not zero, but is %g", what,
                                 (double)value);
    }
    if (!st && zeros)
        st = stride_of(zeros, n, what, "zero point", &quant->zero_stride, err);
    if (!st && zeros)
        st = assay_tensor_convert(&quant->zero, zeros, ASSAY_I32, err);
    if (st)
        assay_quant_release(quant);
    return st;
}

void assay_quant_release(struct assay_quant *quant)
{
    assay_tensor_release(&quant->scale);
    assay_tensor_release(&quant->zero);
}

struct assay_int_range assay_int_range(enum assay_dtype dtype)
{
    switch (dtype) {
    case ASSAY_I8:
        return (struct assay_int_range){INT8_MIN, INT8_MAX};
    case ASSAY_U8:
        return (struct assay_int_range){0, UINT8_MAX};
    case ASSAY_I16:
        return (struct assay_int_range){INT16_MIN, INT16_MAX};
    default:
        ASSAY_ASSERT(dtype == ASSAY_U16);
        return (struct assay_int_range){0, UINT16_MAX};
    }
}

void assay_requantize(void *to, enum assay_dtype dtype, int64_t at, const int32_t *from, int64_t n, double row_factor,
                      const float *column_factor, int64_t stride, int32_t zero)
{
    struct assay_int_range range = assay_int_range(dtype);
    for (int64_t i = 0; i < n; i++) {
        double value = rint((double)from[i] * (row_factor * (double)column_factor[i * stride])) + zero;
        value = fmin(fmax(value, range.low), range.high);
        if (dtype == ASSAY_I8)
            ((int8_t *)to)[at + i] = (int8_t)value;
        else
            ((uint8_t *)to)[at + i] = (uint8_t)value;
    }
}
