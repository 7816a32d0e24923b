/* SPDX-License-Identifier: Apache-2.0 */
/* Oracles: formulas, the f32 graph, and integers so small that every precision holds them exactly. */
#include "graph/precision.h"

#include "graph/testing.h"

static const int64_t two_by_two[] = {2, 2};

static void set(struct assay_graph *graph, enum assay_dtype dtype)
{
    struct assay_error err = {0};
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_set_precision(graph, dtype, &err), err);
}

/* f32[2,2]. */
static int matrix(struct assay_graph *graph, const char *name, double a, double b, double c, double d)
{
    struct assay_type type = assay_type_make(ASSAY_F32, 2, two_by_two);
    struct assay_tensor tensor;
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    memcpy(tensor.data, (const float[]){(float)a, (float)b, (float)c, (float)d}, 4 * sizeof(float));
    int number = assay_graph_add_constant(graph, name, &tensor);
    assay_tensor_release(&tensor);
    return number;
}

static int scalar(struct assay_graph *graph, const char *name, float x)
{
    struct assay_type type = assay_type_make(ASSAY_F32, 0, NULL);
    struct assay_tensor tensor;
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    memcpy(tensor.data, &x, sizeof x);
    int number = assay_graph_add_constant(graph, name, &tensor);
    assay_tensor_release(&tensor);
    return number;
}

static int input(struct assay_graph *graph, const char *name) { return testing_input(graph, name, ASSAY_F32, 2, two_by_two); }

static enum assay_dtype dtype_of(const struct assay_graph *graph, const char *name)
{
    int number = assay_graph_find(graph, name);
    CHECK(number >= 0);
    return graph->values[number].type.dtype;
}

static int count(const struct assay_graph *graph, const char *type)
{
    int n = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        n += strcmp(graph->nodes[i]->type, type) == 0;
    return n;
}

/* The one output of a graph, on inputs f32[2,2]. */
static void run(const struct assay_graph *graph, int n_inputs, float inputs[][4], float result[4])
{
    struct assay_type type = assay_type_make(ASSAY_F32, 2, two_by_two);
    struct assay_tensor tensors[4], output;
    struct assay_error err = {0};
    CHECK_INT(graph->n_inputs, n_inputs);
    for (int i = 0; i < n_inputs; i++)
        assay_tensor_borrow(&tensors[i], &type, inputs[i]);
    CHECK_OK(testing_run(graph, tensors, &output, &err), err);
    CHECK_INT(output.type.dtype, ASSAY_F32);
    memcpy(result, output.data, 4 * sizeof *result);
    assay_tensor_release(&output);
}

/* softmax(relu(x · W + b) · V), relu's result an output too if `both`. */
static struct assay_graph *small_model(bool both)
{
    struct assay_graph *graph = assay_graph_open("small");
    int x = input(graph, "x"), w = matrix(graph, "w", 1.001, 2, -3, 0.5), b = matrix(graph, "b", 0.1, 0.2, 0.3, 0.4);
    int product = testing_node(graph, "MatMul", NUMBERS(x, w), "product");
    int hidden = testing_node(graph, "Relu", NUMBERS(testing_node(graph, "Add", NUMBERS(product, b), "sum")), "hidden");
    int scores = testing_node(graph, "MatMul", NUMBERS(hidden, matrix(graph, "v", 0.3, 0.6, 0.9, -1)), "scores");
    assay_graph_add_output(graph, testing_node(graph, "Softmax", NUMBERS(scores), "y"));
    if (both)
        assay_graph_add_output(graph, hidden);
    return graph;
}

ASSAY_TEST(products_and_what_follows_run_low_and_the_interface_stays_f32)
{
    struct assay_graph *graph = small_model(true);
    set(graph, ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "x"), ASSAY_F32);
    CHECK_INT(dtype_of(graph, "y"), ASSAY_F32);
    CHECK_INT(dtype_of(graph, "hidden"), ASSAY_F32);
    CHECK_INT(dtype_of(graph, "hidden_bf16"), ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "sum"), ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "scores"), ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "w"), ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "b"), ASSAY_BF16);
    CHECK_INT(count(graph, "Cast"), 3); /* of x, of scores for Softmax, of hidden as an output */
    CHECK_TEXT(graph->values[graph->outputs[0]].name, "y");
    CHECK_TEXT(graph->values[graph->outputs[1]].name, "hidden");
    assay_graph_close(graph);
}

