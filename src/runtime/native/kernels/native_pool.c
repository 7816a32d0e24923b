/* SPDX-License-Identifier: Apache-2.0 */
/* Pools of values that lie channels last: over windows (MaxPool, AveragePool) and over all of an image (Global…Pool, ReduceMean
 * of the spatial dimensions). Each output point is made of whole points; threads share rows, images, or channels. */
#include "graph/ops/window.h"
#include "runtime/native/kernels/points.h"

#include <string.h>

enum { DIMS = ASSAY_WINDOW_DIMS, MAX_TAPS = 512 };

/* ---- over windows */

struct taps {
    int64_t from, to;
    int64_t n_counted; /* inside of the input or its padding, for count_include_pad */
};

struct pool {
    struct native_points points;
    struct assay_window window;
    struct taps *taps[DIMS]; /* [output] of each dimension */
    bool max, count_padding;
};

static void make_point(const struct pool *pool, const char *x, char *y, const int64_t at[DIMS], float *made)
{
    const struct assay_window *w = &pool->window;
    const struct taps *td = &pool->taps[0][at[0]], *th = &pool->taps[1][at[1]], *tw = &pool->taps[2][at[2]];
    int64_t point = pool->points.channels * pool->points.size;
    const void *taps[MAX_TAPS];
    float weights[MAX_TAPS];
    int n = 0;
    for (int64_t d = td->from; d < td->to; d++)
        for (int64_t h = th->from; h < th->to; h++) {
            int64_t row = assay_window_position(w, 0, at[0], d) * w->input[1] + assay_window_position(w, 1, at[1], h);
            const char *from = x + (row * w->input[2] + assay_window_position(w, 2, at[2], tw->from)) * point;
            for (int64_t k = tw->from; k < tw->to; k++, from += w->dilation[2] * point)
                taps[n++] = from;
        }
    if (pool->max) {
        native_points_max(&pool->points, y, taps, n, made);
        return;
    }
    double count = pool->count_padding ? (double)td->n_counted * (double)th->n_counted * (double)tw->n_counted : n;
    for (int i = 0; i < n; i++)
        weights[i] = (float)(1 / count);
    native_points_weigh(&pool->points, y, taps, weights, n, made);
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct pool *pool = args->kernel->data;
    const struct assay_window *w = &pool->window;
    int64_t point = pool->points.channels * pool->points.size, rows = w->output[0] * w->output[1], begin, end;
    int64_t image = assay_window_volume(w->input) * point;
    native_share(args->out[0]->type.dims[0] * rows, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        int64_t at[DIMS] = {row % rows / w->output[1], row % w->output[1], 0};
        const char *x = (const char *)args->in[0]->data + row / rows * image;
        char *y = (char *)args->out[0]->data + row * w->output[2] * point;
        for (; at[2] < w->output[2]; at[2]++)
            make_point(pool, x, y + at[2] * point, at, (float *)(void *)scratch);
    }
}

/* False if some window sees nothing but padding, which has no value. */
static bool make_taps(struct native_build *b, struct pool *pool)
{
    const struct assay_window *w = &pool->window;
    for (int d = 0; d < DIMS; d++) {
        pool->taps[d] = assay_arena_array(b->arena, (size_t)w->output[d], sizeof *pool->taps[d]);
        for (int64_t i = 0; i < w->output[d]; i++) {
            struct taps *taps = &pool->taps[d][i];
            assay_window_taps(w, d, i, &taps->from, &taps->to);
            int64_t room = w->input[d] + w->pad_end[d] - assay_window_position(w, d, i, 0);
            int64_t n = (room + w->dilation[d] - 1) / w->dilation[d];
            taps->n_counted = n < w->kernel[d] ? n : w->kernel[d];
            if (taps->from >= taps->to)
                return false;
        }
    }
    return true;
}

static void want_points(struct native_build *b) { b->in_layouts[0] = b->out_layouts[0] = NATIVE_NHWC; }

static enum assay_status make_pool(struct native_build *b, struct assay_error *err)
{
    struct pool *pool = assay_arena_alloc(b->arena, sizeof *pool);
    struct assay_op_call call = {.node = b->node, .opset = b->graph->opset, .n_inputs = b->n_inputs};
    *pool = (struct pool){.max = strcmp(b->node->type, "MaxPool") == 0,
                          .count_padding = assay_node_int(b->node, "count_include_pad", 0) != 0};
    bool is_taken = native_points_init(&pool->points, b, &b->inputs[0]) ||
                    (pool->max && native_points_init_codes(&pool->points, b, &b->inputs[0]));
    if (!is_taken || assay_type_count(&b->outputs[0]) < 1)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its type is not taken");
    if (b->n_outputs > 1 && b->node->outputs[1] >= 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "indices are not made");
    enum assay_status st = assay_window_init(&pool->window, &call, &b->inputs[0], NULL, err);
    if (!st)
        st = assay_window_slide(&pool->window, &call, assay_node_int(b->node, "ceil_mode", 0) != 0, err);
    if (st)
        return st;
    const int64_t *kernel = pool->window.kernel;
    if (kernel[0] > MAX_TAPS || kernel[1] > MAX_TAPS || kernel[2] > MAX_TAPS || assay_window_volume(kernel) > MAX_TAPS ||
        !make_taps(b, pool))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its window is not taken");
    want_points(b);
    b->kernel.name = "pool of points";
    b->kernel.run = run;
    b->kernel.n_parts = native_parts(assay_type_bytes(&b->inputs[0]), b->n_threads);
    b->kernel.scratch_bytes = native_points_scratch(&pool->points);
    b->kernel.data = pool;
    return ASSAY_OK;
}

/* ---- over all */

enum { BLOCK = 64 /* points that are added up apart: sums of many keep their digits */, CHANNEL_GRAIN = 16 };

