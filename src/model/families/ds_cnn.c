/* SPDX-License-Identifier: Apache-2.0 */
/* DS-CNN (Zhang et al. 2017, "Hello Edge"): depthwise separable convolutions over the MFCCs of a second of sound, to spot
 * keywords. A stem, blocks of a depthwise and a pointwise convolution, the mean over all places, a linear head. */
#include "model/family.h"

struct ds_cnn {
    int64_t width;
    int64_t kernel[ASSAY_CONFIG_MAX_LIST], stride[ASSAY_CONFIG_MAX_LIST], pad[ASSAY_CONFIG_MAX_LIST]; /* [2], of the stem */
    int64_t strides[ASSAY_CONFIG_MAX_LIST];                                                           /* of the blocks */
    int n_blocks;
    bool bias, tf_padding;
    double eps;
};

static void read_pair(struct assay_config *c, const char *name, int64_t first, int64_t second, int64_t least, int64_t *pair)
{
    int n = c_ints(c, name, (const int64_t[]){first, second}, 2, pair);
    if (n != 2 || pair[0] < least || pair[1] < least)
        assay_config_fail(c, ASSAY_INVALID, "\"%s\" must be two numbers of at least %lld", name, (long long)least);
}

static void read_config(struct ds_cnn *m, struct assay_config *c)
{
    *m = (struct ds_cnn){
        .width = c_size(c, "hidden_size", 64),
        .bias = c_bool(c, "conv_bias", false),
        .tf_padding = c_bool(c, "tf_padding", true),
        .eps = c_real(c, "batch_norm_eps", 1e-5),
    };
    read_pair(c, "stem_kernel", 10, 4, 1, m->kernel);
    read_pair(c, "stem_stride", 2, 2, 1, m->stride);
    read_pair(c, "stem_padding", 5, 1, 0, m->pad);
    m->n_blocks = c_ints(c, "strides", (const int64_t[]){1, 1, 1, 1}, 4, m->strides);
    for (int i = 0; i < m->n_blocks; i++)
        if (m->strides[i] < 1)
            assay_config_fail(c, ASSAY_INVALID, "\"strides\" must be positive numbers");
}

/* Convolution, norm and ReLU, the modules 0 and 1 of `name`. */
static int unit(struct assay_builder *b, const struct ds_cnn *m, int x, const char *name, struct b_conv conv)
{
    conv.n_spatial = 2;
    conv.out = m->width;
    conv.bias = m->bias;
    b_enter(b, "%s", name);
    x = b_conv(b, x, "0", &conv);
    if (m->tf_padding) { /* the odd place at the end */
        assay_node_remove_attr(b_last(b), "pads");
        b_set_text(b, "auto_pad", "SAME_UPPER");
    }
    x = b_unary(b, "Relu", b_batch_norm(b, x, "1", m->width, m->eps));
    b_leave(b);
    return x;
}

static int block(struct assay_builder *b, const struct ds_cnn *m, int x, int i)
{
    int64_t stride = m->strides[i];
    b_enter(b, "blocks.%d", i);
    x = unit(
        b, m, x, "dw",
        (struct b_conv){.in = m->width, .kernel = {3, 3}, .stride = {stride, stride}, .pad = {1, 1, 1, 1}, .groups = m->width});
    x = unit(b, m, x, "pw", (struct b_conv){.in = m->width});
    b_leave(b);
    return x;
}

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    (void)a;
    struct ds_cnn m;
    read_config(&m, c);
    int64_t frames = c_size(c, "num_frames", 49), coefficients = c_size(c, "num_coefficients", 10), labels = c_labels(c, 12);
    if (assay_config_status(c))
        return;
    b_ignore(b, "*.num_batches_tracked");
    int x = b_input(b, "x", ASSAY_F32,
                    assay_arena_printf(&b->arena, "batch 1 %lld %lld", (long long)frames, (long long)coefficients));
    b_hint_input(b, "x", "normal");
    x = unit(b, &m, x, "stem",
             (struct b_conv){.in = 1,
                             .kernel = {m.kernel[0], m.kernel[1]},
                             .stride = {m.stride[0], m.stride[1]},
                             .pad = {m.pad[0], m.pad[1], m.pad[0], m.pad[1]}});
    for (int i = 0; i < m.n_blocks && !b->emit.status; i++)
        x = block(b, &m, x, i);
    x = b_reshape(b, b_unary(b, "GlobalAveragePool", x), B_LIST(0, m.width));
    x = b_linear(b, x, "fc", m.width, labels, true);
    b_output(b, x, "logits");
    b_classes_loss(b, x, "batch");
}

static const struct assay_architecture architectures[] = {
    {"DsCnnForAudioClassification", "ds_cnn", NULL},
    {NULL, NULL, NULL},
};

const struct assay_family assay_family_ds_cnn = {
    .name = "ds_cnn", .modality = "audio", .architectures = architectures, .build = build};
