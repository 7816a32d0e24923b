/* SPDX-License-Identifier: Apache-2.0 */
/* What looks along one axis: ArgMax, ArgMin, TopK, CumSum. */
#include "graph/gradient.h"
#include "graph/ops/util.h"

#include <stdlib.h>

/* ---- ArgMax, ArgMin */

static enum assay_status infer_arg(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    struct assay_type *out = &call->outputs[0];
    bool keep = assay_node_int(call->node, "keepdims", 1);
    int axis;
    *out = assay_type_unknown(ASSAY_I64);
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_NUMBER, err);
    if (st || in->rank < 0)
        return st;
    st = assay_rule_axis(assay_node_int(call->node, "axis", 0), in->rank, &axis, err);
    if (st)
        return st;
    out->rank = 0;
    for (int d = 0; d < in->rank; d++)
        if (d != axis)
            out->dims[out->rank++] = in->dims[d];
        else if (keep)
            out->dims[out->rank++] = 1;
    return ASSAY_OK;
}

/* Each result holds the index of the best so far of its column, while the rows go by. */
#define BEST(type, better)                                                                                                       \
    for (int64_t o = 0; o < s.outer; o++) {                                                                                      \
        const type *from = (const type *)call->data[0]->data + o * s.n * s.inner;                                                \
        int64_t *best = (int64_t *)call->results[0].data + o * s.inner;                                                          \
        for (int64_t i = 0; i < s.inner; i++)                                                                                    \
            best[i] = 0;                                                                                                         \
        for (int64_t k = 1; k < s.n; k++)                                                                                        \
            for (int64_t i = 0; i < s.inner; i++) {                                                                              \
                type x = from[k * s.inner + i], y = from[best[i] * s.inner + i];                                                 \
                if (better)                                                                                                      \
                    best[i] = k;                                                                                                 \
            }                                                                                                                    \
    }

#define CASE_BEST(name, type, wide)                                                                                              \
    case ASSAY_##name:                                                                                                           \
        if (largest && last)                                                                                                     \
            BEST(type, x >= y)                                                                                                   \
        else if (largest)                                                                                                        \
            BEST(type, x > y)                                                                                                    \
        else if (last)                                                                                                           \
            BEST(type, x <= y)                                                                                                   \
        else                                                                                                                     \
            BEST(type, x < y)                                                                                                    \
        break;

static enum assay_status run_arg(struct assay_op_call *call, bool largest, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    bool last = assay_node_int(call->node, "select_last_index", 0);
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", 0), in->rank, &axis, err);
    if (st || assay_type_count(&call->outputs[0]) == 0)
        return st;
    struct assay_split s = assay_split_at(in, axis);
    if (s.n == 0)
        return assay_error_set(err, ASSAY_INVALID, "axis %d has no elements to choose from", axis);
    switch (in->dtype) {
        ASSAY_REAL_TYPES(CASE_BEST)
        ASSAY_SIGNED_TYPES(CASE_BEST)
        ASSAY_UNSIGNED_TYPES(CASE_BEST)
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets through");
    }
    return ASSAY_OK;
}

static enum assay_status run_arg_max(struct assay_op_call *call, struct assay_error *err) { return run_arg(call, true, err); }
static enum assay_status run_arg_min(struct assay_op_call *call, struct assay_error *err) { return run_arg(call, false, err); }

/* ---- TopK */

static enum assay_status infer_top_k(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    const struct assay_tensor *data = assay_rule_data(call, 1);
    int axis;
    int64_t k = -1;
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_NUMBER, err);
    if (!st && data) {
        size_t n;
        st = assay_rule_ints(data, &k, 1, &n, err);
        if (!st && (n != 1 || k < 0))
            st = assay_error_set(err, ASSAY_INVALID, "K must be one number, 0 or more");
    }
    struct assay_type out = *in;
    if (!st && in->rank >= 0) {
        st = assay_rule_axis(assay_node_int(call->node, "axis", -1), in->rank, &axis, err);
        if (!st && k > in->dims[axis] && in->dims[axis] >= 0)
            st = assay_error_set(err, ASSAY_INVALID, "K is %lld, but axis %d has only %lld elements", (long long)k, axis,
                                 (long long)in->dims[axis]);
        if (!st)
            out.dims[axis] = k;
    }
    call->outputs[0] = out;
    out.dtype = ASSAY_I64;
    if (call->n_outputs > 1)
        call->outputs[1] = out;
    return st;
}

