/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of 8-bit integers with a constant matrix: assay.QuantizedLinear, QLinearMatMul, MatMulInteger.
 *
 * The sums are exact on every tier: oneDNN's u8 · s8 where the CPU has VNNI, which does not saturate in the middle, else 16-bit
 * products of ours. Zero points are taken out of the sums afterwards, by the sums of the weight's columns and of a's rows:
 *     Σ (a - za)(w - zw) = Σ a w - za Σ w - zw Σ a + k za zw.
 * Signed a and unsigned w are moved by 128, and their zero points with them.
 */
#include "runtime/native/dnnl.h"
#include "runtime/native/simd/simd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64 /* rows whose sums are made at a time */, COLUMNS = 512, PANEL = 64, MAX_K = 1 << 15 };

/* What is asked for; places of inputs, -1 = none. */
struct form {
    int a, a_scale, a_zero, w, w_scale, w_zero, bias, y_scale, y_zero;
    bool transposed;
};

struct piece {
    struct native_dnnl_part whole, rest; /* of CHUNK rows, and of those that are left; primitive NULL = none */
    int64_t row, rows, column, columns;
    const unsigned char *weight; /* its columns, packed */
};

struct state {
    struct form f;
    const struct native_simd *simd;
    enum assay_dtype a_type, y_type;
    int64_t m, k, n;
    bool by_library, has_w_zero;
    int32_t a_shift;        /* what is added to a to make it u8 */
    int32_t a_zero, y_zero; /* of the numbers as shifted; a_zero of constants */
    bool a_zero_varies, a_scale_varies;
    const int32_t *column_sums, *w_zero; /* [n] */
    const float *factor;                 /* [n]: of sums to the output, without a's scale if that varies */
    const float *bias;                   /* [n] in units of the output's codes, or NULL */
    int64_t sums_bytes, a_bytes, library_bytes;
    struct piece *pieces;
    int n_pieces;
};

/* ---- run */

static int64_t even(int64_t n) { return (n + 1) / 2 * 2; }

static void make_unsigned(unsigned char *to, const unsigned char *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = from[i] ^ 0x80;
}

/* Between rows of the sums. */
static int64_t distance(const struct state *s, const struct piece *p)
{
    return s->by_library ? p->columns : native_pairs_columns(p->columns);
}

/* sums [rows, distance] of a's rows with the piece's columns. */
static void multiply(const struct state *s, const struct piece *p, const unsigned char *a, int64_t rows, int32_t *sums,
                     unsigned char *more)
{
    if (s->by_library) {
        struct native_dnnl_part part = rows == CHUNK ? p->whole : p->rest;
        unsigned char *scratch = more + s->a_bytes;
        if (s->a_shift) {
            make_unsigned(more, a, rows * s->k);
            a = more;
        }
        native_dnnl_set(&part, 0, a);
        native_dnnl_set(&part, 2, sums);
        native_dnnl_run(&part, scratch);
        return;
    }
    int16_t *wide = (int16_t *)(void *)more;
    int64_t k = even(s->k);
    for (int64_t i = 0; i < rows; i++) {
        if (s->a_type == ASSAY_U8)
            s->simd->widen_u8(wide + i * k, a + i * s->k, s->k);
        else
            s->simd->widen_i8(wide + i * k, (const int8_t *)a + i * s->k, s->k);
        if (k > s->k)
            wide[i * k + s->k] = 0;
    }
    s->simd->product_i16(sums, distance(s, p), wide, k, (const int16_t *)(const void *)p->weight, rows, p->columns, k);
}

static int64_t sum_row(const struct state *s, const unsigned char *a)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < s->k; i++)
        sum += s->a_type == ASSAY_U8 ? a[i] : (int64_t)(int8_t)a[i] + s->a_shift;
    return sum;
}

