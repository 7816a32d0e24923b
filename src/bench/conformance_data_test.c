/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of preprocessing whose outputs follow from a formula: samples as they are, bytes over 255. */
#include "bench/conformance_data.h"

#include "base/fs.h"
#include "base/test.h"
#include "model/safetensors.h"
#include "runtime/registry.h"

static struct assay_error err;

enum { N_SAMPLES = 6, EDGE = 4, N_BYTES = EDGE * EDGE * 3 };

struct place {
    struct assay_arena arena;
    char *folder;
    struct assay_conformance_result result;
};

static void enter(struct place *p)
{
    *p = (struct place){0};
    assay_arena_init(&p->arena);
    CHECK_OK(assay_fs_temporary_folder(&p->arena, &p->folder, &err), err);
}

static void leave(struct place *p)
{
    CHECK_OK(assay_fs_remove(p->folder, &err), err);
    assay_arena_release(&p->arena);
}

static struct assay_safetensors_entry entry(const char *name, enum assay_dtype dtype, int rank, const int64_t *dims,
                                            const void *data)
{
    struct assay_safetensors_entry made = {.name = name};
    struct assay_type type = assay_type_make(dtype, rank, dims);
    assay_tensor_borrow(&made.tensor, &type, data);
    return made;
}

static void put(struct place *p, const char *config, const struct assay_safetensors_entry *in, size_t n_in,
                const struct assay_safetensors_entry *out, size_t n_out)
{
    CHECK_OK(assay_fs_write(assay_path_join(&p->arena, p->folder, "config.json"), config, strlen(config), &err), err);
    CHECK_OK(assay_safetensors_write(assay_path_join(&p->arena, p->folder, "inputs.safetensors"), in, n_in, NULL, 0, &err), err);
    CHECK_OK(assay_safetensors_write(assay_path_join(&p->arena, p->folder, "outputs.safetensors"), out, n_out, NULL, 0, &err),
             err);
}

static enum assay_status run(struct place *p)
{
    p->result = (struct assay_conformance_result){.reason = ""};
    return assay_conformance_run_data(p->folder, &p->arena, &p->result, &err);
}

static const char sound_config[] =
    "{\"plain\": {\"feature_extractor_type\": \"Wav2Vec2FeatureExtractor\", \"do_normalize\": false,"
    " \"return_attention_mask\": true, \"sampling_rate\": 16000}}";
static const float samples[N_SAMPLES] = {0.5f, -0.25f, 1, 0.125f, -1, 0.75f}, others[N_SAMPLES] = {0.1f};
static const int64_t length = N_SAMPLES, batch_of_4[] = {1, 4};

/* The case takes the second sound, as far as its mask goes. */
static void put_sound(struct place *p, const float *wanted)
{
    static const int64_t mask[4] = {1, 1, 1, 1};
    const struct assay_safetensors_entry in[] = {entry("audio16k.0", ASSAY_F32, 1, &length, others),
                                                 entry("audio16k.1", ASSAY_F32, 1, &length, samples)};
    const struct assay_safetensors_entry out[] = {entry("plain.input_values", ASSAY_F32, 2, batch_of_4, wanted),
                                                  entry("plain.attention_mask", ASSAY_I64, 2, batch_of_4, mask)};
    put(p, sound_config, in, 2, out, 2);
}

ASSAY_TEST(sounds_that_a_case_takes_are_found_and_cut_by_its_mask)
{
    struct place p;
    enter(&p);
    put_sound(&p, samples);
    CHECK(assay_conformance_is_data(p.folder));
    CHECK_OK(run(&p), err);
    CHECK_INT(p.result.n_outputs, 2);
    CHECK_TEXT(p.result.outputs[1].set, "plain");
    CHECK_TEXT(p.result.outputs[1].name, "input_values");
    CHECK_INT(p.result.outputs[1].n_elements, 4);
    CHECK_NEAR(p.result.outputs[1].max_abs, 0, 0);
    CHECK_CONTAINS(p.result.outputs[1].note, "no runtime");
    leave(&p);
}

/* 1e-4 of the largest magnitude, here 0.001. */
ASSAY_TEST(a_wrong_number_is_a_mismatch_with_its_error)
{
    static const float wrong[4] = {0.5f, -0.25f, 1.0003f, 0.125f};
    struct place p;
    enter(&p);
    put_sound(&p, wrong);
    CHECK_INT(run(&p), ASSAY_MISMATCH);
    CHECK_CONTAINS(err.message, "1 of 4 elements of 'input_values'");
    CHECK_INT(p.result.outputs[1].n_wrong, 1);
    CHECK_NEAR(p.result.outputs[1].max_abs, 3e-4, 1e-6);
    leave(&p);
}

