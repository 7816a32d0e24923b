/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wav2vec 2.0 (Baevski et al. 2020): convolutions over the waveform, normalised per channel at the first one ("group") or per
 * step at each ("layer"), a weight-normalised positional convolution and a post-norm or pre-norm ("stable") encoder; CTC,
 * sequence, frame and speaker classification, and the heads for pre-training without its loss, which is of random samples.
 */
#include "model/family.h"

#include <string.h>

struct wav2vec2 {
    int64_t hidden, heads, layers, inner, vocabulary, labels, projection;
    int64_t conv_dim[ASSAY_CONFIG_MAX_LIST], conv_kernel[ASSAY_CONFIG_MAX_LIST], conv_stride[ASSAY_CONFIG_MAX_LIST];
    int n_conv;
    int64_t position_kernel, position_groups;
    int64_t adapter_size;                                                   /* of each layer's attention adapter, 0 = none */
    int64_t adapter_layers, adapter_kernel, adapter_stride, adapter_hidden; /* after the encoder; 0 layers = none */
    double eps, dropout, attention_dropout, activation_dropout, feature_dropout, final_dropout;
    const char *activation, *conv_activation;
    bool conv_bias, per_step, stable, has_mask_vector, takes_mask, weighted_sum;
    int64_t groups, per_group, code_size, code_projection; /* of the quantizer */
    int64_t tdnn_dim[ASSAY_CONFIG_MAX_LIST], tdnn_kernel[ASSAY_CONFIG_MAX_LIST], tdnn_dilation[ASSAY_CONFIG_MAX_LIST];
    int n_tdnn;
    int64_t embedding; /* of a speaker */
    int64_t blank;     /* of CTC */
    bool averages_ctc, zeroes_infinity;
};

/* Convolutions' norms have PyTorch's default. */
static const double conv_eps = 1e-5;

static bool is(const struct assay_architecture *a, const char *name) { return strcmp(a->name, name) == 0; }

static void read_convolutions(struct assay_config *c, struct wav2vec2 *w)
{
    static const int64_t dims[] = {512, 512, 512, 512, 512, 512, 512}, kernels[] = {10, 3, 3, 3, 3, 2, 2},
                         strides[] = {5, 2, 2, 2, 2, 2, 2};
    w->n_conv = c_ints(c, "conv_dim", dims, 7, w->conv_dim);
    int n_kernels = c_ints(c, "conv_kernel", kernels, 7, w->conv_kernel);
    int n_strides = c_ints(c, "conv_stride", strides, 7, w->conv_stride);
    bool positive = w->n_conv > 0 && n_kernels == w->n_conv && n_strides == w->n_conv;
    for (int i = 0; positive && i < w->n_conv; i++)
        positive = w->conv_dim[i] > 0 && w->conv_kernel[i] > 0 && w->conv_stride[i] > 0;
    if (!positive)
        assay_config_fail(
            c, ASSAY_INVALID,
            "\"conv_dim\", \"conv_kernel\" and \"conv_stride\" must be lists of positive numbers of the same length");
    w->conv_bias = c_bool(c, "conv_bias", false);
    w->conv_activation = c_text(c, "feat_extract_activation", "gelu");
    const char *norm = c_text(c, "feat_extract_norm", "group");
    w->per_step = strcmp(norm, "layer") == 0;
    if (!w->per_step && strcmp(norm, "group") != 0)
        assay_config_fail(c, ASSAY_UNSUPPORTED, "\"feat_extract_norm\" is \"%s\"; it must be \"group\" or \"layer\"", norm);
}

static void read_adapters(struct assay_config *c, struct wav2vec2 *w, const struct assay_architecture *a)
{
    bool has_adapter = c_bool(c, "add_adapter", false);
    int64_t layers = c_count(c, "num_adapter_layers", 3);
    w->adapter_kernel = c_size(c, "adapter_kernel_size", 3);
    w->adapter_stride = c_size(c, "adapter_stride", 2);
    w->adapter_hidden = c_size(c, "output_hidden_size", w->hidden);
    w->adapter_layers = has_adapter ? layers : 0;
    if (!has_adapter)
        w->adapter_hidden = w->hidden;
    else if (layers == 0)
        assay_config_fail(c, ASSAY_UNSUPPORTED, "\"add_adapter\" is true, but \"num_adapter_layers\" is 0");
    else if (is(a, "Wav2Vec2ForSequenceClassification") || is(a, "Wav2Vec2ForAudioFrameClassification"))
        assay_config_fail(c, ASSAY_UNSUPPORTED, "\"add_adapter\" is true, which %s does not support", a->name);
    else if (w->adapter_hidden != w->hidden && !is(a, "Wav2Vec2Model") && !is(a, "Wav2Vec2ForCTC"))
        assay_config_fail(c, ASSAY_UNSUPPORTED, "\"output_hidden_size\" is not \"hidden_size\", which %s does not support",
                          a->name);
    int64_t size = c_size(c, "adapter_attn_dim", 0);
    w->adapter_size = w->stable ? size : 0; /* Transformers has it in the pre-norm encoder alone */
}

