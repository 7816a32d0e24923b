/* SPDX-License-Identifier: Apache-2.0 */
/* BERT's positions relative between query and key (Shaw et al. 2018), and what derives from it: a learned table by distance,
 * which adds to the scores of attention. */
#ifndef ASSAY_MODEL_FAMILIES_COMMON_RELATIVE_H
#define ASSAY_MODEL_FAMILIES_COMMON_RELATIVE_H

#include "model/builder.h"

struct relative {
    bool of_query, of_key; /* what the table is multiplied with; neither: positions are absolute */
    int64_t positions;     /* the table has 2 * positions - 1 rows */
};

/* "position_embedding_type"; positions must be set. */
void relative_read(struct relative *r, struct assay_config *c);
/* int64 [query, key]: rows of the table for so many places (a scalar), the same for all layers. */
int relative_rows(struct assay_builder *b, const struct relative *r, int length);
/* What is added to the scores of `a`, scaled as these, before b_attention: [batch, heads, query, key]. a->q and a->k are [batch,
 * length, heads * head_dim]; the table is the parameter distance_embedding.weight within the scope. */
int relative_scores(struct assay_builder *b, const struct relative *r, const struct b_attention *a, int rows);

#endif
