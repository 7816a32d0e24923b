/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a parameter is updated, and the norm of gradients: ops of the domain "assay" that training steps are made of. Formulas are
 * PyTorch's (torch.optim.SGD, Adam, AdamW; torch.nn.utils.clip_grad_norm_).
 *
 *     SGD(p, g, learning_rate, scale?, m?) -> p, m
 *         g' = scale·g + weight_decay·p; with m: m' = momentum·m + g', and g' becomes m', or with nesterov g' + momentum·m';
 *         p' = p - learning_rate·g'
 *     Adam(p, g, learning_rate, scale?, m, v, correction1, correction2) -> p, m, v
 *         g' = scale·g + weight_decay·p (decoupled = 0), or p shrinks by 1 - learning_rate·weight_decay first (decoupled = 1:
 * AdamW) m' = beta1·m + (1-beta1)·g', v' = beta2·v + (1-beta2)·g'² p' = p - learning_rate / correction1 · m' / (sqrt(v' /
 * correction2) + epsilon),  correction_i = 1 - beta_i^step SumSquares(x₀, x₁ …) -> s the sum of the squares of all elements, a
 * scalar
 *
 * p, g, m and v are of one type; learning_rate, scale and the corrections are scalars. Arithmetic is in double. With the
 * attribute skips = 1 a scale of 0 means that there is no update: all outputs are the inputs, whatever g is.
 */
#include "graph/gradient.h"
#include "graph/ops/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- updates */

enum { P, G, RATE, SCALE, M, V, CORRECTION1, CORRECTION2 };

static enum assay_status infer_update(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = assay_rule_dtype(call, P, ASSAY_DTYPE_BIT(ASSAY_F32) | ASSAY_DTYPE_BIT(ASSAY_F64), err);
    bool needs_all = strcmp(call->node->type, "Adam") == 0;
    for (int i = M; i <= CORRECTION2 && needs_all && !st; i++)
        if (!assay_rule_has_input(call, i))
            st = assay_error_set(err, ASSAY_INVALID, "its input %d is not given", i);
    for (int i = G; i < call->n_inputs && !st; i++) {
        const struct assay_type *x = &call->inputs[P], *other = &call->inputs[i];
        if (!assay_rule_has_input(call, i) || !assay_type_is_known(x) || !assay_type_is_known(other))
            continue;
        if (i == G || i == M || i == V ? !assay_type_equal(x, other) : assay_type_count(other) != 1)
            st = assay_error_set(err, ASSAY_INVALID, "input %d has another type than an update of the parameter needs", i);
    }
    for (int i = 0; i < call->n_outputs && !st; i++)
        call->outputs[i] = call->inputs[P];
    return st;
}

/* An attribute is a float, and 1 - 0.999F is 1.3e-5 off: so it is taken as the decimal number that it was written as. */
static double written(const struct assay_node *node, const char *name, float otherwise)
{
    char text[32];
    snprintf(text, sizeof text, "%.7g", (double)assay_node_float(node, name, otherwise));
    return strtod(text, NULL);
}

/* A scalar input as a number; `otherwise` where it is not given. */
static double number(const struct assay_op_call *call, int i, double otherwise)
{
    return i < call->n_inputs && call->data[i] ? assay_tensor_real(call->data[i], 0) : otherwise;
}

static bool is_skipped(const struct assay_op_call *call, double scale)
{
    return scale == 0 && assay_node_int(call->node, "skips", 0) != 0;
}

static enum assay_status keep(struct assay_op_call *call)
{
    static const int inputs[2][3] = {{P, M}, {P, M, V}};
    bool is_adam = strcmp(call->node->type, "Adam") == 0;
    for (int i = 0; i < call->n_outputs; i++) {
        const struct assay_tensor *from = call->data[inputs[is_adam][i]];
        memcpy(call->results[i].data, from->data, (size_t)assay_tensor_bytes(from));
    }
    return ASSAY_OK;
}

/* Of one update: numbers that are the same for all elements. */
struct sgd {
    double rate, scale, momentum, decay;
    bool nesterov;
};

struct adam {
    double step, scale, b1, b2, c2, epsilon, decay, kept; /* step: rate / correction1; kept: what decoupled decay leaves of p */
};

