/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MatMul of two variable sides, [.., m, k] · [.., k, n], whose leading dimensions broadcast. Small matrices of f32 are
 * multiplied where they lie by the vector loops of simd/ (larger ones: native_product.c), bf16 by oneDNN. Threads share the
 * matrices, and their rows where these are few.
 */
#include "runtime/native/dnnl.h"
#include "runtime/native/simd/simd.h"

#include <string.h>

/* A right side up to this size stays in the second level's cache while rows meet it. */
enum { SMALL_BYTES = 1 << 18, ROWS_WORTH = 16 };

struct piece {
    struct native_dnnl_part whole, rest; /* of block_rows rows, and of what is left of m; no primitive = no such */
};

struct matmul {
    int64_t m, k, n, size; /* size: of an element */
    int64_t n_matrices, block_rows, n_blocks;
    int64_t *a_at, *b_at;           /* [n_matrices]: where their sides begin, in elements */
    const struct native_simd *simd; /* NULL = oneDNN */
    struct piece *pieces;           /* [n_pieces], one a part */
    int n_pieces;
    dnnl_primitive_t whole, rest;
};

static void multiply_dnnl(const struct matmul *s, struct piece *piece, int64_t rows, char *y, const char *a, const char *b,
                          unsigned char *scratch)
{
    struct native_dnnl_part *part = rows == s->block_rows ? &piece->whole : &piece->rest;
    native_dnnl_set(part, 0, a);
    native_dnnl_set(part, 1, b);
    native_dnnl_set(part, 2, y);
    native_dnnl_run(part, scratch);
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct matmul *s = args->kernel->data;
    int64_t begin, end;
    native_share(s->n_matrices * s->n_blocks, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t matrix = i / s->n_blocks, row = i % s->n_blocks * s->block_rows;
        int64_t rows = s->m - row < s->block_rows ? s->m - row : s->block_rows;
        const char *a = (const char *)args->in[0]->data + (s->a_at[matrix] + row * s->k) * s->size;
        const char *b = (const char *)args->in[1]->data + s->b_at[matrix] * s->size;
        char *y = (char *)args->out[0]->data + (matrix * s->m + row) * s->n * s->size;
        if (s->simd)
            s->simd->gemm((float *)(void *)y, s->n, (const float *)(const void *)a, s->k, (const float *)(const void *)b, s->n,
                          rows, s->n, s->k, false);
        else
            multiply_dnnl(s, &s->pieces[part], rows, y, a, b, scratch);
    }
}

static void release(void *data)
{
    struct matmul *s = data;
    for (int i = 0; s->pieces && i < s->n_pieces; i++) {
        native_dnnl_release(&s->pieces[i].whole);
        native_dnnl_release(&s->pieces[i].rest);
    }
    dnnl_primitive_destroy(s->whole);
    dnnl_primitive_destroy(s->rest);
}

/* ---- oneDNN */

static dnnl_status_t describe(int64_t m, int64_t n, int64_t k, dnnl_data_type_t type, dnnl_primitive_desc_t *result)
{
    dnnl_memory_desc_t a, b, y, none;
    dnnl_matmul_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    native_dnnl_matrix(&a, m, k, type, k, 1);
    native_dnnl_matrix(&b, k, n, type, n, 1);
    native_dnnl_matrix(&y, m, n, type, n, 1);
    memset(&none, 0, sizeof none);
    dnnl_status_t st = dnnl_matmul_desc_init(&desc, &a, &b, &none, &y);
    if (!st)
        st = dnnl_primitive_attr_create(&attr);
    if (!st)
        st = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (!st)
        st = dnnl_primitive_desc_create(result, &desc, attr, native_dnnl_engine(), NULL);
    dnnl_primitive_attr_destroy(attr);
    return st;
}

/* The primitive for that many rows, and the memory of each part for it. */
static bool open_primitive(struct native_build *b, struct matmul *s, int64_t rows, dnnl_data_type_t type, bool is_rest,
                           int n_parts)
{
    dnnl_primitive_desc_t desc = NULL;
    if (describe(rows, s->n, s->k, type, &desc))
        return false;
    dnnl_primitive_t *primitive = is_rest ? &s->rest : &s->whole;
    bool made = !native_dnnl_is_reference(desc) && dnnl_primitive_create(primitive, desc) == dnnl_success;
    for (int i = 0; made && i < n_parts; i++) {
        struct native_dnnl_part *part = is_rest ? &s->pieces[i].rest : &s->pieces[i].whole;
        part->primitive = *primitive;
        native_dnnl_add(part, DNNL_ARG_SRC, dnnl_primitive_desc_query_md(desc, dnnl_query_src_md, 0), NULL);
        native_dnnl_add(part, DNNL_ARG_WEIGHTS, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0), NULL);
        native_dnnl_add(part, DNNL_ARG_DST, dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0), NULL);
        int64_t scratch = native_dnnl_scratch(desc, part);
        b->kernel.scratch_bytes = scratch > b->kernel.scratch_bytes ? scratch : b->kernel.scratch_bytes;
    }
    if (made)
        b->kernel.name = assay_arena_printf(b->arena, "oneDNN matmul %s, batched", native_dnnl_info(desc));
    dnnl_primitive_desc_destroy(desc);
    return made;
}

