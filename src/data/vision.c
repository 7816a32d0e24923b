/* SPDX-License-Identifier: Apache-2.0 */
/* The image processors (vision.h). */
#include "data/vision.h"

#include "base/arena.h"

#include <math.h>
#include <string.h>

struct size {
    int64_t height, width;
};

static struct size size_of(const struct assay_tensor *image) { return (struct size){image->type.dims[0], image->type.dims[1]}; }

/* The shorter edge becomes `edge`, the other keeps the picture's proportions, rounded down. */
static struct size size_by_shortest(struct size s, int64_t edge)
{
    if (s.width <= s.height)
        return (struct size){(int64_t)((double)(edge * s.height) / (double)s.width), edge};
    return (struct size){edge, (int64_t)((double)(edge * s.width) / (double)s.height)};
}

/* As above, unless the longer edge would exceed `longest`. */
static struct size size_for_detr(const struct assay_vision_processor *p, struct size s)
{
    int64_t edge = p->shortest;
    double low = (double)(s.height < s.width ? s.height : s.width), high = (double)(s.height < s.width ? s.width : s.height);
    if (p->longest && high / low * (double)edge > (double)p->longest)
        edge = (int64_t)nearbyint((double)p->longest * low / high);
    return size_by_shortest(s, edge);
}

static struct size target_size(const struct assay_vision_processor *p, struct size s)
{
    if (p->kind == ASSAY_VISION_CONVNEXT) {
        if (p->shortest >= 384)
            return (struct size){p->shortest, p->shortest};
        return size_by_shortest(s, (int64_t)((double)p->shortest / p->crop_part));
    }
    if (!p->shortest)
        return (struct size){p->height, p->width};
    return p->kind == ASSAY_VISION_DETR ? size_for_detr(p, s) : size_by_shortest(s, p->shortest);
}

/* Resized and cropped, still bytes. */
static enum assay_status shape(const struct assay_vision_processor *p, const struct assay_tensor *from, struct assay_tensor *to,
                               struct assay_error *err)
{
    struct assay_tensor resized = {0};
    enum assay_status st = ASSAY_OK;
    *to = (struct assay_tensor){0};
    if (p->resize) {
        struct size size = target_size(p, size_of(from));
        st = assay_image_resize(&resized, from, size.height, size.width, p->resample, err);
    } else {
        assay_tensor_share(&resized, from);
    }
    if (!st && p->kind == ASSAY_VISION_CONVNEXT && p->resize && p->shortest < 384)
        st = assay_image_crop(to, &resized, p->shortest, p->shortest, err);
    else if (!st && p->crop && p->kind != ASSAY_VISION_CONVNEXT && p->kind != ASSAY_VISION_DETR)
        st = assay_image_crop(to, &resized, p->crop_height, p->crop_width, err);
    else if (!st)
        assay_tensor_share(to, &resized);
    assay_tensor_release(&resized);
    return st;
}

/* Bytes [height, width, 3] to float [3, stride_height, stride_width], scaled and normalised in float as numpy does. */
static void write_pixels(const struct assay_vision_processor *p, const struct assay_tensor *image, struct size stride, float *to)
{
    struct size size = size_of(image);
    const uint8_t *from = image->data;
    for (int64_t channel = 0; channel < 3; channel++) {
        float mean = (float)p->mean[channel], deviation = (float)p->deviation[channel];
        for (int64_t y = 0; y < size.height; y++)
            for (int64_t x = 0; x < size.width; x++) {
                float value = (float)from[(y * size.width + x) * 3 + channel];
                if (p->rescale)
                    value = (float)((double)value * p->factor);
                if (p->normalize)
                    value = (value - mean) / deviation;
                to[(channel * stride.height + y) * stride.width + x] = value;
            }
    }
}

static enum assay_status alloc_pixels(struct assay_tensor *pixels, int rank, const int64_t *dims, struct assay_error *err)
{
    struct assay_type type = assay_type_make(ASSAY_F32, rank, dims);
    enum assay_status st = assay_tensor_alloc(pixels, &type, err);
    if (!st)
        memset(pixels->data, 0, (size_t)assay_tensor_bytes(pixels));
    return st;
}

