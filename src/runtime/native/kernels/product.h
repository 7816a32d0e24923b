/* SPDX-License-Identifier: Apache-2.0 */
/* Products of two sides that both change from run to run: how MatMul, Gemm, assay.MatMul and Einsum lie in memory, for the
 * kernels that multiply them (native_product.c, native_product_bf16.c, native_einsum.c). */
#ifndef ASSAY_RUNTIME_NATIVE_PRODUCT_H
#define ASSAY_RUNTIME_NATIVE_PRODUCT_H

#include "runtime/native/native.h"

enum { NATIVE_PRODUCT_GRAIN = 48 /* rows or columns of the blocks that kernels work on */ };

/* A matrix of [rows, columns]: `leading` elements from row to row, or from column to column. */
struct native_form {
    bool transposed;
    int64_t leading;
};

struct native_product {
    int64_t m, n, k, n_matrices;
    int64_t *a_at, *b_at, *y_at; /* [n_matrices]: where they begin, in elements */
    struct native_form a, b;
    int64_t y_leading;
    int64_t row_blocks, column_blocks;
    float alpha;
    int left, right; /* inputs */
    bool has_bias;
};

/* Dimensions of a product, [batch …, m, n], and of its sides and its result, strides in elements of each; 0 where a side has no
 * such dimension, or repeats itself along it. */
struct native_strides {
    int rank;
    int64_t dims[ASSAY_MAX_RANK + 2];
    int64_t k, a[ASSAY_MAX_RANK + 2], b[ASSAY_MAX_RANK + 2], y[ASSAY_MAX_RANK + 2];
    int64_t a_k, b_k; /* along k */
};

/* Of a node with its types. false: its forms are not taken; else all inputs are plain. Looks at no types of elements but the
 * bias's, which is the left side's. */
bool native_product_find(struct native_build *build, struct native_product *product);
/* The same of any op that is a product: of inputs 0 and 1, with what native_product_find reads beside (alpha, beta, a bias). Rows
 * are merged in `strides`. */
bool native_product_of(struct native_build *build, struct native_strides *strides, struct native_product *product);
/* The kernel of an f32 product, once found: divides it and writes build->kernel. */
void native_product_make(struct native_build *build, struct native_product *product);
/* Whole matrices where these are many; else rows or columns, so that the side which all threads read is the smaller. */
void native_product_divide(struct native_product *product, int n_threads);

/* What one job of n_matrices · row_blocks · column_blocks makes; may be empty. */
struct native_block {
    int64_t matrix, row, rows, column, columns;
};
/* How many threads share the jobs: as many as these are worth. */
int native_product_parts(const struct native_product *product, int n_threads);
struct native_block native_product_block(const struct native_product *product, int64_t job);

/* Elements from a matrix's begin to one of its elements. */
static inline int64_t native_form_at(const struct native_form *form, int64_t row, int64_t column)
{
    return form->transposed ? column * form->leading + row : row * form->leading + column;
}

#endif
