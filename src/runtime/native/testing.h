/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of kernels: a graph on cpu/native, on 1 and 2 threads, against the reference runtime, whose kernels sum in double. */
#ifndef ASSAY_RUNTIME_NATIVE_TESTING_H
#define ASSAY_RUNTIME_NATIVE_TESTING_H

#include "graph/testing.h"
#include "runtime/registry.h"

/* Random contents: floats normal, integers from 0 to below 7, bools. Of a table whose length is prime, so that it comes again
 * elsewhere in every row: drawing each number would take longer than the kernels. */
static inline struct assay_tensor testing_random(const struct assay_type *type, uint64_t seed)
{
    enum { LENGTH = 4099 };
    static double normals[LENGTH], wholes[LENGTH];
    static bool is_made;
    struct assay_tensor tensor;
    if (!is_made) {
        struct assay_rng rng;
        assay_rng_init(&rng, 1, 1);
        for (int i = 0; i < LENGTH; i++) {
            normals[i] = assay_rng_normal(&rng);
            wholes[i] = (double)assay_rng_below(&rng, 7);
        }
        is_made = true;
    }
    CHECK_INT(assay_tensor_alloc(&tensor, type, NULL), ASSAY_OK);
    for (int64_t i = 0, at = (int64_t)(seed * 1009 % LENGTH); i < assay_type_count(type); i++, at = (at + 1) % LENGTH)
        assay_tensor_set_real(&tensor, i,
                              assay_dtype_is_float(type->dtype) ? normals[at]
                              : type->dtype == ASSAY_BOOL       ? (double)(normals[at] > 0)
                                                                : wholes[at]);
    return tensor;
}

static inline int testing_random_constant(struct assay_graph *graph, const char *name, enum assay_dtype dtype, int rank,
                                          const int64_t *dims)
{
    struct assay_type type = assay_type_make(dtype, rank, dims);
    struct assay_tensor tensor = testing_random(&type, (uint64_t)graph->n_values);
    int number = assay_graph_add_constant(graph, name, &tensor);
    assay_tensor_release(&tensor);
    return number;
}

static inline int testing_scalar(struct assay_graph *graph, enum assay_dtype dtype, double value)
{
    struct assay_type type = assay_type_make(dtype, 0, NULL);
    struct assay_tensor tensor;
    CHECK_INT(assay_tensor_alloc(&tensor, &type, NULL), ASSAY_OK);
    assay_tensor_set_real(&tensor, 0, value);
    int number = assay_graph_add_constant(graph, "scalar", &tensor);
    assay_tensor_release(&tensor);
    return number;
}

/* The tier that tests/native/tiers.sh asks for; "" = the best. Only cpu/native has any. */
static inline const char *testing_isa(const char *platform)
{
    const char *isa = strcmp(platform, "cpu/native") == 0 ? getenv("ASSAY_TEST_ISA") : NULL;
    return isa ? isa : "";
}

static inline struct assay_program *testing_start(const char *platform, const struct assay_graph *graph, int n_threads,
                                                  const struct assay_tensor *inputs, const struct assay_runtime **runtime)
{
    struct assay_arena arena;
    struct assay_platform found;
    struct assay_error err;
    struct assay_program *program;
    assay_arena_init(&arena);
    CHECK_OK(assay_platform_find(&arena, platform, &found, runtime, &err), err);
    struct assay_compile_options options = {
        .platform = &found, .n_threads = n_threads, .isa = testing_isa(platform), .optimization = 3};
    CHECK_OK((*runtime)->compile(graph, &options, &program, &err), err);
    CHECK_OK((*runtime)->bind(program, inputs, &err), err);
    CHECK_OK((*runtime)->run(program, &err), err);
    assay_arena_release(&arena);
    return program;
}

/* Every output within `tolerance` times the tensor's largest magnitude; the graph is closed. */
static inline void testing_equals_reference(struct assay_graph *graph, double tolerance)
{
    struct assay_error err;
    struct assay_tensor inputs[8];
    const struct assay_runtime *reference, *native;
    CHECK_OK(assay_graph_sort(graph, &err), err);
    for (int i = 0; i < graph->n_inputs; i++)
        inputs[i] = testing_random(&graph->values[graph->inputs[i]].type, 100 + (uint64_t)i);
    struct assay_program *wanted_program = testing_start("cpu/reference", graph, 1, inputs, &reference);
    for (int n_threads = 1; n_threads <= 2; n_threads++) {
        struct assay_program *program = testing_start("cpu/native", graph, n_threads, inputs, &native);
        for (int again = 0; again < 2; again++) {
            for (int i = 0; i < graph->n_outputs; i++) {
                struct assay_tensor wanted, got;
                CHECK_OK(reference->output(wanted_program, i, &wanted, &err), err);
                CHECK_OK(native->output(program, i, &got, &err), err);
                struct assay_difference d = assay_tensor_compare(&got, &wanted, 0, 0);
                CHECK(d.same_type);
                if (!(d.max_rel <= tolerance))
                    fprintf(stderr, "%s, %d threads: output %d is off by %g at %lld\n", graph->nodes[0]->type, n_threads, i,
                            d.max_rel, (long long)d.index);
                CHECK(d.max_rel <= tolerance);
            }
            CHECK_OK(native->run(program, &err), err);
        }
        native->release(program);
    }
    reference->release(wanted_program);
    for (int i = 0; i < graph->n_inputs; i++)
        assay_tensor_release(&inputs[i]);
    assay_graph_close(graph);
}

#endif
