/* SPDX-License-Identifier: Apache-2.0 */
/* See convolve.h: the gradient of a convolution with respect to its input. Each output point adds its products with the weights
 * to the inputs that it was read from: one matrix product makes these for a tile of output points, and they are added up in
 * double. */
#include "graph/ops/convolve.h"
#include "graph/ops/gemm.h"

#include <stdlib.h>

enum {
    SUM_ELEMENTS = 1 << 22, /* inputs that are summed at a time, at least one channel: 32 MiB */
    TILE_ELEMENTS = 1 << 18,
    TILE_LEAST = 64
};

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/* Adds one channel's products [kernel, n], of output points first … first + n, to its sums [input]. */
static void scatter(const struct assay_window *w, const double *products, int64_t first, int64_t n, double *sums)
{
    const int64_t *in = w->input, *out = w->output, *kernel = w->kernel;
    for (int64_t tap = 0; tap < assay_window_volume(kernel); tap++, products += n) {
        int64_t from, until, stride = w->stride[2], kw = tap % kernel[2];
        assay_window_reach(w, 2, kw, &from, &until);
        int64_t offset = kw * w->dilation[2] - w->pad_begin[2];
        for (int64_t i = 0, run; i < n; i += run) {
            int64_t at = (first + i) % out[2], row = (first + i) / out[2];
            int64_t d = assay_window_position(w, 0, row / out[1], tap / kernel[2] / kernel[1]);
            int64_t h = assay_window_position(w, 1, row % out[1], tap / kernel[2] % kernel[1]);
            run = min_i64(out[2] - at, n - i);
            if (d < 0 || d >= in[0] || h < 0 || h >= in[1])
                continue;
            double *to = sums + (d * in[1] + h) * in[2];
            const double *product = products + i - at;
            for (int64_t k = max_i64(from, at); k < min_i64(until, at + run); k++)
                to[k * stride + offset] += product[k];
        }
    }
}

/* Rounds one channel's sums, with its bias, into the result. */
static void finish(const double *sums, int64_t n, const struct assay_convolution *c, int64_t channel, void *x, int64_t at)
{
    if (c->x_type == ASSAY_F32) {
        double add = c->bias ? (double)((const float *)c->bias)[channel] : 0;
        float *to = (float *)x + at;
        for (int64_t i = 0; i < n; i++)
            to[i] = (float)(sums[i] + add);
    } else {
        double add = c->bias ? ((const double *)c->bias)[channel] : 0;
        double *to = (double *)x + at;
        for (int64_t i = 0; i < n; i++)
            to[i] = sums[i] + add;
    }
}

/* One output channel's points times one weight each: what a product with k = 1 would be. */
#define OUTER(type)                                                                                                              \
    for (int64_t i = 0; i < m; i++) {                                                                                            \
        double weight = (double)((const type *)c->w)[w_at + i];                                                                  \
        const type *from = (const type *)c->y + y_at;                                                                            \
        for (int64_t k = 0; k < n; k++)                                                                                          \
            products[i * n + k] = weight * (double)from[k];                                                                      \
    }

static void outer_product(const struct assay_convolution *c, int64_t m, int64_t n, int64_t w_at, int64_t y_at, double *products)
{
    if (c->x_type == ASSAY_F32)
        OUTER(float)
    else
        OUTER(double)
}

/* Input channels m … m + n_m of group `group` (counted over all images) into sums [n_m, input]. */
static enum assay_status sum_channels(const struct assay_convolution *c, int64_t group, int64_t m, int64_t n_m, int64_t tile,
                                      double *products, double *sums, struct assay_error *err)
{
    size_t size = assay_dtype_size(c->x_type);
    int64_t volume = assay_window_volume(c->window.kernel), n_points = assay_window_volume(c->window.output);
    int64_t n_inputs = assay_window_volume(c->window.input), columns = c->n_in * volume;
    struct assay_gemm g = {.m = n_m * volume, .k = c->n_out, .a_type = c->x_type, .b_type = c->x_type, .alpha = 1};
    int64_t w_at = group % c->groups * c->n_out * columns + m * volume;
    g.a = (struct assay_matrix){(const char *)c->w + (size_t)w_at * size, 1, columns};
    g.c = products;
    g.c_is_f64 = true;
    memset(sums, 0, (size_t)(n_m * n_inputs) * sizeof *sums);
    for (int64_t first = 0; first < n_points; first += tile) {
        int64_t y_at = group * c->n_out * n_points + first;
        enum assay_status st = ASSAY_OK;
        g.n = min_i64(tile, n_points - first);
        g.c_row_stride = g.n;
        g.b = (struct assay_matrix){(const char *)c->y + (size_t)y_at * size, n_points, 1};
        if (c->n_out == 1)
            outer_product(c, g.m, g.n, w_at, y_at, products);
        else
            st = assay_gemm_run(&g, err);
        if (st)
            return st;
        for (int64_t i = 0; i < n_m; i++)
            scatter(&c->window, products + i * volume * g.n, first, g.n, sums + i * n_inputs);
    }
    return ASSAY_OK;
}

enum assay_status assay_convolve_transposed(const struct assay_convolution *c, void *x, struct assay_error *err)
{
    int64_t volume = c->n_out > 0 ? assay_window_volume(c->window.kernel) : 0;
    int64_t n_points = assay_window_volume(c->window.output), n_inputs = assay_window_volume(c->window.input);
    int64_t chunk = min_i64(c->n_in, max_i64(1, SUM_ELEMENTS / n_inputs));
    int64_t tile = volume > 0 ? max_i64(TILE_LEAST, TILE_ELEMENTS / (chunk * volume)) : 0;
    enum assay_status st = ASSAY_OK;
    tile = min_i64(tile, n_points);
    double *sums = calloc((size_t)(chunk * n_inputs), sizeof *sums);
    double *products = malloc((size_t)(chunk * volume * tile) * sizeof *products + 1);
    if (!sums || !products) {
        st = assay_error_set(err, ASSAY_NO_MEMORY, "no memory for the sums of a convolution (%lld bytes)",
                             (long long)(chunk * n_inputs + chunk * volume * tile) * (long long)sizeof *sums);
        goto done;
    }
    for (int64_t group = 0; group < c->batch * c->groups; group++) {
        for (int64_t m = 0; m < c->n_in; m += chunk) {
            int64_t n_m = min_i64(chunk, c->n_in - m);
            if (volume > 0)
                st = sum_channels(c, group, m, n_m, tile, products, sums, err);
            if (st)
                goto done;
            for (int64_t i = 0; i < n_m; i++)
                finish(sums + i * n_inputs, n_inputs, c, group % c->groups * c->n_in + m + i, x,
                       (group * c->n_in + m + i) * n_inputs);
        }
    }
done:
    free(sums);
    free(products);
    return st;
}
