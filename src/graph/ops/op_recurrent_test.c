/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
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

/* Any of the three, with any of their inputs and outputs. `bits` chooses. */
static void check_gradient(const char *type, uint64_t seed, const char *const *activations, size_t n_activations)
{
    struct probe p;
    probe_init(&p, seed);
    static const char *const words[] = {"forward", "reverse", "bidirectional"};
    bool lstm = *type == 'L', batch_first = seed % 5 == 4;
    int directions = seed % 3 == 2 ? 2 : 1, gates = (lstm ? 4 : *type == 'G' ? 3 : 1) * 2, inputs[8], n = lstm ? 8 : 6;
    char text[6][32];
    snprintf(text[0], 32, "%d,%d,3", directions, gates);
    snprintf(text[1], 32, "%d,%d,2", directions, gates);
    snprintf(text[2], 32, "%d,%d", directions, 2 * gates);
    snprintf(text[3], 32, batch_first ? "3,%d,2" : "%d,3,2", directions);
    snprintf(text[4], 32, "%d,6", directions);
    inputs[0] = probe_input(&p, batch_first ? "3,4,3" : "4,3,3", -1, 1);
    inputs[1] = probe_input(&p, text[0], -1, 1);
    inputs[2] = probe_input(&p, text[1], -1, 1);
    inputs[3] = seed % 4 ? probe_input(&p, text[2], -1, 1) : -1;
    inputs[4] = seed / 3 % 2 ? probe_constant(&p, ASSAY_I32, "3", seed % 7 == 0 ? VALUES(4, 0, 3) : VALUES(2, 4, 3)) : -1;
    inputs[5] = seed % 4 == 3 ? -1 : probe_input(&p, text[3], -1, 1);
    inputs[6] = lstm && seed % 4 ? probe_input(&p, text[3], -1, 1) : -1;
    inputs[7] = lstm && seed % 4 == 2 ? probe_input(&p, text[4], -1, 1) : -1;
    int outputs[] = {seed % 6 == 5 ? -1 : 0, seed % 6 == 1 ? -1 : 0, seed % 6 == 3 ? -1 : 0}, n_outputs = lstm ? 3 : 2;
    e_many(&p.e, type, "", n, inputs, n_outputs, outputs);
    e_set_text(&p.e, "direction", words[seed % 3]);
    e_set_int(&p.e, "hidden_size", 2);
    e_set_int(&p.e, "layout", batch_first);
    if (*type == 'G')
        e_set_int(&p.e, "linear_before_reset", seed & 1);
    if (lstm)
        e_set_int(&p.e, "input_forget", seed / 8 % 2);
    if (n_activations) {
        struct assay_node *node = e_last(&p.e);
        const char *list[6];
        for (size_t i = 0; i < n_activations * (size_t)directions; i++)
            list[i] = activations[i % n_activations];
        CHECK(node != NULL);
        assay_node_set_strings(p.graph, node, "activations", list, n_activations * (size_t)directions);
    }
    for (int i = 0; i < n_outputs; i++)
        if (outputs[i] >= 0)
            probe_output(&p, outputs[i]);
    probe_check(&p);
    probe_release(&p);
}

ASSAY_TEST(recurrent_nets_have_gradients_in_all_their_forms)
{
    static const char *const types[] = {"RNN", "GRU", "LSTM"};
    for (uint64_t seed = 0; seed < 45; seed++)
        check_gradient(types[seed / 15], seed, NULL, 0);
    for (uint64_t seed = 0; seed < 24; seed++)
        check_gradient("LSTM", seed, NULL, 0);
    for (uint64_t seed = 0; seed < 12; seed++)
        check_gradient("GRU", seed, NULL, 0);
}

ASSAY_TEST(recurrent_nets_of_other_activations_have_gradients)
{
    static const char *const words[] = {"Relu", "LeakyRelu", "HardSigmoid", "Elu", "Softsign", "Softplus", "Sigmoid"};
    for (size_t k = 0; k < ASSAY_COUNT(words); k++) {
        check_gradient("RNN", k, &words[k], 1);
        check_gradient("LSTM", k, (const char *const[]){"Sigmoid", words[k], "Softsign"}, 3);
        check_gradient("GRU", k, (const char *const[]){"HardSigmoid", words[k]}, 2);
    }
}

/* Gates stay where clip cuts them: no gradient passes there. */
ASSAY_TEST(clipped_cells_have_gradients)
{
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "4,3,3", -1, 1), w = probe_input(&p, "1,6,3", -1, 1), r = probe_input(&p, "1,6,2", -1, 1);
        int y = e_op(&p.e, "GRU", E_VALUES(x, w, r));
        e_set_int(&p.e, "hidden_size", 2);
        e_set_float(&p.e, "clip", 0.4);
        e_set_int(&p.e, "linear_before_reset", (int64_t)(seed & 1));
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(a_recurrent_gradient_that_does_not_fit_is_refused)
{
    static double zeros[64];
    static const struct {
        const char *x, *w, *r, *y, *part;
        double length;
    } cases[] = {
        {"2,1,3", "1,8,3", "1,8,2", "2,1,1,3", "input 8", 1},
        {"2,1,3", "1,8,4", "1,8,2", "2,1,1,2", "input 1", 1},
        {"2,1,3", "1,8,3", "1,8,2", "2,1,1,2", "a sequence of 3 steps", 3},
        {"2,1,3", "1,8,3", "1,8,2", NULL, "Y, is not given", 1},
    };
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct fixture f;
        fixture_init(&f, "LSTMGradient");
        f.node.domain = "assay";
        fixture_input(&f, ASSAY_F32, cases[i].x, zeros);
        fixture_input(&f, ASSAY_F32, cases[i].w, zeros);
        fixture_input(&f, ASSAY_F32, cases[i].r, zeros);
        fixture_no_input(&f);
        fixture_input(&f, ASSAY_I32, "1", &cases[i].length);
        for (int k = 0; k < 3; k++)
            fixture_no_input(&f);
        if (cases[i].y)
            fixture_input(&f, ASSAY_F32, cases[i].y, zeros);
        CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, cases[i].part);
        fixture_release(&f);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(rnn_steps_forward), ASSAY_TEST_ENTRY(lstm_follows_the_standards_equations),
                ASSAY_TEST_ENTRY(gru_resets_before_or_after_the_product),
                ASSAY_TEST_ENTRY(directions_run_over_the_sequence_both_ways),
                ASSAY_TEST_ENTRY(short_sequences_end_early_and_begin_late_in_reverse),
                ASSAY_TEST_ENTRY(layout_1_has_the_batch_first), ASSAY_TEST_ENTRY(clip_bounds_what_goes_into_an_activation),
                ASSAY_TEST_ENTRY(what_does_not_go_together_is_refused),
                ASSAY_TEST_ENTRY(recurrent_nets_have_gradients_in_all_their_forms),
                ASSAY_TEST_ENTRY(recurrent_nets_of_other_activations_have_gradients),
                ASSAY_TEST_ENTRY(clipped_cells_have_gradients),
                ASSAY_TEST_ENTRY(a_recurrent_gradient_that_does_not_fit_is_refused))
