/* SPDX-License-Identifier: Apache-2.0 */
/* The loops that are no vector operations: products, parts of attention, taps, codes; against sums in double and scalar code. */
#include "runtime/native/simd/testing.h"

#include "base/rng.h"
#include "base/test.h"
#include "graph/dtype.h"

#include <stdbool.h>
#include <stdint.h>

enum { N = 1003 /* every loop has a rest */ };

static void randomize(float *x, int n, uint64_t seed)
{
    struct assay_rng rng;
    assay_rng_init(&rng, seed, (uint64_t)n);
    for (int i = 0; i < n; i++)
        x[i] = (float)assay_rng_normal(&rng);
}

static void randomize_bf16(uint16_t *x, int n, uint64_t seed)
{
    struct assay_rng rng;
    assay_rng_init(&rng, seed, (uint64_t)n);
    for (int i = 0; i < n; i++)
        x[i] = assay_f32_to_bf16((float)assay_rng_normal(&rng));
}

/* What n additions in f32, in any order, may be off by, where the magnitudes add up to `sum`. */
static double rounding(int n, double sum) { return (n + 1) * 0x1p-24 * sum; }

/* ---- products */

enum { ROWS = 13, COLUMNS = 150, DEPTH = 70 };

ASSAY_TEST(a_product_of_any_shape_is_that_of_double)
{
    static const int shapes[][3] = {{1, 1, 1},     {1, 64, 70}, {6, 64, 17}, {7, 16, 2},
                                    {13, 150, 70}, {4, 4, 4},   {5, 37, 33}, {2, 129, 3}};
    static float a[ROWS * DEPTH], b[DEPTH * COLUMNS], c[ROWS * COLUMNS], before[ROWS * COLUMNS];
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    randomize(a, ROWS * DEPTH, 1);
    randomize(b, DEPTH * COLUMNS, 2);
    randomize(before, ROWS * COLUMNS, 3);
    for (int t = 0; t < n_tiers; t++)
        for (int s = 0; s < 16; s++) {
            int m = shapes[s / 2][0], n = shapes[s / 2][1], k = shapes[s / 2][2], add = s % 2;
            memcpy(c, before, sizeof c);
            native_simd_of(tiers[t])->gemm(c, COLUMNS, a, DEPTH, b, COLUMNS, m, n, k, add);
            for (int i = 0; i < ROWS; i++)
                for (int j = 0; j < COLUMNS; j++) {
                    double was = (double)before[i * COLUMNS + j], wanted = add ? was : 0, size = fabs(wanted);
                    for (int p = 0; p < k; p++) {
                        double term = (double)a[i * DEPTH + p] * (double)b[p * COLUMNS + j];
                        wanted += term;
                        size += fabs(term);
                    }
                    if (i < m && j < n)
                        CHECK_NEAR(c[i * COLUMNS + j], wanted, rounding(k, size));
                    else
                        CHECK((double)c[i * COLUMNS + j] == was);
                }
        }
}

/* With blocks of the sum, part of the rows of the panels, bias, residual and bounds, or none of these. */
ASSAY_TEST(a_filter_s_rows_are_those_of_double)
{
    enum { POINTS = 28, STEP = 90, MOST = 2 * COLUMNS, DEEP = 300, SKIP = 3 };
    static float a[POINTS * STEP + DEEP], panels[MOST * DEEP], bias[MOST], residual[POINTS * MOST], y[POINTS * MOST];
    static const int shapes[][3] = {{1, 7, 1}, {28, 16, 16}, {5, 24, 90}, {27, 96, 33}, {13, 129, 280}, {9, 64, 256}, {7, 50, 9}};
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    randomize(a, (int)ASSAY_COUNT(a), 4);
    randomize(panels, MOST * DEEP, 5);
    randomize(bias, MOST, 6);
    randomize(residual, POINTS * MOST, 7);
    for (int t = 0; t < n_tiers; t++)
        for (int s = 0; s < 2 * (int)ASSAY_COUNT(shapes); s++) {
            int m = shapes[s / 2][0], n = shapes[s / 2][1], k = shapes[s / 2][2];
            bool more = s % 2;
            struct native_filter f = {.panels = panels, .lda = STEP, .k = k, .n = n, .low = -INFINITY, .high = INFINITY};
            f.depth = more ? DEEP : k;
            f.skip = more ? SKIP : 0;
            f.bias = more ? bias : NULL;
            f.low = more ? -1 : -INFINITY;
            f.high = more ? 2 : INFINITY;
            y[m * n] = 17;
            native_simd_of(tiers[t])->filter(&f, y, a, more ? residual : NULL, m);
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++) {
                    int panel = j / 64 * 64, width = n - panel < 64 ? (n - panel + 15) / 16 * 16 : 64;
                    double wanted = more ? (double)bias[j] + (double)residual[i * n + j] : 0, size = fabs(wanted) + 2;
                    for (int p = 0; p < k; p++) {
                        double term =
                            (double)a[i * STEP + p] * (double)panels[panel * f.depth + (f.skip + p) * width + j - panel];
                        wanted += term;
                        size += fabs(term);
                    }
                    CHECK_NEAR(y[i * n + j], fmin(fmax(wanted, (double)f.low), (double)f.high), rounding(k + 2, size));
                }
            CHECK(y[m * n] == 17);
        }
}

