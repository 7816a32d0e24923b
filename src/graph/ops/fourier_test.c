/* SPDX-License-Identifier: Apache-2.0 */
/* The oracle is the definition, summed directly. */
#include "graph/ops/fourier.h"

#include "base/rng.h"
#include "base/test.h"

ASSAY_TEST(transforms_of_every_length_equal_the_definition)
{
    enum { LONGEST = 1000 };
    static double line[2 * LONGEST], given[2 * LONGEST];
    struct assay_error err;
    struct assay_rng rng;
    assay_rng_init(&rng, 3, assay_rng_stream("fourier"));
    for (int n = 1; n <= LONGEST; n += n < 70 ? 1 : 93) {
        struct assay_fourier fourier;
        CHECK_OK(assay_fourier_init(&fourier, n, &err), err);
        for (int i = 0; i < 2 * n; i++)
            line[i] = given[i] = assay_rng_uniform(&rng) - 0.5;
        assay_fourier_run(&fourier, line, false);
        for (int k = 0; k < n; k++) {
            double re = 0, im = 0;
            for (int j = 0; j < n; j++) {
                double angle = -2 * M_PI * (double)(j * k % n) / n;
                re += given[2 * j] * cos(angle) - given[2 * j + 1] * sin(angle);
                im += given[2 * j] * sin(angle) + given[2 * j + 1] * cos(angle);
            }
            /* Rounding of n numbers below 1 in double, with room to spare. */
            CHECK_NEAR(line[2 * k], re, 1e-15 * n + 1e-14);
            CHECK_NEAR(line[2 * k + 1], im, 1e-15 * n + 1e-14);
        }
        assay_fourier_run(&fourier, line, true);
        for (int i = 0; i < 2 * n; i++)
            CHECK_NEAR(line[i], given[i], 1e-14);
        assay_fourier_release(&fourier);
    }
}

ASSAY_TEST(a_length_beyond_reason_is_unsupported)
{
    struct assay_fourier fourier;
    struct assay_error err;
    CHECK_INT(assay_fourier_init(&fourier, INT64_MAX, &err), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(err.message, "length");
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(transforms_of_every_length_equal_the_definition),
                ASSAY_TEST_ENTRY(a_length_beyond_reason_is_unsupported))
