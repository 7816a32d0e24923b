/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of ONNX files (onnx_read.h): names to value numbers, attributes, bodies. Each node is upgraded as it is read, so that
 * what is known of its inputs' types helps with the next. */
#include "graph/onnx_read.h"
#include "graph/upgrade.h"

#include <stdio.h>
#include <stdlib.h>

/* As assay_graph_capture, without its search for an earlier capture: the scope's names know those, and a file can have very many.
 */
static int capture(struct assay_graph *body, int outside)
{
    const struct assay_value *outer = &body->outer->values[outside];
    int number = assay_graph_add_value(body, outer->name, &outer->type);
    body->values[number].outer = outside;
    return number;
}

bool assay_onnx_find_value(struct assay_onnx_scope *scope, const char *name, int *number)
{
    if (assay_names_find(&scope->names, name, number))
        return true;
    int outside;
    if (!scope->outer || !assay_onnx_find_value(scope->outer, name, &outside))
        return false;
    *number = outside < 0 ? -1 : capture(scope->graph, outside);
    assay_names_add(&scope->names, name, *number);
    return true;
}

/* ---- attributes */

/* Files of the first IR versions do not say which field an attribute uses. */
static int kind_of(const Onnx__AttributeProto *proto)
{
    if (proto->has_type && proto->type)
        return (int)proto->type;
    return proto->has_f           ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT
           : proto->has_i         ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT
           : proto->has_s         ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING
           : proto->t             ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR
           : proto->g             ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH
           : proto->n_floats      ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS
           : proto->n_strings     ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS
           : proto->n_tensors     ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSORS
           : proto->n_graphs      ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPHS
           : proto->sparse_tensor ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSOR
                                  : ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
}

/* A node and its attribute being read; what every reader of a kind needs. */
struct place {
    struct assay_onnx_reader *reader;
    struct assay_onnx_scope *scope;
    struct assay_node *node;
    const char *name; /* of the attribute */
};

static const char *describe(const struct place *place, char *text, size_t size)
{
    snprintf(text, size, "attribute '%.100s' of node '%.100s' (%.50s)", place->name, place->node->name, place->node->type);
    return text;
}

static enum assay_status fail(const struct place *place, enum assay_status st, const char *why)
{
    char what[320];
    return assay_error_set(place->reader->err, st, "%s: %s %s", place->reader->where, describe(place, what, sizeof what), why);
}

static enum assay_status read_tensor_attr(const struct place *place, const Onnx__AttributeProto *proto)
{
    char what[320];
    struct assay_tensor tensor = {0};
    enum assay_status st;
    describe(place, what, sizeof what);
    if (proto->t)
        st = assay_onnx_read_tensor(place->reader, proto->t, !place->scope->call, what, &tensor);
    else if (proto->sparse_tensor)
        st = assay_onnx_read_sparse(place->reader, proto->sparse_tensor, what, &tensor);
    else
        return fail(place, ASSAY_INVALID, "has no tensor");
    if (st)
        return st;
    /* A sparse constant is kept dense, under the name of the dense form. */
    const char *name = proto->t || strcmp(place->name, "sparse_value") != 0 ? place->name : "value";
    assay_node_set_tensor(place->scope->graph, place->node, name, &tensor);
    assay_tensor_release(&tensor);
    return ASSAY_OK;
}

static enum assay_status read_graph_attr(const struct place *place, const Onnx__AttributeProto *proto)
{
    struct assay_onnx_reader *reader = place->reader;
    struct assay_onnx_scope *scope = place->scope;
    if (!proto->g)
        return fail(place, ASSAY_INVALID, "has no graph");
    if (reader->depth >= ASSAY_ONNX_MAX_DEPTH)
        return fail(place, ASSAY_INVALID, "is nested too deep in other bodies and functions");
    struct assay_graph *body = assay_graph_open_body(scope->graph, assay_onnx_text(proto->g->name));
    assay_node_set_graph(scope->graph, place->node, place->name, body);
    reader->depth++;
    enum assay_status st = assay_onnx_read_graph(reader, proto->g, body, scope, scope->opset);
    reader->depth--;
    return st;
}

static enum assay_status read_strings_attr(const struct place *place, const Onnx__AttributeProto *proto)
{
    char **texts = assay_alloc(proto->n_strings * sizeof *texts);
    enum assay_status st = ASSAY_OK;
    for (size_t i = 0; i < proto->n_strings; i++) {
        const ProtobufCBinaryData *s = &proto->strings[i];
        texts[i] = assay_alloc(s->len + 1);
        if (s->len)
            memcpy(texts[i], s->data, s->len);
        if (!st && strlen(texts[i]) != s->len)
            st = fail(place, ASSAY_UNSUPPORTED, "has a NUL character in a string");
    }
    if (!st)
        assay_node_set_strings(place->scope->graph, place->node, place->name, (const char *const *)texts, proto->n_strings);
    for (size_t i = 0; i < proto->n_strings; i++)
        free(texts[i]);
    free(texts);
    return st;
}

static enum assay_status read_attr_value(const struct place *place, const Onnx__AttributeProto *proto)
{
    struct assay_graph *graph = place->scope->graph;
    struct assay_node *node = place->node;
    switch (kind_of(proto)) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
        assay_node_set_int(graph, node, place->name, proto->i);
        return ASSAY_OK;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
        assay_node_set_float(graph, node, place->name, proto->f);
        return ASSAY_OK;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
        assay_node_set_string_n(graph, node, place->name, (const char *)proto->s.data, proto->s.len);
        return ASSAY_OK;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
        assay_node_set_ints(graph, node, place->name, proto->ints, proto->n_ints);
        return ASSAY_OK;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
        assay_node_set_floats(graph, node, place->name, proto->floats, proto->n_floats);
        return ASSAY_OK;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS:
        return read_strings_attr(place, proto);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR:
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSOR:
        return read_tensor_attr(place, proto);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH:
        return read_graph_attr(place, proto);
    default:
        return fail(place, ASSAY_UNSUPPORTED, "is a type, or a list of tensors or graphs, which Assay does not have");
    }
}

