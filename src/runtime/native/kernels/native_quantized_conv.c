/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QLinearConv with constant weights on oneDNN's u8 · s8 and s8 · s8, channels last, where the CPU has VNNI: without it they
 * saturate in the middle. Threads share the images, then the rows of the output.
 */
#include "graph/ops/window.h"
#include "runtime/native/dnnl.h"
#include "runtime/native/kernels/conv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { X, X_SCALE, X_ZERO, W, W_SCALE, W_ZERO, Y_SCALE, Y_ZERO, BIAS };
enum { DIMS = ASSAY_WINDOW_DIMS };

/* A range of rows of one image or of all of them, along the first dimension that is not of size 1. */
struct piece {
    struct native_dnnl_part part;
    dnnl_primitive_t primitive;
    int64_t x_offset, y_offset; /* bytes */
};

struct state {
    struct assay_window window;
    int64_t batch, n_in, n_out, groups;
    dnnl_data_type_t x_type, y_type;
    int32_t x_zero, y_zero;
    const float *scales; /* [n_out]: of sums to the output's codes */
    const float *bias;   /* [n_out] in units of the sums, or NULL */
    int along;
    struct piece *pieces;
    int n_pieces;
};

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct state *s = args->kernel->data;
    struct piece *p = &s->pieces[part];
    native_dnnl_set(&p->part, 0, (const char *)args->in[X]->data + p->x_offset);
    native_dnnl_set(&p->part, 2, (char *)args->out[0]->data + p->y_offset);
    native_dnnl_run(&p->part, scratch);
}

static void release(void *data)
{
    struct state *s = data;
    for (int i = 0; i < s->n_pieces; i++) {
        native_dnnl_release(&s->pieces[i].part);
        dnnl_primitive_destroy(s->pieces[i].primitive);
    }
}

/* ---- descriptors */

static void describe_weights(const struct state *s, bool any, dnnl_memory_desc_t *desc)
{
    static const dnnl_format_tag_t tags[] = {dnnl_abc, dnnl_abcd, dnnl_abcde, dnnl_abcdef};
    int n = 0;
    dnnl_dims_t d;
    if (s->groups > 1)
        d[n++] = s->groups;
    d[n++] = s->n_out / s->groups;
    d[n++] = s->n_in / s->groups;
    for (int i = DIMS - s->window.n_dims; i < DIMS; i++)
        d[n++] = s->window.kernel[i];
    dnnl_memory_desc_init_by_tag(desc, n, d, dnnl_s8, any ? dnnl_format_tag_any : tags[n - 3]);
}

static dnnl_status_t set_attributes(const struct state *s, dnnl_primitive_attr_t attr)
{
    dnnl_status_t st = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (!st)
        st = dnnl_primitive_attr_set_output_scales(attr, s->n_out, 1 << 1, s->scales);
    if (!st && s->x_zero)
        st = dnnl_primitive_attr_set_zero_points(attr, DNNL_ARG_SRC, 1, 0, &s->x_zero);
    if (!st && s->y_zero)
        st = dnnl_primitive_attr_set_zero_points(attr, DNNL_ARG_DST, 1, 0, &s->y_zero);
    return st;
}

static dnnl_status_t describe(const struct state *s, int64_t batch, const struct assay_window *w, dnnl_primitive_desc_t *result)
{
    dnnl_memory_desc_t x, y, weights, bias;
    struct native_conv_steps steps;
    dnnl_dims_t filters = {s->n_out};
    dnnl_convolution_desc_t desc;
    dnnl_primitive_attr_t attr;
    int from = DIMS - w->n_dims;
    native_conv_points(&x, batch, s->n_in, w->n_dims, w->input + from, s->x_type);
    native_conv_points(&y, batch, s->n_out, w->n_dims, w->output + from, s->y_type);
    describe_weights(s, true, &weights);
    dnnl_memory_desc_init_by_tag(&bias, 1, filters, dnnl_f32, dnnl_a);
    native_conv_walk(w, &steps);
    dnnl_status_t st = dnnl_dilated_convolution_forward_desc_init(&desc, dnnl_forward_inference, dnnl_convolution_direct, &x,
                                                                  &weights, s->bias ? &bias : NULL, &y, steps.stride,
                                                                  steps.dilation, steps.pad_begin, steps.pad_end);
    if (st)
        return st;
    if (dnnl_primitive_attr_create(&attr))
        return dnnl_out_of_memory;
    st = set_attributes(s, attr);
    if (!st)
        st = dnnl_primitive_desc_create(result, &desc, attr, native_dnnl_engine(), NULL);
    dnnl_primitive_attr_destroy(attr);
    if (!st && (native_dnnl_is_reference(*result) || strncmp(native_dnnl_info(*result), "gemm", 4) == 0)) {
        dnnl_primitive_desc_destroy(*result);
        st = dnnl_unimplemented;
    }
    return st;
}

/* ---- pieces */

static enum assay_status fail(struct assay_error *err, dnnl_status_t st)
{
    return assay_error_set(err, ASSAY_UNSUPPORTED, "oneDNN has no such convolution (status %d)", (int)st);
}

