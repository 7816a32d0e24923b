/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conformance of training: a folder with train.safetensors, what PyTorch's training of the model gave (conformance.h says the
 * layout), against the training step (train/step.h) on a platform.
 */
#include "bench/conformance_hosted.h"
#include "bench/conformance_parts.h"
#include "bench/conformance_spread.h"
#include "bench/plain_data.h"
#include "graph/infer.h"
#include "model/model.h"
#include "runtime/registry.h"
#include "train/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is beyond the tolerance waits until it is known how well it is determined. */
struct pending {
    struct pending *next;
    const char *set, *name;
    struct assay_conformance_measure measure;
    struct assay_tensor got; /* a copy */
};

struct training {
    const char *path;
    const struct assay_conformance_options *options;
    struct assay_arena *arena;
    struct assay_conformance_result *result;
    struct assay_safetensors in, wanted;
    json_t *meta;
    bool is_plain;    /* ten batches on a first axis */
    const char *file; /* the folder's model.onnx, which has the loss in it; NULL = a config.json */
    struct assay_model_options model_options;
    struct assay_compile_options compile;
    struct assay_graph *graph; /* bound */
    struct assay_hosted *hosted;
    struct pending *pending, **next_pending;
    struct assay_spread spread;
    int spread_run;          /* -1: a run on the platform */
    enum assay_status first; /* difference, which does not end the comparison */
    struct assay_error first_error;
};

/* One optimizer's run: names of what it is compared with are made with its prefix. */
struct run {
    const char *prefix, *optimizer;
    double learning_rate, clip_norm;
    int n_steps;
};

/* PyTorch's numbers are rounded themselves, by as much as meta.json says: how far f32 was from f64. Of gradients it is a share of
 * the tensor's largest magnitude, but of those of plain models the error itself. */
enum noise { GRADIENTS, STATES, LOSSES };

static double noise_of(const struct training *t, const struct run *run, enum noise kind)
{
    static const char *const plain[] = {"grad", "step10", "losses"};
    const json_t *noise = json_object_get(t->meta, t->is_plain ? "noise_f32_vs_f64" : "train_noise");
    const char *name =
        kind == GRADIENTS ? "grad_max_rel_per_tensor" : assay_arena_printf(t->arena, "%s1_max_abs_diff", run->prefix);
    if (t->is_plain && kind != GRADIENTS)
        noise = json_object_get(noise, run->prefix);
    if (t->is_plain)
        name = plain[kind];
    else if (kind == LOSSES)
        name = assay_arena_printf(t->arena, "%s_losses_max_diff", run->prefix);
    const json_t *value = json_object_get(noise, name);
    return json_is_number(value) && json_number_value(value) > 0 ? json_number_value(value) : 0;
}

/* ---- comparing */

static double magnitude(const struct assay_tensor *tensor)
{
    double most = 0;
    for (int64_t i = 0; i < assay_tensor_count(tensor); i++)
        most = fmax(most, fabs(assay_tensor_real(tensor, i)));
    return most;
}

static void remember(struct training *t, enum assay_status st, const struct assay_error *err)
{
    if (st && !t->first) {
        t->first = st;
        t->first_error = *err;
    }
}

/* Whether it is within the measure, but for `noise`. */
static bool is_within(const struct assay_conformance_measure *m, const struct assay_tensor *got,
                      const struct assay_tensor *wanted, double noise)
{
    if (!assay_type_equal(&got->type, &wanted->type))
        return false;
    double atol = fmax(m->atol + m->tolerance * magnitude(wanted), noise);
    return assay_tensor_compare(got, wanted, atol, m->rtol).n_wrong == 0;
}

static const char *full_name(const struct training *t, const char *set, const char *name)
{
    return *set ? assay_arena_printf(t->arena, "%s.%s", set, name) : name;
}

static void record(struct training *t, const char *set, const char *name, const char *note,
                   const struct assay_conformance_measure *measure, const struct assay_tensor *got)
{
    const struct assay_tensor *wanted = assay_safetensors_find(&t->wanted, full_name(t, set, name));
    struct assay_error err;
    enum assay_status st = assay_conformance_compare(t->result, t->arena, measure, set, name, note, got, wanted, &err);
    remember(t, st, &err);
}

