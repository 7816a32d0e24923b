/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses over classes: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
 *
 * Scores are [batch, class, position …], labels [batch, position …]. Per position the loss is -weight[label] · log p(label), 0
 * where the label is ignore_index; "mean" divides by the sum of the weights that took part. Sums are in double.
 */
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

static struct tally start(const struct assay_op_call *call)
{
    const struct assay_attr *attr = assay_node_attr(call->node, "ignore_index");
    bool has = attr && attr->kind == ASSAY_ATTR_INT;
    enum reduction reduction = NONE;
    (void)find_reduction(call, &reduction, NULL); /* the rule has seen to it */
    return (struct tally){.reduction = reduction,
                          .has_ignored = has,
                          .ignored = has ? attr->i : 0,
                          .labels = call->data[1],
                          .weights = assay_rule_data(call, 2),
                          .n_classes = call->inputs[0].dims[1]};
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
    struct tally tally = start(call);
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
    struct tally tally = start(call);
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

const struct assay_op assay_ops_loss[] = {
    {"NegativeLogLikelihoodLoss", "", 2, 3, ASSAY_OP_VIA_F32, infer_loss, run_nll, cost_nll},
    {"SoftmaxCrossEntropyLoss", "", 2, 3, ASSAY_OP_VIA_F32, infer_loss, run_cross_entropy, cost_cross_entropy},
    {0},
};
