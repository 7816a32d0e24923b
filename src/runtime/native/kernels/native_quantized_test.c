/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of 8-bit integers of the native runtime against the reference kernels: sums must be equal, and so must codes but for
 * those that f32 rounds another way at a tie, which these numbers do not meet.
 */
#include "runtime/native/testing.h"

/* Codes over the whole range, with many at its ends, where products in 16 bits would saturate. */
static struct assay_tensor codes(enum assay_dtype dtype, int rank, const int64_t *dims, uint64_t seed)
{
    struct assay_rng rng;
    struct assay_tensor t;
    struct assay_type type = assay_type_make(dtype, rank, dims);
    int low = dtype == ASSAY_U8 ? 0 : -128;
    assay_rng_init(&rng, seed, 2);
    CHECK_INT(assay_tensor_alloc(&t, &type, NULL), ASSAY_OK);
    for (int64_t i = 0; i < assay_tensor_count(&t); i++)
        assay_tensor_set_real(&t, i, low + (assay_rng_below(&rng, 3) ? (double)assay_rng_below(&rng, 256) : 255));
    return t;
}

static int constant_codes(struct assay_graph *graph, enum assay_dtype dtype, int rank, const int64_t *dims)
{
    struct assay_tensor t = codes(dtype, rank, dims, (uint64_t)graph->n_values);
    int value = assay_graph_add_constant(graph, "codes", &t);
    assay_tensor_release(&t);
    return value;
}

