/* SPDX-License-Identifier: Apache-2.0 */
/* MobileNetV2 (Sandler et al. 2018): inverted residuals with depthwise convolutions, padded as TensorFlow does it; alone, and
 * with the heads for image classification and semantic segmentation (DeepLabV3+, Chen et al. 2018). */
#include "model/family.h"

#include <math.h>
#include <string.h>

struct mobilenet {
    int64_t channels, divisor, least, output_stride;
    double multiplier, expansion, eps, dropout;
    int64_t ignored_label;
    const char *activation;
    bool stem_is_expansion, fine_output, tf_padding;
};

enum { N_BLOCKS = 16 };
static const int64_t block_channels[N_BLOCKS + 1] = {16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320};
static const int64_t block_strides[N_BLOCKS] = {2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1};

/* The nearest multiple of the divisor that isn't 10 % below; halves of factors are rounded to even, as Python does. */
static int64_t scaled(const struct mobilenet *m, int64_t channels, double factor)
{
    double wanted = rint((double)channels * factor);
    int64_t rounded = (int64_t)(wanted + (double)m->divisor / 2) / m->divisor * m->divisor;
    rounded = rounded < m->least ? m->least : rounded;
    return (double)rounded < 0.9 * wanted ? rounded + m->divisor : rounded;
}

static void read_config(struct mobilenet *m, struct assay_config *c)
{
    *m = (struct mobilenet){
        .channels = c_size(c, "num_channels", 3),
        .multiplier = c_real(c, "depth_multiplier", 1),
        .divisor = c_size(c, "depth_divisible_by", 8),
        .expansion = c_real(c, "expand_ratio", 6),
        .output_stride = c_size(c, "output_stride", 32),
        .stem_is_expansion = c_bool(c, "first_layer_is_expansion", true),
        .fine_output = c_bool(c, "finegrained_output", true),
        .activation = c_text(c, "hidden_act", "relu6"),
        .tf_padding = c_bool(c, "tf_padding", true),
        .eps = c_real(c, "layer_norm_eps", 0.001),
        .dropout = c_dropout(c, "classifier_dropout_prob", 0.8),
        .ignored_label = c_int(c, "semantic_loss_ignore_index", 255),
    };
    /* Where the config says null, Transformers takes the divisor. */
    m->least = c_size(c, "min_depth", json_is_null(json_object_get(c->object, "min_depth")) ? m->divisor : 8);
    if (m->multiplier <= 0 || m->multiplier > 64)
        assay_config_fail(c, ASSAY_INVALID, "\"depth_multiplier\" is %g; it must be above 0 and at most 64", m->multiplier);
    if (m->expansion <= 0 || m->expansion > 64)
        assay_config_fail(c, ASSAY_INVALID, "\"expand_ratio\" is %g; it must be above 0 and at most 64", m->expansion);
    c_ignore(c, "image_size", "tie_word_embeddings", NULL);
}

/* ---- layers */

struct layer {
    int64_t in, out, kernel, stride, dilation, groups;
    double eps;
    const char *activation; /* NULL = none */
};

/* TensorFlow puts the odd pixel of padding at the end, which only a stride above 1 gives. */
static int layer(struct assay_builder *b, const struct mobilenet *m, int x, const char *name, const struct layer *l)
{
    int64_t dilation = l->dilation ? l->dilation : 1, pad = (l->kernel - 1) / 2 * dilation, groups = l->groups ? l->groups : 1;
    int64_t stride = l->stride ? l->stride : 1;
    b_enter(b, "%s", name);
    int weight = b_param(b, "convolution.weight", B_LIST(l->out, l->in / groups, l->kernel, l->kernel));
    x = b_op(b, "Conv", B_VALUES(x, weight));
    b_set_ints(b, "kernel_shape", B_LIST(l->kernel, l->kernel));
    b_set_ints(b, "strides", B_LIST(stride, stride));
    b_set_ints(b, "dilations", B_LIST(dilation, dilation));
    b_set_int(b, "group", groups);
    if (m->tf_padding && stride > 1)
        b_set_text(b, "auto_pad", "SAME_UPPER");
    else
        b_set_ints(b, "pads", B_LIST(pad, pad, pad, pad));
    /* TensorFlow's momentum, by which Transformers keeps almost nothing of what was. */
    x = b_batch_norm_by(b, x, "normalization", l->out, l->eps ? l->eps : m->eps, 0.997);
    if (l->activation)
        x = b_activation(b, x, l->activation);
    b_leave(b);
    return x;
}

