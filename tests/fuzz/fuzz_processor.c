/* SPDX-License-Identifier: Apache-2.0 */
/* A preprocessor_config.json from anywhere: a processor that can be used, or a sentence. Those that ask for little are used. */
#include "data/audio.h"
#include "data/vision.h"
#include "fuzz.h"

enum { MOST_EDGE = 64, MOST_SAMPLES = 1 << 12, MOST_FFT = 512 };

static bool is_small(int64_t edge) { return edge <= MOST_EDGE; }

static void try_pictures(const json_t *config)
{
    struct assay_vision_processor p;
    struct assay_error err = {0};
    struct assay_vision_batch batch;
    struct assay_tensor image;
    if (assay_vision_processor_read(&p, config, &err)) {
        ASSAY_ASSERT(*err.message);
        return;
    }
    bool small = is_small(p.height) && is_small(p.width) && is_small(p.shortest) && is_small(p.longest) &&
                 is_small(p.crop_height) && is_small(p.crop_width);
    for (int64_t i = 0; i < p.n_pinpoints; i++)
        small = small && is_small(p.pinpoints[i][0]) && is_small(p.pinpoints[i][1]);
    if (!small || assay_image_alloc(&image, 7, 5, &err))
        return;
    for (int i = 0; i < 7 * 5 * 3; i++)
        ((uint8_t *)image.data)[i] = (uint8_t)(i * 37);
    if (assay_vision_process(&p, &image, 1, &batch, &err))
        ASSAY_ASSERT(*err.message);
    else
        assay_vision_batch_release(&batch);
    assay_tensor_release(&image);
}

static void try_sounds(const json_t *config)
{
    struct assay_audio_processor p;
    struct assay_error err = {0};
    struct assay_audio_batch batch;
    float samples[100];
    const struct assay_clip clip = {samples, 100};
    if (assay_audio_processor_read(&p, config, &err)) {
        ASSAY_ASSERT(*err.message);
        return;
    }
    /* Every hop is a frame of a transform, and every one has so many filters. */
    if (p.max_samples > MOST_SAMPLES || p.mel.n_fft > MOST_FFT || p.mel.n_mels > MOST_EDGE ||
        (p.mel.hop && p.max_samples / p.mel.hop > MOST_EDGE))
        return;
    for (int i = 0; i < 100; i++)
        samples[i] = (float)(i % 7) / 7;
    if (assay_audio_process(&p, &clip, 1, 1, &batch, &err))
        ASSAY_ASSERT(*err.message);
    else
        assay_audio_batch_release(&batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct assay_error err = {0};
    json_t *config;
    if (assay_json_parse((const char *)data, size, "fuzz", &config, &err))
        return 0;
    try_pictures(config);
    try_sounds(config);
    json_decref(config);
    return 0;
}
