/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QLinearConv and ConvInteger on products of 16 bits, whose sums no tier's instructions saturate: where the CPU has no VNNI, and
 * for what native_quantized_conv.c does not take, zero points that vary among it. Channels last; threads share rows of the
 * output. Zero points are taken from x and w before they are multiplied, so that padding is zeros.
 */
#include "graph/ops/window.h"
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DIMS = ASSAY_WINDOW_DIMS, MAX_K = 1 << 15 };

/* Places of inputs, -1 = none. */
struct form {
    int x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias;
};

struct state {
    struct form form;
    const struct native_simd *simd;
    struct assay_window window;
    enum assay_dtype x_type, y_type;
    int64_t n_in, n_out, groups, taps, k; /* k = taps · channels of a group */
    bool by_channel;                      /* a group is a channel: w is [taps, n_out], else [n_out, k] */
    const int16_t *w;
    const float *factor; /* [n_out]: of sums to codes */
    const int32_t *add;  /* [n_out]: the bias, in units of the sums */
    int32_t y_zero;
    int64_t patch_bytes;
};

/* ---- run */

static void widen(const struct state *s, int16_t *to, const unsigned char *from, int32_t zero, int64_t n)
{
    if (s->x_type == ASSAY_U8)
        s->simd->widen_less_u8(to, from, zero, n);
    else
        s->simd->widen_less_i8(to, (const int8_t *)from, zero, n);
}

/* The channels [channel, channel + n) of the window at a point of the output: [taps, n]. */
static void gather(const struct state *s, const unsigned char *image, int32_t zero, const int64_t at[DIMS], int64_t channel,
                   int64_t n, int16_t *to)
{
    const struct assay_window *w = &s->window;
    for (int64_t d = 0; d < w->kernel[0]; d++)
        for (int64_t h = 0; h < w->kernel[1]; h++)
            for (int64_t k = 0; k < w->kernel[2]; k++, to += n) {
                int64_t p[DIMS] = {assay_window_position(w, 0, at[0], d), assay_window_position(w, 1, at[1], h),
                                   assay_window_position(w, 2, at[2], k)};
                bool inside = true;
                for (int i = 0; i < DIMS; i++)
                    inside &= p[i] >= 0 && p[i] < w->input[i];
                if (inside)
                    widen(s, to, image + ((p[0] * w->input[1] + p[1]) * w->input[2] + p[2]) * s->n_in + channel, zero, n);
                else
                    memset(to, 0, (size_t)n * sizeof *to);
            }
}

static void make_sums(const struct state *s, const unsigned char *image, int32_t zero, const int64_t at[DIMS], int16_t *patch,
                      int32_t *sums)
{
    int64_t per_group = s->n_in / s->groups, made = s->n_out / s->groups;
    if (s->by_channel) {
        gather(s, image, zero, at, 0, s->n_in, patch);
        memset(sums, 0, (size_t)s->n_out * sizeof *sums);
        for (int64_t t = 0; t < s->taps; t++)
            s->simd->muladd_i16(sums, patch + t * s->n_in, s->w + t * s->n_out, s->n_out);
        return;
    }
    for (int64_t g = 0; g < s->groups; g++) {
        gather(s, image, zero, at, g * per_group, per_group, patch);
        s->simd->dot_i16(sums + g * made, patch, s->w + g * made * s->k, made, s->k);
    }
}

