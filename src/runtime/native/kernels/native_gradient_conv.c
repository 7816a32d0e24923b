/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolutions whose weights change from run to run, and their gradients: Conv, assay.ConvGradientInput and
 * assay.ConvGradientWeight on oneDNN, channels last, f32 or bf16. Threads share the images. Weights are put into oneDNN's form
 * before, or out of it after, in scratch; gradients of weights are made in f32 for each share of images and added in order.
 */
#include "runtime/native/kernels/conv.h"
#include "runtime/native/simd/simd.h"

#include <string.h>

enum { DIMS = ASSAY_WINDOW_DIMS, MAX_SHARES = 64 };
enum what { FORWARD, INPUT, WEIGHT };

struct conv {
    enum what what;
    enum assay_dtype dtype, made_dtype; /* of images; of WEIGHT: of the result, whose form for oneDNN is f32 */
    struct assay_window window;
    int64_t batch, n_in, n_out, groups;
    int from, weight, bias; /* inputs: images, weights (of WEIGHT: dy), bias; -1 = none */
};

/* One or two sizes of shares of the images. */
struct shape {
    int64_t images;
    dnnl_primitive_t primitive;
};

struct share {
    struct native_dnnl_part part;
    int shape;
    int64_t image;
    int weight_at, bias_at; /* places among the arguments */
};

struct state {
    struct conv c;
    const struct native_simd *simd;
    struct shape shapes[2];
    int n_shapes, n_shares;
    struct share shares[MAX_SHARES];
    dnnl_primitive_t reorder;
    struct native_dnnl_part reorder_part;
    int64_t weight_bytes, part_scratch_bytes, weight_count; /* in oneDNN's form; of a share; elements of that form */
    int64_t x_image, y_image;                               /* bytes of an image */
};

static void release(void *data)
{
    struct state *s = data;
    for (int i = 0; i < s->n_shares; i++)
        native_dnnl_release(&s->shares[i].part);
    for (int i = 0; i < s->n_shapes; i++)
        dnnl_primitive_destroy(s->shapes[i].primitive);
    native_dnnl_release(&s->reorder_part);
    dnnl_primitive_destroy(s->reorder);
}

/* ---- run: scratch is [weights in oneDNN's form, of WEIGHT for each share] [scratch of each share] */

struct job {
    const struct native_args *args;
    struct state *s;
};

static unsigned char *form_at(const struct job *job, int share)
{
    return job->args->scratch + (job->s->c.what == WEIGHT ? share * job->s->weight_bytes : 0);
}

static void run_share(void *context, int part, int thread)
{
    const struct job *job = context;
    struct state *s = job->s;
    struct share *share = &s->shares[part];
    int n_forms = s->c.what == WEIGHT ? s->n_shares : 1;
    const struct assay_tensor *x = s->c.what == INPUT ? job->args->out[0] : job->args->in[s->c.from];
    const struct assay_tensor *y = s->c.what == FORWARD  ? job->args->out[0]
                                   : s->c.what == WEIGHT ? job->args->in[s->c.weight]
                                                         : job->args->in[s->c.from];
    (void)thread;
    native_dnnl_set(&share->part, 0, (char *)x->data + share->image * s->x_image);
    native_dnnl_set(&share->part, 1, (char *)y->data + share->image * s->y_image);
    native_dnnl_set(&share->part, 2, form_at(job, part));
    if (share->bias_at >= 0)
        native_dnnl_set(&share->part, share->bias_at, job->args->in[s->c.bias]->data);
    native_dnnl_run(&share->part, job->args->scratch + n_forms * s->weight_bytes + part * s->part_scratch_bytes);
}

static enum assay_status run(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    struct state *s = args->kernel->data;
    struct job job = {args, s};
    (void)err;
    if (s->c.what != WEIGHT) {
        native_dnnl_set(&s->reorder_part, 0, args->in[s->c.weight]->data);
        native_dnnl_set(&s->reorder_part, 1, args->scratch);
        native_dnnl_run(&s->reorder_part, NULL);
    }
    native_pool_run(pool, s->n_shares, run_share, &job);
    if (s->c.what == WEIGHT) {
        for (int i = 1; i < s->n_shares; i++)
            s->simd->add_scaled((float *)(void *)args->scratch, (const float *)(const void *)form_at(&job, i), 1,
                                s->weight_count);
        native_dnnl_set(&s->reorder_part, 0, args->scratch);
        native_dnnl_set(&s->reorder_part, 1, args->out[0]->data);
        native_dnnl_run(&s->reorder_part, NULL);
    }
    return ASSAY_OK;
}

