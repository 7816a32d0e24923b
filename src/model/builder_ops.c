/* SPDX-License-Identifier: Apache-2.0 */
/* See builder.h: constants, ops, shapes. */
#include "model/builder.h"

#include "graph/known.h"
#include "graph/op.h"

#include <float.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- constants */

/* Made once: the name tells the contents. */
static int constant(struct assay_builder *b, const char *name, const struct assay_type *type, const void *bytes)
{
    if (b->status)
        return -1;
    int known = assay_graph_find(b->graph, name);
    if (known >= 0)
        return known;
    struct assay_tensor tensor;
    struct assay_error err;
    if (assay_tensor_alloc(&tensor, type, &err))
        return b_fail(b, err.status, "%s", err.message);
    memcpy(tensor.data, bytes, (size_t)assay_type_bytes(type));
    int value = assay_graph_add_constant(b->graph, name, &tensor);
    assay_tensor_release(&tensor);
    return value;
}

int b_scalar(struct assay_builder *b, double f)
{
    float value = (float)f;
    char name[64];
    snprintf(name, sizeof name, "const/%.9g", value);
    struct assay_type type = assay_type_make(ASSAY_F32, 0, NULL);
    return constant(b, name, &type, &value);
}

int b_lowest(struct assay_builder *b) { return b_scalar(b, -FLT_MAX); }

int b_int(struct assay_builder *b, int64_t i)
{
    char name[64];
    snprintf(name, sizeof name, "const/i%lld", (long long)i);
    struct assay_type type = assay_type_make(ASSAY_I64, 0, NULL);
    return constant(b, name, &type, &i);
}

int b_ints(struct assay_builder *b, size_t n, const int64_t *values)
{
    const char *name = "const/[";
    for (size_t i = 0; i < n; i++)
        name = assay_arena_printf(&b->arena, "%s%s%lld", name, i ? "," : "", (long long)values[i]);
    name = assay_arena_printf(&b->arena, "%s]", name);
    struct assay_type type = assay_type_make(ASSAY_I64, 1, (const int64_t[]){(int64_t)n});
    return constant(b, name, &type, values);
}

int b_floats(struct assay_builder *b, const char *name, size_t rank, const int64_t *dims, const float *values)
{
    struct assay_type type = assay_type_make(ASSAY_F32, (int)rank, dims);
    return constant(b, assay_arena_printf(&b->arena, "%s/%s", *b->scope ? b->scope : "const", name), &type, values);
}

/* ---- nodes */

static void infer(struct assay_builder *b, const struct assay_node *node)
{
    struct assay_arena scratch;
    struct assay_op_call call;
    struct assay_error err;
    assay_arena_init(&scratch);
    assay_graph_known_call(&call, b->graph, node, &scratch);
    if (!node->op)
        b_fail(b, ASSAY_UNSUPPORTED, "there is no op %s", node->type);
    else if (assay_op_infer(node->op, &call, &err))
        b_fail(b, err.status, "%s", err.message);
    for (int i = 0; i < node->n_outputs && !b->status; i++)
        b->graph->values[node->outputs[i]].type = call.outputs[i];
    assay_arena_release(&scratch);
}

/* Types are known once attributes are set: what comes next asks for them. */
static void settle(struct assay_builder *b)
{
    if (b->graph->n_nodes == 0 || b->status)
        return;
    const struct assay_node *node = b->graph->nodes[b->graph->n_nodes - 1];
    if (b->graph->values[node->outputs[0]].type.rank < 0)
        infer(b, node);
}

static int add_node(struct assay_builder *b, const char *type, int n_inputs, const int *inputs, int n_outputs, int *outputs)
{
    settle(b);
    while (n_inputs > 0 && inputs[n_inputs - 1] < 0)
        n_inputs--;
    if (b->status)
        return -1;
    const char *name = assay_arena_printf(&b->arena, "%s/%s", b->scope, type);
    for (int i = 0; i < n_outputs; i++)
        outputs[i] = assay_graph_add_value(b->graph, name, NULL);
    struct assay_node *node = assay_graph_add_node(b->graph, type, "", n_inputs, inputs, n_outputs, outputs);
    node->name = assay_arena_strdup(&b->graph->arena, b->graph->values[outputs[0]].name);
    return outputs[0];
}

