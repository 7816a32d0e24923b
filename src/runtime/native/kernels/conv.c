/* SPDX-License-Identifier: Apache-2.0 */
/* See conv.h. */
#include "runtime/native/kernels/conv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool native_activation_find(const struct assay_node *node, struct native_activation *activation)
{
    static const struct {
        const char *name;
        dnnl_alg_kind_t kind;
        bool has_alpha, has_beta;
    } known[] = {
        {"", dnnl_alg_kind_undef, false, false},       {"Relu", dnnl_eltwise_relu, false, false},
        {"Gelu", dnnl_eltwise_gelu_erf, false, false}, {"GeluTanh", dnnl_eltwise_gelu_tanh, false, false},
        {"Swish", dnnl_eltwise_swish, true, false},    {"Sigmoid", dnnl_eltwise_logistic, false, false},
        {"Tanh", dnnl_eltwise_tanh, false, false},     {"HardSwish", dnnl_eltwise_hardswish, false, false},
        {"Clip", dnnl_eltwise_clip, true, true},       {"LeakyRelu", dnnl_eltwise_relu, true, false},
    };
    const char *name = assay_node_string(node, "activation", "");
    for (size_t i = 0; i < ASSAY_COUNT(known); i++)
        if (strcmp(known[i].name, name) == 0) {
            *activation = (struct native_activation){.kind = known[i].kind};
            if (known[i].has_alpha)
                activation->alpha = assay_node_float(node, "alpha", 1);
            if (known[i].has_beta)
                activation->beta = assay_node_float(node, "beta", 0);
            return true;
        }
    return false;
}

dnnl_alg_kind_t native_activation_bounds(const struct native_activation *a, float *low, float *high)
{
    *low = -INFINITY;
    *high = INFINITY;
    if (a->kind == dnnl_eltwise_clip) {
        *low = a->alpha;
        *high = a->beta;
    } else if (a->kind == dnnl_eltwise_relu && a->alpha == 0) {
        *low = 0;
    } else {
        return a->kind;
    }
    return dnnl_alg_kind_undef;
}

void native_conv_points(dnnl_memory_desc_t *desc, int64_t n, int64_t channels, int n_spatial, const int64_t *spatial,
                        dnnl_data_type_t type)
{
    static const dnnl_format_tag_t tags[] = {dnnl_nwc, dnnl_nhwc, dnnl_ndhwc};
    dnnl_dims_t dims = {n, channels};
    for (int d = 0; d < n_spatial; d++)
        dims[2 + d] = spatial[d];
    dnnl_memory_desc_init_by_tag(desc, 2 + n_spatial, dims, type, tags[n_spatial - 1]);
}

void native_conv_walk(const struct assay_window *window, struct native_conv_steps *steps)
{
    memset(steps, 0, sizeof *steps);
    for (int i = 0; i < window->n_dims; i++) {
        int d = ASSAY_WINDOW_DIMS - window->n_dims + i;
        steps->stride[i] = window->stride[d];
        steps->dilation[i] = window->dilation[d] - 1;
        steps->pad_begin[i] = window->pad_begin[d];
        steps->pad_end[i] = window->pad_end[d];
    }
}

dnnl_status_t native_conv_create(const_dnnl_op_desc_t desc, bool adding, const struct native_activation *activation,
                                 dnnl_primitive_desc_t *result)
{
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t post;
    if (dnnl_primitive_attr_create(&attr))
        return dnnl_out_of_memory;
    if (dnnl_post_ops_create(&post)) {
        dnnl_primitive_attr_destroy(attr);
        return dnnl_out_of_memory;
    }
    dnnl_status_t st = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (!st && adding)
        st = dnnl_post_ops_append_sum(post, 1);
    if (!st && activation->kind != dnnl_alg_kind_undef)
        st = dnnl_post_ops_append_eltwise(post, 1, activation->kind, activation->alpha, activation->beta);
    if (!st)
        st = dnnl_primitive_attr_set_post_ops(attr, post);
    if (!st)
        st = dnnl_primitive_desc_create(result, desc, attr, native_dnnl_engine(), NULL);
    dnnl_post_ops_destroy(post);
    dnnl_primitive_attr_destroy(attr);
    return st;
}

void native_conv_answer(struct native_build *b, const struct native_conv *c)
{
    b->in_layouts[c->x] = b->out_layouts[0] = NATIVE_NHWC;
    b->unneeded[c->weight] = true;
    if (c->bias >= 0)
        b->unneeded[c->bias] = true;
    if (c->residual >= 0) {
        b->in_layouts[c->residual] = NATIVE_NHWC;
        b->kernel.in_place = c->residual;
    }
}

void native_conv_key(const dnnl_memory_desc_t *form, char *key, size_t size)
{
    const dnnl_blocking_desc_t *b = &form->format_desc.blocking;
    int n =
        snprintf(key, size, "%d %d %llx", (int)form->data_type, (int)form->format_kind, (unsigned long long)form->extra.flags);
    for (int d = 0; d < form->ndims && n < (int)size; d++)
        n += snprintf(key + n, size - (size_t)n, " %lld/%lld", (long long)form->padded_dims[d], (long long)b->strides[d]);
    for (int i = 0; i < b->inner_nblks && n < (int)size; i++)
        n += snprintf(key + n, size - (size_t)n, " %d:%d", (int)b->inner_blks[i], (int)b->inner_idxs[i]);
}
