/* SPDX-License-Identifier: Apache-2.0 */
/*
 * T5 (Raffel et al. 2020), v1.0 and v1.1 with its gated feed forward: pre-norm encoder and decoder with RMS norms, no biases,
 * unscaled attention, and a bias by bucketed relative position that the first block of each stack holds. Heads: conditional
 * generation, sequence and token classification, question answering; the encoder alone.
 */
#include "model/families/common_cross.h"
#include "model/family.h"

#include <math.h>
#include <string.h>

struct t5 {
    int64_t hidden, head_dim, heads, inner, layers, decoder_layers, vocabulary, buckets, max_distance;
    double eps, dropout, head_dropout;
    const char *activation;
    bool gated, tied;
    int64_t start_token, eos_token, pad_token;
};

/* What tells an encoder block from a decoder block. */
struct stack {
    const char *scope, *prefix; /* module; what names of its outputs begin with */
    int64_t layers;
    bool decodes;
    int length, keys; /* scalars: of what it reads, and of what that can look at, cached places too */
    int mask;         /* of self-attention, without the position bias; -1 = none */
    int memory;       /* encoder's states that a decoder attends to; -1 = their keys and values are inputs */
    int cross_mask;   /* over memory; -1 = none */
};

/* ---- config */

/* "relu", "gated-gelu" (which means the approximation by tanh), "gated-silu" …; fields of their own override it. */
static void read_activation(struct t5 *t, struct assay_config *c)
{
    const char *word = c_text(c, "feed_forward_proj", "relu"), *dash = strchr(word, '-');
    if (dash && (strncmp(word, "gated-", 6) != 0 || strchr(dash + 1, '-')))
        assay_config_fail(c, ASSAY_INVALID, "\"feed_forward_proj\" is \"%s\"; it must be an activation or \"gated-\" and one",
                          word);
    const char *usual = strcmp(word, "gated-gelu") == 0 ? "gelu_new" : dash ? dash + 1 : word;
    t->activation = c_text(c, "dense_act_fn", usual);
    t->gated = c_bool(c, "is_gated_act", dash != NULL);
}

static void read_config(struct t5 *t, struct assay_config *c, bool has_decoder)
{
    *t = (struct t5){
        .hidden = c_size(c, "d_model", 512),
        .head_dim = c_size(c, "d_kv", 64),
        .heads = c_size(c, "num_heads", 8),
        .inner = c_size(c, "d_ff", 2048),
        .layers = c_count(c, "num_layers", 6),
        .vocabulary = c_size(c, "vocab_size", 32128),
        .buckets = c_size(c, "relative_attention_num_buckets", 32),
        .max_distance = c_size(c, "relative_attention_max_distance", 128),
        .eps = c_real(c, "layer_norm_epsilon", 1e-6),
        .dropout = c_dropout(c, "dropout_rate", 0.1),
        .head_dropout = c_dropout(c, "classifier_dropout", 0),
        .tied = c_bool(c, "tie_word_embeddings", true),
        .pad_token = c_int(c, "pad_token_id", 0),
        .start_token = c_int(c, "decoder_start_token_id", c_int(c, "pad_token_id", 0)),
    };
    t->decoder_layers = c_count(c, "num_decoder_layers", t->layers);
    read_activation(t, c);
    /* Of old configs; what Transformers doesn't read. */
    c_ignore(c, "n_positions", NULL);
    if (t->buckets < 4)
        assay_config_fail(c, ASSAY_INVALID, "\"relative_attention_num_buckets\" is %lld; it must be at least 4",
                          (long long)t->buckets);
    /* Where distances no longer have buckets of their own; an encoder has half of them for each direction. */
    int64_t own = t->buckets / (has_decoder ? 2 : 4);
    if (t->max_distance <= own)
        assay_config_fail(
            c, ASSAY_INVALID,
            "\"relative_attention_max_distance\" is %lld; with %lld \"relative_attention_num_buckets\" it must be more than %lld",
            (long long)t->max_distance, (long long)t->buckets, (long long)own);
}

/* ---- position bias */

/* Of a distance that isn't negative: the first half of the buckets one each, then ever wider ones up to max_distance. In f32 as
 * PyTorch computes it, since a bucket begins where a logarithm crosses a whole number. */
