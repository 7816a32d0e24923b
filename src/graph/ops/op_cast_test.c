/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

static void cast(struct fixture *f, enum assay_dtype from, enum assay_dtype to, double x)
{
    fixture_init(f, "Cast");
    fixture_int(f, "to", to);
    fixture_input(f, from, "1", VALUES(x));
    CHECK_OK(fixture_run(f), f->err);
}

static void check(enum assay_dtype from, enum assay_dtype to, double x, double wanted)
{
    struct fixture f;
    cast(&f, from, to, x);
    CHECK_RESULT(&f, 0, to, "1", 0, wanted);
    fixture_release(&f);
}

ASSAY_TEST(every_dtype_becomes_every_other)
{
#define X(name, number, word, size, type) ASSAY_##name,
    static const enum assay_dtype all[] = {ASSAY_DTYPES(X)};
#undef X
    for (size_t a = 0; a < ASSAY_COUNT(all); a++)
        for (size_t b = 0; b < ASSAY_COUNT(all); b++) {
            check(all[a], all[b], 1, 1);
            check(all[a], all[b], 0, 0);
            if (all[a] != ASSAY_BOOL && all[b] != ASSAY_BOOL)
                check(all[a], all[b], 100, 100);
        }
}

ASSAY_TEST(floats_become_integers_towards_zero_and_within_bounds)
{
    check(ASSAY_F32, ASSAY_I32, -1.9, -1);
    check(ASSAY_F32, ASSAY_U8, 300, 255);
    check(ASSAY_F32, ASSAY_U8, -0.9, 0);
    check(ASSAY_F64, ASSAY_I8, -1000, -128);
    check(ASSAY_F32, ASSAY_I32, 2147483648.0, 2147483647.0);
    check(ASSAY_F32, ASSAY_I32, NAN, 0);
    check(ASSAY_F64, ASSAY_U64, -1, 0);
    check(ASSAY_F32, ASSAY_I16, INFINITY, 32767);
    struct fixture f;
    cast(&f, ASSAY_F64, ASSAY_I64, 0x1p63);
    CHECK(*(int64_t *)f.results[0].data == INT64_MAX);
    fixture_release(&f);
    cast(&f, ASSAY_F64, ASSAY_I64, -0x1p63);
    CHECK(*(int64_t *)f.results[0].data == INT64_MIN);
    fixture_release(&f);
    cast(&f, ASSAY_F64, ASSAY_U64, 0x1p64);
    CHECK(*(uint64_t *)f.results[0].data == UINT64_MAX);
    fixture_release(&f);
}

ASSAY_TEST(integers_keep_their_low_bits)
{
    check(ASSAY_I32, ASSAY_U8, -1, 255);
    check(ASSAY_U16, ASSAY_I8, 200, -56);
    check(ASSAY_I64, ASSAY_I32, 4294967297.0, 1);
}

ASSAY_TEST(anything_but_zero_is_true)
{
    check(ASSAY_F32, ASSAY_BOOL, 0.25, 1);
    check(ASSAY_F64, ASSAY_BOOL, NAN, 1);
    check(ASSAY_F16, ASSAY_BOOL, -0.0, 0);
    check(ASSAY_I64, ASSAY_BOOL, 256, 1);
    check(ASSAY_BOOL, ASSAY_F16, 1, 1);
}

ASSAY_TEST(narrow_floats_are_rounded_once)
{
    /* Just above the middle of 1 and its neighbour in f16, by less than f32 can tell: rounding by way of f32 would end at 1. */
    check(ASSAY_F64, ASSAY_F16, 1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-10);
    check(ASSAY_F64, ASSAY_F16, 1 + 0x1p-11, 1);
    check(ASSAY_F64, ASSAY_F16, 1 + 0x1p-11 - 0x1p-40, 1);
    check(ASSAY_F64, ASSAY_F16, 1 + 3 * 0x1p-11 - 0x1p-40, 1 + 0x1p-10);
    check(ASSAY_F64, ASSAY_BF16, 1 + 0x1p-8 + 0x1p-40, 1 + 0x1p-7);
    check(ASSAY_F64, ASSAY_BF16, -1 - 0x1p-8 - 0x1p-40, -1 - 0x1p-7);
    check(ASSAY_F64, ASSAY_F16, 0x1p-25 + 0x1p-60, 0x1p-24); /* half of the smallest, and a little */
    check(ASSAY_F64, ASSAY_F16, 0x1p-25, 0);
    check(ASSAY_F64, ASSAY_F16, 65519.999, 65504);
    check(ASSAY_F64, ASSAY_F16, 65520, INFINITY);
    check(ASSAY_F64, ASSAY_BF16, 1e300, INFINITY);
    check(ASSAY_F32, ASSAY_F16, -INFINITY, -INFINITY);
    check(ASSAY_F32, ASSAY_BF16, NAN, NAN);
    struct fixture f;
    fixture_init(&f, "Cast");
    fixture_int(&f, "to", ASSAY_BF16);
    fixture_input_bytes(&f, ASSAY_I64, "2", (const int64_t[]){(INT64_C(1) << 62) + (INT64_C(1) << 54) + 1, -(INT64_C(1) << 62)});
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BF16, "2", 0, 0x1p62 + 0x1p55, -0x1p62);
    fixture_release(&f);
}

