/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BERT (Devlin et al. 2018) and DistilBERT (Sanh et al. 2019): post-norm encoders with learned positions, and the heads for
 * pre-training, masked and causal LM, next sentence, multiple choice, sequence and token classification, question answering.
 * BERT also with positions relative between query and key (Shaw et al. 2018), and as a decoder with cross-attention.
 */
#include "model/families/common_relative.h"
#include "model/family.h"

#include <string.h>

/* What both models are, whatever their configs and modules call it. */
struct encoder {
    int64_t hidden, heads, layers, inner, vocabulary, positions, types, padding; /* padding: row of the token, -1 = none */
    double eps, dropout, attention_dropout;
    const char *activation;
    /* modules */
    const char *layer, *query, *key, *value, *output, *output_norm, *up, *down, *norm;
    bool is_distil, is_decoder, has_cross_attention;
    struct relative relative;
};

/* What a forward pass is given; -1 = nothing. With `choices` all of [batch, choices, sequence], else [batch, sequence]. */
struct given {
    bool has_choices;
    int ids, embeddings, mask, types, positions;
    int memory, memory_mask; /* of the encoder whose decoder this is */
    int n_choices;           /* int64[1] */
};

/* What all layers attend with. */
struct context {
    int mask;        /* added to the scores */
    int rows;        /* of the table of relative positions */
    int memory_mask; /* added to those of the cross-attention */
};

/* Choices become a part of the batch. */
static int flat(struct assay_builder *b, int x)
{
    return x < 0 ? x : b_reshape_to(b, x, b_concat(b, 0, B_VALUES(b_ints(b, B_LIST(-1)), b_size(b, x, 2))));
}

static void inputs(struct assay_builder *b, const struct encoder *e, struct given *g)
{
    const char *dims = g->has_choices ? "batch choices sequence" : "batch sequence";
    b->text_positions = e->positions;
    const char *wide = assay_arena_printf(&b->arena, "batch sequence %lld", (long long)e->hidden);
    const char *memory = assay_arena_printf(&b->arena, "batch encoder_sequence %lld", (long long)e->hidden);
    g->embeddings = g->has_choices ? -1 : b_input_optional(b, "inputs_embeds", false, ASSAY_F32, wide);
    g->ids = g->embeddings < 0 ? b_input(b, "input_ids", ASSAY_I64, dims) : -1;
    g->mask = b_input_optional(b, "attention_mask", true, ASSAY_I64, dims);
    g->types = e->types ? b_input_optional(b, "token_type_ids", true, ASSAY_I64, dims) : -1;
    g->positions = e->is_distil ? -1 : b_input_optional(b, "position_ids", false, ASSAY_I64, dims);
    g->memory = e->has_cross_attention ? b_input_optional(b, "encoder_hidden_states", true, ASSAY_F32, memory) : -1;
    g->memory_mask =
        g->memory < 0 ? -1 : b_input_optional(b, "encoder_attention_mask", true, ASSAY_I64, "batch encoder_sequence");
    if (!g->has_choices)
        return;
    g->n_choices = b_size(b, g->ids, 1);
    g->ids = flat(b, g->ids);
    g->mask = flat(b, g->mask);
    g->types = flat(b, g->types);
    g->positions = flat(b, g->positions);
}

static int embed(struct assay_builder *b, const struct encoder *e, const struct given *g)
{
    b_enter(b, "embeddings");
    int words = b_param(b, "word_embeddings.weight", B_LIST(e->vocabulary, e->hidden));
    int x = g->embeddings, positions = g->positions;
    if (x < 0)
        x = b_stop_padding(b, b_gather(b, words, 0, g->ids), g->ids, e->padding);
    if (e->types) {
        int table = b_param(b, "token_type_embeddings.weight", B_LIST(e->types, e->hidden));
        /* Without types all tokens are of type 0. */
        x = b_add(b, x, g->types < 0 ? b_slice(b, table, 0, 0, 1) : b_gather(b, table, 0, g->types));
    }
    if (positions < 0) /* [1, sequence] from 0 */
        positions = b_unsqueeze(b, b_range(b, b_int(b, 0), b_size_scalar(b, x, 1)), B_LIST(0));
    int table = b_param(b, "position_embeddings.weight", B_LIST(e->positions, e->hidden));
    if (!e->relative.of_query)
        x = b_add(b, x, b_gather(b, table, 0, positions));
    x = b_dropout(b, b_layer_norm(b, x, "LayerNorm", e->hidden, e->eps), e->dropout);
    b_leave(b);
    return x;
}

