/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions over neighbouring axes: of rows (the last axes), or of columns (others), row by row into sums. Where channels are
 * last, spatial axes are columns. ArgMax of rows. f32.
 */
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <math.h>
#include <string.h>

enum { COLUMNS = 1024, ROWS = 256 /* added up in f32 before they go to a sum of sums */ };

struct reduce {
    const struct native_simd *simd;
    enum native_reduction how;
    double factor; /* of the result */
    bool root;
    int64_t outer, n, inner; /* the axes are the middle one */
};

static float finish(const struct reduce *r, double value)
{
    value *= r->factor;
    return (float)(r->root ? sqrt(value) : value);
}

static void run_rows(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct reduce *r = args->kernel->data;
    int64_t begin, end;
    (void)scratch;
    native_share(r->outer, 16, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++)
        ((float *)args->out[0]->data)[i] = finish(r, r->simd->reduce((const float *)args->in[0]->data + i * r->n, r->n, r->how));
}

static void clear(const struct reduce *r, float *y, int64_t n)
{
    float start = r->how == NATIVE_MAX ? -INFINITY : r->how == NATIVE_MIN ? INFINITY : 0;
    for (int64_t i = 0; i < n; i++)
        y[i] = start;
}

/* Sums of sums, so that the error does not grow with the number of rows. */
static void reduce_columns(const struct reduce *r, const float *x, int64_t width, float *sums, float *all)
{
    enum native_reduction outer = r->how == NATIVE_MAX || r->how == NATIVE_MIN ? r->how : NATIVE_SUM;
    clear(r, all, width);
    for (int64_t i = 0; i < r->n; i += ROWS) {
        clear(r, sums, width);
        for (int64_t k = i; k < i + ROWS && k < r->n; k++)
            r->simd->reduce_into(sums, x + k * r->inner, width, r->how);
        r->simd->reduce_into(all, sums, width, outer);
    }
}

static void run_columns(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct reduce *r = args->kernel->data;
    int64_t pieces = (r->inner + COLUMNS - 1) / COLUMNS, begin, end;
    float *sums = (float *)(void *)scratch, *all = sums + COLUMNS;
    native_share(r->outer * pieces, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t column = i % pieces * COLUMNS, outer = i / pieces;
        int64_t width = r->inner - column < COLUMNS ? r->inner - column : COLUMNS;
        float *y = (float *)args->out[0]->data + outer * r->inner + column;
        reduce_columns(r, (const float *)args->in[0]->data + outer * r->n * r->inner + column, width, sums, all);
        for (int64_t k = 0; k < width; k++)
            y[k] = finish(r, (double)all[k]);
    }
}

static void run_arg_max(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct reduce *r = args->kernel->data;
    int64_t begin, end;
    (void)scratch;
    native_share(r->outer, 8, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++)
        ((int64_t *)args->out[0]->data)[i] = r->simd->arg_max((const float *)args->in[0]->data + i * r->n, r->n);
}

/* ---- making */

static enum assay_status refuse(struct assay_error *err)
{
    return assay_error_set(err, ASSAY_UNSUPPORTED, "its type or axes are not taken");
}

static bool find_axes(const struct native_build *b, bool *reduced)
{
    size_t n = 0;
    int rank = b->inputs[0].rank;
    const int64_t *axes = assay_node_ints(b->node, "axes", &n);
    int64_t list[ASSAY_MAX_RANK];
    if (native_is_given(b, 1)) {
        if (!b->constants[1] || assay_tensor_count(b->constants[1]) > ASSAY_MAX_RANK)
            return false;
        n = (size_t)assay_tensor_count(b->constants[1]);
        for (size_t i = 0; i < n; i++)
            list[i] = assay_tensor_int(b->constants[1], (int64_t)i);
        axes = list;
    }
    if (n == 0 && assay_node_int(b->node, "noop_with_empty_axes", 0))
        return false;
    for (int d = 0; d < rank; d++)
        reduced[d] = n == 0;
    for (size_t i = 0; i < n; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (axis < 0 || axis >= rank)
            return false;
        reduced[axis] = true;
    }
    return true;
}

/* Splits dimensions into those before, at and after the axes; false if the axes are not neighbours. */
static bool split(const int64_t *dims, const bool *reduced, int rank, struct reduce *r)
{
    r->outer = r->n = r->inner = 1;
    int stage = 0; /* 0 before, 1 at, 2 after */
    for (int d = 0; d < rank; d++) {
        if (dims[d] == 1)
            continue;
        if (reduced[d] && stage == 2)
            return false;
        stage = reduced[d] ? 1 : stage == 0 ? 0 : 2;
        *(stage == 0 ? &r->outer : stage == 1 ? &r->n : &r->inner) *= dims[d];
    }
    if (stage == 0) { /* all reduced dimensions are 1: rows of one */
        r->inner = r->outer;
        r->outer = 1;
    }
    return true;
}

