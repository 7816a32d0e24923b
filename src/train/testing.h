/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of train/: small models, steps of them, and runs on each runtime that is here. */
#ifndef ASSAY_TRAIN_TESTING_H
#define ASSAY_TRAIN_TESTING_H

#include "base/rng.h"
#include "base/test.h"
#include "graph/emit.h"
#include "graph/gradient.h"
#include "graph/infer.h"
#include "runtime/registry.h"
#include "train/session.h"

static const char *const training_platforms[] = {"cpu/reference", "cpu/native", "cpu/onnxruntime"};

static inline int training_input(struct assay_graph *graph, const char *name, enum assay_dtype dtype, size_t rank,
                                 const int64_t *dims)
{
    struct assay_type type = assay_type_make(dtype, (int)rank, dims);
    int value = assay_graph_add_value(graph, name, &type);
    assay_graph_add_input(graph, value);
    return value;
}

static inline struct assay_tensor training_numbers(size_t rank, const int64_t *dims, const double *numbers)
{
    struct assay_type type = assay_type_make(ASSAY_F32, (int)rank, dims);
    struct assay_tensor tensor;
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    for (int64_t i = 0; i < assay_tensor_count(&tensor); i++)
        assay_tensor_set_real(&tensor, i, numbers[i]);
    return tensor;
}

/* Evenly distributed in ±size. */
static inline struct assay_tensor training_random(struct assay_rng *rng, size_t rank, const int64_t *dims, double size)
{
    struct assay_type type = assay_type_make(ASSAY_F32, (int)rank, dims);
    struct assay_tensor tensor;
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    for (int64_t i = 0; i < assay_tensor_count(&tensor); i++)
        assay_tensor_set_real(&tensor, i, size * (2 * (double)assay_rng_below(rng, 1u << 24) / (1u << 24) - 1));
    return tensor;
}

static inline int training_constant(struct assay_graph *graph, const char *name, struct assay_tensor tensor)
{
    int value = assay_graph_add_constant(graph, name, &tensor);
    assay_tensor_release(&tensor);
    return value;
}

static inline void training_output(struct assay_emit *e, int value, const char *name)
{
    CHECK_OK(assay_emit_finish(e), *e->err);
    assay_graph_rename(e->graph, value, name);
    assay_graph_add_output(e->graph, value);
}

static inline void training_settle(struct assay_graph *graph)
{
    struct assay_error err = {0};
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
}

static inline int training_squared_error(struct assay_emit *e, int y, int target)
{
    int difference = e_sub(e, y, target);
    int loss = e_op(e, "ReduceMean", E_VALUES(e_mul(e, difference, difference)));
    e_set_int(e, "keepdims", 0);
    return loss;
}

/* Linear regression, whose steps PyTorch was asked for: two samples of x and t, w of three. */
static const double training_x[] = {1, -2, 0.5, 0.25, 1.5, -1}, training_t[] = {0.5, -1}, training_w[] = {0.1, -0.2, 0.3};
static inline struct assay_graph *training_regression(void)
{
    struct assay_error err = {0};
    struct assay_graph *graph = assay_graph_open("regression");
    struct assay_emit e = assay_emit_make(graph, "", &err);
    int x = training_input(graph, "x", ASSAY_F32, E_INTS(2, 3)), t = training_input(graph, "t", ASSAY_F32, E_INTS(2));
    int w = training_constant(graph, "w", training_numbers(E_INTS(3), training_w));
    training_output(&e, training_squared_error(&e, e_matmul(&e, x, w), t), "loss");
    training_settle(graph);
    return graph;
}

static inline struct assay_training_step *training_step(const struct assay_graph *graph, const struct assay_step_options *o)
{
    struct assay_error err = {0};
    struct assay_training_step *step = NULL;
    CHECK_OK(assay_training_step_make(graph, o, &step, &err), err);
    return step;
}

static inline struct assay_step_options training_options(const char *optimizer)
{
    struct assay_error err = {0};
    struct assay_step_options o = {.update = true};
    CHECK_OK(assay_optimizer_parse(optimizer, &o.optimizer, &err), err);
    return o;
}

/* A session on a platform; NULL where that is not here. */
static inline struct assay_training_session *training_session(const struct assay_training_step *step, const char *platform_name)
{
    struct assay_error err = {0};
    struct assay_arena arena;
    struct assay_platform platform;
    const struct assay_runtime *runtime = NULL;
    struct assay_training_session *session = NULL;
    assay_arena_init(&arena);
    enum assay_status st = assay_platform_find(&arena, platform_name, &platform, &runtime, &err);
    if (!st) {
        struct assay_compile_options options = {.platform = &platform, .n_threads = 1, .isa = "", .optimization = 3};
        st = assay_training_session_open(step, runtime, &options, &session, &err);
    }
    assay_arena_release(&arena);
    if (st && st != ASSAY_ABSENT)
        printf("  %s: %s\n", platform_name, err.message);
    CHECK(!st || st == ASSAY_ABSENT);
    return session;
}

static inline double training_run(struct assay_training_session *session, const struct assay_training_step *step,
                                  const struct assay_tensor *data, double rate, double scale)
{
    struct assay_error err = {0};
    double loss;
    CHECK_OK(assay_training_session_run(session, data, rate, scale, &err), err);
    CHECK_OK(assay_training_session_number(session, step->loss, &loss, &err), err);
    return loss;
}

