/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What training adds of rows, f32: gradients of Softmax, LogSoftmax, LayerNormalization and RMSNormalization, cross-entropy and
 * its gradient, GatherGradient. Sums over rows are taken in blocks that do not depend on threads, and added in order.
 */
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <math.h>
#include <string.h>

enum { BLOCK_ROWS = 32, MAX_BLOCKS = 32 };

struct rows {
    const struct native_simd *simd;
    int64_t n_rows, n;
    bool is_log, centred;
    double epsilon;
    int64_t block_rows, n_blocks;
    float *sums; /* [n_blocks, 2, n] */
};

static enum assay_status refuse(struct assay_error *err)
{
    return assay_error_set(err, ASSAY_UNSUPPORTED, "its types or axis are not taken");
}

static const float *input(const struct native_args *args, int i) { return args->in[i]->data; }

/* Rows from an axis on; false if the type is not taken. Makes all inputs plain. */
static bool find_rows(struct native_build *b, int at, int64_t axis, struct rows *r)
{
    const struct assay_type *x = &b->inputs[at];
    axis += axis < 0 ? x->rank : 0;
    if (x->dtype != ASSAY_F32 || assay_type_count(x) < 1 || axis < 0 || axis >= x->rank)
        return false;
    *r = (struct rows){.simd = native_simd_of(b->isa), .n = 1};
    for (int d = (int)axis; d < x->rank; d++)
        r->n *= x->dims[d];
    r->n_rows = assay_type_count(x) / r->n;
    for (int i = 0; i < b->n_inputs; i++)
        b->in_layouts[i] = NATIVE_PLAIN;
    return true;
}

static void share_rows(struct native_build *b, struct rows *r, int64_t size_bytes)
{
    int parts = native_parts(size_bytes, b->n_threads);
    b->kernel.n_parts = parts < r->n_rows ? parts : (int)r->n_rows;
    b->kernel.data = r;
}

/* ---- softmax */

static void run_softmax(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct rows *r = args->kernel->data;
    int64_t begin, end;
    (void)scratch;
    native_share(r->n_rows, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin * r->n; i < end * r->n; i += r->n)
        (r->is_log ? r->simd->log_softmax_gradient : r->simd->softmax_gradient)((float *)args->out[0]->data + i,
                                                                                input(args, 0) + i, input(args, 1) + i, r->n);
}

static enum assay_status make_softmax(struct native_build *b, struct assay_error *err)
{
    struct rows *r = assay_arena_alloc(b->arena, sizeof *r);
    int64_t axis = assay_node_int(b->node, "axis", -1), rank = b->inputs[0].rank;
    if ((axis != -1 && axis != rank - 1) || b->inputs[1].dtype != ASSAY_F32 || !find_rows(b, 0, -1, r))
        return refuse(err);
    r->is_log = *b->node->type == 'L';
    b->kernel.name = "vector SoftmaxGradient";
    b->kernel.run = run_softmax;
    b->kernel.in_place = 0;
    share_rows(b, r, 4 * assay_type_bytes(&b->inputs[0]));
    return ASSAY_OK;
}

/* ---- normalisation of rows with what its gradient needs */

static void run_norm(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct rows *r = args->kernel->data;
    const float *scale = input(args, 1), *bias = input(args, 2);
    int64_t begin, end;
    (void)scratch;
    native_share(r->n_rows, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const float *x = input(args, 0) + i * r->n;
        double mean, variance;
        r->simd->moments(x, r->n, &mean, &variance);
        double inverse = 1 / sqrt(variance + r->epsilon);
        r->simd->normalise((float *)args->out[0]->data + i * r->n, x, scale, bias, r->n, (float)mean, (float)inverse);
        if (args->out[1])
            ((float *)args->out[1]->data)[i] = (float)mean;
        if (args->out[2])
            ((float *)args->out[2]->data)[i] = (float)inverse;
    }
}

static enum assay_status make_norm(struct native_build *b, struct assay_error *err)
{
    struct rows *r = assay_arena_alloc(b->arena, sizeof *r);
    if (b->n_outputs != 3 || b->n_inputs != 3 || b->node->inputs[2] < 0 ||
        !find_rows(b, 0, assay_node_int(b->node, "axis", -1), r))
        return refuse(err);
    for (int i = 1; i < 3; i++)
        if (b->inputs[i].dtype != ASSAY_F32 || assay_type_count(&b->inputs[i]) != r->n ||
            (b->node->outputs[i] >= 0 && b->outputs[i].dtype != ASSAY_F32))
            return refuse(err);
    r->epsilon = (double)assay_node_float(b->node, "epsilon", 1e-5f);
    b->kernel.name = "vector LayerNormalization with moments";
    b->kernel.run = run_norm;
    share_rows(b, r, 2 * assay_type_bytes(&b->inputs[0]));
    return ASSAY_OK;
}

