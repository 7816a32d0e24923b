/* SPDX-License-Identifier: Apache-2.0 */
/* Moving and mirroring pictures (loader.h). */
#include "data/loader.h"

#include <string.h>

/* One plane, in place: rows are taken from the side that is not yet overwritten. */
static void move_plane(float *plane, int64_t height, int64_t width, int64_t down, int64_t right, float fill)
{
    for (int64_t i = 0; i < height; i++) {
        int64_t row = down > 0 ? height - 1 - i : i, from = row - down;
        float *to = plane + row * width;
        int64_t n = from >= 0 && from < height ? width - llabs(right) : 0, first = right > 0 ? right : 0;
        if (n > 0)
            memmove(to + first, plane + from * width + (right < 0 ? -right : 0), (size_t)n * sizeof *to);
        for (int64_t x = 0; x < width; x++)
            if (n <= 0 || x < first || x >= first + n)
                to[x] = fill;
    }
}

static void mirror_rows(float *rows, int64_t n, int64_t width)
{
    for (int64_t row = 0; row < n; row++)
        for (int64_t x = 0; x < width / 2; x++) {
            float *a = rows + row * width + x, *b = rows + row * width + width - 1 - x, kept = *a;
            *a = *b;
            *b = kept;
        }
}

void assay_augment_images(const void *shift, const struct assay_dataset *dataset, struct assay_rng *rng, void *const *to)
{
    const struct assay_augment_shift *s = shift;
    int64_t down = (int64_t)assay_rng_below(rng, 2 * (uint64_t)s->height + 1) - s->height;
    int64_t right = (int64_t)assay_rng_below(rng, 2 * (uint64_t)s->width + 1) - s->width;
    bool is_mirrored = s->mirror && assay_rng_u32(rng) >> 31;
    for (int i = 0; i < dataset->n_tensors; i++) {
        const struct assay_type *type = &dataset->tensors[i].type;
        if (type->dtype != ASSAY_F32 || type->rank != 3)
            continue;
        int64_t height = type->dims[1], width = type->dims[2];
        for (int64_t channel = 0; channel < type->dims[0]; channel++)
            move_plane((float *)to[i] + channel * height * width, height, width, down, right, (float)dataset->tensors[i].fill);
        if (is_mirrored)
            mirror_rows(to[i], type->dims[0] * height, width);
    }
}
