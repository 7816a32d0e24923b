/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors: sizes, ownership, conversion, comparison. */
#include "base/test.h"
#include "graph/tensor.h"

static struct assay_type type_of(enum assay_dtype dtype, int64_t n) { return assay_type_make(dtype, 1, &n); }

ASSAY_TEST(counts_and_bytes_follow_the_shape)
{
    char text[64];
    struct assay_type type = assay_type_make(ASSAY_F16, 3, (int64_t[]){2, 3, 4});
    CHECK_INT(assay_type_count(&type), 24);
    CHECK_INT(assay_type_bytes(&type), 48);
    CHECK_TEXT(assay_type_text(&type, text, sizeof text), "f16[2,3,4]");
    type.dims[1] = -1;
    CHECK_INT(assay_type_count(&type), -1);
    CHECK_TEXT(assay_type_text(&type, text, sizeof text), "f16[2,?,4]");
    CHECK_TEXT(assay_type_text(&type, text, 6), "f16[2");
    type = assay_type_make(ASSAY_I64, 0, NULL);
    CHECK_INT(assay_type_count(&type), 1);
    type.rank = -1;
    CHECK(!assay_type_is_known(&type));
    CHECK_TEXT(assay_type_text(&type, text, sizeof text), "i64[...]");
}

ASSAY_TEST(a_size_that_overflows_is_invalid_and_one_beyond_memory_has_no_memory)
{
    struct assay_tensor tensor = {0};
    struct assay_error err;
    struct assay_type type = assay_type_make(ASSAY_F32, 3, (int64_t[]){1LL << 31, 1LL << 31, 4});
    CHECK_INT(assay_tensor_alloc(&tensor, &type, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "overflows");
    CHECK_INT(assay_type_count(&type), INT64_MAX);
    type.dims[2] = 0;
    CHECK_INT(assay_type_count(&type), 0);
    type = type_of(ASSAY_U8, INT64_MAX - 1);
    CHECK_INT(assay_tensor_alloc(&tensor, &type, &err), ASSAY_INVALID);
    type = type_of(ASSAY_U8, 1LL << 50);
    CHECK_INT(assay_tensor_alloc(&tensor, &type, &err), ASSAY_NO_MEMORY);
    CHECK_CONTAINS(err.message, "u8[1125899906842624]");
    type = type_of(ASSAY_U8, -1);
    CHECK_INT(assay_tensor_alloc(&tensor, &type, &err), ASSAY_INVALID);
    CHECK(!tensor.data);
}

ASSAY_TEST(an_empty_tensor_has_data_that_is_aligned)
{
    struct assay_tensor tensor;
    struct assay_type type = assay_type_make(ASSAY_F32, 2, (int64_t[]){0, 7});
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    CHECK(tensor.data && (uintptr_t)tensor.data % 64 == 0);
    assay_tensor_release(&tensor);
    CHECK(!tensor.data && !tensor.buffer);
    assay_tensor_release(&tensor);
    assay_tensor_release(NULL);
}

static void count_release(void *context) { ++*(int *)context; }

ASSAY_TEST(bytes_go_with_their_last_owner)
{
    int released = 0;
    float bytes[6] = {1, 2, 3, 4, 5, 6};
    struct assay_type type = type_of(ASSAY_F32, 6), matrix = assay_type_make(ASSAY_F32, 2, (int64_t[]){2, 3});
    struct assay_tensor a, b, c;
    assay_tensor_adopt(&a, &type, bytes, count_release, &released);
    CHECK(!assay_tensor_is_shared(&a));
    assay_tensor_share(&b, &a);
    assay_tensor_view(&c, &b, &matrix);
    CHECK(assay_tensor_is_shared(&a));
    CHECK_INT(c.type.rank, 2);
    assay_tensor_release(&a);
    assay_tensor_release(&b);
    CHECK_INT(released, 0);
    CHECK_NEAR(assay_tensor_real(&c, 5), 6, 0);
    CHECK(!assay_tensor_is_shared(&c));
    assay_tensor_release(&c);
    CHECK_INT(released, 1);
    assay_tensor_borrow(&a, &type, bytes);
    CHECK(assay_tensor_is_shared(&a));
    assay_tensor_release(&a);
}

/* Converts n doubles to `from`, then to `to`. */
static struct assay_tensor converted(enum assay_dtype from, enum assay_dtype to, const double *values, int64_t n)
{
    struct assay_type type = type_of(from, n);
    struct assay_tensor source, result;
    CHECK_INT(assay_tensor_alloc(&source, &type, NULL), ASSAY_OK);
    for (int64_t i = 0; i < n; i++)
        assay_tensor_set_real(&source, i, values[i]);
    CHECK_INT(assay_tensor_convert(&result, &source, to, NULL), ASSAY_OK);
    assay_tensor_release(&source);
    return result;
}

ASSAY_TEST(every_pair_of_dtypes_converts_small_numbers_exactly)
{
    static const enum assay_dtype all[] = {
#define X(name, number, word, size, type) ASSAY_##name,
        ASSAY_DTYPES(X)
#undef X
    };
    double values[1500];
    for (int i = 0; i < 1500; i++)
        values[i] = i % 100;
    for (size_t a = 0; a < ASSAY_COUNT(all); a++)
        for (size_t b = 0; b < ASSAY_COUNT(all); b++) {
            struct assay_tensor got = converted(all[a], all[b], values, 1500);
            CHECK_INT(got.type.dtype, all[b]);
            for (int i = 0; i < 1500; i++) {
                double wanted = all[a] == ASSAY_BOOL || all[b] == ASSAY_BOOL ? values[i] != 0 : values[i];
                CHECK_NEAR(assay_tensor_real(&got, i), wanted, 0);
                CHECK_INT(assay_tensor_int(&got, i), (int64_t)wanted);
            }
            assay_tensor_release(&got);
        }
}

ASSAY_TEST(floats_beyond_an_integer_saturate_and_nan_is_zero)
{
    const double values[] = {1e30, -1e30, NAN, INFINITY, -INFINITY, 3.9, -3.9};
    const int64_t wanted_i8[] = {127, -128, 0, 127, -128, 3, -3},
                  wanted_i64[] = {INT64_MAX, INT64_MIN, 0, INT64_MAX, INT64_MIN, 3, -3};
    struct assay_tensor i8 = converted(ASSAY_F32, ASSAY_I8, values, 7), i64 = converted(ASSAY_F64, ASSAY_I64, values, 7);
    struct assay_tensor u64 = converted(ASSAY_F32, ASSAY_U64, values, 7);
    for (int i = 0; i < 7; i++) {
        CHECK_INT(assay_tensor_int(&i8, i), wanted_i8[i]);
        CHECK_INT(assay_tensor_int(&i64, i), wanted_i64[i]);
    }
    CHECK(((uint64_t *)u64.data)[0] == UINT64_MAX && ((uint64_t *)u64.data)[1] == 0 && ((uint64_t *)u64.data)[2] == 0);
    assay_tensor_release(&i8);
    assay_tensor_release(&i64);
    assay_tensor_release(&u64);
}

/* 2049 + 2^-40 lies just above the middle of the neighbours 2048 and 2050 of f16; through f32 it would be the middle itself, and
 * go to the even 2048. */
ASSAY_TEST(f64_is_rounded_once_on_its_way_to_16_bits)
{
    const double values[] = {2049 + 0x1p-40, 2049, 2049 - 0x1p-40, 1e300, 1e-300};
    const double wanted[] = {2050, 2048, 2048, INFINITY, 0};
    struct assay_tensor f16 = converted(ASSAY_F64, ASSAY_F16, values, 5);
    for (int i = 0; i < 5; i++)
        CHECK(assay_tensor_real(&f16, i) == wanted[i]);
    assay_tensor_release(&f16);
}

static struct assay_difference compare(enum assay_dtype dtype, double got, double wanted, double abs, double rel)
{
    struct assay_type type = type_of(dtype, 2);
    struct assay_tensor a, b;
    CHECK_INT(assay_tensor_alloc(&a, &type, NULL), ASSAY_OK);
    CHECK_INT(assay_tensor_alloc(&b, &type, NULL), ASSAY_OK);
    assay_tensor_set_real(&a, 0, 4);
    assay_tensor_set_real(&b, 0, 4);
    assay_tensor_set_real(&a, 1, got);
    assay_tensor_set_real(&b, 1, wanted);
    struct assay_difference difference = assay_tensor_compare(&a, &b, abs, rel);
    assay_tensor_release(&a);
    assay_tensor_release(&b);
    return difference;
}

ASSAY_TEST(a_difference_is_counted_beyond_the_tolerance_only)
{
    struct assay_difference d = compare(ASSAY_F64, 2.5, 2, 0, 0.25);
    CHECK(d.same_type && d.n_wrong == 0 && d.index == 1);
    CHECK_NEAR(d.max_abs, 0.5, 0);
    CHECK_NEAR(d.max_rel, 0.125, 0); /* over the largest of the tensor, 4 */
    CHECK_INT(compare(ASSAY_F64, 2.5, 2, 0.4, 0.01).n_wrong, 1);
    CHECK_INT(compare(ASSAY_BOOL, 1, 0, 0, 0).n_wrong, 1);
}

ASSAY_TEST(nan_equals_nan_and_infinity_its_like_and_nothing_else)
{
    CHECK_INT(compare(ASSAY_F32, NAN, NAN, 0, 0).n_wrong, 0);
    CHECK_INT(compare(ASSAY_F32, INFINITY, INFINITY, 0, 0).n_wrong, 0);
    CHECK_INT(compare(ASSAY_F32, NAN, 1, 1e9, 1e9).n_wrong, 1);
    CHECK_INT(compare(ASSAY_F32, 1, NAN, 1e9, 1e9).n_wrong, 1);
    CHECK_INT(compare(ASSAY_F32, 1, INFINITY, 1e9, 1e9).n_wrong, 1);
    CHECK_INT(compare(ASSAY_F16, -INFINITY, INFINITY, 1e9, 1e9).n_wrong, 1);
    CHECK_INT(compare(ASSAY_F32, INFINITY, 1, 1e9, 1e9).n_wrong, 1);
    CHECK(isinf(compare(ASSAY_F32, NAN, 1, 1e9, 1e9).max_abs));
}

ASSAY_TEST(integers_of_64_bits_are_compared_exactly)
{
    struct assay_type type = type_of(ASSAY_I64, 1);
    int64_t a = INT64_MAX, b = INT64_MAX - 1, c = INT64_MIN;
    struct assay_tensor x, y;
    assay_tensor_borrow(&x, &type, &a);
    assay_tensor_borrow(&y, &type, &b);
    CHECK_INT(assay_tensor_compare(&x, &y, 0, 0).n_wrong, 1);
    CHECK_NEAR(assay_tensor_compare(&x, &y, 0, 0).max_abs, 1, 0);
    assay_tensor_borrow(&y, &type, &c);
    CHECK_NEAR(assay_tensor_compare(&x, &y, 0, 0).max_abs, 0x1p64, 0);
    type.dtype = ASSAY_U64;
    assay_tensor_borrow(&y, &type, &c);
    CHECK(!assay_tensor_compare(&x, &y, 0, 0).same_type);
}

ASSAY_TEST(tensors_of_nothing_do_not_differ)
{
    struct assay_type type = type_of(ASSAY_F32, 0);
    struct assay_tensor x;
    assay_tensor_borrow(&x, &type, "");
    struct assay_difference d = assay_tensor_compare(&x, &x, 0, 0);
    CHECK(d.same_type && d.max_abs == 0 && d.max_rel == 0 && d.n_wrong == 0);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(counts_and_bytes_follow_the_shape),
                ASSAY_TEST_ENTRY(a_size_that_overflows_is_invalid_and_one_beyond_memory_has_no_memory),
                ASSAY_TEST_ENTRY(an_empty_tensor_has_data_that_is_aligned), ASSAY_TEST_ENTRY(bytes_go_with_their_last_owner),
                ASSAY_TEST_ENTRY(every_pair_of_dtypes_converts_small_numbers_exactly),
                ASSAY_TEST_ENTRY(floats_beyond_an_integer_saturate_and_nan_is_zero),
                ASSAY_TEST_ENTRY(f64_is_rounded_once_on_its_way_to_16_bits),
                ASSAY_TEST_ENTRY(a_difference_is_counted_beyond_the_tolerance_only),
                ASSAY_TEST_ENTRY(nan_equals_nan_and_infinity_its_like_and_nothing_else),
                ASSAY_TEST_ENTRY(integers_of_64_bits_are_compared_exactly), ASSAY_TEST_ENTRY(tensors_of_nothing_do_not_differ))
