/* SPDX-License-Identifier: Apache-2.0 */
/* Ops between values and their places: OneHot, NonZero, Unique. The output of the last two is as large as the contents make it.
 */
#include "graph/gradient.h"
#include "graph/ops/index.h"
#include "graph/ops/move.h"
#include "graph/ops/util.h"

#include <math.h>
#include <stdlib.h>

/* ---- OneHot */

/* Element i of any dtype as an index in [-depth, depth); false if it lies outside. */
static bool read_class(const struct assay_tensor *tensor, int64_t i, int64_t depth, int64_t *class)
{
    if (assay_dtype_is_float(tensor->type.dtype)) {
        double value = trunc(assay_tensor_real(tensor, i));
        if (!(value >= -(double)depth && value < (double)depth))
            return false;
        *class = (int64_t)value;
        return true;
    }
    *class = assay_tensor_int(tensor, i);
    if (tensor->type.dtype == ASSAY_U64 && *class < 0)
        return false;
    return *class >= -depth && *class < depth;
}

static enum assay_status read_depth(const struct assay_tensor *tensor, int64_t *depth, struct assay_error *err)
{
    if (assay_tensor_count(tensor) != 1)
        return assay_error_set(err, ASSAY_INVALID, "depth must be a scalar");
    double value = assay_tensor_real(tensor, 0);
    if (!(value >= 1 && value < 0x1p53))
        return assay_error_set(err, ASSAY_INVALID, "depth is %g", value);
    *depth = (int64_t)value;
    return ASSAY_OK;
}

static enum assay_status infer_one_hot(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *indices = &call->inputs[0];
    struct assay_type *out = &call->outputs[0];
    out->dtype = call->inputs[2].dtype;
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < 2 && !st; i++)
        st = assay_rule_dtype(call, i, ASSAY_SET_NUMBER, err);
    int64_t depth = -1;
    if (!st && assay_rule_data(call, 1))
        st = read_depth(call->data[1], &depth, err);
    if (!st)
        st = assay_rule_rank(call, 2, 1, 1, err);
    if (!st && call->inputs[2].rank == 1 && call->inputs[2].dims[0] >= 0 && call->inputs[2].dims[0] != 2)
        st = assay_error_set(err, ASSAY_INVALID, "values must be two elements");
    if (st || indices->rank < 0)
        return st;
    if (indices->rank == ASSAY_MAX_RANK)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "indices of rank %d are not supported", indices->rank);
    int axis;
    st = assay_rule_axis(assay_node_int(call->node, "axis", -1), indices->rank + 1, &axis, err);
    if (st)
        return st;
    out->rank = indices->rank + 1;
    for (int d = 0; d < out->rank; d++)
        out->dims[d] = d == axis ? depth : indices->dims[d < axis ? d : d - 1];
    return ASSAY_OK;
}

static enum assay_status run_one_hot(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *indices = call->data[0];
    struct assay_tensor *out = &call->results[0];
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", -1), out->type.rank, &axis, err);
    int64_t count = assay_tensor_count(out), size = (int64_t)assay_dtype_size(out->type.dtype);
    if (st || count == 0)
        return st;
    const char *off = call->data[2]->data, *on = off + size;
    struct assay_move_side all = {.data = out->data, .strides = {size}}, one = {.data = (char *)off};
    assay_move(&all, &one, 1, &count, (size_t)size);
    struct assay_split split = assay_split_at(&out->type, axis);
    for (int64_t i = 0; i < split.outer; i++)
        for (int64_t k = 0; k < split.inner; k++) {
            int64_t class;
            if (read_class(indices, i * split.inner + k, split.n, &class) && assay_index_wrap(&class, split.n))
                memcpy((char *)out->data + ((i * split.n + class) * split.inner + k) * size, on, (size_t)size);
        }
    return ASSAY_OK;
}

/* ---- NonZero */

static enum assay_status infer_non_zero(struct assay_op_call *call, struct assay_error *err)
{
    int rank = call->inputs[0].rank;
    call->outputs[0] = assay_type_make(ASSAY_I64, 2, (int64_t[]){rank, -1});
    return assay_rule_dtype(call, 0, ASSAY_SET_ANY, err);
}