int b_op(struct assay_builder *b, const char *type, int n_inputs, const int *inputs)
{
    int output;
    return add_node(b, type, n_inputs, inputs, 1, &output);
}

void b_op_many(struct assay_builder *b, const char *type, int n_inputs, const int *inputs, int n_outputs, int *outputs)
{
    for (int i = 0; i < n_outputs; i++)
        outputs[i] = -1;
    add_node(b, type, n_inputs, inputs, n_outputs, outputs);
}

struct assay_node *b_last(struct assay_builder *b)
{
    if (!b->status && b->graph->n_nodes > 0)
        return b->graph->nodes[b->graph->n_nodes - 1];
    return assay_arena_alloc(&b->arena, sizeof(struct assay_node));
}

void b_set_int(struct assay_builder *b, const char *name, int64_t value) { assay_node_set_int(b->graph, b_last(b), name, value); }

void b_set_float(struct assay_builder *b, const char *name, double value)
{
    assay_node_set_float(b->graph, b_last(b), name, (float)value);
}

void b_set_text(struct assay_builder *b, const char *name, const char *value)
{
    assay_node_set_string(b->graph, b_last(b), name, value);
}

void b_set_ints(struct assay_builder *b, const char *name, size_t n, const int64_t *values)
{
    assay_node_set_ints(b->graph, b_last(b), name, values, n);
}

int b_split(struct assay_builder *b, int x, int64_t axis, size_t n, const int64_t *sizes, int *parts)
{
    int lengths = b_ints(b, n, sizes), inputs[] = {x, lengths};
    for (size_t i = 0; i < n; i++)
        parts[i] = -1;
    int first = add_node(b, "Split", 2, inputs, (int)n, parts);
    b_set_int(b, "axis", axis);
    return first;
}

int b_unary(struct assay_builder *b, const char *type, int x) { return b_op(b, type, B_VALUES(x)); }
int b_add(struct assay_builder *b, int x, int y) { return b_op(b, "Add", B_VALUES(x, y)); }
int b_sub(struct assay_builder *b, int x, int y) { return b_op(b, "Sub", B_VALUES(x, y)); }
int b_mul(struct assay_builder *b, int x, int y) { return b_op(b, "Mul", B_VALUES(x, y)); }
int b_div(struct assay_builder *b, int x, int y) { return b_op(b, "Div", B_VALUES(x, y)); }
int b_scale(struct assay_builder *b, int x, double factor) { return factor == 1 ? x : b_mul(b, x, b_scalar(b, factor)); }
int b_matmul(struct assay_builder *b, int x, int y) { return b_op(b, "MatMul", B_VALUES(x, y)); }
int b_where(struct assay_builder *b, int condition, int x, int y) { return b_op(b, "Where", B_VALUES(condition, x, y)); }

int b_cast(struct assay_builder *b, int x, enum assay_dtype dtype)
{
    if (b_dtype(b, x) == dtype)
        return x;
    int y = b_op(b, "Cast", B_VALUES(x));
    b_set_int(b, "to", dtype);
    return y;
}

int b_softmax(struct assay_builder *b, int x, int64_t axis)
{
    int y = b_op(b, "Softmax", B_VALUES(x));
    b_set_int(b, "axis", axis);
    return y;
}

int b_reduce(struct assay_builder *b, const char *type, int x, bool keep, size_t n, const int64_t *axes)
{
    /* In opset 17 ReduceSum alone takes its axes as an input. */
    bool as_input = strcmp(type, "ReduceSum") == 0;
    int y = as_input ? b_op(b, type, B_VALUES(x, b_ints(b, n, axes))) : b_op(b, type, B_VALUES(x));
    if (!as_input)
        b_set_ints(b, "axes", n, axes);
    b_set_int(b, "keepdims", keep);
    return y;
}

int b_l2_normalize(struct assay_builder *b, int x) { return b_div(b, x, b_reduce(b, "ReduceL2", x, true, B_LIST(-1))); }

