/* SPDX-License-Identifier: Apache-2.0 */
/* What works on codes of 8 bits. Oracle: the same nodes between DequantizeLinear and QuantizeLinear; results must be equal. */
#include "graph/passes/testing.h"

static int zero_of(struct assay_graph *g, double number)
{
    struct assay_type type = assay_type_make(ASSAY_U8, 0, NULL);
    struct assay_tensor tensor;
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    assay_tensor_set_real(&tensor, 0, number);
    int value = assay_graph_add_constant(g, "zero", &tensor);
    assay_tensor_release(&tensor);
    return value;
}

static int quantize(struct assay_graph *g, int x, double scale, double zero)
{
    return testing_node(g, "QuantizeLinear", NUMBERS(x, testing_number(g, scale), zero_of(g, zero)), "codes");
}

/* Codes and back. */
static int coded(struct assay_graph *g, int x, double scale, double zero)
{
    int codes = quantize(g, x, scale, zero);
    return testing_node(g, "DequantizeLinear", NUMBERS(codes, testing_number(g, scale), zero_of(g, zero)), "numbers");
}

ASSAY_TEST(what_moves_and_chooses_works_on_codes)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = coded(g, testing_input(g, "x", ASSAY_F32, DIMS(1, 2, 4, 4)), 0.01, 128);
    x = coded(g, testing_transpose(g, x, 4, (const int64_t[]){0, 1, 3, 2}), 0.01, 128);
    x = testing_node(g, "MaxPool", NUMBERS(x), "max");
    assay_node_set_ints(g, testing_last(g), "kernel_shape", (const int64_t[]){2, 2}, 2);
    x = coded(g, x, 0.01, 128);
    assay_graph_add_output(g, coded(g, testing_reshape(g, x, 2, (const int64_t[]){1, 18}), 0.01, 128));
    testing_pass(g, "quantize", false);
    CHECK_INT(testing_count(g, "", "QuantizeLinear"), 1);
    CHECK_INT(testing_count(g, "", "DequantizeLinear"), 1);
    assay_graph_close(g);
}

ASSAY_TEST(other_scales_are_kept_apart)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = coded(g, testing_input(g, "x", ASSAY_F32, DIMS(2, 6)), 0.01, 128);
    assay_graph_add_output(g, coded(g, testing_reshape(g, x, 2, (const int64_t[]){3, 4}), 0.02, 128));
    testing_pass(g, "quantize", false);
    CHECK_INT(testing_count(g, "", "QuantizeLinear"), 2);
    assay_graph_close(g);
}

ASSAY_TEST(concatenation_brings_codes_to_one_scale)
{
    struct assay_graph *g = assay_graph_open("g");
    int a = coded(g, testing_input(g, "a", ASSAY_F32, DIMS(2, 3)), 0.01, 128);
    int b = coded(g, testing_input(g, "b", ASSAY_F32, DIMS(2, 5)), 0.004, 100);
    int y = testing_node(g, "Concat", NUMBERS(a, b), "both");
    assay_node_set_int(g, testing_last(g), "axis", 1);
    assay_graph_add_output(g, coded(g, y, 0.01, 128));
    testing_pass(g, "quantize", false);
    CHECK_INT(testing_count(g, "", "DequantizeLinear"), 2); /* b's, and the output's */
    CHECK_INT((int)g->values[g->nodes[g->n_nodes - 2]->outputs[0]].type.dtype, ASSAY_U8);
    assay_graph_close(g);
}

ASSAY_TEST(products_of_what_varies_read_numbers_that_were_moved)
{
    struct assay_graph *g = assay_graph_open("g");
    int a = coded(g, testing_input(g, "a", ASSAY_F32, DIMS(3, 4)), 0.01, 128);
    int b = coded(g, testing_input(g, "b", ASSAY_F32, DIMS(3, 4)), 0.01, 128);
    b = coded(g, testing_transpose(g, b, 2, (const int64_t[]){1, 0}), 0.01, 128);
    assay_graph_add_output(g, testing_node(g, "MatMul", NUMBERS(a, b), "y"));
    testing_pass(g, "quantize", false);
    CHECK_INT(testing_count(g, "", "QuantizeLinear"), 2);
    for (int i = 0; i < g->n_nodes; i++)
        if (strcmp(g->nodes[i]->type, "Transpose") == 0)
            CHECK_INT((int)g->values[g->nodes[i]->inputs[0]].type.dtype, ASSAY_F32);
    assay_graph_close(g);
}

ASSAY_TEST(elementwise_ops_between_codes_become_one_node)
{
    for (int open = 0; open < 2; open++) {
        struct assay_graph *g = assay_graph_open("g");
        int a = coded(g, testing_input(g, "a", ASSAY_F32, DIMS(2, 3, 4)), 0.01, 128);
        int b = coded(g, testing_input(g, "b", ASSAY_F32, DIMS(2, 3, 4)), 0.004, 100);
        int sum = testing_node(g, "Relu", NUMBERS(testing_node(g, "Add", NUMBERS(a, b), "sum")), "relu");
        assay_graph_add_output(g, quantize(g, sum, 0.005, 0));
        assay_graph_add_output(g, testing_node(g, "Softmax", NUMBERS(a), "other")); /* reads the numbers too */
        testing_pass(g, "elementwise", open);
        CHECK_INT(testing_count(g, "assay", "Fused"), 1);
        CHECK_INT(testing_count(g, "", "QuantizeLinear"), 1);
        CHECK_INT(testing_count(g, "", "DequantizeLinear"), 1);
        CHECK_INT(testing_count(g, "", "Add"), 0);
        assay_graph_close(g);
    }
}

/* Codes of a negative scale end where numbers begin. */
ASSAY_TEST(a_relu_stays_before_a_negative_scale)
{
    for (int negative = 0; negative < 2; negative++) {
        struct assay_graph *g = assay_graph_open("g");
        struct assay_type type = assay_type_make(ASSAY_I8, 2, (const int64_t[]){6, 4});
        struct assay_tensor codes = testing_noise(&type, 3);
        int w = assay_graph_add_constant(g, "w", &codes);
        assay_tensor_release(&codes);
        int x = coded(g, testing_input(g, "x", ASSAY_F32, DIMS(2, 6)), 0.01, 128);
        w = testing_node(g, "DequantizeLinear", NUMBERS(w, testing_number(g, 0.5)), "weight");
        x = testing_node(g, "Relu", NUMBERS(testing_node(g, "MatMul", NUMBERS(x, w), "product")), "relu");
        assay_graph_add_output(g, quantize(g, x, negative ? -0.01 : 0.01, 0));
        testing_pass(g, "quantize", false);
        CHECK_INT(testing_count(g, "", "Relu"), negative);
        assay_graph_close(g);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_relu_stays_before_a_negative_scale), ASSAY_TEST_ENTRY(what_moves_and_chooses_works_on_codes),
                ASSAY_TEST_ENTRY(other_scales_are_kept_apart), ASSAY_TEST_ENTRY(concatenation_brings_codes_to_one_scale),
                ASSAY_TEST_ENTRY(products_of_what_varies_read_numbers_that_were_moved),
                ASSAY_TEST_ENTRY(elementwise_ops_between_codes_become_one_node))
