/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task: a model and a dataset brought together. Which tensor of the dataset goes to which input of the model, what is
 * minimised, and what is measured in validation.
 *
 * Inputs: a tensor of the dataset goes to the input of its name, or of a usual name for its kind (pixel_values, x,
 * input_features, labels …); attention masks are ones, token types zeros, "dropout_seed" is a function of the run's seed and the
 * step. Loss: where the output "logits" has scores for each label, the mean cross-entropy of these. The labels of a text dataset
 * are the tokens that follow, so nothing is shifted and each token of a sample counts, which makes bits per byte exact. Any other
 * model has its own loss, and is judged by it.
 *
 * Ownership: a task owns its graphs; the dataset is borrowed. Threads: one at a time.
 */
#ifndef ASSAY_TRAIN_TASK_H
#define ASSAY_TRAIN_TASK_H

#include "data/loader.h"
#include "model/model.h"
#include "train/step.h"

struct assay_task_options {
    const char *model; /* a folder, an ONNX file, a preset, or an architecture with `fields` */
    /* Fields of the config, "num_labels=10", instead of those that the model has; its weights are random then. */
    const char *const *fields;
    size_t n_fields;
    bool random;               /* weights are drawn (initial.h) also where the model has some */
    const char *const *inputs; /* "INPUT=TENSOR" */
    size_t n_inputs;
    int64_t batch, eval_batch;
    uint64_t seed;
    bool no_dropout;
};

enum assay_feed_kind { ASSAY_FEED_TENSOR, ASSAY_FEED_CONSTANT, ASSAY_FEED_SEED };

struct assay_feed {
    enum assay_feed_kind kind;
    int tensor;                   /* of the dataset */
    struct assay_tensor constant; /* ASSAY_FEED_CONSTANT, ASSAY_FEED_SEED */
};

struct assay_task {
    struct assay_arena arena;
    const struct assay_dataset *dataset;
    struct assay_graph *training, *eval;            /* bound, inferred */
    struct assay_feed *training_feeds, *eval_feeds; /* [n_inputs of each] */
    const char *loss;                               /* output of `training` */
    bool has_scores;                                /* eval gives a loss and the likeliest class for each label; else one loss */
    bool is_random;                                 /* the weights were drawn */
    const char *metric;                             /* "accuracy", "bits-per-byte", "loss" */
    bool larger_is_better;
    int label;      /* tensor of the dataset; -1 = none */
    json_t *config; /* of the model, NULL for an ONNX file */
    struct assay_model_info info;
};

/* ASSAY_INVALID says which input has no data, or which shapes do not fit; ASSAY_IO, that the model's files cannot be read or are
 * no model. After a failure there is nothing to release. */
enum assay_status assay_task_open(struct assay_task *task, const struct assay_task_options *options,
                                  const struct assay_dataset *dataset, struct assay_error *err);
void assay_task_release(struct assay_task *task);
/* Gives the weights back that a session of this step keeps, once its programs are compiled. */
void assay_task_release_states(struct assay_task *task, const struct assay_training_step *step);
/* The data of a batch, data[n_inputs of the graph]; borrowed from batch and task. */
void assay_task_feed(struct assay_task *task, bool training, const struct assay_batch *batch, uint64_t seed, int64_t step,
                     struct assay_tensor *data);

#endif
