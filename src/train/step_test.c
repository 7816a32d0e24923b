/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/recompute.h"
#include "train/testing.h"

static void fails(struct assay_graph *graph, const struct assay_step_options *options, enum assay_status status,
                  const char *sentence)
{
    struct assay_error err = {0};
    struct assay_training_step *step = NULL;
    enum assay_status st = assay_training_step_make(graph, options, &step, &err);
    if (st != status)
        printf("  %s\n", err.message);
    CHECK_INT(st, status);
    CHECK(!step);
    CHECK_CONTAINS(err.message, sentence);
    assay_graph_close(graph);
}

/* y = x · w, then what `type` makes of it. x: [rows, 2]. */
static struct assay_graph *unary_model(const char *type, int64_t rows, bool is_reduced)
{
    struct assay_error err = {0};
    struct assay_graph *graph = assay_graph_open("unary");
    struct assay_emit e = assay_emit_make(graph, "", &err);
    int x = training_input(graph, "x", ASSAY_F32, E_INTS(rows, 2));
    int w = training_constant(graph, "w", training_numbers(E_INTS(2, 2), (const double[]){1, 2, 3, 4}));
    int y = e_unary(&e, type, e_matmul(&e, x, w));
    training_output(&e, is_reduced ? e_op(&e, "ReduceSum", E_VALUES(y)) : y, "loss");
    training_settle(graph);
    return graph;
}

ASSAY_TEST(a_model_without_that_loss_or_without_parameters_is_refused)
{
    struct assay_step_options options = training_options("sgd");
    options.loss = "cost";
    fails(training_regression(), &options, ASSAY_INVALID, "no output 'cost'");
    options.loss = NULL;
    options.frozen = (const char *const[]){"*", NULL};
    fails(training_regression(), &options, ASSAY_INVALID, "no parameters");
}

ASSAY_TEST(a_loss_of_several_numbers_is_refused)
{
    struct assay_step_options options = training_options("sgd");
    fails(unary_model("Relu", 2, false), &options, ASSAY_INVALID, "a loss is one number; 'loss' is not");
}

ASSAY_TEST(an_op_that_has_no_gradient_is_named)
{
    struct assay_step_options options = training_options("sgd");
    fails(unary_model("Det", 2, false), &options, ASSAY_UNSUPPORTED, "Det has no gradient");
}

/* loss = sum(c ? y² : y) with y = x · w. c: a constant, or an input. */
static struct assay_graph *choosing_model(bool is_known)
{
    struct assay_error err = {0};
    struct assay_graph *graph = assay_graph_open("choice");
    struct assay_emit e = assay_emit_make(graph, "", &err);
    int x = training_input(graph, "x", ASSAY_F32, E_INTS(1, 2));
    int w = training_constant(graph, "w", training_numbers(E_INTS(2, 1), (const double[]){1, 2}));
    int y = e_matmul(&e, x, w);
    int c = is_known ? e_op(&e, "Greater", E_VALUES(e_number(&e, 2, x), e_number(&e, 1, x)))
                     : training_input(graph, "c", ASSAY_BOOL, 0, NULL);
    int chosen = e_unary(&e, "If", c);
    struct assay_node *node = e.open;
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "then_branch" : "else_branch";
        struct assay_graph *body = assay_graph_open_body(graph, name);
        struct assay_emit inside = assay_emit_make(body, "", &err);
        int captured = assay_graph_capture(body, y);
        int result = i == 0 ? e_op(&inside, "Mul", E_VALUES(captured, captured)) : e_unary(&inside, "Identity", captured);
        CHECK_OK(assay_emit_finish(&inside), err);
        assay_graph_add_output(body, result);
        assay_node_set_graph(graph, node, name, body);
    }
    training_output(&e, e_op(&e, "ReduceSum", E_VALUES(chosen)), "loss");
    training_settle(graph);
    return graph;
}

ASSAY_TEST(a_choice_that_is_known_has_the_gradient_of_its_branch)
{
    struct assay_error err = {0};
    struct assay_training_step *step;
    struct assay_step_options options = training_options("sgd");
    struct assay_graph *graph = choosing_model(true);
    CHECK_OK(assay_training_step_make(graph, &options, &step, &err), err);
    CHECK_INT(step->n_parameters, 1);
    for (int i = 0; i < step->graph->n_nodes; i++)
        CHECK(strcmp(step->graph->nodes[i]->type, "If") != 0);
    assay_training_step_close(step);
    assay_graph_close(graph);
}

