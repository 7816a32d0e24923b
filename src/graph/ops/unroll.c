/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See recurrent.h: the gradients of RNN, GRU and LSTM in standard ops, unrolled over time. The formulas are those of
 * op_gradient_recurrent.c, on [batch, hidden] values, a step at a time.
 */
#include "graph/ops/recurrent.h"
#include "graph/ops/rules.h"

#include <math.h>
#include <stdlib.h>

enum { F, G, H };
enum { STEPS_MOST = 4096, MAX_GATES = 4 };

/* One direction of one node. */
struct unroll {
    struct assay_emit *e;
    const struct assay_node *node;
    struct assay_recurrent r;
    struct assay_cell cell;
    int direction;
    bool reverse, late;
    int x, w, weights_h, bias_x, bias_h;         /* bias_*: [gates · hidden], or -1 */
    int peepholes[3];                            /* i, o, f: [hidden], or -1 */
    int *alive;                                  /* [steps]: bool [batch, 1], or NULL = all are */
    int (*from_x)[MAX_GATES];                    /* [steps]: [batch, hidden] each */
    int (*before)[MAX_GATES], (*act)[MAX_GATES]; /* into and out of activations */
    int (*d_x)[MAX_GATES], (*d_h)[MAX_GATES];    /* gradients of the former */
    int *h_before, *c_before, *c_after, *extra;  /* [steps] */
    int dh, dc;
    int dp[3]; /* sums; -1 = none yet */
};

static int input(const struct unroll *u, int i) { return i < u->node->n_inputs ? u->node->inputs[i] : -1; }
static int64_t next_step(const struct unroll *u, int64_t k) { return u->reverse ? u->r.steps - 1 - k : k; }
static int at_step(struct assay_emit *e, int x, int64_t step) { return e_gather(e, x, 0, e_int(e, step)); }

/* x + y, either of which may be none. */
static int plus(struct assay_emit *e, int x, int y) { return x < 0 ? y : y < 0 ? x : e_add(e, x, y); }
static int with_peephole(const struct unroll *u, int x, int which, int c)
{
    return u->peepholes[which] < 0 ? x : e_add(u->e, x, e_mul(u->e, c, u->peepholes[which]));
}

/* ---- activations */

static int clipped(const struct unroll *u, int x)
{
    if (u->cell.clip == (double)INFINITY)
        return x;
    return e_op(u->e, "Clip", E_VALUES(x, e_number(u->e, -u->cell.clip, x), e_number(u->e, u->cell.clip, x)));
}

static int with_alpha(struct assay_emit *e, const char *type, int x, double alpha)
{
    int y = e_unary(e, type, x);
    e_set_float(e, "alpha", alpha);
    return y;
}

static int activate(const struct unroll *u, int i, int x)
{
    const struct assay_activation *a = &u->cell.activation[i];
    struct assay_emit *e = u->e;
    x = clipped(u, x);
    switch (a->kind) {
    case ASSAY_RELU:
        return e_unary(e, "Relu", x);
    case ASSAY_TANH:
        return e_unary(e, "Tanh", x);
    case ASSAY_SIGMOID:
        return e_unary(e, "Sigmoid", x);
    case ASSAY_AFFINE:
        return e_plus(e, e_scale(e, x, a->alpha), a->beta);
    case ASSAY_LEAKY_RELU:
        return with_alpha(e, "LeakyRelu", x, a->alpha);
    case ASSAY_THRESHOLDED_RELU:
        return e_drop(e, e_compare(e, "Less", x, a->alpha), x);
    case ASSAY_SCALED_TANH:
        return e_scale(e, e_unary(e, "Tanh", e_scale(e, x, a->beta)), a->alpha);
    case ASSAY_HARD_SIGMOID:
        x = with_alpha(e, "HardSigmoid", x, a->alpha);
        e_set_float(e, "beta", a->beta);
        return x;
    case ASSAY_ELU:
        return with_alpha(e, "Elu", x, a->alpha);
    case ASSAY_SOFTSIGN:
        return e_unary(e, "Softsign", x);
    case ASSAY_SOFTPLUS:
        break;
    }
    return e_unary(e, "Softplus", x);
}

