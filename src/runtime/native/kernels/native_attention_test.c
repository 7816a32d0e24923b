/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of the native runtime against the reference kernel, which sums in double. */
#include "runtime/native/testing.h"

enum { MAX_INPUTS = 6 };

struct form {
    int64_t batch, heads, kv_heads, queries, keys, dim, value_dim; /* keys: new ones */
    bool is_4d, is_causal, is_cached;
    enum assay_dtype dtype, mask; /* ASSAY_NO_DTYPE = no mask */
};

/* One program of a runtime, and its graph. */
struct side {
    const struct assay_runtime *runtime;
    struct assay_graph *graph;
    struct assay_program *program;
};

static int add_input(struct assay_graph *graph, const char *name, const struct form *f, int64_t heads, int64_t dim)
{
    if (f->is_4d)
        return testing_input(graph, name, f->dtype, 4, (const int64_t[]){f->batch, heads, -1, dim});
    return testing_input(graph, name, f->dtype, 3, (const int64_t[]){f->batch, -1, heads * dim});
}

static struct assay_graph *make_graph(const struct form *f)
{
    struct assay_graph *graph = assay_graph_open("attention");
    graph->opset = 23;
    int in[MAX_INPUTS] = {add_input(graph, "q", f, f->heads, f->dim),
                          add_input(graph, "k", f, f->kv_heads, f->dim),
                          add_input(graph, "v", f, f->kv_heads, f->value_dim),
                          -1,
                          -1,
                          -1};
    if (f->mask)
        in[3] = testing_input(graph, "mask", f->mask, 4, (const int64_t[]){f->batch, 1, -1, -1});
    if (f->is_cached) {
        in[4] = testing_input(graph, "past_key", f->dtype, 4, (const int64_t[]){f->batch, f->kv_heads, -1, f->dim});
        in[5] = testing_input(graph, "past_value", f->dtype, 4, (const int64_t[]){f->batch, f->kv_heads, -1, f->value_dim});
    }
    int out[] = {assay_graph_add_value(graph, "y", NULL), assay_graph_add_value(graph, "present_key", NULL),
                 assay_graph_add_value(graph, "present_value", NULL)};
    struct assay_node *node = assay_graph_add_node(graph, "Attention", "", f->is_cached ? 6 : 4, in, f->is_cached ? 3 : 1, out);
    assay_node_set_int(graph, node, "is_causal", f->is_causal);
    if (!f->is_4d) {
        assay_node_set_int(graph, node, "q_num_heads", f->heads);
        assay_node_set_int(graph, node, "kv_num_heads", f->kv_heads);
    }
    for (int i = 0; i < (f->is_cached ? 3 : 1); i++)
        assay_graph_add_output(graph, out[i]);
    for (int i = 0; f->is_cached && i < 2; i++)
        assay_graph_add_state(graph, i + 1, graph->n_inputs - 2 + i);
    return graph;
}

static void open_side(struct side *side, const char *platform, const struct form *f, int n_threads)
{
    struct assay_error err;
    struct assay_arena arena;
    struct assay_platform found;
    assay_arena_init(&arena);
    CHECK_OK(assay_platform_find(&arena, platform, &found, &side->runtime, &err), err);
    side->graph = make_graph(f);
    CHECK_OK(assay_graph_sort(side->graph, &err), err);
    CHECK_OK(assay_graph_infer(side->graph, &err), err);
    struct assay_compile_options options = {
        .platform = &found, .n_threads = n_threads, .isa = testing_isa(platform), .optimization = 3};
    CHECK_OK(side->runtime->compile(side->graph, &options, &side->program, &err), err);
    assay_arena_release(&arena);
}

static void close_side(struct side *side)
{
    side->runtime->release(side->program);
    assay_graph_close(side->graph);
}

static struct assay_tensor random_tensor(struct assay_rng *rng, enum assay_dtype dtype, int rank, const int64_t *dims)
{
    struct assay_tensor t;
    struct assay_type type = assay_type_make(dtype, rank, dims);
    CHECK_INT(assay_tensor_alloc(&t, &type, NULL), ASSAY_OK);
    for (int64_t i = 0; i < assay_tensor_count(&t); i++)
        assay_tensor_set_real(&t, i,
                              dtype == ASSAY_BOOL ? i == 0 || assay_rng_below(rng, 4) > 0 : 2 * assay_rng_uniform(rng) - 1);
    return t;
}

static struct assay_tensor make_input(const struct form *f, struct assay_rng *rng, int64_t heads, int64_t rows, int64_t dim)
{
    if (f->is_4d)
        return random_tensor(rng, f->dtype, 4, (const int64_t[]){f->batch, heads, rows, dim});
    return random_tensor(rng, f->dtype, 3, (const int64_t[]){f->batch, rows, heads * dim});
}

