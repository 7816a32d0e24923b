/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ConvTranspose with constant weights, channels last. Where windows do not overlap (kernel = stride, no padding), each input
 * point makes its own outputs: a 1 × 1 convolution to all taps' channels, whose rows are then put in their places. Other windows
 * are oneDNN's deconvolutions. Threads share input rows, or images.
 */
#include "runtime/native/kernels/conv.h"

#include <stdio.h>
#include <string.h>

enum { DIMS = ASSAY_WINDOW_DIMS, BLOCK_POINTS = 1024 /* input points whose products lie in scratch at a time */ };

struct deconv {
    struct assay_window window; /* input and output as the node has them */
    int64_t batch, n_in, n_out, groups;
    enum assay_dtype dtype;
    bool biased;
    float *bias; /* [n_out], then the same for each further tap */
    /* Windows that do not overlap: */
    int64_t block;         /* input rows of a product */
    int64_t product_bytes; /* of a block */
    int n_primitives;
    dnnl_primitive_t primitives[2]; /* for a block and for one row; or for an image */
    struct native_dnnl_part *parts; /* [n_parts][2] */
    int n_parts;
    int64_t scratch_bytes; /* of the primitives */
};

static void release(void *data)
{
    struct deconv *d = data;
    for (int i = 0; i < 2 * d->n_parts; i++)
        native_dnnl_release(&d->parts[i]);
    for (int i = 0; i < d->n_primitives; i++)
        dnnl_primitive_destroy(d->primitives[i]);
}

static enum assay_status fail(struct assay_error *err, dnnl_status_t st)
{
    return assay_error_set(err, ASSAY_UNSUPPORTED, "oneDNN has no such transposed convolution (status %d)", (int)st);
}

/* The primitive number `which`, which must not be a reference implementation, and its memory for each part. */
static enum assay_status add_primitive(struct native_build *b, struct deconv *d, int which, dnnl_primitive_desc_t desc,
                                       const void *weights, struct assay_error *err)
{
    dnnl_status_t st = dnnl_unimplemented;
    if (!native_dnnl_is_reference(desc))
        st = dnnl_primitive_create(&d->primitives[which], desc);
    if (st)
        return fail(err, st);
    d->n_primitives++;
    for (int i = 0; i < d->n_parts; i++) {
        struct native_dnnl_part *part = &d->parts[2 * i + which];
        part->primitive = d->primitives[which];
        native_dnnl_add(part, DNNL_ARG_SRC, dnnl_primitive_desc_query_md(desc, dnnl_query_src_md, 0), NULL);
        native_dnnl_add(part, DNNL_ARG_DST, dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0), NULL);
        native_dnnl_add(part, DNNL_ARG_WEIGHTS, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0), weights);
        if (d->biased)
            native_dnnl_add(part, DNNL_ARG_BIAS, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 1), d->bias);
        int64_t bytes = native_dnnl_scratch(desc, part);
        if (bytes > d->scratch_bytes)
            d->scratch_bytes = bytes;
    }
    b->kernel.name = assay_arena_printf(b->arena, "oneDNN %s", native_dnnl_info(desc));
    return ASSAY_OK;
}

/* Weights in the form that the primitive wants, from `data`, which lies as `plain` says. */
static enum assay_status pack(struct native_build *b, const char *what, const void *data, const dnnl_memory_desc_t *plain,
                              const dnnl_memory_desc_t *form, const void **packed, struct assay_error *err)
{
    char key[640];
    int n = snprintf(key, sizeof key, "%s ", what);
    native_conv_key(form, key + n, sizeof key - (size_t)n);
    *packed = native_pack_find(b, 1, key);
    if (*packed)
        return ASSAY_OK;
    void *bytes = native_pack_add(b, 1, key, (int64_t)dnnl_memory_desc_get_size(form));
    if (!bytes)
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
    *packed = bytes;
    return native_dnnl_pack(plain, data, form, bytes, err);
}

/* ---- windows that do not overlap: rows of input points × [taps, n_out] */

/* The products [rows × columns, taps of depth and height, kernel width × n_out] of input rows to their places in y. */
static void scatter(const struct deconv *d, const char *products, char *y, int64_t row, int64_t rows)
{
    const struct assay_window *w = &d->window;
    int64_t run = w->kernel[2] * d->n_out * (int64_t)assay_dtype_size(d->dtype), width = w->input[2];
    for (int64_t i = 0; i < rows; i++) {
        int64_t image_depth = (row + i) / w->input[1], h = (row + i) % w->input[1]; /* depth counted over all images */
        for (int64_t tap = 0; tap < w->kernel[0] * w->kernel[1]; tap++) {
            int64_t to_depth = image_depth * w->kernel[0] + tap / w->kernel[1], to_h = h * w->kernel[1] + tap % w->kernel[1];
            char *to = y + (to_depth * w->output[1] + to_h) * width * run;
            const char *from = products + (i * width * w->kernel[0] * w->kernel[1] + tap) * run;
            for (int64_t p = 0; p < width; p++)
                memcpy(to + p * run, from + p * w->kernel[0] * w->kernel[1] * run, (size_t)run);
        }
    }
}

