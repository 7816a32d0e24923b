/* SPDX-License-Identifier: Apache-2.0 */
/* A PNG or JPEG file from anywhere: a picture, or a sentence. */
#include "data/image.h"
#include "fuzz.h"
#include "memory_file.h"

/* Where the sum goes, so that the reads are not left out. */
static volatile unsigned sink;

/* Height times width that a header claims; a file of some bytes can claim 16384², which takes a second to fill. */
static uint64_t claimed(const uint8_t *data, size_t size)
{
    uint64_t height = 0, width = 0;
    if (size >= 24 && data[0] == 0x89)
        for (int i = 0; i < 4; i++) {
            width = width << 8 | data[16 + i];
            height = height << 8 | data[20 + i];
        }
    for (size_t i = 0; i + 9 < size && data[0] == 0xff; i++)
        if (data[i] == 0xff && data[i + 1] >= 0xc0 && data[i + 1] <= 0xcf) {
            uint64_t h = (uint64_t)data[i + 5] << 8 | data[i + 6], w = (uint64_t)data[i + 7] << 8 | data[i + 8];
            height = h > height ? h : height;
            width = w > width ? w : width;
        }
    return height * width;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct assay_tensor image;
    struct assay_error err = {0};
    if (claimed(data, size) > 1 << 20)
        return 0;
    int fd = memory_file(data, size, path);
    enum assay_status st = assay_image_open(path, &image, &err);
    ASSAY_ASSERT(st ? *err.message && !image.data : image.type.rank == 3 && image.type.dims[2] == 3);
    unsigned sum = 0;
    for (int64_t i = 0; !st && i < assay_tensor_bytes(&image); i++)
        sum += ((const uint8_t *)image.data)[i];
    sink = sum;
    assay_tensor_release(&image);
    close(fd);
    return 0;
}
