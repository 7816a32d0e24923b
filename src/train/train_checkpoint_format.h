/* SPDX-License-Identifier: Apache-2.0 */
/* What writing and reading training checkpoints share. Only for train_checkpoint.c and train_checkpoint_open.c. */
#ifndef ASSAY_TRAIN_TRAIN_CHECKPOINT_FORMAT_H
#define ASSAY_TRAIN_TRAIN_CHECKPOINT_FORMAT_H

#include "base/hash.h"
#include "train/train_checkpoint.h"

enum { TRAIN_CHECKPOINT_FORMAT = 1, TRAIN_CHECKPOINT_N_FILES = 2 };
#define TRAIN_CHECKPOINT_NAME "step-%08lld"
#define TRAIN_CHECKPOINT_STATE "state.json"

/* "parameters.safetensors", "optimizer.safetensors". */
const char *assay_train_checkpoint_file(int index);
/* Of a state without its hash: of its JSON with sorted keys. */
void assay_train_checkpoint_hash(const json_t *state, char hash[ASSAY_HASH_TEXT_SIZE]);
/* The steps of the checkpoints in a folder, newest first; none where the folder is missing. */
enum assay_status assay_train_checkpoint_list(const char *folder, struct assay_arena *arena, int64_t **steps, size_t *n,
                                              struct assay_error *err);
/* Everything but the tensors, and that their files have the size that was written. */
enum assay_status assay_train_checkpoint_read_state(const char *path, struct assay_training_checkpoint *checkpoint,
                                                    struct assay_error *err);

#endif
