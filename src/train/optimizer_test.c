/* SPDX-License-Identifier: Apache-2.0 */
#include "train/testing.h"

/* Three steps of rate 0.1 on the regression of testing.h by PyTorch 1.13 in f32: mean squared error of x·w against t, the
 * optimizer of torch.optim with the same options, clip_grad_norm_ where clip is given; the parameters after them and the losses
 * before each. */
static const struct known {
    const char *optimizer;
    double clip, w[3], losses[3];
} known[] = {
    {"sgd", 0, {0.0170784947, -0.243894681, 0.37651673}, {0.101562478, 0.0773530304, 0.0638219714}},
    {"sgd:momentum=0.9", 0, {-0.0563488491, -0.285758734, 0.445957303}, {0.101562478, 0.0773530304, 0.0556974895}},
    {"sgd:momentum=0.9:nesterov:weight-decay=0.05",
     0,
     {-0.123401821, -0.250226885, 0.45790422},
     {0.101562478, 0.0655978918, 0.0370388478}},
    {"adam:weight-decay=0.05", 0, {-0.197719842, -0.244648263, 0.50252682}, {0.101562478, 0.0562499985, 0.0241947994}},
    {"adamw:beta1=0.8:beta2=0.95:epsilon=1e-6:weight-decay=0.1",
     0,
     {-0.197542459, -0.238385171, 0.501806498},
     {0.101562478, 0.0552001894, 0.0226801988}},
    {"sgd", 0.5, {0.0196090341, -0.243707433, 0.374829799}, {0.101562478, 0.0790458024, 0.0649699271}},
};

static void three_steps(const struct known *k, const char *platform)
{
    struct assay_graph *graph = training_regression();
    struct assay_step_options options = training_options(k->optimizer);
    options.clip_norm = k->clip;
    struct assay_training_step *step = training_step(graph, &options);
    struct assay_training_session *session = training_session(step, platform);
    struct assay_tensor data[] = {training_numbers(E_INTS(2, 3), training_x), training_numbers(E_INTS(2), training_t)};
    for (int i = 0; i < 3 && session; i++)
        CHECK_NEAR(training_run(session, step, data, 0.1, 1), k->losses[i], 1e-6);
    for (int i = 0; i < 3 && session; i++) {
        struct assay_tensor w = training_state(session, step, "w");
        CHECK_NEAR(assay_tensor_real(&w, i), k->w[i], 1e-6); /* ten roundings of f32 */
    }
    assay_training_session_close(session);
    assay_training_step_close(step);
    assay_tensor_release(&data[0]);
    assay_tensor_release(&data[1]);
    assay_graph_close(graph);
}

ASSAY_TEST(three_steps_of_each_optimizer_agree_with_pytorch_on_each_runtime)
{
    for (size_t i = 0; i < ASSAY_COUNT(known); i++)
        for (size_t p = 0; p < ASSAY_COUNT(training_platforms); p++)
            three_steps(&known[i], training_platforms[p]);
}

ASSAY_TEST(what_an_optimizer_is_written_as_comes_back_in_full)
{
    static const char *const pairs[][2] = {
        {"sgd", "sgd:momentum=0:weight-decay=0"},
        {"sgd:nesterov:momentum=0.9", "sgd:momentum=0.9:nesterov:weight-decay=0"},
        {"adam", "adam:beta1=0.9:beta2=0.999:epsilon=1e-08:weight-decay=0"},
        {"adamw:beta2=0.95", "adamw:beta1=0.9:beta2=0.95:epsilon=1e-08:weight-decay=0.01"},
    };
    for (size_t i = 0; i < ASSAY_COUNT(pairs); i++) {
        struct assay_error err = {0};
        struct assay_optimizer o, again;
        char text[ASSAY_OPTIMIZER_TEXT_SIZE], second[ASSAY_OPTIMIZER_TEXT_SIZE];
        CHECK_OK(assay_optimizer_parse(pairs[i][0], &o, &err), err);
        CHECK_TEXT(assay_optimizer_text(&o, text), pairs[i][1]);
        CHECK_OK(assay_optimizer_parse(text, &again, &err), err);
        CHECK_TEXT(assay_optimizer_text(&again, second), text);
    }
}

ASSAY_TEST(what_is_not_understood_is_named)
{
    static const char *const pairs[][2] = {
        {"lion", "no optimizer 'lion'"},
        {"", "no optimizer ''"},
        {"sgd:beta1=0.9", "'beta1=0.9'"},
        {"adam:momentum=0.9", "'momentum=0.9'"},
        {"adam:beta1=1", "below 1"},
        {"adam:beta1", "wants a number"},
        {"sgd:nesterov", "momentum above 0"},
        {"adamw:weight-decay=-1", "wants a number"},
        {"adamw:epsilon=nan", "wants a number"},
        {"sgd:", "''"},
        {"adamw:epsilon=1e-8x", "wants a number"},
    };
    for (size_t i = 0; i < ASSAY_COUNT(pairs); i++) {
        struct assay_error err = {0};
        struct assay_optimizer o;
        CHECK_INT(assay_optimizer_parse(pairs[i][0], &o, &err), ASSAY_INVALID);
        CHECK_CONTAINS(err.message, pairs[i][1]);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(three_steps_of_each_optimizer_agree_with_pytorch_on_each_runtime),
                ASSAY_TEST_ENTRY(what_an_optimizer_is_written_as_comes_back_in_full),
                ASSAY_TEST_ENTRY(what_is_not_understood_is_named))
