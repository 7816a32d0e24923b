/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mel spectrograms as the feature extractors of Hugging Face make them: frames of a window, centred on their samples by
 * reflection at both ends, the power of their Fourier transform, triangular filters on a mel scale, a logarithm.
 */
#ifndef ASSAY_DATA_MEL_H
#define ASSAY_DATA_MEL_H

#include "graph/tensor.h"

enum assay_mel_scale {
    ASSAY_MEL_HTK,   /* 2595 log10(1 + f/700), triangles of height 1 */
    ASSAY_MEL_SLANEY /* linear below 1 kHz, logarithmic above, triangles of area 2 Hz (Slaney's Auditory Toolbox) */
};

struct assay_mel {
    int64_t n_mels;
    int64_t n_fft; /* length of the window and of the transform, 2 … 2^16 */
    int64_t hop;
    int64_t rate;     /* Hz */
    double low, high; /* Hz: the lowest and the highest frequency of the filters */
    enum assay_mel_scale scale;
};

/* Filters f64[n_fft / 2 + 1, n_mels]. ASSAY_INVALID: numbers that make no filters. */
enum assay_status assay_mel_filters(const struct assay_mel *mel, struct assay_tensor *filters, struct assay_error *err);

/* 1 + n / hop. */
int64_t assay_mel_frames(const struct assay_mel *mel, int64_t n);

/* log10 of the mel spectrogram of n ≥ 1 samples, nothing below 1e-10: f64[frames, n_mels]. */
enum assay_status assay_mel_log10(const struct assay_mel *mel, const float *samples, int64_t n, struct assay_tensor *spectrogram,
                                  struct assay_error *err);

#endif
