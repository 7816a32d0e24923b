/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connectionist temporal classification (Graves et al. 2006), of which ONNX has no op.
 *
 * CTCLoss(log_probs [steps, batch, classes], targets [batch, labels], input_lengths [batch], target_lengths [batch])
 * {blank, zero_infinity} -> loss [batch]: minus the logarithm of the probability of all ways to spell the targets, each label
 * standing for one step or more, with blanks between. Rows use as many steps and labels as their lengths say. The optional second
 * output is d loss / d log_probs, which forward and backward variables give together. A target that no way spells, too long for
 * its steps, has infinite loss and NaN gradients; with zero_infinity both are 0.
 */
#include "graph/gradient.h"
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

#include <math.h>
#include <stdlib.h>

enum { LOG_PROBS, TARGETS, INPUT_LENGTHS, TARGET_LENGTHS };

static enum assay_status infer_ctc(struct assay_op_call *call, struct assay_error *err)
{
    static const int ranks[] = {3, 2, 1, 1};
    struct assay_type *in = call->inputs;
    enum assay_status st = assay_rule_dtype(call, LOG_PROBS, ASSAY_SET_FLOAT, err);
    for (int i = 0; i < 4 && !st; i++) {
        st = assay_rule_rank(call, i, ranks[i], ranks[i], err);
        if (!st && i > 0)
            st = assay_rule_dtype(call, i, ASSAY_SET_INDEX, err);
    }
    if (st)
        return st;
    int64_t batch = in[LOG_PROBS].rank == 3 ? in[LOG_PROBS].dims[1] : -1;
    for (int i = 1; i < 4 && !st; i++)
        if (in[i].rank > 0)
            st = assay_rule_merge_dim(&batch, in[i].dims[0], "the batch", err);
    call->outputs[0] = assay_type_make(in[LOG_PROBS].dtype, 1, &batch);
    if (call->n_outputs > 1)
        call->outputs[1] = in[LOG_PROBS];
    return st;
}

/* ---- reference kernel: log space, in the dtype of the log-probabilities and in the order of PyTorch's kernel: logarithms of
 * hundreds keep so few digits in f32 that another order would differ in the fifth digit of gradients */

/* One row of the batch. Blanks stand before, between and behind its labels: 2 n + 1 places. */
struct row {
    const struct assay_tensor *log_probs, *targets;
    int64_t batch, i, n_classes, n_targets; /* i: of the batch; n_targets: how long rows of targets are */
    int64_t n_steps, n_places, blank;
};

static int64_t label_at(const struct row *r, int64_t place)
{
    return place % 2 ? assay_tensor_int(r->targets, r->i * r->n_targets + place / 2) : r->blank;
}

/* Whether a way may go to this place from two before, past a blank. */
static bool may_skip(const struct row *r, int64_t place)
{
    return place >= 2 && place % 2 && label_at(r, place) != label_at(r, place - 2);
}

/* alpha [steps, places]: all ways to be there after that step; beta: all from there to the end, that step included. sums: of
 * alpha · beta over the places of a class, and then the gradient. The result is the logarithm of all ways' probability. */
