/* SPDX-License-Identifier: Apache-2.0 */
/* See correctness.h. */
#include "bench/correctness.h"

#include "base/fs.h"
#include "bench/reference_cache.h"
#include "graph/op.h"
#include "runtime/registry.h"

#include <string.h>

double assay_tolerance(const char *precision)
{
    static const struct {
        const char *precision;
        double tolerance;
    } known[] = {{"f64", 1e-6}, {"f32", 1e-4}, {"f16", 2e-2}, {"bf16", 1e-1}, {"int8", 5e-2}, {"w8a32", 5e-2}, {"w4a32", 5e-2}};
    for (size_t i = 0; precision && i < ASSAY_COUNT(known); i++)
        if (strcmp(known[i].precision, precision) == 0)
            return known[i].tolerance;
    return 1e-4;
}

static bool is_random(const struct assay_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        if (assay_op_is_random(graph, node))
            return true;
        for (int k = 0; k < node->n_attrs; k++)
            if (node->attrs[k].kind == ASSAY_ATTR_GRAPH && is_random(node->attrs[k].graph))
                return true;
    }
    return false;
}

/* ---- reference outputs */

static const char *cache_path(const struct assay_case *c, const struct assay_graph *graph, const struct assay_tensor *inputs,
                              struct assay_arena *arena)
{
    struct assay_hash hash;
    assay_reference_hash_init(&hash, c->model_id);
    if (assay_case_quantizes(c))
        assay_hash_text(&hash, c->precision);
    for (int i = 0; i < graph->n_inputs; i++)
        assay_reference_hash_tensor(&hash, &inputs[i]);
    return assay_reference_path(&hash, arena);
}

static enum assay_status run_reference(const struct assay_graph *graph, const struct assay_tensor *inputs,
                                       struct assay_arena *arena, struct assay_tensor *wanted, struct assay_error *err)
{
    struct assay_platform platform;
    const struct assay_runtime *reference = NULL;
    struct assay_program *program = NULL;
    enum assay_status st = assay_platform_find(arena, "cpu/reference", &platform, &reference, err);
    if (st)
        return st;
    struct assay_compile_options options = {.platform = &platform, .n_threads = 1};
    st = reference->compile(graph, &options, &program, err);
    if (!st)
        st = reference->bind(program, inputs, err);
    if (!st)
        st = reference->run(program, err);
    for (int i = 0; !st && i < graph->n_outputs; i++) {
        struct assay_tensor borrowed;
        st = reference->output(program, i, &borrowed, err);
        if (!st)
            st = assay_tensor_copy(&wanted[i], &borrowed, err);
    }
    reference->release(program);
    return st;
}

static enum assay_status reference_outputs(const struct assay_case *c, const struct assay_graph *graph,
                                           const struct assay_correctness_model *model, const struct assay_tensor *inputs,
                                           struct assay_arena *arena, struct assay_tensor *wanted, struct assay_error *err)
{
    const char *path = cache_path(c, graph, inputs, arena);
    if (assay_reference_read(path, wanted, (size_t)graph->n_outputs))
        return ASSAY_OK;
    enum assay_status st = model ? model->open(model->context, &graph, err) : ASSAY_OK;
    if (!st)
        st = run_reference(graph, inputs, arena, wanted, err);
    if (!st)
        assay_reference_write(path, wanted, (size_t)graph->n_outputs);
    return st;
}

/* ---- comparing */

static enum assay_status compare_output(const char *name, const struct assay_tensor *got, const struct assay_tensor *wanted,
                                        struct assay_correctness *k, struct assay_error *err)
{
    char has[128], wants[128];
    struct assay_difference d = assay_tensor_compare(got, wanted, 0, 0);
    if (!d.same_type)
        return assay_error_set(err, ASSAY_MISMATCH, "output '%s' is %s where the reference gives %s", name,
                               assay_type_text(&got->type, has, sizeof has), assay_type_text(&wanted->type, wants, sizeof wants));
    if (!(d.max_rel <= k->max_rel) || !k->worst) {
        k->max_rel = d.max_rel;
        k->worst = name;
    }
    if (!(d.max_abs <= k->max_abs))
        k->max_abs = d.max_abs;
    if (d.max_rel <= k->tolerance)
        return ASSAY_OK;
    return assay_error_set(
        err, ASSAY_MISMATCH,
        "output '%s' differs from the reference by %.3g at element %lld (%.3g of its largest magnitude; allowed %.3g)", name,
        d.max_abs, (long long)d.index, d.max_rel, k->tolerance);
}

