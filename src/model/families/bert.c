/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BERT (Devlin et al. 2018) and DistilBERT (Sanh et al. 2019): post-norm encoders with learned positions, and the heads for
 * pre-training, masked LM, next sentence, sequence and token classification, question answering.
 */
#include "model/family.h"

#include <string.h>

/* What both models are, whatever their configs and modules call it. */
struct encoder {
    int64_t hidden, heads, layers, inner, vocabulary, positions, types;
    double eps;
    const char *activation;
    /* modules */
    const char *layer, *query, *key, *value, *output, *output_norm, *up, *down, *norm;
    bool is_distil;
};

static void inputs(struct assay_builder *b, const struct encoder *e, int *ids, int *mask, int *types, int *positions)
{
    *ids = b_input(b, "input_ids", ASSAY_I64, "batch sequence");
    *mask = b_input_optional(b, "attention_mask", true, ASSAY_I64, "batch sequence");
    *types = e->types ? b_input_optional(b, "token_type_ids", true, ASSAY_I64, "batch sequence") : -1;
    *positions = e->is_distil ? -1 : b_input_optional(b, "position_ids", false, ASSAY_I64, "batch sequence");
}

/* [1, sequence] from 0 where no positions are given. */
static int positions_of(struct assay_builder *b, int ids, int positions)
{
    return positions >= 0 ? positions : b_unsqueeze(b, b_range(b, b_int(b, 0), b_size_scalar(b, ids, 1)), B_LIST(0));
}

static int embed(struct assay_builder *b, const struct encoder *e, int ids, int types, int positions)
{
    b_enter(b, "embeddings");
    int x = b_embedding(b, ids, "word_embeddings", e->vocabulary, e->hidden);
    if (e->types) {
        /* Without types all tokens are of type 0. */
        int none = types < 0 ? b_mul(b, ids, b_int(b, 0)) : types;
        x = b_add(b, x, b_embedding(b, none, "token_type_embeddings", e->types, e->hidden));
    }
    x = b_add(b, x, b_embedding(b, positions_of(b, ids, positions), "position_embeddings", e->positions, e->hidden));
    x = b_layer_norm(b, x, "LayerNorm", e->hidden, e->eps);
    b_leave(b);
    return x;
}

static int layer(struct assay_builder *b, const struct encoder *e, int x, int mask, int64_t i)
{
    int64_t h = e->hidden;
    b_enter(b, "%s.%d", e->layer, (int)i);
    struct b_attention a = {.heads = e->heads, .head_dim = h / e->heads, B_ATTENTION_NONE};
    a.mask = mask;
    a.q = b_linear(b, x, e->query, h, h, true);
    a.k = b_linear(b, x, e->key, h, h, true);
    a.v = b_linear(b, x, e->value, h, h, true);
    int y = b_linear(b, b_attention(b, &a), e->output, h, h, true);
    x = b_layer_norm(b, b_add(b, y, x), e->output_norm, h, e->eps);
    y = b_activation(b, b_linear(b, x, e->up, h, e->inner, true), e->activation);
    y = b_linear(b, y, e->down, e->inner, h, true);
    x = b_layer_norm(b, b_add(b, y, x), e->norm, h, e->eps);
    b_leave(b);
    b_output_optional(b, a.probabilities, "attentions.%d", (int)i);
    b_output_optional(b, x, "hidden_states.%d", (int)i + 1);
    return x;
}