/* What is added to each sum of a row. */
static void make_addends(const struct state *s, const struct piece *p, const unsigned char *a, int32_t a_zero, int32_t *add)
{
    int64_t excess = s->has_w_zero ? sum_row(s, a) - s->k * a_zero : 0;
    for (int64_t j = 0; j < p->columns; j++) {
        int64_t column = p->column + j, value = -(int64_t)a_zero * s->column_sums[column];
        if (s->has_w_zero)
            value -= excess * s->w_zero[column];
        add[j] = (int32_t)(uint32_t)value;
    }
}

/* Where f32 numbers are made before they are quantized, as with a bias, they take the place of the sums. */
static void finish_row(const struct state *s, const struct piece *p, int32_t *sums, const int32_t *add, const float *factor,
                       void *y)
{
    int64_t n = p->columns;
    if (s->y_type == ASSAY_I32) {
        for (int64_t j = 0; j < n; j++)
            ((int32_t *)y)[j] = (int32_t)((uint32_t)sums[j] + (uint32_t)add[j]);
        return;
    }
    if (s->y_type == ASSAY_U8 && !s->bias) {
        s->simd->requantize_u8(y, sums, factor, add, s->y_zero, n);
        return;
    }
    if (s->y_type == ASSAY_I8 && !s->bias) {
        s->simd->requantize_i8(y, sums, factor, add, s->y_zero, n);
        return;
    }
    float *made = s->y_type == ASSAY_F32 ? y : (float *)(void *)sums;
    s->simd->scale_sums(made, sums, factor, add, n);
    for (int64_t j = 0; s->bias && j < n; j++)
        made[j] += s->bias[p->column + j];
    if (s->y_type == ASSAY_U8)
        s->simd->quantize_u8(y, made, 1, s->y_zero, n);
    else if (s->y_type == ASSAY_I8)
        s->simd->quantize_i8(y, made, 1, s->y_zero, n);
}

static int32_t number_of(const struct assay_tensor *t)
{
    return t->type.dtype == ASSAY_U8 ? *(const uint8_t *)t->data : *(const int8_t *)t->data;
}

/* The columns of a piece from `from` on whose sums are made at a time: of ours so many as stay in a cache until they are read. */
static struct piece cut(const struct state *s, const struct piece *p, int64_t from)
{
    struct piece block = *p;
    if (s->by_library)
        return block;
    block.column += from;
    block.columns = p->columns - from < COLUMNS ? p->columns - from : COLUMNS;
    block.weight += from * even(s->k) * (int64_t)sizeof(int16_t);
    return block;
}

static void make_block(const struct state *s, const struct piece *p, const unsigned char *a, int32_t a_zero, const float *factor,
                       int64_t rows, unsigned char *scratch, unsigned char *more, char *y)
{
    int32_t *sums = (int32_t *)(void *)scratch, *add = (int32_t *)(void *)(scratch + s->sums_bytes);
    multiply(s, p, a, rows, sums, more);
    for (int64_t i = 0; i < rows; i++) {
        if (i == 0 || s->has_w_zero)
            make_addends(s, p, a + i * s->k, a_zero, add);
        finish_row(s, p, sums + i * distance(s, p), add, factor, y + i * s->n * (int64_t)assay_dtype_size(s->y_type));
    }
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct state *s = args->kernel->data;
    const struct piece *p = &s->pieces[part];
    float *scaled = (float *)(void *)(scratch + s->sums_bytes + native_aligned(p->columns * 4));
    unsigned char *more = scratch + s->sums_bytes + 2 * native_aligned(p->columns * 4);
    const float *factor = s->factor ? s->factor + p->column : NULL;
    int32_t a_zero = s->a_zero_varies ? number_of(args->in[s->f.a_zero]) + s->a_shift : s->a_zero;
    if (s->a_scale_varies) {
        float scale = *(const float *)args->in[s->f.a_scale]->data;
        for (int64_t j = 0; j < p->columns; j++)
            scaled[j] = factor[j] * scale;
        factor = scaled;
    }
    int64_t y_size = (int64_t)assay_dtype_size(s->y_type);
    for (int64_t row = p->row; row < p->row + p->rows; row += CHUNK) {
        int64_t rows = p->row + p->rows - row < CHUNK ? p->row + p->rows - row : CHUNK;
        const unsigned char *a = (const unsigned char *)args->in[s->f.a]->data + row * s->k;
        char *y = (char *)args->out[0]->data + (row * s->n + p->column) * y_size;
        for (int64_t from = 0, n; from < p->columns; from += n) {
            struct piece block = cut(s, p, from);
            n = block.columns;
            make_block(s, &block, a, a_zero, factor ? factor + from : NULL, rows, scratch, more, y + from * y_size);
        }
    }
}

