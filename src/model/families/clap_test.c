/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CLAP by what must be equal: a model of both and of one alone, sounds that are fused and such that need it not, all with the
 * same random weights. (Numbers of PyTorch are compared by `assay check`.)
 */
#include "model/families/testing.h"

enum { TEXTS = 2, TOKENS = 5, SOUNDS = 2, FRAMES = 27, MELS = 8 };

/* Embeddings are of magnitude 1: some tens of roundings of f32. */
static const double same = 1e-5, different = 1e-3;

#define TEXT                                                                                                                     \
    "\"hidden_size\": 8, \"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"intermediate_size\": 6, \"vocab_size\": 13,"    \
    " \"max_position_embeddings\": 9"
#define AUDIO                                                                                                                    \
    "\"hidden_size\": 8, \"depths\": [1, 2], \"num_attention_heads\": [1, 2], \"patch_embeds_hidden_size\": 4,"                  \
    " \"num_mel_bins\": 8, \"spec_size\": 16, \"window_size\": 2, \"mlp_ratio\": 1.5"
#define BOTH(more)                                                                                                               \
    "{\"architectures\": [\"ClapModel\"], \"projection_dim\": 6, \"text_config\": {" TEXT "}, \"audio_config\": {" AUDIO         \
    ", " more "}}"

struct sounds {
    int channels;
    bool is_longer, other_crops;
};

static void set(const void *context, const char *name, struct assay_tensor *input)
{
    const struct sounds *s = context;
    bool is_sound = strcmp(name, "input_features") == 0, is_longer = strcmp(name, "is_longer") == 0;
    struct assay_type type = is_sound    ? assay_type_make(ASSAY_F32, 4, (const int64_t[]){SOUNDS, s->channels, FRAMES, MELS})
                             : is_longer ? assay_type_make(ASSAY_BOOL, 2, (const int64_t[]){SOUNDS, 1})
                                         : assay_type_make(ASSAY_I64, 2, (const int64_t[]){TEXTS, TOKENS});
    CHECK_INT(assay_tensor_alloc(input, &type, NULL), ASSAY_OK);
    for (int64_t i = 0; i < assay_tensor_count(input); i++) {
        int64_t of_sound = i % (FRAMES * MELS), channel = i / (FRAMES * MELS) % s->channels;
        double level = sin(0.4 * (double)(of_sound * (channel + 1 + (channel && s->other_crops))));
        bool is_mask = strcmp(name, "attention_mask") == 0;
        assay_tensor_set_real(input, i, is_sound ? level : is_longer ? s->is_longer : is_mask ? 1 : (double)(2 + i % 11));
    }
}

static struct assay_tensor run(const char *text, struct sounds sounds, const char *output)
{
    struct assay_model_options options = {.seed = 5};
    struct assay_tensor result;
    testing_output(text, &options, set, &sounds, output, &result);
    return result;
}

static double between(const char *one, struct sounds of_one, const char *other, struct sounds of_other, const char *output)
{
    struct assay_tensor a = run(one, of_one, output), b = run(other, of_other, output);
    double most = assay_tensor_compare(&a, &b, 0, 0).max_abs;
    assay_tensor_release(&a);
    assay_tensor_release(&b);
    return most;
}

ASSAY_TEST(only_longer_sounds_are_fused)
{
    static const char plain[] = BOTH("\"enable_fusion\": false"), fused[] = BOTH("\"enable_fusion\": true");
    struct sounds whole = {.channels = 1}, with_crops = {.channels = 4}, other = {.channels = 4, .other_crops = true};
    CHECK_NEAR(between(plain, whole, fused, with_crops, "audio_embeds"), 0, same);
    CHECK_NEAR(between(fused, other, fused, with_crops, "audio_embeds"), 0, 0);
    with_crops.is_longer = other.is_longer = true;
    CHECK(between(plain, whole, fused, with_crops, "audio_embeds") > different);
    CHECK(between(fused, other, fused, with_crops, "audio_embeds") > different);
}