ASSAY_TEST(norms_and_softmax_are_low_only_for_kernels_that_sum_in_f32)
{
    for (int fused = 0; fused < 2; fused++) {
        struct assay_graph *graph = assay_graph_open("normed");
        struct assay_error err = {0};
        int product = testing_node(graph, "MatMul", NUMBERS(input(graph, "x"), matrix(graph, "w", 1, 2, -3, 0.5)), "product");
        int scale = testing_constant(graph, "scale", ASSAY_F32, (const double[]){1, 2}, 2);
        int normed = testing_node(graph, "LayerNormalization", NUMBERS(product, scale), "normed");
        int scores = testing_node(graph, "MatMul", NUMBERS(normed, matrix(graph, "v", 0.3, 0.6, 0.9, -1)), "scores");
        int shares = testing_node(graph, "Softmax", NUMBERS(scores), "shares");
        assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(shares, matrix(graph, "u", 1, 2, 3, 4)), "y"));
        CHECK_OK(assay_graph_sort(graph, &err), err);
        CHECK_OK((fused ? assay_graph_set_precision_fused : assay_graph_set_precision)(graph, ASSAY_BF16, &err), err);
        CHECK_INT(dtype_of(graph, "normed"), fused ? ASSAY_BF16 : ASSAY_F32);
        CHECK_INT(dtype_of(graph, "shares"), fused ? ASSAY_BF16 : ASSAY_F32);
        CHECK_INT(dtype_of(graph, "scale"), ASSAY_F32);
        CHECK_INT(count(graph, "Cast"), fused ? 2 : 6); /* of the interface; and around both */
        assay_graph_close(graph);
    }
}

ASSAY_TEST(each_step_is_rounded_once_to_nearest_even)
{
    struct assay_graph *graph = assay_graph_open("rounded");
    int x = input(graph, "x");
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(x, matrix(graph, "w", 1, 0, 0, 1)), "y"));
    set(graph, ASSAY_BF16);
    /* 1 + 2^-8 and 1 + 3 · 2^-8 lie between two numbers of 8 bits: the even one is taken. */
    float result[4], inputs[1][4] = {{1.00390625F, 1.01171875F, 1.00390637F, 2}};
    run(graph, 1, inputs, result);
    CHECK_NEAR(result[0], 1, 0);
    CHECK_NEAR(result[1], 1.015625, 0);
    CHECK_NEAR(result[2], 1.0078125, 0);
    assay_graph_close(graph);
}

ASSAY_TEST(results_are_within_the_precision_of_those_in_f32)
{
    static const struct {
        enum assay_dtype dtype;
        double tolerance; /* a few of its rounding units: 2^-8 and 2^-11 */
    } cases[] = {{ASSAY_BF16, 0.02}, {ASSAY_F16, 0.0025}};
    float inputs[1][4] = {{0.7F, -0.3F, 1.2F, 0.05F}}, wanted[4], got[4];
    struct assay_graph *wide = small_model(false);
    struct assay_error err = {0};
    CHECK_OK(assay_graph_sort(wide, &err), err);
    run(wide, 1, inputs, wanted);
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct assay_graph *graph = small_model(false);
        set(graph, cases[i].dtype);
        run(graph, 1, inputs, got);
        for (int k = 0; k < 4; k++)
            CHECK_NEAR(got[k], wanted[k], cases[i].tolerance);
        assay_graph_close(graph);
    }
    assay_graph_close(wide);
}