/* Of a vector quantizer: so many groups of codewords, one of each side by side. */
static void read_quantizer(struct assay_config *c, struct wav2vec2 *w)
{
    w->groups = c_size(c, "num_codevector_groups", 2);
    w->per_group = c_size(c, "num_codevectors_per_group", 320);
    w->code_size = c_size(c, "codevector_dim", 256);
    w->code_projection = c_size(c, "proj_codevector_dim", 256);
    if (w->code_size % w->groups != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"codevector_dim\" %lld is no multiple of \"num_codevector_groups\" %lld",
                          (long long)w->code_size, (long long)w->groups);
}

static void read_tdnn(struct assay_config *c, struct wav2vec2 *w, const struct assay_architecture *a)
{
    static const int64_t dims[] = {512, 512, 512, 512, 1500}, kernels[] = {5, 3, 3, 1, 1}, dilations[] = {1, 2, 3, 1, 1};
    w->n_tdnn = c_ints(c, "tdnn_dim", dims, 5, w->tdnn_dim);
    int n_kernels = c_ints(c, "tdnn_kernel", kernels, 5, w->tdnn_kernel);
    int n_dilations = c_ints(c, "tdnn_dilation", dilations, 5, w->tdnn_dilation);
    w->embedding = c_size(c, "xvector_output_dim", 512);
    bool fits = w->n_tdnn > 0 && n_kernels == w->n_tdnn && n_dilations == w->n_tdnn;
    for (int i = 0; fits && i < w->n_tdnn; i++)
        fits = w->tdnn_dim[i] > 0 && w->tdnn_kernel[i] > 0 && w->tdnn_dilation[i] > 0;
    if (!fits && is(a, "Wav2Vec2ForXVector"))
        assay_config_fail(
            c, ASSAY_INVALID,
            "\"tdnn_dim\", \"tdnn_kernel\" and \"tdnn_dilation\" must be lists of positive numbers of the same length");
}

static void read_ctc(struct assay_config *c, struct wav2vec2 *w)
{
    const char *reduction = c_text(c, "ctc_loss_reduction", "sum");
    w->averages_ctc = strcmp(reduction, "mean") == 0;
    w->zeroes_infinity = c_bool(c, "ctc_zero_infinity", false);
    w->blank = c_int(c, "pad_token_id", 0);
    if (!w->averages_ctc && strcmp(reduction, "sum") != 0)
        assay_config_fail(c, ASSAY_UNSUPPORTED, "\"ctc_loss_reduction\" is \"%s\"; it must be \"sum\" or \"mean\"", reduction);
}