ASSAY_TEST(a_choice_between_what_is_learned_is_refused)
{
    struct assay_step_options options = training_options("sgd");
    fails(choosing_model(false), &options, ASSAY_UNSUPPORTED, "If has no gradient");
}

ASSAY_TEST(free_dimensions_are_refused_with_what_to_do)
{
    struct assay_step_options options = training_options("sgd");
    fails(unary_model("Relu", -1, true), &options, ASSAY_INVALID, "give each free dimension a size");
}

/* One step with gradients as outputs; the gradient of parameter i into `gradient`, n numbers. */
static void gradient_of(const struct assay_training_step *step, const char *platform, const struct assay_tensor *data,
                        double scale, int i, double *gradient, int64_t n, double *norm)
{
    struct assay_error err = {0};
    struct assay_tensor tensor;
    struct assay_training_session *session = training_session(step, platform);
    CHECK(session);
    training_run(session, step, data, 0.1, scale);
    CHECK_OK(assay_training_session_output(session, step->first_gradient + i, &tensor, &err), err);
    CHECK_INT(assay_tensor_count(&tensor), n);
    for (int64_t k = 0; k < n; k++)
        gradient[k] = assay_tensor_real(&tensor, k);
    if (norm)
        CHECK_OK(assay_training_session_number(session, step->gradient_norm, norm, &err), err);
    assay_training_session_close(session);
}

ASSAY_TEST(gradients_of_the_regression_are_those_of_its_formula)
{
    struct assay_graph *graph = training_regression();
    struct assay_step_options options = training_options("sgd");
    options.gradients = options.gradient_norm = options.loss_scale = true;
    struct assay_training_step *step = training_step(graph, &options);
    struct assay_tensor data[] = {training_numbers(E_INTS(2, 3), training_x), training_numbers(E_INTS(2), training_t)};
    double wanted[3] = {0}, norm = 0;
    for (int s = 0; s < 2; s++) {
        double residual = -training_t[s];
        for (int k = 0; k < 3; k++)
            residual += training_x[3 * s + k] * training_w[k];
        for (int k = 0; k < 3; k++)
            wanted[k] += residual * training_x[3 * s + k]; /* 2/2 · residual · x */
    }
    for (int k = 0; k < 3; k++)
        norm += wanted[k] * wanted[k];
    CHECK_INT(step->n_gradients, 1);
    CHECK_TEXT(step->gradients[0], "w");
    for (double scale = 1; scale < 1e6; scale *= 1024) { /* a power of two changes nothing but exponents */
        double got[3], got_norm;
        gradient_of(step, "cpu/reference", data, scale, 0, got, 3, &got_norm);
        for (int k = 0; k < 3; k++)
            CHECK_NEAR(got[k], wanted[k], 1e-6);
        CHECK_NEAR(got_norm, sqrt(norm), 1e-6);
    }
    assay_tensor_release(&data[0]);
    assay_tensor_release(&data[1]);
    assay_training_step_close(step);
    assay_graph_close(graph);
}

ASSAY_TEST(frozen_parameters_stay_constants_and_patterns_name_them)
{
    struct assay_graph *graph = training_perceptron(2, 4, false);
    struct assay_step_options options = training_options("sgd");
    struct assay_training_step *step = training_step(graph, &options);
    CHECK_INT(step->n_parameters, 6);
    assay_training_step_close(step);
    options.frozen = (const char *const[]){"*.bias", "layer0.weight", NULL};
    step = training_step(graph, &options);
    CHECK_INT(step->n_parameters, 2);
    CHECK_INT(step->parameters, 16 * 16 + 16 * 4);
    int frozen = assay_graph_find(step->graph, "layer0.weight");
    CHECK(frozen >= 0 && step->graph->values[frozen].constant.data && !step->graph->values[frozen].is_input);
    assay_training_step_close(step);
    assay_graph_close(graph);
}

