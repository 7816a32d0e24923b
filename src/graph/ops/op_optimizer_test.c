/* SPDX-License-Identifier: Apache-2.0 */
/* One step of each optimizer on two parameters, worked out by hand from the schemas' pseudo code. */
#include "graph/ops/fixture.h"

static void start(struct fixture *f, const char *op, double rate, double t)
{
    fixture_init(f, op);
    f->node.domain = "ai.onnx.preview.training";
    fixture_input(f, ASSAY_F32, "", VALUES(rate));
    fixture_input(f, ASSAY_I64, "", VALUES(t));
}

ASSAY_TEST(adagrad_divides_by_the_root_of_the_summed_squares)
{
    struct fixture f;
    start(&f, "Adagrad", 0.5, 1);
    f.node.n_outputs = 4;
    fixture_float(&f, "decay_factor", 1);
    fixture_float(&f, "epsilon", 1);
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    fixture_input(&f, ASSAY_F64, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_F32, "1", VALUES(3));
    fixture_input(&f, ASSAY_F64, "2", VALUES(4, 0));
    fixture_input(&f, ASSAY_F32, "1", VALUES(7));
    fixture_input(&f, ASSAY_F64, "2", VALUES(9, 5));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1", 1e-7, 1 - 0.25 * 3 / 5.0);
    CHECK_RESULT(&f, 1, ASSAY_F64, "2", 1e-15, 1 - 0.25 * 4 / 6.0, 2);
    CHECK_RESULT(&f, 2, ASSAY_F32, "1", 0, 16);
    CHECK_RESULT(&f, 3, ASSAY_F64, "2", 0, 25, 5);
    fixture_release(&f);
}

ASSAY_TEST(adam_corrects_its_bias_after_the_first_step)
{
    for (int t = 0; t < 3; t++) {
        struct fixture f;
        start(&f, "Adam", 0.5, t);
        f.node.n_outputs = 3;
        fixture_float(&f, "alpha", 0.5f);
        fixture_float(&f, "beta", 0.75f);
        fixture_float(&f, "epsilon", 1);
        fixture_float(&f, "norm_coefficient_post", 0.5f);
        fixture_input(&f, ASSAY_F64, "1", VALUES(1));
        fixture_input(&f, ASSAY_F64, "1", VALUES(2));
        fixture_input(&f, ASSAY_F64, "1", VALUES(4));
        fixture_input(&f, ASSAY_F64, "1", VALUES(8));
        CHECK_OK(fixture_run(&f), f.err);
        double v = 3, h = 7, rate = t ? 0.5 * sqrt(1 - pow(0.75, t)) / (1 - pow(0.5, t)) : 0.5;
        CHECK_RESULT(&f, 0, ASSAY_F64, "1", 1e-15, 0.5 * (1 - rate * v / (sqrt(h) + 1)));
        CHECK_RESULT(&f, 1, ASSAY_F64, "1", 0, v);
        CHECK_RESULT(&f, 2, ASSAY_F64, "1", 0, h);
        fixture_release(&f);
    }
}

ASSAY_TEST(adam_without_an_epsilon_is_refused)
{
    struct fixture f;
    start(&f, "Adam", 0.5, 1);
    f.node.n_outputs = 3;
    for (int i = 0; i < 4; i++)
        fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    CHECK_INT(fixture_run(&f), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(f.err.message, "epsilon");
    fixture_release(&f);
}

ASSAY_TEST(momentum_looks_ahead_with_nesterov)
{
    for (int nesterov = 0; nesterov < 2; nesterov++) {
        struct fixture f;
        start(&f, "Momentum", 0.5, 1);
        f.node.n_outputs = 2;
        fixture_float(&f, "alpha", 0.5f);
        fixture_float(&f, "beta", 0.25f);
        fixture_float(&f, "norm_coefficient", 1);
        fixture_string(&f, "mode", nesterov ? "nesterov" : "standard");
        fixture_input(&f, ASSAY_F32, "1", VALUES(1));
        fixture_input(&f, ASSAY_F32, "1", VALUES(3));
        fixture_input(&f, ASSAY_F32, "1", VALUES(2));
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, ASSAY_F32, "1", 0, nesterov ? 1 - 0.5 * (4 + 0.5 * 2) : 1 - 0.5 * 2);
        CHECK_RESULT(&f, 1, ASSAY_F32, "1", 0, 2);
        fixture_release(&f);
    }
}

ASSAY_TEST(counts_shapes_and_modes_are_checked)
{
    struct fixture f;
    start(&f, "Adagrad", 0.5, 1);
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "don't match");
    fixture_release(&f);
    start(&f, "Adagrad", 0.5, 1);
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "one type");
    fixture_release(&f);
    start(&f, "Adagrad", 0.5, 1);
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    fixture_no_input(&f);
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "missing");
    fixture_release(&f);
    start(&f, "Momentum", 0.5, 1);
    fixture_string(&f, "mode", "fast");
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "fast");
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(adagrad_divides_by_the_root_of_the_summed_squares),
                ASSAY_TEST_ENTRY(adam_corrects_its_bias_after_the_first_step),
                ASSAY_TEST_ENTRY(adam_without_an_epsilon_is_refused), ASSAY_TEST_ENTRY(momentum_looks_ahead_with_nesterov),
                ASSAY_TEST_ENTRY(counts_shapes_and_modes_are_checked))
