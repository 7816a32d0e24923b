/* SPDX-License-Identifier: Apache-2.0 */
/* See emit.h. */
#include "graph/emit.h"

#include "graph/known.h"
#include "graph/op.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- errors */

int e_fail_args(struct assay_emit *e, enum assay_status status, const char *format, va_list args)
{
    char text[420];
    vsnprintf(text, sizeof text, format, args);
    if (!e->status)
        e->status = assay_error_set(e->err, status, "%s%s%s", e->scope, *e->scope ? ": " : "", text);
    return -1;
}

int e_fail(struct assay_emit *e, enum assay_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int none = e_fail_args(e, status, format, args);
    va_end(args);
    return none;
}

/* ---- constants */

static int add_constant(struct assay_emit *e, const char *name, struct assay_tensor *tensor)
{
    int value = assay_graph_add_constant(e->graph, name, tensor);
    assay_tensor_release(tensor);
    return value;
}

int e_constant(struct assay_emit *e, const char *name, const struct assay_type *type, const void *bytes)
{
    if (e->status)
        return -1;
    /* One of that name may have another precision since it was made (precision.h). */
    char other[128];
    int known = assay_graph_find(e->graph, name);
    if (known >= 0 && e->graph->values[known].constant.data && !assay_type_equal(&e->graph->values[known].type, type)) {
        snprintf(other, sizeof other, "%s %s", name, assay_dtype_word(type->dtype));
        name = other;
        known = assay_graph_find(e->graph, name);
    }
    if (known >= 0 && e->graph->values[known].constant.data)
        return known;
    struct assay_tensor tensor;
    struct assay_error err;
    if (assay_tensor_alloc(&tensor, type, &err))
        return e_fail(e, err.status, "%s", err.message);
    memcpy(tensor.data, bytes, (size_t)assay_type_bytes(type));
    return add_constant(e, name, &tensor);
}

int e_float(struct assay_emit *e, double f)
{
    float value = (float)f;
    char name[64];
    snprintf(name, sizeof name, "const/%.9g", value);
    struct assay_type type = assay_type_make(ASSAY_F32, 0, NULL);
    return e_constant(e, name, &type, &value);
}

int e_int(struct assay_emit *e, int64_t i)
{
    char name[64];
    snprintf(name, sizeof name, "const/i%lld", (long long)i);
    struct assay_type type = assay_type_make(ASSAY_I64, 0, NULL);
    return e_constant(e, name, &type, &i);
}

int e_number(struct assay_emit *e, double number, int like)
{
    enum assay_dtype dtype = e_type(e, like)->dtype;
    if (e->status || dtype == ASSAY_F32)
        return e_float(e, number);
    if (dtype == ASSAY_I64)
        return e_int(e, (int64_t)number);
    char name[64];
    snprintf(name, sizeof name, "const/%s %.17g", assay_dtype_word(dtype), number);
    int known = assay_graph_find(e->graph, name);
    if (known >= 0)
        return known;
    struct assay_type type = assay_type_make(dtype, 0, NULL);
    struct assay_tensor tensor;
    struct assay_error err;
    if (assay_tensor_alloc(&tensor, &type, &err))
        return e_fail(e, err.status, "%s", err.message);
    assay_tensor_set_real(&tensor, 0, number);
    return add_constant(e, name, &tensor);
}

int e_ints(struct assay_emit *e, size_t n, const int64_t *values)
{
    char *name = assay_arena_alloc(&e->graph->arena, 16 + n * 22), *at = name;
    at += sprintf(at, "const/[");
    for (size_t i = 0; i < n; i++)
        at += sprintf(at, "%s%lld", i ? "," : "", (long long)values[i]);
    sprintf(at, "]");
    struct assay_type type = assay_type_make(ASSAY_I64, 1, (const int64_t[]){(int64_t)n});
    return e_constant(e, name, &type, values);
}

/* ---- nodes */

static void infer(struct assay_emit *e, const struct assay_node *node)
{
    struct assay_arena scratch;
    struct assay_op_call call;
    struct assay_error err;
    assay_arena_init(&scratch);
    assay_graph_known_call(&call, e->graph, node, &scratch);
    if (!node->op)
        e_fail(e, ASSAY_UNSUPPORTED, "there is no op %s", node->type);
    else if (assay_op_infer(node->op, &call, &err))
        e_fail(e, err.status, "%s", err.message);
    for (int i = 0; i < node->n_outputs && !e->status; i++)
        if (node->outputs[i] >= 0)
            e->graph->values[node->outputs[i]].type = call.outputs[i];
    assay_arena_release(&scratch);
}

/* Types are known once attributes are set: what comes next asks for them. */
static void settle(struct assay_emit *e)
{
    const struct assay_node *node = e->open;
    e->open = NULL;
    if (node && !e->status)
        infer(e, node);
}

