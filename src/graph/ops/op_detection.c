/* SPDX-License-Identifier: Apache-2.0 */
/* Ops of object detectors: NonMaxSuppression, RoiAlign. */
#include "graph/ops/index.h"
#include "graph/ops/util.h"

#include <math.h>
#include <stdlib.h>

/* ---- NonMaxSuppression */

static enum assay_status infer_nms(struct assay_op_call *call, struct assay_error *err)
{
    call->outputs[0] = assay_type_make(ASSAY_I64, 2, (int64_t[]){-1, 3});
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < 2 && !st; i++) {
        st = assay_rule_rank(call, i, 3, 3, err);
        if (!st)
            st = assay_rule_dtype(call, i, ASSAY_DTYPE_BIT(ASSAY_F32), err);
    }
    const struct assay_type *boxes = &call->inputs[0], *scores = &call->inputs[1];
    if (!st && boxes->rank == 3 && scores->rank == 3) {
        int64_t n_batches = boxes->dims[0], n_boxes = boxes->dims[1], four = 4;
        st = assay_rule_merge_dim(&n_batches, scores->dims[0], "the number of batches", err);
        if (!st)
            st = assay_rule_merge_dim(&n_boxes, scores->dims[2], "the number of boxes", err);
        if (!st)
            st = assay_rule_merge_dim(&four, boxes->dims[2], "the last dimension of boxes", err);
    }
    for (int i = 2; i < 5 && !st; i++) {
        const struct assay_tensor *scalar = assay_rule_data(call, i);
        if (scalar && (assay_tensor_count(scalar) != 1 || scalar->type.dtype != (i == 2 ? ASSAY_I64 : ASSAY_F32)))
            st = assay_error_set(err, ASSAY_INVALID, "input %d must be one %s", i, i == 2 ? "i64" : "f32");
    }
    return st;
}

struct box {
    float low[2], high[2], area;
};

/* Any two opposite corners, or centre and size (a negative size is an empty box): as lowest and highest coordinates. */
static struct box read_box(const float *numbers, bool centre)
{
    struct box box;
    for (int k = 0; k < 2; k++) {
        float a = centre ? numbers[k] - numbers[k + 2] / 2 : numbers[k];
        float b = centre ? numbers[k] + numbers[k + 2] / 2 : numbers[k + 2];
        box.low[k] = centre || a < b ? a : b;
        box.high[k] = centre || a < b ? b : a;
    }
    box.area = (box.high[0] - box.low[0]) * (box.high[1] - box.low[1]);
    return box;
}

/* Intersection over union above the threshold. In f32, as the boxes are, so that a tie falls as in other runtimes. */
static bool overlap(const struct box *a, const struct box *b, float threshold)
{
    float sides[2];
    for (int k = 0; k < 2; k++) {
        float low = a->low[k] > b->low[k] ? a->low[k] : b->low[k], high = a->high[k] < b->high[k] ? a->high[k] : b->high[k];
        sides[k] = high - low;
        if (!(sides[k] > 0))
            return false;
    }
    float both = sides[0] * sides[1], either = a->area + b->area - both;
    return both > 0 && a->area > 0 && b->area > 0 && either > 0 && both / either > threshold;
}

struct candidate {
    float score;
    int64_t index;
};

