/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What LLaVA (Liu et al. 2023) and LLaVA-NeXT share: a CLIP vision tower, a projector of two layers, and a decoder that reads
 * the projected patches where its text has image tokens. Transformers 4.41 lets the model widen each image token to its patches.
 */
#ifndef ASSAY_MODEL_FAMILIES_COMMON_LLAVA_H
#define ASSAY_MODEL_FAMILIES_COMMON_LLAVA_H

#include "model/families/common_clip.h"
#include "model/families/common_decoder.h"

struct llava {
    struct clip_tower vision;
    struct decoder text;
    int64_t image_token, pad_token; /* -1 = no padding */
    int64_t feature_layer;          /* of the hidden states, from 0 */
    bool keeps_class;               /* the class token is a feature, too */
    bool projector_bias;
    const char *activation;
};

/* Asks for the fields that both have. */
void llava_read(struct llava *l, struct assay_config *c);
/* pixels [images, channels, image, image] → [images, patches, hidden of the text]; within no scope. */
int llava_features(struct assay_builder *b, const struct llava *l, int pixels);
/* The decoder over text and features [images, n, hidden], of which n - 1 is `extra` (int64 scalar); all of the outputs. */
void llava_decode(struct assay_builder *b, const struct llava *l, int ids, int attention_mask, int features, int extra);

#endif
