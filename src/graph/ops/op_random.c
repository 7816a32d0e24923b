/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random ops: RandomNormal, RandomUniform, their *Like forms, Bernoulli, Multinomial, Dropout.
 *
 * All draw from Philox (base/rng.h), keyed by the attribute 'seed' and the node's name: a run repeats on every machine, and two
 * nodes of one graph differ. Where the standard leaves the seed to chance (no attribute), it is 0. Other runtimes draw other
 * numbers, so these outputs are not comparable; Dropout's are, unless it is in training mode.
 */
#include "base/rng.h"
#include "graph/gradient.h"
#include "graph/ops/util.h"

#include <math.h>
#include <stdlib.h>

enum { BLOCK = 512 };

static void init_rng(struct assay_rng *rng, const struct assay_op_call *call)
{
    uint64_t seed = 0;
    const struct assay_attr *attr = assay_node_attr(call->node, "seed");
    if (attr && attr->kind == ASSAY_ATTR_FLOAT)
        memcpy(&seed, &attr->f, sizeof attr->f); /* any float is a seed, fractions too */
    else if (attr && attr->kind == ASSAY_ATTR_INT)
        seed = (uint64_t)attr->i;
    assay_rng_init(rng, seed, assay_rng_stream(call->node->name ? call->node->name : ""));
}

/* Numbers of a block as elements at, at+1, … of any dtype. */
static void store(struct assay_tensor *out, int64_t at, const double *block, int64_t n)
{
    switch (out->type.dtype) {
#define CASE(name, type, expression)                                                                                             \
    case ASSAY_##name:                                                                                                           \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            double x = block[i];                                                                                                 \
            ((type *)out->data)[at + i] = (type)(expression);                                                                    \
        }                                                                                                                        \
        break;
#define X(name, type, wide) CASE(name, type, x)
        ASSAY_REAL_TYPES(X)
        ASSAY_SIGNED_TYPES(X)
        ASSAY_UNSIGNED_TYPES(X)
        CASE(BOOL, uint8_t, x != 0)
        CASE(F16, uint16_t, assay_f32_to_f16((float)x))
        CASE(BF16, uint16_t, assay_f32_to_bf16((float)x))
#undef X
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets through");
    }
}

/* ---- RandomNormal, RandomUniform and *Like */

static enum assay_status infer_random(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *out = &call->outputs[0];
    size_t n;
    const int64_t *shape = assay_node_ints(call->node, "shape", &n);
    if (!assay_node_attr(call->node, "shape"))
        return assay_error_set(err, ASSAY_INVALID, "attribute 'shape' is missing");
    if (n > ASSAY_MAX_RANK)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "a shape of %zu dimensions is not supported", n);
    out->rank = (int)n;
    for (size_t d = 0; d < n; d++) {
        if (shape[d] < 0)
            return assay_error_set(err, ASSAY_INVALID, "the shape has a negative dimension");
        out->dims[d] = shape[d];
    }
    return assay_rule_dtype_attr(call, "dtype", ASSAY_F32, ASSAY_SET_FLOAT, &out->dtype, err);
}

static enum assay_status infer_random_like(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    call->outputs[0] = *in;
    if (!assay_node_attr(call->node, "dtype") && in->dtype == ASSAY_NO_DTYPE)
        return ASSAY_OK;
    return assay_rule_dtype_attr(call, "dtype", in->dtype, ASSAY_SET_FLOAT, &call->outputs[0].dtype, err);
}

/* offset + factor * draw() for each element. */
static void fill(const struct assay_op_call *call, double (*draw)(struct assay_rng *rng), double offset, double factor)
{
    double block[BLOCK];
    struct assay_rng rng;
    init_rng(&rng, call);
    for (int64_t at = 0, count = assay_type_count(&call->outputs[0]); at < count; at += BLOCK) {
        int64_t n = count - at < BLOCK ? count - at : BLOCK;
        for (int64_t i = 0; i < n; i++)
            block[i] = offset + factor * draw(&rng);
        store(&call->results[0], at, block, n);
    }
}

static enum assay_status run_normal(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    fill(call, assay_rng_normal, assay_node_float(call->node, "mean", 0), assay_node_float(call->node, "scale", 1));
    return ASSAY_OK;
}

