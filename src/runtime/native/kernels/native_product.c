/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of two sides that both change from run to run, f32: MatMul and Gemm, and assay.MatMul with the transposes that it has
 * taken in. oneDNN's sgemm reads and writes matrices with any distance of rows, transposed or not, at the rate of its packed
 * products: so threads share rows or columns, whichever are more, and each job is one call on one thread.
 */
#include "runtime/native/dnnl.h"

#include <string.h>

enum { GRAIN = 48 /* rows or columns of the blocks that sgemm works on */ };

/* A matrix of [rows, columns] as sgemm takes it: `leading` elements from row to row, or from column to column. */
struct form {
    bool transposed;
    int64_t leading;
};

struct product {
    int64_t m, n, k, n_matrices;
    int64_t *a_at, *b_at, *y_at; /* [n_matrices]: where they begin, in elements */
    struct form a, b;
    int64_t y_leading;
    int64_t row_blocks, column_blocks;
    float alpha;
    int left, right; /* inputs */
    bool has_bias;
};

static const float *element(const struct form *form, const float *matrix, int64_t row, int64_t column)
{
    return matrix + (form->transposed ? column * form->leading + row : row * form->leading + column);
}

static void spread_bias(float *y, int64_t leading, const float *bias, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(y + i * leading, bias, (size_t)columns * sizeof *y);
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct product *p = args->kernel->data;
    int64_t blocks = p->row_blocks * p->column_blocks, begin, end;
    (void)scratch;
    native_share(p->n_matrices * blocks, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t matrix = i / blocks, row, rows, column, columns;
        native_share(p->m, GRAIN, (int)(i % blocks / p->column_blocks), (int)p->row_blocks, &row, &rows);
        native_share(p->n, GRAIN, (int)(i % p->column_blocks), (int)p->column_blocks, &column, &columns);
        rows -= row;
        columns -= column;
        if (rows < 1 || columns < 1)
            continue;
        const float *a = element(&p->a, (const float *)args->in[p->left]->data + p->a_at[matrix], row, 0);
        const float *b = element(&p->b, (const float *)args->in[p->right]->data + p->b_at[matrix], 0, column);
        float *y = (float *)args->out[0]->data + p->y_at[matrix] + row * p->y_leading + column;
        if (p->has_bias)
            spread_bias(y, p->y_leading, (const float *)args->in[2]->data + column, rows, columns);
        dnnl_status_t st = dnnl_sgemm(p->a.transposed ? 'T' : 'N', p->b.transposed ? 'T' : 'N', rows, columns, p->k, p->alpha, a,
                                      p->a.leading, b, p->b.leading, p->has_bias ? 1 : 0, y, p->y_leading);
        ASSAY_ASSERT(st == dnnl_success);
    }
}

/* ---- making */

/* Dimensions of the product and, of its operands, strides in elements of each. */
struct shape {
    int rank;
    int64_t dims[ASSAY_MAX_RANK + 1]; /* [batch …, m, n] */
    int64_t k, a[ASSAY_MAX_RANK + 1], b[ASSAY_MAX_RANK + 1], y[ASSAY_MAX_RANK + 1];
    int64_t a_k, b_k; /* along k; a and b are 0 where they have no such dimension */
};

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
static bool find_result(const struct native_build *b, int rank, struct shape *s)
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

