/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One training step a run (child_session.h).
 *
 * The first runs update the parameters, and their losses are compared with the reference's; the later ones, those that are timed,
 * are the same program with a learning rate of 0 (training.h). What else there is to know, norms, parts, profile, takes programs
 * of its own, which are made when the step's has been measured and is gone: the row's memory is the step's.
 */
#include "base/clock.h"
#include "bench/child_session.h"
#include "bench/inputs.h"

#include <math.h>
#include <string.h>

/* Of max_time, for the forward pass and for forward and backward pass each. */
static const double PART_SHARE = 0.1;

static enum assay_status open_bound(struct session *s, struct assay_graph **graph, const char **loss, struct assay_error *err)
{
    struct assay_binding *bindings;
    size_t n = session_bindings(s, &bindings);
    return assay_training_open_bound(s->c, bindings, n, graph, loss, err);
}

static enum assay_status make_data(struct session *s, const struct assay_graph *graph, struct assay_error *err)
{
    struct training *t = &s->training;
    t->data = assay_arena_array(&s->arena, (size_t)graph->n_inputs, sizeof *t->data);
    if ((size_t)graph->n_inputs != s->c->n_inputs)
        return assay_error_set(err, ASSAY_INVALID, "the case has %zu inputs and the model %d", s->c->n_inputs, graph->n_inputs);
    for (int i = 0; i < graph->n_inputs; i++) {
        const struct assay_case_input *input = &s->c->inputs[i];
        if (strcmp(input->name, graph->values[graph->inputs[i]].name) != 0)
            return assay_error_set(err, ASSAY_INVALID, "the case's input '%s' is '%s' of the model", input->name,
                                   graph->values[graph->inputs[i]].name);
        enum assay_status st = assay_input_make(input, (uint64_t)s->c->seed, &t->data[i], err);
        if (st)
            return st;
    }
    return ASSAY_OK;
}

static enum assay_status make_step(struct session *s, const struct assay_graph *graph, const char *loss, struct assay_error *err)
{
    struct training *t = &s->training;
    struct assay_step_options options;
    enum assay_status st = assay_training_options(s->c, loss, assay_training_precision(s->c), &options, err);
    if (st)
        return st;
    t->loss_scale = options.loss_scale ? ASSAY_TRAINING_LOSS_SCALE : 1;
    st = assay_training_step_make(graph, &options, &t->step, err);
    t->rate = st ? 0 : assay_training_rate(t->step);
    return st;
}

static enum assay_status prepare(struct session *s, struct assay_error *err)
{
    struct training *t = &s->training;
    struct assay_graph *graph = NULL;
    const char *loss = NULL;
    int64_t start = assay_clock_ns();
    enum assay_status st = open_bound(s, &graph, &loss, err);
    int64_t read = assay_clock_ns();
    if (!st)
        st = make_data(s, graph, err);
    int64_t made = assay_clock_ns();
    if (!st)
        st = make_step(s, graph, loss, err);
    assay_graph_close(graph);
    int64_t derived = assay_clock_ns();
    t->compile = session_compile_options(s, false);
    if (!st)
        st = assay_training_session_open(t->step, s->runtime, &t->compile, &t->session, err);
    int64_t compiled = assay_clock_ns();
    if (st)
        return st;
    assay_row_set_real(s->row, ASSAY_ROW_load_ns, (double)(read - start + compiled - made));
    assay_row_map_real(s->row, ASSAY_ROW_metrics, "read_ns", (double)(read - start));
    assay_row_map_real(s->row, ASSAY_ROW_metrics, "data_ns", (double)(made - read));
    assay_row_map_real(s->row, ASSAY_ROW_metrics, "differentiate_ns", (double)(derived - made));
    assay_row_map_real(s->row, ASSAY_ROW_metrics, "compile_ns", (double)(compiled - derived));
    return ASSAY_OK;
}

