/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reduce*: one number for all elements along some axes. The axes come as an attribute (before 18) or as input 1.
 *
 * The input is read once, in order; each element goes into the accumulator of its result: a double for floats, a 64-bit integer
 * (in which overflow wraps, as in NumPy) for integers. Results of no elements are the neutral element: 0, 1, -inf, the smallest
 * integer; a mean of nothing is NaN, or ASSAY_INVALID for integers.
 */
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

#include <math.h>
#include <stdlib.h>

/* ---- shape rules */

/* *mask: the axes to reduce; *known is false while they aren't. */
static enum assay_status find_axes(const struct assay_op_call *call, unsigned *mask, bool *known, struct assay_error *err)
{
    int64_t axes[ASSAY_MAX_RANK];
    size_t n;
    bool given;
    *mask = 0;
    enum assay_status st = assay_rule_ints_of(call, "axes", 1, axes, ASSAY_MAX_RANK, &n, &given, known, err);
    int rank = call->inputs[0].rank;
    if (st || !*known || rank < 0)
        return st;
    if (n > 0)
        return assay_rule_axes(axes, n, rank, mask, err);
    if (!assay_node_int(call->node, "noop_with_empty_axes", 0))
        *mask = (1u << rank) - 1;
    return ASSAY_OK;
}

static enum assay_status infer_reduce(struct assay_op_call *call, unsigned set, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    struct assay_type *out = &call->outputs[0];
    bool keep = assay_node_int(call->node, "keepdims", 1), known;
    unsigned mask;
    enum assay_status st = assay_rule_dtype(call, 0, set, err);
    if (!st)
        st = find_axes(call, &mask, &known, err);
    *out = assay_type_unknown(in->dtype);
    if (st || in->rank < 0 || (!known && !keep))
        return st;
    out->rank = 0;
    for (int d = 0; d < in->rank; d++)
        if (!known)
            out->dims[out->rank++] = in->dims[d] == 1 ? 1 : -1;
        else if (!(mask >> d & 1))
            out->dims[out->rank++] = in->dims[d];
        else if (keep)
            out->dims[out->rank++] = 1;
    return ASSAY_OK;
}

enum { ACCUMULABLE = ASSAY_SET_FLOAT | ASSAY_SET_INDEX | ASSAY_DTYPE_BIT(ASSAY_U32) | ASSAY_DTYPE_BIT(ASSAY_U64) };

static enum assay_status infer_sum(struct assay_op_call *call, struct assay_error *err)
{
    return infer_reduce(call, ACCUMULABLE, err);
}

static enum assay_status infer_float(struct assay_op_call *call, struct assay_error *err)
{
    return infer_reduce(call, ASSAY_SET_FLOAT, err);
}

static enum assay_status infer_extreme(struct assay_op_call *call, struct assay_error *err)
{
    return infer_reduce(call, ASSAY_SET_ANY, err);
}

/* With noop_with_empty_axes and no axes, the versions of the standard disagree on whether the function is still applied to each
 * element; for the ops whose function of one element is the element, it makes no difference. */
static enum assay_status refuse_noop(struct assay_op_call *call, enum assay_status st, struct assay_error *err)
{
    unsigned mask;
    bool known;
    if (!st)
        st = find_axes(call, &mask, &known, err);
    if (!st && known && mask == 0 && call->inputs[0].rank >= 0 && assay_node_int(call->node, "noop_with_empty_axes", 0))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "noop_with_empty_axes without axes is not supported");
    return st;
}

static enum assay_status infer_norm(struct assay_op_call *call, struct assay_error *err)
{
    return refuse_noop(call, infer_reduce(call, ACCUMULABLE, err), err);
}

static enum assay_status infer_float_norm(struct assay_op_call *call, struct assay_error *err)
{
    return refuse_noop(call, infer_reduce(call, ASSAY_SET_FLOAT, err), err);
}

/* ---- accumulating */

