/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X-CLIP (Ni et al. 2022): CLIP for videos. Frames exchange message tokens in each vision layer, a small transformer integrates
 * them over time, and the texts' embeddings are adapted to each video.
 */
#include "model/family.h"

#include <stdio.h>
#include <string.h>

struct tower {
    int64_t hidden, heads, layers, inner;
    double eps, dropout; /* dropout: of the attention */
    const char *activation;
};

struct xclip {
    struct tower text, vision, integration;
    int64_t vocabulary, positions;          /* text */
    int64_t channels, image, patch, frames; /* vision */
    int64_t projection, prompt_layers, prompt_heads;
    double prompt_dropout, prompt_attention_dropout;
    const char *prompt_activation;
};

static void read_tower(struct assay_config *c, struct tower *t, const char *prefix, struct tower defaults)
{
    struct assay_arena *arena = c->arena;
    *t = defaults;
    t->hidden = c_size(c, assay_arena_printf(arena, "%shidden_size", prefix), defaults.hidden);
    t->inner = c_size(c, assay_arena_printf(arena, "%sintermediate_size", prefix), defaults.inner);
    t->layers = c_count(c, assay_arena_printf(arena, "%snum_hidden_layers", prefix), defaults.layers);
    t->heads = c_size(c, assay_arena_printf(arena, "%snum_attention_heads", prefix), defaults.heads);
    t->eps = c_real(c, "layer_norm_eps", 1e-5);
    t->dropout = c_dropout(c, "attention_dropout", 0);
    t->activation = c_text(c, "hidden_act", "quick_gelu");
    if (t->hidden % t->heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"%shidden_size\" %lld is no multiple of \"%snum_attention_heads\" %lld", prefix,
                          (long long)t->hidden, prefix, (long long)t->heads);
}

static void read_text(struct assay_config *c, struct xclip *m)
{
    read_tower(c, &m->text, "", (struct tower){.hidden = 512, .heads = 8, .layers = 12, .inner = 2048});
    m->vocabulary = c_size(c, "vocab_size", 49408);
    m->positions = c_size(c, "max_position_embeddings", 77);
    c_ignore(c, "tie_word_embeddings", "projection_dim", NULL);
}

static void read_vision(struct assay_config *c, struct xclip *m)
{
    read_tower(c, &m->vision, "", (struct tower){.hidden = 768, .heads = 12, .layers = 12, .inner = 3072});
    read_tower(c, &m->integration, "mit_", (struct tower){.hidden = 512, .heads = 8, .layers = 1, .inner = 2048});
    m->channels = c_size(c, "num_channels", 3);
    m->image = c_size(c, "image_size", 224);
    m->patch = c_size(c, "patch_size", 32);
    m->frames = c_size(c, "num_frames", 8);
    /* The last zeroes whole frames' messages in training, which Assay does not. */
    c_ignore(c, "tie_word_embeddings", "projection_dim", "drop_path_rate", NULL);
    if (m->patch > m->image)
        assay_config_fail(c, ASSAY_INVALID, "\"patch_size\" %lld exceeds \"image_size\" %lld", (long long)m->patch,
                          (long long)m->image);
}

static void read_both(struct assay_config *c, struct xclip *m)
{
    read_text(c_sub(c, "text_config"), m);
    read_vision(c_sub(c, "vision_config"), m);
    m->projection = c_size(c, "projection_dim", 512);
    m->prompt_layers = c_count(c, "prompt_layers", 2);
    m->prompt_heads = c_size(c, "prompt_num_attention_heads", 8);
    m->prompt_dropout = c_dropout(c, "prompt_projection_dropout", 0);
    m->prompt_attention_dropout = c_dropout(c, "prompt_attention_dropout", 0);
    m->prompt_activation = c_text(c, "prompt_hidden_act", "quick_gelu");
    /* Initial values of parameters. */
    c_ignore(c, "logit_scale_init_value", "prompt_alpha", "tie_word_embeddings", NULL);
    c_require_null(c, "text_config_dict");
    c_require_null(c, "vision_config_dict");
    if (m->projection != m->integration.hidden)
        assay_config_fail(c, ASSAY_INVALID, "\"projection_dim\" %lld must be vision_config's \"mit_hidden_size\" %lld",
                          (long long)m->projection, (long long)m->integration.hidden);
    if (m->projection % m->prompt_heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"projection_dim\" %lld is no multiple of \"prompt_num_attention_heads\" %lld",
                          (long long)m->projection, (long long)m->prompt_heads);
}

