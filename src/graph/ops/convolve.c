/* SPDX-License-Identifier: Apache-2.0 */
/* See convolve.h. */
#include "graph/ops/convolve.h"

#include "graph/ops/gemm.h"

#include <stdlib.h>

enum {
    TILE_ELEMENTS = 1 << 19, /* of the columns that are made at a time: 2 MiB of f32 */
    TILE_LEAST = 64,         /* columns at a time, however long they are */
    FEW_CHANNELS = 3         /* up to which a group is convolved directly: the packing of gemm would cost more than the work */
};

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

/* One run of a column matrix's row: tap `tap` of outputs at … at + n in a row of the input, `pad` where it falls outside. */
#define COPY_RUN(name, type)                                                                                                     \
    static void name(type *restrict to, const type *row, const struct assay_window *w, int64_t tap, int64_t at, int64_t n,       \
                     type pad)                                                                                                   \
    {                                                                                                                            \
        int64_t from, until, stride = w->stride[2], offset = tap * w->dilation[2] - w->pad_begin[2];                             \
        assay_window_reach(w, 2, tap, &from, &until);                                                                            \
        from = from < at ? 0 : min_i64(from - at, n);                                                                            \
        until = until < at ? 0 : min_i64(until - at, n);                                                                         \
        int64_t i = 0;                                                                                                           \
        for (; i < min_i64(from, until); i++)                                                                                    \
            to[i] = pad;                                                                                                         \
        if (stride == 1 && i < until) {                                                                                          \
            memcpy(to + i, row + (at + i + offset), (size_t)(until - i) * sizeof *to);                                           \
            i = until;                                                                                                           \
        }                                                                                                                        \
        for (; i < until; i++)                                                                                                   \
            to[i] = row[(at + i) * stride + offset];                                                                             \
        for (; i < n; i++)                                                                                                       \
            to[i] = pad;                                                                                                         \
    }

/*
 * The columns of outputs first … first + n: to[channel, kernel depth, height, width][n]. A run is what lies in one row of the
 * output.
 */
#define GATHER(name, copy_run, type)                                                                                             \
    static void name(type *to, const type *x, const struct assay_window *w, int64_t n_channels, int64_t first, int64_t n,        \
                     type pad)                                                                                                   \
    {                                                                                                                            \
        const int64_t *in = w->input, *out = w->output, *kernel = w->kernel;                                                     \
        int64_t volume = assay_window_volume(kernel);                                                                            \
        for (int64_t r = 0; r < n_channels * volume; r++, to += n) {                                                             \
            int64_t channel = r / volume, kd = r % volume / (kernel[1] * kernel[2]), kh = r / kernel[2] % kernel[1];             \
            for (int64_t i = 0, run; i < n; i += run) {                                                                          \
                int64_t ow = (first + i) % out[2], oh = (first + i) / out[2] % out[1], od = (first + i) / out[2] / out[1];       \
                int64_t d = assay_window_position(w, 0, od, kd), h = assay_window_position(w, 1, oh, kh);                        \
                run = min_i64(out[2] - ow, n - i);                                                                               \
                if (d >= 0 && d < in[0] && h >= 0 && h < in[1]) {                                                                \
                    copy_run(to + i, x + ((channel * in[0] + d) * in[1] + h) * in[2], w, r % kernel[2], ow, run, pad);           \
                } else {                                                                                                         \
                    for (int64_t j = 0; j < run; j++)                                                                            \
                        to[i + j] = pad;                                                                                         \
                }                                                                                                                \
            }                                                                                                                    \
        }                                                                                                                        \
    }

COPY_RUN(copy_run_f32, float)
COPY_RUN(copy_run_f64, double)
COPY_RUN(copy_run_8bit, uint8_t)
GATHER(gather_f32, copy_run_f32, float)
GATHER(gather_f64, copy_run_f64, double)
GATHER(gather_8bit, copy_run_8bit, uint8_t)

/*
 * One output channel without columns, a row of the output at a time in double: for groups of few channels (depthwise). The order
 * of the sum is the same as that of the columns, so the results are too.
 */
