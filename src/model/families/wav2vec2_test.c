/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wav2vec 2.0 by what must be equal: inputs between which a mask makes no difference, a quantizer without a choice, all with the
 * same random weights. (Numbers of PyTorch are compared by `assay check`.)
 */
#include "model/families/testing.h"

enum { SAMPLES = 60, PADDED = 17, STEPS = 13 }; /* two convolutions make 13 steps of 60 samples */

/* Logits are of magnitude 1: some tens of roundings of f32. */
static const double same = 1e-5, different = 1e-3;

struct request {
    const char *architecture, *more; /* fields beside */
    const char *const *inputs;
    int64_t n_padded;
    bool other_padding;
    const char *output;
};

static const char *const samples_alone[] = {"input_values"}, *const with_mask[] = {"input_values", "attention_mask"},
                         *const with_hidden[] = {"input_values", "mask_time_indices"};

static void set(const void *context, const char *name, struct assay_tensor *input)
{
    const struct request *r = context;
    bool is_mask = strcmp(name, "attention_mask") == 0, is_hidden = strcmp(name, "mask_time_indices") == 0;
    enum assay_dtype dtype = is_mask ? ASSAY_I64 : is_hidden ? ASSAY_BOOL : ASSAY_F32;
    struct assay_type type = assay_type_make(dtype, 2, (const int64_t[]){1, is_hidden ? STEPS : SAMPLES});
    CHECK_INT(assay_tensor_alloc(input, &type, NULL), ASSAY_OK);
    for (int64_t i = 0; i < type.dims[1]; i++) {
        bool is_padding = i >= SAMPLES - r->n_padded;
        double sample = is_padding && r->other_padding ? 0.3 : sin(0.9 * (double)(i * i));
        assay_tensor_set_real(input, i, is_mask ? !is_padding : is_hidden ? i % 3 == 0 : sample);
    }
}

static struct assay_tensor run(const struct request *r)
{
    struct assay_model_options options = {.seed = 5, .inputs = r->inputs, .n_inputs = r->inputs == samples_alone ? 1 : 2};
    struct assay_tensor result;
    struct assay_arena arena;
    assay_arena_init(&arena);
    const char *text = assay_arena_printf(&arena,
                                          "{\"model_type\": \"wav2vec2\", \"architectures\": [\"%s\"], \"hidden_size\": 12,"
                                          " \"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"intermediate_size\": 10,"
                                          " \"conv_dim\": [6, 8], \"conv_kernel\": [5, 3], \"conv_stride\": [2, 2],"
                                          " \"feat_extract_norm\": \"layer\", \"num_conv_pos_embeddings\": 4,"
                                          " \"num_conv_pos_embedding_groups\": 2, \"vocab_size\": 7, \"codevector_dim\": 6,"
                                          " \"tdnn_dim\": [9, 8], \"tdnn_kernel\": [3, 2], \"tdnn_dilation\": [1, 1],"
                                          " \"xvector_output_dim\": 5%s%s}",
                                          r->architecture, r->more ? ", " : "", r->more ? r->more : "");
    testing_output(text, &options, set, r, r->output ? r->output : "logits", &result);
    assay_arena_release(&arena);
    return result;
}

static double between(struct request one, struct request other)
{
    struct assay_tensor a = run(&one), b = run(&other);
    double most = assay_tensor_compare(&a, &b, 0, 0).max_abs;
    assay_tensor_release(&a);
    assay_tensor_release(&b);
    return most;
}

static const char *const pooled[] = {"Wav2Vec2ForSequenceClassification", "Wav2Vec2ForXVector"};

ASSAY_TEST(padded_samples_do_not_matter)
{
    for (size_t i = 0; i < ASSAY_COUNT(pooled); i++) {
        struct request a = {.architecture = pooled[i], .inputs = with_mask, .n_padded = PADDED}, b = a;
        b.other_padding = true;
        CHECK_NEAR(between(a, b), 0, same);
        a.inputs = b.inputs = samples_alone;
        CHECK(between(a, b) > different);
    }
}

ASSAY_TEST(a_mask_of_ones_is_none)
{
    for (size_t i = 0; i < ASSAY_COUNT(pooled); i++)
        CHECK_NEAR(between((struct request){.architecture = pooled[i], .inputs = with_mask},
                           (struct request){.architecture = pooled[i], .inputs = samples_alone}),
                   0, same);
}

ASSAY_TEST(a_quantizer_of_one_codeword_is_not_perplexed)
{
    struct request r = {.architecture = "Wav2Vec2ForPreTraining",
                        .more = "\"num_codevector_groups\": 3, \"num_codevectors_per_group\": 1",
                        .inputs = samples_alone,
                        .output = "codevector_perplexity"};
    struct assay_tensor perplexity = run(&r);
    /* The exponential of no entropy, once for each group; the logarithm is of a sum with 1e-7. */
    CHECK_INT(assay_tensor_count(&perplexity), 1);
    CHECK_NEAR(assay_tensor_real(&perplexity, 0), 3, 1e-5);
    assay_tensor_release(&perplexity);
}

ASSAY_TEST(hidden_steps_are_hidden_unless_the_config_forbids_it)
{
    struct request a = {.architecture = "Wav2Vec2Model", .inputs = samples_alone, .output = "last_hidden_state"}, b = a;
    b.inputs = with_hidden;
    CHECK(between(a, b) > different);
    b.more = "\"apply_spec_augment\": false";
    CHECK_NEAR(between(a, b), 0, 0);
}

ASSAY_TEST(what_cannot_be_computed_is_named)
{
    testing_refusal("{\"model_type\": \"wav2vec2\", \"hidden\": 3}", "\"hidden\"");
    testing_refusal("{\"model_type\": \"wav2vec2\", \"conv_kernel\": [3]}", "\"conv_kernel\"");
    testing_refusal("{\"model_type\": \"wav2vec2\", \"feat_extract_norm\": \"batch\"}", "\"feat_extract_norm\"");
    testing_refusal("{\"architectures\": [\"Wav2Vec2ForXVector\"], \"tdnn_dim\": [4]}", "\"tdnn_dim\"");
    testing_refusal("{\"architectures\": [\"Wav2Vec2ForXVector\"], \"add_adapter\": true, \"output_hidden_size\": 4}",
                    "\"output_hidden_size\"");
    testing_refusal("{\"architectures\": [\"Wav2Vec2ForPreTraining\"], \"codevector_dim\": 255}", "\"codevector_dim\"");
    testing_refusal("{\"architectures\": [\"Wav2Vec2ForAudioFrameClassification\"], \"add_adapter\": true}", "\"add_adapter\"");
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(padded_samples_do_not_matter), ASSAY_TEST_ENTRY(a_mask_of_ones_is_none),
                ASSAY_TEST_ENTRY(a_quantizer_of_one_codeword_is_not_perplexed),
                ASSAY_TEST_ENTRY(hidden_steps_are_hidden_unless_the_config_forbids_it),
                ASSAY_TEST_ENTRY(what_cannot_be_computed_is_named))
