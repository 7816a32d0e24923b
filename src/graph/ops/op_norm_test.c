/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/ops/fixture.h"

/* f32 results of sums in double: one rounding, of numbers up to a few units. */
static const double ONE_ROUNDING = 5e-7;

static void start_batch(struct fixture *f, bool training)
{
    fixture_init(f, "BatchNormalization");
    fixture_float(f, "epsilon", 0);
    fixture_float(f, "momentum", 0.75F);
    fixture_int(f, "training_mode", training);
    fixture_input(f, ASSAY_F32, "2,2,1", VALUES(1, 10, 3, 30));
    fixture_input(f, ASSAY_F32, "2", VALUES(2, 1));  /* scale */
    fixture_input(f, ASSAY_F32, "2", VALUES(0, 5));  /* bias */
    fixture_input(f, ASSAY_F32, "2", VALUES(1, 10)); /* mean */
    fixture_input(f, ASSAY_F32, "2", VALUES(4, 1));  /* variance */
}

ASSAY_TEST(batch_normalization_uses_the_given_moments)
{
    struct fixture f;
    start_batch(&f, false);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,2,1", ONE_ROUNDING, 0, 5, 2, 25);
    fixture_release(&f);
}

ASSAY_TEST(in_training_it_uses_the_batchs_and_updates_the_running_ones)
{
    struct fixture f;
    start_batch(&f, true);
    f.node.n_outputs = 3;
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,2,1", ONE_ROUNDING, -2, 4, 2, 6);
    CHECK_RESULT(&f, 1, ASSAY_F32, "2", ONE_ROUNDING, 1.25, 12.5); /* 0.75 · old + 0.25 · mean (2, 20) */
    CHECK_RESULT(&f, 2, ASSAY_F32, "2", 1e-5, 3.25, 25.75);        /* variances (1, 100) */
    fixture_release(&f);
}

ASSAY_TEST(instances_are_normalized_one_by_one)
{
    struct fixture f;
    fixture_init(&f, "InstanceNormalization");
    fixture_float(&f, "epsilon", 0);
    fixture_input(&f, ASSAY_F32, "2,1,2", VALUES(0, 2, 10, 30));
    fixture_input(&f, ASSAY_F32, "1", VALUES(3));
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,1,2", ONE_ROUNDING, -2, 4, -2, 4);
    fixture_release(&f);
}

ASSAY_TEST(groups_share_moments_and_channels_have_scales)
{
    struct fixture f;
    fixture_init(&f, "GroupNormalization");
    fixture_int(&f, "num_groups", 2);
    fixture_float(&f, "epsilon", 0);
    fixture_input(&f, ASSAY_F32, "1,4,1", VALUES(1, 3, 10, 30));
    fixture_input(&f, ASSAY_F32, "4", VALUES(1, 2, 3, 4));
    fixture_input(&f, ASSAY_F32, "4", VALUES(0, 0, 0, 1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,4,1", ONE_ROUNDING, -1, 2, -3, 5);
    fixture_release(&f);
}

ASSAY_TEST(layer_normalization_gives_mean_and_deviation)
{
    struct fixture f;
    fixture_init(&f, "LayerNormalization");
    fixture_float(&f, "epsilon", 0);
    fixture_int(&f, "axis", 1);
    fixture_input(&f, ASSAY_F32, "2,1,2", VALUES(1, 3, 10, 30));
    fixture_input(&f, ASSAY_F32, "1,2", VALUES(1, 2));
    fixture_input(&f, ASSAY_F32, "2", VALUES(0, 1));
    f.node.n_outputs = 3;
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,1,2", ONE_ROUNDING, -1, 3, -1, 3);
    CHECK_RESULT(&f, 1, ASSAY_F32, "2,1,1", ONE_ROUNDING, 2, 20);
    CHECK_RESULT(&f, 2, ASSAY_F32, "2,1,1", ONE_ROUNDING, 1, 0.1);
    fixture_release(&f);
}

ASSAY_TEST(a_large_mean_does_not_swallow_the_variance)
{
    struct fixture f;
    fixture_init(&f, "LayerNormalization");
    fixture_float(&f, "epsilon", 0);
    fixture_input(&f, ASSAY_F32, "1,4", VALUES(1000000, 1000001, 1000002, 1000003));
    fixture_input(&f, ASSAY_F32, "4", VALUES(1, 1, 1, 1));
    CHECK_OK(fixture_run(&f), f.err);
    double s = 1 / sqrt(1.25);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,4", ONE_ROUNDING, -1.5 * s, -0.5 * s, 0.5 * s, 1.5 * s);
    fixture_release(&f);
}

ASSAY_TEST(root_mean_square_does_not_center)
{
    struct fixture f;
    fixture_init(&f, "RMSNormalization");
    fixture_float(&f, "epsilon", 0);
    fixture_input(&f, ASSAY_F32, "1,2", VALUES(1, 7)); /* √25 */
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 10));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,2", 1e-6, 0.2, 14);
    fixture_release(&f);
}

ASSAY_TEST(half_precision_keeps_f32_statistics)
{
    struct fixture f;
    fixture_init(&f, "LayerNormalization");
    fixture_input(&f, ASSAY_F16, "1,2", VALUES(1, 3));
    fixture_input(&f, ASSAY_F16, "2", VALUES(1, 1));
    f.node.n_outputs = 2;
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_INT(f.results[0].type.dtype, ASSAY_F16);
    CHECK_RESULT(&f, 1, ASSAY_F32, "1,1", 0, 2);
    fixture_release(&f);
}

ASSAY_TEST(parameters_of_another_length_are_refused)
{
    struct fixture f;
    fixture_init(&f, "InstanceNormalization");
    fixture_input(&f, ASSAY_F32, "1,2,1", VALUES(0, 2));
    fixture_input(&f, ASSAY_F32, "1", VALUES(3));
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "2 channels");
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(batch_normalization_uses_the_given_moments),
                ASSAY_TEST_ENTRY(in_training_it_uses_the_batchs_and_updates_the_running_ones),
                ASSAY_TEST_ENTRY(instances_are_normalized_one_by_one),
                ASSAY_TEST_ENTRY(groups_share_moments_and_channels_have_scales),
                ASSAY_TEST_ENTRY(layer_normalization_gives_mean_and_deviation),
                ASSAY_TEST_ENTRY(a_large_mean_does_not_swallow_the_variance), ASSAY_TEST_ENTRY(root_mean_square_does_not_center),
                ASSAY_TEST_ENTRY(half_precision_keeps_f32_statistics), ASSAY_TEST_ENTRY(parameters_of_another_length_are_refused))