/* n numbers from `from` on, `step` apart. */
static int numbers(struct assay_graph *graph, enum assay_dtype dtype, int64_t n, double from, double step)
{
    double *values = assay_alloc((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++)
        values[i] = from + step * (double)(i % 16);
    int made = testing_constant(graph, "numbers", dtype, values, n);
    free(values);
    return made;
}

/* An input of f32, quantized, since random inputs of 8 bits hold small numbers only. */
static int quantized_input(struct assay_graph *graph, int rank, const int64_t *dims, int scale, int zero)
{
    int in[] = {testing_input(graph, "x", ASSAY_F32, rank, dims), scale, zero};
    return testing_node(graph, "QuantizeLinear", 3, in, "xq");
}

static void output_of(struct assay_graph *graph, int value) { assay_graph_add_output(graph, value); }

static void check_integer(enum assay_dtype a, enum assay_dtype w, int64_t m, int64_t k, int64_t n, bool zeros)
{
    struct assay_graph *graph = assay_graph_open("integers");
    int scale = testing_scalar(graph, ASSAY_F32, 0.01), zero = testing_scalar(graph, a, a == ASSAY_U8 ? 131 : -5);
    int in[] = {quantized_input(graph, 3, (const int64_t[]){1, m, k}, scale, zero),
                constant_codes(graph, w, 2, (const int64_t[]){k, n}), zero,
                zeros ? numbers(graph, w, n, w == ASSAY_U8 ? 120 : -3, 1) : -1};
    output_of(graph, testing_node(graph, "MatMulInteger", zeros ? 4 : 2, in, "y"));
    testing_equals_reference(graph, 0);
}

ASSAY_TEST(sums_of_integers_are_exact)
{
    static const enum assay_dtype types[] = {ASSAY_U8, ASSAY_I8};
    for (int i = 0; i < 4; i++)
        for (int zeros = 0; zeros < 2; zeros++) {
            check_integer(types[i % 2], types[i / 2], 5, 70, 33, zeros);
            check_integer(types[i % 2], types[i / 2], 1, 300, 200, zeros);
            check_integer(types[i % 2], types[i / 2], 150, 64, 130, zeros);
            check_integer(types[i % 2], types[i / 2], 70, 33, 1100, zeros);
        }
}

static void check_qlinear(enum assay_dtype dtype, int64_t m, int64_t k, int64_t n)
{
    struct assay_graph *graph = assay_graph_open("qlinear");
    int scale = testing_scalar(graph, ASSAY_F32, 0.0123), zero = testing_scalar(graph, dtype, 7);
    int in[] = {quantized_input(graph, 2, (const int64_t[]){m, k}, scale, zero),
                scale,
                zero,
                constant_codes(graph, ASSAY_I8, 2, (const int64_t[]){k, n}),
                numbers(graph, ASSAY_F32, n, 0.0107, 0.00013),
                numbers(graph, ASSAY_I8, n, 0, 0),
                testing_scalar(graph, ASSAY_F32, 0.3217),
                testing_scalar(graph, dtype, 3)};
    output_of(graph, testing_node(graph, "QLinearMatMul", 8, in, "y"));
    testing_equals_reference(graph, 0);
}

ASSAY_TEST(products_are_quantized_as_the_reference_does)
{
    check_qlinear(ASSAY_U8, 9, 100, 70);
    check_qlinear(ASSAY_I8, 130, 33, 200);
}

/* Models as tools write them: numbers between DequantizeLinear and QuantizeLinear. Adding has_q: whether one follows. */
static void check_between(bool is_gemm, bool has_q, bool has_relu, int64_t m, int64_t k, int64_t n)
{
    struct assay_graph *graph = assay_graph_open("between");
    int scale = testing_scalar(graph, ASSAY_F32, 0.0123), zero = testing_scalar(graph, ASSAY_U8, 119);
    int codes_in[] = {quantized_input(graph, 2, (const int64_t[]){m, k}, scale, zero), scale, zero};
    int w_in[] = {constant_codes(graph, ASSAY_I8, 2, is_gemm ? (const int64_t[]){n, k} : (const int64_t[]){k, n}),
                  numbers(graph, ASSAY_F32, n, 0.0107, 0.00013), numbers(graph, ASSAY_I8, n, 0, 0)};
    int a = testing_node(graph, "DequantizeLinear", 3, codes_in, "a"), w = testing_node(graph, "DequantizeLinear", 3, w_in, "w");
    assay_node_set_int(graph, testing_last(graph), "axis", is_gemm ? 0 : 1);
    int bias = numbers(graph, ASSAY_F32, n, -3, 0.771), y;
    if (is_gemm) {
        y = testing_node(graph, "Gemm", 3, (int[]){a, w, bias}, "y");
        assay_node_set_int(graph, testing_last(graph), "transB", 1);
    } else {
        y = testing_node(graph, "MatMul", 2, (int[]){a, w}, "y");
        y = testing_node(graph, "Add", 2, (int[]){y, bias}, "y");
    }
    if (has_relu)
        y = testing_node(graph, "Relu", 1, &y, "y");
    if (has_q) {
        int q[] = {y, testing_scalar(graph, ASSAY_F32, 0.3217), testing_scalar(graph, ASSAY_U8, has_relu ? 0 : 128)};
        y = testing_node(graph, "QuantizeLinear", 3, q, "yq");
    }
    output_of(graph, y);
    /* The reference multiplies numbers of f32 that the pass takes as integers. */
    testing_equals_reference(graph, has_q ? 0 : 2e-6);
}

ASSAY_TEST(products_between_codes_become_products_of_integers)
{
    check_between(false, true, false, 20, 96, 70);
    check_between(false, true, true, 1, 96, 300);
    check_between(false, false, false, 20, 96, 70);
    check_between(true, true, true, 8, 64, 10);
    check_between(true, false, false, 70, 64, 130);
}

struct conv {
    enum assay_dtype x, w;
    int64_t batch, channels, filters, groups, size, kernel, stride, pad;
    bool has_bias, has_relu;
};

/* A code may fall to the other side of a tie, by one, since the reference sums numbers of f32; the largest code is above 50. */
static void check_conv(struct conv c)
{
    struct assay_graph *graph = assay_graph_open("conv");
    int scale = testing_scalar(graph, ASSAY_F32, 0.0123), zero = testing_scalar(graph, c.x, c.x == ASSAY_U8 ? 113 : -7);
    int x_in[] = {quantized_input(graph, 4, (const int64_t[]){c.batch, c.channels, c.size, c.size}, scale, zero), scale, zero};
    int w_in[] = {constant_codes(graph, c.w, 4, (const int64_t[]){c.filters, c.channels / c.groups, c.kernel, c.kernel}),
                  numbers(graph, ASSAY_F32, c.filters, 0.0107, 0.00013),
                  numbers(graph, c.w, c.filters, c.w == ASSAY_U8 ? 128 : 0, 0)};
    int x = testing_node(graph, "DequantizeLinear", 3, x_in, "x"), w = testing_node(graph, "DequantizeLinear", 3, w_in, "w");
    assay_node_set_int(graph, testing_last(graph), "axis", 0);
    int in[] = {x, w, c.has_bias ? numbers(graph, ASSAY_F32, c.filters, -3, 0.771) : -1};
    int y = testing_node(graph, "Conv", c.has_bias ? 3 : 2, in, "y");
    struct assay_node *node = testing_last(graph);
    assay_node_set_ints(graph, node, "pads", (const int64_t[]){c.pad, c.pad, c.pad, c.pad}, 4);
    assay_node_set_ints(graph, node, "strides", (const int64_t[]){c.stride, c.stride}, 2);
    assay_node_set_int(graph, node, "group", c.groups);
    if (c.has_relu)
        y = testing_node(graph, "Relu", 1, &y, "y");
    int q[] = {y, testing_scalar(graph, ASSAY_F32, 0.3217), testing_scalar(graph, ASSAY_U8, c.has_relu ? 0 : 128)};
    output_of(graph, testing_node(graph, "QuantizeLinear", 3, q, "yq"));
    testing_equals_reference(graph, 1.0 / 50);
}

ASSAY_TEST(convolutions_between_codes)
{
    check_conv((struct conv){ASSAY_U8, ASSAY_I8, 1, 16, 32, 1, 14, 3, 1, 1, true, true});
    check_conv((struct conv){ASSAY_I8, ASSAY_I8, 2, 20, 24, 1, 9, 3, 2, 1, true, false});
    check_conv((struct conv){ASSAY_U8, ASSAY_U8, 1, 3, 16, 1, 32, 7, 2, 3, false, true});
    check_conv((struct conv){ASSAY_U8, ASSAY_I8, 3, 64, 64, 1, 7, 1, 1, 0, true, false});
    check_conv((struct conv){ASSAY_U8, ASSAY_I8, 1, 32, 32, 32, 12, 3, 1, 1, true, true});
    check_conv((struct conv){ASSAY_U8, ASSAY_I8, 1, 12, 36, 3, 10, 5, 1, 2, true, true});
}

ASSAY_TEST(codes_are_made_and_read_as_the_reference_does)
{
    for (int i = 0; i < 4; i++) {
        struct assay_graph *graph = assay_graph_open("codes");
        enum assay_dtype dtype = i % 2 ? ASSAY_U8 : ASSAY_I8;
        int64_t n = 1003, dims[] = {2, 19, n};
        int x = testing_input(graph, "x", ASSAY_F32, 3, dims);
        int scale = i / 2 ? numbers(graph, ASSAY_F32, 19, 0.01, 0.003) : testing_scalar(graph, ASSAY_F32, 0.0117);
        int zero = i / 2 ? numbers(graph, dtype, 19, 3, 5) : testing_scalar(graph, dtype, 12);
        int codes_of_x = testing_node(graph, "QuantizeLinear", 3, (int[]){x, scale, zero}, "q");
        output_of(graph, codes_of_x);
        output_of(graph, testing_node(graph, "DequantizeLinear", 3, (int[]){codes_of_x, scale, zero}, "y"));
        testing_equals_reference(graph, 0);
    }
}

ASSAY_TEST(a_range_found_in_the_run_gives_the_same_codes)
{
    struct assay_graph *graph = assay_graph_open("dynamic");
    int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){30, 100}), out[3];
    for (int i = 0; i < 3; i++)
        out[i] = assay_graph_add_value(graph, "q", NULL);
    assay_graph_add_node(graph, "DynamicQuantizeLinear", "", 1, &x, 3, out);
    int in[] = {out[0], constant_codes(graph, ASSAY_I8, 2, (const int64_t[]){100, 40}), out[2]};
    int sums = testing_node(graph, "MatMulInteger", 3, in, "sums");
    for (int i = 0; i < 3; i++)
        output_of(graph, out[i]);
    output_of(graph, sums);
    testing_equals_reference(graph, 0);
}

