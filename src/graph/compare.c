/* SPDX-License-Identifier: Apache-2.0 */
/* How far two tensors are from one another (tensor.h). */
#include "graph/tensor.h"

#include <math.h>

static bool is_exact(enum assay_dtype dtype) { return assay_dtype_is_integer(dtype); }

/* |got - wanted|: 0 for equal NaNs and infinities, infinite where only one is finite or a number at all. Integers of 64 bits are
 * subtracted as such, since doubles would call neighbours above 2^53 equal. */
static double distance(const struct assay_tensor *got, const struct assay_tensor *wanted, int64_t i)
{
    if (is_exact(got->type.dtype)) {
        uint64_t a = (uint64_t)assay_tensor_int(got, i), b = (uint64_t)assay_tensor_int(wanted, i);
        bool less = got->type.dtype == ASSAY_U64 ? a < b : (int64_t)a < (int64_t)b;
        return (double)(less ? b - a : a - b);
    }
    double a = assay_tensor_real(got, i), b = assay_tensor_real(wanted, i);
    if (a == b || (isnan(a) && isnan(b)))
        return 0;
    double d = fabs(a - b);
    return isnan(d) ? INFINITY : d;
}

struct assay_difference assay_tensor_compare(const struct assay_tensor *got, const struct assay_tensor *wanted, double abs,
                                             double rel)
{
    struct assay_difference difference = {.same_type = assay_type_equal(&got->type, &wanted->type)};
    if (!difference.same_type)
        return difference;
    double largest = 0;
    int64_t n = assay_tensor_count(got);
    for (int64_t i = 0; i < n; i++) {
        double d = distance(got, wanted, i), size = fabs(assay_tensor_real(wanted, i));
        if (isfinite(size) && size > largest)
            largest = size;
        if (d == 0)
            continue;
        if (d > difference.max_abs) {
            difference.max_abs = d;
            difference.index = i;
        }
        /* A wanted infinity or NaN that was missed is wrong whatever the tolerance. */
        if (!isfinite(size) || d > abs + rel * size)
            difference.n_wrong++;
    }
    if (difference.max_abs > 0)
        difference.max_rel = difference.max_abs / largest;
    return difference;
}
