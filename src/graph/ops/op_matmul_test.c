/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/ops/fixture.h"

ASSAY_TEST(batches_broadcast_as_in_numpy)
{
    struct fixture f;
    fixture_init(&f, "MatMul");
    fixture_input(&f, ASSAY_F32, "2,1,1,2", VALUES(1, 2, 3, 4));
    fixture_input(&f, ASSAY_F32, "2,2,1", VALUES(1, 10, 100, 1000));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,2,1,1", 0, 21, 2100, 43, 4300);
    fixture_release(&f);
}

ASSAY_TEST(vectors_lose_their_added_dimension)
{
    struct fixture f;
    fixture_init(&f, "MatMul");
    fixture_input(&f, ASSAY_F64, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_F64, "2,2", VALUES(1, 2, 3, 4));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "2", 0, 7, 10);
    fixture_release(&f);
    fixture_init(&f, "MatMul");
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_F32, "2", VALUES(3, 4));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "", 0, 11);
    fixture_release(&f);
}

ASSAY_TEST(integers_wrap_around)
{
    struct fixture f;
    fixture_init(&f, "MatMul");
    fixture_input(&f, ASSAY_I32, "1,2", VALUES(-3, 65536));
    fixture_input(&f, ASSAY_I32, "2,1", VALUES(5, 65536));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "1,1", 0, -15);
    fixture_release(&f);
}

ASSAY_TEST(half_precision_is_rounded_once)
{
    struct fixture f;
    fixture_init(&f, "MatMul");
    fixture_input(&f, ASSAY_F16, "1,3", VALUES(2048, 1, 1));
    fixture_input(&f, ASSAY_F16, "3,1", VALUES(1, 1, 1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F16, "1,1", 0, 2050); /* step by step in f16 it would stay 2048 */
    fixture_release(&f);
}

ASSAY_TEST(an_inner_dimension_of_zero_gives_zeros)
{
    struct fixture f;
    fixture_init(&f, "MatMul");
    fixture_input(&f, ASSAY_F32, "2,0", VALUES(0));
    fixture_input(&f, ASSAY_F32, "0,2", VALUES(0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,2", 0, 0, 0, 0, 0);
    fixture_release(&f);
}

ASSAY_TEST(inner_dimensions_must_agree)
{
    struct fixture f;
    fixture_init(&f, "MatMul");
    fixture_input(&f, ASSAY_F32, "1,2", VALUES(1, 2));
    fixture_input(&f, ASSAY_F32, "3,1", VALUES(1, 2, 3));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "inner dimension");
    fixture_release(&f);
}

ASSAY_TEST(unknown_dimensions_pass_through_the_rule)
{
    struct fixture f;
    fixture_init(&f, "MatMul");
    fixture_unknown_input(&f, ASSAY_F32, "?,7,?");
    fixture_unknown_input(&f, ASSAY_F32, "4,5");
    CHECK_OK(fixture_infer(&f), f.err);
    CHECK_INT(f.outputs[0].rank, 3);
    CHECK_INT(f.outputs[0].dims[0], -1);
    CHECK_INT(f.outputs[0].dims[1], 7);
    CHECK_INT(f.outputs[0].dims[2], 5);
    fixture_release(&f);
}

ASSAY_TEST(gemm_transposes_scales_and_broadcasts)
{
    struct fixture f;
    fixture_init(&f, "Gemm");
    fixture_int(&f, "transA", 1);
    fixture_int(&f, "transB", 1);
    fixture_float(&f, "alpha", 0.5F);
    fixture_float(&f, "beta", 2);
    fixture_input(&f, ASSAY_F32, "2,3", VALUES(1, 2, 3, 4, 5, 6)); /* Aᵀ = [[1, 4], [2, 5], [3, 6]] */
    fixture_input(&f, ASSAY_F32, "2,2", VALUES(1, 0, 1, 1));       /* Bᵀ = [[1, 1], [0, 1]] */
    fixture_input(&f, ASSAY_F32, "3,1", VALUES(10, 20, 30));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3,2", 0, 20.5, 22.5, 41, 43.5, 61.5, 64.5);
    fixture_release(&f);
}

ASSAY_TEST(gemm_refuses_what_does_not_broadcast)
{
    struct fixture f;
    fixture_init(&f, "Gemm");
    fixture_input(&f, ASSAY_F32, "1,1", VALUES(1));
    fixture_input(&f, ASSAY_F32, "1,2", VALUES(1, 2));
    fixture_input(&f, ASSAY_F32, "2,2", VALUES(1, 2, 3, 4));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "input 2");
    fixture_release(&f);
}

ASSAY_TEST(matmul_integer_takes_zero_points_off_rows_and_columns)
{
    struct fixture f;
    fixture_init(&f, "MatMulInteger");
    fixture_input(&f, ASSAY_U8, "2,2", VALUES(11, 7, 3, 255));
    fixture_input(&f, ASSAY_I8, "2,2", VALUES(1, -4, 2, 5));
    fixture_input(&f, ASSAY_U8, "2", VALUES(10, 0));
    fixture_input(&f, ASSAY_I8, "2", VALUES(1, -1));
    CHECK_OK(fixture_run(&f), f.err);
    /* [[1, -3], [3, 255]] · [[0, -3], [1, 6]] */
    CHECK_RESULT(&f, 0, ASSAY_I32, "2,2", 0, -3, -21, 255, 1521);
    fixture_release(&f);
}

ASSAY_TEST(row_zero_points_hold_in_every_matrix_of_a_batch)
{
    struct fixture f;
    fixture_init(&f, "MatMulInteger");
    fixture_input(&f, ASSAY_U8, "2,2,1", VALUES(5, 5, 6, 6));
    fixture_input(&f, ASSAY_U8, "1,1", VALUES(1));
    fixture_input(&f, ASSAY_U8, "2", VALUES(1, 2));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "2,2,1", 0, 4, 3, 5, 4);
    fixture_release(&f);
}

