/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder of Llama (Touvron et al. 2023), Mistral and Qwen2: pre-norm with RMS norms, rotary positions, grouped queries, a
 * gated feed-forward net. For their own families and for the language models within others (LLaVA).
 */
#ifndef ASSAY_MODEL_FAMILIES_COMMON_DECODER_H
#define ASSAY_MODEL_FAMILIES_COMMON_DECODER_H

#include "model/family.h"

enum decoder_rope { DECODER_ROPE_PLAIN, DECODER_ROPE_LINEAR, DECODER_ROPE_DYNAMIC, DECODER_ROPE_LLAMA3, DECODER_ROPE_YARN };

struct decoder {
    int64_t hidden, inner, layers, heads, kv_heads, head_dim, vocabulary, positions;
    int64_t window;  /* 0 = all that came before */
    int64_t padding; /* row of the padding token; -1 = none */
    double eps, theta, dropout;
    const char *activation;
    bool qkv_bias, output_bias, inner_bias, tied;
    enum decoder_rope rope;
    double factor, low_frequency, high_frequency, fast, slow, attention_factor;
    int64_t original_positions;
};

/* Whether it is the model type of a config class whose defaults decoder_read knows: llama, mistral, qwen2. */
bool decoder_is_known(const char *model_type);
/* Asks for all fields of such a class. */
void decoder_read(struct decoder *d, struct assay_config *c, const char *model_type);
/* From embedded tokens [batch, length, hidden] to what the head takes, in the scope of the model ("model"): layers and the last
 * norm, with hidden_states, attentions and past_key_values as optional outputs. attention_mask int64 [batch, length] or -1,
 * position_ids int64 [batch or 1, length]. In the phase DECODE keys and values are cached, and attention_mask is [batch, past +
 * length]. */
int decoder_run(struct assay_builder *b, const struct decoder *d, int x, int attention_mask, int position_ids);
/* PREFIX.lm_head is PREFIX.model.embed_tokens where the config says so. Before any of the others. */
void decoder_tie(struct assay_builder *b, const struct decoder *d, const char *prefix);
/* [batch, length, vocabulary], in the phase DECODE of the last place alone: PREFIX.lm_head. Within no scope. */
int decoder_head(struct assay_builder *b, const struct decoder *d, int x, const char *prefix);
/* Token embeddings, within the scope of the model. */
int decoder_embed(struct assay_builder *b, const struct decoder *d, int ids);
/* int64 [1, length]: 0, 1, 2 … */
int decoder_positions(struct assay_builder *b, int x);

#endif
