/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CLAP (Wu et al. 2022): texts and sounds in one space. A RoBERTa encoder, and HTS-AT, a Swin transformer over the spectrogram
 * folded into a square image, with or without the fusion of crops of long sounds. Both, or one of them alone, with and without
 * its projection into that space.
 */
#include "model/families/common_relative.h"
#include "model/family.h"

#include <stdio.h>
#include <string.h>

enum { MAX_STAGES = 8, MAX_WINDOW = 32, MAX_MASK = 1 << 24 };

struct text {
    int64_t hidden, heads, layers, inner, vocabulary, positions, types, padding;
    double eps, dropout, attention_dropout;
    const char *activation;
    struct relative relative;
};

struct audio {
    int64_t hidden, stages, depths[ASSAY_CONFIG_MAX_LIST], heads[ASSAY_CONFIG_MAX_LIST];
    /* The spectrogram of bins × (image * ratio), which it is stretched to, becomes image × image. */
    int64_t window, mels, image, ratio, bins;
    int64_t patch[2], stride[2], pad[2], grid[2];
    int64_t last_bins;                     /* rows of the last stage that are of the same time */
    int64_t first, channels, fusion_inner; /* hidden size of the first stage; of the input */
    double mlp_ratio, eps, dropout, attention_dropout;
    const char *activation;
    bool has_fusion, has_patch_norm, qkv_bias;
};

/* From a pooled state into the common space. */
struct projection {
    int64_t size;
    const char *activation;
};

/* PyTorch's default, which norms have that the config says nothing about. */
static const double default_eps = 1e-5;

/* ---- the config */

static void read_text(struct assay_config *c, struct text *t)
{
    t->hidden = c_size(c, "hidden_size", 768);
    t->heads = c_size(c, "num_attention_heads", 12);
    t->layers = c_count(c, "num_hidden_layers", 12);
    t->inner = c_size(c, "intermediate_size", 3072);
    t->vocabulary = c_size(c, "vocab_size", 50265);
    t->positions = c_size(c, "max_position_embeddings", 514);
    t->types = c_size(c, "type_vocab_size", 1);
    t->padding = c_int(c, "pad_token_id", 1);
    t->eps = c_real(c, "layer_norm_eps", 1e-12);
    t->dropout = c_dropout(c, "hidden_dropout_prob", 0.1);
    t->attention_dropout = c_dropout(c, "attention_probs_dropout_prob", 0.1);
    t->activation = c_text(c, "hidden_act", "gelu");
    t->relative.positions = t->positions;
    relative_read(&t->relative, c);
    /* The outer config's hold. */
    c_ignore(c, "projection_dim", "projection_hidden_act", "tie_word_embeddings", "fusion_hidden_size",
             "fusion_num_hidden_layers", NULL);
    if (t->hidden % t->heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"hidden_size\" %lld is no multiple of \"num_attention_heads\" %lld",
                          (long long)t->hidden, (long long)t->heads);
}

static void read_pair(struct assay_config *c, const char *name, int64_t *pair)
{
    int64_t values[ASSAY_CONFIG_MAX_LIST];
    int n = c_ints(c, name, (const int64_t[]){4, 4}, 2, values);
    pair[0] = pair[1] = 1;
    if (n < 1 || n > 2 || values[0] < 1 || values[n - 1] < 1)
        assay_config_fail(c, ASSAY_INVALID, "\"%s\" must be one or two positive numbers", name);
    else
        pair[0] = values[0], pair[1] = values[n - 1];
}

static void read_stages(struct assay_config *c, struct audio *a)
{
    a->stages = c_ints(c, "depths", (const int64_t[]){2, 2, 6, 2}, 4, a->depths);
    int n_heads = c_ints(c, "num_attention_heads", (const int64_t[]){4, 8, 16, 32}, 4, a->heads);
    if (a->stages < 1 || a->stages > MAX_STAGES || n_heads < a->stages) {
        assay_config_fail(c, ASSAY_INVALID, "\"depths\" must have 1 to %d stages, and \"num_attention_heads\" as many",
                          MAX_STAGES);
        a->stages = 1;
    }
    for (int64_t i = 0; i < a->stages; i++) {
        if (a->depths[i] < 0 || a->depths[i] > ASSAY_CONFIG_MAX_COUNT)
            assay_config_fail(c, ASSAY_INVALID, "\"depths\" must be numbers of layers, up to %d", ASSAY_CONFIG_MAX_COUNT);
        else if (a->heads[i] < 1 || (a->first << i) % a->heads[i] != 0)
            assay_config_fail(c, ASSAY_INVALID, "stage %d has %lld numbers, no multiple of its %lld heads", (int)i,
                              (long long)(a->first << i), (long long)a->heads[i]);
    }
    a->hidden = a->first << (a->stages - 1);
}

