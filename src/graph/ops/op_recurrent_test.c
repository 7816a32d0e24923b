/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/ops/fixture.h"

/* All in f64, so that the equations, computed here once more, agree to a few roundings. */
static const double TOLERANCE = 1e-14;

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

ASSAY_TEST(rnn_steps_forward)
{
    struct fixture f;
    fixture_init(&f, "RNN");
    fixture_int(&f, "hidden_size", 1);
    fixture_input(&f, ASSAY_F64, "2,1,2", VALUES(1, 2, 3, 4));
    fixture_input(&f, ASSAY_F64, "1,1,2", VALUES(0.1, -0.2));
    fixture_input(&f, ASSAY_F64, "1,1,1", VALUES(0.5));
    fixture_input(&f, ASSAY_F64, "1,2", VALUES(0.25, 0.125));
    f.node.n_outputs = 2;
    CHECK_OK(fixture_run(&f), f.err);
    double h1 = tanh(0.1 - 0.4 + 0.375), h2 = tanh(0.3 - 0.8 + 0.5 * h1 + 0.375);
    CHECK_RESULT(&f, 0, ASSAY_F64, "2,1,1,1", TOLERANCE, h1, h2);
    CHECK_RESULT(&f, 1, ASSAY_F64, "1,1,1", TOLERANCE, h2);
    fixture_release(&f);
}

static void start_lstm(struct fixture *f)
{
    fixture_init(f, "LSTM");
    fixture_input(f, ASSAY_F64, "1,1,1", VALUES(2));
    fixture_input(f, ASSAY_F64, "1,4,1", VALUES(0.1, 0.2, 0.3, 0.4)); /* i o f c */
    fixture_input(f, ASSAY_F64, "1,4,1", VALUES(0.5, 0.6, 0.7, 0.8));
    fixture_input(f, ASSAY_F64, "1,8", VALUES(0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08));
    fixture_no_input(f);
    fixture_input(f, ASSAY_F64, "1,1,1", VALUES(0.9));   /* h */
    fixture_input(f, ASSAY_F64, "1,1,1", VALUES(-0.3));  /* c */
    fixture_input(f, ASSAY_F64, "1,3", VALUES(1, 2, 3)); /* peepholes i o f */
    f->node.n_outputs = 3;
}

ASSAY_TEST(lstm_follows_the_standards_equations)
{
    for (int coupled = 0; coupled < 2; coupled++) {
        struct fixture f;
        start_lstm(&f);
        fixture_int(&f, "input_forget", coupled);
        CHECK_OK(fixture_run(&f), f.err);
        double h = 0.9, c = -0.3, x = 2;
        double i = sigmoid(0.1 * x + 0.5 * h + 0.06 + 1 * c);
        double forget = coupled ? 1 - i : sigmoid(0.3 * x + 0.7 * h + 0.1 + 3 * c);
        c = forget * c + i * tanh(0.4 * x + 0.8 * h + 0.12);
        double o = sigmoid(0.2 * x + 0.6 * h + 0.08 + 2 * c);
        CHECK_RESULT(&f, 1, ASSAY_F64, "1,1,1", TOLERANCE, o * tanh(c));
        CHECK_RESULT(&f, 2, ASSAY_F64, "1,1,1", TOLERANCE, c);
        fixture_release(&f);
    }
}

ASSAY_TEST(gru_resets_before_or_after_the_product)
{
    for (int after = 0; after < 2; after++) {
        struct fixture f;
        fixture_init(&f, "GRU");
        fixture_int(&f, "linear_before_reset", after);
        fixture_input(&f, ASSAY_F64, "1,1,1", VALUES(2));
        fixture_input(&f, ASSAY_F64, "1,3,1", VALUES(0.1, 0.2, 0.3)); /* z r h */
        fixture_input(&f, ASSAY_F64, "1,3,1", VALUES(0.4, 0.5, 0.6));
        fixture_input(&f, ASSAY_F64, "1,6", VALUES(0.01, 0.02, 0.03, 0.04, 0.05, 0.06));
        fixture_no_input(&f);
        fixture_input(&f, ASSAY_F64, "1,1,1", VALUES(0.7));
        CHECK_OK(fixture_run(&f), f.err);
        double h = 0.7, z = sigmoid(0.2 + 0.4 * h + 0.05), r = sigmoid(0.4 + 0.5 * h + 0.07);
        double candidate = after ? tanh(0.6 + 0.03 + r * (0.6 * h + 0.06)) : tanh(0.6 + 0.03 + 0.6 * (r * h) + 0.06);
        CHECK_RESULT(&f, 0, ASSAY_F64, "1,1,1,1", TOLERANCE, (1 - z) * candidate + z * h);
        fixture_release(&f);
    }
}

