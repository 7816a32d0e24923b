/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of a training run: what it takes to go on as if it had never stopped. (The weights of a model folder are
 * model/checkpoint.h.)
 *
 * A checkpoint is a folder, "step-00001234", of three files: parameters.safetensors and optimizer.safetensors, which anybody's
 * reader of that format reads, and state.json, which holds the rest and the BLAKE2b hash of each file and of itself. It is
 * written under a hidden name, synced and renamed, so that it is there whole or not at all, and no other one is touched by it: on
 * a full disk all older ones stay. Reading believes nothing: a checkpoint that is not what was written is refused by name, and
 * the one before it is taken.
 *
 * Threads: one run writes a folder at a time; any number may read.
 */
#ifndef ASSAY_TRAIN_TRAIN_CHECKPOINT_H
#define ASSAY_TRAIN_TRAIN_CHECKPOINT_H

#include "base/arena.h"
#include "base/json.h"
#include "model/safetensors.h"

/* All but the tensors. The JSON values are the affair of who writes them (NULL = none, and so are read); reals in them come back
 * bit by bit, and must be finite. */
struct assay_training_state {
    int64_t step, epoch; /* steps done; epoch of the next one */
    uint64_t seed;
    const char *model_hash; /* of the training graph: a checkpoint of another one is refused */
    bool has_metric;
    double metric;    /* by which the best is chosen, finite */
    json_t *data;     /* where the data set goes on */
    json_t *schedule; /* of the learning rate */
    json_t *metrics;  /* the curves so far */
};

struct assay_training_checkpoint {
    struct assay_arena arena;
    const char *name, *path; /* "step-00001234", and with the folder before it */
    const char *assay_version;
    struct assay_training_state state; /* JSON values are owned here */
    struct assay_safetensors parameters, optimizer;
};

/* Writes one, in place of one of the same step. Each list of tensors may be empty. The folder is made if it is missing; what
 * killed runs left half written in it is removed. */
enum assay_status assay_training_checkpoint_save(const char *folder, const struct assay_training_state *state,
                                                 const struct assay_safetensors_entry *parameters, size_t n_parameters,
                                                 const struct assay_safetensors_entry *optimizer, size_t n_optimizer,
                                                 struct assay_error *err);

enum assay_training_best { ASSAY_TRAINING_NO_BEST, ASSAY_TRAINING_SMALLEST, ASSAY_TRAINING_LARGEST };

/* After a save at `step`: removes all checkpoints up to it but the last `keep` (at least 1) and the one of the best metric. Later
 * ones are left alone, and one that is visibly damaged does not count as kept. */
enum assay_status assay_training_checkpoint_prune(const char *folder, int64_t step, int keep, enum assay_training_best best,
                                                  struct assay_error *err);

/* Opens the newest that is whole. Those that are not, newer than it, are each told to `refused` (may be NULL) in one sentence.
 * ASSAY_ABSENT: there is none in the folder. ASSAY_IO: there are, and none is whole; ASSAY_INVALID: one is whole, but of another
 * model. The sentence says what is wrong with the newest. model_hash NULL: any model's. After a failure there is nothing to
 * release. */
enum assay_status assay_training_checkpoint_open_newest(const char *folder, const char *model_hash,
                                                        void (*refused)(void *context, const char *sentence), void *context,
                                                        struct assay_training_checkpoint *checkpoint, struct assay_error *err);
/* Opens one by its path, or refuses it, with the same statuses. */
enum assay_status assay_training_checkpoint_open(const char *path, const char *model_hash,
                                                 struct assay_training_checkpoint *checkpoint, struct assay_error *err);
void assay_training_checkpoint_release(struct assay_training_checkpoint *checkpoint);

#endif
