/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training curves: loss, accuracy, learning rate and the like over steps, as an SVG figure and as text for a terminal.
 *
 * Panels stand one below another over one axis of steps. A noisy curve of many points is drawn twice: as it is, pale, and as a
 * moving average, whose width the legend tells. What is not finite breaks a curve and is marked with a cross, never left out
 * unsaid.
 */
#ifndef ASSAY_REPORT_CURVES_H
#define ASSAY_REPORT_CURVES_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

enum assay_curve_kind {
    ASSAY_CURVE_NOISY,  /* averaged where its points are many, as a batch's loss */
    ASSAY_CURVE_EXACT,  /* drawn as it is, as a learning rate */
    ASSAY_CURVE_SPARSE, /* few points, each with a mark, as of a validation */
};

struct assay_curve {
    const char *label;            /* "train" */
    const double *steps, *values; /* [n], steps rising and finite */
    size_t n;
    enum assay_curve_kind kind;
    int colour; /* curves of one number look alike in all panels */
};

enum assay_curves_best { ASSAY_CURVES_NO_BEST, ASSAY_CURVES_SMALLEST, ASSAY_CURVES_LARGEST };

struct assay_curves_panel {
    const char *label; /* "loss" */
    const struct assay_curve *curves;
    size_t n_curves;
    double weight;               /* share of the height, > 0 */
    enum assay_curves_best best; /* what is marked and told of sparse curves */
    bool has_target;             /* a value to reach, in the direction of `best` */
    double target;
    bool from_zero;          /* the axis begins at 0 where no value is below it, as of a rate */
    bool may_be_logarithmic; /* where all values are above 0 and the largest is 30 times the smallest */
};

struct assay_curves {
    const char *title, *subtitle;
    const char *step_label;   /* NULL = "step" */
    const char *const *notes; /* lines below the figure: machine, date, command */
    size_t n_notes;
    const struct assay_curves_panel *panels;
    size_t n_panels;
};

/* The SVG as text, from malloc; 900 wide, as high as its panels need. */
char *assay_curves_svg(const struct assay_curves *curves);

struct assay_curves_terminal {
    int n_columns;    /* of the terminal; below 40 counts as 40 */
    int n_rows;       /* of a panel of weight 1; below 3 counts as 3 */
    bool is_utf8;     /* braille dots; else ASCII alone */
    bool is_coloured; /* ANSI colours */
};
/* Lines of text, from malloc, none wider than n_columns. */
char *assay_curves_text(const struct assay_curves *curves, const struct assay_curves_terminal *terminal);

#endif