/* Within the tolerance, or else within PyTorch's noise, which says so. */
static void compare(struct training *t, const char *set, const char *name, const struct assay_conformance_measure *measure,
                    const struct assay_tensor *got)
{
    const char *full = full_name(t, set, name);
    const struct assay_tensor *wanted = assay_safetensors_find(&t->wanted, full);
    struct assay_conformance_measure strict = *measure;
    struct assay_error err;
    if (!wanted)
        return;
    if (t->spread_run >= 0) {
        remember(t, assay_spread_add(&t->spread, full, got, t->spread_run, &err), &err);
        return;
    }
    strict.noise = 0;
    name = assay_arena_strdup(t->arena, name);
    if (is_within(measure, got, wanted, 0)) {
        record(t, set, name, "", &strict, got);
    } else if (is_within(measure, got, wanted, measure->noise)) {
        record(t, set, name,
               assay_arena_printf(t->arena, "within PyTorch's own noise, %.1e, that meta.json names", measure->noise), measure,
               got);
    } else {
        struct pending *p = assay_arena_alloc(t->arena, sizeof *p);
        *p = (struct pending){.set = set, .name = name, .measure = *measure};
        enum assay_status st = assay_tensor_convert(&p->got, got, got->type.dtype, &err);
        remember(t, st, &err);
        *t->next_pending = p;
        t->next_pending = st ? t->next_pending : &p->next;
    }
}

static const double MOST_OF_GRADIENT = 1e-4;

/* Within what moving the weights' last places does, beside PyTorch's noise, or wrong. */
static void compare_pending(struct training *t)
{
    for (struct pending *p = t->pending; p; p = p->next) {
        const char *full = full_name(t, p->set, p->name), *note = "";
        const struct assay_tensor *wanted = assay_safetensors_find(&t->wanted, full);
        double spread = assay_spread_of(&t->spread, full);
        struct assay_conformance_measure measure = p->measure;
        if (strcmp(p->set, "grad") == 0) /* a ReLU that turns over moves a gradient by any amount: no more than this is granted */
            spread = fmin(spread, MOST_OF_GRADIENT * magnitude(wanted));
        if (is_within(&p->measure, &p->got, wanted, measure.noise + spread)) {
            measure.noise += spread;
            note = assay_arena_printf(t->arena, "not determined better: weights moved by 2^-22 of themselves move it by %.1e",
                                      spread);
        }
        record(t, p->set, p->name, note, &measure, &p->got);
        assay_tensor_release(&p->got);
    }
    t->pending = NULL;
}

static void compare_numbers(struct training *t, const char *name, const double *numbers, int n, double noise)
{
    struct assay_tensor tensor;
    const struct assay_tensor *wanted = assay_safetensors_find(&t->wanted, name);
    if (!wanted || assay_tensor_count(wanted) != n || assay_tensor_alloc(&tensor, &wanted->type, NULL))
        return;
    for (int i = 0; i < n; i++)
        assay_tensor_set_real(&tensor, i, numbers[i]);
    compare(t, "", name, &(struct assay_conformance_measure){.rtol = t->options->tolerance, .noise = noise}, &tensor);
    assay_tensor_release(&tensor);
}

/* A gradient that is zero but for rounding, as that of a bias before a softmax, has no magnitude of its own: then it is the
 * largest of all gradients that errors are measured by. */
static void compare_gradients(struct training *t, const struct run *run, const struct assay_training_step *step,
                              struct assay_training_session *session)
{
    double most = 0;
    for (size_t i = 0; i < t->wanted.n; i++)
        if (strncmp(t->wanted.entries[i].name, "grad.", 5) == 0)
            most = fmax(most, magnitude(&t->wanted.entries[i].tensor));
    double noise = noise_of(t, run, GRADIENTS);
    for (int i = 0; i < step->n_gradients; i++) {
        const char *name = assay_arena_printf(t->arena, "grad.%s", step->gradients[i]);
        const struct assay_tensor *wanted = assay_safetensors_find(&t->wanted, name);
        struct assay_tensor got;
        struct assay_error err;
        if (!wanted || assay_training_session_output(session, step->first_gradient + i, &got, &err))
            continue;
        bool is_zero = magnitude(wanted) < 1e-6 * most;
        struct assay_conformance_measure measure = {.tolerance = is_zero ? 0 : t->options->tolerance,
                                                    .atol = is_zero ? t->options->tolerance * most : 0,
                                                    .noise = t->is_plain ? noise : noise * magnitude(wanted)};
        compare(t, "grad", step->gradients[i], &measure, &got);
    }
    for (size_t i = 0; i < t->wanted.n; i++) {
        const char *name = t->wanted.entries[i].name;
        bool found = strncmp(name, "grad.", 5) != 0;
        for (int k = 0; k < step->n_gradients && !found; k++)
            found = strcmp(name + 5, step->gradients[k]) == 0;
        if (!found && !t->first) {
            t->first = ASSAY_MISMATCH;
            assay_error_set(&t->first_error, ASSAY_MISMATCH, "PyTorch has a gradient of '%s', and the step has none", name + 5);
        }
    }
}

