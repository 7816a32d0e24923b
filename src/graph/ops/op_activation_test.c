/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values: the standard's formulas, worked out in Python. */
#include "graph/ops/fixture.h"

static void check(const char *op, const char *name, float parameter, double x, double wanted)
{
    for (int f64 = 0; f64 < 2; f64++) {
        struct fixture f;
        fixture_init(&f, op);
        if (name)
            fixture_float(&f, name, parameter);
        fixture_input(&f, f64 ? ASSAY_F64 : ASSAY_F32, "1", VALUES(x));
        CHECK_OK(fixture_run(&f), f.err);
        /* Attributes are f32, so f64 results carry their rounding where a parameter is no binary fraction. */
        double tolerance = f64 ? 1e-7 : 3e-7;
        CHECK_RESULT(&f, 0, f64 ? ASSAY_F64 : ASSAY_F32, "1", tolerance * (1e-3 + fabs(wanted)), wanted);
        fixture_release(&f);
    }
}

ASSAY_TEST(activations_follow_their_formulas)
{
    check("Relu", NULL, 0, -3, 0);
    check("Relu", NULL, 0, 3, 3);
    check("LeakyRelu", NULL, 0, -4, -0.04);
    check("LeakyRelu", "alpha", 0.25f, -4, -1);
    check("Elu", NULL, 0, -1, -0.63212055882855767840);
    check("Elu", "alpha", 2, -1, -1.26424111765711535680);
    check("Selu", NULL, 0, -1, -1.1113307412864784);
    check("Celu", "alpha", 2, -1, -0.78693868057473315279);
    check("Sigmoid", NULL, 0, 2, 0.88079707797788244406);
    check("Sigmoid", NULL, 0, -30, 9.3576229688401746e-14);
    check("HardSigmoid", NULL, 0, 1, 0.7);
    check("HardSigmoid", NULL, 0, 9, 1);
    check("HardSwish", NULL, 0, 1, 0.66666666666666666667);
    check("HardSwish", NULL, 0, -4, 0);
    check("Softplus", NULL, 0, 1, 1.31326168751822283405);
    check("Softplus", NULL, 0, 100, 100);
    check("Softplus", NULL, 0, -20, 2.0611536203143807e-9);
    check("Softsign", NULL, 0, -3, -0.75);
    check("ThresholdedRelu", NULL, 0, 1, 0);
    check("ThresholdedRelu", "alpha", 0.5f, 0.75, 0.75);
    check("Shrink", "lambd", 1.5f, -2, -2);
    check("Shrink", "lambd", 1.5f, 1, 0);
    check("Gelu", NULL, 0, 1, 0.84134474606854294859);
    check("Gelu", NULL, 0, -5, -1.4332578593959731e-6);
    check("Mish", NULL, 0, 1, 0.86509838826731034);
    check("Swish", "alpha", 2, 1, 0.88079707797788244406);
}

ASSAY_TEST(gelu_by_tanh_is_the_approximation)
{
    struct fixture f;
    fixture_init(&f, "Gelu");
    fixture_string(&f, "approximate", "tanh");
    fixture_input(&f, ASSAY_F64, "1", VALUES(1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "1", 1e-12, 0.84119199060827672);
    fixture_release(&f);
    fixture_init(&f, "Gelu");
    fixture_string(&f, "approximate", "cubic");
    fixture_input(&f, ASSAY_F64, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "cubic");
    fixture_release(&f);
}

ASSAY_TEST(a_nan_stays_one)
{
    static const char *const ops[] = {"Relu",      "LeakyRelu", "Elu",      "Selu", "Celu", "Sigmoid", "HardSigmoid",
                                      "HardSwish", "Softplus",  "Softsign", "Gelu", "Mish", "Swish",   "Shrink"};
    for (size_t i = 0; i < ASSAY_COUNT(ops); i++) {
        struct fixture f;
        fixture_init(&f, ops[i]);
        fixture_input(&f, ASSAY_F32, "1", VALUES(NAN));
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, ASSAY_F32, "1", 0, NAN);
        fixture_release(&f);
    }
}

ASSAY_TEST(clip_takes_either_bound_or_both)
{
    struct fixture f;
    fixture_init(&f, "Clip");
    fixture_input(&f, ASSAY_I8, "4", VALUES(-100, -1, 1, 100));
    fixture_no_input(&f);
    fixture_input(&f, ASSAY_I8, "", VALUES(5));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I8, "4", 0, -100, -1, 1, 5);
    fixture_release(&f);
    fixture_init(&f, "Clip");
    fixture_input(&f, ASSAY_BF16, "3", VALUES(-2, 0.5, 2));
    fixture_input(&f, ASSAY_BF16, "", VALUES(-1));
    fixture_input(&f, ASSAY_BF16, "", VALUES(1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BF16, "3", 0, -1, 0.5, 1);
    fixture_release(&f);
}

ASSAY_TEST(clip_with_crossed_bounds_gives_the_upper_one)
{
    struct fixture f;
    fixture_init(&f, "Clip");
    fixture_input(&f, ASSAY_F32, "3", VALUES(-2, 3, NAN));
    fixture_input(&f, ASSAY_F32, "", VALUES(2));
    fixture_input(&f, ASSAY_F32, "", VALUES(1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3", 0, 1, 1, NAN);
    fixture_release(&f);
}

ASSAY_TEST(clip_with_a_bound_that_is_no_scalar_is_invalid)
{
    struct fixture f;
    fixture_init(&f, "Clip");
    fixture_input(&f, ASSAY_F32, "1", VALUES(0));
    fixture_input(&f, ASSAY_F32, "0", NULL);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "bound");
    fixture_release(&f);
    fixture_init(&f, "Clip");
    fixture_input(&f, ASSAY_F32, "1", VALUES(0));
    fixture_input(&f, ASSAY_I32, "", VALUES(0));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "dtype");
    fixture_release(&f);
}

ASSAY_TEST(shrink_of_integers_is_cut_to_their_range)
{
    struct fixture f;
    fixture_init(&f, "Shrink");
    fixture_float(&f, "lambd", 1);
    fixture_float(&f, "bias", -200);
    fixture_input(&f, ASSAY_I8, "3", VALUES(100, -100, 1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I8, "3", 0, 127, -128, 0);
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(activations_follow_their_formulas), ASSAY_TEST_ENTRY(gelu_by_tanh_is_the_approximation),
                ASSAY_TEST_ENTRY(a_nan_stays_one), ASSAY_TEST_ENTRY(clip_takes_either_bound_or_both),
                ASSAY_TEST_ENTRY(clip_with_crossed_bounds_gives_the_upper_one),
                ASSAY_TEST_ENTRY(clip_with_a_bound_that_is_no_scalar_is_invalid),
                ASSAY_TEST_ENTRY(shrink_of_integers_is_cut_to_their_range))
