/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

enum { N = 40000 };

static double mean(const struct assay_tensor *t, double *variance)
{
    double sum = 0, squares = 0, n = (double)assay_tensor_count(t);
    for (int64_t i = 0; i < assay_tensor_count(t); i++) {
        double x = assay_tensor_real(t, i);
        sum += x;
        squares += x * x;
    }
    *variance = squares / n - sum / n * (sum / n);
    return sum / n;
}

static void random_op(struct fixture *f, const char *op, int64_t *shape, float seed)
{
    fixture_init(f, op);
    fixture_ints(f, "shape", shape, 2);
    fixture_float(f, "seed", seed);
}

ASSAY_TEST(normal_and_uniform_have_their_moments)
{
    int64_t shape[] = {200, 200};
    double variance;
    struct fixture f;
    random_op(&f, "RandomNormal", shape, 1);
    fixture_float(&f, "mean", 3);
    fixture_float(&f, "scale", 2);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_NEAR(mean(&f.results[0], &variance), 3, 5 * 2 / sqrt(N)); /* five standard errors, also below */
    CHECK_NEAR(variance, 4, 5 * 4 * sqrt(2. / N));
    fixture_release(&f);
    random_op(&f, "RandomUniform", shape, 1);
    fixture_float(&f, "low", -1);
    fixture_float(&f, "high", 3);
    fixture_int(&f, "dtype", ASSAY_F64);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_NEAR(mean(&f.results[0], &variance), 1, 5 * sqrt(16 / 12. / N));
    CHECK_NEAR(variance, 16 / 12., 0.05);
    for (int64_t i = 0; i < N; i++) {
        double x = assay_tensor_real(&f.results[0], i);
        CHECK(x >= -1 && x < 3);
    }
    fixture_release(&f);
}

ASSAY_TEST(a_seed_repeats_and_another_differs)
{
    int64_t shape[] = {2, 8};
    struct fixture a, b, c;
    random_op(&a, "RandomNormal", shape, 1.5f);
    random_op(&b, "RandomNormal", shape, 1.5f);
    random_op(&c, "RandomNormal", shape, 1.25f);
    CHECK_OK(fixture_run(&a), a.err);
    CHECK_OK(fixture_run(&b), b.err);
    CHECK_OK(fixture_run(&c), c.err);
    CHECK(memcmp(a.results[0].data, b.results[0].data, 64) == 0);
    CHECK(memcmp(a.results[0].data, c.results[0].data, 64) != 0);
    fixture_release(&a);
    fixture_release(&b);
    fixture_release(&c);
}

ASSAY_TEST(like_takes_shape_and_dtype_of_its_input)
{
    struct fixture f;
    fixture_init(&f, "RandomUniformLike");
    fixture_input(&f, ASSAY_F16, "3,1", VALUES(0, 0, 0));
    CHECK_OK(fixture_run(&f), f.err);
    struct assay_type wanted = fixture_type(ASSAY_F16, "3,1");
    CHECK(assay_type_equal(&f.results[0].type, &wanted));
    fixture_release(&f);
    fixture_init(&f, "RandomNormalLike");
    fixture_int(&f, "dtype", ASSAY_F32);
    fixture_input(&f, ASSAY_I64, "2", VALUES(0, 0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_INT(f.results[0].type.dtype, ASSAY_F32);
    fixture_release(&f);
}

ASSAY_TEST(bernoulli_draws_ones_with_the_given_probability)
{
    static double p[N];
    for (int i = 0; i < N; i++)
        p[i] = i % 2 ? 0.3 : 0;
    struct fixture f;
    double variance;
    fixture_init(&f, "Bernoulli");
    fixture_int(&f, "dtype", ASSAY_BOOL);
    fixture_input(&f, ASSAY_F32, "40000", p);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_INT(f.results[0].type.dtype, ASSAY_BOOL);
    CHECK_NEAR(mean(&f.results[0], &variance), 0.15, 5 * sqrt(0.15 * 0.85 / N));
    for (int64_t i = 0; i < N; i += 2)
        CHECK_INT(assay_tensor_int(&f.results[0], i), 0);
    fixture_release(&f);
}

ASSAY_TEST(multinomial_draws_classes_by_their_log_probabilities)
{
    struct fixture f;
    fixture_init(&f, "Multinomial");
    fixture_int(&f, "sample_size", N);
    fixture_int(&f, "dtype", ASSAY_I64);
    fixture_input(&f, ASSAY_F32, "2,3", VALUES(log(1), log(2), log(5), -INFINITY, 0, -INFINITY));
    CHECK_OK(fixture_run(&f), f.err);
    double counts[3] = {0};
    for (int64_t i = 0; i < N; i++) {
        counts[assay_tensor_int(&f.results[0], i)]++;
        CHECK_INT(assay_tensor_int(&f.results[0], N + i), 1);
    }
    CHECK_NEAR(counts[0] / N, 1 / 8., 5 * sqrt(7 / 64. / N));
    CHECK_NEAR(counts[1] / N, 2 / 8., 5 * sqrt(12 / 64. / N));
    fixture_release(&f);
    fixture_init(&f, "Multinomial");
    fixture_input(&f, ASSAY_F32, "1,2", VALUES(-INFINITY, NAN));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "no probabilities");
    fixture_release(&f);
    fixture_init(&f, "Multinomial");
    fixture_input(&f, ASSAY_F32, "1,0", NULL);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "no classes");
    fixture_release(&f);
}