struct entry {
    uint64_t key; /* ascending = better */
    int64_t index;
};

/* The element as an unsigned number of the same order: floats by their bits (sign and magnitude), with -0 made +0 and a NaN above
 * infinity; signed integers by an offset. */
static uint64_t float_key(uint64_t bits, int width, uint64_t infinity)
{
    uint64_t sign = (uint64_t)1 << (width - 1), magnitude = bits & (sign - 1);
    if (magnitude > infinity)
        return UINT64_MAX;
    return (bits & sign) && magnitude ? sign - magnitude : sign + magnitude;
}

static uint64_t key_of(const struct assay_tensor *in, int64_t i)
{
    switch (in->type.dtype) {
    case ASSAY_F16:
        return float_key(((const uint16_t *)in->data)[i], 16, 0x7c00);
    case ASSAY_BF16:
        return float_key(((const uint16_t *)in->data)[i], 16, 0x7f80);
    case ASSAY_F32:
        return float_key(((const uint32_t *)in->data)[i], 32, 0x7f800000);
    case ASSAY_F64:
        return float_key(((const uint64_t *)in->data)[i], 64, 0x7ff0000000000000);
    case ASSAY_U8:
        return ((const uint8_t *)in->data)[i];
    case ASSAY_U16:
        return ((const uint16_t *)in->data)[i];
    case ASSAY_U32:
        return ((const uint32_t *)in->data)[i];
    case ASSAY_U64:
        return ((const uint64_t *)in->data)[i];
    default:
        return (uint64_t)assay_tensor_int(in, i) + ((uint64_t)1 << 63);
    }
}

/* Of equal elements, the one of lower index is better. */
static bool is_better(struct entry a, struct entry b) { return a.key != b.key ? a.key < b.key : a.index < b.index; }

/* A heap whose root is the worst. */
static void sift_down(struct entry *heap, int64_t n, struct entry entry)
{
    int64_t at = 0;
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child + 1 < n && is_better(heap[child], heap[child + 1]))
            child++;
        if (child >= n || !is_better(entry, heap[child]))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = entry;
}

static void sift_up(struct entry *heap, int64_t at, struct entry entry)
{
    for (; at > 0 && is_better(heap[(at - 1) / 2], entry); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = entry;
}

/* The k best of a column into heap[], best first. */
static void select_best(const struct assay_tensor *in, int64_t base, int64_t n, int64_t stride, bool largest, struct entry *heap,
                        int64_t k)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t key = key_of(in, base + i * stride);
        struct entry entry = {largest ? ~key : key, i};
        if (i < k)
            sift_up(heap, i, entry);
        else if (is_better(entry, heap[0]))
            sift_down(heap, k, entry);
    }
    for (int64_t left = k - 1; left > 0; left--) {
        struct entry worst = heap[0], last = heap[left];
        sift_down(heap, left, last);
        heap[left] = worst;
    }
}

static enum assay_status run_top_k(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0];
    bool largest = assay_node_int(call->node, "largest", 1);
    int axis;
    enum assay_status st = assay_rule_axis(assay_node_int(call->node, "axis", -1), in->type.rank, &axis, err);
    if (st || assay_type_count(&call->outputs[0]) == 0)
        return st;
    struct assay_split s = assay_split_at(&in->type, axis);
    int64_t k = call->outputs[0].dims[axis];
    struct entry *heap = malloc((size_t)k * sizeof *heap);
    if (!heap)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory to sort %lld elements", (long long)k);
    size_t size = assay_dtype_size(in->type.dtype);
    const char *from = in->data;
    char *values = call->results[0].data;
    int64_t *indices = call->n_outputs > 1 ? call->results[1].data : NULL;
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t i = 0; i < s.inner; i++) {
            int64_t base = o * s.n * s.inner + i, to = o * k * s.inner + i;
            select_best(in, base, s.n, s.inner, largest, heap, k);
            for (int64_t j = 0; j < k; j++) {
                int64_t at = to + j * s.inner;
                memcpy(values + (size_t)at * size, from + (size_t)(base + heap[j].index * s.inner) * size, size);
                if (indices)
                    indices[at] = heap[j].index;
            }
        }
    free(heap);
    return ASSAY_OK;
}

