/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that move data, and those that work on rows and columns, against the reference kernels. */
#include "runtime/native/testing.h"

static struct assay_graph *start(const char *op, enum assay_dtype dtype, int rank, const int64_t *dims, int *x)
{
    struct assay_graph *graph = assay_graph_open(op);
    *x = testing_input(graph, "x", dtype, rank, dims);
    return graph;
}

ASSAY_TEST(every_order_of_dimensions_is_reached)
{
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_BF16, ASSAY_I64, ASSAY_U8};
    static const int64_t shapes[][4] = {{3, 20, 33, 17}, {2, 40, 2, 64}, {1, 64, 5, 48}};
    for (size_t d = 0; d < ASSAY_COUNT(dtypes); d++)
        for (size_t s = 0; s < ASSAY_COUNT(shapes); s++)
            for (int64_t p = 0; p < 256; p++) {
                const int64_t perm[] = {p & 3, p >> 2 & 3, p >> 4 & 3, p >> 6 & 3};
                if ((1 << perm[0] | 1 << perm[1] | 1 << perm[2] | 1 << perm[3]) != 15)
                    continue;
                int x;
                struct assay_graph *graph = start("transpose", dtypes[d], 4, shapes[s], &x);
                int y = testing_node(graph, "Transpose", NUMBERS(x), "y");
                assay_node_set_ints(graph, testing_last(graph), "perm", perm, 4);
                assay_graph_add_output(graph, y);
                testing_equals_reference(graph, 0);
            }
}

ASSAY_TEST(pieces_are_joined_and_split_along_every_axis)
{
    const int64_t dims[] = {6, 30, 42, 9};
    for (int axis = 0; axis < 4; axis++) {
        int x;
        struct assay_graph *graph = start("concat", ASSAY_F32, 4, dims, &x);
        int64_t other[4];
        memcpy(other, dims, sizeof other);
        other[axis] = 5;
        int z = testing_input(graph, "z", ASSAY_F32, 4, other);
        int y = testing_node(graph, "Concat", NUMBERS(x, z, x), "y");
        assay_node_set_int(graph, testing_last(graph), "axis", axis);
        assay_graph_add_output(graph, y);
        testing_equals_reference(graph, 0);

        graph = start("split", ASSAY_F32, 4, dims, &x);
        int parts = testing_constant(graph, "parts", ASSAY_I64, (const double[]){1, (double)dims[axis] - 3, 2}, 3);
        int outputs[3];
        for (int k = 0; k < 3; k++)
            outputs[k] = assay_graph_add_value(graph, "part", NULL);
        struct assay_node *node = assay_graph_add_node(graph, "Split", "", 2, (const int[]){x, parts}, 3, outputs);
        assay_node_set_int(graph, node, "axis", axis);
        for (int k = 0; k < 3; k++)
            assay_graph_add_output(graph, outputs[k]);
        testing_equals_reference(graph, 0);
    }
}

ASSAY_TEST(slices_go_forwards_and_backwards_with_any_step)
{
    static const double starts[][2] = {{0, 0}, {2, -5}, {-1, 100}, {5, -3}},
                        ends[][2] = {{30, 7}, {-1, 41}, {-1000, -1000}, {28, -30}},
                        steps[][2] = {{1, 1}, {3, 2}, {-1, -2}, {7, -1}};
    for (int i = 0; i < 4; i++) {
        int x;
        struct assay_graph *graph = start("slice", ASSAY_F32, 3, (const int64_t[]){8, 30, 42}, &x);
        int in[] = {x, testing_constant(graph, "starts", ASSAY_I64, starts[i], 2),
                    testing_constant(graph, "ends", ASSAY_I64, ends[i], 2),
                    testing_constant(graph, "axes", ASSAY_I64, (const double[]){1, -1}, 2),
                    testing_constant(graph, "steps", ASSAY_I64, steps[i], 2)};
        assay_graph_add_output(graph, testing_node(graph, "Slice", 5, in, "y"));
        testing_equals_reference(graph, 0);
    }
}

