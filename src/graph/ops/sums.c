/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/ops/sums.h"

#define RUN_FUNCTIONS(type)                                                                                                      \
    static double sum_##type(const type *x, int64_t n)                                                                           \
    {                                                                                                                            \
        double sum = 0;                                                                                                          \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            sum += (double)x[i];                                                                                                 \
        return sum;                                                                                                              \
    }                                                                                                                            \
    static double product_##type(const type *x, const type *y, int64_t n, double x_mean, double y_mean)                          \
    {                                                                                                                            \
        double sum = 0;                                                                                                          \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            sum += ((double)x[i] - x_mean) * ((double)y[i] - y_mean);                                                            \
        return sum;                                                                                                              \
    }
RUN_FUNCTIONS(float)
RUN_FUNCTIONS(double)

double assay_run_sum(const struct assay_tensor *x, int64_t at, int64_t n)
{
    return x->type.dtype == ASSAY_F32 ? sum_float((const float *)x->data + at, n) : sum_double((const double *)x->data + at, n);
}

double assay_run_product(const struct assay_tensor *x, const struct assay_tensor *y, int64_t at, int64_t n, double x_mean,
                         double y_mean)
{
    return x->type.dtype == ASSAY_F32
               ? product_float((const float *)x->data + at, (const float *)y->data + at, n, x_mean, y_mean)
               : product_double((const double *)x->data + at, (const double *)y->data + at, n, x_mean, y_mean);
}
