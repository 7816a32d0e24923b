/* SPDX-License-Identifier: Apache-2.0 */
/* Programs whose shapes follow from what their inputs hold, on cpu/native, against the reference runtime, run after run. */
#include "runtime/native/testing.h"

enum { SIZE = 64, ROWS = 40 };

static struct assay_platform platforms[2];

/* A program on each runtime, from one graph. */
struct pair {
    const struct assay_runtime *runtimes[2]; /* reference, native */
    struct assay_program *programs[2];
    int n_inputs, n_outputs;
};

/* The graph is closed. */
static struct pair open_pair(struct assay_graph *graph, int n_threads, bool profile)
{
    static const char *const names[] = {"cpu/reference", "cpu/native"};
    struct pair pair = {.n_inputs = graph->n_inputs, .n_outputs = graph->n_outputs};
    struct assay_error err;
    struct assay_arena arena;
    assay_arena_init(&arena);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(assay_platform_find(&arena, names[i], &platforms[i], &pair.runtimes[i], &err), err);
        struct assay_compile_options options = {.platform = &platforms[i],
                                                .n_threads = i ? n_threads : 1,
                                                .isa = testing_isa(names[i]),
                                                .optimization = 3,
                                                .profile = i && profile};
        CHECK_OK(pair.runtimes[i]->compile(graph, &options, &pair.programs[i], &err), err);
    }
    assay_arena_release(&arena);
    assay_graph_close(graph);
    return pair;
}

static void close_pair(struct pair *pair)
{
    for (int i = 0; i < 2; i++)
        pair->runtimes[i]->release(pair->programs[i]);
}

/* Products of 64 terms in f32, two in a row at most, against sums in double: 1e-5 is ten times what they differ by. */
static void compare(struct pair *pair)
{
    struct assay_error err;
    for (int i = 0; i < pair->n_outputs; i++) {
        struct assay_tensor wanted, got;
        CHECK_OK(pair->runtimes[0]->output(pair->programs[0], i, &wanted, &err), err);
        CHECK_OK(pair->runtimes[1]->output(pair->programs[1], i, &got, &err), err);
        struct assay_difference d = assay_tensor_compare(&got, &wanted, 0, 0);
        CHECK(d.same_type);
        CHECK(d.max_rel <= 1e-5);
    }
}

static void release(const struct pair *pair, struct assay_tensor *inputs)
{
    for (int i = 0; i < pair->n_inputs; i++)
        assay_tensor_release(&inputs[i]);
}

/* The inputs are released. */
static void run_pair(struct pair *pair, struct assay_tensor *inputs)
{
    struct assay_error err;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(pair->runtimes[i]->bind(pair->programs[i], inputs, &err), err);
        CHECK_OK(pair->runtimes[i]->run(pair->programs[i], &err), err);
    }
    compare(pair);
    release(pair, inputs);
}

/* [rows, SIZE] and a mask of `kept` rows out of them, spread; for the caller to release. */
static void make_inputs(struct assay_tensor inputs[2], int64_t rows, int64_t kept)
{
    struct assay_type x = assay_type_make(ASSAY_F32, 2, (const int64_t[]){rows, SIZE});
    struct assay_type mask = assay_type_make(ASSAY_BOOL, 1, &rows);
    inputs[0] = testing_random(&x, 3);
    CHECK_INT(assay_tensor_alloc(&inputs[1], &mask, NULL), ASSAY_OK);
    for (int64_t i = 0; i < rows; i++)
        assay_tensor_set_real(&inputs[1], i, (double)((i * 7 % rows) < kept));
}

static void run_rows(struct pair *pair, int64_t rows, int64_t kept)
{
    struct assay_tensor inputs[2];
    make_inputs(inputs, rows, kept);
    run_pair(pair, inputs);
}

/* From all to none and back. */
static void run_choices(struct pair *pair)
{
    static const int64_t kept[] = {ROWS, 7, 0, 7, 1, 23, 0, ROWS};
    for (size_t i = 0; i < ASSAY_COUNT(kept); i++)
        run_rows(pair, ROWS, kept[i]);
}

static int first_axis(struct assay_graph *graph) { return testing_constant(graph, "axis", ASSAY_I64, (const double[]){0}, 1); }

/* The rows of x at which the mask holds. */
static int choose_rows(struct assay_graph *graph, int x, int mask)
{
    int places = testing_node(graph, "NonZero", 1, &mask, "places");
    int flat = testing_node(graph, "Squeeze", 2, (int[]){places, first_axis(graph)}, "flat");
    return testing_node(graph, "Gather", 2, (int[]){x, flat}, "chosen");
}