ASSAY_TEST(a_value_is_cast_once_for_all_its_readers)
{
    struct assay_graph *graph = assay_graph_open("once");
    int x = input(graph, "x"), w = matrix(graph, "w", 1, 2, 3, 4), v = matrix(graph, "v", 1, 2, 3, 4);
    int a = testing_node(graph, "MatMul", NUMBERS(x, w), "a"), b = testing_node(graph, "MatMul", NUMBERS(x, v), "b");
    int p = testing_node(graph, "Softmax", NUMBERS(a), "p"), e = testing_node(graph, "Exp", NUMBERS(a), "e");
    int both = testing_node(graph, "Add", NUMBERS(p, e), "both");
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(both, b), "y"));
    set(graph, ASSAY_F16);
    CHECK_INT(dtype_of(graph, "both"), ASSAY_F32);
    CHECK_INT(count(graph, "Cast"), 4); /* x, a, both, y */
    assay_graph_close(graph);
}

ASSAY_TEST(steps_between_f32_ops_join_them_where_no_cast_is_lost)
{
    /* GELU: x (1 + erf(x / sqrt 2)) / 2. Its first division reads the x that Erf's product needs in f32 anyway. */
    struct assay_graph *graph = assay_graph_open("gelu");
    int x = testing_node(graph, "MatMul", NUMBERS(input(graph, "in"), matrix(graph, "w", 1, 2, 3, 4)), "x");
    int erf = testing_node(graph, "Erf",
                           NUMBERS(testing_node(graph, "Div", NUMBERS(x, scalar(graph, "root", 1.41421356F)), "ratio")), "erf");
    int one_more = testing_node(graph, "Add", NUMBERS(erf, scalar(graph, "one", 1)), "one_more");
    int gelu = testing_node(graph, "Mul", NUMBERS(x, one_more), "gelu");
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(gelu, matrix(graph, "v", 1, 2, 3, 4)), "y"));
    set(graph, ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "x"), ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "ratio"), ASSAY_F32);
    CHECK_INT(dtype_of(graph, "gelu"), ASSAY_F32);
    CHECK_INT(count(graph, "Cast"), 4); /* in, x, gelu, y */
    assay_graph_close(graph);
}

ASSAY_TEST(a_cast_to_f32_of_f32_does_not_stand_between_two_others)
{
    struct assay_graph *graph = assay_graph_open("casts");
    int x = testing_node(graph, "MatMul", NUMBERS(input(graph, "in"), matrix(graph, "w", 1, 2, 3, 4)), "x");
    int same = testing_node(graph, "Cast", NUMBERS(x), "same");
    assay_node_set_int(graph, testing_last(graph), "to", ASSAY_F32);
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(same, matrix(graph, "v", 1, 2, 3, 4)), "y"));
    set(graph, ASSAY_BF16);
    CHECK_INT(count(graph, "Cast"), 2);
    CHECK_INT(dtype_of(graph, "same"), ASSAY_BF16);
    assay_graph_close(graph);
}

ASSAY_TEST(a_cast_from_bool_makes_the_low_precision_at_once)
{
    struct assay_graph *graph = assay_graph_open("flags");
    int flags = testing_input(graph, "flags", ASSAY_BOOL, 2, two_by_two);
    int x = testing_node(graph, "Cast", NUMBERS(flags), "x");
    assay_node_set_int(graph, testing_last(graph), "to", ASSAY_F32);
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(x, matrix(graph, "w", 1, 2, 3, 4)), "y"));
    set(graph, ASSAY_F16);
    CHECK_INT(count(graph, "Cast"), 2);
    CHECK_INT(dtype_of(graph, "x"), ASSAY_F16);
    assay_graph_close(graph);
}

/* Attention scores x · W plus a mask, and their softmax times V. */
static struct assay_graph *masked(bool constant_mask)
{
    struct assay_graph *graph = assay_graph_open("masked");
    int x = input(graph, "x"), mask;
    if (constant_mask) {
        mask = matrix(graph, "mask", -3.40282347e38, -3.40282347e38, 0, -3.40282347e38);
    } else {
        int kept = testing_node(graph, "Greater", NUMBERS(input(graph, "keep"), scalar(graph, "half", 0.5F)), "kept");
        mask = testing_node(graph, "Where", NUMBERS(kept, scalar(graph, "zero", 0), scalar(graph, "lowest", -3.40282347e38F)),
                            "mask");
    }
    int scores = testing_node(graph, "MatMul", NUMBERS(x, matrix(graph, "w", 30, 0, 0, 30)), "scores");
    int p = testing_node(graph, "Softmax", NUMBERS(testing_node(graph, "Add", NUMBERS(scores, mask), "sum")), "p");
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(p, matrix(graph, "v", 1, 0, 0, 1)), "y"));
    return graph;
}

