/* SPDX-License-Identifier: Apache-2.0 */
/* RotaryEmbedding (ONNX opset 23, and what graph/ops/op_rotary.c adds to it): heads turned by the angles of their positions. */
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <string.h>

struct rotary {
    enum assay_dtype dtype;
    int64_t batch, heads, length, d, half;
    int64_t head_step, row_step;    /* of x and y, in elements */
    int64_t table_batch, table_row; /* steps of the tables' rows; 0 where they broadcast */
    bool is_interleaved, has_positions;
    const struct native_simd *simd;
    int n_parts;
    int64_t scratch_bytes;
};

struct job {
    const struct rotary *r;
    const struct native_args *args;
};

static void turn_pairs(float *y, const float *x, const float *cosine, const float *sine, int64_t half)
{
    for (int64_t i = 0; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        y[2 * i] = a * cosine[i] - b * sine[i];
        y[2 * i + 1] = a * sine[i] + b * cosine[i];
    }
}

static const float *table_row(const struct rotary *r, const struct assay_tensor *table, int64_t row, float *room)
{
    if (r->dtype == ASSAY_F32)
        return (const float *)table->data + row * r->half;
    r->simd->from_bf16(room, (const uint16_t *)table->data + row * r->half, r->half);
    return room;
}

static void turn_head(const struct rotary *r, void *y, const void *x, const float *cosine, const float *sine, float *room)
{
    bool wide = r->dtype == ASSAY_F32;
    const float *from = wide ? x : room;
    float *to = wide ? y : room;
    if (!wide)
        r->simd->from_bf16(room, x, r->d);
    if (r->is_interleaved)
        turn_pairs(to, from, cosine, sine, r->half);
    else
        r->simd->rotate_halves(to, from, cosine, sine, r->half);
    if (!wide)
        r->simd->to_bf16(y, room, r->d);
    else if (to != from)
        memcpy(to + 2 * r->half, from + 2 * r->half, (size_t)(r->d - 2 * r->half) * sizeof *to);
}

static void run_part(void *context, int part, int thread)
{
    const struct job *j = context;
    const struct rotary *r = j->r;
    const struct native_args *args = j->args;
    float *room = (float *)(void *)(args->scratch + thread * r->scratch_bytes), *cosines = room + r->d,
          *sines = cosines + r->half;
    const int64_t *positions = r->has_positions ? args->in[3]->data : NULL;
    int64_t begin, end, size = r->dtype == ASSAY_F32 ? 4 : 2;
    native_share(r->batch * r->length, 1, part, r->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t b = i / r->length, t = i % r->length;
        int64_t row = positions ? positions[i] : b * r->table_batch + t * r->table_row;
        const float *cosine = table_row(r, args->in[1], row, cosines), *sine = table_row(r, args->in[2], row, sines);
        for (int64_t h = 0; h < r->heads; h++) {
            int64_t at = (b * r->heads * r->length * r->d + h * r->head_step + t * r->row_step) * size;
            turn_head(r, (char *)args->out[0]->data + at, (const char *)args->in[0]->data + at, cosine, sine, room);
        }
    }
}

static enum assay_status run(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    const struct rotary *r = args->kernel->data;
    struct job job = {r, args};
    const int64_t *positions = r->has_positions ? args->in[3]->data : NULL;
    for (int64_t i = 0; positions && i < r->batch * r->length; i++)
        if (positions[i] < 0 || positions[i] >= args->in[1]->type.dims[0])
            return assay_error_set(err, ASSAY_INVALID, "RotaryEmbedding: position %lld is outside of the tables",
                                   (long long)positions[i]);
    native_pool_run(pool, r->n_parts, run_part, &job);
    return ASSAY_OK;
}

static bool describe(const struct native_build *b, struct rotary *r)
{
    const struct assay_type *x = &b->inputs[0], *cosine = &b->inputs[1], *sine = &b->inputs[2];
    int64_t heads = assay_node_int(b->node, "num_heads", 0), turned = assay_node_int(b->node, "rotary_embedding_dim", 0);
    r->has_positions = native_is_given(b, 3);
    r->is_interleaved = assay_node_int(b->node, "interleaved", 0) != 0;
    r->dtype = x->dtype;
    if ((x->dtype != ASSAY_F32 && x->dtype != ASSAY_BF16) || cosine->dtype != x->dtype || !assay_type_equal(cosine, sine) ||
        cosine->rank != (r->has_positions ? 2 : 3) || assay_type_count(x) < 1)
        return false;
    if (x->rank == 4) {
        r->heads = x->dims[1];
        r->length = x->dims[2];
        r->d = x->dims[3];
        r->head_step = r->length * r->d;
        r->row_step = r->d;
    } else {
        if (x->rank != 3 || heads < 1 || x->dims[2] % heads != 0)
            return false;
        r->heads = heads;
        r->length = x->dims[1];
        r->d = x->dims[2] / heads;
        r->head_step = r->d;
        r->row_step = x->dims[2];
    }
    r->batch = x->dims[0];
    r->half = (turned ? turned : r->d) / 2;
    if (!r->has_positions) {
        r->table_batch = cosine->dims[0] == 1 ? 0 : cosine->dims[1];
        r->table_row = cosine->dims[1] == 1 ? 0 : 1;
    } else if (b->inputs[3].dtype != ASSAY_I64 || assay_type_count(&b->inputs[3]) != r->batch * r->length) {
        return false;
    }
    return cosine->dims[cosine->rank - 1] == r->half && 2 * r->half <= r->d;
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    struct rotary *r = assay_arena_alloc(b->arena, sizeof *r);
    *r = (struct rotary){.simd = native_simd_of(b->isa)};
    if (!describe(b, r))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "this form of it is not taken");
    r->n_parts = native_parts(assay_type_bytes(&b->inputs[0]), b->n_threads);
    r->scratch_bytes = native_aligned((r->d + 2 * r->half) * 4);
    for (int k = 0; k < b->n_inputs; k++)
        b->in_layouts[k] = NATIVE_PLAIN;
    b->kernel.name = "rotary embedding";
    b->kernel.run_whole = run;
    b->kernel.scratch_bytes = r->scratch_bytes;
    b->kernel.in_place = 0;
    b->kernel.data = r;
    return ASSAY_OK;
}

const struct native_maker native_makers_rotary[] = {
    {"RotaryEmbedding", "", make, false},
    {NULL, NULL, NULL, false},
};
