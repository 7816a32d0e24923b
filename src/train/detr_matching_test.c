/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "train/detr_matching.h"

#include <math.h>
#include <string.h>

static struct assay_error err;

static struct assay_tensor make(enum assay_dtype dtype, int rank, const int64_t *dims, const double *values)
{
    struct assay_type type = assay_type_make(dtype, rank, dims);
    struct assay_tensor tensor;
    CHECK_OK(assay_tensor_alloc(&tensor, &type, &err), err);
    for (int64_t i = 0; i < assay_tensor_count(&tensor); i++)
        assay_tensor_set_real(&tensor, i, values[i]);
    return tensor;
}

/* Two images, three queries, two classes; the first image has two objects, the second none. */
struct scene {
    struct assay_tensor logits, boxes, classes[2], wanted[2];
    struct assay_detr_image images[2];
};

static void enter(struct scene *s)
{
    static const double logits[18] = {0, 0, 0, 0, 5, 0, 5, 0, 0};
    static const double boxes[24] = {.2, .2, .1, .1, .7, .7, .2, .2, .3, .3, .1, .1,
                                     .5, .5, .1, .1, .5, .5, .1, .1, .5, .5, .1, .1};
    static const double classes[2] = {0, 1}, wanted[8] = {.3, .3, .1, .1, .7, .7, .2, .2};
    s->logits = make(ASSAY_F32, 3, (const int64_t[]){2, 3, 3}, logits);
    s->boxes = make(ASSAY_F32, 3, (const int64_t[]){2, 3, 4}, boxes);
    for (int64_t i = 0; i < 2; i++) {
        int64_t n = i == 0 ? 2 : 0;
        s->classes[i] = make(ASSAY_I64, 1, &n, classes);
        s->wanted[i] = make(ASSAY_F32, 2, (const int64_t[]){n, 4}, wanted);
        s->images[i] = (struct assay_detr_image){&s->classes[i], &s->wanted[i], NULL};
    }
}

static void leave(struct scene *s)
{
    assay_tensor_release(&s->logits);
    assay_tensor_release(&s->boxes);
    for (int i = 0; i < 2; i++) {
        assay_tensor_release(&s->classes[i]);
        assay_tensor_release(&s->wanted[i]);
    }
}

static const struct assay_detr_costs costs = {1, 5, 2};

ASSAY_TEST(queries_get_the_objects_that_they_see_and_the_others_none)
{
    struct scene s;
    struct assay_detr_targets t;
    enter(&s);
    CHECK_OK(assay_detr_match(&costs, &s.logits, &s.boxes, 1, s.images, 2, &t, &err), err);
    static const int64_t classes[] = {2, 1, 0, 2, 2, 2};
    for (int64_t i = 0; i < 6; i++)
        CHECK_INT(assay_tensor_int(&t.target_classes, i), classes[i]);
    CHECK_NEAR(assay_tensor_real(&t.target_boxes, 4), 0.7, 1e-6);
    CHECK_NEAR(assay_tensor_real(&t.target_boxes, 8), 0.3, 1e-6);
    CHECK_NEAR(assay_tensor_real(&t.target_boxes, 2), 1, 0);
    CHECK_NEAR(assay_tensor_real(&t.target_count, 0), 2, 0);
    CHECK(!t.target_masks.data);
    assay_detr_targets_release(&t);
    leave(&s);
}

ASSAY_TEST(masks_go_with_their_objects)
{
    static const double masks[8] = {1, 0, 0, 1, 0, 1, 1, 0};
    struct scene s;
    struct assay_detr_targets t;
    enter(&s);
    struct assay_tensor mask = make(ASSAY_F32, 3, (const int64_t[]){2, 2, 2}, masks);
    s.images[0].masks = &mask;
    CHECK_OK(assay_detr_match(&costs, &s.logits, &s.boxes, 1, s.images, 2, &t, &err), err);
    CHECK_INT(assay_tensor_count(&t.target_masks), 2 * 3 * 4);
    for (int i = 0; i < 4; i++) {
        CHECK_NEAR(assay_tensor_real(&t.target_masks, i), 0, 0);
        CHECK_NEAR(assay_tensor_real(&t.target_masks, 4 + i), masks[4 + i], 0); /* query 1 has object 1 */
        CHECK_NEAR(assay_tensor_real(&t.target_masks, 8 + i), masks[i], 0);
    }
    assay_detr_targets_release(&t);
    assay_tensor_release(&mask);
    leave(&s);
}

ASSAY_TEST(what_does_not_fit_is_named)
{
    struct scene s;
    struct assay_detr_targets t;
    enter(&s);
    assay_tensor_set_real(&s.classes[0], 1, 2);
    CHECK_INT(assay_detr_match(&costs, &s.logits, &s.boxes, 1, s.images, 2, &t, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "image 0: class 2 is none of the model's 2");
    assay_tensor_set_real(&s.classes[0], 1, 1);
    CHECK_INT(assay_detr_match(&costs, &s.logits, &s.boxes, 1, s.images, 1, &t, &err), ASSAY_INVALID);
    assay_tensor_set_real(&s.boxes, 0, NAN);
    CHECK_INT(assay_detr_match(&costs, &s.logits, &s.boxes, 1, s.images, 2, &t, &err), ASSAY_INVALID);
    leave(&s);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(queries_get_the_objects_that_they_see_and_the_others_none),
                ASSAY_TEST_ENTRY(masks_go_with_their_objects), ASSAY_TEST_ENTRY(what_does_not_fit_is_named))
