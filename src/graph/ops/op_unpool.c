/* SPDX-License-Identifier: Apache-2.0 */
/* MaxUnpool, which puts the maxima of MaxPool back to where they came from, and MaxRoiPool, a grid of maxima of each region. */
#include "graph/ops/window.h"

#include <inttypes.h>
#include <math.h>

enum { FLOATS = ASSAY_SET_FLOAT };

/* ---- MaxUnpool */

/* The output's dimensions as strides, kernel and pads give them. */
static enum assay_status unpooled_type(const struct assay_op_call *call, struct assay_type *y, struct assay_error *err)
{
    struct assay_window w;
    enum assay_status st = assay_window_init(&w, call, &call->inputs[0], NULL, err);
    *y = call->inputs[0];
    for (int i = 2; i < y->rank && !st; i++) {
        int d = ASSAY_WINDOW_DIMS - w.n_dims + i - 2;
        if (y->dims[i] < 0)
            continue;
        if (y->dims[i] == 0 || y->dims[i] > (int64_t)1 << 30)
            return assay_error_set(err, ASSAY_INVALID, "an input of size %" PRId64 " in a spatial dimension cannot be",
                                   y->dims[i]);
        y->dims[i] = (y->dims[i] - 1) * w.stride[d] + w.kernel[d] - w.pad_begin[d] - w.pad_end[d];
        if (y->dims[i] < 0)
            return assay_error_set(err, ASSAY_INVALID, "the padding is larger than the output");
    }
    return st;
}

/* An output_shape other than that of the attributes is refused: whether the indices count in the one or the other, the standard's
 * test data and the runtimes say differently (onnx issue 5398). */
static enum assay_status infer_max_unpool(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *y = &call->outputs[0];
    enum assay_status st = assay_rule_dtype(call, 0, FLOATS, err);
    if (!st)
        st = assay_rule_dtype(call, 1, ASSAY_DTYPE_BIT(ASSAY_I64), err);
    if (!st)
        st = assay_rule_rank(call, 0, 3, ASSAY_MAX_RANK, err);
    y->dtype = call->inputs[0].dtype;
    if (st || call->inputs[0].rank < 0)
        return st;
    st = unpooled_type(call, y, err);
    bool shape_given = call->n_inputs > 2 && call->node->inputs[2] >= 0;
    for (int i = 2; shape_given && !assay_rule_data(call, 2) && i < y->rank; i++)
        y->dims[i] = -1; /* the run will tell */
    if (st || !assay_rule_data(call, 2) || !assay_type_is_known(y))
        return st;
    int64_t dims[ASSAY_MAX_RANK];
    size_t n;
    st = assay_rule_ints(assay_rule_data(call, 2), dims, ASSAY_MAX_RANK, &n, err);
    if (!st && (n != (size_t)y->rank || memcmp(dims, y->dims, n * sizeof *dims) != 0))
        st = assay_error_set(err, ASSAY_UNSUPPORTED,
                             "an output_shape other than what kernel, strides and pads give is not supported");
    return st;
}

static enum assay_status run_max_unpool(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0], *indices = call->data[1];
    struct assay_tensor *y = &call->results[0];
    int64_t n = assay_tensor_count(x), room = assay_tensor_count(y);
    const int64_t *at = indices->data;
    if (assay_tensor_count(indices) != n)
        return assay_error_set(err, ASSAY_INVALID, "there are %" PRId64 " indices for %" PRId64 " values",
                               assay_tensor_count(indices), n);
    memset(y->data, 0, (size_t)assay_tensor_bytes(y));
    for (int64_t i = 0; i < n; i++) {
        if (at[i] < 0 || at[i] >= room)
            return assay_error_set(err, ASSAY_INVALID, "index %" PRId64 " is outside of the output's %" PRId64 " elements", at[i],
                                   room);
        if (x->type.dtype == ASSAY_F32)
            ((float *)y->data)[at[i]] = ((const float *)x->data)[i];
        else
            ((double *)y->data)[at[i]] = ((const double *)x->data)[i];
    }
    return ASSAY_OK;
}

/* ---- MaxRoiPool (R. Girshick, "Fast R-CNN", 2015) */