static int64_t bucket(int64_t distance, int64_t buckets, int64_t max_distance)
{
    int64_t exact = buckets / 2;
    if (distance < exact)
        return distance;
    float span = (float)log((double)max_distance / (double)exact);
    float place = logf((float)distance / (float)exact) / span * (float)(buckets - exact);
    int64_t large = exact + (int64_t)place;
    return large < buckets ? large : buckets - 1;
}

/* [1, heads, query, key], the same for all blocks; the queries are the last ones of the keys. Beyond max_distance all keys are in
 * the last bucket. */
static int position_bias(struct assay_builder *b, const struct t5 *t, const struct stack *s)
{
    int64_t most = t->max_distance, n = 2 * most + 1, half = t->buckets / 2;
    float *table = assay_arena_array(&b->arena, (size_t)n, sizeof *table); /* bucket of key - query, from -max_distance */
    for (int64_t i = 0; i < n; i++) {
        int64_t after = i - most;
        if (!s->decodes)
            table[i] = (float)((after > 0 ? half : 0) + bucket(after > 0 ? after : -after, half, most));
        else
            table[i] = (float)bucket(after > 0 ? 0 : -after, t->buckets, most);
    }
    b_enter(b, "block.0.layer.0.SelfAttention.relative_attention_bias");
    int buckets = b_cast(b, b_floats(b, "buckets", B_LIST(n), table), ASSAY_I64);
    int by_distance = b_gather(b, b_param(b, "weight", B_LIST(t->buckets, t->heads)), 0, buckets);
    int keys = b_range(b, b_int(b, 0), s->keys), queries = b_range(b, b_sub(b, s->keys, s->length), s->keys);
    int after = b_sub(b, keys, b_unsqueeze(b, queries, B_LIST(1)));
    after = b_op(b, "Clip", B_VALUES(after, b_int(b, -most), b_int(b, most)));
    int bias = b_gather(b, by_distance, 0, b_add(b, after, b_int(b, most)));
    bias = b_unsqueeze(b, b_transpose(b, bias, B_LIST(2, 0, 1)), B_LIST(0));
    b_leave(b);
    return bias;
}

/* ---- blocks */

/* memory: whose keys and values are looked at; -1 = those of the cross attention in layer a->layer, which are inputs. */
static int attention(struct assay_builder *b, const struct t5 *t, const char *name, int x, int memory, struct b_attention *a)
{
    int64_t all = t->heads * t->head_dim;
    b_enter(b, "%s", name);
    a->heads = t->heads;
    a->head_dim = t->head_dim;
    a->scale = 1;
    a->keep = -1;
    a->dropout = t->dropout;
    /* The scale of the scores is in the weights, in random ones as in T5's own initialisation. */
    b->random_gain = 1 / sqrt((double)t->head_dim);
    a->q = b_linear(b, x, "q", t->hidden, all, false);
    b->random_gain = 0;
    if (memory >= 0) {
        a->k = b_linear(b, memory, "k", t->hidden, all, false);
        a->v = b_linear(b, memory, "v", t->hidden, all, false);
    } else {
        cross_take(b, a->layer, "source_sequence", a);
    }
    int y = b_linear(b, b_attention(b, a), "o", all, t->hidden, false);
    b_leave(b);
    return y;
}

static int feed_forward(struct assay_builder *b, const struct t5 *t, int x)
{
    b_enter(b, "DenseReluDense");
    int y = b_activation(b, b_linear(b, x, t->gated ? "wi_0" : "wi", t->hidden, t->inner, false), t->activation);
    if (t->gated)
        y = b_mul(b, y, b_linear(b, x, "wi_1", t->hidden, t->inner, false));
    y = b_linear(b, b_dropout(b, y, t->dropout), "wo", t->inner, t->hidden, false);
    b_leave(b);
    return y;
}

