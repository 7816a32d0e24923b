/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QLinearConv and ConvInteger on products of 16 bits, whose sums no tier's instructions saturate: where the CPU has no VNNI, and
 * for what native_quantized_conv.c does not take, zero points that vary among it. Channels last. Zero points are taken from x and
 * w before they are multiplied, so that padding is zeros.
 *
 * Windows of some points are gathered as rows of a matrix. Where a group is a channel there is nothing to multiply but each
 * number with one weight: rows of the input are widened to f32 once, with their padding, and a tap is a distance in them. Sums of
 * so few products are exact in f32.
 */
#include "graph/ops/window.h"
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    DIMS = ASSAY_WINDOW_DIMS,
    MAX_K = 1 << 15,
    POINTS = 48, /* whose windows are gathered at a time */
    SHORT = 12,
    MAX_LINES = 64,
    MAX_LINES_BYTES = 1 << 23,
};

/* Places of inputs, -1 = none. */
struct form {
    int x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias;
};

struct state {
    struct form form;
    const struct native_simd *simd;
    struct assay_window window;
    enum assay_dtype x_type, y_type;
    int64_t n_in, n_out, groups, taps, channels, made; /* channels of a group that are read and made */
    int64_t k, room;                                   /* numbers of a window, even; of the sums of a point */
    bool by_channel, is_plain;                         /* is_plain: windows are points */
    const int16_t *panels;                             /* of each group */
    const float *weights;                              /* or [taps, room] */
    const float *factor;                               /* [n_out]: of sums to codes */
    const int32_t *add;                                /* [n_out]: the bias, in units of the sums */
    int32_t y_zero;
    int64_t extent[2], length; /* of by_channel: lines of the input that an output's see, and their points with padding */
    int64_t gathered_bytes;
};

/* What a thread works on. */
struct work {
    const struct state *s;
    const unsigned char *x;
    unsigned char *y;
    int32_t zero;
    int16_t *windows;   /* [POINTS, k] */
    float *lines;       /* [extent…, length, room], and one of zeros */
    int32_t *sums;      /* [POINTS, room] */
    int64_t *line_from; /* [extent…]: which line of x lies there; -1 = none */
};

/* ---- run */

static void finish(const struct work *k, int64_t point, int64_t n)
{
    const struct state *s = k->s;
    unsigned char *y = k->y + point * s->n_out * (int64_t)assay_dtype_size(s->y_type);
    for (int64_t i = 0; i < n; i++) {
        const int32_t *sums = k->sums + i * s->room;
        if (s->y_type == ASSAY_U8)
            s->simd->requantize_u8(y + i * s->n_out, sums, s->factor, s->add, s->y_zero, s->n_out);
        else if (s->y_type == ASSAY_I8)
            s->simd->requantize_i8((int8_t *)y + i * s->n_out, sums, s->factor, s->add, s->y_zero, s->n_out);
        else
            memcpy(y + i * s->n_out * (int64_t)sizeof *sums, sums, (size_t)s->n_out * sizeof *sums);
    }
}

static void widen(const struct work *k, int16_t *to, const unsigned char *from, int64_t n)
{
    if (n < SHORT) /* a call would take longer */
        for (int64_t i = 0; i < n; i++)
            to[i] = (int16_t)((k->s->x_type == ASSAY_U8 ? from[i] : (int8_t)from[i]) - k->zero);
    else if (k->s->x_type == ASSAY_U8)
        k->s->simd->widen_less_u8(to, from, k->zero, n);
    else
        k->s->simd->widen_less_i8(to, (const int8_t *)from, k->zero, n);
}

/* The taps along a line from `position` on, of some channels. */
static void gather_line(const struct work *k, const unsigned char *line, int64_t position, int64_t channel, int16_t *to)
{
    const struct assay_window *w = &k->s->window;
    int64_t n_in = k->s->n_in, channels = k->s->channels, taps = w->kernel[DIMS - 1], size = w->input[DIMS - 1];
    if (channels == n_in && w->dilation[DIMS - 1] == 1) {
        int64_t from = position < 0 ? -position : 0, end = size - position < taps ? size - position : taps;
        end = end < from ? from : end;
        if (from)
            memset(to, 0, (size_t)(from * n_in) * sizeof *to);
        widen(k, to + from * n_in, line + (position + from) * n_in, (end - from) * n_in);
        if (end < taps)
            memset(to + end * n_in, 0, (size_t)((taps - end) * n_in) * sizeof *to);
        return;
    }
    for (int64_t t = 0; t < taps; t++, to += channels, position += w->dilation[DIMS - 1]) {
        if (position >= 0 && position < size)
            widen(k, to, line + position * n_in + channel, channels);
        else
            memset(to, 0, (size_t)channels * sizeof *to);
    }
}