static void check_normalized(const char *both, const char *alone, const char *output)
{
    struct sounds sounds = {.channels = 1};
    struct assay_tensor a = run(both, sounds, output), b = run(alone, sounds, output);
    int64_t rows = a.type.dims[0], n = a.type.dims[1];
    for (int64_t row = 0; row < rows; row++) {
        double squares = 0;
        for (int64_t i = row * n; i < (row + 1) * n; i++)
            squares += pow(assay_tensor_real(&b, i), 2);
        for (int64_t i = row * n; i < (row + 1) * n; i++)
            CHECK_NEAR(assay_tensor_real(&a, i), assay_tensor_real(&b, i) / sqrt(squares), same);
    }
    assay_tensor_release(&a);
    assay_tensor_release(&b);
}

ASSAY_TEST(one_alone_is_not_normalised_but_else_the_same)
{
    check_normalized(BOTH("\"qkv_bias\": true"),
                     "{\"architectures\": [\"ClapTextModelWithProjection\"], \"projection_dim\": 6, " TEXT "}", "text_embeds");
    check_normalized(BOTH("\"qkv_bias\": true"),
                     "{\"architectures\": [\"ClapAudioModelWithProjection\"], \"projection_dim\": 6, " AUDIO "}", "audio_embeds");
}

/* ---- training */

enum { BATCH = 4, MOST_OUTPUTS = 24 };

#define GLOBAL "audio_model.audio_encoder.patch_embed.fusion_model.global_att"
#define NORM GLOBAL ".2"

struct statistics {
    double mean, variance, loss; /* the running ones before, or after a step */
};

static void set_batch(const char *name, const char *longer, struct assay_tensor *input)
{
    bool is_sound = strcmp(name, "input_features") == 0, is_longer = strcmp(name, "is_longer") == 0;
    struct assay_type type = is_sound    ? assay_type_make(ASSAY_F32, 4, (const int64_t[]){BATCH, 4, FRAMES, MELS})
                             : is_longer ? assay_type_make(ASSAY_BOOL, 2, (const int64_t[]){BATCH, 1})
                                         : assay_type_make(ASSAY_I64, 2, (const int64_t[]){BATCH, TOKENS});
    CHECK_INT(assay_tensor_alloc(input, &type, NULL), ASSAY_OK);
    int64_t n = assay_tensor_count(input);
    for (int64_t i = 0; i < n; i++) {
        /* The first two sounds are one, the last two another. */
        double level = sin(0.4 * (double)(i % (n / BATCH))) * (i < n / 2 ? 1 : 0.3) + (i < n / 2 ? 0 : 0.5);
        bool is_mask = strcmp(name, "attention_mask") == 0;
        assay_tensor_set_real(input, i, is_sound ? level : is_longer ? longer[i] == 'L' : is_mask ? 1 : (double)(2 + i % 11));
    }
}

/* What a step makes of a norm of fusion's average over all places, where these sounds are longer: "L--L". */
static struct statistics step(const char *longer, struct statistics *before)
{
    const struct assay_model_options options = {.seed = 5, .training = true, .no_dropout = true};
    static const char text[] = BOTH("\"enable_fusion\": true, \"aff_block_r\": 2");
    struct assay_error err = {0};
    struct assay_graph *graph;
    struct assay_tensor inputs[8], outputs[MOST_OUTPUTS];
    struct statistics after = {0};
    json_t *config;
    CHECK_OK(assay_json_parse(text, strlen(text), "config", &config, &err), err);
    CHECK_OK(assay_model_build(config, "config", &options, &graph, NULL, &err), err);
    CHECK(graph->n_inputs <= 8 && graph->n_outputs <= MOST_OUTPUTS);
    /* Random weights are small: without this a variance would be lost in the rounding of the one before. */
    struct assay_tensor *weight = &graph->values[assay_graph_find(graph, GLOBAL ".1.weight")].constant;
    for (int64_t i = 0; i < assay_tensor_count(weight); i++)
        assay_tensor_set_real(weight, i, 100 * (double)(i + 1));
    for (int i = 0; i < graph->n_inputs; i++)
        set_batch(graph->values[graph->inputs[i]].name, longer, &inputs[i]);
    CHECK_OK(testing_run(graph, inputs, outputs, &err), err);
    for (int i = 0; i < graph->n_outputs; i++) {
        const char *name = graph->values[graph->outputs[i]].name;
        double *to = strcmp(name, "next." NORM ".running_mean") == 0  ? &after.mean
                     : strcmp(name, "next." NORM ".running_var") == 0 ? &after.variance
                     : strcmp(name, "loss") == 0                      ? &after.loss
                                                                      : NULL;
        if (to)
            *to = assay_tensor_real(&outputs[i], 0);
        assay_tensor_release(&outputs[i]);
    }
    before->mean = assay_tensor_real(&graph->values[assay_graph_find(graph, NORM ".running_mean")].constant, 0);
    before->variance = assay_tensor_real(&graph->values[assay_graph_find(graph, NORM ".running_var")].constant, 0);
    for (int i = 0; i < graph->n_inputs; i++)
        assay_tensor_release(&inputs[i]);
    assay_graph_close(graph);
    json_decref(config);
    CHECK(isfinite(after.loss) && after.loss > 0);
    return after;
}

