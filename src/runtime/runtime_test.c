/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry and all runtimes on small graphs. Oracles: numbers worked out by hand, a plain executor (graph/testing.h), and
 * ONNX Runtime, which must agree with the reference wherever it is here.
 */
#include "runtime/registry.h"

#include "graph/testing.h"

#include <stdlib.h>

/* ---- running a graph on a platform */

struct session {
    struct assay_arena arena;
    struct assay_platform platform;
    const struct assay_runtime *runtime;
    struct assay_program *program;
    struct assay_error err;
};

static const char *const both[] = {"cpu/reference", "cpu/onnxruntime"};

static bool is_here(const char *platform)
{
    struct assay_arena arena;
    struct assay_platform found;
    const struct assay_runtime *runtime;
    assay_arena_init(&arena);
    bool here = assay_platform_find(&arena, platform, &found, &runtime, NULL) == ASSAY_OK;
    assay_arena_release(&arena);
    return here;
}

static enum assay_status compile_with(struct session *s, const char *platform, struct assay_graph *graph, bool profile,
                                      int n_threads, const struct assay_option *options, size_t n_options)
{
    *s = (struct session){.program = NULL};
    assay_arena_init(&s->arena);
    CHECK_OK(assay_platform_find(&s->arena, platform, &s->platform, &s->runtime, &s->err), s->err);
    struct assay_compile_options compile = {.platform = &s->platform,
                                            .n_threads = n_threads,
                                            .isa = "",
                                            .profile = profile,
                                            .optimization = 3,
                                            .options = options,
                                            .n_options = n_options};
    CHECK_OK(assay_graph_sort(graph, &s->err), s->err);
    return s->runtime->compile(graph, &compile, &s->program, &s->err);
}

static void start(struct session *s, const char *platform, struct assay_graph *graph, const struct assay_tensor *inputs)
{
    CHECK_OK(compile_with(s, platform, graph, false, 1, NULL, 0), s->err);
    CHECK_OK(s->runtime->bind(s->program, inputs, &s->err), s->err);
}

static void run(struct session *s) { CHECK_OK(s->runtime->run(s->program, &s->err), s->err); }

static struct assay_tensor output(struct session *s, int index)
{
    struct assay_tensor tensor;
    CHECK_OK(s->runtime->output(s->program, index, &tensor, &s->err), s->err);
    return tensor;
}

static void check_values(const struct assay_tensor *tensor, const double *wanted, int64_t n)
{
    CHECK_INT(assay_tensor_count(tensor), n);
    for (int64_t i = 0; i < n; i++)
        CHECK_NEAR(assay_tensor_real(tensor, i), wanted[i], 1e-6 * fabs(wanted[i]));
}

static void stop(struct session *s)
{
    s->runtime->release(s->program);
    assay_arena_release(&s->arena);
}

static struct assay_tensor scalar(enum assay_dtype dtype, double value)
{
    struct assay_tensor tensor;
    struct assay_type type = assay_type_make(dtype, 0, NULL);
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    assay_tensor_set_real(&tensor, 0, value);
    return tensor;
}

static const double four_values[] = {1, -2, 3, 0.5};
static const int64_t four = 4;

static struct assay_tensor four_floats(void) { return testing_tensor(ASSAY_F32, four_values, 4); }

/* y = x + x. */
static struct assay_graph *doubling(void)
{
    struct assay_graph *graph = assay_graph_open("doubling");
    int x = testing_input(graph, "x", ASSAY_F32, 1, &four);
    assay_graph_add_output(graph, testing_node(graph, "Add", NUMBERS(x, x), "y"));
    return graph;
}

/* ---- the registry */

ASSAY_TEST(every_runtime_is_found_by_its_name_and_lists_a_platform)
{
    int n = 0;
    for (const struct assay_runtime *r; (r = assay_runtime_at(n)); n++) {
        struct assay_arena arena;
        struct assay_platform_list list = {.arena = &arena, .only = ""};
        assay_arena_init(&arena);
        CHECK(assay_runtime_find(r->name) == r);
        CHECK(r->list && r->compile && r->bind && r->run && r->output && r->release);
        r->list(&list);
        CHECK(list.n > 0);
        for (int i = 0; i < list.n; i++) {
            CHECK_TEXT(list.items[i].runtime, r->name);
            CHECK_CONTAINS(list.items[i].name, r->name);
            CHECK(list.items[i].available == !*list.items[i].reason);
        }
        r->release(NULL);
        assay_arena_release(&arena);
    }
    CHECK(n >= 4);
    CHECK(!assay_runtime_at(-1));
    CHECK(!assay_runtime_find("nothing"));
}

