/* SPDX-License-Identifier: Apache-2.0 */
/* Sound files by libsndfile (audio.h). */
#include "data/audio.h"

#include "base/fs.h"

#include <sndfile.h>

/* The most samples of a file, all channels together: 1 GiB of floats. */
static const int64_t max_samples = 1 << 28;

enum assay_status assay_audio_open(const char *path, struct assay_tensor *samples, int64_t *rate, struct assay_error *err)
{
    enum { FRAMES = 4096, MAX_CHANNELS = 64 };
    SF_INFO info = {0};
    struct assay_tensor block = {0};
    *samples = (struct assay_tensor){0};
    if (!assay_fs_exists(path))
        return assay_error_set(err, ASSAY_ABSENT, "%s: there is no such file", path);
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (!file)
        return assay_error_set(err, ASSAY_INVALID, "%s: %s", path, sf_strerror(NULL));
    enum assay_status st = ASSAY_OK;
    if (info.channels < 1 || info.channels > MAX_CHANNELS || info.frames < 1 || info.frames > max_samples / info.channels) {
        st = assay_error_set(err, ASSAY_INVALID, "%s: %lld samples in %d channels; 1 to %lld in 1 to %d can be read", path,
                             (long long)info.frames, info.channels, (long long)max_samples, MAX_CHANNELS);
        goto done;
    }
    int64_t n = info.frames, at = 0, block_size = (int64_t)FRAMES * info.channels;
    struct assay_type type = assay_type_make(ASSAY_F32, 1, &n), block_type = assay_type_make(ASSAY_F32, 1, &block_size);
    st = assay_tensor_alloc(samples, &type, err);
    if (!st)
        st = assay_tensor_alloc(&block, &block_type, err);
    while (!st && at < n) {
        int64_t n_read = sf_readf_float(file, block.data, FRAMES < n - at ? FRAMES : n - at);
        if (n_read < 1) {
            st = assay_error_set(err, ASSAY_INVALID, "%s: ends after %lld of %lld samples", path, (long long)at, (long long)n);
            break;
        }
        for (int64_t i = 0; i < n_read; i++) {
            double sum = 0;
            for (int channel = 0; channel < info.channels; channel++)
                sum += ((const float *)block.data)[i * info.channels + channel];
            ((float *)samples->data)[at + i] = (float)(sum / info.channels);
        }
        at += n_read;
    }
    *rate = info.samplerate;
done:
    if (st)
        assay_tensor_release(samples);
    assay_tensor_release(&block);
    sf_close(file);
    return st;
}
