/* SPDX-License-Identifier: Apache-2.0 */
/* See util.h. */
#include "graph/ops/util.h"

#include <inttypes.h>

bool assay_rule_has_input(const struct assay_op_call *call, int i) { return i < call->n_inputs && call->node->inputs[i] >= 0; }

bool assay_rule_has_output(const struct assay_op_call *call, int i) { return i < call->n_outputs && call->node->outputs[i] >= 0; }

enum assay_status assay_rule_all_given(const struct assay_op_call *call, int first, struct assay_error *err)
{
    for (int i = first; i < call->n_inputs; i++)
        if (!assay_rule_has_input(call, i))
            return assay_error_set(err, ASSAY_INVALID, "input %d is not given", i);
    return ASSAY_OK;
}

const struct assay_tensor *assay_rule_data(const struct assay_op_call *call, int i)
{
    return i < call->n_inputs ? call->data[i] : NULL;
}

enum assay_status assay_rule_dtype(const struct assay_op_call *call, int i, unsigned set, struct assay_error *err)
{
    if (i >= call->n_inputs)
        return ASSAY_OK;
    enum assay_dtype dtype = call->inputs[i].dtype;
    if (dtype == ASSAY_NO_DTYPE || (set & ASSAY_DTYPE_BIT(dtype)))
        return ASSAY_OK;
    return assay_error_set(err, ASSAY_UNSUPPORTED, "input %d of dtype %s is not supported", i, assay_dtype_word((int)dtype));
}

enum assay_status assay_rule_dtypes(const struct assay_op_call *call, size_t n, const int *inputs, unsigned set,
                                    struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (size_t i = 0; i < n && !st; i++)
        st = assay_rule_dtype(call, inputs[i], set, err);
    return st;
}

enum assay_status assay_rule_same_dtype(const struct assay_op_call *call, int i, int j, struct assay_error *err)
{
    if (i >= call->n_inputs || j >= call->n_inputs)
        return ASSAY_OK;
    enum assay_dtype a = call->inputs[i].dtype, b = call->inputs[j].dtype;
    if (a == ASSAY_NO_DTYPE || b == ASSAY_NO_DTYPE || a == b)
        return ASSAY_OK;
    return assay_error_set(err, ASSAY_INVALID, "inputs %d and %d must have one dtype, but are %s and %s", i, j,
                           assay_dtype_word((int)a), assay_dtype_word((int)b));
}

enum assay_status assay_rule_rank(const struct assay_op_call *call, int i, int low, int high, struct assay_error *err)
{
    if (i >= call->n_inputs)
        return ASSAY_OK;
    int rank = call->inputs[i].rank;
    if (rank < 0 || (rank >= low && rank <= high))
        return ASSAY_OK;
    if (low == high)
        return assay_error_set(err, ASSAY_INVALID, "input %d must have rank %d, but has %d", i, low, rank);
    return assay_error_set(err, ASSAY_INVALID, "input %d must have a rank from %d to %d, but has %d", i, low, high, rank);
}

enum assay_status assay_rule_dtype_attr(const struct assay_op_call *call, const char *name, enum assay_dtype otherwise,
                                        unsigned set, enum assay_dtype *dtype, struct assay_error *err)
{
    int64_t number = assay_node_int(call->node, name, otherwise);
    *dtype = ASSAY_NO_DTYPE;
    if (number == ASSAY_NO_DTYPE && otherwise == ASSAY_NO_DTYPE)
        return ASSAY_OK;
    if (number > 0 && number < 32 && (set & ASSAY_DTYPE_BIT((unsigned)number))) {
        *dtype = (enum assay_dtype)number;
        return ASSAY_OK;
    }
    return assay_error_set(err, ASSAY_UNSUPPORTED, "%s = %" PRId64 " (%s) is not supported", name, number,
                           assay_dtype_word(number > 0 && number < 64 ? (int)number : 0));
}

enum assay_status assay_rule_axis(int64_t axis, int rank, int *normalised, struct assay_error *err)
{
    *normalised = 0;
    if (axis < -rank || axis >= rank)
        return assay_error_set(err, ASSAY_INVALID, "axis %" PRId64 " does not exist in a tensor of rank %d", axis, rank);
    *normalised = (int)(axis < 0 ? axis + rank : axis);
    return ASSAY_OK;
}