/* What an attribute of an inlined function takes, which a file may ask for many times over. */
static int64_t attr_bytes(const Onnx__AttributeProto *proto)
{
    size_t bytes = 256 + proto->s.len + 8 * proto->n_ints + 4 * proto->n_floats;
    for (size_t i = 0; i < proto->n_strings; i++)
        bytes += 32 + proto->strings[i].len;
    return (int64_t)bytes;
}

static enum assay_status read_attr(const struct place *place, const Onnx__AttributeProto *proto)
{
    const Onnx__AttributeProto *value;
    if (!*place->name)
        return fail(place, ASSAY_INVALID, "has no name");
    if (assay_node_attr(place->node, place->name))
        return fail(place, ASSAY_INVALID, "is given twice");
    enum assay_status st = assay_onnx_resolve(place->reader, place->scope->call, proto, &value);
    if (st || !value)
        return st;
    if (value != proto && value->g)
        return fail(place, ASSAY_UNSUPPORTED, "is a graph that is handed to a function");
    if (place->scope->call)
        st = assay_onnx_charge(place->reader, attr_bytes(value), "an inlined function");
    return st ? st : read_attr_value(place, value);
}

/* ---- nodes */

static enum assay_status read_inputs(struct assay_onnx_reader *reader, struct assay_onnx_scope *scope,
                                     const Onnx__NodeProto *proto, int *inputs)
{
    for (size_t i = 0; i < proto->n_input; i++) {
        const char *name = assay_onnx_text(proto->input[i]);
        inputs[i] = -1;
        if (*name && !assay_onnx_find_value(scope, name, &inputs[i]))
            return assay_error_set(reader->err, ASSAY_INVALID, "%s: node '%s' (%s) reads '%s', which nothing in the model makes",
                                   reader->where, assay_onnx_text(proto->name), assay_onnx_text(proto->op_type), name);
    }
    return ASSAY_OK;
}

static void find_outputs(struct assay_onnx_scope *scope, const Onnx__NodeProto *proto, int *outputs)
{
    for (size_t i = 0; i < proto->n_output; i++) {
        const char *name = assay_onnx_text(proto->output[i]);
        outputs[i] = -1;
        if (*name)
            assay_names_find(&scope->names, name, &outputs[i]);
    }
}

/* Both lists of value numbers of a node in one allocation, to be freed by the caller. */
static enum assay_status read_ends(struct assay_onnx_reader *reader, struct assay_onnx_scope *scope, const Onnx__NodeProto *proto,
                                   struct assay_node **node)
{
    int *inputs = assay_alloc((proto->n_input + proto->n_output) * sizeof *inputs), *outputs = inputs + proto->n_input;
    enum assay_status st = read_inputs(reader, scope, proto, inputs);
    if (!st) {
        find_outputs(scope, proto, outputs);
        *node = assay_graph_add_node(scope->graph, proto->op_type, assay_onnx_domain(proto->domain), (int)proto->n_input, inputs,
                                     (int)proto->n_output, outputs);
        (*node)->name = assay_arena_strdup(&scope->graph->arena, assay_onnx_text(proto->name));
    }
    free(inputs);
    return st;
}

enum assay_status assay_onnx_read_node(struct assay_onnx_reader *reader, struct assay_onnx_scope *scope,
                                       const Onnx__NodeProto *proto)
{
    const char *type = assay_onnx_text(proto->op_type), *domain = assay_onnx_domain(proto->domain);
    if (!*type)
        return assay_error_set(reader->err, ASSAY_INVALID, "%s: node '%s' does not say what it is: it has no op_type",
                               reader->where, assay_onnx_text(proto->name));
    if (proto->n_attribute > ASSAY_ONNX_MAX_ATTRIBUTES)
        return assay_error_set(reader->err, ASSAY_INVALID, "%s: node '%s' (%s) has %zu attributes, more than any op has",
                               reader->where, assay_onnx_text(proto->name), type, proto->n_attribute);
    enum assay_status st = ASSAY_OK;
    if (scope->call)
        st = assay_onnx_charge(reader, 256 + 128 * (int64_t)(proto->n_input + proto->n_output), "an inlined function");
    if (st)
        return st;
    const struct assay_onnx_function *function = assay_onnx_find_function(reader, domain, type);
    if (function)
        return assay_onnx_inline(reader, scope, proto, function);

    struct assay_node *node = NULL;
    int first = scope->graph->n_nodes;
    st = read_ends(reader, scope, proto, &node);
    for (size_t i = 0; i < proto->n_attribute && !st; i++) {
        struct place place = {reader, scope, node, assay_onnx_text(proto->attribute[i]->name)};
        st = read_attr(&place, proto->attribute[i]);
    }
    if (st || *domain)
        return st;
    st = assay_upgrade_node(scope->graph, node, scope->opset, reader->err);
    if (st)
        return assay_error_prefix(reader->err, st, "%s", reader->where);
    if (scope->opset < ASSAY_UPGRADE_NEEDS_TYPES_BELOW)
        assay_upgrade_infer(scope->graph, first);
    return ASSAY_OK;
}
