/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What training runs on, against the reference kernels, which sum in double: products of two sides that change, gradients of
 * rows, channels and convolutions, losses, updates in place. Sums of some hundred terms in f32 keep five to six digits.
 */
#include "runtime/native/testing.h"

#include <math.h>

#define TOLERANCE 1e-5

static int own(struct assay_graph *graph, const char *type, int n_inputs, const int *inputs, int n_outputs)
{
    int outputs[4];
    for (int i = 0; i < n_outputs; i++)
        outputs[i] = assay_graph_add_value(graph, "y", NULL);
    assay_graph_add_node(graph, type, "assay", n_inputs, inputs, n_outputs, outputs);
    for (int i = 0; i < n_outputs; i++)
        assay_graph_add_output(graph, outputs[i]);
    return outputs[0];
}

static void set_ints(struct assay_graph *graph, const char *name, size_t n, const int64_t *values)
{
    assay_node_set_ints(graph, testing_last(graph), name, values, n);
}
#define SET_INTS(graph, name, ...)                                                                                               \
    set_ints(graph, name, ASSAY_COUNT(((const int64_t[]){__VA_ARGS__})), (const int64_t[]){__VA_ARGS__})
#define DIMS(...)                                                                                                                \
    (int)ASSAY_COUNT(((const int64_t[]){__VA_ARGS__})), (const int64_t[]) { __VA_ARGS__ }

/* Of sides that are transposed where `a` and `b`, and whose product is where `y`. */
static void add_product(struct assay_graph *graph, const int *in, bool a, bool b, bool y)
{
    own(graph, "MatMul", 2, in, 1);
    if (a)
        SET_INTS(graph, "perm_a", 0, 2, 3, 1);
    if (b)
        SET_INTS(graph, "perm_b", 0, 1, 3, 2);
    if (y && a)
        SET_INTS(graph, "perm_y", 0, 3, 1, 2);
    else if (y)
        SET_INTS(graph, "perm_y", 0, 2, 1, 3);
    assay_node_set_float(graph, testing_last(graph), "alpha", 0.125f);
}

ASSAY_TEST(products_read_and_write_transposed)
{
    for (int which = 0; which < 8; which++) {
        struct assay_graph *graph = assay_graph_open("product");
        bool a = which & 1, b = which & 2, y = which & 4;
        int in[] = {testing_input(graph, "a", ASSAY_F32, DIMS(2, a ? 33 : 3, a ? 3 : 50, a ? 50 : 33)),
                    testing_input(graph, "b", ASSAY_F32, DIMS(2, 3, b ? 65 : 33, b ? 33 : 65))};
        add_product(graph, in, a, b, y);
        testing_equals_reference(graph, TOLERANCE);
    }
}

/* What bf16 may be off by: operands are the same on both sides, sums f32, and what is rounded at last has 8 bits. */
#define LOW_TOLERANCE 8e-3

ASSAY_TEST(products_of_bf16_read_and_write_transposed)
{
    static const int64_t sizes[][3] = {{50, 33, 65}, {7, 64, 130}, {1, 5, 3}, {1300, 40, 70}, {90, 2100, 20}};
    for (int which = 0; which < 5 * 16; which++) {
        struct assay_graph *graph = assay_graph_open("product");
        bool a = which & 1, b = which & 2, y = which & 4, is_wide = which & 8;
        const int64_t *d = sizes[which / 16];
        int in[] = {testing_input(graph, "a", ASSAY_BF16, DIMS(2, a ? d[1] : 3, a ? 3 : d[0], a ? d[0] : d[1])),
                    testing_input(graph, "b", ASSAY_BF16, DIMS(2, 3, b ? d[2] : d[1], b ? d[1] : d[2]))};
        add_product(graph, in, a, b, y);
        if (is_wide)
            assay_node_set_int(graph, testing_last(graph), "to", ASSAY_F32);
        testing_equals_reference(graph, is_wide ? TOLERANCE : LOW_TOLERANCE);
    }
}

