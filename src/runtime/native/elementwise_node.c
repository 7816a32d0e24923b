/* SPDX-License-Identifier: Apache-2.0 */
/* What ONNX's elementwise ops are as vector operations, by the kind of their first argument. */
#include "runtime/native/elementwise.h"

#include <math.h>
#include <string.h>

#define V(name) NATIVE_V_##name
/* The operation on floats, integers and bools; parameters a and b are attributes. */
static const struct known {
    const char *type;
    int n_arguments;
    enum native_vector_op op[3];
    const char *a;
    float a_default;
    const char *b;
    float b_default;
    bool swapped;
} known[] = {
    {"Neg", 1, {V(NEG), V(NEG_I), V(NONE)}, "", 0, "", 0, false},
    {"Abs", 1, {V(ABS), V(ABS_I), V(NONE)}, "", 0, "", 0, false},
    {"Sign", 1, {V(SIGN), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Sqrt", 1, {V(SQRT), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Reciprocal", 1, {V(RECIPROCAL), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Floor", 1, {V(FLOOR), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Ceil", 1, {V(CEIL), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Round", 1, {V(ROUND), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Exp", 1, {V(EXP), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Log", 1, {V(LOG), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Sin", 1, {V(SIN), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Cos", 1, {V(COS), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Erf", 1, {V(ERF), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Tanh", 1, {V(TANH), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Sigmoid", 1, {V(SIGMOID), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Softplus", 1, {V(SOFTPLUS), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Softsign", 1, {V(SOFTSIGN), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Mish", 1, {V(MISH), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Relu", 1, {V(RELU), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"HardSwish", 1, {V(HARD_SWISH), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Swish", 1, {V(SWISH), V(NONE), V(NONE)}, "alpha", 1, "", 0, false},
    {"LeakyRelu", 1, {V(LEAKY_RELU), V(NONE), V(NONE)}, "alpha", 0.01f, "", 0, false},
    {"Elu", 1, {V(ELU), V(NONE), V(NONE)}, "alpha", 1, "", 0, false},
    {"HardSigmoid", 1, {V(HARD_SIGMOID), V(NONE), V(NONE)}, "alpha", 0.2f, "beta", 0.5f, false},
    {"IsNaN", 1, {V(IS_NAN), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Not", 1, {V(NONE), V(NONE), V(NOT)}, "", 0, "", 0, false},
    {"Add", 2, {V(ADD), V(ADD_I), V(NONE)}, "", 0, "", 0, false},
    {"Sub", 2, {V(SUB), V(SUB_I), V(NONE)}, "", 0, "", 0, false},
    {"Mul", 2, {V(MUL), V(MUL_I), V(NONE)}, "", 0, "", 0, false},
    {"Div", 2, {V(DIV), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"PRelu", 2, {V(PRELU), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Mod", 2, {V(FMOD), V(NONE), V(NONE)}, "", 0, "", 0, false},
    {"Equal", 2, {V(EQUAL), V(EQUAL_I), V(EQUAL_B)}, "", 0, "", 0, false},
    {"Less", 2, {V(LESS), V(LESS_I), V(NONE)}, "", 0, "", 0, false},
    {"LessOrEqual", 2, {V(LESS_EQUAL), V(LESS_EQUAL_I), V(NONE)}, "", 0, "", 0, false},
    {"Greater", 2, {V(LESS), V(LESS_I), V(NONE)}, "", 0, "", 0, true},
    {"GreaterOrEqual", 2, {V(LESS_EQUAL), V(LESS_EQUAL_I), V(NONE)}, "", 0, "", 0, true},
    {"And", 2, {V(NONE), V(NONE), V(AND)}, "", 0, "", 0, false},
    {"Or", 2, {V(NONE), V(NONE), V(OR)}, "", 0, "", 0, false},
    {"Xor", 2, {V(NONE), V(NONE), V(XOR)}, "", 0, "", 0, false},
};

static bool is_float(enum assay_dtype dtype) { return dtype == ASSAY_F32 || dtype == ASSAY_BF16 || dtype == ASSAY_F16; }

/* The integers that are calculated in 64 bits: with fewer, overflow would show. */
static int kind_number(enum assay_dtype dtype)
{
    return is_float(dtype) ? 0 : dtype == ASSAY_I64 || dtype == ASSAY_I32 ? 1 : dtype == ASSAY_BOOL ? 2 : -1;
}

static int apply_known(struct native_map *map, const struct known *k, const struct assay_node *node, const int *values)
{
    int x0 = values[0], x1 = k->n_arguments > 1 ? values[1] : -1;
    int kind = x0 < 0 ? -1 : kind_number(native_map_dtype(map, x0));
    if (kind < 0 || k->op[kind] == NATIVE_V_NONE || node->n_inputs != k->n_arguments)
        return -1;
    if (x1 >= 0 && native_map_dtype(map, x1) != native_map_dtype(map, x0))
        return -1;
    return native_map_apply(map, k->op[kind], assay_node_float(node, k->a, k->a_default),
                            assay_node_float(node, k->b, k->b_default), k->swapped ? x1 : x0, k->swapped ? x0 : x1, -1);
}

/* A bound that may be missing, else must be known; *bound stays as it is. */
static bool find_bound(const struct assay_node *node, const struct assay_tensor *const *constants, int input, float *bound)
{
    if (input >= node->n_inputs || node->inputs[input] < 0)
        return true;
    if (!constants[input] || assay_tensor_count(constants[input]) != 1)
        return false;
    *bound = (float)assay_tensor_real(constants[input], 0);
    return true;
}

static int clip(struct native_map *map, const struct assay_node *node, const int *values,
                const struct assay_tensor *const *constants)
{
    float low = -INFINITY, high = INFINITY;
    if (values[0] < 0 || !is_float(native_map_dtype(map, values[0])) || !find_bound(node, constants, 1, &low) ||
        !find_bound(node, constants, 2, &high))
        return -1;
    return native_map_apply(map, NATIVE_V_CLIP, low, high, values[0], -1, -1);
}

static bool is_easy_exponent(const struct assay_tensor *exponent)
{
    if (!exponent || assay_tensor_count(exponent) != 1 || exponent->type.rank != 0)
        return false;
    double e = assay_tensor_real(exponent, 0);
    return e == 1 || e == 2 || e == 3 || e == -1 || e == 0.5;
}

static int power(struct native_map *map, const int *values, const struct assay_tensor *const *constants)
{
    if (values[0] < 0 || !is_float(native_map_dtype(map, values[0])))
        return -1;
    if (is_easy_exponent(constants[1])) {
        double e = assay_tensor_real(constants[1], 0);
        if (e == 1)
            return values[0];
        enum native_vector_op op = e == 2    ? NATIVE_V_SQUARE
                                   : e == 3  ? NATIVE_V_CUBE
                                   : e == -1 ? NATIVE_V_RECIPROCAL
                                             : NATIVE_V_SQRT;
        return native_map_apply(map, op, 0, 0, values[0], -1, -1);
    }
    if (values[1] < 0)
        return -1;
    int exponent = native_map_cast(map, values[1], native_map_dtype(map, values[0]));
    return native_map_apply(map, NATIVE_V_POW, 0, 0, values[0], exponent, -1);
}

/* Max, Min, Sum, Mean of any number. */
static int variadic(struct native_map *map, const struct assay_node *node, const int *values)
{
    static const enum native_vector_op ops[4][2] = {{NATIVE_V_MAX, NATIVE_V_MAX_I},
                                                    {NATIVE_V_MIN, NATIVE_V_MIN_I},
                                                    {NATIVE_V_ADD, NATIVE_V_NONE},
                                                    {NATIVE_V_ADD, NATIVE_V_NONE}};
    int which = strcmp(node->type, "Max") == 0 ? 0 : strcmp(node->type, "Min") == 0 ? 1 : strcmp(node->type, "Sum") == 0 ? 2 : 3;
    int kind = values[0] < 0 ? -1 : kind_number(native_map_dtype(map, values[0])), result = values[0];
    if (kind < 0 || kind > 1 || ops[which][kind] == NATIVE_V_NONE)
        return -1;
    for (int i = 1; i < node->n_inputs; i++)
        result = native_map_apply(map, ops[which][kind], 0, 0, result, values[i], -1);
    return which < 3 ? result : native_map_apply(map, NATIVE_V_LINEAR, 1.0f / (float)node->n_inputs, 0, result, -1, -1);
}

static int where(struct native_map *map, const int *values)
{
    if (values[1] < 0 || values[2] < 0 || native_map_dtype(map, values[1]) != native_map_dtype(map, values[2]))
        return -1;
    int kind = kind_number(native_map_dtype(map, values[1]));
    return kind < 0 ? -1
                    : native_map_apply(map,
                                       kind == 0   ? NATIVE_V_WHERE_F
                                       : kind == 1 ? NATIVE_V_WHERE_I
                                                   : NATIVE_V_WHERE_B,
                                       0, 0, values[0], values[1], values[2]);
}

/* QuantizeLinear and DequantizeLinear with known numbers; values[0] is in codes for the latter. */
static int code(struct native_map *map, const struct assay_node *node, const int *values,
                const struct assay_tensor *const *constants, bool to_codes)
{
    const struct assay_tensor *scale = node->n_inputs > 1 ? constants[1] : NULL;
    bool has_zero = node->n_inputs > 2 && node->inputs[2] >= 0;
    const struct assay_tensor *zero = has_zero ? constants[2] : NULL;
    if (!scale || scale->type.dtype != ASSAY_F32 || assay_tensor_count(scale) != 1 || (has_zero && !zero) ||
        (zero && assay_tensor_count(zero) != 1) || assay_node_int(node, "block_size", 0) != 0)
        return -1;
    float number = (float)assay_tensor_real(scale, 0), middle = zero ? (float)assay_tensor_real(zero, 0) : 0;
    if (!isfinite(number) || number == 0)
        return -1;
    int64_t wanted = assay_node_int(node, "output_dtype", 0);
    enum assay_dtype dtype = zero ? zero->type.dtype : wanted ? (enum assay_dtype)wanted : ASSAY_U8;
    return to_codes ? native_map_quantize(map, values[0], dtype, number, middle)
                    : native_map_dequantize(map, values[0], number, middle);
}

bool native_map_is_parameter(const struct assay_node *node, int input, const struct assay_tensor *const *constants)
{
    if (input == 0)
        return false;
    if (strcmp(node->type, "Pow") == 0)
        return is_easy_exponent(constants[1]);
    static const char *const types[] = {"Clip", "Expand", "QuantizeLinear", "DequantizeLinear"};
    for (size_t i = 0; i < ASSAY_COUNT(types); i++)
        if (strcmp(node->type, types[i]) == 0)
            return true;
    return false;
}

int native_map_node(struct native_map *map, const struct assay_node *node, const int *values,
                    const struct assay_tensor *const *constants)
{
    const char *type = node->type;
    if (*node->domain || node->n_inputs < 1 || values[0] < 0)
        return -1;
    if (strcmp(type, "Mod") == 0 && !assay_node_int(node, "fmod", 0))
        return -1;
    for (size_t i = 0; i < ASSAY_COUNT(known); i++)
        if (strcmp(known[i].type, type) == 0)
            return apply_known(map, &known[i], node, values);
    if (strcmp(type, "Clip") == 0)
        return clip(map, node, values, constants);
    if (strcmp(type, "Pow") == 0)
        return power(map, values, constants);
    if (strcmp(type, "QuantizeLinear") == 0 || strcmp(type, "DequantizeLinear") == 0)
        return code(map, node, values, constants, *type == 'Q');
    if (strcmp(type, "Where") == 0)
        return where(map, values);
    if (strcmp(type, "Cast") == 0)
        return native_map_cast(map, values[0], (enum assay_dtype)assay_node_int(node, "to", 0));
    if (strcmp(type, "Max") == 0 || strcmp(type, "Min") == 0 || strcmp(type, "Sum") == 0 || strcmp(type, "Mean") == 0)
        return variadic(map, node, values);
    if (strcmp(type, "Gelu") == 0) {
        bool by_tanh = strcmp(assay_node_string(node, "approximate", "none"), "tanh") == 0;
        return native_map_apply(map, by_tanh ? NATIVE_V_GELU_TANH : NATIVE_V_GELU, 0, 0, values[0], -1, -1);
    }
    if (strcmp(type, "Selu") == 0) {
        int elu = native_map_apply(map, NATIVE_V_ELU, assay_node_float(node, "alpha", 1.67326319217681884765625f), 0, values[0],
                                   -1, -1);
        return native_map_apply(map, NATIVE_V_LINEAR, assay_node_float(node, "gamma", 1.05070102214813232421875f), 0, elu, -1,
                                -1);
    }
    if (strcmp(type, "Identity") == 0 || strcmp(type, "Expand") == 0)
        return values[0];
    return -1;
}
