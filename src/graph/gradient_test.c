/* SPDX-License-Identifier: Apache-2.0 */
/* Automatic differentiation. */
#include "graph/gradient_testing.h"

ASSAY_TEST(a_broadcast_operand_gets_the_sum_of_its_uses)
{
    static const char *const shapes[][2] = {{"2,3", "2,3"}, {"2,3", "3"}, {"2,1,3", "4,1"}, {"", "2,2"}, {"1,3", "2,1"}};
    static const char *const ops[] = {"Add", "Sub", "Mul", "Div", "Pow"};
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, shapes[seed % 5][0], 0.5, 2), y = probe_input(&p, shapes[seed % 5][1], 0.5, 2);
        probe_output(&p, e_op(&p.e, ops[seed / 5 % 5], E_VALUES(x, y)));
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(products_of_any_ranks_have_gradients)
{
    static const char *const shapes[][2] = {{"2,3", "3,4"}, {"5,2,3", "3,4"},   {"5,2,3", "5,3,2"}, {"2,1,2,3", "4,3,2"},
                                            {"3", "3"},     {"3", "3,2"},       {"2,3", "3"},       {"3", "2,3,4"},
                                            {"2,2,3", "3"}, {"1,2,3", "5,3,4"}, {"2,3,4,5", "5,2"}};
    for (uint64_t seed = 0; seed < 22; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, shapes[seed % 11][0], -1, 1), y = probe_input(&p, shapes[seed % 11][1], -1, 1);
        probe_output(&p, e_matmul(&p.e, x, y));
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(gemm_has_gradients_in_all_its_forms)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        bool ta = seed & 1, tb = seed & 2, beta = seed & 4;
        struct probe p;
        probe_init(&p, seed);
        int a = probe_input(&p, ta ? "3,2" : "2,3", -1, 1), b = probe_input(&p, tb ? "4,3" : "3,4", -1, 1);
        int c = probe_input(&p, beta ? "4" : "2,1", -1, 1), y = e_op(&p.e, "Gemm", E_VALUES(a, b, c));
        e_set_int(&p.e, "transA", ta);
        e_set_int(&p.e, "transB", tb);
        e_set_float(&p.e, "alpha", 0.5);
        e_set_float(&p.e, "beta", beta ? 2 : 1);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(what_is_used_twice_gets_both_contributions)
{
    struct probe p;
    probe_init(&p, 1);
    int x = probe_input(&p, "3", 0.5, 1), y = e_mul(&p.e, x, x);
    probe_output(&p, e_add(&p.e, e_mul(&p.e, y, x), y));
    probe_output(&p, y);
    probe_check(&p);
    probe_release(&p);
}

ASSAY_TEST(what_the_loss_does_not_see_has_no_gradient)
{
    struct probe p;
    probe_init(&p, 1);
    int x = probe_input(&p, "3", 0.5, 1), unused = probe_input(&p, "2", 0, 1);
    e_add(&p.e, unused, unused);
    probe_output(&p, x);
    probe_check(&p);
    probe_release(&p);
}

ASSAY_TEST(an_op_without_a_rule_is_named)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("g");
    struct assay_emit e = assay_emit_make(graph, "", &err);
    int gradient, x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){2, 2});
    int loss = e_unary(&e, "Det", x);
    CHECK_INT(assay_emit_finish(&e), ASSAY_OK);
    CHECK_INT(assay_graph_differentiate(graph, loss, -1, 1, &x, &gradient, &err), ASSAY_UNSUPPORTED);
    CHECK_TEXT(err.message, "Det/gradient: Det has no gradient");
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_broadcast_operand_gets_the_sum_of_its_uses),
                ASSAY_TEST_ENTRY(products_of_any_ranks_have_gradients), ASSAY_TEST_ENTRY(gemm_has_gradients_in_all_its_forms),
                ASSAY_TEST_ENTRY(what_is_used_twice_gets_both_contributions),
                ASSAY_TEST_ENTRY(what_the_loss_does_not_see_has_no_gradient), ASSAY_TEST_ENTRY(an_op_without_a_rule_is_named))
