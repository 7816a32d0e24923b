/* SPDX-License-Identifier: Apache-2.0 */
/* See range.h. */
#include "base/range.h"

#include <math.h>

enum assay_status assay_range_check_int(const char *option, int64_t value, int64_t least, int64_t most, struct assay_error *err)
{
    if (value >= least && value <= most)
        return ASSAY_OK;
    if (most == INT64_MAX)
        return assay_error_set(err, ASSAY_INVALID, "--%s %lld is out of range: it is at least %lld", option, (long long)value,
                               (long long)least);
    return assay_error_set(err, ASSAY_INVALID, "--%s %lld is out of range: it is from %lld to %lld", option, (long long)value,
                           (long long)least, (long long)most);
}

enum assay_status assay_range_check_real(const char *option, double value, double least, double most, struct assay_error *err)
{
    if (value >= least && value <= most)
        return ASSAY_OK;
    if (isinf(most))
        return assay_error_set(err, ASSAY_INVALID, "--%s %.10g is out of range: it is at least %.10g", option, value, least);
    return assay_error_set(err, ASSAY_INVALID, "--%s %.10g is out of range: it is from %.10g to %.10g", option, value, least,
                           most);
}
