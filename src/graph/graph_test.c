/* SPDX-License-Identifier: Apache-2.0 */
/* Making, sorting, sweeping and copying graphs. */
#include "graph/testing.h"

ASSAY_TEST(names_stay_unique_and_are_found)
{
    struct assay_graph *graph = assay_graph_open("g");
    CHECK_INT(assay_graph_find(graph, "x"), -1);
    for (int i = 0; i < 3000; i++)
        CHECK_INT(assay_graph_add_value(graph, i % 2 ? "x" : "", NULL), i);
    for (int i = 0; i < 3000; i++)
        CHECK_INT(assay_graph_find(graph, graph->values[i].name), i);
    CHECK_TEXT(graph->values[1].name, "x");
    assay_graph_rename(graph, 1, "first");
    CHECK_INT(assay_graph_find(graph, "first"), 1);
    CHECK_INT(assay_graph_find(graph, "x"), -1);
    assay_graph_rename(graph, 2, "first");
    CHECK(strcmp(graph->values[2].name, "first") != 0);
    for (int i = 0; i < 3000; i++)
        CHECK_INT(assay_graph_find(graph, graph->values[i].name), i);
    assay_graph_close(graph);
}

ASSAY_TEST(an_attribute_is_set_replaced_and_removed)
{
    struct assay_graph *graph = assay_graph_open("g");
    int value = assay_graph_add_value(graph, "x", NULL);
    struct assay_node *node = assay_graph_add_node(graph, "Conv", "", 1, &value, 0, NULL);
    size_t n;
    char name[16];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "a%d", i);
        assay_node_set_int(graph, node, name, i);
    }
    assay_node_set_ints(graph, node, "a3", (const int64_t[]){7, 8, 9}, 3);
    CHECK_INT(node->n_attrs, 20);
    CHECK_INT(assay_node_ints(node, "a3", &n)[2], 9);
    CHECK_INT(n, 3);
    CHECK_INT(assay_node_int(node, "a3", -5), -5);
    assay_node_remove_attr(node, "a4");
    assay_node_remove_attr(node, "none");
    CHECK_INT(node->n_attrs, 19);
    CHECK(!assay_node_attr(node, "a4"));
    CHECK_INT(assay_node_int(node, "a19", -1), 19);
    assay_node_set_float(graph, node, "f", 0.5f);
    assay_node_set_floats(graph, node, "fs", (const float[]){1, 2}, 2);
    assay_node_set_string_n(graph, node, "s", "a\0b", 3);
    assay_node_set_strings(graph, node, "ss", (const char *const[]){"p", "q"}, 2);
    CHECK_NEAR(assay_node_float(node, "f", 0), 0.5, 0);
    CHECK_NEAR(assay_node_floats(node, "fs", &n)[1], 2, 0);
    CHECK_INT(assay_node_attr(node, "s")->n, 3);
    CHECK_TEXT(assay_node_attr(node, "ss")->strings[1], "q");
    CHECK_TEXT(assay_node_string(node, "missing", "otherwise"), "otherwise");
    CHECK(!assay_node_ints(node, "f", &n) && n == 0);
    struct assay_tensor tensor = testing_tensor(ASSAY_F32, (const double[]){1, 2}, 2);
    assay_node_set_tensor(graph, node, "t", &tensor);
    assay_tensor_release(&tensor);
    assay_node_set_tensor(graph, node, "t", &assay_node_attr(node, "t")->tensor);
    CHECK_NEAR(assay_tensor_real(&assay_node_attr(node, "t")->tensor, 1), 2, 0);
    assay_graph_close(graph);
}

static void shuffle_nodes(struct assay_graph *graph, struct assay_rng *rng)
{
    for (int i = graph->n_nodes - 1; i > 0; i--) {
        int k = (int)assay_rng_below(rng, (uint64_t)i + 1);
        struct assay_node *node = graph->nodes[i];
        graph->nodes[i] = graph->nodes[k];
        graph->nodes[k] = node;
    }
}