ASSAY_TEST(a_filter_keeps_what_is_not_a_number)
{
    float a[2] = {NAN, 1}, panels[16] = {1}, y[2];
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    struct native_filter f = {.panels = panels, .lda = 1, .k = 1, .n = 1, .depth = 1, .low = 0, .high = 6};
    for (int t = 0; t < n_tiers; t++) {
        native_simd_of(tiers[t])->filter(&f, y, a, NULL, 2);
        CHECK(isnan(y[0]) && y[1] == 1);
    }
}

ASSAY_TEST(a_product_with_pairs_of_bf16_is_that_of_double)
{
    enum { WIDTH = 192 };
    static float a[ROWS * DEPTH], c[ROWS * WIDTH];
    static uint16_t b[DEPTH * WIDTH];
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    randomize(a, ROWS * DEPTH, 4);
    randomize_bf16(b, DEPTH * WIDTH, 5);
    for (int t = 0; t < n_tiers; t++)
        for (int m = 1; m <= 9; m++)
            for (int n = 64; n <= WIDTH; n += 64) {
                native_simd_of(tiers[t])->gemm_pairs(c, WIDTH, a, DEPTH, b, WIDTH, m, n, DEPTH);
                for (int i = 0; i < m; i++)
                    for (int j = 0; j < n; j++) {
                        double wanted = 0, size = 0;
                        for (int p = 0; p < DEPTH; p++) {
                            double term =
                                (double)a[i * DEPTH + p] * (double)assay_bf16_to_f32(b[(p / 2 * WIDTH + j) * 2 + p % 2]);
                            wanted += term;
                            size += fabs(term);
                        }
                        CHECK_NEAR(c[i * WIDTH + j], wanted, rounding(DEPTH, size));
                    }
            }
}

ASSAY_TEST(a_product_of_integers_is_exact)
{
    enum { K = 518, MOST_N = 75, ROOM = 96, MOST_M = 9 };
    static int16_t a[MOST_M * K], b[MOST_N * K], panels[ROOM * K];
    static int32_t c[MOST_M * ROOM];
    static const int widths[] = {1, 16, 17, 33, 64, MOST_N};
    struct assay_rng rng;
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    assay_rng_init(&rng, 6, 6);
    for (int i = 0; i < MOST_M * K; i++) /* numbers where 16-bit sums would saturate among them */
        a[i] = (int16_t)(i % K < 100 ? 255 : (int)assay_rng_below(&rng, 511) - 255);
    for (int i = 0; i < MOST_N * K; i++)
        b[i] = (int16_t)(i % K < 100 ? -255 : (int)assay_rng_below(&rng, 511) - 255);
    for (size_t v = 0; v < ASSAY_COUNT(widths); v++)
        for (int m = 1; m <= MOST_M; m += 2) {
            int n = widths[v], k = m > 4 ? K : 6;
            memset(panels, 0, sizeof panels);
            for (int j = 0; j < n; j++)
                for (int i = 0; i < k; i++)
                    panels[native_pairs_place(i, j, k, n)] = b[j * K + i];
            for (int t = 0; t < n_tiers; t++) {
                native_simd_of(tiers[t])->product_i16(c, ROOM, a, K, panels, m, n, k);
                for (int i = 0; i < m; i++)
                    for (int j = 0; j < n; j++) {
                        int32_t wanted = 0;
                        for (int p = 0; p < k; p++)
                            wanted += a[i * K + p] * b[j * K + p];
                        CHECK_INT(c[i * ROOM + j], wanted);
                    }
            }
        }
}

