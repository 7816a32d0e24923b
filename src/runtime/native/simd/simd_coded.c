/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of f32 rows with weights of 8 or 4 bits in groups of 32 that share a scale. Rows are coded too, as whole numbers of 16
 * bits in each group (at most 1.6e-5 of the group's largest off): then a group's sum is one of integers, which is exact, and each
 * instruction multiplies two or four times as many weights as in f32. Groups are read one after another, as they lie: prefetch
 * instructions were measured to halve the speed.
 */
#include "runtime/native/simd/simd_inside.h"

#include <math.h>

#if defined(__x86_64__) && defined(__SSE4_1__)
#include <immintrin.h>
#endif

enum { GROUP = NATIVE_CODED_GROUP, PANEL = NATIVE_CODED_PANEL, LARGEST = 127 * 256 + 127 };

void SIMD(code_rows)(struct native_coded *to, const float *x, int64_t n_groups, int32_t zero)
{
    for (int64_t g = 0; g < n_groups; g++, x += GROUP) {
        int32_t most = 0; /* magnitudes are in the order of their bits, what is not finite above all */
        _Pragma("omp simd reduction(max : most)") for (int i = 0; i < GROUP; i++)
        {
            int32_t bits = (int32_t)(simd_to_bits(x[i]) & 0x7fffffffu);
            most = bits > most ? bits : most;
        }
        if (most >= 0x7f800000) {
            to[g] = (struct native_coded){.scale = NAN};
            continue;
        }
        float largest = simd_from_bits((uint32_t)most);
        bool is_zero = !(largest > 1e-30f);
        float inverse = is_zero ? 0 : LARGEST / largest;
        int32_t q[GROUP], sum = 0; /* in a loop of its own, since lanes narrow in the next */
        _Pragma("omp simd reduction(+ : sum)") for (int i = 0; i < GROUP; i++)
        {
            q[i] = (int32_t)simd_to_bits(x[i] * inverse + SIMD_NEAREST) - 0x4b400000;
            sum += q[i];
        }
        _Pragma("omp simd") for (int i = 0; i < GROUP; i++)
        {
            int32_t high = (q[i] + 128) >> 8;
            to[g].whole[i] = (int16_t)q[i];
            to[g].high[i] = (int8_t)high;
            to[g].low[i] = (int8_t)(q[i] - high * 256);
        }
        to[g].scale = is_zero ? 0 : largest / LARGEST;
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
#define FOUR(a) _mm512_set1_epi64(a)
#define BYTES(p) _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
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
#define FOUR(a) _mm256_set1_epi64x(a)
#define BYTES(p) _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(p)))
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
#define FOUR(a) _mm_set1_epi64x(a)
#define BYTES(p) _mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)(p)))
#define HALVES(p) _mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p)))
#define AS_REAL(a) _mm_castsi128_ps(a)
#define MULTIPLY_ADD(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#endif
enum { VECTORS = COLUMNS / LANES };

#define INLINE static inline __attribute__((always_inline))

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

/* y [LANES] += sums of products times the scales of both sides */
INLINE void add_sums(float *y, whole sums, const struct native_coded *x, const unsigned char *scales, int column, bool wide)
{
    real scale = OP(mul_ps)(scales_at(scales, column, wide), OP(set1_ps)(x->scale));
    OP(storeu_ps)(y, MULTIPLY_ADD(OP(cvtepi32_ps)(sums), scale, OP(loadu_ps)(y)));
}

INLINE whole join(whole high, whole low) { return OP(add_epi32)(OP(slli_epi32)(high, 8), low); }

/* Where four products are added in 32 bits by one instruction, in each lane, digits are of all their 8 bits. */
#define GROUP_OF(name, bits, DOT)                                                                                                \
    INLINE void name(float *y, const struct native_coded *x, const unsigned char *w, bool wide)                                  \
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
                add_sums(y + c + v * LANES, join(high[v], low[v]), x, scales, c + v * LANES, wide);                              \
        }                                                                                                                        \
    }

/* Else products of 4 bits: a group's pairs of products with a digit add up to no more than 16 bits. */
INLINE void group_of_4(float *y, const struct native_coded *x, const unsigned char *w, bool wide)
{
    const unsigned char *scales = w + GROUP * PANEL / 2;
    whole mask = OP(set1_epi8)(15), ones = OP(set1_epi16)(1);
    for (int c = 0; c < PANEL; c += COLUMNS) {
        whole high[VECTORS], low[VECTORS];
        UNROLL for (int j = 0; j < GROUP / 8; j++)
        {
            whole h0 = four(x->high + 8 * j), h1 = four(x->high + 8 * j + 4);
            whole l0 = four(x->low + 8 * j), l1 = four(x->low + 8 * j + 4);
            UNROLL for (int v = 0; v < VECTORS; v++)
            {
                whole codes = LOAD(w + (j * PANEL + c + v * LANES) * 4);
                whole lower = AND(codes, mask), upper = AND(OP(srli_epi16)(codes, 4), mask);
                whole h = OP(add_epi16)(OP(maddubs_epi16)(lower, h0), OP(maddubs_epi16)(upper, h1));
                whole l = OP(add_epi16)(OP(maddubs_epi16)(lower, l0), OP(maddubs_epi16)(upper, l1));
                high[v] = j ? OP(add_epi16)(high[v], h) : h;
                low[v] = j ? OP(add_epi16)(low[v], l) : l;
            }
        }
        UNROLL for (int v = 0; v < VECTORS; v++)
        {
            whole sums = join(OP(madd_epi16)(high[v], ones), OP(madd_epi16)(low[v], ones));
            add_sums(y + c + v * LANES, OP(add_epi32)(sums, OP(set1_epi32)(x->offset)), x, scales, c + v * LANES, wide);
        }
    }
}

/* Sums of neighbours, of a and then of b. */
INLINE whole add_pairs(whole a, whole b)
{
#if defined(__AVX512BW__)
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_add_epi32(_mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(a, odd, b));
#elif defined(__AVX2__)
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xd8);
#else
    return _mm_hadd_epi32(a, b);
#endif
}

