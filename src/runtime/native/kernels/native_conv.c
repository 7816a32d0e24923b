/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolutions with constant weights, Conv and assay.Conv, y = activation(conv(x) + bias + residual), of one to three dimensions
 * on oneDNN, channels last. The residual is added where y will be: oneDNN's fastest kernels know no other way.
 *
 * Threads share the rows of all images, or the output channels where the weights are more to read than the image; oneDNN wants
 * y without gaps, so that a range of channels is made beside it, then put in its place.
 */
#include "graph/ops/window.h"
#include "runtime/native/dnnl.h"
#include "runtime/native/kernels/conv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DIMS = ASSAY_WINDOW_DIMS, MANY_TAPS = 5 /* of a row, from which on our depthwise loop is the faster */ };

/* What one primitive makes: of images [image, image + images) the outputs [row, row + rows), channels [filter, filter + filters).
 */
struct region {
    int64_t image, images, row, rows, filter, filters;
};

struct piece {
    struct native_dnnl_part part;
    dnnl_primitive_t primitive;  /* oneDNN's cache shares what is equal */
    int64_t x_offset, y_offset;  /* bytes */
    int x, y;                    /* places among the arguments */
    int64_t y_bytes;             /* of all of y that it makes */
    int64_t points, point_bytes; /* of a range of channels, that is made in scratch; point_bytes 0 = in y itself */
    int64_t scratch_bytes;       /* of the primitive */
};

struct state {
    struct native_conv c;
    int n_pieces;
    struct piece *pieces;
    int *first; /* [n_parts + 1]: pieces of each part */
};

/* ---- run */

static void copy_points(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t points, int64_t bytes)
{
    for (int64_t i = 0; i < points; i++)
        memcpy(to + i * to_stride, from + i * from_stride, (size_t)bytes);
}

