/* SPDX-License-Identifier: Apache-2.0 */
/* Pools over sliding windows of one to three dimensions (MaxPool, AveragePool, LpPool) and over everything (Global…Pool). Padding
 * never counts as a value. Max in the input's own type, the others in double. */
#include "graph/ops/rules.h"
#include "graph/ops/window.h"

#include <math.h>
#include <stdlib.h>

enum kind { MAX, AVERAGE, NORM };

/* What of the window at one output lies inside of the input, in one dimension. */
struct taps {
    int64_t from, to;
    int64_t n_counted; /* those inside of the input or its padding, for count_include_pad */
};

struct pool {
    enum kind kind;
    struct assay_window window;
    struct taps *taps[ASSAY_WINDOW_DIMS]; /* [output] of each dimension; owned */
    int p;                                /* NORM */
    bool count_padding;                   /* AVERAGE */
    bool column_major;                    /* MAX: of indices */
};

static void pool_release(struct pool *pool)
{
    for (int d = 0; d < ASSAY_WINDOW_DIMS; d++)
        free(pool->taps[d]);
}

/* pool->window must be whole. */
static enum assay_status make_taps(struct pool *pool, struct assay_error *err)
{
    const struct assay_window *w = &pool->window;
    for (int d = 0; d < ASSAY_WINDOW_DIMS; d++) {
        pool->taps[d] = malloc((size_t)w->output[d] * sizeof *pool->taps[d]);
        if (!pool->taps[d])
            return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for the windows of a pool of %lld outputs",
                                   (long long)w->output[d]);
        for (int64_t i = 0; i < w->output[d]; i++) {
            struct taps *taps = &pool->taps[d][i];
            assay_window_taps(w, d, i, &taps->from, &taps->to);
            int64_t room = w->input[d] + w->pad_end[d] - assay_window_position(w, d, i, 0);
            int64_t n = (room + w->dilation[d] - 1) / w->dilation[d];
            taps->n_counted = n < w->kernel[d] ? n : w->kernel[d];
        }
    }
    return ASSAY_OK;
}

/* ---- one plane: a channel of an image */

/* The maxima of x [input] into y [output], and where they are, counted from `base`. A NaN is greater than all. */
#define MAX_PLANE(name, type, lowest)                                                                                            \
    static void name(const struct pool *pool, const type *x, type *y, int64_t *indices, int64_t base)                            \
    {                                                                                                                            \
        const struct assay_window *w = &pool->window;                                                                            \
        const int64_t *in = w->input, *out = w->output;                                                                          \
        for (int64_t o = 0; o < assay_window_volume(out); o++) {                                                                 \
            int64_t od = o / out[2] / out[1], oh = o / out[2] % out[1], ow = o % out[2], best_at = -1;                           \
            struct taps td = pool->taps[0][od], th = pool->taps[1][oh], tw = pool->taps[2][ow];                                  \
            type best = lowest;                                                                                                  \
            for (int64_t kd = td.from; kd < td.to; kd++) {                                                                       \
                for (int64_t kh = th.from; kh < th.to; kh++) {                                                                   \
                    int64_t d = assay_window_position(w, 0, od, kd), h = assay_window_position(w, 1, oh, kh);                    \
                    int64_t row = (d * in[1] + h) * in[2] + assay_window_position(w, 2, ow, 0);                                  \
                    for (int64_t kw = tw.from; kw < tw.to; kw++) {                                                               \
                        type value = x[row + kw * w->dilation[2]];                                                               \
                        if (value > best || best_at < 0 || (value != value && best == best)) {                                   \
                            best = value;                                                                                        \
                            best_at = row + kw * w->dilation[2];                                                                 \
                        }                                                                                                        \
                    }                                                                                                            \
                }                                                                                                                \
            }                                                                                                                    \
            y[o] = best;                                                                                                         \
            if (indices && pool->column_major && best_at >= 0)                                                                   \
                best_at = best_at / in[2] / in[1] + in[0] * (best_at / in[2] % in[1] + in[1] * (best_at % in[2]));               \
            if (indices)                                                                                                         \
                indices[o] = best_at < 0 ? -1 : base + best_at;                                                                  \
        }                                                                                                                        \
    }
