/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native runtime: Assay's own, on the CPU, with oneDNN for products and convolutions and vector kernels of ours between them.
 * Here is the life of a program (runtime.h); specialize.c makes the steps that a run walks through.
 */
#include "graph/pass.h"
#include "graph/precision.h"
#include "runtime/bind.h"
#include "runtime/kernels.h"
#include "runtime/native/program.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>

struct assay_program {
    struct native_program native;
};

static void list(struct assay_platform_list *platforms)
{
    const dnnl_version_t *v = dnnl_version();
    assay_platform_add(platforms, &(struct assay_platform){.name = "cpu/native",
                                                           .device = "cpu",
                                                           .runtime = "native",
                                                           .variant = "",
                                                           .version = assay_arena_printf(platforms->arena, "1 (oneDNN %d.%d.%d)",
                                                                                         v->major, v->minor, v->patch),
                                                           .available = true,
                                                           .reason = ""});
}

static void release_tensors(struct assay_tensor *tensors, int n)
{
    for (int i = 0; tensors && i < n; i++)
        assay_tensor_release(&tensors[i]);
}

void native_program_clear(struct native_program *p)
{
    for (int i = 0; i < p->n_specials; i++)
        native_special_close(p->specials[i]);
    for (int i = 0; i < p->n_packs; i++)
        free(p->packs[i].memory);
    free(p->packs);
    for (int i = 0; i < p->graph->n_states; i++)
        native_cache_release(&p->caches[i]);
    release_tensors(p->inputs, p->graph->n_inputs);
    release_tensors(p->outputs, p->graph->n_outputs);
    for (int i = 0; i < NATIVE_MAX_SEGMENTS; i++) {
        if (p->root)
            p->root->bodies_workspace_bytes -= p->memory[i].workspace_bytes + p->memory[i].scratch_bytes;
        free(p->memory[i].workspace);
        free(p->memory[i].scratch);
    }
    if (p->root)
        p->root->bodies_packed_bytes -= p->packed_bytes;
    else
        native_pool_close(p->pool);
    assay_graph_close(p->graph);
    free(p->times);
    assay_arena_release(&p->arena);
}

static void release(struct assay_program *program)
{
    if (program)
        native_program_clear(&program->native);
    free(program);
}

/* Patterns are found in one precision, so passes come first; elementwise trees wait for compile, which sees their Casts. f16 has
 * no kernels, so that what stays f32 is the faster. */
static enum assay_status set_precision(struct assay_graph *graph, enum assay_dtype dtype, struct assay_error *err)
{
    static const char *const without[] = {"elementwise", NULL};
    if (dtype != ASSAY_BF16)
        return assay_graph_set_precision(graph, dtype, err);
    return assay_graph_optimize(graph, &(struct assay_pass_options){.without = without, .precision = dtype}, err);
}

/* So that one specialisation serves all runs. */
static bool has_one_shape(const struct assay_graph *graph)
{
    bool known = graph->n_states == 0;
    for (int i = 0; i < graph->n_inputs; i++)
        known &= assay_type_is_known(&graph->values[graph->inputs[i]].type);
    return known;
}

static enum assay_status read_options(const struct assay_compile_options *options, enum native_isa *isa, struct assay_error *err)
{
    if (options->n_options)
        return assay_error_set(err, ASSAY_INVALID, "the native runtime has no option '%s'", options->options[0].name);
    return native_isa_find(options->isa ? options->isa : "", isa, err);
}

static enum assay_status check_options(const struct assay_compile_options *options, struct assay_error *err)
{
    enum native_isa isa;
    return read_options(options, &isa, err);
}

static enum assay_status compile(const struct assay_graph *graph, const struct assay_compile_options *options,
                                 struct assay_program **program, struct assay_error *err)
{
    enum native_isa isa;
    enum assay_status st = read_options(options, &isa, err);
    if (!st)
        st = native_isa_limit(isa, err);
    if (!st)
        st = assay_kernels_support_all(graph, err);
    if (st)
        return st;
    struct assay_program *result = assay_alloc(sizeof *result);
    struct native_program *p = &result->native;
    assay_arena_init(&p->arena);
    p->n_threads = options->n_threads;
    p->isa = isa;
    p->profile = options->profile;
    p->gives_back = options->gives_weights && has_one_shape(graph);
    p->graph = assay_graph_clone(graph);
    p->caches = assay_arena_array(&p->arena, (size_t)graph->n_states, sizeof *p->caches);
    p->inputs = assay_arena_array(&p->arena, (size_t)graph->n_inputs, sizeof *p->inputs);
    p->outputs = assay_arena_array(&p->arena, (size_t)graph->n_outputs, sizeof *p->outputs);
    st = assay_graph_optimize(p->graph, NULL, err);
    if (!st)
        assay_graph_schedule(p->graph);
    if (!st)
        st = native_pool_open(p->n_threads, &p->pool, err);
    if (st) {
        release(result);
        return st;
    }
    *program = result;
    return ASSAY_OK;
}

