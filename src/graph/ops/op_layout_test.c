/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values: small ones by hand, a large transpose by its definition. */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

ASSAY_TEST(transpose_follows_perm_and_reverses_without_one)
{
    struct fixture f;
    fixture_init(&f, "Transpose");
    fixture_input(&f, ASSAY_I16, "2,3", VALUES(1, 2, 3, 4, 5, 6));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I16, "3,2", 0, 1, 4, 2, 5, 3, 6);
    fixture_release(&f);

    int64_t perm[] = {1, 0, 2};
    fixture_init(&f, "Transpose");
    fixture_input(&f, ASSAY_F64, "2,2,2", VALUES(0, 1, 2, 3, 4, 5, 6, 7));
    fixture_ints(&f, "perm", perm, 3);
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "2,2,2", 0, 0, 1, 4, 5, 2, 3, 6, 7);
    perm[1] = 1;
    CHECK_FAILS(fixture_infer(&f), ASSAY_INVALID, f, "no permutation");
    perm[1] = INT64_MIN;
    CHECK_FAILS(fixture_infer(&f), ASSAY_INVALID, f, "no permutation");
    f.attrs[0].n = 2;
    CHECK_FAILS(fixture_infer(&f), ASSAY_INVALID, f, "2 numbers");
    fixture_release(&f);
}

ASSAY_TEST(large_transpose_equals_its_definition)
{
    enum { A = 5, B = 67, C = 3, D = 41 };
    static double values[A * B * C * D];
    for (int i = 0; i < A * B * C * D; i++)
        values[i] = i;
    int64_t perm[] = {3, 0, 2, 1};
    struct fixture f;
    fixture_init(&f, "Transpose");
    fixture_input(&f, ASSAY_F32, "5,67,3,41", values);
    fixture_ints(&f, "perm", perm, 4);
    CHECK_OK(fixture_run(&f), f.err);
    const float *got = f.results[0].data;
    for (int d = 0; d < D; d++)
        for (int a = 0; a < A; a++)
            for (int c = 0; c < C; c++)
                for (int b = 0; b < B; b++, got++)
                    CHECK(*got == (float)(((a * B + b) * C + c) * D + d));
    fixture_release(&f);
}

ASSAY_TEST(space_to_depth_undoes_depth_to_space)
{
    double values[2 * 8 * 2 * 3];
    for (int i = 0; i < 96; i++)
        values[i] = i;
    struct fixture f, g;
    fixture_init(&f, "DepthToSpace");
    fixture_input(&f, ASSAY_U8, "2,8,2,3", values);
    fixture_int(&f, "blocksize", 2);
    CHECK_OK(fixture_run(&f), f.err);
    fixture_init(&g, "SpaceToDepth");
    fixture_input_bytes(&g, ASSAY_U8, "2,2,4,6", f.results[0].data);
    fixture_int(&g, "blocksize", 2);
    CHECK_OK(fixture_run(&g), g.err);
    CHECK(memcmp(g.results[0].data, f.tensors[0].data, 96) == 0);
    f.attrs[0].i = 3;
    CHECK_FAILS(fixture_infer(&f), ASSAY_INVALID, f, "no multiple");
    f.attrs[0].i = 0;
    CHECK_FAILS(fixture_infer(&f), ASSAY_INVALID, f, "blocksize");
    fixture_release(&f);
    fixture_release(&g);
}

ASSAY_TEST(depth_to_space_orders_channels_as_its_mode_says)
{
    /* One pixel, four channels and two output channels: DCR takes every second, CRD neighbours. */
    for (int crd = 0; crd < 2; crd++) {
        struct fixture f;
        fixture_init(&f, "DepthToSpace");
        fixture_input(&f, ASSAY_F32, "1,8,1,1", VALUES(0, 1, 2, 3, 4, 5, 6, 7));
        fixture_int(&f, "blocksize", 2);
        fixture_string(&f, "mode", crd ? "CRD" : "DCR");
        CHECK_OK(fixture_run(&f), f.err);
        if (crd)
            CHECK_RESULT(&f, 0, ASSAY_F32, "1,2,2,2", 0, 0, 1, 2, 3, 4, 5, 6, 7);
        else
            CHECK_RESULT(&f, 0, ASSAY_F32, "1,2,2,2", 0, 0, 2, 4, 6, 1, 3, 5, 7);
        fixture_release(&f);
    }
}