static int slope_within(const struct unroll *u, int i, int x, int y)
{
    const struct assay_activation *a = &u->cell.activation[i];
    struct assay_emit *e = u->e;
    switch (a->kind) {
    case ASSAY_RELU:
        return e_step(e, x);
    case ASSAY_TANH:
        return e_from(e, 1, e_square(e, y));
    case ASSAY_SIGMOID:
        return e_mul(e, y, e_from(e, 1, y));
    case ASSAY_AFFINE:
        return e_number(e, a->alpha, x);
    case ASSAY_LEAKY_RELU:
        return e_where(e, e_compare(e, "Less", x, 0), e_number(e, a->alpha, x), e_number(e, 1, x));
    case ASSAY_THRESHOLDED_RELU:
        return e_where(e, e_compare(e, "Less", x, a->alpha), e_number(e, 0, x), e_number(e, 1, x));
    case ASSAY_SCALED_TANH:
        y = e_unary(e, "Tanh", e_scale(e, x, a->beta));
        return e_scale(e, e_from(e, 1, e_square(e, y)), a->alpha * a->beta);
    case ASSAY_HARD_SIGMOID:
        return e_keep(e, e_and(e, e_compare(e, "Greater", y, 0), e_compare(e, "Less", y, 1)), e_number(e, a->alpha, x));
    case ASSAY_ELU:
        return e_where(e, e_compare(e, "Less", x, 0), e_plus(e, y, a->alpha), e_number(e, 1, x));
    case ASSAY_SOFTSIGN:
        return e_unary(e, "Reciprocal", e_square(e, e_plus(e, e_unary(e, "Abs", x), 1)));
    case ASSAY_SOFTPLUS:
        break;
    }
    return e_unary(e, "Sigmoid", x);
}

/* gradient · slope of activation i at x, where it is y. */
static int through(const struct unroll *u, int i, int x, int y, int gradient)
{
    int d = e_mul(u->e, gradient, slope_within(u, i, x, y));
    if (u->cell.clip == (double)INFINITY)
        return d;
    return e_drop(u->e, e_compare(u->e, "Greater", e_unary(u->e, "Abs", x), u->cell.clip), d);
}

/* ---- the forward pass */

/* Gates of x [batch, gates · hidden], each by itself. */
static void split(const struct unroll *u, int x, int first, int n, int *gates)
{
    for (int k = 0; k < n; k++)
        gates[k] = n == 1 ? x : e_slice(u->e, x, 1, (first + k) * u->r.hidden, (first + k + 1) * u->r.hidden);
}

/* Of the hidden state with gates first … first + n of the weights (biases are added elsewhere). */
static int times_weights(const struct unroll *u, int h, int first, int n)
{
    int w = u->weights_h;
    if (n < u->r.n_gates)
        w = e_slice(u->e, w, 0, first * u->r.hidden, (first + n) * u->r.hidden);
    return e_matmul(u->e, h, e_transpose(u->e, w, E_INTS(1, 0)));
}

/* The state that a step begins with: that after the step before, or the initial one. */
static int state_before(const struct unroll *u, int64_t step, int after, int initial)
{
    int64_t before = u->reverse ? step + 1 : step - 1;
    if (before < 0 || before >= u->r.steps)
        return initial;
    return u->reverse && u->alive ? e_where(u->e, u->alive[before], after, initial) : after;
}

static void forward_gru(struct unroll *u, int64_t t)
{
    struct assay_emit *e = u->e;
    int from_h[MAX_GATES], n = u->late ? 2 : 3, bias = -1;
    split(u, times_weights(u, u->h_before[t], 0, n), 0, n, from_h);
    for (int k = 0; k < 2; k++) {
        u->before[t][k] = e_add(e, u->from_x[t][k], from_h[k]);
        u->act[t][k] = activate(u, F, u->before[t][k]);
    }
    if (u->bias_h >= 0)
        bias = e_slice(e, u->bias_h, 0, 2 * u->r.hidden, 3 * u->r.hidden);
    u->extra[t] = u->late ? e_mul(e, u->act[t][1], u->h_before[t]) : plus(e, from_h[2], bias);
    int more = u->late ? times_weights(u, u->extra[t], 2, 1) : e_mul(e, u->act[t][1], u->extra[t]);
    u->before[t][2] = e_add(e, u->from_x[t][2], more);
    u->act[t][2] = activate(u, G, u->before[t][2]);
}