static void release(void *data)
{
    struct state *s = data;
    for (int i = 0; i < s->n_pieces; i++) {
        struct native_dnnl_part *parts[] = {&s->pieces[i].whole, &s->pieces[i].rest};
        for (int k = 0; k < 2; k++) {
            native_dnnl_release(parts[k]);
            dnnl_primitive_destroy(parts[k]->primitive);
        }
    }
}

/* ---- the weight */

static int weight_at(const struct assay_tensor *w, int64_t i)
{
    return w->type.dtype == ASSAY_U8 ? ((const uint8_t *)w->data)[i] - 128 : ((const int8_t *)w->data)[i];
}

/* [columns, k] of s8, one column after another. */
static void transpose_columns(const struct state *s, const struct assay_tensor *w, const struct piece *p, int8_t *to)
{
    for (int64_t j = 0; j < p->columns; j++)
        for (int64_t i = 0; i < s->k; i++) {
            int64_t column = p->column + j;
            to[j * s->k + i] = (int8_t)weight_at(w, s->f.transposed ? column * s->k + i : i * s->n + column);
        }
}

static void pair_columns(const struct state *s, const struct assay_tensor *w, const struct piece *p, int16_t *to)
{
    for (int64_t j = 0; j < p->columns; j++)
        for (int64_t i = 0; i < s->k; i++) {
            int64_t column = p->column + j;
            to[native_pairs_place(i, j, even(s->k), p->columns)] =
                (int16_t)weight_at(w, s->f.transposed ? column * s->k + i : i * s->n + column);
        }
}

static void sum_columns(struct state *s, const struct assay_tensor *w, int32_t *sums)
{
    for (int64_t j = 0; j < s->n; j++) {
        int64_t sum = 0;
        for (int64_t i = 0; i < s->k; i++)
            sum += weight_at(w, s->f.transposed ? j * s->k + i : i * s->n + j);
        sums[j] = (int32_t)sum;
    }
    s->column_sums = sums;
}

/* ---- pieces */

/* rows × columns of the sums; weight NULL = as oneDNN likes it. */
static dnnl_status_t describe(const struct state *s, int64_t rows, int64_t columns, const dnnl_memory_desc_t *weight,
                              dnnl_primitive_desc_t *result)
{
    dnnl_memory_desc_t a, w, y;
    dnnl_dims_t dims = {s->k, columns};
    dnnl_matmul_desc_t desc;
    dnnl_primitive_attr_t attr;
    native_dnnl_matrix(&a, rows, s->k, dnnl_u8, s->k, 1);
    native_dnnl_matrix(&y, rows, columns, dnnl_s32, columns, 1);
    if (weight)
        w = *weight;
    else
        dnnl_memory_desc_init_by_tag(&w, 2, dims, dnnl_s8, dnnl_format_tag_any);
    dnnl_status_t st = dnnl_matmul_desc_init(&desc, &a, &w, NULL, &y);
    if (st)
        return st;
    if (dnnl_primitive_attr_create(&attr))
        return dnnl_out_of_memory;
    st = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (!st)
        st = dnnl_primitive_desc_create(result, &desc, attr, native_dnnl_engine(), NULL);
    dnnl_primitive_attr_destroy(attr);
    if (!st && native_dnnl_is_reference(*result)) {
        dnnl_primitive_desc_destroy(*result);
        st = dnnl_unimplemented;
    }
    return st;
}