ASSAY_TEST(an_unknown_platform_is_answered_with_those_there_are)
{
    static const char *const unknown[] = {"", "cpu", "cpu/", "cpu/nothing", "cpu/reference2", "gpu/reference", "/"};
    for (size_t i = 0; i < ASSAY_COUNT(unknown); i++) {
        struct assay_arena arena;
        struct assay_platform platform;
        const struct assay_runtime *runtime = NULL;
        struct assay_error err = {0};
        assay_arena_init(&arena);
        CHECK_INT(assay_platform_find(&arena, unknown[i], &platform, &runtime, &err), ASSAY_INVALID);
        CHECK_CONTAINS(err.message, "cpu/reference");
        CHECK(!strstr(err.message, "cpu/null")); /* those are for tests */
        assay_arena_release(&arena);
    }
}

ASSAY_TEST(without_its_library_onnxruntime_is_absent_with_the_reason)
{
    struct assay_arena arena;
    struct assay_platform platform;
    const struct assay_runtime *runtime = NULL;
    struct assay_error err = {0};
    assay_arena_init(&arena);
    setenv("ASSAY_ONNXRUNTIME", "/nonexistent/libonnxruntime.so", 1);
    enum assay_status st = assay_platform_find(&arena, "cpu/onnxruntime", &platform, &runtime, &err);
    unsetenv("ASSAY_ONNXRUNTIME");
    CHECK_INT(st, ASSAY_ABSENT);
    CHECK_CONTAINS(err.message, "ASSAY_ONNXRUNTIME");
    assay_arena_release(&arena);
}

/* ---- what both compute */

ASSAY_TEST(random_graphs_give_what_a_plain_executor_gives)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 1, 1);
    for (int round = 0; round < 30; round++) {
        struct assay_graph *graph = testing_random_graph(&rng, 12);
        struct assay_tensor inputs[2] = {four_floats(), testing_tensor(ASSAY_F32, (const double[]){0.25, 2, -0.75, 1}, 4)};
        struct assay_tensor *wanted = assay_alloc((size_t)graph->n_outputs * sizeof *wanted);
        struct assay_error err;
        CHECK_OK(assay_graph_sort(graph, &err), err);
        CHECK_OK(testing_run(graph, inputs, wanted, &err), err);
        for (size_t p = 0; p < 2; p++) {
            struct session s;
            if (!is_here(both[p]))
                continue;
            start(&s, both[p], graph, inputs);
            run(&s);
            for (int i = 0; i < graph->n_outputs; i++) {
                struct assay_tensor got = output(&s, i);
                struct assay_difference d = assay_tensor_compare(&got, &wanted[i], 1e-6, 1e-6);
                CHECK(d.same_type && d.n_wrong == 0);
            }
            stop(&s);
        }
        for (int i = 0; i < graph->n_outputs; i++)
            assay_tensor_release(&wanted[i]);
        free(wanted);
        assay_tensor_release(&inputs[0]);
        assay_tensor_release(&inputs[1]);
        assay_graph_close(graph);
    }
}

/* If(c): then x + k, else x · v, where v = -x is made outside and k is a constant outside. */
static struct assay_graph *branches(void)
{
    struct assay_graph *graph = assay_graph_open("branches");
    int c = testing_input(graph, "c", ASSAY_BOOL, 0, NULL), x = testing_input(graph, "x", ASSAY_F32, 1, &four);
    int k = testing_constant(graph, "k", ASSAY_F32, (const double[]){10, 20, 30, 40}, 4);
    int v = testing_node(graph, "Neg", NUMBERS(x), "v"), y = assay_graph_add_value(graph, "y", NULL);
    struct assay_graph *yes = assay_graph_open_body(graph, "yes"), *no = assay_graph_open_body(graph, "no");
    assay_graph_add_output(yes, testing_node(yes, "Add", NUMBERS(assay_graph_capture(yes, x), assay_graph_capture(yes, k)), "r"));
    assay_graph_add_output(no, testing_node(no, "Mul", NUMBERS(assay_graph_capture(no, x), assay_graph_capture(no, v)), "r"));
    struct assay_node *node = assay_graph_add_node(graph, "If", "", 1, &c, 1, &y);
    assay_node_set_graph(graph, node, "then_branch", yes);
    assay_node_set_graph(graph, node, "else_branch", no);
    assay_graph_add_output(graph, y);
    return graph;
}

ASSAY_TEST(an_if_runs_one_branch_with_what_it_captures)
{
    for (size_t p = 0; p < 2; p++)
        for (int yes = 0; yes < 2; yes++) {
            struct session s;
            struct assay_graph *graph = branches();
            struct assay_tensor inputs[2] = {scalar(ASSAY_BOOL, yes), four_floats()};
            if (!is_here(both[p]))
                SKIP("%s is not here", both[p]);
            start(&s, both[p], graph, inputs);
            for (int again = 0; again < 2; again++) {
                run(&s);
                struct assay_tensor y = output(&s, 0);
                check_values(&y, yes ? (const double[]){11, 18, 33, 40.5} : (const double[]){-1, -4, -9, -0.25}, 4);
            }
            stop(&s);
            assay_tensor_release(&inputs[0]);
            assay_tensor_release(&inputs[1]);
            assay_graph_close(graph);
        }
}

