/* SPDX-License-Identifier: Apache-2.0 */
/* Elementary functions against constants of the NIST Digital Library of Mathematical Functions; the rest by hand. */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

static void check_one(const char *op, enum assay_dtype dtype, double x, double wanted, double tolerance)
{
    struct fixture f;
    fixture_init(&f, op);
    fixture_input(&f, dtype, "1", VALUES(x));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, dtype, "1", tolerance * (1 + fabs(wanted)), wanted);
    fixture_release(&f);
}

ASSAY_TEST(elementary_functions_have_their_known_values)
{
    static const struct {
        const char *op;
        double x, wanted;
    } known[] = {
        {"Exp", 1, 2.718281828459045},      {"Log", 10, 2.302585092994046},    {"Sqrt", 2, 1.4142135623730951},
        {"Erf", 0.5, 0.5204998778130465},   {"Sin", 1, 0.8414709848078965},    {"Cos", 1, 0.5403023058681398},
        {"Tan", 1, 1.5574077246549023},     {"Asin", 0.5, 0.5235987755982989}, {"Acos", 0.5, 1.0471975511965979},
        {"Atan", 1, 0.7853981633974483},    {"Sinh", 1, 1.1752011936438014},   {"Cosh", 1, 1.5430806348152437},
        {"Tanh", 0.5, 0.46211715726000973}, {"Asinh", 1, 0.881373587019543},   {"Acosh", 2, 1.3169578969248166},
        {"Atanh", 0.5, 0.5493061443340549}, {"Reciprocal", 8, 0.125},
    };
    for (size_t i = 0; i < ASSAY_COUNT(known); i++) {
        /* libm promises about an ulp: 2^-23 for f32, 2^-52 for f64; f16 and bf16 are rounded once more. */
        check_one(known[i].op, ASSAY_F32, known[i].x, known[i].wanted, 2.5e-7);
        check_one(known[i].op, ASSAY_F64, known[i].x, known[i].wanted, 5e-16);
        check_one(known[i].op, ASSAY_F16, known[i].x, known[i].wanted, 5e-4);
        check_one(known[i].op, ASSAY_BF16, known[i].x, known[i].wanted, 4e-3);
    }
}

ASSAY_TEST(round_goes_to_even_at_the_half)
{
    struct fixture f;
    fixture_init(&f, "Round");
    fixture_input(&f, ASSAY_F32, "7", VALUES(0.5, 1.5, 2.5, -0.5, -1.5, 2.4, NAN));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "7", 0, 0, 2, 2, 0, -2, 2, NAN);
    fixture_release(&f);
}

ASSAY_TEST(abs_neg_and_sign_wrap_at_the_smallest_integer)
{
    struct fixture f;
    fixture_init(&f, "Abs");
    fixture_input(&f, ASSAY_I8, "3", VALUES(-128, -5, 7));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I8, "3", 0, -128, 5, 7);
    fixture_release(&f);
    fixture_init(&f, "Neg");
    fixture_input_bytes(&f, ASSAY_I64, "2", (const int64_t[]){INT64_MIN, 3});
    CHECK_OK(fixture_run(&f), f.err);
    CHECK(((int64_t *)f.results[0].data)[0] == INT64_MIN && ((int64_t *)f.results[0].data)[1] == -3);
    fixture_release(&f);
    fixture_init(&f, "Sign");
    fixture_input(&f, ASSAY_F64, "4", VALUES(-2.5, 0, 1e-300, NAN));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "4", 0, -1, 0, 1, NAN);
    fixture_release(&f);
    fixture_init(&f, "Sign");
    fixture_input(&f, ASSAY_U32, "2", VALUES(0, 4e9));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_U32, "2", 0, 0, 1);
    fixture_release(&f);
}

ASSAY_TEST(tests_of_floats_give_bools)
{
    struct fixture f;
    fixture_init(&f, "IsNaN");
    fixture_input(&f, ASSAY_F16, "3", VALUES(NAN, 1, INFINITY));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BOOL, "3", 0, 1, 0, 0);
    fixture_release(&f);
    fixture_init(&f, "IsInf");
    fixture_int(&f, "detect_negative", 0);
    fixture_input(&f, ASSAY_F32, "4", VALUES(INFINITY, -INFINITY, NAN, 1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BOOL, "4", 0, 1, 0, 0, 0);
    fixture_release(&f);
}

ASSAY_TEST(not_and_bitwise_not)
{
    struct fixture f;
    fixture_init(&f, "Not");
    fixture_input(&f, ASSAY_BOOL, "2", VALUES(1, 0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BOOL, "2", 0, 0, 1);
    fixture_release(&f);
    fixture_init(&f, "BitwiseNot");
    fixture_input(&f, ASSAY_U8, "2", VALUES(0, 0xf0));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_U8, "2", 0, 0xff, 0x0f);
    fixture_release(&f);
}

ASSAY_TEST(a_dtype_that_the_op_does_not_take_is_named)
{
    struct fixture f;
    fixture_init(&f, "Exp");
    fixture_input(&f, ASSAY_I32, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "i32");
    fixture_release(&f);
}

ASSAY_TEST(a_tensor_without_elements_gives_one)
{
    struct fixture f;
    fixture_init(&f, "Exp");
    fixture_input(&f, ASSAY_F32, "3,0", NULL);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_INT(assay_tensor_count(&f.results[0]), 0);
    fixture_release(&f);
}

ASSAY_TEST(elementary_functions_have_gradients)
{
    static const struct {
        const char *type;
        double low, high;
    } cases[] = {{"Abs", -1, 1},   {"Acos", -0.9, 0.9},  {"Acosh", 1.2, 3}, {"Asin", -0.9, 0.9},    {"Asinh", -2, 2},
                 {"Atan", -2, 2},  {"Atanh", -0.9, 0.9}, {"Cos", -3, 3},    {"Cosh", -2, 2},        {"Erf", -2, 2},
                 {"Exp", -2, 2},   {"Log", 0.2, 3},      {"Neg", -1, 1},    {"Reciprocal", 0.3, 2}, {"Sin", -3, 3},
                 {"Sinh", -2, 2},  {"Sqrt", 0.2, 3},     {"Tan", -1, 1},    {"Tanh", -2, 2},        {"Sign", -1, 1},
                 {"Floor", -3, 3}, {"Ceil", -3, 3},      {"Round", -3, 3}};
    for (uint64_t seed = 0; seed < 3 * ASSAY_COUNT(cases); seed++) {
        size_t k = seed % ASSAY_COUNT(cases);
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, seed % 2 ? "3,5" : "7", cases[k].low, cases[k].high);
        probe_output(&p, e_unary(&p.e, cases[k].type, x));
        probe_output(&p, x);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(elementary_functions_have_their_known_values), ASSAY_TEST_ENTRY(round_goes_to_even_at_the_half),
                ASSAY_TEST_ENTRY(abs_neg_and_sign_wrap_at_the_smallest_integer), ASSAY_TEST_ENTRY(tests_of_floats_give_bools),
                ASSAY_TEST_ENTRY(not_and_bitwise_not), ASSAY_TEST_ENTRY(a_dtype_that_the_op_does_not_take_is_named),
                ASSAY_TEST_ENTRY(a_tensor_without_elements_gives_one), ASSAY_TEST_ENTRY(elementary_functions_have_gradients))