static enum assay_status run_uniform(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    double low = assay_node_float(call->node, "low", 0), high = assay_node_float(call->node, "high", 1);
    fill(call, assay_rng_uniform, low, high - low);
    return ASSAY_OK;
}

/* ---- Bernoulli */

static enum assay_status infer_bernoulli(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    call->outputs[0] = *in;
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT, err);
    if (st || (!assay_node_attr(call->node, "dtype") && in->dtype == ASSAY_NO_DTYPE))
        return st;
    return assay_rule_dtype_attr(call, "dtype", in->dtype, ASSAY_SET_ANY, &call->outputs[0].dtype, err);
}

static enum assay_status run_bernoulli(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    const struct assay_tensor *in = call->data[0];
    bool f64 = in->type.dtype == ASSAY_F64;
    double block[BLOCK];
    struct assay_rng rng;
    init_rng(&rng, call);
    for (int64_t at = 0, count = assay_tensor_count(in); at < count; at += BLOCK) {
        int64_t n = count - at < BLOCK ? count - at : BLOCK;
        for (int64_t i = 0; i < n; i++) {
            double p = f64 ? ((const double *)in->data)[at + i] : (double)((const float *)in->data)[at + i];
            block[i] = assay_rng_uniform(&rng) < p;
        }
        store(&call->results[0], at, block, n);
    }
    return ASSAY_OK;
}

/* ---- Multinomial */

static enum assay_status infer_multinomial(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *out = &call->outputs[0];
    int64_t n = assay_node_int(call->node, "sample_size", 1);
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_rank(call, 0, 2, 2, err);
    if (!st && n < 0)
        st = assay_error_set(err, ASSAY_INVALID, "sample_size must not be negative");
    *out = (struct assay_type){.rank = 2, .dims = {call->inputs[0].rank == 2 ? call->inputs[0].dims[0] : -1, n}};
    return st ? st : assay_rule_dtype_attr(call, "dtype", ASSAY_I32, ASSAY_SET_INDEX, &out->dtype, err);
}

/* Sums of the probabilities up to each class, from their unnormalised logarithms. */
static enum assay_status sum_up(const struct assay_tensor *in, int64_t row, int64_t n, double *sums, struct assay_error *err)
{
    double maximum = -HUGE_VAL, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sums[i] = assay_tensor_real(in, row * n + i);
        maximum = sums[i] > maximum ? sums[i] : maximum;
    }
    for (int64_t i = 0; i < n; i++)
        sums[i] = sum += sums[i] == maximum ? 1 : exp(sums[i] - maximum);
    if (!(sum > 0 && maximum > -HUGE_VAL && maximum < HUGE_VAL))
        return assay_error_set(err, ASSAY_INVALID, "row %lld holds no probabilities to draw from", (long long)row);
    return ASSAY_OK;
}

static enum assay_status run_multinomial(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0];
    int64_t rows = in->type.dims[0], n = in->type.dims[1], n_samples = call->outputs[0].dims[1];
    enum assay_status st = ASSAY_OK;
    if (assay_type_count(&call->outputs[0]) == 0)
        return ASSAY_OK;
    if (n == 0)
        return assay_error_set(err, ASSAY_INVALID, "there are no classes to draw from");
    double *sums = malloc((size_t)n * sizeof *sums);
    if (!sums)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for %lld probabilities", (long long)n);
    struct assay_rng rng;
    init_rng(&rng, call);
    for (int64_t row = 0; !st && row < rows; row++) {
        st = sum_up(in, row, n, sums, err);
        for (int64_t i = 0; !st && i < n_samples; i++) {
            double x = assay_rng_uniform(&rng) * sums[n - 1];
            int64_t low = 0, high = n - 1; /* the first class whose sum exceeds x */
            while (low < high) {
                int64_t middle = low + (high - low) / 2;
                if (sums[middle] > x)
                    high = middle;
                else
                    low = middle + 1;
            }
            store(&call->results[0], row * n_samples + i, &(double){(double)low}, 1);
        }
    }
    free(sums);
    return st;
}

/* ---- Dropout */

