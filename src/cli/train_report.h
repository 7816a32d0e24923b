/* SPDX-License-Identifier: Apache-2.0 */
/* What `assay train` shows of a finished run: the curves, as a figure and in the terminal. */
#ifndef ASSAY_CLI_TRAIN_REPORT_H
#define ASSAY_CLI_TRAIN_REPORT_H

#include "cli/cli.h"
#include "train/run.h"

/* curves.svg in the folder (NULL = none), and the same as text on stderr, where that is a terminal. */
enum assay_status assay_train_report_curves(struct assay_cli *cli, const struct assay_run_result *result,
                                            const struct assay_run_options *options, const char *dataset,
                                            struct assay_error *err);

#endif
