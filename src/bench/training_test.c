/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/training.h"

#include "bench/inputs.h"
#include "bench/plan.h"
#include "bench/testing.h"
#include "bench/training_check.h"

#include <math.h>

/* small.onnx as a plan has it in mode training, with a loss; then the model opened and its batch made. */
struct fixture {
    struct assay_arena arena;
    const char *folder;
    const char *model[1], *platform[1], *mode[1];
    int64_t batch[1];
    struct assay_spec spec;
    struct assay_plan plan;
    struct assay_platform found;
    struct assay_compile_options compile;
    struct assay_training_subject subject;
    struct assay_graph *graph;
    struct assay_tensor data[2];
    struct assay_error err;
};

static void setup(struct fixture *f, const char *loss)
{
    *f = (struct fixture){.platform = {"cpu/reference"}, .mode = {"training"}, .batch = {3}};
    assay_arena_init(&f->arena);
    f->folder = testing_folder(&f->arena);
    f->model[0] = testing_save(&f->arena, f->folder, "small.onnx", testing_small_graph());
    assay_spec_init(&f->spec);
    f->spec.models = (struct assay_text_list){f->model, 1};
    f->spec.platforms = (struct assay_text_list){f->platform, 1};
    f->spec.modes = (struct assay_text_list){f->mode, 1};
    f->spec.batches = (struct assay_int_list){f->batch, 1};
    f->spec.loss = loss;
    assay_plan_init(&f->plan);
}

static void open_model(struct fixture *f)
{
    CHECK_OK(assay_plan_add(&f->plan, &f->spec, &f->err), f->err);
    CHECK_INT(f->plan.n_cases, 1);
    const struct assay_case *c = &f->plan.cases[0];
    struct assay_binding bindings[4];
    size_t n = 0;
    for (size_t i = 0; i < c->n_inputs; i++) {
        for (int d = 0; d < c->inputs[i].type.rank; d++)
            bindings[n++] =
                (struct assay_binding){assay_arena_printf(&f->arena, "%s:%d", c->inputs[i].name, d), c->inputs[i].type.dims[d]};
        CHECK_OK(assay_input_make(&c->inputs[i], 1, &f->data[i], &f->err), f->err);
    }
    f->subject.c = c;
    f->subject.data = f->data;
    f->subject.arena = &f->arena;
    CHECK_OK(assay_training_open_bound(c, bindings, n, &f->graph, &f->subject.loss, &f->err), f->err);
    CHECK_OK(assay_platform_find(&f->arena, "cpu/reference", &f->found, &f->subject.runtime, &f->err), f->err);
    f->compile = (struct assay_compile_options){.platform = &f->found, .n_threads = 1, .isa = "", .optimization = 3};
    f->subject.graph = f->graph;
    f->subject.compile = &f->compile;
}

static void teardown(struct fixture *f)
{
    assay_tensor_release(&f->data[0]);
    assay_tensor_release(&f->data[1]);
    assay_graph_close(f->graph);
    assay_plan_release(&f->plan);
    testing_folder_release(&f->arena, f->folder);
}

ASSAY_TEST(cross_entropy_adds_labels_that_are_classes)
{
    struct fixture f;
    setup(&f, "y:cross-entropy");
    open_model(&f);
    const struct assay_case *c = f.subject.c;
    CHECK_INT(c->n_inputs, 2);
    CHECK_TEXT(c->inputs[1].name, "labels");
    CHECK_TEXT(c->inputs[1].kind, "tokens:4");
    CHECK_TEXT(assay_case_shape(c, &f.arena), "x=3x8 labels=3");
    CHECK_TEXT(c->mode, "training");
    CHECK_CONTAINS(c->optimizer, "adamw:beta1=0.9");
    CHECK_CONTAINS(assay_case_command(c, &f.arena), "--mode training --optimizer adamw");
    CHECK_CONTAINS(assay_case_command(c, &f.arena), "--loss y:cross-entropy");
    CHECK_CONTAINS(assay_case_label(c, &f.arena), "training");
    teardown(&f);
}

