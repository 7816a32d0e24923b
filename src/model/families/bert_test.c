/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BERT by what must be equal: inputs between which a mask, a place or a default makes no difference, all with the same random
 * weights. (Numbers of PyTorch are compared by `assay check`.)
 */
#include "graph/gradient.h"
#include "model/families/testing.h"

enum { LENGTH = 6, HIDDEN = 8, MOST = 256 };

/* Hidden states are of magnitude 2: some tens of roundings of f32. */
static const double same = 1e-5, different = 1e-3;

/* What a run is given: ids and mask i64[1, n_choices * length] or, without choices, i64[1, length]; the rest by name. */
struct given {
    int64_t length, n_choices;
    int64_t ids[2 * LENGTH], mask[2 * LENGTH];
    float memory[LENGTH * HIDDEN];
    int64_t memory_mask[LENGTH];
};

static void set(const void *context, const char *name, struct assay_tensor *input)
{
    static const int64_t zeros[2 * LENGTH];
    const struct given *g = context;
    struct assay_type of_tokens = assay_type_make(ASSAY_I64, 2, (const int64_t[]){1, g->length});
    struct assay_type of_choices = assay_type_make(ASSAY_I64, 3, (const int64_t[]){1, g->n_choices, g->length});
    struct assay_type of_memory = assay_type_make(ASSAY_F32, 3, (const int64_t[]){1, LENGTH, HIDDEN});
    struct assay_type of_memory_mask = assay_type_make(ASSAY_I64, 2, (const int64_t[]){1, LENGTH});
    const struct assay_type *type = g->n_choices ? &of_choices : &of_tokens;
    if (strcmp(name, "input_ids") == 0)
        assay_tensor_borrow(input, type, g->ids);
    else if (strcmp(name, "attention_mask") == 0)
        assay_tensor_borrow(input, type, g->mask);
    else if (strcmp(name, "encoder_hidden_states") == 0)
        assay_tensor_borrow(input, &of_memory, g->memory);
    else if (strcmp(name, "encoder_attention_mask") == 0)
        assay_tensor_borrow(input, &of_memory_mask, g->memory_mask);
    else
        assay_tensor_borrow(input, type, zeros);
}

/* Tokens 3, 4, 5 …, all looked at. */
static struct given tokens(void)
{
    struct given g = {.length = LENGTH};
    for (int i = 0; i < 2 * LENGTH; i++) {
        g.ids[i] = 3 + i % 7;
        g.mask[i] = 1;
    }
    for (int i = 0; i < LENGTH * HIDDEN; i++)
        g.memory[i] = (float)(i % 5) - 2;
    for (int i = 0; i < LENGTH; i++)
        g.memory_mask[i] = 1;
    return g;
}

/* numbers[MOST] of an output; n_inputs 0 = the usual inputs. */
static int run(const char *architecture, const char *more, const struct given *g, const char *const *inputs, size_t n_inputs,
               const char *output, double *numbers)
{
    const struct assay_model_options options = {.seed = 7, .inputs = n_inputs ? inputs : NULL, .n_inputs = n_inputs};
    struct assay_tensor result;
    char text[600];
    snprintf(text, sizeof text,
             "{\"model_type\": \"bert\", \"architectures\": [\"%s\"], \"hidden_size\": 8, \"num_attention_heads\": 2,"
             " \"num_hidden_layers\": 2, \"intermediate_size\": 12, \"vocab_size\": 13, \"max_position_embeddings\": 8%s}",
             architecture, more);
    testing_output(text, &options, set, g, output, &result);
    int n = (int)assay_tensor_count(&result);
    CHECK(n <= MOST);
    for (int i = 0; i < n; i++)
        numbers[i] = assay_tensor_real(&result, i);
    assay_tensor_release(&result);
    return n;
}

static int states(const char *more, const struct given *g, double *numbers)
{
    return run("BertModel", more, g, NULL, 0, "last_hidden_state", numbers);
}

ASSAY_TEST(a_decoder_sees_no_later_token)
{
    double a[MOST], b[MOST];
    struct given one = tokens(), other = one;
    other.ids[LENGTH - 1] = 12;
    int before = (LENGTH - 1) * HIDDEN;
    states(", \"is_decoder\": true", &one, a);
    states(", \"is_decoder\": true", &other, b);
    CHECK(testing_distance(a, b, before) == 0);
    CHECK(testing_distance(a + before, b + before, HIDDEN) > different);
    states("", &one, a);
    states("", &other, b);
    CHECK(testing_distance(a, b, before) > different);
}

/* Two masked tokens before a text move it, which distances between its tokens do not tell. */
ASSAY_TEST(relative_positions_do_not_tell_where_a_text_begins)
{
    static const char *const relative[] = {", \"position_embedding_type\": \"relative_key\"",
                                           ", \"position_embedding_type\": \"relative_key_query\""};
    double a[MOST], b[MOST];
    struct given one = tokens(), moved = one;
    one.length = 4;
    for (int i = 0; i < 4; i++)
        moved.ids[2 + i] = one.ids[i];
    moved.mask[0] = moved.mask[1] = 0;
    for (size_t i = 0; i < ASSAY_COUNT(relative); i++) {
        states(relative[i], &one, a);
        states(relative[i], &moved, b);
        CHECK(testing_distance(a, b + 2 * HIDDEN, 4 * HIDDEN) < same);
    }
    states("", &one, a);
    states("", &moved, b);
    CHECK(testing_distance(a, b + 2 * HIDDEN, 4 * HIDDEN) > different);
}