const char *assay_correctness_excuse(const struct assay_case *c, const struct assay_runtime *runtime)
{
    if (!c->check)
        return "no check was asked for";
    if (runtime->computes_nothing)
        return "this runtime computes nothing";
    if (runtime->is_reference && (!assay_case_converts(c) || assay_case_quantizes(c)))
        return "this is the reference";
    return NULL;
}

/* With states, the outputs of a run depend on how many went before: the first one's are compared. */
static enum assay_status start_again(const struct assay_tensor *inputs, const struct assay_runtime *runtime,
                                     struct assay_program *program, struct assay_error *err)
{
    enum assay_status st = runtime->bind(program, inputs, err);
    return st ? st : runtime->run(program, err);
}

/* The reference's own outputs, once run, serve the other platforms' checks. */
static void keep_reference(const struct assay_case *c, const struct assay_graph *graph, const struct assay_tensor *inputs,
                           const struct assay_runtime *runtime, struct assay_program *program, struct assay_arena *arena)
{
    struct assay_tensor *outputs = assay_arena_array(arena, (size_t)graph->n_outputs, sizeof *outputs);
    if (!runtime->is_reference || (assay_case_converts(c) && !assay_case_quantizes(c)) || is_random(graph))
        return;
    const char *path = cache_path(c, graph, inputs, arena);
    if (!path || assay_fs_exists(path))
        return;
    for (int i = 0; i < graph->n_outputs; i++)
        if (runtime->output(program, i, &outputs[i], NULL))
            return;
    assay_reference_write(path, outputs, (size_t)graph->n_outputs);
}

enum assay_status assay_correctness_check(const struct assay_case *c, const struct assay_graph *graph,
                                          const struct assay_correctness_model *model, const struct assay_tensor *inputs,
                                          const struct assay_runtime *runtime, struct assay_program *program,
                                          struct assay_arena *arena, struct assay_correctness *k, struct assay_error *err)
{
    enum assay_status st = graph->n_states ? start_again(inputs, runtime, program, err) : ASSAY_OK;
    *k = (struct assay_correctness){.tolerance = c->tolerance > 0 ? c->tolerance : assay_tolerance(c->precision)};
    if (st)
        return st;
    k->note = assay_correctness_excuse(c, runtime);
    if (!k->note && is_random(graph))
        k->note = "the model has random ops";
    if (k->note) {
        keep_reference(c, graph, inputs, runtime, program, arena);
        return ASSAY_OK;
    }
    struct assay_tensor *wanted = assay_arena_array(arena, (size_t)graph->n_outputs, sizeof *wanted);
    st = reference_outputs(c, graph, model, inputs, arena, wanted, err);
    if (st == ASSAY_UNSUPPORTED) {
        k->note = assay_arena_printf(arena, "the reference cannot run this model: %s", err->message);
        st = ASSAY_OK;
        goto done;
    }
    for (int i = 0; !st && i < graph->n_outputs; i++) {
        struct assay_tensor got;
        st = runtime->output(program, i, &got, err);
        if (!st)
            st = compare_output(graph->values[graph->outputs[i]].name, &got, &wanted[i], k, err);
    }
    k->checked = st == ASSAY_OK || st == ASSAY_MISMATCH;
    k->note = assay_arena_printf(arena, "outputs of %s run, %slargest difference over largest magnitude%s%s",
                                 graph->n_states ? "a first" : "the last timed",
                                 model && model->is_original ? "against the model in its own precision, " : "",
                                 k->worst ? ", worst in " : "", k->worst ? k->worst : "");
done:
    for (int i = 0; i < graph->n_outputs; i++)
        assay_tensor_release(&wanted[i]);
    return st;
}
