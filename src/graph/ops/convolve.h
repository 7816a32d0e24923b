/* SPDX-License-Identifier: Apache-2.0 */
/* The convolution that Conv, ConvInteger and QLinearConv share, and its gradients: patches of the input as columns of a matrix, a
 * tile of them at a time, multiplied with the weights (gemm.h); without columns where the kernel is one point, or a group makes
 * few channels. */
#ifndef ASSAY_GRAPH_OPS_CONVOLVE_H
#define ASSAY_GRAPH_OPS_CONVOLVE_H

#include "graph/ops/window.h"

struct assay_convolution {
    struct assay_window window;
    int64_t batch, groups;
    int64_t n_in, n_out;            /* channels of one group */
    enum assay_dtype x_type;        /* f32, f64; or i8, u8 */
    enum assay_dtype w_type;        /* as x_type, or the other 8-bit type */
    const void *x;                  /* [batch, groups · n_in, depth, height, width] */
    const void *w;                  /* [groups · n_out, n_in, kernel] */
    const void *bias;               /* [groups · n_out], of x_type; NULL = none; 8-bit types have none here */
    const int32_t *x_zero, *w_zero; /* 8-bit types; NULL = 0; w_zero one for all or, w_zero_stride = 1, one an output channel */
    int64_t w_zero_stride;
    void *y; /* [batch, groups · n_out, output], of x_type, i32 for 8-bit types */
};

/* `y` must have elements. */
enum assay_status assay_convolve(const struct assay_convolution *convolution, struct assay_error *err);

/* The gradients, f32 and f64 only. Sums are in double, rounded once. */

/* With respect to x, given y's in `y`: writes x [batch, groups · n_in, input], which must have elements. A bias is of the
 * result's channels, [groups · n_in]: this is ConvTranspose. `x` of the struct does not count. */
enum assay_status assay_convolve_transposed(const struct assay_convolution *convolution, void *x, struct assay_error *err);
/* With respect to w, given x and y's in `y`: writes w [groups · n_out, n_in, kernel]. `w` and `bias` of the struct do not
 * count. */
enum assay_status assay_convolve_weights(const struct assay_convolution *convolution, void *w, struct assay_error *err);

#endif