ASSAY_TEST(relative_positions_tell_the_order_of_tokens)
{
    double a[MOST], b[MOST];
    struct given one = tokens(), turned = one;
    turned.ids[0] = one.ids[1];
    turned.ids[1] = one.ids[0];
    states(", \"position_embedding_type\": \"relative_key\"", &one, a);
    states(", \"position_embedding_type\": \"relative_key\"", &turned, b);
    CHECK(testing_distance(a + 2 * HIDDEN, b + 2 * HIDDEN, 4 * HIDDEN) > different);
}

ASSAY_TEST(what_the_mask_of_the_encoder_hides_does_not_matter)
{
    static const char more[] = ", \"is_decoder\": true, \"add_cross_attention\": true";
    double a[MOST], b[MOST];
    struct given one = tokens(), other = one;
    for (int i = 0; i < HIDDEN; i++)
        other.memory[i] = 9;
    states(more, &one, a);
    states(more, &other, b);
    CHECK(testing_distance(a, b, LENGTH * HIDDEN) > different);
    one.memory_mask[0] = other.memory_mask[0] = 0;
    states(more, &one, a);
    states(more, &other, b);
    CHECK(testing_distance(a, b, LENGTH * HIDDEN) == 0);
}

ASSAY_TEST(choices_do_not_see_one_another)
{
    double both[MOST], alone[MOST];
    struct given two = tokens(), one;
    two.n_choices = 2;
    CHECK_INT(run("BertForMultipleChoice", "", &two, NULL, 0, "logits", both), 2);
    for (int i = 0; i < 2; i++) {
        one = two;
        one.n_choices = 1;
        memcpy(one.ids, two.ids + i * LENGTH, LENGTH * sizeof *one.ids);
        CHECK_INT(run("BertForMultipleChoice", "", &one, NULL, 0, "logits", alone), 1);
        CHECK_NEAR(alone[0], both[i], same);
    }
    CHECK(fabs(both[0] - both[1]) > different);
}

ASSAY_TEST(types_masks_and_places_left_out_have_their_defaults)
{
    static const char *const ids[] = {"input_ids"};
    double a[MOST], b[MOST];
    struct given g = tokens();
    states("", &g, a);
    run("BertModel", "", &g, ids, 1, "last_hidden_state", b);
    CHECK(testing_distance(a, b, LENGTH * HIDDEN) == 0);
}

/* DistilBERT as in PyTorch, where the table of sinusoids requires no gradient. */
ASSAY_TEST(positions_that_are_sinusoids_are_not_learned)
{
    static const char *const texts[] = {
        "{\"model_type\": \"distilbert\", \"architectures\": [\"DistilBertForMaskedLM\"], \"dim\": 8, \"n_heads\": 2, "
        "\"hidden_dim\": 8, \"n_layers\": 1, \"vocab_size\": 9}",
        "{\"model_type\": \"distilbert\", \"architectures\": [\"DistilBertForMaskedLM\"], \"dim\": 8, \"n_heads\": 2, "
        "\"hidden_dim\": 8, \"n_layers\": 1, \"vocab_size\": 9, \"sinusoidal_pos_embds\": true}",
    };
    static const char *const wanted[] = {"trained", "frozen"};
    const struct assay_model_options options = {.training = true};
    for (int i = 0; i < 2; i++) {
        struct assay_error err = {0};
        struct assay_graph *graph;
        json_t *config;
        CHECK_OK(assay_json_parse(texts[i], strlen(texts[i]), "config", &config, &err), err);
        CHECK_OK(assay_model_build(config, "config", &options, &graph, NULL, &err), err);
        CHECK_TEXT(assay_graph_metadata(graph, ASSAY_TRAINING_PARAMETER, "distilbert.embeddings.position_embeddings.weight"),
                   wanted[i]);
        CHECK_TEXT(assay_graph_metadata(graph, ASSAY_TRAINING_PARAMETER, "distilbert.embeddings.word_embeddings.weight"),
                   "trained");
        assay_graph_close(graph);
        json_decref(config);
    }
}

ASSAY_TEST(what_is_not_bert_is_refused)
{
    testing_refusal("{\"model_type\": \"bert\", \"add_cross_attention\": true}", "\"is_decoder\"");
    testing_refusal("{\"model_type\": \"bert\", \"position_embedding_type\": \"rotary\"}", "rotary");
    testing_refusal("{\"model_type\": \"bert\", \"architectures\": [\"BertForQuestionAnswering\"], \"num_labels\": 3}",
                    "start and end");
    testing_refusal(
        "{\"model_type\": \"distilbert\", \"architectures\": [\"DistilBertForQuestionAnswering\"], \"num_labels\": 3}",
        "start and end");
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_decoder_sees_no_later_token),
                ASSAY_TEST_ENTRY(relative_positions_do_not_tell_where_a_text_begins),
                ASSAY_TEST_ENTRY(relative_positions_tell_the_order_of_tokens),
                ASSAY_TEST_ENTRY(what_the_mask_of_the_encoder_hides_does_not_matter),
                ASSAY_TEST_ENTRY(choices_do_not_see_one_another),
                ASSAY_TEST_ENTRY(types_masks_and_places_left_out_have_their_defaults),
                ASSAY_TEST_ENTRY(positions_that_are_sinusoids_are_not_learned), ASSAY_TEST_ENTRY(what_is_not_bert_is_refused))