/* Highest score first; of equal ones the lower index. */
static int by_score(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

struct nms {
    bool centre, has_threshold;
    float iou_threshold, score_threshold;
    int64_t limit;
    struct candidate *candidates; /* [n_boxes] */
    struct box *kept;             /* [n_boxes] */
};

/* The boxes kept of one class, their indices into `indices`; how many. */
static int64_t suppress(const struct nms *nms, const float *boxes, const float *scores, int64_t n_boxes, int64_t *indices)
{
    int64_t n = 0, n_kept = 0;
    for (int64_t i = 0; i < n_boxes; i++)
        if (nms->has_threshold ? scores[i] > nms->score_threshold : !isnan(scores[i]))
            nms->candidates[n++] = (struct candidate){scores[i], i};
    qsort(nms->candidates, (size_t)n, sizeof *nms->candidates, by_score);
    for (int64_t i = 0; i < n && n_kept < nms->limit; i++) {
        struct box box = read_box(boxes + 4 * nms->candidates[i].index, nms->centre);
        bool keep = true;
        for (int64_t k = 0; k < n_kept && keep; k++)
            keep = !overlap(&nms->kept[k], &box, nms->iou_threshold);
        if (!keep)
            continue;
        indices[n_kept] = nms->candidates[i].index;
        nms->kept[n_kept++] = box;
    }
    return n_kept;
}

static enum assay_status bytes_alloc(struct assay_tensor *tensor, int64_t n, size_t size, struct assay_error *err)
{
    struct assay_type type = assay_type_make(ASSAY_U8, 2, (int64_t[]){n, (int64_t)size});
    return assay_tensor_alloc(tensor, &type, err);
}

static enum assay_status run_nms(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *boxes = call->data[0], *scores = call->data[1];
    const struct assay_tensor *limit = assay_rule_data(call, 2), *iou = assay_rule_data(call, 3),
                              *floor = assay_rule_data(call, 4);
    int64_t n_batches = scores->type.dims[0], n_classes = scores->type.dims[1], n_boxes = scores->type.dims[2], n_found = 0;
    struct nms nms = {.centre = assay_node_int(call->node, "center_point_box", 0) != 0,
                      .has_threshold = floor != NULL,
                      .iou_threshold = iou ? *(const float *)iou->data : 0,
                      .score_threshold = floor ? *(const float *)floor->data : 0,
                      .limit = limit ? assay_tensor_int(limit, 0) : 0};
    nms.limit = nms.limit < 0 ? 0 : nms.limit > n_boxes ? n_boxes : nms.limit;
    struct assay_tensor candidates = {0}, kept = {0}, chosen = {0}, found = {0};
    struct assay_type room =
        assay_type_make(ASSAY_I64, 2, (int64_t[]){assay_tensor_count(scores) ? n_batches * n_classes : 0, 3});
    int64_t n_lists = room.dims[0];
    bool overflow = __builtin_mul_overflow(n_lists, nms.limit, &room.dims[0]);
    enum assay_status st =
        overflow ? assay_error_set(err, ASSAY_INVALID, "the number of boxes overflows") : assay_tensor_alloc(&found, &room, err);
    if (!st)
        st = bytes_alloc(&candidates, n_boxes, sizeof(struct candidate), err);
    if (!st)
        st = bytes_alloc(&kept, nms.limit, sizeof(struct box), err);
    if (!st)
        st = bytes_alloc(&chosen, nms.limit, sizeof(int64_t), err);
    if (st)
        goto done;
    nms.candidates = candidates.data;
    nms.kept = kept.data;
    int64_t *out = found.data;
    for (int64_t i = 0; i < n_lists; i++) {
        const float *of_batch = (const float *)boxes->data + i / n_classes * n_boxes * 4;
        int64_t n = suppress(&nms, of_batch, (const float *)scores->data + i * n_boxes, n_boxes, chosen.data);
        for (int64_t k = 0; k < n; k++, n_found++) {
            out[3 * n_found] = i / n_classes;
            out[3 * n_found + 1] = i % n_classes;
            out[3 * n_found + 2] = ((const int64_t *)chosen.data)[k];
        }
    }
    room.dims[0] = n_found;
    st = assay_tensor_alloc(&call->results[0], &room, err);
    if (!st)
        memcpy(call->results[0].data, found.data, (size_t)assay_type_bytes(&room));
done:
    assay_tensor_release(&candidates);
    assay_tensor_release(&kept);
    assay_tensor_release(&chosen);
    assay_tensor_release(&found);
    return st;
}

/* ---- RoiAlign */

/* More sampling points a bin than this along one side are a mistake in the boxes. */
enum { MAX_SAMPLES = 1 << 15 };

struct roi_align {
    bool is_max, half_pixel;
    int64_t out[2], sampling; /* height, width */
    double scale;
};

static enum assay_status read_roi_align(const struct assay_op_call *call, struct roi_align *align, struct assay_error *err)
{
    const char *mode = assay_node_string(call->node, "mode", "avg");
    const char *how = assay_node_string(call->node, "coordinate_transformation_mode", "half_pixel");
    *align =
        (struct roi_align){.is_max = strcmp(mode, "max") == 0,
                           .half_pixel = strcmp(how, "half_pixel") == 0,
                           .out = {assay_node_int(call->node, "output_height", 1), assay_node_int(call->node, "output_width", 1)},
                           .sampling = assay_node_int(call->node, "sampling_ratio", 0),
                           .scale = assay_node_float(call->node, "spatial_scale", 1)};
    if (!align->is_max && strcmp(mode, "avg") != 0)
        return assay_error_set(err, ASSAY_INVALID, "mode %s is neither avg nor max", mode);
    if (!align->half_pixel && strcmp(how, "output_half_pixel") != 0)
        return assay_error_set(err, ASSAY_INVALID, "coordinate_transformation_mode %s is not known", how);
    if (align->sampling < 0 || align->sampling > MAX_SAMPLES)
        return assay_error_set(err, ASSAY_INVALID, "sampling_ratio is %" PRId64, align->sampling);
    for (int k = 0; k < 2; k++)
        if (align->out[k] < 1)
            return assay_error_set(err, ASSAY_INVALID, "the output cannot be %" PRId64 " by %" PRId64, align->out[0],
                                   align->out[1]);
    return ASSAY_OK;
}

static enum assay_status infer_roi_align(struct assay_op_call *call, struct assay_error *err)
{
    struct roi_align align;
    enum assay_status st = read_roi_align(call, &align, err);
    if (!st)
        st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_same_dtype(call, 0, 1, err);
    if (!st)
        st = assay_rule_dtype(call, 2, ASSAY_DTYPE_BIT(ASSAY_I64), err);
    const int ranks[] = {4, 2, 1};
    for (int i = 0; i < 3 && !st; i++)
        st = assay_rule_rank(call, i, ranks[i], ranks[i], err);
    int64_t dims[4] = {-1, -1, align.out[0], align.out[1]}, four = 4;
    if (!st && call->inputs[0].rank == 4)
        dims[1] = call->inputs[0].dims[1];
    if (!st && call->inputs[1].rank == 2) {
        dims[0] = call->inputs[1].dims[0];
        st = assay_rule_merge_dim(&four, call->inputs[1].dims[1], "the last dimension of rois", err);
    }
    if (!st && call->inputs[2].rank == 1)
        st = assay_rule_merge_dim(&dims[0], call->inputs[2].dims[0], "the number of rois", err);
    call->outputs[0] = assay_type_make(call->inputs[0].dtype, 4, dims);
    return st;
}

/* A sampling point: four neighbours on the map and their weights. */
struct sample {
    int64_t at[4];
    double weight[4];
};

/* The two neighbours of a coordinate, and the share of the upper one. False if it lies more than 1 off the map. */
static bool neighbours(double at, int64_t size, int64_t *low, int64_t *high, double *share)
{
    if (!(at >= -1 && at <= (double)size))
        return false;
    at = at < 0 ? 0 : at;
    *low = (int64_t)at;
    *share = at - (double)*low;
    if (*low >= size - 1) {
        *low = size - 1;
        *share = 0;
    }
    *high = *low < size - 1 ? *low + 1 : *low;
    return true;
}

static bool make_sample(double y, double x, const int64_t *map, struct sample *sample)
{
    int64_t low[2], high[2];
    double share[2];
    if (!neighbours(y, map[0], &low[0], &high[0], &share[0]) || !neighbours(x, map[1], &low[1], &high[1], &share[1]))
        return false;
    *sample = (struct sample){
        {low[0] * map[1] + low[1], low[0] * map[1] + high[1], high[0] * map[1] + low[1], high[0] * map[1] + high[1]},
        {(1 - share[0]) * (1 - share[1]), (1 - share[0]) * share[1], share[0] * (1 - share[1]), share[0] * share[1]}};
    return true;
}

/* Adds a sample to the sums of all channels, or takes their maximum. The standard's max is that of the four weighted neighbours,
 * not of the interpolated value: its own tests and ONNX Runtime have it so. `sample` NULL is a point off the map: zero. */
#define TAKE(word, type)                                                                                                         \
    static void take_##word(const void *map, int64_t n_channels, int64_t plane, const struct sample *sample, bool is_max,        \
                            bool is_first, double *result)                                                                       \
    {                                                                                                                            \
        const type *data = map;                                                                                                  \
        for (int64_t c = 0; c < n_channels; c++, data += plane) {                                                                \
            double sum = 0, max = 0;                                                                                             \
            for (int k = 0; sample && k < 4; k++) {                                                                              \
                double value = sample->weight[k] * (double)data[sample->at[k]];                                                  \
                sum += value;                                                                                                    \
                max = k == 0 || value > max ? value : max;                                                                       \
            }                                                                                                                    \
            double value = is_max ? max : sum;                                                                                   \
            if (is_first)                                                                                                        \
                result[c] = value;                                                                                               \
            else if (!is_max)                                                                                                    \
                result[c] += value;                                                                                              \
            else if (value > result[c])                                                                                          \
                result[c] = value;                                                                                               \
        }                                                                                                                        \
    }
