/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

/* Runs op on [n] and [n] (or scalars) of one dtype. */
static enum assay_status run(struct fixture *f, const char *op, enum assay_dtype dtype, const char *dims_a, const double *a,
                             const char *dims_b, const double *b)
{
    fixture_init(f, op);
    fixture_input(f, dtype, dims_a, a);
    fixture_input(f, dtype, dims_b, b);
    return fixture_run(f);
}

ASSAY_TEST(arithmetic_broadcasts_either_side)
{
    struct fixture f;
    CHECK_OK(run(&f, "Add", ASSAY_F32, "2,1", VALUES(1, 2), "3", VALUES(10, 20, 30)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,3", 0, 11, 21, 31, 12, 22, 32);
    fixture_release(&f);
    CHECK_OK(run(&f, "Sub", ASSAY_F16, "", VALUES(1), "2", VALUES(0.5, 3)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F16, "2", 0, 0.5, -2);
    fixture_release(&f);
    CHECK_OK(run(&f, "Mul", ASSAY_BF16, "2,2", VALUES(1, 2, 3, 4), "1,2", VALUES(2, -1)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BF16, "2,2", 0, 2, -2, 6, -4);
    fixture_release(&f);
    CHECK_OK(run(&f, "Div", ASSAY_F64, "2", VALUES(1, -1), "", VALUES(0)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "2", 0, INFINITY, -INFINITY);
    fixture_release(&f);
}

ASSAY_TEST(integer_arithmetic_wraps)
{
    struct fixture f;
    CHECK_OK(run(&f, "Add", ASSAY_U8, "2", VALUES(250, 1), "2", VALUES(10, 1)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_U8, "2", 0, 4, 2);
    fixture_release(&f);
    CHECK_OK(run(&f, "Mul", ASSAY_U16, "1", VALUES(65535), "1", VALUES(65535)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_U16, "1", 0, 1);
    fixture_release(&f);
    CHECK_OK(run(&f, "Sub", ASSAY_I32, "1", VALUES(-2147483648.0), "1", VALUES(1)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "1", 0, 2147483647.0);
    fixture_release(&f);
}

ASSAY_TEST(integer_division_rounds_towards_zero)
{
    struct fixture f;
    CHECK_OK(run(&f, "Div", ASSAY_I32, "4", VALUES(7, -7, 7, -7), "4", VALUES(2, 2, -2, -2)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I32, "4", 0, 3, -3, -3, 3);
    fixture_release(&f);
}

ASSAY_TEST(quotients_that_do_not_exist_are_invalid)
{
    struct fixture f;
    CHECK_FAILS(run(&f, "Div", ASSAY_I64, "2", VALUES(1, 2), "2", VALUES(1, 0)), ASSAY_INVALID, f, "zero");
    fixture_release(&f);
    CHECK_FAILS(run(&f, "Div", ASSAY_I32, "1", VALUES(-2147483648.0), "1", VALUES(-1)), ASSAY_INVALID, f, "smallest");
    fixture_release(&f);
    CHECK_FAILS(run(&f, "Mod", ASSAY_U8, "1", VALUES(1), "", VALUES(0)), ASSAY_INVALID, f, "zero");
    fixture_release(&f);
}

ASSAY_TEST(mod_has_the_sign_of_the_divisor_and_with_fmod_of_the_dividend)
{
    struct fixture f;
    CHECK_OK(run(&f, "Mod", ASSAY_I8, "4", VALUES(-4, 7, -128, 5), "4", VALUES(3, -3, -1, 8)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I8, "4", 0, 2, -2, 0, 5);
    fixture_release(&f);
    fixture_init(&f, "Mod");
    fixture_int(&f, "fmod", 1);
    fixture_input(&f, ASSAY_I8, "3", VALUES(-4, 7, -128));
    fixture_input(&f, ASSAY_I8, "3", VALUES(3, -3, -1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I8, "3", 0, -1, 1, 0);
    fixture_release(&f);
    CHECK_FAILS(run(&f, "Mod", ASSAY_F32, "1", VALUES(1), "1", VALUES(1)), ASSAY_INVALID, f, "fmod");
    fixture_release(&f);
}

ASSAY_TEST(comparisons_give_bools_and_nan_is_unequal_to_itself)
{
    struct fixture f;
    CHECK_OK(run(&f, "Equal", ASSAY_F32, "3", VALUES(1, NAN, 0), "3", VALUES(1, NAN, -0.0)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BOOL, "3", 0, 1, 0, 1);
    fixture_release(&f);
    CHECK_OK(run(&f, "GreaterOrEqual", ASSAY_U64, "2", VALUES(3, 4), "", VALUES(4)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BOOL, "2", 0, 0, 1);
    fixture_release(&f);
    CHECK_OK(run(&f, "Less", ASSAY_F16, "2", VALUES(3, 4), "", VALUES(4)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BOOL, "2", 0, 1, 0);
    fixture_release(&f);
    CHECK_OK(run(&f, "Equal", ASSAY_BOOL, "2", VALUES(1, 0), "2", VALUES(1, 1)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BOOL, "2", 0, 1, 0);
    fixture_release(&f);
}

ASSAY_TEST(logic_and_bits)
{
    struct fixture f;
    CHECK_OK(run(&f, "Xor", ASSAY_BOOL, "4", VALUES(0, 0, 1, 1), "4", VALUES(0, 1, 0, 1)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BOOL, "4", 0, 0, 1, 1, 0);
    fixture_release(&f);
    CHECK_OK(run(&f, "BitwiseXor", ASSAY_I16, "1", VALUES(-1), "1", VALUES(255)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I16, "1", 0, -256);
    fixture_release(&f);
    fixture_init(&f, "BitShift");
    fixture_string(&f, "direction", "LEFT");
    fixture_input(&f, ASSAY_U8, "3", VALUES(1, 255, 1));
    fixture_input(&f, ASSAY_U8, "3", VALUES(3, 1, 8));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_U8, "3", 0, 8, 254, 0);
    fixture_release(&f);
}

ASSAY_TEST(pow_takes_an_exponent_of_another_dtype)
{
    struct fixture f;
    fixture_init(&f, "Pow");
    fixture_input(&f, ASSAY_F32, "3", VALUES(2, 3, 4));
    fixture_input(&f, ASSAY_I8, "3", VALUES(3, -1, 0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3", 1e-7, 8, 1 / 3., 1);
    fixture_release(&f);
    fixture_init(&f, "Pow");
    fixture_input(&f, ASSAY_I64, "4", VALUES(3, -1, 2, 7));
    fixture_input(&f, ASSAY_I32, "4", VALUES(39, -3, -1, 0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK(((int64_t *)f.results[0].data)[0] == INT64_C(4052555153018976267)); /* 3^39, the largest that fits */
    CHECK_INT(((int64_t *)f.results[0].data)[1], -1);
    CHECK_INT(((int64_t *)f.results[0].data)[2], 0);
    CHECK_INT(((int64_t *)f.results[0].data)[3], 1);
    fixture_release(&f);
    fixture_init(&f, "Pow");
    fixture_input(&f, ASSAY_F32, "2", VALUES(3, -1.5));
    fixture_input(&f, ASSAY_F32, "", VALUES(2));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2", 0, 9, 2.25);
    fixture_release(&f);
}

ASSAY_TEST(powers_that_are_no_integer_are_invalid)
{
    struct fixture f;
    fixture_init(&f, "Pow");
    fixture_input(&f, ASSAY_I32, "1", VALUES(0));
    fixture_input(&f, ASSAY_I32, "1", VALUES(-1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "negative power");
    fixture_release(&f);
    fixture_init(&f, "Pow");
    fixture_input(&f, ASSAY_I32, "1", VALUES(10));
    fixture_input(&f, ASSAY_F32, "1", VALUES(10));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "i32");
    fixture_release(&f);
    fixture_init(&f, "Pow");
    fixture_input(&f, ASSAY_I64, "1", VALUES(2));
    fixture_input_bytes(&f, ASSAY_U64, "1", (const uint64_t[]){UINT64_MAX});
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "2^63");
    fixture_release(&f);
}

ASSAY_TEST(prelu_slope_broadcasts_to_the_input_only)
{
    struct fixture f;
    CHECK_OK(run(&f, "PRelu", ASSAY_F32, "2,2", VALUES(-1, 2, -3, 4), "2,1", VALUES(0.5, 2)), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,2", 0, -0.5, 2, -6, 4);
    fixture_release(&f);
    CHECK_FAILS(run(&f, "PRelu", ASSAY_F32, "1", VALUES(1), "2", VALUES(1, 2)), ASSAY_INVALID, f, "slope");
    fixture_release(&f);
}

ASSAY_TEST(mixed_dtypes_and_shapes_that_do_not_fit_are_named)
{
    struct fixture f;
    fixture_init(&f, "Add");
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    fixture_input(&f, ASSAY_F64, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "f32 and f64");
    fixture_release(&f);
    CHECK_FAILS(run(&f, "Add", ASSAY_F32, "2", VALUES(1, 2), "3", VALUES(1, 2, 3)), ASSAY_INVALID, f, "broadcast");
    fixture_release(&f);
}

ASSAY_TEST(unknown_dimensions_stay_unknown_at_compile_time)
{
    struct fixture f;
    fixture_init(&f, "Add");
    fixture_unknown_input(&f, ASSAY_F32, "?,3");
    fixture_unknown_input(&f, ASSAY_F32, "1");
    CHECK_OK(fixture_infer(&f), f.err);
    struct assay_type wanted = fixture_type(ASSAY_F32, "?,3");
    CHECK(assay_type_equal(&f.outputs[0], &wanted));
    fixture_release(&f);
}

ASSAY_TEST(prelu_and_mod_have_gradients)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "2,3,4", -3, 3), slope = probe_input(&p, seed & 1 ? "3,1" : "4", 0.5, 1);
        int y = e_op(&p.e, seed & 2 ? "PRelu" : "Mod", E_VALUES(x, slope));
        if (!(seed & 2))
            e_set_int(&p.e, "fmod", 1);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(arithmetic_broadcasts_either_side), ASSAY_TEST_ENTRY(integer_arithmetic_wraps),
                ASSAY_TEST_ENTRY(integer_division_rounds_towards_zero), ASSAY_TEST_ENTRY(quotients_that_do_not_exist_are_invalid),
                ASSAY_TEST_ENTRY(mod_has_the_sign_of_the_divisor_and_with_fmod_of_the_dividend),
                ASSAY_TEST_ENTRY(comparisons_give_bools_and_nan_is_unequal_to_itself), ASSAY_TEST_ENTRY(logic_and_bits),
                ASSAY_TEST_ENTRY(pow_takes_an_exponent_of_another_dtype),
                ASSAY_TEST_ENTRY(powers_that_are_no_integer_are_invalid),
                ASSAY_TEST_ENTRY(prelu_slope_broadcasts_to_the_input_only),
                ASSAY_TEST_ENTRY(mixed_dtypes_and_shapes_that_do_not_fit_are_named),
                ASSAY_TEST_ENTRY(unknown_dimensions_stay_unknown_at_compile_time), ASSAY_TEST_ENTRY(prelu_and_mod_have_gradients))