static void run_piece(const struct state *s, struct piece *piece, const struct native_args *args, unsigned char *scratch)
{
    int64_t stride = s->c.n_out * (int64_t)assay_dtype_size(s->c.dtype);
    char *y = (char *)args->out[0]->data + piece->y_offset, *made = y;
    const char *residual = s->c.residual >= 0 ? (const char *)args->in[s->c.residual]->data + piece->y_offset : NULL;
    if (piece->point_bytes) {
        made = (char *)scratch + piece->scratch_bytes;
        if (residual)
            copy_points(made, piece->point_bytes, residual, stride, piece->points, piece->point_bytes);
    } else if (residual && residual != y) {
        memcpy(y, residual, (size_t)piece->y_bytes);
    }
    native_dnnl_set(&piece->part, piece->x, (const char *)args->in[s->c.x]->data + piece->x_offset);
    native_dnnl_set(&piece->part, piece->y, made);
    native_dnnl_run(&piece->part, scratch);
    if (piece->point_bytes)
        copy_points(y, stride, made, piece->point_bytes, piece->points, piece->point_bytes);
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct state *s = args->kernel->data;
    for (int i = s->first[part]; i < s->first[part + 1]; i++)
        run_piece(s, &s->pieces[i], args, scratch);
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

/* The window of a region: its own input rows, with the padding that falls to it. *first is the first input row. False if all
 * that some end of it sees is padding. */
static bool cut_window(const struct native_conv *c, const struct region *r, struct assay_window *w, int64_t *first)
{
    int d = c->along;
    *w = c->window;
    *first = 0;
    if (r->rows == w->output[d])
        return true;
    int64_t begin = r->row * w->stride[d] - w->pad_begin[d];
    int64_t end = begin + (r->rows - 1) * w->stride[d] + (w->kernel[d] - 1) * w->dilation[d] + 1;
    w->pad_begin[d] = begin < 0 ? -begin : 0;
    w->pad_end[d] = end > w->input[d] ? end - w->input[d] : 0;
    *first = begin < 0 ? 0 : begin;
    int64_t last = end > w->input[d] ? w->input[d] : end;
    if (*first >= last)
        return false;
    w->input[d] = last - *first;
    w->output[d] = r->rows;
    return true;
}

static dnnl_data_type_t type_of(const struct native_conv *c) { return native_dnnl_type(c->dtype); }

/* Of the region's weights as the graph has them, or as oneDNN likes them (`any`). */
static void describe_weights(const struct native_conv *c, int64_t filters, bool any, dnnl_memory_desc_t *desc)
{
    static const dnnl_format_tag_t tags[] = {dnnl_abc, dnnl_abcd, dnnl_abcde, dnnl_abcdef};
    int n = 0, dims = c->window.n_dims;
    dnnl_dims_t d;
    if (c->groups > 1)
        d[n++] = c->groups;
    d[n++] = filters / c->groups;
    d[n++] = c->n_in / c->groups;
    for (int i = DIMS - dims; i < DIMS; i++)
        d[n++] = c->window.kernel[i];
    dnnl_memory_desc_init_by_tag(desc, n, d, type_of(c), any ? dnnl_format_tag_any : tags[n - 3]);
}

static dnnl_status_t describe(const struct native_conv *c, const struct region *r, const struct assay_window *w,
                              const dnnl_memory_desc_t *weight, dnnl_primitive_desc_t *result)
{
    int n = w->n_dims, from = DIMS - n;
    dnnl_memory_desc_t x, y, any, bias, none;
    native_conv_points(&x, r->images, c->n_in, n, w->input + from, type_of(c));
    native_conv_points(&y, r->images, r->filters, n, w->output + from, type_of(c));
    describe_weights(c, r->filters, true, &any);
    dnnl_dims_t filters = {r->filters};
    struct native_conv_steps steps;
    dnnl_memory_desc_init_by_tag(&bias, 1, filters, dnnl_f32, dnnl_a);
    memset(&none, 0, sizeof none);
    native_conv_walk(w, &steps);
    dnnl_convolution_desc_t desc;
    dnnl_status_t st = dnnl_dilated_convolution_forward_desc_init(&desc, dnnl_forward_inference, dnnl_convolution_direct, &x,
                                                                  weight ? weight : &any, c->bias >= 0 ? &bias : &none, &y,
                                                                  steps.stride, steps.dilation, steps.pad_begin, steps.pad_end);
    if (st)
        return st;
    return native_conv_create(&desc, c->residual >= 0, &c->activation, result);
}

/* ---- the weights and the bias */

static enum assay_status pack_weights(struct native_build *b, const struct native_conv *c, const struct region *r,
                                      const dnnl_memory_desc_t *form, const void **packed, struct assay_error *err)
{
    char key[640];
    int n = snprintf(key, sizeof key, "conv %lld+%lld ", (long long)r->filter, (long long)r->filters);
    native_conv_key(form, key + n, sizeof key - (size_t)n);
    *packed = native_pack_find(b, c->weight, key);
    if (*packed)
        return ASSAY_OK;
    void *bytes = native_pack_add(b, c->weight, key, (int64_t)dnnl_memory_desc_get_size(form));
    if (!bytes)
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
    dnnl_memory_desc_t plain;
    describe_weights(c, r->filters, false, &plain);
    const struct assay_tensor *w = b->constants[c->weight];
    int64_t filter_bytes = assay_tensor_bytes(w) / c->n_out;
    *packed = bytes;
    return native_dnnl_pack(&plain, (const char *)w->data + r->filter * filter_bytes, form, bytes, err);
}

static enum assay_status read_bias(struct native_build *b, const struct native_conv *c, const float **bias,
                                   struct assay_error *err)
{
    const struct assay_tensor *given = b->constants[c->bias];
    const float *have = given->type.dtype == ASSAY_F32 ? given->data : native_pack_find(b, c->bias, "f32");
    *bias = have;
    if (have)
        return ASSAY_OK;
    float *wide = native_pack_add(b, c->bias, "f32", c->n_out * (int64_t)sizeof *wide);
    if (!wide)
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
    for (int64_t i = 0; i < c->n_out; i++)
        wide[i] = (float)assay_tensor_real(given, i);
    *bias = wide;
    return ASSAY_OK;
}

/* ---- pieces */

static enum assay_status fail(struct assay_error *err, dnnl_status_t st)
{
    return assay_error_set(err, ASSAY_UNSUPPORTED, "oneDNN has no such convolution (status %d)", (int)st);
}

/* The best descriptor for a region; its weights in the form of another's if that costs nothing. */
static dnnl_status_t choose(const struct native_conv *c, const struct region *r, const struct assay_window *w,
                            const dnnl_memory_desc_t *form, const char *form_info, dnnl_primitive_desc_t *desc, const char **info)
{
    *desc = NULL;
    dnnl_status_t st = dnnl_unimplemented;
    if (form) {
        st = describe(c, r, w, form, desc);
        if (!st && strcmp(native_dnnl_info(*desc), form_info) != 0) {
            dnnl_primitive_desc_destroy(*desc);
            *desc = NULL;
            st = dnnl_unimplemented;
        }
    }
    if (st)
        st = describe(c, r, w, NULL, desc);
    *info = st ? "" : native_dnnl_info(*desc);
    if (!st && native_dnnl_is_reference(*desc)) {
        dnnl_primitive_desc_destroy(*desc);
        *desc = NULL;
        st = dnnl_unimplemented;
    }
    return st;
}

struct maker {
    struct native_build *b;
    struct state *s;
    const float *bias;
    dnnl_memory_desc_t form; /* of the last piece's weights */
    int64_t form_filters;
    const char *form_info;
};

static void link_piece(struct maker *m, struct piece *piece, const struct region *r, const_dnnl_primitive_desc_t desc,
                       const void *weights)
{
    const struct native_conv *c = &m->s->c;
    int64_t size = (int64_t)assay_dtype_size(c->dtype), points = r->images;
    for (int d = 0; d < DIMS; d++)
        points *= d == c->along ? r->rows : c->window.output[d];
    piece->x = piece->part.n_args;
    native_dnnl_add(&piece->part, DNNL_ARG_SRC, dnnl_primitive_desc_query_md(desc, dnnl_query_src_md, 0), NULL);
    native_dnnl_add(&piece->part, DNNL_ARG_WEIGHTS, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0), weights);
    piece->y = piece->part.n_args;
    native_dnnl_add(&piece->part, DNNL_ARG_DST, dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0), NULL);
    if (m->bias)
        native_dnnl_add(&piece->part, DNNL_ARG_BIAS, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 1),
                        m->bias + r->filter);
    piece->scratch_bytes = native_dnnl_scratch(desc, &piece->part);
    piece->points = points;
    piece->y_bytes = points * r->filters * size;
    piece->point_bytes = r->filters < c->n_out ? r->filters * size : 0;
    int64_t scratch = piece->scratch_bytes + (piece->point_bytes ? piece->y_bytes : 0);
    if (scratch > m->b->kernel.scratch_bytes)
        m->b->kernel.scratch_bytes = native_aligned(scratch);
}

