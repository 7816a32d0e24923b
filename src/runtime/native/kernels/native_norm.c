/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalisation: LayerNormalization and RMSNormalization of rows, GroupNormalization and InstanceNormalization of groups of
 * channels, which lie in one piece where channels are first. f32; rows also bf16, normalised in f32.
 */
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <math.h>
#include <string.h>

struct norm {
    const struct native_simd *simd;
    bool is_rms;
    enum assay_dtype dtype;
    const float *fixed[2]; /* scale and bias that are constants; NULL: inputs 1 and 2 */
    int64_t rows, n;       /* of rows; or batch × groups, and elements of a group */
    int64_t n_groups, width, spatial;
    bool per_group; /* scale and bias are of groups, not channels */
    float epsilon;
};

static const float *parameter(const struct norm *p, const struct native_args *args, int which)
{
    const struct assay_tensor *input = p->fixed[which] || (which == 1 && p->is_rms) ? NULL : args->in[1 + which];
    return p->fixed[which] ? p->fixed[which] : input ? input->data : NULL;
}

static void normalize(const struct norm *p, float *y, const float *x, const float *scale, const float *bias)
{
    if (p->is_rms)
        p->simd->rms_norm(y, x, scale, p->n, p->epsilon);
    else
        p->simd->layer_norm(y, x, scale, bias, p->n, p->epsilon);
}

static void run_rows(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct norm *p = args->kernel->data;
    const float *scale = parameter(p, args, 0), *bias = parameter(p, args, 1);
    float *row = (float *)(void *)scratch;
    int64_t begin, end;
    native_share(p->rows, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin * p->n; i < end * p->n; i += p->n) {
        if (p->dtype == ASSAY_F32) {
            normalize(p, (float *)args->out[0]->data + i, (const float *)args->in[0]->data + i, scale, bias);
        } else {
            p->simd->from_bf16(row, (const uint16_t *)args->in[0]->data + i, p->n);
            normalize(p, row, row, scale, bias);
            p->simd->to_bf16((uint16_t *)args->out[0]->data + i, row, p->n);
        }
    }
}

static void run_groups(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct norm *p = args->kernel->data;
    const float *scale = parameter(p, args, 0), *bias = parameter(p, args, 1);
    int64_t begin, end;
    (void)scratch;
    native_share(p->rows, 1, part, args->kernel->n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const float *x = (const float *)args->in[0]->data + i * p->n;
        float *y = (float *)args->out[0]->data + i * p->n;
        double mean, variance;
        p->simd->moments(x, p->n, &mean, &variance);
        double factor = 1 / sqrt(variance + (double)p->epsilon);
        for (int64_t c = 0; c < p->width; c++) {
            int64_t k = p->per_group ? i % p->n_groups : i % p->n_groups * p->width + c;
            double a = factor * (double)scale[k];
            p->simd->linear(y + c * p->spatial, x + c * p->spatial, p->spatial, (float)a, (float)((double)bias[k] - mean * a));
        }
    }
}

/* ---- making */

/* Scale or bias of n elements: a constant of either type, or an f32 input. */
static bool take_parameter(struct native_build *b, struct norm *p, int which, int64_t n)
{
    int k = 1 + which;
    if (k >= b->n_inputs || b->node->inputs[k] < 0)
        return which == 1;
    const struct assay_type *type = &b->inputs[k];
    const struct assay_tensor *constant = b->constants[k];
    if (assay_type_count(type) != n || (type->dtype != ASSAY_F32 && (type->dtype != ASSAY_BF16 || !constant)))
        return false;
    if (constant && type->dtype == ASSAY_F32) {
        p->fixed[which] = constant->data;
    } else if (constant) {
        float *values = assay_arena_array(b->arena, (size_t)n, sizeof *values);
        p->simd->from_bf16(values, constant->data, n);
        p->fixed[which] = values;
    }
    return true;
}

