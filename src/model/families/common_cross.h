/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values of what a decoder's cross attention looks at: the phase ENCODE makes them once, the phase DECODE takes them. */
#ifndef ASSAY_MODEL_FAMILIES_COMMON_CROSS_H
#define ASSAY_MODEL_FAMILIES_COMMON_CROSS_H

#include "model/builder.h"

/* The outputs past_key_values.I.encoder.key and .value [batch, heads, source, head_dim] of decoder layer i, from [batch, source,
 * heads * head_dim]. */
void cross_give(struct assay_builder *b, int64_t i, int64_t heads, int64_t head_dim, int key, int value);
/* The inputs of the same names, as keys and values of `a`, whose heads and head_dim are set. source: their length, "1500" or a
 * symbol. */
void cross_take(struct assay_builder *b, int64_t i, const char *source, struct b_attention *a);

#endif
