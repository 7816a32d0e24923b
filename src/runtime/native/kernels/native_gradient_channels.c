/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BatchNormalization with the statistics of its batch, and its gradient: channels last, f32. Points are cut into blocks that do
 * not depend on threads, whose sums are added in order, in double.
 */
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_POINTS = 128, MAX_BLOCKS = 32 };

struct norm {
    const struct native_simd *simd;
    int64_t channels, n_points, block_points, n_blocks;
    double epsilon, momentum;
    double *sums;             /* [n_blocks, 2, channels] */
    double *inverses, *rests; /* [channels]: 1 / deviation, and the mean's rest */
    float *factors;           /* [N_FACTORS, channels] */
};

struct job {
    const struct native_args *args;
    struct norm *p;
};

/* Of x, of dy, and what each kernel says of two more. The mean is rounded, and what the rounding cut off is accounted for. */
enum { MEAN, DMEAN, A, B, N_FACTORS };
static float *factor(const struct norm *p, int which) { return p->factors + which * p->channels; }

static int64_t points_of(const struct norm *p, int block)
{
    int64_t left = p->n_points - block * p->block_points;
    return left < p->block_points ? left : p->block_points;
}

/* Adds up a block: x and its squares about `shift`, or dy and its products with x. */
static void add_block(struct norm *p, int block, const float *dy, const float *x, const float *shift)
{
    int64_t c = p->channels, begin = block * p->block_points * c;
    double *sums = p->sums + 2 * block * c;
    memset(sums, 0, 2 * (size_t)c * sizeof *sums);
    if (dy)
        p->simd->channel_sums(dy + begin, x + begin, shift, sums, sums + c, points_of(p, block), c);
    else
        p->simd->channel_moments(x + begin, shift, sums, sums + c, points_of(p, block), c);
}

static double total(const struct norm *p, int which, int64_t channel)
{
    double sum = 0;
    for (int64_t block = 0; block < p->n_blocks; block++)
        sum += p->sums[(2 * block + which) * p->channels + channel];
    return sum;
}

/* Of moments about the first point. */
static void find_moments(const struct norm *p, const float *x, int64_t channel, double *mean, double *variance)
{
    double n = (double)p->n_points, first = total(p, 0, channel) / n;
    *mean = (double)x[channel] + first;
    *variance = total(p, 1, channel) / n - first * first;
    *variance = *variance > 0 ? *variance : 0;
}

static const float *data(const struct native_args *args, int i) { return args->in[i]->data; }

/* ---- forward */

static void add_moments(void *context, int part, int thread)
{
    const struct job *job = context;
    (void)thread;
    add_block(job->p, part, NULL, data(job->args, 0), data(job->args, 0));
}

static void normalise(void *context, int part, int thread)
{
    const struct job *job = context;
    const struct norm *p = job->p;
    int64_t begin = part * p->block_points * p->channels;
    (void)thread;
    p->simd->channel_normalise((float *)job->args->out[0]->data + begin, data(job->args, 0) + begin, factor(p, MEAN),
                               factor(p, A), factor(p, B), points_of(p, part), p->channels);
}

static enum assay_status run_norm(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    struct norm *p = args->kernel->data;
    struct job job = {args, p};
    (void)err;
    native_pool_run(pool, (int)p->n_blocks, add_moments, &job);
    for (int64_t k = 0; k < p->channels; k++) {
        double mean, variance;
        find_moments(p, data(args, 0), k, &mean, &variance);
        double a = (double)data(args, 1)[k] / sqrt(variance + p->epsilon);
        float near = (float)mean;
        factor(p, MEAN)[k] = near;
        factor(p, A)[k] = (float)a;
        factor(p, B)[k] = (float)((double)data(args, 2)[k] - (mean - (double)near) * a);
        if (args->out[1])
            ((float *)args->out[1]->data)[k] = (float)((double)data(args, 3)[k] * p->momentum + mean * (1 - p->momentum));
        if (args->out[2])
            ((float *)args->out[2]->data)[k] = (float)((double)data(args, 4)[k] * p->momentum + variance * (1 - p->momentum));
    }
    native_pool_run(pool, (int)p->n_blocks, normalise, &job);
    return ASSAY_OK;
}

/* ---- backward: dx = a ((dy - mean of dy) - (x - mean) b) */

enum { DY, X, SCALE };

static void add_moments_of_x(void *context, int part, int thread)
{
    const struct job *job = context;
    (void)thread;
    add_block(job->p, part, NULL, data(job->args, X), data(job->args, X));
}

static void add_products(void *context, int part, int thread)
{
    const struct job *job = context;
    (void)thread;
    add_block(job->p, part, data(job->args, DY), data(job->args, X), factor(job->p, MEAN));
}

