/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

/* An update of p = 2, 0, -1 by g = 0.5, -1, 4, at rate 0.1, of `scale` 0.5. */
static void start(struct fixture *f, const char *type, enum assay_dtype dtype, int n_outputs)
{
    fixture_init(f, type);
    f->node.domain = "assay";
    f->node.n_outputs = n_outputs;
    fixture_input(f, dtype, "3", VALUES(2, 0, -1));
    fixture_input(f, dtype, "3", VALUES(0.5, -1, 4));
    fixture_input(f, dtype, "", VALUES(0.1));
    fixture_input(f, dtype, "", VALUES(0.5));
}

static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_F64};
static double tolerance_of(enum assay_dtype dtype) { return dtype == ASSAY_F32 ? 3e-7 : 1e-8; /* 0.1F is 1.5e-9 off */ }

/* g' = scale g + 0.01 p = 0.27, -0.5, 1.99 */
ASSAY_TEST(sgd_follows_its_formula)
{
    for (size_t k = 0; k < ASSAY_COUNT(dtypes); k++) {
        struct fixture f;
        double tolerance = tolerance_of(dtypes[k]);
        start(&f, "SGD", dtypes[k], 1);
        fixture_float(&f, "weight_decay", 0.01F);
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, dtypes[k], "3", tolerance, 2 - 0.027, 0.05, -1 - 0.199);
        fixture_release(&f);
    }
}

/* m' = 0.9 m + g' = 0.9 + 0.25, -0.5, 0.9 * -2 + 2 */
ASSAY_TEST(momentum_accumulates_and_nesterov_looks_ahead)
{
    for (size_t k = 0; k < ASSAY_COUNT(dtypes); k++)
        for (int nesterov = 0; nesterov < 2; nesterov++) {
            struct fixture f;
            double tolerance = tolerance_of(dtypes[k]);
            start(&f, "SGD", dtypes[k], 2);
            fixture_input(&f, dtypes[k], "3", VALUES(1, 0, -2));
            fixture_float(&f, "momentum", 0.9F);
            fixture_int(&f, "nesterov", nesterov);
            CHECK_OK(fixture_run(&f), f.err);
            CHECK_RESULT(&f, 1, dtypes[k], "3", tolerance, 1.15, -0.5, 0.2);
            if (nesterov)
                CHECK_RESULT(&f, 0, dtypes[k], "3", tolerance, 2 - 0.1 * (0.25 + 0.9 * 1.15), 0.1 * (0.5 + 0.9 * 0.5),
                             -1 - 0.1 * (2 + 0.9 * 0.2));
            else
                CHECK_RESULT(&f, 0, dtypes[k], "3", tolerance, 2 - 0.115, 0.05, -1 - 0.02);
            fixture_release(&f);
        }
}

/* The first step of Adam is the rate times the gradient's sign; decay is added to the gradient or shrinks p first. */
ASSAY_TEST(adam_follows_its_formula)
{
    for (size_t k = 0; k < ASSAY_COUNT(dtypes); k++)
        for (int decoupled = 0; decoupled < 2; decoupled++) {
            struct fixture f;
            double tolerance = tolerance_of(dtypes[k]), p[] = {2, 0, -1}, g[] = {0.25, -0.5, 2}, wanted[3][3];
            start(&f, "Adam", dtypes[k], 3);
            fixture_input(&f, dtypes[k], "3", VALUES(0.5, 0, -1));
            fixture_input(&f, dtypes[k], "3", VALUES(0.25, 0, 2));
            fixture_input(&f, dtypes[k], "", VALUES(0.19));
            fixture_input(&f, dtypes[k], "", VALUES(0.002));
            fixture_float(&f, "weight_decay", 0.02F);
            fixture_int(&f, "decoupled", decoupled);
            CHECK_OK(fixture_run(&f), f.err);
            for (int i = 0; i < 3; i++) {
                double m[] = {0.5, 0, -1}, v[] = {0.25, 0, 2};
                double d = decoupled ? g[i] : g[i] + 0.02 * p[i], from = decoupled ? p[i] * (1 - 0.1 * 0.02) : p[i];
                wanted[1][i] = 0.9 * m[i] + 0.1 * d;
                wanted[2][i] = 0.999 * v[i] + 0.001 * d * d;
                wanted[0][i] = from - 0.1 * (wanted[1][i] / 0.19) / (sqrt(wanted[2][i] / 0.002) + 1e-8);
            }
            for (int o = 0; o < 3; o++)
                CHECK_RESULT(&f, o, dtypes[k], "3", tolerance, wanted[o][0], wanted[o][1], wanted[o][2]);
            fixture_release(&f);
        }
}

