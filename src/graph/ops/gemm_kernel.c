/* SPDX-License-Identifier: Apache-2.0 */
/* See gemm_kernel.h. The tile of C stays in registers over the whole of k; the sizes of the tiles are what the registers hold. */
#include "graph/ops/gemm_kernel.h"

#include <stddef.h>

/* One kernel: `vector` of `lanes` doubles, a tile of n_rows × n_vectors of them. */
#define KERNEL(kernel_name, attributes, vector, lanes, n_rows, n_vectors, SPLAT, MULTIPLY_ADD)                                   \
    attributes static void kernel_name(int64_t n_k, const double *a, const double *b, double *c, int64_t row_stride)             \
    {                                                                                                                            \
        vector sum[n_rows][n_vectors], right[n_vectors];                                                                         \
        for (int i = 0; i < n_rows; i++) {                                                                                       \
            for (int v = 0; v < n_vectors; v++)                                                                                  \
                sum[i][v] = *(const vector *)(c + i * row_stride + v * lanes);                                                   \
        }                                                                                                                        \
        for (int64_t p = 0; p < n_k; p++, a += n_rows, b += n_vectors * lanes) {                                                 \
            for (int v = 0; v < n_vectors; v++)                                                                                  \
                right[v] = *(const vector *)(b + v * lanes);                                                                     \
            for (int i = 0; i < n_rows; i++) {                                                                                   \
                vector left = SPLAT(a[i]);                                                                                       \
                for (int v = 0; v < n_vectors; v++)                                                                              \
                    sum[i][v] = MULTIPLY_ADD(left, right[v], sum[i][v]);                                                         \
            }                                                                                                                    \
        }                                                                                                                        \
        for (int i = 0; i < n_rows; i++) {                                                                                       \
            for (int v = 0; v < n_vectors; v++)                                                                                  \
                *(vector *)(c + i * row_stride + v * lanes) = sum[i][v];                                                         \
        }                                                                                                                        \
    }

/* Aligned as doubles are: rows of C are wherever a multiple of the tile's columns puts them. */
typedef double vector2 __attribute__((vector_size(16), aligned(8), may_alias));
#define SPLAT2(x) ((vector2){(x), (x)})
#define MULTIPLY_THEN_ADD(x, y, sum) ((x) * (y) + (sum))

KERNEL(run_portable, , vector2, 2, 4, 2, SPLAT2, MULTIPLY_THEN_ADD)
static const struct assay_gemm_kernel portable = {"portable", 4, 4, run_portable};

#ifdef __x86_64__
#include <immintrin.h>

KERNEL(run_avx2, __attribute__((target("avx2,fma"))), __m256d_u, 4, 4, 3, _mm256_set1_pd, _mm256_fmadd_pd)
KERNEL(run_avx512, __attribute__((target("avx512f"))), __m512d_u, 8, 8, 3, _mm512_set1_pd, _mm512_fmadd_pd)

static const struct assay_gemm_kernel avx2 = {"avx2", 4, 12, run_avx2};
static const struct assay_gemm_kernel avx512 = {"avx512", 8, 24, run_avx512};

const struct assay_gemm_kernel *assay_gemm_kernel_at(int i)
{
    const struct assay_gemm_kernel *all[4] = {&portable};
    int n = 1;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        all[n++] = &avx2;
    if (__builtin_cpu_supports("avx512f"))
        all[n++] = &avx512;
    return i < n ? all[i] : NULL;
}
#else
const struct assay_gemm_kernel *assay_gemm_kernel_at(int i) { return i == 0 ? &portable : NULL; }
#endif

const struct assay_gemm_kernel *assay_gemm_kernel_best(void)
{
    const struct assay_gemm_kernel *best = &portable;
    for (int i = 0; assay_gemm_kernel_at(i); i++)
        best = assay_gemm_kernel_at(i);
    return best;
}

const struct assay_gemm_kernel *assay_gemm_kernel_portable(void) { return &portable; }
