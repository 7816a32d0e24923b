/* SPDX-License-Identifier: Apache-2.0 */
/* See run.h. The order of things in a step, on which resuming rests: batch, update, validation, checkpoint. */
#include "train/run.h"

#include "base/clock.h"
#include "base/fs.h"
#include "train/forward.h"
#include "train/loss_scale.h"
#include "train/run_keep.h"
#include "train/session.h"
#include "train/tensorboard.h"
#include "train/throughput.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_POINTS = 2000 }; /* of the curve of losses */

/* ---- life */

static struct assay_loader_options loader_options(const struct run *run)
{
    return (struct assay_loader_options){.split = ASSAY_SPLIT_TRAIN,
                                         .batch = run->o->task.batch,
                                         .seed = run->o->task.seed,
                                         .shuffle = true,
                                         .repeat = true,
                                         .n_threads = 1,
                                         .augment = run->o->augments ? assay_augment_images : NULL,
                                         .augment_context = &run->o->shift};
}

/* Of the step without what another process may change about it. */
static enum assay_status hash_step(struct run *run, struct assay_step_options options, struct assay_error *err)
{
    struct assay_training_step *step = NULL;
    if (!run->o->folder)
        return ASSAY_OK;
    bool is_the_same = options.clip_norm <= 0 && !options.gradients;
    options.clip_norm = 0;
    options.gradients = false;
    enum assay_status st = is_the_same ? ASSAY_OK : assay_training_step_make(run->task.training, &options, &step, err);
    if (!st)
        assay_graph_hash(is_the_same ? run->step->graph : step->graph, run->hash);
    assay_training_step_close(step);
    return st;
}

static enum assay_status open_programs(struct run *run, struct assay_error *err)
{
    const struct assay_run_options *o = run->o;
    struct assay_step_options step = {.loss = run->task.loss,
                                      .optimizer = o->optimizer,
                                      .clip_norm = o->clip_norm,
                                      .precision = o->precision,
                                      .loss_scale = o->precision == ASSAY_F16,
                                      .accumulate = o->accumulate,
                                      .recompute = o->recompute,
                                      .frozen = o->frozen,
                                      .gradients = o->folder && o->histograms,
                                      .train_normalization = !run->task.config,
                                      .update = true};
    enum assay_status st = assay_training_step_make(run->task.training, &step, &run->step, err);
    if (!st)
        st = assay_training_session_open(run->step, o->runtime, &o->compile, &run->session, err);
    if (!st)
        st = assay_forward_open(run->task.eval, run->step, o->runtime, &o->compile, &run->forward, err);
    return st ? st : hash_step(run, step, err);
}

static enum assay_status check_target(const struct run *run, struct assay_error *err)
{
    const char *wanted = run->o->target_metric;
    if (!run->o->has_target)
        return ASSAY_OK;
    if (run->dataset->n[ASSAY_SPLIT_VALIDATION] == 0)
        return assay_error_set(err, ASSAY_INVALID, "the dataset has no validation split, so there is no target to reach");
    if (wanted && strcmp(wanted, run->task.metric) != 0)
        return assay_error_set(err, ASSAY_INVALID, "the target cannot be of '%s': this run is measured by '%s'", wanted,
                               run->task.metric);
    return ASSAY_OK;
}

static enum assay_status open_run(struct run *run, struct assay_error *err)
{
    struct assay_task_options task = run->o->task;
    int64_t least = run->o->task.eval_batch ? run->o->task.eval_batch : task.batch;
    for (int s = ASSAY_SPLIT_VALIDATION; s < ASSAY_N_SPLITS; s++)
        if (run->dataset->n[s] > 0 && run->dataset->n[s] < least)
            least = run->dataset->n[s];
    task.eval_batch = run->eval_batch = least;
    if (run->o->accumulate > 1 && task.batch % run->o->accumulate != 0)
        return assay_error_set(err, ASSAY_INVALID, "a batch of %lld cannot be had in %d parts of equal size",
                               (long long)task.batch, run->o->accumulate);
    task.batch /= run->o->accumulate > 1 ? run->o->accumulate : 1;
    enum assay_status st = assay_task_open(&run->task, &task, run->dataset, err);
    if (st)
        return st;
    run->has_task = true;
    run->result->metric_name = run->task.metric;
    run->result->larger_is_better = run->task.larger_is_better;
    st = check_target(run, err);
    if (!st)
        st = open_programs(run, err);
    if (st)
        return st;
    run->result->parameters = run->step->parameters;
    run->scale = assay_loss_scale_begin();
    struct assay_loader_options options = loader_options(run);
    struct assay_loader_position position = {0};
    st = assay_run_begin(run, &options, &position, err);
    if (!st)
        st = assay_loader_open(run->dataset, &options, &position, &run->loader, err);
    if (st)
        return st;
    int64_t batches = assay_loader_batches(run->loader);
    run->n_steps = run->o->n_steps ? run->o->n_steps : (int64_t)ceil(run->o->epochs * (double)batches);
    run->validate_every = run->o->validate_every ? run->o->validate_every : batches;
    run->save_every = run->o->save_every ? run->o->save_every : run->validate_every;
    st = assay_run_settle(run, err);
    if (st)
        return st;
    run->point_every = (run->n_steps + MOST_POINTS - 1) / MOST_POINTS;
    if (run->point_every < 1)
        run->point_every = 1;
    /* Events of the step that the checkpoint has stand in an earlier file: only what comes after it is written anew. */
    if (run->o->folder)
        st = assay_tensorboard_open(run->o->folder, run->n_done ? run->n_done + 1 : 0, &run->board, err);
    assay_training_step_release_initials(run->step);
    assay_task_release_states(&run->task, run->step);
    return st;
}