/* How the spectrogram becomes an image, and that patches. */
static void read_image(struct assay_config *c, struct audio *a)
{
    int64_t last = (int64_t)1 << (a->stages - 1);
    a->mels = c_size(c, "num_mel_bins", 64);
    a->image = c_size(c, "spec_size", 256);
    a->window = c_size(c, "window_size", 8);
    read_pair(c, "patch_size", a->patch);
    read_pair(c, "patch_stride", a->stride);
    a->ratio = a->image < a->mels ? 1 : a->image / a->mels;
    a->bins = a->image / a->ratio;
    if (a->image < a->mels || a->bins * a->ratio != a->image || a->image > 8192)
        assay_config_fail(
            c, ASSAY_UNSUPPORTED,
            "\"spec_size\" %lld, up to 8192, must be a multiple of the whole times that it holds \"num_mel_bins\" %lld",
            (long long)a->image, (long long)a->mels);
    for (int i = 0; i < 2; i++) {
        a->pad[i] = a->patch[i] > a->stride[i] ? (a->patch[i] - a->stride[i]) / 2 : 0;
        a->grid[i] = a->image / a->stride[i];
        if (a->patch[i] < a->stride[i] || (a->image + 2 * a->pad[i] - a->patch[i]) / a->stride[i] + 1 != a->grid[i] ||
            a->grid[i] < 1 || a->grid[i] % last != 0)
            assay_config_fail(c, ASSAY_UNSUPPORTED,
                              "\"spec_size\" %lld makes no whole number of patches of %lld every %lld, halved %d times",
                              (long long)a->image, (long long)a->patch[i], (long long)a->stride[i], (int)a->stages - 1);
        else if (a->window > a->grid[i] / last)
            assay_config_fail(c, ASSAY_UNSUPPORTED, "\"window_size\" %lld exceeds the last stage's side of %lld",
                              (long long)a->window, (long long)(a->grid[i] / last));
    }
    int64_t rows = a->grid[0] / last;
    a->last_bins = rows / a->ratio;
    if (a->last_bins < 1 || rows % a->last_bins != 0)
        assay_config_fail(c, ASSAY_UNSUPPORTED,
                          "the last stage's %lld rows cannot be told apart by the %lld that mel bins are folded in",
                          (long long)rows, (long long)a->ratio);
    if (a->window > MAX_WINDOW || (a->grid[0] + a->window) * (a->grid[1] + a->window) * a->window * a->window > MAX_MASK)
        assay_config_fail(c, ASSAY_UNSUPPORTED, "\"window_size\" %lld is too large", (long long)a->window);
}

static void read_audio(struct assay_config *c, struct audio *a)
{
    a->first = c_size(c, "patch_embeds_hidden_size", 96);
    a->channels = c_size(c, "patch_embed_input_channels", 1);
    a->mlp_ratio = c_real(c, "mlp_ratio", 4);
    a->eps = c_real(c, "layer_norm_eps", 1e-5);
    a->dropout = c_dropout(c, "hidden_dropout_prob", 0.1);
    a->attention_dropout = c_dropout(c, "attention_probs_dropout_prob", 0);
    a->activation = c_text(c, "hidden_act", "gelu");
    a->has_patch_norm = c_bool(c, "enable_patch_layer_norm", true);
    a->qkv_bias = c_bool(c, "qkv_bias", true);
    a->has_fusion = c_bool(c, "enable_fusion", false);
    c_require_bool(c, "flatten_patch_embeds", true);
    read_stages(c, a);
    read_image(c, a);
    const char *fusion = c_text(c, "fusion_type", "");
    a->fusion_inner = a->first / c_size(c, "aff_block_r", 4);
    /* Of the classifier and training; what the outer config, the list of depths or its stages' sizes say; and of the first
     * configs, what Transformers doesn't read. */
    c_ignore(c, "enable_patch_fusion", "fusion_hidden_size", "fusion_num_hidden_layers", "hidden_size", "num_classes",
             "num_hidden_layers", "drop_path_rate", "projection_dim", "projection_hidden_act", "tie_word_embeddings", NULL);
    if (a->mlp_ratio * (double)a->first < 1 || a->mlp_ratio > 1024)
        assay_config_fail(c, ASSAY_INVALID, "\"mlp_ratio\" is %g", a->mlp_ratio);
    if (a->has_fusion && strcmp(fusion, "channel_map") == 0)
        assay_config_fail(c, ASSAY_UNSUPPORTED, "\"fusion_type\" is \"channel_map\", which Transformers cannot run either");
    if (a->has_fusion && (a->channels != 1 || a->fusion_inner < 1))
        assay_config_fail(c, ASSAY_UNSUPPORTED,
                          "\"enable_fusion\" needs a \"patch_embed_input_channels\" of 1 and an "
                          "\"aff_block_r\" up to \"patch_embeds_hidden_size\"");
}

/* A projection's own sizes; `hidden` is what the state has. */
static void read_projection(struct assay_config *c, struct projection *p)
{
    p->size = c_size(c, "projection_dim", 512);
    p->activation = c_text(c, "projection_hidden_act", "relu");
}

/* Projected sounds have the size that the config says, not what the stages make of it. */
static void check_hidden(struct assay_config *c, const struct audio *a)
{
    int64_t hidden = c_size(c, "hidden_size", 768);
    if (hidden != a->hidden)
        assay_config_fail(c, ASSAY_INVALID, "\"hidden_size\" %lld must be what the last stage has, %lld", (long long)hidden,
                          (long long)a->hidden);
}

/* ---- texts */

/* RoBERTa's: tokens that are no padding count from the padding token's id on. */
static int positions_of(struct assay_builder *b, const struct text *t, int ids)
{
    int is_padding = b_op(b, "Equal", B_VALUES(ids, b_int(b, t->padding)));
    int there = b_cast(b, b_unary(b, "Not", is_padding), ASSAY_I64);
    int counts = b_op(b, "CumSum", B_VALUES(there, b_int(b, 1)));
    return b_add(b, b_mul(b, counts, there), b_int(b, t->padding));
}

/* What the layers of a text have in common. */
struct text_view {
    const char *prefix; /* what names of outputs begin with */
    int mask, rows;     /* of padding; of relative positions; -1 = none */
};

