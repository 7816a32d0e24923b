/* SPDX-License-Identifier: Apache-2.0 */
/* If, Loop and Scan over a small interpreter of this test; wanted values by hand. */
#include "graph/ops/fixture.h"

#include "graph/infer.h"

enum { ROOM = 32 };

/* What runs a graph here: its values, and those of the graph around it. */
struct frame {
    const struct assay_graph *graph;
    struct assay_tensor values[ROOM];
    struct frame *outer;
};

static enum assay_status run_frame(struct frame *frame, struct assay_error *err);

static void release_frame(struct frame *frame)
{
    for (int i = 0; i < ROOM; i++)
        assay_tensor_release(&frame->values[i]);
}

static enum assay_status run_body(struct assay_op_call *call, struct assay_graph *body, int n_inputs,
                                  const struct assay_tensor *inputs, int n_outputs, struct assay_tensor *outputs,
                                  struct assay_error *err)
{
    struct frame frame = {.graph = body, .outer = call->run_context};
    CHECK(body->n_values <= ROOM);
    CHECK_INT(n_inputs, body->n_inputs);
    CHECK_INT(n_outputs, body->n_outputs);
    for (int i = 0; i < n_inputs; i++)
        assay_tensor_share(&frame.values[body->inputs[i]], &inputs[i]);
    for (int i = 0; i < body->n_values; i++)
        if (body->values[i].outer >= 0)
            assay_tensor_share(&frame.values[i], &frame.outer->values[body->values[i].outer]);
    enum assay_status st = run_frame(&frame, err);
    for (int i = 0; i < n_outputs && !st; i++)
        assay_tensor_share(&outputs[i], &frame.values[body->outputs[i]]);
    release_frame(&frame);
    return st;
}

static enum assay_status run_frame(struct frame *frame, struct assay_error *err)
{
    const struct assay_graph *graph = frame->graph;
    struct assay_arena scratch;
    assay_arena_init(&scratch);
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < graph->n_values; i++)
        if (graph->values[i].constant.data && !graph->values[i].is_inferred)
            assay_tensor_share(&frame->values[i], &graph->values[i].constant);
    for (int i = 0; i < graph->n_nodes && !st; i++) {
        const struct assay_node *node = graph->nodes[i];
        struct assay_type inputs[ROOM], outputs[ROOM];
        const struct assay_tensor *data[ROOM] = {NULL};
        struct assay_tensor results[ROOM] = {{.data = NULL}};
        for (int k = 0; k < node->n_inputs; k++) {
            inputs[k] = (struct assay_type){.rank = -1};
            if (node->inputs[k] < 0)
                continue;
            data[k] = &frame->values[node->inputs[k]];
            inputs[k] = data[k]->type;
        }
        struct assay_op_call call = {.node = node,
                                     .opset = graph->opset,
                                     .n_inputs = node->n_inputs,
                                     .n_outputs = node->n_outputs,
                                     .inputs = inputs,
                                     .data = data,
                                     .outputs = outputs,
                                     .results = results,
                                     .scratch = &scratch,
                                     .run_body = run_body,
                                     .run_context = frame};
        st = assay_op_run(node->op, &call, err);
        for (int k = 0; k < node->n_outputs && !st; k++)
            frame->values[node->outputs[k]] = results[k];
    }
    assay_arena_release(&scratch);
    return st;
}

/* ---- Making graphs */

static int input(struct assay_graph *graph, const char *name, enum assay_dtype dtype, const char *dims)
{
    struct assay_type type = fixture_type(dtype, dims);
    int value = assay_graph_add_value(graph, name, &type);
    assay_graph_add_input(graph, value);
    return value;
}

static int constant(struct assay_graph *graph, enum assay_dtype dtype, const char *dims, const double *values)
{
    struct assay_type type = fixture_type(dtype, dims);
    struct assay_tensor tensor;
    struct assay_error err;
    CHECK_OK(assay_tensor_alloc(&tensor, &type, &err), err);
    for (int64_t i = 0; i < assay_type_count(&type); i++)
        assay_tensor_set_real(&tensor, i, values[i]);
    int value = assay_graph_add_constant(graph, "constant", &tensor);
    assay_tensor_release(&tensor);
    return value;
}

