/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of many rows with a constant matrix of few columns or few rows, where what follows a product counts: the sums stay in
 * registers until bias and residual are added and the bounds are held.
 */
#include "runtime/native/simd/simd_lanes.h"

#include <math.h>

#if defined(__clang__)
#define UNROLL_16 _Pragma("unroll")
#else
#define UNROLL_16 _Pragma("GCC unroll 16")
#endif

/* Rows of a tile of so many vectors: as many as the registers hold beside a row of b. */
#if defined(__AVX512F__)
enum { VECTORS = 4, ROWS_1 = 12, ROWS_2 = 12, ROWS_3 = 8, ROWS_4 = 6 };
#else
enum { VECTORS = 2, ROWS_1 = 6, ROWS_2 = 6 };
#endif
enum { MOST_ROWS = 12, PANEL = NATIVE_FILTER_PANEL, ALIGN = 16, DEPTH = 256 };

struct tile {
    const struct native_filter *p;
    const float *a, *b, *bias, *residual; /* bias, residual: NULL = none */
    float *y, low, high;
    int64_t ldb, k;
    int columns;  /* of the last vector that there are */
    bool fetches; /* the next tile's rows, which lie behind this one's: by themselves processors follow so many rows badly */
};

static inline __attribute__((always_inline)) void make_tile(const struct tile *t, int rows, int vectors)
{
    vector sum[MOST_ROWS][VECTORS];
    const float *a = t->a, *b = t->b, *residual = t->residual;
    float *y = t->y;
    const int64_t lda = t->p->lda, n = t->p->n, ldb = t->ldb;
    const int columns = t->columns;
    UNROLL_16 for (int j = 0; j < vectors; j++) { UNROLL_16 for (int i = 0; i < rows; i++) sum[i][j] = (vector){0}; }
    const float *ahead = t->fetches ? a + rows * lda : a;
    const int64_t stride = t->fetches ? rows * lda / t->k : 0;
    for (int64_t d = t->k; d > 0; d--, a++, b += ldb, ahead += stride) {
        __builtin_prefetch(ahead);
        vector row[VECTORS];
        UNROLL_16 for (int j = 0; j < vectors; j++) row[j] = load(b + j * LANES);
        UNROLL_16 for (int i = 0; i < rows; i++)
        {
            float x = a[i * lda];
            UNROLL_16 for (int j = 0; j < vectors; j++) sum[i][j] += x * row[j];
        }
    }
    if (t->bias) { /* last, since each addition rounds at the magnitude of the sum */
        UNROLL_16 for (int j = 0; j < vectors; j++)
        {
            vector bias = load(t->bias + j * LANES);
            UNROLL_16 for (int i = 0; i < rows; i++) sum[i][j] += bias;
        }
    }
    const vector low = (vector){0} + t->low, high = (vector){0} + t->high;
    if (residual) {
        UNROLL_16 for (int i = 0; i < rows; i++) UNROLL_16 for (int j = 0; j < vectors; j++) sum[i][j] +=
            j == vectors - 1 ? load_some(residual + i * n + j * LANES, columns) : load(residual + i * n + j * LANES);
    }
    UNROLL_16 for (int i = 0; i < rows; i++) UNROLL_16 for (int j = 0; j < vectors; j++)
    {
        vector v = bounded(sum[i][j], low, high);
        if (j == vectors - 1)
            store_some(y + i * n + j * LANES, v, columns);
        else
            memcpy(y + i * n + j * LANES, &v, sizeof v);
    }
}

/* Tiles of so many rows, as long as there are any; how many rows are left. */
static inline __attribute__((always_inline)) int64_t make_tiles(struct tile *t, int64_t m, int rows, int vectors)
{
    const struct native_filter *p = t->p;
    for (; m >= rows; m -= rows) {
        make_tile(t, rows, vectors);
        t->a += rows * p->lda;
        t->y += rows * p->n;
        t->residual = t->residual ? t->residual + rows * p->n : NULL;
    }
    return m;
}

static inline __attribute__((always_inline)) void make_rows(struct tile t, int64_t m, int rows, int vectors)
{
    m = make_tiles(&t, m, rows, vectors);
    m = make_tiles(&t, m, 3, vectors);
    make_tiles(&t, m, 1, vectors);
}

static void make_columns(const struct tile *t, int64_t m, int vectors)
{
#if defined(__AVX512F__)
    if (vectors == 4)
        make_rows(*t, m, ROWS_4, 4);
    else if (vectors == 3)
        make_rows(*t, m, ROWS_3, 3);
    else
#endif
        if (vectors == 2)
        make_rows(*t, m, ROWS_2, 2);
    else
        make_rows(*t, m, ROWS_1, 1);
}

/* In blocks of k, so that those of a panel stay in the first level's cache; sums that are not done yet wait in y. */
void SIMD(filter)(const struct native_filter *p, float *y, const float *a, const float *residual, int64_t m)
{
    for (int64_t begin = 0; begin < p->k; begin += DEPTH) {
        bool first = begin == 0, last = p->k - begin <= DEPTH;
        struct tile t = {.p = p, .a = a + begin, .k = last ? p->k - begin : DEPTH};
        t.low = last ? p->low : -INFINITY;
        t.high = last ? p->high : INFINITY;
        t.fetches = p->lda == p->k && p->k <= DEPTH;
        for (int64_t j = 0; j < p->n;) {
            int64_t panel = j / PANEL * PANEL, width = p->n - panel < PANEL ? (p->n - panel + ALIGN - 1) / ALIGN * ALIGN : PANEL;
            int64_t left = (p->n - j + LANES - 1) / LANES, room = (panel + PANEL - j) / LANES;
            left = left < room ? left : room;
            left = left < VECTORS ? left : VECTORS;
            t.b = p->panels + panel * p->depth + (p->skip + begin) * width + (j - panel);
            t.ldb = width;
            t.bias = p->bias && first ? p->bias + j : NULL;
            t.y = y + j;
            t.residual = !first ? t.y : residual ? residual + j : NULL;
            t.columns = (int)(p->n - j < left * LANES ? p->n - j - (left - 1) * LANES : LANES);
            make_columns(&t, m, (int)left);
            j += left * LANES;
        }
    }
}