/* ---- its gradient: a block of rows is a part, which has sums of its own */

enum { DY, X, SCALE, MEAN_INPUT, INVERSE };

struct job {
    const struct native_args *args;
    const struct rows *r;
};

static void run_block(void *context, int part, int thread)
{
    const struct job *job = context;
    const struct native_args *args = job->args;
    const struct rows *r = job->r;
    float *dscale = r->sums + 2 * part * r->n, *dbias = dscale + r->n;
    int64_t end = (part + 1) * r->block_rows < r->n_rows ? (part + 1) * r->block_rows : r->n_rows;
    (void)thread;
    memset(dscale, 0, 2 * (size_t)r->n * sizeof *dscale);
    for (int64_t i = part * r->block_rows; i < end; i++) {
        const float *x = input(args, X) + i * r->n;
        float mean = r->centred ? input(args, MEAN_INPUT)[i] : 0, inverse;
        if (r->centred)
            inverse = input(args, INVERSE)[i];
        else
            inverse = (float)(1 / sqrt(r->simd->reduce(x, r->n, NATIVE_SUM_SQUARES) / (double)r->n + r->epsilon));
        r->simd->norm_gradient((float *)args->out[0]->data + i * r->n, input(args, DY) + i * r->n, x, input(args, SCALE), r->n,
                               mean, inverse, r->centred, dscale, dbias);
    }
}

static enum assay_status run_norm_gradient(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    const struct rows *r = args->kernel->data;
    struct job job = {args, r};
    (void)err;
    native_pool_run(pool, (int)r->n_blocks, run_block, &job);
    for (int k = 0; k < 2; k++) {
        float *y = k == 0 || r->centred ? (args->out[1 + k] ? args->out[1 + k]->data : NULL) : NULL;
        for (int64_t i = 0; y && i < r->n; i++) {
            double sum = 0;
            for (int64_t block = 0; block < r->n_blocks; block++)
                sum += (double)r->sums[(2 * block + k) * r->n + i];
            y[i] = (float)sum;
        }
    }
    return ASSAY_OK;
}

static enum assay_status make_norm_gradient(struct native_build *b, struct assay_error *err)
{
    struct rows *r = assay_arena_alloc(b->arena, sizeof *r);
    bool centred = *b->node->type == 'L';
    if (b->n_inputs != (centred ? 5 : 3) || b->n_outputs > (centred ? 3 : 2) || b->node->outputs[0] < 0 ||
        !find_rows(b, X, assay_node_int(b->node, "axis", -1), r))
        return refuse(err);
    for (int i = 0; i < b->n_inputs; i++)
        if (b->inputs[i].dtype != ASSAY_F32)
            return refuse(err);
    if (assay_type_count(&b->inputs[SCALE]) != r->n || (centred && (assay_type_count(&b->inputs[MEAN_INPUT]) != r->n_rows ||
                                                                    assay_type_count(&b->inputs[INVERSE]) != r->n_rows)))
        return refuse(err);
    r->centred = centred;
    r->epsilon = (double)assay_node_float(b->node, "epsilon", 1e-5f);
    r->block_rows = (r->n_rows + MAX_BLOCKS - 1) / MAX_BLOCKS;
    r->block_rows = r->block_rows < BLOCK_ROWS ? BLOCK_ROWS : r->block_rows;
    r->n_blocks = (r->n_rows + r->block_rows - 1) / r->block_rows;
    r->sums = assay_arena_array(b->arena, (size_t)(2 * r->n_blocks * r->n), sizeof *r->sums);
    b->kernel.name = assay_arena_printf(b->arena, "vector %s", b->node->type);
    b->kernel.run_whole = run_norm_gradient;
    b->kernel.data = r;
    return ASSAY_OK;
}

/* ---- cross-entropy of classes in rows */

enum reduction { NONE, SUM, MEAN };

struct loss {
    struct rows r;
    enum reduction reduction;
    bool has_ignored, is_wide; /* wide: labels are i64 */
    int64_t ignored;
};

static int64_t label_of(const struct loss *s, const struct assay_tensor *labels, int64_t i)
{
    return s->is_wide ? ((const int64_t *)labels->data)[i] : ((const int32_t *)labels->data)[i];
}

static bool is_ignored(const struct loss *s, int64_t label) { return s->has_ignored && label == s->ignored; }

