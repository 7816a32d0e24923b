/* SPDX-License-Identifier: Apache-2.0 */
/* Qwen2 and Qwen 1.5: Llama's decoder with biases on queries, keys and values. */
#include "model/families/common_causal.h"

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *architecture)
{
    struct decoder d;
    decoder_read(&d, c, architecture->model_type);
    causal_build(b, c, &d, architecture->name);
}

static const struct assay_architecture architectures[] = {
    {"Qwen2ForTokenClassification", "qwen2", "score.bias"},
    {"Qwen2ForSequenceClassification", "qwen2", "score.weight"},
    {"Qwen2ForCausalLM", "qwen2", "model.embed_tokens.weight"},
    {"Qwen2Model", "qwen2", NULL},
    {NULL, NULL, NULL},
};

static const char *const generators[] = {"Qwen2ForCausalLM", NULL};

const struct assay_family assay_family_qwen2 = {
    .name = "qwen2", .modality = "text", .architectures = architectures, .generators = generators, .build = build};
