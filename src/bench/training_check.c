/* SPDX-License-Identifier: Apache-2.0 */
/* See training_check.h. The check of the gradient is in training_gradient.c. */
#include "bench/training_check.h"

#include "bench/reference_cache.h"
#include "graph/op.h"
#include "runtime/registry.h"
#include "train/session.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N_STEPS = ASSAY_TRAINING_STEPS + 1 };

/* By precision: f32's sums differ in order alone; 16-bit floats have 8 (bf16) or 11 bits of each product. */
static double tolerance_of(const char *precision, double f32, double f16, double bf16)
{
    if (precision && strcmp(precision, "bf16") == 0)
        return bf16;
    return precision && strcmp(precision, "f16") == 0 ? f16 : f32;
}

double assay_training_tolerance(const char *precision) { return tolerance_of(precision, 1e-4, 2e-2, 1e-1); }
double assay_training_gradient_tolerance(const char *precision) { return tolerance_of(precision, 1e-3, 1e-1, 3e-1); }

/* ---- the first steps */

enum assay_status assay_training_curve_run(const struct assay_training_subject *subject, enum assay_dtype precision,
                                           const struct assay_runtime *runtime, const struct assay_compile_options *compile,
                                           struct assay_training_curve *curve, struct assay_error *err)
{
    struct assay_step_options options;
    struct assay_training_step *step = NULL;
    struct assay_training_session *session = NULL;
    enum assay_status st = assay_training_options(subject->c, subject->loss, precision, &options, err);
    double rate = 0, scale = options.loss_scale ? ASSAY_TRAINING_LOSS_SCALE : 1;
    options.gradient_norm = true;
    if (!st)
        st = assay_training_step_make(subject->graph, &options, &step, err);
    if (!st)
        rate = assay_training_rate(step);
    if (!st)
        st = assay_training_session_open(step, runtime, compile, &session, err);
    for (int i = 0; i < N_STEPS && !st; i++) {
        st = assay_training_session_run(session, subject->data, rate, scale, err);
        if (!st)
            st = assay_training_session_number(session, step->loss, &curve->losses[i], err);
        if (!st)
            st = assay_training_session_number(session, step->gradient_norm, &curve->norms[i], err);
    }
    assay_training_session_close(session);
    assay_training_step_close(step);
    return st;
}

/* ---- the reference's, kept */

static const char *cache_path(const struct assay_training_subject *subject)
{
    struct assay_hash hash;
    assay_reference_hash_init(&hash, subject->c->model_id);
    assay_hash_text(&hash, "training, by a step of fixed length");
    assay_hash_text(&hash, subject->c->optimizer ? subject->c->optimizer : "");
    for (int i = 0; i < subject->graph->n_inputs; i++)
        assay_reference_hash_tensor(&hash, &subject->data[i]);
    return assay_reference_path(&hash, subject->arena);
}

static enum assay_status numbers_tensor(struct assay_tensor *tensor, const double *numbers, struct assay_error *err)
{
    struct assay_type type = assay_type_make(ASSAY_F64, 1, (const int64_t[]){N_STEPS});
    enum assay_status st = assay_tensor_alloc(tensor, &type, err);
    if (!st)
        memcpy(tensor->data, numbers, N_STEPS * sizeof *numbers);
    return st;
}

static void write_curve(const char *path, const struct assay_training_curve *curve)
{
    struct assay_tensor tensors[2] = {{{0}}};
    if (!numbers_tensor(&tensors[0], curve->losses, NULL) && !numbers_tensor(&tensors[1], curve->norms, NULL))
        assay_reference_write(path, tensors, 2);
    assay_tensor_release(&tensors[0]);
    assay_tensor_release(&tensors[1]);
}

