/* SPDX-License-Identifier: Apache-2.0 */
/* ViT (Dosovitskiy et al. 2020): pre-norm encoder over image patches and a class token; alone with its pooler, or with a head for
 * image classification. With the flag interpolate_pos_encoding it takes images of other sizes than it was trained on. */
#include "model/family.h"

#include <stdio.h>
#include <string.h>

struct vit {
    int64_t hidden, inner, layers, heads, channels;
    int64_t image[2], patch[2], grid[2]; /* height, width */
    double eps;
    const char *activation;
    bool qkv_bias;
    int64_t pooled;
    const char *pooler_activation;
};

/* One number stands for a square. */
static void read_square(struct assay_config *c, const char *name, int64_t otherwise, int64_t *sizes)
{
    int64_t values[ASSAY_CONFIG_MAX_LIST];
    int n = c_ints(c, name, &otherwise, 1, values);
    sizes[0] = sizes[1] = otherwise;
    if (n < 1 || n > 2 || values[0] < 1 || values[n - 1] < 1) {
        assay_config_fail(c, ASSAY_INVALID, "\"%s\" must be one or two sizes, each at least 1", name);
        return;
    }
    sizes[0] = values[0];
    sizes[1] = values[n - 1];
}

static void read_config(struct vit *v, struct assay_config *c)
{
    *v = (struct vit){
        .hidden = c_size(c, "hidden_size", 768),
        .inner = c_size(c, "intermediate_size", 3072),
        .layers = c_count(c, "num_hidden_layers", 12),
        .heads = c_size(c, "num_attention_heads", 12),
        .channels = c_size(c, "num_channels", 3),
        .eps = c_real(c, "layer_norm_eps", 1e-12),
        .activation = c_text(c, "hidden_act", "gelu"),
        .qkv_bias = c_bool(c, "qkv_bias", true),
        .pooler_activation = c_text(c, "pooler_act", "tanh"),
    };
    v->pooled = c_size(c, "pooler_output_size", v->hidden);
    read_square(c, "image_size", 224, v->image);
    read_square(c, "patch_size", 16, v->patch);
    /* The first is of the decoder for masked images; there are no word embeddings. */
    c_ignore(c, "encoder_stride", "tie_word_embeddings", NULL);
    if (v->hidden % v->heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"hidden_size\" %lld is no multiple of \"num_attention_heads\" %lld",
                          (long long)v->hidden, (long long)v->heads);
    for (int i = 0; i < 2; i++) {
        v->grid[i] = v->image[i] / v->patch[i];
        if (v->grid[i] < 1)
            assay_config_fail(c, ASSAY_INVALID, "\"patch_size\" %lld is larger than \"image_size\" %lld", (long long)v->patch[i],
                              (long long)v->image[i]);
    }
}

/* ---- positions */

/* How many times larger the grid is than that of the position table, f32[1]: a tenth of a patch is added against rounding, as
 * Transformers does. */
static int grid_scale(struct assay_builder *b, int patches, int64_t axis, int64_t trained)
{
    int n = b_add(b, b_cast(b, b_size(b, patches, axis), ASSAY_F32), b_scalar(b, 0.1));
    return b_div(b, n, b_scalar(b, (double)trained));
}

/* The table [1, 1 + grid², hidden] for the grid of `patches` [batch, hidden, rows, columns], by bicubic interpolation. Square
 * images of the trained size keep the table: a scale of 1 copies it. */
static int interpolate(struct assay_builder *b, const struct vit *v, int table, int pixels, int patches)
{
    int64_t side = v->grid[0];
    int rows = b_size(b, patches, 2), columns = b_size(b, patches, 3);
    int known = b_op(b, "Equal", B_VALUES(b_mul(b, rows, columns), b_ints(b, B_LIST(side * side))));
    int square = b_op(b, "Equal", B_VALUES(b_size(b, pixels, 2), b_size(b, pixels, 3)));
    int same = b_op(b, "And", B_VALUES(known, square)), one = b_scalar(b, 1);
    int height = b_where(b, same, one, grid_scale(b, patches, 2, side));
    int width = b_where(b, same, one, grid_scale(b, patches, 3, side));
    int scales = b_concat(b, 0, B_VALUES(b_floats(b, "ones", B_LIST(2), (const float[]){1, 1}), height, width));
    int spatial = b_reshape(b, b_slice(b, table, 1, 1, INT64_MAX), B_LIST(1, side, side, v->hidden));
    spatial = b_op(b, "Resize", B_VALUES(b_transpose(b, spatial, B_LIST(0, 3, 1, 2)), -1, scales));
    b_set_text(b, "mode", "cubic");
    b_set_text(b, "coordinate_transformation_mode", "half_pixel");
    b_set_float(b, "cubic_coeff_a", -0.75);
    spatial = b_transpose(b, b_reshape(b, spatial, B_LIST(1, v->hidden, -1)), B_LIST(0, 2, 1));
    return b_concat(b, 1, B_VALUES(b_slice(b, table, 1, 0, 1), spatial));
}