ASSAY_TEST(masks_make_no_nan_where_a_whole_row_is_masked)
{
    float inputs[2][4] = {{-2, -1, 1, 2}, {0, 0, 1, 0}}, result[4];
    for (int i = 0; i < 4; i++) {
        struct assay_graph *graph = masked(i & 1);
        set(graph, i & 2 ? ASSAY_F16 : ASSAY_BF16);
        run(graph, i & 1 ? 1 : 2, inputs, result);
        CHECK_NEAR(result[0], 0.5, 0); /* as in f32: all masked alike */
        CHECK_NEAR(result[1], 0.5, 0);
        CHECK_NEAR(result[2], 1, 0);
        CHECK_NEAR(result[3], 0, 0);
        assay_graph_close(graph);
    }
}

ASSAY_TEST(weights_beyond_the_range_become_its_bounds_and_infinities_stay)
{
    struct assay_graph *graph = assay_graph_open("range");
    int w = matrix(graph, "w", 1e6, -1e6, INFINITY, 1e-30);
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(input(graph, "x"), w), "y"));
    set(graph, ASSAY_F16);
    const struct assay_tensor *t = &graph->values[assay_graph_find(graph, "w")].constant;
    CHECK_NEAR(assay_tensor_real(t, 0), 65504, 0);
    CHECK_NEAR(assay_tensor_real(t, 1), -65504, 0);
    CHECK(isinf(assay_tensor_real(t, 2)));
    CHECK_NEAR(assay_tensor_real(t, 3), 0, 0);
    assay_graph_close(graph);
}

ASSAY_TEST(an_epsilon_that_f16_does_not_have_stays_f32)
{
    struct assay_graph *graph = assay_graph_open("epsilon");
    int x = testing_node(graph, "MatMul", NUMBERS(input(graph, "in"), matrix(graph, "w", 0, 0, 0, 0)), "x");
    int safe = testing_node(graph, "Add", NUMBERS(x, scalar(graph, "epsilon", 1e-12F)), "safe");
    assay_graph_add_output(graph, testing_node(graph, "Div", NUMBERS(x, safe), "y"));
    set(graph, ASSAY_F16);
    float inputs[1][4] = {{1, 2, 3, 4}}, result[4];
    run(graph, 1, inputs, result);
    CHECK_NEAR(result[0], 0, 0); /* not 0/0 */
    assay_graph_close(graph);
}

ASSAY_TEST(probabilities_below_the_range_of_f16_are_told)
{
    struct assay_graph *graph = assay_graph_open("probabilities");
    int x = testing_node(graph, "MatMul", NUMBERS(input(graph, "in"), matrix(graph, "w", -20, 0, 0, -20)), "x");
    assay_graph_add_output(graph, testing_node(graph, "Sigmoid", NUMBERS(x), "y"));
    set(graph, ASSAY_F16);
    float inputs[1][4] = {{1, 1, 0, 1}}, result[4];
    run(graph, 1, inputs, result);
    CHECK_NEAR(result[0], 1 / (1 + exp(20)), 1e-14);
    CHECK_INT(count(graph, "Cast"), 2);
    assay_graph_close(graph);
}

ASSAY_TEST(a_weight_that_both_precisions_read_is_kept_in_both)
{
    struct assay_graph *graph = assay_graph_open("tied");
    int w = matrix(graph, "w", 1, 2, 3, 4), x = input(graph, "x");
    int norm = testing_node(graph, "LayerNormalization", NUMBERS(x, w), "norm");
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(norm, w), "y"));
    set(graph, ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "w"), ASSAY_F32);
    CHECK_INT(dtype_of(graph, "w_bf16"), ASSAY_BF16);
    CHECK_INT(graph->values[assay_graph_find(graph, "w_bf16")].constant.type.dtype, ASSAY_BF16);
    assay_graph_close(graph);
}

