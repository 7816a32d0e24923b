/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assay.Linear with weights of 8 or 4 bits in groups that share a scale (simd/simd_coded.c), for any number of rows. Few rows
 * read the weights at the memory's speed, and threads share the panels; with many they share the rows, which each thread codes
 * itself.
 */
#include "runtime/native/kernels/conv.h"
#include "runtime/native/kernels/gemv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    GROUP = NATIVE_CODED_GROUP,
    PANEL = NATIVE_CODED_PANEL,
    ROWS = 32, /* of which the codes stay in cache while panels go by */
    PART_BYTES = 1 << 16,
    PARTS_PER_THREAD = 4, /* so that a thread that was interrupted leaves work to others */
};

struct coded {
    struct native_gemv g; /* but its panels are ours */
    const struct native_simd *simd;
    void (*panel)(float *y, const struct native_coded *x, int64_t m, int64_t n_groups, const unsigned char *panel, int bits,
                  bool wide);
    int bits;
    bool wide;
    int32_t zero; /* code of 0 */
    int64_t n_groups, panel_bytes;
    int n_row_parts, n_column_parts, n_threads;
    int64_t coded_bytes; /* of ROWS rows, in scratch */
};

/* ---- packing */

struct source {
    const struct assay_tensor *codes, *scales;
    bool transposed; /* [n, k] */
    int64_t k, n, block;
};

static void pack_group(const struct source *s, const struct coded *c, int64_t g, int64_t column, unsigned char *to)
{
    int64_t n_blocks = (s->k + s->block - 1) / s->block, block = g * GROUP / s->block;
    unsigned char *scales = to + GROUP * PANEL * c->bits / 8;
    memset(to, 0, (size_t)native_coded_group_bytes(c->bits, c->wide));
    for (int64_t j = 0; j < PANEL && column + j < s->n; j++) {
        int64_t n = column + j, at = s->transposed ? n * s->k + g * GROUP : g * GROUP * s->n + n;
        for (int i = 0; i < GROUP; i++, at += s->transposed ? 1 : s->n) {
            if (c->bits == 8)
                to[(i / 4 * PANEL + j) * 4 + i % 4] = (unsigned char)(((const unsigned char *)s->codes->data)[at] + c->zero);
            else
                to[(i / 8 * PANEL + j) * 4 + i % 4] |=
                    (unsigned char)((assay_four_bits(s->codes, at) + c->zero) << (i / 4 % 2 * 4));
        }
        float scale = ((const float *)s->scales->data)[s->transposed ? n * n_blocks + block : block * s->n + n];
        uint32_t word = assay_f32_bits(scale);
        uint16_t half = (uint16_t)(word >> 16);
        if (c->wide)
            memcpy(scales + 4 * j, &word, sizeof word);
        else
            memcpy(scales + 2 * j, &half, sizeof half);
    }
}

static enum assay_status pack(struct native_build *b, const struct source *s, struct coded *c, struct assay_error *err)
{
    char key[64];
    int64_t n_panels = (s->n + PANEL - 1) / PANEL;
    snprintf(key, sizeof key, "coded %d %d %" PRId64, s->transposed, b->node->inputs[4], s->block);
    c->g.panels = native_pack_find(b, 1, key);
    if (c->g.panels)
        return ASSAY_OK;
    unsigned char *bytes = native_pack_add(b, 1, key, n_panels * c->panel_bytes);
    if (!bytes)
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
    c->g.panels = bytes;
    for (int64_t i = 0; i < n_panels; i++)
        for (int64_t g = 0; g < c->n_groups; g++, bytes += native_coded_group_bytes(c->bits, c->wide))
            pack_group(s, c, g, i * PANEL, bytes);
    return ASSAY_OK;
}

/* ---- running */

static void run_rows(const struct coded *c, const struct native_args *args, int64_t row, int64_t rows, int64_t begin, int64_t end,
                     bool is_coded, unsigned char *scratch)
{
    struct native_coded *x = (struct native_coded *)(void *)scratch;
    float *y = (float *)(void *)(scratch + c->coded_bytes), *room = y + ROWS * PANEL;
    const float *from = (const float *)args->in[c->g.x]->data + row * c->g.k;
    if (!is_coded)
        c->simd->code_rows(x, from, rows * c->n_groups, c->zero);
    for (int64_t at = begin; at < end; at += PANEL) {
        int64_t n = end - at < PANEL ? end - at : PANEL;
        memset(y, 0, (size_t)(rows * PANEL) * sizeof *y);
        c->panel(y, x, rows, c->n_groups, (const unsigned char *)c->g.panels + at / PANEL * c->panel_bytes, c->bits, c->wide);
        for (int64_t i = 0; i < rows; i++)
            native_gemv_finish(&c->g, c->simd, args, y + i * PANEL, row + i, at, n, room);
    }
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct coded *c = args->kernel->data;
    int64_t row, row_end, begin, end;
    native_share(c->g.m, 1, part / c->n_column_parts, c->n_row_parts, &row, &row_end);
    native_share(c->g.n, PANEL, part % c->n_column_parts, c->n_column_parts, &begin, &end);
    /* A thread begins with the part of its number (thread_pool.h): in later ones what it coded of the same rows is still there.
     */
    bool is_coded = part >= c->n_threads && c->n_row_parts == 1 && c->g.m <= ROWS;
    for (; row < row_end; row += ROWS)
        run_rows(c, args, row, row_end - row < ROWS ? row_end - row : ROWS, begin, end, is_coded, scratch);
}

/* ---- making */

