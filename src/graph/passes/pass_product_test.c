/* SPDX-License-Identifier: Apache-2.0 */
/* Products of two sides that change. Oracle: the nodes that they were. */
#include "graph/passes/testing.h"

ASSAY_TEST(transposes_a_factor_and_a_bias_are_taken_in)
{
    struct assay_graph *g = assay_graph_open("g");
    int a = testing_input(g, "a", ASSAY_F32, DIMS(2, 4, 3, 6)), b = testing_input(g, "b", ASSAY_F32, DIMS(2, 3, 5, 6));
    int left = testing_transpose(g, a, DIMS(0, 2, 1, 3)), right = testing_transpose(g, b, DIMS(0, 1, 3, 2));
    int y = testing_node(g, "MatMul", NUMBERS(left, right), "product");
    y = testing_node(g, "Mul", NUMBERS(y, testing_number(g, 0.125)), "scaled");
    y = testing_node(g, "Add", NUMBERS(y, testing_input(g, "bias", ASSAY_F32, DIMS(5))), "biased");
    assay_graph_add_output(g, testing_transpose(g, y, DIMS(0, 2, 1, 3)));
    testing_pass(g, "product", false);
    CHECK_INT(g->n_nodes, 1);
    CHECK_INT(testing_count(g, "assay", "MatMul"), 1);
    assay_graph_close(g);
}

ASSAY_TEST(a_transposed_result_without_a_bias_is_written_as_it_is)
{
    struct assay_graph *g = assay_graph_open("g");
    int a = testing_input(g, "a", ASSAY_F32, DIMS(7, 6)), b = testing_input(g, "b", ASSAY_F32, DIMS(7, 5));
    int y = testing_node(g, "Gemm", NUMBERS(a, b), "product");
    assay_node_set_int(g, testing_last(g), "transA", 1);
    assay_graph_add_output(g, testing_transpose(g, y, DIMS(1, 0)));
    testing_pass(g, "product", false);
    CHECK_INT(g->n_nodes, 1);
    assay_graph_close(g);
}

/* Its numbers differ from those of the nodes, which round to bf16 on the way: so only the form is looked at. */
ASSAY_TEST(of_bf16_plain_ones_of_many_rows_are_taken_too_and_write_the_f32_of_their_sums)
{
    const char *only[] = {"product", NULL};
    struct assay_graph *g = assay_graph_open("g");
    struct assay_error err;
    int a = testing_input(g, "a", ASSAY_BF16, DIMS(40, 6)), b = testing_input(g, "b", ASSAY_BF16, DIMS(6, 5));
    int y = testing_node(g, "MatMul", NUMBERS(a, b), "product");
    y = testing_node(g, "Cast", NUMBERS(y), "wide");
    assay_node_set_int(g, testing_last(g), "to", ASSAY_F32);
    assay_graph_add_output(g, y);
    assay_graph_add_output(g, testing_node(g, "MatMul", NUMBERS(a, b), "plain"));
    int few = testing_input(g, "few", ASSAY_BF16, DIMS(4, 6));
    assay_graph_add_output(g, testing_node(g, "MatMul", NUMBERS(few, b), "few rows"));
    CHECK_OK(assay_graph_optimize(g, &(struct assay_pass_options){.only = only}, &err), err);
    CHECK_INT(g->n_nodes, 3);
    CHECK_INT(testing_count(g, "assay", "MatMul"), 2);
    CHECK_INT(g->values[g->outputs[0]].type.dtype, ASSAY_F32);
    CHECK_INT(g->values[g->outputs[1]].type.dtype, ASSAY_BF16);
    assay_graph_close(g);
}

ASSAY_TEST(products_of_constants_and_plain_ones_stay)
{
    struct assay_graph *g = assay_graph_open("g");
    int a = testing_input(g, "a", ASSAY_F32, DIMS(4, 6)), b = testing_input(g, "b", ASSAY_F32, DIMS(6, 5));
    assay_graph_add_output(g, testing_node(g, "MatMul", NUMBERS(a, b), "plain"));
    int w = testing_transpose(g, testing_weight(g, "w", DIMS(5, 6), 1, 0), DIMS(1, 0));
    assay_graph_add_output(g, testing_node(g, "MatMul", NUMBERS(a, w), "constant"));
    testing_pass(g, "product", false);
    CHECK_INT(testing_count(g, "assay", "MatMul"), 0);
    assay_graph_close(g);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(transposes_a_factor_and_a_bias_are_taken_in),
                ASSAY_TEST_ENTRY(a_transposed_result_without_a_bias_is_written_as_it_is),
                ASSAY_TEST_ENTRY(of_bf16_plain_ones_of_many_rows_are_taken_too_and_write_the_f32_of_their_sums),
                ASSAY_TEST_ENTRY(products_of_constants_and_plain_ones_stay))