/* The position of the state of that name. */
static inline int training_find(const struct assay_training_step *step, const char *name)
{
    for (int i = 0; i < step->n_states; i++)
        if (strcmp(step->states[i].name, name) == 0)
            return i;
    CHECK_TEXT(name, "the name of a state");
    return -1;
}

static inline struct assay_tensor training_state(struct assay_training_session *session, const struct assay_training_step *step,
                                                 const char *name)
{
    struct assay_error err = {0};
    struct assay_tensor tensor;
    CHECK_OK(assay_training_session_state(session, training_find(step, name), &tensor, &err), err);
    return tensor;
}

/* A perceptron of n_layers hidden layers of 16 (Tanh, or Gelu's formula where `erf`), classes 4, with cross-entropy: inputs x
 * [batch, 8] and labels. */
static inline struct assay_graph *training_perceptron(int n_layers, int64_t batch, bool erf)
{
    struct assay_error err = {0};
    struct assay_graph *graph = assay_graph_open("perceptron");
    struct assay_emit e = assay_emit_make(graph, "", &err);
    struct assay_rng rng;
    assay_rng_init(&rng, 7, assay_rng_stream("perceptron"));
    int x = training_input(graph, "x", ASSAY_F32, E_INTS(batch, 8)),
        labels = training_input(graph, "labels", ASSAY_I64, E_INTS(batch));
    int64_t width = 8;
    for (int i = 0; i <= n_layers; i++) {
        int64_t next = i == n_layers ? 4 : 16;
        char name[32];
        snprintf(name, sizeof name, "layer%d.weight", i);
        int w = training_constant(graph, name, training_random(&rng, E_INTS(width, next), 0.5));
        snprintf(name, sizeof name, "layer%d.bias", i);
        x = e_add(&e, e_matmul(&e, x, w), training_constant(graph, name, training_random(&rng, E_INTS(next), 0.5)));
        if (i < n_layers && erf)
            x = e_mul(&e, e_mul(&e, x, e_add(&e, e_unary(&e, "Erf", e_div(&e, x, e_float(&e, sqrt(2)))), e_float(&e, 1))),
                      e_float(&e, 0.5));
        else if (i < n_layers)
            x = e_unary(&e, "Tanh", x);
        width = next;
    }
    training_output(&e, e_op(&e, "SoftmaxCrossEntropyLoss", E_VALUES(x, labels)), "loss");
    training_settle(graph);
    return graph;
}

static inline struct assay_tensor training_labels(struct assay_rng *rng, int64_t n, int64_t n_classes)
{
    struct assay_type type = assay_type_make(ASSAY_I64, 1, &n);
    struct assay_tensor tensor;
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    for (int64_t i = 0; i < n; i++)
        ((int64_t *)tensor.data)[i] = (int64_t)assay_rng_below(rng, (uint64_t)n_classes);
    return tensor;
}

/* A convolutional net with batch normalization in inference mode, as files have it: inputs x [batch, 3, 8, 8] and labels. */
static inline struct assay_graph *training_convolutional(int n_blocks, int64_t batch, bool normalizes)
{
    struct assay_error err = {0};
    struct assay_graph *graph = assay_graph_open("convolutional");
    struct assay_emit e = assay_emit_make(graph, "", &err);
    struct assay_rng rng;
    assay_rng_init(&rng, 11, assay_rng_stream("convolutional"));
    int x = training_input(graph, "x", ASSAY_F32, E_INTS(batch, 3, 8, 8));
    int labels = training_input(graph, "labels", ASSAY_I64, E_INTS(batch));
    for (int i = 0; i < n_blocks; i++) {
        static const double ones[] = {1, 1, 1, 1, 1, 1, 1, 1}, zeros[8] = {0};
        char name[32];
        snprintf(name, sizeof name, "conv%d.weight", i);
        int w = training_constant(graph, name, training_random(&rng, E_INTS(8, i ? 8 : 3, 3, 3), 0.3));
        int y = e_op(&e, "Conv", E_VALUES(x, w));
        e_set_ints(&e, "pads", E_INTS(1, 1, 1, 1));
        if (normalizes) {
            snprintf(name, sizeof name, "norm%d", i);
            const char *const parts[] = {"weight", "bias", "running_mean", "running_var"};
            int inputs[5] = {y};
            for (int k = 0; k < 4; k++) {
                char full[64];
                snprintf(full, sizeof full, "%s.%s", name, parts[k]);
                inputs[1 + k] = training_constant(graph, full, training_numbers(E_INTS(8), k % 3 ? zeros : ones));
            }
            y = e_op(&e, "BatchNormalization", 5, inputs);
        }
        y = e_unary(&e, "Relu", y);
        x = i ? e_add(&e, x, y) : y;
    }
    int pooled = e_reshape(&e, e_unary(&e, "GlobalAveragePool", x), E_INTS(batch, 8));
    int w = training_constant(graph, "head.weight", training_random(&rng, E_INTS(8, 4), 0.5));
    training_output(&e, e_op(&e, "SoftmaxCrossEntropyLoss", E_VALUES(e_matmul(&e, pooled, w), labels)), "loss");
    training_settle(graph);
    return graph;
}

#endif
