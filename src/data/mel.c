/* SPDX-License-Identifier: Apache-2.0 */
/* Mel filters and log-mel spectrograms (mel.h). */
#include "data/mel.h"

#include "graph/ops/fourier.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/* Slaney's scale: 3 mel per 200 Hz up to 1 kHz (15 mel), then 27 mel for each factor of 6.4. */
static double to_mel(enum assay_mel_scale scale, double hertz)
{
    if (scale == ASSAY_MEL_HTK)
        return 2595.0 * log10(1.0 + hertz / 700.0);
    return hertz < 1000.0 ? 3.0 * hertz / 200.0 : 15.0 + log(hertz / 1000.0) * 27.0 / log(6.4);
}

static double to_hertz(enum assay_mel_scale scale, double mel)
{
    if (scale == ASSAY_MEL_HTK)
        return 700.0 * (pow(10.0, mel / 2595.0) - 1.0);
    return mel < 15.0 ? 200.0 * mel / 3.0 : 1000.0 * exp(log(6.4) / 27.0 * (mel - 15.0));
}

static enum assay_status check(const struct assay_mel *mel, struct assay_error *err)
{
    if (mel->n_mels < 1 || mel->n_mels > 4096)
        return assay_error_set(err, ASSAY_INVALID, "%lld mel filters are asked for; 1 to 4096 can be made",
                               (long long)mel->n_mels);
    if (mel->n_fft < 2 || mel->n_fft > 65536)
        return assay_error_set(err, ASSAY_INVALID, "a window of %lld samples is asked for; 2 to 65536 can be transformed",
                               (long long)mel->n_fft);
    if (mel->hop < 1)
        return assay_error_set(err, ASSAY_INVALID, "a hop of %lld samples between windows; it must be at least 1",
                               (long long)mel->hop);
    if (mel->rate < 2 || !(mel->low >= 0) || !(mel->high > mel->low) || !isfinite(mel->high))
        return assay_error_set(err, ASSAY_INVALID, "mel filters from %g to %g Hz at %lld samples a second are no range", mel->low,
                               mel->high, (long long)mel->rate);
    return ASSAY_OK;
}

static double edge(const struct assay_mel *mel, int64_t i)
{
    double low = to_mel(mel->scale, mel->low), high = to_mel(mel->scale, mel->high);
    return to_hertz(mel->scale, low + (high - low) * (double)i / (double)(mel->n_mels + 1));
}

enum assay_status assay_mel_filters(const struct assay_mel *mel, struct assay_tensor *filters, struct assay_error *err)
{
    enum assay_status st = check(mel, err);
    if (st)
        return st;
    int64_t n_bins = mel->n_fft / 2 + 1;
    struct assay_type type = assay_type_make(ASSAY_F64, 2, (const int64_t[]){n_bins, mel->n_mels});
    st = assay_tensor_alloc(filters, &type, err);
    if (st)
        return st;
    double *to = filters->data;
    for (int64_t m = 0; m < mel->n_mels; m++) {
        double left = edge(mel, m), middle = edge(mel, m + 1), right = edge(mel, m + 2);
        double height = mel->scale == ASSAY_MEL_SLANEY ? 2.0 / (right - left) : 1.0;
        for (int64_t bin = 0; bin < n_bins; bin++) {
            double hertz = (double)(mel->rate / 2) * (double)bin / (double)(n_bins - 1);
            double up = (hertz - left) / (middle - left), down = (right - hertz) / (right - middle);
            double weight = fmin(up, down);
            to[bin * mel->n_mels + m] = weight > 0 ? weight * height : 0;
        }
    }
    return ASSAY_OK;
}

int64_t assay_mel_frames(const struct assay_mel *mel, int64_t n)
{
    /* The reflection adds n_fft / 2 at both ends; a window of odd length fits in with one sample to spare. */
    return 1 + (n + mel->n_fft / 2 * 2 - mel->n_fft) / mel->hop;
}

/* The index into n samples of one that lies outside, reflected at the first and last sample, as often as needed. */
static int64_t reflect(int64_t i, int64_t n)
{
    if (n == 1)
        return 0;
    int64_t period = 2 * (n - 1);
    i %= period;
    if (i < 0)
        i += period;
    return i < n ? i : period - i;
}

/* |Fourier transform of the window at `start`|², with the transform rounded to float as the extractors keep it. */
static void power(const struct assay_mel *mel, struct assay_fourier *fourier, const float *samples, int64_t n, int64_t start,
                  const double *window, double *line, double *to)
{
    for (int64_t i = 0; i < mel->n_fft; i++) {
        line[2 * i] = window[i] * (double)samples[reflect(start + i, n)];
        line[2 * i + 1] = 0;
    }
    assay_fourier_run(fourier, line, false);
    for (int64_t bin = 0; bin <= mel->n_fft / 2; bin++) {
        double real = (float)line[2 * bin], imaginary = (float)line[2 * bin + 1];
        to[bin] = real * real + imaginary * imaginary;
    }
}

static void filter(const struct assay_mel *mel, const double *powers, const double *filters, double *to)
{
    memset(to, 0, (size_t)mel->n_mels * sizeof *to);
    for (int64_t bin = 0; bin <= mel->n_fft / 2; bin++)
        for (int64_t m = 0; m < mel->n_mels; m++)
            to[m] += powers[bin] * filters[bin * mel->n_mels + m];
    for (int64_t m = 0; m < mel->n_mels; m++)
        to[m] = log10(fmax(to[m], 1e-10));
}

enum assay_status assay_mel_log10(const struct assay_mel *mel, const float *samples, int64_t n, struct assay_tensor *spectrogram,
                                  struct assay_error *err)
{
    struct assay_tensor filters = {0}, work = {0};
    struct assay_fourier fourier;
    *spectrogram = (struct assay_tensor){0};
    if (n < 1)
        return assay_error_set(err, ASSAY_INVALID, "a spectrogram needs at least one sample; there is none");
    enum assay_status st = assay_mel_filters(mel, &filters, err);
    if (st)
        return st;
    int64_t n_fft = mel->n_fft, n_frames = assay_mel_frames(mel, n);
    st = assay_fourier_init(&fourier, n_fft, err);
    if (st)
        goto no_fourier;
    struct assay_type work_type = assay_type_make(ASSAY_F64, 1, (const int64_t[]){4 * n_fft + 1});
    struct assay_type type = assay_type_make(ASSAY_F64, 2, (const int64_t[]){n_frames, mel->n_mels});
    st = assay_tensor_alloc(&work, &work_type, err);
    if (!st)
        st = assay_tensor_alloc(spectrogram, &type, err);
    if (st)
        goto done;
    double *window = work.data, *line = window + n_fft, *powers = line + 2 * n_fft;
    for (int64_t i = 0; i < n_fft; i++)
        window[i] = 0.5 - 0.5 * cos(2 * pi * (double)i / (double)n_fft);
    for (int64_t frame = 0; frame < n_frames; frame++) {
        power(mel, &fourier, samples, n, frame * mel->hop - n_fft / 2, window, line, powers);
        filter(mel, powers, filters.data, (double *)spectrogram->data + frame * mel->n_mels);
    }
done:
    assay_fourier_release(&fourier);
no_fourier:
    assay_tensor_release(&work);
    assay_tensor_release(&filters);
    return st;
}
