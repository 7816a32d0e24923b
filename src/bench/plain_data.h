/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test data beside models written by hand in PyTorch (model/plain.h). Made for training, it holds ten batches stacked on a first
 * axis, and "labels"; outputs named "eval.…" are those of the first batch before training.
 */
#ifndef ASSAY_BENCH_PLAIN_DATA_H
#define ASSAY_BENCH_PLAIN_DATA_H

#include "model/safetensors.h"

/* Makes of such a folder's files what the model takes and gives: inputs of the first batch, outputs without "eval.". Other
 * folders' files stay as they are; `in` and `out` may be NULL. */
void assay_plain_data(const char *folder, struct assay_safetensors *in, struct assay_safetensors *out);

#endif
