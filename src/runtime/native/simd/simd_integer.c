/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of integers of 16 bits, whose sums of 32 no tier's instructions saturate: of many rows with a constant matrix, whose
 * numbers lie in pairs along k, as the instruction wants them that multiplies two pairs and adds both products; and of points
 * with weights of their channels, where f32 is as exact and needs no pairs.
 */
#include "runtime/native/simd/simd_inside.h"

#if defined(__SSE4_1__)
#include <immintrin.h>
#endif

#if defined(__AVX512BW__)
enum { LANES = 16, ROWS = 6, VECTORS = 4 };
#elif defined(__AVX2__)
enum { LANES = 8, ROWS = 6, VECTORS = 2 };
#else
enum { LANES = 4, ROWS = 4, VECTORS = 2 };
#endif
enum { PANEL = NATIVE_PAIRS_PANEL, DEPTH = 256, POINTS = 4 };
typedef int32_t whole __attribute__((vector_size(LANES * 4)));
typedef uint32_t words __attribute__((vector_size(LANES * 4)));
typedef float real __attribute__((vector_size(LANES * 4)));

#define INLINE static inline __attribute__((always_inline))

INLINE whole add_products(whole sum, whole a, whole b)
{
#if defined(__AVX512BW__)
    return (whole)_mm512_add_epi32((__m512i)sum, _mm512_madd_epi16((__m512i)a, (__m512i)b));
#elif defined(__AVX2__)
    return (whole)_mm256_add_epi32((__m256i)sum, _mm256_madd_epi16((__m256i)a, (__m256i)b));
#elif defined(__SSE4_1__)
    return (whole)_mm_add_epi32((__m128i)sum, _mm_madd_epi16((__m128i)a, (__m128i)b));
#else
    return sum + ((whole)((words)a << 16) >> 16) * ((whole)((words)b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

struct tile {
    int32_t *c;
    const int16_t *a;
    const int32_t *b; /* pairs */
    int64_t ldc, lda, ldb, n_pairs;
    bool add;
};

/* rows and vectors are constants where this is inlined, so that `sum` is registers. */
INLINE void make_tile(const struct tile *t, int rows, int vectors)
{
    whole sum[ROWS][VECTORS];
    const int32_t *b = t->b;
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = (whole){0};
    for (int64_t p = 0; p < t->n_pairs; p++, b += t->ldb) {
        whole row[VECTORS];
        UNROLL for (int j = 0; j < vectors; j++) memcpy(&row[j], b + j * LANES, sizeof row[j]);
        UNROLL for (int i = 0; i < rows; i++)
        {
            int32_t pair;
            memcpy(&pair, t->a + i * t->lda + 2 * p, sizeof pair);
            UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = add_products(sum[i][j], (whole){0} + pair, row[j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++)
    {
        int32_t *c = t->c + i * t->ldc + j * LANES;
        whole v = sum[i][j], before;
        if (t->add) {
            memcpy(&before, c, sizeof before);
            v += before;
        }
        memcpy(c, &v, sizeof v);
    }
}

INLINE void make_rows(struct tile t, int64_t m, int vectors)
{
    for (; m >= ROWS; m -= ROWS, t.a += ROWS * t.lda, t.c += ROWS * t.ldc)
        make_tile(&t, ROWS, vectors);
    for (; m >= 2; m -= 2, t.a += 2 * t.lda, t.c += 2 * t.ldc)
        make_tile(&t, 2, vectors);
    if (m)
        make_tile(&t, 1, vectors);
}

/* In blocks of k, so that those of a and of some columns stay in the first level's cache. */
void SIMD(product_i16)(int32_t *c, int64_t ldc, const int16_t *a, int64_t lda, const int16_t *panels, int64_t m, int64_t n,
                       int64_t k)
{
    for (int64_t begin = 0; begin < k; begin += DEPTH)
        for (int64_t j = 0; j < n;) {
            int64_t panel = j / PANEL * PANEL, width = native_pairs_width(n - panel), left = (panel + width - j) / LANES;
            struct tile t = {.c = c + j, .a = a + begin, .ldc = ldc, .lda = lda, .ldb = width, .add = begin > 0};
            t.n_pairs = (k - begin < DEPTH ? k - begin : DEPTH) / 2;
            t.b = (const int32_t *)(const void *)panels + panel * (k / 2) + begin / 2 * width + (j - panel);
            if (left >= VECTORS) {
                make_rows(t, m, VECTORS);
                j += VECTORS * LANES;
            } else {
                make_rows(t, m, 1);
                j += LANES;
            }
        }
}

INLINE void weigh(int32_t *y, const float *const *x, int64_t step, const float *w, int n_taps, int64_t n, int points)
{
    for (int64_t i = 0; i < n; i += LANES) {
        real sum[POINTS];
        UNROLL for (int p = 0; p < points; p++) sum[p] = (real){0};
        for (int t = 0; t < n_taps; t++) {
            real weight, number;
            memcpy(&weight, w + t * n + i, sizeof weight);
            UNROLL for (int p = 0; p < points; p++)
            {
                memcpy(&number, x[t] + p * step + i, sizeof number);
                sum[p] += number * weight;
            }
        }
        UNROLL for (int p = 0; p < points; p++)
        {
            whole v = __builtin_convertvector(sum[p], whole);
            memcpy(y + p * n + i, &v, sizeof v);
        }
    }
}

void SIMD(weigh_points)(int32_t *y, const float *const *x, int64_t step, const float *w, int n_taps, int64_t n, int64_t n_points)
{
    enum { MOST_TAPS = NATIVE_WEIGHED_TAPS };
    const float *at[MOST_TAPS];
    memcpy(at, x, (size_t)n_taps * sizeof *at);
    for (int64_t p = 0; p < n_points;) {
        int64_t left = n_points - p, points = left == POINTS + 1 ? POINTS - 1 : left < POINTS ? left : POINTS;
        if (points == 4) /* one alone would wait for each sum */
            weigh(y + p * n, at, step, w, n_taps, n, 4);
        else if (points == 3)
            weigh(y + p * n, at, step, w, n_taps, n, 3);
        else if (points == 2)
            weigh(y + p * n, at, step, w, n_taps, n, 2);
        else
            weigh(y + p * n, at, step, w, n_taps, n, 1);
        for (int t = 0; t < n_taps; t++)
            at[t] += points * step;
        p += points;
    }
}
