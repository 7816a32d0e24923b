/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary positions. Oracle: their steps. */
#include "graph/passes/testing.h"

static int slice(struct assay_graph *g, int x, int64_t from, int64_t to)
{
    return testing_node(g, "Slice", NUMBERS(x, testing_ints(g, DIMS(from)), testing_ints(g, DIMS(to)), testing_ints(g, DIMS(-1))),
                        "slice");
}

static int concat(struct assay_graph *g, int a, int b)
{
    int y = testing_node(g, "Concat", NUMBERS(a, b), "concat");
    assay_node_set_int(g, testing_last(g), "axis", -1);
    return y;
}

static int mul(struct assay_graph *g, int a, int b) { return testing_node(g, "Mul", NUMBERS(a, b), "mul"); }

static int turn(struct assay_graph *g, int x, int64_t d, int cosine, int sine, const char *first)
{
    int a = slice(g, x, 0, d / 2), b = slice(g, x, d / 2, d);
    int low = testing_node(g, first, NUMBERS(mul(g, a, cosine), mul(g, b, sine)), "low");
    return concat(g, low, testing_node(g, "Add", NUMBERS(mul(g, b, cosine), mul(g, a, sine)), "high"));
}

ASSAY_TEST(turned_halves_become_rotary_embedding)
{
    for (int which = 0; which < 4; which++) {
        struct assay_graph *g = assay_graph_open("g");
        int64_t batch = which & 1 ? 1 : 2; /* tables of one batch for all */
        int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 3, 4, 8));
        int c = testing_input(g, "c", ASSAY_F32, DIMS(batch, 3, 1, 4)),
            s = testing_input(g, "s", ASSAY_F32, DIMS(batch, 3, 1, 4));
        assay_graph_add_output(g, turn(g, x, 8, c, s, "Sub"));
        testing_pass(g, "rotary", which & 2);
        CHECK_INT(testing_count(g, "", "RotaryEmbedding"), 1);
        CHECK_INT(testing_count(g, "", "Mul"), 0);
        assay_graph_close(g);
    }
}

ASSAY_TEST(what_is_not_turned_comes_along)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 3, 4, 10));
    int c = testing_input(g, "c", ASSAY_F32, DIMS(2, 3, 1, 3)), s = testing_input(g, "s", ASSAY_F32, DIMS(2, 3, 1, 3));
    assay_graph_add_output(g, concat(g, turn(g, slice(g, x, 0, 6), 6, c, s, "Sub"), slice(g, x, 6, INT64_MAX)));
    testing_pass(g, "rotary", false);
    CHECK_INT(testing_count(g, "", "RotaryEmbedding"), 1);
    CHECK_INT(testing_count(g, "", "Slice") + testing_count(g, "", "Concat"), 0);
    assay_graph_close(g);
}

ASSAY_TEST(look_alikes_stay)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 3, 4, 8));
    int c = testing_input(g, "c", ASSAY_F32, DIMS(2, 3, 1, 4)), s = testing_input(g, "s", ASSAY_F32, DIMS(2, 3, 1, 4));
    int by_head = testing_input(g, "h", ASSAY_F32, DIMS(2, 3, 4, 4));
    assay_graph_add_output(g, turn(g, x, 8, c, s, "Add"));
    assay_graph_add_output(g, turn(g, x, 8, by_head, s, "Sub"));
    int a = slice(g, x, 0, 4), b = slice(g, x, 3, 7);
    int low = testing_node(g, "Sub", NUMBERS(mul(g, a, c), mul(g, b, s)), "low");
    assay_graph_add_output(g, concat(g, low, testing_node(g, "Add", NUMBERS(mul(g, b, c), mul(g, a, s)), "high")));
    testing_pass(g, "rotary", false);
    CHECK_INT(testing_count(g, "", "RotaryEmbedding"), 0);
    assay_graph_close(g);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(turned_halves_become_rotary_embedding), ASSAY_TEST_ENTRY(what_is_not_turned_comes_along),
                ASSAY_TEST_ENTRY(look_alikes_stay))
