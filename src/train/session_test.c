/* SPDX-License-Identifier: Apache-2.0 */
#include "train/testing.h"

#include "graph/recompute.h"
#include "train/loss_scale.h"

enum { BATCH = 8, STEPS = 5, MOST_STATES = 64 };

/* A batch of the perceptron, or of the convolutional net. */
static void make_batch(struct assay_tensor *data, uint64_t seed, size_t rank, const int64_t *dims)
{
    struct assay_rng rng;
    assay_rng_init(&rng, seed, assay_rng_stream("batch"));
    data[0] = training_random(&rng, rank, dims, 1);
    data[1] = training_labels(&rng, dims[0], 4);
}

static void release_batch(struct assay_tensor *data)
{
    assay_tensor_release(&data[0]);
    assay_tensor_release(&data[1]);
}

/* Losses of STEPS updates on different batches. False: the platform is not here. */
static bool losses_of(const struct assay_training_step *step, const char *platform, bool is_convolutional, double rate,
                      double scale, double *losses)
{
    struct assay_training_session *session = training_session(step, platform);
    for (int i = 0; i < STEPS && session; i++) {
        struct assay_tensor data[2];
        if (is_convolutional)
            make_batch(data, 100 + (uint64_t)i, E_INTS(BATCH, 3, 8, 8));
        else
            make_batch(data, 100 + (uint64_t)i, E_INTS(BATCH, 8));
        losses[i] = training_run(session, step, data, rate, scale);
        release_batch(data);
    }
    assay_training_session_close(session);
    return session != NULL;
}

ASSAY_TEST(states_stay_from_update_to_update_on_each_runtime)
{
    for (int is_convolutional = 0; is_convolutional < 2; is_convolutional++) {
        struct assay_graph *graph =
            is_convolutional ? training_convolutional(2, BATCH, true) : training_perceptron(2, BATCH, true);
        struct assay_step_options options = training_options("adamw");
        options.train_normalization = options.gradient_norm = true;
        options.clip_norm = 1;
        struct assay_training_step *step = training_step(graph, &options);
        double wanted[STEPS], got[STEPS];
        CHECK(losses_of(step, "cpu/reference", is_convolutional, 0.01, 1, wanted));
        CHECK(fabs(wanted[0] - wanted[STEPS - 1]) > 1e-3);
        for (size_t p = 1; p < ASSAY_COUNT(training_platforms); p++) {
            bool is_here = losses_of(step, training_platforms[p], is_convolutional, 0.01, 1, got);
            for (int i = 0; i < STEPS && is_here; i++)
                CHECK_NEAR(got[i], wanted[i], 2e-5 * fabs(wanted[i])); /* f32; Adam divides by small roots */
        }
        assay_training_step_close(step);
        assay_graph_close(graph);
    }
}

ASSAY_TEST(a_session_goes_on_from_states_that_are_given_to_it)
{
    struct assay_graph *graph = training_perceptron(1, BATCH, false);
    struct assay_step_options options = training_options("adam");
    struct assay_training_step *step = training_step(graph, &options);
    struct assay_tensor data[2];
    make_batch(data, 1, E_INTS(BATCH, 8));
    for (size_t p = 0; p < ASSAY_COUNT(training_platforms); p++) {
        struct assay_training_session *first = training_session(step, training_platforms[p]);
        struct assay_training_session *second = training_session(step, training_platforms[p]);
        struct assay_tensor copies[MOST_STATES] = {0};
        if (!first)
            continue;
        CHECK(step->n_states <= MOST_STATES);
        training_run(first, step, data, 0.01, 1);
        training_run(first, step, data, 0.01, 1);
        for (int i = 0; i < step->n_states; i++) {
            struct assay_error err = {0};
            struct assay_tensor state;
            CHECK_OK(assay_training_session_state(first, i, &state, &err), err);
            CHECK_OK(assay_tensor_copy(&copies[i], &state, &err), err);
            assay_training_session_set_state(second, i, &copies[i]);
        }
        assay_training_session_set_count(second, 2);
        CHECK_INT(assay_training_session_count(first), 2);
        CHECK_NEAR(training_run(second, step, data, 0.01, 1), training_run(first, step, data, 0.01, 1), 0);
        CHECK_NEAR(training_run(second, step, data, 0.01, 1), training_run(first, step, data, 0.01, 1), 0);
        for (int i = 0; i < step->n_states; i++)
            assay_tensor_release(&copies[i]);
        assay_training_session_close(first);
        assay_training_session_close(second);
    }
    release_batch(data);
    assay_training_step_close(step);
    assay_graph_close(graph);
}

/* ---- parts of a batch */