static int text_layer(struct assay_builder *b, const struct text *t, const struct text_view *v, int x, int64_t i)
{
    int64_t h = t->hidden;
    b_enter(b, "encoder.layer.%d", (int)i);
    struct b_attention a = {.heads = t->heads, .head_dim = h / t->heads, B_ATTENTION_NONE};
    a.mask = v->mask;
    a.dropout = t->attention_dropout;
    a.q = b_linear(b, x, "attention.self.query", h, h, true);
    a.k = b_linear(b, x, "attention.self.key", h, h, true);
    a.v = b_linear(b, x, "attention.self.value", h, h, true);
    if (t->relative.of_query) {
        b_enter(b, "attention.self");
        int scores = relative_scores(b, &t->relative, &a, v->rows);
        b_leave(b);
        a.mask = a.mask >= 0 ? b_add(b, scores, a.mask) : scores;
    }
    int y = b_dropout(b, b_linear(b, b_attention(b, &a), "attention.output.dense", h, h, true), t->dropout);
    x = b_layer_norm(b, b_add(b, y, x), "attention.output.LayerNorm", h, t->eps);
    y = b_activation(b, b_linear(b, x, "intermediate.dense", h, t->inner, true), t->activation);
    y = b_dropout(b, b_linear(b, y, "output.dense", t->inner, h, true), t->dropout);
    x = b_layer_norm(b, b_add(b, y, x), "output.LayerNorm", h, t->eps);
    b_leave(b);
    b_output_optional(b, a.probabilities, "%sattentions.%d", v->prefix, (int)i);
    b_output_optional(b, x, "%shidden_states.%d", v->prefix, (int)i + 1);
    return x;
}

struct text_inputs {
    int ids, mask, positions, types; /* -1 = none, but for ids */
};

static struct text_inputs text_inputs(struct assay_builder *b, const char *dims, bool offers_types)
{
    struct text_inputs in = {.ids = b_input(b, "input_ids", ASSAY_I64, dims), .types = -1};
    in.mask = b_input_optional(b, "attention_mask", true, ASSAY_I64, dims);
    in.positions = b_input_optional(b, "position_ids", false, ASSAY_I64, dims);
    if (offers_types)
        in.types = b_input_optional(b, "token_type_ids", false, ASSAY_I64, dims);
    return in;
}

static int embed_text(struct assay_builder *b, const struct text *t, const struct text_inputs *in)
{
    b_enter(b, "embeddings");
    int64_t padding = t->padding < 0 ? t->padding + t->vocabulary : t->padding;
    int x = b_embedding_padded(b, in->ids, "word_embeddings", t->vocabulary, t->hidden, padding);
    int types = b_param(b, "token_type_embeddings.weight", B_LIST(t->types, t->hidden));
    x = b_add(b, x, in->types >= 0 ? b_gather(b, types, 0, in->types) : b_take(b, types, 0, 0));
    int places = b_param(b, "position_embeddings.weight", B_LIST(t->positions, t->hidden));
    b->text_positions = t->positions - t->padding - 1; /* positions count from behind the padding token's number */
    if (!t->relative.of_query) {
        int at = in->positions >= 0 ? in->positions : positions_of(b, t, in->ids);
        x = b_add(b, x, b_stop_padding(b, b_gather(b, places, 0, at), at, t->padding));
    }
    x = b_dropout(b, b_layer_norm(b, x, "LayerNorm", t->hidden, t->eps), t->dropout);
    b_leave(b);
    return x;
}

/* [texts, hidden], pooled; *last_state [texts, sequence, hidden]. In the scope of the model. */
static int encode_text(struct assay_builder *b, const struct text *t, const struct text_inputs *in, const char *prefix,
                       int *last_state)
{
    struct text_view v = {prefix, in->mask >= 0 ? b_padding_mask(b, in->mask) : -1, -1};
    int x = embed_text(b, t, in);
    if (t->relative.of_query)
        v.rows = relative_rows(b, &t->relative, b_size_scalar(b, x, 1));
    b_output_optional(b, x, "%shidden_states.0", prefix);
    for (int64_t i = 0; i < t->layers && !b->emit.status; i++)
        x = text_layer(b, t, &v, x, i);
    *last_state = x;
    return b_unary(b, "Tanh", b_linear(b, b_take(b, x, 1, 0), "pooler.dense", t->hidden, t->hidden, true));
}

/* ---- from the spectrogram to patches */

/* An axis of four stretched to n places, bicubic with aligned corners as PyTorch does it: the distance of two places is rounded
 * to f32, which the states of a thousand frames show in their fifth digit, but then multiplied exactly. A Resize, whose positions
 * each runtime computes in its own way, would not agree. */