ASSAY_TEST(weighed_points_are_exact_sums)
{
    enum { POINTS = 11, TAPS = 9, WIDTH = 48, STEP = 2 * WIDTH };
    static float x[TAPS * POINTS * STEP], w[TAPS * WIDTH];
    static int32_t y[POINTS * WIDTH];
    const float *at[TAPS];
    struct assay_rng rng;
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    assay_rng_init(&rng, 6, 7);
    for (size_t i = 0; i < ASSAY_COUNT(x); i++)
        x[i] = (float)((int)assay_rng_below(&rng, 511) - 255);
    for (size_t i = 0; i < ASSAY_COUNT(w); i++)
        w[i] = (float)((int)assay_rng_below(&rng, 511) - 255);
    for (int t = 0; t < TAPS; t++)
        at[t] = x + t * POINTS * STEP;
    for (int t = 0; t < n_tiers; t++) {
        native_simd_of(tiers[t])->weigh_points(y, at, STEP, w, TAPS, WIDTH, POINTS);
        for (int p = 0; p < POINTS; p++)
            for (int i = 0; i < WIDTH; i++) {
                double wanted = 0;
                for (int tap = 0; tap < TAPS; tap++)
                    wanted += (double)at[tap][p * STEP + i] * (double)w[tap * WIDTH + i];
                CHECK_INT(y[p * WIDTH + i], (int32_t)wanted);
            }
    }
}

/* ---- parts of attention */

ASSAY_TEST(softmax_in_parts_is_that_of_the_whole_row)
{
    static float x[N], y[N];
    static const int parts[] = {1, 7, 64, 500, N};
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    randomize(x, N, 7);
    for (int i = 0; i < N; i++)
        x[i] = i < 80 ? -INFINITY : x[i] * 20; /* the first parts are masked as a whole */
    double most = -INFINITY, wanted = 0;
    for (int i = 0; i < N; i++)
        most = fmax(most, (double)x[i]);
    for (int i = 0; i < N; i++)
        wanted += exp((double)x[i] - most);
    for (int t = 0; t < n_tiers; t++)
        for (int p = 0; p < 5; p++) {
            float max = -INFINITY, sum = 0;
            memcpy(y, x, sizeof y);
            for (int i = 0; i < N; i += parts[p]) {
                int n = N - i < parts[p] ? N - i : parts[p];
                float factor = native_simd_of(tiers[t])->softmax_part(y + i, n, &max, &sum);
                for (int j = 0; j < i; j++)
                    y[j] *= factor;
            }
            CHECK(max == (float)most);
            CHECK_NEAR(sum, wanted, 1e-5 * wanted);
            for (int i = 0; i < N; i++)
                CHECK_NEAR(y[i], exp((double)x[i] - most), 1e-5 * exp((double)x[i] - most) + 1e-30);
        }
}

ASSAY_TEST(masks_hide_and_rotations_turn)
{
    static float x[N], mask[N], y[N], cosine[N / 2], sine[N / 2];
    static unsigned char keep[N];
    int half = N / 2;
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    randomize(x, N, 8);
    for (int i = 0; i < N; i++) {
        keep[i] = i % 3 != 0;
        mask[i] = keep[i] ? 0.5f : -INFINITY;
    }
    for (int i = 0; i < half; i++) {
        cosine[i] = cosf((float)i);
        sine[i] = sinf((float)i);
    }
    for (int t = 0; t < n_tiers; t++) {
        const struct native_simd *simd = native_simd_of(tiers[t]);
        memcpy(y, x, sizeof y);
        simd->mask_add(y, mask, N);
        for (int i = 0; i < N; i++)
            CHECK(y[i] == x[i] + mask[i]);
        memcpy(y, x, sizeof y);
        simd->mask_keep(y, keep, N);
        for (int i = 0; i < N; i++)
            CHECK(y[i] == (keep[i] ? x[i] : -INFINITY));
        simd->rotate_halves(y, x, cosine, sine, half);
        for (int i = 0; i < half; i++) {
            double a = (double)x[i], b = (double)x[half + i], c = (double)cosine[i], s = (double)sine[i];
            CHECK_NEAR(y[i], a * c - b * s, rounding(2, fabs(a) + fabs(b)));
            CHECK_NEAR(y[half + i], a * s + b * c, rounding(2, fabs(a) + fabs(b)));
        }
    }
}

