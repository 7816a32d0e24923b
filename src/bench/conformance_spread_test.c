/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/conformance_spread.h"

#include "base/test.h"

static struct assay_tensor numbers(double a, double b)
{
    struct assay_tensor tensor;
    assay_tensor_alloc(&tensor, &(struct assay_type){.dtype = ASSAY_F32, .rank = 1, .dims = {2}}, NULL);
    assay_tensor_set_real(&tensor, 0, a);
    assay_tensor_set_real(&tensor, 1, b);
    return tensor;
}

ASSAY_TEST(the_largest_distance_from_the_first_run_is_kept)
{
    struct assay_arena arena = {0};
    struct assay_spread spread = {.arena = &arena};
    static const double runs[][2] = {{1, 2}, {1.5, 2}, {1, 1.25}, {0.5, 2.5}};
    for (int run = 0; run < 4; run++) {
        struct assay_tensor got = numbers(runs[run][0], runs[run][1]);
        struct assay_error err;
        CHECK_OK(assay_spread_add(&spread, "losses", &got, run, &err), err);
        assay_tensor_release(&got);
    }
    CHECK_NEAR(assay_spread_of(&spread, "losses"), 0.75, 0);
    CHECK_NEAR(assay_spread_of(&spread, "other"), 0, 0);
    assay_spread_release(&spread);
    assay_arena_release(&arena);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(the_largest_distance_from_the_first_run_is_kept))
