/* SPDX-License-Identifier: Apache-2.0 */
/* See common_cross.h. */
#include "model/families/common_cross.h"

static void give(struct assay_builder *b, int64_t i, const char *part, int64_t heads, int64_t head_dim, int x)
{
    x = b_transpose(b, b_reshape(b, x, B_LIST(0, 0, heads, head_dim)), B_LIST(0, 2, 1, 3));
    b_output(b, x, "past_key_values.%d.encoder.%s", (int)i, part);
}

void cross_give(struct assay_builder *b, int64_t i, int64_t heads, int64_t head_dim, int key, int value)
{
    give(b, i, "key", heads, head_dim, key);
    give(b, i, "value", heads, head_dim, value);
}

static int take(struct assay_builder *b, int64_t i, const char *part, const char *dims)
{
    return b_input(b, assay_arena_printf(&b->arena, "past_key_values.%d.encoder.%s", (int)i, part), ASSAY_F32, dims);
}

void cross_take(struct assay_builder *b, int64_t i, const char *source, struct b_attention *a)
{
    const char *dims = assay_arena_printf(&b->arena, "batch %lld %s %lld", (long long)a->heads, source, (long long)a->head_dim);
    a->k = take(b, i, "key", dims);
    a->v = take(b, i, "value", dims);
    a->kv_ready = true;
}