static void forward_lstm(struct unroll *u, int64_t t)
{
    struct assay_emit *e = u->e;
    int x[MAX_GATES], *act = u->act[t], c = u->c_before[t];
    split(u, times_weights(u, u->h_before[t], 0, 4), 0, 4, x);
    for (int k = 0; k < 4; k++)
        x[k] = e_add(e, u->from_x[t][k], x[k]);
    x[0] = with_peephole(u, x[0], 0, c);
    x[2] = with_peephole(u, x[2], 2, c);
    act[0] = activate(u, F, x[0]);
    act[2] = u->cell.input_forget ? e_from(e, 1, act[0]) : activate(u, F, x[2]);
    act[3] = activate(u, G, x[3]);
    u->c_after[t] = e_add(e, e_mul(e, act[2], c), e_mul(e, act[0], act[3]));
    x[1] = with_peephole(u, x[1], 1, u->c_after[t]);
    act[1] = activate(u, F, x[1]);
    memcpy(u->before[t], x, sizeof x);
}

/* [direction, batch, hidden] of input i, or zeros. */
static int state(const struct unroll *u, int i)
{
    struct assay_emit *e = u->e;
    if (input(u, i) >= 0)
        return at_step(e, input(u, i), u->direction);
    return e_expand(e, e_number(e, 0, u->x), e_ints(e, E_INTS(u->r.batch, u->r.hidden)));
}

static void go_forward(struct unroll *u)
{
    struct assay_emit *e = u->e;
    int h0 = state(u, ASSAY_RECURRENT_H), c0 = u->r.kind == ASSAY_LSTM ? state(u, ASSAY_RECURRENT_C) : -1, bias = u->bias_x;
    if (bias >= 0 && u->cell.linear_before_reset) {
        int zeros = e_expand(e, e_number(e, 0, bias), e_ints(e, E_INTS(u->r.hidden)));
        int first = e_slice(e, u->bias_h, 0, 0, 2 * u->r.hidden);
        bias = e_add(e, bias, e_concat(e, 0, E_VALUES(first, zeros)));
    } else if (bias >= 0) {
        bias = e_add(e, bias, u->bias_h);
    }
    int all = plus(e, e_matmul(e, u->x, e_transpose(e, u->w, E_INTS(1, 0))), bias);
    for (int64_t k = 0; k < u->r.steps && !e->status; k++) {
        int64_t t = next_step(u, k), before = k > 0 ? next_step(u, k - 1) : t;
        int y = k > 0 ? at_step(e, at_step(e, input(u, ASSAY_RECURRENT_Y), before), u->direction) : h0;
        u->h_before[t] = state_before(u, t, y, h0);
        split(u, at_step(e, all, t), 0, u->r.n_gates, u->from_x[t]);
        if (u->r.kind == ASSAY_LSTM) {
            u->c_before[t] = state_before(u, t, k > 0 ? u->c_after[before] : c0, c0);
            forward_lstm(u, t);
        } else if (u->r.kind == ASSAY_GRU) {
            forward_gru(u, t);
        } else {
            u->before[t][0] = e_add(e, u->from_x[t][0], times_weights(u, u->h_before[t], 0, 1));
            u->act[t][0] = activate(u, F, u->before[t][0]);
        }
    }
}

/* ---- back */

/* Zero where the sequence has ended. */
static int while_alive(const struct unroll *u, int64_t t, int x) { return u->alive && x >= 0 ? e_keep(u->e, u->alive[t], x) : x; }

