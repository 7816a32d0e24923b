/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of two sides that both change from run to run, of bf16, summed in f32: assay.MatMul, and MatMul where nothing was
 * fused with it. Columns of the right side are packed, 64 at a time, in pairs of rows, and meet the rows of the left side where
 * these lie, or packed if they lie transposed. Threads share rows or columns, whichever are more.
 */
#include "runtime/native/kernels/product.h"
#include "runtime/native/simd/simd.h"

#include <string.h>

/* Rows of the right side that are packed at once stay in the second level's cache, and so do packed rows of the left one. */
enum { PANEL = 64, DEPTH = 2048, MOST_ROWS = 1024, FEWEST_ROWS = 96, PACKED = 1 << 21, SUMS = 1 << 22, ALIGN = 64 };

struct low_product {
    struct native_product p;
    const struct native_simd *simd;
    int64_t pairs;      /* of k, the last one filled with 0 */
    int64_t block_rows; /* at once */
    int64_t n_panels;   /* whose sums are kept until all of k is through, so that the left side is read once for them */
    bool is_packed;     /* the left side */
    bool is_wide;       /* the result is f32 */
    int64_t a_bytes, b_bytes;
};

static int64_t align(int64_t size) { return (size + ALIGN - 1) / ALIGN * ALIGN; }

/* Pairs of two rows one after another: [n_pairs, n] words, `stride` words apart, of rows `leading` apart. */
static void pair_rows(const struct low_product *s, uint32_t *y, int64_t stride, const uint16_t *x, int64_t leading, int64_t depth,
                      int64_t n)
{
    for (int64_t k = 0; k < depth; k += 2, y += stride)
        s->simd->pair(y, x + k * leading, k + 1 < depth ? x + (k + 1) * leading : NULL, n);
}

/* y[column, row]: words of two numbers each, of rows that lie anyhow; an odd last number is followed by 0. */
static void turn_pairs(const struct low_product *s, uint32_t *y, int64_t stride, const uint16_t *x, int64_t leading, int64_t rows,
                       int64_t depth)
{
    int64_t whole = depth / 2;
    if (leading % 2 == 0 && (uintptr_t)x % sizeof *y == 0) {
        s->simd->transpose(y, x, rows, whole, stride, leading / 2, sizeof *y);
    } else {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t k = 0; k < whole; k++)
                memcpy(y + k * stride + r, x + r * leading + 2 * k, sizeof *y);
    }
    for (int64_t r = 0; r < rows && depth % 2; r++)
        y[whole * stride + r] = x[r * leading + depth - 1];
}

/* Rows k … k + depth of `columns` of the right side: [pairs, PANEL]. */
static void pack_right(const struct low_product *s, uint32_t *panel, const uint16_t *b, int64_t k, int64_t depth, int64_t column,
                       int64_t columns)
{
    const struct native_form *form = &s->p.b;
    b += native_form_at(form, k, column);
    if (columns < PANEL)
        memset(panel, 0, (size_t)((depth + 1) / 2 * PANEL) * sizeof *panel);
    if (form->transposed)
        turn_pairs(s, panel, PANEL, b, form->leading, columns, depth);
    else
        pair_rows(s, panel, PANEL, b, form->leading, depth, columns);
}

/* Rows of a left side that lies transposed, [rows, 2 pairs]. */
static void pack_left(const struct low_product *s, uint16_t *packed, const uint16_t *a, int64_t rows, uint32_t *words)
{
    const struct native_form *form = &s->p.a;
    int64_t k = s->p.k;
    for (int64_t row = 0; row < rows; row += PANEL) { /* pairs, then turned */
        int64_t n = rows - row < PANEL ? rows - row : PANEL;
        for (int64_t from = 0; from < k; from += DEPTH) {
            int64_t depth = k - from < DEPTH ? k - from : DEPTH;
            pair_rows(s, words, PANEL, a + native_form_at(form, row, from), form->leading, depth, n);
            s->simd->transpose((uint32_t *)(void *)packed + row * s->pairs + from / 2, words, (depth + 1) / 2, n, s->pairs, PANEL,
                               sizeof *words);
        }
    }
}

/* Sums of a block into the result: times alpha, with the bias. */
static void finish(const struct low_product *s, const struct native_args *args, float *sums, int64_t at, int64_t rows,
                   int64_t column, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++, sums += PANEL, at += s->p.y_leading) {
        float bias[PANEL];
        if (s->p.alpha != 1)
            s->simd->linear(sums, sums, columns, s->p.alpha, 0);
        if (s->p.has_bias) {
            s->simd->from_bf16(bias, (const uint16_t *)args->in[2]->data + column, columns);
            s->simd->add_scaled(sums, bias, 1, columns);
        }
        if (s->is_wide)
            memcpy((float *)args->out[0]->data + at, sums, (size_t)columns * sizeof *sums);
        else
            s->simd->to_bf16((uint16_t *)args->out[0]->data + at, sums, columns);
    }
}

/* Rows of the left side: where they lie, or packed; then `last` is NULL, else, where k is odd, its last column in pairs with 0.
 */
struct left {
    const uint16_t *a, *last;
    int64_t lda;
};

static struct left find_left(const struct low_product *s, const uint16_t *a, int64_t rows, unsigned char *scratch)
{
    const struct native_product *p = &s->p;
    uint16_t *to = (uint16_t *)(void *)scratch;
    if (s->is_packed) {
        pack_left(s, to, a, rows, (uint32_t *)(void *)(scratch + s->a_bytes));
        return (struct left){to, NULL, 2 * s->pairs};
    }
    for (int64_t i = 0; i < rows && p->k % 2; i++) {
        to[2 * i] = a[i * p->a.leading + p->k - 1];
        to[2 * i + 1] = 0;
    }
    return (struct left){a, p->k % 2 ? to : NULL, p->a.leading};
}