ASSAY_TEST(four_parts_make_the_update_of_their_batch)
{
    enum { PARTS = 4, PART = BATCH / PARTS };
    struct assay_graph *whole_graph = training_perceptron(2, BATCH, true), *part_graph = training_perceptron(2, PART, true);
    struct assay_step_options options = training_options("adamw");
    options.gradient_norm = true;
    options.clip_norm = 0.5;
    struct assay_training_step *whole = training_step(whole_graph, &options);
    options.accumulate = PARTS;
    struct assay_training_step *parts = training_step(part_graph, &options);
    CHECK_INT(parts->accumulate, PARTS);
    for (size_t p = 0; p < ASSAY_COUNT(training_platforms); p++) {
        struct assay_error err = {0};
        struct assay_training_session *a = training_session(whole, training_platforms[p]);
        struct assay_training_session *b = training_session(parts, training_platforms[p]);
        for (int i = 0; i < 3 && a; i++) {
            struct assay_tensor data[2];
            make_batch(data, (uint64_t)i, E_INTS(BATCH, 8));
            double wanted = training_run(a, whole, data, 0.01, 1), got = 0, norm_wanted, norm_got;
            for (int k = 0; k < PARTS; k++) {
                struct assay_type x = data[0].type, labels = data[1].type;
                struct assay_tensor part[2];
                x.dims[0] = labels.dims[0] = PART;
                assay_tensor_borrow(&part[0], &x, (float *)data[0].data + k * PART * 8);
                assay_tensor_borrow(&part[1], &labels, (int64_t *)data[1].data + k * PART);
                got = training_run(b, parts, part, 0.01, 1);
                CHECK(assay_training_session_has_updated(b) == (k == PARTS - 1));
            }
            /* The same sums in another order, in f32. */
            CHECK_NEAR(got, wanted, 1e-5);
            CHECK_OK(assay_training_session_number(a, whole->gradient_norm, &norm_wanted, &err), err);
            CHECK_OK(assay_training_session_number(b, parts->gradient_norm, &norm_got, &err), err);
            CHECK_NEAR(norm_got, norm_wanted, 1e-5 * norm_wanted);
            release_batch(data);
        }
        CHECK(!a || assay_training_session_count(b) == 3);
        assay_training_session_close(a);
        assay_training_session_close(b);
    }
    assay_training_step_close(whole);
    assay_training_step_close(parts);
    assay_graph_close(whole_graph);
    assay_graph_close(part_graph);
}

/* ---- loss scale */

static void check_unchanged(struct assay_training_session *session, const struct assay_training_step *step,
                            const struct assay_tensor *before, bool is_unchanged)
{
    int n_changed = 0;
    for (int i = 0; i < step->n_states; i++) {
        struct assay_error err = {0};
        struct assay_tensor now;
        CHECK_OK(assay_training_session_state(session, i, &now, &err), err);
        bool changed = memcmp(now.data, before[i].data, (size_t)assay_tensor_bytes(&now)) != 0;
        n_changed += changed;
        for (int64_t k = 0; k < assay_tensor_count(&now); k++)
            CHECK(isfinite(assay_tensor_real(&now, k)));
    }
    CHECK(is_unchanged ? n_changed == 0 : n_changed > 0);
}

static void copy_states(struct assay_training_session *session, const struct assay_training_step *step, struct assay_tensor *to)
{
    CHECK(step->n_states <= MOST_STATES);
    for (int i = 0; i < step->n_states; i++) {
        struct assay_error err = {0};
        struct assay_tensor now;
        assay_tensor_release(&to[i]);
        CHECK_OK(assay_training_session_state(session, i, &now, &err), err);
        CHECK_OK(assay_tensor_copy(&to[i], &now, &err), err);
    }
}

static void skip_one(const struct assay_training_step *step, const char *platform)
{
    struct assay_training_session *session = training_session(step, platform);
    struct assay_tensor data[2], states[MOST_STATES] = {0};
    if (!session)
        return;
    make_batch(data, 3, E_INTS(BATCH, 3, 8, 8));
    training_run(session, step, data, 0.01, 1024);
    CHECK(assay_training_session_is_finite(session) && assay_training_session_has_updated(session));
    copy_states(session, step, states);
    float *x = data[0].data, kept = x[5];
    x[5] = INFINITY;
    training_run(session, step, data, 0.01, 1024);
    CHECK(!assay_training_session_is_finite(session) && !assay_training_session_has_updated(session));
    CHECK_INT(assay_training_session_count(session), 1);
    check_unchanged(session, step, states, true);
    x[5] = kept;
    training_run(session, step, data, 0.01, 512);
    CHECK(assay_training_session_has_updated(session));
    CHECK_INT(assay_training_session_count(session), 2);
    check_unchanged(session, step, states, false);
    for (int i = 0; i < step->n_states; i++)
        assay_tensor_release(&states[i]);
    release_batch(data);
    assay_training_session_close(session);
}

