/* SPDX-License-Identifier: Apache-2.0 */
/* One request for generated text a run (child_session.h). */
#include "base/clock.h"
#include "bench/answer_check.h"
#include "bench/child_session.h"
#include "bench/inputs.h"
#include "bench/profile.h"
#include "bench/request.h"
#include "stats/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum assay_status make_inputs(struct session *s, struct assay_error *err)
{
    struct generation *g = &s->generation;
    g->inputs = assay_arena_array(&s->arena, s->c->n_inputs, sizeof *g->inputs);
    enum assay_status st = ASSAY_OK;
    for (size_t i = 0; !st && i < s->c->n_inputs; i++) {
        g->inputs[i].name = s->c->inputs[i].name;
        st = assay_input_make(&s->c->inputs[i], (uint64_t)s->c->seed, &g->inputs[i].tensor, err);
    }
    g->request = (struct assay_request){
        .inputs = g->inputs, .n_inputs = s->c->n_inputs, .max_new_tokens = s->c->new_tokens, .ignore_eos = true};
    return st;
}

static enum assay_status prepare(struct session *s, struct assay_error *err)
{
    struct assay_generator_options options = {
        .runtime = s->runtime, .compile = session_compile_options(s, false), .transform = session_convert, .context = s};
    enum assay_status st = make_inputs(s, err);
    int64_t start = assay_clock_ns();
    if (!st)
        st = assay_generator_open(s->c->model_path, &options, &s->generation.generator, err);
    if (!st)
        assay_row_set_real(s->row, ASSAY_ROW_load_ns, (double)(assay_clock_ns() - start));
    return st;
}

static void add_times(struct request_times *t, const struct assay_answer *answer)
{
    size_t n_tokens = (size_t)answer->n_tokens;
    if (t->n == t->room) {
        t->room = t->room ? 2 * t->room : 1024;
        t->first_ns = assay_realloc(t->first_ns, t->room * sizeof *t->first_ns);
        t->rest_ns = assay_realloc(t->rest_ns, t->room * sizeof *t->rest_ns);
    }
    if (!t->steps)
        t->steps = assay_alloc(ASSAY_KEPT_REQUESTS * n_tokens * sizeof *t->steps);
    double rest = 0;
    for (size_t i = 1; i < n_tokens; i++)
        rest += answer->step_ns[i];
    memcpy(t->steps + t->n % ASSAY_KEPT_REQUESTS * n_tokens, answer->step_ns, n_tokens * sizeof *t->steps);
    t->first_ns[t->n] = answer->step_ns[0];
    t->rest_ns[t->n++] = rest;
}

static enum assay_status run(void *context, struct assay_error *err)
{
    struct session *s = context;
    struct generation *g = &s->generation;
    enum assay_status st = assay_generator_run(g->generator, &g->request, &g->answer, err);
    if (!st && g->answer.n_tokens != s->c->new_tokens)
        st = assay_error_set(err, ASSAY_CRASHED, "%lld tokens were generated, not %lld", (long long)g->answer.n_tokens,
                             (long long)s->c->new_tokens);
    if (!st)
        add_times(&g->times, &g->answer);
    return st;
}

static void set_memory(struct session *s)
{
    const struct assay_generator *g = s->generation.generator;
    session_set_memory(s,
                       (struct assay_program *[]){assay_generator_program(g, ASSAY_PHASE_ENCODE),
                                                  assay_generator_program(g, ASSAY_PHASE_DECODE)},
                       2);
}

static enum assay_status check(struct session *s, struct assay_correctness *k, struct assay_error *err)
{
    struct generation *g = &s->generation;
    return assay_answer_check(s->c, g->generator, s->runtime, &g->request, &g->answer, &s->arena, k, err);
}

/* ---- figures: terms as in docs/methodology.md */

static void set_times(struct assay_row *row, const char *name, const double *ns, size_t n)
{
    assay_row_map_real(row, ASSAY_ROW_metrics, assay_arena_printf(&row->arena, "%s_median_ns", name), assay_stats_median(ns, n));
    if (assay_stats_supports(n, 0.99))
        assay_row_map_real(row, ASSAY_ROW_metrics, assay_arena_printf(&row->arena, "%s_p99_ns", name),
                           assay_stats_quantile(ns, n, 0.99));
}

/* Median of each token's time over the last timed requests. */
static void set_steps(struct session *s, size_t n_timed)
{
    const struct request_times *t = &s->generation.times;
    size_t n_tokens = (size_t)s->c->new_tokens, n = n_timed < ASSAY_KEPT_REQUESTS ? n_timed : ASSAY_KEPT_REQUESTS;
    double *column = assay_arena_array(&s->arena, n, sizeof *column),
           *medians = assay_arena_array(&s->arena, n_tokens, sizeof *medians);
    for (size_t i = 0; i < n_tokens; i++) {
        for (size_t k = 0; k < n; k++)
            column[k] = t->steps[(t->n - 1 - k) % ASSAY_KEPT_REQUESTS * n_tokens + i];
        medians[i] = assay_stats_median(column, n);
    }
    assay_row_map_reals(s->row, ASSAY_ROW_series, "step_median_ns", medians, n_tokens);
}

static void set_decoding(struct session *s, const double *per_token, size_t n)
{
    const struct assay_case *c = s->c;
    double median = assay_stats_median(per_token, n);
    set_times(s->row, "time_per_output_token", per_token, n);
    assay_row_map_real(s->row, ASSAY_ROW_metrics, "decode_tokens_per_s", (double)c->batch / median * 1e9);
    assay_row_map_real(s->row, ASSAY_ROW_metrics, "decode_bytes_per_token", c->step_bytes / (double)c->batch);
    if (c->peak_bytes > 0)
        assay_row_map_real(s->row, ASSAY_ROW_metrics, "decode_bandwidth_share", c->step_bytes / median * 1e9 / c->peak_bytes);
}