ASSAY_TEST(products_of_bf16_add_a_bias)
{
    struct assay_graph *graph = assay_graph_open("product");
    int in[] = {testing_input(graph, "a", ASSAY_BF16, DIMS(3, 70, 100)), testing_input(graph, "b", ASSAY_BF16, DIMS(400, 100)),
                testing_input(graph, "c", ASSAY_BF16, DIMS(400))};
    own(graph, "MatMul", 3, in, 1);
    SET_INTS(graph, "perm_b", 1, 0);
    testing_equals_reference(graph, LOW_TOLERANCE);
}

ASSAY_TEST(products_of_many_rows_add_a_bias)
{
    struct assay_graph *graph = assay_graph_open("product");
    int in[] = {testing_input(graph, "a", ASSAY_F32, DIMS(3, 70, 100)), testing_input(graph, "b", ASSAY_F32, DIMS(400, 100)),
                testing_input(graph, "c", ASSAY_F32, DIMS(400))};
    own(graph, "MatMul", 3, in, 1);
    SET_INTS(graph, "perm_b", 1, 0);
    testing_equals_reference(graph, TOLERANCE);
    for (int which = 0; which < 4; which++) {
        graph = assay_graph_open("gemm");
        int a = testing_input(graph, "a", ASSAY_F32, DIMS(which & 1 ? 90 : 300, which & 1 ? 300 : 90));
        int b = testing_input(graph, "b", ASSAY_F32, DIMS(which & 2 ? 800 : 90, which & 2 ? 90 : 800));
        assay_graph_add_output(graph, testing_node(graph, "Gemm", 2, (int[]){a, b}, "y"));
        assay_node_set_int(graph, testing_last(graph), "transA", which & 1);
        assay_node_set_int(graph, testing_last(graph), "transB", which >> 1);
        testing_equals_reference(graph, TOLERANCE);
    }
}

ASSAY_TEST(sides_broadcast_over_batches)
{
    static const int64_t left[][4] = {{2, 1, 40, 30}, {1, 3, 1, 30}, {2, 3, 5, 30}};
    for (size_t i = 0; i < ASSAY_COUNT(left); i++) {
        struct assay_graph *graph = assay_graph_open("product");
        int in[] = {testing_input(graph, "a", ASSAY_F32, 4, left[i]), testing_input(graph, "b", ASSAY_F32, DIMS(3, 70, 30))};
        own(graph, "MatMul", 2, in, 1);
        SET_INTS(graph, "perm_b", 0, 2, 1);
        testing_equals_reference(graph, TOLERANCE);
    }
}

ASSAY_TEST(gradients_of_rows_are_right)
{
    static const int64_t dims[][2] = {{3, 7}, {70, 100}, {5, 5000}, {2000, 16}};
    for (size_t i = 0; i < ASSAY_COUNT(dims); i++) {
        for (int which = 0; which < 2; which++) {
            struct assay_graph *graph = assay_graph_open("softmax");
            int x = testing_input(graph, "x", ASSAY_F32, 2, dims[i]), dy = testing_input(graph, "dy", ASSAY_F32, 2, dims[i]);
            int y = testing_node(graph, which ? "LogSoftmax" : "Softmax", 1, &x, "y");
            own(graph, which ? "LogSoftmaxGradient" : "SoftmaxGradient", 2, (int[]){dy, y}, 1);
            testing_equals_reference(graph, TOLERANCE);
        }
        struct assay_graph *graph = assay_graph_open("norm");
        int x = testing_input(graph, "x", ASSAY_F32, 2, dims[i]), dy = testing_input(graph, "dy", ASSAY_F32, 2, dims[i]);
        int scale = testing_input(graph, "scale", ASSAY_F32, 1, &dims[i][1]),
            bias = testing_input(graph, "b", ASSAY_F32, 1, &dims[i][1]);
        int made[3];
        for (int k = 0; k < 3; k++)
            made[k] = assay_graph_add_value(graph, "made", NULL);
        assay_graph_add_node(graph, "LayerNormalization", "", 3, (int[]){x, scale, bias}, 3, made);
        for (int k = 0; k < 3; k++)
            assay_graph_add_output(graph, made[k]);
        own(graph, "LayerNormalizationGradient", 5, (int[]){dy, x, scale, made[1], made[2]}, 3);
        own(graph, "RMSNormalizationGradient", 3, (int[]){dy, x, scale}, 2);
        testing_equals_reference(graph, TOLERANCE);
    }
}

