/* SPDX-License-Identifier: Apache-2.0 */
/* preprocessor_config.json of an image processor (vision.h). */
#include "data/vision.h"

#include <string.h>

static enum assay_status read_edge(const json_t *object, const char *name, int64_t *value, struct assay_error *err)
{
    enum assay_status st = assay_json_int(object, name, 0, value, err);
    if (!st && (*value < 0 || *value > ASSAY_IMAGE_EDGE))
        st = assay_error_set(err, ASSAY_INVALID, "%s is %lld; an edge of 1 to %d can be made", name, (long long)*value,
                             ASSAY_IMAGE_EDGE);
    return st;
}

/* A size is {height, width}, {shortest_edge, longest_edge}, or, in older files, one number: the shortest edge, or a square. */
static enum assay_status read_size(struct assay_vision_processor *p, const json_t *config, bool square, struct assay_error *err)
{
    const json_t *size = json_object_get(config, "size");
    if (json_is_integer(size)) {
        enum assay_status st = read_edge(config, "size", square ? &p->height : &p->shortest, err);
        p->width = p->height;
        return st;
    }
    if (!json_is_object(size))
        return p->resize ? assay_error_set(err, ASSAY_INVALID, "size is missing; resizing needs it") : ASSAY_OK;
    enum assay_status st = read_edge(size, "height", &p->height, err);
    if (!st)
        st = read_edge(size, "width", &p->width, err);
    if (!st)
        st = read_edge(size, "shortest_edge", &p->shortest, err);
    if (!st)
        st = read_edge(size, "longest_edge", &p->longest, err);
    if (!st && p->resize && !p->shortest && (!p->height || !p->width))
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "size has neither shortest_edge nor height and width, which are known");
    if (!st && p->longest && p->kind != ASSAY_VISION_DETR)
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "size.longest_edge is known for DETR alone");
    return st;
}

static enum assay_status read_crop(struct assay_vision_processor *p, const json_t *config, struct assay_error *err)
{
    const json_t *size = json_object_get(config, "crop_size");
    enum assay_status st = ASSAY_OK;
    if (json_is_integer(size)) {
        st = read_edge(config, "crop_size", &p->crop_height, err);
        p->crop_width = p->crop_height;
    } else if (json_is_object(size)) {
        st = read_edge(size, "height", &p->crop_height, err);
        if (!st)
            st = read_edge(size, "width", &p->crop_width, err);
    }
    if (!st && p->crop && (!p->crop_height || !p->crop_width))
        st = assay_error_set(err, ASSAY_INVALID, "crop_size has no height and width; do_center_crop needs them");
    return st;
}

static enum assay_status read_channels(const json_t *config, const char *name, bool positive, double values[3],
                                       struct assay_error *err)
{
    const json_t *array = json_object_get(config, name);
    for (size_t i = 0; i < 3; i++) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_number(value) || json_array_size(array) != 3 || (positive && json_number_value(value) == 0))
            return assay_error_set(err, ASSAY_INVALID, "%s must be three numbers%s", name, positive ? " other than 0" : "");
        values[i] = json_number_value(value);
    }
    return ASSAY_OK;
}

static enum assay_status read_pinpoints(struct assay_vision_processor *p, const json_t *config, struct assay_error *err)
{
    const json_t *array = json_object_get(config, "image_grid_pinpoints");
    int64_t tile = p->crop_height;
    p->n_pinpoints = (int64_t)json_array_size(array);
    if (p->n_pinpoints < 1 || p->n_pinpoints > ASSAY_VISION_PINPOINTS)
        return assay_error_set(err, ASSAY_INVALID, "image_grid_pinpoints must be a list of 1 to %d sizes",
                               ASSAY_VISION_PINPOINTS);
    if (tile < 2 || p->crop_width != tile || p->shortest != tile || !p->resize || !p->crop)
        return assay_error_set(err, ASSAY_UNSUPPORTED,
                               "tiles that are not resized and cropped to the square of size.shortest_edge are not known");
    for (int64_t i = 0; i < p->n_pinpoints; i++) {
        const json_t *pair = json_array_get(array, (size_t)i);
        for (size_t k = 0; k < 2; k++)
            p->pinpoints[i][k] = json_integer_value(json_array_get(pair, k));
        int64_t height = p->pinpoints[i][0], width = p->pinpoints[i][1];
        if (height < tile || height > ASSAY_IMAGE_EDGE || height % tile || width < tile || width > ASSAY_IMAGE_EDGE ||
            width % tile || height / tile * (width / tile) > ASSAY_VISION_TILES)
            return assay_error_set(err, ASSAY_INVALID, "image_grid_pinpoints[%lld] is not made of up to %d tiles of %lld pixels",
                                   (long long)i, ASSAY_VISION_TILES, (long long)tile);
    }
    return ASSAY_OK;
}

