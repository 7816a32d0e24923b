/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a run's outputs were right: compared with those of the reference runtime on the same inputs.
 *
 * A model converted to another precision is compared with the original, so that the error tells what the precision costs. The
 * reference's outputs are kept (reference_cache.h) under a hash of model, input types and input bytes.
 */
#ifndef ASSAY_BENCH_CORRECTNESS_H
#define ASSAY_BENCH_CORRECTNESS_H

#include "bench/case.h"
#include "graph/graph.h"

/* The largest allowed difference over the largest magnitude of a tensor, for a precision word; with the reason for it in
 * docs/methodology.md. */
double assay_tolerance(const char *precision);

struct assay_correctness {
    bool checked;
    const char *note; /* how it was compared, or why not; from the arena */
    double max_abs, max_rel, tolerance;
    const char *worst; /* output with the largest max_rel */
};

/* Why a case's outputs are not compared, whatever the model; NULL if they are. */
const char *assay_correctness_excuse(const struct assay_case *c, const struct assay_runtime *runtime);

/* What the reference is to run where that is not the graph that was checked. It is asked only if what the reference computed is
 * not kept, so that a model need not be read again for it. */
struct assay_correctness_model {
    bool is_original; /* the model in its own precision, of a graph that was converted */
    enum assay_status (*open)(void *context, const struct assay_graph **graph, struct assay_error *err); /* borrowed */
    void *context;
};

/* Compares program's outputs of its last run (of a graph with states: of a first run, made here). model: NULL = the reference
 * runs `graph`; else it need not have its weights. ASSAY_MISMATCH with the output, place and size of the difference; ASSAY_OK
 * otherwise, also where a comparison is impossible (the reference does not support the model, random ops): then checked is false
 * and note says why. */
enum assay_status assay_correctness_check(const struct assay_case *c, const struct assay_graph *graph,
                                          const struct assay_correctness_model *model, const struct assay_tensor *inputs,
                                          const struct assay_runtime *runtime, struct assay_program *program,
                                          struct assay_arena *arena, struct assay_correctness *correctness,
                                          struct assay_error *err);

#endif
