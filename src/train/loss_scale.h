/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dynamic loss scaling, as f16 needs it (Micikevicius et al., "Mixed precision training", 2018): small gradients become 0 in f16,
 * so the loss is multiplied by as much as they bear. The scale doubles after `interval` updates in a row that were finite, and
 * halves after one that was not; such a step leaves the parameters alone (step.h, gradients_finite). As
 * torch.cuda.amp.GradScaler.
 */
#ifndef ASSAY_TRAIN_LOSS_SCALE_H
#define ASSAY_TRAIN_LOSS_SCALE_H

#include <stdbool.h>
#include <stdint.h>

/* All of it is the state that a resumed run needs. */
struct assay_loss_scale {
    double scale;
    int64_t n_good;   /* finite updates since the scale changed */
    int64_t interval; /* of these until it grows; 0 = the scale is fixed */
};

/* As GradScaler begins: 65536, growing every 2000. */
struct assay_loss_scale assay_loss_scale_begin(void);
/* Whether it can fall no further: gradients that are not finite then are so for another reason than f16's range. */
bool assay_loss_scale_is_least(const struct assay_loss_scale *loss_scale);
/* After an update. The scale stays within 2^-24 and 2^24. */
void assay_loss_scale_update(struct assay_loss_scale *loss_scale, bool was_finite);

#endif