TAKE(f32, float)
TAKE(f64, double)

/* One region: start and size of a bin, and sampling points along a side of it: for height and width. */
struct region {
    double start[2], bin[2];
    int64_t n[2];
};

static enum assay_status read_region(const struct roi_align *align, const struct assay_tensor *rois, int64_t i,
                                     struct region *region, struct assay_error *err)
{
    for (int k = 0; k < 2; k++) { /* a roi is x1, y1, x2, y2 */
        double offset = align->half_pixel ? 0.5 : 0;
        double low = assay_tensor_real(rois, 4 * i + 1 - k) * align->scale - offset;
        double high = assay_tensor_real(rois, 4 * i + 3 - k) * align->scale - offset;
        double size = align->half_pixel || high - low > 1 ? high - low : 1;
        region->start[k] = low;
        region->bin[k] = size / (double)align->out[k];
        double n = align->sampling ? (double)align->sampling : ceil(region->bin[k]);
        if (!isfinite(low) || !(n <= MAX_SAMPLES))
            return assay_error_set(err, ASSAY_INVALID, "region %" PRId64 " is %g wide, which no map is", i, size);
        region->n[k] = n > 0 ? (int64_t)n : 0;
    }
    return ASSAY_OK;
}

static void pool_bin(const struct roi_align *align, const struct region *region, const int64_t *bin, const struct assay_tensor *x,
                     int64_t batch, double *result)
{
    int64_t n_channels = x->type.dims[1], map[2] = {x->type.dims[2], x->type.dims[3]}, plane = map[0] * map[1];
    size_t skip = (size_t)(batch * n_channels * plane) * assay_dtype_size(x->type.dtype);
    bool is_first = true;
    memset(result, 0, (size_t)n_channels * sizeof *result);
    for (int64_t i = 0; i < region->n[0]; i++)
        for (int64_t k = 0; k < region->n[1]; k++) {
            double y = region->start[0] + region->bin[0] * ((double)bin[0] + ((double)i + 0.5) / (double)region->n[0]);
            double at = region->start[1] + region->bin[1] * ((double)bin[1] + ((double)k + 0.5) / (double)region->n[1]);
            struct sample sample;
            bool is_on_map = make_sample(y, at, map, &sample);
            (x->type.dtype == ASSAY_F32 ? take_f32 : take_f64)((const char *)x->data + skip, n_channels, plane,
                                                               is_on_map ? &sample : NULL, align->is_max, is_first, result);
            is_first = false;
        }
    int64_t n = region->n[0] * region->n[1];
    for (int64_t c = 0; c < n_channels && !align->is_max && n > 1; c++)
        result[c] /= (double)n;
}

