/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Optimizers, with the defaults and formulas of torch.optim; what they compute is in graph/ops/op_update.c. Written as a name and
 * options: "sgd:momentum=0.9:nesterov:weight-decay=5e-4", "adamw:beta2=0.95". The learning rate is not part of it: it comes with
 * each step.
 */
#ifndef ASSAY_TRAIN_OPTIMIZER_H
#define ASSAY_TRAIN_OPTIMIZER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

enum assay_optimizer_kind { ASSAY_OPTIMIZER_SGD, ASSAY_OPTIMIZER_ADAM, ASSAY_OPTIMIZER_ADAMW };

struct assay_optimizer {
    enum assay_optimizer_kind kind;
    double momentum; /* SGD */
    bool nesterov;
    double beta1, beta2, epsilon; /* Adam, AdamW */
    double weight_decay;          /* AdamW 0.01 unless set, the others 0 */
};

/* ASSAY_INVALID names the part that is not understood. */
enum assay_status assay_optimizer_parse(const char *text, struct assay_optimizer *optimizer, struct assay_error *err);
enum { ASSAY_OPTIMIZER_TEXT_SIZE = 160 };
/* In full: every option that the kind has. Returns text. */
char *assay_optimizer_text(const struct assay_optimizer *optimizer, char text[ASSAY_OPTIMIZER_TEXT_SIZE]);

#endif