static void finish_make(struct native_build *b, struct reduce *r, int64_t pieces)
{
    int parts = native_parts(assay_type_bytes(&b->inputs[0]), b->n_threads);
    r->simd = native_simd_of(b->isa);
    b->kernel.n_parts = parts < pieces ? parts : (int)pieces;
    b->kernel.name = assay_arena_printf(b->arena, "vector %s", b->node->type);
    b->kernel.data = r;
    for (int k = 1; k < b->n_inputs; k++)
        b->unneeded[k] = true;
}

/* What is left has one order in memory if either channels or all spatial dimensions are gone. */
static bool choose_layout(struct native_build *b, bool *reduced, struct reduce *r)
{
    const struct assay_type *x = &b->inputs[0];
    bool memory_reduced[ASSAY_MAX_RANK];
    int64_t dims[ASSAY_MAX_RANK];
    bool spatial = true;
    for (int d = 2; d < x->rank; d++)
        spatial &= reduced[d];
    if (b->in_layouts[0] == NATIVE_NHWC && !b->constants[0] && x->rank >= 3 && (spatial || reduced[1])) {
        native_memory_dims(x, NATIVE_NHWC, dims);
        memory_reduced[0] = reduced[0];
        for (int d = 2; d < x->rank; d++)
            memory_reduced[d - 1] = reduced[d];
        memory_reduced[x->rank - 1] = reduced[1];
        if (split(dims, memory_reduced, x->rank, r))
            return true;
    }
    b->in_layouts[0] = NATIVE_PLAIN;
    return split(x->dims, reduced, x->rank, r);
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    static const struct {
        const char *type;
        enum native_reduction how;
        bool mean, root;
    } known[] = {
        {"ReduceSum", NATIVE_SUM, false, false},
        {"ReduceMean", NATIVE_SUM, true, false},
        {"ReduceMax", NATIVE_MAX, false, false},
        {"ReduceMin", NATIVE_MIN, false, false},
        {"ReduceL1", NATIVE_SUM_ABS, false, false},
        {"ReduceL2", NATIVE_SUM_SQUARES, false, true},
        {"ReduceSumSquare", NATIVE_SUM_SQUARES, false, false},
    };
    const struct assay_type *x = &b->inputs[0];
    bool reduced[ASSAY_MAX_RANK];
    struct reduce *r = assay_arena_alloc(b->arena, sizeof *r);
    if (x->dtype != ASSAY_F32 || assay_type_count(x) < 1 || !find_axes(b, reduced) || !choose_layout(b, reduced, r))
        return refuse(err);
    r->factor = 1;
    for (size_t i = 0; i < ASSAY_COUNT(known); i++)
        if (strcmp(known[i].type, b->node->type) == 0) {
            r->how = known[i].how;
            r->root = known[i].root;
            r->factor = known[i].mean ? 1 / (double)r->n : 1;
        }
    bool rows = r->inner == 1;
    b->kernel.run = rows ? run_rows : run_columns;
    b->kernel.scratch_bytes = rows ? 0 : 2 * COLUMNS * (int64_t)sizeof(float);
    finish_make(b, r, rows ? (r->outer + 15) / 16 : r->outer * ((r->inner + COLUMNS - 1) / COLUMNS));
    return ASSAY_OK;
}

static enum assay_status make_arg_max(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0];
    int64_t axis = assay_node_int(b->node, "axis", 0);
    if (x->dtype != ASSAY_F32 || assay_type_count(x) < 1 || x->rank < 1 || (axis != -1 && axis != x->rank - 1) ||
        assay_node_int(b->node, "select_last_index", 0))
        return refuse(err);
    struct reduce *r = assay_arena_alloc(b->arena, sizeof *r);
    r->n = x->dims[x->rank - 1];
    r->outer = assay_type_count(x) / r->n;
    b->in_layouts[0] = NATIVE_PLAIN;
    b->kernel.run = run_arg_max;
    finish_make(b, r, (r->outer + 7) / 8);
    return ASSAY_OK;
}

const struct native_maker native_makers_reduce[] = {
    {.type = "ReduceSum", .domain = "", .make = make},
    {.type = "ReduceMean", .domain = "", .make = make},
    {.type = "ReduceMax", .domain = "", .make = make},
    {.type = "ReduceMin", .domain = "", .make = make},
    {.type = "ReduceL1", .domain = "", .make = make},
    {.type = "ReduceL2", .domain = "", .make = make},
    {.type = "ReduceSumSquare", .domain = "", .make = make},
    {.type = "ArgMax", .domain = "", .make = make_arg_max},
    {0},
};