MAX_PLANE(max_f32, float, -INFINITY)
MAX_PLANE(max_f64, double, -(double)INFINITY)
MAX_PLANE(max_i8, int8_t, INT8_MIN)
MAX_PLANE(max_u8, uint8_t, 0)

/* The sum of x's plain values, or of |x|^p. */
#define SUM_RUN(name, type)                                                                                                      \
    static double name(const struct pool *pool, const type *x, int64_t n, int64_t step)                                          \
    {                                                                                                                            \
        double sum = 0;                                                                                                          \
        if (pool->kind == AVERAGE) {                                                                                             \
            for (int64_t i = 0; i < n; i++)                                                                                      \
                sum += (double)x[i * step];                                                                                      \
        } else if (pool->p == 1) {                                                                                               \
            for (int64_t i = 0; i < n; i++)                                                                                      \
                sum += fabs((double)x[i * step]);                                                                                \
        } else if (pool->p == 2) {                                                                                               \
            for (int64_t i = 0; i < n; i++)                                                                                      \
                sum += (double)x[i * step] * (double)x[i * step];                                                                \
        } else {                                                                                                                 \
            for (int64_t i = 0; i < n; i++)                                                                                      \
                sum += pow(fabs((double)x[i * step]), pool->p);                                                                  \
        }                                                                                                                        \
        return sum;                                                                                                              \
    }

/* Averages or norms of x [input] into y [output]. */
#define SUM_PLANE(name, sum_run, type)                                                                                           \
    static void name(const struct pool *pool, const type *x, type *y)                                                            \
    {                                                                                                                            \
        const struct assay_window *w = &pool->window;                                                                            \
        const int64_t *in = w->input, *out = w->output;                                                                          \
        for (int64_t o = 0; o < assay_window_volume(out); o++) {                                                                 \
            int64_t od = o / out[2] / out[1], oh = o / out[2] % out[1], ow = o % out[2];                                         \
            struct taps td = pool->taps[0][od], th = pool->taps[1][oh], tw = pool->taps[2][ow];                                  \
            double sum = 0;                                                                                                      \
            for (int64_t kd = td.from; kd < td.to; kd++) {                                                                       \
                for (int64_t kh = th.from; kh < th.to && tw.from < tw.to; kh++) {                                                \
                    int64_t d = assay_window_position(w, 0, od, kd), h = assay_window_position(w, 1, oh, kh);                    \
                    int64_t at = (d * in[1] + h) * in[2] + assay_window_position(w, 2, ow, tw.from);                             \
                    sum += sum_run(pool, x + at, tw.to - tw.from, w->dilation[2]);                                               \
                }                                                                                                                \
            }                                                                                                                    \
            y[o] = (type)finish_sum(pool, sum, td, th, tw);                                                                      \
        }                                                                                                                        \
    }

static double finish_sum(const struct pool *pool, double sum, struct taps d, struct taps h, struct taps w)
{
    if (pool->kind == NORM)
        return pool->p == 1 ? sum : pool->p == 2 ? sqrt(sum) : pow(sum, 1.0 / pool->p);
    if (pool->count_padding)
        return sum / ((double)d.n_counted * (double)h.n_counted * (double)w.n_counted);
    return sum / ((double)(d.to - d.from) * (double)(h.to - h.from) * (double)(w.to - w.from));
}

SUM_RUN(sum_run_f32, float)
SUM_RUN(sum_run_f64, double)
SUM_PLANE(sum_f32, sum_run_f32, float)
SUM_PLANE(sum_f64, sum_run_f64, double)

