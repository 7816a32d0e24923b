/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of the opset upgrade (upgrade_rules.h) for ops that say the same in another form: attributes that became inputs, or that
 * changed their kind, name or default. */
#include "graph/onnx.pb-c.h"
#include "graph/upgrade_rules.h"

/* Squeeze, Unsqueeze, ReduceSum */
enum assay_status assay_upgrade_axes_1(struct assay_upgrade *u)
{
    assay_upgrade_ints_to_input(u, "axes", 1);
    return ASSAY_OK;
}

enum assay_status assay_upgrade_split_13(struct assay_upgrade *u)
{
    assay_upgrade_ints_to_input(u, "split", 1);
    return ASSAY_OK;
}

/* `to` was the name of a type. */
enum assay_status assay_upgrade_cast_6(struct assay_upgrade *u)
{
    const char *name = assay_node_string(u->node, "to", NULL);
    if (!name)
        return ASSAY_OK;
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value_by_name(&onnx__tensor_proto__data_type__descriptor, name);
    if (!value)
        return assay_upgrade_fail(u, ASSAY_INVALID, "casts to a type that ONNX does not have");
    assay_node_set_int(u->graph, u->node, "to", value->value);
    return ASSAY_OK;
}

enum assay_status assay_upgrade_concat_4(struct assay_upgrade *u)
{
    if (!assay_node_attr(u->node, "axis"))
        assay_node_set_int(u->graph, u->node, "axis", 1);
    return ASSAY_OK;
}

enum assay_status assay_upgrade_reshape_5(struct assay_upgrade *u)
{
    assay_upgrade_ints_to_input(u, "shape", 1);
    return ASSAY_OK;
}

enum assay_status assay_upgrade_pad_2(struct assay_upgrade *u)
{
    size_t n;
    const int64_t *pads = assay_node_ints(u->node, "paddings", &n);
    if (pads)
        assay_node_set_ints(u->graph, u->node, "pads", pads, n);
    assay_node_remove_attr(u->node, "paddings");
    return ASSAY_OK;
}

enum assay_status assay_upgrade_pad_11(struct assay_upgrade *u)
{
    float value = assay_node_float(u->node, "value", 0);
    assay_upgrade_ints_to_input(u, "pads", 1);
    if (value != 0 && assay_upgrade_input(u, 0) >= 0)
        assay_upgrade_set_input(u, 2, assay_upgrade_scalar_like(u, "value", value, u->node->inputs[0]));
    assay_node_remove_attr(u->node, "value");
    return ASSAY_OK;
}

enum assay_status assay_upgrade_clip_11(struct assay_upgrade *u)
{
    static const char *const names[] = {"min", "max"};
    for (int i = 0; i < 2; i++) {
        if (assay_node_attr(u->node, names[i]) && assay_upgrade_input(u, 0) >= 0) {
            float limit = assay_node_float(u->node, names[i], 0);
            assay_upgrade_set_input(u, i + 1, assay_upgrade_scalar_like(u, names[i], limit, u->node->inputs[0]));
        }
        assay_node_remove_attr(u->node, names[i]);
    }
    return ASSAY_OK;
}

enum assay_status assay_upgrade_slice_10(struct assay_upgrade *u)
{
    assay_upgrade_ints_to_input(u, "starts", 1);
    assay_upgrade_ints_to_input(u, "ends", 2);
    assay_upgrade_ints_to_input(u, "axes", 3);
    return ASSAY_OK;
}

enum assay_status assay_upgrade_topk_10(struct assay_upgrade *u)
{
    assay_upgrade_ints_to_input(u, "k", 1);
    return ASSAY_OK;
}

/* (input, tiles, axis) had one factor for one axis; now there is a factor for each: ones, but `tiles` at `axis`. */
enum assay_status assay_upgrade_tile_6(struct assay_upgrade *u)
{
    int input = assay_upgrade_input(u, 0), tiles = assay_upgrade_input(u, 1), axis = assay_upgrade_input(u, 2);
    if (input < 0 || tiles < 0 || axis < 0)
        return assay_upgrade_fail(u, ASSAY_INVALID, "lacks an input");
    int one_long = assay_upgrade_ints(u, "one", (const int64_t[]){1}, 1), of[2] = {tiles, axis};
    for (int i = 0; i < 2; i++) {
        int cast = assay_upgrade_emit(u, "Cast", of[i], -1, -1);
        assay_node_set_int(u->graph, assay_upgrade_last(u), "to", ASSAY_I64);
        of[i] = assay_upgrade_emit(u, "Reshape", cast, one_long, -1);
    }
    int shape = assay_upgrade_emit(u, "Shape", input, -1, -1);
    int ones = assay_upgrade_emit(u, "ConstantOfShape", assay_upgrade_emit(u, "Shape", shape, -1, -1), -1, -1);
    assay_node_set_tensor(u->graph, assay_upgrade_last(u), "value", &u->graph->values[one_long].constant);
    assay_upgrade_set_input(u, 1, assay_upgrade_emit(u, "ScatterElements", ones, of[1], of[0]));
    u->node->n_inputs = 2;
    return ASSAY_OK;
}

