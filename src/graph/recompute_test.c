/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/recompute.h"

#include "graph/gradient.h"
#include "graph/pass.h"
#include "graph/plan_memory.h"
#include "graph/testing.h"

enum { WIDTH = 8, MOST_WEIGHTS = 64, MOST_INPUTS = MOST_WEIGHTS + 1 };

/* A net with one data input and weights as inputs, differentiated. */
struct net {
    struct assay_graph *graph;
    struct assay_emit e;
    struct assay_error err;
    int x, weights[MOST_WEIGHTS], n_weights, n_forward;
};

static int add_input(struct net *n, const char *name, int64_t rows, int64_t columns)
{
    return testing_input(n->graph, name, ASSAY_F32, 2, (const int64_t[]){rows, columns});
}

static void net_init(struct net *n, int n_weights, int64_t batch)
{
    *n = (struct net){.graph = assay_graph_open("net"), .n_weights = n_weights};
    n->e = assay_emit_make(n->graph, "", &n->err);
    n->x = add_input(n, "x", batch, WIDTH);
    for (int i = 0; i < n_weights; i++)
        n->weights[i] = add_input(n, "w", WIDTH, WIDTH);
}

/* Loss: the sum of y's squares; the gradients of all weights become outputs. */
static void net_differentiate(struct net *n, int y)
{
    struct assay_graph *graph = n->graph;
    int gradients[MOST_WEIGHTS], loss = e_op(&n->e, "ReduceSum", E_VALUES(e_mul(&n->e, y, y)));
    e_set_int(&n->e, "keepdims", 0);
    CHECK_OK(assay_emit_finish(&n->e), n->err);
    assay_graph_add_output(graph, loss);
    CHECK_OK(assay_graph_sort(graph, &n->err), n->err);
    n->n_forward = graph->n_nodes;
    CHECK_OK(assay_graph_differentiate(graph, loss, -1, n->n_weights, n->weights, gradients, &n->err), n->err);
    for (int i = 0; i < n->n_weights; i++)
        if (gradients[i] >= 0 && !graph->values[gradients[i]].is_output)
            assay_graph_add_output(graph, gradients[i]);
    CHECK_OK(assay_graph_infer(graph, &n->err), n->err);
}

static void make_chain(struct net *n, int n_layers, int64_t batch)
{
    net_init(n, n_layers, batch);
    int y = n->x;
    for (int i = 0; i < n_layers; i++) {
        y = e_unary(&n->e, "Tanh", e_matmul(&n->e, y, n->weights[i]));
        y = e_mul(&n->e, y, e_unary(&n->e, "Sigmoid", y));
    }
    net_differentiate(n, y);
}

static void compare_runs(const struct assay_graph *a, const struct assay_graph *b, uint64_t seed)
{
    struct assay_error err = {0};
    struct assay_tensor inputs[MOST_INPUTS], one[MOST_INPUTS + 1], two[MOST_INPUTS + 1];
    struct assay_rng rng;
    assay_rng_init(&rng, seed, assay_rng_stream("recompute"));
    for (int i = 0; i < a->n_inputs; i++) {
        CHECK_OK(assay_tensor_alloc(&inputs[i], &a->values[a->inputs[i]].type, &err), err);
        for (int64_t k = 0; k < assay_tensor_count(&inputs[i]); k++)
            assay_tensor_set_real(&inputs[i], k, (double)assay_rng_below(&rng, 2000) / 1000 - 1);
    }
    CHECK_OK(testing_run(a, inputs, one, &err), err);
    CHECK_OK(testing_run(b, inputs, two, &err), err);
    CHECK_INT(a->n_outputs, b->n_outputs);
    for (int i = 0; i < a->n_outputs; i++) {
        bool equal = memcmp(one[i].data, two[i].data, (size_t)assay_tensor_bytes(&one[i])) == 0;
        if (!equal)
            fprintf(stderr, "seed %llu, output %d differs\n", (unsigned long long)seed, i);
        CHECK(equal);
        assay_tensor_release(&one[i]);
        assay_tensor_release(&two[i]);
    }
    for (int i = 0; i < a->n_inputs; i++)
        assay_tensor_release(&inputs[i]);
}

static int64_t peak_of(const struct assay_graph *graph)
{
    struct assay_memory_plan plan;
    assay_graph_plan_memory(&plan, graph, NULL);
    int64_t peak = plan.peak_bytes;
    assay_memory_plan_release(&plan);
    return peak;
}

ASSAY_TEST(a_chain_needs_memory_as_the_square_root_of_its_length_with_the_same_gradients)
{
    struct net n;
    make_chain(&n, 36, 256);
    struct assay_graph *plain = assay_graph_clone(n.graph);
    int n_copies;
    CHECK_OK(assay_graph_recompute(n.graph, n.n_forward, 1, ASSAY_RECOMPUTE_AUTO, &n_copies, &n.err), n.err);
    /* Of 36 layers of four activations, six are kept at a time, and the five boundaries between; gradients of weights are the
     * same in both. */
    int64_t weights = 36 * WIDTH * WIDTH * 4, before = peak_of(plain) - weights, after = peak_of(n.graph) - weights;
    printf("  %lld bytes of activations, %lld when they are computed again\n", (long long)before, (long long)after);
    CHECK(after * 3 < before);
    CHECK(n_copies > 0 && n_copies <= n.n_forward);
    compare_runs(plain, n.graph, 1);
    assay_graph_close(plain);
    assay_graph_close(n.graph);
}