/* ---- descriptors */

static void describe_weights(const struct conv *c, bool any, dnnl_memory_desc_t *desc)
{
    static const dnnl_format_tag_t tags[] = {dnnl_abc, dnnl_abcd, dnnl_abcde, dnnl_abcdef};
    int n = 0;
    dnnl_dims_t d;
    if (c->groups > 1)
        d[n++] = c->groups;
    d[n++] = c->n_out / c->groups;
    d[n++] = c->n_in / c->groups;
    for (int i = DIMS - c->window.n_dims; i < DIMS; i++)
        d[n++] = c->window.kernel[i];
    enum assay_dtype dtype = c->what != WEIGHT ? c->dtype : any ? ASSAY_F32 : c->made_dtype;
    dnnl_memory_desc_init_by_tag(desc, n, d, native_dnnl_type(dtype), any ? dnnl_format_tag_any : tags[n - 3]);
}

static dnnl_status_t create(const_dnnl_op_desc_t desc, const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *result)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t st = dnnl_primitive_attr_create(&attr);
    if (!st)
        st = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (!st)
        st = dnnl_primitive_desc_create(result, desc, attr, native_dnnl_engine(), hint);
    dnnl_primitive_attr_destroy(attr);
    return st;
}

/* The primitive for that many images; weights as oneDNN likes them, or as `form`. */
static dnnl_status_t describe(const struct conv *c, int64_t images, const dnnl_memory_desc_t *form, dnnl_primitive_desc_t *result)
{
    int n = c->window.n_dims, from = DIMS - n;
    dnnl_memory_desc_t x, y, any, bias, none;
    struct native_conv_steps k;
    native_conv_points(&x, images, c->n_in, n, c->window.input + from, native_dnnl_type(c->dtype));
    native_conv_points(&y, images, c->n_out, n, c->window.output + from, native_dnnl_type(c->dtype));
    describe_weights(c, true, &any);
    memset(&none, 0, sizeof none);
    dnnl_memory_desc_init_by_tag(&bias, 1, (dnnl_dims_t){c->n_out}, native_dnnl_type(c->dtype), dnnl_a);
    native_conv_walk(&c->window, &k);
    if (form)
        any = *form;
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_memory_desc_t loose = any;
    if (c->what != FORWARD) {
        describe_weights(c, true, &loose);
        loose.data_type = native_dnnl_type(c->dtype); /* as the pass forward has them */
    }
    dnnl_status_t st = dnnl_dilated_convolution_forward_desc_init(&desc, dnnl_forward_training, dnnl_convolution_direct, &x,
                                                                  &loose, c->bias >= 0 ? &bias : &none, &y, k.stride, k.dilation,
                                                                  k.pad_begin, k.pad_end);
    if (!st)
        st = create(&desc, NULL, c->what == FORWARD ? result : &hint);
    if (st || c->what == FORWARD)
        return st;
    if (c->what == INPUT)
        st = dnnl_dilated_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &x, &any, &y, k.stride, k.dilation,
                                                              k.pad_begin, k.pad_end);
    else
        st = dnnl_dilated_convolution_backward_weights_desc_init(&desc, dnnl_convolution_direct, &x, &any, &none, &y, k.stride,
                                                                 k.dilation, k.pad_begin, k.pad_end);
    if (!st)
        st = create(&desc, hint, result);
    dnnl_primitive_desc_destroy(hint);
    return st;
}