/* Loop n times: a += If(i odd): w, else: x, both captured over two levels; scans a. n = 3: a = x + w + x. */
static struct assay_graph *nested_loop(void)
{
    struct assay_graph *graph = assay_graph_open("loop");
    int n = testing_input(graph, "n", ASSAY_I64, 0, NULL), x = testing_input(graph, "x", ASSAY_F32, 1, &four);
    int w = testing_node(graph, "Add", NUMBERS(x, x), "w");
    int zero = testing_node(graph, "Sub", NUMBERS(x, x), "zero");
    struct assay_graph *body = assay_graph_open_body(graph, "body");
    int i = testing_input(body, "i", ASSAY_I64, 0, NULL), go = testing_input(body, "go", ASSAY_BOOL, 0, NULL),
        a = testing_input(body, "a", ASSAY_F32, 1, &four);
    struct assay_tensor two = scalar(ASSAY_I64, 2), one = scalar(ASSAY_I64, 1);
    int constant_two = assay_graph_add_constant(body, "two", &two), constant_one = assay_graph_add_constant(body, "one", &one);
    assay_tensor_release(&two);
    assay_tensor_release(&one);
    int odd =
        testing_node(body, "Equal", NUMBERS(testing_node(body, "Mod", NUMBERS(i, constant_two), "rest"), constant_one), "odd");
    int captured_x = assay_graph_capture(body, x), captured_w = assay_graph_capture(body, w);
    struct assay_graph *yes = assay_graph_open_body(body, "yes"), *no = assay_graph_open_body(body, "no");
    assay_graph_add_output(yes, testing_node(yes, "Identity", NUMBERS(assay_graph_capture(yes, captured_w)), "r"));
    assay_graph_add_output(no, testing_node(no, "Identity", NUMBERS(assay_graph_capture(no, captured_x)), "r"));
    int step = testing_node(body, "If", NUMBERS(odd), "step");
    assay_node_set_graph(body, testing_last(body), "then_branch", yes);
    assay_node_set_graph(body, testing_last(body), "else_branch", no);
    int next = testing_node(body, "Add", NUMBERS(a, step), "next");
    assay_graph_add_output(body, testing_node(body, "Identity", NUMBERS(go), "still"));
    assay_graph_add_output(body, next);
    assay_graph_add_output(body, testing_node(body, "Identity", NUMBERS(next), "seen"));
    int outputs[2] = {assay_graph_add_value(graph, "last", NULL), assay_graph_add_value(graph, "all", NULL)};
    struct assay_node *loop = assay_graph_add_node(graph, "Loop", "", 3, (int[]){n, -1, zero}, 2, outputs);
    assay_node_set_graph(graph, loop, "body", body);
    assay_graph_add_output(graph, outputs[0]);
    assay_graph_add_output(graph, outputs[1]);
    return graph;
}

ASSAY_TEST(a_loop_carries_scans_and_captures_over_two_levels)
{
    for (size_t p = 0; p < 2; p++)
        for (int n = 1; n <= 3; n++) {
            struct session s;
            struct assay_graph *graph = nested_loop();
            struct assay_tensor inputs[2] = {scalar(ASSAY_I64, n), four_floats()};
            double last[4];
            static const double factors[] = {0, 1, 3, 4};
            if (!is_here(both[p]))
                SKIP("%s is not here", both[p]);
            for (int k = 0; k < 4; k++)
                last[k] = factors[n] * four_values[k];
            start(&s, both[p], graph, inputs);
            run(&s);
            struct assay_tensor got = output(&s, 0), all = output(&s, 1);
            check_values(&got, last, 4);
            CHECK_INT(all.type.rank, 2);
            CHECK_INT(all.type.dims[0], n);
            CHECK_NEAR(assay_tensor_real(&all, 4 * n - 1), last[3], 1e-6);
            stop(&s);
            assay_tensor_release(&inputs[0]);
            assay_tensor_release(&inputs[1]);
            assay_graph_close(graph);
        }
}

ASSAY_TEST(states_move_from_output_to_input_until_the_next_bind)
{
    for (size_t p = 0; p < 2; p++) {
        struct session s;
        struct assay_graph *graph = doubling();
        struct assay_tensor x = four_floats();
        if (!is_here(both[p]))
            SKIP("%s is not here", both[p]);
        assay_graph_add_state(graph, 0, 0);
        start(&s, both[p], graph, &x);
        for (int again = 0; again < 2; again++) {
            for (int n = 1; n <= 5; n++) {
                run(&s);
                struct assay_tensor y = output(&s, 0);
                CHECK_NEAR(assay_tensor_real(&y, 2), 3 * pow(2, n), 0);
            }
            CHECK_OK(s.runtime->bind(s.program, &x, &s.err), s.err);
        }
        CHECK_NEAR(assay_tensor_real(&x, 2), 3, 0); /* what was bound is not written */
        stop(&s);
        assay_tensor_release(&x);
        assay_graph_close(graph);
    }
}