static enum assay_status run(void *context, struct assay_error *err)
{
    struct session *s = context;
    struct training *t = &s->training;
    double rate = t->n_runs < ASSAY_TRAINING_STEPS ? t->rate : 0;
    enum assay_status st = assay_training_session_run(t->session, t->data, rate, t->loss_scale, err);
    if (!st && t->n_runs == 0)
        assay_training_step_release_initials(t->step);
    if (!st && t->n_runs <= ASSAY_TRAINING_STEPS && !s->runtime->computes_nothing)
        st = assay_training_session_number(t->session, t->step->loss, &t->losses[t->n_runs], err);
    t->n_runs++;
    return st;
}

/* ---- memory */

static void set_bytes(struct session *s, const char *name, int64_t bytes)
{
    assay_row_map_real(s->row, ASSAY_ROW_metrics, name, (double)bytes);
}

/* What the step holds, by its graph. */
static void set_memory(struct session *s)
{
    const struct training *t = &s->training;
    const struct assay_graph *graph = t->step->graph;
    int64_t sums[3] = {0};
    for (int i = 0; i < t->step->n_states; i++)
        sums[t->step->states[i].role] += assay_type_bytes(&graph->values[graph->inputs[t->step->states[i].input]].type);
    set_bytes(s, "parameters_bytes", sums[ASSAY_STEP_PARAMETER]);
    set_bytes(s, "gradients_bytes", sums[ASSAY_STEP_PARAMETER]); /* one for each, as wide */
    set_bytes(s, "optimizer_bytes", sums[ASSAY_STEP_MOMENT]);
    set_bytes(s, "buffers_bytes", sums[ASSAY_STEP_BUFFER]);
    session_set_memory(s, (struct assay_program *[]){assay_training_session_program(t->session)}, 1);
}

/* ---- after the measurement */

static enum assay_status open_again(struct session *s, struct assay_error *err)
{
    struct training *t = &s->training;
    const char *loss = NULL;
    enum assay_status st = ASSAY_OK;
    if (!s->runtime->computes_nothing)
        st = assay_training_session_number(t->session, t->step->loss, &t->last_loss, err);
    assay_training_session_close(t->session);
    assay_training_step_close(t->step);
    t->session = NULL;
    t->step = NULL;
    if (!st)
        st = open_bound(s, &t->graph, &loss, err);
    t->subject = (struct assay_training_subject){s->c, s->runtime, &t->compile, t->graph, loss, t->data, &s->arena};
    return st ? st : assay_training_part_open(&t->both, &t->subject, true, err);
}

static void set_number(struct session *s, const char *name, double value)
{
    if (isfinite(value))
        assay_row_map_real(s->row, ASSAY_ROW_metrics, name, value);
}

static enum assay_status check(struct session *s, struct assay_correctness *k, struct assay_error *err)
{
    struct training *t = &s->training;
    struct assay_training_evidence *e = &t->evidence;
    enum assay_status st = ASSAY_OK;
    while (!st && t->n_runs <= ASSAY_TRAINING_STEPS) /* what the measurement was too short for */
        st = run(s, err);
    if (!st)
        st = open_again(s, err);
    if (st)
        return st;
    st = assay_training_check(&t->subject, t->losses, t->last_loss, &t->both, e, k, err);
    set_number(s, "loss_error", e->loss_error);
    set_number(s, "gradient_norm_error", e->gradient_norm_error);
    set_number(s, "check_gradient_error", e->check_gradient_error);
    if (!s->runtime->computes_nothing)
        assay_row_map_reals(s->row, ASSAY_ROW_series, "loss", t->losses, ASSAY_COUNT(t->losses));
    if (e->curve.norms[0] > 0)
        assay_row_map_reals(s->row, ASSAY_ROW_series, "gradient_norm", e->curve.norms, ASSAY_COUNT(e->curve.norms));
    return st;
}

/* ---- figures */

/* What the step's median is made of. A difference that is not above 0 is noise, and no time. */
static void set_parts(struct session *s, double forward_ns, double both_ns)
{
    double step_ns = assay_row_real(s->row, ASSAY_ROW_latency_median_ns, NAN);
    set_number(s, "forward_ns", forward_ns);
    if (both_ns > forward_ns) {
        set_number(s, "backward_ns", both_ns - forward_ns);
        set_number(s, "backward_share", (both_ns - forward_ns) / step_ns);
    }
    if (step_ns > both_ns)
        set_number(s, "update_ns", step_ns - both_ns);
}