static void finish(struct native_build *b, struct norm *p, const char *name)
{
    for (int k = 0; k < b->n_inputs; k++) {
        b->in_layouts[k] = NATIVE_PLAIN;
        b->unneeded[k] = k > 0 && p->fixed[k - 1];
    }
    int parts = native_parts(2 * assay_type_bytes(&b->inputs[0]), b->n_threads);
    b->kernel.n_parts = parts < p->rows ? parts : (int)p->rows;
    b->kernel.name = name;
    b->kernel.data = p;
    b->kernel.in_place = 0;
}

static enum assay_status refuse(struct assay_error *err)
{
    return assay_error_set(err, ASSAY_UNSUPPORTED, "its types or parameters are not taken");
}

static enum assay_status make_rows(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0];
    struct norm *p = assay_arena_alloc(b->arena, sizeof *p);
    int64_t axis = assay_node_int(b->node, "axis", -1), count = assay_type_count(x);
    axis += axis < 0 ? x->rank : 0;
    for (int k = 1; k < b->n_outputs; k++)
        if (b->node->outputs[k] >= 0)
            return refuse(err);
    if ((x->dtype != ASSAY_F32 && x->dtype != ASSAY_BF16) || count < 1 || axis < 0 || axis >= x->rank)
        return refuse(err);
    *p = (struct norm){.simd = native_simd_of(b->isa),
                       .is_rms = strcmp(b->node->type, "RMSNormalization") == 0,
                       .dtype = x->dtype,
                       .n = 1,
                       .epsilon = assay_node_float(b->node, "epsilon", 1e-5f)};
    for (int d = (int)axis; d < x->rank; d++)
        p->n *= x->dims[d];
    p->rows = count / p->n;
    if (!take_parameter(b, p, 0, p->n) || !take_parameter(b, p, 1, p->n))
        return refuse(err);
    b->kernel.run = run_rows;
    b->kernel.scratch_bytes = x->dtype == ASSAY_BF16 ? p->n * (int64_t)sizeof(float) : 0;
    finish(b, p, p->is_rms ? "vector RMSNormalization" : "vector LayerNormalization");
    return ASSAY_OK;
}

static enum assay_status make_groups(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0];
    struct norm *p = assay_arena_alloc(b->arena, sizeof *p);
    bool instance = strcmp(b->node->type, "InstanceNormalization") == 0;
    if (x->dtype != ASSAY_F32 || assay_type_count(x) < 1 || x->rank < 2)
        return refuse(err);
    int64_t channels = x->dims[1], n_groups = instance ? channels : assay_node_int(b->node, "num_groups", 0);
    if (n_groups < 1 || channels % n_groups != 0)
        return refuse(err);
    *p = (struct norm){.simd = native_simd_of(b->isa),
                       .dtype = x->dtype,
                       .rows = x->dims[0] * n_groups,
                       .n = assay_type_count(x) / (x->dims[0] * n_groups),
                       .n_groups = n_groups,
                       .width = channels / n_groups,
                       .per_group = !instance && b->graph->opset < 21 && assay_type_count(&b->inputs[1]) == n_groups,
                       .epsilon = assay_node_float(b->node, "epsilon", 1e-5f)};
    p->spatial = p->n / p->width;
    int64_t n = p->per_group ? n_groups : channels;
    if (!take_parameter(b, p, 0, n) || b->n_inputs < 3 || !take_parameter(b, p, 1, n))
        return refuse(err);
    b->kernel.run = run_groups;
    finish(b, p, "vector GroupNormalization");
    return ASSAY_OK;
}

const struct native_maker native_makers_norm[] = {
    {.type = "LayerNormalization", .domain = "", .make = make_rows},
    {.type = "RMSNormalization", .domain = "", .make = make_rows},
    {.type = "GroupNormalization", .domain = "", .make = make_groups},
    {.type = "InstanceNormalization", .domain = "", .make = make_groups},
    {0},
};