ASSAY_TEST(an_embedding_is_stored_low_once_for_lookup_and_head)
{
    struct assay_graph *graph = assay_graph_open("tied");
    int table = matrix(graph, "table", 1, 2, 3, 4), ids = testing_input(graph, "ids", ASSAY_I64, 1, (const int64_t[]){2});
    int x = testing_node(graph, "Gather", NUMBERS(table, ids), "x");
    int turned = testing_node(graph, "Transpose", NUMBERS(table), "turned");
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(x, turned), "y"));
    set(graph, ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "table"), ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "turned"), ASSAY_BF16);
    CHECK_INT(count(graph, "Cast"), 1);
    assay_graph_close(graph);
}

ASSAY_TEST(angles_of_positions_are_computed_in_f32_and_their_tables_are_cast)
{
    struct assay_graph *graph = assay_graph_open("rope");
    int positions = testing_node(graph, "Cast", NUMBERS(testing_input(graph, "ids", ASSAY_I64, 2, two_by_two)), "positions");
    assay_node_set_int(graph, testing_last(graph), "to", ASSAY_F32);
    int angles = testing_node(graph, "MatMul", NUMBERS(positions, matrix(graph, "frequencies", 1, 0.1, 0.01, 0.001)), "angles");
    int sine = testing_node(graph, "Sin", NUMBERS(angles), "sine");
    int q = testing_node(graph, "MatMul", NUMBERS(input(graph, "x"), matrix(graph, "w", 1, 2, 3, 4)), "q");
    int turned = testing_node(graph, "Mul", NUMBERS(q, sine), "turned");
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(turned, matrix(graph, "v", 1, 2, 3, 4)), "y"));
    set(graph, ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "angles"), ASSAY_F32);
    CHECK_INT(dtype_of(graph, "frequencies"), ASSAY_F32);
    CHECK_INT(dtype_of(graph, "sine"), ASSAY_F32);
    CHECK_INT(dtype_of(graph, "turned"), ASSAY_BF16);
    assay_graph_close(graph);
}

/* Keys of this step behind those of before, both ends a state; if `through`, the cache passes through and the result is an
 * output. */
static struct assay_graph *cached(bool through)
{
    struct assay_graph *graph = assay_graph_open("cached");
    int x = input(graph, "x");
    int past = testing_input(graph, "past", ASSAY_F32, 2, (const int64_t[]){-1, 2});
    int q = testing_node(graph, "MatMul", NUMBERS(x, matrix(graph, "w", 1, 2, 3, 4)), "q");
    int norm = testing_node(graph, "Softmax", NUMBERS(q), "norm"); /* f32, as the keys of a model with norms on them */
    int present = testing_node(graph, "Concat", NUMBERS(past, norm), "present");
    assay_node_set_int(graph, testing_last(graph), "axis", 0);
    int turned = testing_node(graph, "Transpose", NUMBERS(present), "turned");
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(q, turned), "y"));
    assay_graph_add_output(graph, through ? past : present);
    assay_graph_add_state(graph, 1, 1);
    if (through)
        assay_graph_add_output(graph, present);
    return graph;
}

ASSAY_TEST(both_ends_of_a_state_are_kept_low)
{
    struct assay_graph *graph = cached(false);
    set(graph, ASSAY_F16);
    CHECK_INT(dtype_of(graph, "past"), ASSAY_F16);
    CHECK_INT(dtype_of(graph, "present"), ASSAY_F16);
    CHECK_TEXT(graph->values[graph->outputs[1]].name, "present");
    CHECK_TEXT(graph->values[graph->inputs[1]].name, "past");
    CHECK_INT(count(graph, "Cast"), 4); /* x, q for Softmax, norm, y: the cache itself is never cast */
    CHECK_INT(graph->n_states, 1);
    assay_graph_close(graph);
}

