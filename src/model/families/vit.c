/* SPDX-License-Identifier: Apache-2.0 */
/* ViT (Dosovitskiy et al. 2020): pre-norm encoder over image patches and a class token; alone with its pooler, or with the heads
 * for image classification and for masked images (Xie et al. 2021). With the flag interpolate_pos_encoding it takes images of
 * other sizes than it was trained on. */
#include "model/family.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct vit {
    int64_t hidden, inner, layers, heads, channels;
    int64_t image[2], patch[2], grid[2]; /* height, width */
    double eps, dropout, attention_dropout;
    const char *activation;
    bool qkv_bias;
    int64_t pooled;
    const char *pooler_activation;
    int64_t encoder_stride; /* of the head for masked images: the edge of what a patch becomes */
    bool masks;             /* takes bool_masked_pos */
    bool draws;             /* has the head for masked images */
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
        .dropout = c_dropout(c, "hidden_dropout_prob", 0),
        .attention_dropout = c_dropout(c, "attention_probs_dropout_prob", 0),
        .activation = c_text(c, "hidden_act", "gelu"),
        .qkv_bias = c_bool(c, "qkv_bias", true),
        .pooler_activation = c_text(c, "pooler_act", "tanh"),
        .encoder_stride = c_size(c, "encoder_stride", 16),
    };
    v->pooled = c_size(c, "pooler_output_size", v->hidden);
    read_square(c, "image_size", 224, v->image);
    read_square(c, "patch_size", 16, v->patch);
    c_ignore(c, "tie_word_embeddings", NULL); /* there are no word embeddings */
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

/* The edge of a square with that area; 0 if there is none. */
static int64_t square_root(int64_t area)
{
    int64_t side = (int64_t)sqrt((double)area);
    return side * side == area ? side : 0;
}

/* The table [1, 1 + side², hidden] for the grid of `patches` [batch, hidden, rows, columns], by bicubic interpolation. Square
 * images of the trained size keep the table: a scale of 1 copies it. What was trained on rectangles is read as a square, too. */
