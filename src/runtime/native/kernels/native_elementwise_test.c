/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise ops, fused or one by one, in every way to broadcast, against the reference kernels. */
#include "runtime/native/testing.h"

/* Shapes that are one long loop, rows of vectors, columns, tiny rows, the middle, scalars; large enough for two threads. */
static const struct {
    int rank_a, rank_b;
    int64_t a[5], b[5];
} pairs[] = {
    {2, 2, {300, 401}, {300, 401}},
    {2, 1, {300, 401}, {401}},
    {2, 2, {300, 401}, {300, 1}},
    {2, 2, {1, 401}, {300, 1}},
    {2, 0, {300, 401}, {0}},
    {3, 1, {4000, 9, 3}, {3}},
    {3, 2, {4000, 9, 3}, {9, 1}},
    {3, 3, {4000, 9, 3}, {4000, 1, 3}},
    {4, 4, {2, 24, 28, 28}, {1, 24, 1, 1}},
    {4, 4, {2, 24, 28, 28}, {2, 24, 1, 1}},
    {4, 4, {2, 24, 28, 28}, {1, 1, 28, 28}},
    {4, 4, {2, 12, 65, 64}, {2, 1, 65, 64}},
    {5, 4, {3, 2, 5, 1, 700}, {2, 1, 6, 1}},
    {1, 1, {1}, {5}},
};

static struct assay_graph *binary(const char *op, enum assay_dtype dtype, size_t pair)
{
    struct assay_graph *graph = assay_graph_open(op);
    int a = testing_input(graph, "a", dtype, pairs[pair].rank_a, pairs[pair].a);
    int b = testing_input(graph, "b", dtype, pairs[pair].rank_b, pairs[pair].b);
    assay_graph_add_output(graph, testing_node(graph, op, NUMBERS(a, b), "y"));
    return graph;
}

ASSAY_TEST(operands_broadcast_in_every_way)
{
    static const char *const ops[] = {"Add", "Sub", "Mul", "Max", "Less", "GreaterOrEqual"};
    for (size_t p = 0; p < ASSAY_COUNT(pairs); p++)
        for (size_t i = 0; i < ASSAY_COUNT(ops); i++)
            testing_equals_reference(binary(ops[i], ASSAY_F32, p), 1e-7);
}

ASSAY_TEST(integers_and_small_floats_are_calculated_as_the_reference_does)
{
    static const char *const ops[] = {"Add", "Sub", "Mul", "Min", "Equal", "Greater"};
    static const enum assay_dtype dtypes[] = {ASSAY_I64, ASSAY_I32, ASSAY_BF16, ASSAY_F16, ASSAY_F64, ASSAY_U8};
    for (size_t d = 0; d < ASSAY_COUNT(dtypes); d++)
        for (size_t i = 0; i < ASSAY_COUNT(ops); i++)
            for (size_t p = 0; p < ASSAY_COUNT(pairs); p += 5)
                testing_equals_reference(binary(ops[i], dtypes[d], p), 1e-7);
}

ASSAY_TEST(logic_and_choice_work_on_bools)
{
    static const char *const ops[] = {"And", "Or", "Xor", "Equal"};
    for (size_t i = 0; i < ASSAY_COUNT(ops); i++)
        for (size_t p = 0; p < ASSAY_COUNT(pairs); p += 2)
            testing_equals_reference(binary(ops[i], ASSAY_BOOL, p), 0);
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_I64, ASSAY_BOOL, ASSAY_BF16};
    for (size_t d = 0; d < ASSAY_COUNT(dtypes); d++)
        for (int scalar = 0; scalar < 8; scalar++) {
            struct assay_graph *graph = assay_graph_open("where");
            const int64_t dims[] = {150, 301};
            int c = testing_input(graph, "c", ASSAY_BOOL, scalar & 1 ? 0 : 2, dims);
            int a = testing_input(graph, "a", dtypes[d], scalar & 2 ? 0 : 2, dims);
            int b = testing_input(graph, "b", dtypes[d], scalar & 4 ? 0 : 2, dims);
            assay_graph_add_output(graph, testing_node(graph, "Where", NUMBERS(c, a, b), "y"));
            testing_equals_reference(graph, 0);
        }
}