ASSAY_TEST(a_tied_weight_gets_the_sum_of_both_gradients)
{
    /* loss = sum(x · w · wᵀ), for x = [1, 2] and w = [[3, 4], [5, 6]]. */
    struct assay_error err = {0};
    struct assay_graph *graph = assay_graph_open("tied");
    struct assay_emit e = assay_emit_make(graph, "", &err);
    int x = training_input(graph, "x", ASSAY_F32, E_INTS(1, 2));
    int w = training_constant(graph, "w", training_numbers(E_INTS(2, 2), (const double[]){3, 4, 5, 6}));
    int y = e_matmul(&e, e_matmul(&e, x, w), e_transpose_last(&e, w));
    int loss = e_op(&e, "ReduceSum", E_VALUES(y));
    e_set_int(&e, "keepdims", 0);
    training_output(&e, loss, "loss");
    training_settle(graph);
    struct assay_step_options options = training_options("sgd");
    options.gradients = true;
    struct assay_training_step *step = training_step(graph, &options);
    struct assay_tensor data = training_numbers(E_INTS(1, 2), (const double[]){1, 2});
    /* s = x·w = [13, 16], c = column sums of w = [8, 10]: d/dw[i][j] = x[i]·c[j] + s[j]. */
    static const double wanted[] = {1 * 8 + 13, 1 * 10 + 16, 2 * 8 + 13, 2 * 10 + 16};
    double got[4];
    CHECK_INT(step->n_parameters, 1);
    gradient_of(step, "cpu/reference", &data, 1, 0, got, 4, NULL);
    for (int k = 0; k < 4; k++)
        CHECK_NEAR(got[k], wanted[k], 0);
    assay_tensor_release(&data);
    assay_training_step_close(step);
    assay_graph_close(graph);
}

/* A single score's bias and a slope for all channels are parameters; a number that is added is not. */
ASSAY_TEST(a_single_number_is_trained_where_ops_take_parameters)
{
    struct assay_error err = {0};
    struct assay_training_step *step;
    struct assay_step_options options = training_options("sgd");
    struct assay_graph *graph = assay_graph_open("single");
    struct assay_emit e = assay_emit_make(graph, "", &err);
    int x = training_input(graph, "x", ASSAY_F32, E_INTS(3, 2));
    int w = training_constant(graph, "w", training_numbers(E_INTS(2, 1), (const double[]){1, 2}));
    int bias = training_constant(graph, "bias", training_numbers(E_INTS(1), (const double[]){0.5}));
    int slope = training_constant(graph, "slope", training_numbers(E_INTS(1), (const double[]){0.25}));
    int epsilon = training_constant(graph, "epsilon", training_numbers(E_INTS(1), (const double[]){0.001}));
    int shaped = e_reshape(&e, slope, E_INTS(1, 1));
    int y = e_op(&e, "PRelu", E_VALUES(e_op(&e, "Gemm", E_VALUES(x, w, bias)), shaped));
    training_output(&e, e_op(&e, "ReduceSum", E_VALUES(e_op(&e, "Add", E_VALUES(y, epsilon)))), "loss");
    training_settle(graph);
    CHECK_OK(assay_training_step_make(graph, &options, &step, &err), err);
    CHECK_INT(step->n_parameters, 3);
    for (int i = 0; i < step->n_states; i++)
        CHECK(strcmp(step->states[i].name, "epsilon") != 0);
    assay_training_step_close(step);
    assay_graph_close(graph);
}

ASSAY_TEST(an_op_of_another_domain_may_have_no_inputs_and_no_outputs)
{
    struct assay_error err = {0};
    struct assay_training_step *step;
    struct assay_step_options options = training_options("sgd");
    struct assay_graph *graph = training_regression();
    struct assay_node *nodes[] = {assay_graph_add_node(graph, "Reshape", "other", 1, graph->inputs, 0, NULL),
                                  assay_graph_add_node(graph, "Reshape", "other", 0, NULL, 0, NULL)};
    for (size_t i = 0; i < ASSAY_COUNT(nodes); i++)
        nodes[i]->name = "a name that lies where a number would, if there were one";
    CHECK_OK(assay_training_step_make(graph, &options, &step, &err), err);
    CHECK_INT(step->n_parameters, 1);
    assay_training_step_close(step);
    assay_graph_close(graph);
}

ASSAY_TEST(what_the_loss_does_not_depend_on_is_not_trained)
{
    struct assay_graph *graph = training_regression();
    struct assay_error err = {0};
    struct assay_emit e = assay_emit_make(graph, "", &err);
    int other = training_constant(graph, "other", training_numbers(E_INTS(3), training_w));
    training_output(&e, e_unary(&e, "Relu", other), "aside");
    training_settle(graph);
    struct assay_step_options options = training_options("sgd");
    struct assay_training_step *step = training_step(graph, &options);
    CHECK_INT(step->n_parameters, 1);
    CHECK_INT(step->n_states, 1);
    assay_training_step_close(step);
    assay_graph_close(graph);
}

/* ---- normalization */

