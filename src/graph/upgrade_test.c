/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The opset upgrade: nodes in old forms, given constants as inputs, folded to numbers that the old opset's text prescribes. Each
 * is tried with the ranks known to the loader and with ranks that only folding finds (behind a node of an op that is not yet
 * upgraded when asked: an Identity that the file lists after its user).
 */
#include "graph/onnx_testing.h"

static struct assay_error err;
static struct assay_arena arena;

static Onnx__ModelProto *begin(int opset)
{
    assay_arena_clear(&arena);
    return onnx_model(&arena, opset);
}

static void add_input(Onnx__ModelProto *model, Onnx__TensorProto *tensor)
{
    model->graph->initializer[model->graph->n_initializer++] = tensor;
}

static Onnx__NodeProto *add_node(Onnx__ModelProto *model, const char *type, const char *inputs, const char *outputs)
{
    return model->graph->node[model->graph->n_node++] = onnx_node(&arena, type, inputs, outputs);
}

#define F32(model, name, DIMS, ...)                                                                                              \
    add_input(model, onnx_f32(&arena, name, ASSAY_COUNT(((const int64_t[])DIMS)), (const int64_t[])DIMS,                         \
                              ASSAY_COUNT(((const float[]){__VA_ARGS__})), (const float[]){__VA_ARGS__}))
#define DIMS(...)                                                                                                                \
    {                                                                                                                            \
        __VA_ARGS__                                                                                                              \
    }
#define INTS(node, name, ...)                                                                                                    \
    onnx_ints(&arena, node, name, ASSAY_COUNT(((const int64_t[]){__VA_ARGS__})), (const int64_t[]){__VA_ARGS__})

/* Folds the model to its output "y" and compares. With `hide`, input `hide` reaches the node through an Identity listed last. */
static void check_numbers(Onnx__ModelProto *model, const char *hide, int rank, const int64_t *dims, size_t n,
                          const double *wanted)
{
    struct assay_graph *graph;
    Onnx__NodeProto *node = model->graph->node[0];
    size_t n_node = model->graph->n_node, n_output = model->graph->n_output;
    for (size_t i = 0; hide && i < node->n_input; i++)
        if (strcmp(node->input[i], hide) == 0) {
            node->input[i] = "hidden";
            add_node(model, "Identity", hide, "hidden");
        }
    Onnx__ValueInfoProto *y = MESSAGE(&arena, Onnx__ValueInfoProto, ONNX__VALUE_INFO_PROTO__INIT);
    y->name = "y";
    model->graph->output[model->graph->n_output++] = y;
    CHECK_OK(onnx_parse(&arena, model, NULL, &graph, &err), err);
    for (size_t i = 0; hide && i < node->n_input; i++)
        if (strcmp(node->input[i], "hidden") == 0)
            node->input[i] = (char *)(uintptr_t)hide;
    model->graph->n_node = n_node;
    model->graph->n_output = n_output;
    CHECK_INT(graph->opset, 17);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    CHECK_OK(assay_graph_fold(graph, 1 << 20, &err), err);
    CHECK_OK(assay_graph_check(graph, &err), err);
    const struct assay_tensor *result = &graph->values[graph->outputs[0]].constant;
    CHECK(result->data);
    CHECK_INT(result->type.rank, rank);
    for (int i = 0; i < rank; i++)
        CHECK_INT(result->type.dims[i], dims[i]);
    CHECK_INT(assay_tensor_count(result), n);
    for (size_t i = 0; i < n; i++)
        CHECK_NEAR(assay_tensor_real(result, (int64_t)i), wanted[i], 1e-6); /* one or two f32 operations on numbers near 1 */
    assay_graph_close(graph);
}

#define CHECK_Y(model, hide, DIMS, ...)                                                                                          \
    do {                                                                                                                         \
        const int64_t dims_[] = DIMS;                                                                                            \
        const double wanted_[] = {__VA_ARGS__};                                                                                  \
        check_numbers(model, NULL, (int)ASSAY_COUNT(dims_), dims_, ASSAY_COUNT(wanted_), wanted_);                               \
        if (hide)                                                                                                                \
            check_numbers(model, hide, (int)ASSAY_COUNT(dims_), dims_, ASSAY_COUNT(wanted_), wanted_);                           \
    } while (0)