/* ---- runs */

static enum assay_status bind(struct assay_program *program, const struct assay_tensor *inputs, struct assay_error *err)
{
    struct native_program *p = &program->native;
    enum assay_status st = assay_bind_check(p->graph, inputs, p->bound, err);
    if (st)
        return st;
    for (int i = 0; i < p->graph->n_inputs; i++) {
        if (!inputs[i].data) /* a state, which keeps what it holds */
            continue;
        assay_tensor_release(&p->inputs[i]);
        assay_tensor_borrow(&p->inputs[i], &inputs[i].type, inputs[i].data);
    }
    for (int i = 0; i < p->graph->n_states; i++)
        p->caches[i].holds &= !inputs[p->graph->states[i].input].data;
    p->bound = true;
    p->stale = false;
    release_tensors(p->outputs, p->graph->n_outputs);
    return native_specialize(p, err);
}

struct job {
    const struct native_step *step;
    int64_t scratch_bytes;
};

static void run_part(void *context, int part, int thread)
{
    const struct job *job = context;
    const struct native_args *args = &job->step->args;
    job->step->kernel.run(args, part, args->scratch ? args->scratch + job->scratch_bytes * thread : NULL);
}

enum assay_status native_run_steps(struct native_program *p, struct assay_error *err)
{
    const struct native_special *s = p->current;
    int64_t start_ns = p->profile ? native_profile_walk(p) : 0;
    for (int i = 0; i < s->n_steps; i++) {
        struct native_step *step = &s->steps[i];
        if (step->kernel.is_view)
            continue;
        if (step->kernel.run) {
            struct job job = {step, s->scratch_bytes};
            native_pool_run(p->pool, step->kernel.n_parts, run_part, &job);
        } else {
            enum assay_status st = step->kernel.run_whole(&step->args, p->pool, err);
            if (st)
                return st;
        }
        if (p->profile)
            start_ns = native_profile_step(p, step, start_ns);
    }
    return s->rest ? native_rest_run(p, err) : ASSAY_OK;
}

static enum assay_status fill_caches(struct native_program *p, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (int i = 0; !st && i < p->current->n_cache_uses; i++) {
        const struct native_cache_use *use = &p->current->cache_uses[i];
        struct native_cache *cache = &p->caches[use->state];
        if (cache->holds)
            st = native_cache_reserve(cache, cache->length + use->rows, err);
        else
            st = native_cache_load(cache, &p->inputs[p->graph->states[use->state].input], use->rows, err);
    }
    return st;
}

/* The cache has what the run appended; the input only tells its type. */
static void lengthen_caches(struct native_program *p)
{
    for (int i = 0; i < p->current->n_cache_uses; i++) {
        const struct native_cache_use *use = &p->current->cache_uses[i];
        const struct assay_state *state = &p->graph->states[use->state];
        struct native_cache *cache = &p->caches[use->state];
        cache->length += use->rows;
        struct assay_type type = p->inputs[state->input].type;
        type.dims[2] = cache->length;
        assay_tensor_release(&p->inputs[state->input]);
        assay_tensor_borrow(&p->inputs[state->input], &type, cache->bytes);
        assay_tensor_release(&p->outputs[state->output]);
    }
}

static bool is_cached(const struct native_program *p, int output)
{
    return p->current->slots[p->current->output_slots[output]].place == NATIVE_CACHE;
}

/* What is written in place is the program's own, not what the caller bound. */
static enum assay_status own_states(struct native_program *p, struct assay_error *err)
{
    bool changed = false;
    for (int i = 0; i < p->graph->n_states; i++) {
        struct assay_tensor *input = &p->inputs[p->graph->states[i].input], own;
        if (!p->current->moves[i] || input->buffer)
            continue;
        enum assay_status st = assay_tensor_copy(&own, input, err);
        if (st)
            return st;
        assay_tensor_release(input);
        *input = own;
        changed = true;
    }
    return changed ? native_specialize(p, err) : ASSAY_OK;
}

