/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs to ONNX files (onnx.h). The message is built in an arena, with tensors' bytes where they are, and packed straight into
 * the file. What a body captures goes by the name that it has outside; other names in a body are made different from all outside,
 * since ONNX forbids shadowing.
 */
#include "graph/onnx.h"
#include "base/fs.h"
#include "graph/names.h"
#include "graph/onnx.pb-c.h"
#include "graph/onnx_states.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    EXTERNAL_ALIGNMENT = 4096,
    SMALLEST_EXTERNAL = 1024, /* where external data is a necessity, not a wish */
};
static const int64_t largest_inside = (int64_t)1 << 30;

struct writer {
    struct assay_arena arena;
    struct assay_names domains; /* of the nodes */
    int n_renamed;
    /* External data: constants of the outermost graph from this size on, INT64_MAX = none; in the file of that name, or, without
     * a file, where the caller says ("*"). */
    int64_t external_from_bytes;
    const char *location;
    FILE *file;
    int64_t written_bytes;
    struct assay_error *err;
};

/* A graph being written, within those around it. */
struct level {
    const struct assay_graph *graph;
    const struct level *outer;
    const char **names; /* of the graph's values, in the file */
    struct assay_names taken;
};

/* ---- names */

static bool is_taken(const struct level *level, const char *name)
{
    for (; level; level = level->outer)
        if (assay_names_find(&level->taken, name, NULL))
            return true;
    return false;
}

/* The suffix counts on through the whole file, so that the first try is free as a rule, however many bodies use one name. */
static const char *free_name(struct writer *w, const struct level *level, const char *name)
{
    const char *tried = name;
    while (is_taken(level, tried))
        tried = assay_arena_printf(&w->arena, "%s_%d", name, ++w->n_renamed);
    return tried;
}

static void choose_names(struct writer *w, struct level *level)
{
    const struct assay_graph *graph = level->graph;
    level->names = assay_arena_array(&w->arena, (size_t)graph->n_values, sizeof *level->names);
    for (int i = 0; i < graph->n_values; i++) {
        const struct assay_value *value = &graph->values[i];
        if (value->outer >= 0 && level->outer) {
            level->names[i] = level->outer->names[value->outer];
            continue;
        }
        level->names[i] = free_name(w, level, value->name);
        assay_names_add(&level->taken, level->names[i], i);
    }
}

/* ---- tensors and types */

#define NEW(w, type, INIT) memcpy(assay_arena_alloc(&(w)->arena, sizeof(type)), &(type)INIT, sizeof(type))

static Onnx__StringStringEntryProto *new_entry(struct writer *w, const char *key, const char *text)
{
    Onnx__StringStringEntryProto *entry = NEW(w, Onnx__StringStringEntryProto, ONNX__STRING_STRING_ENTRY_PROTO__INIT);
    entry->key = (char *)(uintptr_t)key;
    entry->value = (char *)(uintptr_t)text;
    return entry;
}

/* Appends the bytes to the data file, after a gap that aligns them for mapping. */
static enum assay_status write_external(struct writer *w, const struct assay_tensor *tensor, int64_t *offset)
{
    static const char zeros[EXTERNAL_ALIGNMENT];
    size_t gap = (size_t)(-w->written_bytes & (EXTERNAL_ALIGNMENT - 1)), size = (size_t)assay_tensor_bytes(tensor);
    *offset = w->written_bytes + (int64_t)gap;
    w->written_bytes = *offset + (int64_t)size;
    if (fwrite(zeros, 1, gap, w->file) != gap || fwrite(tensor->data, 1, size, w->file) != size)
        return assay_error_set(w->err, ASSAY_IO, "cannot write external data: %m");
    return ASSAY_OK;
}