static bool find_shape(const struct native_build *b, struct shape *s)
{
    const struct assay_type *l = &b->inputs[0], *r = &b->inputs[1];
    int64_t a_dims[ASSAY_MAX_RANK], b_dims[ASSAY_MAX_RANK], a[ASSAY_MAX_RANK], w[ASSAY_MAX_RANK];
    if (l->rank < 2 || r->rank < 2 || l->rank > ASSAY_MAX_RANK || r->rank > ASSAY_MAX_RANK)
        return false;
    *s = (struct shape){.rank = l->rank > r->rank ? l->rank : r->rank};
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
static void merge_rows(struct shape *s)
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

static bool find_form(int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride, struct form *form)
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

static int64_t *list_matrices(struct native_build *b, const struct shape *s, const int64_t *strides, int64_t n)
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
static bool find_forms(const struct shape *s, struct product *p, bool *is_swapped)
{
    struct form a, b, y;
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
    p->a = (struct form){!b.transposed, b.leading};
    p->b = (struct form){!a.transposed, a.leading};
    int64_t rows = p->m;
    p->m = p->n;
    p->n = rows;
    return true;
}

/* Whole matrices where these are many; else rows or columns, so that the side which all threads read is the smaller. */
static void divide(struct product *p, int n_threads)
{
    p->row_blocks = p->column_blocks = 1;
    if (p->n_matrices >= 4 * n_threads || p->n_matrices % n_threads == 0)
        return;
    if (p->m >= p->n)
        p->row_blocks = n_threads < (p->m + GRAIN - 1) / GRAIN ? n_threads : (p->m + GRAIN - 1) / GRAIN;
    else
        p->column_blocks = n_threads < (p->n + GRAIN - 1) / GRAIN ? n_threads : (p->n + GRAIN - 1) / GRAIN;
}

static enum assay_status refuse(struct assay_error *err)
{
    return assay_error_set(err, ASSAY_UNSUPPORTED, "its types or forms are not taken");
}

static bool takes_bias(const struct native_build *b, struct product *p)
{
    if (b->n_inputs < 3 || b->node->inputs[2] < 0)
        return true;
    const struct assay_type *bias = &b->inputs[2];
    p->has_bias = true;
    return bias->dtype == ASSAY_F32 && assay_type_count(bias) == p->n && bias->rank > 0 && bias->dims[bias->rank - 1] == p->n &&
           assay_node_float(b->node, "beta", 1) == 1;
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    struct shape s;
    struct product *p = assay_arena_alloc(b->arena, sizeof *p);
    bool is_swapped;
    if (b->inputs[0].dtype != ASSAY_F32 || b->inputs[1].dtype != ASSAY_F32 || assay_type_count(&b->outputs[0]) < 1 ||
        !find_shape(b, &s) || s.k < 1)
        return refuse(err);
    merge_rows(&s);
    *p = (struct product){
        .m = s.dims[s.rank - 2], .n = s.dims[s.rank - 1], .k = s.k, .alpha = assay_node_float(b->node, "alpha", 1)};
    p->n_matrices = assay_type_count(&b->outputs[0]) / (p->m * p->n);
    if (!takes_bias(b, p) || !find_forms(&s, p, &is_swapped) || (is_swapped && p->has_bias))
        return refuse(err);
    p->a_at = list_matrices(b, &s, s.a, p->n_matrices);
    p->b_at = list_matrices(b, &s, s.b, p->n_matrices);
    p->y_at = list_matrices(b, &s, s.y, p->n_matrices);
    p->left = is_swapped;
    p->right = !is_swapped;
    if (is_swapped) {
        int64_t *at = p->a_at;
        p->a_at = p->b_at;
        p->b_at = at;
    }
    divide(p, b->n_threads);
    int64_t jobs = p->n_matrices * p->row_blocks * p->column_blocks;
    int parts = native_parts(2 * p->m * p->k * p->n * p->n_matrices / 4, b->n_threads);
    for (int i = 0; i < b->n_inputs; i++)
        b->in_layouts[i] = NATIVE_PLAIN;
    b->kernel.name = "oneDNN sgemm";
    b->kernel.run = run;
    b->kernel.n_parts = parts < jobs ? parts : (int)jobs;
    b->kernel.data = p;
    return ASSAY_OK;
}

const struct native_maker native_makers_product[] = {
    {.type = "MatMul", .domain = "assay", .make = make},
    {.type = "MatMul", .domain = "", .make = make},
    {.type = "Gemm", .domain = "", .make = make},
    {0},
};
