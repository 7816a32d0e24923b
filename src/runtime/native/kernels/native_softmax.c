/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax and LogSoftmax: of rows where the axis is the last, else of columns, many at once. f32 and bf16. */
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <string.h>

enum { COLUMNS = 256 /* worked on at once */, SHORT = 32 /* rows that fill few vectors */, ROWS = 64 };

struct softmax {
    const struct native_simd *simd;
    bool is_log;
    enum assay_dtype dtype;
    int64_t outer, n, inner; /* the axis is the middle one */
};

static void run_columns_of(const struct softmax *s, float *y, const float *x, int64_t stride, int64_t width, float *most,
                           float *sum);

/* Rows too short for vectors: turned, many at once. */
static void run_short_rows(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct softmax *s = args->kernel->data;
    float *most = (float *)(void *)scratch, *sum = most + ROWS, *turned = sum + ROWS;
    int64_t begin, end;
    native_share(s->outer, ROWS, part, args->kernel->n_parts, &begin, &end);
    for (int64_t row = begin; row < end; row += ROWS) {
        int64_t n = end - row < ROWS ? end - row : ROWS;
        s->simd->transpose(turned, (const float *)args->in[0]->data + row * s->n, n, s->n, n, s->n, sizeof *turned);
        run_columns_of(s, turned, turned, n, n, most, sum);
        s->simd->transpose((float *)args->out[0]->data + row * s->n, turned, s->n, n, s->n, n, sizeof *turned);
    }
}

static void make_rows(const struct softmax *s, float *y, const float *x, int64_t rows)
{
    if (!s->is_log)
        s->simd->softmax(y, x, s->n, rows);
    for (int64_t i = 0; s->is_log && i < rows; i++)
        s->simd->log_softmax(y + i * s->n, x + i * s->n, s->n);
}

static void run_rows(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct softmax *s = args->kernel->data;
    float *row = (float *)(void *)scratch;
    int64_t begin, end;
    native_share(s->outer, 1, part, args->kernel->n_parts, &begin, &end);
    if (s->dtype == ASSAY_F32) {
        make_rows(s, (float *)args->out[0]->data + begin * s->n, (const float *)args->in[0]->data + begin * s->n, end - begin);
        return;
    }
    for (int64_t i = begin * s->n; i < end * s->n; i += s->n) {
        s->simd->from_bf16(row, (const uint16_t *)args->in[0]->data + i, s->n);
        make_rows(s, row, row, 1);
        s->simd->to_bf16((uint16_t *)args->out[0]->data + i, row, s->n);
    }
}

/* Some columns: their maxima, then powers and sums, then quotients; each a row of vector operations. */
static void run_columns_of(const struct softmax *s, float *y, const float *x, int64_t stride, int64_t width, float *most,
                           float *sum)
{
    enum { X, Y, MOST, SUM };
    static const struct native_vector power[] = {{.op = NATIVE_V_SUB, .y = Y, .x = {X, MOST}},
                                                 {.op = NATIVE_V_EXP, .y = Y, .x = {Y}},
                                                 {.op = NATIVE_V_ADD, .y = SUM, .x = {SUM, Y}}};
    static const struct native_vector divide[] = {{.op = NATIVE_V_MUL, .y = Y, .x = {Y, SUM}}};
    static const struct native_vector invert[] = {{.op = NATIVE_V_RECIPROCAL, .y = SUM, .x = {SUM}}};
    static const struct native_vector logarithm[] = {{.op = NATIVE_V_LOG, .y = SUM, .x = {SUM}},
                                                     {.op = NATIVE_V_ADD, .y = SUM, .x = {SUM, MOST}}};
    static const struct native_vector subtract[] = {{.op = NATIVE_V_SUB, .y = Y, .x = {X, SUM}}};
    float powers[COLUMNS];
    memcpy(most, x, (size_t)width * sizeof *most);
    memset(sum, 0, (size_t)width * sizeof *sum);
    for (int64_t i = 1; i < s->n; i++)
        s->simd->reduce_into(most, x + i * stride, width, NATIVE_MAX);
    for (int64_t i = 0; i < s->n; i++) {
        char *at[] = {(char *)(x + i * stride), (char *)(s->is_log ? powers : y + i * stride), (char *)most, (char *)sum};
        s->simd->vector(power, 3, at, width);
    }
    char *sums[] = {NULL, NULL, (char *)most, (char *)sum};
    s->simd->vector(s->is_log ? logarithm : invert, s->is_log ? 2 : 1, sums, width);
    for (int64_t i = 0; i < s->n; i++) {
        char *at[] = {(char *)(x + i * stride), (char *)(y + i * stride), NULL, (char *)sum};
        s->simd->vector(s->is_log ? subtract : divide, 1, at, width);
    }
}