/* m and m_next NULL = no momentum. */
#define UPDATES(type)                                                                                                            \
    static void sgd_##type(const struct sgd *s, int64_t n, const type *p, const type *g, const type *m, type *p_next,            \
                           type *m_next)                                                                                         \
    {                                                                                                                            \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            double old = (double)p[i], d = s->scale * (double)g[i] + s->decay * old;                                             \
            if (m) {                                                                                                             \
                double next = s->momentum * (double)m[i] + d;                                                                    \
                d = s->nesterov ? d + s->momentum * next : next;                                                                 \
                m_next[i] = (type)next;                                                                                          \
            }                                                                                                                    \
            p_next[i] = (type)(old - s->rate * d);                                                                               \
        }                                                                                                                        \
    }                                                                                                                            \
    static void adam_##type(const struct adam *a, int64_t n, const type *p, const type *g, const type *m, const type *v,         \
                            type *p_next, type *m_next, type *v_next)                                                            \
    {                                                                                                                            \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            double old = (double)p[i] * a->kept, d = a->scale * (double)g[i] + a->decay * old;                                   \
            double first = a->b1 * (double)m[i] + (1 - a->b1) * d, second = a->b2 * (double)v[i] + (1 - a->b2) * d * d;          \
            p_next[i] = (type)(old - a->step * first / (sqrt(second / a->c2) + a->epsilon));                                     \
            m_next[i] = (type)first;                                                                                             \
            v_next[i] = (type)second;                                                                                            \
        }                                                                                                                        \
    }                                                                                                                            \
    static double squares_##type(const type *x, int64_t n)                                                                       \
    {                                                                                                                            \
        double sum = 0;                                                                                                          \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            sum += (double)x[i] * (double)x[i];                                                                                  \
        return sum;                                                                                                              \
    }
UPDATES(float)
UPDATES(double)

static enum assay_status run_sgd(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_node *node = call->node;
    const struct assay_tensor *m = assay_rule_data(call, M);
    struct assay_tensor unwanted = {0}, *m_next = call->n_outputs > 1 ? &call->results[1] : &unwanted;
    int64_t n = assay_tensor_count(call->data[P]);
    struct sgd s = {number(call, RATE, 0), number(call, SCALE, 1), written(node, "momentum", 0), written(node, "weight_decay", 0),
                    assay_node_int(node, "nesterov", 0) != 0};
    if (is_skipped(call, s.scale))
        return keep(call);
    if (m && !m_next->data) {
        enum assay_status st = assay_tensor_alloc(m_next, &m->type, err);
        if (st)
            return st;
    }
    if (call->data[P]->type.dtype == ASSAY_F64)
        sgd_double(&s, n, call->data[P]->data, call->data[G]->data, m ? m->data : NULL, call->results[0].data, m_next->data);
    else
        sgd_float(&s, n, call->data[P]->data, call->data[G]->data, m ? m->data : NULL, call->results[0].data, m_next->data);
    assay_tensor_release(&unwanted);
    return ASSAY_OK;
}

static enum assay_status run_adam(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_node *node = call->node;
    double rate = number(call, RATE, 0), decay = written(node, "weight_decay", 0);
    bool decoupled = assay_node_int(node, "decoupled", 0) != 0;
    int64_t n = assay_tensor_count(call->data[P]);
    struct adam a = {.step = rate / number(call, CORRECTION1, 1), .scale = number(call, SCALE, 1)};
    a.b1 = written(node, "beta1", 0.9F);
    a.b2 = written(node, "beta2", 0.999F);
    a.c2 = number(call, CORRECTION2, 1);
    a.epsilon = written(node, "epsilon", 1e-8F);
    a.decay = decoupled ? 0 : decay;
    a.kept = decoupled ? 1 - rate * decay : 1;
    if (call->n_outputs < 3)
        return assay_error_set(err, ASSAY_INVALID, "Adam has three outputs: p, m and v");
    if (is_skipped(call, a.scale))
        return keep(call);
    const void *p = call->data[P]->data, *g = call->data[G]->data, *m = call->data[M]->data, *v = call->data[V]->data;
    struct assay_tensor *to = call->results;
    if (call->data[P]->type.dtype == ASSAY_F64)
        adam_double(&a, n, p, g, m, v, to[0].data, to[1].data, to[2].data);
    else
        adam_float(&a, n, p, g, m, v, to[0].data, to[1].data, to[2].data);
    return ASSAY_OK;
}

static int input(const struct assay_node *node, int i) { return i < node->n_inputs ? node->inputs[i] : -1; }

static int scaled(struct assay_emit *e, const struct assay_node *node)
{
    return input(node, SCALE) >= 0 ? e_mul(e, input(node, G), input(node, SCALE)) : input(node, G);
}

/* The inputs where the scale is 0, else what was computed. */
static void expand_skip(struct assay_emit *e, const struct assay_node *node, int n, const int *inputs, int *outputs)
{
    if (!assay_node_int(node, "skips", 0) || input(node, SCALE) < 0)
        return;
    int is_skipped = e_op(e, "Equal", E_VALUES(input(node, SCALE), e_number(e, 0, input(node, SCALE))));
    for (int i = 0; i < n; i++)
        outputs[i] = e_where(e, is_skipped, input(node, inputs[i]), outputs[i]);
}

