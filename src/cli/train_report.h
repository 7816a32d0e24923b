/* SPDX-License-Identifier: Apache-2.0 */
/* What `assay train` says of finished runs: a row for each, their spread, what repeats them, and the curves. */
#ifndef ASSAY_CLI_TRAIN_REPORT_H
#define ASSAY_CLI_TRAIN_REPORT_H

#include "cli/cli.h"
#include "train/run.h"

struct assay_train_report {
    struct assay_cli *cli;
    const struct assay_run_options *options;
    const char *dataset;
    int64_t start_us;    /* UTC */
    const char *changes; /* of settings at a resume, for which no one command repeats the run; NULL = none */
    struct assay_table runs, spread;
    int n_spread, folder_column; /* -1: runs are not kept */
};

void assay_train_report_init(struct assay_train_report *report, struct assay_cli *cli, const struct assay_run_options *options,
                             const char *dataset);
void assay_train_report_release(struct assay_train_report *report);
/* A row; folder: where the run is kept, NULL = nowhere. */
void assay_train_report_run(struct assay_train_report *report, const struct assay_run_result *result, uint64_t seed,
                            const char *folder);
/* Of the n runs out of n_runs that have such a figure: mean with its interval, deviation, range. `what`: "test accuracy". */
void assay_train_report_spread(struct assay_train_report *report, const char *what, const double *x, size_t n, int64_t n_runs);
/* To stdout, as --format says, and the command to stderr. JSON is one object: how the figures came about, "runs", "spread". Gives
 * `code`, or 1 where stdout refuses. */
int assay_train_report_print(struct assay_train_report *report, int code);

/* The command that repeats the runs, without what concerns only where they are kept and shown; from the arena. */
const char *assay_train_report_command(struct assay_cli *cli);

/* curves.svg in the folder (NULL = none), and the same as text on stderr, where that is a terminal and `shows`. */
enum assay_status assay_train_report_curves(struct assay_cli *cli, const struct assay_run_result *result,
                                            const struct assay_run_options *options, const char *dataset, bool shows,
                                            struct assay_error *err);

#endif