static void run_apart(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct deconv *d = args->kernel->data;
    int64_t row_bytes = d->window.input[2] * d->n_in * (int64_t)assay_dtype_size(d->dtype), begin, end;
    char *products = (char *)scratch + d->scratch_bytes;
    native_share(d->batch * d->window.input[0] * d->window.input[1], 1, part, d->n_parts, &begin, &end);
    while (begin < end) {
        int which = end - begin >= d->block ? 0 : 1;
        int64_t rows = which == 0 ? d->block : 1;
        struct native_dnnl_part *p = &d->parts[2 * part + which];
        native_dnnl_set(p, 0, (const char *)args->in[0]->data + begin * row_bytes);
        native_dnnl_set(p, 1, products);
        native_dnnl_run(p, scratch);
        scatter(d, products, args->out[0]->data, begin, rows);
        begin += rows;
    }
}

/* A 1 × 1 convolution of one row of `points` to all taps' channels. */
static dnnl_status_t describe_apart(const struct deconv *d, int64_t points, const dnnl_memory_desc_t *weight,
                                    dnnl_primitive_desc_t *result)
{
    static const struct native_activation none = {0};
    dnnl_memory_desc_t x, y, w, bias, no_bias;
    dnnl_data_type_t type = native_dnnl_type(d->dtype);
    int64_t columns = assay_window_volume(d->window.kernel) * d->n_out;
    dnnl_dims_t weights = {columns, d->n_in, 1}, biases = {columns}, one = {1}, zero = {0};
    native_conv_points(&x, 1, d->n_in, 1, &points, type);
    native_conv_points(&y, 1, columns, 1, &points, type);
    dnnl_memory_desc_init_by_tag(&w, 3, weights, type, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&bias, 1, biases, dnnl_f32, dnnl_a);
    memset(&no_bias, 0, sizeof no_bias);
    dnnl_convolution_desc_t desc;
    dnnl_status_t st =
        dnnl_dilated_convolution_forward_desc_init(&desc, dnnl_forward_inference, dnnl_convolution_direct, &x,
                                                   weight ? weight : &w, d->biased ? &bias : &no_bias, &y, one, zero, zero, zero);
    return st ? st : native_conv_create(&desc, false, &none, result);
}

/* The weights [n_in, n_out, tap] as those of the 1 × 1 convolution, [tap, n_out, n_in], then packed. */
static enum assay_status pack_apart(struct native_build *b, const struct deconv *d, const dnnl_memory_desc_t *form,
                                    const void **packed, struct assay_error *err)
{
    const struct assay_tensor *given = b->constants[1];
    int64_t volume = assay_window_volume(d->window.kernel), size = (int64_t)assay_dtype_size(d->dtype);
    struct assay_tensor turned = {0};
    enum assay_status st = assay_tensor_alloc(&turned, &given->type, err);
    if (st)
        return st;
    for (int64_t i = 0; i < d->n_in; i++)
        for (int64_t o = 0; o < d->n_out; o++)
            for (int64_t tap = 0; tap < volume; tap++)
                memcpy((char *)turned.data + ((tap * d->n_out + o) * d->n_in + i) * size,
                       (const char *)given->data + ((i * d->n_out + o) * volume + tap) * size, (size_t)size);
    dnnl_memory_desc_t plain;
    dnnl_dims_t dims = {volume * d->n_out, d->n_in, 1};
    dnnl_memory_desc_init_by_tag(&plain, 3, dims, native_dnnl_type(d->dtype), dnnl_abc);
    st = pack(b, "transposed apart", turned.data, &plain, form, packed, err);
    assay_tensor_release(&turned);
    return st;
}

