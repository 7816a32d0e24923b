/* SPDX-License-Identifier: Apache-2.0 */
/* Sums in double over a run of elements of f32 or f64 tensors: what means, variances and their gradients are made of. */
#ifndef ASSAY_GRAPH_OPS_SUMS_H
#define ASSAY_GRAPH_OPS_SUMS_H

#include "graph/tensor.h"

/* Of elements at … at + n. */
double assay_run_sum(const struct assay_tensor *x, int64_t at, int64_t n);

/* Of (x - x_mean)(y - y_mean); x and y have one type. */
double assay_run_product(const struct assay_tensor *x, const struct assay_tensor *y, int64_t at, int64_t n, double x_mean,
                         double y_mean);

#endif
