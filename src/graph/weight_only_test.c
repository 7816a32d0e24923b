/* SPDX-License-Identifier: Apache-2.0 */
/* Oracles: the bounds of rounding, and the graph before. */
#include "graph/weight_only.h"

#include "graph/onnx.h"
#include "graph/testing.h"

#include <math.h>

enum { K = 96, N = 64 };

static struct assay_tensor noise(const int64_t *dims, uint64_t seed)
{
    struct assay_type type = assay_type_make(ASSAY_F32, 2, dims);
    struct assay_tensor tensor;
    struct assay_rng rng;
    assay_rng_init(&rng, seed, assay_rng_stream("noise"));
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    for (int64_t i = 0; i < assay_tensor_count(&tensor); i++)
        assay_tensor_set_real(&tensor, i, assay_rng_normal(&rng));
    return tensor;
}

static int weight(struct assay_graph *graph, const char *name, int64_t rows, int64_t columns)
{
    struct assay_tensor tensor = noise((const int64_t[]){rows, columns}, (uint64_t)graph->n_values);
    int value = assay_graph_add_constant(graph, name, &tensor);
    assay_tensor_release(&tensor);
    return value;
}

static struct assay_tensor result_of(struct assay_graph *graph)
{
    struct assay_error err;
    struct assay_tensor x = noise((const int64_t[]){2, K}, 1), y;
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    CHECK_OK(testing_run(graph, &x, &y, &err), err);
    assay_tensor_release(&x);
    return y;
}

static int count(const struct assay_graph *graph, const char *type)
{
    int n = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        n += strcmp(graph->nodes[i]->type, type) == 0;
    return n;
}

/* x · w as MatMul, MatMul of a Transpose, Gemm and Gemm with transB, added. */
static struct assay_graph *four_products(void)
{
    struct assay_graph *graph = assay_graph_open("products");
    int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){2, K});
    int turned = weight(graph, "b", N, K);
    int products[] = {
        testing_node(graph, "MatMul", NUMBERS(x, weight(graph, "a", K, N)), "p"),
        testing_node(graph, "MatMul", NUMBERS(x, testing_node(graph, "Transpose", NUMBERS(turned), "t")), "q"),
        testing_node(graph, "Gemm", NUMBERS(x, weight(graph, "c", K, N)), "r"),
        testing_node(graph, "Gemm", NUMBERS(x, weight(graph, "d", N, K)), "s"),
    };
    assay_node_set_int(graph, testing_last(graph), "transB", 1);
    assay_graph_add_output(graph, testing_node(graph, "Sum", 4, products, "y"));
    return graph;
}

/* A code is off by half a scale at most, and a scale is the group's largest over 127 or 7 (bf16 adds 2^-7): for normal weights
 * and inputs the sum of 4 · 96 products is off by some 0.5 / 127 · 3 · sqrt(384 / 3) ≈ 0.13 of sums near 20. */
ASSAY_TEST(codes_and_scales_give_nearly_the_same_product)
{
    static const double allowed[] = {0.015, 0.2};
    for (int four = 0; four < 2; four++) {
        struct assay_error err;
        struct assay_graph *graph = four_products();
        struct assay_tensor before = result_of(graph);
        CHECK_OK(assay_graph_quantize_weights(graph, four ? ASSAY_I4 : ASSAY_I8, &err), err);
        CHECK_INT(count(graph, "DequantizeLinear"), 4);
        CHECK_INT(count(graph, "Transpose"), 0);
        CHECK_INT(graph->opset, 21);
        for (int v = 0; v < graph->n_values; v++)
            CHECK(!graph->values[v].constant.data || graph->values[v].constant.type.dtype != ASSAY_F32 ||
                  assay_tensor_count(&graph->values[v].constant) < 4096);
        struct assay_tensor after = result_of(graph);
        struct assay_difference d = assay_tensor_compare(&after, &before, 0, 0);
        CHECK(d.same_type && d.max_rel < allowed[four] && d.max_rel > 1e-4);
        assay_tensor_release(&before);
        assay_tensor_release(&after);
        assay_graph_close(graph);
    }
}

ASSAY_TEST(scales_are_positive_and_hold_in_bf16)
{
    struct assay_error err;
    struct assay_graph *graph = four_products();
    int n = 0;
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_quantize_weights(graph, ASSAY_I4, &err), err);
    for (int i = 0; i < graph->n_nodes; i++) {
        if (strcmp(graph->nodes[i]->type, "DequantizeLinear") != 0)
            continue;
        const struct assay_tensor *scales = &graph->values[graph->nodes[i]->inputs[1]].constant;
        for (int64_t k = 0; k < assay_tensor_count(scales); k++, n++) {
            float scale = ((const float *)scales->data)[k];
            CHECK(scale > 0 && assay_bf16_to_f32(assay_f32_to_bf16(scale)) == scale);
        }
    }
    CHECK_INT(n, 4 * K / 32 * N);
    assay_graph_close(graph);
}