static void read(struct assay_config *c, struct wav2vec2 *w, const struct assay_architecture *a)
{
    w->hidden = c_size(c, "hidden_size", 768);
    w->heads = c_size(c, "num_attention_heads", 12);
    w->layers = c_count(c, "num_hidden_layers", 12);
    w->inner = c_size(c, "intermediate_size", 3072);
    w->vocabulary = c_size(c, "vocab_size", 32);
    w->labels = c_labels(c, 2);
    w->projection = c_size(c, "classifier_proj_size", 256);
    w->position_kernel = c_size(c, "num_conv_pos_embeddings", 128);
    w->position_groups = c_size(c, "num_conv_pos_embedding_groups", 16);
    w->eps = c_real(c, "layer_norm_eps", 1e-5);
    w->activation = c_text(c, "hidden_act", "gelu");
    w->dropout = c_dropout(c, "hidden_dropout", 0.1);
    w->attention_dropout = c_dropout(c, "attention_dropout", 0.1);
    w->activation_dropout = c_dropout(c, "activation_dropout", 0.1);
    w->feature_dropout = c_dropout(c, "feat_proj_dropout", 0);
    w->final_dropout = c_dropout(c, "final_dropout", 0.1);
    w->stable = c_bool(c, "do_stable_layer_norm", false);
    w->weighted_sum = c_bool(c, "use_weighted_layer_sum", false);
    /* Masking is for training, but with it the checkpoint has the vector that stands for masked steps. */
    double time_share = c_real(c, "mask_time_prob", 0.05), feature_share = c_real(c, "mask_feature_prob", 0);
    w->has_mask_vector = time_share > 0 || feature_share > 0;
    w->takes_mask = c_bool(c, "apply_spec_augment", true);
    read_ctc(c, w);
    read_convolutions(c, w);
    read_adapters(c, w, a);
    read_quantizer(c, w);
    read_tdnn(c, w, a);
    /* Training, and the list's length again; and what the first configs have of fairseq. */
    c_ignore(c, "freeze_feat_extract_train", "no_mask_channel_overlap", "no_mask_time_overlap", "mask_time_length",
             "mask_time_min_masks", "mask_feature_length", "mask_feature_min_masks", "mask_channel_length",
             "mask_channel_min_space", "mask_channel_other", "mask_channel_prob", "mask_channel_selection", "mask_time_min_space",
             "mask_time_other", "mask_time_selection", "contrastive_logits_temperature", "diversity_loss_weight", "num_negatives",
             "num_feat_extract_layers", "tie_word_embeddings", NULL);
    if (w->hidden % w->heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"hidden_size\" %lld is no multiple of \"num_attention_heads\" %lld",
                          (long long)w->hidden, (long long)w->heads);
    if (w->hidden % w->position_groups != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"hidden_size\" %lld is no multiple of \"num_conv_pos_embedding_groups\" %lld",
                          (long long)w->hidden, (long long)w->position_groups);
}

/* [batch, samples] → [batch, steps, channels] */
static int extract(struct assay_builder *b, const struct wav2vec2 *w, int samples)
{
    int x = b_unsqueeze(b, samples, B_LIST(1));
    for (int i = 0; i < w->n_conv && !b->emit.status; i++) {
        b_enter(b, "feature_extractor.conv_layers.%d", i);
        struct b_conv conv = {.n_spatial = 1,
                              .in = i ? w->conv_dim[i - 1] : 1,
                              .out = w->conv_dim[i],
                              .kernel = {w->conv_kernel[i]},
                              .stride = {w->conv_stride[i]},
                              .bias = w->conv_bias};
        x = b_conv(b, x, "conv", &conv);
        if (w->per_step) {
            x = b_layer_norm(b, b_transpose(b, x, B_LIST(0, 2, 1)), "layer_norm", conv.out, conv_eps);
            x = b_transpose(b, x, B_LIST(0, 2, 1));
        } else if (i == 0) {
            x = b_group_norm(b, x, "layer_norm", conv.out, conv.out, conv_eps);
        }
        x = b_activation(b, x, w->conv_activation);
        b_leave(b);
    }
    return b_transpose(b, x, B_LIST(0, 2, 1));
}

/* int64 [batch]: how many steps remain of so many after a convolution. */
static int steps_after(struct assay_builder *b, int length, int64_t kernel, int64_t stride)
{
    return b_add(b, b_div(b, b_sub(b, length, b_int(b, kernel)), b_int(b, stride)), b_int(b, 1));
}

/* int64 [batch]: steps that the convolutions make of the samples that a mask [batch, samples] shows. */
static int steps_of(struct assay_builder *b, const struct wav2vec2 *w, int mask)
{
    int length = b_reduce(b, "ReduceSum", mask, false, B_LIST(1));
    for (int i = 0; i < w->n_conv; i++)
        length = steps_after(b, length, w->conv_kernel[i], w->conv_stride[i]);
    return length;
}

/* bool [batch, steps] for `x` [batch, steps, …]: the first `length` [batch] of them. */
static int first_steps(struct assay_builder *b, int length, int x)
{
    int steps = b_unsqueeze(b, b_range(b, b_int(b, 0), b_size_scalar(b, x, 1)), B_LIST(0));
    return b_op(b, "Less", B_VALUES(steps, b_unsqueeze(b, length, B_LIST(1))));
}

static int only(struct assay_builder *b, int x, int mask)
{
    return mask < 0 ? x : b_where(b, b_unsqueeze(b, mask, B_LIST(2)), x, b_scalar(b, 0));
}

