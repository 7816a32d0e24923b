/* SPDX-License-Identifier: Apache-2.0 */
/* Products, of constant weights (few rows and many) of two variable sides and of Einsum, and rotary positions, against the
 * reference kernels. Sums of some hundred terms in f32 keep six digits; bf16 keeps 8 bits of the result. */
#include "runtime/native/testing.h"

#define F32_TOLERANCE 5e-6 /* of sums up to 30 that an activation brings below 2 */
#define BF16_TOLERANCE (1.0 / 128)

static double tolerance_of(enum assay_dtype dtype) { return dtype == ASSAY_BF16 ? BF16_TOLERANCE : F32_TOLERANCE; }

static void check_linear(enum assay_dtype dtype, const char *activation, int64_t m, int64_t k, int64_t n, bool transposed,
                         bool biased, bool residual)
{
    struct assay_graph *graph = assay_graph_open("linear");
    int in[] = {testing_input(graph, "x", dtype, 2, (const int64_t[]){m, k}),
                testing_random_constant(graph, "w", dtype, 2, transposed ? (const int64_t[]){n, k} : (const int64_t[]){k, n}), -1,
                -1};
    if (biased)
        in[2] = testing_random_constant(graph, "b", dtype, 1, &n);
    if (residual)
        in[3] = testing_input(graph, "r", dtype, 2, (const int64_t[]){m, n});
    int y = assay_graph_add_value(graph, "y", NULL);
    struct assay_node *node = assay_graph_add_node(graph, "Linear", "assay", 4, in, 1, &y);
    assay_node_set_string(graph, node, "activation", activation);
    assay_node_set_int(graph, node, "trans_weight", transposed);
    assay_node_set_float(graph, node, "alpha", strcmp(activation, "Clip") == 0 ? -1 : 0.5f);
    assay_node_set_float(graph, node, "beta", 2);
    assay_graph_add_output(graph, y);
    testing_equals_reference(graph, tolerance_of(dtype));
}

ASSAY_TEST(few_rows_and_many_meet_a_constant_weight)
{
    static const int64_t rows[] = {1, 2, 3, 4, 7, 8, 9, 40};
    for (size_t i = 0; i < ASSAY_COUNT(rows); i++) {
        check_linear(ASSAY_F32, "", rows[i], 300, 500, false, true, false);
        check_linear(ASSAY_F32, "", rows[i], 129, 1024, true, true, true);
        check_linear(ASSAY_BF16, "", rows[i], 131, 200, true, true, true);
        check_linear(ASSAY_BF16, "", rows[i], 256, 64, false, false, false);
    }
    check_linear(ASSAY_F32, "", 1, 21, 6500, false, true, true);
}

ASSAY_TEST(activations_follow_bias_and_residual)
{
    static const char *const activations[] = {"Relu", "Gelu",      "GeluTanh", "Swish",    "Sigmoid",
                                              "Tanh", "HardSwish", "Clip",     "LeakyRelu"};
    for (size_t i = 0; i < ASSAY_COUNT(activations); i++) {
        check_linear(ASSAY_F32, activations[i], 1, 64, 300, false, true, true);
        check_linear(ASSAY_F32, activations[i], 50, 64, 300, false, true, true);
        check_linear(ASSAY_BF16, activations[i], 2, 64, 300, true, true, false);
    }
}

static void check_matmul(enum assay_dtype dtype, int rank_a, const int64_t *a, int rank_b, const int64_t *b)
{
    struct assay_graph *graph = assay_graph_open("matmul");
    int x = testing_input(graph, "a", dtype, rank_a, a), w = testing_input(graph, "b", dtype, rank_b, b);
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(x, w), "y"));
    testing_equals_reference(graph, tolerance_of(dtype));
}

ASSAY_TEST(batches_of_products_broadcast)
{
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_BF16};
    for (size_t i = 0; i < ASSAY_COUNT(dtypes); i++) {
        check_matmul(dtypes[i], 4, (const int64_t[]){2, 3, 70, 33}, 4, (const int64_t[]){2, 3, 33, 65});
        check_matmul(dtypes[i], 4, (const int64_t[]){2, 1, 5, 16}, 3, (const int64_t[]){4, 16, 9});
        check_matmul(dtypes[i], 5, (const int64_t[]){1, 2, 7, 1, 64}, 5, (const int64_t[]){1, 2, 1, 64, 130});
        check_matmul(dtypes[i], 3, (const int64_t[]){3, 100, 400}, 2, (const int64_t[]){400, 300});
        check_matmul(dtypes[i], 3, (const int64_t[]){3, 77, 400}, 3, (const int64_t[]){3, 400, 300});
        check_matmul(dtypes[i], 2, (const int64_t[]){1, 1}, 2, (const int64_t[]){1, 1});
    }
}

