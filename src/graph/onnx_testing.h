/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of ONNX files: messages built in a line each (in an arena), parsed, and folded to numbers. */
#ifndef ASSAY_GRAPH_ONNX_TESTING_H
#define ASSAY_GRAPH_ONNX_TESTING_H

#include "graph/onnx.h"
#include "base/test.h"
#include "graph/infer.h"
#include "graph/onnx.pb-c.h"

/* A message of a protobuf-c type, initialised. */
#define MESSAGE(arena, Type, INIT) ((Type *)memcpy(assay_arena_alloc(arena, sizeof(Type)), &(Type)INIT, sizeof(Type)))
/* "a b" as two names; "-" as one that is not given. */
static inline char **onnx_words(struct assay_arena *arena, const char *text, size_t *n)
{
    char *copy = assay_arena_strdup(arena, text), **words = assay_arena_array(arena, strlen(text) + 1, sizeof *words), *rest;
    *n = 0;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        words[(*n)++] = strcmp(word, "-") == 0 ? "" : word;
    return words;
}

static inline Onnx__NodeProto *onnx_node(struct assay_arena *arena, const char *type, const char *inputs, const char *outputs)
{
    Onnx__NodeProto *node = MESSAGE(arena, Onnx__NodeProto, ONNX__NODE_PROTO__INIT);
    node->op_type = assay_arena_strdup(arena, type);
    node->input = onnx_words(arena, inputs, &node->n_input);
    node->output = onnx_words(arena, outputs, &node->n_output);
    node->attribute = assay_arena_array(arena, 8, sizeof *node->attribute);
    return node;
}

static inline Onnx__AttributeProto *onnx_attr(struct assay_arena *arena, Onnx__NodeProto *node, const char *name, int type)
{
    Onnx__AttributeProto *attr = MESSAGE(arena, Onnx__AttributeProto, ONNX__ATTRIBUTE_PROTO__INIT);
    attr->name = assay_arena_strdup(arena, name);
    attr->has_type = 1;
    attr->type = (Onnx__AttributeProto__AttributeType)type;
    node->attribute[node->n_attribute++] = attr;
    return attr;
}