static bool read_curve(const char *path, struct assay_training_curve *curve)
{
    struct assay_tensor tensors[2] = {{{0}}};
    if (!assay_reference_read(path, tensors, 2))
        return false;
    bool fits = true;
    for (int k = 0; k < 2; k++)
        fits &= tensors[k].type.dtype == ASSAY_F64 && assay_tensor_count(&tensors[k]) == N_STEPS;
    for (int i = 0; fits && i < N_STEPS; i++) {
        curve->losses[i] = assay_tensor_real(&tensors[0], i);
        curve->norms[i] = assay_tensor_real(&tensors[1], i);
    }
    assay_tensor_release(&tensors[0]);
    assay_tensor_release(&tensors[1]);
    return fits;
}

static enum assay_status reference_curve(const struct assay_training_subject *subject, struct assay_training_curve *curve,
                                         struct assay_error *err)
{
    struct assay_platform platform;
    const struct assay_runtime *reference = NULL;
    const char *path = cache_path(subject);
    if (read_curve(path, curve))
        return ASSAY_OK;
    enum assay_status st = assay_platform_find(subject->arena, "cpu/reference", &platform, &reference, err);
    if (st)
        return st;
    struct assay_compile_options compile = {.platform = &platform, .n_threads = 1};
    st = assay_training_curve_run(subject, ASSAY_NO_DTYPE, reference, &compile, curve, err);
    if (!st)
        write_curve(path, curve);
    return st;
}

/* ---- comparing */

static double relative(double got, double wanted)
{
    double difference = fabs(got - wanted);
    return difference == 0 ? 0 : difference / fabs(wanted); /* NaN where either is */
}

/* The first number that is too far off, as a sentence; else the largest error. after: what is allowed from the second step on. */
static enum assay_status compare(const char *what, const double *got, const double *wanted, double first, double after,
                                 double *error, struct assay_error *err)
{
    *error = 0;
    for (int i = 0; i < N_STEPS; i++) {
        double e = relative(got[i], wanted[i]), tolerance = i ? after : first;
        if (!(e <= *error))
            *error = e;
        if (!(e <= tolerance))
            return assay_error_set(err, ASSAY_MISMATCH,
                                   "the %s of step %d is %.9g where the reference has %.9g (%.3g of it; allowed %.3g)", what,
                                   i + 1, got[i], wanted[i], e, tolerance);
    }
    return ASSAY_OK;
}

static bool is_random(const struct assay_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; i++)
        if (assay_op_is_random(graph, graph->nodes[i]))
            return true;
    return false;
}

/* Whether the gradient jumps somewhere: an activation that rounding takes to the other side gives another one. */
static bool has_kinks(const struct assay_graph *graph)
{
    static const char kinks[] = " Relu Clip LeakyRelu PRelu Abs Max Min MaxPool GlobalMaxPool ReduceMax ReduceMin HardSigmoid ";
    for (int i = 0; i < graph->n_nodes; i++) {
        char word[64];
        snprintf(word, sizeof word, " %.60s ", graph->nodes[i]->type);
        if (strstr(kinks, word))
            return true;
    }
    return false;
}

/* What norms may differ by once parameters have moved: with kinks, one of the 4096 activations of a last stage is 1/64 of it. */
static double norm_tolerance(const struct assay_training_subject *subject, double tolerance)
{
    static const double of_kinks = 1e-2;
    return has_kinks(subject->graph) ? fmax(of_kinks, tolerance) : tolerance;
}

/* The platform's losses and norms against the reference's. losses: of the timed program, whose norms are those of a second
 * program, since the timed one has none. */
