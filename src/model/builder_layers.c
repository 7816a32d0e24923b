/* SPDX-License-Identifier: Apache-2.0 */
/* See builder.h: layers with parameters, activations, attention. */
#include "model/builder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- linear */

int b_project(struct assay_builder *b, int x, int weight) { return b_matmul(b, x, b_transpose(b, weight, B_LIST(1, 0))); }

static int add_bias(struct assay_builder *b, int x, int64_t out, bool bias)
{
    return bias ? b_add(b, x, b_param(b, "bias", B_LIST(out))) : x;
}

int b_linear(struct assay_builder *b, int x, const char *name, int64_t in, int64_t out, bool bias)
{
    b_enter(b, "%s", name);
    int y = add_bias(b, b_project(b, x, b_param(b, "weight", B_LIST(out, in))), out, bias);
    b_leave(b);
    return y;
}

int b_linear_in_out(struct assay_builder *b, int x, const char *name, int64_t in, int64_t out, bool bias)
{
    b_enter(b, "%s", name);
    int y = add_bias(b, b_matmul(b, x, b_param(b, "weight", B_LIST(in, out))), out, bias);
    b_leave(b);
    return y;
}

int b_embedding(struct assay_builder *b, int ids, const char *name, int64_t n, int64_t dim)
{
    b_enter(b, "%s", name);
    int y = b_gather(b, b_param(b, "weight", B_LIST(n, dim)), 0, ids);
    b_leave(b);
    return y;
}

int b_embedding_padded(struct assay_builder *b, int ids, const char *name, int64_t n, int64_t dim, int64_t padding)
{
    return b_stop_padding(b, b_embedding(b, ids, name, n, dim), ids, padding);
}

/* ---- norms */

int b_layer_norm(struct assay_builder *b, int x, const char *name, int64_t dim, double eps)
{
    b_enter(b, "%s", name);
    int weight = b_param(b, "weight", B_LIST(dim)), bias = b_param(b, "bias", B_LIST(dim));
    int y = b_op(b, "LayerNormalization", B_VALUES(x, weight, bias));
    b_set_int(b, "axis", -1);
    b_set_float(b, "epsilon", eps);
    b_leave(b);
    return y;
}

/* In the steps that onnxruntime knows as a simplified layer norm: opset 17 has no op for it. */
int b_rms_norm(struct assay_builder *b, int x, const char *name, int64_t dim, double eps)
{
    b_enter(b, "%s", name);
    int mean = b_reduce(b, "ReduceMean", b_op(b, "Pow", B_VALUES(x, b_scalar(b, 2))), true, B_LIST(-1));
    int deviation = b_unary(b, "Sqrt", b_add(b, mean, b_scalar(b, eps)));
    int y = b_mul(b, b_div(b, x, deviation), b_param(b, "weight", B_LIST(dim)));
    b_leave(b);
    return y;
}

