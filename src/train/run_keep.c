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

/* ---- as JSON */

/* What the numbers of a run depend on beside the graph, which has the optimizer, and the position in the data. */
static json_t *settings(const struct run *run)
{
    char schedule[ASSAY_SCHEDULE_TEXT_SIZE];
    const struct assay_run_options *o = run->o;
    return json_pack("{ss sf sb sI sI sb}", "schedule", assay_schedule_text(&o->schedule, schedule), "learning_rate",
                     o->learning_rate, "augments", o->augments, "shift_height", (json_int_t)o->shift.height, "shift_width",
                     (json_int_t)o->shift.width, "mirror", o->shift.mirror);
}

static json_t *curves(const struct run *run)
{
    const struct assay_run_result *r = run->result;
    json_t *points = json_array(), *validations = json_array();
    for (int64_t i = 0; i < r->n_points; i++)
        json_array_append_new(points, json_pack("[fff]", r->points[i].step, r->points[i].loss, r->points[i].learning_rate));
    for (int64_t i = 0; i < r->n_validations; i++)
        json_array_append_new(validations, json_pack("[ffff]", r->validations[i].step, r->validations[i].metric,
                                                     r->validations[i].loss, r->validations[i].seconds));
    double seconds = run->seconds_before + (double)(assay_clock_ns() - run->start_ns) / 1e9;
    return json_pack("{so so sf sf sI sf sf sI}", "train", points, "validation", validations, "loss", run->last_loss, "pending",
                     run->pending, "n_pending", (json_int_t)run->n_pending, "seconds", seconds, "loss_scale", run->scale.scale,
                     "loss_scale_good", (json_int_t)run->scale.n_good);
}

static double real_at(const json_t *list, size_t i) { return json_number_value(json_array_get(list, i)); }

static void read_curves(struct run *run, const json_t *json)
{
    struct assay_run_result *r = run->result;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(json, "train"), i, item)
        assay_run_add_point(r, (struct assay_run_point){real_at(item, 0), real_at(item, 1), real_at(item, 2)});
    json_array_foreach(json_object_get(json, "validation"), i, item)
    {
        struct assay_run_validation v = {real_at(item, 0), real_at(item, 1), real_at(item, 2), real_at(item, 3)};
        assay_run_add_validation(r, v);
        assay_run_judge(run, &v);
    }
    r->loss = run->last_loss = json_number_value(json_object_get(json, "loss"));
    run->pending = json_number_value(json_object_get(json, "pending"));
    run->n_pending = json_integer_value(json_object_get(json, "n_pending"));
    run->seconds_before = json_number_value(json_object_get(json, "seconds"));
    run->scale.scale = json_number_value(json_object_get(json, "loss_scale"));
    run->scale.n_good = json_integer_value(json_object_get(json, "loss_scale_good"));
}

/* ---- going on */

static bool has_checkpoints(const char *folder)
{
    struct assay_arena arena;
    char **names;
    size_t n = 0;
    bool found = false;
    assay_arena_init(&arena);
    if (!assay_fs_list(folder, &arena, &names, &n, NULL))
        for (size_t i = 0; i < n && !found; i++)
            found = strncmp(names[i], "step-", 5) == 0;
    assay_arena_release(&arena);
    return found;
}

static enum assay_status take_states(struct run *run, struct assay_error *err)
{
    for (int i = 0; i < run->step->n_states; i++) {
        const struct assay_step_state *state = &run->step->states[i];
        bool is_moment = state->role == ASSAY_STEP_MOMENT;
        const struct assay_tensor *found =
            assay_safetensors_find(is_moment ? &run->checkpoint.optimizer : &run->checkpoint.parameters, state->name);
        if (state->role == ASSAY_STEP_ACCUMULATOR)
            continue;
        if (!found || !assay_type_equal(&found->type, &state->initial.type))
            return assay_error_set(err, ASSAY_INVALID, "%s has no '%s' of the shape that this run needs", run->checkpoint.path,
                                   state->name);
        assay_training_session_set_state(run->session, i, found);
    }
    assay_training_session_set_count(run->session, run->n_done);
    return ASSAY_OK;
}

static enum assay_status check_settings(const struct run *run, struct assay_error *err)
{
    json_t *wanted = settings(run), *value;
    const char *name, *differs = NULL;
    json_object_foreach(wanted, name, value)
    {
        if (!differs && !json_equal(value, json_object_get(run->checkpoint.state.schedule, name)))
            differs = name;
    }
    enum assay_status st = ASSAY_OK;
    if (differs)
        st = assay_error_set(err, ASSAY_INVALID,
                             "%s was made with another %s: resume with the options that the run began with, or give another "
                             "folder",
                             run->checkpoint.path, differs);
    json_decref(wanted);
    return st;
}

enum assay_status assay_run_begin(struct run *run, const struct assay_loader_options *loader,
                                  struct assay_loader_position *position, struct assay_error *err)
{
    const struct assay_run_options *o = run->o;
    if (!o->folder || !has_checkpoints(o->folder))
        return ASSAY_OK;
    if (!o->resume)
        return assay_error_set(err, ASSAY_INVALID, "%s has checkpoints of a run: go on with --resume, or give another folder",
                               o->folder);
    enum assay_status st =
        assay_training_checkpoint_open_newest(o->folder, run->hash, o->warn, o->context, &run->checkpoint, err);
    if (st)
        return st;
    run->has_checkpoint = true;
    run->n_done = run->n_saved = run->checkpoint.state.step;
    run->epoch = run->checkpoint.state.epoch;
    if (run->checkpoint.state.seed != o->task.seed)
        st = assay_error_set(err, ASSAY_INVALID, "%s is of a run with --seed %llu", run->checkpoint.path,
                             (unsigned long long)run->checkpoint.state.seed);
    if (!st)
        st = check_settings(run, err);
    if (!st)
        st = assay_loader_position_from_json(run->checkpoint.state.data, run->dataset, loader, position, err);
    if (!st)
        st = take_states(run, err);
    if (!st)
        read_curves(run, run->checkpoint.state.metrics);
    return st;
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
            return assay_error_set(err, ASSAY_INVALID,
                                   "'%s' is no longer finite after step %lld, so that no checkpoint was made: try a smaller "
                                   "--learning-rate, --clip-norm, or a schedule with a warm-up",
                                   entries[i].name, (long long)run->n_done);
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
                                         .schedule = settings(run),
                                         .metrics = curves(run)};
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