static enum assay_status write_masks(const struct assay_tensor *images, int64_t n, struct size size, struct assay_tensor *mask,
                                     struct assay_error *err)
{
    struct assay_type type = assay_type_make(ASSAY_I64, 3, (const int64_t[]){n, size.height, size.width});
    enum assay_status st = assay_tensor_alloc(mask, &type, err);
    if (st)
        return st;
    int64_t *to = mask->data;
    for (int64_t i = 0; i < n; i++)
        for (int64_t y = 0; y < size.height; y++)
            for (int64_t x = 0; x < size.width; x++)
                *to++ = y < images[i].type.dims[0] && x < images[i].type.dims[1];
    return ASSAY_OK;
}

/* Shaped pictures as one batch, each in the upper left corner of the largest size where padding is asked for. */
static enum assay_status join(const struct assay_vision_processor *p, const struct assay_tensor *images, int64_t n,
                              struct assay_vision_batch *batch, struct assay_error *err)
{
    bool pads = p->kind == ASSAY_VISION_DETR && p->pad;
    struct size size = size_of(&images[0]);
    for (int64_t i = 1; i < n; i++) {
        struct size other = size_of(&images[i]);
        if (!pads && (other.height != size.height || other.width != size.width))
            return assay_error_set(err, ASSAY_INVALID, "picture %lld comes to %lld × %lld, the first to %lld × %lld: no batch",
                                   (long long)i, (long long)other.height, (long long)other.width, (long long)size.height,
                                   (long long)size.width);
        size.height = other.height > size.height ? other.height : size.height;
        size.width = other.width > size.width ? other.width : size.width;
    }
    const int64_t dims[] = {1, n, 3, size.height, size.width};
    enum assay_status st = alloc_pixels(&batch->pixels, p->video ? 5 : 4, p->video ? dims : dims + 1, err);
    if (!st && pads)
        st = write_masks(images, n, size, &batch->mask, err);
    for (int64_t i = 0; !st && i < n; i++)
        write_pixels(p, &images[i], size, (float *)batch->pixels.data + i * 3 * size.height * size.width);
    return st;
}

/* The grid in which the picture keeps most of its pixels, and of those the one with least left empty. */
static struct size best_grid(const struct assay_vision_processor *p, struct size s)
{
    int64_t best = 0, most = 0, least = INT64_MAX;
    for (int64_t i = 0; i < p->n_pinpoints; i++) {
        int64_t height = p->pinpoints[i][0], width = p->pinpoints[i][1];
        double scale = fmin((double)width / (double)s.width, (double)height / (double)s.height);
        int64_t kept = (int64_t)((double)s.width * scale) * (int64_t)((double)s.height * scale);
        if (kept > s.width * s.height)
            kept = s.width * s.height;
        int64_t wasted = height * width - kept;
        if (kept > most || (kept == most && wasted < least)) {
            best = i;
            most = kept;
            least = wasted;
        }
    }
    return (struct size){p->pinpoints[best][0], p->pinpoints[best][1]};
}

/* The picture as large as it fits into the grid, with margins of equal width: where what is over is odd, the result is a pixel
 * smaller than the grid, as the processor has it. */
static enum assay_status fit_grid(const struct assay_vision_processor *p, const struct assay_tensor *image, struct size grid,
                                  struct assay_tensor *to, struct assay_error *err)
{
    struct size s = size_of(image), fit = grid;
    struct assay_tensor resized = {0};
    double by_width = (double)grid.width / (double)s.width, by_height = (double)grid.height / (double)s.height;
    if (by_width < by_height)
        fit.height = (int64_t)fmin(ceil((double)s.height * by_width), (double)grid.height);
    else
        fit.width = (int64_t)fmin(ceil((double)s.width * by_height), (double)grid.width);
    enum assay_status st = assay_image_resize(&resized, image, fit.height, fit.width, p->resample, err);
    int64_t top = (grid.height - fit.height) / 2, left = (grid.width - fit.width) / 2;
    if (!st)
        st = assay_image_window(to, &resized, -top, -left, fit.height + 2 * top, fit.width + 2 * left, err);
    assay_tensor_release(&resized);
    return st;
}

