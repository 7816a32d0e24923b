/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learning-rate schedules: the factor by which a step multiplies the base learning rate.
 *
 * Steps count from 0; W is the warm-up, N where the decay ends, m the lowest factor.
 *   warm-up   t < W:  (t + 1) / (W + 1), the gradual warm-up of Goyal et al., "Accurate, large minibatch SGD" (2017), beginning
 *             above 0 so that no step is wasted
 *   after it, with p = (t - W) / (N - W), at most 1:
 *   constant  1
 *   linear    1 - (1 - m) p, as BERT was trained (Devlin et al., 2019, with m = 0)
 *   cosine    m + (1 - m) (1 + cos(pi p)) / 2, SGDR's equation 5 without restarts (Loshchilov and Hutter, 2017)
 *
 * Written as a name and options: "cosine:warmup=100:min=0.1", "linear:warmup=5%:steps=2000". To add one: a name in
 * schedule.c's table and its line in assay_schedule_factor.
 */
#ifndef ASSAY_TRAIN_SCHEDULE_H
#define ASSAY_TRAIN_SCHEDULE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum assay_schedule_kind { ASSAY_SCHEDULE_CONSTANT, ASSAY_SCHEDULE_LINEAR, ASSAY_SCHEDULE_COSINE };

struct assay_schedule {
    enum assay_schedule_kind kind;
    int64_t warmup_steps;  /* >= 0 */
    double warmup_percent; /* of N, in [0, 100]; counts where it is above 0 */
    int64_t decay_steps;   /* N; 0 = the length of the run */
    double min;            /* m, in [0, 1] */
};

/* ASSAY_INVALID names the part that is not understood. */
enum assay_status assay_schedule_parse(const char *text, struct assay_schedule *schedule, struct assay_error *err);
enum { ASSAY_SCHEDULE_TEXT_SIZE = 128 };
/* The shortest text that parses to the same schedule. Returns text. */
char *assay_schedule_text(const struct assay_schedule *schedule, char text[ASSAY_SCHEDULE_TEXT_SIZE]);
/* Whether factors depend on the run's length. */
bool assay_schedule_follows_length(const struct assay_schedule *schedule);
/* In (0, 1], or 0 where m is 0 and the decay is over. n_steps: the run's length. */
double assay_schedule_factor(const struct assay_schedule *schedule, int64_t step, int64_t n_steps);

#endif