ASSAY_TEST(a_step_whose_gradients_are_not_finite_changes_no_state)
{
    static const char *const optimizers[] = {"sgd:weight-decay=0.1", "sgd:momentum=0.9", "adamw"};
    for (size_t o = 0; o < ASSAY_COUNT(optimizers); o++) {
        struct assay_graph *graph = training_convolutional(2, BATCH, true);
        struct assay_step_options options = training_options(optimizers[o]);
        options.loss_scale = options.train_normalization = true;
        options.clip_norm = 1;
        struct assay_training_step *step = training_step(graph, &options);
        CHECK(step->gradients_finite >= 0);
        for (size_t p = 0; p < ASSAY_COUNT(training_platforms); p++)
            skip_one(step, training_platforms[p]);
        assay_training_step_close(step);
        assay_graph_close(graph);
    }
}

/* ---- precision */

/* What the low precision computes with is within a few of its roundings (2^-9 of bf16, 2^-12 of f16) of f32. */
static void compare_precision(enum assay_dtype precision, bool is_convolutional, double tolerance)
{
    struct assay_graph *graph = is_convolutional ? training_convolutional(3, BATCH, true) : training_perceptron(3, BATCH, true);
    struct assay_step_options options = training_options("sgd:momentum=0.9");
    options.train_normalization = true;
    struct assay_training_step *wide = training_step(graph, &options);
    options.precision = precision;
    options.loss_scale = precision == ASSAY_F16;
    struct assay_training_step *low = training_step(graph, &options);
    double wanted[STEPS], got[STEPS], difference = 0;
    int n_low = 0;
    for (int v = 0; v < low->graph->n_values; v++)
        n_low += low->graph->values[v].type.dtype == precision;
    CHECK(n_low > 0);
    for (int i = 0; i < low->n_states; i++)
        CHECK_INT(low->states[i].initial.type.dtype, ASSAY_F32);
    CHECK(losses_of(wide, "cpu/reference", is_convolutional, 0.05, 1, wanted));
    for (size_t p = 0; p < ASSAY_COUNT(training_platforms); p++) {
        if (precision == ASSAY_BF16 && strcmp(training_platforms[p], "cpu/onnxruntime") == 0)
            continue; /* it has no kernels of bf16 */
        if (!losses_of(low, training_platforms[p], is_convolutional, 0.05, options.loss_scale ? 1024 : 1, got))
            continue;
        for (int i = 0; i < STEPS; i++) {
            difference += fabs(got[i] - wanted[i]);
            CHECK_NEAR(got[i], wanted[i], tolerance * fabs(wanted[i]));
        }
    }
    CHECK(difference > 0);
    assay_training_step_close(wide);
    assay_training_step_close(low);
    assay_graph_close(graph);
}

ASSAY_TEST(bf16_follows_f32_with_parameters_kept_in_f32)
{
    compare_precision(ASSAY_BF16, false, 1e-2);
    compare_precision(ASSAY_BF16, true, 2e-2);
}

ASSAY_TEST(f16_with_a_loss_scale_follows_f32)
{
    compare_precision(ASSAY_F16, false, 2e-3);
    compare_precision(ASSAY_F16, true, 4e-3);
}

ASSAY_TEST(a_loss_scale_that_f16_cannot_hold_comes_down_until_it_does)
{
    struct assay_graph *graph = training_perceptron(1, BATCH, false);
    struct assay_step_options options = training_options("sgd");
    options.precision = ASSAY_F16;
    options.loss_scale = true;
    struct assay_training_step *step = training_step(graph, &options);
    struct assay_training_session *session = training_session(step, "cpu/reference");
    struct assay_loss_scale scale = {.scale = 0x1p22, .interval = 100};
    struct assay_tensor data[2];
    int n_skipped = 0;
    make_batch(data, 9, E_INTS(BATCH, 8));
    for (int i = 0; i < 20; i++) {
        training_run(session, step, data, 0.01, scale.scale);
        n_skipped += !assay_training_session_has_updated(session);
        assay_loss_scale_update(&scale, assay_training_session_is_finite(session));
    }
    CHECK(n_skipped > 0 && n_skipped < 20);
    CHECK_INT(assay_training_session_count(session), 20 - n_skipped);
    CHECK_NEAR(scale.scale, ldexp(1, 22 - n_skipped), 0);
    release_batch(data);
    assay_training_session_close(session);
    assay_training_step_close(step);
    assay_graph_close(graph);
}

/* ---- recompute */