ASSAY_TEST(dropout_does_nothing_unless_training)
{
    struct fixture f;
    fixture_init(&f, "Dropout");
    f.node.n_outputs = 2;
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, NAN));
    fixture_input(&f, ASSAY_F32, "", VALUES(0.9));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2", 0, 1, NAN);
    CHECK_RESULT(&f, 1, ASSAY_BOOL, "2", 0, 1, 1);
    fixture_release(&f);
}

ASSAY_TEST(dropout_in_training_keeps_the_expected_sum)
{
    static double ones[N];
    for (int i = 0; i < N; i++)
        ones[i] = 1;
    struct fixture f;
    double variance;
    fixture_init(&f, "Dropout");
    f.node.n_outputs = 2;
    fixture_int(&f, "seed", 3);
    fixture_input(&f, ASSAY_BF16, "40000", ones);
    fixture_input(&f, ASSAY_F32, "", VALUES(0.75));
    fixture_input(&f, ASSAY_BOOL, "", VALUES(1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_NEAR(mean(&f.results[1], &variance), 0.25, 5 * sqrt(0.25 * 0.75 / N));
    for (int64_t i = 0; i < N; i++)
        CHECK_NEAR(assay_tensor_real(&f.results[0], i), 4 * assay_tensor_real(&f.results[1], i), 0);
    fixture_release(&f);
}

ASSAY_TEST(dropout_of_everything_is_invalid)
{
    struct fixture f;
    fixture_init(&f, "Dropout");
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    fixture_input(&f, ASSAY_F32, "", VALUES(1));
    fixture_input(&f, ASSAY_BOOL, "", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "ratio");
    fixture_release(&f);
}

ASSAY_TEST(dropout_counts_as_random_only_where_it_may_train)
{
    struct assay_type data = fixture_type(ASSAY_F32, "2"), scalar = fixture_type(ASSAY_BOOL, "");
    const uint8_t no = 0, yes = 1;
    struct assay_graph *graph = assay_graph_open("g");
    int x = assay_graph_add_value(graph, "x", &data), y = assay_graph_add_value(graph, "y", &data);
    struct assay_tensor mode;
    assay_tensor_borrow(&mode, &scalar, &no);
    int off = assay_graph_add_constant(graph, "off", &mode);
    assay_tensor_borrow(&mode, &scalar, &yes);
    int on = assay_graph_add_constant(graph, "on", &mode), unknown = assay_graph_add_value(graph, "mode", &scalar);
    const struct {
        int n_inputs, mode;
        bool wanted;
    } cases[] = {{1, 0, false}, {3, -1, false}, {3, off, false}, {3, on, true}, {3, unknown, true}};
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        const int inputs[] = {x, -1, cases[i].mode};
        CHECK(assay_op_is_random(graph, assay_graph_add_node(graph, "Dropout", "", cases[i].n_inputs, inputs, 1, &y)) ==
              cases[i].wanted);
    }
    CHECK(assay_op_is_random(graph, assay_graph_add_node(graph, "RandomNormalLike", "", 1, &x, 1, &y)));
    CHECK(!assay_op_is_random(graph, assay_graph_add_node(graph, "Relu", "", 1, &x, 1, &y)));
    assay_graph_close(graph);
}

ASSAY_TEST(a_wrong_shape_is_invalid)
{
    int64_t shape[] = {-2, 3};
    struct fixture f;
    random_op(&f, "RandomNormal", shape, 1);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "negative");
    fixture_release(&f);
    fixture_init(&f, "RandomUniform");
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "shape");
    fixture_release(&f);
}

ASSAY_TEST(dropout_has_a_gradient_out_of_training_only)
{
    for (int training = 0; training < 2; training++) {
        struct probe p;
        probe_init(&p, 1);
        int x = probe_input(&p, "2,3", -1, 1), ratio = probe_constant(&p, ASSAY_F64, "", VALUES(0.5)), gradient;
        int mode = probe_constant(&p, ASSAY_BOOL, "", VALUES(training));
        int y = e_op(&p.e, "Dropout", E_VALUES(x, ratio, mode));
        probe_output(&p, y);
        if (training) {
            CHECK_OK(assay_emit_finish(&p.e), p.err);
            CHECK_INT(assay_graph_differentiate(p.graph, p.losses[0], -1, 1, &x, &gradient, &p.err), ASSAY_UNSUPPORTED);
            CHECK_CONTAINS(p.err.message, "draws its mask anew");
        } else {
            probe_check(&p);
        }
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(normal_and_uniform_have_their_moments), ASSAY_TEST_ENTRY(a_seed_repeats_and_another_differs),
                ASSAY_TEST_ENTRY(like_takes_shape_and_dtype_of_its_input),
                ASSAY_TEST_ENTRY(bernoulli_draws_ones_with_the_given_probability),
                ASSAY_TEST_ENTRY(multinomial_draws_classes_by_their_log_probabilities),
                ASSAY_TEST_ENTRY(dropout_does_nothing_unless_training),
                ASSAY_TEST_ENTRY(dropout_in_training_keeps_the_expected_sum), ASSAY_TEST_ENTRY(dropout_of_everything_is_invalid),
                ASSAY_TEST_ENTRY(dropout_counts_as_random_only_where_it_may_train), ASSAY_TEST_ENTRY(a_wrong_shape_is_invalid),
                ASSAY_TEST_ENTRY(dropout_has_a_gradient_out_of_training_only))
