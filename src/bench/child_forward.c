/* SPDX-License-Identifier: Apache-2.0 */
/* One forward pass a run (child_session.h), and what requests for text need of it too: compile options, conversion, profile. */
#include "base/clock.h"
#include "bench/child_session.h"
#include "bench/inputs.h"
#include "bench/profile.h"
#include "graph/infer.h"
#include "graph/precision.h"
#include "graph/weight_only.h"

#include <string.h>

static const double PROFILE_TIME = 1.0; /* s */

/* ---- shared */

size_t session_bindings(struct session *s, struct assay_binding **bindings)
{
    const struct assay_case *c = s->c;
    size_t n = 0;
    *bindings = assay_arena_array(&s->arena, c->n_inputs * ASSAY_MAX_RANK, sizeof **bindings);
    for (size_t i = 0; i < c->n_inputs; i++)
        for (int d = 0; d < c->inputs[i].type.rank; d++)
            (*bindings)[n++] =
                (struct assay_binding){assay_arena_printf(&s->arena, "%s:%d", c->inputs[i].name, d), c->inputs[i].type.dims[d]};
    return n;
}

struct assay_compile_options session_compile_options(const struct session *s, bool profile)
{
    return (struct assay_compile_options){
        .platform = &s->platform,
        .n_threads = (int)s->c->threads,
        .isa = s->c->isa ? s->c->isa : "",
        .profile = profile,
        .optimization = (int)s->c->optimization,
        .ep_library = s->c->ep_library,
        .options = s->c->options,
        .n_options = s->c->n_options,
    };
}

enum assay_status session_convert(void *context, struct assay_graph *graph, struct assay_error *err)
{
    const struct session *s = context;
    if (!assay_case_converts(s->c))
        return ASSAY_OK;
    if (assay_case_quantizes(s->c))
        return assay_graph_convert(graph, s->c->precision, err);
    enum assay_dtype dtype = assay_dtype_from_word(s->c->precision);
    return (s->runtime->set_precision ? s->runtime->set_precision : assay_graph_set_precision)(graph, dtype, err);
}

static void add(int64_t *sum, int64_t bytes) { *sum = *sum < 0 || bytes < 0 ? -1 : *sum + bytes; }

void session_set_memory(struct session *s, struct assay_program *const *programs, int n_programs)
{
    struct assay_runtime_memory sum = {0};
    for (int i = 0; i < n_programs; i++) {
        struct assay_runtime_memory memory = {-1, -1, -1};
        if (!programs[i])
            continue;
        if (s->runtime->memory)
            s->runtime->memory(programs[i], &memory);
        add(&sum.weights_bytes, memory.weights_bytes);
        add(&sum.workspace_bytes, memory.workspace_bytes);
        add(&sum.peak_bytes, memory.peak_bytes);
    }
    if (sum.peak_bytes >= 0)
        assay_row_set_int(s->row, ASSAY_ROW_runtime_memory_bytes, sum.peak_bytes);
    if (sum.weights_bytes >= 0)
        assay_row_map_real(s->row, ASSAY_ROW_metrics, "runtime_weights_bytes", (double)sum.weights_bytes);
    if (sum.workspace_bytes >= 0)
        assay_row_map_real(s->row, ASSAY_ROW_metrics, "runtime_workspace_bytes", (double)sum.workspace_bytes);
}

/* ---- profile */

enum { PROFILE_RUNS = 1000 };

/* Whether a state comes out of a run in another shape than it went in: a cache, which grows. Of a graph with inferred types. */
static bool has_growing_state(const struct assay_graph *graph)
{
    for (int i = 0; i < graph->n_states; i++)
        if (!assay_type_equal(&graph->values[graph->outputs[graph->states[i].output]].type,
                              &graph->values[graph->inputs[graph->states[i].input]].type))
            return true;
    return false;
}

/* Runs for PROFILE_TIME, at least 4 times; the wall time of each. `again`: inputs to bind before each, so that all are alike;
 * NULL = the first binding serves all. */
