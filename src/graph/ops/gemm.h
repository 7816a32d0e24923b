/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner product of the reference runtime: C = alpha · A · B + beta · add, on one thread, for MatMul, Gemm, convolutions and
 * recurrent nets, in floating point and for quantized integers.
 *
 * It is an oracle: each element of C is the sum of its products in order of k, in double, rounded once at the end. A product of
 * two f32, or of two 8-bit integers, is exact in double, so it makes no difference whether multiply and add are fused, and f64
 * (where it would) takes the kernel that does not fuse: the result is the same to the bit on every machine and for every
 * blocking. Integers are exact as well: k · 2¹⁶ stays below 2⁵³.
 *
 * A, B and `add` stay the caller's. Threads: no state is shared.
 */
#ifndef ASSAY_GRAPH_OPS_GEMM_H
#define ASSAY_GRAPH_OPS_GEMM_H

#include "base/status.h"
#include "graph/dtype.h"
#include "graph/ops/gemm_kernel.h"

/* A matrix somewhere in memory. Strides are in elements and may be anything, so that a transpose is an exchange of the two and a
 * broadcast is a stride of 0. */
struct assay_matrix {
    const void *data;
    int64_t row_stride, column_stride;
};

struct assay_gemm {
    int64_t m, n, k;                /* C is [m, n]; k = 0 leaves beta · add */
    enum assay_dtype a_type;        /* F32, F64: b, c and add too. I8 or U8: c is I32, wrapped around as unsigned numbers do */
    enum assay_dtype b_type;        /* as a_type, or the other one of I8 and U8 */
    struct assay_matrix a, b;       /* [m, k], [k, n] */
    const int32_t *a_zero, *b_zero; /* integers: taken off each row of A, each column of B; NULL = 0 */
    int64_t a_zero_stride;          /* 0 = one for all rows, 1 = one each */
    int64_t b_zero_stride;
    double alpha; /* floating point only, as are beta and add */
    double beta;
    struct assay_matrix add; /* [m, n]; data NULL = nothing */
    void *c;
    int64_t c_row_stride;
    bool c_is_f64; /* f32 operands: c in double, unrounded, for sums that go on; alpha, beta and add do not count */
    const struct assay_gemm_kernel *kernel; /* NULL = the best for the type */
};

/* ASSAY_NO_MEMORY: the packing buffers (a few MiB, whatever the sizes) could not be had. */
enum assay_status assay_gemm_run(const struct assay_gemm *gemm, struct assay_error *err);

#endif
