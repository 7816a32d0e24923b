/* SPDX-License-Identifier: Apache-2.0 */
/* assay.Dropout, whose gradient is the same op: a mask counted from a seed (graph/ops/dropout.h), so threads share elements. f32.
 */
#include "graph/ops/dropout.h"
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

enum { GRAIN = 1024 };

struct dropout {
    const struct native_simd *simd;
    int64_t n, stream;
    double ratio;
};

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct dropout *d = args->kernel->data;
    struct assay_dropout mask = assay_dropout_make(*(const int64_t *)args->in[1]->data, d->stream, d->ratio);
    struct native_drop how = {mask.k1, mask.k2, mask.threshold, (float)(1 / (1 - d->ratio))};
    int64_t begin, end;
    (void)scratch;
    native_share(d->n, GRAIN, part, args->kernel->n_parts, &begin, &end);
    if (begin < end)
        d->simd->drop((float *)args->out[0]->data + begin, (const float *)args->in[0]->data + begin, begin, end - begin, &how);
}

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    struct dropout *d = assay_arena_alloc(b->arena, sizeof *d);
    if (b->n_inputs != 2 || b->inputs[0].dtype != ASSAY_F32 || b->inputs[1].dtype != ASSAY_I64 ||
        assay_type_count(&b->inputs[0]) < 1 || assay_type_count(&b->inputs[1]) != 1)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its types are not taken");
    *d = (struct dropout){.simd = native_simd_of(b->isa),
                          .n = assay_type_count(&b->inputs[0]),
                          .stream = assay_node_int(b->node, "stream", 0),
                          .ratio = (double)assay_node_float(b->node, "ratio", 0.5f)};
    b->in_layouts[0] = b->in_layouts[1] = NATIVE_PLAIN; /* elements are counted as ONNX counts them */
    b->kernel.name = "vector Dropout";
    b->kernel.run = run;
    b->kernel.n_parts = native_parts(4 * assay_type_bytes(&b->inputs[0]), b->n_threads);
    b->kernel.in_place = 0;
    b->kernel.data = d;
    return ASSAY_OK;
}

const struct native_maker native_makers_gradient_dropout[] = {
    {.type = "Dropout", .domain = "assay", .make = make},
    {0},
};