ASSAY_TEST(reverse_sequence_reverses_the_first_elements_of_each)
{
    struct fixture f;
    fixture_init(&f, "ReverseSequence");
    fixture_input(&f, ASSAY_F32, "3,2", VALUES(1, 2, 3, 4, 5, 6)); /* [time, batch] */
    fixture_input(&f, ASSAY_I64, "2", VALUES(3, 2));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "3,2", 0, 5, 4, 3, 2, 1, 6);
    ((int64_t *)f.tensors[1].data)[1] = 4;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "length 4 of 3");
    fixture_int(&f, "batch_axis", 0);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "batch_axis");
    fixture_int(&f, "time_axis", 1);
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "the number of sequences");
    fixture_release(&f);
}

ASSAY_TEST(trilu_keeps_either_side_of_any_diagonal)
{
    static const struct {
        int64_t upper, k;
        double wanted[6];
    } cases[] = {{1, 0, {1, 2, 3, 0, 5, 6}},         {0, 0, {1, 0, 0, 4, 5, 0}}, {1, 1, {0, 2, 3, 0, 0, 6}},
                 {0, -1, {0, 0, 0, 4, 0, 0}},        {1, INT64_MAX, {0}},        {0, INT64_MAX, {1, 2, 3, 4, 5, 6}},
                 {1, INT64_MIN, {1, 2, 3, 4, 5, 6}}, {0, INT64_MIN, {0}}};
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct fixture f;
        fixture_init(&f, "Trilu");
        fixture_input(&f, ASSAY_F16, "2,3", VALUES(1, 2, 3, 4, 5, 6));
        fixture_input(&f, ASSAY_I64, "", VALUES(0));
        ((int64_t *)f.tensors[1].data)[0] = cases[i].k;
        fixture_int(&f, "upper", cases[i].upper);
        CHECK_OK(fixture_run(&f), f.err);
        fixture_check(&f, 0, ASSAY_F16, "2,3", 0, cases[i].wanted, 6, __FILE__, __LINE__);
        fixture_release(&f);
    }
}

ASSAY_TEST(changes_of_layout_have_gradients)
{
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "2,4,2,4", -1, 1), lengths = probe_constant(&p, ASSAY_I64, "2", VALUES(1, 3));
        probe_output(&p, e_transpose(&p.e, x, E_INTS(1, 3, 0, 2)));
        probe_output(&p, e_unary(&p.e, "Transpose", x));
        int y = e_unary(&p.e, "DepthToSpace", x);
        e_set_int(&p.e, "blocksize", 2);
        e_set_text(&p.e, "mode", seed % 2 ? "CRD" : "DCR");
        probe_output(&p, y);
        y = e_unary(&p.e, "SpaceToDepth", x);
        e_set_int(&p.e, "blocksize", 2);
        probe_output(&p, y);
        y = e_op(&p.e, "ReverseSequence", E_VALUES(x, lengths));
        e_set_int(&p.e, "batch_axis", 0);
        e_set_int(&p.e, "time_axis", 1);
        probe_output(&p, y);
        y = e_op(&p.e, "Trilu", E_VALUES(x, seed < 2 ? -1 : e_int(&p.e, -1)));
        e_set_int(&p.e, "upper", (int64_t)seed % 2);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(transpose_follows_perm_and_reverses_without_one),
                ASSAY_TEST_ENTRY(large_transpose_equals_its_definition), ASSAY_TEST_ENTRY(space_to_depth_undoes_depth_to_space),
                ASSAY_TEST_ENTRY(depth_to_space_orders_channels_as_its_mode_says),
                ASSAY_TEST_ENTRY(reverse_sequence_reverses_the_first_elements_of_each),
                ASSAY_TEST_ENTRY(trilu_keeps_either_side_of_any_diagonal), ASSAY_TEST_ENTRY(changes_of_layout_have_gradients))