static enum assay_status read_fields(struct assay_vision_processor *p, const json_t *config, bool square, bool crops,
                                     int64_t resample, struct assay_error *err)
{
    const struct {
        const char *name;
        bool otherwise, *value;
    } switches[] = {{"do_resize", true, &p->resize},
                    {"do_center_crop", crops, &p->crop},
                    {"do_rescale", true, &p->rescale},
                    {"do_normalize", true, &p->normalize},
                    {"do_pad", true, &p->pad}};
    enum assay_status st = ASSAY_OK;
    for (size_t i = 0; !st && i < ASSAY_COUNT(switches); i++)
        st = assay_json_bool(config, switches[i].name, switches[i].otherwise, switches[i].value, err);
    if (!st)
        st = assay_json_int(config, "resample", resample, &resample, err);
    if (!st && (resample < 0 || resample >= ASSAY_N_RESAMPLES))
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "resample %lld is none of Pillow's filters", (long long)resample);
    p->resample = (enum assay_resample)resample;
    if (!st)
        st = read_size(p, config, square, err);
    if (!st)
        st = read_crop(p, config, err);
    if (!st)
        st = assay_json_real(config, "rescale_factor", 1.0 / 255, &p->factor, err);
    if (!st && p->normalize)
        st = read_channels(config, "image_mean", false, p->mean, err);
    if (!st && p->normalize)
        st = read_channels(config, "image_std", true, p->deviation, err);
    return st;
}

enum assay_status assay_vision_processor_read(struct assay_vision_processor *processor, const json_t *config,
                                              struct assay_error *err)
{
    /* `square`: what one number as size means; `crops` and `resample`: the processor's defaults. */
    static const struct {
        const char *name;
        enum assay_vision_kind kind;
        bool square, crops, video;
        enum assay_resample resample;
    } kinds[] = {
        {"ViT", ASSAY_VISION_PLAIN, true, false, false, ASSAY_BILINEAR},
        {"CLIP", ASSAY_VISION_PLAIN, false, true, false, ASSAY_BICUBIC},
        {"MobileNetV2", ASSAY_VISION_PLAIN, false, true, false, ASSAY_BILINEAR},
        {"VideoMAE", ASSAY_VISION_PLAIN, false, true, true, ASSAY_BILINEAR},
        {"ConvNext", ASSAY_VISION_CONVNEXT, false, false, false, ASSAY_BILINEAR},
        {"Detr", ASSAY_VISION_DETR, false, false, false, ASSAY_BILINEAR},
        {"LlavaNext", ASSAY_VISION_LLAVA_NEXT, false, true, false, ASSAY_BICUBIC},
    };
    const char *name = NULL;
    *processor = (struct assay_vision_processor){.crop_part = 1};
    enum assay_status st = assay_json_text(config, "image_processor_type", NULL, &name, err);
    /* Older files name a feature extractor instead. */
    if (!st && !name)
        st = assay_json_text(config, "feature_extractor_type", "", &name, err);
    if (st)
        return st;
    for (size_t i = 0; i < ASSAY_COUNT(kinds); i++) {
        size_t n = strlen(kinds[i].name);
        if (strncmp(name, kinds[i].name, n) != 0 ||
            (strcmp(name + n, "ImageProcessor") != 0 && strcmp(name + n, "FeatureExtractor") != 0))
            continue;
        processor->kind = kinds[i].kind;
        processor->video = kinds[i].video;
        st = read_fields(processor, config, kinds[i].square, kinds[i].crops, kinds[i].resample, err);
        if (!st && processor->kind == ASSAY_VISION_LLAVA_NEXT)
            st = read_pinpoints(processor, config, err);
        if (st || processor->kind != ASSAY_VISION_CONVNEXT)
            return st;
        st = assay_json_real(config, "crop_pct", 224.0 / 256, &processor->crop_part, err);
        if (!st && !(processor->crop_part > 0.01 && processor->crop_part <= 1))
            st = assay_error_set(err, ASSAY_INVALID, "crop_pct must lie in 0.01 … 1");
        if (!st && !processor->shortest)
            st = assay_error_set(err, ASSAY_INVALID, "size has no shortest_edge, which ConvNextImageProcessor needs");
        return st;
    }
    return assay_error_set(err, ASSAY_UNSUPPORTED,
                           "image_processor_type \"%s\" is not known; ViT, CLIP, Detr, MobileNetV2, ConvNext, VideoMAE and "
                           "LlavaNext are",
                           name);
}
