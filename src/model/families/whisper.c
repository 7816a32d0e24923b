/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whisper (Radford et al. 2022): an encoder of log-mel spectrograms (two convolutions, then pre-norm blocks with a stored table
 * of positions) and a decoder of text. Heads: transcription, audio classification of the encoder alone, text by the decoder
 * alone.
 */
#include "model/families/common_cross.h"
#include "model/family.h"

#include <string.h>

struct stack {
    int64_t layers, heads, inner;
};

/* What a run of the decoder looks at. */
struct view {
    const char *prefix; /* what names of its outputs begin with */
    bool crosses;       /* the encoder's states as well as what was said */
    int memory;         /* these; -1 = their keys and values are inputs */
    int keys, padding;  /* what was said, cached places too: scalar, int64 [batch, key] or -1 */
    int positions;      /* -1 = counted */
};

struct whisper {
    int64_t hidden, mels, vocabulary, source_positions, target_positions;
    int64_t start_token, pad_token, padding; /* padding: the row that is not trained, -1 = none */
    double dropout, attention_dropout, activation_dropout;
    const char *activation;
    bool tied, weighted_sum;
    int64_t projection; /* of the classifier */
    struct stack encoder, decoder;
};

static const double eps = 1e-5;

static void read_config(struct whisper *w, struct assay_config *c)
{
    *w = (struct whisper){
        .hidden = c_size(c, "d_model", 384),
        .mels = c_size(c, "num_mel_bins", 80),
        .vocabulary = c_size(c, "vocab_size", 51865),
        .source_positions = c_size(c, "max_source_positions", 1500),
        .target_positions = c_size(c, "max_target_positions", 448),
        .start_token = c_int(c, "decoder_start_token_id", 50257),
        .pad_token = c_int(c, "pad_token_id", 50256),
        .dropout = c_dropout(c, "dropout", 0),
        .attention_dropout = c_dropout(c, "attention_dropout", 0),
        .activation_dropout = c_dropout(c, "activation_dropout", 0),
        .activation = c_text(c, "activation_function", "gelu"),
        .tied = c_bool(c, "tie_word_embeddings", true),
        .weighted_sum = c_bool(c, "use_weighted_layer_sum", false),
        .projection = c_size(c, "classifier_proj_size", 256),
        .encoder = {c_count(c, "encoder_layers", 4), c_size(c, "encoder_attention_heads", 6), c_size(c, "encoder_ffn_dim", 1536)},
        .decoder = {c_count(c, "decoder_layers", 4), c_size(c, "decoder_attention_heads", 6), c_size(c, "decoder_ffn_dim", 1536)},
    };
    w->padding = c_padding_row(c, 50256, w->vocabulary);
    /* Transformers reads scale_embedding, but multiplies nothing with it. The masks and init_std are of training; median filter
     * and alignment heads tell when words were said; num_hidden_layers repeats encoder_layers. */
    c_ignore(c, "scale_embedding", "apply_spec_augment", "mask_time_prob", "mask_time_length", "mask_time_min_masks",
             "mask_feature_prob", "mask_feature_length", "mask_feature_min_masks", "init_std", "median_filter_width",
             "alignment_heads", "num_hidden_layers", NULL);
    if (w->hidden % w->encoder.heads != 0 || w->hidden % w->decoder.heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"d_model\" %lld is no multiple of \"%s_attention_heads\"", (long long)w->hidden,
                          w->hidden % w->encoder.heads != 0 ? "encoder" : "decoder");
}

/* ---- blocks */

/* memory: whose keys and values are looked at; -1 = those of the cross attention in layer a->layer, which are inputs. */
static int attention(struct assay_builder *b, const struct whisper *w, const char *name, int64_t heads, int x, int memory,
                     struct b_attention *a)
{
    int64_t h = w->hidden;
    b_enter(b, "%s", name);
    a->heads = heads;
    a->head_dim = h / heads;
    a->keep = -1;
    a->dropout = w->attention_dropout;
    a->q = b_linear(b, x, "q_proj", h, h, true);
    if (memory >= 0) {
        a->k = b_linear(b, memory, "k_proj", h, h, false);
        a->v = b_linear(b, memory, "v_proj", h, h, true);
    } else {
        cross_take(b, a->layer, assay_arena_printf(&b->arena, "%lld", (long long)w->source_positions), a);
    }
    int y = b_linear(b, b_attention(b, a), "out_proj", h, h, true);
    b_leave(b);
    return b_dropout(b, y, w->dropout);
}