/* The positional convolution: its weight is g · v / |v|, the norm being taken per tap. */
static int positions(struct assay_builder *b, const struct wav2vec2 *w, int x)
{
    int64_t h = w->hidden, kernel = w->position_kernel;
    b_enter(b, "pos_conv_embed.conv");
    /* PyTorch's newer parametrisation has other names for the same tensors. */
    bool newer = b_has(b, "parametrizations.weight.original0", false);
    int g = b_param(b, newer ? "parametrizations.weight.original0" : "weight_g", B_LIST(1, 1, kernel));
    int v = b_param(b, newer ? "parametrizations.weight.original1" : "weight_v", B_LIST(h, h / w->position_groups, kernel));
    int weight = b_mul(b, b_div(b, v, b_reduce(b, "ReduceL2", v, true, B_LIST(0, 1))), g);
    int y = b_op(b, "Conv", B_VALUES(b_transpose(b, x, B_LIST(0, 2, 1)), weight, b_param(b, "bias", B_LIST(h))));
    /* With an even kernel Transformers drops the last step, which the last padding alone makes. */
    b_set_ints(b, "pads", B_LIST(kernel / 2, kernel / 2 - (kernel % 2 == 0)));
    b_set_ints(b, "kernel_shape", B_LIST(kernel));
    b_set_int(b, "group", w->position_groups);
    b_leave(b);
    return b_transpose(b, b_activation(b, y, w->conv_activation), B_LIST(0, 2, 1));
}

static int attend(struct assay_builder *b, const struct wav2vec2 *w, int x, int mask, int64_t i)
{
    int64_t h = w->hidden;
    b_enter(b, "attention");
    struct b_attention a = {.heads = w->heads, .head_dim = h / w->heads, B_ATTENTION_NONE};
    a.mask = mask;
    a.dropout = w->attention_dropout;
    a.q = b_linear(b, x, "q_proj", h, h, true);
    a.k = b_linear(b, x, "k_proj", h, h, true);
    a.v = b_linear(b, x, "v_proj", h, h, true);
    int y = b_linear(b, b_attention(b, &a), "out_proj", h, h, true);
    b_leave(b);
    b_output_optional(b, a.probabilities, "attentions.%d", (int)i);
    return b_dropout(b, y, w->dropout);
}

static int feed_forward(struct assay_builder *b, const struct wav2vec2 *w, int x)
{
    x = b_linear(b, x, "feed_forward.intermediate_dense", w->hidden, w->inner, true);
    x = b_dropout(b, b_activation(b, x, w->activation), w->activation_dropout);
    return b_dropout(b, b_linear(b, x, "feed_forward.output_dense", w->inner, w->hidden, true), w->dropout);
}

static int layer(struct assay_builder *b, const struct wav2vec2 *w, int x, int mask, int64_t i)
{
    int64_t h = w->hidden;
    b_enter(b, "layers.%d", (int)i);
    if (w->stable) {
        x = b_add(b, x, attend(b, w, b_layer_norm(b, x, "layer_norm", h, w->eps), mask, i));
        x = b_add(b, x, feed_forward(b, w, b_layer_norm(b, x, "final_layer_norm", h, w->eps)));
    } else {
        x = b_layer_norm(b, b_add(b, x, attend(b, w, x, mask, i)), "layer_norm", h, w->eps);
        x = b_layer_norm(b, b_add(b, x, feed_forward(b, w, x)), "final_layer_norm", h, w->eps);
    }
    if (w->adapter_size) {
        b_enter(b, "adapter_layer");
        int y = b_layer_norm(b, x, "norm", h, 1e-5);
        y = b_unary(b, "Relu", b_linear(b, y, "linear_1", h, w->adapter_size, true));
        x = b_add(b, x, b_linear(b, y, "linear_2", w->adapter_size, h, true));
        b_leave(b);
    }
    b_leave(b);
    return x;
}

/* states[layers + 1]: hidden states as Transformers lists them, the last one being the result. */
static void encode(struct assay_builder *b, const struct wav2vec2 *w, int x, int mask, int *states)
{
    b_enter(b, "encoder");
    x = only(b, x, mask);
    x = b_add(b, x, positions(b, w, x));
    if (!w->stable)
        x = b_layer_norm(b, x, "layer_norm", w->hidden, w->eps);
    x = b_dropout(b, x, w->dropout);
    int added = mask < 0 ? -1 : b_padding_mask(b, b_cast(b, mask, ASSAY_I64));
    states[0] = x;
    for (int64_t i = 0; i < w->layers && !b->emit.status; i++)
        states[i + 1] = x = layer(b, w, x, added, i);
    if (w->stable)
        states[w->layers] = b_layer_norm(b, x, "layer_norm", w->hidden, w->eps);
    b_leave(b);
    for (int64_t i = 0; i <= w->layers && !b->emit.status; i++)
        b_output_optional(b, states[i], "hidden_states.%d", (int)i);
}