static const dnnl_memory_desc_t *form_of(const struct conv *c, const_dnnl_primitive_desc_t desc)
{
    return dnnl_primitive_desc_query_md(desc, c->what == WEIGHT ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
}

/* Between the graph's form of the weights and oneDNN's. */
static dnnl_status_t open_reorder(struct state *s, const dnnl_memory_desc_t *form)
{
    dnnl_memory_desc_t plain;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_engine_t e = native_dnnl_engine();
    describe_weights(&s->c, false, &plain);
    const dnnl_memory_desc_t *from = s->c.what == WEIGHT ? form : &plain, *to = s->c.what == WEIGHT ? &plain : form;
    dnnl_status_t st = dnnl_reorder_primitive_desc_create(&desc, from, e, to, e, NULL);
    if (!st)
        st = dnnl_primitive_create(&s->reorder, desc);
    dnnl_primitive_desc_destroy(desc);
    if (st)
        return st;
    s->reorder_part.scratch = -1;
    s->reorder_part.primitive = s->reorder;
    native_dnnl_add(&s->reorder_part, DNNL_ARG_FROM, from, NULL);
    native_dnnl_add(&s->reorder_part, DNNL_ARG_TO, to, NULL);
    return dnnl_success;
}

/* ---- making */

static void link_share(struct state *s, struct share *share, const_dnnl_primitive_desc_t desc, const dnnl_memory_desc_t *form)
{
    static const int args[][3] = {[FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_DST, DNNL_ARG_WEIGHTS},
                                  [INPUT] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS},
                                  [WEIGHT] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS}};
    static const dnnl_query_t queries[][2] = {[FORWARD] = {dnnl_query_src_md, dnnl_query_dst_md},
                                              [INPUT] = {dnnl_query_diff_src_md, dnnl_query_diff_dst_md},
                                              [WEIGHT] = {dnnl_query_src_md, dnnl_query_diff_dst_md}};
    for (int i = 0; i < 2; i++)
        native_dnnl_add(&share->part, args[s->c.what][i], dnnl_primitive_desc_query_md(desc, queries[s->c.what][i], 0), NULL);
    native_dnnl_add(&share->part, args[s->c.what][2], form, NULL);
    share->bias_at = -1;
    if (s->c.bias >= 0) {
        share->bias_at = share->part.n_args;
        native_dnnl_add(&share->part, DNNL_ARG_BIAS, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 1), NULL);
    }
    int64_t scratch = native_dnnl_scratch(desc, &share->part);
    s->part_scratch_bytes = scratch > s->part_scratch_bytes ? scratch : s->part_scratch_bytes;
}

/* A share of that many images; the first decides the form of the weights. */
static bool add_share(struct native_build *b, struct state *s, int64_t image, int64_t images, dnnl_memory_desc_t *form)
{
    struct share *share = &s->shares[s->n_shares];
    dnnl_primitive_desc_t desc = NULL;
    if (describe(&s->c, images, s->n_shares ? form : NULL, &desc))
        return false;
    const char *info = native_dnnl_info(desc);
    int k = 0;
    while (k < s->n_shapes && s->shapes[k].images != images)
        k++;
    bool made = !native_dnnl_is_reference(desc) && k < 2;
    if (made && k == s->n_shapes) {
        s->shapes[k].images = images;
        made = dnnl_primitive_create(&s->shapes[k].primitive, desc) == dnnl_success;
        s->n_shapes += made;
    }
    if (made) {
        if (s->n_shares == 0)
            *form = *form_of(&s->c, desc);
        *share = (struct share){.image = image, .shape = k, .part = {.primitive = s->shapes[k].primitive, .scratch = -1}};
        s->n_shares++;
        link_share(s, share, desc, form);
        b->kernel.name = assay_arena_printf(b->arena, "oneDNN %s %s",
                                            s->c.what == FORWARD ? "conv"
                                            : s->c.what == INPUT ? "conv backward data"
                                                                 : "conv backward weights",
                                            info);
    }
    dnnl_primitive_desc_destroy(desc);
    return made;
}

static enum assay_status refuse(struct assay_error *err)
{
    return assay_error_set(err, ASSAY_UNSUPPORTED, "its types or form are not taken");
}

