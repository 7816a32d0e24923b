/* SPDX-License-Identifier: Apache-2.0 */
/* What a whole model is around the decoder of common_decoder.h: inputs, and the head that the architecture's name tells. */
#ifndef ASSAY_MODEL_FAMILIES_COMMON_CAUSAL_H
#define ASSAY_MODEL_FAMILIES_COMMON_CAUSAL_H

#include "model/families/common_decoder.h"

/* architecture: …ForCausalLM, …ForSequenceClassification, …ForTokenClassification, …ForQuestionAnswering, …Model. */
void causal_build(struct assay_builder *b, struct assay_config *c, const struct decoder *d, const char *architecture);
/* The inputs of a whole model, positions -1 where it counts them itself; or of the phase DECODE, where all are there and the mask
 * reaches over what was seen before, too. single: the batch is one, since without a padding token nobody knows where rows end. */
void causal_inputs(struct assay_builder *b, bool single, int *ids, int *attention_mask, int *positions);
/* [batch, labels] of the last token that is no padding: scores [batch, length, labels]; pad_token < 0 = none is padding. */
int causal_last(struct assay_builder *b, int scores, int ids, int64_t pad_token);
/* causal_last as the logits, with their loss. */
void causal_classify(struct assay_builder *b, struct assay_config *c, int scores, int ids, int64_t pad_token);
/* Scores [batch, length, vocabulary] as the logits, with their loss. */
void causal_speak(struct assay_builder *b, int scores);
/* start_logits and end_logits [batch, length] of a head over x [batch, length, hidden], with their loss. */
void causal_answer(struct assay_builder *b, int x, int64_t hidden);
/* pad_token_id of the config, -1 where it is null. */
int64_t causal_pad_token(struct assay_config *c);
/* Before the head for classes of tokens. */
double causal_head_dropout(struct assay_config *c);

#endif
