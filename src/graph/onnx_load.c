/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX files to graphs (onnx.h): the model and its graphs. Nodes are in onnx_node.c, functions in onnx_function.c, contents in
 * onnx_tensor.c, the messages' bytes in onnx_wire.c. */
#include "graph/onnx.h"
#include "base/fs.h"
#include "graph/onnx_read.h"
#include "graph/onnx_states.h"

#include <stdio.h>

/* ---- types */

static const char *const kinds[] = {
    [ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE] = "a sequence",
    [ONNX__TYPE_PROTO__VALUE_MAP_TYPE] = "a map",
    [ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE] = "an optional",
    [ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE] = "a sparse tensor",
};

static enum assay_status read_dims(struct assay_onnx_reader *reader, const Onnx__TensorShapeProto *shape, const char *what,
                                   const char *name, struct assay_type *type)
{
    if (shape->n_dim > ASSAY_MAX_RANK)
        return assay_error_set(reader->err, ASSAY_UNSUPPORTED, "%s: %s '%s' has %zu dimensions; Assay has at most %d",
                               reader->where, what, name, shape->n_dim, ASSAY_MAX_RANK);
    int64_t bytes = 8;
    type->rank = (int)shape->n_dim;
    for (int i = 0; i < type->rank; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i];
        bool known = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && dim->dim_value >= 0;
        type->dims[i] = known ? dim->dim_value : -1;
        /* A size that nothing can have is taken for unknown. */
        if (known && __builtin_mul_overflow(bytes, dim->dim_value ? dim->dim_value : 1, &bytes)) {
            type->dims[i] = -1;
            bytes = INT64_MAX;
        }
    }
    return ASSAY_OK;
}