static void check_einsum(const char *equation, int rank_a, const int64_t *a, int rank_b, const int64_t *b)
{
    struct assay_graph *graph = assay_graph_open("einsum");
    int x = testing_input(graph, "a", ASSAY_F32, rank_a, a);
    int w = testing_random_constant(graph, "b", ASSAY_F32, rank_b, b);
    int y = testing_node(graph, "Einsum", NUMBERS(x, w), "y");
    assay_node_set_string(graph, testing_last(graph), "equation", equation);
    assay_graph_add_output(graph, y);
    testing_equals_reference(graph, F32_TOLERANCE);
}

ASSAY_TEST(sums_over_labels_are_products_where_labels_merge_and_right_where_not)
{
    check_einsum("btc,chd->bthd", 3, (const int64_t[]){2, 9, 30}, 3, (const int64_t[]){30, 4, 8});
    check_einsum("bqhd,bkhd->bhqk", 4, (const int64_t[]){2, 7, 3, 16}, 4, (const int64_t[]){2, 5, 3, 16});
    check_einsum("bhqk,bkhd->bqhd", 4, (const int64_t[]){2, 3, 7, 5}, 4, (const int64_t[]){2, 5, 3, 16});
    check_einsum("bqhd,hdc->bqc", 4, (const int64_t[]){2, 7, 3, 8}, 3, (const int64_t[]){3, 8, 20});
    check_einsum("bchw,co->bohw", 4, (const int64_t[]){2, 6, 5, 4}, 2, (const int64_t[]){6, 9});
    check_einsum("bij,bjk -> bki", 3, (const int64_t[]){3, 4, 50}, 3, (const int64_t[]){3, 50, 6});
    check_einsum("...ij,...jk->...ik", 4, (const int64_t[]){2, 3, 4, 5}, 3, (const int64_t[]){1, 5, 6});
    check_einsum("bhwc,hkc->bhwk", 4, (const int64_t[]){2, 3, 5, 8}, 3, (const int64_t[]){3, 4, 8});
    check_einsum("i,j->ij", 1, (const int64_t[]){11}, 1, (const int64_t[]){7});
    check_einsum("bi,bi->b", 2, (const int64_t[]){3, 11}, 2, (const int64_t[]){3, 11});
    check_einsum("nc,nc->nc", 2, (const int64_t[]){3, 11}, 2, (const int64_t[]){3, 11});
    check_einsum("ahb,bch->ac", 3, (const int64_t[]){3, 4, 5}, 3, (const int64_t[]){5, 6, 4});
    check_einsum("ij,jk->k", 2, (const int64_t[]){3, 4}, 2, (const int64_t[]){4, 5});
    check_einsum("ii,ij->ij", 2, (const int64_t[]){4, 4}, 2, (const int64_t[]){4, 5});
    check_einsum("ij,jk", 2, (const int64_t[]){3, 4}, 2, (const int64_t[]){4, 5});
}

static void check_rotary(enum assay_dtype dtype, bool is_4d, int64_t turned, bool interleaved, int64_t table_batch)
{
    enum { BATCH = 2, HEADS = 3, LENGTH = 50, DIM = 32 };
    struct assay_graph *graph = assay_graph_open("rotary");
    const int64_t flat[] = {BATCH, LENGTH, HEADS * DIM}, split[] = {BATCH, HEADS, LENGTH, DIM};
    const int64_t table[] = {table_batch, LENGTH, (turned ? turned : DIM) / 2};
    int in[] = {testing_input(graph, "x", dtype, is_4d ? 4 : 3, is_4d ? split : flat),
                testing_input(graph, "cos", dtype, 3, table), testing_input(graph, "sin", dtype, 3, table)};
    int y = testing_node(graph, "RotaryEmbedding", 3, in, "y");
    graph->opset = 23;
    if (!is_4d)
        assay_node_set_int(graph, testing_last(graph), "num_heads", HEADS);
    assay_node_set_int(graph, testing_last(graph), "rotary_embedding_dim", turned);
    assay_node_set_int(graph, testing_last(graph), "interleaved", interleaved);
    assay_graph_add_output(graph, y);
    testing_equals_reference(graph, tolerance_of(dtype));
}

ASSAY_TEST(heads_are_turned_by_their_positions)
{
    check_rotary(ASSAY_F32, false, 0, false, 2);
    check_rotary(ASSAY_F32, true, 16, false, 1);
    check_rotary(ASSAY_F32, false, 20, true, 1);
    check_rotary(ASSAY_BF16, false, 0, false, 2);
    check_rotary(ASSAY_BF16, true, 0, true, 2);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(few_rows_and_many_meet_a_constant_weight),
                ASSAY_TEST_ENTRY(activations_follow_bias_and_residual), ASSAY_TEST_ENTRY(batches_of_products_broadcast),
                ASSAY_TEST_ENTRY(sums_over_labels_are_products_where_labels_merge_and_right_where_not),
                ASSAY_TEST_ENTRY(heads_are_turned_by_their_positions))
