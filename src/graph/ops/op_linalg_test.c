/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values by hand; the equations' meaning is numpy.einsum's. */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

static void einsum(struct fixture *f, const char *equation)
{
    fixture_init(f, "Einsum");
    fixture_string(f, "equation", equation);
}

static const double A[] = {1, 2, 3, 4, 5, 6}, B[] = {1, -1, 2, 0, 3, 1};

ASSAY_TEST(matrix_products_in_all_spellings)
{
    static const struct {
        const char *equation, *dims;
        double wanted[4];
    } cases[] = {
        {"ij,jk->ik", "2,2", {14, 2, 32, 2}},          {"ij,jk", "2,2", {14, 2, 32, 2}}, {"ij , jk -> ki", "2,2", {14, 32, 2, 2}},
        {"aB,Bc->ac", "2,2", {14, 2, 32, 2}},          {"ij,jk->k", "2", {46, 4}},       {"ij,jk->", "", {50}},
        {"...ij,...jk->...ik", "2,2", {14, 2, 32, 2}}, {"ba,ac", "2,2", {14, 2, 32, 2}}, {"ca,ab", "2,2", {14, 32, 2, 2}},
    };
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++)
        for (int d = 0; d < 3; d++) {
            static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_F16, ASSAY_I8};
            struct fixture f;
            einsum(&f, cases[i].equation);
            fixture_input(&f, dtypes[d], "2,3", A);
            fixture_input(&f, dtypes[d], "3,2", B);
            CHECK_OK(fixture_run(&f), f.err);
            fixture_check(&f, 0, dtypes[d], cases[i].dims, 0, cases[i].wanted, (size_t)assay_tensor_count(&f.results[0]),
                          __FILE__, __LINE__);
            fixture_release(&f);
        }
}

ASSAY_TEST(repeated_labels_are_the_diagonal)
{
    struct fixture f;
    einsum(&f, "ii->i");
    fixture_input(&f, ASSAY_F64, "2,2", VALUES(1, 2, 3, 4));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "2", 0, 1, 4);
    f.attrs[0].s = "ii";
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "", 0, 5);
    f.attrs[0].s = "...ii->...i";
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "2", 0, 1, 4);
    fixture_release(&f);
    einsum(&f, "ii");
    fixture_input(&f, ASSAY_F64, "1,2", VALUES(1, 2));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "no diagonal");
    fixture_release(&f);
}

ASSAY_TEST(the_ellipsis_broadcasts)
{
    struct fixture f;
    einsum(&f, "...i,...i->...");
    fixture_input(&f, ASSAY_F32, "2,1,2", VALUES(1, 2, 3, 4));
    fixture_input(&f, ASSAY_F32, "3,2", VALUES(1, 0, 0, 1, 1, 1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,3", 0, 1, 2, 3, 3, 4, 7);
    f.attrs[0].s = "...i,...i";
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,3", 0, 1, 2, 3, 3, 4, 7);
    f.attrs[0].s = "...i,...i->";
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "lacks the ellipsis");
    fixture_release(&f);
}

ASSAY_TEST(three_operands_and_one_and_none_of_a_dimension)
{
    struct fixture f;
    einsum(&f, "i,ij,j->");
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_F32, "2,3", A);
    fixture_input(&f, ASSAY_F32, "3", VALUES(1, 0, -1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "", 0, -6);
    fixture_release(&f);
    einsum(&f, "ij->j");
    fixture_input(&f, ASSAY_F32, "0,3", VALUES(0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3", 0, 0, 0, 0);
    fixture_release(&f);
    einsum(&f, "i,j->ij");
    fixture_input(&f, ASSAY_I64, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_I64, "2", VALUES(3, 4));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I64, "2,2", 0, 3, 4, 6, 8);
    fixture_release(&f);
}

ASSAY_TEST(equations_that_do_not_fit_are_refused)
{
    static const struct {
        const char *equation, *part;
    } cases[] = {{"ij,jk,kl->il", "3 operands"},
                 {"ijk,jk->i", "rank 2"},
                 {"ij,j1->i", "'1'"},
                 {"ij,ik->k", "elsewhere"},
                 {"ij,jk->im", "no operand"},
                 {"ij,jk->ii", "twice"},
                 {"", "1 operands"},
                 {"i......j,jk", "'.'"},
                 {"ij,jk->i->k", "'-'"},
                 {"abcdefghijklmnopqrstu,jk", "too long"}};
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct fixture f;
        einsum(&f, cases[i].equation);
        fixture_input(&f, ASSAY_F32, "2,3", A);
        fixture_input(&f, ASSAY_F32, "3,2", B);
        CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, cases[i].part);
        fixture_release(&f);
    }
}