/* What the file says of a value; unknown where it says nothing. */
static enum assay_status read_type(struct assay_onnx_reader *reader, const Onnx__ValueInfoProto *info, const char *what,
                                   struct assay_type *type)
{
    const char *name = assay_onnx_text(info->name);
    *type = (struct assay_type){.rank = -1};
    if (!info->type || info->type->value_case == ONNX__TYPE_PROTO__VALUE__NOT_SET)
        return ASSAY_OK;
    if (info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return assay_error_set(reader->err, ASSAY_UNSUPPORTED, "%s: %s '%s' is %s; Assay has tensors only", reader->where, what,
                               name, kinds[info->type->value_case]);
    const Onnx__TypeProto__Tensor *tensor = info->type->tensor_type;
    int number = tensor->has_elem_type ? tensor->elem_type : 0;
    type->dtype = (enum assay_dtype)number;
    if (number != 0 && !assay_dtype_size(type->dtype))
        return assay_error_set(reader->err, ASSAY_UNSUPPORTED,
                               "%s: %s '%s' has elements of type %s (number %d), which Assay does not have", reader->where, what,
                               name, assay_dtype_word(number), number);
    return tensor->shape ? read_dims(reader, tensor->shape, what, name, type) : ASSAY_OK;
}

static void read_dim_names(struct assay_graph *graph, const Onnx__ValueInfoProto *info, int number)
{
    struct assay_value *value = &graph->values[number];
    bool has_shape =
        info->type && info->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && info->type->tensor_type->shape;
    if (graph->outer || !has_shape || value->dim_names || value->type.rank != (int)info->type->tensor_type->shape->n_dim)
        return;
    for (int i = 0; i < value->type.rank; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = info->type->tensor_type->shape->dim[i];
        if (dim->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM || !*assay_onnx_text(dim->dim_param))
            continue;
        if (!value->dim_names)
            value->dim_names = assay_arena_array(&graph->arena, ASSAY_MAX_RANK, sizeof *value->dim_names);
        value->dim_names[i] = assay_arena_strdup(&graph->arena, dim->dim_param);
    }
}

/* ---- a graph */

static enum assay_status twice(const struct assay_onnx_reader *reader, const char *name)
{
    return assay_error_set(reader->err, ASSAY_INVALID, "%s: the name '%s' is given to two values of one graph", reader->where,
                           name);
}

static enum assay_status add_initializer(struct assay_onnx_reader *reader, struct assay_onnx_scope *scope, const char *name,
                                         const struct assay_tensor *tensor)
{
    if (!*name)
        return assay_error_set(reader->err, ASSAY_INVALID, "%s: an initializer has no name", reader->where);
    int number = assay_graph_add_constant(scope->graph, name, tensor);
    return assay_names_add(&scope->names, scope->graph->values[number].name, number) ? ASSAY_OK : twice(reader, name);
}

static enum assay_status read_initializers(struct assay_onnx_reader *reader, const Onnx__GraphProto *proto,
                                           struct assay_onnx_scope *scope)
{
    char what[160];
    struct assay_tensor tensor = {0};
    enum assay_status st = ASSAY_OK;
    for (size_t i = 0; i < proto->n_initializer && !st; i++) {
        const char *name = assay_onnx_text(proto->initializer[i]->name);
        snprintf(what, sizeof what, "initializer '%.120s'", name);
        if (assay_names_find(&scope->names, name, NULL))
            return twice(reader, name);
        st = assay_onnx_read_tensor(reader, proto->initializer[i], !scope->call, what, &tensor);
        if (!st)
            st = add_initializer(reader, scope, name, &tensor);
        assay_tensor_release(&tensor);
    }
    for (size_t i = 0; i < proto->n_sparse_initializer && !st; i++) {
        Onnx__SparseTensorProto *sparse = proto->sparse_initializer[i];
        const char *name = sparse->values ? assay_onnx_text(sparse->values->name) : "";
        snprintf(what, sizeof what, "initializer '%.120s'", name);
        if (assay_names_find(&scope->names, name, NULL))
            return twice(reader, name);
        st = assay_onnx_read_sparse(reader, sparse, what, &tensor);
        if (!st)
            st = add_initializer(reader, scope, name, &tensor);
        assay_tensor_release(&tensor);
    }
    return st;
}

/* Up to IR version 3, initializers had to be listed among the inputs: these are not inputs here. */
static enum assay_status read_inputs(struct assay_onnx_reader *reader, const Onnx__GraphProto *proto,
                                     struct assay_onnx_scope *scope)
{
    struct assay_graph *graph = scope->graph;
    for (size_t i = 0; i < proto->n_input; i++) {
        const char *name = assay_onnx_text(proto->input[i]->name);
        int number;
        if (!*name)
            return assay_error_set(reader->err, ASSAY_INVALID, "%s: input %zu of graph '%s' has no name", reader->where, i,
                                   graph->name);
        if (assay_names_find(&scope->names, name, &number)) {
            if (graph->values[number].constant.data)
                continue;
            return twice(reader, name);
        }
        struct assay_type type;
        enum assay_status st = read_type(reader, proto->input[i], "input", &type);
        if (st)
            return st;
        if (!graph->outer && type.dtype == ASSAY_NO_DTYPE)
            return assay_error_set(reader->err, ASSAY_INVALID, "%s: input '%s' does not say its element type", reader->where,
                                   name);
        number = assay_graph_add_value(graph, name, &type);
        assay_names_add(&scope->names, graph->values[number].name, number);
        assay_graph_add_input(graph, number);
        read_dim_names(graph, proto->input[i], number);
    }
    return ASSAY_OK;
}

/* All results get their values before any node is read, so that nodes may stand in any order, and generated names do not take the
 * file's. */
static enum assay_status add_results(struct assay_onnx_reader *reader, const Onnx__GraphProto *proto,
                                     struct assay_onnx_scope *scope)
{
    for (size_t i = 0; i < proto->n_node; i++)
        for (size_t k = 0; k < proto->node[i]->n_output; k++) {
            const char *name = assay_onnx_text(proto->node[i]->output[k]);
            if (!*name)
                continue;
            int number = assay_graph_add_value(scope->graph, name, NULL);
            if (!assay_names_add(&scope->names, name, number))
                return twice(reader, name);
        }
    return ASSAY_OK;
}

/* A value that holds more than its declaration says keeps what it has. A declaration that we have no type for says nothing. */
static void declare(struct assay_onnx_scope *scope, int number, const struct assay_type *type)
{
    struct assay_value *value = &scope->graph->values[number];
    if (!value->constant.data && !value->is_input && value->outer < 0)
        value->type = *type;
}

static void read_value_infos(struct assay_onnx_reader *reader, const Onnx__GraphProto *proto, struct assay_onnx_scope *scope)
{
    struct assay_error *err = reader->err;
    struct assay_type type;
    int number;
    reader->err = NULL;
    for (size_t i = 0; i < proto->n_value_info; i++)
        if (assay_names_find(&scope->names, assay_onnx_text(proto->value_info[i]->name), &number) &&
            read_type(reader, proto->value_info[i], "value", &type) == ASSAY_OK)
            declare(scope, number, &type);
    reader->err = err;
}

/* Types are declared before the nodes are read, since upgrading asks for them; the outputs themselves come after. */
static enum assay_status declare_outputs(struct assay_onnx_reader *reader, const Onnx__GraphProto *proto,
                                         struct assay_onnx_scope *scope)
{
    for (size_t i = 0; i < proto->n_output; i++) {
        struct assay_type type;
        int number;
        enum assay_status st = read_type(reader, proto->output[i], "output", &type);
        if (st)
            return st;
        if (type.dtype && assay_names_find(&scope->names, assay_onnx_text(proto->output[i]->name), &number))
            declare(scope, number, &type);
    }
    return ASSAY_OK;
}

/* ONNX wants a body's outputs made in the body: one that hands through what it captures gets a node that does. */
static int own_value(struct assay_graph *graph, int number)
{
    if (graph->values[number].outer < 0)
        return number;
    int copy = assay_graph_add_value(graph, graph->values[number].name, &graph->values[number].type);
    assay_graph_add_node(graph, "Identity", "", 1, &number, 1, &copy);
    return copy;
}

static enum assay_status add_outputs(struct assay_onnx_reader *reader, const Onnx__GraphProto *proto,
                                     struct assay_onnx_scope *scope)
{
    for (size_t i = 0; i < proto->n_output; i++) {
        const char *name = assay_onnx_text(proto->output[i]->name);
        int number;
        if (!*name || !assay_onnx_find_value(scope, name, &number) || number < 0)
            return assay_error_set(reader->err, ASSAY_INVALID, "%s: output '%s' of graph '%s' is made by nothing", reader->where,
                                   name, scope->graph->name);
        number = own_value(scope->graph, number);
        assay_graph_add_output(scope->graph, number);
        read_dim_names(scope->graph, proto->output[i], number);
    }
    return ASSAY_OK;
}

enum assay_status assay_onnx_read_graph(struct assay_onnx_reader *reader, const Onnx__GraphProto *proto,
                                        struct assay_graph *graph, struct assay_onnx_scope *outer, int opset)
{
    struct assay_onnx_scope scope = {.graph = graph, .outer = outer, .opset = opset, .call = outer ? outer->call : NULL};
    enum assay_status st = ASSAY_OK;
    if (scope.call)
        st = assay_onnx_charge(reader, 1024 + 256 * (int64_t)(proto->n_input + proto->n_output + proto->n_initializer),
                               "an inlined function");
    if (!st)
        st = read_initializers(reader, proto, &scope);
    if (!st)
        st = read_inputs(reader, proto, &scope);
    if (!st)
        st = add_results(reader, proto, &scope);
    if (!st) {
        read_value_infos(reader, proto, &scope);
        st = declare_outputs(reader, proto, &scope);
    }
    for (size_t i = 0; i < proto->n_node && !st; i++)
        st = assay_onnx_read_node(reader, &scope, proto->node[i]);
    if (!st)
        st = add_outputs(reader, proto, &scope);
    assay_names_release(&scope.names);
    return st;
}

/* ---- the model */

enum { NEWEST_OPSET = 100, NEWEST_IR = 100, OLDEST_IR_WITH_OPSETS = 3 };

enum assay_status assay_onnx_read_opset(struct assay_onnx_reader *reader, size_t n, Onnx__OperatorSetIdProto **imports,
                                        int otherwise, int *opset)
{
    *opset = otherwise;
    for (size_t i = 0; i < n; i++) {
        if (*assay_onnx_domain(imports[i]->domain))
            continue;
        int64_t version = imports[i]->has_version ? imports[i]->version : 1;
        if (version < 1 || version > NEWEST_OPSET)
            return assay_error_set(reader->err, ASSAY_INVALID, "%s: imports opset %lld, which does not exist", reader->where,
                                   (long long)version);
        *opset = (int)version;
    }
    return ASSAY_OK;
}

static enum assay_status read_metadata(struct assay_onnx_reader *reader, const Onnx__ModelProto *model, struct assay_graph *graph)
{
    for (size_t i = 0; i < model->n_metadata_props; i++) {
        const char *key = assay_onnx_text(model->metadata_props[i]->key),
                   *text = assay_onnx_text(model->metadata_props[i]->value);
        if (strcmp(key, ASSAY_ONNX_STATES) != 0) {
            assay_graph_add_metadata(graph, key, text);
            continue;
        }
        enum assay_status st = assay_onnx_read_states(graph, text, reader->err);
        if (st)
            return assay_error_prefix(reader->err, st, "%s", reader->where);
    }
    return ASSAY_OK;
}

/* The versions of other domains' ops have no place in a graph: they are kept as metadata, to be written again. */
static void keep_imports(const Onnx__ModelProto *model, struct assay_graph *graph)
{
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const char *domain = assay_onnx_domain(model->opset_import[i]->domain);
        char name[256], version[24];
        int n = snprintf(name, sizeof name, ASSAY_ONNX_IMPORT "%s", domain);
        snprintf(version, sizeof version, "%lld", (long long)model->opset_import[i]->version);
        if (*domain && n < (int)sizeof name)
            assay_graph_add_metadata(graph, name, version);
    }
}

