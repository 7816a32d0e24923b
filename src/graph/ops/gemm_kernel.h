/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The innermost loop of gemm.c, in one form for each kind of vector unit. What it sees is packed: that, and the blocking for
 * caches, is gemm.c's.
 */
#ifndef ASSAY_GRAPH_OPS_GEMM_KERNEL_H
#define ASSAY_GRAPH_OPS_GEMM_KERNEL_H

#include <stdint.h>

struct assay_gemm_kernel {
    const char *name;
    int rows, columns; /* of the tile of C that one call makes */
    /* c[rows][columns], with rows row_stride apart, += the sum over p of a[p][rows] · b[p][columns], p ascending, n_k > 0. */
    void (*run)(int64_t n_k, const double *a, const double *b, double *c, int64_t row_stride);
};

enum { ASSAY_GEMM_MAX_ROWS = 8, ASSAY_GEMM_MAX_COLUMNS = 24 };

/* The widest that this machine runs. All of them may fuse multiply and add: see gemm.h for when that changes a result. */
const struct assay_gemm_kernel *assay_gemm_kernel_best(void);
/* The one that never fuses. */
const struct assay_gemm_kernel *assay_gemm_kernel_portable(void);
/* All that this machine runs, for tests: i from 0 until NULL. */
const struct assay_gemm_kernel *assay_gemm_kernel_at(int i);

#endif
