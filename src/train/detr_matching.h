/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets of DETR's set loss (model/families/detr.c): each object of an image is given to one query, such that the sum of the
 * costs is the least (linear_assignment.h). As DetrHungarianMatcher of Transformers: the cost of a query and an object is
 * -class_cost · probability of its class + bbox_cost · L1 distance of the boxes - giou_cost · generalized IoU.
 */
#ifndef ASSAY_TRAIN_DETR_MATCHING_H
#define ASSAY_TRAIN_DETR_MATCHING_H

#include "base/json.h"
#include "graph/tensor.h"

struct assay_detr_costs {
    double class_cost, bbox_cost, giou_cost;
};
/* From a model's config.json, with the defaults of Transformers. */
struct assay_detr_costs assay_detr_costs_of(const json_t *config);

/* The objects of one image. Borrowed. */
struct assay_detr_image {
    const struct assay_tensor *class_labels; /* int64 [objects] */
    const struct assay_tensor *boxes;        /* f32 [objects, 4]: centre and size, of the image's 1 */
    const struct assay_tensor *masks;        /* [objects, height, width], not 0 where the object is; NULL = not needed */
};

/* What the training graph reads, by its inputs' names. */
struct assay_detr_targets {
    struct assay_tensor target_classes, target_boxes, target_count;
    struct assay_tensor target_masks; /* empty without masks */
};
void assay_detr_targets_release(struct assay_detr_targets *targets);

/* logits[n_layers], pred_boxes[n_layers]: f32 [images, queries, classes + 1], [images, queries, 4] of each decoder layer with a
 * loss, the last one first. masks are matched as the first, and of one size, that of the largest, the others' at their upper
 * left. ASSAY_INVALID: shapes that don't fit, a class that is none, NaN among the predictions. */
enum assay_status assay_detr_match(const struct assay_detr_costs *costs, const struct assay_tensor *logits,
                                   const struct assay_tensor *pred_boxes, int n_layers, const struct assay_detr_image *images,
                                   int64_t n_images, struct assay_detr_targets *targets, struct assay_error *err);

#endif
