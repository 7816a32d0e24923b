/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolutions as products of f32: where the numbers that an output is made of lie in a row of memory, channels last, the input
 * is a matrix whose rows may overlap, and nothing is copied. Such are those of 1 × 1, and those along one dimension. Threads
 * share the outputs. See conv.h, simd/simd_filter.c.
 */
#include "runtime/native/kernels/conv.h"
#include "runtime/native/kernels/gemv.h"

enum {
    DIMS = ASSAY_WINDOW_DIMS,
    FEW_POINTS = 64,         /* below, the weights are what is shared best */
    GRAIN = 24,              /* rows: a multiple of those of the tiles */
    NEAR_BYTES = 1 << 15,    /* weights that stay in the first level's cache */
    NEAR_NUMBERS = 24 << 10, /* of x and y that are worked on at once */
    FAR_NUMBERS = 1 << 18,   /* the same, where the weights have to be read again for each block */
};

struct rows {
    struct native_conv c;
    struct native_filter filter;
    const struct native_simd *simd;
    int64_t length, taps, stride, pad, in_length; /* outputs of an image, and their windows */
    int64_t block;
    dnnl_alg_kind_t after; /* an activation that bounds do not say */
};

/* ---- run */

/* Outputs [row, row + m) of an image, of whose windows all taps are in it. */
static void make_inside(const struct rows *r, const struct native_filter *filter, float *y, const float *x, const float *residual,
                        int64_t row, int64_t m)
{
    int64_t n = filter->n, at = row * n;
    r->simd->filter(filter, y + at, x, residual ? residual + at : NULL, m);
    if (r->after != dnnl_alg_kind_undef)
        native_activate(r->after, r->c.activation.alpha, r->c.activation.beta, r->simd, y + at, m * n);
}

/* One output of whose window some taps lie in the padding. */
static void make_edge(const struct rows *r, float *y, const float *x, const float *residual, int64_t row)
{
    struct native_filter filter = r->filter;
    int64_t first = row * r->stride - r->pad, from = first < 0 ? -first : 0;
    int64_t to = r->in_length - first < r->taps ? r->in_length - first : r->taps;
    filter.skip = from * r->c.n_in;
    filter.k = (to - from) * r->c.n_in;
    make_inside(r, &filter, y, x + (first + from) * r->c.n_in, residual, row, 1);
}

