/* SPDX-License-Identifier: Apache-2.0 */
/* Products of bf16 in pairs, on every tier that has them. Oracles: integers, which f32 sums without rounding, and the f32 loops.
 */
#include "runtime/native/simd/testing.h"

#include "base/rng.h"
#include "base/test.h"
#include "graph/dtype.h"

#include <math.h>
#include <string.h>

enum { MOST = 130 };

/* The loops of each tier; those of avx512 need what the tier above it has. */
static int find_loops(const struct native_simd *loops[NATIVE_N_ISAS])
{
    enum native_isa tiers[NATIVE_N_ISAS];
    int n = 0;
    for (int i = 0, all = testing_tiers(tiers); i < all; i++)
        if (tiers[i] < NATIVE_ISA_AVX512 || native_isa_is_here(NATIVE_ISA_AVX512_BF16))
            loops[n++] = native_simd_of(tiers[i]);
    return n;
}

static uint16_t small_integer(struct assay_rng *rng) { return assay_f32_to_bf16((float)assay_rng_below(rng, 17) - 8); }

static void check_product(const struct native_simd *simd, struct assay_rng *rng, int m, int n, int k, bool add)
{
    static uint16_t a[MOST * MOST], b[MOST * MOST];
    static uint32_t pairs[MOST * MOST];
    static float c[MOST * MOST];
    for (int i = 0; i < MOST * MOST; i++) {
        a[i] = small_integer(rng);
        b[i] = small_integer(rng);
        c[i] = (float)(i % 5);
    }
    for (int p = 0; p < k; p += 2)
        simd->pair(pairs + p / 2 * MOST, b + p * MOST, b + (p + 1) * MOST, n);
    simd->gemm_bf16(c, MOST, a, MOST, pairs, MOST, m, n, k, add);
    for (int i = 0; i < m + 1 && i < MOST; i++)
        for (int j = 0; j < MOST; j++) {
            float wanted = (float)((i * MOST + j) % 5);
            bool is_inside = i < m && j < n;
            wanted = is_inside && !add ? 0 : wanted;
            for (int p = 0; p < k && is_inside; p++)
                wanted += assay_bf16_to_f32(a[i * MOST + p]) * assay_bf16_to_f32(b[p * MOST + j]);
            CHECK_NEAR(c[i * MOST + j], wanted, 0);
        }
}

ASSAY_TEST(products_of_integers_are_exact_and_nothing_else_is_written)
{
    const struct native_simd *loops[NATIVE_N_ISAS];
    struct assay_rng rng;
    assay_rng_init(&rng, 3, 0);
    for (int t = 0, n = find_loops(loops); t < n; t++)
        for (int m = 1; m < 14; m++)
            for (int columns = 16; columns <= 128; columns += 16)
                check_product(loops[t], &rng, m, columns, 2 * m + columns % 48, m % 2);
}

ASSAY_TEST(a_row_without_a_second_is_paired_with_zeros)
{
    const struct native_simd *loops[NATIVE_N_ISAS];
    uint16_t first[37], second[37];
    uint32_t y[37];
    for (int i = 0; i < 37; i++) {
        first[i] = (uint16_t)(i * 1771);
        second[i] = (uint16_t)(65535 - i * 1771);
    }
    for (int t = 0, n = find_loops(loops); t < n; t++)
        for (int has_second = 0; has_second < 2; has_second++) {
            loops[t]->pair(y, first, has_second ? second : NULL, 37);
            for (int i = 0; i < 37; i++)
                CHECK_INT(y[i], first[i] | (has_second ? (uint32_t)second[i] << 16 : 0));
        }
}

ASSAY_TEST(probabilities_are_those_of_f32_rounded)
{
    const struct native_simd *loops[NATIVE_N_ISAS];
    struct assay_rng rng;
    assay_rng_init(&rng, 4, 0);
    for (int t = 0, n = find_loops(loops); t < n; t++)
        for (int length = 1; length < MOST; length++) {
            float x[MOST], sum[2] = {0}, most[2] = {-INFINITY, -INFINITY}, factor[2];
            uint16_t y[MOST];
            for (int part = 0; part < 3; part++) {
                for (int i = 0; i < length; i++)
                    x[i] = part == 0 || i % 7 == 3 ? -INFINITY : (float)(20 * assay_rng_uniform(&rng) - 10);
                factor[0] = loops[t]->softmax_part_bf16(y, x, length, &most[0], &sum[0]);
                factor[1] = loops[t]->softmax_part(x, length, &most[1], &sum[1]);
                for (int i = 0; i < length; i++) /* half a unit of 8 bits */
                    CHECK_NEAR(assay_bf16_to_f32(y[i]), x[i], x[i] / 256);
                CHECK_NEAR(factor[0], factor[1], 1e-6 * factor[1]); /* of another loop, compiled otherwise */
                CHECK(most[0] == most[1]);
                CHECK_NEAR(sum[0], sum[1], 1e-6 * sum[1]);
            }
        }
}

ASSAY_TEST(nan_stays_in_the_sum)
{
    const struct native_simd *loops[NATIVE_N_ISAS];
    for (int t = 0, n = find_loops(loops); t < n; t++)
        for (int others = 0; others < 2; others++) {
            float x[] = {others ? 1 : -INFINITY, NAN, others ? 2 : -INFINITY}, most = -INFINITY, sum = 0;
            uint16_t y[3];
            loops[t]->softmax_part_bf16(y, x, 3, &most, &sum);
            CHECK(isnan(sum));
        }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(products_of_integers_are_exact_and_nothing_else_is_written),
                ASSAY_TEST_ENTRY(a_row_without_a_second_is_paired_with_zeros),
                ASSAY_TEST_ENTRY(probabilities_are_those_of_f32_rounded), ASSAY_TEST_ENTRY(nan_stays_in_the_sum))
