/* SPDX-License-Identifier: Apache-2.0 */
/* Values worked out by hand from scores whose softmax is known: log probabilities of 0, 1, 2 are LOG_P. */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

static const double LOG_P[3] = {-2.4076059644443806, -1.4076059644443806, -0.4076059644443806};

/* [2 samples, 3 classes], labels 2 and 0, class weights 1, 10, 3. */
static void run(struct fixture *f, const char *op, const char *reduction, int64_t ignored, bool weights)
{
    bool scores = strcmp(op, "SoftmaxCrossEntropyLoss") == 0;
    fixture_init(f, op);
    fixture_string(f, "reduction", reduction);
    if (ignored != 99)
        fixture_int(f, "ignore_index", ignored);
    if (scores)
        fixture_input(f, ASSAY_F64, "2,3", VALUES(0, 1, 2, 0, 1, 2));
    else
        fixture_input(f, ASSAY_F64, "2,3", VALUES(LOG_P[0], LOG_P[1], LOG_P[2], LOG_P[0], LOG_P[1], LOG_P[2]));
    fixture_input(f, ASSAY_I32, "2", VALUES(2, 0));
    if (weights)
        fixture_input(f, ASSAY_F64, "3", VALUES(1, 10, 3));
    CHECK_OK(fixture_run(f), f->err);
}

ASSAY_TEST(both_losses_reduce_weigh_and_ignore)
{
    static const char *const ops[] = {"NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"};
    for (int i = 0; i < 2; i++) {
        struct fixture f;
        run(&f, ops[i], "none", 99, false);
        CHECK_RESULT(&f, 0, ASSAY_F64, "2", 1e-14, -LOG_P[2], -LOG_P[0]);
        fixture_release(&f);
        run(&f, ops[i], "sum", 99, true);
        CHECK_RESULT(&f, 0, ASSAY_F64, "", 1e-14, -3 * LOG_P[2] - LOG_P[0]);
        fixture_release(&f);
        run(&f, ops[i], "mean", 99, true);
        CHECK_RESULT(&f, 0, ASSAY_F64, "", 1e-14, (-3 * LOG_P[2] - LOG_P[0]) / 4);
        fixture_release(&f);
        run(&f, ops[i], "mean", 0, false);
        CHECK_RESULT(&f, 0, ASSAY_F64, "", 1e-14, -LOG_P[2]);
        fixture_release(&f);
        run(&f, ops[i], "none", 2, true);
        CHECK_RESULT(&f, 0, ASSAY_F64, "2", 1e-14, 0, -LOG_P[0]);
        fixture_release(&f);
    }
}

ASSAY_TEST(positions_lie_behind_the_classes)
{
    struct fixture f;
    fixture_init(&f, "SoftmaxCrossEntropyLoss");
    fixture_string(&f, "reduction", "none");
    f.node.n_outputs = 2;
    fixture_input(&f, ASSAY_F32, "1,3,2", VALUES(0, 2, 1, 1, 2, 0)); /* [batch, class, position] */
    fixture_input(&f, ASSAY_I64, "1,2", VALUES(0, 0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,2", 1e-6, -LOG_P[0], -LOG_P[2]);
    CHECK_RESULT(&f, 1, ASSAY_F32, "1,3,2", 1e-6, LOG_P[0], LOG_P[2], LOG_P[1], LOG_P[1], LOG_P[2], LOG_P[0]);
    fixture_release(&f);
}

ASSAY_TEST(a_label_that_is_no_class_is_invalid)
{
    static const double labels[] = {3, -1};
    for (int i = 0; i < 2; i++) {
        struct fixture f;
        fixture_init(&f, "NegativeLogLikelihoodLoss");
        fixture_input(&f, ASSAY_F32, "1,3", VALUES(0, 0, 0));
        fixture_input(&f, ASSAY_I64, "1", &labels[i]);
        CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "none of the 3 classes");
        fixture_release(&f);
    }
}

ASSAY_TEST(shapes_that_do_not_fit_are_invalid)
{
    struct fixture f;
    fixture_init(&f, "SoftmaxCrossEntropyLoss");
    fixture_input(&f, ASSAY_F32, "2,3", VALUES(0, 0, 0, 0, 0, 0));
    fixture_input(&f, ASSAY_I64, "3", VALUES(0, 0, 0));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "labels");
    fixture_release(&f);
    fixture_init(&f, "SoftmaxCrossEntropyLoss");
    fixture_input(&f, ASSAY_F32, "1,3", VALUES(0, 0, 0));
    fixture_input(&f, ASSAY_I64, "1", VALUES(0));
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "classes");
    fixture_release(&f);
    fixture_init(&f, "SoftmaxCrossEntropyLoss");
    fixture_string(&f, "reduction", "median");
    fixture_input(&f, ASSAY_F32, "1,3", VALUES(0, 0, 0));
    fixture_input(&f, ASSAY_I64, "1", VALUES(0));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "median");
    fixture_release(&f);
}

