/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products with a constant weight: MatMul, Gemm and assay.Linear, y = activation(x W + bias + residual), on oneDNN's matmul.
 *
 * The weight is packed once, in panels of 64 columns where oneDNN likes them, so that any range of whole panels is a weight of
 * its own: threads share the columns, or the rows of x, whichever makes them read less.
 */
#include "runtime/native/kernels/conv.h"
#include "runtime/native/kernels/gemv.h"
#include "runtime/native/simd/simd.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What is asked for, whatever op asks. */
struct product {
    int64_t m, k, n;
    int x, weight, bias, residual; /* inputs; -1 = none */
    bool transposed;               /* the weight is [n, k] */
    const float *bias_data;        /* [n]; NULL = none */
    dnnl_data_type_t type, weight_type, out_type;
    struct native_activation activation;
};

struct piece {
    struct native_dnnl_part part;
    int64_t x_offset, y_offset; /* bytes */
    int x, y, residual;         /* places among the arguments; -1 = none */
    int64_t rows, row_bytes;    /* of its columns of y; row_bytes 0 = they lie together already */
    int64_t scratch_bytes;      /* of the primitive */
};

struct linear {
    struct product p;
    int n_pieces, n_primitives;
    struct piece *pieces;
    dnnl_primitive_t *primitives; /* [n_primitives], one a piece: oneDNN's cache shares what is equal */
};

static void copy_rows(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t rows, int64_t row_bytes)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(to + i * to_stride, from + i * from_stride, (size_t)row_bytes);
}

/* oneDNN wants a matrix without gaps: columns of y that are not all of them are made beside it, then put in their places. */
static void run_columns(const struct linear *l, struct piece *piece, char *y, const char *residual, unsigned char *scratch)
{
    int64_t stride = l->p.n * (int64_t)dnnl_data_type_size(l->p.out_type), size = piece->rows * piece->row_bytes;
    char *made = (char *)scratch + piece->scratch_bytes, *added = made + native_aligned(size);
    native_dnnl_set(&piece->part, piece->y, made);
    if (residual) {
        copy_rows(added, piece->row_bytes, residual, stride, piece->rows, piece->row_bytes);
        native_dnnl_set(&piece->part, piece->residual, added);
    }
    native_dnnl_run(&piece->part, scratch);
    copy_rows(y, stride, made, piece->row_bytes, piece->rows, piece->row_bytes);
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct linear *l = args->kernel->data;
    struct piece *piece = &l->pieces[part];
    char *y = (char *)args->out[0]->data + piece->y_offset;
    const char *residual = piece->residual >= 0 ? (const char *)args->in[l->p.residual]->data + piece->y_offset : NULL;
    native_dnnl_set(&piece->part, piece->x, (const char *)args->in[l->p.x]->data + piece->x_offset);
    if (piece->row_bytes) {
        run_columns(l, piece, y, residual, scratch);
        return;
    }
    native_dnnl_set(&piece->part, piece->y, y);
    if (residual)
        native_dnnl_set(&piece->part, piece->residual, residual);
    native_dnnl_run(&piece->part, scratch);
}

static void release(void *data)
{
    struct linear *l = data;
    for (int i = 0; i < l->n_pieces; i++)
        native_dnnl_release(&l->pieces[i].part);
    for (int i = 0; i < l->n_primitives; i++)
        dnnl_primitive_destroy(l->primitives[i]);
}

/* ---- descriptors */