static void set_figures(struct session *s)
{
    const struct assay_case *c = s->c;
    struct request_times *t = &s->generation.times;
    size_t n_warmup = (size_t)s->samples.n_warmup, n = t->n - n_warmup;
    set_times(s->row, "time_to_first_token", t->first_ns + n_warmup, n);
    if (c->prompt_tokens > 0)
        assay_row_map_real(s->row, ASSAY_ROW_metrics, "prefill_tokens_per_s",
                           (double)(c->batch * c->prompt_tokens) / assay_stats_median(t->first_ns + n_warmup, n) * 1e9);
    set_steps(s, n);
    if (c->new_tokens < 2)
        return;
    double *per_token = t->rest_ns + n_warmup;
    for (size_t i = 0; i < n; i++)
        per_token[i] /= (double)(c->new_tokens - 1);
    set_decoding(s, per_token, n);
}

/* ---- profile: the tokens after the first, each a run of the decode graph and the choice of the token */

enum { PROFILE_REQUESTS = 64, PROFILE_STEPS = 4096 };
static const double PROFILE_TIME = 1.0; /* s, at least two requests */

/* The wall time of each step, NaN where it does not count: the prompt's, unless there is nothing else; and what of it is
 * around the run: its inputs, the choice of tokens. */
static enum assay_status profile_requests(struct session *s, struct assay_generator *generator, double *step_ns,
                                          double *choice_ns, int *n_steps, struct assay_error *err)
{
    struct assay_answer answer = {0};
    enum assay_status st = ASSAY_OK;
    int64_t end = assay_clock_ns() + (int64_t)(PROFILE_TIME * 1e9), n_tokens = s->c->new_tokens;
    for (int r = 0; !st && r < PROFILE_REQUESTS && (r < 2 || assay_clock_ns() < end) && *n_steps + n_tokens <= PROFILE_STEPS;
         r++) {
        st = assay_generator_run(generator, &s->generation.request, &answer, err);
        for (int64_t i = 0; !st && i < answer.n_tokens; i++) {
            choice_ns[*n_steps] = answer.choice_ns[i];
            step_ns[(*n_steps)++] = i == 0 && n_tokens > 1 ? NAN : answer.step_ns[i];
        }
    }
    assay_answer_release(&answer);
    return st;
}

/* The ops' times, and behind those of each step what its tokens took. */
static struct assay_op_time *add_choices(struct session *s, const struct assay_op_time *times, int n_times, const double *step_ns,
                                         const double *choice_ns, int n_steps)
{
    struct assay_op_time *all = assay_arena_array(&s->arena, (size_t)(n_times + n_steps), sizeof *all);
    if (n_times)
        memcpy(all, times, (size_t)n_times * sizeof *all);
    for (int i = 0; i < n_steps; i++)
        all[n_times + i] = (struct assay_op_time){.run = i,
                                                  .name = "(tokens in and out)",
                                                  .type = "Choice",
                                                  .node = -1,
                                                  .start_ns = isnan(step_ns[i]) ? 0 : (int64_t)(step_ns[i] - choice_ns[i]),
                                                  .wall_ns = (int64_t)choice_ns[i]};
    return all;
}

static enum assay_status profile(struct session *s, json_t **json, struct assay_error *err)
{
    struct assay_generator_options options = {
        .runtime = s->runtime, .compile = session_compile_options(s, true), .transform = session_convert, .context = s};
    struct assay_generator *generator = NULL;
    const struct assay_op_time *times = NULL;
    int n_times = 0, n_steps = 0;
    if (!s->runtime->profile)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "%s gives no times per op", s->platform.name);
    if (s->c->new_tokens > PROFILE_STEPS / 2)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "a profile is of at most %d new tokens", PROFILE_STEPS / 2);
    double *step_ns = assay_arena_array(&s->arena, PROFILE_STEPS, sizeof *step_ns);
    double *choice_ns = assay_arena_array(&s->arena, PROFILE_STEPS, sizeof *choice_ns);
    enum assay_status st = assay_generator_open(s->c->model_path, &options, &generator, err);
    if (!st)
        st = profile_requests(s, generator, step_ns, choice_ns, &n_steps, err);
    if (!st)
        st = s->runtime->profile(assay_generator_program(generator, ASSAY_PHASE_DECODE), &times, &n_times, err);
    if (!st)
        st = assay_profile_make(s->c, assay_generator_graph(generator, ASSAY_PHASE_DECODE),
                                add_choices(s, times, n_times, step_ns, choice_ns, n_steps), n_times + n_steps, step_ns, n_steps,
                                json, err);
    assay_generator_close(generator);
    return st;
}

static void release(struct session *s)
{
    struct generation *g = &s->generation;
    assay_generator_close(g->generator);
    for (size_t i = 0; g->inputs && i < s->c->n_inputs; i++)
        assay_tensor_release(&g->inputs[i].tensor);
    assay_answer_release(&g->answer);
    free(g->times.first_ns);
    free(g->times.rest_ns);
    free(g->times.steps);
}

const struct subject subject_generate = {
    .prepare = prepare,
    .run = run,
    .set_memory = set_memory,
    .check = check,
    .set_figures = set_figures,
    .profile = profile,
    .release = release,
};