/* ---- the layers of CLIP */

static int attend(struct assay_builder *b, const struct tower *t, const char *name, int x, int mask, int *probabilities)
{
    int64_t h = t->hidden;
    b_enter(b, "%s", name);
    struct b_attention a = {.heads = t->heads, .head_dim = h / t->heads, B_ATTENTION_NONE};
    a.mask = mask;
    a.dropout = t->dropout;
    a.q = b_linear(b, x, "q_proj", h, h, true);
    a.k = b_linear(b, x, "k_proj", h, h, true);
    a.v = b_linear(b, x, "v_proj", h, h, true);
    x = b_linear(b, b_attention(b, &a), "out_proj", h, h, true);
    b_leave(b);
    *probabilities = a.probabilities;
    return x;
}

static int feed_forward(struct assay_builder *b, const struct tower *t, int x)
{
    int y = b_layer_norm(b, x, "layer_norm2", t->hidden, t->eps);
    y = b_activation(b, b_linear(b, y, "mlp.fc1", t->hidden, t->inner, true), t->activation);
    return b_add(b, x, b_linear(b, y, "mlp.fc2", t->inner, t->hidden, true));
}

static int self_attention(struct assay_builder *b, const struct tower *t, int x, int mask, int *probabilities)
{
    return b_add(b, x, attend(b, t, "self_attn", b_layer_norm(b, x, "layer_norm1", t->hidden, t->eps), mask, probabilities));
}

/* The messages of a video's frames, from their class tokens: [videos * frames, 1, hidden]. */
static int messages(struct assay_builder *b, const struct xclip *m, int x)
{
    const struct tower *t = &m->vision;
    int ignored, y = b_linear(b, b_take(b, x, 1, 0), "message_fc", t->hidden, t->hidden, true);
    y = b_reshape(b, y, B_LIST(-1, m->frames, t->hidden));
    y = b_add(b, y, attend(b, t, "message_attn", b_layer_norm(b, y, "message_ln", t->hidden, t->eps), -1, &ignored));
    return b_reshape(b, y, B_LIST(-1, 1, t->hidden));
}

/* Layers of a tower; with `m`, the vision's that exchange messages. `output` begins the names of outputs. */
static int encode(struct assay_builder *b, const struct tower *t, const struct xclip *m, int x, int mask, const char *output)
{
    b_output_optional(b, x, "%shidden_states.0", output);
    for (int64_t i = 0; i < t->layers && !b->emit.status; i++) {
        int probabilities = -1;
        b_enter(b, "encoder.layers.%d", (int)i);
        int with = m ? b_concat(b, 1, B_VALUES(x, messages(b, m, x))) : x;
        x = self_attention(b, t, with, mask, &probabilities);
        if (m)
            x = b_slice(b, x, 1, 0, -1); /* without the message */
        x = feed_forward(b, t, x);
        b_leave(b);
        b_output_optional(b, probabilities, "%sattentions.%d", output, (int)i);
        b_output_optional(b, x, "%shidden_states.%d", output, (int)i + 1);
    }
    return x;
}

/* ---- the three towers; each returns its pooled output, those of texts and frames with the last state too */

static int encode_text(struct assay_builder *b, const struct xclip *m, const char *prefix, int *last)
{
    b->text_positions = m->positions;
    int ids = b_input(b, "input_ids", ASSAY_I64, "texts sequence");
    int mask = b_input_optional(b, "attention_mask", true, ASSAY_I64, "texts sequence");
    int positions = b_input_optional(b, "position_ids", false, ASSAY_I64, "texts sequence");
    const struct tower *t = &m->text;
    b_enter(b, "text_model");
    int length = b_size_scalar(b, ids, 1);
    if (positions < 0)
        positions = b_unsqueeze(b, b_range(b, b_int(b, 0), length), B_LIST(0));
    int x = b_embedding(b, ids, "embeddings.token_embedding", m->vocabulary, t->hidden);
    x = b_add(b, x, b_embedding(b, positions, "embeddings.position_embedding", m->positions, t->hidden));
    int added = b_causal_mask(b, length, length, 0, -1);
    if (mask >= 0)
        added = b_add(b, added, b_padding_mask(b, mask));
    x = b_layer_norm(b, encode(b, t, NULL, x, added, prefix), "final_layer_norm", t->hidden, t->eps);
    b_leave(b);
    /* The end of a text is its highest token. */
    int end = b_reshape(b, b_argmax(b, ids, -1), B_LIST(0, 1));
    int pooled = b_op(b, "GatherND", B_VALUES(x, end));
    b_set_int(b, "batch_dims", 1);
    *last = x;
    return pooled;
}

