/* SPDX-License-Identifier: Apache-2.0 */
/* What else images are put through between convolutions, channels last: BatchNormalization, Resize, Concat. */
#include "graph/ops/resize.h"
#include "runtime/native/kernels/points.h"

#include <math.h>
#include <string.h>

/* ---- BatchNormalization: x scale + shift by channel */

struct norm {
    struct native_points points;
    int64_t n_points;
    float *scale, *shift;
};

static void run_norm(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct norm *n = args->kernel->data;
    int64_t begin, end, point = n->points.channels * n->points.size;
    native_share(n->n_points, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t p = begin; p < end; p++) {
        const void *x = (const char *)args->in[0]->data + p * point;
        void *y = (char *)args->out[0]->data + p * point;
        if (n->points.bf16) {
            n->points.simd->affine_bf16((float *)(void *)scratch, x, n->scale, n->shift, n->points.channels);
            n->points.simd->to_bf16(y, (const float *)(void *)scratch, n->points.channels);
        } else {
            n->points.simd->affine(y, x, n->scale, n->shift, n->points.channels);
        }
    }
}

static enum assay_status make_norm(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0];
    struct norm *n = assay_arena_alloc(b->arena, sizeof *n);
    *n = (struct norm){.n_points = 0};
    if (!native_points_init(&n->points, b, x) || assay_node_int(b->node, "training_mode", 0) != 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its type is not taken");
    for (int k = 1; k < 5; k++)
        if (k >= b->n_inputs || !b->constants[k] || assay_tensor_count(b->constants[k]) != x->dims[1])
            return assay_error_set(err, ASSAY_UNSUPPORTED, "its parameters are no constants");
    double epsilon = (double)assay_node_float(b->node, "epsilon", 1e-5F);
    n->n_points = assay_type_count(x) / x->dims[1];
    n->scale = assay_arena_array(b->arena, (size_t)x->dims[1], sizeof *n->scale);
    n->shift = assay_arena_array(b->arena, (size_t)x->dims[1], sizeof *n->shift);
    for (int64_t c = 0; c < x->dims[1]; c++) {
        double scale = assay_tensor_real(b->constants[1], c) / sqrt(assay_tensor_real(b->constants[4], c) + epsilon);
        n->scale[c] = (float)scale;
        n->shift[c] = (float)(assay_tensor_real(b->constants[2], c) - assay_tensor_real(b->constants[3], c) * scale);
    }
    for (int k = 1; k < 5; k++)
        b->unneeded[k] = true;
    b->in_layouts[0] = b->out_layouts[0] = NATIVE_NHWC;
    b->kernel.name = "scale and shift of channels";
    b->kernel.run = run_norm;
    b->kernel.in_place = 0;
    b->kernel.n_parts = native_parts(assay_type_bytes(x), b->n_threads);
    b->kernel.scratch_bytes = native_points_scratch(&n->points);
    b->kernel.data = n;
    return ASSAY_OK;
}

/* ---- Resize of spatial dimensions */

enum { SPATIAL = 3, MAX_TAPS = ASSAY_RESIZE_TAPS * ASSAY_RESIZE_TAPS * ASSAY_RESIZE_TAPS };

struct resize {
    struct native_points points; /* of type f32 or bf16 but where nearest */
    bool nearest;
    int64_t point_bytes;
    int64_t in[SPATIAL], out[SPATIAL]; /* the leading ones 1 where there are fewer */
    struct assay_resize_taps *taps[SPATIAL];
};

static void resize_point(const struct resize *r, const char *x, char *y, const struct assay_resize_taps *const at[SPATIAL],
                         float *made)
{
    const void *taps[MAX_TAPS];
    float weights[MAX_TAPS];
    int n = 0;
    for (int d = 0; d < at[0]->n; d++)
        for (int h = 0; h < at[1]->n; h++)
            for (int w = 0; w < at[2]->n; w++) {
                double weight = at[0]->weight[d] * at[1]->weight[h] * at[2]->weight[w];
                int64_t point = (at[0]->index[d] * r->in[1] + at[1]->index[h]) * r->in[2] + at[2]->index[w];
                if (weight == 0)
                    continue;
                weights[n] = (float)weight;
                taps[n++] = x + point * r->point_bytes;
            }
    if (r->nearest)
        memcpy(y, taps[0], (size_t)r->point_bytes);
    else
        native_points_weigh(&r->points, y, taps, weights, n, made);
}

static void run_resize(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct resize *r = args->kernel->data;
    int64_t rows = r->out[0] * r->out[1], image = r->in[0] * r->in[1] * r->in[2] * r->point_bytes, begin, end;
    native_share(args->out[0]->type.dims[0] * rows, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        const char *x = (const char *)args->in[0]->data + row / rows * image;
        char *y = (char *)args->out[0]->data + row * r->out[2] * r->point_bytes;
        for (int64_t w = 0; w < r->out[2]; w++) {
            const struct assay_resize_taps *at[SPATIAL] = {&r->taps[0][row % rows / r->out[1]], &r->taps[1][row % r->out[1]],
                                                           &r->taps[2][w]};
            resize_point(r, x, y + w * r->point_bytes, at, (float *)(void *)scratch);
        }
    }
}