/* Outputs (b, a + b) of inputs (a, b) as states of the swapped and of the same position, beside one that is no state: Fibonacci.
 */
ASSAY_TEST(several_states_move_together)
{
    for (size_t p = 0; p < 2; p++) {
        struct session s;
        struct assay_graph *graph = assay_graph_open("fibonacci");
        int a = testing_input(graph, "a", ASSAY_I64, 0, NULL), b = testing_input(graph, "b", ASSAY_I64, 0, NULL);
        assay_graph_add_output(graph, testing_node(graph, "Neg", NUMBERS(b), "free"));
        assay_graph_add_output(graph, testing_node(graph, "Add", NUMBERS(a, b), "sum"));
        assay_graph_add_output(graph, testing_node(graph, "Identity", NUMBERS(b), "old"));
        assay_graph_add_state(graph, 1, 1);
        assay_graph_add_state(graph, 2, 0);
        struct assay_tensor inputs[2] = {scalar(ASSAY_I64, 0), scalar(ASSAY_I64, 1)};
        if (!is_here(both[p]))
            SKIP("%s is not here", both[p]);
        start(&s, both[p], graph, inputs);
        static const int wanted[] = {1, 2, 3, 5, 8, 13, 21, 34};
        for (size_t n = 0; n < ASSAY_COUNT(wanted); n++) {
            run(&s);
            struct assay_tensor sum = output(&s, 1), free_one = output(&s, 0);
            CHECK_INT(assay_tensor_int(&sum, 0), wanted[n]);
            CHECK_INT(assay_tensor_int(&free_one, 0), n ? -wanted[n - 1] : -1);
        }
        stop(&s);
        assay_tensor_release(&inputs[0]);
        assay_tensor_release(&inputs[1]);
        assay_graph_close(graph);
    }
}

ASSAY_TEST(a_shape_that_depends_on_data_follows_it)
{
    for (size_t p = 0; p < 2; p++) {
        struct session s;
        struct assay_graph *graph = assay_graph_open("nonzero");
        int x = testing_input(graph, "x", ASSAY_F32, 1, &four);
        assay_graph_add_output(graph, testing_node(graph, "NonZero", NUMBERS(x), "where"));
        struct assay_tensor some = testing_tensor(ASSAY_F32, (const double[]){0, 1, 0, 2}, 4),
                            none = testing_tensor(ASSAY_F32, (const double[]){0, 0, 0, 0}, 4);
        if (!is_here(both[p]))
            SKIP("%s is not here", both[p]);
        start(&s, both[p], graph, &some);
        run(&s);
        struct assay_tensor got = output(&s, 0);
        check_values(&got, (const double[]){1, 3}, 2);
        CHECK_OK(s.runtime->bind(s.program, &none, &s.err), s.err);
        run(&s);
        got = output(&s, 0);
        CHECK_INT(assay_tensor_count(&got), 0);
        stop(&s);
        assay_tensor_release(&some);
        assay_tensor_release(&none);
        assay_graph_close(graph);
    }
}

ASSAY_TEST(an_empty_input_gives_an_empty_output)
{
    for (size_t p = 0; p < 2; p++) {
        struct session s;
        struct assay_graph *graph = assay_graph_open("empty");
        struct assay_tensor x;
        struct assay_type type = assay_type_make(ASSAY_F32, 2, (const int64_t[]){0, 8});
        int in = testing_input(graph, "x", ASSAY_F32, 2, type.dims);
        assay_graph_add_output(graph, testing_node(graph, "Relu", NUMBERS(in), "y"));
        CHECK_INT(assay_tensor_alloc(&x, &type, NULL), ASSAY_OK);
        if (!is_here(both[p]))
            SKIP("%s is not here", both[p]);
        start(&s, both[p], graph, &x);
        run(&s);
        struct assay_tensor y = output(&s, 0);
        CHECK(assay_type_equal(&y.type, &type));
        stop(&s);
        assay_tensor_release(&x);
        assay_graph_close(graph);
    }
}

ASSAY_TEST(an_input_and_a_constant_can_be_outputs)
{
    for (size_t p = 0; p < 2; p++) {
        struct session s;
        struct assay_graph *graph = assay_graph_open("through");
        int x = testing_input(graph, "x", ASSAY_F32, 1, &four);
        assay_graph_add_output(graph, x);
        assay_graph_add_output(graph, testing_constant(graph, "c", ASSAY_F32, four_values, 4));
        assay_graph_add_output(graph, testing_node(graph, "Neg", NUMBERS(x), "y"));
        struct assay_tensor in = four_floats();
        if (!is_here(both[p]))
            SKIP("%s is not here", both[p]);
        start(&s, both[p], graph, &in);
        run(&s);
        for (int i = 0; i < 2; i++) {
            struct assay_tensor got = output(&s, i);
            check_values(&got, four_values, 4);
        }
        stop(&s);
        assay_tensor_release(&in);
        assay_graph_close(graph);
    }
}

