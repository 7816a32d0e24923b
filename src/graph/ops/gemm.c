/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See gemm.h. The method is the usual one (K. Goto, R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008):
 * blocks of B, then of A, are copied to panels in the order in which the kernel reads them, converted to double on the way, and a
 * kernel makes one small tile of C at a time. The block of C is kept in double until all of k is added, so that it is rounded
 * once.
 */
#include "graph/ops/gemm.h"

#include <stdlib.h>

enum {
    BLOCK_M = 480, /* C's block in double: 480 × 240 × 8 = 0.9 MiB; multiples of every kernel's tile */
    BLOCK_N = 240,
    BLOCK_K = 256,
    PANEL_M = 48 /* rows of A that are packed at once: 96 KiB, for the second cache */
};

struct panels {
    double *a, *b, *c;
};

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/*
 * Copies `n_wide` rows of A (or columns of B) by `n_k` steps of k into panels of `width`: to[panel][k][width], the last one
 * filled with zeros. One function for each element type; `wide` and `step` are the strides along the two.
 */
#define PACK(name, type)                                                                                                         \
    static void name(double *restrict to, const type *from, int64_t wide, int64_t step, int64_t n_wide, int64_t n_k, int width,  \
                     const int32_t *zero, int64_t zero_stride)                                                                   \
    {                                                                                                                            \
        for (int64_t w = 0; w < n_wide; w += width, to += n_k * width) {                                                         \
            int n = (int)min_i64(width, n_wide - w);                                                                             \
            const type *panel = from + w * wide;                                                                                 \
            double offsets[ASSAY_GEMM_MAX_COLUMNS] = {0};                                                                        \
            for (int i = 0; zero && i < n; i++)                                                                                  \
                offsets[i] = zero[(w + i) * zero_stride];                                                                        \
            if (n < width)                                                                                                       \
                memset(to, 0, (size_t)(n_k * width) * sizeof *to);                                                               \
            if (wide == 1) {                                                                                                     \
                for (int64_t p = 0; p < n_k; p++)                                                                                \
                    for (int i = 0; i < n; i++)                                                                                  \
                        to[p * width + i] = (double)panel[p * step + i] - offsets[i];                                            \
            } else {                                                                                                             \
                for (int i = 0; i < n; i++)                                                                                      \
                    for (int64_t p = 0; p < n_k; p++)                                                                            \
                        to[p * width + i] = (double)panel[i * wide + p * step] - offsets[i];                                     \
            }                                                                                                                    \
        }                                                                                                                        \
    }
PACK(pack_f32, float)
PACK(pack_f64, double)
PACK(pack_i8, int8_t)
PACK(pack_u8, uint8_t)

static void pack(double *to, enum assay_dtype dtype, const void *from, int64_t at, int64_t wide, int64_t step, int64_t n_wide,
                 int64_t n_k, int width, const int32_t *zero, int64_t zero_stride)
{
    switch (dtype) {
    case ASSAY_F32:
        pack_f32(to, (const float *)from + at, wide, step, n_wide, n_k, width, zero, zero_stride);
        break;
    case ASSAY_F64:
        pack_f64(to, (const double *)from + at, wide, step, n_wide, n_k, width, zero, zero_stride);
        break;
    case ASSAY_I8:
        pack_i8(to, (const int8_t *)from + at, wide, step, n_wide, n_k, width, zero, zero_stride);
        break;
    default:
        ASSAY_ASSERT(dtype == ASSAY_U8);
        pack_u8(to, (const uint8_t *)from + at, wide, step, n_wide, n_k, width, zero, zero_stride);
    }
}