/* What lies between convolutions: all of it on codes, so that nothing is rounded in another way than the reference does. */
ASSAY_TEST(values_stay_codes_between_ops)
{
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        enum assay_dtype dtype = is_signed ? ASSAY_I8 : ASSAY_U8;
        struct assay_graph *graph = assay_graph_open("codes");
        int scale = testing_scalar(graph, ASSAY_F32, 0.02), other = testing_scalar(graph, ASSAY_F32, 0.013);
        int zero = testing_scalar(graph, dtype, is_signed ? -3 : 121),
            other_zero = testing_scalar(graph, dtype, is_signed ? 11 : 90);
        int codes = quantized_input(graph, 4, (const int64_t[]){2, 19, 9, 7}, scale, zero);
        int x = testing_node(graph, "DequantizeLinear", NUMBERS(codes, scale, zero), "x");
        int max = testing_node(graph, "MaxPool", NUMBERS(x), "max");
        assay_node_set_ints(graph, testing_last(graph), "kernel_shape", (const int64_t[]){3, 3}, 2);
        assay_node_set_ints(graph, testing_last(graph), "pads", (const int64_t[]){1, 1, 1, 1}, 4);
        max = testing_node(graph, "QuantizeLinear", NUMBERS(max, scale, zero), "max_codes");
        max = testing_node(graph, "DequantizeLinear", NUMBERS(max, scale, zero), "max_numbers");
        int sum = testing_node(graph, "Relu", NUMBERS(testing_node(graph, "Add", NUMBERS(x, max), "sum")), "relu");
        sum = testing_node(graph, "QuantizeLinear", NUMBERS(sum, other, other_zero), "sum_codes");
        output_of(graph, sum);
        sum = testing_node(graph, "DequantizeLinear", NUMBERS(sum, other, other_zero), "sum_numbers");
        int both = testing_node(graph, "Concat", NUMBERS(sum, max), "both");
        assay_node_set_int(graph, testing_last(graph), "axis", 1);
        output_of(graph, testing_node(graph, "QuantizeLinear", NUMBERS(both, other, other_zero), "both_codes"));
        testing_equals_reference(graph, 0);
    }
}