static dnnl_status_t make_part(struct state *s, const struct piece *p, int64_t rows, const dnnl_memory_desc_t *weight,
                               struct native_dnnl_part *part)
{
    dnnl_primitive_desc_t desc;
    part->scratch = -1;
    if (rows == 0)
        return dnnl_success;
    dnnl_status_t st = describe(s, rows, p->columns, weight, &desc);
    if (st)
        return st;
    st = dnnl_primitive_create(&part->primitive, desc);
    if (!st) {
        native_dnnl_add(part, DNNL_ARG_SRC, dnnl_primitive_desc_query_md(desc, dnnl_query_src_md, 0), NULL);
        native_dnnl_add(part, DNNL_ARG_WEIGHTS, weight, p->weight);
        native_dnnl_add(part, DNNL_ARG_DST, dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0), NULL);
        int64_t bytes = native_dnnl_scratch(desc, part);
        s->library_bytes = s->library_bytes < bytes ? bytes : s->library_bytes;
    }
    dnnl_primitive_desc_destroy(desc);
    return st;
}

static const void *keep_pack(struct native_build *b, const struct state *s, const char *key, int64_t size, bool *is_new)
{
    const void *found = native_pack_find(b, s->f.w, key);
    *is_new = !found;
    return found ? found : native_pack_add(b, s->f.w, key, size);
}

static enum assay_status pack_for_library(struct native_build *b, struct state *s, struct piece *p, struct assay_error *err)
{
    char key[128];
    dnnl_primitive_desc_t desc;
    bool is_new;
    dnnl_status_t st = describe(s, p->rows < CHUNK ? p->rows : CHUNK, p->columns, NULL, &desc);
    if (st)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "oneDNN has no such product (status %d)", (int)st);
    dnnl_memory_desc_t form = *dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0), plain;
    dnnl_primitive_desc_destroy(desc);
    const dnnl_blocking_desc_t *blocks = &form.format_desc.blocking;
    int n = snprintf(key, sizeof key, "quantized%d %lld %lld %lld", s->f.transposed, (long long)p->column,
                     (long long)blocks->strides[0], (long long)blocks->strides[1]);
    for (int i = 0; i < blocks->inner_nblks && n < (int)sizeof key; i++)
        n += snprintf(key + n, sizeof key - (size_t)n, " %d:%d", (int)blocks->inner_blks[i], (int)blocks->inner_idxs[i]);
    p->weight = keep_pack(b, s, key, (int64_t)dnnl_memory_desc_get_size(&form), &is_new);
    if (!p->weight)
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
    if (is_new) {
        int8_t *columns = assay_alloc((size_t)(p->columns * s->k));
        transpose_columns(s, b->constants[s->f.w], p, columns);
        native_dnnl_matrix(&plain, s->k, p->columns, dnnl_s8, 1, s->k);
        enum assay_status status = native_dnnl_pack(&plain, columns, &form, (void *)p->weight, err);
        free(columns);
        if (status)
            return status;
    }
    st = make_part(s, p, p->rows >= CHUNK ? CHUNK : 0, &form, &p->whole);
    if (!st)
        st = make_part(s, p, p->rows % CHUNK, &form, &p->rest);
    return st ? assay_error_set(err, ASSAY_UNSUPPORTED, "oneDNN has no such product (status %d)", (int)st) : ASSAY_OK;
}

static enum assay_status pack_wide(struct native_build *b, struct state *s, struct piece *p, struct assay_error *err)
{
    char key[64];
    bool is_new;
    snprintf(key, sizeof key, "quantized%d pairs %lld+%lld", s->f.transposed, (long long)p->column, (long long)p->columns);
    int64_t size = native_pairs_columns(p->columns) * even(s->k) * (int64_t)sizeof(int16_t);
    p->weight = keep_pack(b, s, key, size, &is_new);
    if (!p->weight)
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
    if (is_new) {
        memset((void *)p->weight, 0, (size_t)size);
        pair_columns(s, b->constants[s->f.w], p, (int16_t *)(void *)p->weight);
    }
    return ASSAY_OK;
}

