/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scaling with the batch: what rows that differ in nothing but their batch tell together.
 *
 * The knee is the smallest batch after which none gains 10 % of throughput for each doubling: beyond it, memory and latency buy
 * little. A slow sample between does not make one.
 */
#ifndef ASSAY_CLI_BATCH_SWEEP_H
#define ASSAY_CLI_BATCH_SWEEP_H

#include "bench/case.h"
#include "report/scaling.h"
#include "report/table.h"

struct assay_sweep_point {
    const char *series; /* the case's label without its batch */
    const char *unit;
    struct assay_scaling_point at;
    size_t round; /* of several rows of one batch: the later is the larger */
};

struct assay_sweep {
    struct assay_arena *arena;
    struct assay_sweep_point *points; /* in the order of the rows */
    size_t n, room;
};

void assay_sweep_add(struct assay_sweep *sweep, const struct assay_case *c, const struct assay_row *row);
/* Whether a smaller batch of the same series, in mode training, has run out of memory. */
bool assay_sweep_is_over(const struct assay_sweep *sweep, const struct assay_case *c);
/* The series that have at least three batches, by name; each with its knee. From the sweep's arena. */
const struct assay_scaling_curve *assay_sweep_curves(const struct assay_sweep *sweep, size_t *n);
/* A line for each of their points. False: there is none, and nothing to release. */
bool assay_sweep_table(const struct assay_sweep *sweep, struct assay_table *table);

#endif