static void close_run(struct run *run)
{
    assay_tensorboard_close(run->board, NULL);
    assay_loader_close(run->loader);
    assay_forward_close(run->forward);
    assay_training_session_close(run->session);
    assay_training_step_close(run->step);
    if (run->has_checkpoint)
        assay_training_checkpoint_release(&run->checkpoint);
    json_decref(run->changes);
    if (run->has_task)
        assay_task_release(&run->task);
    free(run->data);
    free(run->part);
}

/* ---- validation */

static bool is_stopped(const struct run *run) { return run->o->stop && *run->o->stop; }

struct sums {
    double loss;
    int64_t n_labels, n_right, n_bytes;
};

static enum assay_status add_batch(struct run *run, const struct assay_batch *batch, struct sums *sums, struct assay_error *err)
{
    struct assay_tensor losses, classes;
    assay_task_feed(&run->task, false, batch, 0, 0, run->data);
    enum assay_status st = assay_forward_run(run->forward, run->session, run->data, err);
    if (!st)
        st = assay_forward_output(run->forward, assay_forward_find_output(run->forward, run->task.loss), &losses, err);
    if (st)
        return st;
    if (!run->task.has_scores) {
        sums->loss += assay_tensor_real(&losses, 0) * (double)batch->n;
        sums->n_labels += batch->n;
        return ASSAY_OK;
    }
    st = assay_forward_output(run->forward, 1, &classes, err);
    const int64_t *labels = batch->tensors[run->task.label].data, *got = classes.data;
    for (int64_t i = 0; !st && i < assay_tensor_count(&classes); i++)
        if (labels[i] != ASSAY_LABEL_IGNORED) {
            sums->loss += assay_tensor_real(&losses, i);
            sums->n_labels++;
            sums->n_right += got[i] == labels[i];
        }
    sums->n_bytes += batch->n_bytes;
    return st;
}

static enum assay_status measure(struct run *run, enum assay_split split, double *metric, double *loss, struct assay_error *err)
{
    struct assay_loader *loader = NULL;
    struct sums sums = {0};
    int64_t n_done = 0;
    struct assay_loader_options options = {.split = split, .batch = run->eval_batch, .n_threads = 1};
    enum assay_status st = assay_loader_open(run->dataset, &options, NULL, &loader, err);
    while (!st) {
        struct assay_batch batch;
        st = assay_loader_next(loader, &batch, err);
        if (st || batch.n == 0)
            break;
        if (is_stopped(run)) {
            st = assay_error_set(err, ASSAY_INTERRUPTED, "stopped while the %s split was measured, after step %lld of %lld",
                                 assay_split_word(split), (long long)run->n_done, (long long)run->n_steps);
            break;
        }
        st = add_batch(run, &batch, &sums, err);
        n_done += batch.n;
        assay_run_tell_measuring(run, split, n_done, run->dataset->n[split]);
    }
    assay_loader_close(loader);
    if (st)
        return st;
    double n = sums.n_labels ? (double)sums.n_labels : 1;
    *loss = sums.loss / n;
    *metric = !run->task.has_scores ? *loss : sums.n_bytes ? sums.loss / log(2) / (double)sums.n_bytes : (double)sums.n_right / n;
    return ASSAY_OK;
}

static double elapsed_s(const struct run *run) { return run->seconds_before + (double)(assay_clock_ns() - run->start_ns) / 1e9; }