/* Strided convolutions with gates over the encoder's result. */
static int adapt(struct assay_builder *b, const struct wav2vec2 *w, int x)
{
    int64_t h = w->adapter_hidden, halves[] = {h, h};
    b_enter(b, "adapter");
    if (h != w->hidden)
        x = b_layer_norm(b, b_linear(b, x, "proj", w->hidden, h, true), "proj_layer_norm", h, 1e-5);
    x = b_transpose(b, x, B_LIST(0, 2, 1));
    for (int64_t i = 0; i < w->adapter_layers && !b->emit.status; i++) {
        b_enter(b, "layers.%d", (int)i);
        struct b_conv conv = {.n_spatial = 1,
                              .in = h,
                              .out = 2 * h,
                              .kernel = {w->adapter_kernel},
                              .stride = {w->adapter_stride},
                              .pad = {1, 1},
                              .bias = true};
        int parts[2] = {-1, -1};
        b_split(b, b_conv(b, x, "conv", &conv), 1, 2, halves, parts);
        x = b_mul(b, parts[0], b_unary(b, "Sigmoid", parts[1]));
        b_leave(b);
    }
    b_leave(b);
    return b_transpose(b, x, B_LIST(0, 2, 1));
}

/* The layers' mean with learned weights, or the last one. */
static int summed(struct assay_builder *b, const struct wav2vec2 *w, const int *states)
{
    if (!w->weighted_sum || b->emit.status)
        return states[w->layers];
    int n = (int)w->layers + 1, all[ASSAY_CONFIG_MAX_COUNT + 1];
    for (int i = 0; i < n; i++)
        all[i] = b_unsqueeze(b, states[i], B_LIST(3));
    int weights = b_softmax(b, b_param(b, "layer_weights", B_LIST(n)), -1);
    int x = b_matmul(b, b_concat(b, 3, n, all), b_unsqueeze(b, weights, B_LIST(1)));
    return b_squeeze(b, x, B_LIST(3));
}

/* [batch, steps, n] → [batch, n]: the mean over the steps that are there. */
static int pool(struct assay_builder *b, int x, int mask)
{
    if (mask < 0)
        return b_reduce(b, "ReduceMean", x, false, B_LIST(1));
    int count = b_reduce(b, "ReduceSum", b_cast(b, mask, ASSAY_F32), true, B_LIST(1));
    return b_div(b, b_reduce(b, "ReduceSum", only(b, x, mask), false, B_LIST(1)), count);
}

/* ---- heads */

/* Of every step the nearest codeword of each group; how many of them are used goes to `perplexity`. masked: bool [batch, steps],
 * the steps that count there, or -1. [batch, steps, code size] */
static int quantize(struct assay_builder *b, const struct wav2vec2 *w, int features, int masked, int *perplexity)
{
    int64_t n = w->groups * w->per_group, width = w->conv_dim[w->n_conv - 1], size = w->code_size / w->groups;
    int64_t begins[ASSAY_CONFIG_MAX_LIST];
    if (w->groups > ASSAY_CONFIG_MAX_LIST)
        return b_fail(b, ASSAY_UNSUPPORTED, "\"num_codevector_groups\" %lld is more than %d", (long long)w->groups,
                      ASSAY_CONFIG_MAX_LIST);
    for (int64_t i = 0; i < w->groups; i++)
        begins[i] = i * w->per_group;
    b_enter(b, "quantizer");
    int scores = b_linear(b, features, "weight_proj", width, n, true);
    int chosen = b_argmax(b, b_reshape(b, scores, B_LIST(0, 0, w->groups, w->per_group)), -1); /* [batch, steps, group] */
    int words = b_reshape(b, b_param(b, "codevectors", B_LIST(1, n, size)), B_LIST(n, size));
    int x = b_gather(b, words, 0, b_add(b, chosen, b_ints(b, (size_t)w->groups, begins)));

    int each = b_range(b, b_int(b, 0), b_int(b, w->per_group));
    int used = b_cast(b, b_op(b, "Equal", B_VALUES(b_unsqueeze(b, chosen, B_LIST(3)), each)), ASSAY_F32), share;
    if (masked >= 0) {
        int counted = b_cast(b, masked, ASSAY_F32), sum;
        sum = b_reduce(b, "ReduceSum", b_mul(b, used, b_unsqueeze(b, counted, B_LIST(2, 3))), false, B_LIST(0, 1));
        share = b_div(b, sum, b_reduce(b, "ReduceSum", counted, false, B_LIST(0, 1)));
    } else {
        share = b_reduce(b, "ReduceMean", used, false, B_LIST(0, 1));
    }
    int logarithm = b_unary(b, "Log", b_add(b, share, b_scalar(b, 1e-7)));
    int entropy = b_unary(b, "Neg", b_reduce(b, "ReduceSum", b_mul(b, share, logarithm), false, B_LIST(1)));
    *perplexity = b_reduce(b, "ReduceSum", b_unary(b, "Exp", entropy), false, B_LIST(0));
    b_leave(b);
    return b_reshape(b, x, B_LIST(0, 0, w->code_size));
}

