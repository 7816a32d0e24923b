/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The specialisations of a program: found by the inputs' dimensions, or made; few, the oldest goes. And where their values lie.
 *
 * Dimensions that differ between two specialisations that are otherwise equal are taken to change from run to run (the length of
 * a cache): the next one leaves them open, and nodes that depend on them run on kernels that look at the shapes when they run.
 */
#include "graph/infer.h"
#include "runtime/native/program.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { FOLD_BYTES = 1 << 16, ALIGNMENT = 64, PAGE = 1 << 12, HUGE_PAGE = 1 << 21 };

/* ---- one of them */

/* All dimensions, then all ranks: those of a rest's inputs may change. */
static int list_dims(const struct native_program *program, int64_t *dims)
{
    int n = 0;
    for (int i = 0; i < program->graph->n_inputs; i++)
        for (int d = 0; d < program->inputs[i].type.rank; d++)
            dims[n++] = program->inputs[i].type.dims[d];
    for (int i = 0; i < program->graph->n_inputs; i++)
        dims[n++] = program->inputs[i].type.rank;
    return n;
}

static int count_dims(const struct native_program *program)
{
    int n = program->graph->n_inputs;
    for (int i = 0; i < program->graph->n_inputs; i++)
        n += program->inputs[i].type.rank;
    return n;
}

static enum assay_status bind_inputs(struct native_special *s, const struct native_program *program, struct assay_error *err)
{
    struct assay_binding *bindings = assay_arena_array(&s->arena, (size_t)s->n_dims, sizeof *bindings);
    size_t n_bindings = 0;
    int n = 0;
    for (int i = 0; i < program->graph->n_inputs; i++)
        for (int d = 0; d < program->inputs[i].type.rank; d++, n++)
            if (s->dims[n] >= 0)
                bindings[n_bindings++] = (struct assay_binding){
                    assay_arena_printf(&s->arena, "%s:%d", s->graph->values[s->graph->inputs[i]].name, d), s->dims[n]};
    return assay_graph_bind(s->graph, bindings, n_bindings, err);
}

/* A rest declares nothing, and has never been inferred. */
static void bind_rest(struct native_special *s, const struct native_program *program)
{
    int n = 0;
    for (int i = 0; i < program->graph->n_inputs; i++) {
        struct assay_type type = program->inputs[i].type;
        for (int d = 0; d < type.rank; d++)
            type.dims[d] = s->dims[n++];
        s->graph->values[s->graph->inputs[i]].type = type;
    }
}

static enum assay_status bind_graph(struct native_special *s, const struct native_program *program, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    if (program->whole)
        bind_rest(s, program);
    else
        st = bind_inputs(s, program, err);
    if (!st)
        st = assay_graph_infer(s->graph, err);
    if (!st)
        st = assay_graph_fold(s->graph, FOLD_BYTES, err);
    return st ? st : assay_graph_infer(s->graph, err);
}

void native_special_close(struct native_special *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->n_steps; i++)
        if (s->steps[i].kernel.release)
            s->steps[i].kernel.release(s->steps[i].kernel.data);
    for (int i = 0; i < s->n_slots; i++)
        if (s->slots[i].place == NATIVE_OWN)
            assay_tensor_release(&s->slots[i].tensor);
    native_rest_close(s->rest);
    assay_graph_close(s->graph);
    assay_arena_release(&s->arena);
    free(s);
}

static enum assay_status open_special(struct native_program *program, const int64_t *dims, int n_dims,
                                      struct native_special **result, struct assay_error *err)
{
    struct native_special *s = assay_alloc(sizeof *s);
    assay_arena_init(&s->arena);
    s->dims = assay_arena_memdup(&s->arena, dims, (size_t)n_dims * sizeof *dims);
    s->n_dims = n_dims;
    s->graph = assay_graph_clone(program->graph);
    enum assay_status st = bind_graph(s, program, err);
    if (!st)
        st = native_make_steps(program, s, err);
    if (st) {
        native_special_close(s);
        return st;
    }
    if (program->whole)
        native_find_work(s);
    *result = s;
    return ASSAY_OK;
}

/* Exactly these dimensions before those that leave some open. */
static struct native_special *find_special(const struct native_program *program, const int64_t *dims, int n_dims)
{
    struct native_special *best = NULL;
    for (int i = 0; i < program->n_specials; i++) {
        struct native_special *s = program->specials[i];
        bool fits = s->n_dims == n_dims, exact = true;
        for (int d = 0; fits && d < n_dims; d++) {
            fits = s->dims[d] == dims[d] || (s->dims[d] < 0 && (!s->limits || dims[d] <= s->limits[d]));
            exact &= s->dims[d] == dims[d];
        }
        if (fits && exact)
            return s;
        if (fits)
            best = s;
    }
    return best;
}

