/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of runs: one run of a model on the data that a text names, on one thread of a platform. */
#ifndef ASSAY_TRAIN_RUN_TESTING_H
#define ASSAY_TRAIN_RUN_TESTING_H

#include "runtime/registry.h"
#include "train/run.h"

static inline enum assay_status run_on(struct assay_run_options *o, const char *platform_name, const char *data, bool keeps,
                                       struct assay_run_result *result, struct assay_error *err)
{
    struct assay_arena arena;
    struct assay_platform platform;
    struct assay_dataset *dataset = NULL;
    assay_arena_init(&arena);
    *result = (struct assay_run_result){0};
    enum assay_status st = assay_platform_find(&arena, platform_name, &platform, &o->runtime, err);
    o->compile = (struct assay_compile_options){.platform = &platform, .n_threads = 1, .isa = "", .optimization = 3};
    if (!st)
        st = assay_dataset_open(data, NULL, &dataset, err);
    if (!st)
        st = assay_run(o, dataset, keeps, result, err);
    assay_dataset_close(dataset);
    assay_arena_release(&arena);
    return st;
}

#endif