ASSAY_TEST(cross_entropy_leaves_out_what_is_ignored)
{
    static const char *const reductions[] = {"mean", "sum", "none"};
    for (size_t i = 0; i < ASSAY_COUNT(reductions); i++)
        for (int ignored = 0; ignored < 2; ignored++) {
            struct assay_graph *graph = assay_graph_open("loss");
            int x = testing_input(graph, "x", ASSAY_F32, DIMS(50, 300)),
                labels = testing_input(graph, "labels", ASSAY_I64, DIMS(50));
            int made[2] = {assay_graph_add_value(graph, "loss", NULL), assay_graph_add_value(graph, "log_prob", NULL)};
            struct assay_node *loss = assay_graph_add_node(graph, "SoftmaxCrossEntropyLoss", "", 2, (int[]){x, labels}, 2, made);
            assay_graph_add_output(graph, made[0]);
            assay_graph_add_output(graph, made[1]);
            own(graph, "SoftmaxCrossEntropyLossGradient", 3, (int[]){made[0], made[1], labels}, 1);
            assay_node_set_string(graph, loss, "reduction", reductions[i]);
            assay_node_set_string(graph, testing_last(graph), "reduction", reductions[i]);
            if (ignored) {
                assay_node_set_int(graph, loss, "ignore_index", 3);
                assay_node_set_int(graph, testing_last(graph), "ignore_index", 3);
            }
            testing_equals_reference(graph, TOLERANCE);
        }
}

ASSAY_TEST(rows_that_were_gathered_twice_are_added)
{
    struct assay_graph *graph = assay_graph_open("gather");
    int dy = testing_input(graph, "dy", ASSAY_F32, DIMS(4, 30, 100)), at = testing_input(graph, "at", ASSAY_I64, DIMS(4, 30));
    own(graph, "GatherGradient", 2, (int[]){dy, at}, 1);
    SET_INTS(graph, "input_shape", 9, 100);
    testing_equals_reference(graph, TOLERANCE);
}

static void check_convolution(int64_t n_in, int64_t n_out, int64_t groups, int64_t kernel, int64_t stride, int64_t pad,
                              int64_t size)
{
    int64_t made = (size + 2 * pad - kernel) / stride + 1;
    for (int which = 0; which < 6; which++) {
        struct assay_graph *graph = assay_graph_open("conv");
        enum assay_dtype dtype = which < 3 ? ASSAY_F32 : ASSAY_BF16;
        int x = testing_input(graph, "x", dtype, DIMS(3, n_in, size, size));
        int w = testing_input(graph, "w", dtype, DIMS(n_out, n_in / groups, kernel, kernel));
        int dy = testing_input(graph, "dy", dtype, DIMS(3, n_out, made, made));
        if (which % 3 == 0)
            assay_graph_add_output(graph, testing_node(graph, "Conv", 2, (int[]){x, w}, "y"));
        else
            own(graph, which % 3 == 1 ? "ConvGradientInput" : "ConvGradientWeight", 2,
                which % 3 == 1 ? (int[]){dy, w} : (int[]){x, dy}, 1);
        if (which % 3 == 1)
            SET_INTS(graph, "input_shape", 3, n_in, size, size);
        if (which % 3 == 2)
            SET_INTS(graph, "kernel_shape", kernel, kernel);
        SET_INTS(graph, "strides", stride, stride);
        SET_INTS(graph, "pads", pad, pad, pad, pad);
        assay_node_set_int(graph, testing_last(graph), "group", groups);
        testing_equals_reference(graph, which < 3 ? TOLERANCE : LOW_TOLERANCE);
    }
}

ASSAY_TEST(convolutions_have_gradients)
{
    check_convolution(3, 16, 1, 7, 2, 3, 20);
    check_convolution(16, 32, 1, 3, 1, 1, 9);
    check_convolution(32, 16, 1, 1, 2, 0, 8);
    check_convolution(16, 16, 16, 3, 1, 1, 10);
    check_convolution(12, 18, 3, 3, 2, 1, 11);
}

