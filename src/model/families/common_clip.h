/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two towers of CLIP (Radford et al. 2021): a causal text encoder and a vision encoder, both pre-norm. For CLIP's own family
 * and for models that hold one of them (LLaVA, X-CLIP).
 */
#ifndef ASSAY_MODEL_FAMILIES_COMMON_CLIP_H
#define ASSAY_MODEL_FAMILIES_COMMON_CLIP_H

#include "model/family.h"

struct clip_tower {
    int64_t hidden, inner, layers, heads;
    double eps, dropout; /* dropout: of the attention */
    const char *activation;
    int64_t vocabulary, positions, end_token;  /* text */
    int64_t image, patch, channels, n_patches; /* vision; the patches of a whole image */
};

/* The fields of CLIPTextConfig and CLIPVisionConfig. */
void clip_read_text(struct clip_tower *t, struct assay_config *c);
void clip_read_vision(struct clip_tower *t, struct assay_config *c);

/* The encoder's layers, with optional outputs PREFIXhidden_states.i and PREFIXattentions.i; within the scope that holds
 * "encoder". keep and mask as in struct b_attention. states[layers + 1] gets all hidden states, NULL = not needed. */
int clip_encode(struct assay_builder *b, const struct clip_tower *t, int x, int keep, int mask, const char *prefix, int *states);
/* What a tower gives, within its scope ("text_model", "vision_model"); hidden is the last state. */
struct clip_output {
    int hidden, pooled;
};
/* position_ids and attention_mask may be -1. */
struct clip_output clip_text(struct assay_builder *b, const struct clip_tower *t, int ids, int attention_mask, int position_ids,
                             const char *prefix);
/* pixels [batch, channels, image, image] */
struct clip_output clip_vision(struct assay_builder *b, const struct clip_tower *t, int pixels, const char *prefix, int *states);
/* dims of the input pixel_values: "batch 3 224 224". */
const char *clip_image_dims(struct assay_builder *b, const struct clip_tower *t, const char *leading);

#endif
