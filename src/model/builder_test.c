/* SPDX-License-Identifier: Apache-2.0 */
/* The builder's pieces, run op by op on the reference kernels, against formulas in double and masks written by hand. */
#include "model/builder.h"

#include "base/test.h"
#include "graph/infer.h"
#include "graph/testing.h"

static const struct assay_model_options usual = {0};

struct fixture {
    struct assay_builder b;
    struct assay_error err;
    struct assay_graph *graph;
};

static struct assay_builder *init(struct fixture *f)
{
    *f = (struct fixture){0};
    assay_builder_init(&f->b, "test", &usual, NULL, &f->err);
    return &f->b;
}

/* The only output, for one input of f32[n]. */
static void run(struct fixture *f, int value, const float *x, int64_t n, struct assay_tensor *result)
{
    b_output(&f->b, value, "y");
    CHECK_OK(assay_builder_finish(&f->b, &f->graph), f->err);
    struct assay_tensor input;
    struct assay_type type = assay_type_make(ASSAY_F32, 1, &n);
    assay_tensor_borrow(&input, &type, x);
    CHECK_OK(testing_run(f->graph, &input, result, &f->err), f->err);
}

static void release(struct fixture *f)
{
    assay_graph_close(f->graph);
    assay_builder_release(&f->b);
}

ASSAY_TEST(activations_are_their_formulas)
{
    /* The values of x, and one in the middle of each curve's bend. */
    static const float x[] = {-3, -0.75f, 0, 0.5f, 2, 7};
    for (int k = 0; k < 8; k++) {
        static const char *const words[] = {"gelu", "gelu_new", "quick_gelu", "silu", "relu6", "relu", "mish", "tanh"};
        struct fixture f;
        struct assay_builder *b = init(&f);
        struct assay_tensor y;
        run(&f, b_activation(b, b_input(b, "x", ASSAY_F32, "n"), words[k]), x, 6, &y);
        for (int i = 0; i < 6; i++) {
            double v = x[i];
            double wanted[] = {
                0.5 * v * (1 + erf(v / sqrt(2))), 0.5 * v * (1 + tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))),
                v / (1 + exp(-1.702 * v)),        v / (1 + exp(-v)),
                v < 0 ? 0 : v > 6 ? 6 : v,        v < 0 ? 0 : v,
                v * tanh(log1p(exp(v))),          tanh(v)};
            CHECK_NEAR(assay_tensor_real(&y, i), wanted[k], 2e-6); /* some roundings of f32 at 7 */
        }
        assay_tensor_release(&y);
        release(&f);
    }
}

/* A mask's rows as texts: '1' where a query may look. */
static void check_causal(int64_t queries, int64_t keys, int64_t window, const char *wanted)
{
    struct fixture f;
    struct assay_builder *b = init(&f);
    struct assay_tensor y;
    float x = 0;
    int input = b_input(b, "x", ASSAY_F32, "n");
    int mask = b_cast(b, b_causal(b, b_int(b, queries), b_int(b, keys), window), ASSAY_F32);
    run(&f, b_add(b, mask, b_scale(b, input, 0)), &x, 1, &y);
    CHECK_INT(assay_tensor_count(&y), (int64_t)strlen(wanted));
    for (int64_t i = 0; i < queries * keys; i++)
        CHECK_INT(assay_tensor_int(&y, i), wanted[i] == '1');
    assay_tensor_release(&y);
    release(&f);
}

ASSAY_TEST(a_query_looks_at_itself_and_what_came_before)
{
    check_causal(3, 3, 0,
                 "100"
                 "110"
                 "111");
    check_causal(4, 4, 2,
                 "1000"
                 "1100"
                 "0110"
                 "0011");
}

ASSAY_TEST(queries_are_the_last_of_the_keys)
{
    check_causal(1, 4, 0, "1111");
    check_causal(2, 4, 3,
                 "1110"
                 "0111");
}

ASSAY_TEST(an_rms_norm_has_a_mean_square_of_one)
{
    static const float x[] = {1, -2, 3, 4};
    struct fixture f;
    struct assay_builder *b = init(&f);
    struct assay_tensor y;
    int rows = b_reshape(b, b_input(b, "x", ASSAY_F32, "n"), B_LIST(1, 4));
    run(&f, b_rms_norm(b, rows, "norm", 4, 1e-6), x, 4, &y);
    double root = sqrt((1 + 4 + 9 + 16) / 4.0 + 1e-6);
    for (int i = 0; i < 4; i++)
        CHECK_NEAR(assay_tensor_real(&y, i), x[i] / root, 3e-7);
    assay_tensor_release(&y);
    release(&f);
}

ASSAY_TEST(a_group_norm_normalises_each_group_alone)
{
    /* [1, 4 channels, 2] in 2 groups: four numbers each. */
    static const float x[] = {1, 2, 3, 6, -5, 0, 5, 10};
    struct fixture f;
    struct assay_builder *b = init(&f);
    struct assay_tensor y;
    int rows = b_reshape(b, b_input(b, "x", ASSAY_F32, "n"), B_LIST(1, 4, 2));
    run(&f, b_group_norm(b, rows, "norm", 2, 4, 1e-5), x, 8, &y);
    for (int g = 0; g < 2; g++) {
        double mean = 0, square = 0;
        for (int i = 0; i < 4; i++)
            mean += x[4 * g + i] / 4;
        for (int i = 0; i < 4; i++)
            square += (x[4 * g + i] - mean) * (x[4 * g + i] - mean) / 4;
        for (int i = 0; i < 4; i++)
            CHECK_NEAR(assay_tensor_real(&y, 4 * g + i), (x[4 * g + i] - mean) / sqrt(square + 1e-5), 1e-6);
    }
    assay_tensor_release(&y);
    release(&f);
}