static int layer(struct assay_graph *graph, int x)
{
    int w = testing_random_constant(graph, "w", ASSAY_F32, 2, (const int64_t[]){SIZE, SIZE});
    int b = testing_random_constant(graph, "b", ASSAY_F32, 1, (const int64_t[]){SIZE});
    int y = testing_node(graph, "MatMul", 2, (int[]){x, w}, "product");
    return testing_node(graph, "Add", 2, (int[]){y, b}, "sum");
}

/* Which rows have a positive sum. */
static int positive_rows(struct assay_graph *graph, int x)
{
    int ones = testing_constant(graph, "columns", ASSAY_I64, (const double[]){1}, 1);
    int sums = testing_node(graph, "ReduceSum", 2, (int[]){x, ones}, "sums");
    assay_node_set_int(graph, testing_last(graph), "keepdims", 0);
    int zero = testing_constant(graph, "zero", ASSAY_F32, (const double[]){0}, 1);
    return testing_node(graph, "Greater", 2, (int[]){sums, zero}, "positive");
}

static struct assay_graph *rows_graph(int *x, int *mask)
{
    struct assay_graph *graph = assay_graph_open("rows");
    *x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){-1, SIZE});
    *mask = testing_input(graph, "mask", ASSAY_BOOL, 1, (const int64_t[]){-1});
    return graph;
}

static struct assay_graph *one_cut(void)
{
    int x, mask;
    struct assay_graph *graph = rows_graph(&x, &mask);
    int before = testing_node(graph, "Relu", 1, (int[]){layer(graph, x)}, "before");
    int after = layer(graph, choose_rows(graph, before, mask));
    assay_graph_add_output(graph, before);
    assay_graph_add_output(graph, testing_node(graph, "Relu", 1, &after, "after"));
    return graph;
}

ASSAY_TEST(rows_chosen_by_contents_go_through_a_product)
{
    for (int n_threads = 1; n_threads <= 2; n_threads++) {
        struct pair pair = open_pair(one_cut(), n_threads, false);
        run_choices(&pair);
        run_rows(&pair, 2 * ROWS, 31);
        run_rows(&pair, ROWS, 7);
        run_rows(&pair, 0, 0);
        close_pair(&pair);
    }
}

static struct assay_graph *two_cuts(void)
{
    int x, mask;
    struct assay_graph *graph = rows_graph(&x, &mask);
    int first = layer(graph, choose_rows(graph, layer(graph, x), mask));
    int second = choose_rows(graph, first, positive_rows(graph, first));
    assay_graph_add_output(graph, layer(graph, second));
    assay_graph_add_output(graph, first);
    return graph;
}

ASSAY_TEST(what_was_chosen_can_be_chosen_from_again)
{
    for (int n_threads = 1; n_threads <= 2; n_threads++) {
        struct pair pair = open_pair(two_cuts(), n_threads, false);
        run_choices(&pair);
        close_pair(&pair);
    }
}

/* More cuts than a program has segments: what is behind the last stays open. */
ASSAY_TEST(there_may_be_more_choices_than_segments)
{
    int x, mask;
    struct assay_graph *graph = rows_graph(&x, &mask);
    int y = choose_rows(graph, x, mask);
    for (int i = 0; i < 70; i++) {
        int w = testing_random_constant(graph, "w", ASSAY_F32, 1, (const int64_t[]){SIZE});
        y = testing_node(graph, "Add", 2, (int[]){y, w}, "moved");
        y = choose_rows(graph, y, positive_rows(graph, y));
    }
    assay_graph_add_output(graph, layer(graph, y));
    struct pair pair = open_pair(graph, 1, false);
    run_choices(&pair);
    close_pair(&pair);
}

/* More than a program keeps specialisations for, twice over, then those that were forgotten. */
ASSAY_TEST(any_number_of_lengths_is_run)
{
    struct pair pair = open_pair(two_cuts(), 1, false);
    for (int64_t rows = 60; rows < 64; rows++)
        for (int64_t kept = 20; kept < 60; kept++)
            run_rows(&pair, rows, kept);
    run_rows(&pair, 60, 20);
    close_pair(&pair);
}