static enum assay_status count_labels(const struct loss *s, const struct assay_tensor *labels, int64_t *n,
                                      struct assay_error *err)
{
    *n = 0;
    for (int64_t i = 0; i < s->r.n_rows; i++) {
        int64_t label = label_of(s, labels, i);
        if (is_ignored(s, label))
            continue;
        if (label < 0 || label >= s->r.n)
            return assay_error_set(err, ASSAY_INVALID, "label %lld is none of the %lld classes", (long long)label,
                                   (long long)s->r.n);
        ++*n;
    }
    return ASSAY_OK;
}

static void run_log_rows(void *context, int part, int thread)
{
    const struct native_args *args = ((const struct job *)context)->args;
    const struct loss *s = args->kernel->data;
    (void)thread;
    s->r.simd->log_softmax((float *)args->out[1]->data + part * s->r.n, input(args, 0) + part * s->r.n, s->r.n);
}

static enum assay_status run_loss(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    const struct loss *s = args->kernel->data;
    struct job job = {args, &s->r};
    int64_t n;
    double sum = 0;
    enum assay_status st = count_labels(s, args->in[1], &n, err);
    if (st)
        return st;
    native_pool_run(pool, (int)s->r.n_rows, run_log_rows, &job);
    const float *made = args->out[1]->data;
    for (int64_t i = 0; i < s->r.n_rows; i++) {
        int64_t label = label_of(s, args->in[1], i);
        float loss = is_ignored(s, label) ? 0 : -made[i * s->r.n + label];
        if (s->reduction == NONE)
            ((float *)args->out[0]->data)[i] = loss;
        sum += (double)loss;
    }
    if (s->reduction != NONE)
        *(float *)args->out[0]->data = (float)(s->reduction == MEAN ? sum / (double)n : sum);
    return ASSAY_OK;
}

struct gradient_job {
    const struct native_args *args;
    double scale;
};

static void run_gradient_row(void *context, int part, int thread)
{
    const struct gradient_job *job = context;
    const struct native_args *args = job->args;
    const struct loss *s = args->kernel->data;
    int64_t label = label_of(s, args->in[2], part);
    float *dx = (float *)args->out[0]->data + part * s->r.n;
    (void)thread;
    if (is_ignored(s, label)) {
        memset(dx, 0, (size_t)s->r.n * sizeof *dx);
        return;
    }
    float scale = (float)(job->scale * (double)input(args, 0)[s->reduction == NONE ? part : 0]);
    s->r.simd->exp_scaled(dx, input(args, 1) + part * s->r.n, s->r.n, scale);
    dx[label] -= scale;
}

static enum assay_status run_loss_gradient(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    const struct loss *s = args->kernel->data;
    int64_t n;
    enum assay_status st = count_labels(s, args->in[2], &n, err);
    struct gradient_job job = {args, s->reduction == MEAN ? 1 / (double)n : 1};
    if (!st)
        native_pool_run(pool, (int)s->r.n_rows, run_gradient_row, &job);
    return st;
}

/* scores: the input of [rows, classes]; behind it labels, and weights, which are not taken. */
static bool describe_loss(struct native_build *b, int scores, struct loss *s)
{
    const struct assay_type *x = &b->inputs[scores], *labels = &b->inputs[scores + 1];
    const char *reduction = assay_node_string(b->node, "reduction", "mean");
    const struct assay_attr *ignored = assay_node_attr(b->node, "ignore_index");
    if (x->rank != 2 || (labels->dtype != ASSAY_I64 && labels->dtype != ASSAY_I32) || x->dims[0] > 1 << 20 ||
        (b->n_inputs > scores + 2 && b->node->inputs[scores + 2] >= 0))
        return false;
    *s = (struct loss){.reduction = strcmp(reduction, "mean") == 0  ? MEAN
                                    : strcmp(reduction, "sum") == 0 ? SUM
                                                                    : NONE,
                       .has_ignored = ignored && ignored->kind == ASSAY_ATTR_INT,
                       .is_wide = labels->dtype == ASSAY_I64};
    s->ignored = s->has_ignored ? ignored->i : 0;
    return find_rows(b, scores, 1, &s->r);
}

static enum assay_status make_loss(struct native_build *b, struct assay_error *err)
{
    struct loss *s = assay_arena_alloc(b->arena, sizeof *s);
    if (b->n_outputs != 2 || b->node->outputs[0] < 0 || b->node->outputs[1] < 0 || !describe_loss(b, 0, s))
        return refuse(err);
    b->kernel.name = "vector SoftmaxCrossEntropyLoss";
    b->kernel.run_whole = run_loss;
    b->kernel.data = s;
    return ASSAY_OK;
}