/* pixels [videos * frames, channels, image, image]; *last [videos * frames, 1 + patches, hidden] */
static int encode_frames(struct assay_builder *b, const struct xclip *m, int pixels, const char *prefix, int *last)
{
    const struct tower *t = &m->vision;
    int64_t n = (m->image / m->patch) * (m->image / m->patch);
    b_enter(b, "vision_model");
    int x = b_conv2d(b, pixels, "embeddings.patch_embedding", m->channels, t->hidden, m->patch, m->patch, 0, false);
    x = b_transpose(b, b_reshape(b, x, B_LIST(0, t->hidden, n)), B_LIST(0, 2, 1));
    int class = b_reshape(b, b_param(b, "embeddings.class_embedding", B_LIST(t->hidden)), B_LIST(1, 1, t->hidden));
    x = b_concat(b, 1, B_VALUES(b_expand_batch(b, class, x), x));
    x = b_add(b, x, b_param(b, "embeddings.position_embedding.weight", B_LIST(n + 1, t->hidden)));
    x = encode(b, t, m, b_layer_norm(b, x, "pre_layernorm", t->hidden, t->eps), -1, prefix);
    int pooled = b_layer_norm(b, b_take(b, x, 1, 0), "post_layernorm", t->hidden, t->eps);
    b_leave(b);
    *last = x;
    return pooled;
}

static int integrate(struct assay_builder *b, const struct xclip *m, int frames)
{
    const struct tower *t = &m->integration;
    int given = b_reshape(b, frames, B_LIST(-1, m->frames, m->projection));
    b_enter(b, "mit");
    int x = b_add(b, given, b_param(b, "position_embedding", B_LIST(1, m->frames, t->hidden)));
    x = b_add(b, encode(b, t, NULL, x, -1, "mit_output."), given);
    b_leave(b);
    int pooled = b_reduce(b, "ReduceMean", x, false, B_LIST(1));
    b_output_optional(b, x, "mit_output.last_hidden_state");
    b_output_optional(b, pooled, "mit_output.pooler_output");
    return pooled;
}

/* ---- what a video's patches add to the texts: [videos, texts, projection] */

static int prompt_layer(struct assay_builder *b, const struct xclip *m, int x, int visual)
{
    int64_t d = m->projection;
    int y = b_layer_norm(b, x, "norm1", d, m->text.eps);
    b_enter(b, "cross_attn");
    struct b_attention a = {.heads = m->prompt_heads, .head_dim = d / m->prompt_heads, B_ATTENTION_NONE};
    a.q = b_linear(b, y, "q_proj", d, d, false);
    a.k = b_linear(b, visual, "k_proj", d, d, false);
    a.v = b_linear(b, visual, "v_proj", d, d, false);
    a.dropout = m->prompt_attention_dropout;
    y = b_dropout(b, b_linear(b, b_attention(b, &a), "proj", d, d, true), m->prompt_dropout);
    b_leave(b);
    x = b_add(b, x, y);
    y = b_linear(b, b_layer_norm(b, x, "norm3", d, m->text.eps), "mlp.0", d, 4 * d, true);
    y = b_dropout(b, b_activation(b, y, m->prompt_activation), m->prompt_attention_dropout);
    return b_add(b, x, b_linear(b, y, "mlp.3", 4 * d, d, true));
}

static int prompts(struct assay_builder *b, const struct xclip *m, int texts, int patches)
{
    int64_t d = m->projection, h = m->vision.hidden, n = (m->image / m->patch) * (m->image / m->patch);
    int visual = b_layer_norm(b, patches, "prompts_visual_layernorm", h, m->vision.eps);
    visual = b_matmul(b, visual, b_param(b, "prompts_visual_projection", B_LIST(h, d)));
    visual = b_reduce(b, "ReduceMean", b_reshape(b, visual, B_LIST(-1, m->frames, n, d)), false, B_LIST(1));
    b_enter(b, "prompts_generator");
    visual = b_layer_norm(b, visual, "layernorm", d, m->vision.eps);
    int x = texts;
    for (int64_t i = 0; i < m->prompt_layers && !b->emit.status; i++) {
        b_enter(b, "decoder.%d", (int)i);
        x = prompt_layer(b, m, x, visual);
        b_leave(b);
    }
    x = b_mul(b, b_param(b, "alpha", B_LIST(d)), x);
    b_leave(b);
    return x;
}