static enum assay_status compare_steps(const struct assay_training_subject *subject, const double *losses, double last_loss,
                                       struct assay_training_evidence *e, struct assay_correctness *k, struct assay_error *err)
{
    double again[N_STEPS], timed_error, norms_after = norm_tolerance(subject, k->tolerance);
    enum assay_status st = assay_training_curve_run(subject, assay_training_precision(subject->c), subject->runtime,
                                                    subject->compile, &e->curve, err);
    if (st)
        return st;
    memcpy(e->curve.losses, losses, sizeof e->curve.losses);
    st = reference_curve(subject, &e->wanted, err);
    if (st)
        return st;
    k->checked = true;
    for (int i = 0; i < N_STEPS; i++) {
        double difference = fabs(losses[i] - e->wanted.losses[i]);
        k->max_abs = difference <= k->max_abs ? k->max_abs : difference;
        again[i] = i < ASSAY_TRAINING_STEPS ? losses[i] : last_loss;
    }
    st = compare("loss", losses, e->wanted.losses, k->tolerance, k->tolerance, &e->loss_error, err);
    if (!st)
        st = compare("loss, at the end of the timed runs,", again, e->wanted.losses, k->tolerance, k->tolerance, &timed_error,
                     err);
    if (!st)
        st = compare("gradient norm", e->curve.norms, e->wanted.norms, k->tolerance, norms_after, &e->gradient_norm_error, err);
    k->max_rel = e->loss_error;
    return st;
}

static enum assay_status check_gradient(const struct assay_training_subject *subject, struct assay_training_part *both,
                                        struct assay_training_evidence *e, struct assay_error *err)
{
    struct assay_error why;
    double told = subject->c->tolerance,
           tolerance = told > 0 ? 10 * told : assay_training_gradient_tolerance(subject->c->precision);
    enum assay_status st = assay_training_check_gradient(subject, both, &e->check_gradient_error, &why);
    if (st == ASSAY_ABSENT)
        return assay_error_set(err, st, "%s", why.message);
    if (st) {
        e->check_gradient_error = NAN;
        e->check_gradient_note = assay_arena_strdup(subject->arena, why.message);
        return ASSAY_OK;
    }
    if (e->check_gradient_error <= tolerance)
        return ASSAY_OK;
    return assay_error_set(err, ASSAY_MISMATCH,
                           "the gradient along a random direction differs from the central difference by %.3g of what it is "
                           "typically (allowed %.3g)",
                           e->check_gradient_error, tolerance);
}

static const char *gradient_words(const struct assay_training_evidence *e, struct assay_arena *arena)
{
    return e->check_gradient_note
               ? assay_arena_printf(arena, "the gradient was not compared with central differences: %s", e->check_gradient_note)
               : assay_arena_printf(arena, "the gradient along a random direction against central differences in f64: %.2g off",
                                    e->check_gradient_error);
}

enum assay_status assay_training_check(const struct assay_training_subject *subject, const double *losses, double last_loss,
                                       struct assay_training_part *both, struct assay_training_evidence *e,
                                       struct assay_correctness *k, struct assay_error *err)
{
    const struct assay_case *c = subject->c;
    struct assay_arena *arena = subject->arena;
    *k = (struct assay_correctness){.tolerance = c->tolerance > 0 ? c->tolerance : assay_training_tolerance(c->precision)};
    *e = (struct assay_training_evidence){.loss_error = NAN, .gradient_norm_error = NAN, .check_gradient_error = NAN};
    k->note = c->check && !subject->runtime->computes_nothing && is_random(subject->graph)
                  ? "the model has random ops"
                  : assay_correctness_excuse(c, subject->runtime);
    bool is_reference = k->note && c->check && subject->runtime->is_reference && !is_random(subject->graph);
    if (k->note && !is_reference)
        return ASSAY_OK;
    enum assay_status st = ASSAY_OK;
    if (is_reference) {
        st = reference_curve(subject, &e->curve, err);
        e->wanted = e->curve;
    } else {
        st = compare_steps(subject, losses, last_loss, e, k, err);
    }
    if (st == ASSAY_UNSUPPORTED) {
        k->note = assay_arena_printf(arena, "the reference cannot run this step: %s", err->message);
        return ASSAY_OK;
    }
    if (!st)
        st = check_gradient(subject, both, e, err);
    k->note = is_reference ? assay_arena_printf(arena, "%s; %s", k->note, gradient_words(e, arena))
                           : assay_arena_printf(arena,
                                                "losses and gradient norms of the first %d steps, and the loss of the last timed "
                                                "one, by largest relative difference; %s",
                                                ASSAY_TRAINING_STEPS, gradient_words(e, arena));
    return st;
}