#define KERNEL(type, log, exp)                                                                                                   \
    static type log_add_##type(type a, type b, type c)                                                                           \
    {                                                                                                                            \
        type most = a > b ? a : b;                                                                                               \
        most = c > most ? c : most;                                                                                              \
        if (most == -(type)HUGE_VAL)                                                                                             \
            return most;                                                                                                         \
        return log(exp(a - most) + exp(b - most) + exp(c - most)) + most;                                                        \
    }                                                                                                                            \
    static type forward_##type(const struct row *r, const type *log_probs, type *alpha)                                          \
    {                                                                                                                            \
        const type none = -(type)HUGE_VAL;                                                                                       \
        for (int64_t t = 0; t < r->n_steps; t++)                                                                                 \
            for (int64_t s = 0; s < r->n_places; s++) {                                                                          \
                const type *p = log_probs + (t * r->batch + r->i) * r->n_classes, *x = alpha + (t - 1) * r->n_places + s;        \
                type sum =                                                                                                       \
                    t == 0 ? (s < 2 ? 0 : none) : log_add_##type(x[0], s > 0 ? x[-1] : none, may_skip(r, s) ? x[-2] : none);     \
                alpha[t * r->n_places + s] = sum + p[label_at(r, s)];                                                            \
            }                                                                                                                    \
        const type *end = alpha + r->n_steps * r->n_places - 1;                                                                  \
        return log_add_##type(end[0], r->n_places > 1 ? end[-1] : none, none);                                                   \
    }                                                                                                                            \
    static void backward_##type(const struct row *r, const type *log_probs, const type *alpha, type all, type *beta,             \
                                type *gradient)                                                                                  \
    {                                                                                                                            \
        const type none = -(type)HUGE_VAL;                                                                                       \
        for (int64_t t = r->n_steps - 1; t >= 0; t--) {                                                                          \
            int64_t at = (t * r->batch + r->i) * r->n_classes, last = r->n_places - 1;                                           \
            const type *p = log_probs + at;                                                                                      \
            type *g = gradient + at;                                                                                             \
            for (int64_t c = 0; c < r->n_classes; c++)                                                                           \
                g[c] = none;                                                                                                     \
            for (int64_t s = last; s >= 0; s--) {                                                                                \
                const type *x = beta + (t + 1) * r->n_places + s;                                                                \
                type sum = s + 1 >= last ? 0 : none;                                                                             \
                if (t + 1 < r->n_steps)                                                                                          \
                    sum = log_add_##type(x[0], s < last ? x[1] : none, s + 2 <= last && may_skip(r, s + 2) ? x[2] : none);       \
                beta[t * r->n_places + s] = sum + p[label_at(r, s)];                                                             \
                type both = alpha[t * r->n_places + s] + beta[t * r->n_places + s], *to = &g[label_at(r, s)];                    \
                *to = *to == none ? both : log_add_##type(*to, both, none);                                                      \
            }                                                                                                                    \
            for (int64_t c = 0; c < r->n_classes; c++)                                                                           \
                g[c] = -exp(g[c] - all - p[c]);                                                                                  \
        }                                                                                                                        \
    }
KERNEL(float, logf, expf)
KERNEL(double, log, exp)

static enum assay_status check_row(const struct row *r, int64_t all_steps, int64_t n_labels, struct assay_error *err)
{
    if (r->n_steps < 1 || r->n_steps > all_steps)
        return assay_error_set(err, ASSAY_INVALID, "row %lld has %lld of %lld steps", (long long)r->i, (long long)r->n_steps,
                               (long long)all_steps);
    if (n_labels < 0 || n_labels > r->n_targets)
        return assay_error_set(err, ASSAY_INVALID, "row %lld has %lld of %lld labels", (long long)r->i, (long long)n_labels,
                               (long long)r->n_targets);
    if (r->blank < 0 || r->blank >= r->n_classes)
        return assay_error_set(err, ASSAY_INVALID, "the blank %lld is none of the %lld classes", (long long)r->blank,
                               (long long)r->n_classes);
    for (int64_t k = 0; k < n_labels; k++)
        if (label_at(r, 2 * k + 1) < 0 || label_at(r, 2 * k + 1) >= r->n_classes)
            return assay_error_set(err, ASSAY_INVALID, "label %lld is none of the %lld classes",
                                   (long long)label_at(r, 2 * k + 1), (long long)r->n_classes);
    return ASSAY_OK;
}

/* An impossible target's gradients: of its steps NaN, of the others 0. */
static void fill_nan(const struct row *r, struct assay_tensor *gradient)
{
    for (int64_t t = 0; t < r->n_steps; t++)
        for (int64_t c = 0; c < r->n_classes; c++)
            assay_tensor_set_real(gradient, (t * r->batch + r->i) * r->n_classes + c, NAN);
}

/* tables: room for alpha and beta of all steps and places. */
static void run_row(const struct row *r, bool zero_infinity, void *tables, struct assay_op_call *call)
{
    const void *p = r->log_probs->data;
    bool is_double = call->inputs[LOG_PROBS].dtype == ASSAY_F64;
    int64_t beta = r->n_steps * r->n_places;
    double all = is_double ? forward_double(r, p, tables) : (double)forward_float(r, p, tables);
    bool is_infinite = all == -HUGE_VAL;
    assay_tensor_set_real(&call->results[0], r->i, is_infinite && zero_infinity ? 0 : -all);
    if (call->n_outputs < 2 || (is_infinite && zero_infinity))
        return;
    struct assay_tensor *gradient = &call->results[1];
    if (is_infinite)
        fill_nan(r, gradient);
    else if (is_double)
        backward_double(r, p, tables, all, (double *)tables + beta, gradient->data);
    else
        backward_float(r, p, tables, (float)all, (float *)tables + beta, gradient->data);
}