/* d_h · weights, of gates first … first + n. */
static int back_through_weights(const struct unroll *u, const int *gates, int first, int n)
{
    struct assay_emit *e = u->e;
    int w = n < u->r.n_gates ? e_slice(e, u->weights_h, 0, first * u->r.hidden, (first + n) * u->r.hidden) : u->weights_h;
    return e_matmul(e, n > 1 ? e_concat(e, 1, n, gates) : gates[0], w);
}

/* Each returns what goes straight to the state before, or -1. */
static int back_gru(struct unroll *u, int64_t t, int dh)
{
    struct assay_emit *e = u->e;
    const int *x = u->before[t], *act = u->act[t], h = u->h_before[t];
    int *d_x = u->d_x[t], *d_h = u->d_h[t], direct = e_mul(e, dh, act[0]);
    d_x[0] = d_h[0] = through(u, F, x[0], act[0], e_mul(e, dh, e_sub(e, h, act[2])));
    d_x[2] = d_h[2] = while_alive(u, t, through(u, G, x[2], act[2], e_mul(e, dh, e_from(e, 1, act[0]))));
    if (u->late) {
        int from = back_through_weights(u, &d_x[2], 2, 1);
        direct = e_add(e, direct, e_mul(e, from, act[1]));
        d_x[1] = d_h[1] = through(u, F, x[1], act[1], e_mul(e, from, h));
    } else {
        d_h[2] = e_mul(e, d_x[2], act[1]);
        d_x[1] = d_h[1] = through(u, F, x[1], act[1], e_mul(e, d_x[2], u->extra[t]));
    }
    return direct;
}

static int back_lstm(struct unroll *u, int64_t t, int dh)
{
    struct assay_emit *e = u->e;
    const int *x = u->before[t], *act = u->act[t], before = u->c_before[t], c = u->c_after[t];
    int *d_x = u->d_x[t], out = activate(u, H, c);
    d_x[1] = through(u, F, x[1], act[1], e_mul(e, dh, out));
    int d_c = plus(e, u->dc, through(u, H, c, out, e_mul(e, dh, act[1])));
    d_c = with_peephole(u, d_c, 1, d_x[1]);
    int d_f = e_mul(e, d_c, before), d_i = e_mul(e, d_c, act[3]);
    if (u->cell.input_forget)
        d_i = e_sub(e, d_i, d_f);
    d_x[0] = through(u, F, x[0], act[0], d_i);
    d_x[2] = u->cell.input_forget ? e_full(e, 0, d_f) : through(u, F, x[2], act[2], d_f);
    d_x[3] = through(u, G, x[3], act[3], e_mul(e, d_c, act[0]));
    int dc = with_peephole(u, with_peephole(u, e_mul(e, d_c, act[2]), 0, d_x[0]), 2, d_x[2]);
    u->dc = u->alive && u->dc >= 0 ? e_where(e, u->alive[t], dc, u->dc) : while_alive(u, t, dc);
    const int from[] = {before, c, before};
    for (int k = 0; k < 3 && u->peepholes[0] >= 0; k++) {
        int product = while_alive(u, t, e_mul(e, d_x[k], from[k]));
        u->dp[k] = plus(e, u->dp[k], e_reduce(e, "ReduceSum", product, false, E_INTS(0)));
    }
    memcpy(u->d_h[t], d_x, sizeof u->d_h[t]);
    return -1;
}