static void finish(const struct state *s, const int32_t *sums, unsigned char *y)
{
    if (s->y_type == ASSAY_U8)
        s->simd->requantize_u8(y, sums, s->factor, s->add, s->y_zero, s->n_out);
    else if (s->y_type == ASSAY_I8)
        s->simd->requantize_i8((int8_t *)y, sums, s->factor, s->add, s->y_zero, s->n_out);
    else
        memcpy(y, sums, (size_t)s->n_out * sizeof *sums);
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct state *s = args->kernel->data;
    const struct assay_window *w = &s->window;
    const struct assay_tensor *zero = s->form.x_zero >= 0 ? args->in[s->form.x_zero] : NULL;
    int32_t x_zero = zero ? (int32_t)assay_tensor_int(zero, 0) : 0;
    int64_t rows = w->output[0] * w->output[1], point = s->n_out * (int64_t)assay_dtype_size(s->y_type), begin, end;
    int16_t *patch = (int16_t *)(void *)scratch;
    int32_t *sums = (int32_t *)(void *)(scratch + s->patch_bytes);
    native_share(args->out[0]->type.dims[0] * rows, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        int64_t at[DIMS] = {row % rows / w->output[1], row % w->output[1], 0};
        const unsigned char *image =
            (const unsigned char *)args->in[s->form.x]->data + row / rows * assay_window_volume(w->input) * s->n_in;
        unsigned char *y = (unsigned char *)args->out[0]->data + row * w->output[2] * point;
        for (; at[2] < w->output[2]; at[2]++, y += point) {
            make_sums(s, image, x_zero, at, patch, sums);
            finish(s, sums, y);
        }
    }
}

/* ---- making */

static bool is_given(const struct native_build *b, int in) { return in >= 0 && in < b->n_inputs && b->node->inputs[in] >= 0; }

/* Constants of one, or of each channel. */
static bool is_by_channel(const struct native_build *b, int in, int64_t n)
{
    if (!is_given(b, in))
        return true;
    return b->constants[in] && (assay_type_count(&b->inputs[in]) == 1 || assay_type_count(&b->inputs[in]) == n);
}

static double number(const struct native_build *b, int in, int64_t i, double otherwise)
{
    const struct assay_tensor *t = is_given(b, in) ? b->constants[in] : NULL;
    return t ? assay_tensor_real(t, assay_tensor_count(t) == 1 ? 0 : i) : otherwise;
}

static bool read_numbers(struct native_build *b, struct state *s)
{
    const struct form *f = &s->form;
    if (!is_by_channel(b, f->w_scale, s->n_out) || !is_by_channel(b, f->w_zero, s->n_out) ||
        !is_by_channel(b, f->bias, s->n_out) || !is_by_channel(b, f->x_scale, 1) || !is_by_channel(b, f->y_scale, 1) ||
        !is_by_channel(b, f->y_zero, 1) || (is_given(b, f->x_zero) && assay_type_count(&b->inputs[f->x_zero]) != 1))
        return false;
    float *factor = assay_arena_array(b->arena, (size_t)s->n_out, sizeof *factor);
    int32_t *add = assay_arena_array(b->arena, (size_t)s->n_out, sizeof *add);
    double scale = number(b, f->x_scale, 0, 1) / number(b, f->y_scale, 0, 1);
    for (int64_t c = 0; c < s->n_out; c++) {
        factor[c] = (float)(scale * number(b, f->w_scale, c, 1));
        add[c] = (int32_t)number(b, f->bias, c, 0);
        if (!isfinite(factor[c]))
            return false;
    }
    s->factor = factor;
    s->add = add;
    s->y_zero = (int32_t)number(b, f->y_zero, 0, 0);
    return true;
}

/* From [n_out, channels of a group, taps]. */
static bool pack(struct native_build *b, struct state *s)
{
    const struct assay_tensor *w = b->constants[s->form.w];
    char key[64];
    int w_zero = is_given(b, s->form.w_zero) ? b->node->inputs[s->form.w_zero] : -1;
    snprintf(key, sizeof key, "windows%s less %d", s->by_channel ? " of channels" : "", w_zero);
    int64_t channels = s->n_in / s->groups;
    s->w = native_pack_find(b, s->form.w, key);
    int16_t *to = s->w ? NULL : native_pack_add(b, s->form.w, key, assay_tensor_count(w) * (int64_t)sizeof *to);
    for (int64_t o = 0; o < s->n_out && to; o++) {
        int32_t zero = (int32_t)number(b, s->form.w_zero, o, 0);
        for (int64_t i = 0; i < s->k; i++) {
            int64_t channel = i / s->taps, tap = i % s->taps;
            to[s->by_channel ? tap * s->n_out + o : o * s->k + tap * channels + channel] =
                (int16_t)(assay_tensor_int(w, o * s->k + i) - zero);
        }
    }
    s->w = to ? to : s->w;
    return s->w != NULL;
}

