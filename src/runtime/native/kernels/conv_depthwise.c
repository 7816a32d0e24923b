/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolutions of f32 whose channels have each weights of their own, and transposed ones: of any window, channels last. Padding
 * is never made: taps that lie in it are left out. A transposed convolution of stride s is s plain ones in each dimension, each
 * of every s-th output and every s-th tap. Threads share the outputs. See conv.h, simd/simd_depthwise.c.
 */
#include "runtime/native/kernels/conv.h"
#include "runtime/native/kernels/gemv.h"

#include <stdio.h>
#include <string.h>

enum {
    DIMS = ASSAY_WINDOW_DIMS,
    LANES = 16,     /* of the widest vector */
    POINTS = 8,     /* made at once */
    MOST_WIDE = 48, /* numbers of points that are taken for one, where channels do not fill a vector */
    FEW_ROWS = 4    /* rows of a thread, below which it takes parts of them */
};

/* Along one dimension the outputs first, first + step, …, n of them. Output q meets its tap t, weight number
 * tap + t tap_step, at input x + q x_step + t x_tap, if that is not in the padding. */
struct phase {
    int64_t first, step, n, n_taps, tap, tap_step, x, x_step, x_tap;
};

struct depthwise {
    struct native_conv c;
    const struct native_simd *simd;
    const float *weights, *bias; /* [taps, width], [width] */
    int64_t repeat, width;       /* points that are one to the loop, and the numbers of a tap */
    int64_t n_phases[DIMS];
    struct phase *phases[DIMS];
    int64_t grain;
    float low, high;
    dnnl_alg_kind_t after; /* an activation that bounds do not say */
};

/* ---- run */

/* The taps [*from, *to) of output q that do not meet padding; equal where there are none. */
static void find_taps(const struct phase *p, int64_t input, int64_t q, int64_t *from, int64_t *to)
{
    int64_t first = p->x + q * p->x_step, last = input - 1 - first;
    *from = first < 0 ? (-first + p->x_tap - 1) / p->x_tap : 0;
    *to = last < 0 ? 0 : last / p->x_tap + 1;
    *to = *to < p->n_taps ? *to : p->n_taps;
    if (*from >= *to)
        *from = *to = 0;
}

static int64_t at_least(int64_t x, int64_t low) { return x < low ? low : x; }
static int64_t at_most(int64_t x, int64_t high) { return x > high ? high : x; }

/* The first q of a phase whose output is not before `column`. */
static int64_t first_of(const struct phase *p, int64_t column)
{
    return column <= p->first ? 0 : (column - p->first + p->step - 1) / p->step;
}

/* n outputs of a phase from q on, every `step`-th, each for itself or as many at once as `together`. */
static void make_span(const struct depthwise *d, struct native_depthwise *call, const struct phase *p, float *y,
                      const float *residual, int64_t q, int64_t n, int64_t step, int64_t together)
{
    int64_t at = (p->first + q * p->step) * d->c.n_out;
    call->at = p->x + q * p->x_step;
    call->x_step = step * p->x_step;
    call->y_step = step * p->step * d->c.n_out;
    call->n = together * d->c.n_out;
    d->simd->depthwise(call, y + at, residual ? residual + at : NULL, n);
}

/* Outputs [begin, end) of a phase one by one; where taps are further apart than windows, those together that share taps. */
static void make_singles(const struct depthwise *d, struct native_depthwise *call, const struct phase *p, float *y,
                         const float *residual, int64_t begin, int64_t end)
{
    int64_t n = end - begin, apart = p->x_tap % p->x_step ? 1 : p->x_tap / p->x_step;
    if (p->n_taps == 1 || n / (POINTS / 2) < apart)
        apart = 1;
    for (int64_t i = 0; i < apart; i++)
        make_span(d, call, p, y, residual, begin + i, (n - i + apart - 1) / apart, apart, 1);
}

/* Outputs [begin, end) of a phase. */
static void make_phase(const struct depthwise *d, struct native_depthwise *call, const struct phase *p, float *y,
                       const float *residual, int64_t begin, int64_t end)
{
    call->pitch = d->c.n_out;
    call->length = d->c.window.input[DIMS - 1];
    call->n_taps = p->n_taps;
    call->x_tap = p->x_tap;
    call->w_at = p->tap * d->width;
    call->w_tap = p->tap_step * d->width;
    if (d->repeat > 1) { /* what sees no padding goes together */
        int64_t from = at_least(at_most(-p->x, end), begin), to = at_most(call->length - (p->n_taps - 1) * p->x_tap - p->x, end);
        int64_t n = at_least(to - from, 0) / d->repeat;
        make_singles(d, call, p, y, residual, begin, from);
        make_span(d, call, p, y, residual, from, n, d->repeat, d->repeat);
        begin = from + n * d->repeat;
    }
    make_singles(d, call, p, y, residual, begin, end);
}

