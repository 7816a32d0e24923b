/* SPDX-License-Identifier: Apache-2.0 */
/* Binding symbolic dimensions and inferring types. */
#include "graph/testing.h"

/* input x: f32[batch, 3, ?], with batch twice: y: f32[batch]. */
static struct assay_graph *graph_with_symbols(void)
{
    struct assay_graph *graph = assay_graph_open("g");
    int x = testing_input(graph, "x", ASSAY_F32, 3, (const int64_t[]){-1, 3, -1});
    int y = testing_input(graph, "y", ASSAY_F32, 1, (const int64_t[]){-1});
    for (int v = x; v <= y; v++) {
        graph->values[v].dim_names = assay_arena_array(&graph->arena, ASSAY_MAX_RANK, sizeof(char *));
        graph->values[v].dim_names[0] = "batch";
    }
    assay_graph_add_output(graph, testing_node(graph, "Identity", NUMBERS(x), "z"));
    return graph;
}

static void check_type(const struct assay_graph *graph, const char *value, const char *wanted)
{
    char text[128];
    int number = assay_graph_find(graph, value);
    CHECK(number >= 0);
    CHECK_TEXT(assay_type_text(&graph->values[number].type, text, sizeof text), wanted);
}

static enum assay_status bind(struct assay_graph *graph, const char *name, int64_t value, struct assay_error *err)
{
    return assay_graph_bind(graph, &(struct assay_binding){.name = name, .value = value}, 1, err);
}

