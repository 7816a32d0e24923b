/* SPDX-License-Identifier: Apache-2.0 */
/*
 * T5 by what must be equal: configs that say the same in two ways, inputs between which a mask makes no difference, all with the
 * same random weights. (Numbers of PyTorch are compared by `assay check`.)
 */
#include "model/families/testing.h"

enum { LENGTH = 6, VOCABULARY = 11, N_LOGITS = LENGTH * VOCABULARY };
static const int64_t tokens[LENGTH] = {3, 7, 10, 10, 4, 2}, others[LENGTH] = {3, 7, 10, 10, 9, 5};
static const int64_t ones[LENGTH] = {1, 1, 1, 1, 1, 1}, first_four[LENGTH] = {1, 1, 1, 1, 0, 0};

/* Logits are of magnitude 3: some tens of roundings of f32. */
static const double same = 1e-5, different = 1e-3;

/* logits[LENGTH, VOCABULARY] of one layer each with these fields beside. */
static void run(const char *more, const int64_t *ids, const int64_t *mask, const int64_t *decoder_ids, double *logits)
{
    struct assay_model_options options = {.seed = 5};
    struct assay_arena arena;
    assay_arena_init(&arena);
    const char *text = assay_arena_printf(&arena,
                                          "{\"model_type\": \"t5\", \"architectures\": [\"T5ForConditionalGeneration\"],"
                                          " \"d_model\": 16, \"d_kv\": 5, \"d_ff\": 12, \"num_heads\": 2, \"num_layers\": 1,"
                                          " \"tie_word_embeddings\": false, \"vocab_size\": 11%s%s}",
                                          *more ? ", " : "", more);
    const int64_t *const data[] = {ids, mask, decoder_ids};
    testing_logits(text, &options, data, LENGTH, logits, N_LOGITS);
    assay_arena_release(&arena);
}

static double between(const char *one, const char *other)
{
    double a[N_LOGITS], b[N_LOGITS];
    run(one, tokens, ones, tokens, a);
    run(other, tokens, ones, tokens, b);
    return testing_distance(a, b, N_LOGITS);
}

ASSAY_TEST(a_gated_activation_is_the_same_in_one_word_or_two_fields)
{
    const char *gated = "\"feed_forward_proj\": \"gated-gelu\"";
    CHECK(between(gated, "\"dense_act_fn\": \"gelu_new\", \"is_gated_act\": true") == 0);
    CHECK(between(gated, "\"feed_forward_proj\": \"gelu\"") > different);
    CHECK(between("", "\"feed_forward_proj\": \"relu\", \"num_decoder_layers\": 1") == 0);
}

ASSAY_TEST(distances_have_buckets_of_their_own_up_to_half_of_them)
{
    /* Six tokens are at most five apart: below 8, the first half of 16, in both. */
    CHECK(between("\"relative_attention_max_distance\": 128", "\"relative_attention_max_distance\": 50") == 0);
    CHECK(between("\"relative_attention_num_buckets\": 4", "\"relative_attention_num_buckets\": 8") > different);
}

ASSAY_TEST(padded_tokens_of_the_input_do_not_matter)
{
    double a[N_LOGITS], b[N_LOGITS];
    run("", tokens, first_four, tokens, a);
    run("", others, first_four, tokens, b);
    CHECK(testing_distance(a, b, N_LOGITS) < same);
    run("", others, ones, tokens, b);
    CHECK(testing_distance(a, b, N_LOGITS) > different);
}

ASSAY_TEST(the_decoder_does_not_look_ahead)
{
    double a[N_LOGITS], b[N_LOGITS];
    run("", tokens, ones, tokens, a);
    run("", tokens, ones, others, b);
    CHECK(testing_distance(a, b, 4 * VOCABULARY) < same);
    CHECK(testing_distance(a + 4 * VOCABULARY, b + 4 * VOCABULARY, 2 * VOCABULARY) > different);
}

ASSAY_TEST(what_is_not_understood_is_named)
{
    testing_refusal("{\"model_type\": \"t5\", \"d_hidden\": 3}", "\"d_hidden\"");
    testing_refusal("{\"model_type\": \"t5\", \"feed_forward_proj\": \"double-relu\"}", "\"feed_forward_proj\"");
    testing_refusal("{\"model_type\": \"t5\", \"relative_attention_num_buckets\": 3}", "\"relative_attention_num_buckets\"");
    testing_refusal("{\"architectures\": [\"T5Model\"], \"relative_attention_max_distance\": 16}",
                    "\"relative_attention_max_distance\"");
    testing_refusal("{\"architectures\": [\"T5EncoderModel\"], \"relative_attention_max_distance\": 8}",
                    "\"relative_attention_max_distance\"");
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_gated_activation_is_the_same_in_one_word_or_two_fields),
                ASSAY_TEST_ENTRY(distances_have_buckets_of_their_own_up_to_half_of_them),
                ASSAY_TEST_ENTRY(padded_tokens_of_the_input_do_not_matter), ASSAY_TEST_ENTRY(the_decoder_does_not_look_ahead),
                ASSAY_TEST_ENTRY(what_is_not_understood_is_named))