/* The tile at (top, left) of the fitted picture; one that is a pixel short is resized and cropped to a square. */
static enum assay_status write_tile(const struct assay_vision_processor *p, const struct assay_tensor *fitted, int64_t top,
                                    int64_t left, float *to, struct assay_error *err)
{
    struct size s = size_of(fitted), tile = {p->shortest, p->shortest};
    struct assay_tensor part = {0}, square = {0};
    int64_t height = s.height - top < tile.height ? s.height - top : tile.height;
    int64_t width = s.width - left < tile.width ? s.width - left : tile.width;
    enum assay_status st = assay_image_window(&part, fitted, top, left, height, width, err);
    if (!st)
        st = shape(p, &part, &square, err);
    if (!st)
        write_pixels(p, &square, tile, to);
    assay_tensor_release(&part);
    assay_tensor_release(&square);
    return st;
}

/* One picture's tiles: first the whole in the size of one, then those of the grid, row by row. */
static enum assay_status write_tiles(const struct assay_vision_processor *p, const struct assay_tensor *image, float *to,
                                     struct assay_error *err)
{
    int64_t edge = p->shortest;
    struct size tile = {edge, edge}, grid = best_grid(p, size_of(image));
    struct assay_tensor fitted = {0}, part = {0};
    enum assay_status st = assay_image_resize(&part, image, edge, edge, p->resample, err);
    if (!st)
        write_pixels(p, &part, tile, to);
    assay_tensor_release(&part);
    if (!st)
        st = fit_grid(p, image, grid, &fitted, err);
    for (int64_t top = 0; !st && top < grid.height; top += edge)
        for (int64_t left = 0; !st && left < grid.width; left += edge) {
            to += 3 * edge * edge;
            st = write_tile(p, &fitted, top, left, to, err);
        }
    assay_tensor_release(&fitted);
    return st;
}

static enum assay_status tile(const struct assay_vision_processor *p, const struct assay_tensor *images, int64_t n,
                              struct assay_vision_batch *batch, struct assay_error *err)
{
    int64_t edge = p->shortest, most = 0;
    struct assay_type type = assay_type_make(ASSAY_I64, 2, (const int64_t[]){n, 2});
    enum assay_status st = assay_tensor_alloc(&batch->sizes, &type, err);
    for (int64_t i = 0; !st && i < n; i++) {
        struct size size = size_of(&images[i]), grid = best_grid(p, size);
        int64_t n_tiles = 1 + grid.height / edge * (grid.width / edge);
        most = n_tiles > most ? n_tiles : most;
        ((int64_t *)batch->sizes.data)[2 * i] = size.height;
        ((int64_t *)batch->sizes.data)[2 * i + 1] = size.width;
    }
    if (!st)
        st = alloc_pixels(&batch->pixels, 5, (const int64_t[]){n, most, 3, edge, edge}, err);
    for (int64_t i = 0; !st && i < n; i++)
        st = write_tiles(p, &images[i], (float *)batch->pixels.data + i * most * 3 * edge * edge, err);
    return st;
}

enum assay_status assay_vision_process(const struct assay_vision_processor *processor, const struct assay_tensor *images,
                                       int64_t n, struct assay_vision_batch *batch, struct assay_error *err)
{
    struct assay_arena arena;
    enum assay_status st = ASSAY_OK;
    *batch = (struct assay_vision_batch){0};
    if (n < 1)
        return assay_error_set(err, ASSAY_INVALID, "there is no picture to process");
    for (int64_t i = 0; i < n; i++)
        ASSAY_ASSERT(images[i].type.dtype == ASSAY_U8 && images[i].type.rank == 3 && images[i].type.dims[2] == 3);
    assay_arena_init(&arena);
    struct assay_tensor *shaped = assay_arena_array(&arena, (size_t)n, sizeof *shaped);
    if (processor->kind == ASSAY_VISION_LLAVA_NEXT) {
        st = tile(processor, images, n, batch, err);
        goto done;
    }
    for (int64_t i = 0; !st && i < n; i++)
        st = shape(processor, &images[i], &shaped[i], err);
    if (!st)
        st = join(processor, shaped, n, batch, err);
    for (int64_t i = 0; i < n; i++)
        assay_tensor_release(&shaped[i]);
done:
    if (st)
        assay_vision_batch_release(batch);
    assay_arena_release(&arena);
    return st;
}

void assay_vision_batch_release(struct assay_vision_batch *batch)
{
    assay_tensor_release(&batch->pixels);
    assay_tensor_release(&batch->mask);
    assay_tensor_release(&batch->sizes);
}
