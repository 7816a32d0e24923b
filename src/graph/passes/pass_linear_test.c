/* SPDX-License-Identifier: Apache-2.0 */
/* Products with constant matrices. Oracle: the nodes that they were. */
#include "graph/passes/testing.h"

/* 0: MatMul, 1: MatMul of a Transpose, 2: Gemm with a bias, 3: Gemm of the transposed. */
static int product(struct assay_graph *g, int which, int x, int64_t k, int64_t n)
{
    bool turned = which == 1 || which == 3;
    int w = testing_weight(g, "w", DIMS(turned ? n : k, turned ? k : n), 1, 0);
    if (which < 2)
        return testing_node(g, "MatMul", NUMBERS(x, turned ? testing_transpose(g, w, DIMS(1, 0)) : w), "product");
    int y = testing_node(g, "Gemm", NUMBERS(x, w, testing_weight(g, "b", DIMS(n), 1, 0)), "product");
    assay_node_set_int(g, testing_last(g), "transB", turned);
    return y;
}

ASSAY_TEST(products_take_in_bias_residual_and_activation)
{
    static const char *const activations[] = {"Relu", "Gelu", "Swish", "Sigmoid", "Tanh", "HardSwish", "Clip", "LeakyRelu"};
    for (int which = 0; which < 4; which++)
        for (size_t i = 0; i < ASSAY_COUNT(activations); i++) {
            struct assay_graph *g = assay_graph_open("g");
            int x = testing_input(g, "x", ASSAY_F32, DIMS(4, 6)), other = testing_input(g, "r", ASSAY_F32, DIMS(4, 5));
            int y = product(g, which, x, 6, 5);
            if (which < 2)
                y = testing_node(g, "Add", NUMBERS(testing_weight(g, "b", DIMS(1, 5), 1, 0), y), "biased");
            y = testing_node(g, "Add", NUMBERS(other, y), "added");
            bool clip = strcmp(activations[i], "Clip") == 0;
            y = testing_node(g, activations[i], clip ? 3 : 1, (int[]){y, testing_number(g, -0.5), testing_number(g, 0.25)}, "y");
            if (strcmp(activations[i], "Gelu") == 0)
                assay_node_set_string(g, testing_last(g), "approximate", which & 1 ? "tanh" : "none");
            assay_graph_add_output(g, y);
            testing_pass(g, "linear", false);
            CHECK_INT(g->n_nodes, 1);
            CHECK_INT(g->nodes[0]->n_inputs, 4);
            CHECK_INT(testing_count(g, "assay", "Linear"), 1);
            assay_graph_close(g);
        }
}

ASSAY_TEST(a_residual_of_open_dimensions_is_taken_in)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 4, 6)), other = testing_input(g, "r", ASSAY_F32, DIMS(2, 4, 5));
    assay_graph_add_output(g, testing_node(g, "Add", NUMBERS(product(g, 0, x, 6, 5), other), "y"));
    testing_pass(g, "linear", true);
    CHECK_INT(g->n_nodes, 1);
    assay_graph_close(g);
}

/* What was open turns out to be of another size: the sum is larger than the product, as Add has it. */
ASSAY_TEST(a_residual_that_turns_out_larger_still_gives_the_sum)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(1, 4, 6)), other = testing_input(g, "r", ASSAY_F32, DIMS(3, 4, 5));
    assay_graph_add_output(g, testing_node(g, "Add", NUMBERS(product(g, 0, x, 6, 5), other), "y"));
    testing_pass(g, "linear", true);
    CHECK_INT(g->n_nodes, 1);
    assay_graph_close(g);
}

ASSAY_TEST(what_is_read_elsewhere_or_comes_in_another_order_stays)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(4, 6)), other = testing_input(g, "r", ASSAY_F32, DIMS(4, 5));
    int y = product(g, 0, x, 6, 5);
    assay_graph_add_output(g, y);
    assay_graph_add_output(g, testing_node(g, "Relu", NUMBERS(y), "relu")); /* y is wanted itself */
    int late = testing_node(g, "Relu", NUMBERS(product(g, 0, x, 6, 5)), "relu");
    assay_graph_add_output(g, testing_node(g, "Add", NUMBERS(late, other), "late")); /* a residual behind the activation */
    int wide = testing_input(g, "wide", ASSAY_F32, DIMS(3, 4, 5));
    assay_graph_add_output(g, testing_node(g, "Add", NUMBERS(product(g, 0, x, 6, 5), wide), "larger"));
    testing_pass(g, "linear", false);
    CHECK_INT(testing_count(g, "assay", "Linear"), 3);
    CHECK_INT(testing_count(g, "", "Relu"), 1);
    CHECK_INT(testing_count(g, "", "Add"), 2);
    assay_graph_close(g);
}

ASSAY_TEST(a_product_of_two_inputs_stays)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(4, 6)), w = testing_input(g, "w", ASSAY_F32, DIMS(6, 5));
    assay_graph_add_output(g, testing_node(g, "MatMul", NUMBERS(x, w), "y"));
    testing_pass(g, "linear", false);
    CHECK_INT(testing_count(g, "", "MatMul"), 1);
    assay_graph_close(g);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(products_take_in_bias_residual_and_activation),
                ASSAY_TEST_ENTRY(a_residual_of_open_dimensions_is_taken_in),
                ASSAY_TEST_ENTRY(a_residual_that_turns_out_larger_still_gives_the_sum),
                ASSAY_TEST_ENTRY(what_is_read_elsewhere_or_comes_in_another_order_stays),
                ASSAY_TEST_ENTRY(a_product_of_two_inputs_stays))