enum kind { SUM, PRODUCT, MAXIMUM, MINIMUM, SUM_ABS, SUM_SQUARE };

/*
 * Operand 0 of the walk is the input, operand 1 the accumulators. Where a whole inner loop goes into one accumulator, it does so
 * by way of LANES of them, which the compiler can keep in a vector. `take` has x, an element, come into a; `join` has b, another
 * accumulator, come into a.
 */
enum { LANES = 8 };
#define ACCUMULATE(wide, neutral, take, join)                                                                                    \
    for (; walk->more; assay_walk_next(walk)) {                                                                                  \
        wide *to = all + walk->offset[1];                                                                                        \
        if (walk->step[1] != 0) {                                                                                                \
            for (int64_t i = 0; i < walk->n; i++) {                                                                              \
                wide a = to[i], x = (wide)from[walk->offset[0] + i];                                                             \
                to[i] = take;                                                                                                    \
            }                                                                                                                    \
            continue;                                                                                                            \
        }                                                                                                                        \
        wide lanes[LANES];                                                                                                       \
        for (int k = 0; k < LANES; k++)                                                                                          \
            lanes[k] = neutral;                                                                                                  \
        int64_t i = 0;                                                                                                           \
        for (; i + LANES <= walk->n; i += LANES)                                                                                 \
            for (int k = 0; k < LANES; k++) {                                                                                    \
                wide a = lanes[k], x = (wide)from[walk->offset[0] + i + k];                                                      \
                lanes[k] = take;                                                                                                 \
            }                                                                                                                    \
        for (; i < walk->n; i++) {                                                                                               \
            wide a = lanes[0], x = (wide)from[walk->offset[0] + i];                                                              \
            lanes[0] = take;                                                                                                     \
        }                                                                                                                        \
        for (int k = 0; k < LANES; k++) {                                                                                        \
            wide a = to[0], b = lanes[k];                                                                                        \
            to[0] = join;                                                                                                        \
        }                                                                                                                        \
    }

/* A NaN, once taken in, stays. Signed integers are summed as unsigned ones, and compared as what they are. */
#define KERNEL(name, type, wide, sum_type, lowest, highest, abs_x)                                                               \
    static void accumulate_##name(struct assay_walk *walk, enum kind kind, const type *from, void *accumulators, int64_t n)      \
    {                                                                                                                            \
        if (kind == MAXIMUM || kind == MINIMUM) {                                                                                \
            wide *all = accumulators;                                                                                            \
            for (int64_t i = 0; i < n; i++)                                                                                      \
                all[i] = kind == MAXIMUM ? lowest : highest;                                                                     \
            if (kind == MAXIMUM)                                                                                                 \
                ACCUMULATE(wide, lowest, x > a || x != x ? x : a, b > a || b != b ? b : a)                                       \
            else                                                                                                                 \
                ACCUMULATE(wide, highest, x < a || x != x ? x : a, b < a || b != b ? b : a)                                      \
            return;                                                                                                              \
        }                                                                                                                        \
        sum_type *all = accumulators;                                                                                            \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            all[i] = kind == PRODUCT ? 1 : 0;                                                                                    \
        if (kind == SUM)                                                                                                         \
            ACCUMULATE(sum_type, 0, a + x, a + b)                                                                                \
        else if (kind == PRODUCT)                                                                                                \
            ACCUMULATE(sum_type, 1, a *x, a *b)                                                                                  \
        else if (kind == SUM_ABS)                                                                                                \
            ACCUMULATE(sum_type, 0, a + (abs_x), a + b)                                                                          \
        else                                                                                                                     \
            ACCUMULATE(sum_type, 0, a + x * x, a + b)                                                                            \
    }
