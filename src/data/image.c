/* SPDX-License-Identifier: Apache-2.0 */
/* Resizing and cropping (image.h). The resampling follows libImaging/Resample.c of Pillow, whose results are the wanted ones. */
#include "data/image.h"

#include <math.h>
#include <string.h>

/* Weights are fixed-point numbers of 22 bits after the point: 8 bits of picture, 2 of head room, in 32. */
enum { PRECISION = 22 };

static const double pi = 3.14159265358979323846;

enum assay_status assay_image_alloc(struct assay_tensor *image, int64_t height, int64_t width, struct assay_error *err)
{
    *image = (struct assay_tensor){0};
    if (height < 1 || width < 1 || height > ASSAY_IMAGE_EDGE || width > ASSAY_IMAGE_EDGE)
        return assay_error_set(err, ASSAY_INVALID, "a picture of %lld × %lld is asked for; edges of 1 to %d can be made",
                               (long long)height, (long long)width, ASSAY_IMAGE_EDGE);
    struct assay_type type = assay_type_make(ASSAY_U8, 3, (const int64_t[]){height, width, 3});
    return assay_tensor_alloc(image, &type, err);
}

static double sinc(double x) { return x == 0 ? 1 : sin(pi * x) / (pi * x); }

static double kernel(enum assay_resample resample, double x)
{
    double d = fabs(x);
    switch (resample) {
    case ASSAY_LANCZOS:
        return d < 3 ? sinc(x) * sinc(x / 3) : 0;
    case ASSAY_BILINEAR:
        return d < 1 ? 1 - d : 0;
    case ASSAY_BICUBIC: /* Keys, a = -1/2 */
        return d < 1 ? (1.5 * d - 2.5) * d * d + 1 : d < 2 ? (((d - 5) * d + 8) * d - 4) * -0.5 : 0;
    case ASSAY_BOX:
        return x > -0.5 && x <= 0.5 ? 1 : 0;
    case ASSAY_HAMMING:
        return d == 0 ? 1 : d < 1 ? sinc(x) * (0.54 + 0.46 * cos(pi * x)) : 0;
    default:
        return 0;
    }
}

/* How one edge of `n` pixels becomes one of `n_out`: for each new pixel the first old one, how many, and their weights. */
struct weights {
    struct assay_tensor memory;
    int64_t stride;
    int32_t *table; /* [n_out, 2 + stride]: first, count, weights */
};

static enum assay_status make_weights(struct weights *weights, int64_t n, int64_t n_out, enum assay_resample resample,
                                      struct assay_error *err)
{
    static const double supports[ASSAY_N_RESAMPLES] = {0, 3, 1, 2, 0.5, 1};
    double scale = (double)n / (double)n_out, stretch = fmax(scale, 1), support = supports[resample] * stretch;
    weights->stride = 2 * (int64_t)ceil(support) + 1;
    struct assay_type type = assay_type_make(ASSAY_F64, 2, (const int64_t[]){n_out + 1, 2 + weights->stride});
    enum assay_status st = assay_tensor_alloc(&weights->memory, &type, err);
    if (st)
        return st;
    double *raw = weights->memory.data;
    weights->table = (int32_t *)(raw + weights->stride);
    for (int64_t i = 0; i < n_out; i++) {
        int32_t *row = weights->table + i * (2 + weights->stride);
        double centre = ((double)i + 0.5) * scale, sum = 0;
        int64_t first = (int64_t)(centre - support + 0.5), end = (int64_t)(centre + support + 0.5);
        first = first < 0 ? 0 : first;
        end = end > n ? n : end;
        for (int64_t k = 0; k < end - first; k++) {
            raw[k] = kernel(resample, ((double)(k + first) - centre + 0.5) / stretch);
            sum += raw[k];
        }
        row[0] = (int32_t)first;
        row[1] = (int32_t)(end - first);
        for (int64_t k = 0; k < end - first; k++) {
            double weight = (sum != 0 ? raw[k] / sum : raw[k]) * (1 << PRECISION);
            row[2 + k] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
        }
    }
    return ASSAY_OK;
}

/* One new pixel from `count` old ones that lie `step` bytes apart. */
static void blend(const uint8_t *from, int64_t step, int32_t count, const int32_t *weights, uint8_t *to)
{
    for (int channel = 0; channel < 3; channel++) {
        int64_t sum = 1 << (PRECISION - 1);
        for (int32_t k = 0; k < count; k++)
            sum += (int64_t)from[k * step + channel] * weights[k];
        sum >>= PRECISION;
        to[channel] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
    }
}

