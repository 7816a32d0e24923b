/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/dropout.h"
#include "graph/ops/fixture.h"

/* From the definition, with plain remainders. */
static uint64_t slow_mix(uint64_t x)
{
    uint64_t p = ASSAY_DROPOUT_PRIME, y = 1;
    for (int i = 0; i < 5; i++)
        y = y * (x % p) % p;
    return y;
}

ASSAY_TEST(the_hash_is_that_of_its_definition)
{
    static const int64_t seeds[] = {0, 1, 42, INT64_MAX, INT64_MIN, -1, (int64_t)1 << 31, 123456789012345};
    uint64_t p = ASSAY_DROPOUT_PRIME;
    for (size_t k = 0; k < ASSAY_COUNT(seeds); k++) {
        int64_t stream = (int64_t)k * 1000000007 - 3;
        struct assay_dropout d = assay_dropout_make(seeds[k], stream, 0.3);
        uint64_t s = (uint64_t)seeds[k] & (((uint64_t)1 << 62) - 1),
                 t = (uint64_t)((stream % (int64_t)p + (int64_t)p) % (int64_t)p);
        CHECK_INT(d.k1, slow_mix(slow_mix(s % p + 1013904223) + t));
        CHECK_INT(d.k2, slow_mix(d.k1 + s / p % p + 12345));
        for (uint64_t i = 0; i < 200; i++) {
            uint64_t place = i < 100 ? i : i * 92233720368547 + 1;
            CHECK_INT(assay_dropout_keeps(&d, place), slow_mix(slow_mix(place % p + d.k1) + d.k2) >= d.threshold);
        }
    }
}

/* Masks of many seeds and streams: as many dropped as asked for, neighbours and masks independent. Bounds of five standard
 * deviations of what independent draws would give. */
ASSAY_TEST(masks_look_random)
{
    enum { N = 20000 };
    double ratio = 0.25, deviation = sqrt(0.25 * 0.75 * N), pair = ratio * ratio, pair_deviation = sqrt(pair * (1 - pair) * N);
    static uint8_t kept[N], before[N];
    for (int k = 0; k < 30; k++) {
        struct assay_dropout d = assay_dropout_make(1000 + k / 3, k % 3, ratio);
        int n = 0, n_neighbours = 0, n_both = 0, n_far = 0;
        for (int i = 0; i < N; i++)
            n += kept[i] = (uint8_t)assay_dropout_keeps(&d, (uint64_t)i);
        for (int i = 0; i < N; i++) {
            n_neighbours += !kept[i] && !kept[(i + 1) % N];
            n_far += !kept[i] && !kept[(i + 768) % N];
            n_both += !kept[i] && !before[i];
        }
        CHECK(fabs((double)n - 0.75 * N) < 5 * deviation);
        CHECK(fabs((double)n_neighbours - pair * N) < 5 * pair_deviation);
        CHECK(fabs((double)n_far - pair * N) < 5 * pair_deviation);
        CHECK(k == 0 || fabs((double)n_both - pair * N) < 5 * pair_deviation);
        memcpy(before, kept, sizeof kept);
    }
}

ASSAY_TEST(dropout_has_a_gradient_and_the_same_mask_in_standard_ops)
{
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct probe p;
        probe_init(&p, seed);
        static const double seeds[] = {0, 7, -5, 4503599627370497, -4503599627370497, 2147483647};
        int x = probe_input(&p, seed & 1 ? "3,4,5" : "70", 1, 2);
        int y = e_own(&p.e, "Dropout", E_VALUES(x, probe_constant(&p, ASSAY_I64, seed & 2 ? "" : "1", &seeds[seed])));
        e_set_float(&p.e, "ratio", seed == 5 ? 0 : 0.4);
        e_set_int(&p.e, "stream", (int64_t)seed - 2);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(what_is_kept_grows_by_what_is_dropped)
{
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_F64, ASSAY_BF16};
    struct assay_dropout d = assay_dropout_make(3, 9, 0.5);
    double x[100];
    for (int i = 0; i < 100; i++)
        x[i] = i + 1;
    for (size_t k = 0; k < ASSAY_COUNT(dtypes); k++) {
        struct fixture f;
        fixture_init(&f, "Dropout");
        f.node.domain = "assay";
        fixture_float(&f, "ratio", 0.5F);
        fixture_int(&f, "stream", 9);
        fixture_input(&f, dtypes[k], "100", x);
        fixture_input(&f, ASSAY_I64, "", VALUES(3));
        CHECK_OK(fixture_run(&f), f.err);
        for (int i = 0; i < 100; i++)
            CHECK_NEAR(assay_tensor_real(&f.results[0], i), assay_dropout_keeps(&d, (uint64_t)i) ? 2 * x[i] : 0, 0);
        fixture_release(&f);
    }
}

ASSAY_TEST(a_ratio_that_leaves_nothing_is_refused)
{
    static const float ratios[] = {1, -0.5F, NAN};
    for (size_t k = 0; k < ASSAY_COUNT(ratios); k++) {
        struct fixture f;
        fixture_init(&f, "Dropout");
        f.node.domain = "assay";
        fixture_float(&f, "ratio", ratios[k]);
        fixture_input(&f, ASSAY_F32, "1", VALUES(1));
        fixture_input(&f, ASSAY_I64, "", VALUES(3));
        CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "[0, 1)");
        fixture_release(&f);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(the_hash_is_that_of_its_definition), ASSAY_TEST_ENTRY(masks_look_random),
                ASSAY_TEST_ENTRY(dropout_has_a_gradient_and_the_same_mask_in_standard_ops),
                ASSAY_TEST_ENTRY(what_is_kept_grows_by_what_is_dropped), ASSAY_TEST_ENTRY(a_ratio_that_leaves_nothing_is_refused))
