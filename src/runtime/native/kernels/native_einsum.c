/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Einsum of two f32 sides that is a batched matrix product: labels of both sides and the result count matrices, those of both
 * sides alone are summed over, those of one side and the result are rows or columns. Labels that lie one behind another in memory
 * are merged to one dimension; rows and columns that do not are more matrices. Sums over labels that do not merge, or over labels
 * of one side alone, are left to the reference kernel.
 */
#include "runtime/native/kernels/product.h"

#include <string.h>

enum { DOTS = 128, N_LABELS = DOTS + ASSAY_MAX_RANK, SIDES = 3 /* a, b, y */ };

struct label {
    int64_t size, strides[SIDES];
    bool in[SIDES];
};

/* The labels of a term, one a dimension: DOTS + k for the k-th from the right of what "..." stands for. */
static bool read_term(const char *text, const char *end, const struct assay_type *type, int *labels)
{
    int n = 0, n_letters = 0;
    for (const char *at = text; at < end; at++)
        n_letters += *at != '.' && *at != ' ';
    int n_dots = type->rank - n_letters;
    for (; text < end; text++) {
        if (*text == ' ')
            continue;
        bool is_dots = *text == '.';
        if (n_dots < 0 || (!is_dots && n == type->rank))
            return false;
        for (int k = n_dots - 1; is_dots && k >= 0; k--)
            labels[n++] = DOTS + k;
        n_dots = is_dots ? 0 : n_dots;
        if (!is_dots)
            labels[n++] = (unsigned char)*text % DOTS;
        while (is_dots && text + 1 < end && text[1] == '.')
            text++;
    }
    return n == type->rank;
}

static bool add_side(struct label *all, int side, const char *text, const char *end, const struct assay_type *type)
{
    int labels[ASSAY_MAX_RANK];
    int64_t step = 1;
    if (type->rank < 0 || type->rank > ASSAY_MAX_RANK || !read_term(text, end, type, labels))
        return false;
    for (int d = type->rank - 1; d >= 0; d--) {
        struct label *label = &all[labels[d]];
        if (label->in[side])
            return false; /* a diagonal */
        label->in[side] = true;
        label->strides[side] = type->dims[d] == 1 ? 0 : step;
        label->size = type->dims[d] > label->size ? type->dims[d] : label->size;
        step *= type->dims[d];
    }
    return true;
}

static bool read_labels(const struct native_build *b, struct label *all)
{
    const char *text = assay_node_string(b->node, "equation", ""), *arrow = strstr(text, "->");
    const char *comma = arrow ? memchr(text, ',', (size_t)(arrow - text)) : NULL;
    return comma && add_side(all, 0, text, comma, &b->inputs[0]) && add_side(all, 1, comma + 1, arrow, &b->inputs[1]) &&
           add_side(all, 2, arrow + 2, arrow + strlen(arrow), &b->outputs[0]);
}

/* Takes from the labels those in exactly these sides, and merges them, innermost in `side` first, as long as they lie one behind
 * another in both sides. What does not merge stays. */
static struct label merge_labels(struct label *all, bool in_a, bool in_b, bool in_y, int side, int other)
{
    struct label merged = {.size = 1};
    for (;;) {
        struct label *next = NULL;
        for (int i = 0; i < N_LABELS; i++) {
            struct label *l = &all[i];
            if (l->size > 1 && l->in[0] == in_a && l->in[1] == in_b && l->in[2] == in_y &&
                (!next || l->strides[side] < next->strides[side]))
                next = l;
        }
        if (!next || (merged.size > 1 && (next->strides[side] != merged.strides[side] * merged.size ||
                                          next->strides[other] != merged.strides[other] * merged.size)))
            return merged;
        if (merged.size == 1)
            memcpy(merged.strides, next->strides, sizeof merged.strides);
        merged.size *= next->size;
        next->size = 1;
    }
}

static bool find_strides(struct label *all, struct native_strides *s)
{
    struct label m = merge_labels(all, true, false, true, 2, 0), n = merge_labels(all, false, true, true, 2, 1);
    struct label k = merge_labels(all, true, true, false, 0, 1);
    *s = (struct native_strides){.k = k.size, .a_k = k.strides[0], .b_k = k.strides[1]};
    for (int i = 0; i < N_LABELS; i++) {
        const struct label *l = &all[i];
        if (l->size <= 1)
            continue;
        if (!l->in[2] || s->rank == ASSAY_MAX_RANK)
            return false;
        s->dims[s->rank] = l->size;
        s->a[s->rank] = l->strides[0];
        s->b[s->rank] = l->strides[1];
        s->y[s->rank++] = l->strides[2];
    }
    s->dims[s->rank] = m.size;
    s->a[s->rank] = m.strides[0];
    s->y[s->rank++] = m.strides[2];
    s->dims[s->rank] = n.size;
    s->b[s->rank] = n.strides[1];
    s->y[s->rank++] = n.strides[2];
    return true;
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    struct label all[N_LABELS] = {0};
    struct native_strides strides;
    struct native_product *p = assay_arena_alloc(b->arena, sizeof *p);
    if (b->n_inputs != 2 || b->inputs[0].dtype != ASSAY_F32 || b->inputs[1].dtype != ASSAY_F32 ||
        b->outputs[0].dtype != ASSAY_F32 || assay_type_count(&b->inputs[0]) < 1 || assay_type_count(&b->inputs[1]) < 1 ||
        !read_labels(b, all) || !find_strides(all, &strides) || !native_product_of(b, &strides, p))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "it is no product of two f32 matrices as they lie");
    native_product_make(b, p);
    return ASSAY_OK;
}

const struct native_maker native_makers_einsum[] = {
    {.type = "Einsum", .domain = "", .make = make},
    {0},
};
