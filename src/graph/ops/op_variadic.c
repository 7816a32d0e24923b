/* SPDX-License-Identifier: Apache-2.0 */
/* Max, Min, Sum, Mean: any number of inputs that broadcast, element by element. */
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

static enum assay_status infer_variadic(struct assay_op_call *call, unsigned set, struct assay_error *err)
{
    call->outputs[0] = call->inputs[0];
    enum assay_status st = assay_rule_dtype(call, 0, set, err);
    for (int i = 1; !st && i < call->n_inputs; i++) {
        if (!assay_rule_has_input(call, i))
            return assay_error_set(err, ASSAY_INVALID, "input %d is missing in the list", i);
        st = assay_rule_same_dtype(call, 0, i, err);
        if (!st)
            st = assay_rule_broadcast(&call->outputs[0], &call->inputs[i], &call->outputs[0], err);
    }
    return st;
}

static enum assay_status infer_number(struct assay_op_call *call, struct assay_error *err)
{
    return infer_variadic(call, ASSAY_SET_NUMBER, err);
}

static enum assay_status infer_float(struct assay_op_call *call, struct assay_error *err)
{
    return infer_variadic(call, ASSAY_SET_FLOAT, err);
}

/* The result takes in one input after another: to[i] = expression in x, what is there, and y, the input. The first is copied. */
#define ACCUMULATE(element, expression)                                                                                          \
    for (int k = 0; k < call->n_inputs; k++) {                                                                                   \
        const struct assay_type *types[1] = {&call->data[k]->type};                                                              \
        element *restrict to = call->results[0].data;                                                                            \
        struct assay_walk walk;                                                                                                  \
        for (assay_walk_broadcast(&walk, &call->outputs[0], 1, types); walk.more; assay_walk_next(&walk)) {                      \
            const element *restrict from = (const element *)call->data[k]->data + walk.offset[0];                                \
            for (int64_t i = 0; i < walk.n; i++) {                                                                               \
                element x = to[i], y = from[i * walk.step[0]];                                                                   \
                to[i] = k == 0 ? y : (element)(expression);                                                                      \
            }                                                                                                                    \
            to += walk.n;                                                                                                        \
        }                                                                                                                        \
    }

/* A NaN wins over every number. */
#define RUN(name)                                                                                                                \
    static enum assay_status run_##name(struct assay_op_call *call, struct assay_error *err)                                     \
    {                                                                                                                            \
        (void)err;                                                                                                               \
        switch (call->inputs[0].dtype) {                                                                                         \
            ASSAY_REAL_TYPES(CASE_##name)                                                                                        \
            ASSAY_SIGNED_TYPES(CASE_##name)                                                                                      \
            ASSAY_UNSIGNED_TYPES(CASE_##name)                                                                                    \
        default:                                                                                                                 \
            ASSAY_ASSERT(!"a dtype that the rule lets through");                                                                 \
        }                                                                                                                        \
        return ASSAY_OK;                                                                                                         \
    }
#define CASE_max(name, type, wide)                                                                                               \
    case ASSAY_##name:                                                                                                           \
        ACCUMULATE(type, x > y || x != x ? x : y);                                                                               \
        break;
#define CASE_min(name, type, wide)                                                                                               \
    case ASSAY_##name:                                                                                                           \
        ACCUMULATE(type, x < y || x != x ? x : y);                                                                               \
        break;
RUN(max)
RUN(min)

static enum assay_status run_sum(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    if (call->inputs[0].dtype == ASSAY_F64)
        ACCUMULATE(double, x + y)
    else
        ACCUMULATE(float, x + y)
    return ASSAY_OK;
}

static enum assay_status run_mean(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = run_sum(call, err);
    int64_t n = assay_type_count(&call->outputs[0]);
    if (call->inputs[0].dtype == ASSAY_F64)
        for (int64_t i = 0; i < n; i++)
            ((double *)call->results[0].data)[i] /= call->n_inputs;
    else
        for (int64_t i = 0; i < n; i++)
            ((float *)call->results[0].data)[i] /= (float)call->n_inputs;
    return st;
}

static void cost_variadic(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = (double)(call->n_inputs - 1) * (double)assay_type_count(&call->outputs[0]);
}

static void cost_mean(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = (double)call->n_inputs * (double)assay_type_count(&call->outputs[0]);
}

/* ---- gradients */

static void gradient_sum(struct assay_gradient *g)
{
    for (int i = 0; i < g->node->n_inputs; i++)
        g_set(g, i, g->out[0]);
}

static void gradient_mean(struct assay_gradient *g)
{
    int share = e_scale(g->e, g->out[0], 1.0 / g->node->n_inputs);
    for (int i = 0; i < g->node->n_inputs; i++)
        g_set(g, i, share);
}

/* Those that are the largest, or smallest, share alike. */
static void gradient_extreme(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int n = g->node->n_inputs, y = g_output(g, 0), count = -1;
    int *is_it = assay_arena_array(&e->graph->arena, (size_t)n, sizeof *is_it);
    for (int i = 0; i < n; i++) {
        is_it[i] = e_equality(e, g_input(g, i), y);
        count = i == 0 ? is_it[0] : e_add(e, count, is_it[i]);
    }
    int share = e_div(e, g->out[0], count);
    for (int i = 0; i < n; i++)
        if (g_wants(g, i))
            g_set(g, i, e_mul(e, share, is_it[i]));
}

const struct assay_op assay_ops_variadic[] = {
    {"Max", "", 1, -1, ASSAY_OP_VIA_F32, infer_number, run_max, cost_variadic, gradient_extreme},
    {"Mean", "", 1, -1, ASSAY_OP_VIA_F32, infer_float, run_mean, cost_mean, gradient_mean},
    {"Min", "", 1, -1, ASSAY_OP_VIA_F32, infer_number, run_min, cost_variadic, gradient_extreme},
    {"Sum", "", 1, -1, ASSAY_OP_VIA_F32, infer_float, run_sum, cost_variadic, gradient_sum},
    {0},
};