/* Light work behind the cut: one specialisation serves all lengths up to those at which it is no longer light. */
ASSAY_TEST(a_little_work_behind_a_choice_is_done_at_any_length)
{
    int x, mask;
    struct assay_graph *graph = rows_graph(&x, &mask);
    int y = choose_rows(graph, x, mask), sums;
    y = testing_node(graph, "Neg", 1, &y, "negative");
    y = choose_rows(graph, y, positive_rows(graph, y));
    sums = testing_node(graph, "ReduceSum", 2, (int[]){y, first_axis(graph)}, "sums");
    assay_graph_add_output(graph, y);
    assay_graph_add_output(graph, testing_node(graph, "Sub", 2, (int[]){y, sums}, "rest"));
    struct pair pair = open_pair(graph, 2, false);
    for (int64_t kept = 0; kept <= ROWS; kept++)
        run_rows(&pair, ROWS, kept);
    for (int64_t kept = 500; kept <= 2000; kept += 500)
        run_rows(&pair, 2000, kept);
    run_rows(&pair, 2000, 3);
    close_pair(&pair);
}

/* Squeeze without axes: one row has another rank than two. */
ASSAY_TEST(ranks_may_change_behind_a_choice)
{
    static const int64_t kept[] = {3, 1, 3, 1, 2};
    int x, mask;
    struct assay_graph *graph = rows_graph(&x, &mask);
    int chosen = choose_rows(graph, x, mask), y = testing_node(graph, "Squeeze", 1, &chosen, "squeezed");
    assay_graph_add_output(graph, layer(graph, y));
    struct pair pair = open_pair(graph, 1, false);
    for (size_t i = 0; i < ASSAY_COUNT(kept); i++)
        run_rows(&pair, ROWS, kept[i]);
    close_pair(&pair);
}

/* Dimensions that are computed from contents: [a, b] for Reshape. */
ASSAY_TEST(contents_of_an_input_may_be_dimensions)
{
    static const int64_t heights[] = {2, 5, 2, 10, 1};
    struct assay_graph *graph = assay_graph_open("reshape");
    int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){10, SIZE});
    int dims = testing_input(graph, "dims", ASSAY_I64, 1, (const int64_t[]){3});
    int y = testing_node(graph, "Reshape", 2, (int[]){x, dims}, "reshaped");
    y = testing_node(graph, "Reshape", 2, (int[]){layer(graph, y), dims}, "again");
    assay_graph_add_output(graph, layer(graph, y));
    struct pair pair = open_pair(graph, 1, false);
    for (size_t i = 0; i < ASSAY_COUNT(heights); i++) {
        struct assay_type type = assay_type_make(ASSAY_F32, 2, (const int64_t[]){10, SIZE});
        struct assay_tensor inputs[2] = {testing_random(&type, i)};
        inputs[1] = testing_tensor(ASSAY_I64, (const double[]){(double)heights[i], 10 / (double)heights[i], SIZE}, 3);
        run_pair(&pair, inputs);
    }
    close_pair(&pair);
}

/* A branch that reads what was chosen. */
ASSAY_TEST(branches_behind_a_choice_read_it)
{
    int x, mask;
    struct assay_graph *graph = rows_graph(&x, &mask);
    int y = choose_rows(graph, x, mask), condition;
    int sum = testing_node(graph, "ReduceSum", 1, &y, "sum");
    assay_node_set_int(graph, testing_last(graph), "keepdims", 0);
    int zero = testing_constant(graph, "zero", ASSAY_F32, (const double[]){0}, 1);
    condition = testing_node(graph, "Greater", 2, (int[]){sum, zero}, "condition");
    int w = testing_random_constant(graph, "w", ASSAY_F32, 2, (const int64_t[]){SIZE, SIZE});
    struct assay_graph *bodies[2];
    for (int i = 0; i < 2; i++) {
        bodies[i] = assay_graph_open_body(graph, i ? "else" : "then");
        int in[] = {assay_graph_capture(bodies[i], y), assay_graph_capture(bodies[i], w)};
        int product = testing_node(bodies[i], "MatMul", 2, in, "product");
        assay_graph_add_output(bodies[i], testing_node(bodies[i], i ? "Neg" : "Abs", 1, &product, "result"));
    }
    int result = testing_node(graph, "If", 1, &condition, "branched");
    assay_node_set_graph(graph, testing_last(graph), "then_branch", bodies[0]);
    assay_node_set_graph(graph, testing_last(graph), "else_branch", bodies[1]);
    assay_graph_add_output(graph, layer(graph, result));
    struct pair pair = open_pair(graph, 2, false);
    run_choices(&pair);
    close_pair(&pair);
}