static inline void onnx_int(struct assay_arena *arena, Onnx__NodeProto *node, const char *name, int64_t value)
{
    Onnx__AttributeProto *attr = onnx_attr(arena, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    attr->has_i = 1;
    attr->i = value;
}

static inline void onnx_float(struct assay_arena *arena, Onnx__NodeProto *node, const char *name, float value)
{
    Onnx__AttributeProto *attr = onnx_attr(arena, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    attr->has_f = 1;
    attr->f = value;
}

static inline void onnx_string(struct assay_arena *arena, Onnx__NodeProto *node, const char *name, const char *value)
{
    Onnx__AttributeProto *attr = onnx_attr(arena, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    attr->has_s = 1;
    attr->s = (ProtobufCBinaryData){strlen(value), (uint8_t *)assay_arena_strdup(arena, value)};
}

static inline void onnx_ints(struct assay_arena *arena, Onnx__NodeProto *node, const char *name, size_t n, const int64_t *values)
{
    Onnx__AttributeProto *attr = onnx_attr(arena, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    attr->n_ints = n;
    attr->ints = assay_arena_memdup(arena, values, n * sizeof *values);
}

static inline void onnx_floats(struct assay_arena *arena, Onnx__NodeProto *node, const char *name, size_t n, const float *values)
{
    Onnx__AttributeProto *attr = onnx_attr(arena, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
    attr->n_floats = n;
    attr->floats = assay_arena_memdup(arena, values, n * sizeof *values);
}

static inline Onnx__TensorProto *onnx_tensor(struct assay_arena *arena, const char *name, int dtype, size_t rank,
                                             const int64_t *dims)
{
    Onnx__TensorProto *tensor = MESSAGE(arena, Onnx__TensorProto, ONNX__TENSOR_PROTO__INIT);
    tensor->name = assay_arena_strdup(arena, name);
    tensor->has_data_type = 1;
    tensor->data_type = dtype;
    tensor->n_dims = rank;
    tensor->dims = assay_arena_memdup(arena, dims, rank * sizeof *dims);
    return tensor;
}

static inline Onnx__TensorProto *onnx_f32(struct assay_arena *arena, const char *name, size_t rank, const int64_t *dims, size_t n,
                                          const float *values)
{
    Onnx__TensorProto *tensor = onnx_tensor(arena, name, ASSAY_F32, rank, dims);
    tensor->n_float_data = n;
    tensor->float_data = assay_arena_memdup(arena, values, n * sizeof *values);
    return tensor;
}

static inline Onnx__ValueInfoProto *onnx_value(struct assay_arena *arena, const char *name, int dtype, int rank,
                                               const int64_t *dims)
{
    Onnx__ValueInfoProto *info = MESSAGE(arena, Onnx__ValueInfoProto, ONNX__VALUE_INFO_PROTO__INIT);
    info->name = assay_arena_strdup(arena, name);
    info->type = MESSAGE(arena, Onnx__TypeProto, ONNX__TYPE_PROTO__INIT);
    info->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    info->type->tensor_type = MESSAGE(arena, Onnx__TypeProto__Tensor, ONNX__TYPE_PROTO__TENSOR__INIT);
    info->type->tensor_type->has_elem_type = 1;
    info->type->tensor_type->elem_type = dtype;
    if (rank < 0)
        return info;
    Onnx__TensorShapeProto *shape = MESSAGE(arena, Onnx__TensorShapeProto, ONNX__TENSOR_SHAPE_PROTO__INIT);
    shape->n_dim = (size_t)rank;
    shape->dim = assay_arena_array(arena, (size_t)rank, sizeof *shape->dim);
    for (int i = 0; i < rank; i++) {
        shape->dim[i] = MESSAGE(arena, Onnx__TensorShapeProto__Dimension, ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT);
        shape->dim[i]->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        shape->dim[i]->dim_value = dims[i];
    }
    info->type->tensor_type->shape = shape;
    return info;
}

/* A model with an empty graph of that opset, with room for 8 of everything. */
static inline Onnx__ModelProto *onnx_model(struct assay_arena *arena, int opset)
{
    enum { ROOM = 8 };
    Onnx__ModelProto *model = MESSAGE(arena, Onnx__ModelProto, ONNX__MODEL_PROTO__INIT);
    Onnx__GraphProto *graph = model->graph = MESSAGE(arena, Onnx__GraphProto, ONNX__GRAPH_PROTO__INIT);
    model->has_ir_version = 1;
    model->ir_version = 8;
    model->n_opset_import = 1;
    model->opset_import = assay_arena_array(arena, ROOM, sizeof *model->opset_import);
    model->opset_import[0] = MESSAGE(arena, Onnx__OperatorSetIdProto, ONNX__OPERATOR_SET_ID_PROTO__INIT);
    model->opset_import[0]->has_version = 1;
    model->opset_import[0]->version = opset;
    model->functions = assay_arena_array(arena, 64, sizeof *model->functions);
    model->metadata_props = assay_arena_array(arena, ROOM, sizeof *model->metadata_props);
    graph->name = "test";
    graph->node = assay_arena_array(arena, ROOM, sizeof *graph->node);
    graph->initializer = assay_arena_array(arena, ROOM, sizeof *graph->initializer);
    graph->sparse_initializer = assay_arena_array(arena, ROOM, sizeof *graph->sparse_initializer);
    graph->input = assay_arena_array(arena, ROOM, sizeof *graph->input);
    graph->output = assay_arena_array(arena, ROOM, sizeof *graph->output);
    graph->value_info = assay_arena_array(arena, ROOM, sizeof *graph->value_info);
    return model;
}

static inline void *onnx_pack(struct assay_arena *arena, const ProtobufCMessage *message, size_t *size_bytes)
{
    void *data = assay_arena_alloc(arena, protobuf_c_message_get_packed_size(message));
    *size_bytes = protobuf_c_message_pack(message, data);
    return data;
}

static inline enum assay_status onnx_parse(struct assay_arena *arena, const Onnx__ModelProto *model, const char *folder,
                                           struct assay_graph **graph, struct assay_error *err)
{
    size_t size;
    void *data = onnx_pack(arena, &model->base, &size);
    return assay_onnx_parse(data, size, folder, "test", graph, err);
}

#endif