static enum assay_status pack(struct native_build *b, const struct state *s, const dnnl_memory_desc_t *form, const void **packed,
                              struct assay_error *err)
{
    char key[640] = "quantized conv ";
    size_t n = strlen(key);
    native_conv_key(form, key + n, sizeof key - n);
    *packed = native_pack_find(b, W, key);
    if (*packed)
        return ASSAY_OK;
    void *bytes = native_pack_add(b, W, key, (int64_t)dnnl_memory_desc_get_size(form));
    if (!bytes)
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
    const struct assay_tensor *w = b->constants[W];
    int64_t size = assay_tensor_count(w);
    unsigned char *moved = assay_alloc((size_t)size);
    for (int64_t i = 0; i < size; i++) /* u8 with zero points of 128 is s8 with none */
        moved[i] = ((const unsigned char *)w->data)[i] ^ (w->type.dtype == ASSAY_U8 ? 0x80 : 0);
    dnnl_memory_desc_t plain;
    describe_weights(s, false, &plain);
    *packed = bytes;
    enum assay_status st = native_dnnl_pack(&plain, moved, form, bytes, err);
    free(moved);
    return st;
}

/* The window of rows [begin, end) of the output, with the padding that falls to them. False if an end sees only padding. */
static bool cut(const struct state *s, int64_t begin, int64_t end, struct assay_window *w, int64_t *first)
{
    int d = s->along;
    *w = s->window;
    *first = 0;
    if (end - begin == w->output[d])
        return true;
    int64_t from = begin * w->stride[d] - w->pad_begin[d];
    int64_t to = from + (end - begin - 1) * w->stride[d] + (w->kernel[d] - 1) * w->dilation[d] + 1;
    w->pad_begin[d] = from < 0 ? -from : 0;
    w->pad_end[d] = to > w->input[d] ? to - w->input[d] : 0;
    *first = from < 0 ? 0 : from;
    int64_t last = to > w->input[d] ? w->input[d] : to;
    w->input[d] = last - *first;
    w->output[d] = end - begin;
    return *first < last;
}

static int64_t points_after(const int64_t *sizes, int d)
{
    int64_t n = 1;
    for (int i = d + 1; i < DIMS; i++)
        n *= sizes[i];
    return n;
}

static enum assay_status add_piece(struct native_build *b, struct state *s, int64_t image, int64_t images, int64_t begin,
                                   int64_t end, struct assay_error *err)
{
    struct piece *p = &s->pieces[s->n_pieces++];
    struct assay_window w;
    dnnl_primitive_desc_t desc;
    int64_t first;
    p->part.scratch = -1;
    if (!cut(s, begin, end, &w, &first))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "rows of nothing but padding are not taken");
    dnnl_status_t st = describe(s, images, &w, &desc);
    if (st)
        return fail(err, st);
    const dnnl_memory_desc_t *form = dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    const void *packed = NULL;
    enum assay_status status = pack(b, s, form, &packed, err);
    if (!status && dnnl_primitive_create(&p->primitive, desc))
        status = fail(err, dnnl_runtime_error);
    if (!status) {
        int64_t x_points = points_after(s->window.input, s->along), y_points = points_after(s->window.output, s->along);
        p->part.primitive = p->primitive;
        p->x_offset = (image * s->window.input[s->along] + first) * x_points * s->n_in;
        p->y_offset = (image * s->window.output[s->along] + begin) * y_points * s->n_out;
        native_dnnl_add(&p->part, DNNL_ARG_SRC, dnnl_primitive_desc_query_md(desc, dnnl_query_src_md, 0), NULL);
        native_dnnl_add(&p->part, DNNL_ARG_WEIGHTS, form, packed);
        native_dnnl_add(&p->part, DNNL_ARG_DST, dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0), NULL);
        if (s->bias)
            native_dnnl_add(&p->part, DNNL_ARG_BIAS, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 1), s->bias);
        int64_t scratch = native_dnnl_scratch(desc, &p->part);
        if (scratch > b->kernel.scratch_bytes)
            b->kernel.scratch_bytes = scratch;
        b->kernel.name = assay_arena_printf(b->arena, "oneDNN convolution %s", native_dnnl_info(desc));
    }
    dnnl_primitive_desc_destroy(desc);
    return status;
}

static enum assay_status add_pieces(struct native_build *b, struct state *s, struct assay_error *err)
{
    int64_t rows = s->window.output[s->along], n_threads = b->n_threads;
    double work = (double)assay_type_count(&b->outputs[0]) * (double)(assay_type_count(&b->inputs[W]) / s->n_out);
    enum assay_status st = ASSAY_OK;
    if (work < 2e5)
        n_threads = 1;
    bool by_image = s->batch >= n_threads, by_row = !by_image && rows >= 2 * n_threads;
    int64_t n = by_image ? n_threads : by_row ? s->batch * n_threads : s->batch;
    s->pieces = assay_arena_array(b->arena, (size_t)n, sizeof *s->pieces);
    for (int64_t i = 0; i < n && !st; i++) {
        int64_t image = i, image_end = i + 1, begin = 0, end = rows;
        if (by_image)
            native_share(s->batch, 1, (int)i, (int)n_threads, &image, &image_end);
        if (by_row) {
            image = i / n_threads;
            image_end = image + 1;
            native_share(rows, 1, (int)(i % n_threads), (int)n_threads, &begin, &end);
        }
        st = add_piece(b, s, image, image_end - image, begin, end, err);
    }
    return st;
}

