/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of f32 rows with weights of 8 or 4 bits in groups of 32 that share a scale. Rows are coded too, as whole numbers of 14
 * bits in each group (at most 6e-5 of the group's largest off), in two digits of 7: then a group's sum is one of integers, which
 * is exact, and each instruction multiplies four times as many weights as in f32. The upper digits' codes and weights are such
 * that no pair of products leaves 16 bits.
 */
#include "runtime/native/simd/simd_inside.h"

#include <math.h>

#if defined(__x86_64__) && defined(__SSE4_1__)
#include <immintrin.h>
#endif

enum { GROUP = NATIVE_CODED_GROUP, PANEL = NATIVE_CODED_PANEL, LARGEST = 63 * 128 + 63, AHEAD = 2 };

void SIMD(code_rows)(struct native_coded *to, const float *x, int64_t n_groups, int32_t zero)
{
    for (int64_t g = 0; g < n_groups; g++, x += GROUP) {
        float largest = 0, unlike = 0;
        _Pragma("omp simd reduction(max : largest) reduction(+ : unlike)") for (int i = 0; i < GROUP; i++)
        {
            largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
            unlike += x[i] - x[i]; /* 0, or NaN */
        }
        bool is_finite = unlike == 0, is_zero = !(largest > 1e-30f);
        float inverse = is_zero ? 0 : LARGEST / largest;
        int32_t sum = 0;
        _Pragma("omp simd reduction(+ : sum)") for (int i = 0; i < GROUP; i++)
        {
            float scaled = is_finite ? x[i] * inverse : 0;
            int32_t q = (int32_t)(scaled + (scaled < 0 ? -0.5f : 0.5f)), high = (q + 64) >> 7;
            to[g].high[i] = (int8_t)high;
            to[g].low[i] = (int8_t)(q - high * 128);
            sum += q;
        }
        to[g].scale = !is_finite ? NAN : is_zero ? 0 : largest / LARGEST;
        to[g].offset = -zero * sum;
    }
}

#if defined(__SSE4_1__)
/* Of the tier's registers: integers, floats, and the columns that are made at a time. */
#if defined(__AVX512BW__)
enum { LANES = 16, COLUMNS = 64 };
typedef __m512i whole;
typedef __m512 real;
#define OP(name) _mm512_##name
#define LOAD(p) _mm512_loadu_si512(p)
#define ZERO() _mm512_setzero_si512()
#define AND(a, b) _mm512_and_si512(a, b)
#define HALVES(p) _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define AS_REAL(a) _mm512_castsi512_ps(a)
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#elif defined(__AVX2__)
enum { LANES = 8, COLUMNS = 32 };
typedef __m256i whole;
typedef __m256 real;
#define OP(name) _mm256_##name
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define ZERO() _mm256_setzero_si256()
#define AND(a, b) _mm256_and_si256(a, b)
#define HALVES(p) _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define AS_REAL(a) _mm256_castsi256_ps(a)
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#else
enum { LANES = 4, COLUMNS = 16 };
typedef __m128i whole;
typedef __m128 real;
#define OP(name) _mm_##name
#define LOAD(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define ZERO() _mm_setzero_si128()
#define AND(a, b) _mm_and_si128(a, b)
#define HALVES(p) _mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p)))
#define AS_REAL(a) _mm_castsi128_ps(a)
#define MULTIPLY_ADD(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#endif
enum { VECTORS = COLUMNS / LANES };

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

#define INLINE static inline __attribute__((always_inline))

/* sum + the products of four weights (unsigned) and four digits, in each lane */
INLINE whole dot(whole sum, whole weights, whole digits)
{
    whole pairs = OP(maddubs_epi16)(weights, digits);
    return OP(add_epi32)(sum, OP(madd_epi16)(pairs, OP(set1_epi16)(1)));
}

INLINE whole four(const int8_t *digits)
{
    int32_t word;
    memcpy(&word, digits, sizeof word);
    return OP(set1_epi32)(word);
}

INLINE real scales_at(const unsigned char *scales, int column, bool wide)
{
    if (wide)
        return OP(loadu_ps)((const float *)(const void *)scales + column);
    return AS_REAL(OP(slli_epi32)(HALVES((const uint16_t *)(const void *)scales + column), 16));
}

/* y [PANEL] += a group of a row times the group of a panel */
#define GROUP_OF(name, DOT)                                                                                                      \
    INLINE void name(float *y, const struct native_coded *x, const unsigned char *w, int bits, bool wide)                        \
    {                                                                                                                            \
        const unsigned char *scales = w + GROUP * PANEL * bits / 8;                                                              \
        for (int c = 0; c < PANEL; c += COLUMNS) {                                                                               \
            whole high[VECTORS], low[VECTORS];                                                                                   \
            UNROLL for (int v = 0; v < VECTORS; v++)                                                                             \
            {                                                                                                                    \
                high[v] = ZERO();                                                                                                \
                low[v] = OP(set1_epi32)(x->offset);                                                                              \
            }                                                                                                                    \
            UNROLL for (int j = 0; j < GROUP * bits / 32; j++)                                                                   \
            {                                                                                                                    \
                int first = bits == 8 ? 4 * j : 8 * j;                                                                           \
                whole h = four(x->high + first), l = four(x->low + first);                                                       \
                UNROLL for (int v = 0; v < VECTORS; v++)                                                                         \
                {                                                                                                                \
                    whole codes = LOAD(w + (j * PANEL + c + v * LANES) * 4), mask = OP(set1_epi8)(15);                           \
                    whole lower = bits == 8 ? codes : AND(codes, mask);                                                          \
                    high[v] = DOT(high[v], lower, h);                                                                            \
                    low[v] = DOT(low[v], lower, l);                                                                              \
                    if (bits == 8)                                                                                               \
                        continue;                                                                                                \
                    whole upper = AND(OP(srli_epi16)(codes, 4), mask);                                                           \
                    high[v] = DOT(high[v], upper, four(x->high + first + 4));                                                    \
                    low[v] = DOT(low[v], upper, four(x->low + first + 4));                                                       \
                }                                                                                                                \
            }                                                                                                                    \
            UNROLL for (int v = 0; v < VECTORS; v++)                                                                             \
            {                                                                                                                    \
                float *at = y + c + v * LANES;                                                                                   \
                real sum = OP(cvtepi32_ps)(OP(add_epi32)(OP(slli_epi32)(high[v], 7), low[v]));                                   \
                real scale = OP(mul_ps)(scales_at(scales, c + v * LANES, wide), OP(set1_ps)(x->scale));                          \
                OP(storeu_ps)(at, MULTIPLY_ADD(sum, scale, OP(loadu_ps)(at)));                                                   \
            }                                                                                                                    \
        }                                                                                                                        \
    }
GROUP_OF(make_group, dot)

/* Bits and width of scales are constants where the group is made. */
#define PANEL_OF(make_group)                                                                                                     \
    int64_t step = native_coded_group_bytes(bits, wide);                                                                         \
    for (int64_t g = 0; g < n_groups; g++, panel += step) {                                                                      \
        if ((int)COLUMNS < (int)PANEL) /* a group is passed over more than once: no hardware foresees it */                      \
            for (int64_t at = 0; at < step; at += 64)                                                                            \
                __builtin_prefetch(panel + AHEAD * step + at);                                                                   \
        for (int64_t i = 0; i < m; i++) {                                                                                        \
            if (bits == 8 && !wide)                                                                                              \
                make_group(y + i * PANEL, &x[i * n_groups + g], panel, 8, false);                                                \
            else if (bits == 8)                                                                                                  \
                make_group(y + i * PANEL, &x[i * n_groups + g], panel, 8, true);                                                 \
            else if (!wide)                                                                                                      \
                make_group(y + i * PANEL, &x[i * n_groups + g], panel, 4, false);                                                \
            else                                                                                                                 \
                make_group(y + i * PANEL, &x[i * n_groups + g], panel, 4, true);                                                 \
        }                                                                                                                        \
    }

void SIMD(coded_panel)(float *y, const struct native_coded *x, int64_t m, int64_t n_groups, const unsigned char *panel, int bits,
                       bool wide)
{
    PANEL_OF(make_group)
}
#else
void SIMD(coded_panel)(float *y, const struct native_coded *x, int64_t m, int64_t n_groups, const unsigned char *panel, int bits,
                       bool wide)
{
    for (int64_t g = 0; g < n_groups; g++, panel += native_coded_group_bytes(bits, wide)) {
        const unsigned char *scales = panel + GROUP * PANEL * bits / 8;
        for (int64_t i = 0; i < m; i++) {
            const struct native_coded *row = &x[i * n_groups + g];
            for (int c = 0; c < PANEL; c++) {
                int32_t high = 0, low = row->offset;
                for (int k = 0; k < GROUP; k++) {
                    int at = bits == 8 ? k / 4 * 4 * PANEL + c * 4 + k % 4 : k / 8 * 4 * PANEL + c * 4 + k % 4;
                    int32_t code = bits == 8 ? panel[at] : panel[at] >> (k / 4 % 2 * 4) & 15;
                    high += code * row->high[k];
                    low += code * row->low[k];
                }
                uint16_t half;
                float scale;
                memcpy(&half, scales + 2 * c, sizeof half);
                uint32_t word = (uint32_t)half << 16;
                memcpy(&scale, wide ? scales + 4 * c : (const unsigned char *)&word, sizeof scale);
                y[i * PANEL + c] += (float)(high * 128 + low) * (scale * row->scale);
            }
        }
    }
}
#endif

#if defined(__AVX512BW__)
#define VNNI __attribute__((target("avx512vnni")))
#undef INLINE
#define INLINE static inline __attribute__((always_inline)) VNNI
INLINE whole dot_vnni(whole sum, whole weights, whole digits) { return _mm512_dpbusd_epi32(sum, weights, digits); }
GROUP_OF(make_group_vnni, dot_vnni)
VNNI
#endif
    void
    SIMD(coded_panel_vnni)(float *y, const struct native_coded *x, int64_t m, int64_t n_groups, const unsigned char *panel,
                           int bits, bool wide)
{
#if defined(__AVX512BW__)
    PANEL_OF(make_group_vnni)
#else
    SIMD(coded_panel)(y, x, m, n_groups, panel, bits, wide);
#endif
}
