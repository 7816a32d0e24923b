/* SPDX-License-Identifier: Apache-2.0 */
/* What `assay bench` shows: a line for each finished case, the table at the end, the profile. */
#ifndef ASSAY_CLI_BENCH_REPORT_H
#define ASSAY_CLI_BENCH_REPORT_H

#include "bench/plan.h"
#include "report/table.h"

/* For ASSAY_FORMAT_TABLE and _MARKDOWN a readable choice of columns, by what the plan's cases have; for JSON and CSV all of the
 * row's. */
void assay_bench_table_columns(struct assay_table *table, enum assay_format format, const struct assay_plan *plan);
void assay_bench_table_add(struct assay_table *table, const struct assay_row *row, enum assay_format format);
/* "ok  detect cpu/onnxruntime, batch 1, 2 threads: 47.1 ms ± 0.4 %". From the arena. */
const char *assay_bench_line(const struct assay_case *c, const struct assay_row *row, struct assay_arena *arena);

/* Makes the table: the ops that take most of the time, and the rest as one line. `profile` as bench/profile.h makes it. */
void assay_bench_profile_make(struct assay_table *table, const json_t *profile);
/* "71.2 % in 48 matrix products at 88 % of peak; 12.0 % in …; 0.8 % outside ops.": all of the run. From the arena; "" if nothing
 * was recorded. */
const char *assay_bench_profile_words(const json_t *profile, struct assay_arena *arena);

#endif