/* ---- states that grow: keys and values as a decoder keeps them */

static const char *const computing[] = {"cpu/reference", "cpu/onnxruntime", "cpu/fault", "cpu/null"};

/* past [2, length, 1] and new [2, 1, 1] → present = both behind one another, the state of past; sum [2, 1, 1] over the present.
 */
static struct assay_graph *growing(void)
{
    struct assay_graph *graph = assay_graph_open("growing");
    int past = testing_input(graph, "past", ASSAY_F32, 3, (const int64_t[]){2, -1, 1}),
        new = testing_input(graph, "new", ASSAY_F32, 3, (const int64_t[]){2, -1, 1});
    int present = testing_node(graph, "Concat", NUMBERS(past, new), "present");
    assay_node_set_int(graph, testing_last(graph), "axis", 1);
    assay_graph_add_output(
        graph, testing_node(graph, "ReduceSum",
                            NUMBERS(present, testing_constant(graph, "axes", ASSAY_I64, (const double[]){1}, 1)), "sum"));
    assay_graph_add_output(graph, present);
    assay_graph_add_state(graph, 1, 0);
    return graph;
}

/* f32 [2, length, 1] of these values. */
static struct assay_tensor places(int64_t length, const double *values)
{
    struct assay_type type = assay_type_make(ASSAY_F32, 3, (const int64_t[]){2, length, 1});
    struct assay_tensor tensor;
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    for (int64_t i = 0; i < 2 * length; i++)
        assay_tensor_set_real(&tensor, i, values[i]);
    return tensor;
}

/* On each platform twice, since a new request starts anew: nothing at first, three places at once, then one by one. */
ASSAY_TEST(a_state_that_was_empty_grows_from_run_to_run)
{
    for (size_t p = 0; p < ASSAY_COUNT(computing); p++) {
        struct session s;
        struct assay_graph *graph = growing();
        struct assay_option far = {"n", "1000"};
        if (!is_here(computing[p]) && p < 2)
            SKIP("%s is not here", computing[p]);
        CHECK_OK(compile_with(&s, computing[p], graph, false, 1, &far, p == 2), s.err);
        for (int again = 0; again < 2; again++) {
            struct assay_tensor inputs[2] = {places(0, NULL), places(3, (const double[]){1, 2, 3, 10, 20, 30})};
            CHECK_OK(s.runtime->bind(s.program, inputs, &s.err), s.err);
            run(&s);
            assay_tensor_release(&inputs[0]); /* zeroed now: left out */
            assay_tensor_release(&inputs[1]);
            for (int n = 4; n < 9; n++) {
                inputs[1] = places(1, (const double[]){n, 10 * n});
                CHECK_OK(s.runtime->bind(s.program, inputs, &s.err), s.err);
                run(&s);
                struct assay_tensor sum = output(&s, 0), present = output(&s, 1);
                if (!s.runtime->computes_nothing) {
                    check_values(&sum, (const double[]){n * (n + 1) / 2, 5 * n * (n + 1)}, 2);
                    CHECK_INT(present.type.dims[1], n);
                    CHECK_NEAR(assay_tensor_real(&present, n), 10, 0);
                }
                assay_tensor_release(&inputs[1]);
            }
        }
        stop(&s);
        assay_graph_close(graph);
    }
}

ASSAY_TEST(a_state_can_be_exchanged_between_runs)
{
    for (size_t p = 0; p < 2; p++) {
        struct session s;
        struct assay_graph *graph = growing();
        struct assay_tensor inputs[2] = {places(0, NULL), places(1, (const double[]){1, 2})};
        if (!is_here(both[p]))
            SKIP("%s is not here", both[p]);
        start(&s, both[p], graph, inputs);
        run(&s);
        assay_tensor_release(&inputs[0]);
        inputs[0] = places(2, (const double[]){5, 6, 7, 8});
        CHECK_OK(s.runtime->bind(s.program, inputs, &s.err), s.err);
        run(&s);
        struct assay_tensor sum = output(&s, 0);
        check_values(&sum, (const double[]){12, 17}, 2);
        stop(&s);
        assay_tensor_release(&inputs[0]);
        assay_tensor_release(&inputs[1]);
        assay_graph_close(graph);
    }
}