/* Windows of each kind of group, with zero points that the library's convolutions do not take. */
ASSAY_TEST(convolutions_of_integers_are_exact)
{
    static const int64_t groups[] = {1, 2, 6};
    for (int i = 0; i < 6; i++) {
        struct assay_graph *graph = assay_graph_open("windows");
        enum assay_dtype x_type = i % 2 ? ASSAY_I8 : ASSAY_U8, w_type = i / 2 % 2 ? ASSAY_U8 : ASSAY_I8;
        int scale = testing_scalar(graph, ASSAY_F32, 0.02), zero = testing_scalar(graph, x_type, i % 2 ? 7 : 140);
        int x = quantized_input(graph, 4, (const int64_t[]){2, 6, 9, 7}, scale, zero);
        int w = constant_codes(graph, w_type, 4, (const int64_t[]){6, 6 / groups[i / 2], 3, 2}),
            w_zero = testing_scalar(graph, w_type, 3);
        int integers = testing_node(graph, "ConvInteger", NUMBERS(x, w, zero, w_zero), "sums");
        for (int both = 0; both < 2; both++) {
            struct assay_node *node = testing_last(graph);
            assay_node_set_int(graph, node, "group", groups[i / 2]);
            assay_node_set_ints(graph, node, "pads", (const int64_t[]){1, 0, 2, 1}, 4);
            assay_node_set_ints(graph, node, "strides", (const int64_t[]){2, 1}, 2);
            assay_node_set_ints(graph, node, "dilations", (const int64_t[]){1, 2}, 2);
            if (both)
                break;
            int in[] = {x,
                        scale,
                        zero,
                        w,
                        testing_scalar(graph, ASSAY_F32, 0.01),
                        w_zero,
                        testing_scalar(graph, ASSAY_F32, 1.7),
                        zero,
                        numbers(graph, ASSAY_I32, 6, -900, 150)};
            output_of(graph, integers);
            output_of(graph, testing_node(graph, "QLinearConv", 9, in, "codes"));
        }
        testing_equals_reference(graph, 0);
    }
}

/* Windows of points, of one, two and three dimensions, whose lines are gathered as a whole; more points than one gathering takes,
 * and more channels than a panel has. */
ASSAY_TEST(convolutions_of_integers_are_exact_in_each_number_of_dimensions)
{
    static const struct {
        int rank;
        int64_t x[5], w[5], groups, pad;
    } forms[] = {
        {3, {2, 5, 61}, {70, 5, 3}, 1, 1},           {4, {1, 33, 9, 8}, {17, 33, 1, 1}, 1, 0},
        {4, {1, 3, 20, 13}, {20, 3, 5, 3}, 1, 2},    {4, {2, 20, 7, 60}, {20, 1, 3, 3}, 20, 1},
        {5, {1, 6, 5, 6, 7}, {8, 3, 2, 3, 3}, 2, 1}, {5, {1, 16, 5, 6, 7}, {16, 1, 3, 3, 3}, 16, 1},
    };
    for (size_t i = 0; i < ASSAY_COUNT(forms); i++) {
        struct assay_graph *graph = assay_graph_open("windows");
        int scale = testing_scalar(graph, ASSAY_F32, 0.02), zero = testing_scalar(graph, ASSAY_U8, 140);
        int x = quantized_input(graph, forms[i].rank, forms[i].x, scale, zero);
        int w = constant_codes(graph, ASSAY_I8, forms[i].rank, forms[i].w);
        output_of(graph, testing_node(graph, "ConvInteger", NUMBERS(x, w, zero, testing_scalar(graph, ASSAY_I8, -3)), "sums"));
        struct assay_node *node = testing_last(graph);
        int64_t pad = forms[i].pad, pads[] = {pad, pad, pad, pad, pad, pad};
        assay_node_set_int(graph, node, "group", forms[i].groups);
        assay_node_set_ints(graph, node, "pads", pads, 2 * (size_t)(forms[i].rank - 2));
        testing_equals_reference(graph, 0);
    }
}