ASSAY_TEST(no_pass_takes_a_copy_for_its_original)
{
    struct net n;
    make_chain(&n, 36, 1024);
    struct assay_graph *plain = assay_graph_clone(n.graph);
    CHECK_OK(assay_graph_recompute(n.graph, n.n_forward, 1, 6, NULL, &n.err), n.err);
    CHECK_OK(assay_graph_optimize(plain, NULL, &n.err), n.err);
    CHECK_OK(assay_graph_optimize(n.graph, NULL, &n.err), n.err);
    assay_graph_schedule(plain); /* passes put what they make last */
    assay_graph_schedule(n.graph);
    CHECK(peak_of(n.graph) * 10 < peak_of(plain) * 6);
    assay_graph_close(plain);
    assay_graph_close(n.graph);
}

ASSAY_TEST(in_standard_ops_the_gradients_stay_the_same)
{
    struct net n;
    make_chain(&n, 9, 4);
    struct assay_graph *plain = assay_graph_clone(n.graph);
    CHECK_OK(assay_graph_recompute(n.graph, n.n_forward, 1, 3, NULL, &n.err), n.err);
    CHECK_OK(assay_graph_expand(n.graph, NULL, &n.err), n.err);
    for (int i = 0; i < n.graph->n_nodes; i++)
        CHECK_TEXT(n.graph->nodes[i]->domain, "");
    compare_runs(plain, n.graph, 2);
    assay_graph_close(plain);
    assay_graph_close(n.graph);
}

/* Values that are read from near and far, several times, and by nobody. */
static void make_random(struct net *n, uint64_t seed)
{
    static const char *const unary[] = {"Tanh", "Sigmoid", "Neg", "Exp"};
    struct assay_rng rng;
    assay_rng_init(&rng, seed, assay_rng_stream("net"));
    net_init(n, 6, 3);
    int values[80], n_values = 0;
    values[n_values++] = n->x;
    for (int i = 0; i < 60; i++) {
        uint64_t reach = assay_rng_below(&rng, 3) ? 5 : 80;
        int low = n_values > (int)reach ? n_values - (int)reach : 0;
        int a = values[low + (int)assay_rng_below(&rng, (uint64_t)(n_values - low))];
        int b = values[low + (int)assay_rng_below(&rng, (uint64_t)(n_values - low))];
        uint64_t kind = assay_rng_below(&rng, 4);
        int y = kind == 0   ? e_matmul(&n->e, a, n->weights[assay_rng_below(&rng, 6)])
                : kind == 1 ? e_unary(&n->e, unary[assay_rng_below(&rng, 3)], a)
                : kind == 2 ? e_mul(&n->e, e_unary(&n->e, "Tanh", a), b)
                            : e_add(&n->e, a, b);
        values[n_values++] = e_unary(&n->e, "Tanh", y);
    }
    net_differentiate(n, values[n_values - 1]);
}

ASSAY_TEST(gradients_of_random_graphs_are_the_same_whatever_the_number_of_segments)
{
    for (uint64_t seed = 0; seed < 40; seed++)
        for (int segments = 2; segments < 200; segments *= 3) {
            struct net n;
            make_random(&n, seed);
            struct assay_graph *plain = assay_graph_clone(n.graph);
            CHECK_OK(assay_graph_recompute(n.graph, n.n_forward, 1, segments, NULL, &n.err), n.err);
            compare_runs(plain, n.graph, seed);
            assay_graph_close(plain);
            assay_graph_close(n.graph);
        }
}

ASSAY_TEST(random_numbers_are_drawn_once)
{
    struct net n;
    net_init(&n, 9, 16);
    int y = n.x, n_copies, n_random = 0;
    for (int i = 0; i < 9; i++) {
        y = e_unary(&n.e, "Tanh", e_matmul(&n.e, y, n.weights[i]));
        y = e_mul(&n.e, y, e_op(&n.e, "RandomUniformLike", E_VALUES(e_own(&n.e, "StopGradient", E_VALUES(y)))));
    }
    net_differentiate(&n, y);
    CHECK_OK(assay_graph_recompute(n.graph, n.n_forward, 1, 3, &n_copies, &n.err), n.err);
    for (int i = 0; i < n.graph->n_nodes; i++)
        n_random += strcmp(n.graph->nodes[i]->type, "RandomUniformLike") == 0;
    CHECK(n_copies > 0);
    CHECK_INT(n_random, 9);
    assay_graph_close(n.graph);
}

ASSAY_TEST(one_segment_or_none_changes_nothing)
{
    struct net n;
    make_chain(&n, 4, 2);
    int n_nodes = n.graph->n_nodes, n_copies;
    for (int segments = 0; segments < 2; segments++) {
        CHECK_OK(assay_graph_recompute(n.graph, n.n_forward, 1, segments, &n_copies, &n.err), n.err);
        CHECK_INT(n_copies, 0);
        CHECK_INT(n.graph->n_nodes, n_nodes);
    }
    assay_graph_close(n.graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_chain_needs_memory_as_the_square_root_of_its_length_with_the_same_gradients),
                ASSAY_TEST_ENTRY(no_pass_takes_a_copy_for_its_original),
                ASSAY_TEST_ENTRY(in_standard_ops_the_gradients_stay_the_same),
                ASSAY_TEST_ENTRY(gradients_of_random_graphs_are_the_same_whatever_the_number_of_segments),
                ASSAY_TEST_ENTRY(random_numbers_are_drawn_once), ASSAY_TEST_ENTRY(one_segment_or_none_changes_nothing))