static bool are_finite(const struct assay_tensor *scales)
{
    const float *x = scales->data;
    for (int64_t i = 0, n = assay_tensor_count(scales); i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static bool fits_bf16(const struct assay_tensor *scales)
{
    const float *x = scales->data;
    for (int64_t i = 0, n = assay_tensor_count(scales); i < n; i++)
        if (assay_f32_bits(x[i]) & 0xffff)
            return false;
    return true;
}

static bool describe(struct native_build *b, struct source *s, struct coded *c)
{
    const struct assay_node *node = b->node;
    const struct assay_type *x = &b->inputs[0], *w = &b->inputs[1], *y = &b->outputs[0];
    if (b->n_inputs < 5 || !b->constants[1] || !b->constants[4] || w->rank != 2 || x->rank < 1 || x->dtype != ASSAY_F32)
        return false;
    *s = (struct source){.codes = b->constants[1],
                         .scales = b->constants[4],
                         .transposed = assay_node_int(node, "trans_weight", 0) != 0,
                         .block = assay_node_int(node, "block_size", 0)};
    bool is_four = assay_dtype_is_packed(w->dtype), is_signed = w->dtype == ASSAY_I8 || w->dtype == ASSAY_I4;
    s->k = w->dims[s->transposed];
    s->n = w->dims[!s->transposed];
    c->bits = is_four ? 4 : 8;
    c->zero = is_signed ? (is_four ? 8 : 128) : 0;
    int64_t axis = assay_node_int(node, "axis", 1), bias = node->inputs[2], residual = node->inputs[3];
    if ((axis < 0 ? axis + 2 : axis) != s->transposed || s->block < 1 || s->block % GROUP || s->k % GROUP || s->k < 1 ||
        s->n < 1 || b->constants[4]->type.dtype != ASSAY_F32 || x->dims[x->rank - 1] != s->k || assay_type_count(x) == 0)
        return false;
    const struct assay_type *scales = &b->constants[4]->type; /* one for each block of a column */
    if (scales->rank != 2 || scales->dims[s->transposed] != (s->k - 1) / s->block + 1 || scales->dims[!s->transposed] != s->n ||
        !are_finite(b->constants[4]))
        return false;
    if (bias >= 0 &&
        (!b->constants[2] || b->constants[2]->type.dtype != ASSAY_F32 || assay_tensor_count(b->constants[2]) != s->n))
        return false;
    c->g = (struct native_gemv){.m = assay_type_count(x) / s->k,
                                .k = s->k,
                                .n = s->n,
                                .x = 0,
                                .residual = residual >= 0 ? 3 : -1,
                                .bias = bias >= 0 ? b->constants[2]->data : NULL};
    return residual < 0 || (assay_type_equal(&b->inputs[3], y) && assay_type_count(y) == c->g.m * c->g.n);
}

/* Few rows read each weight once, whoever does it; many are worth more than their weights. */
static void divide(struct native_build *b, struct coded *c)
{
    int64_t panels = (c->g.n + PANEL - 1) / PANEL, most = b->n_threads == 1 ? 1 : PARTS_PER_THREAD * (int64_t)b->n_threads;
    c->n_row_parts = c->n_column_parts = 1;
    c->n_threads = b->n_threads;
    if (b->n_threads > 1 && c->g.m >= ROWS * (int64_t)b->n_threads) {
        int64_t parts = c->g.m / ROWS;
        c->n_row_parts = (int)(parts > most ? most : parts);
        return;
    }
    int64_t parts = c->g.m * panels * c->panel_bytes / PART_BYTES;
    parts = parts > most ? most : parts;
    c->n_column_parts = (int)(parts > panels ? panels : parts < 1 ? 1 : parts);
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    struct source s;
    struct native_activation activation;
    struct coded *c = assay_arena_alloc(b->arena, sizeof *c);
    if (!native_activation_find(b->node, &activation) || !describe(b, &s, c))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "it is no product with weights of 8 or 4 bits in groups of %d", GROUP);
    c->g.activation = activation.kind;
    c->g.alpha = activation.alpha;
    c->g.beta = activation.beta;
    c->simd = native_simd_of(b->isa);
    c->panel = b->isa >= NATIVE_ISA_AVX512_VNNI ? c->simd->coded_panel_vnni : c->simd->coded_panel;
    c->wide = !fits_bf16(s.scales);
    c->n_groups = s.k / GROUP;
    c->panel_bytes = c->n_groups * native_coded_group_bytes(c->bits, c->wide);
    enum assay_status st = pack(b, &s, c, err);
    if (st)
        return st;
    int64_t rows = c->g.m < ROWS ? c->g.m : ROWS;
    c->coded_bytes = native_aligned(rows * c->n_groups * (int64_t)sizeof(struct native_coded));
    divide(b, c);
    for (int k = 0; k < b->n_inputs; k++)
        b->in_layouts[k] = NATIVE_PLAIN;
    b->unneeded[1] = b->unneeded[4] = true;
    if (c->g.bias)
        b->unneeded[2] = true;
    b->kernel.name = c->bits == 8 ? "rows by panels of 8 bits" : "rows by panels of 4 bits";
    b->kernel.run = run;
    b->kernel.n_parts = c->n_row_parts * c->n_column_parts;
    b->kernel.scratch_bytes = c->coded_bytes + (ROWS + 1) * PANEL * (int64_t)sizeof(float);
    b->kernel.data = c;
    return ASSAY_OK;
}

const struct native_maker native_makers_weight_only[] = {
    {"Linear", "assay", make, false},
    {NULL, NULL, NULL, false},
};
