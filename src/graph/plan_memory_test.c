/* SPDX-License-Identifier: Apache-2.0 */
/* The plan against sizes counted by hand, and, for random graphs, against a simulation that frees what nobody needs any more. */
#include "graph/plan_memory.h"

#include "graph/testing.h"

static struct assay_error err;

#define DIMS(...)                                                                                                                \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) { __VA_ARGS__ }

static void infer(struct assay_graph *graph)
{
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
}

/* No two buffers that are alive together share a byte, all lie in the arena, and the peak is what a sweep counts. */
static void check_plan(const struct assay_graph *graph, const struct assay_memory_plan *plan)
{
    int64_t peak = 0;
    for (int i = 0; i < plan->n_buffers; i++) {
        const struct assay_memory_buffer *a = &plan->buffers[i];
        CHECK(a->first <= a->last && a->last <= graph->n_nodes && a->offset % 64 == 0);
        CHECK(a->offset >= 0 && a->offset + a->size_bytes <= plan->arena_bytes);
        for (int k = 0; k < i; k++) {
            const struct assay_memory_buffer *b = &plan->buffers[k];
            if (a->first <= b->last && b->first <= a->last)
                CHECK(a->offset + a->size_bytes <= b->offset || b->offset + b->size_bytes <= a->offset);
        }
    }
    for (int node = 0; node <= graph->n_nodes; node++) {
        int64_t alive = 0;
        for (int i = 0; i < plan->n_buffers; i++)
            if (plan->buffers[i].first <= node && node <= plan->buffers[i].last)
                alive += plan->buffers[i].size_bytes;
        peak = alive > peak ? alive : peak;
    }
    CHECK_INT(plan->peak_bytes, peak);
    CHECK(plan->arena_bytes >= plan->peak_bytes);
}

/* x → a → b, and a + b → y: a, b and y are alive together at the end; in place, y is written over a, and b over nothing. */
ASSAY_TEST(what_a_later_node_needs_stays_alive)
{
    struct assay_graph *graph = assay_graph_open("skip");
    int x = testing_input(graph, "x", ASSAY_F32, DIMS(64));
    int a = testing_node(graph, "Relu", NUMBERS(x), "a"), b = testing_node(graph, "Tanh", NUMBERS(a), "b");
    int y = testing_node(graph, "Add", NUMBERS(a, b), "y");
    assay_graph_add_output(graph, y);
    infer(graph);
    struct assay_memory_plan plan;
    assay_graph_plan_memory(&plan, graph, NULL);
    check_plan(graph, &plan);
    CHECK_INT(plan.n_buffers, 3);
    CHECK_INT(plan.peak_bytes, 3 * 256);
    CHECK_INT(plan.peak_node, 2);
    CHECK_INT(plan.arena_bytes, 3 * 256);
    CHECK_INT(plan.buffer_of[x], -1);
    CHECK_INT(plan.buffers[plan.buffer_of[y]].last, graph->n_nodes);
    assay_memory_plan_release(&plan);
    assay_graph_plan_memory(&plan, graph, &(struct assay_memory_plan_options){.in_place = true});
    check_plan(graph, &plan);
    CHECK_INT(plan.n_buffers, 2);
    CHECK_INT(plan.peak_bytes, 2 * 256);
    CHECK_INT(plan.buffer_of[y], plan.buffer_of[a]);
    assay_memory_plan_release(&plan);
    assay_graph_plan_memory(&plan, graph, &(struct assay_memory_plan_options){.float_bytes = 2});
    CHECK_INT(plan.peak_bytes, 3 * 128);
    assay_memory_plan_release(&plan);
    assay_graph_close(graph);
}

/* An input has no buffer, so neither has its view; a view of a buffer keeps it alive. */
ASSAY_TEST(a_view_shares_the_buffer_of_what_it_looks_at)
{
    struct assay_graph *graph = assay_graph_open("views");
    int x = testing_input(graph, "x", ASSAY_F32, DIMS(4, 4));
    int flat = testing_node(graph, "Flatten", NUMBERS(x), "flat"), a = testing_node(graph, "Relu", NUMBERS(flat), "a");
    int view = testing_node(graph, "Identity", NUMBERS(a), "view"), b = testing_node(graph, "Relu", NUMBERS(a), "b");
    int y = testing_node(graph, "Add", NUMBERS(view, b), "y");
    assay_graph_add_output(graph, y);
    infer(graph);
    struct assay_memory_plan plan;
    assay_graph_plan_memory(&plan, graph, NULL);
    check_plan(graph, &plan);
    CHECK_INT(plan.buffer_of[flat], -1);
    CHECK_INT(plan.buffer_of[view], plan.buffer_of[a]);
    CHECK_INT(plan.buffers[plan.buffer_of[a]].last, 4);
    CHECK_INT(plan.n_buffers, 3);
    assay_memory_plan_release(&plan);
    assay_graph_close(graph);
}

/* A chain needs two buffers at a time, however long it is: the arena is reused. */
ASSAY_TEST(a_chain_needs_room_for_two)
{
    struct assay_graph *graph = assay_graph_open("chain");
    int value = testing_input(graph, "x", ASSAY_F32, DIMS(256));
    for (int i = 0; i < 20; i++)
        value = testing_node(graph, "Relu", NUMBERS(value), "a");
    assay_graph_add_output(graph, value);
    infer(graph);
    struct assay_memory_plan plan;
    assay_graph_plan_memory(&plan, graph, NULL);
    check_plan(graph, &plan);
    CHECK_INT(plan.n_buffers, 20);
    CHECK_INT(plan.arena_bytes, 2 * 1024);
    assay_memory_plan_release(&plan);
    assay_graph_plan_memory(&plan, graph, &(struct assay_memory_plan_options){.in_place = true});
    CHECK_INT(plan.n_buffers, 1);
    CHECK_INT(plan.arena_bytes, 1024);
    assay_memory_plan_release(&plan);
    assay_graph_close(graph);
}