/* Where the rows of taps lie of output row h in depth z, and their weights; how many. */
static int64_t find_rows(const struct depthwise *d, const float *image, int64_t z, int64_t h, const float **x, const float **w)
{
    const struct assay_window *win = &d->c.window;
    const struct phase *pz = &d->phases[0][z % d->n_phases[0]], *ph = &d->phases[1][h % d->n_phases[1]];
    int64_t qz = z / d->n_phases[0], qh = h / d->n_phases[1], z_from, z_to, h_from, h_to, n = 0;
    find_taps(pz, win->input[0], qz, &z_from, &z_to);
    find_taps(ph, win->input[1], qh, &h_from, &h_to);
    for (int64_t i = z_from; i < z_to; i++)
        for (int64_t j = h_from; j < h_to; j++, n++) {
            int64_t depth = pz->x + qz * pz->x_step + i * pz->x_tap, row = ph->x + qh * ph->x_step + j * ph->x_tap;
            int64_t tap = (pz->tap + i * pz->tap_step) * win->kernel[1] + ph->tap + j * ph->tap_step;
            x[n] = image + (depth * win->input[1] + row) * win->input[2] * d->c.n_in;
            w[n] = d->weights + tap * win->kernel[2] * d->width;
        }
    return n;
}

/* Outputs [from, to) of a row, which is counted over all images. */
static void make_row(const struct depthwise *d, const struct native_args *args, int64_t row, int64_t from, int64_t to,
                     const float **rows)
{
    const struct assay_window *w = &d->c.window;
    const float **weights = rows + w->kernel[0] * w->kernel[1];
    int64_t image = row / (w->output[0] * w->output[1]), z = row / w->output[1] % w->output[0], h = row % w->output[1];
    int64_t channels = d->c.n_out, at = row * w->output[2] * channels;
    const float *x = (const float *)args->in[d->c.x]->data + image * assay_window_volume(w->input) * d->c.n_in;
    const float *residual = d->c.residual >= 0 ? (const float *)args->in[d->c.residual]->data + at : NULL;
    float *y = (float *)args->out[0]->data + at;
    struct native_depthwise call = {.x = rows, .w = weights, .bias = d->bias, .low = d->low, .high = d->high};
    call.n_rows = find_rows(d, x, z, h, rows, weights);
    for (int64_t i = 0; i < d->n_phases[DIMS - 1]; i++) {
        const struct phase *p = &d->phases[DIMS - 1][i];
        int64_t begin = first_of(p, from), end = at_most(first_of(p, to), p->n);
        if (begin < end)
            make_phase(d, &call, p, y, residual, begin, end);
    }
    native_activate(d->after, d->c.activation.alpha, d->c.activation.beta, d->simd, y + from * channels, (to - from) * channels);
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct depthwise *d = args->kernel->data;
    const int64_t *output = d->c.window.output, width = output[2];
    int64_t begin, end, to;
    native_share(d->c.batch * output[0] * output[1] * width, d->grain, part, args->kernel->n_parts, &begin, &end);
    for (; begin < end; begin = to) {
        int64_t row = begin / width;
        to = at_most(end, (row + 1) * width);
        make_row(d, args, row, begin - row * width, to - row * width, (const float **)(void *)scratch);
    }
}

/* ---- making */