ASSAY_TEST(no_samples_give_no_losses)
{
    struct fixture f;
    fixture_init(&f, "SoftmaxCrossEntropyLoss");
    fixture_string(&f, "reduction", "sum");
    fixture_input(&f, ASSAY_F32, "0,3", NULL);
    fixture_input(&f, ASSAY_I64, "0", NULL);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "", 0, 0);
    fixture_release(&f);
}

ASSAY_TEST(losses_have_gradients_in_all_their_forms)
{
    static const char *const reductions[] = {"none", "sum", "mean"};
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct probe p;
        probe_init(&p, seed);
        bool flat = seed & 1, has_weights = seed & 2, ignores = seed & 4;
        int x = probe_input(&p, flat ? "4,3" : "2,3,2", -2, 2);
        int labels = probe_constant(&p, seed & 8 ? ASSAY_I32 : ASSAY_I64, flat ? "4" : "2,2", VALUES(2, 0, 1, 1));
        int weights = has_weights ? probe_constant(&p, ASSAY_F64, "3", VALUES(0.5, 2, 1)) : -1, outputs[2] = {0, 0};
        const int inputs[3] = {x, labels, weights};
        e_many(&p.e, "SoftmaxCrossEntropyLoss", "", 3, inputs, seed % 5 == 0 ? 2 : 1, outputs);
        e_set_text(&p.e, "reduction", reductions[seed % 3]);
        if (ignores)
            e_set_int(&p.e, "ignore_index", 0);
        probe_output(&p, outputs[0]);
        if (seed % 5 == 0)
            probe_output(&p, outputs[1]);
        int y = e_op(&p.e, "NegativeLogLikelihoodLoss", 3, inputs);
        e_set_text(&p.e, "reduction", reductions[seed % 3]);
        if (ignores)
            e_set_int(&p.e, "ignore_index", 0);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(a_loss_of_which_only_the_probabilities_are_used_has_a_gradient)
{
    struct probe p;
    probe_init(&p, 1);
    int x = probe_input(&p, "2,3", -2, 2), labels = probe_constant(&p, ASSAY_I64, "2", VALUES(2, 0)), outputs[2] = {0, 0};
    e_many(&p.e, "SoftmaxCrossEntropyLoss", "", E_VALUES(x, labels), 2, outputs);
    probe_output(&p, outputs[1]);
    probe_check(&p);
    probe_release(&p);
}

ASSAY_TEST(a_loss_gradient_with_a_label_of_no_class_is_refused)
{
    struct fixture f;
    fixture_init(&f, "SoftmaxCrossEntropyLossGradient");
    f.node.domain = "assay";
    fixture_input(&f, ASSAY_F32, "", VALUES(1));
    fixture_input(&f, ASSAY_F32, "1,2", VALUES(-1, -1));
    fixture_input(&f, ASSAY_I64, "1", VALUES(2));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "label 2");
    fixture_release(&f);
}

/* Probabilities 1/4 and 3/4: the softmax less the one-hot label, times the weight, over the sum of the weights. */
ASSAY_TEST(the_gradient_of_cross_entropy_has_its_known_values)
{
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_F64, ASSAY_BF16};
    for (size_t k = 0; k < ASSAY_COUNT(dtypes); k++) {
        struct fixture f;
        double tolerance = dtypes[k] == ASSAY_BF16 ? 0.02 : 1e-6; /* log 1/4 has 8 bits there */
        fixture_init(&f, "SoftmaxCrossEntropyLossGradient");
        f.node.domain = "assay";
        fixture_input(&f, dtypes[k], "", VALUES(4));
        fixture_input(&f, dtypes[k], "3,2", VALUES(log(0.25), log(0.75), log(0.25), log(0.75), 0, -1));
        fixture_input(&f, ASSAY_I64, "3", VALUES(0, 1, -100));
        fixture_input(&f, dtypes[k], "2", VALUES(1, 3));
        fixture_int(&f, "ignore_index", -100);
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, dtypes[k], "3,2", tolerance, -0.75, 0.75, 0.75, -0.75, 0, 0);
        fixture_release(&f);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(both_losses_reduce_weigh_and_ignore), ASSAY_TEST_ENTRY(positions_lie_behind_the_classes),
                ASSAY_TEST_ENTRY(a_label_that_is_no_class_is_invalid), ASSAY_TEST_ENTRY(shapes_that_do_not_fit_are_invalid),
                ASSAY_TEST_ENTRY(no_samples_give_no_losses), ASSAY_TEST_ENTRY(losses_have_gradients_in_all_their_forms),
                ASSAY_TEST_ENTRY(a_loss_of_which_only_the_probabilities_are_used_has_a_gradient),
                ASSAY_TEST_ENTRY(a_loss_gradient_with_a_label_of_no_class_is_refused),
                ASSAY_TEST_ENTRY(the_gradient_of_cross_entropy_has_its_known_values))