#define REAL_KERNEL(name, type, wide) KERNEL(name, type, double, double, -HUGE_VAL, HUGE_VAL, fabs(x))
#define HIGHEST(type) ((int64_t)(((uint64_t)1 << (8 * sizeof(type) - 1)) - 1))
#define SIGNED_KERNEL(name, type, wide)                                                                                          \
    KERNEL(name, type, int64_t, uint64_t, -HIGHEST(type) - 1, HIGHEST(type), x >> 63 ? 0 - x : x)
#define UNSIGNED_KERNEL(name, type, wide) KERNEL(name, type, uint64_t, uint64_t, 0, (type)-1, x)
ASSAY_REAL_TYPES(REAL_KERNEL)
ASSAY_SIGNED_TYPES(SIGNED_KERNEL)
ASSAY_UNSIGNED_TYPES(UNSIGNED_KERNEL)

/* Sums up exp(x - maximum) of each result; maximum[i] is what MAXIMUM found. */
static void accumulate_exp(struct assay_walk *walk, const struct assay_tensor *in, const double *maximum, double *sums)
{
    bool f64 = in->type.dtype == ASSAY_F64;
    for (; walk->more; assay_walk_next(walk))
        for (int64_t i = 0; i < walk->n; i++) {
            int64_t at = walk->offset[0] + i, k = walk->offset[1] + i * walk->step[1];
            double x = f64 ? ((const double *)in->data)[at] : (double)((const float *)in->data)[at];
            sums[k] += x == maximum[k] ? 1 : exp(x - maximum[k]); /* inf - inf would be NaN */
        }
}

/* ---- kernels */

/* The walk over the input, with the accumulators (those of the result, in order) beside it. */
static void start_walk(struct assay_walk *walk, const struct assay_type *in, unsigned mask)
{
    int64_t strides[2][ASSAY_MAX_RANK], stride = 1;
    assay_dims_strides(in, strides[0]);
    for (int d = in->rank - 1; d >= 0; d--) {
        bool reduced = mask >> d & 1;
        strides[1][d] = reduced ? 0 : stride;
        if (!reduced)
            stride = (int64_t)((uint64_t)stride * (uint64_t)in->dims[d]);
    }
    assay_walk_strided(walk, in->rank, in->dims, 2, strides);
}

/* Fills n accumulators (64 bits each). The caller frees them. */
static enum assay_status reduce(struct assay_op_call *call, enum kind kind, void **accumulators, int64_t *n,
                                struct assay_error *err)
{
    const struct assay_tensor *in = call->data[0];
    unsigned mask;
    bool known;
    struct assay_walk walk;
    *n = assay_type_count(&call->outputs[0]);
    *accumulators = NULL;
    enum assay_status st = find_axes(call, &mask, &known, err);
    if (st)
        return st;
    *accumulators = malloc((size_t)*n * sizeof(uint64_t) + 1);
    if (!*accumulators)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for %lld accumulators", (long long)*n);
    start_walk(&walk, &in->type, mask);
    switch (in->type.dtype) {
#define X(name, type, wide)                                                                                                      \
    case ASSAY_##name:                                                                                                           \
        accumulate_##name(&walk, kind, in->data, *accumulators, *n);                                                             \
        break;
        ASSAY_REAL_TYPES(X)
        ASSAY_SIGNED_TYPES(X)
        ASSAY_UNSIGNED_TYPES(X)
#undef X
    case ASSAY_BOOL:
        accumulate_U8(&walk, kind, in->data, *accumulators, *n);
        break;
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets through");
    }
    return ASSAY_OK;
}

/* Results from accumulators; integers keep the low bits. */
static void store(struct assay_tensor *out, const void *accumulators, int64_t n)
{
    switch (out->type.dtype) {
#define CASE(name, type, wide, expression)                                                                                       \
    case ASSAY_##name:                                                                                                           \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            wide a = ((const wide *)accumulators)[i];                                                                            \
            ((type *)out->data)[i] = (type)(expression);                                                                         \
        }                                                                                                                        \
        break;
#define REAL_CASE(name, type, wide) CASE(name, type, double, a)
#define INTEGER_CASE(name, type, wide) CASE(name, type, uint64_t, a)
        ASSAY_REAL_TYPES(REAL_CASE)
        ASSAY_SIGNED_TYPES(INTEGER_CASE)
        ASSAY_UNSIGNED_TYPES(INTEGER_CASE)
        CASE(BOOL, uint8_t, uint64_t, a != 0)
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets through");
    }
}