/* A panel of rows k … k + depth of the right side meets the rows. */
static void multiply(const struct low_product *s, const struct left *left, float *sums, const uint32_t *panel, int64_t rows,
                     int64_t columns, int64_t k, int64_t depth)
{
    bool is_odd = depth % 2 && left->last;
    int64_t whole = is_odd ? depth - 1 : (depth + 1) / 2 * 2;
    columns = (columns + 15) / 16 * 16;
    if (whole > 0)
        s->simd->gemm_bf16(sums, PANEL, left->a + k, left->lda, panel, PANEL, rows, columns, whole, k > 0);
    if (is_odd)
        s->simd->gemm_bf16(sums, PANEL, left->last, 2, panel + whole / 2 * PANEL, PANEL, rows, columns, 2, k + whole > 0);
}

/* Some rows of a job. */
static void run_rows(const struct low_product *s, const struct native_args *args, const struct native_block *block, int64_t row,
                     int64_t rows, unsigned char *scratch)
{
    const struct native_product *p = &s->p;
    const uint16_t *a = (const uint16_t *)args->in[p->left]->data + p->a_at[block->matrix] + native_form_at(&p->a, row, 0);
    const uint16_t *b = (const uint16_t *)args->in[p->right]->data + p->b_at[block->matrix];
    uint32_t *panel = (uint32_t *)(void *)(scratch + s->a_bytes);
    float *sums = (float *)(void *)(scratch + s->a_bytes + s->b_bytes);
    struct left left = find_left(s, a, rows, scratch);
    int64_t end = block->column + block->columns, step = s->n_panels * PANEL;
    for (int64_t first = block->column; first < end; first += step) {
        int64_t last = first + step < end ? first + step : end;
        for (int64_t k = 0; k < p->k; k += DEPTH) {
            int64_t depth = p->k - k < DEPTH ? p->k - k : DEPTH;
            for (int64_t column = first; column < last; column += PANEL) {
                int64_t columns = last - column < PANEL ? last - column : PANEL;
                pack_right(s, panel, b, k, depth, column, columns);
                multiply(s, &left, sums + (column - first) * rows, panel, rows, columns, k, depth);
            }
        }
        for (int64_t column = first; column < last; column += PANEL)
            finish(s, args, sums + (column - first) * rows, p->y_at[block->matrix] + row * p->y_leading + column, rows, column,
                   last - column < PANEL ? last - column : PANEL);
    }
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct low_product *s = args->kernel->data;
    int64_t begin, end;
    native_share(s->p.n_matrices * s->p.row_blocks * s->p.column_blocks, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        struct native_block block = native_product_block(&s->p, i);
        for (int64_t row = 0; row < block.rows && block.columns > 0; row += s->block_rows)
            run_rows(s, args, &block, block.row + row, block.rows - row < s->block_rows ? block.rows - row : s->block_rows,
                     scratch);
    }
}

/* The table of avx512 has the instruction that multiplies pairs of bf16, which not all processors of that tier know. */
static const struct native_simd *choose(enum native_isa isa)
{
    bool lacks = isa == NATIVE_ISA_AVX512 || isa == NATIVE_ISA_AVX512_VNNI;
    return native_simd_of(lacks ? NATIVE_ISA_AVX2 : isa);
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    struct low_product *s = assay_arena_alloc(b->arena, sizeof *s);
    enum assay_dtype y = b->outputs[0].dtype;
    *s = (struct low_product){.simd = choose(b->isa), .is_wide = y == ASSAY_F32};
    if (b->inputs[0].dtype != ASSAY_BF16 || b->inputs[1].dtype != ASSAY_BF16 || (y != ASSAY_BF16 && y != ASSAY_F32) ||
        !native_product_find(b, &s->p))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its types or forms are not taken");
    native_product_divide(&s->p, b->n_threads);
    s->pairs = (s->p.k + 1) / 2;
    s->is_packed = s->p.a.transposed;
    int64_t fitting = PACKED / (2 * s->pairs), depth = s->p.k < DEPTH ? 2 * s->pairs : DEPTH;
    s->block_rows = !s->is_packed || fitting > MOST_ROWS ? MOST_ROWS : fitting < FEWEST_ROWS ? FEWEST_ROWS : fitting;
    s->block_rows = s->block_rows < s->p.m ? s->block_rows : s->p.m;
    s->a_bytes = align((s->is_packed ? 2 * s->pairs : s->p.k % 2 * 2) * s->block_rows * (int64_t)sizeof(uint16_t));
    s->b_bytes = align(depth * PANEL * (int64_t)sizeof(uint16_t));
    int64_t sum_bytes = s->block_rows * PANEL * (int64_t)sizeof(float), panels = (s->p.n + PANEL - 1) / PANEL;
    s->n_panels = s->p.k <= DEPTH || SUMS < sum_bytes ? 1 : SUMS / sum_bytes < panels ? SUMS / sum_bytes : panels;
    b->kernel.scratch_bytes = s->a_bytes + s->b_bytes + s->n_panels * sum_bytes;
    b->kernel.name = "packed bf16 product";
    b->kernel.run = run;
    b->kernel.n_parts = native_product_parts(&s->p, b->n_threads);
    b->kernel.data = s;
    return ASSAY_OK;
}

const struct native_maker native_makers_product_bf16[] = {
    {.type = "MatMul", .domain = "assay", .make = make},
    {.type = "MatMul", .domain = "", .make = make},
    {.type = "Gemm", .domain = "", .make = make},
    {0},
};
