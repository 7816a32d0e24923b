/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses over classes: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss, and the gradient of the latter.
 *
 * Scores are [batch, class, position …], labels [batch, position …]. Per position the loss is -weight[label] · log p(label), 0
 * where the label is ignore_index; "mean" divides by the sum of the weights that took part. Sums are in double.
 */
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

#include <math.h>
#include <stdlib.h>

enum reduction { NONE, SUM, MEAN };

static enum assay_status find_reduction(const struct assay_op_call *call, enum reduction *reduction, struct assay_error *err)
{
    static const char *const words[] = {"none", "sum", "mean"};
    const char *word = assay_node_string(call->node, "reduction", "mean");
    for (int i = 0; i < 3; i++)
        if (strcmp(word, words[i]) == 0) {
            *reduction = (enum reduction)i;
            return ASSAY_OK;
        }
    return assay_error_set(err, ASSAY_INVALID, "reduction must be none, sum or mean, not '%s'", word);
}

static enum assay_status infer_loss(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *scores = &call->inputs[0], *labels = &call->inputs[1];
    struct assay_type *out = &call->outputs[0];
    enum reduction reduction = NONE;
    enum assay_status st = find_reduction(call, &reduction, err);
    if (!st)
        st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_SET_INDEX, err);
    if (!st)
        st = assay_rule_rank(call, 0, 2, ASSAY_MAX_RANK, err);
    if (!st && assay_rule_has_input(call, 2))
        st = assay_rule_same_dtype(call, 0, 2, err);
    if (!st)
        st = assay_rule_rank(call, 2, 1, 1, err);
    if (st)
        return st;
    *out = assay_type_unknown(scores->dtype);
    if (scores->rank >= 0) {
        out->rank = scores->rank - 1;
        for (int d = 0; d < out->rank; d++)
            out->dims[d] = scores->dims[d == 0 ? 0 : d + 1];
        if (labels->rank >= 0 && labels->rank != out->rank)
            return assay_error_set(err, ASSAY_INVALID, "labels must have rank %d, but have %d", out->rank, labels->rank);
        for (int d = 0; !st && d < labels->rank; d++)
            st = assay_rule_merge_dim(&out->dims[d], labels->dims[d], "a dimension of scores and labels", err);
        if (!st && call->n_inputs > 2 && call->inputs[2].rank == 1) {
            int64_t classes = scores->dims[1];
            st = assay_rule_merge_dim(&classes, call->inputs[2].dims[0], "the number of classes", err);
        }
    }
    if (reduction != NONE)
        out->rank = 0;
    if (call->n_outputs > 1)
        call->outputs[1] = *scores;
    return st;
}

/* What the losses of all positions come to. `weights` may be NULL. */
struct tally {
    enum reduction reduction;
    double sum, weight;
    bool has_ignored;
    int64_t ignored;
    const struct assay_tensor *labels, *weights;
    int64_t n_classes;
};

/* Labels are input `labels`, behind them the weights. */
static struct tally start(const struct assay_op_call *call, int labels)
{
    const struct assay_attr *attr = assay_node_attr(call->node, "ignore_index");
    bool has = attr && attr->kind == ASSAY_ATTR_INT;
    enum reduction reduction = NONE;
    (void)find_reduction(call, &reduction, NULL); /* the rule has seen to it */
    return (struct tally){.reduction = reduction,
                          .has_ignored = has,
                          .ignored = has ? attr->i : 0,
                          .labels = call->data[labels],
                          .weights = assay_rule_data(call, labels + 1),
                          .n_classes = call->inputs[labels - 1].dims[1]};
}

/* The label at a position, and its weight; weight 0 and label -1 where it is to be ignored. */
static enum assay_status look_up(struct tally *tally, int64_t position, int64_t *label, double *weight, struct assay_error *err)
{
    *label = assay_tensor_int(tally->labels, position);
    *weight = 0;
    if (tally->has_ignored && *label == tally->ignored) {
        *label = -1;
        return ASSAY_OK;
    }
    if (*label < 0 || *label >= tally->n_classes)
        return assay_error_set(err, ASSAY_INVALID, "label %lld is none of the %lld classes", (long long)*label,
                               (long long)tally->n_classes);
    *weight = tally->weights ? assay_tensor_real(tally->weights, *label) : 1;
    return ASSAY_OK;
}