static int feed_forward(struct assay_builder *b, const struct whisper *w, int64_t inner, int x)
{
    int y = b_layer_norm(b, x, "final_layer_norm", w->hidden, eps);
    y = b_activation(b, b_linear(b, y, "fc1", w->hidden, inner, true), w->activation);
    y = b_linear(b, b_dropout(b, y, w->activation_dropout), "fc2", inner, w->hidden, true);
    return b_add(b, x, b_dropout(b, y, w->dropout));
}

static int encoder_layer(struct assay_builder *b, const struct whisper *w, const char *prefix, int x, int64_t i)
{
    struct b_attention self = {.mask = -1};
    b_enter(b, "layers.%d", (int)i);
    int y = b_layer_norm(b, x, "self_attn_layer_norm", w->hidden, eps);
    x = b_add(b, x, attention(b, w, "self_attn", w->encoder.heads, y, y, &self));
    x = feed_forward(b, w, w->encoder.inner, x);
    b_leave(b);
    b_output_optional(b, self.probabilities, "%sattentions.%d", prefix, (int)i);
    return x;
}

static int decoder_layer(struct assay_builder *b, const struct whisper *w, const struct view *v, int x, int mask, int64_t i)
{
    struct b_attention self = {.mask = mask, .cached = b->options->phase == ASSAY_PHASE_DECODE, .layer = i},
                       cross = {.mask = -1, .layer = i};
    b_enter(b, "layers.%d", (int)i);
    int y = b_layer_norm(b, x, "self_attn_layer_norm", w->hidden, eps);
    x = b_add(b, x, attention(b, w, "self_attn", w->decoder.heads, y, y, &self));
    if (v->crosses) {
        y = b_layer_norm(b, x, "encoder_attn_layer_norm", w->hidden, eps);
        x = b_add(b, x, attention(b, w, "encoder_attn", w->decoder.heads, y, v->memory, &cross));
    }
    x = feed_forward(b, w, w->decoder.inner, x);
    b_leave(b);
    b_output_optional(b, self.probabilities, "%sattentions.%d", v->prefix, (int)i);
    b_output_optional(b, self.key, "past_key_values.%d.0", (int)i);
    b_output_optional(b, self.value, "past_key_values.%d.1", (int)i);
    if (v->crosses) {
        b_output_optional(b, cross.probabilities, "cross_attentions.%d", (int)i);
        b_output_optional(b, cross.key, "past_key_values.%d.2", (int)i);
        b_output_optional(b, cross.value, "past_key_values.%d.3", (int)i);
    }
    return x;
}

/* ---- encoder and decoder */

static int convolve(struct assay_builder *b, int x, const char *name, int64_t in, int64_t out, int64_t stride)
{
    struct b_conv conv = {.n_spatial = 1, .in = in, .out = out, .kernel = {3}, .stride = {stride}, .pad = {1, 1}, .bias = true};
    return b_activation(b, b_conv(b, x, name, &conv), "gelu");
}

/* [batch, source positions, hidden]; states[layers + 1] are what stands before each layer, and the last. The output names begin
 * with prefix. */
static int encode(struct assay_builder *b, const struct whisper *w, const char *scope, const char *prefix, int *states)
{
    /* The second convolution halves the length, which must be that of the position table. */
    const char *dims = assay_arena_printf(&b->arena, "batch %lld %lld", (long long)w->mels, 2 * (long long)w->source_positions);
    int features = b_input(b, "input_features", ASSAY_F32, dims);
    b_enter(b, "%s", scope);
    int x = convolve(b, features, "conv1", w->mels, w->hidden, 1);
    x = b_transpose(b, convolve(b, x, "conv2", w->hidden, w->hidden, 2), B_LIST(0, 2, 1));
    b_freeze(b, "embed_positions.weight");
    x = b_add(b, x, b_param(b, "embed_positions.weight", B_LIST(w->source_positions, w->hidden)));
    x = b_dropout(b, x, w->dropout);
    for (int64_t i = 0; i < w->encoder.layers && !b->emit.status; i++) {
        states[i] = x;
        b_output_optional(b, x, "%shidden_states.%d", prefix, (int)i);
        x = encoder_layer(b, w, prefix, x, i);
    }
    x = b_layer_norm(b, x, "layer_norm", w->hidden, eps);
    states[w->encoder.layers] = x;
    b_output_optional(b, x, "%shidden_states.%d", prefix, (int)w->encoder.layers);
    b_leave(b);
    return x;
}