/* Resizes one edge: the width, or else the height. */
static enum assay_status resize_edge(struct assay_tensor *to, const struct assay_tensor *from, int64_t n_out, bool is_width,
                                     enum assay_resample resample, struct assay_error *err)
{
    int64_t height = from->type.dims[0], width = from->type.dims[1];
    int64_t new_height = is_width ? height : n_out, new_width = is_width ? n_out : width;
    struct weights weights = {0};
    enum assay_status st = assay_image_alloc(to, new_height, new_width, err);
    if (!st)
        st = make_weights(&weights, is_width ? width : height, n_out, resample, err);
    if (st)
        return st;
    const uint8_t *source = from->data;
    uint8_t *target = to->data;
    for (int64_t y = 0; y < new_height; y++)
        for (int64_t x = 0; x < new_width; x++) {
            const int32_t *row = weights.table + (is_width ? x : y) * (2 + weights.stride);
            const uint8_t *first = source + ((is_width ? y : row[0]) * width + (is_width ? row[0] : x)) * 3;
            blend(first, is_width ? 3 : 3 * width, row[1], row + 2, target + (y * new_width + x) * 3);
        }
    assay_tensor_release(&weights.memory);
    return ASSAY_OK;
}

static enum assay_status resize_nearest(struct assay_tensor *to, const struct assay_tensor *from, int64_t height, int64_t width,
                                        struct assay_error *err)
{
    int64_t old_height = from->type.dims[0], old_width = from->type.dims[1];
    enum assay_status st = assay_image_alloc(to, height, width, err);
    if (st)
        return st;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            int64_t from_y = (2 * y + 1) * old_height / (2 * height), from_x = (2 * x + 1) * old_width / (2 * width);
            memcpy((uint8_t *)to->data + (y * width + x) * 3, (const uint8_t *)from->data + (from_y * old_width + from_x) * 3, 3);
        }
    return ASSAY_OK;
}

enum assay_status assay_image_resize(struct assay_tensor *to, const struct assay_tensor *from, int64_t height, int64_t width,
                                     enum assay_resample resample, struct assay_error *err)
{
    struct assay_tensor wide = {0};
    *to = (struct assay_tensor){0};
    if (resample == ASSAY_NEAREST)
        return resize_nearest(to, from, height, width, err);
    enum assay_status st = ASSAY_OK;
    if (width == from->type.dims[1])
        assay_tensor_share(&wide, from);
    else
        st = resize_edge(&wide, from, width, true, resample, err);
    if (!st && height == from->type.dims[0])
        assay_tensor_share(to, &wide);
    else if (!st)
        st = resize_edge(to, &wide, height, false, resample, err);
    assay_tensor_release(&wide);
    if (st)
        assay_tensor_release(to);
    return st;
}

enum assay_status assay_image_window(struct assay_tensor *to, const struct assay_tensor *from, int64_t top, int64_t left,
                                     int64_t height, int64_t width, struct assay_error *err)
{
    int64_t old_height = from->type.dims[0], old_width = from->type.dims[1];
    enum assay_status st = assay_image_alloc(to, height, width, err);
    if (st)
        return st;
    memset(to->data, 0, (size_t)assay_tensor_bytes(to));
    int64_t first = left < 0 ? -left : 0, end = old_width - left < width ? old_width - left : width;
    for (int64_t y = 0; y < height && first < end; y++)
        if (top + y >= 0 && top + y < old_height)
            memcpy((uint8_t *)to->data + (y * width + first) * 3,
                   (const uint8_t *)from->data + ((top + y) * old_width + left + first) * 3, (size_t)(end - first) * 3);
    return ASSAY_OK;
}

/* Where a window of `wanted` begins on an edge of `n`: half of what is over before it; half of what lacks, rounded up. */
static int64_t begin(int64_t n, int64_t wanted) { return n >= wanted ? (n - wanted) / 2 : -((wanted - n + 1) / 2); }

enum assay_status assay_image_crop(struct assay_tensor *to, const struct assay_tensor *from, int64_t height, int64_t width,
                                   struct assay_error *err)
{
    int64_t top = begin(from->type.dims[0], height), left = begin(from->type.dims[1], width);
    return assay_image_window(to, from, top, left, height, width, err);
}