ASSAY_TEST(what_is_left_out_without_a_value_is_refused_by_name)
{
    for (size_t p = 0; p < ASSAY_COUNT(computing); p++) {
        struct session s;
        struct assay_graph *graph = growing();
        struct assay_option far = {"n", "1000"};
        struct assay_tensor inputs[2] = {{.data = NULL}, places(1, (const double[]){1, 2})};
        if (!is_here(computing[p]) && p < 2)
            SKIP("%s is not here", computing[p]);
        CHECK_OK(compile_with(&s, computing[p], graph, false, 1, &far, p == 2), s.err);
        CHECK_INT(s.runtime->bind(s.program, inputs, &s.err), ASSAY_INVALID);
        CHECK_CONTAINS(s.err.message, "state 'past'");
        inputs[0] = places(0, NULL);
        CHECK_OK(s.runtime->bind(s.program, inputs, &s.err), s.err);
        run(&s);
        assay_tensor_release(&inputs[1]); /* no state ends in it */
        CHECK_INT(s.runtime->bind(s.program, inputs, &s.err), ASSAY_INVALID);
        CHECK_CONTAINS(s.err.message, "input 'new'");
        stop(&s);
        assay_tensor_release(&inputs[0]);
        assay_graph_close(graph);
    }
}

/* The bytes of the first bind are gone by the second run. */
ASSAY_TEST(a_state_that_passes_through_is_kept)
{
    for (size_t p = 0; p < 2; p++) {
        struct session s;
        struct assay_graph *graph = assay_graph_open("through");
        int x = testing_input(graph, "x", ASSAY_F32, 1, &four);
        assay_graph_add_output(graph, testing_node(graph, "Identity", NUMBERS(x), "y"));
        assay_graph_add_state(graph, 0, 0);
        struct assay_tensor in = four_floats();
        if (!is_here(both[p]))
            SKIP("%s is not here", both[p]);
        start(&s, both[p], graph, &in);
        run(&s);
        assay_tensor_release(&in);
        CHECK_OK(s.runtime->bind(s.program, &in, &s.err), s.err);
        run(&s);
        struct assay_tensor y = output(&s, 0);
        check_values(&y, four_values, 4);
        stop(&s);
        assay_graph_close(graph);
    }
}

/* ---- profiles */

ASSAY_TEST(a_profile_has_every_node_of_every_run_in_order)
{
    enum { RUNS = 3 };
    for (size_t p = 0; p < 2; p++) {
        struct session s;
        struct assay_graph *graph = assay_graph_open("two");
        int x = testing_input(graph, "x", ASSAY_F32, 1, &four);
        int sum =
            testing_node(graph, "CumSum", NUMBERS(x, testing_constant(graph, "axis", ASSAY_I64, (const double[]){0}, 1)), "s");
        testing_last(graph)->name = "the-sum";
        assay_graph_add_output(graph, testing_node(graph, "Erf", NUMBERS(sum), "y"));
        testing_last(graph)->name = "the-erf";
        struct assay_tensor in = four_floats();
        const struct assay_op_time *times = NULL;
        int n = 0, seen[RUNS][2] = {{0}};
        if (!is_here(both[p]))
            SKIP("%s is not here", both[p]);
        CHECK_OK(compile_with(&s, both[p], graph, true, 1, NULL, 0), s.err);
        CHECK_OK(s.runtime->bind(s.program, &in, &s.err), s.err);
        for (int r = 0; r < RUNS; r++)
            run(&s);
        CHECK_OK(s.runtime->profile(s.program, &times, &n, &s.err), s.err);
        CHECK_INT(n, 2 * RUNS);
        for (int i = 0; i < n; i++) {
            CHECK(times[i].run >= 0 && times[i].run < RUNS);
            CHECK(i == 0 || times[i].run >= times[i - 1].run);
            CHECK(times[i].node == 0 || times[i].node == 1);
            CHECK_TEXT(times[i].name, graph->nodes[times[i].node]->name);
            CHECK_TEXT(times[i].type, graph->nodes[times[i].node]->type);
            CHECK(times[i].wall_ns >= 0 && times[i].start_ns >= 0);
            CHECK_INT(++seen[times[i].run][times[i].node], 1);
        }
        stop(&s);
        assay_tensor_release(&in);
        assay_graph_close(graph);
    }
}

/* ---- errors */

static void cannot_compile(const char *platform, struct assay_graph *graph, int n_threads, const struct assay_option *option,
                           enum assay_status wanted, const char *part)
{
    struct session s;
    enum assay_status st = compile_with(&s, platform, graph, false, n_threads, option, option ? 1 : 0);
    CHECK_INT(st, wanted);
    CHECK_CONTAINS(s.err.message, part);
    CHECK(!s.program);
    stop(&s);
}