/* And of 8 bits: times the whole number, in pairs. */
INLINE void group_of_8(float *y, const struct native_coded *x, const unsigned char *w, bool wide)
{
    enum { AT_A_TIME = 2 * VECTORS };
    const unsigned char *scales = w + GROUP * PANEL;
    for (int c = 0; c < PANEL; c += COLUMNS) {
        whole sums[AT_A_TIME]; /* two of each column */
        UNROLL for (int j = 0; j < GROUP / 4; j++)
        {
            int64_t digits;
            memcpy(&digits, x->whole + 4 * j, sizeof digits);
            whole four_digits = FOUR(digits);
            UNROLL for (int v = 0; v < AT_A_TIME; v++)
            {
                whole products = OP(madd_epi16)(BYTES(w + (j * PANEL + c) * 4 + v * LANES * 2), four_digits);
                sums[v] = j ? OP(add_epi32)(sums[v], products) : products;
            }
        }
        UNROLL for (int v = 0; v < VECTORS; v++)
        {
            whole sum = OP(add_epi32)(add_pairs(sums[2 * v], sums[2 * v + 1]), OP(set1_epi32)(x->offset));
            add_sums(y + c + v * LANES, sum, x, scales, c + v * LANES, wide);
        }
    }
}

/* Bits and width of scales are constants where the group is made. The usual 4 bits have a loop of their own: beside the others
 * the compiler loads for all of them ahead of the choice, and spills. */
#define PANEL_OF(make_8, make_4)                                                                                                 \
    int64_t step = native_coded_group_bytes(bits, wide);                                                                         \
    bool is_usual = bits == 4 && !wide;                                                                                          \
    for (int64_t g = 0; is_usual && g < n_groups; g++, panel += step)                                                            \
        for (int64_t i = 0; i < m; i++)                                                                                          \
            make_4(y + i * PANEL, &x[i * n_groups + g], panel, false);                                                           \
    for (int64_t g = 0; !is_usual && g < n_groups; g++, panel += step) {                                                         \
        for (int64_t i = 0; i < m; i++) {                                                                                        \
            if (bits == 8 && !wide)                                                                                              \
                make_8(y + i * PANEL, &x[i * n_groups + g], panel, false);                                                       \
            else if (bits == 8)                                                                                                  \
                make_8(y + i * PANEL, &x[i * n_groups + g], panel, true);                                                        \
            else                                                                                                                 \
                make_4(y + i * PANEL, &x[i * n_groups + g], panel, true);                                                        \
        }                                                                                                                        \
    }

void SIMD(coded_panel)(float *y, const struct native_coded *x, int64_t m, int64_t n_groups, const unsigned char *panel, int bits,
                       bool wide)
{
    PANEL_OF(group_of_8, group_of_4)
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
                int32_t sum = row->offset;
                for (int k = 0; k < GROUP; k++) {
                    int at = bits == 8 ? k / 4 * 4 * PANEL + c * 4 + k % 4 : k / 8 * 4 * PANEL + c * 4 + k % 4;
                    int32_t code = bits == 8 ? panel[at] : panel[at] >> (k / 4 % 2 * 4) & 15;
                    sum += code * row->whole[k];
                }
                uint16_t half;
                float scale;
                memcpy(&half, scales + 2 * c, sizeof half);
                uint32_t word = (uint32_t)half << 16;
                memcpy(&scale, wide ? scales + 4 * c : (const unsigned char *)&word, sizeof scale);
                y[i * PANEL + c] += (float)sum * (scale * row->scale);
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
GROUP_OF(group_of_8_vnni, 8, dot_vnni)
GROUP_OF(group_of_4_vnni, 4, dot_vnni)
VNNI
#endif
    void
    SIMD(coded_panel_vnni)(float *y, const struct native_coded *x, int64_t m, int64_t n_groups, const unsigned char *panel,
                           int bits, bool wide)
{
#if defined(__AVX512BW__)
    PANEL_OF(group_of_8_vnni, group_of_4_vnni)
#else
    SIMD(coded_panel)(y, x, m, n_groups, panel, bits, wide);
#endif
}