/* A running total of what is chosen: a state that the rest reads and writes. */
ASSAY_TEST(states_behind_a_choice_stay_with_the_program)
{
    int x, mask;
    struct assay_graph *graph = rows_graph(&x, &mask);
    int total = testing_input(graph, "total", ASSAY_F32, 1, (const int64_t[]){SIZE});
    int y = layer(graph, choose_rows(graph, x, mask));
    int sums = testing_node(graph, "ReduceSum", 2, (int[]){y, first_axis(graph)}, "sums");
    assay_node_set_int(graph, testing_last(graph), "keepdims", 0);
    assay_graph_add_output(graph, testing_node(graph, "Add", 2, (int[]){total, sums}, "new_total"));
    assay_graph_add_state(graph, 0, 2);
    struct pair pair = open_pair(graph, 1, false);
    for (int run = 0; run < 5; run++) {
        struct assay_type type = assay_type_make(ASSAY_F32, 1, (const int64_t[]){SIZE});
        struct assay_tensor inputs[3] = {0};
        make_inputs(inputs, ROWS, 5 * run);
        if (run == 0)
            inputs[2] = testing_random(&type, 1);
        run_pair(&pair, inputs);
    }
    close_pair(&pair);
}

/* What fails behind the cut fails the run, and not the next one. */
ASSAY_TEST(an_error_behind_a_choice_is_told_and_forgotten)
{
    int x, mask;
    struct assay_graph *graph = rows_graph(&x, &mask);
    int y = choose_rows(graph, x, mask);
    int dims = testing_constant(graph, "dims", ASSAY_I64, (const double[]){2, -1, SIZE}, 3);
    assay_graph_add_output(graph, layer(graph, testing_node(graph, "Reshape", 2, (int[]){y, dims}, "pairs")));
    struct pair pair = open_pair(graph, 1, false);
    run_rows(&pair, ROWS, 8);
    struct assay_tensor inputs[2];
    struct assay_error err;
    make_inputs(inputs, ROWS, 7);
    CHECK_OK(pair.runtimes[1]->bind(pair.programs[1], inputs, &err), err);
    CHECK_INT(pair.runtimes[1]->run(pair.programs[1], &err), ASSAY_INVALID);
    CHECK(strstr(err.message, "Reshape"));
    release(&pair, inputs);
    run_rows(&pair, ROWS, 6);
    close_pair(&pair);
}

ASSAY_TEST(the_profile_has_each_op_of_all_segments_once_a_run)
{
    struct pair pair = open_pair(two_cuts(), 1, true);
    const struct assay_op_time *times;
    struct assay_error err;
    int n, n_products = 0;
    double flops = 0;
    run_rows(&pair, ROWS, 16);
    CHECK_OK(pair.runtimes[1]->profile(pair.programs[1], &times, &n, &err), err);
    for (int i = 0; i < n; i++) {
        CHECK(i == 0 || times[i].start_ns >= times[i - 1].start_ns + times[i - 1].wall_ns);
        n_products += strcmp(times[i].type, "Linear") == 0 || strcmp(times[i].type, "MatMul") == 0;
        flops += times[i].flops;
        for (int k = 0; k < i; k++)
            CHECK(!*times[i].type || !*times[i].name || strcmp(times[i].name, times[k].name) != 0);
    }
    CHECK_INT(n_products, 3);
    CHECK(flops >= 2.0 * SIZE * SIZE * (ROWS + 16)); /* the third's rows depend on signs */
    close_pair(&pair);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(rows_chosen_by_contents_go_through_a_product),
                ASSAY_TEST_ENTRY(what_was_chosen_can_be_chosen_from_again),
                ASSAY_TEST_ENTRY(there_may_be_more_choices_than_segments), ASSAY_TEST_ENTRY(any_number_of_lengths_is_run),
                ASSAY_TEST_ENTRY(a_little_work_behind_a_choice_is_done_at_any_length),
                ASSAY_TEST_ENTRY(ranks_may_change_behind_a_choice), ASSAY_TEST_ENTRY(contents_of_an_input_may_be_dimensions),
                ASSAY_TEST_ENTRY(branches_behind_a_choice_read_it),
                ASSAY_TEST_ENTRY(states_behind_a_choice_stay_with_the_program),
                ASSAY_TEST_ENTRY(an_error_behind_a_choice_is_told_and_forgotten),
                ASSAY_TEST_ENTRY(the_profile_has_each_op_of_all_segments_once_a_run))