ASSAY_TEST(what_a_runtime_cannot_do_is_said_at_compile)
{
    struct assay_graph *graph = doubling(), *strange = assay_graph_open("strange");
    int x = testing_input(strange, "x", ASSAY_F32, 1, &four);
    assay_graph_add_output(strange, testing_node(strange, "NoSuchOp", NUMBERS(x), "y"));
    struct assay_option option = {"colour", "red"}, provider = {"ep.x", "1"}, session = {"session.disable_prepacking", "1"};
    cannot_compile("cpu/reference", strange, 1, NULL, ASSAY_UNSUPPORTED, "NoSuchOp");
    cannot_compile("cpu/reference", graph, 2, NULL, ASSAY_UNSUPPORTED, "one thread");
    cannot_compile("cpu/reference", graph, 1, &option, ASSAY_INVALID, "colour");
    if (is_here("cpu/onnxruntime")) {
        struct session s;
        cannot_compile("cpu/onnxruntime", strange, 1, NULL, ASSAY_UNSUPPORTED, "NoSuchOp");
        cannot_compile("cpu/onnxruntime", graph, 1, &option, ASSAY_INVALID, "colour");
        cannot_compile("cpu/onnxruntime", graph, 1, &provider, ASSAY_INVALID, "ep.x");
        CHECK_OK(compile_with(&s, "cpu/onnxruntime", graph, false, 2, &session, 1), s.err);
        stop(&s);
    }
    assay_graph_close(graph);
    assay_graph_close(strange);
}

ASSAY_TEST(an_output_before_a_run_is_an_error)
{
    for (size_t p = 0; p < 2; p++) {
        struct session s;
        struct assay_graph *graph = doubling();
        struct assay_tensor x = four_floats(), y;
        if (!is_here(both[p]))
            SKIP("%s is not here", both[p]);
        start(&s, both[p], graph, &x);
        CHECK_INT(s.runtime->output(s.program, 0, &y, &s.err), ASSAY_INVALID);
        CHECK_CONTAINS(s.err.message, "before a run");
        stop(&s);
        assay_tensor_release(&x);
        assay_graph_close(graph);
    }
}

ASSAY_TEST(an_input_of_another_dtype_is_refused)
{
    for (size_t p = 0; p < 2; p++) {
        struct session s;
        struct assay_graph *graph = doubling();
        struct assay_tensor x = testing_tensor(ASSAY_I64, four_values, 4);
        if (!is_here(both[p]))
            SKIP("%s is not here", both[p]);
        CHECK_OK(compile_with(&s, both[p], graph, false, 1, NULL, 0), s.err);
        enum assay_status st = s.runtime->bind(s.program, &x, &s.err);
        if (!st)
            st = s.runtime->run(s.program, &s.err);
        CHECK(st != ASSAY_OK);
        CHECK_CONTAINS(s.err.message, "x");
        stop(&s);
        assay_tensor_release(&x);
        assay_graph_close(graph);
    }
}

/* An index outside the data is found only in the run. */
ASSAY_TEST(a_run_that_fails_says_why_and_the_next_can_succeed)
{
    for (size_t p = 0; p < 2; p++) {
        struct session s;
        struct assay_graph *graph = assay_graph_open("gather");
        int c = testing_constant(graph, "c", ASSAY_F32, four_values, 4), i = testing_input(graph, "i", ASSAY_I64, 0, NULL);
        assay_graph_add_output(graph, testing_node(graph, "Gather", NUMBERS(c, i), "y"));
        struct assay_tensor bad = scalar(ASSAY_I64, 9), good = scalar(ASSAY_I64, 2);
        if (!is_here(both[p]))
            SKIP("%s is not here", both[p]);
        start(&s, both[p], graph, &bad);
        CHECK(s.runtime->run(s.program, &s.err) != ASSAY_OK);
        CHECK_CONTAINS(s.err.message, "Gather");
        CHECK_OK(s.runtime->bind(s.program, &good, &s.err), s.err);
        run(&s);
        struct assay_tensor y = output(&s, 0);
        check_values(&y, (const double[]){3}, 1);
        stop(&s);
        assay_tensor_release(&bad);
        assay_tensor_release(&good);
        assay_graph_close(graph);
    }
}

/* ---- null and fault */

ASSAY_TEST(null_gives_zeros_of_the_right_types)
{
    struct session s;
    struct assay_graph *graph = doubling();
    struct assay_tensor x = four_floats();
    start(&s, "cpu/null", graph, &x);
    run(&s);
    struct assay_tensor y = output(&s, 0);
    CHECK_INT(y.type.dtype, ASSAY_F32);
    check_values(&y, (const double[]){0, 0, 0, 0}, 4);
    CHECK(s.runtime->computes_nothing);
    stop(&s);
    assay_tensor_release(&x);
    assay_graph_close(graph);
}