ASSAY_TEST(qlinear_matmul_rounds_ties_to_even_and_saturates)
{
    struct fixture f;
    fixture_init(&f, "QLinearMatMul");
    fixture_input(&f, ASSAY_U8, "1,1", VALUES(3));
    fixture_input(&f, ASSAY_F32, "", VALUES(0.5));
    fixture_input(&f, ASSAY_U8, "", VALUES(2));
    fixture_input(&f, ASSAY_I8, "1,4", VALUES(1, 3, 127, -128));
    fixture_input(&f, ASSAY_F32, "", VALUES(1));
    fixture_input(&f, ASSAY_I8, "", VALUES(0));
    fixture_input(&f, ASSAY_F32, "", VALUES(1));
    fixture_input(&f, ASSAY_U8, "", VALUES(10));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_U8, "1,4", 0, 10, 12, 74, 0); /* 0.5 → 0, 1.5 → 2, 63.5 → 64, -64 → below zero */
    fixture_release(&f);
}

ASSAY_TEST(costs_count_multiply_adds)
{
    struct fixture f;
    struct assay_cost cost;
    fixture_init(&f, "MatMul");
    fixture_unknown_input(&f, ASSAY_F32, "2,3,4");
    fixture_unknown_input(&f, ASSAY_F32, "4,5");
    CHECK_OK(fixture_infer(&f), f.err);
    assay_op_cost(f.node.op, &f.call, &cost);
    CHECK_NEAR(cost.flops, 2.0 * 2 * 3 * 4 * 5, 0);
    CHECK_NEAR(cost.bytes_read + cost.bytes_written, 4 * (24 + 20 + 30), 0);
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(batches_broadcast_as_in_numpy), ASSAY_TEST_ENTRY(vectors_lose_their_added_dimension),
                ASSAY_TEST_ENTRY(integers_wrap_around), ASSAY_TEST_ENTRY(half_precision_is_rounded_once),
                ASSAY_TEST_ENTRY(an_inner_dimension_of_zero_gives_zeros), ASSAY_TEST_ENTRY(inner_dimensions_must_agree),
                ASSAY_TEST_ENTRY(unknown_dimensions_pass_through_the_rule),
                ASSAY_TEST_ENTRY(gemm_transposes_scales_and_broadcasts), ASSAY_TEST_ENTRY(gemm_refuses_what_does_not_broadcast),
                ASSAY_TEST_ENTRY(matmul_integer_takes_zero_points_off_rows_and_columns),
                ASSAY_TEST_ENTRY(row_zero_points_hold_in_every_matrix_of_a_batch),
                ASSAY_TEST_ENTRY(qlinear_matmul_rounds_ties_to_even_and_saturates), ASSAY_TEST_ENTRY(costs_count_multiply_adds))
