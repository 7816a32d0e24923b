/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A training run: updates over the batches of a dataset, validation, checkpoints, and going on from them.
 *
 * What a run computes is a function of its options, the dataset and the platform with its number of threads, never of time:
 * batches, augmentation and dropout are functions of (seed, step), so a run that was killed and resumed ends with the same bits
 * as one that was not.
 *
 * Ownership: options and dataset are borrowed for the call; a result is released by the caller. Threads: a run at a time for each
 * folder.
 */
#ifndef ASSAY_TRAIN_RUN_H
#define ASSAY_TRAIN_RUN_H

#include "model/safetensors.h"
#include "runtime/runtime.h"
#include "train/schedule.h"
#include "train/step.h"
#include "train/task.h"

enum assay_run_stage { ASSAY_RUN_STARTS, ASSAY_RUN_STEPPED, ASSAY_RUN_MEASURING, ASSAY_RUN_VALIDATED, ASSAY_RUN_SAVED };

struct assay_run_progress {
    enum assay_run_stage stage;
    int64_t step, n_steps, epoch;
    double loss, learning_rate;
    double samples_per_s, left_ns; /* 0 = not known yet */
    const char *metric_name;
    double metric, metric_loss;       /* VALIDATED */
    const char *path;                 /* SAVED: the checkpoint's name */
    enum assay_split split;           /* MEASURING: validation or test */
    int64_t n_measured, n_to_measure; /* MEASURING: samples */
};

struct assay_run_options {
    struct assay_task_options task; /* eval_batch 0 = the batch; seed is the run's */
    const struct assay_runtime *runtime;
    struct assay_compile_options compile;
    struct assay_optimizer optimizer;
    struct assay_schedule schedule;
    double learning_rate, clip_norm;
    enum assay_dtype precision; /* ASSAY_NO_DTYPE = f32; f16 has a dynamic loss scale */
    int accumulate;             /* parts of equal size that a batch is computed in, one after the other; 0 = 1 */
    int recompute;              /* as in step.h */
    const char *const *frozen;  /* as in step.h */
    double epochs;              /* used where n_steps is 0 */
    int64_t n_steps;
    int64_t validate_every; /* steps; 0 = each epoch */
    bool test;              /* the test split is measured at the end */
    bool has_target;
    double target;             /* of the task's metric, on the validation split: the run ends when it is reached */
    const char *target_metric; /* what the target is of, refused where the task has another; NULL = the task's */
    bool augments;
    struct assay_augment_shift shift;
    const char *folder; /* checkpoints, curves, the model; NULL = nothing is kept */
    bool histograms;    /* of parameters and gradients too, at each validation, in TensorBoard's events */
    int64_t save_every; /* steps; 0 = with each validation */
    int keep;
    bool resume;         /* learning rate, schedule, clip_norm and length may be others than those of the run so far */
    bool holds_settings; /* these may not be others: the run is one of several that are compared */
    const volatile sig_atomic_t *stop; /* may be NULL */
    void (*progress)(void *context, const struct assay_run_progress *progress);
    void (*warn)(void *context, const char *sentence);
    void *context;
};

struct assay_run_point {
    double step, loss, learning_rate; /* loss: mean over the steps since the point before */
};
struct assay_run_validation {
    double step, metric, loss;
    double seconds; /* since the first step, the processes before this one included */
};

struct assay_run_result {
    struct assay_arena arena;
    int64_t n_steps, first_step, parameters, n_validations, n_points;
    struct assay_run_point *points;
    struct assay_run_validation *validations;
    const char *metric_name;
    bool larger_is_better;
    double final, best, test, test_loss, loss; /* NaN = not measured */
    int64_t best_step;
    const char *changes; /* of the learning rate, schedule, … at resumes, as a sentence; NULL = one set from the first step on */
    bool reached;
    double time_to_target_s; /* from the first step to the end of the validation that reached it */
    int64_t target_step;
    double wall_s, samples_per_s, data_share; /* of this process; share of the time spent waiting for batches */
    struct assay_safetensors_entry *states;   /* of the end, copies, where keep_states was asked for */
    int n_states;
};

/* ASSAY_INTERRUPTED after a stop, in a validation or the test too; a checkpoint was written where there is a folder, and *result
 * is valid. ASSAY_INVALID: the folder has checkpoints and resume was not asked for; they are of another run or other settings.
 * ASSAY_MISMATCH: the loss is no longer a number, and no checkpoint was made of that. A checkpoint that could not be written (a
 * full disk) is told to `warn` and tried again with the next; ASSAY_IO where the last one or the model could not, and *result is
 * valid. */
enum assay_status assay_run(const struct assay_run_options *options, const struct assay_dataset *dataset, bool keep_states,
                            struct assay_run_result *result, struct assay_error *err);
void assay_run_result_release(struct assay_run_result *result);

#endif
