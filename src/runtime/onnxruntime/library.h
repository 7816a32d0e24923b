/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONNX Runtime's shared library, found and opened at run time, and its statuses as ours.
 *
 * It is looked for in $ASSAY_ONNXRUNTIME (a file), then where npm put it for the build, then by its soname. It stays open until
 * the program ends, since its threads and providers do not survive dlclose.
 */
#ifndef ASSAY_RUNTIME_ONNXRUNTIME_LIBRARY_H
#define ASSAY_RUNTIME_ONNXRUNTIME_LIBRARY_H

#include "runtime/runtime.h"

#include <onnxruntime_c_api.h>

struct assay_ort_library {
    const OrtApi *api;
    const char *version; /* "1.30.0", static in the library */
};

/* ASSAY_ABSENT says where it was looked for and what went wrong. */
enum assay_status assay_ort_open(struct assay_ort_library *library, struct assay_error *err);

/* Frees `status` (NULL = success) and turns it into ours, with ONNX Runtime's own sentence after `what`. otherwise: the status of
 * a failure that its code does not explain. */
enum assay_status assay_ort_status(const OrtApi *api, OrtStatus *status, enum assay_status otherwise, const char *what,
                                   struct assay_error *err);

/* A provider as ONNX Runtime names it, and our platform for it. */
struct assay_ort_provider {
    const char *provider; /* "CUDAExecutionProvider" */
    const char *device;   /* "cuda:0" */
    const char *variant;  /* "" for the device's main one, else "tensorrt" */
    const char *append; /* name for SessionOptionsAppendExecutionProvider; "" = CPU, "cuda", "tensorrt" by their own functions */
};
/* The platform of a provider's name; others than the known ones are called after themselves. From the arena. */
struct assay_ort_provider assay_ort_provider_of(struct assay_arena *arena, const char *provider);
/* "cpu/onnxruntime", "cuda:0/onnxruntime-tensorrt". */
const char *assay_ort_platform_name(struct assay_arena *arena, const struct assay_ort_provider *provider);
enum assay_status assay_ort_append(const OrtApi *api, OrtSessionOptions *options, const struct assay_ort_provider *provider,
                                   const char *const *keys, const char *const *values, size_t n, struct assay_error *err);

/* Reads the trace that EndProfiling left (a JSON file, removed) into times of node kernels, by run; from malloc. */
enum assay_status assay_ort_read_profile(const char *path, struct assay_arena *arena, const struct assay_graph *graph,
                                         struct assay_op_time **times, int *n_times, struct assay_error *err);

#endif
