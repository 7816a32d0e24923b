/* SPDX-License-Identifier: Apache-2.0 */
/* See correctness.h. */
#include "bench/correctness.h"

#include "base/fs.h"
#include "base/version.h"
#include "graph/op.h"
#include "model/safetensors.h"
#include "runtime/registry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const int64_t CACHE_LIMIT_BYTES = INT64_C(1) << 30;

double assay_tolerance(const char *precision)
{
    static const struct {
        const char *precision;
        double tolerance;
    } known[] = {{"f64", 1e-6}, {"f32", 1e-4}, {"f16", 2e-2}, {"bf16", 1e-1}, {"int8", 5e-2}};
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

/* ---- the cache */

static enum assay_status cache_path(const struct assay_case *c, const struct assay_graph *graph,
                                    const struct assay_tensor *inputs, struct assay_arena *arena, char **path,
                                    struct assay_error *err)
{
    struct assay_hash hash;
    char text[ASSAY_HASH_TEXT_SIZE], *cache = NULL;
    enum assay_status st = assay_path_cache(arena, &cache, err);
    if (st)
        return st;
    assay_hash_init(&hash);
    assay_hash_text(&hash, ASSAY_VERSION); /* the kernels' results may change with it */
    assay_hash_text(&hash, c->model_id);
    for (int i = 0; i < graph->n_inputs; i++) {
        char type[128];
        assay_hash_text(&hash, assay_type_text(&inputs[i].type, type, sizeof type));
        assay_hash_piece(&hash, inputs[i].data, (size_t)assay_tensor_bytes(&inputs[i]));
    }
    assay_hash_final(&hash, text);
    char *folder = assay_path_join(arena, cache, "reference");
    st = assay_fs_make_folder(folder, err);
    *path = assay_path_join(arena, folder, assay_arena_printf(arena, "%s.safetensors", text));
    return st;
}

struct cached {
    char *path;
    int64_t size, time;
};

static int newest_first(const void *a, const void *b)
{
    int64_t x = ((const struct cached *)a)->time, y = ((const struct cached *)b)->time;
    return (x < y) - (x > y);
}

static void prune_cache(const char *folder, struct assay_arena *arena)
{
    char **names = NULL;
    size_t n = 0;
    if (assay_fs_list(folder, arena, &names, &n, NULL))
        return;
    struct cached *files = assay_arena_array(arena, n, sizeof *files);
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        files[i].path = assay_path_join(arena, folder, names[i]);
        if (stat(files[i].path, &st) == 0) {
            files[i].size = st.st_size;
            files[i].time = st.st_mtime;
        }
    }
    qsort(files, n, sizeof *files, newest_first);
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += files[i].size;
        if (sum > CACHE_LIMIT_BYTES)
            assay_fs_remove(files[i].path, NULL);
    }
}

/* Outputs by position, so that a model with odd output names is cached too. */
static const char *slot(struct assay_arena *arena, int index) { return assay_arena_printf(arena, "output.%d", index); }

static bool read_cache(const char *path, int n_outputs, struct assay_arena *arena, struct assay_tensor *wanted)
{
    struct assay_safetensors file;
    struct assay_error ignored;
    if (!assay_fs_exists(path) || assay_safetensors_open(&file, path, &ignored))
        return false;
    bool whole = true;
    for (int i = 0; whole && i < n_outputs; i++) {
        const struct assay_tensor *t = assay_safetensors_find(&file, slot(arena, i));
        whole = t && assay_tensor_copy(&wanted[i], t, &ignored) == ASSAY_OK;
    }
    assay_safetensors_release(&file);
    return whole;
}

static void write_cache(const char *path, int n_outputs, struct assay_arena *arena, const struct assay_tensor *wanted)
{
    struct assay_safetensors_entry *entries = assay_arena_array(arena, (size_t)n_outputs, sizeof *entries);
    struct assay_error ignored;
    for (int i = 0; i < n_outputs; i++)
        entries[i] = (struct assay_safetensors_entry){slot(arena, i), wanted[i]};
    if (assay_safetensors_write(path, entries, (size_t)n_outputs, NULL, 0, &ignored) == ASSAY_OK)
        prune_cache(assay_path_folder(arena, path), arena);
}

/* ---- reference outputs */

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
                                           const struct assay_tensor *inputs, struct assay_arena *arena,
                                           struct assay_tensor *wanted, struct assay_error *err)
{
    char *path = NULL;
    enum assay_status st = cache_path(c, graph, inputs, arena, &path, NULL);
    if (!st && read_cache(path, graph->n_outputs, arena, wanted))
        return ASSAY_OK;
    for (int i = 0; i < graph->n_outputs; i++)
        assay_tensor_release(&wanted[i]);
    bool can_cache = st == ASSAY_OK;
    st = run_reference(graph, inputs, arena, wanted, err);
    if (!st && can_cache)
        write_cache(path, graph->n_outputs, arena, wanted);
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

static bool not_comparable(const struct assay_case *c, const struct assay_graph *graph, const struct assay_runtime *runtime,
                           struct assay_correctness *k)
{
    if (!c->check)
        k->note = "no check was asked for";
    else if (runtime->computes_nothing)
        k->note = "this runtime computes nothing";
    else if (runtime->is_reference)
        k->note = "this is the reference";
    else if (is_random(graph))
        k->note = "the model has random ops";
    else
        return false;
    return true;
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
    char *path = NULL;
    struct assay_tensor *outputs = assay_arena_array(arena, (size_t)graph->n_outputs, sizeof *outputs);
    if (!runtime->is_reference || cache_path(c, graph, inputs, arena, &path, NULL) || assay_fs_exists(path) || is_random(graph))
        return;
    for (int i = 0; i < graph->n_outputs; i++)
        if (runtime->output(program, i, &outputs[i], NULL))
            return;
    write_cache(path, graph->n_outputs, arena, outputs);
}

enum assay_status assay_correctness_check(const struct assay_case *c, const struct assay_graph *graph,
                                          const struct assay_tensor *inputs, const struct assay_runtime *runtime,
                                          struct assay_program *program, struct assay_arena *arena, struct assay_correctness *k,
                                          struct assay_error *err)
{
    enum assay_status st = graph->n_states ? start_again(inputs, runtime, program, err) : ASSAY_OK;
    *k = (struct assay_correctness){.tolerance = c->tolerance > 0 ? c->tolerance : assay_tolerance(c->precision)};
    if (st)
        return st;
    if (not_comparable(c, graph, runtime, k)) {
        keep_reference(c, graph, inputs, runtime, program, arena);
        return ASSAY_OK;
    }
    struct assay_tensor *wanted = assay_arena_array(arena, (size_t)graph->n_outputs, sizeof *wanted);
    st = reference_outputs(c, graph, inputs, arena, wanted, err);
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
    k->note = assay_arena_printf(arena, "outputs of %s run, largest difference over largest magnitude%s%s",
                                 graph->n_states ? "a first" : "the last timed", k->worst ? ", worst in " : "",
                                 k->worst ? k->worst : "");
done:
    for (int i = 0; i < graph->n_outputs; i++)
        assay_tensor_release(&wanted[i]);
    return st;
}