static enum assay_status run_roi_align(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0], *rois = call->data[1];
    struct assay_tensor *out = &call->results[0], sums;
    struct roi_align align;
    enum assay_status st = read_roi_align(call, &align, err);
    if (st || assay_tensor_count(out) == 0)
        return st;
    if (assay_tensor_count(x) == 0)
        return assay_error_set(err, ASSAY_INVALID, "there is no map to take regions of: input 0 is empty");
    int64_t n_channels = x->type.dims[1], plane = align.out[0] * align.out[1];
    struct assay_type type = assay_type_make(ASSAY_F64, 1, &n_channels);
    st = assay_tensor_alloc(&sums, &type, err);
    if (st)
        return st;
    for (int64_t i = 0; i < rois->type.dims[0] && !st; i++) {
        struct region region;
        int64_t batch = ((const int64_t *)call->data[2]->data)[i];
        st = batch >= 0 && batch < x->type.dims[0] ? read_region(&align, rois, i, &region, err)
                                                   : assay_index_refuse(batch, x->type.dims[0], err);
        for (int64_t p = 0; p < plane && !st; p++) {
            pool_bin(&align, &region, (int64_t[]){p / align.out[1], p % align.out[1]}, x, batch, sums.data);
            for (int64_t c = 0; c < n_channels; c++) {
                int64_t at = (i * n_channels + c) * plane + p;
                double value = ((const double *)sums.data)[c];
                if (out->type.dtype == ASSAY_F32)
                    ((float *)out->data)[at] = (float)value;
                else
                    ((double *)out->data)[at] = value;
            }
        }
    }
    assay_tensor_release(&sums);
    return st;
}

/* A bilinear sample is four multiply-adds; how many there are depends on the boxes where sampling_ratio is 0: one a bin is said
 * then. */
static void cost_roi_align(const struct assay_op_call *call, struct assay_cost *cost)
{
    double n = (double)assay_node_int(call->node, "sampling_ratio", 0);
    cost->flops = 8 * (n > 0 ? n * n : 1) * (double)assay_type_count(&call->outputs[0]);
}

const struct assay_op assay_ops_detection[] = {
    {"NonMaxSuppression", "", 2, 5, 0, infer_nms, run_nms, NULL},
    {"RoiAlign", "", 3, 3, ASSAY_OP_VIA_F32, infer_roi_align, run_roi_align, cost_roi_align},
    {0},
};
