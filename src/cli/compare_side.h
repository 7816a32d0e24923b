/* SPDX-License-Identifier: Apache-2.0 */
/* One side of a comparison: the rows that a run id, a date or a filter names, and the cases that two sides have in common. */
#ifndef ASSAY_CLI_COMPARE_SIDE_H
#define ASSAY_CLI_COMPARE_SIDE_H

#include "cli/rows.h"

/* What a case is shown as. */
enum { ASSAY_SIDE_N_SHOWN = 7 };
extern const enum assay_column assay_side_shown[ASSAY_SIDE_N_SHOWN]; /* model, platform, mode, … */

struct assay_side_row {
    const char *key;     /* the values of the matching columns */
    const char *case_id; /* "" if the row has none */
    const char *shown[ASSAY_SIDE_N_SHOWN];
    const char *status, *reason, *provenance;
    bool noisy;
    const double *samples_ns;
    size_t n_samples; /* 0 where there is no timing */
};

struct assay_side {
    struct assay_arena arena;
    struct assay_filter filter;
    const char **pins; /* pairs: name of a filter, its value; ended by NULL */
    struct assay_side_row *rows;
    size_t n_rows, room;
    double *samples_ns; /* of all rows */
    size_t n_samples, samples_room;
};

/* Understands RUN (id or its beginning), DATE, or NAME=VALUE,…; reads no row yet. */
enum assay_status assay_side_init(struct assay_side *side, const char *text, struct assay_error *err);
void assay_side_release(struct assay_side *side);
/* The value that the side pins for a filter, or NULL. */
const char *assay_side_pin(const struct assay_side *side, const char *name);

/* The columns by which cases are matched, in *columns (room for ASSAY_N_COLUMNS): `names` if there are any, else what tells cases
 * apart without those that the sides pin to different values. Returns their number in *n. */
enum assay_status assay_side_keys(const struct assay_side *a, const struct assay_side *b, const char *const *names,
                                  size_t n_names, enum assay_column *columns, size_t *n, struct assay_error *err);
/* Reads the rows, with keys of these columns. ASSAY_ABSENT if there is none. */
enum assay_status assay_side_read(struct assay_side *side, struct assay_lake *lake, const char *text,
                                  const enum assay_column *keys, size_t n_keys, struct assay_error *err);

/* A case: its rows on each side, borrowed from the sides; n = 0 where a side has none. */
struct assay_side_case {
    struct assay_side_row **rows[2];
    size_t n[2];
};
/* All cases of both sides, in the order of what they are shown as. From the arena. */
struct assay_side_case *assay_side_match(struct assay_side *a, struct assay_side *b, struct assay_arena *arena, size_t *n);

#endif
