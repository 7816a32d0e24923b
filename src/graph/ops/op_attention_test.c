/* SPDX-License-Identifier: Apache-2.0 */
/* Attention. Oracle: the formula of the standard, a sum at a time. */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"
#include "graph/passes/testing.h"

#include <math.h>

enum { BATCH = 2, QUERIES = 3, KEYS = 4, PAST = 2, D = 5, DV = 3 };

struct sizes {
    int heads, kv_heads, past;
    bool flat; /* [batch, length, heads * d] */
};

static double at(const struct assay_tensor *t, bool flat, int heads, int length, int d, int b, int h, int i, int k)
{
    return assay_tensor_real(t, flat ? ((b * length + i) * heads + h) * d + k : ((b * heads + h) * length + i) * d + k);
}

/* Key or value i of all, past ones first. */
static double joined(const struct sizes *s, const struct assay_tensor *t, const struct assay_tensor *past, int d, int b, int h,
                     int i, int k)
{
    return i < s->past ? at(past, false, s->kv_heads, s->past, d, b, h, i, k)
                       : at(t, s->flat, s->kv_heads, KEYS, d, b, h, i - s->past, k);
}

enum { Q, K, V, MASK, PAST_K, PAST_V, N };

static void expect(const struct sizes *s, const struct assay_tensor *in, double scale, bool causal, const struct assay_tensor *y)
{
    int all = KEYS + s->past, group = s->heads / s->kv_heads;
    for (int b = 0; b < BATCH; b++)
        for (int h = 0; h < s->heads; h++)
            for (int i = 0; i < QUERIES; i++) {
                double p[KEYS + PAST], sum = 0;
                for (int j = 0; j < all; j++) {
                    double score = 0;
                    for (int k = 0; k < D; k++)
                        score += at(&in[Q], s->flat, s->heads, QUERIES, D, b, h, i, k) *
                                 joined(s, &in[K], &in[PAST_K], D, b, h / group, j, k);
                    bool hidden = causal && j > i;
                    if (in[MASK].data)
                        hidden |= !assay_tensor_real(&in[MASK], i * all + j);
                    p[j] = hidden ? 0 : exp(score * scale);
                    sum += p[j];
                }
                for (int k = 0; k < DV; k++) {
                    double wanted = 0;
                    for (int j = 0; j < all; j++)
                        wanted += p[j] / sum * joined(s, &in[V], &in[PAST_V], DV, b, h / group, j, k);
                    CHECK_NEAR(at(y, s->flat, s->heads, QUERIES, DV, b, h, i, k), wanted, 1e-6);
                }
            }
}

static int input(struct assay_graph *g, const char *name, const struct sizes *s, int heads, int length, int d)
{
    return s->flat ? testing_input(g, name, ASSAY_F32, DIMS(BATCH, length, heads * d))
                   : testing_input(g, name, ASSAY_F32, DIMS(BATCH, heads, length, d));
}

static void check(const struct sizes *s, bool masked, bool causal, double scale)
{
    struct assay_graph *g = assay_graph_open("g");
    struct assay_error err;
    struct assay_tensor in[N] = {0}, given[N], out[3] = {0};
    int values[N] = {input(g, "q", s, s->heads, QUERIES, D),
                     input(g, "k", s, s->kv_heads, KEYS, D),
                     input(g, "v", s, s->kv_heads, KEYS, DV),
                     -1,
                     -1,
                     -1};
    if (masked)
        values[MASK] = testing_input(g, "mask", ASSAY_BOOL, DIMS(QUERIES, KEYS + s->past));
    if (s->past) {
        values[PAST_K] = testing_input(g, "past_k", ASSAY_F32, DIMS(BATCH, s->kv_heads, s->past, D));
        values[PAST_V] = testing_input(g, "past_v", ASSAY_F32, DIMS(BATCH, s->kv_heads, s->past, DV));
    }
    int n = 0;
    for (int i = 0; i < N; i++)
        if (values[i] >= 0) {
            in[i] = testing_noise(&g->values[values[i]].type, (uint64_t)i);
            given[n++] = in[i];
        }
    for (int i = 0; masked && i < QUERIES; i++)
        assay_tensor_set_real(&in[MASK], i * (KEYS + s->past), 1); /* somewhere to look */
    int outputs[] = {assay_graph_add_value(g, "y", NULL), assay_graph_add_value(g, "present_k", NULL),
                     assay_graph_add_value(g, "present_v", NULL)};
    struct assay_node *node = assay_graph_add_node(g, "Attention", "",
                                                   s->past  ? 6
                                                   : masked ? 4
                                                            : 3,
                                                   values, s->past ? 3 : 1, outputs);
    assay_node_set_int(g, node, "q_num_heads", s->heads);
    assay_node_set_int(g, node, "kv_num_heads", s->kv_heads);
    assay_node_set_int(g, node, "is_causal", causal);
    if (scale != 1 / sqrt(D))
        assay_node_set_float(g, node, "scale", (float)scale);
    for (int i = 0; i < node->n_outputs; i++)
        assay_graph_add_output(g, outputs[i]);
    CHECK_OK(testing_run(g, given, out, &err), err);
    expect(s, in, scale, causal, &out[0]);
    for (int i = 0; s->past && i < (int)assay_tensor_count(&out[1]); i++) {
        int k = i % D, t = i / D % (KEYS + s->past), h = i / D / (KEYS + s->past);
        CHECK_NEAR(assay_tensor_real(&out[1], i), joined(s, &in[K], &in[PAST_K], D, h / s->kv_heads, h % s->kv_heads, t, k), 0);
    }
    for (int i = 0; i < N; i++)
        assay_tensor_release(&in[i]);
    for (int i = 0; i < 3; i++)
        assay_tensor_release(&out[i]);
    assay_graph_close(g);
}

