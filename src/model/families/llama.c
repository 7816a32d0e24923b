/* SPDX-License-Identifier: Apache-2.0 */
/* Llama and its like (TinyLlama, Llama 2 and 3, Mistral with its sliding window): causal LM, classification, question answering,
 * the model alone. */
#include "model/families/common_decoder.h"
#include "model/families/common_causal.h"

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *architecture)
{
    struct decoder d;
    decoder_read(&d, c, architecture->model_type);
    causal_build(b, c, &d, architecture->name);
}

static const struct assay_architecture architectures[] = {
    {"LlamaForCausalLM", "llama", "lm_head.weight"},
    {"LlamaForTokenClassification", "llama", "score.bias"},
    {"LlamaForSequenceClassification", "llama", "score.weight"},
    {"LlamaForQuestionAnswering", "llama", "qa_outputs.weight"},
    {"LlamaForCausalLM", "llama", "model.embed_tokens.weight"}, /* tied: no head is stored */
    {"LlamaModel", "llama", NULL},
    {"MistralForTokenClassification", "mistral", "score.bias"},
    {"MistralForSequenceClassification", "mistral", "score.weight"},
    {"MistralForCausalLM", "mistral", "model.embed_tokens.weight"},
    {"MistralModel", "mistral", NULL},
    {NULL, NULL, NULL},
};

static const char *const generators[] = {"LlamaForCausalLM", "MistralForCausalLM", NULL};

const struct assay_family assay_family_llama = {
    .name = "llama", .modality = "text", .architectures = architectures, .generators = generators, .build = build};
