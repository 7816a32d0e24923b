/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops of the domain "assay", which passes make (graph/pass.h) and no file brings:
 *
 *     Linear(x [.., k], weight [k, n], bias [n]?, residual [.., n]?, scale?) -> y [.., n]
 *         y = activation(x · weight + bias + residual); trans_weight = 1: the weight is [n, k]. With a scale, the weight is what
 *         DequantizeLinear makes of the two under the attributes axis and block_size.
 *     Conv(x, w, b?, residual?) -> y
 *         y = activation(Conv(x, w, b) + residual), with Conv's attributes.
 *     Fused(x₀, x₁ …) -> y
 *         what the graph in the attribute body makes of them: elementwise ops, one output; inputs broadcast as in its nodes.
 *
 * A residual is added as by Add: in all that passes make of real models it has the shape of what it is added to, but where
 * dimensions are open nobody can know, and it is broadcast, or broadcasts, if it turns out otherwise.
 * activation: "" (none), Relu, Gelu, GeluTanh, Swish (alpha), Sigmoid, Tanh, HardSwish, Clip (alpha to beta), LeakyRelu (alpha).
 */
#include "graph/ops/gemm.h"
#include "graph/ops/util.h"

#include <math.h>
#include <string.h>

/* ---- activations */

static double identity(double x, double a, double b)
{
    (void)a, (void)b;
    return x;
}
static double relu(double x, double a, double b)
{
    (void)a, (void)b;
    return x < 0 ? 0 : x;
}
static double gelu(double x, double a, double b)
{
    (void)a, (void)b;
    return 0.5 * x * erfc(-x * M_SQRT1_2);
}
static double gelu_tanh(double x, double a, double b)
{
    (void)a, (void)b;
    return 0.5 * x * (1 + tanh(M_SQRT2 * 0.5 * M_2_SQRTPI * (x + 0.044715 * x * x * x)));
}
static double swish(double x, double a, double b)
{
    (void)b;
    return x / (1 + exp(-a * x));
}
static double sigmoid(double x, double a, double b)
{
    (void)a, (void)b;
    return 1 / (1 + exp(-x));
}
static double hyperbolic_tangent(double x, double a, double b)
{
    (void)a, (void)b;
    return tanh(x);
}
static double hard_swish(double x, double a, double b)
{
    (void)a, (void)b;
    double gate = x / 6 + 0.5;
    return x * (gate < 0 ? 0 : gate > 1 ? 1 : gate);
}
static double clip(double x, double a, double b) { return x < a ? a : x > b ? b : x; }
static double leaky_relu(double x, double a, double b)
{
    (void)b;
    return x < 0 ? a * x : x;
}

typedef double activation(double x, double a, double b);
static const struct {
    const char *name;
    activation *function;
} activations[] = {
    {"", identity},
    {"Relu", relu},
    {"Gelu", gelu},
    {"GeluTanh", gelu_tanh},
    {"Swish", swish},
    {"Sigmoid", sigmoid},
    {"Tanh", hyperbolic_tangent},
    {"HardSwish", hard_swish},
    {"Clip", clip},
    {"LeakyRelu", leaky_relu},
};

static activation *find_activation(const struct assay_node *node, struct assay_error *err)
{
    const char *name = assay_node_string(node, "activation", "");
    for (size_t i = 0; i < ASSAY_COUNT(activations); i++)
        if (strcmp(activations[i].name, name) == 0)
            return activations[i].function;
    assay_error_set(err, ASSAY_INVALID, "there is no activation '%s'", name);
    return NULL;
}

static const struct assay_type *residual_type(const struct assay_op_call *call)
{
    return assay_rule_has_input(call, 3) ? &call->inputs[3] : NULL;
}

/* The rule of what follows `y`, which is the product's type. */
static enum assay_status infer_finish(const struct assay_op_call *call, struct assay_type *y, struct assay_error *err)
{
    const struct assay_type *residual = residual_type(call);
    if (!find_activation(call->node, err))
        return ASSAY_INVALID;
    enum assay_status st = residual ? assay_rule_same_dtype(call, 0, 3, err) : ASSAY_OK;
    return st || !residual ? st : assay_rule_broadcast(y, residual, y, err);
}

