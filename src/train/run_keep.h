/* SPDX-License-Identifier: Apache-2.0 */
/* A run at work, and what it keeps in its folder. Only for run.c, run_keep.c and run_resume.c. */
#ifndef ASSAY_TRAIN_RUN_KEEP_H
#define ASSAY_TRAIN_RUN_KEEP_H

#include "train/forward.h"
#include "train/loss_scale.h"
#include "train/run.h"
#include "train/tensorboard.h"
#include "train/throughput.h"
#include "train/train_checkpoint.h"

struct run {
    const struct assay_run_options *o;
    const struct assay_dataset *dataset;
    struct assay_run_result *result;
    struct assay_task task;
    bool has_task, has_checkpoint;
    struct assay_training_step *step;
    struct assay_training_session *session;
    struct assay_forward *forward;
    struct assay_loader *loader;
    struct assay_tensorboard *board;
    struct assay_training_checkpoint checkpoint; /* that the run goes on from; its tensors are read by the next update */
    struct assay_loss_scale scale;
    struct assay_throughput throughput;
    struct assay_tensor *data; /* [inputs of the graph that has more] */
    struct assay_tensor *part; /* [tensors of the dataset]: of a part of a batch */
    char hash[ASSAY_HASH_TEXT_SIZE];
    int64_t n_done, n_steps, epoch, validate_every, save_every, point_every, eval_batch;
    double pending, last_loss, last_rate; /* pending: sum of the losses of the point that is being made */
    int64_t n_pending, start_ns, wait_ns;
    double seconds_before; /* of the processes that this one goes on from */
    int64_t n_saved;       /* steps that the newest checkpoint has; -1 = there is none */
    json_t *changes;       /* of the settings, at each resume that had some; NULL = none */
    bool board_failed;     /* its last event could not be written, which was told */
};

/* Refuses a folder that has checkpoints, or goes on from the newest: states, step, position in the data, curves. */
enum assay_status assay_run_begin(struct run *run, const struct assay_loader_options *loader,
                                  struct assay_loader_position *position, struct assay_error *err);
/* Once the run's length is known: what its settings have other than those of the checkpoint that it goes on from is told and
 * noted, or refused where that cannot be. */
enum assay_status assay_run_settle(struct run *run, struct assay_error *err);
/* For a checkpoint; the caller's. */
json_t *assay_run_settings(const struct run *run);
json_t *assay_run_curves(const struct run *run);

/* ASSAY_MISMATCH, with what to try and where to go on. `what`: "the loss". */
enum assay_status assay_run_diverged(const struct run *run, const char *what, struct assay_error *err);
/* ASSAY_MISMATCH: parameters are not finite, and nothing was written. */
enum assay_status assay_run_save(struct run *run, struct assay_error *err);
/* config.json and model.safetensors: a model folder as any other. Of an ONNX file: model.onnx. */
enum assay_status assay_run_write_model(struct run *run, struct assay_error *err);

/* In TensorBoard's events, where there are some. What cannot be written is told once, and training goes on. */
void assay_run_scalar(struct run *run, const char *tag, double value);
void assay_run_histograms(struct run *run);

bool assay_run_is_better(const struct run *run, double a, double b);
/* Of a validation that was made now, or one that a checkpoint tells of: the best, and the target. */
void assay_run_judge(struct run *run, const struct assay_run_validation *validation);

void assay_run_tell(const struct run *run, enum assay_run_stage stage, double loss, const char *path);
/* How far a validation or the test is. */
void assay_run_tell_measuring(const struct run *run, enum assay_split split, int64_t n_done, int64_t n_all);
void assay_run_add_point(struct assay_run_result *result, struct assay_run_point point);
void assay_run_add_validation(struct assay_run_result *result, struct assay_run_validation validation);

#endif