ASSAY_TEST(heads_groups_masks_and_the_past_follow_the_formula)
{
    for (int which = 0; which < 16; which++) {
        struct sizes s = {which & 1 ? 4 : 2, 2, which & 2 ? PAST : 0, which & 4};
        check(&s, which & 8, false, which & 1 ? 1 / sqrt(D) : 0.7);
        if (!s.past)
            check(&s, false, true, 1 / sqrt(D));
    }
}

ASSAY_TEST(what_does_not_fit_is_refused)
{
    static const struct {
        int64_t q[3], k[3];
        int heads, kv_heads;
        const char *says;
    } wrong[] = {{{2, 3, 8}, {2, 3, 8}, 0, 2, "q_num_heads"},
                 {{2, 3, 8}, {2, 3, 8}, 3, 2, "cannot share"},
                 {{2, 3, 8}, {2, 3, 6}, 2, 2, "size of a head"},
                 {{2, 3, 8}, {1, 3, 8}, 2, 2, "batch"},
                 {{2, 3, 6}, {2, 3, 4}, 3, 2, "cannot share"}};
    for (size_t i = 0; i < ASSAY_COUNT(wrong); i++) {
        struct assay_graph *g = assay_graph_open("g");
        struct assay_error err;
        int q = testing_input(g, "q", ASSAY_F32, 3, wrong[i].q), k = testing_input(g, "k", ASSAY_F32, 3, wrong[i].k);
        assay_graph_add_output(g, testing_node(g, "Attention", NUMBERS(q, k, k), "y"));
        assay_node_set_int(g, testing_last(g), "q_num_heads", wrong[i].heads);
        assay_node_set_int(g, testing_last(g), "kv_num_heads", wrong[i].kv_heads);
        CHECK_INT(assay_graph_infer(g, &err), ASSAY_INVALID);
        CHECK_CONTAINS(err.message, wrong[i].says);
        assay_graph_close(g);
    }
}

/* What a gradient test chooses. */
struct choice {
    bool flat, shared, causal, masked;
    double softcap;
};

static int heads_of(struct assay_emit *e, const struct choice *c, int x, int heads)
{
    if (!c->flat)
        return x;
    return e_transpose(e, e_reshape(e, x, E_INTS(2, 3, heads, 4)), E_INTS(0, 2, 1, 3));
}