static enum assay_status make_pieces(struct native_build *b, struct state *s, struct assay_error *err)
{
    int n = (double)s->m * (double)s->k * (double)s->n < 2e5 ? 1 : b->n_threads;
    bool by_columns = s->n >= (int64_t)PANEL * n;
    enum assay_status st = ASSAY_OK;
    if (!by_columns && s->m < 4 * (int64_t)n)
        n = 1;
    s->pieces = assay_arena_array(b->arena, (size_t)n, sizeof *s->pieces);
    for (int i = 0; i < n && !st; i++) {
        struct piece *p = &s->pieces[s->n_pieces++];
        int64_t end;
        native_share(s->m, 1, by_columns ? 0 : i, by_columns ? 1 : n, &p->row, &end);
        p->rows = end - p->row;
        native_share(s->n, PANEL, by_columns ? i : 0, by_columns ? n : 1, &p->column, &end);
        p->columns = end - p->column;
        p->whole.scratch = p->rest.scratch = -1;
        st = s->by_library ? pack_for_library(b, s, p, err) : pack_wide(b, s, p, err);
        struct piece widest = cut(s, p, 0);
        int64_t sums = native_aligned((p->rows < CHUNK ? p->rows : CHUNK) * distance(s, &widest) * 4);
        s->sums_bytes = s->sums_bytes < sums ? sums : s->sums_bytes;
    }
    s->a_bytes = s->by_library ? native_aligned(s->a_shift ? CHUNK * s->k : 0) : native_aligned(CHUNK * even(s->k) * 2);
    b->kernel.scratch_bytes = s->sums_bytes + 2 * native_aligned(s->n * 4) + s->a_bytes + s->library_bytes;
    return st;
}

/* ---- making */

static bool is_single(const struct native_build *b, int in)
{
    return !native_is_given(b, in) || assay_type_count(&b->inputs[in]) == 1;
}

static bool is_constant(const struct native_build *b, int in) { return !native_is_given(b, in) || b->constants[in]; }

static bool is_eight_bit(const struct assay_type *type) { return type->dtype == ASSAY_U8 || type->dtype == ASSAY_I8; }

/* Of one, or of each column: the i-th; `otherwise` where it is not given. */
static double column_number(const struct native_build *b, int in, int64_t i, double otherwise)
{
    if (!native_is_given(b, in))
        return otherwise;
    const struct assay_tensor *t = b->constants[in];
    return assay_tensor_real(t, assay_tensor_count(t) == 1 ? 0 : i);
}

static bool is_of_columns(const struct native_build *b, int in, int64_t n)
{
    return !native_is_given(b, in) || (b->constants[in] && b->inputs[in].rank <= 1 &&
                                       (assay_type_count(&b->inputs[in]) == 1 || assay_type_count(&b->inputs[in]) == n));
}

static bool measure(const struct native_build *b, struct state *s)
{
    const struct form *f = &s->f;
    const struct assay_type *a = &b->inputs[f->a], *w = &b->inputs[f->w], *y = &b->outputs[0];
    if (!b->constants[f->w] || w->rank != 2 || a->rank < 1 || !is_eight_bit(a) || !is_eight_bit(w))
        return false;
    s->k = w->dims[f->transposed ? 1 : 0];
    s->n = w->dims[f->transposed ? 0 : 1];
    if (s->k < 1 || s->k > MAX_K || s->n < 1 || a->dims[a->rank - 1] != s->k)
        return false;
    s->m = assay_type_count(a) / s->k;
    s->a_type = a->dtype;
    s->y_type = y->dtype;
    bool floats =
        !native_is_given(b, f->a_scale) || (b->inputs[f->a_scale].dtype == ASSAY_F32 && b->inputs[f->w_scale].dtype == ASSAY_F32);
    return s->m > 0 && floats && is_single(b, f->a_scale) && is_single(b, f->a_zero) && is_of_columns(b, f->w_scale, s->n) &&
           is_of_columns(b, f->w_zero, s->n) && is_constant(b, f->bias) && is_single(b, f->y_scale) && is_single(b, f->y_zero) &&
           is_constant(b, f->y_scale) && is_constant(b, f->y_zero) &&
           (!native_is_given(b, f->bias) || assay_type_count(&b->inputs[f->bias]) == s->n);
}

