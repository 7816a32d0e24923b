/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spec: what a person asks for, on a command line or in a suite, as lists. The plan (plan.h) makes cases of it.
 */
#ifndef ASSAY_BENCH_SPEC_H
#define ASSAY_BENCH_SPEC_H

#include "bench/shape.h"

struct assay_int_list {
    int64_t *items;
    size_t n;
};

enum { ASSAY_MAX_NEW_TOKENS = 1 << 20 };
#define ASSAY_SPEC_UNSET INT64_MIN

/* What to run. Empty lists, NULL, ASSAY_SPEC_UNSET and NaN stand for the default, which docs/cli.md names. */
struct assay_spec {
    const char *name;              /* of the model in rows; NULL = from its file */
    struct assay_text_list models; /* files, folders, names of presets */
    struct assay_text_list platforms;
    struct assay_text_list modes, scenarios, precisions, isas;
    struct assay_int_list batches, threads;
    struct assay_int_list new_tokens; /* of each answer; 0 = one forward pass */
    struct assay_text_list shapes;    /* "input=1x3xNx2" */
    struct assay_text_list dims;      /* "name=value" */
    struct assay_text_list inputs;    /* "input=kind" */
    struct assay_text_list options;   /* "name=value", for the runtime */
    const char *optimizer, *loss;     /* of mode training; NULL = adamw, and the model's own */
    const char *ep_library;
    const char *suite;
    int64_t seed, optimization; /* ASSAY_SPEC_UNSET = default */
    int64_t memory_limit;       /* bytes; 0 = default: 90 % of the machine's */
    double min_time, max_time, warmup_time, interval, latency_bound, time_limit, tolerance; /* NaN = default */
    bool no_check, profile;
    const char *trace_path;
};
void assay_spec_init(struct assay_spec *spec);
/* Where `over` says something, it replaces what `spec` says: a command line over a suite. */
void assay_spec_override(struct assay_spec *spec, const struct assay_spec *over);
/* ASSAY_INVALID: the option that is wrong, whatever the model. */
enum assay_status assay_spec_check(const struct assay_spec *spec, struct assay_error *err);

#endif
