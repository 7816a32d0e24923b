/* SPDX-License-Identifier: Apache-2.0 */
/* See gemv.h. Threads share the panels. */
#include "runtime/native/kernels/gemv.h"

#include <string.h>

enum {
    PANEL = 64,
    ROWS = 32,    /* that are made at a time: as f32 they stay in cache while panels go by */
    STRIP = 6144, /* columns of a weight as it is: their sums stay in cache */
    TOGETHER = 8, /* its rows that are read side by side */
    PART_BYTES = 1 << 17,
    PARTS_PER_THREAD = 4, /* so that a thread that was interrupted leaves work to others */
};

struct gemv {
    struct native_gemv g;
    const struct native_simd *simd;
    int64_t x_floats; /* of x as f32 in scratch; 0 where it is taken as it lies */
    int64_t x_step;
};

static void bound(dnnl_alg_kind_t kind, float *y, int64_t n, float alpha, float beta)
{
    for (int64_t i = 0; i < n; i++)
        if (kind == dnnl_eltwise_relu) /* leaky, if alpha is not 0 */
            y[i] = y[i] < 0 ? alpha * y[i] : y[i];
        else
            y[i] = y[i] < alpha ? alpha : y[i] > beta ? beta : y[i];
}

void native_activate(dnnl_alg_kind_t kind, float alpha, float beta, const struct native_simd *simd, float *y, int64_t n)
{
    switch (kind) {
    case dnnl_alg_kind_undef:
        break;
    case dnnl_eltwise_gelu_erf:
        simd->gelu(y, y, n);
        break;
    case dnnl_eltwise_gelu_tanh:
        simd->gelu_tanh(y, y, n);
        break;
    case dnnl_eltwise_swish:
        simd->swish(y, y, alpha, n);
        break;
    case dnnl_eltwise_hardswish:
        simd->hard_swish(y, y, n);
        break;
    case dnnl_eltwise_logistic:
        simd->sigmoid(y, y, n);
        break;
    case dnnl_eltwise_tanh:
        simd->tanh(y, y, n);
        break;
    default:
        bound(kind, y, n, alpha, beta);
    }
}

void native_gemv_finish(const struct native_gemv *g, const struct native_simd *simd, const struct native_args *args, float *y,
                        int64_t row, int64_t at, int64_t n, float *room)
{
    int64_t place = row * g->n + at;
    if (g->bias)
        simd->mask_add(y, g->bias + at, n);
    if (g->residual >= 0 && g->is_bf16) {
        simd->from_bf16(room, (const uint16_t *)args->in[g->residual]->data + place, n);
        simd->mask_add(y, room, n);
    } else if (g->residual >= 0) {
        simd->mask_add(y, (const float *)args->in[g->residual]->data + place, n);
    }
    native_activate(g->activation, g->alpha, g->beta, simd, y, n);
    if (g->is_bf16)
        simd->to_bf16((uint16_t *)args->out[0]->data + place, y, n);
    else
        memcpy((float *)args->out[0]->data + place, y, (size_t)n * sizeof *y);
}

static const float *load_x(const struct gemv *k, const void *x, int64_t row, int64_t rows, float *room)
{
    const struct native_gemv *g = &k->g;
    if (!k->x_floats)
        return (const float *)x + row * g->k;
    for (int64_t i = 0; i < rows; i++) {
        k->simd->from_bf16(room + i * k->x_step, (const uint16_t *)x + (row + i) * g->k, g->k);
        if (k->x_step > g->k)
            room[i * k->x_step + g->k] = 0;
    }
    return room;
}

static void run_panels(const struct gemv *k, const struct native_args *args, int64_t row, int64_t rows, int64_t begin,
                       int64_t end, float *made)
{
    const struct native_gemv *g = &k->g;
    float *room = made + ROWS * PANEL;
    const float *x = load_x(k, args->in[g->x]->data, row, rows, room + PANEL);
    for (int64_t at = begin; at < end; at += PANEL) {
        int64_t n = g->n - at < PANEL ? g->n - at : PANEL, step = at / PANEL * g->panel_step;
        if (g->is_bf16)
            k->simd->gemm_pairs(made, PANEL, x, k->x_step, (const uint16_t *)g->panels + step, PANEL, rows, PANEL, k->x_step);
        else
            k->simd->gemm(made, PANEL, x, k->x_step, (const float *)g->panels + step, PANEL, rows, PANEL, g->k, false);
        for (int64_t i = 0; i < rows; i++)
            native_gemv_finish(g, k->simd, args, made + i * PANEL, row + i, at, n, room);
    }
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct gemv *k = args->kernel->data;
    int64_t begin, end;
    native_share(k->g.n, PANEL, part, args->kernel->n_parts, &begin, &end);
    for (int64_t row = 0; row < k->g.m; row += ROWS)
        run_panels(k, args, row, k->g.m - row < ROWS ? k->g.m - row : ROWS, begin, end, (float *)(void *)scratch);
}

/* The weight as it is: a strip of some of its rows at a time adds to the sums of the strip's columns. */
static void run_plain(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct gemv *k = args->kernel->data;
    const struct native_gemv *g = &k->g;
    float *made = (float *)(void *)scratch, *room = made + g->m * STRIP;
    const float *x = args->in[g->x]->data, *weight = g->panels;
    int64_t begin, end;
    native_share(g->n, PANEL, part, args->kernel->n_parts, &begin, &end);
    for (int64_t at = begin; at < end; at += STRIP) {
        int64_t n = end - at < STRIP ? end - at : STRIP;
        for (int64_t p = 0; p < g->k; p += TOGETHER)
            k->simd->gemm(made, STRIP, x + p, g->k, weight + p * g->n + at, g->n, g->m, n,
                          g->k - p < TOGETHER ? g->k - p : TOGETHER, p > 0);
        for (int64_t i = 0; i < g->m; i++)
            native_gemv_finish(g, k->simd, args, made + i * STRIP, i, at, n, room);
    }
}

void native_gemv_make(struct native_build *build, const struct native_gemv *gemv)
{
    struct gemv *k = assay_arena_alloc(build->arena, sizeof *k);
    *k = (struct gemv){.g = *gemv, .simd = native_simd_of(build->isa), .x_step = gemv->k};
    if (gemv->is_bf16) {
        k->x_step = (gemv->k + 1) / 2 * 2;
        k->x_floats = (gemv->m < ROWS ? gemv->m : ROWS) * k->x_step;
    }
    int64_t parts = gemv->n * gemv->k * (gemv->is_bf16 ? 2 : 4) / PART_BYTES, most = PARTS_PER_THREAD * (int64_t)build->n_threads;
    most = build->n_threads == 1 ? 1 : most;
    parts = parts > most ? most : parts < 1 ? 1 : parts;
    build->kernel.name = gemv->panel_step ? "rows by panels" : "rows by a matrix";
    build->kernel.run = gemv->panel_step ? run : run_plain;
    build->kernel.n_parts = (int)parts;
    int64_t floats = gemv->panel_step ? ROWS * PANEL + PANEL + k->x_floats : (gemv->m + 1) * STRIP;
    build->kernel.scratch_bytes = native_aligned(floats * 4);
    build->kernel.data = k;
}