static const char *const no_hiding = NULL;

ASSAY_TEST(softmax_before_13_takes_all_dimensions_from_its_axis_as_one)
{
    Onnx__ModelProto *m = begin(11);
    F32(m, "x", DIMS(1, 2, 2), 0, 0, 0, 0);
    add_node(m, "Softmax", "x", "y");
    CHECK_Y(m, "x", DIMS(1, 2, 2), 0.25, 0.25, 0.25, 0.25);
    m = begin(11);
    F32(m, "x", DIMS(1, 2, 2), 0, 0, 0, 0);
    onnx_int(&arena, add_node(m, "Softmax", "x", "y"), "axis", -1);
    CHECK_Y(m, "x", DIMS(1, 2, 2), 0.5, 0.5, 0.5, 0.5);
    m = begin(12);
    F32(m, "x", DIMS(2, 2, 1), 1, 0, 0, 1);
    add_node(m, "Hardmax", "x", "y");
    CHECK_Y(m, "x", DIMS(2, 2, 1), 1, 0, 0, 1);
}

ASSAY_TEST(a_softmax_over_the_last_axis_stays_one_node)
{
    struct assay_graph *graph;
    Onnx__ModelProto *m = begin(9);
    m->graph->input[m->graph->n_input++] = onnx_value(&arena, "x", ASSAY_F32, 3, (const int64_t[]){2, 3, 4});
    m->graph->output[m->graph->n_output++] = onnx_value(&arena, "y", ASSAY_F32, -1, NULL);
    add_node(m, "Relu", "x", "r"); /* its type is not declared: the loader must find it */
    onnx_int(&arena, add_node(m, "Softmax", "r", "y"), "axis", 2);
    CHECK_OK(onnx_parse(&arena, m, NULL, &graph, &err), err);
    CHECK_INT(graph->n_nodes, 2);
    CHECK_INT(assay_node_int(graph->nodes[1], "axis", 99), -1);
    assay_graph_close(graph);
}

ASSAY_TEST(operands_before_7_are_aligned_at_axis)
{
    Onnx__ModelProto *m = begin(6);
    F32(m, "a", DIMS(2, 2, 2), 0, 0, 0, 0, 0, 0, 0, 0);
    F32(m, "b", DIMS(2), 1, 2);
    Onnx__NodeProto *n = add_node(m, "Add", "a b", "y");
    onnx_int(&arena, n, "broadcast", 1);
    onnx_int(&arena, n, "axis", 1);
    CHECK_Y(m, "a", DIMS(2, 2, 2), 1, 1, 2, 2, 1, 1, 2, 2);
    CHECK_Y(m, "b", DIMS(2, 2, 2), 1, 1, 2, 2, 1, 1, 2, 2);
    n->attribute[1]->i = 0;
    CHECK_Y(m, "b", DIMS(2, 2, 2), 1, 1, 1, 1, 2, 2, 2, 2);
    n->attribute[1]->i = -2;
    CHECK_Y(m, "b", DIMS(2, 2, 2), 1, 1, 2, 2, 1, 1, 2, 2);
    n->n_attribute = 1;
    CHECK_Y(m, "b", DIMS(2, 2, 2), 1, 2, 1, 2, 1, 2, 1, 2);
}

ASSAY_TEST(a_slope_before_7_belongs_to_the_channel)
{
    Onnx__ModelProto *m = begin(6);
    F32(m, "x", DIMS(1, 2, 2), -1, -1, -1, 1);
    F32(m, "s", DIMS(2), 2, 3);
    add_node(m, "PRelu", "x s", "y");
    CHECK_Y(m, "s", DIMS(1, 2, 2), -2, -2, -3, 1);
}

