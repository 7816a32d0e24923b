/* SPDX-License-Identifier: Apache-2.0 */
/* Ops that make a tensor out of a value or of a few numbers: Constant, ConstantOfShape, Range, EyeLike. */
#include "graph/ops/move.h"
#include "graph/ops/util.h"

#include <inttypes.h>
#include <math.h>

/* Copies one element to each of to's. */
static void fill(struct assay_tensor *to, const void *element)
{
    int64_t n = assay_tensor_count(to);
    size_t size = assay_dtype_size(to->type.dtype);
    struct assay_move_side all = {.data = to->data, .strides = {(int64_t)size}};
    struct assay_move_side one = {.data = (void *)element};
    assay_move(&all, &one, 1, &n, size);
}

/* ---- Constant */

static enum assay_status infer_constant(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *out = &call->outputs[0];
    if (call->node->n_attrs != 1)
        return assay_error_set(err, ASSAY_INVALID, "a constant must have one value, but has %d", call->node->n_attrs);
    const struct assay_attr *attr = &call->node->attrs[0];
    int64_t n = (int64_t)attr->n;
    if (attr->kind == ASSAY_ATTR_TENSOR && strcmp(attr->name, "value") == 0 && attr->tensor.data)
        *out = attr->tensor.type;
    else if (attr->kind == ASSAY_ATTR_FLOAT && strcmp(attr->name, "value_float") == 0)
        *out = assay_type_make(ASSAY_F32, 0, NULL);
    else if (attr->kind == ASSAY_ATTR_INT && strcmp(attr->name, "value_int") == 0)
        *out = assay_type_make(ASSAY_I64, 0, NULL);
    else if (attr->kind == ASSAY_ATTR_FLOATS && strcmp(attr->name, "value_floats") == 0)
        *out = assay_type_make(ASSAY_F32, 1, &n);
    else if (attr->kind == ASSAY_ATTR_INTS && strcmp(attr->name, "value_ints") == 0)
        *out = assay_type_make(ASSAY_I64, 1, &n);
    else
        return assay_error_set(err, ASSAY_UNSUPPORTED, "a constant given by attribute %s is not supported", attr->name);
    return ASSAY_OK;
}

static enum assay_status run_constant(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_attr *attr = &call->node->attrs[0];
    struct assay_tensor *out = &call->results[0];
    assay_tensor_release(out);
    if (attr->kind == ASSAY_ATTR_TENSOR) {
        assay_tensor_share(out, &attr->tensor);
        return ASSAY_OK;
    }
    enum assay_status st = assay_tensor_alloc(out, &call->outputs[0], err);
    if (st)
        return st;
    const void *from = attr->kind == ASSAY_ATTR_FLOAT ? (const void *)&attr->f : &attr->i;
    if (attr->kind == ASSAY_ATTR_FLOATS)
        from = attr->floats;
    else if (attr->kind == ASSAY_ATTR_INTS)
        from = attr->ints;
    if (from)
        memcpy(out->data, from, (size_t)assay_tensor_bytes(out));
    return ASSAY_OK;
}

/* ---- ConstantOfShape */

/* The element to fill with; the default is 0.0f. */
static enum assay_status fill_value(const struct assay_node *node, const struct assay_tensor **value, struct assay_error *err)
{
    const struct assay_attr *attr = assay_node_attr(node, "value");
    *value = NULL;
    if (!attr)
        return ASSAY_OK;
    if (attr->kind != ASSAY_ATTR_TENSOR || !attr->tensor.data || assay_tensor_count(&attr->tensor) != 1)
        return assay_error_set(err, ASSAY_INVALID, "attribute value must be a tensor of one element");
    *value = &attr->tensor;
    return ASSAY_OK;
}

static enum assay_status infer_constant_of_shape(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *out = &call->outputs[0];
    const struct assay_tensor *value;
    enum assay_status st = fill_value(call->node, &value, err);
    if (st)
        return st;
    out->dtype = value ? value->type.dtype : ASSAY_F32;
    const struct assay_tensor *shape = assay_rule_data(call, 0);
    const struct assay_type *list = &call->inputs[0];
    if (!shape) {
        if (list->rank == 1 && list->dims[0] >= 0 && list->dims[0] <= ASSAY_MAX_RANK) {
            out->rank = (int)list->dims[0];
            for (int d = 0; d < out->rank; d++)
                out->dims[d] = -1;
        }
        return ASSAY_OK;
    }
    size_t n;
    st = assay_rule_ints(shape, out->dims, ASSAY_MAX_RANK, &n, err);
    if (st)
        return st;
    out->rank = (int)n;
    for (int d = 0; d < out->rank; d++)
        if (out->dims[d] < 0)
            return assay_error_set(err, ASSAY_INVALID, "dimension %d of the shape is %" PRId64, d, out->dims[d]);
    return ASSAY_OK;
}

static enum assay_status run_constant_of_shape(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *value;
    enum assay_status st = fill_value(call->node, &value, err);
    if (st)
        return st;
    fill(&call->results[0], value ? value->data : &(const float){0});
    return ASSAY_OK;
}

/* ---- Range */

