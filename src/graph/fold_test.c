/* SPDX-License-Identifier: Apache-2.0 */
/* Constant folding. */
#include "graph/emit.h"
#include "graph/testing.h"

enum { MEGABYTE = 1 << 20 };

static void run_on_ramp(const struct assay_graph *graph, struct assay_tensor *outputs)
{
    struct assay_error err;
    struct assay_tensor inputs[2] = {testing_tensor(ASSAY_F32, (const double[]){1, -2, 3, -4}, 4),
                                     testing_tensor(ASSAY_F32, (const double[]){0.5, 0.25, -1.5, 2}, 4)};
    CHECK_OK(testing_run(graph, inputs, outputs, &err), err);
    assay_tensor_release(&inputs[0]);
    assay_tensor_release(&inputs[1]);
}

ASSAY_TEST(a_folded_graph_gives_the_same_results_with_no_constant_node_left)
{
    struct assay_error err;
    struct assay_rng rng;
    assay_rng_init(&rng, 5, assay_rng_stream("fold"));
    for (int round = 0; round < 100; round++) {
        struct assay_graph *graph = testing_random_graph(&rng, 1 + (int)assay_rng_below(&rng, 50));
        struct assay_tensor before[64], after[64];
        char names[64][16];
        for (int i = 0; i < graph->n_outputs; i++)
            snprintf(names[i], sizeof names[i], "%s", graph->values[graph->outputs[i]].name);
        run_on_ramp(graph, before);
        CHECK_OK(assay_graph_infer(graph, &err), err);
        CHECK_OK(assay_graph_fold(graph, MEGABYTE, &err), err);
        for (int i = 0; i < graph->n_nodes; i++) {
            bool all_known = true;
            for (int k = 0; k < graph->nodes[i]->n_inputs; k++)
                all_known &= graph->values[graph->nodes[i]->inputs[k]].constant.data != NULL;
            CHECK(!all_known);
        }
        run_on_ramp(graph, after);
        for (int i = 0; i < graph->n_outputs; i++) {
            CHECK_TEXT(graph->values[graph->outputs[i]].name, names[i]);
            CHECK_INT(assay_tensor_compare(&after[i], &before[i], 0, 0).n_wrong, 0);
            CHECK(assay_tensor_compare(&after[i], &before[i], 0, 0).same_type);
            assay_tensor_release(&before[i]);
            assay_tensor_release(&after[i]);
        }
        assay_graph_close(graph);
    }
}

ASSAY_TEST(a_weight_made_of_a_weight_is_made_once_whatever_its_size)
{
    struct assay_error err;
    const int64_t dims[] = {64, 64}, larger[] = {64, 64, 64};
    struct assay_graph *graph = assay_graph_open("g");
    struct assay_type type = assay_type_make(ASSAY_F32, 2, dims);
    struct assay_tensor tensor;
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    for (int i = 0; i < 64 * 64; i++)
        assay_tensor_set_real(&tensor, i, i);
    int weight = assay_graph_add_constant(graph, "weight", &tensor);
    assay_tensor_release(&tensor);
    int factor = testing_constant(graph, "factor", ASSAY_F32, (const double[]){3}, 1);
    int scaled = testing_node(graph, "Mul", NUMBERS(weight, factor), "scaled");
    int x = testing_input(graph, "x", ASSAY_F32, 3, larger);
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(x, scaled), "y"));
    CHECK_OK(assay_graph_infer(graph, &err), err);
    CHECK_OK(assay_graph_fold(graph, 64, &err), err);
    CHECK_INT(graph->n_nodes, 1);
    CHECK_NEAR(assay_tensor_real(&graph->values[graph->nodes[0]->inputs[1]].constant, 65), 195, 0);
    assay_graph_close(graph);
}