/* Where an output is: its image, and its place there. */
static int64_t split(const struct assay_window *w, int64_t point, int64_t at[DIMS])
{
    for (int d = DIMS - 1; d >= 0; d--) {
        at[d] = point % w->output[d];
        point /= w->output[d];
    }
    return point;
}

/* The channels from `channel` on of a point's window: [taps, channels]. */
static void gather(const struct work *k, int64_t point, int64_t channel, int16_t *to)
{
    const struct assay_window *w = &k->s->window;
    int64_t at[DIMS], image = split(w, point, at), line = w->kernel[2] * k->s->channels;
    for (int64_t d = 0; d < w->kernel[0]; d++)
        for (int64_t h = 0; h < w->kernel[1]; h++, to += line) {
            int64_t p = assay_window_position(w, 0, at[0], d), q = assay_window_position(w, 1, at[1], h);
            if (p < 0 || p >= w->input[0] || q < 0 || q >= w->input[1])
                memset(to, 0, (size_t)line * sizeof *to);
            else
                gather_line(k, k->x + ((image * w->input[0] + p) * w->input[1] + q) * w->input[2] * k->s->n_in,
                            assay_window_position(w, 2, at[2], 0), channel, to);
        }
    memset(to, 0, (size_t)(k->s->k - k->s->taps * k->s->channels) * sizeof *to);
}

/* Outputs [begin, end), counted over all images. */
static void make_points(struct work *k, int64_t begin, int64_t end)
{
    const struct state *s = k->s;
    int64_t panels = s->k * native_pairs_columns(s->made);
    for (int64_t n; begin < end; begin += n) {
        n = end - begin < POINTS ? end - begin : POINTS;
        for (int64_t g = 0; g < s->groups; g++) {
            if (s->is_plain)
                widen(k, k->windows, k->x + begin * s->n_in, n * s->n_in);
            for (int64_t i = 0; i < n && !s->is_plain; i++)
                gather(k, begin + i, g * s->channels, k->windows + i * s->k);
            s->simd->product_i16(k->sums + g * s->made, s->room, k->windows, s->k, s->panels + g * panels, n, s->made, s->k);
        }
        finish(k, begin, n);
    }
}

/* A line of x, less zero, between its padding: where it lies from the last output on, or made. Beyond x it is zeros. */
static const float *find_line(struct work *k, int64_t image, int64_t d, int64_t h)
{
    const struct state *s = k->s;
    const struct assay_window *w = &s->window;
    int64_t line_size = s->length * s->room, at = (image * w->input[0] + d) * w->input[1] + h;
    if (d < 0 || d >= w->input[0] || h < 0 || h >= w->input[1])
        return k->lines + s->extent[0] * s->extent[1] * line_size;
    int64_t place = d % s->extent[0] * s->extent[1] + h % s->extent[1];
    float *line = k->lines + place * line_size, *to = line + w->pad_begin[2] * s->room;
    if (k->line_from[place] == at)
        return line;
    int64_t points = s->length - w->pad_begin[2] < w->input[2] ? s->length - w->pad_begin[2] : w->input[2];
    const unsigned char *from = k->x + at * w->input[2] * s->n_in;
    int64_t step = s->room == s->n_in ? points * s->n_in : s->n_in;
    for (int64_t i = 0; i < points * s->n_in; i += step, to += s->room) {
        if (s->x_type == ASSAY_U8)
            s->simd->dequantize_u8(to, from + i, 1, k->zero, step);
        else
            s->simd->dequantize_i8(to, (const int8_t *)from + i, 1, k->zero, step);
    }
    k->line_from[place] = at;
    return line;
}