/* Of logits that are 0 at first, as random ones nearly are, the loss is about log(classes); updates lower it. */
ASSAY_TEST(the_loss_falls_over_the_first_steps)
{
    struct fixture f;
    struct assay_training_curve curve;
    setup(&f, "y:cross-entropy");
    f.spec.optimizer = "sgd";
    open_model(&f);
    CHECK_OK(assay_training_curve_run(&f.subject, ASSAY_NO_DTYPE, f.subject.runtime, &f.compile, &curve, &f.err), f.err);
    for (int i = 0; i < ASSAY_TRAINING_STEPS; i++) {
        CHECK(curve.losses[i + 1] < curve.losses[i]);
        CHECK(curve.norms[i] > 0);
        /* By the first order of the rate, an update by plain SGD lowers the loss by rate · norm². */
        CHECK_NEAR((curve.losses[i] - curve.losses[i + 1]) / (1e-4 * curve.norms[i] * curve.norms[i]), 1, 1e-2);
    }
    teardown(&f);
}

static void gradient_agrees(const char *loss)
{
    struct fixture f;
    struct assay_training_part both;
    double error = NAN, again = NAN;
    setup(&f, loss);
    open_model(&f);
    CHECK_OK(assay_training_part_open(&both, &f.subject, true, &f.err), f.err);
    CHECK_OK(assay_training_check_gradient(&f.subject, &both, &error, &f.err), f.err);
    CHECK(error < 1e-6); /* f32's rounding */
    CHECK_OK(assay_training_check_gradient(&f.subject, &both, &again, &f.err), f.err);
    CHECK_NEAR(again, error, 0); /* the difference is kept, and the direction is the same */
    CHECK(assay_training_part_activations(&both) > 0);
    assay_training_part_close(&both);
    teardown(&f);
}

ASSAY_TEST(gradients_agree_with_central_differences)
{
    gradient_agrees("y:cross-entropy");
    gradient_agrees("y:mse");
}

ASSAY_TEST(a_wrong_gradient_is_found)
{
    struct fixture f;
    struct assay_training_part both;
    double error = NAN;
    setup(&f, "y:mse");
    open_model(&f);
    CHECK_OK(assay_training_part_open(&both, &f.subject, true, &f.err), f.err);
    both.loss_scale = 1.1; /* all gradients are a tenth too large */
    CHECK_OK(assay_training_check_gradient(&f.subject, &both, &error, &f.err), f.err);
    CHECK(error > assay_training_gradient_tolerance("f32"));
    assay_training_part_close(&both);
    teardown(&f);
}

ASSAY_TEST(another_loss_than_the_references_is_a_mismatch)
{
    struct fixture f;
    struct assay_training_part both;
    struct assay_training_curve curve;
    struct assay_training_evidence evidence;
    struct assay_correctness k;
    setup(&f, "y:cross-entropy");
    open_model(&f);
    struct assay_runtime other = *f.subject.runtime; /* that it were another runtime */
    other.is_reference = false;
    f.subject.runtime = &other;
    CHECK_OK(assay_training_part_open(&both, &f.subject, true, &f.err), f.err);
    CHECK_OK(assay_training_curve_run(&f.subject, ASSAY_NO_DTYPE, &other, &f.compile, &curve, &f.err), f.err);
    double last = curve.losses[ASSAY_TRAINING_STEPS];
    CHECK_OK(assay_training_check(&f.subject, curve.losses, last, &both, &evidence, &k, &f.err), f.err);
    CHECK(k.checked);
    CHECK_NEAR(evidence.loss_error, 0, 0);
    CHECK_NEAR(evidence.gradient_norm_error, 0, 0);
    CHECK(evidence.check_gradient_error < 1e-6);
    CHECK_INT(assay_training_check(&f.subject, curve.losses, last * 1.001, &both, &evidence, &k, &f.err), ASSAY_MISMATCH);
    CHECK_CONTAINS(f.err.message, "at the end of the timed runs, of step 4");
    curve.losses[1] *= 1.001;
    CHECK_INT(assay_training_check(&f.subject, curve.losses, last, &both, &evidence, &k, &f.err), ASSAY_MISMATCH);
    CHECK_CONTAINS(f.err.message, "the loss of step 2");
    CHECK_NEAR(evidence.loss_error, 1e-3, 1e-5);
    curve.losses[1] = NAN;
    CHECK_INT(assay_training_check(&f.subject, curve.losses, last, &both, &evidence, &k, &f.err), ASSAY_MISMATCH);
    assay_training_part_close(&both);
    teardown(&f);
}