static struct assay_node *node(struct assay_graph *graph, const char *type, int n_inputs, const int *inputs, int n_outputs,
                               int *outputs)
{
    for (int i = 0; i < n_outputs; i++)
        outputs[i] = assay_graph_add_value(graph, type, NULL);
    return assay_graph_add_node(graph, type, "", n_inputs, inputs, n_outputs, outputs);
}

/* An op of one output. */
static int op(struct assay_graph *graph, const char *type, int a, int b)
{
    int output;
    node(graph, type, b < 0 ? 1 : 2, (int[]){a, b}, 1, &output);
    return output;
}

/* Infers and runs; outputs (the graph's) are the caller's. */
static enum assay_status run(struct assay_graph *graph, const struct assay_tensor *inputs, struct assay_tensor *outputs,
                             struct assay_error *err)
{
    struct frame frame = {.graph = graph};
    CHECK(graph->n_values <= ROOM);
    enum assay_status st = assay_graph_sort(graph, err);
    if (!st)
        st = assay_graph_infer(graph, err);
    for (int i = 0; i < graph->n_inputs && !st; i++)
        assay_tensor_share(&frame.values[graph->inputs[i]], &inputs[i]);
    if (!st)
        st = run_frame(&frame, err);
    for (int i = 0; i < graph->n_outputs && !st; i++)
        assay_tensor_share(&outputs[i], &frame.values[graph->outputs[i]]);
    release_frame(&frame);
    return st;
}

static void check_tensor(struct assay_tensor *got, enum assay_dtype dtype, const char *dims, const double *wanted, size_t n)
{
    struct fixture f = {.results = {*got}};
    fixture_check(&f, 0, dtype, dims, 1e-6, wanted, n, __FILE__, __LINE__);
    assay_tensor_release(got);
}
#define CHECK_TENSOR(got, dtype, dims, ...) check_tensor(got, dtype, dims, VALUES(__VA_ARGS__), N_VALUES(__VA_ARGS__))

static void check_type(const struct assay_graph *graph, int output, const char *wanted)
{
    char text[64];
    CHECK_TEXT(assay_type_text(&graph->values[graph->outputs[output]].type, text, sizeof text), wanted);
}

static struct assay_tensor tensor(enum assay_dtype dtype, const char *dims, const double *values)
{
    struct assay_type type = fixture_type(dtype, dims);
    struct assay_tensor made;
    struct assay_error err;
    CHECK_OK(assay_tensor_alloc(&made, &type, &err), err);
    for (int64_t i = 0; i < assay_type_count(&type); i++)
        assay_tensor_set_real(&made, i, values[i]);
    return made;
}

/* ---- If */

/* condition ? x + x : Squeeze(x), both of them captures of x, whose shape is `dims`. */
static struct assay_graph *if_graph(const char *dims)
{
    struct assay_graph *graph = assay_graph_open("if");
    int condition = input(graph, "condition", ASSAY_BOOL, ""), x = input(graph, "x", ASSAY_F32, dims), result;
    struct assay_node *the_if = node(graph, "If", 1, &condition, 1, &result);
    for (int k = 0; k < 2; k++) {
        struct assay_graph *body = assay_graph_open_body(graph, "branch");
        int captured = assay_graph_capture(body, x);
        int zero = constant(body, ASSAY_I64, "1", VALUES(0));
        assay_graph_add_output(body, k ? op(body, "Squeeze", captured, zero) : op(body, "Add", captured, captured));
        assay_node_set_graph(graph, the_if, k ? "else_branch" : "then_branch", body);
    }
    assay_graph_add_output(graph, result);
    return graph;
}

ASSAY_TEST(if_runs_the_branch_of_its_condition)
{
    struct assay_graph *graph = if_graph("1,2");
    struct assay_error err;
    for (int k = 0; k < 2; k++) {
        struct assay_tensor in[2] = {tensor(ASSAY_BOOL, "", VALUES(k)), tensor(ASSAY_F32, "1,2", VALUES(3, 4))}, out;
        CHECK_OK(run(graph, in, &out, &err), err);
        if (k)
            CHECK_TENSOR(&out, ASSAY_F32, "1,2", 6, 8);
        else
            CHECK_TENSOR(&out, ASSAY_F32, "2", 3, 4);
        assay_tensor_release(&in[0]);
        assay_tensor_release(&in[1]);
    }
    check_type(graph, 0, "f32[...]"); /* the branches' ranks differ */
    assay_graph_close(graph);
}