static int pointwise(struct assay_builder *b, const struct mobilenet *m, int x, const char *name, int64_t in, int64_t out,
                     const char *activation)
{
    return layer(b, m, x, name, &(struct layer){.in = in, .out = out, .kernel = 1, .activation = activation});
}

static int depthwise(struct assay_builder *b, const struct mobilenet *m, int x, int64_t channels, int64_t stride,
                     int64_t dilation)
{
    const struct layer l = {.in = channels,
                            .out = channels,
                            .kernel = 3,
                            .stride = stride,
                            .dilation = dilation,
                            .groups = channels,
                            .activation = m->activation};
    return layer(b, m, x, "conv_3x3", &l);
}

static int stem(struct assay_builder *b, const struct mobilenet *m, int x)
{
    int64_t wide = scaled(m, 32, m->multiplier), out = scaled(m, block_channels[0], m->multiplier);
    b_enter(b, "conv_stem");
    x = layer(b, m, x, "first_conv",
              &(struct layer){.in = m->channels, .out = wide, .kernel = 3, .stride = 2, .activation = m->activation});
    if (!m->stem_is_expansion)
        x = pointwise(b, m, x, "expand_1x1", wide, wide, m->activation);
    x = depthwise(b, m, x, wide, 1, 1);
    x = pointwise(b, m, x, "reduce_1x1", wide, out, NULL);
    b_leave(b);
    return x;
}

static int block(struct assay_builder *b, const struct mobilenet *m, int x, int i, int64_t stride, int64_t dilation)
{
    int64_t in = scaled(m, block_channels[i], m->multiplier), out = scaled(m, block_channels[i + 1], m->multiplier);
    int64_t wide = scaled(m, in, m->expansion);
    b_enter(b, "layer.%d", i);
    int y = pointwise(b, m, x, "expand_1x1", in, wide, m->activation);
    y = depthwise(b, m, y, wide, stride, dilation);
    y = pointwise(b, m, y, "reduce_1x1", wide, out, NULL);
    y = stride == 1 && in == out ? b_add(b, x, y) : y;
    b_leave(b);
    b_output_optional(b, y, "hidden_states.%d", i);
    return y;
}

/* The last block's map, before the widening convolution; where the stride is reached, blocks dilate instead. */
static int run(struct assay_builder *b, const struct mobilenet *m, int x)
{
    int64_t stride = 2, dilation = 1;
    x = stem(b, m, x);
    for (int i = 0; i < N_BLOCKS && !b->emit.status; i++) {
        bool dilates = stride == m->output_stride;
        x = block(b, m, x, i, dilates ? 1 : block_strides[i], dilates ? dilation : 1);
        stride *= dilates ? 1 : block_strides[i];
        dilation *= dilates ? block_strides[i] : 1;
    }
    return x;
}

/* ---- heads */

/* Whole channels are dropped: those of a map of ones, of one place. */
static int drop_channels(struct assay_builder *b, int x, double p)
{
    if (!b_training(b) || b->options->no_dropout || p == 0)
        return x;
    int shape = b_concat(b, 0, B_VALUES(b_size(b, x, 0), b_size(b, x, 1), b_ints(b, B_LIST(1, 1))));
    return b_mul(b, x, b_dropout(b, b_expand(b, b_scalar(b, 1), shape), p));
}