static enum assay_status read_model(struct assay_onnx_reader *reader, const Onnx__ModelProto *model, struct assay_graph **graph)
{
    int opset;
    int64_t ir_version = model->has_ir_version ? model->ir_version : OLDEST_IR_WITH_OPSETS;
    if (!model->graph)
        return assay_error_set(reader->err, ASSAY_INVALID, "%s: not an ONNX model: it holds no graph", reader->where);
    if (ir_version < 0 || ir_version > NEWEST_IR)
        return assay_error_set(reader->err, ASSAY_INVALID, "%s: not an ONNX model: its IR version is %lld", reader->where,
                               (long long)ir_version);
    enum assay_status st = assay_onnx_read_opset(reader, model->n_opset_import, model->opset_import,
                                                 model->n_opset_import ? ASSAY_OPSET : 1, &opset);
    if (!st)
        st = assay_onnx_read_functions(reader, model);
    if (st)
        return st;
    *graph = assay_graph_open(assay_onnx_text(model->graph->name));
    struct assay_arena *arena = &(*graph)->arena;
    (*graph)->opset = opset > ASSAY_OPSET ? opset : ASSAY_OPSET;
    (*graph)->ir_version = (int)ir_version;
    (*graph)->producer = assay_arena_strdup(arena, assay_onnx_text(model->producer_name));
    (*graph)->doc = assay_arena_strdup(arena, assay_onnx_text(model->doc_string));
    st = assay_onnx_read_graph(reader, model->graph, *graph, NULL, opset);
    if (!st)
        st = read_metadata(reader, model, *graph);
    if (st)
        return st;
    keep_imports(model, *graph);
    st = assay_graph_sort(*graph, reader->err);
    return st ? assay_error_prefix(reader->err, st, "%s", reader->where) : ASSAY_OK;
}

enum assay_status assay_onnx_parse(const void *data, size_t size_bytes, const char *folder, const char *where,
                                   struct assay_graph **graph, struct assay_error *err)
{
    struct assay_onnx_reader reader;
    ProtobufCMessage *message;
    *graph = NULL;
    enum assay_status st = assay_onnx_unpack(&onnx__model_proto__descriptor, data, size_bytes, where, &message, err);
    if (st)
        return st;
    assay_onnx_reader_init(&reader, where, folder, size_bytes, err);
    st = read_model(&reader, (const Onnx__ModelProto *)message, graph);
    if (st) {
        assay_graph_close(*graph);
        *graph = NULL;
    }
    assay_onnx_reader_release(&reader);
    assay_onnx_free_message(message);
    return st;
}

enum assay_status assay_onnx_load(const char *path, struct assay_graph **graph, struct assay_error *err)
{
    struct assay_map map;
    struct assay_arena arena;
    *graph = NULL;
    enum assay_status st = assay_map_open(&map, path, err);
    if (st)
        return st;
    assay_arena_init(&arena);
    st = assay_onnx_parse(map.data, map.size_bytes, assay_path_folder(&arena, path), path, graph, err);
    assay_arena_release(&arena);
    assay_map_release(&map);
    return st;
}