/* GlobalLpPool and LpPool: p was a float. */
enum assay_status assay_upgrade_lp_2(struct assay_upgrade *u)
{
    const struct assay_attr *p = assay_node_attr(u->node, "p");
    if (!p || p->kind != ASSAY_ATTR_FLOAT)
        return ASSAY_OK;
    if (!(p->f >= 1 && p->f < 1e6f) || p->f != (float)(int)p->f)
        return assay_upgrade_fail(u, ASSAY_UNSUPPORTED, "has a p that is no small whole number");
    assay_node_set_int(u->graph, u->node, "p", (int64_t)p->f);
    return ASSAY_OK;
}

/* The defaults had four digits. */
enum assay_status assay_upgrade_selu_6(struct assay_upgrade *u)
{
    if (!assay_node_attr(u->node, "alpha"))
        assay_node_set_float(u->graph, u->node, "alpha", 1.6732f);
    if (!assay_node_attr(u->node, "gamma"))
        assay_node_set_float(u->graph, u->node, "gamma", 1.0507f);
    return ASSAY_OK;
}

/* value_int, value_ints, value_float, value_floats: the one form that is left is `value`. Strings stay as they are. */
enum assay_status assay_upgrade_constant_12(struct assay_upgrade *u)
{
    static const char *const names[] = {"value_int", "value_ints", "value_float", "value_floats"};
    for (size_t i = 0; i < ASSAY_COUNT(names); i++) {
        const struct assay_attr *attr = assay_node_attr(u->node, names[i]);
        if (!attr)
            continue;
        bool list = attr->kind == ASSAY_ATTR_INTS || attr->kind == ASSAY_ATTR_FLOATS;
        bool whole = attr->kind == ASSAY_ATTR_INT || attr->kind == ASSAY_ATTR_INTS;
        if (!list && !whole && attr->kind != ASSAY_ATTR_FLOAT)
            return assay_upgrade_fail(u, ASSAY_INVALID, "has a value of another kind than its name says");
        const void *bytes = attr->kind == ASSAY_ATTR_INT     ? (const void *)&attr->i
                            : attr->kind == ASSAY_ATTR_INTS  ? (const void *)attr->ints
                            : attr->kind == ASSAY_ATTR_FLOAT ? (const void *)&attr->f
                                                             : (const void *)attr->floats;
        int64_t n = (int64_t)attr->n;
        struct assay_type type = assay_type_make(whole ? ASSAY_I64 : ASSAY_F32, list ? 1 : 0, &n);
        struct assay_tensor tensor = {0};
        enum assay_status st = assay_tensor_alloc(&tensor, &type, u->err);
        if (st)
            return st;
        if (n)
            memcpy(tensor.data, bytes, (size_t)assay_tensor_bytes(&tensor));
        assay_node_remove_attr(u->node, names[i]);
        assay_node_set_tensor(u->graph, u->node, "value", &tensor);
        assay_tensor_release(&tensor);
        return ASSAY_OK;
    }
    return ASSAY_OK;
}

/* Until then there was no shift by half a pixel. */
enum assay_status assay_upgrade_roialign_16(struct assay_upgrade *u)
{
    assay_node_set_string(u->graph, u->node, "coordinate_transformation_mode", "output_half_pixel");
    return ASSAY_OK;
}

/* RNN, GRU, LSTM: whether Y is wanted is said by its name. */
enum assay_status assay_upgrade_recurrent_7(struct assay_upgrade *u)
{
    assay_node_remove_attr(u->node, "output_sequence");
    return ASSAY_OK;
}

enum assay_status assay_upgrade_scatter_11(struct assay_upgrade *u)
{
    assay_upgrade_retype(u->node, "ScatterElements");
    return ASSAY_OK;
}