ASSAY_TEST(attributes_become_inputs)
{
    Onnx__ModelProto *m = begin(9);
    F32(m, "x", DIMS(2, 3), 1, 2, 3, 4, 5, 6);
    Onnx__NodeProto *n = add_node(m, "Slice", "x", "y");
    INTS(n, "starts", 0, 1);
    INTS(n, "ends", 1, 1000);
    CHECK_Y(m, no_hiding, DIMS(1, 2), 2, 3);
    m = begin(9);
    F32(m, "x", DIMS(3), -1, 0.5, 9);
    n = add_node(m, "Clip", "x", "y");
    onnx_float(&arena, n, "max", 2);
    CHECK_Y(m, "x", DIMS(3), -1, 0.5, 2);
    m = begin(10);
    F32(m, "x", DIMS(1), 5);
    n = add_node(m, "Pad", "x", "y");
    INTS(n, "pads", 1, 0);
    onnx_float(&arena, n, "value", 7);
    CHECK_Y(m, "x", DIMS(2), 7, 5);
    m = begin(1);
    F32(m, "x", DIMS(1), 5);
    n = add_node(m, "Pad", "x", "y");
    INTS(n, "paddings", 0, 1);
    CHECK_Y(m, "x", DIMS(2), 5, 0);
    m = begin(9);
    F32(m, "x", DIMS(3), 1, 3, 2);
    n = add_node(m, "TopK", "x", "y indices");
    onnx_int(&arena, n, "k", 2);
    CHECK_Y(m, no_hiding, DIMS(2), 3, 2);
    m = begin(11);
    F32(m, "x", DIMS(2, 1), 1, 2);
    INTS(add_node(m, "Squeeze", "x", "y"), "axes", 1);
    CHECK_Y(m, no_hiding, DIMS(2), 1, 2);
    m = begin(11);
    F32(m, "x", DIMS(2), 1, 2);
    INTS(add_node(m, "Unsqueeze", "x", "y"), "axes", 0);
    CHECK_Y(m, no_hiding, DIMS(1, 2), 1, 2);
    m = begin(11);
    F32(m, "x", DIMS(2, 2), 1, 2, 3, 4);
    n = add_node(m, "ReduceSum", "x", "y");
    INTS(n, "axes", 0);
    onnx_int(&arena, n, "keepdims", 0);
    CHECK_Y(m, no_hiding, DIMS(2), 4, 6);
    m = begin(2);
    F32(m, "x", DIMS(3), 1, 2, 3);
    INTS(add_node(m, "Split", "x", "first y"), "split", 1, 2);
    CHECK_Y(m, no_hiding, DIMS(2), 2, 3);
    m = begin(1);
    F32(m, "x", DIMS(4), 1, 2, 3, 4);
    n = add_node(m, "Reshape", "x", "y");
    INTS(n, "shape", 2, 2);
    INTS(n, "consumed_inputs", 0);
    CHECK_Y(m, no_hiding, DIMS(2, 2), 1, 2, 3, 4);
}

ASSAY_TEST(old_names_and_defaults_are_kept)
{
    Onnx__ModelProto *m = begin(1);
    F32(m, "x", DIMS(2), 1.5, -2.5);
    onnx_string(&arena, add_node(m, "Cast", "x", "y"), "to", "INT32");
    CHECK_Y(m, no_hiding, DIMS(2), 1, -2);
    m = begin(1);
    F32(m, "x", DIMS(1, 1), 1);
    add_node(m, "Concat", "x x", "y");
    CHECK_Y(m, no_hiding, DIMS(1, 2), 1, 1);
    m = begin(1);
    F32(m, "x", DIMS(1), 1000);
    add_node(m, "Selu", "x", "y");
    /* Rounded to f32 once more than the number on the right, at 1050: half a unit in the last place is 6e-5. */
    struct assay_graph *graph;
    m->graph->output[m->graph->n_output++] = onnx_value(&arena, "y", ASSAY_F32, -1, NULL);
    CHECK_OK(onnx_parse(&arena, m, NULL, &graph, &err), err);
    CHECK_NEAR(assay_node_float(graph->nodes[0], "gamma", 0), 1.0507, 1e-7);
    assay_graph_close(graph);
    m = begin(5);
    F32(m, "x", DIMS(1, 2), 1, 2);
    F32(m, "n", DIMS(1), 2);
    F32(m, "axis", DIMS(1), 1);
    add_node(m, "Tile", "x n axis", "y");
    CHECK_Y(m, "x", DIMS(1, 4), 1, 2, 1, 2);
    m = begin(13);
    INTS(add_node(m, "Constant", "", "y"), "value_ints", 4, 5);
    CHECK_Y(m, no_hiding, DIMS(2), 4, 5);
}