ASSAY_TEST(einsum_counts_its_multiply_adds)
{
    struct fixture f;
    struct assay_cost cost;
    einsum(&f, "bhid,bhjd->bhij");
    fixture_unknown_input(&f, ASSAY_F32, "2,12,128,64");
    fixture_unknown_input(&f, ASSAY_F32, "2,12,100,64");
    CHECK_OK(fixture_infer(&f), f.err);
    assay_op_cost(f.node.op, &f.call, &cost);
    CHECK_NEAR(cost.flops, 2. * 2 * 12 * 128 * 100 * 64, 0);
    fixture_release(&f);
}

ASSAY_TEST(determinants_need_pivots_and_may_be_zero)
{
    struct fixture f;
    fixture_init(&f, "Det");
    fixture_input(&f, ASSAY_F32, "3,2,2", VALUES(0, 1, 1, 0, 1, 2, 3, 4, 1, 2, 2, 4));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3", 1e-6, -1, -2, 0);
    fixture_release(&f);
    fixture_init(&f, "Det");
    fixture_input(&f, ASSAY_F64, "3,3", VALUES(2, -1, 0, 0, 3, 5, 4, 1, -2));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "", 1e-12, -42); /* 2·(-6 - 5) + 1·(0 - 20) */
    fixture_release(&f);
    fixture_init(&f, "Det");
    fixture_input(&f, ASSAY_F16, "1,0,0", VALUES(0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F16, "1", 0, 1);
    fixture_release(&f);
    fixture_init(&f, "Det");
    fixture_input(&f, ASSAY_F32, "2,3", A);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "a side of the matrix");
    fixture_release(&f);
}

ASSAY_TEST(sums_of_products_have_gradients)
{
    static const struct {
        const char *equation, *shapes[3];
    } cases[] = {{"ij,jk->ik", {"2,3", "3,4"}},
                 {"bhid,bhjd->bhij", {"2,1,3,2", "2,2,2,2"}},
                 {"...ij,...jk->...ik", {"2,1,2,3", "3,3,2"}},
                 {"ij->j", {"2,3"}},
                 {"i,j->ij", {"2", "3"}},
                 {"ij,kj", {"2,3", "4,3"}},
                 {"abc,cd,de->ae", {"2,2,3", "3,2", "2,2"}},
                 {"ij,ij->", {"2,3", "1,3"}},
                 {"ij,k->k", {"2,3", "4"}}};
    for (uint64_t seed = 0; seed < ASSAY_COUNT(cases); seed++) {
        struct probe p;
        int inputs[3], n = 0;
        probe_init(&p, seed);
        for (; n < 3 && cases[seed].shapes[n]; n++)
            inputs[n] = probe_input(&p, cases[seed].shapes[n], -1, 1);
        int y = e_op(&p.e, "Einsum", n, inputs);
        e_set_text(&p.e, "equation", cases[seed].equation);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(matrix_products_in_all_spellings), ASSAY_TEST_ENTRY(repeated_labels_are_the_diagonal),
                ASSAY_TEST_ENTRY(the_ellipsis_broadcasts), ASSAY_TEST_ENTRY(three_operands_and_one_and_none_of_a_dimension),
                ASSAY_TEST_ENTRY(equations_that_do_not_fit_are_refused), ASSAY_TEST_ENTRY(einsum_counts_its_multiply_adds),
                ASSAY_TEST_ENTRY(determinants_need_pivots_and_may_be_zero), ASSAY_TEST_ENTRY(sums_of_products_have_gradients))
