/* SPDX-License-Identifier: Apache-2.0 */
/* PNG files by libpng and JPEG files by libjpeg (image.h). Both report errors by a jump; each decoder is a function of its own,
 * which what it must free outlives. */
#include "data/image.h"

#include "base/fs.h"

#include <setjmp.h>
#include <string.h>

#include <png.h>

#include <jpeglib.h>

struct jpeg_failure {
    struct jpeg_error_mgr manager;
    struct jpeg_progress_mgr progress;
    jmp_buf exit;
    char sentence[JMSG_LENGTH_MAX];
};

static noreturn void jpeg_fail(j_common_ptr info)
{
    struct jpeg_failure *failure = (struct jpeg_failure *)info->err;
    failure->manager.format_message(info, failure->sentence);
    longjmp(failure->exit, 1);
}

/* A small file of very many scans over a huge picture would keep the decoder busy for hours. */
static void jpeg_watch(j_common_ptr info)
{
    enum { MAX_SCANS = 100 };
    struct jpeg_failure *failure = (struct jpeg_failure *)info->err;
    if (!info->is_decompressor || ((j_decompress_ptr)info)->input_scan_number <= MAX_SCANS)
        return;
    snprintf(failure->sentence, sizeof failure->sentence, "it has more than %d scans", MAX_SCANS);
    longjmp(failure->exit, 1);
}

static void jpeg_quiet(j_common_ptr info, int level)
{
    (void)info;
    (void)level;
}

static enum assay_status read_jpeg(const struct assay_map *map, const char *path, struct jpeg_decompress_struct *info,
                                   struct jpeg_failure *failure, struct assay_tensor *image, struct assay_error *err)
{
    info->err = jpeg_std_error(&failure->manager);
    failure->manager.error_exit = jpeg_fail;
    failure->manager.emit_message = jpeg_quiet;
    if (setjmp(failure->exit))
        return assay_error_set(err, ASSAY_INVALID, "%s: %s", path, failure->sentence);
    jpeg_create_decompress(info);
    failure->progress.progress_monitor = jpeg_watch;
    info->progress = &failure->progress;
    jpeg_mem_src(info, map->data, map->size_bytes);
    jpeg_read_header(info, TRUE);
    info->out_color_space = JCS_RGB;
    enum assay_status st = assay_image_alloc(image, info->image_height, info->image_width, err);
    if (st)
        return assay_error_prefix(err, st, "%s", path);
    jpeg_start_decompress(info);
    while (info->output_scanline < info->output_height) {
        JSAMPROW row = (JSAMPROW)image->data + (size_t)info->output_scanline * info->output_width * 3;
        jpeg_read_scanlines(info, &row, 1);
    }
    jpeg_finish_decompress(info);
    return ASSAY_OK;
}

struct png_source {
    const struct assay_map *map;
    size_t at;
    char sentence[160];
    png_structp png;
    png_infop info;
};

static void png_take(png_structp png, png_bytep to, size_t n)
{
    struct png_source *source = png_get_io_ptr(png);
    if (n > source->map->size_bytes - source->at)
        png_error(png, "the file ends too early");
    memcpy(to, source->map->data + source->at, n);
    source->at += n;
}

static noreturn void png_fail(png_structp png, png_const_charp message)
{
    struct png_source *source = png_get_error_ptr(png);
    snprintf(source->sentence, sizeof source->sentence, "%s", message);
    png_longjmp(png, 1);
}

static void png_quiet(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static enum assay_status read_png(struct png_source *source, const char *path, struct assay_tensor *image,
                                  struct assay_error *err)
{
    source->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, source, png_fail, png_quiet);
    source->info = source->png ? png_create_info_struct(source->png) : NULL;
    if (!source->info)
        return assay_error_set(err, ASSAY_NO_MEMORY, "%s: no memory to decode it", path);
    if (setjmp(png_jmpbuf(source->png)))
        return assay_error_set(err, ASSAY_INVALID, "%s: %s", path, source->sentence);
    png_set_user_limits(source->png, ASSAY_IMAGE_EDGE, ASSAY_IMAGE_EDGE);
    png_set_read_fn(source->png, source, png_take);
    png_read_png(source->png, source->info,
                 PNG_TRANSFORM_STRIP_16 | PNG_TRANSFORM_PACKING | PNG_TRANSFORM_EXPAND | PNG_TRANSFORM_STRIP_ALPHA |
                     PNG_TRANSFORM_GRAY_TO_RGB,
                 NULL);
    int64_t height = png_get_image_height(source->png, source->info), width = png_get_image_width(source->png, source->info);
    if (png_get_rowbytes(source->png, source->info) != (size_t)width * 3)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "%s: its pixels cannot be made RGB", path);
    enum assay_status st = assay_image_alloc(image, height, width, err);
    if (st)
        return assay_error_prefix(err, st, "%s", path);
    png_bytepp rows = png_get_rows(source->png, source->info);
    for (int64_t y = 0; y < height; y++)
        memcpy((uint8_t *)image->data + y * width * 3, rows[y], (size_t)width * 3);
    return ASSAY_OK;
}

enum assay_status assay_image_open(const char *path, struct assay_tensor *image, struct assay_error *err)
{
    struct assay_map map;
    *image = (struct assay_tensor){0};
    enum assay_status st = assay_map_open(&map, path, err);
    if (st)
        return st;
    if (map.size_bytes >= 8 && png_sig_cmp(map.data, 0, 8) == 0) {
        struct png_source source = {.map = &map};
        st = read_png(&source, path, image, err);
        png_destroy_read_struct(&source.png, &source.info, NULL);
    } else if (map.size_bytes >= 3 && memcmp(map.data, "\xff\xd8\xff", 3) == 0) {
        struct jpeg_decompress_struct info = {0};
        struct jpeg_failure failure = {0};
        st = read_jpeg(&map, path, &info, &failure, image, err);
        jpeg_destroy_decompress(&info);
    } else {
        st = assay_error_set(err, ASSAY_INVALID, "%s: neither a PNG nor a JPEG file", path);
    }
    if (st)
        assay_tensor_release(image);
    assay_map_release(&map);
    return st;
}
