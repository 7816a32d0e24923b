/* SPDX-License-Identifier: Apache-2.0 */
#include "train/forward.h"
#include "train/testing.h"

#include "base/arena.h"
#include "runtime/registry.h"

enum { BATCH = 8 };

static double loss_of(struct assay_forward *forward, struct assay_training_session *session, const struct assay_tensor *data)
{
    struct assay_error err = {0};
    struct assay_tensor loss;
    int index = assay_forward_find_output(forward, "loss");
    CHECK(index >= 0 && assay_forward_find_output(forward, "losses") < 0);
    CHECK_OK(assay_forward_run(forward, session, data, &err), err);
    CHECK_OK(assay_forward_output(forward, index, &loss, &err), err);
    return assay_tensor_real(&loss, 0);
}

ASSAY_TEST(a_forward_computes_what_the_next_update_sees)
{
    struct assay_graph *graph = training_perceptron(2, BATCH, true);
    struct assay_step_options options = training_options("adamw");
    struct assay_training_step *step = training_step(graph, &options);
    struct assay_rng rng;
    struct assay_arena arena;
    assay_rng_init(&rng, 1, assay_rng_stream("batch"));
    assay_arena_init(&arena);
    struct assay_tensor data[] = {training_random(&rng, E_INTS(BATCH, 8), 1), training_labels(&rng, BATCH, 4)};
    for (size_t p = 0; p < ASSAY_COUNT(training_platforms); p++) {
        struct assay_training_session *session = training_session(step, training_platforms[p]);
        struct assay_error err = {0};
        struct assay_platform platform;
        const struct assay_runtime *runtime;
        struct assay_forward *forward = NULL;
        if (!session)
            continue;
        CHECK_OK(assay_platform_find(&arena, training_platforms[p], &platform, &runtime, &err), err);
        struct assay_compile_options compile = {.platform = &platform, .n_threads = 1, .isa = "", .optimization = 3};
        CHECK_OK(assay_forward_open(graph, step, runtime, &compile, &forward, &err), err);
        for (int i = 0; i < 3; i++) {
            double before = loss_of(forward, session, data), seen = training_run(session, step, data, 0.01, 1);
            CHECK_NEAR(before, seen, 1e-5 * fabs(seen)); /* the same sums, perhaps in another order */
        }
        assay_forward_close(forward);
        assay_training_session_close(session);
    }
    assay_tensor_release(&data[0]);
    assay_tensor_release(&data[1]);
    assay_arena_release(&arena);
    assay_training_step_close(step);
    assay_graph_close(graph);
}

ASSAY_TEST(a_model_that_the_step_does_not_train_is_refused)
{
    struct assay_graph *graph = training_perceptron(1, BATCH, true), *other = training_regression();
    struct assay_step_options options = training_options("sgd");
    struct assay_training_step *step = training_step(graph, &options);
    struct assay_forward *forward = NULL;
    struct assay_error err = {0};
    CHECK_INT(assay_forward_open(other, step, assay_runtime_find("reference"), NULL, &forward, &err), ASSAY_INVALID);
    CHECK(!forward);
    assay_forward_close(NULL);
    assay_training_step_close(step);
    assay_graph_close(other);
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_forward_computes_what_the_next_update_sees),
                ASSAY_TEST_ENTRY(a_model_that_the_step_does_not_train_is_refused))