/* ---- the encoder */

static int embed(struct assay_builder *b, const struct vit *v)
{
    bool any_size = b_flag(b, "interpolate_pos_encoding");
    if (any_size && (v->grid[0] != v->grid[1] || v->patch[0] != v->patch[1]))
        return b_fail(b, ASSAY_UNSUPPORTED, "interpolate_pos_encoding needs square images and patches in the config");
    char dims[96];
    if (any_size)
        snprintf(dims, sizeof dims, "batch %lld height width", (long long)v->channels);
    else
        snprintf(dims, sizeof dims, "batch %lld %lld %lld", (long long)v->channels, (long long)v->image[0],
                 (long long)v->image[1]);
    int pixels = b_input(b, "pixel_values", ASSAY_F32, dims);
    b_enter(b, "embeddings");
    struct b_conv conv = {.n_spatial = 2,
                          .in = v->channels,
                          .out = v->hidden,
                          .kernel = {v->patch[0], v->patch[1]},
                          .stride = {v->patch[0], v->patch[1]},
                          .bias = true};
    int patches = b_conv(b, pixels, "patch_embeddings.projection", &conv);
    int x = b_transpose(b, b_reshape(b, patches, B_LIST(0, v->hidden, -1)), B_LIST(0, 2, 1));
    int token = b_expand_batch(b, b_param(b, "cls_token", B_LIST(1, 1, v->hidden)), x);
    int table = b_param(b, "position_embeddings", B_LIST(1, 1 + v->grid[0] * v->grid[1], v->hidden));
    x = b_concat(b, 1, B_VALUES(token, x));
    x = b_add(b, x, any_size ? interpolate(b, v, table, pixels, patches) : table);
    b_leave(b);
    return x;
}

static int layer(struct assay_builder *b, const struct vit *v, int x, int64_t i)
{
    int64_t h = v->hidden;
    struct b_attention a = {.heads = v->heads, .head_dim = h / v->heads, B_ATTENTION_NONE};
    b_enter(b, "encoder.layer.%d", (int)i);
    int y = b_layer_norm(b, x, "layernorm_before", h, v->eps);
    a.q = b_linear(b, y, "attention.attention.query", h, h, v->qkv_bias);
    a.k = b_linear(b, y, "attention.attention.key", h, h, v->qkv_bias);
    a.v = b_linear(b, y, "attention.attention.value", h, h, v->qkv_bias);
    x = b_add(b, b_linear(b, b_attention(b, &a), "attention.output.dense", h, h, true), x);
    y = b_linear(b, b_layer_norm(b, x, "layernorm_after", h, v->eps), "intermediate.dense", h, v->inner, true);
    x = b_add(b, b_linear(b, b_activation(b, y, v->activation), "output.dense", v->inner, h, true), x);
    b_leave(b);
    b_output_optional(b, a.probabilities, "attentions.%d", (int)i);
    return x;
}

/* [batch, 1 + patches, hidden], in the scope of the model. */
static int encode(struct assay_builder *b, const struct vit *v)
{
    int x = embed(b, v);
    for (int64_t i = 0; i < v->layers && !b->status; i++) {
        b_output_optional(b, x, "hidden_states.%d", (int)i);
        x = layer(b, v, x, i);
    }
    b_output_optional(b, x, "hidden_states.%d", (int)v->layers);
    return b_layer_norm(b, x, "layernorm", v->hidden, v->eps);
}

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *architecture)
{
    struct vit v;
    read_config(&v, c);
    bool alone = strcmp(architecture->name, "ViTModel") == 0;
    int64_t labels = c_labels(c, 2);
    if (assay_config_status(c))
        return;
    /* What masked patches become in training. */
    b_ignore(b, "*embeddings.mask_token");
    /* The model alone is also taken out of a checkpoint of one with a head. */
    bool within = !alone || b_has(b, "vit.embeddings.cls_token", false);
    b_enter(b, "%s", within ? "vit" : "");
    int x = encode(b, &v);
    if (alone) {
        b_ignore(b, "classifier.*");
        b_output(b, x, "last_hidden_state");
        if (b_has(b, "pooler.dense.weight", true)) {
            int first = b_linear(b, b_take(b, x, 1, 0), "pooler.dense", v.hidden, v.pooled, true);
            b_output(b, b_activation(b, first, v.pooler_activation), "pooler_output");
        }
    } else {
        b_ignore(b, "vit.pooler.*");
    }
    b_leave(b);
    if (!alone)
        b_output(b, b_linear(b, b_take(b, x, 1, 0), "classifier", v.hidden, labels, true), "logits");
}

static const struct assay_architecture architectures[] = {
    {"ViTForImageClassification", "vit", "classifier.weight"},
    {"ViTModel", "vit", NULL},
    {NULL, NULL, NULL},
};

const struct assay_family assay_family_vit = {
    .name = "vit", .modality = "vision", .architectures = architectures, .build = build};
