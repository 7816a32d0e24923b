/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of the decoder by what must be equal: two models with the same random weights whose configs say the same in two ways,
 * or inputs between which an option makes no difference. (Numbers of PyTorch are compared by `assay check`.)
 */
#include "model/families/testing.h"

enum { LENGTH = 6, VOCABULARY = 11, N_LOGITS = LENGTH * VOCABULARY };
static const int64_t counted[LENGTH] = {0, 1, 2, 3, 4, 5}, tokens[LENGTH] = {3, 7, 1, 10, 4, 2};

/* logits[LENGTH, VOCABULARY] of a one-layer model with these fields beside. mask NULL = ones. */
static void run(const char *type, const char *more, const int64_t *ids, const int64_t *mask, const int64_t *positions,
                double *logits)
{
    static const int64_t ones[LENGTH] = {1, 1, 1, 1, 1, 1};
    static const char *const names[] = {"input_ids", "attention_mask", "position_ids"};
    struct assay_model_options options = {.inputs = names, .n_inputs = 3, .seed = 5};
    struct assay_arena arena;
    assay_arena_init(&arena);
    const char *text =
        assay_arena_printf(&arena,
                           "{\"model_type\": \"%s\", \"hidden_size\": 16, \"intermediate_size\": 12,"
                           " \"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"num_key_value_heads\": 1,"
                           " \"vocab_size\": 11, \"architectures\": [\"%s\"]%s%s}",
                           type, strcmp(type, "llama") == 0 ? "LlamaForCausalLM" : "Qwen2ForCausalLM", *more ? ", " : "", more);
    const int64_t *const data[] = {ids, mask ? mask : ones, positions};
    testing_logits(text, &options, data, LENGTH, logits, N_LOGITS);
    assay_arena_release(&arena);
}

/* Logits are of magnitude 3: some tens of roundings of f32. */
static const double same = 1e-5, different = 1e-3;

static void check_equal(const char *one, const int64_t *positions_one, const char *other, const int64_t *positions_other)
{
    double a[N_LOGITS], b[N_LOGITS];
    run("llama", one, tokens, NULL, positions_one, a);
    run("llama", other, tokens, NULL, positions_other, b);
    CHECK_NEAR(testing_distance(a, b, N_LOGITS), 0, same);
}

ASSAY_TEST(linear_scaling_divides_positions)
{
    static const int64_t doubled[LENGTH] = {0, 2, 4, 6, 8, 10};
    check_equal("\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}", doubled, "", counted);
    double a[N_LOGITS], b[N_LOGITS];
    run("llama", "", tokens, NULL, doubled, a);
    run("llama", "", tokens, NULL, counted, b);
    CHECK(testing_distance(a, b, N_LOGITS) > different);
}

ASSAY_TEST(dynamic_scaling_changes_nothing_up_to_the_trained_length)
{
    check_equal("\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}, \"max_position_embeddings\": 6", counted, "",
                counted);
}

ASSAY_TEST(dynamic_scaling_enlarges_the_base_beyond_the_trained_length)
{
    /* Heads of 8 numbers, 6 positions where 4 were trained: 10000 · (2 · 6 / 4 - 1)^(8 / 6). */
    char other[64];
    snprintf(other, sizeof other, "\"rope_theta\": %.12g", 10000 * pow(2, 8.0 / 6));
    check_equal("\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}, \"max_position_embeddings\": 4", counted, other,
                counted);
}

ASSAY_TEST(llama3_scaling_stretches_long_waves_alone)
{
    /* Every wave is longer than the original length, or every one much shorter. */
    check_equal("\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 4.0, \"original_max_position_embeddings\": 1}",
                counted, "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}", counted);
    check_equal("\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 4.0, \"original_max_position_embeddings\": 1000000}",
                counted, "", counted);
}

ASSAY_TEST(yarn_with_factor_one_changes_nothing)
{
    check_equal("\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 1.0}", counted, "", counted);
}

ASSAY_TEST(left_padding_with_its_positions_changes_nothing)
{
    static const int64_t padded[LENGTH] = {0, 0, 3, 7, 1, 10}, mask[LENGTH] = {0, 0, 1, 1, 1, 1},
                         positions[LENGTH] = {1, 1, 0, 1, 2, 3};
    double a[N_LOGITS], b[N_LOGITS];
    run("llama", "", padded, mask, positions, a);
    run("llama", "", tokens, NULL, counted, b);
    CHECK_NEAR(testing_distance(a + 2 * VOCABULARY, b, 4 * VOCABULARY), 0, same);
}

ASSAY_TEST(a_sliding_window_hides_what_lies_further_back)
{
    static const int64_t changed[LENGTH] = {9, 7, 1, 10, 4, 2};
    static const char *const window = "\"use_sliding_window\": true, \"sliding_window\": 3";
    double a[N_LOGITS], b[N_LOGITS];
    run("qwen2", window, tokens, NULL, counted, a);
    run("qwen2", window, changed, NULL, counted, b);
    /* Of one layer: token 3 sees the first token, three before it; token 4 doesn't. */
    CHECK(testing_distance(a + 3 * VOCABULARY, b + 3 * VOCABULARY, VOCABULARY) > different);
    CHECK_NEAR(testing_distance(a + 4 * VOCABULARY, b + 4 * VOCABULARY, 2 * VOCABULARY), 0, 0);
    /* Plain attention of Transformers 4.41 has the window whether it is "used" or not, unless there is none. */
    run("qwen2", window, tokens, NULL, counted, a);
    run("qwen2", "\"use_sliding_window\": false, \"sliding_window\": 3", tokens, NULL, counted, b);
    CHECK_NEAR(testing_distance(a, b, N_LOGITS), 0, 0);
    run("qwen2", "\"use_sliding_window\": true, \"sliding_window\": null", tokens, NULL, counted, a);
    run("qwen2", "", tokens, NULL, counted, b);
    CHECK_NEAR(testing_distance(a, b, N_LOGITS), 0, 0);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(linear_scaling_divides_positions),
                ASSAY_TEST_ENTRY(dynamic_scaling_changes_nothing_up_to_the_trained_length),
                ASSAY_TEST_ENTRY(dynamic_scaling_enlarges_the_base_beyond_the_trained_length),
                ASSAY_TEST_ENTRY(llama3_scaling_stretches_long_waves_alone),
                ASSAY_TEST_ENTRY(yarn_with_factor_one_changes_nothing),
                ASSAY_TEST_ENTRY(left_padding_with_its_positions_changes_nothing),
                ASSAY_TEST_ENTRY(a_sliding_window_hides_what_lies_further_back))
