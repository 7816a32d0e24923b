/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of convolutions share: descriptors of oneDNN for values that lie channels last, and what follows a product. */
#ifndef ASSAY_RUNTIME_NATIVE_KERNELS_CONV_H
#define ASSAY_RUNTIME_NATIVE_KERNELS_CONV_H

#include "graph/ops/window.h"
#include "runtime/native/dnnl.h"

/* An activation of the ops of domain "assay" (graph/ops/op_fused.c). Zeroed: none. */
struct native_activation {
    dnnl_alg_kind_t kind; /* dnnl_alg_kind_undef = none */
    float alpha, beta;
};

/* What a convolution with constant weights asks for, whatever op asks. */
struct native_conv {
    struct assay_window window;
    int64_t batch, n_in, n_out, groups; /* channels of all groups */
    int x, weight, bias, residual;      /* inputs; -1 = none */
    enum assay_dtype dtype;
    int along; /* the dimension of which threads may share the rows: those before it are of size 1 */
    struct native_activation activation;
};

/* Of f32, where each output is made of numbers that lie in a row: 1 × 1, or along one dimension. False where oneDNN does it
 * better. */
bool native_conv_rows_suits(const struct native_build *build, const struct native_conv *conv);
enum assay_status native_conv_rows_make(struct native_build *build, const struct native_conv *conv, const float *bias,
                                        struct assay_error *err);

/* Of f32, where each channel is made of one of its own. transposed: ConvTranspose's window. */
bool native_conv_depthwise_suits(const struct native_conv *conv);
enum assay_status native_conv_depthwise_make(struct native_build *build, const struct native_conv *conv, const float *bias,
                                             bool transposed, struct assay_error *err);

/* Reads a node's attributes; false if oneDNN has no such activation. */
bool native_activation_find(const struct assay_node *node, struct native_activation *activation);

/* What of an activation is bounds, so that it is done before sums leave registers, infinite if nothing; returns what is left. */
dnnl_alg_kind_t native_activation_bounds(const struct native_activation *activation, float *low, float *high);

/* [n, spatial…, channels] without gaps. */
void native_conv_points(dnnl_memory_desc_t *desc, int64_t n, int64_t channels, int n_spatial, const int64_t *spatial,
                        dnnl_data_type_t type);
/* Strides, dilations (oneDNN counts what is left out) and padding of a window. */
struct native_conv_steps {
    dnnl_dims_t stride, dilation, pad_begin, pad_end;
};
void native_conv_walk(const struct assay_window *window, struct native_conv_steps *steps);
/* The primitive descriptor of an operation, `adding` to what lies in its output, then the activation; scratch is the caller's. */
dnnl_status_t native_conv_create(const_dnnl_op_desc_t desc, bool adding, const struct native_activation *activation,
                                 dnnl_primitive_desc_t *result);
/* Layouts, what the kernel needs no more, and that it adds to its residual in place. */
void native_conv_answer(struct native_build *build, const struct native_conv *conv);
/* All that the form of weights is, as text for the key of a pack. */
void native_conv_key(const dnnl_memory_desc_t *form, char *key, size_t size);

#endif
