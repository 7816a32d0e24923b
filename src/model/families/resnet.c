/* SPDX-License-Identifier: Apache-2.0 */
/* ResNet (He et al. 2015): alone, with the head for image classification, and as a backbone that gives its feature maps. */
#include "model/families/common_resnet.h"

#include <string.h>

static bool is(const struct assay_architecture *a, const char *name) { return strcmp(a->name, name) == 0; }

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    struct resnet r;
    bool classifies = is(a, "ResNetForImageClassification"), is_backbone = is(a, "ResNetBackbone");
    int maps[RESNET_MAX_STAGES + 1], n_maps = 0;
    resnet_read(&r, c);
    int64_t labels = c_labels_or_none(c, 2);
    uint64_t features = is_backbone ? resnet_features(&r, c) : 0;
    c_ignore(c, "out_features", "out_indices", NULL);
    if (assay_config_status(c))
        return;
    const char *dims = assay_arena_printf(&b->arena, "batch %lld height width", (long long)r.channels);
    int pixels = b_input(b, "pixel_values", ASSAY_F32, dims);
    b_hint_dim(b, "height", 224);
    b_hint_dim(b, "width", 224);
    b_enter(b, "%s", classifies ? "resnet" : "");
    resnet_run(b, &r, pixels, maps);
    b_leave(b);
    for (int i = 0; i <= r.n_stages && !b->emit.status; i++) {
        b_output_optional(b, maps[i], "hidden_states.%d", i);
        if (features >> i & 1)
            b_output(b, maps[i], "feature_maps.%d", n_maps++);
    }
    if (is_backbone || b->emit.status)
        return;
    int last = maps[r.n_stages], pooled = b_unary(b, "GlobalAveragePool", last);
    if (classifies) {
        int flat = b_reshape(b, pooled, B_LIST(0, r.widths[r.n_stages - 1]));
        int scores = labels ? b_linear(b, flat, "classifier.1", r.widths[r.n_stages - 1], labels, true) : flat;
        b_output(b, scores, "logits");
        b_problem_loss(b, c, scores);
    } else {
        b_output(b, last, "last_hidden_state");
        b_output(b, pooled, "pooler_output");
    }
}

static const struct assay_architecture architectures[] = {
    {"ResNetForImageClassification", "resnet", "classifier.1.weight"},
    {"ResNetModel", "resnet", NULL},
    {"ResNetBackbone", "resnet", NULL},
    {NULL, NULL, NULL},
};

const struct assay_family assay_family_resnet = {
    .name = "resnet", .modality = "vision", .architectures = architectures, .build = build};
