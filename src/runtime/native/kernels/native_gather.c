/* SPDX-License-Identifier: Apache-2.0 */
/* Gather and ScatterND: rows that are found, or put, by their numbers, which are looked over before anything is copied, since
 * they may be wrong. */
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

/* ---- ScatterND */

struct scatter {
    int64_t n, tuple, row_bytes, data_bytes;
    int64_t dims[ASSAY_MAX_RANK], strides[ASSAY_MAX_RANK]; /* bytes, of the dimensions that indices point into */
    int n_parts;
};

struct scatter_job {
    const struct scatter *s;
    const struct native_args *args;
};

static bool find_row(const struct scatter *s, const int64_t *index, int64_t *at)
{
    *at = 0;
    for (int64_t k = 0; k < s->tuple; k++) {
        int64_t one = index[k] < 0 ? index[k] + s->dims[k] : index[k];
        if (one < 0 || one >= s->dims[k])
            return false;
        *at += one * s->strides[k];
    }
    return true;
}

static void copy_data(void *context, int part, int thread)
{
    const struct scatter_job *job = context;
    int64_t begin, end;
    (void)thread;
    native_share(job->s->data_bytes, 4096, part, job->s->n_parts, &begin, &end);
    memcpy((char *)job->args->out[0]->data + begin, (const char *)job->args->in[0]->data + begin, (size_t)(end - begin));
}

/* Parts share each row, so that of rows for one place the last is there at the end, however many threads there are. */
static void put_rows(void *context, int part, int thread)
{
    const struct scatter_job *job = context;
    const struct scatter *s = job->s;
    const int64_t *index = job->args->in[1]->data;
    const char *update = job->args->in[2]->data;
    int64_t begin, end, at;
    (void)thread;
    native_share(s->row_bytes, 64, part, s->n_parts, &begin, &end);
    for (int64_t i = 0; i < s->n && begin < end; i++)
        if (find_row(s, index + i * s->tuple, &at))
            memcpy((char *)job->args->out[0]->data + at + begin, update + i * s->row_bytes + begin, (size_t)(end - begin));
}

static enum assay_status run_scatter(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    const struct scatter *s = args->kernel->data;
    struct scatter_job job = {s, args};
    int64_t at;
    for (int64_t i = 0; i < s->n; i++)
        if (!find_row(s, (const int64_t *)args->in[1]->data + i * s->tuple, &at))
            return assay_error_set(err, ASSAY_INVALID, "ScatterND: its index %" PRId64 " is outside of the data", i);
    if (args->out[0]->data != args->in[0]->data)
        native_pool_run(pool, s->n_parts, copy_data, &job);
    native_pool_run(pool, s->n_parts, put_rows, &job);
    return ASSAY_OK;
}

static enum assay_status make_scatter(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0], *indices = &b->inputs[1], *updates = &b->inputs[2];
    if (strcmp(assay_node_string(b->node, "reduction", "none"), "none") != 0 || assay_type_count(x) < 1 ||
        assay_type_count(indices) < 1 || assay_type_count(updates) < 1 || indices->dtype != ASSAY_I64)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its form is not taken");
    struct scatter *s = assay_arena_alloc(b->arena, sizeof *s);
    *s = (struct scatter){.tuple = indices->dims[indices->rank - 1], .data_bytes = assay_type_bytes(x)};
    s->row_bytes = s->data_bytes;
    for (int64_t k = 0; k < s->tuple; k++) {
        s->dims[k] = x->dims[k];
        s->row_bytes /= x->dims[k];
        s->strides[k] = s->row_bytes;
    }
    s->n = assay_type_count(indices) / s->tuple;
    if (assay_type_bytes(updates) != s->n * s->row_bytes)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its updates are not as many as its indices");
    s->n_parts = native_parts(s->data_bytes + assay_type_bytes(updates), b->n_threads);
    for (int k = 0; k < b->n_inputs; k++)
        b->in_layouts[k] = NATIVE_PLAIN;
    b->kernel.name = "move ScatterND";
    b->kernel.run_whole = run_scatter;
    b->kernel.in_place = 0;
    b->kernel.data = s;
    return ASSAY_OK;
}

const struct native_maker native_makers_gather[] = {
    {.type = "Gather", .domain = "", .make = make},
    {.type = "ScatterND", .domain = "", .make = make_scatter},
    {0},
};