static enum assay_status set_external(struct writer *w, const struct assay_tensor *tensor, Onnx__TensorProto *proto)
{
    proto->has_data_location = 1;
    proto->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    proto->external_data = assay_arena_array(&w->arena, 3, sizeof *proto->external_data);
    proto->external_data[proto->n_external_data++] = new_entry(w, "location", w->location);
    if (!w->file)
        return ASSAY_OK;
    int64_t offset;
    enum assay_status st = write_external(w, tensor, &offset);
    proto->external_data[proto->n_external_data++] = new_entry(w, "offset", assay_arena_printf(&w->arena, "%" PRId64, offset));
    proto->external_data[proto->n_external_data++] =
        new_entry(w, "length", assay_arena_printf(&w->arena, "%" PRId64, assay_tensor_bytes(tensor)));
    return st;
}

static Onnx__TensorProto *new_tensor(struct writer *w, const struct assay_tensor *tensor, const char *name)
{
    Onnx__TensorProto *proto = NEW(w, Onnx__TensorProto, ONNX__TENSOR_PROTO__INIT);
    proto->name = (char *)(uintptr_t)name;
    proto->has_data_type = 1;
    proto->data_type = tensor->type.dtype;
    proto->n_dims = (size_t)tensor->type.rank;
    proto->dims = assay_arena_memdup(&w->arena, tensor->type.dims, proto->n_dims * sizeof *proto->dims);
    return proto;
}

static void set_raw(const struct assay_tensor *tensor, Onnx__TensorProto *proto)
{
    proto->has_raw_data = 1;
    proto->raw_data = (ProtobufCBinaryData){(size_t)assay_tensor_bytes(tensor), tensor->data};
}

static Onnx__TypeProto *new_type(struct writer *w, const struct assay_value *value)
{
    Onnx__TypeProto *proto = NEW(w, Onnx__TypeProto, ONNX__TYPE_PROTO__INIT);
    proto->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    proto->tensor_type = NEW(w, Onnx__TypeProto__Tensor, ONNX__TYPE_PROTO__TENSOR__INIT);
    proto->tensor_type->has_elem_type = 1;
    /* Of 4 bits only initializers and attributes are read, which have their type with them. */
    proto->tensor_type->elem_type = assay_dtype_is_packed(value->type.dtype) ? ASSAY_NO_DTYPE : value->type.dtype;
    if (value->type.rank < 0)
        return proto;
    Onnx__TensorShapeProto *shape = proto->tensor_type->shape = NEW(w, Onnx__TensorShapeProto, ONNX__TENSOR_SHAPE_PROTO__INIT);
    shape->n_dim = (size_t)value->type.rank;
    shape->dim = assay_arena_array(&w->arena, shape->n_dim, sizeof *shape->dim);
    for (int i = 0; i < value->type.rank; i++) {
        Onnx__TensorShapeProto__Dimension *dim = shape->dim[i] =
            NEW(w, Onnx__TensorShapeProto__Dimension, ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT);
        if (value->dim_names &&
            value->dim_names[i]) { /* open, also where it is bound just now: a file keeps what its model allows */
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dim->dim_param = (char *)(uintptr_t)value->dim_names[i];
        } else if (value->type.dims[i] >= 0) {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dim->dim_value = value->type.dims[i];
        }
    }
    return proto;
}

static Onnx__ValueInfoProto *new_info(struct writer *w, const struct level *level, int number, const char *name)
{
    Onnx__ValueInfoProto *info = NEW(w, Onnx__ValueInfoProto, ONNX__VALUE_INFO_PROTO__INIT);
    info->name = (char *)(uintptr_t)name;
    if (level->graph->values[number].type.dtype)
        info->type = new_type(w, &level->graph->values[number]);
    return info;
}

/* ---- nodes */

static enum assay_status new_graph(struct writer *w, const struct assay_graph *graph, const struct level *outer,
                                   Onnx__GraphProto **proto);

static ProtobufCBinaryData bytes_of(const char *text, size_t n) { return (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)text}; }