static enum assay_status run_ctc(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *type = &call->inputs[LOG_PROBS];
    int64_t n_targets = call->inputs[TARGETS].dims[1], steps = type->dims[0];
    bool zero_infinity = assay_node_int(call->node, "zero_infinity", 0) != 0;
    struct row r = {.log_probs = call->data[LOG_PROBS],
                    .targets = call->data[TARGETS],
                    .batch = type->dims[1],
                    .n_classes = type->dims[2],
                    .n_targets = n_targets,
                    .blank = assay_node_int(call->node, "blank", 0)};
    struct assay_type room = assay_type_make(ASSAY_F64, 3, (const int64_t[]){2, steps, 2 * n_targets + 1});
    struct assay_tensor tables;
    enum assay_status st = assay_tensor_alloc(&tables, &room, err);
    if (st)
        return st;
    for (int64_t i = 0, n = call->n_outputs > 1 ? assay_type_count(type) : 0; i < n; i++)
        assay_tensor_set_real(&call->results[1], i, 0);
    for (r.i = 0; r.i < r.batch && !st; r.i++) {
        int64_t n_labels = assay_tensor_int(call->data[TARGET_LENGTHS], r.i);
        r.n_steps = assay_tensor_int(call->data[INPUT_LENGTHS], r.i);
        st = check_row(&r, steps, n_labels, err);
        r.n_places = 2 * n_labels + 1;
        if (!st)
            run_row(&r, zero_infinity, tables.data, call);
    }
    assay_tensor_release(&tables);
    return st;
}

static void cost_ctc(const struct assay_op_call *call, struct assay_cost *cost)
{
    double places = 2 * (double)call->inputs[TARGETS].dims[1] + 1, steps = (double)call->inputs[LOG_PROBS].dims[0];
    cost->flops = (call->n_outputs > 1 ? 20 : 10) * places * steps * (double)call->inputs[LOG_PROBS].dims[1];
}

/* ---- in standard ops: the same, unrolled over the steps */

/* What stands for the logarithm of 0, without infinities to subtract. */
static const double lowest = -1e30;

struct unrolled {
    struct assay_emit *e;
    int64_t steps, batch, places;
    int labels;  /* int64 [batch, places] */
    int probs;   /* [steps, batch, places] of these labels */
    int skips;   /* [batch, places]: 0 where a way may skip to, else the lowest */
    int end;     /* int64 [batch, 1]: a row's last place */
    int lengths; /* int64 [batch, 1]: its steps */
};

static int number(const struct unrolled *u, double x) { return e_number(u->e, x, u->probs); }

static int filled(const struct unrolled *u, double x, int64_t n)
{
    return e_expand(u->e, number(u, x), e_ints(u->e, E_INTS(u->batch, n)));
}

static int log_add_all(const struct unrolled *u, int n, const int *terms)
{
    struct assay_emit *e = u->e;
    int most = e_op(e, "Max", n, terms), sum = -1;
    for (int i = 0; i < n; i++) {
        int part = e_unary(e, "Exp", e_sub(e, terms[i], most));
        sum = sum < 0 ? part : e_add(e, sum, part);
    }
    return e_add(e, most, e_unary(e, "Log", sum));
}

/* x with places moved by n: up for n > 0. */
static int moved(const struct unrolled *u, int x, int64_t n)
{
    int gap = filled(u, lowest, n > 0 ? n : -n);
    if (n > 0)
        return e_concat(u->e, 1, E_VALUES(gap, e_slice(u->e, x, 1, 0, u->places - n)));
    return e_concat(u->e, 1, E_VALUES(e_slice(u->e, x, 1, -n, u->places), gap));
}

static int at_step(const struct unrolled *u, int64_t t) { return e_gather(u->e, u->probs, 0, e_int(u->e, t)); }

static int is_before(const struct unrolled *u, int64_t t, int lengths)
{
    return e_op(u->e, "Less", E_VALUES(e_int(u->e, t), lengths));
}

