/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Static quantization. Oracles: the model of f32 (what 8 bits cost on such small nets is below 2 % of the largest output), and
 * numbers worked out by hand.
 */
#include "graph/passes/testing.h"
#include "quant/static.h"

/* Quantized on the noise that it is then run on; the largest error of output 0 over its largest magnitude. */
static double quantize(struct assay_graph *g)
{
    struct assay_error err;
    struct assay_quant_static quant;
    struct assay_tensor inputs[4], before[TESTING_OUTPUTS], after[TESTING_OUTPUTS];
    for (int i = 0; i < g->n_inputs; i++)
        inputs[i] = testing_noise(&g->values[g->inputs[i]].type, 100 + (uint64_t)i);
    CHECK_OK(assay_graph_sort(g, &err), err);
    CHECK_OK(testing_run(g, inputs, before, &err), err);
    CHECK_OK(assay_quant_static_open(&quant, g, &err), err);
    CHECK_OK(assay_quant_static_calibrate(&quant, inputs, &err), err);
    CHECK_OK(assay_quant_static_finish(&quant, &err), err);
    assay_quant_static_close(&quant);
    CHECK_OK(assay_graph_infer(g, &err), err);
    CHECK_OK(assay_graph_check(g, &err), err);
    CHECK_OK(testing_run(g, inputs, after, &err), err);
    double error = assay_tensor_compare(&after[0], &before[0], 0, 0).max_rel;
    for (int i = 0; i < g->n_inputs; i++)
        assay_tensor_release(&inputs[i]);
    for (int i = 0; i < g->n_outputs; i++) {
        assay_tensor_release(&before[i]);
        assay_tensor_release(&after[i]);
    }
    return error;
}

static int conv(struct assay_graph *g, int x, int64_t n_in, int64_t n_out)
{
    int in[] = {x, testing_weight(g, "w", DIMS(n_out, n_in, 3, 3), 0.3, 0), testing_weight(g, "b", DIMS(n_out), 0.1, 0)};
    int y = testing_node(g, "Conv", 3, in, "conv");
    assay_node_set_ints(g, testing_last(g), "pads", (const int64_t[]){1, 1, 1, 1}, 4);
    return y;
}

ASSAY_TEST(a_convolutional_net_keeps_its_answers)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 3, 8, 8));
    int a = testing_node(g, "Relu", NUMBERS(conv(g, x, 3, 6)), "relu");
    int sum = testing_node(g, "Add", NUMBERS(conv(g, a, 6, 6), a), "sum");
    int pooled = testing_node(g, "GlobalAveragePool", NUMBERS(testing_node(g, "Relu", NUMBERS(sum), "relu")), "pool");
    int flat = testing_node(g, "Flatten", NUMBERS(pooled), "flat");
    int in[] = {flat, testing_weight(g, "head", DIMS(6, 5), 1, 0), testing_weight(g, "bias", DIMS(5), 0.1, 0)};
    assay_graph_add_output(g, testing_node(g, "Gemm", 3, in, "y"));
    CHECK(quantize(g) < 0.02);
    CHECK_INT(testing_count(g, "", "Relu"), 0); /* saturating does the same */
    /* x, the first relu, the second convolution, the second relu, the pool, flat, y */
    CHECK_INT(testing_count(g, "", "QuantizeLinear"), 7);
    CHECK_INT(testing_count(g, "", "DequantizeLinear"), 7 + 3 * 2); /* and weights and biases */
    CHECK_TEXT(g->values[g->outputs[0]].name, "y");
    assay_graph_close(g);
}

ASSAY_TEST(a_product_takes_its_bias_and_masks_stay_exact)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(1, 4, 8)), mask = testing_input(g, "mask", ASSAY_F32, DIMS(1, 1, 4));
    int q = testing_node(g, "MatMul", NUMBERS(x, testing_weight(g, "w", DIMS(8, 8), 1, 0)), "product");
    q = testing_node(g, "Add", NUMBERS(q, testing_weight(g, "b", DIMS(8), 1, 0)), "biased");
    int scores = testing_node(g, "MatMul", NUMBERS(q, testing_transpose(g, q, 3, (const int64_t[]){0, 2, 1})), "scores");
    assay_graph_add_output(g, testing_node(g, "Add", NUMBERS(scores, mask), "y"));
    CHECK(quantize(g) < 0.02);
    CHECK_INT(testing_count(g, "", "QuantizeLinear"), 3); /* x, the biased product, and it turned */
    CHECK_INT(testing_count(g, "", "Transpose"), 1);
    assay_graph_close(g);
}

