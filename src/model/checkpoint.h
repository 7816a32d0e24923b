/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The weights of a folder as Transformers stores them: model.safetensors, or shards with model.safetensors.index.json.
 *
 * Norms' old names NAME.gamma and NAME.beta are read as NAME.weight and NAME.bias.
 * Files are mapped; a tensor that is taken shares the map, which goes with its last user, so a checkpoint may be closed before
 * the graph that uses it. An index that names a shard outside the folder, or a tensor that isn't in its shard, is ASSAY_INVALID.
 */
#ifndef ASSAY_MODEL_CHECKPOINT_H
#define ASSAY_MODEL_CHECKPOINT_H

#include "model/safetensors.h"

struct assay_checkpoint_file; /* a file and who uses it */

struct assay_checkpoint {
    struct assay_arena arena;
    struct assay_checkpoint_file *files;
    size_t n_files;
    const struct assay_safetensors_entry **entries; /* of all files, sorted by name, borrowed */
    bool *used;                                     /* [n]: taken, or known not to be needed */
    size_t n;
};

/* ASSAY_ABSENT: the folder has no weights that Assay can read; the sentence says what it has instead. */
enum assay_status assay_checkpoint_open(struct assay_checkpoint *checkpoint, const char *folder, struct assay_error *err);
void assay_checkpoint_release(struct assay_checkpoint *checkpoint);
/* Index of the entry of that name, -1 if there is none. */
int64_t assay_checkpoint_find(const struct assay_checkpoint *checkpoint, const char *name);
/* Another owner of the entry's bytes; marks it as used. */
void assay_checkpoint_take(struct assay_checkpoint *checkpoint, int64_t index, struct assay_tensor *tensor);

#endif