static void check_order(const struct assay_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        for (int k = 0; k < node->n_inputs; k++)
            CHECK(graph->values[node->inputs[k]].producer < i);
        for (int k = 0; k < node->n_outputs; k++)
            CHECK_INT(graph->values[node->outputs[k]].producer, i);
    }
}

ASSAY_TEST(a_shuffled_graph_is_sorted_and_keeps_its_hash)
{
    struct assay_error err;
    struct assay_rng rng;
    assay_rng_init(&rng, 1, assay_rng_stream("sort"));
    for (int round = 0; round < 200; round++) {
        struct assay_graph *graph = testing_random_graph(&rng, 1 + (int)assay_rng_below(&rng, 60));
        char before[ASSAY_HASH_TEXT_SIZE], after[ASSAY_HASH_TEXT_SIZE];
        assay_graph_hash(graph, before);
        shuffle_nodes(graph, &rng);
        CHECK_OK(assay_graph_sort(graph, &err), err);
        check_order(graph);
        assay_graph_hash(graph, after);
        CHECK_TEXT(after, before);
        assay_graph_close(graph);
    }
}

ASSAY_TEST(a_graph_in_order_stays_as_it_is)
{
    struct assay_error err;
    struct assay_rng rng;
    assay_rng_init(&rng, 2, 0);
    struct assay_graph *graph = testing_random_graph(&rng, 100);
    char *before = assay_graph_text(graph);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    char *after = assay_graph_text(graph);
    CHECK_TEXT(after, before);
    free(before);
    free(after);
    assay_graph_close(graph);
}

ASSAY_TEST(a_cycle_is_reported_wherever_it_is)
{
    struct assay_error err;
    struct assay_rng rng;
    assay_rng_init(&rng, 3, 0);
    for (int round = 0; round < 100; round++) {
        struct assay_graph *graph = assay_graph_open("g");
        int n = 2 + (int)assay_rng_below(&rng, 50);
        int value = testing_input(graph, "x", ASSAY_F32, 0, NULL);
        for (int i = 0; i < n; i++)
            value = testing_node(graph, "Add", 2, (const int[]){value, 0}, "v");
        assay_graph_add_output(graph, value);
        int from = (int)assay_rng_below(&rng, (uint64_t)n), to = (int)assay_rng_below(&rng, (uint64_t)from + 1);
        graph->nodes[to]->inputs[1] = graph->nodes[from]->outputs[0];
        shuffle_nodes(graph, &rng);
        CHECK_INT(assay_graph_sort(graph, &err), ASSAY_INVALID);
        CHECK_CONTAINS(err.message, "cycle");
        assay_graph_close(graph);
    }
}