static enum assay_status run_plain(struct assay_op_call *call, enum kind kind, struct assay_error *err)
{
    void *accumulators;
    int64_t n;
    enum assay_status st = reduce(call, kind, &accumulators, &n, err);
    if (!st)
        store(&call->results[0], accumulators, n);
    free(accumulators);
    return st;
}

static enum assay_status run_sum(struct assay_op_call *call, struct assay_error *err) { return run_plain(call, SUM, err); }
static enum assay_status run_product(struct assay_op_call *call, struct assay_error *err)
{
    return run_plain(call, PRODUCT, err);
}
static enum assay_status run_max(struct assay_op_call *call, struct assay_error *err) { return run_plain(call, MAXIMUM, err); }
static enum assay_status run_min(struct assay_op_call *call, struct assay_error *err) { return run_plain(call, MINIMUM, err); }
static enum assay_status run_l1(struct assay_op_call *call, struct assay_error *err) { return run_plain(call, SUM_ABS, err); }
static enum assay_status run_squares(struct assay_op_call *call, struct assay_error *err)
{
    return run_plain(call, SUM_SQUARE, err);
}

/* How many elements go into one result. */
static enum assay_status count_reduced(const struct assay_op_call *call, int64_t *count, struct assay_error *err)
{
    unsigned mask;
    bool known;
    enum assay_status st = find_axes(call, &mask, &known, err);
    *count = 1;
    for (int d = 0; !st && d < call->inputs[0].rank; d++)
        if ((mask >> d & 1) && __builtin_mul_overflow(*count, call->inputs[0].dims[d], count))
            st = assay_error_set(err, ASSAY_INVALID, "the number of elements that go into one result overflows");
    return st;
}

/* Integer means are rounded towards 0. */
static enum assay_status run_mean(struct assay_op_call *call, struct assay_error *err)
{
    void *accumulators = NULL;
    int64_t n, count;
    enum assay_dtype dtype = call->inputs[0].dtype;
    bool real = assay_dtype_is_float(dtype);
    enum assay_status st = count_reduced(call, &count, err);
    if (!st && count == 0 && !real && assay_type_count(&call->outputs[0]) > 0)
        st = assay_error_set(err, ASSAY_INVALID, "the mean of no integers does not exist");
    if (!st)
        st = reduce(call, SUM, &accumulators, &n, err);
    if (st)
        goto done;
    if (real)
        for (int64_t i = 0; i < n; i++)
            ((double *)accumulators)[i] /= (double)count;
    else if (ASSAY_SET_SIGNED & ASSAY_DTYPE_BIT(dtype))
        for (int64_t i = 0; i < n; i++)
            ((int64_t *)accumulators)[i] /= count;
    else
        for (int64_t i = 0; i < n; i++)
            ((uint64_t *)accumulators)[i] /= (uint64_t)count;
    store(&call->results[0], accumulators, n);
done:
    free(accumulators);
    return st;
}

static enum assay_status run_l2(struct assay_op_call *call, struct assay_error *err)
{
    void *accumulators;
    int64_t n;
    enum assay_status st = reduce(call, SUM_SQUARE, &accumulators, &n, err);
    for (int64_t i = 0; !st && i < n; i++)
        ((double *)accumulators)[i] = sqrt(((double *)accumulators)[i]);
    if (!st)
        store(&call->results[0], accumulators, n);
    free(accumulators);
    return st;
}