/* Attention by MatMul and Softmax, whose gradients have tests of their own. */
static int plain_attention(struct assay_emit *e, const struct choice *c, const int *x)
{
    int q = heads_of(e, c, x[0], 4), k = heads_of(e, c, x[1], c->shared ? 2 : 4), v = heads_of(e, c, x[2], c->shared ? 2 : 4);
    const double twice[] = {0, 0, 1, 1}, triangle[] = {1, 0, 0, 1, 1, 0, 1, 1, 1};
    struct assay_type four = fixture_type(ASSAY_I64, "4"), square = fixture_type(ASSAY_BOOL, "3,3");
    int64_t order[4];
    uint8_t visible[9];
    for (int i = 0; i < 4; i++)
        order[i] = (int64_t)twice[i];
    for (int i = 0; i < 9; i++)
        visible[i] = triangle[i] > 0;
    if (c->shared) {
        k = e_gather(e, k, 1, e_constant(e, "twice", &four, order));
        v = e_gather(e, v, 1, e_constant(e, "twice", &four, order));
    }
    int scores = e_scale(e, e_matmul(e, q, e_transpose_last(e, k)), 0.5);
    if (c->softcap > 0)
        scores = e_scale(e, e_unary(e, "Tanh", e_scale(e, scores, 1 / c->softcap)), c->softcap);
    if (c->masked)
        scores = e_add(e, scores, x[3]);
    if (c->causal)
        scores = e_where(e, e_constant(e, "visible", &square, visible), scores, e_number(e, -(double)INFINITY, scores));
    int y = e_matmul(e, e_softmax(e, scores, -1), v);
    return c->flat ? e_reshape(e, e_transpose(e, y, E_INTS(0, 2, 1, 3)), E_INTS(2, 3, 16)) : y;
}

static int own_attention(struct assay_emit *e, const struct choice *c, const int *x)
{
    int narrow[4];
    for (int i = 0; i < 4; i++)
        narrow[i] = x[i] < 0 ? -1 : e_cast(e, x[i], ASSAY_F32);
    int y = e_op(e, "Attention", 4, narrow);
    e_set_int(e, "is_causal", c->causal);
    e_set_float(e, "softcap", c->softcap);
    e_set_int(e, "q_num_heads", c->flat ? 4 : 0);
    e_set_int(e, "kv_num_heads", c->flat ? c->shared ? 2 : 4 : 0);
    return e_cast(e, y, ASSAY_F64);
}

/* outputs: the gradients of q, k, v and the mask. */
static void attention_gradients(uint64_t seed, const struct choice *c, bool plain, struct assay_tensor *outputs)
{
    struct probe p;
    probe_init(&p, seed);
    int x[4] = {-1, -1, -1, -1}, n = c->masked ? 4 : 3, gradients[4];
    x[0] = probe_input(&p, c->flat ? "2,3,16" : "2,4,3,4", -1, 1);
    for (int i = 1; i < 3; i++)
        x[i] = probe_input(&p, c->flat ? c->shared ? "2,3,8" : "2,3,16" : c->shared ? "2,2,3,4" : "2,4,3,4", -1, 1);
    if (c->masked)
        x[3] = probe_input(&p, "4,1,3", -1, 1);
    probe_output(&p, plain ? plain_attention(&p.e, c, x) : own_attention(&p.e, c, x));
    CHECK_OK(assay_emit_finish(&p.e), p.err);
    CHECK_OK(assay_graph_differentiate(p.graph, p.losses[0], -1, n, x, gradients, &p.err), p.err);
    for (int i = 0; i < n; i++)
        assay_graph_add_output(p.graph, gradients[i]);
    CHECK_OK(testing_run(p.graph, p.tensors, outputs, &p.err), p.err);
    probe_release(&p);
}

/* In f32, which is what limits it, against the plain formula in f64. */
ASSAY_TEST(its_gradients_are_those_of_the_plain_formula)
{
    for (uint64_t seed = 0; seed < 16; seed++) {
        struct choice c = {seed & 1, seed & 2, seed & 4, seed & 8, seed % 3 == 0 ? 1.5 : 0};
        struct assay_tensor own[4] = {0}, plain[4] = {0};
        attention_gradients(seed, &c, false, own);
        attention_gradients(seed, &c, true, plain);
        for (int i = 0; i < (c.masked ? 4 : 3); i++) {
            double largest = 0, worst = 0;
            CHECK(assay_type_equal(&own[i].type, &plain[i].type));
            for (int64_t k = 0; k < assay_tensor_count(&own[i]); k++) {
                largest = fmax(largest, fabs(assay_tensor_real(&plain[i], k)));
                worst = fmax(worst, fabs(assay_tensor_real(&plain[i], k) - assay_tensor_real(&own[i], k)));
            }
            CHECK(largest > 0 && worst <= 2e-6 * largest);
            assay_tensor_release(&own[i]);
            assay_tensor_release(&plain[i]);
        }
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(heads_groups_masks_and_the_past_follow_the_formula),
                ASSAY_TEST_ENTRY(what_does_not_fit_is_refused), ASSAY_TEST_ENTRY(its_gradients_are_those_of_the_plain_formula))