/* y = activation(made + residual); made may be y itself. */
static enum assay_status finish(struct assay_op_call *call, const struct assay_tensor *made, struct assay_error *err)
{
    const struct assay_node *node = call->node;
    const struct assay_type *residual = residual_type(call);
    activation *f = find_activation(node, err);
    if (!f)
        return ASSAY_INVALID;
    struct assay_tensor *y = &call->results[0];
    const struct assay_type *types[] = {&y->type, &made->type, residual};
    const float *from = made->data, *add = residual ? call->data[3]->data : NULL;
    float *to = y->data;
    double a = (double)assay_node_float(node, "alpha", 1), b = (double)assay_node_float(node, "beta", 0);
    struct assay_walk w;
    for (assay_walk_broadcast(&w, &y->type, residual ? 3 : 2, types); w.more; assay_walk_next(&w))
        for (int64_t i = 0; i < w.n; i++) {
            double x = (double)from[w.offset[1] + i * w.step[1]];
            x += add ? (double)add[w.offset[2] + i * w.step[2]] : 0;
            to[w.offset[0] + i * w.step[0]] = (float)f(x, a, b);
        }
    return ASSAY_OK;
}

/* Where the product goes: y, or a tensor of its own if the residual is larger than it. */
static enum assay_status make_product(struct assay_op_call *call, const struct assay_type *type, struct assay_tensor *made,
                                      struct assay_error *err)
{
    if (!assay_type_equal(type, &call->results[0].type))
        return assay_tensor_alloc(made, type, err);
    assay_tensor_share(made, &call->results[0]);
    return ASSAY_OK;
}

/* ---- Linear */

/* DequantizeLinear as the node's codes and scales see it. */
static const struct assay_op *dequantize(const struct assay_op_call *call, struct assay_op_call *inner, struct assay_type *inputs)
{
    *inner = *call;
    inputs[0] = call->inputs[1];
    inputs[1] = call->inputs[4];
    inner->inputs = inputs;
    inner->n_inputs = 2;
    return assay_op_find("", "DequantizeLinear");
}

static enum assay_status infer_weight(const struct assay_op_call *call, struct assay_error *err)
{
    struct assay_op_call inner;
    struct assay_type inputs[2], weight = assay_type_unknown(ASSAY_NO_DTYPE);
    const struct assay_op *op = dequantize(call, &inner, inputs);
    inner.outputs = &weight;
    return op->infer(&inner, err);
}

/* The weight in f32: shared, or made. */
static enum assay_status take_weight(const struct assay_op_call *call, struct assay_tensor *weight, struct assay_error *err)
{
    if (!assay_rule_has_input(call, 4)) {
        assay_tensor_share(weight, call->data[1]);
        return ASSAY_OK;
    }
    struct assay_op_call inner;
    struct assay_type inputs[2], type = call->inputs[1];
    const struct assay_tensor *data[] = {call->data[1], call->data[4]};
    const struct assay_op *op = dequantize(call, &inner, inputs);
    type.dtype = ASSAY_F32;
    enum assay_status st = assay_tensor_alloc(weight, &type, err);
    inner.data = data;
    inner.results = weight;
    inner.outputs = &type;
    return st ? st : op->run(&inner, err);
}

static enum assay_status infer_linear(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *x = &call->inputs[0], *w = &call->inputs[1];
    struct assay_type *y = &call->outputs[0];
    int transposed = assay_node_int(call->node, "trans_weight", 0) != 0;
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT16 | ASSAY_DTYPE_BIT(ASSAY_F32), err);
    if (!st && assay_rule_has_input(call, 4))
        st = infer_weight(call, err);
    else if (!st)
        st = assay_rule_same_dtype(call, 0, 1, err);
    if (!st)
        st = assay_rule_rank(call, 1, 2, 2, err);
    if (st)
        return st;
    *y = *x;
    if (x->rank == 0)
        return assay_error_set(err, ASSAY_INVALID, "a scalar is no matrix");
    if (x->rank < 0)
        return ASSAY_OK;
    int64_t k = x->dims[x->rank - 1], n = w->rank == 2 ? w->dims[!transposed] : -1;
    y->dims[y->rank - 1] = n;
    if (w->rank == 2)
        st = assay_rule_merge_dim(&k, w->dims[transposed], "the inner dimension of the product", err);
    if (!st && assay_rule_has_input(call, 2) && call->inputs[2].rank >= 0) {
        st = assay_rule_rank(call, 2, 1, 1, err);
        if (!st)
            st = assay_rule_merge_dim(&n, call->inputs[2].dims[0], "the length of the bias", err);
    }
    return st ? st : infer_finish(call, y, err);
}

