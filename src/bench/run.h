/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a plan: each case in a child process of its own, with a clean environment, a time limit and a memory limit; whatever
 * becomes of the child, there is a row. Rows go to a callback; what is done with them is not known here.
 */
#ifndef ASSAY_BENCH_RUN_H
#define ASSAY_BENCH_RUN_H

#include "bench/plan.h"
#include "device/device.h"

#include <signal.h>

struct assay_run_options {
    const char *program; /* of the child: a path to assay, called with the one argument ASSAY_CHILD_VERB */
    const char *run_id;
    const struct assay_machine *machine; /* for the row's `where` */
    const char *const *set_environment;  /* "NAME=value" for the child beside the standard ones; NULL-terminated, or NULL */
    int rounds;                          /* the whole plan this many times, so that drift spreads over all cases alike; ≥ 1 */
    const volatile sig_atomic_t *stop;   /* set by a signal handler; may be NULL */
    /* All optional: */
    bool (*is_done)(void *context, const char *case_id, int round); /* already measured in this run (resuming) */
    bool (*skips)(void *context, const struct assay_case *c);       /* not to be measured after what was */
    void (*on_start)(void *context, const struct assay_case *c, int index, int total);
    void *context;
};
#define ASSAY_CHILD_VERB "__case"

/* Called for each row in order. Borrowed for the call; profile may be NULL. A status other than OK stops the run and is returned.
 */
typedef enum assay_status assay_on_row(void *context, const struct assay_case *c, struct assay_row *row, const json_t *profile,
                                       struct assay_error *err);

/* ASSAY_INTERRUPTED after *stop: rows so far were delivered, the case that was cut off has none. */
enum assay_status assay_plan_run(struct assay_plan *plan, const struct assay_run_options *options, assay_on_row *on_row,
                                 struct assay_error *err);

/* "20261122T154500Z-" + 4 random digits + "-" + plan id: sorts by time. From the arena. */
const char *assay_run_id(struct assay_arena *arena, const char *plan_id);

#endif
