/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mel-frequency cepstral coefficients as keyword spotting uses them (Zhang et al., "Hello Edge", 2017; MLPerf Tiny), with the
 * formulas of tf.signal: a periodic Hann window, the magnitude of the Fourier transform, triangles on a mel scale of
 * 1127 ln(1 + f/700) without the bin of 0 Hz, ln(x + 1e-6), and a cosine transform (DCT-II times √(2/mels)). Unlike mel.h, frames
 * begin at the first sample, none is reflected, and the triangles are straight in mel, not in Hz.
 * Threads: one struct, one thread at a time.
 */
#ifndef ASSAY_DATA_MFCC_H
#define ASSAY_DATA_MFCC_H

#include "graph/ops/fourier.h"

struct assay_mfcc_options {
    int64_t rate;                   /* Hz */
    int64_t window, hop;            /* samples */
    int64_t n_fft;                  /* even, at least the window, at most 2^16 */
    int64_t n_mels, n_coefficients; /* 1 ≤ coefficients ≤ mels ≤ 1024 */
    double low, high;               /* Hz */
};

/* 16 kHz, 40 ms every 20 ms, 40 mels from 20 to 4000 Hz, 10 coefficients: a second is f32[49, 10], the input of DS-CNN. */
extern const struct assay_mfcc_options assay_mfcc_keywords;

struct assay_mfcc {
    struct assay_mfcc_options options;
    struct assay_fourier fourier;
    struct assay_tensor memory;
    double *window, *filters, *cosines, *line, *mels; /* in memory */
};

enum assay_status assay_mfcc_init(struct assay_mfcc *mfcc, const struct assay_mfcc_options *options, struct assay_error *err);
void assay_mfcc_release(struct assay_mfcc *mfcc);

/* 0 where n samples are less than a window. */
int64_t assay_mfcc_frames(const struct assay_mfcc_options *options, int64_t n);
/* Writes f32[frames, coefficients]. */
void assay_mfcc_run(struct assay_mfcc *mfcc, const float *samples, int64_t n, float *to);

#endif