/* ---- points */

enum { TAPS = 9 };

/* Tap t of both element types has the same value at i. */
static float tap_values[TAPS * N];
static uint16_t tap_halves[TAPS * N];

static void make_taps(const float **taps, const uint16_t **halves)
{
    randomize_bf16(tap_halves, TAPS * N, 9);
    for (int i = 0; i < TAPS * N; i++)
        tap_values[i] = assay_bf16_to_f32(tap_halves[i]);
    for (int t = 0; t < TAPS; t++) {
        taps[t] = tap_values + t * N;
        halves[t] = tap_halves + t * N;
    }
}

ASSAY_TEST(the_greatest_of_taps_is_exact_and_nan_is_above_all)
{
    static float y[N];
    const float *taps[TAPS];
    const uint16_t *halves[TAPS];
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    make_taps(taps, halves);
    tap_halves[4 * N + 7] = 0x7fc0;
    tap_values[4 * N + 7] = NAN;
    for (int t = 0; t < n_tiers; t++)
        for (int n_taps = 1; n_taps <= TAPS; n_taps++)
            for (int bf16 = 0; bf16 < 2; bf16++) {
                if (bf16)
                    native_simd_of(tiers[t])->max_taps_bf16(y, halves, n_taps, N);
                else
                    native_simd_of(tiers[t])->max_taps(y, taps, n_taps, N);
                for (int i = 0; i < N; i++) {
                    float most = taps[0][i];
                    for (int tap = 1; tap < n_taps; tap++)
                        most = fmaxf(most, taps[tap][i]);
                    CHECK(i == 7 && n_taps > 4 ? isnan(y[i]) : y[i] == most);
                }
            }
}

ASSAY_TEST(sums_and_affine_maps_of_points_are_those_of_double)
{
    static float y[N], z[N], scale[N], shift[N];
    const float *taps[TAPS];
    const uint16_t *halves[TAPS];
    float weight[TAPS];
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    make_taps(taps, halves);
    randomize(weight, TAPS, 10);
    randomize(scale, N, 11);
    randomize(shift, N, 12);
    for (int t = 0; t < n_tiers; t++)
        for (int n_taps = 1; n_taps <= TAPS; n_taps++)
            for (int bf16 = 0; bf16 < 2; bf16++) {
                const struct native_simd *simd = native_simd_of(tiers[t]);
                memcpy(z, shift, sizeof z);
                if (bf16) {
                    simd->weigh_taps_bf16(y, halves, weight, n_taps, N);
                    simd->add_points_bf16(z, tap_halves, n_taps, N, N);
                } else {
                    simd->weigh_taps(y, taps, weight, n_taps, N);
                    simd->add_points(z, tap_values, n_taps, N, N);
                }
                for (int i = 0; i < N; i++) {
                    double weighed = 0, added = (double)shift[i], weighed_size = 0, added_size = fabs(added);
                    for (int tap = 0; tap < n_taps; tap++) {
                        double v = (double)taps[tap][i], w = (double)weight[tap];
                        weighed += v * w;
                        weighed_size += fabs(v * w);
                        added += v;
                        added_size += fabs(v);
                    }
                    CHECK_NEAR(y[i], weighed, rounding(n_taps, weighed_size));
                    CHECK_NEAR(z[i], added, rounding(n_taps, added_size));
                }
                if (bf16)
                    simd->affine_bf16(y, tap_halves, scale, shift, N);
                else
                    simd->affine(y, tap_values, scale, shift, N);
                for (int i = 0; i < N; i++) {
                    double product = (double)tap_values[i] * (double)scale[i], added = (double)shift[i];
                    CHECK_NEAR(y[i], product + added, rounding(2, fabs(product) + fabs(added)));
                }
            }
}