#define DIRECT(name, type)                                                                                                       \
    static void name(const struct assay_convolution *c, const type *x, const type *weights, double bias, type *y, double *sums,  \
                     const int64_t(*reach)[2])                                                                                   \
    {                                                                                                                            \
        const struct assay_window *w = &c->window;                                                                               \
        const int64_t *in = w->input, *out = w->output, *kernel = w->kernel;                                                     \
        for (int64_t r = 0; r < out[0] * out[1]; r++, y += out[2]) {                                                             \
            int64_t d_from, d_to, h_from, h_to, stride = w->stride[2];                                                           \
            assay_window_taps(w, 0, r / out[1], &d_from, &d_to);                                                                 \
            assay_window_taps(w, 1, r % out[1], &h_from, &h_to);                                                                 \
            memset(sums, 0, (size_t)out[2] * sizeof *sums);                                                                      \
            for (int64_t i = 0; i < c->n_in; i++) {                                                                              \
                for (int64_t kd = d_from; kd < d_to; kd++) {                                                                     \
                    for (int64_t kh = h_from; kh < h_to; kh++) {                                                                 \
                        int64_t d = assay_window_position(w, 0, r / out[1], kd);                                                 \
                        int64_t h = assay_window_position(w, 1, r % out[1], kh);                                                 \
                        const type *row = x + ((i * in[0] + d) * in[1] + h) * in[2];                                             \
                        const type *taps = weights + ((i * kernel[0] + kd) * kernel[1] + kh) * kernel[2];                        \
                        for (int64_t kw = 0; kw < kernel[2]; kw++) {                                                             \
                            double tap = (double)taps[kw];                                                                       \
                            int64_t offset = kw * w->dilation[2] - w->pad_begin[2];                                              \
                            if (stride == 1) {                                                                                   \
                                for (int64_t o = reach[kw][0]; o < reach[kw][1]; o++)                                            \
                                    sums[o] += tap * (double)row[o + offset];                                                    \
                            } else {                                                                                             \
                                for (int64_t o = reach[kw][0]; o < reach[kw][1]; o++)                                            \
                                    sums[o] += tap * (double)row[o * stride + offset];                                           \
                            }                                                                                                    \
                        }                                                                                                        \
                    }                                                                                                            \
                }                                                                                                                \
            }                                                                                                                    \
            for (int64_t o = 0; o < out[2]; o++)                                                                                 \
                y[o] = (type)(sums[o] + bias);                                                                                   \
        }                                                                                                                        \
    }
DIRECT(direct_f32, float)
DIRECT(direct_f64, double)

/* What one group of one image has of each operand, in elements. */
struct sizes {
    int64_t x, w, y; /* w: of one output channel; y: of one channel */
};

static struct sizes sizes_of(const struct assay_convolution *c)
{
    struct sizes s = {.y = assay_window_volume(c->window.output)};
    if (c->n_in > 0) {
        s.x = c->n_in * assay_window_volume(c->window.input);
        s.w = c->n_in * assay_window_volume(c->window.kernel);
    }
    return s;
}

static enum assay_status convolve_direct(const struct assay_convolution *c, struct assay_error *err)
{
    struct sizes s = sizes_of(c);
    int64_t n_kernel = c->window.kernel[2];
    double *sums = malloc((size_t)c->window.output[2] * sizeof *sums);
    int64_t(*reach)[2] = malloc((size_t)n_kernel * sizeof *reach);
    enum assay_status st = ASSAY_OK;
    if (!sums || !reach) {
        st = assay_error_set(err, ASSAY_NO_MEMORY, "no memory for a row of a convolution");
        goto done;
    }
    for (int64_t k = 0; k < n_kernel; k++)
        assay_window_reach(&c->window, 2, k, &reach[k][0], &reach[k][1]);
    for (int64_t i = 0; i < c->batch * c->groups * c->n_out; i++) {
        int64_t channel = i % (c->groups * c->n_out), group = i / c->n_out; /* groups of all images, one after another */
        if (c->x_type == ASSAY_F32)
            direct_f32(c, (const float *)c->x + group * s.x, (const float *)c->w + channel * s.w,
                       c->bias ? (double)((const float *)c->bias)[channel] : 0, (float *)c->y + i * s.y, sums,
                       (const int64_t(*)[2])reach);
        else
            direct_f64(c, (const double *)c->x + group * s.x, (const double *)c->w + channel * s.w,
                       c->bias ? ((const double *)c->bias)[channel] : 0, (double *)c->y + i * s.y, sums,
                       (const int64_t(*)[2])reach);
    }
done:
    free(sums);
    free(reach);
    return st;
}