/* The same of bf16, a row widened at a time; powers are made twice, so that each result is rounded once. */
static void run_low_columns_of(const struct softmax *s, uint16_t *y, const uint16_t *x, int64_t width, float *most, float *sum,
                               float *row)
{
    enum { ROW, MOST, SUM };
    static const struct native_vector add[] = {{.op = NATIVE_V_SUB, .y = ROW, .x = {ROW, MOST}},
                                               {.op = NATIVE_V_EXP, .y = ROW, .x = {ROW}},
                                               {.op = NATIVE_V_ADD, .y = SUM, .x = {SUM, ROW}}};
    static const struct native_vector divide[] = {{.op = NATIVE_V_SUB, .y = ROW, .x = {ROW, MOST}},
                                                  {.op = NATIVE_V_EXP, .y = ROW, .x = {ROW}},
                                                  {.op = NATIVE_V_DIV, .y = ROW, .x = {ROW, SUM}}};
    static const struct native_vector logarithm[] = {{.op = NATIVE_V_LOG, .y = SUM, .x = {SUM}},
                                                     {.op = NATIVE_V_ADD, .y = SUM, .x = {SUM, MOST}}};
    static const struct native_vector subtract[] = {{.op = NATIVE_V_SUB, .y = ROW, .x = {ROW, SUM}}};
    char *at[] = {(char *)row, (char *)most, (char *)sum};
    s->simd->from_bf16(most, x, width);
    memset(sum, 0, (size_t)width * sizeof *sum);
    for (int64_t i = 1; i < s->n; i++) {
        s->simd->from_bf16(row, x + i * s->inner, width);
        s->simd->reduce_into(most, row, width, NATIVE_MAX);
    }
    for (int64_t i = 0; i < s->n; i++) {
        s->simd->from_bf16(row, x + i * s->inner, width);
        s->simd->vector(add, 3, at, width);
    }
    if (s->is_log)
        s->simd->vector(logarithm, 2, at, width);
    for (int64_t i = 0; i < s->n; i++) {
        s->simd->from_bf16(row, x + i * s->inner, width);
        s->simd->vector(s->is_log ? subtract : divide, s->is_log ? 1 : 3, at, width);
        s->simd->to_bf16(y + i * s->inner, row, width);
    }
}

static void run_columns(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct softmax *s = args->kernel->data;
    int64_t pieces = (s->inner + COLUMNS - 1) / COLUMNS, begin, end;
    float *most = (float *)(void *)scratch, *sum = most + COLUMNS;
    native_share(s->outer * pieces, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t column = i % pieces * COLUMNS, at = i / pieces * s->n * s->inner + column;
        int64_t width = s->inner - column < COLUMNS ? s->inner - column : COLUMNS;
        if (s->dtype == ASSAY_F32)
            run_columns_of(s, (float *)args->out[0]->data + at, (const float *)args->in[0]->data + at, s->inner, width, most,
                           sum);
        else
            run_low_columns_of(s, (uint16_t *)args->out[0]->data + at, (const uint16_t *)args->in[0]->data + at, width, most, sum,
                               sum + COLUMNS);
    }
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0];
    int64_t axis = assay_node_int(b->node, "axis", -1), count = assay_type_count(x);
    axis += axis < 0 ? x->rank : 0;
    if (count < 1 || axis < 0 || axis >= x->rank || (x->dtype != ASSAY_F32 && x->dtype != ASSAY_BF16))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its type or axis is not taken");
    struct softmax *s = assay_arena_alloc(b->arena, sizeof *s);
    *s = (struct softmax){.simd = native_simd_of(b->isa),
                          .is_log = strcmp(b->node->type, "LogSoftmax") == 0,
                          .dtype = x->dtype,
                          .outer = 1,
                          .n = x->dims[axis],
                          .inner = 1};
    for (int d = 0; d < x->rank; d++)
        *(d < axis ? &s->outer : &s->inner) *= d == axis ? 1 : x->dims[d];
    bool rows = s->inner == 1, is_short = rows && s->n <= SHORT && s->outer >= ROWS / 4 && s->dtype == ASSAY_F32;
    b->in_layouts[0] = NATIVE_PLAIN;
    int64_t pieces = rows ? s->outer : s->outer * ((s->inner + COLUMNS - 1) / COLUMNS);
    int parts = native_parts(4 * assay_type_bytes(x), b->n_threads);
    b->kernel.n_parts = parts < pieces ? parts : (int)pieces;
    b->kernel.name = s->is_log ? "vector LogSoftmax" : "vector Softmax";
    b->kernel.run = is_short ? run_short_rows : rows ? run_rows : run_columns;
    int64_t numbers = is_short ? (s->n + 2) * ROWS : rows ? s->n : 3 * COLUMNS;
    b->kernel.scratch_bytes = numbers * (int64_t)sizeof(float);
    b->kernel.in_place = 0;
    b->kernel.data = s;
    return ASSAY_OK;
}

const struct native_maker native_makers_softmax[] = {
    {.type = "Softmax", .domain = "", .make = make},
    {.type = "LogSoftmax", .domain = "", .make = make},
    {0},
};