static void add(struct tally *tally, struct assay_op_call *call, int64_t position, double loss, double weight)
{
    if (tally->reduction == NONE)
        assay_tensor_set_real(&call->results[0], position, loss);
    tally->sum += loss;
    tally->weight += weight;
}

static void finish(const struct tally *tally, struct assay_op_call *call)
{
    if (tally->reduction == SUM)
        assay_tensor_set_real(&call->results[0], 0, tally->sum);
    else if (tally->reduction == MEAN)
        assay_tensor_set_real(&call->results[0], 0, tally->sum / tally->weight);
}

static enum assay_status run_nll(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0];
    struct tally tally = start(call, 1);
    enum assay_status st = ASSAY_OK;
    int64_t positions = assay_tensor_count(call->data[1]);
    int64_t inner = positions ? assay_dims_product(&in->type, 2, in->type.rank) : 1;
    for (int64_t p = 0; !st && p < positions; p++) {
        int64_t label, batch = p / inner, i = p % inner;
        double weight, loss = 0;
        st = look_up(&tally, p, &label, &weight, err);
        if (!st && label >= 0)
            loss = -weight * assay_tensor_real(in, (batch * tally.n_classes + label) * inner + i);
        if (!st)
            add(&tally, call, p, loss, weight);
    }
    if (!st)
        finish(&tally, call);
    return st;
}

/* sums[i] = log Σ exp(scores of column i) of one [class, inner] plane; log_prob, if wanted, is what is left of the scores. */
#define LOG_SUM_EXP(type)                                                                                                        \
    static void log_sum_exp_##type(const type *from, type *log_prob, int64_t n, int64_t inner, double *maximum, double *sums)    \
    {                                                                                                                            \
        for (int64_t i = 0; i < inner; i++) {                                                                                    \
            maximum[i] = -HUGE_VAL;                                                                                              \
            sums[i] = 0;                                                                                                         \
        }                                                                                                                        \
        for (int64_t k = 0; k < n; k++)                                                                                          \
            for (int64_t i = 0; i < inner; i++)                                                                                  \
                maximum[i] = from[k * inner + i] > maximum[i] ? from[k * inner + i] : maximum[i];                                \
        for (int64_t k = 0; k < n; k++)                                                                                          \
            for (int64_t i = 0; i < inner; i++)                                                                                  \
                sums[i] += exp(from[k * inner + i] - maximum[i]);                                                                \
        for (int64_t i = 0; i < inner; i++)                                                                                      \
            sums[i] = maximum[i] + log(sums[i]);                                                                                 \
        for (int64_t k = 0; log_prob && k < n; k++)                                                                              \
            for (int64_t i = 0; i < inner; i++)                                                                                  \
                log_prob[k * inner + i] = (type)(from[k * inner + i] - sums[i]);                                                 \
    }
LOG_SUM_EXP(float)
LOG_SUM_EXP(double)

static enum assay_status run_cross_entropy(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0];
    struct tally tally = start(call, 1);
    enum assay_status st = ASSAY_OK;
    bool f64 = in->type.dtype == ASSAY_F64;
    int64_t positions = assay_tensor_count(call->data[1]);
    int64_t inner = positions ? assay_dims_product(&in->type, 2, in->type.rank) : 1, n = tally.n_classes;
    void *log_prob = call->n_outputs > 1 ? call->results[1].data : NULL;
    double *maximum = malloc(2 * (size_t)inner * sizeof *maximum);
    if (!maximum)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for %lld sums", (long long)inner);
    double *sums = maximum + inner;
    for (int64_t batch = 0; !st && batch * inner < positions; batch++) {
        int64_t at = batch * n * inner;
        if (f64)
            log_sum_exp_double((const double *)in->data + at, log_prob ? (double *)log_prob + at : NULL, n, inner, maximum, sums);
        else
            log_sum_exp_float((const float *)in->data + at, log_prob ? (float *)log_prob + at : NULL, n, inner, maximum, sums);
        for (int64_t i = 0; !st && i < inner; i++) {
            int64_t label;
            double weight, loss = 0;
            st = look_up(&tally, batch * inner + i, &label, &weight, err);
            if (!st && label >= 0)
                loss = weight * (sums[i] - assay_tensor_real(in, at + label * inner + i));
            if (!st)
                add(&tally, call, batch * inner + i, loss, weight);
        }
    }
    if (!st)
        finish(&tally, call);
    free(maximum);
    return st;
}