/* max(ceil((limit - start) / delta), 0). */
static enum assay_status range_count(const struct assay_op_call *call, int64_t *n, struct assay_error *err)
{
    for (int i = 0; i < 3; i++)
        if (assay_tensor_count(call->data[i]) != 1)
            return assay_error_set(err, ASSAY_INVALID, "input %d must be a scalar", i);
    *n = 0;
    if (assay_dtype_is_float(call->inputs[0].dtype)) {
        double start = assay_tensor_real(call->data[0], 0), limit = assay_tensor_real(call->data[1], 0);
        double delta = assay_tensor_real(call->data[2], 0), way = limit - start;
        if (call->inputs[0].dtype == ASSAY_F32)
            way = (float)way; /* the standard subtracts in the tensor's dtype */
        double count = ceil(way / delta);
        if (!(fabs(count) < 0x1p53))
            return assay_error_set(err, ASSAY_INVALID, "a range from %g to %g in steps of %g has no length", start, limit, delta);
        *n = count > 0 ? (int64_t)count : 0;
        return ASSAY_OK;
    }
    int64_t start = assay_tensor_int(call->data[0], 0), limit = assay_tensor_int(call->data[1], 0);
    int64_t delta = assay_tensor_int(call->data[2], 0);
    if (delta == 0)
        return assay_error_set(err, ASSAY_INVALID, "a range in steps of 0 has no end");
    if ((delta > 0) != (limit > start) || limit == start)
        return ASSAY_OK;
    uint64_t way = delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
    uint64_t step = delta > 0 ? (uint64_t)delta : 0 - (uint64_t)delta;
    uint64_t count = (way - 1) / step + 1;
    if (count > INT64_MAX)
        return assay_error_set(err, ASSAY_INVALID, "a range of %" PRIu64 " numbers is too long", count);
    *n = (int64_t)count;
    return ASSAY_OK;
}

static enum assay_status infer_range(struct assay_op_call *call, struct assay_error *err)
{
    const unsigned set = ASSAY_DTYPE_BIT(ASSAY_F32) | ASSAY_DTYPE_BIT(ASSAY_F64) | ASSAY_DTYPE_BIT(ASSAY_I16) | ASSAY_SET_INDEX;
    int64_t n = -1;
    enum assay_status st = assay_rule_dtype(call, 0, set, err);
    for (int i = 1; i < 3 && !st; i++)
        st = assay_rule_same_dtype(call, 0, i, err);
    if (!st && call->data[0] && call->data[1] && call->data[2])
        st = range_count(call, &n, err);
    call->outputs[0] = assay_type_make(call->inputs[0].dtype, 1, &n);
    return st;
}

static enum assay_status run_range(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    struct assay_tensor *out = &call->results[0];
    int64_t n = assay_tensor_count(out);
    switch (out->type.dtype) {
#define REAL(dtype, type)                                                                                                        \
    case dtype: {                                                                                                                \
        double start = *(const type *)call->data[0]->data, delta = *(const type *)call->data[2]->data;                           \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            ((type *)out->data)[i] = (type)(start + (double)i * delta);                                                          \
        break;                                                                                                                   \
    }
/* Adds only where there is a next element: the one after the last may not exist in the dtype. */
#define INTEGER(dtype, type)                                                                                                     \
    case dtype: {                                                                                                                \
        type value = *(const type *)call->data[0]->data, delta = *(const type *)call->data[2]->data;                             \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            ((type *)out->data)[i] = value;                                                                                      \
            if (i + 1 < n)                                                                                                       \
                value = (type)(value + delta);                                                                                   \
        }                                                                                                                        \
        break;                                                                                                                   \
    }
        REAL(ASSAY_F32, float)
        REAL(ASSAY_F64, double)
        INTEGER(ASSAY_I16, int16_t)
        INTEGER(ASSAY_I32, int32_t)
        INTEGER(ASSAY_I64, int64_t)
#undef REAL
#undef INTEGER
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets pass");
    }
    return ASSAY_OK;
}

/* ---- EyeLike */

static enum assay_status infer_eye_like(struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = assay_rule_rank(call, 0, 2, 2, err);
    if (st)
        return st;
    call->outputs[0] = call->inputs[0];
    return assay_rule_dtype_attr(call, "dtype", call->inputs[0].dtype, ASSAY_SET_ANY, &call->outputs[0].dtype, err);
}

static enum assay_status run_eye_like(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    struct assay_tensor *out = &call->results[0];
    int64_t rows = out->type.dims[0], columns = out->type.dims[1], k = assay_node_int(call->node, "k", 0);
    memset(out->data, 0, (size_t)assay_tensor_bytes(out));
    if (k >= columns || k <= -rows)
        return ASSAY_OK;
    int64_t row = k < 0 ? -k : 0, column = k < 0 ? 0 : k;
    for (; row < rows && column < columns; row++, column++)
        assay_tensor_set_real(out, row * columns + column, 1);
    return ASSAY_OK;
}

const struct assay_op assay_ops_constant[] = {
    {"Constant", "", 0, 0, ASSAY_OP_VIEW | ASSAY_OP_TAKES_4_BITS, infer_constant, run_constant, NULL},
    {"ConstantOfShape", "", 1, 1, 0, infer_constant_of_shape, run_constant_of_shape, NULL},
    {"Range", "", 3, 3, 0, infer_range, run_range, NULL},
    {"EyeLike", "", 1, 1, ASSAY_OP_FLAT, infer_eye_like, run_eye_like, NULL},
    {0},
};