/* The status of compile, bind, run, run, output in turn: which call failed, and how. */
static enum assay_status life(const char *call, const char *kind, const char *n, const char *inner, int *failed_at,
                              struct assay_error *err)
{
    struct session s;
    struct assay_graph *graph = doubling();
    struct assay_tensor x = four_floats(), y;
    struct assay_option options[] = {{"call", call}, {"kind", kind}, {"n", n}, {"inner", inner}};
    *failed_at = 0;
    enum assay_status st = compile_with(&s, "cpu/fault", graph, false, 1, options, 4);
    if (!st)
        *failed_at = 1, st = s.runtime->bind(s.program, &x, &s.err);
    for (int i = 0; !st && i < 2; i++)
        *failed_at = 2 + i, st = s.runtime->run(s.program, &s.err);
    if (!st)
        *failed_at = 4, st = s.runtime->output(s.program, 0, &y, &s.err);
    if (!st)
        *failed_at = assay_tensor_real(&y, 0) == 2 * four_values[0] ? 5 : 6;
    *err = s.err;
    stop(&s);
    assay_tensor_release(&x);
    assay_graph_close(graph);
    return st;
}

ASSAY_TEST(fault_fails_the_call_that_was_asked_for)
{
    static const struct {
        const char *call, *kind, *n;
        enum assay_status wanted;
        int at;
    } cases[] = {
        {"compile", "unsupported", "1", ASSAY_UNSUPPORTED, 0},
        {"compile", "no_memory", "1", ASSAY_NO_MEMORY, 0},
        {"bind", "unsupported", "1", ASSAY_UNSUPPORTED, 1},
        {"bind", "no_memory", "1", ASSAY_NO_MEMORY, 1},
        {"run", "unsupported", "1", ASSAY_UNSUPPORTED, 2},
        {"run", "no_memory", "2", ASSAY_NO_MEMORY, 3},
        {"output", "unsupported", "1", ASSAY_UNSUPPORTED, 4},
        {"output", "no_memory", "1", ASSAY_NO_MEMORY, 4},
        {"run", "unsupported", "3", ASSAY_OK, 5},
        {"run", "mismatch", "1", ASSAY_OK, 6},
    };
    static const char *const inner[] = {"reference", "onnxruntime"};
    for (size_t k = 0; k < ASSAY_COUNT(inner); k++)
        for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
            struct assay_error err = {0};
            int at;
            if (k && !is_here("cpu/onnxruntime"))
                continue;
            CHECK_INT(life(cases[i].call, cases[i].kind, cases[i].n, inner[k], &at, &err), cases[i].wanted);
            CHECK_INT(at, cases[i].at);
            if (cases[i].wanted)
                CHECK_CONTAINS(err.message, cases[i].call);
        }
}

ASSAY_TEST(fault_refuses_what_it_does_not_know)
{
    struct assay_error err = {0};
    int at;
    CHECK_INT(life("run", "sneeze", "1", "reference", &at, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "sneeze");
    CHECK_INT(life("sleep", "crash", "1", "reference", &at, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "sleep");
    CHECK_INT(life("run", "crash", "1", "fault", &at, &err), ASSAY_INVALID);
    CHECK_INT(life("run", "crash", "1", "nothing", &at, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "nothing");
    CHECK_INT(life("run", "crash", "soon", "reference", &at, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "soon");
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(every_runtime_is_found_by_its_name_and_lists_a_platform),
                ASSAY_TEST_ENTRY(an_unknown_platform_is_answered_with_those_there_are),
                ASSAY_TEST_ENTRY(without_its_library_onnxruntime_is_absent_with_the_reason),
                ASSAY_TEST_ENTRY(random_graphs_give_what_a_plain_executor_gives),
                ASSAY_TEST_ENTRY(an_if_runs_one_branch_with_what_it_captures),
                ASSAY_TEST_ENTRY(a_loop_carries_scans_and_captures_over_two_levels),
                ASSAY_TEST_ENTRY(states_move_from_output_to_input_until_the_next_bind),
                ASSAY_TEST_ENTRY(a_state_that_was_empty_grows_from_run_to_run),
                ASSAY_TEST_ENTRY(a_state_can_be_exchanged_between_runs),
                ASSAY_TEST_ENTRY(what_is_left_out_without_a_value_is_refused_by_name),
                ASSAY_TEST_ENTRY(a_state_that_passes_through_is_kept), ASSAY_TEST_ENTRY(several_states_move_together),
                ASSAY_TEST_ENTRY(a_shape_that_depends_on_data_follows_it), ASSAY_TEST_ENTRY(an_empty_input_gives_an_empty_output),
                ASSAY_TEST_ENTRY(an_input_and_a_constant_can_be_outputs),
                ASSAY_TEST_ENTRY(a_profile_has_every_node_of_every_run_in_order),
                ASSAY_TEST_ENTRY(what_a_runtime_cannot_do_is_said_at_compile),
                ASSAY_TEST_ENTRY(an_output_before_a_run_is_an_error), ASSAY_TEST_ENTRY(an_input_of_another_dtype_is_refused),
                ASSAY_TEST_ENTRY(a_run_that_fails_says_why_and_the_next_can_succeed),
                ASSAY_TEST_ENTRY(null_gives_zeros_of_the_right_types), ASSAY_TEST_ENTRY(fault_fails_the_call_that_was_asked_for),
                ASSAY_TEST_ENTRY(fault_refuses_what_it_does_not_know))