ASSAY_TEST(a_symbol_binds_everywhere_and_a_place_where_it_is)
{
    struct assay_error err;
    struct assay_graph *graph = graph_with_symbols();
    CHECK_OK(assay_graph_infer(graph, &err), err);
    check_type(graph, "z", "f32[?,3,?]");
    CHECK_OK(bind(graph, "batch", 8, &err), err);
    CHECK_OK(bind(graph, "x:2", 5, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    check_type(graph, "x", "f32[8,3,5]");
    check_type(graph, "y", "f32[8]");
    check_type(graph, "z", "f32[8,3,5]");
    CHECK_OK(bind(graph, "y:0", 2, &err), err);
    CHECK_OK(bind(graph, "x:2", 6, &err), err);
    check_type(graph, "z", "?[...]");
    CHECK_OK(assay_graph_infer(graph, &err), err);
    check_type(graph, "z", "f32[2,3,6]");
    assay_graph_close(graph);
}

ASSAY_TEST(the_hash_does_not_see_what_is_bound_or_inferred)
{
    struct assay_error err;
    char before[ASSAY_HASH_TEXT_SIZE], after[ASSAY_HASH_TEXT_SIZE];
    struct assay_graph *graph = graph_with_symbols();
    assay_graph_hash(graph, before);
    CHECK_OK(bind(graph, "batch", 8, &err), err);
    CHECK_OK(bind(graph, "x:2", 5, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    assay_graph_hash(graph, after);
    CHECK_TEXT(after, before);
    assay_graph_close(graph);
}

ASSAY_TEST(a_wrong_binding_says_what_there_is)
{
    struct assay_error err;
    struct assay_graph *graph = graph_with_symbols();
    static const char *const wrong[] = {"size", "x:3", "x:-1", "x:", ":0", "w:0", "x:99999999999", "", "x:2x"};
    for (size_t i = 0; i < ASSAY_COUNT(wrong); i++) {
        CHECK_INT(bind(graph, wrong[i], 1, &err), ASSAY_INVALID);
        CHECK_CONTAINS(err.message, "batch, x:2, batch");
    }
    CHECK_INT(bind(graph, "batch", -2, &err), ASSAY_INVALID);
    CHECK_INT(bind(graph, "x:1", 4, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "fixed to 3");
    CHECK_OK(bind(graph, "x:1", 3, &err), err);
    assay_graph_close(graph);
}

/* y = Reshape(x, Concat(Gather(Shape(x), [0]), [-1])) */
static struct assay_graph *graph_with_shape_chain(int64_t batch)
{
    struct assay_graph *graph = assay_graph_open("g");
    int x = testing_input(graph, "x", ASSAY_F32, 3, (const int64_t[]){batch, 3, 4});
    int zero = testing_constant(graph, "zero", ASSAY_I64, (const double[]){0}, 1);
    int minus = testing_constant(graph, "minus", ASSAY_I64, (const double[]){-1}, 1);
    int shape = testing_node(graph, "Shape", NUMBERS(x), "shape");
    int first = testing_node(graph, "Gather", NUMBERS(shape, zero), "first");
    int wanted = testing_node(graph, "Concat", NUMBERS(first, minus), "wanted");
    assay_node_set_int(graph, testing_last(graph), "axis", 0);
    assay_graph_add_output(graph, testing_node(graph, "Reshape", NUMBERS(x, wanted), "y"));
    return graph;
}

ASSAY_TEST(contents_that_follow_from_shapes_resolve_a_reshape)
{
    struct assay_error err;
    struct assay_graph *graph = graph_with_shape_chain(7);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    const struct assay_value *wanted = &graph->values[assay_graph_find(graph, "wanted")];
    CHECK(wanted->is_inferred);
    CHECK_INT(assay_tensor_int(&wanted->constant, 0), 7);
    check_type(graph, "y", "f32[7,12]");
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    CHECK_INT(graph->n_nodes, 4);
    assay_graph_close(graph);
    graph = graph_with_shape_chain(-1);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    CHECK(!graph->values[assay_graph_find(graph, "wanted")].constant.data);
    check_type(graph, "shape", "i64[3]");
    check_type(graph, "y", "f32[?,?]");
    CHECK_OK(bind(graph, "x:0", 5, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    check_type(graph, "y", "f32[5,12]");
    assay_graph_close(graph);
}

ASSAY_TEST(a_contradiction_names_the_node)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("g");
    int x = testing_input(graph, "x", ASSAY_F32, 1, (const int64_t[]){3});
    int y = testing_input(graph, "y", ASSAY_F32, 1, (const int64_t[]){4});
    assay_graph_add_output(graph, testing_node(graph, "Add", NUMBERS(x, y), "z"));
    testing_last(graph)->name = "sum";
    CHECK_INT(assay_graph_infer(graph, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "Add 'sum'");
    assay_graph_close(graph);
}

ASSAY_TEST(an_op_that_we_do_not_have_keeps_what_the_file_declares)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("g");
    int x = testing_input(graph, "x", ASSAY_F32, 1, (const int64_t[]){-1});
    struct assay_type declared = assay_type_make(ASSAY_F16, 2, (const int64_t[]){2, 3});
    int y = assay_graph_add_value(graph, "y", &declared);
    assay_graph_add_node(graph, "Mystery", "com.example", 1, &x, 1, &y);
    assay_graph_add_output(graph, testing_node(graph, "Identity", NUMBERS(y), "z"));
    CHECK_OK(bind(graph, "x:0", 4, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    check_type(graph, "z", "f16[2,3]");
    assay_graph_close(graph);
}

ASSAY_TEST(a_body_is_inferred_with_the_types_that_it_is_given)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("g"), *body = assay_graph_open_body(graph, "body");
    int x = testing_input(graph, "x", ASSAY_F32, 1, (const int64_t[]){3});
    int a = testing_input(body, "a", ASSAY_F32, 0, NULL);
    assay_graph_add_output(body, testing_node(body, "Add", NUMBERS(a, assay_graph_capture(body, x)), "sum"));
    assay_graph_add_output(body, testing_node(body, "Shape", NUMBERS(a), "shape"));
    struct assay_type inputs[] = {assay_type_make(ASSAY_F32, 2, (const int64_t[]){5, 1})}, outputs[2];
    char text[64];
    for (int64_t n = 5; n >= -1; n -= 6) {
        inputs[0].dims[0] = n;
        CHECK_OK(assay_graph_infer_body(body, 1, inputs, NULL, 2, outputs, &err), err);
        CHECK_TEXT(assay_type_text(&outputs[0], text, sizeof text), n < 0 ? "f32[?,3]" : "f32[5,3]");
        CHECK(!body->values[body->outputs[1]].constant.data == (n < 0));
    }
    CHECK_INT(assay_graph_infer_body(body, 2, inputs, NULL, 2, outputs, &err), ASSAY_INVALID);
    CHECK_INT(assay_graph_infer_body(body, 1, inputs, NULL, 1, outputs, &err), ASSAY_INVALID);
    for (int i = 0; i < 8; i++)
        body = assay_graph_open_body(body, "deeper");
    CHECK_INT(assay_graph_infer_body(body, 0, NULL, NULL, 0, NULL, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "nested");
    assay_graph_close(graph);
}

/* Their elements have no addresses to copy them by. */
ASSAY_TEST(weights_of_4_bits_are_no_outputs)
{
    struct assay_graph *graph = assay_graph_open("g");
    struct assay_error err;
    struct assay_type type = assay_type_make(ASSAY_I4, 1, (const int64_t[]){3});
    struct assay_tensor codes;
    CHECK_INT(assay_tensor_alloc(&codes, &type, NULL), ASSAY_OK);
    memset(codes.data, 0, (size_t)assay_tensor_bytes(&codes));
    int value = assay_graph_add_constant(graph, "codes", &codes);
    assay_tensor_release(&codes);
    assay_graph_add_output(graph, testing_node(graph, "Abs", NUMBERS(testing_input(graph, "x", ASSAY_F32, 0, NULL)), "y"));
    CHECK_OK(assay_graph_infer(graph, &err), err);
    assay_graph_add_output(graph, value);
    CHECK_INT(assay_graph_infer(graph, &err), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(err.message, "'codes' has elements of 4 bits");
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(weights_of_4_bits_are_no_outputs),
                ASSAY_TEST_ENTRY(a_symbol_binds_everywhere_and_a_place_where_it_is),
                ASSAY_TEST_ENTRY(the_hash_does_not_see_what_is_bound_or_inferred),
                ASSAY_TEST_ENTRY(a_wrong_binding_says_what_there_is),
                ASSAY_TEST_ENTRY(contents_that_follow_from_shapes_resolve_a_reshape),
                ASSAY_TEST_ENTRY(a_contradiction_names_the_node),
                ASSAY_TEST_ENTRY(an_op_that_we_do_not_have_keeps_what_the_file_declares),
                ASSAY_TEST_ENTRY(a_body_is_inferred_with_the_types_that_it_is_given))