/* Zero points, factors and biases, as numbers of each column. */
static void read_numbers(struct native_build *b, struct state *s)
{
    const struct form *f = &s->f;
    int32_t *sums = assay_arena_array(b->arena, (size_t)s->n, sizeof *sums);
    int32_t *zeros = assay_arena_array(b->arena, (size_t)s->n, sizeof *zeros);
    float *factor = assay_arena_array(b->arena, (size_t)s->n, sizeof *factor);
    float *bias = assay_arena_array(b->arena, (size_t)s->n, sizeof *bias);
    sum_columns(s, b->constants[f->w], sums);
    s->a_shift = s->by_library && s->a_type == ASSAY_I8 ? 128 : 0;
    s->a_zero_varies = !is_constant(b, f->a_zero);
    s->a_scale_varies = !is_constant(b, f->a_scale);
    s->a_zero = s->a_shift + (s->a_zero_varies ? 0 : (int32_t)column_number(b, f->a_zero, 0, 0));
    s->y_zero = (int32_t)column_number(b, f->y_zero, 0, 0);
    int shift = b->inputs[f->w].dtype == ASSAY_U8 ? -128 : 0;
    double a_scale = s->a_scale_varies ? 1 : column_number(b, f->a_scale, 0, 1), y_scale = column_number(b, f->y_scale, 0, 1);
    for (int64_t j = 0; j < s->n; j++) {
        zeros[j] = (int32_t)column_number(b, f->w_zero, j, 0) + shift;
        s->has_w_zero |= zeros[j] != 0;
        factor[j] = (float)(a_scale * column_number(b, f->w_scale, j, 1) / y_scale);
        bias[j] = (float)(column_number(b, f->bias, j, 0) / y_scale);
    }
    s->w_zero = zeros;
    s->factor = factor;
    s->bias = native_is_given(b, f->bias) ? bias : NULL;
}

static enum assay_status make(struct native_build *b, const struct form *f, struct assay_error *err)
{
    struct state *s = assay_arena_alloc(b->arena, sizeof *s);
    *s = (struct state){.f = *f, .simd = native_simd_of(b->isa), .by_library = b->isa >= NATIVE_ISA_AVX512_VNNI};
    if (!measure(b, s))
        return assay_error_set(err, ASSAY_UNSUPPORTED,
                               "it is no product with a constant matrix of one scale for all or a column");
    read_numbers(b, s);
    enum assay_status st = make_pieces(b, s, err);
    if (st) {
        release(s);
        return st;
    }
    for (int k = 0; k < b->n_inputs; k++) {
        b->in_layouts[k] = NATIVE_PLAIN;
        b->unneeded[k] = k != f->a && b->constants[k];
    }
    b->kernel.name = s->by_library ? "oneDNN int8" : "int8";
    b->kernel.run = run;
    b->kernel.n_parts = s->n_pieces;
    b->kernel.data = s;
    b->kernel.release = release;
    return ASSAY_OK;
}

static enum assay_status make_linear(struct native_build *b, struct assay_error *err)
{
    const struct form form = {0, 1, 2, 3, 4, 5, 6, 7, 8, assay_node_int(b->node, "trans_weight", 0) != 0};
    return make(b, &form, err);
}

static enum assay_status make_qlinear_matmul(struct native_build *b, struct assay_error *err)
{
    const struct form form = {0, 1, 2, 3, 4, 5, -1, 6, 7, false};
    return make(b, &form, err);
}

static enum assay_status make_matmul_integer(struct native_build *b, struct assay_error *err)
{
    const struct form form = {0, -1, 2, 1, -1, 3, -1, -1, -1, false};
    return make(b, &form, err);
}

const struct native_maker native_makers_quantized[] = {
    {.type = "QuantizedLinear", .domain = "assay", .make = make_linear},
    {.type = "QLinearMatMul", .domain = "", .make = make_qlinear_matmul},
    {.type = "MatMulInteger", .domain = "", .make = make_matmul_integer},
    {.type = NULL},
};