/* ---- dimensions that stay open */

/* What was empty, of an input that is no state, has come rather than grown: tokens behind the features of a picture. */
static bool has_grown(const struct native_program *program, int input, int64_t from, int64_t to)
{
    return from >= 0 && from < to && (from > 0 || program->root || assay_graph_is_state(program->graph, input));
}

/* How many dimensions are those of a specialisation that was met before; 0 if no state has grown since. */
static int count_same(const struct native_program *program, const struct native_special *s, const int64_t *dims)
{
    bool grows = false;
    int n = 0, n_same = 0;
    for (int k = 0; k < program->graph->n_inputs; k++)
        for (int d = 0; d < program->inputs[k].type.rank; d++, n++) {
            bool same = s->dims[n] < 0 || s->dims[n] == dims[n];
            n_same += same;
            grows |= has_grown(program, k, s->dims[n], dims[n]) && (program->root || assay_graph_is_state(program->graph, k));
        }
    return grows ? n_same : 0;
}

/* Opens the dimensions that have grown since the specialisation that is most like these, if most are the same and states are
 * among those that grow, or the graph is a body of a loop: they will go on growing. A dimension that has shrunk (a prompt's
 * length, when single tokens follow) is another one's that stays. */
static void open_grown(const struct native_program *program, int64_t *dims, int n_dims)
{
    const struct native_special *like = NULL;
    int most = (n_dims - program->graph->n_inputs) / 2, n = 0;
    for (int i = 0; (program->graph->n_states || program->root) && i < program->n_specials; i++) {
        const struct native_special *s = program->specials[i];
        int n_same = s->n_dims == n_dims ? count_same(program, s, dims) : 0;
        if (n_same > most) {
            most = n_same;
            like = s;
        }
    }
    for (int k = 0; like && k < program->graph->n_inputs; k++)
        for (int d = 0; d < program->inputs[k].type.rank; d++, n++)
            if (like->dims[n] < 0 || has_grown(program, k, like->dims[n], dims[n]))
                dims[n] = -1;
}

/* Whether dimensions that changed since a specialisation of little work have not become so long that it would be much. */
static bool is_light(const struct native_special *s, const int64_t *dims, int n)
{
    double growth = native_rest_growth(s);
    for (int d = 0; d < n; d++)
        if (s->dims[d] < 0 || (s->dims[d] != dims[d] && (double)dims[d] > (double)s->dims[d] * growth))
            return false;
    return growth >= 1;
}

/* A rest of little work is made once for whatever dimensions change. Returns how long they may become, for the caller to free;
 * NULL if all stay. */
static int64_t *open_changed(const struct native_program *rest, int64_t *dims, int n_dims)
{
    int n_ranks = rest->graph->n_inputs, n = n_dims - n_ranks;
    for (int i = 0; i < rest->n_specials; i++) {
        const struct native_special *s = rest->specials[i];
        if (s->n_dims != n_dims || memcmp(s->dims + n, dims + n, (size_t)n_ranks * sizeof *dims) != 0 || !is_light(s, dims, n))
            continue;
        int64_t *limits = assay_alloc((size_t)n_dims * sizeof *limits);
        for (int d = 0; d < n; d++)
            if (s->dims[d] != dims[d]) {
                limits[d] = (int64_t)((double)s->dims[d] * native_rest_growth(s));
                dims[d] = -1;
            }
        return limits;
    }
    return NULL;
}

/* ---- all of them */

static void forget(struct native_program *program, int index)
{
    if (program->specials[index] == program->current)
        program->current = NULL;
    native_special_close(program->specials[index]);
    program->specials[index] = program->specials[--program->n_specials];
}

static void forget_oldest(struct native_program *program)
{
    int oldest = 0;
    for (int i = 1; i < program->n_specials; i++)
        if (program->specials[i]->last_used < program->specials[oldest]->last_used)
            oldest = i;
    forget(program, oldest);
}

struct place {
    struct native_program *program;
    int index;
    uint64_t last_used;
};

/* How many there are, with those of rests, and the oldest that is nobody's current one: those may be running. */
static int walk_tree(struct native_program *program, struct place *oldest)
{
    int n = program->n_specials;
    for (int i = 0; i < program->n_specials; i++) {
        struct native_special *s = program->specials[i];
        if (s != program->current && (!oldest->program || s->last_used < oldest->last_used))
            *oldest = (struct place){program, i, s->last_used};
        if (s->rest)
            n += walk_tree(s->rest, oldest);
    }
    return n;
}

