/* SPDX-License-Identifier: Apache-2.0 */
/* See points.h. */
#include "runtime/native/kernels/points.h"

#include <string.h>

bool native_points_init(struct native_points *p, const struct native_build *build, const struct assay_type *type)
{
    if ((type->dtype != ASSAY_F32 && type->dtype != ASSAY_BF16) || type->rank < 3 || type->rank > 5 || assay_type_count(type) < 1)
        return false;
    *p = (struct native_points){.simd = native_simd_of(build->isa),
                                .bf16 = type->dtype == ASSAY_BF16,
                                .size = (int64_t)assay_dtype_size(type->dtype),
                                .channels = type->dims[1]};
    return true;
}

bool native_points_init_codes(struct native_points *p, const struct native_build *build, const struct assay_type *type)
{
    if ((type->dtype != ASSAY_U8 && type->dtype != ASSAY_I8) || type->rank < 3 || type->rank > 5 || assay_type_count(type) < 1)
        return false;
    *p = (struct native_points){.simd = native_simd_of(build->isa), .codes = type->dtype, .size = 1, .channels = type->dims[1]};
    return true;
}

int64_t native_points_scratch(const struct native_points *p) { return native_aligned(p->channels * (int64_t)sizeof(float)); }

void native_points_store(const struct native_points *p, void *y, const float *made, int64_t n)
{
    if (p->bf16)
        p->simd->to_bf16(y, made, n);
    else if (y != (const void *)made)
        memcpy(y, made, (size_t)n * sizeof *made);
}

void native_points_max(const struct native_points *p, void *y, const void *const *x, int n_taps, float *made)
{
    if (p->codes == ASSAY_U8) {
        p->simd->max_codes_u8(y, (const uint8_t *const *)x, n_taps, p->channels);
    } else if (p->codes == ASSAY_I8) {
        p->simd->max_codes_i8(y, (const int8_t *const *)x, n_taps, p->channels);
    } else if (p->bf16) {
        p->simd->max_taps_bf16(made, (const uint16_t *const *)x, n_taps, p->channels);
        p->simd->to_bf16(y, made, p->channels);
    } else {
        p->simd->max_taps(y, (const float *const *)x, n_taps, p->channels);
    }
}

void native_points_weigh(const struct native_points *p, void *y, const void *const *x, const float *weight, int n_taps,
                         float *made)
{
    if (p->bf16) {
        p->simd->weigh_taps_bf16(made, (const uint16_t *const *)x, weight, n_taps, p->channels);
        p->simd->to_bf16(y, made, p->channels);
    } else {
        p->simd->weigh_taps(y, (const float *const *)x, weight, n_taps, p->channels);
    }
}
