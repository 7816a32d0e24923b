/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sound for models: samples as float in [-1, 1], one channel, turned into the inputs of whisper, wav2vec2 and clap as the feature
 * extractors of Hugging Face do it, driven by the fields of preprocessor_config.json.
 */
#ifndef ASSAY_DATA_AUDIO_H
#define ASSAY_DATA_AUDIO_H

#include "base/json.h"
#include "data/mel.h"

enum assay_audio_kind { ASSAY_AUDIO_WHISPER, ASSAY_AUDIO_WAV2VEC2, ASSAY_AUDIO_CLAP };

struct assay_audio_processor {
    enum assay_audio_kind kind;
    int64_t rate;        /* Hz that the clips must have */
    int64_t max_samples; /* whisper, clap: every clip is padded or cut to it */
    struct assay_mel mel;
    bool normalize;     /* wav2vec2: zero mean, unit variance */
    bool fusion;        /* clap: four channels */
    bool repeat;        /* clap: a short clip is repeated … */
    bool repeat_to_end; /* … also in part */
    float padding;
};

struct assay_clip {
    const float *samples;
    int64_t n;
};

/* What a model takes; empty tensors where the kind has none. */
struct assay_audio_batch {
    struct assay_tensor features;  /* input_features: whisper f32[n, mels, frames], clap f32[n, 1 or 4, frames, mels];
                                      input_values: wav2vec2 f32[n, longest] */
    struct assay_tensor mask;      /* whisper i64[n, frames], wav2vec2 i64[n, longest] */
    struct assay_tensor is_longer; /* clap: bool[n, 1] */
};

/* From preprocessor_config.json. ASSAY_UNSUPPORTED names the extractor or field that is not understood. */
enum assay_status assay_audio_processor_read(struct assay_audio_processor *processor, const json_t *config,
                                             struct assay_error *err);

/* The parts of a longer clip that clap takes at random come from `seed`. */
enum assay_status assay_audio_process(const struct assay_audio_processor *processor, const struct assay_clip *clips, int64_t n,
                                      uint64_t seed, struct assay_audio_batch *batch, struct assay_error *err);
void assay_audio_batch_release(struct assay_audio_batch *batch);

/* A sound file (WAV and what else libsndfile decodes) as f32[samples], its channels averaged. ASSAY_INVALID: no such file. */
enum assay_status assay_audio_open(const char *path, struct assay_tensor *samples, int64_t *rate, struct assay_error *err);

#endif