ASSAY_TEST(casts_follow_the_standard)
{
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_BF16, ASSAY_F16,  ASSAY_I64, ASSAY_I32,
                                              ASSAY_I8,  ASSAY_U8,   ASSAY_BOOL, ASSAY_I16, ASSAY_U16};
    const int64_t dims[] = {70, 501};
    for (size_t from = 0; from < ASSAY_COUNT(dtypes); from++)
        for (size_t to = 0; to < ASSAY_COUNT(dtypes); to++) {
            struct assay_graph *graph = assay_graph_open("cast");
            int x = testing_input(graph, "x", dtypes[from], 2, dims);
            int y = testing_node(graph, "Cast", NUMBERS(x), "y");
            assay_node_set_int(graph, testing_last(graph), "to", dtypes[to]);
            assay_graph_add_output(graph, y);
            testing_equals_reference(graph, 0);
        }
}

ASSAY_TEST(functions_of_one_argument_agree_in_f32_and_bf16)
{
    static const char *const ops[] = {"Neg",         "Abs",  "Exp",       "Erf",       "Tanh", "Sigmoid",    "Softplus",
                                      "Softsign",    "Relu", "HardSwish", "LeakyRelu", "Elu",  "Selu",       "Floor",
                                      "HardSigmoid", "Mish", "Ceil",      "Round",     "Sign", "Reciprocal", "Identity"};
    const int64_t dims[] = {120, 403};
    for (size_t i = 0; i < ASSAY_COUNT(ops); i++)
        for (int small = 0; small < 2; small++) {
            struct assay_graph *graph = assay_graph_open(ops[i]);
            int x = testing_input(graph, "x", small ? ASSAY_BF16 : ASSAY_F32, 2, dims);
            assay_graph_add_output(graph, testing_node(graph, ops[i], NUMBERS(x), "y"));
            testing_equals_reference(graph, small ? 4e-3 : 1e-6); /* a bf16 may round to its neighbour */
        }
}

ASSAY_TEST(a_chain_of_ops_gives_what_its_ops_give)
{
    for (int small = 0; small < 2; small++) {
        enum assay_dtype dtype = small ? ASSAY_BF16 : ASSAY_F32;
        struct assay_graph *graph = assay_graph_open("chain");
        int x = testing_input(graph, "x", dtype, 3, (const int64_t[]){4, 30, 401});
        int z = testing_input(graph, "z", dtype, 3, (const int64_t[]){4, 30, 401});
        int scale = testing_random_constant(graph, "scale", dtype, 1, (const int64_t[]){401});
        int shift = testing_random_constant(graph, "shift", dtype, 2, (const int64_t[]){30, 1});
        int a = testing_node(graph, "Mul", NUMBERS(x, scale), "a");
        int b = testing_node(graph, "Add", NUMBERS(a, shift), "b");
        int c = testing_node(graph, "Sigmoid", NUMBERS(b), "c");
        int d = testing_node(graph, "Mul", NUMBERS(b, c), "d");
        int e = testing_node(graph, "Add", NUMBERS(z, d), "e");
        int f = testing_node(graph, "Sub", NUMBERS(e, x), "f");
        assay_graph_add_output(graph, testing_node(graph, "Tanh", NUMBERS(f), "y"));
        testing_equals_reference(graph, small ? 5e-2 : 2e-6); /* seven roundings to bf16 in the reference */
    }
}

ASSAY_TEST(a_body_is_one_walk_whatever_its_operands)
{
    for (size_t p = 0; p < ASSAY_COUNT(pairs); p++) {
        struct assay_graph *graph = assay_graph_open("fused");
        int a = testing_input(graph, "a", ASSAY_F32, pairs[p].rank_a, pairs[p].a);
        int b = testing_input(graph, "b", ASSAY_F32, pairs[p].rank_b, pairs[p].b);
        struct assay_graph *body = assay_graph_open_body(graph, "body");
        int x = assay_graph_add_value(body, "x", NULL), z = assay_graph_add_value(body, "z", NULL);
        assay_graph_add_input(body, x);
        assay_graph_add_input(body, z);
        int two = testing_constant(body, "two", ASSAY_F32, (const double[]){2}, 1);
        int m = testing_node(body, "Mul", NUMBERS(x, two), "m"), s = testing_node(body, "Add", NUMBERS(m, z), "s");
        int r = testing_node(body, "Mul", NUMBERS(z, two), "r"), t = testing_node(body, "Tanh", NUMBERS(r), "t");
        int u = testing_node(body, "Mul", NUMBERS(s, t), "u"), v = testing_node(body, "Sub", NUMBERS(u, x), "v");
        int w = testing_node(body, "Greater", NUMBERS(v, z), "w");
        assay_graph_add_output(body, testing_node(body, "Where", NUMBERS(w, v, s), "y"));
        int y = assay_graph_add_value(graph, "y", NULL);
        struct assay_node *node = assay_graph_add_node(graph, "Fused", "assay", 2, (const int[]){a, b}, 1, &y);
        assay_node_set_graph(graph, node, "body", body);
        assay_graph_add_output(graph, y);
        testing_equals_reference(graph, 1e-6);
    }
}

