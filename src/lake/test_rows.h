/* SPDX-License-Identifier: Apache-2.0 */
/* Rows for the tests and benchmarks of the lake: made from a number, every column set, never taken for a real measurement. */
#ifndef ASSAY_LAKE_TEST_ROWS_H
#define ASSAY_LAKE_TEST_ROWS_H

#include "base/rng.h"
#include "row/row.h"

#include <stdio.h>

/* A valid row whose identity and figures follow from `number` and `run`; the row must be empty. */
static inline void test_row_fill(struct assay_row *row, const char *run, uint64_t number, size_t n_samples)
{
    static const char *const models[] = {"bert-base", "resnet-18", "it's 100%_odd*", "gpt-2"};
    static const char *const platforms[] = {"cpu/reference", "cpu/onnxruntime"};
    struct assay_rng rng;
    char text[64];
    assay_rng_init(&rng, number, assay_rng_stream(run));
    for (int i = 0; i < ASSAY_N_COLUMNS; i++) {
        enum assay_column column = (enum assay_column)i;
        if (assay_columns[i].kind == ASSAY_COLUMN_TEXT) {
            snprintf(text, sizeof text, "%s \"%d\", \xc3\xa4", assay_columns[i].name, (int)(number % 3));
            assay_row_set_text(row, column, text);
        } else if (assay_columns[i].kind == ASSAY_COLUMN_INT) {
            assay_row_set_int(row, column, (int64_t)(assay_rng_u64(&rng) >> 12));
        } else if (assay_columns[i].kind == ASSAY_COLUMN_REAL) {
            assay_row_set_real(row, column, assay_rng_uniform(&rng) * 1e9);
        } else if (assay_columns[i].kind == ASSAY_COLUMN_BOOL) {
            assay_row_set_int(row, column, assay_rng_u32(&rng) & 1);
        }
    }
    snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)assay_rng_stream(run), (unsigned long long)number);
    assay_row_set_text(row, ASSAY_ROW_result_id, text);
    assay_row_set_text(row, ASSAY_ROW_run_id, run);
    assay_row_set_int(row, ASSAY_ROW_schema_version, ASSAY_SCHEMA_VERSION);
    assay_row_set_int(row, ASSAY_ROW_time, 1763823844123456 + (int64_t)number);
    assay_row_set_text(row, ASSAY_ROW_provenance, "measured");
    assay_row_set_text(row, ASSAY_ROW_status, "ok");
    assay_row_set_text(row, ASSAY_ROW_host, "test-host");
    assay_row_set_text(row, ASSAY_ROW_model, models[number % 4]);
    assay_row_set_text(row, ASSAY_ROW_platform, platforms[number / 4 % 2]);
    assay_row_set_int(row, ASSAY_ROW_batch, 1 + (int64_t)(number % 2) * 7);
    double samples[1000];
    n_samples = n_samples < 1000 ? n_samples : 1000;
    for (size_t i = 0; i < n_samples; i++)
        samples[i] = 1e6 * (1 + assay_rng_uniform(&rng));
    assay_row_set_reals(row, ASSAY_ROW_samples_ns, samples, n_samples);
    assay_row_set_int(row, ASSAY_ROW_n_samples, (int64_t)n_samples);
    assay_row_map_real(row, ASSAY_ROW_metrics, "tokens_per_s", assay_rng_uniform(&rng));
    assay_row_map_real(row, ASSAY_ROW_metrics, "o'dd \"key\"", -0.5);
    assay_row_map_reals(row, ASSAY_ROW_series, "loss", samples, n_samples < 3 ? n_samples : 3);
    assay_row_map_reals(row, ASSAY_ROW_series, "empty", samples, 0);
    assay_row_map_text(row, ASSAY_ROW_environment, "OMP_NUM_THREADS", "1");
    /* Cells that are null are as much part of a row as those that are set. */
    row->cells[ASSAY_ROW_energy_j].set = false;
    row->cells[ASSAY_ROW_variant].set = false;
    row->cells[ASSAY_ROW_runtime_memory_bytes].set = number % 2 == 0;
    row->cells[ASSAY_ROW_steady].set = number % 3 != 0;
    row->cells[ASSAY_ROW_environment].set = number % 5 != 0;
}

#endif
