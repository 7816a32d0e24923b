/* SPDX-License-Identifier: Apache-2.0 */
/* The mask of Dropout, which is integer arithmetic, in one loop with what it is for. */
#include "graph/ops/dropout.h"
#include "runtime/native/simd/simd_inside.h"

void SIMD(drop)(float *y, const float *x, int64_t begin, int64_t n, const struct native_drop *how)
{
    const struct assay_dropout mask = {how->k1, how->k2, how->threshold};
    float factor = how->factor;
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] =
        assay_dropout_keeps(&mask, (uint64_t)(begin + i)) ? x[i] * factor : 0;
}
