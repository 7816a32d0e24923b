/* SPDX-License-Identifier: Apache-2.0 */
/* See product.h. */
#include "runtime/native/kernels/product.h"

static void find_strides(const struct assay_type *type, int64_t *strides)
{
    int64_t step = 1;
    for (int d = type->rank - 1; d >= 0; d--) {
        strides[d] = step;
        step *= type->dims[d];
    }
}

/* Dimensions and strides of an operand as a permutation shows it. */
static bool permute(const struct native_build *b, const char *name, const struct assay_type *type, int64_t *dims,
                    int64_t *strides)
{
    size_t n = 0;
    const int64_t *perm = assay_node_ints(b->node, name, &n);
    int64_t own[ASSAY_MAX_RANK];
    find_strides(type, own);
    for (int d = 0; d < type->rank; d++) {
        int64_t from = perm ? perm[d] : d;
        dims[d] = type->dims[from];
        strides[d] = own[from];
    }
    return !perm || n == (size_t)type->rank;
}

static void swap_last(int64_t *numbers, int rank)
{
    int64_t last = numbers[rank - 1];
    numbers[rank - 1] = numbers[rank - 2];
    numbers[rank - 2] = last;
}

/* The result's strides in the order of the product: perm_y says which of its dimensions comes where. */
static bool find_result(const struct native_build *b, int rank, struct native_strides *s)
{
    size_t n = 0;
    const struct assay_type *y = &b->outputs[0];
    const int64_t *perm = assay_node_ints(b->node, "perm_y", &n);
    int64_t own[ASSAY_MAX_RANK];
    if (y->rank != rank || (perm && n != (size_t)rank))
        return false;
    find_strides(y, own);
    for (int d = 0; d < rank; d++) {
        s->dims[perm ? perm[d] : d] = y->dims[d];
        s->y[perm ? perm[d] : d] = own[d];
    }
    return true;
}

static bool find_shape(const struct native_build *b, struct native_strides *s)
{
    const struct assay_type *l = &b->inputs[0], *r = &b->inputs[1];
    int64_t a_dims[ASSAY_MAX_RANK], b_dims[ASSAY_MAX_RANK], a[ASSAY_MAX_RANK], w[ASSAY_MAX_RANK];
    if (l->rank < 2 || r->rank < 2 || l->rank > ASSAY_MAX_RANK || r->rank > ASSAY_MAX_RANK)
        return false;
    *s = (struct native_strides){.rank = l->rank > r->rank ? l->rank : r->rank};
    if (!permute(b, "perm_a", l, a_dims, a) || !permute(b, "perm_b", r, b_dims, w) || !find_result(b, s->rank, s))
        return false;
    if (assay_node_int(b->node, "transA", 0)) {
        swap_last(a_dims, l->rank);
        swap_last(a, l->rank);
    }
    if (assay_node_int(b->node, "transB", 0)) {
        swap_last(b_dims, r->rank);
        swap_last(w, r->rank);
    }
    for (int d = 0; d < s->rank - 2; d++) {
        int in_a = d - (s->rank - l->rank), in_b = d - (s->rank - r->rank);
        s->a[d] = in_a < 0 || a_dims[in_a] == 1 ? 0 : a[in_a];
        s->b[d] = in_b < 0 || b_dims[in_b] == 1 ? 0 : w[in_b];
    }
    s->k = a_dims[l->rank - 1];
    s->a[s->rank - 2] = a[l->rank - 2];
    s->a_k = a[l->rank - 1];
    s->b_k = w[r->rank - 2];
    s->b[s->rank - 1] = w[r->rank - 1];
    return true;
}

/* Rows of several matrices that meet one right side are rows of one. */
static void merge_rows(struct native_strides *s)
{
    while (s->rank > 2) {
        int last = s->rank - 3, m = s->rank - 2, n = s->rank - 1;
        bool alone = s->dims[last] == 1;
        if (!alone && (s->b[last] != 0 || s->a[last] != s->a[m] * s->dims[m] || s->y[last] != s->y[m] * s->dims[m]))
            return;
        s->dims[last] *= s->dims[m];
        s->a[last] = s->a[m];
        s->y[last] = s->y[m];
        s->dims[m] = s->dims[n];
        s->b[m] = s->b[n];
        s->y[m] = s->y[n];
        s->rank--;
    }
}

static bool find_form(int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride, struct native_form *form)
{
    form->transposed = columns > 1 && column_stride != 1;
    if (form->transposed && rows > 1 && row_stride != 1)
        return false;
    int64_t stride = form->transposed ? column_stride : row_stride, width = form->transposed ? rows : columns;
    int64_t length = form->transposed ? columns : rows;
    if (length > 1 && stride < width) /* broadcast rows */
        return false;
    form->leading = stride > width && length > 1 ? stride : width;
    return true;
}

