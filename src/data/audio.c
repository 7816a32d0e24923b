/* SPDX-License-Identifier: Apache-2.0 */
/* The feature extractors of whisper, wav2vec2 and clap (audio.h). */
#include "data/audio.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

/* The longest clip that a config may ask for: an hour and more at 48 kHz. */
enum { MAX_SAMPLES = 1 << 28 };

struct field {
    const char *name;
    int64_t otherwise, low, high;
    int64_t *value;
};

static enum assay_status read_ints(const json_t *config, const struct field *fields, size_t n, struct assay_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct field *f = &fields[i];
        enum assay_status st = assay_json_int(config, f->name, f->otherwise, f->value, err);
        if (st)
            return st;
        if (*f->value < f->low || *f->value > f->high)
            return assay_error_set(err, ASSAY_INVALID, "%s is %lld; it must lie in %lld … %lld", f->name, (long long)*f->value,
                                   (long long)f->low, (long long)f->high);
    }
    return ASSAY_OK;
}

static enum assay_status read_whisper(struct assay_audio_processor *p, const json_t *config, struct assay_error *err)
{
    int64_t seconds = 0;
    const struct field fields[] = {
        {"sampling_rate", 16000, 2, 1 << 20, &p->rate}, {"feature_size", 80, 1, 4096, &p->mel.n_mels},
        {"n_fft", 400, 2, 65536, &p->mel.n_fft},        {"hop_length", 160, 1, 1 << 20, &p->mel.hop},
        {"chunk_length", 30, 1, 1 << 20, &seconds},
    };
    enum assay_status st = read_ints(config, fields, ASSAY_COUNT(fields), err);
    if (st)
        return st;
    p->max_samples = seconds * p->rate;
    p->mel.rate = p->rate;
    p->mel.high = 8000;
    p->mel.scale = ASSAY_MEL_SLANEY;
    /* do_normalize, which is false by default, makes each clip zero mean and unit variance first. */
    return assay_json_bool(config, "do_normalize", false, &p->normalize, err);
}

static enum assay_status read_clap(struct assay_audio_processor *p, const json_t *config, struct assay_error *err)
{
    int64_t seconds = 0;
    const struct field fields[] = {
        {"sampling_rate", 48000, 2, 1 << 20, &p->rate},     {"feature_size", 64, 1, 4096, &p->mel.n_mels},
        {"fft_window_size", 1024, 2, 65536, &p->mel.n_fft}, {"hop_length", 480, 1, 1 << 20, &p->mel.hop},
        {"max_length_s", 10, 1, 1 << 20, &seconds},
    };
    const char *truncation = NULL, *padding = NULL;
    enum assay_status st = read_ints(config, fields, ASSAY_COUNT(fields), err);
    if (!st)
        st = assay_json_real(config, "frequency_min", 0, &p->mel.low, err);
    if (!st)
        st = assay_json_real(config, "frequency_max", 14000, &p->mel.high, err);
    if (!st)
        st = assay_json_text(config, "truncation", "fusion", &truncation, err);
    if (!st)
        st = assay_json_text(config, "padding", "repeatpad", &padding, err);
    if (st)
        return st;
    p->fusion = strcmp(truncation, "fusion") == 0;
    if (!p->fusion && strcmp(truncation, "rand_trunc") != 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "truncation \"%s\" is not known; \"fusion\" and \"rand_trunc\" are",
                               truncation);
    p->repeat_to_end = strcmp(padding, "repeat") == 0;
    p->repeat = p->repeat_to_end || strcmp(padding, "repeatpad") == 0;
    if (!p->repeat && strcmp(padding, "pad") != 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "padding \"%s\" is not known; \"repeatpad\", \"repeat\" and \"pad\" are",
                               padding);
    p->max_samples = seconds * p->rate;
    p->mel.rate = p->rate;
    p->mel.scale = p->fusion ? ASSAY_MEL_HTK : ASSAY_MEL_SLANEY;
    return ASSAY_OK;
}

static enum assay_status read_wav2vec2(struct assay_audio_processor *p, const json_t *config, struct assay_error *err)
{
    int64_t n_channels = 0;
    const struct field fields[] = {{"sampling_rate", 16000, 2, 1 << 20, &p->rate}, {"feature_size", 1, 1, 1, &n_channels}};
    enum assay_status st = read_ints(config, fields, ASSAY_COUNT(fields), err);
    return st ? st : assay_json_bool(config, "do_normalize", true, &p->normalize, err);
}