/* Groups become the channels of an InstanceNormalization: opset 17 has no GroupNormalization. */
int b_group_norm(struct assay_builder *b, int x, const char *name, int64_t groups, int64_t channels, double eps)
{
    static const int64_t ones[ASSAY_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    int rank = b_rank(b, x);
    b_enter(b, "%s", name);
    int weight = b_param(b, "weight", B_LIST(channels)), bias = b_param(b, "bias", B_LIST(channels)), y;
    if (groups == channels) {
        y = b_op(b, "InstanceNormalization", B_VALUES(x, weight, bias));
        b_set_float(b, "epsilon", eps);
    } else if (b->emit.status || rank < 3 || groups < 1 || channels % groups != 0 || groups > 65536) {
        y = b_fail(b, ASSAY_INVALID, "%lld channels cannot be normalised in %lld groups", (long long)channels, (long long)groups);
    } else {
        float *numbers = assay_arena_array(&b->arena, 2 * (size_t)groups, sizeof *numbers);
        for (int64_t i = 0; i < groups; i++)
            numbers[i] = 1;
        int scale = b_floats(b, "ones", B_LIST(groups), numbers), zero = b_floats(b, "zeros", B_LIST(groups), numbers + groups);
        int shape = b_unary(b, "Shape", x);
        y = b_op(b, "InstanceNormalization", B_VALUES(b_reshape(b, x, B_LIST(0, groups, -1)), scale, zero));
        b_set_float(b, "epsilon", eps);
        y = b_reshape_to(b, y, shape);
        int along = b_ints(b, (size_t)rank - 2, ones);
        int dims = b_concat(b, 0, B_VALUES(b_ints(b, B_LIST(channels)), along));
        y = b_add(b, b_mul(b, y, b_reshape_to(b, weight, dims)), b_reshape_to(b, bias, dims));
    }
    b_leave(b);
    return y;
}

/* ONNX's running variance is that of the n elements of a channel, PyTorch's that of the population they are drawn from:
 * n / (n - 1) times what is new in it. */
static int unbiased(struct assay_builder *b, int x, int64_t channels, int variance, int next, double momentum)
{
    int n = b_scale(b, b_cast(b, b_unary(b, "Size", x), ASSAY_F32), 1.0 / (double)channels);
    int factor = b_div(b, n, b_sub(b, n, b_scalar(b, 1)));
    int kept = b_scale(b, variance, 1 - momentum);
    return b_add(b, kept, b_mul(b, b_sub(b, next, kept), factor));
}

int b_batch_norm_by(struct assay_builder *b, int x, const char *name, int64_t channels, double eps, double momentum)
{
    b_enter(b, "%s", name);
    int weight = b_param(b, "weight", B_LIST(channels)), bias = b_param(b, "bias", B_LIST(channels));
    int mean = b_buffer(b, "running_mean", B_LIST(channels)), variance = b_buffer(b, "running_var", B_LIST(channels));
    int inputs[] = {x, weight, bias, mean, variance}, outputs[3];
    b_op_many(b, "BatchNormalization", 5, inputs, b_training(b) ? 3 : 1, outputs);
    b_set_float(b, "epsilon", eps);
    if (b_training(b)) {
        b_set_int(b, "training_mode", 1);
        b_set_float(b, "momentum", 1 - momentum);
        b_update(b, mean, outputs[1]);
        b_update(b, variance, unbiased(b, x, channels, variance, outputs[2], momentum));
    }
    b_leave(b);
    return outputs[0];
}

int b_batch_norm(struct assay_builder *b, int x, const char *name, int64_t channels, double eps)
{
    return b_batch_norm_by(b, x, name, channels, eps, 0.1);
}

/* ---- activations */

static int gelu(struct assay_builder *b, int x)
{
    int erf = b_unary(b, "Erf", b_div(b, x, b_scalar(b, sqrt(2.0))));
    return b_mul(b, b_mul(b, x, b_add(b, erf, b_scalar(b, 1))), b_scalar(b, 0.5));
}

static int gelu_tanh(struct assay_builder *b, int x)
{
    int cube = b_op(b, "Pow", B_VALUES(x, b_scalar(b, 3)));
    int inner = b_scale(b, b_add(b, x, b_scale(b, cube, 0.044715)), sqrt(2.0 / M_PI));
    return b_mul(b, b_scale(b, x, 0.5), b_add(b, b_unary(b, "Tanh", inner), b_scalar(b, 1)));
}

static int clip(struct assay_builder *b, int x, double least, double most)
{
    return b_op(b, "Clip", B_VALUES(x, b_scalar(b, least), b_scalar(b, most)));
}

static int times_sigmoid(struct assay_builder *b, int x, double factor)
{
    return b_mul(b, x, b_unary(b, "Sigmoid", b_scale(b, x, factor)));
}

static int relu_squared(struct assay_builder *b, int x)
{
    int positive = b_unary(b, "Relu", x);
    return b_mul(b, positive, positive);
}

/* Near relu²: the normal distribution of mean 1/sqrt(2) and variance 1/(4π) (Ma et al. 2022), by Transformers' digits. */
static int laplace(struct assay_builder *b, int x)
{
    int z = b_div(b, b_sub(b, x, b_scalar(b, 0.707107)), b_scalar(b, 0.282095 * sqrt(2.0)));
    return b_mul(b, b_add(b, b_unary(b, "Erf", z), b_scalar(b, 1)), b_scalar(b, 0.5));
}

int b_activation(struct assay_builder *b, int x, const char *word)
{
    static const struct {
        const char *word, *op;
    } plain[] = {{"relu", "Relu"}, {"tanh", "Tanh"}, {"sigmoid", "Sigmoid"}, {"hardswish", "HardSwish"}, {"selu", "Selu"}};
    static const char *const exact[] = {"gelu", "gelu_python"};
    static const char *const by_tanh[] = {"gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_accurate", "gelu_python_tanh"};
    for (size_t i = 0; i < ASSAY_COUNT(plain); i++)
        if (strcmp(word, plain[i].word) == 0)
            return b_unary(b, plain[i].op, x);
    for (size_t i = 0; i < ASSAY_COUNT(exact); i++)
        if (strcmp(word, exact[i]) == 0)
            return gelu(b, x);
    for (size_t i = 0; i < ASSAY_COUNT(by_tanh); i++)
        if (strcmp(word, by_tanh[i]) == 0)
            return gelu_tanh(b, x);
    if (strcmp(word, "gelu_10") == 0)
        return clip(b, gelu(b, x), -10, 10);
    if (strcmp(word, "quick_gelu") == 0)
        return times_sigmoid(b, x, 1.702);
    if (strcmp(word, "silu") == 0 || strcmp(word, "swish") == 0)
        return times_sigmoid(b, x, 1);
    if (strcmp(word, "relu6") == 0)
        return clip(b, x, 0, 6);
    if (strcmp(word, "relu2") == 0)
        return relu_squared(b, x);
    if (strcmp(word, "laplace") == 0)
        return laplace(b, x);
    if (strcmp(word, "mish") == 0)
        return b_mul(b, x, b_unary(b, "Tanh", b_unary(b, "Softplus", x)));
    if (strcmp(word, "leaky_relu") == 0) {
        int y = b_unary(b, "LeakyRelu", x);
        b_set_float(b, "alpha", 0.01);
        return y;
    }
    if (strcmp(word, "linear") == 0)
        return x;
    return b_fail(b, ASSAY_UNSUPPORTED, "the activation \"%s\" is none that Assay knows", word);
}

/* ---- convolutions */

int b_conv(struct assay_builder *b, int x, const char *name, const struct b_conv *c)
{
    size_t n = (size_t)c->n_spatial;
    int64_t groups = c->groups ? c->groups : 1, dims[4] = {c->out, c->in / groups}, strides[2], dilations[2];
    if (c->in % groups != 0 || c->out % groups != 0)
        return b_fail(b, ASSAY_INVALID, "a convolution of %lld to %lld channels cannot have %lld groups", (long long)c->in,
                      (long long)c->out, (long long)groups);
    for (size_t i = 0; i < n; i++) {
        dims[2 + i] = c->kernel[i] ? c->kernel[i] : 1;
        strides[i] = c->stride[i] ? c->stride[i] : 1;
        dilations[i] = c->dilation[i] ? c->dilation[i] : 1;
    }
    b_enter(b, "%s", name);
    int weight = b_param(b, "weight", 2 + n, dims), bias = c->bias ? b_param(b, "bias", B_LIST(c->out)) : -1;
    int y = b_op(b, "Conv", B_VALUES(x, weight, bias));
    b_set_ints(b, "kernel_shape", n, dims + 2);
    b_set_ints(b, "strides", n, strides);
    b_set_ints(b, "pads", 2 * n, c->pad);
    b_set_ints(b, "dilations", n, dilations);
    b_set_int(b, "group", groups);
    b_leave(b);
    return y;
}

int b_conv2d(struct assay_builder *b, int x, const char *name, int64_t in, int64_t out, int64_t kernel, int64_t stride,
             int64_t pad, bool bias)
{
    return b_conv(b, x, name,
                  &(struct b_conv){.n_spatial = 2,
                                   .in = in,
                                   .out = out,
                                   .kernel = {kernel, kernel},
                                   .stride = {stride, stride},
                                   .pad = {pad, pad, pad, pad},
                                   .bias = bias});
}

/* ---- attention */

/* [batch, length, n * dim] or [batch, length, n, dim] in the given order of (batch, length, group, head in group, dim). */
static int split_heads(struct assay_builder *b, int x, int64_t groups, int64_t per_group, int64_t dim, size_t n,
                       const int64_t *order)
{
    return b_transpose(b, b_reshape(b, x, B_LIST(0, 0, groups, per_group, dim)), n, order);
}

/* Queries share keys and values: their groups are a dimension of the product, so that nothing is repeated in memory. */
static int grouped(struct assay_builder *b, struct b_attention *a)
{
    int64_t per_group = a->heads / a->kv_heads, d = a->head_dim;
    int q = split_heads(b, a->q, a->kv_heads, per_group, d, B_LIST(0, 2, 3, 1, 4));
    int k = b_transpose(b, b_unsqueeze(b, a->key, B_LIST(2)), B_LIST(0, 1, 2, 4, 3)), v = b_unsqueeze(b, a->value, B_LIST(2));
    int scores = b_scale(b, b_matmul(b, q, k), a->scale);
    if (a->keep >= 0)
        scores = b_where(b, a->keep, scores, b_lowest(b));
    if (a->mask >= 0)
        scores = b_add(b, scores, b_rank(b, a->mask) == 4 ? b_unsqueeze(b, a->mask, B_LIST(1)) : a->mask);
    int probabilities = b_softmax(b, scores, -1);
    int context = b_matmul(b, b_dropout(b, probabilities, a->dropout), v); /* [batch, group, head, query, dim] */
    int shape = b_concat(b, 0,
                         B_VALUES(b_size(b, probabilities, 0), b_ints(b, B_LIST(a->heads)), b_size(b, probabilities, 3),
                                  b_size(b, probabilities, 4)));
    a->probabilities = b_reshape_to(b, probabilities, shape);
    return b_reshape(b, b_transpose(b, context, B_LIST(0, 3, 1, 2, 4)), B_LIST(0, 0, a->heads * d));
}

int b_attention(struct assay_builder *b, struct b_attention *a)
{
    int64_t d = a->head_dim;
    a->kv_heads = a->kv_heads ? a->kv_heads : a->heads;
    a->scale = a->scale ? a->scale : 1 / sqrt((double)d);
    a->key = a->k;
    a->value = a->v;
    if (a->heads < 1 || a->kv_heads < 1 || d < 1 || a->heads % a->kv_heads != 0)
        return b_fail(b, ASSAY_INVALID, "%lld attention heads of %lld numbers cannot share %lld keys", (long long)a->heads,
                      (long long)d, (long long)a->kv_heads);
    if (!a->kv_ready) {
        a->key = b_transpose(b, b_reshape(b, a->k, B_LIST(0, 0, a->kv_heads, d)), B_LIST(0, 2, 1, 3));
        a->value = b_transpose(b, b_reshape(b, a->v, B_LIST(0, 0, a->kv_heads, d)), B_LIST(0, 2, 1, 3));
    }
    if (a->cached)
        b_cache(b, a->layer, a->kv_heads, d, &a->key, &a->value);
    if (a->heads != a->kv_heads)
        return grouped(b, a);
    int q = b_transpose(b, b_reshape(b, a->q, B_LIST(0, 0, a->heads, d)), B_LIST(0, 2, 1, 3));
    int scores = b_scale(b, b_matmul(b, q, b_transpose(b, a->key, B_LIST(0, 1, 3, 2))), a->scale);
    if (a->keep >= 0)
        scores = b_where(b, a->keep, scores, b_lowest(b));
    if (a->mask >= 0)
        scores = b_add(b, scores, a->mask);
    a->probabilities = b_softmax(b, scores, -1);
    int context = b_matmul(b, b_dropout(b, a->probabilities, a->dropout), a->value);
    return b_reshape(b, b_transpose(b, context, B_LIST(0, 2, 1, 3)), B_LIST(0, 0, a->heads * d));
}

int b_padding_mask(struct assay_builder *b, int attention_mask)
{
    int looks = b_unsqueeze(b, b_cast(b, attention_mask, ASSAY_F32), B_LIST(1, 2));
    return b_mul(b, b_sub(b, b_scalar(b, 1), looks), b_lowest(b));
}

int b_causal(struct assay_builder *b, int query_length, int key_length, int64_t window)
{
    int keys = b_range(b, b_int(b, 0), key_length);
    int queries = b_unsqueeze(b, b_range(b, b_sub(b, key_length, query_length), key_length), B_LIST(1));
    int allowed = b_op(b, "LessOrEqual", B_VALUES(keys, queries));
    if (window <= 0)
        return allowed;
    int near = b_op(b, "Less", B_VALUES(b_sub(b, queries, keys), b_int(b, window)));
    return b_op(b, "And", B_VALUES(allowed, near));
}

int b_causal_mask(struct assay_builder *b, int query_length, int key_length, int64_t window, int attention_mask)
{
    int allowed = b_unsqueeze(b, b_causal(b, query_length, key_length, window), B_LIST(0, 1));
    if (attention_mask >= 0) {
        int looks = b_unsqueeze(b, b_cast(b, attention_mask, ASSAY_BOOL), B_LIST(1, 2));
        allowed = b_op(b, "And", B_VALUES(allowed, looks));
    }
    return b_where(b, allowed, b_scalar(b, 0), b_lowest(b));
}

void b_rope_tables(struct assay_builder *b, int position_ids, int inverse_frequencies, double factor, int *cosine, int *sine)
{
    int positions = b_unsqueeze(b, b_cast(b, position_ids, ASSAY_F32), B_LIST(2, 3));
    int angles = b_mul(b, positions, inverse_frequencies);
    *cosine = b_scale(b, b_unary(b, "Cos", angles), factor);
    *sine = b_scale(b, b_unary(b, "Sin", angles), factor);
}

int b_rope(struct assay_builder *b, int x, int64_t dim, int cosine, int sine)
{
    int64_t half = dim / 2;
    int first = b_slice(b, x, -1, 0, half), second = b_slice(b, x, -1, half, dim);
    int low = b_sub(b, b_mul(b, first, cosine), b_mul(b, second, sine));
    int high = b_add(b, b_mul(b, second, cosine), b_mul(b, first, sine));
    return b_concat(b, -1, B_VALUES(low, high));
}