static int64_t *list_matrices(struct native_build *b, const struct native_strides *s, const int64_t *strides, int64_t n)
{
    int64_t *at = assay_arena_array(b->arena, (size_t)n, sizeof *at);
    for (int64_t i = 0; i < n; i++) {
        int64_t left = i;
        for (int d = s->rank - 3; d >= 0; d--) {
            at[i] += left % s->dims[d] * strides[d];
            left /= s->dims[d];
        }
    }
    return at;
}

/* The result may lie transposed: then it is the product of the transposed sides, changed about. */
static bool find_forms(const struct native_strides *s, struct native_product *p, bool *is_swapped)
{
    struct native_form a, b, y;
    int m = s->rank - 2, n = s->rank - 1;
    if (!find_form(p->m, p->k, s->a[m], s->a_k, &a) || !find_form(p->k, p->n, s->b_k, s->b[n], &b) ||
        !find_form(p->m, p->n, s->y[m], s->y[n], &y))
        return false;
    *is_swapped = y.transposed;
    p->y_leading = y.leading;
    p->a = a;
    p->b = b;
    if (!y.transposed)
        return true;
    p->a = (struct native_form){!b.transposed, b.leading};
    p->b = (struct native_form){!a.transposed, a.leading};
    int64_t rows = p->m;
    p->m = p->n;
    p->n = rows;
    return true;
}

void native_product_divide(struct native_product *p, int n_threads)
{
    p->row_blocks = p->column_blocks = 1;
    if (p->n_matrices >= 4 * n_threads || p->n_matrices % n_threads == 0)
        return;
    if (p->m >= p->n)
        p->row_blocks = n_threads < (p->m + NATIVE_PRODUCT_GRAIN - 1) / NATIVE_PRODUCT_GRAIN
                            ? n_threads
                            : (p->m + NATIVE_PRODUCT_GRAIN - 1) / NATIVE_PRODUCT_GRAIN;
    else
        p->column_blocks = n_threads < (p->n + NATIVE_PRODUCT_GRAIN - 1) / NATIVE_PRODUCT_GRAIN
                               ? n_threads
                               : (p->n + NATIVE_PRODUCT_GRAIN - 1) / NATIVE_PRODUCT_GRAIN;
}

int native_product_parts(const struct native_product *p, int n_threads)
{
    int64_t jobs = p->n_matrices * p->row_blocks * p->column_blocks;
    int parts = native_parts(2 * p->m * p->k * p->n * p->n_matrices / 4, n_threads);
    return parts < jobs ? parts : (int)jobs;
}

static bool takes_bias(const struct native_build *b, struct native_product *p)
{
    if (b->n_inputs < 3 || b->node->inputs[2] < 0)
        return true;
    const struct assay_type *bias = &b->inputs[2];
    p->has_bias = true;
    return bias->dtype == b->inputs[0].dtype && assay_type_count(bias) == p->n && bias->rank > 0 &&
           bias->dims[bias->rank - 1] == p->n && assay_node_float(b->node, "beta", 1) == 1;
}

bool native_product_of(struct native_build *b, struct native_strides *s, struct native_product *p)
{
    bool is_swapped;
    if (assay_type_count(&b->outputs[0]) < 1 || s->k < 1)
        return false;
    merge_rows(s);
    *p = (struct native_product){
        .m = s->dims[s->rank - 2], .n = s->dims[s->rank - 1], .k = s->k, .alpha = assay_node_float(b->node, "alpha", 1)};
    p->n_matrices = assay_type_count(&b->outputs[0]) / (p->m * p->n);
    if (!takes_bias(b, p) || !find_forms(s, p, &is_swapped) || (is_swapped && p->has_bias))
        return false;
    p->a_at = list_matrices(b, s, is_swapped ? s->b : s->a, p->n_matrices);
    p->b_at = list_matrices(b, s, is_swapped ? s->a : s->b, p->n_matrices);
    p->y_at = list_matrices(b, s, s->y, p->n_matrices);
    p->left = is_swapped;
    p->right = !is_swapped;
    for (int i = 0; i < b->n_inputs; i++)
        b->in_layouts[i] = NATIVE_PLAIN;
    return true;
}

bool native_product_find(struct native_build *b, struct native_product *p)
{
    struct native_strides s;
    return assay_type_count(&b->outputs[0]) > 0 && find_shape(b, &s) && native_product_of(b, &s, p);
}

struct native_block native_product_block(const struct native_product *p, int64_t job)
{
    struct native_block block = {0};
    int64_t blocks = p->row_blocks * p->column_blocks, end;
    block.matrix = job / blocks;
    native_share(p->m, NATIVE_PRODUCT_GRAIN, (int)(job % blocks / p->column_blocks), (int)p->row_blocks, &block.row, &end);
    block.rows = end - block.row;
    native_share(p->n, NATIVE_PRODUCT_GRAIN, (int)(job % p->column_blocks), (int)p->column_blocks, &block.column, &end);
    block.columns = end - block.column;
    return block;
}