/* The block of C, in double, to where it belongs: [n_m, n_n] from row i, column j. */
static void store(const struct assay_gemm *g, const double *block, int64_t block_stride, int64_t i, int64_t j, int64_t n_m,
                  int64_t n_n)
{
    for (int64_t r = 0; r < n_m; r++) {
        const double *row = block + r * block_stride;
        int64_t to = (i + r) * g->c_row_stride + j, from = (i + r) * g->add.row_stride + j * g->add.column_stride;
        if (g->c_is_f64) {
            memcpy((double *)g->c + to, row, (size_t)n_n * sizeof *row);
        } else if (g->a_type == ASSAY_F32) {
            float *c = (float *)g->c + to;
            const float *add = g->add.data ? (const float *)g->add.data + from : NULL;
            for (int64_t s = 0; s < n_n; s++)
                c[s] = (float)(g->alpha * row[s] + (add ? g->beta * (double)add[s * g->add.column_stride] : 0));
        } else if (g->a_type == ASSAY_F64) {
            double *c = (double *)g->c + to;
            const double *add = g->add.data ? (const double *)g->add.data + from : NULL;
            for (int64_t s = 0; s < n_n; s++)
                c[s] = g->alpha * row[s] + (add ? g->beta * add[s * g->add.column_stride] : 0);
        } else {
            int32_t *c = (int32_t *)g->c + to;
            for (int64_t s = 0; s < n_n; s++)
                c[s] = (int32_t)(uint32_t)(int64_t)row[s];
        }
    }
}

/* One block of C, rows i…, columns j…: the whole of k. */
static void multiply_block(const struct assay_gemm *g, const struct assay_gemm_kernel *kernel, const struct panels *to, int64_t i,
                           int64_t j, int64_t n_m, int64_t n_n)
{
    int64_t stride = round_up(n_n, kernel->columns);
    memset(to->c, 0, (size_t)(round_up(n_m, kernel->rows) * stride) * sizeof(double));
    for (int64_t p = 0; p < g->k; p += BLOCK_K) {
        int64_t n_k = min_i64(BLOCK_K, g->k - p);
        pack(to->b, g->b_type, g->b.data, p * g->b.row_stride + j * g->b.column_stride, g->b.column_stride, g->b.row_stride, n_n,
             n_k, kernel->columns, g->b_zero ? g->b_zero + j * g->b_zero_stride : NULL, g->b_zero_stride);
        for (int64_t q = 0; q < n_m; q += PANEL_M) {
            int64_t n_q = min_i64(PANEL_M, n_m - q), row = i + q;
            pack(to->a, g->a_type, g->a.data, row * g->a.row_stride + p * g->a.column_stride, g->a.row_stride, g->a.column_stride,
                 n_q, n_k, kernel->rows, g->a_zero ? g->a_zero + row * g->a_zero_stride : NULL, g->a_zero_stride);
            for (int64_t s = 0; s < n_n; s += kernel->columns)
                for (int64_t r = 0; r < n_q; r += kernel->rows)
                    kernel->run(n_k, to->a + r * n_k, to->b + s * n_k, to->c + (q + r) * stride + s, stride);
        }
    }
    store(g, to->c, stride, i, j, n_m, n_n);
}

enum assay_status assay_gemm_run(const struct assay_gemm *g, struct assay_error *err)
{
    const struct assay_gemm_kernel *kernel = g->kernel;
    if (!kernel)
        kernel = g->a_type == ASSAY_F64 ? assay_gemm_kernel_portable() : assay_gemm_kernel_best();
    if (g->m <= 0 || g->n <= 0)
        return ASSAY_OK;
    int64_t block_m = min_i64(BLOCK_M, round_up(g->m, kernel->rows));
    int64_t block_n = min_i64(BLOCK_N, round_up(g->n, kernel->columns));
    int64_t block_k = min_i64(BLOCK_K, g->k);
    int64_t panel_m = min_i64(PANEL_M, block_m);
    int64_t n_doubles = panel_m * block_k + block_k * block_n + block_m * block_n + 3 * 8;
    double *memory = aligned_alloc(64, (size_t)round_up(n_doubles * (int64_t)sizeof(double), 64));
    if (!memory)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for the buffers of a matrix product (%lld bytes)",
                               (long long)n_doubles * 8);
    struct panels panels = {.a = memory};
    panels.b = panels.a + round_up(panel_m * block_k, 8);
    panels.c = panels.b + round_up(block_k * block_n, 8);
    for (int64_t i = 0; i < g->m; i += BLOCK_M)
        for (int64_t j = 0; j < g->n; j += BLOCK_N)
            multiply_block(g, kernel, &panels, i, j, min_i64(BLOCK_M, g->m - i), min_i64(BLOCK_N, g->n - j));
    free(memory);
    return ASSAY_OK;
}