/* ---- layers */

/* To the encoder's states. */
static int look_back(struct assay_builder *b, const struct encoder *e, const struct given *g, const struct context *c, int x,
                     int i)
{
    int64_t h = e->hidden;
    struct b_attention a = {.heads = e->heads, .head_dim = h / e->heads, B_ATTENTION_NONE};
    b_enter(b, "crossattention");
    a.mask = c->memory_mask;
    a.dropout = e->attention_dropout;
    a.q = b_linear(b, x, "self.query", h, h, true);
    a.k = b_linear(b, g->memory, "self.key", h, h, true);
    a.v = b_linear(b, g->memory, "self.value", h, h, true);
    int y = b_dropout(b, b_linear(b, b_attention(b, &a), "output.dense", h, h, true), e->dropout);
    x = b_layer_norm(b, b_add(b, y, x), "output.LayerNorm", h, e->eps);
    b_leave(b);
    b_output_optional(b, a.probabilities, "cross_attentions.%d", i);
    b_output_optional(b, a.key, "past_key_values.%d.2", i);
    b_output_optional(b, a.value, "past_key_values.%d.3", i);
    return x;
}

static int layer(struct assay_builder *b, const struct encoder *e, const struct given *g, const struct context *c, int x, int i)
{
    int64_t h = e->hidden;
    b_enter(b, "%s.%d", e->layer, i);
    struct b_attention a = {.heads = e->heads, .head_dim = h / e->heads, B_ATTENTION_NONE};
    a.mask = c->mask;
    a.dropout = e->attention_dropout;
    a.q = b_linear(b, x, e->query, h, h, true);
    a.k = b_linear(b, x, e->key, h, h, true);
    a.v = b_linear(b, x, e->value, h, h, true);
    if (e->relative.of_query) {
        b_enter(b, "attention.self");
        int scores = relative_scores(b, &e->relative, &a, c->rows);
        b_leave(b);
        a.mask = a.mask >= 0 ? b_add(b, scores, a.mask) : scores;
    }
    int y = b_linear(b, b_attention(b, &a), e->output, h, h, true);
    y = e->is_distil ? y : b_dropout(b, y, e->dropout);
    x = b_layer_norm(b, b_add(b, y, x), e->output_norm, h, e->eps);
    b_output_optional(b, a.probabilities, "attentions.%d", i);
    if (e->is_decoder) {
        b_output_optional(b, a.key, "past_key_values.%d.0", i);
        b_output_optional(b, a.value, "past_key_values.%d.1", i);
    }
    if (g->memory >= 0)
        x = look_back(b, e, g, c, x, i);
    else if (e->has_cross_attention)
        b_ignore(b, assay_arena_printf(&b->arena, "%s.crossattention.*", b->scope));
    y = b_activation(b, b_linear(b, x, e->up, h, e->inner, true), e->activation);
    y = b_dropout(b, b_linear(b, y, e->down, e->inner, h, true), e->dropout);
    x = b_layer_norm(b, b_add(b, y, x), e->norm, h, e->eps);
    b_leave(b);
    b_output_optional(b, x, "hidden_states.%d", i + 1);
    return x;
}

/* [batch, sequence, hidden] */
static int encode(struct assay_builder *b, const struct encoder *e, const char *scope, struct given *g)
{
    struct context c = {-1, -1, -1};
    inputs(b, e, g);
    b_enter(b, "%s", scope);
    int x = embed(b, e, g), length = b_size_scalar(b, x, 1);
    if (e->is_decoder)
        c.mask = b_causal_mask(b, length, length, 0, g->mask);
    else if (g->mask >= 0)
        c.mask = b_padding_mask(b, g->mask);
    if (g->memory_mask >= 0)
        c.memory_mask = b_padding_mask(b, g->memory_mask);
    if (e->relative.of_query)
        c.rows = relative_rows(b, &e->relative, length);
    b_output_optional(b, x, "hidden_states.0");
    for (int64_t i = 0; i < e->layers && !b->emit.status; i++)
        x = layer(b, e, g, &c, x, (int)i);
    b_leave(b);
    return x;
}

/* [batch, hidden]: BERT's pooler, of the first token. */
static int pool(struct assay_builder *b, const struct encoder *e, const char *scope, int x)
{
    b_enter(b, "%s", scope);
    x = b_unary(b, "Tanh", b_linear(b, b_take(b, x, 1, 0), "pooler.dense", e->hidden, e->hidden, true));
    b_leave(b);
    return x;
}