static enum assay_status run_linear(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0], *w = call->data[1];
    struct assay_tensor weight = {0};
    bool transposed = assay_node_int(call->node, "trans_weight", 0) != 0;
    int64_t k = w->type.dims[transposed], n = w->type.dims[!transposed];
    struct assay_type type = x->type;
    struct assay_tensor y = {0};
    type.dims[type.rank - 1] = n;
    if (assay_tensor_count(&call->results[0]) == 0)
        return ASSAY_OK;
    enum assay_status st = take_weight(call, &weight, err);
    if (!st)
        st = make_product(call, &type, &y, err);
    if (st)
        goto done;
    struct assay_gemm g = {
        .a_type = ASSAY_F32,
        .b_type = ASSAY_F32,
        .m = assay_type_count(&type) / n,
        .n = n,
        .k = k,
        .alpha = 1,
        .a = {.data = x->data, .row_stride = k, .column_stride = 1},
        .b = {.data = weight.data, .row_stride = transposed ? 1 : n, .column_stride = transposed ? k : 1},
        .c = y.data,
        .c_row_stride = n,
    };
    if (call->n_inputs > 2 && call->data[2]) {
        g.add = (struct assay_matrix){.data = call->data[2]->data, .row_stride = 0, .column_stride = 1};
        g.beta = 1;
    }
    st = assay_gemm_run(&g, err);
    if (!st)
        st = finish(call, &y, err);
done:
    assay_tensor_release(&y);
    assay_tensor_release(&weight);
    return st;
}

static void cost_linear(const struct assay_op_call *call, struct assay_cost *cost)
{
    const struct assay_type *x = &call->inputs[0];
    cost->flops = 2 * (double)assay_type_count(&call->outputs[0]) * (double)x->dims[x->rank - 1];
}

/* ---- Conv */

/* ONNX's op and what it sees of the call. */
static const struct assay_op *plain_conv(const struct assay_op_call *call, struct assay_op_call *inner)
{
    *inner = *call;
    inner->n_inputs = call->n_inputs < 3 ? call->n_inputs : 3;
    return assay_op_find("", "Conv");
}

static enum assay_status infer_conv(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_op_call inner;
    enum assay_status st = plain_conv(call, &inner)->infer(&inner, err);
    return st ? st : infer_finish(call, &call->outputs[0], err);
}

static enum assay_status run_conv(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_op_call inner;
    const struct assay_op *conv = plain_conv(call, &inner);
    struct assay_type type = assay_type_unknown(ASSAY_NO_DTYPE);
    struct assay_tensor made = {0};
    inner.outputs = &type;
    enum assay_status st = conv->infer(&inner, err);
    if (!st)
        st = make_product(call, &type, &made, err);
    inner.results = &made;
    if (!st)
        st = conv->run(&inner, err);
    if (!st)
        st = finish(call, &made, err);
    assay_tensor_release(&made);
    return st;
}

static void cost_conv(const struct assay_op_call *call, struct assay_cost *cost)
{
    struct assay_op_call inner;
    plain_conv(call, &inner)->cost(&inner, cost);
}

/* ---- Fused */

/* The body's nodes in order, over types or over tensors. */
struct body_run {
    struct assay_graph *body;
    struct assay_type *types;     /* [n_values] */
    struct assay_tensor *tensors; /* [n_values], NULL while only types count */
    struct assay_arena *scratch;
};