static void cost_cross_entropy(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = 5 * (double)assay_type_count(&call->inputs[0]);
}

static void cost_nll(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = 2 * (double)assay_type_count(&call->inputs[1]);
}

/* ---- SoftmaxCrossEntropyLossGradient(dloss, log_prob, labels, weights?) -> dscores: (softmax - 1 at the label) times the
 * weight, divided by the sum of all weights for "mean". */

static enum assay_status infer_loss_gradient(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type loss = {0};
    struct assay_node node = *call->node;
    struct assay_op_call inner = *call;
    node.inputs++;
    node.n_inputs--;
    inner.node = &node;
    inner.inputs++;
    inner.data++;
    inner.n_inputs--;
    inner.n_outputs = 1;
    inner.outputs = &loss;
    enum assay_status st = infer_loss(&inner, err);
    if (!st)
        st = assay_rule_same_dtype(call, 0, 1, err);
    call->outputs[0] = call->inputs[1];
    const struct assay_type *dloss = &call->inputs[0];
    if (!st && loss.rank >= 0 && dloss->rank >= 0 && dloss->rank != loss.rank)
        st = assay_error_set(err, ASSAY_INVALID, "the loss has rank %d, its gradient %d", loss.rank, dloss->rank);
    for (int d = 0; !st && d < dloss->rank && d < loss.rank; d++)
        st = assay_rule_merge_dim(&loss.dims[d], dloss->dims[d], "a dimension of the loss and its gradient", err);
    return st;
}

static enum assay_status run_loss_gradient(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *log_prob = call->data[1];
    struct tally tally = start(call, 2);
    int64_t positions = assay_tensor_count(tally.labels), label, n = tally.n_classes;
    int64_t inner = positions ? assay_dims_product(&log_prob->type, 2, log_prob->type.rank) : 1;
    double weight, all = 0;
    enum assay_status st = ASSAY_OK;
    for (int64_t p = 0; p < positions && !st && tally.reduction == MEAN; p++) {
        st = look_up(&tally, p, &label, &weight, err);
        all += weight;
    }
    for (int64_t p = 0; p < positions && !st; p++) {
        st = look_up(&tally, p, &label, &weight, err);
        if (st)
            break;
        double dloss = assay_tensor_real(call->data[0], tally.reduction == NONE ? p : 0);
        double scale = label < 0 ? 0 : dloss * weight / (tally.reduction == MEAN ? all : 1);
        int64_t at = p / inner * n * inner + p % inner;
        for (int64_t k = 0; k < n; k++, at += inner) {
            double d = label < 0 ? 0 : scale * (exp(assay_tensor_real(log_prob, at)) - (k == label));
            assay_tensor_set_real(&call->results[0], at, d);
        }
    }
    return st;
}

static void cost_loss_gradient(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = 3 * (double)assay_type_count(&call->inputs[1]);
}

/* ---- gradients in standard ops */

/* *scale: what each position's loss is multiplied by, [batch, 1, position …]; the result: 1 at each label, 0 at other classes.
 * Ignored labels have scale 0 and no 1. */