ASSAY_TEST(padding_repetition_and_picking_are_exact)
{
    int x;
    struct assay_graph *graph = start("pad", ASSAY_F32, 4, (const int64_t[]){2, 5, 60, 40}, &x);
    int pads = testing_constant(graph, "pads", ASSAY_I64, (const double[]){0, 1, 2, 0, 1, 0, 3, 4}, 8);
    assay_graph_add_output(graph, testing_node(graph, "Pad", NUMBERS(x, pads), "y"));
    testing_equals_reference(graph, 0);
    graph = start("tile", ASSAY_BF16, 3, (const int64_t[]){3, 20, 50}, &x);
    int repeats = testing_constant(graph, "repeats", ASSAY_I64, (const double[]){2, 3, 4}, 3);
    assay_graph_add_output(graph, testing_node(graph, "Tile", NUMBERS(x, repeats), "y"));
    testing_equals_reference(graph, 0);
    graph = start("expand", ASSAY_F32, 3, (const int64_t[]){3, 1, 50}, &x);
    int shape = testing_constant(graph, "shape", ASSAY_I64, (const double[]){4, 1, 70, 1}, 4);
    assay_graph_add_output(graph, testing_node(graph, "Expand", NUMBERS(x, shape), "y"));
    testing_equals_reference(graph, 0);
    for (int axis = 0; axis < 2; axis++) {
        graph = start("gather", ASSAY_F32, 2, (const int64_t[]){7, 500}, &x);
        int rows = testing_input(graph, "rows", axis ? ASSAY_I32 : ASSAY_I64, 2, (const int64_t[]){6, 20});
        int y = testing_node(graph, "Gather", NUMBERS(x, rows), "y");
        assay_node_set_int(graph, testing_last(graph), "axis", axis);
        assay_graph_add_output(graph, y);
        testing_equals_reference(graph, 0);
    }
    for (int mode = 0; mode < 3; mode++) {
        graph = start("blocks", ASSAY_F32, 4, (const int64_t[]){2, 12, 30, 40}, &x);
        int y = testing_node(graph, mode == 2 ? "SpaceToDepth" : "DepthToSpace", NUMBERS(x), "y");
        assay_node_set_int(graph, testing_last(graph), "blocksize", 2);
        if (mode < 2)
            assay_node_set_string(graph, testing_last(graph), "mode", mode ? "CRD" : "DCR");
        assay_graph_add_output(graph, y);
        testing_equals_reference(graph, 0);
    }
}

/* Onto what the graph was given and onto what it made, which may be written over; the last of two rows for one place stays. */
ASSAY_TEST(rows_are_put_where_their_numbers_say)
{
    static const double places[] = {0, 3, 1, -1, 2, 0, 0, -4, 1, 6};
    for (int made = 0; made < 2; made++)
        for (int tuple = 1; tuple <= 2; tuple++) {
            int x;
            struct assay_graph *graph = start("scatter", ASSAY_F32, 3, (const int64_t[]){3, 7, 900}, &x);
            struct assay_type type = assay_type_make(ASSAY_I64, 2, (const int64_t[]){tuple == 1 ? 3 : 5, tuple});
            struct assay_tensor flat =
                testing_tensor(ASSAY_I64, tuple == 1 ? (const double[]){2, -3, 2} : places, tuple == 1 ? 3 : 10);
            struct assay_tensor numbers;
            assay_tensor_view(&numbers, &flat, &type);
            int indices = assay_graph_add_constant(graph, "indices", &numbers);
            assay_tensor_release(&flat);
            assay_tensor_release(&numbers);
            int updates = tuple == 1 ? testing_input(graph, "updates", ASSAY_F32, 3, (const int64_t[]){3, 7, 900})
                                     : testing_input(graph, "updates", ASSAY_F32, 2, (const int64_t[]){5, 900});
            int data = made ? testing_node(graph, "Relu", NUMBERS(x), "data") : x;
            assay_graph_add_output(graph, testing_node(graph, "ScatterND", NUMBERS(data, indices, updates), "y"));
            testing_equals_reference(graph, 0);
        }
}

ASSAY_TEST(softmax_goes_along_any_axis)
{
    for (int i = 0; i < 4; i++)
        for (int axis = -1; axis < 3; axis++) {
            int x;
            bool is_low = i / 2;
            struct assay_graph *graph = start("softmax", is_low ? ASSAY_BF16 : ASSAY_F32, 3, (const int64_t[]){12, 33, 301}, &x);
            int y = testing_node(graph, i % 2 ? "LogSoftmax" : "Softmax", NUMBERS(x), "y");
            assay_node_set_int(graph, testing_last(graph), "axis", axis);
            assay_graph_add_output(graph, y);
            testing_equals_reference(graph, is_low ? 1.0 / 256 : 1e-6); /* bf16: the last of 8 bits */
        }
}