/* Of scores that are resized to the labels [batch, label_height, label_width]. */
static int segmentation_loss(struct assay_builder *b, const struct mobilenet *m, int scores, int64_t n_labels)
{
    if (n_labels < 2)
        return b_fail(b, ASSAY_INVALID, "semantic segmentation is trained with at least two classes");
    int labels = b_labels(b, "labels", "batch label_height label_width", n_labels);
    b_hint_dim(b, "label_height", 224);
    b_hint_dim(b, "label_width", 224);
    int sizes =
        b_concat(b, 0, B_VALUES(b_size(b, scores, 0), b_ints(b, B_LIST(n_labels)), b_size(b, labels, 1), b_size(b, labels, 2)));
    scores = b_op(b, "Resize", B_VALUES(scores, -1, -1, sizes));
    b_set_text(b, "mode", "linear");
    b_set_text(b, "coordinate_transformation_mode", "half_pixel");
    int y = b_op(b, "SoftmaxCrossEntropyLoss", B_VALUES(scores, labels));
    b_set_int(b, "ignore_index", m->ignored_label);
    return y;
}

/* The map pooled to one place, which resizing repeats, beside the map itself. */
static void segment(struct assay_builder *b, const struct mobilenet *m, int x, int64_t labels)
{
    int64_t in = scaled(m, block_channels[N_BLOCKS], m->multiplier);
    const struct layer narrow = {.in = in, .out = 256, .kernel = 1, .eps = 1e-5, .activation = "relu"};
    const struct layer joint = {.in = 512, .out = 256, .kernel = 1, .eps = 1e-5, .activation = "relu"};
    b_enter(b, "segmentation_head");
    int pooled = layer(b, m, b_unary(b, "GlobalAveragePool", x), "conv_pool", &narrow);
    int near = layer(b, m, x, "conv_aspp", &narrow);
    pooled = b_expand(b, pooled, b_unary(b, "Shape", near));
    x = layer(b, m, b_concat(b, 1, B_VALUES(pooled, near)), "conv_projection", &joint);
    x = drop_channels(b, x, m->dropout);
    x = b_conv2d(b, x, "classifier.convolution", 256, labels, 1, 1, 0, true);
    b_output(b, x, "logits");
    b_leave(b);
    if (b_training(b))
        b_loss(b, segmentation_loss(b, m, x, labels));
}

static bool is(const struct assay_architecture *a, const char *name) { return strcmp(a->name, name) == 0; }

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    struct mobilenet m;
    read_config(&m, c);
    int64_t labels = c_labels_or_none(c, 2);
    if (assay_config_status(c))
        return;
    b_ignore(b, "*.num_batches_tracked");
    const char *dims = assay_arena_printf(&b->arena, "batch %lld height width", (long long)m.channels);
    int x = b_input(b, "pixel_values", ASSAY_F32, dims);
    b_hint_dim(b, "height", 224);
    b_hint_dim(b, "width", 224);
    int64_t in = scaled(&m, block_channels[N_BLOCKS], m.multiplier);
    int64_t out = m.fine_output && m.multiplier < 1 ? 1280 : scaled(&m, 1280, m.multiplier);
    b_enter(b, "%s", is(a, "MobileNetV2Model") ? "" : "mobilenet_v2");
    x = run(b, &m, x);
    int wide = pointwise(b, &m, x, "conv_1x1", in, out, m.activation);
    b_leave(b);
    if (is(a, "MobileNetV2ForSemanticSegmentation")) {
        segment(b, &m, x, labels);
        return;
    }
    int pooled = b_reshape(b, b_unary(b, "GlobalAveragePool", wide), B_LIST(0, out));
    if (is(a, "MobileNetV2Model")) {
        b_output(b, wide, "last_hidden_state");
        b_output(b, pooled, "pooler_output");
    } else {
        pooled = b_dropout(b, pooled, m.dropout);
        int scores = labels ? b_linear(b, pooled, "classifier", out, labels, true) : pooled;
        b_output(b, scores, "logits");
        b_problem_loss(b, c, scores);
    }
}

static const struct assay_architecture architectures[] = {
    {"MobileNetV2ForSemanticSegmentation", "mobilenet_v2", "segmentation_head.classifier.convolution.weight"},
    {"MobileNetV2ForImageClassification", "mobilenet_v2", "classifier.weight"},
    {"MobileNetV2Model", "mobilenet_v2", NULL},
    {NULL, NULL, NULL},
};

const struct assay_family assay_family_mobilenet_v2 = {
    .name = "mobilenet_v2", .modality = "vision", .architectures = architectures, .build = build};
