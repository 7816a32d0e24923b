/* SPDX-License-Identifier: Apache-2.0 */
/* MaxPool that tells where its maxima are, and its gradient, channels last: f32 and bf16. Threads share images, so that what
 * falls on one element is added in one order. */
#include "graph/ops/window.h"
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <math.h>
#include <string.h>

enum { DIMS = ASSAY_WINDOW_DIMS };

struct pool {
    const struct native_simd *simd;
    struct assay_window window;
    int64_t images, channels, n_in, n_out; /* points of an image */
    bool is_low;                           /* bf16, which goes through f32 in scratch */
};

static enum assay_status refuse(struct assay_error *err)
{
    return assay_error_set(err, ASSAY_UNSUPPORTED, "its types or window are not taken");
}

/* low: room for a point. */
static void make_point(const struct pool *p, const struct assay_tensor *x, int64_t image, const int64_t at[DIMS], float *y,
                       int32_t *places, float *low)
{
    const struct assay_window *w = &p->window;
    int64_t from[DIMS], to[DIMS];
    for (int d = 0; d < DIMS; d++)
        assay_window_taps(w, d, at[d], &from[d], &to[d]);
    for (int64_t c = 0; c < p->channels; c++) {
        y[c] = -INFINITY;
        places[c] = -1;
    }
    for (int64_t i = from[0]; i < to[0]; i++)
        for (int64_t j = from[1]; j < to[1]; j++)
            for (int64_t k = from[2]; k < to[2]; k++) {
                int64_t row = assay_window_position(w, 0, at[0], i) * w->input[1] + assay_window_position(w, 1, at[1], j);
                int64_t place = row * w->input[2] + assay_window_position(w, 2, at[2], k);
                int64_t begin = (image * p->n_in + place) * p->channels;
                if (p->is_low)
                    p->simd->from_bf16(low, (const uint16_t *)x->data + begin, p->channels);
                p->simd->greatest_at(y, places, p->is_low ? low : (const float *)x->data + begin, (int32_t)place, p->channels);
            }
}

static void run_pool(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct pool *p = args->kernel->data;
    const struct assay_window *w = &p->window;
    int32_t *places = (int32_t *)(void *)scratch;
    float *low = (float *)(void *)(places + p->channels), *made = low + p->channels;
    int64_t begin, end;
    native_share(p->images * p->n_out, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t image = i / p->n_out, point = i % p->n_out;
        int64_t at[DIMS] = {point / (w->output[1] * w->output[2]), point / w->output[2] % w->output[1], point % w->output[2]};
        int64_t *indices = (int64_t *)args->out[1]->data + i * p->channels;
        make_point(p, args->in[0], image, at, p->is_low ? made : (float *)args->out[0]->data + i * p->channels, places, low);
        if (p->is_low)
            p->simd->to_bf16((uint16_t *)args->out[0]->data + i * p->channels, made, p->channels);
        for (int64_t c = 0; c < p->channels; c++)
            indices[c] = places[c] < 0 ? -1 : (image * p->channels + c) * p->n_in + places[c];
    }
}

static bool init(struct native_build *b, const struct assay_type *x, const struct assay_type *y, struct pool *p)
{
    if ((x->dtype != ASSAY_F32 && x->dtype != ASSAY_BF16) || y->dtype != x->dtype || x->rank < 3 || x->rank > 5 ||
        y->rank != x->rank || assay_type_count(x) < 1 || assay_type_count(y) < 1 || assay_type_count(x) > INT32_MAX)
        return false;
    *p = (struct pool){.simd = native_simd_of(b->isa), .images = x->dims[0], .channels = x->dims[1]};
    p->is_low = x->dtype == ASSAY_BF16;
    p->n_in = assay_type_count(x) / (p->images * p->channels);
    p->n_out = assay_type_count(y) / (p->images * p->channels);
    return y->dims[0] == x->dims[0] && y->dims[1] == x->dims[1];
}

