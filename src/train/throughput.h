/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a training run goes and how long it will take: samples a second over the last steps, and the time left.
 *
 * The caller tells when a step ended and when something other than steps (validation, a checkpoint) took time; the clock is the
 * caller's (base/clock.h). The rate is of steps alone; the time left adds what pauses cost so far, in proportion.
 */
#ifndef ASSAY_TRAIN_THROUGHPUT_H
#define ASSAY_TRAIN_THROUGHPUT_H

#include <stdint.h>

enum { ASSAY_THROUGHPUT_WINDOW = 64 }; /* steps that the rate is taken over */

struct assay_throughput {
    int64_t start_ns; /* of the steps that count: the first one after the start is left out, since it also warms up */
    int64_t n_steps, pauses_ns;
    int64_t end_ns[ASSAY_THROUGHPUT_WINDOW + 1]; /* a ring of step ends, pauses taken out, by n_steps */
    int64_t samples[ASSAY_THROUGHPUT_WINDOW + 1];
};

void assay_throughput_init(struct assay_throughput *throughput);
/* A step of n_samples ended now. */
void assay_throughput_step(struct assay_throughput *throughput, int64_t now_ns, int64_t n_samples);
/* Between two steps, this long was spent on something else. */
void assay_throughput_pause(struct assay_throughput *throughput, int64_t duration_ns);
/* Samples a second over the window; 0 until two steps have ended. */
double assay_throughput_rate(const struct assay_throughput *throughput);
/* Mean time of a step over the window, in ns; 0 until two steps have ended. */
double assay_throughput_step_ns(const struct assay_throughput *throughput);
/* For n_left more steps; 0 until two steps have ended. */
double assay_throughput_left_ns(const struct assay_throughput *throughput, int64_t n_left);

#endif