ASSAY_TEST(batch_norm_takes_the_statistics_of_its_batch)
{
    static const int64_t dims[][4] = {{2, 5, 3, 4}, {4, 33, 12, 9}, {8, 16, 40, 40}};
    for (size_t i = 0; i < ASSAY_COUNT(dims); i++) {
        struct assay_graph *graph = assay_graph_open("norm");
        int x = testing_input(graph, "x", ASSAY_F32, 4, dims[i]), dy = testing_input(graph, "dy", ASSAY_F32, 4, dims[i]),
            in[5] = {x};
        for (int k = 1; k < 5; k++)
            in[k] = testing_input(graph, "v", ASSAY_F32, 1, &dims[i][1]);
        int made[3];
        for (int k = 0; k < 3; k++)
            made[k] = assay_graph_add_value(graph, "made", NULL);
        struct assay_node *norm = assay_graph_add_node(graph, "BatchNormalization", "", 5, in, 3, made);
        assay_node_set_int(graph, norm, "training_mode", 1);
        for (int k = 0; k < 3; k++)
            assay_graph_add_output(graph, made[k]);
        own(graph, "BatchNormalizationGradient", 3, (int[]){dy, x, in[1]}, 3);
        testing_equals_reference(graph, TOLERANCE);
    }
}

ASSAY_TEST(a_pool_tells_where_its_maxima_are)
{
    for (int which = 0; which < 4; which++) {
        int64_t stride = 1 + which % 2;
        enum assay_dtype dtype = which < 2 ? ASSAY_F32 : ASSAY_BF16;
        struct assay_graph *graph = assay_graph_open("pool");
        int x = testing_input(graph, "x", dtype, DIMS(3, 18, 11, 14)), made[2];
        for (int k = 0; k < 2; k++)
            made[k] = assay_graph_add_value(graph, "made", NULL);
        assay_graph_add_node(graph, "MaxPool", "", 1, &x, 2, made);
        SET_INTS(graph, "kernel_shape", 3, 3);
        SET_INTS(graph, "strides", stride, stride);
        SET_INTS(graph, "pads", 1, 1, 1, 1);
        assay_graph_add_output(graph, made[0]);
        assay_graph_add_output(graph, made[1]);
        own(graph, "MaxPoolGradient", 2, (int[]){made[0], made[1]}, 1);
        SET_INTS(graph, "input_shape", 3, 18, 11, 14);
        testing_equals_reference(graph, which < 2 ? TOLERANCE : LOW_TOLERANCE);
    }
}

/* Three updates, on states that stay where they are; the bytes that the caller bound are not written. */
static void check_update(const char *type, bool has_moment, int n_threads)
{
    struct assay_graph *graph = assay_graph_open("update");
    struct assay_error err;
    const struct assay_runtime *runtimes[2];
    struct assay_program *programs[2];
    struct assay_tensor inputs[8], first;
    bool is_adam = strcmp(type, "Adam") == 0;
    int n = is_adam ? 8 : has_moment ? 5 : 3, in[8], n_outputs = is_adam ? 3 : 1 + has_moment;
    static const int states[] = {0, 4, 5};
    for (int i = 0; i < n; i++) {
        bool is_whole = i < 2 || i == 4 || i == 5;
        in[i] = testing_input(graph, "x", ASSAY_F32, is_whole ? 2 : 0, (const int64_t[]){130, 77});
        inputs[i] = testing_random(&graph->values[in[i]].type, (uint64_t)i);
        for (int64_t k = 0; k < assay_tensor_count(&inputs[i]); k++) /* second moments and corrections are positive */
            assay_tensor_set_real(&inputs[i], k,
                                  i < 2 ? assay_tensor_real(&inputs[i], k) : 0.1 + fabs(assay_tensor_real(&inputs[i], k)));
    }
    own(graph, type, n, in, n_outputs);
    assay_node_set_float(graph, testing_last(graph), "weight_decay", 0.01f);
    assay_node_set_float(graph, testing_last(graph), "momentum", 0.9f);
    assay_node_set_int(graph, testing_last(graph), "nesterov", n_threads == 2);
    assay_node_set_int(graph, testing_last(graph), "decoupled", n_threads == 2);
    for (int i = 0; i < n_outputs; i++)
        assay_graph_add_state(graph, i, states[i]);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_tensor_copy(&first, &inputs[0], &err), err);
    programs[0] = testing_start("cpu/reference", graph, 1, inputs, &runtimes[0]);
    programs[1] = testing_start("cpu/native", graph, n_threads, inputs, &runtimes[1]);
    for (int step = 0; step < 3; step++) {
        for (int i = 0; i < n_outputs; i++) {
            struct assay_tensor wanted, got;
            CHECK_OK(runtimes[0]->output(programs[0], i, &wanted, &err), err);
            CHECK_OK(runtimes[1]->output(programs[1], i, &got, &err), err);
            CHECK(assay_tensor_compare(&got, &wanted, 0, 0).max_rel <= 2e-6);
        }
        for (int r = 0; r < 2; r++)
            CHECK_OK(runtimes[r]->run(programs[r], &err), err);
    }
    CHECK(memcmp(first.data, inputs[0].data, (size_t)assay_tensor_bytes(&first)) == 0);
    for (int r = 0; r < 2; r++)
        runtimes[r]->release(programs[r]);
    for (int i = 0; i < n; i++)
        assay_tensor_release(&inputs[i]);
    assay_tensor_release(&first);
    assay_graph_close(graph);
}