static void build_both(struct assay_builder *b, struct assay_config *c)
{
    struct xclip m = {0};
    read_both(c, &m);
    if (assay_config_status(c))
        return;
    char dims[128];
    snprintf(dims, sizeof dims, "batch %d %d %d %d", (int)m.frames, (int)m.channels, (int)m.image, (int)m.image);
    b_hint_input(b, "pixel_values", "image");
    int last_of_texts, last_of_frames;
    int of_texts = encode_text(b, &m, "text_model_output.", &last_of_texts);
    int pixels = b_reshape(b, b_input(b, "pixel_values", ASSAY_F32, dims), B_LIST(-1, m.channels, m.image, m.image));
    int of_frames = encode_frames(b, &m, pixels, "vision_model_output.", &last_of_frames);
    int video = integrate(b, &m, b_linear(b, of_frames, "visual_projection", m.vision.hidden, m.projection, false));
    int texts = b_linear(b, of_texts, "text_projection", m.text.hidden, m.projection, false);
    /* Each video has the texts to itself. */
    int shape = b_concat(b, 0, B_VALUES(b_size(b, video, 0), b_ints(b, B_LIST(1, 1))));
    texts = b_expand(b, b_unsqueeze(b, texts, B_LIST(0)), shape);
    texts = b_l2_normalize(b, b_add(b, texts, prompts(b, &m, texts, b_slice(b, last_of_frames, 1, 1, INT64_MAX))));
    video = b_l2_normalize(b, video);
    int scale = b_unary(b, "Exp", b_param(b, "logit_scale", 0, NULL));
    int logits = b_matmul(b, b_mul(b, texts, scale), b_unsqueeze(b, video, B_LIST(2)));
    logits = b_squeeze(b, logits, B_LIST(2));
    b_output(b, logits, "logits_per_video");
    b_output(b, b_transpose(b, logits, B_LIST(1, 0)), "logits_per_text");
    if (b_training(b))
        b_loss(b, b_contrastive_loss(b, logits));
    b_output(b, texts, "text_embeds");
    b_output(b, video, "video_embeds");
    b_output_optional(b, last_of_texts, "text_model_output.last_hidden_state");
    b_output_optional(b, of_texts, "text_model_output.pooler_output");
    b_output_optional(b, last_of_frames, "vision_model_output.last_hidden_state");
    b_output_optional(b, of_frames, "vision_model_output.pooler_output");
}

/* A tower alone, of texts or of frames. */
static void build_one(struct assay_builder *b, struct assay_config *c, bool is_text)
{
    struct xclip m = {0};
    if (is_text)
        read_text(c, &m);
    else
        read_vision(c, &m);
    if (assay_config_status(c))
        return;
    int last, pooled;
    if (is_text) {
        pooled = encode_text(b, &m, "", &last);
    } else {
        char dims[128];
        snprintf(dims, sizeof dims, "frames %d %d %d", (int)m.channels, (int)m.image, (int)m.image);
        pooled = encode_frames(b, &m, b_input(b, "pixel_values", ASSAY_F32, dims), "", &last);
    }
    b_output(b, last, "last_hidden_state");
    b_output(b, pooled, "pooler_output");
}

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    b_ignore(b, "*embeddings.position_ids");
    if (strcmp(a->name, "XCLIPModel") == 0)
        build_both(b, c);
    else
        build_one(b, c, strcmp(a->name, "XCLIPTextModel") == 0);
}

static const struct assay_architecture architectures[] = {{"XCLIPModel", "xclip", NULL},
                                                          {"XCLIPTextModel", "xclip_text_model", NULL},
                                                          {"XCLIPVisionModel", "xclip_vision_model", NULL},
                                                          {NULL, NULL, NULL}};

const struct assay_family assay_family_xclip = {
    .name = "xclip", .modality = "multimodal", .architectures = architectures, .build = build};