static void go_back(struct unroll *u)
{
    struct assay_emit *e = u->e;
    int dy = input(u, ASSAY_RECURRENT_DY);
    u->dh = input(u, ASSAY_RECURRENT_DY_H) >= 0 ? state(u, ASSAY_RECURRENT_DY_H) : -1;
    u->dc = input(u, ASSAY_RECURRENT_DY_C) >= 0 ? state(u, ASSAY_RECURRENT_DY_C) : -1;
    for (int64_t k = u->r.steps - 1; k >= 0 && !e->status; k--) {
        int64_t t = next_step(u, k);
        int dh = plus(e, u->dh, dy >= 0 ? at_step(e, at_step(e, dy, t), u->direction) : -1), direct = -1;
        if (dh < 0)
            dh = e_full(e, 0, u->h_before[t]);
        if (u->r.kind == ASSAY_RNN)
            u->d_x[t][0] = u->d_h[t][0] = through(u, F, u->before[t][0], u->act[t][0], dh);
        else
            direct = u->r.kind == ASSAY_GRU ? back_gru(u, t, dh) : back_lstm(u, t, dh);
        for (int i = 0; i < u->r.n_gates; i++) {
            bool same = u->d_h[t][i] == u->d_x[t][i];
            u->d_x[t][i] = while_alive(u, t, u->d_x[t][i]);
            u->d_h[t][i] = same ? u->d_x[t][i] : while_alive(u, t, u->d_h[t][i]);
        }
        dh = plus(e, back_through_weights(u, u->d_h[t], 0, u->late ? 2 : u->r.n_gates), direct);
        u->dh = u->alive && u->dh >= 0 ? e_where(e, u->alive[t], dh, u->dh) : while_alive(u, t, dh);
    }
}

/* ---- products */

/* The rows of all steps, [steps · batch, n · hidden], of n values a step. */
static int stack(const struct unroll *u, int (*rows)[MAX_GATES], int first, int n)
{
    int *list = malloc((size_t)u->r.steps * sizeof *list);
    if (!list)
        return e_fail(u->e, ASSAY_NO_MEMORY, "no memory for its steps");
    for (int64_t t = 0; t < u->r.steps; t++)
        list[t] = n > 1 ? e_concat(u->e, 1, n, rows[t] + first) : rows[t][first];
    int all = u->r.steps > 1 ? e_concat(u->e, 0, (int)u->r.steps, list) : list[0];
    free(list);
    return all;
}

static int stack_states(const struct unroll *u, const int *rows)
{
    return u->r.steps > 1 ? e_concat(u->e, 0, (int)u->r.steps, rows) : rows[0];
}

static int product(struct assay_emit *e, int d, int x) { return e_matmul(e, e_transpose(e, d, E_INTS(1, 0)), x); }

/* This direction's gradients, each as [1, …], and dX as [steps, batch, inputs]. */
static void make_products(const struct unroll *u, int *results)
{
    struct assay_emit *e = u->e;
    const struct assay_recurrent *r = &u->r;
    int d_x = stack(u, u->d_x, 0, r->n_gates), d_h = stack(u, u->d_h, 0, r->n_gates), states = stack_states(u, u->h_before);
    int x = e_reshape(e, u->x, E_INTS(r->steps * r->batch, r->inputs));
    results[0] = e_reshape(e, e_matmul(e, d_x, u->w), E_INTS(r->steps, r->batch, r->inputs));
    results[1] = product(e, d_x, x);
    if (u->late) {
        int first = product(e, stack(u, u->d_h, 0, 2), states);
        results[2] = e_concat(e, 0, E_VALUES(first, product(e, stack(u, u->d_x, 2, 1), stack_states(u, u->extra))));
    } else {
        results[2] = product(e, d_h, states);
    }
    int from_x = e_reduce(e, "ReduceSum", d_x, false, E_INTS(0)), from_h = e_reduce(e, "ReduceSum", d_h, false, E_INTS(0));
    results[3] = e_concat(e, 0, E_VALUES(from_x, from_h));
    results[4] = u->dh;
    results[5] = u->dc;
    results[6] = u->dp[0] >= 0 ? e_concat(e, 0, 3, u->dp) : -1;
    for (int i = 1; i < ASSAY_RECURRENT_OUTPUTS; i++)
        if (results[i] >= 0)
            results[i] = e_unsqueeze(e, results[i], E_INTS(0));
}

/* ---- directions */

static void *array(struct assay_arena *arena, int64_t n, size_t size) { return assay_arena_array(arena, (size_t)n, size); }

/* Which sequences go on at each step. */
static int *find_alive(const struct unroll *u, struct assay_arena *arena)
{
    int lengths = input(u, ASSAY_RECURRENT_LENGTHS), *alive = array(arena, u->r.steps, sizeof *alive);
    if (lengths < 0)
        return NULL;
    lengths = e_reshape(u->e, e_cast(u->e, lengths, ASSAY_I64), E_INTS(u->r.batch, 1));
    for (int64_t t = 0; t < u->r.steps; t++)
        alive[t] = e_op(u->e, "Greater", E_VALUES(lengths, e_int(u->e, t)));
    return alive;
}

