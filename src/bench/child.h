/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The measuring of one case, in the process that calls it: the child of `assay bench`. Load, compile, first run, warm up,
 * measure, check, and only then, if the outputs were right, figures.
 */
#ifndef ASSAY_BENCH_CHILD_H
#define ASSAY_BENCH_CHILD_H

#include "bench/case.h"

/* Sets the row's outcome, figures, noise and metrics; whatever happens, the row has a status. *profile: NULL, or the profile's
 * lines as JSON (see profile.h), new reference. */
void assay_case_measure(const struct assay_case *c, struct assay_row *row, json_t **profile);

/* The child's main: the case as JSON on stdin, {"row": …, "profile": …} on stdout. Whatever the runtime prints to stdout goes to
 * stderr. Returns the exit code. */
int assay_child_main(void);

#endif
