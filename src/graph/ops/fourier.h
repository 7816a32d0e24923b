/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The discrete Fourier transform of any length in double, in O(n log n): radix 2 where the length is a power of two, else
 * Bluestein's algorithm ("A linear filtering approach to the computation of discrete Fourier transform", 1970) on top of it.
 */
#ifndef ASSAY_GRAPH_OPS_FOURIER_H
#define ASSAY_GRAPH_OPS_FOURIER_H

#include "graph/tensor.h"

/* Complex numbers are pairs of doubles. */
struct assay_fourier {
    int64_t n;       /* length of the transform */
    int64_t m;       /* the power of two below it all: n itself, or at least 2n - 1 */
    double *work;    /* [m, 2] */
    double *twiddle; /* [m / 2, 2]: exp(-2πi k/m) */
    double *chirp;   /* [n, 2]: exp(-πi k²/n); NULL if n is a power of two */
    double *filter;  /* [m, 2]: transform of the conjugate chirp */
    struct assay_tensor memory;
};

/* n ≥ 1. ASSAY_UNSUPPORTED if n is beyond 2^28. */
enum assay_status assay_fourier_init(struct assay_fourier *fourier, int64_t n, struct assay_error *err);
void assay_fourier_release(struct assay_fourier *fourier);
/* line[n, 2] in place. The inverse divides by n. */
void assay_fourier_run(struct assay_fourier *fourier, double *line, bool inverse);

#endif