static void start(struct unroll *u, int direction, struct assay_arena *arena)
{
    struct assay_emit *e = u->e;
    struct assay_error err;
    int64_t n = u->r.steps, gates = u->r.n_gates * u->r.hidden;
    u->direction = direction;
    u->reverse = direction == 1 || u->r.reverse;
    if (assay_recurrent_cell(&u->cell, &u->r, u->node, direction, &err))
        e_fail(e, err.status, "%s", err.message);
    u->late = u->r.kind == ASSAY_GRU && !u->cell.linear_before_reset;
    u->x = input(u, ASSAY_RECURRENT_X);
    u->w = at_step(e, input(u, ASSAY_RECURRENT_W), direction);
    u->weights_h = at_step(e, input(u, ASSAY_RECURRENT_R), direction);
    u->bias_x = u->bias_h = -1;
    if (input(u, ASSAY_RECURRENT_B) >= 0) {
        int bias = at_step(e, input(u, ASSAY_RECURRENT_B), direction);
        u->bias_x = e_slice(e, bias, 0, 0, gates);
        u->bias_h = e_slice(e, bias, 0, gates, 2 * gates);
    }
    int p = input(u, ASSAY_RECURRENT_P) >= 0 ? at_step(e, input(u, ASSAY_RECURRENT_P), direction) : -1;
    for (int k = 0; k < 3; k++) {
        u->peepholes[k] = p < 0 ? -1 : e_slice(e, p, 0, k * u->r.hidden, (k + 1) * u->r.hidden);
        u->dp[k] = -1;
    }
    u->from_x = array(arena, n, sizeof *u->from_x);
    u->before = array(arena, n, sizeof *u->before);
    u->act = array(arena, n, sizeof *u->act);
    u->d_x = array(arena, n, sizeof *u->d_x);
    u->d_h = array(arena, n, sizeof *u->d_h);
    u->h_before = array(arena, n, sizeof *u->h_before);
    u->c_before = array(arena, n, sizeof *u->c_before);
    u->c_after = array(arena, n, sizeof *u->c_after);
    u->extra = array(arena, n, sizeof *u->extra);
    u->alive = find_alive(u, arena);
}

void assay_recurrent_unroll(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    struct unroll u = {.e = e, .node = node};
    struct assay_type types[ASSAY_RECURRENT_INPUTS];
    struct assay_arena arena;
    struct assay_error err;
    int results[2][ASSAY_RECURRENT_OUTPUTS];
    for (int i = 0; i < ASSAY_RECURRENT_INPUTS; i++)
        types[i] = *e_type(e, i < node->n_inputs ? node->inputs[i] : -1);
    if (!e->status && assay_recurrent_measure(&u.r, node, node->n_inputs, types, &err))
        e_fail(e, err.status, "%s", err.message);
    if (!e->status && (u.r.steps < 1 || u.r.steps > STEPS_MOST))
        e_fail(e, ASSAY_UNSUPPORTED, "only 1 to %d steps, whose number is known, are unrolled", STEPS_MOST);
    if (e->status)
        return;
    assay_arena_init(&arena);
    for (int d = 0; d < u.r.n_directions && !e->status; d++) {
        start(&u, d, &arena);
        go_forward(&u);
        if (!e->status)
            go_back(&u);
        if (!e->status)
            make_products(&u, results[d]);
    }
    for (int i = 0; i < node->n_outputs && i < ASSAY_RECURRENT_OUTPUTS && !e->status; i++) {
        if (node->outputs[i] < 0)
            continue;
        outputs[i] = results[0][i];
        if (u.r.n_directions == 2)
            outputs[i] = i == 0 ? e_add(e, results[0][i], results[1][i]) : e_concat(e, 0, E_VALUES(results[0][i], results[1][i]));
    }
    assay_arena_release(&arena);
}