static enum assay_status validate(struct run *run, struct assay_error *err)
{
    struct assay_run_result *r = run->result;
    double metric, loss;
    int64_t start_ns = assay_clock_ns();
    if (run->o->histograms)
        assay_run_histograms(run);
    if (run->dataset->n[ASSAY_SPLIT_VALIDATION] == 0)
        return ASSAY_OK;
    enum assay_status st = measure(run, ASSAY_SPLIT_VALIDATION, &metric, &loss, err);
    if (st)
        return st;
    if (!isfinite(loss))
        return assay_run_diverged(run, "the validation loss", err);
    assay_throughput_pause(&run->throughput, assay_clock_ns() - start_ns);
    struct assay_run_validation validation = {(double)run->n_done, metric, loss, elapsed_s(run)};
    assay_run_add_validation(r, validation);
    assay_run_judge(run, &validation);
    assay_run_scalar(run, assay_arena_printf(&r->arena, "%s/validation", run->task.metric), metric);
    if (strcmp(run->task.metric, "loss") != 0)
        assay_run_scalar(run, "loss/validation", loss);
    assay_run_tell(run, ASSAY_RUN_VALIDATED, loss, NULL);
    return ASSAY_OK;
}

/* ---- steps */

static enum assay_status note_loss(struct run *run, double loss, double rate, struct assay_error *err)
{
    if (!isfinite(loss))
        return assay_run_diverged(run, "the loss", err);
    run->result->loss = run->last_loss = loss;
    run->last_rate = rate;
    run->pending += loss;
    run->n_pending++;
    if (run->n_pending < run->point_every)
        return ASSAY_OK;
    struct assay_run_point point = {(double)run->n_done, run->pending / (double)run->n_pending, rate};
    assay_run_add_point(run->result, point);
    run->pending = 0;
    run->n_pending = 0;
    assay_run_scalar(run, "loss/train", point.loss);
    assay_run_scalar(run, "learning_rate", rate);
    return ASSAY_OK;
}

/* Part k of n of a batch. */
static struct assay_batch part_of(struct run *run, const struct assay_batch *batch, int k, int n)
{
    struct assay_batch part = *batch;
    part.tensors = run->part;
    part.n = batch->n / n;
    for (int i = 0; i < batch->n_tensors; i++) {
        struct assay_type type = batch->tensors[i].type;
        type.dims[0] /= n;
        assay_tensor_borrow(&run->part[i], &type, (const char *)batch->tensors[i].data + k * assay_type_bytes(&type));
    }
    return part;
}

/* A batch, in one run or in as many as the step accumulates. */
static enum assay_status run_batch(struct run *run, const struct assay_batch *batch, double rate, struct assay_error *err)
{
    int n = run->step->accumulate;
    double scale = run->step->loss_scale >= 0 ? run->scale.scale : 1;
    enum assay_status st = ASSAY_OK;
    for (int k = 0; k < n && !st; k++) {
        struct assay_batch part = n > 1 ? part_of(run, batch, k, n) : *batch;
        assay_task_feed(&run->task, true, &part, run->o->task.seed, run->n_done * n + k, run->data);
        st = assay_training_session_run(run->session, run->data, rate, scale, err);
    }
    return st ? assay_error_prefix(err, st, "step %lld", (long long)run->n_done + 1) : ASSAY_OK;
}

static enum assay_status one_step(struct run *run, struct assay_error *err)
{
    struct assay_batch batch;
    double loss = 0, rate = run->o->learning_rate * assay_schedule_factor(&run->o->schedule, run->n_done, run->n_steps);
    enum assay_status st = assay_loader_next(run->loader, &batch, err);
    if (st)
        return st;
    run->wait_ns += batch.wait_ns;
    run->epoch = batch.epoch;
    st = run_batch(run, &batch, rate, err);
    if (!st)
        st = assay_training_session_number(run->session, run->step->loss, &loss, err);
    if (st)
        return st;
    bool is_finite = assay_training_session_is_finite(run->session);
    run->n_done++;
    if (!is_finite && assay_loss_scale_is_least(&run->scale))
        return assay_run_diverged(run, "the gradient", err);
    if (run->step->loss_scale >= 0)
        assay_loss_scale_update(&run->scale, is_finite);
    assay_throughput_step(&run->throughput, assay_clock_ns(), batch.n);
    if (is_finite || isfinite(loss))
        st = note_loss(run, loss, rate, err);
    assay_run_tell(run, ASSAY_RUN_STEPPED, loss, NULL);
    return st;
}

/* What cannot be written now is not lost while the run goes on: the next one is tried. */
static enum assay_status save(struct run *run, bool is_last, struct assay_error *err)
{
    struct assay_error why;
    enum assay_status st = assay_run_save(run, &why);
    if (!st)
        run->n_saved = run->n_done;
    if (st == ASSAY_IO && !is_last) {
        if (run->o->warn)
            run->o->warn(run->o->context, assay_arena_printf(&run->result->arena, "%s; the run goes on", why.message));
        return ASSAY_OK;
    }
    return st ? assay_error_set(err, st, "%s", why.message) : ASSAY_OK;
}

static bool is_validated(const struct run *run)
{
    const struct assay_run_result *r = run->result;
    return r->n_validations && r->validations[r->n_validations - 1].step == (double)run->n_done;
}

