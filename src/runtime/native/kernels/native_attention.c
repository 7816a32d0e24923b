/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention (ONNX opset 23) without its matrix of scores: a block of queries meets keys and values block by block, with the
 * online softmax of FlashAttention (Dao et al. 2022). Queries of heads that share keys are rows of one block, so that keys and
 * values are read once for all of them: with one new token, at the speed of memory.
 *
 * A state's past keys and values stay in a cache (runtime/native/cache.h), to which the new ones are appended.
 */
#include "runtime/native/cache.h"
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <math.h>
#include <string.h>

/* A block's scores and values lie in the second level's cache. ROWS: a multiple of the product's rows of registers. */
enum { ROWS = 96, KEYS = 256, GRAIN = 6, LANES = 16 };

struct attention {
    enum assay_dtype dtype;
    int64_t batch, heads, kv_heads, queries, dim, value_dim;
    int64_t block_rows, n_blocks; /* of the rows (head of the group, query) of a head of keys */
    float scale;
    bool is_causal;
    struct native_cache *keys, *values; /* NULL = no cache */
    const struct native_simd *simd;
    bool is_low; /* products of bf16: keys and values in pairs, and probabilities rounded */
    int64_t scratch_bytes;
};

/* Where the rows of [batch, head, row] or [batch, row, head] begin: distances in elements. */
struct rows {
    const unsigned char *data;
    int64_t batch, head, row;
};

struct job {
    const struct attention *a;
    struct rows q, k, v, y;
    const struct assay_tensor *mask;     /* NULL = none */
    int64_t mask_steps[3], mask_dims[4]; /* of batch, head and query; 0 where broadcast */
    int64_t past, added, length;         /* keys */
    unsigned char *scratch;
};

/* This thread's memory. */
struct room {
    float *q, *scores, *y, *keys, *values, *mask, *max, *sum;
    uint16_t *low; /* probabilities [rows, KEYS] */
};

static struct rows rows_of(const struct assay_tensor *tensor, int64_t heads)
{
    const int64_t *d = tensor->type.dims;
    if (tensor->type.rank == 4)
        return (struct rows){tensor->data, d[1] * d[2] * d[3], d[2] * d[3], d[3]};
    return (struct rows){tensor->data, d[1] * d[2], d[2] / heads, d[2]};
}

static const void *row_at(const struct job *j, const struct rows *rows, int64_t batch, int64_t head, int64_t row)
{
    int64_t size = j->a->dtype == ASSAY_BF16 ? 2 : 4;
    return rows->data + (batch * rows->batch + head * rows->head + row * rows->row) * size;
}

/* For a block of values; before, for a panel of keys that are transposed. */
static int64_t values_room(const struct attention *a)
{
    return KEYS * a->value_dim > NATIVE_PANEL * a->dim ? KEYS * a->value_dim : NATIVE_PANEL * a->dim;
}

static struct room share_scratch(const struct attention *a, unsigned char *scratch)
{
    struct room r;
    r.q = (float *)(void *)scratch;
    r.scores = r.q + a->block_rows * a->dim;
    r.y = r.scores + a->block_rows * KEYS;
    r.keys = r.y + a->block_rows * a->value_dim;
    r.values = r.keys + KEYS * a->dim;
    r.mask = r.values + values_room(a);
    r.max = r.mask + KEYS;
    r.sum = r.max + a->block_rows;
    r.low = (uint16_t *)(void *)(r.sum + a->block_rows);
    return r;
}

static int64_t scratch_of(const struct attention *a)
{
    int64_t floats = a->block_rows * (a->dim + KEYS + a->value_dim + 2) + KEYS * (a->dim + 1) + values_room(a);
    floats += a->is_low ? a->block_rows * KEYS / 2 : 0;
    return native_aligned(floats * 4);
}

/* ---- a block of keys */

static const float *as_f32(const struct attention *a, const void *data, int64_t n, float *room)
{
    if (a->dtype == ASSAY_F32)
        return data;
    a->simd->from_bf16(room, data, n);
    return room;
}

