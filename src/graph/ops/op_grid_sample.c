/* SPDX-License-Identifier: Apache-2.0 */
/* GridSample of images: each output point says where in the input it is read, in [-1, 1] (M. Jaderberg et al., "Spatial
 * Transformer Networks", 2015; PyTorch's grid_sample, which the standard follows). */
#include "graph/ops/util.h"

#include <inttypes.h>
#include <math.h>

enum mode { BILINEAR, NEAREST, BICUBIC };
enum padding { ZEROS, BORDER, REFLECTION };

struct sampler {
    enum mode mode;
    enum padding padding;
    bool align_corners;
    int64_t height, width; /* of the input */
};

static enum assay_status read_sampler(const struct assay_op_call *call, struct sampler *s, struct assay_error *err)
{
    const char *mode = assay_node_string(call->node, "mode", "bilinear");
    const char *padding = assay_node_string(call->node, "padding_mode", "zeros");
    *s = (struct sampler){.align_corners = assay_node_int(call->node, "align_corners", 0) != 0};
    if (strcmp(mode, "nearest") == 0)
        s->mode = NEAREST;
    else if (strcmp(mode, "bicubic") == 0 || strcmp(mode, "cubic") == 0)
        s->mode = BICUBIC;
    else if (strcmp(mode, "bilinear") != 0 && strcmp(mode, "linear") != 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "mode = '%.60s' is not supported", mode);
    if (strcmp(padding, "border") == 0)
        s->padding = BORDER;
    else if (strcmp(padding, "reflection") == 0)
        s->padding = REFLECTION;
    else if (strcmp(padding, "zeros") != 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "padding_mode = '%.60s' is not supported", padding);
    return ASSAY_OK;
}

static enum assay_status infer_grid_sample(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *x = &call->inputs[0], *grid = &call->inputs[1];
    struct sampler sampler;
    enum assay_status st = read_sampler(call, &sampler, err);
    for (int i = 0; i < 2 && !st; i++)
        st = assay_rule_dtype(call, i, ASSAY_SET_FLOAT, err);
    if (!st && ((x->rank >= 0 && x->rank != 4) || (grid->rank >= 0 && grid->rank != 4)))
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "only images, of rank 4, are supported");
    call->outputs[0] = assay_type_make(x->dtype, 4, (int64_t[]){-1, -1, -1, -1});
    if (st || x->rank < 0 || grid->rank < 0)
        return st;
    int64_t two = 2, *dims = call->outputs[0].dims;
    st = assay_rule_merge_dim(&two, grid->dims[3], "the number of coordinates in the grid", err);
    dims[0] = x->dims[0];
    dims[1] = x->dims[1];
    dims[2] = grid->dims[1];
    dims[3] = grid->dims[2];
    if (!st)
        st = assay_rule_merge_dim(&dims[0], grid->dims[0], "the number of images", err);
    if (!st && assay_type_count(x) == 0 && assay_type_count(&call->outputs[0]) > 0)
        st = assay_error_set(err, ASSAY_INVALID, "an image without points cannot be sampled");
    return st;
}

/* [-1, 1] to [0, size - 1] (corners are points) or [-0.5, size - 0.5] (corners are corners). What is no number, or too far away
 * to be told from infinity, is just outside. */
static double denormalize(const struct sampler *s, double x, int64_t size)
{
    double at = s->align_corners ? (x + 1) / 2 * (double)(size - 1) : ((x + 1) * (double)size - 1) / 2;
    return at > -1e9 && at < 1e9 ? at : -1e9;
}

static double reflect(double x, double low, double high)
{
    double span = high - low;
    if (span <= 0)
        return 0;
    double distance = fabs(x - low), extra = fmod(distance, span);
    bool even = fmod(floor(distance / span), 2) == 0;
    return even ? low + extra : high - extra;
}

/* Brings a coordinate into the input, as the padding says. */
static double pad(const struct sampler *s, double x, int64_t size)
{
    double last = (double)(size - 1);
    if (s->padding == ZEROS)
        return x;
    if (s->padding == REFLECTION)
        x = s->align_corners ? reflect(x, 0, last) : reflect(x, -0.5, last + 0.5);
    return fmin(fmax(x, 0), last);
}

/* The taps of one output point: which inputs, -1 for those outside, and their weights; 1, 4 or 16. */
struct taps {
    int n;
    int64_t index[16];
    double weight[16];
};