/* ---- making */

static double number(const struct assay_tensor *t, int64_t i) { return assay_tensor_real(t, assay_tensor_count(t) == 1 ? 0 : i); }

static bool read_numbers(struct native_build *b, struct state *s)
{
    bool biased = native_is_given(b, BIAS);
    for (int k = X_SCALE; k < b->n_inputs; k++)
        if (b->node->inputs[k] >= 0 && !b->constants[k])
            return false;
    const struct assay_tensor *w_scale = b->constants[W_SCALE], *w_zero = b->constants[W_ZERO];
    int64_t wanted = b->inputs[W].dtype == ASSAY_U8 ? 128 : 0;
    for (int64_t i = 0; i < assay_tensor_count(w_zero); i++)
        if (assay_tensor_int(w_zero, i) != wanted)
            return false;
    int64_t counts[] = {assay_tensor_count(w_scale), assay_tensor_count(b->constants[X_SCALE]),
                        assay_tensor_count(b->constants[X_ZERO]), assay_tensor_count(b->constants[Y_SCALE]),
                        assay_tensor_count(b->constants[Y_ZERO])};
    for (size_t i = 0; i < ASSAY_COUNT(counts); i++)
        if (counts[i] != 1 && (i > 0 || counts[i] != s->n_out))
            return false;
    if (biased && assay_tensor_count(b->constants[BIAS]) != s->n_out)
        return false;
    float *scales = assay_arena_array(b->arena, (size_t)s->n_out, sizeof *scales);
    float *bias = assay_arena_array(b->arena, (size_t)s->n_out, sizeof *bias);
    double factor = number(b->constants[X_SCALE], 0) / number(b->constants[Y_SCALE], 0);
    for (int64_t i = 0; i < s->n_out; i++) {
        scales[i] = (float)(factor * number(w_scale, i));
        bias[i] = biased ? (float)assay_tensor_int(b->constants[BIAS], i) : 0;
    }
    s->scales = scales;
    s->bias = biased ? bias : NULL;
    s->x_zero = (int32_t)assay_tensor_int(b->constants[X_ZERO], 0);
    s->y_zero = (int32_t)assay_tensor_int(b->constants[Y_ZERO], 0);
    return true;
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[X], *w = &b->inputs[W], *y = &b->outputs[0];
    struct state *s = assay_arena_alloc(b->arena, sizeof *s);
    *s = (struct state){.batch = x->dims[0], .n_in = x->dims[1], .n_out = y->dims[1]};
    if (b->isa < NATIVE_ISA_AVX512_VNNI || !b->constants[W] || x->rank < 3 || x->rank > 5 || assay_type_count(y) < 1 ||
        assay_type_count(x) < 1 || assay_type_count(w) < 1)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "it has no constant weights, or the CPU no VNNI");
    struct assay_op_call call = {.node = b->node, .n_inputs = b->n_inputs, .inputs = (struct assay_type *)b->inputs};
    enum assay_status st = assay_window_init(&s->window, &call, x, w, err);
    if (!st)
        st = assay_window_slide(&s->window, &call, false, err);
    if (st)
        return st;
    for (int d = DIMS - s->window.n_dims; d < DIMS; d++)
        if (s->window.pad_begin[d] > (s->window.kernel[d] - 1) * s->window.dilation[d] ||
            s->window.pad_end[d] > (s->window.kernel[d] - 1) * s->window.dilation[d])
            return assay_error_set(err, ASSAY_UNSUPPORTED, "padding beyond the kernel is not taken");
    s->groups = assay_node_int(b->node, "group", 1);
    s->x_type = native_dnnl_type(x->dtype);
    s->y_type = native_dnnl_type(y->dtype);
    s->along = DIMS - s->window.n_dims;
    while (s->along < DIMS - 1 && s->window.output[s->along] == 1 && s->window.input[s->along] == 1)
        s->along++;
    if (s->groups < 1 || !read_numbers(b, s))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its scales and zero points are not of the kind that is taken");
    st = add_pieces(b, s, err);
    if (st) {
        release(s);
        return st;
    }
    for (int k = 0; k < b->n_inputs; k++) {
        b->in_layouts[k] = k == X ? NATIVE_NHWC : NATIVE_PLAIN;
        b->unneeded[k] = k != X;
    }
    b->out_layouts[0] = NATIVE_NHWC;
    b->kernel.run = run;
    b->kernel.n_parts = s->n_pieces;
    b->kernel.data = s;
    b->kernel.release = release;
    return ASSAY_OK;
}

const struct native_maker native_makers_quantized_conv[] = {
    {.type = "QLinearConv", .domain = "", .make = make},
    {.type = NULL},
};
