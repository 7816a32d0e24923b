/* SPDX-License-Identifier: Apache-2.0 */
#include "data/mfcc.h"

#include "base/rng.h"
#include "base/test.h"

static struct assay_error err;

/* One coefficient by the definitions, sum by sum: the Fourier transform at each frequency, each triangle by its two slopes
 * between its edges in mel, the cosine transform. */
static double by_definition(const struct assay_mfcc_options *o, const float *frame, int64_t k)
{
    const double pi = 3.14159265358979323846;
    double low = 1127 * log(1 + o->low / 700), high = 1127 * log(1 + o->high / 700), sum = 0;
    for (int64_t m = 0; m < o->n_mels; m++) {
        double left = low + (high - low) * (double)m / (double)(o->n_mels + 1);
        double middle = low + (high - low) * (double)(m + 1) / (double)(o->n_mels + 1);
        double right = low + (high - low) * (double)(m + 2) / (double)(o->n_mels + 1), energy = 0;
        for (int64_t bin = 1; bin <= o->n_fft / 2; bin++) {
            double mel = 1127 * log(1 + (double)bin * (double)o->rate / (double)o->n_fft / 700), re = 0, im = 0;
            if (mel <= left || mel >= right)
                continue;
            for (int64_t i = 0; i < o->window; i++) {
                double hann = pow(sin(pi * (double)i / (double)o->window), 2), x = hann * (double)frame[i];
                re += x * cos(2 * pi * (double)(bin * i % o->n_fft) / (double)o->n_fft);
                im -= x * sin(2 * pi * (double)(bin * i % o->n_fft) / (double)o->n_fft);
            }
            energy += hypot(re, im) * (mel < middle ? (mel - left) / (middle - left) : (right - mel) / (right - middle));
        }
        sum += log(energy + 1e-6) * 2 * cos(pi * (double)k * (2 * (double)m + 1) / (2 * (double)o->n_mels));
    }
    return sum / sqrt(2.0 * (double)o->n_mels);
}

ASSAY_TEST(coefficients_are_those_of_the_definitions)
{
    struct assay_mfcc_options o = {
        .rate = 8000, .window = 100, .hop = 50, .n_fft = 128, .n_mels = 12, .n_coefficients = 7, .low = 20, .high = 4000};
    struct assay_mfcc mfcc;
    struct assay_rng rng;
    float samples[330], got[5 * 7];
    assay_rng_init(&rng, 11, 0);
    for (int i = 0; i < 330; i++)
        samples[i] = (float)(0.3 * assay_rng_normal(&rng) + 0.5 * sin(i * 0.4));
    CHECK_INT(assay_mfcc_frames(&o, 330), 5);
    CHECK_INT(assay_mfcc_frames(&o, 100), 1);
    CHECK_INT(assay_mfcc_frames(&o, 99), 0);
    CHECK_OK(assay_mfcc_init(&mfcc, &o, &err), err);
    assay_mfcc_run(&mfcc, samples, 330, got);
    /* All in double but the result: a float's rounding. */
    for (int64_t frame = 0; frame < 5; frame++)
        for (int64_t k = 0; k < 7; k++)
            CHECK_NEAR((double)got[frame * 7 + k], by_definition(&o, samples + frame * 50, k), 2e-6);
    assay_mfcc_release(&mfcc);
}

ASSAY_TEST(a_second_has_49_frames_and_silence_is_flat)
{
    struct assay_mfcc mfcc;
    static float silence[16000], got[490];
    CHECK_INT(assay_mfcc_frames(&assay_mfcc_keywords, 16000), 49);
    CHECK_OK(assay_mfcc_init(&mfcc, &assay_mfcc_keywords, &err), err);
    assay_mfcc_run(&mfcc, silence, 16000, got);
    /* Each mel is ln 1e-6, so the first coefficient is √(2·40) ln 1e-6 and the others are 0. */
    for (int i = 0; i < 490; i++)
        CHECK_NEAR((double)got[i], i % 10 ? 0 : sqrt(80) * log(1e-6), 1e-5);
    assay_mfcc_release(&mfcc);
}

ASSAY_TEST(options_that_make_no_sense_are_refused)
{
    struct assay_mfcc mfcc;
    struct assay_mfcc_options o = assay_mfcc_keywords;
    o.n_fft = 512;
    CHECK_INT(assay_mfcc_init(&mfcc, &o, &err), ASSAY_INVALID);
    o = assay_mfcc_keywords;
    o.n_coefficients = 41;
    CHECK_INT(assay_mfcc_init(&mfcc, &o, &err), ASSAY_INVALID);
    o = assay_mfcc_keywords;
    o.high = NAN;
    CHECK_INT(assay_mfcc_init(&mfcc, &o, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "cannot be made");
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(coefficients_are_those_of_the_definitions),
                ASSAY_TEST_ENTRY(a_second_has_49_frames_and_silence_is_flat),
                ASSAY_TEST_ENTRY(options_that_make_no_sense_are_refused))
