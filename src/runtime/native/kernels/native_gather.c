/* SPDX-License-Identifier: Apache-2.0 */
/* Gather: rows picked by their numbers, which are looked over before anything is copied, since they may be wrong. */
#include "runtime/native/native.h"

#include <inttypes.h>
#include <string.h>

struct gather {
    enum assay_dtype index_dtype;
    int64_t outer, n, row_bytes, n_indices; /* of [outer, n, row] */
    int n_parts;
};

struct job {
    const struct gather *g;
    const struct native_args *args;
};

static int64_t index_at(const struct gather *g, const void *indices, int64_t i)
{
    int64_t index = g->index_dtype == ASSAY_I64 ? ((const int64_t *)indices)[i] : ((const int32_t *)indices)[i];
    return index < 0 ? index + g->n : index;
}

static void copy_part(void *context, int part, int thread)
{
    const struct job *job = context;
    const struct gather *g = job->g;
    const char *x = job->args->in[0]->data;
    char *y = job->args->out[0]->data;
    int64_t begin, end;
    (void)thread;
    native_share(g->outer * g->n_indices, 1, part, g->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / g->n_indices * g->n + index_at(g, job->args->in[1]->data, i % g->n_indices);
        memcpy(y + i * g->row_bytes, x + row * g->row_bytes, (size_t)g->row_bytes);
    }
}

static enum assay_status run(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    const struct gather *g = args->kernel->data;
    for (int64_t i = 0; i < g->n_indices; i++) {
        int64_t index = index_at(g, args->in[1]->data, i);
        if (index < 0 || index >= g->n)
            return assay_error_set(err, ASSAY_INVALID, "Gather: index %" PRId64 " is outside of a dimension of %" PRId64, index,
                                   g->n);
    }
    struct job job = {g, args};
    native_pool_run(pool, g->n_parts, copy_part, &job);
    return ASSAY_OK;
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0];
    int64_t axis = assay_node_int(b->node, "axis", 0);
    axis += axis < 0 ? x->rank : 0;
    enum assay_dtype dtype = b->inputs[1].dtype;
    if (assay_type_count(&b->outputs[0]) < 1 || axis < 0 || axis >= x->rank || (dtype != ASSAY_I64 && dtype != ASSAY_I32))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its form is not taken");
    struct gather *g = assay_arena_alloc(b->arena, sizeof *g);
    *g = (struct gather){.index_dtype = dtype, .outer = 1, .n = x->dims[axis], .n_indices = assay_type_count(&b->inputs[1])};
    g->row_bytes = (int64_t)assay_dtype_size(x->dtype);
    for (int d = 0; d < x->rank; d++)
        *(d < axis ? &g->outer : &g->row_bytes) *= d == axis ? 1 : x->dims[d];
    int parts = native_parts(2 * assay_type_bytes(&b->outputs[0]), b->n_threads);
    g->n_parts = parts < g->outer * g->n_indices ? parts : (int)(g->outer * g->n_indices);
    b->in_layouts[0] = b->in_layouts[1] = NATIVE_PLAIN;
    b->kernel.name = "move Gather";
    b->kernel.run_whole = run;
    b->kernel.data = g;
    return ASSAY_OK;
}

const struct native_maker native_makers_gather[] = {
    {.type = "Gather", .domain = "", .make = make},
    {0},
};
