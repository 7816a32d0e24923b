/* SPDX-License-Identifier: Apache-2.0 */
/* See run_keep.h. */
#include "train/run_keep.h"

#include "base/clock.h"
#include "base/fs.h"
#include "graph/gradient.h"
#include "graph/onnx.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the caller sees */

void assay_run_tell(const struct run *run, enum assay_run_stage stage, double loss, const char *path)
{
    if (!run->o->progress)
        return;
    struct assay_run_progress progress = {.stage = stage,
                                          .step = run->n_done,
                                          .n_steps = run->n_steps,
                                          .epoch = run->epoch,
                                          .loss = stage == ASSAY_RUN_VALIDATED ? run->last_loss : loss,
                                          .learning_rate = run->last_rate,
                                          .samples_per_s = assay_throughput_rate(&run->throughput),
                                          .left_ns = assay_throughput_left_ns(&run->throughput, run->n_steps - run->n_done),
                                          .metric_name = run->task.metric,
                                          .metric = run->result->final,
                                          .metric_loss = loss,
                                          .path = path};
    run->o->progress(run->o->context, &progress);
}

void assay_run_tell_measuring(const struct run *run, enum assay_split split, int64_t n_done, int64_t n_all)
{
    struct assay_run_progress progress = {.stage = ASSAY_RUN_MEASURING,
                                          .step = run->n_done,
                                          .n_steps = run->n_steps,
                                          .epoch = run->epoch,
                                          .loss = run->last_loss,
                                          .learning_rate = run->last_rate,
                                          .metric_name = run->task.metric,
                                          .split = split,
                                          .n_measured = n_done,
                                          .n_to_measure = n_all};
    if (run->o->progress)
        run->o->progress(run->o->context, &progress);
}

/* Grown by doubling: a list that is a power of two long is full. */
static bool is_full(int64_t n) { return (n & (n - 1)) == 0; }

void assay_run_add_point(struct assay_run_result *r, struct assay_run_point point)
{
    size_t n = (size_t)r->n_points;
    if (is_full(r->n_points))
        r->points = assay_arena_grow(&r->arena, r->points, n, n ? 2 * n : 1, sizeof *r->points);
    r->points[r->n_points++] = point;
}

void assay_run_add_validation(struct assay_run_result *r, struct assay_run_validation validation)
{
    size_t n = (size_t)r->n_validations;
    if (is_full(r->n_validations))
        r->validations = assay_arena_grow(&r->arena, r->validations, n, n ? 2 * n : 1, sizeof *r->validations);
    r->validations[r->n_validations++] = validation;
}

bool assay_run_is_better(const struct run *run, double a, double b) { return run->task.larger_is_better ? a > b : a < b; }

void assay_run_judge(struct run *run, const struct assay_run_validation *v)
{
    struct assay_run_result *r = run->result;
    r->final = v->metric;
    if (isnan(r->best) || assay_run_is_better(run, v->metric, r->best)) {
        r->best = v->metric;
        r->best_step = (int64_t)v->step;
    }
    bool reaches = run->o->has_target && (v->metric == run->o->target || assay_run_is_better(run, v->metric, run->o->target));
    if (reaches && !r->reached) {
        r->reached = true;
        r->time_to_target_s = v->seconds;
        r->target_step = (int64_t)v->step;
    }
}

/* ---- TensorBoard */

static void note_board(struct run *run, enum assay_status st, const struct assay_error *err)
{
    if (st && !run->board_failed && run->o->warn)
        run->o->warn(run->o->context,
                     assay_arena_printf(&run->result->arena, "an event for TensorBoard was not written: %s", err->message));
    run->board_failed = st != ASSAY_OK;
}

void assay_run_scalar(struct run *run, const char *tag, double value)
{
    struct assay_error err;
    if (run->board)
        note_board(run, assay_tensorboard_scalar(run->board, tag, run->n_done, value, &err), &err);
}

static void add_histogram(struct run *run, const char *group, const char *name, const struct assay_tensor *tensor)
{
    struct assay_error err;
    const char *tag = assay_arena_printf(&run->result->arena, "%s/%s", group, name);
    if (tensor->type.dtype == ASSAY_F32)
        note_board(
            run,
            assay_tensorboard_histogram(run->board, tag, run->n_done, tensor->data, (size_t)assay_tensor_count(tensor), &err),
            &err);
}

/* Gradients: of the step that was just made, before clipping. */
void assay_run_histograms(struct run *run)
{
    const struct assay_training_step *step = run->step;
    struct assay_tensor tensor;
    for (int i = 0; i < step->n_states && run->board; i++)
        if (step->states[i].role == ASSAY_STEP_PARAMETER &&
            assay_training_session_state(run->session, i, &tensor, NULL) == ASSAY_OK)
            add_histogram(run, "parameters", step->states[i].name, &tensor);
    for (int i = 0; i < step->n_gradients && run->board; i++)
        if (assay_training_session_output(run->session, step->first_gradient + i, &tensor, NULL) == ASSAY_OK)
            add_histogram(run, "gradients", step->gradients[i], &tensor);
}

/* ---- writing */

static enum assay_status gather(struct run *run, bool moments, struct assay_safetensors_entry *entries, size_t *n,
                                struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    *n = 0;
    for (int i = 0; i < run->step->n_states && !st; i++) {
        const struct assay_step_state *state = &run->step->states[i];
        if (state->role == ASSAY_STEP_ACCUMULATOR || (state->role == ASSAY_STEP_MOMENT) != moments)
            continue;
        entries[*n].name = state->name;
        st = assay_training_session_state(run->session, i, &entries[(*n)++].tensor, err);
    }
    return st;
}

