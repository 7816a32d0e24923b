/* SPDX-License-Identifier: Apache-2.0 */
#include "data/image.h"

#include "base/fs.h"
#include "base/test.h"

#include <png.h>

#include <jpeglib.h>

static struct assay_error err;

/* A ramp in all three channels. */
static struct assay_tensor ramp(int64_t height, int64_t width)
{
    struct assay_tensor image;
    CHECK_OK(assay_image_alloc(&image, height, width, &err), err);
    for (int64_t i = 0; i < height * width * 3; i++)
        ((uint8_t *)image.data)[i] = (uint8_t)(i / 3 * 7 + i % 3 * 50);
    return image;
}

ASSAY_TEST(a_window_outside_is_black_and_the_middle_is_kept)
{
    struct assay_tensor image = ramp(3, 5), got;
    CHECK_OK(assay_image_crop(&got, &image, 4, 3, &err), err);
    const uint8_t *pixels = got.data;
    CHECK_INT(pixels[0], 0);                    /* row 0 lies above: half of one missing row, rounded up */
    CHECK_INT(pixels[(1 * 3 + 0) * 3], 7);      /* then the picture's row 0 from its column 1 */
    CHECK_INT(pixels[(3 * 3 + 2) * 3], 13 * 7); /* its row 2, column 3 */
    assay_tensor_release(&got);
    CHECK_OK(assay_image_window(&got, &image, 100, 100, 2, 2, &err), err);
    CHECK_INT(((const uint8_t *)got.data)[11], 0);
    assay_tensor_release(&got);
    CHECK_INT(assay_image_crop(&got, &image, 0, 3, &err), ASSAY_INVALID);
    CHECK_INT(assay_image_resize(&got, &image, 3, ASSAY_IMAGE_EDGE + 1, ASSAY_BILINEAR, &err), ASSAY_INVALID);
    assay_tensor_release(&image);
}

ASSAY_TEST(a_constant_picture_stays_so_under_every_filter)
{
    struct assay_tensor image, got;
    CHECK_OK(assay_image_alloc(&image, 9, 14, &err), err);
    memset(image.data, 201, 9 * 14 * 3);
    for (int resample = 0; resample < ASSAY_N_RESAMPLES; resample++) {
        CHECK_OK(assay_image_resize(&got, &image, 4, 31, (enum assay_resample)resample, &err), err);
        for (int i = 0; i < 4 * 31 * 3; i++)
            CHECK_INT(((const uint8_t *)got.data)[i], 201);
        assay_tensor_release(&got);
    }
    assay_tensor_release(&image);
}

static void write_png(const char *path, const struct assay_tensor *image)
{
    png_image png = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_RGB};
    png.height = (png_uint_32)image->type.dims[0];
    png.width = (png_uint_32)image->type.dims[1];
    CHECK(png_image_write_to_file(&png, path, 0, image->data, 0, NULL));
}

static void write_jpeg(const char *path, const struct assay_tensor *image)
{
    struct jpeg_compress_struct info = {0};
    struct jpeg_error_mgr manager;
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    info.err = jpeg_std_error(&manager);
    jpeg_create_compress(&info);
    jpeg_stdio_dest(&info, file);
    info.image_height = (JDIMENSION)image->type.dims[0];
    info.image_width = (JDIMENSION)image->type.dims[1];
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, 95, TRUE);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        JSAMPROW row = (JSAMPROW)image->data + (size_t)info.next_scanline * info.image_width * 3;
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    fclose(file);
}

/* Every prefix of a file is refused or decoded, never a crash: both libraries may give a picture whose end is grey. */
static void cut_short(const char *path, const char *shorter)
{
    struct assay_map map;
    struct assay_tensor image;
    CHECK_OK(assay_map_open(&map, path, &err), err);
    for (size_t n = 0; n < map.size_bytes; n += 7) {
        CHECK_OK(assay_fs_write(shorter, map.data, n, &err), err);
        if (assay_image_open(shorter, &image, &err) == ASSAY_OK)
            assay_tensor_release(&image);
    }
    assay_map_release(&map);
}

ASSAY_TEST(png_and_jpeg_files_are_read)
{
    struct assay_arena arena;
    struct assay_tensor image, got;
    char *folder = NULL;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    const char *png = assay_path_join(&arena, folder, "x.png"), *jpeg = assay_path_join(&arena, folder, "x.jpg");
    const char *shorter = assay_path_join(&arena, folder, "shorter");
    image = ramp(5, 6);
    write_png(png, &image);
    CHECK_OK(assay_image_open(png, &got, &err), err);
    CHECK(assay_tensor_compare(&got, &image, 0, 0).n_wrong == 0);
    assay_tensor_release(&got);
    memset(image.data, 120, 5 * 6 * 3);
    write_jpeg(jpeg, &image);
    CHECK_OK(assay_image_open(jpeg, &got, &err), err);
    /* A constant picture survives JPEG up to the rounding of its colours. */
    CHECK(assay_tensor_compare(&got, &image, 2, 0).n_wrong == 0);
    assay_tensor_release(&got);
    cut_short(png, shorter);
    cut_short(jpeg, shorter);
    CHECK_OK(assay_fs_write(shorter, "GIF89a", 6, &err), err);
    CHECK_INT(assay_image_open(shorter, &got, &err), ASSAY_INVALID);
    CHECK_INT(assay_image_open("/nowhere/x.png", &got, &err), ASSAY_ABSENT);
    assay_tensor_release(&image);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_window_outside_is_black_and_the_middle_is_kept),
                ASSAY_TEST_ENTRY(a_constant_picture_stays_so_under_every_filter), ASSAY_TEST_ENTRY(png_and_jpeg_files_are_read))
