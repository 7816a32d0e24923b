/* SPDX-License-Identifier: Apache-2.0 */
/* Activations from their steps, as our builder and PyTorch's exporters write them. Oracle: the steps. */
#include "graph/passes/testing.h"

enum { ERF_LAST, ERF_FIRST, ERF_HALVED, TANH_POW, TANH_FAST, SILU, QUICK, HARD, MISH, N_FORMS };

static int erf_gate(struct assay_graph *g, int x, double divisor)
{
    int scaled = testing_node(g, "Div", NUMBERS(x, testing_number(g, divisor)), "d");
    return testing_node(g, "Add", NUMBERS(testing_node(g, "Erf", NUMBERS(scaled), "e"), testing_number(g, 1)), "a");
}

static int tanh_gate(struct assay_graph *g, int inner)
{
    return testing_node(g, "Add", NUMBERS(testing_number(g, 1), testing_node(g, "Tanh", NUMBERS(inner), "t")), "a");
}

static int mul(struct assay_graph *g, int a, int b) { return testing_node(g, "Mul", NUMBERS(a, b), "m"); }

static int form(struct assay_graph *g, int which, int x)
{
    int half = testing_number(g, 0.5), factor = testing_number(g, 0.044715), root = testing_number(g, 0.7978845608028654);
    int inner;
    switch (which) {
    case ERF_LAST:
        return mul(g, mul(g, x, erf_gate(g, x, 1.4142135623730951)), half);
    case ERF_FIRST:
        return mul(g, mul(g, half, x), erf_gate(g, x, 1.4142135623730951));
    case ERF_HALVED:
        return mul(g, x, mul(g, erf_gate(g, x, 1.4142135623730951), half));
    case TANH_POW:
        inner = mul(g, factor, testing_node(g, "Pow", NUMBERS(x, testing_number(g, 3)), "p"));
        return mul(g, mul(g, x, half), tanh_gate(g, mul(g, root, testing_node(g, "Add", NUMBERS(x, inner), "s"))));
    case TANH_FAST:
        inner = testing_node(g, "Add", NUMBERS(testing_number(g, 1), mul(g, mul(g, factor, x), x)), "s");
        return mul(g, mul(g, x, half), tanh_gate(g, mul(g, mul(g, x, root), inner)));
    case SILU:
        return mul(g, x, testing_node(g, "Sigmoid", NUMBERS(x), "g"));
    case QUICK:
        return mul(g, x, testing_node(g, "Sigmoid", NUMBERS(mul(g, x, testing_number(g, 1.702))), "g"));
    case HARD:
        inner = testing_node(g, "Add", NUMBERS(x, testing_number(g, 3)), "s");
        inner = testing_node(g, "Clip", NUMBERS(inner, testing_number(g, 0), testing_number(g, 6)), "c");
        return testing_node(g, "Div", NUMBERS(mul(g, x, inner), testing_number(g, 6)), "q");
    default:
        return mul(g, x, testing_node(g, "Tanh", NUMBERS(testing_node(g, "Softplus", NUMBERS(x), "p")), "t"));
    }
}

ASSAY_TEST(each_form_becomes_one_node_that_gives_the_same)
{
    static const char *const types[N_FORMS] = {"Gelu", "Gelu", "Gelu", "Gelu", "Gelu", "Swish", "Swish", "HardSwish", "Mish"};
    for (int which = 0; which < N_FORMS; which++) {
        struct assay_graph *g = assay_graph_open("g");
        int x = testing_input(g, "x", ASSAY_F32, DIMS(3, 4, 5));
        assay_graph_add_output(g, form(g, which, x));
        testing_pass(g, "activation", which & 1);
        CHECK_INT(g->n_nodes, 1);
        CHECK_TEXT(g->nodes[0]->type, types[which]);
        assay_graph_close(g);
    }
}

ASSAY_TEST(look_alikes_stay)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(3, 4)), z = testing_input(g, "z", ASSAY_F32, DIMS(3, 4));
    int half = testing_number(g, 0.5), gate = erf_gate(g, x, 1.4142135623730951);
    assay_graph_add_output(g, mul(g, mul(g, x, erf_gate(g, x, 1.5)), half));                /* another divisor */
    assay_graph_add_output(g, mul(g, mul(g, z, erf_gate(g, x, 1.4142135623730951)), half)); /* another factor */
    assay_graph_add_output(g, mul(g, mul(g, x, gate), half));
    assay_graph_add_output(g, gate); /* read by others too */
    assay_graph_add_output(g, mul(g, z, testing_node(g, "Sigmoid", NUMBERS(x), "g")));
    testing_pass(g, "activation", false);
    CHECK_INT(testing_count(g, "", "Gelu") + testing_count(g, "", "Swish"), 0);
    assay_graph_close(g);
}

ASSAY_TEST(a_constant_that_adds_a_dimension_keeps_the_steps)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(4)), half = testing_weight(g, "half", DIMS(1, 1), 0, 0.5);
    assay_graph_add_output(g, mul(g, mul(g, x, erf_gate(g, x, 1.4142135623730951)), half));
    testing_pass(g, "activation", false);
    CHECK_INT(testing_count(g, "", "Gelu"), 0);
    assay_graph_close(g);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(each_form_becomes_one_node_that_gives_the_same), ASSAY_TEST_ENTRY(look_alikes_stay),
                ASSAY_TEST_ENTRY(a_constant_that_adds_a_dimension_keeps_the_steps))
