/* SPDX-License-Identifier: Apache-2.0 */
/* Stands for the onnxruntime runtime in a build that had no onnxruntime_c_api.h: the platform is listed, as absent. */
#include "runtime/runtime.h"

static const char reason[] = "this assay was built without onnxruntime_c_api.h; run `make build` where npm can install deps/";

static void list(struct assay_platform_list *platforms)
{
    assay_platform_add(platforms, &(struct assay_platform){.name = "cpu/onnxruntime",
                                                           .device = "cpu",
                                                           .runtime = "onnxruntime",
                                                           .variant = "",
                                                           .version = "",
                                                           .available = false,
                                                           .reason = reason});
}

static enum assay_status compile(const struct assay_graph *graph, const struct assay_compile_options *options,
                                 struct assay_program **program, struct assay_error *err)
{
    (void)graph, (void)options, (void)program;
    return assay_error_set(err, ASSAY_ABSENT, "%s", reason);
}

static enum assay_status bind(struct assay_program *program, const struct assay_tensor *inputs, struct assay_error *err)
{
    (void)program, (void)inputs;
    return assay_error_set(err, ASSAY_ABSENT, "%s", reason);
}

static enum assay_status run(struct assay_program *program, struct assay_error *err)
{
    (void)program;
    return assay_error_set(err, ASSAY_ABSENT, "%s", reason);
}

static enum assay_status output(struct assay_program *program, int index, struct assay_tensor *tensor, struct assay_error *err)
{
    (void)program, (void)index, (void)tensor;
    return assay_error_set(err, ASSAY_ABSENT, "%s", reason);
}

static void release(struct assay_program *program) { (void)program; }

const struct assay_runtime assay_runtime_onnxruntime = {
    .name = "onnxruntime",
    .list = list,
    .compile = compile,
    .bind = bind,
    .run = run,
    .output = output,
    .release = release,
};
