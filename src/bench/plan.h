/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: from what a person asks for (a command line, a suite) to the list of cases.
 *
 * A spec is lists; its cases are their product, less what cannot be: each thing left out is told with its reason. A free
 * dimension of a model is bound by --shape
 * ("x=Nx3x640x640", N being the batch), else by --dim NAME=VALUE, else: a first dimension, or one called like batch, is the
 * batch; what remains is an error that says which option to give.
 */
#ifndef ASSAY_BENCH_PLAN_H
#define ASSAY_BENCH_PLAN_H

#include "bench/case.h"
#include "bench/shape.h"

struct assay_int_list {
    int64_t *items;
    size_t n;
};

/* What to run. Empty lists get the defaults of assay_spec_defaults. */
struct assay_spec {
    const char *name;              /* of the model in rows; NULL = from its file */
    struct assay_text_list models; /* files */
    struct assay_text_list platforms;
    struct assay_text_list modes, scenarios, precisions, isas;
    struct assay_int_list batches, threads;
    struct assay_text_list shapes;  /* "input=1x3xNx2" */
    struct assay_text_list dims;    /* "name=value" */
    struct assay_text_list inputs;  /* "input=kind" */
    struct assay_text_list options; /* "name=value", for the runtime */
    const char *ep_library;
    const char *suite;
    int64_t seed, optimization; /* -1 = default */
    int64_t memory_limit;       /* bytes; 0 = default: 90 % of the machine's */
    double min_time, max_time, warmup_time, interval, latency_bound, time_limit, tolerance; /* NaN = default */
    bool no_check, profile;
    const char *trace_path;
};
void assay_spec_init(struct assay_spec *spec);
/* Where `over` says something, it replaces what `spec` says: a command line over a suite. */
void assay_spec_override(struct assay_spec *spec, const struct assay_spec *over);

struct assay_plan {
    struct assay_arena arena;
    struct assay_case *cases;
    size_t n_cases, room;
    const char **left_out; /* sentences */
    size_t n_left_out;
};
void assay_plan_init(struct assay_plan *plan);
void assay_plan_release(struct assay_plan *plan);
/* Adds a spec's cases. ASSAY_INVALID: the spec is wrong or a model cannot be loaded; the sentence says which. */
enum assay_status assay_plan_add(struct assay_plan *plan, const struct assay_spec *spec, struct assay_error *err);
/* Equal for equal lists of cases: 8 digits. */
const char *assay_plan_id(struct assay_plan *plan, const char *host);

#endif