ASSAY_TEST(frames_of_a_video_may_be_a_picture_and_the_same_upside_down)
{
    static const char config[] = "{\"video\": {\"image_processor_type\": \"VideoMAEImageProcessor\", \"do_resize\": false,"
                                 " \"do_center_crop\": false, \"do_normalize\": false}}";
    static const int64_t dims[] = {EDGE, EDGE, 3}, wanted_dims[] = {1, 2, 3, EDGE, EDGE};
    uint8_t bytes[N_BYTES];
    float wanted[2 * N_BYTES];
    for (int i = 0; i < N_BYTES; i++)
        bytes[i] = (uint8_t)(5 * i);
    for (int y = 0; y < EDGE; y++)
        for (int x = 0; x < EDGE; x++)
            for (int channel = 0; channel < 3; channel++) {
                float value = (float)bytes[(y * EDGE + x) * 3 + channel] / 255;
                wanted[(channel * EDGE + y) * EDGE + x] = value;
                wanted[N_BYTES + (channel * EDGE + (EDGE - 1 - y)) * EDGE + x] = value;
            }
    struct place p;
    enter(&p);
    const struct assay_safetensors_entry in = entry("image.0", ASSAY_U8, 3, dims, bytes),
                                         out = entry("video.pixel_values", ASSAY_F32, 5, wanted_dims, wanted);
    put(&p, config, &in, 1, &out, 1);
    CHECK_OK(run(&p), err);
    CHECK_INT(p.result.n_outputs, 1);
    CHECK(p.result.outputs[0].max_abs < 1e-6);
    leave(&p);
}

ASSAY_TEST(what_does_not_fit_together_is_one_sentence)
{
    static const struct {
        const char *config, *in, *out, *part;
    } cases[] = {
        {"{\"plain\": {\"feature_extractor_type\": \"Odd\"}}", "audio16k.0", "plain.input_values", "case \"plain\""},
        {sound_config, "audio8k.0", "plain.input_values", "'audio16k.0'"},
        {sound_config, "audio16k.0", "plain.other", "no 'plain.input_features'"},
        {"{\"a\": {\"image_processor_type\": \"ViTImageProcessor\", \"size\": 8, \"do_normalize\": false}}", "image.0",
         "a.pixel_values", "no picture"},
    };
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct place p;
        enter(&p);
        const struct assay_safetensors_entry in = entry(cases[i].in, ASSAY_F32, 1, &length, samples),
                                             out = entry(cases[i].out, ASSAY_F32, 2, batch_of_4, samples);
        put(&p, cases[i].config, &in, 1, &out, 1);
        CHECK(run(&p) != ASSAY_OK);
        CHECK_CONTAINS(err.message, cases[i].part);
        leave(&p);
    }
}

ASSAY_TEST(a_model_is_not_taken_for_preprocessing)
{
    static const char *const configs[] = {"{\"model_type\": \"bert\"}", "{}", "[1]",
                                          "{\"a\": {\"image_processor_type\": \"X\"}, \"b\": 1}"};
    for (size_t i = 0; i < ASSAY_COUNT(configs); i++) {
        struct place p;
        enter(&p);
        put(&p, configs[i], NULL, 0, NULL, 0);
        CHECK(!assay_conformance_is_data(p.folder));
        leave(&p);
    }
}

/* What Hugging Face's own processors made, where it lies beside the checkout. */
ASSAY_TEST(preprocessing_is_that_of_hugging_face)
{
    static const char *const names[] = {"preprocess_audio", "preprocess_image"};
    struct place p;
    struct assay_platform platform;
    struct assay_conformance_options options = {.threads = 1, .platform = &platform};
    enter(&p);
    CHECK_OK(assay_platform_find(&p.arena, "cpu/reference", &platform, &options.runtime, &err), err);
    for (size_t i = 0; i < ASSAY_COUNT(names); i++) {
        const char *folder = assay_arena_printf(&p.arena, "%s/../shared/fixtures/%s", ASSAY_SOURCE_FOLDER, names[i]);
        if (!assay_fs_is_folder(folder)) {
            leave(&p);
            SKIP("the folder is not beside the checkout");
        }
        assay_conformance_run(folder, &options, &p.arena, &p.result);
        CHECK_TEXT(p.result.reason, "");
        CHECK(p.result.n_outputs >= 10);
    }
    leave(&p);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(sounds_that_a_case_takes_are_found_and_cut_by_its_mask),
                ASSAY_TEST_ENTRY(a_wrong_number_is_a_mismatch_with_its_error),
                ASSAY_TEST_ENTRY(frames_of_a_video_may_be_a_picture_and_the_same_upside_down),
                ASSAY_TEST_ENTRY(what_does_not_fit_together_is_one_sentence),
                ASSAY_TEST_ENTRY(a_model_is_not_taken_for_preprocessing), ASSAY_TEST_ENTRY(preprocessing_is_that_of_hugging_face))
