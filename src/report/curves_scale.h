/* SPDX-License-Identifier: Apache-2.0 */
/* What the two drawings of curves share: scales, ticks, averages and what the legend says. Only for curves*.c. */
#ifndef ASSAY_REPORT_CURVES_SCALE_H
#define ASSAY_REPORT_CURVES_SCALE_H

#include "base/arena.h"
#include "report/curves.h"

struct assay_curves_scale {
    double low, high; /* decimal logarithms where is_logarithmic; low < high */
    bool is_logarithmic;
};

enum { ASSAY_CURVES_MAX_TICKS = 24, ASSAY_CURVES_TICK_TEXT = 32 };
struct assay_curves_tick {
    double value, place; /* place: 0 at the low end of the scale, 1 at the high end */
    char text[ASSAY_CURVES_TICK_TEXT];
};

struct assay_curves_scale assay_curves_step_scale(const struct assay_curves *curves);
struct assay_curves_scale assay_curves_value_scale(const struct assay_curves_panel *panel);
/* 0 at the low end, 1 at the high end; of what has a place on the scale. */
double assay_curves_place(const struct assay_curves_scale *scale, double value);
/* About n ticks at round values. Returns how many. */
int assay_curves_ticks(const struct assay_curves_scale *scale, int n, struct assay_curves_tick ticks[ASSAY_CURVES_MAX_TICKS]);
/* "0.0123", "3e-4". Returns text. */
char *assay_curves_number(double value, char text[ASSAY_CURVES_TICK_TEXT]);

/* Points that the moving average of a curve spans, odd; 1 = it has none. */
size_t assay_curves_span(const struct assay_curve *curve);
/* The average around each point over the finite values of the span, NaN where the point is not finite: [curve->n], from malloc,
 * NULL where there is none. */
double *assay_curves_average(const struct assay_curve *curve);

/* Index of the best, the last finite or the first value that is not finite; curve->n = none. */
size_t assay_curves_best_index(const struct assay_curve *curve, enum assay_curves_best best);
size_t assay_curves_last_index(const struct assay_curve *curve);
size_t assay_curves_broken_index(const struct assay_curve *curve);
/* The step at which a sparse curve of the panel first reached the target. */
bool assay_curves_reached(const struct assay_curves_panel *panel, double *step);
/* Of a panel: "0.9 reached at step 700", "0.9 not reached". */
char *assay_curves_target_text(const struct assay_curves_panel *panel, const char *step_label, struct assay_arena *arena);

#endif