/* m × n of the whole product; weights as `weight`, or as oneDNN likes them if NULL. */
static dnnl_status_t describe(const struct product *p, int64_t m, int64_t n, const dnnl_memory_desc_t *weight,
                              dnnl_primitive_desc_t *result)
{
    dnnl_memory_desc_t x, w, y, bias, none;
    dnnl_dims_t dims = {p->k, n};
    native_dnnl_matrix(&x, m, p->k, p->type, p->k, 1);
    native_dnnl_matrix(&y, m, n, p->out_type, n, 1);
    native_dnnl_matrix(&bias, 1, n, dnnl_f32, n, 1);
    memset(&none, 0, sizeof none);
    if (weight)
        w = *weight;
    else
        dnnl_memory_desc_init_by_tag(&w, 2, dims, p->weight_type, dnnl_format_tag_any);
    dnnl_matmul_desc_t desc;
    dnnl_status_t st = dnnl_matmul_desc_init(&desc, &x, &w, p->bias >= 0 ? &bias : &none, &y);
    if (st)
        return st;
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t post;
    if (dnnl_primitive_attr_create(&attr))
        return dnnl_out_of_memory;
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (dnnl_post_ops_create(&post)) {
        dnnl_primitive_attr_destroy(attr);
        return dnnl_out_of_memory;
    }
    if (p->residual >= 0)
        st = dnnl_post_ops_append_binary(post, dnnl_binary_add, &y);
    if (!st && p->activation.kind != dnnl_alg_kind_undef)
        st = dnnl_post_ops_append_eltwise(post, 1, p->activation.kind, p->activation.alpha, p->activation.beta);
    if (!st)
        st = dnnl_primitive_attr_set_post_ops(attr, post);
    if (!st)
        st = dnnl_primitive_desc_create(result, &desc, attr, native_dnnl_engine(), NULL);
    dnnl_post_ops_destroy(post);
    dnnl_primitive_attr_destroy(attr);
    return st;
}

static const dnnl_memory_desc_t *weights_of(const_dnnl_primitive_desc_t desc)
{
    return dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
}

/* ---- the weight */

/* Elements between two ranges of columns that begin `columns` apart, which must be whole panels; -1 if the form has none. */
static int64_t columns_offset(const dnnl_memory_desc_t *w, int64_t columns)
{
    const dnnl_blocking_desc_t *b = &w->format_desc.blocking;
    if (w->format_kind != dnnl_blocked)
        return -1;
    if (b->inner_nblks == 0)
        return b->strides[1] * columns;
    int64_t panel = 1;
    for (int i = 0; i < b->inner_nblks; i++)
        panel *= b->inner_idxs[i] == 1 ? b->inner_blks[i] : 1;
    return columns % panel == 0 ? b->strides[1] * (columns / panel) : -1;
}

/* The first n columns of a packed weight, as a weight of their own. */
static void narrow(dnnl_memory_desc_t *w, int64_t n)
{
    const dnnl_blocking_desc_t *b = &w->format_desc.blocking;
    int64_t panel = 1;
    for (int i = 0; i < b->inner_nblks; i++)
        panel *= b->inner_idxs[i] == 1 ? b->inner_blks[i] : 1;
    w->dims[1] = n;
    w->padded_dims[1] = (n + panel - 1) / panel * panel;
}

static enum assay_status pack(struct native_build *b, const struct product *p, const dnnl_memory_desc_t *w, const void **packed,
                              struct assay_error *err)
{
    char key[160];
    const dnnl_blocking_desc_t *form = &w->format_desc.blocking;
    int n = snprintf(key, sizeof key, "linear%d %d %lld %lld", p->transposed, (int)w->data_type, (long long)form->strides[0],
                     (long long)form->strides[1]);
    for (int i = 0; i < form->inner_nblks; i++)
        n += snprintf(key + n, sizeof key - (size_t)n, " %d:%d", (int)form->inner_blks[i], (int)form->inner_idxs[i]);
    *packed = native_pack_find(b, p->weight, key);
    if (*packed)
        return ASSAY_OK;
    void *bytes = native_pack_add(b, p->weight, key, (int64_t)dnnl_memory_desc_get_size(w));
    if (!bytes)
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
    dnnl_memory_desc_t plain;
    native_dnnl_matrix(&plain, p->k, p->n, p->weight_type, p->transposed ? 1 : p->n, p->transposed ? p->k : 1);
    *packed = bytes;
    return native_dnnl_pack(&plain, b->constants[p->weight]->data, w, bytes, err);
}

/* ---- pieces */

enum { PAIRS_PANEL = 64 }; /* columns of a panel of bf16 (gemv.h) */

/* Columns are worth sharing where the weight is what is read; with many rows copying them costs more. */
enum { MAX_COPIED_ROWS = 32 };

/* Threads over rows × over columns, so that what a thread reads (its rows of x, its columns of the weight) is least. */
static void divide(const struct product *p, int n_threads, int *n_rows, int *n_columns)
{
    double best = INFINITY, work = 2.0 * (double)p->m * (double)p->k * (double)p->n;
    int most = work < 2e5 ? 1 : n_threads; /* some microseconds */
    *n_rows = *n_columns = 1;
    for (int rows = 1; rows <= most; rows++) {
        int columns = most / rows;
        if (p->m < 4 * rows && rows > 1)
            break;
        while (columns > 1 && (p->n < 64 * columns || p->m / rows > MAX_COPIED_ROWS))
            columns--;
        double reads = (double)p->k * ((double)p->m / rows + (double)p->n / columns);
        double waste = (double)most / (rows * columns);
        if (reads * waste < best) {
            best = reads * waste;
            *n_rows = rows;
            *n_columns = columns;
        }
    }
}