enum assay_status assay_run_diverged(const struct run *run, const char *what, struct assay_error *err)
{
    char kept[160] = "";
    if (run->n_saved >= 0)
        snprintf(kept, sizeof kept,
                 "; --resume goes on from the checkpoint of step %lld with what you change, or, if you remove that, from the one "
                 "before it",
                 (long long)run->n_saved);
    return assay_error_set(err, ASSAY_MISMATCH,
                           "%s of step %lld is no longer a number: try a smaller --learning-rate, --clip-norm, or a schedule "
                           "with a warm-up%s",
                           what, (long long)run->n_done, kept);
}

/* A step whose loss was a number may have left parameters that are none; a run that went on from these would be lost. */
static enum assay_status check_finite(const struct run *run, const struct assay_safetensors_entry *entries, size_t n,
                                      struct assay_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const float *x = entries[i].tensor.data;
        int64_t count = entries[i].tensor.type.dtype == ASSAY_F32 ? assay_tensor_count(&entries[i].tensor) : 0;
        float sum = 0;
        for (int64_t k = 0; k < count; k++)
            sum += x[k] * 0; /* 0, or not a number */
        if (sum != 0)
            return assay_run_diverged(run, assay_arena_printf(&run->result->arena, "'%s'", entries[i].name), err);
    }
    return ASSAY_OK;
}

enum assay_status assay_run_save(struct run *run, struct assay_error *err)
{
    size_t room = (size_t)run->step->n_states + 1, n_parameters, n_moments = 0;
    int64_t start_ns = assay_clock_ns();
    struct assay_safetensors_entry *parameters = assay_alloc(room * sizeof *parameters);
    struct assay_safetensors_entry *moments = assay_alloc(room * sizeof *moments);
    bool has_metric = isfinite(run->result->final);
    struct assay_training_state state = {.step = run->n_done,
                                         .epoch = assay_loader_position(run->loader).epoch,
                                         .seed = run->o->task.seed,
                                         .model_hash = run->hash,
                                         .has_metric = has_metric,
                                         .metric = has_metric ? run->result->final : 0,
                                         .data = assay_loader_json(run->loader),
                                         .schedule = assay_run_settings(run),
                                         .metrics = assay_run_curves(run)};
    enum assay_status st = gather(run, false, parameters, &n_parameters, err);
    if (!st)
        st = gather(run, true, moments, &n_moments, err);
    if (!st)
        st = check_finite(run, parameters, n_parameters, err);
    if (!st)
        st = check_finite(run, moments, n_moments, err);
    if (!st)
        st = assay_training_checkpoint_save(run->o->folder, &state, parameters, n_parameters, moments, n_moments, err);
    if (!st)
        st = assay_training_checkpoint_prune(run->o->folder, run->n_done, run->o->keep, ASSAY_TRAINING_NO_BEST, err);
    json_decref(state.data);
    json_decref(state.schedule);
    json_decref(state.metrics);
    free(parameters);
    free(moments);
    assay_throughput_pause(&run->throughput, assay_clock_ns() - start_ns);
    if (!st)
        assay_run_tell(run, ASSAY_RUN_SAVED, run->last_loss, run->o->folder);
    return st;
}

/* Parameters that were frozen are constants of the step still. */
static void add_frozen(const struct run *run, struct assay_safetensors_entry *entries, size_t *n, size_t room)
{
    const struct assay_graph *graph = run->task.training;
    for (int v = 0; v < graph->n_values; v++) {
        const struct assay_value *value = &graph->values[v];
        bool known = !value->constant.data || !assay_graph_metadata(graph, ASSAY_TRAINING_PARAMETER, value->name);
        for (size_t i = 0; i < *n && !known; i++)
            known = strcmp(entries[i].name, value->name) == 0;
        if (!known && *n < room)
            entries[(*n)++] = (struct assay_safetensors_entry){value->name, value->constant};
    }
}

/* The file as it was, with what was learned in place of its constants. */
static enum assay_status write_onnx(struct run *run, struct assay_error *err)
{
    struct assay_graph *graph;
    enum assay_status st = assay_model_open(run->o->task.model, NULL, &graph, NULL, err);
    if (st)
        return st;
    for (int i = 0; i < run->step->n_states && !st; i++) {
        struct assay_tensor state;
        int value = assay_graph_find(graph, run->step->states[i].name);
        struct assay_tensor *constant = value >= 0 ? &graph->values[value].constant : NULL;
        if (!constant || !constant->data || run->step->states[i].role == ASSAY_STEP_MOMENT)
            continue;
        st = assay_training_session_state(run->session, i, &state, err);
        if (st)
            break;
        assay_tensor_release(constant);
        assay_tensor_share(constant, &state);
    }
    if (!st)
        st = assay_onnx_save(graph, assay_path_join(&run->task.arena, run->o->folder, "model.onnx"), NULL, err);
    assay_graph_close(graph);
    return st;
}

enum assay_status assay_run_write_model(struct run *run, struct assay_error *err)
{
    static const char *const metadata[] = {"format", "pt"};
    if (!run->task.config)
        return write_onnx(run, err);
    size_t room = (size_t)(run->step->n_states + run->task.training->n_values), n;
    struct assay_safetensors_entry *entries = assay_alloc(room * sizeof *entries);
    enum assay_status st = gather(run, false, entries, &n, err);
    if (!st) {
        add_frozen(run, entries, &n, room);
        st = assay_safetensors_write(assay_path_join(&run->task.arena, run->o->folder, "model.safetensors"), entries, n, metadata,
                                     1, err);
    }
    free(entries);
    char *text = json_dumps(run->task.config, JSON_INDENT(2));
    if (!st && text)
        st = assay_fs_write(assay_path_join(&run->task.arena, run->o->folder, "config.json"), text, strlen(text), err);
    free(text);
    return st;
}
