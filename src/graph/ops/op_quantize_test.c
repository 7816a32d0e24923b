/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/ops/fixture.h"

ASSAY_TEST(ties_go_to_even_and_the_range_is_kept)
{
    struct fixture f;
    fixture_init(&f, "QuantizeLinear");
    fixture_input(&f, ASSAY_F32, "6", VALUES(1, 3, -5, 1000, -1000, NAN));
    fixture_input(&f, ASSAY_F32, "", VALUES(2));
    fixture_input(&f, ASSAY_I8, "", VALUES(1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I8, "6", 0, 1, 3, -1, 127, -128, -128); /* 0.5 → 0, 1.5 → 2, -2.5 → -2 */
    fixture_release(&f);
}

ASSAY_TEST(each_place_along_the_axis_has_its_scale)
{
    struct fixture f;
    fixture_init(&f, "QuantizeLinear");
    fixture_int(&f, "axis", -2);
    fixture_input(&f, ASSAY_F32, "1,2,2", VALUES(10, 20, 10, 20));
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 10));
    fixture_input(&f, ASSAY_U8, "2", VALUES(0, 100));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_U8, "1,2,2", 0, 10, 20, 101, 102);
    fixture_release(&f);
}

ASSAY_TEST(without_a_zero_point_the_result_is_u8)
{
    struct fixture f;
    fixture_init(&f, "QuantizeLinear");
    fixture_input(&f, ASSAY_I32, "2", VALUES(-3, 300));
    fixture_input(&f, ASSAY_F32, "", VALUES(1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_U8, "2", 0, 0, 255);
    fixture_release(&f);
}

ASSAY_TEST(dequantizing_undoes_it)
{
    struct fixture f;
    fixture_init(&f, "DequantizeLinear");
    fixture_int(&f, "axis", 0);
    fixture_input(&f, ASSAY_U8, "2,2", VALUES(0, 255, 0, 255));
    fixture_input(&f, ASSAY_F32, "2", VALUES(0.5, 2));
    fixture_input(&f, ASSAY_U8, "2", VALUES(128, 255));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,2", 0, -64, 63.5, -510, 0);
    fixture_release(&f);
}

ASSAY_TEST(a_dynamic_range_includes_zero)
{
    struct fixture f;
    fixture_init(&f, "DynamicQuantizeLinear");
    fixture_input(&f, ASSAY_F32, "3", VALUES(0.5, 102, 255));
    f.node.n_outputs = 3;
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_U8, "3", 0, 0, 102, 255);
    CHECK_RESULT(&f, 1, ASSAY_F32, "", 0, 1);
    CHECK_RESULT(&f, 2, ASSAY_U8, "", 0, 0);
    fixture_release(&f);
}

ASSAY_TEST(nothing_but_zeros_has_a_scale_of_zero)
{
    struct fixture f;
    fixture_init(&f, "DynamicQuantizeLinear");
    fixture_input(&f, ASSAY_F32, "2", VALUES(0, 0));
    f.node.n_outputs = 3;
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_U8, "2", 0, 0, 0);
    CHECK_RESULT(&f, 1, ASSAY_F32, "", 0, 0);
    fixture_release(&f);
}