static enum assay_status fail(struct assay_error *err, dnnl_status_t st)
{
    return assay_error_set(err, ASSAY_UNSUPPORTED, "oneDNN has no such product (status %d)", (int)st);
}

static enum assay_status add_piece(struct native_build *b, struct linear *l, struct piece *piece, const dnnl_memory_desc_t *whole,
                                   const void *packed, int64_t row, int64_t rows, int64_t column, int64_t columns,
                                   struct assay_error *err)
{
    const struct product *p = &l->p;
    dnnl_memory_desc_t w = *whole;
    dnnl_primitive_desc_t desc = NULL;
    narrow(&w, columns);
    dnnl_status_t st = describe(p, rows, columns, &w, &desc);
    if (st)
        return fail(err, st);
    dnnl_primitive_t primitive = NULL;
    if (native_dnnl_is_reference(desc))
        st = dnnl_unimplemented;
    else
        st = dnnl_primitive_create(&primitive, desc);
    if (!st) {
        piece->part.primitive = primitive;
        l->primitives[l->n_primitives++] = primitive;
        int64_t size = (int64_t)dnnl_data_type_size(p->type), out_size = (int64_t)dnnl_data_type_size(p->out_type);
        const char *weights = (const char *)packed + columns_offset(whole, column) * (int64_t)dnnl_data_type_size(w.data_type);
        piece->x_offset = row * p->k * size;
        piece->y_offset = (row * p->n + column) * out_size;
        piece->x = piece->part.n_args;
        native_dnnl_add(&piece->part, DNNL_ARG_SRC, dnnl_primitive_desc_query_md(desc, dnnl_query_src_md, 0), NULL);
        native_dnnl_add(&piece->part, DNNL_ARG_WEIGHTS, &w, weights);
        piece->y = piece->part.n_args;
        native_dnnl_add(&piece->part, DNNL_ARG_DST, dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0), NULL);
        if (p->bias >= 0)
            native_dnnl_add(&piece->part, DNNL_ARG_BIAS, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 1),
                            p->bias_data + column);
        piece->residual = -1;
        if (p->residual >= 0) {
            piece->residual = piece->part.n_args;
            native_dnnl_add(&piece->part, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
                            dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0), NULL);
        }
        piece->scratch_bytes = native_dnnl_scratch(desc, &piece->part);
        piece->rows = rows;
        piece->row_bytes = rows > 1 && columns < p->n ? columns * out_size : 0;
        int64_t scratch = piece->scratch_bytes + 2 * native_aligned(piece->rows * piece->row_bytes);
        if (scratch > b->kernel.scratch_bytes)
            b->kernel.scratch_bytes = scratch;
        b->kernel.name = assay_arena_printf(b->arena, "oneDNN matmul %s", native_dnnl_info(desc));
    }
    dnnl_primitive_desc_destroy(desc);
    return st ? fail(err, st) : ASSAY_OK;
}

/* Whether few rows meet a weight that lies as kernels/gemv.h wants it: in panels, or below AVX-512, and of one row, as it is. */
static bool suits_gemv(const struct native_build *b, const struct product *p, const dnnl_memory_desc_t *w)
{
    const dnnl_blocking_desc_t *form = &w->format_desc.blocking;
    bool is_bf16 = p->type == dnnl_bf16;
    if (p->m > (is_bf16 ? NATIVE_GEMV_BF16_ROWS : NATIVE_GEMV_ROWS) || w->format_kind != dnnl_blocked)
        return false;
    if (b->isa < NATIVE_ISA_AVX512)
        return !is_bf16 && p->m == 1 && form->inner_nblks == 0 && form->strides[0] == p->n && form->strides[1] == 1;
    return form->inner_nblks == (is_bf16 ? 3 : 2) && form->inner_idxs[0] == 0 && form->inner_idxs[1] == 1 &&
           form->inner_blks[1] == 64 && (!is_bf16 || (form->inner_idxs[2] == 0 && form->inner_blks[2] == 2)) &&
           form->strides[0] == form->inner_blks[0] * 64 * (is_bf16 ? 2 : 1);
}