static bool open_primitives(struct native_build *b, struct matmul *s, dnnl_data_type_t type, int n_parts)
{
    int64_t rest = s->m % s->block_rows;
    s->pieces = assay_arena_array(b->arena, (size_t)n_parts, sizeof *s->pieces);
    s->n_pieces = n_parts;
    return open_primitive(b, s, s->block_rows, type, false, n_parts) &&
           (rest == 0 || open_primitive(b, s, rest, type, true, n_parts));
}

/* ---- the op */

/* Where the matrices of a side of that type begin, for each of the result's. */
static int64_t *list_matrices(struct native_build *b, const struct assay_type *side, int64_t n)
{
    const struct assay_type *y = &b->outputs[0];
    int64_t *at = assay_arena_array(b->arena, (size_t)n, sizeof *at);
    for (int64_t i = 0; i < n; i++) {
        int64_t left = i, step = side->dims[side->rank - 1] * side->dims[side->rank - 2];
        for (int d = y->rank - 3; d >= 0; d--) {
            int own = d - (y->rank - side->rank);
            int64_t index = left % y->dims[d];
            left /= y->dims[d];
            if (own < 0)
                continue;
            at[i] += side->dims[own] == 1 ? 0 : index * step;
            step *= side->dims[own];
        }
    }
    return at;
}

static void divide(struct matmul *s, int n_threads)
{
    int64_t wanted = (2 * (int64_t)n_threads + s->n_matrices - 1) / s->n_matrices;
    wanted = n_threads == 1 || s->m < 2 * ROWS_WORTH ? 1 : wanted;
    s->block_rows = (s->m + wanted - 1) / wanted;
    s->block_rows = s->block_rows < ROWS_WORTH && s->m > ROWS_WORTH ? ROWS_WORTH : s->block_rows;
    s->n_blocks = (s->m + s->block_rows - 1) / s->block_rows;
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *l = &b->inputs[0], *r = &b->inputs[1], *y = &b->outputs[0];
    if ((l->dtype != ASSAY_F32 && l->dtype != ASSAY_BF16) || r->dtype != l->dtype || y->dtype != l->dtype || l->rank < 2 ||
        r->rank < 2 || assay_type_count(y) < 1 || l->dims[l->rank - 1] < 1)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its types are not taken");
    struct matmul *s = assay_arena_alloc(b->arena, sizeof *s);
    *s = (struct matmul){.m = l->dims[l->rank - 2], .k = l->dims[l->rank - 1], .n = r->dims[r->rank - 1]};
    s->size = l->dtype == ASSAY_F32 ? 4 : 2;
    s->n_matrices = assay_type_count(y) / (s->m * s->n);
    if (assay_type_count(r) == s->k * s->n && assay_type_count(l) == s->n_matrices * s->m * s->k) { /* all rows meet one matrix */
        s->m *= s->n_matrices;
        s->n_matrices = 1;
        s->a_at = s->b_at = assay_arena_array(b->arena, 1, sizeof *s->a_at);
    } else {
        s->a_at = list_matrices(b, l, s->n_matrices);
        s->b_at = list_matrices(b, r, s->n_matrices);
    }
    divide(s, b->n_threads);
    int64_t jobs = s->n_matrices * s->n_blocks, most = native_parts(2 * s->m * s->k * s->n * s->n_matrices / 4, 2 * b->n_threads);
    int n_parts = (int)(jobs < most ? jobs : most);
    if (s->size == 4 && s->k * s->n * s->size <= SMALL_BYTES) {
        s->simd = native_simd_of(b->isa);
        b->kernel.name = "matmul in cache";
    } else if (s->size == 4) {
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its right side does not stay in cache");
    } else if (!open_primitives(b, s, native_dnnl_type(l->dtype), n_parts)) {
        release(s);
        return assay_error_set(err, ASSAY_UNSUPPORTED, "oneDNN has no such product");
    }
    b->in_layouts[0] = b->in_layouts[1] = NATIVE_PLAIN;
    b->kernel.run = run;
    b->kernel.n_parts = n_parts;
    b->kernel.data = s;
    b->kernel.release = release;
    return ASSAY_OK;
}

const struct native_maker native_makers_matmul[] = {
    {"MatMul", "", make, false},
    {NULL, NULL, NULL, false},
};