ASSAY_TEST(reductions_take_any_neighbouring_axes)
{
    static const char *const ops[] = {"ReduceSum", "ReduceMean", "ReduceMax",      "ReduceMin",
                                      "ReduceL1",  "ReduceL2",   "ReduceSumSquare"};
    static const int64_t axes[][2] = {{3, 3}, {2, 3}, {1, 1}, {0, 1}, {0, 0}, {1, 2}, {0, 3}, {0, 2}};
    for (size_t i = 0; i < ASSAY_COUNT(ops); i++)
        for (size_t a = 0; a < ASSAY_COUNT(axes); a++) {
            int x;
            struct assay_graph *graph = start(ops[i], ASSAY_F32, 4, (const int64_t[]){5, 30, 18, 19}, &x);
            graph->opset = 18;
            const double list[] = {(double)axes[a][0], (double)axes[a][1]};
            int k = testing_constant(graph, "axes", ASSAY_I64, list, axes[a][0] == axes[a][1] ? 1 : 2);
            int y = testing_node(graph, ops[i], NUMBERS(x, k), "y");
            assay_node_set_int(graph, testing_last(graph), "keepdims", (int64_t)a % 2);
            assay_graph_add_output(graph, y);
            /* A mean of about nothing is a difference of large sums. */
            testing_equals_reference(graph, a == 6 ? 1e-5 : 2e-6);
        }
    int x;
    struct assay_graph *graph = start("argmax", ASSAY_F32, 2, (const int64_t[]){50, 1000}, &x);
    int y = testing_node(graph, "ArgMax", NUMBERS(x), "y");
    assay_node_set_int(graph, testing_last(graph), "axis", 1);
    assay_graph_add_output(graph, y);
    testing_equals_reference(graph, 0);
}

ASSAY_TEST(normalisation_is_of_rows_or_of_groups_of_channels)
{
    static const char *const ops[] = {"LayerNormalization", "RMSNormalization"};
    for (int small = 0; small < 2; small++)
        for (int i = 0; i < 2; i++) {
            int x;
            enum assay_dtype dtype = small ? ASSAY_BF16 : ASSAY_F32;
            struct assay_graph *graph = start(ops[i], dtype, 3, (const int64_t[]){4, 40, 333}, &x);
            graph->opset = 23;
            int scale = testing_random_constant(graph, "scale", dtype, 1, (const int64_t[]){333});
            int bias = testing_random_constant(graph, "bias", dtype, 1, (const int64_t[]){333});
            const int in[] = {x, scale, bias};
            assay_graph_add_output(graph, testing_node(graph, ops[i], i ? 2 : 3, in, "y"));
            testing_equals_reference(graph, small ? 4e-3 : 1e-6); /* a bf16 may round to its neighbour */
        }
    for (int groups = 0; groups < 2; groups++) {
        int x;
        struct assay_graph *graph = start("groups", ASSAY_F32, 4, (const int64_t[]){2, 12, 40, 41}, &x);
        graph->opset = 21;
        int scale = testing_random_constant(graph, "scale", ASSAY_F32, 1, (const int64_t[]){12});
        int bias = testing_input(graph, "bias", ASSAY_F32, 1, (const int64_t[]){12});
        int y = testing_node(graph, groups ? "GroupNormalization" : "InstanceNormalization", NUMBERS(x, scale, bias), "y");
        if (groups)
            assay_node_set_int(graph, testing_last(graph), "num_groups", 4);
        assay_graph_add_output(graph, y);
        testing_equals_reference(graph, 1e-6);
    }
}

ASSAY_TEST(a_row_number_out_of_range_is_an_error)
{
    int x;
    struct assay_graph *graph = start("gather", ASSAY_F32, 2, (const int64_t[]){7, 50}, &x);
    int rows = testing_input(graph, "rows", ASSAY_I64, 1, (const int64_t[]){2});
    assay_graph_add_output(graph, testing_node(graph, "Gather", NUMBERS(x, rows), "y"));
    struct assay_error err;
    CHECK_OK(assay_graph_sort(graph, &err), err);
    const struct assay_runtime *runtime;
    struct assay_tensor inputs[2] = {testing_random(&graph->values[x].type, 1),
                                     testing_tensor(ASSAY_I64, (const double[]){6, -7}, 2)};
    struct assay_program *program = testing_start("cpu/native", graph, 1, inputs, &runtime);
    ((int64_t *)inputs[1].data)[1] = 7;
    CHECK(runtime->run(program, &err) == ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "index 7");
    runtime->release(program);
    assay_tensor_release(&inputs[0]);
    assay_tensor_release(&inputs[1]);
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(every_order_of_dimensions_is_reached),
                ASSAY_TEST_ENTRY(pieces_are_joined_and_split_along_every_axis),
                ASSAY_TEST_ENTRY(slices_go_forwards_and_backwards_with_any_step),
                ASSAY_TEST_ENTRY(padding_repetition_and_picking_are_exact),
                ASSAY_TEST_ENTRY(rows_are_put_where_their_numbers_say), ASSAY_TEST_ENTRY(softmax_goes_along_any_axis),
                ASSAY_TEST_ENTRY(reductions_take_any_neighbouring_axes),
                ASSAY_TEST_ENTRY(normalisation_is_of_rows_or_of_groups_of_channels),
                ASSAY_TEST_ENTRY(a_row_number_out_of_range_is_an_error))