/* [batch, sequence, hidden] */
static int encode(struct assay_builder *b, const struct encoder *e, const char *scope)
{
    int ids, attention_mask, types, positions;
    inputs(b, e, &ids, &attention_mask, &types, &positions);
    b_enter(b, "%s", scope);
    int x = embed(b, e, ids, types, positions), mask = attention_mask >= 0 ? b_padding_mask(b, attention_mask) : -1;
    b_output_optional(b, x, "hidden_states.0");
    for (int64_t i = 0; i < e->layers && !b->status; i++)
        x = layer(b, e, x, mask, i);
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

static void classify(struct assay_builder *b, int x, const char *name, int64_t hidden, int64_t labels)
{
    b_output(b, b_linear(b, x, name, hidden, labels, true), "logits");
}

static void answer(struct assay_builder *b, int x, int64_t hidden)
{
    int both = b_linear(b, x, "qa_outputs", hidden, 2, true);
    b_output(b, b_take(b, both, -1, 0), "start_logits");
    b_output(b, b_take(b, both, -1, 1), "end_logits");
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
    bool tied = c_bool(c, "tie_word_embeddings", true), alone = is(a, "BertModel");
    int64_t labels = c_labels(c, 2);
    c_require_text(c, "position_embedding_type", "absolute");
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
    int x = encode(b, &e, alone ? "" : "bert");
    if (alone) {
        b_output(b, x, "last_hidden_state");
        if (b_has(b, "pooler.dense.weight", true))
            b_output(b, pool(b, &e, "", x), "pooler_output");
    } else if (is(a, "BertForPreTraining")) {
        b_output(b, bert_vocabulary(b, &e, x), "prediction_logits");
        b_output(b, next_sentence(b, &e, x), "seq_relationship_logits");
    } else if (is(a, "BertForMaskedLM")) {
        /* Transformers loads this head from checkpoints of pre-training, too. */
        b_ignore(b, "cls.seq_relationship.*");
        b_ignore(b, "bert.pooler.*");
        b_output(b, bert_vocabulary(b, &e, x), "logits");
    } else if (is(a, "BertForNextSentencePrediction")) {
        b_ignore(b, "cls.predictions.*");
        b_output(b, next_sentence(b, &e, x), "logits");
    } else if (is(a, "BertForSequenceClassification")) {
        classify(b, pool(b, &e, "bert", x), "classifier", e.hidden, labels);
    } else if (is(a, "BertForTokenClassification")) {
        b_ignore(b, "bert.pooler.*");
        classify(b, x, "classifier", e.hidden, labels);
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
    bool tied = c_bool(c, "tie_word_embeddings", true), alone = is(a, "DistilBertModel");
    int64_t labels = c_labels(c, 2);
    /* How positions were initialised: the checkpoint holds them in either case. "tie_weights_" is of old configs, unread. */
    c_ignore(c, "sinusoidal_pos_embds", "tie_weights_", NULL);
    if (e.hidden % e.heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"dim\" %lld is no multiple of \"n_heads\" %lld", (long long)e.hidden,
                          (long long)e.heads);
    if (assay_config_status(c))
        return;
    b_ignore(b, "*embeddings.position_ids");
    if (tied)
        b_tie(b, "vocab_projector.weight", "distilbert.embeddings.word_embeddings.weight");
    int x = encode(b, &e, alone ? "" : "distilbert");
    if (alone) {
        b_output(b, x, "last_hidden_state");
    } else if (is(a, "DistilBertForMaskedLM")) {
        x = b_activation(b, b_linear(b, x, "vocab_transform", e.hidden, e.hidden, true), e.activation);
        x = b_layer_norm(b, x, "vocab_layer_norm", e.hidden, 1e-12);
        b_output(b, b_linear(b, x, "vocab_projector", e.hidden, e.vocabulary, true), "logits");
    } else if (is(a, "DistilBertForSequenceClassification")) {
        x = b_unary(b, "Relu", b_linear(b, b_take(b, x, 1, 0), "pre_classifier", e.hidden, e.hidden, true));
        classify(b, x, "classifier", e.hidden, labels);
    } else if (is(a, "DistilBertForTokenClassification")) {
        classify(b, x, "classifier", e.hidden, labels);
    } else {
        answer(b, x, e.hidden);
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
    {"BertModel", "bert", NULL},
    {"DistilBertForMaskedLM", "distilbert", "vocab_projector.bias"},
    {"DistilBertForQuestionAnswering", "distilbert", "qa_outputs.weight"},
    {"DistilBertForSequenceClassification", "distilbert", "pre_classifier.weight"},
    {"DistilBertForTokenClassification", "distilbert", "classifier.weight"},
    {"DistilBertModel", "distilbert", NULL},
    {NULL, NULL, NULL},
};

const struct assay_family assay_family_bert = {
    .name = "bert", .modality = "text", .architectures = architectures, .build = build};
