/* SPDX-License-Identifier: Apache-2.0 */
/* See common_clip.h. */
#include "model/families/common_clip.h"

static void read_common(struct clip_tower *t, struct assay_config *c, bool vision)
{
    *t = (struct clip_tower){
        .hidden = c_size(c, "hidden_size", vision ? 768 : 512),
        .inner = c_size(c, "intermediate_size", vision ? 3072 : 2048),
        .layers = c_count(c, "num_hidden_layers", 12),
        .heads = c_size(c, "num_attention_heads", vision ? 12 : 8),
        .eps = c_real(c, "layer_norm_eps", 1e-5),
        .dropout = c_dropout(c, "attention_dropout", 0),
        .activation = c_text(c, "hidden_act", "quick_gelu"),
    };
    c_ignore(c, "tie_word_embeddings", NULL);
    if (t->hidden % t->heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"hidden_size\" %lld is no multiple of \"num_attention_heads\" %lld",
                          (long long)t->hidden, (long long)t->heads);
}

void clip_read_text(struct clip_tower *t, struct assay_config *c)
{
    read_common(t, c, false);
    t->vocabulary = c_size(c, "vocab_size", 49408);
    t->positions = c_size(c, "max_position_embeddings", 77);
    t->end_token = c_int(c, "eos_token_id", 49407);
    /* That of the whole model counts, where there is one. */
    c_ignore(c, "projection_dim", NULL);
}

void clip_read_vision(struct clip_tower *t, struct assay_config *c)
{
    read_common(t, c, true);
    t->image = c_size(c, "image_size", 224);
    t->patch = c_size(c, "patch_size", 32);
    t->channels = c_size(c, "num_channels", 3);
    c_ignore(c, "projection_dim", NULL);
    int64_t side = t->image / t->patch;
    t->n_patches = side * side;
    if (side < 1)
        assay_config_fail(c, ASSAY_INVALID, "\"patch_size\" %lld is larger than \"image_size\" %lld", (long long)t->patch,
                          (long long)t->image);
}

/* ---- layers */

static int layer(struct assay_builder *b, const struct clip_tower *t, int x, int keep, int mask, const char *prefix, int64_t i)
{
    int64_t h = t->hidden;
    struct b_attention a = {.heads = t->heads, .head_dim = h / t->heads, .keep = keep, .mask = mask, .dropout = t->dropout};
    b_enter(b, "encoder.layers.%d", (int)i);
    int y = b_layer_norm(b, x, "layer_norm1", h, t->eps);
    a.q = b_linear(b, y, "self_attn.q_proj", h, h, true);
    a.k = b_linear(b, y, "self_attn.k_proj", h, h, true);
    a.v = b_linear(b, y, "self_attn.v_proj", h, h, true);
    x = b_add(b, x, b_linear(b, b_attention(b, &a), "self_attn.out_proj", h, h, true));
    y = b_linear(b, b_layer_norm(b, x, "layer_norm2", h, t->eps), "mlp.fc1", h, t->inner, true);
    x = b_add(b, x, b_linear(b, b_activation(b, y, t->activation), "mlp.fc2", t->inner, h, true));
    b_leave(b);
    b_output_optional(b, a.probabilities, "%sattentions.%d", prefix, (int)i);
    return x;
}

int clip_encode(struct assay_builder *b, const struct clip_tower *t, int x, int keep, int mask, const char *prefix, int *states)
{
    for (int64_t i = 0; i <= t->layers && !b->emit.status; i++) {
        b_output_optional(b, x, "%shidden_states.%d", prefix, (int)i);
        if (states)
            states[i] = x;
        if (i < t->layers)
            x = layer(b, t, x, keep, mask, prefix, i);
    }
    return x;
}

/* ---- text */

/* [batch, hidden] at the first place that has the largest number of `scores` [batch, sequence]. */
static int pick(struct assay_builder *b, int x, int scores)
{
    int place = b_unsqueeze(b, b_argmax(b, b_cast(b, scores, ASSAY_F32), 1), B_LIST(1));
    int picked = b_op(b, "GatherND", B_VALUES(x, place));
    b_set_int(b, "batch_dims", 1);
    return picked;
}

struct clip_output clip_text(struct assay_builder *b, const struct clip_tower *t, int ids, int attention_mask, int position_ids,
                             const char *prefix)
{
    struct clip_output out;
    int length = b_size_scalar(b, ids, 1);
    b->text_positions = t->positions;
    b_ignore(b, "*text_model.embeddings.position_ids");
    b_enter(b, "embeddings");
    if (position_ids < 0)
        position_ids = b_unsqueeze(b, b_range(b, b_int(b, 0), length), B_LIST(0));
    int x = b_embedding(b, ids, "token_embedding", t->vocabulary, t->hidden);
    x = b_add(b, x, b_embedding(b, position_ids, "position_embedding", t->positions, t->hidden));
    b_leave(b);
    int keep = b_causal(b, length, length, 0), mask = attention_mask >= 0 ? b_padding_mask(b, attention_mask) : -1;
    x = clip_encode(b, t, x, keep, mask, prefix, NULL);
    out.hidden = b_layer_norm(b, x, "final_layer_norm", t->hidden, t->eps);
    /* The first configs said 2 where the end was the largest token; Transformers goes on reading them so. */
    int scores = t->end_token == 2 ? ids : b_op(b, "Equal", B_VALUES(ids, b_int(b, t->end_token)));
    out.pooled = pick(b, out.hidden, scores);
    return out;
}

/* ---- vision */

struct clip_output clip_vision(struct assay_builder *b, const struct clip_tower *t, int pixels, const char *prefix, int *states)
{
    struct clip_output out;
    int64_t h = t->hidden;
    b_ignore(b, "*vision_model.embeddings.position_ids");
    b_enter(b, "embeddings");
    int token = b_reshape(b, b_param(b, "class_embedding", B_LIST(h)), B_LIST(1, 1, h));
    int x = b_conv2d(b, pixels, "patch_embedding", t->channels, h, t->patch, t->patch, 0, false);
    x = b_transpose(b, b_reshape(b, x, B_LIST(0, h, t->n_patches)), B_LIST(0, 2, 1));
    x = b_concat(b, 1, B_VALUES(b_expand_batch(b, token, x), x));
    x = b_add(b, x, b_param(b, "position_embedding.weight", B_LIST(1 + t->n_patches, h)));
    b_leave(b);
    x = b_layer_norm(b, x, "pre_layrnorm", h, t->eps);
    out.hidden = clip_encode(b, t, x, -1, -1, prefix, states);
    out.pooled = b_layer_norm(b, b_take(b, out.hidden, 1, 0), "post_layernorm", h, t->eps);
    return out;
}

const char *clip_image_dims(struct assay_builder *b, const struct clip_tower *t, const char *leading)
{
    return assay_arena_printf(&b->arena, "%s %lld %lld %lld", leading, (long long)t->channels, (long long)t->image,
                              (long long)t->image);
}