static void add_phases(struct native_build *b, struct depthwise *d, int dim)
{
    const struct assay_window *w = &d->c.window;
    d->n_phases[dim] = 1;
    d->phases[dim] = assay_arena_array(b->arena, 1, sizeof *d->phases[dim]);
    d->phases[dim][0] = (struct phase){.step = 1,
                                       .n = w->output[dim],
                                       .n_taps = w->kernel[dim],
                                       .tap_step = 1,
                                       .x = -w->pad_begin[dim],
                                       .x_step = w->stride[dim],
                                       .x_tap = w->dilation[dim]};
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Output o = q stride + r is what input x of tap t makes, where o + pad = x stride + t dilation: so the taps of a rest r are
 * every period-th, and where t is period greater, x is period dilation / stride less. Taps are taken from the last on. */
static void add_transposed_phases(struct native_build *b, struct depthwise *d, int dim)
{
    const struct assay_window *w = &d->c.window;
    int64_t stride = w->stride[dim], dilation = w->dilation[dim], divisor = common_divisor(stride, dilation);
    int64_t n = stride < w->output[dim] ? stride : w->output[dim]; /* where q is 0, o is the rest */
    d->n_phases[dim] = n;
    d->phases[dim] = assay_arena_array(b->arena, (size_t)n, sizeof *d->phases[dim]);
    for (int64_t r = 0; r < n; r++)
        d->phases[dim][r] = (struct phase){.first = r,
                                           .step = stride,
                                           .n = (w->output[dim] - r + stride - 1) / stride,
                                           .tap_step = -(stride / divisor),
                                           .x_step = 1,
                                           .x_tap = dilation / divisor};
    for (int64_t t = 0; t < w->kernel[dim]; t++) {
        int64_t rest = ((t * dilation - w->pad_begin[dim]) % stride + stride) % stride;
        if (rest >= n)
            continue;
        struct phase *p = &d->phases[dim][rest];
        p->n_taps++;
        p->tap = t;
        p->x = (rest + w->pad_begin[dim] - t * dilation) / stride;
    }
}

/* Points that together fill vectors, if each has too few channels and the next lies behind it. */
static int64_t find_repeat(const struct native_conv *c, bool transposed)
{
    int64_t repeat = 1, stride = c->window.stride[DIMS - 1];
    if (stride != 1 || transposed || c->n_out % LANES == 0 || c->n_out > MOST_WIDE / 2)
        return 1;
    while (repeat * c->n_out % LANES && (repeat + 1) * c->n_out <= MOST_WIDE)
        repeat++;
    return repeat;
}

/* Weights [n_out, taps] as [taps, width]; some numbers behind them are read. */
static const float *pack_weights(struct native_build *b, const struct depthwise *d, struct assay_error *err)
{
    const struct native_conv *c = &d->c;
    char key[64];
    snprintf(key, sizeof key, "depthwise %lld", (long long)d->repeat);
    const float *packed = native_pack_find(b, c->weight, key), *w = b->constants[c->weight]->data;
    if (packed)
        return packed;
    int64_t n_taps = assay_window_volume(c->window.kernel), n = n_taps * d->width + LANES;
    float *to = native_pack_add(b, c->weight, key, n * (int64_t)sizeof *to);
    if (!to) {
        assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
        return NULL;
    }
    for (int64_t tap = 0; tap < n_taps; tap++)
        for (int64_t i = 0; i < d->width; i++)
            to[tap * d->width + i] = w[i % c->n_out * n_taps + tap];
    memset(to + n - LANES, 0, LANES * sizeof *to);
    return to;
}

static const float *repeat_bias(struct native_build *b, const struct depthwise *d, const float *bias)
{
    float *wide = assay_arena_array(b->arena, (size_t)d->width + LANES, sizeof *wide);
    for (int64_t i = 0; i < d->width; i++)
        wide[i] = bias[i % d->c.n_out];
    return wide;
}

bool native_conv_depthwise_suits(const struct native_conv *c)
{
    return c->dtype == ASSAY_F32 && c->groups > 1 && c->groups == c->n_in && c->n_in == c->n_out;
}

enum assay_status native_conv_depthwise_make(struct native_build *b, const struct native_conv *c, const float *bias,
                                             bool transposed, struct assay_error *err)
{
    const struct assay_window *w = &c->window;
    struct depthwise *d = assay_arena_alloc(b->arena, sizeof *d);
    *d = (struct depthwise){.c = *c, .simd = native_simd_of(b->isa)};
    d->repeat = find_repeat(c, transposed);
    d->width = d->repeat * c->n_out;
    d->weights = pack_weights(b, d, err);
    if (!d->weights)
        return ASSAY_NO_MEMORY;
    d->bias = bias ? repeat_bias(b, d, bias) : NULL;
    for (int i = 0; i < DIMS; i++)
        if (transposed)
            add_transposed_phases(b, d, i);
        else
            add_phases(b, d, i);
    d->after = native_activation_bounds(&c->activation, &d->low, &d->high);
    int64_t rows = c->batch * w->output[0] * w->output[1];
    double work = 2.0 * (double)assay_type_count(&b->outputs[0]) * (double)assay_window_volume(w->kernel);
    native_conv_answer(b, c);
    b->kernel.name = transposed ? "transposed depthwise convolution" : "depthwise convolution";
    b->kernel.run = run;
    b->kernel.n_parts = work < 2e5 ? 1 : b->n_threads;
    d->grain = rows >= FEW_ROWS * b->n_threads ? w->output[2] : POINTS;
    b->kernel.scratch_bytes = native_aligned(2 * w->kernel[0] * w->kernel[1] * (int64_t)sizeof(float *));
    b->kernel.data = d;
    return ASSAY_OK;
}
