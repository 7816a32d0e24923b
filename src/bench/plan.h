/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: from what a person asks for (a spec, of a command line or a suite) to the list of cases.
 *
 * A spec is lists; its cases are their product, less what cannot be: each thing left out is told with its reason. A free
 * dimension of a model is bound by --shape
 * ("x=Nx3x640x640", N being the batch), else by --dim NAME=VALUE, else: a first dimension, or one called like batch, is the
 * batch; what another input says of the same dimension counts for all; the prompt of a request for generated text is 128 tokens
 * long; what remains is an error that says which option to give.
 */
#ifndef ASSAY_BENCH_PLAN_H
#define ASSAY_BENCH_PLAN_H

#include "bench/case.h"
#include "bench/spec.h"

struct assay_plan_platform;

struct assay_plan {
    struct assay_arena arena;
    struct assay_case *cases;
    size_t n_cases, room;
    const char **left_out; /* sentences */
    size_t n_left_out;
    const char **unreadable; /* sentences: models that could not be opened */
    size_t n_unreadable;
    struct assay_plan_platform *platforms; /* those looked for */
};
void assay_plan_init(struct assay_plan *plan);
void assay_plan_release(struct assay_plan *plan);
/* Adds a spec's cases. A model that cannot be opened is no error: the others go on. ASSAY_INVALID: the spec is wrong; the
 * sentence says where. */
enum assay_status assay_plan_add(struct assay_plan *plan, const struct assay_spec *spec, struct assay_error *err);
/* Equal for equal lists of cases: 8 digits. */
const char *assay_plan_id(struct assay_plan *plan, const char *host);

#endif
