/* SPDX-License-Identifier: Apache-2.0 */
/* See detr_matching.h. */
#include "train/detr_matching.h"

#include "base/arena.h"
#include "train/linear_assignment.h"

#include <math.h>
#include <stdlib.h>

static double number_of(const json_t *config, const char *name, double otherwise)
{
    const json_t *value = json_object_get(config, name);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

struct assay_detr_costs assay_detr_costs_of(const json_t *config)
{
    return (struct assay_detr_costs){.class_cost = number_of(config, "class_cost", 1),
                                     .bbox_cost = number_of(config, "bbox_cost", 5),
                                     .giou_cost = number_of(config, "giou_cost", 2)};
}

void assay_detr_targets_release(struct assay_detr_targets *targets)
{
    assay_tensor_release(&targets->target_classes);
    assay_tensor_release(&targets->target_boxes);
    assay_tensor_release(&targets->target_count);
    assay_tensor_release(&targets->target_masks);
}

/* ---- costs */

static double clamped(double x) { return x > 0 ? x : 0; }

/* Boxes of centre and size, the sides of intersection and hull cut at 0. */
static double generalized_iou(const float *a, const float *b)
{
    double shared = 1, around = 1, area_a = (double)a[2] * a[3], area_b = (double)b[2] * b[3];
    for (int i = 0; i < 2; i++) {
        double a_low = a[i] - 0.5 * a[i + 2], a_high = a[i] + 0.5 * a[i + 2];
        double b_low = b[i] - 0.5 * b[i + 2], b_high = b[i] + 0.5 * b[i + 2];
        shared *= clamped(fmin(a_high, b_high) - fmax(a_low, b_low));
        around *= clamped(fmax(a_high, b_high) - fmin(a_low, b_low));
    }
    double together = area_a + area_b - shared;
    return shared / together - (around - together) / around;
}

static double probability(const float *scores, int64_t n, int64_t class)
{
    double most = scores[0], sum = 0;
    for (int64_t i = 1; i < n; i++)
        most = fmax(most, scores[i]);
    for (int64_t i = 0; i < n; i++)
        sum += exp(scores[i] - most);
    return exp(scores[class] - most) / sum;
}

static double cost_of(const struct assay_detr_costs *c, const float *scores, int64_t n_scores, const float *box, int64_t class,
                      const float *wanted)
{
    double distance = 0;
    for (int i = 0; i < 4; i++)
        distance += fabs((double)box[i] - wanted[i]);
    return c->bbox_cost * distance - c->class_cost * probability(scores, n_scores, class) -
           c->giou_cost * generalized_iou(box, wanted);
}

/* ---- targets */

struct job {
    const struct assay_detr_costs *costs;
    int64_t n_images, n_queries, n_scores;
    struct assay_detr_targets *targets;
};

static enum assay_status alloc(struct assay_tensor *tensor, enum assay_dtype dtype, int rank, const int64_t *dims,
                               struct assay_error *err)
{
    struct assay_type type = assay_type_make(dtype, rank, dims);
    return assay_tensor_alloc(tensor, &type, err);
}

/* Masks of queries without an object stay 0. */
static void copy_mask(const struct job *j, const struct assay_detr_image *image, int64_t object, int64_t row)
{
    const struct assay_type *from = &image->masks->type;
    struct assay_tensor *to = &j->targets->target_masks;
    for (int64_t y = 0; y < from->dims[1]; y++)
        for (int64_t x = 0; x < from->dims[2]; x++) {
            double value = assay_tensor_real(image->masks, (object * from->dims[1] + y) * from->dims[2] + x);
            assay_tensor_set_real(to, (row * to->type.dims[2] + y) * to->type.dims[3] + x, value != 0);
        }
}

static enum assay_status match_image(const struct job *j, int layer, int64_t i, const struct assay_detr_image *image,
                                     const float *scores, const float *boxes, struct assay_error *err)
{
    int64_t n = assay_tensor_count(image->class_labels), q = j->n_queries;
    const float *wanted = image->boxes->data;
    double *costs = assay_alloc((size_t)(q * n + 1) * sizeof *costs);
    int64_t *object_of = assay_alloc((size_t)q * sizeof *object_of);
    for (int64_t k = 0; k < q; k++)
        for (int64_t o = 0; o < n; o++)
            costs[k * n + o] = cost_of(j->costs, scores + k * j->n_scores, j->n_scores, boxes + 4 * k,
                                       assay_tensor_int(image->class_labels, o), wanted + 4 * o);
    for (int64_t k = 0; k < q; k++)
        object_of[k] = -1;
    enum assay_status st = n > 0 ? assay_matching_solve(costs, q, n, object_of, NULL, err) : ASSAY_OK;
    if (st)
        assay_error_prefix(err, st, "image %lld", (long long)i);
    for (int64_t k = 0; k < q && !st; k++) {
        int64_t o = object_of[k], row = (layer * j->n_images + i) * q + k;
        if (o < 0)
            continue;
        assay_tensor_set_real(&j->targets->target_classes, row, (double)assay_tensor_int(image->class_labels, o));
        for (int d = 0; d < 4; d++)
            ((float *)j->targets->target_boxes.data)[4 * row + d] = wanted[4 * o + d];
        if (layer == 0 && image->masks)
            copy_mask(j, image, o, i * q + k);
    }
    free(costs);
    free(object_of);
    return st;
}

/* No object anywhere. */
static enum assay_status clear(const struct job *j, int n_layers, const struct assay_detr_image *images, struct assay_error *err)
{
    static const float none[] = {0.5, 0.5, 1, 1};
    struct assay_detr_targets *t = j->targets;
    int64_t height = 0, width = 0, count = 0, rows = n_layers * j->n_images * j->n_queries;
    for (int64_t i = 0; i < j->n_images; i++) {
        const struct assay_tensor *masks = images[i].masks;
        height = masks && masks->type.dims[1] > height ? masks->type.dims[1] : height;
        width = masks && masks->type.dims[2] > width ? masks->type.dims[2] : width;
        count += assay_tensor_count(images[i].class_labels);
    }
    enum assay_status st = alloc(&t->target_classes, ASSAY_I64, 3, (const int64_t[]){n_layers, j->n_images, j->n_queries}, err);
    if (!st)
        st = alloc(&t->target_boxes, ASSAY_F32, 4, (const int64_t[]){n_layers, j->n_images, j->n_queries, 4}, err);
    if (!st)
        st = alloc(&t->target_count, ASSAY_F32, 0, NULL, err);
    if (!st && height > 0)
        st = alloc(&t->target_masks, ASSAY_F32, 4, (const int64_t[]){j->n_images, j->n_queries, height, width}, err);
    if (st)
        return st;
    for (int64_t k = 0; k < rows; k++) {
        ((int64_t *)t->target_classes.data)[k] = j->n_scores - 1;
        for (int d = 0; d < 4; d++)
            ((float *)t->target_boxes.data)[4 * k + d] = none[d];
    }
    for (int64_t k = 0, n = height > 0 ? assay_tensor_count(&t->target_masks) : 0; k < n; k++)
        ((float *)t->target_masks.data)[k] = 0;
    *(float *)t->target_count.data = count > 1 ? (float)count : 1;
    return ASSAY_OK;
}

/* ---- shapes */

static bool is_f32(const struct assay_tensor *t, int rank) { return t->type.dtype == ASSAY_F32 && t->type.rank == rank; }

static enum assay_status check_image(const struct assay_detr_image *image, int64_t i, int64_t n_classes, struct assay_error *err)
{
    const struct assay_tensor *labels = image->class_labels, *boxes = image->boxes, *masks = image->masks;
    int64_t n = labels->type.rank == 1 ? labels->type.dims[0] : -1;
    bool fits =
        labels->type.dtype == ASSAY_I64 && n >= 0 && is_f32(boxes, 2) && boxes->type.dims[0] == n && boxes->type.dims[1] == 4;
    if (!fits || (masks && (masks->type.rank != 3 || masks->type.dims[0] != n)))
        return assay_error_set(
            err, ASSAY_INVALID,
            "image %lld: classes must be int64 [objects], boxes f32 [objects, 4], masks [objects, height, width]", (long long)i);
    for (int64_t o = 0; o < n; o++)
        if (assay_tensor_int(labels, o) < 0 || assay_tensor_int(labels, o) >= n_classes)
            return assay_error_set(err, ASSAY_INVALID, "image %lld: class %lld is none of the model's %lld", (long long)i,
                                   (long long)assay_tensor_int(labels, o), (long long)n_classes);
    return ASSAY_OK;
}

static enum assay_status check_layers(const struct assay_tensor *logits, const struct assay_tensor *boxes, int n_layers,
                                      int64_t n_images, struct assay_error *err)
{
    for (int k = 0; k < n_layers; k++) {
        const struct assay_type *x = &logits[k].type, *y = &boxes[k].type;
        if (!is_f32(&logits[k], 3) || !is_f32(&boxes[k], 3) || x->dims[0] != n_images || x->dims[2] < 2 ||
            y->dims[0] != n_images || y->dims[1] != x->dims[1] || y->dims[2] != 4 || !assay_type_equal(x, &logits[0].type))
            return assay_error_set(err, ASSAY_INVALID,
                                   "predictions must be f32 [images, queries, classes + 1] and [images, queries, 4]");
    }
    return ASSAY_OK;
}

enum assay_status assay_detr_match(const struct assay_detr_costs *costs, const struct assay_tensor *logits,
                                   const struct assay_tensor *pred_boxes, int n_layers, const struct assay_detr_image *images,
                                   int64_t n_images, struct assay_detr_targets *targets, struct assay_error *err)
{
    *targets = (struct assay_detr_targets){0};
    enum assay_status st = check_layers(logits, pred_boxes, n_layers, n_images, err);
    for (int64_t i = 0; i < n_images && !st; i++)
        st = check_image(&images[i], i, logits[0].type.dims[2] - 1, err);
    if (st)
        return st;
    struct job j = {costs, n_images, logits[0].type.dims[1], logits[0].type.dims[2], targets};
    st = clear(&j, n_layers, images, err);
    for (int k = 0; k < n_layers && !st; k++)
        for (int64_t i = 0; i < n_images && !st; i++)
            st = match_image(&j, k, i, &images[i], (const float *)logits[k].data + i * j.n_queries * j.n_scores,
                             (const float *)pred_boxes[k].data + 4 * i * j.n_queries, err);
    if (st)
        assay_detr_targets_release(targets);
    return st;
}