static enum assay_status find_taps(struct native_build *b, struct resize *r, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0], *y = &b->outputs[0];
    struct assay_op_call call = {.node = b->node,
                                 .opset = b->graph->opset,
                                 .n_inputs = b->n_inputs,
                                 .inputs = (struct assay_type *)b->inputs,
                                 .data = b->constants};
    enum assay_status st = ASSAY_OK;
    for (int d = 0; d < SPATIAL && !st; d++) {
        int dim = d - SPATIAL + x->rank;
        r->in[d] = dim < 2 ? 1 : x->dims[dim];
        r->out[d] = dim < 2 ? 1 : y->dims[dim];
        r->taps[d] = assay_arena_array(b->arena, (size_t)r->out[d], sizeof *r->taps[d]);
        r->taps[d][0] = (struct assay_resize_taps){.n = 1, .weight = {1}};
        if (dim >= 2)
            st = assay_resize_find_taps(&call, dim, r->taps[d], err);
        for (int64_t i = 0; i < r->out[d] && !st; i++)
            if (r->taps[d][i].n == 0)
                st = assay_error_set(err, ASSAY_UNSUPPORTED, "extrapolation is not taken");
    }
    return st;
}

static enum assay_status make_resize(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0], *y = &b->outputs[0];
    struct resize *r = assay_arena_alloc(b->arena, sizeof *r);
    *r = (struct resize){.nearest = strcmp(assay_node_string(b->node, "mode", "nearest"), "nearest") == 0};
    if (x->rank < 3 || x->rank > 5 || assay_type_count(x) < 1 || assay_type_count(y) < 1 || x->dims[0] != y->dims[0] ||
        x->dims[1] != y->dims[1] || (!r->nearest && !native_points_init(&r->points, b, x)))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its type is not taken");
    const char *mode = assay_node_string(b->node, "coordinate_transformation_mode", "half_pixel");
    if (strcmp(mode, "tf_crop_and_resize") == 0) /* which may crop channels too */
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its coordinates are not taken");
    enum assay_status st = find_taps(b, r, err);
    if (st)
        return st;
    r->point_bytes = x->dims[1] * (int64_t)assay_dtype_size(x->dtype);
    for (int k = 1; k < b->n_inputs; k++)
        b->unneeded[k] = true;
    b->in_layouts[0] = b->out_layouts[0] = NATIVE_NHWC;
    b->kernel.name = r->nearest ? "nearest points" : "interpolation of points";
    b->kernel.run = run_resize;
    b->kernel.n_parts = native_parts(assay_type_bytes(y), b->n_threads);
    b->kernel.scratch_bytes = r->nearest ? 0 : native_points_scratch(&r->points);
    b->kernel.data = r;
    return ASSAY_OK;
}

/* ---- Concat where most lies channels last */

struct concat {
    int64_t outer;  /* runs of y, each made of one of every input */
    int64_t *bytes; /* [n_inputs]: of an input's run */
    int64_t y_bytes;
};

static void run_concat(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct concat *c = args->kernel->data;
    int64_t begin, end, at = 0;
    (void)scratch;
    native_share(c->outer, 1, part, args->kernel->n_parts, &begin, &end);
    for (int k = 0; at < c->y_bytes; at += c->bytes[k++]) {
        const char *x = args->in[k]->data;
        char *y = (char *)args->out[0]->data + at;
        for (int64_t i = begin; i < end; i++)
            memcpy(y + i * c->y_bytes, x + i * c->bytes[k], (size_t)c->bytes[k]);
    }
}

static enum assay_status make_concat(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *y = &b->outputs[0];
    int64_t last = 0, axis = assay_node_int(b->node, "axis", 0), dims[ASSAY_MAX_RANK], inner;
    for (int k = 0; k < b->n_inputs; k++)
        if (b->in_layouts[k] == NATIVE_NHWC)
            last += assay_type_bytes(&b->inputs[k]);
    axis += axis < 0 ? y->rank : 0;
    if (y->rank < 3 || y->rank > 5 || axis < 0 || axis >= y->rank || assay_type_count(y) < 1 || 2 * last <= assay_type_bytes(y))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "it does not lie channels last");
    int at = axis == 0 ? 0 : axis == 1 ? y->rank - 1 : (int)axis - 1;
    struct concat *c = assay_arena_alloc(b->arena, sizeof *c);
    *c = (struct concat){.outer = 1};
    c->bytes = assay_arena_array(b->arena, (size_t)b->n_inputs, sizeof *c->bytes);
    native_memory_dims(y, NATIVE_NHWC, dims);
    inner = (int64_t)assay_dtype_size(y->dtype);
    for (int d = 0; d < at; d++)
        c->outer *= dims[d];
    for (int d = at + 1; d < y->rank; d++)
        inner *= dims[d];
    for (int k = 0; k < b->n_inputs; k++) {
        c->bytes[k] = b->inputs[k].dims[axis] * inner;
        c->y_bytes += c->bytes[k];
        b->in_layouts[k] = NATIVE_NHWC;
    }
    b->out_layouts[0] = NATIVE_NHWC;
    b->kernel.name = "concatenation of points";
    b->kernel.run = run_concat;
    b->kernel.n_parts = native_parts(assay_type_bytes(y), b->n_threads);
    b->kernel.data = c;
    return ASSAY_OK;
}

const struct native_maker native_makers_image[] = {
    {.type = "BatchNormalization", .domain = "", .make = make_norm},
    {.type = "Resize", .domain = "", .make = make_resize},
    {.type = "Concat", .domain = "", .make = make_concat},
    {0},
};
