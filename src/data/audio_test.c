/* SPDX-License-Identifier: Apache-2.0 */
#include "data/audio.h"

#include "data/testing.h"

static struct assay_error err;

/* Decibels and standardised samples are numbers of some tens that come from float sums: 1e-4 absolute. */
static const double tolerance = 1e-4;

static struct assay_audio_processor processor_of(const struct testing_fixture *fixture, const char *name)
{
    struct assay_audio_processor processor;
    CHECK_OK(assay_audio_processor_read(&processor, json_object_get(fixture->config, name), &err), err);
    return processor;
}

static struct assay_clip clip_of(const struct assay_tensor *samples, int64_t limit)
{
    int64_t n = samples->type.dims[0];
    return (struct assay_clip){samples->data, n < limit ? n : limit};
}

ASSAY_TEST(mel_filters_are_those_of_hugging_face)
{
    static const struct {
        const char *name;
        struct assay_mel mel;
    } cases[] = {{"whisper.mel_filters", {80, 400, 160, 16000, 0, 8000, ASSAY_MEL_SLANEY}},
                 {"clap.mel_filters_slaney", {64, 1024, 480, 48000, 50, 14000, ASSAY_MEL_SLANEY}},
                 {"clap.mel_filters_htk", {64, 1024, 480, 48000, 50, 14000, ASSAY_MEL_HTK}}};
    struct testing_fixture fixture;
    testing_fixture_open(&fixture, "preprocess_audio");
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct assay_tensor filters, got;
        CHECK_OK(assay_mel_filters(&cases[i].mel, &filters, &err), err);
        CHECK_OK(assay_tensor_convert(&got, &filters, ASSAY_F32, &err), err);
        testing_expect(&fixture, cases[i].name, &got, 1e-6);
        assay_tensor_release(&filters);
        assay_tensor_release(&got);
    }
    testing_fixture_release(&fixture);
}

ASSAY_TEST(whisper_and_wav2vec2_see_what_their_extractors_give)
{
    struct testing_fixture fixture;
    struct assay_audio_batch batch;
    testing_fixture_open(&fixture, "preprocess_audio");
    struct assay_tensor a = testing_array(&fixture.inputs, "audio16k.0"), b = testing_array(&fixture.inputs, "audio16k.1");
    struct assay_clip clips[] = {clip_of(&a, INT64_MAX), clip_of(&b, INT64_MAX)};
    struct assay_audio_processor processor = processor_of(&fixture, "whisper");
    CHECK_OK(assay_audio_process(&processor, clips, 2, 1, &batch, &err), err);
    testing_expect(&fixture, "whisper.input_features", &batch.features, tolerance);
    testing_expect(&fixture, "whisper.attention_mask", &batch.mask, 0);
    assay_audio_batch_release(&batch);

    struct assay_clip parts[] = {clip_of(&a, 3000), clip_of(&b, 2300)};
    processor = processor_of(&fixture, "wav2vec2");
    CHECK_OK(assay_audio_process(&processor, parts, 2, 1, &batch, &err), err);
    testing_expect(&fixture, "wav2vec2.input_values", &batch.features, tolerance);
    testing_expect(&fixture, "wav2vec2.attention_mask", &batch.mask, 0);
    assay_audio_batch_release(&batch);
    assay_tensor_release(&a);
    assay_tensor_release(&b);
    testing_fixture_release(&fixture);
}

ASSAY_TEST(clap_sees_what_its_extractor_gives)
{
    struct testing_fixture fixture;
    struct assay_audio_batch batch;
    testing_fixture_open(&fixture, "preprocess_audio");
    struct assay_tensor a = testing_array(&fixture.inputs, "audio48k.0"), b = testing_array(&fixture.inputs, "audio48k.1");
    struct assay_clip clips[] = {clip_of(&a, INT64_MAX), clip_of(&b, INT64_MAX)};
    struct assay_audio_processor processor = processor_of(&fixture, "clap");
    CHECK_OK(assay_audio_process(&processor, clips, 2, 1, &batch, &err), err);
    testing_expect(&fixture, "clap.input_features", &batch.features, tolerance);
    testing_expect(&fixture, "clap.is_longer", &batch.is_longer, 0);
    assay_audio_batch_release(&batch);
    processor = processor_of(&fixture, "clap_fusion_short");
    CHECK_OK(assay_audio_process(&processor, clips, 1, 1, &batch, &err), err);
    testing_expect(&fixture, "clap_fusion_short.input_features", &batch.features, tolerance);
    testing_expect(&fixture, "clap_fusion_short.is_longer", &batch.is_longer, 0);
    assay_audio_batch_release(&batch);
    assay_tensor_release(&a);
    assay_tensor_release(&b);
    testing_fixture_release(&fixture);
}

