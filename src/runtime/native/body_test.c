/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of If, Loop and Scan on the native runtime against the reference runtime, which interprets them. */
#include "runtime/native/testing.h"

static const int64_t vector[] = {8};

/* A branch that multiplies x (captured) with a matrix that is constant outside, then adds what `with` is. */
static struct assay_graph *add_branch(struct assay_graph *graph, int x, int matrix, const char *with)
{
    struct assay_graph *body = assay_graph_open_body(graph, with);
    int in[] = {assay_graph_capture(body, x), assay_graph_capture(body, matrix)};
    int product = testing_node(body, "MatMul", 2, in, "product");
    int terms[] = {product, in[0]};
    assay_graph_add_output(body, testing_node(body, with, 2, terms, "y"));
    return body;
}

ASSAY_TEST(a_branch_reads_what_is_around_it)
{
    for (int sign = 0; sign < 2; sign++) {
        struct assay_graph *graph = assay_graph_open("if");
        int x = testing_input(graph, "x", ASSAY_F32, 1, vector), y;
        int matrix = testing_random_constant(graph, "w", ASSAY_F32, 2, (const int64_t[]){8, 8});
        int doubled = testing_node(graph, "Add", 2, (int[]){x, x}, "doubled");
        int sum = testing_node(graph, "ReduceSum", 1, &x, "sum");
        assay_node_set_int(graph, testing_last(graph), "keepdims", 0);
        int limit = testing_scalar(graph, ASSAY_F32, sign ? 1e9 : -1e9);
        int condition = testing_node(graph, "Greater", 2, (int[]){sum, limit}, "condition");
        struct assay_graph *then_body = add_branch(graph, doubled, matrix, "Add"),
                           *else_body = add_branch(graph, doubled, matrix, "Sub");
        y = testing_node(graph, "If", 1, &condition, "y");
        assay_node_set_graph(graph, testing_last(graph), "then_branch", then_body);
        assay_node_set_graph(graph, testing_last(graph), "else_branch", else_body);
        assay_graph_add_output(graph, testing_node(graph, "Neg", 1, &y, "z"));
        testing_equals_reference(graph, 2e-6);
    }
}

/* A loop whose state grows by a row in each iteration, which also gives a scan output of rows. */
static struct assay_graph *add_loop_body(struct assay_graph *graph, int captured)
{
    struct assay_graph *body = assay_graph_open_body(graph, "body");
    int trip = testing_input(body, "trip", ASSAY_I64, 0, NULL), go = testing_input(body, "go", ASSAY_BOOL, 0, NULL);
    int state = testing_input(body, "state", ASSAY_F32, 2, (const int64_t[]){-1, 4});
    int row = assay_graph_capture(body, captured);
    int number = testing_node(body, "Cast", 1, &trip, "number");
    assay_node_set_int(body, testing_last(body), "to", 1);
    int scaled = testing_node(body, "Mul", 2, (int[]){row, number}, "scaled");
    int grown = testing_node(body, "Concat", 2, (int[]){state, scaled}, "grown");
    assay_node_set_int(body, testing_last(body), "axis", 0);
    assay_graph_add_output(body, testing_node(body, "Identity", 1, &go, "on"));
    assay_graph_add_output(body, grown);
    assay_graph_add_output(body, testing_node(body, "Tanh", 1, &scaled, "element"));
    return body;
}

ASSAY_TEST(a_state_may_grow_in_each_iteration)
{
    struct assay_graph *graph = assay_graph_open("loop");
    int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){1, 4});
    int row = testing_node(graph, "Exp", 1, &x, "row");
    int in[] = {testing_scalar(graph, ASSAY_I64, 40), -1, x}, out[2];
    for (int i = 0; i < 2; i++)
        out[i] = assay_graph_add_value(graph, "y", NULL);
    struct assay_graph *body = add_loop_body(graph, row);
    struct assay_node *node = assay_graph_add_node(graph, "Loop", "", 3, in, 2, out);
    assay_node_set_graph(graph, node, "body", body);
    for (int i = 0; i < 2; i++)
        assay_graph_add_output(graph, out[i]);
    testing_equals_reference(graph, 2e-6);
}

/* Sums of the rows of a sequence so far, with an If inside the body that reads a value two levels around it. */
ASSAY_TEST(bodies_within_bodies)
{
    struct assay_graph *graph = assay_graph_open("scan");
    int start = testing_input(graph, "start", ASSAY_F32, 1, vector),
        rows = testing_input(graph, "rows", ASSAY_F32, 2, (const int64_t[]){6, 8});
    int factor = testing_node(graph, "Sigmoid", 1, &start, "factor");
    struct assay_graph *body = assay_graph_open_body(graph, "body");
    int state = testing_input(body, "state", ASSAY_F32, 1, vector), row = testing_input(body, "row", ASSAY_F32, 1, vector);
    int around = assay_graph_capture(body, factor);
    int sum = testing_node(body, "ReduceSum", 1, &row, "sum");
    assay_node_set_int(body, testing_last(body), "keepdims", 0);
    int condition = testing_node(body, "Greater", 2, (int[]){sum, testing_scalar(body, ASSAY_F32, 0)}, "condition");
    struct assay_graph *branches[2];
    for (int i = 0; i < 2; i++) {
        branches[i] = assay_graph_open_body(body, i ? "else" : "then");
        int in[] = {assay_graph_capture(branches[i], row), assay_graph_capture(branches[i], around)};
        assay_graph_add_output(branches[i], testing_node(branches[i], i ? "Sub" : "Mul", 2, in, "chosen"));
    }
    int chosen = testing_node(body, "If", 1, &condition, "chosen");
    assay_node_set_graph(body, testing_last(body), "then_branch", branches[0]);
    assay_node_set_graph(body, testing_last(body), "else_branch", branches[1]);
    int next = testing_node(body, "Add", 2, (int[]){state, chosen}, "next");
    assay_graph_add_output(body, next);
    assay_graph_add_output(body, testing_node(body, "Identity", 1, &next, "element"));
    int in[] = {start, rows}, out[] = {assay_graph_add_value(graph, "last", NULL), assay_graph_add_value(graph, "all", NULL)};
    struct assay_node *node = assay_graph_add_node(graph, "Scan", "", 2, in, 2, out);
    assay_node_set_int(graph, node, "num_scan_inputs", 1);
    assay_node_set_graph(graph, node, "body", body);
    for (int i = 0; i < 2; i++)
        assay_graph_add_output(graph, out[i]);
    testing_equals_reference(graph, 2e-6);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_branch_reads_what_is_around_it), ASSAY_TEST_ENTRY(a_state_may_grow_in_each_iteration),
                ASSAY_TEST_ENTRY(bodies_within_bodies))
