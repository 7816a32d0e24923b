/* SPDX-License-Identifier: Apache-2.0 */
/* Trees of elementwise ops. Oracle: the nodes that they were. */
#include "graph/passes/testing.h"

static int two(struct assay_graph *g, const char *type, int a, int b) { return testing_node(g, type, NUMBERS(a, b), "two"); }

ASSAY_TEST(a_tree_becomes_one_node)
{
    for (int open = 0; open < 2; open++) {
        struct assay_graph *g = assay_graph_open("g");
        int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 3, 4)), z = testing_input(g, "z", ASSAY_F32, DIMS(2, 3, 4));
        int square = two(g, "Mul", x, x), y = two(g, "Add", two(g, "Mul", square, testing_weight(g, "w", DIMS(4), 1, 0)), z);
        y = testing_node(g, "Clip", NUMBERS(y, testing_number(g, -0.5), testing_number(g, 0.5)), "clip");
        y = two(g, "Sub", two(g, "Max", y, testing_number(g, 0.1)), testing_node(g, "Exp", NUMBERS(square), "exp"));
        assay_graph_add_output(g, y);
        testing_pass(g, "elementwise", open);
        CHECK_INT(g->n_nodes, 1);
        CHECK_INT(g->nodes[0]->n_inputs, 3);
        assay_graph_close(g);
    }
}

ASSAY_TEST(what_is_read_outside_stays_outside)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 3)), middle = testing_node(g, "Exp", NUMBERS(x), "exp");
    assay_graph_add_output(g, middle);
    assay_graph_add_output(g, testing_node(g, "Neg", NUMBERS(testing_node(g, "Abs", NUMBERS(middle), "abs")), "neg"));
    /* The sum depends on what the softmax makes of the same value: taking both in would be a circle. */
    int a = testing_node(g, "Sqrt", NUMBERS(testing_node(g, "Abs", NUMBERS(x), "abs")), "sqrt");
    assay_graph_add_output(g, two(g, "Add", a, testing_node(g, "Softmax", NUMBERS(a), "softmax")));
    testing_pass(g, "elementwise", false);
    CHECK_INT(testing_count(g, "", "Exp"), 1);
    CHECK_INT(testing_count(g, "", "Add"), 1);
    CHECK_INT(testing_count(g, "assay", "Fused"), 2);
    assay_graph_close(g);
}

ASSAY_TEST(other_shapes_and_integers_stay)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 3)), row = testing_input(g, "row", ASSAY_F32, DIMS(1, 3));
    int i = testing_input(g, "i", ASSAY_I64, DIMS(4));
    assay_graph_add_output(g, two(g, "Add", x, testing_node(g, "Neg", NUMBERS(row), "neg")));
    assay_graph_add_output(g, testing_node(g, "Neg", NUMBERS(testing_node(g, "Abs", NUMBERS(i), "abs")), "neg"));
    assay_graph_add_output(g, testing_node(g, "Tanh", NUMBERS(x), "alone"));
    testing_pass(g, "elementwise", false);
    CHECK_INT(testing_count(g, "assay", "Fused"), 0);
    assay_graph_close(g);
}

ASSAY_TEST(random_graphs_give_the_same)
{
    struct assay_error err;
    struct assay_rng rng;
    assay_rng_init(&rng, 7, assay_rng_stream("fused"));
    for (int round = 0; round < 60; round++) {
        struct assay_graph *g = testing_random_graph(&rng, 1 + (int)assay_rng_below(&rng, 40));
        int64_t four = 4;
        struct assay_type type = assay_type_make(ASSAY_F32, 1, &four);
        struct assay_tensor inputs[2] = {testing_noise(&type, 1), testing_noise(&type, 2)}, before[64], after[64];
        CHECK_OK(assay_graph_sort(g, &err), err);
        CHECK_OK(testing_run(g, inputs, before, &err), err);
        CHECK_OK(assay_graph_optimize(g, NULL, &err), err);
        CHECK_OK(testing_run(g, inputs, after, &err), err);
        for (int i = 0; i < g->n_outputs; i++) {
            CHECK(assay_tensor_compare(&after[i], &before[i], 0, 0).same_type);
            CHECK_INT(assay_tensor_compare(&after[i], &before[i], 0, 0).n_wrong, 0);
            assay_tensor_release(&before[i]);
            assay_tensor_release(&after[i]);
        }
        assay_tensor_release(&inputs[0]);
        assay_tensor_release(&inputs[1]);
        assay_graph_close(g);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_tree_becomes_one_node), ASSAY_TEST_ENTRY(what_is_read_outside_stays_outside),
                ASSAY_TEST_ENTRY(other_shapes_and_integers_stay), ASSAY_TEST_ENTRY(random_graphs_give_the_same))