/* [batch, length, hidden] */
static int decode(struct assay_builder *b, const struct whisper *w, int ids, const struct view *v)
{
    int length = b_size_scalar(b, ids, 1), mask = b_causal_mask(b, length, v->keys, 0, v->padding);
    b_enter(b, "decoder");
    b->text_positions = w->target_positions;
    int positions = v->positions >= 0 ? v->positions : b_range(b, b_int(b, 0), length);
    int x = b_embedding_padded(b, ids, "embed_tokens", w->vocabulary, w->hidden, w->padding);
    x = b_add(b, x, b_embedding(b, positions, "embed_positions", w->target_positions, w->hidden));
    x = b_dropout(b, x, w->dropout);
    for (int64_t i = 0; i < w->decoder.layers && !b->emit.status; i++) {
        b_output_optional(b, x, "%shidden_states.%d", v->prefix, (int)i);
        x = decoder_layer(b, w, v, x, mask, i);
    }
    x = b_layer_norm(b, x, "layer_norm", w->hidden, eps);
    b_output_optional(b, x, "%shidden_states.%d", v->prefix, (int)w->decoder.layers);
    b_leave(b);
    return x;
}

/* The decoder behind the encoder. labels: what it reads, shifted, if it is given nothing else; or -1. */
static int decode_memory(struct assay_builder *b, const struct whisper *w, int memory, int labels)
{
    int ids = b_input_optional(b, "decoder_input_ids", labels < 0, ASSAY_I64, "batch decoder_sequence");
    if (ids < 0 && labels >= 0)
        ids = b_shift_right(b, labels, w->start_token, w->pad_token);
    else if (ids < 0)
        ids = b_input(b, "decoder_input_ids", ASSAY_I64, "batch decoder_sequence");
    struct view v = {.prefix = "decoder_", .crosses = true, .memory = memory, .keys = b_size_scalar(b, ids, 1)};
    v.padding = b_input_optional(b, "decoder_attention_mask", false, ASSAY_I64, "batch decoder_sequence");
    /* One row of positions may stand for the whole batch. */
    v.positions = b_input_optional(b, "decoder_position_ids", false, ASSAY_I64, "position_batch decoder_sequence");
    return decode(b, w, ids, &v);
}

/* [batch, labels]: all layers weighted, or the last one, projected and averaged over time. */
static int classify(struct assay_builder *b, const struct whisper *w, int x, const int *states, int64_t labels)
{
    if (w->weighted_sum) {
        int n = (int)w->encoder.layers + 1, *stacked = assay_arena_array(&b->arena, (size_t)n, sizeof *stacked);
        for (int i = 0; i < n; i++)
            stacked[i] = b_unsqueeze(b, states[i], B_LIST(1));
        int weights = b_softmax(b, b_param(b, "layer_weights", B_LIST(n)), -1);
        int all = b_mul(b, b_concat(b, 1, n, stacked), b_reshape(b, weights, B_LIST(-1, 1, 1)));
        x = b_op(b, "ReduceSum", B_VALUES(all, b_ints(b, B_LIST(1))));
        b_set_int(b, "keepdims", 0);
    }
    x = b_linear(b, x, "projector", w->hidden, w->projection, true);
    x = b_reduce(b, "ReduceMean", x, false, B_LIST(1));
    return b_linear(b, x, "classifier", w->projection, labels, true);
}

/* ---- phases */

static void build_encode(struct assay_builder *b, const struct whisper *w, int *states)
{
    int64_t h = w->hidden, heads = w->decoder.heads;
    b_enter(b, "model");
    int x = encode(b, w, "encoder", "encoder_", states);
    for (int64_t i = 0; i < w->decoder.layers && !b->emit.status; i++) {
        b_enter(b, "decoder.layers.%d.encoder_attn", (int)i);
        int k = b_linear(b, x, "k_proj", h, h, false), v = b_linear(b, x, "v_proj", h, h, true);
        b_leave(b);
        cross_give(b, i, heads, h / heads, k, v);
    }
    b_leave(b);
    b_ignore(b, "model.decoder.*");
    b_ignore(b, "proj_out.weight");
}

static int head(struct assay_builder *b, const struct whisper *w, int x)
{
    return b_linear(b, x, "proj_out", w->hidden, w->vocabulary, false);
}

static void build_decode(struct assay_builder *b, const struct whisper *w)
{
    int ids = b_input(b, "input_ids", ASSAY_I64, "batch sequence");
    struct view v = {.prefix = "decoder_", .crosses = true, .memory = -1};
    v.padding = b_input(b, "attention_mask", ASSAY_I64, "batch total_sequence");
    v.positions = b_input(b, "position_ids", ASSAY_I64, "batch sequence");
    v.keys = b_size_scalar(b, v.padding, 1);
    b_enter(b, "model");
    int x = decode(b, w, ids, &v);
    b_leave(b);
    b_output(b, head(b, w, b_slice(b, x, 1, -1, INT64_MAX)), "logits");
    b_ignore(b, "model.encoder.*");
    b_ignore(b, "*.encoder_attn.k_proj.weight");
    b_ignore(b, "*.encoder_attn.v_proj.weight");
    b_ignore(b, "*.encoder_attn.v_proj.bias");
}