/* Panels [dim, NATIVE_PANEL] of the keys from `first`, n of them. */
static const float *load_keys(const struct job *j, int64_t batch, int64_t head, int64_t first, int64_t n, struct room *room)
{
    const struct attention *a = j->a;
    int64_t panels = (n + NATIVE_PANEL - 1) / NATIVE_PANEL;
    if (a->keys)
        return as_f32(a, native_cache_head(a->keys, batch, head) + first * a->dim * native_cache_size(a->keys),
                      panels * NATIVE_PANEL * a->dim, room->keys);
    for (int64_t p = 0; p < panels; p++) {
        int64_t at = first + p * NATIVE_PANEL, count = first + n - at < NATIVE_PANEL ? first + n - at : NATIVE_PANEL;
        float *panel = room->keys + p * NATIVE_PANEL * a->dim;
        if (a->dtype == ASSAY_F32) {
            a->simd->transpose(panel, row_at(j, &j->k, batch, head, at), count, a->dim, NATIVE_PANEL, j->k.row, 4);
            continue;
        }
        for (int64_t i = 0; i < count; i++)
            a->simd->from_bf16(room->values + i * a->dim, row_at(j, &j->k, batch, head, at + i), a->dim);
        a->simd->transpose(panel, room->values, count, a->dim, NATIVE_PANEL, a->dim, 4);
    }
    return room->keys;
}

/* Rows of values, `stride` apart. */
static const float *load_values(const struct job *j, int64_t batch, int64_t head, int64_t first, int64_t n, struct room *room,
                                int64_t *stride)
{
    const struct attention *a = j->a;
    *stride = a->value_dim;
    if (a->values)
        return as_f32(a, native_cache_head(a->values, batch, head) + first * a->value_dim * native_cache_size(a->values),
                      n * a->value_dim, room->values);
    if (a->dtype == ASSAY_F32) {
        *stride = j->v.row;
        return row_at(j, &j->v, batch, head, first);
    }
    for (int64_t i = 0; i < n; i++)
        a->simd->from_bf16(room->values + i * a->value_dim, row_at(j, &j->v, batch, head, first + i), a->value_dim);
    return room->values;
}

/* Adds the mask to the scores of n keys from `first`. Keys beyond a mask that is shorter are not seen. */
static void mask_row(const struct job *j, float *scores, int64_t batch, int64_t head, int64_t query, int64_t first, int64_t n,
                     float *room)
{
    const struct native_simd *simd = j->a->simd;
    int64_t width = j->mask_dims[3], at = batch * j->mask_steps[0] + head * j->mask_steps[1] + query * j->mask_steps[2];
    int64_t n_masked = width - first < n ? width - first : n;
    size_t size = assay_dtype_size(j->mask->type.dtype);
    const unsigned char *row = (const unsigned char *)j->mask->data + at * (int64_t)size;
    if (width == 1 && j->length > 1) {
        float number = j->mask->type.dtype == ASSAY_BOOL ? (*row ? 0 : -INFINITY) : (float)assay_tensor_real(j->mask, at);
        simd->linear(scores, scores, n, 1, number);
        return;
    }
    n_masked = n_masked < 0 ? 0 : n_masked;
    row += first * (int64_t)size;
    if (j->mask->type.dtype == ASSAY_BOOL) {
        simd->mask_keep(scores, row, n_masked);
    } else if (j->mask->type.dtype == ASSAY_BF16) {
        simd->from_bf16(room, (const void *)row, n_masked);
        simd->mask_add(scores, room, n_masked);
    } else {
        simd->mask_add(scores, (const void *)row, n_masked);
    }
    for (int64_t i = n_masked; i < n; i++)
        scores[i] = -INFINITY;
}

/* Of the columns of a panel, those that n keys from p on need, in whole vectors. */
static int64_t width_of(int64_t n, int64_t p)
{
    return n - p < NATIVE_PANEL ? (n - p + LANES - 1) / LANES * LANES : NATIVE_PANEL;
}

static void multiply_keys(const struct job *j, int64_t batch, int64_t kv_head, int64_t rows, int64_t first, int64_t n,
                          struct room *room)
{
    const struct attention *a = j->a;
    const float *keys = load_keys(j, batch, kv_head, first, n, room);
    for (int64_t p = 0; p < n; p += NATIVE_PANEL)
        a->simd->gemm(room->scores + p, KEYS, room->q, a->dim, keys + p * a->dim, NATIVE_PANEL, rows, width_of(n, p), a->dim,
                      false);
}

static void multiply_values(const struct job *j, int64_t batch, int64_t kv_head, int64_t rows, int64_t first, int64_t n,
                            struct room *room)
{
    const struct attention *a = j->a;
    int64_t stride;
    const float *values = load_values(j, batch, kv_head, first, n, room, &stride);
    a->simd->gemm(room->y, a->value_dim, room->scores, KEYS, values, stride, rows, a->value_dim, n, true);
}