static enum assay_status new_attr(struct writer *w, const struct level *level, const struct assay_attr *attr,
                                  Onnx__AttributeProto **out)
{
    static const Onnx__AttributeProto__AttributeType types[] = {
        [ASSAY_ATTR_INT] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT,
        [ASSAY_ATTR_FLOAT] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT,
        [ASSAY_ATTR_STRING] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING,
        [ASSAY_ATTR_TENSOR] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR,
        [ASSAY_ATTR_GRAPH] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH,
        [ASSAY_ATTR_INTS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
        [ASSAY_ATTR_FLOATS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS,
        [ASSAY_ATTR_STRINGS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS,
    };
    Onnx__AttributeProto *proto = *out = NEW(w, Onnx__AttributeProto, ONNX__ATTRIBUTE_PROTO__INIT);
    proto->name = (char *)(uintptr_t)attr->name;
    proto->has_type = 1;
    proto->type = types[attr->kind];
    proto->has_i = attr->kind == ASSAY_ATTR_INT;
    proto->i = attr->i;
    proto->has_f = attr->kind == ASSAY_ATTR_FLOAT;
    proto->f = attr->f;
    switch (attr->kind) {
    case ASSAY_ATTR_STRING:
        proto->has_s = 1;
        proto->s = bytes_of(attr->s, attr->n);
        break;
    case ASSAY_ATTR_TENSOR:
        proto->t = new_tensor(w, &attr->tensor, attr->name);
        set_raw(&attr->tensor, proto->t);
        break;
    case ASSAY_ATTR_GRAPH:
        return new_graph(w, attr->graph, level, &proto->g);
    case ASSAY_ATTR_INTS:
        proto->n_ints = attr->n;
        proto->ints = attr->ints;
        break;
    case ASSAY_ATTR_FLOATS:
        proto->n_floats = attr->n;
        proto->floats = attr->floats;
        break;
    case ASSAY_ATTR_STRINGS:
        proto->n_strings = attr->n;
        proto->strings = assay_arena_array(&w->arena, attr->n, sizeof *proto->strings);
        for (size_t i = 0; i < attr->n; i++)
            proto->strings[i] = bytes_of(attr->strings[i], strlen(attr->strings[i]));
        break;
    default:
        break;
    }
    return ASSAY_OK;
}

static char **names_of(struct writer *w, const struct level *level, const int *numbers, int n)
{
    char **names = assay_arena_array(&w->arena, (size_t)n, sizeof *names);
    for (int i = 0; i < n; i++)
        names[i] = (char *)(uintptr_t)(numbers[i] < 0 ? "" : level->names[numbers[i]]);
    return names;
}

static enum assay_status new_node(struct writer *w, const struct level *level, const struct assay_node *node,
                                  Onnx__NodeProto **out)
{
    Onnx__NodeProto *proto = *out = NEW(w, Onnx__NodeProto, ONNX__NODE_PROTO__INIT);
    proto->name = *node->name ? (char *)(uintptr_t)node->name : NULL;
    proto->op_type = (char *)(uintptr_t)node->type;
    proto->domain = *node->domain ? (char *)(uintptr_t)node->domain : NULL;
    proto->n_input = (size_t)node->n_inputs;
    proto->input = names_of(w, level, node->inputs, node->n_inputs);
    proto->n_output = (size_t)node->n_outputs;
    proto->output = names_of(w, level, node->outputs, node->n_outputs);
    proto->attribute = assay_arena_array(&w->arena, (size_t)node->n_attrs, sizeof *proto->attribute);
    if (*node->domain)
        assay_names_add(&w->domains, node->domain, 1);
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < node->n_attrs && !st; i++)
        st = new_attr(w, level, &node->attrs[i], &proto->attribute[proto->n_attribute++]);
    return st;
}

/* ---- graphs */

static bool is_initializer(const struct assay_value *value)
{
    return value->constant.data && !value->is_inferred && !value->is_input && value->outer < 0;
}

static enum assay_status add_initializers(struct writer *w, const struct level *level, Onnx__GraphProto *proto)
{
    const struct assay_graph *graph = level->graph;
    proto->initializer = assay_arena_array(&w->arena, (size_t)graph->n_values, sizeof *proto->initializer);
    for (int i = 0; i < graph->n_values; i++) {
        const struct assay_tensor *tensor = &graph->values[i].constant;
        if (!is_initializer(&graph->values[i]))
            continue;
        Onnx__TensorProto *added = proto->initializer[proto->n_initializer++] = new_tensor(w, tensor, level->names[i]);
        if (level->outer || assay_tensor_bytes(tensor) < w->external_from_bytes) {
            set_raw(tensor, added);
            continue;
        }
        enum assay_status st = set_external(w, tensor, added);
        if (st)
            return st;
    }
    return ASSAY_OK;
}

/* What is known of the values between the nodes, for tools that want to show it. */
static void add_value_infos(struct writer *w, const struct level *level, Onnx__GraphProto *proto)
{
    const struct assay_graph *graph = level->graph;
    proto->value_info = assay_arena_array(&w->arena, (size_t)graph->n_values, sizeof *proto->value_info);
    for (int i = 0; i < graph->n_nodes; i++)
        for (int k = 0; k < graph->nodes[i]->n_outputs; k++) {
            int number = graph->nodes[i]->outputs[k];
            if (number >= 0 && !graph->values[number].is_output && graph->values[number].type.dtype)
                proto->value_info[proto->n_value_info++] = new_info(w, level, number, level->names[number]);
        }
}

/* ONNX wants a body's outputs made in the body: what it captures and hands through goes through a node. */
static void add_outputs(struct writer *w, struct level *level, Onnx__GraphProto *proto)
{
    const struct assay_graph *graph = level->graph;
    proto->output = assay_arena_array(&w->arena, (size_t)graph->n_outputs, sizeof *proto->output);
    for (int i = 0; i < graph->n_outputs; i++) {
        int number = graph->outputs[i];
        const char *name = level->names[number];
        if (graph->values[number].outer >= 0) {
            Onnx__NodeProto *copy = NEW(w, Onnx__NodeProto, ONNX__NODE_PROTO__INIT);
            copy->op_type = (char *)(uintptr_t) "Identity";
            copy->n_input = copy->n_output = 1;
            copy->input = names_of(w, level, &number, 1);
            copy->output = assay_arena_alloc(&w->arena, sizeof *copy->output);
            name = free_name(w, level, graph->values[number].name);
            assay_names_add(&level->taken, name, number);
            copy->output[0] = (char *)(uintptr_t)name;
            proto->node[proto->n_node++] = copy;
        }
        proto->output[proto->n_output++] = new_info(w, level, number, name);
    }
}

static enum assay_status fill_graph(struct writer *w, struct level *level, Onnx__GraphProto *proto)
{
    const struct assay_graph *graph = level->graph;
    choose_names(w, level);
    proto->name = (char *)(uintptr_t)(*graph->name ? graph->name : "graph");
    proto->input = assay_arena_array(&w->arena, (size_t)graph->n_inputs, sizeof *proto->input);
    for (int i = 0; i < graph->n_inputs; i++)
        proto->input[proto->n_input++] = new_info(w, level, graph->inputs[i], level->names[graph->inputs[i]]);
    enum assay_status st = add_initializers(w, level, proto);
    proto->node = assay_arena_array(&w->arena, (size_t)graph->n_nodes + (size_t)graph->n_outputs, sizeof *proto->node);
    for (int i = 0; i < graph->n_nodes && !st; i++)
        if (graph->nodes[i])
            st = new_node(w, level, graph->nodes[i], &proto->node[proto->n_node++]);
    if (st)
        return st;
    add_value_infos(w, level, proto);
    add_outputs(w, level, proto);
    return ASSAY_OK;
}

static enum assay_status new_graph(struct writer *w, const struct assay_graph *graph, const struct level *outer,
                                   Onnx__GraphProto **proto)
{
    struct level level = {.graph = graph, .outer = outer};
    *proto = NEW(w, Onnx__GraphProto, ONNX__GRAPH_PROTO__INIT);
    enum assay_status st = fill_graph(w, &level, *proto);
    assay_names_release(&level.taken);
    return st;
}

/* ---- the model */

static Onnx__OperatorSetIdProto *new_import(struct writer *w, const char *domain, int64_t version)
{
    Onnx__OperatorSetIdProto *import = NEW(w, Onnx__OperatorSetIdProto, ONNX__OPERATOR_SET_ID_PROTO__INIT);
    import->domain = (char *)(uintptr_t)domain;
    import->has_version = 1;
    import->version = version;
    return import;
}

/* ONNX's own ops; domains whose versions the file that we loaded gave; and any others of a node, in version 1. */
static void add_imports(struct writer *w, const struct assay_graph *graph, Onnx__ModelProto *model)
{
    static const size_t prefix = sizeof ASSAY_ONNX_IMPORT - 1;
    struct assay_names done = {0};
    size_t room = 1 + (size_t)graph->n_metadata;
    const char **others = assay_arena_array(&w->arena, w->domains.n, sizeof *others);
    size_t n_others = assay_names_list(&w->domains, others);
    model->opset_import = assay_arena_array(&w->arena, room + n_others, sizeof *model->opset_import);
    model->opset_import[model->n_opset_import++] = new_import(w, "", graph->opset);
    for (int i = 0; i < graph->n_metadata; i++) {
        const struct assay_attr *entry = &graph->metadata[i];
        if (strncmp(entry->name, ASSAY_ONNX_IMPORT, prefix) != 0 || !assay_names_add(&done, entry->name + prefix, 1))
            continue;
        model->opset_import[model->n_opset_import++] = new_import(w, entry->name + prefix, strtoll(entry->s, NULL, 10));
    }
    for (size_t i = 0; i < n_others; i++)
        if (assay_names_add(&done, others[i], 1))
            model->opset_import[model->n_opset_import++] = new_import(w, others[i], 1);
    assay_names_release(&done);
}

static void add_metadata(struct writer *w, const struct assay_graph *graph, Onnx__ModelProto *model)
{
    model->metadata_props = assay_arena_array(&w->arena, (size_t)graph->n_metadata + 1, sizeof *model->metadata_props);
    for (int i = 0; i < graph->n_metadata; i++)
        if (strncmp(graph->metadata[i].name, ASSAY_ONNX_IMPORT, sizeof ASSAY_ONNX_IMPORT - 1) != 0)
            model->metadata_props[model->n_metadata_props++] = new_entry(w, graph->metadata[i].name, graph->metadata[i].s);
    char *states = assay_onnx_write_states(graph, &w->arena);
    if (states)
        model->metadata_props[model->n_metadata_props++] = new_entry(w, ASSAY_ONNX_STATES, states);
}

static enum assay_status new_model(struct writer *w, const struct assay_graph *graph, Onnx__ModelProto **out)
{
    enum { FIRST_IR_WITH_OPSET_17 = 8 };
    Onnx__ModelProto *model = *out = NEW(w, Onnx__ModelProto, ONNX__MODEL_PROTO__INIT);
    ASSAY_ASSERT(!graph->outer);
    model->has_ir_version = 1;
    model->ir_version = graph->ir_version < FIRST_IR_WITH_OPSET_17 ? FIRST_IR_WITH_OPSET_17 : graph->ir_version;
    model->producer_name = *graph->producer ? (char *)(uintptr_t)graph->producer : (char *)(uintptr_t) "assay";
    model->doc_string = *graph->doc ? (char *)(uintptr_t)graph->doc : NULL;
    enum assay_status st = new_graph(w, graph, NULL, &model->graph);
    if (st)
        return st;
    add_imports(w, graph, model);
    add_metadata(w, graph, model);
    if (protobuf_c_message_get_packed_size(&model->base) > INT32_MAX)
        return assay_error_set(w->err, ASSAY_INVALID,
                               "the graph '%s' takes more than the 2 GiB that an ONNX file can hold, even with its constants in "
                               "another file",
                               graph->name);
    return ASSAY_OK;
}

static void writer_release(struct writer *w)
{
    assay_names_release(&w->domains);
    assay_arena_release(&w->arena);
}

enum assay_status assay_onnx_serialize(const struct assay_graph *graph, int64_t external_from_bytes, void **data,
                                       size_t *size_bytes, struct assay_error *err)
{
    struct writer w = {
        .external_from_bytes = external_from_bytes > 0 ? external_from_bytes : INT64_MAX, .location = "*", .err = err};
    Onnx__ModelProto *model;
    *data = NULL;
    *size_bytes = 0;
    enum assay_status st = new_model(&w, graph, &model);
    if (st)
        goto done;
    size_t size = protobuf_c_message_get_packed_size(&model->base);
    *data = malloc(size);
    if (!*data) {
        st = assay_error_set(err, ASSAY_NO_MEMORY, "no memory for %zu bytes of a serialised graph", size);
        goto done;
    }
    *size_bytes = protobuf_c_message_pack(&model->base, *data);
done:
    writer_release(&w);
    return st;
}

/* ---- files */

struct file_buffer {
    ProtobufCBuffer base;
    FILE *file;
};

static void append_to_file(ProtobufCBuffer *buffer, size_t size, const uint8_t *data)
{
    struct file_buffer *self = (struct file_buffer *)buffer;
    if (fwrite(data, 1, size, self->file) != size)
        return; /* the stream remembers: ferror is asked at the end */
}

/* INT64_MAX where no constant is to go elsewhere. */
static int64_t choose_external_from(const struct assay_graph *graph, const struct assay_onnx_save_options *options)
{
    int64_t total = 0, largest = 0, from = options ? options->external_from_bytes : 0;
    for (int i = 0; i < graph->n_values; i++)
        if (is_initializer(&graph->values[i])) {
            int64_t bytes = assay_tensor_bytes(&graph->values[i].constant);
            total += bytes;
            largest = bytes > largest ? bytes : largest;
        }
    if (from <= 0)
        from = total > largest_inside ? SMALLEST_EXTERNAL : INT64_MAX;
    return largest >= from ? from : INT64_MAX;
}

static enum assay_status write_model(struct writer *w, const struct assay_graph *graph, FILE *file, const char *path)
{
    Onnx__ModelProto *model;
    struct file_buffer buffer = {{append_to_file}, file};
    enum assay_status st = new_model(w, graph, &model);
    if (st)
        return assay_error_prefix(w->err, st, "%s", path);
    protobuf_c_message_pack_to_buffer(&model->base, &buffer.base);
    if (ferror(file))
        return assay_error_set(w->err, ASSAY_IO, "%s: cannot write: %m", path);
    return ASSAY_OK;
}

enum assay_status assay_onnx_save(const struct assay_graph *graph, const char *path,
                                  const struct assay_onnx_save_options *options, struct assay_error *err)
{
    struct writer w = {.external_from_bytes = choose_external_from(graph, options), .err = err};
    struct assay_atomic_file model = {0}, data = {0};
    bool has_data = w.external_from_bytes != INT64_MAX;
    enum assay_status st = assay_atomic_open(&model, path, err);
    if (st)
        return st;
    if (has_data) {
        const char *data_path = assay_arena_printf(&w.arena, "%s.data", path);
        st = assay_atomic_open(&data, data_path, err);
        if (st)
            goto done;
        w.location = assay_path_name(data_path);
        w.file = data.file;
    }
    st = write_model(&w, graph, model.file, path);
    /* The data goes first: a model never stands there without it. */
    if (!st && has_data)
        st = assay_atomic_commit(&data, err);
    if (!st)
        st = assay_atomic_commit(&model, err);
done:
    assay_atomic_abandon(&data);
    assay_atomic_abandon(&model);
    writer_release(&w);
    return st;
}