/* A kernel of one point at every input: the input is its own columns. */
static bool is_pointwise(const struct assay_window *w)
{
    for (int d = 0; d < ASSAY_WINDOW_DIMS; d++)
        if (w->kernel[d] != 1 || w->stride[d] != 1 || w->pad_begin[d] || w->pad_end[d])
            return false;
    return true;
}

static void gather(const struct assay_convolution *c, void *columns, const void *x, int64_t first, int64_t n)
{
    if (c->x_type == ASSAY_F32)
        gather_f32(columns, x, &c->window, c->n_in, first, n, 0);
    else if (c->x_type == ASSAY_F64)
        gather_f64(columns, x, &c->window, c->n_in, first, n, 0);
    else
        gather_8bit(columns, x, &c->window, c->n_in, first, n, c->x_zero ? (uint8_t)*c->x_zero : 0);
}

enum assay_status assay_convolve(const struct assay_convolution *c, struct assay_error *err)
{
    bool is_float = assay_dtype_is_float(c->x_type), pointwise = is_pointwise(&c->window);
    if (is_float && c->n_out <= FEW_CHANNELS && c->n_in > 0)
        return convolve_direct(c, err);
    struct sizes s = sizes_of(c);
    size_t x_size = assay_dtype_size(c->x_type), w_size = assay_dtype_size(c->w_type), y_size = is_float ? x_size : 4;
    int64_t tile = s.y;
    void *columns = NULL;
    if (!pointwise && s.w > 0) {
        tile = min_i64(s.y, TILE_ELEMENTS / s.w > TILE_LEAST ? TILE_ELEMENTS / s.w : TILE_LEAST);
        columns = malloc((size_t)(s.w * tile) * x_size);
        if (!columns)
            return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for the columns of a convolution (%lld bytes)",
                                   (long long)(s.w * tile) * (long long)x_size);
    }
    enum assay_status st = ASSAY_OK;
    struct assay_gemm g = {.m = c->n_out, .k = s.w, .a_type = c->w_type, .b_type = c->x_type, .alpha = 1, .beta = 1};
    for (int64_t i = 0; i < c->batch * c->groups && !st; i++) {
        int64_t channel = i % c->groups * c->n_out;
        const char *x = (const char *)c->x + (size_t)(i * s.x) * x_size;
        g.a = (struct assay_matrix){(const char *)c->w + (size_t)(channel * s.w) * w_size, s.w, 1};
        g.a_zero = c->w_zero ? c->w_zero + channel * c->w_zero_stride : NULL;
        g.a_zero_stride = c->w_zero_stride;
        g.b_zero = c->x_zero;
        if (c->bias)
            g.add = (struct assay_matrix){(const char *)c->bias + (size_t)channel * y_size, 1, 0};
        for (int64_t first = 0; first < s.y && !st; first += tile) {
            g.n = min_i64(tile, s.y - first);
            g.b = (struct assay_matrix){x, s.y, 1};
            if (columns) {
                gather(c, columns, x, first, g.n);
                g.b = (struct assay_matrix){columns, g.n, 1};
            }
            g.c = (char *)c->y + (size_t)(i * c->n_out * s.y + first) * y_size;
            g.c_row_stride = s.y;
            st = assay_gemm_run(&g, err);
        }
    }
    free(columns);
    return st;
}

/* ---- the gradient with respect to the weights */

static void add_sums(double *to, const double *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] += from[i];
}

/* One output channel's row of the gradient without columns, from one image: a dot product a tap and row. */
#define WEIGHTS_DIRECT(name, type)                                                                                               \
    static void name(const struct assay_convolution *c, const type *x, const type *dy, double *sums)                             \
    {                                                                                                                            \
        const struct assay_window *w = &c->window;                                                                               \
        const int64_t *in = w->input, *out = w->output, *kernel = w->kernel;                                                     \
        int64_t volume = assay_window_volume(kernel);                                                                            \
        for (int64_t k = 0; k < c->n_in * volume; k++) {                                                                         \
            int64_t channel = k / volume, kd = k % volume / (kernel[1] * kernel[2]), kh = k / kernel[2] % kernel[1];             \
            int64_t from, until, stride = w->stride[2], kw = k % kernel[2];                                                      \
            int64_t offset = kw * w->dilation[2] - w->pad_begin[2];                                                              \
            assay_window_reach(w, 2, kw, &from, &until);                                                                         \
            double sum = 0;                                                                                                      \
            for (int64_t r = 0; r < out[0] * out[1]; r++) {                                                                      \
                int64_t d = assay_window_position(w, 0, r / out[1], kd), h = assay_window_position(w, 1, r % out[1], kh);        \
                if (d < 0 || d >= in[0] || h < 0 || h >= in[1])                                                                  \
                    continue;                                                                                                    \
                const type *row = x + ((channel * in[0] + d) * in[1] + h) * in[2], *g = dy + r * out[2];                         \
                for (int64_t o = from; o < until; o++)                                                                           \
                    sum += (double)g[o] * (double)row[o * stride + offset];                                                      \
            }                                                                                                                    \
            sums[k] += sum;                                                                                                      \
        }                                                                                                                        \
    }