static enum assay_status run_log_sum(struct assay_op_call *call, struct assay_error *err)
{
    void *accumulators;
    int64_t n;
    enum assay_status st = reduce(call, SUM, &accumulators, &n, err);
    for (int64_t i = 0; !st && i < n; i++)
        ((double *)accumulators)[i] = log(((double *)accumulators)[i]);
    if (!st)
        store(&call->results[0], accumulators, n);
    free(accumulators);
    return st;
}

static enum assay_status run_log_sum_exp(struct assay_op_call *call, struct assay_error *err)
{
    void *accumulators;
    double *sums = NULL, *maximum;
    int64_t n;
    unsigned mask;
    bool known;
    struct assay_walk walk;
    enum assay_status st = reduce(call, MAXIMUM, &accumulators, &n, err);
    if (!st)
        st = find_axes(call, &mask, &known, err);
    if (st)
        goto done;
    sums = calloc((size_t)n + 1, sizeof *sums);
    if (!sums) {
        st = assay_error_set(err, ASSAY_NO_MEMORY, "no memory for %lld accumulators", (long long)n);
        goto done;
    }
    maximum = accumulators;
    start_walk(&walk, &call->inputs[0], mask);
    accumulate_exp(&walk, call->data[0], maximum, sums);
    for (int64_t i = 0; i < n; i++)
        maximum[i] += log(sums[i]);
    store(&call->results[0], maximum, n);
done:
    free(sums);
    free(accumulators);
    return st;
}

/* ---- gradients */

/* The reduction of a node: along which axes, how many elements make one result, and the result's shape with those as ones. */
struct reduction {
    int64_t axes[ASSAY_MAX_RANK];
    size_t n_axes;
    int64_t n;
    struct assay_type ones;
};

static struct reduction reduction_of(const struct assay_gradient *g)
{
    struct reduction r = {.n = 1, .ones = *g_type(g, 0)};
    unsigned mask = 0;
    bool known = false;
    struct assay_op_call call = e_call(g->e, g->node);
    e_take_known(g->e, find_axes(&call, &mask, &known, NULL), &known, "its axes must be constant");
    for (int d = 0; d < r.ones.rank; d++)
        if (mask >> d & 1) {
            r.n *= r.ones.dims[d];
            r.ones.dims[d] = 1;
            r.axes[r.n_axes++] = d;
        }
    return r;
}

/* The result, or its gradient, so that it broadcasts against the input. */
static int with_ones(struct assay_gradient *g, const struct reduction *r, int value)
{
    return assay_node_int(g->node, "keepdims", 1) ? value : e_reshape(g->e, value, (size_t)r->ones.rank, r->ones.dims);
}

/* The same reduction of something else of the input's shape, dimensions kept. */
static int reduce_like(struct assay_gradient *g, const struct reduction *r, const char *type, int x)
{
    return r->n_axes ? e_reduce(g->e, type, x, true, r->n_axes, r->axes) : x;
}

static void gradient_sum(struct assay_gradient *g)
{
    struct reduction r = reduction_of(g);
    g->in[0] = e_expand_like(g->e, with_ones(g, &r, g->out[0]), g_input(g, 0));
}

static void gradient_mean(struct assay_gradient *g)
{
    struct reduction r = reduction_of(g);
    int dy = with_ones(g, &r, g->out[0]);
    g->in[0] = e_expand_like(g->e, e_scale(g->e, dy, 1.0 / (double)r.n), g_input(g, 0));
}

static void gradient_l1(struct assay_gradient *g)
{
    struct reduction r = reduction_of(g);
    g->in[0] = e_mul(g->e, e_unary(g->e, "Sign", g_input(g, 0)), with_ones(g, &r, g->out[0]));
}

static void gradient_squares(struct assay_gradient *g)
{
    struct reduction r = reduction_of(g);
    g->in[0] = e_mul(g->e, g_input(g, 0), e_scale(g->e, with_ones(g, &r, g->out[0]), 2));
}