/* Lines [begin, end) of the output, counted over all images. */
static void make_lines(struct work *k, int64_t begin, int64_t end)
{
    const struct state *s = k->s;
    const struct assay_window *w = &s->window;
    int64_t step = w->stride[2] * s->room, lines = s->extent[0] * s->extent[1];
    const float *at[NATIVE_WEIGHED_TAPS];
    memset(k->lines, 0, (size_t)((lines + 1) * s->length * s->room) * sizeof *k->lines);
    memset(k->line_from, -1, (size_t)lines * sizeof *k->line_from);
    for (; begin < end; begin++) {
        int64_t row = begin % (w->output[0] * w->output[1]), image = begin / (w->output[0] * w->output[1]), n_taps = 0;
        for (int64_t d = 0; d < w->kernel[0]; d++)
            for (int64_t h = 0; h < w->kernel[1]; h++) {
                const float *line = find_line(k, image, assay_window_position(w, 0, row / w->output[1], d),
                                              assay_window_position(w, 1, row % w->output[1], h));
                for (int64_t t = 0; t < w->kernel[2]; t++)
                    at[n_taps++] = line + t * w->dilation[2] * s->room;
            }
        for (int64_t i = 0; i < w->output[2]; i += POINTS) {
            int64_t n = w->output[2] - i < POINTS ? w->output[2] - i : POINTS;
            s->simd->weigh_points(k->sums, at, step, s->weights, (int)n_taps, s->room, n);
            finish(k, begin * w->output[2] + i, n);
            for (int64_t t = 0; t < n_taps; t++)
                at[t] += n * step;
        }
    }
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct state *s = args->kernel->data;
    const struct assay_window *w = &s->window;
    const struct assay_tensor *zero = s->form.x_zero >= 0 ? args->in[s->form.x_zero] : NULL;
    struct work k = {.s = s, .x = args->in[s->form.x]->data, .y = args->out[0]->data};
    int64_t images = args->out[0]->type.dims[0], begin, end;
    k.zero = zero ? (int32_t)assay_tensor_int(zero, 0) : 0;
    k.windows = (int16_t *)(void *)scratch;
    k.lines = (float *)(void *)scratch;
    k.sums = (int32_t *)(void *)(scratch + s->gathered_bytes);
    k.line_from = (int64_t *)(void *)(scratch + s->gathered_bytes + native_aligned(POINTS * s->room * (int64_t)sizeof *k.sums));
    if (s->by_channel) {
        native_share(images * w->output[0] * w->output[1], 1, part, args->kernel->n_parts, &begin, &end);
        make_lines(&k, begin, end);
    } else {
        native_share(images * assay_window_volume(w->output), 6, part, args->kernel->n_parts, &begin, &end);
        make_points(&k, begin, end);
    }
}

/* ---- making */

/* Constants of one, or of each channel. */
static bool is_by_channel(const struct native_build *b, int in, int64_t n)
{
    if (!native_is_given(b, in))
        return true;
    return b->constants[in] && (assay_type_count(&b->inputs[in]) == 1 || assay_type_count(&b->inputs[in]) == n);
}

static double number(const struct native_build *b, int in, int64_t i, double otherwise)
{
    const struct assay_tensor *t = native_is_given(b, in) ? b->constants[in] : NULL;
    return t ? assay_tensor_real(t, assay_tensor_count(t) == 1 ? 0 : i) : otherwise;
}