static void finish_gradient(void *context, int part, int thread)
{
    const struct job *job = context;
    const struct norm *p = job->p;
    int64_t begin = part * p->block_points * p->channels;
    (void)thread;
    p->simd->channel_gradient((float *)job->args->out[0]->data + begin, data(job->args, DY) + begin, data(job->args, X) + begin,
                              factor(p, DMEAN), factor(p, MEAN), factor(p, A), factor(p, B), points_of(p, part), p->channels);
}

static enum assay_status run_gradient(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    struct norm *p = args->kernel->data;
    struct job job = {args, p};
    double n = (double)p->n_points;
    (void)err;
    native_pool_run(pool, (int)p->n_blocks, add_moments_of_x, &job);
    for (int64_t k = 0; k < p->channels; k++) {
        double mean, variance;
        find_moments(p, data(args, X), k, &mean, &variance);
        factor(p, MEAN)[k] = (float)mean;
        p->rests[k] = mean - (double)factor(p, MEAN)[k];
        p->inverses[k] = 1 / sqrt(variance + p->epsilon);
    }
    native_pool_run(pool, (int)p->n_blocks, add_products, &job);
    for (int64_t k = 0; k < p->channels; k++) {
        double dbias = total(p, 0, k), dscale = (total(p, 1, k) - p->rests[k] * dbias) * p->inverses[k];
        double b = p->inverses[k] * dscale / n;
        factor(p, A)[k] = (float)((double)data(args, SCALE)[k] * p->inverses[k]);
        factor(p, B)[k] = (float)b;
        factor(p, DMEAN)[k] = (float)(dbias / n - p->rests[k] * b);
        if (args->out[1])
            ((float *)args->out[1]->data)[k] = (float)dscale;
        if (args->out[2])
            ((float *)args->out[2]->data)[k] = (float)dbias;
    }
    native_pool_run(pool, (int)p->n_blocks, finish_gradient, &job);
    return ASSAY_OK;
}

/* ---- making */

static enum assay_status refuse(struct assay_error *err)
{
    return assay_error_set(err, ASSAY_UNSUPPORTED, "its types are not taken");
}

static struct norm *open_norm(struct native_build *b, const struct assay_type *x, int first_vector)
{
    struct norm *p = assay_arena_alloc(b->arena, sizeof *p);
    bool takes = x->dtype == ASSAY_F32 && x->rank >= 3 && x->rank <= 5 && assay_type_count(x) > 0 && b->node->outputs[0] >= 0;
    for (int i = 0; i < b->n_inputs && takes; i++)
        takes = b->inputs[i].dtype == ASSAY_F32 && (i < first_vector || assay_type_count(&b->inputs[i]) == x->dims[1]);
    if (!takes)
        return NULL;
    *p = (struct norm){.simd = native_simd_of(b->isa),
                       .channels = x->dims[1],
                       .epsilon = (double)assay_node_float(b->node, "epsilon", 1e-5f),
                       .momentum = (double)assay_node_float(b->node, "momentum", 0.9f)};
    p->n_points = assay_type_count(x) / p->channels;
    p->block_points = (p->n_points + MAX_BLOCKS - 1) / MAX_BLOCKS;
    p->block_points = p->block_points < BLOCK_POINTS ? BLOCK_POINTS : p->block_points;
    p->n_blocks = (p->n_points + p->block_points - 1) / p->block_points;
    size_t n = (size_t)p->channels;
    p->sums = assay_arena_array(b->arena, 2 * (size_t)p->n_blocks * n, sizeof *p->sums);
    p->inverses = assay_arena_array(b->arena, n, sizeof *p->inverses);
    p->rests = assay_arena_array(b->arena, n, sizeof *p->rests);
    p->factors = assay_arena_array(b->arena, N_FACTORS * n, sizeof *p->factors);
    for (int i = 0; i < b->n_inputs; i++)
        b->in_layouts[i] = i < first_vector ? NATIVE_NHWC : NATIVE_PLAIN;
    b->out_layouts[0] = NATIVE_NHWC;
    b->kernel.name = assay_arena_printf(b->arena, "vector %s", b->node->type);
    b->kernel.data = p;
    return p;
}

static enum assay_status make_norm(struct native_build *b, struct assay_error *err)
{
    if (!assay_node_int(b->node, "training_mode", 0) || b->n_inputs != 5 || b->n_outputs > 3 || !open_norm(b, &b->inputs[0], 1))
        return refuse(err);
    b->kernel.run_whole = run_norm;
    return ASSAY_OK;
}

static enum assay_status make_gradient(struct native_build *b, struct assay_error *err)
{
    if (b->n_inputs != 3 || b->n_outputs > 3 || !open_norm(b, &b->inputs[X], 2))
        return refuse(err);
    b->kernel.run_whole = run_gradient;
    return ASSAY_OK;
}

const struct native_maker native_makers_gradient_channels[] = {
    {.type = "BatchNormalization", .domain = "", .make = make_norm},
    {.type = "BatchNormalizationGradient", .domain = "assay", .make = make_gradient},
    {0},
};