enum assay_status assay_audio_processor_read(struct assay_audio_processor *processor, const json_t *config,
                                             struct assay_error *err)
{
    static const struct {
        const char *name;
        enum assay_audio_kind kind;
        enum assay_status (*read)(struct assay_audio_processor *p, const json_t *config, struct assay_error *err);
    } kinds[] = {{"WhisperFeatureExtractor", ASSAY_AUDIO_WHISPER, read_whisper},
                 {"Wav2Vec2FeatureExtractor", ASSAY_AUDIO_WAV2VEC2, read_wav2vec2},
                 {"ClapFeatureExtractor", ASSAY_AUDIO_CLAP, read_clap}};
    const char *name = NULL, *side = NULL;
    double padding = 0;
    *processor = (struct assay_audio_processor){0};
    enum assay_status st = assay_json_text(config, "feature_extractor_type", "", &name, err);
    if (!st)
        st = assay_json_text(config, "padding_side", "right", &side, err);
    if (!st)
        st = assay_json_real(config, "padding_value", 0, &padding, err);
    if (st)
        return st;
    if (strcmp(side, "right") != 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "padding_side \"%s\" is not known; \"right\" is", side);
    processor->padding = (float)padding;
    for (size_t i = 0; i < ASSAY_COUNT(kinds); i++) {
        if (strcmp(kinds[i].name, name) != 0)
            continue;
        processor->kind = kinds[i].kind;
        st = kinds[i].read(processor, config, err);
        if (!st && processor->max_samples > MAX_SAMPLES)
            st = assay_error_set(err, ASSAY_INVALID, "clips of %lld samples are asked for; %d is the most",
                                 (long long)processor->max_samples, MAX_SAMPLES);
        return st;
    }
    return assay_error_set(err, ASSAY_UNSUPPORTED,
                           "feature_extractor_type \"%s\" is not known; those of whisper, wav2vec2 and clap are", name);
}

/* Zero mean and unit variance, with the extractors' 1e-7 under the root. */
static void normalize(const float *from, int64_t n, float *to)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++)
        sum += from[i];
    double mean = n ? sum / (double)n : 0;
    for (int64_t i = 0; i < n; i++)
        squares += (from[i] - mean) * (from[i] - mean);
    double scale = 1 / sqrt((n ? squares / (double)n : 0) + 1e-7);
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)((from[i] - mean) * scale);
}

static enum assay_status alloc(struct assay_tensor *tensor, enum assay_dtype dtype, int rank, const int64_t *dims,
                               struct assay_error *err)
{
    struct assay_type type = assay_type_make(dtype, rank, dims);
    return assay_tensor_alloc(tensor, &type, err);
}

static enum assay_status wav2vec2(const struct assay_audio_processor *p, const struct assay_clip *clips, int64_t n,
                                  struct assay_audio_batch *batch, struct assay_error *err)
{
    int64_t longest = 0;
    for (int64_t i = 0; i < n; i++)
        longest = clips[i].n > longest ? clips[i].n : longest;
    enum assay_status st = alloc(&batch->features, ASSAY_F32, 2, (const int64_t[]){n, longest}, err);
    if (!st)
        st = alloc(&batch->mask, ASSAY_I64, 2, (const int64_t[]){n, longest}, err);
    if (st)
        return st;
    for (int64_t i = 0; i < n; i++) {
        float *to = (float *)batch->features.data + i * longest;
        int64_t *mask = (int64_t *)batch->mask.data + i * longest;
        if (p->normalize)
            normalize(clips[i].samples, clips[i].n, to);
        else
            memcpy(to, clips[i].samples, (size_t)clips[i].n * sizeof *to);
        for (int64_t s = 0; s < longest; s++) {
            mask[s] = s < clips[i].n;
            if (!mask[s])
                to[s] = p->padding;
        }
    }
    return ASSAY_OK;
}

/* log10 mel, nothing more than 8 below the clip's largest, then (x + 4) / 4; mels before frames, the last frame left out. */
static void whisper_scale(const struct assay_tensor *mel, int64_t n_frames, int64_t n_mels, float *to)
{
    const double *from = mel->data;
    double largest = -HUGE_VAL;
    for (int64_t i = 0; i < n_frames * n_mels; i++)
        largest = fmax(largest, from[i]);
    for (int64_t m = 0; m < n_mels; m++)
        for (int64_t frame = 0; frame < n_frames; frame++)
            to[m * n_frames + frame] = (float)((fmax(from[frame * n_mels + m], largest - 8.0) + 4.0) / 4.0);
}