/* All planes of input 0. */
static enum assay_status run_planes(struct assay_op_call *call, struct pool *pool, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0];
    struct assay_tensor *y = &call->results[0];
    if (assay_tensor_count(y) == 0)
        return ASSAY_OK;
    int64_t n_in = assay_window_volume(pool->window.input), n_out = assay_window_volume(pool->window.output);
    int64_t *indices = call->n_outputs > 1 ? call->results[1].data : NULL;
    enum assay_status st = make_taps(pool, err);
    for (int64_t i = 0; !st && i < x->type.dims[0] * x->type.dims[1]; i++) {
        const char *from = (const char *)x->data + (size_t)(i * n_in) * assay_dtype_size(x->type.dtype);
        char *to = (char *)y->data + (size_t)(i * n_out) * assay_dtype_size(y->type.dtype);
        int64_t *at = indices ? indices + i * n_out : NULL;
        if (pool->kind != MAX && x->type.dtype == ASSAY_F32)
            sum_f32(pool, (const float *)from, (float *)to);
        else if (pool->kind != MAX)
            sum_f64(pool, (const double *)from, (double *)to);
        else if (x->type.dtype == ASSAY_F32)
            max_f32(pool, (const float *)from, (float *)to, at, i * n_in);
        else if (x->type.dtype == ASSAY_F64)
            max_f64(pool, (const double *)from, (double *)to, at, i * n_in);
        else if (x->type.dtype == ASSAY_I8)
            max_i8(pool, (const int8_t *)from, (int8_t *)to, at, i * n_in);
        else
            max_u8(pool, (const uint8_t *)from, (uint8_t *)to, at, i * n_in);
    }
    pool_release(pool);
    return st;
}

/* ---- the ops */

static enum kind kind_of(const struct assay_op_call *call)
{
    const char *type = call->node->type;
    return strstr(type, "Max") ? MAX : strstr(type, "Average") ? AVERAGE : NORM;
}

/* The pool of a node, but its taps; input 0 has a known rank. */
static enum assay_status make_pool(const struct assay_op_call *call, struct pool *pool, struct assay_error *err)
{
    const struct assay_node *node = call->node;
    int64_t p = assay_node_int(node, "p", 2);
    *pool = (struct pool){.kind = kind_of(call)};
    if (pool->kind == NORM && (p < 1 || p > 1000))
        return assay_error_set(err, ASSAY_INVALID, "p = %lld gives no norm", (long long)p);
    pool->p = (int)p;
    pool->count_padding = assay_node_int(node, "count_include_pad", 0) != 0;
    pool->column_major = assay_node_int(node, "storage_order", 0) != 0;
    if (strncmp(node->type, "Global", 6) != 0) {
        enum assay_status st = assay_window_init(&pool->window, call, &call->inputs[0], NULL, err);
        return st ? st : assay_window_slide(&pool->window, call, assay_node_int(node, "ceil_mode", 0) != 0, err);
    }
    const struct assay_type *x = &call->inputs[0];
    struct assay_window *w = &pool->window;
    w->n_dims = 1;
    for (int d = 0; d < ASSAY_WINDOW_DIMS; d++)
        w->input[d] = w->output[d] = w->kernel[d] = w->stride[d] = w->dilation[d] = 1;
    w->input[2] = w->kernel[2] = assay_type_is_known(x) ? assay_dims_product(x, 2, x->rank) : -1;
    if (assay_type_is_known(x) && assay_type_count(x) == 0 && x->dims[0] != 0 && x->dims[1] != 0)
        return assay_error_set(err, ASSAY_INVALID, "a pool over no elements has no value");
    return ASSAY_OK;
}

static enum assay_status infer_pool(struct assay_op_call *call, struct assay_error *err)
{
    unsigned set = ASSAY_SET_FLOAT;
    bool is_global = strncmp(call->node->type, "Global", 6) == 0;
    if (kind_of(call) == MAX && !is_global)
        set |= ASSAY_DTYPE_BIT(ASSAY_I8) | ASSAY_DTYPE_BIT(ASSAY_U8);
    const struct assay_type *x = &call->inputs[0];
    struct assay_type *y = &call->outputs[0];
    struct pool pool;
    enum assay_status st = assay_rule_dtype(call, 0, set, err);
    if (!st)
        st = assay_rule_rank(call, 0, is_global ? 2 : 3, ASSAY_MAX_RANK, err);
    y->dtype = x->dtype;
    if (!st && x->rank >= 0) {
        st = make_pool(call, &pool, err);
        if (st)
            return st;
        y->rank = 2;
        y->dims[0] = x->dims[0];
        y->dims[1] = x->dims[1];
        for (int d = 2; is_global && d < x->rank; d++)
            y->dims[y->rank++] = 1;
        if (!is_global)
            assay_window_append(&pool.window, y);
    }
    if (call->n_outputs > 1) {
        call->outputs[1] = *y;
        call->outputs[1].dtype = ASSAY_I64;
    }
    return st;
}

static enum assay_status run_pool(struct assay_op_call *call, struct assay_error *err)
{
    struct pool pool;
    enum assay_status st = make_pool(call, &pool, err);
    return st ? st : run_planes(call, &pool, err);
}