/* ---- architectures */

/* Labels, or -1, are of the places as they are: shifting them is for the caller. */
static void speak(struct assay_builder *b, int scores, int labels)
{
    b_output(b, scores, "logits");
    if (labels >= 0)
        b_loss(b, b_cross_entropy(b, scores, labels, B_IGNORED_LABEL));
}

/* Text by the decoder alone, which may be given the states of an encoder. */
static void build_decoder(struct assay_builder *b, const struct whisper *w)
{
    int ids = b_input(b, "input_ids", ASSAY_I64, "batch sequence");
    struct view v = {.prefix = "", .keys = b_size_scalar(b, ids, 1), .positions = -1};
    v.padding = b_input_optional(b, "attention_mask", true, ASSAY_I64, "batch sequence");
    const char *dims = assay_arena_printf(&b->arena, "batch source_sequence %lld", (long long)w->hidden);
    v.memory = b_input_optional(b, "encoder_outputs", true, ASSAY_F32, dims);
    v.crosses = v.memory >= 0;
    b_enter(b, "model");
    int x = decode(b, w, ids, &v);
    b_leave(b);
    speak(b, head(b, w, x), b_training(b) ? b_labels(b, "labels", "batch sequence", w->vocabulary) : -1);
    if (!v.crosses)
        b_ignore(b, "model.decoder.layers.*");
}

static void build_classifier(struct assay_builder *b, const struct whisper *w, int *states, int64_t labels)
{
    int x = encode(b, w, "encoder", "", states);
    x = classify(b, w, x, states, labels);
    b_output(b, x, "logits");
    b_classes_loss(b, x, "batch");
}

static void build_both(struct assay_builder *b, const struct whisper *w, int *states, const char *scope, bool alone)
{
    int labels = !alone && b_training(b) ? b_labels(b, "labels", "batch decoder_sequence", w->vocabulary) : -1;
    b_enter(b, "%s", scope);
    int memory = encode(b, w, "encoder", "encoder_", states);
    b_output_optional(b, memory, "encoder_last_hidden_state");
    int x = decode_memory(b, w, memory, labels);
    b_leave(b);
    if (alone) {
        b_ignore(b, "proj_out.weight");
        b_output(b, x, "last_hidden_state");
    } else {
        speak(b, head(b, w, x), labels);
    }
}

static bool is(const struct assay_architecture *a, const char *name) { return strcmp(a->name, name) == 0; }

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    struct whisper w;
    read_config(&w, c);
    bool alone = is(a, "WhisperModel");
    int64_t labels = c_labels(c, 2);
    if (assay_config_status(c))
        return;
    int *states = assay_arena_array(&b->arena, (size_t)w.encoder.layers + 1, sizeof *states);
    /* The checkpoints of OpenAI were converted with names of the whole; a model saved alone has no "model." */
    const char *scope = alone && !b_has(b, "model.encoder.conv1.weight", false) ? "" : "model", *dot = *scope ? "." : "";
    if (w.tied)
        b_tie(b, "proj_out.weight", assay_arena_printf(&b->arena, "%s%sdecoder.embed_tokens.weight", scope, dot));
    if (b->options->phase == ASSAY_PHASE_ENCODE)
        build_encode(b, &w, states);
    else if (b->options->phase == ASSAY_PHASE_DECODE)
        build_decode(b, &w);
    else if (is(a, "WhisperForAudioClassification"))
        build_classifier(b, &w, states, labels);
    else if (is(a, "WhisperForCausalLM"))
        build_decoder(b, &w);
    else
        build_both(b, &w, states, scope, alone);
}

static const struct assay_architecture architectures[] = {
    {"WhisperForAudioClassification", "whisper", "projector.weight"},
    {"WhisperForConditionalGeneration", "whisper", "model.encoder.conv1.weight"},
    {"WhisperForCausalLM", "whisper", "model.decoder.embed_tokens.weight"},
    {"WhisperModel", "whisper", NULL},
    {NULL, NULL, NULL},
};

static const char *const generators[] = {"WhisperForConditionalGeneration", NULL};

const struct assay_family assay_family_whisper = {.name = "whisper",
                                                  .modality = "audio",
                                                  .architectures = architectures,
                                                  .generators = generators,
                                                  .encodes = true,
                                                  .build = build};