static enum assay_status whisper(const struct assay_audio_processor *p, const struct assay_clip *clips, int64_t n,
                                 struct assay_audio_batch *batch, struct assay_error *err)
{
    struct assay_tensor work = {0}, mel = {0};
    int64_t n_frames = assay_mel_frames(&p->mel, p->max_samples) - 1, n_mels = p->mel.n_mels;
    int64_t n_mask = (p->max_samples + p->mel.hop - 1) / p->mel.hop;
    enum assay_status st = alloc(&batch->features, ASSAY_F32, 3, (const int64_t[]){n, n_mels, n_frames}, err);
    if (!st)
        st = alloc(&batch->mask, ASSAY_I64, 2, (const int64_t[]){n, n_mask}, err);
    if (!st)
        st = alloc(&work, ASSAY_F32, 1, &p->max_samples, err);
    for (int64_t i = 0; !st && i < n; i++) {
        float *samples = work.data;
        int64_t length = clips[i].n < p->max_samples ? clips[i].n : p->max_samples;
        for (int64_t s = 0; s < p->max_samples; s++)
            samples[s] = s < length ? clips[i].samples[s] : p->padding;
        if (p->normalize)
            normalize(samples, length, samples);
        for (int64_t frame = 0; frame < n_mask; frame++)
            ((int64_t *)batch->mask.data)[i * n_mask + frame] = frame * p->mel.hop < length;
        st = assay_mel_log10(&p->mel, samples, p->max_samples, &mel, err);
        if (!st)
            whisper_scale(&mel, n_frames, n_mels, (float *)batch->features.data + i * n_mels * n_frames);
        assay_tensor_release(&mel);
    }
    assay_tensor_release(&work);
    return st;
}

/* A short clip: repeated as often as it fits (or to the end), then zeros. */
static void clap_pad(const struct assay_audio_processor *p, const struct assay_clip *clip, float *to)
{
    int64_t filled = clip->n;
    if (p->repeat)
        filled = p->repeat_to_end ? p->max_samples : p->max_samples / clip->n * clip->n;
    for (int64_t i = 0; i < p->max_samples; i++)
        to[i] = i < filled ? clip->samples[i % clip->n] : 0;
}

/* rows of decibels from frame `first` on. */
static void clap_chunk(const struct assay_tensor *mel, int64_t first, int64_t n_frames, int64_t n_mels, float *to)
{
    const double *from = (const double *)mel->data + first * n_mels;
    for (int64_t i = 0; i < n_frames * n_mels; i++)
        to[i] = (float)(10 * from[i]);
}

/* All frames of a longer clip in n_frames rows: linear between frames, centres aligned, as PyTorch's interpolate. */
static void clap_shrink(const struct assay_tensor *mel, int64_t n_frames, int64_t n_mels, float *to)
{
    const double *from = mel->data;
    int64_t n_all = mel->type.dims[0];
    for (int64_t frame = 0; frame < n_frames; frame++) {
        double at = fmax(((double)frame + 0.5) * (double)n_all / (double)n_frames - 0.5, 0);
        int64_t a = (int64_t)at < n_all - 1 ? (int64_t)at : n_all - 1, b = a + 1 < n_all ? a + 1 : a;
        double part = at - (double)a;
        for (int64_t m = 0; m < n_mels; m++)
            to[frame * n_mels + m] = (float)(10 * ((1 - part) * from[a * n_mels + m] + part * from[b * n_mels + m]));
    }
}

/* The four channels of a longer clip: the whole shrunk, and a chunk from each third, each beginning where chance has it. */
static void clap_fuse(const struct assay_tensor *mel, int64_t n_frames, int64_t n_mels, struct assay_rng *rng, float *to)
{
    int64_t n_starts = mel->type.dims[0] - n_frames + 1, first = 0;
    clap_shrink(mel, n_frames, n_mels, to);
    for (int64_t third = 0; third < 3; third++) {
        /* The starts are dealt as numpy's array_split does: the first thirds take what is left over. */
        int64_t size = n_starts / 3 + (third < n_starts % 3);
        int64_t start = size > 0 ? first + (int64_t)assay_rng_below(rng, (uint64_t)size) : 0;
        clap_chunk(mel, start, n_frames, n_mels, to + (third + 1) * n_frames * n_mels);
        first += size;
    }
}