ASSAY_TEST(what_would_be_too_large_stays_a_node)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("g");
    int shape = testing_constant(graph, "shape", ASSAY_I64, (const double[]){1024, 1024, 256}, 3);
    int large = testing_node(graph, "ConstantOfShape", NUMBERS(shape), "large");
    assay_graph_add_output(graph, testing_node(graph, "Neg", NUMBERS(large), "out"));
    CHECK_OK(assay_graph_infer(graph, &err), err);
    CHECK_OK(assay_graph_fold(graph, MEGABYTE, &err), err);
    CHECK_INT(graph->n_nodes, 2);
    assay_graph_close(graph);
}

ASSAY_TEST(many_results_together_stop_at_the_total_limit)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("g");
    int shape = testing_constant(graph, "shape", ASSAY_I64, (const double[]){256}, 1);
    for (int i = 0; i < 100; i++)
        assay_graph_add_output(graph, testing_node(graph, "ConstantOfShape", NUMBERS(shape), "large"));
    CHECK_OK(assay_graph_fold(graph, 1024, &err), err);
    CHECK_INT(graph->n_nodes, 100 - 64);
    assay_graph_close(graph);
}

ASSAY_TEST(random_nodes_stay)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("g");
    int made = testing_node(graph, "RandomNormal", 0, NULL, "r");
    assay_node_set_ints(graph, testing_last(graph), "shape", (const int64_t[]){2}, 1);
    assay_graph_add_output(graph, made);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    CHECK_OK(assay_graph_fold(graph, MEGABYTE, &err), err);
    CHECK_INT(graph->n_nodes, 1);
    assay_graph_close(graph);
}

ASSAY_TEST(a_node_that_fails_stays_for_the_runtime)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("g");
    int x = testing_constant(graph, "x", ASSAY_F32, (const double[]){1, 2}, 2);
    int far = testing_constant(graph, "far", ASSAY_I64, (const double[]){77}, 1);
    assay_graph_add_output(graph, testing_node(graph, "Gather", NUMBERS(x, far), "y"));
    CHECK_OK(assay_graph_fold(graph, MEGABYTE, &err), err);
    CHECK_INT(graph->n_nodes, 1);
    assay_graph_close(graph);
}

/* a = If(c) { then: If(c) { x + k, x, k, x + k } … } with k = 10, c known: four outputs of each kind that a branch can have. */
static struct assay_graph *graph_with_ifs(bool condition)
{
    struct assay_graph *graph = assay_graph_open("g");
    int64_t one = 1;
    int x = testing_input(graph, "x", ASSAY_F32, 1, &one);
    testing_input(graph, "y", ASSAY_F32, 1, &one);
    int c = testing_constant(graph, "c", ASSAY_BOOL, (const double[]){condition}, 1), outs[4];
    for (int i = 0; i < 4; i++) {
        outs[i] = assay_graph_add_value(graph, "out", NULL);
        assay_graph_add_output(graph, outs[i]);
    }
    struct assay_node *node = assay_graph_add_node(graph, "If", "", 1, &c, 4, outs);
    for (int side = 0; side < 2; side++) {
        struct assay_graph *middle = assay_graph_open_body(graph, side ? "then" : "else");
        int middle_c = assay_graph_capture(middle, c), middle_x = assay_graph_capture(middle, x), made[4];
        for (int i = 0; i < 4; i++) {
            made[i] = assay_graph_add_value(middle, "made", NULL);
            assay_graph_add_output(middle, made[i]);
        }
        struct assay_node *inner = assay_graph_add_node(middle, "If", "", 1, &middle_c, 4, made);
        for (int inner_side = 0; inner_side < 2; inner_side++) {
            struct assay_graph *body = assay_graph_open_body(middle, "body");
            int k = testing_constant(body, "k", ASSAY_F32, (const double[]){side && inner_side ? 10 : -100}, 1);
            int inner_x = assay_graph_capture(body, middle_x);
            int sum = testing_node(body, "Add", NUMBERS(inner_x, k), "sum");
            for (int i = 0; i < 4; i++)
                assay_graph_add_output(body, (int[]){sum, inner_x, k, sum}[i]);
            assay_node_set_graph(middle, inner, inner_side ? "then_branch" : "else_branch", body);
        }
        assay_node_set_graph(graph, node, side ? "then_branch" : "else_branch", middle);
    }
    return graph;
}