static enum assay_status infer_max_roi_pool(struct assay_op_call *call, struct assay_error *err)
{
    size_t n;
    const int64_t *shape = assay_node_ints(call->node, "pooled_shape", &n);
    const struct assay_type *x = &call->inputs[0], *rois = &call->inputs[1];
    enum assay_status st = assay_rule_dtype(call, 0, FLOATS, err);
    if (!st)
        st = assay_rule_same_dtype(call, 0, 1, err);
    if (!st)
        st = assay_rule_rank(call, 0, 4, 4, err);
    if (!st)
        st = assay_rule_rank(call, 1, 2, 2, err);
    if (st)
        return st;
    if (n != 2 || shape[0] < 1 || shape[1] < 1)
        return assay_error_set(err, ASSAY_INVALID, "pooled_shape must be two positive numbers");
    if (rois->rank == 2 && rois->dims[1] != 5 && rois->dims[1] != -1)
        return assay_error_set(err, ASSAY_INVALID, "a region must be 5 numbers, but is %" PRId64, rois->dims[1]);
    call->outputs[0] = assay_type_make(
        x->dtype, 4, (int64_t[]){rois->rank == 2 ? rois->dims[0] : -1, x->rank == 4 ? x->dims[1] : -1, shape[0], shape[1]});
    return ASSAY_OK;
}

/* The range of rows (or columns) that grid cell `cell` of `n_cells` covers, of a region from `start` to `end` inclusive. */
static void cell_range(int64_t cell, int64_t n_cells, double start, double end, int64_t size, int64_t *from, int64_t *to)
{
    double step = fmax(end - start + 1, 1) / (double)n_cells;
    *from = (int64_t)fmin(fmax(floor((double)cell * step) + start, 0), (double)size);
    *to = (int64_t)fmin(fmax(ceil((double)(cell + 1) * step) + start, 0), (double)size);
}

#define ROI_MAX(name, type)                                                                                                      \
    static void name(const type *x, int64_t width, const int64_t h[2], const int64_t w[2], type *y)                              \
    {                                                                                                                            \
        bool any = false;                                                                                                        \
        *y = 0;                                                                                                                  \
        for (int64_t i = h[0]; i < h[1]; i++) {                                                                                  \
            for (int64_t j = w[0]; j < w[1]; j++) {                                                                              \
                type value = x[i * width + j];                                                                                   \
                if (!any || value > *y)                                                                                          \
                    *y = value;                                                                                                  \
                any = true;                                                                                                      \
            }                                                                                                                    \
        }                                                                                                                        \
    }
ROI_MAX(roi_max_f32, float)
ROI_MAX(roi_max_f64, double)

static enum assay_status run_max_roi_pool(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0], *rois = call->data[1];
    struct assay_tensor *y = &call->results[0];
    const int64_t *in = x->type.dims, *out = y->type.dims;
    double scale = (double)assay_node_float(call->node, "spatial_scale", 1);
    int64_t at = 0;
    if (assay_tensor_count(y) == 0)
        return ASSAY_OK;
    for (int64_t r = 0; r < out[0]; r++) {
        double roi[5];
        for (int i = 0; i < 5; i++)
            roi[i] = i == 0 ? assay_tensor_real(rois, r * 5) : round(assay_tensor_real(rois, r * 5 + i) * scale);
        if (!(roi[0] >= 0 && roi[0] < (double)in[0]) || !isfinite(roi[1] + roi[2] + roi[3] + roi[4]))
            return assay_error_set(err, ASSAY_INVALID, "region %" PRId64 " is none: its image is %g of %" PRId64, r, roi[0],
                                   in[0]);
        for (int64_t i = 0; i < out[1] * out[2] * out[3]; i++, at++) {
            int64_t plane = ((int64_t)roi[0] * in[1] + i / (out[2] * out[3])) * in[2] * in[3], h[2], w[2];
            cell_range(i / out[3] % out[2], out[2], roi[2], roi[4], in[2], &h[0], &h[1]);
            cell_range(i % out[3], out[3], roi[1], roi[3], in[3], &w[0], &w[1]);
            if (x->type.dtype == ASSAY_F32)
                roi_max_f32((const float *)x->data + plane, in[3], h, w, (float *)y->data + at);
            else
                roi_max_f64((const double *)x->data + plane, in[3], h, w, (double *)y->data + at);
        }
    }
    return ASSAY_OK;
}

const struct assay_op assay_ops_unpool[] = {
    {"MaxUnpool", "", 2, 3, ASSAY_OP_VIA_F32, infer_max_unpool, run_max_unpool, NULL},
    {"MaxRoiPool", "", 2, 2, ASSAY_OP_VIA_F32, infer_max_roi_pool, run_max_roi_pool, assay_cost_per_input},
    {0},
};