static enum assay_status profile_runs(struct session *s, struct assay_program *program, const struct assay_tensor *again,
                                      double *run_ns, int *n_runs, struct assay_error *err)
{
    int64_t end = assay_clock_ns() + (int64_t)(PROFILE_TIME * 1e9);
    enum assay_status st = ASSAY_OK;
    for (*n_runs = 0; !st && *n_runs < PROFILE_RUNS && (*n_runs < 4 || assay_clock_ns() < end); ++*n_runs) {
        st = again ? s->runtime->bind(program, again, err) : ASSAY_OK;
        if (st)
            break;
        int64_t start = assay_clock_ns();
        st = s->runtime->run(program, err);
        run_ns[*n_runs] = (double)(assay_clock_ns() - start);
    }
    return st;
}

enum assay_status session_profile_graph(struct session *s, struct assay_graph *graph, const struct assay_tensor *inputs,
                                        json_t **json, struct assay_error *err)
{
    struct assay_program *program = NULL;
    const struct assay_op_time *times = NULL;
    int n_times = 0, n_runs = 0;
    double *run_ns = assay_arena_array(&s->arena, PROFILE_RUNS, sizeof *run_ns);
    if (!s->runtime->profile)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "%s gives no times per op", s->platform.name);
    struct assay_compile_options options = session_compile_options(s, true);
    enum assay_status st = s->runtime->compile(graph, &options, &program, err);
    if (!st)
        st = s->runtime->bind(program, inputs, err);
    if (!st)
        st = assay_graph_infer(graph, err);
    if (!st)
        st = profile_runs(s, program, has_growing_state(graph) ? inputs : NULL, run_ns, &n_runs, err);
    if (!st)
        st = s->runtime->profile(program, &times, &n_times, err);
    if (!st)
        st = assay_profile_make(s->c, graph, times, n_times, run_ns, n_runs, json, err);
    s->runtime->release(program);
    return st;
}

/* ---- one forward pass */

/* The model at the case's shapes, in its own precision. */
static enum assay_status load(struct session *s, struct assay_graph **graph, struct assay_error *err)
{
    struct assay_binding *bindings;
    enum assay_status st = assay_model_open(s->c->model_path, NULL, graph, NULL, err);
    if (st)
        return st;
    size_t n = session_bindings(s, &bindings);
    return assay_graph_bind(*graph, bindings, n, err);
}

static enum assay_status make_inputs(struct session *s, struct assay_error *err)
{
    struct forward *f = &s->forward;
    f->inputs = assay_arena_array(&s->arena, (size_t)f->graph->n_inputs, sizeof *f->inputs);
    for (int i = 0; i < f->graph->n_inputs; i++) {
        const char *name = f->graph->values[f->graph->inputs[i]].name;
        size_t k = 0;
        while (k < s->c->n_inputs && strcmp(s->c->inputs[k].name, name) != 0)
            k++;
        if (k == s->c->n_inputs)
            return assay_error_set(err, ASSAY_INVALID, "the case says nothing of the model's input '%s'", name);
        enum assay_status st = assay_input_make(&s->c->inputs[k], (uint64_t)s->c->seed, &f->inputs[i], err);
        if (st)
            return st;
    }
    return ASSAY_OK;
}

/* What a runtime has taken over is nobody else's: a second owner would keep in memory what the program frees. */
static void give_weights(struct forward *f)
{
    enum { SMALL_BYTES = 1 << 14 }; /* what shapes and modes are told by stays */
    for (int v = 0; v < f->graph->n_values; v++) {
        struct assay_tensor *constant = &f->graph->values[v].constant;
        if (constant->data && assay_tensor_bytes(constant) >= SMALL_BYTES)
            assay_tensor_release(constant);
    }
    f->is_empty = true;
}

static enum assay_status compile(struct session *s, struct assay_error *err)
{
    struct forward *f = &s->forward;
    struct assay_compile_options options = session_compile_options(s, false);
    options.gives_weights = s->runtime->takes_weights;
    enum assay_status st = s->runtime->compile(f->graph, &options, &f->program, err);
    if (!st && options.gives_weights)
        give_weights(f);
    return st ? st : s->runtime->bind(f->program, f->inputs, err);
}