/* x [3, 2] → BatchNormalization, whose running statistics begin at 0 and 1 → its sum of squares with w. */
static struct assay_graph *normalized(void)
{
    struct assay_error err = {0};
    struct assay_graph *graph = assay_graph_open("normalized");
    struct assay_emit e = assay_emit_make(graph, "", &err);
    static const double ones[] = {1, 1}, zeros[] = {0, 0};
    int x = training_input(graph, "x", ASSAY_F32, E_INTS(3, 2));
    int inputs[] = {x, training_constant(graph, "weight", training_numbers(E_INTS(2), ones)),
                    training_constant(graph, "bias", training_numbers(E_INTS(2), zeros)),
                    training_constant(graph, "running_mean", training_numbers(E_INTS(2), zeros)),
                    training_constant(graph, "running_var", training_numbers(E_INTS(2), ones))};
    int y = e_op(&e, "BatchNormalization", 5, inputs);
    int loss = e_op(&e, "ReduceSum", E_VALUES(e_mul(&e, y, y)));
    e_set_int(&e, "keepdims", 0);
    training_output(&e, loss, "loss");
    training_settle(graph);
    return graph;
}

ASSAY_TEST(running_statistics_become_those_of_pytorch)
{
    /* BatchNorm1d(2) of PyTorch 1.13, in training: running_mean and running_var after a forward pass on this batch and one on
     * it plus 1. */
    static const double batch[] = {1, 2, 3, -1, -2, 0.5}, next[] = {2, 3, 4, 0, -1, 1.5};
    static const double mean[] = {0.2266666740179062, 0.19500000774860382}, variance[] = {2.013333320617676, 1.2374999523162842};
    struct assay_graph *graph = normalized();
    struct assay_step_options options = training_options("sgd");
    options.train_normalization = true;
    struct assay_training_step *step = training_step(graph, &options);
    struct assay_tensor data[] = {training_numbers(E_INTS(3, 2), batch), training_numbers(E_INTS(3, 2), next)};
    CHECK_INT(step->n_parameters, 2);
    for (size_t p = 0; p < ASSAY_COUNT(training_platforms); p++) {
        struct assay_training_session *session = training_session(step, training_platforms[p]);
        for (int i = 0; i < 2 && session; i++)
            training_run(session, step, &data[i], 0, 1);
        for (int i = 0; i < 2 && session; i++) {
            struct assay_tensor m = training_state(session, step, "running_mean");
            CHECK_NEAR(assay_tensor_real(&m, i), mean[i], 1e-6); /* some roundings of f32 */
            struct assay_tensor v = training_state(session, step, "running_var");
            CHECK_NEAR(assay_tensor_real(&v, i), variance[i], 1e-6);
        }
        assay_training_session_close(session);
    }
    assay_tensor_release(&data[0]);
    assay_tensor_release(&data[1]);
    assay_training_step_close(step);
    assay_graph_close(graph);
}

ASSAY_TEST(normalization_of_a_file_stays_in_inference_mode_unless_asked_for)
{
    struct assay_graph *graph = normalized();
    struct assay_step_options options = training_options("sgd");
    struct assay_training_step *step = training_step(graph, &options);
    CHECK_INT(step->n_parameters, 2);
    CHECK_INT(step->n_states, 2);
    for (int i = 0; i < step->graph->n_nodes; i++)
        CHECK_INT(assay_node_int(step->graph->nodes[i], "training_mode", 0), 0);
    assay_training_step_close(step);
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_model_without_that_loss_or_without_parameters_is_refused),
                ASSAY_TEST_ENTRY(a_loss_of_several_numbers_is_refused), ASSAY_TEST_ENTRY(an_op_that_has_no_gradient_is_named),
                ASSAY_TEST_ENTRY(a_choice_that_is_known_has_the_gradient_of_its_branch),
                ASSAY_TEST_ENTRY(a_choice_between_what_is_learned_is_refused),
                ASSAY_TEST_ENTRY(free_dimensions_are_refused_with_what_to_do),
                ASSAY_TEST_ENTRY(gradients_of_the_regression_are_those_of_its_formula),
                ASSAY_TEST_ENTRY(frozen_parameters_stay_constants_and_patterns_name_them),
                ASSAY_TEST_ENTRY(a_tied_weight_gets_the_sum_of_both_gradients),
                ASSAY_TEST_ENTRY(a_single_number_is_trained_where_ops_take_parameters),
                ASSAY_TEST_ENTRY(an_op_of_another_domain_may_have_no_inputs_and_no_outputs),
                ASSAY_TEST_ENTRY(what_the_loss_does_not_depend_on_is_not_trained),
                ASSAY_TEST_ENTRY(running_statistics_become_those_of_pytorch),
                ASSAY_TEST_ENTRY(normalization_of_a_file_stays_in_inference_mode_unless_asked_for))