ASSAY_TEST(rotary_positions_turn_pairs_by_their_angle)
{
    /* One head of 4 at position 5: (x0, x2) turns by 5 · 1, (x1, x3) by 5 · 0.5. */
    static const float x[] = {1, 2, 3, 4}, frequencies[] = {1, 0.5f};
    struct fixture f;
    struct assay_builder *b = init(&f);
    struct assay_tensor y;
    int cosine, sine, heads = b_reshape(b, b_input(b, "x", ASSAY_F32, "n"), B_LIST(1, 1, 1, 4));
    int positions = b_unsqueeze(b, b_ints(b, B_LIST(5)), B_LIST(0));
    b_rope_tables(b, positions, b_floats(b, "f", B_LIST(2), frequencies), 1, &cosine, &sine);
    run(&f, b_rope(b, heads, 4, cosine, sine), x, 4, &y);
    double wanted[] = {1 * cos(5) - 3 * sin(5), 2 * cos(2.5) - 4 * sin(2.5), 3 * cos(5) + 1 * sin(5),
                       4 * cos(2.5) + 2 * sin(2.5)};
    for (int i = 0; i < 4; i++)
        CHECK_NEAR(assay_tensor_real(&y, i), wanted[i], 1e-6);
    assay_tensor_release(&y);
    release(&f);
}

ASSAY_TEST(queries_that_share_a_key_attend_as_if_it_were_repeated)
{
    /* 4 heads of 2 over 2 keys' heads, 3 tokens; the oracle: the same with each key and value repeated by hand. */
    float x[48], results[2][24];
    for (int i = 0; i < 48; i++)
        x[i] = sinf((float)(i * i)) * 2;
    for (int repeated = 0; repeated < 2; repeated++) {
        struct fixture f;
        struct assay_builder *b = init(&f);
        struct assay_tensor y;
        int all = b_input(b, "x", ASSAY_F32, "n");
        struct b_attention a = {.heads = 4, .kv_heads = repeated ? 4 : 2, .head_dim = 2, B_ATTENTION_NONE};
        a.q = b_reshape(b, b_slice(b, all, 0, 0, 24), B_LIST(1, 3, 8));
        a.k = b_reshape(b, b_slice(b, all, 0, 24, 36), B_LIST(1, 3, 2, 2));
        a.v = b_reshape(b, b_slice(b, all, 0, 36, 48), B_LIST(1, 3, 2, 2));
        if (repeated) {
            int order = b_ints(b, B_LIST(0, 0, 1, 1));
            a.k = b_gather(b, a.k, 2, order);
            a.v = b_gather(b, a.v, 2, order);
        }
        a.mask = b_causal_mask(b, b_int(b, 3), b_int(b, 3), 0, -1);
        run(&f, b_attention(b, &a), x, 48, &y);
        for (int i = 0; i < 24; i++)
            results[repeated][i] = (float)assay_tensor_real(&y, i);
        assay_tensor_release(&y);
        release(&f);
    }
    for (int i = 0; i < 24; i++)
        CHECK_NEAR(results[0][i], results[1][i], 1e-6);
}

ASSAY_TEST(a_wrong_shape_is_reported_with_its_module)
{
    struct fixture f;
    struct assay_builder *b = init(&f);
    int x = b_reshape(b, b_input(b, "x", ASSAY_F32, "n"), B_LIST(-1, 5));
    b_enter(b, "layers.%d", 3);
    int y = b_linear(b, x, "up", 4, 8, true);
    b_leave(b);
    b_output(b, y, "y");
    CHECK(assay_builder_finish(b, &f.graph) != ASSAY_OK);
    CHECK_CONTAINS(f.err.message, "layers.3.up");
    release(&f);
}

ASSAY_TEST(random_weights_are_the_same_for_the_same_seed)
{
    double sums[3];
    for (int i = 0; i < 3; i++) {
        struct assay_model_options options = {.seed = i == 2 ? 8 : 7};
        struct assay_builder b;
        struct assay_error err;
        assay_builder_init(&b, "test", &options, NULL, &err);
        int w = b_param(&b, "weight", B_LIST(64, 64));
        sums[i] = 0;
        double squares = 0;
        for (int k = 0; k < 64 * 64; k++) {
            double v = assay_tensor_real(&b.emit.graph->values[w].constant, k);
            sums[i] += v * (k % 7);
            squares += v * v;
        }
        /* Variance 1/fan_in, within five standard deviations of its estimate. */
        CHECK_NEAR(squares / 64, 1, 5 * sqrt(0.8 / 4096));
        assay_builder_release(&b);
    }
    CHECK(sums[0] == sums[1]);
    CHECK(sums[0] != sums[2]);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(activations_are_their_formulas), ASSAY_TEST_ENTRY(a_query_looks_at_itself_and_what_came_before),
                ASSAY_TEST_ENTRY(queries_are_the_last_of_the_keys), ASSAY_TEST_ENTRY(an_rms_norm_has_a_mean_square_of_one),
                ASSAY_TEST_ENTRY(a_group_norm_normalises_each_group_alone),
                ASSAY_TEST_ENTRY(rotary_positions_turn_pairs_by_their_angle),
                ASSAY_TEST_ENTRY(queries_that_share_a_key_attend_as_if_it_were_repeated),
                ASSAY_TEST_ENTRY(a_wrong_shape_is_reported_with_its_module),
                ASSAY_TEST_ENTRY(random_weights_are_the_same_for_the_same_seed))
