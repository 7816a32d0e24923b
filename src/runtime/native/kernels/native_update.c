/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Updates of parameters in place, and the norm of gradients: SGD, Adam and SumSquares (graph/ops/op_update.c). f32.
 *
 * Where parameter and moments are states of the program, results go where these lie: nothing is copied, and a step holds each
 * state once.
 */
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { P, G, RATE, SCALE, M, V, CORRECTION1, CORRECTION2 };
enum { GRAIN = 4096, PIECE = 1 << 16 };

struct update {
    const struct native_simd *simd;
    int64_t n;
    int n_outputs;
    double momentum, beta1, beta2, epsilon, decay;
    bool nesterov, decoupled, skips;
};

/* An attribute is a float, and 1 - 0.999F is 1.3e-5 off: so it is taken as the decimal number that it was written as. */
static double written(const struct assay_node *node, const char *name, float otherwise)
{
    char text[32];
    snprintf(text, sizeof text, "%.7g", (double)assay_node_float(node, name, otherwise));
    return strtod(text, NULL);
}

static double number(const struct native_args *args, int n_inputs, int i, double otherwise)
{
    return i < n_inputs && args->in[i] ? (double)*(const float *)args->in[i]->data : otherwise;
}

struct sgd {
    struct update u;
    int n_inputs;
};

static float *at(const struct assay_tensor *tensor, int64_t begin) { return (float *)tensor->data + begin; }

/* An update that is skipped (op_update.c) leaves what lies in place, and copies what does not. */
static bool keeps(const struct native_args *args, const struct update *u, int n_inputs, int64_t begin, int64_t end)
{
    static const int inputs[] = {P, M, V};
    if (!u->skips || number(args, n_inputs, SCALE, 1) != 0)
        return false;
    for (int i = 0; i < u->n_outputs; i++)
        if (at(args->out[i], 0) != at(args->in[inputs[i]], 0))
            memcpy(at(args->out[i], begin), at(args->in[inputs[i]], begin), (size_t)(end - begin) * sizeof(float));
    return true;
}

static void run_sgd(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct sgd *s = args->kernel->data;
    const struct update *u = &s->u;
    bool has_m = s->n_inputs > M && args->in[M];
    struct native_sgd how = {.scale = (float)number(args, s->n_inputs, SCALE, 1),
                             .decay = (float)u->decay,
                             .momentum = (float)u->momentum,
                             .rate = (float)number(args, s->n_inputs, RATE, 0),
                             .nesterov = u->nesterov};
    int64_t begin, end;
    (void)scratch;
    native_share(u->n, GRAIN, part, args->kernel->n_parts, &begin, &end);
    if (begin < end && !keeps(args, u, s->n_inputs, begin, end))
        u->simd->sgd(at(args->out[0], begin), at(args->in[P], begin), at(args->in[G], begin),
                     has_m ? at(args->out[1], begin) : NULL, has_m ? at(args->in[M], begin) : NULL, end - begin, &how);
}

static void run_adam(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct sgd *s = args->kernel->data;
    const struct update *u = &s->u;
    double rate = number(args, s->n_inputs, RATE, 0);
    struct native_adam how = {.scale = (float)number(args, s->n_inputs, SCALE, 1),
                              .decay = u->decoupled ? 0 : (float)u->decay,
                              .keep = u->decoupled ? (float)(1 - rate * u->decay) : 1,
                              .beta1 = (float)u->beta1,
                              .rest1 = (float)(1 - u->beta1),
                              .beta2 = (float)u->beta2,
                              .rest2 = (float)(1 - u->beta2),
                              .rate = (float)(rate / number(args, s->n_inputs, CORRECTION1, 1)),
                              .root = (float)(1 / sqrt(number(args, s->n_inputs, CORRECTION2, 1))),
                              .epsilon = (float)u->epsilon};
    int64_t begin, end;
    (void)scratch;
    native_share(u->n, GRAIN, part, args->kernel->n_parts, &begin, &end);
    if (begin < end && !keeps(args, u, s->n_inputs, begin, end))
        u->simd->adam(at(args->out[0], begin), at(args->in[P], begin), at(args->in[G], begin), at(args->out[1], begin),
                      at(args->in[M], begin), at(args->out[2], begin), at(args->in[V], begin), end - begin, &how);
}

static bool is_f32(const struct native_build *b, int n_tensors, const int *tensors)
{
    for (int i = 0; i < n_tensors; i++)
        if (tensors[i] < b->n_inputs && b->node->inputs[tensors[i]] >= 0 &&
            (b->inputs[tensors[i]].dtype != ASSAY_F32 || assay_type_count(&b->inputs[tensors[i]]) < 1))
            return false;
    return true;
}