static enum assay_status make_loss_gradient(struct native_build *b, struct assay_error *err)
{
    struct loss *s = assay_arena_alloc(b->arena, sizeof *s);
    if (b->inputs[0].dtype != ASSAY_F32 || !describe_loss(b, 1, s))
        return refuse(err);
    b->kernel.name = "vector SoftmaxCrossEntropyLossGradient";
    b->kernel.run_whole = run_loss_gradient;
    b->kernel.data = s;
    return ASSAY_OK;
}

/* ---- GatherGradient of rows: each part has columns of its own, so that rows are added in their order */

enum { COLUMNS = 64 };

struct scatter {
    struct rows r; /* of dy */
    int64_t n_places;
    bool is_wide;
};

struct scatter_job {
    const struct native_args *args;
    int n_parts;
};

static int64_t index_of(const struct scatter *s, const struct assay_tensor *indices, int64_t i)
{
    int64_t index = s->is_wide ? ((const int64_t *)indices->data)[i] : ((const int32_t *)indices->data)[i];
    return index < 0 ? index + s->n_places : index;
}

static void clear_share(void *context, int part, int thread)
{
    const struct scatter_job *job = context;
    const struct scatter *s = job->args->kernel->data;
    int64_t begin, end;
    (void)thread;
    native_share(s->n_places, 1, part, job->n_parts, &begin, &end);
    memset((float *)job->args->out[0]->data + begin * s->r.n, 0, (size_t)((end - begin) * s->r.n) * sizeof(float));
}

static void add_columns(void *context, int part, int thread)
{
    const struct scatter_job *job = context;
    const struct native_args *args = job->args;
    const struct scatter *s = args->kernel->data;
    int64_t begin, end;
    (void)thread;
    native_share(s->r.n, COLUMNS, part, job->n_parts, &begin, &end);
    for (int64_t i = 0; i < s->r.n_rows && begin < end; i++)
        s->r.simd->add_scaled((float *)args->out[0]->data + index_of(s, args->in[1], i) * s->r.n + begin,
                              input(args, 0) + i * s->r.n + begin, 1, end - begin);
}

static enum assay_status run_scatter(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    const struct scatter *s = args->kernel->data;
    struct scatter_job job = {args, native_pool_threads(pool)};
    for (int64_t i = 0; i < s->r.n_rows; i++) {
        int64_t index = index_of(s, args->in[1], i);
        if (index < 0 || index >= s->n_places)
            return assay_error_set(err, ASSAY_INVALID, "index %lld is outside of a dimension of %lld", (long long)index,
                                   (long long)s->n_places);
    }
    native_pool_run(pool, job.n_parts, clear_share, &job);
    native_pool_run(pool, job.n_parts, add_columns, &job);
    return ASSAY_OK;
}

static enum assay_status make_scatter(struct native_build *b, struct assay_error *err)
{
    struct scatter *s = assay_arena_alloc(b->arena, sizeof *s);
    const struct assay_type *indices = &b->inputs[1], *dx = &b->outputs[0];
    if (assay_node_int(b->node, "axis", 0) != 0 || dx->rank < 2 || assay_type_count(dx) < 1 ||
        (indices->dtype != ASSAY_I64 && indices->dtype != ASSAY_I32) || b->inputs[0].rank != indices->rank + dx->rank - 1 ||
        !find_rows(b, 0, indices->rank, &s->r))
        return refuse(err);
    s->is_wide = indices->dtype == ASSAY_I64;
    s->n_places = dx->dims[0];
    b->kernel.name = "vector GatherGradient";
    b->kernel.run_whole = run_scatter;
    b->kernel.data = s;
    return ASSAY_OK;
}

const struct native_maker native_makers_gradient_rows[] = {
    {.type = "SoftmaxGradient", .domain = "assay", .make = make_softmax},
    {.type = "LogSoftmaxGradient", .domain = "assay", .make = make_softmax},
    {.type = "LayerNormalization", .domain = "", .make = make_norm},
    {.type = "LayerNormalizationGradient", .domain = "assay", .make = make_norm_gradient},
    {.type = "RMSNormalizationGradient", .domain = "assay", .make = make_norm_gradient},
    {.type = "SoftmaxCrossEntropyLoss", .domain = "", .make = make_loss},
    {.type = "SoftmaxCrossEntropyLossGradient", .domain = "assay", .make = make_loss_gradient},
    {.type = "GatherGradient", .domain = "assay", .make = make_scatter},
    {0},
};