ASSAY_TEST(a_state_that_passes_through_changes_at_both_ends)
{
    struct assay_graph *graph = cached(true);
    set(graph, ASSAY_F16);
    CHECK_INT(graph->outputs[1], graph->inputs[1]);
    CHECK_INT(dtype_of(graph, "past"), ASSAY_F16);
    CHECK_INT(dtype_of(graph, "present"), ASSAY_F32);
    assay_graph_close(graph);
}

ASSAY_TEST(a_state_made_in_f32_is_cast_under_its_name)
{
    struct assay_graph *graph = assay_graph_open("summed");
    int x = input(graph, "x"), past = input(graph, "past");
    int q = testing_node(graph, "MatMul", NUMBERS(x, past), "q");
    int present = testing_node(graph, "Softmax", NUMBERS(q), "present");
    assay_graph_add_output(graph, testing_node(graph, "Exp", NUMBERS(present), "y"));
    assay_graph_add_output(graph, present);
    assay_graph_add_state(graph, 1, 1);
    set(graph, ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "present"), ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "present_f32"), ASSAY_F32);
    CHECK_INT(dtype_of(graph, "past"), ASSAY_BF16);
    CHECK_TEXT(graph->values[graph->outputs[1]].name, "present");
    assay_graph_close(graph);
}

ASSAY_TEST(states_stay_f32_where_one_end_cannot_change)
{
    struct assay_graph *graph = assay_graph_open("constant");
    int x = input(graph, "x"), past = input(graph, "past"), reset = matrix(graph, "reset", 1, 2, 3, 4);
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(x, past), "y"));
    assay_graph_add_output(graph, reset);
    assay_graph_add_state(graph, 1, 1);
    set(graph, ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "past"), ASSAY_F32);
    CHECK_INT(dtype_of(graph, "reset"), ASSAY_F32);
    assay_graph_close(graph);
}

ASSAY_TEST(bodies_and_what_they_capture_stay_f32)
{
    struct assay_graph *graph = assay_graph_open("branches");
    int condition = testing_input(graph, "condition", ASSAY_BOOL, 0, NULL), w = matrix(graph, "w", 1, 2, 3, 4);
    int q = testing_node(graph, "MatMul", NUMBERS(input(graph, "x"), w), "q");
    struct assay_graph *bodies[2];
    for (int i = 0; i < 2; i++) {
        bodies[i] = assay_graph_open_body(graph, i ? "else" : "then");
        int captured = assay_graph_capture(bodies[i], q), weight = assay_graph_capture(bodies[i], w);
        assay_graph_add_output(bodies[i], testing_node(bodies[i], i ? "Add" : "MatMul", NUMBERS(captured, weight), "made"));
    }
    int made = testing_node(graph, "If", NUMBERS(condition), "made");
    assay_node_set_graph(graph, testing_last(graph), "then_branch", bodies[0]);
    assay_node_set_graph(graph, testing_last(graph), "else_branch", bodies[1]);
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(made, w), "y"));
    set(graph, ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "q"), ASSAY_F32);
    CHECK_INT(dtype_of(graph, "q_bf16"), ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "w"), ASSAY_F32);
    CHECK_INT(dtype_of(graph, "w_bf16"), ASSAY_BF16);
    CHECK_INT(dtype_of(graph, "made"), ASSAY_F32);
    CHECK_INT(dtype_of(bodies[0], "made"), ASSAY_F32);
    assay_graph_close(graph);
}

static void refused(struct assay_graph *graph, const char *part)
{
    struct assay_error err = {0};
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_INT(assay_graph_set_precision(graph, ASSAY_BF16, &err), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(err.message, part);
    assay_graph_close(graph);
}

ASSAY_TEST(what_is_quantized_or_in_another_precision_is_refused_by_name)
{
    struct assay_graph *graph = assay_graph_open("quantized");
    int x = testing_input(graph, "x", ASSAY_U8, 2, two_by_two), w = testing_input(graph, "w", ASSAY_U8, 2, two_by_two);
    assay_graph_add_output(graph, testing_node(graph, "MatMulInteger", NUMBERS(x, w), "y"));
    refused(graph, "is MatMulInteger");
    graph = assay_graph_open("half");
    x = testing_input(graph, "x", ASSAY_F16, 2, two_by_two);
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(x, x), "y"));
    refused(graph, "in f16 already (value 'x')");
    graph = assay_graph_open("nothing");
    assay_graph_add_output(graph, testing_node(graph, "Relu", NUMBERS(input(graph, "x")), "y"));
    refused(graph, "no product or convolution");
    graph = small_model(false);
    set(graph, ASSAY_F16);
    refused(graph, "in f16 already");
}

