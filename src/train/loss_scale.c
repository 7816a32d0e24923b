/* SPDX-License-Identifier: Apache-2.0 */
/* See loss_scale.h. */
#include "train/loss_scale.h"

static const double most = 0x1p24;

struct assay_loss_scale assay_loss_scale_begin(void) { return (struct assay_loss_scale){.scale = 0x1p16, .interval = 2000}; }

bool assay_loss_scale_is_least(const struct assay_loss_scale *s) { return s->scale <= 1 / most; }

void assay_loss_scale_update(struct assay_loss_scale *s, bool was_finite)
{
    if (s->interval <= 0)
        return;
    if (!was_finite) {
        s->scale = s->scale / 2 > 1 / most ? s->scale / 2 : 1 / most;
        s->n_good = 0;
    } else if (++s->n_good >= s->interval) {
        s->scale = s->scale * 2 < most ? s->scale * 2 : most;
        s->n_good = 0;
    }
}