ASSAY_TEST(a_value_made_twice_or_by_nobody_is_named)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("g");
    int x = testing_input(graph, "x", ASSAY_F32, 0, NULL);
    int y = testing_node(graph, "Neg", 1, &x, "y");
    assay_graph_add_output(graph, y);
    assay_graph_add_node(graph, "Abs", "", 1, &x, 1, &y);
    CHECK_INT(assay_graph_sort(graph, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "'y' is made twice");
    assay_graph_drop_node(graph, 1);
    assay_graph_add_node(graph, "Abs", "", 1, &x, 1, &x);
    CHECK_INT(assay_graph_sort(graph, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "'x' is made twice");
    assay_graph_drop_node(graph, 1);
    int lost = assay_graph_add_value(graph, "lost", NULL);
    assay_graph_add_node(graph, "Abs", "", 1, &lost, 1, &lost);
    testing_last(graph)->outputs[0] = -1;
    CHECK_INT(assay_graph_sort(graph, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "'lost', which nobody makes");
    assay_graph_drop_node(graph, 1);
    assay_graph_add_output(graph, lost);
    CHECK_INT(assay_graph_sort(graph, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "graph output 'lost'");
    assay_graph_close(graph);
}

ASSAY_TEST(a_chain_of_100000_nodes_needs_no_deep_stack)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("g");
    int value = testing_input(graph, "x", ASSAY_F32, 0, NULL);
    for (int i = 0; i < 100000; i++)
        value = testing_node(graph, "Neg", 1, &value, "v");
    assay_graph_add_output(graph, value);
    for (int i = 0, k = graph->n_nodes - 1; i < k; i++, k--) {
        struct assay_node *node = graph->nodes[i];
        graph->nodes[i] = graph->nodes[k];
        graph->nodes[k] = node;
    }
    CHECK_OK(assay_graph_sort(graph, &err), err);
    check_order(graph);
    assay_graph_sweep(graph);
    CHECK_INT(graph->n_nodes, 100000);
    assay_graph_close(graph);
}

/* If(c) { then: x + k } else { x }, with k of the graph around it; out = result. */
static struct assay_graph *graph_with_if(void)
{
    struct assay_graph *graph = assay_graph_open("g");
    int64_t one = 1;
    int c = testing_input(graph, "c", ASSAY_BOOL, 1, &one), x = testing_input(graph, "x", ASSAY_F32, 1, &one);
    int k = testing_constant(graph, "k", ASSAY_F32, (const double[]){10}, 1);
    int twice = testing_node(graph, "Add", NUMBERS(x, x), "twice");
    int out = testing_node(graph, "If", NUMBERS(c), "out");
    struct assay_node *node = testing_last(graph);
    struct assay_graph *then_branch = assay_graph_open_body(graph, "then"), *else_branch = assay_graph_open_body(graph, "else");
    int sum = testing_node(then_branch, "Add",
                           NUMBERS(assay_graph_capture(then_branch, twice), assay_graph_capture(then_branch, k)), "sum");
    assay_graph_add_output(then_branch, sum);
    int same = testing_node(else_branch, "Identity", NUMBERS(assay_graph_capture(else_branch, x)), "same");
    assay_graph_add_output(else_branch, same);
    assay_node_set_graph(graph, node, "then_branch", then_branch);
    assay_node_set_graph(graph, node, "else_branch", else_branch);
    assay_graph_add_output(graph, out);
    return graph;
}

ASSAY_TEST(what_a_body_captures_comes_before_its_node)
{
    struct assay_error err;
    struct assay_graph *graph = graph_with_if();
    struct assay_node *node = graph->nodes[0];
    graph->nodes[0] = graph->nodes[1];
    graph->nodes[1] = node;
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_TEXT(graph->nodes[0]->type, "Add");
    CHECK_TEXT(graph->nodes[1]->type, "If");
    assay_graph_sweep(graph);
    CHECK_INT(graph->n_nodes, 2);
    assay_graph_close(graph);
}

ASSAY_TEST(a_node_whose_body_captures_its_own_result_is_a_cycle)
{
    struct assay_error err;
    struct assay_graph *graph = graph_with_if();
    assay_node_graph(graph->nodes[1], "else_branch")->values[0].outer = assay_graph_find(graph, "out");
    CHECK_INT(assay_graph_sort(graph, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "cycle");
    assay_graph_close(graph);
}

ASSAY_TEST(a_cycle_in_a_body_is_reported_with_its_node)
{
    struct assay_error err;
    struct assay_graph *graph = graph_with_if(), *body = assay_node_graph(graph->nodes[1], "else_branch");
    body->nodes[0]->inputs[0] = body->nodes[0]->outputs[0];
    CHECK_INT(assay_graph_sort(graph, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "'else_branch'");
    assay_graph_close(graph);
}

ASSAY_TEST(replacing_a_value_reaches_nodes_bodies_and_outputs)
{
    struct assay_error err;
    struct assay_graph *graph = graph_with_if();
    int twice = assay_graph_find(graph, "twice"), x = assay_graph_find(graph, "x"), out = assay_graph_find(graph, "out");
    assay_graph_replace_uses(graph, twice, x);
    CHECK_INT(assay_node_graph(graph->nodes[1], "then_branch")->values[0].outer, x);
    assay_graph_sweep(graph);
    CHECK_INT(graph->n_nodes, 1);
    int other = testing_node(graph, "Neg", NUMBERS(x), "other");
    assay_graph_replace_uses(graph, out, other);
    CHECK_INT(graph->outputs[0], other);
    CHECK_TEXT(graph->values[other].name, "out");
    CHECK_INT(assay_graph_find(graph, "out"), other);
    CHECK_INT(assay_graph_find(graph, "other"), out);
    CHECK(graph->values[other].is_output && !graph->values[out].is_output);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    assay_graph_sweep(graph);
    CHECK_INT(graph->n_nodes, 1);
    CHECK(!graph->first_body);
    CHECK(!graph->values[assay_graph_find(graph, "k")].constant.data);
    assay_graph_close(graph);
}

ASSAY_TEST(a_clone_is_equal_and_lives_by_itself)
{
    struct assay_graph *graph = graph_with_if();
    graph->values[1].dim_names = assay_arena_array(&graph->arena, ASSAY_MAX_RANK, sizeof(char *));
    graph->values[1].dim_names[0] = "batch";
    assay_graph_add_metadata(graph, "author", "somebody");
    assay_graph_add_state(graph, 0, 1);
    struct assay_graph *clone = assay_graph_clone(graph);
    CHECK(clone->values[2].constant.data == graph->values[2].constant.data);
    char a[ASSAY_HASH_TEXT_SIZE], b[ASSAY_HASH_TEXT_SIZE];
    assay_graph_hash(graph, a);
    char *text_a = assay_graph_text(graph);
    assay_graph_close(graph);
    assay_graph_hash(clone, b);
    char *text_b = assay_graph_text(clone);
    CHECK_TEXT(b, a);
    CHECK_TEXT(text_b, text_a);
    CHECK_CONTAINS(text_b, "then_branch:\n");
    CHECK_TEXT(clone->values[1].dim_names[0], "batch");
    CHECK_TEXT(clone->metadata[0].s, "somebody");
    CHECK_INT(clone->n_states, 1);
    free(text_a);
    free(text_b);
    assay_graph_add_metadata(clone, "more", "x");
    assay_node_set_int(clone, clone->nodes[1], "more", 1);
    assay_graph_add_output(clone, 1);
    CHECK_INT(clone->n_outputs, 2);
    assay_graph_close(clone);
}

ASSAY_TEST(a_body_that_no_node_got_goes_with_its_graph)
{
    struct assay_graph *graph = assay_graph_open("g");
    struct assay_graph *body = assay_graph_open_body(graph, "a");
    testing_constant(body, "k", ASSAY_F32, (const double[]){1}, 1);
    assay_graph_open_body(body, "b");
    assay_graph_close(assay_graph_open_body(graph, "c"));
    CHECK(graph->first_body == body && !body->next_body);
    assay_graph_close(graph);
    assay_graph_close(NULL);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(names_stay_unique_and_are_found), ASSAY_TEST_ENTRY(an_attribute_is_set_replaced_and_removed),
                ASSAY_TEST_ENTRY(a_shuffled_graph_is_sorted_and_keeps_its_hash),
                ASSAY_TEST_ENTRY(a_graph_in_order_stays_as_it_is), ASSAY_TEST_ENTRY(a_cycle_is_reported_wherever_it_is),
                ASSAY_TEST_ENTRY(a_value_made_twice_or_by_nobody_is_named),
                ASSAY_TEST_ENTRY(a_chain_of_100000_nodes_needs_no_deep_stack),
                ASSAY_TEST_ENTRY(what_a_body_captures_comes_before_its_node),
                ASSAY_TEST_ENTRY(a_node_whose_body_captures_its_own_result_is_a_cycle),
                ASSAY_TEST_ENTRY(a_cycle_in_a_body_is_reported_with_its_node),
                ASSAY_TEST_ENTRY(replacing_a_value_reaches_nodes_bodies_and_outputs),
                ASSAY_TEST_ENTRY(a_clone_is_equal_and_lives_by_itself),
                ASSAY_TEST_ENTRY(a_body_that_no_node_got_goes_with_its_graph))
