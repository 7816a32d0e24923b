/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise ops of ONNX, each a program of one or a few vector operations (runtime/native/elementwise.h); Expand, which copies
 * what broadcasts; and BatchNormalization of inference. */
#include "runtime/native/elementwise.h"

#include <math.h>

static enum assay_status make(struct native_build *b, struct assay_error *err)
{
    struct native_map *map = native_map_open(b);
    int *values = assay_arena_array(b->arena, (size_t)b->n_inputs, sizeof *values);
    /* What a node looks up when it is compiled is no operand. */
    for (int k = 0; k < b->n_inputs; k++)
        values[k] = native_map_is_parameter(b->node, k, b->constants) ? -1 : native_map_input(map, k);
    int result = native_map_node(map, b->node, values, b->constants);
    return native_map_finish(map, &result, err);
}

/* Scale and shift of each channel: y = x s + t. */
static enum assay_status make_batch_norm(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0];
    if (b->n_outputs != 1 || x->rank < 2 || assay_node_int(b->node, "training_mode", 0))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "it trains");
    int64_t n = x->dims[1];
    for (int k = 1; k < 5; k++)
        if (!b->constants[k] || b->constants[k]->type.dtype != ASSAY_F32 || assay_tensor_count(b->constants[k]) != n)
            return assay_error_set(err, ASSAY_UNSUPPORTED, "input %d is no constant of f32", k);
    float *factors = assay_arena_array(b->arena, (size_t)n, sizeof *factors);
    float *shifts = assay_arena_array(b->arena, (size_t)n, sizeof *shifts);
    const float *scale = b->constants[1]->data, *bias = b->constants[2]->data, *mean = b->constants[3]->data,
                *variance = b->constants[4]->data;
    double epsilon = (double)assay_node_float(b->node, "epsilon", 1e-5f);
    for (int64_t i = 0; i < n; i++) {
        double factor = (double)scale[i] / sqrt((double)variance[i] + epsilon);
        factors[i] = (float)factor;
        shifts[i] = (float)((double)bias[i] - (double)mean[i] * factor);
    }
    struct assay_type type = {.dtype = ASSAY_F32, .rank = x->rank - 1};
    for (int d = 0; d < type.rank; d++)
        type.dims[d] = d == 0 ? n : 1;
    struct native_map *map = native_map_open(b);
    int scaled =
        native_map_apply(map, NATIVE_V_MUL, 0, 0, native_map_input(map, 0), native_map_constant(map, &type, factors), -1);
    int result = native_map_apply(map, NATIVE_V_ADD, 0, 0, scaled, native_map_constant(map, &type, shifts), -1);
    return native_map_finish(map, &result, err);
}

const struct native_maker native_makers_elementwise[] = {
    {.type = "Neg", .domain = "", .make = make},
    {.type = "Abs", .domain = "", .make = make},
    {.type = "Sign", .domain = "", .make = make},
    {.type = "Sqrt", .domain = "", .make = make},
    {.type = "Floor", .domain = "", .make = make},
    {.type = "Ceil", .domain = "", .make = make},
    {.type = "Round", .domain = "", .make = make},
    {.type = "Reciprocal", .domain = "", .make = make},
    {.type = "Exp", .domain = "", .make = make},
    {.type = "Log", .domain = "", .make = make},
    {.type = "Sin", .domain = "", .make = make},
    {.type = "Cos", .domain = "", .make = make},
    {.type = "Erf", .domain = "", .make = make},
    {.type = "Tanh", .domain = "", .make = make},
    {.type = "Sigmoid", .domain = "", .make = make},
    {.type = "Softplus", .domain = "", .make = make},
    {.type = "Softsign", .domain = "", .make = make},
    {.type = "Mish", .domain = "", .make = make},
    {.type = "Relu", .domain = "", .make = make},
    {.type = "HardSwish", .domain = "", .make = make},
    {.type = "Swish", .domain = "", .make = make},
    {.type = "LeakyRelu", .domain = "", .make = make},
    {.type = "Elu", .domain = "", .make = make},
    {.type = "Selu", .domain = "", .make = make},
    {.type = "HardSigmoid", .domain = "", .make = make},
    {.type = "Gelu", .domain = "", .make = make},
    {.type = "Clip", .domain = "", .make = make},
    {.type = "IsNaN", .domain = "", .make = make},
    {.type = "Not", .domain = "", .make = make},
    {.type = "Add", .domain = "", .make = make},
    {.type = "Sub", .domain = "", .make = make},
    {.type = "Mul", .domain = "", .make = make},
    {.type = "Div", .domain = "", .make = make},
    {.type = "PRelu", .domain = "", .make = make},
    {.type = "Pow", .domain = "", .make = make},
    {.type = "Mod", .domain = "", .make = make},
    {.type = "Max", .domain = "", .make = make},
    {.type = "Min", .domain = "", .make = make},
    {.type = "Sum", .domain = "", .make = make},
    {.type = "Mean", .domain = "", .make = make},
    {.type = "Equal", .domain = "", .make = make},
    {.type = "Less", .domain = "", .make = make},
    {.type = "LessOrEqual", .domain = "", .make = make},
    {.type = "Greater", .domain = "", .make = make},
    {.type = "GreaterOrEqual", .domain = "", .make = make},
    {.type = "And", .domain = "", .make = make},
    {.type = "Or", .domain = "", .make = make},
    {.type = "Xor", .domain = "", .make = make},
    {.type = "Where", .domain = "", .make = make},
    {.type = "Cast", .domain = "", .make = make},
    {.type = "Expand", .domain = "", .make = make},
    {.type = "BatchNormalization", .domain = "", .make = make_batch_norm},
    {0},
};
