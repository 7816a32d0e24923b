/* SPDX-License-Identifier: Apache-2.0 */
/* CLIP (Radford et al. 2021): images and texts in one space; the whole model, and each tower alone, with and without its
 * projection, the vision tower with a head for classification too. */
#include "model/families/common_clip.h"

#include <string.h>

static bool is(const struct assay_architecture *a, const char *name) { return strcmp(a->name, name) == 0; }

/* The sub-config of a tower: where an old config has NAME_dict, its values stand for all of NAME's. */
static struct assay_config *tower_config(struct assay_config *c, const char *name, const char *dict)
{
    c_ignore(c, name, dict, NULL);
    return c_sub(c, c_has(c, dict) ? dict : name);
}

/* ---- the towers with their inputs and outputs */

/* prefix: of the outputs' names; "" where they are main ones. */
static struct clip_output text(struct assay_builder *b, const struct clip_tower *t, const char *prefix)
{
    int ids = b_input(b, "input_ids", ASSAY_I64, "batch_text sequence");
    int mask = b_input_optional(b, "attention_mask", true, ASSAY_I64, "batch_text sequence");
    int positions = b_input_optional(b, "position_ids", false, ASSAY_I64, "batch_text sequence");
    b_enter(b, "text_model");
    struct clip_output out = clip_text(b, t, ids, mask, positions, prefix);
    b_leave(b);
    return out;
}

static struct clip_output vision(struct assay_builder *b, const struct clip_tower *t, const char *prefix)
{
    int pixels = b_input(b, "pixel_values", ASSAY_F32, clip_image_dims(b, t, "batch"));
    b_enter(b, "vision_model");
    struct clip_output out = clip_vision(b, t, pixels, prefix, NULL);
    b_leave(b);
    return out;
}

static void optional_outputs(struct assay_builder *b, const struct clip_output *out, const char *prefix)
{
    b_output_optional(b, out->hidden, "%slast_hidden_state", prefix);
    b_output_optional(b, out->pooled, "%spooler_output", prefix);
}

static void build_both(struct assay_builder *b, struct assay_config *c)
{
    struct clip_tower t, v;
    clip_read_text(&t, tower_config(c, "text_config", "text_config_dict"));
    clip_read_vision(&v, tower_config(c, "vision_config", "vision_config_dict"));
    int64_t dim = c_size(c, "projection_dim", 512);
    c_ignore(c, "logit_scale_init_value", "tie_word_embeddings", NULL);
    if (assay_config_status(c))
        return;
    struct clip_output of_text = text(b, &t, "text_model_output."), of_image = vision(b, &v, "vision_model_output.");
    int image = b_l2_normalize(b, b_linear(b, of_image.pooled, "visual_projection", v.hidden, dim, false));
    int words = b_l2_normalize(b, b_linear(b, of_text.pooled, "text_projection", t.hidden, dim, false));
    int scale = b_unary(b, "Exp", b_param(b, "logit_scale", 0, NULL));
    int per_text = b_mul(b, b_matmul(b, words, b_transpose(b, image, B_LIST(1, 0))), scale);
    b_output(b, b_transpose(b, per_text, B_LIST(1, 0)), "logits_per_image");
    b_output(b, per_text, "logits_per_text");
    if (b_training(b))
        b_loss(b, b_contrastive_loss(b, per_text));
    b_output(b, words, "text_embeds");
    b_output(b, image, "image_embeds");
    optional_outputs(b, &of_text, "text_model_output.");
    optional_outputs(b, &of_image, "vision_model_output.");
}

/* A tower alone: its config is the whole one; tensors of the other tower may stand beside it. */
static void build_text(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    struct clip_tower t;
    int64_t dim = c_size(c, "projection_dim", 512);
    clip_read_text(&t, c);
    if (assay_config_status(c))
        return;
    b_ignore(b, "logit_scale");
    b_ignore(b, "vision_model.*");
    b_ignore(b, "visual_projection.*");
    struct clip_output out = text(b, &t, "");
    if (is(a, "CLIPTextModelWithProjection")) {
        b_output(b, b_linear(b, out.pooled, "text_projection", t.hidden, dim, false), "text_embeds");
        b_output(b, out.hidden, "last_hidden_state");
    } else {
        b_ignore(b, "text_projection.*");
        b_output(b, out.hidden, "last_hidden_state");
        b_output(b, out.pooled, "pooler_output");
    }
}

static void build_vision(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    struct clip_tower t;
    int64_t dim = c_size(c, "projection_dim", 512);
    clip_read_vision(&t, c);
    if (assay_config_status(c))
        return;
    b_ignore(b, "logit_scale");
    b_ignore(b, "text_model.*");
    b_ignore(b, "text_projection.*");
    struct clip_output out = vision(b, &t, "");
    if (is(a, "CLIPVisionModelWithProjection")) {
        b_output(b, b_linear(b, out.pooled, "visual_projection", t.hidden, dim, false), "image_embeds");
        b_output(b, out.hidden, "last_hidden_state");
    } else {
        b_ignore(b, "visual_projection.*");
        b_output(b, out.hidden, "last_hidden_state");
        b_output(b, out.pooled, "pooler_output");
    }
}

/* The vision tower with a head on the mean of its patches; the config is that of the whole model. */
static void build_classifier(struct assay_builder *b, struct assay_config *c)
{
    struct clip_tower t;
    int64_t labels = c_labels_or_none(c, 2);
    clip_read_vision(&t, tower_config(c, "vision_config", "vision_config_dict"));
    c_ignore(c, "text_config", "text_config_dict", "projection_dim", "logit_scale_init_value", "tie_word_embeddings", NULL);
    if (assay_config_status(c))
        return;
    struct clip_output out = vision(b, &t, "");
    int mean = b_reduce(b, "ReduceMean", b_slice(b, out.hidden, 1, 1, INT64_MAX), false, B_LIST(1));
    int scores = labels ? b_linear(b, mean, "classifier", t.hidden, labels, true) : mean;
    b_output(b, scores, "logits");
    b_problem_loss(b, c, scores);
}

static void build(struct assay_builder *b, struct assay_config *config, const struct assay_architecture *architecture)
{
    if (is(architecture, "CLIPModel"))
        build_both(b, config);
    else if (is(architecture, "CLIPTextModel") || is(architecture, "CLIPTextModelWithProjection"))
        build_text(b, config, architecture);
    else if (is(architecture, "CLIPForImageClassification"))
        build_classifier(b, config);
    else
        build_vision(b, config, architecture);
}

static const struct assay_architecture architectures[] = {
    {"CLIPModel", "clip", "logit_scale"},
    {"CLIPForImageClassification", "clip", "classifier.weight"},
    {"CLIPTextModelWithProjection", "clip_text_model", "text_projection.weight"},
    {"CLIPTextModel", "clip_text_model", NULL},
    {"CLIPVisionModelWithProjection", "clip_vision_model", "visual_projection.weight"},
    {"CLIPVisionModel", "clip_vision_model", NULL},
    {NULL, NULL, NULL},
};

const struct assay_family assay_family_clip = {
    .name = "clip", .modality = "multimodal", .architectures = architectures, .build = build};
