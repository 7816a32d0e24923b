/* SPDX-License-Identifier: Apache-2.0 */
/* Attention in the forms that our families and exporters write it in. Oracle: its steps. */
#include "graph/passes/testing.h"

enum { BATCH = 2, LENGTH = 3, D = 4 };

struct how {
    int heads, kv_heads;
    bool past, keep, mask, turned_at_once, scaled_query, apart;
};

static int heads_of(struct assay_graph *g, int x, int n)
{
    return testing_transpose(g, testing_reshape(g, x, DIMS(0, 0, n, D)), DIMS(0, 2, 1, 3));
}

static int with_past(struct assay_graph *g, int x, const char *name, int n)
{
    int past = testing_input(g, name, ASSAY_F32, DIMS(BATCH, n, 2, D));
    int y = testing_node(g, "Concat", NUMBERS(past, x), "present");
    assay_node_set_int(g, testing_last(g), "axis", 2);
    assay_graph_add_output(g, y);
    return y;
}

static int unsqueeze(struct assay_graph *g, int x, int64_t axis)
{
    return testing_node(g, "Unsqueeze", NUMBERS(x, testing_ints(g, DIMS(axis))), "wide");
}

static int scale(struct assay_graph *g, int x) { return testing_node(g, "Mul", NUMBERS(x, testing_number(g, 0.4)), "scaled"); }

static int masked(struct assay_graph *g, const struct how *how, int scores)
{
    int64_t keys = LENGTH + (how->past ? 2 : 0);
    bool grouped = how->heads != how->kv_heads;
    if (how->keep) {
        int keep = testing_input(g, "keep", ASSAY_BOOL, DIMS(LENGTH, keys));
        scores = testing_node(g, "Where", NUMBERS(keep, scores, testing_number(g, -3.4028234e38)), "kept");
    }
    if (!how->mask)
        return scores;
    int mask = testing_input(g, "mask", ASSAY_F32, DIMS(BATCH, 1, LENGTH, keys));
    return testing_node(g, "Add", NUMBERS(scores, grouped ? unsqueeze(g, mask, 1) : mask), "masked");
}

static int softmax(struct assay_graph *g, int x)
{
    int y = testing_node(g, "Softmax", NUMBERS(x), "probabilities");
    assay_node_set_int(g, testing_last(g), "axis", -1);
    return y;
}

static int matmul(struct assay_graph *g, int x, int y) { return testing_node(g, "MatMul", NUMBERS(x, y), "product"); }

static void build(struct assay_graph *g, const struct how *how)
{
    int n = how->heads, m = how->kv_heads;
    int q = testing_input(g, "q", ASSAY_F32, DIMS(BATCH, LENGTH, n * D)),
        k = testing_input(g, "k", ASSAY_F32, DIMS(BATCH, LENGTH, m * D));
    int v = testing_input(g, "v", ASSAY_F32, DIMS(BATCH, LENGTH, m * D)), kt, y;
    q = how->scaled_query ? scale(g, q) : q;
    if (how->turned_at_once) {
        kt = testing_transpose(g, testing_reshape(g, k, DIMS(0, 0, m, D)), DIMS(0, 2, 3, 1));
    } else {
        k = heads_of(g, k, m);
        k = how->past ? with_past(g, k, "past_k", m) : k;
        kt = n == m ? testing_transpose(g, k, DIMS(0, 1, 3, 2)) : testing_transpose(g, unsqueeze(g, k, 2), DIMS(0, 1, 2, 4, 3));
    }
    v = heads_of(g, v, m);
    v = how->past ? with_past(g, v, "past_v", m) : v;
    if (n == m) {
        int scores = matmul(g, heads_of(g, q, n), kt);
        y = matmul(g, softmax(g, masked(g, how, how->scaled_query ? scores : scale(g, scores))), v);
        if (!how->apart)
            y = testing_reshape(g, testing_transpose(g, y, DIMS(0, 2, 1, 3)), DIMS(0, 0, n * D));
    } else {
        q = testing_transpose(g, testing_reshape(g, q, DIMS(0, 0, m, n / m, D)), DIMS(0, 2, 3, 1, 4));
        y = matmul(g, softmax(g, masked(g, how, scale(g, matmul(g, q, kt)))), unsqueeze(g, v, 2));
        y = testing_reshape(g, testing_transpose(g, y, DIMS(0, 3, 1, 2, 4)), DIMS(0, 0, n * D));
    }
    assay_graph_add_output(g, y);
}

static const struct how hows[] = {
    {4, 4, false, false, false, false, false, false}, {4, 4, false, true, false, true, false, false},
    {4, 4, false, true, true, false, true, false},    {4, 4, true, false, true, false, false, false},
    {4, 2, false, false, true, false, false, false},  {4, 2, true, true, false, false, false, false},
    {6, 2, true, true, true, false, false, false},    {4, 4, false, false, true, false, false, true},
    {4, 4, true, true, true, false, false, true},     {4, 4, false, false, false, true, true, true},
};

ASSAY_TEST(each_form_becomes_one_attention_that_gives_the_same)
{
    for (size_t i = 0; i < 2 * ASSAY_COUNT(hows); i++) {
        struct assay_graph *g = assay_graph_open("g");
        build(g, &hows[i / 2]);
        testing_pass(g, "attention", i & 1);
        CHECK_INT(testing_count(g, "", "Attention"), 1);
        CHECK_INT(testing_count(g, "", "Softmax") + testing_count(g, "", "MatMul"), 0);
        /* Heads that are joined behind need no transpose; where they stay apart, queries and all come as they were. */
        CHECK(hows[i / 2].apart || testing_count(g, "", "Transpose") == 0);
        CHECK_INT(testing_count(g, "", "Concat"), hows[i / 2].past && hows[i / 2].apart ? 2 : 0);
        assay_graph_close(g);
    }
}