static int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

static bool is_eight_bit(enum assay_dtype dtype) { return dtype == ASSAY_U8 || dtype == ASSAY_I8; }

static enum assay_status make(struct native_build *b, const struct form *form, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[form->x], *w = &b->inputs[form->w], *y = &b->outputs[0];
    struct state *s = assay_arena_alloc(b->arena, sizeof *s);
    if (!b->constants[form->w] || x->rank < 3 || x->rank > 5 || assay_type_count(x) < 1 || assay_type_count(y) < 1 ||
        assay_type_count(w) < 1 || !is_eight_bit(x->dtype) || !is_eight_bit(w->dtype))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "it has no constant weights");
    *s = (struct state){.form = *form, .simd = native_simd_of(b->isa), .x_type = x->dtype, .y_type = y->dtype};
    struct assay_op_call call = {.node = b->node, .n_inputs = b->n_inputs, .inputs = (struct assay_type *)b->inputs};
    enum assay_status st = assay_window_init(&s->window, &call, x, w, err);
    if (!st)
        st = assay_window_slide(&s->window, &call, false, err);
    if (st)
        return st;
    s->n_in = x->dims[1];
    s->n_out = y->dims[1];
    s->groups = assay_node_int(b->node, "group", 1);
    s->k = assay_type_count(w) / s->n_out;
    s->taps = assay_window_volume(s->window.kernel);
    s->by_channel = s->groups == s->n_in && s->n_out == s->n_in;
    if (s->groups < 1 || s->k > MAX_K || s->k != s->taps * (s->n_in / s->groups) || !read_numbers(b, s))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its scales and zero points are not of the kind that is taken");
    if (!pack(b, s))
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
    s->patch_bytes = aligned(s->taps * (s->by_channel ? s->n_in : s->n_in / s->groups) * (int64_t)sizeof(int16_t));
    for (int k = 0; k < b->n_inputs; k++) {
        b->in_layouts[k] = k == form->x ? NATIVE_NHWC : NATIVE_PLAIN;
        b->unneeded[k] = k != form->x && k != form->x_zero;
    }
    b->out_layouts[0] = NATIVE_NHWC;
    b->kernel.name = "convolution of 16 bits";
    b->kernel.run = run;
    b->kernel.scratch_bytes = s->patch_bytes + aligned(s->n_out * (int64_t)sizeof(int32_t));
    int64_t rows = y->dims[0] * s->window.output[0] * s->window.output[1];
    int parts = native_parts(assay_type_count(y) * s->k, b->n_threads);
    b->kernel.n_parts = rows < parts ? (int)rows : parts;
    b->kernel.data = s;
    return ASSAY_OK;
}

static enum assay_status make_qlinear(struct native_build *b, struct assay_error *err)
{
    const struct form form = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    return make(b, &form, err);
}

static enum assay_status make_integer(struct native_build *b, struct assay_error *err)
{
    bool has_zero = b->n_inputs > 2 && b->node->inputs[2] >= 0;
    const struct form form = {0, -1, has_zero ? 2 : -1, 1, -1, 3, -1, -1, -1};
    return make(b, &form, err);
}

const struct native_maker native_makers_quantized_windows[] = {
    {.type = "QLinearConv", .domain = "", .make = make_qlinear},
    {.type = "ConvInteger", .domain = "", .make = make_integer},
    {0},
};