static int interpolate(struct assay_builder *b, const struct vit *v, int table, int pixels, int patches)
{
    int64_t side = square_root(v->grid[0] * v->grid[1]);
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

/* What it was given; masked -1 = nothing. */
struct sight {
    int pixels, masked;
};

static int embed(struct assay_builder *b, const struct vit *v, struct sight *s)
{
    bool any_size = b_flag(b, "interpolate_pos_encoding");
    if (any_size && (square_root(v->grid[0] * v->grid[1]) == 0 || v->patch[0] != v->patch[1]))
        return b_fail(b, ASSAY_UNSUPPORTED,
                      "interpolate_pos_encoding needs square patches, and as many as make a square, in the config");
    char dims[96];
    if (any_size)
        snprintf(dims, sizeof dims, "batch %lld height width", (long long)v->channels);
    else
        snprintf(dims, sizeof dims, "batch %lld %lld %lld", (long long)v->channels, (long long)v->image[0],
                 (long long)v->image[1]);
    s->pixels = b_input(b, "pixel_values", ASSAY_F32, dims);
    b_enter(b, "embeddings");
    struct b_conv conv = {.n_spatial = 2,
                          .in = v->channels,
                          .out = v->hidden,
                          .kernel = {v->patch[0], v->patch[1]},
                          .stride = {v->patch[0], v->patch[1]},
                          .bias = true};
    int patches = b_conv(b, s->pixels, "patch_embeddings.projection", &conv);
    int x = b_transpose(b, b_reshape(b, patches, B_LIST(0, v->hidden, -1)), B_LIST(0, 2, 1));
    s->masked = v->masks ? b_input_optional(b, "bool_masked_pos", b_training(b), ASSAY_BOOL, "batch patches") : -1;
    if (s->masked >= 0) {
        if (v->draws && (v->patch[0] != v->encoder_stride || v->patch[1] != v->encoder_stride))
            return b_fail(b, ASSAY_INVALID, "bool_masked_pos needs an \"encoder_stride\" that is the \"patch_size\"");
        x = b_where(b, b_unsqueeze(b, s->masked, B_LIST(2)), b_param(b, "mask_token", B_LIST(1, 1, v->hidden)), x);
    }
    int token = b_expand_batch(b, b_param(b, "cls_token", B_LIST(1, 1, v->hidden)), x);
    int table = b_param(b, "position_embeddings", B_LIST(1, 1 + v->grid[0] * v->grid[1], v->hidden));
    x = b_concat(b, 1, B_VALUES(token, x));
    x = b_dropout(b, b_add(b, x, any_size ? interpolate(b, v, table, s->pixels, patches) : table), v->dropout);
    b_leave(b);
    return x;
}

static int layer(struct assay_builder *b, const struct vit *v, int x, int64_t i)
{
    int64_t h = v->hidden;
    struct b_attention a = {.heads = v->heads, .head_dim = h / v->heads, .dropout = v->attention_dropout, B_ATTENTION_NONE};
    b_enter(b, "encoder.layer.%d", (int)i);
    int y = b_layer_norm(b, x, "layernorm_before", h, v->eps);
    a.q = b_linear(b, y, "attention.attention.query", h, h, v->qkv_bias);
    a.k = b_linear(b, y, "attention.attention.key", h, h, v->qkv_bias);
    a.v = b_linear(b, y, "attention.attention.value", h, h, v->qkv_bias);
    y = b_dropout(b, b_linear(b, b_attention(b, &a), "attention.output.dense", h, h, true), v->dropout);
    x = b_add(b, y, x);
    y = b_linear(b, b_layer_norm(b, x, "layernorm_after", h, v->eps), "intermediate.dense", h, v->inner, true);
    y = b_dropout(b, b_linear(b, b_activation(b, y, v->activation), "output.dense", v->inner, h, true), v->dropout);
    x = b_add(b, y, x);
    b_leave(b);
    b_output_optional(b, a.probabilities, "attentions.%d", (int)i);
    return x;
}

/* [batch, 1 + patches, hidden], in the scope of the model. */
static int encode(struct assay_builder *b, const struct vit *v, struct sight *s)
{
    int x = embed(b, v, s);
    for (int64_t i = 0; i < v->layers && !b->emit.status; i++) {
        b_output_optional(b, x, "hidden_states.%d", (int)i);
        x = layer(b, v, x, i);
    }
    b_output_optional(b, x, "hidden_states.%d", (int)v->layers);
    return b_layer_norm(b, x, "layernorm", v->hidden, v->eps);
}

static bool is(const struct assay_architecture *a, const char *name) { return strcmp(a->name, name) == 0; }

/* The mean difference between the image and what was drawn, where patches were masked. */
static int loss_of(struct assay_builder *b, const struct vit *v, const struct sight *s, int drawn)
{
    int64_t rows = v->grid[0], columns = v->grid[1], edge = v->encoder_stride;
    int mask = b_reshape(b, b_cast(b, s->masked, ASSAY_F32), B_LIST(-1, 1, rows, 1, columns, 1));
    mask = b_expand(b, mask, b_ints(b, B_LIST(1, 1, rows, edge, columns, edge)));
    mask = b_reshape(b, mask, B_LIST(0, 1, rows * edge, columns * edge));
    int far = b_mul(b, b_unary(b, "Abs", b_sub(b, s->pixels, drawn)), mask);
    int sum = b_reduce(b, "ReduceSum", far, false, B_LIST(0, 1, 2, 3));
    int n = b_add(b, b_reduce(b, "ReduceSum", mask, false, B_LIST(0, 1, 2, 3)), b_scalar(b, 1e-5));
    return b_scale(b, b_div(b, sum, n), 1 / (double)v->channels);
}

/* The whole image again, from its patches: x [batch, 1 + patches, hidden] in a square grid, whatever the image's. */
static void draw(struct assay_builder *b, const struct vit *v, const struct sight *s, int x)
{
    int64_t stride = v->encoder_stride, side = square_root(v->grid[0] * v->grid[1]);
    x = b_transpose(b, b_slice(b, x, 1, 1, INT64_MAX), B_LIST(0, 2, 1));
    if (b_flag(b, "interpolate_pos_encoding")) {
        int edge = b_unary(b, "Sqrt", b_cast(b, b_size(b, x, 2), ASSAY_F32));
        edge = b_cast(b, b_unary(b, "Floor", edge), ASSAY_I64);
        x = b_reshape_to(b, x, b_concat(b, 0, B_VALUES(b_ints(b, B_LIST(0, v->hidden)), edge, edge)));
    } else {
        x = b_reshape(b, x, B_LIST(0, v->hidden, side, side));
    }
    x = b_conv2d(b, x, "decoder.0", v->hidden, stride * stride * v->channels, 1, 1, 0, true);
    x = b_op(b, "DepthToSpace", B_VALUES(x));
    b_set_int(b, "blocksize", stride);
    b_set_text(b, "mode", "CRD");
    b_output(b, x, "reconstruction");
    if (b_training(b))
        b_loss(b, s->masked >= 0 ? loss_of(b, v, s, x)
                                 : b_fail(b, ASSAY_INVALID, "training this head needs the input 'bool_masked_pos'"));
    else if (s->masked >= 0 && b_wants(b, "loss"))
        b_output_optional(b, loss_of(b, v, s, x), "loss");
}

static void build_model(struct assay_builder *b, const struct vit *v)
{
    struct sight s;
    int x = encode(b, v, &s);
    b_ignore(b, "classifier.*");
    b_ignore(b, "decoder.*");
    b_output(b, x, "last_hidden_state");
    if (!b_has(b, "pooler.dense.weight", true))
        return;
    int first = b_linear(b, b_take(b, x, 1, 0), "pooler.dense", v->hidden, v->pooled, true);
    b_output(b, b_activation(b, first, v->pooler_activation), "pooler_output");
}

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    struct vit v;
    struct sight s;
    read_config(&v, c);
    bool alone = is(a, "ViTModel");
    int64_t labels = c_labels_or_none(c, 2);
    v.draws = is(a, "ViTForMaskedImageModeling");
    v.masks = alone || v.draws;
    if (v.draws && square_root(v.grid[0] * v.grid[1]) == 0)
        assay_config_fail(c, ASSAY_INVALID,
                          "\"image_size\" and \"patch_size\" make %lld patches, which are no square: the "
                          "head for masked images needs one",
                          (long long)(v.grid[0] * v.grid[1]));
    if (assay_config_status(c))
        return;
    b_ignore(b, "*embeddings.mask_token");
    /* The model alone is also taken out of a checkpoint of one with a head. */
    bool within = !alone || b_has(b, "vit.embeddings.cls_token", false);
    b_enter(b, "%s", within ? "vit" : "");
    if (alone) {
        build_model(b, &v);
        b_leave(b);
        return;
    }
    b_ignore(b, "vit.pooler.*");
    int x = encode(b, &v, &s);
    b_leave(b);
    if (v.draws) {
        draw(b, &v, &s, x);
        return;
    }
    x = b_take(b, x, 1, 0);
    x = labels ? b_linear(b, x, "classifier", v.hidden, labels, true) : x;
    b_output(b, x, "logits");
    b_problem_loss(b, c, x);
}

static const struct assay_architecture architectures[] = {
    {"ViTForImageClassification", "vit", "classifier.weight"},
    {"ViTForMaskedImageModeling", "vit", "decoder.0.weight"},
    {"ViTModel", "vit", NULL},
    {NULL, NULL, NULL},
};

const struct assay_family assay_family_vit = {
    .name = "vit", .modality = "vision", .architectures = architectures, .build = build};