/* States stay with the program: the workspace is written over by the next run. */
static enum assay_status keep_states(struct native_program *p, struct assay_error *err)
{
    const struct native_special *s = p->current;
    for (int i = 0; i < p->graph->n_states; i++) {
        const struct assay_state *state = &p->graph->states[i];
        struct assay_tensor kept = {0};
        if (is_cached(p, state->output))
            continue;
        if (s->moves[i]) {
            assay_tensor_release(&p->outputs[state->output]);
            assay_tensor_share(&p->outputs[state->output], &p->inputs[state->input]);
            continue;
        }
        const struct assay_tensor *made = &s->slots[s->output_slots[state->output]].tensor;
        if (made->buffer) {
            assay_tensor_share(&kept, made);
        } else {
            enum assay_status st = assay_tensor_copy(&kept, made, err);
            if (st)
                return st;
        }
        assay_tensor_release(&p->outputs[state->output]);
        p->outputs[state->output] = kept;
    }
    for (int i = 0; i < p->graph->n_states; i++) {
        const struct assay_state *state = &p->graph->states[i];
        if (is_cached(p, state->output) || s->moves[i])
            continue;
        assay_tensor_release(&p->inputs[state->input]);
        assay_tensor_share(&p->inputs[state->input], &p->outputs[state->output]);
    }
    lengthen_caches(p);
    p->stale = p->graph->n_states > 0;
    return ASSAY_OK;
}

static enum assay_status run(struct assay_program *program, struct assay_error *err)
{
    struct native_program *p = &program->native;
    enum assay_status st = ASSAY_OK;
    int64_t start_ns = p->profile ? native_profile_start(p) : 0;
    if (p->stale || !p->current)
        st = native_specialize(p, err);
    p->stale = false;
    p->has_run = false;
    if (!st)
        st = own_states(p, err);
    if (!st)
        st = fill_caches(p, err);
    if (p->profile)
        start_ns = native_profile_other(p, "(states brought)", start_ns);
    if (!st)
        st = native_run_steps(p, err);
    start_ns = p->profile ? native_profile_now() : 0;
    if (!st)
        st = keep_states(p, err);
    if (p->profile)
        native_profile_other(p, "(states kept)", start_ns);
    p->has_run = !st;
    p->n_runs++;
    return st;
}

static enum assay_status output(struct assay_program *program, int index, struct assay_tensor *tensor, struct assay_error *err)
{
    struct native_program *p = &program->native;
    ASSAY_ASSERT(index >= 0 && index < p->graph->n_outputs);
    if (!p->has_run)
        return assay_error_set(err, ASSAY_INVALID, "output %d was asked for before a run", index);
    for (int i = 0; i < p->graph->n_states && is_cached(p, index) && !p->outputs[index].data; i++)
        if (p->graph->states[i].output == index) {
            enum assay_status st = native_cache_store(&p->caches[i], &p->outputs[index], err);
            if (st)
                return st;
        }
    const struct assay_tensor *t =
        p->outputs[index].data ? &p->outputs[index] : &p->current->slots[p->current->output_slots[index]].tensor;
    assay_tensor_borrow(tensor, &t->type, t->data);
    return ASSAY_OK;
}

static enum assay_status profile(struct assay_program *program, const struct assay_op_time **times, int *n_times,
                                 struct assay_error *err)
{
    (void)err;
    *times = program->native.times;
    *n_times = program->native.n_times;
    return ASSAY_OK;
}

/* Constants that steps read as the graph has them: tables, biases, what no kernel packs. */
static int64_t count_unpacked(const struct native_special *s)
{
    int64_t bytes = 0;
    bool *counted = assay_alloc((size_t)s->n_slots * sizeof *counted);
    for (int i = 0; i < s->n_steps; i++)
        for (int k = 0; k < s->steps[i].n_in; k++) {
            int slot = s->steps[i].in_slots[k];
            if (slot < 0 || s->slots[slot].place != NATIVE_CONSTANT || counted[slot])
                continue;
            counted[slot] = true;
            bytes += assay_tensor_bytes(&s->slots[slot].tensor);
        }
    free(counted);
    bool has_run = s->rest && s->rest->current;
    return bytes + (has_run ? count_unpacked(s->rest->current) : 0);
}

static int64_t count_workspace(const struct native_program *p)
{
    int64_t bytes = p->memory[0].workspace_bytes + p->memory[0].scratch_bytes + p->bodies_workspace_bytes;
    for (int i = 0; i < p->graph->n_states; i++) {
        const struct native_cache *c = &p->caches[i];
        bytes += c->bytes ? c->batch * c->heads * c->capacity * c->dim * native_cache_size(c) : 0;
    }
    return bytes;
}

static void memory(struct assay_program *program, struct assay_runtime_memory *m)
{
    const struct native_program *p = &program->native;
    m->weights_bytes = p->packed_bytes + p->bodies_packed_bytes + (p->current ? count_unpacked(p->current) : 0);
    m->workspace_bytes = count_workspace(p);
    m->peak_bytes = m->weights_bytes + m->workspace_bytes; /* neither shrinks but with a body's program */
}

const struct assay_runtime assay_runtime_native = {
    .name = "native",
    .takes_weights = true,
    .list = list,
    .supports = assay_kernels_support,
    .set_precision = set_precision,
    .check_options = check_options,
    .compile = compile,
    .bind = bind,
    .run = run,
    .output = output,
    .profile = profile,
    .memory = memory,
    .release = release,
};
