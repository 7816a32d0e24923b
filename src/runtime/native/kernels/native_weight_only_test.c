/* SPDX-License-Identifier: Apache-2.0 */
/* Against the reference runtime, on the tier that is asked for. */
#include "graph/infer.h"
#include "runtime/native/testing.h"

#include <math.h>

/* The kernel rounds each group of x to 16 bits: at most 1.6e-5 of its largest, and errors of a sum's terms cancel. */
static const double tolerance = 5e-5;

struct shape {
    int64_t m, k, n, block;
    enum assay_dtype dtype;
    bool transposed, narrow; /* scales that hold in bf16 */
    bool is_bare;            /* no bias, no activation */
};

static struct assay_graph *product(const struct shape *s)
{
    struct assay_graph *graph = assay_graph_open("product");
    int64_t blocks = (s->k + s->block - 1) / s->block;
    int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){s->m, s->k});
    int codes = testing_random_constant(graph, "codes", s->dtype, 2,
                                        (const int64_t[]){s->transposed ? s->n : s->k, s->transposed ? s->k : s->n});
    int scales = testing_random_constant(graph, "scales", ASSAY_F32, 2,
                                         (const int64_t[]){s->transposed ? s->n : blocks, s->transposed ? blocks : s->n});
    float *scale = graph->values[scales].constant.data;
    for (int64_t i = 0; s->narrow && i < blocks * s->n; i++)
        scale[i] = assay_bf16_to_f32(assay_f32_to_bf16(scale[i]));
    int w = testing_node(graph, "DequantizeLinear", NUMBERS(codes, scales), "w");
    assay_node_set_int(graph, testing_last(graph), "axis", s->transposed);
    assay_node_set_int(graph, testing_last(graph), "block_size", s->block);
    int y = testing_node(graph, s->transposed ? "Gemm" : "MatMul", NUMBERS(x, w), "y");
    if (s->transposed)
        assay_node_set_int(graph, testing_last(graph), "transB", 1);
    if (s->is_bare) {
        assay_graph_add_output(graph, y);
        return graph;
    }
    int bias = testing_random_constant(graph, "bias", ASSAY_F32, 1, &s->n);
    y = testing_node(graph, "Add", NUMBERS(y, bias), "b");
    assay_graph_add_output(graph, testing_node(graph, "Relu", 1, &y, "r"));
    return graph;
}

ASSAY_TEST(products_equal_the_reference_for_any_rows_codes_and_scales)
{
    static const struct shape shapes[] = {
        {1, 64, 64, 32, ASSAY_I8, false, true},    {1, 2048, 320, 32, ASSAY_I4, false, true},
        {3, 96, 200, 32, ASSAY_I8, true, true},    {7, 128, 100, 32, ASSAY_I4, true, true},
        {33, 64, 65, 32, ASSAY_U8, false, false},  {70, 160, 130, 32, ASSAY_U4, true, false},
        {130, 256, 192, 64, ASSAY_I8, true, true}, {5, 256, 1, 128, ASSAY_I4, false, false},
        {2, 100, 64, 32, ASSAY_I8, false, true},   {2, 96, 64, 24, ASSAY_I4, false, true}, /* not for the kernel */
    };
    for (size_t i = 0; i < ASSAY_COUNT(shapes); i++)
        testing_equals_reference(product(&shapes[i]), tolerance);
}

static void take(const float *x, int64_t k, struct assay_tensor *y)
{
    struct assay_graph *graph = product(&(struct shape){1, k, 64, 32, ASSAY_I8, false, true, true});
    const struct assay_runtime *native;
    struct assay_error err;
    struct assay_tensor input, borrowed;
    assay_tensor_borrow(&input, &graph->values[graph->inputs[0]].type, x);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    struct assay_program *program = testing_start("cpu/native", graph, 1, &input, &native);
    CHECK_OK(native->output(program, 0, &borrowed, &err), err);
    CHECK_OK(assay_tensor_copy(y, &borrowed, &err), err);
    native->release(program);
    assay_graph_close(graph);
}

/* What is not finite in a row may not turn into a number: codes have none for it. */
ASSAY_TEST(what_is_not_finite_stays_so)
{
    float x[64] = {1, -2, 3};
    struct assay_tensor y;
    x[40] = INFINITY;
    take(x, 64, &y);
    for (int i = 0; i < 64; i++)
        CHECK(!isfinite(((const float *)y.data)[i]));
    assay_tensor_release(&y);
}

/* Blocks of 96 and of 128 have as many scales here: one weight, packed for each. */
ASSAY_TEST(a_weight_that_is_shared_is_packed_for_each_block_size)
{
    struct assay_graph *graph = assay_graph_open("shared");
    int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){3, 160});
    int codes = testing_random_constant(graph, "codes", ASSAY_I8, 2, (const int64_t[]){160, 64});
    int scales = testing_random_constant(graph, "scales", ASSAY_F32, 2, (const int64_t[]){2, 64});
    for (int block = 96; block <= 128; block += 32) {
        int w = testing_node(graph, "DequantizeLinear", NUMBERS(codes, scales), "w");
        assay_node_set_int(graph, testing_last(graph), "axis", 0);
        assay_node_set_int(graph, testing_last(graph), "block_size", block);
        assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(x, w), "y"));
    }
    testing_equals_reference(graph, tolerance);
}

/* What a file says of its blocks is not believed. */
ASSAY_TEST(scales_of_another_shape_are_refused)
{
    static const int64_t shapes[][2] = {{1, 1}, {1, 64}, {64, 4}, {4, 63}, {5, 64}, {0, 64}};
    for (size_t i = 0; i < ASSAY_COUNT(shapes); i++) {
        struct assay_error err;
        struct assay_graph *graph = assay_graph_open("lie");
        int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){1, 128});
        int codes = testing_random_constant(graph, "codes", ASSAY_I4, 2, (const int64_t[]){128, 64});
        int w = testing_node(graph, "DequantizeLinear",
                             NUMBERS(codes, testing_random_constant(graph, "scales", ASSAY_F32, 2, shapes[i])), "w");
        assay_node_set_int(graph, testing_last(graph), "axis", 0);
        assay_node_set_int(graph, testing_last(graph), "block_size", 32);
        assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(x, w), "y"));
        CHECK_OK(assay_graph_sort(graph, &err), err);
        CHECK_INT(assay_graph_infer(graph, &err), ASSAY_INVALID);
        CHECK_CONTAINS(err.message, "blocks of 32");
        assay_graph_close(graph);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_weight_that_is_shared_is_packed_for_each_block_size),
                ASSAY_TEST_ENTRY(scales_of_another_shape_are_refused),
                ASSAY_TEST_ENTRY(products_equal_the_reference_for_any_rows_codes_and_scales),
                ASSAY_TEST_ENTRY(what_is_not_finite_stays_so))