static int stretch(struct assay_builder *b, int x, int64_t axis, int64_t n)
{
    int64_t dims[4] = {1, 1, 1, 1};
    dims[axis] = n;
    int last = b_sub(b, b_size_scalar(b, x, axis), b_int(b, 1));
    int step = b_div(b, b_cast(b, last, ASSAY_F32), b_scalar(b, n > 1 ? (double)(n - 1) : 1));
    int places = b_mul(b, b_cast(b, step, ASSAY_F64), b_cast(b, b_range(b, b_int(b, 0), b_int(b, n)), ASSAY_F64));
    int floors = b_unary(b, "Floor", places), whole = b_cast(b, floors, ASSAY_I64), sum = -1;
    int t = b_reshape(b, b_cast(b, b_sub(b, places, floors), ASSAY_F32), 4, dims);
    for (int tap = -1; tap <= 2 && !b->emit.status; tap++) {
        /* The cubic convolution kernel, a = -0.75, at the distance d of this place: within 1, and within 2. */
        int d = tap <= 0 ? b_sub(b, t, b_scalar(b, tap)) : b_sub(b, b_scalar(b, tap), t), weight;
        if (tap == 0 || tap == 1) {
            weight = b_sub(b, b_scale(b, d, 1.25), b_scalar(b, 2.25));
            weight = b_add(b, b_mul(b, b_mul(b, weight, d), d), b_scalar(b, 1));
        } else {
            weight = b_add(b, b_scale(b, d, -0.75), b_scalar(b, 3.75));
            weight = b_sub(b, b_mul(b, weight, d), b_scalar(b, 6));
            weight = b_add(b, b_mul(b, weight, d), b_scalar(b, 3));
        }
        int at = b_op(b, "Min", B_VALUES(b_op(b, "Max", B_VALUES(b_add(b, whole, b_int(b, tap)), b_int(b, 0))), last));
        int part = b_mul(b, b_gather(b, x, axis, at), weight);
        sum = sum < 0 ? part : b_add(b, sum, part);
    }
    return sum;
}

/* [batch, channels, frames, mels] → [batch, channels, image, image] */
static int fold(struct assay_builder *b, const struct audio *a, int features, int64_t channels)
{
    int x = b_batch_norm(b, b_transpose(b, features, B_LIST(0, 3, 2, 1)), "batch_norm", a->mels, default_eps);
    x = b_transpose(b, x, B_LIST(0, 3, 2, 1));
    /* Mel bins are stretched at the whole length alone, which the input then has. */
    x = a->bins == a->mels ? stretch(b, x, 2, a->image * a->ratio) : stretch(b, x, 3, a->bins);
    x = b_reshape(b, x, B_LIST(0, channels * a->ratio, a->image, a->bins));
    return b_reshape(b, b_transpose(b, x, B_LIST(0, 1, 3, 2)), B_LIST(0, channels, a->image, a->image));
}

/* What fusion normalises over: in PyTorch shorter sounds never come there, so that in training statistics, the running ones too,
 * are of the longer sounds alone. (Of a single one it refuses the average over all places, which has no variance: here 0.) */
struct longer {
    int share, count; /* f64: 1 or 0 for each sound, [batch, 1, 1, 1]; their sum, a scalar */
};

/* x: [batch, channels, height, width] of so many places. What comes out for shorter sounds is the bias. In f64: of two sounds'
 * averages over all places the gradient is a ten thousandth of what it is the difference of. */
static int longer_batch_norm(struct assay_builder *b, const struct longer *longer, int x, const char *name, int64_t channels,
                             int64_t places)
{
    const double momentum = 0.1;
    if (!b_training(b))
        return b_batch_norm(b, x, name, channels, default_eps);
    b_enter(b, "%s", name);
    int weight = b_param(b, "weight", B_LIST(channels)), bias = b_param(b, "bias", B_LIST(channels));
    int old_mean = b_buffer(b, "running_mean", B_LIST(channels)), old_variance = b_buffer(b, "running_var", B_LIST(channels));
    /* Divisors are at least 1: where no sound is longer, all sums are 0, and the running statistics stay. */
    int one = b_cast(b, b_scalar(b, 1), ASSAY_F64),
        n = b_mul(b, longer->count, b_cast(b, b_scalar(b, (double)places), ASSAY_F64));
    int divisor = b_op(b, "Max", B_VALUES(n, one)), population = b_op(b, "Max", B_VALUES(b_sub(b, n, one), one));
    x = b_cast(b, x, ASSAY_F64);
    int mean = b_div(b, b_reduce(b, "ReduceSum", b_mul(b, x, longer->share), true, B_LIST(0, 2, 3)), divisor);
    int centred = b_mul(b, b_sub(b, x, mean), longer->share);
    int squares = b_reduce(b, "ReduceSum", b_mul(b, centred, centred), true, B_LIST(0, 2, 3));
    int eps = b_cast(b, b_scalar(b, default_eps), ASSAY_F64);
    int deviation = b_unary(b, "Sqrt", b_add(b, b_div(b, squares, divisor), eps));
    int y = b_cast(b, b_div(b, centred, deviation), ASSAY_F32);
    y = b_mul(b, y, b_reshape(b, weight, B_LIST(1, channels, 1, 1)));
    y = b_add(b, y, b_reshape(b, bias, B_LIST(1, channels, 1, 1)));
    int rate = b_scale(b, b_cast(b, b_op(b, "Min", B_VALUES(longer->count, one)), ASSAY_F32), momentum);
    int change = b_sub(b, b_reshape(b, b_cast(b, mean, ASSAY_F32), B_LIST(channels)), old_mean);
    b_update(b, old_mean, b_add(b, old_mean, b_mul(b, change, rate)));
    int variance = b_cast(b, b_div(b, squares, population), ASSAY_F32);
    change = b_sub(b, b_reshape(b, variance, B_LIST(channels)), old_variance);
    b_update(b, old_variance, b_add(b, old_variance, b_mul(b, change, rate)));
    b_leave(b);
    return y;
}