static void pretrain(struct assay_builder *b, const struct wav2vec2 *w, int x, int features, int masked)
{
    int perplexity = -1, words = quantize(b, w, features, masked, &perplexity);
    b_output(b, b_linear(b, x, "project_hid", w->hidden, w->code_projection, true), "projected_states");
    b_output(b, b_linear(b, words, "project_q", w->code_size, w->code_projection, true), "projected_quantized_states");
    b_output(b, perplexity, "codevector_perplexity");
}

/* A convolution whose weight is stored as that of a linear layer over the taps. */
static int tdnn(struct assay_builder *b, const struct wav2vec2 *w, int x, int i)
{
    int64_t in = w->tdnn_dim[i ? i - 1 : 0], out = w->tdnn_dim[i], kernel = w->tdnn_kernel[i];
    b_enter(b, "tdnn.%d.kernel", i);
    int weight = b_reshape(b, b_param(b, "weight", B_LIST(out, in * kernel)), B_LIST(out, kernel, in));
    x = b_op(b, "Conv", B_VALUES(x, b_transpose(b, weight, B_LIST(0, 2, 1)), b_param(b, "bias", B_LIST(out))));
    b_set_ints(b, "kernel_shape", B_LIST(kernel));
    b_set_ints(b, "dilations", B_LIST(w->tdnn_dilation[i]));
    b_leave(b);
    return b_unary(b, "Relu", x);
}

/* Mean and standard deviation over the steps that are there [batch, steps, n] → [batch, 2 n]. length: int64 [batch] or -1. */
static int statistics(struct assay_builder *b, int x, int length)
{
    int steps = b_size(b, x, 1), mask = -1, count = b_cast(b, steps, ASSAY_F32);
    if (length >= 0) {
        mask = first_steps(b, length, x);
        count = b_cast(b, b_unsqueeze(b, b_op(b, "Min", B_VALUES(length, steps)), B_LIST(1, 2)), ASSAY_F32);
    }
    int mean = b_div(b, b_reduce(b, "ReduceSum", only(b, x, mask), true, B_LIST(1)), count);
    int difference = only(b, b_sub(b, x, mean), mask);
    int squares = b_reduce(b, "ReduceSum", b_mul(b, difference, difference), true, B_LIST(1));
    int variance = b_div(b, squares, b_sub(b, count, b_scalar(b, 1))), deviation;
    if (b_training(b)) { /* of what is constant it has no slope, and PyTorch takes 0 */
        int is_zero = b_op(b, "Equal", B_VALUES(variance, b_scalar(b, 0)));
        deviation = b_unary(b, "Sqrt", b_where(b, is_zero, b_scalar(b, 1), variance));
        deviation = b_where(b, is_zero, b_scalar(b, 0), deviation);
    } else {
        deviation = b_unary(b, "Sqrt", variance);
    }
    return b_squeeze(b, b_concat(b, -1, B_VALUES(mean, deviation)), B_LIST(1));
}

/* As torch.nn.functional.normalize. */
static int normalize(struct assay_builder *b, int x, int64_t axis)
{
    int norm = b_reduce(b, "ReduceL2", x, true, B_LIST(axis));
    return b_div(b, x, b_op(b, "Max", B_VALUES(norm, b_scalar(b, 1e-12))));
}

/* Cross-entropy of 30 times the cosines to the speakers' vectors, of which the right one is made harder by 0.4 (AM-softmax, Wang
 * et al. 2018). */
static int margin_loss(struct assay_builder *b, const struct wav2vec2 *w, int x, int speakers)
{
    int labels = b_labels(b, "labels", "batch", w->labels);
    int cosines = b_matmul(b, normalize(b, x, 1), normalize(b, speakers, 0));
    int all = b_range(b, b_int(b, 0), b_int(b, w->labels));
    int is_right = b_op(b, "Equal", B_VALUES(b_unsqueeze(b, labels, B_LIST(1)), all));
    int scores = b_where(b, is_right, b_sub(b, cosines, b_scalar(b, 0.4)), cosines);
    return b_cross_entropy(b, b_scale(b, scores, 30), labels, B_IGNORED_LABEL);
}