/* The convolution leaves its output channels last; what follows must keep to it or turn it back. */
ASSAY_TEST(channels_last_values_meet_plain_ones)
{
    struct assay_graph *graph = assay_graph_open("channels");
    int x = testing_input(graph, "x", ASSAY_F32, 4, (const int64_t[]){2, 8, 30, 31});
    int plain = testing_input(graph, "plain", ASSAY_F32, 4, (const int64_t[]){2, 16, 30, 31});
    int w = testing_random_constant(graph, "w", ASSAY_F32, 4, (const int64_t[]){16, 8, 1, 1});
    int scale = testing_random_constant(graph, "scale", ASSAY_F32, 3, (const int64_t[]){16, 1, 1});
    int map = testing_random_constant(graph, "map", ASSAY_F32, 3, (const int64_t[]){16, 30, 31});
    int c = testing_node(graph, "Conv", NUMBERS(x, w), "c");
    int a = testing_node(graph, "Mul", NUMBERS(c, scale), "a"), b = testing_node(graph, "Add", NUMBERS(a, plain), "b");
    int d = testing_node(graph, "Add", NUMBERS(a, map), "d");
    int e = testing_node(graph, "ReduceMean", NUMBERS(b), "e");
    assay_node_set_ints(graph, testing_last(graph), "axes", (const int64_t[]){2, 3}, 2);
    int f = testing_node(graph, "Sigmoid", NUMBERS(e), "f"), g = testing_node(graph, "Mul", NUMBERS(b, f), "g");
    int h = testing_node(graph, "Transpose", NUMBERS(g), "h");
    assay_node_set_ints(graph, testing_last(graph), "perm", (const int64_t[]){0, 2, 3, 1}, 4);
    int i = testing_node(graph, "Exp", NUMBERS(h), "i");
    int k = testing_node(graph, "Concat", NUMBERS(a, b, plain), "k");
    assay_node_set_int(graph, testing_last(graph), "axis", 1);
    int shape = testing_constant(graph, "shape", ASSAY_I64, (const double[]){2, 16, 930}, 3);
    int l = testing_node(graph, "Reshape", NUMBERS(a, shape), "l"), o = testing_node(graph, "Transpose", NUMBERS(l), "o");
    assay_node_set_ints(graph, testing_last(graph), "perm", (const int64_t[]){0, 2, 1}, 3);
    int flat = testing_constant(graph, "flat", ASSAY_I64, (const double[]){2, -1}, 2);
    int q = testing_node(graph, "Reshape", NUMBERS(b, flat), "q");
    const int outputs[] = {d, f, g, i, k, o, q};
    for (size_t n = 0; n < ASSAY_COUNT(outputs); n++)
        assay_graph_add_output(graph, outputs[n]);
    testing_equals_reference(graph, 2e-6);
}

ASSAY_TEST(batch_normalization_scales_and_shifts_channels)
{
    struct assay_graph *graph = assay_graph_open("batch");
    int x = testing_input(graph, "x", ASSAY_F32, 4, (const int64_t[]){2, 6, 40, 41});
    int in[5] = {x};
    for (int k = 1; k < 5; k++)
        in[k] = testing_constant(graph, "p", ASSAY_F32, (const double[]){1, 0.5, 2, 3, 0.25, 1.5}, 6);
    assay_graph_add_output(graph, testing_node(graph, "BatchNormalization", 5, in, "y"));
    testing_equals_reference(graph, 1e-6);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(operands_broadcast_in_every_way),
                ASSAY_TEST_ENTRY(integers_and_small_floats_are_calculated_as_the_reference_does),
                ASSAY_TEST_ENTRY(logic_and_choice_work_on_bools), ASSAY_TEST_ENTRY(casts_follow_the_standard),
                ASSAY_TEST_ENTRY(functions_of_one_argument_agree_in_f32_and_bf16),
                ASSAY_TEST_ENTRY(a_chain_of_ops_gives_what_its_ops_give),
                ASSAY_TEST_ENTRY(a_body_is_one_walk_whatever_its_operands),
                ASSAY_TEST_ENTRY(channels_last_values_meet_plain_ones),
                ASSAY_TEST_ENTRY(batch_normalization_scales_and_shifts_channels))