ASSAY_TEST(an_if_with_a_known_condition_becomes_its_branch)
{
    struct assay_error err;
    for (int condition = 0; condition < 2; condition++) {
        struct assay_graph *graph = graph_with_ifs(condition);
        CHECK_OK(assay_graph_sort(graph, &err), err);
        CHECK_OK(assay_graph_fold(graph, MEGABYTE, &err), err);
        for (int i = 0; i < graph->n_nodes; i++)
            CHECK(strcmp(graph->nodes[i]->type, "If") != 0);
        CHECK(!graph->first_body);
        struct assay_tensor x = testing_tensor(ASSAY_F32, (const double[]){3}, 1), outputs[4];
        double k = condition ? 10 : -100;
        CHECK_OK(testing_run(graph, (const struct assay_tensor[]){x, x}, outputs, &err), err);
        for (int i = 0; i < 4; i++) {
            CHECK_NEAR(assay_tensor_real(&outputs[i], 0), ((double[]){3 + k, 3, k, 3 + k}[i]), 0);
            assay_tensor_release(&outputs[i]);
        }
        assay_tensor_release(&x);
        assay_graph_close(graph);
    }
}

ASSAY_TEST(constants_fold_in_the_body_of_an_if_that_stays)
{
    struct assay_error err;
    struct assay_graph *graph = graph_with_ifs(true);
    graph->nodes[0]->inputs[0] = testing_input(graph, "condition", ASSAY_BOOL, 1, (const int64_t[]){1});
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_fold(graph, MEGABYTE, &err), err);
    CHECK_INT(graph->n_nodes, 1);
    struct assay_graph *branch = assay_node_graph(graph->nodes[0], "then_branch");
    CHECK(!branch->first_body);
    for (int i = 0; i < branch->n_nodes; i++)
        CHECK(strcmp(branch->nodes[i]->type, "If") != 0);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    assay_graph_close(graph);
}

ASSAY_TEST(a_weight_in_another_order_is_a_weight_at_any_size)
{
    static const double zeros[512];
    struct assay_graph *graph = assay_graph_open("g");
    int weight = testing_constant(graph, "w", ASSAY_F32, zeros, 512), parts[2] = {0, 0};
    struct assay_error err;
    struct assay_emit e = assay_emit_make(graph, "", &err);
    e_many(&e, "Split", "", 1, &weight, 2, parts);
    int other = e_unsqueeze(&e, e_concat(&e, 0, 2, (const int[]){parts[1], parts[0]}), E_INTS(0));
    CHECK_OK(assay_emit_finish(&e), err);
    assay_graph_add_output(graph, other);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    CHECK_OK(assay_graph_fold(graph, 64, &err), err);
    CHECK_INT(graph->n_nodes, 0);
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_weight_in_another_order_is_a_weight_at_any_size),
                ASSAY_TEST_ENTRY(a_folded_graph_gives_the_same_results_with_no_constant_node_left),
                ASSAY_TEST_ENTRY(a_weight_made_of_a_weight_is_made_once_whatever_its_size),
                ASSAY_TEST_ENTRY(what_would_be_too_large_stays_a_node),
                ASSAY_TEST_ENTRY(many_results_together_stop_at_the_total_limit), ASSAY_TEST_ENTRY(random_nodes_stay),
                ASSAY_TEST_ENTRY(a_node_that_fails_stays_for_the_runtime),
                ASSAY_TEST_ENTRY(an_if_with_a_known_condition_becomes_its_branch),
                ASSAY_TEST_ENTRY(constants_fold_in_the_body_of_an_if_that_stays))
