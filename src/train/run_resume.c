/* SPDX-License-Identifier: Apache-2.0 */
/* See run_keep.h: what a checkpoint tells of a run beside its tensors, and going on from one. */
#include "train/run_keep.h"

#include "base/clock.h"
#include "base/fs.h"

#include <string.h>

/* ---- settings */

static const struct setting {
    const char *name, *option;
    bool may_change;
} known_settings[] = {
    {"learning_rate", "--learning-rate", true}, {"schedule", "--schedule", true}, {"clip_norm", "--clip-norm", true},
    {"steps", "--steps or --epochs", true},     {"augments", "--augment", false}, {"shift_height", "--augment", false},
    {"shift_width", "--augment", false},        {"mirror", "--augment", false},   {0},
};

/* What the numbers of a run depend on beside the position in the data and the graph, which has the optimizer. */
json_t *assay_run_settings(const struct run *run)
{
    char schedule[ASSAY_SCHEDULE_TEXT_SIZE];
    const struct assay_run_options *o = run->o;
    json_t *json = json_pack("{ss sf sf sb sI sI sb}", "schedule", assay_schedule_text(&o->schedule, schedule), "learning_rate",
                             o->learning_rate, "clip_norm", o->clip_norm, "augments", o->augments, "shift_height",
                             (json_int_t)o->shift.height, "shift_width", (json_int_t)o->shift.width, "mirror", o->shift.mirror);
    if (assay_schedule_follows_length(&o->schedule))
        json_object_set_new(json, "steps", json_integer(run->n_steps));
    if (run->changes)
        json_object_set(json, "changes", run->changes);
    return json;
}

static const struct setting *find_setting(const char *name)
{
    for (const struct setting *s = known_settings; name && s->name; s++)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

static const char *value_text(struct assay_arena *arena, const json_t *value)
{
    if (!json_is_string(value))
        return assay_arena_printf(arena, "%.6g", json_number_value(value));
    return assay_arena_printf(arena, "%.*s", ASSAY_SCHEDULE_TEXT_SIZE, json_string_value(value));
}

/* "--learning-rate 0.01 instead of 0.1 after step 6, …" of the changes from `first` on; NULL where there are none. A file may
 * list any number of them. */
static const char *changes_text(struct assay_arena *arena, const json_t *changes, size_t first)
{
    enum { MOST_TOLD = 100 };
    const char *text = NULL;
    size_t n = json_array_size(changes), end = n > first + MOST_TOLD ? first + MOST_TOLD : n;
    for (size_t i = first; i < end; i++) {
        const json_t *change = json_array_get(changes, i);
        const struct setting *setting = find_setting(json_string_value(json_object_get(change, "name")));
        if (setting)
            text = assay_arena_printf(arena, "%s%s%s %s instead of %s after step %lld", text ? text : "", text ? ", " : "",
                                      setting->option, value_text(arena, json_object_get(change, "to")),
                                      value_text(arena, json_object_get(change, "from")),
                                      (long long)json_integer_value(json_object_get(change, "step")));
    }
    return text && end < n ? assay_arena_printf(arena, "%s, and %zu more", text, n - end) : text;
}

/* Earlier checkpoints have fewer settings than there are now: of what they do not tell nothing is known to have changed. */
static enum assay_status note_change(struct run *run, const struct setting *setting, const json_t *from, const json_t *to,
                                     struct assay_error *err)
{
    const char *path = run->checkpoint.path;
    bool is_done = run->n_done >= run->n_steps || run->result->reached;
    if (json_equal(from, to) || (setting->may_change && (!from || !to)))
        return ASSAY_OK;
    if (!setting->may_change)
        return assay_error_set(err, ASSAY_INVALID,
                               "%s was made with another %s: resume with the one that the run began with, or give another "
                               "folder; --learning-rate, --schedule, --clip-norm, --steps and --epochs may change",
                               path, setting->option);
    if (run->o->holds_settings)
        return assay_error_set(err, ASSAY_INVALID,
                               "%s was made with another %s, and runs that are compared need the same one: resume with that, or "
                               "give another folder",
                               path, setting->option);
    if (is_done && strcmp(setting->name, "steps") == 0)
        return ASSAY_OK;
    if (is_done)
        return assay_error_set(err, ASSAY_INVALID,
                               "%s is the end of its run, where another %s changes nothing: ask for more --steps or --epochs as "
                               "well, or give another folder",
                               path, setting->option);
    if (!run->changes)
        run->changes = json_array();
    json_array_append_new(
        run->changes, json_pack("{sI ss sO sO}", "step", (json_int_t)run->n_done, "name", setting->name, "from", from, "to", to));
    return ASSAY_OK;
}

enum assay_status assay_run_settle(struct run *run, struct assay_error *err)
{
    struct assay_arena *arena = &run->result->arena;
    if (!run->has_checkpoint)
        return ASSAY_OK;
    const json_t *before = run->checkpoint.state.schedule, *earlier = json_object_get(before, "changes");
    run->changes = json_is_array(earlier) ? json_copy((json_t *)earlier) : NULL;
    size_t n_before = json_array_size(run->changes);
    json_t *now = assay_run_settings(run);
    enum assay_status st = ASSAY_OK;
    for (const struct setting *s = known_settings; s->name && !st; s++)
        st = note_change(run, s, json_object_get(before, s->name), json_object_get(now, s->name), err);
    json_decref(now);
    const char *news = changes_text(arena, run->changes, n_before);
    if (!st && news && run->o->warn)
        run->o->warn(run->o->context,
                     assay_arena_printf(arena, "%s goes on with %s", assay_path_name(run->checkpoint.path), news));
    run->result->changes = changes_text(arena, run->changes, 0);
    return st;
}

/* ---- curves */

json_t *assay_run_curves(const struct run *run)
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
        st = assay_loader_position_from_json(run->checkpoint.state.data, run->dataset, loader, position, err);
    if (!st)
        st = take_states(run, err);
    if (!st)
        read_curves(run, run->checkpoint.state.metrics);
    return st;
}