ASSAY_TEST(a_branch_that_cannot_run_at_these_shapes_does_no_harm)
{
    struct assay_graph *graph = if_graph("3,2"); /* which Squeeze refuses */
    struct assay_error err;
    struct assay_tensor in[2] = {tensor(ASSAY_BOOL, "", VALUES(1)), tensor(ASSAY_F32, "3,2", VALUES(1, 2, 3, 4, 5, 6))}, out;
    CHECK_OK(run(graph, in, &out, &err), err);
    CHECK_TENSOR(&out, ASSAY_F32, "3,2", 2, 4, 6, 8, 10, 12);
    assay_tensor_release(&in[0]);
    in[0] = tensor(ASSAY_BOOL, "", VALUES(0));
    CHECK_INT(run(graph, in, &out, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "is 3, not 1");
    assay_tensor_release(&in[0]);
    in[0] = tensor(ASSAY_BOOL, "2", VALUES(0, 1));
    CHECK_INT(run(graph, in, &out, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "one bool");
    assay_tensor_release(&in[0]);
    assay_tensor_release(&in[1]);
    assay_graph_close(graph);
}

/* ---- Loop */

/* state doubles (or, with `grow`, is joined with itself) each time; the scan output is state + iteration number (as f32). It goes
 * on while the first element of the state is below 20 and the trip count is not reached. */
static struct assay_graph *loop_graph(bool has_limit, bool has_condition, bool grow)
{
    struct assay_graph *graph = assay_graph_open("loop");
    int limit = input(graph, "limit", ASSAY_I64, ""), start = input(graph, "start", ASSAY_BOOL, "");
    int x = input(graph, "x", ASSAY_F32, "2"), outputs[2];
    struct assay_node *loop = node(graph, "Loop", 3, (int[]){has_limit ? limit : -1, has_condition ? start : -1, x}, 2, outputs);
    struct assay_graph *body = assay_graph_open_body(graph, "body");
    int trip = input(body, "trip", ASSAY_I64, ""), going = input(body, "going", ASSAY_BOOL, "");
    int state = input(body, "state", ASSAY_F32, "?"), number;
    (void)going;
    assay_node_set_int(body, node(body, "Cast", 1, &trip, 1, &number), "to", ASSAY_F32);
    int next;
    if (grow)
        assay_node_set_int(body, node(body, "Concat", 2, (int[]){state, state}, 1, &next), "axis", 0);
    else
        next = op(body, "Add", state, state);
    int first = op(body, "Gather", next, constant(body, ASSAY_I64, "", VALUES(0)));
    assay_graph_add_output(body, op(body, "Less", first, constant(body, ASSAY_F32, "", VALUES(20))));
    assay_graph_add_output(body, next);
    assay_graph_add_output(body, op(body, "Add", grow ? first : next, number));
    assay_node_set_graph(graph, loop, "body", body);
    assay_graph_add_output(graph, outputs[0]);
    assay_graph_add_output(graph, outputs[1]);
    return graph;
}

static enum assay_status run_loop(struct assay_graph *graph, double limit, double start, struct assay_tensor *out,
                                  struct assay_error *err)
{
    struct assay_tensor in[3] = {tensor(ASSAY_I64, "", &limit), tensor(ASSAY_BOOL, "", &start),
                                 tensor(ASSAY_F32, "2", VALUES(3, 1))};
    enum assay_status st = run(graph, in, out, err);
    for (int i = 0; i < 3; i++)
        assay_tensor_release(&in[i]);
    return st;
}

ASSAY_TEST(loop_stops_at_its_trip_count_or_its_condition)
{
    struct assay_error err;
    struct assay_tensor out[2];
    struct assay_graph *graph = loop_graph(true, true, false);
    CHECK_OK(run_loop(graph, 2, 1, out, &err), err);
    CHECK_TENSOR(&out[0], ASSAY_F32, "2", 12, 4);
    CHECK_TENSOR(&out[1], ASSAY_F32, "2,2", 6, 2, 13, 5);
    CHECK_OK(run_loop(graph, 100, 1, out, &err), err);
    CHECK_TENSOR(&out[0], ASSAY_F32, "2", 24, 8);
    CHECK_TENSOR(&out[1], ASSAY_F32, "3,2", 6, 2, 13, 5, 26, 10);
    check_type(graph, 0, "f32[2]");
    check_type(graph, 1, "f32[?,2]");
    assay_graph_close(graph);

    graph = loop_graph(false, true, false); /* no trip count */
    CHECK_OK(run_loop(graph, 0, 1, out, &err), err);
    CHECK_TENSOR(&out[0], ASSAY_F32, "2", 24, 8);
    assay_tensor_release(&out[1]);
    assay_graph_close(graph);

    graph = loop_graph(true, false, false); /* the body's condition is not asked */
    CHECK_OK(run_loop(graph, 4, 0, out, &err), err);
    CHECK_TENSOR(&out[0], ASSAY_F32, "2", 48, 16);
    CHECK_TENSOR(&out[1], ASSAY_F32, "4,2", 6, 2, 13, 5, 26, 10, 51, 19);
    assay_graph_close(graph);
}

ASSAY_TEST(a_loop_without_iterations_hands_its_states_on)
{
    struct assay_error err;
    struct assay_tensor out[2];
    struct assay_graph *graph = loop_graph(true, true, false);
    for (int k = 0; k < 3; k++) {
        CHECK_OK(run_loop(graph, k == 0 ? 5 : -k + 1, k != 0, out, &err), err);
        CHECK_TENSOR(&out[0], ASSAY_F32, "2", 3, 1);
        CHECK_INT(out[1].type.rank, 2);
        CHECK_INT(out[1].type.dims[0], 0);
        CHECK_INT(out[1].type.dims[1], 2);
        assay_tensor_release(&out[1]);
    }
    assay_graph_close(graph);
}

ASSAY_TEST(a_state_may_grow)
{
    struct assay_error err;
    struct assay_tensor out[2];
    struct assay_graph *graph = loop_graph(true, false, true);
    CHECK_OK(run_loop(graph, 2, 1, out, &err), err);
    CHECK_TENSOR(&out[0], ASSAY_F32, "8", 3, 1, 3, 1, 3, 1, 3, 1);
    CHECK_TENSOR(&out[1], ASSAY_F32, "2", 3, 4);
    check_type(graph, 0, "f32[?]");
    check_type(graph, 1, "f32[?]");
    assay_graph_close(graph);
}

ASSAY_TEST(a_loop_that_never_ends_is_refused)
{
    struct assay_error err;
    struct assay_tensor out[2];
    struct assay_graph *graph = loop_graph(false, false, false);
    CHECK_INT(run_loop(graph, 1, 1, out, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "never ends");
    assay_graph_close(graph);
}

/* ---- Scan */

/* Running sum of x [3, 2] or its transpose, scanned along `axis`; the sums are stacked along `out_axis`. */
static struct assay_graph *scan_graph(const char *dims, int64_t axis, int64_t out_axis, int64_t backwards)
{
    struct assay_graph *graph = assay_graph_open("scan");
    int start = input(graph, "start", ASSAY_F32, "2"), x = input(graph, "x", ASSAY_F32, dims), outputs[2];
    struct assay_node *scan = node(graph, "Scan", 2, (int[]){start, x}, 2, outputs);
    struct assay_graph *body = assay_graph_open_body(graph, "body");
    int sum = op(body, "Add", input(body, "state", ASSAY_F32, "2"), input(body, "element", ASSAY_F32, "2"));
    assay_graph_add_output(body, sum);
    assay_graph_add_output(body, sum);
    assay_node_set_graph(graph, scan, "body", body);
    assay_node_set_int(graph, scan, "num_scan_inputs", 1);
    assay_node_set_ints(graph, scan, "scan_input_axes", &axis, 1);
    assay_node_set_ints(graph, scan, "scan_output_axes", &out_axis, 1);
    assay_node_set_ints(graph, scan, "scan_input_directions", &backwards, 1);
    assay_node_set_ints(graph, scan, "scan_output_directions", &backwards, 1);
    assay_graph_add_output(graph, outputs[0]);
    assay_graph_add_output(graph, outputs[1]);
    return graph;
}

static enum assay_status run_scan(struct assay_graph *graph, const char *dims, const double *x, struct assay_tensor *out,
                                  struct assay_error *err)
{
    struct assay_tensor in[2] = {tensor(ASSAY_F32, "2", VALUES(0, 0)), tensor(ASSAY_F32, dims, x)};
    enum assay_status st = run(graph, in, out, err);
    assay_tensor_release(&in[0]);
    assay_tensor_release(&in[1]);
    return st;
}

ASSAY_TEST(scan_goes_along_any_axis_in_both_directions)
{
    struct assay_error err;
    struct assay_tensor out[2];
    struct assay_graph *graph = scan_graph("3,2", 0, 0, 0);
    CHECK_OK(run_scan(graph, "3,2", VALUES(1, 2, 3, 4, 5, 6), out, &err), err);
    CHECK_TENSOR(&out[0], ASSAY_F32, "2", 9, 12);
    CHECK_TENSOR(&out[1], ASSAY_F32, "3,2", 1, 2, 4, 6, 9, 12);
    check_type(graph, 0, "f32[2]");
    check_type(graph, 1, "f32[3,2]");
    assay_graph_close(graph);

    graph = scan_graph("2,3", 1, -1, 1); /* from the last to the first, results in the order of the input */
    CHECK_OK(run_scan(graph, "2,3", VALUES(1, 3, 5, 2, 4, 6), out, &err), err);
    CHECK_TENSOR(&out[0], ASSAY_F32, "2", 9, 12);
    CHECK_TENSOR(&out[1], ASSAY_F32, "2,3", 9, 8, 5, 12, 10, 6);
    check_type(graph, 1, "f32[2,3]");
    assay_graph_close(graph);
}

ASSAY_TEST(scan_of_an_empty_sequence_hands_its_states_on)
{
    struct assay_error err;
    struct assay_tensor out[2];
    struct assay_graph *graph = scan_graph("0,2", 0, 1, 0);
    CHECK_OK(run_scan(graph, "0,2", VALUES(0), out, &err), err);
    CHECK_TENSOR(&out[0], ASSAY_F32, "2", 0, 0);
    CHECK_INT(out[1].type.dims[0], 2);
    CHECK_INT(out[1].type.dims[1], 0);
    assay_tensor_release(&out[1]);
    assay_graph_close(graph);
}

ASSAY_TEST(scans_that_do_not_fit_are_refused)
{
    struct assay_error err;
    struct assay_tensor out[2];
    struct assay_graph *graph = scan_graph("3,2", 2, 0, 0);
    CHECK_INT(run_scan(graph, "3,2", (const double[6]){0}, out, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "axis 2");
    assay_graph_close(graph);
    graph = scan_graph("3,2", 0, 0, 2);
    CHECK_INT(run_scan(graph, "3,2", (const double[6]){0}, out, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "0 and 1 only");
    assay_graph_close(graph);
    graph = scan_graph("3,2", 0, 0, 0);
    assay_node_set_int(graph, graph->nodes[0], "num_scan_inputs", 3);
    CHECK_INT(run_scan(graph, "3,2", (const double[6]){0}, out, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "3 scan inputs");
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(if_runs_the_branch_of_its_condition),
                ASSAY_TEST_ENTRY(a_branch_that_cannot_run_at_these_shapes_does_no_harm),
                ASSAY_TEST_ENTRY(loop_stops_at_its_trip_count_or_its_condition),
                ASSAY_TEST_ENTRY(a_loop_without_iterations_hands_its_states_on), ASSAY_TEST_ENTRY(a_state_may_grow),
                ASSAY_TEST_ENTRY(a_loop_that_never_ends_is_refused),
                ASSAY_TEST_ENTRY(scan_goes_along_any_axis_in_both_directions),
                ASSAY_TEST_ENTRY(scan_of_an_empty_sequence_hands_its_states_on),
                ASSAY_TEST_ENTRY(scans_that_do_not_fit_are_refused))
