/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suites: YAML files that say which cases to run, read with libcyaml. Keys are the options of `assay bench` without the dashes;
 * each entry of `cases` is a spec (spec.h), over the `defaults`:
 *
 *     name: first
 *     about: real models on two runtimes
 *     defaults: {platform: [cpu/native, cpu/onnxruntime], threads: [1, 2], max-time: 3}
 *     cases:
 *       - model: [../models/detect.onnx]     # relative to the suite's folder
 *         name: detect
 *         batch: [1, 8]
 *         shape: ["x=Nx3x640x640"]
 */
#ifndef ASSAY_BENCH_SUITE_H
#define ASSAY_BENCH_SUITE_H

#include "bench/spec.h"

struct assay_suite {
    struct assay_arena arena;
    const char *name, *about;
    struct assay_spec *specs; /* defaults applied, model paths resolved */
    size_t n_specs;
};

/* ASSAY_INVALID: the sentence names file, line and key. */
enum assay_status assay_suite_open(struct assay_suite *suite, const char *path, struct assay_error *err);
/* From memory; `folder` is what model paths are relative to, `where` begins the sentences. */
enum assay_status assay_suite_parse(struct assay_suite *suite, const char *text, size_t size_bytes, const char *folder,
                                    const char *where, struct assay_error *err);
void assay_suite_release(struct assay_suite *suite);

#endif