/* By the formula of a batch norm in PyTorch, whose fusion gets the longer sounds alone: 0.9 of what was, 0.1 of the batch's. */
ASSAY_TEST(in_training_fusion_normalises_over_longer_sounds_alone)
{
    struct statistics before;
    struct statistics all = step("LLLL", &before), each = step("L-L-", &before), one = step("LL--", &before);
    double of_all = all.variance - 0.9 * before.variance, of_each = each.variance - 0.9 * before.variance;
    CHECK(of_all > 1e-4);
    /* n / (n - 1) of two sounds, and of each twice. */
    CHECK_NEAR(of_each / of_all, 2 / (4.0 / 3), 1e-2);
    CHECK_NEAR(each.mean, all.mean, same);
    /* The same sound twice has no variance. */
    CHECK_NEAR(one.variance, 0.9 * before.variance, same);
    CHECK(fabs(one.mean - each.mean) > different);
}

ASSAY_TEST(without_a_longer_sound_a_step_leaves_the_statistics_of_fusion)
{
    struct statistics before, none = step("----", &before);
    CHECK_NEAR(none.mean, before.mean, 0);
    CHECK_NEAR(none.variance, before.variance, 0);
}

#define SMALL                                                                                                                    \
    "{\"architectures\": [\"ClapAudioModelWithProjection\"], \"patch_embeds_hidden_size\": 4, \"spec_size\": 16,"                \
    " \"depths\": [1, 1], \"num_attention_heads\": [1, 2]"
#define FITTING ", \"window_size\": 2, \"num_mel_bins\": 8, \"hidden_size\": 8"

ASSAY_TEST(what_cannot_be_computed_is_named)
{
    testing_refusal(SMALL ", \"window_size\": 8, \"num_mel_bins\": 8, \"hidden_size\": 8}", "\"window_size\"");
    testing_refusal(SMALL ", \"window_size\": 2, \"num_mel_bins\": 64, \"hidden_size\": 8}", "\"num_mel_bins\"");
    testing_refusal(SMALL ", \"window_size\": 2, \"num_mel_bins\": 5, \"hidden_size\": 8}", "\"num_mel_bins\"");
    testing_refusal(SMALL ", \"window_size\": 2, \"num_mel_bins\": 8, \"hidden_size\": 12}", "\"hidden_size\"");
    testing_refusal(SMALL FITTING ", \"flatten_patch_embeds\": false}", "\"flatten_patch_embeds\"");
    testing_refusal(SMALL FITTING ", \"patch_size\": 7}", "patches of 7");
    testing_refusal(SMALL FITTING ", \"loudness\": 1}", "\"loudness\"");
    testing_refusal(SMALL FITTING ", \"mlp_ratio\": 0}", "\"mlp_ratio\"");
    testing_refusal(SMALL FITTING ", \"hidden_act\": \"gelu_12\"}", "\"gelu_12\"");
    testing_refusal(SMALL FITTING ", \"enable_fusion\": true, \"fusion_type\": \"channel_map\"}", "\"fusion_type\"");
    testing_refusal(SMALL FITTING ", \"enable_fusion\": true, \"aff_block_r\": 5}", "\"aff_block_r\"");
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(only_longer_sounds_are_fused), ASSAY_TEST_ENTRY(one_alone_is_not_normalised_but_else_the_same),
                ASSAY_TEST_ENTRY(in_training_fusion_normalises_over_longer_sounds_alone),
                ASSAY_TEST_ENTRY(without_a_longer_sound_a_step_leaves_the_statistics_of_fusion),
                ASSAY_TEST_ENTRY(what_cannot_be_computed_is_named))