static int fusion_half(struct assay_builder *b, const struct audio *a, const struct longer *longer, int x, bool is_global)
{
    int64_t inner = a->fusion_inner, places = is_global ? 1 : a->grid[0] * a->grid[1];
    b_enter(b, is_global ? "global_att" : "local_att");
    const char *const names[2][4] = {{"0", "1", "3", "4"}, {"1", "2", "4", "5"}}, *const *name = names[is_global];
    if (is_global)
        x = b_unary(b, "GlobalAveragePool", x);
    x = b_conv2d(b, x, name[0], a->first, inner, 1, 1, 0, true);
    x = b_unary(b, "Relu", longer_batch_norm(b, longer, x, name[1], inner, places));
    x = b_conv2d(b, x, name[2], inner, a->first, 1, 1, 0, true);
    x = longer_batch_norm(b, longer, x, name[3], a->first, places);
    b_leave(b);
    return x;
}

/* The attentional fusion of a whole sound's patches with those of its three crops. */
static int fuse(struct assay_builder *b, const struct audio *a, int whole, int crops, int is_longer)
{
    int64_t width = (a->image + 2 * a->pad[1] - 3 * a->patch[1]) / (3 * a->stride[1]) + 1;
    if (a->image + 2 * a->pad[1] < 3 * a->patch[1])
        return b_fail(b, ASSAY_UNSUPPORTED, "\"patch_size\" is too large for fusion, which convolves three times its width");
    struct b_conv conv = {.n_spatial = 2,
                          .in = 1,
                          .out = a->first,
                          .kernel = {a->patch[0], 3 * a->patch[1]},
                          .stride = {a->stride[0], 3 * a->stride[1]},
                          .pad = {a->pad[0], a->pad[1], a->pad[0], a->pad[1]},
                          .bias = true};
    int local = b_conv(b, b_reshape(b, crops, B_LIST(-1, 1, a->image, a->image)), "mel_conv2d", &conv);
    local = b_reshape(b, local, B_LIST(-1, 3, a->first, a->grid[0], width));
    local = b_reshape(b, b_transpose(b, local, B_LIST(0, 2, 3, 1, 4)), B_LIST(0, a->first, a->grid[0], 3 * width));
    if (3 * width > a->grid[1])
        local = b_slice(b, local, 3, 0, a->grid[1]);
    else if (3 * width < a->grid[1])
        local = b_op(b, "Pad", B_VALUES(local, b_ints(b, B_LIST(0, 0, 0, 0, 0, 0, 0, a->grid[1] - 3 * width))));
    is_longer = b_reshape(b, is_longer, B_LIST(-1, 1, 1, 1));
    struct longer longer = {-1, -1};
    if (b_training(b)) {
        longer.share = b_cast(b, is_longer, ASSAY_F64);
        longer.count = b_reduce(b, "ReduceSum", longer.share, false, B_LIST(0, 1, 2, 3));
    }
    b_enter(b, "fusion_model");
    int both = b_add(b, whole, local);
    int of_places = fusion_half(b, a, &longer, both, false), of_all = fusion_half(b, a, &longer, both, true);
    int share = b_unary(b, "Sigmoid", b_add(b, of_places, of_all));
    int rest = b_mul(b, b_scale(b, local, 2), b_sub(b, b_scalar(b, 1), share));
    int fused = b_add(b, b_mul(b, b_scale(b, whole, 2), share), rest);
    b_leave(b);
    return b_where(b, is_longer, fused, whole);
}

/* [batch, patches, first] */
static int embed_patches(struct assay_builder *b, const struct audio *a, int image, int is_longer)
{
    b_enter(b, "patch_embed");
    struct b_conv conv = {.n_spatial = 2,
                          .in = a->channels,
                          .out = a->first,
                          .kernel = {a->patch[0], a->patch[1]},
                          .stride = {a->stride[0], a->stride[1]},
                          .pad = {a->pad[0], a->pad[1], a->pad[0], a->pad[1]},
                          .bias = true};
    int x;
    if (a->has_fusion) {
        x = b_conv(b, b_slice(b, image, 1, 0, 1), "proj", &conv);
        x = fuse(b, a, x, b_slice(b, image, 1, 1, INT64_MAX), is_longer);
    } else {
        x = b_conv(b, image, "proj", &conv);
    }
    x = b_transpose(b, b_reshape(b, x, B_LIST(0, a->first, a->grid[0] * a->grid[1])), B_LIST(0, 2, 1));
    if (a->has_patch_norm)
        x = b_layer_norm(b, x, "norm", a->first, default_eps);
    b_leave(b);
    return x;
}

/* ---- Swin layers */

struct stage {
    int64_t dim, heads, height, width;   /* of the patches */
    int64_t padded_height, padded_width; /* to whole windows */
    int64_t shift, window;
    int shifted_mask; /* [windows, 1, places, places] for shifted layers, or -1 */
};

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* After the shift a window may hold patches from opposite sides of the image: these don't see each other. */
static int shifted_mask(struct assay_builder *b, const struct stage *s)
{
    int64_t w = s->window, places = w * w, rows = s->padded_height / w, columns = s->padded_width / w;
    int *region = assay_arena_array(&b->arena, (size_t)places, sizeof *region);
    float *mask = assay_arena_array(&b->arena, (size_t)(rows * columns * places * places), sizeof *mask);
    float *to = mask;
    for (int64_t window = 0; window < rows * columns; window++) {
        for (int64_t i = 0; i < places; i++) {
            int64_t y = window / columns * w + i / w, x = window % columns * w + i % w;
            int below = (y >= s->padded_height - w) + (y >= s->padded_height - s->shift);
            int right = (x >= s->padded_width - w) + (x >= s->padded_width - s->shift);
            region[i] = 3 * below + right;
        }
        for (int64_t i = 0; i < places; i++)
            for (int64_t j = 0; j < places; j++)
                *to++ = region[i] == region[j] ? 0 : -100;
    }
    return b_floats(b, "shifted_mask", B_LIST(rows * columns, 1, places, places), mask);
}