static enum assay_status infer_dropout(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = assay_rule_same(call, ASSAY_SET_FLOAT, err);
    if (call->n_outputs > 1) {
        call->outputs[1] = call->inputs[0];
        call->outputs[1].dtype = ASSAY_BOOL;
    }
    for (int i = 1; !st && i < call->n_inputs; i++)
        if (assay_rule_data(call, i) && assay_tensor_count(assay_rule_data(call, i)) != 1)
            st = assay_error_set(err, ASSAY_INVALID, "input %d must be a scalar", i);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_SET_FLOAT, err);
    return st ? st : assay_rule_dtype(call, 2, ASSAY_SET_BOOL, err);
}

/* Each element is dropped with probability `ratio`, and the others grow so that the expected sum stays. */
#define DROP(type)                                                                                                               \
    for (int64_t i = 0; i < count; i++) {                                                                                        \
        bool stays = assay_rng_uniform(&rng) >= ratio;                                                                           \
        ((type *)out->data)[i] = stays ? (type)(((const type *)in->data)[i] * scale) : 0;                                        \
        if (mask)                                                                                                                \
            mask[i] = stays;                                                                                                     \
    }

static enum assay_status run_dropout(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0], *ratio_given = assay_rule_data(call, 1), *mode = assay_rule_data(call, 2);
    struct assay_tensor *out = &call->results[0];
    double ratio = ratio_given ? assay_tensor_real(ratio_given, 0) : 0.5;
    int64_t count = assay_tensor_count(in);
    uint8_t *mask = NULL;
    enum assay_status st = ASSAY_OK;
    if (call->n_outputs > 1) {
        st = assay_tensor_alloc(&call->results[1], &call->outputs[1], err);
        mask = call->results[1].data;
    }
    if (st)
        return st;
    if (!mode || !assay_tensor_int(mode, 0)) {
        if (mask)
            memset(mask, 1, (size_t)count);
        assay_tensor_share(out, in);
        return ASSAY_OK;
    }
    if (!(ratio >= 0 && ratio < 1))
        return assay_error_set(err, ASSAY_INVALID, "the ratio must be in [0, 1), not %g", ratio);
    st = assay_tensor_alloc(out, &call->outputs[0], err);
    if (st)
        return st;
    double scale = 1 / (1 - ratio);
    struct assay_rng rng;
    init_rng(&rng, call);
    if (in->type.dtype == ASSAY_F64)
        DROP(double)
    else
        DROP(float)
    return ASSAY_OK;
}

/* Out of training it passes x on. In training its mask is lost to the backward pass: the domain's own Dropout has one. */
static void gradient_dropout(struct assay_gradient *g)
{
    const struct assay_tensor *mode = g_constant(g, 2);
    if (g_input(g, 2) >= 0 && (!mode || assay_tensor_int(mode, 0)))
        e_fail(g->e, ASSAY_UNSUPPORTED, "Dropout in training mode draws its mask anew and has no gradient");
    else
        g->in[0] = g->out[0];
}

const struct assay_op assay_ops_random[] = {
    {"Bernoulli", "", 1, 1, ASSAY_OP_RANDOM | ASSAY_OP_VIA_F32, infer_bernoulli, run_bernoulli, assay_cost_per_output},
    {"Dropout", "", 1, 3, ASSAY_OP_RANDOM_IN_TRAINING | ASSAY_OP_VIEW | ASSAY_OP_VIA_F32, infer_dropout, run_dropout,
     assay_cost_per_output, gradient_dropout},
    {"Multinomial", "", 1, 1, ASSAY_OP_RANDOM | ASSAY_OP_VIA_F32, infer_multinomial, run_multinomial, assay_cost_per_input},
    {"RandomNormal", "", 0, 0, ASSAY_OP_RANDOM, infer_random, run_normal, assay_cost_per_output},
    {"RandomNormalLike", "", 1, 1, ASSAY_OP_RANDOM, infer_random_like, run_normal, assay_cost_per_output},
    {"RandomUniform", "", 0, 0, ASSAY_OP_RANDOM, infer_random, run_uniform, assay_cost_per_output},
    {"RandomUniformLike", "", 1, 1, ASSAY_OP_RANDOM, infer_random_like, run_uniform, assay_cost_per_output},
    {0},
};
