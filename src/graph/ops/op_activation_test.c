/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values: the standard's formulas, worked out in Python. */
#include "graph/gradient_testing.h"
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

ASSAY_TEST(activations_have_gradients)
{
    static const struct {
        const char *type, *attribute;
        double value;
    } cases[] = {
        {"Celu", "alpha", 0.7}, {"Elu", "alpha", 0.7},       {"Elu", "alpha", -0.7},       {"HardSigmoid", "alpha", 0.3},
        {"HardSwish", NULL, 0}, {"LeakyRelu", "alpha", 0.2}, {"LeakyRelu", "alpha", -0.2}, {"Mish", NULL, 0},
        {"Relu", NULL, 0},      {"Selu", "gamma", 1.5},      {"Shrink", "lambd", 0.7},     {"Sigmoid", NULL, 0},
        {"Softplus", NULL, 0},  {"Softsign", NULL, 0},       {"Swish", "alpha", 1.3},      {"ThresholdedRelu", "alpha", 0.5},
        {"Gelu", NULL, 0}};
    for (uint64_t seed = 0; seed < 3 * ASSAY_COUNT(cases); seed++) {
        size_t k = seed % ASSAY_COUNT(cases);
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "4,6", -5, 5), y = e_unary(&p.e, cases[k].type, x);
        if (cases[k].attribute)
            e_set_float(&p.e, cases[k].attribute, cases[k].value);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(gelu_by_tanh_has_a_gradient)
{
    struct probe p;
    probe_init(&p, 1);
    int x = probe_input(&p, "40", -5, 5), y = e_unary(&p.e, "Gelu", x);
    e_set_text(&p.e, "approximate", "tanh");
    probe_output(&p, y);
    probe_check(&p);
    probe_release(&p);
}

ASSAY_TEST(clip_passes_gradients_to_what_its_result_is_made_of)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "20", -2, 2);
        int low = seed & 1 ? probe_input(&p, "", -1, 1) : -1, high = seed & 2 ? probe_input(&p, "", -1, 1) : -1;
        if (seed & 4) {
            low = seed & 1 ? e_number(&p.e, -0.5, x) : -1;
            high = seed & 2 ? e_number(&p.e, 1, x) : -1;
        }
        probe_output(&p, e_op(&p.e, "Clip", E_VALUES(x, low, high)));
        probe_check(&p);
        probe_release(&p);
    }
}

/* At their kinks, as PyTorch: relu, leaky_relu and abs take the side of zero, clamp passes on its bounds,
 * relu6 does not. */
ASSAY_TEST(kinks_have_the_gradients_of_pytorch)
{
    static const struct {
        const char *type;
        double gradient;
    } cases[] = {{"Relu", 0}, {"LeakyRelu", 0.01f}, {"Abs", 0}, {"Elu", 1}, {"Clip", 1}, {"Clip", 0}};
    for (size_t k = 0; k < ASSAY_COUNT(cases); k++) {
        struct assay_error err;
        struct assay_graph *graph = assay_graph_open("g");
        struct assay_emit e = assay_emit_make(graph, "", &err);
        int dx, x = testing_input(graph, "x", ASSAY_F32, 0, NULL), zero = e_float(&e, 0);
        int loss = e_op(&e, cases[k].type, E_VALUES(x, k >= 4 ? zero : -1, k == 5 ? e_float(&e, 6) : -1));
        CHECK_OK(assay_emit_finish(&e), err);
        CHECK_OK(assay_graph_differentiate(graph, loss, -1, 1, &x, &dx, &err), err);
        assay_graph_add_output(graph, dx);
        struct assay_tensor in, out;
        struct assay_type type = assay_type_make(ASSAY_F32, 0, NULL);
        CHECK_OK(assay_tensor_alloc(&in, &type, &err), err);
        assay_tensor_set_real(&in, 0, 0);
        CHECK_OK(testing_run(graph, &in, &out, &err), err);
        CHECK(assay_tensor_real(&out, 0) == cases[k].gradient);
        assay_tensor_release(&in);
        assay_tensor_release(&out);
        assay_graph_close(graph);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(activations_follow_their_formulas), ASSAY_TEST_ENTRY(gelu_by_tanh_is_the_approximation),
                ASSAY_TEST_ENTRY(a_nan_stays_one), ASSAY_TEST_ENTRY(clip_takes_either_bound_or_both),
                ASSAY_TEST_ENTRY(clip_with_crossed_bounds_gives_the_upper_one),
                ASSAY_TEST_ENTRY(clip_with_a_bound_that_is_no_scalar_is_invalid),
                ASSAY_TEST_ENTRY(shrink_of_integers_is_cut_to_their_range), ASSAY_TEST_ENTRY(activations_have_gradients),
                ASSAY_TEST_ENTRY(gelu_by_tanh_has_a_gradient),
                ASSAY_TEST_ENTRY(clip_passes_gradients_to_what_its_result_is_made_of),
                ASSAY_TEST_ENTRY(kinks_have_the_gradients_of_pytorch))