ASSAY_TEST(upsample_becomes_resize)
{
    Onnx__ModelProto *m = begin(7);
    F32(m, "x", DIMS(1, 1, 1, 2), 1, 2);
    onnx_floats(&arena, add_node(m, "Upsample", "x", "y"), "scales", 4, (const float[]){1, 1, 1, 2});
    CHECK_Y(m, no_hiding, DIMS(1, 1, 1, 4), 1, 1, 2, 2);
    m = begin(1);
    F32(m, "x", DIMS(1, 1, 1, 2), 1, 2);
    Onnx__NodeProto *n = add_node(m, "Upsample", "x", "y");
    onnx_float(&arena, n, "height_scale", 2);
    onnx_float(&arena, n, "width_scale", 1);
    CHECK_Y(m, no_hiding, DIMS(1, 1, 2, 2), 1, 2, 1, 2);
    m = begin(10);
    F32(m, "x", DIMS(1, 1, 2, 4), 1, 2, 3, 4, 5, 6, 7, 8);
    F32(m, "s", DIMS(4), 1, 1, 0.6f, 0.6f);
    add_node(m, "Resize", "x s", "y");
    CHECK_Y(m, no_hiding, DIMS(1, 1, 1, 2), 1, 3); /* test_resize_downsample_scales_nearest of onnx 1.5 */
}

ASSAY_TEST(normalisation_of_elements_is_written_out)
{
    Onnx__ModelProto *m = begin(7);
    F32(m, "x", DIMS(1, 2), 3, 8);
    F32(m, "s", DIMS(2), 1, 2);
    F32(m, "b", DIMS(2), 0, 1);
    F32(m, "mean", DIMS(2), 1, 2);
    F32(m, "var", DIMS(2), 4, 9);
    Onnx__NodeProto *n = add_node(m, "BatchNormalization", "x s b mean var", "y");
    onnx_int(&arena, n, "spatial", 0);
    onnx_float(&arena, n, "epsilon", 0);
    CHECK_Y(m, "x", DIMS(1, 2), 1, 5);
}

ASSAY_TEST(dropout_is_for_inference_and_keeps_its_ratio)
{
    Onnx__ModelProto *m = begin(6);
    F32(m, "x", DIMS(2), 3, 8);
    Onnx__NodeProto *n = add_node(m, "Dropout", "x", "y");
    onnx_float(&arena, n, "ratio", 0.25f);
    onnx_int(&arena, n, "is_test", 1);
    struct assay_graph *graph;
    m->graph->output[m->graph->n_output++] = onnx_value(&arena, "y", ASSAY_F32, -1, NULL);
    CHECK_OK(onnx_parse(&arena, m, NULL, &graph, &err), err);
    CHECK_INT(graph->nodes[0]->n_attrs, 0);
    CHECK_INT(graph->nodes[0]->n_inputs, 2);
    CHECK_NEAR(assay_tensor_real(&graph->values[graph->nodes[0]->inputs[1]].constant, 0), 0.25, 0);
    assay_graph_close(graph);
}

ASSAY_TEST(forms_without_an_equivalent_are_named)
{
    struct assay_graph *graph;
    Onnx__ModelProto *m = begin(8);
    F32(m, "x", DIMS(2), 3, 8);
    add_node(m, "Scan", "- x", "y")->name = "old";
    CHECK_INT(onnx_parse(&arena, m, NULL, &graph, &err), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(err.message, "'old' (Scan of opset 8)");
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(softmax_before_13_takes_all_dimensions_from_its_axis_as_one),
                ASSAY_TEST_ENTRY(a_softmax_over_the_last_axis_stays_one_node),
                ASSAY_TEST_ENTRY(operands_before_7_are_aligned_at_axis),
                ASSAY_TEST_ENTRY(a_slope_before_7_belongs_to_the_channel), ASSAY_TEST_ENTRY(attributes_become_inputs),
                ASSAY_TEST_ENTRY(old_names_and_defaults_are_kept), ASSAY_TEST_ENTRY(upsample_becomes_resize),
                ASSAY_TEST_ENTRY(normalisation_of_elements_is_written_out),
                ASSAY_TEST_ENTRY(dropout_is_for_inference_and_keeps_its_ratio),
                ASSAY_TEST_ENTRY(forms_without_an_equivalent_are_named))
