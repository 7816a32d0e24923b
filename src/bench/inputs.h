/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inputs: named, seeded distributions for each kind of input, so that a model gets what it would get in use, and the same on
 * every machine.
 *
 *   normal, uniform     standard normal; uniform in [0, 1)
 *   image               a smooth random picture with a little noise, in [-1, 1]; of integers: 0 to 255
 *   audio               four sines and noise, within [-1, 1]
 *   tokens:N            uniform integers in [0, N)
 *   prompt:N:I          token I, which stands for an image, then tokens:N without I, along the last dimension
 *   mask                all ones (no padding); zeros, ones; constant:X; range: 0, 1, 2 … along the last dimension
 *   file:PATH           a TensorProto (.pb) of the same type and shape
 *
 * The numbers of an input come from Philox stream (seed, input's name), see base/rng.h.
 */
#ifndef ASSAY_BENCH_INPUTS_H
#define ASSAY_BENCH_INPUTS_H

#include "bench/case.h"
#include "graph/graph.h"

/* The kind that the graph's metadata hints at ("assay.input.NAME"), else one that suits the input, by its dtype, shape, name and
 * use (the rows of the table that a Gather looks it up in). From the arena. */
const char *assay_input_guess(const struct assay_graph *graph, int value, struct assay_arena *arena);
/* ASSAY_INVALID: no such kind, or it does not fit the dtype. */
enum assay_status assay_input_make(const struct assay_case_input *input, uint64_t seed, struct assay_tensor *tensor,
                                   struct assay_error *err);

#endif