/* In bf16 a pair of numbers of a key is a word, so that panels of pairs are keys transposed word by word. */
static void multiply_keys_low(const struct job *j, int64_t batch, int64_t kv_head, int64_t rows, int64_t first, int64_t n,
                              struct room *room)
{
    const struct attention *a = j->a;
    uint32_t *panel = (uint32_t *)(void *)room->keys;
    for (int64_t p = 0; p < n; p += NATIVE_PANEL) {
        int64_t count = n - p < NATIVE_PANEL ? n - p : NATIVE_PANEL;
        a->simd->transpose(panel, row_at(j, &j->k, batch, kv_head, first + p), count, a->dim / 2, NATIVE_PANEL, j->k.row / 2, 4);
        a->simd->gemm_bf16(room->scores + p, KEYS, (const uint16_t *)(const void *)room->q, a->dim, panel, NATIVE_PANEL, rows,
                           width_of(n, p), a->dim, false);
    }
}

static void multiply_values_low(const struct job *j, int64_t batch, int64_t kv_head, int64_t rows, int64_t first, int64_t n,
                                struct room *room)
{
    const struct attention *a = j->a;
    uint32_t *pairs = (uint32_t *)(void *)room->values;
    for (int64_t i = 0; i < n; i += 2)
        a->simd->pair(pairs + i / 2 * a->value_dim, row_at(j, &j->v, batch, kv_head, first + i),
                      i + 1 < n ? row_at(j, &j->v, batch, kv_head, first + i + 1) : NULL, a->value_dim);
    a->simd->gemm_bf16(room->y, a->value_dim, room->low, KEYS, pairs, a->value_dim, rows, a->value_dim, (n + 1) / 2 * 2, true);
}

static void meet_keys(const struct job *j, int64_t batch, int64_t kv_head, int64_t begin, int64_t rows, int64_t first, int64_t n,
                      struct room *room)
{
    const struct attention *a = j->a;
    int64_t per_group = a->heads / a->kv_heads;
    (a->is_low ? multiply_keys_low : multiply_keys)(j, batch, kv_head, rows, first, n, room);
    for (int64_t r = 0; r < rows; r++) {
        int64_t query = (begin + r) % a->queries, head = kv_head * per_group + (begin + r) / a->queries;
        float *scores = room->scores + r * KEYS;
        if (j->mask)
            mask_row(j, scores, batch, head, query, first, n, room->mask);
        int64_t seen = query + j->past + 1 - first;
        for (int64_t i = seen < 0 ? 0 : seen; a->is_causal && i < n; i++)
            scores[i] = -INFINITY;
        uint16_t *low = room->low + r * KEYS;
        float factor = a->is_low ? a->simd->softmax_part_bf16(low, scores, n, &room->max[r], &room->sum[r])
                                 : a->simd->softmax_part(scores, n, &room->max[r], &room->sum[r]);
        if (a->is_low && n % 2)
            low[n] = 0;
        if (factor != 1)
            a->simd->linear(room->y + r * a->value_dim, room->y + r * a->value_dim, a->value_dim, factor, 0);
    }
    (a->is_low ? multiply_values_low : multiply_values)(j, batch, kv_head, rows, first, n, room);
}

/* ---- a block of queries */

static void append(const struct job *j, int64_t batch, int64_t head)
{
    const struct attention *a = j->a;
    int64_t size = native_cache_size(a->keys);
    native_cache_write(a->keys, batch, head, j->past, j->added, row_at(j, &j->k, batch, head, 0), j->k.row * size);
    native_cache_write(a->values, batch, head, j->past, j->added, row_at(j, &j->v, batch, head, 0), j->v.row * size);
}

static void append_part(void *context, int part, int thread)
{
    const struct job *j = context;
    (void)thread;
    append(j, part / j->a->kv_heads, part % j->a->kv_heads);
}

static void load_queries(const struct job *j, int64_t batch, int64_t kv_head, int64_t begin, int64_t rows, struct room *room)
{
    const struct attention *a = j->a;
    int64_t per_group = a->heads / a->kv_heads;
    for (int64_t r = 0; r < rows; r++) {
        const void *q = row_at(j, &j->q, batch, kv_head * per_group + (begin + r) / a->queries, (begin + r) % a->queries);
        float *to = a->is_low ? room->scores : room->q + r * a->dim;
        a->simd->linear(to, as_f32(a, q, a->dim, to), a->dim, a->scale, 0);
        if (a->is_low)
            a->simd->to_bf16((uint16_t *)(void *)room->q + r * a->dim, to, a->dim);
        room->max[r] = -INFINITY;
        room->sum[r] = 0;
    }
    memset(room->y, 0, (size_t)(rows * a->value_dim) * sizeof *room->y);
}