ASSAY_TEST(a_reduction_into_a_row_is_exact_and_keeps_nan)
{
    static float x[N], y[N], before[N];
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    randomize(x, N, 13);
    randomize(before, N, 14);
    x[3] = NAN;
    before[N - 2] = NAN;
    for (int t = 0; t < n_tiers; t++)
        for (int how = NATIVE_SUM; how <= NATIVE_MIN; how++) {
            memcpy(y, before, sizeof y);
            native_simd_of(tiers[t])->reduce_into(y, x, N, (enum native_reduction)how);
            for (int i = 0; i < N; i++) {
                float v = x[i], w = before[i];
                if (i == 3 || i == N - 2) {
                    CHECK(isnan(y[i]));
                    continue;
                }
                double square = (double)v * (double)v;
                if (how == NATIVE_SUM_SQUARES)
                    CHECK_NEAR(y[i], (double)w + square, rounding(2, fabs((double)w) + square));
                else
                    CHECK(y[i] == (how == NATIVE_SUM       ? w + v
                                   : how == NATIVE_SUM_ABS ? w + fabsf(v)
                                   : how == NATIVE_MAX     ? fmaxf(v, w)
                                                           : fminf(v, w)));
            }
        }
}

/* ---- codes */

/* QuantizeLinear's: to nearest even, then the zero point, saturated; NaN is the lower bound here. */
static int code_of(float v, int zero, int least, int most)
{
    double code = isnan(v) ? least : nearbyint((double)v) + zero;
    return (int)fmin(fmax(code, least), most);
}

ASSAY_TEST(codes_of_8_bits_are_exact_ties_and_bounds_included)
{
    static float x[N], y[N], factor[N];
    static int32_t sums[N], add[N];
    static uint8_t u[N];
    static int8_t s[N];
    const float scale = 0.25f;
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    for (int i = 0; i < N; i++) {
        x[i] = (float)(i - N / 2) * 0.125f; /* each second one is a tie */
        sums[i] = (i - N / 2) * 1000003;
        add[i] = 7 * i;
        factor[i] = 1e-6f + 1e-9f * (float)i;
    }
    x[0] = INFINITY, x[1] = -INFINITY, x[2] = NAN, x[3] = 3e38f;
    for (int t = 0; t < n_tiers; t++) {
        const struct native_simd *simd = native_simd_of(tiers[t]);
        for (int zero = -3; zero <= 120; zero += 41) {
            simd->quantize_u8(u, x, scale, zero, N);
            simd->quantize_i8(s, x, scale, zero, N);
            for (int i = 0; i < N; i++) {
                CHECK_INT(u[i], code_of(x[i] / scale, zero, 0, 255));
                CHECK_INT(s[i], code_of(x[i] / scale, zero, -128, 127));
            }
            simd->dequantize_u8(y, u, scale, zero, N);
            for (int i = 0; i < N; i++)
                CHECK(y[i] == (float)(u[i] - zero) * scale);
            simd->dequantize_i8(y, s, scale, zero, N);
            for (int i = 0; i < N; i++)
                CHECK(y[i] == (float)(s[i] - zero) * scale);
            simd->requantize_u8(u, sums, factor, add, zero, N);
            simd->requantize_i8(s, sums, factor, add, zero, N);
            simd->scale_sums(y, sums, factor, add, N);
            for (int i = 0; i < N; i++) {
                float wanted = (float)(sums[i] + add[i]) * factor[i];
                CHECK(y[i] == wanted);
                CHECK_INT(u[i], code_of(wanted, zero, 0, 255));
                CHECK_INT(s[i], code_of(wanted, zero, -128, 127));
            }
        }
    }
}

ASSAY_TEST(rows_convert_to_bf16_and_back_like_the_scalar_functions)
{
    static float x[N], back[N];
    static uint16_t halves[N];
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    randomize(x, N, 15);
    x[0] = NAN, x[1] = INFINITY, x[2] = -INFINITY, x[3] = 3.4e38f, x[4] = 1e-40f, x[5] = -0.0f;
    x[6] = assay_f32_from_bits(0x3f808000u), x[7] = assay_f32_from_bits(0x3f818000u); /* ties */
    x[8] = assay_f32_from_bits(0x7f800001u);                                          /* a NaN whose high half is infinity's */
    for (int t = 0; t < n_tiers; t++) {
        native_simd_of(tiers[t])->to_bf16(halves, x, N);
        native_simd_of(tiers[t])->from_bf16(back, halves, N);
        for (int i = 0; i < N; i++) {
            uint16_t wanted = assay_f32_to_bf16(x[i]);
            CHECK(isnan(x[i]) ? isnan(back[i]) : halves[i] == wanted);
            CHECK(isnan(x[i]) || back[i] == assay_bf16_to_f32(wanted));
        }
    }
}

/* ---- activations */

