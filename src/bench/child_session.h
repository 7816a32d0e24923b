/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files that measure a case share: child.c has the order of things, the loop's figures and the process; child_forward.c
 * what a run of one forward pass is, child_generate.c what one request for generated text is,
 * child_training.c what a training step is.
 */
#ifndef ASSAY_BENCH_CHILD_SESSION_H
#define ASSAY_BENCH_CHILD_SESSION_H

#include "bench/correctness.h"
#include "bench/generation.h"
#include "bench/measure.h"
#include "bench/training_check.h"
#include "device/device.h"
#include "graph/infer.h"
#include "train/session.h"

/* One forward pass of the model's graph. */
struct forward {
    struct assay_graph *graph;
    struct assay_tensor *inputs; /* [graph->n_inputs] */
    struct assay_program *program;
    bool is_empty;    /* the runtime has taken the graph's constants over: those that are needed again are read again */
    bool binds_again; /* before each run: its states grow, and every run is to be the same */
};

/* Times of the requests run so far, those of the warm-up first. */
struct request_times {
    double *first_ns, *rest_ns; /* [n]: to the first token; of all tokens after it, together */
    double *steps; /* [ASSAY_KEPT_REQUESTS, n_tokens]: each token's, of the last requests; by number of the request modulo */
    size_t n, room;
};
enum { ASSAY_KEPT_REQUESTS = 256 };

/* Whole requests. */
struct generation {
    struct assay_generator *generator;
    struct assay_request_input *inputs; /* [c->n_inputs], owned tensors */
    struct assay_request request;
    struct assay_answer answer; /* of the last one */
    struct request_times times;
};

/* Training steps. */
struct training {
    struct assay_tensor *data; /* [c->n_inputs] */
    struct assay_training_step *step;
    struct assay_training_session *session; /* of the step; closed when it has been measured */
    double rate, loss_scale;
    double losses[ASSAY_TRAINING_STEPS + 1]; /* of the first runs */
    double last_loss;
    int64_t n_runs;
    /* After the measurement: */
    struct assay_graph *graph; /* the model again, bound */
    struct assay_compile_options compile;
    struct assay_training_subject subject;
    struct assay_training_part both;
    struct assay_training_evidence evidence;
};

/* A case in execution. */
struct session {
    const struct assay_case *c;
    const struct subject *subject;
    struct assay_arena arena;
    struct assay_row *row;
    struct assay_platform platform;
    const struct assay_runtime *runtime;
    struct forward forward;
    struct generation generation;
    struct training training;
    struct assay_samples samples;
    struct assay_server_result server;
    struct assay_noise before, after;
    double energy_j; /* of one run; NaN if nothing meters it */
    bool is_server;
};

/* What is measured. All are required. */
struct subject {
    /* Ready to run; sets the row's load_ns. */
    enum assay_status (*prepare)(struct session *s, struct assay_error *err);
    /* One sample; the context is the session. */
    enum assay_status (*run)(void *context, struct assay_error *err);
    /* What the runtime says of its memory. */
    void (*set_memory)(struct session *s);
    enum assay_status (*check)(struct session *s, struct assay_correctness *k, struct assay_error *err);
    /* What is not common to all cases; the row has the samples' figures. */
    void (*set_figures)(struct session *s);
    enum assay_status (*profile)(struct session *s, json_t **json, struct assay_error *err);
    void (*release)(struct session *s);
};
extern const struct subject subject_forward, subject_generate, subject_train;

/* As the case asks for it; platform and options are borrowed from the session. */
struct assay_compile_options session_compile_options(const struct session *s, bool profile);
/* The transformation of assay_generator_options: to the case's precision, if it is not the model's. context is the session. */
enum assay_status session_convert(void *context, struct assay_graph *graph, struct assay_error *err);
/* What the runtime says of its programs' memory, together; programs may be NULL. */
void session_set_memory(struct session *s, struct assay_program *const *programs, int n_programs);
/* Where the time of a run of `graph` goes: a program of its own, since recording costs time. */
enum assay_status session_profile_graph(struct session *s, struct assay_graph *graph, const struct assay_tensor *inputs,
                                        json_t **json, struct assay_error *err);
/* "name:0" = dims[0] … of a case's inputs. Returns their number; bindings from the session's arena. */
size_t session_bindings(struct session *s, struct assay_binding **bindings);

#endif