/* sample_mask: int64 [batch, samples] or -1. */
static void verify_speaker(struct assay_builder *b, const struct wav2vec2 *w, int x, int sample_mask)
{
    int length = sample_mask >= 0 ? steps_of(b, w, sample_mask) : -1;
    for (int i = 0; i < w->adapter_layers && length >= 0; i++)
        length = steps_after(b, length, 1, w->adapter_stride);
    x = b_transpose(b, b_linear(b, x, "projector", w->hidden, w->tdnn_dim[0], true), B_LIST(0, 2, 1));
    for (int i = 0; i < w->n_tdnn && !b->emit.status; i++) {
        x = tdnn(b, w, x, i);
        /* As Transformers counts: without the dilation. */
        length = length < 0 ? -1 : steps_after(b, length, w->tdnn_kernel[i], 1);
    }
    x = statistics(b, b_transpose(b, x, B_LIST(0, 2, 1)), length);
    x = b_linear(b, x, "feature_extractor", 2 * w->tdnn_dim[w->n_tdnn - 1], w->embedding, true);
    int scores = b_linear(b, x, "classifier", w->embedding, w->embedding, true);
    b_output(b, scores, "logits");
    b_output(b, x, "embeddings");
    int objective = b_training(b) || b_has(b, "objective.weight", true)
                        ? b_param(b, "objective.weight", B_LIST(w->embedding, w->labels))
                        : -1;
    if (b_training(b))
        b_loss(b, margin_loss(b, w, scores, objective));
}

/* Connectionist temporal classification (Graves et al. 2006) of scores [batch, steps, vocabulary]; labels of -100 fill rows. */
static int ctc_loss(struct assay_builder *b, const struct wav2vec2 *w, int scores, int samples, int sample_mask)
{
    int labels = b_input(b, "labels", ASSAY_I64, "batch labels"), none = b_int(b, 0);
    b_hint_input(b, "labels", "constant:%d", w->blank == 0 && w->vocabulary > 1 ? 1 : 0);
    b_hint_dim(b, "labels", 8);
    if (sample_mask < 0)
        sample_mask = b_expand(b, b_int(b, 1), b_unary(b, "Shape", samples));
    int steps = steps_of(b, w, sample_mask);
    for (int i = 0; i < w->adapter_layers; i++)
        steps = steps_after(b, steps, 1, w->adapter_stride);
    int counts = b_cast(b, b_op(b, "GreaterOrEqual", B_VALUES(labels, none)), ASSAY_I64);
    int lengths = b_op(b, "ReduceSum", B_VALUES(counts, b_ints(b, B_LIST(1))));
    b_set_int(b, "keepdims", 0);
    int log_prob = b_unary(b, "LogSoftmax", b_transpose(b, scores, B_LIST(1, 0, 2)));
    b_set_int(b, "axis", 2);
    int loss = e_own(&b->emit, "CTCLoss", B_VALUES(log_prob, labels, steps, lengths));
    b_set_int(b, "blank", w->blank);
    b_set_int(b, "zero_infinity", w->zeroes_infinity);
    if (!w->averages_ctc)
        return b_reduce(b, "ReduceSum", loss, false, B_LIST(0));
    int per_label = b_div(b, loss, b_cast(b, b_op(b, "Max", B_VALUES(lengths, b_int(b, 1))), ASSAY_F32));
    return b_reduce(b, "ReduceMean", per_label, false, B_LIST(0));
}

/* Labels of steps are one-hot: several may be meant, the first one counts. */
static int step_loss(struct assay_builder *b, const struct wav2vec2 *w, int scores)
{
    enum assay_dtype dtype = b_flag(b, "float_labels") ? ASSAY_F32 : ASSAY_I64;
    int labels = b_input(b, "labels", dtype, assay_arena_printf(&b->arena, "batch steps %lld", (long long)w->labels));
    labels = b_argmax(b, b_cast(b, labels, ASSAY_F32), -1);
    return b_cross_entropy(b, scores, labels, B_IGNORED_LABEL);
}

/* ---- all */