static void compare_states(struct training *t, const struct run *run, const char *set, const struct assay_training_step *step,
                           struct assay_training_session *session)
{
    struct assay_error err;
    struct assay_conformance_measure measure = {.tolerance = t->options->tolerance, .noise = noise_of(t, run, STATES)};
    for (int i = 0; i < step->n_states; i++) {
        struct assay_tensor got;
        if (!assay_training_session_state(session, i, &got, &err))
            compare(t, set, step->states[i].name, &measure, &got);
    }
}

/* ---- running */

/* Batch `number` of the graph's inputs; borrowed. */
static enum assay_status find_data(struct training *t, int n, int number, struct assay_tensor *data, struct assay_error *err)
{
    for (int i = 0; i < n; i++) {
        const char *name = t->graph->values[t->graph->inputs[i]].name;
        const struct assay_tensor *found = assay_safetensors_find(&t->in, name);
        if (!found)
            found = assay_safetensors_find(&t->wanted, name);
        if (!found)
            found = assay_hosted_find(t->hosted, name);
        if (!found)
            return assay_error_set(err, ASSAY_INVALID, "there is no data for input '%s'", name);
        data[i] = *found;
        if (!t->is_plain)
            continue;
        struct assay_type type = found->type;
        if (type.rank < 1 || type.dims[0] <= number)
            return assay_error_set(err, ASSAY_INVALID, "input '%s' has no batch number %d", name, number);
        memmove(type.dims, type.dims + 1, (size_t)(--type.rank) * sizeof *type.dims);
        data[i].type = type;
        data[i].data = (char *)found->data + number * assay_type_bytes(&type);
        data[i].buffer = NULL;
    }
    return ASSAY_OK;
}

static enum assay_status open_session(struct training *t, const struct run *run, struct assay_training_step **step,
                                      struct assay_training_session **session, struct assay_error *err)
{
    struct assay_step_options options = {.update = true,
                                         .gradients = true,
                                         .gradient_norm = true,
                                         .train_normalization = t->file != NULL,
                                         .clip_norm = run->clip_norm};
    enum assay_status st = assay_optimizer_parse(run->optimizer, &options.optimizer, err);
    if (!st)
        st = assay_training_step_make(t->graph, &options, step, err);
    if (!st)
        st = assay_training_session_open(*step, t->options->runtime, &t->compile, session, err);
    return st ? st : assay_hosted_begin(t->hosted, *step, err);
}

static enum assay_status run_steps(struct training *t, const struct run *run, struct assay_error *err)
{
    struct assay_training_step *step = NULL;
    struct assay_training_session *session = NULL;
    struct assay_tensor *data = assay_arena_array(t->arena, (size_t)t->graph->n_inputs, sizeof *data);
    double *losses = assay_arena_array(t->arena, (size_t)run->n_steps + 1, sizeof *losses);
    double *norms = assay_arena_array(t->arena, (size_t)run->n_steps + 1, sizeof *norms);
    enum assay_status st = open_session(t, run, &step, &session, err);
    if (!st && t->spread_run > 0)
        st = assay_spread_move(step, session, t->spread_run, err);
    int n_runs = run->n_steps + !t->is_plain; /* once more for the final loss */
    for (int i = 0; i < n_runs && !st; i++) {
        st = assay_hosted_update(t->hosted, session, err);
        if (!st)
            st = find_data(t, step->n_data, i, data, err);
        if (!st)
            st = assay_training_session_run(session, data, run->learning_rate, 1, err);
        if (!st)
            st = assay_training_session_number(session, step->loss, &losses[i], err);
        if (!st)
            st = assay_training_session_number(session, step->gradient_norm, &norms[i], err);
        if (!st && i == 0) {
            compare_gradients(t, run, step, session);
            compare_states(t, run, assay_arena_printf(t->arena, t->is_plain ? "%s.step1" : "%s1", run->prefix), step, session);
        }
        if (!st && i == run->n_steps - 1 && t->is_plain)
            compare_states(t, run, assay_arena_printf(t->arena, "%s.step%d", run->prefix, run->n_steps), step, session);
    }
    if (!st) {
        const char *mark = t->is_plain ? "." : "_";
        double noise = noise_of(t, run, LOSSES);
        compare_numbers(t, "loss", losses, 1, noise);
        compare_numbers(t, assay_arena_printf(t->arena, "%s%slosses", run->prefix, mark), losses, run->n_steps, noise);
        compare_numbers(t, assay_arena_printf(t->arena, "%s%sgrad_norms", run->prefix, mark), norms, run->n_steps, 0);
        compare_numbers(t, assay_arena_printf(t->arena, "%s%sfinal_loss", run->prefix, mark), losses + run->n_steps, 1, noise);
    }
    assay_training_session_close(session);
    assay_training_step_close(step);
    return st;
}