struct global {
    struct native_points points;
    int64_t images, n_points; /* of an image */
    int channel_parts;        /* of n_parts: the others share images */
    bool max;
};

static void average(const struct global *g, const char *x, char *y, int64_t channels, float *total, float *partial)
{
    int64_t stride = g->points.channels, n = g->n_points;
    float scale = (float)(1 / (double)n);
    memset(total, 0, (size_t)channels * sizeof *total);
    for (int64_t p = 0; p < n; p += BLOCK) {
        int64_t block = n - p < BLOCK ? n - p : BLOCK;
        memset(partial, 0, (size_t)channels * sizeof *partial);
        if (g->points.bf16)
            g->points.simd->add_points_bf16(partial, (const uint16_t *)(const void *)x + p * stride, block, stride, channels);
        else
            g->points.simd->add_points(partial, (const float *)(const void *)x + p * stride, block, stride, channels);
        g->points.simd->add_points(total, partial, 1, channels, channels);
    }
    const float *const sum = total;
    g->points.simd->weigh_taps(total, &sum, &scale, 1, channels);
    native_points_store(&g->points, y, total, channels);
}

static void greatest(const struct global *g, const char *x, char *y, int64_t channels, float *total, float *partial)
{
    int64_t stride = g->points.channels * g->points.size;
    const void *taps[BLOCK];
    for (int64_t p = 0; p < g->n_points; p += BLOCK) {
        int n = (int)(g->n_points - p < BLOCK ? g->n_points - p : BLOCK);
        for (int i = 0; i < n; i++)
            taps[i] = x + (p + i) * stride;
        float *to = p == 0 ? total : partial;
        if (g->points.bf16)
            g->points.simd->max_taps_bf16(to, (const uint16_t *const *)taps, n, channels);
        else
            g->points.simd->max_taps(to, (const float *const *)taps, n, channels);
        const float *const both[] = {total, partial};
        if (p > 0)
            g->points.simd->max_taps(total, both, 2, channels);
    }
    native_points_store(&g->points, y, total, channels);
}

static void run_global(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct global *g = args->kernel->data;
    int n_images = args->kernel->n_parts / g->channel_parts;
    int64_t image, last_image, channel, last_channel, size = g->points.size, channels = g->points.channels;
    float *total = (float *)(void *)scratch, *partial = total + native_points_scratch(&g->points) / (int64_t)sizeof *total;
    native_share(g->images, 1, part / g->channel_parts, n_images, &image, &last_image);
    native_share(channels, CHANNEL_GRAIN, part % g->channel_parts, g->channel_parts, &channel, &last_channel);
    for (; image < last_image; image++) {
        const char *x = (const char *)args->in[0]->data + (image * g->n_points * channels + channel) * size;
        char *y = (char *)args->out[0]->data + (image * channels + channel) * size;
        if (g->max)
            greatest(g, x, y, last_channel - channel, total, partial);
        else
            average(g, x, y, last_channel - channel, total, partial);
    }
}

static enum assay_status make_over_all(struct native_build *b, bool max, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0];
    struct global *g = assay_arena_alloc(b->arena, sizeof *g);
    *g = (struct global){.max = max, .channel_parts = 1};
    if (!native_points_init(&g->points, b, x) || b->outputs[0].dtype != x->dtype)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its type is not taken");
    g->images = x->dims[0];
    g->n_points = assay_type_count(x) / x->dims[0] / x->dims[1];
    int parts = native_parts(assay_type_bytes(x), b->n_threads);
    if (g->images % parts)
        g->channel_parts = parts;
    want_points(b);
    b->kernel.name = "pool of all points";
    b->kernel.run = run_global;
    b->kernel.n_parts = parts;
    b->kernel.scratch_bytes = 2 * native_points_scratch(&g->points);
    b->kernel.data = g;
    return ASSAY_OK;
}

static enum assay_status make_global(struct native_build *b, struct assay_error *err)
{
    return make_over_all(b, strcmp(b->node->type, "GlobalMaxPool") == 0, err);
}

/* Exactly the spatial dimensions of what lies channels last already. */
static enum assay_status make_mean(struct native_build *b, struct assay_error *err)
{
    const struct assay_node *node = b->node;
    const struct assay_type *x = &b->inputs[0];
    size_t n = 0;
    const int64_t *listed = assay_node_ints(node, "axes", &n);
    const struct assay_tensor *axes = b->n_inputs > 1 ? b->constants[1] : NULL;
    unsigned mask = 0;
    if (native_is_given(b, 1) && !axes)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its axes are not known");
    if (axes)
        n = (size_t)assay_tensor_count(axes);
    for (size_t i = 0; i < n; i++) {
        int64_t axis = axes ? assay_tensor_int(axes, (int64_t)i) : listed[i];
        axis += axis < 0 ? x->rank : 0;
        mask |= axis >= 0 && axis < x->rank ? 1u << axis : 1u;
    }
    if (b->in_layouts[0] != NATIVE_NHWC || mask != (1u << x->rank) - 4u)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "it is not the mean of all points");
    enum assay_status st = make_over_all(b, false, err);
    if (b->outputs[0].rank < 3) /* one point: the same bytes in either layout */
        b->out_layouts[0] = NATIVE_PLAIN;
    if (b->n_inputs > 1)
        b->unneeded[1] = true;
    return st;
}

const struct native_maker native_makers_pool[] = {
    {.type = "MaxPool", .domain = "", .make = make_pool},
    {.type = "AveragePool", .domain = "", .make = make_pool},
    {.type = "GlobalAveragePool", .domain = "", .make = make_global},
    {.type = "GlobalMaxPool", .domain = "", .make = make_global},
    {.type = "ReduceMean", .domain = "", .make = make_mean},
    {0},
};