static enum assay_status make_apart(struct native_build *b, struct deconv *d, struct assay_error *err)
{
    const struct assay_window *w = &d->window;
    int64_t volume = assay_window_volume(w->kernel), rows = d->batch * w->input[0] * w->input[1];
    d->block = BLOCK_POINTS / w->input[2] < 1 ? 1 : BLOCK_POINTS / w->input[2];
    if (d->block > rows / d->n_parts)
        d->block = rows / d->n_parts < 1 ? 1 : rows / d->n_parts;
    d->product_bytes = d->block * w->input[2] * volume * d->n_out * (int64_t)assay_dtype_size(d->dtype);
    for (int64_t i = d->n_out; d->biased && i < volume * d->n_out; i++)
        d->bias[i] = d->bias[i - d->n_out];
    dnnl_memory_desc_t form;
    const void *weights = NULL;
    enum assay_status st = ASSAY_OK;
    for (int which = 0; which < 2 && !st; which++) {
        dnnl_primitive_desc_t desc = NULL;
        int64_t points = (which ? 1 : d->block) * w->input[2];
        dnnl_status_t failure = which ? describe_apart(d, points, &form, &desc) : dnnl_unimplemented;
        if (!failure && native_dnnl_is_reference(desc)) {
            dnnl_primitive_desc_destroy(desc);
            failure = dnnl_unimplemented;
        }
        if (failure)
            failure = describe_apart(d, points, NULL, &desc);
        if (failure)
            return fail(err, failure);
        form = *dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
        st = pack_apart(b, d, &form, &weights, err);
        if (!st)
            st = add_primitive(b, d, which, desc, weights, err);
        dnnl_primitive_desc_destroy(desc);
    }
    b->kernel.run = run_apart;
    b->kernel.scratch_bytes = native_aligned(d->scratch_bytes + d->product_bytes);
    return st;
}

/* ---- other windows: an image at a time */

static void run_images(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct deconv *d = args->kernel->data;
    int64_t size = (int64_t)assay_dtype_size(d->dtype), image, last;
    int64_t in = assay_window_volume(d->window.input) * d->n_in * size;
    int64_t out = assay_window_volume(d->window.output) * d->n_out * size;
    native_share(d->batch, 1, part, d->n_parts, &image, &last);
    for (; image < last; image++) {
        struct native_dnnl_part *p = &d->parts[2 * part];
        native_dnnl_set(p, 0, (const char *)args->in[0]->data + image * in);
        native_dnnl_set(p, 1, (char *)args->out[0]->data + image * out);
        native_dnnl_run(p, scratch);
    }
}

/* Weights as oneDNN counts them, [group, n_out, n_in, taps…], and as they lie: [group, n_in, n_out, taps…]. */
static void describe_weights(const struct deconv *d, dnnl_memory_desc_t *any, dnnl_memory_desc_t *plain)
{
    int n = 0, n_dims = d->window.n_dims;
    int64_t volume = assay_window_volume(d->window.kernel), in = d->n_in / d->groups, out = d->n_out / d->groups;
    dnnl_dims_t dims, strides;
    if (d->groups > 1) {
        dims[n] = d->groups;
        strides[n++] = in * out * volume;
    }
    dims[n] = out;
    strides[n++] = volume;
    dims[n] = in;
    strides[n++] = out * volume;
    for (int i = DIMS - n_dims; i < DIMS; i++) {
        volume /= d->window.kernel[i];
        dims[n] = d->window.kernel[i];
        strides[n++] = volume;
    }
    dnnl_memory_desc_init_by_tag(any, n, dims, native_dnnl_type(d->dtype), dnnl_format_tag_any);
    dnnl_memory_desc_init_by_strides(plain, n, dims, native_dnnl_type(d->dtype), strides);
}

static enum assay_status make_images(struct native_build *b, struct deconv *d, struct assay_error *err)
{
    static const struct native_activation none = {0};
    const struct assay_window *w = &d->window;
    int from = DIMS - w->n_dims;
    struct native_conv_steps steps;
    dnnl_memory_desc_t x, y, any, plain, bias, no_bias;
    dnnl_dims_t filters = {d->n_out};
    dnnl_data_type_t type = native_dnnl_type(d->dtype);
    native_conv_walk(w, &steps);
    native_conv_points(&x, 1, d->n_in, w->n_dims, w->input + from, type);
    native_conv_points(&y, 1, d->n_out, w->n_dims, w->output + from, type);
    describe_weights(d, &any, &plain);
    dnnl_memory_desc_init_by_tag(&bias, 1, filters, dnnl_f32, dnnl_a);
    memset(&no_bias, 0, sizeof no_bias);
    dnnl_deconvolution_desc_t op;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t failure = dnnl_dilated_deconvolution_forward_desc_init(&op, dnnl_forward_inference, dnnl_deconvolution_direct,
                                                                         &x, &any, d->biased ? &bias : &no_bias, &y, steps.stride,
                                                                         steps.dilation, steps.pad_begin, steps.pad_end);
    if (!failure)
        failure = native_conv_create(&op, false, &none, &desc);
    if (failure)
        return fail(err, failure);
    const void *weights = NULL;
    enum assay_status st = pack(b, "transposed", b->constants[1]->data, &plain,
                                dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0), &weights, err);
    if (!st)
        st = add_primitive(b, d, 0, desc, weights, err);
    dnnl_primitive_desc_destroy(desc);
    b->kernel.run = run_images;
    b->kernel.scratch_bytes = d->scratch_bytes;
    return st;
}

