/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elementwise programs: one or many operations on every element of operands that broadcast, in one walk over memory. A list of
 * vector operations (simd/vector.h) runs on one block of elements after another; what lies between the operations stays in the
 * first cache. Any number of inputs and outputs; bf16, f16 and small integers are converted on the way in and out.
 *
 *     struct native_map *map = native_map_open(build);
 *     int x = native_map_input(map, 0), y = native_map_apply(map, NATIVE_V_EXP, 0, 0, x, -1, -1);
 *     return native_map_finish(map, &y, err);
 *
 * A value is a number ≥ 0; -1, which every function also takes and hands on, says that there is no such operation.
 */
#ifndef ASSAY_RUNTIME_NATIVE_ELEMENTWISE_H
#define ASSAY_RUNTIME_NATIVE_ELEMENTWISE_H

#include "runtime/native/native.h"
#include "runtime/native/simd/vector.h"

struct native_map;

/* In the build's arena. */
struct native_map *native_map_open(struct native_build *build);
struct assay_arena *native_map_arena(struct native_map *map);
/* Input `input` of the node. */
int native_map_input(struct native_map *map, int input);
/* Borrows contents of that type, which must live as long as the kernel. */
int native_map_constant(struct native_map *map, const struct assay_type *type, const void *data);
/* Arguments not used are -1. The result has the first argument's dtype, the second's for WHERE, or bool. */
int native_map_apply(struct native_map *map, enum native_vector_op op, float a, float b, int x0, int x1, int x2);
enum assay_dtype native_map_dtype(const struct native_map *map, int value);
int native_map_cast(struct native_map *map, int value, enum assay_dtype dtype);
/* QuantizeLinear to u8 or i8, and DequantizeLinear from them, of one scale and zero point. */
int native_map_quantize(struct native_map *map, int value, enum assay_dtype dtype, float scale, float zero);
int native_map_dequantize(struct native_map *map, int value, float scale, float zero);
/* What an elementwise node of ONNX makes of `values`, those of its inputs; constants[k] may be NULL. */
int native_map_node(struct native_map *map, const struct assay_node *node, const int *values,
                    const struct assay_tensor *const *constants);
/* Whether the node takes input `input` as a parameter, known when it is compiled, so that it is no operand: native_map_node wants
 * -1 for its value. */
bool native_map_is_parameter(const struct assay_node *node, int input, const struct assay_tensor *const *constants);
/* Makes the build's kernel: output k is results[k]. All outputs have one shape, to which all operands broadcast. Chooses the
 * layouts. ASSAY_UNSUPPORTED if a value is -1, or the types do not fit; then the build is as it was. */
enum assay_status native_map_finish(struct native_map *map, const int *results, struct assay_error *err);

#endif