ASSAY_TEST(a_config_that_is_not_understood_is_refused_by_name)
{
    static const struct {
        const char *text, *part;
    } cases[] = {{"{}", "feature_extractor_type"},
                 {"{\"feature_extractor_type\":\"Speech2TextFeatureExtractor\"}", "Speech2TextFeatureExtractor"},
                 {"{\"feature_extractor_type\":\"WhisperFeatureExtractor\",\"hop_length\":0}", "hop_length"},
                 {"{\"feature_extractor_type\":\"WhisperFeatureExtractor\",\"padding_side\":\"left\"}", "padding_side"},
                 {"{\"feature_extractor_type\":\"WhisperFeatureExtractor\",\"chunk_length\":1000000}", "samples"},
                 {"{\"feature_extractor_type\":\"ClapFeatureExtractor\",\"truncation\":\"none\"}", "truncation"}};
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct assay_audio_processor processor;
        json_t *config = json_loads(cases[i].text, 0, NULL);
        CHECK(assay_audio_processor_read(&processor, config, &err) != ASSAY_OK);
        CHECK_CONTAINS(err.message, cases[i].part);
        json_decref(config);
    }
}

/* Channels 1 to 3 are chunks of the long clip's own spectrogram; of a constant tone each is like the shrunk whole. */
ASSAY_TEST(a_long_clip_is_fused_or_cut_for_clap)
{
    enum { N = 4000 };
    static float samples[N];
    struct assay_audio_processor processor = {.kind = ASSAY_AUDIO_CLAP,
                                              .rate = 1000,
                                              .max_samples = 1000,
                                              .fusion = true,
                                              .mel = {8, 100, 50, 1000, 0, 500, ASSAY_MEL_HTK}};
    struct assay_audio_batch batch;
    for (int i = 0; i < N; i++)
        samples[i] = (float)sin(2 * 3.14159265358979 * 0.2 * i);
    struct assay_clip clip = {samples, N};
    CHECK_OK(assay_audio_process(&processor, &clip, 1, 7, &batch, &err), err);
    CHECK_INT(batch.features.type.dims[1], 4);
    CHECK_INT(batch.features.type.dims[2], 21);
    CHECK_INT(((bool *)batch.is_longer.data)[0], 1);
    const float *got = batch.features.data;
    for (int channel = 0; channel < 4; channel++)
        CHECK_NEAR(got[(channel * 21 + 10) * 8 + 4], got[10 * 8 + 4], 1e-3);
    assay_audio_batch_release(&batch);
    processor.fusion = false;
    CHECK_OK(assay_audio_process(&processor, &clip, 1, 7, &batch, &err), err);
    CHECK_INT(batch.features.type.dims[1], 1);
    CHECK_INT(((bool *)batch.is_longer.data)[0], 1);
    assay_audio_batch_release(&batch);
}

/* The bytes of a WAV file by its description: 16-bit PCM, two channels at 8 kHz, three frames. */
ASSAY_TEST(a_wav_file_is_read_and_its_channels_averaged)
{
    static const unsigned char wav[] = {
        'R', 'I', 'F', 'F', 48, 0, 0,  0, 'W', 'A', 'V', 'E', 'f', 'm', 't', ' ', 16, 0,  0, 0, 1, 0,   2, 0,   0x40, 31, 0, 0,
        0,   125, 0,   0,   4,  0, 16, 0, 'd', 'a', 't', 'a', 12,  0,   0,   0,   0,  64, 0, 0, 0, 192, 0, 192, 0,    0,  0, 128};
    struct assay_arena arena = {0};
    struct assay_tensor samples;
    int64_t rate = 0;
    char *folder = NULL;
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    const char *path = assay_path_join(&arena, folder, "x.wav");
    CHECK_OK(assay_fs_write(path, wav, sizeof wav, &err), err);
    CHECK_OK(assay_audio_open(path, &samples, &rate, &err), err);
    CHECK_INT(rate, 8000);
    CHECK_INT(samples.type.dims[0], 3);
    const float *got = samples.data;
    CHECK_NEAR(got[0], 0.25, 0);
    CHECK_NEAR(got[1], -0.5, 0);
    CHECK_NEAR(got[2], -0.5, 0);
    assay_tensor_release(&samples);
    CHECK_OK(assay_fs_write(path, "RIFF", 4, &err), err);
    CHECK_INT(assay_audio_open(path, &samples, &rate, &err), ASSAY_INVALID);
    CHECK_INT(assay_audio_open("/nowhere/x.wav", &samples, &rate, &err), ASSAY_ABSENT);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(mel_filters_are_those_of_hugging_face),
                ASSAY_TEST_ENTRY(whisper_and_wav2vec2_see_what_their_extractors_give),
                ASSAY_TEST_ENTRY(clap_sees_what_its_extractor_gives),
                ASSAY_TEST_ENTRY(a_config_that_is_not_understood_is_refused_by_name),
                ASSAY_TEST_ENTRY(a_long_clip_is_fused_or_cut_for_clap),
                ASSAY_TEST_ENTRY(a_wav_file_is_read_and_its_channels_averaged))