static void compare_recomputed(struct assay_graph *graph, bool is_convolutional, int segments)
{
    struct assay_step_options options = training_options("adamw");
    options.train_normalization = true;
    struct assay_training_step *plain = training_step(graph, &options);
    options.recompute = segments;
    struct assay_training_step *again = training_step(graph, &options);
    CHECK(again->graph->n_nodes > plain->graph->n_nodes);
    for (size_t p = 0; p < ASSAY_COUNT(training_platforms); p++) {
        double wanted[STEPS], got[STEPS];
        if (!losses_of(plain, training_platforms[p], is_convolutional, 0.01, 1, wanted))
            continue;
        CHECK(losses_of(again, training_platforms[p], is_convolutional, 0.01, 1, got));
        /* Bit by bit where each node runs by itself; runtimes that fuse may cut the two graphs otherwise, and round otherwise. */
        bool fuses = strcmp(training_platforms[p], "cpu/reference") != 0;
        for (int i = 0; i < STEPS; i++)
            CHECK_NEAR(got[i], wanted[i], fuses ? 1e-6 * fabs(wanted[i]) : 0);
    }
    assay_training_step_close(plain);
    assay_training_step_close(again);
    assay_graph_close(graph);
}

ASSAY_TEST(losses_are_the_same_when_activations_are_computed_again)
{
    compare_recomputed(training_perceptron(8, BATCH, true), false, 3);
    compare_recomputed(training_perceptron(8, BATCH, false), false, ASSAY_RECOMPUTE_AUTO);
    compare_recomputed(training_convolutional(6, BATCH, true), true, 3);
    compare_recomputed(training_convolutional(6, BATCH, false), true, ASSAY_RECOMPUTE_AUTO);
}

ASSAY_TEST(all_options_go_together)
{
    struct assay_graph *graph = training_convolutional(5, BATCH, true);
    struct assay_step_options options = training_options("adamw");
    options.train_normalization = options.loss_scale = options.gradient_norm = true;
    options.precision = ASSAY_F16;
    options.accumulate = 2;
    options.recompute = 3;
    options.clip_norm = 1;
    struct assay_training_step *step = training_step(graph, &options);
    double wanted[STEPS], got[STEPS];
    CHECK(losses_of(step, "cpu/reference", true, 0.01, 1024, wanted));
    for (size_t p = 1; p < ASSAY_COUNT(training_platforms); p++) {
        bool is_here = losses_of(step, training_platforms[p], true, 0.01, 1024, got);
        for (int i = 0; i < STEPS && is_here; i++)
            CHECK_NEAR(got[i], wanted[i], 4e-3 * wanted[i]); /* f16, as above */
    }
    assay_training_step_close(step);
    assay_graph_close(graph);
}

static int64_t workspace_of(const struct assay_training_step *step)
{
    struct assay_training_session *session = training_session(step, "cpu/native");
    struct assay_runtime_memory memory;
    struct assay_tensor data[2];
    make_batch(data, 5, E_INTS(BATCH, 3, 8, 8));
    training_run(session, step, data, 0.01, 1);
    assay_runtime_find("native")->memory(assay_training_session_program(session), &memory);
    release_batch(data);
    assay_training_session_close(session);
    return memory.workspace_bytes;
}

ASSAY_TEST(the_native_runtime_needs_less_memory_where_activations_are_computed_again)
{
    struct assay_graph *graph = training_convolutional(25, BATCH, true);
    struct assay_step_options options = training_options("sgd");
    options.train_normalization = true;
    struct assay_training_step *plain = training_step(graph, &options);
    options.recompute = ASSAY_RECOMPUTE_AUTO;
    struct assay_training_step *again = training_step(graph, &options);
    int64_t before = workspace_of(plain), after = workspace_of(again);
    printf("  workspace of %lld bytes, %lld when activations are computed again\n", (long long)before, (long long)after);
    CHECK(after * 2 < before);
    assay_training_step_close(plain);
    assay_training_step_close(again);
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(states_stay_from_update_to_update_on_each_runtime),
                ASSAY_TEST_ENTRY(a_session_goes_on_from_states_that_are_given_to_it),
                ASSAY_TEST_ENTRY(four_parts_make_the_update_of_their_batch),
                ASSAY_TEST_ENTRY(a_step_whose_gradients_are_not_finite_changes_no_state),
                ASSAY_TEST_ENTRY(bf16_follows_f32_with_parameters_kept_in_f32),
                ASSAY_TEST_ENTRY(f16_with_a_loss_scale_follows_f32),
                ASSAY_TEST_ENTRY(a_loss_scale_that_f16_cannot_hold_comes_down_until_it_does),
                ASSAY_TEST_ENTRY(losses_are_the_same_when_activations_are_computed_again),
                ASSAY_TEST_ENTRY(all_options_go_together),
                ASSAY_TEST_ENTRY(the_native_runtime_needs_less_memory_where_activations_are_computed_again))