/* [heads, places, places] of a table with a row per offset. */
static int position_bias(struct assay_builder *b, const struct stage *s)
{
    int64_t w = s->window, places = w * w, side = 2 * w - 1;
    int64_t *rows = assay_arena_array(&b->arena, (size_t)(places * places), sizeof *rows);
    for (int64_t i = 0; i < places; i++)
        for (int64_t j = 0; j < places; j++)
            rows[i * places + j] = (i / w - j / w + w - 1) * side + i % w - j % w + w - 1;
    int table = b_param(b, "relative_position_bias_table", B_LIST(side * side, s->heads));
    int bias = b_gather(b, table, 0, b_ints(b, (size_t)(places * places), rows));
    return b_transpose(b, b_reshape(b, bias, B_LIST(places, places, s->heads)), B_LIST(2, 0, 1));
}

static int heads_of(struct assay_builder *b, const struct stage *s, int x)
{
    return b_transpose(b, b_reshape(b, x, B_LIST(0, 0, s->heads, s->dim / s->heads)), B_LIST(0, 2, 1, 3));
}

/* x: [batch * windows, places, dim] */
static int window_attention(struct assay_builder *b, const struct audio *a, const struct stage *s, int x, int mask,
                            int *probabilities)
{
    int64_t d = s->dim, places = s->window * s->window, windows = s->padded_height * s->padded_width / places;
    b_enter(b, "attention.self");
    int q = heads_of(b, s, b_linear(b, x, "query", d, d, a->qkv_bias));
    int k = heads_of(b, s, b_linear(b, x, "key", d, d, a->qkv_bias));
    int v = heads_of(b, s, b_linear(b, x, "value", d, d, a->qkv_bias));
    int scores = b_matmul(b, q, b_transpose(b, k, B_LIST(0, 1, 3, 2)));
    scores = b_div(b, scores, b_unary(b, "Sqrt", b_scalar(b, (double)(d / s->heads))));
    scores = b_add(b, scores, position_bias(b, s));
    if (mask >= 0) {
        scores = b_add(b, b_reshape(b, scores, B_LIST(-1, windows, s->heads, places, places)), mask);
        scores = b_reshape(b, scores, B_LIST(-1, s->heads, places, places));
    }
    *probabilities = b_softmax(b, scores, -1);
    int y = b_matmul(b, b_dropout(b, *probabilities, a->attention_dropout), v);
    y = b_transpose(b, y, B_LIST(0, 2, 1, 3));
    b_leave(b);
    y = b_linear(b, b_reshape(b, y, B_LIST(0, 0, d)), "attention.output.dense", d, d, true);
    return b_dropout(b, y, a->attention_dropout); /* not that of hidden states */
}

/* The first n rows (axis 1) or columns (axis 2) go to the end. */
static int roll(struct assay_builder *b, int x, int64_t axis, int64_t n)
{
    return b_concat(b, axis, B_VALUES(b_slice(b, x, axis, n, INT64_MAX), b_slice(b, x, axis, 0, n)));
}

static int swin_layer(struct assay_builder *b, const struct audio *a, const struct stage *s, int x, bool shifted,
                      int *probabilities)
{
    int64_t d = s->dim, w = s->window, rows = s->padded_height / w, columns = s->padded_width / w;
    int64_t inner = (int64_t)(a->mlp_ratio * (double)d);
    bool padded = s->padded_height != s->height || s->padded_width != s->width;
    int y = b_layer_norm(b, x, "layernorm_before", d, a->eps);
    y = b_reshape(b, y, B_LIST(0, s->height, s->width, d));
    if (padded)
        y = b_op(b, "Pad",
                 B_VALUES(y, b_ints(b, B_LIST(0, 0, 0, 0, 0, s->padded_height - s->height, s->padded_width - s->width, 0))));
    if (shifted)
        y = roll(b, roll(b, y, 1, s->shift), 2, s->shift);
    y = b_transpose(b, b_reshape(b, y, B_LIST(0, rows, w, columns, w, d)), B_LIST(0, 1, 3, 2, 4, 5));
    y = window_attention(b, a, s, b_reshape(b, y, B_LIST(-1, w * w, d)), shifted ? s->shifted_mask : -1, probabilities);
    y = b_transpose(b, b_reshape(b, y, B_LIST(-1, rows, columns, w, w, d)), B_LIST(0, 1, 3, 2, 4, 5));
    y = b_reshape(b, y, B_LIST(0, s->padded_height, s->padded_width, d));
    if (shifted)
        y = roll(b, roll(b, y, 1, s->padded_height - s->shift), 2, s->padded_width - s->shift);
    if (padded)
        y = b_slice(b, b_slice(b, y, 1, 0, s->height), 2, 0, s->width);
    x = b_add(b, x, b_reshape(b, y, B_LIST(0, s->height * s->width, d)));
    y = b_linear(b, b_layer_norm(b, x, "layernorm_after", d, a->eps), "intermediate.dense", d, inner, true);
    y = b_linear(b, b_activation(b, y, a->activation), "output.dense", inner, d, true);
    return b_add(b, x, b_dropout(b, y, a->dropout));
}

