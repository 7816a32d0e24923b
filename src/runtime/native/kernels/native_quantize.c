/* SPDX-License-Identifier: Apache-2.0 */
/* QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear between f32 and 8 bits. */
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <math.h>

/* x as [outer, n, inner], one scale for each of n. */
struct state {
    const struct native_simd *simd;
    bool quantizes;
    enum assay_dtype dtype; /* of the codes */
    int64_t outer, n, inner;
    bool has_zero;
};

static int32_t zero_of(const struct assay_tensor *zeros, int64_t i)
{
    return zeros->type.dtype == ASSAY_U8 ? ((const uint8_t *)zeros->data)[i] : ((const int8_t *)zeros->data)[i];
}

static void convert(const struct state *s, const struct native_args *args, int64_t at, int64_t n, int64_t k)
{
    float scale = ((const float *)args->in[1]->data)[k];
    int32_t zero = s->has_zero ? zero_of(args->in[2], k) : 0;
    const void *x = args->in[0]->data;
    void *y = args->out[0]->data;
    if (s->quantizes && s->dtype == ASSAY_U8)
        s->simd->quantize_u8((uint8_t *)y + at, (const float *)x + at, scale, zero, n);
    else if (s->quantizes)
        s->simd->quantize_i8((int8_t *)y + at, (const float *)x + at, scale, zero, n);
    else if (s->dtype == ASSAY_U8)
        s->simd->dequantize_u8((float *)y + at, (const uint8_t *)x + at, scale, zero, n);
    else
        s->simd->dequantize_i8((float *)y + at, (const int8_t *)x + at, scale, zero, n);
}

static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct state *s = args->kernel->data;
    int64_t begin, end;
    (void)scratch;
    if (s->n == 1) {
        native_share(s->inner, 64, part, args->kernel->n_parts, &begin, &end);
        convert(s, args, begin, end - begin, 0);
        return;
    }
    native_share(s->outer * s->n, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++)
        convert(s, args, i * s->inner, s->inner, i % s->n);
}

static bool find_rows(const struct native_build *b, struct state *s)
{
    const struct assay_type *x = &b->inputs[0], *scale = &b->inputs[1];
    int64_t n_scales = assay_type_count(scale), axis = assay_node_int(b->node, "axis", 1);
    *s = (struct state){.simd = native_simd_of(b->isa), .outer = 1, .n = 1, .inner = assay_type_count(x)};
    s->has_zero = native_is_given(b, 2);
    if (scale->dtype != ASSAY_F32 || assay_node_int(b->node, "block_size", 0) != 0 || s->inner == 0 ||
        (s->has_zero && assay_type_count(&b->inputs[2]) != n_scales))
        return false;
    if (n_scales == 1 && scale->rank <= 1)
        return true;
    axis += axis < 0 ? x->rank : 0;
    if (scale->rank != 1 || axis < 0 || axis >= x->rank || x->dims[axis] != n_scales)
        return false;
    s->n = n_scales;
    s->inner = 1;
    for (int d = 0; d < x->rank; d++)
        if (d < axis)
            s->outer *= x->dims[d];
        else if (d > axis)
            s->inner *= x->dims[d];
    return true;
}

/* A scale that the op does not allow is complained of by the reference kernel. */
static bool has_valid_scales(const struct native_build *b)
{
    const struct assay_tensor *scale = b->constants[1];
    for (int64_t i = 0; scale && i < assay_tensor_count(scale); i++)
        if (!isfinite(((const float *)scale->data)[i]) || ((const float *)scale->data)[i] == 0)
            return false;
    return scale != NULL;
}