static enum assay_status make_update(struct native_build *b, struct assay_error *err)
{
    static const int all[] = {P, G, RATE, SCALE, M, V, CORRECTION1, CORRECTION2};
    static const int state_inputs[] = {P, M, V};
    bool is_adam = strcmp(b->node->type, "Adam") == 0;
    int n_results = is_adam ? 3 : 1 + native_is_given(b, M);
    bool takes = is_f32(b, (int)ASSAY_COUNT(all), all) && b->n_outputs == n_results;
    for (int i = 0; i < b->n_outputs; i++)
        takes &= b->node->outputs[i] >= 0;
    if (!takes)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its types or outputs are not taken");
    struct sgd *s = assay_arena_alloc(b->arena, sizeof *s);
    const struct assay_node *node = b->node;
    *s = (struct sgd){.n_inputs = b->n_inputs,
                      .u = {.simd = native_simd_of(b->isa),
                            .n = assay_type_count(&b->inputs[P]),
                            .n_outputs = b->n_outputs,
                            .momentum = written(node, "momentum", 0),
                            .beta1 = written(node, "beta1", 0.9f),
                            .beta2 = written(node, "beta2", 0.999f),
                            .epsilon = written(node, "epsilon", 1e-8f),
                            .decay = written(node, "weight_decay", 0),
                            .nesterov = assay_node_int(node, "nesterov", 0) != 0,
                            .skips = assay_node_int(node, "skips", 0) != 0,
                            .decoupled = assay_node_int(node, "decoupled", 0) != 0}};
    for (int i = 0; i < b->n_inputs; i++)
        b->in_layouts[i] = NATIVE_PLAIN;
    int64_t pieces = (s->u.n + GRAIN - 1) / GRAIN;
    int parts = native_parts(4 * assay_type_bytes(&b->inputs[P]), b->n_threads);
    b->kernel.n_parts = parts < pieces ? parts : (int)pieces;
    b->kernel.name = is_adam ? "vector Adam" : "vector SGD";
    b->kernel.run = is_adam ? run_adam : run_sgd;
    b->kernel.data = s;
    b->kernel.state_inputs = state_inputs;
    return ASSAY_OK;
}

/* ---- SumSquares: pieces of fixed size, whose sums are added in order, so that the result does not depend on threads */

struct squares {
    const struct native_simd *simd;
    int n_inputs;
    int64_t n_pieces;
    double *sums; /* [n_pieces] */
};

struct squares_run {
    const struct native_args *args;
    const struct squares *s;
    int n_parts;
};

static void add_pieces(void *context, int part, int thread)
{
    const struct squares_run *run = context;
    int64_t begin, end, piece = 0;
    (void)thread;
    native_share(run->s->n_pieces, 1, part, run->n_parts, &begin, &end);
    for (int i = 0; i < run->s->n_inputs; i++) {
        int64_t n = assay_tensor_count(run->args->in[i]);
        for (int64_t from = 0; from < n; from += PIECE, piece++)
            if (piece >= begin && piece < end)
                run->s->sums[piece] =
                    run->s->simd->reduce(at(run->args->in[i], from), n - from < PIECE ? n - from : PIECE, NATIVE_SUM_SQUARES);
    }
}

static enum assay_status run_squares(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    struct squares *s = args->kernel->data;
    struct squares_run run = {args, s, native_pool_threads(pool)};
    double sum = 0;
    (void)err;
    native_pool_run(pool, run.n_parts, add_pieces, &run);
    for (int64_t i = 0; i < s->n_pieces; i++)
        sum += s->sums[i];
    *(float *)args->out[0]->data = (float)sum;
    return ASSAY_OK;
}

static enum assay_status make_squares(struct native_build *b, struct assay_error *err)
{
    struct squares *s = assay_arena_alloc(b->arena, sizeof *s);
    *s = (struct squares){.simd = native_simd_of(b->isa), .n_inputs = b->n_inputs};
    for (int i = 0; i < b->n_inputs; i++) {
        if (b->inputs[i].dtype != ASSAY_F32)
            return assay_error_set(err, ASSAY_UNSUPPORTED, "it is not of f32");
        s->n_pieces += (assay_type_count(&b->inputs[i]) + PIECE - 1) / PIECE;
        b->in_layouts[i] = NATIVE_PLAIN;
    }
    s->sums = assay_arena_array(b->arena, (size_t)s->n_pieces + 1, sizeof *s->sums);
    b->kernel.name = "vector SumSquares";
    b->kernel.run_whole = run_squares;
    b->kernel.data = s;
    return ASSAY_OK;
}

const struct native_maker native_makers_update[] = {
    {.type = "Adam", .domain = "assay", .make = make_update},
    {.type = "SGD", .domain = "assay", .make = make_update},
    {.type = "SumSquares", .domain = "assay", .make = make_squares},
    {0},
};
