/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of few rows with a constant weight, as in decoding: what they take is the time to read the weight once. oneDNN's
 * matmul reads at little more than half of the memory's speed there; this reads the weight as oneDNN packed it: panels one after
 * another, or rows, some at a time. In bf16 it takes any number of rows, for tiers where oneDNN has no product of bf16.
 */
#ifndef ASSAY_RUNTIME_NATIVE_KERNELS_GEMV_H
#define ASSAY_RUNTIME_NATIVE_KERNELS_GEMV_H

#include "runtime/native/dnnl.h"
#include "runtime/native/simd/simd.h"

/* More rows are computed faster by oneDNN, which multiplies bf16 without converting them. */
enum { NATIVE_GEMV_ROWS = 8, NATIVE_GEMV_BF16_ROWS = 3 };

/* y [m, n] = activation(x [m, k] · weight + bias + residual) */
struct native_gemv {
    int64_t m, k, n;
    bool is_bf16;       /* x, weight and y; else all f32 */
    int x, residual;    /* inputs; -1 = none */
    const void *panels; /* [ceil(n / 64), panel_step]: in each [k, 64], or of bf16 [ceil(k / 2), 64, 2] */
    int64_t panel_step; /* in elements; 0: the weight is f32 [k, n], as it is */
    const float *bias;  /* [n]; NULL = none */
    dnnl_alg_kind_t activation;
    float alpha, beta;
};

/* An activation as of oneDNN, in place. */
void native_activate(dnnl_alg_kind_t kind, float alpha, float beta, const struct native_simd *simd, float *y, int64_t n);
/* Bias, residual and activation of columns `at` … at + n of row `row`, whose products are in y, and stores them in output 0.
 * `room` is for n floats. */
void native_gemv_finish(const struct native_gemv *gemv, const struct native_simd *simd, const struct native_args *args, float *y,
                        int64_t row, int64_t at, int64_t n, float *room);
/* Makes the build's kernel; copies `gemv`. */
void native_gemv_make(struct native_build *build, const struct native_gemv *gemv);

#endif