ASSAY_TEST(more_than_a_block_is_converted)
{
    enum { N = 1300 };
    static double values[N];
    for (int i = 0; i < N; i++)
        values[i] = i;
    struct fixture f;
    fixture_init(&f, "Cast");
    fixture_int(&f, "to", ASSAY_F64);
    fixture_input(&f, ASSAY_I16, "1300", values);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK(memcmp(f.results[0].data, values, sizeof values) == 0);
    fixture_release(&f);
}

ASSAY_TEST(cast_like_takes_the_dtype_of_its_second_input)
{
    struct fixture f;
    fixture_init(&f, "CastLike");
    fixture_input(&f, ASSAY_F32, "2", VALUES(1.5, -2.5));
    fixture_input(&f, ASSAY_I8, "0", NULL);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I8, "2", 0, 1, -2);
    fixture_release(&f);
}

ASSAY_TEST(a_target_that_we_do_not_have_is_named)
{
    struct fixture f;
    fixture_init(&f, "Cast");
    fixture_int(&f, "to", 8);
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "string");
    fixture_release(&f);
    fixture_init(&f, "Cast");
    fixture_int(&f, "to", INT64_MIN);
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    CHECK_INT(fixture_run(&f), ASSAY_UNSUPPORTED);
    fixture_release(&f);
    fixture_init(&f, "Cast");
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "'to'");
    fixture_release(&f);
}

ASSAY_TEST(the_gradient_of_a_cast_between_floats_is_cast_back)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("g");
    struct assay_emit e = assay_emit_make(graph, "", &err);
    int dx, x = testing_input(graph, "x", ASSAY_F16, 0, NULL), wide = e_cast(&e, x, ASSAY_F32);
    int back = e_cast(&e, e_mul(&e, wide, e_float(&e, 3)), ASSAY_BF16), loss = e_op(&e, "CastLike", E_VALUES(back, wide));
    CHECK_OK(assay_emit_finish(&e), err);
    CHECK_OK(assay_graph_differentiate(graph, loss, -1, 1, &x, &dx, &err), err);
    CHECK_INT(graph->values[dx].type.dtype, ASSAY_F16);
    assay_graph_add_output(graph, dx);
    struct assay_tensor in, out;
    struct assay_type type = assay_type_make(ASSAY_F16, 0, NULL);
    CHECK_OK(assay_tensor_alloc(&in, &type, &err), err);
    assay_tensor_set_real(&in, 0, 2);
    CHECK_OK(testing_run(graph, &in, &out, &err), err);
    CHECK(assay_tensor_real(&out, 0) == 3);
    assay_tensor_release(&in);
    assay_tensor_release(&out);
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(every_dtype_becomes_every_other),
                ASSAY_TEST_ENTRY(floats_become_integers_towards_zero_and_within_bounds),
                ASSAY_TEST_ENTRY(integers_keep_their_low_bits), ASSAY_TEST_ENTRY(anything_but_zero_is_true),
                ASSAY_TEST_ENTRY(narrow_floats_are_rounded_once), ASSAY_TEST_ENTRY(more_than_a_block_is_converted),
                ASSAY_TEST_ENTRY(cast_like_takes_the_dtype_of_its_second_input),
                ASSAY_TEST_ENTRY(a_target_that_we_do_not_have_is_named),
                ASSAY_TEST_ENTRY(the_gradient_of_a_cast_between_floats_is_cast_back))