/* An identity cell: h = x + h, so that sums of the sequence can be read off. */
static void start_sum(struct fixture *f, const char *direction, const double *lengths)
{
    static const char *words[] = {"Affine", "Affine"};
    static float ones[] = {1, 1}, zeros[] = {0, 0};
    bool both = strcmp(direction, "bidirectional") == 0;
    fixture_init(f, "RNN");
    fixture_string(f, "direction", direction);
    struct assay_attr *attr = fixture_attr(f, "activations", ASSAY_ATTR_STRINGS);
    attr->strings = words;
    attr->n = both ? 2 : 1;
    attr = fixture_attr(f, "activation_alpha", ASSAY_ATTR_FLOATS);
    attr->floats = ones;
    attr->n = 2;
    attr = fixture_attr(f, "activation_beta", ASSAY_ATTR_FLOATS);
    attr->floats = zeros;
    attr->n = 2;
    fixture_input(f, ASSAY_F32, "3,2,1", VALUES(1, 2, 10, 20, 100, 200)); /* [step, batch, input] */
    fixture_input(f, ASSAY_F32, both ? "2,1,1" : "1,1,1", VALUES(1, 1));
    fixture_input(f, ASSAY_F32, both ? "2,1,1" : "1,1,1", VALUES(1, 1));
    fixture_no_input(f);
    if (lengths)
        fixture_input(f, ASSAY_I32, "2", lengths);
    f->node.n_outputs = 2;
}

ASSAY_TEST(directions_run_over_the_sequence_both_ways)
{
    struct fixture f;
    start_sum(&f, "bidirectional", NULL);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3,2,2,1", 0, 1, 2, 111, 222, 11, 22, 110, 220, 111, 222, 100, 200);
    CHECK_RESULT(&f, 1, ASSAY_F32, "2,2,1", 0, 111, 222, 111, 222);
    fixture_release(&f);
}

ASSAY_TEST(short_sequences_end_early_and_begin_late_in_reverse)
{
    struct fixture f;
    start_sum(&f, "reverse", VALUES(3, 2));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3,1,2,1", 0, 111, 22, 110, 20, 100, 0);
    CHECK_RESULT(&f, 1, ASSAY_F32, "1,2,1", 0, 111, 22);
    fixture_release(&f);
    start_sum(&f, "forward", VALUES(1, 3));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3,1,2,1", 0, 1, 2, 0, 22, 0, 222);
    CHECK_RESULT(&f, 1, ASSAY_F32, "1,2,1", 0, 1, 222);
    fixture_release(&f);
}

ASSAY_TEST(layout_1_has_the_batch_first)
{
    struct fixture f;
    fixture_init(&f, "RNN");
    fixture_int(&f, "layout", 1);
    fixture_input(&f, ASSAY_F64, "2,2,1", VALUES(0.1, 0.2, 0.3, 0.4)); /* [batch, step, input] */
    fixture_input(&f, ASSAY_F64, "1,1,1", VALUES(1));
    fixture_input(&f, ASSAY_F64, "1,1,1", VALUES(1));
    fixture_no_input(&f);
    fixture_no_input(&f);
    fixture_input(&f, ASSAY_F64, "2,1,1", VALUES(0, 1));
    f.node.n_outputs = 2;
    CHECK_OK(fixture_run(&f), f.err);
    double a1 = tanh(0.1), a2 = tanh(0.2 + a1), b1 = tanh(1.3), b2 = tanh(0.4 + b1);
    CHECK_RESULT(&f, 0, ASSAY_F64, "2,2,1,1", TOLERANCE, a1, a2, b1, b2);
    CHECK_RESULT(&f, 1, ASSAY_F64, "2,1,1", TOLERANCE, a2, b2);
    fixture_release(&f);
}

ASSAY_TEST(clip_bounds_what_goes_into_an_activation)
{
    struct fixture f;
    fixture_init(&f, "RNN");
    fixture_float(&f, "clip", 0.5F);
    fixture_input(&f, ASSAY_F64, "1,2,1", VALUES(3, -3));
    fixture_input(&f, ASSAY_F64, "1,1,1", VALUES(1));
    fixture_input(&f, ASSAY_F64, "1,1,1", VALUES(1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "1,1,2,1", TOLERANCE, tanh(0.5), -tanh(0.5));
    fixture_release(&f);
}

ASSAY_TEST(what_does_not_go_together_is_refused)
{
    struct fixture f;
    start_sum(&f, "forward", VALUES(1, 4));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "4 steps");
    fixture_release(&f);
    fixture_init(&f, "LSTM");
    fixture_input(&f, ASSAY_F32, "1,1,1", VALUES(1));
    fixture_input(&f, ASSAY_F32, "1,3,1", VALUES(1, 1, 1));
    fixture_input(&f, ASSAY_F32, "1,4,1", VALUES(1, 1, 1, 1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "W is f32[1,3,1], but must be f32[1,4,1]");
    fixture_release(&f);
    fixture_init(&f, "RNN");
    struct assay_attr *attr = fixture_attr(&f, "activations", ASSAY_ATTR_STRINGS);
    attr->strings = (const char *[]){"Sine"};
    fixture_input(&f, ASSAY_F32, "1,1,1", VALUES(1));
    fixture_input(&f, ASSAY_F32, "1,1,1", VALUES(1));
    fixture_input(&f, ASSAY_F32, "1,1,1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "Sine");
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(rnn_steps_forward), ASSAY_TEST_ENTRY(lstm_follows_the_standards_equations),
                ASSAY_TEST_ENTRY(gru_resets_before_or_after_the_product),
                ASSAY_TEST_ENTRY(directions_run_over_the_sequence_both_ways),
                ASSAY_TEST_ENTRY(short_sequences_end_early_and_begin_late_in_reverse),
                ASSAY_TEST_ENTRY(layout_1_has_the_batch_first), ASSAY_TEST_ENTRY(clip_bounds_what_goes_into_an_activation),
                ASSAY_TEST_ENTRY(what_does_not_go_together_is_refused))