enum assay_status assay_emit_finish(struct assay_emit *e)
{
    settle(e);
    return e->status;
}

int e_many(struct assay_emit *e, const char *type, const char *domain, int n_inputs, const int *inputs, int n_outputs,
           int *outputs)
{
    settle(e);
    while (n_inputs > 0 && inputs[n_inputs - 1] < 0)
        n_inputs--;
    if (e->status)
        return -1;
    char name[512];
    snprintf(name, sizeof name, "%s%s%s", e->scope, *e->scope ? "/" : "", type);
    int first = -1;
    for (int i = 0; i < n_outputs; i++)
        if (outputs[i] >= 0) {
            outputs[i] = assay_graph_add_value(e->graph, name, NULL);
            first = first < 0 ? outputs[i] : first;
        }
    e->open = assay_graph_add_node(e->graph, type, domain, n_inputs, inputs, n_outputs, outputs);
    if (first >= 0)
        e->open->name = assay_arena_strdup(&e->graph->arena, e->graph->values[first].name);
    return first;
}

int e_op(struct assay_emit *e, const char *type, int n_inputs, const int *inputs)
{
    return e_many(e, type, "", n_inputs, inputs, 1, (int[]){0});
}

int e_own(struct assay_emit *e, const char *type, int n_inputs, const int *inputs)
{
    return e_many(e, type, "assay", n_inputs, inputs, 1, (int[]){0});
}

struct assay_node *e_last(struct assay_emit *e)
{
    if (e->status || e->graph->n_nodes == 0)
        return NULL;
    e->open = e->graph->nodes[e->graph->n_nodes - 1];
    return e->open;
}

void e_set_int(struct assay_emit *e, const char *name, int64_t value)
{
    struct assay_node *node = e_last(e);
    if (node)
        assay_node_set_int(e->graph, node, name, value);
}

void e_set_float(struct assay_emit *e, const char *name, double value)
{
    struct assay_node *node = e_last(e);
    if (node)
        assay_node_set_float(e->graph, node, name, (float)value);
}

void e_set_text(struct assay_emit *e, const char *name, const char *value)
{
    struct assay_node *node = e_last(e);
    if (node)
        assay_node_set_string(e->graph, node, name, value);
}

void e_set_ints(struct assay_emit *e, const char *name, size_t n, const int64_t *values)
{
    struct assay_node *node = e_last(e);
    if (node)
        assay_node_set_ints(e->graph, node, name, values, n);
}

void e_set_like(struct assay_emit *e, const struct assay_node *from)
{
    struct assay_node *node = e_last(e);
    for (int i = 0; node && i < from->n_attrs; i++) {
        const struct assay_attr *a = &from->attrs[i];
        switch (a->kind) {
        case ASSAY_ATTR_INT:
            assay_node_set_int(e->graph, node, a->name, a->i);
            break;
        case ASSAY_ATTR_FLOAT:
            assay_node_set_float(e->graph, node, a->name, a->f);
            break;
        case ASSAY_ATTR_STRING:
            assay_node_set_string_n(e->graph, node, a->name, a->s, a->n);
            break;
        case ASSAY_ATTR_INTS:
            assay_node_set_ints(e->graph, node, a->name, a->ints, a->n);
            break;
        case ASSAY_ATTR_FLOATS:
            assay_node_set_floats(e->graph, node, a->name, a->floats, a->n);
            break;
        case ASSAY_ATTR_STRINGS:
            assay_node_set_strings(e->graph, node, a->name, a->strings, a->n);
            break;
        case ASSAY_ATTR_TENSOR:
            assay_node_set_tensor(e->graph, node, a->name, &a->tensor);
            break;
        case ASSAY_ATTR_GRAPH:
            break;
        }
    }
}

const struct assay_type *e_type(struct assay_emit *e, int x)
{
    static const struct assay_type unknown = {.rank = -1};
    settle(e);
    return e->status || x < 0 ? &unknown : &e->graph->values[x].type;
}

/* ---- the common ones */

int e_unary(struct assay_emit *e, const char *type, int x) { return e_op(e, type, E_VALUES(x)); }
int e_add(struct assay_emit *e, int x, int y) { return e_op(e, "Add", E_VALUES(x, y)); }
int e_sub(struct assay_emit *e, int x, int y) { return e_op(e, "Sub", E_VALUES(x, y)); }
int e_mul(struct assay_emit *e, int x, int y) { return e_op(e, "Mul", E_VALUES(x, y)); }
int e_div(struct assay_emit *e, int x, int y) { return e_op(e, "Div", E_VALUES(x, y)); }
int e_scale(struct assay_emit *e, int x, double factor) { return factor == 1 ? x : e_mul(e, x, e_number(e, factor, x)); }
int e_matmul(struct assay_emit *e, int x, int y) { return e_op(e, "MatMul", E_VALUES(x, y)); }
int e_where(struct assay_emit *e, int condition, int x, int y) { return e_op(e, "Where", E_VALUES(condition, x, y)); }