static void lay_out(struct unrolled *u, const struct assay_node *node)
{
    struct assay_emit *e = u->e;
    int64_t n = u->places / 2;
    int64_t blank = assay_node_int(node, "blank", 0);
    int log_probs = node->inputs[LOG_PROBS];
    u->labels = e_expand(e, e_int(e, blank), e_ints(e, E_INTS(u->batch, 1)));
    if (n > 0) {
        int targets = e_op(e, "Max", E_VALUES(e_cast(e, node->inputs[TARGETS], ASSAY_I64), e_int(e, 0)));
        int blanks = e_expand(e, e_int(e, blank), e_ints(e, E_INTS(u->batch, n, 1)));
        int pairs = e_concat(e, 2, E_VALUES(blanks, e_unsqueeze(e, targets, E_INTS(2))));
        u->labels = e_concat(e, 1, E_VALUES(e_reshape(e, pairs, E_INTS(u->batch, 2 * n)), u->labels));
    }
    int where = e_expand(e, e_unsqueeze(e, u->labels, E_INTS(1)), e_ints(e, E_INTS(u->batch, u->steps, u->places)));
    u->probs = e_op(e, "GatherElements", E_VALUES(e_transpose(e, log_probs, E_INTS(1, 0, 2)), where));
    e_set_int(e, "axis", 2);
    u->probs = e_transpose(e, u->probs, E_INTS(1, 0, 2));
    u->end = e_unsqueeze(e, e_cast(e, node->inputs[TARGET_LENGTHS], ASSAY_I64), E_INTS(1));
    u->end = e_mul(e, u->end, e_int(e, 2));
    u->lengths = e_unsqueeze(e, e_cast(e, node->inputs[INPUT_LENGTHS], ASSAY_I64), E_INTS(1));
    u->skips = -1;
    if (n > 0) {
        int here = e_slice(e, u->labels, 1, 2, u->places), before = e_slice(e, u->labels, 1, 0, u->places - 2);
        int stays =
            e_op(e, "Or", E_VALUES(e_op(e, "Equal", E_VALUES(here, e_int(e, blank))), e_op(e, "Equal", E_VALUES(here, before))));
        u->skips = e_where(e, stays, number(u, lowest), number(u, 0));
        u->skips = e_concat(e, 1, E_VALUES(filled(u, lowest, 2), u->skips));
    }
}

/* alpha[t]: [batch, places]; the last is that of each row's last step. */
static void unroll_forward(const struct unrolled *u, int *alpha)
{
    struct assay_emit *e = u->e;
    bool has_labels = u->places > 1;
    int first = at_step(u, 0);
    alpha[0] = first;
    if (has_labels) {
        int start = e_concat(e, 1, E_VALUES(filled(u, 0, 2), filled(u, lowest, u->places - 2)));
        alpha[0] = e_add(e, first, start);
    }
    for (int64_t t = 1; t < u->steps && !e->status; t++) {
        int x = alpha[t - 1], sum = x;
        if (has_labels)
            sum = log_add_all(u, E_VALUES(x, moved(u, x, 1), e_add(e, moved(u, x, 2), u->skips)));
        alpha[t] = e_where(e, is_before(u, t, u->lengths), e_add(e, sum, at_step(u, t)), x);
    }
}

/* beta[t]; behind a row's last step it is as at that. */
static void unroll_backward(const struct unrolled *u, int *beta)
{
    struct assay_emit *e = u->e;
    int places = e_op(e, "Range", E_VALUES(e_int(e, 0), e_int(e, u->places), e_int(e, 1)));
    int from_end = e_sub(e, u->end, places); /* [batch, places] */
    int is_end = e_op(
        e, "Or", E_VALUES(e_op(e, "Equal", E_VALUES(from_end, e_int(e, 0))), e_op(e, "Equal", E_VALUES(from_end, e_int(e, 1)))));
    int end = e_where(e, is_end, number(u, 0), number(u, lowest)), behind = e_sub(e, u->lengths, e_int(e, 1));
    for (int64_t t = u->steps - 1; t >= 0 && !e->status; t--) {
        int sum = end;
        if (t + 1 < u->steps) {
            int x = beta[t + 1];
            if (u->places > 1)
                x = log_add_all(u, E_VALUES(x, moved(u, x, -1), moved(u, e_add(e, x, u->skips), -2)));
            sum = e_where(e, is_before(u, t, behind), x, end);
        }
        beta[t] = e_add(e, sum, at_step(u, t));
    }
}

static int stacked(const struct unrolled *u, const int *steps)
{
    int *rows = assay_arena_array(&u->e->graph->arena, (size_t)u->steps, sizeof *rows);
    for (int64_t t = 0; t < u->steps && !u->e->status; t++)
        rows[t] = e_unsqueeze(u->e, steps[t], E_INTS(0));
    return u->e->status ? -1 : e_concat(u->e, 0, (int)u->steps, rows);
}