static enum assay_status add_piece(struct maker *m, const struct region *r, struct assay_error *err)
{
    const struct native_conv *c = &m->s->c;
    struct assay_window w;
    int64_t first_row, size = (int64_t)assay_dtype_size(c->dtype);
    if (!cut_window(c, r, &w, &first_row))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "a part of it would be padding alone");
    dnnl_primitive_desc_t desc;
    const char *info;
    dnnl_status_t st = choose(c, r, &w, m->form_filters == r->filters ? &m->form : NULL, m->form_info, &desc, &info);
    if (st)
        return fail(err, st);
    m->form = *dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    m->form_filters = r->filters;
    m->form_info = info;
    const void *weights = NULL;
    enum assay_status status = pack_weights(m->b, c, r, &m->form, &weights, err);
    struct piece *piece = &m->s->pieces[m->s->n_pieces];
    *piece = (struct piece){.part.scratch = -1};
    if (!status) {
        st = dnnl_primitive_create(&piece->primitive, desc);
        status = st ? fail(err, st) : ASSAY_OK;
    }
    if (!status) {
        m->s->n_pieces++;
        piece->part.primitive = piece->primitive;
        int64_t x_row = c->n_in * size, y_row = c->n_out * size;
        for (int d = c->along + 1; d < DIMS; d++) {
            x_row *= c->window.input[d];
            y_row *= c->window.output[d];
        }
        piece->x_offset = (r->image * c->window.input[c->along] + first_row) * x_row;
        piece->y_offset = (r->image * c->window.output[c->along] + r->row) * y_row + r->filter * size;
        link_piece(m, piece, r, desc, weights);
        m->b->kernel.name = assay_arena_printf(m->b->arena, "oneDNN conv %s", info);
    }
    dnnl_primitive_desc_destroy(desc);
    return status;
}