/* x / |x|; 0 where all is 0, as PyTorch's. */
static void gradient_l2(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    struct reduction r = reduction_of(g);
    int share = e_drop(e, e_compare(e, "Equal", g_output(g, 0), 0), e_div(e, g->out[0], g_output(g, 0)));
    g->in[0] = e_mul(e, g_input(g, 0), with_ones(g, &r, share));
}

static void gradient_log_sum(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    struct reduction r = reduction_of(g);
    int dy = e_div(e, g->out[0], e_unary(e, "Exp", g_output(g, 0)));
    g->in[0] = e_expand_like(e, with_ones(g, &r, dy), g_input(g, 0));
}

static void gradient_log_sum_exp(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    struct reduction r = reduction_of(g);
    int share = e_unary(e, "Exp", e_sub(e, g_input(g, 0), with_ones(g, &r, g_output(g, 0))));
    g->in[0] = e_mul(e, share, with_ones(g, &r, g->out[0]));
}

/* Equal ones share alike, as in PyTorch's amax. */
static void gradient_extreme(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    struct reduction r = reduction_of(g);
    int x = g_input(g, 0), is_it = e_op(e, "Equal", E_VALUES(x, with_ones(g, &r, g_output(g, 0))));
    is_it = e_indicator(e, is_it, x);
    g->in[0] = e_mul(e, is_it, e_div(e, with_ones(g, &r, g->out[0]), reduce_like(g, &r, "ReduceSum", is_it)));
}

/* The product of the others, which is not the product / x where there are zeros: it is 0 where another is 0, and else the product
 * of those that are not. */
static void gradient_product(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    struct reduction r = reduction_of(g);
    int x = g_input(g, 0), is_zero = e_compare(e, "Equal", x, 0);
    int safe = e_where(e, is_zero, e_number(e, 1, x), x), zero = e_indicator(e, is_zero, x);
    int other_zeros = e_sub(e, reduce_like(g, &r, "ReduceSum", zero), zero);
    int others = e_div(e, reduce_like(g, &r, "ReduceProd", safe), safe);
    g->in[0] = e_mul(e, with_ones(g, &r, g->out[0]), e_drop(e, e_compare(e, "Greater", other_zeros, 0.5), others));
}

const struct assay_op assay_ops_reduce[] = {
    {"ReduceL1", "", 1, 2, ASSAY_OP_VIA_F32, infer_norm, run_l1, assay_cost_per_input, gradient_l1},
    {"ReduceL2", "", 1, 2, ASSAY_OP_VIA_F32, infer_float_norm, run_l2, assay_cost_per_input, gradient_l2},
    {"ReduceLogSum", "", 1, 2, ASSAY_OP_VIA_F32, infer_float_norm, run_log_sum, assay_cost_per_input, gradient_log_sum},
    {"ReduceLogSumExp", "", 1, 2, ASSAY_OP_VIA_F32, infer_float, run_log_sum_exp, assay_cost_per_input, gradient_log_sum_exp},
    {"ReduceMax", "", 1, 2, ASSAY_OP_VIA_F32, infer_extreme, run_max, assay_cost_per_input, gradient_extreme},
    {"ReduceMean", "", 1, 2, ASSAY_OP_VIA_F32, infer_sum, run_mean, assay_cost_per_input, gradient_mean},
    {"ReduceMin", "", 1, 2, ASSAY_OP_VIA_F32, infer_extreme, run_min, assay_cost_per_input, gradient_extreme},
    {"ReduceProd", "", 1, 2, ASSAY_OP_VIA_F32, infer_sum, run_product, assay_cost_per_input, gradient_product},
    {"ReduceSum", "", 1, 2, ASSAY_OP_VIA_F32, infer_sum, run_sum, assay_cost_per_input, gradient_sum},
    {"ReduceSumSquare", "", 1, 2, ASSAY_OP_VIA_F32, infer_norm, run_squares, assay_cost_per_input, gradient_squares},
    {0},
};