/* ---- heads */

/* Classes of each token. */
static void classify_tokens(struct assay_builder *b, int x, int64_t hidden, int64_t labels)
{
    x = b_linear(b, x, "classifier", hidden, labels, true);
    b_output(b, x, "logits");
    b_classes_loss(b, x, "batch sequence");
}

static void classify(struct assay_builder *b, struct assay_config *c, int x, int64_t hidden, int64_t labels)
{
    x = b_linear(b, x, "classifier", hidden, labels, true);
    b_output(b, x, "logits");
    b_problem_loss(b, c, x);
}

/* Of tokens that were masked, or of the next ones. */
static void speak(struct assay_builder *b, int scores, bool next)
{
    b_output(b, scores, "logits");
    if (!b_training(b))
        return;
    int labels = b_labels(b, "labels", "batch sequence", b_dim(b, scores, -1));
    b_loss(b, next ? b_next_token_loss(b, scores, labels) : b_cross_entropy(b, scores, labels, B_IGNORED_LABEL));
}

/* One score for each choice. */
static void choose(struct assay_builder *b, const struct given *g, int x, int64_t hidden)
{
    int shape = b_concat(b, 0, B_VALUES(b_ints(b, B_LIST(-1)), g->n_choices));
    int scores = b_reshape_to(b, b_linear(b, x, "classifier", hidden, 1, true), shape);
    b_output(b, scores, "logits");
    if (!b_training(b))
        return;
    int labels = b_labels(b, "labels", "batch", 2);
    b_loss(b, b_op(b, "SoftmaxCrossEntropyLoss", B_VALUES(scores, labels)));
    b_set_int(b, "ignore_index", B_IGNORED_LABEL);
}

static void answer(struct assay_builder *b, int x, int64_t hidden)
{
    int both = b_linear(b, x, "qa_outputs", hidden, 2, true), start = b_take(b, both, -1, 0);
    b_output(b, start, "start_logits");
    int end = b_take(b, both, -1, 1);
    b_output(b, end, "end_logits");
    b_answer_loss(b, start, end);
}

/* BERT's transform and the decoder, whose bias stands beside it. */
static int bert_vocabulary(struct assay_builder *b, const struct encoder *e, int x)
{
    b_enter(b, "cls.predictions");
    x = b_activation(b, b_linear(b, x, "transform.dense", e->hidden, e->hidden, true), e->activation);
    x = b_layer_norm(b, x, "transform.LayerNorm", e->hidden, e->eps);
    x = b_project(b, x, b_param(b, "decoder.weight", B_LIST(e->vocabulary, e->hidden)));
    x = b_add(b, x, b_param(b, "bias", B_LIST(e->vocabulary)));
    b_leave(b);
    return x;
}

static int next_sentence(struct assay_builder *b, const struct encoder *e, int x)
{
    return b_linear(b, pool(b, e, "bert", x), "cls.seq_relationship", e->hidden, 2, true);
}

static bool is(const struct assay_architecture *a, const char *name) { return strcmp(a->name, name) == 0; }

/* Tokens that were masked, and whether the second sentence follows the first. */
static void pretrain(struct assay_builder *b, const struct encoder *e, int x)
{
    int words = bert_vocabulary(b, e, x);
    b_output(b, words, "prediction_logits");
    int follows = next_sentence(b, e, x);
    b_output(b, follows, "seq_relationship_logits");
    if (!b_training(b))
        return;
    int labels = b_labels(b, "labels", "batch sequence", e->vocabulary);
    int of_words = b_cross_entropy(b, words, labels, B_IGNORED_LABEL);
    int of_next = b_cross_entropy(b, follows, b_labels(b, "next_sentence_label", "batch", 2), B_IGNORED_LABEL);
    b_loss(b, b_add(b, of_words, of_next));
}

static void read_decoder(struct encoder *e, struct assay_config *c)
{
    e->is_decoder = c_bool(c, "is_decoder", false);
    e->has_cross_attention = c_bool(c, "add_cross_attention", false);
    if (e->has_cross_attention && !e->is_decoder)
        assay_config_fail(c, ASSAY_INVALID, "\"add_cross_attention\" is true, which needs \"is_decoder\" to be true");
}

/* Start and end of an answer. */
static void require_two(struct assay_config *c, int64_t labels)
{
    if (labels != 2)
        assay_config_fail(c, ASSAY_INVALID, "%lld classes are told; question answering has two, start and end",
                          (long long)labels);
}