static int block(struct assay_builder *b, const struct t5 *t, const struct stack *s, int x, int mask, int64_t i)
{
    struct b_attention self = {.mask = mask, .cached = s->decodes && b->options->phase == ASSAY_PHASE_DECODE, .layer = i},
                       cross = {.mask = s->cross_mask, .layer = i};
    b_enter(b, "block.%d", (int)i);
    b_enter(b, "layer.0");
    int y = b_rms_norm(b, x, "layer_norm", t->hidden, t->eps);
    x = b_add(b, x, b_dropout(b, attention(b, t, "SelfAttention", y, y, &self), t->dropout));
    b_leave(b);
    if (s->decodes) {
        b_enter(b, "layer.1");
        y = b_rms_norm(b, x, "layer_norm", t->hidden, t->eps);
        x = b_add(b, x, b_dropout(b, attention(b, t, "EncDecAttention", y, s->memory, &cross), t->dropout));
        b_leave(b);
    }
    b_enter(b, "layer.%d", s->decodes ? 2 : 1);
    x = b_add(b, x, b_dropout(b, feed_forward(b, t, b_rms_norm(b, x, "layer_norm", t->hidden, t->eps)), t->dropout));
    b_leave(b);
    b_leave(b);
    b_output_optional(b, self.probabilities, "%sattentions.%d", s->prefix, (int)i);
    if (s->decodes) {
        b_output_optional(b, cross.probabilities, "cross_attentions.%d", (int)i);
        b_output_optional(b, self.key, "past_key_values.%d.0", (int)i);
        b_output_optional(b, self.value, "past_key_values.%d.1", (int)i);
        b_output_optional(b, cross.key, "past_key_values.%d.2", (int)i);
        b_output_optional(b, cross.value, "past_key_values.%d.3", (int)i);
    }
    return x;
}

/* [batch, length, hidden] */
static int run(struct assay_builder *b, const struct t5 *t, const struct stack *s, int ids)
{
    b_enter(b, "%s", s->scope);
    int x = b_dropout(b, b_embedding(b, ids, "embed_tokens", t->vocabulary, t->hidden), t->dropout), mask = s->mask;
    if (s->layers > 0) {
        int bias = position_bias(b, t, s);
        mask = mask >= 0 ? b_add(b, bias, mask) : bias;
    }
    for (int64_t i = 0; i < s->layers && !b->emit.status; i++) {
        b_output_optional(b, x, "%shidden_states.%d", s->prefix, (int)i);
        x = block(b, t, s, x, mask, i);
    }
    x = b_dropout(b, b_rms_norm(b, x, "final_layer_norm", t->hidden, t->eps), t->dropout);
    b_output_optional(b, x, "%shidden_states.%d", s->prefix, (int)s->layers);
    b_leave(b);
    return x;
}

/* ---- heads */

static bool is(const struct assay_architecture *a, const char *name) { return strcmp(a->name, name) == 0; }

/* The heads that read their input twice give it to the decoder behind the start token. */
static int shift_right(struct assay_builder *b, const struct t5 *t, int ids)
{
    int first = b_mul(b, b_slice(b, ids, 1, 0, 1), b_int(b, 0));
    first = b_add(b, first, b_int(b, t->start_token));
    return b_concat(b, 1, B_VALUES(first, b_slice(b, ids, 1, 0, -1)));
}

static int run_encoder(struct assay_builder *b, const struct t5 *t, const char *prefix, int ids, int mask)
{
    int length = b_size_scalar(b, ids, 1);
    struct stack encoder = {
        .scope = "encoder", .prefix = prefix, .layers = t->layers, .length = length, .keys = length, .mask = mask};
    return run(b, t, &encoder, ids);
}

/* padding: int64 [batch, key] or -1. memory -1: the phase DECODE. */
static int run_decoder(struct assay_builder *b, const struct t5 *t, int ids, int padding, int memory, int cross_mask)
{
    int length = b_size_scalar(b, ids, 1), keys = memory >= 0 ? length : b_size_scalar(b, padding, 1);
    struct stack decoder = {.scope = "decoder",
                            .prefix = "decoder_",
                            .layers = t->decoder_layers,
                            .decodes = true,
                            .length = length,
                            .keys = keys,
                            .mask = b_causal_mask(b, length, keys, 0, padding),
                            .memory = memory,
                            .cross_mask = cross_mask};
    return run(b, t, &decoder, ids);
}

/* The encoder's states if the architecture has no decoder, else the decoder's. labels: what a decoder that is given nothing
 * else reads, shifted; or -1. */
