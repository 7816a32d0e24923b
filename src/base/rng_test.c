/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include "base/test.h"

ASSAY_TEST(philox_gives_the_known_answers_of_its_authors)
{
    /* Random123's kat_vectors, philox4x32 with 10 rounds. */
    static const struct {
        uint32_t counter[4], key[2], wanted[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        assay_rng_philox(known[i].counter, known[i].key, out);
        CHECK(memcmp(out, known[i].wanted, sizeof out) == 0);
    }
}

ASSAY_TEST(uniform_normal_and_exponential_have_their_moments)
{
    enum { N = 200000 };
    struct assay_rng rng;
    assay_rng_init(&rng, 1, assay_rng_stream("moments"));
    double u = 0, z = 0, z2 = 0, e = 0;
    for (int i = 0; i < N; i++) {
        double x = assay_rng_uniform(&rng), y = assay_rng_normal(&rng);
        CHECK(x >= 0 && x < 1);
        u += x, z += y, z2 += y * y, e += assay_rng_exponential(&rng);
    }
    /* Five standard errors. */
    CHECK_NEAR(u / N, 0.5, 5 * sqrt(1 / 12. / N));
    CHECK_NEAR(z / N, 0, 5 * sqrt(1. / N));
    CHECK_NEAR(z2 / N, 1, 5 * sqrt(2. / N));
    CHECK_NEAR(e / N, 1, 5 * sqrt(1. / N));
}

ASSAY_TEST(below_is_uniform_and_in_range)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 2, 0);
    int counts[7] = {0};
    for (int i = 0; i < 70000; i++)
        counts[assay_rng_below(&rng, 7)]++;
    double chi2 = 0;
    for (int i = 0; i < 7; i++)
        chi2 += (counts[i] - 1e4) * (counts[i] - 1e4) / 1e4;
    CHECK(chi2 < 22.5); /* 99.9 % point of chi-square with 6 degrees of freedom */
}

ASSAY_TEST(streams_differ_and_repeat)
{
    struct assay_rng a, b, c;
    assay_rng_init(&a, 3, assay_rng_stream("input_ids"));
    assay_rng_init(&b, 3, assay_rng_stream("input_ids"));
    assay_rng_init(&c, 3, assay_rng_stream("pixel_values"));
    int n_same = 0;
    for (int i = 0; i < 100; i++) {
        uint32_t x = assay_rng_u32(&a);
        CHECK(x == assay_rng_u32(&b));
        n_same += x == assay_rng_u32(&c);
    }
    CHECK(n_same < 3);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(philox_gives_the_known_answers_of_its_authors),
                ASSAY_TEST_ENTRY(uniform_normal_and_exponential_have_their_moments),
                ASSAY_TEST_ENTRY(below_is_uniform_and_in_range), ASSAY_TEST_ENTRY(streams_differ_and_repeat))
