/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of two sides that both change from run to run, f32: MatMul and Gemm, and assay.MatMul with the transposes that it has
 * taken in. oneDNN's sgemm reads and writes matrices with any distance of rows, transposed or not, at the rate of its packed
 * products: so threads share rows or columns, whichever are more, and each job is one call on one thread.
 */
#include "runtime/native/dnnl.h"
#include "runtime/native/kernels/product.h"

#include <string.h>

static void spread_bias(float *y, int64_t leading, const float *bias, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(y + i * leading, bias, (size_t)columns * sizeof *y);
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct native_product *p = args->kernel->data;
    int64_t begin, end;
    (void)scratch;
    native_share(p->n_matrices * p->row_blocks * p->column_blocks, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        struct native_block block = native_product_block(p, i);
        if (block.rows < 1 || block.columns < 1)
            continue;
        const float *a = (const float *)args->in[p->left]->data + p->a_at[block.matrix] + native_form_at(&p->a, block.row, 0);
        const float *b = (const float *)args->in[p->right]->data + p->b_at[block.matrix] + native_form_at(&p->b, 0, block.column);
        float *y = (float *)args->out[0]->data + p->y_at[block.matrix] + block.row * p->y_leading + block.column;
        if (p->has_bias)
            spread_bias(y, p->y_leading, (const float *)args->in[2]->data + block.column, block.rows, block.columns);
        dnnl_status_t st = dnnl_sgemm(p->a.transposed ? 'T' : 'N', p->b.transposed ? 'T' : 'N', block.rows, block.columns, p->k,
                                      p->alpha, a, p->a.leading, b, p->b.leading, p->has_bias ? 1 : 0, y, p->y_leading);
        ASSAY_ASSERT(st == dnnl_success);
    }
}

void native_product_make(struct native_build *b, struct native_product *p)
{
    native_product_divide(p, b->n_threads);
    b->kernel.name = "oneDNN sgemm";
    b->kernel.run = run;
    b->kernel.n_parts = native_product_parts(p, b->n_threads);
    b->kernel.data = p;
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    struct native_product *p = assay_arena_alloc(b->arena, sizeof *p);
    if (b->inputs[0].dtype != ASSAY_F32 || b->inputs[1].dtype != ASSAY_F32 || b->outputs[0].dtype != ASSAY_F32 ||
        !native_product_find(b, p))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its types or forms are not taken");
    native_product_make(b, p);
    return ASSAY_OK;
}

const struct native_maker native_makers_product[] = {
    {.type = "MatMul", .domain = "assay", .make = make},
    {.type = "MatMul", .domain = "", .make = make},
    {.type = "Gemm", .domain = "", .make = make},
    {0},
};