WEIGHTS_DIRECT(weights_direct_f32, float)
WEIGHTS_DIRECT(weights_direct_f64, double)

static void weights_direct(const struct assay_convolution *c, struct sizes s, double *sums)
{
    for (int64_t i = 0; i < c->batch * c->groups * c->n_out; i++) {
        int64_t channel = i % (c->groups * c->n_out), group = i / c->n_out;
        if (c->x_type == ASSAY_F32)
            weights_direct_f32(c, (const float *)c->x + group * s.x, (const float *)c->y + i * s.y, sums + channel * s.w);
        else
            weights_direct_f64(c, (const double *)c->x + group * s.x, (const double *)c->y + i * s.y, sums + channel * s.w);
    }
}

/* The product of y's gradient and the columns, a tile of outputs at a time. part: [n_out, n_in · kernel]. */
static enum assay_status weights_by_columns(const struct assay_convolution *c, struct sizes s, int64_t tile, void *columns,
                                            double *part, double *sums, struct assay_error *err)
{
    size_t size = assay_dtype_size(c->x_type);
    struct assay_gemm g = {.m = c->n_out, .n = s.w, .a_type = c->x_type, .b_type = c->x_type, .alpha = 1};
    g.c = part;
    g.c_row_stride = s.w;
    g.c_is_f64 = true;
    for (int64_t i = 0; i < c->batch * c->groups; i++) {
        const char *x = (const char *)c->x + (size_t)(i * s.x) * size;
        for (int64_t first = 0; first < s.y; first += tile) {
            g.k = min_i64(tile, s.y - first);
            g.a = (struct assay_matrix){(const char *)c->y + (size_t)(i * c->n_out * s.y + first) * size, s.y, 1};
            g.b = (struct assay_matrix){x, 1, s.y};
            if (columns) {
                gather(c, columns, x, first, g.k);
                g.b = (struct assay_matrix){columns, 1, g.k};
            }
            enum assay_status st = assay_gemm_run(&g, err);
            if (st)
                return st;
            add_sums(sums + i % c->groups * c->n_out * s.w, part, c->n_out * s.w);
        }
    }
    return ASSAY_OK;
}

enum assay_status assay_convolve_weights(const struct assay_convolution *c, void *w, struct assay_error *err)
{
    struct sizes s = sizes_of(c);
    int64_t count = c->groups * c->n_out * s.w;
    if (count == 0)
        return ASSAY_OK;
    bool direct = c->n_out <= FEW_CHANNELS, has_columns = !direct && !is_pointwise(&c->window);
    int64_t tile = has_columns ? min_i64(s.y, TILE_ELEMENTS / s.w > TILE_LEAST ? TILE_ELEMENTS / s.w : TILE_LEAST) : s.y;
    double *sums = calloc((size_t)count, sizeof *sums);
    double *part = direct ? NULL : malloc((size_t)(c->n_out * s.w) * sizeof *part);
    void *columns = has_columns ? malloc((size_t)(s.w * tile) * assay_dtype_size(c->x_type) + 1) : NULL;
    enum assay_status st = ASSAY_OK;
    if (!sums || (!direct && !part) || (has_columns && !columns))
        st = assay_error_set(err, ASSAY_NO_MEMORY, "no memory for the sums of a convolution's weights");
    else if (direct)
        weights_direct(c, s, sums);
    else if (s.y > 0)
        st = weights_by_columns(c, s, tile, columns, part, sums, err);
    for (int64_t i = 0; i < count && !st; i++)
        if (c->x_type == ASSAY_F32)
            ((float *)w)[i] = (float)sums[i];
        else
            ((double *)w)[i] = sums[i];
    free(sums);
    free(part);
    free(columns);
    return st;
}