/* Runs both sides on the same numbers; past < 0: with what they hold. */
static void run_both(struct side *sides, const struct form *f, struct assay_rng *rng, int64_t queries, int64_t keys, int64_t past,
                     int64_t all)
{
    struct assay_tensor in[MAX_INPUTS] = {make_input(f, rng, f->heads, queries, f->dim),
                                          make_input(f, rng, f->kv_heads, keys, f->dim),
                                          make_input(f, rng, f->kv_heads, keys, f->value_dim)};
    struct assay_error err;
    int n = 3;
    if (f->mask) {
        in[n] = random_tensor(rng, f->mask, 4, (const int64_t[]){f->batch, 1, queries, all});
        for (int64_t row = 0; row < f->batch * queries; row++)
            assay_tensor_set_real(&in[n], row * all, 1); /* each query sees something */
        n++;
    }
    for (int i = 0; f->is_cached && past >= 0 && i < 2; i++)
        in[n + i] = random_tensor(rng, f->dtype, 4, (const int64_t[]){f->batch, f->kv_heads, past, i ? f->value_dim : f->dim});
    for (int i = 0; i < 2; i++) {
        CHECK_OK(sides[i].runtime->bind(sides[i].program, in, &err), err);
        CHECK_OK(sides[i].runtime->run(sides[i].program, &err), err);
    }
    for (int i = 0; i < sides[0].graph->n_outputs; i++) {
        struct assay_tensor wanted, got;
        CHECK_OK(sides[0].runtime->output(sides[0].program, i, &wanted, &err), err);
        CHECK_OK(sides[1].runtime->output(sides[1].program, i, &got, &err), err);
        struct assay_difference difference = assay_tensor_compare(&got, &wanted, 0, 0);
        CHECK(difference.same_type);
        /* Sums of some hundred terms in f32; bf16 keeps 8 bits of the result. */
        CHECK(difference.max_rel <= (f->dtype == ASSAY_BF16 ? 1.0 / 128 : 2e-6));
    }
    for (int i = 0; i < MAX_INPUTS; i++)
        assay_tensor_release(&in[i]);
}

static void check_form(struct form f)
{
    struct assay_rng rng;
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        struct side sides[2];
        assay_rng_init(&rng, 7, 0);
        open_side(&sides[0], "cpu/reference", &f, 1);
        open_side(&sides[1], "cpu/native", &f, n_threads);
        run_both(sides, &f, &rng, f.queries, f.keys, 0, f.keys);
        int64_t length = f.keys;
        for (int i = 0; f.is_cached && i < 4; i++) /* token by token, with what the run before left */
            run_both(sides, &f, &rng, 1, 1, -1, ++length);
        if (f.is_cached) { /* another request: from a past that is given */
            run_both(sides, &f, &rng, 3, 3, 5, 8);
            run_both(sides, &f, &rng, 1, 1, -1, 9);
        }
        close_side(&sides[0]);
        close_side(&sides[1]);
    }
}

ASSAY_TEST(queries_and_keys_of_any_number)
{
    check_form((struct form){1, 2, 2, 7, 7, 8, 8, .dtype = ASSAY_F32});
    check_form((struct form){2, 3, 3, 130, 130, 64, 64, .dtype = ASSAY_F32});
    check_form((struct form){1, 2, 2, 5, 300, 20, 12, .dtype = ASSAY_F32});
    check_form((struct form){1, 4, 2, 33, 65, 16, 40, .is_4d = true, .dtype = ASSAY_F32});
}

ASSAY_TEST(masks_and_causal_queries)
{
    check_form((struct form){1, 2, 2, 300, 300, 32, 32, .is_causal = true, .dtype = ASSAY_F32});
    check_form((struct form){2, 4, 2, 9, 270, 16, 16, .mask = ASSAY_F32, .dtype = ASSAY_F32});
    check_form((struct form){2, 4, 2, 9, 270, 16, 16, .mask = ASSAY_BOOL, .is_4d = true, .dtype = ASSAY_F32});
}

ASSAY_TEST(keys_and_values_are_kept_from_run_to_run)
{
    check_form((struct form){1, 4, 2, 70, 70, 16, 16, .is_cached = true, .dtype = ASSAY_F32});
    check_form((struct form){2, 14, 2, 62, 62, 64, 64, .is_cached = true, .mask = ASSAY_F32, .dtype = ASSAY_F32});
    check_form((struct form){2, 3, 3, 126, 126, 8, 24, .is_cached = true, .is_4d = true, .mask = ASSAY_BOOL, .dtype = ASSAY_F32});
}

ASSAY_TEST(bfloat16)
{
    check_form((struct form){1, 4, 2, 70, 70, 16, 16, .is_cached = true, .dtype = ASSAY_BF16});
    check_form((struct form){1, 2, 2, 90, 90, 32, 8, .is_causal = true, .mask = ASSAY_BF16, .dtype = ASSAY_BF16});
    check_form((struct form){2, 3, 3, 130, 261, 64, 64, .dtype = ASSAY_BF16});
    check_form((struct form){1, 4, 2, 97, 1, 20, 48, .is_4d = true, .dtype = ASSAY_BF16});
    check_form((struct form){2, 4, 2, 9, 270, 16, 16, .mask = ASSAY_F32, .dtype = ASSAY_BF16});
    check_form((struct form){1, 2, 2, 300, 300, 32, 32, .is_causal = true, .mask = ASSAY_BOOL, .dtype = ASSAY_BF16});
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(queries_and_keys_of_any_number), ASSAY_TEST_ENTRY(masks_and_causal_queries),
                ASSAY_TEST_ENTRY(keys_and_values_are_kept_from_run_to_run), ASSAY_TEST_ENTRY(bfloat16))