/* What is due after a step: validation, checkpoint. */
static enum assay_status end_step(struct run *run, struct assay_error *err)
{
    bool is_last = run->n_done == run->n_steps, validates = is_last || run->n_done % run->validate_every == 0;
    enum assay_status st = validates ? validate(run, err) : ASSAY_OK;
    is_last = is_last || run->result->reached;
    if (!st && run->o->folder && (is_last || run->n_done % run->save_every == 0))
        st = save(run, is_last, err);
    return st;
}

/* A checkpoint of a run that was stopped in a validation lacks that; one of a dataset without validation lacks nothing. */
static bool lacks_validation(const struct run *run)
{
    bool is_due = run->n_done == run->n_steps || (run->n_done < run->n_steps && run->n_done % run->validate_every == 0);
    return run->n_done > 0 && is_due && !is_validated(run) && run->dataset->n[ASSAY_SPLIT_VALIDATION] > 0;
}

static enum assay_status loop(struct run *run, struct assay_error *err)
{
    struct assay_error lost;
    enum assay_status st = lacks_validation(run) ? end_step(run, err) : ASSAY_OK;
    while (!st && run->n_done < run->n_steps && !run->result->reached && !is_stopped(run)) {
        st = one_step(run, err);
        if (!st)
            st = end_step(run, err);
    }
    if ((st && st != ASSAY_INTERRUPTED) || (!st && (run->n_done >= run->n_steps || run->result->reached)))
        return st;
    if (!st)
        st = assay_error_set(err, ASSAY_INTERRUPTED, "stopped after step %lld of %lld", (long long)run->n_done,
                             (long long)run->n_steps);
    if (!run->o->folder || run->n_done == 0 || run->n_saved == run->n_done)
        return st;
    enum assay_status saved = save(run, true, &lost);
    return saved ? assay_error_set(err, saved, "%s", lost.message) : st;
}

static enum assay_status copy_states(struct run *run, struct assay_error *err)
{
    struct assay_run_result *r = run->result;
    enum assay_status st = ASSAY_OK;
    r->states = assay_arena_array(&r->arena, (size_t)run->step->n_states, sizeof *r->states);
    for (int i = 0; i < run->step->n_states && !st; i++) {
        struct assay_tensor state;
        st = assay_training_session_state(run->session, i, &state, err);
        if (!st)
            st = assay_tensor_copy(&r->states[i].tensor, &state, err);
        if (st)
            break;
        r->states[i].name = assay_arena_strdup(&r->arena, run->step->states[i].name);
        r->n_states++;
    }
    return st;
}

static void sum_up(struct run *run)
{
    struct assay_run_result *r = run->result;
    double wall_ns = (double)(assay_clock_ns() - run->start_ns);
    r->n_steps = run->n_done;
    r->wall_s = elapsed_s(run);
    r->samples_per_s = assay_throughput_rate(&run->throughput);
    r->data_share = wall_ns > 0 ? (double)run->wait_ns / wall_ns : 0;
}

enum assay_status assay_run(const struct assay_run_options *options, const struct assay_dataset *dataset, bool keep_states,
                            struct assay_run_result *result, struct assay_error *err)
{
    struct run run = {.o = options, .dataset = dataset, .result = result, .n_saved = -1};
    *result = (struct assay_run_result){.final = NAN, .best = NAN, .test = NAN, .test_loss = NAN, .loss = NAN};
    assay_arena_init(&result->arena);
    assay_throughput_init(&run.throughput);
    enum assay_status st = open_run(&run, err);
    if (!st) {
        int n = run.task.training->n_inputs > run.task.eval->n_inputs ? run.task.training->n_inputs : run.task.eval->n_inputs;
        run.data = assay_alloc((size_t)(n + 1) * sizeof *run.data);
        run.part = assay_alloc((size_t)dataset->n_tensors * sizeof *run.part);
        result->first_step = run.n_done;
        run.start_ns = assay_clock_ns();
        assay_run_tell(&run, ASSAY_RUN_STARTS, NAN, NULL);
        st = loop(&run, err);
        sum_up(&run);
    }
    if (!st && options->folder)
        st = assay_run_write_model(&run, err);
    if (!st && options->test && dataset->n[ASSAY_SPLIT_TEST] > 0)
        st = measure(&run, ASSAY_SPLIT_TEST, &result->test, &result->test_loss, err);
    if (!st && keep_states)
        st = copy_states(&run, err);
    close_run(&run);
    return st;
}

void assay_run_result_release(struct assay_run_result *result)
{
    for (int i = 0; i < result->n_states; i++)
        assay_tensor_release(&result->states[i].tensor);
    assay_arena_release(&result->arena);
    *result = (struct assay_run_result){0};
}