enum assay_status assay_rule_axes(const int64_t *axes, size_t n, int rank, unsigned *mask, struct assay_error *err)
{
    *mask = 0;
    for (size_t i = 0; i < n; i++) {
        int axis = 0;
        enum assay_status st = assay_rule_axis(axes[i], rank, &axis, err);
        if (st)
            return st;
        if (*mask >> axis & 1)
            return assay_error_set(err, ASSAY_INVALID, "axis %d is named twice", axis);
        *mask |= 1u << axis;
    }
    return ASSAY_OK;
}

enum assay_status assay_rule_ints(const struct assay_tensor *tensor, int64_t *values, size_t room, size_t *n,
                                  struct assay_error *err)
{
    *n = 0;
    const struct assay_type *type = &tensor->type;
    if (!(ASSAY_DTYPE_BIT(type->dtype) & ASSAY_SET_INDEX) || type->rank > 1)
        return assay_error_set(err, ASSAY_INVALID, "a list of integers must be i32 or i64 of rank 1, but is %s of rank %d",
                               assay_dtype_word((int)type->dtype), type->rank);
    int64_t count = assay_tensor_count(tensor);
    if (count < 0 || (uint64_t)count > room)
        return assay_error_set(err, ASSAY_INVALID, "a list of %" PRId64 " integers is longer than the %zu that make sense", count,
                               room);
    for (int64_t i = 0; i < count; i++)
        values[i] = assay_tensor_int(tensor, i);
    *n = (size_t)count;
    return ASSAY_OK;
}

enum assay_status assay_rule_ints_of(const struct assay_op_call *call, const char *name, int i, int64_t *values, size_t room,
                                     size_t *n, bool *given, bool *known, struct assay_error *err)
{
    const int64_t *listed = assay_node_ints(call->node, name, n);
    *given = *known = true;
    if (listed) {
        if (*n > room)
            return assay_error_set(err, ASSAY_INVALID, "attribute %s has %zu numbers, more than the %zu that make sense", name,
                                   *n, room);
        memcpy(values, listed, *n * sizeof *values);
        return ASSAY_OK;
    }
    *n = 0;
    if (assay_node_attr(call->node, name) && assay_node_attr(call->node, name)->kind == ASSAY_ATTR_INTS)
        return ASSAY_OK; /* an empty list */
    if (!assay_rule_has_input(call, i)) {
        *given = false;
        return ASSAY_OK;
    }
    const struct assay_tensor *tensor = assay_rule_data(call, i);
    if (!tensor) {
        *known = false;
        return ASSAY_OK;
    }
    return assay_rule_ints(tensor, values, room, n, err);
}

enum assay_status assay_rule_broadcast(const struct assay_type *a, const struct assay_type *b, struct assay_type *out,
                                       struct assay_error *err)
{
    if (a->rank < 0 || b->rank < 0) {
        out->rank = -1;
        return ASSAY_OK;
    }
    int rank = a->rank > b->rank ? a->rank : b->rank;
    int64_t dims[ASSAY_MAX_RANK];
    for (int d = 0; d < rank; d++) {
        int da = d - (rank - a->rank), db = d - (rank - b->rank);
        int64_t x = da < 0 ? 1 : a->dims[da], y = db < 0 ? 1 : b->dims[db];
        if (x == y || y == 1) {
            dims[d] = x;
        } else if (x == 1 || x == -1) {
            dims[d] = y; /* an unknown dimension must be 1 or y for the model to be right */
        } else if (y == -1) {
            dims[d] = x;
        } else {
            char left[128], right[128];
            return assay_error_set(err, ASSAY_INVALID, "shapes %s and %s do not broadcast", assay_type_text(a, left, sizeof left),
                                   assay_type_text(b, right, sizeof right));
        }
    }
    out->rank = rank;
    memcpy(out->dims, dims, (size_t)rank * sizeof *dims);
    return ASSAY_OK;
}

enum assay_status assay_rule_merge_dim(int64_t *dim, int64_t other, const char *what, struct assay_error *err)
{
    if (*dim == -1)
        *dim = other;
    else if (other != -1 && other != *dim)
        return assay_error_set(err, ASSAY_INVALID, "%s is %" PRId64 " in one place and %" PRId64 " in another", what, *dim,
                               other);
    return ASSAY_OK;
}

