/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pictures: u8[height, width, 3] in RGB, read from PNG and JPEG files, resized to the bit as Pillow does (antialiased, fixed
 * point), cropped about their centre.
 */
#ifndef ASSAY_DATA_IMAGE_H
#define ASSAY_DATA_IMAGE_H

#include "graph/tensor.h"

/* The largest height and width. */
enum { ASSAY_IMAGE_EDGE = 16384 };

/* Pillow's numbers, which stand in preprocessor_config.json. */
enum assay_resample { ASSAY_NEAREST, ASSAY_LANCZOS, ASSAY_BILINEAR, ASSAY_BICUBIC, ASSAY_BOX, ASSAY_HAMMING, ASSAY_N_RESAMPLES };

/* ASSAY_INVALID: an edge outside 1 … ASSAY_IMAGE_EDGE. */
enum assay_status assay_image_alloc(struct assay_tensor *image, int64_t height, int64_t width, struct assay_error *err);
enum assay_status assay_image_resize(struct assay_tensor *to, const struct assay_tensor *from, int64_t height, int64_t width,
                                     enum assay_resample resample, struct assay_error *err);
/* A window of height × width about the centre, black where the picture does not reach. */
enum assay_status assay_image_crop(struct assay_tensor *to, const struct assay_tensor *from, int64_t height, int64_t width,
                                   struct assay_error *err);
/* The window that begins at (top, left), which may lie outside: black there. */
enum assay_status assay_image_window(struct assay_tensor *to, const struct assay_tensor *from, int64_t top, int64_t left,
                                     int64_t height, int64_t width, struct assay_error *err);

/* PNG or JPEG, known by its first bytes. Grey becomes RGB, transparency is dropped, as Pillow's convert("RGB") does. */
enum assay_status assay_image_open(const char *path, struct assay_tensor *image, struct assay_error *err);

#endif