static void make_place(struct native_program *program)
{
    if (program->n_specials == NATIVE_MAX_SPECIALS)
        forget_oldest(program);
    for (;;) {
        struct place oldest = {0};
        if (walk_tree(native_whole(program), &oldest) < NATIVE_MAX_TREE || !oldest.program)
            return;
        forget(oldest.program, oldest.index);
    }
}

/* ---- where values lie */

static enum assay_status make_room(unsigned char **memory, int64_t *have, int64_t need, const char *what, struct assay_error *err)
{
    need = need > 0 ? need : ALIGNMENT; /* tensors without elements have an address too */
    if (need <= *have)
        return ASSAY_OK;
    free(*memory);
    *have = 0;
    size_t page = need < HUGE_PAGE ? PAGE : HUGE_PAGE, size = ((size_t)need + page - 1) / page * page;
    *memory = aligned_alloc(page, size);
    if (*memory && page == HUGE_PAGE)
        madvise(*memory, size, MADV_HUGEPAGE); /* advice: nothing depends on it */
    if (!*memory)
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for %lld bytes of %s", (long long)need, what);
    *have = need;
    return ASSAY_OK;
}

static bool uses_cache(const struct native_special *s, int state)
{
    for (int i = 0; i < s->n_cache_uses; i++)
        if (s->cache_uses[i].state == state)
            return true;
    return false;
}

/* States in caches of which the specialisation knows nothing become tensors again. */
static enum assay_status empty_caches(struct native_program *program, const struct native_special *s, struct assay_error *err)
{
    for (int i = 0; i < program->graph->n_states; i++) {
        if (!program->caches[i].holds || uses_cache(s, i))
            continue;
        struct assay_tensor tensor = {0};
        enum assay_status st = native_cache_store(&program->caches[i], &tensor, err);
        if (st)
            return st;
        assay_tensor_release(&program->inputs[program->graph->states[i].input]);
        program->inputs[program->graph->states[i].input] = tensor;
        native_cache_release(&program->caches[i]);
    }
    return ASSAY_OK;
}

/* Where everything lies, now that the inputs are known. */
static void resolve(struct native_program *program, struct native_special *s, const struct native_memory *memory)
{
    for (int i = 0; i < program->graph->n_inputs; i++) {
        s->slots[s->input_slots[i]].tensor.data = program->inputs[i].data;
        s->slots[s->input_slots[i]].tensor.type = program->inputs[i].type;
    }
    for (int i = 0; i < s->n_slots; i++)
        if (s->slots[i].place == NATIVE_WORKSPACE)
            s->slots[i].tensor.data = memory->workspace + s->slots[i].offset;
    for (int i = 0; i < s->n_slots; i++)
        if (s->slots[i].place == NATIVE_VIEW)
            s->slots[i].tensor.data = s->slots[s->slots[i].view_of].tensor.data;
    for (int i = 0; i < s->n_steps; i++)
        s->steps[i].args.scratch = memory->scratch;
}

static enum assay_status activate(struct native_program *program, struct native_special *s, struct assay_error *err)
{
    struct native_memory *memory = &native_whole(program)->memory[program->segment];
    int64_t had = memory->workspace_bytes + memory->scratch_bytes;
    enum assay_status st = make_room(&memory->workspace, &memory->workspace_bytes, s->workspace_bytes, "activations", err);
    if (!st)
        st = make_room(&memory->scratch, &memory->scratch_bytes, s->scratch_bytes * program->n_threads, "scratch", err);
    if (program->root)
        program->root->bodies_workspace_bytes += memory->workspace_bytes + memory->scratch_bytes - had;
    if (!st)
        st = empty_caches(program, s, err);
    if (st)
        return st;
    s->last_used = ++native_whole(program)->clock;
    program->current = s;
    resolve(program, s, memory);
    return ASSAY_OK;
}

enum assay_status native_specialize(struct native_program *program, struct assay_error *err)
{
    int64_t *dims = assay_alloc((size_t)count_dims(program) * sizeof *dims);
    int n_dims = list_dims(program, dims);
    enum assay_status st = ASSAY_OK;
    struct native_special *s = find_special(program, dims, n_dims);
    if (!s) {
        int64_t *limits = NULL;
        make_place(program);
        if (program->whole)
            limits = open_changed(program, dims, n_dims);
        else
            open_grown(program, dims, n_dims);
        st = open_special(program, dims, n_dims, &s, err);
        if (!st) {
            s->limits = limits ? assay_arena_memdup(&s->arena, limits, (size_t)n_dims * sizeof *limits) : NULL;
            program->specials[program->n_specials++] = s;
        }
        free(limits);
    }
    free(dims);
    return st ? st : activate(program, s, err);
}
