/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values: numpy.broadcast_to and numpy.tile. */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

ASSAY_TEST(expand_broadcasts_both_ways)
{
    struct fixture f;
    fixture_init(&f, "Expand");
    fixture_input(&f, ASSAY_I16, "2,1", VALUES(1, 2));
    fixture_input(&f, ASSAY_I64, "3", VALUES(2, 1, 3));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I16, "2,2,3", 0, 1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2);
    ((int64_t *)f.tensors[1].data)[1] = 3;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "do not broadcast");
    ((int64_t *)f.tensors[1].data)[1] = -1;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "is -1");
    fixture_release(&f);
}

ASSAY_TEST(expand_to_an_open_shape_keeps_what_must_stay)
{
    struct fixture f;
    char text[64];
    fixture_init(&f, "Expand");
    fixture_unknown_input(&f, ASSAY_F32, "4,1");
    fixture_unknown_input(&f, ASSAY_I64, "3");
    CHECK_OK(fixture_infer(&f), f.err);
    CHECK_TEXT(assay_type_text(&f.outputs[0], text, sizeof text), "f32[?,4,?]");
    fixture_release(&f);
}

ASSAY_TEST(tile_repeats_each_dimension)
{
    struct fixture f;
    fixture_init(&f, "Tile");
    fixture_input(&f, ASSAY_BOOL, "2,2", VALUES(1, 0, 0, 0));
    fixture_input(&f, ASSAY_I64, "2", VALUES(2, 3));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_BOOL, "4,6", 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0);
    ((int64_t *)f.tensors[1].data)[0] = 0;
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_INT(f.results[0].type.dims[0], 0);
    ((int64_t *)f.tensors[1].data)[0] = -1;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "repeated -1 times");
    ((int64_t *)f.tensors[1].data)[0] = INT64_MAX;
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "repeated");
    fixture_release(&f);
}

ASSAY_TEST(repeats_have_the_sum_as_gradient)
{
    struct probe p;
    probe_init(&p, 1);
    int x = probe_input(&p, "2,1,3", -1, 1);
    probe_output(&p, e_expand(&p.e, x, e_ints(&p.e, E_INTS(4, 1, 5, 1))));
    probe_output(&p, e_op(&p.e, "Tile", E_VALUES(x, e_ints(&p.e, E_INTS(3, 2, 2)))));
    probe_output(&p, e_op(&p.e, "Tile", E_VALUES(x, e_ints(&p.e, E_INTS(1, 4, 1)))));
    probe_check(&p);
    probe_release(&p);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(expand_broadcasts_both_ways), ASSAY_TEST_ENTRY(expand_to_an_open_shape_keeps_what_must_stay),
                ASSAY_TEST_ENTRY(tile_repeats_each_dimension), ASSAY_TEST_ENTRY(repeats_have_the_sum_as_gradient))