/* Rows [from, to), counted over all images: what is left of an image, whole images together, the beginning of one. */
static enum assay_status add_rows(struct maker *m, int64_t from, int64_t to, struct assay_error *err)
{
    int64_t rows = m->s->c.window.output[m->s->c.along];
    enum assay_status st = ASSAY_OK;
    while (from < to && !st) {
        struct region r = {.image = from / rows, .images = 1, .row = from % rows, .filters = m->s->c.n_out};
        r.rows = to - from < rows - r.row ? to - from : rows - r.row;
        if (r.rows == rows)
            r.images = (to - from) / rows;
        st = add_piece(m, &r, err);
        from += r.images * r.rows;
    }
    return st;
}

/* ---- how threads share the work */

enum { FILTER_GRAIN = 16 /* channels of a vector */ };

struct split {
    int rows, filters; /* one of them 1 */
};

/* By estimated time of a thread: what it computes, at some 100 GFLOP/s, and what it reads and copies, at some 10 GB/s. */
static struct split divide(const struct native_build *b, const struct native_conv *c)
{
    const struct assay_window *w = &c->window;
    double size = (double)assay_dtype_size(c->dtype);
    double in = (double)assay_type_count(&b->inputs[c->x]) * size, out = (double)assay_type_count(&b->outputs[0]) * size;
    double weights = (double)assay_type_count(&b->inputs[c->weight]) * size;
    double work = 2 * out / size * weights / size / (double)c->n_out;
    double rows = (double)c->batch * (double)w->output[c->along], grains = ceil((double)c->n_out / FILTER_GRAIN);
    struct split best = {1, 1};
    if (work < 2e5 || b->n_threads == 1) /* some microseconds */
        return best;
    double best_time = work / 1e11 + (in + out + weights) / 1e10, n = b->n_threads;
    double share = ceil(rows / n) / rows, time = share * (work / 1e11 + (in + out) / 1e10) + weights / 1e10;
    if (rows >= 2 && time < best_time) {
        best_time = time;
        best = (struct split){(int)(rows < n ? rows : n), 1};
    }
    share = ceil(grains / n) / grains;
    time = share * (work / 1e11 + (weights + 3 * out) / 1e10) + in / 1e10;
    if (c->groups == 1 && grains >= n && time < best_time)
        best = (struct split){1, b->n_threads};
    return best;
}

static enum assay_status add_pieces(struct maker *m, struct split split, struct assay_error *err)
{
    struct state *s = m->s;
    const struct native_conv *c = &s->c;
    int n_parts = split.rows * split.filters;
    enum assay_status st = ASSAY_OK;
    s->pieces = assay_arena_array(m->b->arena, 3 * (size_t)n_parts, sizeof *s->pieces);
    s->first = assay_arena_array(m->b->arena, (size_t)n_parts + 1, sizeof *s->first);
    for (int i = 0; i < n_parts && !st; i++) {
        int64_t from, to;
        if (split.filters == 1) {
            native_share(c->batch * c->window.output[c->along], 1, i, n_parts, &from, &to);
            st = add_rows(m, from, to, err);
        } else {
            native_share(c->n_out, FILTER_GRAIN, i, n_parts, &from, &to);
            struct region r = {.images = c->batch, .rows = c->window.output[c->along], .filter = from, .filters = to - from};
            st = add_piece(m, &r, err);
        }
        s->first[i + 1] = s->n_pieces;
    }
    return st;
}

/* Whether oneDNN has a kernel for this depthwise window, and not one for convolutions of any groups, and is not slower than ours:
 * in two dimensions, with AVX-512 only where few taps lie in a row. */
static bool has_depthwise(const struct native_build *b, const struct native_conv *c)
{
    struct region all = {.images = c->batch, .rows = c->window.output[c->along], .filters = c->n_out};
    dnnl_primitive_desc_t desc;
    const char *info;
    if (c->window.n_dims != 2 || (b->isa >= NATIVE_ISA_AVX512 && c->window.kernel[DIMS - 1] >= MANY_TAPS))
        return false;
    if (choose(c, &all, &c->window, NULL, NULL, &desc, &info))
        return false;
    bool has = strstr(info, "dw") != NULL;
    dnnl_primitive_desc_destroy(desc);
    return has;
}