/* An operation for each tap of each window. */
static void cost_pool(const struct assay_op_call *call, struct assay_cost *cost)
{
    struct pool pool;
    if (make_pool(call, &pool, NULL))
        return;
    const int64_t *kernel = pool.window.kernel;
    cost->flops = (double)assay_type_count(&call->outputs[0]) * (double)kernel[0] * (double)kernel[1] * (double)kernel[2];
}

/* ---- gradients */

/* Where the maxima are, in row-major order, whatever order the node's own indices have. */
static int indices_of_maxima(struct assay_gradient *g)
{
    if (!assay_node_int(g->node, "storage_order", 0))
        return g_need_output(g, 1);
    int outputs[] = {-1, 0};
    int indices = e_many(g->e, "MaxPool", "", E_VALUES(g_input(g, 0)), 2, outputs);
    e_set_like(g->e, g->node);
    e_set_int(g->e, "storage_order", 0);
    return indices;
}

static void gradient_max(struct assay_gradient *g)
{
    struct assay_type x = *g_type(g, 0);
    g->in[0] = e_own(g->e, "MaxPoolGradient", E_VALUES(g->out[0], indices_of_maxima(g)));
    e_set_ints(g->e, "input_shape", (size_t)x.rank, x.dims);
}

static void gradient_average(struct assay_gradient *g)
{
    struct assay_op_call call = e_call(g->e, g->node);
    struct pool pool;
    struct assay_error err;
    struct assay_type x = *g_type(g, 0);
    const char *auto_pad = assay_node_string(g->node, "auto_pad", "NOTSET");
    if (!e_take(g->e, make_pool(&call, &pool, &err), &err))
        return;
    g->in[0] = e_own(g->e, "AveragePoolGradient", E_VALUES(g->out[0]));
    assay_window_set(g->e, &pool.window);
    e_set_int(g->e, "count_include_pad", pool.count_padding);
    e_set_int(g->e, "ceil_mode", strncmp(auto_pad, "SAME", 4) != 0 && assay_node_int(g->node, "ceil_mode", 0) != 0);
    e_set_ints(g->e, "input_shape", (size_t)x.rank, x.dims);
}

static void gradient_global_average(struct assay_gradient *g)
{
    struct assay_type x = *g_type(g, 0);
    int64_t n = assay_dims_product(&x, 2, x.rank);
    g->in[0] = e_expand_like(g->e, e_scale(g->e, g->out[0], 1 / (double)n), g_input(g, 0));
}

/* To the first of the largest, as MaxPool has it. */
static void gradient_global_max(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    struct assay_type x = *g_type(g, 0);
    int64_t n = assay_dims_product(&x, 2, x.rank);
    int rows = e_reshape(e, g_input(g, 0), E_INTS(x.dims[0], x.dims[1], n));
    int largest = e_op(e, "ArgMax", E_VALUES(rows));
    e_set_int(e, "axis", 2);
    int dy = e_reshape(e, g->out[0], E_INTS(x.dims[0], x.dims[1], 1));
    int dx = e_op(e, "ScatterElements", E_VALUES(e_full(e, 0, rows), largest, dy));
    e_set_int(e, "axis", 2);
    g->in[0] = e_reshape_like(e, dx, g_input(g, 0));
}

const struct assay_op assay_ops_pool[] = {
    {"MaxPool", "", 1, 1, ASSAY_OP_VIA_F32, infer_pool, run_pool, cost_pool, gradient_max},
    {"AveragePool", "", 1, 1, ASSAY_OP_VIA_F32, infer_pool, run_pool, cost_pool, gradient_average},
    {"LpPool", "", 1, 1, ASSAY_OP_VIA_F32, infer_pool, run_pool, cost_pool},
    {"GlobalMaxPool", "", 1, 1, ASSAY_OP_VIA_F32, infer_pool, run_pool, cost_pool, gradient_global_max},
    {"GlobalAveragePool", "", 1, 1, ASSAY_OP_VIA_F32, infer_pool, run_pool, cost_pool, gradient_global_average},
    {"GlobalLpPool", "", 1, 1, ASSAY_OP_VIA_F32, infer_pool, run_pool, cost_pool},
    {0},
};