static void expand_sgd(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    double momentum = written(node, "momentum", 0), decay = written(node, "weight_decay", 0);
    int p = input(node, P), g = scaled(e, node), m = input(node, M);
    if (decay != 0)
        g = e_add(e, g, e_scale(e, p, decay));
    if (m >= 0) {
        outputs[1] = e_add(e, e_scale(e, m, momentum), g);
        g = assay_node_int(node, "nesterov", 0) ? e_add(e, g, e_scale(e, outputs[1], momentum)) : outputs[1];
    }
    outputs[0] = e_sub(e, p, e_mul(e, g, input(node, RATE)));
    expand_skip(e, node, m >= 0 ? 2 : 1, (const int[]){P, M}, outputs);
}

static void expand_adam(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    double b1 = written(node, "beta1", 0.9F), b2 = written(node, "beta2", 0.999F);
    double epsilon = written(node, "epsilon", 1e-8F), decay = written(node, "weight_decay", 0);
    int p = input(node, P), g = scaled(e, node), rate = input(node, RATE);
    if (decay != 0 && assay_node_int(node, "decoupled", 0))
        p = e_mul(e, p, e_sub(e, e_number(e, 1, rate), e_scale(e, rate, decay)));
    else if (decay != 0)
        g = e_add(e, g, e_scale(e, p, decay));
    outputs[1] = e_add(e, e_scale(e, input(node, M), b1), e_scale(e, g, 1 - b1));
    outputs[2] = e_add(e, e_scale(e, input(node, V), b2), e_scale(e, e_mul(e, g, g), 1 - b2));
    int root = e_unary(e, "Sqrt", e_div(e, outputs[2], input(node, CORRECTION2)));
    int step = e_div(e, outputs[1], e_add(e, root, e_number(e, epsilon, root)));
    outputs[0] = e_sub(e, p, e_mul(e, step, e_div(e, rate, input(node, CORRECTION1))));
    expand_skip(e, node, 3, (const int[]){P, M, V}, outputs);
}

static void cost_sgd(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = 6.0 * (double)assay_type_count(&call->inputs[P]);
}

static void cost_adam(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = 15.0 * (double)assay_type_count(&call->inputs[P]);
}

/* ---- norm */

static enum assay_status infer_squares(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = assay_rule_all_given(call, 0, err);
    for (int i = 0; i < call->n_inputs && !st; i++)
        st = assay_rule_dtype(call, i, ASSAY_DTYPE_BIT(ASSAY_F32) | ASSAY_DTYPE_BIT(ASSAY_F64), err);
    call->outputs[0] = assay_type_make(call->inputs[0].dtype, 0, NULL);
    return st;
}

static enum assay_status run_squares(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    double sum = 0;
    for (int i = 0; i < call->n_inputs; i++) {
        const struct assay_tensor *x = call->data[i];
        sum += x->type.dtype == ASSAY_F64 ? squares_double(x->data, assay_tensor_count(x))
                                          : squares_float(x->data, assay_tensor_count(x));
    }
    assay_tensor_set_real(&call->results[0], 0, sum);
    return ASSAY_OK;
}

/* Row by row, then over the rows: in one go, a runtime that adds millions of squares to one f32 loses those below its last bit,
 * 1e-4 of an embedding's norm. */
static int squares_of(struct assay_emit *e, int x)
{
    int64_t axes[ASSAY_MAX_RANK];
    int rank = e_type(e, x)->rank, n_axes = 0;
    for (int d = 1; d < rank; d++)
        axes[n_axes++] = d;
    int rows = e_op(e, "ReduceSumSquare", E_VALUES(x));
    e_set_int(e, "keepdims", 0);
    if (n_axes == 0)
        return rows;
    e_set_ints(e, "axes", n_axes, axes);
    int sum = e_op(e, "ReduceSum", E_VALUES(rows));
    e_set_int(e, "keepdims", 0);
    return sum;
}

static void expand_squares(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    int *terms = assay_arena_array(&e->graph->arena, (size_t)node->n_inputs, sizeof *terms);
    for (int i = 0; i < node->n_inputs; i++)
        terms[i] = squares_of(e, node->inputs[i]);
    outputs[0] = e_op(e, "Sum", node->n_inputs, terms);
}

static void cost_squares(const struct assay_op_call *call, struct assay_cost *cost)
{
    for (int i = 0; i < call->n_inputs; i++)
        cost->flops += 2.0 * (double)assay_type_count(&call->inputs[i]);
}

const struct assay_op assay_ops_update[] = {
    {"Adam", "assay", 3, 8, 0, infer_update, run_adam, cost_adam, .expand = expand_adam},
    {"SGD", "assay", 3, 5, 0, infer_update, run_sgd, cost_sgd, .expand = expand_sgd},
    {"SumSquares", "assay", 1, -1, 0, infer_squares, run_squares, cost_squares, .expand = expand_squares},
    {0},
};