/* d loss / d log_probs [steps, batch, classes]: minus the share of ways that are at a label in a step. */
static int shares(const struct unrolled *u, const int *alpha, const int *beta, int all, int log_probs, int64_t n_classes)
{
    struct assay_emit *e = u->e;
    int both = e_add(e, stacked(u, alpha), stacked(u, beta)), sums = -1; /* [steps, batch, places] */
    int classes = e_op(e, "Range", E_VALUES(e_int(e, 0), e_int(e, n_classes), e_int(e, 1)));
    for (int64_t s = u->places - 1; s >= 0 && !e->status; s--) {
        int is_label = e_op(e, "Equal", E_VALUES(e_slice(e, u->labels, 1, s, s + 1), classes)); /* [batch, classes] */
        int part = e_where(e, is_label, e_slice(e, both, 2, s, s + 1), number(u, 2 * lowest));
        sums = sums < 0 ? part : log_add_all(u, E_VALUES(sums, part));
    }
    int share = e_unary(e, "Exp", e_sub(e, e_sub(e, sums, all), log_probs));
    int steps = e_op(e, "Range", E_VALUES(e_int(e, 0), e_int(e, u->steps), e_int(e, 1)));
    int is_step = e_op(e, "Less", E_VALUES(e_unsqueeze(e, steps, E_INTS(1)), e_squeeze(e, u->lengths, E_INTS(1))));
    return e_where(e, e_unsqueeze(e, is_step, E_INTS(2)), e_unary(e, "Neg", share), number(u, 0));
}

static void expand_ctc(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    const struct assay_type type = *e_type(e, node->inputs[LOG_PROBS]), targets = *e_type(e, node->inputs[TARGETS]);
    if (!assay_type_is_known(&type) || !assay_type_is_known(&targets) || type.dims[0] < 1) {
        e_fail(e, ASSAY_UNSUPPORTED, "it is unrolled over its steps, whose number is not known");
        return;
    }
    bool zero_infinity = assay_node_int(node, "zero_infinity", 0) != 0;
    struct unrolled u = {.e = e, .steps = type.dims[0], .batch = type.dims[1], .places = 2 * targets.dims[1] + 1};
    int *alpha = assay_arena_array(&e->graph->arena, 2 * (size_t)u.steps, sizeof *alpha), *beta = alpha + u.steps;
    lay_out(&u, node);
    unroll_forward(&u, alpha);
    int last = alpha[u.steps - 1], before = e_op(e, "Max", E_VALUES(e_sub(e, u.end, e_int(e, 1)), e_int(e, 0)));
    int all = e_op(e, "GatherElements", E_VALUES(last, u.end)); /* [batch, 1] */
    e_set_int(e, "axis", 1);
    int other = e_op(e, "GatherElements", E_VALUES(last, before));
    e_set_int(e, "axis", 1);
    other = e_where(e, e_op(e, "Greater", E_VALUES(u.end, e_int(e, 0))), other, number(&u, lowest));
    all = log_add_all(&u, E_VALUES(all, other));
    int is_infinite = e_op(e, "Less", E_VALUES(all, number(&u, lowest / 10)));
    if (node->outputs[0] >= 0) {
        int loss = e_where(e, is_infinite, number(&u, zero_infinity ? 0 : HUGE_VAL), e_unary(e, "Neg", all));
        outputs[0] = e_squeeze(e, loss, E_INTS(1));
    }
    if (node->n_outputs > 1 && node->outputs[1] >= 0) {
        unroll_backward(&u, beta);
        int gradient = shares(&u, alpha, beta, all, node->inputs[LOG_PROBS], type.dims[2]);
        gradient =
            e_where(e, is_infinite, number(&u, zero_infinity ? 0 : NAN), gradient); /* [batch, 1] over [.., batch, classes] */
        outputs[1] = e_cast(e, gradient, type.dtype);
    }
}

/* ---- gradient */

static void gradient_ctc(struct assay_gradient *g)
{
    if (g->node->n_outputs > 1 && g->out[1] >= 0) {
        e_fail(g->e, ASSAY_UNSUPPORTED, "the gradient of its gradient is not known");
        return;
    }
    int gradient = g_need_output(g, 1);
    g->in[LOG_PROBS] = e_mul(g->e, gradient, e_unsqueeze(g->e, g->out[0], E_INTS(0, 2)));
}

const struct assay_op assay_ops_ctc[] = {
    {"CTCLoss", "assay", 4, 4, ASSAY_OP_VIA_F32, infer_ctc, run_ctc, cost_ctc, gradient_ctc, expand_ctc},
    {0},
};