ASSAY_TEST(batch_norm_goes_into_weights)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(1, 2, 6, 6)), y = conv(g, x, 2, 3);
    int in[] = {y, testing_weight(g, "scale", DIMS(3), 0.2, 1), testing_weight(g, "shift", DIMS(3), 0.2, 0),
                testing_weight(g, "mean", DIMS(3), 0.2, 0), testing_weight(g, "variance", DIMS(3), 0.1, 1)};
    assay_graph_add_output(g, testing_node(g, "BatchNormalization", 5, in, "y"));
    CHECK(quantize(g) < 0.02);
    CHECK_INT(testing_count(g, "", "BatchNormalization"), 0);
    assay_graph_close(g);
}

ASSAY_TEST(ranges_make_scales_and_zero_points)
{
    struct assay_error err;
    struct assay_quant_static quant;
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(1, 2));
    struct assay_type type = assay_type_make(ASSAY_F32, DIMS(2, 1));
    struct assay_tensor w, input;
    CHECK_OK(assay_tensor_alloc(&w, &type, &err), err);
    assay_tensor_set_real(&w, 0, 1.27);
    assay_tensor_set_real(&w, 1, -0.5);
    int weight = assay_graph_add_constant(g, "w", &w);
    assay_graph_add_output(g, testing_node(g, "MatMul", NUMBERS(x, weight), "y"));
    CHECK_OK(assay_quant_static_open(&quant, g, &err), err);
    CHECK_INT(assay_quant_static_finish(&quant, &err), ASSAY_INVALID); /* no sample yet */
    CHECK_OK(assay_tensor_alloc(&input, &g->values[x].type, &err), err);
    assay_tensor_set_real(&input, 0, -0.51);
    assay_tensor_set_real(&input, 1, 0.25);
    CHECK_OK(assay_quant_static_calibrate(&quant, &input, &err), err);
    assay_tensor_set_real(&input, 0, 2.04);
    CHECK_OK(assay_quant_static_calibrate(&quant, &input, &err), err);
    CHECK_OK(assay_quant_static_finish(&quant, &err), err);
    assay_quant_static_close(&quant);
    int scale = assay_graph_find(g, "x_scale"), zero = assay_graph_find(g, "x_zero_point"),
        codes = assay_graph_find(g, "w_codes");
    CHECK(scale >= 0 && zero >= 0 && codes >= 0);
    CHECK_NEAR(assay_tensor_real(&g->values[scale].constant, 0), 0.01, 1e-8); /* (2.04 + 0.51) / 255 */
    CHECK_INT(assay_tensor_int(&g->values[zero].constant, 0), 51);
    CHECK_INT(assay_tensor_int(&g->values[codes].constant, 0), 127);
    CHECK_INT(assay_tensor_int(&g->values[codes].constant, 1), -50);
    assay_tensor_release(&w);
    assay_tensor_release(&input);
    assay_graph_close(g);
}

ASSAY_TEST(what_is_quantized_already_or_has_no_product_is_refused)
{
    struct assay_error err;
    struct assay_quant_static quant;
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(1, 2));
    assay_graph_add_output(g, testing_node(g, "Exp", NUMBERS(x), "y"));
    CHECK_INT(assay_quant_static_open(&quant, g, &err), ASSAY_UNSUPPORTED);
    int scale = testing_number(g, 0.1);
    assay_graph_add_output(g, testing_node(g, "QuantizeLinear", NUMBERS(x, scale), "q"));
    CHECK_INT(assay_quant_static_open(&quant, g, &err), ASSAY_UNSUPPORTED);
    CHECK(strstr(err.message, "already"));
    assay_graph_close(g);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_convolutional_net_keeps_its_answers),
                ASSAY_TEST_ENTRY(a_product_takes_its_bias_and_masks_stay_exact), ASSAY_TEST_ENTRY(batch_norm_goes_into_weights),
                ASSAY_TEST_ENTRY(ranges_make_scales_and_zero_points),
                ASSAY_TEST_ENTRY(what_is_quantized_already_or_has_no_product_is_refused))
