/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels on values that lie channels last, but products, share: vector loops that read f32 or bf16, and make f32; and
 * the greatest of codes of 8 bits. */
#ifndef ASSAY_RUNTIME_NATIVE_KERNELS_POINTS_H
#define ASSAY_RUNTIME_NATIVE_KERNELS_POINTS_H

#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

struct native_points {
    const struct native_simd *simd;
    bool bf16;
    enum assay_dtype codes; /* u8, i8; ASSAY_NO_DTYPE = none */
    int64_t size;           /* of an element */
    int64_t channels;
};

/* False if the type is neither f32 nor bf16 of rank 3 to 5 with elements. */
bool native_points_init(struct native_points *points, const struct native_build *build, const struct assay_type *type);
/* The same of u8 and i8, for native_points_max only. */
bool native_points_init_codes(struct native_points *points, const struct native_build *build, const struct assay_type *type);
/* Bytes for a point in f32: what `made` below wants. */
int64_t native_points_scratch(const struct native_points *points);

/* One point of y from points at x[n_taps]; `made` is used where y is bf16. */
void native_points_max(const struct native_points *points, void *y, const void *const *x, int n_taps, float *made);
void native_points_weigh(const struct native_points *points, void *y, const void *const *x, const float *weight, int n_taps,
                         float *made);
/* n numbers of f32 to y. */
void native_points_store(const struct native_points *points, void *y, const float *made, int64_t n);

#endif