/* The vector that stands for steps that pre-training hides; `masked` says which, -1 = none. */
static int hide(struct assay_builder *b, const struct wav2vec2 *w, int x, int masked)
{
    if (!w->has_mask_vector || !b_has(b, "masked_spec_embed", true)) {
        b_ignore(b, "*masked_spec_embed");
        return masked >= 0 && w->takes_mask ? b_fail(b, ASSAY_INVALID, "there is no vector for masked steps") : x;
    }
    int vector = b_param(b, "masked_spec_embed", B_LIST(w->hidden));
    return masked >= 0 && w->takes_mask ? b_where(b, b_unsqueeze(b, masked, B_LIST(2)), vector, x) : x;
}

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    struct wav2vec2 w = {0};
    read(c, &w, a);
    if (assay_config_status(c))
        return;
    bool alone = is(a, "Wav2Vec2Model"), pretrains = is(a, "Wav2Vec2ForPreTraining");
    bool reads_mask = !is(a, "Wav2Vec2ForMaskedLM");
    int states[ASSAY_CONFIG_MAX_COUNT + 1], masked = -1;
    int samples = b_input(b, "input_values", ASSAY_F32, "batch samples");
    b_hint_input(b, "input_values", "audio");
    b_hint_dim(b, "samples", 16000);
    /* Models with the first norm per channel were trained without masks. */
    int sample_mask = b_input_optional(b, "attention_mask", w.per_step && reads_mask, ASSAY_I64, "batch samples");
    if (alone || pretrains)
        masked = b_input_optional(b, "mask_time_indices", false, ASSAY_BOOL, "batch steps");

    b_enter(b, "%s", alone ? "" : "wav2vec2");
    int x = extract(b, &w, samples), width = (int)w.conv_dim[w.n_conv - 1];
    int mask = sample_mask >= 0 && reads_mask ? first_steps(b, steps_of(b, &w, sample_mask), x) : -1;
    int features = b_layer_norm(b, x, "feature_projection.layer_norm", width, w.eps);
    x = b_linear(b, features, "feature_projection.projection", width, w.hidden, true);
    x = b_dropout(b, x, w.feature_dropout);
    encode(b, &w, hide(b, &w, x, masked), mask, states);
    if (b->emit.status)
        return;
    x = states[w.layers];
    if (w.adapter_layers)
        x = adapt(b, &w, x);
    b_leave(b);

    if (alone) {
        b_output(b, x, "last_hidden_state");
        b_output(b, features, "extract_features");
    } else if (pretrains) {
        pretrain(b, &w, x, features, masked);
    } else if (is(a, "Wav2Vec2ForCTC") || is(a, "Wav2Vec2ForMaskedLM")) {
        x = b_linear(b, b_dropout(b, x, w.final_dropout), "lm_head", w.adapter_hidden, w.vocabulary, true);
        b_output(b, x, "logits");
        if (b_training(b) && is(a, "Wav2Vec2ForCTC"))
            b_loss(b, ctc_loss(b, &w, x, samples, sample_mask));
    } else if (is(a, "Wav2Vec2ForXVector")) {
        verify_speaker(b, &w, w.weighted_sum ? summed(b, &w, states) : x, sample_mask);
    } else if (is(a, "Wav2Vec2ForSequenceClassification")) {
        x = b_linear(b, summed(b, &w, states), "projector", w.hidden, w.projection, true);
        x = b_linear(b, pool(b, x, mask), "classifier", w.projection, w.labels, true);
        b_output(b, x, "logits");
        b_classes_loss(b, x, "batch");
    } else {
        x = b_linear(b, summed(b, &w, states), "classifier", w.hidden, w.labels, true);
        b_output(b, x, "logits");
        if (b_training(b))
            b_loss(b, step_loss(b, &w, x));
    }
}

static const struct assay_architecture architectures[] = {
    {"Wav2Vec2ForPreTraining", "wav2vec2", "quantizer.codevectors"},
    {"Wav2Vec2ForXVector", "wav2vec2", "tdnn.0.kernel.weight"},
    {"Wav2Vec2ForCTC", "wav2vec2", "lm_head.weight"},
    {"Wav2Vec2ForMaskedLM", "wav2vec2", "lm_head.weight"},
    {"Wav2Vec2ForSequenceClassification", "wav2vec2", "projector.weight"},
    {"Wav2Vec2ForAudioFrameClassification", "wav2vec2", "classifier.weight"},
    {"Wav2Vec2Model", "wav2vec2", NULL},
    {NULL, NULL, NULL},
};

const struct assay_family assay_family_wav2vec2 = {
    .name = "wav2vec2", .modality = "audio", .architectures = architectures, .build = build};
