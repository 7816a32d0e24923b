/* SPDX-License-Identifier: Apache-2.0 */
/* Mel-frequency cepstral coefficients (mfcc.h). */
#include "data/mfcc.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

const struct assay_mfcc_options assay_mfcc_keywords = {
    .rate = 16000, .window = 640, .hop = 320, .n_fft = 1024, .n_mels = 40, .n_coefficients = 10, .low = 20, .high = 4000};

static double mel_of(double hertz) { return 1127.0 * log(1.0 + hertz / 700.0); }

static void fill_tables(struct assay_mfcc *mfcc)
{
    const struct assay_mfcc_options *o = &mfcc->options;
    int64_t n_bins = o->n_fft / 2 + 1;
    for (int64_t i = 0; i < o->window; i++)
        mfcc->window[i] = 0.5 - 0.5 * cos(2 * pi * (double)i / (double)o->window);
    double low = mel_of(o->low), step = (mel_of(o->high) - low) / (double)(o->n_mels + 1);
    for (int64_t m = 0; m < o->n_mels; m++)
        for (int64_t bin = 0; bin < n_bins; bin++) {
            double place = (mel_of((double)(bin * o->rate) / (double)o->n_fft) - low) / step - (double)m;
            double weight = fmin(place, 2 - place);
            mfcc->filters[m * n_bins + bin] = bin > 0 && weight > 0 ? weight : 0;
        }
    for (int64_t k = 0; k < o->n_coefficients; k++)
        for (int64_t m = 0; m < o->n_mels; m++)
            mfcc->cosines[k * o->n_mels + m] =
                sqrt(2.0 / (double)o->n_mels) * cos(pi * (double)k * ((double)m + 0.5) / (double)o->n_mels);
}

enum assay_status assay_mfcc_init(struct assay_mfcc *mfcc, const struct assay_mfcc_options *options, struct assay_error *err)
{
    const struct assay_mfcc_options *o = options;
    *mfcc = (struct assay_mfcc){.options = *o};
    if (o->n_fft < 2 || o->n_fft > 65536 || o->n_fft % 2 || o->window < 1 || o->window > o->n_fft || o->hop < 1 || o->rate < 1 ||
        o->n_mels < 1 || o->n_mels > 1024 || o->n_coefficients < 1 || o->n_coefficients > o->n_mels || !(o->low >= 0) ||
        !(o->high > o->low) || !isfinite(o->high))
        return assay_error_set(err, ASSAY_INVALID,
                               "%lld coefficients of %lld mels from %g to %g Hz, of windows of %lld samples "
                               "every %lld, cannot be made with a Fourier transform of %lld",
                               (long long)o->n_coefficients, (long long)o->n_mels, o->low, o->high, (long long)o->window,
                               (long long)o->hop, (long long)o->n_fft);
    int64_t n_bins = o->n_fft / 2 + 1, n_filters = o->n_mels * n_bins, n_cosines = o->n_coefficients * o->n_mels;
    int64_t n = o->window + n_filters + n_cosines + 2 * o->n_fft + o->n_mels;
    struct assay_type type = assay_type_make(ASSAY_F64, 1, &n);
    enum assay_status st = assay_tensor_alloc(&mfcc->memory, &type, err);
    if (!st)
        st = assay_fourier_init(&mfcc->fourier, o->n_fft, err);
    if (st) {
        assay_tensor_release(&mfcc->memory);
        return st;
    }
    mfcc->window = mfcc->memory.data;
    mfcc->filters = mfcc->window + o->window;
    mfcc->cosines = mfcc->filters + n_filters;
    mfcc->line = mfcc->cosines + n_cosines;
    mfcc->mels = mfcc->line + 2 * o->n_fft;
    fill_tables(mfcc);
    return ASSAY_OK;
}

void assay_mfcc_release(struct assay_mfcc *mfcc)
{
    if (!mfcc || !mfcc->memory.data)
        return;
    assay_fourier_release(&mfcc->fourier);
    assay_tensor_release(&mfcc->memory);
}

int64_t assay_mfcc_frames(const struct assay_mfcc_options *options, int64_t n)
{
    return n < options->window ? 0 : 1 + (n - options->window) / options->hop;
}

/* From magnitudes, which stand at every second place of the line. */
static void coefficients(struct assay_mfcc *mfcc, const double *magnitudes, float *to)
{
    const struct assay_mfcc_options *o = &mfcc->options;
    int64_t n_bins = o->n_fft / 2 + 1;
    for (int64_t m = 0; m < o->n_mels; m++) {
        const double *filter = mfcc->filters + m * n_bins;
        double sum = 0;
        for (int64_t bin = 0; bin < n_bins; bin++)
            sum += filter[bin] * magnitudes[2 * bin];
        mfcc->mels[m] = log(sum + 1e-6);
    }
    for (int64_t k = 0; k < o->n_coefficients; k++) {
        double sum = 0;
        for (int64_t m = 0; m < o->n_mels; m++)
            sum += mfcc->cosines[k * o->n_mels + m] * mfcc->mels[m];
        to[k] = (float)sum;
    }
}

/* Two frames are the real and the imaginary part of one transform Z: their own are (Z[k] + conj Z[-k])/2 and (Z[k] - conj
 * Z[-k])/2i. */
void assay_mfcc_run(struct assay_mfcc *mfcc, const float *samples, int64_t n, float *to)
{
    const struct assay_mfcc_options *o = &mfcc->options;
    int64_t n_frames = assay_mfcc_frames(o, n);
    double *line = mfcc->line;
    for (int64_t frame = 0; frame < n_frames; frame += 2) {
        const float *first = samples + frame * o->hop;
        bool has_second = frame + 1 < n_frames;
        for (int64_t i = 0; i < o->n_fft; i++) {
            bool is_inside = i < o->window;
            line[2 * i] = is_inside ? mfcc->window[i] * (double)first[i] : 0;
            line[2 * i + 1] = is_inside && has_second ? mfcc->window[i] * (double)first[i + o->hop] : 0;
        }
        assay_fourier_run(&mfcc->fourier, line, false);
        for (int64_t bin = 0; bin <= o->n_fft / 2; bin++) {
            int64_t mirror = (o->n_fft - bin) % o->n_fft;
            double real = line[2 * bin], imaginary = line[2 * bin + 1];
            double mirror_real = line[2 * mirror], mirror_imaginary = line[2 * mirror + 1];
            line[2 * bin] = 0.5 * sqrt((real + mirror_real) * (real + mirror_real) +
                                       (imaginary - mirror_imaginary) * (imaginary - mirror_imaginary));
            line[2 * bin + 1] = 0.5 * sqrt((imaginary + mirror_imaginary) * (imaginary + mirror_imaginary) +
                                           (real - mirror_real) * (real - mirror_real));
        }
        coefficients(mfcc, line, to + frame * o->n_coefficients);
        if (has_second)
            coefficients(mfcc, line + 1, to + (frame + 1) * o->n_coefficients);
    }
}