static enum assay_status make(struct native_build *b, const struct native_conv *c, struct assay_error *err)
{
    struct state *s = assay_arena_alloc(b->arena, sizeof *s);
    *s = (struct state){.c = *c};
    struct maker m = {.b = b, .s = s};
    enum assay_status st = c->bias >= 0 ? read_bias(b, c, &m.bias, err) : ASSAY_OK;
    if (!st && native_conv_depthwise_suits(c) && !has_depthwise(b, c))
        return native_conv_depthwise_make(b, c, m.bias, false, err);
    if (!st && native_conv_rows_suits(b, c))
        return native_conv_rows_make(b, c, m.bias, err);
    struct split split = divide(b, c);
    if (!st)
        st = add_pieces(&m, split, err);
    if (st && split.rows * split.filters > 1) { /* perhaps only the parts are not to be had */
        release(s);
        s->n_pieces = 0;
        m.form_filters = 0;
        split = (struct split){1, 1};
        st = add_pieces(&m, split, err);
    }
    if (st) {
        release(s);
        return st;
    }
    native_conv_answer(b, c);
    b->kernel.run = run;
    b->kernel.n_parts = split.rows * split.filters;
    b->kernel.data = s;
    b->kernel.release = release;
    return ASSAY_OK;
}

/* ---- ops */

static enum assay_status describe_op(struct native_build *b, struct native_conv *c, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[c->x], *w = &b->inputs[c->weight], *y = &b->outputs[0];
    c->dtype = x->dtype;
    if (!b->constants[c->weight] || (c->bias >= 0 && !b->constants[c->bias]))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its weights are no constants");
    if ((x->dtype != ASSAY_F32 && x->dtype != ASSAY_BF16) || w->dtype != x->dtype || y->dtype != x->dtype)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its types are not f32 or bf16");
    if (assay_type_count(y) < 1 || assay_type_count(x) < 1)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "it is empty");
    if (c->residual >= 0 && !assay_type_equal(&b->inputs[c->residual], y))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its residual has not the type of the output");
    struct assay_op_call call = {.node = b->node, .opset = b->graph->opset, .n_inputs = b->n_inputs};
    enum assay_status st = assay_window_init(&c->window, &call, x, w, err);
    if (!st)
        st = assay_window_slide(&c->window, &call, false, err);
    if (st)
        return st;
    c->batch = x->dims[0];
    c->n_in = x->dims[1];
    c->n_out = w->dims[0];
    c->groups = assay_node_int(b->node, "group", 1);
    for (int d = DIMS - c->window.n_dims; d < DIMS; d++)
        if (c->window.pad_begin[d] > (c->window.kernel[d] - 1) * c->window.dilation[d] ||
            c->window.pad_end[d] > (c->window.kernel[d] - 1) * c->window.dilation[d])
            return assay_error_set(err, ASSAY_UNSUPPORTED, "some of its outputs see nothing but padding");
    c->along = DIMS - c->window.n_dims;
    while (c->along < DIMS - 1 && c->window.input[c->along] == 1 && c->window.output[c->along] == 1)
        c->along++;
    return ASSAY_OK;
}

static enum assay_status make_conv(struct native_build *b, struct assay_error *err)
{
    struct native_conv c = {.x = 0, .weight = 1, .bias = native_is_given(b, 2) ? 2 : -1, .residual = -1};
    enum assay_status st = describe_op(b, &c, err);
    return st ? st : make(b, &c, err);
}

static enum assay_status make_fused(struct native_build *b, struct assay_error *err)
{
    struct native_conv c = {
        .x = 0, .weight = 1, .bias = native_is_given(b, 2) ? 2 : -1, .residual = native_is_given(b, 3) ? 3 : -1};
    if (!native_activation_find(b->node, &c.activation))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its activation is not taken");
    enum assay_status st = describe_op(b, &c, err);
    return st ? st : make(b, &c, err);
}

const struct native_maker native_makers_conv[] = {
    {.type = "Conv", .domain = "", .make = make_conv},
    {.type = "Conv", .domain = "assay", .make = make_fused},
    {0},
};