static void store_results(const struct job *j, int64_t batch, int64_t kv_head, int64_t begin, int64_t rows, struct room *room)
{
    const struct attention *a = j->a;
    int64_t per_group = a->heads / a->kv_heads;
    for (int64_t r = 0; r < rows; r++) {
        int64_t head = kv_head * per_group + (begin + r) / a->queries;
        void *y = (void *)row_at(j, &j->y, batch, head, (begin + r) % a->queries);
        float *from = room->y + r * a->value_dim, factor = 1 / room->sum[r];
        a->simd->linear(a->dtype == ASSAY_F32 ? y : from, from, a->value_dim, factor, 0);
        if (a->dtype == ASSAY_BF16)
            a->simd->to_bf16(y, from, a->value_dim);
    }
}

static void attend_part(void *context, int part, int thread)
{
    const struct job *j = context;
    const struct attention *a = j->a;
    struct room room = share_scratch(a, j->scratch + thread * a->scratch_bytes);
    int64_t block = part % a->n_blocks, head = part / a->n_blocks % a->kv_heads, batch = part / a->n_blocks / a->kv_heads;
    int64_t begin = block * a->block_rows, end = begin + a->block_rows, all = a->heads / a->kv_heads * a->queries;
    end = end < all ? end : all;
    if (a->keys && a->n_blocks == 1)
        append(j, batch, head);
    load_queries(j, batch, head, begin, end - begin, &room);
    int64_t last = begin / a->queries == (end - 1) / a->queries ? (end - 1) % a->queries : a->queries - 1;
    int64_t length = a->is_causal && last + j->past + 1 < j->length ? last + j->past + 1 : j->length;
    for (int64_t first = 0; first < length; first += KEYS)
        meet_keys(j, batch, head, begin, end - begin, first, length - first < KEYS ? length - first : KEYS, &room);
    store_results(j, batch, head, begin, end - begin, &room);
}

/* ---- the kernel */

static enum assay_status take_mask(struct job *j, const struct assay_tensor *mask, struct assay_error *err)
{
    const struct attention *a = j->a;
    const int64_t wanted[] = {a->batch, a->heads, a->queries};
    int64_t step = 1;
    j->mask = mask;
    for (int d = 3; d >= 0; d--) {
        int at = d - (4 - mask->type.rank);
        int64_t dim = at >= 0 ? mask->type.dims[at] : 1;
        j->mask_dims[d] = dim;
        if (d < 3) {
            j->mask_steps[d] = dim == 1 ? 0 : step;
            if (dim != 1 && dim != wanted[d])
                return assay_error_set(err, ASSAY_INVALID, "Attention: its mask has %lld where there are %lld", (long long)dim,
                                       (long long)wanted[d]);
        }
        step *= dim;
    }
    return ASSAY_OK;
}

static enum assay_status run(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    const struct attention *a = args->kernel->data;
    const struct assay_type *k = &args->in[1]->type;
    struct job j = {.a = a, .scratch = args->scratch};
    j.q = rows_of(args->in[0], a->heads);
    j.k = rows_of(args->in[1], a->kv_heads);
    j.v = rows_of(args->in[2], a->kv_heads);
    j.y = rows_of(args->out[0], a->heads);
    j.added = k->dims[k->rank - 2];
    j.past = a->keys ? a->keys->length : 0;
    j.length = j.past + j.added;
    enum assay_status st = args->in[3] ? take_mask(&j, args->in[3], err) : ASSAY_OK;
    if (st)
        return st;
    if (a->keys && a->n_blocks > 1)
        native_pool_run(pool, (int)(a->batch * a->kv_heads), append_part, &j);
    native_pool_run(pool, (int)(a->batch * a->kv_heads * a->n_blocks), attend_part, &j);
    return ASSAY_OK;
}

static bool is_made(const struct native_build *b, int output) { return output < b->n_outputs && b->node->outputs[output] >= 0; }

/* Heads and numbers of a head of [batch, head, row, dim] or [batch, row, head · dim]; false if they do not fit. */
static bool read_heads(const struct assay_type *type, int64_t named, int64_t *heads, int64_t *dim)
{
    if (type->rank == 4) {
        *heads = type->dims[1];
        *dim = type->dims[3];
    } else if (type->rank == 3 && named > 0 && type->dims[2] % named == 0) {
        *heads = named;
        *dim = type->dims[2] / named;
    } else {
        return false;
    }
    return *heads > 0 && *dim > 0;
}