ASSAY_TEST(symbolic_dimensions_can_be_bound_afterwards)
{
    struct assay_graph *graph = cached(false);
    struct assay_error err = {0};
    set(graph, ASSAY_F16);
    struct assay_binding binding = {"past:0", 3};
    CHECK_OK(assay_graph_bind(graph, &binding, 1, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    CHECK_INT(graph->values[assay_graph_find(graph, "present")].type.dims[0], 5);
    assay_graph_close(graph);
}

/* ---- any graph */

/* Integers in f32[2,2] that stay below 257, which bf16 holds: whatever is rounded is rounded to itself. */
static struct assay_graph *random_graph(struct assay_rng *rng)
{
    static const char *const unary[] = {"Neg", "Abs", "Relu", "Identity", "Transpose", "Floor", "Sign", "Cast"};
    static const char *const binary[] = {"Max", "Min", "MatMul", "Where", "Add", "Sub"};
    struct assay_graph *graph = assay_graph_open("random");
    int values[64] = {input(graph, "x"), input(graph, "y"), matrix(graph, "swap", 0, 1, 1, 0), matrix(graph, "c", 1, -2, 0, 2)};
    int n = 4, n_sums = 0, cond = testing_input(graph, "flags", ASSAY_BOOL, 2, two_by_two);
    int n_nodes = 4 + (int)assay_rng_below(rng, 30);
    for (int i = 0; i <= n_nodes; i++) {
        int a = values[assay_rng_below(rng, (uint64_t)n)], b = values[assay_rng_below(rng, (uint64_t)n)];
        const char *type = i == 0                         ? "MatMul"
                           : assay_rng_below(rng, 2) == 0 ? unary[assay_rng_below(rng, ASSAY_COUNT(unary))]
                                                          : binary[assay_rng_below(rng, ASSAY_COUNT(binary))];
        bool sums = strcmp(type, "Add") == 0 || strcmp(type, "Sub") == 0;
        if (sums && ++n_sums > 6)
            continue;
        if (strcmp(type, "MatMul") == 0)
            b = values[2];
        bool two = sums || strcmp(type, "MatMul") == 0 || type[1] == 'a' || strcmp(type, "Min") == 0;
        two &= strcmp(type, "Cast") != 0;
        int made = strcmp(type, "Where") == 0 ? testing_node(graph, type, NUMBERS(cond, a, b), "v")
                   : two                      ? testing_node(graph, type, NUMBERS(a, b), "v")
                                              : testing_node(graph, type, NUMBERS(a), "v");
        if (strcmp(type, "Cast") == 0)
            assay_node_set_int(graph, testing_last(graph), "to", ASSAY_F32);
        values[n++] = made;
        if (i == n_nodes || i == 0 || assay_rng_below(rng, 6) == 0)
            assay_graph_add_output(graph, made);
    }
    return graph;
}

/* No Cast reads a Cast's result, and no value is cast to the same dtype twice. */
static void check_casts(const struct assay_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        if (strcmp(node->type, "Cast") != 0)
            continue;
        int before = graph->values[node->inputs[0]].producer;
        CHECK(before < 0 || strcmp(graph->nodes[before]->type, "Cast") != 0);
        for (int k = 0; k < i; k++)
            CHECK(strcmp(graph->nodes[k]->type, "Cast") != 0 || graph->nodes[k]->inputs[0] != node->inputs[0] ||
                  assay_node_int(graph->nodes[k], "to", 0) != assay_node_int(node, "to", 0));
    }
}

ASSAY_TEST(no_graph_changes_its_meaning_or_its_interface)
{
    enum { MAX_OUTPUTS = 64 };
    struct assay_rng rng;
    assay_rng_init(&rng, 20, 0);
    float x[] = {1, -1, 2, 0}, y[] = {-2, 1, 0, 1};
    uint8_t flags[] = {1, 0, 0, 1};
    struct assay_type real = assay_type_make(ASSAY_F32, 2, two_by_two), logic = assay_type_make(ASSAY_BOOL, 2, two_by_two);
    struct assay_tensor inputs[3], wanted[MAX_OUTPUTS], got[MAX_OUTPUTS];
    assay_tensor_borrow(&inputs[0], &real, x);
    assay_tensor_borrow(&inputs[1], &real, y);
    assay_tensor_borrow(&inputs[2], &logic, flags);
    for (int round = 0; round < 400; round++) {
        struct assay_graph *wide = random_graph(&rng);
        struct assay_error err = {0};
        CHECK_OK(assay_graph_sort(wide, &err), err);
        struct assay_graph *graph = assay_graph_clone(wide);
        set(graph, round & 1 ? ASSAY_F16 : ASSAY_BF16);
        check_casts(graph);
        CHECK_OK(testing_run(wide, inputs, wanted, &err), err);
        CHECK_OK(testing_run(graph, inputs, got, &err), err);
        CHECK_INT(graph->n_outputs, wide->n_outputs);
        for (int i = 0; i < wide->n_outputs; i++) {
            CHECK_TEXT(graph->values[graph->outputs[i]].name, wide->values[wide->outputs[i]].name);
            CHECK(assay_type_equal(&got[i].type, &wanted[i].type));
            CHECK(memcmp(got[i].data, wanted[i].data, 4 * sizeof(float)) == 0);
            assay_tensor_release(&wanted[i]);
            assay_tensor_release(&got[i]);
        }
        assay_graph_close(graph);
        assay_graph_close(wide);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(products_and_what_follows_run_low_and_the_interface_stays_f32),
                ASSAY_TEST_ENTRY(norms_and_softmax_are_low_only_for_kernels_that_sum_in_f32),
                ASSAY_TEST_ENTRY(each_step_is_rounded_once_to_nearest_even),
                ASSAY_TEST_ENTRY(results_are_within_the_precision_of_those_in_f32),
                ASSAY_TEST_ENTRY(a_value_is_cast_once_for_all_its_readers),
                ASSAY_TEST_ENTRY(steps_between_f32_ops_join_them_where_no_cast_is_lost),
                ASSAY_TEST_ENTRY(a_cast_to_f32_of_f32_does_not_stand_between_two_others),
                ASSAY_TEST_ENTRY(a_cast_from_bool_makes_the_low_precision_at_once),
                ASSAY_TEST_ENTRY(masks_make_no_nan_where_a_whole_row_is_masked),
                ASSAY_TEST_ENTRY(weights_beyond_the_range_become_its_bounds_and_infinities_stay),
                ASSAY_TEST_ENTRY(an_epsilon_that_f16_does_not_have_stays_f32),
                ASSAY_TEST_ENTRY(probabilities_below_the_range_of_f16_are_told),
                ASSAY_TEST_ENTRY(a_weight_that_both_precisions_read_is_kept_in_both),
                ASSAY_TEST_ENTRY(an_embedding_is_stored_low_once_for_lookup_and_head),
                ASSAY_TEST_ENTRY(angles_of_positions_are_computed_in_f32_and_their_tables_are_cast),
                ASSAY_TEST_ENTRY(both_ends_of_a_state_are_kept_low),
                ASSAY_TEST_ENTRY(a_state_that_passes_through_changes_at_both_ends),
                ASSAY_TEST_ENTRY(a_state_made_in_f32_is_cast_under_its_name),
                ASSAY_TEST_ENTRY(states_stay_f32_where_one_end_cannot_change),
                ASSAY_TEST_ENTRY(bodies_and_what_they_capture_stay_f32),
                ASSAY_TEST_ENTRY(what_is_quantized_or_in_another_precision_is_refused_by_name),
                ASSAY_TEST_ENTRY(symbolic_dimensions_can_be_bound_afterwards),
                ASSAY_TEST_ENTRY(no_graph_changes_its_meaning_or_its_interface))
