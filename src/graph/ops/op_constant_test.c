/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values by hand from the standard's text. */
#include "graph/ops/fixture.h"

ASSAY_TEST(constants_come_in_all_forms_but_strings)
{
    struct fixture f;
    fixture_init(&f, "Constant");
    int64_t list[] = {3, -4};
    fixture_ints(&f, "value_ints", list, 2);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I64, "2", 0, 3, -4);
    fixture_release(&f);

    fixture_init(&f, "Constant");
    fixture_float(&f, "value_float", 0.5f);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "", 0, 0.5);
    fixture_release(&f);

    fixture_init(&f, "Constant");
    fixture_string(&f, "value_string", "text");
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "value_string");
    f.node.n_attrs = 0;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "has 0");
    fixture_release(&f);
}

ASSAY_TEST(constant_shares_the_bytes_of_its_tensor)
{
    struct fixture f;
    fixture_init(&f, "Constant");
    struct assay_attr *attr = fixture_attr(&f, "value", ASSAY_ATTR_TENSOR);
    const struct assay_type type = {.dtype = ASSAY_F16, .rank = 1, .dims = {2}};
    CHECK_OK(assay_tensor_alloc(&attr->tensor, &type, &f.err), f.err);
    assay_tensor_set_real(&attr->tensor, 0, 1.5);
    assay_tensor_set_real(&attr->tensor, 1, -2);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F16, "2", 0, 1.5, -2);
    CHECK(f.results[0].data == attr->tensor.data);
    assay_tensor_release(&attr->tensor);
    fixture_release(&f);
}

ASSAY_TEST(constant_of_shape_fills_and_defaults_to_zero)
{
    struct fixture f;
    fixture_init(&f, "ConstantOfShape");
    fixture_input(&f, ASSAY_I64, "2", VALUES(2, 2));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,2", 0, 0, 0, 0, 0);
    fixture_release(&f);

    fixture_init(&f, "ConstantOfShape");
    fixture_input(&f, ASSAY_I64, "1", VALUES(-1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "is -1");
    fixture_release(&f);

    fixture_init(&f, "ConstantOfShape");
    fixture_input(&f, ASSAY_I64, "3", VALUES(0x1p40, 0x1p40, 0x1p40));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "overflows");
    fixture_release(&f);

    fixture_init(&f, "ConstantOfShape");
    fixture_input(&f, ASSAY_I64, "1", VALUES(0x1p50));
    CHECK_FAILS(fixture_run(&f), ASSAY_NO_MEMORY, f, "no memory");
    fixture_release(&f);
}

static void range(struct fixture *f, enum assay_dtype dtype, double start, double limit, double delta)
{
    fixture_init(f, "Range");
    fixture_input(f, dtype, "", &start);
    fixture_input(f, dtype, "", &limit);
    fixture_input(f, dtype, "", &delta);
}

/* Two to a byte, they have no address to copy them to. */
ASSAY_TEST(four_bits_are_not_repeated)
{
    struct fixture f;
    struct assay_tensor value;
    struct assay_type type = assay_type_make(ASSAY_I4, 1, (const int64_t[]){1});
    CHECK_INT(assay_tensor_alloc(&value, &type, NULL), ASSAY_OK);
    *(unsigned char *)value.data = 3;
    fixture_init(&f, "ConstantOfShape");
    fixture_input(&f, ASSAY_I64, "1", VALUES(9));
    assay_tensor_borrow(&fixture_attr(&f, "value", ASSAY_ATTR_TENSOR)->tensor, &type, value.data);
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "of 4 bits");
    fixture_release(&f);
    assay_tensor_release(&value);
}

ASSAY_TEST(range_counts_in_both_directions)
{
    struct fixture f;
    range(&f, ASSAY_F32, 1, 5, 2);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2", 0, 1, 3);
    fixture_release(&f);

    range(&f, ASSAY_I32, 10, 6, -3);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "2", 0, 10, 7);
    fixture_release(&f);

    range(&f, ASSAY_I64, 3, 3, 1);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_INT(assay_tensor_count(&f.results[0]), 0);
    fixture_release(&f);

    range(&f, ASSAY_I16, 32760, 32767, 5);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I16, "2", 0, 32760, 32765);
    fixture_release(&f);
}

ASSAY_TEST(range_reaches_the_ends_of_its_dtype)
{
    struct fixture f;
    range(&f, ASSAY_I64, 0, 0, 0);
    ((int64_t *)f.tensors[0].data)[0] = INT64_MIN;
    ((int64_t *)f.tensors[1].data)[0] = INT64_MAX;
    ((int64_t *)f.tensors[2].data)[0] = INT64_MAX;
    CHECK_OK(fixture_run(&f), f.err);
    const int64_t *got = f.results[0].data;
    CHECK_INT(assay_tensor_count(&f.results[0]), 3);
    CHECK(got[0] == INT64_MIN && got[1] == -1 && got[2] == INT64_MAX - 1);
    fixture_release(&f);
}

ASSAY_TEST(range_without_an_end_is_refused)
{
    struct fixture f;
    range(&f, ASSAY_I32, 0, 1, 0);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "steps of 0");
    fixture_release(&f);
    range(&f, ASSAY_F32, 0, 1, 0);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "no length");
    fixture_release(&f);
    range(&f, ASSAY_F64, 0, NAN, 1);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "no length");
    fixture_release(&f);
    range(&f, ASSAY_U8, 0, 1, 1);
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "u8");
    fixture_release(&f);
}

ASSAY_TEST(eye_like_puts_ones_on_any_diagonal_of_any_dtype)
{
    struct fixture f;
    fixture_init(&f, "EyeLike");
    fixture_input(&f, ASSAY_F32, "2,3", VALUES(9, 9, 9, 9, 9, 9));
    fixture_int(&f, "k", 1);
    fixture_int(&f, "dtype", ASSAY_BF16);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BF16, "2,3", 0, 0, 1, 0, 0, 0, 1);
    f.attrs[0].i = -1;
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BF16, "2,3", 0, 0, 0, 0, 1, 0, 0);
    f.attrs[0].i = INT64_MIN;
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BF16, "2,3", 0, 0, 0, 0, 0, 0, 0);
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(four_bits_are_not_repeated), ASSAY_TEST_ENTRY(constants_come_in_all_forms_but_strings),
                ASSAY_TEST_ENTRY(constant_shares_the_bytes_of_its_tensor),
                ASSAY_TEST_ENTRY(constant_of_shape_fills_and_defaults_to_zero), ASSAY_TEST_ENTRY(range_counts_in_both_directions),
                ASSAY_TEST_ENTRY(range_reaches_the_ends_of_its_dtype), ASSAY_TEST_ENTRY(range_without_an_end_is_refused),
                ASSAY_TEST_ENTRY(eye_like_puts_ones_on_any_diagonal_of_any_dtype))