ASSAY_TEST(a_file_without_a_loss_is_a_case_that_says_what_to_give)
{
    struct fixture f;
    struct assay_graph *graph = NULL;
    const char *output = NULL;
    setup(&f, NULL);
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_INT(f.plan.n_cases, 1); /* the child finds the same, and the row says so */
    CHECK(isnan(f.plan.cases[0].flops));
    CHECK_INT(assay_training_open(f.model[0], NULL, &graph, &output, NULL, &f.err), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(f.err.message, "give --loss OUTPUT:cross-entropy");
    CHECK_CONTAINS(f.err.message, "with one of its outputs: y");
    CHECK_INT(assay_training_open(f.model[0], "z:mse", &graph, &output, NULL, &f.err), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(f.err.message, "no output 'z'");
    CHECK(graph == NULL);
    teardown(&f);
}

ASSAY_TEST(losses_optimizers_and_modes_that_there_are_not_are_refused)
{
    static const struct {
        const char *loss, *optimizer, *mode, *part;
    } cases[] = {{"y:hinge", NULL, "training", "--loss 'y:hinge' is not"},
                 {":mse", NULL, "training", "is not OUTPUT"},
                 {"y:mse", "lion", "training", "lion"},
                 {NULL, NULL, "dreaming", "there are: inference, training"}};
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct fixture f;
        setup(&f, cases[i].loss);
        f.spec.optimizer = cases[i].optimizer;
        f.mode[0] = cases[i].mode;
        CHECK_INT(assay_plan_add(&f.plan, &f.spec, &f.err), ASSAY_INVALID);
        CHECK_CONTAINS(f.err.message, cases[i].part);
        teardown(&f);
    }
}

ASSAY_TEST(a_step_counts_forward_and_backward_pass)
{
    struct fixture f;
    setup(&f, "y:cross-entropy");
    open_model(&f);
    /* The product alone, its gradients with respect to w, and none to x, which is data: 2 · 2 · 3 · 8 · 4 FLOPs and what softmax,
     * loss and update count, of few elements. */
    CHECK(f.subject.c->flops > 2 * 2 * 3 * 8 * 4);
    CHECK(f.subject.c->flops < 10 * 2 * 2 * 3 * 8 * 4);
    CHECK(f.subject.c->bytes > 0);
    teardown(&f);
}

ASSAY_TEST(each_node_of_a_step_is_of_one_pass)
{
    struct fixture f;
    struct assay_step_options options;
    struct assay_training_step *step = NULL;
    int n[3] = {0};
    setup(&f, "y:cross-entropy");
    open_model(&f);
    CHECK_OK(assay_training_options(f.subject.c, f.subject.loss, ASSAY_NO_DTYPE, &options, &f.err), f.err);
    options.clip_norm = 1;
    CHECK_OK(assay_training_step_make(f.graph, &options, &step, &f.err), f.err);
    for (int i = 0; i < step->graph->n_nodes; i++) {
        const struct assay_node *node = step->graph->nodes[i];
        const char *phase = assay_training_phase(step->graph, node->name);
        bool updates = strcmp(node->type, "Adam") == 0 || strcmp(node->type, "SumSquares") == 0;
        CHECK(phase);
        CHECK(!updates || strcmp(phase, "update") == 0);
        CHECK(!strstr(node->type, "LossGradient") || strcmp(phase, "backward") == 0);
        CHECK(strcmp(node->type, "SoftmaxCrossEntropyLoss") != 0 || strcmp(phase, "forward") == 0);
        n[strcmp(phase, "backward") == 0 ? 1 : strcmp(phase, "update") == 0 ? 2 : 0]++;
    }
    CHECK(n[0] > 0 && n[1] > 0 && n[2] > 0);
    /* As runtimes call what they fused or expanded, and what they made up. */
    CHECK_TEXT(assay_training_phase(step->graph, "a/MatMul/gradient/MatMul_2/Fusion/"), "backward");
    CHECK_TEXT(assay_training_phase(step->graph, "update/w/Adam/Div_3"), "update");
    CHECK(assay_training_phase(step->graph, "Transpose_token_3") == NULL);
    assay_training_step_close(step);
    teardown(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(cross_entropy_adds_labels_that_are_classes),
                ASSAY_TEST_ENTRY(the_loss_falls_over_the_first_steps), ASSAY_TEST_ENTRY(gradients_agree_with_central_differences),
                ASSAY_TEST_ENTRY(a_wrong_gradient_is_found), ASSAY_TEST_ENTRY(another_loss_than_the_references_is_a_mismatch),
                ASSAY_TEST_ENTRY(a_file_without_a_loss_is_a_case_that_says_what_to_give),
                ASSAY_TEST_ENTRY(losses_optimizers_and_modes_that_there_are_not_are_refused),
                ASSAY_TEST_ENTRY(a_step_counts_forward_and_backward_pass), ASSAY_TEST_ENTRY(each_node_of_a_step_is_of_one_pass))
