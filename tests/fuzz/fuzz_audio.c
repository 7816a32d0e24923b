/* SPDX-License-Identifier: Apache-2.0 */
/* A sound file from anywhere: samples, or a sentence. */
#include "data/audio.h"
#include "fuzz.h"
#include "memory_file.h"

/* Where the sum goes, so that the reads are not left out. */
static volatile float sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct assay_tensor samples;
    struct assay_error err = {0};
    int64_t rate = 0;
    int fd = memory_file(data, size, path);
    enum assay_status st = assay_audio_open(path, &samples, &rate, &err);
    ASSAY_ASSERT(st ? *err.message && !samples.data : samples.type.rank == 1 && samples.type.dims[0] > 0 && rate > 0);
    float sum = 0;
    for (int64_t i = 0; !st && i < samples.type.dims[0]; i++)
        sum += ((const float *)samples.data)[i];
    sink = sum;
    assay_tensor_release(&samples);
    close(fd);
    return 0;
}
