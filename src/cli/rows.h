/* SPDX-License-Identifier: Apache-2.0 */
/* How verbs reach the rows of the lake: the filter options that they share, filters written in one argument, and opening. */
#ifndef ASSAY_CLI_ROWS_H
#define ASSAY_CLI_ROWS_H

#include "cli/cli.h"
#include "lake/lake.h"

/* The filter options, for a verb's table. */
#define ASSAY_OPTIONS_FILTER                                                                                                     \
    {"model", ASSAY_OPTION_TEXT, "NAME", "Only rows of this model; here and below * stands for any text.", NULL},                \
        {"platform", ASSAY_OPTION_TEXT, "NAME", "Only rows of this platform.", NULL},                                            \
        {"mode", ASSAY_OPTION_TEXT, "MODE", "Only inference or training.", assay_mode_words},                                    \
        {"scenario", ASSAY_OPTION_TEXT, "SCENARIO", "Only single-stream, multi-stream, offline or server.",                      \
         assay_scenario_words},                                                                                                  \
        {"precision", ASSAY_OPTION_TEXT, "PRECISION", "Only f32, f16, bf16, int8, …", NULL},                                     \
        {"batch", ASSAY_OPTION_INT, "N", "Only this number of samples in a run.", NULL},                                         \
        {"threads", ASSAY_OPTION_INT, "N", "Only this number of threads.", NULL},                                                \
        {"status", ASSAY_OPTION_TEXT, "STATUS", "Only ok, unsupported, no_memory, mismatch, timeout or crashed.",                \
         assay_status_words},                                                                                                    \
        {"host", ASSAY_OPTION_TEXT, "NAME", "Only rows of this host.", NULL},                                                    \
        {"suite", ASSAY_OPTION_TEXT, "NAME", "Only rows of this suite.", NULL},                                                  \
        {"family", ASSAY_OPTION_TEXT, "NAME", "Only models of this family: bert, vit, …", NULL},                                 \
        {"provenance", ASSAY_OPTION_TEXT, "WORD", "Only measured, emulated, published or predicted.", assay_provenance_words},   \
        {"run", ASSAY_OPTION_TEXT, "ID", "Only rows of this run.", NULL},                                                        \
        {"since", ASSAY_OPTION_TEXT, "TIME", "Only rows from this date or time on, UTC: 2026-11-22, 2026-11-22T15:04:05.",       \
         NULL},                                                                                                                  \
        {"until", ASSAY_OPTION_TEXT, "TIME", "Only rows up to this time, or to the end of this date.", NULL},                    \
        {"latest", ASSAY_OPTION_FLAG, NULL, "Of each case on each host only the newest row.", NULL},                             \
    {                                                                                                                            \
        "limit", ASSAY_OPTION_INT, "N", "At most N rows, the newest; 0 = all.", NULL                                             \
    }

extern const char *const assay_mode_words[], *const assay_scenario_words[], *const assay_status_words[],
                                                                                *const assay_provenance_words[];

/* From the options of the command line. ASSAY_INVALID for a number that cannot be. */
enum assay_status assay_rows_filter(const struct assay_cli *cli, struct assay_filter *filter, struct assay_error *err);
/* Whether any filter option was given. */
bool assay_rows_is_filtered(const struct assay_cli *cli);

/* One "name=value" of a filter written in an argument; names are those of the options, latest=1 is the flag. The value is
 * borrowed. */
enum assay_status assay_rows_filter_set(struct assay_filter *filter, const char *name, const char *value,
                                        struct assay_error *err);

/* --lake's path, from cli->arena. */
enum assay_status assay_rows_path(struct assay_cli *cli, char **path, struct assay_error *err);
/* Opens --lake; files left out are told as warnings. */
enum assay_status assay_rows_open(struct assay_cli *cli, struct assay_lake **lake, struct assay_error *err);
/* That warning, for other functions of the lake; the context is the struct assay_cli. */
void assay_rows_warn(void *cli, const char *file, const char *reason);

#endif
