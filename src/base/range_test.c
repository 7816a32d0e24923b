/* SPDX-License-Identifier: Apache-2.0 */
#include "base/range.h"

#include "base/test.h"

#include <math.h>

ASSAY_TEST(a_number_outside_is_refused_with_its_range)
{
    struct assay_error err = {0};
    CHECK_INT(assay_range_check_int("batch", 0, 1, 8, &err), ASSAY_INVALID);
    CHECK_TEXT(err.message, "--batch 0 is out of range: it is from 1 to 8");
    CHECK_INT(assay_range_check_int("seed", INT64_MIN, 0, INT64_MAX, &err), ASSAY_INVALID);
    CHECK_TEXT(err.message, "--seed -9223372036854775808 is out of range: it is at least 0");
    CHECK_INT(assay_range_check_real("interval", 1.5, 0, 1, &err), ASSAY_INVALID);
    CHECK_TEXT(err.message, "--interval 1.5 is out of range: it is from 0 to 1");
    CHECK_INT(assay_range_check_real("clip-norm", -1, 0, INFINITY, &err), ASSAY_INVALID);
    CHECK_TEXT(err.message, "--clip-norm -1 is out of range: it is at least 0");
    CHECK_INT(assay_range_check_real("interval", NAN, 0, 1, &err), ASSAY_INVALID);
}

ASSAY_TEST(both_ends_of_a_range_are_inside)
{
    CHECK_INT(assay_range_check_int("batch", 1, 1, 8, NULL), ASSAY_OK);
    CHECK_INT(assay_range_check_int("batch", 8, 1, 8, NULL), ASSAY_OK);
    CHECK_INT(assay_range_check_real("interval", 0, 0, 1, NULL), ASSAY_OK);
    CHECK_INT(assay_range_check_real("interval", 1, 0, 1, NULL), ASSAY_OK);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_number_outside_is_refused_with_its_range), ASSAY_TEST_ENTRY(both_ends_of_a_range_are_inside))