/* One node on random inputs against its expansion. */
static void check_expansion(uint64_t seed, const char *type, int n_outputs, bool momentum, int flag)
{
    struct probe p;
    probe_init(&p, seed);
    bool adam = *type == 'A';
    int x[8], outputs[3] = {0};
    x[0] = probe_input(&p, "3,5", -1, 1);
    x[1] = probe_input(&p, "3,5", -1, 1);
    x[2] = probe_input(&p, "", 0.01, 0.1);
    x[3] = seed & 1 ? probe_input(&p, "", 0.1, 2) : -1;
    x[4] = momentum ? probe_input(&p, "3,5", -1, 1) : -1;
    x[5] = adam ? probe_input(&p, "3,5", 0.1, 1) : -1;
    x[6] = adam ? probe_input(&p, "", 0.1, 1) : -1;
    x[7] = adam ? probe_input(&p, "", 0.1, 1) : -1;
    e_many(&p.e, type, "assay", 8, x, n_outputs, outputs);
    e_set_float(&p.e, "weight_decay", seed & 2 ? 0.01 : 0);
    e_set_int(&p.e, adam ? "decoupled" : "nesterov", flag);
    if (!adam)
        e_set_float(&p.e, "momentum", 0.9);
    CHECK_OK(assay_emit_finish(&p.e), p.err);
    for (int i = 0; i < n_outputs; i++)
        assay_graph_add_output(p.graph, outputs[i]);
    struct assay_graph *standard = assay_graph_clone(p.graph);
    struct assay_tensor own[3] = {0}, expanded[3] = {0};
    CHECK_OK(assay_graph_expand(standard, NULL, &p.err), p.err);
    CHECK_OK(testing_run(p.graph, p.tensors, own, &p.err), p.err);
    CHECK_OK(testing_run(standard, p.tensors, expanded, &p.err), p.err);
    for (int i = 0; i < n_outputs; i++) {
        struct assay_difference d = assay_tensor_compare(&expanded[i], &own[i], 0, 0);
        CHECK(d.same_type && d.max_rel < 1e-9);
        assay_tensor_release(&own[i]);
        assay_tensor_release(&expanded[i]);
    }
    assay_graph_close(standard);
    probe_release(&p);
}

ASSAY_TEST(updates_are_the_same_in_standard_ops)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        check_expansion(seed, "SGD", 1, false, 0);
        check_expansion(seed, "SGD", 2, true, (int)(seed / 4));
        check_expansion(seed, "Adam", 3, true, (int)(seed / 4));
    }
}

ASSAY_TEST(a_scale_of_zero_can_skip_an_update)
{
    struct fixture f;
    start(&f, "SGD", ASSAY_F32, 2);
    fixture_input(&f, ASSAY_F32, "3", VALUES(1, 0, -2));
    fixture_float(&f, "momentum", 0.9F);
    fixture_int(&f, "skips", 1);
    assay_tensor_set_real(&f.tensors[3], 0, 0);
    assay_tensor_set_real(&f.tensors[1], 1, NAN);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3", 0, 2, 0, -1);
    CHECK_RESULT(&f, 1, ASSAY_F32, "3", 0, 1, 0, -2);
    fixture_release(&f);
}

ASSAY_TEST(squares_are_summed_over_all_tensors)
{
    for (size_t k = 0; k < ASSAY_COUNT(dtypes); k++) {
        struct fixture f;
        fixture_init(&f, "SumSquares");
        f.node.domain = "assay";
        fixture_input(&f, dtypes[k], "2", VALUES(3, 4));
        fixture_input(&f, dtypes[k], "", VALUES(-2));
        fixture_input(&f, dtypes[k], "0", VALUES(0));
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, dtypes[k], "", 0, 29);
        fixture_release(&f);
    }
}

ASSAY_TEST(an_update_that_does_not_fit_is_refused)
{
    struct fixture f;
    start(&f, "SGD", ASSAY_F32, 2);
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 0));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "input 4 has another type");
    fixture_release(&f);
    start(&f, "Adam", ASSAY_F32, 3);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "input 4 is not given");
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(sgd_follows_its_formula), ASSAY_TEST_ENTRY(momentum_accumulates_and_nesterov_looks_ahead),
                ASSAY_TEST_ENTRY(adam_follows_its_formula), ASSAY_TEST_ENTRY(updates_are_the_same_in_standard_ops),
                ASSAY_TEST_ENTRY(a_scale_of_zero_can_skip_an_update), ASSAY_TEST_ENTRY(squares_are_summed_over_all_tensors),
                ASSAY_TEST_ENTRY(an_update_that_does_not_fit_is_refused))
