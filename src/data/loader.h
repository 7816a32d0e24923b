/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loader gives a split of a dataset in batches of one size, read ahead by threads of its own.
 *
 * What a batch holds is a function of the dataset, the options and its place (epoch, number), never of threads or time: the order
 * of an epoch is a permutation that seed and epoch name, and augmentation draws from (seed, epoch, index). So a loader opened at
 * a stored position goes on as if it had never stopped.
 *
 * In training (repeat) epochs follow each other without end, and the last samples of an epoch that fill no batch are left out
 * (others in each epoch). Without repeat all samples come once; the last batch is filled up with its last sample, whose labels
 * are then ASSAY_LABEL_IGNORED, and n says how many count.
 *
 * Ownership: open allocates, close frees; the dataset must live longer. A batch is borrowed until the next call. Threads: one at
 * a time.
 */
#ifndef ASSAY_DATA_LOADER_H
#define ASSAY_DATA_LOADER_H

#include "base/json.h"
#include "base/rng.h"
#include "data/dataset.h"

/* Changes a sample in place: to[i] holds the dataset's tensor i. The same numbers of rng, the same change. */
typedef void assay_augment_function(const void *context, const struct assay_dataset *dataset, struct assay_rng *rng,
                                    void *const *to);

struct assay_loader_options {
    enum assay_split split;
    int64_t batch;
    uint64_t seed;
    bool shuffle, repeat;
    int n_threads;                   /* 0: batches are read when they are asked for */
    int n_ahead;                     /* batches that may wait, ready; 0 = two for each thread */
    assay_augment_function *augment; /* may be NULL */
    const void *augment_context;
};

/* Where the next batch begins: samples of this epoch that were given already. */
struct assay_loader_position {
    int64_t epoch, sample;
};

struct assay_batch {
    struct assay_tensor *tensors; /* the dataset's, each with the batch as its first dimension */
    int n_tensors;
    int64_t n;              /* samples that count; 0: there are no more */
    int64_t epoch, sample;  /* where it began */
    const int64_t *indices; /* n numbers of samples */
    int64_t n_bytes;        /* of text that its labels stand for, 0 where the dataset is no text */
    int64_t wait_ns;        /* how long the caller waited for it: the data time of a step */
};

struct assay_loader;

/* position NULL = the beginning. ASSAY_INVALID: a batch larger than the split, or a position outside of it. */
enum assay_status assay_loader_open(const struct assay_dataset *dataset, const struct assay_loader_options *options,
                                    const struct assay_loader_position *position, struct assay_loader **loader,
                                    struct assay_error *err);
void assay_loader_close(struct assay_loader *loader);
enum assay_status assay_loader_next(struct assay_loader *loader, struct assay_batch *batch, struct assay_error *err);

/* Of the next batch. */
struct assay_loader_position assay_loader_position(const struct assay_loader *loader);
/* Batches of an epoch. */
int64_t assay_loader_batches(const struct assay_loader *loader);

/* The position as a checkpoint keeps it, with what it is a position of: dataset (text and content hash), split, batch, seed,
 * shuffle. Reading it for another dataset or other options is ASSAY_INVALID, and the sentence says which of them differs. */
json_t *assay_loader_json(const struct assay_loader *loader);
enum assay_status assay_loader_position_from_json(const json_t *json, const struct assay_dataset *dataset,
                                                  const struct assay_loader_options *options,
                                                  struct assay_loader_position *position, struct assay_error *err);

/* The usual augmentation of pictures, f32[channels, height, width]: all of them moved by up to `height` and `width`
 * pixels either way (what comes in from outside is the tensor's fill), and mirrored left to right half of the time. Of features
 * of speech, f32[1, frames, coefficients], `height` moves in time. */
struct assay_augment_shift {
    int64_t height, width;
    bool mirror;
};
void assay_augment_images(const void *shift, const struct assay_dataset *dataset, struct assay_rng *rng, void *const *to);

#endif