enum assay_status assay_rule_same(struct assay_op_call *call, unsigned set, struct assay_error *err)
{
    call->outputs[0] = call->inputs[0];
    return assay_rule_dtype(call, 0, set, err);
}

/* Wraps: a tensor without elements may have dimensions whose product overflows. */
static int64_t times(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }

int64_t assay_dims_product(const struct assay_type *type, int from, int to)
{
    int64_t product = 1;
    for (int d = from; d < to; d++)
        product = times(product, type->dims[d]);
    return product;
}

struct assay_split assay_split_at(const struct assay_type *type, int axis)
{
    return (struct assay_split){assay_dims_product(type, 0, axis), type->dims[axis],
                                assay_dims_product(type, axis + 1, type->rank)};
}

void assay_dims_strides(const struct assay_type *type, int64_t strides[ASSAY_MAX_RANK])
{
    int64_t stride = 1;
    for (int d = type->rank - 1; d >= 0; d--) {
        strides[d] = stride;
        stride = times(stride, type->dims[d]);
    }
}

void assay_cost_per_output(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = (double)assay_type_count(&call->outputs[0]);
}

void assay_cost_per_input(const struct assay_op_call *call, struct assay_cost *cost)
{
    cost->flops = (double)assay_type_count(&call->inputs[0]);
}

void assay_walk_broadcast(struct assay_walk *walk, const struct assay_type *shape, int n_operands,
                          const struct assay_type *const *types)
{
    int64_t strides[ASSAY_WALK_OPERANDS][ASSAY_MAX_RANK];
    ASSAY_ASSERT(n_operands <= ASSAY_WALK_OPERANDS);
    for (int k = 0; k < n_operands; k++) {
        int64_t own[ASSAY_MAX_RANK];
        assay_dims_strides(types[k], own);
        int missing = shape->rank - types[k]->rank;
        ASSAY_ASSERT(missing >= 0);
        for (int d = 0; d < shape->rank; d++)
            strides[k][d] = d < missing || (types[k]->dims[d - missing] == 1) ? 0 : own[d - missing];
    }
    assay_walk_strided(walk, shape->rank, shape->dims, n_operands, strides);
}

/* Dimension d of the caller continues the last merged one if in every operand a step of the merged one is a whole run of d. */
static bool continues(const struct assay_walk *walk, int last, int64_t dim, int d, int64_t strides[][ASSAY_MAX_RANK])
{
    for (int k = 0; k < walk->n_operands; k++)
        if (walk->strides[k][last] != strides[k][d] * dim)
            return false;
    return true;
}

void assay_walk_strided(struct assay_walk *walk, int rank, const int64_t *dims, int n_operands, int64_t strides[][ASSAY_MAX_RANK])
{
    ASSAY_ASSERT(rank <= ASSAY_MAX_RANK && n_operands <= ASSAY_WALK_OPERANDS);
    *walk = (struct assay_walk){.more = true, .n_operands = n_operands, .n = 1};
    for (int d = 0; d < rank; d++)
        if (dims[d] == 0)
            walk->more = false;
    int merged = 0;
    for (int d = 0; walk->more && d < rank; d++) {
        if (dims[d] == 1)
            continue;
        if (merged > 0 && continues(walk, merged - 1, dims[d], d, strides)) {
            walk->dims[merged - 1] *= dims[d];
        } else {
            walk->dims[merged++] = dims[d];
        }
        for (int k = 0; k < n_operands; k++)
            walk->strides[k][merged - 1] = strides[k][d];
    }
    if (merged > 0) {
        walk->rank = merged - 1;
        walk->n = walk->dims[merged - 1];
        for (int k = 0; k < n_operands; k++)
            walk->step[k] = walk->strides[k][merged - 1];
    }
}

void assay_walk_next(struct assay_walk *walk)
{
    for (int d = walk->rank - 1; d >= 0; d--) {
        for (int k = 0; k < walk->n_operands; k++)
            walk->offset[k] += walk->strides[k][d];
        if (++walk->at[d] < walk->dims[d])
            return;
        walk->at[d] = 0;
        for (int k = 0; k < walk->n_operands; k++)
            walk->offset[k] -= walk->strides[k][d] * walk->dims[d];
    }
    walk->more = false;
}