static void build_bert(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    struct encoder e = {
        .hidden = c_size(c, "hidden_size", 768),
        .heads = c_size(c, "num_attention_heads", 12),
        .layers = c_count(c, "num_hidden_layers", 12),
        .inner = c_size(c, "intermediate_size", 3072),
        .vocabulary = c_size(c, "vocab_size", 30522),
        .positions = c_size(c, "max_position_embeddings", 512),
        .types = c_size(c, "type_vocab_size", 2),
        .eps = c_real(c, "layer_norm_eps", 1e-12),
        .activation = c_text(c, "hidden_act", "gelu"),
        .dropout = c_dropout(c, "hidden_dropout_prob", 0.1),
        .attention_dropout = c_dropout(c, "attention_probs_dropout_prob", 0.1),
        .layer = "encoder.layer",
        .query = "attention.self.query",
        .key = "attention.self.key",
        .value = "attention.self.value",
        .output = "attention.output.dense",
        .output_norm = "attention.output.LayerNorm",
        .up = "intermediate.dense",
        .down = "output.dense",
        .norm = "output.LayerNorm",
    };
    struct given g = {.has_choices = is(a, "BertForMultipleChoice")};
    bool tied = c_bool(c, "tie_word_embeddings", true), alone = is(a, "BertModel");
    int64_t labels = c_labels(c, 2);
    double head_dropout = c_dropout(c, "classifier_dropout", e.dropout);
    e.padding = c_padding_row(c, 0, e.vocabulary);
    read_decoder(&e, c);
    e.relative.positions = e.positions;
    relative_read(&e.relative, c);
    if (is(a, "BertForQuestionAnswering"))
        require_two(c, labels);
    /* Fields of Google's first configs, which Transformers doesn't read. */
    c_ignore(c, "directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head",
             "pooler_type", NULL);
    if (e.hidden % e.heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"hidden_size\" %lld is no multiple of \"num_attention_heads\" %lld",
                          (long long)e.hidden, (long long)e.heads);
    if (assay_config_status(c))
        return;
    b_ignore(b, "*embeddings.position_ids");
    if (tied)
        b_tie(b, "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight");
    b_tie(b, "cls.predictions.decoder.bias", "cls.predictions.bias");
    int x = encode(b, &e, alone ? "" : "bert", &g);
    if (alone) {
        b_output(b, x, "last_hidden_state");
        if (b_has(b, "pooler.dense.weight", true))
            b_output(b, pool(b, &e, "", x), "pooler_output");
    } else if (is(a, "BertForPreTraining")) {
        pretrain(b, &e, x);
    } else if (is(a, "BertForMaskedLM") || is(a, "BertLMHeadModel")) {
        /* Transformers loads these heads from checkpoints of pre-training, too. */
        b_ignore(b, "cls.seq_relationship.*");
        b_ignore(b, "bert.pooler.*");
        speak(b, bert_vocabulary(b, &e, x), is(a, "BertLMHeadModel"));
    } else if (is(a, "BertForNextSentencePrediction")) {
        b_ignore(b, "cls.predictions.*");
        x = next_sentence(b, &e, x);
        b_output(b, x, "logits");
        b_classes_loss(b, x, "batch");
    } else if (is(a, "BertForSequenceClassification")) {
        classify(b, c, b_dropout(b, pool(b, &e, "bert", x), head_dropout), e.hidden, labels);
    } else if (is(a, "BertForMultipleChoice")) {
        choose(b, &g, b_dropout(b, pool(b, &e, "bert", x), head_dropout), e.hidden);
    } else if (is(a, "BertForTokenClassification")) {
        b_ignore(b, "bert.pooler.*");
        classify_tokens(b, b_dropout(b, x, head_dropout), e.hidden, labels);
    } else {
        b_ignore(b, "bert.pooler.*");
        answer(b, x, e.hidden);
    }
}