static int one_hot(struct assay_emit *e, const struct assay_node *node, int dloss, int scores, int labels, int weights,
                   int *scale)
{
    const struct assay_attr *attr = assay_node_attr(node, "ignore_index");
    const char *reduction = assay_node_string(node, "reduction", "mean");
    const struct assay_type x = *e_type(e, scores);
    int64_t dims[ASSAY_MAX_RANK];
    for (int d = 0; d < x.rank; d++)
        dims[d] = d == 1 ? x.dims[1] : 1;
    int wide = e_unsqueeze(e, e_cast(e, labels, ASSAY_I64), E_INTS(1)), counts = -1;
    if (attr && attr->kind == ASSAY_ATTR_INT) {
        int ignored = e_op(e, "Equal", E_VALUES(wide, e_int(e, attr->i)));
        counts = e_indicator(e, e_unary(e, "Not", ignored), scores);
        wide = e_where(e, ignored, e_int(e, -1), wide);
    }
    int classes = e_op(e, "Range", E_VALUES(e_int(e, 0), e_int(e, x.dims[1]), e_int(e, 1)));
    int hot = e_indicator(e, e_op(e, "Equal", E_VALUES(wide, e_reshape(e, classes, (size_t)x.rank, dims))), scores);
    int weight = counts;
    if (weights >= 0)
        weight = e_sum_along(e, e_mul(e, hot, e_reshape(e, weights, (size_t)x.rank, dims)), 1);
    else if (weight < 0)
        weight = e_indicator(e, e_op(e, "GreaterOrEqual", E_VALUES(wide, e_int(e, 0))), scores);
    *scale = e_mul(e, strcmp(reduction, "none") == 0 ? e_unsqueeze(e, dloss, E_INTS(1)) : dloss, weight);
    if (strcmp(reduction, "mean") == 0) {
        int all = e_unary(e, "ReduceSum", weight);
        e_set_int(e, "keepdims", 0);
        *scale = e_div(e, *scale, all);
    }
    return hot;
}

static void expand_loss_gradient(struct assay_emit *e, const struct assay_node *node, int *outputs)
{
    int log_prob = node->inputs[1], scale;
    int hot = one_hot(e, node, node->inputs[0], log_prob, node->inputs[2], node->n_inputs > 3 ? node->inputs[3] : -1, &scale);
    outputs[0] = e_mul(e, e_sub(e, e_unary(e, "Exp", log_prob), hot), scale);
}

static bool refuse_weights(struct assay_gradient *g)
{
    if (g_wants(g, 2))
        e_fail(g->e, ASSAY_UNSUPPORTED, "the weights of its classes have no gradient");
    return g_wants(g, 2);
}

static void gradient_nll(struct assay_gradient *g)
{
    int scale;
    if (refuse_weights(g))
        return;
    int hot = one_hot(g->e, g->node, g->out[0], g_input(g, 0), g_input(g, 1), g_input(g, 2), &scale);
    g->in[0] = e_unary(g->e, "Neg", e_mul(g->e, hot, scale));
}

static void gradient_cross_entropy(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int dlog_prob = g->node->n_outputs > 1 ? g->out[1] : -1, log_prob = g_need_output(g, 1), by_log_prob = -1;
    if (refuse_weights(g))
        return;
    if (dlog_prob >= 0) {
        by_log_prob = e_own(e, "LogSoftmaxGradient", E_VALUES(dlog_prob, log_prob));
        e_set_int(e, "axis", 1);
        g->in[0] = by_log_prob;
    }
    if (g->out[0] < 0)
        return;
    int dx = e_own(e, "SoftmaxCrossEntropyLossGradient", E_VALUES(g->out[0], log_prob, g_input(g, 1), g_input(g, 2)));
    e_set_like(e, g->node);
    g->in[0] = by_log_prob >= 0 ? e_add(e, dx, by_log_prob) : dx;
}

const struct assay_op assay_ops_loss[] = {
    {"NegativeLogLikelihoodLoss", "", 2, 3, ASSAY_OP_VIA_F32, infer_loss, run_nll, cost_nll, gradient_nll},
    {"SoftmaxCrossEntropyLoss", "", 2, 3, ASSAY_OP_VIA_F32, infer_loss, run_cross_entropy, cost_cross_entropy,
     gradient_cross_entropy},
    {"SoftmaxCrossEntropyLossGradient", "assay", 3, 4, ASSAY_OP_VIA_F32, infer_loss_gradient, run_loss_gradient,
     cost_loss_gradient, NULL, expand_loss_gradient},
    {0},
};