int e_cast(struct assay_emit *e, int x, enum assay_dtype dtype)
{
    if (e_type(e, x)->dtype == dtype)
        return x;
    int y = e_op(e, "Cast", E_VALUES(x));
    e_set_int(e, "to", dtype);
    return y;
}

int e_softmax(struct assay_emit *e, int x, int64_t axis)
{
    int y = e_op(e, "Softmax", E_VALUES(x));
    e_set_int(e, "axis", axis);
    return y;
}

int e_reduce(struct assay_emit *e, const char *type, int x, bool keep, size_t n, const int64_t *axes)
{
    /* In opset 17 ReduceSum alone takes its axes as an input, from 18 on all do. */
    bool as_input = strcmp(type, "ReduceSum") == 0 || e->graph->opset >= 18;
    int y = as_input ? e_op(e, type, E_VALUES(x, e_ints(e, n, axes))) : e_op(e, type, E_VALUES(x));
    if (!as_input)
        e_set_ints(e, "axes", n, axes);
    e_set_int(e, "keepdims", keep);
    return y;
}

int e_reshape(struct assay_emit *e, int x, size_t n, const int64_t *dims) { return e_reshape_to(e, x, e_ints(e, n, dims)); }
int e_reshape_to(struct assay_emit *e, int x, int shape) { return e_op(e, "Reshape", E_VALUES(x, shape)); }

/* The dimensions as a constant. */
static int shape_of(struct assay_emit *e, int like)
{
    const struct assay_type *type = e_type(e, like);
    if (e->status)
        return -1;
    if (!assay_type_is_known(type))
        return e_fail(e, ASSAY_UNSUPPORTED, "the shape of '%s' must be known: give each free dimension a size",
                      e->graph->values[like].name);
    return e_ints(e, (size_t)type->rank, type->dims);
}

int e_reshape_like(struct assay_emit *e, int x, int like)
{
    struct assay_type wanted = *e_type(e, like), have = *e_type(e, x);
    have.dtype = wanted.dtype;
    return assay_type_equal(&have, &wanted) ? x : e_reshape_to(e, x, shape_of(e, like));
}

int e_transpose(struct assay_emit *e, int x, size_t n, const int64_t *order)
{
    int y = e_op(e, "Transpose", E_VALUES(x));
    e_set_ints(e, "perm", n, order);
    return y;
}

int e_transpose_last(struct assay_emit *e, int x)
{
    int rank = e_type(e, x)->rank;
    int64_t order[ASSAY_MAX_RANK];
    if (e->status)
        return -1;
    if (rank < 2)
        return e_fail(e, ASSAY_INVALID, "a transpose of the last two dimensions needs two");
    for (int d = 0; d < rank; d++)
        order[d] = d < rank - 2 ? d : 2 * rank - 3 - d;
    return e_transpose(e, x, (size_t)rank, order);
}

int e_concat(struct assay_emit *e, int64_t axis, int n, const int *values)
{
    int y = e_op(e, "Concat", n, values);
    e_set_int(e, "axis", axis);
    return y;
}

int e_slice(struct assay_emit *e, int x, int64_t axis, int64_t start, int64_t end)
{
    return e_op(e, "Slice", E_VALUES(x, e_ints(e, E_INTS(start)), e_ints(e, E_INTS(end)), e_ints(e, E_INTS(axis))));
}

int e_gather(struct assay_emit *e, int x, int64_t axis, int indices)
{
    int y = e_op(e, "Gather", E_VALUES(x, indices));
    e_set_int(e, "axis", axis);
    return y;
}

int e_unsqueeze(struct assay_emit *e, int x, size_t n, const int64_t *axes)
{
    return e_op(e, "Unsqueeze", E_VALUES(x, e_ints(e, n, axes)));
}

int e_squeeze(struct assay_emit *e, int x, size_t n, const int64_t *axes)
{
    return e_op(e, "Squeeze", E_VALUES(x, e_ints(e, n, axes)));
}

int e_expand(struct assay_emit *e, int x, int shape) { return e_op(e, "Expand", E_VALUES(x, shape)); }

int e_expand_like(struct assay_emit *e, int x, int like)
{
    struct assay_type wanted = *e_type(e, like), have = *e_type(e, x);
    have.dtype = wanted.dtype;
    return assay_type_equal(&have, &wanted) ? x : e_expand(e, x, shape_of(e, like));
}

int e_full(struct assay_emit *e, double number, int like) { return e_expand_like(e, e_number(e, number, like), like); }