/* How many elements of the tensor are not zero; their numbers into `places` unless it is NULL. */
static int64_t find_non_zero(const struct assay_tensor *tensor, int64_t *places)
{
    int64_t count = assay_tensor_count(tensor), n = 0;
    switch (tensor->type.dtype) {
#define SCAN(type, IS_SET)                                                                                                       \
    {                                                                                                                            \
        const type *data = tensor->data;                                                                                         \
        for (int64_t i = 0; i < count; i++) {                                                                                    \
            bool is_set = IS_SET;                                                                                                \
            if (is_set && places)                                                                                                \
                places[n] = i;                                                                                                   \
            n += is_set;                                                                                                         \
        }                                                                                                                        \
        break;                                                                                                                   \
    }
    case ASSAY_F32:
        SCAN(float, data[i] != 0)
    case ASSAY_F64:
        SCAN(double, data[i] != 0)
    case ASSAY_F16:
    case ASSAY_BF16:
        SCAN(uint16_t, (data[i] & 0x7fff) != 0)
    default:
        switch (assay_dtype_size(tensor->type.dtype)) {
        case 1:
            SCAN(uint8_t, data[i] != 0)
        case 2:
            SCAN(uint16_t, data[i] != 0)
        case 4:
            SCAN(uint32_t, data[i] != 0)
        case 8:
            SCAN(uint64_t, data[i] != 0)
        }
#undef SCAN
    }
    return n;
}

static enum assay_status run_non_zero(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0];
    int rank = in->type.rank;
    int64_t n = find_non_zero(in, NULL);
    struct assay_type type = assay_type_make(ASSAY_I64, 2, (int64_t[]){rank, n});
    if (!call->results[0].data) {
        enum assay_status st = assay_tensor_alloc(&call->results[0], &type, err);
        if (st)
            return st;
    }
    if (rank == 0 || n == 0)
        return ASSAY_OK;
    /* [rank, n]: the places stand in the last row until they are taken apart. */
    int64_t *out = call->results[0].data, *places = out + (rank - 1) * n;
    find_non_zero(in, places);
    for (int64_t i = 0; i < n; i++) {
        int64_t place = places[i];
        for (int d = rank - 1; d >= 0; d--) {
            out[d * n + i] = place % in->type.dims[d];
            place /= in->type.dims[d];
        }
    }
    return ASSAY_OK;
}

/* ---- Unique */

static enum assay_status infer_unique(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    const int64_t unknown = -1;
    for (int i = 1; i < call->n_outputs; i++)
        call->outputs[i] = assay_type_make(ASSAY_I64, 1, &unknown);
    call->outputs[0] = assay_type_make(in->dtype, 1, &unknown);
    const struct assay_attr *attr = assay_node_attr(call->node, "axis");
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_ANY, err);
    if (call->n_outputs > 4)
        return assay_error_set(err, ASSAY_INVALID, "it has %d outputs instead of 1 to 4", call->n_outputs);
    if (st || !attr)
        return st;
    call->outputs[0] = *in;
    if (in->rank < 0)
        return ASSAY_OK;
    int axis;
    st = assay_rule_axis(attr->i, in->rank, &axis, err);
    if (!st)
        call->outputs[0].dims[axis] = -1;
    return st;
}

/* Rows of n_row elements in one block of memory, and how two elements compare. */
struct rows {
    const char *data;
    int64_t n_row;
    size_t row_bytes;
    int (*compare)(const void *a, const void *b, int64_t n);
};

/* NaNs are alike, and greater than all numbers. */
#define COMPARE(word, type, READ, IS_NAN)                                                                                        \
    static int compare_##word(const void *left, const void *right, int64_t n)                                                    \
    {                                                                                                                            \
        const type *a = left, *b = right;                                                                                        \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            if (IS_NAN(READ(a[i])) || IS_NAN(READ(b[i]))) {                                                                      \
                int order = !!IS_NAN(READ(a[i])) - !!IS_NAN(READ(b[i]));                                                         \
                if (order)                                                                                                       \
                    return order;                                                                                                \
                continue;                                                                                                        \
            }                                                                                                                    \
            if (READ(a[i]) < READ(b[i]))                                                                                         \
                return -1;                                                                                                       \
            if (READ(a[i]) > READ(b[i]))                                                                                         \
                return 1;                                                                                                        \
        }                                                                                                                        \
        return 0;                                                                                                                \
    }
#define SAME(x) (x)
#define NEVER(x) ((void)(x), false)
COMPARE(F32, float, SAME, isnan)
COMPARE(F64, double, SAME, isnan)
COMPARE(F16, uint16_t, assay_f16_to_f32, isnan)
COMPARE(BF16, uint16_t, assay_bf16_to_f32, isnan)
COMPARE(I8, int8_t, SAME, NEVER)
COMPARE(U8, uint8_t, SAME, NEVER)
COMPARE(I16, int16_t, SAME, NEVER)
COMPARE(U16, uint16_t, SAME, NEVER)
COMPARE(I32, int32_t, SAME, NEVER)
COMPARE(U32, uint32_t, SAME, NEVER)
COMPARE(I64, int64_t, SAME, NEVER)
COMPARE(U64, uint64_t, SAME, NEVER)
COMPARE(BOOL, bool, SAME, NEVER)

