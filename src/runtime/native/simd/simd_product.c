/* SPDX-License-Identifier: Apache-2.0 */
/* Small products of matrices in cache, and what attention does between two of them. */
#include "runtime/native/simd/simd_inside.h"

#include <math.h>

/* Vectors as wide as the tier's registers, and a tile of c that they can hold beside a row of b and a number of a; of a single
 * row LONG vectors, since b is read from memory there, and best in long pieces. */
#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 6, VECTORS = 4, LONG = 4 };
#elif defined(__AVX2__)
enum { LANES = 8, ROWS = 6, VECTORS = 2, LONG = 8 };
#elif defined(__x86_64__)
enum { LANES = 4, ROWS = 6, VECTORS = 2, LONG = 8 };
#else
enum { LANES = 4, ROWS = 6, VECTORS = 4, LONG = 8 };
#endif
typedef float vector __attribute__((vector_size(LANES * 4)));

struct tile {
    float *c;
    const float *a, *b;
    int64_t ldc, lda, ldb, k;
    bool add;
};

static inline vector load(const float *p)
{
    vector v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* rows × (vectors · LANES) of c; rows and vectors are constants where this is inlined, so that `sum` is registers. */
static inline __attribute__((always_inline)) void make_tile(const struct tile *t, int rows, int vectors)
{
    vector sum[ROWS][LONG];
    const float *a = t->a, *b = t->b;
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = (vector){0};
    for (int64_t p = 0; p < t->k; p++, b += t->ldb) {
        vector row[LONG];
        UNROLL for (int j = 0; j < vectors; j++) row[j] = load(b + j * LANES);
        UNROLL for (int i = 0; i < rows; i++)
        {
            float x = a[i * t->lda + p];
            UNROLL for (int j = 0; j < vectors; j++) sum[i][j] += x * row[j];
        }
    }
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++)
    {
        float *c = t->c + i * t->ldc + j * LANES;
        vector v = t->add ? load(c) + sum[i][j] : sum[i][j];
        memcpy(c, &v, sizeof v);
    }
}

static inline __attribute__((always_inline)) void make_rows(const struct tile *t, int64_t rows, int vectors)
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
    case 4:
        make_tile(t, 4, vectors);
        break;
    case 5:
        make_tile(t, 5, vectors);
        break;
    default:
        make_tile(t, ROWS, vectors);
    }
}

/* Columns that fill no vector. */
static void make_rest(const struct tile *t, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++) {
        float sum[LANES] = {0};
        for (int64_t p = 0; p < t->k; p++)
            for (int64_t j = 0; j < columns; j++)
                sum[j] += t->a[i * t->lda + p] * t->b[p * t->ldb + j];
        for (int64_t j = 0; j < columns; j++)
            t->c[i * t->ldc + j] = t->add ? t->c[i * t->ldc + j] + sum[j] : sum[j];
    }
}

void SIMD(gemm)(float *c, int64_t ldc, const float *a, int64_t lda, const float *b, int64_t ldb, int64_t m, int64_t n, int64_t k,
                bool add)
{
    for (int64_t j = 0; j < n;) {
        int64_t left = (n - j) / LANES, vectors = left < VECTORS ? left : VECTORS, columns = vectors ? vectors * LANES : n - j;
        if (m == 1 && left >= LONG) {
            make_tile(&(struct tile){c + j, a, b + j, ldc, lda, ldb, k, add}, 1, LONG);
            j += LONG * LANES;
            continue;
        }
        for (int64_t i = 0; i < m; i += ROWS) {
            int64_t rows = m - i < ROWS ? m - i : ROWS;
            struct tile t = {c + i * ldc + j, a + i * lda, b + j, ldc, lda, ldb, k, add};
            if (vectors == VECTORS)
                make_rows(&t, rows, VECTORS);
            else if (vectors >= 2)
                make_rows(&t, rows, 2);
            else if (vectors)
                make_rows(&t, rows, 1);
            else
                make_rest(&t, rows, columns);
        }
        j += vectors == VECTORS || vectors < 2 ? columns : 2 * LANES;
    }
}

void SIMD(mask_add)(float *y, const float *mask, int64_t n)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] += mask[i];
}

void SIMD(mask_keep)(float *y, const unsigned char *keep, int64_t n)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = keep[i] ? y[i] : -INFINITY;
}

float SIMD(softmax_part)(float *x, int64_t n, float *max, float *sum) { return simd_softmax_part(x, NULL, x, n, max, sum); }

/* Pairs (a, b) of which the second lies `apart` from the first become (a cos - b sin, a sin + b cos). */
void SIMD(rotate_halves)(float *y, const float *x, const float *cosine, const float *sine, int64_t half)
{
    _Pragma("omp simd") for (int64_t i = 0; i < half; i++)
    {
        float a = x[i], b = x[half + i];
        y[i] = a * cosine[i] - b * sine[i];
        y[half + i] = a * sine[i] + b * cosine[i];
    }
}

/* rows × (vectors · LANES) of c, of a panel of bf16 in which two rows of b lie in turn. */
static inline __attribute__((always_inline)) void make_pairs(const struct tile *t, int rows, int vectors)
{
    typedef uint32_t words __attribute__((vector_size(LANES * 4)));
    vector sum[ROWS][LONG];
    const float *a = t->a;
    const char *b = (const char *)t->b;
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = (vector){0};
    for (int64_t p = 0; p < t->k; p += 2, b += t->ldb * 4) {
        UNROLL for (int j = 0; j < vectors; j++)
        {
            words pair, high;
            vector first, second;
            memcpy(&pair, b + j * (int)sizeof pair, sizeof pair);
            high = pair & 0xffff0000u;
            pair = pair << 16;
            memcpy(&first, &pair, sizeof first);
            memcpy(&second, &high, sizeof second);
            UNROLL for (int i = 0; i < rows; i++) sum[i][j] += a[i * t->lda + p] * first + a[i * t->lda + p + 1] * second;
        }
    }
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++)
        memcpy(t->c + i * t->ldc + j * LANES, &sum[i][j], sizeof sum[i][j]);
}

void SIMD(gemm_pairs)(float *c, int64_t ldc, const float *a, int64_t lda, const uint16_t *b, int64_t ldb, int64_t m, int64_t n,
                      int64_t k)
{
    if (m == 1) {
        for (int64_t j = 0; j < n; j += LONG * LANES) /* 64 is a multiple of it */
            make_pairs(&(struct tile){c + j, a, (const float *)(const void *)(b + 2 * j), ldc, lda, ldb, k, false}, 1, LONG);
        return;
    }
    for (int64_t j = 0; j < n; j += VECTORS * LANES)
        for (int64_t i = 0; i < m; i += 4) {
            struct tile t = {c + i * ldc + j, a + i * lda, (const float *)(const void *)(b + 2 * j), ldc, lda, ldb, k, false};
            if (m - i >= 4)
                make_pairs(&t, 4, VECTORS);
            else if (m - i == 3)
                make_pairs(&t, 3, VECTORS);
            else if (m - i == 2)
                make_pairs(&t, 2, VECTORS);
            else
                make_pairs(&t, 1, VECTORS);
        }
}
