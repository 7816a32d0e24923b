/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Throughput over the batch as SVG: a curve for each case, with its knee, and a cross where memory ended. 900 by 520, complete in
 * itself, dark on light.
 */
#ifndef ASSAY_REPORT_SCALING_H
#define ASSAY_REPORT_SCALING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct assay_scaling_point {
    int64_t batch;
    double throughput;    /* NaN: there is none */
    int64_t memory_bytes; /* at its peak; -1 = not known */
    bool no_memory;       /* memory ended here */
};

struct assay_scaling_curve {
    const char *label;
    const char *unit; /* of the throughput */
    const struct assay_scaling_point *points;
    size_t n_points; /* by rising batch */
    size_t knee;     /* index of a point; n_points = there is none */
};

/* The SVG as text, from malloc; NULL: no curve has a throughput. Curves in another unit than the first are left out, and so are
 * those after the eighth: a line says so. note: a last line below the figure; may be NULL. */
char *assay_scaling_svg(const struct assay_scaling_curve *curves, size_t n, const char *note);

#endif