static void build_distilbert(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    struct encoder e = {
        .hidden = c_size(c, "dim", 768),
        .heads = c_size(c, "n_heads", 12),
        .layers = c_count(c, "n_layers", 6),
        .inner = c_size(c, "hidden_dim", 3072),
        .vocabulary = c_size(c, "vocab_size", 30522),
        .positions = c_size(c, "max_position_embeddings", 512),
        .eps = 1e-12,
        .activation = c_text(c, "activation", "gelu"),
        .dropout = c_dropout(c, "dropout", 0.1),
        .attention_dropout = c_dropout(c, "attention_dropout", 0.1),
        .layer = "transformer.layer",
        .query = "attention.q_lin",
        .key = "attention.k_lin",
        .value = "attention.v_lin",
        .output = "attention.out_lin",
        .output_norm = "sa_layer_norm",
        .up = "ffn.lin1",
        .down = "ffn.lin2",
        .norm = "output_layer_norm",
        .is_distil = true,
    };
    struct given g = {.has_choices = is(a, "DistilBertForMultipleChoice")};
    bool tied = c_bool(c, "tie_word_embeddings", true), alone = is(a, "DistilBertModel");
    int64_t labels = c_labels(c, 2);
    double sequence_dropout = c_dropout(c, "seq_classif_dropout", 0.2), answer_dropout = c_dropout(c, "qa_dropout", 0.1);
    e.padding = c_padding_row(c, 0, e.vocabulary);
    if (is(a, "DistilBertForQuestionAnswering"))
        require_two(c, labels);
    /* The checkpoint holds the positions in either case; sinusoids are not learned. */
    bool has_sinusoids = c_bool(c, "sinusoidal_pos_embds", false);
    c_ignore(c, "tie_weights_", NULL); /* of old configs, unread */
    if (e.hidden % e.heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"dim\" %lld is no multiple of \"n_heads\" %lld", (long long)e.hidden,
                          (long long)e.heads);
    if (assay_config_status(c))
        return;
    b_ignore(b, "*embeddings.position_ids");
    if (tied)
        b_tie(b, "vocab_projector.weight", "distilbert.embeddings.word_embeddings.weight");
    if (has_sinusoids)
        b_freeze(b, "*embeddings.position_embeddings.weight");
    int x = encode(b, &e, alone ? "" : "distilbert", &g);
    if (alone) {
        b_output(b, x, "last_hidden_state");
    } else if (is(a, "DistilBertForMaskedLM")) {
        x = b_activation(b, b_linear(b, x, "vocab_transform", e.hidden, e.hidden, true), e.activation);
        x = b_layer_norm(b, x, "vocab_layer_norm", e.hidden, 1e-12);
        speak(b, b_linear(b, x, "vocab_projector", e.hidden, e.vocabulary, true), false);
    } else if (is(a, "DistilBertForSequenceClassification") || g.has_choices) {
        x = b_unary(b, "Relu", b_linear(b, b_take(b, x, 1, 0), "pre_classifier", e.hidden, e.hidden, true));
        x = b_dropout(b, x, sequence_dropout);
        if (g.has_choices)
            choose(b, &g, x, e.hidden);
        else
            classify(b, c, x, e.hidden, labels);
    } else if (is(a, "DistilBertForTokenClassification")) {
        classify_tokens(b, b_dropout(b, x, e.dropout), e.hidden, labels);
    } else {
        answer(b, b_dropout(b, x, answer_dropout), e.hidden);
    }
}

static void build(struct assay_builder *b, struct assay_config *config, const struct assay_architecture *architecture)
{
    if (strcmp(architecture->model_type, "bert") == 0)
        build_bert(b, config, architecture);
    else
        build_distilbert(b, config, architecture);
}

static const struct assay_architecture architectures[] = {
    {"BertForPreTraining", "bert", "cls.seq_relationship.weight"},
    {"BertForMaskedLM", "bert", "cls.predictions.bias"},
    {"BertForQuestionAnswering", "bert", "qa_outputs.weight"},
    {"BertForSequenceClassification", "bert", "classifier.weight"},
    {"BertForTokenClassification", "bert", "classifier.weight"},
    {"BertForNextSentencePrediction", "bert", "cls.seq_relationship.weight"},
    {"BertForMultipleChoice", "bert", "classifier.weight"},
    {"BertLMHeadModel", "bert", "cls.predictions.bias"},
    {"BertModel", "bert", NULL},
    {"DistilBertForMaskedLM", "distilbert", "vocab_projector.bias"},
    {"DistilBertForQuestionAnswering", "distilbert", "qa_outputs.weight"},
    {"DistilBertForSequenceClassification", "distilbert", "pre_classifier.weight"},
    {"DistilBertForMultipleChoice", "distilbert", "pre_classifier.weight"},
    {"DistilBertForTokenClassification", "distilbert", "classifier.weight"},
    {"DistilBertModel", "distilbert", NULL},
    {NULL, NULL, NULL},
};

const struct assay_family assay_family_bert = {
    .name = "bert", .modality = "text", .architectures = architectures, .build = build};