static enum assay_status clap_clip(const struct assay_audio_processor *p, const struct assay_clip *clip, float *work,
                                   struct assay_rng *rng, float *to, bool *longer, struct assay_error *err)
{
    struct assay_tensor mel = {0};
    int64_t n_frames = assay_mel_frames(&p->mel, p->max_samples), n_mels = p->mel.n_mels, n = p->max_samples;
    const float *samples = work;
    *longer = clip->n > n;
    if (clip->n > n && p->fusion) {
        samples = clip->samples;
        n = clip->n;
    } else if (clip->n > n) {
        samples = clip->samples + assay_rng_below(rng, (uint64_t)(clip->n - n + 1));
    } else {
        clap_pad(p, clip, work);
    }
    enum assay_status st = assay_mel_log10(&p->mel, samples, n, &mel, err);
    if (st)
        return st;
    if (mel.type.dims[0] > n_frames) {
        clap_fuse(&mel, n_frames, n_mels, rng, to);
    } else {
        *longer = *longer && !p->fusion;
        for (int channel = 0; channel < (p->fusion ? 4 : 1); channel++)
            clap_chunk(&mel, 0, n_frames, n_mels, to + channel * n_frames * n_mels);
    }
    assay_tensor_release(&mel);
    return ASSAY_OK;
}

static enum assay_status clap(const struct assay_audio_processor *p, const struct assay_clip *clips, int64_t n, uint64_t seed,
                              struct assay_audio_batch *batch, struct assay_error *err)
{
    struct assay_tensor work = {0};
    struct assay_rng rng;
    int64_t n_channels = p->fusion ? 4 : 1, n_frames = assay_mel_frames(&p->mel, p->max_samples), n_mels = p->mel.n_mels;
    enum assay_status st = alloc(&batch->features, ASSAY_F32, 4, (const int64_t[]){n, n_channels, n_frames, n_mels}, err);
    if (!st)
        st = alloc(&batch->is_longer, ASSAY_BOOL, 2, (const int64_t[]){n, 1}, err);
    if (!st)
        st = alloc(&work, ASSAY_F32, 1, &p->max_samples, err);
    if (st)
        goto done;
    assay_rng_init(&rng, seed, assay_rng_stream("clap"));
    bool *longer = batch->is_longer.data, any = false;
    for (int64_t i = 0; !st && i < n; i++) {
        float *to = (float *)batch->features.data + i * n_channels * n_frames * n_mels;
        st = clap_clip(p, &clips[i], work.data, &rng, to, &longer[i], err);
        any = any || longer[i];
    }
    /* The fusing layers want at least one longer clip in a batch; the extractor declares one, taken at random. */
    if (!st && p->fusion && !any)
        longer[assay_rng_below(&rng, (uint64_t)n)] = true;
done:
    assay_tensor_release(&work);
    return st;
}

enum assay_status assay_audio_process(const struct assay_audio_processor *processor, const struct assay_clip *clips, int64_t n,
                                      uint64_t seed, struct assay_audio_batch *batch, struct assay_error *err)
{
    *batch = (struct assay_audio_batch){0};
    if (n < 1)
        return assay_error_set(err, ASSAY_INVALID, "there is no clip to process");
    for (int64_t i = 0; i < n; i++)
        if (clips[i].n < 1)
            return assay_error_set(err, ASSAY_INVALID, "clip %lld has no samples", (long long)i);
    enum assay_status st = ASSAY_OK;
    switch (processor->kind) {
    case ASSAY_AUDIO_WHISPER:
        st = whisper(processor, clips, n, batch, err);
        break;
    case ASSAY_AUDIO_WAV2VEC2:
        st = wav2vec2(processor, clips, n, batch, err);
        break;
    case ASSAY_AUDIO_CLAP:
        st = clap(processor, clips, n, seed, batch, err);
        break;
    }
    if (st)
        assay_audio_batch_release(batch);
    return st;
}

void assay_audio_batch_release(struct assay_audio_batch *batch)
{
    assay_tensor_release(&batch->features);
    assay_tensor_release(&batch->mask);
    assay_tensor_release(&batch->is_longer);
}
