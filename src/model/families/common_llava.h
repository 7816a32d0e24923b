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
    int64_t image_token, pad_token, ignored_label; /* pad_token -1 = no padding */
    int64_t feature_layer;                         /* of the hidden states, from 0 */
    bool keeps_class;                              /* the class token is a feature, too */
    bool projector_bias;
    const char *activation;
};

/* Asks for the fields that both have. */
void llava_read(struct llava *l, struct assay_config *c);
/* pixels [images, channels, image, image] → [images, patches, hidden of the text]; within no scope. */
int llava_features(struct assay_builder *b, const struct llava *l, int pixels);
/* Text and features [images, n, hidden], of which n - 1 is `extra` (int64 scalar), in one sequence: in the phase WHOLE read by
 * the decoder, in ENCODE as it is; all of the outputs. length: int64 scalar, how long that sequence is told to be, which training
 * must know without reading the text; running the model fails if it is not so. -1 = counted. */
void llava_read_all(struct assay_builder *b, const struct llava *l, int ids, int attention_mask, int features, int extra,
                    int length);
/* How many images a row has, int64 scalar: as many as all others. */
int llava_images_per_row(struct assay_builder *b, int ids, int images);
/* The phase DECODE, all of it. The merged prompt comes as inputs_embeds with no input_ids, what follows it as input_ids with no
 * inputs_embeds. */
void llava_step(struct assay_builder *b, const struct llava *l);

#endif
