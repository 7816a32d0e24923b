/* SPDX-License-Identifier: Apache-2.0 */
#include "data/vision.h"

#include "data/testing.h"

static struct assay_error err;

static struct assay_vision_batch process(const struct testing_fixture *fixture, const char *name,
                                         const struct assay_tensor *images, int64_t n)
{
    struct assay_vision_processor processor;
    struct assay_vision_batch batch;
    CHECK_OK(assay_vision_processor_read(&processor, json_object_get(fixture->config, name), &err), err);
    CHECK_OK(assay_vision_process(&processor, images, n, &batch, &err), err);
    return batch;
}

/* The second frame of the fixture's clip. */
static struct assay_tensor upside_down(const struct assay_tensor *image)
{
    struct assay_tensor to;
    int64_t height = image->type.dims[0];
    size_t row = (size_t)image->type.dims[1] * 3;
    CHECK_OK(assay_image_alloc(&to, height, image->type.dims[1], &err), err);
    for (int64_t y = 0; y < height; y++)
        memcpy((uint8_t *)to.data + (size_t)y * row, (const uint8_t *)image->data + (size_t)(height - 1 - y) * row, row);
    return to;
}

/* Resized bytes equal Pillow's to the bit, so that what differs is the float rounding of a normalisation: 1e-6. */
ASSAY_TEST(pictures_become_what_the_processors_of_hugging_face_give)
{
    static const struct {
        const char *name;
        int first, n;
    } cases[] = {{"clip", 0, 2},         {"clip_up", 0, 1},         {"vit", 0, 2},       {"detr", 0, 2},
                 {"mobilenet_v2", 0, 2}, {"convnext_resnet", 0, 2}, {"llava_next", 1, 1}};
    struct testing_fixture fixture;
    testing_fixture_open(&fixture, "preprocess_image");
    struct assay_tensor images[] = {testing_array(&fixture.inputs, "image.0"), testing_array(&fixture.inputs, "image.1")};
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        char name[64];
        struct assay_vision_batch batch = process(&fixture, cases[i].name, images + cases[i].first, cases[i].n);
        snprintf(name, sizeof name, "%s.pixel_values", cases[i].name);
        testing_expect(&fixture, name, &batch.pixels, 1e-6);
        if (batch.mask.data)
            testing_expect(&fixture, "detr.pixel_mask", &batch.mask, 0);
        if (batch.sizes.data)
            testing_expect(&fixture, "llava_next.image_sizes", &batch.sizes, 0);
        assay_vision_batch_release(&batch);
    }
    struct assay_tensor frames[] = {images[0], upside_down(&images[0])};
    struct assay_vision_batch clip = process(&fixture, "xclip_videomae", frames, 2);
    testing_expect(&fixture, "xclip_videomae.pixel_values", &clip.pixels, 1e-6);
    assay_vision_batch_release(&clip);
    assay_tensor_release(&frames[1]);
    assay_tensor_release(&images[0]);
    assay_tensor_release(&images[1]);
    testing_fixture_release(&fixture);
}

ASSAY_TEST(a_config_that_is_not_understood_is_refused_by_name)
{
    static const struct {
        const char *text, *part;
    } cases[] = {{"{}", "image_processor_type"},
                 {"{\"image_processor_type\":\"BeitImageProcessor\"}", "BeitImageProcessor"},
                 {"{\"image_processor_type\":\"ViTImageProcessor\"}", "size"},
                 {"{\"image_processor_type\":\"ViTImageProcessor\",\"size\":100000}", "size"},
                 {"{\"image_processor_type\":\"ViTImageProcessor\",\"size\":8,\"resample\":6}", "resample"},
                 {"{\"image_processor_type\":\"ViTImageProcessor\",\"size\":8,\"image_mean\":[1]}", "image_mean"},
                 {"{\"image_processor_type\":\"CLIPImageProcessor\",\"size\":8}", "crop_size"}};
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct assay_vision_processor processor;
        json_t *config = json_loads(cases[i].text, 0, NULL);
        CHECK(assay_vision_processor_read(&processor, config, &err) != ASSAY_OK);
        CHECK_CONTAINS(err.message, cases[i].part);
        json_decref(config);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(pictures_become_what_the_processors_of_hugging_face_give),
                ASSAY_TEST_ENTRY(a_config_that_is_not_understood_is_refused_by_name))