static bool read_numbers(struct native_build *b, struct state *s)
{
    const struct form *f = &s->form;
    if (!is_by_channel(b, f->w_scale, s->n_out) || !is_by_channel(b, f->w_zero, s->n_out) ||
        !is_by_channel(b, f->bias, s->n_out) || !is_by_channel(b, f->x_scale, 1) || !is_by_channel(b, f->y_scale, 1) ||
        !is_by_channel(b, f->y_zero, 1) || (native_is_given(b, f->x_zero) && assay_type_count(&b->inputs[f->x_zero]) != 1))
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
static void lay(const struct native_build *b, const struct state *s, int16_t *panels, float *weights)
{
    const struct assay_tensor *w = b->constants[s->form.w];
    int64_t count = s->taps * s->channels;
    for (int64_t o = 0; o < s->n_out; o++) {
        int32_t zero = (int32_t)number(b, s->form.w_zero, o, 0);
        int64_t group = o / s->made * s->k * native_pairs_columns(s->made);
        for (int64_t i = 0; i < count; i++) {
            int64_t channel = i / s->taps, tap = i % s->taps, row = tap * s->channels + channel;
            int32_t value = (int32_t)assay_tensor_int(w, o * count + i) - zero;
            if (s->by_channel)
                weights[tap * s->room + o] = (float)value;
            else
                panels[group + native_pairs_place(row, o % s->made, s->k, s->made)] = (int16_t)value;
        }
    }
}

static bool pack(struct native_build *b, struct state *s)
{
    char key[64];
    int w_zero = native_is_given(b, s->form.w_zero) ? b->node->inputs[s->form.w_zero] : -1;
    int64_t size_bytes = s->by_channel ? s->taps * s->room * (int64_t)sizeof(float)
                                       : s->groups * s->k * native_pairs_columns(s->made) * (int64_t)sizeof(int16_t);
    snprintf(key, sizeof key, "windows%s less %d", s->by_channel ? " of channels" : "", w_zero);
    const void *packed = native_pack_find(b, s->form.w, key);
    if (!packed) {
        void *to = native_pack_add(b, s->form.w, key, size_bytes);
        if (to) {
            memset(to, 0, (size_t)size_bytes);
            lay(b, s, to, to);
        }
        packed = to;
    }
    s->panels = packed;
    s->weights = packed;
    return packed != NULL;
}

/* What lines of the input need where a group is a channel; false where they would be too long to be kept. */
static bool measure_lines(struct state *s)
{
    const struct assay_window *w = &s->window;
    double lines = 1, length = (double)(w->output[2] - 1) * (double)w->stride[2] + 1;
    s->room = native_pairs_columns(s->n_out);
    for (int d = 0; d < DIMS; d++) {
        double extent = (double)(w->kernel[d] - 1) * (double)w->dilation[d];
        if (d < 2)
            lines *= extent + 1;
        else
            length += extent;
        if (w->pad_begin[d] < 0)
            return false;
    }
    if (lines > MAX_LINES || (lines + 1) * length * (double)s->room * sizeof(float) > MAX_LINES_BYTES)
        return false;
    for (int d = 0; d < 2; d++)
        s->extent[d] = (w->kernel[d] - 1) * w->dilation[d] + 1;
    s->length = (int64_t)length;
    s->gathered_bytes = native_aligned((s->extent[0] * s->extent[1] + 1) * s->length * s->room * (int64_t)sizeof(float));
    return w->pad_begin[2] <= s->length;
}

static bool is_plain(const struct state *s)
{
    bool plain = s->groups == 1 && s->k == s->n_in;
    for (int d = 0; d < DIMS; d++)
        plain &= s->window.kernel[d] == 1 && s->window.stride[d] == 1 && s->window.input[d] == s->window.output[d];
    return plain;
}

static void measure(struct state *s)
{
    s->by_channel =
        s->groups == s->n_in && s->n_out == s->n_in && s->taps <= NATIVE_WEIGHED_TAPS && s->window.n_dims > 0 && measure_lines(s);
    if (s->by_channel)
        return;
    s->k = (s->taps * s->channels + 1) / 2 * 2;
    s->is_plain = is_plain(s);
    s->room = native_pairs_columns(s->n_out) + NATIVE_PAIRS_ALIGN; /* the columns of a group end in those of the next */
    s->gathered_bytes = native_aligned(POINTS * s->k * (int64_t)sizeof(int16_t));
}

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
    s->taps = assay_window_volume(s->window.kernel);
    if (s->groups < 1 || s->n_in % s->groups || s->n_out % s->groups || assay_type_count(w) / s->n_out > MAX_K ||
        assay_type_count(w) / s->n_out != s->taps * (s->n_in / s->groups) || !read_numbers(b, s))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its scales and zero points are not of the kind that is taken");
    s->channels = s->n_in / s->groups;
    s->made = s->n_out / s->groups;
    measure(s);
    if (!pack(b, s))
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
    for (int k = 0; k < b->n_inputs; k++) {
        b->in_layouts[k] = k == form->x ? NATIVE_NHWC : NATIVE_PLAIN;
        b->unneeded[k] = k != form->x && k != form->x_zero;
    }
    b->out_layouts[0] = NATIVE_NHWC;
    b->kernel.name = "convolution of 16 bits";
    b->kernel.run = run;
    b->kernel.scratch_bytes = s->gathered_bytes + native_aligned(POINTS * s->room * (int64_t)sizeof(int32_t)) +
                              (s->by_channel ? s->extent[0] * s->extent[1] * (int64_t)sizeof(int64_t) : 0);
    int64_t rows = y->dims[0] * s->window.output[0] * s->window.output[1];
    int64_t most = s->by_channel ? rows : (rows * s->window.output[2] + 5) / 6;
    int parts = native_parts(assay_type_count(y) * (assay_type_count(w) / s->n_out), b->n_threads);
    b->kernel.n_parts = most < parts ? (int)most : parts;
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
    bool has_zero = native_is_given(b, 2);
    const struct form form = {0, -1, has_zero ? 2 : -1, 1, -1, 3, -1, -1, -1};
    return make(b, &form, err);
}

const struct native_maker native_makers_quantized_windows[] = {
    {.type = "QLinearConv", .domain = "", .make = make_qlinear},
    {.type = "ConvInteger", .domain = "", .make = make_integer},
    {0},
};