ASSAY_TEST(a_size_that_is_not_known_is_counted_and_not_guessed)
{
    struct assay_graph *graph = assay_graph_open("free");
    int x = testing_input(graph, "x", ASSAY_F32, DIMS(-1, 4));
    assay_graph_add_output(graph, testing_node(graph, "Relu", NUMBERS(x), "y"));
    infer(graph);
    struct assay_memory_plan plan;
    assay_graph_plan_memory(&plan, graph, NULL);
    CHECK_INT(plan.n_unknown, 1);
    CHECK_INT(plan.peak_bytes, 0);
    CHECK_INT(plan.peak_node, -1);
    assay_memory_plan_release(&plan);
    assay_graph_close(graph);
}

ASSAY_TEST(what_is_of_4_bits_takes_half_a_byte_an_element)
{
    struct assay_graph *graph = assay_graph_open("packed");
    int x = testing_input(graph, "x", ASSAY_F32, DIMS(9)), y = testing_node(graph, "Relu", NUMBERS(x), "y");
    graph->values[y].type = assay_type_make(ASSAY_I4, DIMS(3, 67));
    assay_graph_add_output(graph, y);
    struct assay_memory_plan plan;
    assay_graph_plan_memory(&plan, graph, NULL);
    CHECK_INT(plan.n_unknown, 0);
    CHECK_INT(plan.peak_bytes, 101);
    assay_memory_plan_release(&plan);
    assay_graph_close(graph);
}

/* Four outputs of 2^62 bytes each. */
ASSAY_TEST(sizes_beyond_all_memory_do_not_overflow)
{
    struct assay_graph *graph = assay_graph_open("vast");
    int x = testing_input(graph, "x", ASSAY_F32, DIMS((int64_t)1 << 60));
    for (int i = 0; i < 4; i++)
        assay_graph_add_output(graph, testing_node(graph, "Relu", NUMBERS(x), "y"));
    infer(graph);
    struct assay_memory_plan plan;
    assay_graph_plan_memory(&plan, graph, NULL);
    CHECK(plan.peak_bytes == INT64_MAX && plan.arena_bytes == INT64_MAX);
    assay_memory_plan_release(&plan);
    assay_graph_plan_memory(&plan, graph, &(struct assay_memory_plan_options){.float_bytes = 16});
    CHECK_INT(plan.n_unknown, 4);
    assay_memory_plan_release(&plan);
    assay_graph_close(graph);
}

/* The plain and the in-place plan of random graphs, small ones by size, large ones in order. */
ASSAY_TEST(no_two_live_buffers_overlap)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 7, 0);
    for (int round = 0; round < 60; round++) {
        struct assay_graph *graph = testing_random_graph(&rng, round == 0 ? 9000 : 80);
        infer(graph);
        for (int in_place = 0; in_place < 2; in_place++) {
            struct assay_memory_plan plan;
            assay_graph_plan_memory(&plan, graph, &(struct assay_memory_plan_options){.in_place = in_place});
            if (round > 0)
                check_plan(graph, &plan);
            CHECK(plan.arena_bytes >= plan.peak_bytes);
            assay_memory_plan_release(&plan);
        }
        assay_graph_close(graph);
    }
}

/* A branch's own values are room that the If needs while it runs; what it captures stays alive until then. */
ASSAY_TEST(a_body_needs_room_while_its_node_runs)
{
    struct assay_graph *graph = assay_graph_open("if");
    int condition = testing_input(graph, "condition", ASSAY_BOOL, 0, NULL);
    int x = testing_input(graph, "x", ASSAY_F32, DIMS(64)), a = testing_node(graph, "Relu", NUMBERS(x), "a");
    int y = testing_node(graph, "If", NUMBERS(condition), "y");
    for (int branch = 0; branch < 2; branch++) {
        struct assay_graph *body = assay_graph_open_body(graph, "body");
        int value = assay_graph_capture(body, a);
        for (int i = 0; i < 3; i++)
            value = testing_node(body, branch ? "Tanh" : "Relu", NUMBERS(value), "inner");
        assay_graph_add_output(body, value);
        assay_node_set_graph(graph, testing_last(graph), branch ? "else_branch" : "then_branch", body);
    }
    assay_graph_add_output(graph, y);
    infer(graph);
    struct assay_memory_plan plan;
    assay_graph_plan_memory(&plan, graph, NULL);
    check_plan(graph, &plan);
    CHECK_INT(plan.n_buffers, 3);
    CHECK_INT(plan.buffers[plan.buffer_of[a]].last, 1);
    CHECK_INT(plan.peak_bytes, 256 + 2 * 256 + 256); /* a, two of the branch, y */
    assay_memory_plan_release(&plan);
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(what_a_later_node_needs_stays_alive),
                ASSAY_TEST_ENTRY(a_view_shares_the_buffer_of_what_it_looks_at), ASSAY_TEST_ENTRY(a_chain_needs_room_for_two),
                ASSAY_TEST_ENTRY(a_size_that_is_not_known_is_counted_and_not_guessed),
                ASSAY_TEST_ENTRY(what_is_of_4_bits_takes_half_a_byte_an_element),
                ASSAY_TEST_ENTRY(sizes_beyond_all_memory_do_not_overflow), ASSAY_TEST_ENTRY(no_two_live_buffers_overlap),
                ASSAY_TEST_ENTRY(a_body_needs_room_while_its_node_runs))
