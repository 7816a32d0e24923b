/* SPDX-License-Identifier: Apache-2.0 */
/* LLaVA 1.5 (Liu et al. 2023): one image, one image token, all of its patches. */
#include "model/families/common_llava.h"

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *architecture)
{
    (void)architecture;
    struct llava l;
    llava_read(&l, c);
    if (assay_config_status(c))
        return;
    if (b->options->phase == ASSAY_PHASE_DECODE) {
        llava_step(b, &l);
        return;
    }
    int ids = b_input(b, "input_ids", ASSAY_I64, "batch sequence");
    int mask = b_input_optional(b, "attention_mask", true, ASSAY_I64, "batch sequence");
    int pixels = b_input(b, "pixel_values", ASSAY_F32, clip_image_dims(b, &l.vision, "images"));
    b_hint_input(b, "input_ids", "prompt:%lld:%lld", (long long)l.text.vocabulary, (long long)l.image_token);
    int features = llava_features(b, &l, pixels);
    int extra = b_int(b, l.vision.n_patches + (l.keeps_class ? 0 : -1)), length = -1;
    if (b_training(b)) /* rows have equally many images each */
        length = b_add(b, b_size_scalar(b, ids, 1), b_mul(b, llava_images_per_row(b, ids, pixels), extra));
    llava_read_all(b, &l, ids, mask, features, extra, length);
}

static const struct assay_architecture architectures[] = {
    {"LlavaForConditionalGeneration", "llava", NULL},
    {NULL, NULL, NULL},
};

static const char *const generators[] = {"LlavaForConditionalGeneration", NULL};

const struct assay_family assay_family_llava = {.name = "llava",
                                                .modality = "multimodal",
                                                .architectures = architectures,
                                                .generators = generators,
                                                .encodes = true,
                                                .build = build};
