/* SPDX-License-Identifier: Apache-2.0 */
/* Sliding windows: kernel, strides, dilations and padding as convolutions and pools have them in common. Up to three spatial
 * dimensions; where there are fewer, the leading ones are of size 1, so that every kernel is one set of loops. */
#ifndef ASSAY_GRAPH_OPS_WINDOW_H
#define ASSAY_GRAPH_OPS_WINDOW_H

#include "graph/emit.h"
#include "graph/ops/util.h"

enum { ASSAY_WINDOW_DIMS = 3 };

struct assay_window {
    int n_dims;                       /* of the node: 1 … 3; the last n_dims entries below are its own */
    int64_t input[ASSAY_WINDOW_DIMS]; /* depth, height, width; -1 = unknown, output too */
    int64_t output[ASSAY_WINDOW_DIMS];
    int64_t kernel[ASSAY_WINDOW_DIMS]; /* -1 = unknown (a convolution whose weights are) */
    int64_t stride[ASSAY_WINDOW_DIMS];
    int64_t dilation[ASSAY_WINDOW_DIMS];
    int64_t pad_begin[ASSAY_WINDOW_DIMS];
    int64_t pad_end[ASSAY_WINDOW_DIMS];
};

/* Reads the node's attributes for input `x` [batch, channel, spatial …] of known rank. `weights` gives the kernel's size where
 * the node has weights [m, c, spatial …]; NULL: attribute kernel_shape must. Sets everything but `output`. */
enum assay_status assay_window_init(struct assay_window *window, const struct assay_op_call *call, const struct assay_type *x,
                                    const struct assay_type *weights, struct assay_error *err);
/* Sets `output`, and the padding that auto_pad stands for. ceil_mode: the last window may reach beyond the padding, but begins
 * before its end. */
enum assay_status assay_window_slide(struct assay_window *window, const struct assay_op_call *call, bool ceil_mode,
                                     struct assay_error *err);
/* Appends output's dimensions to the type. */
void assay_window_append(const struct assay_window *window, struct assay_type *type);

/* Sets the last node's kernel_shape, strides, dilations and pads (those that auto_pad stands for). */
void assay_window_set(struct assay_emit *e, const struct assay_window *window);
/* The sum of x [batch, channel, …] over all but the channels: a bias's gradient. */
int assay_sum_channels(struct assay_emit *e, int x);

/* The product of three dimensions. Wraps: where a tensor has no elements, its other dimensions may be anything. */
static inline int64_t assay_window_volume(const int64_t dims[ASSAY_WINDOW_DIMS])
{
    return (int64_t)((uint64_t)dims[0] * (uint64_t)dims[1] * (uint64_t)dims[2]);
}

/* The outputs [*from, *to) in [0, n) that kernel tap `tap` of dimension d meets inside of the input. */
void assay_window_reach(const struct assay_window *window, int d, int64_t tap, int64_t *from, int64_t *to);
/* The taps [*from, *to) that lie inside of the input at output `at` of dimension d. */
void assay_window_taps(const struct assay_window *window, int d, int64_t at, int64_t *from, int64_t *to);
/* Where tap `tap` of output `at` lies in the input's dimension d; may be outside. */
static inline int64_t assay_window_position(const struct assay_window *window, int d, int64_t at, int64_t tap)
{
    return at * window->stride[d] - window->pad_begin[d] + tap * window->dilation[d];
}

#endif
