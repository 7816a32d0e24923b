/* SPDX-License-Identifier: Apache-2.0 */
/* What changes nothing goes. Oracle: the graph before. */
#include "graph/passes/testing.h"

static int neutral(struct assay_graph *g, int which, int x)
{
    switch (which) {
    case 0:
        return testing_node(g, "Identity", NUMBERS(x), "y");
    case 1:
        return testing_node(g, "Mul", NUMBERS(testing_number(g, 1), x), "y");
    case 2:
        return testing_node(g, "Sub", NUMBERS(x, testing_number(g, 0)), "y");
    case 3:
        x = testing_node(g, "Cast", NUMBERS(x), "y");
        assay_node_set_int(g, testing_last(g), "to", ASSAY_F32);
        return x;
    case 4:
        return testing_transpose(g, testing_transpose(g, x, DIMS(1, 2, 0)), DIMS(2, 0, 1));
    case 5:
        return testing_reshape(g, testing_reshape(g, x, DIMS(0, 0, 2, 3)), DIMS(0, 0, 6));
    case 6:
        x = testing_node(g, "Unsqueeze", NUMBERS(x, testing_ints(g, DIMS(1))), "y");
        return testing_node(g, "Squeeze", NUMBERS(x, testing_ints(g, DIMS(1))), "y");
    case 7:
        x = testing_node(g, "Concat", NUMBERS(x), "y");
        assay_node_set_int(g, testing_last(g), "axis", 1);
        return x;
    case 8:
        return testing_node(g, "Dropout", NUMBERS(x), "y");
    case 9:
        return testing_node(
            g, "Slice",
            NUMBERS(x, testing_ints(g, DIMS(0, 0)), testing_ints(g, DIMS(INT64_MAX, 6)), testing_ints(g, DIMS(0, -1))), "y");
    case 10:
        return testing_node(g, "Div", NUMBERS(x, testing_number(g, 1)), "y");
    default:
        return testing_node(g, "Pad", NUMBERS(x, testing_ints(g, DIMS(0, 0, 0, 0, 0, 0))), "y");
    }
}
enum { N_NEUTRAL = 12 };

ASSAY_TEST(what_changes_nothing_goes)
{
    for (int which = 0; which < N_NEUTRAL; which++) {
        struct assay_graph *g = assay_graph_open("g");
        int x = testing_node(g, "Neg", NUMBERS(testing_input(g, "x", ASSAY_F32, DIMS(4, 5, 6))), "neg");
        int y = neutral(g, which, x);
        assay_graph_add_output(g, y);
        assay_graph_add_output(g, testing_node(g, "Abs", NUMBERS(neutral(g, which, y)), "abs"));
        testing_pass(g, "algebra", which & 1);
        CHECK_INT(g->n_nodes, 2); /* Neg makes the output at once */
        assay_graph_close(g);
    }
}

ASSAY_TEST(an_output_that_is_an_input_or_another_output_keeps_its_node)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(4, 5, 6)), y = testing_node(g, "Neg", NUMBERS(x), "neg");
    assay_graph_add_output(g, testing_node(g, "Identity", NUMBERS(x), "same"));
    assay_graph_add_output(g, y);
    assay_graph_add_output(g, testing_node(g, "Identity", NUMBERS(y), "again"));
    testing_pass(g, "algebra", false);
    CHECK_INT(g->n_nodes, 3);
    assay_graph_close(g);
}

ASSAY_TEST(transposes_and_reshapes_in_a_row_become_one)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 3, 8));
    int y = testing_transpose(g, testing_reshape(g, x, DIMS(0, 0, 2, 4)), DIMS(0, 2, 1, 3));
    assay_graph_add_output(g, testing_transpose(g, y, DIMS(0, 1, 3, 2)));
    y = testing_node(g, "Unsqueeze", NUMBERS(x, testing_ints(g, DIMS(0))), "wide");
    assay_graph_add_output(g, testing_reshape(g, testing_reshape(g, y, DIMS(6, 8)), DIMS(-1, 4)));
    assay_graph_add_output(g, testing_reshape(g, testing_reshape(g, x, DIMS(0, 0, 4, 2)), DIMS(0, 0, 2, 4)));
    testing_pass(g, "algebra", true);
    CHECK_INT(testing_count(g, "", "Transpose"), 1);
    CHECK_INT(testing_count(g, "", "Reshape"), 3);
    assay_graph_close(g);
}

ASSAY_TEST(a_transpose_that_moves_no_byte_becomes_a_reshape)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 1, 8, 4));
    assay_graph_add_output(g, testing_transpose(g, x, DIMS(0, 2, 1, 3)));
    assay_graph_add_output(g, testing_transpose(g, x, DIMS(0, 3, 1, 2)));
    testing_pass(g, "algebra", false);
    CHECK_INT(testing_count(g, "", "Transpose"), 1);
    assay_graph_close(g);
}

ASSAY_TEST(look_alikes_stay)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(4, 6));
    assay_graph_add_output(g, testing_node(g, "Div", NUMBERS(testing_number(g, 1), x), "inverse"));
    assay_graph_add_output(g, testing_node(g, "Sub", NUMBERS(testing_number(g, 0), x), "negative"));
    assay_graph_add_output(g,
                           testing_node(g, "Mul", NUMBERS(x, testing_weight(g, "one", DIMS(1, 1, 1), 0, 1)), "a dimension more"));
    assay_graph_add_output(g, testing_node(g, "Add", NUMBERS(x, testing_weight(g, "zeros", DIMS(3, 1, 1), 0, 0)), "repeated"));
    assay_graph_add_output(
        g, testing_node(g, "Slice", NUMBERS(x, testing_ints(g, DIMS(0)), testing_ints(g, DIMS(5)), testing_ints(g, DIMS(1))),
                        "part"));
    assay_graph_add_output(g, testing_transpose(g, x, DIMS(1, 0)));
    assay_graph_add_output(g, testing_reshape(g, x, DIMS(0, -1, 3)));
    testing_pass(g, "algebra", false);
    CHECK_INT(g->n_nodes, 7);
    assay_graph_close(g);
}

ASSAY_TEST(a_long_chain_takes_no_longer_than_it_is_long)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(4)), y = x;
    struct assay_error err;
    for (int i = 0; i < 200000; i++)
        y = testing_node(g, i % 2 ? "Identity" : "Dropout", NUMBERS(y), "v");
    assay_graph_add_output(g, testing_node(g, "Neg", NUMBERS(y), "neg"));
    CHECK_OK(assay_graph_optimize(g, NULL, &err), err);
    CHECK_INT(g->n_nodes, 1);
    assay_graph_close(g);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(what_changes_nothing_goes),
                ASSAY_TEST_ENTRY(an_output_that_is_an_input_or_another_output_keeps_its_node),
                ASSAY_TEST_ENTRY(transposes_and_reshapes_in_a_row_become_one),
                ASSAY_TEST_ENTRY(a_transpose_that_moves_no_byte_becomes_a_reshape), ASSAY_TEST_ENTRY(look_alikes_stay),
                ASSAY_TEST_ENTRY(a_long_chain_takes_no_longer_than_it_is_long))