ASSAY_TEST(all_passes_together_leave_nothing_but_attention)
{
    struct assay_graph *g = assay_graph_open("g");
    build(g, &hows[3]);
    testing_pass(g, NULL, true);
    CHECK_INT(g->n_nodes, 1);
    assay_graph_close(g);
}

/* Largest error over largest magnitude: a few units of bf16, as a mask's lowest number is no infinity. */
ASSAY_TEST(in_bf16_it_is_one_attention_whose_mask_stays_f32)
{
    struct assay_error err;
    for (size_t i = 0; i < ASSAY_COUNT(hows); i++) {
        struct assay_graph *g = assay_graph_open("g");
        struct assay_tensor inputs[8], before[TESTING_OUTPUTS], after[TESTING_OUTPUTS];
        build(g, &hows[i]);
        for (int k = 0; k < g->n_inputs; k++)
            inputs[k] = testing_noise(&g->values[g->inputs[k]].type, 100 + (uint64_t)k);
        CHECK_OK(assay_graph_sort(g, &err), err);
        CHECK_OK(testing_run(g, inputs, before, &err), err);
        CHECK_OK(assay_graph_optimize(g, &(struct assay_pass_options){.precision = ASSAY_BF16}, &err), err);
        CHECK_OK(testing_run(g, inputs, after, &err), err);
        CHECK_INT(testing_count(g, "", "Attention"), 1);
        CHECK_INT(testing_count(g, "", "Softmax") + testing_count(g, "", "MatMul"), 0);
        for (int n = 0; n < g->n_nodes; n++) {
            const struct assay_node *node = g->nodes[n];
            if (strcmp(node->type, "Attention") != 0)
                continue;
            CHECK_INT(g->values[node->inputs[0]].type.dtype, ASSAY_BF16);
            CHECK_INT(g->values[node->outputs[0]].type.dtype, ASSAY_BF16);
            CHECK(node->n_inputs < 4 || node->inputs[3] < 0 || g->values[node->inputs[3]].type.dtype == ASSAY_F32);
        }
        for (int k = 0; k < g->n_outputs; k++) {
            struct assay_difference difference = assay_tensor_compare(&after[k], &before[k], 1e-2, 1e-2);
            CHECK(difference.same_type);
            CHECK(difference.max_rel <= 4.0 / 256);
            assay_tensor_release(&before[k]);
            assay_tensor_release(&after[k]);
        }
        for (int k = 0; k < g->n_inputs; k++)
            assay_tensor_release(&inputs[k]);
        assay_graph_close(g);
    }
}

ASSAY_TEST(probabilities_that_are_wanted_keep_the_steps)
{
    struct assay_graph *g = assay_graph_open("g");
    build(g, &hows[0]);
    for (int v = 0; v < g->n_values; v++)
        if (strncmp(g->values[v].name, "probabilities", 13) == 0)
            assay_graph_add_output(g, v);
    testing_pass(g, "attention", false);
    CHECK_INT(testing_count(g, "", "Attention"), 0);
    assay_graph_close(g);
}

ASSAY_TEST(look_alikes_stay)
{
    struct assay_graph *g = assay_graph_open("g");
    int q = testing_input(g, "q", ASSAY_F32, DIMS(2, 4, 3, 4)), k = testing_input(g, "k", ASSAY_F32, DIMS(2, 4, 4, 3));
    int v = testing_input(g, "v", ASSAY_F32, DIMS(2, 4, 3, 5));
    /* keys that nobody turned; scores over another axis; a mask that is larger than the scores; one that replaces softly */
    assay_graph_add_output(g, matmul(g, softmax(g, matmul(g, q, k)), v));
    int kt = testing_transpose(g, testing_input(g, "k2", ASSAY_F32, DIMS(2, 4, 3, 4)), DIMS(0, 1, 3, 2));
    int probabilities = softmax(g, matmul(g, q, kt));
    assay_node_set_int(g, testing_last(g), "axis", 2);
    assay_graph_add_output(g, matmul(g, probabilities, v));
    int one = testing_input(g, "one", ASSAY_F32, DIMS(1, 4, 3, 4)), of_one = testing_input(g, "v1", ASSAY_F32, DIMS(1, 4, 3, 5));
    int mask = testing_input(g, "mask", ASSAY_F32, DIMS(2, 1, 3, 3));
    int scores = matmul(g, one, testing_transpose(g, one, DIMS(0, 1, 3, 2)));
    assay_graph_add_output(g, matmul(g, softmax(g, testing_node(g, "Add", NUMBERS(scores, mask), "larger")), of_one));
    int keep = testing_input(g, "keep", ASSAY_BOOL, DIMS(3, 3));
    scores = testing_node(g, "Where", NUMBERS(keep, matmul(g, q, kt), testing_number(g, -10)), "soft");
    assay_graph_add_output(g, matmul(g, softmax(g, scores), v));
    testing_pass(g, "attention", false);
    CHECK_INT(testing_count(g, "", "Attention"), 0);
    assay_graph_close(g);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(each_form_becomes_one_attention_that_gives_the_same),
                ASSAY_TEST_ENTRY(all_passes_together_leave_nothing_but_attention),
                ASSAY_TEST_ENTRY(in_bf16_it_is_one_attention_whose_mask_stays_f32),
                ASSAY_TEST_ENTRY(probabilities_that_are_wanted_keep_the_steps), ASSAY_TEST_ENTRY(look_alikes_stay))