static void add_tap(struct taps *taps, const struct sampler *s, double y, double x, double weight)
{
    bool inside = x >= 0 && x < (double)s->width && y >= 0 && y < (double)s->height;
    taps->index[taps->n] = inside ? (int64_t)y * s->width + (int64_t)x : -1;
    taps->weight[taps->n++] = weight;
}

/* Keys' kernel with a = -0.75, at distances 1 + t, t, 1 - t, 2 - t. */
static void cubic_weights(double t, double weight[4])
{
    const double a = -0.75;
    double u = 1 - t;
    weight[0] = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a;
    weight[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
    weight[2] = ((a + 2) * u - (a + 3)) * u * u + 1;
    weight[3] = ((a * (u + 1) - 5 * a) * (u + 1) + 8 * a) * (u + 1) - 4 * a;
}

static struct taps taps_at(const struct sampler *s, double grid_x, double grid_y)
{
    struct taps taps = {0};
    double x = denormalize(s, grid_x, s->width), y = denormalize(s, grid_y, s->height);
    if (s->mode != BICUBIC) {
        x = pad(s, x, s->width);
        y = pad(s, y, s->height);
    }
    if (s->mode == NEAREST) {
        add_tap(&taps, s, rint(y), rint(x), 1);
        return taps;
    }
    double x0 = floor(x), y0 = floor(y), tx = x - x0, ty = y - y0;
    if (s->mode == BILINEAR) {
        for (int i = 0; i < 4; i++)
            add_tap(&taps, s, y0 + i / 2, x0 + i % 2, (i / 2 ? ty : 1 - ty) * (i % 2 ? tx : 1 - tx));
        return taps;
    }
    double wx[4], wy[4];
    cubic_weights(tx, wx);
    cubic_weights(ty, wy);
    for (int i = 0; i < 16; i++)
        add_tap(&taps, s, pad(s, y0 - 1 + i / 4, s->height), pad(s, x0 - 1 + i % 4, s->width), wy[i / 4] * wx[i % 4]);
    return taps;
}

/* Every channel of one image at one point. */
#define SAMPLE(name, type)                                                                                                       \
    static void name(const struct taps *taps, const type *x, int64_t x_plane, type *y, int64_t y_plane, int64_t n_channels)      \
    {                                                                                                                            \
        for (int64_t c = 0; c < n_channels; c++) {                                                                               \
            double sum = 0;                                                                                                      \
            for (int k = 0; k < taps->n; k++)                                                                                    \
                if (taps->index[k] >= 0)                                                                                         \
                    sum += taps->weight[k] * (double)x[c * x_plane + taps->index[k]];                                            \
            y[c * y_plane] = (type)sum;                                                                                          \
        }                                                                                                                        \
    }
SAMPLE(sample_f32, float)
SAMPLE(sample_f64, double)

static enum assay_status run_grid_sample(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0], *grid = call->data[1];
    struct assay_tensor *y = &call->results[0];
    const int64_t *in = x->type.dims, *out = y->type.dims;
    struct sampler s;
    enum assay_status st = read_sampler(call, &s, err);
    if (st || assay_tensor_count(y) == 0)
        return st;
    s.height = in[2];
    s.width = in[3];
    int64_t x_plane = in[2] * in[3], y_plane = out[2] * out[3];
    for (int64_t i = 0; i < out[0] * y_plane; i++) {
        struct taps taps = taps_at(&s, assay_tensor_real(grid, 2 * i), assay_tensor_real(grid, 2 * i + 1));
        int64_t from = i / y_plane * in[1] * x_plane, to = i / y_plane * out[1] * y_plane + i % y_plane;
        if (x->type.dtype == ASSAY_F32)
            sample_f32(&taps, (const float *)x->data + from, x_plane, (float *)y->data + to, y_plane, in[1]);
        else
            sample_f64(&taps, (const double *)x->data + from, x_plane, (double *)y->data + to, y_plane, in[1]);
    }
    return ASSAY_OK;
}

/* A multiply-add for each tap. */
static void cost_grid_sample(const struct assay_op_call *call, struct assay_cost *cost)
{
    struct sampler s;
    if (read_sampler(call, &s, NULL))
        return;
    cost->flops = (s.mode == BICUBIC ? 32 : s.mode == BILINEAR ? 8 : 0) * (double)assay_type_count(&call->outputs[0]);
}

const struct assay_op assay_ops_grid_sample[] = {
    {"GridSample", "", 2, 2, ASSAY_OP_VIA_F32, infer_grid_sample, run_grid_sample, cost_grid_sample},
    {0},
};