ASSAY_TEST(what_cannot_be_quantized_is_refused)
{
    struct fixture f;
    fixture_init(&f, "DynamicQuantizeLinear");
    fixture_input(&f, ASSAY_F32, "2", VALUES(0, INFINITY));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "element 1");
    fixture_release(&f);
    fixture_init(&f, "QuantizeLinear");
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    fixture_input(&f, ASSAY_F32, "", VALUES(0));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "scale");
    fixture_release(&f);
    fixture_init(&f, "DequantizeLinear");
    fixture_int(&f, "block_size", 2);
    fixture_input(&f, ASSAY_I8, "1,3", VALUES(1, 2, 3));
    fixture_input(&f, ASSAY_F32, "1,1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "its scale is f32[1,1] where blocks of 2 along axis 1 want f32[1,2]");
    fixture_release(&f);
    fixture_init(&f, "DequantizeLinear");
    fixture_int(&f, "block_size", -1);
    fixture_input(&f, ASSAY_I8, "1,2", VALUES(1, 2));
    fixture_input(&f, ASSAY_F32, "1,1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "block_size");
    fixture_release(&f);
    fixture_init(&f, "QuantizeLinear");
    fixture_int(&f, "block_size", 2);
    fixture_input(&f, ASSAY_F32, "1,2", VALUES(1, 2));
    fixture_input(&f, ASSAY_F32, "1,1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "block_size");
    fixture_release(&f);
    fixture_init(&f, "Identity");
    fixture_input(&f, ASSAY_I4, "2", VALUES(1, 2));
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "4 bits");
    fixture_release(&f);
}

/* Opset 21's formula: (x - zero) scale, of the block that the place along the axis is in; the last block may be shorter. */
ASSAY_TEST(blocks_along_an_axis_have_their_scales)
{
    struct fixture f;
    fixture_init(&f, "DequantizeLinear");
    fixture_int(&f, "axis", 0);
    fixture_int(&f, "block_size", 2);
    fixture_input(&f, ASSAY_I8, "3,2", VALUES(1, -2, 3, 4, 5, -128));
    fixture_input(&f, ASSAY_F32, "2,2", VALUES(1, 2, 4, 0.5));
    fixture_input(&f, ASSAY_I8, "2,2", VALUES(0, 1, 2, 0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3,2", 0, 1, -6, 3, 6, 12, -64);
    fixture_release(&f);
    fixture_init(&f, "DequantizeLinear");
    fixture_int(&f, "axis", -1);
    fixture_int(&f, "block_size", 2);
    fixture_input(&f, ASSAY_U8, "2,3", VALUES(1, 2, 3, 4, 5, 255));
    fixture_input(&f, ASSAY_F32, "2,2", VALUES(1, 2, 3, -4));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,3", 0, 1, 2, 6, 12, 15, -1020);
    fixture_release(&f);
}

/* Two a byte, the first in the low bits (TensorProto's INT4 and UINT4). */
ASSAY_TEST(four_bits_are_read_two_a_byte)
{
    struct fixture f;
    const unsigned char bytes[] = {0x8f, 0x21, 0x07};
    fixture_init(&f, "DequantizeLinear");
    fixture_input_bytes(&f, ASSAY_I4, "5", bytes);
    fixture_input(&f, ASSAY_F32, "", VALUES(0.5));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "5", 0, -0.5, -4, 0.5, 1, 3.5);
    fixture_release(&f);
    fixture_init(&f, "DequantizeLinear");
    fixture_int(&f, "axis", 1);
    fixture_int(&f, "block_size", 3);
    fixture_input_bytes(&f, ASSAY_U4, "1,5", bytes);
    fixture_input(&f, ASSAY_F32, "1,2", VALUES(1, 2));
    fixture_input(&f, ASSAY_U4, "1,2", VALUES(8, 1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,5", 0, 7, 0, -7, 2, 12);
    fixture_release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(ties_go_to_even_and_the_range_is_kept),
                ASSAY_TEST_ENTRY(each_place_along_the_axis_has_its_scale),
                ASSAY_TEST_ENTRY(without_a_zero_point_the_result_is_u8), ASSAY_TEST_ENTRY(dequantizing_undoes_it),
                ASSAY_TEST_ENTRY(a_dynamic_range_includes_zero), ASSAY_TEST_ENTRY(nothing_but_zeros_has_a_scale_of_zero),
                ASSAY_TEST_ENTRY(what_cannot_be_quantized_is_refused), ASSAY_TEST_ENTRY(blocks_along_an_axis_have_their_scales),
                ASSAY_TEST_ENTRY(four_bits_are_read_two_a_byte))
