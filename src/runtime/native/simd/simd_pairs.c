/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of bf16 summed in f32, for what lies in cache. Numbers lie in pairs along k, as the processors' instructions want
 * them: one that multiplies two pairs and adds both products to a sum has the tier avx512_bf16; else pairs are widened.
 */
#include "runtime/native/simd/simd_inside.h"

#include <math.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define TARGET __attribute__((target("avx512bf16")))
enum { LANES = 16, ROWS = 6, VECTORS = 4 };
#elif defined(__AVX2__)
#define TARGET
enum { LANES = 8, ROWS = 4, VECTORS = 2 };
#else
#define TARGET
enum { LANES = 4, ROWS = 4, VECTORS = 2 };
#endif
typedef float vector __attribute__((vector_size(LANES * 4)));
typedef uint32_t words __attribute__((vector_size(LANES * 4)));

struct tile {
    float *c;
    const uint16_t *a;
    const uint32_t *b;
    int64_t ldc, lda, ldb, n_pairs;
    bool add;
};

#if defined(__AVX512F__)
static inline TARGET __attribute__((always_inline)) vector add_products(vector sum, words a, words b)
{
    __m512bh x, y;
    __m512 s;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    memcpy(&s, &sum, sizeof s);
    s = _mm512_dpbf16_ps(s, x, y);
    memcpy(&sum, &s, sizeof s);
    return sum;
}
#else
static inline __attribute__((always_inline)) vector add_products(vector sum, words a, words b)
{
    words a_low = a << 16, b_low = b << 16, a_high = a & 0xffff0000u, b_high = b & 0xffff0000u;
    vector x, y;
    memcpy(&x, &a_low, sizeof x);
    memcpy(&y, &b_low, sizeof y);
    sum += x * y;
    memcpy(&x, &a_high, sizeof x);
    memcpy(&y, &b_high, sizeof y);
    return sum + x * y;
}
#endif

/* rows × (vectors · LANES) of c; rows and vectors are constants where this is inlined, so that `sum` is registers. */
static inline TARGET __attribute__((always_inline)) void make_tile(const struct tile *t, int rows, int vectors)
{
    vector sum[ROWS][VECTORS];
    const uint32_t *b = t->b;
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = (vector){0};
    for (int64_t p = 0; p < t->n_pairs; p++, b += t->ldb) {
        words row[VECTORS];
        UNROLL for (int j = 0; j < vectors; j++) memcpy(&row[j], b + j * LANES, sizeof row[j]);
        UNROLL for (int i = 0; i < rows; i++)
        {
            uint32_t pair;
            memcpy(&pair, t->a + i * t->lda + 2 * p, sizeof pair);
            UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = add_products(sum[i][j], (words){0} + pair, row[j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++)
    {
        float *c = t->c + i * t->ldc + j * LANES;
        vector v = {0};
        if (t->add)
            memcpy(&v, c, sizeof v);
        v += sum[i][j];
        memcpy(c, &v, sizeof v);
    }
}

static inline TARGET __attribute__((always_inline)) void make_rows(const struct tile *t, int64_t rows, int vectors)
{
    switch (rows) {
    case 1:
        make_tile(t, 1, vectors);
        break;
    case 2:
        make_tile(t, 2, vectors);
        break;
    case 3:
        make_tile(t, 3, vectors);
        break;
#if defined(__AVX512F__)
    case 4:
        make_tile(t, 4, vectors);
        break;
    case 5:
        make_tile(t, 5, vectors);
        break;
#endif
    default:
        make_tile(t, ROWS, vectors);
    }
}

TARGET void SIMD(gemm_bf16)(float *c, int64_t ldc, const uint16_t *a, int64_t lda, const uint32_t *b, int64_t ldb, int64_t m,
                            int64_t n, int64_t k, bool add)
{
    for (int64_t j = 0; j < n;) {
        bool is_wide = n - j >= VECTORS * LANES;
        for (int64_t i = 0; i < m; i += ROWS) {
            struct tile t = {c + i * ldc + j, a + i * lda, b + j, ldc, lda, ldb, k / 2, add};
            int64_t rows = m - i < ROWS ? m - i : ROWS;
            if (is_wide)
                make_rows(&t, rows, VECTORS);
            else
                make_rows(&t, rows, 1);
        }
        j += is_wide ? VECTORS * LANES : LANES;
    }
}

void SIMD(pair)(uint32_t *y, const uint16_t *first, const uint16_t *second, int64_t n)
{
    if (second)
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = first[i] | (uint32_t)second[i] << 16;
    else
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = first[i];
}

/* As softmax_part, with what it makes of x rounded to bf16. */
float SIMD(softmax_part_bf16)(uint16_t *y, const float *x, int64_t n, float *max, float *sum)
{
    return simd_softmax_part(NULL, y, x, n, max, sum);
}