static enum assay_status run_node(const struct body_run *r, const struct assay_node *node, struct assay_error *err)
{
    size_t n = (size_t)node->n_inputs;
    const struct assay_tensor **data = assay_arena_array(r->scratch, n, sizeof *data);
    struct assay_type *inputs = assay_arena_array(r->scratch, n, sizeof *inputs), output = assay_type_unknown(ASSAY_NO_DTYPE);
    struct assay_tensor result = {0};
    for (size_t k = 0; k < n; k++) {
        int value = node->inputs[k];
        inputs[k] = value >= 0 ? r->types[value] : assay_type_unknown(ASSAY_NO_DTYPE);
        const struct assay_tensor *constant = value >= 0 ? &r->body->values[value].constant : NULL;
        data[k] = value >= 0 && r->tensors ? &r->tensors[value] : constant && constant->data ? constant : NULL;
    }
    struct assay_op_call call = {.node = node,
                                 .opset = r->body->opset,
                                 .n_inputs = node->n_inputs,
                                 .n_outputs = 1,
                                 .inputs = inputs,
                                 .data = data,
                                 .outputs = &output,
                                 .results = &result,
                                 .scratch = r->scratch};
    if (!node->op || node->n_outputs != 1 || node->outputs[0] < 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its body has a node '%s' that is not elementwise", node->type);
    enum assay_status st = r->tensors ? assay_op_run(node->op, &call, err) : assay_op_infer(node->op, &call, err);
    if (st)
        return st;
    r->types[node->outputs[0]] = r->tensors ? result.type : output;
    if (r->tensors)
        r->tensors[node->outputs[0]] = result;
    return ASSAY_OK;
}

static enum assay_status run_body(struct assay_op_call *call, struct body_run *r, struct assay_error *err)
{
    r->body = assay_node_graph(call->node, "body");
    r->scratch = call->scratch;
    if (!r->body || r->body->n_inputs != call->n_inputs || r->body->n_outputs != 1)
        return assay_error_set(err, ASSAY_INVALID, "its body does not have its %d inputs and one output", call->n_inputs);
    r->types = assay_arena_array(r->scratch, (size_t)r->body->n_values, sizeof *r->types);
    for (int v = 0; v < r->body->n_values; v++) {
        const struct assay_tensor *constant = &r->body->values[v].constant;
        r->types[v] = constant->data ? constant->type : assay_type_unknown(ASSAY_NO_DTYPE);
        if (r->tensors && constant->data)
            assay_tensor_share(&r->tensors[v], constant);
    }
    for (int k = 0; k < call->n_inputs; k++) {
        int value = r->body->inputs[k];
        r->types[value] = call->inputs[k];
        if (r->tensors)
            assay_tensor_share(&r->tensors[value], call->data[k]);
    }
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < r->body->n_nodes && !st; i++)
        st = run_node(r, r->body->nodes[i], err);
    return st;
}

static enum assay_status infer_fused(struct assay_op_call *call, struct assay_error *err)
{
    struct body_run r = {0};
    enum assay_status st = assay_rule_all_given(call, 0, err);
    if (!st)
        st = run_body(call, &r, err);
    if (!st)
        call->outputs[0] = r.types[r.body->outputs[0]];
    return st;
}

static enum assay_status run_fused(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_graph *body = assay_node_graph(call->node, "body");
    struct body_run r = {.tensors = assay_arena_array(call->scratch, (size_t)body->n_values, sizeof *r.tensors)};
    enum assay_status st = run_body(call, &r, err);
    if (!st) {
        assay_tensor_release(&call->results[0]);
        assay_tensor_share(&call->results[0], &r.tensors[body->outputs[0]]);
    }
    for (int v = 0; v < body->n_values; v++)
        assay_tensor_release(&r.tensors[v]);
    return st;
}

static void cost_fused(const struct assay_op_call *call, struct assay_cost *cost)
{
    const struct assay_graph *body = assay_node_graph(call->node, "body");
    cost->flops = (double)assay_type_count(&call->outputs[0]) * (body ? body->n_nodes : 1);
}

const struct assay_op assay_ops_fused[] = {
    {"Linear", "assay", 2, 5, ASSAY_OP_VIA_F32 | ASSAY_OP_TAKES_4_BITS, infer_linear, run_linear, cost_linear},
    {"Conv", "assay", 2, 4, ASSAY_OP_VIA_F32, infer_conv, run_conv, cost_conv},
    {"Fused", "assay", 1, -1, ASSAY_OP_VIEW, infer_fused, run_fused, cost_fused},
    {0},
};