static void make_gemv(struct native_build *b, const struct product *p, const void *packed, int64_t panel_step)
{
    native_gemv_make(b, &(struct native_gemv){.m = p->m,
                                              .k = p->k,
                                              .n = p->n,
                                              .is_bf16 = p->type == dnnl_bf16,
                                              .x = p->x,
                                              .residual = p->residual,
                                              .panels = packed,
                                              .panel_step = panel_step,
                                              .bias = p->bias_data,
                                              .activation = p->activation.kind,
                                              .alpha = p->activation.alpha,
                                              .beta = p->activation.beta});
}

static void pack_pairs(const struct product *p, const uint16_t *from, uint16_t *to)
{
    int64_t pairs = (p->k + 1) / 2, by_row = p->transposed ? 1 : p->n, by_column = p->transposed ? p->k : 1;
    for (int64_t column = 0; column < p->n; column += PAIRS_PANEL)
        for (int64_t row = 0; row < 2 * pairs; row += 2, to += 2 * PAIRS_PANEL)
            for (int64_t j = 0; j < 2 * PAIRS_PANEL; j++) {
                int64_t r = row + j % 2, c = column + j / 2;
                to[j] = r < p->k && c < p->n ? from[r * by_row + c * by_column] : 0;
            }
}

/* Below AVX-512 oneDNN has no product of bf16. */
static enum assay_status make_pairs(struct native_build *b, const struct product *p, struct assay_error *err)
{
    int64_t step = (p->k + 1) / 2 * 2 * PAIRS_PANEL, panels = (p->n + PAIRS_PANEL - 1) / PAIRS_PANEL;
    const char *key = p->transposed ? "pairs of columns" : "pairs of rows";
    const void *packed = native_pack_find(b, p->weight, key);
    if (!packed) {
        uint16_t *to = native_pack_add(b, p->weight, key, panels * step * (int64_t)sizeof *to);
        if (!to)
            return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
        pack_pairs(p, b->constants[p->weight]->data, to);
        packed = to;
    }
    make_gemv(b, p, packed, step);
    return ASSAY_OK;
}

static void forget_constants(struct native_build *b, const struct product *p)
{
    b->unneeded[p->weight] = true;
    if (p->bias >= 0)
        b->unneeded[p->bias] = true;
}

static enum assay_status make(struct native_build *b, const struct product *p, struct assay_error *err)
{
    int n_rows, n_columns;
    dnnl_primitive_desc_t desc = NULL;
    if (p->m < 1 || p->k < 1 || p->n < 1)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "it is empty");
    if (p->type == dnnl_bf16 && b->isa < NATIVE_ISA_AVX512) {
        enum assay_status made = make_pairs(b, p, err);
        if (!made)
            forget_constants(b, p);
        return made;
    }
    dnnl_status_t st = describe(p, p->m, p->n, NULL, &desc);
    if (st)
        return fail(err, st);
    dnnl_memory_desc_t w = *weights_of(desc);
    dnnl_primitive_desc_destroy(desc);
    divide(p, b->n_threads, &n_rows, &n_columns);
    if (columns_offset(&w, 64) < 0)
        n_columns = 1;
    const void *packed;
    enum assay_status status = pack(b, p, &w, &packed, err);
    if (!status && suits_gemv(b, p, &w)) {
        make_gemv(b, p, packed, w.format_desc.blocking.inner_nblks ? w.format_desc.blocking.strides[1] : 0);
        forget_constants(b, p);
        return ASSAY_OK;
    }
    struct linear *l = assay_arena_alloc(b->arena, sizeof *l);
    *l = (struct linear){.p = *p};
    l->pieces = assay_arena_array(b->arena, (size_t)(n_rows * n_columns), sizeof *l->pieces);
    l->primitives = assay_arena_array(b->arena, (size_t)(n_rows * n_columns), sizeof *l->primitives);
    for (int i = 0; i < n_rows && !status; i++)
        for (int j = 0; j < n_columns && !status; j++) {
            int64_t row, row_end, column, column_end;
            native_share(p->m, 1, i, n_rows, &row, &row_end);
            native_share(p->n, 64, j, n_columns, &column, &column_end);
            status = add_piece(b, l, &l->pieces[l->n_pieces++], &w, packed, row, row_end - row, column, column_end - column, err);
        }
    if (status) {
        release(l);
        return status;
    }
    forget_constants(b, p);
    b->kernel.run = run;
    b->kernel.n_parts = l->n_pieces;
    b->kernel.data = l;
    b->kernel.release = release;
    return ASSAY_OK;
}

