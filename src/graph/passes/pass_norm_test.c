/* SPDX-License-Identifier: Apache-2.0 */
/* Norms from their steps. Oracle: the steps. */
#include "graph/passes/testing.h"

static int mean_of(struct assay_graph *g, int x, int64_t axis)
{
    int y = testing_node(g, "ReduceMean", NUMBERS(x), "mean");
    assay_node_set_ints(g, testing_last(g), "axes", &axis, 1);
    return y;
}

static int deviation_of(struct assay_graph *g, int x, int64_t axis, bool pow)
{
    int square = pow ? testing_node(g, "Pow", NUMBERS(x, testing_number(g, 2)), "square")
                     : testing_node(g, "Mul", NUMBERS(x, x), "square");
    int sum = testing_node(g, "Add", NUMBERS(mean_of(g, square, axis), testing_number(g, 1e-5)), "sum");
    return testing_node(g, "Sqrt", NUMBERS(sum), "deviation");
}

static int layer(struct assay_graph *g, int x, int64_t axis, bool pow, int64_t n)
{
    int centered = testing_node(g, "Sub", NUMBERS(x, mean_of(g, x, axis)), "centered");
    int y = testing_node(g, "Div", NUMBERS(centered, deviation_of(g, centered, axis, pow)), "y");
    y = testing_node(g, "Mul", NUMBERS(y, testing_weight(g, "w", DIMS(n), 1, 0)), "scaled");
    return testing_node(g, "Add", NUMBERS(y, testing_weight(g, "b", DIMS(n), 1, 0)), "shifted");
}

static int rms(struct assay_graph *g, int x, bool reciprocal, int64_t n)
{
    int deviation = deviation_of(g, x, -1, true), w = testing_weight(g, "w", DIMS(n), 1, 0), y;
    if (reciprocal)
        y = testing_node(g, "Mul", NUMBERS(x, testing_node(g, "Reciprocal", NUMBERS(deviation), "r")), "y");
    else
        y = testing_node(g, "Div", NUMBERS(x, deviation), "y");
    return testing_node(g, "Mul", NUMBERS(reciprocal ? w : y, reciprocal ? y : w), "scaled");
}

ASSAY_TEST(layer_norm_and_rms_norm_become_one_node_each)
{
    for (int which = 0; which < 4; which++) {
        struct assay_graph *g = assay_graph_open("g");
        int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 3, 8));
        assay_graph_add_output(g, which < 2 ? layer(g, x, which ? 2 : -1, which, 8) : rms(g, x, which & 1, 8));
        testing_pass(g, "norm", which & 1);
        CHECK_INT(g->n_nodes, 1);
        CHECK_TEXT(g->nodes[0]->type, which < 2 ? "LayerNormalization" : "RMSNormalization");
        assay_graph_close(g);
    }
}

ASSAY_TEST(norms_over_another_dimension_or_with_a_matrix_stay)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 4, 4));
    assay_graph_add_output(g, layer(g, x, 1, true, 4));
    int y = testing_node(g, "Div", NUMBERS(x, deviation_of(g, x, -1, true)), "y");
    assay_graph_add_output(g, testing_node(g, "Mul", NUMBERS(y, testing_weight(g, "w", DIMS(4, 4), 1, 0)), "scaled"));
    int other = testing_input(g, "z", ASSAY_F32, DIMS(2, 4, 4));
    y = testing_node(g, "Div", NUMBERS(other, deviation_of(g, x, -1, true)), "y");
    assay_graph_add_output(g, testing_node(g, "Mul", NUMBERS(y, testing_weight(g, "w", DIMS(4), 1, 0)), "scaled"));
    testing_pass(g, "norm", false);
    CHECK_INT(testing_count(g, "", "LayerNormalization") + testing_count(g, "", "RMSNormalization"), 0);
    assay_graph_close(g);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(layer_norm_and_rms_norm_become_one_node_each),
                ASSAY_TEST_ENTRY(norms_over_another_dimension_or_with_a_matrix_stay))