ASSAY_TEST(states_are_updated_in_place)
{
    for (int n_threads = 1; n_threads <= 2; n_threads++) {
        check_update("SGD", false, n_threads);
        check_update("SGD", true, n_threads);
        check_update("Adam", true, n_threads);
    }
}

/* The mask is integer arithmetic: equal, bit by bit. */
ASSAY_TEST(dropout_has_the_mask_of_the_reference)
{
    static const float ratios[] = {0, 0.1f, 0.9f};
    for (int i = 0; i < 6; i++) {
        struct assay_graph *graph = assay_graph_open("dropout");
        int in[] = {testing_input(graph, "x", ASSAY_F32, DIMS(3, 50, i < 3 ? 7 : 2001)),
                    testing_input(graph, "seed", ASSAY_I64, 0, NULL)};
        own(graph, "Dropout", 2, in, 1);
        assay_node_set_float(graph, testing_last(graph), "ratio", ratios[i % 3]);
        assay_node_set_int(graph, testing_last(graph), "stream", i * 1000003 - 5);
        testing_equals_reference(graph, 0);
    }
}

ASSAY_TEST(the_norm_of_gradients_is_over_all)
{
    struct assay_graph *graph = assay_graph_open("norm");
    int in[] = {testing_input(graph, "a", ASSAY_F32, DIMS(300, 400)), testing_input(graph, "b", ASSAY_F32, DIMS(7))};
    own(graph, "SumSquares", 2, in, 1);
    testing_equals_reference(graph, TOLERANCE);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(products_read_and_write_transposed), ASSAY_TEST_ENTRY(products_of_many_rows_add_a_bias),
                ASSAY_TEST_ENTRY(products_of_bf16_read_and_write_transposed), ASSAY_TEST_ENTRY(products_of_bf16_add_a_bias),
                ASSAY_TEST_ENTRY(sides_broadcast_over_batches), ASSAY_TEST_ENTRY(gradients_of_rows_are_right),
                ASSAY_TEST_ENTRY(cross_entropy_leaves_out_what_is_ignored),
                ASSAY_TEST_ENTRY(rows_that_were_gathered_twice_are_added), ASSAY_TEST_ENTRY(convolutions_have_gradients),
                ASSAY_TEST_ENTRY(batch_norm_takes_the_statistics_of_its_batch), ASSAY_TEST_ENTRY(states_are_updated_in_place),
                ASSAY_TEST_ENTRY(dropout_has_the_mask_of_the_reference), ASSAY_TEST_ENTRY(a_pool_tells_where_its_maxima_are),
                ASSAY_TEST_ENTRY(the_norm_of_gradients_is_over_all))