/* ---- ops */

static void want_plain(struct native_build *b)
{
    for (int k = 0; k < b->n_inputs; k++)
        b->in_layouts[k] = NATIVE_PLAIN;
}

/* The bias as f32, which oneDNN adds before it rounds. */
static bool take_bias(struct native_build *b, struct product *p)
{
    const struct assay_tensor *bias = b->constants[p->bias];
    if (!bias || assay_tensor_count(bias) != p->n)
        return false;
    if (bias->type.dtype == ASSAY_F32) {
        p->bias_data = bias->data;
        return true;
    }
    if (bias->type.dtype != ASSAY_BF16)
        return false;
    float *wide = assay_arena_array(b->arena, (size_t)p->n, sizeof *wide);
    native_simd_of(b->isa)->from_bf16(wide, bias->data, p->n);
    p->bias_data = wide;
    return true;
}

/* x [.., k], weight [k, n] or [n, k] constant, bias [n] constant. */
static enum assay_status describe_op(struct native_build *b, struct product *p, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[p->x], *w = &b->inputs[p->weight], *y = &b->outputs[0];
    if (!b->constants[p->weight] || w->rank != 2 || x->rank < 1)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its right side is no constant matrix");
    p->k = w->dims[p->transposed ? 1 : 0];
    p->n = w->dims[p->transposed ? 0 : 1];
    if (x->dims[x->rank - 1] != p->k || p->k < 1)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its sides do not fit");
    p->m = assay_type_count(x) / p->k;
    p->type = native_dnnl_type(x->dtype);
    p->weight_type = native_dnnl_type(w->dtype);
    p->out_type = native_dnnl_type(y->dtype);
    if ((x->dtype != ASSAY_F32 && x->dtype != ASSAY_BF16) || w->dtype != x->dtype || y->dtype != x->dtype)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its types are not f32 or bf16");
    if (p->bias >= 0 && !take_bias(b, p))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its bias is no constant vector of its dtype");
    want_plain(b);
    return ASSAY_OK;
}

static enum assay_status make_matmul(struct native_build *b, struct assay_error *err)
{
    struct product p = {.x = 0, .weight = 1, .bias = -1, .residual = -1};
    enum assay_status st = describe_op(b, &p, err);
    return st ? st : make(b, &p, err);
}

static enum assay_status make_gemm(struct native_build *b, struct assay_error *err)
{
    const struct assay_node *node = b->node;
    struct product p = {.x = 0, .weight = 1, .bias = -1, .residual = -1};
    bool biased = native_is_given(b, 2);
    if (assay_node_int(node, "transA", 0) || assay_node_float(node, "alpha", 1) != 1 ||
        (biased && assay_node_float(node, "beta", 1) != 1))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "transA, alpha and beta are not taken");
    p.transposed = assay_node_int(node, "transB", 0) != 0;
    p.bias = biased ? 2 : -1;
    enum assay_status st = describe_op(b, &p, err);
    return st ? st : make(b, &p, err);
}

static enum assay_status make_linear(struct native_build *b, struct assay_error *err)
{
    const struct assay_node *node = b->node;
    struct product p = {.x = 0, .weight = 1, .bias = -1, .residual = -1};
    if (!native_activation_find(node, &p.activation))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its activation is not taken");
    p.transposed = assay_node_int(node, "trans_weight", 0) != 0;
    p.bias = native_is_given(b, 2) ? 2 : -1;
    p.residual = native_is_given(b, 3) ? 3 : -1;
    enum assay_status st = describe_op(b, &p, err);
    const struct assay_type *y = &b->outputs[0];
    if (!st && p.residual >= 0 && (!assay_type_equal(&b->inputs[p.residual], y) || assay_type_count(y) != p.m * p.n))
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "its residual has another shape than its product");
    return st ? st : make(b, &p, err);
}

const struct native_maker native_makers_linear[] = {
    {"Linear", "assay", make_linear},
    {"MatMul", "", make_matmul},
    {"Gemm", "", make_gemm},
    {NULL, NULL, NULL},
};
