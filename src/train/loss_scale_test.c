/* SPDX-License-Identifier: Apache-2.0 */
#include "train/loss_scale.h"

#include "base/test.h"

ASSAY_TEST(it_doubles_after_enough_finite_updates_and_halves_after_one_that_is_not)
{
    struct assay_loss_scale s = {.scale = 1024, .interval = 3};
    for (int i = 0; i < 2; i++)
        assay_loss_scale_update(&s, true);
    CHECK_NEAR(s.scale, 1024, 0);
    assay_loss_scale_update(&s, true);
    CHECK_NEAR(s.scale, 2048, 0);
    assay_loss_scale_update(&s, true);
    assay_loss_scale_update(&s, false);
    CHECK_NEAR(s.scale, 1024, 0);
    for (int i = 0; i < 2; i++)
        assay_loss_scale_update(&s, true);
    CHECK_NEAR(s.scale, 1024, 0); /* the count began anew */
}

ASSAY_TEST(it_stays_within_bounds)
{
    struct assay_loss_scale s = assay_loss_scale_begin();
    CHECK_NEAR(s.scale, 65536, 0);
    s.interval = 1;
    for (int i = 0; i < 100; i++)
        assay_loss_scale_update(&s, true);
    CHECK_NEAR(s.scale, 0x1p24, 0);
    for (int i = 0; i < 100; i++)
        assay_loss_scale_update(&s, false);
    CHECK_NEAR(s.scale, 0x1p-24, 0);
}

ASSAY_TEST(without_an_interval_it_is_fixed)
{
    struct assay_loss_scale s = {.scale = 128};
    assay_loss_scale_update(&s, false);
    assay_loss_scale_update(&s, true);
    CHECK_NEAR(s.scale, 128, 0);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(it_doubles_after_enough_finite_updates_and_halves_after_one_that_is_not),
                ASSAY_TEST_ENTRY(it_stays_within_bounds), ASSAY_TEST_ENTRY(without_an_interval_it_is_fixed))
