/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A roofline plot (Williams, Waterman and Patterson, 2009) as SVG: what a machine can do at most over FLOPs a byte, and where a
 * model's ops lie under it. Dark on light, complete in itself, 900 by 620.
 *
 * Each point says what it is: a bound is drawn hollow, what was measured is filled and says where from. Nothing is drawn that
 * the caller does not give.
 */
#ifndef ASSAY_REPORT_ROOFLINE_H
#define ASSAY_REPORT_ROOFLINE_H

#include "base/status.h"

#include <stddef.h>

/* min(flops, intensity × bytes). The first is the one that bounds are read from. */
struct assay_roofline_roof {
    const char *flops_label, *bytes_label; /* "f32, avx512, 2 threads: 576 GFLOP/s" */
    double flops, bytes;                   /* per second, both > 0 */
};

enum assay_roofline_kind {
    ASSAY_ROOFLINE_OP,       /* a kind of op, all its nodes together: a circle on the roof, sized by its share of FLOPs */
    ASSAY_ROOFLINE_NODE,     /* one node: a dot on the roof */
    ASSAY_ROOFLINE_MODEL,    /* the whole model, bound */
    ASSAY_ROOFLINE_MEASURED, /* the whole model, measured */
};

struct assay_roofline_point {
    enum assay_roofline_kind kind;
    const char *label;
    const char *detail, *date; /* of MEASURED: what the legend says of it, and when; may be NULL */
    double intensity;          /* FLOP/byte, > 0 */
    double rate;               /* FLOP/s, > 0; of OP and NODE ignored */
    double share;              /* of the model's FLOPs, OP only */
    double time_share;         /* of its time under the roof, OP only */
    int colour;                /* OP and NODE: those of one number look alike */
};

struct assay_roofline {
    const char *title, *subtitle;
    const char *const *notes; /* lines below the plot: machine, when measured, how counted */
    size_t n_notes;
    const struct assay_roofline_roof *roofs; /* at least one */
    size_t n_roofs;
    const struct assay_roofline_point *points;
    size_t n_points;
};

/* The SVG as text, from malloc. Points of no positive finite place are left out. */
char *assay_roofline_svg(const struct assay_roofline *roofline);

#endif
