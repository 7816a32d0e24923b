/* SPDX-License-Identifier: Apache-2.0 */
/* Common subexpressions. Oracle: the graph before. */
#include "graph/passes/testing.h"

ASSAY_TEST(equal_nodes_become_one_with_all_that_follows)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(4, 6));
    for (int i = 0; i < 3; i++) {
        int y = testing_node(g, "Exp", NUMBERS(testing_reshape(g, x, DIMS(0, 2, 3))), "exp");
        y = testing_node(g, "LeakyRelu", NUMBERS(y), "leaky");
        assay_node_set_float(g, testing_last(g), "alpha", 0.25f);
        assay_graph_add_output(g, testing_node(g, "Mul", NUMBERS(y, testing_number(g, i)), "y"));
    }
    testing_pass(g, "common", true);
    CHECK_INT(g->n_nodes, 6);
    assay_graph_close(g);
}

ASSAY_TEST(other_inputs_attributes_or_random_numbers_stay_apart)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(4, 6));
    for (int i = 0; i < 2; i++) {
        assay_graph_add_output(g, testing_node(g, "LeakyRelu", NUMBERS(x), "leaky"));
        assay_node_set_float(g, testing_last(g), "alpha", 0.25f * (float)i);
        assay_graph_add_output(g, testing_node(g, i ? "Abs" : "Neg", NUMBERS(x), "unary"));
        assay_graph_add_output(g, testing_node(g, "Sub", NUMBERS(x, testing_number(g, i)), "sub"));
    }
    testing_pass(g, "common", false);
    CHECK_INT(g->n_nodes, 6);
    assay_graph_close(g);
    g = assay_graph_open("g");
    struct assay_error err;
    for (int i = 0; i < 2; i++) {
        assay_graph_add_output(g, testing_node(g, "RandomNormal", 0, NULL, "r"));
        assay_node_set_ints(g, testing_last(g), "shape", (const int64_t[]){2}, 1);
    }
    CHECK_OK(assay_graph_optimize(g, NULL, &err), err);
    CHECK_INT(g->n_nodes, 2);
    assay_graph_close(g);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(equal_nodes_become_one_with_all_that_follows),
                ASSAY_TEST_ENTRY(other_inputs_attributes_or_random_numbers_stay_apart))