static int (*comparison(enum assay_dtype dtype))(const void *a, const void *b, int64_t n)
{
    switch (dtype) {
#define X(name, number, word, size, type)                                                                                        \
    case ASSAY_##name:                                                                                                           \
        return compare_##name;
        ASSAY_DTYPES(X)
#undef X
    case ASSAY_U4:
    case ASSAY_I4:
    case ASSAY_NO_DTYPE:
        break;
    }
    ASSAY_ASSERT(!"a dtype that the rule lets pass");
    return NULL;
}

static int compare_rows(const void *left, const void *right, void *context)
{
    const struct rows *rows = context;
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    int order = rows->compare(rows->data + (size_t)a * rows->row_bytes, rows->data + (size_t)b * rows->row_bytes, rows->n_row);
    return order ? order : (a > b) - (a < b);
}

/* What Unique finds, in lists as long as there are rows: only the first n_groups of `first` and `counts` count. */
struct groups {
    struct assay_tensor first, counts; /* of each group: its first row, how many rows */
    struct assay_tensor group;         /* of each row */
    int64_t n_groups;
};

static void group_rows(const struct rows *rows, int64_t n, const int64_t *order, struct groups *groups)
{
    int64_t *first = groups->first.data, *counts = groups->counts.data, *group = groups->group.data;
    groups->n_groups = 0;
    for (int64_t i = 0; i < n; i++) {
        const char *row = rows->data + (size_t)order[i] * rows->row_bytes;
        bool is_new = i == 0 || rows->compare(rows->data + (size_t)order[i - 1] * rows->row_bytes, row, rows->n_row) != 0;
        if (is_new) {
            first[groups->n_groups] = order[i];
            counts[groups->n_groups++] = 0;
        }
        group[order[i]] = groups->n_groups - 1;
        counts[groups->n_groups - 1]++;
    }
}

/* Numbers the groups anew, in the order of their first rows; `spare` has room for two lists of n. */
static void order_by_first(struct groups *groups, int64_t n, int64_t *spare)
{
    int64_t *first = groups->first.data, *counts = groups->counts.data, *group = groups->group.data;
    int64_t *number = spare, *old_counts = spare + n, next = 0;
    memcpy(old_counts, counts, (size_t)groups->n_groups * sizeof *counts);
    for (int64_t i = 0; i < n; i++)
        if (first[group[i]] == i)
            number[group[i]] = next++;
    for (int64_t g = 0; g < groups->n_groups; g++)
        counts[number[g]] = old_counts[g];
    for (int64_t i = 0; i < n; i++)
        group[i] = number[group[i]];
    for (int64_t i = n - 1; i >= 0; i--)
        first[group[i]] = i;
}

/* The rows along an axis, one after another; all elements are rows of their own where there is no axis. */
static enum assay_status make_rows(const struct assay_tensor *in, bool has_axis, int axis, struct assay_tensor *made,
                                   struct rows *rows, int64_t *n, struct assay_error *err)
{
    size_t size = assay_dtype_size(in->type.dtype);
    int64_t count = assay_tensor_count(in);
    *n = has_axis ? in->type.dims[axis] : count;
    *rows = (struct rows){.data = in->data, .n_row = 1, .row_bytes = size, .compare = comparison(in->type.dtype)};
    if (!has_axis)
        return ASSAY_OK;
    rows->n_row = count == 0 ? 0 : count / *n;
    rows->row_bytes = (size_t)rows->n_row * size;
    if (axis == 0 || count == 0)
        return ASSAY_OK;
    struct assay_split split = assay_split_at(&in->type, axis);
    struct assay_type type = assay_type_make(in->type.dtype, 3, (int64_t[]){split.n, split.outer, split.inner});
    enum assay_status st = assay_tensor_alloc(made, &type, err);
    if (st)
        return st;
    struct assay_move_side to, from = {.data = in->data};
    int64_t row = split.inner * (int64_t)size;
    assay_move_dense(&to, made->data, 3, type.dims, size);
    memcpy(from.strides, (int64_t[]){row, split.n * row, (int64_t)size}, 3 * sizeof(int64_t));
    assay_move(&to, &from, 3, type.dims, size);
    rows->data = made->data;
    return ASSAY_OK;
}