static bool describe(struct native_build *b, struct attention *a)
{
    const struct assay_node *node = b->node;
    const struct assay_type *q = &b->inputs[0], *k = &b->inputs[1], *v = &b->inputs[2], *y = &b->outputs[0];
    int64_t kv_named = assay_node_int(node, "kv_num_heads", 0), value_heads, key_dim;
    a->dtype = q->dtype;
    if (!assay_type_is_known(q) || !assay_type_is_known(y) || (q->dtype != ASSAY_F32 && q->dtype != ASSAY_BF16) ||
        k->dtype != q->dtype || v->dtype != q->dtype || y->dtype != q->dtype || y->rank != q->rank ||
        !read_heads(q, assay_node_int(node, "q_num_heads", 0), &a->heads, &a->dim) ||
        !read_heads(k, kv_named, &a->kv_heads, &key_dim) || !read_heads(v, kv_named, &value_heads, &a->value_dim))
        return false;
    a->batch = q->dims[0];
    a->queries = q->dims[q->rank - 2];
    a->is_causal = assay_node_int(node, "is_causal", 0) != 0;
    a->scale = assay_node_float(node, "scale", 0);
    if (a->scale == 0)
        a->scale = (float)(1 / sqrt((double)a->dim));
    return key_dim == a->dim && value_heads == a->kv_heads && a->heads % a->kv_heads == 0 && k->dims[0] == a->batch &&
           v->dims[0] == a->batch && k->rank == v->rank && a->batch > 0 && a->queries > 0;
}

static bool takes_mask(const struct native_build *b, const struct attention *a)
{
    const struct assay_type *mask = &b->inputs[3];
    bool dtype = mask->dtype == ASSAY_BOOL || mask->dtype == ASSAY_F32 || mask->dtype == a->dtype;
    return !native_is_given(b, 3) || (dtype && mask->rank >= 1 && mask->rank <= 4);
}

/* Past and present are in caches, or there are none. */
static bool find_caches(struct native_build *b, struct attention *a)
{
    if (!native_is_given(b, 4) && !native_is_given(b, 5))
        return !is_made(b, 1) && !is_made(b, 2);
    const struct assay_type *k = &b->inputs[1], *v = &b->inputs[2];
    int64_t rows = k->dims[k->rank - 2];
    if (rows < 0 || v->dims[v->rank - 2] != rows || b->inputs[4].dtype != a->dtype || b->inputs[5].dtype != a->dtype)
        return false;
    a->keys = native_cache_of(b, 4, 1, rows);
    a->values = a->keys ? native_cache_of(b, 5, 2, rows) : NULL;
    if (!a->values)
        return false;
    a->keys->in_columns = true;
    b->unneeded[4] = b->unneeded[5] = true;
    b->unmade[1] = b->unmade[2] = true;
    return b->inputs[4].dims[3] == a->dim && b->inputs[5].dims[3] == a->value_dim;
}

static void divide(struct attention *a, int n_threads)
{
    int64_t rows = a->heads / a->kv_heads * a->queries, parts = a->batch * a->kv_heads;
    int64_t blocks = (rows + ROWS - 1) / ROWS, wanted = (n_threads + parts - 1) / parts;
    blocks = blocks < wanted ? wanted : blocks;
    a->block_rows = (rows + blocks - 1) / blocks;
    if (a->block_rows > GRAIN)
        a->block_rows = (a->block_rows + GRAIN - 1) / GRAIN * GRAIN;
    a->n_blocks = (rows + a->block_rows - 1) / a->block_rows;
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    struct attention *a = assay_arena_alloc(b->arena, sizeof *a);
    *a = (struct attention){.simd = native_simd_of(b->isa)};
    if (!describe(b, a) || !takes_mask(b, a) || native_is_given(b, 6) || is_made(b, 3) ||
        assay_node_float(b->node, "softcap", 0) != 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "this form of it is not taken");
    if (!find_caches(b, a))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its past is no state that only it reads");
    divide(a, b->n_threads);
    a->is_low = a->dtype == ASSAY_BF16 && b->isa >= NATIVE_ISA_AVX512_BF16 && !a->keys && a->dim % 2 == 0 && a->dim <= KEYS &&
                a->value_dim % LANES == 0;
    a->scratch_bytes = scratch_of(a);
    for (int k = 0; k < b->n_inputs; k++)
        b->in_layouts[k] = NATIVE_PLAIN;
    b->kernel.name = a->keys ? "attention, cached" : "attention";
    b->kernel.run_whole = run;
    b->kernel.scratch_bytes = a->scratch_bytes;
    b->kernel.data = a;
    return ASSAY_OK;
}

const struct native_maker native_makers_attention[] = {
    {"Attention", "", make, .dynamic = true},
    {NULL, NULL, NULL},
};
