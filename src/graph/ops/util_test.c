/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/ops/util.h"

#include "base/rng.h"
#include "graph/ops/fixture.h"

ASSAY_TEST(axes_are_counted_from_both_ends)
{
    struct assay_error err;
    int axis;
    unsigned mask;
    CHECK_OK(assay_rule_axis(-3, 3, &axis, &err), err);
    CHECK_INT(axis, 0);
    CHECK_OK(assay_rule_axis(2, 3, &axis, &err), err);
    CHECK_INT(axis, 2);
    CHECK_INT(assay_rule_axis(3, 3, &axis, &err), ASSAY_INVALID);
    CHECK_INT(assay_rule_axis(INT64_MIN, 3, &axis, &err), ASSAY_INVALID);
    CHECK_INT(assay_rule_axis(0, 0, &axis, &err), ASSAY_INVALID);
    CHECK_OK(assay_rule_axes((const int64_t[]){-1, 0}, 2, 3, &mask, &err), err);
    CHECK_INT(mask, 5);
    CHECK_INT(assay_rule_axes((const int64_t[]){-1, 2}, 2, 3, &mask, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "twice");
}

ASSAY_TEST(shapes_broadcast_with_unknown_dimensions)
{
    static const struct {
        const char *a, *b, *wanted;
    } cases[] = {
        {"2,3", "3", "2,3"}, {"2,1", "1,3", "2,3"}, {"", "4", "4"},      {"?", "1", "?"},
        {"?", "5", "5"},     {"?,3", "2,?", "2,3"}, {"0,3", "1", "0,3"}, {"1", "0", "0"},
    };
    struct assay_error err;
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct assay_type a = fixture_type(ASSAY_F32, cases[i].a), b = fixture_type(ASSAY_F32, cases[i].b);
        struct assay_type wanted = fixture_type(ASSAY_F32, cases[i].wanted), out = {.dtype = ASSAY_F32};
        CHECK_OK(assay_rule_broadcast(&a, &b, &out, &err), err);
        CHECK(assay_type_equal(&out, &wanted));
        CHECK_OK(assay_rule_broadcast(&b, &a, &out, &err), err);
        CHECK(assay_type_equal(&out, &wanted));
    }
    struct assay_type a = fixture_type(ASSAY_F32, "2,3"), b = fixture_type(ASSAY_F32, "2"), out;
    CHECK_INT(assay_rule_broadcast(&a, &b, &out, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "do not broadcast");
}

ASSAY_TEST(a_walk_visits_what_an_index_by_index_broadcast_visits)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 3, assay_rng_stream("walk"));
    for (int trial = 0; trial < 500; trial++) {
        /* A random shape, and two operands that lack leading dimensions or have 1 where it has more. */
        struct assay_type shape = {.dtype = ASSAY_F32, .rank = (int)assay_rng_below(&rng, 6)}, operands[2];
        for (int d = 0; d < shape.rank; d++)
            shape.dims[d] = (int64_t)assay_rng_below(&rng, 8) ? 1 + (int64_t)assay_rng_below(&rng, 4) : 0;
        for (int k = 0; k < 2; k++) {
            int missing = (int)assay_rng_below(&rng, (uint64_t)shape.rank + 1);
            operands[k] = assay_type_make(ASSAY_F32, shape.rank - missing, shape.dims + missing);
            for (int d = 0; d < operands[k].rank; d++)
                if (assay_rng_below(&rng, 2))
                    operands[k].dims[d] = 1;
        }
        const struct assay_type *types[2] = {&operands[0], &operands[1]};
        struct assay_walk walk;
        int64_t visited = 0, index[ASSAY_MAX_RANK] = {0};
        for (assay_walk_broadcast(&walk, &shape, 2, types); walk.more; assay_walk_next(&walk))
            for (int64_t i = 0; i < walk.n; i++, visited++) {
                for (int k = 0; k < 2; k++) {
                    int64_t wanted = 0;
                    for (int d = 0; d < operands[k].rank; d++) {
                        int64_t at = index[d + shape.rank - operands[k].rank];
                        wanted = wanted * operands[k].dims[d] + (operands[k].dims[d] == 1 ? 0 : at);
                    }
                    CHECK_INT(walk.offset[k] + i * walk.step[k], wanted);
                }
                for (int d = shape.rank - 1; d >= 0 && ++index[d] == shape.dims[d]; d--)
                    index[d] = 0;
            }
        CHECK_INT(visited, assay_type_count(&shape));
    }
}

ASSAY_TEST(contiguous_operands_are_one_inner_loop)
{
    struct assay_type shape = fixture_type(ASSAY_F32, "2,3,4,5"), scalar = fixture_type(ASSAY_F32, "");
    const struct assay_type *types[2] = {&shape, &scalar};
    struct assay_walk walk;
    assay_walk_broadcast(&walk, &shape, 2, types);
    CHECK(walk.more);
    CHECK_INT(walk.n, 120);
    CHECK_INT(walk.step[0], 1);
    CHECK_INT(walk.step[1], 0);
    assay_walk_next(&walk);
    CHECK(!walk.more);
}

ASSAY_TEST(a_shape_without_elements_may_have_dimensions_whose_product_overflows)
{
    struct assay_type type = fixture_type(ASSAY_F32, "4611686018427387904,4611686018427387904,0,9");
    const struct assay_type *types[1] = {&type};
    struct assay_walk walk;
    assay_walk_broadcast(&walk, &type, 1, types);
    CHECK(!walk.more);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(axes_are_counted_from_both_ends), ASSAY_TEST_ENTRY(shapes_broadcast_with_unknown_dimensions),
                ASSAY_TEST_ENTRY(a_walk_visits_what_an_index_by_index_broadcast_visits),
                ASSAY_TEST_ENTRY(contiguous_operands_are_one_inner_loop),
                ASSAY_TEST_ENTRY(a_shape_without_elements_may_have_dimensions_whose_product_overflows))