/* The table of a tied embedding is read by rows in f32, and multiplied with as codes. */
ASSAY_TEST(a_weight_that_something_else_reads_stays_beside_its_codes)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("tied");
    int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){2, K}), table = weight(graph, "table", N, K);
    int row = testing_constant(graph, "row", ASSAY_I64, (const double[]){3}, 1);
    int hidden = testing_node(graph, "Add", NUMBERS(x, testing_node(graph, "Gather", NUMBERS(table, row), "g")), "h");
    int turned = testing_node(graph, "Transpose", NUMBERS(table), "t");
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(hidden, turned), "y"));
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_quantize_weights(graph, ASSAY_I8, &err), err);
    CHECK(graph->values[assay_graph_find(graph, "table")].constant.data != NULL);
    CHECK_INT(count(graph, "Gather"), 1);
    CHECK_INT(count(graph, "DequantizeLinear"), 1);
    assay_graph_close(graph);
}

/* Opset 18 moved the axes of ReduceMean, 18 wants num_outputs of a Split without lengths. */
ASSAY_TEST(older_forms_become_those_of_the_opset)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("forms");
    int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){2, K}), w = weight(graph, "a", K, N);
    int y = testing_node(graph, "ReduceMean", 1, &x, "m");
    assay_node_set_ints(graph, testing_last(graph), "axes", (const int64_t[]){1}, 1);
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(testing_node(graph, "Sub", NUMBERS(x, y), "s"), w), "y"));
    struct assay_tensor before = result_of(graph);
    CHECK_OK(assay_graph_quantize_weights(graph, ASSAY_I8, &err), err);
    struct assay_tensor after = result_of(graph);
    CHECK(assay_tensor_compare(&after, &before, 0, 0).max_rel < 0.015);
    for (int i = 0; i < graph->n_nodes; i++)
        if (strcmp(graph->nodes[i]->type, "ReduceMean") == 0) {
            CHECK(!assay_node_attr(graph->nodes[i], "axes"));
            CHECK_INT(graph->nodes[i]->n_inputs, 2);
        }
    assay_tensor_release(&before);
    assay_tensor_release(&after);
    assay_graph_close(graph);
}

ASSAY_TEST(a_file_brings_back_what_was_saved)
{
    struct assay_error err;
    struct assay_graph *graph = four_products(), *again = NULL;
    char a[ASSAY_HASH_TEXT_SIZE], b[ASSAY_HASH_TEXT_SIZE];
    void *data;
    size_t size;
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_quantize_weights(graph, ASSAY_I4, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    CHECK_OK(assay_onnx_serialize(graph, 0, &data, &size, &err), err);
    CHECK_OK(assay_onnx_parse(data, size, NULL, "memory", &again, &err), err);
    CHECK_INT(again->ir_version, 10);
    assay_graph_hash(graph, a);
    assay_graph_hash(again, b);
    CHECK_TEXT(a, b);
    struct assay_tensor saved = result_of(graph), loaded = result_of(again);
    CHECK_NEAR(assay_tensor_compare(&loaded, &saved, 0, 0).max_abs, 0, 0);
    assay_tensor_release(&saved);
    assay_tensor_release(&loaded);
    free(data);
    assay_graph_close(graph);
    assay_graph_close(again);
}

ASSAY_TEST(what_has_no_such_weight_is_refused)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("small");
    int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){2, K});
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(x, weight(graph, "a", K, 8)), "y"));
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_INT(assay_graph_quantize_weights(graph, ASSAY_I8, &err), ASSAY_UNSUPPORTED);
    CHECK(strstr(err.message, "no weight to quantize"));
    CHECK_INT(graph->opset, ASSAY_OPSET);
    assay_graph_close(graph);
}

ASSAY_TEST(a_weight_that_is_not_finite_is_refused_by_name)
{
    struct assay_error err;
    struct assay_graph *graph = four_products();
    ((float *)graph->values[assay_graph_find(graph, "c")].constant.data)[5] = INFINITY;
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_INT(assay_graph_quantize_weights(graph, ASSAY_I8, &err), ASSAY_UNSUPPORTED);
    CHECK(strstr(err.message, "'c'"));
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(codes_and_scales_give_nearly_the_same_product),
                ASSAY_TEST_ENTRY(scales_are_positive_and_hold_in_bf16),
                ASSAY_TEST_ENTRY(a_weight_that_something_else_reads_stays_beside_its_codes),
                ASSAY_TEST_ENTRY(older_forms_become_those_of_the_opset), ASSAY_TEST_ENTRY(a_file_brings_back_what_was_saved),
                ASSAY_TEST_ENTRY(what_has_no_such_weight_is_refused),
                ASSAY_TEST_ENTRY(a_weight_that_is_not_finite_is_refused_by_name))
