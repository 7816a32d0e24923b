/* SPDX-License-Identifier: Apache-2.0 */
/* See common_relative.h. */
#include "model/families/common_relative.h"

#include <math.h>
#include <string.h>

void relative_read(struct relative *r, struct assay_config *c)
{
    const char *type = c_text(c, "position_embedding_type", "absolute");
    r->of_key = strcmp(type, "relative_key_query") == 0;
    r->of_query = r->of_key || strcmp(type, "relative_key") == 0;
    if (!r->of_query && strcmp(type, "absolute") != 0)
        assay_config_fail(c, ASSAY_UNSUPPORTED,
                          "\"position_embedding_type\" is \"%s\"; it must be \"absolute\", \"relative_key\" or "
                          "\"relative_key_query\"",
                          type);
}

/* x [batch, place, heads * head_dim] times what its places have of tables [place, head_dim, other]: [place, batch, head, other].
 */
static int times_tables(struct assay_builder *b, const struct b_attention *a, int x, int tables)
{
    int parts = b_transpose(b, b_reshape(b, x, B_LIST(0, 0, a->heads, a->head_dim)), B_LIST(1, 0, 2, 3));
    int y = b_matmul(b, b_reshape(b, parts, B_LIST(0, -1, a->head_dim)), tables);
    int shape = b_concat(b, 0, B_VALUES(b_size(b, y, 0), b_ints(b, B_LIST(-1, a->heads)), b_size(b, y, 2)));
    return b_reshape_to(b, y, shape);
}

int relative_rows(struct assay_builder *b, const struct relative *r, int length)
{
    int places = b_range(b, b_int(b, 0), length);
    return b_add(b, b_sub(b, b_unsqueeze(b, places, B_LIST(1)), places), b_int(b, r->positions - 1));
}

int relative_scores(struct assay_builder *b, const struct relative *r, const struct b_attention *a, int rows)
{
    int tables = b_gather(b, b_param(b, "distance_embedding.weight", B_LIST(2 * r->positions - 1, a->head_dim)), 0, rows);
    int scores = b_transpose(b, times_tables(b, a, a->q, b_transpose(b, tables, B_LIST(0, 2, 1))), B_LIST(1, 2, 0, 3));
    if (r->of_key) {
        int of_keys = times_tables(b, a, a->k, b_transpose(b, tables, B_LIST(1, 2, 0)));
        scores = b_add(b, scores, b_transpose(b, of_keys, B_LIST(1, 2, 3, 0)));
    }
    return b_scale(b, scores, 1 / sqrt((double)a->head_dim));
}