static int encode_decode(struct assay_builder *b, const struct t5 *t, const char *scope, int ids, bool has_decoder,
                         bool reads_twice, int labels)
{
    int padding = b_input_optional(b, "attention_mask", true, ASSAY_I64, "batch sequence");
    int mask = padding >= 0 ? b_padding_mask(b, padding) : -1;
    b_enter(b, "%s", scope);
    int x = run_encoder(b, t, has_decoder ? "encoder_" : "", ids, mask);
    if (has_decoder) {
        int decoder_ids = -1;
        if (!reads_twice && labels < 0)
            decoder_ids = b_input(b, "decoder_input_ids", ASSAY_I64, "batch decoder_sequence");
        else
            decoder_ids = b_input_optional(b, "decoder_input_ids", false, ASSAY_I64, "batch decoder_sequence");
        if (decoder_ids < 0)
            decoder_ids = labels >= 0 ? b_shift_right(b, labels, t->start_token, t->pad_token) : shift_right(b, t, ids);
        int decoder_padding = b_input_optional(b, "decoder_attention_mask", false, ASSAY_I64, "batch decoder_sequence");
        b_output_optional(b, x, "encoder_last_hidden_state");
        x = run_decoder(b, t, decoder_ids, decoder_padding, x, mask);
    }
    b_leave(b);
    return x;
}

/* [batch, labels], of the last end of sequence in the input. */
static int classify(struct assay_builder *b, const struct t5 *t, int x, int ids, int64_t labels)
{
    int is_end = b_cast(b, b_op(b, "Equal", B_VALUES(ids, b_int(b, t->eos_token))), ASSAY_I32);
    int last = b_op(b, "ArgMax", B_VALUES(is_end));
    b_set_int(b, "axis", 1);
    b_set_int(b, "keepdims", 1);
    b_set_int(b, "select_last_index", 1);
    x = b_op(b, "GatherND", B_VALUES(x, last));
    b_set_int(b, "batch_dims", 1);
    b_enter(b, "classification_head");
    x = b_unary(b, "Tanh", b_linear(b, b_dropout(b, x, t->head_dropout), "dense", t->hidden, t->hidden, true));
    x = b_linear(b, b_dropout(b, x, t->head_dropout), "out_proj", t->hidden, labels, true);
    b_leave(b);
    return x;
}

static int head(struct assay_builder *b, const struct t5 *t, int x)
{
    /* Tied embeddings are scaled back, as in Mesh TensorFlow. */
    x = t->tied ? b_scale(b, x, 1 / sqrt((double)t->hidden)) : x;
    return b_linear(b, x, "lm_head", t->hidden, t->vocabulary, false);
}

/* ---- phases */

static void build_encode(struct assay_builder *b, const struct t5 *t)
{
    int ids = b_input(b, "input_ids", ASSAY_I64, "batch sequence");
    int padding = b_input(b, "attention_mask", ASSAY_I64, "batch sequence");
    int64_t all = t->heads * t->head_dim;
    int x = run_encoder(b, t, "encoder_", ids, b_padding_mask(b, padding));
    for (int64_t i = 0; i < t->decoder_layers && !b->emit.status; i++) {
        b_enter(b, "decoder.block.%d.layer.1.EncDecAttention", (int)i);
        int k = b_linear(b, x, "k", t->hidden, all, false), v = b_linear(b, x, "v", t->hidden, all, false);
        b_leave(b);
        cross_give(b, i, t->heads, t->head_dim, k, v);
    }
    b_output(b, b_unary(b, "Identity", padding), "encoder_attention_mask");
    b_ignore(b, "decoder.*");
    b_ignore(b, "lm_head.weight");
}

static void build_decode(struct assay_builder *b, const struct t5 *t)
{
    int ids = b_input(b, "input_ids", ASSAY_I64, "batch sequence");
    int padding = b_input(b, "attention_mask", ASSAY_I64, "batch total_sequence");
    int cross_padding = b_input(b, "encoder_attention_mask", ASSAY_I64, "batch source_sequence");
    int x = run_decoder(b, t, ids, padding, -1, b_padding_mask(b, cross_padding));
    b_output(b, head(b, t, b_slice(b, x, 1, -1, INT64_MAX)), "logits");
    b_ignore(b, "encoder.*");
    b_ignore(b, "*.EncDecAttention.k.weight");
    b_ignore(b, "*.EncDecAttention.v.weight");
}