static enum assay_status make(struct native_build *b, bool quantizes, struct assay_error *err)
{
    struct state *s = assay_arena_alloc(b->arena, sizeof *s);
    const struct assay_type *codes = quantizes ? &b->outputs[0] : &b->inputs[0],
                            *numbers = quantizes ? &b->inputs[0] : &b->outputs[0];
    if (!find_rows(b, s) || numbers->dtype != ASSAY_F32 || (codes->dtype != ASSAY_U8 && codes->dtype != ASSAY_I8) ||
        (quantizes && !has_valid_scales(b)))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "it is not between f32 and 8 bits");
    s->quantizes = quantizes;
    s->dtype = codes->dtype;
    for (int k = 0; k < b->n_inputs; k++)
        if (k > 0 || s->n > 1)
            b->in_layouts[k] = NATIVE_PLAIN;
    b->out_layouts[0] = b->in_layouts[0];
    b->kernel.name = quantizes ? "quantize" : "dequantize";
    b->kernel.run = run;
    b->kernel.n_parts = native_parts(4 * assay_type_count(&b->inputs[0]), b->n_threads);
    b->kernel.data = s;
    return ASSAY_OK;
}

static enum assay_status make_quantize(struct native_build *b, struct assay_error *err) { return make(b, true, err); }
static enum assay_status make_dequantize(struct native_build *b, struct assay_error *err) { return make(b, false, err); }

/* ---- DynamicQuantizeLinear */

struct dynamic {
    const struct native_simd *simd;
    int n_outputs, n_parts;
};

struct job {
    const struct dynamic *d;
    const struct native_args *args;
    float scale;
    int32_t zero;
};

static void quantize_part(void *context, int part, int thread)
{
    const struct job *job = context;
    int64_t begin, end;
    (void)thread;
    native_share(assay_tensor_count(job->args->in[0]), 64, part, job->d->n_parts, &begin, &end);
    job->d->simd->quantize_u8((uint8_t *)job->args->out[0]->data + begin, (const float *)job->args->in[0]->data + begin,
                              job->scale, job->zero, end - begin);
}

static enum assay_status run_dynamic(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    struct job job = {.d = args->kernel->data, .args = args};
    const float *x = args->in[0]->data;
    int64_t n = assay_tensor_count(args->in[0]);
    float low = (float)job.d->simd->reduce(x, n, NATIVE_MIN), high = (float)job.d->simd->reduce(x, n, NATIVE_MAX), zero = 0;
    if (!isfinite(low) || !isfinite(high))
        return assay_error_set(err, ASSAY_INVALID, "DynamicQuantizeLinear: an element is not finite, so that there is no range");
    low = fminf(low, 0);
    high = fmaxf(high, 0);
    float scale = (high - low) / 255;
    if (!isfinite(scale))
        return assay_error_set(err, ASSAY_INVALID, "DynamicQuantizeLinear: the range of the values overflows");
    if (scale > 0)
        zero = rintf(fminf(fmaxf(0 - low / scale, 0), 255));
    job.scale = scale > 0 ? scale : 1; /* all are 0 */
    job.zero = (int32_t)zero;
    native_pool_run(pool, job.d->n_parts, quantize_part, &job);
    if (job.d->n_outputs > 1 && args->out[1])
        *(float *)args->out[1]->data = scale;
    if (job.d->n_outputs > 2 && args->out[2])
        *(uint8_t *)args->out[2]->data = (uint8_t)zero;
    return ASSAY_OK;
}

static enum assay_status make_dynamic(struct native_build *b, struct assay_error *err)
{
    if (assay_type_count(&b->inputs[0]) < 1)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "it is empty");
    struct dynamic *d = assay_arena_alloc(b->arena, sizeof *d);
    *d = (struct dynamic){.simd = native_simd_of(b->isa),
                          .n_outputs = b->n_outputs,
                          .n_parts = native_parts(4 * assay_type_count(&b->inputs[0]), b->n_threads)};
    b->in_layouts[0] = NATIVE_PLAIN;
    b->kernel.name = "quantize";
    b->kernel.run_whole = run_dynamic;
    b->kernel.data = d;
    return ASSAY_OK;
}

const struct native_maker native_makers_quantize[] = {
    {.type = "QuantizeLinear", .domain = "", .make = make_quantize},
    {.type = "DequantizeLinear", .domain = "", .make = make_dequantize},
    {.type = "DynamicQuantizeLinear", .domain = "", .make = make_dynamic},
    {.type = NULL},
};