/* Y: the first row of each group, back along the axis. */
static enum assay_status take_rows(struct assay_op_call *call, bool has_axis, int axis, const struct rows *rows,
                                   const struct groups *groups, struct assay_error *err)
{
    struct assay_tensor *out = &call->results[0];
    struct assay_type type = call->outputs[0];
    type.dims[axis] = groups->n_groups;
    enum assay_status st = out->data ? ASSAY_OK : assay_tensor_alloc(out, &type, err);
    if (st || assay_type_count(&type) == 0)
        return st;
    const int64_t *first = groups->first.data;
    size_t size = assay_dtype_size(type.dtype);
    struct assay_split split = assay_split_at(&type, axis);
    int64_t inner = has_axis ? split.inner : 1, outer = has_axis ? split.outer : 1, row = inner * (int64_t)size;
    for (int64_t g = 0; g < groups->n_groups; g++)
        for (int64_t k = 0; k < outer; k++)
            memcpy((char *)out->data + (k * groups->n_groups + g) * row,
                   rows->data + (size_t)first[g] * rows->row_bytes + (size_t)(k * row), (size_t)row);
    return ASSAY_OK;
}

static enum assay_status take_list(struct assay_tensor *out, const struct assay_tensor *list, int64_t n, struct assay_error *err)
{
    struct assay_type type = assay_type_make(ASSAY_I64, 1, &n);
    enum assay_status st = assay_tensor_alloc(out, &type, err);
    if (!st)
        memcpy(out->data, list->data, (size_t)n * sizeof(int64_t));
    return st;
}

static enum assay_status run_unique(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0];
    const struct assay_attr *attr = assay_node_attr(call->node, "axis");
    struct assay_tensor made = {0}, order = {0};
    struct groups groups = {0};
    struct rows rows;
    int axis = 0;
    int64_t n;
    enum assay_status st = attr ? assay_rule_axis(attr->i, in->type.rank, &axis, err) : ASSAY_OK;
    if (!st)
        st = make_rows(in, attr != NULL, axis, &made, &rows, &n, err);
    struct assay_type list = assay_type_make(ASSAY_I64, 1, (int64_t[]){st ? 0 : n});
    struct assay_type lists = assay_type_make(ASSAY_I64, 2, (int64_t[]){2, list.dims[0]});
    if (!st)
        st = assay_tensor_alloc(&order, &lists, err);
    if (!st)
        st = assay_tensor_alloc(&groups.first, &list, err);
    if (!st)
        st = assay_tensor_alloc(&groups.counts, &list, err);
    if (!st)
        st = assay_tensor_alloc(&groups.group, &list, err);
    if (st)
        goto done;
    int64_t *rank = order.data;
    for (int64_t i = 0; i < n; i++)
        rank[i] = i;
    qsort_r(rank, (size_t)n, sizeof *rank, compare_rows, &rows);
    group_rows(&rows, n, rank, &groups);
    if (!assay_node_int(call->node, "sorted", 1))
        order_by_first(&groups, n, rank);
    st = take_rows(call, attr != NULL, axis, &rows, &groups, err);
    const struct assay_tensor *found[] = {&groups.first, &groups.group, &groups.counts};
    for (int i = 1; i < call->n_outputs && !st; i++)
        st = take_list(&call->results[i], found[i - 1], i == 2 ? n : groups.n_groups, err);
done:
    assay_tensor_release(&made);
    assay_tensor_release(&order);
    assay_tensor_release(&groups.first);
    assay_tensor_release(&groups.counts);
    assay_tensor_release(&groups.group);
    return st;
}

/* Of [off, on], the two values that fill the result. */
static void gradient_one_hot(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    if (!g_wants(g, 2))
        return;
    int marks = e_concat(e, 0, 2,
                         (const int[]){e_unsqueeze(e, e_number(e, 0, g->out[0]), E_INTS(0)),
                                       e_unsqueeze(e, e_number(e, 1, g->out[0]), E_INTS(0))});
    int hot = e_op(e, "OneHot", E_VALUES(g_input(g, 0), g_input(g, 1), marks));
    e_set_int(e, "axis", assay_node_int(g->node, "axis", -1));
    int on = e_reshape(e, e_unary(e, "ReduceSum", e_mul(e, g->out[0], hot)), E_INTS(1));
    int all = e_reshape(e, e_unary(e, "ReduceSum", g->out[0]), E_INTS(1));
    g->in[2] = e_concat(e, 0, 2, (const int[]){e_sub(e, all, on), on});
}

const struct assay_op assay_ops_select[] = {
    {"OneHot", "", 3, 3, 0, infer_one_hot, run_one_hot, NULL, gradient_one_hot},
    {"NonZero", "", 1, 1, ASSAY_OP_FLAT, infer_non_zero, run_non_zero, NULL},
    {"Unique", "", 1, 1, 0, infer_unique, run_unique, NULL},
    {0},
};