static enum assay_status make(struct native_build *b, const struct conv *c, struct assay_error *err)
{
    struct state *s = assay_arena_alloc(b->arena, sizeof *s);
    dnnl_memory_desc_t form;
    int64_t size = (int64_t)assay_dtype_size(c->dtype);
    *s = (struct state){.c = *c, .simd = native_simd_of(b->isa), .x_image = size * c->n_in, .y_image = size * c->n_out};
    for (int d = 0; d < DIMS; d++) {
        s->x_image *= c->window.input[d];
        s->y_image *= c->window.output[d];
    }
    int n = b->n_threads < MAX_SHARES ? b->n_threads : MAX_SHARES;
    n = n < c->batch ? n : (int)c->batch;
    bool made = true;
    for (int i = 0; i < n && made; i++) {
        int64_t from, to;
        native_share(c->batch, 1, i, n, &from, &to);
        made = add_share(b, s, from, to - from, &form);
    }
    if (!made || open_reorder(s, &form)) {
        release(s);
        return refuse(err);
    }
    s->weight_count = (int64_t)dnnl_memory_desc_get_size(&form) / 4; /* of gradients */
    s->weight_bytes = native_aligned((int64_t)dnnl_memory_desc_get_size(&form));
    for (int i = 0; i < b->n_inputs; i++)
        b->in_layouts[i] = NATIVE_PLAIN;
    b->in_layouts[c->from] = NATIVE_NHWC;
    if (c->what == WEIGHT)
        b->in_layouts[c->weight] = NATIVE_NHWC;
    else
        b->out_layouts[0] = NATIVE_NHWC;
    b->kernel.scratch_bytes = (c->what == WEIGHT ? s->n_shares : 1) * s->weight_bytes + s->n_shares * s->part_scratch_bytes;
    b->kernel.run_whole = run;
    b->kernel.data = s;
    b->kernel.release = release;
    return ASSAY_OK;
}

static enum assay_status make_any(struct native_build *b, struct assay_error *err)
{
    const char *type = b->node->type;
    struct conv c = {.what = strcmp(type, "Conv") == 0                ? FORWARD
                             : strcmp(type, "ConvGradientInput") == 0 ? INPUT
                                                                      : WEIGHT,
                     .from = 0,
                     .weight = 1,
                     .bias = -1};
    const struct assay_type *x = c.what == INPUT ? &b->outputs[0] : &b->inputs[0];
    const struct assay_type *w = c.what == WEIGHT ? &b->outputs[0] : &b->inputs[1];
    const struct assay_type *y = c.what == FORWARD ? &b->outputs[0] : c.what == WEIGHT ? &b->inputs[1] : &b->inputs[0];
    if (c.what == FORWARD && native_is_given(b, 2))
        c.bias = 2;
    c.dtype = x->dtype;
    c.made_dtype = w->dtype;
    if ((x->dtype != ASSAY_F32 && x->dtype != ASSAY_BF16) || w->dtype != x->dtype || y->dtype != x->dtype ||
        assay_type_count(x) < 1 || assay_type_count(w) < 1 || assay_type_count(y) < 1 ||
        (c.bias >= 0 && b->inputs[2].dtype != x->dtype))
        return refuse(err);
    struct assay_op_call call = {.node = b->node, .opset = b->graph->opset, .n_inputs = b->n_inputs};
    enum assay_status st = assay_window_init(&c.window, &call, x, w, err);
    if (!st)
        st = assay_window_slide(&c.window, &call, false, err);
    if (st)
        return ASSAY_UNSUPPORTED;
    for (int d = DIMS - c.window.n_dims, i = 2; d < DIMS; d++, i++)
        if (c.window.output[d] != y->dims[i] || c.window.pad_begin[d] > (c.window.kernel[d] - 1) * c.window.dilation[d] ||
            c.window.pad_end[d] > (c.window.kernel[d] - 1) * c.window.dilation[d])
            return refuse(err);
    c.batch = x->dims[0];
    c.n_in = x->dims[1];
    c.n_out = w->dims[0];
    c.groups = assay_node_int(b->node, "group", 1);
    return make(b, &c, err);
}

const struct native_maker native_makers_gradient_conv[] = {
    {.type = "Conv", .domain = "", .make = make_any},
    {.type = "ConvGradientInput", .domain = "assay", .make = make_any},
    {.type = "ConvGradientWeight", .domain = "assay", .make = make_any},
    {0},
};
