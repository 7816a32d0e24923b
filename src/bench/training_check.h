/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence that a training step is right, for a row.
 *
 * Against the reference: losses and gradient norms of the first steps, on the same batch from the same parameters, and the loss
 * of the last timed step (which no update moved: assay_training_rate). A case in another precision is compared with the reference
 * in f32, so that the error tells what the precision costs.
 *
 * Against the definition: the gradient of the platform's program along a random direction, g·v, and the central difference of the
 * loss (L(p + hv) - L(p - hv)) / 2h, which the reference computes in f64. v has for each parameter tensor normal numbers of its
 * size (root mean square); the difference is measured by sqrt(sum (g_i v_i)²), what g·v is typically as large as.
 */
#ifndef ASSAY_BENCH_TRAINING_CHECK_H
#define ASSAY_BENCH_TRAINING_CHECK_H

#include "bench/correctness.h"
#include "bench/training_part.h"

enum { ASSAY_TRAINING_STEPS = 3 }; /* with updates; one more has none after it */

struct assay_training_curve {
    double losses[ASSAY_TRAINING_STEPS + 1], norms[ASSAY_TRAINING_STEPS + 1];
};

struct assay_training_evidence {
    struct assay_training_curve curve, wanted; /* of the platform, of the reference */
    /* Largest relative ones; NaN = not compared. */
    double loss_error, gradient_norm_error, check_gradient_error;
    const char *check_gradient_note; /* why it was not made; NULL if it was. From the arena, as all texts */
};

/* What losses and norms, and the gradient along a direction, may differ by in a precision; with reasons in docs/methodology.md.
 */
double assay_training_tolerance(const char *precision);
double assay_training_gradient_tolerance(const char *precision);

/* losses[ASSAY_TRAINING_STEPS + 1]: of the program that was timed, from its first run on; last_loss: of its last run. `both`: an
 * open part with the backward pass. ASSAY_MISMATCH says what differs; correctness is filled for the row. */
enum assay_status assay_training_check(const struct assay_training_subject *subject, const double *losses, double last_loss,
                                       struct assay_training_part *both, struct assay_training_evidence *evidence,
                                       struct assay_correctness *correctness, struct assay_error *err);
/* Losses and norms of the first steps on a runtime, in a precision (ASSAY_NO_DTYPE = f32). */
enum assay_status assay_training_curve_run(const struct assay_training_subject *subject, enum assay_dtype precision,
                                           const struct assay_runtime *runtime, const struct assay_compile_options *compile,
                                           struct assay_training_curve *curve, struct assay_error *err);
/* |g·v - central difference| by its measure (see above). ASSAY_ABSENT: both are 0, and nothing is trained. */
enum assay_status assay_training_check_gradient(const struct assay_training_subject *subject, struct assay_training_part *both,
                                                double *error, struct assay_error *err);

#endif