/* The graph with its weights again, for the profile. */
static enum assay_status reload(struct session *s, struct assay_error *err)
{
    struct forward *f = &s->forward;
    struct assay_graph *graph = NULL;
    if (!f->is_empty)
        return ASSAY_OK;
    enum assay_status st = load(s, &graph, err);
    if (!st)
        st = session_convert(s, graph, err);
    if (st) {
        assay_graph_close(graph);
        return st;
    }
    assay_graph_close(f->graph);
    f->graph = graph;
    f->is_empty = false;
    return ASSAY_OK;
}

static enum assay_status prepare(struct session *s, struct assay_error *err)
{
    int64_t start = assay_clock_ns();
    enum assay_status st = load(s, &s->forward.graph, err);
    int64_t read = assay_clock_ns();
    if (!st)
        st = session_convert(s, s->forward.graph, err);
    int64_t converted = assay_clock_ns();
    if (!st)
        st = make_inputs(s, err);
    if (!st && s->forward.graph->n_states) {
        st = assay_graph_infer(s->forward.graph, err);
        s->forward.binds_again = !st && has_growing_state(s->forward.graph);
    }
    int64_t made = assay_clock_ns();
    if (!st)
        st = compile(s, err);
    int64_t compiled = assay_clock_ns();
    if (st)
        return st;
    assay_row_set_real(s->row, ASSAY_ROW_load_ns, (double)(converted - start + compiled - made));
    assay_row_map_real(s->row, ASSAY_ROW_metrics, "read_ns", (double)(read - start));
    assay_row_map_real(s->row, ASSAY_ROW_metrics, "compile_ns", (double)(compiled - made));
    if (assay_case_converts(s->c))
        assay_row_map_real(s->row, ASSAY_ROW_metrics, "convert_ns", (double)(converted - read));
    return ASSAY_OK;
}

static enum assay_status run(void *context, struct assay_error *err)
{
    struct session *s = context;
    const struct forward *f = &s->forward;
    enum assay_status st = f->binds_again ? s->runtime->bind(f->program, f->inputs, err) : ASSAY_OK;
    return st ? st : s->runtime->run(f->program, err);
}

static void set_memory(struct session *s) { session_set_memory(s, &s->forward.program, 1); }

/* What the reference is to run. */
struct wanted {
    struct session *s;
    bool is_original;
    struct assay_graph *graph; /* owned; NULL = none was needed */
};

/* Opened when it is needed: kept beside the program, it would count in the row's memory. */
static enum assay_status open_wanted(void *context, const struct assay_graph **graph, struct assay_error *err)
{
    struct wanted *w = context;
    *graph = w->s->forward.graph;
    if (!w->is_original && !w->s->forward.is_empty)
        return ASSAY_OK;
    enum assay_status st = load(w->s, &w->graph, err);
    if (!st && !w->is_original)
        st = session_convert(w->s, w->graph, err);
    *graph = w->graph;
    return st;
}

static enum assay_status check(struct session *s, struct assay_correctness *k, struct assay_error *err)
{
    const struct forward *f = &s->forward;
    struct wanted wanted = {.s = s, .is_original = assay_case_converts(s->c) && !assay_case_quantizes(s->c)};
    const struct assay_correctness_model model = {wanted.is_original, open_wanted, &wanted};
    enum assay_status st = assay_correctness_check(s->c, f->graph, &model, f->inputs, s->runtime, f->program, &s->arena, k, err);
    assay_graph_close(wanted.graph);
    return st;
}

static void set_figures(struct session *s) { (void)s; }

static enum assay_status profile(struct session *s, json_t **json, struct assay_error *err)
{
    enum assay_status st = reload(s, err);
    return st ? st : session_profile_graph(s, s->forward.graph, s->forward.inputs, json, err);
}

static void release(struct session *s)
{
    struct forward *f = &s->forward;
    if (s->runtime)
        s->runtime->release(f->program);
    for (int i = 0; f->inputs && i < f->graph->n_inputs; i++)
        assay_tensor_release(&f->inputs[i]);
    assay_graph_close(f->graph);
}

const struct subject subject_forward = {
    .prepare = prepare,
    .run = run,
    .set_memory = set_memory,
    .check = check,
    .set_figures = set_figures,
    .profile = profile,
    .release = release,
};