/* How well the run's numbers are determined: on the reference, whose sums are in double. */
static enum assay_status find_spread(struct training *t, const struct run *run, struct assay_error *err)
{
    struct assay_conformance_options here = *t->options;
    const struct assay_conformance_options *options = t->options;
    struct assay_compile_options compile = t->compile;
    struct assay_platform platform;
    enum assay_status st = assay_platform_find(t->arena, "cpu/reference", &platform, &here.runtime, err);
    here.platform = &platform;
    t->options = &here;
    t->compile = (struct assay_compile_options){.platform = &platform, .n_threads = 1, .isa = "", .optimization = 3};
    for (t->spread_run = 0; t->spread_run <= ASSAY_SPREAD_RUNS && !st; t->spread_run++)
        st = run_steps(t, run, err);
    t->spread_run = -1;
    t->options = options;
    t->compile = compile;
    return st;
}

static enum assay_status run_and_compare(struct training *t, const struct run *run, struct assay_error *err)
{
    t->pending = NULL;
    t->next_pending = &t->pending;
    enum assay_status st = run_steps(t, run, err);
    if (!st && t->pending)
        st = find_spread(t, run, err);
    compare_pending(t);
    assay_spread_release(&t->spread);
    return st;
}

/* ---- the model */

/* What train.safetensors holds of the data: labels, which are no results. */
static bool is_label(const struct assay_safetensors_entry *entry)
{
    static const char *const results[] = {"loss", "sgd", "adam"};
    for (size_t i = 0; i < ASSAY_COUNT(results); i++)
        if (strncmp(entry->name, results[i], strlen(results[i])) == 0)
            return false;
    return !strchr(entry->name, '.');
}

static bool is_dropped(const struct training *t, const char *name)
{
    size_t i;
    json_t *dropped;
    json_array_foreach(json_object_get(t->meta, "dropped_in_train"), i,
                       dropped) if (json_is_string(dropped) && !strcmp(json_string_value(dropped), name)) return true;
    return false;
}

static enum assay_status open_model(struct training *t, struct assay_error *err)
{
    static const char *const float_labels[] = {"float_labels"};
    const char **inputs = assay_arena_array(t->arena, t->in.n + t->wanted.n + 1, sizeof *inputs);
    struct assay_model_options options = {.inputs = inputs, .training = true, .no_dropout = true};
    const struct assay_tensor *labels = assay_safetensors_find(&t->wanted, "labels");
    if (labels && assay_dtype_is_float(labels->type.dtype)) {
        options.flags = float_labels;
        options.n_flags = 1;
    }
    for (size_t i = 0; i < t->in.n; i++)
        if (!strchr(t->in.entries[i].name, '.') && !is_dropped(t, t->in.entries[i].name))
            inputs[options.n_inputs++] = t->in.entries[i].name;
    for (size_t i = 0; i < t->wanted.n; i++)
        if (is_label(&t->wanted.entries[i]))
            inputs[options.n_inputs++] = t->wanted.entries[i].name;
    t->model_options = options;
    struct assay_hosted_source source = {t->path,     &t->model_options, &t->in, &t->wanted, t->options->runtime,
                                         &t->compile, t->arena};
    enum assay_status st = assay_model_open(t->file ? t->file : t->path, &options, &t->graph, NULL, err);
    if (!st && !t->file)
        st = assay_hosted_open(&source, t->graph, &t->hosted, err);
    if (st)
        return st;
    struct assay_tensor *data = assay_arena_array(t->arena, (size_t)t->graph->n_inputs + 1, sizeof *data);
    st = find_data(t, t->graph->n_inputs, 0, data, err);
    for (int i = 0; i < t->graph->n_inputs && !st; i++)
        t->graph->values[t->graph->inputs[i]].type = data[i].type;
    if (!st)
        st = assay_graph_bind(t->graph, NULL, 0, err);
    return st ? st : assay_graph_infer(t->graph, err);
}