/* Tokens of a batch, where a model reads or hears them one after another; 0 where it doesn't. */
static int64_t tokens_of(const struct assay_case *c)
{
    for (size_t i = 0; i < c->n_inputs; i++)
        if (strcmp(c->inputs[i].name, "input_ids") == 0 && c->inputs[i].type.rank == 2)
            return c->inputs[i].type.dims[0] * c->inputs[i].type.dims[1];
    return 0;
}

static enum assay_status time_parts(struct session *s, struct assay_error *err)
{
    struct training *t = &s->training;
    struct assay_training_part forward;
    double seconds = PART_SHARE * s->c->max_time, forward_ns = NAN, both_ns = NAN;
    enum assay_status st = assay_training_part_time(&t->both, seconds, &both_ns, err);
    if (!st)
        st = assay_training_part_open(&forward, &t->subject, false, err);
    if (st)
        return st;
    st = assay_training_part_time(&forward, seconds, &forward_ns, err);
    assay_training_part_close(&forward);
    if (!st)
        set_parts(s, forward_ns, both_ns);
    return st;
}

static void set_figures(struct session *s)
{
    struct training *t = &s->training;
    struct assay_error why;
    double step_ns = assay_row_real(s->row, ASSAY_ROW_latency_median_ns, NAN);
    if (tokens_of(s->c))
        set_number(s, "tokens_per_s", (double)tokens_of(s->c) / step_ns * 1e9);
    set_bytes(s, "activations_bytes", assay_training_part_activations(&t->both));
    if (time_parts(s, &why))
        assay_row_map_text(s->row, ASSAY_ROW_environment, "parts", why.message);
}

/* What each op of a profile belongs to. */
static void set_phases(const struct assay_graph *step, json_t *profile)
{
    size_t i;
    json_t *entry;
    json_array_foreach(profile, i, entry)
    {
        bool is_op = *json_string_value(json_object_get(entry, "type"));
        const char *phase = is_op ? assay_training_phase(step, json_string_value(json_object_get(entry, "name"))) : NULL;
        if (phase)
            json_object_set_new(entry, "phase", json_string(phase));
    }
}

static enum assay_status profile(struct session *s, json_t **json, struct assay_error *err)
{
    struct training *t = &s->training;
    assay_training_part_close(&t->both);
    enum assay_status st = make_step(s, t->graph, t->subject.loss, err);
    if (st)
        return st;
    const struct assay_training_step *step = t->step;
    struct assay_tensor *inputs = assay_arena_array(&s->arena, (size_t)step->graph->n_inputs, sizeof *inputs);
    for (int i = 0; i < step->n_data; i++)
        assay_tensor_share(&inputs[i], &t->data[i]);
    for (int i = 0; i < step->n_states; i++)
        assay_tensor_share(&inputs[step->states[i].input], &step->states[i].initial);
    for (int i = 0; i < step->graph->n_inputs && !st; i++)
        if (!inputs[i].data)
            st = assay_tensor_alloc(&inputs[i], &step->graph->values[step->graph->inputs[i]].type, err);
    if (!st) {
        assay_training_step_scalars(step, 1, 0, t->loss_scale, inputs);
        st = session_profile_graph(s, step->graph, inputs, json, err);
        set_phases(step->graph, *json);
    }
    for (int i = 0; i < step->graph->n_inputs; i++)
        assay_tensor_release(&inputs[i]);
    return st;
}

static void release(struct session *s)
{
    struct training *t = &s->training;
    assay_training_session_close(t->session);
    assay_training_step_close(t->step);
    assay_training_part_close(&t->both);
    assay_graph_close(t->graph);
    for (size_t i = 0; t->data && i < s->c->n_inputs; i++)
        assay_tensor_release(&t->data[i]);
}

const struct subject subject_train = {
    .prepare = prepare,
    .run = run,
    .set_memory = set_memory,
    .check = check,
    .set_figures = set_figures,
    .profile = profile,
    .release = release,
};