/* Four neighbours become one, of twice the size. */
static int merge(struct assay_builder *b, const struct stage *s, int x)
{
    int64_t d = s->dim;
    b_enter(b, "downsample");
    /* [batch, row, upper or lower, column, left or right, d]: first the two of the left side, from above. */
    x = b_reshape(b, x, B_LIST(0, s->height / 2, 2, s->width / 2, 2, d));
    x = b_reshape(b, b_transpose(b, x, B_LIST(0, 1, 3, 4, 2, 5)), B_LIST(0, s->height * s->width / 4, 4 * d));
    x = b_linear(b, b_layer_norm(b, x, "norm", 4 * d, default_eps), "reduction", 4 * d, 2 * d, false);
    b_leave(b);
    return x;
}

/* A hidden state as Transformers gives it: [batch, dim, height, width]. */
static void output_state(struct assay_builder *b, const char *prefix, int x, int64_t dim, int64_t height, int64_t width, int i)
{
    if (b_wants(b, "%shidden_states.%d", prefix, i)) {
        int image = b_reshape(b, b_transpose(b, x, B_LIST(0, 2, 1)), B_LIST(0, dim, height, width));
        b_output_optional(b, image, "%shidden_states.%d", prefix, i);
    }
}

static int run_stage(struct assay_builder *b, const struct audio *a, const char *prefix, int x, int64_t i)
{
    struct stage s = {.dim = a->first << i,
                      .heads = a->heads[i],
                      .height = a->grid[0] >> i,
                      .width = a->grid[1] >> i,
                      .window = a->window,
                      .shifted_mask = -1};
    s.padded_height = round_up(s.height, s.window);
    s.padded_width = round_up(s.width, s.window);
    /* One window over the whole image needs no shift. */
    s.shift = s.height <= s.window || s.width <= s.window ? 0 : s.window / 2;
    b_enter(b, "layers.%d", (int)i);
    if (s.shift && a->depths[i] > 1)
        s.shifted_mask = shifted_mask(b, &s);
    int probabilities = -1;
    for (int64_t j = 0; j < a->depths[i] && !b->emit.status; j++) {
        b_enter(b, "blocks.%d", (int)j);
        x = swin_layer(b, a, &s, x, s.shift && j % 2, &probabilities);
        b_leave(b);
    }
    if (i + 1 < a->stages)
        x = merge(b, &s, x);
    b_leave(b);
    if (probabilities >= 0)
        b_output_optional(b, probabilities, "%sattentions.%d", prefix, (int)i);
    int halved = i + 1 < a->stages;
    output_state(b, prefix, x, s.dim << halved, s.height >> halved, s.width >> halved, (int)i + 1);
    return x;
}

struct audio_inputs {
    int features, is_longer; /* -1 = none */
};

static struct audio_inputs audio_inputs(struct assay_builder *b, const struct audio *a)
{
    char dims[96], frames[32];
    snprintf(frames, sizeof frames, "%d", (int)(a->image * a->ratio));
    snprintf(dims, sizeof dims, "batch %d %s %d", (int)(a->has_fusion ? 4 : a->channels), a->bins == a->mels ? "frames" : frames,
             (int)a->mels);
    struct audio_inputs in = {.features = b_input(b, "input_features", ASSAY_F32, dims)};
    b_hint_input(b, "input_features", "normal");
    b_hint_dim(b, "frames", 1001); /* of ten seconds */
    in.is_longer = a->has_fusion ? b_input(b, "is_longer", ASSAY_BOOL, "batch 1")
                                 : b_input_optional(b, "is_longer", false, ASSAY_BOOL, "batch 1");
    return in;
}

/* [batch, hidden], pooled; *last_state [batch, hidden, bins, places]. In the scope of the model. */
static int encode_audio(struct assay_builder *b, const struct audio *a, const struct audio_inputs *in, const char *prefix,
                        int *last_state)
{
    int64_t rows = a->grid[0] >> (a->stages - 1), columns = a->grid[1] >> (a->stages - 1), bins = a->last_bins;
    b_enter(b, "audio_encoder");
    int image = fold(b, a, in->features, a->has_fusion ? 4 : a->channels);
    int x = embed_patches(b, a, image, in->is_longer);
    output_state(b, prefix, x, a->first, a->grid[0], a->grid[1], 0);
    for (int64_t i = 0; i < a->stages && !b->emit.status; i++)
        x = run_stage(b, a, prefix, x, i);
    x = b_transpose(b, b_layer_norm(b, x, "norm", a->hidden, default_eps), B_LIST(0, 2, 1));
    /* The parts of the folded spectrogram side by side again. */
    x = b_reshape(b, x, B_LIST(0, a->hidden, rows / bins, bins, columns));
    x = b_reshape(b, b_transpose(b, x, B_LIST(0, 1, 3, 2, 4)), B_LIST(0, a->hidden, bins, rows / bins * columns));
    int pooled = b_reduce(b, "ReduceMean", x, false, B_LIST(2, 3));
    b_leave(b);
    *last_state = x;
    return pooled;
}

/* ---- architectures */

static bool is(const struct assay_architecture *a, const char *name) { return strcmp(a->name, name) == 0; }

static int project(struct assay_builder *b, const struct projection *p, const char *name, int x, int64_t in)
{
    b_enter(b, "%s", name);
    x = b_activation(b, b_linear(b, x, "linear1", in, p->size, true), p->activation);
    x = b_linear(b, x, "linear2", p->size, p->size, true);
    b_leave(b);
    return x;
}

