/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment of a case's child process. Nothing in it decides silently: variables that steer BLAS, OpenMP, oneDNN and the
 * like are cleared, a few are set, and all of that is recorded in the row's `environment` map as "cleared.NAME", "set.NAME" and,
 * for what is passed on though it can matter, "kept.NAME".
 */
#ifndef ASSAY_BENCH_ENVIRONMENT_H
#define ASSAY_BENCH_ENVIRONMENT_H

#include "row/row.h"

/* The child's environment, NULL-terminated, from the arena. `set`: more "NAME=value", NULL-terminated or NULL. */
const char *const *assay_environment_make(char *const *ours, int n_threads, const char *const *set, struct assay_arena *arena);
/* Records what assay_environment_make changed. */
void assay_environment_record(char *const *ours, const char *const *childs, struct assay_row *row);

#endif