int b_argmax(struct assay_builder *b, int x, int64_t axis)
{
    int y = b_op(b, "ArgMax", B_VALUES(x));
    b_set_int(b, "axis", axis);
    b_set_int(b, "keepdims", 0);
    return y;
}

/* ---- shapes */

static const struct assay_type *type_of(const struct assay_builder *b, int x)
{
    static const struct assay_type unknown = {.rank = -1};
    settle((struct assay_builder *)b);
    return b->status || x < 0 ? &unknown : &b->graph->values[x].type;
}

int b_rank(const struct assay_builder *b, int x) { return type_of(b, x)->rank; }
enum assay_dtype b_dtype(const struct assay_builder *b, int x) { return type_of(b, x)->dtype; }

int64_t b_dim(const struct assay_builder *b, int x, int axis)
{
    const struct assay_type *type = type_of(b, x);
    axis += axis < 0 ? type->rank : 0;
    return axis >= 0 && axis < type->rank ? type->dims[axis] : -1;
}

int b_size(struct assay_builder *b, int x, int64_t axis)
{
    int64_t rank = b_rank(b, x);
    int y = b_op(b, "Shape", B_VALUES(x));
    axis += axis < 0 && rank >= 0 ? rank : 0;
    b_set_int(b, "start", axis);
    b_set_int(b, "end", axis + 1);
    return y;
}

int b_size_scalar(struct assay_builder *b, int x, int64_t axis) { return b_squeeze(b, b_size(b, x, axis), B_LIST(0)); }

int b_reshape(struct assay_builder *b, int x, size_t n, const int64_t *dims) { return b_reshape_to(b, x, b_ints(b, n, dims)); }

int b_reshape_to(struct assay_builder *b, int x, int shape) { return b_op(b, "Reshape", B_VALUES(x, shape)); }

int b_transpose(struct assay_builder *b, int x, size_t n, const int64_t *order)
{
    int y = b_op(b, "Transpose", B_VALUES(x));
    b_set_ints(b, "perm", n, order);
    return y;
}

int b_concat(struct assay_builder *b, int64_t axis, int n, const int *values)
{
    int y = b_op(b, "Concat", n, values);
    b_set_int(b, "axis", axis);
    return y;
}

int b_slice(struct assay_builder *b, int x, int64_t axis, int64_t start, int64_t end)
{
    return b_op(b, "Slice", B_VALUES(x, b_ints(b, B_LIST(start)), b_ints(b, B_LIST(end)), b_ints(b, B_LIST(axis))));
}

int b_gather(struct assay_builder *b, int x, int64_t axis, int indices)
{
    int y = b_op(b, "Gather", B_VALUES(x, indices));
    b_set_int(b, "axis", axis);
    return y;
}

int b_take(struct assay_builder *b, int x, int64_t axis, int64_t index) { return b_gather(b, x, axis, b_int(b, index)); }

int b_unsqueeze(struct assay_builder *b, int x, size_t n, const int64_t *axes)
{
    return b_op(b, "Unsqueeze", B_VALUES(x, b_ints(b, n, axes)));
}

int b_squeeze(struct assay_builder *b, int x, size_t n, const int64_t *axes)
{
    return b_op(b, "Squeeze", B_VALUES(x, b_ints(b, n, axes)));
}

int b_expand(struct assay_builder *b, int x, int shape) { return b_op(b, "Expand", B_VALUES(x, shape)); }

int b_expand_batch(struct assay_builder *b, int x, int like)
{
    int n_others = b_rank(b, x) - 1;
    static const int64_t ones[ASSAY_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    if (b->status || n_others < 0)
        return b_fail(b, ASSAY_INVALID, "what is repeated over a batch must have a known rank above 0");
    return b_expand(b, x, b_concat(b, 0, B_VALUES(b_size(b, like, 0), b_ints(b, (size_t)n_others, ones))));
}

int b_range(struct assay_builder *b, int start, int limit) { return b_op(b, "Range", B_VALUES(start, limit, b_int(b, 1))); }