static void build_text(struct assay_builder *b, struct assay_config *c, bool projects)
{
    struct text t = {0};
    struct projection p;
    int state = -1;
    read_text(c, &t);
    read_projection(c, &p);
    if (assay_config_status(c))
        return;
    struct text_inputs in = text_inputs(b, "batch sequence", !projects);
    b_enter(b, "%s", projects ? "text_model" : "");
    int pooled = encode_text(b, &t, &in, "", &state);
    b_leave(b);
    if (projects) {
        b_output(b, project(b, &p, "text_projection", pooled, t.hidden), "text_embeds");
        b_output_optional(b, state, "last_hidden_state");
    } else {
        b_output(b, state, "last_hidden_state");
        b_output(b, pooled, "pooler_output");
    }
}

static void build_audio(struct assay_builder *b, struct assay_config *c, bool projects)
{
    struct audio a = {0};
    struct projection p;
    int state = -1;
    read_audio(c, &a);
    read_projection(c, &p);
    if (projects)
        check_hidden(c, &a);
    if (assay_config_status(c))
        return;
    struct audio_inputs in = audio_inputs(b, &a);
    b_enter(b, "%s", projects ? "audio_model" : "");
    int pooled = encode_audio(b, &a, &in, "", &state);
    b_leave(b);
    if (projects) {
        b_output(b, project(b, &p, "audio_projection", pooled, a.hidden), "audio_embeds");
        b_output_optional(b, state, "last_hidden_state");
    } else {
        b_output(b, state, "last_hidden_state");
        b_output(b, pooled, "pooler_output");
    }
}

static int compare(struct assay_builder *b, int x, int y, const char *scale)
{
    int products = b_matmul(b, x, b_transpose(b, y, B_LIST(1, 0)));
    return b_mul(b, products, b_unary(b, "Exp", b_param(b, scale, 0, NULL)));
}

/* From texts to sounds by one scale; the other way Transformers takes the sounds' scores transposed, so texts again. */
static int loss_of(struct assay_builder *b, int per_text, int per_audio)
{
    int places = b_range(b, b_int(b, 0), b_size_scalar(b, per_text, 0));
    int of_texts = b_op(b, "SoftmaxCrossEntropyLoss", B_VALUES(per_text, places));
    int of_sounds = b_op(b, "SoftmaxCrossEntropyLoss", B_VALUES(b_transpose(b, per_audio, B_LIST(1, 0)), places));
    return b_scale(b, b_add(b, of_texts, of_sounds), 0.5);
}

static void build_both(struct assay_builder *b, struct assay_config *c)
{
    struct text t = {0};
    struct audio a = {0};
    struct projection p;
    int state = -1;
    read_text(c_sub(c, "text_config"), &t);
    read_audio(c_sub(c, "audio_config"), &a);
    check_hidden(c_sub(c, "audio_config"), &a);
    read_projection(c, &p);
    c_require_null(c, "text_config_dict");
    c_require_null(c, "audio_config_dict");
    /* Initial values; copies of the inner configs' fields. */
    c_ignore(c, "logit_scale_init_value", "hidden_size", "num_hidden_layers", "tie_word_embeddings", NULL);
    if (assay_config_status(c))
        return;
    struct text_inputs text_in = text_inputs(b, "texts sequence", false);
    struct audio_inputs audio_in = audio_inputs(b, &a);
    b_enter(b, "audio_model");
    int audio = encode_audio(b, &a, &audio_in, "audio_model_output.", &state);
    b_leave(b);
    b_output_optional(b, state, "audio_model_output.last_hidden_state");
    b_output_optional(b, audio, "audio_model_output.pooler_output");
    audio = b_l2_normalize(b, project(b, &p, "audio_projection", audio, a.hidden));
    b_enter(b, "text_model");
    int text = encode_text(b, &t, &text_in, "text_model_output.", &state);
    b_leave(b);
    b_output_optional(b, state, "text_model_output.last_hidden_state");
    b_output_optional(b, text, "text_model_output.pooler_output");
    text = b_l2_normalize(b, project(b, &p, "text_projection", text, t.hidden));
    int per_audio = compare(b, audio, text, "logit_scale_a");
    b_output(b, per_audio, "logits_per_audio");
    int per_text = compare(b, text, audio, "logit_scale_t");
    b_output(b, per_text, "logits_per_text");
    if (b_training(b))
        b_loss(b, loss_of(b, per_text, per_audio));
    b_output(b, text, "text_embeds");
    b_output(b, audio, "audio_embeds");
}

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *architecture)
{
    static const char *const unused[] = {"*position_ids", "*token_type_ids", "*.relative_position_index",
                                         "*.num_batches_tracked"};
    for (size_t i = 0; i < ASSAY_COUNT(unused); i++)
        b_ignore(b, unused[i]);
    if (is(architecture, "ClapModel"))
        build_both(b, c);
    else if (strcmp(architecture->model_type, "clap_text_model") == 0)
        build_text(b, c, is(architecture, "ClapTextModelWithProjection"));
    else
        build_audio(b, c, is(architecture, "ClapAudioModelWithProjection"));
}

static const struct assay_architecture architectures[] = {
    {"ClapModel", "clap", NULL},
    {"ClapTextModelWithProjection", "clap_text_model", "text_projection.linear1.weight"},
    {"ClapTextModel", "clap_text_model", NULL},
    {"ClapAudioModelWithProjection", "clap_audio_model", "audio_projection.linear1.weight"},
    {"ClapAudioModel", "clap_audio_model", NULL},
    {NULL, NULL, NULL},
};

const struct assay_family assay_family_clap = {
    .name = "clap", .modality = "multimodal", .architectures = architectures, .build = build};