static int64_t within(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

/* Outputs [from, to) of an image. */
static void make_image(const struct rows *r, float *y, const float *x, const float *residual, int64_t from, int64_t to)
{
    int64_t begin = within((r->pad + r->stride - 1) / r->stride, from, to), room = r->in_length + r->pad - r->taps;
    int64_t end = within(room < 0 ? 0 : room / r->stride + 1, begin, to);
    for (int64_t row = from; row < begin; row++)
        make_edge(r, y, x, residual, row);
    for (int64_t row = begin; row < end; row += r->block)
        make_inside(r, &r->filter, y, x + (row * r->stride - r->pad) * r->c.n_in, residual, row,
                    end - row < r->block ? end - row : r->block);
    for (int64_t row = end; row < to; row++)
        make_edge(r, y, x, residual, row);
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct rows *r = args->kernel->data;
    int64_t begin, end, to;
    (void)scratch;
    native_share(r->c.batch * r->length, GRAIN, part, args->kernel->n_parts, &begin, &end);
    for (; begin < end; begin = to) {
        int64_t image = begin / r->length, first = image * r->length;
        to = end < first + r->length ? end : first + r->length;
        float *y = (float *)args->out[0]->data + first * r->c.n_out;
        const float *x = (const float *)args->in[r->c.x]->data + image * r->in_length * r->c.n_in;
        const float *residual = r->c.residual >= 0 ? (const float *)args->in[r->c.residual]->data + first * r->c.n_out : NULL;
        make_image(r, y, x, residual, begin - first, to - first);
    }
}

/* ---- making */

static int64_t columns_of(int64_t n) { return (n + NATIVE_FILTER_ALIGN - 1) / NATIVE_FILTER_ALIGN * NATIVE_FILTER_ALIGN; }

/* Weights [n_out, n_in, taps] as panels of rows [taps, n_in]. */
static void lay_panels(float *to, const float *w, int64_t n_out, int64_t n_in, int64_t taps)
{
    for (int64_t panel = 0; panel < n_out; panel += NATIVE_FILTER_PANEL) {
        int64_t width = n_out - panel < NATIVE_FILTER_PANEL ? columns_of(n_out - panel) : NATIVE_FILTER_PANEL;
        for (int64_t tap = 0; tap < taps; tap++)
            for (int64_t i = 0; i < n_in; i++)
                for (int64_t j = 0; j < width; j++)
                    *to++ = panel + j < n_out ? w[((panel + j) * n_in + i) * taps + tap] : 0;
    }
}

static const float *pack_weights(struct native_build *b, const struct native_conv *c, int64_t taps)
{
    const float *packed = native_pack_find(b, c->weight, "conv rows");
    if (packed)
        return packed;
    float *to = native_pack_add(b, c->weight, "conv rows", taps * c->n_in * columns_of(c->n_out) * (int64_t)sizeof *to);
    if (to)
        lay_panels(to, b->constants[c->weight]->data, c->n_out, c->n_in, taps);
    return to;
}

static const float *pad_bias(struct native_build *b, const struct native_conv *c, const float *bias)
{
    float *padded = assay_arena_array(b->arena, (size_t)columns_of(c->n_out), sizeof *padded);
    for (int64_t i = 0; i < c->n_out; i++)
        padded[i] = bias[i];
    return padded;
}

static bool is_pointwise(const struct assay_window *w)
{
    for (int d = DIMS - w->n_dims; d < DIMS; d++)
        if (w->kernel[d] != 1 || w->stride[d] != 1 || w->pad_begin[d] || w->pad_end[d])
            return false;
    return true;
}

/* Before AVX-512 oneDNN's own are faster by some per cent. */
bool native_conv_rows_suits(const struct native_build *b, const struct native_conv *c)
{
    const struct assay_window *w = &c->window;
    int64_t points = assay_type_count(&b->outputs[0]) / c->n_out;
    bool pointwise = is_pointwise(w);
    if (c->dtype != ASSAY_F32 || c->groups != 1 || b->isa < NATIVE_ISA_AVX512 ||
        (!pointwise && (c->along != DIMS - 1 || w->dilation[DIMS - 1] != 1)))
        return false;
    for (int d = DIMS - w->n_dims; d < DIMS - 1; d++)
        if (w->kernel[d] != 1 || w->pad_begin[d] || w->pad_end[d])
            return false;
    return points >= FEW_POINTS;
}

enum assay_status native_conv_rows_make(struct native_build *b, const struct native_conv *c, const float *bias,
                                        struct assay_error *err)
{
    const struct assay_window *w = &c->window;
    struct rows *r = assay_arena_alloc(b->arena, sizeof *r);
    *r = (struct rows){.c = *c, .simd = native_simd_of(b->isa), .length = 1, .in_length = 1, .taps = w->kernel[DIMS - 1]};
    for (int d = DIMS - w->n_dims; d < DIMS; d++) {
        r->length *= w->output[d];
        r->in_length *= w->input[d];
    }
    if (r->taps == 1 && is_pointwise(w)) { /* so are all images one */
        r->length *= c->batch;
        r->in_length *= c->batch;
        r->c.batch = 1;
    }
    r->stride = w->stride[DIMS - 1];
    r->pad = w->pad_begin[DIMS - 1];
    r->filter.panels = pack_weights(b, c, r->taps);
    if (!r->filter.panels)
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
    r->filter.bias = bias ? pad_bias(b, c, bias) : NULL;
    r->filter.n = c->n_out;
    r->filter.k = r->filter.depth = r->taps * c->n_in;
    r->filter.lda = r->stride * c->n_in;
    r->after = native_activation_bounds(&c->activation, &r->filter.low, &r->filter.high);
    int64_t numbers = r->filter.lda + c->n_out, near = r->filter.k * c->n_out * 4 <= NEAR_BYTES;
    r->block = (near ? NEAR_NUMBERS : FAR_NUMBERS) / numbers / GRAIN * GRAIN;
    r->block = r->block < GRAIN ? GRAIN : r->block;
    double work = 2.0 * (double)r->c.batch * (double)r->length * (double)r->filter.k * (double)c->n_out;
    native_conv_answer(b, c);
    b->kernel.name = "convolution by rows";
    b->kernel.run = run;
    b->kernel.n_parts = work < 2e5 ? 1 : b->n_threads;
    b->kernel.data = r;
    return ASSAY_OK;
}
