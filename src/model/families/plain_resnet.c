/* SPDX-License-Identifier: Apache-2.0 */
/* A small ResNet as one writes it by hand in PyTorch: conv1, bn1, max pooling, blocks b1, b2 … of two convolutions, the mean over
 * all places, fc. Of the family of resnet.c, which has the public ones. */
#include "model/family.h"

struct plain {
    int64_t channels, stem, stem_stride;
    int64_t widths[ASSAY_CONFIG_MAX_LIST], strides[ASSAY_CONFIG_MAX_LIST];
    int n_blocks;
};

static void read_config(struct plain *m, struct assay_config *c)
{
    *m = (struct plain){.channels = c_size(c, "num_channels", 3),
                        .stem = c_size(c, "embedding_size", 64),
                        .stem_stride = c_size(c, "stem_stride", 1)};
    m->n_blocks = c_ints(c, "hidden_sizes", (const int64_t[]){64, 128, 256}, 3, m->widths);
    int n_strides = c_ints(c, "strides", (const int64_t[]){1, 2, 2}, 3, m->strides);
    if (n_strides != m->n_blocks)
        assay_config_fail(c, ASSAY_INVALID, "\"strides\" has %d numbers and \"hidden_sizes\" %d", n_strides, m->n_blocks);
    for (int i = 0; i < m->n_blocks; i++)
        if (m->widths[i] < 1 || m->strides[i] < 1)
            assay_config_fail(c, ASSAY_INVALID, "\"hidden_sizes\" and \"strides\" must be positive numbers");
}

static int block(struct assay_builder *b, int x, int i, int64_t in, int64_t out, int64_t stride)
{
    b_enter(b, "b%d", i + 1);
    int y = b_unary(b, "Relu", b_batch_norm(b, b_conv2d(b, x, "conv1", in, out, 3, stride, 1, false), "bn1", out, 1e-5));
    y = b_batch_norm(b, b_conv2d(b, y, "conv2", out, out, 3, 1, 1, false), "bn2", out, 1e-5);
    if (in != out || stride != 1)
        x = b_batch_norm(b, b_conv2d(b, x, "down.0", in, out, 1, stride, 0, false), "down.1", out, 1e-5);
    b_leave(b);
    return b_unary(b, "Relu", b_add(b, y, x));
}

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    (void)a;
    struct plain m;
    read_config(&m, c);
    int64_t labels = c_labels(c, 10), width = m.stem;
    if (assay_config_status(c))
        return;
    b_ignore(b, "*.num_batches_tracked");
    int x = b_input(b, "x", ASSAY_F32, assay_arena_printf(&b->arena, "batch %lld height width", (long long)m.channels));
    b_hint_dim(b, "height", 32);
    b_hint_dim(b, "width", 32);
    x = b_unary(b, "Relu",
                b_batch_norm(b, b_conv2d(b, x, "conv1", m.channels, width, 3, m.stem_stride, 1, false), "bn1", width, 1e-5));
    x = b_unary(b, "MaxPool", x);
    b_set_ints(b, "kernel_shape", B_LIST(3, 3));
    b_set_ints(b, "strides", B_LIST(2, 2));
    b_set_ints(b, "pads", B_LIST(1, 1, 1, 1));
    for (int i = 0; i < m.n_blocks && !b->emit.status; i++) {
        x = block(b, x, i, width, m.widths[i], m.strides[i]);
        width = m.widths[i];
    }
    x = b_reshape(b, b_unary(b, "GlobalAveragePool", x), B_LIST(0, width));
    x = b_linear(b, x, "fc", width, labels, true);
    b_output(b, x, "logits");
    b_classes_loss(b, x, "batch");
}

static const struct assay_architecture architectures[] = {
    {"PlainResNetForImageClassification", "plain_resnet", NULL},
    {NULL, NULL, NULL},
};

const struct assay_family assay_family_plain_resnet = {
    .name = "resnet", .modality = "vision", .architectures = architectures, .build = build};
