/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pictures for models: what the image processors of Hugging Face for vit, clip, detr, mobilenet_v2, resnet (ConvNext's),
 * llava-next and x-clip (VideoMAE's) make of them, driven by the fields of preprocessor_config.json.
 */
#ifndef ASSAY_DATA_VISION_H
#define ASSAY_DATA_VISION_H

#include "base/json.h"
#include "data/image.h"

enum assay_vision_kind {
    ASSAY_VISION_PLAIN,     /* resize, crop about the centre, scale, normalise */
    ASSAY_VISION_CONVNEXT,  /* as plain, with a margin below 384 pixels */
    ASSAY_VISION_DETR,      /* the shortest edge within a longest one; pictures padded to a batch, with a mask */
    ASSAY_VISION_LLAVA_NEXT /* the picture small, and in tiles of the grid that suits it best */
};

enum { ASSAY_VISION_PINPOINTS = 64, ASSAY_VISION_TILES = 256 };

struct assay_vision_processor {
    enum assay_vision_kind kind;
    bool resize, crop, rescale, normalize, pad;
    enum assay_resample resample;
    int64_t height, width;     /* to resize to; 0 where only edges are given */
    int64_t shortest, longest; /* edges to resize to; 0 = not given */
    int64_t crop_height, crop_width;
    double crop_part; /* ConvNext: the part of the edge that remains after cropping */
    double factor;
    double mean[3], deviation[3];
    int64_t pinpoints[ASSAY_VISION_PINPOINTS][2]; /* LLaVA-NeXT: height and width of the grids */
    int64_t n_pinpoints;
    bool video; /* the pictures are the frames of one clip: f32[1, n, 3, height, width] */
};

/* What a model takes; empty tensors where the kind has none. */
struct assay_vision_batch {
    struct assay_tensor pixels; /* pixel_values: f32[n, 3, height, width], or f32[n, tiles, 3, height, width] */
    struct assay_tensor mask;   /* detr: pixel_mask i64[n, height, width] */
    struct assay_tensor sizes;  /* llava-next: image_sizes i64[n, 2], height and width before all */
};

/* From preprocessor_config.json. ASSAY_UNSUPPORTED names the processor or field that is not understood. */
enum assay_status assay_vision_processor_read(struct assay_vision_processor *processor, const json_t *config,
                                              struct assay_error *err);
enum assay_status assay_vision_process(const struct assay_vision_processor *processor, const struct assay_tensor *images,
                                       int64_t n, struct assay_vision_batch *batch, struct assay_error *err);
void assay_vision_batch_release(struct assay_vision_batch *batch);

#endif