/* ---- all */

static void tie(struct assay_builder *b, const struct t5 *t, const char *scope)
{
    static const char *const tables[] = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"};
    const char *dot = *scope ? "." : "", *shared = assay_arena_printf(&b->arena, "%s%sshared.weight", scope, dot);
    for (size_t i = 0; i < ASSAY_COUNT(tables); i++)
        b_tie(b, assay_arena_printf(&b->arena, "%s%s%s", scope, dot, tables[i]), shared);
    if (t->tied)
        b_tie(b, "lm_head.weight", shared);
    /* Of the first checkpoints: a table that nothing looks up. */
    b_ignore(b, "*EncDecAttention.relative_attention_bias.weight");
}

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    struct t5 t;
    bool sequence = is(a, "T5ForSequenceClassification"), token = is(a, "T5ForTokenClassification");
    bool answers = is(a, "T5ForQuestionAnswering"), encoder = is(a, "T5EncoderModel");
    read_config(&t, c, !encoder && !token);
    if (sequence) /* the others generate, or don't need it: there may be several */
        t.eos_token = c_int(c, "eos_token_id", 1);
    int64_t labels = c_labels(c, 2);
    if (answers && labels != 2)
        assay_config_fail(c, ASSAY_INVALID, "question answering has two labels, not %lld", (long long)labels);
    if (assay_config_status(c))
        return;
    const char *scope = sequence || token ? "transformer" : "";
    tie(b, &t, scope);
    if (b->options->phase == ASSAY_PHASE_ENCODE) {
        build_encode(b, &t);
        return;
    }
    if (b->options->phase == ASSAY_PHASE_DECODE) {
        build_decode(b, &t);
        return;
    }
    int ids = b_input(b, "input_ids", ASSAY_I64, "batch sequence");
    bool speaks = !sequence && !token && !answers && !encoder && !is(a, "T5Model");
    int words = speaks && b_training(b) ? b_labels(b, "labels", "batch decoder_sequence", t.vocabulary) : -1;
    int x = encode_decode(b, &t, scope, ids, !encoder && !token, sequence || answers, words);
    if (encoder || is(a, "T5Model")) {
        /* Both are loaded from checkpoints of the whole, too. */
        b_ignore(b, "lm_head.weight");
        if (encoder)
            b_ignore(b, "decoder.*");
        b_output(b, x, "last_hidden_state");
    } else if (sequence) {
        x = classify(b, &t, x, ids, labels);
        b_output(b, x, "logits");
        b_problem_loss(b, c, x);
    } else if (token) {
        x = b_linear(b, b_dropout(b, x, t.head_dropout), "classifier", t.hidden, labels, true);
        b_output(b, x, "logits");
        b_classes_loss(b, x, "batch sequence");
    } else if (answers) {
        int both = b_linear(b, x, "qa_outputs", t.hidden, 2, true), start = b_take(b, both, -1, 0);
        b_output(b, start, "start_logits");
        int end = b_take(b, both, -1, 1);
        b_output(b, end, "end_logits");
        b_answer_loss(b, start, end);
    } else {
        x = head(b, &t, x);
        b_output(b, x, "logits");
        if (words >= 0)
            b_loss(b, b_cross_entropy(b, x, words, B_IGNORED_LABEL));
    }
}

static const struct assay_architecture architectures[] = {
    {"T5ForSequenceClassification", "t5", "classification_head.dense.weight"},
    {"T5ForTokenClassification", "t5", "classifier.weight"},
    {"T5ForQuestionAnswering", "t5", "qa_outputs.weight"},
    {"T5ForConditionalGeneration", "t5", "decoder.final_layer_norm.weight"},
    {"T5WithLMHeadModel", "t5", "decoder.final_layer_norm.weight"}, /* what the first configs call it */
    {"T5EncoderModel", "t5", "encoder.final_layer_norm.weight"},
    {"T5Model", "t5", NULL},
    {NULL, NULL, NULL},
};

static const char *const generators[] = {"T5ForConditionalGeneration", "T5WithLMHeadModel", NULL};

const struct assay_family assay_family_t5 = {
    .name = "t5", .modality = "text", .architectures = architectures, .generators = generators, .encodes = true, .build = build};
