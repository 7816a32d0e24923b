/* SPDX-License-Identifier: Apache-2.0 */
/* ResNet (He et al. 2015) without a head: for the family of that name and as a backbone of detectors. */
#ifndef ASSAY_MODEL_FAMILIES_COMMON_RESNET_H
#define ASSAY_MODEL_FAMILIES_COMMON_RESNET_H

#include "model/family.h"

enum { RESNET_MAX_STAGES = 62 };

struct resnet {
    int64_t channels, embedding;
    int64_t widths[ASSAY_CONFIG_MAX_LIST], depths[ASSAY_CONFIG_MAX_LIST];
    int n_stages;
    bool is_bottleneck;
    bool strides_first_stage; /* it halves the size as the others do */
    bool strides_first_conv;  /* of a bottleneck, instead of its 3x3 one */
    int n_dilated;            /* last stages that dilate instead of halving the size */
    bool is_frozen;           /* scale and shift of the norms are buffers */
    bool gives_unpooled;      /* the stem's map is the one before its pooling, as timm has it */
    bool is_timm;             /* names of timm's and torchvision's checkpoints, else Transformers' */
    const char *activation;
};

/* Of a ResNetConfig, but for out_features and out_indices. */
void resnet_read(struct resnet *r, struct assay_config *c);
/* Of a name that timm knows: resnet18, 26, 34, 50, 101, 152; false for others. */
bool resnet_named(struct resnet *r, const char *name);
/* Which maps a ResNetBackbone gives: bit 0 the stem's, bit i stage i's. */
uint64_t resnet_features(const struct resnet *r, struct assay_config *c);
/* maps[0 … n_stages]: the stem's [batch, embedding, height, width], then each stage's. */
void resnet_run(struct assay_builder *b, const struct resnet *r, int pixels, int *maps);

#endif
