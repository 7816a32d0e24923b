/* SPDX-License-Identifier: Apache-2.0 */
/* The standard's rules for a loaded graph. */
#include "graph/testing.h"

static struct assay_graph *sound_graph(void)
{
    struct assay_graph *graph = assay_graph_open("g");
    int64_t four = 4;
    int x = testing_input(graph, "x", ASSAY_F32, 1, &four);
    int y = testing_node(graph, "Add", NUMBERS(x, x), "y");
    testing_last(graph)->name = "sum";
    assay_graph_add_output(graph, testing_node(graph, "Concat", NUMBERS(x, y), "z"));
    assay_node_set_int(graph, testing_last(graph), "axis", 0);
    return graph;
}

static void check_breach(struct assay_graph *graph, enum assay_status status, const char *part)
{
    struct assay_error err;
    CHECK_INT(assay_graph_check(graph, &err), status);
    CHECK_CONTAINS(err.message, part);
    assay_graph_close(graph);
}

ASSAY_TEST(a_sound_graph_passes)
{
    struct assay_error err;
    struct assay_graph *graph = sound_graph();
    CHECK_OK(assay_graph_check(graph, &err), err);
    assay_graph_close(graph);
}

ASSAY_TEST(a_breach_is_named_with_its_node)
{
    struct assay_graph *graph = sound_graph();
    graph->nodes[0]->n_inputs = 1;
    check_breach(graph, ASSAY_INVALID, "Add 'sum': it has 1 inputs");

    graph = sound_graph();
    graph->nodes[0]->inputs[1] = -1;
    check_breach(graph, ASSAY_INVALID, "Add 'sum': its input 1 is not given");

    graph = sound_graph();
    assay_node_set_float(graph, graph->nodes[1], "axis", 0);
    check_breach(graph, ASSAY_INVALID, "Concat: attribute 'axis' is a float, the standard wants an integer");

    graph = sound_graph();
    graph->nodes[0]->outputs = (int[]){1, 2};
    graph->nodes[0]->n_outputs = 2;
    check_breach(graph, ASSAY_INVALID, "2 outputs");

    graph = sound_graph();
    testing_node(graph, "Mystery", NUMBERS(0), "m");
    check_breach(graph, ASSAY_UNSUPPORTED, "no op Mystery");
}

ASSAY_TEST(doubles_in_the_interface_are_reported)
{
    struct assay_graph *graph = sound_graph();
    assay_graph_add_output(graph, graph->outputs[0]);
    check_breach(graph, ASSAY_INVALID, "output 'z' twice");

    graph = sound_graph();
    assay_graph_add_input(graph, graph->inputs[0]);
    check_breach(graph, ASSAY_INVALID, "input 'x' twice");

    check_breach(assay_graph_open("empty"), ASSAY_INVALID, "no outputs");

    graph = sound_graph();
    graph->values[0].type.dtype = ASSAY_NO_DTYPE;
    check_breach(graph, ASSAY_INVALID, "'x' has no element type");
}

ASSAY_TEST(bodies_are_checked_too)
{
    struct assay_graph *graph = sound_graph(), *body = assay_graph_open_body(graph, "then_branch");
    assay_graph_add_output(body, testing_node(body, "Add", NUMBERS(assay_graph_capture(body, 0)), "s"));
    int out = testing_node(graph, "If", NUMBERS(0), "branch");
    assay_node_set_graph(graph, testing_last(graph), "then_branch", body);
    assay_graph_add_output(graph, out);
    check_breach(graph, ASSAY_INVALID, "If: Add: it has 1 inputs");
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_sound_graph_passes), ASSAY_TEST_ENTRY(a_breach_is_named_with_its_node),
                ASSAY_TEST_ENTRY(doubles_in_the_interface_are_reported), ASSAY_TEST_ENTRY(bodies_are_checked_too))