/* One weight, with two zero points, and as it is and turned: each product has its own. */
ASSAY_TEST(a_weight_that_is_shared_is_packed_for_each_reader)
{
    struct assay_graph *graph = assay_graph_open("shared");
    int scale = testing_scalar(graph, ASSAY_F32, 0.02), zero = testing_scalar(graph, ASSAY_U8, 140);
    int x = quantized_input(graph, 4, (const int64_t[]){1, 6, 9, 7}, scale, zero);
    int w = constant_codes(graph, ASSAY_I8, 4, (const int64_t[]){6, 6, 3, 2});
    for (int i = 0; i < 2; i++)
        output_of(graph,
                  testing_node(graph, "ConvInteger", NUMBERS(x, w, zero, testing_scalar(graph, ASSAY_I8, 3 - 20 * i)), "sums"));
    testing_equals_reference(graph, 0);

    graph = assay_graph_open("turned");
    int a = quantized_input(graph, 2, (const int64_t[]){9, 96}, scale = testing_scalar(graph, ASSAY_F32, 0.0123),
                            zero = testing_scalar(graph, ASSAY_U8, 119));
    a = testing_node(graph, "DequantizeLinear", NUMBERS(a, scale, zero), "a");
    int codes_of_w = constant_codes(graph, ASSAY_I8, 2, (const int64_t[]){96, 96});
    for (int turned = 0; turned < 2; turned++) {
        int number_of_w =
            testing_node(graph, "DequantizeLinear",
                         NUMBERS(codes_of_w, testing_scalar(graph, ASSAY_F32, 0.01), testing_scalar(graph, ASSAY_I8, 0)), "w");
        output_of(graph, testing_node(graph, "Gemm", NUMBERS(a, number_of_w), "y"));
        assay_node_set_int(graph, testing_last(graph), "transB", turned);
    }
    testing_equals_reference(graph, 2e-6); /* as in check_between */
}

/* Between two other ops of f32, so that all become one. */
ASSAY_TEST(the_type_of_codes_may_be_an_attribute)
{
    struct assay_graph *graph = assay_graph_open("type");
    int scale = testing_scalar(graph, ASSAY_F32, 0.0117);
    int x = testing_node(graph, "Abs", NUMBERS(testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){19, 103})), "a");
    x = testing_node(graph, "Neg", NUMBERS(x), "n");
    int made = testing_node(graph, "QuantizeLinear", NUMBERS(x, scale), "codes");
    assay_node_set_int(graph, testing_last(graph), "output_dtype", ASSAY_I8);
    int y = testing_node(graph, "DequantizeLinear", NUMBERS(made, scale), "numbers");
    output_of(graph, made);
    output_of(graph, testing_node(graph, "Abs", NUMBERS(y), "y"));
    testing_equals_reference(graph, 0);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_weight_that_is_shared_is_packed_for_each_reader),
                ASSAY_TEST_ENTRY(the_type_of_codes_may_be_an_attribute), ASSAY_TEST_ENTRY(convolutions_of_integers_are_exact),
                ASSAY_TEST_ENTRY(convolutions_of_integers_are_exact_in_each_number_of_dimensions),
                ASSAY_TEST_ENTRY(values_stay_codes_between_ops), ASSAY_TEST_ENTRY(sums_of_integers_are_exact),
                ASSAY_TEST_ENTRY(products_are_quantized_as_the_reference_does),
                ASSAY_TEST_ENTRY(products_between_codes_become_products_of_integers),
                ASSAY_TEST_ENTRY(convolutions_between_codes), ASSAY_TEST_ENTRY(codes_are_made_and_read_as_the_reference_does),
                ASSAY_TEST_ENTRY(a_range_found_in_the_run_gives_the_same_codes))