/* ---- CumSum */

static enum assay_status infer_cum_sum(struct assay_op_call *call, struct assay_error *err)
{
    unsigned set = ASSAY_SET_FLOAT | ASSAY_SET_INDEX | ASSAY_DTYPE_BIT(ASSAY_U32) | ASSAY_DTYPE_BIT(ASSAY_U64);
    enum assay_status st = assay_rule_same(call, set, err);
    const struct assay_tensor *axis = assay_rule_data(call, 1);
    if (!st && axis) {
        int64_t value = 0;
        size_t n;
        int normalised;
        st = assay_rule_ints(axis, &value, 1, &n, err);
        if (!st && n != 1)
            st = assay_error_set(err, ASSAY_INVALID, "the axis must be one number");
        if (!st && call->inputs[0].rank >= 0)
            st = assay_rule_axis(value, call->inputs[0].rank, &normalised, err);
    }
    return st;
}

/* sums[inner] runs along the axis, one row after another. */
#define CUM_SUM(type, sum_type)                                                                                                  \
    for (int64_t o = 0; o < s.outer; o++) {                                                                                      \
        sum_type *sum = sums;                                                                                                    \
        memset(sum, 0, (size_t)s.inner * sizeof *sum);                                                                           \
        for (int64_t k = 0; k < s.n; k++) {                                                                                      \
            int64_t row = (o * s.n + (reverse ? s.n - 1 - k : k)) * s.inner;                                                     \
            const type *from = (const type *)call->data[0]->data + row;                                                          \
            type *to = (type *)call->results[0].data + row;                                                                      \
            for (int64_t i = 0; i < s.inner; i++) {                                                                              \
                sum_type before = sum[i];                                                                                        \
                sum[i] = before + (sum_type)from[i];                                                                             \
                to[i] = (type)(exclusive ? before : sum[i]);                                                                     \
            }                                                                                                                    \
        }                                                                                                                        \
    }

static enum assay_status run_cum_sum(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    bool exclusive = assay_node_int(call->node, "exclusive", 0), reverse = assay_node_int(call->node, "reverse", 0);
    int axis;
    enum assay_status st = assay_rule_axis(assay_tensor_int(call->data[1], 0), in->rank, &axis, err);
    if (st || assay_type_count(in) == 0)
        return st;
    struct assay_split s = assay_split_at(in, axis);
    void *sums = malloc((size_t)s.inner * sizeof(uint64_t));
    if (!sums)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for %lld sums", (long long)s.inner);
    switch (in->dtype) {
    case ASSAY_F32:
        CUM_SUM(float, double)
        break;
    case ASSAY_F64:
        CUM_SUM(double, double)
        break;
    case ASSAY_I32:
    case ASSAY_U32:
        CUM_SUM(uint32_t, uint64_t)
        break;
    default:
        CUM_SUM(uint64_t, uint64_t)
    }
    free(sums);
    return ASSAY_OK;
}

/* ---- gradients */

static void gradient_top_k(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    int zeros = e_full(e, 0, g_input(g, 0)), places = g_need_output(g, 1);
    g->in[0] = e_op(e, "ScatterElements", E_VALUES(zeros, places, g->out[0]));
    e_set_int(e, "axis", assay_node_int(g->node, "axis", -1));
}

static void gradient_cum_sum(struct assay_gradient *g)
{
    g->in[0] = e_op(g->e, "CumSum", E_VALUES(g->out[0], g_input(g, 1)));
    e_set_int(g->e, "exclusive", assay_node_int(g->node, "exclusive", 0));
    e_set_int(g->e, "reverse", !assay_node_int(g->node, "reverse", 0));
}

const struct assay_op assay_ops_arg[] = {
    {"ArgMax", "", 1, 1, ASSAY_OP_VIA_F32, infer_arg, run_arg_max, assay_cost_per_input},
    {"ArgMin", "", 1, 1, ASSAY_OP_VIA_F32, infer_arg, run_arg_min, assay_cost_per_input},
    {"CumSum", "", 2, 2, ASSAY_OP_VIA_F32, infer_cum_sum, run_cum_sum, assay_cost_per_output, gradient_cum_sum},
    {"TopK", "", 2, 2, 0, infer_top_k, run_top_k, NULL, gradient_top_k},
    {0},
};
