/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
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

ASSAY_TEST(batch_normalization_has_gradients_in_both_modes)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int training = seed & 1;
        static const char *const shapes[] = {"4,3,2,3", "6,3", "3,3,5"};
        int x = probe_input(&p, shapes[seed % 3], -2, 2), scale = probe_input(&p, "3", -1, 2), bias = probe_input(&p, "3", -1, 1);
        int mean = probe_input(&p, "3", -1, 1), variance = probe_input(&p, "3", 0.5, 2), outputs[] = {0, 0, 0};
        int y = e_many(&p.e, "BatchNormalization", "", E_VALUES(x, scale, bias, mean, variance), training ? 3 : 1, outputs);
        e_set_int(&p.e, "training_mode", training);
        e_set_float(&p.e, "epsilon", 1e-3);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

/* Mean and deviation pass to the backward pass in f32, which is what limits it here. */
ASSAY_TEST(layer_and_rms_normalization_have_gradients)
{
    static const char *const scales[] = {"4", "3,4", "1,4", "2,3,4"};
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int rms = seed & 1, which = (int)(seed / 2 % 4),
            axis = which == 0 || which == 2 ? 2 - (int)(seed / 8 % 2)
                   : which == 1             ? 1
                                            : 0;
        int x = probe_input(&p, "2,3,4", -2, 2), scale = probe_input(&p, scales[which], -1, 2);
        int bias = rms ? -1 : probe_input(&p, seed % 3 ? scales[which] : "4", -1, 1);
        int y = e_op(&p.e, rms ? "RMSNormalization" : "LayerNormalization", E_VALUES(x, scale, bias));
        e_set_int(&p.e, "axis", axis);
        p.tolerance = rms ? 1e-6 : 5e-6;
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(group_and_instance_normalization_have_gradients)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct probe p;
        probe_init(&p, seed);
        bool by_group = seed % 3 == 1; /* as before opset 21 */
        const char *n = by_group ? "2" : "4";
        if (by_group)
            p.graph->opset = 18;
        int x = probe_input(&p, seed & 1 ? "2,4,3" : "2,4,2,3", -2, 2), scale = probe_input(&p, n, -1, 2);
        int bias = probe_input(&p, n, -1, 1);
        int y = e_op(&p.e, seed % 3 ? "GroupNormalization" : "InstanceNormalization", E_VALUES(x, scale, bias));
        if (seed % 3)
            e_set_int(&p.e, "num_groups", seed % 3 == 2 && seed & 2 ? 1 : 2);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

/* One channel of 1, 2, 6 with dy = 1, 0, 0: by hand from the formula, epsilon 0. */
ASSAY_TEST(gradients_of_normalizations_have_their_known_values_in_every_float)
{
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_F64, ASSAY_BF16};
    double inverse = 1 / sqrt(14.0 / 3), h[] = {-2 * inverse, -inverse, 3 * inverse}, dx[3];
    for (int k = 0; k < 3; k++)
        dx[k] = 2 * inverse * ((k == 0) - 1.0 / 3 - h[k] * h[0] / 3);
    for (size_t k = 0; k < ASSAY_COUNT(dtypes); k++) {
        struct fixture f;
        double tolerance = dtypes[k] == ASSAY_BF16 ? 0.02 : 1e-6;
        fixture_init(&f, "BatchNormalizationGradient");
        f.node.domain = "assay";
        f.node.n_outputs = 3;
        fixture_float(&f, "epsilon", 0);
        fixture_input(&f, dtypes[k], "3,1", VALUES(1, 0, 0));
        fixture_input(&f, dtypes[k], "3,1", VALUES(1, 2, 6));
        fixture_input(&f, ASSAY_F32, "1", VALUES(2));
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, dtypes[k], "3,1", tolerance, dx[0], dx[1], dx[2]);
        CHECK_RESULT(&f, 1, ASSAY_F32, "1", tolerance, h[0]);
        CHECK_RESULT(&f, 2, ASSAY_F32, "1", tolerance, 1);
        fixture_release(&f);
        fixture_init(&f, "LayerNormalizationGradient");
        f.node.domain = "assay";
        f.node.n_outputs = 3;
        fixture_input(&f, dtypes[k], "1,3", VALUES(1, 0, 0));
        fixture_input(&f, dtypes[k], "1,3", VALUES(1, 2, 6));
        fixture_input(&f, dtypes[k], "3", VALUES(2, 2, 2));
        fixture_input(&f, ASSAY_F32, "1,1", VALUES(3));
        fixture_input(&f, ASSAY_F32, "1,1", VALUES(inverse));
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, dtypes[k], "1,3", tolerance, dx[0], dx[1], dx[2]);
        CHECK_RESULT(&f, 1, dtypes[k], "3", tolerance, h[0], 0, 0);
        CHECK_RESULT(&f, 2, dtypes[k], "3", tolerance, 1, 0, 0);
        fixture_release(&f);
    }
}

ASSAY_TEST(a_normalization_gradient_that_does_not_fit_is_refused)
{
    static const double ones[] = {1, 1, 1, 1, 1, 1, 1, 1};
    static const struct {
        const char *type, *dy, *x, *scale, *mean, *part;
    } cases[] = {
        {"BatchNormalizationGradient", "2,2", "2,3", "3", NULL, "dimension of dy and x"},
        {"BatchNormalizationGradient", "2,3", "2,3", "2", NULL, "number of channels"},
        {"GroupNormalizationGradient", "2,3", "2,3", "3", NULL, "num_groups"},
        {"LayerNormalizationGradient", "2,3", "2,3", "2", "2", "does not repeat"},
        {"LayerNormalizationGradient", "2,3", "2,3", "3", "3", "each of 2 rows"},
        {"RMSNormalizationGradient", "6", "2,3", "3", NULL, "rank"},
    };
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct fixture f;
        fixture_init(&f, cases[i].type);
        f.node.domain = "assay";
        fixture_input(&f, ASSAY_F32, cases[i].dy, ones);
        fixture_input(&f, ASSAY_F32, cases[i].x, ones);
        fixture_input(&f, ASSAY_F32, cases[i].scale, ones);
        for (int k = 0; k < 2 && cases[i].mean; k++)
            fixture_input(&f, ASSAY_F32, cases[i].mean, ones);
        CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, cases[i].part);
        fixture_release(&f);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(batch_normalization_uses_the_given_moments),
                ASSAY_TEST_ENTRY(in_training_it_uses_the_batchs_and_updates_the_running_ones),
                ASSAY_TEST_ENTRY(instances_are_normalized_one_by_one),
                ASSAY_TEST_ENTRY(groups_share_moments_and_channels_have_scales),
                ASSAY_TEST_ENTRY(layer_normalization_gives_mean_and_deviation),
                ASSAY_TEST_ENTRY(a_large_mean_does_not_swallow_the_variance), ASSAY_TEST_ENTRY(root_mean_square_does_not_center),
                ASSAY_TEST_ENTRY(half_precision_keeps_f32_statistics), ASSAY_TEST_ENTRY(parameters_of_another_length_are_refused),
                ASSAY_TEST_ENTRY(batch_normalization_has_gradients_in_both_modes),
                ASSAY_TEST_ENTRY(layer_and_rms_normalization_have_gradients),
                ASSAY_TEST_ENTRY(group_and_instance_normalization_have_gradients),
                ASSAY_TEST_ENTRY(gradients_of_normalizations_have_their_known_values_in_every_float),
                ASSAY_TEST_ENTRY(a_normalization_gradient_that_does_not_fit_is_refused))
