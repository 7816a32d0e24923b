/* SPDX-License-Identifier: Apache-2.0 */
/* Oracle: the formats' definition, evaluated in double, over all 65536 patterns. */
#include "base/test.h"
#include "graph/dtype.h"

/* The number that a pattern means, by IEEE 754's formula. */
static double meaning(uint16_t bits, int exponent_bits, int fraction_bits)
{
    int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1), bias = (1 << (exponent_bits - 1)) - 1;
    double fraction = (double)(bits & ((1 << fraction_bits) - 1));
    double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return fraction ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp(1 + ldexp(fraction, -fraction_bits), exponent - bias);
}

static void check_all(float (*widen)(uint16_t), uint16_t (*narrow)(float), int exponent_bits, int fraction_bits)
{
    for (unsigned pattern = 0; pattern < 65536; pattern++) {
        uint16_t bits = (uint16_t)pattern;
        double wanted = meaning(bits, exponent_bits, fraction_bits);
        float got = widen(bits);
        if (isnan(wanted)) {
            CHECK(isnan(got));
            CHECK(isnan(widen(narrow(got))));
            CHECK((narrow(got) & 0x8000) == (bits & 0x8000));
            continue;
        }
        CHECK((double)got == wanted);
        CHECK(!signbit(got) == !signbit(wanted));
        CHECK_INT(narrow(got), bits);
    }
}

/* Between neighbours a < b: below the middle rounds to a, above it to b, the middle itself to the even one. */
static void check_rounding(float (*widen)(uint16_t), uint16_t (*narrow)(float), int exponent_bits, int fraction_bits)
{
    unsigned infinity = ((1u << exponent_bits) - 1) << fraction_bits;
    for (unsigned a = 0; a < infinity; a++) {
        double low = meaning((uint16_t)a, exponent_bits, fraction_bits);
        double high = a + 1 < infinity ? meaning((uint16_t)(a + 1), exponent_bits, fraction_bits)
                                       : low + (low - meaning((uint16_t)(a - 1), exponent_bits, fraction_bits));
        float middle = (float)((low + high) / 2);
        if ((double)middle != (low + high) / 2)
            continue; /* between the two largest bf16 and infinity the middle is beyond f32's last bit */
        CHECK_INT(narrow(middle), a & 1 ? a + 1 : a);
        CHECK_INT(narrow(nextafterf(middle, 0)), a);
        CHECK_INT(narrow(nextafterf(middle, INFINITY)), a + 1);
        CHECK_INT(narrow(-middle), 0x8000 | (a & 1 ? a + 1 : a));
        CHECK(widen(narrow(middle)) >= widen((uint16_t)a));
    }
}

static float bf16_to_f32(uint16_t bits) { return assay_bf16_to_f32(bits); }

ASSAY_TEST(every_f16_widens_exactly_and_narrows_back) { check_all(assay_f16_to_f32, assay_f32_to_f16, 5, 10); }
ASSAY_TEST(every_bf16_widens_exactly_and_narrows_back) { check_all(bf16_to_f32, assay_f32_to_bf16, 8, 7); }
ASSAY_TEST(f16_rounds_to_nearest_even_between_all_neighbours)
{
    check_rounding(assay_f16_to_f32, assay_f32_to_f16, 5, 10);
    CHECK_INT(assay_f32_to_f16(65519.996f), 0x7bff);
    CHECK_INT(assay_f32_to_f16(65520.0f), 0x7c00);
    CHECK_INT(assay_f32_to_f16(3e38f), 0x7c00);
    CHECK_INT(assay_f32_to_f16(-INFINITY), 0xfc00);
    CHECK_INT(assay_f32_to_f16(0x1p-149f), 0);
}
ASSAY_TEST(bf16_rounds_to_nearest_even_between_all_neighbours)
{
    check_rounding(bf16_to_f32, assay_f32_to_bf16, 8, 7);
    CHECK_INT(assay_f32_to_bf16(3.4028235e38f), 0x7f80);
    CHECK_INT(assay_f32_to_bf16(-INFINITY), 0xff80);
}

ASSAY_TEST(words_and_sizes_agree_with_the_list)
{
#define X(name, number, word, size, type)                                                                                        \
    CHECK_INT(assay_dtype_size(ASSAY_##name), size);                                                                             \
    CHECK_INT(sizeof(type), size);                                                                                               \
    CHECK_TEXT(assay_dtype_word(ASSAY_##name), word);                                                                            \
    CHECK_INT(assay_dtype_from_word(word), number);
    ASSAY_DTYPES(X)
#undef X
    CHECK_INT(assay_dtype_size(ASSAY_NO_DTYPE), 0);
    CHECK_INT(assay_dtype_from_word("float"), ASSAY_NO_DTYPE);
    CHECK_TEXT(assay_dtype_word(8), "string");
    CHECK_TEXT(assay_dtype_word(17), "float8e4m3fn");
    CHECK_TEXT(assay_dtype_word(-1), "unknown");
    CHECK_TEXT(assay_dtype_word(1000), "unknown");
    CHECK(assay_dtype_is_float(ASSAY_BF16) && !assay_dtype_is_float(ASSAY_I8));
    CHECK(assay_dtype_is_integer(ASSAY_U64) && !assay_dtype_is_integer(ASSAY_BOOL) && !assay_dtype_is_integer(ASSAY_F32));
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(every_f16_widens_exactly_and_narrows_back),
                ASSAY_TEST_ENTRY(every_bf16_widens_exactly_and_narrows_back),
                ASSAY_TEST_ENTRY(f16_rounds_to_nearest_even_between_all_neighbours),
                ASSAY_TEST_ENTRY(bf16_rounds_to_nearest_even_between_all_neighbours),
                ASSAY_TEST_ENTRY(words_and_sizes_agree_with_the_list))