static enum assay_status make_pool(struct native_build *b, struct assay_error *err)
{
    struct pool *p = assay_arena_alloc(b->arena, sizeof *p);
    struct assay_op_call call = {.node = b->node, .opset = b->graph->opset, .n_inputs = b->n_inputs};
    if (b->n_outputs != 2 || b->node->outputs[0] < 0 || b->node->outputs[1] < 0 || assay_node_int(b->node, "storage_order", 0) ||
        !init(b, &b->inputs[0], &b->outputs[0], p))
        return refuse(err);
    enum assay_status st = assay_window_init(&p->window, &call, &b->inputs[0], NULL, err);
    if (!st)
        st = assay_window_slide(&p->window, &call, assay_node_int(b->node, "ceil_mode", 0) != 0, err);
    if (st)
        return ASSAY_UNSUPPORTED;
    int parts = native_parts(assay_type_bytes(&b->inputs[0]), b->n_threads);
    int64_t points = p->images * p->n_out;
    b->in_layouts[0] = b->out_layouts[0] = b->out_layouts[1] = NATIVE_NHWC;
    b->kernel.name = "pool of points, with places";
    b->kernel.run = run_pool;
    b->kernel.n_parts = parts < points ? parts : (int)points;
    b->kernel.scratch_bytes = native_aligned(12 * p->channels);
    b->kernel.data = p;
    return ASSAY_OK;
}

static void run_gradient(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct pool *p = args->kernel->data;
    int64_t begin, end, size = p->n_in * p->channels;
    float *dy_low = (float *)(void *)scratch + size; /* of bf16: behind the gradient of an image, that of its result */
    native_share(p->images, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t image = begin; image < end; image++) {
        int64_t from = image * p->n_out * p->channels;
        float *dx = p->is_low ? (float *)(void *)scratch : (float *)args->out[0]->data + image * size;
        const float *dy = p->is_low ? dy_low : (const float *)args->in[0]->data + from;
        if (p->is_low)
            p->simd->from_bf16(dy_low, (const uint16_t *)args->in[0]->data + from, p->n_out * p->channels);
        const int64_t *indices = (const int64_t *)args->in[1]->data + from;
        memset(dx, 0, (size_t)size * sizeof *dx);
        for (int64_t i = 0; i < p->n_out; i++)
            for (int64_t c = 0; c < p->channels; c++) {
                int64_t place = indices[i * p->channels + c] - (image * p->channels + c) * p->n_in;
                if (place >= 0 && place < p->n_in)
                    dx[place * p->channels + c] += dy[i * p->channels + c];
            }
        if (p->is_low)
            p->simd->to_bf16((uint16_t *)args->out[0]->data + image * size, dx, size);
    }
}

/* Of indices that MaxPool has made, so that each lies in its own image and channel. */
static bool is_of_pool(const struct native_build *b)
{
    int producer = b->graph->values[b->node->inputs[1]].producer;
    const struct assay_node *pool = producer >= 0 ? b->graph->nodes[producer] : NULL;
    return pool && strcmp(pool->type, "MaxPool") == 0 && !*pool->domain && !assay_node_int(pool, "storage_order", 0);
}

static enum assay_status make_gradient(struct native_build *b, struct assay_error *err)
{
    struct pool *p = assay_arena_alloc(b->arena, sizeof *p);
    if (!init(b, &b->outputs[0], &b->inputs[0], p) || b->inputs[1].dtype != ASSAY_I64 || !is_of_pool(b) ||
        b->inputs[1].rank != b->inputs[0].rank || assay_type_count(&b->inputs[1]) != assay_type_count(&b->inputs[0]))
        return refuse(err);
    int parts = native_parts(assay_type_bytes(&b->outputs[0]), b->n_threads);
    b->in_layouts[0] = b->in_layouts[1] = b->out_layouts[0] = NATIVE_NHWC;
    b->kernel.name = "pool's gradient";
    if (p->is_low)
        b->kernel.scratch_bytes = native_aligned(4 * (p->n_in + p->n_out) * p->channels);
    b->kernel.run = run_gradient;
    b->kernel.n_parts = parts < p->images ? parts : (int)p->images;
    b->kernel.data = p;
    return ASSAY_OK;
}

const struct native_maker native_makers_gradient_pool[] = {
    {.type = "MaxPool", .domain = "", .make = make_pool},
    {.type = "MaxPoolGradient", .domain = "assay", .make = make_gradient},
    {0},
};