/* ---- the op */

/* The window, whose padding at the end is what the output's size leaves. */
static enum assay_status read_window(const struct native_build *b, struct deconv *d, struct assay_error *err)
{
    struct assay_op_call call = {.node = b->node, .opset = b->graph->opset, .n_inputs = b->n_inputs};
    struct assay_window *w = &d->window;
    const char *mode = assay_node_string(b->node, "auto_pad", "NOTSET");
    enum assay_status st = assay_window_init(w, &call, &b->inputs[0], &b->inputs[1], err);
    if (st)
        return st;
    if ((*mode && strcmp(mode, "NOTSET") != 0) || assay_node_attr(b->node, "output_shape"))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its padding is not said");
    for (int i = DIMS - w->n_dims; i < DIMS; i++) {
        w->output[i] = b->outputs[0].dims[i - DIMS + b->outputs[0].rank];
        int64_t full = (w->input[i] - 1) * w->stride[i] + (w->kernel[i] - 1) * w->dilation[i] + 1;
        w->pad_end[i] = full - w->pad_begin[i] - w->output[i];
    }
    return ASSAY_OK;
}

static bool stand_apart(const struct deconv *d)
{
    const struct assay_window *w = &d->window;
    bool apart = d->groups == 1;
    for (int i = 0; i < DIMS; i++)
        apart &= w->kernel[i] == w->stride[i] && w->dilation[i] == 1 && w->pad_begin[i] == 0 && w->pad_end[i] == 0;
    return apart;
}

static enum assay_status read_op(struct native_build *b, struct deconv *d, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0], *y = &b->outputs[0];
    *d = (struct deconv){.dtype = x->dtype, .biased = native_is_given(b, 2)};
    if (!b->constants[1] || (d->biased && !b->constants[2]))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its weights are no constants");
    if ((x->dtype != ASSAY_F32 && x->dtype != ASSAY_BF16) || assay_type_count(x) < 1 || assay_type_count(y) < 1)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its type is not taken");
    enum assay_status st = read_window(b, d, err);
    if (st)
        return st;
    d->batch = x->dims[0];
    d->n_in = x->dims[1];
    d->n_out = y->dims[1];
    d->groups = assay_node_int(b->node, "group", 1);
    d->bias = assay_arena_array(b->arena, (size_t)(d->n_out * assay_window_volume(d->window.kernel)), sizeof *d->bias);
    for (int64_t i = 0; d->biased && i < d->n_out; i++)
        d->bias[i] = (float)assay_tensor_real(b->constants[2], i);
    return ASSAY_OK;
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    struct deconv *d = assay_arena_alloc(b->arena, sizeof *d);
    enum assay_status st = read_op(b, d, err);
    if (st)
        return st;
    struct native_conv depthwise = {.window = d->window,
                                    .batch = d->batch,
                                    .n_in = d->n_in,
                                    .n_out = d->n_out,
                                    .groups = d->groups,
                                    .x = 0,
                                    .weight = 1,
                                    .bias = d->biased ? 2 : -1,
                                    .residual = -1,
                                    .dtype = d->dtype};
    if (native_conv_depthwise_suits(&depthwise))
        return native_conv_depthwise_make(b, &depthwise, d->biased ? d->bias : NULL, true, err);
    bool apart = stand_apart(d);
    d->n_parts = native_parts(assay_type_bytes(&b->outputs[0]), b->n_threads);
    if (!apart && d->n_parts > d->batch)
        d->n_parts = (int)d->batch;
    d->parts = assay_arena_array(b->arena, 2 * (size_t)d->n_parts, sizeof *d->parts);
    st = apart ? make_apart(b, d, err) : make_images(b, d, err);
    if (st) {
        release(d);
        return st;
    }
    b->in_layouts[0] = b->out_layouts[0] = NATIVE_NHWC;
    b->unneeded[1] = true;
    if (d->biased)
        b->unneeded[2] = true;
    b->kernel.n_parts = d->n_parts;
    b->kernel.data = d;
    b->kernel.release = release;
    return ASSAY_OK;
}

const struct native_maker native_makers_deconv[] = {
    {.type = "ConvTranspose", .domain = "", .make = make},
    {0},
};
