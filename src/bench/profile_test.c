/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/profile.h"

#include "bench/testing.h"
#include "graph/infer.h"

/* Of a runtime that tells no costs. */
#define OP(run_, name_, type_, node_, start_, wall_)                                                                             \
    {                                                                                                                            \
        .run = run_, .name = name_, .type = type_, .node = node_, .start_ns = start_, .wall_ns = wall_                           \
    }

static struct assay_graph *small_graph(void)
{
    struct assay_error err;
    struct assay_graph *graph = testing_small_graph();
    struct assay_binding batch = {"batch", 4};
    CHECK_OK(assay_graph_bind(graph, &batch, 1, &err), err);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    return graph;
}

static const json_t *entry_named(const json_t *profile, const char *name)
{
    size_t i;
    json_t *entry;
    json_array_foreach(profile, i, entry) if (strcmp(json_string_value(json_object_get(entry, "name")), name) == 0) return entry;
    return NULL;
}

static double number(const json_t *entry, const char *key)
{
    json_t *value = json_object_get(entry, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Twelve runs in mixed order; in the k-th fastest the product takes 100 + 10 k, the softmax 50, the whole 175 + 10 k. The fastest
 * quarter is k = 0, 1, 2. */
ASSAY_TEST(means_are_of_the_fastest_quarter_and_add_up_to_the_run)
{
    enum { RUNS = 12 };
    struct assay_op_time times[2 * RUNS];
    double run_ns[RUNS];
    for (int r = 0; r < RUNS; r++) {
        int k = 5 * r % RUNS;
        times[2 * r] = (struct assay_op_time)OP(r, "product", "MatMul", 0, 10, 100 + 10 * k);
        times[2 * r + 1] = (struct assay_op_time)OP(r, "y", "Softmax", 1, 120 + 10 * k, 50);
        run_ns[r] = 175 + 10 * k;
    }
    struct assay_graph *graph = small_graph();
    struct assay_case c = {.model = "m", .platform = "p", .peak_flops = NAN, .peak_bytes = NAN};
    struct assay_error err;
    json_t *profile = NULL;
    CHECK_OK(assay_profile_make(&c, graph, times, 2 * RUNS, run_ns, RUNS, &profile, &err), err);
    CHECK_INT(json_array_size(profile), 3);
    const json_t *product = entry_named(profile, "product"), *softmax = entry_named(profile, "y"),
                 *rest = entry_named(profile, "(outside ops)");
    CHECK(json_array_get(profile, 0) == product); /* most time first */
    CHECK_NEAR(number(product, "mean_ns"), 110, 0);
    CHECK_NEAR(number(softmax, "mean_ns"), 50, 0);
    CHECK_NEAR(number(rest, "mean_ns"), 25, 1e-9);
    CHECK_NEAR(number(product, "share") + number(softmax, "share") + number(rest, "share"), 1, 1e-9);
    CHECK_INT(json_integer_value(json_object_get(product, "count")), 1);
    CHECK(isnan(number(product, "roofline_share"))); /* no peaks are known */
    CHECK_NEAR(number(product, "flops"), 2 * 4 * 8 * 4, 0);
    json_decref(profile);
    assay_graph_close(graph);
}

ASSAY_TEST(what_recording_took_is_no_part_of_the_run)
{
    static const struct assay_op_time times[] = {OP(0, "product", "MatMul", 0, 0, 400), OP(0, "(recording)", "", -1, 400, 90),
                                                 OP(0, "y", "Softmax", 1, 490, 100), OP(1, "product", "MatMul", 0, 0, 410),
                                                 OP(1, "y", "Softmax", 1, 410, 100)};
    static const double run_ns[] = {590, 511};
    struct assay_graph *graph = small_graph();
    struct assay_case c = {.model = "m", .platform = "p", .peak_flops = NAN, .peak_bytes = NAN};
    struct assay_error err;
    json_t *profile = NULL;
    CHECK_OK(assay_profile_make(&c, graph, times, ASSAY_COUNT(times), run_ns, 2, &profile, &err), err);
    CHECK_INT(json_array_size(profile), 2); /* of the first run, the faster one: nothing is outside */
    CHECK_NEAR(number(entry_named(profile, "product"), "share"), 0.8, 1e-9);
    json_decref(profile);
    assay_graph_close(graph);
}

/* 256 FLOP at 1 GFLOP/s take 256 ns; (4·8 + 8·4 + 4·4) · 4 = 320 bytes at 10 GB/s take 32 ns: 64 % of 400 ns, bound by compute.
 */
ASSAY_TEST(the_roofline_is_the_larger_of_two_times)
{
    static const struct assay_op_time times[] = {OP(0, "product", "MatMul", 0, 0, 400)};
    struct assay_graph *graph = small_graph();
    struct assay_case c = {.model = "m", .platform = "p", .peak_flops = 1e9, .peak_bytes = 10e9};
    struct assay_error err;
    json_t *profile = NULL;
    CHECK_OK(assay_profile_make(&c, graph, times, 1, &(double){400}, 1, &profile, &err), err);
    const json_t *product = entry_named(profile, "product");
    CHECK_NEAR(number(product, "bytes"), 320, 0);
    CHECK_NEAR(number(product, "roofline_share"), 0.64, 1e-9);
    CHECK_TEXT(json_string_value(json_object_get(product, "bound")), "compute");
    json_decref(profile);
    c.peak_bytes = 1e9; /* 320 ns */
    CHECK_OK(assay_profile_make(&c, graph, times, 1, &(double){400}, 1, &profile, &err), err);
    CHECK_NEAR(number(entry_named(profile, "product"), "roofline_share"), 0.8, 1e-9);
    CHECK_TEXT(json_string_value(json_object_get(entry_named(profile, "product"), "bound")), "memory");
    json_decref(profile);
    assay_graph_close(graph);
}

/* 2000 int8 operations at 4 Gop/s take 500 ns; what the runtime tells comes before what the node would cost. */
ASSAY_TEST(costs_that_the_runtime_tells_are_measured_by_the_peak_of_their_type)
{
    static const struct assay_op_time times[] = {
        {.name = "product", .type = "QuantizedLinear", .node = 0, .wall_ns = 1000, .flops = 2000, .bytes = 8, .dtype = ASSAY_U8}};
    struct assay_graph *graph = small_graph();
    struct assay_case c = {.model = "m", .platform = "p", .peak_flops = 1e9, .peak_int8 = 4e9, .peak_bytes = 1e9};
    struct assay_error err;
    json_t *profile = NULL;
    CHECK_OK(assay_profile_make(&c, graph, times, 1, &(double){1000}, 1, &profile, &err), err);
    CHECK_NEAR(number(entry_named(profile, "product"), "roofline_share"), 0.5, 1e-9);
    CHECK_NEAR(number(entry_named(profile, "product"), "flops"), 2000, 0);
    json_decref(profile);
    assay_graph_close(graph);
}

/* The second run alone counts: 60 of 80 ns in the op. */
ASSAY_TEST(a_run_without_a_wall_time_does_not_count)
{
    static const struct assay_op_time times[] = {OP(0, "a", "Add", -1, 0, 5), OP(1, "a", "Add", -1, 0, 60)};
    struct assay_graph *graph = small_graph();
    struct assay_case c = {.model = "m", .platform = "p"};
    struct assay_error err;
    json_t *profile = NULL;
    CHECK_OK(assay_profile_make(&c, graph, times, 2, (double[]){NAN, 80}, 2, &profile, &err), err);
    CHECK_NEAR(number(entry_named(profile, "a"), "share"), 0.75, 1e-9);
    CHECK_NEAR(number(entry_named(profile, "(outside ops)"), "share"), 0.25, 1e-9);
    json_decref(profile);
    assay_graph_close(graph);
}

ASSAY_TEST(a_node_with_a_body_does_not_count_its_body_twice)
{
    /* If from 0 to 100, in it Add 10–40 and Mul 50–80, of which none is the main graph's. */
    static const struct assay_op_time times[] = {OP(0, "add", "Add", -1, 10, 30), OP(0, "mul", "Mul", -1, 50, 30),
                                                 OP(0, "if", "If", -1, 0, 100)};
    struct assay_graph *graph = small_graph();
    struct assay_case c = {.model = "m", .platform = "p"};
    struct assay_error err;
    json_t *profile = NULL;
    CHECK_OK(assay_profile_make(&c, graph, times, 3, &(double){100}, 1, &profile, &err), err);
    CHECK_NEAR(number(entry_named(profile, "if"), "mean_ns"), 40, 0);
    CHECK_NEAR(number(entry_named(profile, "add"), "mean_ns"), 30, 0);
    CHECK(!entry_named(profile, "(outside ops)"));
    json_decref(profile);
    assay_graph_close(graph);
}

ASSAY_TEST(a_node_run_many_times_in_a_run_is_one_line)
{
    static const struct assay_op_time times[] = {OP(0, "add", "Add", -1, 0, 10), OP(0, "add", "Add", -1, 20, 10),
                                                 OP(0, "add", "Add", -1, 40, 10), OP(0, "", "Add", -1, 60, 5)};
    struct assay_graph *graph = small_graph();
    struct assay_case c = {.model = "m", .platform = "p"};
    struct assay_error err;
    json_t *profile = NULL;
    CHECK_OK(assay_profile_make(&c, graph, times, 4, &(double){35}, 1, &profile, &err), err);
    CHECK_INT(json_array_size(profile), 2);
    CHECK_NEAR(number(entry_named(profile, "add"), "mean_ns"), 30, 0);
    CHECK_INT(json_integer_value(json_object_get(entry_named(profile, "add"), "count")), 3);
    json_decref(profile);
    assay_graph_close(graph);
}

ASSAY_TEST(the_trace_holds_the_fastest_run_in_microseconds)
{
    static const struct assay_op_time times[] = {OP(0, "product", "MatMul", 0, 0, 1000),
                                                 OP(1, "product", "MatMul", 0, 2000, 1500)};
    struct assay_graph *graph = small_graph();
    struct assay_arena arena;
    struct assay_error err;
    json_t *profile = NULL, *trace = NULL;
    assay_arena_init(&arena);
    const char *folder = testing_folder(&arena);
    struct assay_case c = {.model = "m", .platform = "p", .trace_path = assay_path_join(&arena, folder, "trace.json")};
    CHECK_OK(assay_profile_make(&c, graph, times, 2, (double[]){1600, 1550}, 2, &profile, &err), err);
    CHECK_OK(assay_json_read(c.trace_path, &trace, &err), err);
    const json_t *events = json_object_get(trace, "traceEvents"), *event = json_array_get(events, 0);
    CHECK_INT(json_array_size(events), 1);
    CHECK_TEXT(json_string_value(json_object_get(event, "ph")), "X");
    CHECK_NEAR(number(event, "ts"), 2, 0);
    CHECK_NEAR(number(event, "dur"), 1.5, 0);
    json_decref(profile);
    json_decref(trace);
    c.trace_path = "/nonexistent/folder/trace.json";
    CHECK(assay_profile_make(&c, graph, times, 2, (double[]){1600, 1550}, 2, &profile, &err) != ASSAY_OK);
    CHECK_CONTAINS(err.message, "/nonexistent");
    json_decref(profile);
    assay_graph_close(graph);
    testing_folder_release(&arena, folder);
}

ASSAY_TEST(no_times_make_an_empty_profile)
{
    struct assay_graph *graph = small_graph();
    struct assay_case c = {.model = "m", .platform = "p"};
    struct assay_error err;
    json_t *profile = NULL;
    CHECK_OK(assay_profile_make(&c, graph, NULL, 0, &(double){0}, 1, &profile, &err), err);
    CHECK_INT(json_array_size(profile), 0);
    json_decref(profile);
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(means_are_of_the_fastest_quarter_and_add_up_to_the_run),
                ASSAY_TEST_ENTRY(what_recording_took_is_no_part_of_the_run),
                ASSAY_TEST_ENTRY(the_roofline_is_the_larger_of_two_times),
                ASSAY_TEST_ENTRY(costs_that_the_runtime_tells_are_measured_by_the_peak_of_their_type),
                ASSAY_TEST_ENTRY(a_run_without_a_wall_time_does_not_count),
                ASSAY_TEST_ENTRY(a_node_with_a_body_does_not_count_its_body_twice),
                ASSAY_TEST_ENTRY(a_node_run_many_times_in_a_run_is_one_line),
                ASSAY_TEST_ENTRY(the_trace_holds_the_fastest_run_in_microseconds),
                ASSAY_TEST_ENTRY(no_times_make_an_empty_profile))
