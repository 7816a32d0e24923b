/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that a person gives for an option: within their range, or refused in a sentence that names it, the same everywhere. */
#ifndef ASSAY_BASE_RANGE_H
#define ASSAY_BASE_RANGE_H

#include "base/status.h"

#include <stdint.h>

/* `option` without dashes. A `most` of INT64_MAX, or of INFINITY, is no bound. ASSAY_INVALID: outside, or NaN. */
enum assay_status assay_range_check_int(const char *option, int64_t value, int64_t least, int64_t most, struct assay_error *err);
enum assay_status assay_range_check_real(const char *option, double value, double least, double most, struct assay_error *err);

#endif