ASSAY_TEST(activations_are_those_of_the_operations)
{
    static float x[N], y[N], wanted[N];
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    randomize(x, N, 16);
    for (int i = 0; i < N; i++)
        x[i] *= 4;
    for (int t = 0; t < n_tiers; t++) {
        const struct native_simd *simd = native_simd_of(tiers[t]);
        const struct {
            void (*function)(float *y, const float *x, int64_t n);
            enum native_vector_op op;
        } pairs[] = {{simd->relu, NATIVE_V_RELU},
                     {simd->sigmoid, NATIVE_V_SIGMOID},
                     {simd->tanh, NATIVE_V_TANH},
                     {simd->exp, NATIVE_V_EXP},
                     {simd->erf, NATIVE_V_ERF},
                     {simd->gelu, NATIVE_V_GELU},
                     {simd->gelu_tanh, NATIVE_V_GELU_TANH}};
        char *at[] = {(char *)x, (char *)wanted};
        for (size_t p = 0; p < sizeof pairs / sizeof *pairs + 2; p++) {
            bool is_pair = p < sizeof pairs / sizeof *pairs, is_swish = p == sizeof pairs / sizeof *pairs;
            struct native_vector op = {.op = is_pair    ? pairs[p].op
                                             : is_swish ? NATIVE_V_SWISH
                                                        : NATIVE_V_LINEAR,
                                       .y = 1,
                                       .x = {0, -1, -1},
                                       .a = 1.5f,
                                       .b = 2.5f};
            simd->vector(&op, 1, at, N);
            if (is_pair)
                pairs[p].function(y, x, N);
            else if (is_swish)
                simd->swish(y, x, 1.5f, N);
            else
                simd->linear(y, x, N, 1.5f, 2.5f);
            for (int i = 0; i < N; i++) /* the compiler may contract the same expression otherwise */
                CHECK_NEAR(y[i], wanted[i], 1e-6 * fabs((double)wanted[i]) + 4e-7);
        }
    }
}

ASSAY_TEST(a_cell_of_an_lstm_is_that_of_its_formulas)
{
    enum { UNITS = 19 };
    float gates[4 * UNITS], c[UNITS], h[UNITS], old[UNITS];
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    randomize(gates, 4 * UNITS, 17);
    randomize(old, UNITS, 18);
    for (int t = 0; t < n_tiers; t++) {
        memcpy(c, old, sizeof c);
        native_simd_of(tiers[t])->lstm_cell(h, c, gates, UNITS);
        for (int i = 0; i < UNITS; i++) {
            double in = 1 / (1 + exp(-gates[i])), out = 1 / (1 + exp(-gates[UNITS + i])),
                   forget = 1 / (1 + exp(-gates[2 * UNITS + i]));
            double next = forget * old[i] + in * tanh(gates[3 * UNITS + i]);
            CHECK_NEAR(c[i], next, 1e-6);
            CHECK_NEAR(h[i], out * tanh(next), 1e-6);
        }
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_cell_of_an_lstm_is_that_of_its_formulas),
                ASSAY_TEST_ENTRY(a_product_of_any_shape_is_that_of_double), ASSAY_TEST_ENTRY(a_filter_s_rows_are_those_of_double),
                ASSAY_TEST_ENTRY(a_filter_keeps_what_is_not_a_number),
                ASSAY_TEST_ENTRY(a_product_with_pairs_of_bf16_is_that_of_double),
                ASSAY_TEST_ENTRY(a_product_of_integers_is_exact), ASSAY_TEST_ENTRY(weighed_points_are_exact_sums),
                ASSAY_TEST_ENTRY(softmax_in_parts_is_that_of_the_whole_row), ASSAY_TEST_ENTRY(masks_hide_and_rotations_turn),
                ASSAY_TEST_ENTRY(the_greatest_of_taps_is_exact_and_nan_is_above_all),
                ASSAY_TEST_ENTRY(sums_and_affine_maps_of_points_are_those_of_double),
                ASSAY_TEST_ENTRY(a_reduction_into_a_row_is_exact_and_keeps_nan),
                ASSAY_TEST_ENTRY(codes_of_8_bits_are_exact_ties_and_bounds_included),
                ASSAY_TEST_ENTRY(rows_convert_to_bf16_and_back_like_the_scalar_functions),
                ASSAY_TEST_ENTRY(activations_are_those_of_the_operations))