/* ---- which runs */

static double number_of(const json_t *object, const char *name, double otherwise)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

/* PyTorch's constructor's arguments as our text: the optimizer's name is the first word that the run's begins with. */
static void describe(struct training *t, const char *name, const json_t *o, struct run *run)
{
    bool is_adam = strncmp(name, "adam", 4) == 0;
    double decay = number_of(o, "weight_decay", strcmp(name, "adamw") == 0 ? 0.01 : 0);
    *run = (struct run){.prefix = name, .learning_rate = number_of(o, "lr", 0.01), .n_steps = 10};
    run->clip_norm = strcmp(name, "clip") == 0 ? number_of(o, "max_norm", 0.5) : 0;
    run->optimizer = is_adam ? assay_arena_printf(t->arena, "%s:weight-decay=%g", strcmp(name, "adamw") ? "adam" : "adamw", decay)
                             : assay_arena_printf(t->arena, "sgd:momentum=%g%s:weight-decay=%g", number_of(o, "momentum", 0),
                                                  json_is_true(json_object_get(o, "nesterov")) ? ":nesterov" : "", decay);
}

static enum assay_status run_plain(struct training *t, struct assay_error *err)
{
    json_t *config = NULL, *optimizer;
    const char *name;
    enum assay_status st = assay_json_read(assay_path_join(t->arena, t->path, "config.json"), &config, err);
    if (!st && !json_object_size(json_object_get(config, "optimizers")))
        st = assay_error_set(err, ASSAY_INVALID, "config.json names no optimizers");
    json_object_foreach(json_object_get(config, "optimizers"), name, optimizer)
    {
        struct run run;
        describe(t, assay_arena_strdup(t->arena, name), optimizer, &run);
        if (!st)
            st = run_and_compare(t, &run, err);
    }
    json_decref(config);
    return st;
}

static enum assay_status run_both(struct training *t, struct assay_error *err)
{
    struct run sgd = {.prefix = "sgd", .optimizer = "sgd", .learning_rate = 0.01, .n_steps = 5};
    struct run adamw = {.prefix = "adamw", .optimizer = "adamw", .learning_rate = 1e-3, .n_steps = 5};
    enum assay_status st = run_and_compare(t, &sgd, err);
    return st ? st : run_and_compare(t, &adamw, err);
}

enum assay_status assay_conformance_run_training(const char *path, const struct assay_conformance_options *options,
                                                 struct assay_arena *arena, struct assay_conformance_result *result,
                                                 struct assay_error *err)
{
    struct training t = {
        .path = path, .options = options, .arena = arena, .result = result, .spread = {.arena = arena}, .spread_run = -1};
    int most = options->runtime->max_threads;
    t.compile = (struct assay_compile_options){.platform = options->platform,
                                               .n_threads = most && options->threads > most ? most : options->threads,
                                               .isa = options->isa ? options->isa : "",
                                               .optimization = 3};
    enum assay_status st = assay_safetensors_open(&t.in, assay_path_join(arena, path, "inputs.safetensors"), err);
    if (st)
        return st;
    st = assay_safetensors_open(&t.wanted, assay_path_join(arena, path, "train.safetensors"), err);
    if (st) {
        assay_safetensors_release(&t.in);
        return st;
    }
    const char *file = assay_path_join(arena, path, "model.onnx");
    t.file = assay_fs_exists(file) ? file : NULL;
    const char *meta = assay_path_join(arena, path, "meta.json");
    if (assay_fs_exists(meta))
        st = assay_json_read(meta, &t.meta, err);
    t.is_plain = !assay_safetensors_find(&t.wanted, "loss");
    if (!st)
        st = open_model(&t, err);
    if (!st)
        st = t.is_plain ? run_plain(&t, err) : run_both(&t, err);
    assay_hosted_close(t.hosted);
    assay_graph_close(t.graph);
    json_decref(t.meta);
    assay_safetensors_release(&t.wanted);
    assay_safetensors_release(&t.in);
    if (st || !t.first)
        return st;
    *err = t.first_error;
    return t.first;
}
